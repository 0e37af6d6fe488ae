"""YuNet (Wu et al. 2023), which finds faces and five landmarks each, run by ONNX Runtime.

The network is OpenCV's (model zoo, ``face_detection_yunet_2023mar_int8bq``, MIT). `hime.tools.yunet` wrote
the file here from it: its 8-bit weights as the numbers that they stand for, pictures of any size. So it takes
half of the time that OpenCV takes for it, gives the same to the last digits, and threads share it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from hime.pictures.arrays import FloatArray, Image

DETECTOR = Path(__file__).with_name("yunet.onnx")
MINIMUM_SCORE = 0.6
OVERLAP = 0.3
"""Two boxes whose intersection is more than this share of their union are one face."""
STRIDES = (8, 16, 32)
MULTIPLE = STRIDES[-1]
"""Of the sides that the network takes; pictures are filled up with black, to the right and below."""
MOST = 5000
"""Places that are compared with each other, the surest: more are no faces."""


def seen(image: Image) -> FloatArray:
    """What YuNet sees in a picture at its own size, the surest first: float32 K×15.

    Columns: x and y of the box's upper left corner, its width and height, x and y of the five landmarks, the
    score. As OpenCV's ``FaceDetectorYN`` gives them, pixel borders at whole numbers.

    Args:
        image: uint8 H×W×3, sRGB.
    """
    height, width = image.shape[:2]
    planes = np.empty((1, 3, height + -height % MULTIPLE, width + -width % MULTIPLE), np.float32)
    planes[0, :, :height, :width] = image.transpose(2, 0, 1)[::-1]  # BGR, 0 to 255
    planes[..., height:, :], planes[..., width:] = 0, 0
    values = dict(zip(_outputs(), _session().run(None, {"input": planes}), strict=True))
    columns = planes.shape[-1]
    rows = np.concatenate([_rows(values, stride, columns // stride) for stride in STRIDES])
    return rows[_distinct(rows)]


def shrink() -> None:
    """Give back the memory that the last pictures took; the next one takes it anew."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    smallest = np.zeros((1, 3, MULTIPLE, MULTIPLE), np.float32)
    _session().run(None, {"input": smallest}, options)


@cache
def _session() -> onnxruntime.InferenceSession:
    """One thread a picture: who has several pictures, or parts of one, looks at them at the same time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(DETECTOR), options, providers=["CPUExecutionProvider"])


@cache
def _outputs() -> list[str]:
    return [output.name for output in _session().get_outputs()]


def _rows(values: dict[str, FloatArray], stride: int, columns: int) -> FloatArray:
    """What is seen in the places of one stride that are sure enough."""
    classes, objects = (values[f"{name}_{stride}"].reshape(-1).clip(0, 1) for name in ("cls", "obj"))
    scores = np.sqrt(classes * objects)
    (places,) = np.nonzero(scores > np.float32(MINIMUM_SCORE))
    origin = np.stack([places % columns, places // columns], axis=1).astype(np.float32)
    box = values[f"bbox_{stride}"].reshape(-1, 4)[places]
    points = values[f"kps_{stride}"].reshape(-1, 5, 2)[places]
    extent = np.exp(box[:, 2:]) * np.float32(stride)
    corner = (origin + box[:, :2]) * np.float32(stride) - extent / 2
    landmarks = (points + origin[:, np.newaxis]) * np.float32(stride)
    return np.concatenate([corner, extent, landmarks.reshape(-1, 10), scores[places, np.newaxis]], axis=1)


def _distinct(rows: FloatArray) -> npt.NDArray[np.intp]:
    """Which rows to keep: of those that overlap the surest, compared in whole pixels."""
    order = np.argsort(-rows[:, 14], kind="stable")[:MOST]
    corner, extent = (np.trunc(rows[:, part].astype(np.float64)) for part in (slice(0, 2), slice(2, 4)))
    end, area = corner + extent, extent.prod(axis=1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        common = np.minimum(end[best], end[order]) - np.maximum(corner[best], corner[order])
        both = common.clip(0).prod(axis=1)
        either = area[best] + area[order] - both  # two of no area are one
        order = order[(either > 0) & (both / np.maximum(either, 1) <= np.float32(OVERLAP))]
    return np.array(kept, np.intp)
