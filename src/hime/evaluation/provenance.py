"""Where a result comes from: the command, the code, the machine and the data that gave it."""

from __future__ import annotations

import datetime
import hashlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any

from hime import __version__
from hime.files import open_file
from hime.processors import cpuinfo, usable_threads
from hime.restoring.inputs import together

PACKAGE = Path(__file__).parents[1]
LIBRARIES = ("numpy", "onnxruntime", "openvino", "torch")
VECTOR_UNITS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "sve")
"""Flags of `/proc/cpuinfo` that say how wide and in which precisions a processor computes."""


def provenance(
    folder: Path | str | None = None, *, command: Sequence[str] | None = None, **files: Path | str | None
) -> dict[str, Any]:
    """What stands in every result that hime writes, under this name.

    Nothing in it tells where on the machine anything lies: of a folder or file it keeps the name.

    Args:
        folder: the people folder, or whatever was measured on.
        command: the words of the command line; by default those that this process was started with.
        files: further files that the figures depend on, by what they are: ``list=…``. None is left out.

    Returns:
        - ``command``: as it was typed, absolute paths cut down to their last part.
        - ``version`` of the package, and ``revision``: the git commit that it runs from, with ``-dirty``
          behind it where tracked files differ from it; None for an installed package.
        - ``machine``: ``processor``, ``cores`` (that this process may use), ``vector_units`` (those of
          `VECTOR_UNITS` that it has), ``graphics`` (None where PyTorch uses none), ``python`` and the version
          of each of `LIBRARIES`, None where it is missing.
        - ``data``: ``folder``, and for each of the files ``name`` and ``sha256``.
        - ``date``: today's, ISO 8601, UTC.

    Raises:
        HimeError: a file cannot be read.
    """
    data: dict[str, Any] = {} if folder is None else {"folder": Path(folder).resolve().name}
    for role, path in files.items():
        if path is not None:
            with open_file(path) as file:  # a video may be larger than memory
                data[role] = {
                    "name": Path(path).name,
                    "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
                }
    return {
        "command": told(sys.argv if command is None else command),
        "version": __version__,
        "revision": revision(Path(__file__)),
        "machine": machine(),
        "data": data,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def told(words: Sequence[str]) -> str:
    """A command line that can be read: the program by its name, absolute paths by their last part."""
    program, *arguments = words
    name = PurePath(program).name
    if name in ("hime", "__main__.py"):
        start = ["hime"]
    else:  # a script: comparisons/peers.py
        start = ["python", "/".join(PurePath(program).parts[-2:])]
    return shlex.join([*start, *(without_place(word) for word in arguments)])


def without_place(word: str) -> str:
    """One argument; of paths that begin at the root or climb, also behind ``--data=``, only the last part."""
    key, sign, value = ("", "", word) if PurePath(word).is_absolute() else word.rpartition("=")
    path = PurePath(value)
    return f"{key}{sign}{path.name if path.is_absolute() or '..' in path.parts else value}"


def revision(file: Path) -> str | None:
    """The commit of the repository that ``file`` belongs to; None without one, or without git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(file.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)  # a package installed below some other repository
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def source_digest(package: Path = PACKAGE) -> str:
    """A digest of a package's code, also of one that is installed, or that differs from its commit."""
    return together(
        f"{file.relative_to(package).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}"
        for file in package.rglob("*.py")
    )


def machine() -> dict[str, Any]:
    """The machine and the libraries that do the work, see `provenance`."""
    flags = cpuinfo("flags", "Features").split()
    return {
        "processor": processor(),
        "cores": usable_threads(),
        "vector_units": [unit for unit in VECTOR_UNITS if unit in flags],
        "graphics": _graphics(),
        "python": platform.python_version(),
        **{library: _version(library) for library in LIBRARIES},
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    return cpuinfo("model name") or platform.processor() or platform.system()


def _graphics() -> str | None:
    """The graphics processor that PyTorch has at hand; not asked for where PyTorch was not needed."""
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name()) if torch is not None and torch.cuda.is_available() else None


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
