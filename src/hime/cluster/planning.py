"""What of a job is left to be done, and where its results go."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from hime.cluster.ledger import BEGUN, NOTHING, RESTORED, Ledger
from hime.cluster.listing import Found, place
from hime.cluster.storage import Store, is_url
from hime.errors import HimeError
from hime.files import identity, incomplete
from hime.restoring.inputs import digest, key, numbered, sidecars, together
from hime.restoring.outputs import path_digest
from hime.restoring.records import FACE, Record, Records, append, needed, serving

_NEEDED = ("place", "stamp", "made", "status", "files", "digests", "attempts")
"""What of a row says whether it is done."""


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        rows: ``source``, ``place``, ``stamp``, ``made`` and ``attempts`` of each source that is left; and
            ``files`` that are there and may be replaced, with their ``digests``, "" where they are not known.
        skipped: sources whose results are there.
        nothing: sources in which an earlier run found nothing to restore.
        notes: a line for each source of whose result a part is missing, since it does not decode.
        refused: a line for each source whose result would replace what is not the job's.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def plan_job(
    sources: Sequence[Found],
    store: Store,
    ledger: Ledger,
    made: Mapping[str, str],
    ending: Callable[[Found], str],
    known: Sequence[str],
    read: Iterable[Path],
    *,
    overwrite: bool,
) -> Plan:
    """Find out what is left of a job.

    Done is a source whose content has not changed since, as far as its stamp tells, whose result was made
    with the same, and whose files are there, whoever has changed them since.

    Args:
        sources: all of the job.
        store: where the results go.
        ledger: what is known of the job; the plan in it is extended.
        made: what results are made with, a text for each part.
        ending: of a source's result.
        known: endings of files, see `hime.restoring.inputs.places`.
        read: further files that are read and must not be replaced.
        overwrite: begin anew with these sources, and replace also what is not the job's.

    Raises:
        HimeError: a result would replace what is read.
    """
    if overwrite:
        ledger.forget({each.source for each in sources})
    rows, planned = ledger.rows(_NEEDED), ledger.plan()
    found = dict(zip((each.source for each in sources), place(sources, ending, known), strict=True))
    new = _placed({source: at for source, at in found.items() if source not in planned}, planned)
    places = [planned.get(source) or new[source] for source in found]
    there = _Present(store, [*places, *(name for source in found for name in _files_of(rows.get(source)))])
    _refuse_what_is_read(store, there, places, read, sources)
    whole = made_digest(made)
    plan = Plan()
    ours = _Ours(rows, store)
    accepted: dict[str, str] = {}
    for each in sources:
        at = planned.get(each.source) or new[each.source]
        row = rows.get(each.source)
        if row is not None and _is_done(row, each, at, made, there):
            (plan.nothing if row["status"] == NOTHING else plan.skipped).append(each.source)
            if (part := str(incomplete(PurePosixPath(at)))) in row["files"]:
                plan.notes.append(
                    f"{each.source}: {store.place(part)} is there, which lacks what does not decode"
                )
            continue
        files = there.of(at, row)
        asked = [] if overwrite else _in_question(files, row, is_planned=each.source in planned)
        others = [name for name in asked if not ours.wrote(name, each)]
        if others:
            plan.refused.append(
                f"{store.place(others[0])}: is there already, not as this job wrote it; --overwrite "
                "replaces it, another --out keeps it"
            )
            continue
        if each.source not in planned:
            accepted[each.source] = at
        attempts = row["attempts"] if row is not None and row["status"] == BEGUN else 0
        plan.rows.append(
            {
                "source": each.source, "place": at, "stamp": each.stamp, "made": whole, "attempts": attempts,
                "files": list(files), "digests": list(files.values()),
            }
        )  # fmt: skip
    ledger.extend_plan(accepted)
    return plan


def made_digest(made: Mapping[str, str]) -> str:
    """One digest of all that results are made with."""
    return together(f"{name}={value}" for name, value in made.items())


def tell_loop(store: Store, made: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Let the plain loop know what the job made (`hime.restoring.records`), where both could."""
    if store.folder is None:
        return
    whole = made_digest(made)
    records = [
        Record(
            row["place"],
            row["input"],
            path_digest(Path(row["source"])),
            {**made, "sidecars": row["sidecars"]},
            dict(zip(row["files"], row["digests"], strict=True)) if row["status"] == RESTORED else {},
        )
        for row in rows
        if row["status"] in (RESTORED, NOTHING)
        and row["made"] == whole
        and not is_url(row["source"])
        # Where nothing was written, what is there stays whose it was.
        and (row["status"] == RESTORED or not os.path.lexists(store.place(row["place"])))
    ]
    if records:
        append(store.folder, records)


class _Present:
    """The files that are in a store where results go.

    Args:
        store: the store.
        places: of results, and files of them: what lies in the folders of these is looked at.
    """

    def __init__(self, store: Store, places: Iterable[str]) -> None:
        self.names = store.names({str(PurePosixPath(name).parent) for name in places})
        self._faces: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in self.names:
            path = PurePosixPath(name)
            if FACE.search(path.name):
                self._faces[str(path.parent), FACE.sub("", path.name)].append(name)

    def beside(self, place: str) -> list[str]:
        """Those that may be a part of the result in that place."""
        path = PurePosixPath(place)
        more = (f"{path.name}.html", f"{path.name}.xmp", f"{path.stem}.xmp", f"{path.stem}.json")
        names = [path.name, *more, incomplete(path).name]
        found = [name for each in names if (name := str(path.with_name(each))) in self.names]
        return found + self._faces.get((str(path.parent), path.stem), [])

    def of(self, place: str, row: Mapping[str, Any] | None) -> dict[str, str]:
        """Those, and those that its row has, each with the digest that the row has of it, else ""."""
        known = _files_of(row)
        names = dict.fromkeys([*self.beside(place), *known])
        return {name: known.get(name, "") for name in names if name in self.names}


def _files_of(row: Mapping[str, Any] | None) -> dict[str, str]:
    """The files that a row has, each with its digest."""
    return {} if row is None else dict(zip(row["files"], row["digests"], strict=True))


def _in_question(files: Iterable[str], row: Mapping[str, Any] | None, *, is_planned: bool) -> Sequence[str]:
    """Which of the files that are where a source's result goes may be somebody else's.

    What was begun, or planned and no more, may have written any of them. Beside a result may lie what the job
    wrote there earlier, with other options.
    """
    if is_planned and (row is None or row["status"] == BEGUN):
        return []
    if row is not None and row["status"] == RESTORED:
        return [name for name in files if name in row["files"]]
    return list(files)


class _Ours:
    """Whether files are as the job wrote them, or the plain loop.

    Args:
        rows: of the job.
        store: where the results are.
    """

    def __init__(self, rows: Mapping[str, Mapping[str, Any]], store: Store) -> None:
        self._rows = rows
        self._store = store

    def wrote(self, name: str, each: Found) -> bool:
        """Whether it is, the plain loop's of that source; behind a URL no file is looked at: there a name
        that the job wrote is its own.
        """
        known = self._digests.get(name, set())
        if self._records is None:
            return bool(known)
        path = Path(self._store.place(name))
        try:
            return (bool(known) and digest(path) in known) or _is_the_loops(self._records, path, each)
        except HimeError:  # it cannot be read
            return False

    @cached_property
    def _digests(self) -> dict[str, set[str]]:
        """What was in each file; two sources of one name with different endings share a page or a report."""
        found: dict[str, set[str]] = defaultdict(set)
        for row in self._rows.values():
            for name, content in zip(row["files"], row["digests"], strict=True):
                found[name].add(content)
        return found

    @cached_property
    def _records(self) -> Records | None:
        return None if self._store.folder is None else Records(self._store.folder)


def _is_done(
    row: Mapping[str, Any], each: Found, place: str, made: Mapping[str, str], there: _Present
) -> bool:
    return (
        row["status"] in (RESTORED, NOTHING)
        and row["stamp"] == each.stamp
        and row["made"] in map(made_digest, serving(made))
        and row["place"] == place
        and there.names.issuperset(needed(row["files"], made))
    )


def _is_the_loops(records: Records, path: Path, each: Found) -> bool:
    """Whether a file is as the plain loop wrote it, of the same source."""
    owner = records.owner(path)
    if owner is None or is_url(each.source) or not records.wrote(path):
        return False
    source = Path(each.source)
    return owner.path == path_digest(source) or owner.input == digest(source)


def _placed(new: Mapping[str, str], planned: Mapping[str, str]) -> dict[str, str]:
    """The places of new sources, with numbers where earlier ones have them."""
    taken = {key(PurePath(place)) for place in planned.values()}
    found = {}
    for source, at in new.items():
        path = PurePath(at)
        if key(path) in taken:
            path = next(each for each in numbered(path) if key(each) not in taken)
        taken.add(key(path))
        found[source] = path.as_posix()
    return found


def _refuse_what_is_read(
    store: Store, there: _Present, places: Sequence[str], read: Iterable[Path], sources: Sequence[Found]
) -> None:
    """Refuse results that would replace a source, or another file that is read.

    Raises:
        HimeError: one would.
    """
    if store.folder is None:
        urls = {each.source for each in sources}
        wrong = next((store.place(at) for at in places if store.place(at) in urls), None)
    else:
        targets = [Path(store.place(name)) for at in places for name in there.beside(at)]
        if not targets:
            return
        files = [*read, *(Path(each.source) for each in sources if not is_url(each.source))]
        identities = {identity(file) for path in files for file in (path, *sidecars(path))} - {None}
        wrong = next((str(path) for path in targets if identity(path) in identities), None)
    if wrong is not None:
        raise HimeError(f"{wrong}: would overwrite what is read from there; choose another --out")
