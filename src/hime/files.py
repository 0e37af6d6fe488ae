"""Files read and written: only plain files are opened, and what is written is there whole or not at all.

A folder is held by one process at a time (`held`); what is short is waited for (`taking_turns`).

All of it may be called from several threads at once, but for `ended_by_signals`, which is for the main one.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import secrets
import signal
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path, PurePath
from types import FrameType
from typing import TypeVar

from hime.errors import HimeError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

AnyPath = TypeVar("AnyPath", bound=PurePath)

_LONGEST_SUFFIX = 32
"""Bytes of a name's ending that a temporary name repeats: no ending by which a format is told is longer."""
TEMPORARY = ".hime-" + 16 * "[0-9a-f]"
"""What temporary files are called, as a pattern but for the suffix: a killed process leaves them."""
_before_moving: ContextVar[Callable[[Path, Path], object] | None] = ContextVar("before_moving", default=None)


# ------------------------------------------------------------------------------------------- reading


def open_file(path: Path | str) -> io.BufferedReader:
    """Open a plain file for reading. Pipes, sockets and devices are refused at once: nobody is waited for.

    Raises:
        HimeError: there is none, it is no plain file, or it may not be read.
    """
    path = Path(path)
    try:
        _check_plain(path, path.stat().st_mode)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
        try:
            _check_plain(path, os.fstat(descriptor).st_mode)  # it may be another by now
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise unreadable(path, error) from None
    except HimeError:
        raise
    except ValueError as error:  # a name with a null byte
        raise HimeError(f"{str(path)!r}: is no name of a file ({error}); check the path") from None


def _check_plain(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if kind := special(mode):
        raise HimeError(f"{path}: is {kind}, not a file; give a file")


def special(mode: int) -> str | None:
    """What a file that is neither plain nor a folder is, in words; ``mode`` as `os.stat` gives it."""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a link that leads nowhere"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def unreadable(path: Path, error: OSError) -> HimeError:
    """The one line about a file that the system does not let us read."""
    told = {
        errno.ENOENT: "no such file; check the path",
        errno.ENOTDIR: "no such file; check the path",
        errno.EISDIR: "is a folder; give a file",
        errno.EACCES: "may not be read; check the file's permissions",
        errno.EPERM: "may not be read; check the file's permissions",
        errno.ELOOP: "is a link that leads back to itself; give the file itself",
    }
    otherwise = f"cannot be read ({reason_of(error)}); check the disk"
    return HimeError(f"{path}: {told.get(error.errno or 0, otherwise)}")


def unreadable_folder(folder: Path, error: OSError) -> HimeError:
    """The one line about a folder that the system does not let us read."""
    return HimeError(f"{folder}: not a folder that can be read ({reason_of(error)}); check the path")


def reason_of(error: BaseException) -> str:
    """What the system says of an error, on one line; what the error says of itself where it says nothing."""
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())


# ------------------------------------------------------------------------------------------- telling apart


def is_folder(path: Path | os.DirEntry[str]) -> bool:
    """Whether it is a folder; what cannot be looked at is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a link that leads back to itself, a name that is none
        return False


def identity(path: Path) -> tuple[int, int] | None:
    """What the system knows a file by, whatever it is called; None if it is not there."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def incomplete(path: AnyPath) -> AnyPath:
    """What a clip's result is called from which something is missing, since the clip does not decode to its
    end.
    """
    return path.with_name(f"{path.stem}.incomplete{path.suffix}")


# ------------------------------------------------------------------------------------------- writing


def write_atomically(
    path: Path | str, write: Callable[[Path], object], mode: int = 0o666, *, lasting: bool = True
) -> Path:
    """Let ``write`` fill a temporary file beside ``path``, then move it there in one step.

    A reader, or a process killed at any moment, sees the old file or the new one, never a part.
    The temporary file keeps the suffix of ``path``, since image writers choose the format by it, and nothing
    else of the name, which may be as long as names can be. Missing parent folders are made.

    Args:
        path: where to. A file that is there keeps its permissions.
        write: fills the file that it is given.
        mode: permissions of a new file, less what the user's umask takes.
        lasting: whether the disk must have it before this returns, so that a power failure does not take
            it; costs some milliseconds.

    Raises:
        HimeError: the folder cannot be written to, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path.parent, path.suffix, mode)
        try:
            write(temporary)
            if lasting:
                with temporary.open("r+b") as file:  # Windows flushes only what may be written to
                    os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            if (tell := _before_moving.get()) is not None:
                tell(temporary, path)
            temporary.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


@contextlib.contextmanager
def told_before_moving(tell: Callable[[Path, Path], object]) -> Iterator[None]:
    """Within it, in this thread, `write_atomically` calls ``tell`` with each temporary file, when it is
    whole, and the place that it is going to be moved to. If that raises an error, it is not moved.
    """
    token = _before_moving.set(tell)
    try:
        yield
    finally:
        _before_moving.reset(token)


def check_writable(path: Path | str) -> None:
    """Find out, before the work is done, whether `write_atomically` can write there; nothing is left behind.

    Missing folders are not made: the nearest one that is there is tried.

    Raises:
        HimeError: it cannot, because a name is too long, a folder is a file or may not be written to, or
            ``path`` is a folder.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        missing = [path.name]
        folder = path.parent
        while not os.path.lexists(folder) and folder != folder.parent:
            missing.append(folder.name)
            folder = folder.parent
        for name in missing:
            with contextlib.suppress(FileNotFoundError):
                (folder / name).lstat()  # a name that is too long is an error of its own
        _temporary(folder, path.suffix, 0o600).unlink()
    except OSError as error:
        raise _unwritable(path, error) from error
    except ValueError as error:
        raise HimeError(f"{str(path)!r}: is no name of a file ({error}); choose another") from None


def _temporary(folder: Path, suffix: str, mode: int) -> Path:
    """A new empty file of an own name."""
    suffix = suffix if len(os.fsencode(suffix)) <= _LONGEST_SUFFIX else ""
    path = folder / f".hime-{secrets.token_hex(8)}{suffix}"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    return path


def _unwritable(path: Path, error: OSError) -> HimeError:
    return HimeError(f"{path}: cannot write there ({reason_of(error)}); choose another place")


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of the system's for files that others' code can only read from a disk; gone afterwards.

    Raises:
        HimeError: it cannot be written to.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="hime-") as folder:
            yield Path(folder)
    except OSError as error:
        raise HimeError(
            f"temporary files: cannot be written ({reason_of(error)}); make room on the disk, or let "
            "TMPDIR name another folder"
        ) from error


def write_json(path: Path | str, value: object, mode: int = 0o666) -> Path:
    """Write a value as JSON that is pleasant to read, whole or not at all; ``mode`` as `write_atomically`."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    content = text.encode("utf-8", errors="replace")  # a file's name may hold bytes that are no letters
    return write_atomically(path, lambda temporary: temporary.write_bytes(content), mode)


LOCK = ".lock"
"""What the file is called by which a folder is held."""


@contextlib.contextmanager
def held(folder: Path | str, busy: str, mode: int = 0o777) -> Iterator[None]:
    """Hold a folder, which is made where there is none: no other process, and nobody else in this one, can.

    It is held by a lock of the system on a file in it, `LOCK`, so that what a killed process leaves behind
    keeps nobody out. Afterwards that file is gone, and so is the folder if there is nothing in it. Where the
    system or the disk has no such locks, everybody is let in.

    Args:
        folder: which.
        busy: the line for whoever comes second.
        mode: permissions of a new folder, less what the user's umask takes.

    Raises:
        HimeError: somebody holds it (``busy``), or it cannot be written to.
    """
    folder = Path(folder)
    try:
        lock = _locked(folder / LOCK, mode)
    except BlockingIOError:
        raise HimeError(busy) from None
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield
    finally:
        if lock is not None:
            with lock, contextlib.suppress(OSError):
                (folder / LOCK).unlink()  # before the lock ends: afterwards it may be another's
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def taking_turns(lock: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Within it nobody else, neither another process nor this one, is within it with the same ``lock``: who
    comes second is told (``waiting``) and waits.

    ``lock`` is a file that is there meanwhile, locked as that of `held`; missing folders are made for it, and
    taken away again if nothing else is in them. Where the system or the disk has no such locks, nobody waits.

    Raises:
        HimeError: it cannot be written.
    """
    made: list[Path] = []
    for folder in lock.parents:
        if os.path.lexists(folder):
            break
        made.append(folder)
    try:
        file = _locked(lock, waiting=waiting)
    except OSError as error:
        raise _unwritable(lock.parent, error) from error
    try:
        yield
    finally:
        if file is not None:
            with file, contextlib.suppress(OSError):
                lock.unlink()
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def _locked(
    path: Path, mode: int = 0o777, *, waiting: Callable[[], object] | None = None
) -> io.FileIO | None:
    """The file of a lock, which holds as long as it is open; None where the system has no locks.

    Args:
        path: the file.
        mode: of its folder, if that is made.
        waiting: called if somebody else has it, before waiting for it; without it nobody waits.

    Raises:
        BlockingIOError: somebody else has it.
    """
    vanished: OSError = BlockingIOError()
    for _ in range(100):
        try:
            path.parent.mkdir(mode, parents=True, exist_ok=True)
            if fcntl is None:
                return None
            file = io.FileIO(path, "a", opener=_opened_as_lock)
        except (FileNotFoundError, FileExistsError) as error:  # it may have been removed in between
            vanished = error
            continue
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is None:
                    raise
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
        except BlockingIOError:
            file.close()
            raise
        except OSError:  # a disk without locks
            return file
        except BaseException:  # ended as it waited
            file.close()
            raise
        if _is_still(file, path):
            return file
        file.close()
    raise vanished


def _opened_as_lock(path: str, _: int) -> int:
    """A descriptor of a lock's file: what another user left is not written to, and no link is followed."""
    plain = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | plain, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY | plain)


def _is_still(file: io.FileIO, path: Path) -> bool:
    """Whether an opened file is the one of that path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block by `SystemExit`, so that temporary files are removed.

    Without it they end the process where it stands. A handler that somebody has set already is kept, and so
    is everything outside of the main thread, where Python allows no handler.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    try:
        for number in numbers:
            signal.signal(number, end)
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
