"""Pictures handed over damaged at the truth's size, at all published levels: one table.

    python comparisons/given_size.py MODEL --data ROOT --list LIST.jsonl --out results/given-256

For each level of `hime.evaluation.given.LEVELS`: the damaged picture itself; MODEL from the side that the
program chooses for each picture, and from 16, 32 and 64 pixels; and Real-ESRGAN from 64 pixels, if it is
installed (README.md beside this file). Measured as by `hime evaluate --given-size`, and by dlib's distance as
in `peers.py`. ``--out`` gets ``given.md``, and of each level ``LEVEL.json`` and ``LEVEL.png``, a sheet.
The same command goes on where it was: a level whose ``LEVEL.json`` is there is not measured again, and a file
of other arguments, another list or other weights is refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hime.cli.models import open_method
from hime.data.people import read_list
from hime.errors import HimeError
from hime.evaluation.evaluate import GIVEN, Method, Variant, evaluate
from hime.evaluation.given import LEVELS, AnySize, Given
from hime.evaluation.sheet import Sheet
from hime.experiments.report import with_interval
from hime.files import write_atomically
from hime.pictures.arrays import Image, from_planes, resize, to_planes
from hime.pictures.writing import write_image
from hime.restoring.restorer import Restorer
from once import once
from peers import Enlarged, Network, all_measures, real_esrgan

WORKING = (16, 32, 64)
"""Sides in pixels that every picture is restored from, beside the program's choice."""
PEER_SIDE = 64
COLUMNS = {"identity": ("identity", 3), "lpips": ("LPIPS", 3), "dlib": ("dlib", 3), "psnr": ("PSNR", 2)}
"""Heading and decimals of each metric."""


@dataclass(frozen=True)
class Reduced:
    """A ×4 network without references, as a method for pictures of the truth's size."""

    name: str
    network: Network
    side: int = PEER_SIDE
    scale: int = 1

    def set_references(self, images: Sequence[Image]) -> None:
        """They are not used."""

    def restore(self, lr: Image) -> Enlarged:
        """The picture reduced to ``side``, enlarged by the network, brought to its own size."""
        enlarged = from_planes(self.network(to_planes(resize(lr, self.side, self.side))))
        return Enlarged(resize(enlarged, *lr.shape[:2]))


def methods_of(restorer: Restorer) -> list[Method]:
    """What is compared, the program's choice first."""
    methods: list[Method] = [Variant(AnySize(restorer), "chosen")]
    methods += [Variant(AnySize(restorer, side), f"{side} px") for side in WORKING]
    try:
        methods.append(Reduced(f"Real-ESRGAN, {PEER_SIDE} px", real_esrgan()))
    except ModuleNotFoundError as error:
        print(f"given_size: Real-ESRGAN is left out: {error.name} is not installed", file=sys.stderr)
    return methods


def format_markdown(results: dict[str, dict[str, Any]], name: str) -> str:
    """A table for each metric, levels down, methods across; bold: the best of ours."""
    first = next(iter(results.values()))
    ours = ["chosen", *(f"{side} px" for side in WORKING)]
    others = [method for method in first["models"] if method not in ours]
    lines = [
        f"{name}, {first['list']}: {first['images']} images of {first['people']} people, given at "
        f"{first['lr_size']}, {first['references']} references"
    ]
    for metric, (heading, decimals) in COLUMNS.items():
        if metric not in first["methods"][GIVEN]:
            continue
        lines += [
            "",
            f"| {heading} | {' | '.join([GIVEN, *ours, *others])} |",
            "|---" * (len(ours + others) + 2) + "|",
        ]
        for level, result in results.items():
            values = {method: means[metric] for method, means in result["methods"].items()}
            known = [values[method] for method in ours if values[method] is not None]
            best = (max if metric in ("identity", "psnr") else min)(known, default=None)
            cells = [
                f"**{told}**" if values[each] == best is not None else told
                for each in (GIVEN, *ours, *others)
                for told in [with_interval(values[each], None, decimals)]
            ]
            lines.append(f"| {level} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; exit status 1 if an input could not be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL", help="as for `hime evaluate`")
    parser.add_argument("--data", required=True, type=Path, metavar="ROOT", help="people folder")
    parser.add_argument("--list", required=True, type=Path, metavar="LIST.jsonl", help="of `hime make-list`")
    parser.add_argument("--references", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--given-size", type=int, default=256, metavar="PIXELS", help="default: 256")
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=list(LEVELS), metavar="LEVEL")
    parser.add_argument("--seed", type=int, default=0, help="of the damage; default: 0")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        return _compare(options)
    except HimeError as error:
        print(f"given_size: {error}", file=sys.stderr)
        return 1


def _compare(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    _, restorer = open_method(options.model, threads=1)
    methods, measures = methods_of(restorer), all_measures("given_size")

    def measured(level: str) -> dict[str, Any]:
        entries = read_list(options.list)
        sheet = Sheet(len(entries))
        result = evaluate(
            methods,
            options.data,
            entries,
            lr_size=options.given_size,
            list_name=options.list.name,
            references=options.references,
            degradation=Given(level, options.seed),
            measures=measures,
            sheet=sheet,
        )
        if result["images"]:
            write_image(options.out / f"{level}.png", sheet.draw())
        return result

    results: dict[str, dict[str, Any]] = {}
    table = ""
    for level in options.levels:
        file = options.out / f"{level}.json"
        results[level] = once(file, options, restorer, partial(measured, level))
        table = format_markdown(results, restorer.name)
        write_atomically(options.out / "given.md", partial(Path.write_text, data=table, encoding="utf-8"))
    print(table, end="")
    return 1 if any(result["failed"] for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
