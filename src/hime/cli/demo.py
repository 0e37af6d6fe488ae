"""``hime demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from hime.cli.arguments import Commands
from hime.terminal import say


def add_demo(commands: Commands) -> None:
    """The arguments of ``hime demo``."""
    command = commands.add_parser("demo", help="restore the rendered people that come with the package")
    command.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    command.add_argument("--model", action="append", metavar="NAME|DIR", help="default: all in the package")
    command.set_defaults(command=demo)


def demo(options: argparse.Namespace) -> int:
    """``hime demo``."""
    from hime.tools.demo import demo as run_demo

    say(*run_demo(options.out, options.model).split("\n"), "", f"pictures and table in {options.out}")
    return 0
