"""Pictures of an evaluation side by side, so that a person can judge by looking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hime.evaluation.measures import Figures
from hime.pictures.arrays import Image
from hime.pictures.sheet import Panel, contact_sheet


class Sheet:
    """A contact sheet with a row an input: LR, every method, truth, references.

    Its inputs are spread evenly over the list, whatever came out of them.

    Args:
        entries: how many the list has.
        rows: how many of them to show.
    """

    def __init__(self, entries: int, rows: int = 12) -> None:
        self._shown = set(np.linspace(0, entries - 1, min(rows, entries)).round().astype(int).tolist())
        self._rows: list[list[Panel]] = []
        self._headings: list[str] = []

    def shows(self, number: int) -> bool:
        """Whether entry ``number`` of the list is on it."""
        return number in self._shown

    def add(
        self,
        name: str,
        lr: Image,
        methods: Mapping[str, Image],
        figures: Mapping[str, Figures],
        truth: Image,
        references: Sequence[Image],
    ) -> None:
        """Add a row.

        Args:
            name: of the input, PERSON/FILE.
            lr: what was restored; shown with each pixel a square.
            methods: what came out of each method.
            figures: of each method; PSNR and LPIPS are told below its picture.
            truth: the photo.
            references: what the methods were given.
        """
        scale = len(truth) // len(lr)
        panels: list[Panel] = [(name.replace("/", "\n"), lr.repeat(scale, axis=0).repeat(scale, axis=1))]
        panels += [(_caption(figures[method]), image) for method, image in methods.items()]
        panels += [("", truth), *(("", reference) for reference in references)]
        self._rows.append(panels)
        headings = [f"{lr.shape[1]}×{lr.shape[0]}", *methods, "truth"]
        headings += [f"reference {number}" for number in range(1, len(references) + 1)]
        self._headings = max(self._headings, headings, key=len)

    def draw(self) -> Image:
        """The sheet.

        Raises:
            HimeError: there is no row.
        """
        return contact_sheet(self._rows, self._headings)


def _caption(figures: Figures) -> str:
    told = {"psnr": "{:.2f} dB", "lpips": "LPIPS {:.3f}"}
    return "\n".join(
        form.format(value) for metric, form in told.items() if (value := figures.get(metric)) is not None
    )
