"""Albums whose pictures name the faces in them: the people are those who are named, with those faces."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from hime.cli import main
from hime.errors import HimeError
from hime.faces.album import read_person
from hime.faces.embedding import similarity
from hime.pictures.arrays import resize
from hime.pictures.reading import read_image
from hime.restoring.person import load_person
from hime.restoring.sources import find_people, find_person

pytest.importorskip("cv2", reason="the extra faces is not installed")
SIDE = 160
"""Of each face in a picture of the album, with hair and neck."""

PACKET = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
 xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#">
<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions stDim:w="{w}" stDim:h="{h}"/>
<mwg-rs:RegionList><rdf:Bag>{items}</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions></rdf:Description>
</rdf:RDF></x:xmpmeta>"""
ITEM = """<rdf:li><rdf:Description mwg-rs:Name="{name}" mwg-rs:Type="Face">
<mwg-rs:Area stArea:x="{x}" stArea:y="0.5" stArea:w="{w}" stArea:h="0.6" stArea:unit="normalized"/>
</rdf:Description></rdf:li>"""


def group(path: Path, people: Path, faces: list[tuple[str, int]], names: list[str | None]) -> Path:
    """A picture of people side by side, (PERSON, PHOTO) each, some of them named in it."""
    image = np.concatenate(
        [resize(read_image(people / who / f"{photo}.webp"), SIDE, SIDE) for who, photo in faces], axis=1
    )
    items = "".join(
        ITEM.format(name=name, x=(place + 0.5) / len(names), w=0.5 / len(names))
        for place, name in enumerate(names)
        if name is not None
    )
    xmp = PACKET.format(w=image.shape[1], h=image.shape[0], items=items).encode() if items else b""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path, quality=95, xmp=xmp)
    return path


@pytest.fixture
def album(tmp_path: Path, demo_people: Path) -> Path:
    """Three pictures of Ada and Ben, who change sides, and Eva, who is never named; a view without faces."""
    folder = tmp_path / "album"
    group(
        folder / "2001" / "a.jpg", demo_people, [("ada", 1), ("ben", 1), ("eva", 1)], ["Ada", "Ben B.", None]
    )
    group(folder / "2001" / "b.jpg", demo_people, [("ben", 2), ("ada", 2)], ["Ben B.", "Ada"])
    group(
        folder / "2002" / "c.jpg", demo_people, [("eva", 3), ("ada", 3), ("ben", 3)], [None, "Ada", "Ben B."]
    )
    PIL.Image.new("RGB", (200, 100), "navy").save(folder / "2002" / "view.png")
    return folder


def test_a_person_file_is_made_of_who_is_named(
    album: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ada.person"
    command = ["person", "add", str(album), "--out", str(out), "--model", str(tiny_model)]
    assert main(command) == 1
    assert "2 people (Ada, Ben B.), and a .person file is one's" in capsys.readouterr().err
    assert main([*command, "--name", "Ada"]) == 0
    made = load_person(out)
    assert made.name == "Ada"
    (ada,) = find_person([album], "Ada").people
    truth = read_person(ada.files, places=ada.places)
    assert [each.name for each in made.references] == [each.name for each in truth.references]
    assert made.embedding is not None
    assert truth.embedding is not None
    assert similarity(made.embedding, truth.embedding) > 0.999


def test_people_are_those_who_are_named(album: Path, demo_people: Path) -> None:
    found = find_people([album])
    assert [(each.name, [file.name for file in each.files]) for each in found.people] == [
        ("Ada", ["a.jpg", "b.jpg", "c.jpg"]),
        ("Ben B.", ["a.jpg", "b.jpg", "c.jpg"]),
    ]
    (note,) = found.notes
    assert (
        note
        == f"{album}: 3 of its 4 pictures name the faces in them: Ada, Ben B.; --no-named goes by folders"
    )
    assert len(found.files) == 3
    for source, who in zip(found.people, ("ada", "ben"), strict=True):
        person = read_person(source.files, source.name, places=source.places)
        assert (len(person.references), person.rejected) == (3, ())
        truth = read_person([demo_people / who / f"{photo}.webp" for photo in (1, 2, 3)])
        assert person.embedding is not None
        assert truth.embedding is not None
        assert similarity(person.embedding, truth.embedding) > 0.8


def test_without_names_several_faces_tell_nobody(album: Path) -> None:
    found = find_people([album], named=False)
    assert [each.name for each in found.people] == ["2001", "2002"]
    assert found.notes == []
    assert all(not each.places for each in found.people)


def test_a_few_named_pictures_make_no_album(album: Path, demo_people: Path, tmp_path: Path) -> None:
    """Nobody's other photos are passed over for them; asked for, the names count all the same."""
    mum = tmp_path / "mum"
    group(mum / "0.jpg", demo_people, [("ada", 1), ("ben", 1)], ["Ada", "Ben B."])
    for photo in (2, 3):
        shutil.copy(demo_people / "ada" / f"{photo}.webp", mum)
    found = find_people([mum])
    assert [(each.name, len(each.files)) for each in found.people] == [("mum", 3)]
    (note,) = found.notes
    assert note == f"{mum}: 1 of its 3 pictures name faces, which is not looked at; --named takes the names"
    found = find_people([mum], named=True)
    assert [(each.name, len(each.files)) for each in found.people] == [("Ada", 1), ("Ben B.", 1)]
    both = find_people([mum, album / "2001"], named=True)
    assert [(each.name, len(each.files)) for each in both.people] == [("Ada", 3), ("Ben B.", 3)]


def test_names_asked_for_where_there_are_none(demo_people: Path) -> None:
    with pytest.raises(HimeError, match="none of its pictures names a face in it; leave out --named"):
        find_people([demo_people / "ada"], named=True)
    with pytest.raises(HimeError, match="leave out --named"):
        find_people([demo_people / "ada" / "0.webp"], named=True)


def test_loose_photos_too_if_asked(album: Path) -> None:
    files = [album / "2001" / "a.jpg", album / "2001" / "b.jpg"]
    assert [each.name for each in find_people(files).people] == ["a"]
    assert [each.name for each in find_people(files, named=True).people] == ["Ada", "Ben B."]


def test_a_name_without_a_face_and_a_copy_are_told(album: Path, demo_people: Path) -> None:
    (album / "e.jpg").write_bytes((album / "2001" / "b.jpg").read_bytes())
    image = np.full((SIDE, 2 * SIDE, 3), 120, np.uint8)
    image[:, SIDE:] = resize(read_image(demo_people / "ada" / "4.webp"), SIDE, SIDE)
    xmp = PACKET.format(w=2 * SIDE, h=SIDE, items=ITEM.format(name="Ada", x=0.2, w=0.2)).encode()
    PIL.Image.fromarray(image).save(album / "f.jpg", quality=95, xmp=xmp)
    ada, _ = find_people([album]).people
    rejected = dict(read_person(ada.files, ada.name, places=ada.places).rejected)
    assert rejected["f.jpg"] == "no face found where it names one"
    assert {rejected.get("b.jpg"), rejected.get("e.jpg")} > {None}  # of the two copies one is used


def test_an_album_restores_its_own_pictures(
    album: Path, demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each by the others' faces, and again if a name changes, as only a sidecar says it."""
    small = group(album / "small.jpg", demo_people, [("ada", 5), ("eva", 5)], [None, None])
    with PIL.Image.open(small) as opened:
        opened.resize((2 * 64, 64), PIL.Image.Resampling.BOX).save(small, quality=95)
    command = ["restore", small, "--refs", album, "--out", tmp_path / "out", "--model", tiny_model]
    words = [str(word) for word in command]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'small.jpg'} (Ada 1)\n"
    assert main(words) == 0
    assert "1 there already" in capsys.readouterr().out
    xmp = PACKET.format(w=SIDE * 2, h=SIDE, items=ITEM.format(name="Oma", x=0.25, w=0.25))
    (album / "2001" / "b.jpg.xmp").write_text(xmp)
    assert main(words) == 0
    assert "there already" not in capsys.readouterr().out
