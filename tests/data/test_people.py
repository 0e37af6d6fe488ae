"""People folders, splits and evaluation lists."""

from __future__ import annotations

import json
import os
import string
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hime.data.people import (
    DEMO_PEOPLE,
    ListEntry,
    make_list,
    people_in,
    photos_of,
    read_list,
    read_people,
    read_targets,
    short_of_photos,
    split_people,
    write_list,
    write_people,
)
from hime.errors import HimeError

NAMES = st.lists(
    st.text(string.ascii_letters + "äßЖ王 _-7", min_size=1).map(str.strip).filter(bool), unique=True
)


def make_people(root: Path, photos: dict[str, int]) -> Path:
    """A people folder; lists look at names only, so the files may be empty."""
    for person, count in photos.items():
        (root / person).mkdir(parents=True)
        for number in range(count):
            (root / person / f"{number}.jpg").touch()
    return root


# ------------------------------------------------------------------------------------------- folders


def test_people_in_finds_pictures_only_and_sorts(tmp_path: Path) -> None:
    make_people(tmp_path, {"zoe": 2, "abe": 1, ".cache": 1, "empty": 0})
    for name in ("notes.txt", ".hidden.jpg", "B.PNG", "a.webp", "c.jpeg"):
        (tmp_path / "abe" / name).touch()
    (tmp_path / "abe" / "folder.jpg").mkdir()
    (tmp_path / "stray.jpg").touch()
    people = people_in(tmp_path)
    assert list(people) == ["abe", "zoe"]
    assert [path.name for path in people["abe"]] == ["0.jpg", "B.PNG", "a.webp", "c.jpeg"]
    assert people["zoe"] == [tmp_path / "zoe" / "0.jpg", tmp_path / "zoe" / "1.jpg"]


UNFIT = [b"m\xfcller", b"f\\ay", b"f\ray", b"f\nay", b"fay ", b"\x1cfay", "\ufefffay".encode()]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such names")
@pytest.mark.parametrize("name", list(map(os.fsdecode, UNFIT)))
def test_people_of_whom_no_list_can_tell_are_left_out_and_told(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_people(tmp_path / "root", {"abe": 3, name: 2, "f\aay": 2, "\u3000": 0})
    assert list(people_in(root)) == ["abe", "f\aay"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hime: left out: {root}: ")
    assert "names that no list can hold" in line
    assert line.endswith("; rename them")
    write_people(tmp_path / "people.txt", list(people_in(root)))
    assert read_people(tmp_path / "people.txt") == ["abe", "f\aay"]
    with pytest.raises(HimeError, match=r"people\.txt: cannot hold "):
        write_people(tmp_path / "people.txt", ["abe", name])
    assert split_people([name, "abe"], 0.5)
    with pytest.raises(HimeError, match="names that no list can hold"):
        people_in(make_people(tmp_path / "other", {name: 2}))


@pytest.mark.skipif(sys.platform == "win32", reason="its names are UTF-16, without backslashes")
def test_photos_of_which_no_list_can_tell_are_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_people(tmp_path, {"abe": 2, "bob": 0})
    for name in (os.fsdecode(b"gr\xfcn.jpg"), "a\\b.jpg"):
        (root / "abe" / name).touch()
        (root / "bob" / name).touch()
        with pytest.raises(HimeError, match=r"list\.jsonl: an entry that could not be read again: "):
            write_list(root / "list.jsonl", [ListEntry(f"abe/{name}", ())])
    assert {name: len(photos) for name, photos in people_in(root).items()} == {"abe": 2}
    assert r"abe/a\b.jpg, abe/gr\udcfcn.jpg" in capsys.readouterr().err
    assert not (root / "list.jsonl").exists()
    many = ListEntry("abe/0.jpg", ("abe/1.jpg",) * 1001)
    with pytest.raises(HimeError, match="at most 1000"):
        write_list(root / "list.jsonl", [many])


@pytest.mark.parametrize("below", ["", "nowhere"])
def test_people_in_says_when_there_is_nobody(tmp_path: Path, below: str) -> None:
    with pytest.raises(HimeError, match=r"nobody in it|not a folder"):
        people_in(tmp_path / below)


def test_photos_of_names_who_is_missing(tmp_path: Path) -> None:
    make_people(tmp_path, {"abe": 2, "zoe": 3})
    assert list(photos_of(tmp_path, ["zoe", "abe"])) == ["zoe", "abe"]
    with pytest.raises(HimeError, match="no photos of bob, cyd"):
        photos_of(tmp_path, ["abe", "bob", "cyd"])


# -------------------------------------------------------------------------------------------- splits


@given(NAMES.filter(bool))
def test_people_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    path = tmp_path_factory.mktemp("people") / "people.txt"
    write_people(path, names)
    assert read_people(path) == names


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "nobody in it"),
        ("\n \n", "nobody in it"),
        ("abe\nbob\nabe\n", r":3: abe is already on line 1"),
        ("abe\n../bob\n", r":2: '\.\./bob' is not the name"),
        ("abe\n.\n", r":2: '\.' is not the name"),
    ],
)
def test_people_file_with_a_fault_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "people.txt"
    path.write_text(text)
    with pytest.raises(HimeError, match=complaint) as raised:
        read_people(path)
    assert str(path) in str(raised.value)


def test_files_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "people.txt").write_text("abe\nbob\n", encoding="utf-8-sig")
    assert read_people(tmp_path / "people.txt") == ["abe", "bob"]
    (tmp_path / "list.jsonl").write_text('{"input": "abe/1.jpg", "references": []}\n', encoding="utf-8-sig")
    assert read_list(tmp_path / "list.jsonl") == [ListEntry("abe/1.jpg", ())]


def test_people_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "people.txt"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(HimeError, match="not a text file"):
        read_people(path)
    with pytest.raises(HimeError, match="is a folder"):
        read_people(tmp_path)


@given(NAMES, st.floats(0, 1), st.integers(), st.randoms())
def test_split_parts_everybody_once_whatever_the_order(
    names: list[str], fraction: float, seed: int, random
) -> None:
    kept, held_out = split_people(names, fraction, seed)
    assert sorted(kept + held_out) == sorted(names)
    assert not set(kept) & set(held_out)
    assert abs(len(held_out) - fraction * len(names)) <= 1
    assert bool(held_out) or fraction == 0 or len(names) < 2
    shuffled = names.copy()
    random.shuffle(shuffled)
    assert split_people(shuffled, fraction, seed) == (kept, held_out)


def test_split_depends_on_the_seed_and_refuses_other_shares() -> None:
    names = list(string.ascii_lowercase)
    assert split_people(names, 0.5, seed=0) != split_people(names, 0.5, seed=1)
    with pytest.raises(HimeError, match=r"\[0, 1\]"):
        split_people(names, 1.5)


# --------------------------------------------------------------------------------------------- lists


@given(
    photos=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 9), min_size=1),
    references=st.integers(0, 4),
    inputs=st.integers(1, 6),
    seed=st.integers(0, 2**32),
)
def test_list_keeps_its_promises(
    tmp_path_factory: pytest.TempPathFactory, photos: dict[str, int], references: int, inputs: int, seed: int
) -> None:
    root = make_people(tmp_path_factory.mktemp("people"), photos)
    short = short_of_photos(people_in(root), references)
    assert short == [name for name in sorted(photos) if photos[name] < references + 1]
    if short:
        with pytest.raises(HimeError, match=" of " + ", ".join(name for name in photos if name in short)):
            make_list(root, photos, references, inputs, seed)
    people = [name for name in photos if name not in short]
    entries = make_list(root, people, references, inputs, seed)
    assert [entry.input for entry in entries] == list(dict.fromkeys(entry.input for entry in entries))
    for person in people:
        assert sum(entry.person == person for entry in entries) == min(inputs, photos[person])
    for entry in entries:
        assert len(set(entry.references)) == references
        assert entry.input not in entry.references
        assert {name.split("/")[0] for name in entry.references} <= {entry.person}
        assert all((root / name).is_file() for name in (entry.input, *entry.references))


def test_list_of_a_person_does_not_depend_on_the_others(tmp_path: Path) -> None:
    root = make_people(tmp_path, {"abe": 9, "bob": 9, "cyd": 9})
    alone = make_list(root, ["bob"])
    together = make_list(root, ["cyd", "bob", "abe"])
    assert [entry for entry in together if entry.person == "bob"] == alone
    assert [entry.person for entry in together[::5]] == ["cyd", "bob", "abe"]
    assert make_list(root, ["bob"], seed=1) != alone


def test_list_choices_are_pinned(tmp_path: Path) -> None:
    root = make_people(tmp_path, {"abe": 9})
    assert make_list(root, ["abe"], references=3, inputs_per_person=2, seed=7) == [
        ListEntry("abe/5.jpg", ("abe/7.jpg", "abe/2.jpg", "abe/4.jpg")),
        ListEntry("abe/8.jpg", ("abe/1.jpg", "abe/0.jpg", "abe/5.jpg")),
    ]


def test_list_refuses_numbers_out_of_range(tmp_path: Path) -> None:
    root = make_people(tmp_path, {"abe": 9})
    for references, inputs in ((-1, 1), (3, 0)):
        with pytest.raises(HimeError, match="0 references or more"):
            make_list(root, ["abe"], references, inputs)


def entry_of(person: str, numbers: Sequence[int]) -> ListEntry:
    """An input and its references."""
    first, *others = (f"{person}/{number}.jpg" for number in numbers)
    return ListEntry(first, tuple(others))


PEOPLE = st.sampled_from(["abe", "Ж 王", "o\u2028o"])
PHOTOS = st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True)


@given(st.lists(st.builds(entry_of, PEOPLE, PHOTOS), min_size=1))
def test_list_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, entries: list[ListEntry]
) -> None:
    path = tmp_path_factory.mktemp("list") / "list.jsonl"
    write_list(path, entries)
    assert read_list(path) == entries
    first = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
    assert first == {"input": entries[0].input, "references": list(entries[0].references)}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no entry in it"),
        ("abe/1.jpg\n", ":1: not an entry"),
        ('{"input": "abe/1.jpg"}\n', ":1: not an entry"),
        ('["abe/1.jpg"]\n', ":1: not an entry"),
        ('\n{"input": "abe/1.jpg", "references": "abe/2.jpg"}\n', ":2: .* must be a list"),
        ('{"input": 1, "references": []}\n', "1 is not a path"),
        ('{"input": "../1.jpg", "references": []}\n', "is not PERSON/FILE"),
        ('{"input": "/etc/1.jpg", "references": []}\n', "is not PERSON/FILE"),
        ('{"input": "abe/1.jpg", "references": ["2.jpg"]}\n', "'2.jpg' is not PERSON/FILE"),
        ('{"input": "abe/1\\u0000.jpg", "references": []}\n', "is not PERSON/FILE"),
        (f'{{"input": "abe/{"1" * 5000}", "references": []}}\n', "is not PERSON/FILE"),
        ('{"input": {"a": []}, "references": []}\n', "is not a path"),
        ('{"input": "abe/1.jpg", "references": ["abe/2.jpg", "abe/1.jpg"]}\n', "as a reference of itself"),
        ('{"input": "abe/1.jpg", "references": ["abe/2.jpg", "abe/2.jpg"]}\n', "as a reference twice"),
        ('{"input": "abe/1.jpg", "references": ["bea/2.jpg"]}\n', "'bea/2.jpg' is no photo of abe"),
        (f'{{"input": "abe/1.jpg", "references": {["a/b"] * 2000}}}\n'.replace("'", '"'), "at most 1000"),
        ("[" * 100_000, ":1: not an entry"),
        ("9" * 10_000, ":1: not an entry"),
    ],
)
def test_list_file_with_a_fault_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(text)
    with pytest.raises(HimeError, match=complaint) as raised:
        read_list(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


# ---------------------------------------------------------------------------------------- real people


def test_committed_lists_of_the_demo_people(demo_people: Path) -> None:
    people = read_people(demo_people / "people.txt")
    assert people == list(people_in(demo_people)) == ["ada", "ben", "carl", "dan", "eva", "fay"]
    assert (read_people(demo_people / "train.txt"), read_people(demo_people / "test.txt")) == split_people(
        people, 1 / 3
    )
    assert read_list(demo_people / "list.jsonl") == make_list(demo_people, people, inputs_per_person=1)
    assert read_list(demo_people / "all.jsonl") == make_list(demo_people, people)


@pytest.mark.parametrize(("source", "people"), [("celeba", 53), ("lfw", 60)])
def test_lists_of_real_people(shared: Path, source: str, people: int) -> None:
    faces = shared / "faces"
    test = read_people(faces / f"{source}_test.txt")
    assert not set(test) & set(read_people(faces / f"{source}_train.txt"))
    assert len(test) == people
    entries = make_list(faces / source, test)
    photos = photos_of(faces / source, test)
    assert len(entries) == sum(min(5, len(paths)) for paths in photos.values())
    assert all(len(set(entry.references) - {entry.input}) == 3 for entry in entries)


def test_targets_are_the_only_inputs(tmp_path: Path) -> None:
    file = tmp_path / "targets.txt"
    people = list(people_in(DEMO_PEOPLE))[:2]
    photo = people_in(DEMO_PEOPLE)[people[0]][1].name
    file.write_text(f"{DEMO_PEOPLE.name}/{people[0]}/{photo}\nother/{people[1]}/{photo}\n")
    targets = read_targets(file)
    entries = make_list(DEMO_PEOPLE, people, targets=targets)
    assert [entry.input for entry in entries] == [f"{people[0]}/{photo}"]
    everything = {entry.input: entry for entry in make_list(DEMO_PEOPLE, people, inputs_per_person=9)}
    assert entries[0] == everything[entries[0].input]
    file.write_text(f"{people[0]}/{photo}\n")
    with pytest.raises(HimeError, match=r"targets\.txt:1.*ROOT/PERSON/FILE"):
        read_targets(file)
    file.write_text("\n")
    with pytest.raises(HimeError, match="no photo in it"):
        read_targets(file)
