"""Files on disks and behind URLs (fsspec: ``s3://``, ``gs://``, …): fetched, listed, put whole."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hime.errors import HimeError
from hime.files import is_folder, write_atomically

OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "obs", "r2", "tos"}
"""Protocols whose files appear when they are whole; with others a file is moved into place."""

LONGEST_NAME = 255
"""Bytes that the name of a file has at the most on usual disks."""
OWN = re.compile(r"\.hime-|\..*\.hime$")
"""What files and folders are called that this program keeps for itself beside the results: records, locks,
what is being written, and the unfinished work on a video."""


def is_url(text: str | os.PathLike[str]) -> bool:
    """Whether it names something behind a URL rather than a file of this machine."""
    return "://" in str(text)


def path_of(url: str) -> str:
    """What names a file behind a URL, its host or bucket first: of a web address less its query and fragment;
    elsewhere these are letters of a name.
    """
    protocol, mark, path = url.partition("://")
    if protocol.lower() in ("http", "https"):
        path = re.split("[?#]", path, maxsplit=1)[0]
    return path if mark else url


def text_of(given: Path | str) -> str:
    """A path from the root on, or a URL; of ``file://…`` the path."""
    text = str(given)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return text if is_url(text) else os.path.abspath(text)  # noqa: PTH100, resolve() follows links


def open_filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
        HimeError: nobody knows the protocol, or what it needs is not installed.
    """
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise HimeError(f"{url}: {' '.join(str(error).split())}") from None
    except (ValueError, OSError) as error:
        raise HimeError(f"{url}: cannot be opened ({' '.join(str(error).split())}); check the URL") from None
    return fs, str(path)


def unreachable(url: str, error: Exception) -> HimeError:
    """The one line about a file behind a URL that cannot be read or written."""
    if isinstance(error, FileNotFoundError):
        return HimeError(f"{url}: no such file; check the URL")
    if isinstance(error, UnicodeEncodeError):
        return HimeError(f"{url}: is no name in UTF-8, as it must be behind a URL; rename the file")
    reason = " ".join(str(error).split()) or type(error).__name__
    return HimeError(f"{url}: {reason}; check the URL and who may read and write there")


def fetch(url: str, folder: Path) -> Path:
    """Copy a file behind a URL into a folder, under its own name (a short one where that is too long for a
    disk) and with its date.

    Raises:
        FileNotFoundError: there is none.
        HimeError: it cannot be read.
    """
    fs, path = open_filesystem(url)
    name = path_of(path).rpartition("/")[2]
    if len(os.fsencode(name)) > LONGEST_NAME:
        suffix = PurePosixPath(name).suffix
        name = f"file{suffix if len(os.fsencode(suffix)) <= LONGEST_NAME // 2 else ''}"
    target = folder / name
    try:
        fs.get_file(path, str(target))
        with contextlib.suppress(NotImplementedError, AttributeError):  # not every one knows dates
            changed = fs.modified(path).timestamp()
            os.utime(target, (changed, changed))
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        raise
    except Exception as error:  # each protocol has errors of its own
        raise unreachable(url, error) from error
    return target


@dataclass(frozen=True)
class Store:
    """A folder of this machine, or one behind a URL.

    Attributes:
        root: a path from the root on, or a URL.
    """

    root: str

    @classmethod
    def at(cls, place: Path | str) -> Store:
        """The store in a folder or behind a URL.

        Raises:
            HimeError: nobody knows the URL's protocol.
        """
        root = text_of(place)
        if is_url(root):
            fs, path = open_filesystem(root)
            root = str(fs.unstrip_protocol(path))  # one way of writing it
        return cls(root.rstrip("/") or "/")

    @property
    def folder(self) -> Path | None:
        """The folder, where it is one of this machine."""
        return None if is_url(self.root) else Path(self.root)

    def place(self, name: str) -> str:
        """The path or URL of a file in it."""
        return f"{self.root}/{name}"

    def names(self, folders: Iterable[str], *, own: bool = False) -> set[str]:
        """The names of the files that lie in these folders of it, from the root of the store on: not of what
        lies in folders of these, so that no link leads elsewhere.

        Args:
            folders: in it; ``"."`` is its root.
            own: also those that this program keeps for itself (`OWN`).

        Raises:
            HimeError: it cannot be read.
        """
        within = {PurePosixPath(folder) for folder in folders}
        if self.folder is not None:
            found = {str(each / name) for each in within for name in _files_in(self.folder / each)}
        elif not within:
            found = set()
        else:
            fs, root = open_filesystem(self.root)
            fs.invalidate_cache()
            above = posixpath.commonpath(within)  # asked for once: each listing is a request
            try:
                paths = fs.find(f"{root}/{above}" if above else root)
            except FileNotFoundError:
                paths = []
            except Exception as error:
                raise unreachable(self.root, error) from error
            names = (str(path)[len(root) :].lstrip("/") for path in paths)
            found = {name for name in names if PurePosixPath(name).parent in within}
        if own:
            return found
        return {name for name in found if not any(map(OWN.match, name.split("/")))}

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            FileNotFoundError: there is none.
            HimeError: it cannot be read.
        """
        if self.folder is not None:
            return (self.folder / name).read_bytes()
        fs, root = open_filesystem(self.root)
        try:
            content: bytes = fs.cat_file(f"{root}/{name}")
        except FileNotFoundError:
            raise
        except Exception as error:
            raise unreachable(self.place(name), error) from error
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, whole or not at all; after a power failure it may be gone.

        Raises:
            HimeError: it cannot be written.
        """
        if self.folder is not None:
            write_atomically(self.folder / name, lambda path: path.write_bytes(content), lasting=False)
            return
        self._put(name, lambda fs, path: fs.pipe_file(path, content))

    def put(self, source: Path, name: str) -> None:
        """Write a file of this machine into it, whole or not at all.

        Raises:
            HimeError: it cannot be written.
        """
        if self.folder is not None:
            write_atomically(self.folder / name, lambda path: path.write_bytes(source.read_bytes()))
            return
        self._put(name, lambda fs, path: fs.put_file(str(source), path))

    def _put(self, name: str, write: Any) -> None:
        fs, root = open_filesystem(self.root)
        path = f"{root}/{name}"
        try:
            if OBJECT_STORES & set([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol):
                write(fs, path)
                return
            above, _, own = path.rpartition("/")
            fs.makedirs(above, exist_ok=True)
            temporary = f"{above}/.hime-{secrets.token_hex(8)}-{own[-32:]}"
            write(fs, temporary)
            fs.mv(temporary, path)
        except Exception as error:
            raise unreachable(self.place(name), error) from error

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; those that are gone already are no matter.

        Raises:
            HimeError: one cannot be deleted.
        """
        names = list(names)
        if self.folder is not None:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    (self.folder / name).unlink()
            return
        if not names:
            return
        fs, root = open_filesystem(self.root)
        try:
            fs.rm([f"{root}/{name}" for name in names])
        except FileNotFoundError:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    fs.rm_file(f"{root}/{name}")
        except Exception as error:
            raise unreachable(self.root, error) from error

    def check_writable(self) -> None:
        """Write a file and delete it.

        Raises:
            HimeError: it cannot be written to.
        """
        name = f".hime-{secrets.token_hex(8)}"
        self.write(name, b"")
        self.delete([name])


def _files_in(folder: Path) -> list[str]:
    """The names of the files in a folder; one that cannot be read, or is none, holds none."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if not is_folder(entry)]
    except OSError:
        return []
