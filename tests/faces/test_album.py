"""Albums: what is wrong with a photo is told, references fit the pose, faces go to the right people."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hime.errors import HimeError
from hime.faces.album import (
    MAXIMUM_SIDE,
    MINIMUM_SIDE,
    SAME_PERSON,
    Person,
    Reference,
    choose_references,
    match,
    read_person,
    yaw_of,
)
from hime.faces.detection import detect
from hime.faces.embedding import FloatArray, embed, similarity
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image

FRONTAL = np.array([[100, 100], [160, 100], [130, 135], [107, 170], [153, 170]], float)


def unit(*values: float) -> FloatArray:
    vector = np.zeros(128, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def reference(name: str, yaw: float, quality: float = 1.0, *, number: int | None = None) -> Reference:
    embedding = np.zeros(128, np.float32)
    embedding[ord(name[-1]) % 128 if number is None else number] = 1
    return Reference(name, np.zeros((64, 64, 3), np.uint8), embedding, quality, yaw)


def somebody(name: str, embedding: FloatArray | None = None, *references: Reference) -> Person:
    return Person(name, references, (), embedding)


def reasons(person: Person) -> dict[str, str]:
    return dict(person.rejected)


# ------------------------------------------------------------------------------------------------ pose


def test_yaw_grows_with_the_turn_and_keeps_its_size_when_head_or_picture_turn() -> None:
    assert yaw_of(FRONTAL) == pytest.approx(0)
    yaws = []
    for shift in (5, 15, 30, 60):
        turned = FRONTAL.copy()
        turned[2, 0] += shift
        yaws.append(yaw_of(turned))
        mirrored = turned.copy()
        mirrored[:, 0] = 400 - mirrored[:, 0]
        mirrored = mirrored[[1, 0, 2, 4, 3]]
        assert yaw_of(mirrored) == pytest.approx(-yaw_of(turned))
        rotation = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
        assert yaw_of(3 * turned @ rotation.T + 7) == pytest.approx(yaw_of(turned))
        nodded = turned.copy()
        nodded[2, 1] += 12
        assert yaw_of(nodded) == pytest.approx(yaw_of(turned))
    assert yaws == sorted(yaws)
    assert 0 < yaws[0] < yaws[-1] < 1
    # A nose as long as assumed, turned by 40 degrees.
    profile = FRONTAL.copy()
    profile[:, 0] = 130 + (profile[:, 0] - 130) * np.cos(np.radians(40))
    profile[2, 0] += 0.45 * 60 * np.sin(np.radians(40))
    assert yaw_of(profile) == pytest.approx(np.sin(np.radians(40)))


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


def test_no_photo_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HimeError, match="no picture in it"):
        read_person(tmp_path)
    with pytest.raises(HimeError, match="no photo of the person"):
        read_person([])


def test_a_missing_photo_is_among_the_rejected(tmp_path: Path) -> None:
    person = read_person([tmp_path / "gone.jpg"])
    assert person.references == ()
    assert person.embedding is None
    assert "no such file" in reasons(person)["gone.jpg"]


# ---------------------------------------------------------------------------------------------- choice


def test_the_nearest_pose_comes_first() -> None:
    album = somebody(
        "mum", None, *(reference(f"{yaw}", yaw, number=n) for n, yaw in enumerate((-0.5, 0.0, 0.1, 0.5)))
    )
    assert [each.yaw for each in choose_references(album, 0.45, 2)] == [0.5, 0.1]
    assert [each.yaw for each in choose_references(album, -0.5, 4)] == [-0.5, 0.0, 0.1, 0.5]
    assert choose_references(album, 0.0, 0) == []
    assert len(choose_references(album, 0.0, 9)) == 4
    assert choose_references(somebody("nobody"), 0.0, 3) == []


def test_looking_to_the_other_side_is_not_the_same_pose() -> None:
    album = somebody("mum", None, reference("a", -0.4), reference("b", 0.1))
    assert [each.name for each in choose_references(album, 0.4, 2)] == ["b", "a"]


def test_quality_decides_between_equal_poses() -> None:
    album = somebody("mum", None, reference("a", 0.1, 0.4), reference("b", 0.1, 0.9))
    assert [each.name for each in choose_references(album, 0.1, 2)] == ["b", "a"]


def test_three_of_a_burst_do_not_keep_out_another() -> None:
    burst = [reference(f"burst{number}", 0.01 * number, number=0) for number in range(3)]
    album = somebody("mum", None, *burst, reference("other", 0.15, number=1))
    assert [each.name for each in choose_references(album, 0.0, 2)] == ["burst0", "other"]


# --------------------------------------------------------------------------------------------- matching


def test_every_face_goes_to_its_person_and_strangers_to_nobody() -> None:
    mum, dad = somebody("mum", unit(1)), somebody("dad", unit(0, 1))
    faces = [unit(0.1, 1, 0.3), unit(0, 0, 1), unit(1, 0.1, 0.5)]
    assert match(faces, [mum, dad]) == [dad, None, mum]
    assert match(faces, []) == [None] * 3
    assert match([], [mum]) == []
    assert match(faces, [somebody("unknown")]) == [None] * 3


def test_a_person_is_at_most_one_face_the_most_similar() -> None:
    mum = somebody("mum", unit(1))
    assert match([unit(1, 1), unit(1, 0.1), unit(1, 0.5)], [mum]) == [None, mum, None]


def test_a_face_goes_to_nobody_below_the_threshold() -> None:
    mum = somebody("mum", unit(1))
    just = unit(SAME_PERSON + 0.01, (1 - (SAME_PERSON + 0.01) ** 2) ** 0.5)
    short = unit(SAME_PERSON - 0.01, (1 - (SAME_PERSON - 0.01) ** 2) ** 0.5)
    assert match([just], [mum]) == [mum]
    assert match([short], [mum]) == [None]
    assert match([short], [mum], threshold=0.3) == [mum]


def test_a_sure_match_is_not_given_up_for_two_doubtful_ones() -> None:
    mum, aunt = somebody("mum", unit(1)), somebody("aunt", unit(0, 1))
    sure = unit(0.6, 0.45, 0.661)
    doubtful = unit(0.41, 0.1, 0, 0.907)
    # The cosines' sum would be larger with the aunt as the first: 0.45 + 0.41 > 0.6.
    assert match([sure, doubtful], [mum, aunt]) == [mum, None]


def test_a_face_that_two_could_be_is_nobodys() -> None:
    mum, aunt = somebody("mum", unit(1)), somebody("aunt", unit(0, 1))
    assert match([unit(0.5, 0.45, 0.74)], [mum, aunt]) == [None]
    assert match([unit(0.5, 0.35, 0.79)], [mum, aunt]) == [mum]
    # She who is surely another face of the picture is no rival.
    assert match([unit(0.5, 0.45, 0.74), unit(0, 0.9, 0.436)], [mum, aunt]) == [mum, aunt]


def test_the_assignment_is_the_best_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hime.faces.album.DOUBT", -2.0)  # nobody is a rival
    random = np.random.default_rng(3)
    for _ in range(20):
        people = [somebody(str(number), unit(*random.normal(size=4))) for number in range(3)]
        faces = [unit(*random.normal(size=4)) for _ in range(3)]

        def excess(
            order: tuple[int, ...], faces: list[FloatArray] = faces, people: list[Person] = people
        ) -> float:
            return sum(
                max(0.0, float(face @ people[index].embedding) - SAME_PERSON)
                for face, index in zip(faces, order, strict=True)
            )

        best = max(excess(order) for order in itertools.permutations(range(3)))
        found = match(faces, people)
        total = sum(
            float(face @ person.embedding) - SAME_PERSON
            for face, person in zip(faces, found, strict=True)
            if person is not None and person.embedding is not None
        )
        assert total == pytest.approx(best, abs=1e-6)


def test_people_in_whole_photos_are_matched(shared: Path) -> None:
    """One of the people given and two strangers behind; nobody is taken for another."""
    photos = shared / "photos"
    image = read_image(photos / "several_faces" / "7429_189620.jpg")
    people = [read_person(photos / "people" / name) for name in ("7226", "7273", "7429")]
    faces = detect(image)
    matched = match([embed(image, face.landmarks) for face in faces], people)
    assert matched[0] is people[2]
    assert set(matched[1:]) == {None}


def test_people_are_values(album: Path) -> None:
    person = read_person(album)
    assert replace(person, references=()).embedding is person.embedding
