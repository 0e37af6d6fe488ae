"""The arithmetic that a training takes by itself, on machines of different kinds, and when it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import SOURCES, TINY, assert_same_state

from hime import HimeError, processors
from hime.training.arithmetic import Arithmetic, Settled, of_machine, settle
from hime.training.checkpoint import load_model
from hime.training.loop import train
from hime.training.presets import TrainingConfig, override

CPU = torch.device("cpu")
GOOD, PLAIN = Arithmetic("bf16", True), Arithmetic("fp32", False)
WITHOUT = "the processor has neither amx_bf16 nor avx512_bf16"
AUTO = override(TINY, ["precision=auto", "channels_last=auto", "steps=4"])


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A function that gives the processor these features and no others."""

    def become(*features: str) -> None:
        capabilities = {"architecture": "x86_64", "avx2": True, "amx_bf16": False, "l1d_cache_size": 49152}
        capabilities |= dict.fromkeys(features, True)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return become


@pytest.mark.parametrize(
    ("features", "expected", "reason"),
    [
        ((), PLAIN, WITHOUT),
        (("avx512_f", "avx512_bw"), PLAIN, WITHOUT),
        (("avx512_bf16",), GOOD, "the processor has avx512_bf16"),
        (("amx_bf16",), GOOD, "the processor has amx_bf16"),
        (("avx512_bf16", "amx_bf16"), GOOD, "the processor has amx_bf16 and avx512_bf16"),
        (("neon", "bf16"), PLAIN, WITHOUT),
    ],
)
def test_a_processor(processor, features: tuple[str, ...], expected: Arithmetic, reason: str) -> None:  # type: ignore[no-untyped-def]
    processor(*features)
    assert of_machine(CPU) == (expected, reason)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16 amx_tile\nbugs\t\t: none\n", GOOD),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512bw\nbugs\t\t: none\n", PLAIN),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", PLAIN),
        ("", PLAIN),
        (None, PLAIN),
    ],
)
def test_a_pytorch_that_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, expected: Arithmetic
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(processors, "CPUINFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert of_machine(CPU)[0] == expected


@pytest.mark.parametrize(("supported", "expected"), [(True, GOOD), (False, PLAIN)])
def test_a_gpu(monkeypatch: pytest.MonkeyPatch, supported: bool, expected: Arithmetic) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert of_machine(torch.device("cuda"))[0] == expected


def test_another_device_is_left_at_fp32() -> None:
    assert of_machine(torch.device("mps")) == (PLAIN, "bf16 was not tried on mps")


@pytest.mark.parametrize(
    ("changes", "precision", "channels_last", "words"),
    [
        ([], "fp32", False, f"fp32, contiguous ({WITHOUT})"),
        (["precision=bf16"], "bf16", False, f"bf16, contiguous ({WITHOUT})"),
        (["channels_last=true"], "fp32", True, f"fp32, channels-last ({WITHOUT})"),
        (["precision=bf16", "channels_last=true"], "bf16", True, "bf16, channels-last (as asked for)"),
    ],
)
def test_what_is_asked_for_comes_first(  # type: ignore[no-untyped-def]
    processor, changes: list[str], precision: str, channels_last: bool, words: str
) -> None:
    processor()
    config, told, warning = settle(override(TrainingConfig(), changes), CPU)
    assert (config.precision, config.channels_last) == (precision, channels_last)
    assert (told, warning) == (words, None)


def test_the_choice_is_said_and_kept(processor, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    processor("avx512_bf16")
    train(AUTO, SOURCES, tmp_path / "halves", stop_at=2)
    words = "bf16, channels-last (the processor has avx512_bf16)"
    assert f"4 steps on cpu in {words}" in capsys.readouterr().err
    written = json.loads((tmp_path / "halves" / "config.json").read_text())
    assert written["arithmetic"] == words
    assert (written["config"]["precision"], written["config"]["channels_last"]) == ("bf16", True)
    train(AUTO, SOURCES, tmp_path / "halves")
    said = capsys.readouterr().err
    assert f"going on after step 2 of 4 in {words}" in said
    assert "begun in" not in said
    train(override(AUTO, ["precision=bf16", "channels_last=true"]), SOURCES, tmp_path / "whole")
    assert_same_state(tmp_path / "whole", tmp_path / "halves")
    _, metadata = load_model(tmp_path / "halves")
    assert json.loads(metadata["training"])["config"]["precision"] == "bf16"


@pytest.mark.parametrize(("first", "second"), [(("amx_bf16",), ()), ((), ("amx_bf16",))])
def test_on_another_machine_a_run_keeps_its_arithmetic_and_says_so(  # type: ignore[no-untyped-def]
    processor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    first: tuple[str, ...],
    second: tuple[str, ...],
) -> None:
    processor(*first)
    begun, _ = of_machine(CPU)
    train(AUTO, SOURCES, tmp_path / "moved", stop_at=2)
    train(AUTO, SOURCES, tmp_path / "stayed")
    before = (tmp_path / "moved" / "config.json").read_text()
    processor(*second)
    capsys.readouterr()
    train(AUTO, SOURCES, tmp_path / "moved")
    said = capsys.readouterr().err
    here, reason = of_machine(CPU)
    assert here != begun
    assert f"begun in {begun} (" in said
    assert f"here {reason}, so that a new run would be {here}" in said
    assert (tmp_path / "moved" / "config.json").read_text() == before
    assert_same_state(tmp_path / "moved", tmp_path / "stayed")


@pytest.mark.parametrize(("first", "second", "warned"), [(True, True, False), (True, False, True)])
def test_what_is_asked_for_is_no_reason_to_warn(processor, first: bool, second: bool, warned: bool) -> None:  # type: ignore[no-untyped-def]
    """The layout, which is not asked for, may be."""
    for changes in (["precision=fp32"], ["precision=bf16"]):
        asked = override(TrainingConfig(), changes)
        processor(*["avx512_bf16"] * first)
        config, words, _ = settle(asked, CPU)
        assert isinstance(config.channels_last, bool)
        begun = Settled(Arithmetic(asked.precision, config.channels_last), words)  # type: ignore[arg-type]
        processor(*["avx512_bf16"] * second)
        _, _, warning = settle(asked, CPU, begun)
        assert (warning is not None) == warned
        if warning is not None:
            assert f"a new run would be {asked.precision}, contiguous:" in warning


def test_a_run_is_not_half_of_each(processor, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    processor("amx_bf16")
    train(AUTO, SOURCES, tmp_path, stop_at=2)
    with pytest.raises(HimeError, match=r"other values of precision, channels_last;"):
        train(override(AUTO, ["precision=fp32", "channels_last=false"]), SOURCES, tmp_path)


def test_a_run_of_the_time_before_auto_goes_on(processor, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Its config.json names the precision and gives no reason."""
    processor()
    train(override(AUTO, ["precision=bf16", "channels_last=true"]), SOURCES, tmp_path, stop_at=1)
    written = json.loads((tmp_path / "config.json").read_text())
    del written["arithmetic"]
    (tmp_path / "config.json").write_text(json.dumps(written))
    assert train(AUTO, SOURCES, tmp_path, stop_at=2).first_step == 1
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["arithmetic"] == "bf16, channels-last"
    assert (written["config"]["precision"], written["config"]["channels_last"]) == ("bf16", True)
