"""Places of results: each input has its own, called as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hime.pictures.formats import READ
from hime.restoring.inputs import Input, key, places
from hime.restoring.sources import find_people

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
