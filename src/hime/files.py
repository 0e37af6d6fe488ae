"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from hime.errors import HimeError


def write_atomically(path: Path | str, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a temporary file beside ``path``, then move it there in one step.

    A reader, or a process killed at any moment, sees the old file or the new one, never a part.
    The temporary file keeps the suffix of ``path``, since image writers choose the format by it.
    Missing parent folders are made.

    Raises:
        HimeError: the folder cannot be written to, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(ordinary_mode(0o666))
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise HimeError(f"{path}: cannot write there ({reason}); choose another place") from error
    return path


def ordinary_mode(mode: int) -> int:
    """``mode`` less what the user keeps from others: temporary files and folders are made private."""
    umask = os.umask(0)
    os.umask(umask)
    return mode & ~umask


def write_json(path: Path | str, value: object) -> Path:
    """Write a value as JSON that is pleasant to read, whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    content = text.encode("utf-8", errors="replace")  # a file's name may hold bytes that are no letters
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))
