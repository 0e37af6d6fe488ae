"""Whole photographs: what is restored, what stays as it is, and that nothing moves."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from scipy.ndimage import gaussian_filter

import hime
import hime.restoring.photo
from hime.data.people import DEMO_PEOPLE
from hime.errors import HimeError, NothingToRestore
from hime.faces.album import Person, read_person
from hime.faces.detection import detect
from hime.pictures.arrays import FloatArray, Image, from_planes, resize, to_planes
from hime.pictures.reading import Picture, read_image
from hime.pictures.writing import write_picture
from hime.restoring.face import COLOUR_SMOOTHING, RestoredFace, _smooth
from hime.restoring.photo import restore_photo
from hime.restoring.restorer import Restorer


def enlarge(image: Image, factor: int, method: PIL.Image.Resampling = PIL.Image.Resampling.LANCZOS) -> Image:
    height, width = image.shape[:2]
    return np.array(PIL.Image.fromarray(image).resize((width * factor, height * factor), method))


class Enlarging:
    """A model that only enlarges, and then changes every pixel by ``shift`` levels and a checkerboard of
    ``texture`` levels.
    """

    def __init__(
        self,
        method: PIL.Image.Resampling = PIL.Image.Resampling.LANCZOS,
        shift: float = 0,
        texture: float = 0,
        reconstruction: Enlarging | None = None,
    ) -> None:
        self.card: dict[str, Any] = {"name": "enlarging", "scale": 4, "feature_channels": 2}
        if reconstruction is not None:
            self.card["fidelity"] = 0.25
        self.method, self.shift, self.texture, self.reconstruction = method, shift, texture, reconstruction

    def encode(self, references: FloatArray) -> FloatArray:
        count, _, height, width = references.shape
        return np.zeros((count, 2, height // 4, width // 4), np.float32)

    def restore(self, lr: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        larger = [to_planes(enlarge(from_planes(each), 4, self.method)) for each in lr]
        hr = np.concatenate(larger) + np.float32(self.shift / 255)
        rows, columns = np.indices(hr.shape[2:]) // 4
        hr += ((rows + columns) % 2 * 2 - 1) * np.float32(self.texture / 255)
        batch, count, _, height, width = features.shape
        return hr.clip(0, 1), np.full((batch, count, height, width), 0.1, np.float32)


@pytest.fixture(scope="module")
def crops(demo_people: Path) -> dict[str, Image]:
    return {name: read_image(demo_people / name / "0.webp") for name in ("ada", "ben", "eva")}


@pytest.fixture(scope="module")
def people(demo_people: Path) -> list[Person]:
    return [read_person([demo_people / n / f"{i}.webp" for i in (1, 2, 3)], n) for n in ("ada", "ben")]


@pytest.fixture(scope="module")
def party(crops: dict[str, Image]) -> Picture:
    """From left to right: Ada upright, Eva, and Ben a little turned."""
    y, x = np.mgrid[:200, :420]
    image = np.stack([90 + x / 4, 120 + y / 3, 200 - x / 5], axis=-1).astype(np.uint8)
    image[60:140, 30:110] = resize(crops["ada"], 80, 80)
    image[70:134, 170:234] = resize(crops["eva"], 64, 64)
    turned = PIL.Image.fromarray(crops["ben"]).resize((96, 96)).rotate(-12, PIL.Image.Resampling.BICUBIC)
    image[60:132, 300:372] = np.array(turned)[12:84, 12:84]
    return Picture(image)


def names(faces: tuple[RestoredFace, ...]) -> list[str | None]:
    return [face.person for face in faces]


def restored(faces: tuple[RestoredFace, ...]) -> list[int]:
    return [number for number, face in enumerate(faces, start=1) if face.restored is not None]


def test_what_is_no_photograph_or_no_person_is_refused(
    party: Picture, people: list[Person], tmp_path: Path
) -> None:
    model: Any = Restorer(Enlarging())
    wrong: Any
    for wrong in (party.image, "party.jpg"):
        with pytest.raises(HimeError, match=r"must be what `hime\.read_picture` gives, not (ndarray|str)"):
            restore_photo(wrong, people, model)
    for wrong in (people[0], "mum/", ["mum/"]):
        with pytest.raises(HimeError, match=r"list of what `hime\.read_person` gives, not (a list with )?"):
            restore_photo(party, wrong, model)
    wrong = party.image
    with pytest.raises(HimeError, match=r"must be what `hime\.read_picture` gives, not ndarray"):
        write_picture(tmp_path / "out.png", party.image, wrong)


def test_known_people_are_restored_and_strangers_are_not(party: Picture, people: list[Person]) -> None:
    photo = restore_photo(party, people, Restorer(Enlarging(texture=30)), explain=True)
    assert names(photo.faces) == ["ada", None, "ben"]
    assert restored(photo.faces) == [1, 3]
    assert [face.status for face in photo.faces[::2]] == ["restored"] * 2
    assert photo.faces[1].status == "left: not one of the people given"
    assert photo.enlargement == 4
    assert np.abs(photo.plain.astype(int) - enlarge(party.image, 4)).max() <= 1
    changed = np.abs(photo.image.astype(int) - photo.plain).max(axis=-1)
    assert changed[240:560, 560:1060].max() == 0  # Eva and everything around her
    assert changed[300:500, 200:360].mean() > 15  # Ada's face
    assert changed[300:460, 1280:1400].mean() > 15
    for face in photo.faces[::2]:
        assert face.references
        assert len(face.references) == len(face.crops) == len(face.shares) == len(face.scores)
        assert face.restored is not None
        assert face.lr.shape[0] * 4 == face.restored.shape[0]
        assert face.lr.shape[0] == round(face.frame.side)
        assert face.without is not None
        assert face.similarity_before is not None
        assert face.similarity_before > 0.3
        assert face.scores[0].shape == face.lr.shape[:2]
    before = detect(read_image(DEMO_PEOPLE / "ben" / "0.webp"))[0].frame.angle
    assert photo.faces[2].frame.angle - before == pytest.approx(np.radians(12), abs=0.06)


@pytest.mark.parametrize("method", [PIL.Image.Resampling.LANCZOS, PIL.Image.Resampling.BICUBIC])
def test_a_model_that_only_enlarges_gives_the_enlargement_back(
    party: Picture, people: list[Person], method: PIL.Image.Resampling
) -> None:
    photo = restore_photo(party, people, Restorer(Enlarging(method)))
    difference = np.abs(photo.image.astype(int) - enlarge(party.image, 4))
    if method == PIL.Image.Resampling.LANCZOS:
        assert difference.max() <= 1
        assert (difference > 0).mean() < 2e-4
    else:  # it differs in what the method differs in
        assert difference.mean() < 0.3
        assert np.quantile(difference, 0.999) < 5


def test_colours_and_shading_stay_the_photos(party: Picture, people: list[Person]) -> None:
    photo = restore_photo(party, people, Restorer(Enlarging(shift=12)))
    difference = np.abs(photo.image.astype(int) - enlarge(party.image, 4))
    assert difference.mean() < 0.1
    assert np.quantile(difference, 0.999) <= 3  # but where the model's levels ran over


def test_no_seam(party: Picture, people: list[Person]) -> None:
    """Along the frame's border the picture changes no more than around it."""
    photo = restore_photo(party, people, Restorer(Enlarging(texture=30)), explain=True)
    change = np.abs(photo.image.astype(int) - photo.plain)
    frame = photo.faces[0].frame.scaled(4)
    left, top = (round(value - frame.side / 2) for value in frame.centre)
    ring = [change[top : top + 400, left - 3 : left + 6], change[top - 3 : top + 6, left : left + 300]]
    assert max(part.max() for part in ring) <= 5


@pytest.mark.parametrize("side", [16, 17, 130, 300])
def test_smoothing_is_gaussian(side: int) -> None:
    values = np.random.default_rng(side).uniform(-255, 255, (side, side, 3)).astype(np.float32)
    expected = gaussian_filter(values, (COLOUR_SMOOTHING * side,) * 2 + (0,), mode="nearest")
    assert np.allclose(_smooth(values), expected, atol=1e-3)


def test_one_person_one_face_and_everyone(party: Picture, people: list[Person]) -> None:
    restorer = Restorer(Enlarging())
    photo = restore_photo(party, people, restorer, only_person="ben")
    assert restored(photo.faces) == [3]
    assert photo.faces[0].status == "left: not asked for"
    everyone = restore_photo(party, people, restorer, everyone=True)
    assert restored(everyone.faces) == [1, 2, 3]
    assert everyone.faces[1].references == ()
    assert everyone.faces[1].similarity_after is None
    second = restore_photo(party, people, restorer, only_face=2)
    assert (restored(second.faces), second.faces[1].person) == ([2], None)
    taken = restore_photo(party, people, restorer, only_face=2, only_person="ada")
    assert names(taken.faces) == ["ada", "ada", "ben"]
    assert restored(taken.faces) == [2]
    assert taken.faces[1].references
    alone = restore_photo(party, people[:1], restorer, only_face=2)
    assert alone.faces[1].person == "ada"
    known = restore_photo(party, people[1:], restorer, only_face=3)
    assert known.faces[2].person == "ben"
    assert restored(restore_photo(party, [], restorer, everyone=True).faces) == [1, 2, 3]


def test_faces_of_one_size_go_through_in_one_call(
    crops: dict[str, Image], people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.full((160, 512, 3), (90, 120, 200), np.uint8)
    image[32:112, 64:144] = image[32:112, 320:400] = resize(crops["ada"], 80, 80)
    calls: list[int] = []
    restore = Enlarging.restore

    def counted(self: Enlarging, lr: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        calls.append(len(lr))
        return restore(self, lr, features)

    monkeypatch.setattr(Enlarging, "restore", counted)
    restorer = Restorer(Enlarging(texture=30))
    both = restore_photo(Picture(image), people, restorer)
    assert (restored(both.faces), calls) == ([1, 2], [2])
    for number in (1, 2):
        alone = restore_photo(Picture(image), people, restorer, only_face=number).faces[number - 1]
        np.testing.assert_array_equal(both.faces[number - 1].restored, alone.restored)


def test_nothing_to_restore_is_said(party: Picture, people: list[Person], crops: dict[str, Image]) -> None:
    def refused(
        kind: type[HimeError], picture: Picture, people: list[Person] = people, **options: Any
    ) -> str:
        with pytest.raises(HimeError) as refusal:
            restore_photo(picture, people, Restorer(Enlarging()), **options)
        assert type(refusal.value) is kind
        return str(refusal.value)

    wall = Picture(np.full((90, 90, 3), 127, np.uint8))
    assert "no face found" in refused(NothingToRestore, wall)
    assert refused(NothingToRestore, Picture(party.image[:, 150:260]), people[1:]) == (
        "its face is not ben; restore strangers with --face N or --everyone"
    )
    sharp = (
        "ada is sharp for its size (242 pixels with hair and neck); restore it all the same with --even-sharp"
    )
    assert sharp in refused(NothingToRestore, Picture(crops["ada"]))
    small = np.full((128, 128, 3), 140, np.uint8)
    small[50:66, 50:66] = resize(crops["ada"], 16, 16)
    told = refused(NothingToRestore, Picture(small), everyone=True)
    assert "too small" in told or "no face" in told

    # What is asked for by name must be there.
    assert "no photos of carl, only of ada, ben" in refused(HimeError, party, only_person="carl")
    assert "has 3 faces" in refused(HimeError, party, only_face=4)
    assert sharp in refused(HimeError, Picture(crops["ada"]), only_face=1)
    assert "its face is not" in refused(HimeError, Picture(party.image[:, 150:260]), only_person="ada")
    assert "no face found" in refused(HimeError, wall, only_face=1)
    assert "no face found" in refused(HimeError, wall, only_person="ada")


def test_whom_no_photo_shows_gets_a_face_only_if_asked_for(
    party: Picture, people: list[Person], crops: dict[str, Image]
) -> None:
    nobody, alone = Person("carl", (), (("a.jpg", "no face"),), None), Picture(resize(crops["eva"], 80, 80))
    with pytest.raises(NothingToRestore, match="its face is not carl"):
        restore_photo(alone, [nobody], Restorer(Enlarging()))
    strangers = restore_photo(alone, [nobody], Restorer(Enlarging()), everyone=True)
    assert names(strangers.faces) == [None]
    asked_for: list[dict[str, Any]] = [{"only_person": "carl"}, {"only_face": 1}]
    for asked in asked_for:
        (face,) = restore_photo(alone, [nobody], Restorer(Enlarging()), **asked).faces
        assert face.person == "carl"
        assert face.warning == "no photo of carl could be used: restored without"
        assert face.references == ()
    for picture in (party, Picture(resize(crops["ada"], 80, 80))):  # of several, and of somebody else's
        with pytest.raises(HimeError, match="is"):
            restore_photo(picture, [*people, nobody], Restorer(Enlarging()), only_person="carl")


def test_where_the_result_is_less_like_the_milder_one_is_taken(party: Picture, people: list[Person]) -> None:
    restorer = Restorer(Enlarging(texture=160, reconstruction=Enlarging()))
    photo = restore_photo(party, people, restorer, only_person="ada", explain=True)
    face = photo.faces[0]
    assert face.fidelity == 1
    assert face.warning == "less like ada than the input was, so the milder result was taken"
    assert face.similarity_after == pytest.approx(face.similarity_before, abs=0.02)
    assert restorer.fidelity == 0.25
    assert np.array_equal(photo.image, photo.plain)
    fixed = restore_photo(party, people, Restorer(Enlarging(texture=120)), only_person="ada")
    assert fixed.faces[0].warning == "less like ada than the input was: look at it with care"
    assert fixed.faces[0].fidelity is None


def test_where_there_is_no_milder_model_the_result_stays_and_is_told(
    party: Picture, people: list[Person]
) -> None:
    class Alone(Enlarging):
        @property
        def reconstruction(self) -> Enlarging:
            raise HimeError("alone: its other end is not there")

        @reconstruction.setter
        def reconstruction(self, _: Enlarging | None) -> None:
            self.card["fidelity"] = 0

    photo = restore_photo(party, people, Restorer(Alone(texture=160)), only_person="ada")
    face = photo.faces[0]
    assert (face.fidelity, face.status) == (0, "restored")
    assert face.warning == (
        "less like ada than the input was: look at it with care (alone: its other end is not there)"
    )


def test_a_face_that_is_hardly_like_who_it_was_said_to_be_is_told(
    party: Picture, people: list[Person]
) -> None:
    """Ada, said to be somebody with the opposite embedding, whose photos are used all the same."""
    ada = next(person for person in people if person.name == "ada")
    assert ada.embedding is not None
    other = replace(ada, name="gus", embedding=-ada.embedding)
    number = 1 + next(
        place
        for place, face in enumerate(restore_photo(party, [ada], Restorer(Enlarging())).faces)
        if face.person == "ada"
    )
    asked = restore_photo(party, [other], Restorer(Enlarging()), only_face=number).faces[number - 1]
    assert asked.person == "gus"
    assert asked.references
    assert asked.warning is not None
    assert asked.warning.startswith("hardly like gus as far as can be seen (-0.")
    own = restore_photo(party, [ada], Restorer(Enlarging()), only_face=number).faces[number - 1]
    assert (own.person, own.warning) == ("ada", None)


def test_one_warning_takes_no_others_place(
    party: Picture, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    (ada,) = (person for person in people if person.name == "ada")
    less = "less like ada than the input was: look at it with care"
    for person, before, doubts in (
        (ada, 0.05, ["hardly like ada as far as can be seen (0.05): if it is somebody else, the result looks "
                     "like ada all the same"]),
        (replace(ada, references=()), 0.5, ["no photo of ada could be used: restored without"]),
        (replace(ada, references=()), 0.05, [
            "no photo of ada could be used: restored without",
            "hardly like ada as far as can be seen (0.05): if it is somebody else, say whose with --face",
        ]),
    ):  # fmt: skip
        likenesses = iter([before, before - 0.1])
        monkeypatch.setattr("hime.restoring.face.similarity", lambda *_, each=likenesses: next(each))
        photo = restore_photo(party, [person], Restorer(Enlarging()), only_person="ada")
        assert photo.faces[0].warning == "; ".join([*doubts, less])


def test_arguments_that_are_something_else_are_refused(party: Picture, people: list[Person]) -> None:
    restorer = Restorer(Enlarging())
    whole = "must be a whole number from 1 up, not"
    wrong: list[tuple[str, Any, str]] = [
        ("enlargement", -1, f"{whole} -1"),
        ("enlargement", 0, f"{whole} 0"),
        ("enlargement", 1.5, f"{whole} 1.5"),
        ("largest_side", True, f"{whole} True"),
        ("only_face", "1", f"{whole} str"),
        ("only_face", 0, f"{whole} 0"),
        ("references", 0, f"{whole} 0"),
        ("references", None, f"{whole} NoneType"),
        ("strength", "1", "must be from 0 to 1, not str"),
        ("strength", float("nan"), "must be from 0 to 1, not nan"),
        ("only_person", 7, "must be a name, not int"),
    ]
    for argument, value, line in wrong:
        with pytest.raises(HimeError, match=rf"^{argument} {line}$"):
            restore_photo(party, people, restorer, **{argument: value})
    with pytest.raises(HimeError, match=r"^the restorer must be what `hime\.load` gives, not str$"):
        restore_photo(party, people, "small-x4")  # type: ignore[arg-type]
    whole_numbers: dict[str, Any] = {
        "enlargement": np.int64(1),
        "references": np.int64(2),
        "strength": np.float32(1),
    }
    restore_photo(party, people, restorer, **whole_numbers)


def test_a_name_is_the_same_however_its_letters_are_stored(party: Picture, people: list[Person]) -> None:
    (ada,) = (person for person in people if person.name == "ada")
    for stored, asked in itertools.permutations(["Zoe\u0308", "Zo\u00eb"]):
        photo = restore_photo(party, [replace(ada, name=stored)], Restorer(Enlarging()), only_person=asked)
        assert stored in names(photo.faces)


def test_enlargement(party: Picture, people: list[Person], monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = Restorer(Enlarging(texture=30))
    for factor in (1, 2, 8):
        photo = restore_photo(party, people, restorer, enlargement=factor, explain=True)
        assert photo.enlargement == factor
        assert photo.image.shape == (200 * factor, 420 * factor, 3)
        assert np.abs(photo.plain.astype(int) - enlarge(party.image, factor)).max() <= 1
        assert photo.faces[0].restored is not None
        assert (photo.image != photo.plain).any()
    monkeypatch.setattr(hime.restoring.photo, "MAX_RESULT_PIXELS", 4 * 200 * 420)
    assert restore_photo(party, people, restorer).enlargement == 2
    monkeypatch.setattr(hime.restoring.photo, "MAX_RESULT_PIXELS", 100)
    assert restore_photo(party, people, restorer).enlargement == 1


def test_more_pixels_of_the_picture_are_filled_by_another_pass(party: Picture, people: list[Person]) -> None:
    """A face of 80 pixels has 640 in a picture that is enlarged eight times: it is raised up to 512."""
    few, many = (
        restore_photo(party, people, Restorer(Enlarging(texture=20)), enlargement=factor).faces[0]
        for factor in (2, 8)
    )
    assert few.restored is not None
    assert many.restored is not None
    assert few.passes == (len(few.lr),)
    assert few.restored.shape[0] == 4 * len(few.lr)
    assert many.passes == (len(few.lr), 128)
    assert many.restored.shape[0] == 512


@pytest.fixture(scope="module")
def scan(crops: dict[str, Image]) -> Picture:
    """An old scan: Ben blurred, Ada beside him sharp, both of more than 128 pixels."""
    image = np.full((300, 520, 3), (150, 140, 120), np.uint8)
    soft = gaussian_filter(crops["ben"].astype(np.float32), (4, 4, 0), mode="nearest")
    image[22:278, 22:278] = np.rint(soft)
    image[50:250, 300:500] = resize(crops["ada"], 200, 200)
    return Picture(image)


def test_large_faces_are_restored_where_they_are_blurred(scan: Picture, people: list[Person]) -> None:
    photo = restore_photo(scan, people, Restorer(Enlarging(texture=20)), explain=True)
    ben, ada = photo.faces
    assert (ben.person, ben.status) == ("ben", "restored")
    assert ada.person == "ada"
    assert ada.status == f"left: sharp for its size ({len(ada.lr)} pixels with hair and neck)"
    assert ben.detail is not None
    assert ada.detail is not None
    assert ben.detail.side < 50 < 100 < ada.detail.side
    assert (ada.passes, ada.restored, ada.scores) == ((), None, ())
    assert 24 <= ben.passes[0] <= 64
    assert ben.passes[-1] == 128  # four times its pixels would be more than 512
    assert ben.lr.shape[0] == round(ben.frame.side) > 200
    assert ben.restored is not None
    assert ben.restored.shape == (512, 512, 3)
    assert ben.scores[0].shape == (ben.passes[0],) * 2
    assert ben.without is not None
    assert ben.without.shape == ben.restored.shape
    change = np.abs(photo.image.astype(int) - photo.plain).max(axis=-1)
    assert change[400:800, 400:800].mean() > 5
    assert change[:, 1200:].max() == 0


def test_large_faces_keep_their_colours_and_show_no_seam(scan: Picture, people: list[Person]) -> None:
    photo = restore_photo(scan, people, Restorer(Enlarging(shift=12)), explain=True)
    difference = photo.image.astype(int) - photo.plain
    assert np.abs(resize((difference + 128).clip(0, 255).astype(np.uint8), 30, 52) - 128.0).max() <= 4
    frame = photo.faces[0].frame.scaled(photo.enlargement)
    left, top = (round(value - frame.side / 2) for value in frame.centre)
    side = round(frame.side)
    for part in (np.s_[top : top + side, left - 3 : left + 6], np.s_[top - 3 : top + 6, left : left + side]):
        assert np.abs(difference[part]).max() <= 3


def test_even_what_is_sharp_is_restored_if_asked(scan: Picture, people: list[Person]) -> None:
    photo = restore_photo(scan, people, Restorer(Enlarging(texture=20)), even_sharp=True)
    assert restored(photo.faces) == [1, 2]
    assert photo.faces[1].passes == (128,)


def test_strength_mixes_with_what_was_there(scan: Picture, people: list[Person]) -> None:
    none, half, whole = (
        restore_photo(scan, people, Restorer(Enlarging(texture=20)), strength=strength, explain=True)
        for strength in (0, 0.5, 1)
    )
    assert np.array_equal(none.image, none.plain)
    changes = [photo.image.astype(float) - photo.plain for photo in (half, whole)]
    assert np.abs(changes[1]).max() > 10
    assert np.quantile(np.abs(2 * changes[0] - changes[1]), 0.999) <= 2  # but where levels ran over
    with pytest.raises(HimeError, match="strength must be from 0 to 1, not 2"):
        restore_photo(scan, people, Restorer(Enlarging()), strength=2)


def test_a_large_grey_face_stays_grey(scan: Picture, people: list[Person]) -> None:
    grey = np.rint(scan.image @ (0.299, 0.587, 0.114)).astype(np.uint8)[..., np.newaxis].repeat(3, axis=2)
    photo = restore_photo(Picture(grey), people, hime.load("small-x4-p", threads=1), explain=True)
    assert restored(photo.faces) == [1]
    assert (photo.image != photo.plain).any()
    assert np.ptp(photo.image, axis=2).max() <= 1


def test_sixteen_bits(party: Picture, people: list[Person]) -> None:
    deep = party.image.astype(np.uint16) * 257 + 100
    photo = restore_photo(replace(party, deep=deep), people, Restorer(Enlarging(texture=30)), explain=True)
    assert photo.image.dtype == photo.plain.dtype == np.uint16
    eight = restore_photo(party, people, Restorer(Enlarging(texture=30)))
    assert np.abs(photo.image / 257 - eight.image).max() < 5


def test_the_same_person_several_times_and_at_any_angle(people: list[Person], demo_people: Path) -> None:
    """A photo strip: all of Ada's faces, however they lie, and the stranger's not."""
    image = np.full((140, 560, 3), 210, np.uint8)
    ada, carl = (resize(read_image(demo_people / who / "0.webp"), 100, 100) for who in ("ada", "carl"))
    strip = [ada, np.rot90(ada), carl, ada[:, ::-1], np.rot90(ada, 2)]
    for number, crop in enumerate(strip):
        image[20:120, 10 + 110 * number : 110 + 110 * number] = crop
    photo = restore_photo(Picture(image), people[:1], Restorer(Enlarging(texture=30)), explain=True)
    assert names(photo.faces) == ["ada", "ada", None, "ada", "ada"]
    assert restored(photo.faces) == [1, 2, 4, 5]
    quarters = [round(np.degrees(face.frame.angle) / 90) % 4 for face in photo.faces]
    assert quarters == [0, 3, 0, 0, 2]
    change = np.abs(photo.image.astype(int) - photo.plain).max(axis=-1)
    for number, kept in enumerate((False, False, True, False, False)):
        face = change[160:400, 40 + 440 * number + 100 : 40 + 440 * number + 300]
        assert (face.mean() < 1) if kept else (face.mean() > 15)
    for face in photo.faces:  # each headshot is upright
        if face.restored is not None and face.similarity_before is not None:
            assert face.similarity_before > 0.5
    only = restore_photo(Picture(image), people[:1], Restorer(Enlarging()), only_person="ada")
    assert restored(only.faces) == [1, 2, 4, 5]
    one = restore_photo(Picture(image), people[:1], Restorer(Enlarging()), only_face=2)
    assert restored(one.faces) == [2]


def test_several_threads_restore_with_one_restorer(crops: dict[str, Image], people: list[Person]) -> None:
    restorer = hime.load("small-x4-p", threads=1)
    pictures = [Picture(resize(crops[name], side, side)) for name in ("ada", "ben") for side in (40, 56)]

    def restored_by(picture: Picture) -> Image:
        photo = restore_photo(picture, people, restorer)
        assert photo.faces[0].references
        assert photo.faces[0].restored is not None
        return photo.faces[0].restored

    serial = [restored_by(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(serial, pool.map(restored_by, pictures), strict=True):
            np.testing.assert_array_equal(one, other)


def test_faces_at_the_border(crops: dict[str, Image], people: list[Person]) -> None:
    image = np.full((120, 160, 3), 150, np.uint8)
    image[:70, :80] = resize(crops["ada"], 90, 90)[20:, 10:]
    picture = Picture(image)
    photo = restore_photo(picture, people, Restorer(Enlarging(texture=30)), explain=True)
    assert restored(photo.faces) == [1]
    assert (photo.image[:20] != photo.plain[:20]).any()
    same = restore_photo(picture, people, Restorer(Enlarging()))
    assert np.array_equal(same.image, photo.plain)


def test_a_released_model_on_real_photos(shared: Path) -> None:
    """Somebody among others, of whom other photos are there: known, restored, and the rest left alone."""
    photo = read_image(shared / "photos" / "several_faces" / "7226_184568.jpg")
    small = resize(photo, photo.shape[0] // 5, photo.shape[1] // 5)
    person = read_person(shared / "photos" / "people" / "7226")
    result = restore_photo(Picture(small), [person], hime.load("small-x4", threads=1), explain=True)
    assert len(result.faces) == 2
    assert sorted(names(result.faces), key=str) == ["7226", None]
    (stranger,) = (face for face in result.faces if face.person is None)
    x, y, width, height = (round(4 * value) for value in stranger.box)
    box = np.s_[max(0, y) : y + height, max(0, x) : x + width]
    assert np.array_equal(result.image[box], result.plain[box])
    (face,) = (face for face in result.faces if face.person)
    assert face.similarity_before is not None
    assert face.similarity_after is not None
    assert face.similarity_after > face.similarity_before - 0.1
