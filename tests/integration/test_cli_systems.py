"""Compared systems on the command line: info untrained, trained where `hime train` puts them, evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Capture, run

from hime.data.people import DEMO_PEOPLE, read_list, write_list

CHANGES = [
    "hr_size=64", "steps=1", "warmup_steps=1", "batch_size=1", "precision=fp32", "channels_last=false",
    "held_out_fraction=0", "model.width=0.03125", "model.depth=0.1",
]  # fmt: skip
SETTINGS = [word for change in CHANGES for word in ("--set", change)]


def test_info_of_a_network_that_is_not_trained(capsys: Capture) -> None:
    assert run("info", "gwainet-x8", "--json", "--costs", "1") == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["parameters"], card["scale"], card["lr_size"]) == (4_293_445, 8, 16)
    assert card["macs"]["references"] == 1
    one = card["costs"]["macs"][1]
    assert one["modules"] == pytest.approx(3.266e9, rel=0.005)
    assert one["sampling"] == 4 * 3 * 128 * 128  # the warped reference
    assert run("info", "srntt-x4") == 0
    text = capsys.readouterr().out
    assert "srntt-x4: ×4, made for LR 32×32" in text
    assert "6.302 M parameters" in text
    assert "not trained: vgg 0.555 M" in text


def test_a_preset_stands_for_the_run_that_train_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    data = ["--data", DEMO_PEOPLE]
    inputs = write_list(tmp_path / "one.jsonl", read_list(DEMO_PEOPLE / "list.jsonl")[:1])
    measured = ["evaluate", "gwainet-x8", *data, "--list", inputs, "--lr-size", 8]
    assert run(*measured) == 1
    assert "not trained yet" in capsys.readouterr().err
    assert run("train", "gwainet-x8", *data, *SETTINGS) == 0
    capsys.readouterr()
    assert run(*measured, "--out", "results.json") == 0
    result = json.loads(Path("results.json").read_text(encoding="utf-8"))
    assert result["models"] == ["gwainet-x8"]
    assert result["methods"]["gwainet-x8"]["psnr"] > 0
    assert run("info", "gwainet-x8") == 0
    assert "trained: preset gwainet-x8" in capsys.readouterr().out
