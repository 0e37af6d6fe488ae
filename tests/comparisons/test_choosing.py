"""The ways of choosing photos that are compared."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import choosing
from hime.data.people import make_list, write_list
from hime.faces import matching
from hime.faces.album import Person, read_person
from hime.faces.detection import detect
from hime.faces.matching import choose_references
from hime.pictures.reading import read_image


@pytest.fixture(scope="module")
def ada(demo_people: Path) -> Person:
    return read_person(demo_people / "ada")


@pytest.fixture
def known(demo_people: Path, ada: Person) -> choosing.Known:
    """Ada's picture 2, to be restored; all six are there to choose from."""
    face = detect(read_image(demo_people / "ada" / "2.webp"))[0]
    shapes = {each.name: choosing._shape_of(each) for each in ada.references}
    return choosing.Known(face, face.embedding, ada, shapes, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["face most alike", "face most like the truth's"])
def test_the_picture_itself_is_nearest_to_itself(known: choosing.Known, name: str) -> None:
    assert choosing.WAYS[name](known, 1)[0].name == "2.webp"


def test_the_nearest_landmarks_are_those_of_the_same_pose(known: choosing.Known) -> None:
    """Pictures 2 and 5 look to the same side, further than 4; the others to the other side or ahead."""
    names = [each.name for each in choosing.WAYS["landmarks nearest"](known, 3)]
    assert set(names[:2]) == {"2.webp", "5.webp"}
    assert names[2] == "4.webp"


def test_each_way_gives_as_many_as_asked_for(known: choosing.Known) -> None:
    for way in (choosing.by_chance, *choosing.WAYS.values()):
        names = [each.name for each in way(known, 3)]
        assert len(names) == len(set(names)) == 3


def test_with_its_weights_the_choice_is_the_programs(known: choosing.Known) -> None:
    for count in (1, 3, 5):
        expected = choose_references(known.person, known.face.yaw, count, known.face.embedding)
        assert choosing.weighted(known, count, matching.LIKE, matching.TYPICAL) == expected
        assert choosing.WAYS[choosing.PROGRAM](known, count) == expected
        nobody = replace(known.person, embedding=None)
        without = choose_references(nobody, known.face.yaw, count)
        assert choosing.weighted(known, count) == without
    assert choosing.weighted(known, 1, to_input=100)[0].name == "2.webp"


def test_a_shape_tells_neither_size_nor_place_nor_tilt() -> None:
    points = np.array([[30, 40], [70, 42], [52, 60], [35, 80], [66, 82]], np.float64)
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(choosing.shape(3 * points @ turn.T + 7), choosing.shape(points), atol=1e-9)
    smiling = points + np.array([[0, 0], [0, 0], [0, 0], [-5, 0], [5, 0]])
    assert np.abs(choosing.shape(smiling) - choosing.shape(points)).max() > 0.1


def test_of_one_person_there_are_no_intervals_and_of_none_no_figures() -> None:
    changes = {"identity": 0.1, "dlib": None, "psnr": -0.25}
    differences = [{"method": "a", "minus": choosing.CHANCE, "mean": changes}]
    result = {
        "images": 1, "people": 1, "count": 3, "degradation": "bicubic", "left_out": [],
        "methods": {choosing.CHANCE: {**changes, "psnr": 20.25}, "a": {**changes, "psnr": 20.0}},
        "differences": [{**each, "interval": dict.fromkeys(changes)} for each in differences],
    }  # fmt: skip
    told = choosing.format_markdown(result).splitlines()
    assert told[-2] == "| by chance | 0.1000 |  | – |  | 20.250 |  |"
    assert told[-1] == "| a | 0.1000 | +0.1000 | – | – | 20.000 | -0.250 |"


@pytest.mark.parametrize("gone", [False, True])
def test_a_list_that_goes_while_it_is_measured(
    gone: bool,
    demo_people: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was measured is kept, with the list that there was."""
    chosen, out = tmp_path / "list.jsonl", tmp_path / "out"
    write_list(chosen, make_list(demo_people, ["ada"], references=3, inputs_per_person=1))
    expected = hashlib.sha256(chosen.read_bytes()).hexdigest()

    def compare(*_: object) -> dict[str, object]:
        if gone:
            chosen.unlink()
        else:
            chosen.write_text("another", encoding="utf-8")
        return {"figure": 1}

    monkeypatch.setattr("torch.set_num_threads", lambda _: None)  # it would be for good
    monkeypatch.setattr(choosing, "compare", compare)
    monkeypatch.setattr(choosing, "format_markdown", lambda _: "")
    command = [str(tiny_model), "--data", str(demo_people), "--list", str(chosen), "--out", str(out)]
    assert choosing.main(command) == 0
    kept = json.loads((out / "choosing.json").read_text(encoding="utf-8"))
    assert (kept["figure"], kept["provenance"]["data"]["list"]["sha256"]) == (1, expected)


def test_the_table(
    demo_people: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)  # it would be for good
    chosen, out = tmp_path / "list.jsonl", tmp_path / "out"
    write_list(chosen, make_list(demo_people, ["ada", "eva"], references=3, inputs_per_person=1))
    command = ["small-x4", "--data", str(demo_people), "--list", str(chosen), "--out", str(out)]
    assert choosing.main(command) == 0
    result = json.loads((out / "choosing.json").read_text(encoding="utf-8"))
    told = capsys.readouterr().out
    assert told == (out / "choosing.md").read_text(encoding="utf-8")
    assert result["images"] + len(result["left_out"]) == 2
    assert list(result["methods"]) == [choosing.CHANCE, *choosing.WAYS]
    for name in choosing.WAYS:
        assert f"\n| {name} | {result['methods'][name]['identity']:.4f} | " in told
    with pytest.raises(SystemExit):
        choosing.main(["small-x4"])
