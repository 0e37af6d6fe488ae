"""The one place that writes to the standard streams: plain lines, and how far long work is.

Nothing but a line's text takes effect. Names of files and people, cards and messages of other programs may
hold anything: what would move the cursor, change colours, end the line or turn its direction around is shown
as its code instead. A stream that is closed, full, nobody's or not there at all is no reason to stop.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO, TypeVar

from tqdm import tqdm

from hime.errors import HimeError
from hime.files import reason_of

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0
"""Between lines of progress, where there is no terminal to draw a bar on."""

_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that change the direction of what follows (Unicode Standard Annex 9)."""
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, lone surrogates (bytes of file names that are no letters), and
separators of lines and paragraphs."""


def shown(text: str) -> str:
    r"""The text on one line, with the codes of what does not belong there: ``\x1b``, ``\n``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(
        _code(character) if character in _TURNING or unicodedata.category(character) in _UNSEEN else character
        for character in text
    )


def some_of(names: Sequence[str], most: int = 8) -> str:
    """The first names, ``most`` of them, and how many more there are: "a, b and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _code(character: str) -> str:
    """As in Python; above the ASCII characters also as in JSON."""
    if character < " ":
        return character.encode("unicode_escape").decode()
    return f"\\u{ord(character):04x}"


_IS_QUIET = ContextVar("is_quiet", default=False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it nothing is told that is a courtesy: neither by `say` nor by `note`, and no progress."""
    token = _IS_QUIET.set(True)
    try:
        yield
    finally:
        _IS_QUIET.reset(token)


def say(*lines: str) -> None:
    """Lines to standard output that are a courtesy: if they cannot be written, nothing is lost."""
    if _IS_QUIET.get():
        return
    with contextlib.suppress(OSError, ValueError):
        _write(sys.stdout, lines)


def answer(*lines: str) -> None:
    """Lines to standard output that are what the command is for.

    Raises:
        BrokenPipeError: nobody reads on.
        HimeError: they cannot be written.
    """
    try:
        _write(sys.stdout, lines)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise HimeError(
            f"standard output: cannot write there ({reason_of(error)}); choose another place"
        ) from None


def complain(*lines: str) -> None:
    """Lines to standard error, as far as that takes them."""
    with contextlib.suppress(OSError, ValueError):
        _write(sys.stderr, lines)


def note(*lines: str) -> None:
    """Lines to standard error about what is good to know and no failure."""
    if not _IS_QUIET.get():
        complain(*lines)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks at it."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def make_ready() -> None:
    """At the start of a program: no stream is missing, and none stops at a letter that it cannot show.

    Where a standard stream is closed, the next file to be opened would take its place, and whatever is
    written to the stream, by libraries too, would end up in that file; so the null device takes it first.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno == errno.EBADF:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")


@contextlib.contextmanager
def logged(level: int) -> Iterator[None]:
    """What the program's parts log from that level on goes to standard error as long as the block runs."""
    logger, handler = logging.getLogger("hime"), _Complaining()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Complaining(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        mark = "hime: " if record.levelno >= logging.WARNING else ""
        complain(*f"{mark}{self.format(record)}".split("\n"))


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Go through ``items`` and show how far it is and how long the rest will take."""
    description = shown(description)
    if _IS_QUIET.get():
        yield from items
        return
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
        if _IS_QUIET.get():
            return
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


def _write(stream: TextIO | None, lines: tuple[str, ...]) -> None:
    if stream is None:
        return
    try:
        stream.write("".join(f"{shown(line)}\n" for line in lines))
        stream.flush()
    except OSError:
        _abandon(stream)
        raise


def _abandon(stream: TextIO) -> None:
    """Let what is left in the stream, and what comes, go nowhere: Python flushes once more at its exit."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
