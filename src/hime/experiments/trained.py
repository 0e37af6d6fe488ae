"""Table 1 with its systems trained here: the same people, the same pairs, equally many of them.

Each system of a setting is trained as `hime train NAME` does it, HIME small beside them, and all are measured
on one list. A system that looks at one reference gets the first of the list's, as in the paper; a further row
gives it the one that looks most like the headshot, another the best of them as an oracle would choose, so
that what several references bring is told apart from what a better choice of one brings.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hime.data.people import read_list
from hime.errors import Diverged, HimeError
from hime.evaluation.checkpoint import TorchBackend, describe
from hime.evaluation.evaluate import Method, Restored, Variant, check_names, choose_references, evaluate
from hime.evaluation.measures import Measure, available_measures
from hime.evaluation.provenance import provenance, without_place
from hime.evaluation.sheet import Sheet
from hime.experiments.comparison import (
    PUBLISHED,
    Contender,
    Setting,
    by_setting,
    compare_all,
    comparison_result,
    without_row,
    write_comparison,
)
from hime.experiments.runner import Sources, refuse_people_trained_on
from hime.experiments.tables import METRICS, Budget
from hime.files import write_json
from hime.pictures.arrays import Image, resize, upscale
from hime.pictures.writing import write_image
from hime.restoring.restorer import Restorer
from hime.terminal import complain
from hime.training.checkpoint import load_model, read_tensors
from hime.training.loop import train
from hime.training.photos import photo_similarity
from hime.training.presets import SYSTEM_PRESETS, TrainingConfig, override, preset

OURS = ("small-x4", "small-x4-64", "small-x8")
"""HIME, trained beside the systems with just their pairs."""

PAIRS: dict[Budget, dict[Setting, int]] = {
    "quick": {(32, 4): 2_500, (64, 4): 600, (16, 8): 10_000},
    "paper": dict.fromkeys(PUBLISHED, 200_000),
}
"""How many pairs all of a setting are trained with. "quick" is what the slowest, TTSR and PSFR-GAN, do in
some three hours on one core."""

IN_THE_PAPER = {
    "srntt": "SRNTT", "ttsr": "TTSR", "sparnet": "SPARNet", "psfrgan": "PSFR-GAN", "dfdnet": "DFDNet",
    "pfsr": "PFSR", "fsrnet": "FSRNet", "gwainet": "GWAInet",
    "small": "HIME_{} (small)", "large": "HIME_{} (large)",
}  # fmt: skip
"""What the paper's table calls each; of HIME there are two, ``rec`` and ``p``."""

PERCEPTION_SUFFIX = "-p"
LAST_SHARE = 1 / 3
"""Of a training's steps, those whose loss tells how well it ended."""

FIGURE_ROWS = 6
"""Inputs on the sheet of Figure 7."""


def trained_table(
    names: Sequence[str],
    sources: Sources,
    list_root: Path,
    list_path: Path,
    out: Path | str,
    *,
    budget: Budget = "quick",
    changes: Sequence[str] = (),
    others: Sequence[Restorer] = (),
    references: int = 3,
    rates: Sequence[float] = (1.0,),
) -> str:
    """Train what is missing, measure all and write OUT/table1.md, .json and .png.

    Runs lie in OUT/runs/table1/NAME, those of a further learning rate in OUT/runs/table1/NAME-rate-FACTOR. A
    finished one is not trained again, an interrupted one goes on.

    Args:
        names: presets, or ``all``: every compared system and `OURS`.
        sources: training photos as ``hime.training.loop.train`` takes them.
        list_root: people folder below which the paths of the list lie.
        list_path: evaluation list; none of its people may be trained on.
        out: folder for the results; made if missing.
        budget: see `PAIRS`.
        changes: to every training, as ``hime train --set`` takes them.
        others: models to measure too, of a setting each with another name, which none of the presets has;
            those that are made for none of the table's settings are told to be left out.
        references: how many those that look at several get.
        rates: factors of the presets' learning rates. Each preset is trained once with each, and the one
            with the lowest `last_loss` is measured: how many pairs a rate suits differs from system to
            system. A perception-oriented preset takes the factor of its reconstruction-oriented one, since
            an adversarial loss tells nothing of the pictures.

    Returns:
        The Markdown.

    Raises:
        HimeError: no such preset, one is of none of the table's settings, the data cannot be used, people
            of the list are trained on, runs of another budget lie in ``out``, the list has fewer references,
            two models of a setting have one name, nothing of it can be measured, or LPIPS cannot.
    """
    folder = Path(out) / "runs" / "table1"
    names = expanded(names)
    # What cannot be trained, or measured, is told before anything is trained.
    added = [Contender(each, each.card, references) for each in others]
    named = {setting: [each.name for each in members] for setting, members in by_setting(added).items()}
    for name in names:
        config = config_of(name, budget, changes, folder / reconstruction_of(name))
        named.setdefault((config.lr_size, config.scale), []).append(name)
    entries, source = read_list(list_path), provenance(list_root, list=list_path)
    refuse_people_trained_on(sources, list_root, entries, list_path)
    choose_references(entries, references, list_path.name)
    for together in named.values():
        check_names(together)
    measures = table_measures()
    trials: dict[str, list[Trial]] = {}
    for number, name in enumerate(names, start=1):
        start = reconstruction_of(name)
        factors = tuple(dict.fromkeys(rates)) if start == name else (trials[start][0].factor,)
        init = folder if start == name else trials[start][0].run
        complain(f"table1: {name}, {number} of {len(names)}")
        trials[name] = trained_at(factors, name, config_of(name, budget, changes, init), sources, folder)
    best = {name: tried[0].run for name, tried in trials.items()}
    contenders = [each for name, run in best.items() for each in contenders_of(run, name, references)]
    contenders += added
    members = by_setting(contenders)
    settings, left_out = compare_all(members, list_root, list_path, entries, references, measures)
    unmeasured = without_row(contenders, members, left_out)
    result = comparison_result(source, settings, list_path, references, unmeasured)
    learning_rates = {
        name: [{"learning_rate": each.learning_rate, "loss": each.loss} for each in tried]
        for name, tried in trials.items()
        if len(tried) > 1
    }
    told = {"budget": budget, "changes": list(map(without_place, changes)), "learning_rates": learning_rates}
    return write_comparison(Path(out), {**result, **told})


def table_measures() -> list[Measure]:
    """What a table is measured by: its three metrics, and identity where that can be had.

    Raises:
        HimeError: one of the three cannot be measured here.
    """
    measures, missing = available_measures()
    if not set(METRICS) <= {metric for measure in measures for metric in measure.metrics}:
        raise HimeError(f"table1: {missing[0]}")
    for line in missing:
        complain(f"hime: {line}")
    return measures


def expanded(names: Sequence[str]) -> list[str]:
    """``names`` without repetition, ``all`` replaced by what it stands for, and what others start from."""
    found: list[str] = []
    for name in names:
        if name == "all":
            found += [*SYSTEM_PRESETS, *OURS]
        elif name.endswith(PERCEPTION_SUFFIX):
            found += [reconstruction_of(name), name]
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def reconstruction_of(name: str) -> str:
    """The preset that a perception-oriented one starts from; of another, its own name."""
    return name.removesuffix(PERCEPTION_SUFFIX)


def run_name(name: str, factor: float) -> str:
    """The folder of preset ``name`` trained with ``factor`` times its learning rate."""
    return name if factor == 1 else f"{name}-rate-{factor:g}"


@dataclasses.dataclass(frozen=True)
class Trial:
    """A preset trained with ``factor`` times its learning rate. ``loss``: its `last_loss`, None where it came
    to nothing or nothing was to be compared.
    """

    factor: float
    learning_rate: float
    run: Path
    loss: float | None


def trained_at(
    factors: Sequence[float], name: str, config: TrainingConfig, sources: Sources, folder: Path
) -> list[Trial]:
    """Train a preset once with each of the factors of its learning rate; the best trial comes first.

    Raises:
        Diverged: the loss came to nothing with each of them.
        HimeError: what ``hime.training.loop.train`` raises else.
    """
    trials, diverged = [], []
    for factor in factors:
        rate, run = config.learning_rate * factor, folder / run_name(name, factor)
        if len(factors) > 1:
            complain(f"{name}: learning rate {rate:g}")
        loss = None
        try:
            train(dataclasses.replace(config, learning_rate=rate), sources, run, preset=name)
            loss = round(last_loss(run), 5) if len(factors) > 1 else None
        except Diverged as error:
            complain(f"hime: {error}")
            diverged.append(error)
        trials.append(Trial(factor, rate, run, loss))
    if len(diverged) == len(factors):
        raise diverged[0]
    return sorted(trials, key=lambda trial: math.inf if trial.loss is None else trial.loss)


def last_loss(run: Path) -> float:
    """The mean pixel loss of a run over the last third of its steps, by its TensorBoard curve.

    That of the picture alone, whatever terms a system's loss has besides. Trainings with one seed see the
    same pairs, and in less than an epoch pairs that they have not seen before: so it compares learning rates
    without anybody held out, and nobody of the test has a part in it.

    Raises:
        HimeError: the run has no curve.
    """
    curves = run / "tensorboard"
    events = EventAccumulator(str(curves)).Reload() if curves.is_dir() else None
    if events is None or "train/pixel" not in events.Tags()["scalars"]:
        raise HimeError(f"{curves}: no curve of the loss in it; train it anew in another --out")
    entries = events.Scalars("train/pixel")  # each the mean since the one before
    last = entries[-1].step
    since = last * (1 - LAST_SHARE)
    total, before = 0.0, since
    for entry in entries:
        total += max(0.0, entry.step - before) * entry.value
        before = max(before, entry.step)
    return float(total / (last - since))


def chosen_runs(folder: Path) -> dict[str, Path]:
    """The runs of a table's folder by preset: of several learning rates the one that came furthest, and of
    those that came equally far the one with the best `last_loss`.
    """
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("*/best.safetensors")):
        _, metadata = read_tensors(path)
        steps = int(json.loads(metadata["training"])["steps"])
        found.setdefault(metadata["preset"], []).append((-steps, path.parent))
    return {
        name: runs[0][1] if len(runs) == 1 else min((steps, last_loss(run), run) for steps, run in runs)[2]
        for name, runs in found.items()
    }


def config_of(name: str, budget: Budget, changes: Sequence[str], init: Path) -> TrainingConfig:
    """How preset ``name`` is trained for the comparison: nobody is held out, so many pairs as all others.

    A perception-oriented one starts from ``init``, the run of the reconstruction-oriented one.

    Raises:
        HimeError: no such preset, or one of a setting that the table has not.
    """
    config = preset(name)
    setting = (config.lr_size, config.scale)
    if setting not in PUBLISHED:
        raise HimeError(
            f"{name}: no preset of table1's settings; choose among {', '.join(expanded(['all']))}"
        )
    steps = PAIRS[budget][setting] // config.batch_size
    equal: dict[str, Any] = {
        "held_out_fraction": 0.0,
        "steps": steps,
        "warmup_steps": min(200, steps // 10),
        "log_every": max(1, min(config.log_every, steps // 3)),  # so that `last_loss` can tell the end
    }
    if name.endswith(PERCEPTION_SUFFIX):
        equal["init"] = str(init)
    return override(dataclasses.replace(config, **equal), changes)


def contenders_of(run: Path, name: str, references: int) -> list[Contender]:
    """A trained network's rows."""
    model, metadata = load_model(run)
    card = describe(model, metadata, name)
    restorer = Restorer(TorchBackend(model, card))
    kind = card["training"]["config"]["model"]
    paper = IN_THE_PAPER[kind].format("p" if name.endswith("-p") else "rec")
    if model.most_references == 0:
        return [Contender(restorer, card, 0, paper)]
    if kind in ("small", "large"):
        return [Contender(restorer, card, references, paper)]
    oracle = f"{name}, best of them" if references > 1 else None
    rows = [Contender(Variant(restorer, name, 1), card, 1, paper, oracle)]
    if references > 1:
        rows.append(Contender(MostAlike(restorer, f"{name}, most alike"), card, 1))
        for number in range(2, references + 1):
            only = Variant(restorer, f"{name}, reference {number}", 1, number - 1)
            rows.append(Contender(only, card, 1, None, oracle, is_shown=False))
        if model.most_references is None:
            rows.append(Contender(Variant(restorer, f"{name}, all", references), card, references))
    return rows


class MostAlike:
    """A method that gets, of the references, the one most like the headshot (`photo_similarity`)."""

    def __init__(self, method: Method, name: str) -> None:
        self.method, self.name = method, name
        self._references: list[Image] = []

    @property
    def scale(self) -> int:
        """The method's."""
        return self.method.scale

    def set_references(self, images: Sequence[Image]) -> None:
        """Of these one will be chosen."""
        self._references = list(images)

    def restore(self, lr: Image) -> Restored:
        """As the method does, with the reference most like ``lr``."""
        if self._references:
            enlarged = upscale(lr, self.scale)
            height, width = enlarged.shape[:2]
            pictures = [enlarged, *(resize(each, height, width) for each in self._references)]
            planes = torch.stack([torch.from_numpy(each.copy()) for each in pictures]).movedim(-1, 1)
            chosen = int(photo_similarity(planes)[0, 1:].argmax())
            self.method.set_references([self._references[chosen]])
        else:
            self.method.set_references([])
        return self.method.restore(lr)


def figure_7(
    runs: Path, others: Sequence[Restorer], list_root: Path, list_path: Path, out: Path | str
) -> list[Path]:
    """Figure 7: the methods of a setting side by side, on inputs spread over the list.

    Args:
        runs: folder of `trained_table`'s runs; need not exist.
        others: further models.
        list_root: people folder below which the paths of the list lie.
        list_path: evaluation list.
        out: OUT/fig7-LR-HR.png is written for each setting that has a method and of which something
            can be restored, and OUT/fig7.json; inputs that cannot be are told and are not on it.

    Raises:
        HimeError: there is no method, or nothing of the list can be restored.
    """
    contenders = [contenders_of(run, name, 3)[0] for name, run in chosen_runs(runs).items()]
    contenders += [Contender(each, each.card, 3) for each in others]
    measures, missing = available_measures()
    for line in missing:
        complain(f"hime: {line}")
    source = provenance(list_root, list=list_path)
    entries, written, told, failed = read_list(list_path), [], dict[str, Any](), list[str]()
    shown = [entries[round(place * (len(entries) - 1) / FIGURE_ROWS)] for place in range(FIGURE_ROWS + 1)]
    shown = list(dict.fromkeys(shown))[:FIGURE_ROWS]
    for (lr_size, scale), members in by_setting(contenders).items():
        if not members:
            continue
        sheet = Sheet(len(shown), len(shown))
        result = evaluate(
            [each.method for each in members],
            list_root,
            shown,
            lr_size=lr_size,
            list_name=list_path.name,
            measures=measures,
            sheet=sheet,
        )
        if result["images"]:
            complain(*(f"hime: left out: {each['error']}" for each in result["failed"]))
        else:
            at, first = f"{lr_size}→{lr_size * scale}", result["failed"][0]["error"]
            failed.append(f"{list_path}: none of it can be restored at {at}; {first}")
            continue
        path = Path(out) / f"fig7-{lr_size}-{lr_size * scale}.png"
        write_image(path, sheet.draw())
        written.append(path)
        told[path.name] = {
            "methods": result["models"],
            "inputs": [image["input"] for image in result["per_image"]],
        }
    if failed and not written:
        raise HimeError(failed[0])
    complain(*(f"hime: {line}" for line in failed))
    if not written:
        raise HimeError(f"fig7: no method of table1's settings in {runs} or --model")
    write_json(
        Path(out) / "fig7.json",
        {"provenance": source, "experiment": "fig7", "sheets": told},
    )
    return written
