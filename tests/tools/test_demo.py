"""The demo: a sheet of a photograph, a sheet of headshots and what is said of them, from the command line."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from hime import HimeError, available_models, faces
from hime.cli import main
from hime.data.people import LISA, LONDON, people_in, read_list
from hime.pictures.arrays import Image
from hime.pictures.reading import read_image
from hime.pictures.sheet import Panel, contact_sheet
from hime.tools import demo as package
from hime.tools.demo import demo
from hime.tools.demo.likeness import caption, table
from hime.tools.demo.photograph import HEAD, restore_photograph


def needs_faces() -> None:
    try:
        faces.require()
    except HimeError as error:
        pytest.skip(str(error))
    if not available_models():
        pytest.skip("no model comes with this package")


@pytest.fixture(scope="module")
def made(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a demo, and what it said; the headshots with a tiny model."""
    needs_faces()
    out = tmp_path_factory.mktemp("somewhere") / "my results" / "demo"
    assert main(["demo", "--out", str(out), "--model", str(tiny_model)]) == 0
    return out, (out / "table.txt").read_text(encoding="utf-8")


def likenesses(text: str) -> list[float]:
    """Of the first table: enlarged, without photos, with photos."""
    _, heading, *rows = text.splitlines()[:5]
    column = heading.split().index("likeness")
    return [float(row[len(heading) - 10 * len(heading.split()) :].split()[column]) for row in rows]


def test_writes_the_sheets_and_what_it_said(made: tuple[Path, str]) -> None:
    out, text = made
    assert sorted(path.name for path in out.iterdir()) == [
        "given.jpg", "lisa", "lisa.png", "london.png", "restored.jpg", "table.txt",
    ]  # fmt: skip
    assert "means over the ten" in text
    assert sorted(path.stem for path in (out / "lisa").iterdir()) == sorted(
        path.stem for path in LISA.glob("*.jpg") if path.stem != "45cm"
    )
    given, restored = (read_image(out / name) for name in ("given.jpg", "restored.jpg"))
    assert restored.shape == (4 * given.shape[0], 4 * given.shape[1], 3)
    assert abs(max(given.shape) - 2 * HEAD) < HEAD


def test_her_photos_make_the_result_more_like_her(made: tuple[Path, str]) -> None:
    _, without, with_them = likenesses(made[1])
    assert with_them > without + 0.05


def test_the_command_that_is_named_gives_the_same(made: tuple[Path, str], tmp_path: Path) -> None:
    out, text = made
    command = next(line for line in text.splitlines() if line.startswith("  hime restore "))
    words = shlex.split(command)[1:]
    assert words[words.index("--refs") + 1] == str(out / "lisa")
    words[-1] = str(tmp_path / "by-hand.jpg")
    assert main(words) == 0
    assert (tmp_path / "by-hand.jpg").read_bytes() == (out / "restored.jpg").read_bytes()


def test_the_sheet_shows_every_form_and_every_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_faces()
    rows: list[list[str]] = []

    def noted(panels: Sequence[Sequence[Panel]], text_size: int) -> Image:
        rows.extend([label.split("\n")[0] for label, _ in row] for row in panels)
        return contact_sheet(panels, text_size=text_size)

    monkeypatch.setattr("hime.tools.demo.photograph.contact_sheet", noted)
    stale = tmp_path / "lisa" / "lisa2.jpg"  # of an earlier demo, which restored another photo
    stale.parent.mkdir()
    stale.write_bytes((LISA / "lisa2.jpg").read_bytes())
    restore_photograph(tmp_path, "lisa2")
    forms, photos = rows
    assert forms == ["given", "enlarged", "restored without her photos", "restored with her photos", "truth"]
    assert 2 <= len(photos) <= 5
    assert "her photo lisa2.jpg" not in photos
    assert not stale.exists()


def test_without_the_extra_the_headshots_are_left(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise HimeError("the extra is missing")

    monkeypatch.setattr(package.faces, "require", missing)
    text = demo(tmp_path, models=[tiny_model])
    assert text.startswith("Lisa's photograph is left out: the extra is missing\n")
    assert "tiny-x4" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["london.png", "table.txt"]


def test_models_are_told_apart_and_opened_before_anything_is_written(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_model, tmp_path / "other" / "folder")
    for second, told in (
        (tmp_path / "other" / "folder", "two models are named tiny-x4; leave one of them out"),
        (tmp_path / "none", f"{tmp_path / 'none'}: no such model"),
    ):
        models = ["--model", str(tiny_model), "--model", str(second)]
        assert main(["demo", "--out", str(tmp_path / "demo"), *models]) == 1
        assert told in capsys.readouterr().err
        assert not (tmp_path / "demo").exists()


def test_ten_people_who_are_not_left_out() -> None:
    people = people_in(LONDON)
    entries = read_list(LONDON / "list.jsonl")
    assert [entry.person for entry in entries] == list(people) == [f"{number:03}" for number in range(1, 11)]
    for entry in entries:
        assert entry.input == f"{entry.person}/08.webp"
        assert entry.references == (f"{entry.person}/03.webp",)
        assert read_image(LONDON / entry.input).shape == (256, 256, 3)


def test_figures_as_lines() -> None:
    rows = [("bicubic", {"psnr": 20.0, "identity": 0.5}), ("with", {"psnr": 21.25, "identity": None})]
    assert [line.split() for line in table(rows, ("psnr", "identity"))] == [
        ["PSNR", "likeness"], ["bicubic", "20.00", "0.50"], ["with", "21.25", "-"],
    ]  # fmt: skip
    assert caption({"identity": 0.5, "dlib": 0.25, "psnr": 20.0}) == "likeness 0.50, dlib 0.25"


def test_a_photo_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_faces()
    assert main(["demo", "--out", str(tmp_path / "demo"), "--photo", "lisa9"]) == 1
    assert "lisa9: no photo of Lisa is called so; there are 15cm, 30cm, 45cm" in capsys.readouterr().err
