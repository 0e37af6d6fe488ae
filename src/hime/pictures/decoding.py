"""Picture files → decoded pictures of Pillow, told by their content, never by their name.

PNG, JPEG, WebP, TIFF, BMP, GIF, JPEG 2000, PPM, TGA; AVIF and HEIC where their decoders are installed. What a
file may hold:

- Animations and files of several pages are refused: which frame is meant is for the user to say. (The
  further pictures that cameras append to a JPEG or HEIC are no animation; the main one is read, and so it is
  of a TIFF beside its reduced copies, masks and infrared channel.) So are raw files, whose ordinary picture
  is a preview.
- 32 bits a channel and Lab are refused.
- Truncated and damaged files are refused, never filled up with grey.

JPEG XL is refused too: the decoder there is for Pillow (pillow-jxl-plugin 1.3) decodes before the size can be
looked at, and takes the first picture of an animation for the whole.

All of it may be called from several threads at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import PIL._imaging
import PIL.Image
from PIL import ExifTags, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TgaImagePlugin import TgaImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from hime.errors import HimeError, how_to_install
from hime.files import open_file, unreadable
from hime.pictures.arrays import _TURNS
from hime.pictures.boxes import Boxes, read_boxes
from hime.pictures.directories import is_sound
from hime.pictures.formats import format_of, is_tga, tail, why_not_read
from hime.pictures.jpeg import JpegScan, scan_jpeg
from hime.pictures.tiff import TiffPage, find_page, readable_by_pillow

MAX_PIXELS = 64_000_000
"""Decoded pixels that `read_image` takes by default: 64 megapixels, 192 MB as an array."""
_GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I")
_MODES = (*_GREY_MODES[:-1], "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr", "CMYK")
_UNKNOWN = re.compile("unsupported|unknown|unrecogni[sz]ed|not supported|cannot handle|not implemented", re.I)
"""How Pillow speaks of what it does not read, in whatever exception."""
_NO_EXIF = b"\0\0\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"
"""A block of EXIF in an ISO base media file, that says nothing."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A decoded picture and the file it is from, while that is open.

    Attributes:
        picture: as Pillow holds it.
        file: open, anywhere.
        boxes: of HEIF, AVIF and JPEG 2000.
        page: of a TIFF.
        scan: of a JPEG.
        notes: what was passed over in opening it, in plain words.
    """

    picture: ImageFile.ImageFile
    file: BinaryIO
    boxes: Boxes = field(default_factory=Boxes)
    page: TiffPage | None = None
    scan: JpegScan | None = None
    notes: tuple[str, ...] = ()

    def content(self) -> bytes:
        """The whole file."""
        self.file.seek(0)
        return self.file.read()


@contextlib.contextmanager
def open_picture(path: Path | str, max_pixels: int = MAX_PIXELS, *, decode: bool = True) -> Iterator[Opened]:
    """The decoded picture of a file, as Pillow holds it, while it is taken apart.

    Without ``decode`` only what is before its pixels: size and metadata. What Pillow raises within the
    ``with`` block is told as damage of the file too.

    Raises:
        HimeError: missing, not readable, no such picture, animated, too large, truncated or damaged.
    """
    path = Path(path)
    try:
        with open_file(path) as file, unremarked():
            yield _opened(file, path, max_pixels, decode)
    except HimeError:
        raise
    except PIL.Image.DecompressionBombError as error:  # from 179 megapixels on, where a size comes late
        raise _too_large(path, str(error), max_pixels) from None
    except MemoryError:
        raise HimeError(f"{path}: does not fit into memory; make it smaller") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's word, not a decoder's
            raise unreadable(path, error) from error
        # Pillow's decoders answer damaged bytes with OSError, SyntaxError, ValueError, struct.error,
        # zlib.error and others that share no base; whichever it is, the file cannot be used.
        reason = " ".join(str(error).split()) or type(error).__name__
        if _UNKNOWN.search(reason):
            raise HimeError(
                f"{path}: of a kind that is not read, or damaged ({reason}); save it as PNG, TIFF or JPEG"
            ) from error
        raise HimeError(f"{path}: truncated or damaged ({reason}); replace it by an intact copy") from error


def _opened(file: BinaryIO, path: Path, max_pixels: int, decode: bool) -> Opened:
    opened = _open_by_content(file, path)
    picture = opened.picture
    _check_size(picture, path, max_pixels)
    if picture.format not in ("HEIF", "TIFF") and getattr(picture, "n_frames", 1) > 1:
        raise HimeError(f"{path}: an animation; save the one you mean as a picture of its own")
    if picture.mode not in _MODES and (picture.format, picture.mode) != ("PPM", "I"):
        raise HimeError(
            f"{path}: colours of the kind {picture.mode}; save it as RGB or grey of 8 or 16 bits a channel"
        )
    if picture.format == "TIFF":
        quiet_libtiff()
    if not decode:
        return opened
    picture.load()
    _check_size(picture, path, max_pixels)  # HEIC's is known for certain only now
    return opened


class _Unremarked:
    """Without what Pillow says, by warnings and logging, about files that it reads, or refuses.

    Filters of warnings are the process's: the first that enters sets them, the last that leaves, in whatever
    thread, puts back what was there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = warnings.catch_warnings()
        self._handler = logging.NullHandler()  # where there is another, the program's own, it still is told

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)(\.|$)")
                logging.getLogger("PIL").addHandler(self._handler)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._before.__exit__(None, None, None)
                logging.getLogger("PIL").removeHandler(self._handler)


_UNREMARKED = _Unremarked()


def unremarked() -> contextlib.AbstractContextManager[None]:
    """Within it, Pillow says nothing by warnings and logging about files that it reads, or refuses."""
    return _UNREMARKED


@functools.cache
def quiet_libtiff() -> None:
    """Let libtiff write nothing to standard error past Python: its errors reach us by Pillow all the same.

    Where Pillow holds libtiff within itself (on Windows) there is no way to tell it.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(PIL._imaging.__file__)  # there already; so is what it is linked with
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            set_handler = getattr(library, name)
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)


def _check_size(picture: ImageFile.ImageFile, path: Path, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise _too_large(path, f"{width}×{height} pixels", max_pixels)
    if width * height == 0:
        raise HimeError(f"{path}: has no pixels; replace it by an intact copy")


def _open_by_content(file: BinaryIO, path: Path) -> Opened:
    # The decoders are called directly rather than by PIL.Image.open, whose own limit on pixels is a
    # global setting, and which takes formats that are not in the contract.
    start = file.read(64)
    form = format_of(start)
    if form is None:
        end = tail(file)
        file.seek(0)
        if is_tga(path, start, end):
            return Opened(TgaImageFile(file), file)
        raise HimeError(f"{path}: {why_not_read(start)}")
    if form == "JPEG":
        return _open_jpeg(file)
    if form == "TIFF":
        return _open_tiff(file, path)
    if form in ("AVIF", "HEIF"):
        return _open_items(file, path, form)
    boxes = read_boxes(file) if form == "JPEG2000" else Boxes()
    file.seek(0)
    plugins: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
        "PNG": PngImageFile,
        "WEBP": WebPImageFile,
        "GIF": GifImageFile,
        "BMP": BmpImageFile,
        "JPEG2000": Jpeg2KImageFile,
        "PPM": PpmImageFile,
    }
    picture = plugins[form](file)
    return Opened(picture, file, boxes, notes=_without_unsound_exif(picture))


UNSOUND_EXIF = "its EXIF is damaged and left out"


def _without_unsound_exif(picture: ImageFile.ImageFile) -> tuple[str, ...]:
    """Take EXIF that names more than it can hold away before Pillow takes it apart."""
    exif = picture.info.get("exif")
    if not isinstance(exif, bytes) or is_sound(exif):
        return ()
    del picture.info["exif"]
    return (UNSOUND_EXIF,)


def _open_jpeg(file: BinaryIO) -> Opened:
    file.seek(0)
    content = file.read()
    scan = scan_jpeg(content)
    if scan.exif and not is_sound(scan.joined(content, scan.exif)):
        picture = JpegImageFile(io.BytesIO(scan.without(content, scan.exif)))
        return Opened(picture, file, scan=scan, notes=(UNSOUND_EXIF,))
    file.seek(0)
    return Opened(JpegImageFile(file), file, scan=scan)


def _open_tiff(file: BinaryIO, path: Path) -> Opened:
    page = find_page(file)
    if isinstance(page, str):
        raise HimeError(f"{path}: {page}")
    picture = TiffImageFile(readable_by_pillow(file, page))
    if page.number:
        picture.seek(page.number)
    return Opened(picture, file, page=page)


def _open_items(file: BinaryIO, path: Path, form: str) -> Opened:
    """HEIC or AVIF."""
    boxes = read_boxes(file)
    file.seek(0)
    if form == "HEIF":
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise HimeError(
                f"{path}: a HEIC picture; {how_to_install('heif')}, or convert it to JPEG"
            ) from None
        picture: ImageFile.ImageFile = HeifImageFile(file)
        return Opened(picture, file, boxes, notes=_without_unsound_exif(picture))
    notes: tuple[str, ...] = ()
    source: BinaryIO = file
    for place, length in boxes.exif:
        file.seek(place)
        block = file.read(length)
        if len(block) > len(_NO_EXIF) and not is_sound(block[4 + int.from_bytes(block[:4], "big") :]):
            file.seek(0)  # Pillow takes it apart as it opens the file
            content = bytearray(file.read())
            content[place : place + len(block)] = _NO_EXIF.ljust(len(block), b"\0")
            source, notes = io.BytesIO(content), (UNSOUND_EXIF,)
    source.seek(0)
    return Opened(AvifImageFile(source), file, boxes, notes=notes)


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


def metadata_orientation(opened: Opened) -> int:
    """By which orientation the picture was set upright after its metadata were written: by us or, as HEIC's
    and TIFF's are, by the decoder.
    """
    if opened.page is not None:
        return opened.page.orientation
    if opened.picture.format != "HEIF":
        return orientation(opened.picture)
    value = opened.picture.info.get("original_orientation")
    return value if value in _TURNS else 1


def is_grey(picture: PIL.Image.Image) -> bool:
    """Whether a decoded picture has one channel of light."""
    return picture.mode in _GREY_MODES
