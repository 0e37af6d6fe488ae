"""Pictures read from files: `read_image` gives pixels, `read_picture` a photograph with all that it carries.

EXIF orientation is applied, colours become sRGB (see `hime.pictures.colour`). `read_image` composites alpha
over white and brings 16 bits to 8; a `Picture` keeps alpha and, of a PNG, the 16 bits a channel if its values
are sRGB's or without profile (colour needs OpenCV, which comes with the extra ``faces``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ImageCms, ImageFile
from PIL.JpegImagePlugin import get_sampling

from hime.errors import HimeError
from hime.pictures.arrays import DeepImage, Image, area_reduce, to_8_bits, upright
from hime.pictures.colour import is_srgb, to_srgb
from hime.pictures.decoding import MAX_PIXELS, is_grey, open_picture, orientation
from hime.pictures.formats import ENDINGS
from hime.pictures.metadata import (
    read_exif,
    read_resolution,
    read_texts,
    read_xmp,
)

_MEAN_STEP = 12
"""Mean of the luminance table of a JPEG at quality 90 (Independent JPEG Group: 11.5), rounded up."""


@dataclass(frozen=True)
class Picture:
    """A photograph and what its file carried beside it; ``Picture(image)`` carries nothing.

    Attributes:
        image: uint8 H×W×3, sRGB, upright. Under alpha the colours as the file has them.
        alpha: H×W, uint8 or, where ``deep`` is given, uint16; None without.
        deep: the same picture as uint16 H×W×3 where the file has 16 bits a channel; None otherwise.
        format: ``"PNG"``, ``"JPEG"``, ``"WEBP"``, ``"TIFF"``, ``"BMP"``, ``"GIF"``, ``"AVIF"``, ``"HEIF"``.
        grey: whether the file has one channel of light.
        icc: the colour profile to convert back to; None for sRGB.
        exif: as Pillow reads it, without what describes the storage of the old pixels; may be empty.
        xmp: the packet; may be empty.
        text: keywords and texts of a PNG.
        resolution: dots per inch across and down.
        encoding: options of Pillow that write its format with the same quality.
    """

    image: Image
    alpha: npt.NDArray[Any] | None = None
    deep: DeepImage | None = None
    format: str = "PNG"
    grey: bool = False
    icc: bytes | None = None
    exif: bytes = b""
    xmp: bytes = b""
    text: tuple[tuple[str, str], ...] = ()
    resolution: tuple[float, float] | None = None
    encoding: dict[str, Any] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """The file name ending for a result of the same format; PNG's for what cannot be written."""
        return ENDINGS.get(self.format, ".png")


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
        turn = orientation(opened)
        colours, alpha, profile = to_srgb(opened)
        deep, deep_alpha = _read_deep(path, opened, profile)
        if deep_alpha is None and alpha is not None:
            deep_alpha = np.asarray(alpha)
        image = np.asarray(colours) if deep is None else to_8_bits(deep)
        return Picture(
            image=upright(image, turn),
            alpha=None if deep_alpha is None else upright(deep_alpha, turn),
            deep=None if deep is None else upright(deep, turn),
            format=str(opened.format),
            grey=is_grey(opened),
            icc=opened.info["icc_profile"] if profile and opened.mode != "CMYK" else None,
            exif=read_exif(opened),
            xmp=read_xmp(opened),
            text=read_texts(opened),
            resolution=read_resolution(opened),
            encoding=_read_encoding(path, opened),
        )


def _read_deep(
    path: Path, opened: ImageFile.ImageFile, profile: ImageCms.ImageCmsProfile | None
) -> tuple[DeepImage | None, DeepImage | None]:
    """16-bit colours and alpha of a PNG that has them; Pillow gives 8 bits of all but grey."""
    if opened.format != "PNG" or (profile is not None and not is_srgb(profile)):
        return None, None
    if opened.mode.startswith("I"):
        grey = np.asarray(opened).astype(np.uint16)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2), None
    content = np.fromfile(path, np.uint8)
    if content[24] != 16:  # bits a channel, in the header
        return None, None
    try:
        import cv2
    except ImportError:
        return None, None
    values: Any = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    width, height = opened.size
    if (
        values is None
        or values.dtype != np.uint16
        or values.shape not in ((height, width, 3), (height, width, 4))
    ):
        return None, None
    deep = values[:, :, 2::-1]
    if not np.array_equal((deep >> 8).astype(np.uint8), np.asarray(opened.convert("RGB"))):
        return None, None  # OpenCV has taken something into account that Pillow has not, or the reverse
    return deep, values[:, :, 3] if values.shape[2] == 4 else None


def _read_encoding(path: Path, opened: ImageFile.ImageFile) -> dict[str, Any]:
    if opened.format == "JPEG":
        return _read_jpeg_encoding(opened)
    if opened.format == "WEBP" and _is_lossless(path.read_bytes()):
        return {"lossless": True, "exact": True}
    if opened.format == "TIFF":
        compression = opened.info.get("compression")
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
    with open_picture(path, max_pixels) as picture:
        turn = orientation(picture)
        colours, alpha, _ = to_srgb(picture)
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
