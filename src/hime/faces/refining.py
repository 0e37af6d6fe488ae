"""Faces that were found, looked at once more from near: upright, or from all sides."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hime.faces.face import Face
from hime.faces.headshot import Frame
from hime.faces.networks import opencv, resize_with_points
from hime.faces.scanning import detect_at
from hime.pictures.arrays import FloatArray, Image

REFINED_SIDE = 416
REFINED_MARGIN = 1.3
"""A face found is looked at once more, upright in the middle of a square of so many pixels, which is so many
times the sides of its headshot. Measured: where faces are smaller than this, the landmarks of turned faces
are drawn towards those of upright ones, to a sixth of their angle for faces a third as large."""
STRAIGHT = 0.05
"""Radians: a face that lies so in its cut-out needs no other look."""
REFINEMENTS = 2
"""What the first look leaves of the angle (a fifth), the second takes away."""
OBLIQUE, MORE_REFINEMENTS = 0.2, 2
"""Radians: a face that lies further askew after these looks, between two quarters, is looked at so often
besides."""
DIRECTIONS = 8
"""In so many a face is looked at whose own is doubtful."""
SMALL_SIDE, WIDE_MARGIN = 128, 2.0
"""The square in which that is done: where it lies otherwise than it was seen, its place is known badly."""
STEADY = 4096
"""Landmarks say where to look once more only to this part of the headshot's side (at least: to a power of
two): coarser than what run times round differently, so that all of them look at the same pixels then, and
finer than the detector is. On 60 photographs landmarks found here and in the browser differ by less than
0.0001 pixel of the reference, without it by up to 0.04; on 44 it moves them by 0.0005 of the headshot's side
(median), and one level more or less in every 49th pixel of the photograph by 0.0007."""


def refine(image: Image, face: Face) -> Face:
    """The face as it is found in an upright cut-out, or as it was if it is not found there."""
    for looks in range(1, REFINEMENTS + MORE_REFINEMENTS + 1):
        if not face.is_one:
            break
        found = _look(image, Frame.of(_steady(face.landmarks)))
        if found is None:
            break
        face, turned = found
        if turned < (STRAIGHT if looks < REFINEMENTS else OBLIQUE):
            break
    return face


def from_all_sides(image: Image, face: Face) -> Face | None:
    """The surest of what is found in the face's place in pictures turned by eighths.

    Found roughly, in one look at all of them side by side.
    """
    frames = [
        replace(face.frame, side=WIDE_MARGIN * face.frame.side, angle=number * 2 * math.pi / DIRECTIONS)
        for number in range(DIRECTIONS)
    ]
    cuts = [_cut_out(image, frame, SMALL_SIDE) for frame in frames]
    rows = [np.concatenate(cuts[start : start + 4], axis=1) for start in range(0, DIRECTIONS, 4)]
    seen = []
    for found in detect_at(np.concatenate(rows), 1):
        column, row = (int(value // SMALL_SIDE) for value in found.landmarks.mean(axis=0))
        corner = np.array([column, row], np.float32) * SMALL_SIDE
        number = min(max(0, 4 * row + column), DIRECTIONS - 1)
        moved = Face(
            (found.box[0] - corner[0], found.box[1] - corner[1], *found.box[2:]),
            found.landmarks - corner,
            found.score,
        )
        if _is_in_the_middle(moved, SMALL_SIDE, WIDE_MARGIN / 2):
            seen.append(_in_picture(moved, frames[number], SMALL_SIDE))
    return max(seen, key=lambda face: face.score, default=None)


def _look(image: Image, frame: Frame) -> tuple[Face, float] | None:
    """The face in the middle of an upright cut-out, and by how many radians it lies askew in it."""
    frame = replace(frame, side=REFINED_MARGIN * frame.side)
    near = [
        face
        for face in detect_at(_cut_out(image, frame, REFINED_SIDE), 1)
        if _is_in_the_middle(face, REFINED_SIDE, REFINED_MARGIN)
    ]
    if not near:
        return None
    best = max(near, key=lambda face: face.score)
    return _in_picture(best, frame, REFINED_SIDE), abs(best.frame.angle)


def _is_in_the_middle(face: Face, side: int, margin: float) -> bool:
    """Whether a face in a cut-out is the one that it was made for."""
    middle, reach = (side - 1) / 2, side / margin / 8
    return bool(np.abs(face.landmarks.mean(axis=0) - middle).max() < reach)


def _in_picture(face: Face, frame: Frame, side: int) -> Face:
    """A face in a cut-out, in the picture that it was cut out of."""
    to_picture = frame.from_crop(side)
    left, top, width, height = face.box
    x, y = to_picture[:2] @ (left + width / 2, top + height / 2, 1)
    angle = frame.angle + face.frame.angle
    if abs(math.sin(angle)) > abs(math.cos(angle)):  # it lies on its side
        width, height = height, width
    width, height = (extent * frame.side / side for extent in (width, height))
    landmarks = (face.landmarks @ to_picture[:2, :2].T + to_picture[:2, 2]).astype(np.float32)
    return Face((x - width / 2, y - height / 2, width, height), landmarks, face.score)


def _steady(landmarks: FloatArray) -> FloatArray:
    """Multiples of a power of two, see `STEADY`."""
    step = 2.0 ** math.floor(math.log2(Frame.of(landmarks).side / STEADY))
    steady: FloatArray = np.rint(landmarks / step) * np.float32(step)
    return steady


def _cut_out(image: Image, frame: Frame, size: int) -> Image:
    """What `hime.faces.headshot.cut` gives, faster and less exact."""
    cv2 = opencv()
    reach = frame.side  # more than half of the diagonal
    (left, right), (top, bottom) = (
        (min(max(0, math.floor(middle - reach)), extent - 1), max(1, math.ceil(middle + reach)))
        for middle, extent in zip(frame.centre, image.shape[1::-1], strict=True)
    )
    part = image[top:bottom, left:right]
    corners = np.array(frame.corners()[:3] - (left, top))
    part, corners = resize_with_points(part, corners, min(1.0, size / frame.side))
    last = size - 0.5
    matrix = cv2.getAffineTransform(
        corners.astype(np.float32), np.array([[-0.5, -0.5], [last, -0.5], [last, last]], np.float32)
    )
    upright: Image = cv2.warpAffine(
        part, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return upright
