"""What the tests of jobs look at: files written, rows recorded, the processes of Ray's workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder that are not hidden."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in sorted(names.items()) if not name.startswith(".")}


def rows(out: Path) -> list[dict[str, Any]]:
    """Every row in the job's files."""
    import pyarrow.parquet as pq

    files = sorted((out / ".hime-job").glob("done-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def workers() -> list[int]:
    """The processes of Ray's workers that restore, of this process's Ray."""
    found = []
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                text = (folder / "stat").read_text()
                title = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            parents[int(folder.name)] = int(text.rpartition(")")[2].split()[1])
            if title.startswith(b"ray::MapWorker"):
                found.append(int(folder.name))

    def is_ours(process: int) -> bool:
        while process in parents:
            if process == os.getpid():
                return True
            process = parents[process]
        return False

    return [process for process in found if is_ours(process)]
