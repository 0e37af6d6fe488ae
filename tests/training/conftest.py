"""What the tests of training share: the demo people in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import SIZE, SOURCES, TINY

from hime.data.people import DEMO_PEOPLE
from hime.training.loop import train
from hime.training.photos import Photos, load_photos


@pytest.fixture(scope="session")
def photos() -> Photos:
    """The demo people's photos, reduced."""
    return load_photos([(DEMO_PEOPLE, None)], SIZE, progress=False)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of TINY without an interruption."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(TINY, SOURCES, run, preset="small-x4")
    return run
