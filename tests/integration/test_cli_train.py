"""``hime train`` and ``hime export``, and the way from photos to a restored headshot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import Capture, files_below, refused, run

import hime
from hime.cli.entry import build_parser
from hime.pictures.reading import read_image

TINY_TRAINING = [
    *("--set=model.channels=8", "--set=model.deformable_groups=2", "--set=model.lr_blocks=1"),
    *("--set=model.reference_blocks=1", "--set=model.reconstruction_blocks=1", "--set=hr_size=32"),
    *("--set=batch_size=2", "--set=precision=fp32", "--set=evaluate_every=2", "--set=evaluation_pairs=2"),
]


def test_from_photos_to_a_restored_headshot(
    demo_people: Path, headshots: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The whole spine: train, resume, export, info, restore."""
    people = demo_people / "train.txt"
    training = ["train", "small-x4", "--data", demo_people, "--people", people, "--steps", 2, *TINY_TRAINING]
    assert run(*training, "--out", tmp_path / "run") == 0
    assert run(*training, "--out", tmp_path / "run") == 0  # finished: nothing is left to do
    told = capsys.readouterr()
    assert "steps 2 → 2" in told.err
    assert r"\n" not in told.out + told.err  # what is several lines is told as such
    assert run("export", tmp_path / "run", "--out", tmp_path / "model") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'model'}\n"
    assert run("info", tmp_path / "model", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["name"], card["scale"], card["lr_size"]) == ("model", 4, 8)
    assert card["training"]["steps"] == 2
    assert card["training"]["preset"] == "small-x4"
    out = tmp_path / "restored.png"
    model = ("--model", tmp_path / "model")
    assert run("restore", "--aligned", headshots / "ada0.png", "--refs", photos, "--out", out, *model) == 0
    assert read_image(out).shape == (64, 64, 3)


def test_train_on_several_folders(demo_people: Path, tmp_path: Path, capsys: Capture) -> None:
    train, test = demo_people / "train.txt", demo_people / "test.txt"
    data = ["--data", demo_people, "--people", train, "--data", demo_people, "--people", test]
    command = ["train", "small-x4", *data, "--steps", 1, *TINY_TRAINING, "--out", tmp_path / "run"]
    assert run(*command) == 0
    assert "30 photos of 5 people" in capsys.readouterr().err  # one of the six is held out
    with pytest.raises(SystemExit) as stopped:
        run("train", "small-x4", "--data", demo_people, "--people", train, "--people", test)
    assert stopped.value.code == 2


def test_train_refuses_what_it_does_not_know(demo_people: Path, tmp_path: Path, capsys: Capture) -> None:
    data = ["--data", demo_people, "--out", tmp_path / "run"]
    assert "choose one of small-x2" in refused(capsys, "train", "smal-x4", *data)
    assert "no such key" in refused(capsys, "train", "small-x4", *data, "--set", "channels=8")
    assert not (tmp_path / "run").exists()


def test_export_refuses_what_is_no_checkpoint(tmp_path: Path, capsys: Capture) -> None:
    assert "no such checkpoint" in refused(capsys, "export", tmp_path, "--out", tmp_path / "model")
    assert files_below(tmp_path) == []


def test_export_with_a_dial(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    command = ["export", tiny_run, "--out"]
    assert run(*command, tmp_path / "tiny-x4") == 0
    dial = ["--reconstruction", "tiny-x4", "--fidelity", 0.25]
    assert run(*command, tmp_path / "tiny-x4-p", *dial) == 0
    assert hime.load(tmp_path / "tiny-x4-p").fidelity == 0.25
    assert hime.load(tmp_path / "tiny-x4-p", fidelity=0).fidelity == 0
    capsys.readouterr()
    assert "--reconstruction" in refused(capsys, *command, tmp_path / "other", "--fidelity", 0.25)


def test_a_run_named_as_a_released_model_is_exported(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_run, tmp_path / "small-x4")
    monkeypatch.chdir(tmp_path)
    assert run("export", "./small-x4", "--out", "mine") == 0
    assert hime.load("./mine").card["training"]["preset"] == "tiny-x4"


@pytest.mark.parametrize(
    ("given", "init"),
    [
        ("run", "run"),
        ("run/", "run"),
        ("./run", "run"),
        (".//run//", "run"),
        ("small-x4", "small-x4"),
        ("./small-x4", "./small-x4"),  # not cut down to a name
        ("small-x4/", "small-x4/"),
        ("hf:someone/model@main", "hf:someone/model@main"),
    ],
)
def test_a_folder_to_start_from_is_the_same_however_it_is_written(given: str, init: str) -> None:
    assert build_parser().parse_args(["reproduce", "table6", "--init", given]).init == init
