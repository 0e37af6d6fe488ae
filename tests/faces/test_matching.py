"""References fit the pose, and faces go to the right people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hime.faces import detect, matching
from hime.faces.album import SAME_PERSON, Person, Reference, read_person
from hime.faces.face import yaw_of
from hime.faces.matching import (
    AGAIN,
    AGAIN_DROP,
    DOUBT,
    DOUBT_AGAIN,
    SAME_LOOK,
    Crowd,
    alike,
    choose_references,
    match,
)
from hime.pictures.arrays import FloatArray
from hime.pictures.reading import read_image

FRONTAL = np.array([[100, 100], [160, 100], [130, 135], [107, 170], [153, 170]], float)


def unit(*values: float) -> FloatArray:
    vector = np.zeros(128, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def reference(
    name: str,
    yaw: float = 0.0,
    quality: float = 1.0,
    *,
    number: int | None = None,
    embedding: FloatArray | None = None,
) -> Reference:
    if embedding is None:
        embedding = np.zeros(128, np.float32)
        embedding[ord(name[-1]) % 128 if number is None else number] = 1
    return Reference(name, np.zeros((64, 64, 3), np.uint8), embedding, quality, yaw)


def somebody(name: str, embedding: FloatArray | None = None, *references: Reference) -> Person:
    return Person(name, references, (), embedding)


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


def test_of_one_pose_the_photo_that_is_like_the_face_comes_first() -> None:
    """Older and younger photos of one person, whose mean lies between them."""
    old, young = reference("old", embedding=unit(1, 0.5)), reference("young", embedding=unit(1, -0.5))
    album = somebody("mum", unit(1), old, young)
    assert choose_references(album, 0.0, 1, unit(0.9, 0.5)) == [old]
    assert choose_references(album, 0.0, 1, unit(0.9, -0.5)) == [young]
    further = reference("old", 0.1, embedding=unit(1, 0.5))  # by six degrees
    assert choose_references(somebody("mum", unit(1), further, young), 0.0, 1, unit(0.9, 0.5)) == [further]


def test_a_photo_that_hardly_shows_the_person_comes_later() -> None:
    typical, odd = reference("typical", 0.1, embedding=unit(1, 0.1)), reference("odd", embedding=unit(0.5, 1))
    assert choose_references(somebody("mum", unit(1), odd, typical), 0.0, 1) == [typical]


# --------------------------------------------------------------------------------------------- matching


def test_every_face_goes_to_its_person_and_strangers_to_nobody() -> None:
    mum, dad = somebody("mum", unit(1)), somebody("dad", unit(0, 1))
    faces = [unit(0.1, 1, 0.3), unit(0, 0, 1), unit(1, 0.1, 0.5)]
    assert match(faces, [mum, dad]) == [dad, None, mum]
    assert match(faces, []) == [None] * 3
    assert match([], [mum]) == []
    assert match(faces, [somebody("unknown")]) == [None] * 3


def test_a_person_may_be_in_a_picture_several_times() -> None:
    mum, aunt = somebody("mum", unit(1)), somebody("aunt", unit(0, 1))
    assert match([unit(1, 1), unit(1, 0.1), unit(1, 0.5)], [mum]) == [mum] * 3
    strip = [unit(1, 0.1, *(0.3 if row == frame else 0 for row in range(5))) for frame in range(5)]
    assert match([*strip, unit(0.1, 1)], [mum, aunt]) == [mum] * 5 + [aunt]


def test_who_looks_like_somebody_who_is_there_already_must_do_so_beyond_doubt() -> None:
    mum = somebody("mum", unit(1))
    sister = unit(AGAIN - 0.01, (1 - (AGAIN - 0.01) ** 2) ** 0.5)
    assert match([unit(1, 0, 0.3), sister], [mum]) == [mum, None]
    assert match([sister], [mum]) == [mum]  # alone she is taken for her
    same = unit(AGAIN + 0.01, 0, (1 - (AGAIN + 0.01) ** 2) ** 0.5)
    assert match([unit(1, 1.3), same], [mum]) == [mum, mum]
    assert match([unit(1, 0.3), same], [mum]) == [mum, None]  # beside a sure one it is not like her enough
    # As sister, but taken in the same light as the surer face: in the mirror.
    mirrored = unit(AGAIN - 0.01, 0, (1 - (AGAIN - 0.01) ** 2) ** 0.5)
    assert match([unit(1, 0, 0.3), mirrored], [mum]) == [mum, mum]


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
    assert match([unit(0.5, 0.44, 0.74), unit(0, 0.9, 0, 0.436)], [mum, aunt]) == [mum, aunt]
    # She may be there twice, but then this face is much more like her.
    assert match([unit(0.55, 0.48, 0.68), unit(0, 0.7, 0, 0.714)], [mum, aunt]) == [mum, aunt]
    assert match([unit(0.55, 0.52, 0.65), unit(0, 0.7, 0, 0.714)], [mum, aunt]) == [None, aunt]


@given(seed=st.integers(0, 2**32 - 1), faces=st.integers(1, 6), people=st.integers(1, 4))
def test_no_face_is_given_to_whom_it_is_less_like(seed: int, faces: int, people: int) -> None:
    """But where the other has a surer face in the picture, and this one is not theirs beyond doubt."""
    random = np.random.default_rng(seed)
    known = [somebody(str(number), unit(*random.normal(size=4))) for number in range(people)]
    seen = [unit(*random.normal(size=4)) for _ in range(faces)]
    found = match(seen, known)
    order = random.permutation(faces)
    assert match([seen[index] for index in order], known) == [found[index] for index in order]

    def cosine(face: FloatArray, person: Person) -> float:
        assert person.embedding is not None
        return float(face @ person.embedding)

    for face, person in zip(seen, found, strict=True):
        if person is not None:
            assert cosine(face, person) >= SAME_PERSON
            for other in known:
                if other is not person and cosine(face, other) > cosine(face, person) - DOUBT_AGAIN:
                    theirs = [
                        cosine(each, other) for each, whose in zip(seen, found, strict=True) if whose is other
                    ]
                    assert max(theirs) > cosine(face, other)
                    assert cosine(face, other) < max(AGAIN, max(theirs) - AGAIN_DROP)


def match_plainly(
    embeddings: list[FloatArray], people: list[Person], threshold: float = SAME_PERSON
) -> list[Person | None]:
    """`match` by loops over people."""
    known = [(person, person.embedding) for person in people if person.embedding is not None]
    matched: list[Person | None] = [None] * len(embeddings)
    if not known or not embeddings:
        return matched
    cosines = np.stack(embeddings) @ np.stack([embedding for _, embedding in known]).T
    alike = np.stack(embeddings) @ np.stack(embeddings).T
    seen: dict[int, list[int]] = {}
    for face in np.argsort(-cosines.max(axis=1), kind="stable"):
        own = cosines[face]

        def is_elsewhere(person: int, face: int = face, own: FloatArray = own) -> bool:
            surer = [other for other in seen.get(person, ()) if cosines[other, person] > own[person]]
            if not surer or max(alike[face, other] for other in surer) >= SAME_LOOK:
                return False
            return bool(own[person] < max(AGAIN, max(cosines[surer, person]) - AGAIN_DROP))

        possible = [person for person in range(len(known)) if not is_elsewhere(person)]
        if not possible:
            continue
        best = max(possible, key=lambda person: own[person])
        is_sure = own[best] >= threshold
        for rival in possible:
            margin = DOUBT_AGAIN if rival in seen else DOUBT
            if rival != best and own[rival] > own[best] - margin:
                is_sure = False
        if is_sure:
            matched[face] = known[best][0]
            seen.setdefault(best, []).append(face)
    return matched


@given(
    seed=st.integers(0, 2**32 - 1), faces=st.integers(0, 8), people=st.integers(0, 30), size=st.integers(2, 6)
)
@settings(max_examples=300)
def test_many_at_once_are_matched_as_one_by_one(seed: int, faces: int, people: int, size: int) -> None:
    random = np.random.default_rng(seed)
    known = [
        somebody(str(number), None if random.random() < 0.1 else unit(*random.normal(size=size)))
        for number in range(people)
    ]
    seen = [unit(*random.normal(size=size)) for _ in range(faces)]
    expected = match_plainly(seen, known)
    assert match(seen, known) == expected
    assert match(seen, Crowd(known)) == expected


def test_ten_thousand_people_as_one_by_one() -> None:
    random = np.random.default_rng(0)
    known = [somebody(str(number), unit(*random.normal(size=20))) for number in range(10_000)]
    seen = [unit(*(known[number].embedding[:20] + random.normal(size=20) / 9)) for number in range(5)]  # type: ignore[index]
    seen += [unit(*random.normal(size=20)) for _ in range(3)]
    matched = match(seen, Crowd(known), threshold=0.8)
    assert matched == match_plainly(seen, known, threshold=0.8)
    assert any(matched)


def test_a_crowd_with_others_is_the_same_people() -> None:
    mum, dad = somebody("mum", unit(1), reference("a", 0)), somebody("dad", unit(0, 1))
    crowd = Crowd([somebody("unknown"), mum, dad])
    assert (len(crowd), crowd[1], list(crowd[1:])) == (3, mum, [mum, dad])
    assert crowd.known[0] == [1, 2]
    without = somebody("mum", mum.embedding)
    other = crowd.with_others({1: without})
    assert match([unit(1)], other) == [without]
    assert match([unit(1)], crowd) == [mum]


def test_real_faces_are_matched_as_one_by_one(shared: Path) -> None:
    photos = shared / "photos"
    people = [read_person(photos / "people" / name) for name in ("7226", "7273", "7429")]
    faces = [reference.embedding for person in people for reference in person.references]
    for name in ("7429_189620", "7407_196978"):
        faces += [face.embedding for face in detect(read_image(photos / "several_faces" / f"{name}.jpg"))]
    for start in range(0, len(faces), 4):
        assert match(faces[start : start + 4], Crowd(people)) == match_plainly(
            faces[start : start + 4], people
        )


def test_people_in_whole_photos_are_matched(shared: Path) -> None:
    """One of the people given and two strangers behind; nobody is taken for another."""
    photos = shared / "photos"
    image = read_image(photos / "several_faces" / "7429_189620.jpg")
    people = [read_person(photos / "people" / name) for name in ("7226", "7273", "7429")]
    faces = detect(image)
    matched = match([face.embedding for face in faces], people)
    assert matched[0] is people[2]
    assert set(matched[1:]) == {None}


def test_people_who_seem_to_be_one_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block, and whoever has no embedding is like nobody."""
    mum, other = unit(1), unit(SAME_LOOK + 0.01, 0.5)
    sister = unit(SAME_LOOK - 0.01, 0, np.sqrt(1 - (SAME_LOOK - 0.01) ** 2))
    crowd = Crowd(
        [
            somebody("mum", mum),
            somebody("nobody"),
            somebody("sister", sister),
            somebody("mummy", other),
            somebody("mum again", mum),
        ]
    )
    for block in (1024, 2, 1):
        monkeypatch.setattr(matching, "BLOCK", block)
        pairs = [(one.name, other.name) for one, other in alike(crowd)]
        assert pairs == [("mum", "mummy"), ("mum", "mum again"), ("mummy", "mum again")]
    assert list(alike(Crowd([]))) == []
    monkeypatch.setattr(matching, "MOST_COMPARED", 4)
    assert len(list(alike(crowd))) == 3
    monkeypatch.setattr(matching, "MOST_COMPARED", 3)
    assert list(alike(crowd)) == []
