"""How the tests run commands, and what they look at afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
