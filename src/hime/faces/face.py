"""A face as it lies in a picture, and which of several are the same.

Coordinates are pixels, x to the right and y down, pixel centres at whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hime.faces.headshot import Frame
from hime.faces.yunet import OVERLAP
from hime.pictures.arrays import FloatArray

Box = tuple[float, float, float, float]

SAME_PLACE = 0.3
"""Two faces are one, however they lie, if their frames' middles are nearer than this share of the larger's
side."""
NOSE_LENGTH = 0.45
"""How far the tip of the nose stands out from the plane of eyes and mouth, in distances of the eyes."""


@dataclass(frozen=True)
class Face:
    """A face in a picture, which may lie at any angle.

    Attributes:
        box: x and y of its upper left corner, width and height; may reach beyond the picture.
        landmarks: float32 5×2, x and y of, as they are when the face is upright: eye on the left, eye on the
            right, tip of the nose, corner of the mouth on the left, and on the right.
        score: how sure the detector is, in [0.6, 1].
    """

    box: Box
    landmarks: FloatArray
    score: float

    @property
    def is_one(self) -> bool:
        """Whether its landmarks are apart: in the smallest pictures the detector sees faces of no extent."""
        return bool(np.ptp(self.landmarks, axis=0).max() >= 1)

    @cached_property
    def frame(self) -> Frame:
        """Of its headshot."""
        return Frame.of(self.landmarks)

    @property
    def quarter(self) -> int:
        """By how many quarters of a turn it lies clockwise of upright, rounded: 0, 1, 2, 3."""
        return round(self.frame.angle / (math.pi / 2)) % 4

    @property
    def yaw(self) -> float:
        """See `yaw_of`."""
        return yaw_of(self.landmarks)

    def is_at(self, other: Face) -> bool:
        """Whether both are in the same place, so that at most one of them lies as it seems to."""
        reach = SAME_PLACE * max(self.frame.side, other.frame.side)
        return math.dist(self.frame.centre, other.frame.centre) < reach or overlap(self, other) > OVERLAP


def yaw_of(landmarks: npt.ArrayLike) -> float:
    """How far a face looks to the side, from −1 to 1, 0 frontal, negative towards its picture's left.

    The sine of the angle by which a nose of usual length (`NOSE_LENGTH`) has come away from the middle of
    eyes and mouth. Both its way and the distance of the eyes are taken along the eyes, so that a nod or a
    tilt of the head changes little.

    Args:
        landmarks: 5×2, as `Face` holds them.

    Raises:
        HimeError: not five different points.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    angle = Frame.of(points).angle
    along = points @ [math.cos(angle), math.sin(angle)]
    way = along[2] - (along[:2].mean() + along[3:].mean()) / 2
    return float(np.sin(np.arctan2(way, NOSE_LENGTH * (along[1] - along[0]))))


def distinct(faces: Iterable[Face]) -> list[Face]:
    """Of each face in the picture the surest."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(overlap(face, other) <= OVERLAP for other in kept):
            kept.append(face)
    return kept


def overlap(first: Face, second: Face) -> float:
    """Intersection over union of the boxes."""
    (left, top, width, height), (other_left, other_top, other_width, other_height) = first.box, second.box
    across = min(left + width, other_left + other_width) - max(left, other_left)
    down = min(top + height, other_top + other_height) - max(top, other_top)
    common = max(0.0, across) * max(0.0, down)
    return common / (width * height + other_width * other_height - common)
