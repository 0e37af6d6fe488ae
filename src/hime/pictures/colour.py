"""Decoded pictures → sRGB.

- An embedded colour profile is converted to sRGB (perceptual intent). Without a profile, or with one that is
  damaged or of another kind of colour than the picture, values are taken as sRGB.
- Grey and palette become RGB. CMYK goes through its profile, or Pillow's plain inversion without one.
- 16 bits a channel are brought to 8.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageCms

from hime.pictures.arrays import to_8_bits
from hime.pictures.decoding import is_grey

_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # ICC colour space → Pillow mode


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


def is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether values under this profile mean what they mean in sRGB, to within 2/255."""
    levels = np.linspace(0, 255, 16).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    picture = PIL.Image.fromarray(probe)
    if profile.profile.xcolor_space.strip() == "GRAY":
        picture = picture.convert("L")
    seen = convert_profile(picture, profile, ImageCms.createProfile("sRGB"), "RGB")
    if seen is None:
        return False
    meant = np.asarray(picture.convert("RGB")).astype(int)
    return int(np.abs(np.asarray(seen).astype(int) - meant).max()) <= 2
