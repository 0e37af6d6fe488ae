"""A job from its beginning to its summary: what is left is planned, worked through, recorded and told."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hime.cluster.engine import Pool, connected, run
from hime.cluster.ledger import NOTHING, RESTORED, Ledger
from hime.cluster.listing import Found, Sources, clip_ending_of, ending_of
from hime.cluster.planning import plan_job, tell_loop
from hime.cluster.storage import Store
from hime.cluster.work import Clips, Headshots, Photographs, Work, portable
from hime.errors import HimeError
from hime.pictures.formats import READ, WRITTEN
from hime.restoring.batch import Summary
from hime.restoring.headshots import HeadshotChoice, headshots_made_with, read_references
from hime.restoring.inputs import find_references
from hime.restoring.outputs import is_file
from hime.restoring.people import Cast, made_with, read_cast
from hime.restoring.photographs import Choice, check_enlargement
from hime.restoring.restorer import Restorer, check_strength
from hime.restoring.sources import find_people
from hime.terminal import Meter

if TYPE_CHECKING:
    from hime.faces.cache import LookCache
    from hime.restoring.video.batch import ClipChoice

TOLD = 20
"""Lines of a kind that a summary holds; all are in the job's files."""


@dataclass
class JobSummary:
    """What became of a job's sources.

    Attributes:
        restored: how many in this run.
        skipped: how many were restored already.
        nothing: in how many there was nothing to restore, now or when an earlier run looked for the same.
        failed: how many failed, by reason.
        people: how often each was restored; None stands for strangers.
        lines: of the first `TOLD` that failed, with their names.
        notes: the first `TOLD` lines that a user should know, and of everything before the work.
        more_notes: how many further ones there are.
        seconds: from the first task's beginning to the last one's end.
        work_seconds: the workers' time, over all rows.
        records: where the rows of the job lie.
    """

    restored: int = 0
    skipped: int = 0
    nothing: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    people: Counter[str | None] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    more_notes: int = 0
    seconds: float = 0.0
    work_seconds: float = 0.0
    records: str = ""

    @property
    def by_person(self) -> list[tuple[str | None, int]]:
        """Who was restored how often, in an order that does not depend on who ended first."""
        return sorted(self.people.items(), key=lambda item: (-item[1], item[0] or ""))

    def add(self, row: Mapping[str, Any]) -> None:
        """Count what became of a source."""
        self.work_seconds += row["seconds"] or 0.0
        self.people.update(row["people"])
        self.restored += row["status"] == RESTORED
        if row["status"] == NOTHING:
            self.nothing += 1
        elif row["reason"] is not None:  # also of a video of which only a part could be restored
            self.fail(row["reason"], row["source"])
        self.note(row["notes"])

    def note(self, lines: Sequence[str]) -> None:
        """Take lines that a user should know."""
        room = max(0, TOLD - len(self.notes))
        self.notes.extend(lines[:room])
        self.more_notes += len(lines[room:])

    def fail(self, line: str, source: str = "") -> None:
        """Count a source that failed, with its line."""
        self.failed[line.replace(f"{source}: ", "") if source else line.partition(": ")[2]] += 1
        if len(self.lines) < TOLD:
            self.lines.append(line)


def restore_photos(
    open_model: Callable[[], Restorer],
    sources: Sources,
    references: Sequence[Path | str],
    out: Path | str,
    choice: Choice,
    pool: Pool,
    summary: JobSummary | None = None,
    *,
    overwrite: bool = False,
    cache: LookCache | None = None,
    named: bool | None = None,
) -> JobSummary:
    """Restore the known people in whole photographs, see `hime.restoring.photographs.restore_photos`.

    Each picture's result is the file that the plain loop writes, byte for byte. The same call goes on with a
    job that was interrupted; what failed is tried again.

    Args:
        open_model: opens the model, here and in each worker.
        sources: photographs, see `hime.cluster.listing.find_sources`.
        references: the people, files and folders of this machine, see `hime.restoring.sources.find_people`.
        out: a folder, or a URL of one.
        choice: whom and how to restore.
        pool: who works.
        summary: gets what becomes of the sources.
        overwrite: restore again what is done, and replace what is there and no result of the job.
        cache: where what is learned of each reference is kept (`hime.faces.cache`); default nowhere.
        named: see `hime.restoring.sources.find_people`.

    Raises:
        HimeError: nothing can be done, or the job cannot go on.
    """
    from hime.faces.networks import require

    check_strength(choice.strength)
    if choice.only_face is not None and len(sources.pictures) > 1:
        raise HimeError(
            f"a face's number is for one picture, not {len(sources.pictures)}; give one input with --face"
        )
    store, summary = _store(out), summary or JobSummary()
    require()
    restorer = open_model()
    check_enlargement(choice, restorer.scale)
    known = _known(restorer, references, choice.only_person, summary, cache, named)
    return run_job(
        Photographs(open_model, known.cast, choice, pool.threads),
        sources.pictures,
        store,
        {**known.made, **choice.made},
        (lambda _: ".png") if choice.crop else ending_of,
        (*WRITTEN, *READ),
        known.files,
        pool,
        summary,
        overwrite=overwrite,
    )


def restore_headshots(
    open_model: Callable[[], Restorer],
    sources: Sources,
    references: Sequence[Path | str],
    out: Path | str,
    choice: HeadshotChoice,
    pool: Pool,
    summary: JobSummary | None = None,
    *,
    overwrite: bool = False,
) -> JobSummary:
    """Restore headshots framed alike, see `hime.restoring.headshots.restore_headshots`.

    The parameters are those of `restore_photos`; references are pictures of this machine.

    Raises:
        HimeError: nothing can be done, or the job cannot go on.
    """
    check_strength(choice.strength)
    store, summary, restorer = _store(out), summary or JobSummary(), open_model()
    photos, told = find_references(references), Summary()
    used = read_references(photos.inputs, restorer, choice, told)
    summary.notes.extend(photos.passed_over)
    for line in told.failed:
        summary.fail(line)
    return run_job(
        Headshots(open_model, used, choice, pool.threads),
        [*sources.pictures, *sources.clips],  # which fail when their turn comes, as in the plain loop
        store,
        headshots_made_with(restorer, used, choice),
        lambda _: ".png",
        (*WRITTEN, *READ),
        [photo.path for photo in photos.inputs],
        pool,
        summary,
        overwrite=overwrite,
    )


def restore_clips(
    open_model: Callable[[], Restorer],
    sources: Sources,
    references: Sequence[Path | str],
    out: Path | str,
    choice: ClipChoice,
    pool: Pool,
    summary: JobSummary | None = None,
    *,
    overwrite: bool = False,
    cache: LookCache | None = None,
    named: bool | None = None,
) -> JobSummary:
    """Restore the faces in videos, see `hime.restoring.video.batch.restore_clips`.

    The parameters are those of `restore_photos`. A worker takes one video at a time.

    Raises:
        HimeError: nothing can be done, or the job cannot go on.
    """
    from hime.faces.networks import require
    from hime.restoring.video.reading import ENDINGS

    store, summary = _store(out), summary or JobSummary()
    require()
    known = _known(open_model(), references, choice.only_person, summary, cache, named)
    return run_job(
        Clips(open_model, known.cast, choice, pool.threads),
        sources.clips,
        store,
        {**known.made, **choice.made},
        clip_ending_of,
        ENDINGS,
        known.files,
        pool,
        summary,
        overwrite=overwrite,
    )


@dataclass(frozen=True)
class _Known:
    """The people of a job, what results are made with so far, and the files that were read."""

    cast: Cast
    made: Mapping[str, str]
    files: Sequence[Path]


def _known(
    restorer: Restorer,
    references: Sequence[Path | str],
    only_person: str | None,
    summary: JobSummary,
    cache: LookCache | None,
    named: bool | None,
) -> _Known:
    from hime.restoring.photo import find_person

    people, told = find_people(references, named), Summary()
    cast = portable(read_cast(people, restorer, told, cache))
    if only_person is not None:
        find_person(cast.people, only_person)
    lines, known = dict.fromkeys([*people.passed_over, *people.notes, *told.notes]), {*summary.notes}
    summary.notes.extend(line for line in lines if line not in known)
    return _Known(cast, made_with(restorer, cast), people.files)


def _store(out: Path | str) -> Store:
    """Where the results go.

    Raises:
        HimeError: that is one file, by any ending of pictures or videos.
    """
    from hime.restoring.video.reading import ENDINGS  # with all that restores videos

    store = Store.at(out)
    if is_file(Path(store.root), (*WRITTEN, *READ, *ENDINGS)):
        raise HimeError(f"{out}: is one file; with --engine ray --out is a folder, or a URL of one")
    return store


def run_job(
    work: Work,
    sources: Sequence[Found],
    store: Store,
    made: Mapping[str, str],
    ending: Callable[[Found], str],
    known: Sequence[str],
    read: Sequence[Path],
    pool: Pool,
    summary: JobSummary,
    *,
    overwrite: bool,
) -> JobSummary:
    """Do what is left of a job; the parameters are those of `hime.cluster.planning.plan_job`.

    Raises:
        HimeError: nothing can be done, or the job cannot go on.
    """
    store.check_writable()
    ledger = Ledger(store, partial(tell_loop, store, made))
    plan = plan_job(sources, store, ledger, made, ending, known, read, overwrite=overwrite)
    summary.records = ledger.place
    summary.skipped += len(plan.skipped)
    summary.nothing += len(plan.nothing)
    summary.note(plan.notes)
    for line in plan.refused:
        summary.fail(line)
    if plan.rows:
        summary.seconds += work_through(work, plan.rows, store, ledger, pool, "restored", summary.add)
    return summary


def work_through(
    work: Work,
    rows: Sequence[Mapping[str, Any]],
    store: Store,
    ledger: Ledger,
    pool: Pool,
    step: str,
    take: Callable[[Mapping[str, Any]], None],
) -> float:
    """Let workers do rows, and record them; gives the seconds that they took together.

    Args:
        work: what to do.
        rows: see `hime.cluster.engine.run`.
        store: where the results go.
        ledger: of the job.
        pool: who works.
        step: what is done, for the progress.
        take: gets each row that is done.

    Raises:
        HimeError: the job cannot go on.
    """
    done, began = 0, time.perf_counter()
    try:
        with connected(pool) as workers, Meter(store.root) as meter:
            began = time.perf_counter()
            for finished, parts in run(work, rows, store, ledger.run, pool, workers):
                ledger.finished(finished, parts)
                for row in finished:
                    take(row)
                done += len(finished)
                meter.show(step, done, len(rows))
    finally:
        ledger.put_together()
    return time.perf_counter() - began
