"""What a device makes of models beside what the processor makes of them, over an evaluation list.

    python comparisons/on_device.py MODEL… --device openvino --data ROOT --list LIST.jsonl --out DIR

PSNR, SSIM and identity as by `hime evaluate`, dlib's distance as in `peers.py`. Prints the mean of each
metric on the processor, and by how much the device's differs, with its interval over people. ``--out`` gets
``MODEL.json`` of each model, which is not measured again if it is there, and refused if it is of other
arguments, another list or other weights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hime.cli.models import open_measured
from hime.data.people import read_list
from hime.errors import HimeError
from hime.evaluation.degradation import Realistic
from hime.evaluation.dlib_distance import DlibDistance
from hime.evaluation.evaluate import Variant, evaluate
from hime.evaluation.measures import Distortion, Identity, Measure
from hime.experiments.report import with_interval
from hime.processors import limit_threads
from hime.restoring.devices import DEVICES, precision
from once import once


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; exit status 1 if a model or an input could not be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="exported models")
    parser.add_argument("--device", required=True, choices=list(DEVICES))
    parser.add_argument("--data", required=True, type=Path, metavar="ROOT", help="people folder")
    parser.add_argument("--list", required=True, type=Path, metavar="LIST.jsonl", help="of `hime make-list`")
    parser.add_argument("--degradation", choices=("mild", "medium", "strong"), help="default: bicubic")
    parser.add_argument("--seed", type=int, default=0, help="of the degradation; default: 0")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    limit_threads(1)
    try:
        return max(_compare(model, options) for model in options.models)
    except HimeError as error:
        print(f"on_device: {error}", file=sys.stderr)
        return 1


def _compare(model: str, options: argparse.Namespace) -> int:
    """One model on both; whether anything failed."""
    here, there = (open_measured(model, threads=1, device=device) for device in ("cpu", options.device))

    def measured() -> dict[str, Any]:
        return evaluate(
            [here, Variant(there, f"{here.name}, {options.device} {precision(options.device)}")],
            options.data,
            read_list(options.list),
            lr_size=int(here.card["lr_size"]),
            list_name=options.list.name,
            degradation=Realistic(options.degradation, options.seed) if options.degradation else None,
            measures=_measures(),
        )

    result = once(options.out / f"{here.name}.json", options, here, measured)
    (difference,) = (each for each in result["differences"] if each["minus"] == here.name)
    print(f"{difference['method']} − {here.name}, {result['images']} images of {result['people']} people")
    for metric, change in difference["mean"].items():
        mean = with_interval(result["methods"][here.name][metric], None, 4)
        print(f"  {metric:<20} {mean:>8} {with_interval(change, difference['interval'][metric], 4, '+')}")
    return 1 if result["failed"] else 0


def _measures() -> list[Measure]:
    """What tells whether a picture is as true and as much like the person; dlib's if it is installed."""
    measures: list[Measure] = [Distortion(), Identity()]
    try:
        measures.append(DlibDistance())
    except ModuleNotFoundError as error:
        print(f"on_device: {error.name} is not installed (README.md beside this): no dlib", file=sys.stderr)
    return measures


if __name__ == "__main__":
    sys.exit(main())
