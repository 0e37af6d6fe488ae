"""Faces found in pictures, with five landmarks each.

    from hime.faces import detect
    face, = detect(photo)

Coordinates are pixels, x to the right and y down, pixel centres at whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hime.faces.embedding import FloatArray
from hime.faces.headshot import Frame
from hime.faces.networks import OVERLAP, detector, opencv, resize_with_points
from hime.pictures.arrays import Image, check_image

Box = tuple[float, float, float, float]

DETECTION_SIDES = (160, 640)
"""Longest sides in pixels to which every picture is brought to look for faces of any size."""
MAXIMUM_FACTOR = 8
"""Pictures are enlarged no more than this to look for faces."""
SURE_HEIGHT = 30
"""Height in pixels from which the detector finds nearly all faces: of 76 it found 75 at 32 pixels, 71 at 20,
43 at 14."""
SMALLEST_HEIGHT = 15
"""Height in pixels of the faces that are looked for, of the box: the headshot is a third larger."""
WORK = 27_000_000
"""Pixels to which pictures are enlarged at the most to look for small faces: some two seconds on one core."""
LARGEST_HEIGHT = 240
"""Height in pixels of the faces taken from the levels finer than `DETECTION_SIDES`: larger ones are seen
better in coarser levels, and much that the detector sees there is none (halves of faces, knees, cloth)."""
LEVEL_STEP = 4
"""From one of these levels to the next."""
TILE, TILE_OVERLAP = 1920, 256
"""Sides in pixels of the parts in which these levels are looked at, to bound memory, and how far they share
the picture: a face is taken from the part that its centre lies deepest in, which holds all of it."""
REFINED_SIDE = 416
REFINED_MARGIN = 1.3
"""A face found is looked at once more, upright in the middle of a square of so many pixels, which is so many
times the sides of its headshot. Measured: where faces are smaller than this, the landmarks of turned faces
are drawn towards those of upright ones, to a sixth of their angle for faces a third as large."""
STRAIGHT = 0.05
"""Radians: a face that lies so in its cut-out needs no other look."""
REFINEMENTS = 2
"""What the first look leaves of the angle (a fifth), the second takes away."""
STEADY = 4096
"""Landmarks say where to look once more only to this part of the headshot's side (at least: to a power of
two): coarser than what run times round differently, so that all of them look at the same pixels then, and
finer than the detector is. On 60 photographs landmarks found here and in the browser differ by less than
0.0001 pixel of the reference, without it by up to 0.04; on 44 it moves them by 0.0005 of the headshot's side
(median), and one level more or less in every 49th pixel of the photograph by 0.0007."""


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Attributes:
        box: x and y of its upper left corner, width and height; may reach beyond the picture.
        landmarks: float32 5×2, x and y of: eye on the picture's left, eye on its right, tip of the nose,
            corner of the mouth on the left, and on the right.
        score: how sure the detector is, in [0.6, 1].
    """

    box: Box
    landmarks: FloatArray
    score: float


def detect(image: Image, smallest: float = SMALLEST_HEIGHT) -> list[Face]:
    """The faces in a picture, the largest first.

    Pictures of any size: a face may fill a small picture, or be a small part of a large photo. Faces are
    found up to some 45 degrees from upright.

    Args:
        image: uint8 H×W×3, sRGB.
        smallest: height in pixels of the faces that are looked for; larger is faster on large pictures. In
            very large ones (`WORK`) fewer of the smallest are found: of 88 faces of 20 pixels 87 in 1
            megapixel, 84 in 12, 75 in 48.

    Raises:
        HimeError: not a uint8 H×W×3, or the extra ``faces`` is not installed.
    """
    check_image(image)
    longest = max(image.shape[:2])
    found = [
        face for side in DETECTION_SIDES for face in _detect_at(image, min(side / longest, MAXIMUM_FACTOR))
    ]
    factor = min(SURE_HEIGHT / smallest, max(1.0, math.sqrt(WORK / (image.shape[0] * image.shape[1]))))
    while factor * longest > DETECTION_SIDES[-1]:
        found += [face for face in _detect_in_tiles(image, factor) if face.box[3] * factor <= LARGEST_HEIGHT]
        factor /= LEVEL_STEP
    # Once more after the refinement, which draws two halves of a face to the same whole.
    faces = _distinct([_refine(image, face) for face in _distinct(found)])
    return sorted(faces, key=lambda face: face.box[2] * face.box[3], reverse=True)


def _detect_at(image: Image, factor: float) -> list[Face]:
    """The faces found in the picture resized by ``factor``, in coordinates of the picture itself."""
    resized, _ = resize_with_points(image, np.zeros((0, 2)), factor)
    height, width = resized.shape[:2]
    network = detector()
    network.setInputSize((width, height))
    _, rows = network.detect(np.ascontiguousarray(resized[:, :, ::-1]))  # OpenCV's pictures are BGR
    ratio = np.array([image.shape[1] / width, image.shape[0] / height], dtype=np.float32)
    faces = []
    for row in () if rows is None else rows:
        left, top, box_width, box_height = (float(value) for value in row[:4] * np.tile(ratio, 2))
        landmarks = (row[4:14].reshape(5, 2) + 0.5) * ratio - 0.5
        faces.append(Face((left, top, box_width, box_height), landmarks, float(row[14])))
    return faces


def _detect_in_tiles(image: Image, factor: float) -> list[Face]:
    """What `_detect_at` gives of a picture of any size, but of faces larger than `TILE_OVERLAP`."""
    faces = []
    columns, rows = (_tiles(extent, factor) for extent in image.shape[1::-1])
    for (top, bottom), rows_kept in rows:
        for (left, right), columns_kept in columns:
            for face in _detect_at(image[top:bottom, left:right], factor):
                x, y = face.box[0] + left, face.box[1] + top
                middle, centre = x + face.box[2] / 2, y + face.box[3] / 2
                if columns_kept[0] <= middle < columns_kept[1] and rows_kept[0] <= centre < rows_kept[1]:
                    landmarks = face.landmarks + np.array([left, top], np.float32)
                    faces.append(Face((x, y, *face.box[2:]), landmarks, face.score))
    return faces


def _tiles(extent: int, factor: float) -> list[tuple[tuple[int, int], tuple[float, float]]]:
    """Along one side of a picture: from where to where each tile goes, and which of its faces are its own."""
    overlap = TILE_OVERLAP / factor
    count = max(1, math.ceil((extent - overlap) / (TILE / factor - overlap)))
    side = math.ceil((extent + (count - 1) * overlap) / count)  # all alike: the detector changes sizes slowly
    starts = [round(number * (extent - side) / max(1, count - 1)) for number in range(count)]
    borders = [(start + before + side) / 2 for before, start in pairwise(starts)]
    kept = pairwise([-math.inf, *borders, math.inf])
    return [((start, start + side), own) for start, own in zip(starts, kept, strict=True)]


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """Of each face in the picture the surest."""
    distinct: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(_overlap(face.box, other.box) <= OVERLAP for other in distinct):
            distinct.append(face)
    return distinct


def _refine(image: Image, face: Face) -> Face:
    """The face as it is found in an upright cut-out, or as it was if it is not found there."""
    for _ in range(REFINEMENTS):
        if np.ptp(face.landmarks, axis=0).max() < 1:
            break
        frame = Frame.of(_steady(face.landmarks))
        frame = replace(frame, side=REFINED_MARGIN * frame.side)
        found = _detect_at(_cut_out(image, frame), 1)
        middle, reach = (REFINED_SIDE - 1) / 2, REFINED_SIDE / REFINED_MARGIN / 8
        near = [other for other in found if np.abs(other.landmarks.mean(axis=0) - middle).max() < reach]
        if not near:
            break
        best = max(near, key=lambda other: other.score)
        to_picture = frame.from_crop(REFINED_SIDE)
        left, top, width, height = best.box
        x, y = to_picture[:2] @ (left + width / 2, top + height / 2, 1)
        width, height = (extent * frame.side / REFINED_SIDE for extent in (width, height))
        landmarks = (best.landmarks @ to_picture[:2, :2].T + to_picture[:2, 2]).astype(np.float32)
        turned = abs(Frame.of(best.landmarks).angle)
        face = Face((x - width / 2, y - height / 2, width, height), landmarks, best.score)
        if turned < STRAIGHT:
            break
    return face


def _steady(landmarks: FloatArray) -> FloatArray:
    """Multiples of a power of two, see `STEADY`."""
    step = 2.0 ** math.floor(math.log2(Frame.of(landmarks).side / STEADY))
    steady: FloatArray = np.rint(landmarks / step) * np.float32(step)
    return steady


def _cut_out(image: Image, frame: Frame) -> Image:
    """What `hime.faces.headshot.cut` gives, faster and less exact."""
    cv2 = opencv()
    reach = frame.side  # more than half of the diagonal
    (left, right), (top, bottom) = (
        (min(max(0, math.floor(middle - reach)), extent - 1), max(1, math.ceil(middle + reach)))
        for middle, extent in zip(frame.centre, image.shape[1::-1], strict=True)
    )
    part = image[top:bottom, left:right]
    corners = np.array(frame.corners()[:3] - (left, top))
    part, corners = resize_with_points(part, corners, min(1.0, REFINED_SIDE / frame.side))
    last = REFINED_SIDE - 0.5
    matrix = cv2.getAffineTransform(
        corners.astype(np.float32), np.array([[-0.5, -0.5], [last, -0.5], [last, last]], np.float32)
    )
    upright: Image = cv2.warpAffine(
        part, matrix, (REFINED_SIDE, REFINED_SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return upright


def _overlap(first: Box, second: Box) -> float:
    """Intersection over union."""
    (left, top, width, height), (other_left, other_top, other_width, other_height) = first, second
    across = min(left + width, other_left + other_width) - max(left, other_left)
    down = min(top + height, other_top + other_height) - max(top, other_top)
    common = max(0.0, across) * max(0.0, down)
    return common / (width * height + other_width * other_height - common)
