"""Decoded pictures → sRGB, in 8 bits a channel, or 16 where a file has them.

- An embedded colour profile, or another declaration of colours (see `hime.pictures.declared`), is converted
  to sRGB (perceptual intent). Without any, or with a profile that is damaged or of another kind of colour
  than the picture, values are taken as sRGB.
- Grey and palette become RGB. CMYK goes through its profile, or Pillow's plain inversion without one.
- What colours a profile has beyond sRGB's, `beyond_srgb` keeps beside, and `add_beyond` gives back.
- `deep_to_srgb` takes 16 bits a channel through profiles of a matrix and curves.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ImageCms

from hime.pictures.arrays import DeepImage, to_8_bits
from hime.pictures.decoding import is_grey
from hime.pictures.profiles import read_deep_profile

Levels = npt.NDArray[np.signedinteger[Any]]

_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # ICC colour space → Pillow mode
_LEVELS = np.repeat(np.arange(256, dtype=np.uint16)[np.newaxis, :, np.newaxis] * 257, 3, axis=2)


def to_srgb(
    picture: PIL.Image.Image, profile: bytes | None
) -> tuple[PIL.Image.Image, PIL.Image.Image | None, bool]:
    """A decoded picture of 8 bits a channel under a profile → its colours in sRGB, mode RGB; its alpha,
    mode L; whether the profile could be applied.
    """
    icc = _fitting(picture, profile)
    grey = is_grey(picture)
    alpha = None
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    if picture.mode != "CMYK":
        picture = picture.convert("RGB")
    if profile is not None and icc is not None:
        if grey and _space(icc) == "GRAY":
            converted = _grey_to_srgb(picture.convert("L"), profile, icc)  # exact: its channels are the same
        else:
            converted = convert_profile(picture, icc, ImageCms.createProfile("sRGB"), "RGB")
        if converted is not None:
            return converted, alpha, True
    return picture.convert("RGB"), alpha, False


def _space(icc: ImageCms.ImageCmsProfile) -> str:
    return icc.profile.xcolor_space.strip()


def _grey_to_srgb(
    picture: PIL.Image.Image, profile: bytes, icc: ImageCms.ImageCmsProfile
) -> PIL.Image.Image | None:
    """By the profile's own curve: Little CMS is off by up to 10 levels in the shadows of a linear one."""
    curve = read_deep_profile(profile)
    if curve is None:
        return convert_profile(picture, icc, ImageCms.createProfile("sRGB"), "RGB")
    return picture.point(to_8_bits(curve.to_srgb(_LEVELS))[0, :, 0].tolist()).convert("RGB")


def _fitting(picture: PIL.Image.Image, content: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """The colour profile, if it is of the picture's kind of colour."""
    if not content:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    except (ImageCms.PyCMSError, OSError):
        return None
    mode = _PROFILE_MODES.get(_space(profile))
    fits = (mode == "CMYK") == (picture.mode == "CMYK") and (mode != "L" or is_grey(picture))
    return profile if mode is not None and fits else None


def convert_profile(picture: PIL.Image.Image, source: Any, target: Any, mode: str) -> PIL.Image.Image | None:
    """From one colour profile to another (perceptual intent); None if one is damaged or one-way."""
    try:
        return ImageCms.profileToProfile(picture, source, target, ImageCms.Intent.PERCEPTUAL, outputMode=mode)
    except (ImageCms.PyCMSError, OSError):
        return None


def from_srgb(picture: PIL.Image.Image, profile: bytes) -> PIL.Image.Image | None:
    """An sRGB picture → values under a profile of RGB or of grey; None if that is damaged or one-way."""
    try:
        icc = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (ImageCms.PyCMSError, OSError):
        return None
    grey = _space(icc) == "GRAY"
    curve = read_deep_profile(profile) if grey else None
    if curve is not None:
        return picture.convert("L").point(to_8_bits(curve.from_srgb(_LEVELS))[0, :, 0].tolist())
    return convert_profile(picture, ImageCms.createProfile("sRGB"), icc, "L" if grey else "RGB")


def deep_to_srgb(values: DeepImage, profile: bytes | None) -> DeepImage | None:
    """16 bits a channel under a profile → sRGB; None if only 8 bits can be taken through it."""
    if profile is None or is_srgb(profile):
        return values
    deep = read_deep_profile(profile)
    return None if deep is None else deep.to_srgb(values)


def deep_from_srgb(values: DeepImage, profile: bytes) -> DeepImage | None:
    """The reverse of `deep_to_srgb`."""
    if is_srgb(profile):
        return values
    deep = read_deep_profile(profile)
    return None if deep is None else deep.from_srgb(values)


BEYOND = 3 / 255
"""What the way to sRGB and back may change of a colour by rounding, as a share of the largest value; what it
changes by more lies beyond sRGB's colours."""


def beyond_srgb(values: npt.NDArray[Any], again: npt.NDArray[Any]) -> Levels | None:
    """What the way to sRGB and back has cut off.

    Args:
        values: H×W×3 under a profile, uint8 or uint16.
        again: those after it.

    Returns:
        The differences, H×W×3, int16 of 8 bits and int32 of 16; None where sRGB holds all of the colours.
    """
    if not any(_is_beyond(values[rows], again[rows]) for rows in _bands(len(values))):
        return None
    deep = values.dtype == np.uint16
    lost: Levels = np.subtract(values, again, dtype=np.int32 if deep else np.int16)
    return lost


def _is_beyond(values: npt.NDArray[Any], again: npt.NDArray[Any]) -> bool:
    lost = np.maximum(values, again) - np.minimum(values, again)
    return bool(lost.max(initial=0) > BEYOND * np.iinfo(values.dtype).max)


def add_beyond(
    values: npt.NDArray[Any],
    beyond: Levels,
    alpha: npt.NDArray[Any] | None = None,
    *,
    first: int = 0,
    height: int | None = None,
) -> npt.NDArray[Any]:
    """A picture under the profile, or some of its rows, with what sRGB could not hold of it, enlarged to its
    size (bicubic): as uint8 or uint16, as it was.

    Args:
        values: H×W×3, uint8 or uint16.
        beyond: see `beyond_srgb`, of the whole picture.
        alpha: by which the picture was put on another, H×W, of the type of ``values``; None: it was not.
        first: which row of the picture the first is.
        height: of the whole picture; default: that of ``values``.
    """
    count, width = values.shape[:2]
    of = height or count
    top = np.iinfo(values.dtype).max
    share = top / (255 if beyond.dtype == np.int16 else 65_535)
    added = np.empty_like(values)
    for channel in range(3):
        plane = PIL.Image.fromarray(beyond[:, :, channel].astype(np.float32))
        for rows in _bands(count):  # 48 megapixels of floats at a time would be a gigabyte
            start, end = ((first + row) * plane.height / of for row in (rows.start, rows.stop))
            box = (0, start, plane.width, end)
            size = (width, rows.stop - rows.start)
            part = share * np.asarray(plane.resize(size, PIL.Image.Resampling.BICUBIC, box=box))
            if alpha is not None:
                part *= alpha[rows].astype(np.float32) / top
            part += values[rows, :, channel]
            added[rows, :, channel] = np.rint(part).clip(0, top)
    return added


def _bands(height: int) -> Iterator[slice]:
    """The rows of a picture, some at a time."""
    return (slice(start, min(start + 256, height)) for start in range(0, height, 256))


def is_srgb(content: bytes) -> bool:
    """Whether values under this profile mean what they mean in sRGB, to within 2/255."""
    levels = np.linspace(0, 255, 16).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    picture = PIL.Image.fromarray(probe)
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    except (ImageCms.PyCMSError, OSError):
        return False
    if _space(profile) == "GRAY":
        picture = picture.convert("L")
    seen = convert_profile(picture, profile, ImageCms.createProfile("sRGB"), "RGB")
    if seen is None:
        return False
    meant = np.asarray(picture.convert("RGB")).astype(int)
    return int(np.abs(np.asarray(seen).astype(int) - meant).max()) <= 2
