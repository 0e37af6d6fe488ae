"""Figures that are kept are those of what is asked for."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import given_size
import on_device
import once
from hime.errors import HimeError


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)  # it would be for good
    monkeypatch.setattr(on_device, "limit_threads", lambda _: None)


@pytest.fixture
def options(demo_people: Path, tiny_model: Path, tmp_path: Path) -> argparse.Namespace:
    """Of a command that has measured nothing yet."""
    chosen = tmp_path / "list.jsonl"
    shutil.copy(demo_people / "list.jsonl", chosen)
    return argparse.Namespace(
        models=[str(tiny_model)], data=demo_people, list=chosen, counts=(0, 1), seed=0, out=tmp_path / "out"
    )


def counted() -> tuple[Callable[[Any], dict[str, Any]], list[Any]]:
    """A measurement, and with what it was made."""
    made: list[Any] = []

    def measure(restorer: Any) -> dict[str, Any]:
        made.append(restorer)
        return {"figure": len(made)}

    return measure, made


def test_what_is_kept_is_not_measured_again(options: argparse.Namespace) -> None:
    measure, made = counted()
    first = dict(once.each_model(options, measure))
    assert dict(once.each_model(options, measure)) == first == {"tiny-x4": {**first["tiny-x4"], "figure": 1}}
    assert len(made) == 1
    assert str(options.data) not in json.dumps(first)  # nothing tells where on the machine anything lies


@pytest.mark.parametrize("changed", ["seed", "counts", "list", "model", "code", "untold"])
def test_figures_of_something_else_are_refused(
    changed: str,
    options: argparse.Namespace,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure, made = counted()
    list(once.each_model(options, measure))
    file = options.out / "tiny-x4.json"
    if changed == "list":
        first, *_ = options.list.read_text(encoding="utf-8").splitlines()
        options.list.write_text(first, encoding="utf-8")
    elif changed == "model":  # of the same name
        other = tmp_path / "other" / "tiny-x4"
        shutil.copytree(tiny_model, other)
        card = json.loads((other / "card.json").read_text(encoding="utf-8"))
        (other / "card.json").write_text(json.dumps({**card, "date": "2000-01-01"}), encoding="utf-8")
        options.models = [str(other)]
    elif changed == "code":
        monkeypatch.setattr(once, "source_digest", lambda: "of other code")
    elif changed == "untold":
        file.write_text(json.dumps({"figure": 1}), encoding="utf-8")
    else:
        setattr(options, changed, {"seed": 1, "counts": (0, 2)}[changed])
    kept = file.read_text(encoding="utf-8")
    what = "model, code, counts, seed, folder, list" if changed == "untold" else changed
    with pytest.raises(HimeError, match=rf"tiny-x4\.json: holds figures of another {what}, or does not tell"):
        list(once.each_model(options, measure))
    assert len(made) == 1
    assert file.read_text(encoding="utf-8") == kept


def test_a_list_that_has_gone_is_told_before_anything_is_measured(options: argparse.Namespace) -> None:
    measure, made = counted()
    options.list.unlink()
    with pytest.raises(HimeError, match="list"):
        list(once.each_model(options, measure))
    assert not made


def no_peer() -> None:
    raise ModuleNotFoundError("ncnn")


@pytest.mark.parametrize("program", ["given_size", "on_device"])
def test_levels_and_devices_are_told_apart_too(
    program: str,
    options: argparse.Namespace,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = {"given_size": given_size, "on_device": on_device}[program]
    measured: list[str] = []

    def evaluate(methods: Any, *_: object, **__: object) -> dict[str, Any]:
        """As of one person in whose photos no face is found."""
        first, second = (method.name for method in methods[:2])
        measured.append(second)
        difference: dict[str, Any] = {
            "method": second,
            "minus": first,
            "mean": {"psnr": 0.0, "identity": None},
        }
        difference["interval"] = dict.fromkeys(difference["mean"])
        means = {
            name: {"psnr": 20.0, "identity": None} for name in ("given", *(method.name for method in methods))
        }
        return {
            "models": [method.name for method in methods], "list": "list.jsonl", "images": 0, "people": 1,
            "lr_size": 256, "references": 3, "methods": means, "differences": [difference], "failed": [],
        }  # fmt: skip

    monkeypatch.setattr(module, "evaluate", evaluate)
    monkeypatch.setattr(given_size, "real_esrgan", no_peer)
    monkeypatch.setattr(given_size, "all_measures", lambda _: [])
    command = [str(tiny_model), "--data", str(options.data), "--list", str(options.list)]
    command += ["--out", str(options.out)]
    command += {"given_size": ["--levels", "mild"], "on_device": ["--device", "cpu"]}[program]
    assert module.main(command) == module.main(command) == 0
    assert len(measured) == 1
    assert module.main([*command, "--seed", "1"]) == 1
    assert "holds figures of another seed, or does not tell" in capsys.readouterr().err
    assert len(measured) == 1
