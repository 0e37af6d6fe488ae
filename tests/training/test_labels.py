"""Labels of training photos: read by name, turned with the photo, handed to the systems."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import uneven

from hime import HimeError
from hime.systems.landmarks import UNKNOWN
from hime.training.batches import draw, gather
from hime.training.labels import POINTS_MIRRORED, mirrored_where, read_labels
from hime.training.presets import ReferenceSampling


def write(path: Path, names: list[str], side: int = 4) -> Path:
    random = np.random.default_rng(0)
    np.savez_compressed(
        path,
        names=np.array(names),
        points=random.random((len(names), 68, 2)).astype(np.float16),
        parsing=random.integers(0, 14, (len(names), side, side), dtype=np.uint8),
    )
    return path


def test_labels_go_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.npz", ["r/b/1", "r/a/0"])
    found = read_labels(path, ["r/a/0", "r/c/0", "r/b/1"], 8)
    with np.load(path) as file:
        torch.testing.assert_close(found["points"][0], torch.from_numpy(file["points"][1]).float())
        assert np.array_equal(found["parsing"][2, ::2, 1::2].numpy(), file["parsing"][0])
    assert found["parsing"].shape == (3, 8, 8)
    assert bool((found["parsing"][1] == UNKNOWN).all())
    assert bool((found["points"][1] < 0).all())


def test_what_is_no_labels_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no")
    for path, message in ((tmp_path / "text.npz", "cannot be read"), (tmp_path / "none.npz", "No such file")):
        with pytest.raises(HimeError, match=message):
            read_labels(path, ["r/a/0"], 8)
    with pytest.raises(HimeError, match="such as r/a/0"):
        read_labels(write(tmp_path / "other.npz", ["x/y/z"]), ["r/a/0"], 8)


def test_mirroring_is_its_own_opposite_and_swaps_sides() -> None:
    assert sorted(POINTS_MIRRORED) == list(range(68))
    assert [POINTS_MIRRORED[POINTS_MIRRORED[point]] for point in range(68)] == list(range(68))
    labels = {
        "points": torch.rand(2, 68, 2),
        "parsing": torch.tensor([[[4, 0], [1, 6]], [[4, 0], [1, 6]]], dtype=torch.uint8),
    }
    once = mirrored_where(labels, torch.tensor([True, False]))
    twice = mirrored_where(once, torch.tensor([True, False]))
    torch.testing.assert_close(twice["points"], labels["points"])
    assert torch.equal(twice["parsing"], labels["parsing"])
    assert once["parsing"].tolist() == [[[0, 5], [7, 1]], [[4, 0], [1, 6]]]
    # the outer corner of the right eye becomes the left one's
    assert float(once["points"][0, 36, 0]) == pytest.approx(1 - float(labels["points"][0, 45, 0]))


def test_a_batch_has_its_targets_labels_mirrored_with_them() -> None:
    photos = uneven(3, 3)
    marks = torch.arange(6.0)[:, None, None].expand(6, 68, 2) / 10
    photos = dataclasses.replace(photos, labels={"points": marks})
    sampling = ReferenceSampling(count_weights=(1.0,))
    drawn = draw(photos, 0, 0, 16, 4, sampling)
    batch = gather(photos, drawn)
    across = torch.where(drawn.choice.mirror_target, 1 - drawn.target / 10, drawn.target / 10)
    torch.testing.assert_close(batch.labels["points"][:, 0, 0], across)
    torch.testing.assert_close(batch.labels["points"][:, 0, 1], drawn.target / 10)
    part, rest = photos.split(0.5, 0)
    assert rest is not None
    assert len(part.labels["points"]) == len(part)
    assert (
        gather(photos, drawn._replace(window=16, corners=torch.zeros(16, 2, dtype=torch.long))).labels == {}
    )
