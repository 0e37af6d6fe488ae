"""Faces told apart.

from hime.faces import detect, embed, similarity
similarity(embed(photo, face.landmarks), embed(other, detect(other)[0].landmarks))
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hime.errors import HimeError
from hime.faces.networks import embedder, opencv, resize_with_points
from hime.pictures.arrays import FloatArray, Image, check_image

ALIGNED_SIDE = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the five landmarks lie in the aligned face (the template of ArcFace, for 112×112 pixels)."""


def embed(image: Image, landmarks: npt.ArrayLike) -> FloatArray:
    """The face with these landmarks as a vector of length 1, float32 with 128 entries.

    The face is brought to the template by the similarity transform (turn, scale, shift) that fits best; what
    lies beyond the picture is filled up with its border.

    Args:
        image: uint8 H×W×3, sRGB.
        landmarks: 5×2, as `hime.faces.Face` holds them.

    Raises:
        HimeError: not such arrays, landmarks that all fall together, or the extra ``faces`` is not installed.
    """
    check_image(image)
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != TEMPLATE.shape or not np.isfinite(points).all() or np.ptp(points, axis=0).max() < 1:
        raise HimeError("landmarks are five different points, x and y of each in pixels")
    return embedding_of(image, points)


def embedding_of(image: Image, landmarks: npt.ArrayLike) -> FloatArray:
    """What `embed` gives, of what is known to be a picture and landmarks."""
    points = np.asarray(landmarks, dtype=np.float64)
    cv2 = opencv()
    transform = to_template(points)
    scale = math.hypot(*transform[:, 0])
    if scale < 1:  # reduced by area first, so that pixels between the samples count too
        image, points = resize_with_points(image, points, scale)
        transform = to_template(points)
    aligned = cv2.warpAffine(
        image,
        transform,
        (ALIGNED_SIDE, ALIGNED_SIDE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    with embedder() as network:
        network.setInput(cv2.dnn.blobFromImage(aligned), "data")  # RGB, 0 to 255
        vector = np.array(network.forward(), np.float32).reshape(-1)
    unit: FloatArray = vector / np.linalg.norm(vector)
    return unit


def to_template(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """2×3: the similarity transform that brings the landmarks nearest to `TEMPLATE`, by least squares.

    As Umeyama (1991) has it. In the plane, with points as complex numbers, it is z → a·z + b.
    """
    here, there = (each @ [1, 1j] for each in (points, TEMPLATE))
    around = here - here.mean()
    a = np.vdot(around, there) / np.vdot(around, around).real
    b = there.mean() - a * here.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def similarity(first: FloatArray, second: FloatArray) -> float:
    """Cosine between two embeddings, in [−1, 1]: around 0.1 between people, around 0.6 within one."""
    return float(np.clip(np.dot(first, second), -1, 1))
