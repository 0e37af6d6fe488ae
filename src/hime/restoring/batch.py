"""A batch: each input to its result, one by one; what goes wrong with one keeps no other from it.

`run_batch` is the walk that whole photographs (`hime.restoring.photographs`), headshots
(`hime.restoring.headshots`) and videos (`hime.restoring.video.batch`) share: what is done is skipped, what is
made is noted (`hime.restoring.records`), and every failure becomes one line of the `Summary`.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hime.errors import HimeError, NothingToRestore
from hime.files import reason_of, told_before_moving
from hime.restoring.inputs import Input, digest, digests, sidecars, together
from hime.restoring.outputs import Output, Outputs, path_digest
from hime.restoring.records import Record, Records, is_full, needed, serving
from hime.restoring.restorer import Restorer
from hime.terminal import track

log = logging.getLogger(__name__)
"""Of each failure, with its traceback, at level DEBUG: ``--debug`` shows it."""


NO_OTHER_PHOTO = "its only photo is the picture itself: restored without"
"""What is told of a face, or a headshot, that is among the references and alone there."""


@dataclass(frozen=True)
class Found:
    """A face in an input and what became of it, or would.

    Attributes:
        input: the file.
        output: where the result goes; None of a face that is left where each face is a file of its own.
        person: who it is; None for a stranger. In a video also somebody without photos: ``"person 1"``.
        status: ``"restored"``, or ``"left: "`` and why, in plain words.
        number: from left to right, as ``--face`` has it; None in a video and of a headshot.
        box: x and y of its upper left corner, width and height, in pixels of the input; None in a video and
            of a headshot.
        side: of the face with hair and neck, in pixels of the input; None in a video.
        frames: of a video in which it is restored, None of a picture.
        references: the photos used, by name; of a video's own frames the seconds at which they are.
        similarity_before: see `hime.restoring.face.RestoredFace`.
        similarity_after: see there.
        warning: see there.
    """

    input: Path
    output: Path | None
    person: str | None
    status: str
    number: int | None = None
    box: tuple[float, float, float, float] | None = None
    side: int | None = None
    frames: int | None = None
    references: tuple[str, ...] = ()
    similarity_before: float | None = None
    similarity_after: float | None = None
    warning: str | None = None


@dataclass(frozen=True)
class Summary:
    """What became of the inputs, or would become of them in a dry run.

    Attributes:
        written: the pictures written, or that would be.
        skipped: the inputs whose results were there already, made of the same by the same.
        nothing: a line for each input in which there was nothing to restore, now or when an earlier run
            looked for the same.
        failed: a line for each input (or headshot's reference) that could not be used.
        passed_over: a line for each thing in a folder that is no picture.
        notes: lines about the rest that a user should know: warnings, photos not used as references and why.
        faces: how often each person was restored in whole photographs; None stands for strangers.
        found: the faces of what was not skipped, input by input; of one that fails none.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faces: Counter[str | None] = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)


def run_batch(
    inputs: Sequence[Input],
    outputs: Outputs,
    made: Mapping[str, str],
    summary: Summary,
    restore: Callable[[Input, str, Output], None],
    description: str | None = None,
    skip: Callable[[Input, Output], None] | None = None,
    *,
    dry_run: bool = False,
    turns: bool = True,
) -> None:
    """Restore each input to its output.

    Of two runs into one folder each waits for a result that the other one is making, and then knows it.

    Args:
        inputs: in this order.
        outputs: where the results go.
        made: what results are made with, a text for each part; if all parts are the same, they are the same.
        summary: filled in.
        restore: restores one input, the digest of whose content it is given, and claims every file that it
            writes, by `hime.files.write_atomically` in this thread. Raises `hime.errors.NothingToRestore`
            where there is nothing to restore, and anything else where it fails.
        description: what is at work, for the progress; none is shown without.
        skip: told of each input that is skipped, since its output is there.
        dry_run: ``restore`` writes nothing, and nothing is noted.
        turns: whether to wait; otherwise ``restore`` sees to it that no other run makes the same result.
    """
    for each in inputs if description is None else track(inputs, description):
        with contextlib.ExitStack() as turn:
            output = None
            try:
                content = digest(each.path)
                if turns and not dry_run:
                    turn.enter_context(outputs.turn(each))
                outputs.records.refresh()
                now = {**made, "sidecars": together(digests(sidecars(each.path)).values())}
                output = outputs.output(each, content)
                if not outputs.overwrite and _is_done(output.earlier, content, now, outputs):
                    _tell_done(each, output, outputs.records, summary, skip)
                    continue
                noting = partial(_note_file, each, content, output, outputs.records, summary)
                try:
                    with told_before_moving(noting):
                        restore(each, content, output)
                except NothingToRestore as reason:
                    summary.nothing.append(f"{told(each.path, reason)}{_kept(output, outputs.records)}")
            except Exception as error:
                log.debug("%s", each.path, exc_info=True)
                summary.failed.append(told(each.path, error, output))
                continue
            written = output.written()
            if output.is_elsewhere and (dry_run or written):
                place = outputs.folder / output.place  # where faces alone are too
                summary.notes.append(f"{each.path}: is {place}, since another picture's result has its name")
            if dry_run:
                continue
            try:
                for path in outputs.records.outdated(output.place, output.earlier, content, written):
                    if not outputs.reads(path):
                        _delete(path, summary)
                outputs.records.add(output.place, content, path_digest(each.path), now, written)
            except HimeError as error:
                _note_once(error, summary)


def _is_done(earlier: Record | None, content: str, made: Mapping[str, str], outputs: Outputs) -> bool:
    return (
        earlier is not None
        and earlier.input == content
        and earlier.made in serving(made)
        and outputs.records.are_there(needed(earlier.files, made))
    )


def _tell_done(
    each: Input,
    output: Output,
    records: Records,
    summary: Summary,
    skip: Callable[[Input, Output], None] | None,
) -> None:
    """Tell that an earlier run has done what there is to be done with an input."""
    if output.earlier is not None and not output.earlier.files:
        line = f"{each.path}: nothing to restore, as found before; --overwrite looks again"
        summary.nothing.append(f"{line}{_kept(output, records)}")
        return
    summary.skipped.append(each.path)
    if skip is not None:
        skip(each, output)


def _kept(output: Output, records: Records) -> str:
    """What to say besides where there is nothing to restore: an earlier run thought otherwise, and its result
    is kept.
    """
    names = ", ".join(map(str, paths := records.results_of(output.place)))
    return f"; {names} {'is' if len(paths) == 1 else 'are'} of an earlier run" if paths else ""


def _delete(path: Path, summary: Summary) -> None:
    """Delete what goes with a result that is no longer there; where that fails, say so."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        summary.notes.append(f"{path}: is of an earlier run; delete it by hand ({reason_of(error)})")


def _note_file(
    each: Input, content: str, output: Output, records: Records, summary: Summary, filled: Path, file: Path
) -> None:
    """Note a file of a result before it is moved to its place.

    Raises:
        HimeError: the disk is full, or somebody has put another file there since it was claimed. Whatever
            else is wrong with the records is a note, and the work is done.
    """
    if not output.is_claimed(file):  # what is needed on the way to the result
        return
    output.check_still(file, filled)
    try:
        records.begin(output.place, content, path_digest(each.path), file, filled)
    except HimeError as error:
        if is_full(error):
            raise
        _note_once(error, summary)


def _note_once(error: HimeError, summary: Summary) -> None:
    if str(error) not in summary.notes:
        summary.notes.append(str(error))


def told(path: Path, error: Exception, output: Output | None = None) -> str:
    """The one line about a file with which, or with whose output, something went wrong."""
    if isinstance(error, HimeError):
        named = [path] if output is None else [path, output.path.with_suffix("")]
        line = str(error)
        return line if line.startswith(tuple(map(str, named))) else f"{path}: {line}"
    if isinstance(error, MemoryError):
        return f"{path}: needs more memory than there is; make it smaller"
    if isinstance(error, OSError):
        return f"{path}: {reason_of(error)}; check the file and its disk"
    reason = next(iter(str(error).splitlines()), "")
    kind = type(error).__name__
    return f"{path}: failed ({kind}{': ' if reason else ''}{reason}); leave it out, or see --debug for more"


def model_digest(restorer: Restorer) -> str:
    """A digest of the models that a restorer uses, wherever its dial stands; less the other end where that
    cannot be had, so that it stands at 0.
    """
    ends = [restorer.backend]
    with contextlib.suppress(HimeError):
        if (other := restorer.backend.reconstruction) is not None:
            ends.append(other)
    return together(f"{sorted(end.card.items())}" for end in ends)
