"""The form of `hime bench --training`; its figures mean nothing here."""

from __future__ import annotations

import json

import pytest
import torch

from hime.cli import main
from hime.tools import bench_training as bench
from hime.tools.bench_training import bench_training, bound, format_bench_training

CHANGES = [
    *("model.channels=8", "model.deformable_groups=2", "model.lr_blocks=1", "model.reference_blocks=1"),
    *("model.reconstruction_blocks=1", "hr_size=32", "batch_size=2", "sampling.count_weights=0,1,0,1"),
]


@pytest.mark.parametrize(
    "more", [[], ["degradation=realistic", "degrade_on=device"]], ids=["bicubic", "device"]
)
def test_the_form(more: list[str]) -> None:
    result = bench_training("small-x4", [*CHANGES, *more], steps=2, matrix_sides=(64,))
    assert json.loads(json.dumps(result)) == result
    assert (result["preset"], result["batch_size"], result["references"]) == ("small-x4", 2, 2.0)
    rates, times = result["pairs_per_second"], result["milliseconds"]
    assert set(rates) == {"loader", "step", "loop"}
    assert min(rates.values()) > 0
    assert rates["step"] == pytest.approx(2e3 / times["step"], rel=0.01)
    if result["device"] == "cpu":
        assert (times["launch"], times["busy"], result["compiled"]) == (None, None, False)
    flops = 6e9 * result["gmacs"] * rates["loop"]
    share = flops / (1e9 * result["peak_gflops"])
    assert result["share_of_peak"] == pytest.approx(share, rel=0.1, abs=1e-3)
    text = format_bench_training(result)
    assert text.endswith(f"bound by: {result['bound_by']}")
    assert "batch 2, 2 references" in text


def test_a_device_of_another_kind_is_waited_for_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    device = torch.device("mps")
    bench._wait(device)
    bench._wait(torch.device("cpu"))
    assert waited == [device]
    assert bench.sides_for(device) == bench.sides_for(torch.device("cpu"))


def test_what_bounds() -> None:
    assert bound(load=3.0, step=2.0, busy=None) == "loader"
    assert bound(load=1.0, step=2.0, busy=0.5) == "launch"
    assert bound(load=1.0, step=2.0, busy=1.9) == "compute"
    assert bound(load=1.0, step=2.0, busy=None) == "compute"


def test_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    changes = [f"--set={change}" for change in CHANGES]
    assert main(["bench", "--training", "small-x4", *changes, "--repeats", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changes"] == CHANGES
    assert main(["bench", "--training", "no-such-preset"]) == 1
    assert "no preset 'no-such-preset'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bench", "small-x4", "--set", "batch_size=2"])
