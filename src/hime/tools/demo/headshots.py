"""The paper's settings, 32→128 and 16→128, on London's headshots: one other photo, another expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hime.data.people import LONDON, ListEntry, read_list
from hime.errors import HimeError
from hime.evaluation.measures import Figures
from hime.evaluation.metrics import psnr
from hime.pictures.arrays import Image, downscale, upscale
from hime.pictures.reading import read_target
from hime.pictures.sheet import Panel, contact_sheet
from hime.pictures.writing import write_image
from hime.restoring.restorer import Restorer, load
from hime.terminal import track
from hime.tools.demo.likeness import Likeness, caption, table

MODELS = ("small-x4-p", "small-x8-p")
"""The perception-oriented ones, whose pictures people like better; those for PSNR have no -p."""
LABELS = ("bicubic", "restored without the other photo", "restored with it")


@dataclass(frozen=True)
class _Case:
    """One headshot with one model: its pictures beside each other, and the figures of each of `LABELS`."""

    panels: list[Panel]
    figures: list[Figures]


def load_models(models: Sequence[str | Path]) -> list[Restorer]:
    """Open the models for the headshots, by name or exported folder.

    Raises:
        HimeError: there is none, one cannot be opened, or two have one name.
    """
    if not models:
        raise HimeError("no model; give an exported one with --model")
    restorers = [load(model) for model in models]
    names = [restorer.name for restorer in restorers]
    for name in names:
        if names.count(name) > 1:
            raise HimeError(f"two models are named {name}; leave one of them out, or give it another name")
    return restorers


def restore_headshots(out: Path, restorers: Sequence[Restorer]) -> str:
    """Restore the ten smiling people of London from their neutral photo; write OUT/london.png.

    Args:
        out: folder for the sheet; made if missing.
        restorers: the models, see `load_models`.

    Returns:
        For each model PSNR and likeness, means over the ten.

    Raises:
        HimeError: ``out`` cannot be written to.
    """
    likeness = Likeness()
    rows: list[list[Panel]] = []
    found: dict[str, list[list[Figures]]] = {restorer.name: [] for restorer in restorers}
    for entry in track(read_list(LONDON / "list.jsonl"), "London"):
        cases = {restorer.name: _restore(restorer, entry, likeness) for restorer in restorers}
        for name, case in cases.items():
            found[name].append(case.figures)
        sides = [int(restorer.card["lr_size"]) * restorer.scale for restorer in restorers]
        truth, other = (read_target(LONDON / name, max(sides)) for name in (entry.input, *entry.references))
        panels = [panel for case in cases.values() for panel in case.panels]
        rows.append([("truth", truth), ("other photo", other), *panels])
    sheet = write_image(out / "london.png", contact_sheet(rows))
    return "\n".join([*_told(found, likeness), f"{sheet} shows them"])


def _restore(restorer: Restorer, entry: ListEntry, likeness: Likeness) -> _Case:
    scale, lr_size = restorer.scale, int(restorer.card["lr_size"])
    truth = read_target(LONDON / entry.input, lr_size * scale)
    others = [read_target(LONDON / name, lr_size * scale) for name in entry.references]
    lr = downscale(truth, scale)
    restorer.set_references([])
    without = restorer.restore(lr).image
    restorer.set_references(others)
    pictures = [upscale(lr, scale), without, restorer.restore(lr).image]
    figures = [
        {"psnr": psnr(picture, truth), **alike}
        for picture, alike in zip(pictures, likeness(pictures, truth), strict=True)
    ]
    squares: Image = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    given = f"{lr_size}x{lr_size}, {restorer.name}"
    captions = [
        f"{label}\n{caption(alike)}" for label, alike in zip(("without", "with"), figures[1:], strict=True)
    ]
    return _Case([(given, squares), *zip(captions, pictures[1:], strict=True)], figures)


def _told(found: Mapping[str, list[list[Figures]]], likeness: Likeness) -> list[str]:
    """The means as lines."""
    metrics = ("psnr", *likeness.metrics)
    lines = ["London, smiling people restored from their neutral photo; means over the ten"]
    for name, people in found.items():
        means = [
            {metric: _mean([each[index][metric] for each in people]) for metric in metrics}
            for index in range(len(LABELS))
        ]
        rows = table(list(zip(LABELS, means, strict=True)), metrics)
        lines += [f"{name}{rows[0][len(name) :]}", *rows[1:]]
    return [*lines, f"({likeness.explained()})"]


def _mean(values: Sequence[float | None]) -> float | None:
    """Over those that could be measured."""
    measured = [value for value in values if value is not None]
    return float(np.mean(measured)) if measured else None
