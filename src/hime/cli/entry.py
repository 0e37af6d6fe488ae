"""Where ``hime`` begins: one parser of all commands, one place where errors become words and statuses."""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import NoReturn

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
from hime.terminal import complain, logged, make_ready, shown

log = logging.getLogger(__name__)

TRAINING_PACKAGES = (
    "accelerate",
    "huggingface_hub",
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
    make_ready()
    options = build_parser().parse_args(arguments)
    with logged(logging.DEBUG if getattr(options, "debug", False) else logging.WARNING):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        with _training_packages_named(), ended_by_signals():
            return int(options.command(options))
    except HimeError as error:
        log.debug("%s", options.command.__name__, exc_info=True)
        complain(f"hime: {error}")
        return 1
    except MemoryError:  # of one picture, a batch tells it with its name
        log.debug("%s", options.command.__name__, exc_info=True)
        complain("hime: needs more memory than there is; close other programs, or give less at once")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `hime … | head`: nobody reads on
        return 141


def build_parser() -> argparse.ArgumentParser:
    """The arguments of all commands, in the order in which ``hime --help`` lists them."""
    parser: argparse.ArgumentParser = _Parser(prog="hime", description="Restore small headshots.")
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


class _Parser(argparse.ArgumentParser):
    """Repeats wrong arguments, which may be names of files, without what takes effect on a terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(shown(message))


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
