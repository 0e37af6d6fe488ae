"""What the tests of the command line share: headshots, and photos of the same person."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hime.pictures.arrays import downscale
from hime.pictures.reading import read_target
from hime.pictures.writing import write_image


@pytest.fixture
def headshots(tmp_path: Path, demo_people: Path) -> Path:
    """A folder of two LR headshots."""
    folder = tmp_path / "headshots"
    for name in ("0", "1"):
        photo = read_target(demo_people / "ada" / f"{name}.webp", 64)
        write_image(folder / f"ada{name}.png", downscale(photo, 4))
    return folder


@pytest.fixture
def photos(tmp_path: Path, demo_people: Path) -> Path:
    """A folder of three photos of the same person."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("2", "3", "4"):
        shutil.copy(demo_people / "ada" / f"{name}.webp", folder)
    return folder
