"""The demo: a sheet a person and a table, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hime import available_models
from hime.cli import main
from hime.data.people import read_people
from hime.pictures.reading import read_image
from hime.tools.demo import Row, demo, format_table


def test_writes_a_sheet_a_person_and_the_table(tiny_model: Path, demo_people: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "demo"
    table = demo(out, [tiny_model])
    people = read_people(demo_people / "people.txt")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"{name}.png" for name in people), "table.txt"]
    )
    assert (out / "table.txt").read_text(encoding="utf-8") == table + "\n"
    lines = table.splitlines()
    assert lines[2].split() == ["tiny-x4", "bicubic", "0", "refs", "1", "ref", "2", "refs", "3", "refs"]
    assert [line.split()[0] for line in lines[3:]] == [*people, "mean"]
    assert all(len(line.split()) == 6 for line in lines[3:])
    sheet = read_image(out / f"{people[0]}.png")
    assert sheet.shape[1] > 7 * 32  # LR, bicubic, restored, truth and three references side by side


def test_two_models_are_two_rows(tiny_model: Path, tmp_path: Path) -> None:
    demo(tmp_path / "one", [tiny_model])
    demo(tmp_path / "two", [tiny_model, tiny_model])
    one, two = (read_image(tmp_path / name / "ada.png") for name in ("one", "two"))
    assert two.shape == (2 * one.shape[0], *one.shape[1:])


def test_the_mean_is_over_people() -> None:
    rows = [Row("m", "a", 20.0, [21.0, 22.0]), Row("m", "b", 22.0, [23.0, 25.0])]
    assert format_table(rows).splitlines()[-1].split() == ["mean", "21.00", "22.00", "23.50"]


def test_command(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--model", str(tiny_model)]) == 0
    assert "mean" in capsys.readouterr().out
    assert (tmp_path / "demo" / "ada.png").is_file()


def test_shipped_models_are_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["demo", "--out", str(tmp_path / "demo")])
    output = capsys.readouterr()
    if available_models():
        assert status == 0
        assert all(name in output.out for name in available_models())
    else:
        assert status == 1
        assert output.err == "hime: no model comes with this package; give an exported one with --model\n"
        assert not (tmp_path / "demo").exists()
