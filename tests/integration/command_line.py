"""How the tests run commands, and what they look at afterwards."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from hime.cli import main
from hime.restoring.records import FILE

Capture = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def hime_command(*arguments: object, program: str = "") -> subprocess.CompletedProcess[str]:
    """``hime`` in a process of its own, after the lines of ``program``."""
    program += "\nimport sys\nfrom hime.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def files_below(folder: Path) -> list[str]:
    """Everything below, hidden files too, but for the note of what made them."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != FILE]
    return sorted(str(path.relative_to(folder)) for path in files)


def refused(capsys: Capture, *arguments: object) -> str:
    """Run a command that must fail with one line on standard error; the line."""
    assert run(*arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("hime: ")
    return lines[0]


@contextlib.contextmanager
def interrupted_at(folder: Path, number: int, *, after: bool) -> Iterator[None]:
    """Within it Ctrl-C is pressed before or after the file of that number is moved to its place."""
    moves, replace = 0, Path.replace

    def moved(self: Path, target: Path) -> Path:
        nonlocal moves
        parts = target.relative_to(folder).parts if target.is_relative_to(folder) else (".elsewhere",)
        is_result = not any(part.startswith(".") for part in parts)
        is_now = is_result and moves == number
        moves += is_result
        if is_now and not after:
            raise KeyboardInterrupt
        result = replace(self, target)
        if is_now:
            raise KeyboardInterrupt
        return result

    with mock.patch.object(Path, "replace", moved):
        yield
    assert moves == number + 1
