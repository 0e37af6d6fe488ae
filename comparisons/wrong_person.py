"""What another person's photos do to a restoration: they must do no harm.

    python comparisons/wrong_person.py MODEL… --data ROOT --list LIST.jsonl --out runs/wrong

Every input is restored by each MODEL without references and with those of somebody else, the next person of
the list who has as many; for a dial the model itself. Two things are asked (`LIMITS`): PSNR must not fall
below that without references by more than 0.05 dB, and the face must not become more like the wrong person
than without references by more than 0.02 (mean cosine of SFace embeddings to the wrong person's photos).

`hime restore` uses somebody's photos only for faces that it takes for that person, or is told to be theirs,
and then says when they are hardly like. How many of these inputs it would take for the wrong person and for
the right one, and how many it would call hardly like them, is counted too (`arriving`).

``--out`` gets ``MODEL.json`` of each, as `hime evaluate --out` writes it; in it ``references`` are the wrong
person's photos, so that ``identity_references`` is the likeness to that person. And ``wrong.md``, the table.
The same command goes on where it was: a model whose file is there is not measured again, and a file of other
arguments, another list or other weights is refused. Models may be of different scales and LR sizes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hime import faces
from hime.cli.evaluate import open_degradation
from hime.data.people import ListEntry, read_list
from hime.errors import HimeError
from hime.evaluation.evaluate import Degradation, Variant, evaluate, wrong_references
from hime.evaluation.measures import Distortion, Identity
from hime.experiments.report import with_interval
from hime.faces.album import SAME_PERSON
from hime.faces.embedding import similarity
from hime.files import write_atomically
from hime.pictures.arrays import FloatArray, downscale, upscale
from hime.pictures.reading import read_target
from hime.restoring.face import HARDLY_LIKE
from hime.restoring.restorer import Restorer
from once import each_model

LIMITS = {"psnr": -0.05, "identity_references": 0.02}
"""How far a figure with another person's photos may be from that without: PSNR in dB at the least, likeness
to that person at the most."""
WITHOUT = "@0"


def with_others(entries: Sequence[ListEntry], list_name: str) -> list[ListEntry]:
    """The list with another person's references in place of each entry's own.

    Raises:
        HimeError: nobody else in the list has as many.
    """
    return [
        ListEntry(entry.input, tuple(wrong_references(number, entries, list_name)))
        for number, entry in enumerate(entries)
    ]


def measured(restorer: Restorer, options: argparse.Namespace) -> dict[str, Any]:
    """One model without references and with the wrong ones: what `evaluate` returns, and `arriving`.

    Raises:
        HimeError: the list is of one person, or cannot be read.
    """
    own = read_list(options.list)
    entries = with_others(own, options.list.name)
    degradation = open_degradation(options.degradation, options.seed)
    lr_size = int(restorer.card["lr_size"])
    result = evaluate(
        [Variant(restorer, restorer.name + WITHOUT, 0), restorer],
        options.data,
        entries,
        lr_size=lr_size,
        list_name=options.list.name,
        references=min(len(entry.references) for entry in entries),
        degradation=degradation,
        measures=[Distortion(), Identity()],
    )
    side = lr_size * restorer.scale
    shares = arriving(options.data, options.list.name, own, restorer.scale, side, degradation)
    return {**result, "arriving": shares}


def arriving(
    root: Path,
    list_name: str,
    entries: Sequence[ListEntry],
    scale: int,
    side: int,
    degradation: Degradation | None,
) -> dict[str, dict[str, float]]:
    """How like the inputs are to the next person of the list (``wrong``) and to who it is (``own``), each
    known from the references; the face is looked for in the input enlarged.

    Args:
        root: people folder.
        list_name: for messages.
        entries: the list, with each person's own references.
        scale: of the models.
        side: of the truth, in pixels.
        degradation: see `hime.evaluation.evaluate.evaluate`.

    Returns:
        Of both the shares of the inputs that are ``taken`` for them (`hime.faces.album.SAME_PERSON`) and that
        are ``hardly`` like them (`hime.restoring.face.HARDLY_LIKE`), of those in which a face is found.

    Raises:
        HimeError: a file cannot be used, or nobody else has as many references.
    """
    known: dict[str, FloatArray | None] = {}

    def embedding(name: str) -> FloatArray | None:
        if name not in known:
            found = faces.detect(read_target(root / name, side))
            known[name] = found[0].embedding if found else None
        return known[name]

    cosines: dict[str, list[float]] = {"wrong": [], "own": []}
    for number, entry in enumerate(entries):
        truth = read_target(root / entry.input, side)
        lr = downscale(truth, scale) if degradation is None else degradation(truth, scale, number)
        found = faces.detect(upscale(lr, scale))
        people = {"wrong": wrong_references(number, entries, list_name), "own": entry.references}
        for whose, names in people.items():
            theirs = [each for name in names if (each := embedding(name)) is not None]
            if found and theirs:
                total = np.sum(theirs, axis=0)
                cosines[whose].append(similarity(found[0].embedding, total / np.linalg.norm(total)))
    return {
        whose: {
            "taken": round(float(np.mean(np.array(own) >= SAME_PERSON)), 4) if own else 0.0,
            "hardly": round(float(np.mean(np.array(own) < HARDLY_LIKE)), 4) if own else 0.0,
        }
        for whose, own in cosines.items()
    }


def difference(result: Mapping[str, Any], metric: str) -> tuple[float | None, Sequence[float] | None]:
    """With another person's photos less without: mean, and both ends of its 95 % interval over people; None
    where nothing was measured, or one person only.
    """
    without, own = result["models"]
    found = next(each for each in result["differences"] if (each["method"], each["minus"]) == (own, without))
    return found["mean"][metric], found["interval"][metric]


def harm(result: Mapping[str, Any]) -> list[str]:
    """In which of `LIMITS` the means miss it, or are not known."""
    missed = []
    for metric, limit in LIMITS.items():
        mean = difference(result, metric)[0]
        if mean is None or (mean < limit if limit < 0 else mean > limit):
            missed.append(metric)
    return missed


def format_markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a model: PSNR, likeness to the wrong person and to the truth, without and what the photos add."""
    columns = {
        "psnr": ("PSNR", 3),
        "identity_references": ("likeness to that person", 3),
        "identity": ("likeness to the truth", 3),
    }
    heads = [f"{heading}, none | another's photos add" for heading, _ in columns.values()]
    lines = [
        f"| model | images | {' | '.join(heads)} | within limits | taken for that person, the own "
        "| hardly like that person, the own |",
        "|---" * (5 + 2 * len(heads)) + "|",
    ]
    for name, result in results.items():
        cells = []
        for metric, (_, decimals) in columns.items():
            cells.append(with_interval(result["methods"][result["models"][0]][metric], None, decimals))
            cells.append(with_interval(*difference(result, metric), decimals, "+"))
        missed = harm(result)
        verdict = "yes" if not missed else "**no**: " + ", ".join(columns[metric][0] for metric in missed)
        size = f"{result['lr_size']}→{result['lr_size'] * result['scale']}"
        images = f"{result['images']}, {size}, {result['degradation'].partition(',')[0]}"
        taken = " | ".join(
            ", ".join(f"{result['arriving'][whose][what]:.0%}" for whose in ("wrong", "own"))
            for what in ("taken", "hardly")
        )
        lines.append(f"| `{name}` | {images} | {' | '.join(cells)} | {verdict} | {taken} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; exit status 1 if an input could not be used, 3 if a model misses a limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="as for `hime evaluate`")
    parser.add_argument("--data", required=True, type=Path, metavar="ROOT", help="people folder")
    parser.add_argument("--list", required=True, type=Path, metavar="LIST.jsonl", help="of `hime make-list`")
    parser.add_argument("--degradation", choices=("bicubic", "mild", "medium", "strong"), default="bicubic")
    parser.add_argument("--seed", type=int, default=0, help="of the degradation; default: 0")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        return _compare(options)
    except HimeError as error:
        print(f"wrong_person: {error}", file=sys.stderr)
        return 1


def _compare(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    results: dict[str, dict[str, Any]] = {}
    for name, result in each_model(options, lambda restorer: measured(restorer, options)):
        results[name] = result
        table = format_markdown(results)
        write_atomically(options.out / "wrong.md", lambda path: path.write_text(table, encoding="utf-8"))  # noqa: B023
    print(table, end="")
    if any(result["failed"] for result in results.values()):
        return 1
    return 3 if any(harm(result) for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
