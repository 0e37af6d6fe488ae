"""The command line: each command is a few lines over a function of the library.

A file holds a group of commands; each command's function stands beside the one that describes its
arguments. Exit status: 0 done, 1 something could not be used (``hime: …`` on standard error says what),
2 wrong arguments, 130, 143 and 141 interrupted (SIGINT, SIGTERM, and nobody who reads the output on).
"""

from hime.cli.entry import build_parser, main

__all__ = ["build_parser", "main"]
