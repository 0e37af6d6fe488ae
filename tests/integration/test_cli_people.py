"""What is kept of people's photos, by the command line: used, left alone, forgotten, shown as progress."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import Capture, refused, run

from hime.faces.album import read_person
from hime.pictures.arrays import resize
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image
from hime.restoring.person import load_person

pytest.importorskip("cv2", reason="the extra faces is not installed")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what is kept will lie."""
    monkeypatch.setenv("HIME_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "looks"


@pytest.fixture
def ada(tmp_path: Path, demo_people: Path) -> Path:
    """A folder of two photos of her."""
    folder = tmp_path / "ada"
    folder.mkdir()
    for name in ("1.webp", "2.webp"):
        shutil.copy(demo_people / "ada" / name, folder)
    return folder


@pytest.fixture
def restores(tmp_path: Path, demo_people: Path, ada: Path, tiny_model: Path) -> list[object]:
    """The command that restores a small photograph of her, but for the place."""
    page = np.full((90, 90, 3), 200, np.uint8)
    page[10:74, 10:74] = resize(read_image(demo_people / "ada" / "0.webp"), 64, 64)
    write_image(tmp_path / "in.png", page)
    return ["restore", tmp_path / "in.png", "--refs", ada, "--model", tiny_model, "--out"]


def test_the_second_run_looks_at_no_photo(
    restores: list[object], kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*restores, tmp_path / "first.png") == 0
    assert len(list(kept.iterdir())) == 4
    monkeypatch.setattr("hime.faces.cache.look_at", lambda path: pytest.fail(f"{path} was looked at"))
    assert run(*restores, tmp_path / "second.png") == 0
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_nothing_is_kept_where_that_is_not_wanted(
    restores: list[object], kept: Path, ada: Path, tiny_model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert run(*restores, tmp_path / "out.png", "--no-cache") == 0
    out = tmp_path / "ada.person"
    assert run("person", "add", ada, "--out", out, "--model", tiny_model, "--no-cache") == 0
    assert not kept.exists()
    monkeypatch.setenv("HIME_CACHE", "off")
    assert run(*restores, tmp_path / "other.png") == 0
    assert not kept.exists()


def test_a_dry_run_keeps_nothing_and_uses_what_is_kept(
    restores: list[object], kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*restores, tmp_path / "out.png", "--dry-run") == 0
    assert not kept.parent.exists()
    assert run(*restores, tmp_path / "out.png") == 0
    files = sorted(kept.iterdir())
    for file in files:
        os.utime(file, (0, 0))  # so long ago that it would be deleted
    monkeypatch.setattr("hime.faces.cache.look_at", lambda path: pytest.fail(f"{path} was looked at"))
    assert run(*restores, tmp_path / "out.png", "--dry-run", "--overwrite") == 0
    assert sorted(kept.iterdir()) == files
    assert {file.stat().st_mtime for file in files} == {0}


def test_forget(
    restores: list[object], kept: Path, ada: Path, tmp_path: Path, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert run(*restores, tmp_path / "out.png") == 0
    capsys.readouterr()
    assert run("person", "forget", ada / "1.webp") == 0
    assert capsys.readouterr().out == f"{kept}: deleted what was kept of 1 of 1 photos\n"
    assert run("person", "forget", ada) == 0
    assert capsys.readouterr().out == f"{kept}: deleted what was kept of 1 of 2 photos\n"
    assert run(*restores, tmp_path / "again.png") == 0
    shutil.rmtree(ada)
    capsys.readouterr()
    assert run("person", "forget", "--all") == 0
    assert capsys.readouterr().out == f"{kept}: deleted what was kept of 2 photos\n"
    assert not kept.exists()
    assert run("person", "forget", "--all") == 0
    assert capsys.readouterr().out == f"{kept}: deleted what was kept of 0 photos\n"
    assert "no such file" in refused(capsys, "person", "forget", ada / "1.webp")
    monkeypatch.setenv("HIME_CACHE", "off")
    assert "HIME_CACHE=off" in refused(capsys, "person", "forget", "--all")


def test_a_person_is_made_of_the_photos_that_restore_takes(
    restores: list[object], ada: Path, demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Also of those in its folders, and of those whose names do not say what they are."""
    (ada / "1998").mkdir()
    (ada / "2.webp").rename(ada / "1998" / "scan")
    shutil.copy(demo_people / "ada" / "3.webp", ada / "1998")
    (ada / "empty.jpg").touch()
    command = ["person", "add", ada, "--out", ada / "ada.person", "--model", tiny_model]
    for _ in range(2):  # it is no photo itself
        assert run(*command) == 0
        assert f"hime: {ada / 'empty.jpg'}: passed over: is empty" in capsys.readouterr().err
    person = load_person(ada / "ada.person")
    assert (person.name, [each.name for each in person.references]) == ("ada", ["1.webp", "3.webp", "scan"])
    (ada / "ada.person").rename(tmp_path / "ada.person")
    used = []
    for source in (ada, tmp_path / "ada.person"):
        capsys.readouterr()
        command = [source if each == ada else each for each in restores]
        assert run(*command, tmp_path / f"{source.name}.png", "--json") == 0
        (face,) = json.loads(capsys.readouterr().out)["faces"]
        used.append(face["references"])
    assert used[0] == used[1]
    assert set(used[0]) == {"1.webp", "3.webp", "scan"}
    assert reasons_of(ada) == ["empty.jpg"]


def reasons_of(folder: Path) -> list[str]:
    """The photos of a folder that `read_person` does not use."""
    return [name for name, _ in read_person(folder).rejected]


def test_a_person_file_is_of_one_person(
    ada: Path, demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    family, out = tmp_path / "family", tmp_path / "one.person"
    shutil.copytree(ada, family / "ada")
    (family / "ben").mkdir()
    shutil.copy(demo_people / "ben" / "1.webp", family / "ben")
    command = ["person", "add", "--out", out, "--model", tiny_model]
    assert f"{family}: 2 people (ada, ben), and a .person file is one's" in refused(capsys, *command, family)
    assert run(*command, family, "--name", "ben") == 0
    assert [each.name for each in load_person(out).references] == ["1.webp"]
    assert f"{out}: is a .person file already" in refused(capsys, *command, out)
    shutil.rmtree(family)
    family.mkdir()
    out.rename(family / "one.person")
    assert f"{family}: no picture in it" in refused(capsys, *command, family)


@pytest.mark.parametrize("arguments", [[], ["--all", "photo.jpg"]], ids=str)
def test_what_to_forget_must_be_said(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("person", "forget", *arguments)
    assert stopped.value.code == 2
    assert "give the photos, or --all" in capsys.readouterr().err


def test_progress_while_photos_are_looked_at(
    restores: list[object], kept: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hime.terminal.SECONDS_BETWEEN_LINES", 0)
    assert run(*restores, tmp_path / "out.png") == 0
    assert "ada: photos: 100%" in capsys.readouterr().err


def test_where_nothing_can_be_kept_a_line_says_so(
    restores: list[object], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HIME_CACHE", str(tmp_path / "file"))
    assert run(*restores, tmp_path / "out.png") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "nothing is kept" in line]
    assert line.startswith(f"hime: {tmp_path / 'file' / 'looks'}: nothing is kept of photos there (")
