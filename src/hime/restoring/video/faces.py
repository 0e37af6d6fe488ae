"""One face in one frame: cut out, restored, and put back into the planes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hime.faces.headshot import Frame, cut, mask
from hime.faces.networks import opencv
from hime.pictures.arrays import Image
from hime.restoring.restorer import Restorer
from hime.restoring.video.planes import Planes

FloatArray = npt.NDArray[np.float32]

COLOUR_SMOOTHING = 1 / 8
"""As in `hime.restoring.photo`: what is coarser than this share of the headshot's side is the clip's own."""
CUT_MARGIN = 12.0
"""Pixels around a frame that cutting it out looks at, and more where it is reduced."""


def headshot(planes: Planes, frame: Frame, size: int) -> Image:
    """The headshot in a frame of the clip, as `hime.faces.headshot.cut` gives it."""
    margin = CUT_MARGIN + 4 * frame.side / size
    corners = frame.corners()
    low, high = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    part = planes.around(low[0], low[1], high[0], high[1])
    x, y = frame.centre
    return cut(planes.rgb(part), Frame((x - part[0], y - part[1]), frame.side, frame.angle), size)


def change_of(lr: Image, restorer: Restorer, enlargement: float) -> FloatArray:
    """How the restored headshot differs from the plainly enlarged one, in levels of 8 bits.

    Without the lowest frequencies, so that colours and shading stay the clip's.

    Args:
        lr: the headshot.
        restorer: with the person's references.
        enlargement: of the result: S×S×3 of S = ``enlargement`` · side of ``lr``, rounded.
    """
    cv2 = opencv()
    scale, side = restorer.scale, lr.shape[0]
    restored = restorer.restore(lr).image
    plain = cv2.resize(lr, (scale * side, scale * side), interpolation=cv2.INTER_LANCZOS4)
    difference = restored.astype(np.float32) - plain
    reduced = cv2.resize(difference, (side, side), interpolation=cv2.INTER_AREA)
    low = cv2.GaussianBlur(reduced, (0, 0), COLOUR_SMOOTHING * side, borderType=cv2.BORDER_REPLICATE)
    target = max(1, round(enlargement * side))
    if target == side:
        change = reduced
    else:
        how = cv2.INTER_AREA if target < scale * side else cv2.INTER_CUBIC
        change = cv2.resize(difference, (target, target), interpolation=how)
        low = cv2.resize(low, (target, target), interpolation=cv2.INTER_LINEAR)
    result: FloatArray = change - low
    return result


def put_back(
    planes: Planes,
    change: FloatArray,
    frame: Frame,
    share: float,
    others: Sequence[Frame] = (),
    strangers: Sequence[Frame] = (),
) -> None:
    """Add a change to the frame of the clip, in place.

    Args:
        planes: of the result.
        change: S×S×3, as `change_of` gives it.
        frame: where it belongs, in pixels of the result.
        share: how much of it is added.
        others: see `hime.faces.headshot.mask`.
        strangers: see `hime.faces.headshot.mask`.
    """
    cv2 = opencv()
    x, y = frame.corners().T
    if x.max() < 0 or y.max() < 0 or x.min() >= planes.width or y.min() >= planes.height:
        return
    left, top, right, bottom = planes.around(
        math.floor(x.min()), math.floor(y.min()), math.ceil(x.max()), math.ceil(y.max())
    )
    shape = bottom - top, right - left
    matrix = frame.from_crop(change.shape[0])
    matrix[:2, 2] -= left, top
    turned = cv2.warpAffine(
        change,
        np.linalg.inv(matrix)[:2],
        shape[::-1],
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    weight = mask(frame, (left, top), shape, others, strangers) * np.float32(share)
    planes.add((left, top), turned * weight[:, :, np.newaxis])
