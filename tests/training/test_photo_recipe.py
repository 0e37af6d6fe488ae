"""The degradation ``photos``: each damage by itself against what it must do, and what is drawn."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hime.data.people import DEMO_PEOPLE, people_in
from hime.pictures.arrays import LUMA, resize
from hime.pictures.reading import read_image
from hime.training import damage, photo_recipe
from hime.training.damage import (
    H264,
    Compress,
    Defocus,
    Dirt,
    Gaussian,
    Motion,
    Noise,
    Print,
    Resize,
    Sharpen,
    Step,
)
from hime.training.degradation import bicubic_lr
from hime.training.photo_recipe import PhotoRecipe, draw_photo_recipe, photo_lr, toned, tones

SIDE = 32
GREY = torch.full((3, 128, 128), 0.5)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """3×128×128 uint8."""
    path = next(iter(people_in(DEMO_PEOPLE).values()))[0]
    return torch.from_numpy(resize(read_image(path), 128, 128)).permute(2, 0, 1).contiguous()


def after(step: Step, image: Tensor, seed: int = 0) -> Tensor:
    return step(image, SIDE, torch.Generator().manual_seed(seed))


def point() -> Tensor:
    image = torch.zeros(3, 129, 129)
    image[:, 64, 64] = 1.0
    return image


def spread(image: Tensor) -> tuple[float, float]:
    """Standard deviations along x and y, in LR pixels, of the light of a point."""
    light = image[0] / image[0].sum()
    places = (torch.arange(image.shape[-1]) - 64) * SIDE / image.shape[-1]
    across, down = (float((light.sum(axis) * places**2).sum().clamp_min(0).sqrt()) for axis in (0, 1))
    return across, down


def test_nothing_done_is_the_bicubic_reduction(photo: Tensor) -> None:
    lr = photo_lr(photo, SIDE, PhotoRecipe(None, (), (), 0))
    assert (lr.float() - bicubic_lr(photo[None], 4)[0] * 255).abs().max() <= 1


def test_blurs_spread_a_point_as_far_as_they_say() -> None:
    # 0.3 is applied directly, 2.0 by Fourier transform.
    for sigma in (0.3, 2.0):
        assert spread(after(Gaussian(sigma, sigma / 2, 0.0), point())) == pytest.approx(
            (sigma, sigma / 2), rel=0.03
        )
        assert spread(after(Gaussian(sigma, sigma / 2, math.pi / 2), point())) == pytest.approx(
            (sigma / 2, sigma), rel=0.03
        )
    # Of a disc: half its radius. Of a line: its length by the root of 12.
    assert spread(after(Defocus(2.0), point())) == pytest.approx((1.0, 1.0), rel=0.05)
    along, across = spread(after(Motion(4.0, 0.0, 0.0), point()))
    assert along == pytest.approx(4 / math.sqrt(12), rel=0.05)
    assert across < 0.1
    bent, aside = spread(after(Motion(4.0, 0.0, 1.0), point()))
    assert bent < along
    assert aside > across


@pytest.mark.parametrize(
    "blur", [Gaussian(0.2, 0.1, 1.0), Gaussian(3.0, 1.0, 1.0), Motion(4, 1, 1), Defocus(3)]
)
def test_blurs_keep_brightness_up_to_the_border(blur: Step, photo: Tensor) -> None:
    assert torch.allclose(after(blur, GREY), GREY, atol=1e-5)
    half = GREY.clone()
    half[:, :, :64] = 0.1
    assert after(blur, half)[:, 60, 0] == pytest.approx(0.1, abs=1e-5)
    image = photo.float() / 255
    assert after(blur, image).mean() == pytest.approx(float(image.mean()), abs=0.02)


def test_a_fourier_filter_is_the_direct_one() -> None:
    kernel = torch.rand(11, 11)
    image = torch.rand(3, 40, 40)
    planes = torch.nn.functional.pad(image[:, None], (5,) * 4, mode="replicate")
    expected = torch.nn.functional.conv2d(planes, (kernel / kernel.sum())[None, None])[:, 0]
    assert torch.allclose(damage._filtered(image, kernel), expected, atol=1e-5)


def test_noise_in_the_lr_is_as_strong_as_drawn() -> None:
    def lr(noise: Noise, level: int = 128) -> Tensor:
        flat = torch.full((3, 256, 256), level, dtype=torch.uint8)
        return photo_lr(flat, 64, PhotoRecipe(None, (noise,), (), 1)).float() / 255

    assert lr(Noise(0.04, 0.0, False)).std() == pytest.approx(0.04, rel=0.2)
    assert lr(Noise(0.0, 0.06, False), 160).std() / lr(Noise(0.0, 0.06, False), 40).std() == pytest.approx(
        2.0, rel=0.15
    )
    blotched = lr(Noise(0.0, 0.0, False, blotches=0.05, cell=4.0))
    luma = (blotched * torch.tensor(LUMA)[:, None, None]).sum(0)
    assert blotched[2].std() > 0.03
    assert luma.std() < 0.005  # colour only
    neighbours = blotched[2, :, 1:] - blotched[2, :, :-1]
    assert neighbours.std() < 0.7 * blotched[2].std()  # and blotches, no grain


def test_black_that_was_filtered_takes_noise(photo: Tensor) -> None:
    # A filter by Fourier transform leaves traces below 0 in the black, of which a root is no number.
    dark = photo.clone()
    dark[:, :, :48] = 0
    filtered = after(Gaussian(2.0, 2.0, 0.0), dark.float() / 255)
    assert filtered.min() < 0
    assert after(Noise(0.0, 0.05, False), filtered).isfinite().all()
    for seed in range(60):
        recipe = draw_photo_recipe(torch.Generator().manual_seed(seed))
        image, generator = dark.float() / 255, torch.Generator().manual_seed(recipe.seed)
        for step in recipe.steps:
            image = step(image, SIDE, generator)
            assert image.isfinite().all(), (seed, step)
        lr, whole = (photo_lr(given, SIDE, recipe)[:, :, SIDE // 2 :].float() for given in (dark, photo))
        assert lr.mean() > whole.mean() / 2, seed


def test_print_turns_tones_into_dots_of_that_pitch() -> None:
    dots = Print("dots", pitch=2.0, angle=0.0, strength=1.0, grey=True)
    printed = after(dots, GREY)
    assert printed.std() > 0.3
    assert printed.mean() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(printed[0], printed[1])
    line = torch.fft.rfft(printed[0].mean(0) - printed.mean()).abs()
    assert int(line.argmax()) == SIDE / 2  # dots from border to border
    means = [float(after(dots, torch.full_like(GREY, level)).mean()) for level in (0.2, 0.5, 0.8)]
    assert means[0] < means[1] - 0.1 < means[2] - 0.2
    coloured = after(Print("dots", 2.0, 0.3, 1.0, grey=False), GREY)
    assert not torch.equal(coloured[0], coloured[1])
    relief = after(Print("relief", 2.0, 0.0, 1.0, grey=False), GREY)
    assert 0.02 < relief.std() < 0.1


def test_dirt_covers_little_and_scratches_are_light() -> None:
    for dirt in (Dirt(10, 0, 0), Dirt(0, 4, 0), Dirt(0, 0, 2)):
        for seed in range(5):
            changed = (after(dirt, GREY, seed) - GREY).abs().amax(0) > 0.01
            assert 0 < changed.float().mean() < 0.25
    assert (after(Dirt(0, 4, 0), GREY) >= GREY).all()
    assert not torch.equal(after(Dirt(9, 0, 0), GREY, 0), after(Dirt(9, 0, 0), GREY, 1))


def test_sharpening_raises_edges(photo: Tensor) -> None:
    image = photo.float() / 255
    sharp = after(Sharpen(1.0, 0.5), image)
    assert sharp.diff(dim=-1).abs().mean() > 1.2 * image.diff(dim=-1).abs().mean()
    assert torch.allclose(after(Sharpen(1.0, 0.5), GREY), GREY, atol=1e-5)


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "H264", "H264 without av"])
def test_compression_errs_more_the_worse_it_is(
    form: str, photo: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "H264":
        pytest.importorskip("av")
    if form == "H264 without av":
        monkeypatch.setattr(damage, "_has_x264", lambda: False)
    image = photo.float() / 255

    def error(worse: int) -> float:
        corner = (3, 13)
        step = (
            H264(20 + 10 * worse, corner, (1, -2))
            if form.startswith("H264")
            else Compress(form, 90 - 35 * worse, corner)  # type: ignore[arg-type]
        )
        coded = after(step, image)
        assert torch.equal(coded, after(step, image))
        assert coded.shape == image.shape
        return float((coded - image).square().mean())

    errors = [error(worse) for worse in range(3)]
    assert 0 < errors[0] < errors[1] < errors[2] < 0.01


@pytest.mark.parametrize("step", [Compress("JPEG", 10, (5, 9)), H264(40, (5, 9), (0, 0))])
def test_blocks_begin_where_the_corner_says(step: Step) -> None:
    if isinstance(step, H264):
        pytest.importorskip("av")
    noise = torch.rand((3, 16, 16), generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(noise[None], (256, 256), mode="bicubic")[0].clamp(0, 1)
    coded = after(step, smooth).mean(0)
    by_column, by_row = coded.diff(dim=1).abs().mean(0), coded.diff(dim=0).abs().mean(1)
    # Before the pixel at which a block of 8 begins: 9 pixels of it lie left of the image, 5 above.
    assert int(by_column[: 31 * 8].reshape(31, 8).mean(0).argmax()) == (-9 - 1) % 8
    assert int(by_row[: 31 * 8].reshape(31, 8).mean(0).argmax()) == (-5 - 1) % 8


def test_tones_are_grey_or_tinted_and_leave_the_others_alone(photo: Tensor) -> None:
    recipes = [draw_photo_recipe(torch.Generator().manual_seed(seed)) for seed in range(400)]
    matrices = tones(recipes)
    assert matrices is not None
    plain = torch.tensor([recipe.tone is None for recipe in recipes])
    assert plain.float().mean() == pytest.approx(1 - photo_recipe.TONED, abs=0.07)
    images = photo[None, :, ::4, ::4].expand(400, -1, -1, -1)
    result = toned(images, matrices)
    assert torch.equal(result[plain], images[plain])
    assert not (result[~plain] == images[~plain]).flatten(1).all(1).any()
    grey = [recipe.tone is not None and len(set(recipe.tone)) == 1 for recipe in recipes]
    assert sum(grey) > 10
    assert (result[torch.tensor(grey)].float().std(1) == 0).all()
    # Faces stay to be seen: the range of the brightness is not gone.
    brightness = result.float().mean(1).flatten(1)
    assert (brightness.quantile(0.9, 1) - brightness.quantile(0.1, 1)).min() > 15
    assert tones([recipe for recipe in recipes if recipe.tone is None]) is None


def test_everything_is_drawn() -> None:
    recipes = [draw_photo_recipe(torch.Generator().manual_seed(seed)) for seed in range(600)]
    steps = [step for recipe in recipes for step in (*recipe.steps, *recipe.last_steps)]
    kinds = Counter(type(step) for step in steps)
    assert set(kinds) == set(Step.__args__)
    assert kinds[H264] == pytest.approx(600 * photo_recipe.WAYS["video"], rel=0.3)
    assert {step.form for step in steps if isinstance(step, Compress)} == {"JPEG", "WEBP"}
    assert any(step.blotches for step in steps if isinstance(step, Noise))
    assert {step.kind for step in steps if isinstance(step, Print)} == {"dots", "relief"}


def test_strength_bounds_what_is_drawn() -> None:
    recipes = [draw_photo_recipe(torch.Generator().manual_seed(seed), 0.0) for seed in range(300)]
    steps = [step for recipe in recipes for step in (*recipe.steps, *recipe.last_steps)]
    assert all(step.quality >= 95 for step in steps if isinstance(step, Compress))
    assert all(step.crf == 20 for step in steps if isinstance(step, H264))
    assert all(max(step.along, step.across) <= 0.45 for step in steps if isinstance(step, Gaussian))
    assert all(step.factor >= 1 for step in steps if isinstance(step, Resize))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31 - 1), strength=st.floats(0, 1), side=st.sampled_from([8, 13, 16, 32]))
def test_every_recipe_gives_a_picture_and_the_same_again(seed: int, strength: float, side: int) -> None:
    recipes = [draw_photo_recipe(torch.Generator().manual_seed(seed), strength) for _ in range(2)]
    assert recipes[0] == recipes[1]
    hr = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, 64, 64), dtype=np.uint8))
    lr = photo_lr(hr, side, recipes[0])
    assert lr.shape == (3, side, side)
    assert lr.dtype == torch.uint8
    assert torch.equal(lr, photo_lr(hr, side, recipes[1]))
