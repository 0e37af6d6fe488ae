"""What the tests of training share: the demo people in memory."""

from __future__ import annotations

import pytest
from tiny import SIZE

from hime.data.people import DEMO_PEOPLE
from hime.training.photos import Photos, load_photos


@pytest.fixture(scope="session")
def photos() -> Photos:
    """The demo people's photos, reduced."""
    return load_photos([(DEMO_PEOPLE, None)], SIZE, progress=False)
