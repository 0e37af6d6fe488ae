"""One face in one frame: its window read, restored, and the change put back into the planes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from hime.faces.headshot import Frame, cut, mask
from hime.faces.networks import opencv
from hime.pictures.arrays import FloatArray, Image
from hime.restoring.face import COLOUR_SMOOTHING
from hime.restoring.restorer import References
from hime.restoring.video.cast import ClipReference
from hime.restoring.video.plan import Pose
from hime.restoring.video.planes import Planes

CUT_MARGIN = 12.0
"""Pixels around a frame that cutting it out looks at, and more where it is reduced."""
KEPT_POSES = 6
"""Poses for which a person's references stay encoded; the least recently used goes first."""


class FittedReferences:
    """One person's references, framed as each face lies in its window.

    Args:
        references: the person's.
        scale: the model's.
    """

    def __init__(self, references: Sequence[ClipReference], scale: int) -> None:
        self._references, self._scale = references, scale
        self._fitted: OrderedDict[Pose, References] = OrderedDict()

    def of(self, pose: Pose) -> References:
        """For a window with the face in that pose."""
        if pose not in self._fitted:
            size = self._scale * pose.window
            self._fitted[pose] = References([fitted_reference(each, pose, size) for each in self._references])
            if len(self._fitted) > KEPT_POSES:
                self._fitted.popitem(last=False)
        self._fitted.move_to_end(pose)
        return self._fitted[pose]


def fitted_reference(reference: ClipReference, pose: Pose, size: int) -> Any:
    """A reference turned and sized as a face of that pose lies in its window.

    What a .person file holds, which is no picture, stays as it is.

    Args:
        reference: any.
        pose: of the face.
        size: of the result, in pixels.
    """
    crop = reference.crop
    if crop is None:
        assert reference.photo is not None
        return reference.photo.for_restorer
    cv2 = opencv()
    middle = (crop.shape[0] - 1) / 2
    side = crop.shape[0] / reference.margin * pose.window / pose.pixels
    factor = size / side
    if factor < 1:  # by area first
        reduced = max(1, round(crop.shape[0] * factor))
        side *= reduced / crop.shape[0]
        crop = cv2.resize(crop, (reduced, reduced), interpolation=cv2.INTER_AREA)
        middle = (reduced - 1) / 2
    matrix = Frame((middle, middle), side, -pose.angle).from_crop(size)
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    fitted: Image = cv2.warpAffine(crop, matrix[:2], (size, size), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return fitted


def headshot(planes: Planes, frame: Frame, size: int) -> Image:
    """The headshot in a frame of the clip, as `hime.faces.headshot.cut` gives it: for references."""
    margin = CUT_MARGIN + 4 * frame.side / size
    corners = frame.corners()
    low, high = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    part = planes.around(low[0], low[1], high[0], high[1])
    x, y = frame.centre
    return cut(planes.rgb(part), Frame((x - part[0], y - part[1]), frame.side, frame.angle), size)


def corner_of(middle: tuple[int, int], window: int) -> tuple[int, int]:
    """x and y of a window's upper left pixel."""
    return middle[0] - window // 2, middle[1] - window // 2


def read_window(planes: Planes, corner: tuple[int, int], window: int) -> Image:
    """The pixels of a window, the border of the frame repeated where it reaches beyond."""
    left, top = corner
    part = planes.around(left, top, left + window - 1, top + window - 1)
    image = planes.rgb(part)
    columns, rows = (
        np.clip(np.arange(start, start + window) - first, 0, extent - 1)
        for start, first, extent in zip(corner, part[:2], image.shape[1::-1], strict=True)
    )
    window_image: Image = np.ascontiguousarray(image[rows[:, np.newaxis], columns])
    return window_image


def change_of(lr: Image, restored: Image, pose: Pose, enlargement: int) -> FloatArray:
    """How the restored window differs from the plainly enlarged one, in levels of 8 bits.

    Without the lowest frequencies, so that colours and shading stay the clip's.

    Args:
        lr: the window.
        restored: the same by the model.
        pose: of the face in it.
        enlargement: of the result: S×S×3 of S = ``enlargement`` · side of ``lr``.
    """
    cv2 = opencv()
    side = lr.shape[0]
    scale = restored.shape[0] // side
    plain = cv2.resize(lr, (scale * side, scale * side), interpolation=cv2.INTER_LANCZOS4)
    difference = restored.astype(np.float32) - plain
    reduced = cv2.resize(difference, (side, side), interpolation=cv2.INTER_AREA)
    low = cv2.GaussianBlur(reduced, (0, 0), COLOUR_SMOOTHING * pose.pixels, borderType=cv2.BORDER_REPLICATE)
    if enlargement == 1:
        return np.asarray(reduced - low, np.float32)
    target = (enlargement * side, enlargement * side)
    how = cv2.INTER_AREA if enlargement < scale else cv2.INTER_CUBIC
    change = cv2.resize(difference, target, interpolation=how) if enlargement != scale else difference
    return np.asarray(change - cv2.resize(low, target, interpolation=cv2.INTER_LINEAR), np.float32)


def put_back(
    planes: Planes,
    change: FloatArray,
    corner: tuple[int, int],
    frame: Frame,
    share: float,
    others: Sequence[Frame] = (),
    strangers: Sequence[Frame] = (),
) -> None:
    """Add a change to the frame of the clip, in place, under the mask of the headshot.

    Args:
        planes: of the result.
        change: S×S×3, as `change_of` gives it.
        corner: where its upper left pixel belongs, in pixels of the result.
        frame: of the headshot, likewise.
        share: how much of it is added.
        others: see `hime.faces.headshot.mask`.
        strangers: see `hime.faces.headshot.mask`.
    """
    left, top = (max(0, start) for start in corner)
    right, bottom = (
        min(start + change.shape[0], extent)
        for start, extent in zip(corner, (planes.width, planes.height), strict=True)
    )
    if left >= right or top >= bottom:
        return
    part = planes.around(left, top, right - 1, bottom - 1)  # up to whole chroma samples
    change = change[top - corner[1] : bottom - corner[1], left - corner[0] : right - corner[0]]
    missing = ((top - part[1], part[3] - bottom), (left - part[0], part[2] - right), (0, 0))
    if any(map(any, missing)):
        change = np.pad(change, missing)
    weight = mask(frame, part[:2], change.shape[:2], others, strangers) * np.float32(share)
    planes.add(part[:2], change * weight[:, :, np.newaxis])


def mixed(changes: Sequence[tuple[tuple[int, int], FloatArray, float]]) -> tuple[tuple[int, int], FloatArray]:
    """Changes of windows of different sizes, each with its share, as one.

    Args:
        changes: of each its corner, itself, and its share; the shares sum to 1.

    Returns:
        The corner and the change.
    """
    if len(changes) == 1:
        return changes[0][:2]
    left, top = (min(corner[axis] for corner, _, _ in changes) for axis in (0, 1))
    right, bottom = (max(corner[axis] + change.shape[0] for corner, change, _ in changes) for axis in (0, 1))
    size = max(right - left, bottom - top)
    total: FloatArray = np.zeros((size, size, 3), np.float32)
    for (x, y), change, share in changes:
        side = change.shape[0]
        total[y - top : y - top + side, x - left : x - left + side] += np.float32(share) * change
    return (left, top), total
