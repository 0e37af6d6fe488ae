"""The paper's experiments through the command line: small trainings on the demo people, maps, reports."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hime import HimeError
from hime.cli import main
from hime.cli.entry import build_parser
from hime.cli.reproduce import ARGUMENTS
from hime.data.pack import write_pack
from hime.data.people import DEMO_PEOPLE, make_list, people_in, read_list, read_people, write_list
from hime.experiments.comparison import PUBLISHED, comparison_table
from hime.experiments.figures import DEMO_PICTURE, mean_correlation, quarters
from hime.experiments.report import findings, markdown, plot, table
from hime.experiments.runner import _training, config_of, examine, refuse_people_trained_on
from hime.experiments.tables import EXPERIMENTS, FIGURE_8, TABLE_6, Claim, experiment
from hime.pictures.reading import read_image, read_target
from hime.pictures.writing import write_image
from hime.restoring.restorer import load
from hime.training.checkpoint import LAST, load_state
from hime.training.loop import train
from hime.training.presets import PERCEPTION, PRESETS, override
from integration.command_line import run

TRAINING_PEOPLE = DEMO_PEOPLE / "train.txt"
TINY_CHANGES = [
    "model.channels=8",
    "model.deformable_groups=2",
    "model.lr_blocks=1",
    "model.reference_blocks=1",
    "model.reconstruction_blocks=1",
    "hr_size=64",
    "batch_size=2",
    "warmup_steps=2",
    "precision=fp32",
    "discriminator_channels=4",
]
Capture = pytest.CaptureFixture[str]


# --------------------------------------------------------------------------------------------- Figure 6


def slow_mean_correlation(image: Tensor, window: int) -> Tensor:
    """Equation 8 offset by offset: C×H×W → the mean of the k² maps, H×W."""
    centred = image - image.mean(dim=(1, 2), keepdim=True)
    _, height, width = image.shape
    reach = window // 2
    maps = torch.zeros(window**2, height, width, dtype=image.dtype)
    offsets = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)]
    for number, (i, j) in enumerate(offsets):
        for y in range(height):
            for x in range(width):
                if 0 <= y - j < height and 0 <= x - i < width:
                    maps[number, y, x] = centred[:, y, x] @ centred[:, y - j, x - i] / window**2
    return maps.mean(dim=0)


@pytest.mark.parametrize("window", [1, 3, 5])
def test_the_mean_map_is_the_slow_version(window: int) -> None:
    images = torch.rand(2, 3, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([slow_mean_correlation(image, window) for image in images])
    torch.testing.assert_close(mean_correlation(images, window), expected)


def test_figure_6_of_a_demo_person(tmp_path: Path, capsys: Capture) -> None:
    assert run("reproduce", "fig6", "--out", tmp_path / "results") == 0
    path = tmp_path / "results" / "fig6.png"
    assert capsys.readouterr().out == f"{path}\n"
    height, width, _ = read_image(path).shape
    assert width > 3 * height > 3 * 256  # the picture and three maps in a row
    result = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert (result["image"], result["size"]) == (DEMO_PICTURE.name, 128)
    assert [entry["window"] for entry in result["windows"]] == [3, 5, 7]
    for entry in result["windows"]:  # the paper: blue where there are more high frequencies
        assert entry["slope_of_bluest"] > entry["slope_of_reddest"]
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "| 7 |" in text
    assert "(fig6.png)" in text


def test_figure_6_of_any_picture(tmp_path: Path, capsys: Capture) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (90, 300, 3), dtype=np.uint8)
    picture = write_image(tmp_path / "wide.png", levels)
    assert run("reproduce", "fig6", "--image", picture, "--out", tmp_path) == 0
    assert "`wide.png`" in (tmp_path / "fig6.md").read_text(encoding="utf-8")
    capsys.readouterr()
    assert run("reproduce", "fig6", "--image", tmp_path / "none.png", "--out", tmp_path) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_quarters() -> None:
    correlation = np.arange(16.0).reshape(4, 4)
    assert quarters(correlation, 100 - correlation) == {"slope_of_bluest": 98.5, "slope_of_reddest": 86.5}


# ----------------------------------------------------------------------------------------- trained tables


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reconstruction-oriented network, hardly trained."""
    folder = tmp_path_factory.mktemp("runs") / "beginning"
    train(override(PRESETS["small-x8"], [*TINY_CHANGES, "steps=2"]), [(DEMO_PEOPLE, None)], folder)
    return folder


def command(name: str, init: Path | None, inputs: Path, out: Path, *changes: str) -> list[str]:
    """``hime reproduce`` on the demo people, all but the program's name."""
    chosen = ["--data", DEMO_PEOPLE, "--people", TRAINING_PEOPLE, "--list", inputs]
    chosen += [] if init is None else ["--init", init]
    settings = [word for change in (*TINY_CHANGES, *changes) for word in ("--set", change)]
    return [str(word) for word in ("reproduce", name, *chosen, "--out", out, *settings)]


def only(monkeypatch: pytest.MonkeyPatch, name: str, *rows: str) -> None:
    """Leave two rows of an experiment, and its claims about them."""
    chosen = EXPERIMENTS[name]
    kept = tuple(row for row in chosen.rows if row.name in rows)
    claims = tuple(claim for claim in chosen.claims if {claim.better, claim.worse} <= set(rows))
    monkeypatch.setitem(EXPERIMENTS, name, dataclasses.replace(chosen, rows=kept, claims=claims))


@pytest.mark.usefixtures("weights")
def test_table_6_is_interrupted_and_gone_on_with(
    init: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    out = tmp_path / "results"
    words = command("table6", init, inputs, out, "steps=8", "checkpoint_seconds=0")
    runs = out / "runs" / "table6"
    first, second = runs / "reconstruction", runs / "reconstruction-correlation"
    process = subprocess.Popen([sys.executable, "-m", "hime", *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (second / LAST).exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=600)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert not (out / "table6.md").exists()

    finished = (first / LAST).read_bytes()
    only(monkeypatch, "table6", first.name, second.name)
    assert main(words) == 0
    told = capsys.readouterr()
    assert "table6: (b) L_rec + L_cor, 2 of 2" in told.err
    assert (first / LAST).read_bytes() == finished
    assert [load_state(folder / LAST).step for folder in (first, second)] == [8, 8]
    assert not (runs / "perception").exists()

    text = (out / "table6.md").read_text(encoding="utf-8")
    assert told.out == text + "\n"
    result = json.loads((out / "table6.json").read_text(encoding="utf-8"))
    assert result["training"]["steps"] == 8
    assert result["training"]["people"] == len(read_people(TRAINING_PEOPLE))
    assert result["evaluation"] == {
        "list": "test.jsonl", "images": 2, "people": 2, "lr_size": 8, "scale": 8, "references": 3,
    }  # fmt: skip
    assert [row["name"] for row in result["rows"]] == ["bicubic", "start", first.name, second.name]
    here = {row["name"]: row["here"] for row in result["rows"]}
    assert all(math.isfinite(value) for figures in here.values() for value in figures.values())
    assert here[first.name] != here["start"]
    assert here[first.name] != here[second.name]
    by_label = {row["label"]: row["here"] for row in result["rows"]}
    assert [claim["metric"] for claim in result["claims"]] == ["psnr", "ssim", "lpips"]
    for claim in result["claims"]:
        better, worse = (by_label[claim[side]][claim["metric"]] for side in ("better", "worse"))
        assert claim["difference"] == pytest.approx(better - worse, abs=2e-4)
    assert "**A small budget**" in text
    assert "8 steps of 2 pairs a row, seed 0" in text
    assert "3 references" in text
    assert read_image(out / "table6.png").size

    assert main([*words, "--set", "learning_rate=1e-3"]) == 1
    assert "other values of learning_rate" in capsys.readouterr().err


@pytest.mark.usefixtures("weights")
def test_table_6_with_all_losses(
    init: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "table6", "perception-without-correlation", "perception")
    assert main(command("table6", init, inputs, tmp_path / "results", "steps=1")) == 0
    result = json.loads((tmp_path / "results" / "table6.json").read_text(encoding="utf-8"))
    assert [claim["metric"] for claim in result["claims"]] == ["psnr", "ssim", "lpips"]


@pytest.mark.usefixtures("weights")
def test_figure_8_starts_fresh_and_from_the_checkpoint(
    init: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("correlation-only-window-1", "fine-tuned-window-9")
    only(monkeypatch, "fig8", *names)
    assert main(command("fig8", init, inputs, tmp_path / "results", "steps=1")) == 0
    configs = [
        json.loads((tmp_path / "results" / "runs" / "fig8" / name / "config.json").read_text())["config"]
        for name in names
    ]
    assert [config["init"] for config in configs] == [None, str(init)]
    assert "paper" not in table(json.loads((tmp_path / "results" / "fig8.json").read_text(encoding="utf-8")))


@pytest.mark.usefixtures("weights")
def test_table_4_tests_with_as_many_references_as_it_trains_with(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "table4", "references-0", "references-1")
    words = command("table4", None, inputs, tmp_path / "results", "steps=1")
    assert main(words) == 0
    result = json.loads((tmp_path / "results" / "table4.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in result["rows"]] == ["bicubic", "references-0", "references-1"]
    assert result["rows"][1]["here"] != result["rows"][2]["here"]
    assert result["rows"][1]["paper"] == {"psnr": 23.84, "ssim": 0.7088, "lpips": 0.344}
    text = (tmp_path / "results" / "table4.md").read_text(encoding="utf-8")
    assert "from fresh weights" in text
    assert "--set model.fusion=sum" in text
    assert "Loss: λ_rec 1." in text
    runs = tmp_path / "results" / "runs" / "table4"
    counts = [json.loads((runs / f"references-{n}" / "config.json").read_text())["config"] for n in (0, 1)]
    assert [config["references"] for config in counts] == [0, 1]


@pytest.mark.usefixtures("weights")
def test_table_2_starts_the_flow_from_spynet(
    shared: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = shared / "weights" / "spynet.safetensors"
    if not public.is_file():
        pytest.skip(f"{public} is missing")
    only(monkeypatch, "table2", "flow-frozen", "flow-random")
    assert main(command("table2", None, inputs, tmp_path / "results", "steps=1")) == 0
    weight = "basic_module.0.basic_module.0.weight"
    expected = load_file(public)[weight]
    runs = tmp_path / "results" / "runs" / "table2"
    frozen, drawn = (
        load_file(runs / name / "best.safetensors")[f"alignment.flow.{weight}"]
        for name in ("flow-frozen", "flow-random")
    )
    assert torch.equal(frozen, expected)
    assert not torch.allclose(drawn, expected)


@pytest.mark.usefixtures("weights")
def test_all_is_what_the_arguments_allow(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "skvideo" else find_spec(name)
    )
    out = tmp_path / "results"
    models = ["--model", "small-x4", "--model", "small-x8"]
    assert run("reproduce", "all", "--list", inputs, "--list-data", DEMO_PEOPLE, *models, "--out", out) == 0
    told = capsys.readouterr()
    assert sorted(path.name for path in out.glob("*.md")) == ["fig6.md", "table1.md"]
    assert read_image(out / "table1.png").shape == (1024, 1408, 3)
    assert "table2: skipped, needs --data\n" in told.err
    assert "table5: skipped, needs --video\n" in told.err
    assert "fig8: skipped, needs --data, --init\n" in told.err
    text = (out / "table1.md").read_text(encoding="utf-8")
    assert text in told.out
    assert "## 32→128: 2 images of 2 people" in text
    assert "## 16→128: 2 images of 2 people" in text
    assert "64→256:" not in text
    assert "| SRNTT | 28.02 | 0.8434 | 0.0682 | 6.30 | 36.47 |" in text
    result = json.loads((out / "table1.json").read_text(encoding="utf-8"))
    for setting in result["settings"]:
        bicubic, ours = setting["rows"]
        assert bicubic["cost"] is None
        assert ours["here"]["psnr"] > bicubic["here"]["psnr"]
        assert ours["cost"]["macs_modules"] < ours["cost"]["macs_total"]
        assert f"| **{ours['name']}** |" in text


@pytest.mark.usefixtures("weights")
def test_a_setting_that_the_photos_are_too_small_for_costs_the_others_nothing(
    inputs: Path, tmp_path: Path, capsys: Capture
) -> None:
    for entry in read_list(inputs):
        for name in (entry.input, *entry.references):
            write_image(tmp_path / "small" / name, read_target(DEMO_PEOPLE / name, 128))
    words = ["--list", inputs, "--list-data", tmp_path / "small", "--out", tmp_path]
    large, fitting = ["--model", "small-x4-64"], ["--model", "small-x8"]
    for name, told in (("table1", "measured"), ("fig7", "restored")):
        assert run("reproduce", name, *words, *large, *fitting) == 0
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hime: ")]
        assert f"{inputs}: none of it can be {told} at 64→256; " in line
    result = json.loads((tmp_path / "table1.json").read_text(encoding="utf-8"))
    assert [setting["lr_size"] for setting in result["settings"]] == [16]
    assert result["other_settings"] == ["small-x4-64"]
    assert "could be measured in: small-x4-64." in (tmp_path / "table1.md").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.glob("fig7-*")] == ["fig7-16-128.png"]
    for name in ("table1", "fig7"):
        assert run("reproduce", name, *words[:-1], tmp_path / "none", *large) == 1
        assert "at 64→256; " in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_table_1_has_no_place_for_other_settings(tiny_model: Path, inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(HimeError, match="no model of its settings"):
        comparison_table([load(tiny_model)], DEMO_PEOPLE, inputs, tmp_path)


@pytest.mark.parametrize("setting", PUBLISHED)
def test_the_published_table_is_the_papers(setting: tuple[int, int]) -> None:
    rows = {row.method: row for row in PUBLISHED[setting]}
    assert len(rows) == len(PUBLISHED[setting])
    ours = [row for name, row in rows.items() if name.startswith("HIME")]
    assert len(ours) == 4
    assert max(PUBLISHED[setting], key=lambda row: row.psnr).method == "HIME_rec (large)"
    assert min(PUBLISHED[setting], key=lambda row: row.lpips).method.startswith("HIME_p")


def test_what_cannot_be_reproduced(init: Path, inputs: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run("reproduce", "table99") == 1
    assert "choose one of fig6, table1, table2" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        run("reproduce", "table6", "--data", DEMO_PEOPLE)
    assert stopped.value.code == 2
    capsys.readouterr()
    # Everybody would be trained on, those of the list too.
    words = ["reproduce", "fig8", "--data", DEMO_PEOPLE, "--list", inputs, "--init", init]
    assert run(*words, "--out", tmp_path / "results") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{inputs}: ada, one of 2, would be trained on and measured" in line
    words = command("fig8", tmp_path / "nothing", inputs, tmp_path / "results")
    assert main(words) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("fig6 --train nonsense --rates 3 --set a=1 --budget paper --every 0 --model no --init no",
         "fig6 takes no --model, --train, --rates, --set, --budget, --init, --every; leave them out"),
        ("table1 --list L --list-data R --rates 1 4 --set seed=1",
         "table1 without --train takes no --rates, --set; leave them out, or give --train"),
        ("table1 --list L --data R --train all --init no", "table1 takes no --init; leave them out"),
        ("table4 --list L --data R --init no --rates 4", "table4 takes no --rates, --init; leave them out"),
        ("fig7 --list L --data R --people P", "fig7 takes no --people; leave them out"),
        ("dial --list L --data R --model A --model B", "dial takes one --model, not 2"),
        ("table5 --video V --model A --model B", "table5 takes one --model, not 2"),
    ],
)  # fmt: skip
def test_arguments_that_change_nothing_are_refused(words: str, complaint: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("reproduce", *words.split())
    assert stopped.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: {complaint}\n")


def test_every_argument_is_known_to_be_taken_or_not() -> None:
    given = vars(build_parser().parse_args(["reproduce", "all"]))
    places = {flag.removeprefix("--").replace("-", "_") for flag in ARGUMENTS}
    assert places == given.keys() - {"name", "out", "command", "parser"}


def test_people_of_the_list_are_trained_on_wherever_their_photos_lie(inputs: Path, tmp_path: Path) -> None:
    entries, others = read_list(inputs), read_people(TRAINING_PEOPLE)
    tested = {entry.person for entry in entries}
    pack = write_pack(DEMO_PEOPLE, tmp_path / "pack-64", 64).folder
    copied = tmp_path / "copied"
    for person in sorted(tested):
        shutil.copytree(DEMO_PEOPLE / person, copied / person)

    def check(*sources: tuple[Path, list[str] | None]) -> None:
        refuse_people_trained_on(sources, DEMO_PEOPLE, entries, inputs)

    for source in (pack, copied):
        for people in (None, [*others, max(tested)]):
            with pytest.raises(HimeError, match=f"trained on and measured, since {source} holds"):
                check((DEMO_PEOPLE, others), (source, people))
        check((source, others))
    # Other people with the same names, as numbers are in many data sets.
    for person in sorted(tested):
        for photo in (copied / person).iterdir():
            photo.rename(photo.with_name(f"other-{photo.name}"))
    check((copied, None))
    check((write_pack(copied, tmp_path / "other", 64).folder, None))
    with pytest.raises(HimeError, match="is a pack, and lists are measured on photos"):
        refuse_people_trained_on([(DEMO_PEOPLE, others)], pack, entries, inputs)


@pytest.mark.parametrize("beside", [False, True], ids=["0.png", "0.webp.png"])
def test_people_of_the_list_are_known_in_copies_of_another_format(tmp_path: Path, beside: bool) -> None:
    root, copies = tmp_path / "root", tmp_path / "copies"
    for person, photos in people_in(DEMO_PEOPLE).items():
        shutil.copytree(DEMO_PEOPLE / person, root / person)
        for photo in photos if beside else ():  # the same name in another format
            write_image(root / person / f"{photo.stem}.PNG", read_image(photo))
    inputs = tmp_path / "list.jsonl"
    write_list(inputs, make_list(root, ["ada"]))
    assert run("prepare", "folder", "--root", root, "--out", copies, "--size", "64", "--pack") == 0
    assert (copies / "ada" / ("0.webp.png" if beside else "0.png")).is_file()
    for source in (copies, copies / "pack-64"):
        with pytest.raises(HimeError, match=f"trained on and measured, since {source} holds"):
            refuse_people_trained_on([(source, None)], root, read_list(inputs), inputs)
        refuse_people_trained_on([(source, ["ben"])], root, read_list(inputs), inputs)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("budget", ["quick", "paper"])
def test_rows_are_trained_alike_but_for_what_is_compared(name: str, budget: Any) -> None:
    chosen = EXPERIMENTS[name]
    configs = [config_of(chosen, row, None, budget, []) for row in chosen.rows]
    compared: dict[str, tuple[str, ...]] = {
        "table2": ("model_changes", "flow_init", "flow_rate"),
        "table3": ("model_changes",),
        "table4": ("references", "sampling"),
        "table6": ("loss",),
        "table7": ("sampling",),
        "fig8": ("loss", "learning_rate"),
    }
    same = {key: getattr(configs[0], key) for key in compared[name]}
    alike = [dataclasses.replace(each, **same) for each in configs]
    assert all(each == alike[0] for each in alike)
    assert len({json.dumps(dataclasses.asdict(each)) for each in configs}) == len(configs)
    assert alike[0].held_out_fraction == 0
    assert len({row.name for row in chosen.rows}) == len(chosen.rows)
    assert {claim.better for claim in chosen.claims} <= {row.name for row in chosen.rows}
    assert {claim.worse for claim in chosen.claims} <= {row.name for row in chosen.rows}


def test_the_losses_of_the_rows() -> None:
    def losses(chosen: Any, name: str) -> Any:
        (row,) = (row for row in chosen.rows if row.name == name)
        return config_of(chosen, row, "beginning", "quick", []).loss

    without = dataclasses.replace(PERCEPTION, perceptual=0.0, adversarial=0.0)
    assert losses(TABLE_6, "reconstruction") == dataclasses.replace(without, correlation=0.0)
    assert losses(TABLE_6, "reconstruction-correlation") == without
    assert losses(TABLE_6, "perception-without-correlation") == dataclasses.replace(
        PERCEPTION, correlation=0.0
    )
    assert losses(TABLE_6, "perception") == PERCEPTION
    assert losses(FIGURE_8, "fine-tuned-window-7") == dataclasses.replace(without, correlation_window=7)
    alone = dataclasses.replace(without, pixel=0.0, correlation_window=9)
    assert losses(FIGURE_8, "correlation-only-window-9") == alone


# ------------------------------------------------------------------------------------------------ reports


@pytest.mark.parametrize(
    ("metric", "differences", "agrees"),
    [
        ("psnr", (0.3, 0.1, 0.2), "yes"),
        ("psnr", (-0.3, -0.1, -0.2), "no"),
        ("psnr", (0.3, -0.3, 0.1), "undecided"),
        ("lpips", (-0.3, -0.1, -0.2), "yes"),
        ("lpips", (0.3, 0.1, 0.2), "no"),
    ],
)
def test_a_claim_is_examined_image_by_image(metric: str, differences: tuple[float, ...], agrees: str) -> None:
    per_image = [
        {"input": f"person{number}/0.png", "perception": {metric: 20 * number + difference}}
        | {"perception-without-correlation": {metric: 20 * number}}
        for number, difference in enumerate(differences)
    ]
    claim = Claim(metric, "perception", "perception-without-correlation")
    found = examine(claim, TABLE_6.rows, per_image)
    assert found["agrees"] == agrees
    assert found["difference"] == pytest.approx(sum(differences) / 3, abs=1e-4)
    assert found["interval"] == [min(differences), max(differences)]
    assert found["paper"] == {"psnr": 0.84, "lpips": -0.0154}[metric]
    assert (found["better"], found["worse"]) == ("(d) L_P", "(c) L_P without L_cor")
    alone = examine(claim, TABLE_6.rows, per_image[:1])
    assert (alone["interval"], alone["agrees"]) == (None, "undecided")


RESULT: dict[str, Any] = {
    "experiment": "table6",
    "title": "Table 6: effect",
    "notes": ["A note."],
    "axis": "losses",
    "budget": "paper",
    "training": {
        "preset": "small-x8-p",
        "init": "small-x8",
        "changes": ["seed=7"],
        "steps": 200000,
        "batch_size": 16,
        "seed": 7,
        "loss": dataclasses.asdict(PERCEPTION),
        "data": ["one", "two"],
        "people": 1234,
        "photos": 56789,
    },
    "evaluation": {
        "list": "list.jsonl",
        "images": 264,
        "people": 53,
        "lr_size": 16,
        "scale": 8,
        "references": 3,
    },
    "rows": [
        {
            "name": "start",
            "label": "start: small-x8",
            "tick": "",
            "curve": "",
            "here": {"psnr": 24.3914, "ssim": 0.7185, "lpips": 0.25},
            "intervals": {"psnr": [24.0, 24.8], "ssim": None, "lpips": None},
            "paper": None,
        },
        {
            "name": "perception",
            "label": "(d) L_P",
            "tick": "(d)",
            "curve": "here",
            "here": {"psnr": None, "ssim": 0.65, "lpips": 0.14},
            "intervals": {"psnr": None, "ssim": [0.6, 0.7], "lpips": None},
            "paper": {"psnr": 23.28, "ssim": 0.6673, "lpips": 0.1389},
        },
    ],
    "claims": [
        {
            "metric": "lpips",
            "better": "(d)",
            "worse": "(c)",
            "difference": -0.01234,
            "interval": [-0.02, -0.01],
            "paper": -0.0154,
            "agrees": "yes",
        }
    ],
    "failed": [{"input": "a/0.png", "error": "a/0.png: gone"}],
}


def test_a_claim_holds_of_the_images_where_it_is_a_number() -> None:
    claim = Claim("psnr", *(row.name for row in TABLE_6.rows[:2]))
    psnr = [(30.0, 29.0), (float("inf"), 29.0), (float("inf"), float("inf")), (None, 29.0), (31.0, 29.0)]
    per_image = [
        {"input": f"person {number}/0", claim.better: {"psnr": better}, claim.worse: {"psnr": worse}}
        for number, (better, worse) in enumerate(psnr)
    ]
    found = examine(claim, TABLE_6.rows, per_image)
    assert (found["difference"], found["interval"], found["agrees"]) == (1.5, [1.0, 2.0], "yes")
    found = examine(claim, TABLE_6.rows, per_image[1:4])
    assert (found["difference"], found["interval"], found["agrees"]) == (None, None, "undecided")
    assert "| – |" in findings({"claims": [found]})


def test_a_result_does_not_say_where_files_lie(tmp_path: Path) -> None:
    changes = [f"labels={tmp_path / 'labels.npz'}", "init=../other/run", "seed=7"]
    config = override(PRESETS["small-x8"], changes)
    data = {"sources": ["one"], "people": 1, "photos": 2}
    told = _training(experiment("table6"), config, "run", changes, data)
    assert told["changes"] == ["labels=labels.npz", "init=run", "seed=7"]


def test_a_report_has_the_budget_and_stands_beside_the_paper() -> None:
    text = markdown(RESULT)
    assert "`hime reproduce table6 --budget paper --set seed=7`" in text
    assert "small budget" not in text
    assert "200,000 steps of 16 pairs a row, seed 7, preset `small-x8-p`, from `small-x8`" in text
    assert "56,789 photos of 1,234 people (one, two)" in text
    assert "264 images of 53 people, 16→128, 3 references" in text
    assert "1 could not be read" in text
    assert "(table6.png)" in text
    assert text.endswith("A note.\n")
    assert table(RESULT).splitlines() == [
        "| | PSNR ↑ | paper | SSIM ↑ | paper | LPIPS ↓ | paper |",
        "|---|---|---|---|---|---|---|",
        "| start: small-x8 | 24.391 (24.000 … 24.800) |  | 0.7185 |  | 0.2500 |  |",
        "| (d) L_P | – | 23.28 | 0.6500 (0.6000 … 0.7000) | 0.6673 | 0.1400 | 0.1389 |",
    ]
    assert findings(RESULT).splitlines()[-1] == (
        "| (d) | (c) | LPIPS ↓ | -0.0123 (-0.0200 … -0.0100) | -0.0154 | yes |"
    )
    assert "small budget" in markdown({**RESULT, "budget": "quick"})


def test_a_plot_has_a_panel_a_metric() -> None:
    panels = plot(RESULT).axes
    assert [axis.get_title() for axis in panels] == ["PSNR ↑", "SSIM ↑", "LPIPS ↓"]
    assert [text.get_text() for text in panels[0].get_legend().get_texts()] == [
        "here",
        "paper",
        "start: small-x8",
    ]
    assert [label.get_text() for label in panels[2].get_xticklabels()] == ["(d)"]
