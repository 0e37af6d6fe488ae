"""Many photos of a person: the work grows with their number, and the decisions are those of the plain way."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hime.faces import album, duplicates
from hime.faces.album import MAIN_FACE, SAME_PERSON, STRANGER, read_person
from hime.faces.duplicates import ALIKE, COMPARED, find_duplicates
from hime.faces.embedding import similarity
from hime.faces.look import SMALL_SIDE, Look, look_at
from hime.pictures.arrays import FloatArray, resize
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image

cv2 = pytest.importorskip("cv2", reason="the extra faces is not installed")


# ------------------------------------------------------------------------------------ the plain, slow way


def plain_faces_of_the_person(photos: Sequence[Sequence[Look]]) -> tuple[list[Look], dict[Path, str]]:
    """Each face compared with each other one by one, each mean made anew."""

    def like(embedding: FloatArray) -> list[Look]:
        best = [max(looks, key=lambda look: similarity(look.embedding, embedding)) for looks in photos]
        return [look for look in best if similarity(look.embedding, embedding) >= SAME_PERSON]

    def mean(embeddings: Iterable[FloatArray]) -> FloatArray:
        total = np.sum(list(embeddings), axis=0)
        return total / np.linalg.norm(total)

    portraits = [looks for looks in photos if len(looks) == 1 or looks[0].side >= MAIN_FACE * looks[1].side]
    candidates = [looks[0] for looks in portraits] or [look for looks in photos for look in looks]
    if not candidates:
        return [], {}
    agreeing = [like(candidate.embedding) for candidate in candidates]
    order = sorted(
        range(len(candidates)),
        key=lambda n: (  # the last digits are chance
            len(agreeing[n]),
            round(sum(similarity(candidates[n].embedding, look.embedding) for look in agreeing[n]), 5),
        ),
        reverse=True,
    )
    best = order[0]
    if not portraits:
        others = [
            n
            for n in order[1:]
            if similarity(candidates[n].embedding, candidates[best].embedding) < SAME_PERSON
        ]
        if len(agreeing[best]) < 2 or any(len(agreeing[n]) == len(agreeing[best]) for n in others):
            reason = "several faces, and no photo of the person alone that would tell whose is meant"
            return [], {looks[0].path: reason for looks in photos}
    found = agreeing[best]
    theirs, reasons = [], {}
    for looks in photos:
        path = looks[0].path
        middle = mean(look.embedding for look in found if look.path != path or len(found) == 1)
        look = max(looks, key=lambda look: similarity(look.embedding, middle))
        if similarity(look.embedding, middle) >= (STRANGER if looks in portraits else SAME_PERSON):
            theirs.append(look)
        elif looks in portraits:
            reasons[path] = "another person than in the other photos"
        else:
            reasons[path] = "several faces, none of them surely the person's"
    return theirs, reasons


def plain_duplicates(looks: Sequence[Look]) -> dict[Path, str]:
    """Each photo compared with every better one that is alike at all."""
    kept: list[Look] = []
    found: dict[Path, str] = {}
    for look in sorted(looks, key=lambda look: look.quality, reverse=True):
        alike = [other for other in kept if similarity(look.embedding, other.embedding) >= ALIKE]
        same = next((other for other in alike if duplicates.is_same_photo(look, other)), None)
        if same is None:
            kept.append(look)
        else:
            found[look.path] = f"almost the same photo as {same.path.name}"
    return found


# ----------------------------------------------------------------------------------------------- the tests


def unit(vector: np.ndarray) -> FloatArray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def made_look(name: str, embedding: FloatArray, side: float = 200, sharpness: float = 0.3) -> Look:
    small = np.zeros((SMALL_SIDE, SMALL_SIDE), np.float32)
    crop = np.zeros((64, 64, 3), np.uint8)
    return Look(Path(name), side, 0.0, embedding, sharpness, 200, 0.0, 0.5, 0.5, small, crop)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 3), st.floats(0.5, 2))
def test_whose_the_photos_are_is_decided_as_in_the_plain_way(
    seed: int, count: int, people: int, scatter: float
) -> None:
    random = np.random.default_rng(seed)
    middles = random.normal(size=(people, 128))
    photos = []
    for number in range(count):
        shown = random.permutation(people)[: random.integers(1, people + 1)]
        sides = sorted(random.uniform(60, 400, len(shown)), reverse=True)
        photos.append(
            [
                made_look(f"{number}.jpg", unit(middles[who] + scatter * random.normal(size=128)), side)
                for who, side in zip(shown, sides, strict=True)
            ]
        )
    theirs, reasons = album._faces_of_the_person(photos)
    plain, plain_reasons = plain_faces_of_the_person(photos)
    assert list(map(id, theirs)) == list(map(id, plain))
    assert reasons == plain_reasons


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    middle = random.normal(size=128)
    photos = [[made_look(f"{n}.jpg", unit(middle + random.normal(size=128)))] for n in range(20)]
    whole = album._faces_of_the_person(photos)
    monkeypatch.setattr(album, "BLOCK", 3)
    assert album._faces_of_the_person(photos) == whole
    assert len(whole[0]) > 10


def many(count: int) -> list[Look]:
    """All alike, all different, of falling quality."""
    random = np.random.default_rng(count)
    middle = random.normal(size=128)
    return [
        made_look(f"{n}.jpg", unit(middle + 0.4 * random.normal(size=128)), sharpness=0.3 - n / (10 * count))
        for n in range(count)
    ]


def test_comparisons_grow_with_the_photos_not_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count()

    def compare(*_: object) -> tuple[float, np.ndarray]:
        next(calls)
        return 0.5, np.eye(2, 3)

    monkeypatch.setattr(cv2, "findTransformECC", compare)
    made = []
    for count in (50, 100, 200):
        before = next(calls)
        assert find_duplicates(many(count)) == {}
        made.append(next(calls) - before - 1)
    assert made == [COMPARED * count - COMPARED * (COMPARED + 1) // 2 for count in (50, 100, 200)]


def test_what_is_known_is_not_compared_again() -> None:
    looks = [replace(look, key=f"{n:064x}-0") for n, look in enumerate(many(6))]
    verdicts: dict[tuple[str, str], bool] = {}
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "is_same_photo", lambda *pair: asked.append(pair))
        find_duplicates(looks, verdicts)
        assert len(asked) == len(verdicts) == 15
        find_duplicates(looks, verdicts)
        assert len(asked) == 15
    verdicts[looks[4].key, looks[1].key] = True
    assert find_duplicates(looks, verdicts) == {Path("4.jpg"): "almost the same photo as 1.jpg"}


@pytest.fixture(scope="module")
def copies(demo_people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of a rendered person, and copies of them: cropped, smaller, brighter, compressed."""
    folder = tmp_path_factory.mktemp("copies")
    for photo in sorted((demo_people / "ada").glob("*.webp")):
        image = read_image(photo)
        height, width = image.shape[:2]
        write_image(folder / f"{photo.stem}.png", image)
        write_image(folder / f"{photo.stem}-cropped.jpg", image[4:, 6:])
        write_image(folder / f"{photo.stem}-small.png", resize(image, height * 2 // 3, width * 2 // 3))
        bright = (255 * (image / 255) ** 0.8).astype(np.uint8)
        write_image(folder / f"{photo.stem}-bright.png", bright)
    return folder


def test_copies_of_rendered_photos_are_found_as_in_the_plain_way(copies: Path) -> None:
    photos = [looks for file in sorted(copies.iterdir()) if (looks := look_at(file))]
    theirs, _ = plain_faces_of_the_person(photos)
    usable = [look for look in theirs if look.problem is None]
    found = find_duplicates(usable)
    assert found == plain_duplicates(usable)
    assert len(found) >= len(usable) // 2


def test_progress_is_told(copies: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    files = [*sorted(copies.iterdir())[:3], tmp_path / "empty.jpg"]
    files[3].touch()
    read_person(files, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_photos_that_lie_otherwise_are_references_too(demo_people: Path, tmp_path: Path) -> None:
    upright = read_image(demo_people / "ada" / "1.webp")
    for turns in range(4):
        write_image(tmp_path / f"{turns}.png", np.rot90(upright, turns))
    looks = [look for turns in range(4) for look in look_at(tmp_path / f"{turns}.png")]
    assert len(looks) == 4
    for look in looks[1:]:
        assert look.problem is None
        assert similarity(look.embedding, looks[0].embedding) > 0.9
        one, other = (resize(each.crop, 64, 64).astype(int) for each in (look, looks[0]))
        apart = [np.abs(one - np.rot90(other, quarter)).mean() for quarter in range(4)]
        assert np.argmin(apart) == 0, "the headshot is upright"
    person = read_person(tmp_path)
    assert len(person.references) == 1
    assert all("almost the same photo as" in reason for _, reason in person.rejected)
