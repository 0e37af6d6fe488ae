"""``--engine ray``: commands on as many processors as there are (`hime.cluster`, extra ``cluster``)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hime.cli.arguments import positive
from hime.cli.models import open_restorer, portable
from hime.cli.summary import counted
from hime.errors import HimeError
from hime.restoring.exported import DEFAULT_MODEL, DEFAULT_PHOTO_MODEL, DEFAULT_VIDEO_MODEL
from hime.restoring.inputs import Listing
from hime.restoring.people import check_encoded
from hime.restoring.restorer import Restorer
from hime.restoring.sources import find_people
from hime.terminal import answer, complain, note, say

if TYPE_CHECKING:
    from hime.cluster.engine import Pool
    from hime.cluster.job import JobSummary
    from hime.cluster.listing import Sources
    from hime.faces.cache import LookCache

Check = Callable[[Listing | None], None]

ENGINES = ("local", "ray")


def add_engine(command: argparse.ArgumentParser) -> None:
    """``--engine`` and what belongs to it."""
    command.add_argument(
        "--engine",
        choices=ENGINES,
        default="local",
        help="what works: this process, or workers on Ray (extra cluster), which go on after a crash; "
        "default: local",
    )
    command.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of a Ray cluster, with --engine ray; default: RAY_ADDRESS, else this machine alone",
    )
    command.add_argument(
        "--concurrency",
        type=positive,
        metavar="N",
        help="workers, with --engine ray, each of --threads processors (of one, where that is not given); "
        "default: as many as there are processors for",
    )


def refuse_ray_options(options: argparse.Namespace) -> None:
    """Whether what is for Ray was given without it; then the parser says so, and stops (status 2)."""
    for name in ("address", "concurrency"):
        if options.engine != "ray" and getattr(options, name) is not None:
            options.parser.error(f"--{name} is for --engine ray")


def check_engine(options: argparse.Namespace) -> None:
    """Whether the arguments of ``hime restore`` go together; else the parser says what not, and stops."""
    if options.engine == "ray":
        if options.dry_run:
            options.parser.error("--dry-run is not for --engine ray; leave out one of them")
        return
    refuse_ray_options(options)
    url = next((each for each in (*options.inputs, options.out) if not isinstance(each, Path)), None)
    if url is not None:
        options.parser.error(f"{url} is a URL, which is for --engine ray")


def restore_in_bulk(options: argparse.Namespace, check: Check, cache: LookCache | None) -> int:
    """``hime restore --engine ray``; ``check`` says whether the options suit what was found."""
    from hime.cluster import require

    require()
    from hime.cluster.job import JobSummary
    from hime.cluster.listing import find_sources

    sources = find_sources(options.inputs, options.out)
    summary = JobSummary(notes=[*sources.passed_over])
    if options.aligned:
        check(None)
        _headshots(options, sources, summary)
    else:
        inputs, clips = ([each.named for each in kind] for kind in (sources.pictures, sources.clips))
        check(Listing(inputs=inputs, clips=clips))
        if inputs and clips:  # what would keep the second from beginning is told before the first
            models = (_opener(options, each)() for each in (DEFAULT_PHOTO_MODEL, DEFAULT_VIDEO_MODEL))
            check_encoded(find_people(options.refs, options.named), models)
        if inputs:
            _photos(options, sources, summary, cache)
        if clips:
            try:
                _clips(options, sources, summary, cache)
            except HimeError as error:
                if not inputs:
                    raise
                summary.fail(str(error))  # what became of the photographs is told all the same
    if options.json:
        tell_json(summary)
    else:
        tell(summary, options.out)
    return 1 if summary.failed else 0


def _photos(
    options: argparse.Namespace, sources: Sources, summary: JobSummary, cache: LookCache | None
) -> None:
    from hime.cluster.job import restore_photos
    from hime.restoring.photographs import Choice

    choice = Choice(
        options.everyone,
        options.person,
        options.face,
        options.enlarge,
        options.crop,
        options.report,
        options.keep_date,
        options.even_sharp,
        options.strength,
    )
    restore_photos(
        _opener(options, DEFAULT_PHOTO_MODEL), sources, options.refs, options.out, choice,
        pool_of(options, options.threads), summary,
        overwrite=options.overwrite, cache=cache, named=options.named,
    )  # fmt: skip


def _headshots(options: argparse.Namespace, sources: Sources, summary: JobSummary) -> None:
    from hime.cluster.job import restore_headshots
    from hime.restoring.headshots import MAX_LR_SIDE, HeadshotChoice

    side = options.max_lr_side or MAX_LR_SIDE
    choice = HeadshotChoice(options.report, side, options.even_sharp, options.strength, options.keep_date)
    restore_headshots(
        _opener(options, DEFAULT_MODEL), sources, options.refs, options.out, choice,
        pool_of(options, options.threads), summary, overwrite=options.overwrite,
    )  # fmt: skip


def _clips(
    options: argparse.Namespace, sources: Sources, summary: JobSummary, cache: LookCache | None
) -> None:
    from hime.cluster.job import restore_clips
    from hime.restoring.video.batch import ClipChoice

    choice = ClipChoice(
        options.everyone,
        options.person,
        options.enlarge or 1,
        options.report,
        options.overwrite,
        options.keep_date,
    )
    restore_clips(
        _opener(options, DEFAULT_VIDEO_MODEL), sources, options.refs, options.out, choice,
        pool_of(options, options.threads), summary,
        overwrite=options.overwrite, cache=cache, named=options.named,
    )  # fmt: skip


def pool_of(options: argparse.Namespace, threads: int | None) -> Pool:
    """Who works, each with so many threads: by default one."""
    from hime.cluster.engine import Pool

    return Pool(options.address, options.concurrency, threads or 1)


def _opener(options: argparse.Namespace, default: str) -> Callable[[], Restorer]:
    """Opens the model, here and in each worker, whose current folder is another one."""
    model = portable(options.model or default)
    return partial(open_restorer, model, options.threads or 1, options.fidelity, options.device)


def tell(summary: JobSummary, out: Path | str) -> None:
    """What became of a job: what failed and what should be known on standard error, the sum on standard
    output.
    """
    for line in summary.notes:
        note(f"hime: {line}")
    if summary.more_notes:
        note(f"hime: {summary.more_notes} further notes are in {summary.records}")
    for line in summary.lines:
        complain(f"hime: {line}")
    failed = sum(summary.failed.values())
    if failed > len(summary.lines):
        complain(f"hime: {failed - len(summary.lines)} further failures are in {summary.records}")
    rest = counted(summary.by_person, summary.skipped, summary.nothing)
    say(f"{summary.restored} restored to {out}{rest}")
    for reason, count in summary.failed.most_common():
        complain(f"hime: {count} failed: {reason}")


def tell_json(summary: JobSummary) -> None:
    """The same as one JSON object on standard output; `docs/cluster.md` says what is in it."""
    told = {
        "restored": summary.restored,
        "skipped": summary.skipped,
        "nothing": summary.nothing,
        "failed": dict(summary.failed.most_common()),
        "people": [{"person": person, "faces": count} for person, count in summary.by_person],
        "seconds": summary.seconds,
        "worker_seconds": summary.work_seconds,
        "records": summary.records,
    }
    answer(*json.dumps(told, indent=2).split("\n"))
