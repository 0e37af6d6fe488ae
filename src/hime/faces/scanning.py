"""Whole pictures searched for faces: as they are and turned by quarters, at several sizes.

YuNet finds faces of some 10 to 300 pixels, up to some 45 degrees from upright.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hime.faces.face import Face
from hime.faces.networks import resize_with_points
from hime.faces.yunet import seen, shrink
from hime.pictures.arrays import Image
from hime.processors import in_parallel

DETECTION_SIDES = (160, 640)
"""Longest sides in pixels to which every picture is brought to look for faces of any size."""
MAXIMUM_FACTOR = 8
"""Pictures are enlarged no more than this to look for faces."""
SURE_HEIGHT = 30
"""Height in pixels from which the detector finds nearly all faces: of 76 it found 75 at 32 pixels, 71 at 20,
43 at 14."""
WORK = 27_000_000
"""Pixels to which pictures are enlarged at the most to look for small faces: some two seconds on one core."""
NARROW = 32
"""A narrower picture is as much work as one of so many pixels."""
LARGEST_HEIGHT = 240
"""Height in pixels of the faces taken from the levels finer than `DETECTION_SIDES`: larger ones are seen
better in coarser levels, and much that the detector sees there is none (halves of faces, knees, cloth)."""
LEVEL_STEP = 4
"""From one of these levels to the next."""
TILE, TILE_OVERLAP = 1920, 256
"""Sides in pixels of the parts in which these levels are looked at, to bound memory, and how far they share
the picture: a face is taken from the part that its centre lies deepest in, which holds all of it."""
PARTS_AT_ONCE = 4
"""At the most, since each takes 100 MiB."""

Tile = tuple[tuple[int, int | None], tuple[float, float]]
"""Along one side: from where to where it goes, and where the middles of its own faces are."""


def scan(image: Image, smallest: float, quarter: int = 0) -> list[Face]:
    """The faces found in the picture turned by so many quarters, at all sizes; some of them several times.

    Args:
        image: uint8 H×W×3.
        smallest: height in pixels of the faces that are looked for.
        quarter: of a turn to the left, which sets faces upright that lie a quarter to the right.
    """
    whole: Tile = ((0, None), (-math.inf, math.inf))
    parts = [(coarse(image, side), whole, whole) for side in DETECTION_SIDES]
    for factor in levels(image, smallest):
        columns, rows = (tiles(extent, factor) for extent in image.shape[1::-1])
        parts += [(factor, row, column) for row in rows for column in columns]
    found = in_parallel(lambda part: _detect_in(image, *part, quarter), parts, PARTS_AT_ONCE)
    faces = [face for those in found for face in those]
    if len(parts) > len(DETECTION_SIDES) + 1:
        shrink()
    return faces


def coarse(image: Image, side: float) -> float:
    """The factor that brings the picture's longest side to ``side``, or as near as it may."""
    return float(min(side / max(image.shape[:2]), MAXIMUM_FACTOR))


def levels(image: Image, smallest: float) -> list[float]:
    """The factors at which faces too small for `DETECTION_SIDES` are looked for, the largest first."""
    found = []
    height, width = (max(side, NARROW) for side in image.shape[:2])
    factor = min(SURE_HEIGHT / smallest, max(1.0, math.sqrt(WORK / (height * width))))
    while factor * max(height, width) > DETECTION_SIDES[-1]:
        found.append(factor)
        factor /= LEVEL_STEP
    return found


def detect_at(image: Image, factor: float, quarters: Sequence[int] = (0,)) -> list[Face]:
    """The faces found in the picture resized by ``factor`` and turned, in its own coordinates."""
    resized, _ = resize_with_points(image, np.zeros((0, 2)), factor)
    height, width = resized.shape[:2]
    ratio = np.array([image.shape[1] / width, image.shape[0] / height], dtype=np.float32)
    faces = []
    for quarter in quarters:
        for row in seen(np.ascontiguousarray(np.rot90(resized, quarter))):
            corners = row[:2] + np.array([[0, 0], row[2:4]], np.float32)
            corners = ratio * (_turned_back(corners - 0.5, quarter, height, width) + 0.5)
            landmarks = ratio * (_turned_back(row[4:14].reshape(5, 2), quarter, height, width) + 0.5) - 0.5
            (left, top), (across, down) = corners.min(axis=0), np.ptp(corners, axis=0)
            box = (float(left), float(top), float(across), float(down))
            faces.append(Face(box, landmarks.astype(np.float32), float(row[14])))
    return [face for face in faces if face.is_one]


def _turned_back(
    points: npt.NDArray[np.float32], quarter: int, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Points of a picture of that size turned to the left, in the picture as it was."""
    x, y = points.T
    if quarter == 1:
        x, y = width - 1 - y, x
    elif quarter == 2:
        x, y = width - 1 - x, height - 1 - y
    elif quarter == 3:
        x, y = y, height - 1 - x
    return np.stack([x, y], axis=1)


def _detect_in(image: Image, factor: float, row: Tile, column: Tile, quarter: int) -> list[Face]:
    """What `detect_at` gives of a part of a picture, less what is another part's; but for the whole picture
    no larger faces than `LARGEST_HEIGHT`.
    """
    ((top, bottom), rows_kept), ((left, right), columns_kept) = row, column
    faces = []
    for face in detect_at(image[top:bottom, left:right], factor, [quarter]):
        x, y = face.box[0] + left, face.box[1] + top
        middle, centre = x + face.box[2] / 2, y + face.box[3] / 2
        is_own = columns_kept[0] <= middle < columns_kept[1] and rows_kept[0] <= centre < rows_kept[1]
        if is_own and (bottom is None or face.box[3 - quarter % 2] * factor <= LARGEST_HEIGHT):
            landmarks = face.landmarks + np.array([left, top], np.float32)
            faces.append(Face((x, y, *face.box[2:]), landmarks, face.score))
    return faces


def tiles(extent: int, factor: float) -> list[Tile]:
    """Along one side of a picture: from where to where each tile goes, and which of its faces are its own."""
    overlap = TILE_OVERLAP / factor
    count = max(1, math.ceil((extent - overlap) / (TILE / factor - overlap)))
    side = math.ceil((extent + (count - 1) * overlap) / count)  # all alike: the detector changes sizes slowly
    starts = [round(number * (extent - side) / max(1, count - 1)) for number in range(count)]
    borders = [(start + before + side) / 2 for before, start in pairwise(starts)]
    kept = pairwise([-math.inf, *borders, math.inf])
    return [((start, start + side), own) for start, own in zip(starts, kept, strict=True)]
