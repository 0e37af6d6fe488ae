"""Pictures as arrays: the image contract, and the one way sizes are changed.

Outside (files, the library's surface) a picture is `Image`: uint8 H×W×3, sRGB. Inside (networks) it is
*planes*: float32 N×3×H×W in [0, 1]. `to_planes` and `from_planes` are the only crossings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from hime.errors import HimeError

Image = npt.NDArray[np.uint8]
"""uint8 H×W×3, sRGB."""

DeepImage = npt.NDArray[np.uint16]
"""uint16 H×W×3, sRGB."""

FloatArray = npt.NDArray[np.float32]

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the brightness seen (BT.601)."""

_TURNS: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: array.swapaxes(0, 1)[:, ::-1],
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: array.swapaxes(0, 1)[::-1],
}  # EXIF orientation → what sets the picture upright (EXIF 2.32, tag 0x0112)


def upright(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """The rows and columns of H×W×… as EXIF's ``orientation`` says they are to be seen; a copy."""
    turn = _TURNS.get(orientation)
    return np.array(array if turn is None else turn(array), order="C")


def to_8_bits(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """16-bit levels → the nearest of the 8-bit levels, which are 257 apart."""
    levels, rest = np.divmod(values, np.uint16(257))
    return levels.astype(np.uint8) + (rest > 128)


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


def lanczos(image: Image, height: int, width: int) -> Image:
    """The plain enlargement that what is restored stands against: Pillow's LANCZOS.

    Raises:
        HimeError: a side below 1.
    """
    return _resample(image, height, width, PIL.Image.Resampling.LANCZOS)


def _resample(image: Image, height: int, width: int, method: PIL.Image.Resampling) -> Image:
    check_image(image)
    if height < 1 or width < 1:
        raise HimeError(
            f"cannot make a picture of {width}×{height} pixels; give a larger one or another size"
        )
    return np.array(PIL.Image.fromarray(image).resize((width, height), method))


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
