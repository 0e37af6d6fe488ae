"""A batch by ``hime restore --aligned``: one bad thing ends nothing, done means the same, nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from command_line import Capture, files_below, hime_command, interrupted_at, refused, run

from hime.errors import HimeError
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image
from hime.restoring import headshots as headshots_module
from hime.restoring.exported import OnnxBackend
from hime.restoring.records import FILE
from hime.restoring.restorer import Restoration, Restorer


@pytest.fixture
def restores(headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path) -> list[object]:
    """The command that restores ``headshots`` to ``tmp_path/out``."""
    out = tmp_path / "out"
    return ["restore", "--aligned", headshots, "--refs", photos, "--out", out, "--model", tiny_model]


def at_the_first_restoration(monkeypatch: pytest.MonkeyPatch, what: object) -> None:
    """Let something happen as the first headshot is restored: called, or raised whenever it is restored."""
    first: list[np.ndarray] = []
    restore = Restorer.restore_together

    def restored(self: Restorer, headshots: Sequence[np.ndarray], references: Any) -> list[Restoration]:
        if not first:
            first.append(headshots[0])
            if callable(what):
                what()
        if isinstance(what, BaseException) and any(np.array_equal(each, first[0]) for each in headshots):
            raise what
        return restore(self, headshots, references)

    monkeypatch.setattr(Restorer, "restore_together", restored)


def as_another_run_looks(command: Sequence[object], marker: Path) -> subprocess.Popen[str]:
    """Begin the command in a process of its own, and wait until it has begun to look at its inputs."""
    program = f"""
import sys
from pathlib import Path
import hime.restoring.batch as batch
from hime.cli import main
digest = batch.digest
def looked(path):
    Path({str(marker)!r}).touch()
    return digest(path)
batch.digest = looked
sys.exit(main(sys.argv[1:]))
"""
    started = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, command)], stdout=subprocess.PIPE, text=True
    )
    while not marker.exists():
        assert started.poll() is None
        time.sleep(0.01)
    return started


# ------------------------------------------------------------------------- one bad thing ends no batch


def test_references_are_read_once(
    restores: list[object], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*restores) == 0
    out = (tmp_path / "out").rename(tmp_path / "before")
    at_the_first_restoration(monkeypatch, lambda: shutil.rmtree(photos))
    assert run(*restores) == 0
    for name in ("ada0.png", "ada1.png"):
        np.testing.assert_array_equal(read_image(tmp_path / "out" / name), read_image(out / name))


def test_an_input_that_goes_is_its_own_line(
    restores: list[object],
    headshots: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_the_first_restoration(monkeypatch, (headshots / "ada1.png").unlink)
    assert run(*restores) == 1
    assert files_below(tmp_path / "out") == ["ada0.png"]
    assert capsys.readouterr().err.splitlines() == [
        f"hime: {headshots / 'ada1.png'}: no such file; check the path",
        "hime: 1 failed, 1 restored",
    ]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RuntimeError("the library\nhas gone mad"),
            "failed (RuntimeError: the library); leave it out, or see --debug",
        ),
        (AssertionError(), "failed (AssertionError); leave it out, or see --debug"),
        (MemoryError(), "needs more memory than there is"),
        (OSError(116, "Stale file handle"), "Stale file handle; check the file and its disk"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_goes_wrong_is_one_line(
    error: BaseException,
    line: str,
    restores: list[object],
    headshots: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_the_first_restoration(monkeypatch, error)
    assert run(*restores) == 1
    assert files_below(tmp_path / "out") == ["ada1.png"]
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"hime: {headshots / 'ada0.png'}: {line}")
    assert last == "hime: 1 failed, 1 restored"


def test_the_traceback_goes_to_debug(
    restores: list[object], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_first_restoration(monkeypatch, RuntimeError("mad"))
    assert run(*restores, "--debug") == 1
    told = capsys.readouterr().err
    assert "Traceback (most recent call last)" in told
    assert "RuntimeError: mad" in told
    assert told.splitlines()[-1] == "hime: 1 failed, 1 restored"


# ------------------------------------------------------------------------------------- several in one call


def test_headshots_of_one_size_are_restored_in_one_call(
    headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To what each is alone, among those of another size, one that cannot be read, one that is a reference
    too, and one that is done.
    """
    rng = np.random.default_rng(0)
    for name, size in (("ada2", 24), ("bea0", 16), ("bea1", 16), ("cid0", 24), ("dot0", 16), ("eli0", 16)):
        write_image(headshots / f"{name}.png", rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
    (headshots / "bea2.png").write_bytes(b"no picture")
    shutil.copy(headshots / "dot0.png", photos)
    base = ("restore", "--aligned", "--refs", photos, "--model", tiny_model, "--out")
    names = ["ada0", "ada1", "ada2", "bea0", "bea1", "cid0", "dot0", "eli0"]
    for name in names:
        assert run(*base, tmp_path / "alone" / f"{name}.png", headshots / f"{name}.png") == 0
    out = tmp_path / "out"
    assert run(*base, out, headshots / "bea0.png", headshots / "ada0.png") == 0
    (out / "ada0.png").unlink()

    sizes: list[int] = []
    restore = OnnxBackend.restore

    def counted(self: OnnxBackend, lr: np.ndarray, features: np.ndarray) -> Any:
        sizes.append(len(lr))
        return restore(self, lr, features)

    monkeypatch.setattr(OnnxBackend, "restore", counted)
    assert run(*base, out, headshots) == 1  # one cannot be read
    assert sizes == [4, 2, 1]  # ada0, ada1, bea1, eli0; ada2, cid0; dot0, which is no reference for itself
    for name in names:
        np.testing.assert_array_equal(
            read_image(out / f"{name}.png"), read_image(tmp_path / "alone" / f"{name}.png")
        )


def test_headshots_of_many_sizes_are_read_ahead_once(
    headshots: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in range(17, 25):
        write_image(headshots / f"bea{side}.png", np.full((side, side, 3), side, np.uint8))
    read: list[Path] = []

    def counted(path: Path) -> np.ndarray:
        read.append(path)
        return read_image(path)

    monkeypatch.setattr(headshots_module, "read_image", counted)
    assert run("restore", "--aligned", headshots, "--out", tmp_path / "out", "--model", tiny_model) == 0
    assert max(map(read.count, read)) == 2  # once more in its turn


def test_what_fails_with_others_fails_alone(
    restores: list[object],
    headshots: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last of three."""
    write_image(headshots / "bea0.png", np.zeros((16, 16, 3), np.uint8))
    restore = OnnxBackend.restore

    def fails(self: OnnxBackend, lr: np.ndarray, features: np.ndarray) -> Any:
        if not lr[-1].any():
            raise HimeError("no numbers")
        return restore(self, lr, features)

    monkeypatch.setattr(OnnxBackend, "restore", fails)
    assert run(*restores) == 1
    assert files_below(tmp_path / "out") == ["ada0.png", "ada1.png"]
    assert capsys.readouterr().err.splitlines()[0] == f"hime: {headshots / 'bea0.png'}: no numbers"


# ------------------------------------------------------------------------------ done means the same


def told_of(capsys: Capture, *command: object) -> str:
    assert run(*command) == 0
    return capsys.readouterr().out


def test_only_the_same_is_skipped(
    restores: list[object],
    headshots: Path,
    photos: Path,
    tiny_dial: Path,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    assert "2 restored" in told_of(capsys, *restores)
    assert "0 restored to" in (told := told_of(capsys, *restores))
    assert "2 there already" in told
    before = read_image(tmp_path / "out" / "ada0.png")
    (photos / "4.webp").unlink()
    assert "2 restored" in told_of(capsys, *restores), "other photos"
    assert not np.array_equal(read_image(tmp_path / "out" / "ada0.png"), before)
    assert "2 restored" in told_of(capsys, *restores, "--model", tiny_dial), "another model"
    assert "2 restored" in told_of(capsys, *restores, "--model", tiny_dial, "--fidelity", 0.5)
    assert "2 there already" in told_of(capsys, *restores, "--model", tiny_dial, "--fidelity", 0.5)
    assert "2 restored" in told_of(capsys, *restores, "--model", tiny_dial, "--fidelity", 0.5, "--report")
    assert "2 there already" in told_of(
        capsys, *restores, "--model", tiny_dial, "--fidelity", 0.5, "--report"
    )
    (tmp_path / "out" / "ada1.json").unlink()
    assert "ada1.png; 1 there already" in told_of(
        capsys, *restores, "--model", tiny_dial, "--fidelity", 0.5, "--report"
    )
    shutil.move(headshots / "ada0.png", headshots / "moved.png")
    assert "moved.png; 1 there" in told_of(
        capsys, *restores, "--model", tiny_dial, "--fidelity", 0.5, "--report"
    )


def test_a_report_is_in_nobodys_way(restores: list[object], tmp_path: Path, capsys: Capture) -> None:
    """Who asks for none is served by a result that has one, also where that was deleted since."""
    assert "2 restored" in told_of(capsys, *restores)
    assert "2 restored" in told_of(capsys, *restores, "--report")
    assert "2 there already" in told_of(capsys, *restores)
    (tmp_path / "out" / "ada1.json").unlink()
    assert "2 there already" in told_of(capsys, *restores)
    assert "ada1.png; 1 there already" in told_of(capsys, *restores, "--report")
    (tmp_path / "out" / "ada1.png").unlink()
    assert "ada1.png; 1 there already" in told_of(capsys, *restores)


def test_another_version_restores_again(
    restores: list[object], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "2 restored" in told_of(capsys, *restores)
    monkeypatch.setattr("hime.__version__", "99")
    assert "2 restored" in told_of(capsys, *restores)


def test_other_inputs_of_the_same_name_in_another_run(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    for year, name in (("1998", "ada0"), ("1999", "ada1")):
        (tmp_path / year).mkdir()
        shutil.copy(headshots / f"{name}.png", tmp_path / year / "IMG_0001.png")
        command = ("restore", "--aligned", tmp_path / year, "--out", out, "--model", tiny_model)
        assert run(*command) == 0
        told = capsys.readouterr()
        assert "there already" not in told.out
    moved = f"is {out / '1999' / 'IMG_0001.png'}, since another picture's result has its name"
    assert told.err == f"hime: {tmp_path / '1999' / 'IMG_0001.png'}: {moved}\n"
    assert files_below(out) == ["1999/IMG_0001.png", "IMG_0001.png"]
    for year in ("1998", "1999"):
        assert "1 there already" in told_of(
            capsys, "restore", "--aligned", tmp_path / year, "--out", out, "--model", tiny_model
        )
    third = tmp_path / "2000" / "1999" / "IMG_0001.png"
    write_image(third, read_image(headshots / "ada0.png")[::-1].copy())
    assert run("restore", "--aligned", third, "--out", out, "--model", tiny_model) == 0
    assert files_below(out) == ["1999/IMG_0001.png", "IMG_0001-2.png", "IMG_0001.png"]


def test_what_another_run_has_noted_meanwhile_is_known(
    restores: list[object], headshots: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, out = tmp_path / "other" / "ada1.png", tmp_path / "out"
    write_image(other, read_image(headshots / "ada1.png")[::-1])
    command = [other if each == headshots else each for each in restores]
    at_the_first_restoration(monkeypatch, lambda: run(*command))
    assert run(*restores) == 0
    assert files_below(out) == ["ada0.png", "ada1.png", "headshots/ada1.png"]
    capsys.readouterr()
    for again in (command, restores):
        assert run(*again) == 0
        assert capsys.readouterr().out.startswith(f"0 restored to {out}; ")


@pytest.mark.parametrize("same", [True, False], ids=["of the same", "of others of the same name"])
def test_two_runs_at_once(
    restores: list[object], same: bool, headshots: Path, tmp_path: Path, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each waits for what the other one is making, and nothing is lost or made twice."""
    pytest.importorskip("fcntl", reason="the system has no such locks")
    other, out, started = tmp_path / "other", tmp_path / "out", []
    write_image(other / "ada0.png", read_image(headshots / "ada0.png")[::-1])
    command = [other if each == headshots and not same else each for each in restores]
    at_the_first_restoration(
        monkeypatch, lambda: started.append(as_another_run_looks(command, tmp_path / "marker"))
    )
    assert run(*restores) == 0
    told = started[0].communicate()[0] + capsys.readouterr().out
    assert started[0].returncode == 0
    assert files_below(out) == ["ada0.png", "ada1.png", *(() if same else ("other/ada0.png",))]
    done = [int(line.split()[0]) if line[0].isdigit() else 1 for line in told.splitlines()]
    assert sum(done) == len(files_below(out))


def test_what_somebody_puts_there_during_the_work_is_not_replaced(
    restores: list[object], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "out" / "ada0.png"
    at_the_first_restoration(monkeypatch, lambda: mine.write_bytes(b"mine"))
    assert run(*restores) == 1
    assert f"{mine}: was written by somebody else meanwhile; run the" in capsys.readouterr().err
    assert mine.read_bytes() == b"mine"
    assert files_below(tmp_path / "out") == ["ada0.png", "ada1.png"]


def test_inputs_of_one_run_never_share_a_name(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    image = PIL.Image.fromarray(read_image(headshots / "ada0.png"))
    for folder in ("1998", "1999"):
        (tmp_path / folder / "may").mkdir(parents=True)
        image.save(tmp_path / folder / "may" / "a.png")
    image.save(tmp_path / "1998" / "may" / "a.bmp")
    image.save(tmp_path / "1998" / "may" / "A.png")
    base = ("restore", "--aligned", "--model", tiny_model)
    assert run(*base, tmp_path / "1998", tmp_path / "1999", "--out", tmp_path / "two") == 0
    assert files_below(tmp_path / "two") == [
        "1998/may/A.png",
        "1998/may/a-2.png",
        "1998/may/a.bmp.png",
        "1999/may/a.png",
    ]
    files = [tmp_path / year / "may" / "a.png" for year in ("1998", "1999")]
    assert run(*base, *files, "--out", tmp_path / "files") == 0
    assert files_below(tmp_path / "files") == ["1998/may/a.png", "1999/may/a.png"]
    assert run(*base, tmp_path / "1999", "--out", tmp_path / "one") == 0
    assert files_below(tmp_path / "one") == ["may/a.png"]
    assert "1 there already" in told_of(capsys, *base, tmp_path / "1999", "--out", tmp_path / "one")


def test_what_was_retouched_is_left_and_what_was_deleted_comes_back(
    restores: list[object], tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert run(*restores) == 0
    write_image(out / "ada0.png", np.zeros((9, 9, 3), np.uint8))
    (out / "ada1.png").unlink()
    capsys.readouterr()
    assert run(*restores) == 0
    assert "1 there already" in capsys.readouterr().out
    assert read_image(out / "ada0.png").shape == (9, 9, 3)
    assert (out / "ada1.png").exists()


def test_a_damaged_note_is_no_reason_to_stop(restores: list[object], tmp_path: Path, capsys: Capture) -> None:
    note = tmp_path / "out" / FILE
    assert run(*restores) == 0
    lines = [line for line in note.read_bytes().splitlines() if line]
    hostile = [b"[" * 100_000, b"{}", b"\xff\x00", b'{"place": 3}', lines[0][: len(lines[0]) // 2]]
    wrong = json.dumps({**json.loads(lines[1]), "kept": {"ada0.png": 3}}).encode()
    note.write_bytes(b"\n".join([*hostile, wrong, lines[-1], b'{"torn": ']))
    capsys.readouterr()
    assert run(*restores) == 1  # the first was forgotten
    told = capsys.readouterr()
    assert "ada0.png: is there already, not as this program wrote it" in told.err
    assert "1 there already" in told.out
    assert run(*restores, "--overwrite") == 0
    assert "2 there already" in told_of(capsys, *restores)
    assert str(tmp_path) not in note.read_text(encoding="utf-8", errors="replace")


def test_a_note_of_a_version_that_kept_nothing_is_read(
    restores: list[object], tmp_path: Path, capsys: Capture
) -> None:
    note = tmp_path / "out" / FILE
    assert run(*restores) == 0
    found = [json.loads(line) for line in note.read_text().splitlines() if line]
    note.write_text("\n".join(json.dumps({**each, "kept": None}) for each in found if each["made"]))
    assert run(*restores) == 1
    for each in found:
        del each["kept"]
    note.write_text("\n".join(json.dumps(each) for each in found if each["made"]))
    capsys.readouterr()
    assert "2 there already" in told_of(capsys, *restores)


# ------------------------------------------------------------------------- whatever ends it, it goes on


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "over earlier results"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [0, 1])
def test_the_same_command_goes_on_where_it_was_interrupted(
    number: int, after: bool, is_there: bool, restores: list[object], tmp_path: Path, capsys: Capture
) -> None:
    """The files are ada0.png, ada0.json, ada1.png, ada1.json."""
    out = tmp_path / "out"
    if is_there:
        assert run(*restores, "--report", "--strength", 0.5) == 0
    with interrupted_at(out, number, after=after):
        assert run(*restores, "--report") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "hime: stopped; the same command goes on"
    assert run(*restores, "--report") == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"2 restored to {out}")
    assert told.err == ""
    assert files_below(out) == ["ada0.json", "ada0.png", "ada1.json", "ada1.png"]
    assert json.loads((out / "ada0.json").read_text())["strength"] == 1
    assert "2 there already" in told_of(capsys, *restores, "--report")


def test_the_same_command_goes_on_after_a_kill(
    restores: list[object], tmp_path: Path, capsys: Capture
) -> None:
    program = """
import os, signal
from pathlib import Path
replace = Path.replace
def killed(self, target):
    replace(self, target)
    if target.name == "ada1.png":
        os.kill(os.getpid(), signal.SIGKILL)
Path.replace = killed
"""
    killed = hime_command(*restores, program=program)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    lock, *results = files_below(tmp_path / "out")
    assert lock.endswith(".lock")  # which keeps nobody waiting
    assert results == ["ada0.png", "ada1.png"]
    assert "ada1.png; 1 there already" in told_of(capsys, *restores)
    assert files_below(tmp_path / "out") == results


def test_what_somebody_puts_there_after_an_interruption_is_not_replaced(
    restores: list[object], tmp_path: Path, capsys: Capture
) -> None:
    for after, name in ((False, "ada0.png"), (True, "ada1.png")):
        with interrupted_at(tmp_path / "out", 0, after=after):
            assert run(*restores) == 130
        (tmp_path / "out" / name).write_bytes(b"somebody's")
        capsys.readouterr()
        assert run(*restores) == 1
        assert f"{name}: is there already, not as this program wrote it" in capsys.readouterr().err
        assert (tmp_path / "out" / name).read_bytes() == b"somebody's"
        shutil.rmtree(tmp_path / "out")


def test_a_result_that_was_interrupted_is_not_replaced_by_another_pictures(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    other = tmp_path / "1999" / "ada0.png"
    write_image(other, read_image(headshots / "ada1.png"))
    base = ("restore", "--aligned", "--out", out, "--model", tiny_model)
    with interrupted_at(out, 0, after=True):
        assert run(*base, headshots / "ada0.png") == 130
    before = (out / "ada0.png").read_bytes()
    assert run(*base, other) == 0
    assert f"is {out / '1999' / 'ada0.png'}, since another picture's" in capsys.readouterr().err
    assert (out / "ada0.png").read_bytes() == before


def test_nothing_is_written_that_could_not_be_noted_on_a_full_disk(
    restores: list[object], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(folder: Path, *_: object, **__: object) -> None:
        raise HimeError(f"{folder / FILE}: cannot be written") from OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr("hime.restoring.records.append", cannot)
        number = errno.ENOSPC
        assert run(*restores) == 1
        assert files_below(tmp_path / "out") == []
        assert capsys.readouterr().err.splitlines()[-1] == "hime: 2 failed, 0 restored"
        number = errno.EACCES
        assert run(*restores) == 0
        assert capsys.readouterr().err == f"hime: {tmp_path / 'out' / FILE}: cannot be written\n"
        assert files_below(tmp_path / "out") == ["ada0.png", "ada1.png"]


# ------------------------------------------------------------------------------------ nothing to restore


@pytest.fixture
def sharp(tmp_path: Path, demo_people: Path) -> list[Path]:
    """Two headshots in which there is nothing to restore but with ``--even-sharp``, of one name."""
    found = [tmp_path / folder / "DSC0001.png" for folder in ("album1", "album2")]
    for path, name in zip(found, ("ada", "ben"), strict=True):
        write_image(path, read_image(demo_people / name / "0.webp"))
    return found


def test_a_result_stays_its_pictures_when_a_later_run_finds_nothing(
    sharp: list[Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    first, second = sharp
    out = tmp_path / "out"
    base = ("restore", "--aligned", "--out", out, "--model", tiny_model)
    assert run(*base, first, "--even-sharp", "--report") == 0
    before = {name: (out / name).read_bytes() for name in ("DSC0001.png", "DSC0001.json")}
    for _ in range(2):
        assert "; nothing to restore in 1\n" in told_of(capsys, *base, first)
    (out / "DSC0001.json").unlink()  # what is left is still the first one's
    assert run(*base, second, "--even-sharp") == 0
    told = capsys.readouterr().err
    assert (
        told == f"hime: {second}: is {out / 'album2' / 'DSC0001.png'}, since another picture's result has "
        "its name\n"
    )
    assert (out / "DSC0001.png").read_bytes() == before["DSC0001.png"]
    assert run(*base, first, "--even-sharp", "--report") == 0
    assert (out / "DSC0001.png").read_bytes() == before["DSC0001.png"]
    assert files_below(out) == ["DSC0001.json", "DSC0001.png", "album2/DSC0001.png"]


def test_one_result_stays_its_pictures_when_nothing_takes_its_place(
    sharp: list[Path], tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    first, second = sharp
    base = ("restore", "--aligned", "--out", tmp_path / "result.png", "--model", tiny_model)
    assert run(*base, first, "--even-sharp") == 0
    assert run(*base, second, "--overwrite") == 0  # and nothing was written
    capsys.readouterr()
    assert run(*base, second, "--even-sharp") == 1
    assert "result.png: is there already, made of another picture" in capsys.readouterr().err
    assert "1 there already" in told_of(capsys, *base, first, "--even-sharp")


def test_nothing_to_restore_is_told_again_without_the_work(
    sharp: list[Path],
    tiny_model: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = ("restore", "--aligned", sharp[0], "--out", tmp_path / "out", "--model", tiny_model)
    assert run(*base) == 0
    assert "is sharp for its size" in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr("hime.restoring.headshots.read_image", lambda path: pytest.fail(f"{path} was read"))
        assert run(*base) == 0
        told = capsys.readouterr()
        assert told.out == f"0 restored to {tmp_path / 'out'}; nothing to restore in 1\n"
        assert told.err == f"hime: {sharp[0]}: nothing to restore, as found before; --overwrite looks again\n"
    assert run(*base, "--overwrite") == 0
    assert "is sharp for its size" in capsys.readouterr().err


# -------------------------------------------------------------------------------- nothing is lost


def test_a_report_replaces_nothing_of_others(restores: list[object], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "out").mkdir()
    notes = tmp_path / "out" / "ada0.json"
    notes.write_text("my own notes")
    assert run(*restores, "--report") == 1
    assert f"{notes}: is there already, not as this program wrote it" in capsys.readouterr().err
    assert notes.read_text() == "my own notes"
    assert files_below(tmp_path / "out") == ["ada0.json", "ada1.json", "ada1.png"]
    assert run(*restores, "--report", "--overwrite") == 0
    assert json.loads(notes.read_text())["model"] == "tiny-x4"


def test_a_report_goes_with_the_result_that_it_is_about(
    restores: list[object], tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert run(*restores, "--report") == 0
    (out / "ada1.json").write_text("edited")
    assert run(*restores, "--strength", 0.5) == 0
    assert files_below(out) == ["ada0.png", "ada1.json", "ada1.png"]
    assert capsys.readouterr().err == ""


def test_one_result_of_another_picture_is_not_replaced(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "result.png"
    base = ("restore", "--aligned", "--out", out, "--model", tiny_model)
    assert run(*base, headshots / "ada0.png") == 0
    first = out.read_bytes()
    capsys.readouterr()
    assert run(*base, headshots / "ada1.png") == 1
    assert "result.png: is there already, made of another picture; --overwrite" in capsys.readouterr().err
    assert out.read_bytes() == first
    assert run(*base, headshots / "ada1.png", "--overwrite") == 0
    assert out.read_bytes() != first


# ------------------------------------------------------------------------- nothing passed over silently


def test_files_are_told_by_content_and_what_is_passed_over_is_named(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    image = PIL.Image.fromarray(read_image(headshots / "ada0.png"))
    folder = tmp_path / "in" / "deep" / "er"
    folder.mkdir(parents=True)
    for name, form in (("a.jfif", "JPEG"), ("b", "JPEG"), ("c.2019", "PNG"), ("d.JPE", "JPEG")):
        image.save(folder / name, form)
    (folder / "notes.txt").write_text("hello")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "loop").symlink_to("loop")
    (folder / "up").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe.png")
    out = tmp_path / "out"
    assert run("restore", "--aligned", tmp_path / "in", "--out", out, "--model", tiny_model) == 1
    names = ["a.png", "b.png", "c.2019.png", "d.png"]
    assert files_below(out) == [f"deep/er/{name}" for name in names]
    told = capsys.readouterr()
    assert told.out == f"4 restored to {out}; 2 passed over\n"
    passed_over = [line for line in told.err.splitlines() if "passed over" in line]
    assert [line.partition(": passed over: ")[0] for line in passed_over] == [
        f"hime: {folder / 'loop'}",
        f"hime: {folder / 'notes.txt'}",
    ]
    assert f"{folder / 'empty.jpg'}: " in told.err
    assert f"{folder / 'pipe.png'}: is a pipe, not a file" in told.err
    assert told.err.splitlines()[-1] == "hime: 2 failed, 4 restored"


def test_results_are_no_inputs(headshots: Path, tiny_model: Path, capsys: Capture) -> None:
    out = headshots / "restored"
    base = ("restore", "--aligned", headshots, "--out", out, "--model", tiny_model)
    assert run(*base) == 0
    capsys.readouterr()
    assert run(*base) == 0
    told = capsys.readouterr()
    assert "2 there already" in told.out
    assert f"{out}: passed over: 2 files in it, where the results go" in told.err
    assert files_below(out) == ["ada0.png", "ada1.png"]


# ------------------------------------------------------------------------- known before the work


def test_what_cannot_be_written_is_known_before_the_work(
    headshots: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_the_first_restoration(monkeypatch, AssertionError("the work was begun"))
    (tmp_path / "file").write_text("in the way")
    base = ("restore", "--aligned", headshots / "ada0.png", "--model", tiny_model, "--out")
    for out in (tmp_path / "file" / "out", tmp_path / "file" / "a.png", tmp_path / f"{'n' * 300}.png"):
        assert "cannot write there" in refused(capsys, *base, out)
    deep = tmp_path / ("d" * 300)
    assert "cannot write there" in refused(capsys, *base, deep)


def test_a_name_that_is_too_long_is_its_own_line(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    for name in ("n" * 253, "m" * 251):  # .png comes to it
        shutil.copy(headshots / "ada0.png", headshots / name)
    base = ("restore", "--aligned", headshots, "--out", tmp_path / "out", "--model", tiny_model)
    assert run(*base) == 1
    assert files_below(tmp_path / "out") == ["ada0.png", "ada1.png", f"{'m' * 251}.png"]
    assert "File name too long" in capsys.readouterr().err


# --------------------------------------------------------------------- terminals and streams


FORGED = "a\x1b[31m\nhime: 0 failed\u202e\x9b.png"


def test_control_characters_in_names_are_shown_not_done(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    (headshots / "ada0.png").rename(headshots / FORGED)
    (headshots / ("x\x1b]0;title\x07.png")).write_text("no picture")
    (headshots / "\r\x1b[2K.txt").write_text("no picture")
    base = ("restore", "--aligned", headshots, "--out", tmp_path / "out", "--model", tiny_model)
    assert run(*base) == 1
    with pytest.raises(SystemExit):
        run("restore", "--aligned", headshots / FORGED, "--out", "out", f"--threads={FORGED}")
    told = capsys.readouterr()
    for line in (told.out + told.err).split("\n"):
        assert line.isprintable()
    assert "hime: 0 failed" not in [line[:14] for line in told.err.splitlines()]
    assert r"x\x1b]0;title\x07.png" in told.err


def process(shell: str, command: list[object]) -> subprocess.CompletedProcess[bytes]:
    """The command as a process whose streams ``shell`` sets."""
    whole = [sys.executable, "-m", "hime", *map(str, command)]
    return subprocess.run(["sh", "-c", f'"$@" {shell}', "sh", *whole], capture_output=True, check=False)


@pytest.mark.parametrize(
    "streams", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"]
)
def test_the_work_is_done_whatever_the_streams_are(
    streams: str, restores: list[object], headshots: Path, tmp_path: Path
) -> None:
    if "full" in streams and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (headshots / "bad.png").write_text("no picture")
    done = process(streams, [*restores, "--report"])
    assert done.returncode == 1, done
    assert files_below(tmp_path / "out") == ["ada0.json", "ada0.png", "ada1.json", "ada1.png"]
    for name in ("ada0.png", "ada1.png"):
        read_image(tmp_path / "out" / name)
    assert b"Traceback" not in done.stderr + done.stdout
    if "2>" not in streams:
        assert done.stderr.splitlines()[-1] == b"hime: 1 failed, 2 restored"


def test_an_answer_that_cannot_be_written_is_told(tiny_model: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = process(">/dev/full", ["info", tiny_model])
    assert done.returncode == 1
    assert done.stderr == (
        b"hime: standard output: cannot write there (No space left on device); choose another place\n"
    )


def test_without_any_stream(restores: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert run(*restores) == 0
    assert files_below(tmp_path / "out") == ["ada0.png", "ada1.png"]


# ---------------------------------------------------------------------------------------- large references


def test_large_references_are_kept_once_and_reduced(
    headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    big.mkdir()
    for photo in photos.iterdir():
        image = PIL.Image.fromarray(read_image(photo))
        image.resize((2400, 2400), PIL.Image.Resampling.BICUBIC).save(
            big / f"{photo.stem}.png", compress_level=1
        )
    command = ["restore", "--aligned", headshots, "--refs", big, "--model", tiny_model]
    assert run(*command, "--out", tmp_path / "whole", "--max-lr-side", 600) == 0
    tracemalloc.start()
    try:
        assert run(*command, "--out", tmp_path / "reduced", "--max-lr-side", 64) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2400 * 2400 * 3, "one is read at a time, and none is kept as it is"
    for name in ("ada0.png", "ada1.png"):
        whole, reduced = (read_image(tmp_path / out / name).astype(int) for out in ("whole", "reduced"))
        assert np.abs(whole - reduced).max() <= 4
