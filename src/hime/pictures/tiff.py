"""What a TIFF file holds: which page is the picture, whether it is one that is read, and deep TIFF written.

Reduced copies, masks and the infrared channel that scanners store as pages of their own are not the picture,
and do not make a file one of several pages.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ExifTags
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COMPRESSION,
    EXTRASAMPLES,
    IMAGELENGTH,
    IMAGEWIDTH,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    PREDICTOR,
    ROWSPERSTRIP,
    SAMPLESPERPIXEL,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    ImageFileDirectory_v2,
)

from hime.pictures.directories import Directories, Entry

_SUBFILE, _OLD_SUBFILE, _SAMPLE_FORMAT, _PAGE_NAME, _DESCRIPTION = 254, 255, 339, 285, 270
_REDUCED, _MASK = 1, 4  # bits of the first of these (TIFF 6.0, page 36)
_MASK_PHOTOMETRIC, _SENSOR, _LINEAR_RAW = 4, 32_803, 34_892
_WHITE_IS_ZERO = 0
_LAB = (8, 9, 10)
_DNG_VERSION = 50_706
_EFFORT = 3
"""Of Deflate, of 9: a quarter of the time of the usual 6, for 3 % of the values' size."""
_SAVE_AS = "save it as RGB or grey of 8 or 16 bits a channel"


@dataclass(frozen=True)
class TiffPage:
    """The page of a TIFF file that is the picture.

    Attributes:
        number: of the page, from 0.
        bits: of each channel.
        white_is_zero: whether 0 is white.
        orientation: EXIF's, 1 to 8; Pillow sets the picture upright as it loads it.
        photometric_place: where in the file the photometric interpretation stands.
    """

    number: int
    bits: tuple[int, ...]
    white_is_zero: bool
    orientation: int
    photometric_place: int


def find_page(file: BinaryIO) -> TiffPage | str:
    """The page that is the picture; or why the file is not read and what to do, in plain words.

    Raises:
        ValueError: the directories are damaged.
    """
    file.seek(8)
    if file.read(2) == b"CR":  # Canon's CR2
        return "a raw file of a camera; develop it and give the finished picture"
    directories = Directories(file)
    main = [number for number, page in enumerate(directories.chain) if _is_picture(directories, page)]
    if not main or any(_is_raw(directories, page) for page in directories.chain):
        return "a raw file of a camera; develop it and give the finished picture"
    if len(main) > 1:
        return "holds several pages; save the one you mean as a picture of its own"
    page = directories.chain[main[0]]
    if reason := _why_not_read(directories, page):
        return reason
    photometric = page.get(PHOTOMETRIC_INTERPRETATION)
    white_is_zero = directories.whole_numbers(photometric)[:1] == (_WHITE_IS_ZERO,)
    bits = directories.whole_numbers(page.get(BITSPERSAMPLE)) or (1,)
    orientation = (directories.whole_numbers(page.get(ExifTags.Base.Orientation)) or (1,))[0]
    return TiffPage(
        main[0],
        bits,
        white_is_zero,
        orientation if 1 <= orientation <= 8 else 1,
        photometric.place if photometric else 0,
    )


def is_raw(file: BinaryIO) -> bool:
    """Whether a TIFF file is a camera's raw file."""
    try:
        found = find_page(file)
    except Exception:  # damaged: that is told when it is read
        return False
    return isinstance(found, str) and found.startswith("a raw file")


def _is_picture(directories: Directories, page: dict[int, Entry]) -> bool:
    subfile = directories.whole_numbers(page.get(_SUBFILE)) or (0,)
    old = directories.whole_numbers(page.get(_OLD_SUBFILE))[:1]
    photometric = directories.whole_numbers(page.get(PHOTOMETRIC_INTERPRETATION))[:1]
    names = f"{directories.text(page.get(_PAGE_NAME))} {directories.text(page.get(_DESCRIPTION))}".lower()
    return not (
        subfile[0] & (_REDUCED | _MASK)
        or old == (2,)
        or photometric == (_MASK_PHOTOMETRIC,)
        or "infrared" in names
    )


def _is_raw(directories: Directories, page: dict[int, Entry]) -> bool:
    photometric = directories.whole_numbers(page.get(PHOTOMETRIC_INTERPRETATION))[:1]
    return _DNG_VERSION in page or photometric in ((_SENSOR,), (_LINEAR_RAW,))


def _why_not_read(directories: Directories, page: dict[int, Entry]) -> str | None:
    bits = directories.whole_numbers(page.get(BITSPERSAMPLE)) or (1,)
    if 3 in directories.whole_numbers(page.get(_SAMPLE_FORMAT)):
        return f"channels of {max(bits)} bits, floating point; {_SAVE_AS}"
    if max(bits) > 16:
        return f"channels of {max(bits)} bits; {_SAVE_AS}"
    if (
        max(bits) > 8
        and len(bits) > 1
        and directories.whole_numbers(page.get(PLANAR_CONFIGURATION))[:1] == (2,)
    ):
        # Pillow gives pixels of noise, without a word.
        return f"{max(bits)} bits with each channel in a plane of its own; save it with interleaved channels"
    if directories.whole_numbers(page.get(PHOTOMETRIC_INTERPRETATION))[:1] in tuple((kind,) for kind in _LAB):
        return f"colours of the kind Lab; {_SAVE_AS}"
    return None


def readable_by_pillow(file: BinaryIO, page: TiffPage) -> BinaryIO:
    """The file, or a copy in which white is called 1: Pillow knows 16 bits with white as 0 in one byte order
    only, and does not turn them round. Whoever reads on must.
    """
    if not inverted_by_us(page):
        file.seek(0)
        return file
    file.seek(0)
    content = bytearray(file.read())
    at = page.photometric_place  # a short: its low byte stands first or second
    content[at : at + 2] = b"\1\0" if content[:2] == b"II" else b"\0\1"
    return io.BytesIO(content)


def inverted_by_us(page: TiffPage) -> bool:
    """Whether Pillow leaves it to us to turn black into white."""
    return page.white_is_zero and max(page.bits) > 8


def encode_tiff(
    values: npt.NDArray[Any], exif: PIL.Image.Exif, *, compress: bool, tags: dict[int, Any]
) -> bytes:
    """A TIFF file of 8 or 16 bits a channel, with directories of EXIF; Pillow writes neither colours of 16
    bits, nor compressed files with such directories.

    Args:
        values: uint8 or uint16, H×W (grey), or H×W×2, 3, 4 (grey and alpha, RGB, RGB and alpha).
        exif: what the first directory shall hold beside the picture.
        compress: by Deflate with horizontal differences, without loss.
        tags: further ones of the first directory, such as the colour profile.
    """
    values = values[:, :, np.newaxis] if values.ndim == 2 else values
    height, width, channels = values.shape
    directory = ImageFileDirectory_v2()
    for tag, value in exif.items():
        directory[tag] = value
    for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if tag in exif:
            below = dict(exif.get_ifd(tag))
            if ExifTags.IFD.Interop in below:  # else where it was in the old file would be written
                below[ExifTags.IFD.Interop] = exif.get_ifd(ExifTags.IFD.Interop)
            directory[tag] = below
    for tag, value in tags.items():
        directory[tag] = value
    rows = max(1, 1_000_000 // (width * channels * values.itemsize))
    strips = [_strip(values[top : top + rows], compress=compress) for top in range(0, height, rows)]
    directory[IMAGEWIDTH], directory[IMAGELENGTH] = width, height
    directory[BITSPERSAMPLE] = (8 * values.itemsize,) * channels
    directory[SAMPLESPERPIXEL] = channels
    directory[PHOTOMETRIC_INTERPRETATION] = 2 if channels > 2 else 1
    directory[COMPRESSION] = 8 if compress else 1
    if compress:
        directory[PREDICTOR] = 2
    if channels in (2, 4):
        directory[EXTRASAMPLES] = 2  # alpha, not multiplied into the colours
    directory[ROWSPERSTRIP] = rows
    directory[STRIPBYTECOUNTS] = tuple(len(strip) for strip in strips)
    directory[STRIPOFFSETS] = tuple(np.cumsum([0, *(len(strip) for strip in strips[:-1])]).tolist())
    content = io.BytesIO()
    directory.save(content)  # which adds to the strips' places what lies before them
    return b"".join([content.getvalue(), *strips])


def _strip(values: npt.NDArray[Any], *, compress: bool) -> bytes:
    if not compress:
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    differences = values.copy()
    differences[:, 1:] -= values[:, :-1]  # modulo 2^bits, as the predictor wants it (TIFF 6.0, section 14)
    return zlib.compress(differences.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(), _EFFORT)
