"""Progress on standard error: a bar on a terminal, now and then a line elsewhere (logs, pipes)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

from hime.terminal import complain, is_terminal, shown

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Go through ``items`` and show how far it is and how long the rest will take."""
    description = shown(description)
    if is_terminal(sys.stderr):
        yield from tqdm(items, desc=description, leave=False)  # bears a terminal that goes away
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            line = tqdm.format_meter(done, len(items), now - start, prefix=description, ncols=79, ascii=True)
            complain(line)


class Meter:
    """Progress of one thing after another: a bar on a terminal, now and then a line elsewhere.

    Args:
        name: of what is being done.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._step = ""
        self._bar: tqdm[None] | None = None
        self._start = self._last = 0.0

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, step: str, done: int, total: int) -> None:
        """How far it is.

        Args:
            step: what is being done now.
            done: how much of it.
            total: of how much; 0 where nobody knows.
        """
        if step != self._step:
            if self._bar is not None:
                self._bar.close()
            self._step, self._start = step, time.monotonic()
            self._last = self._start
            description = shown(f"{self._name}: {step}")
            self._bar = (
                tqdm(total=total or None, desc=description, leave=False) if is_terminal(sys.stderr) else None
            )
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        elif now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            prefix = f"{self._name}: {step}"
            line = tqdm.format_meter(
                done, total or None, now - self._start, prefix=prefix, ncols=79, ascii=True
            )
            complain(line)
