"""Headshots of any size: which side they are restored from, the passes, and what stays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

import hime
from hime import HimeError, Restorer
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image
from hime.restoring.any_size import LARGEST_SIDE, WORKING_SIDES, restore_any_size, working_side
from hime.restoring.detail import Detail, measure
from hime.restoring.restorer import MINIMUM_SIDE, References, Restoration


class Enlarger(Restorer):
    """Enlarges by bicubic interpolation, with a grain of pixels on top; notes what it was given."""

    def __init__(self, scale: int = 4, grain: int = 0) -> None:
        self.given: list[Image] = []
        self.grain = grain
        self._scale = scale
        self.backend, self._fidelity = None, None

    @property
    def scale(self) -> int:
        return self._scale

    def set_references(self, images: Sequence[object]) -> None:
        pass

    def restore_together(
        self, headshots: Sequence[Image], references: Sequence[References | None]
    ) -> list[Restoration]:
        return [self.restore(lr) for lr in headshots]

    def restore(self, lr: Image, references: References | None = None) -> Restoration:
        self.given.append(lr)
        side = len(lr) * self.scale
        grain = self.grain * (-1) ** np.add.outer(np.arange(side), np.arange(side))[..., np.newaxis]
        image = np.clip(resize(lr, side, side).astype(np.int16) + grain, 0, 255).astype(np.uint8)
        return Restoration(image, [np.ones(lr.shape[:2], np.float32)], [1.0])


@pytest.fixture(scope="module")
def face(demo_people: Path) -> Image:
    return resize(read_image(demo_people / "ada" / "0.webp"), 256, 256)


def softened(image: Image, deviation: float) -> Image:
    filtered = gaussian_filter(image.astype(np.float32), (deviation, deviation, 0), mode="nearest")
    return np.rint(filtered).astype(np.uint8)


def showing(side: float) -> Detail:
    return Detail(side, 0.0, 0.0)


# ------------------------------------------------------------------------------------ the working side


def test_small_and_sharp_is_restored_as_it_is() -> None:
    for side in (8, 16, 20, 32, 50, 100, 128):
        assert working_side(showing(side), side) == side
        assert working_side(showing(256), side) == side


def test_blurred_is_reduced_to_what_it_shows() -> None:
    assert working_side(showing(16), 256) == 24
    assert working_side(showing(90), 256) == 128
    assert working_side(showing(22), 256) == 32
    assert working_side(showing(43), 512) == 64
    assert working_side(showing(22), 40) == 32
    assert working_side(showing(8), 256) == 24
    assert working_side(showing(8), 26) == 26


def test_noise_and_blocks_are_not_sharp() -> None:
    assert working_side(Detail(130, 15, 0.1), 256) == 128
    assert working_side(Detail(130, 5, 0.6), 256) == 128
    assert working_side(Detail(130, 11, 0.3), 256) is None


def test_large_and_sharp_stays() -> None:
    assert working_side(showing(130), 256) is None
    assert working_side(showing(256), 1000) is None
    assert working_side(showing(130), 256, even_sharp=True) == WORKING_SIDES[-1]


@given(
    detail=st.floats(8, 256), more=st.floats(1, 2), side=st.integers(MINIMUM_SIDE, 1000), even=st.booleans()
)
def test_more_detail_never_needs_fewer_pixels(detail: float, more: float, side: int, even: bool) -> None:
    found = working_side(showing(detail), side, even_sharp=even)
    finer = working_side(showing(min(256.0, detail * more)), side, even_sharp=even)
    if found is None:
        assert finer is None
        assert side > WORKING_SIDES[-1]
        assert not even
    else:
        assert MINIMUM_SIDE <= found <= side
        assert found == side or found in WORKING_SIDES
        assert finer is None or finer >= found


# --------------------------------------------------------------------------------------------- restoring


def test_small_and_sharp_comes_out_as_the_restorer_makes_it(tiny_model: Path, face: Image) -> None:
    restorer = hime.load(tiny_model, threads=1)
    restorer.set_references([face])
    for side in (16, 48):
        headshot = resize(face, side, side)
        found, plain = restore_any_size(headshot, restorer, working=side), restorer.restore(headshot)
        assert np.array_equal(found.image, plain.image)
        assert found.shares == plain.shares
        assert found.passes == (side,)


def test_sharp_stays_to_the_last_bit(face: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hime.restoring.any_size.measure", lambda _: showing(200))
    restorer = Enlarger()
    found = restore_any_size(face, restorer)
    assert np.array_equal(found.image, face)
    assert np.array_equal(found.lr, face)
    assert (found.passes, found.scores, found.shares, restorer.given) == ((), [], [], [])
    assert restore_any_size(face, restorer, even_sharp=True).passes == (128,)
    assert restore_any_size(face, restorer, 400).image.shape == (400, 400, 3)


@pytest.mark.parametrize(
    ("scale", "working", "at_least", "side"),
    [(4, 32, 0, 256), (4, 96, 0, 384), (4, 32, 500, 500), (4, 32, 900, 512), (8, 128, 300, 1024)],
)
def test_the_result_has_the_pixels_that_are_there_or_asked_for(
    face: Image, scale: int, working: int, at_least: int, side: int
) -> None:
    found = restore_any_size(face, Enlarger(scale), at_least=at_least, working=working)
    assert found.image.shape == (side, side, 3)


def test_the_references_given_are_those_used(tiny_model: Path, face: Image) -> None:
    """In every pass; those set in the restorer play no part."""
    restorer, other = (hime.load(tiny_model, threads=1) for _ in range(2))
    restorer.set_references([face])
    other.set_references([np.rot90(face)])
    soft = softened(face, 4)
    found = restore_any_size(soft, other, working=32, references=References([face]))
    assert len(found.passes) > 1
    assert np.array_equal(found.image, restore_any_size(soft, restorer, working=32).image)
    assert not np.array_equal(found.image, restore_any_size(soft, other, working=32).image)


@pytest.mark.parametrize("scale", [4, 8])
@pytest.mark.parametrize(
    ("working", "side"), [(16, 512), (24, 256), (32, 128), (64, 256), (64, 300), (128, 700)]
)
def test_passes_double_the_result_until_it_is_large_enough(
    face: Image, scale: int, working: int, side: int
) -> None:
    restorer = Enlarger(scale)
    found = restore_any_size(face, restorer, side, working=working)
    assert found.image.shape == (side, side, 3)
    assert found.passes == tuple(len(lr) for lr in restorer.given)
    results = [scale * each for each in found.passes]
    assert found.passes[0] == working
    assert all(1 < after / before <= 2.1 for before, after in itertools.pairwise(results))
    assert results[-1] * 1.25 >= min(side, LARGEST_SIDE)


def test_passes_add_only_what_is_finer(face: Image) -> None:
    """A grain of single pixels is in the last pass alone; below it all is as the first pass made it."""
    plain = restore_any_size(face, Enlarger(), 256, working=32).image.astype(int)
    grainy = restore_any_size(face, Enlarger(grain=8), 256, working=32).image.astype(int)
    difference = grainy - plain
    assert np.abs(difference).mean() > 4
    coarse = resize((difference.clip(-100, 100) + 128).astype(np.uint8), 64, 64)
    assert np.abs(coarse.astype(int) - 128).max() <= 3


@pytest.mark.parametrize("size", [16, 33, 100, 256, 512])
def test_every_size_of_a_grey_face_comes_out_grey(face: Image, size: int) -> None:
    grey = np.rint(resize(face, size, size) @ (0.299, 0.587, 0.114)).astype(np.uint8)
    headshot = grey[..., np.newaxis].repeat(3, axis=2)
    found = restore_any_size(softened(headshot, size / 64), Enlarger())
    assert found.image.dtype == np.uint8
    assert found.image.shape[0] == found.image.shape[1] <= LARGEST_SIDE
    assert np.ptp(found.image, axis=2).max() == 0
    assert found.detail == measure(softened(headshot, size / 64))


def test_strength_mixes(face: Image) -> None:
    soft = softened(face, 4)
    whole, none, half = (
        restore_any_size(soft, Enlarger(grain=20), working=32, strength=strength).image.astype(float)
        for strength in (1.0, 0.0, 0.5)
    )
    assert np.array_equal(none, soft)
    assert np.abs(half - (whole + none) / 2).max() <= 0.5


def test_what_cannot_be_used_is_told(face: Image) -> None:
    for headshot, options, message in (
        (face[:200], {}, "256×200 pixels; give a square one"),
        (face[:, :, 0], {}, "uint8 array"),
        (face, {"strength": 1.5}, "strength must be from 0 to 1, not 1.5"),
        (face, {"strength": float("nan")}, "strength must be from 0 to 1"),
        (face, {"working": 257}, "from 8 to the headshot's 256 pixels, not 257"),
        (face, {"working": 4}, "from 8 to"),
        (face, {"side": 0}, "0 pixels a side cannot be made"),
    ):
        with pytest.raises(HimeError, match=message):
            restore_any_size(headshot, Enlarger(), **options)


def test_too_small_is_told(tiny_model: Path, face: Image) -> None:
    with pytest.raises(HimeError, match="at least 8×8"):
        restore_any_size(face[:5, :5], hime.load(tiny_model, threads=1))
