"""The geometry between a photograph and the headshots that the model works on.

A headshot is a square cut out as the training data are (the way of FFHQ, with the eyes level): its sides
are 2·max(2 · distance of the eyes, 1.8 · eyes to mouth), its centre lies a tenth of the way from the eyes'
middle to the mouth's.

    frame = Frame.of(face.landmarks)
    lr = cut(photo, frame, round(frame.side))
    add(enlarged, restored - upscaled, frame.scaled(4))

What goes back into the photograph is not the restored headshot but how it differs from the plain enlargement
of the headshot: all that the photograph has stays, the way there and back costs no sharpness, and where
nothing was restored nothing changes.

Coordinates are pixels, x to the right and y down, pixel centres at whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image

from hime.errors import HimeError
from hime.faces.splines import sample
from hime.pictures.arrays import FloatArray, Image, resize

FloatMatrix = npt.NDArray[np.float64]
Values = TypeVar("Values", FloatArray, FloatMatrix)

MASK_FULL = 0.72
"""The mask is 1 up to this distance from the centre, in halves of a side, and falls to 0 at 1."""
MASK_EXPONENT = 4
"""Of the norm that distance is measured in: a square with round corners, which holds hair and jaw."""
OVERLAP = 0.15
"""Over how much difference of the distances two faces are faded into each other."""
TOLERANCE = 0.1
"""A headshot that has this share of pixels fewer along a side is not worth antialiasing."""


@dataclass(frozen=True)
class Frame:
    """A square in a picture, maybe turned, maybe reaching beyond the picture.

    Attributes:
        centre: x and y in pixels.
        side: in pixels.
        angle: radians, of the upper side; positive goes down to the right.
    """

    centre: tuple[float, float]
    side: float
    angle: float

    @classmethod
    def of(cls, landmarks: npt.ArrayLike) -> Frame:
        """The frame of the face with these landmarks.

        Args:
            landmarks: 5×2, as `hime.faces.Face` holds them.

        Raises:
            HimeError: not five different points.
        """
        points = np.asarray(landmarks, dtype=np.float64)
        if points.shape != (5, 2) or not np.isfinite(points).all() or np.ptp(points, axis=0).max() < 1:
            raise HimeError("landmarks are five different points, x and y of each in pixels")
        eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
        along = points[1] - points[0]
        side = 2 * max(2 * math.hypot(*along), 1.8 * math.hypot(*(mouth - eyes)))
        x, y = eyes + 0.1 * (mouth - eyes)
        return cls((float(x), float(y)), side, math.atan2(along[1], along[0]))

    def scaled(self, factor: float) -> Frame:
        """The same square in the picture enlarged by ``factor``."""
        x, y = ((value + 0.5) * factor - 0.5 for value in self.centre)
        return Frame((x, y), self.side * factor, self.angle)

    def corners(self) -> FloatMatrix:
        """4×2: x and y of the upper left, upper right, lower right and lower left corner."""
        units = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (self.side / 2)
        return np.array(units @ self.turn().T + self.centre)

    def from_crop(self, size: int) -> FloatMatrix:
        """3×3: pixels of the headshot of ``size``×``size`` → pixels of the picture."""
        matrix = np.eye(3)
        matrix[:2, :2] = self.turn() * (self.side / size)
        matrix[:2, 2] = self.centre - matrix[:2, :2].sum(axis=1) * (size - 1) / 2
        return matrix

    def to_crop(self, size: int, points: npt.ArrayLike) -> FloatMatrix:
        """N×2 points of the picture → where they lie in the headshot of ``size``×``size``."""
        matrix = np.linalg.inv(self.from_crop(size))
        return np.array(np.asarray(points, np.float64) @ matrix[:2, :2].T + matrix[:2, 2])

    def turn(self) -> FloatMatrix:
        """2×2: turns directions of the headshot into those of the picture."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])


def cut(image: Image, frame: Frame, size: int) -> Image:
    """The headshot in that frame, uint8 ``size``×``size``×3.

    Antialiased where it shrinks, by Pillow's bicubic as the training's LR crops are; the border of the
    picture is repeated where the frame reaches beyond it. Only the frame's part of the picture is touched.

    Args:
        image: uint8 H×W×3.
        frame: in its pixels.
        size: of the headshot, in pixels.

    Raises:
        HimeError: a size below 1.
    """
    if size < 1:
        raise HimeError(f"a headshot of {size}×{size} pixels cannot be cut; ask for a larger one")
    reduction = max(1, math.floor(frame.side / (2 * size)))  # by area first: whole pixels, and fast
    part, corner = _around(image, frame, reduction)
    if reduction > 1:
        part = np.array(PIL.Image.fromarray(part).reduce(reduction))
    grid = size * max(1, math.ceil(frame.side / (reduction * size) - TOLERANCE))
    matrix = np.diag([1 / reduction, 1 / reduction, 1.0])
    matrix[:2, 2] = [(0.5 - x) / reduction - 0.5 for x in corner]
    turned = sample(part, matrix @ frame.from_crop(grid), (grid, grid))
    return resize(np.rint(turned.clip(0, 255)).astype(np.uint8), size, size)


def add(
    canvas: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    difference: FloatArray,
    frame: Frame,
    others: Sequence[Frame] = (),
    strangers: Sequence[Frame] = (),
) -> None:
    """Add to a picture, in place, how a restored headshot differs from the plain one.

    The difference is turned back into its frame and weighted by `mask`. Pixels outside of the frame stay
    exactly as they are, as do all where the difference is 0.

    Args:
        canvas: uint8 or uint16, H×W×3; changed.
        difference: float32 S×S×3, in levels of 8 bits: −255 to 255.
        frame: where the headshot lies, in pixels of the canvas.
        others: see `mask`.
        strangers: see `mask`.
    """
    size = difference.shape[0]
    shrunk = max(1, round(frame.side))
    if shrunk < (1 - TOLERANCE) * size:
        difference, size = _reduce(difference, shrunk), shrunk
    x, y = frame.corners().T
    height, width = canvas.shape[:2]
    left, right = max(0, math.floor(x.min())), min(width, math.ceil(x.max()) + 1)
    top, bottom = max(0, math.floor(y.min())), min(height, math.ceil(y.max()) + 1)
    if left >= right or top >= bottom:
        return
    to_picture = frame.from_crop(size)
    to_picture[:2, 2] -= left, top
    to_crop = np.asarray(np.linalg.inv(to_picture), dtype=np.float64)
    shape = (bottom - top, right - left)
    change = sample(difference, to_crop, shape)
    change *= mask(frame, (left, top), shape, others, strangers)[:, :, np.newaxis]
    largest = np.iinfo(canvas.dtype).max
    part = canvas[top:bottom, left:right]
    part[...] = np.rint(np.clip(part + change * np.float32(largest / 255), 0, largest))


def mask(
    frame: Frame,
    corner: tuple[int, int],
    shape: tuple[int, int],
    others: Sequence[Frame] = (),
    strangers: Sequence[Frame] = (),
) -> FloatArray:
    """How much of the headshot each pixel takes: 1 over the face with hair and jaw, 0 from the border on.

    Where frames overlap, a pixel belongs to the face that it is nearer to, measured in sides of its frame.

    Args:
        frame: where the headshot lies.
        corner: x and y of the part's upper left pixel.
        shape: height and width of the part.
        others: faces that are put in too: the one is faded into the other.
        strangers: faces that must stay as they are: what is theirs takes nothing.
    """
    own = _distance(frame, corner, shape)
    weight = ease((1 - own) / (1 - MASK_FULL))
    for other in others:
        weight *= ease(0.5 + (_distance(other, corner, shape) - own) / (2 * OVERLAP))
    for stranger in strangers:
        weight *= ease((_distance(stranger, corner, shape) - own) / OVERLAP)
    return weight


def _distance(frame: Frame, corner: tuple[int, int], shape: tuple[int, int]) -> FloatArray:
    """Of each pixel of the part from the frame's centre: 1 on the border, in the middle of each side."""
    columns, rows = (
        np.arange(start, start + extent, dtype=np.float32) - np.float32(middle)
        for start, extent, middle in zip(corner, shape[::-1], frame.centre, strict=True)
    )
    total = np.zeros(shape, np.float32)
    for across, down in (frame.turn().T * 2 / frame.side).astype(np.float32):
        total += (columns * across + rows[:, np.newaxis] * down) ** MASK_EXPONENT
    distance: FloatArray = total ** np.float32(1 / MASK_EXPONENT)
    return distance


def ease(values: Values) -> Values:
    """0 up to 0, 1 from 1 on, smooth between."""
    values = np.clip(values, 0, 1)
    eased: Values = values * values * (3 - 2 * values)
    return eased


def _around(image: Image, frame: Frame, multiple: int) -> tuple[Image, tuple[int, int]]:
    """The part of the picture that the frame needs, its border repeated, and where its corner lies (x, y).

    Its sides are multiples of ``multiple``.
    """
    margin = 4 * multiple  # what the kernels reach
    indices, corner = [], []
    for values, extent in zip(frame.corners().T, image.shape[1::-1], strict=True):
        start = math.floor(values.min()) - margin
        length = -(-(math.ceil(values.max()) + margin - start) // multiple) * multiple
        indices.append(np.clip(np.arange(start, start + length), 0, extent - 1))
        corner.append(start)
    return image[indices[1][:, np.newaxis], indices[0]], (corner[0], corner[1])


def _reduce(values: FloatArray, size: int) -> FloatArray:
    """S×S×3 → ``size``×``size``×3 by area."""
    channels = (PIL.Image.fromarray(channel) for channel in np.moveaxis(values, -1, 0))
    reduced = [np.asarray(channel.resize((size, size), PIL.Image.Resampling.BOX)) for channel in channels]
    return np.stack(reduced, axis=-1)
