"""The loop: it resumes exactly, survives being killed, learns, and shares its batches."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import (
    ADVERSARIAL,
    SOURCES,
    TINY,
    TINY_CHANGES,
    assert_same_state,
    launch,
    wait_for_state,
    weights_of,
)

from hime.data.people import DEMO_PEOPLE
from hime.errors import Diverged
from hime.training import loop
from hime.training.batches import Batch, Draw, gather
from hime.training.checkpoint import load_model, load_state
from hime.training.loop import train
from hime.training.networks import Networks
from hime.training.photos import Photos
from hime.training.presets import build_model, override

# The mean losses of steps 1–2, 3–4, … of TINY. They change with the network's initialisation and the order of
# random draws; record them anew (the failing test prints them) when such a change is meant.
GOLDEN = (0.079019, 0.072121, 0.062582, 0.064417)


@pytest.mark.parametrize(
    "changes",
    [
        ["precision=fp32"],
        ["precision=bf16"],
        [*ADVERSARIAL, "precision=fp32"],
        [*ADVERSARIAL, "precision=bf16", "discriminator=unet"],
        ["window=16"],
        ["model=large", "flow_rate=0.1", "held_out_fraction=0"],
        ["model=large", "flow_rate=0", "held_out_fraction=0"],
    ],
    ids=["fp32", "bf16", "adversarial-fp32", "adversarial-bf16", "windows", "slow-flow", "frozen-flow"],
)
def test_k_and_k_steps_are_2k_steps(tmp_path: Path, changes: list[str]) -> None:
    config = override(TINY, changes)
    train(config, SOURCES, tmp_path / "whole")
    half = train(config, SOURCES, tmp_path / "halves", stop_at=4)
    rest = train(config, SOURCES, tmp_path / "halves")
    assert (half.first_step, half.last_step, rest.first_step, rest.last_step) == (0, 4, 4, 8)
    assert_same_state(tmp_path / "whole", tmp_path / "halves")
    best = [load_model(tmp_path / name)[0].state_dict() for name in ("whole", "halves")]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def test_killed_at_any_moment_it_goes_on_to_the_same_result(tmp_path: Path) -> None:
    changes = [*ADVERSARIAL, "steps=60", "checkpoint_seconds=0"]  # a save after every step
    config = override(TINY, changes)
    process = launch(changes, tmp_path / "killed")
    wait_for_state(tmp_path / "killed", process)
    delay = random.SystemRandom().uniform(0, 0.6)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    step = load_state(tmp_path / "killed" / "last.safetensors").step
    print(f"killed {delay:.3f} s after the first save, at step {step}")
    summary = train(config, SOURCES, tmp_path / "killed")
    assert summary.first_step == step
    train(config, SOURCES, tmp_path / "whole")
    assert_same_state(tmp_path / "whole", tmp_path / "killed")
    assert not list((tmp_path / "killed").glob(".*.safetensors"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_where_it_stands(tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = launch(["steps=100000", "checkpoint_seconds=0.5"], tmp_path)
    wait_for_state(tmp_path, process)
    process.send_signal(number)
    _, messages = process.communicate(timeout=600)
    assert process.returncode == status
    step = load_state(tmp_path / "last.safetensors").step
    assert f"stopped by {number.name} after step {step} of 100000, saved" in messages
    assert "Traceback" not in messages


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as Python has it: in what a shell began in the background it is ignored from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("moment", ["load_photos", "HeldOut.evaluate", "RunFolder.save", "Summary.__str__"])
@pytest.mark.usefixtures("ctrl_c")
def test_a_signal_at_the_end_is_not_lost(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no further step that would look at it."""
    if moment == "load_photos":
        train(TINY, SOURCES, tmp_path)  # finished
    owner, _, name = moment.rpartition(".")
    place = getattr(loop, owner) if owner else loop
    function = getattr(place, name)

    def interrupted(*given: Any, **more: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return function(*given, **more)

    monkeypatch.setattr(place, name, interrupted)
    at_last = KeyboardInterrupt if owner == "Summary" else SystemExit
    with pytest.raises(at_last) as stopped:
        train(override(TINY, ["evaluate_every=8"]) if owner else TINY, SOURCES, tmp_path)
    assert at_last is KeyboardInterrupt or stopped.value.code == 130  # type: ignore[attr-defined]
    assert load_state(tmp_path / "last.safetensors").step == 8
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_a_signal_is_not_lost_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(photos: Photos, drawn: Draw) -> Batch:
        signal.raise_signal(signal.SIGINT)
        batch = gather(photos, drawn)
        return batch._replace(lr=batch.lr * math.nan)

    monkeypatch.setattr("hime.training.loop.gather", spoilt)
    with pytest.raises(KeyboardInterrupt):
        train(TINY, SOURCES, tmp_path)


def test_golden_losses(whole: Path, tmp_path: Path) -> None:
    losses = tuple(round(loss, 6) for _, loss in train(TINY, SOURCES, tmp_path).losses)
    assert losses == pytest.approx(GOLDEN, rel=2e-3), losses


def test_training_learns(tmp_path: Path) -> None:
    config = override(TINY, ["steps=60", "learning_rate=2e-3", "evaluate_every=60", "log_every=20"])
    summary = train(config, SOURCES, tmp_path)
    (last,) = summary.evaluations
    assert last.with_references > last.bicubic


def test_without_references(tmp_path: Path) -> None:
    config = override(TINY, ["references=0"])
    train(config, SOURCES, tmp_path, stop_at=4)
    summary = train(config, SOURCES, tmp_path)
    assert summary.evaluations[-1].with_references == summary.evaluations[-1].without_references
    torch.manual_seed(config.seed)
    fresh = build_model(config).state_dict()
    trained = load_model(tmp_path / "last.safetensors")[0].state_dict()
    unchanged = {name.partition(".")[0] for name in fresh if torch.equal(fresh[name], trained[name])}
    assert {"alignment", "reference_features"} <= unchanged
    assert "reconstruction" not in unchanged


def test_a_loss_that_is_not_finite_ends_the_training_before_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(6))

    def spoilt(photos: Photos, drawn: Draw) -> Batch:
        batch = gather(photos, drawn)
        return batch._replace(lr=batch.lr * math.nan) if next(steps) >= 5 else batch

    monkeypatch.setattr("hime.training.loop.gather", spoilt)
    config = override(TINY, ["checkpoint_seconds=0"])  # a save after every step
    with pytest.raises(Diverged, match="no longer finite at step 6"):
        train(config, SOURCES, tmp_path)
    assert load_state(tmp_path / "last.safetensors").step == 5
    assert all(weight.isfinite().all() for weight in weights_of(tmp_path).values())


def test_weights_that_are_no_numbers_are_never_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(photos: Photos, drawn: Draw) -> Batch:
        batch = gather(photos, drawn)
        return batch._replace(lr=batch.lr * math.nan)

    monkeypatch.setattr("hime.training.loop.gather", spoilt)
    config = override(TINY, ["evaluate_every=3", "log_every=100"])  # measured before the loss is looked at
    with pytest.raises(Diverged, match="no longer finite at step 3; try a lower learning_rate"):
        train(config, SOURCES, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("term", ["gradient_norm", "discriminator", "discriminator_gradient_norm"])
def test_a_gradient_or_discriminator_that_is_not_finite_ends_the_training_before_a_save(
    term: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Networks.update

    def spoilt(self: Networks, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        told = update(self, batch, step)
        return {**told, term: told[term] * (math.nan if step == 2 else 1)}

    monkeypatch.setattr(Networks, "update", spoilt)
    config = override(TINY, [*ADVERSARIAL, "checkpoint_seconds=0", "log_every=4", "held_out_fraction=0"])
    with pytest.raises(Diverged, match="at step 4; the state before is kept: try"):
        train(config, SOURCES, tmp_path)
    assert load_state(tmp_path / "last.safetensors").step == 2


def by_two_processes(run: Path, *changes: str) -> str:
    """TINY in two processes, started as a user starts them: what they say."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    settings = [f"--set={change}" for change in (*TINY_CHANGES, *changes)]
    command = [*launcher, "-m", "hime", "train", "small-x4", "--data", str(DEMO_PEOPLE), "--out", str(run)]
    command += settings
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _, messages = process.communicate(timeout=600)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, messages
    return messages


def logged(run: Path, name: str) -> list[float]:
    """The values of a curve in a run's folder, step by step."""
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return [event.value for event in events.Scalars(name)]


def test_two_processes_share_the_batches_of_one(tmp_path: Path) -> None:
    changes = [*ADVERSARIAL, "log_every=1"]
    train(override(TINY, changes), SOURCES, tmp_path / "one")
    messages = by_two_processes(tmp_path / "two", *changes)
    assert messages.count("8 steps on 2 × cpu") == 1
    assert messages.count("step 4: PSNR") == 1  # one of them speaks, measures and writes
    for name in ("train/loss", "train/discriminator", "train/gradient_norm", "held_out/with_references"):
        values = logged(tmp_path / "two", name)
        assert values == pytest.approx(logged(tmp_path / "one", name), rel=1e-3), name  # fp32, other sums


def test_two_processes_go_on_as_one_would(whole: Path, tmp_path: Path) -> None:
    train(TINY, SOURCES, tmp_path, stop_at=4)
    messages = by_two_processes(tmp_path)
    assert messages.count("going on after step 4 of 8") == 1
    ours, theirs = weights_of(tmp_path), weights_of(whole)
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, atol=1e-5, rtol=1e-4)
    for name in ("train/loss", "train/gradient_norm", "held_out/with_references"):
        assert logged(tmp_path, name) == pytest.approx(logged(whole, name), rel=1e-4)
