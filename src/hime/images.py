"""The image contract: files ⇄ arrays, and the one way sizes are changed.

Outside (files, the library's surface) a picture is `Image`: uint8 H×W×3, sRGB. Inside (networks) it is
*planes*: float32 N×3×H×W in [0, 1]. `to_planes` and `from_planes` are the only crossings.

Files are PNG, JPEG or WebP, told by their content. What a file may hold, and what becomes of it:

- EXIF orientation is applied; an embedded colour profile is converted to sRGB (perceptual intent). Without
  a profile, or with one that is damaged or of another kind of colour than the picture, values are taken as
  sRGB.
- Grey and palette become RGB. CMYK goes through its profile, or Pillow's plain inversion without one.
- 16 bits a channel are brought to 8.
- Alpha is composited over white, after the colour conversion.
- Animations are refused: which frame is meant is for the user to say. (The second picture that cameras
  append to a JPEG is no animation; the first is read.)
- Truncated and damaged files are refused, never filled up with grey.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ExifTags, ImageCms, ImageDraw, ImageFile, ImageFont
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
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

_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}  # EXIF orientation → what sets the picture upright (EXIF 2.32, tag 0x0112)

_SPELLED = str.maketrans({"×": "x", "→": "->", "–": "-", "—": "-"})

_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # ICC colour space → Pillow mode


# --------------------------------------------------------------------------------------------- files


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> Image:
    """Read a PNG, JPEG or WebP file as the module's contract says.

    Args:
        path: the file; its name plays no part.
        max_pixels: largest width × height. Compared with the header, before anything is decoded.

    Returns:
        uint8 H×W×3, sRGB, upright; its own memory, writable.

    Raises:
        HimeError: missing, not readable, no such picture, animated, too large, truncated or damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _decode(file, path, max_pixels)
    except HimeError:
        raise
    except FileNotFoundError:
        raise HimeError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise HimeError(f"{path}: is a folder; give a picture file") from None
    except PermissionError:
        raise HimeError(f"{path}: may not be read; check the file's permissions") from None
    except Exception as error:
        # Pillow's decoders answer damaged bytes with OSError, SyntaxError, ValueError, struct.error,
        # zlib.error and others that share no base; whichever it is, the file cannot be used.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HimeError(f"{path}: truncated or damaged ({reason}); replace it by an intact copy") from error


def _decode(file: io.BufferedReader, path: Path, max_pixels: int) -> Image:
    picture = _open_by_content(file, path, max_pixels)
    width, height = picture.size
    if width * height > max_pixels:
        raise _too_large(path, f"{width}×{height} pixels", max_pixels)
    if getattr(picture, "n_frames", 1) > 1:
        raise HimeError(f"{path}: an animation; save the frame you mean as a picture of its own")
    picture.load()
    upright = _TURNS.get(_orientation(picture))
    colours = _to_srgb(picture)
    return np.array(colours if upright is None else colours.transpose(upright))


def _open_by_content(file: io.BufferedReader, path: Path, max_pixels: int) -> ImageFile.ImageFile:
    # The decoders are called directly rather than by PIL.Image.open, whose own limit on pixels is a
    # global setting, and which takes formats that are not in the contract.
    start = file.read(12)
    file.seek(0)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(file)
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(file)
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        try:
            return WebPImageFile(file)
        except PIL.Image.DecompressionBombError as error:  # from 179 megapixels on, before a size is known
            raise _too_large(path, str(error), max_pixels) from None
    if not start:
        raise HimeError(f"{path}: is empty; replace it by an intact copy")
    raise HimeError(
        f"{path}: is not a PNG, JPEG or WebP picture, whatever its name; convert it to one of these"
    )


def _too_large(path: Path, size: str, max_pixels: int) -> HimeError:
    return HimeError(
        f"{path}: too large ({size}, the limit is {max_pixels / 1e6:g} megapixels); make it smaller"
    )


def _orientation(picture: ImageFile.ImageFile) -> int:
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the decoder of EXIF has no common base of errors either
        return 1  # damaged metadata say nothing about orientation, and nothing against the picture


def _to_srgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Any mode the three decoders give → mode RGB in sRGB, alpha over white."""
    profile = picture.info.get("icc_profile")
    is_grey = picture.mode in ("1", "L", "LA") or picture.mode.startswith("I")
    alpha = None
    if picture.mode.startswith("I"):  # 16-bit grey; the 16-bit colour modes of PNG arrive as 8 bits
        picture = PIL.Image.fromarray(np.rint(np.asarray(picture) / 257).astype(np.uint8))
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    if picture.mode != "CMYK":
        picture = picture.convert("RGB")
    colours = _apply_profile(picture, profile, is_grey).convert("RGB")
    if alpha is not None:
        colours = PIL.Image.composite(colours, PIL.Image.new("RGB", colours.size, "white"), alpha)
    return colours


def _apply_profile(picture: PIL.Image.Image, profile: bytes | None, is_grey: bool) -> PIL.Image.Image:
    if not profile:
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _PROFILE_MODES.get(source.profile.xcolor_space.strip())
        if mode is None or (mode == "CMYK") != (picture.mode == "CMYK") or (mode == "L" and not is_grey):
            return picture
        if mode == "L":
            picture = picture.convert("L")  # exact: the three channels are the same
        converted = ImageCms.profileToProfile(
            picture, source, ImageCms.createProfile("sRGB"), ImageCms.Intent.PERCEPTUAL, outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError):
        return picture
    assert converted is not None  # None is for inPlace only
    return converted


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
    picture = PIL.Image.fromarray(image)
    try:
        return write_atomically(path, lambda temporary: picture.save(temporary, **chosen))
    except HimeError:
        raise
    except ValueError as error:  # more pixels a side than the format has room for
        raise HimeError(f"{path}: cannot be written ({error}); choose another format") from error


def images_in(folder: Path | str) -> list[Path]:
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
    return [path for path in candidates if path.suffix.lower() in SUFFIXES and path.is_file()]


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
