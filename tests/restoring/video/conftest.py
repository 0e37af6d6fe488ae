"""What the tests of videos share: a restorer that is quick, and clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hime.pictures.arrays import FloatArray, from_planes, to_planes, upscale
from hime.restoring.restorer import Restorer
from restoring.video.scenes import walk, write_clip

pytest.importorskip("av", reason="videos need the extra video")
pytest.importorskip("cv2", reason="the extra faces is not installed")


class Textured:
    """A model that enlarges, and lays a fine pattern over its picture that nobody overlooks."""

    card: dict[str, Any] = {"name": "textured", "scale": 4, "feature_channels": 2, "lr_size": 32}  # noqa: RUF012
    reconstruction = None
    texture = 24

    def encode(self, references: FloatArray) -> FloatArray:
        count, _, height, width = references.shape
        return np.zeros((count, 2, height // 4, width // 4), np.float32)

    def restore(self, lr: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        hr = np.concatenate([to_planes(upscale(from_planes(each), 4)) for each in lr])
        rows, columns = np.indices(hr.shape[2:]) // 8
        hr += ((rows + columns) % 2 * 2 - 1) * np.float32(self.texture / 255)
        batch, count, _, height, width = features.shape
        return hr.clip(0, 1), np.full((batch, count, height, width), 0.1, np.float32)


@pytest.fixture
def restorer() -> Restorer:
    return Restorer(Textured())


@pytest.fixture(scope="session")
def walking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of Ada, near up to frame 8, far from frame 18 on, of 40; not to be changed."""
    return write_clip(tmp_path_factory.mktemp("clips") / "walk.mp4", walk(40))
