"""The result of an experiment as Markdown and as a plot, ours beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hime.files import write_atomically

HEADINGS = {"psnr": "PSNR ↑", "ssim": "SSIM ↑", "lpips": "LPIPS ↓"}
DIGITS = {"psnr": 3, "ssim": 4, "lpips": 4}
PAPER_DIGITS = {"psnr": 2, "ssim": 4, "lpips": 4}
COLOURS = ("tab:blue", "tab:red")
"""Figure 8's: (a) blue, (b) red."""

BUDGETS = {
    "quick": "**A small budget**: enough for directions, not for the paper's level.",
    "paper": "The full recipe; the paper does not tell the length of its own training.",
}


def markdown(result: Mapping[str, Any]) -> str:
    """The result of `hime.experiments.runner.reproduce` as a page: budget, table, plot, findings, notes."""
    name, training, tested = result["experiment"], result["training"], result["evaluation"]
    changes = "".join(f" --set {change}" for change in training["changes"])
    target = tested["lr_size"] * tested["scale"]
    start = f"`{training['init']}`" if training["init"] else "fresh weights"
    failed = f" {len(result['failed'])} could not be read." if result["failed"] else ""
    blocks = [
        f"# {result['title']}",
        f"`hime reproduce {name} --budget {result['budget']}{changes}`. {BUDGETS[result['budget']]} "
        f"{training['steps']:,} steps of {training['batch_size']} pairs a row, seed {training['seed']}, "
        f"preset `{training['preset']}`, from {start}; {training['photos']:,} photos of "
        f"{training['people']:,} people ({', '.join(training['data'])}). {weights(training['loss'])}.",
        f"Measured on `{tested['list']}`: {tested['images']} images of {tested['people']} people, "
        f"{tested['lr_size']}→{target}, {tested['references']} references, 95 % bootstrap intervals over "
        f"people.{failed} The paper's figures are on CelebAMask-HQ.",
        table(result),
        f"![{result['title']}]({name}.png)",
        "What the paper finds, and what is found here (mean difference image by image; undecided: its "
        "interval holds 0):",
        findings(result),
        *result["notes"],
    ]
    return "\n\n".join(blocks) + "\n"


def weights(loss: Mapping[str, Any]) -> str:
    """The λ of equation 10, from the fields of `LossWeights`."""
    if not (loss["correlation"] or loss["perceptual"] or loss["adversarial"]):
        return f"Loss: λ_rec {loss['pixel']:g}"
    return (
        f"Where a row has the loss: λ_rec {loss['pixel']:g}, λ_cor {loss['correlation']:g} (k = "
        f"{loss['correlation_window']} unless said, d = {loss['correlation_dilation']}), "
        f"λ_per {loss['perceptual']:g} ({', '.join(loss['perceptual_layers'])}), "
        f"λ_adv {loss['adversarial']:g}"
    )


def table(result: Mapping[str, Any]) -> str:
    """A line a row of the metrics measured; the paper's columns where it gives numbers."""
    metrics = list(result["rows"][0]["here"])
    told = {metric for row in result["rows"] for metric, value in (row["paper"] or {}).items() if value}
    heads = [head for metric in metrics for head in (HEADINGS[metric], "paper")[: 1 + (metric in told)]]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for row in result["rows"]:
        cells = []
        for metric in metrics:
            cells.append(with_interval(row["here"][metric], row["intervals"][metric], DIGITS[metric]))
            if metric in told:
                theirs = (row["paper"] or {}).get(metric)
                cells.append("" if theirs is None else f"{theirs:.{PAPER_DIGITS[metric]}f}")
        lines.append(f"| {row['label']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_interval(value: float | None, interval: Sequence[float] | None, digits: int, sign: str = "") -> str:
    """A mean, and its interval in brackets; with ``sign="+"``, signed."""
    if value is None:
        return "–"
    ends = "" if interval is None else " ({:{s}.{d}f} … {:{s}.{d}f})".format(*interval, s=sign, d=digits)
    return f"{value:{sign}.{digits}f}{ends}"


def findings(result: Mapping[str, Any]) -> str:
    """A line a claim of the paper."""
    lines = ["| better | than | in | here | paper | as in the paper |", "|---|---|---|---|---|---|"]
    for claim in result["claims"]:
        metric = claim["metric"]
        here = with_interval(claim["difference"], claim["interval"], DIGITS[metric], "+")
        theirs = "" if claim["paper"] is None else f"{claim['paper']:+.{PAPER_DIGITS[metric]}f}"
        cells = (claim["better"], claim["worse"], HEADINGS[metric], here, theirs, claim["agrees"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(result: Mapping[str, Any]) -> Figure:
    """A panel a metric: the curves of the rows, the paper's, and the start, if there is one, as a line.

    Without intervals: those of the means, wide since people differ, say nothing of the rows' differences.
    """
    metrics = list(result["rows"][0]["here"])
    figure = Figure(figsize=(14 / 3 * len(metrics), 4), layout="constrained", dpi=128)
    starts = [row for row in result["rows"] if row["name"] == "start"]
    rows = [row for row in result["rows"] if row["curve"]]
    ticks = list(dict.fromkeys(row["tick"] for row in rows))
    panels = figure.subplots(1, len(metrics))
    for axis, metric in zip(panels, metrics, strict=True):
        told = [row for row in rows if (row["paper"] or {}).get(metric) is not None]
        for curve, colour in zip(dict.fromkeys(row["curve"] for row in rows), COLOURS, strict=False):
            mine = [row for row in rows if row["curve"] == curve]
            places = [ticks.index(row["tick"]) for row in mine]
            axis.plot(places, [row["here"][metric] for row in mine], "o-", color=colour, label=curve)
        if told:
            places = [ticks.index(row["tick"]) for row in told]
            axis.plot(places, [row["paper"][metric] for row in told], "s--", color="grey", label="paper")
        for start in starts:
            if start["here"][metric] is None:
                continue
            axis.axhline(start["here"][metric], color="black", linestyle=":", label=start["label"])
        axis.set_xticks(range(len(ticks)), ticks)
        axis.set_xlabel(result["axis"])
        axis.set_title(HEADINGS[metric])
    panels[0].legend()
    return figure


def save_figure(path: Path, figure: Figure) -> Path:
    """Write a plot, whole or not at all; the suffix chooses the format."""
    return write_atomically(path, lambda temporary: figure.savefig(temporary))


def write_text(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all."""
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
