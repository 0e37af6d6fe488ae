"""Progress on standard error: a bar on a terminal, now and then a line elsewhere (logs, pipes)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Go through ``items`` and show how far it is and how long the rest will take."""
    if sys.stderr.isatty():
        yield from tqdm(items, desc=description, leave=False)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            line = tqdm.format_meter(done, len(items), now - start, prefix=description, ncols=79, ascii=True)
            print(line, file=sys.stderr, flush=True)
