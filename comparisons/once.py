"""Models measured one after another, each kept in a file: the same command goes on where it was."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hime.evaluation.provenance import provenance
from hime.files import write_json


def each_model(
    options: argparse.Namespace, measure: Callable[[str], dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and result of each of ``options.models``; what lies in ``options.out`` is not measured again.

    Args:
        options: with ``models``, ``out``, ``data`` and ``list``.
        measure: measures one model.
    """
    for model in options.models:
        name = Path(model).name
        file = options.out / f"{name}.json"
        if not file.exists():
            result = measure(model)
            write_json(file, {"provenance": provenance(options.data, list=options.list), **result})
        yield name, json.loads(file.read_text(encoding="utf-8"))
