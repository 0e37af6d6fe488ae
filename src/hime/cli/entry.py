"""Where ``hime`` begins: one parser of all commands, one place where errors become words and statuses."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence

from hime import __version__
from hime.cli.app import add_app
from hime.cli.demo import add_demo
from hime.cli.evaluate import add_evaluate, add_make_list, add_prepare
from hime.cli.info import add_bench, add_info
from hime.cli.reproduce import add_reproduce
from hime.cli.restore import add_person, add_restore
from hime.cli.train import add_export, add_train
from hime.errors import HimeError
from hime.files import ended_by_signals

TRAINING_PACKAGES = (
    "accelerate",
    "matplotlib",
    "onnx",
    "tensorboard",
    "torch",
    "torchmetrics",
    "torchvision",
)
"""What `pip install "hime-sr[train]"` adds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; ``arguments`` as after ``hime`` on the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a × that the terminal cannot show is no reason to stop
    options = build_parser().parse_args(arguments)
    try:
        with _training_packages_named(), ended_by_signals():
            status = int(options.command(options))
            sys.stdout.flush()
            return status
    except HimeError as error:
        print(f"hime: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `hime … | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the last flush, at exit, goes there
        return 141


def build_parser() -> argparse.ArgumentParser:
    """The arguments of all commands, in the order in which ``hime --help`` lists them."""
    parser = argparse.ArgumentParser(prog="hime", description="Restore small headshots.")
    parser.add_argument("--version", action="version", version=f"hime {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_demo(commands)
    add_restore(commands)
    add_person(commands)
    add_train(commands)
    add_evaluate(commands)
    add_make_list(commands)
    add_prepare(commands)
    add_export(commands)
    add_info(commands)
    add_bench(commands)
    add_app(commands)
    add_reproduce(commands)
    return parser


@contextlib.contextmanager
def _training_packages_named() -> Iterator[None]:
    """One line with the remedy where a command needs PyTorch and its companions and they are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAINING_PACKAGES:
            raise
        raise HimeError(f'{package} is not installed: pip install "hime-sr[train]"') from error
