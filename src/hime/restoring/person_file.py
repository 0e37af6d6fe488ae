"""A .person file as it lies on the disk: its header checked in every part, its tensors read piece by piece.

What is in it, and what it is for, says `hime.restoring.person`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import re
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from hime.errors import HimeError
from hime.files import open_file, unreadable
from hime.pictures.arrays import FloatArray

Value = TypeVar("Value")

FORMAT = "hime-person-2"
SUFFIX = ".person"
EMBEDDING_SIZE = 128
MOST_REFERENCES = 12
"""References that are stored at most; more than are ever used at once, so that each pose has some."""
LONGEST_HEADER, LONGEST_NAME, MOST_MODELS = 1 << 20, 1024, 8
"""Bytes, characters and models that a file has at the most; none that was ever written has a tenth."""

MOST_OPEN = 128
"""Files that stay open; systems allow a process 256 and more."""

_KINDS: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_DIGEST = re.compile(r"[0-9a-f]{64}")


def key(digest: str, side: int) -> str:
    """What the features are called that the model of that digest made for LR headshots of that side."""
    return f"features/{digest}/{side}"


class StoredFile:
    """A .person file with its header checked. The first `MOST_OPEN` stay open: what becomes of their names
    later does not matter. Of more people than that each file is opened anew when its features are needed, and
    must be the same then.

    The format is safetensors: the length of the header (8 bytes), the header in JSON, the tensors. It is read
    piece by piece and not mapped into memory, where a file that is cut short, or a disk that goes away, would
    end the process.

    Another process gets it with its content, wherever it runs: the file need not be there.

    Args:
        path: the file.
        content: its bytes, uint8, where they were read already.

    Attributes:
        path: where it was.
        size: in bytes.
        name: the person's.
        references: the photos' file names.
        contents: the SHA-256 of each photo's file; empty where that is not known.
        models: the name of each model by the digest of what made its features.
        embedding: the person's, float32 128.
        embeddings: the references', float32 N×128.
        qualities: theirs, float32 N.
        yaws: theirs, float32 N.
        digest: of all that is read here, hexadecimal: of the header and the numbers that tell who it is.

    Raises:
        HimeError: missing, damaged, of another version, or anything in the header is not as it must be.
    """

    _open: ClassVar[weakref.WeakSet[StoredFile]] = weakref.WeakSet()

    def __init__(self, path: Path, content: npt.NDArray[np.uint8] | None = None) -> None:
        self.path = path
        self._lock = threading.Lock()
        file = open_file(path) if content is None else _Memory(content)
        self._file: io.BufferedReader | _Memory | None = file
        self._identity = _identity(file)
        self.size = file.seek(0, os.SEEK_END)
        length = int.from_bytes(self._at(0, 8), "little")
        if not 2 <= length <= min(LONGEST_HEADER, self.size - 8):
            raise self.damaged("no header")
        self._header = self._at(8, length)
        tensors = self._json(self._header, dict)
        metadata = tensors.pop("__metadata__", {})
        if not _is_texts(metadata):
            raise self.damaged("metadata that are no texts")
        self._check_version(metadata.get("format"))
        self.name = self._text(metadata.get("name"))
        self.references = [self._text(name) for name in self._json(metadata.get("references"), list)]
        if not 1 <= len(self.references) <= MOST_REFERENCES:
            raise self.damaged(f"{len(self.references)} references")
        contents = self._json(metadata.get("contents", json.dumps([""] * len(self.references))), list)
        if len(contents) != len(self.references) or not all(map(_is_content, contents)):
            raise self.damaged("digests of photos that are none")
        self.contents: list[str] = contents
        self.models: dict[str, str] = self._json(metadata.get("models"), dict)
        if not 1 <= len(self.models) <= MOST_MODELS or not all(map(_DIGEST.fullmatch, self.models)):
            raise self.damaged("no models")
        for name in self.models.values():
            self._text(name)
        for described in tensors.values():
            self._check_tensor(described)
        count = len(self.references)
        self.embedding = self._tensor(tensors, "embedding", (EMBEDDING_SIZE,))
        self.embeddings = self._tensor(tensors, "embeddings", (count, EMBEDDING_SIZE))
        self.qualities = self._tensor(tensors, "qualities", (count,))
        self.yaws = self._tensor(tensors, "yaws", (count,))
        digest = hashlib.sha256(self._header)
        for values in (self.embedding, self.embeddings, self.qualities, self.yaws):
            digest.update(values.tobytes())
        self.digest = digest.hexdigest()
        if isinstance(file, _Memory):
            return
        if len(self._open) < MOST_OPEN:
            self._open.add(self)
        else:
            file.close()
            self._file = None

    def expect_features(self, digest: str, channels: int, sides: Sequence[int]) -> None:
        """Check that the features are there that a model of so many channels needs, before they are read.

        Raises:
            HimeError: they are not.
        """
        tensors = self._json(self._header, dict)
        for side in sides:
            self._place(tensors, key(digest, side), "F16", (len(self.references), channels, side, side))

    def features(self, digest: str, channels: int, side: int, index: int) -> npt.NDArray[Any]:
        """What a model of so many channels made of a reference, for LR headshots of that side: F×side×side.

        Raises:
            HimeError: there is no such, the file is shorter or another than it was, or cannot be read.
        """
        shape = (channels, side, side)
        whole = (len(self.references), *shape)
        place = self._place(self._json(self._header, dict), key(digest, side), "F16", whole)
        return self._values("F16", shape, place + index * math.prod(shape) * _KINDS["F16"].itemsize)

    def damaged(self, reason: str) -> HimeError:
        """The error that says so, for the caller to raise."""
        return HimeError(
            f"{self.path}: damaged ({reason}); make it again from the photos with `hime person add`"
        )

    def __reduce__(self) -> tuple[type[StoredFile], tuple[Path, npt.NDArray[np.uint8]]]:
        return StoredFile, (self.path, np.frombuffer(self._at(0, self.size), np.uint8))

    def _at(self, place: int, count: int) -> bytes:
        try:
            with self._lock, self._opened() as file:
                file.seek(place)
                content = file.read(count)
        except OSError as error:
            raise unreadable(self.path, error) from error
        if len(content) != count:
            raise self.damaged("cut short")
        return content

    @contextlib.contextmanager
    def _opened(self) -> Iterator[io.BufferedReader | _Memory]:
        """The file, which stays open if it is so."""
        if self._file is not None:
            yield self._file
            return
        with open_file(self.path) as file:
            if _identity(file) != self._identity:
                raise HimeError(f"{self.path}: has changed since it was read; run the command again")
            yield file

    def _check_version(self, version: str | None) -> None:
        if version != FORMAT:
            found = f"version {version}, this program reads {FORMAT}" if version else f"no {SUFFIX} file"
            raise HimeError(f"{self.path}: {found}; make it again from the photos with `hime person add`")

    def _json(self, text: bytes | str | None, kind: type[Value]) -> Value:
        try:
            value = json.loads(text or "")
        except (ValueError, RecursionError):
            raise self.damaged("no JSON where it must be") from None
        if not isinstance(value, kind):
            raise self.damaged(f"no {kind.__name__} where it must be")
        return value

    def _text(self, value: object) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
            raise self.damaged("a name that is none")
        return value

    def _place(self, tensors: dict[str, Any], name: str, kind: str, shape: tuple[int, ...]) -> int:
        """Where a tensor lies, if it is of that kind and shape."""
        described = tensors.get(name, {})
        begin, end = described.get("data_offsets", (0, 0))
        size = math.prod(shape) * _KINDS[kind].itemsize
        if described.get("dtype") != kind or described.get("shape") != list(shape) or end - begin != size:
            raise self.damaged(f"{name} is not {'×'.join(map(str, shape))} numbers ({kind})")
        return 8 + len(self._header) + int(begin)

    def _tensor(self, tensors: dict[str, Any], name: str, shape: tuple[int, ...]) -> FloatArray:
        return self._values("F32", shape, self._place(tensors, name, "F32", shape))

    def _values(self, kind: str, shape: tuple[int, ...], place: int) -> npt.NDArray[Any]:
        content = self._at(place, math.prod(shape) * _KINDS[kind].itemsize)
        return np.frombuffer(content, _KINDS[kind]).reshape(shape).copy()

    def _check_tensor(self, described: object) -> None:
        """What the header says of a tensor: that it lies in the file, whatever it is."""
        offsets = described.get("data_offsets") if isinstance(described, dict) else None
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
            raise self.damaged("a tensor that lies nowhere")
        if not offsets[0] <= offsets[1] <= self.size - 8 - len(self._header):
            raise self.damaged("cut short")


def _identity(file: io.BufferedReader | _Memory) -> tuple[int, int, int, int]:
    """What tells an open file from another, and from what it is after a change."""
    if isinstance(file, _Memory):
        return 0, 0, 0, 0
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class _Memory:
    """Bytes in memory, read like a file; they are not copied, since processes may share them."""

    def __init__(self, content: npt.NDArray[np.uint8]) -> None:
        self._content = content
        self._place = 0

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        self._place = place + (len(self._content) if whence == os.SEEK_END else 0)
        return self._place

    def read(self, count: int) -> bytes:
        return self._content[self._place : self._place + count].tobytes()


def _is_content(value: object) -> bool:
    return isinstance(value, str) and (not value or _DIGEST.fullmatch(value) is not None)


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
