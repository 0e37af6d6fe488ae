"""``hime demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from hime.cli.arguments import Commands, path
from hime.terminal import say


def add_demo(commands: Commands) -> None:
    """The arguments of ``hime demo``."""
    command = commands.add_parser(
        "demo",
        help="restore a photograph of a real person, who released it, from her other photos",
        examples=["hime demo --out demo/"],
    )
    command.add_argument("--out", type=path, default=Path("demo"), metavar="DIR", help="default: demo")
    command.add_argument(
        "--photo",
        metavar="NAME",
        help="which of Lisa's eight photos is restored from the others; default: 45cm",
    )
    command.add_argument(
        "--model",
        action="append",
        metavar="NAME|DIR",
        help="for the headshots; default: small-x4-p, small-x8-p",
    )
    command.set_defaults(command=demo)


def demo(options: argparse.Namespace) -> int:
    """``hime demo``."""
    from hime.tools.demo import MODELS, PHOTO
    from hime.tools.demo import demo as run_demo

    say(*run_demo(options.out, options.photo or PHOTO, options.model or MODELS).split("\n"))
    return 0
