"""What is measured once and kept in a file: the same command goes on where it was."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from hime.cli.models import open_measured
from hime.errors import HimeError
from hime.evaluation.provenance import provenance, source_digest
from hime.files import write_json
from hime.restoring.batch import model_digest
from hime.restoring.restorer import Restorer

NOT_ASKED = {"models", "model", "levels", "data", "list", "out", "plot"}
"""Arguments on which the figures of one file do not depend, or of which more is kept than the name."""


def once(
    file: Path, options: argparse.Namespace, restorer: Restorer, measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What ``measure`` gives, kept in ``file`` with ``provenance`` and, as ``asked``, what was asked for.

    Args:
        file: JSON. What lies there is given, and nothing is measured.
        options: the command's arguments, with ``data`` and ``list``; all but `NOT_ASKED` change figures.
        restorer: what is measured.
        measure: measures it.

    Raises:
        HimeError: what lies in ``file`` was asked for differently, or does not tell how.
    """
    source = provenance(options.data, list=options.list)  # of what is measured, not of what lies there later
    asked = {
        "model": model_digest(restorer),
        "code": source_digest(),
        **{name: value for name, value in vars(options).items() if name not in NOT_ASKED},
        **source["data"],
    }
    asked = json.loads(json.dumps(asked))  # as it is read again: no tuples
    if not file.exists():
        write_json(file, {"provenance": source, "asked": asked, **measure()})
        return _read(file)
    kept = _read(file)
    told = kept.get("asked", {})
    if others := [name for name in asked if name not in told or told[name] != asked[name]]:
        raise HimeError(
            f"{file}: holds figures of another {', '.join(others)}, or does not tell; give another --out"
        )
    return kept


def _read(file: Path) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return kept


def each_model(
    options: argparse.Namespace, measure: Callable[[Restorer], dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and result of each of ``options.models``, see `once`; they are kept in ``options.out``.

    Args:
        options: with ``models``, ``out``, ``data`` and ``list``.
        measure: measures one model.

    Raises:
        HimeError: no such model, or as `once`.
    """
    for model in options.models:
        name, restorer = Path(model).name, open_measured(model, threads=1)
        yield name, once(options.out / f"{name}.json", options, restorer, partial(measure, restorer))
