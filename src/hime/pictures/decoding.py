"""Picture files → decoded pictures of Pillow, told by their content, never by their name.

PNG, JPEG, WebP, TIFF, BMP, GIF; AVIF and HEIC where their decoders are installed. What a file may hold:

- Animations and files of several pages are refused: which frame is meant is for the user to say. (The
  further pictures that cameras append to a JPEG or HEIC are no animation; the main one is read.) So are raw
  files, whose ordinary picture is a preview.
- 32 bits a channel and Lab are refused.
- Truncated and damaged files are refused, never filled up with grey.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
from PIL import ExifTags, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from hime.errors import HimeError
from hime.pictures.arrays import _TURNS

MAX_PIXELS = 64_000_000
"""Decoded pixels that `read_image` takes by default: 64 megapixels, 192 MB as an array."""
_GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
_MODES = (*_GREY_MODES, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr", "CMYK")
_READ = "a PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC picture"


@contextlib.contextmanager
def open_picture(path: Path | str, max_pixels: int = MAX_PIXELS) -> Iterator[ImageFile.ImageFile]:
    """The decoded picture of a file, as Pillow holds it, while it is taken apart.

    What Pillow raises within the ``with`` block is told as damage of the file too.

    Raises:
        HimeError: missing, not readable, no such picture, animated, too large, truncated or damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, unremarked():
            yield _decode(file, path, max_pixels)
    except HimeError:
        raise
    except FileNotFoundError:
        raise HimeError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise HimeError(f"{path}: is a folder; give a picture file") from None
    except PermissionError:
        raise HimeError(f"{path}: may not be read; check the file's permissions") from None
    except PIL.Image.DecompressionBombError as error:  # from 179 megapixels on, where a size comes late
        raise _too_large(path, str(error), max_pixels) from None
    except MemoryError:
        raise HimeError(f"{path}: does not fit into memory; make it smaller") from None
    except Exception as error:
        # Pillow's decoders answer damaged bytes with OSError, SyntaxError, ValueError, struct.error,
        # zlib.error and others that share no base; whichever it is, the file cannot be used.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HimeError(f"{path}: truncated or damaged ({reason}); replace it by an intact copy") from error


def _decode(file: io.BufferedReader, path: Path, max_pixels: int) -> ImageFile.ImageFile:
    picture = _open_by_content(file, path)
    _check_size(picture, path, max_pixels)
    if picture.format != "HEIF" and getattr(picture, "n_frames", 1) > 1:
        what = "holds several pages" if picture.format == "TIFF" else "an animation"
        raise HimeError(f"{path}: {what}; save the one you mean as a picture of its own")
    if picture.mode not in _MODES:
        raise HimeError(
            f"{path}: colours of the kind {picture.mode}; save it as RGB or grey of 8 or 16 bits a channel"
        )
    with silenced(picture.format):
        picture.load()
    _check_size(picture, path, max_pixels)  # HEIC's is known for certain only now
    return picture


@contextlib.contextmanager
def unremarked() -> Iterator[None]:
    """Without what Pillow says, by warnings and logging, about files that it reads, or refuses."""
    logger, handler = logging.getLogger("PIL"), logging.NullHandler()
    logger.addHandler(handler)  # where there is another, that of the program's own, it still is told
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)


@contextlib.contextmanager
def silenced(form: str | None) -> Iterator[None]:
    """For TIFF, without the words that libtiff, beside its errors, writes to standard error past Python."""
    try:
        kept = os.dup(2) if form == "TIFF" else None
    except OSError:  # there is no standard error
        kept = None
    if kept is None:
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _check_size(picture: ImageFile.ImageFile, path: Path, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise _too_large(path, f"{width}×{height} pixels", max_pixels)
    if width * height == 0:
        raise HimeError(f"{path}: has no pixels; replace it by an intact copy")


def _open_by_content(file: io.BufferedReader, path: Path) -> ImageFile.ImageFile:
    # The decoders are called directly rather than by PIL.Image.open, whose own limit on pixels is a
    # global setting, and which takes formats that are not in the contract.
    start = file.read(64)
    file.seek(0)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(file)
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(file)
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return WebPImageFile(file)
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _open_tiff(file, path)
    if start.startswith((b"GIF87a", b"GIF89a")):
        return GifImageFile(file)
    if start.startswith(b"BM"):
        return BmpImageFile(file)
    if start[4:8] == b"ftyp":
        brands = start[8 : int.from_bytes(start[:4], "big")]
        if b"avif" in brands or b"avis" in brands:
            return AvifImageFile(file)
        if any(brand in brands for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1")):
            return _open_heif(file, path)
    if not start:
        raise HimeError(f"{path}: is empty; replace it by an intact copy")
    raise HimeError(f"{path}: is not {_READ}, whatever its name; convert it to one of these")


def _open_tiff(file: io.BufferedReader, path: Path) -> TiffImageFile:
    picture = TiffImageFile(file)
    if ExifTags.Base.DNGVersion in picture.tag_v2 or picture.tag_v2.get(ExifTags.Base.NewSubfileType, 0) & 1:
        raise HimeError(f"{path}: a raw file of a camera; develop it and give the finished picture")
    return picture


def _open_heif(file: io.BufferedReader, path: Path) -> ImageFile.ImageFile:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise HimeError(
            f'{path}: a HEIC picture; pip install "hime-sr[heif]", or convert it to JPEG'
        ) from None
    return HeifImageFile(file)


def _too_large(path: Path, size: str, max_pixels: int) -> HimeError:
    return HimeError(
        f"{path}: too large ({size}, the limit is {max_pixels / 1e6:g} megapixels); make it smaller"
    )


def orientation(picture: ImageFile.ImageFile) -> int:
    """EXIF's orientation, 1…8; 1, upright, where it says nothing or is damaged."""
    try:
        exif = picture.getexif()
        if picture.format in ("AVIF", "HEIF"):
            # There Pillow's word is the file's own; XMP, where it looks next, may be out of date.
            exif = PIL.Image.Exif()
            exif.load(picture.info.get("exif", b""))
        value = int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # the decoder of EXIF has no common base of errors either
        return 1  # damaged metadata say nothing about orientation, and nothing against the picture
    return value if value in _TURNS else 1


def is_grey(picture: PIL.Image.Image) -> bool:
    """Whether a decoded picture has one channel of light."""
    return picture.mode in _GREY_MODES
