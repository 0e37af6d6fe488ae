"""Table 1: our models beside the systems that the paper compares, setting by setting."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hime.data.people import ListEntry, read_list
from hime.errors import HimeError
from hime.evaluation.averages import averaged
from hime.evaluation.cost import breakdown, network_of
from hime.evaluation.evaluate import BASELINE, Method, Restored, evaluate
from hime.evaluation.intervals import PeopleBootstrap
from hime.evaluation.measures import Distortion, Measure, Perception
from hime.evaluation.provenance import provenance
from hime.experiments.comparison_page import markdown, plot
from hime.experiments.report import save_figure, write_text
from hime.experiments.tables import METRICS
from hime.files import write_json
from hime.pictures.arrays import Image
from hime.restoring.card import trainings_of
from hime.restoring.restorer import Restorer
from hime.terminal import complain

Setting = tuple[int, int]
"""LR side in pixels, and scale."""


@dataclasses.dataclass(frozen=True)
class Published:
    """A row of the paper's Table 1 as printed; ``parameters`` in millions, ``gmacs`` for one headshot."""

    method: str
    psnr: float
    ssim: float
    lpips: float
    parameters: float | None = None
    gmacs: float | None = None


PUBLISHED: dict[Setting, tuple[Published, ...]] = {
    (32, 4): (
        Published("Bicubic", 25.64, 0.7752, 0.3229),
        Published("SRNTT", 28.02, 0.8434, 0.0682, 6.30, 36.47),
        Published("TTSR", 27.31, 0.8346, 0.0633, 6.73, 26.62),
        Published("SPARNet", 20.50, 0.6118, 0.1617, 85.73, 45.25),
        Published("PSFR-GAN", 25.47, 0.7709, 0.0981, 67.05, 117.84),
        Published("HIME_rec (small)", 29.11, 0.8794, 0.1136, 0.87, 1.86),
        Published("HIME_p (small)", 27.16, 0.8269, 0.0464, 0.87, 1.86),
        Published("HIME_rec (large)", 29.23, 0.8817, 0.1102, 9.23, 6.06),
        Published("HIME_p (large)", 27.05, 0.8224, 0.0461, 9.23, 6.06),
    ),
    (64, 4): (
        Published("Bicubic", 28.40, 0.8169, 0.2860),
        Published("SRNTT", 30.41, 0.8552, 0.0906, 6.30, 145.89),
        Published("TTSR", 29.87, 0.8484, 0.0851, 6.73, 106.48),
        Published("SPARNet", 23.26, 0.6990, 0.1341, 85.73, 180.99),
        Published("PSFR-GAN", 26.62, 0.7685, 0.1039, 67.05, 161.89),
        Published("DFDNet", 21.55, 0.6587, 0.1581, 133.34, 601.04),
        Published("HIME_rec (small)", 31.24, 0.8785, 0.1611, 0.87, 7.48),
        Published("HIME_p (small)", 29.06, 0.8262, 0.0633, 0.87, 7.48),
        Published("HIME_rec (large)", 31.28, 0.8789, 0.1600, 9.23, 24.24),
        Published("HIME_p (large)", 29.16, 0.8272, 0.0641, 9.23, 24.24),
    ),
    (16, 8): (
        Published("Bicubic", 21.83, 0.5929, 0.5247),
        Published("PFSR", 21.44, 0.5778, 0.2065, 10.08, 8.97),
        Published("FSRNet", 20.03, 0.5749, 0.2865, 15.52, 3.20),
        Published("GWAInet", 21.96, 0.5844, 0.2056, 4.29, 6.55),
        Published("SPARNet", 19.00, 0.5022, 0.2576, 85.73, 45.25),
        Published("PSFR-GAN", 22.05, 0.6102, 0.2062, 67.05, 117.84),
        Published("HIME_rec (small)", 24.54, 0.7411, 0.2433, 0.90, 0.49),
        Published("HIME_p (small)", 22.45, 0.6338, 0.1297, 0.90, 0.49),
        Published("HIME_rec (large)", 24.68, 0.7467, 0.2361, 9.26, 4.49),
        Published("HIME_p (large)", 23.35, 0.6744, 0.1313, 9.26, 4.49),
    ),
}


def comparison_table(
    restorers: Sequence[Restorer],
    list_root: Path,
    list_path: Path,
    out: Path | str,
    *,
    references: int = 3,
) -> str:
    """Measure models on one list and write them beside the paper's Table 1: OUT/table1.md, .json and .png.

    Args:
        restorers: models with different names; each is measured in the setting of its card.
        list_root: people folder below which the paths of the list lie.
        list_path: evaluation list.
        out: folder for the results; made if missing.
        references: how many the models get.

    Returns:
        The Markdown.

    Raises:
        HimeError: no model has a setting of the table, nothing of the list can be measured, or what
            `evaluate` raises.
    """
    contenders = [Contender(each, each.card, references) for each in restorers]
    settings = by_setting(contenders)
    if not any(settings.values()):
        raise HimeError("table1: no model of its settings, 32→128, 64→256 or 16→128; give one with --model")
    measures: list[Measure] = [Distortion(), Perception()]
    source, entries = provenance(list_root, list=list_path), read_list(list_path)
    compared, left_out = compare_all(settings, list_root, list_path, entries, references, measures)
    others = without_row(contenders, settings, left_out)
    return write_comparison(Path(out), comparison_result(source, compared, list_path, references, others))


@dataclasses.dataclass(frozen=True)
class Contender:
    """A row of ours: how it restores, what it is, and how many references it gets.

    ``paper``: the row of the paper's table that it stands beside, if one. ``oracle``: the row that takes, of
    all contenders with the same ``oracle``, the picture with the highest PSNR: what nobody can know who has
    not the truth. ``is_shown``: whether it has a row of its own.
    """

    method: Method
    card: Mapping[str, Any]
    references: int
    paper: str | None = None
    oracle: str | None = None
    is_shown: bool = True

    @property
    def name(self) -> str:
        """The method's."""
        return self.method.name


class Timed:
    """A method whose time is taken: the references given and one headshot restored, seconds each."""

    def __init__(self, method: Method) -> None:
        self.method, self.name, self.scale = method, method.name, method.scale
        self.seconds: list[float] = []
        self._began = 0.0

    def set_references(self, images: Sequence[Image]) -> None:
        """As the method."""
        self._began = time.perf_counter()
        self.method.set_references(images)

    def restore(self, lr: Image) -> Restored:
        """As the method."""
        restored = self.method.restore(lr)
        self.seconds.append(time.perf_counter() - self._began)
        return restored


def by_setting(contenders: Sequence[Contender]) -> dict[Setting, list[Contender]]:
    """The table's settings and who is made for each."""
    return {
        setting: [each for each in contenders if (int(each.card["lr_size"]), each.method.scale) == setting]
        for setting in PUBLISHED
    }


def without_row(
    contenders: Sequence[Contender],
    settings: Mapping[Setting, Sequence[Contender]],
    left_out: Collection[str],
) -> list[str]:
    """The names of those that are of none of the ``settings``, or were ``left_out`` by `compare_all`."""
    known = {each.name for members in settings.values() for each in members} - set(left_out)
    return [each.name for each in contenders if each.is_shown and each.name not in known]


def comparison_result(
    source: Mapping[str, Any],
    settings: Sequence[Mapping[str, Any]],
    list_path: Path,
    references: int,
    other_settings: Sequence[str],
) -> dict[str, Any]:
    """What table1.json holds: ``source`` of `provenance`, ``settings`` of `compare`, ``other_settings`` who
    was left out.
    """
    return {
        "provenance": dict(source),
        "experiment": "table1",
        "list": list_path.name,
        "references": references,
        "settings": list(settings),
        "other_settings": list(other_settings),
    }


def write_comparison(out: Path, result: Mapping[str, Any]) -> str:
    """Write OUT/table1.md, .json and .png; returns the Markdown."""
    text = markdown(result)
    write_json(out / "table1.json", dict(result))
    write_text(out / "table1.md", text)
    save_figure(out / "table1.png", plot(result))
    return text


class NothingMeasured(HimeError):
    """A setting in which nothing of the list can be measured: its photos are too small for it, say."""


def compare_all(
    settings: Mapping[Setting, Sequence[Contender]],
    list_root: Path,
    list_path: Path,
    entries: Sequence[ListEntry],
    references: int,
    measures: Sequence[Measure],
) -> tuple[list[dict[str, Any]], list[str]]:
    """What `compare` gives of each setting that has contenders, and the names of those left out.

    Of a setting in which nothing can be measured the others lose nothing: it is told, and left out.

    Raises:
        NothingMeasured: that is all of them.
        HimeError: what `evaluate` raises.
    """
    compared, left_out, told = [], list[str](), list[NothingMeasured]()
    for setting, members in settings.items():
        if members:
            try:
                compared.append(
                    compare(setting, members, list_root, list_path, entries, references, measures)
                )
            except NothingMeasured as error:
                told.append(error)
                left_out += [each.name for each in members if each.is_shown]
    if not compared:
        raise told[0]
    complain(*(f"hime: {each}" for each in told))
    return compared, left_out


def compare(
    setting: Setting,
    contenders: Sequence[Contender],
    list_root: Path,
    list_path: Path,
    entries: Sequence[ListEntry],
    references: int,
    measures: Sequence[Measure],
) -> dict[str, Any]:
    """Figures, costs and times of the contenders of one setting.

    Times are medians over the list, of the references given and one headshot restored.

    Raises:
        NothingMeasured: nothing of the list can be.
        HimeError: what `evaluate` raises.
    """
    lr_size, scale = setting
    timed = [Timed(each.method) for each in contenders]
    measured = evaluate(
        timed,
        list_root,
        entries,
        lr_size=lr_size,
        list_name=list_path.name,
        references=references,
        measures=measures,
    )
    if not measured["images"]:
        first = measured["failed"][0]["error"]
        raise NothingMeasured(
            f"{list_path}: none of it can be measured at {lr_size}→{lr_size * scale}; {first}"
        )
    metrics = [*METRICS, *({"identity"} & measured["methods"][BASELINE].keys())]
    rows: list[dict[str, Any]] = [{"name": BASELINE, "cost": None}]
    for contender, clock in zip(contenders, timed, strict=True):
        if contender.is_shown:
            rows.append(
                {
                    "name": contender.name,
                    "cost": cost(contender.card, lr_size, contender.references),
                    "references": contender.references,
                    "paper": contender.paper,
                    "training": training_of(contender.card),
                    "seconds": round(statistics.median(clock.seconds), 4),
                }
            )
    for row in rows:
        for key, part in (("here", "methods"), ("intervals", "intervals")):
            row[key] = {metric: measured[part][row["name"]].get(metric) for metric in metrics}
    for oracle in dict.fromkeys(each.oracle for each in contenders if each.oracle):
        members = [each.name for each in contenders if each.oracle == oracle]
        (first,) = (row for row in rows if row["name"] == members[0])
        chosen = best_of(members, measured["per_image"], metrics)
        kept = {key: first[key] for key in ("cost", "training")}
        rows.append({"name": oracle, **kept, "references": len(members), "paper": None, **chosen})
    return {
        "lr_size": lr_size,
        "scale": scale,
        "images": measured["images"],
        "people": measured["people"],
        "paper": [dataclasses.asdict(row) for row in PUBLISHED[setting]],
        "rows": rows,
        "differences": measured["differences"],
        "failed": measured["failed"],
    }


def best_of(
    members: Sequence[str], per_image: Sequence[Mapping[str, Any]], metrics: Sequence[str]
) -> dict[str, Any]:
    """``here`` and ``intervals`` of the member with the highest PSNR, image by image.

    Where one of those equals its target there is no mean PSNR, as in every other row.
    """

    def psnr(figures: Mapping[str, Any]) -> float:
        value = figures["psnr"]
        return float("inf") if value is None else float(value)  # null: it equals its target

    found = [max((image[name] for name in members), key=psnr) for image in per_image]
    best = [{**figures, "psnr": psnr(figures)} for figures in found]
    bootstrap = PeopleBootstrap([ListEntry(image["input"], ()).person for image in per_image])
    here, intervals = averaged(best, metrics, bootstrap)
    return {"here": here, "intervals": intervals}


def training_of(card: Mapping[str, Any]) -> dict[str, int] | None:
    """How far a contender was trained; None where its card does not tell.

    ``steps`` and ``batch_size`` of its last training, ``pairs`` of that and of those that its weights began
    with. ``at_least`` where there were more of them: its card does not tell all, or how the first began.
    """
    trainings = trainings_of(card.get("training") or {})
    numbers = [tuple(part.get(key) for key in ("steps", "batch_size")) for part in trainings]
    counted = [
        (steps, batch) for steps, batch in numbers if isinstance(steps, int) and isinstance(batch, int)
    ]
    if not counted or counted[-1] != numbers[-1]:
        return None
    steps, batch = counted[-1]
    told = {"steps": steps, "batch_size": batch, "pairs": sum(map(math.prod, counted))}
    is_all = len(counted) == len(trainings) and trainings[0].get("init", "unknown") is None
    return told if is_all else {**told, "at_least": True}


def cost(card: Mapping[str, Any], lr_size: int, references: int) -> dict[str, int]:
    """Parameters, and multiply-adds of modules and in all, of the network that a card describes."""
    found = breakdown(network_of(card), (lr_size, lr_size), references)
    return {"parameters": card["parameters"], "macs_modules": found.modules, "macs_total": found.total}
