"""The table and the curve of how likeness grows with the number of references."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import reference_count
from hime.data.people import make_list, read_list, read_people, write_list
from hime.evaluation.evaluate import evaluate
from hime.evaluation.measures import Distortion
from hime.pictures.reading import read_image
from hime.restoring.restorer import load


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)  # it would be for good
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(tmp_path))  # LPIPS is not what this is about


def test_each_count_is_measured_with_that_many_photos(
    demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = read_people(demo_people / "people.txt")[:2]
    chosen, out, plot = tmp_path / "list.jsonl", tmp_path / "out", tmp_path / "plot.png"
    write_list(chosen, make_list(demo_people, people, references=4, inputs_per_person=1))
    command = [str(tiny_model), "--data", str(demo_people), "--list", str(chosen), "--out", str(out)]
    command += ["--counts", "0", "1", "4", "--lr-size", "32"]
    assert reference_count.main([*command, "--plot", str(plot)]) == 0
    result = json.loads((out / "tiny-x4.json").read_text(encoding="utf-8"))
    assert result["models"] == ["tiny-x4@0", "tiny-x4@1", "tiny-x4@4"]
    for count in (0, 1, 4):
        alone = evaluate(
            [load(tiny_model, threads=1)],
            demo_people,
            read_list(chosen),
            lr_size=32,
            list_name="alone",
            references=count,
            measures=[Distortion()],
        )
        expected = alone["methods"]["tiny-x4"]["psnr"]
        assert result["methods"][f"tiny-x4@{count}"]["psnr"] == pytest.approx(expected, abs=1e-4)
    told = capsys.readouterr().out
    assert told == (out / "counts.md").read_text(encoding="utf-8")
    assert "tiny-x4, list.jsonl: 2 inputs of 2 people, 32→128, bicubic\n" in told
    rows = [line for line in told.splitlines() if line.startswith("| 4 |")]
    more = result["methods"]["tiny-x4@4"]["psnr"] - result["methods"]["tiny-x4@0"]["psnr"]
    assert len(rows) == 1
    assert f"| {more:+.3f} (" in rows[0]
    assert read_image(plot).shape[0] == 400

    (out / "tiny-x4.json").write_text(json.dumps({**result, "images": 99}), encoding="utf-8")
    assert reference_count.main(command) == 0  # not measured again
    assert "99 inputs" in capsys.readouterr().out


def test_a_list_of_one_person_has_no_intervals(
    demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen, out = tmp_path / "list.jsonl", tmp_path / "out"
    write_list(chosen, make_list(demo_people, ["ada"], references=1, inputs_per_person=1))
    command = [str(tiny_model), "--data", str(demo_people), "--list", str(chosen), "--out", str(out)]
    command += ["--counts", "0", "1", "--lr-size", "32", "--plot", str(tmp_path / "plot.png")]
    assert reference_count.main(command) == 0
    result = json.loads((out / "tiny-x4.json").read_text(encoding="utf-8"))
    psnr = [result["methods"][f"tiny-x4@{count}"]["psnr"] for count in (0, 1)]
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("| 1 |"))
    assert f"| {psnr[1]:.3f} | {psnr[1] - psnr[0]:+.3f} |" in row
    assert "…" not in row
    assert read_image(tmp_path / "plot.png").shape[0] == 400


def test_a_list_with_too_few_references_is_refused(
    demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = [
        "--data",
        str(demo_people),
        "--list",
        str(demo_people / "list.jsonl"),
        "--out",
        str(tmp_path / "o"),
    ]
    assert reference_count.main([str(tiny_model), *demo, "--counts", "0", "5"]) == 1
    assert "has 3 references, not 5" in capsys.readouterr().err
