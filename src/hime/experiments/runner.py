"""Training and measuring the rows of an experiment; the same call again goes on where the last stopped."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hime.data.pack import is_pack, read_pack
from hime.data.people import ListEntry, read_list
from hime.errors import HimeError
from hime.evaluation.checkpoint import TorchBackend, checkpoint_name, describe
from hime.evaluation.evaluate import BASELINE, Variant, choose_references, evaluate
from hime.evaluation.intervals import PeopleBootstrap
from hime.evaluation.measures import Distortion, Measure, Perception
from hime.evaluation.provenance import provenance, without_place
from hime.experiments.report import markdown, plot, save_figure, write_text
from hime.experiments.tables import METRICS, Budget, Claim, Experiment, Row, experiment
from hime.files import is_folder, write_json
from hime.pictures.formats import SUFFIXES, images_in
from hime.restoring.restorer import Restorer
from hime.terminal import complain
from hime.training.checkpoint import CONFIG, load_model
from hime.training.loop import train
from hime.training.presets import TrainingConfig, override, preset

START = "start"
"""What the checkpoint that rows start from is called among the rows."""

Sources = Sequence[tuple[Path, list[str] | None]]


def reproduce(
    name: str,
    sources: Sources,
    init: str | None,
    list_root: Path,
    list_path: Path,
    out: Path | str,
    *,
    budget: Budget = "quick",
    changes: Sequence[str] = (),
) -> str:
    """Train what experiment ``name`` compares, measure it, and write OUT/NAME.md, .json and .png.

    Runs lie in OUT/runs/NAME/ROW. A finished one is not trained again, an interrupted one goes on.

    Args:
        name: one of `hime.experiments.tables.EXPERIMENTS`.
        sources: training photos as ``hime.training.loop.train`` takes them.
        init: the reconstruction-oriented network that rows start from, see
            `hime.training.checkpoint.load_model`, for an experiment whose rows do; None for the others.
        list_root: people folder below which the paths of the list lie.
        list_path: evaluation list that every row is measured on; none of its people may be trained on.
        out: folder for the results; made if missing.
        budget: "quick", two cores for an hour at most, or "paper", a full training for a GPU.
        changes: to the training of every row, after its own, as ``hime train --set`` takes them.

    Returns:
        The Markdown.

    Raises:
        HimeError: no such experiment, the data or the checkpoint cannot be used, people of the list are
            trained on, runs of another budget lie in ``out``, the list has fewer references, or nothing of it
            can be measured.
    """
    chosen, out = experiment(name), Path(out)
    if not chosen.checkpoint:
        init = None
    elif init is None:
        raise HimeError(f"{name}: its rows start from a trained network; give --init CHECKPOINT")
    entries, source = read_list(list_path), provenance(list_root, list=list_path)
    refuse_people_trained_on(sources, list_root, entries, list_path)
    runs = {row.name: out / "runs" / name / row.name for row in chosen.rows}
    configs = {row.name: config_of(chosen, row, init, budget, changes) for row in chosen.rows}
    # What is no checkpoint, or cannot be measured, is refused before anything is trained.
    start = [] if init is None else [opened(init, START)]
    measures: list[Measure] = [Distortion(), Perception()]
    config = max(configs.values(), key=lambda each: each.references)
    choose_references(entries, config.references, list_path.name)
    for number, row in enumerate(chosen.rows, start=1):
        complain(f"{name}: {row.label}, {number} of {len(chosen.rows)}")
        train(configs[row.name], sources, runs[row.name], preset=chosen.preset)
    measured = evaluate(
        [*start, *(Variant(opened(run, row), row, configs[row].references) for row, run in runs.items())],
        list_root,
        entries,
        lr_size=config.hr_size // config.scale,
        list_name=list_path.name,
        references=config.references,
        measures=measures,
    )
    if not measured["images"]:
        raise HimeError(
            f"{list_path}: none of it can be measured; the first: {measured['failed'][0]['error']}"
        )
    trained_on = json.loads((next(iter(runs.values())) / CONFIG).read_text(encoding="utf-8"))["data"]
    started_from = None if init is None else checkpoint_name(init)
    result = {
        "provenance": source,
        "experiment": name,
        "title": chosen.title,
        "notes": list(chosen.notes),
        "axis": chosen.axis,
        "budget": budget,
        "training": _training(chosen, config, started_from, changes, trained_on),
        "evaluation": {
            key: measured[key] for key in ("list", "images", "people", "lr_size", "scale", "references")
        },
        "rows": table_rows(chosen.rows, measured, started_from),
        "claims": [examine(claim, chosen.rows, measured["per_image"]) for claim in chosen.claims],
        "failed": measured["failed"],
    }
    return _write(out, name, result)


def _write(out: Path, name: str, result: dict[str, Any]) -> str:
    """Write OUT/NAME.md, .json and .png; returns the Markdown."""
    text = markdown(result)
    write_json(out / f"{name}.json", result)
    write_text(out / f"{name}.md", text)
    save_figure(out / f"{name}.png", plot(result))
    return text


def _training(
    chosen: Experiment,
    config: TrainingConfig,
    init: str | None,
    changes: Sequence[str],
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """What the result says of the trainings of its rows."""
    return {
        "preset": chosen.preset,
        "init": init,
        "changes": list(map(without_place, changes)),
        "steps": config.steps,
        "batch_size": config.batch_size,
        "seed": config.seed,
        "loss": dataclasses.asdict(override(preset(chosen.preset), changes).loss),
        "data": data["sources"],
        "people": data["people"],
        "photos": data["photos"],
    }


def config_of(
    chosen: Experiment, row: Row, init: str | None, budget: Budget, changes: Sequence[str]
) -> TrainingConfig:
    """The training of a row: preset, budget, checkpoint, row and user, each over what stands before it."""
    config = override(preset(chosen.preset), chosen.changes(budget))
    config = dataclasses.replace(config, init=init)
    return override(config, [*row.changes, *changes])


def opened(checkpoint: Path | str, name: str) -> Restorer:
    """A run folder or checkpoint as a method called ``name``."""
    model, metadata = load_model(checkpoint)
    return Restorer(TorchBackend(model, describe(model, metadata, name)))


def refuse_people_trained_on(
    sources: Sources, list_root: Path, entries: Sequence[ListEntry], list_path: Path
) -> None:
    """Refuse training photos of people whom a list is measured on.

    Told by PERSON/FILE less its ending, wherever it lies: a pack or a copy, which `hime prepare --size` names
    0.png or 0.jpg.png, holds the same people as the folder it was made of, while people of another data set
    may well have the same numbers for names.

    Raises:
        HimeError: people of the list are among the training people, a pack is damaged, or ``list_root`` is
            a pack, whose photos cannot be measured on.
    """
    if is_pack(list_root):
        raise HimeError(
            f"{list_root}: is a pack, and lists are measured on photos; give their folder as --list-data"
        )
    names = {name for entry in entries for name in (entry.input, *entry.references)}
    people = {_person(name) for name in names}
    tested = {_stem(name) for name in names} | _photos_of(list_root, people)
    for root, chosen in sources:
        trained_on = _photos_of(root, people if chosen is None else people.intersection(chosen))
        both = sorted({_person(name) for name in trained_on & tested})
        if both:
            raise HimeError(
                f"{list_path}: {both[0]}, one of {len(both)}, would be trained on and measured, since "
                f"{root} holds the same photos; give --people without those of the list"
            )


def _photos_of(root: Path, people: Collection[str]) -> set[str]:
    """PERSON/FILE, less the ending, of those of the people who are in a people folder or pack."""
    if is_pack(root):
        return {_stem(name) for name in read_pack(root).photos if _person(name) in people}
    folders = [root / person for person in people if is_folder(root / person)]
    return {_stem(f"{folder.name}/{path.name}") for folder in folders for path in images_in(folder)}


def _stem(name: str) -> str:
    """PERSON/FILE without the endings of a picture: of ``me/0.jpg.png`` both, as of ``me/0.jpg``."""
    while name.lower().endswith(SUFFIXES):
        name = name.rpartition(".")[0]
    return name


def _person(name: str) -> str:
    return name.partition("/")[0]


def table_rows(
    rows: Sequence[Row], measured: Mapping[str, Any], init: str | None, metrics: Sequence[str] = METRICS
) -> list[dict[str, Any]]:
    """Every method's figures and the paper's: bicubic, the checkpoint at the start if any, the rows."""
    labels = {BASELINE: BASELINE} | ({} if init is None else {START: f"start: {init}"})
    table = [Row(name=name, label=label, changes=(), tick="", curve="") for name, label in labels.items()]
    return [
        {
            "name": row.name,
            "label": row.label,
            "tick": row.tick,
            "curve": row.curve,
            "here": {metric: measured["methods"][row.name][metric] for metric in metrics},
            "intervals": {metric: measured["intervals"][row.name][metric] for metric in metrics},
            "paper": None if row.paper is None else dict(zip(METRICS, row.paper, strict=True)),
        }
        for row in (*table, *rows)
    ]


def examine(claim: Claim, rows: Sequence[Row], per_image: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A finding of the paper and ours: the mean difference, image by image, and its 95 % interval.

    Of the images where it is a number: of one that a row restores exactly, PSNR is not. None where of none.
    ``agrees`` is "yes" or "no" where the interval lies wholly on one side of 0, else "undecided".
    """
    by_name = {row.name: row for row in rows}
    better, worse = by_name[claim.better], by_name[claim.worse]
    figures = np.array(
        [[image[row.name][claim.metric] for row in (better, worse)] for image in per_image], dtype=np.float64
    ).reshape(-1, 2)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        differences = figures[:, 0] - figures[:, 1]
    known = np.isfinite(differences)
    differences[~known] = np.nan
    people = [ListEntry(image["input"], ()).person for image in per_image]
    interval = PeopleBootstrap(people).interval(differences)
    towards = -1 if claim.metric == "lpips" else 1
    low, high = sorted(towards * end for end in interval) if interval else (float("nan"), float("nan"))
    theirs = None
    if better.paper is not None and worse.paper is not None:
        column = METRICS.index(claim.metric)
        one, other = better.paper[column], worse.paper[column]
        theirs = None if one is None or other is None else round(one - other, 4)
    return {
        "metric": claim.metric,
        "better": better.label,
        "worse": worse.label,
        "difference": round(float(differences[known].mean()), 4) if known.any() else None,
        "interval": None if interval is None else [round(end, 4) for end in interval],
        "paper": theirs,
        "agrees": "yes" if low > 0 else "no" if high < 0 else "undecided",
    }
