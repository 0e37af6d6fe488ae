"""The training loop: one function from a configuration and photos to a run folder.

The same call again goes on from the last state; since all that is random in step t depends on (seed, t) only,
the result is that of an uninterrupted run. What lies in the folder: `hime.training.run_folder`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list, parse_flag_from_env
from torch import Tensor
from torch.utils.data import DataLoader

from hime.errors import Diverged, HimeError
from hime.training.arithmetic import settle
from hime.training.batches import Draw, Draws, gather
from hime.training.compiling import room_for_shapes
from hime.training.held_out import HeldOut
from hime.training.labels import known_in, labels_fingerprint, read_labels
from hime.training.networks import Networks, learning_rate
from hime.training.packed import PackedImages
from hime.training.photos import Photos, load_photos
from hime.training.presets import TrainingConfig
from hime.training.progress import Curves, Progress, Summary, Tally, noted_signals, say
from hime.training.run_folder import Description, RunFolder

MAXIMUM_WORKERS = 8
"""Processes that draw batches beside a GPU."""

Sources = Sequence[tuple[Path | str, Sequence[str] | None]]


def train(
    config: TrainingConfig,
    sources: Sources,
    run_dir: Path | str,
    steps: int | None = None,
    *,
    preset: str = "",
    stop_at: int | None = None,
    change_steps: bool = False,
    targets: Collection[str] | None = None,
) -> Summary:
    """Train, or go on training, in ``run_dir``.

    On SIGINT or SIGTERM the step is finished, the state saved, and the process ends with status 130 or 143.

    Args:
        config: what to train.
        sources: (root, people or None for all) as ``load_photos`` takes them.
        run_dir: the run folder; made if missing, gone on with if it holds a state.
        steps: length of the training and of its learning rate schedule, instead of ``config.steps``.
        preset: name for the metadata of the checkpoints.
        stop_at: end this call after that step, without changing the schedule; call again to go on.
        change_steps: allow ``steps`` to differ from the run's so far. The rate then follows the new schedule
            from the present step on, so the result is not that of an uninterrupted run of either length.
            Without it a change of any key of the configuration is an error.
        targets: the photos, "ROOT/PERSON/FILE" with ROOT's last part, that may be targets; the others are
            references only. None: all may. Some photos have fewer pixels of their own than they are stored
            with: they would teach softness.

    Raises:
        HimeError: the folder holds another configuration's run, or the data or the configuration cannot be
            used.
        Diverged: a loss, its gradient (the discriminator's too) or what is restored is no longer finite; the
            last good state, if there is one, is kept.
    """
    if steps is not None:
        config = dataclasses.replace(config, steps=steps)
    stop = min(stop_at or config.steps, config.steps)
    folder = RunFolder(Path(run_dir))
    place = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
    with contextlib.ExitStack() as stack:
        if place.is_main_process:
            stack.enter_context(folder.owned())
        interrupted = stack.enter_context(noted_signals())
        stack.enter_context(room_for_shapes(config, place.device))
        config, arithmetic = _settled(config, folder, place)
        accelerator = stack.enter_context(accelerated(config))
        photos, held_out, data = _photos(config, sources, targets, accelerator)
        description = Description(preset, config, data, arithmetic, folder.earlier(config.init))
        if accelerator.is_main_process:
            folder.claim(description, change_steps)
        accelerator.wait_for_everyone()
        return _loop(accelerator, description, folder, photos, held_out, stop, interrupted)


def _loop(
    accelerator: Accelerator,
    description: Description,
    folder: RunFolder,
    photos: Photos,
    held_out: Photos | None,
    stop: int,
    interrupted: Callable[[], int],
) -> Summary:
    """Train up to step ``stop``."""
    config, is_main = description.config, accelerator.is_main_process
    on_device = photos.to(accelerator.device)
    measure = None if held_out is None else HeldOut(held_out.to(accelerator.device), config)
    networks = Networks(config, accelerator, start=None if folder.has_state else photos.images)
    step, evaluations = folder.resume(networks)
    networks.spread()

    first, began, losses = step, time.monotonic(), []
    if is_main:
        say(_opening(accelerator, description, folder, networks, first))
    progress = Progress(first, stop, config.batch_size, is_main)
    saved, signal_number = time.monotonic(), 0
    with _curves(accelerator, folder, first) as curves:
        tally = Tally()
        for drawn in draws_of(accelerator, config, photos, on_device, first, stop):
            tally.add(networks.update(gather(on_device, drawn), step))
            step += 1
            signal_number = _agree(accelerator, interrupted())
            progress.advance(step, tally)
            is_last = step == stop or signal_number != 0

            if step % config.log_every == 0 or is_last:
                means = _across(accelerator, tally.means())
                if not math.isfinite(sum(means.values())):  # of the discriminator too
                    raise _diverged(folder, "a loss or its gradient is", step)
                losses.append((step, means["loss"]))
                if curves is not None:
                    curves.steps(step, means, learning_rate(config, step - 1), progress.rate())
                tally = Tally()

            is_due = step % config.evaluate_every == 0 or step == config.steps
            if is_due and measure is not None and curves is not None:
                evaluation, samples = measure.evaluate(networks.average, step)
                if not math.isfinite(evaluation.score):  # between two looks at the loss
                    raise _diverged(folder, "what the network restores is", step)
                is_best = all(evaluation.score > before.score for before in evaluations)
                evaluations.append(evaluation)
                say(str(evaluation))
                curves.evaluation(evaluation, samples)
                if is_best:
                    folder.save_best(networks, description, step, evaluations)

            if is_last or time.monotonic() - saved >= config.checkpoint_seconds:
                if is_main and tally.is_finite():  # not what has come to nothing since
                    if measure is None:  # nobody held out: the newest weights are the best known
                        folder.save_best(networks, description, step, evaluations)
                    folder.save(networks, description, step, evaluations)
                saved = time.monotonic()
            if signal_number:
                break
    progress.close()
    # While photos were loaded for a run that has no step left, or in the last evaluation or save.
    signal_number = signal_number or _agree(accelerator, interrupted())
    if signal_number and is_main:
        name = signal.Signals(signal_number).name
        told = f"stopped by {name} after step {step} of {config.steps}, saved"
        say(f"{folder}: {told}" + ("; the same command goes on" if step < config.steps else ""))
    if signal_number:
        raise SystemExit(128 + signal_number)
    seconds = time.monotonic() - began
    summary = Summary(folder.path, first, step, seconds, tuple(losses), tuple(evaluations))
    if is_main:
        for line in str(summary).split("\n"):
            say(line)
    return summary


def _diverged(folder: RunFolder, what: str, step: int) -> Diverged:
    kept = "the state before is kept: " if folder.has_state else ""
    return Diverged(
        f"{folder}: {what} no longer finite at step {step}; {kept}try a lower learning_rate or "
        "precision=fp32 in a new --out"
    )


# -- before the first step --------------------------------------------------------------------------------


def _settled(config: TrainingConfig, folder: RunFolder, place: PartialState) -> tuple[TrainingConfig, str]:
    """``config`` with its arithmetic, the same for all processes, and the choice in words."""
    answer: list[tuple[TrainingConfig, str] | None] = [None]
    if place.is_main_process:
        config, words, warning = settle(config, place.device, folder.begun_in())
        if warning is not None:
            say(f"{folder}: {warning}")
        answer = [(config, words)]
    broadcast_object_list(answer)
    (settled,) = answer
    assert settled is not None
    return settled


@contextlib.contextmanager
def accelerated(config: TrainingConfig) -> Iterator[Accelerator]:
    """The processes, their devices and their precision, which is global: another training may follow."""
    try:
        yield Accelerator(
            mixed_precision={"bf16": "bf16", "fp32": "no"}[config.precision],
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=config.references == 0)],
        )
    finally:
        AcceleratorState._reset_state()


def _photos(
    config: TrainingConfig, sources: Sources, targets: Collection[str] | None, accelerator: Accelerator
) -> tuple[Photos, Photos | None, dict[str, Any]]:
    """The photos to train on, those of held-out people, and what config.json says of them."""
    if config.batch_size % accelerator.num_processes:
        raise HimeError(
            f"batch_size={config.batch_size} is no multiple of {accelerator.num_processes} processes"
        )
    photos = load_photos(sources, config.hr_size, progress=accelerator.is_main_process)
    if accelerator.is_main_process:
        for line in photos.skipped:
            say(f"left out: {line}")
    if targets is not None:
        photos = photos.restrict(targets)
        unknown = set(targets).difference(photos.listed_names, photos.names)
        if unknown and accelerator.is_main_process:
            say(
                f"{len(unknown)} of the {len(set(targets))} targets are none of the photos, such as "
                f"{min(unknown)}; photos are called {photos.listed_names[0]}"
            )
    if config.labels is not None:
        labels = read_labels(config.labels, photos.listed_names, config.hr_size, photos.names)
        photos = dataclasses.replace(photos, labels=labels)
        if accelerator.is_main_process:
            say(f"{config.labels}: labels of {known_in(labels)} of {len(photos)} photos")
    training, held_out = photos.split(config.held_out_fraction, config.seed)
    if not all(len(part.targets) for part in (training, held_out) if part is not None):
        raise HimeError(
            "the targets are all of people who are held out, or none is; give more targets, or "
            "held_out_fraction=0"
        )
    data = {
        "photos": len(training),
        "people": training.people,
        "sources": sorted({name.partition("/")[0] for name in photos.names}),
        "fingerprint": photos.fingerprint(),
    }
    if not torch.equal(photos.whose, photos.person):
        # A run of before held out repeats one by one, and took a person's repeats for strangers.
        data["distinct"] = len(photos.whose.unique())
    if config.references == 0 and config.sampling.flip != "even":
        data["flip"] = config.sampling.flip  # a run of before mirrored as "even" does, whatever was asked for
    if targets is not None:
        data["targets"] = len(training.targets)
        data["targets_fingerprint"] = photos.targets_fingerprint()
    if config.labels is not None:
        data["labels_fingerprint"] = labels_fingerprint(photos.labels)
    return training, held_out, data


def _opening(
    accelerator: Accelerator, description: Description, folder: RunFolder, networks: Networks, first: int
) -> str:
    """What is said before the first step."""
    steps, arithmetic, data = description.config.steps, description.arithmetic, description.data
    if first:
        return f"{folder}: going on after step {first} of {steps} in {arithmetic}"
    parameters = sum(parameter.numel() for parameter in networks.parameters["model"])
    processes, kind = accelerator.num_processes, accelerator.device.type
    compiled = ", compiled" if networks.is_compiled else ""
    targets = f", {data['targets']} of them targets" if "targets" in data else ""
    return (
        f"{folder}: {parameters / 1e6:.3f} M parameters, {data['photos']} photos of {data['people']} people"
        f"{targets}, {steps} steps on {kind if processes == 1 else f'{processes} × {kind}'} in {arithmetic}"
        f"{compiled}"
    )


def _curves(
    accelerator: Accelerator, folder: RunFolder, first: int
) -> contextlib.AbstractContextManager[Curves | None]:
    """One process draws them."""
    if not accelerator.is_main_process:
        return contextlib.nullcontext()
    return contextlib.closing(Curves(folder.path, first))


def draws_of(
    accelerator: Accelerator,
    config: TrainingConfig,
    photos: Photos,
    on_device: Photos,
    first: int,
    stop: int,
) -> DataLoader[Draw]:
    """What is drawn for the steps from ``first`` to ``stop``.

    Beside a GPU, ahead of them, and with the pixels of packed photos that it has no room for.
    """
    beside_gpu = accelerator.device.type == "cuda"
    draws = Draws(
        photos,
        config.seed,
        config.batch_size,
        config.scale,
        config.pair_sampling,
        total_steps=config.steps,
        part=(accelerator.process_index, accelerator.num_processes),
        lr_sizes=config.lr_sizes,
        window=config.window,
        degradation=config.degradation,
        on_device=config.degrade_on == "device" or (config.degrade_on == "auto" and beside_gpu),
        with_pixels=beside_gpu and isinstance(on_device.images, PackedImages),
    )
    return DataLoader(
        draws,
        batch_size=None,  # a draw is a whole batch
        sampler=range(first, stop),
        num_workers=min(MAXIMUM_WORKERS, (os.cpu_count() or 1) - 1) if beside_gpu else 0,
        pin_memory=beside_gpu,
    )


# -- across processes -------------------------------------------------------------------------------------


def _agree(accelerator: Accelerator, number: int) -> int:
    """The signal that any process has received, 0 for none: all stop at the same step."""
    if accelerator.num_processes == 1:
        return number
    mine = torch.tensor([number], device=accelerator.device)
    return int(accelerator.gather(mine).max())


def _across(accelerator: Accelerator, means: dict[str, Tensor]) -> dict[str, float]:
    """The means over all processes, as numbers."""
    stacked = torch.stack([mean.float() for mean in means.values()])
    if accelerator.num_processes > 1:
        stacked = accelerator.reduce(stacked, "mean")
    return dict(zip(means, stacked.tolist(), strict=True))
