"""YuNet in ONNX Runtime: what OpenCV, for which it was made, sees."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hime.faces import yunet
from hime.faces.networks import detector_path
from hime.faces.yunet import DETECTOR, MINIMUM_SCORE, OVERLAP, seen, shrink
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image


def as_opencv(image: Image) -> np.ndarray:
    height, width = image.shape[:2]
    network = cv2.FaceDetectorYN.create(str(detector_path()), "", (width, height), MINIMUM_SCORE, OVERLAP)
    _, rows = network.detect(np.ascontiguousarray(image[:, :, ::-1]))
    return np.zeros((0, 15), np.float32) if rows is None else rows


@pytest.fixture(scope="module")
def crowd(demo_people: Path) -> Image:
    """Twelve faces of 20 to 200 pixels, some of them over others."""
    photo = np.full((500, 700, 3), 120, np.uint8)
    random = np.random.default_rng(3)
    for number in range(12):
        side = int(random.integers(20, 200))
        top, left = (int(random.integers(0, extent - side)) for extent in photo.shape[:2])
        name = ("ada", "ben", "carl", "eva")[number % 4]
        photo[top : top + side, left : left + side] = resize(
            read_image(demo_people / name / "0.webp"), side, side
        )
    return photo


@pytest.mark.parametrize("size", [(500, 700), (333, 461), (77, 130), (31, 40), (1, 1), (480, 640), (900, 33)])
def test_as_opencv(crowd: Image, size: tuple[int, int]) -> None:
    picture = resize(crowd, *size)
    rows, expected = seen(picture), as_opencv(picture)
    assert rows.shape == expected.shape
    assert rows.dtype == np.float32
    assert np.allclose(rows, expected, atol=1e-3)


def test_the_crowd_is_seen(crowd: Image) -> None:
    assert len(seen(crowd)) >= 8


def test_threads_share_it(crowd: Image) -> None:
    pictures = [resize(crowd, side, side) for side in (64, 200, 301, 480)] * 3
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(seen, pictures))
    for picture, found in zip(pictures, rows, strict=True):
        assert np.array_equal(found, seen(picture))


def test_shrinking_changes_nothing(crowd: Image) -> None:
    before = seen(crowd)
    shrink()
    assert np.array_equal(seen(crowd), before)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
@settings(max_examples=50, deadline=None)
def test_distinct_as_opencv(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    rows = np.zeros((count, 15), np.float32)
    rows[:, :2] = random.uniform(-5, 40, (count, 2))
    rows[:, 2:4] = random.uniform(0.5, 30, (count, 2))
    rows[:, 14] = random.permutation(np.linspace(0.61, 1, count))
    boxes = np.trunc(rows[:, :4]).astype(int).tolist()
    expected = cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), MINIMUM_SCORE, OVERLAP) if count else []
    assert yunet._distinct(rows).tolist() == list(expected)


def test_the_file_is_what_the_script_makes() -> None:
    pytest.importorskip("onnx")
    from hime.tools.yunet import adapted

    assert DETECTOR.read_bytes() == adapted().SerializeToString(), "python -m hime.tools.yunet writes it"
