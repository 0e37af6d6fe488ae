"""Models on other devices: named if they are missing, compared with the processor before they are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hime
from hime.cli import main
from hime.errors import HimeError
from hime.pictures.arrays import FloatArray
from hime.restoring.devices import (
    DEVICES,
    TOLERANCE,
    Device,
    check_same,
    check_used,
    engine,
    installed_devices,
    precision,
    providers,
)
from hime.restoring.exported import OnnxBackend
from hime.restoring.graphs import OnnxRuntimeGraph

ABSENT = [name for name in DEVICES if name not in installed_devices()]


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> str:
    """A device that is the processor by another name."""
    monkeypatch.setitem(DEVICES, "twin", Device("CPUExecutionProvider", "nothing"))
    return "twin"


@pytest.mark.parametrize("device", ABSENT)
def test_what_is_not_installed_is_named_with_its_package(device: str, tiny_model: Path) -> None:
    with pytest.raises(HimeError) as told:
        hime.load(tiny_model, device=device)
    line = str(told.value)
    assert line.startswith(f"device {device}: ")
    assert DEVICES[device].package in line
    assert "pip install " in line
    assert "\n" not in line


def test_the_command_says_it_in_one_line(
    tiny_model: Path, demo_people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "cuda" not in ABSENT:
        pytest.skip("onnxruntime-gpu is installed")
    command = ["restore", str(demo_people / "eva" / "0.webp"), "--aligned", "--model", str(tiny_model)]
    assert main([*command, "--out", str(tmp_path / "out"), "--device", "cuda"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "hime: device cuda: this ONNX Runtime is built without it; "
        "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
    ]


def test_there_are_no_others(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HimeError, match="there is no device abacus; choose one of cpu, cuda"):
        hime.load(tiny_model, device="abacus")
    with pytest.raises(SystemExit):
        main(["bench", str(tiny_model), "--device", "abacus"])
    assert "abacus" in capsys.readouterr().err


def test_another_device_restores_as_the_processor(tiny_dial: Path, twin: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    own, other = hime.load(tiny_dial, threads=1, fidelity=0.5), hime.load(tiny_dial, 1, 0.5, twin)
    assert np.array_equal(own.restore(picture).image, other.restore(picture).image)
    assert [backend.device for backend in other.backends if isinstance(backend, OnnxBackend)] == [twin] * 2


@pytest.mark.parametrize("error", [0.9 * TOLERANCE, 1.1 * TOLERANCE, float("nan")])
@pytest.mark.parametrize("of_scores", [False, True])
def test_what_makes_something_else_is_refused(error: float, of_scores: bool, tiny_model: Path) -> None:
    backend = OnnxBackend(tiny_model, threads=1)

    def wrong(lr: FloatArray, references: FloatArray) -> tuple[FloatArray, FloatArray]:
        hr, scores = backend._both(lr, references)
        (scores if of_scores else hr)[0, 0, 1, 2] += error
        return hr, scores

    if error < TOLERANCE:
        check_same(backend.card, "cuda", wrong, backend._both)
        return
    with pytest.raises(
        HimeError, match=r"on device cuda from the processor's by up to (1.1|nan) levels of 255"
    ):
        check_same(backend.card, "cuda", wrong, backend._both)


def test_a_device_is_compared_when_the_model_is_opened(
    tiny_model: Path, twin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    monkeypatch.setattr(
        "hime.restoring.exported.check_same", lambda card, device, *chains: compared.append(device)
    )
    OnnxBackend(tiny_model, threads=1)
    assert compared == []
    OnnxBackend(tiny_model, threads=1, device=twin)
    assert compared == [twin]


def test_a_device_that_cannot_be_started_is_told(tiny_model: Path) -> None:
    graph = OnnxBackend(tiny_model, threads=1)._restore
    assert isinstance(graph, OnnxRuntimeGraph)
    check_used(graph._session, "cpu")
    with pytest.raises(HimeError, match="device cuda: is installed, but cannot be started"):
        check_used(graph._session, "cuda")


def test_what_a_device_cannot_do_the_processor_does() -> None:
    assert providers("cpu") == ["CPUExecutionProvider"]
    assert providers("cuda") == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert "cpu" in installed_devices()
    assert [engine(device)[1] for device in ("cuda", "openvino")] == ["onnxruntime", "openvino"]
    assert precision("cpu") == precision("cuda") == "fp32"


@pytest.mark.parametrize("device", [device for device in DEVICES if device not in ABSENT])
def test_a_real_device_restores_a_released_model(device: str) -> None:
    """On whatever this machine has; on most only the processor."""
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    restorer = hime.load("small-x4", device=device)
    restorer.set_references([np.full((32, 32, 3), 120, np.uint8)])
    assert restorer.restore(picture).image.shape == (32, 32, 3)


def test_a_checkpoint_takes_no_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    (tmp_path / "best.safetensors").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").touch()
    command = ["evaluate", str(tmp_path / "best.safetensors"), "--data", str(tmp_path)]
    listing = tmp_path / "list.jsonl"
    listing.write_text('{"input": "a/b.png", "references": []}\n')
    assert main([*command, "--list", str(listing), "--device", "openvino"]) == 1
    assert "--device is for exported models" in capsys.readouterr().err
