"""``hime completion``: what the shell needs to complete commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from hime.cli.arguments import Commands, name_or_path, path, path_or_url
from hime.terminal import answer

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")
"""Those that shtab writes for."""


def add_completion(commands: Commands) -> None:
    """The arguments of ``hime completion``."""
    command = commands.add_parser(
        "completion",
        help="what a shell needs to complete commands, options and files",
        description="Prints a script for the shell. Once it is loaded, Tab completes what belongs to `hime`; "
        "no Python runs for it. Make it again after an update.",
        examples=[
            'eval "$(hime completion bash)"                                          # in ~/.bashrc',
            "hime completion zsh > ~/.zsh/completions/_hime                          # a folder of $fpath",
            "hime completion fish > ~/.config/fish/completions/hime.fish",
        ],
    )
    command.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    command.set_defaults(command=completion)


def completion(options: argparse.Namespace) -> int:
    """``hime completion``."""
    import shtab

    from hime.cli.entry import build_parser

    parser = build_parser()
    for action in _actions(parser):
        if action.type in (path, path_or_url, name_or_path):
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
    answer(*shtab.complete(parser, options.shell).splitlines())
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of the commands in it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
