"""Pictures handed over at the truth's size: published recipes, and methods that choose the working size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hime
from hime import HimeError
from hime.cli.entry import main
from hime.data.people import make_list, write_list
from hime.evaluation.given import LEVELS, AnySize, Given
from hime.evaluation.metrics import psnr
from hime.pictures.arrays import Image, downscale, resize
from hime.pictures.reading import read_image


@pytest.fixture(scope="module")
def faces(demo_people: Path) -> list[Image]:
    return [resize(read_image(path), 256, 256) for path in sorted(demo_people.glob("*/[01].webp"))]


def test_seed_level_and_entry_make_the_picture(faces: list[Image]) -> None:
    face = faces[0]
    first = Given("moderate", 3)(face, 1, 7)
    assert first.shape == face.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, Given("moderate", 3)(face, 1, 7))
    others = (
        Given("moderate", 4)(face, 1, 7),
        Given("moderate", 3)(face, 1, 8),
        Given("mild", 3)(face, 1, 7),
    )
    assert not any(np.array_equal(first, other) for other in others)


def test_severe_is_worse_than_moderate_than_mild(faces: list[Image]) -> None:
    figures = {
        level: np.mean([psnr(Given(level)(face, 1, number), face) for number, face in enumerate(faces)])
        for level in LEVELS
    }
    assert figures["mild"] > figures["moderate"] + 3
    assert figures["moderate"] > figures["severe"] + 3
    assert figures["severe"] < min(figures[level] for level in LEVELS if level != "severe")


def test_nothing_is_moved_and_no_colour_is_changed(faces: list[Image]) -> None:
    """The means over a quarter of the picture stay: no step shifts it by more than a part of its blur."""
    for number, face in enumerate(faces):
        given = Given("severe")(face, 1, number)
        quarters = resize(given, 2, 2).astype(int) - resize(face, 2, 2)
        assert np.abs(quarters).max() < 16


def test_the_same_recipe_at_half_the_size_looks_the_same(faces: list[Image]) -> None:
    """Blur and reduction go with the picture's size."""
    for number, face in enumerate(faces[:4]):
        large, small = (Given("severe")(each, 1, number) for each in (face, downscale(face, 2)))
        assert psnr(downscale(large, 2), small) > psnr(downscale(face, 2), small) + 3


def test_level_is_told_with_its_ranges() -> None:
    told = "severe (blur 8–16, reduction 8–32, noise 0–20, JPEG 30–100), given at the truth's size, seed 2"
    assert str(Given("severe", 2)) == told
    with pytest.raises(HimeError, match=r"'medium': with --given-size, choose mild, moderate, .*severe"):
        Given("medium")


def test_any_size_gives_the_size_it_got(tiny_model: Path, faces: list[Image]) -> None:
    restorer = hime.load(tiny_model, threads=1)
    method = AnySize(restorer, 32)
    method.set_references(faces[1:2])
    found = method.restore(faces[0])
    assert found.image.shape == faces[0].shape
    assert found.passes == (32, 64)
    assert (method.name, method.scale) == (restorer.name, 1)


def test_command_compares_working_sizes(
    tiny_model: Path, demo_people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(tmp_path / "list.jsonl", make_list(demo_people, ["ada", "eva"], references=1))
    result, sheet = tmp_path / "result.json", tmp_path / "sheet.png"
    arguments = ["evaluate", str(tiny_model), f"{tiny_model}@0", "--data", str(demo_people)]
    arguments += ["--list", str(tmp_path / "list.jsonl"), "--references", "1", "--threads", "1"]
    arguments += ["--degradation", "severe", "--given-size", "128", "--working-size", "auto", "16"]
    assert main([*arguments, "--out", str(result), "--sheet", str(sheet)]) == 0
    told = capsys.readouterr().out
    assert "given at 128, 1 reference, severe (blur 8–16" in told
    figures = json.loads(result.read_text(encoding="utf-8"))
    names = ["tiny-x4", "tiny-x4, 16 px", "tiny-x4@0", "tiny-x4@0, 16 px"]
    assert figures["models"] == names
    assert list(figures["methods"]) == ["given", *names]
    assert (figures["scale"], figures["lr_size"]) == (1, 128)
    for image in figures["per_image"]:
        assert image["passes"]["tiny-x4, 16 px"] == [16, 32]
        assert image["passes"]["tiny-x4"] == image["passes"]["tiny-x4@0"]
    assert read_image(sheet).shape[1] > 7 * 128


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--working-size", "32"], "--working-size is for --given-size"),
        (["--given-size", "64", "--lr-size", "16"], "--lr-size or --given-size"),
        (["--given-size", "64", "--working-size", "some"], "argument --working-size"),
    ],
)
def test_arguments_that_do_not_go_together(
    given: list[str], message: str, tiny_model: Path, demo_people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(tiny_model), "--data", str(demo_people)]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--list", str(demo_people / "list.jsonl"), *given])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_level_without_its_size_is_told(
    tiny_model: Path, demo_people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(tiny_model), "--data", str(demo_people)]
    arguments += ["--list", str(demo_people / "list.jsonl")]
    assert main([*arguments, "--degradation", "severe"]) == 1
    assert "degradation 'severe': choose mild, medium, strong or bicubic" in capsys.readouterr().err
    assert main([*arguments, "--given-size", "64"]) == 1
    assert "with --given-size, choose" in capsys.readouterr().err
