"""``hime train`` and ``hime export``: from photos to a checkpoint, from a checkpoint to a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from hime.cli.arguments import (
    Commands,
    add_fidelity,
    add_set,
    add_targets,
    add_training_data,
    name_or_path,
    path,
    positive,
    training_sources,
)
from hime.terminal import say


def add_train(commands: Commands) -> None:
    """The arguments of ``hime train``."""
    command = commands.add_parser(
        "train",
        help="train a network; the same command again resumes",
        examples=["hime train small-x4 --data faces/celeba --people train.txt --out runs/mine"],
    )
    command.add_argument("preset", metavar="PRESET", help="for instance small-x4")
    add_training_data(command, required=True)
    command.add_argument("--out", type=path, metavar="RUN", help="run folder; default: runs/PRESET")
    command.add_argument("--steps", type=positive, metavar="N", help="default: the preset's")
    add_set(command, "the preset")
    command.add_argument("--change-steps", action="store_true", help="go on with a run under another --steps")
    add_targets(command)
    command.set_defaults(command=train, parser=command)


def train(options: argparse.Namespace) -> int:
    """``hime train``."""
    sources = training_sources(options)
    from hime.data.people import read_targets
    from hime.training.loop import train as run_training
    from hime.training.presets import override, preset

    run_training(
        override(preset(options.preset), options.set),
        sources,
        options.out or Path("runs") / options.preset,
        options.steps,
        preset=options.preset,
        change_steps=options.change_steps,
        targets=None if options.targets is None else set(read_targets(options.targets)),
    )
    return 0


def add_export(commands: Commands) -> None:
    """The arguments of ``hime export``."""
    command = commands.add_parser(
        "export",
        help="turn a checkpoint into a model that needs no PyTorch",
        examples=["hime export runs/mine --out models/mine"],
    )
    command.add_argument(
        "checkpoint", type=name_or_path, metavar="RUN|CHECKPOINT", help="run folder or .safetensors"
    )
    command.add_argument("--out", required=True, type=path, metavar="DIR", help="folder of the model")
    command.add_argument("--name", help="the model's name; default: the folder's")
    command.add_argument(
        "--reconstruction",
        metavar="NAME",
        help="of a perception-oriented model: the exported reconstruction model at the other end of its "
        "dial, beside DIR or in the package",
    )
    add_fidelity(command, "where that dial stands if nothing is said; default: 0")
    command.set_defaults(command=export)


def export(options: argparse.Namespace) -> int:
    """``hime export``."""
    from hime.tools.export import export as run_export

    folder = run_export(
        options.checkpoint, options.out, options.name, options.reconstruction, options.fidelity
    )
    say(str(folder))
    return 0
