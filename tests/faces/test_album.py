"""Albums: what is wrong with a photo is told, and whose photos they are."""

from __future__ import annotations

import itertools
import shutil
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hime.errors import HimeError
from hime.faces.album import (
    Person,
    read_person,
)
from hime.faces.embedding import similarity
from hime.faces.look import MAXIMUM_SIDE, MINIMUM_SIDE
from hime.faces.matching import match
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image


def reasons(person: Person) -> dict[str, str]:
    return dict(person.rejected)


# ---------------------------------------------------------------------------------------------- photos


@pytest.fixture(scope="module")
def pool(shared: Path) -> dict[str, list[Path]]:
    """Sharp frontal photos of two people of the test split."""
    return {
        name: [shared / "photos" / "people" / name / f"{photo}.jpg" for photo in photos]
        for name, photos in {
            "7429": ("183705", "185159", "187636", "188752", "189846"),
            "7273": ("189012", "190855", "191853", "192466"),
        }.items()
    }


@pytest.fixture
def album(pool: dict[str, list[Path]], tmp_path: Path) -> Path:
    """A folder of four good photos of one person."""
    folder = tmp_path / "Zoë"
    folder.mkdir()
    for path in pool["7429"][:4]:
        shutil.copy(path, folder)
    return folder


def test_good_photos_become_references(album: Path) -> None:
    person = read_person(album)
    assert person.name == "Zoë"
    assert person.rejected == ()
    assert [each.name for each in person.references] == sorted(path.name for path in album.iterdir())
    assert person.embedding is not None
    assert np.linalg.norm(person.embedding) == pytest.approx(1)
    for each in person.references:
        assert each.path == album / each.name
        assert each.for_restorer is each.crop
        assert each.crop is not None
        assert each.crop.shape[0] == each.crop.shape[1]
        assert MINIMUM_SIDE <= each.crop.shape[0] <= MAXIMUM_SIDE
        assert 0.5 < each.quality <= 1
        assert abs(each.yaw) < 0.4
        assert similarity(each.embedding, person.embedding) > 0.7


def test_each_bad_photo_is_rejected_with_its_reason(album: Path, pool: dict[str, list[Path]]) -> None:
    fifth = read_image(pool["7429"][4])
    height, width = fifth.shape[:2]
    linear = (fifth / 255) ** 2.2

    def seen(light: np.ndarray) -> Image:
        return np.rint(255 * light.clip(0, 1) ** (1 / 2.2)).astype(np.uint8)

    bad = {
        "blurred.png": resize(resize(fifth, height // 9, width // 9), height, width),
        "small.png": resize(fifth, height // 6, width // 6),
        "dark.png": seen(linear / 20),
        "bright.png": seen(linear * 6),
        "nobody.png": np.full((300, 300, 3), 90, np.uint8),
    }
    for name, image in bad.items():
        write_image(album / name, image)
    shutil.copy(pool["7273"][0], album / "other.jpg")
    first = sorted(album.glob("1*.jpg"))[0]
    copied = read_image(first)
    write_image(album / "copy.jpg", resize(copied[4:, 7:], copied.shape[0] // 2, copied.shape[1] // 2))
    (album / "empty.jpg").touch()
    (album / "half.jpg").write_bytes(first.read_bytes()[:5000])
    (album / "notes.txt").write_text("no photo", encoding="utf-8")

    person = read_person(album)
    assert len(person.references) == 4
    told = reasons(person)
    assert list(told) == sorted([*bad, "copy.jpg", "empty.jpg", "half.jpg", "other.jpg"])
    assert told["blurred.png"] == "blurred"
    assert told["small.png"].startswith("the face is too small (")
    assert told["dark.png"] == "underexposed"
    assert told["bright.png"] == "overexposed"
    assert told["nobody.png"] == "no face found"
    assert told["other.jpg"] == "another person than in the other photos"
    assert told["copy.jpg"] == f"almost the same photo as {first.name}"
    assert "is empty" in told["empty.jpg"]
    assert "truncated or damaged" in told["half.jpg"]
    assert not any(str(album) in reason for reason in told.values())


def test_who_looks_away_is_known_but_no_reference(shared: Path) -> None:
    person = read_person(shared / "photos" / "people" / "7236" / "187087.jpg")
    assert person.references == ()
    assert reasons(person) == {"187087.jpg": "looks away"}
    others = read_person(shared / "photos" / "people" / "7236")
    assert reasons(others) == {"187087.jpg": "looks away"}
    assert person.embedding is not None
    assert match([person.embedding], [others]) == [others]


def test_one_photo_alone_is_not_another_person(pool: dict[str, list[Path]]) -> None:
    person = read_person([pool["7429"][0]], name="mum")
    assert person.name == "mum"
    assert len(person.references) == 1
    assert person.rejected == ()
    assert read_person(pool["7429"][0]).name == "183705"


def test_the_majority_decides_who_is_meant(pool: dict[str, list[Path]]) -> None:
    for photos in itertools.permutations([*pool["7429"][:2], pool["7273"][0]]):
        person = read_person(photos)
        assert [name for name, _ in person.rejected] == [pool["7273"][0].name]
    person = read_person([*pool["7429"][:2], *pool["7273"][:3]])
    assert [name for name, _ in person.rejected] == [path.name for path in pool["7429"][:2]]
    apart = read_person([pool["7429"][0], pool["7273"][0]])
    assert len(apart.references) == 1
    assert len(apart.rejected) == 1


def beside(first: Path, second: Path) -> Image:
    left, right = read_image(first), read_image(second)
    height = max(left.shape[0], right.shape[0])
    return np.concatenate(
        [resize(image, height, height * image.shape[1] // image.shape[0]) for image in (left, right)], axis=1
    )


def test_of_several_faces_the_persons_is_taken(
    album: Path, pool: dict[str, list[Path]], tmp_path: Path, demo_people: Path
) -> None:
    her, him = pool["7429"], pool["7273"]
    write_image(album / "both.png", beside(him[0], her[4]))
    write_image(album / "strangers.png", beside(him[1], him[2]))
    person = read_person(album)
    assert reasons(person) == {"strangers.png": "several faces, none of them surely the person's"}
    (both,) = (each for each in person.references if each.name == "both.png")
    assert person.embedding is not None
    assert similarity(both.embedding, person.embedding) > 0.6

    # Without a photo of one alone: who is in more of them, if one is.
    couple = tmp_path / "couple"
    couple.mkdir()
    write_image(couple / "1.png", beside(him[0], her[0]))
    alone = read_person(couple)
    assert alone.references == ()
    assert alone.embedding is None
    assert "several faces" in reasons(alone)["1.png"]
    write_image(couple / "2.png", beside(her[1], him[1]))
    assert read_person(couple).references == ()
    write_image(couple / "3.png", beside(her[2], demo_people / "eva" / "0.webp"))
    known = read_person(couple)
    assert len(known.references) == 3
    assert known.embedding is not None
    assert similarity(known.embedding, person.embedding) > 0.8


def test_real_folders(shared: Path) -> None:
    """Decisions that were checked by eye."""
    photos = shared / "photos"
    lisa = read_person(photos / "lisa")
    assert reasons(lisa) == {
        "30cm.jpg": "almost the same photo as 15cm.jpg",
        "60cm.jpg": "almost the same photo as 45cm.jpg",
    }
    assert read_person(photos / "london" / "001").rejected == ()
    people = photos / "people"
    mixed = read_person([*sorted((people / "7226").iterdir()), people / "7273" / "191853.jpg"])
    assert reasons(mixed) == {"191853.jpg": "another person than in the other photos"}


def test_no_photo_at_all_is_an_error(demo_people: Path, tmp_path: Path) -> None:
    with pytest.raises(HimeError, match="no picture in it"):
        read_person(tmp_path)
    with pytest.raises(HimeError, match="no picture in it"):
        read_person([demo_people / "ada" / "1.webp", tmp_path])
    with pytest.raises(HimeError, match="no photo of the person"):
        read_person([])


def test_folders_and_photos_may_be_given_together(demo_people: Path, tmp_path: Path) -> None:
    ada, first = demo_people / "ada", demo_people / "ada" / "1.webp"
    (tmp_path / "other").mkdir()
    shutil.copyfile(first, tmp_path / "other" / "more.webp")
    person = read_person([first, ada, tmp_path])
    assert person.name == "1"
    read = [*(reference.name for reference in person.references), *dict(person.rejected)]
    assert sorted(read) == sorted([*(path.name for path in ada.iterdir()), "more.webp"])
    assert read_person([ada]).name == read_person(ada).name == "ada"


def test_a_photo_that_is_not_there_is_an_error(demo_people: Path, tmp_path: Path) -> None:
    gone, there = tmp_path / "gone.jpg", demo_people / "ada" / "1.webp"
    for paths in (gone, str(tmp_path / "nothere/"), [gone], [there, gone], [tmp_path, gone]):
        with pytest.raises(HimeError, match=r"(gone\.jpg|nothere): no such file; check the path$"):
            read_person(paths)


def test_files_of_which_none_is_a_picture_are_an_error(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no photo", encoding="utf-8")
    for paths in (notes, [notes, tmp_path]):
        with pytest.raises(HimeError, match=r"notes\.txt: is not a PNG"):
            read_person(paths)


def test_without_the_extra_no_photo_is_looked_at(demo_people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise HimeError("cv2 is not installed")

    monkeypatch.setattr("hime.faces.networks.embedder_path", missing)
    monkeypatch.setattr("hime.faces.networks._idle", deque())
    told: list[int] = []
    with pytest.raises(HimeError, match="cv2 is not installed"):
        read_person(demo_people / "ada", progress=lambda done, _: told.append(done))
    assert not told


def test_people_are_values(album: Path) -> None:
    person = read_person(album)
    assert replace(person, references=()).embedding is person.embedding
