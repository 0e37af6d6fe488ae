"""What ``hime restore`` tells of what it has done, or would do: for people, and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from hime.restoring.batch import Found, Summary
from hime.terminal import answer, complain, note, say


def tell(summary: Summary, out: Path, dry_run: bool) -> None:
    """What became of the inputs: results on standard output, everything else on standard error."""
    for line in (*summary.passed_over, *summary.notes, *summary.nothing):
        note(f"hime: {line}")
    for line in summary.failed:
        complain(f"hime: {line}")
    if dry_run:
        answer(*_rehearsed(summary))
    say(_told(summary, out, dry_run))
    if summary.failed:
        done = "would be restored" if dry_run else "restored"
        complain(f"hime: {len(summary.failed)} failed, {len(summary.written)} {done}")


def tell_json(summaries: Sequence[Summary], dry_run: bool) -> None:
    """The same as one JSON object on standard output; `docs/command_line.md` says what is in it."""
    parts = ("written", "skipped", "nothing", "failed", "passed_over", "notes")
    told = {part: [item for summary in summaries for item in getattr(summary, part)] for part in parts}
    faces = [asdict(face) for summary in summaries for face in summary.found]
    text = json.dumps({"dry_run": dry_run, **told, "faces": faces}, indent=2, default=str)
    answer(*text.split("\n"))


def _rehearsed(summary: Summary) -> list[str]:
    """What a dry run found: a line an input, and below it a line a face."""
    lines: list[str] = []
    for source, found in groupby(summary.found, key=lambda face: face.input):
        faces = list(found)
        outputs = dict.fromkeys(str(face.output) for face in faces if face.output is not None)
        lines.append(f"{source} → {', '.join(outputs)}")
        lines.extend(f"  {_face(face)}" for face in faces)
    return lines


def _face(face: Found) -> str:
    if face.number is not None:
        what = f"face {face.number}, {face.person or 'a stranger'}, {face.side} pixels"
    else:
        what = face.person or f"headshot, {face.side} pixels"
    if face.status != "restored":
        return f"{what}: {face.status}"
    frames = "" if face.frames is None else f" in {face.frames} frames"
    photos = f"{len(face.references)} photo{'' if len(face.references) == 1 else 's'}"
    return f"{what}: would be restored{frames} with {photos}"


def counted(faces: Iterable[tuple[str | None, int]], skipped: int, nothing: int) -> str:
    """The rest of that line: how often each person was restored (None: strangers last), and what was left."""
    named = dict(faces)
    strangers = named.pop(None, 0)
    told = [f"{person} {count}" for person, count in named.items()]
    told += [f"strangers {strangers}"] if strangers else []
    text = f" ({', '.join(told)})" if told else ""
    if skipped:
        text += f"; {skipped} there already, --overwrite restores again"
    if nothing:
        text += f"; nothing to restore in {nothing}"
    return text


def _told(summary: Summary, out: Path, dry_run: bool) -> str:
    """What was restored, on one line."""
    written = summary.written
    text = str(written[0]) if len(written) == 1 else f"{len(written)} restored to {out}"
    if dry_run:
        text = f"nothing is written; {len(written)} would be restored to {out}"
    text += counted(summary.faces.items(), len(summary.skipped), len(summary.nothing))
    if summary.passed_over:
        text += f"; {len(summary.passed_over)} passed over"
    return text
