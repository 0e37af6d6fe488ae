"""Table 1 as a page and as a plot: our rows beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from hime.evaluation.evaluate import BASELINE
from hime.experiments.report import DIGITS, HEADINGS, PAPER_DIGITS, with_interval
from hime.experiments.tables import METRICS

NOTES = (
    "The paper's figures are on CelebAMask-HQ: compare rows of one origin only, or each with its bicubic.",
    "Our GMACs are those of modules, the paper's convention, and then all: bicubic enlargement, sampling and "
    "resizing too; nothing is cached. Our networks have no normalisation layers.",
    "The paper's columns mix conventions: its parameters leave out normalisation layers, its GMACs are of "
    "modules only, without the search products (TTSR with them: 28.97 at LR 32, 144.86 at LR 64). Its "
    "SPARNet is the network for blind restoration at 512 px (that for 16→128 has 10.52 M and 7.13 G); PFSR's "
    "two columns are swapped, very likely FSRNet's too; GWAInet's 6.55 are FLOPs (3.27 GMACs); DFDNet's "
    "133.34 M hold VGG twice.",
)


TRAINED = (
    "The compared systems were trained here, from nothing but VGG-19's public weights: the same people, the "
    "same pairs drawn, equally many of them in a setting, one reconstruction loss (with `-p`: one perceptual "
    "objective). The paper's are mostly trained for the eye: compare rows of one origin. *Most alike*: the "
    "reference that looks most like the headshot in place of the first; *best of them*: of one picture a "
    "reference, the one nearest to the truth, which only an oracle knows. What the originals took from "
    "networks that are not to be had is replaced, see docs/systems.md."
)


def markdown(result: Mapping[str, Any]) -> str:
    """The page: for each setting the paper's rows and then ours."""
    blocks = [
        "# Table 1: comparison",
        f"`hime reproduce table1` on `{result['list']}`, {result['references']} references; 95 % bootstrap "
        "intervals over people. **Bold** rows are measured here, the others copied from the paper.",
        *([TRAINED] if "budget" in result else []),
        *learning_rates(result),
    ]
    for setting in result["settings"]:
        lr_size, target = setting["lr_size"], setting["lr_size"] * setting["scale"]
        failed = f"; {len(setting['failed'])} could not be used" if setting["failed"] else ""
        people = f"{setting['images']} images of {setting['people']} people{failed}"
        is_beside = any(row.get("paper") for row in setting["rows"])
        told = side_by_side(setting) if is_beside else table(setting)
        blocks += [f"## {lr_size}→{target}: {people}", told]
    if result["other_settings"]:
        others = ", ".join(result["other_settings"])
        blocks.append(
            f"Not of a setting of the table, or of one that nothing could be measured in: {others}."
        )
    blocks.append("![Table 1: comparison](table1.png)")
    return "\n\n".join([*blocks, *NOTES]) + "\n"


def learning_rates(result: Mapping[str, Any]) -> list[str]:
    """A sentence on the learning rates tried, best first, where several were; else nothing."""
    tried = result.get("learning_rates") or {}
    if not tried:
        return []
    rows = []
    for name, trials in tried.items():
        told = [
            f"{each['learning_rate']:g} ({'came to nothing' if each['loss'] is None else each['loss']})"
            for each in trials
        ]
        rows.append(f"{name} **{told[0]}**, {', '.join(told[1:])}")
    return [
        "Each was trained once with each learning rate, the one in bold is measured (in brackets the mean "
        f"pixel loss over the last third of the steps): {'; '.join(rows)}."
    ]


def plot(result: Mapping[str, Any]) -> Figure:
    """A row of panels a setting, against multiply-adds: PSNR over bicubic, LPIPS as a share of bicubic's.

    Each against the bicubic of its own origin, since the paper's figures are on another data set.
    """
    settings = result["settings"]
    figure = Figure(figsize=(11, 4 * len(settings)), layout="constrained", dpi=128)
    for setting, panels in zip(settings, figure.subplots(len(settings), 2, squeeze=False), strict=True):
        target = setting["lr_size"] * setting["scale"]
        panels[0].set_title(f"{setting['lr_size']}→{target}: PSNR over bicubic, dB ↑")
        panels[1].set_title(f"{setting['lr_size']}→{target}: LPIPS, share of bicubic’s ↓")
        theirs = [(row["method"], row["gmacs"], row) for row in setting["paper"]]
        ours = [
            (row["name"], row["cost"] and row["cost"]["macs_total"] / 1e9, row["here"])
            for row in setting["rows"]
        ]
        # Names of ours on the left: they are the cheapest.
        for ((_, _, bicubic), *methods), colour, side in ((theirs, "grey", 1), (ours, "tab:blue", -1)):
            place = {"xytext": (5 * side, 2), "ha": "left" if side > 0 else "right", "fontsize": 7}
            for name, gmacs, figures in methods:
                for axis, height in zip(panels, over_bicubic(figures, bicubic), strict=True):
                    if height is None:
                        continue
                    axis.plot(gmacs, height, "o", color=colour)
                    axis.annotate(name, (gmacs, height), textcoords="offset points", **place)
        for axis in panels:
            axis.set_xscale("log")
            axis.margins(x=0.2)
            axis.set_xlabel("GMACs (blue: here, grey: the paper’s)")
    return figure


def over_bicubic(figures: Mapping[str, Any], bicubic: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """PSNR over bicubic's, and LPIPS as a share of bicubic's; None where one of the means is not known, as
    PSNR's over a list with a photo of one colour, which is restored exactly.
    """
    psnr, lpips = ((figures[metric], bicubic[metric]) for metric in ("psnr", "lpips"))
    return (
        None if None in psnr else psnr[0] - psnr[1],
        None if None in lpips or lpips[1] == 0 else lpips[0] / lpips[1],
    )


def side_by_side(setting: Mapping[str, Any]) -> str:
    """A line a method of ours with the paper's figures of the same beside them, then the paper's others."""
    theirs = {row["method"]: row for row in setting["paper"]}
    metrics = list(setting["rows"][0]["here"])
    heads = ["", *(head for metric in METRICS for head in (HEADINGS[metric], "paper"))]
    heads += ["identity ↑"] if "identity" in metrics else []
    heads += ["parameters (M)", "paper", "GMACs: modules, all", "paper", "s an image", "pairs"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in setting["rows"]:
        name = row.get("paper") or ("Bicubic" if row["name"] == BASELINE else None)
        paper = theirs.pop(name, None) if name else None
        cells = [f"**{row['name']}**"]
        for metric in METRICS:
            cells.append(with_interval(row["here"][metric], row["intervals"][metric], DIGITS[metric]))
            cells.append("" if paper is None else f"{paper[metric]:.{PAPER_DIGITS[metric]}f}")
        if "identity" in metrics:
            cells.append(with_interval(row["here"]["identity"], None, 3))
        cells += _costs(row["cost"], paper)
        training = row.get("training")
        cells += [f"{row['seconds']:.3f}" if "seconds" in row else ""]
        more = "> " if training and training.get("at_least") else ""
        cells += [f"{more}{training['pairs']:,}" if training else ""]
        lines.append(f"| {' | '.join(cells)} |")
    for name, paper in theirs.items():
        cells = [name]
        for metric in METRICS:
            cells += ["", f"{paper[metric]:.{PAPER_DIGITS[metric]}f}"]
        cells += [""] * ("identity" in metrics) + _costs(None, paper) + ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _costs(ours: Mapping[str, int] | None, paper: Mapping[str, Any] | None) -> list[str]:
    """Parameters here and in the paper, multiply-adds likewise."""
    cells = ["", "", "", ""]
    if ours is not None:
        cells[0] = f"{ours['parameters'] / 1e6:.2f}"
        cells[2] = ", ".join(f"{ours[kind] / 1e9:.2f}" for kind in ("macs_modules", "macs_total"))
    if paper is not None and paper["parameters"] is not None:
        cells[1], cells[3] = f"{paper['parameters']:.2f}", f"{paper['gmacs']:.2f}"
    return cells


def table(setting: Mapping[str, Any]) -> str:
    """A line a method: the paper's, then ours."""
    heads = [*(HEADINGS[metric] for metric in METRICS), "parameters (M)", "GMACs"]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for row in setting["paper"]:
        cells = [f"{row[metric]:.{PAPER_DIGITS[metric]}f}" for metric in METRICS]
        cells += ["" if row[column] is None else f"{row[column]:.2f}" for column in ("parameters", "gmacs")]
        lines.append(f"| {row['method']} | {' | '.join(cells)} |")
    for row in setting["rows"]:
        cells = [
            with_interval(row["here"][metric], row["intervals"][metric], DIGITS[metric]) for metric in METRICS
        ]
        found = row["cost"]
        if found is None:
            cells += ["", ""]
        else:
            giga = (f"{found[kind] / 1e9:.2f}" for kind in ("macs_modules", "macs_total"))
            cells += [f"{found['parameters'] / 1e6:.2f}", ", ".join(giga)]
        lines.append(f"| **{row['name']}** | {' | '.join(cells)} |")
    return "\n".join(lines)
