"""Where ``hime`` begins: one parser of all commands, one place where errors become words and statuses."""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hime import __version__
from hime.cli.app import add_app
from hime.cli.arguments import Commands, Parser
from hime.cli.completion import add_completion
from hime.cli.demo import add_demo
from hime.cli.evaluate import add_evaluate, add_make_list, add_prepare
from hime.cli.info import add_bench, add_info
from hime.cli.reproduce import add_reproduce
from hime.cli.restore import add_person, add_restore
from hime.cli.train import add_export, add_train
from hime.errors import HimeError, how_to_install
from hime.files import ended_by_signals
from hime.terminal import complain, logged, make_ready, note, quiet

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
"""What the extra ``train`` adds."""

GROUPS = (
    ("restore photographs and videos", (add_restore, add_person, add_app)),
    ("see what it can do", (add_demo, add_info, add_bench)),
    (
        "train and measure models",
        (add_prepare, add_train, add_export, add_make_list, add_evaluate, add_reproduce),
    ),
    ("in the shell", (add_completion,)),
)
"""What one may want to do, and what adds the commands for it: in the order of ``hime --help``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; ``arguments`` as after ``hime`` on the command line."""
    make_ready()
    options = build_parser().parse_args(arguments)
    told = quiet() if getattr(options, "quiet", False) else contextlib.nullcontext()
    with told, logged(logging.DEBUG if getattr(options, "debug", False) else logging.WARNING):
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
        if getattr(options, "goes_on", False):
            is_anew = getattr(options, "overwrite", False) or getattr(options, "dry_run", False)
            note("hime: stopped" if is_anew else "hime: stopped; the same command goes on")
        return 130
    except BrokenPipeError:  # `hime … | head`: nobody reads on
        return 141


def build_parser() -> Parser:
    """The arguments of all commands."""
    parser = _Hime(
        prog="hime",
        usage="hime COMMAND …",
        description="Restores small faces in photographs and videos with photos of the same people.",
        epilog="`hime COMMAND --help` tells about each, with examples.",
        examples=["hime restore party.jpg --refs mum/ dad/ --out restored/"],
    )
    parser.add_argument("--version", action="version", version=f"hime {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", prog="hime", parser_class=Parser)
    for title, adding in GROUPS:
        parser.add_group(title, commands, adding)
    return parser


class _Hime(Parser):
    """Lists the commands by what one wants to do; argparse knows one list of them only."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._listed: list[tuple[str, list[argparse.Action]]] = []

    def add_group(self, title: str, commands: Commands, adding: Sequence[Callable[[Commands], None]]) -> None:
        """Add commands that belong together."""
        before = len(commands._choices_actions)
        for add in adding:
            add(commands)
        listed: list[argparse.Action] = [*commands._choices_actions[before:]]
        for action in listed:
            command, summary = commands.choices[action.dest], action.help or ""
            command.description = command.description or f"{summary[:1].upper()}{summary[1:]}."
        self._listed.append((title, listed))

    def format_help(self) -> str:
        """What `argparse.ArgumentParser.format_help` gives, the commands in their groups."""
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, [], [])
        formatter.add_text(self.description)
        options = [action for action in self._actions if action.option_strings]
        for title, listed in [*self._listed, ("options", options)]:
            formatter.start_section(title)
            formatter.add_arguments(listed)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return self.with_examples(formatter.format_help())


@contextlib.contextmanager
def _training_packages_named() -> Iterator[None]:
    """One line with the remedy where a command needs PyTorch and its companions and they are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAINING_PACKAGES:
            raise
        raise HimeError(f"{package} is not installed: {how_to_install('train')}") from error
