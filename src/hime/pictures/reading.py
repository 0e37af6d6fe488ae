"""Pictures read from files: `read_image` gives pixels, `read_picture` a photograph with all that it carries.

EXIF orientation is applied, colours become sRGB (see `hime.pictures.colour`). `read_image` composites alpha
over white and brings 16 bits to 8; a `Picture` keeps alpha and the 16 bits a channel of PNG, TIFF and PPM, if
its colours are sRGB's or under a profile of a matrix and curves (colour needs OpenCV, which comes with the
extra ``faces``).

Both may be called from several threads at once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL.JpegImagePlugin import get_sampling

from hime.errors import HimeError
from hime.pictures.arrays import DeepImage, Image, area_reduce, to_8_bits, upright
from hime.pictures.colour import Levels, beyond_srgb, deep_from_srgb, deep_to_srgb, from_srgb, to_srgb
from hime.pictures.declared import declared_colours
from hime.pictures.decoding import (
    MAX_PIXELS,
    Opened,
    is_grey,
    metadata_orientation,
    open_picture,
    orientation,
)
from hime.pictures.deep import TO_8_BITS, bits_of, in_8_bits, read_deep
from hime.pictures.formats import ENDINGS
from hime.pictures.metadata import (
    exif_for_crop,
    read_exif,
    read_resolution,
    read_texts,
    read_xmp,
    texts_for_crop,
)
from hime.pictures.parts import parts_left_out
from hime.pictures.sidecars import Sidecar, read_sidecars
from hime.pictures.xmp import xmp_for_crop

_MEAN_STEP = 12
"""Mean of the luminance table of a JPEG at quality 90 (Independent JPEG Group: 11.5), rounded up."""


@dataclass(frozen=True)
class Picture:
    """A photograph and what its file carried beside it; ``Picture(image)`` carries nothing.

    Attributes:
        image: uint8 H×W×3, sRGB, upright. Under alpha the colours as the file has them.
        alpha: H×W, uint8 or, where ``deep`` is given, uint16; None without.
        deep: the same picture as uint16 H×W×3 where the file has 16 bits a channel; None otherwise.
        format: ``"PNG"``, ``"JPEG"``, ``"WEBP"``, ``"TIFF"``, ``"AVIF"``, ``"HEIF"``, or one that is not
            written: ``"BMP"``, ``"GIF"``, ``"JPEG2000"``, ``"PPM"``, ``"TGA"``.
        grey: whether the file has one channel of light.
        icc: the colour profile to convert back to; None for sRGB.
        beyond: what its colours under ``icc`` have that sRGB cannot hold, H×W×3, upright; None where that is
            nothing (`hime.pictures.colour.beyond_srgb`).
        turn: EXIF's orientation (1 to 8) by which the pixels were set upright; places that ``exif`` and
            ``xmp`` name are in the picture as it was stored.
        exif: as Pillow reads it, without what describes the storage of the old pixels; may be empty.
        xmp: the packet; may be empty.
        text: keywords and texts of a PNG.
        resolution: dots per inch across and down.
        encoding: options of Pillow that write its format with the same quality.
        sidecars: the ``.xmp`` files beside it.
        modified: when the file was last changed, in nanoseconds since 1970.
        notes: what of the file cannot be in a result, a line each, in plain words.
    """

    image: Image
    alpha: npt.NDArray[Any] | None = None
    deep: DeepImage | None = None
    format: str = "PNG"
    grey: bool = False
    icc: bytes | None = None
    beyond: Levels | None = None
    turn: int = 1
    exif: bytes = b""
    xmp: bytes = b""
    text: tuple[tuple[str, str], ...] = ()
    resolution: tuple[float, float] | None = None
    encoding: dict[str, Any] = field(default_factory=dict)
    sidecars: tuple[Sidecar, ...] = ()
    modified: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """The file name ending for a result of the same format; PNG's for what cannot be written."""
        return ENDINGS.get(self.format, ".png")

    def for_crop(self) -> Picture:
        """What a part of the photograph, one face say, shall carry: date, colour and copyright only.

        Position, other people's names and places, previews and the camera's numbers say more than somebody
        means who passes on one face.
        """
        return replace(
            self,
            alpha=None,
            deep=None,
            beyond=None,
            turn=1,
            exif=exif_for_crop(self.exif),
            xmp=xmp_for_crop(self.xmp),
            text=texts_for_crop(self.text),
            resolution=None,
            encoding={},
            sidecars=(),
            notes=(),
        )


def check_picture(picture: object) -> None:
    """Refuse what is no `Picture`.

    Raises:
        HimeError: it is something else; the message says what gives it.
    """
    if not isinstance(picture, Picture):
        raise HimeError(
            f"a photograph must be what `hime.read_picture` gives, not {type(picture).__name__}; read the "
            "file with that"
        )


def read_picture(path: Path | str, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a photograph with what it carries. Damaged metadata are passed over.

    Args:
        path: the file; its name plays no part.
        max_pixels: largest width × height. Compared with the header, before anything is decoded.

    Raises:
        HimeError: as for `hime.pictures.decoding.open_picture`.
    """
    path = Path(path)
    with open_picture(path, max_pixels) as opened:
        turn = orientation(opened.picture)
        declared = declared_colours(opened.picture, opened.file, opened.boxes)
        own = in_8_bits(opened)
        colours, alpha, applied = to_srgb(own, declared.source)
        notes = [*opened.notes, *parts_left_out(opened)]
        if declared.note and applied:
            notes.append(declared.note)
        own_deep, deep_alpha = read_deep(opened)
        deep = None if own_deep is None else deep_to_srgb(own_deep, declared.source if applied else None)
        if deep is None and bits_of(opened) > 8:
            notes.append(TO_8_BITS)
        if (deep is None or deep_alpha is None) and alpha is not None:
            deep_alpha = np.asarray(alpha)
        image = np.asarray(colours) if deep is None else to_8_bits(deep)
        kept = declared.kept if applied and opened.picture.mode != "CMYK" else None
        beyond = None
        if kept is not None and kept == declared.source and not is_grey(opened.picture):
            beyond = _beyond(own, own_deep, colours, deep, kept)
        sidecars, unread = read_sidecars(path)
        return Picture(
            image=upright(image, turn),
            alpha=None if deep_alpha is None else upright(deep_alpha, turn),
            deep=None if deep is None else upright(deep, turn),
            format=str(opened.picture.format),
            grey=is_grey(opened.picture),
            icc=kept,
            beyond=None if beyond is None else upright(beyond, turn),
            turn=metadata_orientation(opened),
            exif=read_exif(opened.picture, opened.file),
            xmp=read_xmp(opened.picture),
            text=read_texts(opened.picture),
            resolution=read_resolution(opened.picture),
            encoding=_read_encoding(opened),
            sidecars=sidecars,
            modified=path.stat().st_mtime_ns,
            notes=(*notes, *unread),
        )


def _beyond(
    own: PIL.Image.Image,
    own_deep: DeepImage | None,
    colours: PIL.Image.Image,
    deep: DeepImage | None,
    profile: bytes,
) -> Levels | None:
    """What colours sRGB cannot hold, of 16 bits where they reach sRGB, else of 8."""
    if own_deep is not None and deep is not None:
        again = deep_from_srgb(deep, profile)
        return None if again is None else beyond_srgb(own_deep, again)
    back = from_srgb(colours, profile)
    return None if back is None else beyond_srgb(np.asarray(own.convert("RGB")), np.asarray(back))


def _read_encoding(opened: Opened) -> dict[str, Any]:
    picture = opened.picture
    if picture.format == "JPEG":
        return _read_jpeg_encoding(picture)
    if picture.format == "WEBP" and _is_lossless(opened.content()):
        return {"lossless": True, "exact": True}
    if picture.format == "TIFF":
        compression = picture.info.get("compression")
        kept = compression in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate")
        return {"compression": compression if kept else "tiff_adobe_deflate"}
    return {}


def _read_jpeg_encoding(opened: Any) -> dict[str, Any]:
    encoding: dict[str, Any] = {
        "subsampling": get_sampling(opened),
        "progressive": "progressive" in opened.info,
    }
    tables = [opened.quantization[key] for key in sorted(opened.quantization)][:2]
    levels = np.array(tables)
    if levels.size and levels.min() >= 1 and levels.max() <= 255 and levels[0].mean() <= _MEAN_STEP:
        encoding["qtables"] = tables
    if comment := opened.info.get("comment"):
        encoding["comment"] = comment
    resources = opened.info.get("photoshop")
    captions = resources.get(0x0404) if isinstance(resources, dict) else None
    if (
        isinstance(captions, bytes) and len(captions) < 65_000
    ):  # IPTC's older form (IIM) in Photoshop's segment
        segment = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(captions)) + captions
        segment += b"\0" * (len(captions) % 2)
        encoding["extra"] = b"\xff\xed" + struct.pack(">H", 2 + len(segment)) + segment
    return encoding


def _is_lossless(webp: bytes) -> bool:
    place = 12
    while place + 8 <= len(webp):
        kind, size = struct.unpack_from("<4sI", webp, place)
        if kind in (b"VP8L", b"VP8 "):
            return bool(kind == b"VP8L")
        place += 8 + size + size % 2
    return False


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> Image:
    """Read a picture file as the module's contract says.

    Args:
        path: the file; its name plays no part.
        max_pixels: largest width × height. Compared with the header, before anything is decoded.

    Returns:
        uint8 H×W×3, sRGB, upright; its own memory, writable.

    Raises:
        HimeError: as for `open_picture`.
    """
    with open_picture(path, max_pixels) as opened:
        turn = orientation(opened.picture)
        declared = declared_colours(opened.picture, opened.file, opened.boxes)
        colours, alpha, _ = to_srgb(in_8_bits(opened), declared.source)
        if alpha is not None:
            colours = PIL.Image.composite(colours, PIL.Image.new("RGB", colours.size, "white"), alpha)
        return upright(np.asarray(colours), turn)


def read_target(path: Path | str, size: int) -> Image:
    """A square crop as HR target of ``size``×``size`` pixels: as it is, or reduced by area if it is larger.

    Raises:
        HimeError: not square, smaller than ``size``, or not readable.
    """
    image = read_image(path)
    height, width = image.shape[:2]
    if height != width:
        raise HimeError(f"{path}: {width}×{height} pixels is not square; give square crops of the face")
    if height < size:
        raise HimeError(
            f"{path}: {width}×{height} pixels is smaller than the target, {size}×{size}; leave it out"
        )
    return image if height == size else area_reduce(image, size, size)
