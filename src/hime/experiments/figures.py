"""Figure 6: what the correlation loss sees, as pictures.

Shapes: ``B`` batch, ``C`` channels, ``H W`` image size, ``k`` window.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from hime.data.people import DEMO_PEOPLE
from hime.evaluation.provenance import provenance
from hime.experiments.report import save_figure, write_text
from hime.files import write_json
from hime.losses.correlation import centred
from hime.pictures.arrays import Image, resize, to_planes
from hime.pictures.reading import read_image
from hime.restoring.restorer import centre_crop

SIZE = 128
"""Side of the picture in pixels, the paper's."""

WINDOWS = (3, 5, 7)
DEMO_PICTURE = DEMO_PEOPLE / "fay" / "0.webp"

TEXT = (
    "# Figure 6: correlation maps\n\n"
    "`hime reproduce fig6`: `{image}`, {size}×{size} pixels, and the mean over the k² maps of M_cor "
    "(equation 8). Colours go by rank, since a few very bright or dark places have by far the largest "
    "values. Blue is low: edges and fine texture, and also what is near the picture's mean colour; red is "
    "high: the smooth brightest and darkest areas. The larger the window, the coarser the map.\n\n"
    "![The picture and its correlation maps for k = 3, 5, 7](fig6.png)\n\n"
    "The same in figures: the mean slope of the grey picture, in levels a pixel, over its bluest and its "
    "reddest quarter.\n\n"
    "| k | bluest quarter | reddest quarter |\n|---|---|---|\n{rows}\n"
)


def mean_correlation(image: Tensor, window: int) -> Tensor:
    """The mean of the k² maps of M_cor (equation 8): B×C×H×W in [0, 1] → B×H×W.

    Each map is divided by k², and the product is linear in the neighbour: their sum is the product of every
    pixel with the mean of its neighbourhood, and the mean of the maps a k²-th of that. Outside the image the
    centred values are zero, as in `correlation_loss`.
    """
    image = centred(image)
    neighbourhood = F.avg_pool2d(image, window, stride=1, padding=window // 2)
    return (image * neighbourhood).sum(dim=1) / window**2


def correlation_figure(image: Path | str | None, out: Path | str) -> Path:
    """Write OUT/fig6.png, .md and .json: a picture beside its correlation maps.

    Args:
        image: any picture file; a rendered demo person by default.
        out: folder for the results; made if missing.

    Returns:
        The path of the PNG.

    Raises:
        HimeError: the picture cannot be read, or ``out`` not be written to.
    """
    path, out = Path(image or DEMO_PICTURE), Path(out)
    picture = resize(centre_crop(read_image(path), 1, 1), SIZE, SIZE)
    planes = torch.from_numpy(to_planes(picture))
    maps = [mean_correlation(planes, window)[0].numpy() for window in WINDOWS]
    slope = np.hypot(*np.gradient(picture.mean(axis=2)))
    windows = [
        {"window": window, **quarters(correlation, slope)}
        for window, correlation in zip(WINDOWS, maps, strict=True)
    ]
    result = {
        "provenance": provenance(image=path),
        "experiment": "fig6",
        "image": path.name,
        "size": SIZE,
        "windows": windows,
    }
    rows = "\n".join(
        f"| {entry['window']} | {entry['slope_of_bluest']:.2f} | {entry['slope_of_reddest']:.2f} |"
        for entry in windows
    )
    write_json(out / "fig6.json", result)
    write_text(out / "fig6.md", TEXT.format(image=path.name, size=SIZE, rows=rows))
    return save_figure(out / "fig6.png", draw(picture, maps))


def quarters(correlation: np.ndarray, slope: np.ndarray) -> dict[str, Any]:
    """The mean slope where ``correlation`` lies in its lowest and in its highest quarter; both H×W."""
    low, high = np.quantile(correlation, (0.25, 0.75))
    return {
        "slope_of_bluest": round(float(slope[correlation <= low].mean()), 4),
        "slope_of_reddest": round(float(slope[correlation >= high].mean()), 4),
    }


def draw(picture: Image, maps: Sequence[np.ndarray]) -> Figure:
    """The picture and a map a window, coloured by rank: blue is its lowest value, red its highest."""
    figure = Figure(figsize=(3 * (1 + len(maps)), 3.3), layout="constrained", dpi=128)
    axes = figure.subplots(1, 1 + len(maps))
    axes[0].imshow(picture)
    axes[0].set_title(f"{SIZE}×{SIZE}")
    for axis, correlation, window in zip(axes[1:], maps, WINDOWS, strict=True):
        axis.imshow(correlation.argsort(axis=None).argsort().reshape(correlation.shape), cmap="jet")
        axis.set_title(f"k = {window}")
    for axis in axes:
        axis.set_axis_off()
    return figure
