"""Clips from files and folders, results to files: `hime restore` for videos.

A clip that cannot be used is told in the summary, and the others are done all the same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hime.errors import HimeError
from hime.files import incomplete
from hime.restoring.batch import Found, Summary, run_batch
from hime.restoring.inputs import Input, Listing, find_inputs, together
from hime.restoring.outputs import Output, Outputs
from hime.restoring.people import Cast, made_with, read_cast
from hime.restoring.restorer import Restorer
from hime.restoring.sources import find_people
from hime.restoring.video.cast import RestoredRole
from hime.restoring.video.reading import ENDINGS, WRITTEN, open_clip
from hime.restoring.video.restore import (
    Progress,
    RestoredClip,
    rehearse_video,
    restore_video,
)
from hime.restoring.video.writing import result_suffix
from hime.terminal import Meter

if TYPE_CHECKING:
    from hime.faces.cache import LookCache


def restore_clips(
    restorer: Restorer,
    inputs: Listing | Sequence[Path | str],
    references: Sequence[Path | str],
    out: Path | str,
    *,
    everyone: bool = False,
    only_person: str | None = None,
    enlargement: int = 1,
    report: bool = False,
    overwrite: bool = False,
    keep_date: bool = True,
    cache: LookCache | None = None,
    named: bool | None = None,
    dry_run: bool = False,
) -> Summary:
    """Restore the far-away faces of clips, see `hime.restoring.video.restore.restore_video`.

    Args:
        restorer: the model.
        inputs: videos: files, and folders of them and of folders; or what was found in them.
        references: the people, as `hime.restoring.sources.find_people` takes them; none: everybody of whom
            a clip has sharp near frames.
        out: for one clip, the file to write; otherwise a folder.
        everyone: restore strangers too.
        only_person: restore only that person.
        enlargement: how many times the sides become: 1, 2 or 4.
        report: write beside each result NAME.html, which explains it.
        overwrite: restore again what is there already or half done.
        keep_date: give a result the date of its clip's file.
        cache: where what is learned of each reference is kept (`hime.faces.cache`); default nowhere.
        named: see `hime.restoring.sources.find_people`.
        dry_run: find out what would be done: the clips are looked through, and nothing is written.

    Raises:
        HimeError: nothing can be done: two people of one name, a result that would overwrite what is read or
            another result, or the extras ``faces`` or ``video`` are not installed.
    """
    out = Path(out)
    listing = inputs if isinstance(inputs, Listing) else find_inputs(inputs, out)
    sources = find_people(references, named)
    read = [*(each.path for each in listing.clips), *sources.files]
    outputs = Outputs(
        listing.given, listing.clips, out, tuple(WRITTEN), ENDINGS, clip_ending, read, overwrite=overwrite
    )
    # What was passed over, and how people were understood, is told with the photographs if there are any.
    alone = not listing.inputs
    summary = Summary(
        passed_over=[*listing.passed_over, *sources.passed_over] if alone else [],
        notes=[*sources.notes] if alone else [],
    )
    cast = read_cast(sources, restorer, summary if alone else None, cache)
    if only_person is not None:
        from hime.restoring.photo import find_person

        find_person(cast.people, only_person)

    choice = ClipChoice(everyone, only_person, enlargement, report, overwrite, keep_date)
    job = ClipJob(restorer, cast, listing.clips, summary, choice, dry_run)
    made = {**made_with(restorer, cast), **choice.made}
    run_batch(listing.clips, outputs, made, summary, job.restore, skip=job.skip, dry_run=dry_run, turns=False)
    return summary


@dataclass(frozen=True)
class ClipChoice:
    """Whom and how to restore, see `restore_clips`."""

    everyone: bool = False
    only_person: str | None = None
    enlargement: int = 1
    report: bool = False
    overwrite: bool = False
    keep_date: bool = True

    @property
    def made(self) -> dict[str, str]:
        """What of it results are made with, for `hime.restoring.batch.run_batch`, naming nobody."""
        options = f"video {self.everyone} {self.only_person} {self.enlargement}"
        options += "" if self.keep_date else " undated"  # so that earlier results count as made like this
        return {"options": together([options]), "report": str(self.report)}


@dataclass(frozen=True)
class ClipJob:
    """What is the same for all clips of a batch.

    Attributes:
        restorer: the model.
        cast: who may be in the clips.
        clips: all of them.
        summary: filled in.
        choice: whom and how to restore.
        dry_run: write nothing.
    """

    restorer: Restorer
    cast: Cast
    clips: Sequence[Input]
    summary: Summary
    choice: ClipChoice
    dry_run: bool = False

    def restore(self, each: Input, content: str, output: Output) -> None:
        """One clip, see `hime.restoring.batch.run_batch`."""
        clips, choice = self.clips, self.choice
        count = f" ({clips.index(each) + 1} of {len(clips)})" if len(clips) > 1 else ""
        output.claim(output.path)
        output.claim(incomplete(output.path))
        page = output.path.with_name(f"{output.path.name}.html") if choice.report else None
        if page is not None:
            output.claim(page)
        people = self.cast.without(content)
        modified = each.path.stat().st_mtime_ns
        with Meter(f"{each.path.name}{count}") as meter:
            chosen: dict[str, Any] = {
                "everyone": choice.everyone,
                "only_person": choice.only_person,
                "enlargement": choice.enlargement,
                "progress": _shown(meter),
            }
            if self.dry_run:
                roles = rehearse_video(each.path, people, self.restorer, output.path, **chosen)
                self.summary.written.append(output.path)
                _tell_faces(each.path, output.path, roles, self.summary)
                return
            restored = restore_video(
                each.path, people, self.restorer, output.path,
                overwrite=choice.overwrite, report=page, **chosen,
            )  # fmt: skip
        if choice.keep_date:
            with contextlib.suppress(OSError):  # some shares take none; the result is whole all the same
                os.utime(restored.path, ns=(modified, modified))
        _tell(each.path, restored, self.summary)

    def skip(self, each: Input, output: Output) -> None:
        """A clip whose result is there."""
        part = incomplete(output.place)
        if output.earlier is not None and part.as_posix() in output.earlier.files:
            self.summary.notes.append(
                f"{each.path}: {incomplete(output.path)} is there, which lacks what does not decode"
            )


def clip_ending(path: Path) -> str:
    """Of the result of a clip in a folder; whatever it is, where the clip cannot be read."""
    try:
        return result_suffix(open_clip(path))
    except HimeError:  # told when its turn comes
        return ".mp4"


def _shown(meter: Meter) -> Callable[[Progress], None]:
    return lambda progress: meter.show(progress.step, progress.done, progress.frames)


def _tell(path: Path, restored: RestoredClip, summary: Summary) -> None:
    """What a user should know of a clip that was restored."""
    summary.written.append(restored.path)
    if restored.damage is not None:
        summary.failed.append(f"{path}: {restored.damage}; the rest is in {restored.path}")
    summary.notes.extend(f"{path}: {line}" for line in restored.notes)
    _tell_faces(path, restored.path, restored.faces, summary)


def _tell_faces(path: Path, target: Path, faces: Sequence[RestoredRole], summary: Summary) -> None:
    for face in faces:
        names = tuple(
            each.source or ("a frame" if each.seconds is None else f"{each.seconds:.1f} s")
            for each in face.references
        )
        summary.found.append(
            Found(path, target, face.name, face.status, frames=face.frames, references=names)
        )
        if face.status == "restored":
            summary.faces[face.name] += 1
            if not face.references:
                summary.notes.append(
                    f"{path}: {face.name}: no sharp near frame and no photo: restored without"
                )
        elif face.seen and "not one of" not in face.status:
            summary.notes.append(f"{path}: {face.name}: {face.status}")
