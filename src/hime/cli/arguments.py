"""Arguments that several commands share, and what their values must be."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from hime.restoring.devices import DEVICES, PROCESSOR
from hime.restoring.exported import available_models
from hime.restoring.hub import is_address
from hime.terminal import shown

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What a command adds its parser to: the ``add_subparsers`` of ``hime``."""


class Parser(argparse.ArgumentParser):
    """Ends its help with examples, and repeats wrong arguments, which may be names of files, without what
    takes effect on a terminal.

    Args:
        examples: command lines, as they are typed.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.examples = tuple(examples)
        self._given: list[str] = []

    def format_help(self) -> str:
        """What argparse makes of the arguments, and the examples."""
        return self.with_examples(super().format_help())

    def with_examples(self, text: str) -> str:
        """A help with the examples below it, as they are: no line of them is wrapped."""
        if not self.examples:
            return text
        title = "example:" if len(self.examples) == 1 else "examples:"
        return "\n".join([text, title, *(f"  {line}" for line in self.examples), ""])

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What argparse makes of them; remembered for `error`."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Says what is wrong, and of a file's name that was taken for an option how to give it; ends the
        program with status 2.
        """
        unknown = set(self._given) - self._option_string_actions.keys()
        for file in sorted(each for each in unknown if each.startswith("-") and os.path.lexists(each))[:1]:
            message += f"; the file {file} is given as ./{file}"
        super().error(shown(message))


def add_training_data(command: argparse.ArgumentParser, required: bool) -> None:
    """``--data`` and ``--people``; `training_sources` pairs them."""
    command.add_argument(
        "--data",
        required=required,
        action="append",
        type=path,
        metavar="ROOT",
        help="people folder, or a pack of one (`hime prepare --pack`); repeatable",
    )
    command.add_argument(
        "--people",
        action="append",
        default=[],
        type=path,
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
        type=path,
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


def add_device(command: argparse.ArgumentParser) -> None:
    """``--device``."""
    command.add_argument(
        "--device",
        choices=list(DEVICES),
        default=PROCESSOR,
        help="what to run the model on; openvino: the processor too, for many pictures up to twice as fast "
        "where it has bfloat16 (extra openvino); the others need another build of ONNX Runtime; "
        f"default: {PROCESSOR}",
    )


def add_quiet(command: argparse.ArgumentParser) -> None:
    """``--quiet``, which `hime.cli.entry` obeys."""
    command.add_argument(
        "--quiet", action="store_true", help="tell nothing but what failed: no progress, no notes, no summary"
    )


def add_debug(command: argparse.ArgumentParser) -> None:
    """``--debug``."""
    command.add_argument(
        "--debug", action="store_true", help="tell of each failure where in the program it happened"
    )


def path(text: str) -> Path:
    """A path. Nothing is none, though Python takes it for the current folder: it is a variable of the shell
    that was never set.
    """
    if not text:
        raise argparse.ArgumentTypeError("give a path, not '' (. is the current folder)")
    return Path(text)


def name_or_path(text: str) -> str:
    """A model; the folder ``run/`` or ``./run`` is ``run``, so that a training goes on with either.

    Where that is the name of one of the package's models it stays as it was given: ./NAME is a folder.
    """
    if is_address(text):
        return text
    plain = str(path(text))
    return text if plain in available_models() else plain


def path_or_url(text: str) -> Path | str:
    """A path; text that names a URL as it is, since a path would lose a slash of it."""
    return text if "://" in text else path(text)


def positive(text: str) -> int:
    """A whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give a whole number from 1 up, not {text!r}")
    return int(text)


def positive_number(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"give a number above 0, not {text!r}")
    return number


def not_negative(text: str) -> int:
    """A whole number from 0 up."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"give a whole number from 0 up, not {text!r}")
    return int(text)
