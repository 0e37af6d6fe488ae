"""Restored faces as steady as the clip: what restoring changes is averaged along the motion.

A network that sees one frame at a time invents detail that moves with the noise of the clip. What it changes
in a face of the frames around is carried to each frame along the clip's own motion (optical flow between the
windows before they are restored), and their mean is taken where the windows agree. The clip itself is not
averaged, so that no motion is smeared or late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from hime.faces.networks import opencv
from hime.pictures.arrays import FloatArray, Image
from hime.restoring.video.planes import Planes

REACH = 4
"""Frames on each side. Measured with small-x4-video on 50 frames of six clips, faces of 32 pixels enlarged ×4
(``comparisons/video.py steadiness``): the warping error is 1.06 of the truth's, 1.24 without, the tremble of
landmarks 0.98 of it, 1.12 without; PSNR rises by 0.04 dB."""
AGREE = 6.0
"""Levels of 8 bits by which windows differ after the motion that count e⁻¹ as much as equal ones."""
SPREAD = 1.0
"""Pixels of the clip over which they are compared."""
FLOW_SIDE = 96
"""Pixels that the flow's pictures have at least: its patches have 8."""


@dataclass(frozen=True, eq=False)
class Change:
    """What restoring changes in one face of one frame.

    Attributes:
        track: of the face.
        planes: of the clip's frame, not restored.
        corner: x and y of the change's upper left pixel, in pixels of the result.
        values: S×S×3, in levels of 8 bits.
    """

    track: int
    planes: Planes
    corner: tuple[int, int]
    values: FloatArray


class Numbered(Protocol):
    """Something of a frame of the clip."""

    @property
    def number(self) -> int:
        """The frame's."""


T = TypeVar("T", bound=Numbered)


def with_surroundings(items: Iterable[T], first: int) -> Iterator[tuple[T, list[T]]]:
    """From frame ``first`` on, each with those up to `REACH` frames before and after it, in order."""
    around: deque[T] = deque()
    waiting: deque[T] = deque()

    def ready(until: float) -> Iterator[tuple[T, list[T]]]:
        while waiting and waiting[0].number + REACH <= until:
            item = waiting.popleft()
            while around[0].number < item.number - REACH:
                around.popleft()
            if item.number >= first:
                yield item, [each for each in around if abs(each.number - item.number) <= REACH]

    for item in items:
        around.append(item)
        waiting.append(item)
        yield from ready(item.number)
    yield from ready(float("inf"))


def steadied(own: Change, others: Sequence[Change], enlargement: int) -> FloatArray:
    """The change as the mean of itself and of the others, each where its window is the same, moved.

    Args:
        own: of a frame.
        others: of the same face in frames around it.
        enlargement: of the result.

    Returns:
        As ``own.values``.
    """
    if not others:
        return own.values
    cv2 = opencv()
    side = own.values.shape[0]
    factor = -(-max(FLOW_SIDE, side) * enlargement // side)  # of the flow's pictures to the clip's
    # Finer flow gives the same PSNR and steadiness here, and takes three times as long.
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    window = _grey(own.planes, own, enlargement, factor)
    rows, columns = np.indices(window.shape, dtype=np.float32)
    here = np.indices((side, side), dtype=np.float32)[::-1].transpose(1, 2, 0)
    total, weights = own.values.copy(), np.ones((side, side, 1), np.float32)
    for other in others:
        there = _grey(other.planes, own, enlargement, factor)
        flow = method.calc(window, there, None)
        moved = cv2.remap(there, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR)
        apart = cv2.GaussianBlur(cv2.absdiff(window, moved).astype(np.float32), (0, 0), SPREAD * factor)
        weight = np.exp(-((_reduced(apart, side) / AGREE) ** 2))
        places = here + _reduced(flow, side) * np.float32(enlargement / factor)
        places += np.subtract(own.corner, other.corner, dtype=np.float32)
        inside = np.logical_and(places >= 0, places <= other.values.shape[0] - 1).all(axis=-1)
        carried = cv2.remap(other.values, places[..., 0], places[..., 1], cv2.INTER_CUBIC)
        weight = (weight * inside)[..., np.newaxis]
        total += weight * carried
        weights += weight
    return np.asarray(total / weights, np.float32)


def _grey(planes: Planes, change: Change, enlargement: int, factor: int) -> Image:
    """The luminance of the frame where that change lies, enlarged by ``factor``."""
    cv2 = opencv()
    side = change.values.shape[0] // enlargement
    luma = planes.luma()
    rows, columns = (
        np.clip(np.arange(side) + start // enlargement, 0, extent - 1)
        for start, extent in zip(change.corner[::-1], luma.shape, strict=True)
    )
    window = luma[rows[:, np.newaxis], columns]
    enlarged: Image = cv2.resize(window, (factor * side, factor * side), interpolation=cv2.INTER_CUBIC)
    return enlarged


def _reduced(values: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    cv2 = opencv()
    how = cv2.INTER_AREA if side < values.shape[0] else cv2.INTER_LINEAR
    reduced: npt.NDArray[np.float32] = cv2.resize(values, (side, side), interpolation=how)
    return reduced
