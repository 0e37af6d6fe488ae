"""Which photos of a person to restore a face from: ways of choosing, compared.

    hime make-list --data ROOT --people TEST.txt --references 7 --inputs 2 --out inputs.jsonl
    python comparisons/choosing.py MODEL --data ROOT --list inputs.jsonl --degradation medium --out runs/ways

The list says which photos are made small and restored. To choose from are all other photos in the person's
folder that can be used (`hime.faces.album`). What is known of the input is what `hime restore` knows: the
face found in the small picture enlarged, its landmarks and its embedding. Inputs in which none is found are
left out.

``--out`` gets ``choosing.json`` (what `hime.evaluation.averages.summarise` gives, differences to choosing by
chance and to what the program does) and ``choosing.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hime import faces
from hime.cli.evaluate import open_degradation
from hime.cli.models import open_measured
from hime.data.people import ListEntry, read_list
from hime.errors import HimeError
from hime.evaluation.averages import rounded, summarise
from hime.evaluation.dlib_distance import DlibDistance
from hime.evaluation.evaluate import Degradation
from hime.evaluation.measures import Distortion, Identity, Measure, Sample
from hime.evaluation.provenance import provenance
from hime.experiments.report import with_interval
from hime.faces.album import Person, Reference, read_person
from hime.faces.embedding import similarity
from hime.faces.found import FoundFace
from hime.faces.matching import LIKE, TYPICAL, choose_references
from hime.files import write_atomically, write_json
from hime.pictures.arrays import Image, downscale, upscale
from hime.pictures.reading import read_target
from hime.restoring.restorer import Restorer
from hime.terminal import track

CHANCE, PROGRAM = "by chance", "the program's"
COLUMNS = {"identity": ("likeness (SFace)", 4), "dlib": ("dlib", 4), "psnr": ("PSNR", 3)}
"""Heading and decimals of each metric."""


@dataclass(frozen=True, eq=False)
class Known:
    """A face to be restored and what there is to choose from.

    Attributes:
        face: as it was found in the small picture, enlarged.
        truth: the embedding of the photo itself, which nobody knows: the bound of what embeddings can tell.
        person: with the photos to choose from.
        shapes: of each of these the landmarks, see `shape`.
        chance: a stream of its own.
    """

    face: FoundFace
    truth: npt.NDArray[np.float32]
    person: Person
    shapes: Mapping[str, npt.NDArray[np.float64]]
    chance: np.random.Generator


Way = Callable[[Known, int], list[Reference]]
"""Chooses at most so many photos."""


def shape(landmarks: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """5×2: landmarks about the middle of the eyes, in eye-to-mouth distances, upright: pose and mouth."""
    points = np.asarray(landmarks, np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    across = (points[1] - points[0]) / np.linalg.norm(points[1] - points[0])
    turned = (points - eyes) @ np.array([across, (-across[1], across[0])]).T
    upright: npt.NDArray[np.float64] = turned / np.linalg.norm(mouth - eyes)
    return upright


def nearest(cost: Callable[[Known, Reference], float]) -> Way:
    """The photos of least cost."""

    def choose(known: Known, count: int) -> list[Reference]:
        return sorted(known.person.references, key=lambda reference: cost(known, reference))[:count]

    return choose


def by_shape(known: Known, reference: Reference) -> float:
    """How differently the landmarks lie."""
    apart = known.shapes[reference.name] - shape(known.face.landmarks)
    return float(np.linalg.norm(apart, axis=1).mean())


def by_chance(known: Known, count: int) -> list[Reference]:
    """Any."""
    references = known.person.references
    return [references[place] for place in known.chance.permutation(len(references))[:count]]


def weighted(known: Known, count: int, to_input: float = 0.0, to_person: float = 0.0) -> list[Reference]:
    """As the program chooses, with other weights of how alike a photo is to the input's face and to the
    person's mean.
    """
    face = known.face
    return choose_references(known.person, face.yaw, count, face.embedding, like=to_input, typical=to_person)


WAYS: dict[str, Way] = {
    PROGRAM: lambda known, count: choose_references(
        known.person, known.face.yaw, count, known.face.embedding
    ),
    "the first": lambda known, count: list(known.person.references[:count]),
    "best quality": nearest(lambda _, reference: -reference.quality),
    "landmarks nearest": nearest(by_shape),
    "face most alike": nearest(lambda known, each: -similarity(each.embedding, known.face.embedding)),
    "most like all photos": nearest(lambda known, each: -similarity(each.embedding, mean_of(known))),
    "the program's without faces": weighted,
    "the program's with the face alone": partial(weighted, to_input=LIKE),
    "the program's with the person alone": partial(weighted, to_person=TYPICAL),
    "the program's, half for each": partial(weighted, to_input=LIKE / 2, to_person=TYPICAL / 2),
    "the program's, twice for each": partial(weighted, to_input=2 * LIKE, to_person=2 * TYPICAL),
    "face most like the truth's": nearest(lambda known, each: -similarity(each.embedding, known.truth)),
}
"""What is compared besides chance. The last knows what cannot be known."""


def mean_of(known: Known) -> npt.NDArray[np.float32]:
    """The mean of the person's embeddings."""
    assert known.person.embedding is not None
    return known.person.embedding


class Albums:
    """The people's photos, looked at when they are needed, the last person's kept.

    Args:
        root: people folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._name, self._person = "", Person("", (), (), None)
        self._shapes: dict[str, npt.NDArray[np.float64]] = {}

    def without(self, entry: ListEntry) -> tuple[Person, dict[str, npt.NDArray[np.float64]]]:
        """The person without the input, and the shape of each photo's face.

        Raises:
            HimeError: as `read_person`.
        """
        if entry.person != self._name:
            self._name, self._person = entry.person, read_person(self._root / entry.person)
            self._shapes = {each.name: _shape_of(each) for each in self._person.references}
        own = Path(entry.input).name
        kept = tuple(each for each in self._person.references if each.name != own)
        return replace(self._person, references=kept), self._shapes


def _shape_of(reference: Reference) -> npt.NDArray[np.float64]:
    """Of the largest face of the headshot; far from all where none is found again."""
    assert reference.crop is not None
    found = faces.detect(reference.crop)
    return shape(found[0].landmarks) if found else np.full((5, 2), 9.0)


def compare(
    restorer: Restorer,
    root: Path,
    entries: Sequence[ListEntry],
    count: int,
    degradation: Degradation | None,
    ways: Mapping[str, Way] = WAYS,
) -> dict[str, Any]:
    """Restore every input with the photos that each way chooses.

    Args:
        restorer: the model; its references are replaced.
        root: people folder.
        entries: the inputs; their references are not used.
        count: photos for each.
        degradation: see `hime.evaluation.evaluate.evaluate`.
        ways: what is compared with chance, the program's first.

    Returns:
        ``count``, what `summarise` gives (the baseline being chance), ``per_image``, ``left_out``.
    """
    albums, measures = Albums(root), all_measures()
    metrics = [metric for measure in measures for metric in measure.metrics]
    side = int(restorer.card["lr_size"]) * restorer.scale
    per_image: list[dict[str, Any]] = []
    left_out: list[str] = []
    for number, entry in enumerate(track(entries, "choose")):
        truth = read_target(root / entry.input, side)
        scale = restorer.scale
        lr = downscale(truth, scale) if degradation is None else degradation(truth, scale, number)
        person, shapes = albums.without(entry)
        seen, own = faces.detect(upscale(lr, scale)), faces.detect(truth)
        if not seen or not own or len(person.references) <= count:
            left_out.append(entry.input)
            continue
        known = Known(seen[0], own[0].embedding, person, shapes, np.random.default_rng(number))
        chosen = {name: way(known, count) for name, way in {CHANCE: by_chance, **ways}.items()}
        pictures = _restored(restorer, lr, chosen)
        sample = Sample(truth, (), root / entry.input)
        figures: dict[str, Any] = {name: {} for name in chosen}
        for measure in measures:
            for name, found in zip(chosen, measure(list(pictures.values()), sample), strict=True):
                figures[name] |= found
        per_image.append({"input": entry.input, **figures})
    return {
        "count": count,
        "degradation": "bicubic" if degradation is None else str(degradation),
        **summarise(list(ways), CHANCE, metrics, per_image),
        "per_image": [rounded(image, (CHANCE, *ways)) for image in per_image],
        "left_out": left_out,
    }


def all_measures() -> list[Measure]:
    """Likeness by SFace and, where it is installed, dlib's distance; PSNR."""
    measures: list[Measure] = [Distortion(), Identity()]
    try:
        measures.append(DlibDistance())
    except ModuleNotFoundError as error:
        print(f"choosing: dlib's distance is left out: {error.name} is not installed", file=sys.stderr)
    return measures


def _restored(restorer: Restorer, lr: Image, chosen: Mapping[str, Sequence[Reference]]) -> dict[str, Image]:
    """The picture by each way; ways that choose the same share it."""
    done: dict[frozenset[str], Image] = {}
    pictures = {}
    for name, references in chosen.items():
        key = frozenset(reference.name for reference in references)
        if key not in done:
            restorer.set_references([reference.for_restorer for reference in references])
            done[key] = restorer.restore(lr).image
        pictures[name] = done[key]
    return pictures


def format_markdown(result: Mapping[str, Any]) -> str:
    """A way a row, each metric with what it has more than chance, and its 95 % interval."""
    metrics = [metric for metric in COLUMNS if metric in result["methods"][CHANCE]]
    heads = [f"{COLUMNS[metric][0]} | more than by chance" for metric in metrics]
    lines = [
        f"{result['images']} images of {result['people']} people, {result['count']} photos each, "
        f"{result['degradation']}; left out: {len(result['left_out'])}",
        "",
        f"| chosen | {' | '.join(heads)} |",
        "|---" * (2 * len(metrics) + 1) + "|",
    ]
    differences = {each["method"]: each for each in result["differences"] if each["minus"] == CHANCE}
    for name, means in result["methods"].items():
        cells = []
        for metric in metrics:
            decimals = COLUMNS[metric][1]
            cells.append(with_interval(means[metric], None, decimals))
            if name == CHANCE:
                cells.append("")
                continue
            mean, interval = (differences[name][key][metric] for key in ("mean", "interval"))
            cells.append(with_interval(mean, interval, decimals, "+"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL", help="as for `hime evaluate`")
    parser.add_argument("--data", required=True, type=Path, metavar="ROOT", help="people folder")
    parser.add_argument("--list", required=True, type=Path, metavar="LIST.jsonl", help="of `hime make-list`")
    parser.add_argument("--count", type=int, default=3, metavar="N", help="photos for each input; default: 3")
    parser.add_argument("--degradation", choices=("bicubic", "mild", "medium", "strong"), default="bicubic")
    parser.add_argument("--seed", type=int, default=0, help="of the degradation; default: 0")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        faces.require()
        restorer = open_measured(options.model, threads=1)
        degradation = open_degradation(options.degradation, options.seed)
        entries = read_list(options.list)
        source = provenance(
            options.data, list=options.list
        )  # of what is measured, not of what lies there later
        result = compare(restorer, options.data, entries, options.count, degradation)
        table = format_markdown(result)
        found = {"provenance": source, "model": restorer.name, **result}
        write_json(options.out / "choosing.json", found)
        write_atomically(options.out / "choosing.md", lambda path: path.write_text(table, encoding="utf-8"))
    except HimeError as error:
        print(f"choosing: {error}", file=sys.stderr)
        return 1
    print(table, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
