"""Faces found in pictures, with five landmarks each.

    from hime.faces import detect
    face, = detect(photo)

The picture is searched as it is, at all sizes, and what is found looked at once more, upright. Faces that lie
otherwise are seen as upright ones too, wrongly, but less surely; so the picture is searched turned by
quarters as well, only roughly (a sixteenth of the work each), what is not sure is looked at from all sides,
and only where a face lies so that picture is searched at all sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from hime.faces.face import Face, distinct
from hime.faces.found import FoundFace
from hime.faces.refining import from_all_sides, refine
from hime.faces.scanning import DETECTION_SIDES, coarse, detect_at, levels, scan
from hime.pictures.arrays import Image, check_image
from hime.processors import in_parallel

SMALLEST_HEIGHT = 15
"""Height in pixels of the faces that are looked for, of the box: the headshot is a third larger."""

TURNED_SHARE, TURNED_SIDE = 1 / 4, 320
"""Turned pictures are searched with the longest side this share of what it is at the finest level, but this
at least and `DETECTION_SIDES` at most."""
SURE_SCORE = 0.92
"""Score, upright, from which a face cannot be one that lies otherwise."""
ADVANTAGE = 0.02
"""By how much surer a face must be as one that lies otherwise."""
TURNED_SCORE = 0.85
"""Least score of a face that lies otherwise."""
ANOTHER_ANGLE = 0.35
"""Radians: a face that is seen so otherwise in a rough look may lie otherwise."""
DOUBTED = 8
"""So many faces that are not sure are looked at from all sides, the largest first."""
LONE_SHARE = 0.5
"""A head that takes so much of the picture's longest side leaves no room for others that lie otherwise."""


def detect(image: Image, smallest: float = SMALLEST_HEIGHT) -> list[FoundFace]:
    """The faces in a picture, the largest first.

    Pictures of any size: a face may fill a small picture, or be a small part of a large photo. Faces may lie
    at any angle, each at its own.

    Args:
        image: uint8 H×W×3, sRGB.
        smallest: height in pixels of the faces that are looked for; larger is faster on large pictures. In
            very large ones (`hime.faces.scanning.WORK`) fewer of the smallest are found: of 88 faces of 20
            pixels 87 in 1 megapixel, 84 in 12, 75 in 48.

    Raises:
        HimeError: not a uint8 H×W×3, or the extra ``faces`` is not installed.
    """
    check_image(image)
    if min(image.shape[:2]) < smallest / 2:
        return []
    # Once more after the refinement, which draws two halves of a face to the same whole.
    upright = distinct(_all_refined(image, distinct(scan(image, smallest))))
    faces = [face for face in upright if face.is_one]
    if not any(_is_sure(face) and face.frame.side > LONE_SHARE * max(image.shape[:2]) for face in faces):
        faces = _with_turned(image, smallest, faces)
    faces.sort(key=lambda face: face.box[2] * face.box[3], reverse=True)
    return [FoundFace(face.box, face.landmarks, face.score, image) for face in faces]


def _with_turned(image: Image, smallest: float, faces: Sequence[Face]) -> list[Face]:
    """The faces, and those that lie otherwise, also in the place of some."""
    sure = [face for face in faces if _is_sure(face)]
    finest = max(levels(image, smallest), default=0) * max(image.shape[:2])
    factor = coarse(image, np.clip(TURNED_SHARE * finest, TURNED_SIDE, DETECTION_SIDES[-1]))
    turned = _refined(image, detect_at(image, factor, [1, 2, 3]), sure)
    turned += _from_all_sides(image, [*turned, *faces], sure)
    quarters = {face.quarter for face in _surer(turned, faces)} - {0}
    if quarters:
        more = _refined(image, [face for q in sorted(quarters) for face in scan(image, smallest, q)], sure)
        turned += more + _from_all_sides(image, more, sure + [face for face in turned if _is_sure(face)])
    turned = _surer(turned, faces)
    return turned + [face for face in faces if not any(face.is_at(other) for other in turned)]


def _refined(image: Image, seen: Sequence[Face], sure: Sequence[Face]) -> list[Face]:
    """Those seen in turned pictures, looked at once more, less what is in the place of a sure one."""
    rest = [face for face in seen if not any(face.is_at(other) for other in sure)]
    by_quarter = [distinct(face for face in rest if face.quarter == quarter) for quarter in range(4)]
    return distinct(_all_refined(image, [face for those in by_quarter for face in those]))


def _all_refined(image: Image, faces: Sequence[Face]) -> Iterator[Face]:
    return in_parallel(partial(refine, image), faces)


def _from_all_sides(image: Image, seen: Sequence[Face], sure: Sequence[Face]) -> list[Face]:
    """What lies otherwise in the places of those that are not sure, the largest first."""
    sure = [*sure, *(face for face in seen if _is_sure(face))]
    doubted: list[Face] = []
    for face in sorted(seen, key=lambda face: face.frame.side, reverse=True):
        if not any(face.is_at(other) for other in [*sure, *doubted]):
            doubted.append(face)
    found = []
    for face in doubted[:DOUBTED]:
        other = from_all_sides(image, face)
        if other is not None and math.cos(other.frame.angle - face.frame.angle) < math.cos(ANOTHER_ANGLE):
            found.append(other)
    return _refined(image, found, sure)


def _surer(turned: Sequence[Face], faces: Sequence[Face]) -> list[Face]:
    """Of those that lie otherwise one in each place, if it is surer than what is there upright."""
    surer: list[Face] = []
    for face in sorted(turned, key=lambda face: face.score, reverse=True):
        least = max((other.score + ADVANTAGE for other in faces if face.is_at(other)), default=TURNED_SCORE)
        if face.score >= max(least, TURNED_SCORE) and not any(face.is_at(other) for other in surer):
            surer.append(face)
    return surer


def _is_sure(face: Face) -> bool:
    return face.score >= SURE_SCORE
