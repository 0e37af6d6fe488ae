"""How often faces of a picture are given to the right people: missed, taken for another, strangers taken.

    python comparisons/matching.py faces/

The folder holds `celeba/` and `lfw/`, people folders, with `celeba_train.txt` and `lfw_train.txt`. Of 60
people of each with at least five photos, six photos each are looked at, as they are and reduced to 32 pixels
and found anew. Pictures are drawn from these faces: of some people who are given one face each, of the first
of them maybe more, and strangers. Each person is known from the mean of three other photos.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hime.faces import detect
from hime.faces.album import Person
from hime.faces.matching import match
from hime.pictures.arrays import FloatArray, resize
from hime.pictures.formats import images_in
from hime.pictures.reading import read_image

PEOPLE, PHOTOS, REFERENCES = 60, 6, 3
SMALL_SIDE = 32
PICTURES = 1500
GROUPS = [(1, 0, 0), (1, 5, 0), (3, 3, 0), (10, 5, 0), (1, 2, 2), (6, 2, 2)]
"""People given, strangers, and how many more faces the first of the people has."""


@dataclass(frozen=True)
class Faces:
    """Of one person, each face as it is and reduced: float32 N×128."""

    large: FloatArray
    small: FloatArray


def look(root: Path, people: Sequence[str]) -> list[Faces]:
    """The faces of these people; photos in which none is found are left out."""
    found = []
    for name in people:
        large, small = [], []
        for path in images_in(root / name)[:PHOTOS]:
            image = read_image(path)
            faces, reduced = detect(image), detect(resize(image, SMALL_SIDE, SMALL_SIDE))
            if faces and reduced:
                large.append(faces[0].embedding)
                small.append(reduced[0].embedding)
        if len(large) > REFERENCES:
            found.append(Faces(np.stack(large), np.stack(small)))
    return found


def count(
    people: Sequence[Faces], given: int, strangers: int, more: int, *, small: bool, pictures: int = PICTURES
) -> collections.Counter[str]:
    """How many faces of that many pictures are whose, and whose they are taken for."""
    number, counts = np.random.default_rng(0), collections.Counter[str]()
    for _ in range(pictures):
        embeddings: list[FloatArray] = []
        truth: list[int | None] = []
        known = []
        for index, who in enumerate(number.permutation(len(people))[: given + strangers]):
            faces = people[who]
            order = number.permutation(len(faces.large))
            shown = order[: 1 + (more if index == 0 else 0)]
            embeddings += list((faces.small if small else faces.large)[shown])
            truth += [index if index < given else None] * len(shown)
            if index < given:
                total = faces.large[order[len(shown) : len(shown) + REFERENCES]].sum(axis=0)
                known.append(Person(str(index), (), (), total / np.linalg.norm(total)))
        for right, person in zip(truth, match(embeddings, known), strict=True):
            whose = "stranger" if right is None else "known"
            took = None if person is None else int(person.name)
            counts[f"{whose} {'left' if took is None else 'right' if took == right else 'wrong'}"] += 1
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    options = parser.parse_args(arguments)
    print("| faces | people | strangers | more of the first | missed | taken for another | strangers taken |")
    print("|---" * 7 + "|")
    for name in ("celeba", "lfw"):
        root = options.folder / name
        listed = (options.folder / f"{name}_train.txt").read_text(encoding="utf-8").split()
        enough = [person for person in listed if len(images_in(root / person)) >= REFERENCES + 2]
        people = look(root, random.Random(0).sample(enough, min(PEOPLE, len(enough))))
        for small in (False, True):
            for given, strangers, more in GROUPS:
                counts = count(people, given, strangers, more, small=small, pictures=options.pictures)
                known = counts["known left"] + counts["known right"] + counts["known wrong"]
                others = counts["stranger wrong"] + counts["stranger left"]
                shares = [counts["known left"] / known, counts["known wrong"] / known]
                shares += [counts["stranger wrong"] / others] if others else []
                cells = [f"{100 * share:.2f} %" for share in shares] + ["–"] * (3 - len(shares))
                label = f"{name}{', of 32 pixels' if small else ''}"
                print("|", " | ".join(map(str, [label, given, strangers, more, *cells])), "|", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
