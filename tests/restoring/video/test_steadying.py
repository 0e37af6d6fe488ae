"""What restoring changes in a face, averaged along the motion: known shifts, cuts, and frames in order."""

from __future__ import annotations

from dataclasses import dataclass

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hime.pictures.arrays import FloatArray, Image
from hime.restoring.video.planes import Planes
from hime.restoring.video.steadying import REACH, Change, steadied, with_surroundings
from restoring.video.scenes import background

SIDE = 40
CORNER = (24, 16)


def moved(image: FloatArray, x: float, y: float) -> FloatArray:
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    size = image.shape[1::-1]
    return np.asarray(
        cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    )


def planes(image: FloatArray) -> Planes:
    frame: Image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return Planes(
        av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format="yuv444p")
    )


@pytest.fixture(scope="module")
def still() -> FloatArray:
    return background(96, 80).astype(np.float32)


def pattern(enlargement: int) -> FloatArray:
    """A change with structure, over the whole of an enlarged frame."""
    rows, columns = np.indices((80 * enlargement, 96 * enlargement), dtype=np.float32)
    waves = 20 * np.sin(columns / 5) * np.cos(rows / 7)
    return np.repeat(waves[..., np.newaxis], 3, axis=2)


def part(image: FloatArray, corner: tuple[int, int], enlargement: int) -> FloatArray:
    x, y = corner[0] * enlargement, corner[1] * enlargement
    side = SIDE * enlargement
    return image[y : y + side, x : x + side]


def change(
    still: FloatArray,
    shift: tuple[float, float],
    corner: tuple[int, int],
    enlargement: int,
    noise: np.random.Generator | None = None,
) -> Change:
    """Of a frame in which all has moved by ``shift`` pixels, its change with noise of its own."""
    whole = moved(pattern(enlargement), shift[0] * enlargement, shift[1] * enlargement)
    values = part(whole, corner, enlargement).copy()
    if noise is not None:
        values += noise.normal(0, 8, values.shape).astype(np.float32)
    place = (corner[0] * enlargement, corner[1] * enlargement)
    return Change(0, planes(moved(still, *shift)), place, values)


@pytest.mark.parametrize("enlargement", [1, 2, 4])
def test_changes_follow_a_known_shift_and_their_noise_goes(still: FloatArray, enlargement: int) -> None:
    noise = np.random.default_rng(0)
    own = change(still, (0, 0), CORNER, enlargement, noise)
    others = [
        change(still, (0.8 * step, -0.5 * step), (CORNER[0] + step, CORNER[1] - step), enlargement, noise)
        for step in (-2, -1, 1, 2)
    ]
    truth = part(pattern(enlargement), CORNER, enlargement)
    border = 4 * enlargement

    def error(values: FloatArray) -> float:
        inner = (values - truth)[border:-border, border:-border]
        return float(np.sqrt((inner**2).mean()))

    assert error(own.values) > 7.5
    assert error(steadied(own, others, enlargement)) < 0.6 * error(own.values)
    still_there = [Change(0, own.planes, each.corner, each.values) for each in others]  # without the motion
    assert error(steadied(own, still_there, enlargement)) > error(steadied(own, others, enlargement))


def test_alone_and_beside_another_scene_it_stays(still: FloatArray) -> None:
    own = change(still, (0, 0), CORNER, 2)
    assert steadied(own, [], 2) is own.values
    other = Change(0, planes(still / 3), own.corner, -own.values)  # a cut
    assert np.abs(steadied(own, [other], 2) - own.values).mean() < 0.01 * np.abs(own.values).mean()
    same = Change(0, own.planes, own.corner, own.values)
    assert np.abs(steadied(own, [same], 2) - own.values).max() < 0.05


def test_what_lies_beyond_the_other_s_window_is_not_taken(still: FloatArray) -> None:
    own = change(still, (0, 0), CORNER, 1)
    other = Change(0, own.planes, (CORNER[0] + SIDE // 2, CORNER[1]), np.full_like(own.values, 100))
    found = steadied(own, [other], 1)
    np.testing.assert_allclose(found[:, : SIDE // 2 - 1], own.values[:, : SIDE // 2 - 1], atol=1e-3)
    assert found[:, SIDE // 2 + 1 :].mean() > own.values[:, SIDE // 2 + 1 :].mean() + 30


@dataclass
class Item:
    number: int


@given(start=st.integers(0, 5), count=st.integers(0, 20), late=st.integers(0, 8))
def test_each_frame_comes_once_with_those_around_it(start: int, count: int, late: int) -> None:
    items = [Item(number) for number in range(start, start + count)]
    found = [
        (own.number, [each.number for each in around])
        for own, around in with_surroundings(items, start + late)
    ]
    numbers = range(start, start + count)
    assert found == [
        (own, [other for other in numbers if abs(other - own) <= REACH])
        for own in numbers
        if own >= start + late
    ]
