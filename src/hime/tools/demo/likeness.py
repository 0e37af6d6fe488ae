"""How alike restored faces are to the truth, for people who look at the demo."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from hime.errors import HimeError, how_to_install
from hime.evaluation.dlib_distance import DlibDistance
from hime.evaluation.measures import Figures, Identity, Measure, Sample
from hime.pictures.arrays import Image

NAMES = {"psnr": "PSNR", "identity": "likeness", "dlib": "dlib"}
"""Metric → what it is called here."""
EXPLAINED = {
    "identity": "likeness: cosine of SFace embeddings to the truth's, 1 is the same face",
    "dlib": "dlib: distance by a network that no training has seen, 0 is the same face",
}


class Likeness:
    """Both measures of likeness, those of them that are installed.

    Attributes:
        metrics: what is measured: of ``identity`` and ``dlib`` those that can be.
    """

    def __init__(self) -> None:
        self._measures: list[Measure] = []
        with contextlib.suppress(HimeError):
            self._measures.append(Identity())
        with contextlib.suppress(ModuleNotFoundError):
            self._measures.append(DlibDistance())
        names = [name for measure in self._measures for name in measure.metrics]
        self.metrics = tuple(name for name in EXPLAINED if name in names)

    def __call__(self, images: Sequence[Image], truth: Image) -> list[Figures]:
        """The figures of each of ``images``, all uint8 of the truth's size; None where no face is found."""
        figures: list[Figures] = [{} for _ in images]
        for measure in self._measures:
            for mine, more in zip(figures, measure(images, Sample(truth, ())), strict=True):
                mine |= {name: value for name, value in more.items() if name in self.metrics}
        return figures

    def explained(self) -> str:
        """What the figures say, or why there are none."""
        if not self.metrics:
            return f"likeness is not measured: {how_to_install('faces')}"
        return "; ".join(EXPLAINED[name] for name in self.metrics)


def table(rows: Sequence[tuple[str, Figures]], metrics: Sequence[str]) -> list[str]:
    """The figures as lines, below a heading."""
    width = max(len(label) for label, _ in rows)
    lines = [" " * width + "".join(f"{NAMES[name]:>10}" for name in metrics)]
    for label, figures in rows:
        lines.append(label.ljust(width) + "".join(_cell(figures[name]).rjust(10) for name in metrics))
    return lines


def caption(figures: Figures) -> str:
    """Likeness as it stands below a picture."""
    return ", ".join(f"{NAMES[name]} {_cell(figures[name])}" for name in EXPLAINED if name in figures)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
