"""Faces found and matched in whole photographs, against what a person sees in them.

    python comparisons/photos.py FOLDER [--people ROOT] > table.md

The folder holds `lisa/`, `london/NNN/`, `people/ID/` and `several_faces/ID_FILE` (`docs/photos.md`). Each
picture is matched to all the people at once, each known from their photos but that picture itself. Who is
shown in `several_faces` and has no photos in `people/` is known from ROOT/ID, or else nobody's.
"""

from __future__ import annotations

import argparse
import collections
import sys
from collections.abc import Sequence
from pathlib import Path

from hime.faces import Face, detect
from hime.faces.album import read_person
from hime.faces.matching import match
from hime.pictures.formats import images_in
from hime.pictures.reading import read_image

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


def photos_of_people(root: Path, names: Sequence[str], more: Path | None) -> dict[str, list[Path]]:
    """Of each person that can be known the photos."""
    photos: dict[str, list[Path]] = {}
    for name in names:
        if not name.startswith("several_faces"):
            photos.setdefault(person_in(name), []).append(root / name)
    for person in sorted({person_in(name) for name in names} - photos.keys()):
        folder = None if more is None else more / Path(person).name
        if folder is not None and folder.is_dir():
            photos[person] = images_in(folder)
    return photos


def count_seen(faces: Sequence[Face], others: Sequence[tuple[int, int]]) -> int:
    """How many of the largest face and the others are found."""
    middles = [(face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2) for face in faces]
    return bool(faces) + sum(
        any(
            abs(x - column) < face.box[2] / 2 and abs(y - row) < face.box[3] / 2
            for face, (column, row) in zip(faces[1:], middles[1:], strict=True)
        )
        for x, y in others
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and a line of sums before it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=Path, metavar="ROOT", help="more people: ROOT/ID/*")
    options = parser.parse_args(arguments)
    root: Path = options.folder
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.jpg"))]
    photos = photos_of_people(root, names, options.people)
    everyone = {key: read_person(paths, key) for key, paths in photos.items()}

    rows: list[str] = []
    sums: collections.Counter[str] = collections.Counter()
    for name in names:
        shown, others = person_in(name), OTHERS.get(name, [])
        image = read_image(root / name)
        faces = detect(image)
        embeddings = [face.embedding for face in faces]
        # A photo of `--people` may be the picture, cut out: they are told by their number.
        rest = [path for path in photos.get(shown, []) if path.stem != Path(name).stem.partition("_")[2]]
        rest = [path for path in rest if path != root / name]
        people = everyone | ({shown: read_person(rest, shown)} if rest else {})
        whose = match(embeddings, list(people.values()))
        row = {"seen": 1 + len(others), "found": count_seen(faces, others), "known": int(shown in people)}
        row["besides"] = len(faces) - row["found"]
        row["right"] = int(bool(whose) and whose[0] is not None and whose[0].name == shown)
        row["wrong"] = sum(person is not None for person in whose) - row["right"]
        row["left"] = row["known"] - row["right"]
        sums.update(pictures=1, **row)
        own = people[shown].embedding if shown in people else None
        values = {
            "picture": name.removesuffix(".jpg"),
            "faces seen": row["seen"],
            "found": row["found"],
            "besides": row["besides"],
            "matched right": row["right"] if row["known"] else "–",
            "matched wrong": row["wrong"],
            "cosine": "" if own is None or not faces else f"{embeddings[0] @ own:.2f}",
        }
        print(values, file=sys.stderr, flush=True)
        if not rows:
            rows += ["| " + " | ".join(values) + " |", "|---" * len(values) + "|"]
        rows.append("| " + " | ".join(map(str, values.values())) + " |")
    print(", ".join(f"{key} {value}" for key, value in sums.items()), *rows, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
