"""A batch degraded on the device: each step against that of `hime.training.damage`, and whole recipes."""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import SIZE, SOURCES, TINY
from torch import Tensor

from hime.data.people import DEMO_PEOPLE, people_in
from hime.pictures.arrays import resize
from hime.pictures.reading import read_image
from hime.training.batches import draw, gather
from hime.training.damage import (
    H264,
    MODES,
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
from hime.training.degradation import DegradationName, draw_recipes, lr_by, lr_on_device, steps_of
from hime.training.device_damage import BATCHED, Grain, Pictures, Reduce, _kind, with_noise
from hime.training.jpeg import compressed
from hime.training.loop import train
from hime.training.photo_recipe import PhotoRecipe
from hime.training.photos import Photos
from hime.training.presets import ReferenceSampling, override

SIDE, SIDES = 16, [64, 23, 40, 16]
"""Of the LR, and of the pictures that go through a step together."""
ANGLES = st.floats(0, math.pi)
CORNERS = st.tuples(st.integers(0, 15), st.integers(0, 15))
STEPS = {
    "gaussian": st.builds(Gaussian, st.floats(0, 1.1), st.floats(0, 1.1), ANGLES),
    "defocus": st.builds(Defocus, st.floats(0.4, 2.0)),
    "motion": st.builds(Motion, st.floats(0.8, 4.5), st.floats(0, 6.3), st.floats(-1, 1)),
    "sharpen": st.builds(Sharpen, st.floats(0, 1.5), st.floats(0.4, 1.0)),
    "print": st.builds(
        Print,
        st.sampled_from(["dots", "relief"]),
        st.floats(0.7, 1.8),
        ANGLES,
        st.floats(0.2, 1),
        st.booleans(),
    ),
    "resize": st.builds(Resize, st.floats(0.5, 2.5), st.sampled_from(MODES)),
}


@pytest.fixture(scope="module")
def faces() -> list[Tensor]:
    """Rendered faces 3×s×s in [0, 1] of the `SIDES`."""
    paths = [photos[0] for photos in people_in(DEMO_PEOPLE).values()]
    found = [resize(read_image(path), side, side) for path, side in zip(paths, SIDES, strict=False)]
    return [torch.from_numpy(image).permute(2, 0, 1).float() / 255 for image in found]


@pytest.fixture(scope="module")
def large() -> Tensor:
    """24×3×128×128 uint8."""
    paths = [path for photos in people_in(DEMO_PEOPLE).values() for path in photos][:24]
    return torch.stack(
        [torch.from_numpy(resize(read_image(path), 128, 128)).permute(2, 0, 1) for path in paths]
    )


def together(faces: list[Tensor]) -> Pictures:
    """The faces in one tensor; beyond each, what must never be looked at."""
    pixels = torch.full((len(faces), 3, max(SIDES), max(SIDES)), 7.0)
    for row, image in enumerate(faces):
        pixels[row, :, : image.shape[-1], : image.shape[-1]] = image
    return Pictures(pixels, [image.shape[-1] for image in faces], SIDE)


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_those_of_single_pictures(faces: list[Tensor], name: str) -> None:
    @settings(max_examples=15)
    @given(steps=st.lists(STEPS[name], min_size=len(SIDES), max_size=len(SIDES)))
    def compare(steps: list[Step]) -> None:
        done = BATCHED[_kind(steps[0])](together(faces), steps, torch.Generator())
        for row, (image, step) in enumerate(zip(faces, steps, strict=True)):
            expected = step(image, SIDE, torch.Generator())
            side = done.sides[row]
            assert side == expected.shape[-1]
            torch.testing.assert_close(done.pixels[row, :, :side, :side], expected, atol=2e-5, rtol=0)

    compare()


@pytest.mark.parametrize("blotches", [0.0, 0.08])
def test_noise_of_the_same_numbers_is_the_same(faces: list[Tensor], blotches: float) -> None:
    steps = [
        Noise(0.05, 0.08, grey, blotches * (row != 1), 2.0 + row) for row, grey in enumerate([1, 0, 0, 1])
    ]
    steps = [dataclasses.replace(step, grey=bool(step.grey)) for step in steps]
    fine, cells = torch.zeros(4, 2, 3, 64, 64), torch.full((4, 3, 8, 8), 9.0)
    expected = []
    for row, (image, step) in enumerate(zip(faces, steps, strict=True)):
        side = image.shape[-1]
        drawn = torch.Generator().manual_seed(row)
        fine[row, :, :, :side, :side] = torch.randn((2, 1 if step.grey else 3, side, side), generator=drawn)
        if step.blotches:
            count = round(SIDE / step.cell)
            cells[row, :, :count, :count] = torch.randn((1, 3, count, count), generator=drawn)[0]
        expected.append(step(image, SIDE, torch.Generator().manual_seed(row)))
    done = with_noise(together(faces), steps, Grain(fine, cells if blotches else None))
    for row, image in enumerate(expected):
        side = image.shape[-1]
        torch.testing.assert_close(done.pixels[row, :, :side, :side], image, atol=2e-5, rtol=0)


def test_noise_is_as_strong_as_asked_for() -> None:
    grey = Pictures(torch.full((3, 3, 96, 96), 0.36), [96, 96, 48], 24)
    steps = [Noise(0.03, 0.0, False), Noise(0.0, 0.05, True), Noise(0.03, 0.0, False, 0.05, 4.0)]
    noise = BATCHED[Noise](grey, steps, torch.Generator().manual_seed(0)).pixels - 0.36
    assert noise[0].std().item() == pytest.approx(4 * 0.03, rel=0.05)
    assert noise[1].std().item() == pytest.approx(4 * 0.05 * 0.6, rel=0.05)
    assert torch.equal(noise[1, 0], noise[1, 2])
    assert not torch.equal(noise[0, 0], noise[0, 2])
    alone = [step(torch.full((3, 48, 48), 0.36), 24, torch.Generator().manual_seed(s)) for s in range(9)
             for step in steps[2:]]  # fmt: skip
    expected = torch.stack(alone).sub(0.36).std().item()
    assert noise[2, :, :48, :48].std().item() == pytest.approx(expected, rel=0.15)


@settings(max_examples=30)
@given(quality=st.integers(5, 100), seed=st.integers(0, 1000), roughness=st.sampled_from([0, 10, 60]))
def test_jpeg_is_libjpegs_within_rounding(quality: int, seed: int, roughness: int) -> None:
    random = np.random.default_rng(seed)
    smooth = PIL.Image.fromarray(random.integers(0, 256, (6, 7, 3), np.uint8)).resize((80, 64))
    noisy = np.asarray(smooth, np.float32) + random.normal(0, roughness, (64, 80, 3))
    pixels = noisy.clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(PIL.Image.open(file), np.float32)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().expand(2, -1, -1, -1)
    both = compressed(images, torch.tensor([quality, 50]))
    difference = np.abs(both[0].permute(1, 2, 0).numpy() - expected)
    error = np.abs(pixels - expected).mean()
    assert difference.mean() < max(0.8, 0.25 * error)
    assert torch.equal(compressed(images[:1], torch.tensor([quality]))[0], both[0])


@settings(max_examples=15)
@given(quality=st.integers(30, 95), corners=st.lists(CORNERS, min_size=4, max_size=4))
def test_jpeg_blocks_begin_at_the_corner(faces: list[Tensor], quality: int, corners: list) -> None:
    steps = [Compress("JPEG", quality, corner) for corner in corners]
    done = BATCHED["JPEG"](together(faces), steps, torch.Generator())
    for row, (image, step) in enumerate(zip(faces, steps, strict=True)):
        side = image.shape[-1]
        expected = step(image, SIDE, torch.Generator())
        difference = (done.pixels[row, :, :side, :side] - expected).abs() * 255
        error = (image - expected).abs().mean() * 255
        assert difference.mean() < max(
            1.0, 0.3 * error
        )  # levels; 0.3: a coefficient or two of a small picture


@pytest.mark.parametrize("degradation", ["realistic", "photos", "frames"])
def test_recipes_without_noise_give_what_they_give_one_by_one(
    large: Tensor, degradation: DegradationName
) -> None:
    recipes = draw_recipes(degradation, [0.8] * 24, torch.Generator().manual_seed(4))
    assert recipes is not None

    def quiet(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        still = {"everywhere": 0.0, "shot": 0.0, "blotches": 0.0}
        return tuple(dataclasses.replace(s, **still) if isinstance(s, Noise) else s for s in steps)

    changed = [
        dataclasses.replace(recipe, steps=quiet(recipe.steps))
        if isinstance(recipe, PhotoRecipe)
        else dataclasses.replace(recipe, noise=(0.0, 0.0, False))
        for recipe in recipes
    ]
    done = lr_on_device(large, 32, changed) * 255
    for row, recipe in enumerate(changed):
        steps = steps_of(recipe)
        if any(isinstance(step, Dirt) for step in steps):
            continue  # drawn from where noise has left the generator
        difference = (done[row] - lr_by(recipe, large[row], 32)).abs()
        codecs = sum(isinstance(step, Compress | H264) for step in steps)
        # A level that is rounded the other way before a codec may turn a coefficient of its over.
        assert difference.mean() < (0.05, 2, 6, 9)[codecs], steps


def test_all_that_is_drawn_is_done(photos: Photos) -> None:
    recipes = draw_recipes("photos", [1.0] * 150, torch.Generator().manual_seed(0))
    assert recipes is not None
    kinds = {_kind(step) for recipe in recipes for step in steps_of(recipe)}
    assert kinds == {*BATCHED, Dirt, H264, "WEBP"}
    rows = torch.arange(len(photos)).repeat(9)[:150]
    done = lr_on_device(photos.images[rows], SIZE // 4, recipes)
    again = lr_on_device(photos.images[rows], SIZE // 4, recipes)
    assert torch.equal(done, again)
    one_by_one = torch.stack(
        [lr_by(recipe, image, SIZE // 4) for recipe, image in zip(recipes, photos.images[rows], strict=True)]
    )
    plain = lr_on_device(photos.images[rows], SIZE // 4, [PhotoRecipe(None, (), (), 0)] * 150)
    ours, theirs = ((lr.float() - plain).square().mean().sqrt() for lr in (done, one_by_one / 255))
    assert ours.item() == pytest.approx(theirs.item(), rel=0.08)  # as much damage, of other noise
    assert done.isfinite().all()
    assert Reduce() in steps_of(recipes[0])


def test_a_batch_degraded_on_the_device_has_the_same_pairs(photos: Photos) -> None:
    arguments = (photos, 3, 7, 8, 4, ReferenceSampling())
    here = gather(photos, draw(*arguments, degradation="photos"))
    drawn = draw(*arguments, degradation="photos", on_device=True)
    assert drawn.degraded is None
    there = gather(photos, drawn)
    assert torch.equal(here.hr, there.hr)  # toned alike
    assert torch.equal(here.references, there.references)
    assert there.lr.shape == here.lr.shape
    assert (there.lr - here.lr).abs().mean() < 0.15
    parts = [draw(*arguments, degradation="photos", on_device=True, part=(rank, 2)) for rank in range(2)]
    assert [part.recipes for part in parts] == [drawn.recipes[0::2], drawn.recipes[1::2]]  # type: ignore[index]


def test_a_training_degrades_where_it_is_told_to(tmp_path: Path) -> None:
    config = override(TINY, ["degradation=photos", "held_out_fraction=0", "steps=2", "log_every=1"])
    auto = train(config, SOURCES, tmp_path / "auto").losses
    assert train(override(config, ["degrade_on=cpu"]), SOURCES, tmp_path / "cpu").losses == auto
    device = override(config, ["degrade_on=device"])
    first = train(device, SOURCES, tmp_path / "device").losses
    assert first != auto
    assert train(device, SOURCES, tmp_path / "again").losses == first
