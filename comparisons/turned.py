"""Turned pictures: how many people are found and known at which angle, alone and on one page.

    python comparisons/turned.py FOLDER

The folder holds `people/ID/` (`docs/photos.md`). Of each of the people one photo, made so small that its
longest side has 1,000 pixels, is turned; the person is known from the others. The page has one photo of each,
all at different angles.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from hime.faces import FoundFace, detect
from hime.faces.album import Person, read_person
from hime.faces.matching import match
from hime.pictures.arrays import Image, resize
from hime.pictures.formats import images_in
from hime.pictures.reading import read_image

ANGLES = (0, 30, 45, 60, 90, 135, 180, 225, 270, 315)
"""Degrees to the right."""
SIDE = 1000
PAPER = (236, 233, 226)


def turn(image: Image, angle: float) -> Image:
    """The picture turned to the right, on paper."""
    if angle % 90 == 0:
        return np.ascontiguousarray(np.rot90(image, -round(angle / 90)))
    picture = PIL.Image.fromarray(image)
    return np.array(picture.rotate(-angle, PIL.Image.Resampling.BICUBIC, expand=True, fillcolor=PAPER))


def page(pictures: Sequence[Image], columns: int = 3) -> Image:
    """Turned pictures beside and below one another."""
    cell = max(max(picture.shape[:2]) for picture in pictures) + 40
    rows = -(-len(pictures) // columns)
    paper = np.full((rows * cell, columns * cell, 3), PAPER, np.uint8)
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        top, left = number // columns * cell + 20, number % columns * cell + 20
        paper[top : top + height, left : left + width] = picture
    return paper


def shrunk(image: Image, side: int) -> Image:
    """The picture with that longest side, if it is larger."""
    height, width = image.shape[:2]
    factor = min(1.0, side / max(height, width))
    return resize(image, round(height * factor), round(width * factor))


def count_known(faces: Sequence[FoundFace], people: Sequence[Person], shown: Sequence[Person]) -> int:
    """How many of those shown are known."""
    owners = match([face.embedding for face in faces], people)
    return sum(any(owner is person for owner in owners) for person in shown)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--angles", type=float, nargs="+", default=ANGLES)
    options = parser.parse_args(arguments)
    folders = sorted(path for path in (options.folder / "people").iterdir() if path.is_dir())
    photos = [images_in(folder) for folder in folders]
    people = [read_person(files[1:], files[0].parent.name) for files in photos]
    pictures = [shrunk(read_image(files[0]), SIDE) for files in photos]
    print(f"| degrees | found of {len(people)} | known | faces besides | seconds of processor a picture |")
    print("|---" * 5 + "|")
    for angle in options.angles:
        start, found, known, besides = time.process_time(), 0, 0, 0
        for person, picture in zip(people, pictures, strict=True):
            faces = detect(turn(picture, angle))
            found += bool(faces)
            besides += max(0, len(faces) - 1)
            known += count_known(faces, people, [person])
        seconds = (time.process_time() - start) / len(people)
        print(f"| {angle:g} | {found} | {known} | {besides} | {seconds:.2f} |", flush=True)
    turns = [ANGLES[(3 * number + 1) % len(ANGLES)] for number in range(len(people))]
    whole = page([turn(picture, angle) for picture, angle in zip(pictures, turns, strict=True)])
    faces = detect(whole)
    known = count_known(faces, people, people)
    print(f"\nall on one page of {whole.shape[1]}×{whole.shape[0]}: {len(faces)} faces, {known} people known")
    return 0


if __name__ == "__main__":
    sys.exit(main())
