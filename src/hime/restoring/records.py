"""What made each result: a line a result in one hidden file of the folder that the results are in.

A result is done if it was made of the same content, by the same model of the same version, with the same
people and options; a file may be replaced if it is still as this program wrote it. The lines hold digests
(SHA-256) and the results' own names, nobody's names and no paths of inputs. Who deletes the file loses
nothing but that knowledge: results are then taken for files of somebody else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

from hime.errors import HimeError
from hime.files import open_file
from hime.restoring.inputs import digest

FILE = ".hime-restored.jsonl"
"""Name of the file, JSON Lines: a record a line, of which the last one of a place holds."""
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Record:
    """What made one result.

    Attributes:
        place: of the result, below the folder.
        input: digest of the input's content.
        path: digest of the input's path.
        made: what it was made with: a text for each part.
        files: the files written, below the folder, and the digest of each; none where there was nothing to
            restore.
    """

    place: str
    input: str
    path: str
    made: Mapping[str, str]
    files: Mapping[str, str]


class Records:
    """The records of a folder.

    Args:
        folder: need not exist. Damaged lines are passed over.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / FILE
        self._of_place: dict[str, Record] = {}
        self._of_file: dict[str, str] = {}
        try:
            with open_file(self._file) as file:
                while line := file.readline(_LONGEST_LINE):
                    if (record := _parsed(line)) is not None:
                        self._take(record)
        except (HimeError, OSError):  # none yet, or none that can be read: then nothing is known
            pass

    def of(self, place: PurePath) -> Record | None:
        """What is known of the result in that place."""
        return self._of_place.get(place.as_posix())

    def is_there(self, record: Record) -> bool:
        """Whether all its files are there, whoever has changed them since."""
        return all(os.path.lexists(self.folder / name) for name in record.files)

    def wrote(self, path: Path) -> bool:
        """Whether the file at ``path`` is as this program wrote it."""
        known = self._of_file.get(self._name(path))
        try:
            return known is not None and digest(path) == known
        except HimeError:
            return False

    def add(
        self, place: PurePath, content: str, path: str, made: Mapping[str, str], files: Sequence[Path]
    ) -> None:
        """Note what made the files of one result.

        Raises:
            HimeError: it cannot be noted.
        """
        written = {self._name(file): digest(file) for file in files}
        record = Record(place.as_posix(), content, path, made, written)
        append(self.folder, [record])
        self._take(record)

    def _take(self, record: Record) -> None:
        self._of_place[record.place] = record
        self._of_file.update(record.files)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def append(folder: Path, records: Iterable[Record]) -> None:
    """Note what made results, in the folder that they are in.

    Raises:
        HimeError: it cannot be noted.
    """
    path = folder / FILE
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    lines = "\n".join(json.dumps(asdict(record)) for record in records)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
        with os.fdopen(descriptor, "ab") as file:
            file.write(f"\n{lines}\n".encode())  # begun anew, should the last one be torn
    except OSError as error:
        raise HimeError(
            f"{path}: cannot be written ({error.strerror or error}), so that the next run will not know "
            "what made the results; check the permissions and the room on the disk"
        ) from error


def _parsed(line: bytes) -> Record | None:
    """A line's record, if it is one in every part."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.keys() != Record.__dataclass_fields__.keys():
        return None
    texts = [value["place"], value["input"], value["path"]]
    for mapping in (value["made"], value["files"]):
        if not isinstance(mapping, dict):
            return None
        texts += mapping.values()
    return Record(**value) if all(isinstance(text, str) for text in texts) else None
