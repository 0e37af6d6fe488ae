"""The exception that `hime` raises for input it cannot use, its kinds, and a remedy that many name."""

from __future__ import annotations


def how_to_install(extra: str) -> str:
    """The remedy where packages of an extra are missing: from the registry, or from a clone."""
    return f'pip install "hime-sr[{extra}]", or in a clone pip install ".[{extra}]"'


class HimeError(ValueError):
    """Bad input: the message is one line that names the file (or argument) and the remedy.

    The command line prints it as ``hime: <message>`` and exits with status 1; everything else that
    escapes is a defect of ours and keeps its traceback.
    """


class Diverged(HimeError):
    """A training whose loss is no longer finite; the last good state, if there is one, is kept."""


class NothingToRestore(HimeError):
    """A picture in which there is nothing to do; the message says why. In a batch that is no failure."""
