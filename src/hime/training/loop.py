"""The training loop: one function from a configuration and photos to a run folder.

RUN/config.json says what is trained, RUN/last.safetensors holds the whole state, RUN/best.safetensors the
averaged weights that did best on the held-out people, RUN/tensorboard the curves and sample sheets. The same
call again goes on from the last state; since all that is random in step t depends on (seed, t) only, the
result is that of an uninterrupted run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from hime.errors import HimeError
from hime.files import write_atomically
from hime.losses.frozen import spynet_weights
from hime.losses.objective import Objective
from hime.model import HIME
from hime.model.alignment import FlowGuidedAlignment
from hime.model.discriminator import build_discriminator
from hime.model.flow import SpyNet
from hime.training.batches import Batch, Draw, Draws, evaluation_pairs, gather
from hime.training.checkpoint import (
    BEST,
    CONFIG,
    LAST,
    Trained,
    load_model,
    load_state,
    load_weights,
    restore_state,
    save_released,
    save_state,
)
from hime.training.photos import load_photos
from hime.training.presets import ReferenceSampling, TrainingConfig, build_model
from hime.training.steps import discriminator_step, generator_step
from hime.training.widening import is_narrower, widen

if TYPE_CHECKING:
    from hime.losses.lpips import LPIPS

LINE_SECONDS = 30.0
"""Between two lines of progress where standard error is no terminal."""

MAXIMUM_WORKERS = 8
"""Processes that draw batches beside a GPU."""

EVALUATION_BATCH = 16
SAMPLES = 4
"""Pairs on a sample sheet."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The held-out pairs after ``step`` steps, restored with the averaged weights, rounded to 8 bits.

    PSNR in dB on RGB with references, without, and of bicubic; LPIPS with references where the training has
    a perceptual loss, since PSNR is not what such a training improves.
    """

    step: int
    with_references: float
    without_references: float
    bicubic: float
    lpips: float | None = None

    def __str__(self) -> str:
        text = (
            f"step {self.step}: PSNR {self.with_references:.3f} with references, "
            f"{self.without_references:.3f} without, {self.bicubic:.3f} bicubic"
        )
        return text if self.lpips is None else f"{text}; LPIPS {self.lpips:.4f} with references"


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a call of ``train`` did. ``losses``: (step, mean loss since the entry before) in this call."""

    run: Path
    first_step: int
    last_step: int
    seconds: float
    losses: tuple[tuple[int, float], ...]
    evaluations: tuple[Evaluation, ...]

    def __str__(self) -> str:
        lines = [f"{self.run}: steps {self.first_step} → {self.last_step} in {_duration(self.seconds)}"]
        if self.evaluations:
            lines.append(f"  last: {self.evaluations[-1]}")
            lines.append(f"  best: {max(self.evaluations, key=_score)}")
        lines.append(f"  best weights in {self.run / BEST}, the state in {self.run / LAST}")
        return "\n".join(lines)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The rate of step ``step`` (from 0): linear warm-up, then a cosine to the final rate."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine


def ema_decay(config: TrainingConfig, step: int) -> float:
    """The decay of the averaged weights after step ``step`` (from 0): short memory at first."""
    return min(config.ema_decay, (1 + step) / (10 + step))


def train(
    config: TrainingConfig,
    sources: Sequence[tuple[Path | str, Sequence[str] | None]],
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
            used, or the loss is no longer finite (the last good state is kept).
    """
    if steps is not None:
        config = dataclasses.replace(config, steps=steps)
    run = Path(run_dir)
    try:
        accelerator = Accelerator(
            mixed_precision={"bf16": "bf16", "fp32": "no"}[config.precision],
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=config.references == 0)],
        )
        with contextlib.ExitStack() as stack:
            if accelerator.is_main_process:
                stack.enter_context(_sole_owner(run))
            interrupted = stack.enter_context(_signals())
            return _Training(accelerator, config, sources, run, preset, change_steps, targets).run(
                min(stop_at or config.steps, config.steps), interrupted
            )
    finally:
        AcceleratorState._reset_state()  # the precision is global there; another training may follow


class _Training:
    """The objects of a running training; ``run`` is the loop."""

    def __init__(
        self,
        accelerator: Accelerator,
        config: TrainingConfig,
        sources: Sequence[tuple[Path | str, Sequence[str] | None]],
        folder: Path,
        preset: str,
        change_steps: bool,
        targets: Collection[str] | None,
    ) -> None:
        self.accelerator, self.config, self.folder, self.preset = accelerator, config, folder, preset
        if config.batch_size % accelerator.num_processes:
            raise HimeError(
                f"batch_size={config.batch_size} is no multiple of {accelerator.num_processes} processes"
            )
        photos = load_photos(sources, config.hr_size, progress=accelerator.is_main_process)
        for line in photos.skipped:
            self.say(f"left out: {line}")
        if targets is not None:
            photos = photos.restrict(targets)
        training, held_out = photos.split(config.held_out_fraction, config.seed)
        if not all(len(part.targets) for part in (training, held_out) if part is not None):
            raise HimeError(
                "the targets are all of people who are held out, or none is; give more targets, or "
                "held_out_fraction=0"
            )
        self.data = {
            "photos": len(training),
            "people": training.people,
            "sources": sorted({name.partition("/")[0] for name in photos.names}),
            "fingerprint": photos.fingerprint(),
        }
        if targets is not None:
            self.data["targets"] = len(training.targets)
        if accelerator.is_main_process:
            self.claim_folder(change_steps)
        accelerator.wait_for_everyone()

        device = accelerator.device
        self.photos_on_cpu, self.photos = training, training.to(device)
        self.pairs = self.bicubic = None
        if held_out is not None:
            pairs, _ = evaluation_pairs(
                held_out.to(device),
                config.evaluation_pairs,
                config.scale,
                config.references,
                config.seed,
                config.lr_size,
                config.degradation,
            )
            self.pairs, self.bicubic = pairs, psnr(upsample(pairs.lr, config.scale), pairs.hr)
        self.lpips: LPIPS | None = None
        if config.loss.perceptual:
            from hime.losses.lpips import LPIPS

            self.lpips = LPIPS(device=str(device))
        self.sampling = config.sampling if config.references else ReferenceSampling(count_weights=(1.0,))

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = build_model(config)
            self.average = build_model(config).eval()
            discriminator = None
            if config.loss.adversarial:
                discriminator = build_discriminator(config.discriminator, config.discriminator_channels)
        last, flow = folder / LAST, flow_of(self.model)
        if not last.exists():
            start = None if config.init is None else load_model(config.init)[0]
            if flow is not None and config.flow_init == "spynet" and flow_of(start) is None:
                flow.load_state_dict(spynet_weights(flow.state_dict()))
            if start is not None and is_narrower(start.config, self.model.config):
                widen(start, self.model)
            elif start is not None:
                load_weights(self.model, start.state_dict(), Path(str(config.init)))
        if flow is not None and config.flow_rate == 0:
            flow.requires_grad_(False)
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.model.to(device, memory_format=layout)  # type: ignore[call-overload]
        self.average.to(device, memory_format=layout).requires_grad_(False)  # type: ignore[call-overload]
        self.average.load_state_dict(self.model.state_dict())
        self.objective = Objective(config.loss, discriminator).to(device)
        self.trained = {"model": self.with_optimiser(self.model)}
        if discriminator is not None:
            discriminator.to(memory_format=layout)
            self.trained["discriminator"] = self.with_optimiser(discriminator)
        self.step = 0
        self.evaluations: list[Evaluation] = []
        if last.exists():
            state = load_state(last)
            restore_state(state, self.trained, self.average.state_dict(), last)
            self.step = state.step
            self.evaluations = [Evaluation(**entry) for entry in json.loads(state.metadata["evaluations"])]
        self.averages = list(self.average.parameters())
        self.networks = {
            label: accelerator.prepare_model(trained.network) for label, trained in self.trained.items()
        }
        self.parameters = {
            label: list(trained.network.parameters()) for label, trained in self.trained.items()
        }

    def with_optimiser(self, network: nn.Module) -> Trained:
        """``network`` and Adam for it; the optical flow is a group of its own, with its rate's multiple."""
        config, flow = self.config, flow_of(network)
        of_flow = [] if flow is None else list(flow.parameters())
        known = set(of_flow)
        others = [parameter for parameter in network.parameters() if parameter not in known]
        groups = [{"params": others, "multiple": 1.0}]
        if of_flow:
            groups.append({"params": of_flow, "multiple": config.flow_rate})
        optimiser = torch.optim.Adam(
            groups,
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        return Trained(network, optimiser)

    # -- the loop ---------------------------------------------------------------------------------------

    def run(self, stop: int, interrupted: Callable[[], int]) -> Summary:
        """Train up to step ``stop``."""
        config, accelerator = self.config, self.accelerator
        first, began = self.step, time.monotonic()
        losses: list[tuple[int, float]] = []
        if first:
            self.say(f"{self.folder}: going on after step {first} of {config.steps}")
        else:
            parameters = sum(parameter.numel() for parameter in self.parameters["model"])
            processes = accelerator.num_processes
            place = accelerator.device.type if processes == 1 else f"{processes} × {accelerator.device.type}"
            self.say(
                f"{self.folder}: {parameters / 1e6:.3f} M parameters, {self.data['photos']} photos of "
                f"{self.data['people']} people, {config.steps} steps on {place}"
            )
        progress = _Progress(first, stop, config.batch_size, accelerator.is_main_process)
        saved = time.monotonic()
        with self.writer(first) as writer:
            tally = _Tally()
            for drawn in self.draws(stop):
                batch = gather(self.photos, drawn)
                tally.add(self.update(batch))
                self.step += 1
                signal_number = self.agree(interrupted())
                progress.advance(self.step, tally)
                last = self.step == stop or signal_number != 0
                if self.step % config.log_every == 0 or last:
                    means = self.across(tally.means())
                    if not math.isfinite(means["loss"]):
                        raise HimeError(
                            f"{self.folder}: the loss is no longer finite at step {self.step}; the state "
                            "before is kept: try a lower learning_rate or precision=fp32 in a new --out"
                        )
                    losses.append((self.step, means["loss"]))
                    self.log(writer, means, progress.rate())
                    tally = _Tally()
                if self.step % config.evaluate_every == 0 or self.step == config.steps:
                    self.evaluate(writer, progress)
                if last or time.monotonic() - saved >= config.checkpoint_seconds:
                    self.save(tally)
                    saved = time.monotonic()
                if signal_number:
                    progress.close()
                    name = signal.Signals(signal_number).name
                    self.say(
                        f"{self.folder}: stopped by {name} after step {self.step} of {config.steps}, saved; "
                        "the same command goes on"
                    )
                    raise SystemExit(128 + signal_number)
        progress.close()
        summary = Summary(
            self.folder, first, self.step, time.monotonic() - began, tuple(losses), tuple(self.evaluations)
        )
        self.say(str(summary))
        return summary

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One step of every network and of the averaged weights; the loss, its terms, norms of gradients."""
        with self.accelerator.autocast():
            loss, terms, restored = generator_step(self.networks["model"], batch, self.objective)
        norm = self.descend("model", loss, learning_rate(self.config, self.step))
        move_average = get_ema_multi_avg_fn(ema_decay(self.config, self.step))
        move_average(self.averages, self.parameters["model"], self.step)
        told = {"loss": loss.detach(), **terms, "gradient_norm": norm}
        if "discriminator" in self.networks:
            with self.accelerator.autocast():
                loss = discriminator_step(self.networks["discriminator"], batch, restored)
            rate = self.config.discriminator_rate * learning_rate(self.config, self.step)
            norm = self.descend("discriminator", loss, rate)
            told |= {"discriminator": loss.detach(), "discriminator_gradient_norm": norm}
        return told

    def draws(self, stop: int) -> DataLoader[Draw]:
        """What is drawn for the steps from the present one to ``stop``; beside a GPU, ahead of it."""
        config, accelerator = self.config, self.accelerator
        draws = Draws(
            self.photos_on_cpu,
            config.seed,
            config.batch_size,
            config.scale,
            self.sampling,
            total_steps=config.steps,
            part=(accelerator.process_index, accelerator.num_processes),
            lr_sizes=config.lr_sizes,
            window=config.window,
            degradation=config.degradation,
        )
        beside_gpu = accelerator.device.type == "cuda"
        return DataLoader(
            draws,
            batch_size=None,  # a draw is a whole batch
            sampler=range(self.step, stop),
            num_workers=min(MAXIMUM_WORKERS, (os.cpu_count() or 1) - 1) if beside_gpu else 0,
            pin_memory=beside_gpu,
        )

    def descend(self, label: str, loss: Tensor, rate: float) -> Tensor:
        """A step of one network's Adam down the gradient of ``loss``; the gradient's norm before clipping."""
        optimiser = self.trained[label].optimiser
        for group in optimiser.param_groups:
            group["lr"] = rate * group["multiple"]
        self.accelerator.backward(loss)
        norm: Tensor = self.accelerator.clip_grad_norm_(self.parameters[label], self.config.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return norm.detach()

    def agree(self, number: int) -> int:
        """The signal that any process has received, 0 for none: all stop at the same step."""
        if self.accelerator.num_processes == 1:
            return number
        mine = torch.tensor([number], device=self.accelerator.device)
        return int(self.accelerator.gather(mine).max())

    def across(self, means: dict[str, Tensor]) -> dict[str, float]:
        """The means over all processes, as numbers."""
        stacked = torch.stack([mean.float() for mean in means.values()])
        if self.accelerator.num_processes > 1:
            stacked = self.accelerator.reduce(stacked, "mean")
        return dict(zip(means, stacked.tolist(), strict=True))

    # -- what it leaves ---------------------------------------------------------------------------------

    def claim_folder(self, change_steps: bool) -> None:
        """Write config.json; where there is a state already, only if it was trained with the same."""
        path = self.folder / CONFIG
        ours = {
            "format": "hime-run-1",
            "preset": self.preset,
            "config": dataclasses.asdict(self.config),
            "architecture": dataclasses.asdict(self.config.architecture),
            "data": self.data,
        }
        ours = json.loads(json.dumps(ours))  # tuples become lists, as in the file
        if path.exists() and (self.folder / LAST).exists():
            try:
                theirs = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise HimeError(f"{path}: cannot be read ({error}); choose another --out") from error
            # A run of an older version lacks newer keys; it was trained as their defaults say.
            defaults = json.loads(json.dumps(dataclasses.asdict(TrainingConfig())))
            theirs["config"] = {**defaults, **theirs["config"]}
            different = [key for key in _differences(theirs, ours) if key != "preset"]
            if change_steps:
                different = [key for key in different if key != "config.steps"]
            if different:
                raise HimeError(
                    f"{path}: this run was started with other values of "
                    f"{', '.join(key.removeprefix('config.') for key in different)}; "
                    "use those, or choose another --out (and init=RUN to start from its weights)"
                )
        text = json.dumps(ours, indent=2, ensure_ascii=False) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def metadata(self) -> dict[str, str]:
        """What the checkpoints say of themselves."""
        config = self.config
        if config.init is not None:  # a checkpoint travels; where the other one lay does not matter
            config = dataclasses.replace(config, init=Path(config.init).name)
        training = {
            "preset": self.preset,
            "data": self.data["sources"],
            "people": self.data["people"],
            "photos": self.data["photos"],
            "fingerprint": self.data["fingerprint"],
            "steps": self.step,
            "batch_size": config.batch_size,
            "hr_size": config.hr_size,
            "config": dataclasses.asdict(config),
        }
        metrics: dict[str, Any] = {}
        if self.evaluations:
            metrics = {"held_out": dataclasses.asdict(self.evaluations[-1])}
        return {
            "architecture": json.dumps(dataclasses.asdict(self.config.architecture)),
            "preset": self.preset,
            "training": json.dumps(training),
            "metrics": json.dumps(metrics),
            "step": str(self.step),
            "date": datetime.date.today().isoformat(),
            "licence": self.config.licence,
        }

    def save(self, tally: _Tally) -> None:
        """Write the state, unless the loss has become not finite since the last time."""
        if not self.accelerator.is_main_process or not math.isfinite(tally.mean_loss()):
            return
        if self.pairs is None:  # nobody held out: the newest weights are the best known
            save_released(self.folder / BEST, self.average.state_dict(), self.metadata())
        entries = json.dumps([dataclasses.asdict(entry) for entry in self.evaluations])
        save_state(
            self.folder / LAST,
            self.step,
            self.trained,
            self.average.state_dict(),
            {**self.metadata(), "evaluations": entries},
        )

    @contextlib.contextmanager
    def writer(self, step: int) -> Iterator[SummaryWriter | None]:
        """TensorBoard events; those of steps beyond the state that is gone on from are dropped."""
        if not self.accelerator.is_main_process:
            yield None
            return
        writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)
        try:
            yield writer
        finally:
            writer.close()

    def log(self, writer: SummaryWriter | None, means: dict[str, float], rate: float) -> None:
        """Scalars of the steps since the last time."""
        if writer is None:
            return
        for name, mean in means.items():
            writer.add_scalar(f"train/{name}", mean, self.step)
        writer.add_scalar("train/learning_rate", learning_rate(self.config, self.step - 1), self.step)
        writer.add_scalar("train/pairs_per_second", rate, self.step)

    def evaluate(self, writer: SummaryWriter | None, progress: _Progress) -> None:
        """Measure the averaged weights on the held-out pairs; keep them if they are the best so far."""
        if self.pairs is None or self.bicubic is None or writer is None:
            return
        pairs, scale = self.pairs, self.config.scale
        restored = restore_pairs(self.average, pairs)
        nobody = pairs._replace(references=pairs.references[:, :0], present=pairs.present[:, :0])
        alone = restore_pairs(self.average, nobody)
        entry = Evaluation(
            self.step,
            round(psnr(restored, pairs.hr), 4),
            round(psnr(alone, pairs.hr), 4),
            round(self.bicubic, 4),
            None if self.lpips is None else round(mean_lpips(self.lpips, restored, pairs.hr), 4),
        )
        best = max(map(_score, self.evaluations), default=-math.inf)
        self.evaluations.append(entry)
        progress.say(str(entry))
        for name, value in dataclasses.asdict(entry).items():
            if name != "step" and value is not None:
                writer.add_scalar(f"held_out/{name}", value, self.step)
        writer.add_image("held_out/samples", sample_sheet(pairs, restored, scale), self.step)
        if _score(entry) > best:
            save_released(self.folder / BEST, self.average.state_dict(), self.metadata())

    def say(self, text: str) -> None:
        """A line for the user, from one process."""
        if self.accelerator.is_main_process:
            tqdm.write(text, file=sys.stderr)


def flow_of(network: nn.Module | None) -> SpyNet | None:
    """The optical flow of a flow-guided network."""
    alignment = getattr(network, "alignment", None)
    return alignment.flow if isinstance(alignment, FlowGuidedAlignment) else None


# -- evaluation during training -------------------------------------------------------------------------


@torch.no_grad()
def restore_pairs(model: HIME, pairs: Batch) -> Tensor:
    """The restored pairs in full precision: B×3×S×S in [0, 1]."""
    split = (torch.split(tensor, EVALUATION_BATCH) for tensor in (pairs.lr, pairs.references, pairs.present))
    parts = [model(*inputs).hr for inputs in zip(*split, strict=True)]
    return torch.cat(parts).clamp(0, 1)


def upsample(lr: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement, B×3×H×W → B×3×sH×sW, in [0, 1]."""
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", antialias=True).clamp(0, 1)


def psnr(restored: Tensor, truth: Tensor) -> float:
    """Mean over images of the PSNR in dB: RGB, rounded to 8 bits, no border cut; B×3×S×S in [0, 1]."""
    difference = (restored * 255).round() - (truth * 255).round()
    mean_square = difference.square().flatten(1).mean(dim=1).clamp_min(1e-10)
    return float((10 * torch.log10(255**2 / mean_square)).mean())


def sample_sheet(pairs: Batch, restored: Tensor, scale: int) -> Tensor:
    """A row a pair: LR (nearest), bicubic, restored, truth, references; 3×height×width in [0, 1]."""
    lr = pairs.lr[:SAMPLES]
    columns = [F.interpolate(lr, scale_factor=scale, mode="nearest"), upsample(lr, scale)]
    columns += [restored[:SAMPLES], pairs.hr[:SAMPLES], *pairs.references[:SAMPLES].unbind(1)]
    return torch.cat([torch.cat(list(column), dim=1) for column in columns], dim=2).cpu()


def mean_lpips(network: LPIPS, restored: Tensor, truth: Tensor) -> float:
    """Mean LPIPS over images, rounded to 8 bits; B×3×S×S in [0, 1]."""
    rounded = ((image * 255).round() / 255 for image in (restored, truth))
    parts = zip(*(torch.split(image, EVALUATION_BATCH) for image in rounded), strict=True)
    return float(torch.cat([network.distances(*part) for part in parts]).mean())


def _score(evaluation: Evaluation) -> float:
    return evaluation.with_references if evaluation.lpips is None else -evaluation.lpips


# -- progress, ownership, signals -----------------------------------------------------------------------


class _Tally:
    """Sums of the loss terms since the last log entry, kept on the device: no step waits for a number."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0

    def add(self, terms: dict[str, Tensor]) -> None:
        self.steps += 1
        for name, term in terms.items():
            self.sums[name] = self.sums[name] + term if name in self.sums else term

    def means(self) -> dict[str, Tensor]:
        return {name: total / self.steps for name, total in self.sums.items()}

    def mean_loss(self) -> float:
        """Waits for the device. 0 before the first step."""
        return float(self.sums["loss"] / self.steps) if self.steps else 0.0


class _Progress:
    """A bar on a terminal, else a line every half minute."""

    def __init__(self, first: int, stop: int, batch_size: int, visible: bool) -> None:
        self.first, self.stop, self.batch_size = first, stop, batch_size
        self.began = self.shown = time.monotonic()
        self.visible = visible
        self.terminal = visible and sys.stderr.isatty()
        self.bar = tqdm(total=stop, initial=first, unit="step", disable=not self.terminal)
        self.step = first

    def advance(self, step: int, tally: _Tally) -> None:
        self.step = step
        self.bar.update()
        now = time.monotonic()
        if not self.visible or now - self.shown < (1.0 if self.terminal else LINE_SECONDS):
            return
        self.shown = now
        if self.terminal:
            self.bar.set_postfix_str(f"loss {tally.mean_loss():.4f}", refresh=False)
        else:
            left = (now - self.began) / (step - self.first) * (self.stop - step)
            print(
                f"step {step}/{self.stop}  loss {tally.mean_loss():.4f}  {self.rate():.1f} pairs/s  "
                f"{_duration(left)} left",
                file=sys.stderr,
                flush=True,
            )

    def rate(self) -> float:
        """Pairs a second since the start of this call."""
        return (self.step - self.first) * self.batch_size / max(time.monotonic() - self.began, 1e-9)

    def say(self, text: str) -> None:
        if self.visible:
            tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()


@contextlib.contextmanager
def _sole_owner(run: Path) -> Iterator[None]:
    """Hold the run folder; a second training there would overwrite this one's state."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = (run / ".lock").open("w")
    except OSError as error:
        raise HimeError(f"{run}: cannot write there ({error.strerror}); choose another --out") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HimeError(f"{run}: another training is running there; choose another --out") from None
        for leftover in (*run.glob(".*.safetensors"), *run.glob(".config.*.json")):
            leftover.unlink()  # of a process killed while it wrote
        yield


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], int]]:
    """Note SIGINT and SIGTERM instead of ending at once; a second one ends at once."""
    received = 0
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = number
        signal.signal(number, before[number])

    with contextlib.suppress(ValueError):  # only the main thread may set handlers: elsewhere, do without
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.getsignal(number)
            signal.signal(number, note)
    try:
        yield lambda: received
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)


def _differences(theirs: Any, ours: Any, prefix: str = "") -> list[str]:
    """The dotted keys whose values differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = [*ours, *(key for key in theirs if key not in ours)]
        return [
            name
            for key in keys
            for name in _differences(theirs.get(key), ours.get(key), f"{prefix}.{key}" if prefix else key)
        ]
    return [] if theirs == ours else [prefix]


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
