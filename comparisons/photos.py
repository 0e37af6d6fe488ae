"""Faces found and matched in whole photographs, against what a person sees in them.

    python comparisons/photos.py FOLDER > table.md

The folder holds `lisa/`, `london/NNN/`, `people/ID/` and `several_faces/ID_FILE` (`docs/photos.md`). Each
picture is matched to all the people at once, each known from their photos but that picture itself; people of
`several_faces` without a folder of photos are nobody's.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from hime.album import Person, match, read_person
from hime.faces import Face, detect, embed
from hime.images import read_image

OTHERS: dict[str, list[tuple[int, int]]] = {
    "people/7220/200400.jpg": [(505, 235)],
    "people/7306/187957.jpg": [(1000, 50)],
    "several_faces/7226_184568.jpg": [(65, 465), (640, 450)],
    "several_faces/7268_191706.jpg": [(50, 25), (315, 80), (242, 35)],
    "several_faces/7322_184637.jpg": [(9, 82), (175, 62)],
    "several_faces/7322_190390.jpg": [(70, 277), (475, 245)],
    "several_faces/7334_189410.jpg": [(832, 335)],
    "several_faces/7334_199994.jpg": [(30, 92)],
    "several_faces/7362_193059.jpg": [(517, 560)],
    "several_faces/7407_196978.jpg": [(634, 297), (167, 447), (111, 393), (520, 412)],
    "several_faces/7407_198890.jpg": [(12, 120)],
    "several_faces/7429_189620.jpg": [(737, 218), (63, 272), (173, 269), (600, 200)],
}
"""Where else than in the largest face a person sees one of at least 20 pixels: x and y of its middle."""


def person_in(name: str) -> str:
    """Who is shown, from the picture's name in the folder."""
    parts = name.split("/")
    if parts[0] == "several_faces":
        return f"people/{parts[1].partition('_')[0]}"
    return "/".join(parts[:-1])


def without(person: Person, photo: Path) -> Person:
    """The person as known from the other photos."""
    rest = [reference.embedding for reference in person.references if reference.path != photo]
    mean = np.sum(rest, axis=0)
    return replace(person, embedding=mean / np.linalg.norm(mean) if rest else None)


def main() -> None:
    """Print the table, and a line of sums before it."""
    root = Path(sys.argv[1])
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.jpg"))]
    found: dict[str, list[Face]] = {}
    embeddings = {}
    for name in names:
        image = read_image(root / name)
        found[name] = detect(image)
        embeddings[name] = [embed(image, face.landmarks) for face in found[name]]
        print(name, len(found[name]), file=sys.stderr, flush=True)

    folders: dict[str, list[Path]] = {}
    for name in names:
        if not name.startswith("several_faces"):
            folders.setdefault(person_in(name), []).append(root / name)
    everyone = [read_person(photos, key) for key, photos in folders.items()]

    rows: list[str] = []
    sums: dict[str, int] = {}
    for name in names:
        shown = person_in(name)
        people = [without(person, root / name) for person in everyone]
        whose = match(embeddings[name], people)
        middles = [(face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2) for face in found[name]]
        seen = 1 + len(OTHERS.get(name, []))
        hits = bool(found[name]) + sum(
            any(
                abs(x - at[0]) < face.box[2] / 2 and abs(y - at[1]) < face.box[3] / 2
                for face, at in zip(found[name][1:], middles[1:], strict=True)
            )
            for x, y in OTHERS.get(name, [])
        )
        known = int(shown in folders)
        right = int(bool(whose) and whose[0] is not None and whose[0].name == shown)
        wrong = sum(person is not None for person in whose) - right
        row = {
            "pictures": 1,
            "seen": seen,
            "found": hits,
            "besides": len(found[name]) - hits,
            "known": known,
            "right": right,
            "wrong": wrong,
            "left": known - right,
        }
        sums = {key: sums.get(key, 0) + value for key, value in row.items()}
        cosine = ""
        if known and found[name]:
            (own,) = (person for person in people if person.name == shown)
            cosine = "" if own.embedding is None else f"{embeddings[name][0] @ own.embedding:.2f}"
        values = [seen, hits, len(found[name]) - hits, right if known else "–", wrong, cosine]
        rows.append(f"| {name.removesuffix('.jpg')} | " + " | ".join(map(str, values)) + " |")
    print(", ".join(f"{key} {value}" for key, value in sums.items()), end="\n\n")
    print("| picture | faces seen | found | besides | matched right | matched wrong | cosine |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
