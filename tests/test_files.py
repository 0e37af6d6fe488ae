"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hime.errors import HimeError
from hime.files import LOCK, check_writable, held, open_file, taking_turns, temporary_folder, write_atomically


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


def test_no_room_for_temporary_files_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told = r"^temporary files: .* \(no room\); make room .* TMPDIR"
    with pytest.raises(HimeError, match=told), temporary_folder():
        raise OSError(errno.ENOSPC, "no room")
    assert list(tmp_path.iterdir()) == []


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


LONGEST = 255
"""Bytes that a file's name may have on the file systems in use."""


@pytest.mark.parametrize(
    "name", ["a" * (LONGEST - 4) + ".png", "é" * 125 + ".json", "x." + "y" * 253, "b" * 255]
)
def test_the_longest_names_work(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert len(os.fsencode(name)) in (LONGEST, 255)
    check_writable(path)
    assert write_atomically(path, lambda temporary: temporary.write_text("whole")).read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "private"
    write_atomically(path, lambda temporary: temporary.write_text("first"), mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    write_atomically(path, lambda temporary: temporary.write_text("second"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == "second"


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    for path in (
        tmp_path / ("x" * 256),
        tmp_path / "missing" / ("x" * 256),
        tmp_path / ("x" * 256) / "result.png",
        tmp_path / "file" / "result.png",
        tmp_path / "file" / "missing" / "result.png",
        tmp_path / "folder",
    ):
        with pytest.raises(HimeError, match=r"cannot write there \(.*\); choose") as raised:
            check_writable(path)
        assert str(path) in str(raised.value)
    with pytest.raises(HimeError, match="no name of a file"):
        check_writable(tmp_path / "a\0b")
    check_writable(tmp_path / "missing" / "further" / "result.png")
    check_writable(tmp_path / "file")
    assert sorted(tmp_path.iterdir()) == before, "nothing is made, nothing is left"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere"
)
def test_a_folder_that_may_not_be_written_to_is_known_before(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(HimeError, match="cannot write there"):
        check_writable(tmp_path / "result.png")


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_bytes(b"content")
    with open_file(path) as file:
        assert file.read() == b"content"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    told = {
        tmp_path / "pipe": "is a pipe",
        Path("/dev/null"): "is a device",
        tmp_path / "loop": "leads back to itself",
        tmp_path / "nowhere": "no such file",
        tmp_path: "is a folder",
        path / "below": "no such file",
        tmp_path / ("x" * 300): "cannot be read",
        Path("a\0b"): "no name of a file",
    }
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(tmp_path)  # the names of sockets are short
        listening.bind("socket")
        told[tmp_path / "socket"] = "is a socket"
        for special, reason in told.items():
            with pytest.raises(HimeError, match=reason) as raised:
                open_file(special)
            assert ";" in str(raised.value)
            assert "\n" not in str(raised.value)


@pytest.fixture(autouse=True)
def _stay() -> Iterator[None]:
    here = Path.cwd()
    yield
    os.chdir(here)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_temporary_files_go_when_the_program_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    program = (
        "import os, signal, sys\n"
        "from hime.files import ended_by_signals, write_atomically\n"
        "signal.signal(int(sys.argv[2]), signal.SIG_DFL)\n"  # which nohup leaves ignored
        "def write(temporary):\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), int(sys.argv[2]))\n"
        "with ended_by_signals():\n"
        "    write_atomically(sys.argv[1], write)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "result"), str(int(number))]
    assert subprocess.run(command, check=False).returncode == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_is_ended_leaves_no_temporary_file(tmp_path: Path) -> None:
    program = (
        "import argparse, os, signal, sys\n"
        "from hime.cli import entry\n"
        "from hime.files import write_atomically\n"
        "def command(options):\n"
        "    write_atomically(sys.argv[1], lambda temporary: os.kill(os.getpid(), signal.SIGTERM))\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.set_defaults(command=command)\n"
        "entry.build_parser = lambda: parser\n"
        "entry.main([])\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "result")]
    assert subprocess.run(command, check=False).returncode == 143
    assert list(tmp_path.iterdir()) == []


def test_many_threads_write_and_leave_the_umask_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0)
    os.umask(before)

    def write(number: int) -> None:
        for _ in range(20):
            write_atomically(tmp_path / str(number), lambda temporary: temporary.write_text(str(number)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = os.umask(before)
    assert after == before
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == sorted(map(str, range(8)))


@pytest.mark.parametrize("lasting", [True, False])
def test_the_disk_is_waited_for_where_it_shall_last(
    lasting: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    write_atomically(tmp_path / "file", lambda path: path.write_bytes(b"content"), lasting=lasting)
    assert (tmp_path / "file").read_bytes() == b"content"
    assert bool(waited) == lasting


def test_who_comes_second_waits_and_nothing_is_left(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="the system has no such locks")
    lock, inside, most = tmp_path / ".lock", 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(30):
            with taking_turns(lock, int):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    for folder in ("mine", "new/folder"):
        with pytest.raises(ValueError, match="failed"), taking_turns(tmp_path / folder / ".lock", int):
            raise ValueError("failed")
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_who_waits_for_a_turn_is_told(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="the system has no such locks")
    lock, told = tmp_path / ".lock", threading.Event()

    def work() -> None:
        with taking_turns(lock, told.set):
            pass

    with taking_turns(lock, lambda: pytest.fail("nobody is before it")):
        second = threading.Thread(target=work)
        second.start()
        assert told.wait(60)
    second.join()


def test_a_lock_empties_nothing_and_another_users_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fcntl", reason="the system has no such locks")
    (tmp_path / "mine").write_text("content")
    (tmp_path / "link.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(HimeError), taking_turns(tmp_path / "link.lock", int):
        pass
    assert (tmp_path / "mine").read_text() == "content"

    (tmp_path / LOCK).touch()
    plainly = os.open

    def others(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return plainly(path, flags, mode)

    monkeypatch.setattr(os, "open", others)
    busy = pytest.raises(HimeError, match="busy")
    with taking_turns(tmp_path / LOCK, int), busy, held(tmp_path, "busy"):
        pass


def test_a_folder_is_held_by_one_at_a_time_and_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "work"
    with held(folder, "first"):
        with pytest.raises(HimeError, match="busy"), held(folder, "busy"):
            pass
        with held(tmp_path / "other", "another folder is free"):
            pass
    assert not folder.exists()
    with held(folder, "free again"):
        (folder / "work").write_text("unfinished")
    assert [path.name for path in folder.iterdir()] == ["work"]
    (folder / LOCK).touch()  # as a killed process leaves it
    with pytest.raises(ValueError, match="failed"), held(folder, "left behind"):
        raise ValueError("failed")
    assert [path.name for path in folder.iterdir()] == ["work"]


HOLDER = """
import sys
from hime.files import held
with held(sys.argv[1], "busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_holds_no_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "work")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(HimeError, match="another is there"), held(tmp_path / "work", "another is there"):
            pass
        process.kill()
    assert (tmp_path / "work" / LOCK).exists()
    with held(tmp_path / "work", "nobody is there"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_many_who_want_a_folder_one_has_it(tmp_path: Path) -> None:
    """Whoever leaves removes the lock's file and the folder, while others come."""
    inside: list[int] = []
    together: list[int] = []
    entered: list[int] = []
    refusals: set[str] = set()

    def come(number: int) -> None:
        for _ in range(200):
            try:
                with held(tmp_path / "work", "busy"):
                    inside.append(number)
                    together.append(len(inside))
                    inside.remove(number)
                    entered.append(number)
            except HimeError as error:
                refusals.add(str(error))

    threads = [threading.Thread(target=come, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(together) == {1}
    assert entered
    assert refusals <= {"busy"}
    assert list(tmp_path.iterdir()) == []


def test_without_locks_of_the_system_everybody_is_let_in(tmp_path: Path) -> None:
    """As on Windows, where Python has no fcntl."""
    program = (
        "import sys\n"
        "sys.modules['fcntl'] = None\n"
        "from hime.files import held\n"
        "with held(sys.argv[1], 'busy'), held(sys.argv[1], 'busy'):\n"
        "    pass\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", program, str(tmp_path / "work")], check=False).returncode == 0
    )
    assert list(tmp_path.iterdir()) == []
