"""The dial between two models: weights that lie between theirs against pictures that lie between theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hime.batch import write_json
from hime.errors import HimeError
from hime.evaluation.evaluate import Restored, evaluate
from hime.evaluation.measures import Measure, available_measures
from hime.experiments.report import save_figure, write_text
from hime.images import Image
from hime.people import read_list
from hime.restorer import Restoration, Restorer, load

FIDELITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
COLUMNS = {
    "psnr": ("PSNR ↑", 3),
    "ssim": ("SSIM ↑", 4),
    "lpips": ("LPIPS ↓", 4),
    "identity": ("identity ↑", 4),
}

TEXT = """# The dial of {model}

`hime reproduce dial --model {model}` on `{list}`: {images} images of {people} people, {lr_size}→{target}, \
{references} references. *Weights*: the network whose weights lie between the two models', which is what \
`--fidelity` sets; it costs one restoration. *Pictures*: both models' pictures, mixed; it costs two.

| fidelity | {heads} |
|---{rule}|
{rows}

![LPIPS against PSNR](dial.png)
"""


class Between:
    """A method of `hime.evaluation.evaluate`: one place on the dial, by weights or by pictures."""

    def __init__(self, restorers: Sequence[Restorer], shares: Sequence[float], name: str) -> None:
        self.restorers, self.shares, self.name = restorers, shares, name
        self.scale = restorers[0].scale

    def set_references(self, images: Sequence[Image]) -> None:
        """Take these photos, for every restorer."""
        for restorer in self.restorers:
            restorer.set_references(images)

    def restore(self, lr: Image) -> Restored:
        """The restorers' pictures, mixed by their shares."""
        restored = [restorer.restore(lr) for restorer in self.restorers]
        pairs = zip(restored, self.shares, strict=True)
        mixed = np.rint(sum(share * each.image.astype(np.float64) for each, share in pairs))
        return Restoration(mixed.astype(np.uint8), restored[0].scores, restored[0].shares)


def methods_of(model: str | Path) -> list[Between]:
    """Every place of `FIDELITIES`, by weights; and the inner ones by pictures."""
    ends = [load(model, fidelity=end) for end in (0.0, 1.0)]
    inner = FIDELITIES[1:-1]
    by_weights = [Between([load(model, fidelity=place)], [1.0], f"weights {place:g}") for place in FIDELITIES]
    by_pictures = [Between(ends, [1 - place, place], f"pictures {place:g}") for place in inner]
    return by_weights + by_pictures


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
        HimeError: the model has no dial, LPIPS cannot be measured, or what `evaluate` raises.
    """
    methods = methods_of(model)
    if measures is None:
        measures, missing = available_measures()
        if missing:
            raise HimeError(missing[0])
    card = methods[0].restorers[0].card
    lr_size, name = int(card["lr_size"]), card["name"]
    result = evaluate(
        methods,
        data_root,
        read_list(list_path),
        lr_size=lr_size,
        list_name=list_path.name,
        references=references,
        measures=measures,
    )
    out = Path(out)
    told = {key: result[key] for key in ("list", "images", "people", "lr_size", "references")}
    heads = [f"{head}, {way}" for head, _ in COLUMNS.values() for way in ("weights", "pictures")]
    text = TEXT.format(
        model=name,
        target=lr_size * result["scale"],
        heads=" | ".join(heads),
        rule="|---" * len(heads),
        rows="\n".join(_row(result["methods"], place) for place in FIDELITIES),
        **told,
    )
    write_json(out / "dial.json", {"experiment": "dial", "model": name, **result})
    save_figure(out / "dial.png", draw(result["methods"], name))
    write_text(out / "dial.md", text)
    return text


def draw(figures: dict[str, dict[str, Any]], model: str) -> Figure:
    """LPIPS against PSNR over the dial, a curve each way."""
    figure = Figure(figsize=(6, 4.5), layout="constrained", dpi=128)
    axis = figure.subplots()
    for way, style in (("weights", "o-"), ("pictures", "s--")):
        # At the ends both ways are the same two models.
        names = [f"{way if place in FIDELITIES[1:-1] else 'weights'} {place:g}" for place in FIDELITIES]
        places = [(figures[name]["psnr"], figures[name]["lpips"]) for name in names]
        axis.plot(*zip(*places, strict=True), style, label=way)
        if way == "weights":
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
        for way in ("weights", "pictures"):
            value = figures.get(f"{way} {place:g}", {}).get(metric)
            cells.append("" if value is None else f"{value:.{digits}f}")
    return f"| {place:g} | {' | '.join(cells)} |"
