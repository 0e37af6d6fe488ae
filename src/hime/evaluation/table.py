"""The result of an evaluation as lines of text."""

from __future__ import annotations

from typing import Any

from hime.evaluation.evaluate import BASELINE, baseline_of

COLUMNS = {
    "psnr": ("PSNR", 3),
    "ssim": ("SSIM", 4),
    "lpips": ("LPIPS", 4),
    "lpips_squeeze": ("LPIPS-squeeze", 4),
    "identity": ("identity", 4),
    "identity_references": ("…to references", 4),
}
"""The table's heading of each metric, and its decimals."""


def format_table(result: dict[str, Any]) -> str:
    """The result of `evaluate` as lines of text.

    A heading; each method's means with their intervals below; the differences likewise; what was left out.
    """
    lr_size, target = result["lr_size"], result["lr_size"] * result["scale"]
    sizes = f"{lr_size}→{target}" if result["scale"] > 1 else f"given at {target}"
    references = result["references"]
    measured = result["methods"][baseline_of(result["scale"])]
    rows = [["", *(COLUMNS[metric][0] for metric in measured)]]
    for name, means in result["methods"].items():
        rows += _table_rows(name, means, result["intervals"][name], "")
    for each in result["differences"]:
        rows += _table_rows(f"{each['method']} − {each['minus']}", each["mean"], each["interval"], "+")
    labels, *columns = ([len(cell) for cell in column] for column in zip(*rows, strict=True))
    widths = [max(column) for column in columns]
    lines = [
        f"{result['list']}: {result['images']} images of {result['people']} people, {sizes}, "
        f"{references} reference{'' if references == 1 else 's'}"
        + ("" if result["degradation"] == BASELINE else f", {result['degradation']}")
        + (", PSNR and SSIM on luminance" if result["luminance"] else "")
    ]
    for label, *cells in rows:
        figures = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(f"{label:{max(labels)}}{figures}")
    if result["people"] > 1:
        lines.append("below each mean: its 95 % interval, over people")
    if result.get("truth", {}).get("identity_references") is not None:
        lines.append(f"the photos themselves: {result['truth']['identity_references']:.4f} to references")
    if result.get("no_face"):
        lines.append(f"no face found in {result['no_face']} photos: left out of identity")
    if result["failed"]:
        lines.append(f"{len(result['failed'])} failed:")
        lines += [f"  {failure['error']}" for failure in result["failed"]]
    return "\n".join(lines)


def _table_rows(
    label: str, means: dict[str, float | None], intervals: dict[str, list[float] | None], sign: str
) -> list[list[str]]:
    """A row of means, and one of their intervals if there are any."""

    def cell(value: float | None, metric: str) -> str:
        return "–" if value is None else f"{value:{sign}.{COLUMNS[metric][1]}f}"

    rows = [[label, *(cell(value, metric) for metric, value in means.items())]]
    if any(intervals.values()):
        ends = ("…".join(cell(end, metric) for end in each or ()) for metric, each in intervals.items())
        rows.append(["", *ends])
    return rows
