"""The evaluation during a training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny import SOURCES, TINY

from hime import HimeError
from hime.training.held_out import psnr
from hime.training.loop import train
from hime.training.photos import load_photos


def test_psnr() -> None:
    truth = torch.full((2, 3, 4, 4), 100 / 255)
    restored = truth + torch.tensor([1, 10])[:, None, None, None] / 255
    expected = (20 * math.log10(255) + 20 * math.log10(25.5)) / 2
    assert psnr(restored, truth) == pytest.approx(expected, abs=1e-4)


def test_targets_of_held_out_people_alone_are_refused(tmp_path: Path) -> None:
    photos = load_photos(SOURCES, TINY.hr_size, progress=False)
    training, held_out = photos.split(TINY.held_out_fraction, TINY.seed)
    assert held_out is not None
    for part in (training, held_out):
        with pytest.raises(HimeError, match="give more targets"):
            train(TINY, SOURCES, tmp_path, targets=set(part.names))
    assert not (tmp_path / "last.safetensors").exists()
