"""The measurement of very many people measures what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import person_index
from hime.restoring.person import load_person


def test_strangers_are_as_alike_as_told_and_faces_like_their_people() -> None:
    random = np.random.default_rng(0)
    people = person_index.units(random, 300)
    cosines = (people @ people.T)[np.triu_indices(300, 1)]
    assert cosines.mean() == pytest.approx(0.1, abs=0.02)
    assert cosines.std() == pytest.approx(0.1, abs=0.03)
    own = [
        float(face @ people[who])
        for faces, whose in person_index.pictures(random, people)
        for face, who in zip(faces, whose, strict=False)
    ]
    assert np.mean(own) == pytest.approx(0.65, abs=0.03)


def test_files_are_such_as_are_read(tmp_path: Path) -> None:
    person_index.write_people(tmp_path, 2)
    people = [load_person(tmp_path / f"{number}.person") for number in range(2)]
    assert [(person.name, len(person.references)) for person in people] == [
        ("person 0", 12),
        ("person 1", 12),
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert person_index.main(["--people", "50", "--files", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if line.startswith("| 50 |")]
    assert row.split(" | ")[-3:-1] == ["100 %", "100 %"]
    assert lines[-1].startswith("| 3 | ")
