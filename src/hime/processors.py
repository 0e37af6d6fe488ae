"""Processor cores that this process may use, by its affinity and its container's quota, and work shared out
to them; a fault of theirs.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CPUINFO = Path("/proc/cpuinfo")
AVX_512F = 13
"""OpenCV's number for it (`cv::CpuFeatures`), which its Python module has no name for."""


def usable_threads() -> int:
    """Processor cores that this process may use, at least 1.

    Of a container's quota (control groups of Linux, versions 2 and 1) whole cores count: a thread more would
    be stopped for a part of the time, and those that wait for it with it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, math.floor(min(_quotas(Path("/")), default=cores))))


def limit_threads(threads: int | None = None) -> None:
    """Let `in_parallel`, OpenCV, and what reads and writes videos use so many threads in this process; by
    default all `usable_threads`.
    """
    global _limit
    _limit = threads
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(threads or usable_threads())


def threads() -> int:
    """How many threads work in this process shall use at the most, see `limit_threads`."""
    return _limit or usable_threads()


def in_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], most: int | None = None
) -> Iterator[Result]:
    """What the function gives of each item, in their order, worked on by several threads.

    For functions that spend their time where Python lets other threads run: OpenCV, Pillow, ONNX Runtime.
    What one of these threads hands to `in_parallel` in turn, it does by itself. What an item raises is raised
    where its result is asked for; the items not yet begun are then left.

    Args:
        function: called by several threads at the same time.
        items: its arguments.
        most: threads, where each needs much memory; never more than `limit_threads` allows.
    """
    items = list(items)
    workers = min(len(items), threads(), most or len(items))
    if workers < 2 or getattr(_worker, "is_one", False):
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers, "hime", initializer=setattr, initargs=(_worker, "is_one", True))
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


_limit: int | None = None
_worker = threading.local()


def repeatable_x264() -> dict[str, str]:
    """Options with which libx264 gives the same bits for the same frames.

    Its code for AVX-512 does not always: on a busy machine 7 of 1,200 encodings of the same ten frames came
    out otherwise, of 1,200 without it none. Empty where there is no AVX-512, or no OpenCV to ask.
    """
    try:
        import cv2
    except ModuleNotFoundError:
        return {}
    return {"x264-params": "asm=avx2"} if cv2.checkHardwareSupport(AVX_512F) else {}


def cpuinfo(*keys: str) -> str:
    """The first value of one of these keys in `CPUINFO`; empty where there is none, as where there is no
    Linux.
    """
    lines = (line.partition(":") for line in _text(CPUINFO).splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() in keys), "")


def _quotas(root: Path) -> Iterator[float]:
    """Cores a control group that this process is in may use; none where nothing is limited.

    Within a container its own group is often the root of what can be seen, so the groups above are looked at
    too.

    Args:
        root: of the file system.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        parts = [part for part in group.split("/") if part not in ("", "..")]
        if controllers == "":  # version 2
            for mount in ("sys/fs/cgroup", "sys/fs/cgroup/unified"):
                for folder in _upwards(root / mount, parts):
                    yield from _quota(_text(folder / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for name in (controllers, "cpu"):
                for folder in _upwards(root / "sys/fs/cgroup" / name, parts):
                    values = (_text(folder / f"cpu.cfs_{value}_us").strip() for value in ("quota", "period"))
                    yield from _quota(list(values))


def _upwards(folder: Path, parts: list[str]) -> Iterator[Path]:
    for count in range(len(parts), -1, -1):
        yield folder.joinpath(*parts[:count])


def _quota(values: list[str]) -> Iterator[float]:
    """Microseconds of processors in a period of so many; ``max`` and −1 are no limit."""
    if len(values) == 2 and all(value.isdecimal() for value in values) and int(values[1]) > 0:
        yield int(values[0]) / int(values[1])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:  # no Linux, or no such group
        return ""
