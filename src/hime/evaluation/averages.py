"""What was measured image by image, over all of them: means, 95 % intervals over people, differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.data.people import ListEntry
from hime.evaluation.intervals import PeopleBootstrap
from hime.evaluation.measures import Figures


def summarise(
    names: Sequence[str], baseline: str, metrics: Sequence[str], per_image: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Means, intervals and differences over all images that were measured.

    Args:
        names: of the methods, the first of which the others are compared with.
        baseline: what all are compared with.
        metrics: which.
        per_image: ``input`` and ``{METRIC: value}`` for the baseline and each method.
    """
    people = [ListEntry(image["input"], ()).person for image in per_image]
    bootstrap = PeopleBootstrap(people)
    values = {
        name: {metric: _column([image[name] for image in per_image], metric) for metric in metrics}
        for name in (baseline, *names)
    }
    pairs = [(name, baseline) for name in names] + [(name, names[0]) for name in names[1:]]
    differences = []
    for name, other in pairs:
        with np.errstate(invalid="ignore"):  # of two exact restorations: PSNR is infinite in both
            difference = {metric: values[name][metric] - values[other][metric] for metric in metrics}
        differences.append(
            {
                "method": name,
                "minus": other,
                "mean": _means(difference),
                "interval": _intervals(difference, bootstrap),
            }
        )
    return {
        "images": len(per_image),
        "people": len(set(people)),
        "methods": {name: _means(columns) for name, columns in values.items()},
        "intervals": {name: _intervals(columns, bootstrap) for name, columns in values.items()},
        "differences": differences,
    }


def averaged(
    figures: Sequence[Figures], metrics: Sequence[str], bootstrap: PeopleBootstrap
) -> tuple[dict[str, float | None], dict[str, list[float] | None]]:
    """Mean and 95 % interval of each metric over images, of those where it is known; None where of none."""
    columns = {metric: _column(figures, metric) for metric in metrics}
    return _means(columns), _intervals(columns, bootstrap)


def of_the_photos(of_truth: Sequence[Figures]) -> dict[str, Any]:
    """``truth`` and ``no_face`` of the figures of the photos themselves."""
    return {
        "truth": _means({"identity_references": _column(of_truth, "identity_references")}),
        "no_face": sum(figures["identity"] is None for figures in of_truth),
    }


def rounded(image: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What ``per_image`` says of an image, ready for JSON."""
    figures = {name: {metric: _number(value) for metric, value in image[name].items()} for name in names}
    return {**image, **figures}


def _column(figures: Sequence[Figures], metric: str) -> npt.NDArray[np.float64]:
    """One metric over all images; NaN where it was not measured."""
    return np.array([np.nan if each[metric] is None else each[metric] for each in figures], dtype=np.float64)


def _means(columns: dict[str, npt.NDArray[np.float64]]) -> dict[str, float | None]:
    measured = {metric: values[~np.isnan(values)] for metric, values in columns.items()}
    return {
        metric: _number(float(values.mean())) if values.size else None for metric, values in measured.items()
    }


def _intervals(
    columns: dict[str, npt.NDArray[np.float64]], bootstrap: PeopleBootstrap
) -> dict[str, list[float] | None]:
    found = {metric: bootstrap.interval(values) for metric, values in columns.items()}
    return {
        metric: None if interval is None else [round(end, 4) for end in interval]
        for metric, interval in found.items()
    }


def _number(value: float | None) -> float | None:
    return round(value, 4) if value is not None and math.isfinite(value) else None  # JSON has no infinity
