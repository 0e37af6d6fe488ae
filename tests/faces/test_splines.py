"""Cubic splines by OpenCV's filters: SciPy's numbers."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from hime.faces.splines import sample


def by_scipy(values: np.ndarray, matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rows_first = matrix[[1, 0, 2]][:, [1, 0, 2]]
    channels = [
        affine_transform(channel, rows_first, output_shape=shape, output=np.float64, order=3, mode="nearest")
        for channel in np.moveaxis(values, -1, 0)
    ]
    return np.stack(channels, axis=-1)


@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.floats(0.1, 3),
    st.floats(-math.pi, math.pi),
    st.tuples(st.floats(-30, 60), st.floats(-30, 60)),
    st.sampled_from([np.uint8, np.float32]),
)
@settings(max_examples=60, deadline=None)
def test_samples_are_scipys(
    size: tuple[int, int],
    shape: tuple[int, int],
    scale: float,
    angle: float,
    shift: tuple[float, float],
    kind: type,
) -> None:
    """Turned, scaled and moved, also far beyond the picture."""
    values = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3)).astype(kind)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    matrix = np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]], [0, 0, 1]])
    found = sample(values, matrix, shape)
    assert found.dtype == np.float32
    assert np.abs(found - by_scipy(values, matrix, shape)).max() < 1e-3


def test_whole_pixels_are_exact() -> None:
    values = np.random.default_rng(0).uniform(-255, 255, (50, 40, 3)).astype(np.float32)
    matrix = np.array([[1.0, 0, 7], [0, 1, -3], [0, 0, 1]])
    assert np.allclose(sample(values, matrix, (50, 30))[3:], values[:47, 7:37], atol=1e-3)
