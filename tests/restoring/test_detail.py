"""How much detail is measured: known reductions are recovered, damage is never taken for detail."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from hime import HimeError
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image
from hime.restoring.detail import LARGEST, SMALLEST, measure

SIDES = (16, 24, 32, 48, 64, 96, 128)


@pytest.fixture(scope="module")
def photos(shared: Path) -> list[Image]:
    """Sharp headshots of training people, 256 pixels in their photographs and more."""
    root = shared / "faces"
    people = set((root / "celeba_train.txt").read_text(encoding="utf-8").split())
    lines = (line.split("\t") for line in (root / "native_px.tsv").read_text().splitlines()[1:])
    large = [name for name, pixels in lines if int(pixels) >= 400 and name.startswith("celeba/")]
    return [read_image(root / name) for name in large if name.split("/")[1] in people][:240:10]


@pytest.fixture(scope="module")
def rendered(demo_people: Path) -> list[Image]:
    return [read_image(path) for path in sorted(demo_people.glob("*/0.webp"))]


def reduced(image: Image, side: int) -> Image:
    return resize(resize(image, side, side), 256, 256)


def blurred(image: Image, deviation: float) -> Image:
    filtered = gaussian_filter(image.astype(np.float32), (deviation, deviation, 0), mode="nearest")
    return np.rint(filtered).astype(np.uint8)


def noisy(image: Image, deviation: float) -> Image:
    noise = np.random.default_rng(0).normal(0, deviation, (*image.shape[:2], 1))
    return np.rint((image + noise).clip(0, 255)).astype(np.uint8)


def jpeg(image: Image, quality: int) -> Image:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(PIL.Image.open(file))


def middle(pictures: list[Image]) -> float:
    return float(np.median([measure(picture).side for picture in pictures]))


def test_known_reductions_are_recovered(photos: list[Image]) -> None:
    """Half of them within a third, nearly all within a factor of 1.7; and larger is always larger."""
    found = np.array([[measure(reduced(photo, side)).side for side in SIDES] for photo in photos])
    off = np.abs(np.log2(found / SIDES))
    assert np.median(off, axis=0).max() < np.log2(4 / 3)
    assert np.quantile(off, 0.9) < np.log2(1.7)
    assert (np.diff(np.median(found, axis=0)) > 0).all()


def test_sharp_photos_are_sharp(photos: list[Image]) -> None:
    assert middle(photos) > 115
    assert np.quantile([measure(photo).side for photo in photos], 0.1) > 100


def test_more_blur_leaves_less(photos: list[Image]) -> None:
    found = [middle([blurred(photo, deviation) for photo in photos]) for deviation in (0.0, 1, 2, 4, 8)]
    assert (np.diff(found) < 0).all()
    assert found[-1] < 20


def test_noise_and_blocks_are_no_detail(photos: list[Image]) -> None:
    """A blurred photo does not gain any by them, a sharp one loses."""
    soft = [blurred(photo, 4) for photo in photos]
    for damage in (lambda photo: noisy(photo, 10), lambda photo: jpeg(photo, 20)):
        assert middle([damage(photo) for photo in soft]) < 1.3 * middle(soft)
    assert middle([noisy(photo, 40) for photo in photos]) < 0.6 * middle(photos)
    assert middle([jpeg(photo, 10) for photo in photos]) < 0.85 * middle(photos)


@pytest.mark.parametrize("deviation", [5, 10, 20])
def test_noise_is_measured(photos: list[Image], deviation: float) -> None:
    found = np.median([measure(noisy(blurred(photo, 4), deviation)).noise for photo in photos])
    assert found == pytest.approx(deviation, rel=0.1)
    assert np.median([measure(blurred(photo, 4)).noise for photo in photos]) < 2


def test_blocks_are_measured(photos: list[Image]) -> None:
    found = [
        np.median([measure(jpeg(photo, quality)).blocks for photo in photos]) for quality in (95, 70, 30)
    ]
    assert (np.diff(found) > 0.1).all()
    assert found[-1] > 0.4 > 0.2 > found[0]
    for harmless in (blurred, noisy):
        assert np.median([measure(harmless(photo, 5)).blocks for photo in photos]) < 0.15


@pytest.mark.parametrize(("side", "quality"), [(128, 15), (100, 15), (64, 10)])
def test_blocks_are_measured_also_enlarged(photos: list[Image], side: int, quality: int) -> None:
    found = [measure(resize(jpeg(resize(photo, side, side), quality), 256, 256)).blocks for photo in photos]
    plain = [measure(reduced(photo, side)).blocks for photo in photos]
    assert np.median(found) > np.median(plain) + 0.15


def test_of_rendered_faces_less_is_less(rendered: list[Image]) -> None:
    found = [middle([reduced(face, side) for face in rendered]) for side in (16, 32, 64, 128)]
    assert (np.diff(found) > 0).all()


def test_size_and_contrast_and_colour_matter_little(photos: list[Image]) -> None:
    """The same face in more pixels, in grey, or with half the contrast, shows the same detail."""
    for photo in photos[:8]:
        small = resize(photo, 64, 64)
        side = measure(small).side
        for size in (128, 200, 512):
            assert measure(resize(small, size, size)).side == pytest.approx(side, rel=0.2)
        grey = np.rint(small @ (0.299, 0.587, 0.114)).astype(np.uint8)[..., np.newaxis].repeat(3, axis=2)
        assert measure(grey).side == pytest.approx(side, rel=0.05)
        faint = np.rint(64 + small / 2).astype(np.uint8)
        assert measure(faint).side == pytest.approx(side, rel=0.2)


@given(height=st.integers(1, 600), width=st.integers(1, 600), seed=st.integers(0, 99))
def test_every_size_can_be_measured(height: int, width: int, seed: int) -> None:
    found = measure(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    assert SMALLEST <= found.side <= LARGEST
    assert found.noise >= 0
    assert found.blocks >= 0


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_uniform_picture_has_no_noise(level: int) -> None:
    found = measure(np.full((64, 64, 3), level, np.uint8))
    assert found.noise < 0.1
    assert np.isfinite([found.side, found.blocks]).all()


def test_no_picture_no_detail() -> None:
    with pytest.raises(HimeError, match="headshot must be a uint8 array"):
        measure(np.zeros((8, 8), np.uint8))
