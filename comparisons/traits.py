"""Do traits survive: the colour of the eyes, moles?

    python comparisons/traits.py MODEL… --data ROOT --list LIST.jsonl --out runs/eyes [--degradation medium]
    python comparisons/traits.py MODEL… --lr-size 64 --out runs/moles [--degradation medium]

With ``--data`` the colour of the eyes of the list's people (`EyeColour`), and as a yardstick how far it is
from one photo of a person to another, and to other people's. Without it the moles of the rendered people that
come with the package (`Moles`): there it is known where they are.

Each MODEL is measured with three references and, as ``MODEL@0``, without; bicubic and, where it is installed
(README.md beside this file), Real-ESRGAN beside them. ``--out`` gets ``traits.json``, as
`hime evaluate --out` writes it, and ``traits.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter, maximum_filter
from skimage.color import rgb2lab

from hime import faces
from hime.cli.evaluate import open_degradation
from hime.cli.models import open_measured
from hime.data.people import DEMO_PEOPLE, ListEntry, make_list, read_list, read_people
from hime.errors import HimeError
from hime.evaluation.evaluate import BASELINE, Method, Variant, check_methods, evaluate
from hime.evaluation.measures import Figures, Measure, Sample
from hime.evaluation.provenance import provenance
from hime.experiments.report import with_interval
from hime.faces.headshot import Frame
from hime.files import write_atomically, write_json
from hime.pictures.arrays import LUMA, Image
from hime.pictures.reading import read_target
from peers import SCALE, Peer, real_esrgan

FloatArray = npt.NDArray[np.float64]
Place = tuple[float, float]
"""x and y in pixels, pixel centres at whole numbers."""

EYES_APART = 1 / 4
"""Distance of the eyes of a face that looks ahead, in sides of its headshot (`hime.faces.headshot`)."""
COLUMNS = {
    "eye": ("eyes, ΔE", 2),
    "eye_hue": ("eyes, Δab", 2),
    "moles": ("moles kept", 2),
    "made_up": ("spots made up", 2),
}
"""Heading and decimals of each metric."""


# ------------------------------------------------------------------------------------------ eye colour

IRIS = 0.093
"""Radius of the iris in distances of the eyes: 11.7 mm across, 63 mm apart."""
INSIDE = 0.8
"""Share of the radius that is looked at, so that no white is."""
LID = 0.4
"""How far above the iris's middle is looked, in its radii: higher up lies the lid."""


class EyeColour:
    """``eye`` and ``eye_hue``: how far the colour of the irises is from the truth's; mean of both eyes.

    Distances of the mean colours in CIE Lab: ΔE (1976), and without the lightness. The irises are found in
    the truth and serve for all pictures of it: the darkest disc of their size that is no further from the
    detector's landmark than its own radius, which allows for looking aside. None where no face is found.
    """

    metrics = ("eye", "eye_hue")

    def __call__(self, images: Sequence[Image], sample: Sample) -> list[Figures]:
        """The figures of each image."""
        irises = irises_in(sample.truth)
        if irises is None:
            return [dict.fromkeys(self.metrics) for _ in images]
        own = colours(sample.truth, irises)
        figures: list[Figures] = []
        for image in images:
            apart = colours(image, irises) - own
            figures.append(
                {
                    "eye": float(np.linalg.norm(apart, axis=1).mean()),
                    "eye_hue": float(np.linalg.norm(apart[:, 1:], axis=1).mean()),
                }
            )
        return figures


def irises_in(image: Image) -> list[npt.NDArray[np.bool_]] | None:
    """Where the irises of the largest face are: a mask H×W for each eye; None where no face is found."""
    found = faces.detect(image)
    if not found:
        return None
    radius = IRIS * EYES_APART * Frame.of(found[0].landmarks).side
    luminance = luminance_of(image)
    return [iris_at(luminance, landmark, radius) for landmark in found[0].landmarks[:2]]


def iris_at(luminance: FloatArray, landmark: npt.ArrayLike, radius: float) -> npt.NDArray[np.bool_]:
    """The darkest disc near an eye's landmark, as far as it is looked at: a mask of ``luminance``'s shape."""
    y, x = np.mgrid[: luminance.shape[0], : luminance.shape[1]]
    steps = np.linspace(-radius, radius, 9)
    middles = np.asarray(landmark, np.float64) + [(dx, dy) for dx in steps for dy in steps]

    def darkness(middle: FloatArray) -> float:
        disc = np.hypot(x - middle[0], y - middle[1]) <= radius
        return float(luminance[disc].mean()) if disc.any() else np.inf

    middle = min(middles, key=darkness)
    is_in = np.hypot(x - middle[0], y - middle[1]) <= INSIDE * radius
    mask: npt.NDArray[np.bool_] = is_in & (y >= middle[1] - LID * radius)
    return mask


def colours(image: Image, irises: Sequence[npt.NDArray[np.bool_]]) -> FloatArray:
    """The mean colour in each mask: one row L, a, b each; NaN where a mask is empty."""
    lab = rgb2lab(image)
    return np.array([lab[iris].mean(axis=0) if iris.any() else np.full(3, np.nan) for iris in irises])


def yardstick(root: Path, entries: Sequence[ListEntry], side: int) -> dict[str, float]:
    """How far eyes are apart from one photo to another, mean ΔE and Δab: of the same person (the input and
    its first reference), and of different people (the input and the next person's).
    """
    own, other = (
        [_eyes_of(root / name, side) for name in names]
        for names in ([entry.input for entry in entries], [entry.references[0] for entry in entries])
    )
    found: dict[str, float] = {}
    for label, pairs in (
        ("same person", list(zip(own, other, strict=True))),
        (
            "other people",
            [
                (own[first], own[second])
                for first, entry in enumerate(entries)
                for second in [(first + 1) % len(entries)]
                if entry.person != entries[second].person
            ],
        ),
    ):
        apart = np.array([one - two for one, two in pairs if one is not None and two is not None])
        if len(apart):
            found[f"{label}, ΔE"] = round(float(np.linalg.norm(apart, axis=2).mean()), 4)
            found[f"{label}, Δab"] = round(float(np.linalg.norm(apart[..., 1:], axis=2).mean()), 4)
    return found


def _eyes_of(path: Path, side: int) -> FloatArray | None:
    image = read_target(path, side)
    irises = irises_in(image)
    return None if irises is None else colours(image, irises)


# ----------------------------------------------------------------------------------------------- moles

MARKED_SIDE = 256
MARKED: Mapping[str, tuple[Place, ...]] = {
    "ada/0": ((169, 102),),
    "ada/1": ((125, 135), (62, 164)),
    "ada/2": ((162, 95), (142, 184)),
    "ada/3": ((130, 142), (57, 186)),
    "ada/4": ((167, 97),),
    "ada/5": ((163, 96),),
    "ben/0": ((94, 136),),
    "ben/1": ((91, 136),),
    "ben/3": ((97, 133),),
    "ben/4": ((95, 133),),
    "dan/0": ((126, 180),),
    "dan/3": ((136, 181),),
    "eva/0": ((133, 117), (115, 145), (128, 178)),
    "eva/1": ((121, 143), (136, 179)),
    "eva/2": ((125, 175), (130, 111)),
    "eva/3": ((126, 143), (139, 178)),
    "eva/4": ((114, 142), (140, 172)),
    "eva/5": ((121, 173),),
    "fay/0": ((133, 173), (145, 237)),
    "fay/1": ((137, 169),),
    "fay/2": ((166, 241), (123, 173)),
    "fay/3": ((77, 128),),
    "fay/4": ((124, 170), (138, 234)),
    "fay/5": ((116, 170), (113, 145)),
}
"""The moles of the rendered people that are seen, marked by eye in their pictures of `MARKED_SIDE` pixels.
Carl's beard hides his."""

CENTRE, AROUND = 1.2 / 256, 3.2 / 256
"""Standard deviations, in sides of the headshot, of the two Gaussians whose difference sees moles."""
REACH = 3 / 256
"""How far a spot may lie from where it should, in sides of the headshot."""
KEPT = 0.5
"""Share of the truth's contrast from which a mole is kept, and below which a spot is none of the truth's."""
FAINTEST, SEEN = 2.0, 5.0
"""Contrast in levels below which there is no spot, and from which one that was made up is counted. The marked
moles have 3 to 19, one in the middle 10."""


class Moles:
    """``moles``: the share of known moles that are still there; ``made_up``: spots that the truth has not.

    A spot is a place that is darker than what is around it and more so than any place beside it (difference
    of Gaussians of the luminance). A mole is kept if there is one within `REACH` with at least `KEPT` of the
    truth's contrast. Made up are those of at least `SEEN` levels on the skin (`skin`) where the truth has
    less than `KEPT` of it.

    Args:
        marked: of each picture, PERSON/NAME, where its moles are, for `MARKED_SIDE` pixels a side. Pictures
            that are not in it are not measured.
    """

    metrics = ("moles", "made_up")

    def __init__(self, marked: Mapping[str, Sequence[Place]] = MARKED) -> None:
        self._marked = marked

    def __call__(self, images: Sequence[Image], sample: Sample) -> list[Figures]:
        """The figures of each image."""
        assert sample.file is not None
        marked = self._marked.get(f"{sample.file.parent.name}/{sample.file.stem}")
        found = faces.detect(sample.truth)
        if marked is None or not found:
            return [dict.fromkeys(self.metrics) for _ in images]
        side = len(sample.truth)
        places = [
            ((x + 0.5) * side / MARKED_SIDE - 0.5, (y + 0.5) * side / MARKED_SIDE - 0.5) for x, y in marked
        ]
        own, on_skin = contrast(sample.truth), skin(side, found[0].landmarks)
        there = maximum_filter(own, footprint=_disc(REACH * side))
        figures: list[Figures] = []
        for image in images:
            seen = contrast(image)
            spots = np.where((seen == maximum_filter(seen, 3)) & (seen >= FAINTEST), seen, 0)
            near = maximum_filter(spots, footprint=_disc(REACH * side))
            needed = np.maximum(FAINTEST, KEPT * there)
            kept = [near[_pixel(place)] >= needed[_pixel(place)] for place in places]
            made_up = on_skin & (spots >= SEEN) & (there < KEPT * spots)

            figures.append({"moles": float(np.mean(kept)), "made_up": float(made_up.sum())})
        return figures


def contrast(image: Image) -> FloatArray:
    """H×W: by how many levels each place is darker than what is around it."""
    luminance, side = luminance_of(image), len(image)
    darker: FloatArray = gaussian_filter(luminance, AROUND * side) - gaussian_filter(luminance, CENTRE * side)
    return darker


def skin(side: int, landmarks: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """side×side: the face without eyes, brows, nostrils and mouth.

    Args:
        side: of the headshot.
        landmarks: 5×2, see `hime.faces.Face`.
    """
    points = np.asarray(landmarks, np.float64)
    unit = EYES_APART * Frame.of(points).side
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    down = (mouth - eyes) / np.linalg.norm(mouth - eyes)
    y, x = np.mgrid[:side, :side]

    def away(point: FloatArray, radius: float) -> npt.NDArray[np.bool_]:
        outside: npt.NDArray[np.bool_] = np.hypot(x - point[0], y - point[1]) > radius * unit
        return outside

    middle = eyes + 0.55 * (mouth - eyes)
    along = ((x - middle[0]) * down[0] + (y - middle[1]) * down[1]) / (1.05 * np.linalg.norm(mouth - eyes))
    across = ((x - middle[0]) * down[1] - (y - middle[1]) * down[0]) / (0.7 * unit)
    is_skin: npt.NDArray[np.bool_] = np.hypot(along, across) < 1
    for eye in points[:2]:
        is_skin &= away(eye - 0.12 * unit * down, 0.5)
    is_skin &= away(points[2] + 0.1 * unit * down, 0.35)
    for part in (points[3], mouth, points[4]):
        is_skin &= away(part, 0.35)
    return is_skin


def luminance_of(image: Image) -> FloatArray:
    """BT.601, in levels."""
    return np.asarray(image, np.float64) @ LUMA


def _disc(radius: float) -> npt.NDArray[np.bool_]:
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc: npt.NDArray[np.bool_] = np.hypot(x, y) <= radius
    return disc


def _pixel(place: Place) -> tuple[int, int]:
    return round(place[1]), round(place[0])


# --------------------------------------------------------------------------------------------- command


def methods_of(models: Sequence[str]) -> tuple[list[Method], int]:
    """What is compared, and the LR size of the first model.

    Raises:
        HimeError: a model is missing.
    """
    methods: list[Method] = []
    restorers = [open_measured(model, threads=1) for model in models]
    for restorer in restorers:
        methods += [restorer, Variant(restorer, f"{restorer.name}@0", 0)]
    if methods[0].scale == SCALE:
        try:
            methods.append(Peer("Real-ESRGAN", real_esrgan()))
        except ModuleNotFoundError as error:
            print(f"traits: Real-ESRGAN is left out: {error.name} is not installed", file=sys.stderr)
    return methods, int(restorers[0].card["lr_size"])


def format_markdown(result: Mapping[str, Any]) -> str:
    """A method a row, each metric with its 95 % interval; the yardstick below."""
    metrics = [metric for metric in COLUMNS if metric in result["methods"][BASELINE]]
    size = result["lr_size"]
    lines = [
        f"{result['list']}: {result['images']} images of {result['people']} people, "
        f"{size}→{size * result['scale']}, {result['references']} references, {result['degradation']}",
        "",
        "|  | " + " | ".join(COLUMNS[metric][0] for metric in metrics) + " |",
        "|---" * (len(metrics) + 1) + "|",
    ]
    for method in (BASELINE, *result["models"]):
        cells = []
        for metric in metrics:
            mean, interval = (result[key][method][metric] for key in ("methods", "intervals"))
            cells.append(with_interval(mean, interval, COLUMNS[metric][1]))
        lines.append(f"| {method} | {' | '.join(cells)} |")
    told = [f"{label} {value:.2f}" for label, value in result.get("yardstick", {}).items()]
    return "\n".join([*lines, *(["", "Between photos: " + "; ".join(told)] if told else [])]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; exit status 1 if an input could not be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="as for `hime evaluate`")
    parser.add_argument("--data", type=Path, metavar="ROOT", help="people folder; default: rendered people")
    parser.add_argument("--list", type=Path, metavar="LIST.jsonl", help="of `hime make-list`")
    parser.add_argument("--lr-size", type=int, metavar="PIXELS", help="default: the first model's own")
    parser.add_argument("--degradation", choices=("bicubic", "mild", "medium", "strong"), default="bicubic")
    parser.add_argument("--seed", type=int, default=0, help="of the degradation; default: 0")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    if (options.data is None) != (options.list is None):
        parser.error("--data and --list, both or neither")
    try:
        return _compare(options)
    except HimeError as error:
        print(f"traits: {error}", file=sys.stderr)
        return 1


def _compare(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    faces.require()
    methods, own_size = methods_of(options.models)
    check_methods(methods)
    lr_size = options.lr_size or own_size
    rendered = options.data is None
    if rendered:
        root, name = DEMO_PEOPLE, "rendered people"
        everyone = make_list(root, read_people(root / "people.txt"), references=3, inputs_per_person=6)
        entries = [entry for entry in everyone if entry.input.removesuffix(".webp") in MARKED]
    else:
        root, name, entries = options.data, options.list.name, read_list(options.list)
    measures: list[Measure] = [Moles()] if rendered else [EyeColour()]
    source = provenance(root, list=options.list)  # of what is measured, not of what lies there hours later
    result = evaluate(
        methods,
        root,
        entries,
        lr_size=lr_size,
        list_name=name,
        degradation=open_degradation(options.degradation, options.seed),
        measures=measures,
    )
    if not rendered:
        result["yardstick"] = yardstick(root, entries, lr_size * methods[0].scale)
    write_json(options.out / "traits.json", {"provenance": source, **result})
    table = format_markdown(result)
    write_atomically(options.out / "traits.md", lambda path: path.write_text(table, encoding="utf-8"))
    print(table, end="")
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
