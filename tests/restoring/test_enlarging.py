"""Whole pictures enlarged: Pillow's Lanczos, also where strips meet and at the border."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hime.restoring.enlarging
from hime.restoring.enlarging import enlarge


def by_pillow(image: np.ndarray, factor: int) -> np.ndarray:
    size = tuple(factor * side for side in image.shape[1::-1])
    if image.dtype == np.uint8:
        return np.asarray(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.LANCZOS))
    channels = [PIL.Image.fromarray(channel.astype(np.float32)) for channel in np.moveaxis(image, -1, 0)]
    resized = [np.asarray(each.resize(size, PIL.Image.Resampling.LANCZOS)) for each in channels]
    return np.rint(np.stack(resized, -1).clip(0, 65535))


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 12),
    st.sampled_from([np.uint8, np.uint16]),
)
@settings(max_examples=60, deadline=None)
def test_strips_are_what_the_whole_is(
    size: tuple[int, int], factor: int, strip: int, kind: type[np.integer[Any]]
) -> None:
    image = np.random.default_rng(strip).integers(0, np.iinfo(kind).max, (*size, 3), kind, endpoint=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hime.restoring.enlarging, "STRIP", strip)
        result = enlarge(image, factor)
    assert result.dtype == kind
    assert not np.shares_memory(result, image)
    expected = by_pillow(image, factor).astype(int)
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= 1
    assert (result != expected).sum() <= 5 + 0.01 * result.size  # of 16 bits the last digits


def test_few_values_of_a_photograph_differ(demo_people: Any) -> None:
    image = np.asarray(PIL.Image.open(demo_people / "ada" / "0.webp").convert("RGB"))
    for factor in (2, 4):
        difference = np.abs(enlarge(image, factor).astype(int) - by_pillow(image, factor))
        assert difference.max() <= 1
        assert (difference > 0).mean() < 2e-4
