"""What the tests of experiments share: a list of two inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hime.data.people import DEMO_PEOPLE, read_list, read_people, write_list

TRAINING_PEOPLE = DEMO_PEOPLE / "train.txt"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Two inputs of two people who are not trained on."""
    known = set(read_people(TRAINING_PEOPLE))
    entries = [entry for entry in read_list(DEMO_PEOPLE / "list.jsonl") if entry.person not in known]
    return write_list(tmp_path / "test.jsonl", entries)
