"""Processes that do the cases of ``fuzz_restore.py`` and ``fuzz_video.py``, some of which end them."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

Made = TypeVar("Made")


class Worker:
    """A process that does cases, and what it answers.

    Args:
        script: the program, which is called with ``--work``.
        model: its ``--model``.
        environment: variables of its own.
    """

    def __init__(self, script: str, model: str, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, script, "--work", "--model", model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        self.answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        if self.answers.get(timeout=300) is None:
            raise SystemExit("the worker does not start")

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(None)

    def do(self, seed: int, index: int, seconds: float) -> dict[str, Any]:
        """Outcome of a case; a worker that did not give one is gone."""
        assert self.process.stdin is not None
        start = time.monotonic()
        self.process.stdin.write(json.dumps({"seed": seed, "index": index}) + "\n")
        self.process.stdin.flush()
        gone = {"said": "", "status": None, "peak": 0.0, "frames": 0}
        try:
            line = self.answers.get(timeout=seconds)
        except queue.Empty:
            self.close()
            return {**gone, "problem": f"more than {seconds:g} s", "seconds": seconds}
        if line is None:
            return {**gone, "problem": f"the process ended with {self.process.wait()}", "seconds": 0.0}
        return {**json.loads(line), "seconds": time.monotonic() - start}

    @property
    def alive(self) -> bool:
        """Whether it can do another."""
        return self.process.poll() is None

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def in_workers(
    make_case: Callable[[int, int], Made],
    indices: Iterable[int],
    seed: int,
    start: Callable[[], Worker],
    seconds: float,
    batch: int,
) -> Iterator[tuple[Made, dict[str, Any]]]:
    """Every case with how it ended; after ``batch`` of them a worker is replaced."""
    worker: Worker | None = None
    try:
        for done, index in enumerate(indices):
            if worker is not None and (done % batch == 0 or not worker.alive):
                worker.close()
                worker = None
            worker = worker or start()
            yield make_case(seed, index), worker.do(seed, index, seconds)
    finally:
        if worker is not None:
            worker.close()
