"""What is told of another person's photos: whose they are, and when they do harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import wrong_person
from hime.data.people import make_list, read_list, write_list


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)  # it would be for good


def result(psnr: float, likeness: float) -> dict[str, Any]:
    """As `evaluate` gives it, these being the differences."""
    figures = {"psnr": psnr, "identity_references": likeness, "identity": 0.0}
    return {
        "models": ["m@0", "m"],
        "differences": [
            {"method": "m", "minus": "bicubic", "mean": dict.fromkeys(figures, 9.0), "interval": {}},
            {"method": "m", "minus": "m@0", "mean": figures, "interval": dict.fromkeys(figures, (0.0, 0.0))},
        ],
    }


@pytest.mark.parametrize(
    ("psnr", "likeness", "missed"),
    [
        (-0.05, 0.02, []),
        (0.3, -0.3, []),
        (-0.051, 0.02, ["psnr"]),
        (0.0, 0.021, ["identity_references"]),
        (-1.0, 1.0, ["psnr", "identity_references"]),
    ],
)
def test_harm_is_what_lies_beyond_the_limits(psnr: float, likeness: float, missed: list[str]) -> None:
    assert wrong_person.harm(result(psnr, likeness)) == missed


def test_of_one_person_there_are_no_intervals_and_what_is_not_measured_is_not_within() -> None:
    """As where all but one person's photos are missing."""
    found = result(0.25, 0.0)
    found |= {"methods": {"m@0": {"psnr": 20.0, "identity_references": None, "identity": None}}, "images": 1}
    found |= {"lr_size": 32, "scale": 4, "degradation": "bicubic"}
    found["arriving"] = {whose: {"taken": 0.0, "hardly": 0.0} for whose in ("wrong", "own")}
    found["differences"][1]["interval"] = dict.fromkeys(found["methods"]["m@0"])
    found["differences"][1]["mean"]["identity_references"] = None
    assert wrong_person.harm(found) == ["identity_references"]
    told = wrong_person.format_markdown({"m": found})
    assert "| 20.000 | +0.250 | – | – | – | +0.000 | **no**: likeness to that person |" in told


def test_every_input_gets_another_persons_photos(
    demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen, out = tmp_path / "list.jsonl", tmp_path / "out"
    entries = read_list(demo_people / "list.jsonl")[:3]
    write_list(chosen, entries)
    command = [str(tiny_model), "--data", str(demo_people), "--list", str(chosen), "--out", str(out)]
    status = wrong_person.main(command)
    measured = json.loads((out / "tiny-x4.json").read_text(encoding="utf-8"))
    assert measured["arriving"].keys() == {"wrong", "own"}
    for image, entry in zip(measured["per_image"], entries, strict=True):
        owners = {name.split("/")[0] for name in image["references"]}
        assert len(image["references"]) == 3
        assert len(owners) == 1
        assert entry.person not in owners
    assert measured["models"] == ["tiny-x4@0", "tiny-x4"]
    told = capsys.readouterr().out
    assert told == (out / "wrong.md").read_text(encoding="utf-8")
    harmed = bool(wrong_person.harm(measured))
    assert status == (3 if harmed else 0)
    assert ("**no**" in told) == harmed

    for changed, others in (
        ([str(tiny_model), "--degradation", "strong"], "degradation"),
        ([str(tiny_model), "--seed", "1"], "seed"),
    ):
        assert wrong_person.main([*changed, *command[1:]]) == 1
        refused = f"wrong_person: {out / 'tiny-x4.json'}: holds figures of another {others}, or does not tell"
        assert refused in capsys.readouterr().err

    write_list(chosen, entries[:1])
    assert wrong_person.main(command) == 1
    assert "holds figures of another list, or" in capsys.readouterr().err
    assert wrong_person.main([*command[:-1], str(tmp_path / "alone")]) == 1
    assert "nobody but" in capsys.readouterr().err


def test_whole_faces_are_taken_for_themselves_and_nobody_else(shared: Path) -> None:
    root = shared / "faces" / "lfw"
    people = sorted(folder.name for folder in root.iterdir() if len(list(folder.iterdir())) > 4)[:4]
    entries = make_list(root, people, references=3, inputs_per_person=1)
    shares = wrong_person.arriving(root, "list", entries, 2, 128, None)
    assert (shares["wrong"]["taken"], shares["own"]["taken"]) == (0, 1)
    assert shares["wrong"]["hardly"] > shares["own"]["hardly"] == 0
    black = wrong_person.arriving(root, "list", entries, 2, 128, lambda truth, scale, _: 0 * truth[::2, ::2])
    assert black["own"] == black["wrong"] == {"taken": 0, "hardly": 0}
