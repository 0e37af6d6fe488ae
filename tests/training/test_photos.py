"""Photos in memory: what is read, what is left out, whose they are and how much they are alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SIZE, uneven

from hime import HimeError
from hime.data.people import DEMO_PEOPLE, people_in
from hime.pictures.arrays import area_reduce
from hime.pictures.reading import read_image
from hime.training.photos import Photos, load_photos, photo_similarity


def test_photos_are_the_files_reduced_by_area(photos: Photos) -> None:
    people = people_in(DEMO_PEOPLE)
    paths = [path for files in people.values() for path in files]
    assert len(photos) == len(paths)
    assert photos.people == len(people)
    assert photos.images.shape == (len(paths), 3, SIZE, SIZE)
    for row in (0, 7, len(paths) - 1):
        expected = area_reduce(read_image(paths[row]), SIZE, SIZE)
        assert np.array_equal(photos.images[row].permute(1, 2, 0).numpy(), expected)
        assert photos.names[row].endswith(f"{paths[row].parent.name}/{paths[row].name}")
        assert photos.first[row] <= row < photos.first[row] + photos.count[row]


def test_files_that_cannot_be_used_are_left_out_by_name(tmp_path: Path) -> None:
    people = list(people_in(DEMO_PEOPLE).items())[:2]
    for name, files in people:
        (tmp_path / name).mkdir()
        for path in files[:3]:
            shutil.copy(path, tmp_path / name)
    broken = tmp_path / people[0][0] / "broken.webp"
    broken.write_bytes(people[0][1][0].read_bytes()[:500])
    photos = load_photos([(tmp_path, None)], SIZE, progress=False)
    assert len(photos) == 6
    assert len(photos.skipped) == 1
    assert "broken.webp" in photos.skipped[0]
    assert "\n" not in photos.skipped[0]
    side = read_image(people[0][1][0]).shape[0]
    with pytest.raises(HimeError, match=f"smaller than the target, {2 * side}"):
        load_photos([(tmp_path, None)], 2 * side, progress=False)


def test_missing_people_are_an_error() -> None:
    with pytest.raises(HimeError, match="nobody-here"):
        load_photos([(DEMO_PEOPLE, ["nobody-here"])], SIZE, progress=False)


def test_one_name_below_two_roots_is_two_people(tmp_path: Path) -> None:
    name, files = next(iter(people_in(DEMO_PEOPLE).items()))
    roots = [tmp_path / "a" / "faces", tmp_path / "b" / "faces"]
    for root in roots:
        (root / name).mkdir(parents=True)
        for path in files[:2]:
            shutil.copy(path, root / name)
    photos = load_photos([(root, [name]) for root in roots], SIZE, progress=False)
    assert photos.people == 2
    assert len(set(photos.names)) == 4


def test_split_keeps_people_apart(photos: Photos) -> None:
    rest, aside = photos.split(0.03, seed=1)
    assert aside is not None
    people = [{name.rpartition("/")[0] for name in part.names} for part in (rest, aside)]
    assert not people[0] & people[1]
    assert len(people[1]) == 1
    assert len(rest) + len(aside) == len(photos)
    assert photos.split(0, seed=1) == (photos, None)
    with pytest.raises(HimeError, match="one person"):
        uneven(3).split(0.5, seed=0)


def test_a_folder_given_again_keeps_its_people_on_one_side(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(DEMO_PEOPLE)
    (tmp_path / "links").mkdir()
    for name in people_in(DEMO_PEOPLE):
        (tmp_path / "links" / name).symlink_to(DEMO_PEOPLE / name)
    roots = [DEMO_PEOPLE, DEMO_PEOPLE, tmp_path / "link", tmp_path / "links"]
    photos = load_photos([(root, None) for root in roots], SIZE, progress=False)
    assert len(set(photos.names)) == len(photos)
    rest, aside = photos.split(0.1, seed=0)
    assert aside is not None
    shown = [{name.split("/", 1)[1] for name in part.names} for part in (rest, aside)]
    assert not shown[0] & shown[1]
    assert len({name.partition("/")[0] for name in shown[1]}) == 1
    assert len(rest) + len(aside) == len(photos)
    assert len(aside) == 4 * len(shown[1])
    alone = list(people_in(DEMO_PEOPLE))[:1]
    with pytest.raises(HimeError, match="one person"):
        load_photos([(DEMO_PEOPLE, alone)] * 2, SIZE, progress=False).split(0.5, seed=0)


def test_a_folder_given_again_is_listed_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(DEMO_PEOPLE)
    photos = load_photos([(root, None) for root in (DEMO_PEOPLE, tmp_path / "a")], SIZE, progress=False)
    once = load_photos([(DEMO_PEOPLE, None)], SIZE, progress=False)
    assert once.listed_names == once.names
    assert photos.listed_names == once.names * 2
    chosen = photos.restrict(once.names[3:5])
    assert chosen.targets.tolist() == [3, 4, len(once) + 3, len(once) + 4]
    assert photos.restrict(photos.names[3:5]).targets.tolist() == [3, 4]  # one of the repeats alone
    assert chosen.split(0, 0)[0].listed_names == photos.listed_names
    with pytest.raises(HimeError, match=f"write them like {once.names[0]}, one a line"):
        photos.restrict(["no/such/photo"])


def test_two_folders_of_one_name_are_listed_by_number(tmp_path: Path) -> None:
    for side in ("a", "b"):
        shutil.copytree(DEMO_PEOPLE, tmp_path / side / "faces")
    photos = load_photos([(tmp_path / side / "faces", None) for side in "ab"], SIZE, progress=False)
    assert photos.listed_names == photos.names
    with pytest.raises(HimeError, match="write them like faces-1/"):
        photos.restrict([photos.names[0].replace("faces-1", "faces")])


def test_similarity_is_the_correlation_of_grey_thumbnails(photos: Photos) -> None:
    table = photo_similarity(photos.images[:4])
    grey = photos.images[:4].double().mean(dim=1)
    thumbnails = grey.reshape(4, 16, SIZE // 16, 16, SIZE // 16).mean(dim=(2, 4)).flatten(1)
    expected = torch.from_numpy(np.corrcoef(thumbnails.numpy())).float()
    torch.testing.assert_close(table, expected, atol=1e-4, rtol=0)
    assert photos.similarity[0, 0] == -torch.inf
    torch.testing.assert_close(photos.similarity[0, 1], expected[0, 1], atol=1e-4, rtol=0)
