"""The step compiled: kernels made for the network by `torch.compile`, and on a GPU recorded as CUDA graphs.

A small network's step is a thousand small kernels, and starting them one by one takes longer than they do.
``reduce-overhead`` makes fewer of them and starts those of a pass all at once. Network and losses are
compiled, once for each number of references and size that is drawn; optimiser, clipping and average, a few
kernels each, are not, and neither are a discriminator and the losses that go through it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator

import torch
from torch import nn

from hime.errors import HimeError
from hime.losses.objective import Objective
from hime.training.presets import TrainingConfig

COMPILERS = {"cpu": ("CXX", "g++", "clang++"), "cuda": ("CC", "gcc", "clang", "cc")}
"""What builds kernels for a kind of device: what this variable of the environment names, or one of these."""


def is_compiled(config: TrainingConfig, device: torch.device) -> bool:
    """Whether a training's steps are to be compiled: as asked for, or by "auto" on a GPU that allows it.

    Raises:
        HimeError: it is asked for, and something that it needs is missing.
    """
    if config.compile == "off" or (config.compile == "auto" and device.type != "cuda"):
        return False
    missing = missing_for(device)
    if missing is not None and config.compile != "auto":
        raise HimeError(f"compile={config.compile}: {missing}; install that, or set compile=off")
    return missing is None


def missing_for(device: torch.device) -> str | None:
    """What is missing for compiling to ``device``, in words; None: nothing."""
    if device.type not in COMPILERS:
        return f"steps are not compiled for {device.type}"
    variable, *names = COMPILERS[device.type]
    if not (os.environ.get(variable) or any(map(shutil.which, names))):
        return f"there is no compiler ({', '.join(names)})"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "Triton is not there"
    return None


def compile_step(model: nn.Module, objective: Objective) -> None:
    """Compile the network, and the losses that go through no discriminator, when they are first called."""
    parts = [model, objective] if objective.discriminator is None else [model]
    for part in parts:
        part.compile(mode="reduce-overhead", dynamic=False)


@contextlib.contextmanager
def room_for_shapes(config: TrainingConfig, device: torch.device) -> Iterator[None]:
    """In here so many variants may be compiled as shapes are drawn; PyTorch stops at 8 by default.

    Raises:
        HimeError: as `is_compiled`.
    """
    if not is_compiled(config, device):
        yield
        return
    import torch._dynamo  # takes a second

    shapes = (config.references + 1) * len(set(config.lr_sizes or (0,)))
    with torch._dynamo.config.patch(recompile_limit=max(8, 2 * shapes)):
        yield
