"""What made each result: a line a result in one hidden file of the folder that the results are in.

A result is done if it was made of the same content, by the same model of the same version, with the same
people and options; a file may be replaced if it is still as this program wrote it. The lines hold digests
(SHA-256) and the results' own names, nobody's names and no paths of inputs. Who deletes the file loses
nothing but that knowledge: results are then taken for files of somebody else.

Each file is noted before it is moved to its place, and the result when all its files are there. So whenever a
run ends, the next one knows the files for its own, and goes on.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from hime.errors import HimeError
from hime.files import open_file, reason_of
from hime.pictures.formats import FoundPictures
from hime.pictures.marks import is_marked
from hime.restoring.inputs import digest, real_place

FILE = ".hime-restored.jsonl"
"""Name of the file, JSON Lines: a record a line, of which the last one of a place holds."""
FACE = re.compile(r"-face\d+\.png$")
"""What a restored face alone is called after the name of its picture."""
FACES = "-face*.png"
"""The same of the place of all faces of a picture."""
_REPORTS = (".html", ".json")
"""Endings of what explains a result, and of no result."""
_BESIDE = (*_REPORTS, ".xmp")
"""Endings of what is beside a result."""
_LONGEST_LINE = 1 << 20
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@dataclass(frozen=True)
class Record:
    """What made one result.

    Attributes:
        place: of the result, below the folder.
        input: digest of the input's content.
        path: digest of the input's path.
        made: what it was made with: a text for each part; none as long as it is not done.
        files: the files written, below the folder, and the digest of each; none where there was nothing to
            restore.
        kept: likewise the files of earlier results of the same input that were still there.
    """

    place: str
    input: str
    path: str
    made: Mapping[str, str]
    files: Mapping[str, str]
    kept: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> dict[str, str]:
        """All files that belong to the place."""
        return {**self.kept, **self.files}


class Records:
    """The records of a folder.

    Args:
        folder: need not exist. Damaged lines are passed over.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / FILE
        self._of_place: dict[str, Record] = {}
        self._of_file: dict[str, set[str]] = {}
        self._owner: dict[str, str] = {}
        self._faces: dict[str, set[str]] = defaultdict(set)
        self._places: dict[str, set[str]] = defaultdict(set)
        self._begun: dict[str, str] = {}
        self._known = 0
        self.refresh()

    def refresh(self) -> None:
        """Read what has been noted since, by this run or by another one."""
        try:
            with open_file(self._file) as file:
                if file.seek(0, os.SEEK_END) < self._known:  # another file
                    self._known = 0
                file.seek(self._known)
                while line := file.readline(_LONGEST_LINE):
                    if (record := _parsed(line)) is not None:
                        self._take(record)
                    if line.endswith(b"\n"):  # else it is being written
                        self._known = file.tell()
        except (HimeError, OSError):  # none yet, or none that can be read: then nothing is known
            pass

    def of(self, place: PurePath) -> Record | None:
        """What is known of the result in that place."""
        return self._of_place.get(place.as_posix())

    def are_there(self, names: Iterable[str]) -> bool:
        """Whether files are there, whoever has changed them since."""
        return all(map(self._exists, names))

    def owner(self, path: Path) -> Record | None:
        """What made the file at ``path``, also one that is not in the folder: nothing did."""
        name = self._real_name(path)
        place = None if name is None else self._owner.get(name)
        return None if place is None else self._of_place[place]

    def is_result(self, path: Path) -> bool:
        """Whether the file at ``path``, also one that is not in the folder, is a result as this program wrote
        it. Only what is called like one is read.
        """
        name = self._real_name(path)
        return name is not None and self._is_as_written(name, path)

    def owners(self, place: PurePath) -> list[Record]:
        """The records to which something belongs that is there in that place: the picture, or its faces, or
        what was written beside them.
        """
        wanted = place.as_posix()
        there = [*filter(self._exists, (wanted, *self._faces.get(wanted, ()))), *self._own(place)]
        found = sorted({self._owner[name] for name in there if name in self._owner})
        return [self._of_place[each] for each in found]

    def results_of(self, place: PurePath) -> list[Path]:
        """The pictures and videos that are there of the result in that place, whoever has changed them."""
        return [self.folder / name for name in self._own(place) if not name.endswith(_BESIDE)]

    def outdated(
        self, place: PurePath, earlier: Record | None, content: str, written: Iterable[Path]
    ) -> list[Path]:
        """What an earlier run has left in that place that does not go with what was written there since, and
        is as this program wrote it: what explained its result, its sidecars and, if it was of another
        picture, its faces. Not what goes with another result that is there too: a sidecar may be that of two.

        Args:
            place: of the result.
            earlier: what was known of it before it was written.
            content: digest of the content of what it is of now.
            written: its files; none where there was nothing to restore.
        """
        new = set(written)
        if earlier is None or not new:
            return []
        is_another = earlier.input != content
        own = [
            name for name in self._own(place) if name.endswith(_BESIDE) or (is_another and FACE.search(name))
        ]
        left = [path for path in map(self.folder.joinpath, own) if path not in new and self.wrote(path)]
        return [path for path in left if not self._goes_with_another(place, self._name(path))]

    def _goes_with_another(self, place: PurePath, name: str) -> bool:
        others = (self._of_place[each] for each in self._places[name] - {place.as_posix()})
        return any(name in each.own and self._exists(each.place) for each in others)

    def wrote(self, path: Path) -> bool:
        """Whether the file at ``path`` is as this program wrote it."""
        return self._is_as_written(self._name(path), path)

    def begin(self, place: PurePath, content: str, path: str, file: Path, filled: Path) -> None:
        """Note that a file of a result is going to be moved to its place.

        Args:
            place: of the result.
            content: digest of the input's content.
            path: digest of the input's path.
            file: where it goes.
            filled: where it is.

        Raises:
            HimeError: it cannot be noted, or read.
        """
        name, written = self._name(file), digest(filled)
        kept = {each: known for each, known in self._still_there(place).items() if each != name}
        record = Record(place.as_posix(), content, path, {}, {name: written}, kept)
        self._take(record)
        self._begun[name] = written
        append(self.folder, [record], lasting=True)

    def add(
        self, place: PurePath, content: str, path: str, made: Mapping[str, str], files: Sequence[Path]
    ) -> None:
        """Note what made the files of one result.

        Where nothing was written, the files of an earlier result of the same input stay its own. Those of
        another one stay the other one's, and nothing is noted.

        Raises:
            HimeError: it cannot be noted.
        """
        kept = self._still_there(place)
        if not files and kept and self._of_place[place.as_posix()].input != content:
            return
        names = {self._name(file): file for file in files}
        written = {name: self._begun.pop(name, "") or digest(file) for name, file in names.items()}
        kept = {name: known for name, known in kept.items() if name not in written}
        record = Record(place.as_posix(), content, path, made, written, kept)
        self._take(record)
        append(self.folder, [record])

    def _take(self, record: Record) -> None:
        self._of_place[record.place] = record
        for name, known in record.own.items():
            self._of_file.setdefault(name, set()).add(known)
            self._places[name].add(record.place)
            self._owner.setdefault(name, record.place)
            if FACE.search(name):
                self._faces[FACE.sub(FACES, name)].add(name)
        self._owner.update(dict.fromkeys(record.files, record.place))
        if record.made:  # else what is there may be the file noted, or still the one before
            self._of_file.update((name, {known}) for name, known in record.files.items())

    def _own(self, place: PurePath) -> list[str]:
        """The files that are there of that place and of no other."""
        wanted = place.as_posix()
        return [name for name in self._still_there(place) if self._owner[name] == wanted]

    def _still_there(self, place: PurePath) -> dict[str, str]:
        earlier = self.of(place)
        own = {} if earlier is None else earlier.own
        return {name: known for name, known in own.items() if self._exists(name)}

    def _is_as_written(self, name: str, path: Path) -> bool:
        known = self._of_file.get(name)
        try:
            return known is not None and digest(path) in known
        except HimeError:
            return False

    def _exists(self, name: str) -> bool:
        return os.path.lexists(self.folder / name)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _real_name(self, path: Path) -> str | None:
        """What a file is called below the folder, by whatever links it is reached; None elsewhere."""
        try:
            return real_place(path).relative_to(os.path.realpath(self.folder)).as_posix()
        except ValueError:
            return None


class Results:
    """The results of earlier runs wherever they lie, by the records of a file's own folder and of those above
    it. Each folder is looked at once. A file in a result's place that is not as it was written there (another
    photo, a result that was edited) is none.

    Args:
        marked: whether a picture that says so itself (`hime.pictures.marks`) is one too, wherever it was
            moved or copied: as a photo of somebody. What is to be restored may be.
    """

    def __init__(self, *, marked: bool = False) -> None:
        self._marked = marked
        self._above: dict[Path, tuple[Records, ...]] = {}

    def has(self, path: Path) -> bool:
        """Whether that file is one, or is a link to one."""
        return any(
            records.is_result(each)
            for each in {real_place(path), Path(os.path.realpath(path))}
            for records in self._records(each.parent)
        ) or (self._marked and is_marked(path))

    def less(self, folder: Path, found: FoundPictures) -> tuple[FoundPictures, list[str]]:
        """What was found in a folder less the results in it and what explains them, and a line about them."""
        pictures = tuple(path for path in found.pictures if not self.has(path))
        others = tuple((path, reason) for path, reason in found.passed_over if not self.has(path))
        count = len(found.pictures) - len(pictures)
        lines = [line_about(folder, count)] if count else []
        return replace(found, pictures=pictures, passed_over=others), lines

    def _records(self, folder: Path) -> tuple[Records, ...]:
        if folder not in self._above:
            own = (Records(folder),) if os.path.lexists(folder / FILE) else ()
            above = () if folder.parent == folder else self._records(folder.parent)
            self._above[folder] = own + above
        return self._above[folder]


def line_about(folder: Path, count: int) -> str:
    """What is told of results that lie in a folder and are passed over."""
    return f"{folder}: passed over: {count} result{'s' * (count > 1)} of earlier runs in it"


def serving(made: Mapping[str, str]) -> list[Mapping[str, str]]:
    """What a result may have been made with to serve: where no report is asked for, also with one."""
    return [made, {**made, "report": "True"}] if made.get("report") == "False" else [made]


def needed(files: Iterable[str], made: Mapping[str, str]) -> list[str]:
    """Of a result's files those without which it is not done: a report only where it is asked for."""
    return [name for name in files if made.get("report") != "False" or not name.endswith(_REPORTS)]


def append(folder: Path, records: Iterable[Record], *, lasting: bool = False) -> None:
    """Note what made results, in the folder that they are in.

    Args:
        folder: which.
        records: what is noted.
        lasting: whether the disk must have it before this returns.

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
            if lasting:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise HimeError(
            f"{path}: cannot be written ({reason_of(error)}), so that the next run will not know "
            "what made the results; check the permissions and the room on the disk"
        ) from error


def is_full(error: HimeError) -> bool:
    """Whether something could not be noted because the disk is full."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL


def _parsed(line: bytes) -> Record | None:
    """A line's record, if it is one in every part."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or {"kept", *value} != Record.__dataclass_fields__.keys():
        return None
    texts = [value["place"], value["input"], value["path"]]
    for mapping in (value["made"], value["files"], value.get("kept", {})):
        if not isinstance(mapping, dict):
            return None
        texts += mapping.values()
    return Record(**value) if all(isinstance(text, str) for text in texts) else None
