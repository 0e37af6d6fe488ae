"""A .person file as it lies on the disk: its header checked in every part, its tensors read piece by piece.

What is in it, and what it is for, says `hime.restoring.person`.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hime.errors import HimeError
from hime.files import open_file

Value = TypeVar("Value")

FORMAT = "hime-person-2"
SUFFIX = ".person"
EMBEDDING_SIZE = 128
MOST_REFERENCES = 12
"""References that are stored at most; more than are ever used at once, so that each pose has some."""
LONGEST_HEADER, LONGEST_NAME, MOST_MODELS = 1 << 20, 1024, 8
"""Bytes, characters and models that a file has at the most; none that was ever written has a tenth."""

_KINDS: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_DIGEST = re.compile(r"[0-9a-f]{64}")


def key(digest: str, side: int) -> str:
    """What the features are called that the model of that digest made for LR headshots of that side."""
    return f"features/{digest}/{side}"


class StoredFile:
    """A .person file, open, with its header checked: what becomes of its name later does not matter.

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
        models: the name of each model by the digest of what made its features.

    Raises:
        HimeError: missing, damaged, of another version, or anything in the header is not as it must be.
    """

    def __init__(self, path: Path, content: npt.NDArray[np.uint8] | None = None) -> None:
        self.path = path
        self._file = open_file(path) if content is None else _Memory(content)
        self._lock = threading.Lock()
        self.size = self._file.seek(0, os.SEEK_END)
        length = int.from_bytes(self._at(0, 8), "little")
        if not 2 <= length <= min(LONGEST_HEADER, self.size - 8):
            raise self.damaged("no header")
        self._begin = 8 + length
        header = self._json(self._at(8, length), dict)
        metadata = header.pop("__metadata__", {})
        if not _is_texts(metadata):
            raise self.damaged("metadata that are no texts")
        self._check_version(metadata.get("format"))
        self.name = self._text(metadata.get("name"))
        self.references = [self._text(name) for name in self._json(metadata.get("references"), list)]
        if not 1 <= len(self.references) <= MOST_REFERENCES:
            raise self.damaged(f"{len(self.references)} references")
        self.models: dict[str, str] = self._json(metadata.get("models"), dict)
        if not 1 <= len(self.models) <= MOST_MODELS or not all(map(_DIGEST.fullmatch, self.models)):
            raise self.damaged("no models")
        for name in self.models.values():
            self._text(name)
        for described in header.values():
            self._check_tensor(described)
        self._tensors = header
        self._places: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
        count = len(self.references)
        self._expect("embedding", "F32", (EMBEDDING_SIZE,))
        self._expect("embeddings", "F32", (count, EMBEDDING_SIZE))
        self._expect("qualities", "F32", (count,))
        self._expect("yaws", "F32", (count,))

    def expect_features(self, digest: str, channels: int, sides: Sequence[int]) -> None:
        """Check that the features are there that a model of so many channels needs, before they are read.

        Raises:
            HimeError: they are not.
        """
        for side in sides:
            self._expect(key(digest, side), "F16", (len(self.references), channels, side, side))

    def read(self, name: str, index: int | None = None) -> npt.NDArray[Any]:
        """A tensor, or one part of it along its first axis.

        Raises:
            HimeError: the file is shorter than it was, or cannot be read.
        """
        kind, shape, place = self._places[name]
        if index is not None:
            shape = shape[1:]
            place += index * math.prod(shape) * kind.itemsize
        content = self._at(place, math.prod(shape) * kind.itemsize)
        return np.frombuffer(content, kind).reshape(shape).copy()

    def damaged(self, reason: str) -> HimeError:
        """The error that says so, for the caller to raise."""
        return HimeError(
            f"{self.path}: damaged ({reason}); make it again from the photos with `hime person add`"
        )

    def __reduce__(self) -> tuple[type[StoredFile], tuple[Path, npt.NDArray[np.uint8]]]:
        return StoredFile, (self.path, np.frombuffer(self._at(0, self.size), np.uint8))

    def _at(self, place: int, count: int) -> bytes:
        try:
            with self._lock:
                self._file.seek(place)
                content = self._file.read(count)
        except OSError as error:
            raise HimeError(
                f"{self.path}: cannot be read ({error.strerror or error}); check the file"
            ) from error
        if len(content) != count:
            raise self.damaged("cut short")
        return content

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

    def _expect(self, name: str, kind: str, shape: tuple[int, ...]) -> None:
        """Note where a tensor lies, if it is of that kind and shape."""
        described, dtype = self._tensors.get(name, {}), _KINDS[kind]
        begin, end = described.get("data_offsets", (0, 0))
        size = math.prod(shape) * dtype.itemsize
        if described.get("dtype") != kind or described.get("shape") != list(shape) or end - begin != size:
            raise self.damaged(f"{name} is not {'×'.join(map(str, shape))} numbers ({kind})")
        self._places[name] = (dtype, shape, self._begin + begin)

    def _check_tensor(self, described: object) -> None:
        """What the header says of a tensor: that it lies in the file, whatever it is."""
        offsets = described.get("data_offsets") if isinstance(described, dict) else None
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
            raise self.damaged("a tensor that lies nowhere")
        if not offsets[0] <= offsets[1] <= self.size - self._begin:
            raise self.damaged("cut short")


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


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
