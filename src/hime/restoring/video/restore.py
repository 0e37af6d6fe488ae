"""A whole clip restored: found, planned, made, joined.

    from hime.restoring.video import restore_video

    restored = restore_video("call.mp4", [read_person("mum/")], hime.load(), "restored/call.mp4")
    restored.path, restored.faces

Frames stream through: memory does not grow with the clip's length. The work is kept beside the result until
that is whole, so that the same call goes on after an interruption.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hime.errors import HimeError, NothingToRestore
from hime.faces.album import Person, check_people
from hime.faces.networks import require
from hime.files import incomplete
from hime.pictures.names import spelled
from hime.processors import threads
from hime.restoring.restorer import Restorer, check_count, check_only_person, check_restorer
from hime.restoring.video.cast import REFERENCES, RestoredRole, Role, roles, with_references
from hime.restoring.video.faces import FittedReferences
from hime.restoring.video.findings import (
    Findings,
    Workplace,
    find,
    fingerprint,
    load_candidate,
    read_findings,
)
from hime.restoring.video.joining import join
from hime.restoring.video.making import make
from hime.restoring.video.plan import Plan, largest_side
from hime.restoring.video.reading import WRITTEN, Clip, Damage, open_clip
from hime.restoring.video.report import explain, write_clip_report
from hime.restoring.video.smoothing import steady_tracks
from hime.restoring.video.writing import Encoding, encoding_for

FORMAT = 4
"""Of the files in the workplace; another version's are not gone on with."""
ENLARGEMENTS = (1, 2, 4)
INTERLACED = "its frames are interlaced, two moments in each; those of the result show the first"
"""The line about a clip of which that is so."""
RESIZED = "its frames change in size or shape within it; all of the result have those of the first"
"""The line about a clip of which that is so."""
JOINED = "its times begin anew within it, as recordings do that were joined; those of the result go on"
"""The line about a clip of which that is so."""
LARGEST_RESULT = 8192 * 4352
"""Pixels of a frame of the result at the most."""


@dataclass(frozen=True)
class Progress:
    """How far a clip is.

    Attributes:
        step: ``"looking"``, then ``"restoring"``, and ``"explaining"`` where a report is written.
        done: frames done in it.
        frames: that there will be; an estimate in the first step, 0 where nothing tells.
    """

    step: str
    done: int
    frames: int


@dataclass(frozen=True, eq=False)
class RestoredClip:
    """What became of a clip.

    Attributes:
        path: the result.
        faces: everybody who was found, the people given first.
        frames: how many.
        damage: one line about what does not decode, None where all does.
        notes: lines about the rest that a user should know.
    """

    path: Path
    faces: tuple[RestoredRole, ...]
    frames: int
    damage: str | None
    notes: tuple[str, ...]


def restore_video(
    path: Path | str,
    people: Sequence[Person],
    restorer: Restorer,
    out: Path | str,
    *,
    everyone: bool = False,
    only_person: str | None = None,
    enlargement: int = 1,
    references: int = REFERENCES,
    overwrite: bool = False,
    report: Path | str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> RestoredClip:
    """Restore the far-away faces of a clip.

    A face is restored where it is small (`hime.restoring.video.plan.largest_side`) and left as it is where
    it is near. Its references are the clip's own sharp, near frames and the photos given. Without ``people``
    everybody is restored of whom the clip has such frames; with them, only they are.

    Called again after an interruption it goes on where it was, with as many threads of the encoder as it was
    begun with, and the result's frames are the same. A second call to the same ``out`` meanwhile is refused.

    Args:
        path: the clip.
        people: who may be in it.
        restorer: the model; its references are not touched.
        out: the file to write: ``.mp4``, ``.m4v``, ``.mov``, ``.mkv`` or ``.webm``.
        everyone: restore strangers too, and without references those of whom there are none.
        only_person: restore only the person of that name.
        enlargement: how many times the sides become: 1, 2 or 4.
        references: at most so many a person.
        overwrite: begin anew what was interrupted.
        report: an HTML file to write, which shows before and after, the references and likeness over time.
        progress: called after each frame.

    Returns:
        What became of it; ``path`` is another than ``out`` (`hime.files.incomplete`) if a part of the clip is
        missing.

    Raises:
        NothingToRestore: nothing in the clip is to be restored.
        HimeError: the same of a person asked for, the clip cannot be read, the result cannot be written, or
            another run is at work on it.
    """
    _check(people, restorer, only_person, enlargement, references)
    clip, out, encoding = _opened(path, out, enlargement)
    tell = progress or (lambda _: None)
    workplace = Workplace(out.with_name(f".{out.name}.hime"))
    with workplace.held(out):
        if overwrite:
            workplace.clear()
        task = _task(clip, people, restorer, encoding, everyone, only_person, references)
        encoding = replace(encoding, threads=workplace.begin(task, encoding.threads))
        looked = _look(clip, workplace, people, restorer, everyone, only_person, references, tell)
        fitted = {
            index: FittedReferences(looked.cast[index].references, restorer.scale) for index in looked.chosen
        }
        findings, total = looked.findings, len(looked.findings.pts)
        make(
            clip, encoding, workplace, looked.plan, restorer, fitted, enlargement, total,
            lambda done: tell(Progress("restoring", done, total)),
        )  # fmt: skip
        target = incomplete(out) if looked.damage else out
        line = _damage_line(looked.damage) if looked.damage else None
        remark = f"Incomplete: {line}." if line else ""
        left_out = join(clip, encoding, workplace, findings.pts, target, remark, looked.damage)
        if report is not None:
            found = explain(
                clip, target, looked.cast, looked.plan, total, enlargement,
                lambda done: tell(Progress("explaining", done, total)),
            )  # fmt: skip
            write_clip_report(report, clip.path.name, found, looked.faces, line)
        workplace.clear()
    damage = looked.damage
    told = {INTERLACED: damage.interlaced, RESIZED: damage.resized, JOINED: bool(damage.shifts)}
    notes = (*clip.notes, *(line for line, is_so in told.items() if is_so), *left_out)
    return RestoredClip(target, looked.faces, total, line, notes)


def rehearse_video(
    path: Path | str,
    people: Sequence[Person],
    restorer: Restorer,
    out: Path | str,
    *,
    everyone: bool = False,
    only_person: str | None = None,
    enlargement: int = 1,
    references: int = REFERENCES,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[RestoredRole, ...]:
    """Who is in a clip and what `restore_video`, with the same arguments, would do: the clip is looked
    through, nothing is written but to a temporary folder that is gone afterwards.

    Returns:
        Everybody who was found; a status of ``"restored"`` says that the person would be.

    Raises:
        NothingToRestore, HimeError: as `restore_video`.
    """
    _check(people, restorer, only_person, enlargement, references)
    clip, out, encoding = _opened(path, out, enlargement)
    with tempfile.TemporaryDirectory(prefix="hime-") as folder:
        workplace = Workplace(Path(folder) / "clip")
        task = _task(clip, people, restorer, encoding, everyone, only_person, references)
        workplace.begin(task, encoding.threads)
        tell = progress or (lambda _: None)
        return _look(clip, workplace, people, restorer, everyone, only_person, references, tell).faces


def _check(
    people: Sequence[Person], restorer: Restorer, only_person: str | None, enlargement: int, references: int
) -> None:
    """Refuse arguments that are something else, before any work."""
    check_people(people)
    check_restorer(restorer)
    check_only_person(only_person)
    check_count("enlargement", enlargement)
    check_count("references", references)


def _opened(path: Path | str, out: Path | str, enlargement: int) -> tuple[Clip, Path, Encoding]:
    """The clip, where its result goes, and how that is encoded.

    Raises:
        HimeError: the clip cannot be read, or not be enlarged so much; or there is no such kind of result.
    """
    require()
    if enlargement not in ENLARGEMENTS:
        raise HimeError(f"a video is enlarged 1, 2 or 4 times, not {enlargement}")
    out = Path(out)
    if out.suffix.lower() not in WRITTEN:
        what = out.suffix or "a video without an ending"
        raise HimeError(f"{out}: cannot write {what}; use one of {', '.join(WRITTEN)}")
    clip = open_clip(path)
    if clip.width * clip.height * enlargement**2 > LARGEST_RESULT:
        raise HimeError(
            f"{path}: its frames of {clip.width}×{clip.height} pixels are too large to be enlarged "
            f"{enlargement} times; choose a smaller --enlarge"
        )
    return clip, out, encoding_for(clip, out.suffix.lower(), int(enlargement), min(threads(), 8))


@dataclass(frozen=True, eq=False)
class _Looked:
    """What is known of a clip once it was looked through.

    Attributes:
        damage: where it does not decode.
        findings: the faces followed.
        cast: everybody.
        chosen: the indices of who is restored.
        plan: what is restored in which frame.
        faces: everybody, and what is done to each.
    """

    damage: Damage
    findings: Findings
    cast: Sequence[Role]
    chosen: Sequence[int]
    plan: Plan
    faces: tuple[RestoredRole, ...]


def _look(
    clip: Clip,
    workplace: Workplace,
    people: Sequence[Person],
    restorer: Restorer,
    everyone: bool,
    only_person: str | None,
    references: int,
    tell: Callable[[Progress], None],
) -> _Looked:
    """The first pass over a clip, and what follows from it.

    Raises:
        NothingToRestore: nothing in the clip is to be restored.
        HimeError: the same of a person asked for.
    """
    damage = find(clip, workplace, lambda done: tell(Progress("looking", done, clip.frames)), threads())
    findings = read_findings(workplace)
    cast, said, chosen = _cast(clip, findings, workplace, people, everyone, only_person, references)
    plan = Plan(cast, chosen, largest_side(restorer.card), float(clip.rate))
    told = enumerate(zip(cast, said, strict=True))
    faces = tuple(_told(role, status, plan.frames_of(index)) for index, (role, status) in told)
    if not plan.frames:
        workplace.clear()
        nothing = NothingToRestore if only_person is None else HimeError
        raise nothing(f"{clip.path}: {_nothing(faces)}")
    return _Looked(damage, findings, cast, chosen, plan, faces)


def _task(
    clip: Clip,
    people: Sequence[Person],
    restorer: Restorer,
    encoding: Encoding,
    everyone: bool,
    only_person: str | None,
    references: int,
) -> dict[str, Any]:
    """All that the result depends on, as JSON has it: no number of NumPy's; without the encoder's
    threads, which stay those that the work was begun with.
    """
    shown = [
        [
            person.name,
            [[photo.name, round(photo.quality, 6), round(photo.yaw, 6)] for photo in person.references],
        ]
        for person in people
    ]
    return {
        "format": FORMAT,
        "clip": fingerprint(clip.path),
        "model": restorer.name,
        "checksums": dict(restorer.card.get("sha256", {})),
        "fidelity": restorer.fidelity,
        "people": shown,
        "everyone": bool(everyone),
        "only_person": only_person,
        "references": int(references),
        "encoding": [encoding.codec, encoding.format, encoding.width, encoding.height],
    }


def _cast(
    clip: Clip,
    findings: Findings,
    workplace: Workplace,
    people: Sequence[Person],
    everyone: bool,
    only_person: str | None,
    references: int,
) -> tuple[list[Role], list[str], list[int]]:
    """Everybody, what is done to each (as `RestoredRole` says it), and the indices of who is restored."""
    tracks = steady_tracks(findings, float(clip.rate))
    cast, said, chosen = [], [], []
    for index, role in enumerate(roles(tracks, findings, people)):
        role = with_references(
            role, findings, lambda number: load_candidate(workplace, findings, number, clip), references
        )
        reason = None
        if not role.tracks:
            reason = "not in the clip"
        elif only_person is not None and (role.person is None or spelled(role.name) != spelled(only_person)):
            reason = "not asked for"
        elif people and role.person is None and not everyone:
            reason = "not one of the people given"
        elif not role.references and role.person is None and not everyone:
            reason = "no sharp near frame of this face in the clip"
        cast.append(role)
        said.append(f"left: {reason}" if reason else "restored")
        if reason is None:
            chosen.append(index)
    return cast, said, chosen


def _told(role: Role, status: str, frames: int) -> RestoredRole:
    sides = [track.frames[:, 2] for track in role.tracks]
    seen = sum(len(side) for side in sides)
    if status == "restored" and not frames:
        smallest = round(float(min(side.min() for side in sides)))
        status = f"left: near enough everywhere ({smallest} pixels with hair and neck at the least)"
    return RestoredRole(role.name, status, frames, seen, role.references if frames else ())


def _nothing(faces: Sequence[RestoredRole]) -> str:
    """Why nothing is restored in a clip with these faces, and what to do."""
    present = [face for face in faces if face.seen]
    if not present:
        return "no face found; give a clip with faces of at least 16 pixels"
    reasons = "; ".join(f"{face.name}: {face.status.removeprefix('left: ')}" for face in present[:4])
    if any("near" in face.status and "frame" not in face.status for face in present):
        return f"nothing to restore ({reasons})"
    return f"nothing to restore ({reasons}); give photos with --refs, or restore without: --everyone"


def _damage_line(damage: Damage) -> str:
    assert damage.first is not None
    if damage.until is None:
        return f"does not decode from {damage.first:.1f} s on ({damage.reason})"
    return f"is damaged from {damage.first:.1f} s on, until {damage.until:.1f} s ({damage.reason})"
