"""The results are what they say, and the documents are made of them."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import jinja2
import pytest

import figures
import render
from figures import REPOSITORY, RESULTS, Results
from hime.errors import HimeError
from hime.experiments.comparison import PUBLISHED
from hime.files import write_json

FILES = sorted(RESULTS.glob("*.json"))
SOURCE = {
    "command": "hime evaluate a b",
    "version": "1",
    "revision": "0123456789abcdef",
    "machine": {},
    "data": {"folder": "celeba", "list": {"name": "list.jsonl", "sha256": "0"}},
    "date": "2026-11-26",
}


def result(methods: dict[str, tuple[float, float]], **changes: Any) -> dict[str, Any]:
    """A result of `hime evaluate` with the PSNR and LPIPS of each method."""
    means = {name: {"psnr": psnr, "lpips": lpips} for name, (psnr, lpips) in methods.items()}
    names = [name for name in means if name != "bicubic"]
    return {
        "provenance": SOURCE,
        "models": names,
        "scale": 4,
        "lr_size": 32,
        "degradation": "bicubic",
        "luminance": False,
        "references": 3,
        "methods": means,
        "intervals": {name: {"psnr": [1.0, 2.0], "lpips": None} for name in means},
        "differences": [
            {
                "method": name,
                "minus": names[0],
                "mean": {"psnr": 0.25},
                "interval": {"psnr": [-0.125, 0.5]},
            }
            for name in names[1:]
        ],
        **changes,
    }


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Two results of one list: `first` with two models, `wrong` with one that got another person's photos."""
    first = result({"bicubic": (25.0, 0.4), "small-x4": (28.5, 0.1), "small-x4@0": (28.25, 0.2)})
    wrong = result({"bicubic": (25.0, 0.4), "small-x4": (28.0, 0.1)}, references="wrong")
    write_json(tmp_path / "first.json", first)
    write_json(tmp_path / "wrong.json", wrong)
    return Results(tmp_path)


# -------------------------------------------------------------------------------------- what is committed


def test_the_documents_are_made_of_the_results() -> None:
    for path, text in render.rendered(Results()).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is not what `make results` writes"


def test_every_result_is_shown() -> None:
    results = Results()
    render.rendered(results)
    assert results.used == {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_result_says_where_it_comes_from(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    source = json.loads(text)["provenance"]
    assert source["command"].split()[0] in ("hime", "python", "make")
    assert source["version"]
    assert source["machine"]
    date.fromisoformat(source["date"])
    if source["revision"] is None:
        assert re.fullmatch("[0-9a-f]{40}", source["transcribed"]["revision"])
    else:
        assert re.fullmatch("[0-9a-f]{40}", source["revision"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_result_is_small_and_names_neither_single_photos_nor_places(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 60_000
    assert "per_image" not in text
    assert not re.search(r'["= ](/|~/|\.\./)\w', text)


# ------------------------------------------------------------------------------------------ the functions


def test_a_table_has_a_line_a_method_and_variants_behind_their_model(results: Results) -> None:
    table = results.measured(["first", "wrong"], "psnr:2 gain share", bold=["small-x4"])
    assert table.splitlines() == [
        "|  | PSNR | over bicubic | of bicubic's |",
        "|---|---|---|---|",
        "| bicubic | 25.00 | – | 1.000 |",
        "| **`small-x4`** | 28.50 | +3.50 | 0.250 |",
        "| – no references | 28.25 | +3.25 | 0.500 |",
        "| – another person's | 28.00 | +3.00 | 0.250 |",
    ]


def test_a_variant_names_its_model_where_the_row_above_does_not(results: Results) -> None:
    table = results.measured("first", "psnr", ["small-x4@0"], labels={"psnr": "decibels"})
    assert table.splitlines()[0] == "|  | decibels |"
    assert table.splitlines()[2] == "| `small-x4`, no references | 28.250 |"


def test_others_networks_have_their_plain_names() -> None:
    assert figures._label("BasicVSR (REDS)") == "BasicVSR (REDS)"
    assert figures._label("small-x8-without-references@0", "small-x8") == "trained without references"
    assert figures._label("large-x4@2", "large-x4") == "– 2 references"


def test_single_figures(results: Results) -> None:
    assert results.number("first", "small-x4", "psnr") == "28.500"
    assert results.number("first", "small-x4", "gain") == "+3.50"
    assert results.gained(["first", "wrong"], "small-x4, another person's", "small-x4@0") == "-0.250"


def test_the_largest_of_several_gains(results: Results, tmp_path: Path) -> None:
    methods = {
        "bicubic": (25.0, 0.4),
        "small-x8": (28.5, 0.1),
        "small-x8@0": (27.75, 0.2),
        "large-x8": (29, 0.1),
    }
    write_json(tmp_path / "second.json", result(methods))
    assert results.most_gained(["first", "second"], "{}", "{}@0") == "0.75"
    assert results.most_gained(["second", "first"], "{}", "bicubic", digits=1) == "4.0"
    assert (
        results.most_gained([["first", "wrong"], "second"], "{}@0", "{}, another person's", digits=3)
        == "0.250"
    )
    with pytest.raises(HimeError, match="measured of no model"):
        results.most_gained(["second"], "{}@0", "{}, another person's")


def test_a_difference_can_be_read_in_both_directions(results: Results) -> None:
    assert results.difference("first", "small-x4@0", "small-x4", "psnr") == "+0.250 (-0.125 … +0.500)"
    assert results.difference("first", "small-x4", "small-x4@0", "psnr") == "-0.250 (-0.500 … +0.125)"


def test_the_papers_figures() -> None:
    results = Results()
    assert results.paper(32, "HIME_rec (small)", "gain") == "+3.47"  # 29.11 − 25.64
    assert results.paper(16, "HIME_p (small)", "share") == "0.247"  # 0.1297 / 0.5247
    assert results.paper(64, "HIME_rec (small)", "gmacs", 2) == "7.48"


def test_orders_by_what_became_of_them(tmp_path: Path) -> None:
    claims = [
        {"metric": metric, "better": "b", "worse": "a", "agrees": agrees}
        for metric, agrees in (("psnr", "yes"), ("ssim", "yes"), ("lpips", "no"))
    ]
    write_json(tmp_path / "table9.json", {"claims": claims})
    told = Results(tmp_path).orders("table9")
    assert told == "*as in the paper*: b over a in PSNR, SSIM. *not so*: b over a in LPIPS."


@pytest.fixture
def trained(tmp_path: Path) -> Results:
    """A result of `hime reproduce table1 --train`."""

    def row(name: str, psnr: float, paper: str | None = None, seconds: float = 0.5) -> dict[str, Any]:
        here = {"psnr": psnr, "ssim": 0.75, "lpips": 0.25, "identity": 0.5}
        cost = {"parameters": 2_500_000, "macs_modules": 10**9, "macs_total": 2 * 10**9}
        training = {"steps": 10, "batch_size": 8, "pairs": 80}
        told = {"cost": cost, "paper": paper, "training": training, "seconds": seconds}
        return {"name": name, "here": here, "intervals": dict.fromkeys(here), **told}

    rows = [
        {"name": "bicubic", "cost": None, **{key: row("", 25.0)[key] for key in ("here", "intervals")}},
        row("small-x4", 28.0, "HIME_rec (small)", 0.025),
        row("ttsr-x4", 26.5, "TTSR"),
        row("ttsr-x4, most alike", 27.5),
        row("sparnet-x4", 26.0, "SPARNet", 0.25),
    ]
    differences = [
        {
            "method": each["name"],
            "minus": "small-x4",
            "mean": {"psnr": each["here"]["psnr"] - 28.0},
            "interval": {"psnr": [each["here"]["psnr"] - 28.25, each["here"]["psnr"] - 27.875]},
        }
        for each in rows[2:]
    ]
    paper = [dataclasses.asdict(row) for row in PUBLISHED[32, 4] if row.method == "TTSR"]
    setting = {"lr_size": 32, "scale": 4, "paper": paper, "rows": rows, "differences": differences}
    write_json(tmp_path / "table1.json", {"provenance": SOURCE, "settings": [setting]})
    return Results(tmp_path)


def test_systems_trained_here_stand_beside_the_papers(trained: Results) -> None:
    lines = trained.systems("table1", 32).splitlines()
    assert len(lines) == 2 + 5
    assert lines[4].startswith("| **ttsr-x4** | 26.500 | 27.31 |")
    assert lines[4].endswith("| 2.50 | 6.73 | 1.00, 2.00 | 26.62 | 0.500 | 80 |")


def test_ours_is_compared_with_the_best_system_by_no_oracles_pick(trained: Results) -> None:
    assert trained.lead("table1", 32, "small-x4") == "+1.50 dB (+1.38 … +1.75) against `ttsr-x4`"
    assert trained.faster("table1", 32, "small-x4", "ttsr-x4") == "20"


def test_another_persons_photos_are_set_beside_the_persons_own(trained: Results) -> None:
    wrong = copy.deepcopy(result({"bicubic": (25.0, 0.4), "ttsr-x4@1": (26.25, 0.1)}, references="wrong"))
    write_json(trained.folder / "wrong.json", wrong)
    called = "ttsr-x4@1, another person's"
    assert trained.system("table1", 32, "ttsr-x4") == "26.500"
    assert trained.wronged("table1", 32, "ttsr-x4", "wrong", called) == "-0.250"
    wrong["provenance"]["data"]["list"]["sha256"] = "1"
    write_json(trained.folder / "wrong.json", wrong)
    with pytest.raises(HimeError, match="not measured on the same list"):
        trained.wronged("table1", 32, "ttsr-x4", "wrong", called)


def test_what_table_1_has_not_is_an_error(trained: Results) -> None:
    with pytest.raises(HimeError, match="nothing of 16 pixels"):
        trained.systems("table1", 16)
    with pytest.raises(HimeError, match="no difference of ttsr-x4 and large-x4"):
        trained.lead("table1", 32, "large-x4")
    with pytest.raises(HimeError, match="large-x4 was not measured there, but bicubic, small-x4"):
        trained.faster("table1", 32, "small-x4", "large-x4")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"degradation": "realistic"}, "not of one degradation"),
        (
            {"provenance": {**SOURCE, "data": {"folder": "celeba", "list": {"name": "l", "sha256": "1"}}}},
            "different lists",
        ),
        ({}, "small-x4 is in another of these results too"),
    ],
)
def test_results_that_are_no_one_table_are_refused(
    results: Results, changes: dict[str, Any], complaint: str
) -> None:
    write_json(results.folder / "other.json", result({"bicubic": (25, 0.4), "small-x4": (2, 1)}, **changes))
    with pytest.raises(HimeError, match=complaint):
        results.measured(["first", "other"], "psnr")


def test_what_was_not_measured_is_an_error(results: Results, tmp_path: Path) -> None:
    with pytest.raises(HimeError, match="large-x4 was not measured"):
        results.number("first", "large-x4", "psnr")
    with pytest.raises(HimeError, match="identity of small-x4 was not measured"):
        results.number("first", "small-x4", "identity")
    with pytest.raises(HimeError, match=r"nothing\.json: no such result"):
        results.number("nothing", "small-x4", "psnr")
    template = tmp_path / "template.md"
    template.write_text("{{ nobody('first') }}", encoding="utf-8")
    with pytest.raises(jinja2.UndefinedError, match="nobody"):
        render.render(template, results)


# ------------------------------------------------------------------------------------------- taking in


def test_a_result_is_kept_without_single_inputs(tmp_path: Path) -> None:
    file = write_json(
        tmp_path / "run.json", {**result({}), "per_image": [{"input": "ada/0.webp"}], "failed": []}
    )
    kept = json.loads(render.keep(file, "mine", tmp_path).read_text(encoding="utf-8"))
    assert kept == result({})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"provenance": {**SOURCE, "revision": "0123-dirty"}}, "no commit"),
        ({"provenance": {**SOURCE, "revision": None}}, "no commit"),
        ({"failed": [{"input": "a", "error": "b"}]}, "1 inputs failed"),
        ({"settings": [{"failed": []}, {"failed": [{"input": "a", "error": "b"}]}]}, "1 inputs failed"),
    ],
)
def test_what_cannot_be_repeated_is_not_kept(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    file = write_json(tmp_path / "run.json", {**result({}), **changes})
    with pytest.raises(HimeError, match=complaint):
        render.keep(file, "mine", tmp_path)
    assert not (tmp_path / "mine.json").exists()


def test_make_results_is_a_target() -> None:
    assert "\nresults: " in (REPOSITORY / "Makefile").read_text(encoding="utf-8")
