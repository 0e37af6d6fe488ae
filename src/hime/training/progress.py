"""What a training says: a bar or lines, TensorBoard's curves, a summary; and the signals that end it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from hime.terminal import complain, is_terminal, shown
from hime.training.checkpoint import BEST, LAST
from hime.training.held_out import Evaluation

LINE_SECONDS = 30.0
"""Between two lines of progress where standard error is no terminal."""


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
            best = max(self.evaluations, key=lambda evaluation: evaluation.score)
            lines.append(f"  last: {self.evaluations[-1]}")
            lines.append(f"  best: {best}")
        lines.append(f"  best weights in {self.run / BEST}, the state in {self.run / LAST}")
        return "\n".join(lines)


class Tally:
    """Sums of the loss terms since the last log entry, kept on the device: no step waits for a number."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0

    def add(self, terms: dict[str, Tensor]) -> None:
        """Those of one step."""
        self.steps += 1
        for name, term in terms.items():
            self.sums[name] = self.sums[name] + term if name in self.sums else term

    def means(self) -> dict[str, Tensor]:
        """Over the steps, still on the device."""
        return {name: total / self.steps for name, total in self.sums.items()}

    def is_finite(self) -> bool:
        """Whether the weights can be: losses and gradients, the discriminator's too, are numbers. Waits
        for the device.
        """
        return math.isfinite(float(sum(self.sums.values())))

    def mean_loss(self) -> float:
        """Waits for the device. 0 before the first step."""
        return float(self.sums["loss"] / self.steps) if self.steps else 0.0


class Progress:
    """A bar on a terminal, else a line every half minute; of several processes one is visible."""

    def __init__(self, first: int, stop: int, batch_size: int, visible: bool) -> None:
        self.first, self.stop, self.batch_size = first, stop, batch_size
        self.began = self.shown = time.monotonic()
        self.visible = visible
        self.terminal = visible and is_terminal(sys.stderr)
        self.bar = tqdm(total=stop, initial=first, unit="step", disable=not self.terminal)
        self.step = first

    def advance(self, step: int, tally: Tally) -> None:
        """``step`` steps are done."""
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
            complain(
                f"step {step}/{self.stop}  loss {tally.mean_loss():.4f}  {self.rate():.1f} pairs/s  "
                f"{_duration(left)} left"
            )

    def rate(self) -> float:
        """Pairs a second since the start of this call."""
        return (self.step - self.first) * self.batch_size / max(time.monotonic() - self.began, 1e-9)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()


class Curves:
    """TensorBoard events in RUN/tensorboard; those of steps beyond ``step``, gone on from, are dropped."""

    def __init__(self, run: Path, step: int) -> None:
        self.writer = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def steps(self, step: int, means: dict[str, float], learning_rate: float, rate: float) -> None:
        """Mean loss terms since the last time, the rate of learning and the pairs a second."""
        for name, mean in means.items():
            self.writer.add_scalar(f"train/{name}", mean, step)
        self.writer.add_scalar("train/learning_rate", learning_rate, step)
        self.writer.add_scalar("train/pairs_per_second", rate, step)

    def evaluation(self, evaluation: Evaluation, samples: Tensor) -> None:
        """What was measured on the held-out people, and a sheet of samples, 3×height×width in [0, 1]."""
        for name, value in dataclasses.asdict(evaluation).items():
            if name != "step" and value is not None:
                self.writer.add_scalar(f"held_out/{name}", value, evaluation.step)
        self.writer.add_image("held_out/samples", samples, evaluation.step)

    def close(self) -> None:
        """Write what is not written yet."""
        self.writer.close()


def say(text: str) -> None:
    """A line for the user, above the bar."""
    if is_terminal(sys.stderr):
        tqdm.write(shown(text), file=sys.stderr)
    else:
        complain(text)


@contextlib.contextmanager
def noted_signals() -> Iterator[Callable[[], int]]:
    """Note SIGINT and SIGTERM instead of ending at once; a second one ends at once.

    One that the block has not ended by, with `SystemExit`, is raised again behind it: another training may
    follow, where an error is caught or the block had nothing left to do.

    Yields:
        A function that gives the number of the signal received, 0 for none.
    """
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
    except SystemExit:
        received = 0
        raise
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)
        if received:
            signal.raise_signal(received)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
