"""How much detail a headshot really has, whatever its number of pixels.

A face that is blurred, enlarged, noisy or compressed shows less than its pixels could. How much less is seen
in its spectrum: sharp headshots have nearly the same one, up to their contrast (a deviation of a factor of
1.6 in power at every frequency, over people and cameras), so that what is missing at high frequencies is
what was lost. Noise and the blocks of JPEG add power that is no detail: noise is as strong in the smoothest
places of the picture as elsewhere; blocks lie along rows and columns, and their borders at equal distances.

`measure` weighs these against each other; the weights are fitted on photographs reduced, blurred, made noisy
and compressed by known amounts (``comparisons/detail.py``, results in ``docs/photos.md``).

Frequencies are told as the side in pixels of a picture that just holds them: twice the cycles a side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from hime.pictures.arrays import LUMA, FloatArray, Image, check_image, resize

FloatMatrix = npt.NDArray[np.float64]

SIDE = 256
"""Pixels a side at which headshots are measured; what is finer is not restored anyway."""
SMALLEST, LARGEST = 8.0, 256.0
"""Between these a side is told."""
BANDS = tuple(SMALLEST * 2 ** (step / 2) for step in range(11))
"""Where the bands of the spectrum begin and end: half octaves."""
DIAGONAL_BANDS = (16, 32, 64, 128)
"""Where the octaves begin in which rows and columns are compared with the rest."""
SMOOTH_BANDS = (32, 64, 128)
"""Where the octaves begin of which the power in smooth places is taken."""
ROWS_AND_COLUMNS = np.pi / 24
"""Up to this angle from an axis, a frequency counts to the rows or columns."""
CELL = 8
"""Side of a place: pixels of a picture that just holds the octave."""
SMOOTHEST = 0.1
"""The share of places that are the smooth ones."""
UNCLIPPED = (12, 243)
"""Mean levels of places where noise is not cut off at black or white."""
DISTANCES = tuple(8 * 2 ** (step / 12) for step in range(37))
"""Sides of blocks that are looked for, in pixels of `SIDE`."""
HARMONICS = 4
SHORTEST_WAVE = 2.5
"""Pixels: harmonics that are shorter are left out."""
STEP_FLOOR = 0.3
"""Levels: between columns that differ by less, nothing is told apart."""
STEP_CLIP = (-0.7, 0.7)
"""A step counts up to twice its neighbours."""
MEDIAN = 9
"""So many steps around one are its neighbours."""
FLOOR = 1e-6
"""Variance of one frequency, in levels², below which nothing is told apart: that of rounding to 8 bits."""
SMOOTH_FLOOR = 1e-3
"""The same of an octave."""
CLIP = (-2.5, 0.5)
"""Decades of power, to the sharp spectrum, beyond which more or less says nothing."""
NOISE_SHARE = 0.55
"""What the smoothest places of white noise have of its variance: less than the mean, and only frequencies of
`SMOOTH_BANDS` are counted."""

# Fitted: `python comparisons/detail.py FACES --fit` prints these.
# fmt: off
SHARP: tuple[float, ...] = (
    0.690, 0.242, -0.187, -0.612, -1.044, -1.528, -2.015, -2.524, -3.087, -3.707, 0.178, 0.187, 0.124,
    0.111,
)
LINEAR: tuple[float, ...] = (
    0.036, -0.731, 0.161, 0.375, 0.118, 0.331, 0.049, 0.210, -0.099, 0.209, 0.185, -0.619, -0.555,
    -1.560, -1.092, -0.685, 0.173, -0.308, 0.121, -0.051,
)
SQUARE: tuple[float, ...] = (
    -0.662, -0.716, -0.105, 0.053, 0.030, 0.086, -0.081, 0.089, 0.038, 0.662, -0.600, -0.001, -0.031,
    -0.652, -0.507, -0.295, 0.041, -0.117, -0.088, -0.292,
)
BIAS = 5.334
# fmt: on


@dataclass(frozen=True)
class Detail:
    """What a headshot shows.

    Attributes:
        side: pixels a side of a sharp picture that shows as much. From about 130 on all are alike.
        noise: standard deviation of the luminance in the smoothest places, in levels of 255; texture of sharp
            photographs counts as about 6.
        blocks: how much steps at equal distances stand out of the others: up to 0.2 none are to be seen, from
            0.4 on everybody sees them.
    """

    side: float
    noise: float
    blocks: float


class Spectrum(NamedTuple):
    """What `measure` looks at, in powers of ten.

    Attributes:
        bands: mean power of the luminance in each of `BANDS`.
        axes: power along rows and columns to that in other directions, in each of `DIAGONAL_BANDS`.
        smooth: power in the smoothest places, in each of `SMOOTH_BANDS`.
        mean: power in all places.
        blocks: see `Detail`; one number, not of ten.
    """

    bands: FloatArray
    axes: FloatArray
    smooth: FloatArray
    mean: FloatArray
    blocks: FloatArray


def measure(headshot: Image) -> Detail:
    """Measure a headshot, framed as `hime.faces.headshot.Frame` frames it.

    Args:
        headshot: uint8 H×W×3 of any size; of one that is not square, the middle.

    Raises:
        HimeError: not such an image.
    """
    found = spectrum(headshot)
    values = features(found)
    exponent = BIAS + float(np.dot(LINEAR, values) + np.dot(SQUARE, values**2))
    variance = float((10.0**found.smooth).sum()) / NOISE_SHARE
    side = float(np.clip(2.0**exponent, SMALLEST, LARGEST))
    return Detail(side, float(np.sqrt(variance)), float(found.blocks[0]))


def spectrum(headshot: Image) -> Spectrum:
    """The headshot's spectrum, at `SIDE` pixels a side."""
    check_image(headshot, "the headshot")
    height, width = headshot.shape[:2]
    shorter = min(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    square = resize(headshot[top : top + shorter, left : left + shorter], SIDE, SIDE)
    luminance = square.astype(np.float32) @ np.array(LUMA, np.float32)
    waves = _cosines(SIDE) @ luminance @ _cosines(SIDE).T
    power = (waves / SIDE) ** 2
    grid = _grid()
    bands = np.bincount(grid.band, power.ravel(), len(BANDS) + 1)[1:-1] / grid.counts
    axes = [(power[along].mean() + FLOOR) / (power[across].mean() + FLOOR) for along, across in grid.octaves]
    smooth, mean = [], []
    for start in SMOOTH_BANDS:
        weakest, average = _in_places(waves, luminance, start)
        smooth.append(weakest)
        mean.append(average)
    return Spectrum(
        _logs(bands, FLOOR),
        _logs(axes, FLOOR),
        _logs(smooth, SMOOTH_FLOOR),
        _logs(mean, SMOOTH_FLOOR),
        np.array([_blocks(luminance)], np.float32),
    )


def features(found: Spectrum) -> FloatArray:
    """What the weights are for: how the spectrum differs from a sharp one of the same contrast."""
    count = len(BANDS) - 1
    relative = found.bands - np.array(SHARP[:count], np.float32)
    contrast = relative[:2].mean()
    axes = found.axes - np.array(SHARP[count:], np.float32)
    lost = np.clip(relative - contrast, *CLIP)
    smooth = (found.smooth - found.mean, found.smooth - contrast)
    return np.concatenate([lost[1:], axes, *smooth, found.blocks])


def _logs(values: npt.ArrayLike, floor: float) -> FloatArray:
    return np.log10(np.asarray(values) + floor).astype(np.float32)


def _blocks(luminance: FloatArray) -> float:
    """How much a comb of equal distances stands out of the steps between columns, and between rows."""
    found = np.zeros(len(DISTANCES))
    for steps in (np.diff(luminance, axis=1), np.diff(luminance.T, axis=1)):
        profile = np.log(np.abs(steps).mean(axis=0) + STEP_FLOOR)
        around = sliding_window_view(np.pad(profile, MEDIAN // 2, mode="symmetric"), MEDIAN)
        profile = np.clip(profile - np.sort(around, axis=1)[:, MEDIAN // 2], *STEP_CLIP)
        waves = _combs() @ (profile - profile.mean())
        first = waves[:, 0]
        phase = first / np.maximum(np.abs(first), 1e-9)
        turned = [waves[:, harmonic] * phase.conj() ** (harmonic + 1) for harmonic in range(HARMONICS)]
        found += np.real(turned).sum(axis=0)
    return max(0.0, float(2 * found.max()))


@cache
def _cosines(count: int) -> FloatMatrix:
    """The orthonormal waves of so many samples (DCT-II), a row each: by it twice, a square goes to its waves,
    by its transpose back.
    """
    numbers = np.arange(count)
    waves = np.cos(np.pi / count * numbers[:, np.newaxis] * (numbers + 0.5)) * math.sqrt(2 / count)
    waves[0] /= math.sqrt(2)
    return waves


@cache
def _combs() -> npt.NDArray[np.complex128]:
    """Distances × harmonics × steps: what a profile is multiplied with to find combs in it."""
    places = np.arange(SIDE - 1) + 0.5
    window = np.sqrt(np.hanning(SIDE - 1))
    lengths = np.array(DISTANCES)[:, np.newaxis] / np.arange(1, HARMONICS + 1)
    waves = np.exp(2j * np.pi * places / lengths[..., np.newaxis]) * (window / window.sum())
    return np.where((lengths >= SHORTEST_WAVE)[..., np.newaxis], waves, 0)


class _Grid(NamedTuple):
    """For each frequency of the picture's cosines where it belongs."""

    radius: FloatArray
    band: npt.NDArray[np.intp]
    counts: npt.NDArray[np.intp]
    octaves: list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]


@cache
def _grid() -> _Grid:
    places = np.arange(SIDE, dtype=np.float32)
    radius = np.hypot(places[:, np.newaxis], places)
    band = np.digitize(radius.ravel(), BANDS)
    counts = np.bincount(band, minlength=len(BANDS) + 1)[1:-1]
    smaller, larger = np.minimum(places[:, np.newaxis], places), np.maximum(places[:, np.newaxis], places)
    on_axis = np.arctan2(smaller, larger) < ROWS_AND_COLUMNS
    inside = [(radius >= start) & (radius < 2 * start) for start in DIAGONAL_BANDS]
    return _Grid(radius, band, counts, [(octave & on_axis, octave & ~on_axis) for octave in inside])


def _in_places(waves: FloatMatrix, luminance: FloatArray, start: int) -> tuple[float, float]:
    """The octave's variance in the smoothest places, and in all, in levels²."""
    size = 2 * start  # a picture that just holds the octave, all else left out
    radius = _grid().radius[:size, :size]
    octave = np.where((radius >= start) & (radius < size), waves[:size, :size], 0) * (size / SIDE)
    count = size // CELL
    values = (_cosines(size).T @ octave @ _cosines(size)).reshape(count, CELL, count, CELL)
    variances = (values**2).mean(axis=(1, 3))
    levels = luminance.reshape(count, SIDE // count, count, SIDE // count).mean(axis=(1, 3))
    unclipped = (levels > UNCLIPPED[0]) & (levels < UNCLIPPED[1])
    chosen = variances[unclipped] if unclipped.mean() > 0.2 else variances.ravel()
    return float(np.quantile(chosen, SMOOTHEST)), float(chosen.mean())
