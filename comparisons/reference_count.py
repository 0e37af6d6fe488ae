"""How likeness and PSNR grow with the number of references: a table and a curve.

    hime make-list --data ROOT --people TEST.txt --references 8 --inputs 3 --out eight.jsonl
    python comparisons/reference_count.py MODEL… --data ROOT --list eight.jsonl --degradation medium \
        --out runs/counts --plot docs/reference_count.png

Each MODEL gets the first 0, 1, 2, … of each entry's references (`--counts`), so that all counts are measured
on the same inputs. Measured as by `hime evaluate`, and by dlib's distance where it is installed (README.md
beside this file). ``--out`` gets ``MODEL.json`` of each, the methods being ``MODEL@N`` and differences those
to the first count, and ``counts.md``. The same command goes on where it was: a model whose file is there is
not measured again, and a file of other arguments, another list or other weights is refused.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hime.cli.evaluate import open_degradation
from hime.data.people import read_list
from hime.errors import HimeError
from hime.evaluation.evaluate import BASELINE, Method, Variant, evaluate
from hime.experiments.report import with_interval
from hime.files import write_atomically
from hime.restoring.restorer import Restorer
from once import each_model
from peers import all_measures

COUNTS = (0, 1, 2, 3, 5, 8)
COLUMNS = {
    "identity": ("likeness (SFace), more is more like", 3),
    "dlib": ("dlib's distance, less is more like", 3),
    "psnr": ("PSNR in dB", 3),
    "lpips": ("LPIPS, less looks more like it", 3),
}
"""What is shown of each metric: heading and decimals."""
PLOTTED = ("identity", "dlib", "psnr")

Results = Mapping[str, Mapping[str, Any]]
"""Model → what `evaluate` gave."""


def measured(restorer: Restorer, counts: Sequence[int], options: argparse.Namespace) -> dict[str, Any]:
    """One model with each count: what `evaluate` returns.

    Raises:
        HimeError: the list has fewer references, or cannot be read.
    """
    methods: list[Method] = [Variant(restorer, f"{restorer.name}@{count}", count) for count in counts]
    return evaluate(
        methods,
        options.data,
        read_list(options.list),
        lr_size=options.lr_size or int(restorer.card["lr_size"]),
        list_name=options.list.name,
        references=max(counts),
        degradation=open_degradation(options.degradation, options.seed),
        measures=all_measures("reference_count"),
    )


def count_of(method: str) -> int:
    """N of ``MODEL@N``."""
    return int(method.rpartition("@")[2])


def gained(
    result: Mapping[str, Any], method: str, metric: str
) -> tuple[float | None, Sequence[float] | None]:
    """How much more a method has than the first: mean, and both ends of its 95 % interval over people; None
    where nothing was measured, or one person only.
    """
    first = result["models"][0]
    if method == first:
        return (0.0, (0.0, 0.0)) if result["methods"][first][metric] is not None else (None, None)
    found = next(each for each in result["differences"] if (each["method"], each["minus"]) == (method, first))
    return found["mean"][metric], found["interval"][metric]


def format_markdown(results: Results) -> str:
    """A table a model: a count a row; each metric's mean and what it has more than the first row."""
    lines = []
    for model, result in results.items():
        metrics = [metric for metric in COLUMNS if metric in result["methods"][BASELINE]]
        heads = [f"{COLUMNS[metric][0].split(',')[0]} | more" for metric in metrics]
        lines += [
            f"{model}, {result['list']}: {result['images']} inputs of {result['people']} people, "
            f"{result['lr_size']}→{result['lr_size'] * result['scale']}, {result['degradation']}",
            "",
            f"| references | {' | '.join(heads)} |",
            "|---" * (2 * len(metrics) + 1) + "|",
        ]
        for method in (BASELINE, *result["models"]):
            label = BASELINE if method == BASELINE else str(count_of(method))
            cells = []
            for metric in metrics:
                decimals = COLUMNS[metric][1]
                cells.append(with_interval(result["methods"][method][metric], None, decimals))
                is_first = method in (BASELINE, result["models"][0])
                cells.append(
                    "" if is_first else with_interval(*gained(result, method, metric), decimals, "+")
                )
            lines.append(f"| {label} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def drawn(results: Results) -> bytes:
    """A PNG with a panel for each metric, a curve for each model; its band is the 95 % interval of what it
    has more than with the first count, since people differ far more than counts do.
    """
    from matplotlib.figure import Figure

    first = next(iter(results.values()))
    metrics = [metric for metric in PLOTTED if metric in first["methods"][BASELINE]]
    figure = Figure(figsize=(4 * len(metrics), 4), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False).flat, metrics, strict=True):
        for model, result in results.items():
            counts = [count_of(method) for method in result["models"]]
            means = [result["methods"][method][metric] for method in result["models"]]
            if None in means:  # it was not measured
                continue
            known = [gained(result, method, metric)[1] for method in result["models"]]
            ends = [means[0] + np.array(each) for each in known if each is not None]
            if len(ends) == len(counts):  # of one person there is no interval
                axes.fill_between(counts, *np.transpose(ends), alpha=0.2)
            axes.plot(counts, means, marker="o", label=model)
        if (bicubic := first["methods"][BASELINE][metric]) is not None:
            axes.axhline(bicubic, linestyle=":", color="grey", label="bicubic")
        axes.set(xlabel="references", ylabel=COLUMNS[metric][0])
        axes.set_xticks(counts)
    axes.legend()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; exit status 1 if an input could not be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="as for `hime evaluate`")
    parser.add_argument("--data", required=True, type=Path, metavar="ROOT", help="people folder")
    parser.add_argument("--list", required=True, type=Path, metavar="LIST.jsonl", help="of `hime make-list`")
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS, metavar="N", help="default: 0 … 8")
    parser.add_argument("--lr-size", type=int, metavar="PIXELS", help="default: the model's own")
    parser.add_argument("--degradation", choices=("bicubic", "mild", "medium", "strong"), default="bicubic")
    parser.add_argument("--seed", type=int, default=0, help="of the degradation; default: 0")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    options = parser.parse_args(arguments)
    try:
        return _compare(options)
    except HimeError as error:
        print(f"reference_count: {error}", file=sys.stderr)
        return 1


def _compare(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    results = dict(each_model(options, lambda restorer: measured(restorer, options.counts, options)))
    table = format_markdown(results)
    write_atomically(options.out / "counts.md", lambda path: path.write_text(table, encoding="utf-8"))
    print(table, end="")
    if options.plot is not None:
        write_atomically(options.plot, lambda path: path.write_bytes(drawn(results)))
    return 1 if any(result["failed"] for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
