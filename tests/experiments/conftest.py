"""What the tests of experiments share: the networks of measures, and a list of two inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hime.data.people import DEMO_PEOPLE, read_list, read_people, write_list

TRAINING_PEOPLE = DEMO_PEOPLE / "train.txt"


@pytest.fixture
def weights(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks of LPIPS and of the perceptual loss at hand."""
    folder = shared / "weights"
    for name in ("alexnet", "squeezenet1_1", "vgg19"):
        if not (folder / f"{name}_features.safetensors").is_file():
            pytest.skip(f"{folder} holds no {name}_features.safetensors")
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(folder))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Two inputs of two people who are not trained on."""
    known = set(read_people(TRAINING_PEOPLE))
    entries = [entry for entry in read_list(DEMO_PEOPLE / "list.jsonl") if entry.person not in known]
    return write_list(tmp_path / "test.jsonl", entries)
