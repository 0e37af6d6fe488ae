"""The compiled step: the same losses as step by step, one graph, and it resumes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import SOURCES, TINY, assert_same_state

from hime import HimeError
from hime.losses.objective import LossWeights, Objective
from hime.model import HIME, large, small
from hime.training import compiling
from hime.training.compiling import is_compiled, missing_for, room_for_shapes
from hime.training.loop import train
from hime.training.presets import override

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
FEW_KERNELS = [
    *("model.reconstruction_blocks=0", "model.alignment=conv", "model.aggregation=average"),
    *("references=1", "sampling.count_weights=0,1", "model.lr_blocks=0", "model.reference_blocks=0"),
]
"""Building kernels for a processor takes a second each."""


def test_compiled_losses_are_those_of_single_operations_and_it_resumes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = missing_for(CPU)
    if missing is not None:
        pytest.skip(f"steps cannot be compiled here: {missing}")
    plain = override(TINY, [*FEW_KERNELS, "steps=50", "log_every=1", "evaluate_every=50", "compile=off"])
    compiled = override(plain, ["compile=reduce-overhead"])
    expected = train(plain, SOURCES, tmp_path / "plain").losses
    first = train(compiled, SOURCES, tmp_path / "compiled")
    assert "channels-last" in (told := capfd.readouterr().err) or "contiguous" in told
    assert ", compiled\n" in told
    for (step, loss), (_, other) in zip(first.losses, expected, strict=True):
        assert loss == pytest.approx(other, rel=1e-5), step  # fp32, summed in another order
    half = train(compiled, SOURCES, tmp_path / "halves", stop_at=25)
    rest = train(compiled, SOURCES, tmp_path / "halves")
    assert half.losses + rest.losses == first.losses
    assert_same_state(tmp_path / "compiled", tmp_path / "halves")
    shutil.rmtree(tmp_path / "halves")
    train(plain, SOURCES, tmp_path / "halves", stop_at=25)
    train(compiled, SOURCES, tmp_path / "halves")  # another value is no other training


@pytest.mark.parametrize(("build", "references"), [(small, 0), (small, 1), (small, 3), (large, 3)])
def test_the_network_is_one_graph(build: Callable[..., HIME], references: int) -> None:
    changes = {"channels": 8, "deformable_groups": 2, "reconstruction_blocks": 1}
    model = build(4, **changes)
    inputs = (torch.rand(2, 3, 8, 8), torch.rand(2, references, 3, 32, 32))
    present = torch.ones(2, references, dtype=torch.bool)
    torch._dynamo.reset()
    told = torch._dynamo.explain(model)(*inputs, present)
    assert (told.graph_count, told.graph_break_count) == (1, 0), told.break_reasons


def test_the_losses_are_one_graph() -> None:
    objective = Objective(LossWeights(pixel=1.0, correlation=0.1))
    images = torch.rand(2, 2, 3, 32, 32)
    torch._dynamo.reset()
    told = torch._dynamo.explain(objective)(*images)
    assert (told.graph_count, told.graph_break_count) == (1, 0), told.break_reasons


def test_what_is_compiled_where(monkeypatch: pytest.MonkeyPatch) -> None:
    auto, asked = TINY, override(TINY, ["compile=reduce-overhead"])
    monkeypatch.setattr(compiling, "missing_for", lambda device: None)
    assert not is_compiled(auto, CPU)
    assert is_compiled(auto, CUDA)
    assert is_compiled(asked, CPU)
    assert not is_compiled(override(TINY, ["compile=off"]), CUDA)
    monkeypatch.setattr(compiling, "missing_for", lambda device: "Triton is not there")
    assert not is_compiled(auto, CUDA)
    with pytest.raises(HimeError, match="compile=reduce-overhead: Triton is not there; install"):
        is_compiled(asked, CUDA)


def test_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    assert missing_for(CPU) == "there is no compiler (g++, clang++)"
    monkeypatch.setenv("CXX", "icpx")
    assert missing_for(CPU) is None
    assert missing_for(torch.device("mps")) == "steps are not compiled for mps"


def test_room_for_all_shapes_that_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch._dynamo.config.recompile_limit
    asked = override(TINY, ["compile=reduce-overhead"])
    monkeypatch.setattr(compiling, "missing_for", lambda device: None)
    with room_for_shapes(override(asked, ["lr_sizes=8,8", "sampling.count_weights=1,1,1,1"]), CPU):
        assert torch._dynamo.config.recompile_limit == 8
    config = override(asked, ["hr_size=256", "lr_sizes=16,24,32,48,64"])
    with room_for_shapes(config, CPU):
        assert torch._dynamo.config.recompile_limit == 40
    assert torch._dynamo.config.recompile_limit == before
