"""Whole photographs from files and folders, by the command line: what is written, skipped and told."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from PIL import ExifTags
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hime import processors
from hime.cli import main
from hime.data.people import LONDON
from hime.faces import matching
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image
from hime.restoring.batch import Summary
from hime.restoring.enlarging import enlarge
from hime.restoring.people import read_cast
from hime.restoring.photo import restore_photo
from hime.restoring.records import FILE
from hime.restoring.restorer import load
from hime.restoring.sources import Sources
from integration.command_line import run

Capture = pytest.CaptureFixture[str]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != FILE)


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
    assert run(*command) == 0
    told = capsys.readouterr()
    assert told.out == f"2 restored to {out} (ada 2, ben 1); nothing to restore in 1\n"
    assert told.err.splitlines()[-1].startswith(f"hime: {photos / 'wall.png'}: no face found")
    assert names_in(out) == ["both.png", "été.jpg"]
    assert read_image(out / "both.png").shape == (480, 920, 3)
    with PIL.Image.open(out / "été.jpg") as turned:
        assert turned.size == (480, 480)
        assert turned.getexif()[ExifTags.Base.Make] == "Camera"
        assert turned.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert "hime" in turned.getexif()[ExifTags.Base.Software]
        assert b"compositeWithTrainedAlgorithmicMedia" in turned.info["xmp"]


def test_photos_of_several_people_for_one_are_told(
    photos: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    bunch, line = tmp_path / "bunch", "bunch: seems to show several people; give each a folder of its own"
    bunch.mkdir()
    for name in ("001", "002", "003"):
        for photo in (LONDON / name).iterdir():
            shutil.copy(photo, bunch / f"{name}-{photo.name}")
    command = ["restore", photos / "both.png", "--refs", bunch, "--model", tiny_model, "--everyone"]
    command += ["--dry-run", "--out", tmp_path / "out.png"]
    person = ["person", "add", bunch, "--out", tmp_path / "bunch.person", "--model", tiny_model]
    for words in (command, person):
        assert run(*words) == 0
        assert f"hime: {line}\n" in capsys.readouterr().err
    for photo in [*bunch.glob("002-*"), *list(bunch.glob("003-*"))[1:]]:
        photo.unlink()
    for copy in "ab":  # one of five may be a mistake
        shutil.copy(next(bunch.glob("001-*")), bunch / f"{copy}.webp")
    for words in (command, person):
        assert run(*words) == 0
        told = capsys.readouterr().err
        assert line not in told
        assert "another person than in the other photos" in told


@pytest.mark.parametrize("more", [[], ["--aligned"]], ids=str)
def test_who_has_no_photo_but_the_picture_itself_is_told_of(
    more: list[str], demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    picture, line = tmp_path / "party.png", "its only photo is the picture itself: restored without\n"
    write_image(picture, picture_of(demo_people, "ada"))
    other = demo_people / "ada" / "1.webp"
    command = ["restore", picture, *more, "--model", tiny_model, "--even-sharp"]
    assert run(*command, "--out", tmp_path / "alone", "--refs", picture) == 0
    who = "" if more else "party (face 1): "
    assert f"hime: {picture}: {who}{line}" in capsys.readouterr().err
    assert run(*command, "--out", tmp_path / "with_another", "--refs", picture, other) == 0
    assert line not in capsys.readouterr().err


@pytest.mark.parametrize("is_older", [False, True], ids=["file", "older file"])
def test_no_picture_is_its_own_reference_through_a_file(
    is_older: bool, demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Older .person files do not say of which pictures they are, and go on as they are."""
    ada, file, line = tmp_path / "ada", tmp_path / "ada.person", "its only photo is the picture itself"
    ada.mkdir()
    shutil.copy(demo_people / "ada" / "1.webp", ada / "a.webp")
    picture = shutil.copy(ada / "a.webp", tmp_path / "copy.webp")
    command = ["restore", picture, "--refs", file, "--model", tiny_model, "--even-sharp", "--overwrite"]
    for photos in (["a.webp"], ["a.webp", "b.webp"]):
        assert run("person", "add", ada, "--out", file, "--model", tiny_model) == 0
        if is_older:
            with safe_open(file, framework="np") as opened:
                metadata = opened.metadata()
            del metadata["contents"]
            save_file(load_file(file), file, metadata)
        capsys.readouterr()
        assert run(*command, "--out", tmp_path / "out.webp", "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["faces"][0]["references"] == (photos if is_older else photos[1:])
        assert any(line in each for each in told["notes"]) == (len(photos) == 1 and not is_older)
        shutil.copy(demo_people / "ada" / "2.webp", ada / "b.webp")


def test_what_is_done_is_skipped(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    (photos / "wall.png").unlink()
    command = ["restore", photos, "--refs", albums["ada"], "--out", out, "--model", tiny_model]
    write_image(out / "both.png", np.zeros((9, 9, 3), np.uint8))  # somebody's
    assert run(*command) == 1
    told = capsys.readouterr()
    assert told.out == f"{out / 'été.jpg'} (ada 1)\n"
    assert f"{out / 'both.png'}: is there already, not as this program wrote it; --overwrite" in told.err
    assert read_image(out / "both.png").shape == (9, 9, 3)
    assert run(*command, "--overwrite") == 0
    assert read_image(out / "both.png").shape == (480, 920, 3)
    capsys.readouterr()
    assert run(*command) == 0
    assert capsys.readouterr().out.startswith(f"0 restored to {out}; 2 there already")


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


def test_of_faces_alone_each_has_its_own_file(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    both, out = photos / "both.png", tmp_path / "out"
    command = ["restore", both, "--refs", albums["ben"], "--model", tiny_model, "--crop", "--out", out]
    for more, places in (([], [None, 2]), (["--everyone"], [1, 2])):
        expected = [None if place is None else str(out / f"both-face{place}.png") for place in places]
        for dry in (["--dry-run"], ["--overwrite"]):
            assert run(*command, *more, *dry, "--json") == 0
            told = json.loads(capsys.readouterr().out)
            assert [face["output"] for face in told["faces"]] == expected
            assert told["written"] == [path for path in expected if path is not None]
    assert run(*command, "--everyone", "--dry-run", "--overwrite") == 0
    assert capsys.readouterr().out.startswith(
        f"{both} → {expected[0]}, {expected[1]}\n  face 1, a stranger, "
    )
    assert run(*command, "--enlarge", 4) == 1
    assert "--enlarge 4 has no effect beside --crop: the model enlarges a face ×4" in capsys.readouterr().err
    assert run(*command, "--enlarge", 8) == 0


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
    for ending in (".bmp", ".mp4"):  # a folder is not called like a file
        name = tmp_path / f"a{ending}"
        assert f"cannot write {ending}; use one of" in refused(both, "--refs", albums["ada"], "--out", name)
    assert not out.exists()


def test_the_note_of_what_made_results_names_nobody(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    """But other options restore again all the same; a note that named somebody is as one of other options."""
    out = tmp_path / "out"
    people = ["--refs", *albums.values(), "--model", tiny_model]
    command = ["restore", photos / "both.png", *people, "--out", out]
    named, note = [*command, "--person", "ben"], out / FILE
    assert run(*named) == 0
    text = note.read_text(encoding="utf-8")
    assert "ben" not in text
    assert "albums" not in text
    assert run(*named) == 0
    assert "1 there already" in capsys.readouterr().out
    assert run(*command) == 0
    assert "there already" not in capsys.readouterr().out
    *_, last = filter(None, note.read_text(encoding="utf-8").split("\n"))
    record = json.loads(last)
    record["made"]["options"] = "Choice(everyone=False, only_person='ben', only_face=None)"
    with note.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(record)}\n")
    assert run(*command) == 0
    assert capsys.readouterr().out == f"{out / 'both.png'} (ada 1, ben 1)\n"


def test_what_is_no_photo_is_nobody(
    albums: dict[str, Path], tiny_model: Path, tmp_path: Path, demo_people: Path, capsys: Capture
) -> None:
    """A path that is mistyped, and a clip, are not taken for people, to whom the only face would go."""
    one, out = tmp_path / "one.png", tmp_path / "out"
    write_image(one, picture_of(demo_people, "ada"))
    clip, text = tmp_path / "clip.mp4", tmp_path / "text.png"
    clip.write_bytes(b"\0\0\0\x20ftypisom")
    text.write_text("no picture")
    command = ["restore", one, "--out", out, "--model", tiny_model, "--refs"]
    (photo, *_) = albums["ada"].iterdir()
    for given, line in (
        ([tmp_path / "adda"], f"hime: {tmp_path / 'adda'}: no such file; check the path"),
        ([photo, tmp_path / "4.webp"], f"hime: {tmp_path / '4.webp'}: no such file; check the path"),
        ([clip], f"hime: {clip}: is a film; save the picture you mean as a file of its own"),
        ([text, clip], f"hime: {text}: is not a PNG"),
    ):
        assert run(*command, *given) == 1
        (told,) = capsys.readouterr().err.splitlines()
        assert told.startswith(line)
    assert not out.exists()
    assert run(*command, photo, clip) == 0
    assert "clip.mp4 is not used: a film" in capsys.readouterr().err
    assert names_in(out) == ["one.png"]


def test_whom_no_photo_shows_is_nobody_in_a_picture(
    tiny_model: Path, tmp_path: Path, demo_people: Path, capsys: Capture
) -> None:
    one, out = tmp_path / "one.png", tmp_path / "out"
    write_image(one, picture_of(demo_people, "ada"))
    write_image(tmp_path / "carl" / "wall.png", np.full((90, 90, 3), 128, np.uint8))
    command = ["restore", one, "--refs", tmp_path / "carl", "--out", out, "--model", tiny_model]
    assert run(*command) == 0
    told = capsys.readouterr()
    assert told.out == f"0 restored to {out}; nothing to restore in 1\n"
    no_photo = "hime: carl: no photo can be used, so"
    assert f"{no_photo} no face is known as this person's; --person or --face N restores one" in told.err
    assert run(*command, "--person", "carl") == 0
    told = capsys.readouterr()
    assert told.out == f"{out / 'one.png'} (carl 1)\n"
    assert f"{no_photo} this person is restored without" in told.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--aligned", "--everyone"],
        ["--aligned", "--person", "ada"],
        ["--aligned", "--crop"],
        ["--refs", "ada", "--enlarge", "3"],
        ["--face", "0"],
        ["--refs", "ada", "--strength", "1.1"],
        ["--refs", "ada", "--strength", "nan"],
        ["--refs", "ada", "--max-lr-side", "8"],
        ["--refs", "ada", "--everyone", "--person", "ada"],
        ["--everyone", "--face", "1"],
        ["--refs", "ada.person", "--named"],
        ["--everyone", "--no-named"],
    ],
    ids=" ".join,
)
def test_arguments_that_do_not_go_together(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["restore", "a.png", "--out", "b.png", *arguments])
    assert stopped.value.code == 2
    assert "usage: hime" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- nothing is lost


def test_photos_and_files_of_people_are_read_once(
    photos: Path,
    albums: dict[str, Path],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded = tmp_path / "ben.person"
    assert run("person", "add", albums["ben"], "--out", encoded, "--model", tiny_model) == 0
    command = ["restore", photos, "--refs", albums["ada"], encoded, "--model", tiny_model, "--out"]
    assert run(*command, tmp_path / "before") == 0

    def then_gone(*arguments: Any, **options: Any) -> Any:
        shutil.rmtree(albums["ada"], ignore_errors=True)
        encoded.unlink(missing_ok=True)
        return restore_photo(*arguments, **options)

    monkeypatch.setattr("hime.restoring.photo.restore_photo", then_gone)
    assert run(*command, tmp_path / "out") == 0
    assert not encoded.exists()
    for name in ("both.png", "été.jpg"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "before" / name).read_bytes()


def test_a_copy_of_the_input_is_no_reference_for_it(
    albums: dict[str, Path], tiny_model: Path, tmp_path: Path, demo_people: Path
) -> None:
    write_image(tmp_path / "in.png", picture_of(demo_people, "ada"))
    shutil.copy(tmp_path / "in.png", albums["ada"] / "copy.png")
    command = ["restore", tmp_path / "in.png", "--refs", albums["ada"], "--model", tiny_model]
    assert run(*command, "--out", tmp_path / "out.png", "--report") == 0
    page = (tmp_path / "out.png.html").read_text(encoding="utf-8")
    assert "Photo copy.png" not in page
    assert "Photo 1.webp" in page


def test_faces_of_names_that_begin_alike(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copy(photos / "both.png", tmp_path / "p.png")
    shutil.copy(photos / "été.jpg", tmp_path / "p-face7.jpg")
    command = ["restore", "--refs", albums["ada"], "--model", tiny_model, "--crop", "--out", tmp_path / "out"]
    assert run(*command, tmp_path / "p-face7.jpg") == 0
    assert run(*command, tmp_path / "p.png", tmp_path / "p-face7.jpg") == 0
    assert "1 there already" in capsys.readouterr().out
    assert names_in(tmp_path / "out") == ["p-face1.png", "p-face7-face1.png"]
    assert run(*command, tmp_path / "p.png", tmp_path / "p-face7.jpg") == 0
    assert "2 there already" in capsys.readouterr().out


def test_faces_replace_no_photo(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    ada = albums["ada"]
    reference = (ada / "1.webp").rename(ada / "both-face1.png")
    before = reference.read_bytes()
    command = ["restore", photos / "both.png", "--model", tiny_model, "--crop", "--out", ada]
    assert run(*command, "--refs", ada, "--overwrite") == 1
    assert f"{reference}: would overwrite what is read from there" in capsys.readouterr().err
    assert reference.read_bytes() == before
    assert run(*command, "--refs", ada / "2.webp", ada / "3.webp") == 1
    assert f"{reference}: is there already, not as this program wrote it" in capsys.readouterr().err
    assert reference.read_bytes() == before


def test_faces_among_the_photos_are_no_photos(
    photos: Path, albums: dict[str, Path], tiny_model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the results lie among the inputs the same command goes on, given a folder or files."""
    command = ["--refs", *albums.values(), "--model", tiny_model, "--crop", "--report", "--out", photos]
    assert run("restore", photos, *command) == 0
    capsys.readouterr()
    named = sorted(path for path in photos.iterdir() if path.suffix in (".png", ".jpg"))
    monkeypatch.chdir(photos)
    for inputs, passed_over in (([photos], 1), ([Path()], 1), (named, 3)):
        assert run("restore", *inputs, *command) == 0
        told = capsys.readouterr().out
        assert told == (
            f"0 restored to {photos}; 2 there already, --overwrite restores again; nothing to restore in 1; "
            f"{passed_over} passed over\n"
        )
    assert run("restore", "both-face1.png", *command) == 1
    assert "both-face1.png: is a result of an earlier run; choose another" in capsys.readouterr().err


def test_a_whole_picture_replaces_no_face_of_another(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Nor do faces replace a whole picture that is called as one of them."""
    out, command = tmp_path / "out", ["restore", "--refs", albums["ada"], "--model", tiny_model, "--out"]
    shutil.copy(photos / "both.png", tmp_path / "p.png")
    called = tmp_path / "p-face1.png"
    write_image(called, read_image(photos / "été.jpg"))
    assert run(*command, out, tmp_path / "p.png", "--crop") == 0
    face = (out / "p-face1.png").read_bytes()
    capsys.readouterr()
    assert run(*command, out, called) == 0
    assert "since another picture's result has its name" in capsys.readouterr().err
    assert (out / "p-face1.png").read_bytes() == face
    other = tmp_path / "other"
    assert run(*command, other, called) == 0
    whole = (other / "p-face1.png").read_bytes()
    assert run(*command, other, tmp_path / "p.png", "--crop") == 0
    assert "since another picture's result has its name" in capsys.readouterr().err
    assert (other / "p-face1.png").read_bytes() == whole


def test_faces_alone_go_on_where_they_were_interrupted(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    command = ["restore", photos / "both.png", "--refs", *albums.values(), "--model", tiny_model, "--crop"]
    command += ["--report", "--out", out]
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if target.name == "both-face2.png":
            raise KeyboardInterrupt
        return replace(self, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "replace", interrupted)
        assert run(*command) == 130
    assert names_in(out) == ["both-face1.png"]
    capsys.readouterr()
    assert run(*command) == 0
    assert names_in(out) == ["both-face1.png", "both-face2.png", "both.png.html"]


def test_a_page_that_cannot_be_written_keeps_no_run_from_going_on(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    command = ["restore", photos / "both.png", "--refs", albums["ada"], "--model", tiny_model, "--report"]
    command += ["--out", tmp_path / "out"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hime.restoring.report.write_report", full)
        assert run(*command) == 1
    assert names_in(tmp_path / "out") == ["both.png"]
    assert capsys.readouterr().err.splitlines()[-1] == "hime: 1 failed, 0 restored"
    assert run(*command) == 0
    assert names_in(tmp_path / "out") == ["both.png", "both.png.html"]


def test_a_result_stays_its_pictures_when_a_later_run_finds_nothing(
    albums: dict[str, Path], tiny_model: Path, tmp_path: Path, demo_people: Path, capsys: Capture
) -> None:
    first, second = (tmp_path / album / "DSC0001.png" for album in ("album1", "album2"))
    for path, grey in ((first, 150), (second, 180)):
        large = np.full((260, 260, 3), grey, np.uint8)
        large[30:230, 30:230] = resize(read_image(demo_people / "ada" / "0.webp"), 200, 200)
        write_image(path, large)
    out = tmp_path / "out"
    command = ["restore", "--refs", albums["ada"], "--model", tiny_model, "--out", out]
    assert run(*command, "--even-sharp", first.parent) == 0
    before = (out / "DSC0001.png").read_bytes()
    assert run(*command, first.parent) == 0
    kept = f"; {out / 'DSC0001.png'} is of an earlier run\n"
    assert capsys.readouterr().err.endswith(kept)
    assert run(*command, first.parent) == 0
    told = capsys.readouterr()
    assert told.out == f"0 restored to {out}; nothing to restore in 1\n"
    assert told.err == f"hime: {first}: nothing to restore, as found before; --overwrite looks again{kept}"
    assert run(*command, "--even-sharp", second.parent) == 0
    assert "since another picture's result has its name" in capsys.readouterr().err
    assert (out / "DSC0001.png").read_bytes() == before


def test_a_report_replaces_no_page(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    page = tmp_path / "out" / "both.png.html"
    page.parent.mkdir()
    page.write_text("a page of mine")
    command = ["restore", photos / "both.png", "--refs", albums["ada"], "--model", tiny_model, "--report"]
    assert run(*command, "--out", tmp_path / "out") == 1
    assert f"{page}: is there already" in capsys.readouterr().err
    assert page.read_text() == "a page of mine"
    assert names_in(tmp_path / "out") == ["both.png.html"]


def test_a_folder_of_people(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    family = albums["ada"].parent
    deep = family / "ben" / "1998"
    deep.mkdir()
    (family / "ben" / "3.webp").rename(deep / "3")
    (family / "names.txt").write_text("ada, ben")
    encoded = tmp_path / "people" / "eva.person"
    encoded.parent.mkdir()
    assert run("person", "add", albums["ada"], "--out", encoded, "--name", "eva", "--model", tiny_model) == 0
    encoded.rename(family / "eva.person")
    shutil.rmtree(family / "ada")
    command = ["restore", photos / "both.png", "--model", tiny_model, "--report", "--out", tmp_path / "out"]
    capsys.readouterr()
    assert run(*command, "--refs", family) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{tmp_path / 'out' / 'both.png'} (eva 1, ben 1)")
    assert f"hime: {family / 'names.txt'}: passed over: " in told.err
    assert "Photo 3" in (tmp_path / "out" / "both.png.html").read_text(encoding="utf-8")


def test_other_people_restore_again(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    command = ["restore", photos, "--model", tiny_model, "--out", tmp_path / "out", "--refs"]
    assert run(*command, albums["ada"]) == 0
    assert "(ada 2)" in capsys.readouterr().out
    assert run(*command, albums["ada"]) == 0
    assert "2 there already, --overwrite restores again; nothing to restore in 1\n" in capsys.readouterr().out
    assert run(*command, *albums.values()) == 0
    assert "(ada 2, ben 1)" in capsys.readouterr().out
    assert run(*command, *albums.values(), "--everyone") == 0
    assert "2 restored" in capsys.readouterr().out


def test_nothing_to_restore_is_no_failure_unless_asked_for_by_name(
    albums: dict[str, Path], tiny_model: Path, tmp_path: Path, demo_people: Path, capsys: Capture
) -> None:
    large = np.full((260, 260, 3), 150, np.uint8)
    large[30:230, 30:230] = resize(read_image(demo_people / "ada" / "0.webp"), 200, 200)
    write_image(tmp_path / "large.png", large)
    command = ["restore", tmp_path / "large.png", "--refs", albums["ada"], "--model", tiny_model, "--out"]
    assert run(*command, tmp_path / "out") == 0
    told = capsys.readouterr()
    assert told.out == f"0 restored to {tmp_path / 'out'}; nothing to restore in 1\n"
    assert "nothing to restore: ada is sharp for its size (" in told.err
    for asked in (("--person", "ada"), ("--face", 1)):
        assert run(*command, tmp_path / "other", *asked) == 1
        assert "sharp for its size" in capsys.readouterr().err
    assert run(*command, tmp_path / "out", "--even-sharp") == 0
    assert "1 there already" not in capsys.readouterr().out
    assert read_image(tmp_path / "out" / "large.png").shape == (1040, 1040, 3)


def test_a_dial_whose_other_end_is_missing_stands_at_0(
    photos: Path, albums: dict[str, Path], tiny_dial: Path, tmp_path: Path, capsys: Capture
) -> None:
    model, out = shutil.copytree(tiny_dial, tmp_path / "alone" / tiny_dial.name), tmp_path / "out"
    command = ["restore", photos / "both.png", "--refs", albums["ada"], "--out", out, "--model", model]
    assert run(*command, "--fidelity", 0.5) == 1
    assert "needs its reconstruction model, tiny-x4, which is not there" in capsys.readouterr().err
    for status in ("both.png (ada 1)", "1 there already"):
        assert run(*command, "--fidelity", 0) == 0
        assert status in capsys.readouterr().out
    lr = tmp_path / "lr.png"
    write_image(lr, np.zeros((16, 16, 3), np.uint8))
    assert run("restore", "--aligned", lr, "--out", tmp_path / "hr.png", "--model", model) == 0


def test_a_large_face_that_is_blurred_is_restored_as_strongly_as_asked(
    albums: dict[str, Path], tiny_model: Path, tmp_path: Path, demo_people: Path, capsys: Capture
) -> None:
    image, out = resize(picture_of(demo_people, "ada"), 480, 480), tmp_path / "out.png"
    write_image(tmp_path / "large.png", image)
    command = [
        "restore",
        tmp_path / "large.png",
        "--refs",
        albums["ada"],
        "--model",
        tiny_model,
        "--out",
        out,
    ]
    results = []
    for strength in (0, 0.5, 1):
        assert run(*command, "--strength", strength) == 0
        assert "(ada 1)" in capsys.readouterr().out
        results.append(read_image(out).astype(float))
    assert np.array_equal(results[0], enlarge(image, 4))
    half, whole = (np.abs(result - results[0]).mean() for result in results[1:])
    assert whole > 0.5
    assert half == pytest.approx(whole / 2, rel=0.2)


def test_a_sidecar_counts_and_is_not_replaced(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<r:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"/></r:RDF></x:xmpmeta>'
    )
    (photos / "both.xmp").write_text(packet)
    command = ["restore", photos / "both.png", "--refs", albums["ada"], "--model", tiny_model, "--out"]
    assert run(*command, tmp_path / "out") == 0
    assert run(*command, tmp_path / "out") == 0
    assert "1 there already" in capsys.readouterr().out
    (photos / "both.xmp").write_text(packet.replace("5", "3"))
    assert run(*command, tmp_path / "out") == 0
    assert "there already" not in capsys.readouterr().out
    assert 'Rating="3"' in (tmp_path / "out" / "both.xmp").read_text()
    before = (photos / "both.xmp").read_bytes()
    assert run(*command, photos / "both.jpg", "--overwrite") == 0
    assert (photos / "both.xmp").read_bytes() == before


CAPTION = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<r:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{}"/></r:RDF></x:xmpmeta>'
)


@pytest.fixture
def cameras(tmp_path: Path, demo_people: Path) -> list[Path]:
    """Photos of two cameras that are called alike but for their endings, each with a sidecar."""
    found = [tmp_path / "cam1" / "IMG_1.jpg", tmp_path / "cam2" / "IMG_1.png"]
    for number, path in enumerate(found):
        write_image(path, np.roll(picture_of(demo_people, "ada"), number, axis=1))
        path.with_suffix(".xmp").write_text(CAPTION.format(number))
    return found


def test_a_sidecar_replaces_none_of_another_pictures(
    cameras: list[Path], albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    command = ["restore", "--refs", albums["ada"], "--model", tiny_model, "--out", out]
    for inputs in (cameras, cameras[:1], cameras[1:]):
        assert run(*command, *inputs) == 0
        told = capsys.readouterr()
        if inputs is cameras:
            place = out / "cam2" / "IMG_1.png"
            assert f"{cameras[1]}: is {place}, since another picture's result has its name" in told.err
        else:
            assert "1 there already" in told.out
    assert names_in(out) == ["IMG_1.jpg", "IMG_1.xmp", "cam2"]
    assert names_in(out / "cam2") == ["IMG_1.png", "IMG_1.xmp"]
    for number, folder in enumerate((out, out / "cam2")):
        assert f'Rating="{number}"' in (folder / "IMG_1.xmp").read_text()


def test_pictures_that_have_one_sidecar_share_its_copy(
    cameras: list[Path], albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    """As of a camera that writes each picture in two formats; also once it was edited, or all was moved."""
    folder, out = cameras[0].parent, tmp_path / "out"
    shutil.copy(cameras[1], folder)
    command = ["restore", "--refs", albums["ada"], "--model", tiny_model, "--out", out]
    assert run(*command, folder) == 0
    (folder / "IMG_1.xmp").write_text(CAPTION.format(5))
    assert run(*command, folder) == 0
    assert run(*command, folder.rename(tmp_path / "moved"), "--strength", 0.5) == 0
    assert run(*command, tmp_path / "moved" / "IMG_1.png", "--strength", 0.4) == 0
    assert "another picture's" not in capsys.readouterr().err
    assert names_in(out) == ["IMG_1.jpg", "IMG_1.png", "IMG_1.xmp"]
    assert 'Rating="5"' in (out / "IMG_1.xmp").read_text()


def test_a_sidecar_that_something_else_needs_is_not_deleted(
    cameras: list[Path], albums: dict[str, Path], tiny_model: Path, tmp_path: Path
) -> None:
    """Another result, which has the same; or a picture that is restored where its earlier result lies."""
    folder, out = cameras[0].parent, tmp_path / "out"
    shutil.copy(cameras[1], folder)
    command = ["restore", "--refs", albums["ada"], "--model", tiny_model, "--out"]
    assert run(*command, out, folder) == 0
    cameras[1].with_suffix(".xmp").unlink()
    write_image(cameras[1], np.roll(read_image(cameras[1]), 3, axis=1))
    assert run(*command, out / "IMG_1.png", cameras[1], "--overwrite") == 0
    assert names_in(out) == ["IMG_1.jpg", "IMG_1.png", "IMG_1.xmp"]

    PIL.Image.open(cameras[1]).save(tmp_path / "in.bmp")
    (tmp_path / "in.xmp").write_text(CAPTION.format(4))
    assert run(*command, out, tmp_path / "in.bmp") == 0
    (tmp_path / "in.xmp").unlink()
    (tmp_path / "in.bmp").rename(out / "in.bmp")  # its sidecar is there already
    assert run(*command, out, out / "in.bmp", "--strength", 0.5) == 0
    assert {"in.bmp", "in.png", "in.xmp"} <= {*names_in(out)}


@pytest.mark.parametrize("order", [0, 1], ids=["faces first", "picture first"])
def test_a_page_about_faces_and_one_about_a_picture_replace_none_of_another_pictures(
    order: int,
    cameras: list[Path],
    albums: dict[str, Path],
    tiny_model: Path,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    """The page about faces is called as that about a PNG; the line names what there is."""
    out = tmp_path / "out"
    command = ["restore", "--refs", albums["ada"], "--model", tiny_model, "--report", "--out", out]
    runs: list[tuple[list[object], str]] = [
        ([cameras[0], "--crop"], "cam1/IMG_1-face*.png"),
        ([cameras[1]], "cam2/IMG_1.png"),
    ]
    (first, _), (second, place) = runs[::-1] if order else runs
    assert run(*command, *first) == 0
    before = (out / "IMG_1.png.html").read_bytes()
    capsys.readouterr()
    assert run(*command, *second) == 0
    assert f": is {out / place}, since another picture's result has its name" in capsys.readouterr().err
    assert (out / "IMG_1.png.html").read_bytes() == before
    assert (out / place.split("/")[0] / "IMG_1.png.html").is_file()


def test_what_goes_with_the_result_before_goes_with_it(
    cameras: list[Path], albums: dict[str, Path], tiny_model: Path, tmp_path: Path
) -> None:
    photo, out = cameras[0], tmp_path / "out"
    command = ["restore", photo, "--refs", albums["ada"], "--model", tiny_model, "--out", out]
    assert run(*command, "--report") == 0
    assert run(*command) == 0  # and is there already
    assert names_in(out) == ["IMG_1.jpg", "IMG_1.jpg.html", "IMG_1.xmp"]
    assert run(*command, "--strength", 0.5) == 0
    assert names_in(out) == ["IMG_1.jpg", "IMG_1.xmp"]
    photo.with_suffix(".xmp").unlink()
    assert run(*command, "--strength", 0.5, "--report") == 0
    assert names_in(out) == ["IMG_1.jpg", "IMG_1.jpg.html"]
    (out / "IMG_1.jpg.html").write_text("a page with notes of mine")
    assert run(*command) == 0
    assert names_in(out) == ["IMG_1.jpg", "IMG_1.jpg.html"]


def test_faces_of_a_photo_that_was_replaced_go_with_it(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, demo_people: Path
) -> None:
    """Those of the same photo stay, also where fewer are asked for."""
    both, out = photos / "both.png", tmp_path / "out"
    command = ["restore", both, "--refs", albums["ada"], "--model", tiny_model, "--crop", "--out", out]
    assert run(*command, "--everyone") == 0
    assert run(*command, "--overwrite") == 0
    assert names_in(out) == ["both-face1.png", "both-face2.png"]
    write_image(both, picture_of(demo_people, "ada"))
    assert run(*command, "--everyone", "--overwrite") == 0
    assert names_in(out) == ["both-face1.png"]


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_photo_that_was_replaced_is_known_by_whatever_link_it_is_reached(
    cameras: list[Path], albums: dict[str, Path], tiny_model: Path, tmp_path: Path, demo_people: Path
) -> None:
    folder, link, out = cameras[0].parent, tmp_path / "link", tmp_path / "out"
    link.symlink_to(folder)
    command = ["restore", "--refs", albums["ada"], "--model", tiny_model, "--out", out, "--overwrite"]
    assert run(*command, folder) == 0
    write_image(cameras[0], picture_of(demo_people, "ada", "ben"))
    assert run(*command, link) == 0
    assert names_in(out) == ["IMG_1.jpg", "IMG_1.xmp"]


def test_threads_reach_opencv(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path
) -> None:
    command = ["restore", photos, "--refs", albums["ada"], "--out", tmp_path / "out", "--model", tiny_model]
    before = cv2.getNumThreads()
    try:
        for threads in (3, 2):
            assert run(*command, "--threads", threads) == 0
            assert cv2.getNumThreads() == processors._limit == threads
    finally:
        processors.limit_threads()
        cv2.setNumThreads(before)


def test_results_among_the_references_are_no_photos(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Also of a person by file, of headshots, of another run, and if they are named themselves."""
    family, ada = tmp_path / "albums", albums["ada"]
    (photos / "wall.png").unlink()
    for out, refs, faces in (
        (family / "restored", family, "ada 2, ben 1"),
        (ada / "old.png", ada, "ada 1"),
    ):
        of = photos / "both.png" if out.suffix else photos
        command = ["restore", of, "--refs", refs, "--model", tiny_model, "--out", out, "--report"]
        assert run(*command) == 0
        assert f"({faces})" in capsys.readouterr().out
        assert run(*command, "--json") == 0
        told, count = json.loads(capsys.readouterr().out), 1 if out.suffix else 2
        assert (len(told["skipped"]), told["written"]) == (count, [])
        (line,) = told["passed_over"]
        assert line == f"{refs}: passed over: {count} result{'s' * (count > 1)} of earlier runs in it"

    other = ["restore", photos / "both.png", "--model", tiny_model, "--out", tmp_path / "o", "--json"]
    assert run(*other, "--refs", family) == 0
    told = json.loads(capsys.readouterr().out)
    assert [face["person"] for face in told["faces"]] == ["ada", "ben"]
    assert sorted(told["faces"][0]["references"]) == ["1.webp", "2.webp", "3.webp"]
    assert run(*other, "--refs", *sorted(ada.iterdir())) == 0
    told = json.loads(capsys.readouterr().out)
    assert f"{ada / 'old.png'}: passed over: is a result of an earlier run" in told["passed_over"]
    assert sorted(told["faces"][0]["references"]) == ["1.webp", "2.webp", "3.webp"]
    assert run("person", "add", family / "ada", "--out", tmp_path / "ada.person", "--model", tiny_model) == 0
    assert "old.png" not in capsys.readouterr().out
    for given in ([ada / "old.png"], [family / "restored"]):
        assert run(*other, "--refs", *given) == 1
        assert "earlier run" in capsys.readouterr().err

    assert run("person", "forget", family) == 0  # what was learned of results is forgotten all the same
    assert capsys.readouterr().out.endswith(" of 9 photos\n")


def test_headshots_restored_among_the_references_are_none(
    albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture, demo_people: Path
) -> None:
    ada, small = albums["ada"], tmp_path / "small.png"
    write_image(small, resize(read_image(demo_people / "ada" / "0.webp"), 32, 32))
    command = ["restore", small, "--aligned", "--model", tiny_model, "--out", ada / "restored", "--json"]
    for refs, count in (([ada], 0), ([ada], 1), ([*ada.glob("*.webp"), ada / "restored" / "small.png"], 1)):
        assert run(*command, "--refs", *refs) == 0
        told = json.loads(capsys.readouterr().out)
        assert (len(told["skipped"]), len(told["passed_over"])) == (count, count)
    assert run(*command, "--refs", ada / "restored" / "small.png") == 1
    assert "is a result of an earlier run, and no likeness; give photos of the person" in (
        capsys.readouterr().err
    )


def test_results_of_another_run_are_no_inputs_unless_they_are_named(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    (photos / "wall.png").unlink()
    command = ["restore", "--refs", albums["ada"], "--model", tiny_model, "--json", "--out"]
    assert run(*command, photos / "restored", photos) == 0
    capsys.readouterr()
    assert run(*command, tmp_path / "again", photos) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(Path(path).name for path in told["written"]) == ["both.png", "été.jpg"]
    assert told["passed_over"] == [
        f"{photos}: passed over: 2 results of earlier runs in it; what is named itself is restored again"
    ]
    assert run(*command, tmp_path / "twice", photos / "restored" / "both.png", "--even-sharp") == 0
    assert len(json.loads(capsys.readouterr().out)["written"]) == 1


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_results_are_known_by_whatever_path_they_are_reached(
    photos: Path, albums: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    (photos / "wall.png").unlink()
    link = tmp_path / "link"
    link.symlink_to(photos)
    command = ["restore", "--refs", albums["ada"], "--model", tiny_model, "--json"]
    for at, out in ((photos, link / "restored"), (link, photos / "restored"), (photos, link)):
        faces = ["--crop"] if out == link else []
        for _ in range(2):
            assert run(*command, *faces, at, "--out", out) == 0
            told = json.loads(capsys.readouterr().out)
        assert len(told["skipped"]) == 2


def test_who_seem_to_be_one_are_looked_for_where_it_is_told(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips beside photographs have the same people, of whom all has been said."""
    looked = []

    def alike(people: object) -> list[object]:
        looked.append(people)
        return []

    monkeypatch.setattr(matching, "alike", alike)
    for summary, times in ((None, 0), (Summary(), 1)):
        read_cast(Sources(), load(tiny_model, threads=1), summary)
        assert len(looked) == times


def test_two_people_who_are_one_are_told_of(
    photos: Path,
    albums: dict[str, Path],
    demo_people: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    ada = albums["ada"]
    command = ["restore", photos / "both.png", "--model", tiny_model, "--out", tmp_path / "out"]
    assert run(*command, "--refs", ada, ada / "1.webp") == 0
    told = capsys.readouterr().err
    assert "hime: ada and 1 seem to be one person; if they are, give all photos in one folder" in told
    assert run(*command, "--refs", ada, demo_people / "dan") == 0
    assert "seem to be" not in capsys.readouterr().err
