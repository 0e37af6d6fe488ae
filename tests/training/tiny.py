"""What the tests of training share: a tiny training, and photos that are told by their value."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import torch

from hime.data.people import DEMO_PEOPLE
from hime.training.checkpoint import load_state
from hime.training.photos import Photos, assemble
from hime.training.presets import PRESETS, override

SIZE = 32
SOURCES = [(DEMO_PEOPLE, None)]
TINY_CHANGES = [
    "model.channels=8",
    "model.deformable_groups=2",
    "model.lr_blocks=1",
    "model.reference_blocks=1",
    "model.reconstruction_blocks=2",
    "hr_size=32",
    "batch_size=2",
    "steps=8",
    "warmup_steps=2",
    "precision=fp32",
    "log_every=2",
    "evaluate_every=4",
    "evaluation_pairs=4",
]
TINY = override(PRESETS["small-x4"], TINY_CHANGES)

PROGRAM = """
import sys
from hime.data.people import DEMO_PEOPLE
from hime.training.loop import train
from hime.training.presets import PRESETS, override
train(override(PRESETS["small-x4"], sys.argv[2:]), [(DEMO_PEOPLE, None)], sys.argv[1])
"""

ADVERSARIAL = ["loss.adversarial=0.1", "loss.correlation=0.1", "discriminator_channels=4"]


def uneven(*counts: int) -> Photos:
    """People of ``counts`` photos; the pixels of photo m all have the value m."""
    total = sum(counts)
    images = torch.arange(total, dtype=torch.uint8)[:, None, None, None].expand(total, 3, SIZE, SIZE)
    person = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    names = tuple(f"r/{who}/{row}" for row, who in enumerate(person.tolist()))
    return assemble(images.contiguous(), person, names)


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return dict(load_state(run / "last.safetensors").tensors)


def assert_same_state(one: Path, other: Path) -> None:
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


def launch(changes: list[str], run: Path) -> subprocess.Popen[str]:
    """TINY with ``changes`` in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, str(run), *TINY_CHANGES, *changes]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_state(run: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not (run / "last.safetensors").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
