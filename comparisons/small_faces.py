"""How small a face may be to be found: real faces, made small, scattered over large pictures.

    python comparisons/small_faces.py FOLDER

The largest face of every picture in the folder and below it is cut out with what is around it, made so small
that its box is so many pixels high, and put somewhere into a grey picture with a little noise; as many as
there is room for, none over another. Told is how many are found: with each landmark within a quarter of that
height of where it is in the picture that the face comes from.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from hime.faces import Face, detect
from hime.pictures.arrays import Image
from hime.pictures.formats import images_in
from hime.pictures.reading import read_image

Landmarks = npt.NDArray[np.floating[Any]]

SIZES = [(500, 375), (1000, 750), (1920, 1440), (4000, 3000), (8000, 6000)]
"""Width and height of the large pictures."""
HEIGHTS = [14, 16, 20, 24, 32, 48, 100]
"""Of the faces' boxes, in pixels."""
GRID = 4
"""Pixels: how finely room is kept account of."""


def portraits(folder: Path) -> list[tuple[Image, Face]]:
    """The pictures, each with its largest face."""
    folders = [folder, *(path for path in sorted(folder.rglob("*")) if path.is_dir())]
    pictures = (read_image(path) for place in folders for path in images_in(place))
    return [(picture, faces[0]) for picture in pictures if (faces := detect(picture, smallest=45))]


def scatter(
    people: Sequence[tuple[Image, Face]], width: int, height: int, tall: int
) -> tuple[Image, list[Landmarks]]:
    """The large picture and where the landmarks of the faces in it lie."""
    number, noise = random.Random(0), np.random.default_rng(0)
    picture: Image = noise.integers(120, 134, (height, width, 3), dtype=np.uint8)
    taken = np.zeros((height // GRID + 1, width // GRID + 1), bool)
    places = []
    for image, face in people:
        x, y, across, down = face.box
        left, top = int(max(0, x - across)), int(max(0, y - 0.8 * down))
        part = PIL.Image.fromarray(image[top : int(y + 2 * down), left : int(x + 2 * across)])
        factor = tall / down
        size = (round(part.width * factor), round(part.height * factor))
        for _ in range(400):
            column, row = (number.randrange(max(1, room)) for room in (width - size[0], height - size[1]))
            room = np.s_[
                row // GRID : (row + size[1]) // GRID + 1, column // GRID : (column + size[0]) // GRID + 1
            ]
            if not taken[room].any() and column + size[0] <= width and row + size[1] <= height:
                taken[room] = True
                small = np.asarray(part.resize(size, PIL.Image.Resampling.LANCZOS))
                picture[row : row + size[1], column : column + size[0]] = small
                places.append((face.landmarks + 0.5 - (left, top)) * factor - 0.5 + (column, row))
                break
    return picture, places


def count_found(faces: Sequence[Face], places: Sequence[Landmarks], tall: int) -> int:
    """How many of the places have a face."""
    near = [any(np.abs(face.landmarks - place).max() < tall / 4 for face in faces) for place in places]
    return sum(near)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    people = portraits(parser.parse_args(arguments).folder)
    print("| picture |" + "".join(f" {tall} px |" for tall in HEIGHTS))
    print("|---" * (len(HEIGHTS) + 1) + "|")
    besides = 0
    for width, height in SIZES:
        row = f"| {width}×{height} |"
        for tall in HEIGHTS:
            picture, places = scatter(people, width, height, tall)
            faces = detect(picture)
            found = count_found(faces, places, tall)
            besides += len(faces) - found
            row += f" {found} of {len(places)} |"
        print(row, flush=True)
    print(f"\nfound besides: {besides}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
