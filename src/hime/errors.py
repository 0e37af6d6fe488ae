"""The exception that `hime` raises for input it cannot use, and the kinds of it that callers tell apart."""

from __future__ import annotations


class HimeError(ValueError):
    """Bad input: the message is one line that names the file (or argument) and the remedy.

    The command line prints it as ``hime: <message>`` and exits with status 1; everything else that
    escapes is a defect of ours and keeps its traceback.
    """


class Diverged(HimeError):
    """A training whose loss is no longer finite; the last good state, if there is one, is kept."""


class NothingToRestore(HimeError):
    """A picture in which there is nothing to do; the message says why. In a batch that is no failure."""
