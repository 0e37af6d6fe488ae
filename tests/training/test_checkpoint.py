"""Checkpoints: what is written comes back, and nothing else is read."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hime import HimeError
from hime.cli.models import open_restorer, portable
from hime.model import HIME, HIMEConfig
from hime.restoring.exported import available_models
from hime.training.checkpoint import (
    Trained,
    load_model,
    load_state,
    restore_state,
    save_released,
    save_state,
)

TINY = HIMEConfig(channels=8, deformable_groups=2, lr_blocks=1, reference_blocks=1, reconstruction_blocks=1)


def metadata(config: HIMEConfig = TINY) -> dict[str, str]:
    return {"architecture": json.dumps(dataclasses.asdict(config)), "preset": "tiny"}


def trained() -> Trained:
    """A network and its optimiser after a step in which only some parameters had a gradient."""
    torch.manual_seed(0)
    model = HIME(TINY).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model(torch.rand(1, 3, 8, 8), torch.rand(1, 0, 3, 32, 32)).hr.square().mean().backward()
    optimiser.step()
    return Trained(model, optimiser)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    save_released(path, HIME(TINY).state_dict(), metadata())
    return path


def test_released_form_gives_the_same_network(released: Path) -> None:
    torch.manual_seed(0)
    expected = HIME(TINY).eval()
    model, notes = load_model(released)
    assert model.config == TINY
    assert not model.training
    assert notes["preset"] == "tiny"
    lr, references = torch.rand(1, 3, 8, 8), torch.rand(1, 2, 3, 32, 32)
    assert torch.equal(model(lr, references).hr, expected(lr, references).hr)


def test_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    model, optimiser = trained()
    ema = {name: weight + 1 for name, weight in model.state_dict().items()}
    save_state(tmp_path / "last.safetensors", 7, {"model": Trained(model, optimiser)}, ema, metadata())

    torch.manual_seed(1)
    other = HIME(TINY).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    other_ema = {name: torch.zeros_like(weight) for name, weight in other.state_dict().items()}
    other_optimiser = torch.optim.Adam(other.parameters(), lr=1e-3, fused=True)
    state = load_state(tmp_path / "last.safetensors")
    assert state.step == 7
    restore_state(state, {"model": Trained(other, other_optimiser)}, other_ema, tmp_path)
    for name, weight in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], weight)
        assert torch.equal(other_ema[name], weight + 1)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert optimiser.state[ours].keys() == other_optimiser.state[theirs].keys()
        for key, value in optimiser.state[ours].items():
            assert torch.equal(other_optimiser.state[theirs][key], value)
            assert other_optimiser.state[theirs][key].stride() == value.stride()
    assert any(not memory for memory in (optimiser.state.get(p) for p in model.parameters()))


def test_a_run_folder_gives_its_best_else_the_average_of_its_last(tmp_path: Path) -> None:
    model, optimiser = trained()
    ema = {name: weight + 1 for name, weight in model.state_dict().items()}
    save_state(tmp_path / "last.safetensors", 1, {"model": Trained(model, optimiser)}, ema, metadata())
    name = next(iter(ema))
    assert torch.equal(load_model(tmp_path)[0].state_dict()[name], ema[name])
    save_released(tmp_path / "best.safetensors", model.state_dict(), metadata())
    assert torch.equal(load_model(tmp_path)[0].state_dict()[name], model.state_dict()[name])


def refusal(path: Path) -> str:
    with pytest.raises(HimeError) as error:
        load_model(path)
    assert "\n" not in str(error.value)
    assert str(path.name) in str(error.value)
    return str(error.value)


class Bomb:
    """Pickled, it would write a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    trap = tmp_path / "exploded"
    raw, torch_file = tmp_path / "raw.safetensors", tmp_path / "model.pt"
    raw.write_bytes(pickle.dumps(Bomb(trap)))
    torch.save({"bomb": Bomb(trap)}, torch_file)
    for path in (raw, torch_file):
        assert "pickles (.pt) above all, are not loaded" in refusal(path)
    assert not trap.exists()


def test_broken_and_foreign_files_are_refused(tmp_path: Path, released: Path) -> None:
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(released.read_bytes()[:-10])
    assert "not a readable safetensors file" in refusal(truncated)
    assert "no such checkpoint" in refusal(tmp_path / "missing.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    assert "no checkpoint of hime" in refusal(foreign)
    with pytest.raises(HimeError, match="no training state"):
        load_state(released)


def test_weights_must_be_exactly_those_of_the_architecture(tmp_path: Path) -> None:
    weights = HIME(TINY).state_dict()
    path = tmp_path / "model.safetensors"
    name = next(iter(weights))
    save_released(path, {key: weight for key, weight in weights.items() if key != name}, metadata())
    assert f"{name} is missing" in refusal(path)
    save_released(path, {**weights, "more": torch.zeros(1)}, metadata())
    assert "more is unknown" in refusal(path)
    save_released(path, weights, metadata(dataclasses.replace(TINY, channels=16)))
    assert "weights of another network" in refusal(path)
    save_released(path, weights, {**metadata(), "architecture": '{"colour": 1}'})
    assert "its architecture cannot be read" in refusal(path)


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path, released: Path) -> None:
    before = released.read_bytes()
    program = """
import resource, sys, torch
from hime.errors import HimeError
from hime.training.checkpoint import save_released
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    save_released(sys.argv[1], {"weight": torch.zeros(1000)}, {})
except HimeError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, str(released)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{released}: cannot write there" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert released.read_bytes() == before
    assert list(tmp_path.iterdir()) == [released]


def test_exported_models_are_read_too(tiny_run: Path, tiny_model: Path) -> None:
    (expected, told), (model, metadata) = load_model(tiny_run), load_model(tiny_model)
    assert model.config == expected.config
    assert not model.training
    assert model.state_dict().keys() == expected.state_dict().keys()
    for name, weight in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight)
    assert json.loads(metadata["training"]) == json.loads(told["training"])
    assert metadata["licence"] == told["licence"]


def test_released_models_are_read_by_name() -> None:
    for name in available_models():
        model, metadata = load_model(name)
        assert all(weight.isfinite().all() for weight in model.state_dict().values())
        training = json.loads(metadata["training"])
        size = training["config"]["model"]  # which may differ from the preset's
        assert training["preset"].replace("small", size) == name


def test_a_run_named_as_a_released_model_is_meant_by_its_path(
    tmp_path: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_run, tmp_path / "small-x4")
    monkeypatch.chdir(tmp_path)
    (own, _), (released, _) = load_model(tiny_run), load_model("small-x4")
    assert own.config != released.config
    for path in ("./small-x4", Path("small-x4")):
        assert load_model(path)[0].config == own.config
        assert open_restorer(path).card["parameters"] == sum(each.numel() for each in own.parameters())
    assert portable("small-x4") == "small-x4"  # to a worker too
    assert portable("./small-x4") == str(tmp_path / "small-x4")


def test_exported_models_that_are_damaged_or_do_not_fit_are_refused(tmp_path: Path, tiny_model: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    card = json.loads((folder / "card.json").read_text())
    wider = {**card, "architecture": {**card["architecture"], "channels": 12}}
    (folder / "card.json").write_text(json.dumps(wider))
    with pytest.raises(HimeError, match=r"weights\.bin: \d+ weights, its architecture has \d+"):
        load_model(folder)
    (folder / "card.json").write_text(json.dumps({**card, "architecture": {"colour": 3}}))
    assert "architecture cannot be read" in refusal(folder)
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "weights.bin").write_bytes((folder / "weights.bin").read_bytes()[:-4])
    with pytest.raises(HimeError, match=r"weights\.bin: differs from the checksum"):
        load_model(folder)
