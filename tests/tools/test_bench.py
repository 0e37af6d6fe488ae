"""The form of the benchmark's result; its figures mean nothing here."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch

from hime.cli import main
from hime.restoring.devices import DEVICES, Device
from hime.tools import bench as benchmark
from hime.training.arithmetic import of_machine


def test_the_form(tiny_model: Path) -> None:
    result = benchmark.bench(tiny_model, threads=1, repeats=1, matrix_sizes=(64,))
    assert json.loads(json.dumps(result)) == result
    assert (result["model"], result["scale"], result["lr"], result["references"]) == ("tiny-x4", 4, [8, 8], 3)
    assert result["threads"] == 1
    assert result["peak"]["gflops"] > 0
    for runtime in ("onnxruntime", "pytorch"):
        cold, warm = result[runtime]["cold"], result[runtime]["warm"]
        assert cold["gmacs"] >= warm["gmacs"] > 0
        for row in (cold, warm):
            assert row["images_per_second"] == pytest.approx(1e3 / row["milliseconds"], rel=0.01)
            flops = 2e9 * row["gmacs"] * row["images_per_second"]
            assert row["share_of_peak"] == pytest.approx(
                flops / (1e9 * result["peak"]["gflops"]), rel=0.2, abs=1e-3
            )
    assert {row["batch_size"] for row in result["training"].values()} == {8}
    assert set(result["training"]) == {"fp32", "bf16"}
    assert all(0 < row["share_of_peak"] < 1.5 for row in result["training"].values())
    arithmetic, reason = of_machine(torch.device("cpu"))
    assert result["training_takes"] == f"{arithmetic} ({reason})"
    text = benchmark.format_bench(result)
    assert f"hime train takes {arithmetic}" in text
    assert "ONNX Runtime warm" in text
    assert "8×8 → 32×32, 3 references, 1 threads" in text


def test_a_device_is_measured_beside_the_processor(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert benchmark.bench(tiny_model, threads=1, repeats=1, matrix_sizes=(16,))["on_device"] is None
    monkeypatch.setitem(DEVICES, "twin", Device("CPUExecutionProvider", "nothing"))
    result = benchmark.bench(tiny_model, threads=1, repeats=1, matrix_sizes=(16,), device="twin")
    assert (result["device"], result["precision"]) == ("twin", "fp32")
    assert set(result["on_device"]) == set(result["onnxruntime"]) == {"cold", "warm"}
    text = benchmark.format_bench(result)
    assert "twin fp32 warm" in text
    ratio = result["onnxruntime"]["warm"]["milliseconds"] / result["on_device"]["warm"]["milliseconds"]
    assert f"{ratio:.2f} times warm" in text


def test_the_peak_is_the_fastest_librarys(tiny_model: Path) -> None:
    peak = benchmark.bench(tiny_model, threads=1, repeats=1, matrix_sizes=(16, 32))["peak"]
    assert set(peak["all"]) == {"onnxruntime", "numpy (its own threads)", "torch"}
    assert peak["gflops"] == max(peak["all"].values()) == peak["all"][peak["by"]]
    assert peak["side"] in (16, 32)


def test_the_product_is_the_model_that_onnx_writes() -> None:
    model = onnx.load_from_string(benchmark._PRODUCT)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMul"]


def test_median_leaves_out_the_warm_up() -> None:
    calls: list[int] = []
    times = benchmark.median_seconds(lambda: calls.append(0), lambda: calls.append(1), repeats=5)
    assert len(times) == 2
    assert min(times) >= 0
    assert calls == [0, 1] * (5 + benchmark.WARM_UP)  # in turn


def test_without_such_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "no-such-model", "--json"]) == 1
    assert capsys.readouterr().err.startswith("hime: no-such-model: no such model")
