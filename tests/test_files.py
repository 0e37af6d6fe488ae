"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hime.errors import HimeError
from hime.files import write_atomically


def test_writes_replaces_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "result.json"
    assert write_atomically(path, lambda temporary: temporary.write_text("first")) == path
    write_atomically(path, lambda temporary: temporary.write_text("second"))
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_temporary_file_keeps_the_suffix_and_lies_beside(tmp_path: Path) -> None:
    seen = []

    def write(temporary: Path) -> None:
        seen.append(temporary)
        temporary.write_bytes(b"")

    write_atomically(tmp_path / "sheet.png", write)
    assert seen[0].suffix == ".png"
    assert seen[0].parent == tmp_path


def test_an_ordinary_file_has_ordinary_permissions(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    written = write_atomically(tmp_path / "written", lambda temporary: temporary.write_text(""))
    assert written.stat().st_mode == ordinary.stat().st_mode


def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_while_writing_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")
    program = (
        "import os, signal, sys\n"
        "from hime.files import write_atomically\n"
        "def write(temporary):\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(sys.argv[1], write)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HimeError, match="cannot write there") as raised:
        write_atomically(tmp_path / "file" / "result", lambda temporary: temporary.write_text(""))
    assert str(tmp_path / "file" / "result") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_result_that_cannot_be_put_in_place_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(HimeError, match=r"folder: cannot write there .*directory"):
        write_atomically(tmp_path / "folder", lambda temporary: temporary.write_text("whole"))

    def fill_the_disk(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(HimeError, match=r"result: cannot write there \(No space left"):
        write_atomically(tmp_path / "result", fill_the_disk)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
