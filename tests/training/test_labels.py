"""Labels of training photos: read by name, turned with the photo, handed to the systems."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import uneven

from hime import HimeError
from hime.systems.landmarks import UNKNOWN
from hime.training.batches import draw, gather
from hime.training.labels import POINTS_MIRRORED, _checked, mirrored_where, read_labels
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


def test_labels_go_by_the_numbers_of_folders_given_twice_too(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.npz", ["r/a/0", "r-1/a/0", "r-2/a/1"])
    listed, own = ["r/a/0", "r/a/1", "r/a/0", "r/a/1"], ["r-1/a/0", "r-1/a/1", "r-2/a/0", "r-2/a/1"]
    found, expected = read_labels(path, listed, 8, own), read_labels(path, ["r/a/0", "r-2/a/1"], 8)
    for key in ("points", "parsing"):
        assert torch.equal(found[key][[0, 2, 3]], expected[key][[0, 0, 1]])
    assert bool((found["parsing"][1] == UNKNOWN).all())


def test_what_is_no_labels_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no")
    for path, message in ((tmp_path / "text.npz", "cannot be read"), (tmp_path / "none.npz", "No such file")):
        with pytest.raises(HimeError, match=message):
            read_labels(path, ["r/a/0"], 8)
    with pytest.raises(HimeError, match="such as r/a/0"):
        read_labels(write(tmp_path / "other.npz", ["x/y/z"]), ["r/a/0"], 8)


def test_whole_numbers_of_any_width_are_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.npz", ["r/a/0", "r/b/1"])
    with np.load(path) as file:
        contents = dict(file)
    expected = read_labels(path, ["r/a/0"], 8)["parsing"]
    contents["parsing"] = contents["parsing"].astype(np.int64)
    np.savez(path, **contents)
    assert torch.equal(read_labels(path, ["r/a/0"], 8)["parsing"], expected)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64])
def test_labels_are_checked_to_the_last_in_little_memory(kind: type[np.integer]) -> None:
    count = 4097
    names, points = np.array([str(row) for row in range(count)]), np.zeros((count, 68, 2), np.float16)
    parsing = np.zeros((count, 32, 32), kind)
    tracemalloc.start()
    try:
        _checked(names, points, parsing)
        needed = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert needed < 2 * parsing.size  # bytes: copies as uint8, names, and what the check takes
    parsing[-1, -1, -1] = 19
    with pytest.raises(ValueError, match="labels that are none"):
        _checked(names, points, parsing)


NAMES, POINTS_OF_TWO, PARSING = (
    np.array(["r/a/0", "r/b/1"]),
    np.zeros((2, 68, 2)),
    np.zeros((2, 4, 4), np.uint8),
)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"points": POINTS_OF_TWO[:1]}, "points: 68×2 fractions for each of 2 names; it has 1×68×2 float64"),
        ({"points": POINTS_OF_TWO[:, :, 0]}, "it has 2×68 float64"),
        ({"points": POINTS_OF_TWO.astype(np.int64)}, "it has 2×68×2 int64"),
        ({"points": POINTS_OF_TWO * np.nan}, "points that are no numbers"),
        ({"points": np.array([None, None])}, "Object arrays cannot be loaded"),
        ({"parsing": PARSING[:1]}, "parsing: a square of whole numbers for each of 2 names; it has 1×4×4"),
        ({"parsing": PARSING[:, :3]}, "it has 2×3×4 uint8"),
        ({"parsing": PARSING[:, :0, :0]}, "it has 2×0×0 uint8"),
        ({"parsing": PARSING / 2}, "it has 2×4×4 float64"),
        ({"parsing": PARSING + np.uint8(19)}, "labels that are none"),
        ({"parsing": PARSING.astype(np.int64) - 1}, "labels that are none"),
        ({"names": np.array("r/a/0")}, "names: a row of text"),
        ({"names": np.zeros(2)}, "it has 2 float64"),
    ],
)
def test_labels_of_another_form_are_told(
    tmp_path: Path, contents: dict[str, np.ndarray], message: str
) -> None:
    path = tmp_path / "labels.npz"
    np.savez(path, **{"names": NAMES, "points": POINTS_OF_TWO, "parsing": PARSING, **contents})
    with pytest.raises(HimeError, match=message) as refusal:
        read_labels(path, ["r/a/0"], 8)
    assert str(refusal.value).startswith(f"{path}: cannot be read as labels (")
    assert "\n" not in str(refusal.value)


def test_damaged_labels_are_told(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.npz", ["r/a/0", "r/b/1"]).read_bytes()
    path = tmp_path / "labels.npz"
    np.save(tmp_path / "points.npy", POINTS_OF_TWO)
    random = np.random.default_rng(0)
    cases = [b"", (tmp_path / "points.npy").read_bytes(), whole[:-30], whole[: len(whole) // 2]]
    for _ in range(300):
        spoilt = np.frombuffer(whole, np.uint8).copy()
        spoilt[random.integers(0, len(spoilt), 4)] = random.integers(0, 256, 4)
        cases.append(spoilt.tobytes())
    told = []
    for content in cases:
        path.write_bytes(content)
        try:
            read_labels(path, ["r/a/0"], 8)
        except HimeError as error:  # anything else is a defect
            told.append(str(error))
    assert len(told) > 200  # a byte that nothing depends on may be any
    assert all(line.startswith(f"{path}: cannot be read as labels (") for line in told)
    assert not any("\n" in line for line in told)


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
