"""Faces told apart.

from hime.faces import detect, embed, similarity
similarity(embed(photo, face.landmarks), embed(other, detect(other)[0].landmarks))
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.transform import estimate_transform

from hime.errors import HimeError
from hime.faces.networks import embedder, opencv, resize_with_points
from hime.pictures.arrays import Image, check_image

FloatArray = npt.NDArray[np.float32]

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
    transform = estimate_transform("similarity", points, TEMPLATE)
    if transform.scale < 1:  # reduced by area first, so that pixels between the samples count too
        image, points = resize_with_points(image, points, float(transform.scale))
        transform = estimate_transform("similarity", points, TEMPLATE)
    aligned = cv2.warpAffine(
        image,
        transform.params[:2],
        (ALIGNED_SIDE, ALIGNED_SIDE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    network = embedder()
    network.setInput(cv2.dnn.blobFromImage(aligned), "data")  # RGB, 0 to 255
    vector = network.forward().reshape(-1).astype(np.float32)
    unit: FloatArray = vector / np.linalg.norm(vector)
    return unit


def similarity(first: FloatArray, second: FloatArray) -> float:
    """Cosine between two embeddings, in [−1, 1]: around 0.1 between people, around 0.6 within one."""
    return float(np.clip(np.dot(first, second), -1, 1))
