"""``hime info``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import Capture, hime_command, run

import hime
from hime.errors import how_to_install
from hime.restoring.card import WEIGHTS


def test_info(tiny_model: Path, tiny_run: Path, capsys: Capture) -> None:
    assert run("info", tiny_model, "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["name"] == "tiny-x4"
    assert card["macs"]["references"] == 3
    assert card["available"] == hime.available_models()
    assert card["devices"][0] == "cpu"
    assert run("info", tiny_run) == 0
    text = capsys.readouterr().out
    assert "tiny: ×4" in text
    assert "M parameters" in text
    assert "none, they are random" in text


def test_a_shipped_model_goes_before_a_run_folder_of_its_name(
    tiny_model: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("hime.restoring.exported.PRETRAINED", tiny_model.parent)
    shutil.copytree(tiny_run, tmp_path / "tiny-x4")
    monkeypatch.chdir(tmp_path)
    for model, is_exported in (("tiny-x4", True), ("./tiny-x4", False)):
        assert run("info", model, "--json") == 0
        card = json.loads(capsys.readouterr().out)
        assert (WEIGHTS in card["sha256"]) == is_exported


def test_only_an_exported_model_has_a_page(tiny_run: Path, capsys: Capture) -> None:
    for model in ("ttsr-x4", tiny_run):  # a network alone, and a checkpoint
        assert run("info", model, "--readme") == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err == f"hime: {model}: only an exported model has a page; run `hime export` first\n"


@pytest.mark.parametrize("other", ["--json", "--costs"])
def test_the_page_is_printed_alone(other: str, tiny_model: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("info", tiny_model, "--readme", other)
    assert stopped.value.code == 2
    assert f"--readme prints the page alone; leave out it or {other}" in capsys.readouterr().err


def test_the_light_installation_names_the_extra(demo_people: Path) -> None:
    without = "import sys; sys.modules |= dict.fromkeys(['torch', 'huggingface_hub'])"
    demo = ["--data", demo_people, "--list", demo_people / "list.jsonl"]
    for command in (["info", "ttsr-x4"], ["evaluate", "ttsr-x4", *demo]):
        done = hime_command(*command, program=without)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("hime: ttsr-x4: no such model; ")
        assert line.endswith(f"the presets of `hime train` need PyTorch: {how_to_install('train')}")
    done = hime_command("info", "--readme", program=without)
    assert done.stderr == f"hime: huggingface_hub is not installed: {how_to_install('hub')}\n"
