"""Table 1 with systems trained here, and Figure 7: through the command line on the demo people."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from hime import HimeError
from hime.data.people import DEMO_PEOPLE, people_in, read_list, read_people, write_list
from hime.errors import Diverged
from hime.evaluation.checkpoint import TorchBackend
from hime.evaluation.evaluate import Restored, evaluate
from hime.experiments.comparison import PUBLISHED, best_of, training_of
from hime.experiments.comparison_page import over_bicubic
from hime.experiments.trained import (
    MostAlike,
    chosen_runs,
    config_of,
    expanded,
    last_loss,
    trained_at,
    trained_table,
)
from hime.model.system import System
from hime.pictures.arrays import Image, downscale
from hime.pictures.reading import read_image
from hime.restoring.restorer import Restorer, load
from hime.training.checkpoint import load_model
from hime.training.presets import PRESETS, SYSTEM_PRESETS, TrainingConfig, override, preset
from hime.training.run_folder import RunFolder
from integration.command_line import run

CHANGES = [
    "steps=2", "warmup_steps=1", "batch_size=1", "precision=fp32", "channels_last=false",
    "model.width=0.03125", "model.depth=0.1",
]  # fmt: skip
SETTINGS = [word for change in CHANGES for word in ("--set", change)]


def write_labels(path: Path) -> None:
    """Labels of one of the photos trained on."""
    person = read_people(DEMO_PEOPLE / "train.txt")[0]
    name = f"{DEMO_PEOPLE.name}/{person}/{people_in(DEMO_PEOPLE)[person][0].name}"
    parsing, points = np.zeros((1, 128, 128), np.uint8), np.full((1, 68, 2), 0.5, np.float16)
    np.savez(path, names=np.array([name]), points=points, parsing=parsing)


@pytest.mark.usefixtures("weights")
def test_systems_are_trained_and_stand_beside_the_paper(
    inputs: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", DEMO_PEOPLE, "--people", DEMO_PEOPLE / "train.txt", "--list", inputs]
    words = ["reproduce", "table1", *data, "--out", tmp_path, *SETTINGS, "--train", "gwainet-x8", "pfsr-x8"]
    words += ["--model", tiny_model]  # made for a setting that the table has not
    write_labels(tmp_path / "labels.npz")
    words += ["--set", f"labels={tmp_path / 'labels.npz'}"]
    assert run(*words) == 0
    told = capsys.readouterr()
    assert "gwainet-x8, 1 of 2" in told.err
    lines = (tmp_path / "table1.md").read_text(encoding="utf-8").splitlines()
    (gwainet,) = [line for line in lines if line.startswith("| **gwainet-x8** |")]
    cells = [cell.strip() for cell in gwainet.split("|")]
    assert (cells[3], cells[5], cells[7]) == ("21.96", "0.5844", "0.2056")  # the paper's, beside ours
    assert cells[-2] == "2"  # pairs
    assert sum(line.startswith("| **gwainet-x8, most alike** |") for line in lines) == 1
    assert any(line.startswith("| FSRNet |  | 20.03 |") for line in lines)  # not trained: the paper's alone
    assert not any(line.startswith("| PFSR |") for line in lines)
    result = json.loads((tmp_path / "table1.json").read_text(encoding="utf-8"))
    assert result["other_settings"] == [load(tiny_model).name]
    assert result["changes"] == [*CHANGES, "labels=labels.npz"]  # not where it lies
    (setting,) = result["settings"]
    rows = {row["name"]: row for row in setting["rows"]}
    best = "gwainet-x8, best of them"
    assert list(rows) == ["bicubic", "gwainet-x8", "gwainet-x8, most alike", "pfsr-x8", best]
    assert rows[best]["here"]["psnr"] >= rows["gwainet-x8"]["here"]["psnr"]
    assert rows[best]["here"]["psnr"] >= rows["gwainet-x8, most alike"]["here"]["psnr"]
    assert rows["pfsr-x8"]["references"] == 0
    assert rows["gwainet-x8"]["training"] == {"steps": 2, "batch_size": 1, "pairs": 2}
    assert rows["gwainet-x8"]["cost"]["macs_modules"] > 0
    assert rows["gwainet-x8"]["seconds"] > 0
    assert rows["gwainet-x8"]["here"]["identity"] == pytest.approx(
        rows["gwainet-x8, most alike"]["here"]["identity"], abs=0.5
    )
    assert run(*words) == 0  # nothing is trained again
    assert "steps 2 → 2" in capsys.readouterr().err

    entries = read_list(inputs)
    gone = replace(entries[0], input=f"{entries[0].person}/gone.webp")
    write_list(inputs, [gone, *entries])
    words = ["reproduce", "fig7", "--list", inputs, "--list-data", DEMO_PEOPLE, "--out", tmp_path]
    assert run(*words) == 0
    assert f"hime: left out: {gone.input}: " in capsys.readouterr().err
    sheet = read_image(tmp_path / "fig7-16-128.png")
    assert sheet.shape[1] > 6 * 128  # LR, bicubic, two systems, truth, references
    told_of = json.loads((tmp_path / "fig7.json").read_text(encoding="utf-8"))["sheets"]
    assert told_of["fig7-16-128.png"]["methods"] == ["gwainet-x8", "pfsr-x8"]
    assert told_of["fig7-16-128.png"]["inputs"] == [entry.input for entry in entries]


@pytest.mark.usefixtures("weights")
def test_the_learning_rate_whose_loss_ends_lowest_is_measured(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", DEMO_PEOPLE, "--people", DEMO_PEOPLE / "train.txt", "--list", inputs]
    words = ["reproduce", "table1", *data, "--out", tmp_path, *SETTINGS, "--train", "gwainet-x8"]
    assert run(*words, "--set", "steps=4", "--rates", 1e-6, 1, 1) == 0
    runs = tmp_path / "runs" / "table1"
    assert sorted(each.name for each in runs.iterdir()) == ["gwainet-x8", "gwainet-x8-rate-1e-06"]
    told = json.loads((tmp_path / "table1.json").read_text(encoding="utf-8"))
    best, other = told["learning_rates"]["gwainet-x8"]  # one at a standstill, one that learns
    assert best["learning_rate"] == pytest.approx(preset("gwainet-x8").learning_rate)
    assert other["learning_rate"] == pytest.approx(1e-6 * best["learning_rate"])
    assert best["loss"] == pytest.approx(last_loss(runs / "gwainet-x8"), abs=1e-5)
    assert best["loss"] < other["loss"]
    assert f"gwainet-x8 **{best['learning_rate']:g} ({best['loss']})**, " in (
        tmp_path / "table1.md"
    ).read_text(encoding="utf-8")
    assert chosen_runs(runs) == {"gwainet-x8": runs / "gwainet-x8"}
    measured, _ = load_model(runs / "gwainet-x8")
    truth = evaluate_psnr(measured, inputs)
    (setting,) = told["settings"]
    (row,) = [row for row in setting["rows"] if row["name"] == "gwainet-x8"]
    assert row["here"]["psnr"] == pytest.approx(truth, abs=1e-3)


def evaluate_psnr(model: System, inputs: Path) -> float:
    """By the command that measures a run alone, with the list's first reference."""
    restorer = Restorer(TorchBackend(model, {"name": "x", "scale": 8, "lr_size": 16}))
    found = evaluate([restorer], DEMO_PEOPLE, read_list(inputs), lr_size=16, list_name="list", references=1)
    return float(found["methods"]["x"]["psnr"])


def write_curve(run: Path, entries: list[tuple[int, float]]) -> None:
    with SummaryWriter(str(run / "tensorboard")) as writer:
        for step, loss in entries:
            writer.add_scalar("train/pixel", loss, step)


def test_the_loss_of_the_last_third(tmp_path: Path) -> None:
    # Means since the entry before: of steps 60 to 90, twenty have 2 (to step 80), ten have 1.
    write_curve(tmp_path / "whole", [(40, 9.0), (80, 2.0), (90, 1.0)])
    assert last_loss(tmp_path / "whole") == pytest.approx((20 * 2 + 10 * 1) / 30)
    write_curve(tmp_path / "short", [(2, 3.0)])
    assert last_loss(tmp_path / "short") == pytest.approx(3.0)
    with pytest.raises(HimeError, match="no curve of the loss"):
        last_loss(tmp_path)


def test_a_rate_that_comes_to_nothing_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(config: TrainingConfig, sources: object, folder: Path, *, preset: str) -> None:
        if config.learning_rate > 0.01:
            raise Diverged(f"{folder}: the loss is no longer finite")
        write_curve(folder, [(8, 0.5)])

    monkeypatch.setattr("hime.experiments.trained.train", train)
    config = preset("pfsr-x8")
    found = trained_at([1e6, 1], "pfsr-x8", config, [], tmp_path)
    assert [(each.factor, each.loss) for each in found] == [(1, 0.5), (1e6, None)]
    assert "pfsr-x8-rate-1e+06: the loss is no longer finite" in capsys.readouterr().err
    with pytest.raises(Diverged, match="no longer finite"):
        trained_at([1e6, 1e7], "pfsr-x8", config, [], tmp_path)


def test_a_signal_in_the_last_save_of_a_training_ends_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = RunFolder.save

    def interrupted(*given: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        save(*given)

    monkeypatch.setattr(RunFolder, "save", interrupted)
    config = override(preset("sparnet-x8"), CHANGES)
    with pytest.raises(SystemExit, match="143"):
        trained_at([1, 2], "sparnet-x8", config, [(DEMO_PEOPLE, None)], tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["sparnet-x8"]


def test_a_rate_is_a_number_above_nought(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["reproduce", "table1", "--data", DEMO_PEOPLE, "--list", inputs, "--train", "all", "--rates"]
    for wrong in ("0", "-1", "nan", "inf", "fast"):
        with pytest.raises(SystemExit):
            run(*words, wrong)
        assert "give a number above 0" in capsys.readouterr().err


def test_what_is_trained_alike(tmp_path: Path) -> None:
    names = expanded(["all"])
    assert len(names) == len(SYSTEM_PRESETS) + 3
    assert expanded(["ttsr-x4-p", "ttsr-x4"]) == ["ttsr-x4", "ttsr-x4-p"]
    for budget in ("quick", "paper"):
        pairs: dict[tuple[int, int], set[int]] = {}
        for name in names:
            config = config_of(name, budget, [], tmp_path)
            assert config.held_out_fraction == 0
            assert config.log_every <= max(1, config.steps // 3)
            assert config.seed == PRESETS["small-x4"].seed
            assert config.loss == PRESETS["small-x4"].loss
            in_all = config.steps * config.batch_size
            pairs.setdefault((config.lr_size, config.scale), set()).add(in_all)
        assert set(pairs) == set(PUBLISHED)
        assert all(max(found) - min(found) < 8 for found in pairs.values())  # but for the last batch
    assert config_of("ttsr-x4-p", "quick", [], tmp_path / "ttsr-x4").init == str(tmp_path / "ttsr-x4")
    with pytest.raises(HimeError, match="no preset of table1's settings"):
        config_of("small-x2", "quick", [], tmp_path)


def test_the_best_of_them_is_chosen_image_by_image() -> None:
    per_image = [
        {"input": "a/0", "one": {"psnr": 20.0, "lpips": 0.3}, "two": {"psnr": 22.0, "lpips": 0.4}},
        {"input": "b/0", "one": {"psnr": 25.0, "lpips": None}, "two": {"psnr": 24.0, "lpips": 0.2}},
        {"input": "b/1", "one": {"psnr": 21.0, "lpips": 0.1}, "two": {"psnr": 20.0, "lpips": 0.2}},
    ]
    found = best_of(["one", "two"], per_image, ["psnr", "lpips"])
    assert found["here"] == {"psnr": pytest.approx(68 / 3, abs=1e-4), "lpips": 0.25}
    assert found["intervals"]["psnr"] == [22.0, 23.0]
    per_image[1]["two"]["psnr"] = None  # it equals its target: PSNR has no mean, here as in other rows
    found = best_of(["one", "two"], per_image, ["psnr", "lpips"])
    assert (found["here"], found["intervals"]["psnr"]) == ({"psnr": None, "lpips": 0.2333}, None)


def test_pairs_are_those_of_all_trainings() -> None:
    def counted(**training: Any) -> dict[str, int] | None:
        return training_of({"training": {"steps": 10, "batch_size": 8, **training}})

    last, fresh = {"steps": 10, "batch_size": 8}, {"steps": 5, "batch_size": 4, "init": None}
    began = {"steps": 5, "batch_size": 4, "init": "small-x4"}
    assert counted(config={"init": None}) == {**last, "pairs": 80}
    assert counted(config={"init": "run"}, earlier=[fresh]) == {**last, "pairs": 100}
    assert counted(config={"init": "run"}, earlier=[fresh, last]) == {**last, "pairs": 180}
    assert counted(config={"init": "run"}) == {**last, "pairs": 80, "at_least": True}
    assert counted(config={"init": "run"}, earlier=[began]) == {**last, "pairs": 100, "at_least": True}
    assert counted(config={"init": "run"}, earlier=[last]) == {**last, "pairs": 160, "at_least": True}
    assert counted(config={"init": "run"}, earlier=[fresh, {"people": 2}]) == {
        **last,
        "pairs": 100,
        "at_least": True,
    }
    assert counted(earlier=[{"steps": None, "batch_size": 8}]) == {**last, "pairs": 80, "at_least": True}
    assert training_of({"training": {"steps": 10}}) is None
    assert training_of({"training": {"earlier": [last], "people": 2}}) is None
    assert training_of({}) is None


def test_what_cannot_be_measured_is_not_trained(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", DEMO_PEOPLE, "--people", DEMO_PEOPLE / "train.txt", "--list", inputs]
    words = ["reproduce", "table1", *data, "--out", tmp_path / "out", *SETTINGS, "--train", "pfsr-x8"]
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(tmp_path / "no-weights"))
    assert run(*words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hime: table1: LPIPS is not measured: ")
    assert "alexnet" in line
    write_list(inputs, [replace(entry, references=entry.references[:1]) for entry in read_list(inputs)])
    assert run(*words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "has 1 references, not 3; make a list with more, or ask for fewer" in line
    assert not (tmp_path / "out").exists()


def test_two_models_of_one_name_are_told_before_anything_is_trained(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", DEMO_PEOPLE, "--people", DEMO_PEOPLE / "train.txt", "--list", inputs]
    words = [
        "reproduce",
        "table1",
        *data,
        "--out",
        tmp_path / "out",
        "--train",
        "small-x4",
        "--model",
        "small-x4",
    ]
    assert run(*words) == 1
    assert "hime: two models are named small-x4; " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("weights")
def test_models_of_one_name_in_two_settings_are_told_apart(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise Diverged("got to the training")

    monkeypatch.setattr("hime.experiments.trained.trained_at", stop)
    small, other = load("small-x4"), load("small-x8")
    other.backend.card["name"] = small.name
    sources = [(DEMO_PEOPLE, read_people(DEMO_PEOPLE / "train.txt"))]

    def table(*names: str, others: list[Restorer]) -> None:
        trained_table(names, sources, DEMO_PEOPLE, inputs, tmp_path, others=others)

    for names, others in (
        (["pfsr-x8"], [small, other]),  # models of two settings
        (["small-x4"], [other]),  # a preset of one, a model of the other
    ):
        with pytest.raises(Diverged, match="got to the training"):
            table(*names, others=others)
    for names, others in ((["pfsr-x8"], [other, other]), (["small-x4"], [small])):
        with pytest.raises(HimeError, match="two models are named small-x4"):
            table(*names, others=others)


def test_a_mean_that_is_not_known_is_not_on_the_plot() -> None:
    assert over_bicubic({"psnr": 30.0, "lpips": 0.1}, {"psnr": 28.0, "lpips": 0.4}) == (2.0, 0.25)
    assert over_bicubic({"psnr": None, "lpips": 0.1}, {"psnr": 28.0, "lpips": None}) == (None, None)
    assert over_bicubic({"psnr": 30.0, "lpips": 0.0}, {"psnr": None, "lpips": 0.0}) == (None, None)


def test_train_needs_data(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("reproduce", "table1", "--list", inputs, "--list-data", DEMO_PEOPLE, "--train", "all")
    assert "table1 needs --data" in capsys.readouterr().err


class Recording:
    """A method that tells what it got."""

    name, scale = "recording", 4

    def __init__(self) -> None:
        self.got: list[Image] = []

    def set_references(self, images: list[Image]) -> None:
        self.got = list(images)

    def restore(self, lr: Image) -> Restored:
        raise HimeError("enough")


def test_the_reference_most_like_the_headshot_is_given() -> None:
    random = np.random.default_rng(0)
    truth = np.repeat(np.repeat(random.integers(0, 256, (16, 16, 3), dtype=np.uint8), 8, 0), 8, 1)
    others = [random.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(2)]
    recording = Recording()
    method = MostAlike(recording, "most alike")  # type: ignore[arg-type]
    darker = (truth // 2).astype(np.uint8)
    for references in ([others[0], darker, others[1]], [darker, *others], [*others, darker]):
        method.set_references(references)
        with pytest.raises(HimeError, match="enough"):
            method.restore(downscale(truth, 4))
        assert len(recording.got) == 1
        assert recording.got[0] is darker
    method.set_references([])
    with pytest.raises(HimeError, match="enough"):
        method.restore(downscale(truth, 4))
    assert recording.got == []
