"""The dial between two models: pictures that lie between theirs against weights that lie between theirs.

`Restorer.fidelity` mixes pictures; weights are mixed only here, to compare.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hime.data.people import read_list
from hime.errors import HimeError
from hime.evaluation.evaluate import Variant, evaluate
from hime.evaluation.measures import Measure, available_measures
from hime.evaluation.provenance import provenance
from hime.experiments.report import save_figure, write_text
from hime.files import temporary_folder, write_json
from hime.restoring.card import GRAPHS, WEIGHT_TYPES, WEIGHTS
from hime.restoring.exported import OnnxBackend, find_model, read_weights
from hime.restoring.restorer import Restorer

FIDELITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
WAYS = ("pictures", "weights")
COLUMNS = {
    "psnr": ("PSNR ↑", 3),
    "ssim": ("SSIM ↑", 4),
    "lpips": ("LPIPS ↓", 4),
    "identity": ("identity ↑", 4),
}

TEXT = """# The dial of {model}

`hime reproduce dial --model {model}` on `{list}`: {images} images of {people} people, {lr_size}→{target}, \
{references} references. *Pictures*: both models' pictures, mixed, which is what `--fidelity` does; it costs \
two restorations. *Weights*: the network whose weights lie between the two models', where they have one \
architecture; it costs one.

| fidelity | {heads} |
|---{rule}|
{rows}

![LPIPS against PSNR](dial.png)
"""


def between(perception: OnnxBackend, reconstruction: OnnxBackend, fidelity: float) -> OnnxBackend:
    """The network of the weights (1 − fidelity) · perception + fidelity · reconstruction.

    Makes sense only if the training of one started from the other.

    Args:
        perception: an exported model.
        reconstruction: another one with the same graphs.
        fidelity: in [0, 1].
    """
    ends = [read_weights(model.folder, model.card) for model in (perception, reconstruction)]
    weights = ((1 - fidelity) * ends[0] + fidelity * ends[1]).astype(WEIGHT_TYPES["float32"]).tobytes()
    checksums = {**perception.card["sha256"], WEIGHTS: hashlib.sha256(weights).hexdigest()}
    card = {key: value for key, value in perception.card.items() if key not in ("reconstruction", "fidelity")}
    card |= {"weights": "float32", "sha256": checksums}
    with temporary_folder() as folder:
        for graph in GRAPHS:
            shutil.copyfile(perception.folder / graph, folder / graph)
        (folder / WEIGHTS).write_bytes(weights)
        (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
        return OnnxBackend(folder, perception.threads)


def methods_of(perception: OnnxBackend) -> list[Variant]:
    """Every place of `FIDELITIES` by pictures; and the inner ones by weights, if the graphs are the same.

    Raises:
        HimeError: the model has no dial, or its other end is missing.
    """
    methods = [Variant(Restorer(perception, place), f"pictures {place:g}") for place in FIDELITIES]
    reconstruction = perception.reconstruction
    assert reconstruction is not None  # or a fidelity would have been refused
    checksums = [model.card["sha256"] for model in (perception, reconstruction)]
    if all(checksums[0][graph] == checksums[1][graph] for graph in GRAPHS):
        inner = ((place, between(perception, reconstruction, place)) for place in FIDELITIES[1:-1])
        methods += [Variant(Restorer(network), f"weights {place:g}") for place, network in inner]
    return methods


def dial(
    model: str | Path,
    data_root: Path | str,
    list_path: Path,
    out: Path | str,
    *,
    references: int = 3,
    measures: Sequence[Measure] | None = None,
) -> str:
    """Measure both ways over the dial of an exported model; write OUT/dial.md, .json and .png.

    Args:
        model: an exported perception-oriented model, by name or folder, with its other end at hand.
        data_root: people folder of the list.
        list_path: evaluation list.
        out: folder for the results; made if missing.
        references: how many the models get.
        measures: as for `evaluate`.

    Returns:
        The page as text.

    Raises:
        HimeError: the model has no dial, LPIPS or nothing of the list can be measured, or what `evaluate`
            raises.
    """
    perception = OnnxBackend(find_model(model))
    methods = methods_of(perception)
    if measures is None:
        measures, missing = available_measures()
        if missing:
            raise HimeError(missing[0])
    lr_size, name = int(perception.card["lr_size"]), perception.card["name"]
    source = provenance(data_root, list=list_path)
    result = evaluate(
        methods,
        data_root,
        read_list(list_path),
        lr_size=lr_size,
        list_name=list_path.name,
        references=references,
        measures=measures,
    )
    if not result["images"]:
        raise HimeError(f"{list_path}: none of it can be measured; the first: {result['failed'][0]['error']}")
    out = Path(out)
    told = {key: result[key] for key in ("list", "images", "people", "lr_size", "references")}
    heads = [f"{head}, {way}" for head, _ in COLUMNS.values() for way in WAYS]
    text = TEXT.format(
        model=name,
        target=lr_size * result["scale"],
        heads=" | ".join(heads),
        rule="|---" * len(heads),
        rows="\n".join(_row(result["methods"], place) for place in FIDELITIES),
        **told,
    )
    write_json(out / "dial.json", {"provenance": source, "experiment": "dial", **result, "model": name})
    save_figure(out / "dial.png", draw(result["methods"], name))
    write_text(out / "dial.md", text)
    return text


def draw(figures: dict[str, dict[str, Any]], model: str) -> Figure:
    """LPIPS against PSNR over the dial, a curve each way."""
    figure = Figure(figsize=(6, 4.5), layout="constrained", dpi=128)
    axis = figure.subplots()
    for way, style in zip(WAYS, ("o-", "s--"), strict=True):
        if f"{way} {FIDELITIES[1]:g}" not in figures:
            continue
        # At the ends both ways are the same two models.
        names = [f"{way if place in FIDELITIES[1:-1] else 'pictures'} {place:g}" for place in FIDELITIES]
        # No number, so no point, where a photo is restored exactly: its PSNR is infinite.
        psnr, lpips = (
            [math.nan if (value := figures[name][metric]) is None else value for name in names]
            for metric in ("psnr", "lpips")
        )
        places = list(zip(psnr, lpips, strict=True))
        axis.plot(*zip(*places, strict=True), style, label=way)
        if way == "pictures":
            for fidelity, place in zip(FIDELITIES, places, strict=True):
                axis.annotate(f"{fidelity:g}", place, textcoords="offset points", xytext=(4, 6))
    axis.set_xlabel("PSNR in dB ↑")
    axis.set_ylabel("LPIPS ↓")
    axis.set_title(f"the dial of {model}")
    axis.legend()
    return figure


def _row(figures: dict[str, dict[str, Any]], place: float) -> str:
    cells = []
    for metric, (_, digits) in COLUMNS.items():
        for way in WAYS:
            value = figures.get(f"{way} {place:g}", {}).get(metric)
            cells.append("" if value is None else f"{value:.{digits}f}")
    return f"| {place:g} | {' | '.join(cells)} |"
