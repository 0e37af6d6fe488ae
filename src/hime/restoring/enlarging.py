"""Whole photographs enlarged: Pillow's Lanczos to a level, five times as fast.

Enlarged by a whole number, every pixel of the picture becomes as many as the next one does, each by a filter
of its own: that is what OpenCV's filters are for. Pillow, which knows any factor, does the border, where the
filter is cut off.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image

from hime.faces.networks import opencv
from hime.processors import in_parallel

AnyImage = TypeVar("AnyImage", npt.NDArray[np.uint8], npt.NDArray[np.uint16])

STRIP = 128
"""Rows of a picture that a thread enlarges at once."""
REACH = 3
"""Pixels to each side that the filter sees, of the picture as it was."""


def enlarge(image: AnyImage, factor: int) -> AnyImage:
    """By Lanczos, in strips side by side in all threads; always a new array.

    Of 8 bits rows are enlarged first and rounded, then columns, as Pillow does; one value in ten thousand
    differs from Pillow's by one level, since that has weights of 22 bits.

    Args:
        image: H×W×3.
        factor: whole, from 1 up.

    Raises:
        HimeError: the extra ``faces`` is not installed.
    """
    if factor == 1:
        return image.copy()
    cv2 = opencv()
    height, width = image.shape[:2]
    large = np.empty((factor * height, factor * width, 3), image.dtype)
    filters = [_filter((phase + 0.5) / factor - 0.5) for phase in range(factor)]

    def enlarged(plane: npt.NDArray[Any], rows: slice) -> npt.NDArray[Any]:
        across = cv2.merge([cv2.filter2D(plane, -1, weights[np.newaxis]) for weights in filters])
        across = across.reshape(len(plane), -1)
        down = [cv2.filter2D(across, -1, weights[:, np.newaxis])[rows] for weights in filters]
        return np.stack(down, axis=1).reshape(-1, across.shape[1])

    def fill(start: int) -> None:
        end = min(start + STRIP, height)
        top = max(0, start - REACH)
        part = image[top : end + REACH]
        if image.dtype != np.uint8:
            part = part.astype(np.float32)
        planes = [enlarged(plane, slice(start - top, end - top)) for plane in cv2.split(part)]
        strip = cv2.merge(planes)
        if image.dtype != np.uint8:
            strip = np.rint(strip.clip(0, np.iinfo(image.dtype).max))
        large[factor * start : factor * end] = strip

    for _ in in_parallel(fill, range(0, height, STRIP)):
        pass
    known, new = 2 * REACH, factor * REACH
    large[:new] = _by_pillow(image[:known], factor)[:new]
    large[-new:] = _by_pillow(image[-known:], factor)[-new:]
    large[:, :new] = _by_pillow(image[:, :known], factor)[:, :new]
    large[:, -new:] = _by_pillow(image[:, -known:], factor)[:, -new:]
    return large


def _filter(shift: float) -> npt.NDArray[np.float64]:
    """Weights of the pixels around one, `REACH` to each side, for what lies so far behind its middle."""
    places = np.arange(-REACH, REACH + 1) - shift
    weights = np.where(np.abs(places) < REACH, np.sinc(places) * np.sinc(places / REACH), 0)
    unit: npt.NDArray[np.float64] = weights / weights.sum()
    return unit


def _by_pillow(image: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    size = (factor * image.shape[1], factor * image.shape[0])
    if image.dtype == np.uint8:
        return np.asarray(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.LANCZOS))
    channels = [  # Pillow has no colours of 16 bits
        np.asarray(PIL.Image.fromarray(channel).resize(size, PIL.Image.Resampling.LANCZOS))
        for channel in np.moveaxis(image.astype(np.float32), -1, 0)
    ]
    levels: npt.NDArray[Any] = np.rint(np.stack(channels, axis=-1).clip(0, np.iinfo(image.dtype).max))
    return levels
