"""The realistic degradation: each step by itself against what it must do, and recipes that repeat."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hime import HimeError
from hime.cli import main
from hime.data.people import DEMO_PEOPLE, people_in
from hime.evaluation.degradation import Realistic
from hime.pictures.arrays import area_reduce, downscale, resize
from hime.pictures.reading import read_image
from hime.training.batches import misaligned, reduced
from hime.training.degradation import Recipe, bicubic_lr, draw_recipe, realistic_lr

NOTHING = Recipe(
    order=("blur", "resize", "noise", "jpeg"),
    blur=(0.0, 0.0, 0.0),
    resize=(4.0, "bicubic"),
    noise=(0.0, 0.0, False),
    jpeg=(0, 0),
    seed=0,
)
"""Of a photo four times as large as its LR."""


@pytest.fixture(scope="module")
def photo() -> Tensor:
    path = next(iter(people_in(DEMO_PEOPLE).values()))[0]
    return torch.from_numpy(resize(read_image(path), 128, 128)).permute(2, 0, 1).contiguous()


def changed(**changes: object) -> Recipe:
    return dataclasses.replace(NOTHING, **changes)  # type: ignore[arg-type]


def detail(image: Tensor) -> float:
    """Mean square of the differences between neighbours."""
    return float(image.float().diff(dim=-1).square().mean())


def test_nothing_done_is_the_bicubic_reduction(photo: Tensor) -> None:
    expected = bicubic_lr(photo[None], 4)[0] * 255
    assert (realistic_lr(photo, 32, NOTHING).float() - expected).abs().max() <= 1


def test_blur_along_one_axis_takes_the_detail_of_that_axis() -> None:
    row = torch.tensor([40, 40, 40, 40, 40, 40, 200, 200, 200, 200, 200, 200], dtype=torch.uint8)
    stripes = row.repeat(11)[:128].expand(3, 128, 128).contiguous()  # change along x only
    plain = realistic_lr(stripes, 32, NOTHING)
    along_x, along_y = changed(blur=(2.0, 0.0, 0.0)), changed(blur=(0.0, 2.0, 0.0))
    assert detail(realistic_lr(stripes, 32, along_x)) < 0.1 * detail(plain)
    assert (realistic_lr(stripes, 32, along_y).float() - plain).abs().max() <= 1
    assert (
        realistic_lr(stripes, 32, changed(blur=(2.0, 0.0, torch.pi / 2))).float() - plain
    ).abs().max() <= 1
    grey = torch.full((3, 64, 64), 77, dtype=torch.uint8)
    assert (realistic_lr(grey, 16, changed(blur=(1.0, 0.5, 1.0))) == 77).all()


@pytest.mark.parametrize("order", [("noise", "resize"), ("resize", "noise")])
def test_noise_in_the_lr_is_as_strong_as_drawn(order: tuple[str, ...]) -> None:
    grey = torch.full((3, 256, 256), 128, dtype=torch.uint8)
    recipe = changed(order=order, noise=(0.04, 0.0, False), resize=(1.0, "area"))
    noise = realistic_lr(grey, 64, recipe).float().sub(128).div(255)
    assert noise.std() == pytest.approx(0.04, rel=0.2)
    assert noise.mean().abs() < 0.003
    alike = realistic_lr(grey, 64, changed(noise=(0.04, 0.0, True)))
    assert torch.equal(alike[0], alike[1])
    assert not torch.equal(noise[0], noise[1])


def test_shot_noise_grows_with_the_root_of_brightness() -> None:
    levels = [
        realistic_lr(
            torch.full((3, 128, 128), level, dtype=torch.uint8), 64, changed(noise=(0.0, 0.03, False))
        )
        for level in (40, 160)
    ]
    dark, bright = (float(level.float().std()) for level in levels)
    assert bright / dark == pytest.approx(2.0, rel=0.15)


def test_jpeg_of_low_quality_shows_its_blocks(photo: Tensor) -> None:
    plain = realistic_lr(photo, 64, NOTHING)
    errors = [
        float((realistic_lr(photo, 64, changed(jpeg=(0, quality))).float() - plain).square().mean())
        for quality in (95, 60, 30)
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31 - 1), strength=st.floats(0, 1), side=st.sampled_from([8, 13, 16, 32]))
def test_every_recipe_gives_a_picture_and_the_same_again(seed: int, strength: float, side: int) -> None:
    recipes = [draw_recipe(torch.Generator().manual_seed(seed), strength) for _ in range(2)]
    assert recipes[0] == recipes[1]
    hr = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, 64, 64), dtype=np.uint8))
    lr = realistic_lr(hr, side, recipes[0])
    assert lr.shape == (3, side, side)
    assert lr.dtype == torch.uint8
    assert torch.equal(lr, realistic_lr(hr, side, recipes[1]))


def test_strength_bounds_what_is_drawn() -> None:
    mild = [draw_recipe(torch.Generator().manual_seed(seed), 1 / 3) for seed in range(50)]
    assert max(max(recipe.noise[:2]) for recipe in mild) <= 0.08 / 3
    assert max(max(recipe.blur[:2]) for recipe in mild) <= 0.3
    assert min(quality for recipe in mild for quality in recipe.jpeg if quality) >= 73
    none = draw_recipe(torch.Generator().manual_seed(0), 0.0)
    assert none.noise[:2] == (0, 0)
    assert none.resize[0] == 1


RELEASED = {
    "mild": [
        [[8, 11, 16], [65, 12, 20], [130, 10, 12], [204, 16, 0]],
        [[7, 63, 18], [60, 69, 40], [130, 62, 197], [186, 63, 22]],
        [[14, 125, 20], [72, 129, 200], [135, 137, 196], [203, 136, 153]],
        [[17, 194, 0], [58, 188, 18], [141, 196, 164], [191, 187, 28]],
    ],
    "medium": [
        [[20, 23, 6], [72, 23, 19], [145, 24, 39], [195, 20, 17]],
        [[21, 64, 11], [69, 62, 69], [138, 65, 183], [185, 68, 51]],
        [[7, 129, 28], [68, 131, 182], [138, 149, 195], [199, 128, 168]],
        [[8, 189, 14], [69, 195, 59], [144, 195, 164], [195, 193, 48]],
    ],
    "strong": [
        [[31, 34, 5], [83, 32, 31], [141, 39, 0], [185, 32, 35]],
        [[28, 70, 20], [78, 83, 63], [141, 72, 189], [174, 69, 37]],
        [[25, 126, 4], [65, 121, 154], [132, 143, 199], [198, 131, 175]],
        [[28, 187, 0], [80, 190, 77], [131, 183, 161], [187, 181, 31]],
    ],
}
"""Every eighth pixel of the LR of entry 3."""


@pytest.mark.parametrize("strength", RELEASED)
def test_named_levels_give_the_pictures_that_released_figures_rest_on(strength: str) -> None:
    y, x = np.mgrid[:128, :128]
    disc = ((x - 64) ** 2 + (y - 64) ** 2 < 1600) * 200
    truth = np.stack([2 * x % 256, 2 * y % 256, disc], axis=2).astype(np.uint8)
    lr = Realistic(strength)(truth, 4, 3)
    difference = lr[::8, ::8].astype(float) - RELEASED[strength]
    assert np.abs(difference).mean() < 1  # another processor may round another way


def test_misaligned_references_are_turned_scaled_and_shifted(photo: Tensor) -> None:
    images = photo[None].repeat(4, 1, 1, 1)
    moves = torch.zeros(4, 4)
    moves[1, 2] = 2 * 5 / 128  # five pixels of 128
    moves[2, 0] = torch.pi / 2
    moves[3, 1] = 1.0
    still, shifted, turned, smaller = misaligned(images, moves)
    assert torch.equal(still, photo)
    assert torch.equal(shifted[..., :-5], photo[..., 5:])
    assert torch.equal(shifted[..., -1], photo[..., -1])
    assert (turned.float() - photo.rot90(1, (-2, -1)).float()).abs().max() <= 1
    centre = smaller[:, 32:96, 32:96].float()  # twice the view: the photo at half its size in the middle
    assert (centre - reduced(photo[None], 64)[0].float()).abs().mean() < 8


def test_evaluation_draws_a_recipe_for_each_entry_that_repeats(photo: Tensor) -> None:
    truth = photo.permute(1, 2, 0).numpy()
    lr = Realistic("strong")(truth, 4, 7)
    assert lr.shape == (32, 32, 3)
    assert np.array_equal(lr, Realistic("strong")(truth, 4, 7))
    assert not np.array_equal(lr, Realistic("strong")(truth, 4, 8))
    assert not np.array_equal(lr, Realistic("strong", seed=1)(truth, 4, 7))
    assert str(Realistic("mild", 3)) == "realistic degradation, mild, seed 3"
    with pytest.raises(HimeError, match="choose mild, medium, strong or bicubic"):
        Realistic("gentle")


def test_hime_evaluate_takes_a_degradation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(tmp_path))  # LPIPS is not what this is about
    person = next(iter(people_in(DEMO_PEOPLE)))
    (tmp_path / "people.txt").write_text(f"{person}\n")
    entries = tmp_path / "list.jsonl"
    data = ("--data", str(DEMO_PEOPLE))
    made = ("--people", str(tmp_path / "people.txt"), "--references", "1", "--inputs", "2")
    assert main(["make-list", *data, *made, "--out", str(entries)]) == 0
    figures = []
    for chosen in ("bicubic", "strong"):
        out = tmp_path / f"{chosen}.json"
        options = ("--list", str(entries), "--references", "1", "--degradation", chosen, "--out", str(out))
        assert main(["evaluate", "small-x4", *data, *options]) == 0
        figures.append(json.loads(out.read_text()))
    assert figures[0]["degradation"] == "bicubic"
    assert figures[1]["degradation"] == "realistic degradation, strong, seed 0"
    assert "strong, seed 0" in capsys.readouterr().out
    plain, strong = (each["methods"]["bicubic"]["psnr"] for each in figures)
    assert strong < plain - 1


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_degradation_is_pillows(scale: int) -> None:
    paths = [photo for photos in people_in(DEMO_PEOPLE).values() for photo in photos][:6]
    images = [area_reduce(read_image(path), 128, 128) for path in paths]
    expected = np.stack([downscale(image, scale) for image in images])
    lr = bicubic_lr(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), scale)
    steps = (lr * 255).permute(0, 2, 3, 1).numpy()
    assert np.abs(steps - np.rint(steps)).max() < 1e-4
    assert np.abs(steps - expected).max() <= 1 + 1e-4
    assert (np.rint(steps) == expected).mean() > 0.999
