"""Whole photographs from files and folders, by the command line: what is written, skipped and told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ExifTags

from hime.cli import main
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image

Capture = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def albums(tmp_path: Path, demo_people: Path) -> dict[str, Path]:
    """A folder of three photos each of two people."""
    found = {}
    for name in ("ada", "ben"):
        folder = found[name] = tmp_path / "albums" / name
        folder.mkdir(parents=True)
        for number in (1, 2, 3):
            shutil.copy(demo_people / name / f"{number}.webp", folder)
    return found


def picture_of(demo_people: Path, *names: str) -> Image:
    """These people side by side before a plain wall."""
    image = np.full((120, 110 * len(names) + 10, 3), (180, 170, 150), np.uint8)
    for number, name in enumerate(names):
        left = 15 + 110 * number
        image[20:100, left : left + 80] = resize(read_image(demo_people / name / "0.webp"), 80, 80)
    return image


@pytest.fixture
def photos(tmp_path: Path, demo_people: Path) -> Path:
    """A folder of photographs: both, one as JPEG with EXIF and turned, and one without a face."""
    folder = tmp_path / "photos"
    write_image(folder / "both.png", picture_of(demo_people, "ada", "ben"))
    write_image(folder / "wall.png", np.full((90, 90, 3), 128, np.uint8))
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    exif[ExifTags.Base.Orientation] = 6  # to be turned a quarter clockwise
    stored = np.ascontiguousarray(np.rot90(picture_of(demo_people, "ada")))
    PIL.Image.fromarray(stored).save(folder / "été.jpg", quality=95, exif=exif)
    return folder


def test_a_folder(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    command = ["restore", photos, "--refs", *albums.values(), "--out", out, "--model", tiny_model]
    assert run(*command) == 1
    told = capsys.readouterr()
    assert told.out == f"2 restored to {out} (ada 2, ben 1)\n"
    errors = told.err.splitlines()
    assert f"hime: {photos / 'wall.png'}: no face found" in errors[-2]
    assert errors[-1] == "hime: 1 failed, 2 restored"
    assert names_in(out) == ["both.png", "été.jpg"]
    assert read_image(out / "both.png").shape == (480, 920, 3)
    with PIL.Image.open(out / "été.jpg") as turned:
        assert turned.size == (480, 480)
        assert turned.getexif()[ExifTags.Base.Make] == "Camera"
        assert turned.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert "hime" in turned.getexif()[ExifTags.Base.Software]
        assert b"compositeWithTrainedAlgorithmicMedia" in turned.info["xmp"]


def test_what_is_done_is_skipped(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    (photos / "wall.png").unlink()
    command = ["restore", photos, "--refs", albums["ada"], "--out", out, "--model", tiny_model]
    write_image(out / "both.png", np.zeros((9, 9, 3), np.uint8))
    assert run(*command) == 0
    assert capsys.readouterr().out == (
        f"{out / 'été.jpg'} (ada 1); 1 there already, --overwrite restores again\n"
    )
    assert read_image(out / "both.png").shape == (9, 9, 3)
    assert run(*command) == 0
    assert capsys.readouterr().out.startswith(f"0 restored to {out}; 2 there already")
    assert run(*command, "--overwrite") == 0
    assert read_image(out / "both.png").shape == (480, 920, 3)


def test_one_file_of_another_format_and_a_report(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "restored.webp"
    command = ["restore", photos / "both.png", "--refs", *albums["ben"].iterdir(), "--out", out]
    assert run(*command, "--model", tiny_model, "--report", "--enlarge", 2) == 0
    assert capsys.readouterr().out.startswith(f"{out} (")
    with PIL.Image.open(out) as picture:
        assert (picture.format, picture.size) == ("WEBP", (460, 240))
    page = (tmp_path / "restored.webp.html").read_text(encoding="utf-8")
    assert "both.png" in page


def test_faces_alone(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    both, out = photos / "both.png", tmp_path / "out"
    command = ["restore", both, "--refs", *albums.values(), "--model", tiny_model, "--crop", "--out"]
    assert run(*command, out) == 0
    assert names_in(out) == ["both-face1.png", "both-face2.png"]
    height, width = read_image(out / "both-face1.png").shape[:2]
    assert height == width
    assert 250 < width < 400
    capsys.readouterr()
    assert run(*command, out) == 0
    assert "1 there already" in capsys.readouterr().out
    single = tmp_path / "face.png"
    assert run(*command, single) == 1
    assert "is one picture for 2 faces" in capsys.readouterr().err
    assert run(*command, single, "--person", "ben") == 0
    np.testing.assert_array_equal(read_image(single), read_image(out / "both-face2.png"))


def test_an_input_among_the_photos_is_no_reference_for_itself(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, demo_people: Path
) -> None:
    own = albums["ada"] / "small.png"
    write_image(own, picture_of(demo_people, "ada"))
    out = tmp_path / "out"
    assert run("restore", own, "--refs", albums["ada"], "--out", out, "--model", tiny_model, "--report") == 0
    page = (out / "small.png.html").read_text(encoding="utf-8")
    assert "Photo small.png" not in page
    assert "Photo 1.webp" in page


def test_what_cannot_be_is_said_at_once(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    both, out, model = photos / "both.png", tmp_path / "out", ("--model", tiny_model)

    def refused(*arguments: object) -> str:
        assert run("restore", *arguments, *model) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "no photos of carl" in refused(both, "--refs", albums["ada"], "--out", out, "--person", "carl")
    assert "give one input" in refused(photos, "--refs", albums["ada"], "--out", out, "--face", 1)
    assert "would overwrite" in refused(both, "--refs", albums["ada"], "--out", both)
    reference = albums["ada"] / "1.webp"
    assert "would overwrite" in refused(both, "--refs", albums["ada"], "--out", reference)
    twice = shutil.copytree(albums["ada"], tmp_path / "other" / "ada")
    assert "2 people are named ada" in refused(both, "--refs", albums["ada"], twice, "--out", out)
    assert "cannot write .bmp" in refused(both, "--refs", albums["ada"], "--out", tmp_path / "a.bmp")
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--aligned", "--everyone"],
        ["--aligned", "--person", "ada"],
        ["--aligned", "--crop"],
        ["--refs", "ada", "--enlarge", "3"],
        ["--face", "0"],
    ],
    ids=" ".join,
)
def test_arguments_that_do_not_go_together(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["restore", "a.png", "--out", "b.png", *arguments])
    assert stopped.value.code == 2
    assert "usage: hime" in capsys.readouterr().err
