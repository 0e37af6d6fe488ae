"""The demo: the rendered people that come with the package, restored by the models that come with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hime.data.people import DEMO_PEOPLE, ListEntry, read_list
from hime.errors import HimeError
from hime.evaluation.metrics import psnr
from hime.files import write_atomically
from hime.pictures.arrays import downscale, upscale
from hime.pictures.reading import read_target
from hime.pictures.sheet import Panel, contact_sheet
from hime.pictures.writing import write_image
from hime.restoring.exported import available_models
from hime.restoring.restorer import Restorer, load
from hime.terminal import track


@dataclass(frozen=True)
class Row:
    """PSNR in dB of one person's headshot with one model.

    Attributes:
        model: the model's name.
        person: who.
        bicubic: of plain enlargement.
        restored: with 0, 1, 2, … references.
    """

    model: str
    person: str
    bicubic: float
    restored: list[float]


def demo(out: Path | str = "demo", models: Sequence[str | Path] | None = None) -> str:
    """Restore the demo people; write OUT/PERSON.png for each and OUT/table.txt.

    A picture has a row a model: LR (each pixel a square) · bicubic · restored · truth · the references with
    their share in the result.

    Args:
        out: folder for the results; made if missing.
        models: names or exported folders; all that come with the package by default.

    Returns:
        The table: PSNR in dB for bicubic and for 0, 1, 2, 3 references.

    Raises:
        HimeError: no model, or ``out`` cannot be written to.
    """
    out = Path(out)
    names = available_models() if models is None else models
    if not names:
        raise HimeError("no model comes with this package; give an exported one with --model")
    restorers = [load(name) for name in names]
    rows: list[Row] = []
    for entry in track(read_list(DEMO_PEOPLE / "list.jsonl"), "demo"):
        results = [_restore(restorer, entry) for restorer in restorers]
        rows += [row for row, _ in results]
        write_image(out / f"{entry.person}.png", contact_sheet([panels for _, panels in results]))
    table = format_table(rows)
    write_atomically(out / "table.txt", lambda file: file.write_text(table + "\n", encoding="utf-8"))
    return table


def _restore(restorer: Restorer, entry: ListEntry) -> tuple[Row, list[Panel]]:
    """One person with one model: the figures, and the pictures with all references."""
    scale = restorer.scale
    size = int(restorer.card["lr_size"]) * scale
    truth = read_target(DEMO_PEOPLE / entry.input, size)
    references = [read_target(DEMO_PEOPLE / name, size) for name in entry.references]
    lr = downscale(truth, scale)
    restorations = []
    for count in range(len(references) + 1):
        restorer.set_references(references[:count])
        restorations.append(restorer.restore(lr))
    bicubic, best = upscale(lr, scale), restorations[-1]
    figures = [psnr(each.image, truth) for each in restorations]
    row = Row(restorer.name, entry.person, psnr(bicubic, truth), figures)
    squares = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    panels: list[Panel] = [
        (f"{entry.person}\n{lr.shape[1]}×{lr.shape[0]}", squares),
        (f"bicubic\n{row.bicubic:.2f} dB", bicubic),
        (f"{restorer.name}\n{row.restored[-1]:.2f} dB", best.image),
        ("truth", truth),
    ]
    panels += [
        (f"reference {number}\n{share:.0%} share", reference)
        for number, (reference, share) in enumerate(zip(references, best.shares, strict=True), start=1)
    ]
    return row, panels


def format_table(rows: Sequence[Row]) -> str:
    """The rows as text: a block a model, with the mean over its people."""
    lines = ["PSNR in dB (rendered people, not photographs: no measure of quality on real ones)"]
    for model in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == model]
        counts = range(len(mine[0].restored))
        mean = Row(
            model,
            "mean",
            float(np.mean([row.bicubic for row in mine])),
            [float(np.mean([row.restored[count] for row in mine])) for count in counts],
        )
        heading = "".join(f"{f'{count} refs' if count != 1 else '1 ref':>9}" for count in counts)
        lines += ["", f"{model:<12}{'bicubic':>9}{heading}"]
        for row in [*mine, mean]:
            figures = "".join(f"{value:>9.2f}" for value in (row.bicubic, *row.restored))
            lines.append(f"{row.person:<12}{figures}")
    return "\n".join(lines)
