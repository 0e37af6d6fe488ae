"""``hime restore`` with videos: told from pictures by their content, alone, in folders, with photographs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hime.errors import HimeError
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image
from integration.command_line import Capture, files_below, interrupted_at, refused, run

pytest.importorskip("av", reason="videos need the extra video")
pytest.importorskip("cv2", reason="the extra faces is not installed")

from restoring.video.scenes import Actor, leaving, read_clip, scene, still, walk, write_clip


@pytest.fixture(scope="module")
def walking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "walk.mp4", walk(30))


def test_a_video_is_restored_from_its_own_frames(walking: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "restored"
    words = ["restore", walking, "--out", out, "--model", "small-x4"]
    assert run(*words) == 0
    told = capsys.readouterr()
    assert told.out == f"{out / 'walk.mp4'} (person 1 1)\n"
    assert "hime: " not in told.err
    assert files_below(out) == ["walk.mp4"]
    assert len(read_clip(out / "walk.mp4")[0]) == 30
    assert run(*words) == 0
    assert "1 there already, --overwrite restores again" in capsys.readouterr().out
    dated = walking.stat().st_mtime_ns
    assert (out / "walk.mp4").stat().st_mtime_ns == dated
    assert run(*words, "--overwrite", "--report", "--no-keep-date") == 0
    assert (out / "walk.mp4").stat().st_mtime_ns > dated
    assert files_below(out) == ["walk.mp4", "walk.mp4.html"]
    assert "Likeness over time" in (out / "walk.mp4.html").read_text(encoding="utf-8")
    assert run(*words[:-4], "--out", tmp_path / "other.mkv", "--model", "small-x4", "--enlarge", "2") == 0
    assert read_clip(tmp_path / "other.mkv")[0][0].shape == (480, 640, 3)


def test_a_clip_is_done_where_dates_cannot_be_set(
    walking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("hime.restoring.video.batch.os.utime", refused)
    words = ["restore", walking, "--out", tmp_path / "restored", "--model", "small-x4"]
    assert run(*words) == 0
    assert run(*words) == 0
    assert "1 there already" in capsys.readouterr().out


def test_what_a_result_lacks_is_told_again_until_it_is_whole(tmp_path: Path, capsys: Capture) -> None:
    options = {"preset": "ultrafast", "g": "10"}
    whole = write_clip(tmp_path / "whole.mkv", walk(60), options=options).read_bytes()
    clip, out = tmp_path / "walk.mkv", tmp_path / "restored"
    words = ["restore", clip, "--out", out, "--model", "small-x4"]
    line = f"hime: {clip}: {out / 'walk.incomplete.mkv'} is there, which lacks what does not decode\n"
    clip.write_bytes(whole[: len(whole) * 8 // 10])
    assert run(*words) == 1
    assert line not in capsys.readouterr().err
    assert run(*words) == 0
    assert line in capsys.readouterr().err
    clip.write_bytes(whole)
    for more in (["--overwrite"], []):
        assert run(*words, *more) == 0
        assert line not in capsys.readouterr().err
    assert files_below(out) == ["walk.incomplete.mkv", "walk.mkv"]


def test_who_is_asked_for_needs_photos(walking: Path, tmp_path: Path, capsys: Capture) -> None:
    command = ["restore", walking, "--out", tmp_path / "out.mp4", "--model", "small-x4"]
    told = refused(capsys, *command, "--person", "person 1")
    assert told == "hime: there are no photos of person 1; give them with --refs"


def test_the_same_command_goes_on_where_it_was_interrupted(
    walking: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The files are walk.mp4, then its page."""
    out = tmp_path / "restored"
    words = ["restore", walking, "--out", out, "--model", "small-x4", "--report"]
    with interrupted_at(out, 0, after=True):
        assert run(*words) == 130
    assert (out / "walk.mp4").exists()
    assert not (out / "walk.mp4.html").exists()
    capsys.readouterr()
    assert run(*words) == 0
    assert capsys.readouterr().out == f"{out / 'walk.mp4'} (person 1 1)\n"
    assert files_below(out) == ["walk.mp4", "walk.mp4.html"]


def test_a_folder_of_videos_and_photographs(
    walking: Path, photos: Path, tmp_path: Path, demo_people: Path, capsys: Capture
) -> None:
    """The video has no ending that tells; a still GIF is a photograph, and one file is none of both."""
    album = tmp_path / "album"
    album.mkdir()
    shutil.copy(walking, album / "walk.mp4")
    write_image(album / "ada.png", read_image(demo_people / "ada" / "0.webp")[::4, ::4])
    (album / "broken.mov").write_bytes(b"no video at all")
    (album / "notes.txt").write_text("passed over")
    out = tmp_path / "restored"
    words = ["restore", album, "--refs", photos, "--out", out, "--model", "small-x4", "--enlarge", "1"]
    assert run(*words) == 1
    told = capsys.readouterr()
    assert files_below(out) == ["ada.png", "walk.mp4"]
    first, second = told.out.splitlines()
    assert first == f"{out / 'ada.png'} (photos 1); 1 passed over"
    assert second == f"{out / 'walk.mp4'} (photos 1)"
    lines = [
        line
        for line in told.err.splitlines()
        if "is not used" not in line and "%|" not in line  # the progress of slow machines
    ]
    assert lines[0].startswith(f"hime: {album / 'notes.txt'}: passed over: ")
    assert lines[1].startswith(f"hime: {album / 'broken.mov'}: not a video that can be read")
    assert lines[2:] == ["hime: 1 failed, 1 restored"]


@pytest.fixture
def album(walking: Path, demo_people: Path, tmp_path: Path) -> Path:
    """A folder of the clip and of a small photograph of Ada."""
    folder = tmp_path / "album"
    folder.mkdir()
    shutil.copy(walking, folder)
    write_image(folder / "ada.png", read_image(demo_people / "ada" / "0.webp")[::4, ::4])
    return folder


def test_what_keeps_the_videos_from_beginning_is_known_before_the_photographs(
    album: Path, photos: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, person = tmp_path / "out", tmp_path / "ada.person"
    assert run("person", "add", photos, "--out", person, "--model", "small-x4-real-p") == 0
    capsys.readouterr()
    line = refused(capsys, "restore", album, "--refs", person, "--out", out)
    assert f"{person}: made for small-x4-real-p" in line
    assert "has no dial" in refused(
        capsys, "restore", album, "--refs", photos, "--out", out, "--fidelity", 0.0
    )
    assert not out.exists()


def test_what_stops_the_videos_loses_nothing_of_the_photographs(
    album: Path, photos: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise HimeError("walk.mp4: cannot be; leave it out")

    monkeypatch.setattr("hime.restoring.video.batch.restore_clips", stopped)
    out = tmp_path / "out"
    words = ["restore", album, "--refs", photos, "--out", out, "--model", "small-x4"]
    assert run(*words, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["written"], told["failed"]) == (
        [str(out / "ada.png")],
        ["walk.mp4: cannot be; leave it out"],
    )
    assert [face["person"] for face in told["faces"]] == ["photos"]
    assert run(*words, "--overwrite") == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"{out / 'ada.png'} (photos 1)\n")
    assert "hime: walk.mp4: cannot be; leave it out\n" in said.err


def test_a_dry_run_of_a_video(walking: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "restored" / "walk.mp4"
    words = ["restore", walking, "--out", out, "--model", "small-x4"]
    assert run(*words, "--dry-run") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{walking} → {out}"
    assert told[1].startswith("  person 1: would be restored in ")
    assert told[2] == f"nothing is written; 1 would be restored to {out} (person 1 1)"
    assert list(tmp_path.iterdir()) == []
    assert run(*words, "--dry-run", "--json") == 0
    planned = json.loads(capsys.readouterr().out)
    assert run(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {**planned, "dry_run": False}
    (face,) = planned["faces"]
    assert f"in {face['frames']} frames with {len(face['references'])} photo" in told[1]


def test_content_counts_not_the_name(walking: Path, tmp_path: Path, capsys: Capture) -> None:
    nameless = shutil.copy(walking, tmp_path / "clip")
    assert run("restore", nameless, "--out", tmp_path / "out", "--model", "small-x4") == 0
    assert files_below(tmp_path / "out") == ["clip.mp4"]
    capsys.readouterr()
    gif = write_clip(
        tmp_path / "moving.gif", scene([Actor("ada", leaving(3, 8, 150, 32))], 12), "gif", "rgb8"
    )
    assert run("restore", gif, "--out", tmp_path / "out", "--model", "small-x4") == 0
    assert files_below(tmp_path / "out") == ["clip.mp4", "moving.mp4"]


@pytest.mark.parametrize(
    "words", [["--face", "1"], ["--crop"], ["--enlarge", "8"], ["--strength", "0.5"], ["--even-sharp"]]
)
def test_what_is_not_for_videos(words: list[str], walking: Path, tmp_path: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("restore", walking, "--out", tmp_path / "out", *words)
    assert stopped.value.code == 2
    assert "video" in capsys.readouterr().err


def test_refusals(walking: Path, tmp_path: Path, capsys: Capture) -> None:
    own = shutil.copy(walking, tmp_path / "walk.mp4")
    assert "would overwrite what is read from there" in refused(capsys, "restore", own, "--out", tmp_path)
    other = shutil.copy(walking, tmp_path / "other.mp4")
    words = ["restore", own, other, "--out"]
    assert "is one file for 2 inputs" in refused(capsys, *words, tmp_path / "one.mp4")
    for ending in (".avi", ".jpg"):
        line = refused(capsys, "restore", own, "--out", tmp_path / f"one{ending}")
        assert f"cannot write {ending}; use one of" in line
    (tmp_path / "sub").mkdir()
    same = shutil.copy(walking, tmp_path / "sub" / "walk.mp4")
    both = ["restore", own, same, "--out", tmp_path / "out", "--model", "small-x4"]
    assert run(*both) == 0
    assert files_below(tmp_path / "out") == sorted(["sub/walk.mp4", f"{tmp_path.name}/walk.mp4"])
    assert run("restore", tmp_path / "missing.mp4", "--out", tmp_path / "out") == 1
    assert "missing.mp4: no such file; check the path" in capsys.readouterr().err


def test_nobody_known_is_told(tmp_path: Path, photos: Path, capsys: Capture) -> None:
    clip = write_clip(tmp_path / "dan.mp4", scene([Actor("dan", still(160, 120, 48))], 6))
    words = ["restore", clip, "--refs", photos, "--out", tmp_path / "out"]
    assert run(*words, "--person", "photos") == 1
    assert run(*words) == 0
    assert "person 1: not one of the people given" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or files_below(tmp_path / "out") == []
