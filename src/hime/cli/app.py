"""``hime app``."""

from __future__ import annotations

import argparse

from hime.cli.arguments import Commands, path, positive
from hime.terminal import say

APP_PORT = 8765


def add_app(commands: Commands) -> None:
    """The arguments of ``hime app``."""
    command = commands.add_parser(
        "app",
        help="restore in the browser",
        description="Serves the app for this machine: open the address that it prints. Nothing is uploaded, "
        "the pictures stay in the browser.",
        examples=["hime app", "hime app --export site/    # static files for any web server"],
    )
    command.add_argument(
        "--export", type=path, metavar="DIR", help="write it as a static site instead, for any web server"
    )
    command.add_argument("--port", type=positive, metavar="N", help=f"default: {APP_PORT}")
    command.add_argument(
        "--host",
        metavar="ADDRESS",
        help="answer others than this machine too: 0.0.0.0 in a container whose port is published; "
        "default: this machine alone",
    )
    command.set_defaults(command=app, parser=command)


def app(options: argparse.Namespace) -> int:
    """``hime app``."""
    from hime.tools.serve import LOCAL, export_site, serve

    if options.export is None:
        serve(options.port or APP_PORT, options.host or LOCAL)
        return 0
    for name in ("port", "host"):
        if getattr(options, name) is not None:
            options.parser.error(
                f"--{name} has no effect beside --export, which serves nothing; leave it out"
            )
    say(str(export_site(options.export)))
    return 0
