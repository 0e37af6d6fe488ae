"""Pictures written to files: `write_image` the pixels alone, `write_picture` as the photograph they were.

What `write_picture` keeps beside the metadata (see `hime.pictures.metadata` and `hime.pictures.xmp`):

- The colour profile stays: work is done in sRGB, and the result converted back to the profile of the file.
  What its colours had beyond sRGB's (of a telephone's Display P3, of Adobe RGB) is enlarged by itself and
  added again.
  Colours that were declared otherwise are written as a profile. A CMYK picture becomes RGB in sRGB.
- Grey stays grey. Alpha is enlarged with the picture; where the format has none, it is composited over white.
- PNG and TIFF with 16 bits a channel stay so; other formats are written with 8 bits.
- JPEG keeps its quantisation tables, if they are no coarser than quality 90, its subsampling, whether it is
  progressive, its comment and its IPTC captions; lossless WebP stays lossless; TIFF keeps its compression,
  except that LZW and PackBits become Deflate where it has 16 bits or EXIF of a camera.
- PNG's texts and the resolution in dots per inch stay.
- The date of the file stays, and its ``.xmp`` sidecars are written along.
- Signed provenance (C2PA) cannot stay: the signature is of the old picture.

BMP and GIF hold neither marks nor, GIF, true colours: what is read from them is written as another format,
and so are JPEG 2000, PPM and TGA.
"""

from __future__ import annotations

import functools
import io
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ExifTags

from hime.errors import HimeError, how_to_install
from hime.files import write_atomically
from hime.pictures.arrays import DeepImage, Image, check_image, to_8_bits
from hime.pictures.colour import add_beyond, deep_from_srgb, from_srgb
from hime.pictures.decoding import quiet_libtiff, unremarked
from hime.pictures.deep import encode_deep_png, grey_of
from hime.pictures.formats import SUFFIXES, WRITTEN, check_sides
from hime.pictures.jpeg import encode_jpeg
from hime.pictures.metadata import exif_for, keep_letters, png_texts
from hime.pictures.places import Placement
from hime.pictures.reading import Picture, check_picture
from hime.pictures.sidecars import sidecars_beside
from hime.pictures.tiff import encode_tiff
from hime.pictures.xmp import DAMAGED, MAX_XMP, TOO_LARGE, xmp_for

IN_8_BITS = "written with 8 bits a channel, since {form} has no more here; choose .png or .tif to keep all"
ONE_WAY = "its colour profile cannot be converted back to, so it is written in sRGB"
REFUSED = "its metadata cannot be written to this format and are left out"
OVER_WHITE = "what is transparent in it is white now, since {form} has no transparency"
SIDECAR = "its sidecar {name} is damaged or too large and left out"

_XMP_ROOM = {"JPEG": 65_502}
"""Of one segment of a JPEG, less the segment's own heading; for all others `MAX_XMP`."""


FAITHFUL: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
    "JPEG": {"quality": 95, "subsampling": 0},
}
"""Pillow's options for headshots, by format: as true as each can be."""


def write_image(path: Path | str, image: Image) -> Path:
    """Write a picture, whole or not at all; the suffix chooses the format.

    PNG and WebP keep every value (WebP lossless); JPEG is written at quality 95 without chroma subsampling.

    Raises:
        HimeError: another suffix, not a picture, or the file cannot be written.
    """
    path = Path(path)
    check_image(image, f"{path}: the picture")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise HimeError(
            f"{path}: cannot write {suffix or 'a file without suffix'}; use one of {', '.join(SUFFIXES)}"
        )
    check_sides(path, image.shape[1], image.shape[0])
    content = io.BytesIO()
    form = WRITTEN[suffix]
    PIL.Image.fromarray(image).save(content, form, **FAITHFUL[form])
    return write_atomically(path, lambda temporary: temporary.write_bytes(content.getbuffer()))


QUALITY = 90
"""Of lossy results, from 0 to 100, where the source's own quality is unknown or lower."""


def write_picture(
    path: Path | str,
    image: Image | DeepImage,
    like: Picture,
    software: str | None = None,
    altered: bool = True,
    keep_date: bool = True,
    notes: list[str] | None = None,
) -> Path:
    """Write ``image`` as the photograph ``like``, whole or not at all; the suffix chooses the format.

    Its sidecars are written beside it, over any that are there: see `files_written`.

    Args:
        path: ends in one of `WRITTEN`.
        image: uint8 or uint16 H×W×3, sRGB, upright, of any size. 16 bits reach PNG and TIFF only.
        like: what the file shall carry.
        software: who wrote it; this program and its version by default.
        altered: whether the marks of an altered photograph are set.
        keep_date: whether the file gets the date of ``like``.
        notes: gets a line, in plain words, for each thing of ``like`` that the result does not carry.

    Raises:
        HimeError: another suffix, not a picture, no photograph, or the file cannot be written.
    """
    path = Path(path)
    form = WRITTEN.get(path.suffix.lower())
    if form is None:
        raise HimeError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; use one of {', '.join(WRITTEN)}"
        )
    if software is None:
        from hime import __version__

        software = f"hime {__version__}"
    check_picture(like)
    deep = image.dtype == np.uint16
    check_image(image.view(np.uint8)[:, :, :3] if deep else image, f"{path}: the picture")
    check_sides(path, image.shape[1], image.shape[0])
    placement = _placement(like, image)
    lines = list(like.notes)
    if like.icc is not None and from_srgb(PIL.Image.new("RGB", (1, 1)), like.icc) is None:
        like = replace(like, icc=None, beyond=None)
        lines.append(ONE_WAY)
    with unremarked():
        content = _encoded(path, image, like, form, placement, software, altered, lines)

    def fill(temporary: Path) -> None:
        temporary.write_bytes(content)
        if keep_date and like.modified is not None:
            os.utime(temporary, ns=(like.modified, like.modified))

    write_atomically(path, fill)
    _write_sidecars(path, like, placement, altered, lines)
    if notes is not None:
        notes.extend(dict.fromkeys(lines))
    return path


def files_written(path: Path | str, like: Picture) -> list[Path]:
    """All files that `write_picture` makes: the picture and its sidecars."""
    path = Path(path)
    return [path, *sidecars_beside(path, like.sidecars)]


def _placement(like: Picture, image: npt.NDArray[Any]) -> Placement:
    height, width = like.image.shape[:2]
    stored = (height, width) if like.turn >= 5 else (width, height)
    return Placement(stored, like.turn, image.shape[1], image.shape[0])


def _write_sidecars(path: Path, like: Picture, placement: Placement, altered: bool, lines: list[str]) -> None:
    for target, sidecar in sidecars_beside(path, like.sidecars).items():
        xmp, told = xmp_for(sidecar.xmp, placement, altered=altered)
        if not sidecar.xmp or DAMAGED in told or TOO_LARGE in told:
            lines.append(SIDECAR.format(name=target.name))
            continue
        lines.extend(told)
        write_atomically(target, functools.partial(Path.write_bytes, data=xmp))


@dataclass(frozen=True)
class _Metadata:
    """What goes into a file beside the pixels."""

    exif: bytes
    xmp: bytes
    software: str


def _encoded(
    path: Path,
    image: npt.NDArray[Any],
    like: Picture,
    form: str,
    placement: Placement,
    software: str,
    altered: bool,
    lines: list[str],
) -> bytes:
    """The file's content; ``lines`` are added to."""
    exif, told = exif_for(like.exif, placement, software, in_srgb=like.icc is None, in_tiff=form == "TIFF")
    lines.extend(told)
    xmp, told = xmp_for(like.xmp, placement, altered=altered, room=_XMP_ROOM.get(form, MAX_XMP))
    lines.extend(told)
    if image.dtype == np.uint16 and form not in ("PNG", "TIFF"):
        lines.append(IN_8_BITS.format(form=form))
    if like.alpha is not None and form == "JPEG":
        lines.append(OVER_WHITE.format(form=form))
    try:
        return _encode(image, like, form, _Metadata(exif, xmp, software), lines)
    except HimeError as error:
        raise HimeError(f"{path}: {error}") from error
    except Exception:
        if form == "JPEG" and like.encoding.get("progressive"):  # Pillow reserves too little room for much
            plain = replace(like, encoding=like.encoding | {"progressive": False})
            return _encoded(path, image, plain, form, placement, software, altered, lines)
        # Metadata may be refused as late as here, and by errors of any kind, libtiff's own included: for
        # the picture's sake once more without what the file carried.
        bare = Picture(like.image, like.alpha, like.deep, grey=like.grey, icc=like.icc, beyond=like.beyond)
        exif, _ = exif_for(b"", placement, software)
        xmp, _ = xmp_for(b"", placement, altered=altered)
        lines.append(REFUSED)
        try:
            return _encode(image, bare, form, _Metadata(exif, xmp, software), lines)
        except (OSError, RuntimeError, ValueError) as error:
            raise HimeError(f"{path}: cannot be written ({error}); choose another format") from error


def _encode(
    image: npt.NDArray[Any], like: Picture, form: str, metadata: _Metadata, lines: list[str]
) -> bytes:
    alpha = _alpha(like, image)
    if image.dtype == np.uint16:
        if form in ("PNG", "TIFF"):
            content = _encode_deep(image, alpha, like, form, metadata)
            if content is not None:
                return content
            lines.append(IN_8_BITS.format(form="its colour profile"))
        image = to_8_bits(image)
    if alpha is not None and alpha.dtype == np.uint16:
        alpha = to_8_bits(alpha)
    whole = slice(0, len(image))
    if form == "TIFF":
        return _encode_tiff(_in_8_bits(image, alpha, like, form, whole), like, metadata)
    options = _options(like, form, metadata)
    if form == "JPEG":
        return encode_jpeg(lambda rows: _in_8_bits(image, alpha, like, form, rows), image.shape[:2], options)
    return _save(_in_8_bits(image, alpha, like, form, whole), form, options)


def _in_8_bits(image: Image, alpha: Image | None, like: Picture, form: str, rows: slice) -> PIL.Image.Image:
    """Some rows of the picture as its file holds them: alpha, colours."""
    picture = PIL.Image.fromarray(image[rows])
    over_white = None
    alpha = None if alpha is None else alpha[rows]
    if alpha is not None and form == "JPEG":
        white = PIL.Image.new("RGB", picture.size, "white")
        picture = PIL.Image.composite(picture, white, PIL.Image.fromarray(alpha))
        over_white, alpha = alpha, None
    if like.icc is not None:
        picture = from_srgb(picture, like.icc) or picture
        if like.beyond is not None:
            values = np.asarray(picture)
            beyond = add_beyond(values, like.beyond, over_white, first=rows.start, height=len(image))
            picture = PIL.Image.fromarray(beyond)
    if like.grey:
        picture = picture.convert("L")
    if alpha is not None:
        picture.putalpha(PIL.Image.fromarray(alpha))
    return picture


def _options(like: Picture, form: str, metadata: _Metadata) -> dict[str, Any]:
    """For Pillow's writers of all formats but TIFF."""
    options: dict[str, Any] = {} if form == "PNG" else {"quality": QUALITY}
    if form == like.format:
        options |= like.encoding
    if "qtables" in options:
        del options["quality"]
    if like.resolution and form in ("JPEG", "PNG"):
        options["dpi"] = like.resolution
    if form == "PNG":
        options["pnginfo"] = png_texts(like.text, metadata.xmp, metadata.software)
    else:
        options["xmp"] = metadata.xmp
    return options | {"exif": metadata.exif} | ({"icc_profile": like.icc} if like.icc else {})


AVIF_MEMORY = 40
"""Bytes a pixel that its encoder takes; measured 31 on RGB, 36 with alpha."""

SLICE = 1 << 22
"""Pixels to a slice of a HEIC. libde265, by which most programs read it, leaves out a slice of more than
16 MiB (measured: one of 18 MiB gives no picture, four of 6 do): four bytes a pixel, more than any picture
takes."""

HEIC_PRESET = "medium"
"""Of x265. libheif's own, slow, takes twice as long (49 s against 25 on one core, 24 megapixels) for the same
PSNR and 5 % fewer bytes."""


def _save(picture: PIL.Image.Image, form: str, options: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    if form == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            raise HimeError(
                f"HEIC cannot be written; {how_to_install('heif')}, or choose another format"
            ) from None
        slices = 1 + picture.width * picture.height // SLICE
        coding = {"preset": HEIC_PRESET} | ({"x265:slices": str(slices)} if slices > 1 else {})
        pillow_heif.from_pillow(picture).save(content, enc_params=coding, **options)
    else:
        if form == "AVIF":  # whose encoder ends the process where it gets no memory
            np.empty(AVIF_MEMORY * picture.width * picture.height, np.uint8)
        picture.save(content, form, **options)
    return content.getvalue()


def _encode_tiff(picture: PIL.Image.Image | npt.NDArray[Any], like: Picture, metadata: _Metadata) -> bytes:
    tags = PIL.Image.Exif()
    tags.load(metadata.exif)
    keep_letters(tags)
    compression = "tiff_adobe_deflate"
    if like.format == "TIFF":
        compression = like.encoding.get("compression", compression)
    folders = ExifTags.IFD.Exif in tags or ExifTags.IFD.GPSInfo in tags
    if isinstance(picture, PIL.Image.Image) and not folders:
        quiet_libtiff()
        if metadata.xmp:
            tags[ExifTags.Base.XMLPacket] = metadata.xmp
        options: dict[str, Any] = {"exif": tags, "compression": compression}
        if like.resolution:
            options["dpi"] = like.resolution
        return _save(picture, "TIFF", options | ({"icc_profile": like.icc} if like.icc else {}))
    further: dict[int, Any] = {}
    if metadata.xmp:
        further[ExifTags.Base.XMLPacket] = metadata.xmp
    if like.icc:
        further[ExifTags.Base.InterColorProfile] = like.icc
    if like.resolution:
        further |= {282: like.resolution[0], 283: like.resolution[1], 296: 2}  # to the inch
    return encode_tiff(np.asarray(picture), tags, compress=compression != "raw", tags=further)


def _alpha(like: Picture, image: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Alpha of the size of ``image``, bicubic."""
    if like.alpha is None or like.alpha.shape == image.shape[:2]:
        return like.alpha
    size = (image.shape[1], image.shape[0])
    if like.alpha.dtype == np.uint8:
        return np.asarray(PIL.Image.fromarray(like.alpha).resize(size, PIL.Image.Resampling.BICUBIC))
    levels: Any = PIL.Image.fromarray(like.alpha.astype(np.float32)).resize(
        size, PIL.Image.Resampling.BICUBIC
    )
    rounded: DeepImage = np.rint(np.clip(np.asarray(levels), 0, 65_535)).astype(np.uint16)
    return rounded


def _encode_deep(
    image: DeepImage, alpha: npt.NDArray[Any] | None, like: Picture, form: str, metadata: _Metadata
) -> bytes | None:
    """A PNG or TIFF of 16 bits a channel; None if its profile takes only 8."""
    converted = image if like.icc is None else deep_from_srgb(image, like.icc)
    if converted is None:
        return None
    if like.beyond is not None:
        converted = add_beyond(converted, like.beyond)
    if alpha is not None and alpha.dtype == np.uint8:
        alpha = alpha.astype(np.uint16) * 257
    channels: npt.NDArray[np.uint16] = grey_of(converted) if like.grey else converted
    if form == "TIFF":
        return _encode_tiff(channels if alpha is None else np.dstack([channels, alpha]), like, metadata)
    options = _options(like, form, metadata)
    if channels.ndim == 2 and alpha is None:
        return _save(PIL.Image.fromarray(channels), form, options)
    if channels.ndim == 2:
        channels = np.repeat(channels[:, :, np.newaxis], 3, axis=2)
    channels = channels if alpha is None else np.dstack([channels, alpha])
    return encode_deep_png(channels, _save(PIL.Image.new("L", (1, 1)), form, options))
