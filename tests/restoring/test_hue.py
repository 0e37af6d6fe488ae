"""Pictures of one hue keep it, whatever a network makes of them; coloured ones are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

import hime
from hime.data.people import DEMO_PEOPLE
from hime.pictures.arrays import Image, downscale, upscale
from hime.pictures.reading import Picture, read_image, read_target
from hime.restoring.any_size import together
from hime.restoring.face import face_steps
from hime.restoring.hue import LUMINANCE, keep_hue, tone_of
from hime.restoring.restorer import References


def toned(image: Image, dark: list[float], light: list[float], gamma: float) -> Image:
    """The luminance of a picture between two colours, in [0, 1], as prints are toned."""
    grey = (image @ LUMINANCE / 255)[:, :, np.newaxis] ** gamma
    colours = np.array(dark) + (np.array(light) - np.array(dark)) * grey
    levels: Image = np.rint(255 * colours.clip(0, 1)).astype(np.uint8)
    return levels


def drift(result: Image, tint: Image) -> float:
    """How far, in levels, the colours of a result lie from those of the tint at the same luminance."""
    tone = tone_of(tint)
    assert tone is not None
    return float(np.abs(result.astype(float) - tone.colours(result @ LUMINANCE / 255)).max())


@pytest.fixture(scope="module")
def face() -> Image:
    return read_target(DEMO_PEOPLE / "eva" / "1.webp", 128)


SEPIA = ([0.12, 0.08, 0.05], [1.0, 0.93, 0.8], 1.1)
CYANOTYPE = ([0.03, 0.1, 0.25], [0.9, 0.96, 1.0], 0.9)
FADED = ([0.3, 0.25, 0.3], [0.95, 0.85, 0.75], 1.0)


@pytest.mark.parametrize("model", ["small-x4-real-p", "small-x4-p", "small-x8"])
@pytest.mark.parametrize("with_references", [True, False])
def test_a_restored_headshot_keeps_its_hue(face: Image, model: str, with_references: bool) -> None:
    restorer = hime.load(model, threads=1)
    if with_references:
        restorer.set_references([read_image(DEMO_PEOPLE / "eva" / f"{number}.webp") for number in (2, 3)])
    lr = downscale(face, 4)
    grey = np.repeat(lr[:, :, 1:2], 3, axis=2)
    restored = restorer.restore(grey).image.astype(int)
    assert np.ptp(restored, axis=2).max() == 0
    for tint in (SEPIA, CYANOTYPE, FADED):
        one_hue = toned(lr, *tint)
        assert drift(restorer.restore(one_hue).image, one_hue) <= 4


@given(
    dark=st.lists(st.floats(0, 0.3), min_size=3, max_size=3),
    light=st.lists(st.floats(0.6, 1), min_size=3, max_size=3),
    gamma=st.floats(0.7, 1.4),
    noise=st.integers(0, 2**32 - 1),
)
def test_any_tint_is_kept(dark: list[float], light: list[float], gamma: float, noise: int) -> None:
    truth = read_target(DEMO_PEOPLE / "ben" / "0.webp", 64)
    tint = toned(truth, dark, light, gamma)
    strayed = np.random.default_rng(noise).integers(-30, 31, tint.shape)
    lr = downscale(tint, 2)
    result = keep_hue((tint + strayed).clip(0, 255).astype(np.uint8), lr)
    seen = lr @ LUMINANCE
    inside = (seen.min() <= result @ LUMINANCE) & (result @ LUMINANCE <= seen.max())
    assert drift(result[inside][np.newaxis], tint) <= 4  # what is darker or lighter than all of LR is a guess
    assert np.abs(result @ LUMINANCE - tint @ LUMINANCE).mean() < 20  # its luminance is what was restored


@pytest.mark.parametrize("tint", [None, SEPIA, CYANOTYPE, FADED])
def test_a_large_headshot_that_is_blurred_and_noisy_keeps_its_hue(tint: Any) -> None:
    """At the brightnesses that it has; what is darker or lighter than all of it is a guess."""
    photos = [read_image(DEMO_PEOPLE / "ben" / f"{number}.webp") for number in (0, 1, 2)]
    soft = gaussian_filter(photos[0].astype(float), (4, 4, 0))
    soft += np.random.default_rng(0).normal(0, 6, soft.shape[:2])[:, :, np.newaxis]
    blurred = np.rint(soft.clip(0, 255)).astype(np.uint8)
    grey = np.rint(blurred @ LUMINANCE).astype(np.uint8)[:, :, np.newaxis].repeat(3, axis=2)
    headshot = grey if tint is None else toned(blurred, *tint)
    restorer = hime.load("small-x4-real-p", threads=1)
    (found,) = together([face_steps(headshot, References(photos[1:]), restorer)])
    assert len(found.passes) > 1
    if tint is None:
        assert np.ptp(found.image.astype(int), axis=2).max() == 0
        return
    levels, seen = found.image @ LUMINANCE, found.lr @ LUMINANCE
    inside = (seen.min() <= levels) & (levels <= seen.max())
    assert inside.mean() > 0.9
    assert drift(found.image[inside][np.newaxis], headshot) <= 4


@given(level=st.integers(0, 255), stray=st.integers(0, 255))
def test_flat_grey_is_grey(level: int, stray: int) -> None:
    restored = np.full((16, 16, 3), [level, stray, level], np.uint8)
    assert np.ptp(keep_hue(restored, np.full((8, 8, 3), level, np.uint8)).astype(int), axis=2).max() == 0


def test_coloured_faces_are_left_alone() -> None:
    for person in ("ada", "ben", "carl", "dan", "eva", "fay"):
        truth = read_target(DEMO_PEOPLE / person / "0.webp", 128)
        assert keep_hue(truth, downscale(truth, 4)) is truth, person


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_photograph_of_one_hue_keeps_it(face: Image, deep: bool, alpha: bool) -> None:
    pytest.importorskip("cv2")
    small = downscale(face, 2)
    grey = np.repeat(small[:, :, 1:2], 3, axis=2)
    transparency = np.full(grey.shape[:2], 200, np.uint16 if deep else np.uint8) if alpha else None
    picture = Picture(grey, transparency, grey.astype(np.uint16) * 257 if deep else None)
    eva = hime.read_person(DEMO_PEOPLE / "eva")
    restored = hime.restore_photo(picture, [eva], hime.load("small-x4-real-p", threads=1))
    assert restored.faces[0].restored is not None
    assert np.ptp(restored.image.astype(int), axis=2).max() == 0
    if not deep:
        sepia = toned(small, *SEPIA)
        result = hime.restore_photo(Picture(sepia), [eva], hime.load("small-x4-real-p", threads=1))
        assert drift(result.image, upscale(sepia, 4)) <= 4
