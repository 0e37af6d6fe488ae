"""The image contract: files ⇄ arrays, and the one way sizes are changed.

Outside (files, the library's surface) a picture is `Image`: uint8 H×W×3, sRGB. Inside (networks) it is
*planes*: float32 N×3×H×W in [0, 1]. `to_planes` and `from_planes` are the only crossings.

Files are told by their content: PNG, JPEG, WebP, TIFF, BMP, GIF; AVIF and HEIC where their decoders are
installed. What a file may hold, and what becomes of it:

- EXIF orientation is applied; an embedded colour profile is converted to sRGB (perceptual intent). Without
  a profile, or with one that is damaged or of another kind of colour than the picture, values are taken as
  sRGB.
- Grey and palette become RGB. CMYK goes through its profile, or Pillow's plain inversion without one.
- 16 bits a channel are brought to 8; 32 bits and Lab are refused.
- Alpha is composited over white, after the colour conversion.
- Animations and files of several pages are refused: which frame is meant is for the user to say. (The
  further pictures that cameras append to a JPEG or HEIC are no animation; the main one is read.) So are raw
  files, whose ordinary picture is a preview.
- Truncated and damaged files are refused, never filled up with grey.

`hime.picture` reads and writes photographs with all else that they carry.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ExifTags, ImageCms, ImageDraw, ImageFile, ImageFont
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from hime.errors import HimeError
from hime.files import write_atomically

Image = npt.NDArray[np.uint8]
"""uint8 H×W×3, sRGB."""

Panel = tuple[str, Image]
"""A caption (may hold line breaks) and the picture above it."""

MAX_PIXELS = 64_000_000
"""Decoded pixels that `read_image` takes by default: 64 megapixels, 192 MB as an array."""

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
"""File name endings, in lower case, by which pictures are found in folders and written."""

_TURNS: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: array.swapaxes(0, 1)[:, ::-1],
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: array.swapaxes(0, 1)[::-1],
}  # EXIF orientation → what sets the picture upright (EXIF 2.32, tag 0x0112)

_SPELLED = str.maketrans({"×": "x", "→": "->", "–": "-", "—": "-"})

_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # ICC colour space → Pillow mode
_GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
_MODES = (*_GREY_MODES, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr", "CMYK")
_READ = "a PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC picture"


# --------------------------------------------------------------------------------------------- files


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


def upright(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """The rows and columns of H×W×… as EXIF's ``orientation`` says they are to be seen; a copy."""
    turn = _TURNS.get(orientation)
    return np.array(array if turn is None else turn(array), order="C")


def is_grey(picture: PIL.Image.Image) -> bool:
    """Whether a decoded picture has one channel of light."""
    return picture.mode in _GREY_MODES


def to_srgb(
    picture: PIL.Image.Image,
) -> tuple[PIL.Image.Image, PIL.Image.Image | None, ImageCms.ImageCmsProfile | None]:
    """A decoded picture → its colours in sRGB, mode RGB; its alpha, mode L; the profile that was applied."""
    profile = _profile(picture)
    grey = is_grey(picture)
    alpha = None
    if picture.mode.startswith("I"):  # 16-bit grey; the 16-bit colour modes of PNG arrive as 8 bits
        picture = PIL.Image.fromarray(to_8_bits(np.asarray(picture).astype(np.uint16)))
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    if picture.mode != "CMYK":
        picture = picture.convert("RGB")
    if profile is not None:
        if grey and profile.profile.xcolor_space.strip() == "GRAY":
            picture = picture.convert("L")  # exact: the three channels are the same
        converted = convert_profile(picture, profile, ImageCms.createProfile("sRGB"), "RGB")
        if converted is not None:
            return converted, alpha, profile
    return picture.convert("RGB"), alpha, None


def _profile(picture: PIL.Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The colour profile that a picture carries, if it is of its kind of colour."""
    content = picture.info.get("icc_profile")
    if not content:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    except (ImageCms.PyCMSError, OSError):
        return None
    mode = _PROFILE_MODES.get(profile.profile.xcolor_space.strip())
    fits = (mode == "CMYK") == (picture.mode == "CMYK") and (mode != "L" or is_grey(picture))
    return profile if mode is not None and fits else None


def convert_profile(picture: PIL.Image.Image, source: Any, target: Any, mode: str) -> PIL.Image.Image | None:
    """From one colour profile to another (perceptual intent); None if one is damaged or one-way."""
    try:
        return ImageCms.profileToProfile(picture, source, target, ImageCms.Intent.PERCEPTUAL, outputMode=mode)
    except (ImageCms.PyCMSError, OSError):
        return None


def to_8_bits(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """16-bit levels → the nearest of the 8-bit levels, which are 257 apart."""
    levels, rest = np.divmod(values, np.uint16(257))
    return levels.astype(np.uint8) + (rest > 128)


def write_image(path: Path | str, image: Image) -> Path:
    """Write a picture, whole or not at all; the suffix chooses the format.

    PNG and WebP keep every value (WebP lossless); JPEG is written at quality 95 without chroma subsampling.

    Raises:
        HimeError: another suffix, not a picture, or the file cannot be written.
    """
    path = Path(path)
    check_image(image, f"{path}: the picture")
    options: dict[str, dict[str, Any]] = {
        ".png": {"format": "PNG"},
        ".webp": {"format": "WEBP", "lossless": True, "exact": True},
        ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    }
    suffix = path.suffix.lower()
    chosen = options.get(".jpg" if suffix == ".jpeg" else suffix)
    if chosen is None:
        raise HimeError(
            f"{path}: cannot write {suffix or 'a file without suffix'}; use one of {', '.join(SUFFIXES)}"
        )
    content = io.BytesIO()
    try:
        PIL.Image.fromarray(image).save(content, **chosen)
    except ValueError as error:  # more pixels a side than the format has room for
        raise HimeError(f"{path}: cannot be written ({error}); choose another format") from error
    return write_atomically(path, lambda temporary: temporary.write_bytes(content.getbuffer()))


def images_in(folder: Path | str, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """The picture files of a folder by their suffix, sorted by name; hidden files and subfolders left out.

    Raises:
        HimeError: there is no such folder, or it may not be read.
    """
    folder = Path(folder)
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise HimeError(
            f"{folder}: not a folder that can be read ({error.strerror}); check the path"
        ) from None
    candidates = (folder / name for name in names if not name.startswith("."))
    return [path for path in candidates if path.suffix.lower() in suffixes and path.is_file()]


def check_image(image: object, what: str = "the picture") -> None:
    """Check that ``image`` is an `Image` with at least one pixel.

    Raises:
        HimeError: it is not; the message begins with ``what``.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise HimeError(f"{what} must be a uint8 array of shape (height, width, 3), not {found}")
    if image.size == 0:
        raise HimeError(f"{what} has no pixels: shape {image.shape}")


# --------------------------------------------------------------------------------------------- sizes


def resize(image: Image, height: int, width: int) -> Image:
    """Bicubic resampling (a = −0.5), antialiased where it shrinks, rounded to 8 bits: Pillow's BICUBIC.

    Pixel centres at half-integers, the kernel stretched by the factor of shrinking and renormalised at the
    borders. Rows are resampled to 8 bits first, then columns.

    Raises:
        HimeError: a side below 1.
    """
    return _resample(image, height, width, PIL.Image.Resampling.BICUBIC)


def downscale(hr: Image, scale: int) -> Image:
    """The degradation: HR → LR by `resize`, sides divided by ``scale`` and rounded down.

    All figures of the project are for LR pictures made this way, unless a preset says otherwise.
    """
    height, width = hr.shape[:2]
    return resize(hr, height // scale, width // scale)


def upscale(lr: Image, scale: int) -> Image:
    """The bicubic baseline: LR → sides times ``scale`` by `resize`."""
    height, width = lr.shape[:2]
    return resize(lr, height * scale, width * scale)


def area_reduce(image: Image, height: int, width: int) -> Image:
    """Each output pixel is the mean of the area it covers: Pillow's BOX. For shrinking only.

    Raises:
        HimeError: a side would grow.
    """
    if height > image.shape[0] or width > image.shape[1]:
        raise HimeError(
            f"cannot reduce {image.shape[1]}×{image.shape[0]} to {width}×{height} pixels; give a larger one"
        )
    return _resample(image, height, width, PIL.Image.Resampling.BOX)


def _resample(image: Image, height: int, width: int, method: PIL.Image.Resampling) -> Image:
    check_image(image)
    if height < 1 or width < 1:
        raise HimeError(
            f"cannot make a picture of {width}×{height} pixels; give a larger one or another size"
        )
    return np.array(PIL.Image.fromarray(image).resize((width, height), method))


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


# -------------------------------------------------------------------------------------------- planes


def to_planes(image: Image) -> npt.NDArray[np.float32]:
    """uint8 H×W×3 → float32 1×3×H×W in [0, 1], contiguous."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[np.newaxis], dtype=np.float32) / np.float32(255)


def from_planes(planes: npt.NDArray[np.floating]) -> Image:
    """float 1×3×H×W (or 3×H×W) → uint8 H×W×3: clipped to [0, 1], rounded (half to even).

    Raises:
        ValueError: another shape, or a value that is not finite.
    """
    if planes.ndim == 4 and planes.shape[0] == 1:
        planes = planes[0]
    if planes.ndim != 3 or planes.shape[0] != 3:
        raise ValueError(f"planes must be 1×3×H×W or 3×H×W, not {planes.shape}")
    if not np.isfinite(planes).all():
        raise ValueError("planes hold values that are not finite")
    levels = np.rint(np.clip(planes, 0, 1) * np.float32(255)).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


# --------------------------------------------------------------------------------------- contact sheet


def contact_sheet(
    rows: Sequence[Sequence[Panel]], headings: Sequence[str] = (), margin: int = 6, text_size: int = 12
) -> Image:
    """Pictures in rows with a caption below each, dark on white, in Pillow's built-in font.

    Columns are as wide as their widest picture or caption, rows as high as their highest. Pictures are
    drawn pixel by pixel, never resized. Rows may differ in length. The font has little more than ASCII:
    accents are dropped, × is drawn as x, and what cannot be spelled so as a question mark.

    Args:
        rows: captions and pictures, row by row.
        headings: of the first columns, above the first row.
        margin: pixels around each panel.
        text_size: of the captions, in pixels.

    Raises:
        HimeError: no panel at all, or one that is no picture.
    """
    panels = [panel for row in rows for panel in row]
    if not panels:
        raise HimeError("a contact sheet needs at least one picture")
    for caption, image in panels:
        check_image(image, f"the picture {caption!r}")
    rows = [[(_drawable(caption), image) for caption, image in row] for row in rows]
    font = ImageFont.load_default(text_size)
    ruler = ImageDraw.Draw(PIL.Image.new("RGB", (1, 1)))

    def extent(caption: str) -> tuple[int, int]:
        _, _, right, bottom = ruler.multiline_textbbox((0, 0), caption, font=font)
        return int(np.ceil(right)), int(np.ceil(bottom))

    columns = max(len(row) for row in rows)
    headings = [_drawable(heading) for heading in headings[:columns]]
    widths = [
        max(max(row[column][1].shape[1], extent(row[column][0])[0]) for row in rows if column < len(row))
        for column in range(columns)
    ]
    widths = [
        max(pair) for pair in zip_longest(widths, (extent(heading)[0] for heading in headings), fillvalue=0)
    ]
    picture_heights = [max((image.shape[0] for _, image in row), default=0) for row in rows]
    caption_heights = [max((extent(caption)[1] for caption, _ in row), default=0) for row in rows]
    gaps = 3 * margin  # above the picture, between it and its caption, below
    width = sum(widths) + margin * (columns + 1)
    top = max(extent(heading)[1] for heading in headings) + margin if headings else 0
    height = top + sum(picture_heights) + sum(caption_heights) + gaps * len(rows)
    sheet = PIL.Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    left = margin
    for heading, column_width in zip(headings, widths, strict=False):
        draw.text((left, margin), heading, fill="black", font=font)
        left += column_width + margin
    for row, picture_height, caption_height in zip(rows, picture_heights, caption_heights, strict=True):
        left = margin
        for (caption, image), column_width in zip(row, widths, strict=False):
            sheet.paste(PIL.Image.fromarray(image), (left, top + margin))
            draw.multiline_text((left, top + 2 * margin + picture_height), caption, fill="black", font=font)
            left += column_width + margin
        top += picture_height + caption_height + gaps
    return np.array(sheet)


def _drawable(caption: str) -> str:
    spelled = caption.translate(_SPELLED)
    plain = (letter for letter in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() or letter in "·°±" else "?" for letter in plain)
