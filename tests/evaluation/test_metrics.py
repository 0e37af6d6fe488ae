"""Metrics against their definitions and against figures published with them; intervals against theory."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio

from hime.errors import HimeError
from hime.evaluation.intervals import PeopleBootstrap
from hime.evaluation.metrics import luminance_of, psnr, ssim
from hime.losses.lpips import LPIPS, MINIMUM_SIDE
from hime.pictures.arrays import Image, downscale, upscale
from hime.pictures.reading import read_target

# ----------------------------------------------------------------------------------- PSNR and SSIM


@given(st.integers(1, 255))
def test_psnr_of_a_constant_difference(difference: int) -> None:
    dark, light = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), difference, np.uint8)
    assert psnr(dark, light) == pytest.approx(20 * math.log10(255 / difference))
    assert psnr(light, dark) == psnr(dark, light)


@given(hnp.arrays(np.uint8, (9, 7, 3)), hnp.arrays(np.uint8, (9, 7, 3)))
def test_psnr_equals_scikit_image(image: Image, truth: Image) -> None:
    with np.errstate(divide="ignore"):
        assert psnr(image, truth) == pytest.approx(peak_signal_noise_ratio(truth, image))


def test_psnr_of_equal_pictures_is_infinite() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    assert psnr(image, image) == math.inf


def ssim_by_definition(image: Image, truth: Image) -> float:
    """Wang et al. 2004, equation 13, channel by channel."""
    total = []
    for channel in range(3):
        x, y = image[:, :, channel].astype(float), truth[:, :, channel].astype(float)

        def blur(values: np.ndarray) -> np.ndarray:
            return gaussian_filter(values, 1.5, truncate=3.5)  # 11 taps

        mean_x, mean_y = blur(x), blur(y)
        variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
        covariance = blur(x * y) - mean_x * mean_y
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        similarity /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
        total.append(similarity[5:-5, 5:-5].mean())  # where the window lies inside the picture
    return float(np.mean(total))


def test_ssim_follows_its_definition(demo_people: Path) -> None:
    truth = read_target(demo_people / "eva" / "1.webp", 128)
    image = upscale(downscale(truth, 4), 4)
    assert ssim(image, truth) == pytest.approx(ssim_by_definition(image, truth), abs=1e-6)
    assert ssim(truth, truth) == pytest.approx(1)
    assert 0.5 < ssim(image, truth) < 0.95


def test_metrics_refuse_what_cannot_be_compared() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    for metric in (psnr, ssim):
        with pytest.raises(HimeError, match="of one size"):
            metric(image, image[:12])
        with pytest.raises(HimeError, match="the truth must be a uint8 array"):
            metric(image, image / 255)
    with pytest.raises(HimeError, match="at least 11 pixels"):
        ssim(image[:10], image[:10])


# --------------------------------------------------------------------------------------- luminance


@pytest.mark.parametrize(
    ("colour", "level"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 235),
        ((255, 0, 0), 81),  # 16 + 65.481
        ((0, 255, 0), 145),  # 16 + 128.553
        ((0, 0, 255), 41),  # 16 + 24.966
        ((100, 150, 200), 137),  # 16 + (65.481 · 100 + 128.553 · 150 + 24.966 · 200) / 255
    ],
)
def test_luminance_as_in_the_standard(colour: tuple[int, int, int], level: int) -> None:
    luminance = luminance_of(np.full((2, 3, 3), colour, np.uint8))
    assert luminance.dtype == np.uint8
    assert (luminance == level).all()
    assert luminance.shape == (2, 3)


def test_luminance_alone_is_compared(demo_people: Path) -> None:
    truth = read_target(demo_people / "eva" / "1.webp", 128)
    image = upscale(downscale(truth, 4), 4)
    grey, grey_truth = (np.repeat(luminance_of(each)[:, :, None], 3, axis=2) for each in (image, truth))
    assert psnr(image, truth, luminance=True) == pytest.approx(psnr(grey, grey_truth))
    assert ssim(image, truth, luminance=True) == pytest.approx(ssim(grey, grey_truth))
    # Levels are squeezed from 0…255 to 16…235, so that PSNR comes out higher than on RGB.
    assert 0.5 < psnr(image, truth, luminance=True) - psnr(image, truth) < 3


# ------------------------------------------------------------------------------------------- LPIPS


@pytest.fixture
def weights(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (shared / "weights" / "alexnet_features.safetensors").is_file():
        pytest.skip(f"{shared} holds no weights of AlexNet")
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(shared / "weights"))


@pytest.mark.usefixtures("weights")
def test_lpips_on_published_examples() -> None:
    """Squeeze: the example in torchmetrics' documentation. Alex: as `lpips` 0.1.4 gives it for the same."""
    generator = torch.Generator().manual_seed(42)
    first = torch.rand(2, 3, 100, 100, generator=generator) * 2 - 1
    second = torch.rand(2, 3, 100, 100, generator=generator) * 2 - 1
    for network, expected in (("squeeze", [0.1024, 0.0938]), ("alex", [0.1312, 0.1420])):
        found = LPIPS(network, device="cpu").module(first, second).flatten().tolist()
        assert found == pytest.approx(expected, abs=5e-5)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("network", ["alex", "squeeze"])
def test_lpips_of_pictures(network: str, demo_people: Path) -> None:
    lpips = LPIPS(network, device="cpu")  # type: ignore[arg-type]
    truth = read_target(demo_people / "eva" / "1.webp", 128)
    images = [truth, *(upscale(downscale(truth, scale), scale) for scale in (2, 4, 8))]
    together = lpips(images, truth)
    assert together[0] == pytest.approx(0, abs=1e-6)
    assert together == sorted(together)
    assert 0.1 < together[2] < 0.6
    assert together == pytest.approx([lpips([image], truth)[0] for image in images], abs=1e-6)
    # What torchmetrics computes when both are given in its own range, [−1, 1].
    tensors = [torch.from_numpy(each.transpose(2, 0, 1)[None] / np.float32(127.5) - 1) for each in images]
    own = [lpips.module(tensor, tensors[0]).item() for tensor in tensors]
    assert together == pytest.approx(own, abs=1e-5)
    smallest = truth[:MINIMUM_SIDE, :MINIMUM_SIDE]
    assert lpips([smallest[::-1].copy()], smallest)[0] > 0


# --------------------------------------------------------------------------------------- intervals


def test_interval_of_independent_people_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(20, 3, 400)
    interval = PeopleBootstrap([str(number) for number in range(400)]).interval(values)
    assert interval is not None
    half = 1.96 * values.std() / 20
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_many_images_of_a_person_count_as_one() -> None:
    """Each value ten times, under one name: no more is known than with one of each."""
    values = np.random.default_rng(2).normal(20, 3, 40)
    people = [str(number) for number in range(40)]
    once = PeopleBootstrap(people).interval(values)
    tenfold = PeopleBootstrap(np.repeat(people, 10).tolist()).interval(np.repeat(values, 10))
    assert once is not None
    assert tenfold == pytest.approx(once)
    assert tenfold != pytest.approx(
        PeopleBootstrap([str(number) for number in range(400)]).interval(np.repeat(values, 10)), abs=0.3
    )


def test_interval_of_unequal_people_is_of_the_mean_over_images() -> None:
    people, values = ["a"] * 3 + ["b"], np.array([1.0, 1.0, 1.0, 5.0])
    # Two draws of two people: aa, ab, ba, bb with means 1, 2, 2, 5.
    assert PeopleBootstrap(people).interval(values) == (1, 5)
    three = PeopleBootstrap([*people, "c"]).interval(np.array([2.0, 2, 2, 2, 2]))
    assert three == (2, 2)


def test_interval_leaves_out_what_was_not_measured() -> None:
    people = ["a", "a", "b", "c", "d"]
    bootstrap = PeopleBootstrap(people)
    values = np.array([1, np.nan, 2, 3, np.nan])
    interval = bootstrap.interval(values)
    assert interval is not None
    assert 1 <= interval[0] < 2 < interval[1] <= 3
    assert bootstrap.interval(np.array([1, 2, np.nan, np.nan, np.nan])) is None  # one person
    assert bootstrap.interval(np.full(5, np.nan)) is None
    assert bootstrap.interval(np.array([1, 2, 3, 4, np.inf])) is None
    assert PeopleBootstrap([]).interval(np.array([])) is None


def test_intervals_depend_on_the_seed_alone() -> None:
    people, values = [str(number) for number in range(9)], np.arange(9.0)
    assert PeopleBootstrap(people).interval(values) == PeopleBootstrap(people).interval(values)
    assert PeopleBootstrap(people).interval(values) != PeopleBootstrap(people, seed=1).interval(values)
