"""Frames of a video as planes of Y'CbCr: a part of one as RGB, and a change in RGB added in place.

What no change falls on keeps its every bit: a frame never goes to RGB and back as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.faces.headshot import Frame
from hime.faces.networks import opencv
from hime.pictures.arrays import FloatArray, Image

Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
"""Weights of red and of blue in luma."""
WEIGHTS = {1: BT709, 4: (0.30, 0.11), 5: BT601, 6: BT601, 7: (0.212, 0.087), 9: BT2020, 10: BT2020}
"""The same by the number that says how a frame's colours are stored (ISO/IEC 23091-2, MatrixCoefficients)."""
HIGH_DEFINITION = 720
"""Rows from which a frame that does not say how its colours are stored is taken for BT.709."""
FULL_RANGE = 2
"""libav's number for luma from 0 to the highest level."""


def colour_as(frame: Any, like: Any) -> None:
    """Let a frame say of its colours what another one says."""
    for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
        setattr(frame, name, getattr(like, name))


def is_planar(video_format: Any) -> bool:
    """Whether frames of that format (`av.VideoFormat`) can be taken as `Planes`."""
    return (
        not video_format.is_rgb
        and not video_format.is_big_endian
        and [component.plane for component in video_format.components] == [0, 1, 2]
        and video_format.components[0].bits <= 16
    )


@dataclass(frozen=True)
class Turn:
    """How the rows and columns of a frame as it is stored become those that are shown.

    Attributes:
        transposed: rows and columns change places, first.
        right_to_left: then the columns are shown from right to left.
        upside_down: and the rows from below upwards.
    """

    transposed: bool = False
    right_to_left: bool = False
    upside_down: bool = False

    @classmethod
    def of(cls, matrix: Sequence[int] | None) -> Turn:
        """The quarter turn (or mirror image) that is nearest to a display matrix, 3×3 in row order."""
        if matrix is None:
            return cls()
        across, down, _, other_across, other_down, *_ = matrix
        if abs(other_across) > abs(across):
            return cls(True, other_across < 0, down < 0)
        return cls(False, across < 0, other_down < 0)

    def upright(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of a plane as it is shown."""
        rows = rows.swapaxes(0, 1) if self.transposed else rows
        return rows[:: -1 if self.upside_down else 1, :: -1 if self.right_to_left else 1]


class Planes:
    """The planes of a frame as it is shown, looked at and changed in place.

    Args:
        frame: an `av.VideoFrame` of a format that `is_planar`; if it is to be changed, nobody else's.
        turn: from how it is stored to how it is shown; all coordinates are of the latter.
    """

    def __init__(self, frame: Any, turn: Turn = Turn()) -> None:
        components = frame.format.components
        self.bits = int(components[0].bits)
        self.planes: list[Plane] = [turn.upright(samples_of(plane, self.bits)) for plane in frame.planes]
        self.height, self.width = self.planes[0].shape
        # How many pixels a chroma sample stands for, across and down: a power of two each.
        self.step = (
            _power(self.width, self.planes[1].shape[1]),
            _power(self.height, self.planes[1].shape[0]),
        )
        default = BT709 if frame.height >= HIGH_DEFINITION else BT601
        red, blue = WEIGHTS.get(int(frame.colorspace), default)
        self.weights = np.array([red, 1 - red - blue, blue], np.float32)
        full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
        unit = float(1 << self.bits - 8)
        self.luma_zero = 0.0 if full else 16 * unit
        top = float((1 << self.bits) - 1)
        self.luma_range, self.chroma_range = (top, top) if full else (219 * unit, 224 * unit)
        self.chroma_zero = 128 * unit

    def luma(self) -> Image:
        """H×W, 8 bits; a view where the frame has no more."""
        luma = self.planes[0]
        if self.bits == 8:
            return luma.view(np.uint8)
        return (luma >> np.uint16(self.bits - 8)).astype(np.uint8)

    def around(self, left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
        """The smallest part of the frame that holds those places and ends between chroma samples."""
        across, down = self.step
        first_column = int(np.clip(np.floor(left), 0, self.width - 1)) // across * across
        first_row = int(np.clip(np.floor(top), 0, self.height - 1)) // down * down
        last_column = -(-int(np.clip(np.ceil(right) + 1, 1, self.width)) // across) * across
        last_row = -(-int(np.clip(np.ceil(bottom) + 1, 1, self.height)) // down) * down
        return first_column, first_row, min(last_column, self.width), min(last_row, self.height)

    def rgb(self, part: tuple[int, int, int, int]) -> Image:
        """A part, as `around` gives them, in RGB.

        Args:
            part: its left, upper, right and lower border, the last two outside of it.
        """
        left, top, right, bottom = part
        shape = bottom - top, right - left
        luma = self.planes[0][top:bottom, left:right].astype(np.float32)
        return self._as_rgb([luma, *(self._enlarged(plane, part, shape) for plane in self.planes[1:])])

    def _enlarged(self, plane: Plane, part: tuple[int, int, int, int], shape: tuple[int, int]) -> FloatArray:
        """Chroma of a part at its full size."""
        across, down = self.step
        left, top, right, bottom = part
        samples = plane[top // down : -(-bottom // down), left // across : -(-right // across)]
        values: FloatArray = samples.astype(np.float32)
        if self.step == (1, 1):
            return values
        large = opencv().resize(values, None, fx=across, fy=down, interpolation=1)  # linear
        return np.asarray(large[: shape[0], : shape[1]], np.float32)

    def whole(self, width: int, height: int) -> Image:
        """The whole frame in RGB, resized by area (or linearly, where it grows)."""
        cv2 = opencv()
        how = cv2.INTER_AREA if width < self.width else cv2.INTER_LINEAR
        planes = [
            cv2.resize(
                np.ascontiguousarray(plane),
                (width, height),
                interpolation=how if plane.shape[1] > width else cv2.INTER_LINEAR,
            )
            for plane in self.planes
        ]
        return self._as_rgb([plane.astype(np.float32) for plane in planes])

    def sample(self, frame: Frame, size: int) -> Image:
        """What lies in a frame, in RGB: `hime.faces.headshot.cut`, faster and less exact.

        Args:
            frame: in pixels of the frame as it is shown; may reach beyond it.
            size: of the result, in pixels.
        """
        return self._as_rgb([self._sampled(number, frame, size) for number in range(3)])

    def sample_luma(self, frame: Frame, size: int) -> Image:
        """The same of the luma alone, 8 bits, size×size."""
        values = self._sampled(0, frame, size)
        luma: Image = np.rint(values / np.float32(1 << self.bits - 8)).astype(np.uint8)
        return luma

    def _sampled(self, number: int, frame: Frame, size: int) -> FloatArray:
        """A plane in a frame: first reduced by whole numbers, then turned linearly."""
        cv2 = opencv()
        across, down = self.step if number else (1, 1)
        plane = self.planes[number]
        corners = frame.corners()
        steps, extents = (across, down), plane.shape[::-1]
        starts, ends = [], []
        for axis, step in enumerate(steps):
            low, high = corners[:, axis].min() / step - 2, corners[:, axis].max() / step + 3
            start = int(np.clip(math.floor(low), 0, extents[axis] - 1))
            starts.append(start)
            ends.append(int(np.clip(math.ceil(high), start + 1, extents[axis])))
        part = np.ascontiguousarray(plane[starts[1] : ends[1], starts[0] : ends[0]])
        shape = np.array(part.shape[::-1])
        factors = np.maximum(1, np.floor(frame.side / (size * np.array(steps)) + 0.25).astype(int))
        reduced = np.maximum(1, np.ceil(shape / factors).astype(int))
        if (reduced < shape).any():
            part = cv2.resize(part, (int(reduced[0]), int(reduced[1])), interpolation=cv2.INTER_AREA)
        # Pixels of the result → of the frame → of the plane → of the part, their centres at whole numbers.
        matrix = frame.from_crop(size)[:2]
        ratio = reduced / (shape * np.array(steps))
        offset = (0.5 / np.array(steps) - np.array(starts)) * reduced / shape - 0.5
        matrix = matrix * ratio[:, np.newaxis]
        matrix[:, 2] += offset
        turned = cv2.warpAffine(
            part,
            matrix,
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        values: FloatArray = turned.astype(np.float32)
        return values

    def _as_rgb(self, planes: Sequence[FloatArray]) -> Image:
        """Three planes of one size → RGB."""
        luma = (planes[0] - np.float32(self.luma_zero)) * np.float32(255 / self.luma_range)
        red_weight, green_weight, blue_weight = self.weights
        blue, red = (
            (plane - np.float32(self.chroma_zero)) * np.float32(2 * (1 - weight) * 255 / self.chroma_range)
            for plane, weight in zip(planes[1:], (blue_weight, red_weight), strict=True)
        )
        green = (red * red_weight + blue * blue_weight) / -green_weight
        rgb = np.stack([luma + red, luma + green, luma + blue], axis=-1)
        levels: Image = np.rint(rgb.clip(0, 255)).astype(np.uint8)
        return levels

    def add(self, corner: tuple[int, int], change: FloatArray) -> None:
        """Change a part.

        Args:
            corner: x and y of its upper left pixel, as `around` gives them.
            change: H×W×3, in levels of 8 bits of red, green and blue; cut where the frame ends.
        """
        left, top = corner
        height, width = change.shape[:2]
        red, green, blue = np.moveaxis(change, -1, 0)
        weights = self.weights
        luma = red * weights[0] + green * weights[1] + blue * weights[2]
        self._add(0, left, top, luma * np.float32(self.luma_range / 255))
        across, down = self.step
        rows, columns = -(-height // down) * down, -(-width // across) * across
        for number, colour, weight in ((1, blue, weights[2]), (2, red, weights[0])):
            full = (colour - luma) * np.float32(self.chroma_range / 255 / (2 * (1 - weight)))
            if (rows, columns) != (height, width):
                full = np.pad(full, ((0, rows - height), (0, columns - width)), mode="edge")
            blocks = full.reshape(rows // down, down, columns // across, across)
            self._add(number, left // across, top // down, blocks.mean(axis=(1, 3)))

    def _add(self, number: int, left: int, top: int, values: FloatArray) -> None:
        plane = self.planes[number]
        part = plane[top : top + values.shape[0], left : left + values.shape[1]]
        highest = (1 << self.bits) - 1
        part[...] = np.rint(np.clip(part + values[: part.shape[0], : part.shape[1]], 0, highest))


def rows_of(plane: Any) -> npt.NDArray[np.uint8]:
    """The rows of a plane of a frame, with the bytes that fill them up; writing to them changes the frame."""
    rows = np.frombuffer(plane, np.uint8)[: plane.line_size * plane.height]
    return rows.reshape(plane.height, plane.line_size)


def samples_of(plane: Any, bits: int) -> Plane:
    """The samples of a plane, without the bytes that fill up its rows."""
    rows = rows_of(plane)
    if bits == 8:
        return rows[:, : plane.width]
    return rows.view(np.uint16)[:, : plane.width]


def _power(whole: int, reduced: int) -> int:
    """By which power of two ``whole`` was divided, rounded up, to ``reduced``."""
    step = 1
    while -(-whole // step) > reduced and step < 8:
        step *= 2
    return step
