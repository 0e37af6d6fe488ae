"""The measuring of small faces: they lie where it says, and are counted right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import small_faces
from hime.faces.detection import detect


def test_scattered_faces_are_found_where_they_lie(
    demo_people: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    people = small_faces.portraits(demo_people / "ada")
    assert len(people) == 6
    picture, places = small_faces.scatter(people, 700, 500, 40)
    assert picture.shape == (500, 700, 3)
    assert len(places) == 6
    faces = detect(picture)
    assert small_faces.count_found(faces, places, 40) == 6
    assert small_faces.count_found(faces, [place + np.array([60, 0]) for place in places], 40) == 0
    assert small_faces.count_found([], places, 40) == 0
    _, few = small_faces.scatter(people, 120, 90, 40)
    assert len(few) < 6

    monkeypatch.setattr(small_faces, "SIZES", [(700, 500)])
    monkeypatch.setattr(small_faces, "HEIGHTS", [40])
    assert small_faces.main([str(demo_people / "ada")]) == 0
    table = "| picture | 40 px |\n|---|---|\n| 700×500 | 6 of 6 |\n\nfound besides: 0\n"
    assert capsys.readouterr().out == table
