"""Arguments that several commands share, and what their values must be."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What a command adds its parser to: the ``add_subparsers`` of ``hime``."""


def add_training_data(command: argparse.ArgumentParser, required: bool) -> None:
    """``--data`` and ``--people``; `training_sources` pairs them."""
    command.add_argument(
        "--data",
        required=required,
        action="append",
        type=Path,
        metavar="ROOT",
        help="people folder; repeatable",
    )
    command.add_argument(
        "--people",
        action="append",
        default=[],
        type=Path,
        metavar="LIST",
        help="a person a line; one for each --data, in the same order; default: everybody",
    )


def training_sources(options: argparse.Namespace) -> list[tuple[Path, list[str] | None]]:
    """Each ``--data`` with the people of its ``--people``, or None for everybody."""
    if options.people and len(options.people) != len(options.data):
        options.parser.error("give one --people for each --data, in the same order (or none: everybody)")
    from hime.data.people import read_people

    everybody: list[list[str] | None] = [None] * len(options.data)
    people = [read_people(path) for path in options.people] or everybody
    return list(zip(options.data, people, strict=True))


def add_targets(command: argparse.ArgumentParser) -> None:
    """``--targets``."""
    command.add_argument(
        "--targets",
        type=Path,
        metavar="LIST",
        help="photos that may be restored, ROOT/PERSON/FILE a line; the others are references; default: all",
    )


def add_set(command: argparse.ArgumentParser, what: str) -> None:
    """``--set``; ``what`` it changes."""
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"change {what}: learning_rate=1e-4, model.channels=24, sampling.temperature=none, …",
    )


def add_fidelity(command: argparse.ArgumentParser, told: str) -> None:
    """``--fidelity``; ``told`` what of."""
    command.add_argument("--fidelity", type=float, metavar="0…1", help=told)


def add_threads(command: argparse.ArgumentParser) -> None:
    """``--threads``."""
    command.add_argument(
        "--threads", type=positive, metavar="N", help="default: all cores that this process may use"
    )


def add_debug(command: argparse.ArgumentParser) -> None:
    """``--debug``."""
    command.add_argument(
        "--debug", action="store_true", help="tell of each failure where in the program it happened"
    )


def positive(text: str) -> int:
    """A whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give a whole number from 1 up, not {text!r}")
    return int(text)


def not_negative(text: str) -> int:
    """A whole number from 0 up."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"give a whole number from 0 up, not {text!r}")
    return int(text)
