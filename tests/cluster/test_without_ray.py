"""Without the extra ``cluster``, and with arguments that do not go together: one line says so."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hime.cli.models import portable
from hime.errors import HimeError, how_to_install
from integration.command_line import Capture, hime_command, run

if TYPE_CHECKING:
    from hime.cluster.job import JobSummary

ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ray", "pyarrow", "fsspec"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    command = ["restore", tmp_path, "--everyone", "--out", tmp_path / "out", "--engine", "ray"]
    ran = hime_command(*command, program=ABSENT)
    assert ran.returncode == 1
    assert ran.stderr == f"hime: fsspec is not installed: {how_to_install('cluster')}\n"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--out", "out", "--concurrency", "2"], "--concurrency is for --engine ray"),
        (["--out", "out", "--address", "head:6379"], "--address is for --engine ray"),
        (["--out", "s3://bucket/out"], "s3://bucket/out is a URL, which is for --engine ray"),
        (["s3://bucket/in", "--out", "out"], "s3://bucket/in is a URL, which is for --engine ray"),
        (["--out", "out", "--engine", "ray", "--dry-run"], "--dry-run is not for --engine ray"),
    ],
)
def test_what_does_not_go_together(more: list[str], told: str, tmp_path: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("restore", tmp_path, *more, "--everyone")
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


def test_workers_open_the_model_that_the_command_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A packaged model goes before a folder of its name; what lies on the disk is called from the root on."""
    monkeypatch.chdir(tmp_path)
    for folder in ("small-x4", "own", "runs/own-x4", "runs/empty"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "runs" / "own-x4" / "last.safetensors").write_bytes(b"")
    for name in ("small-x4", "small-x4@3", "hf:owner/name@main", "empty", "none"):
        assert portable(name) == name
    for name in ("./small-x4", "own", "own@3", "./own@1"):
        assert portable(name) == str(tmp_path / name)
    assert [portable(name) for name in ("own-x4", "own-x4@2")] == [
        f"{tmp_path}/runs/own-x4",
        f"{tmp_path}/runs/own-x4@2",
    ]


def test_one_file_is_no_place_for_a_job(tmp_path: Path, demo_people: Path, capsys: Capture) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra cluster)")
    photo, clip = demo_people / "ada" / "0.webp", tmp_path / "clip.mp4"
    clip.write_bytes(b"\0\0\0\x18ftypisom")
    for given in ([photo, "--everyone"], [clip], [photo, "--aligned"]):
        for out in (tmp_path / "out.png", tmp_path / "out.mp4", "memory://archive/out.jpg"):
            assert run("restore", *given, "--out", out, "--engine", "ray") == 1
            assert f"{out}: is one file; with --engine ray --out is a folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert run("restore", photo, "--everyone", "--out", "no-such://x/out", "--engine", "ray") == 1
    assert "no-such" in capsys.readouterr().err


def test_what_stops_the_videos_loses_nothing_of_the_photographs(
    tmp_path: Path, demo_people: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = pytest.importorskip("hime.cluster.job", reason="Ray is not installed (extra cluster)")
    began = []

    def photos(*given: Any, **_: object) -> None:
        began.append("photographs")
        summary: JobSummary = next(each for each in given if isinstance(each, job.JobSummary))
        summary.restored += 1

    def clips(*_: object, **__: object) -> None:
        raise HimeError("b.mp4: cannot be; leave it out")

    monkeypatch.setattr(job, "restore_photos", photos)
    monkeypatch.setattr(job, "restore_clips", clips)
    album, out = tmp_path / "album", tmp_path / "out"
    album.mkdir()
    shutil.copy(demo_people / "ada" / "0.webp", album)
    (album / "b.mp4").write_bytes(b"no video")
    command = ["restore", album, "--everyone", "--out", out, "--engine", "ray"]
    assert run(*command, "--fidelity", "0") == 1  # before the first picture
    assert "small-x4-video has no dial" in capsys.readouterr().err
    assert not began
    assert run(*command, "--model", "small-x4") == 1
    told = capsys.readouterr()
    assert told.out == f"1 restored to {out}\n"
    assert "hime: b.mp4: cannot be; leave it out\n" in told.err
