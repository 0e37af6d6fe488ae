"""The arithmetic of a training's steps: what is asked for, or what the machine is good at.

bf16 pays only where there are instructions for it. Pairs a second of ``small-x4``, 8 pairs a step, three
references, one core of a processor with AMX; in brackets the same processor held to AVX2 (by
``ONEDNN_MAX_CPU_ISA`` and ``ATEN_CPU_CAPABILITY``):

==============  ===========  ===========
layout          fp32         bf16
==============  ===========  ===========
channels-last   11.2  (6.6)  22.8  (0.7)
contiguous      10.6  (6.8)  12.8  (0.5)
==============  ===========  ===========

So "auto" is bf16 and channels-last where the instructions are, fp32 and contiguous elsewhere.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import torch

from hime.processors import cpuinfo
from hime.training.presets import TrainingConfig

BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
"""Those of x86 processors. How a training in bf16 fares on ARM was not measured: fp32 is taken there."""


class Arithmetic(NamedTuple):
    """How a training computes: in bf16 (autocast) or fp32, with maps channels-last or contiguous."""

    precision: Literal["bf16", "fp32"]
    channels_last: bool

    def __str__(self) -> str:
        return f"{self.precision}, {'channels-last' if self.channels_last else 'contiguous'}"


class Settled(NamedTuple):
    """What a run was begun in, and the words that say why."""

    arithmetic: Arithmetic
    words: str


def of_machine(device: torch.device) -> tuple[Arithmetic, str]:
    """What ``device`` is good at, and the reason in a few words."""
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        reason = f"the GPU has {'' if has_bf16 else 'no '}bf16 arithmetic"
    elif device.type == "cpu":
        found = [name for name in BF16_INSTRUCTIONS if name in cpu_features()]
        has_bf16 = bool(found)
        reason = f"the processor has {' and '.join(found) or 'neither ' + ' nor '.join(BF16_INSTRUCTIONS)}"
    else:
        has_bf16, reason = False, f"bf16 was not tried on {device.type}"
    return Arithmetic("bf16" if has_bf16 else "fp32", has_bf16), reason


def cpu_features() -> set[str]:
    """What the processor can do, by the names that Linux has for it (of interest here, also PyTorch's)."""
    if hasattr(torch.cpu, "get_capabilities"):  # not in PyTorch 2.10
        return {name for name, has in torch.cpu.get_capabilities().items() if has is True}
    return set(cpuinfo("flags").split())


def settle(
    config: TrainingConfig, device: torch.device, begun: Settled | None = None
) -> tuple[TrainingConfig, str, str | None]:
    """Replace ``auto`` in a configuration.

    A run that goes on keeps the arithmetic that it was begun in, whatever this machine is good at.

    Args:
        config: as it was asked for.
        device: what the training runs on.
        begun: of the run that is gone on with; None for a new one.

    Returns:
        ``config`` with its precision and layout, the choice in words with the reason, and a warning where the
        run was begun in another one than this machine would choose.
    """
    machine, reason = of_machine(device)
    own = machine if begun is None else begun.arithmetic
    precision, channels_last = config.precision, config.channels_last
    chosen, new = (
        Arithmetic(
            auto.precision if precision == "auto" else precision,
            auto.channels_last if channels_last == "auto" else channels_last,
        )
        for auto in (own, machine)
    )
    settled = dataclasses.replace(config, **chosen._asdict())
    if begun is not None:
        warning = None
        if chosen != new:
            warning = (
                f"begun in {begun.words}, and goes on in it; here {reason}, so that a new run would be "
                f"{new}: steps may be slow, and the result is not bit for bit that of one machine"
            )
        return settled, begun.words, warning
    if "auto" not in (precision, channels_last):
        reason = "as asked for"
    return settled, f"{chosen} ({reason})", None
