"""``hime restore`` on real files: what it writes, what it says, and what it leaves when it fails."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from command_line import Capture, files_below, refused, run
from PIL import ExifTags
from scipy.ndimage import gaussian_filter

import hime
from hime.model.network import HIME
from hime.pictures.arrays import resize
from hime.pictures.reading import read_image, read_picture
from hime.pictures.writing import write_image
from hime.training.checkpoint import load_model, save_released


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
        "strength": 1.0,
        "scale": 4,
        "lr": [16, 16],
        "hr": [64, 64],
        "passes": [16],
        "references": [
            {"file": str(path), "share": pytest.approx(share, abs=1e-4)}
            for path, share in zip(references, expected.shares, strict=True)
        ],
    }


@pytest.mark.parametrize("ending", [".png", ".webp", ".jpg"])
def test_a_headshot_is_marked_as_altered_and_keeps_its_date(
    headshots: Path, tiny_model: Path, tmp_path: Path, ending: str
) -> None:
    """Of the rest it carries what a face alone does; the pixels are those of `write_image`."""
    taken = {ExifTags.Base.DateTimeOriginal: "2004:07:11 15:00:00", ExifTags.Base.BodySerialNumber: "17"}
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Copyright] = "Ada"
    exif[ExifTags.IFD.Exif] = taken
    lr, out = tmp_path / "lr.png", tmp_path / f"out{ending}"
    PIL.Image.open(headshots / "ada0.png").save(lr, exif=exif)
    os.utime(lr, (10**9, 10**9))
    assert run("restore", "--aligned", lr, "--out", out, "--model", tiny_model) == 0
    restored = hime.load(tiny_model).restore(read_image(lr)).image
    plain = write_image(tmp_path / f"plain{ending}", restored)
    assert np.array_equal(read_image(out), read_image(plain))
    assert out.stat().st_mtime == 10**9
    with PIL.Image.open(out) as picture:
        carried = picture.getexif()
        assert b"compositeWithTrainedAlgorithmicMedia" in read_picture(out).xmp
    assert carried[ExifTags.Base.Copyright] == "Ada"
    assert carried[ExifTags.Base.Software] == f"hime {hime.__version__}"
    dates = carried.get_ifd(ExifTags.IFD.Exif)
    assert dates[ExifTags.Base.DateTimeOriginal] == "2004:07:11 15:00:00"
    assert ExifTags.Base.BodySerialNumber not in dates
    for keep, is_kept in (("--keep-date", True), ("--no-keep-date", False)):
        again = ["restore", "--aligned", lr, "--out", tmp_path / "new", "--model", tiny_model, keep]
        assert run(*again) == 0
        assert ((tmp_path / "new" / "lr.png").stat().st_mtime == 10**9) == is_kept


def test_a_report_is_not_replaced_by_that_of_another_result(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Both are called NAME.json, whatever the ending of the picture is."""
    out = tmp_path / "out"
    command = ["restore", "--aligned", "--model", tiny_model, "--report", "--out"]
    assert run(*command, out / "r.png", headshots / "ada0.png") == 0
    before = (out / "r.json").read_bytes()
    line = refused_batch(capsys, *command, out / "r.jpg", headshots / "ada1.png")
    assert f"{out / 'r.json'}: is there already, made of another picture" in line
    assert files_below(out) == ["r.json", "r.png"]
    assert (out / "r.json").read_bytes() == before
    assert run(*command, out / "r.png", headshots / "ada0.png") == 0
    assert run(*command, out / "r.jpg", headshots / "ada1.png", "--overwrite") == 0


def test_a_large_headshot_is_restored_if_it_is_blurred(
    photos: Path, tiny_model: Path, tmp_path: Path, demo_people: Path, capsys: Capture
) -> None:
    sharp = read_image(demo_people / "ada" / "0.webp")
    soft = np.rint(gaussian_filter(sharp.astype(np.float32), (5, 5, 0))).astype(np.uint8)
    write_image(tmp_path / "in" / "sharp.png", sharp)
    write_image(tmp_path / "in" / "soft.png", soft)
    out = tmp_path / "out"
    command = ["restore", "--aligned", tmp_path / "in", "--refs", photos, "--model", tiny_model, "--report"]
    assert run(*command, "--out", out) == 0
    told = capsys.readouterr()
    assert (
        "sharp.png: is sharp for its size (256 pixels); restore it all the same with --even-sharp" in told.err
    )
    assert files_below(out) == ["soft.json", "soft.png"]
    assert read_image(out / "soft.png").shape == (512, 512, 3)
    passes = json.loads((out / "soft.json").read_text(encoding="utf-8"))["passes"]
    assert passes[0] < 64
    assert passes[-1] == 128
    assert run(*command, "--out", tmp_path / "all", "--even-sharp", "--strength", "0") == 0
    plain = PIL.Image.fromarray(sharp).resize((512, 512), PIL.Image.Resampling.LANCZOS)
    assert np.array_equal(read_image(tmp_path / "all" / "sharp.png"), np.array(plain))


def test_strength_of_a_small_headshot(headshots: Path, tiny_model: Path, tmp_path: Path) -> None:
    out, lr = tmp_path / "out.png", read_image(headshots / "ada0.png")
    command = ["restore", "--aligned", headshots / "ada0.png", "--out", out, "--model", tiny_model]
    assert run(*command, "--strength", 0.25) == 0
    plain = np.array(PIL.Image.fromarray(lr).resize((64, 64), PIL.Image.Resampling.LANCZOS), float)
    expected = 0.75 * plain + 0.25 * hime.load(tiny_model).restore(lr).image
    assert np.abs(read_image(out) - expected).max() <= 0.51


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
    told = capsys.readouterr()
    assert told.out == f"3 restored to {out}; 1 passed over\n"
    assert told.err.startswith(f"hime: {headshots / 'notes.txt'}: passed over: is not a PNG, ")


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


def test_a_large_headshot_that_is_not_square_is_told(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    """What its detail fills is looked for in square ones only."""
    for side in (128, 132):
        wide = write_image(tmp_path / f"wide{side}.png", resize(read_image(headshots / "ada0.png"), 96, side))
        assert run("restore", "--aligned", wide, "--out", tmp_path / "out.png", "--model", tiny_model) == 0
        told = "not square (132×96 pixels), so restored from all its pixels as they are"
        assert (told in capsys.readouterr().err) == (side > 128)
        (tmp_path / "out.png").unlink()


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
        "tiny.png: the headshot is 30×5",
        "wide.png: 513×8",
    ]
    named += ["text.png: is not", "gone.png: no such file"]
    for line, words in zip(errors, named, strict=False):
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
    assert "is one file for 2 inputs" in refused(
        capsys, "restore", "--aligned", headshots, "--out", tmp_path / "a.png", *model
    )
    assert "cannot write .tif" in refused(
        capsys, "restore", "--aligned", lr, "--out", tmp_path / "a.tif", *model
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


def test_another_training_of_the_same_name_restores_anew(
    headshots: Path, tiny_run: Path, tiny_perception_network: HIME, tmp_path: Path, capsys: Capture
) -> None:
    run_folder, out = tmp_path / "runs" / "x", tmp_path / "out"
    shutil.copytree(tiny_run, run_folder)
    command = ["restore", "--aligned", headshots, "--out", out, "--model", run_folder]
    assert run(*command) == 0
    first = {path.name: read_image(path) for path in out.glob("*.png")}
    capsys.readouterr()
    assert run(*command) == 0
    assert capsys.readouterr().out.startswith(f"0 restored to {out}; {len(first)} there already")
    _, metadata = load_model(tiny_run)
    save_released(run_folder / "best.safetensors", tiny_perception_network.state_dict(), metadata)
    assert run(*command) == 0
    assert all((read_image(out / name) != image).any() for name, image in first.items())


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
