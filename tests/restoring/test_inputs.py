"""Places of results: each input has its own, called as it is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hime.errors import HimeError
from hime.pictures.formats import READ
from hime.pictures.reading import read_picture
from hime.pictures.writing import write_picture
from hime.restoring.inputs import Input, digest, find_inputs, find_references, key, places
from hime.restoring.people import read_people
from hime.restoring.records import Records, Results
from hime.restoring.restorer import load
from hime.restoring.sources import check_names, find_people, find_person

names = st.sampled_from(["a", "A", "b", "é", "e\u0301", "a.bmp", "a-2"])
endings = st.sampled_from([".png", ".bmp", ".PNG", ""])
paths = st.builds(
    lambda folders, name, ending: Path("/r", *folders, name + ending),
    st.lists(st.sampled_from(["x", "y", "X"]), max_size=3),
    names,
    endings,
)


@given(st.lists(paths, max_size=12, unique=True), st.booleans())
def test_no_two_results_share_a_place(given: list[Path], keep: bool) -> None:
    inputs = [Input(path, len(path.parts) - 2 if keep else 1) for path in given]
    found = places(inputs, [".png"] * len(inputs), READ)
    assert len({key(place) for place in found}) == len(inputs)
    for each, place in zip(inputs, found, strict=True):
        assert not place.is_absolute()
        assert place.name.startswith(each.path.stem)
        assert place.suffix.lower() == ".png"


def test_one_alone_is_called_as_its_input() -> None:
    for name, place in (
        ("a.png", "a.png"),
        ("a.bmp", "a.png"),
        ("a", "a.png"),
        ("a.2019", "a.2019.png"),
        ("a.PNG", "a.png"),
        ("a.b.jpg", "a.b.png"),
    ):
        (found,) = places([Input(Path("x") / name)], [".png"], READ)
        assert found.as_posix() == place


def test_a_folder_is_a_person_or_holds_people(demo_people: Path, tmp_path: Path) -> None:
    family = tmp_path / "family"
    for name in ("mum", "dad/1998", "dad/1999"):
        folder = family / name
        folder.mkdir(parents=True)
        (folder / "p").write_bytes((demo_people / "ada" / "0.webp").read_bytes())
    (family / "aunt.person").write_bytes(b"")
    found = find_people([family])
    assert [(person.name, len(person.files)) for person in found.people] == [
        ("dad", 2),
        ("mum", 1),
        (None, 1),
    ]
    assert found.passed_over == []
    (one,) = find_people([family / "mum"]).people
    assert one.name == "mum"
    shutil.copy(demo_people / "ada" / "0.webp", family / "all.webp")
    found = find_people([family])
    assert [(person.name, len(person.files)) for person in found.people] == [("family", 4), (None, 1)]
    (note,) = found.notes
    assert "is taken for one person, with the photos in its folders, since all.webp is in it" in note


@pytest.mark.parametrize("stored", ["Zoe\u0308", "Zo\u00eb"], ids=["two characters", "one"])
def test_people_are_called_one_way_however_their_folders_are(
    stored: str, demo_people: Path, tmp_path: Path
) -> None:
    folder, photo = tmp_path / "family" / stored, demo_people / "ada" / "0.webp"
    folder.mkdir(parents=True)
    loose = Path(shutil.copy(photo, tmp_path / f"{stored}.webp"))
    shutil.copy(photo, folder)
    for each in (folder, folder.parent, loose):
        (found,) = find_people([each]).people
        assert found.name == "Zo\u00eb"
    other = tmp_path / "Zo\u00eb.person"
    assert find_person([folder.parent, tmp_path / "family"], stored).people[0].name == "Zo\u00eb"
    with pytest.raises(HimeError, match="2 people are named Zo"):
        find_people([folder, loose])
    with pytest.raises(HimeError, match="2 people are named Zo"):
        check_names([stored, other.stem])


def test_a_folder_given_twice_is_one_person(demo_people: Path, tmp_path: Path) -> None:
    family, link = tmp_path / "family", tmp_path / "link"
    for name in ("mum", "dad"):
        shutil.copytree(demo_people / "ada", family / name)
    link.symlink_to(family)
    file = tmp_path / "aunt.person"
    file.write_bytes(b"")
    for each in (
        [family],
        [family, family],
        [family / "mum", family],
        [family, link / "dad"],
        [link, family],
    ):
        found = find_people([*each, file, link.parent / "aunt.person"])
        assert sorted(str(person.name) for person in found.people) == ["None", "dad", "mum"]
    assert [person.name for person in find_people([family / "mum", family / "dad", link / "mum"]).people] == [
        "mum",
        "dad",
    ]


def test_a_person_file_beside_the_photos_that_it_was_made_of_is_passed_over(
    demo_people: Path, tiny_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    from hime.faces.album import read_person
    from hime.restoring.person import save_person

    ada = Path(shutil.copytree(demo_people / "ada", tmp_path / "ada"))
    file = save_person(ada / "ada.person", read_person(ada), load(tiny_model, threads=1))
    for each in (find_people([ada]), find_person([ada])):
        (person,) = each.people
        assert (person.name, person.is_encoded) == ("ada", False)
        assert each.passed_over == [
            f"{file}: passed over: the photos that it was made of are taken; give it alone to take it"
        ]
    (alone,) = find_people([file]).people
    assert alone.is_encoded
    file = Path(shutil.move(file, ada.parent))  # the folder beside the file
    for given_people in ([ada.parent], [ada, file], [file, ada]):
        found = find_people(given_people)
        assert [person.is_encoded for person in found.people] == [False]
        assert len(found.passed_over) == 1
    other = Path(shutil.copytree(ada, tmp_path / "other"))  # of another name
    found = find_people([other, tmp_path / "ada.person"])
    assert [(person.name, person.is_encoded) for person in found.people] == [("other", False)]
    for photo in list(other.iterdir())[1:]:  # then they are not those that it was made of
        photo.unlink()
    assert [person.is_encoded for person in find_people([other, file]).people] == [False, True]


def test_a_person_file_beside_other_photos_of_the_person_of_its_name_is_passed_over(
    demo_people: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Once a photo of a folder was edited or deleted, everything goes on."""
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    from hime.faces.album import read_person
    from hime.restoring.person import save_person

    ada = Path(shutil.copytree(demo_people / "ada", tmp_path / "family" / "ada"))
    file = save_person(ada.parent / "ada.person", read_person(ada), load(tiny_model, threads=1))
    sorted(ada.iterdir())[0].unlink()
    for given_people in ([ada.parent], [ada, file]):
        found = find_people(given_people)
        assert [person.is_encoded for person in found.people] == [False]
        assert found.passed_over == [
            f"{file}: passed over: other photos of ada are taken than it was made of; make it again, or give "
            "it alone to take it"
        ]
    assert [person.name for person in read_people(found.people, load(tiny_model, threads=1))] == ["ada"]
    two = [file, Path(shutil.copy(file, tmp_path / "copy.person"))]
    with pytest.raises(HimeError, match="2 people are named ada; give each folder its own name"):
        read_people(find_people(two).people, load(tiny_model, threads=1))


def test_a_folder_of_people_in_which_a_folder_is_empty_says_so(demo_people: Path, tmp_path: Path) -> None:
    family = tmp_path / "family"
    shutil.copytree(demo_people / "ada", family / "ada")
    restored(family / "restored", "a.webp", demo_people / "ada" / "1.webp")
    (family / "ben" / "1998").mkdir(parents=True)
    (family / ".hidden").mkdir()
    found = find_people([family])
    assert [person.name for person in found.people] == ["ada"]
    assert found.passed_over == [
        f"{family}: passed over: 1 result of earlier runs in it",
        f"{family / 'ben'}: passed over: no picture in it",
    ]
    restored(family, "b.webp", demo_people / "ada" / "1.webp")
    assert find_people([family]).passed_over[1:] == found.passed_over[1:]
    shutil.copy(demo_people / "ada" / "1.webp", family)  # then it is one person's
    assert len(find_people([family]).passed_over) == 1


def test_headshots_are_no_person_files(tmp_path: Path) -> None:
    file = tmp_path / "mum.person"
    file.write_bytes(b"")
    with pytest.raises(HimeError, match=r"mum\.person: is a \.person file, for whole photographs; give head"):
        find_references([file])


def restored(folder: Path, name: str, photo: Path) -> Path:
    """A result as a run leaves it in a folder: the photo with a byte more."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photo.read_bytes() + b"\0")
    Records(folder).add(PurePath(name), digest(photo), "", {"model": "tiny"}, [path])
    return path


@pytest.mark.parametrize("edited", [False, True], ids=["another photo", "an edited result"])
def test_a_photo_that_is_called_like_a_result_is_a_photo(
    edited: bool, demo_people: Path, tmp_path: Path
) -> None:
    """Also in the folder where the results go; the one beside it is a result still."""
    one, two = (demo_people / "ada" / f"{number}.webp" for number in (1, 2))
    folder = tmp_path / "mum"
    restored(folder, "a.webp", one)
    genuine = restored(folder, "b.webp", one)
    genuine.write_bytes(genuine.read_bytes() + b"\0" if edited else two.read_bytes())
    for named in ([folder], [folder / "a.webp", genuine]):
        assert [each.path for each in find_inputs(named, folder).inputs] == [genuine]
        (mum,) = find_people(named).people
        assert mum.files == (genuine,)
        assert [each.path for each in find_references(named).inputs] == [genuine]
    assert [each.path for each in find_inputs([folder]).inputs] == [genuine]


@pytest.mark.parametrize("alone", [False, True], ids=["whole", "a face alone"])
def test_a_result_that_was_copied_or_moved_is_no_photo_of_anybody(
    alone: bool, demo_people: Path, tmp_path: Path
) -> None:
    """By its own marks, since no notes tell of it there; it is an input, as it was."""
    photo = read_picture(demo_people / "ada" / "1.webp")
    mum = Path(shutil.copytree(demo_people / "ada", tmp_path / "mum"))
    photos = sorted(mum.iterdir())
    copy = write_picture(mum / "ada restored.png", photo.image, photo.for_crop() if alone else photo)
    assert copy in [each.path for each in find_inputs([mum]).inputs]
    assert [each.path for each in find_inputs([copy]).inputs] == [copy]
    line = f"{mum}: passed over: 1 result of earlier runs in it"
    found = find_people([mum])
    assert found.people[0].files == tuple(photos)
    assert found.passed_over == [line]
    listing = find_references([mum])
    assert [each.path for each in listing.inputs] == photos
    assert listing.passed_over == [line]
    named = [copy, *photos]
    assert find_people(named).passed_over == [f"{copy}: passed over: is a result of an earlier run"]
    assert [each.path for each in find_references(named).inputs] == photos
    for find in (find_references, find_people):
        with pytest.raises(HimeError, match="is a result of an earlier run, and no likeness"):
            find([copy])


def test_a_folder_of_results_counts_as_if_they_were_named(demo_people: Path, tmp_path: Path) -> None:
    """But not among photos, not where the results go, and not as references."""
    photo, out = demo_people / "ada" / "1.webp", tmp_path / "out"
    result = restored(out, "a.webp", photo)
    deeper = restored(out, "2001/b.webp", photo)
    for named, found in ((out, [result, deeper]), (deeper.parent, [deeper])):
        listing = find_inputs([named], tmp_path / "other")
        assert [each.path for each in listing.inputs] == found
        assert listing.passed_over == []
    with pytest.raises(HimeError, match=r"out: holds nothing but results of earlier runs; choose another"):
        find_inputs([result.parent], out)
    told = f"{out}: passed over: 2 results of earlier runs in it"
    for find in (find_references, find_people):
        with pytest.raises(HimeError) as refused:
            find([out])
        assert str(refused.value) == f"{out}: no picture in it; {told}; check the path"
    shutil.copy(photo, out / "c.webp")
    listing = find_inputs([out], tmp_path / "other")
    assert [each.path.name for each in listing.inputs] == ["c.webp"]
    assert listing.passed_over == [f"{told}; what is named itself is restored again"]
    listing = find_references([out])
    assert [each.path.name for each in listing.inputs] == ["c.webp"]
    assert listing.passed_over == [told]


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_folder_that_is_given_twice_is_one(demo_people: Path, tmp_path: Path) -> None:
    ada, link = demo_people / "ada", tmp_path / "link"
    link.symlink_to(ada)
    for given_paths in ([ada, ada / ".." / "ada"], [ada, link]):
        assert {each.place().as_posix() for each in find_inputs(given_paths).inputs} == {
            path.name for path in ada.iterdir()
        }


def test_each_of_many_files_is_asked_for_once(
    demo_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And compared with no other: that is what takes long where they are thousands."""
    photo, asked = demo_people / "ada" / "1.webp", list[Path]()
    files = [Path(shutil.copy(photo, tmp_path / f"{number}.webp")) for number in range(40)]
    files[20:] = [restored(tmp_path, file.name, photo) for file in files[20:]]
    has, compared = Results.has, 0

    def counted(self: Results, path: Path) -> bool:
        asked.append(path)
        return has(self, path)

    def equal(self: PurePath, other: object) -> bool:
        nonlocal compared
        compared += 1
        return str(self) == str(other)

    monkeypatch.setattr(Results, "has", counted)
    monkeypatch.setattr(PurePath, "__eq__", equal)
    for find in (find_references, find_people):
        asked.clear()
        compared = 0
        found = find(files)
        assert len(found.passed_over) == 20
        assert len(asked) == 40
        assert compared < 10 * 40
