"""What is done with a row, wherever that is: its file fetched and worked on as in the plain loop.

A kind of work is a `Work`: it travels to the workers once, through the object store, and there opens what it
needs.
"""

from __future__ import annotations

import abc
import contextlib
import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Protocol

from hime.cluster.ledger import FAILED, NOTHING, RESTORED, Part, filled
from hime.cluster.storage import Store, fetch, is_url, path_of, unreachable
from hime.errors import NothingToRestore
from hime.faces.album import Reference
from hime.faces.matching import Crowd
from hime.files import check_writable
from hime.pictures.sidecars import sidecar_names
from hime.processors import limit_threads
from hime.restoring.batch import Summary, told
from hime.restoring.headshots import HeadshotChoice, HeadshotJob, HeadshotReference
from hime.restoring.inputs import Input, digest, digests, sidecars, together
from hime.restoring.outputs import Output
from hime.restoring.people import Cast
from hime.restoring.photographs import Choice, PhotoJob
from hime.restoring.restorer import Restorer

if TYPE_CHECKING:
    from hime.restoring.video.batch import ClipChoice, ClipJob

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
"""How often work on a source is begun: what ends its worker that often is a row that failed."""

Do = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Does what is to be done for a row, and gives the columns that say what became of it; raises nothing."""
Restore = Callable[[Input, str, Output], Summary]
"""Restores an input with that digest to its output; see `hime.restoring.batch.run_batch`."""


class Work(Protocol):
    """A kind of work; may be pickled."""

    def open(self, store: Store) -> Do:
        """Open what it needs, once a worker; results go to the store."""
        ...


@dataclass(frozen=True)
class _OfPeople(abc.ABC):
    """Faces of known people restored.

    Attributes:
        restorer: opens the model.
        cast: who may be there, see `portable`.
        choice: whom and how to restore.
        threads: of a worker.
    """

    restorer: Callable[[], Restorer]
    cast: Cast
    choice: Choice | ClipChoice
    threads: int

    def open(self, store: Store) -> Do:
        """Open the model."""
        limit_threads(self.threads)
        restorer = self.restorer()

        def restore(each: Input, content: str, output: Output) -> Summary:
            job = self._job(restorer, each)
            job.restore(each, content, output)
            return job.summary

        return by_files(restore, store)

    @abc.abstractmethod
    def _job(self, restorer: Restorer, each: Input) -> PhotoJob | ClipJob:
        """What restores one input."""


class Photographs(_OfPeople):
    """Whole photographs restored, as `hime.restoring.photographs.restore_photos` does it."""

    choice: Choice

    def _job(self, restorer: Restorer, each: Input) -> PhotoJob:
        return PhotoJob(restorer, self.cast, self.choice, Summary())


class Clips(_OfPeople):
    """Videos restored, as `hime.restoring.video.batch.restore_clips` does it."""

    choice: ClipChoice

    def _job(self, restorer: Restorer, each: Input) -> ClipJob:
        from hime.restoring.video.batch import ClipJob

        return ClipJob(restorer, self.cast, (each,), Summary(), self.choice)


@dataclass(frozen=True)
class Headshots:
    """Headshots framed alike restored, as `hime.restoring.headshots.restore_headshots` does it.

    Attributes:
        restorer: opens the model.
        references: photos of the person.
        choice: how to restore.
        threads: of a worker.
    """

    restorer: Callable[[], Restorer]
    references: Sequence[HeadshotReference]
    choice: HeadshotChoice
    threads: int

    def open(self, store: Store) -> Do:
        """Open the model."""
        limit_threads(self.threads)
        job = HeadshotJob(self.restorer(), self.references, Summary(), self.choice)

        def restore(each: Input, content: str, output: Output) -> Summary:
            job.summary = Summary()
            job.restore(each, content, output)
            return job.summary

        return by_files(restore, store)


def portable(cast: Cast) -> Cast:
    """The same people with their headshots in memory, as other processes need them."""
    people = []
    for person in cast.people:
        references = tuple(
            Reference(each.name, each.crop, each.embedding, each.quality, each.yaw, each.path)
            if callable(each.picture)
            else each
            for each in person.references
        )
        people.append(replace(person, references=references))
    return replace(cast, people=Crowd(people))


class Worker:
    """Works through rows, one after the other.

    Args:
        work: the kind of work.
        store: where the results go.
        run: of the job, see `hime.cluster.ledger.Ledger`.
    """

    def __init__(self, work: Work, store: Store, run: str) -> None:
        self._do = work.open(store)
        self._store = store
        self._run = run

    def work(self, task: int, rows: Sequence[Mapping[str, Any]]) -> Part:
        """Do what is left of a task's rows; each is in the part's file when it is done."""
        part = Part(self._store, self._run, task)
        for row in rows:
            if part.is_done(row["source"]):
                continue
            attempts = part.begin(row)
            if attempts > MOST_ATTEMPTS:
                reason = f"{row['source']}: ended its worker {MOST_ATTEMPTS} times; leave it out"
                left = files_left(row, self._store)
                part.end(filled({**row, **left}, status=FAILED, reason=reason, attempts=attempts))
            else:
                part.end(self._one(row, attempts))
        part.write()
        return part

    def _one(self, row: Mapping[str, Any], attempts: int) -> dict[str, Any]:
        """What became of one row."""
        began = time.perf_counter()
        done = self._do(row)
        return filled({**row, **done}, attempts=attempts, seconds=time.perf_counter() - began)


def by_files(restore: Restore, store: Store) -> Do:
    """Work that makes files of a file."""

    def do(row: Mapping[str, Any]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="hime-") as folder:
            return _Attempt(row, store, Path(folder)).run(restore)

    return do


def files_left(
    row: Mapping[str, Any], store: Store, written: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """The columns ``files`` and ``digests`` where no result was made: what is there and may be replaced.

    By them the next run tells what somebody else has put there since.

    Args:
        row: as it was planned, see `hime.cluster.planning.Plan`.
        store: where they are.
        written: files that were written before it failed, and their digests.
    """
    found = dict(zip(row.get("files") or [], row.get("digests") or [], strict=True)) | dict(written or {})
    if store.folder is not None:
        unknown = [store.folder / name for name, content in found.items() if not content]
        known = {path.relative_to(store.folder).as_posix(): each for path, each in digests(unknown).items()}
        found = {name: known.get(name, content) for name, content in found.items()}
        found = {name: content for name, content in found.items() if content}
    return {"files": list(found), "digests": list(found.values())}


class _Attempt:
    """One row worked on. Texts name its source and its result wherever they really are."""

    is_file = False

    def __init__(self, row: Mapping[str, Any], store: Store, folder: Path) -> None:
        self._row = row
        self._put: dict[str, str] = {}
        self._source = str(row["source"])
        self._place = PurePath(row["place"])
        self._store = store
        self._here = folder / "in"
        self._out = store.folder or folder / "out"

    def check(self, path: Path) -> None:
        """What may be replaced was found out when the job was planned."""
        check_writable(path)

    def run(self, restore: Restore) -> dict[str, Any]:
        output = Output(self._out / self._place, self._place, None, False, self)
        local = Path(self._source)
        done: dict[str, Any] = {}
        try:
            if is_url(self._source):
                local = self._fetched()
            done["input"] = digest(local)
            done["sidecars"] = together(digests(sidecars(local)).values())
            try:
                summary = restore(Input(local), done["input"], output)
            except NothingToRestore as reason:
                line = self._text(told(local, reason), local)
                return {**done, **self._left(output), "status": NOTHING, "reason": line}
            files = {path.relative_to(self._out).as_posix(): digest(path) for path in output.written()}
            if self._store.folder is None:
                for name, content in files.items():
                    self._store.put(self._out / name, name)
                    self._put[name] = content
        except Exception as error:
            log.debug("%s", self._source, exc_info=True)
            line = str(error)
            if not line.startswith((self._source, self._store.root)):
                line = self._text(told(local, error, output), local)
            return {**done, **self._left(output), "status": FAILED, "reason": line}
        failed = [self._text(line, local) for line in summary.failed]
        is_made = bool(files) or not failed
        faces = [
            {name: value for name, value in asdict(face).items() if name not in ("input", "output")}
            for face in summary.found
        ]
        return {
            **done,
            **({"files": list(files), "digests": list(files.values())} if is_made else self._left(output)),
            "status": RESTORED if is_made else FAILED,
            "reason": "; ".join(failed) or None,
            "people": list(summary.faces.elements()),
            "notes": [self._text(line, local) for line in summary.notes],
            "details": json.dumps(faces),
        }

    def _left(self, output: Output) -> dict[str, list[str]]:
        """The files that are there though it came to nothing, see `files_left`."""
        if self._store.folder is None:
            return files_left(self._row, self._store, self._put)
        written = digests(output.written())
        names = {path.relative_to(self._out).as_posix(): content for path, content in written.items()}
        return files_left(self._row, self._store, names)

    def _fetched(self) -> Path:
        """A copy of the source on this machine, with its sidecars beside it."""
        self._here.mkdir()
        try:
            local = fetch(self._source, self._here)
        except FileNotFoundError as error:
            raise unreachable(self._source, error) from None
        name = path_of(self._source).rpartition("/")[2]
        if not self._source.endswith(name):  # what a web address asks for with it is of this file alone
            return local
        above = self._source.removesuffix(name)
        for sidecar in sidecar_names(name):
            with contextlib.suppress(FileNotFoundError):  # asking first would take a request more
                fetch(f"{above}{sidecar}", self._here)
        return local

    def _text(self, line: str, local: Path) -> str:
        if is_url(self._source):
            line = line.replace(str(local), self._source)
        return line if self._store.folder else line.replace(str(self._out), self._store.root)
