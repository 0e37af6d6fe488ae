"""What the tests share: the folder of data that is not part of the repository, and the demo people."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from hime.people import DEMO_PEOPLE

# A busy machine is no fault of the code under test.
settings.register_profile("hime", deadline=None)
settings.load_profile("hime")

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of photos and weights that may not be shipped: ``HIME_SHARED``, or beside the repository."""
    folder = Path(os.environ.get("HIME_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "faces").is_dir():
        pytest.skip(f"{folder} holds no faces/; set HIME_SHARED to the folder that does")
    return folder


@pytest.fixture(scope="session")
def demo_people() -> Path:
    """The people folder that comes with the package."""
    return DEMO_PEOPLE
