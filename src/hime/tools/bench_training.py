"""How fast a training is on this machine, how much of what the machine could do that is, and what bounds it.

The parts of the loop are timed apart, as the loop puts them together: the loader that draws pairs, and the
step. A loader that takes longer than the step bounds; else, on a GPU, the starting of kernels does where they
are busy for less than `BUSY` of the step; else what is computed.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from torch import Tensor

from hime.data.people import DEMO_PEOPLE
from hime.evaluation.cost import count
from hime.evaluation.provenance import provenance, without_place
from hime.training.arithmetic import settle
from hime.training.batches import Draw, gather
from hime.training.compiling import room_for_shapes
from hime.training.loop import accelerated, draws_of
from hime.training.networks import Networks
from hime.training.photos import Photos, load_photos
from hime.training.presets import TrainingConfig, build_model, override, preset

BUSY = 0.7
"""Of a step; below that a GPU mostly waits for its next kernel."""
MATRIX_SIDES = {"cpu": (1024, 1536, 2048), "cuda": (4096, 8192)}
"""Of the products whose fastest is the peak; those of a processor on any other device."""


def bench_training(
    name: str = "small-x4",
    changes: Sequence[str] = (),
    *,
    steps: int = 20,
    data: Path | None = None,
    matrix_sides: tuple[int, ...] | None = None,
) -> dict[str, Any]:
    """Measure the training that `hime train` would do on this machine's device.

    Args:
        name: of the preset.
        changes: to it, as `hime train --set` takes them.
        steps: timed, after as many that are not.
        data: people folder or pack; None: the rendered people of the package, whose number changes no time.
        matrix_sides: of the square products, of which the fastest is the peak; None: large ones.

    Returns:
        ``provenance``, ``preset``, ``changes``, ``device``, ``arithmetic``, ``compiled``, ``batch_size``,
        ``references`` (the mean that is drawn); ``pairs_per_second`` of the ``loader`` alone, of the ``step``
        alone (pixels gathered, degraded where the device does that, forward, backward, Adam, average), of the
        ``loop`` of both; ``milliseconds`` a step of ``load``, ``step``, ``launch`` (until the processor has
        asked for all of it) and ``busy`` (kernels running; both None on a processor); ``gmacs`` a pair;
        ``peak_gflops`` of products in the step's precision, ``share_of_peak`` of the loop, a step counting as
        three restorations; ``bound_by``: ``loader``, ``launch`` or ``compute``.

    Raises:
        HimeError: no such preset, a change or data that cannot be used.
    """
    config = override(preset(name), changes)
    device = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device  # as a training's
    config, words, _ = settle(config, device)
    with room_for_shapes(config, device), accelerated(config) as accelerator:
        device = accelerator.device
        photos = load_photos([(data or DEMO_PEOPLE, None)], config.hr_size, progress=False)
        on_device = photos.to(device)
        networks = Networks(config, accelerator, start=photos.images)
        networks.spread()

        def drawing(first: int) -> Iterator[Draw]:
            return iter(draws_of(accelerator, config, photos, on_device, first, first + 2 * steps))

        loader = drawing(0)
        drawn = list(itertools.islice(loader, steps))
        load, more = _seconds(lambda: list(loader), device)
        run = _Steps(networks, on_device)
        run.all([*drawn, *more])  # shapes that come up later are known by now
        step, _ = _seconds(lambda: run.all(more), device)
        launch = busy = None
        if device.type == "cuda":
            launch, busy = _launch_seconds(run, more), _busy_seconds(run, more)
        ahead = drawing(2 * steps)
        for first in itertools.islice(ahead, steps):
            run.all([first])
        loop, _ = _seconds(lambda: run.all(ahead), device)
        compiled = networks.is_compiled
    peak = _peak(config, device, matrix_sides or sides_for(device))
    macs, rates = _macs(config), {"loader": load, "step": step, "loop": loop}
    per_second = {part: round(config.batch_size * steps / taken, 2) for part, taken in rates.items()}
    times = {"load": load, "step": step, "launch": launch, "busy": busy}
    return {
        "provenance": provenance(),
        "preset": name,
        "changes": list(map(without_place, changes)),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "arithmetic": words,
        "compiled": compiled,
        "batch_size": config.batch_size,
        "references": round(sum(n * share for n, share in _counts(config)), 3),
        "pairs_per_second": per_second,
        "milliseconds": {
            part: None if taken is None else round(1e3 * taken / steps, 3) for part, taken in times.items()
        },
        "gmacs": round(macs / 1e9, 4),
        "peak_gflops": round(peak, 1),
        "share_of_peak": round(6 * macs * per_second["loop"] / (1e9 * peak), 4),
        "bound_by": bound(load, step, busy),
    }


def sides_for(device: torch.device) -> tuple[int, ...]:
    """Of the square products that a device is measured with."""
    return MATRIX_SIDES.get(device.type, MATRIX_SIDES["cpu"])


def bound(load: float, step: float, busy: float | None) -> str:
    """What takes longest: the drawing of pairs, the starting of kernels, or what they compute; seconds."""
    if load > step:
        return "loader"
    if busy is not None and busy < BUSY * step:
        return "launch"
    return "compute"


def format_bench_training(result: dict[str, Any]) -> str:
    """The result of `bench_training` as text."""
    rates, times = result["pairs_per_second"], result["milliseconds"]
    told = " ".join([result["preset"], *result["changes"]])
    lines = [
        f"training {told}: batch {result['batch_size']}, {result['references']:.2g} references, on "
        f"{result['device']} in {result['arithmetic']}{', compiled' * result['compiled']}",
        f"{'':<8}{'pairs/s':>10}{'ms a step':>11}",
        f"{'loader':<8}{rates['loader']:>10.1f}{times['load']:>11.1f}",
        f"{'step':<8}{rates['step']:>10.1f}{times['step']:>11.1f}",
        f"{'loop':<8}{rates['loop']:>10.1f}",
    ]
    if times["busy"] is not None:
        lines.append(f"of a step: {times['launch']:.1f} ms to start it, kernels busy {times['busy']:.1f} ms")
    work = f"({result['gmacs']:.2f} GMACs a pair, three times)"
    share = f"{result['share_of_peak']:.1%} of {result['peak_gflops']:.0f} GFLOP/s"
    lines.append(f"{share} {work}; bound by: {result['bound_by']}")
    return "\n".join(lines)


class _Steps:
    """Steps of the loop, without what it says and saves."""

    def __init__(self, networks: Networks, photos: Photos) -> None:
        self.networks, self.photos, self.number = networks, photos, 0

    def all(self, drawn: Sequence[Draw] | Iterator[Draw]) -> dict[str, Tensor]:
        """A step for each."""
        told: dict[str, Tensor] = {}
        for one in drawn:
            told = self.networks.update(gather(self.photos, one), self.number)
            self.number += 1
        return told


def _seconds(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Wall time until the device has done all of it, and what it gave."""
    _wait(device)
    start = time.perf_counter()
    result = work()
    _wait(device)
    return time.perf_counter() - start, result


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _launch_seconds(run: _Steps, drawn: Sequence[Draw]) -> float:
    """Until the processor has asked for all steps, each of which begins on a device that waits."""
    total = 0.0
    for one in drawn:
        torch.cuda.synchronize()
        start = time.perf_counter()
        run.all([one])
        total += time.perf_counter() - start
    return total


def _busy_seconds(run: _Steps, drawn: Sequence[Draw]) -> float:
    """How long kernels and copies run on the GPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run.all(drawn)
        torch.cuda.synchronize()
    return float(sum(event.self_device_time_total for event in profile.key_averages())) / 1e6


def _counts(config: TrainingConfig) -> list[tuple[int, float]]:
    """Numbers of references with their shares."""
    weights = config.sampling.count_weights if config.references else (1.0,)
    return [(number, weight / sum(weights)) for number, weight in enumerate(weights)]


def _macs(config: TrainingConfig) -> float:
    """Multiply-adds of a restored pair, the mean over what is drawn."""
    model = build_model(config)
    sides = config.lr_sizes or ((config.window or config.hr_size) // config.scale,)
    of_sides = [
        sum(share * count(model, (side, side), number).macs_total for number, share in _counts(config))
        for side in sides
    ]
    return statistics.fmean(of_sides)


def _peak(config: TrainingConfig, device: torch.device, sides: Sequence[int]) -> float:
    """GFLOP/s of the fastest square product in the step's precision, the best of several."""
    kind = torch.bfloat16 if config.precision == "bf16" else torch.float32
    best = 0.0
    for side in sides:
        left, right = torch.rand(2, side, side, device=device).to(kind)
        taken = min(_seconds(lambda left=left, right=right: left @ right, device)[0] for _ in range(6))  # type: ignore[misc]
        best = max(best, 2 * side**3 / taken / 1e9)
    return best
