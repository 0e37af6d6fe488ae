"""Clips from files and folders, results to files: `hime restore` for videos.

A clip that cannot be used is told in the summary, and the others are done all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from hime.errors import HimeError
from hime.pictures.formats import READ, images_in
from hime.progress import Meter
from hime.restoring.batch import PERSON, Summary, read_people
from hime.restoring.restorer import Restorer
from hime.restoring.video.reading import ENDINGS, WRITTEN, is_clip, open_clip
from hime.restoring.video.restore import Progress, RestoredClip, incomplete, restore_video, result_path


def split_inputs(inputs: Sequence[Path | str]) -> tuple[list[Path], list[Path]]:
    """Which of the inputs hold pictures, and which clips: by their content, in folders by their endings.

    Args:
        inputs: files, and folders of them.

    Returns:
        Pictures, or folders of nothing else, as they were given; and the clips.
    """
    pictures: list[Path] = []
    clips: dict[Path, Path] = {}
    for path in map(Path, inputs):
        if not path.is_dir():
            if is_clip(path):
                clips.setdefault(path.resolve(), path)
            else:
                pictures.append(path)
            continue
        found = [file for file in images_in(path, ENDINGS) if file.suffix.lower() != ".gif" or is_clip(file)]
        clips.update({file.resolve(): file for file in found if file.resolve() not in clips})
        others = [file for file in images_in(path, READ) if file not in found]
        # A folder that holds both stands for its pictures one by one.
        pictures += [path] if not found else others
    return pictures, list(clips.values())


def restore_clips(
    restorer: Restorer,
    clips: Sequence[Path],
    references: Sequence[Path | str],
    out: Path | str,
    *,
    everyone: bool = False,
    only_person: str | None = None,
    enlargement: int = 1,
    overwrite: bool = False,
) -> Summary:
    """Restore the far-away faces of clips, see `hime.restoring.video.restore.restore_video`.

    Args:
        restorer: the model.
        clips: files.
        references: the people, as `hime.restoring.batch.restore_photos` takes them; none: everybody of whom
            a clip has sharp near frames.
        out: for one clip, the file to write; otherwise a folder.
        everyone: restore strangers too.
        only_person: restore only that person.
        enlargement: how many times the sides become: 1, 2 or 4.
        overwrite: restore again what is there already or half done.

    Raises:
        HimeError: nothing can be done: two people of one name, a result that would overwrite what is read or
            another result, or the extras ``faces`` or ``video`` are not installed.
    """
    summary = Summary()
    targets = _targets(clips, Path(out), summary)
    _refuse_overwriting(targets, clips, references)
    people = read_people(references, restorer)
    if only_person is not None:
        from hime.restoring.photo import find_person

        find_person(people, only_person)
    for person in people:
        summary.notes.extend(
            f"{person.name}: {name} is not used: {reason}" for name, reason in person.rejected
        )
    for number, (path, target) in enumerate(targets.items(), start=1):
        there = next((each for each in (target, incomplete(target)) if each.exists()), None)
        if there is not None and not overwrite:
            summary.skipped.append(path)
            if there != target:
                summary.notes.append(f"{path}: {there} is there, which lacks what does not decode")
            continue
        name = path.name if len(targets) == 1 else f"{path.name} ({number} of {len(targets)})"
        try:
            with Meter(name) as meter:
                restored = restore_video(
                    path,
                    people,
                    restorer,
                    target,
                    everyone=everyone,
                    only_person=only_person,
                    enlargement=enlargement,
                    overwrite=overwrite,
                    progress=_shown(meter),
                )
        except HimeError as error:
            told = str(error)
            summary.failed.append(told if told.startswith(str(path)) else f"{path}: {told}")
        except MemoryError:
            summary.failed.append(f"{path}: needs more memory than there is; make its frames smaller")
        else:
            _tell(path, restored, summary)
    return summary


def _shown(meter: Meter) -> Callable[[Progress], None]:
    return lambda progress: meter.show(progress.step, progress.done, progress.frames)


def _tell(path: Path, restored: RestoredClip, summary: Summary) -> None:
    """What a user should know of a clip that was restored."""
    summary.written.append(restored.path)
    if restored.damage is not None:
        summary.failed.append(f"{path}: {restored.damage}; the rest is in {restored.path}")
    summary.notes.extend(f"{path}: {line}" for line in restored.notes)
    for face in restored.faces:
        if face.status == "restored":
            summary.faces[face.name] += 1
            if not face.references:
                summary.notes.append(
                    f"{path}: {face.name}: no sharp near frame and no photo: restored without"
                )
        elif face.seen and "not one of" not in face.status:
            summary.notes.append(f"{path}: {face.name}: {face.status}")


def _targets(clips: Sequence[Path], out: Path, summary: Summary) -> dict[Path, Path]:
    """Where the result of each clip goes; those that cannot be read are told as failed.

    Raises:
        HimeError: ``out`` is no place for them.
    """
    ending = out.suffix.lower()
    is_file = ending in ENDINGS and not out.is_dir()
    if is_file and len(clips) > 1:
        raise HimeError(f"{out}: is one video for {len(clips)} clips; give a folder as --out")
    if is_file and ending not in WRITTEN:
        raise HimeError(f"{out}: cannot write {ending}; use one of {', '.join(WRITTEN)}")
    if out.exists() and not out.is_dir() and not is_file:
        raise HimeError(f"{out}: is a file, not a folder; choose another --out")
    targets: dict[Path, Path] = {}
    for path in clips:
        try:
            targets[path] = out if is_file else result_path(open_clip(path), out)
        except HimeError as error:
            summary.failed.append(str(error))
    if targets:
        target, times = Counter(targets.values()).most_common(1)[0]
        if times > 1:
            same = [str(path) for path, other in targets.items() if other == target]
            raise HimeError(f"{' and '.join(same)} would both become {target}; restore them in two calls")
    return targets


def _refuse_overwriting(
    targets: dict[Path, Path], clips: Sequence[Path], references: Sequence[Path | str]
) -> None:
    albums = [path for path in map(Path, references) if path.suffix.lower() != PERSON and path.exists()]
    read = {path.resolve() for path in (*clips, *(path for path in albums if path.is_file()))}
    for target in targets.values():
        if target.resolve() in read:
            raise HimeError(f"{target}: would overwrite what is read from there; choose another --out")
