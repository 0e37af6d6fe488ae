"""The table of faces found and matched, on rendered people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import photos
from hime.faces import Face
from hime.pictures.arrays import resize
from hime.pictures.reading import read_image


@pytest.fixture
def folder(demo_people: Path, tmp_path: Path) -> Path:
    """Ada and Ben alone, three photos each; Dan, who has no photos there, with Ada behind her."""

    def write(name: str, *people: tuple[str, int, int]) -> None:
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        image = np.full((300, 600, 3), 150, np.uint8)
        for column, (person, number, side) in enumerate(people):
            photo = resize(read_image(demo_people / person / f"{number}.webp"), side, side)
            image[:side, 300 * column : 300 * column + side] = photo
        PIL.Image.fromarray(image).save(file, quality=95)

    for person in ("ada", "ben"):
        for number in range(3):
            write(f"people/{person}/{number}.jpg", (person, number, 256))
    write("several_faces/dan_0.jpg", ("dan", 0, 256), ("ada", 4, 100))
    return tmp_path / "photos"


def test_the_table(
    folder: Path, demo_people: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(photos, "OTHERS", {"several_faces/dan_0.jpg": [(350, 55), (500, 200)]})
    assert photos.main([str(folder)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "pictures 7, seen 9, found 8, known 6, besides 0, right 6, wrong 1, left 0"
    assert len(told) == 1 + 2 + 7
    assert told[-1].startswith("| several_faces/dan_0 | 3 | 2 | 0 | – | 1 |")  # Ada is not who is shown
    assert photos.main([str(folder), "--people", str(demo_people)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "pictures 7, seen 9, found 8, known 7, besides 0, right 7, wrong 1, left 0"


def test_each_face_that_is_seen_counts_once() -> None:
    faces = [
        Face((0, 0, 50, 60), np.zeros((5, 2), np.float32), 1),
        Face((90, 0, 20, 20), np.zeros((5, 2)), 1),
    ]
    assert photos.count_seen(faces, [(100, 10), (200, 10)]) == 2
    assert photos.count_seen(faces[:1], [(25, 30)]) == 1
    assert photos.count_seen([], []) == 0
