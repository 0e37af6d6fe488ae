"""Restoring files: inputs and references from files and folders, results and reports to files.

`restore_photos` takes whole photographs, `restore_headshots` crops of faces. In both, a file that cannot be
used is told in the summary, and the others are done all the same.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hime.errors import HimeError
from hime.files import write_json
from hime.pictures.arrays import Image
from hime.pictures.formats import READ, SUFFIXES, WRITTEN, check_sides, images_in, largest_side
from hime.pictures.reading import read_image, read_picture
from hime.pictures.writing import write_image, write_picture
from hime.progress import track
from hime.restoring.restorer import Restoration, Restorer

if TYPE_CHECKING:
    from hime.faces.album import Person
    from hime.restoring.photo import RestoredPhoto

MAX_LR_SIDE = 512
"""Longest side of a headshot in pixels. Memory and time grow with its area."""
OTHER_PICTURES = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".tif", ".tiff")
"""Endings that mean a picture file even where it cannot be written: never taken for a folder's name."""
PERSON = ".person"
"""Ending of a person's encoded references."""


@dataclass(frozen=True)
class Summary:
    """What became of the inputs.

    Attributes:
        written: the pictures written.
        skipped: the inputs whose results were there already.
        failed: a line for each input (or headshot's reference) that could not be used.
        notes: lines about the rest that a user should know: warnings, photos not used as references and why.
        faces: how often each person was restored in whole photographs; None stands for strangers.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faces: Counter[str | None] = field(default_factory=Counter)


# ------------------------------------------------------------------------------------------- photographs


def restore_photos(
    restorer: Restorer,
    inputs: Sequence[Path | str],
    references: Sequence[Path | str],
    out: Path | str,
    *,
    everyone: bool = False,
    only_person: str | None = None,
    only_face: int | None = None,
    enlargement: int | None = None,
    crop: bool = False,
    report: bool = False,
    overwrite: bool = False,
    keep_date: bool = True,
) -> Summary:
    """Restore the known people in whole photographs, see `hime.restoring.photo.restore_photo`.

    A result keeps its input's name and format (PNG where that cannot be written) and what the file carries.
    A photo that is an input and a reference too is not used as a reference for itself.

    Args:
        restorer: the model; its references are replaced.
        inputs: photographs: files, and folders of them.
        references: the people: each folder is one, named after it, each .person file is one, and loose
            photos are one together.
        out: for one input file, the picture to write; otherwise a folder.
        everyone: restore strangers too, without references.
        only_person: restore only that person.
        only_face: restore only the face of that number, from left to right, in one input.
        enlargement: how many times the sides become; default the model's scale.
        crop: write each restored face alone, as NAME-faceN.png, instead of the whole picture.
        report: write beside each result NAME.html, which explains it.
        overwrite: restore again what is there already.
        keep_date: give a result the date of its input's file.

    Raises:
        HimeError: nothing can be done: no picture in a folder, two people of one name, a result that would
            overwrite what is read or another result, or the extra ``faces`` is not installed.
    """
    from hime.faces.networks import require
    from hime.restoring.photo import find_person, restore_photo
    from hime.restoring.report import write_report

    files = pictures(inputs, READ)
    if only_face is not None and len(files) > 1:
        raise HimeError(f"a face's number is for one picture, not {len(files)}; give one input with --face")
    outputs = _output_paths(inputs, files, Path(out), tuple(WRITTEN), None if not crop else ".png")
    albums = [path for path in map(Path, references) if path.suffix.lower() != PERSON]
    _refuse_overwriting(outputs, [*files, *pictures(albums, READ)])
    require()
    people = read_people(references, restorer)
    if only_person is not None:
        find_person(people, only_person)
    summary = Summary()
    for person in people:
        summary.notes.extend(
            f"{person.name}: {name} is not used: {reason}" for name, reason in person.rejected
        )
        if not person.references:
            summary.notes.append(f"{person.name}: no photo can be used, so this person is restored without")

    def done(output: Path) -> bool:
        if not crop:
            return output.exists()
        return any(output.parent.glob(f"{glob.escape(output.stem)}-face[0-9]*.png")) or output.is_file()

    def restore(path: Path, output: Path) -> None:
        picture = read_picture(path)
        if not crop:
            check_sides(output, picture.image.shape[1], picture.image.shape[0])
        photo = restore_photo(
            picture,
            [_without(person, path) for person in people],
            restorer,
            everyone=everyone,
            only_person=only_person,
            only_face=only_face,
            enlargement=enlargement,
            largest_side=None if crop else largest_side(output),
            explain=report,
        )
        left_out: list[str] = []
        if crop:
            alone = picture.for_crop()
            for target, image in _crops(photo, output, is_file=output == Path(out)).items():
                summary.written.append(write_picture(target, image, alone, keep_date=keep_date))
        else:
            summary.written.append(
                write_picture(output, photo.image, picture, keep_date=keep_date, notes=left_out)
            )
        if report:
            write_report(output.with_name(f"{output.name}.html"), photo, path.name)
        summary.faces.update(face.person for face in photo.faces if face.restored is not None)
        remarks = _remarks(photo, enlargement or restorer.scale, output.suffix)
        summary.notes.extend(f"{path}: {line}" for line in (*remarks, *left_out))

    _each(files, outputs, restorer.name, summary, done, restore, overwrite=overwrite)
    return summary


def read_people(paths: Sequence[Path | str], restorer: Restorer) -> list[Person]:
    """People from folders of photos, .person files and loose photos, see `restore_photos`.

    Raises:
        HimeError: two of one name, a folder without a picture, or a .person file that cannot be used,
            also because it was made for another model than the restorer's.
    """
    from hime.faces.album import read_person

    people: list[Person] = []
    loose: list[Path] = []
    for path in map(Path, paths):
        if path.suffix.lower() == PERSON and not path.is_dir():
            from hime.restoring.person import load_person

            people.append(load_person(path, restorer))
        elif path.is_dir():
            people.append(read_person(path))
        else:
            loose.append(path)
    if loose:
        people.append(read_person(loose))
    for name, times in Counter(person.name for person in people).items():
        if times > 1:
            raise HimeError(f"{times} people are named {name}; give each folder its own name")
    return people


def _without(person: Person, path: Path) -> Person:
    """The person less that photo."""
    kept = tuple(
        reference
        for reference in person.references
        if reference.path is None or not reference.path.samefile(path)
    )
    return person if len(kept) == len(person.references) else replace(person, references=kept)


def _crops(photo: RestoredPhoto, output: Path, *, is_file: bool) -> dict[Path, Image]:
    """Where each restored face is written alone."""
    numbered = enumerate(photo.faces, start=1)
    restored = {number: face.restored for number, face in numbered if face.restored is not None}
    if not is_file:
        return {
            output.with_name(f"{output.stem}-face{number}.png"): face for number, face in restored.items()
        }
    if len(restored) > 1:
        raise HimeError(f"{output}: is one picture for {len(restored)} faces; give a folder as --out")
    return dict.fromkeys([output], *restored.values())


def _remarks(photo: RestoredPhoto, asked: int, form: str) -> list[str]:
    """What a user should know of a photo that was restored; ``form`` is the ending it is written with."""
    lines = []
    for number, face in enumerate(photo.faces, start=1):
        who = f"{face.person or 'a stranger'} (face {number})"
        if face.warning:
            lines.append(f"{who}: {face.warning}")
        elif face.restored is None and face.person is not None and "pixels" in face.status:
            lines.append(f"{who}: {face.status}")
    if photo.enlargement < asked:
        lines.append(
            f"enlarged ×{photo.enlargement} only, since ×{asked} would be more than 64 megapixels "
            f"or than {form} has room for; its faces are restored all the same"
        )
    return lines


# --------------------------------------------------------------------------------------------- headshots


def restore_headshots(
    restorer: Restorer,
    inputs: Sequence[Path | str],
    references: Sequence[Path | str],
    out: Path | str,
    *,
    report: bool = False,
    overwrite: bool = False,
    max_lr_side: int = MAX_LR_SIDE,
) -> Summary:
    """Restore every headshot with the same person's references, all framed alike; no faces are looked for.

    An input that is among the references too is not used as a reference for itself.

    Args:
        restorer: the model; its references are replaced.
        inputs: small headshots: picture files, and folders of them.
        references: photos of the person: picture files, and folders of them; none restores without.
        out: for one input file, the picture to write; otherwise a folder, for NAME.png of each input.
        report: write beside each result a JSON file of the same name: ``input``, ``output``, ``model``,
            ``fidelity`` (null without a dial), ``scale``, ``lr`` and ``hr`` (height, width),
            ``references`` (``file`` and ``share`` of each).
        overwrite: restore again what is there already.
        max_lr_side: longest side of an input in pixels.

    Raises:
        HimeError: nothing can be done: a folder holds no picture, no reference can be read, or a result
            would overwrite an input or a reference or another result.
    """
    files = pictures(inputs)
    reference_files = pictures(references)
    outputs = _output_paths(inputs, files, Path(out), SUFFIXES, ".png")
    _refuse_overwriting(outputs, [*files, *reference_files])

    summary = Summary()
    photos: list[tuple[Path, Image]] = []
    for path in reference_files:
        try:
            photos.append((path, read_image(path)))
        except HimeError as error:
            summary.failed.append(str(error))
    if reference_files and not photos:
        raise HimeError(
            f"none of the {len(reference_files)} references can be used; the first: {summary.failed[0]}"
        )

    current: list[Path] | None = None

    def restore(path: Path, output: Path) -> None:
        nonlocal current
        lr = read_image(path)
        if max(lr.shape[:2]) > max_lr_side:
            raise HimeError(
                f"{path}: {lr.shape[1]}×{lr.shape[0]} pixels is no small headshot (at most {max_lr_side} "
                "a side); leave out --aligned, make it smaller, or raise --max-lr-side"
            )
        used = [(name, photo) for name, photo in photos if not name.samefile(path)]
        if [name for name, _ in used] != current:
            restorer.set_references([photo for _, photo in used])
            current = [name for name, _ in used]
        restored = restorer.restore(lr)
        write_image(output, restored.image)
        if report:
            _write_report(restorer, path, output, lr, restored, current or [])
        summary.written.append(output)

    _each(files, outputs, restorer.name, summary, Path.exists, restore, overwrite=overwrite)
    return summary


def _write_report(
    restorer: Restorer,
    source: Path,
    output: Path,
    lr: Image,
    restored: Restoration,
    references: Sequence[Path],
) -> None:
    report: dict[str, Any] = {
        "input": str(source),
        "output": str(output),
        "model": restorer.name,
        "fidelity": restorer.fidelity,
        "scale": restorer.scale,
        "lr": list(lr.shape[:2]),
        "hr": list(restored.image.shape[:2]),
        "references": [
            {"file": str(file), "share": round(share, 4)}
            for file, share in zip(references, restored.shares, strict=True)
        ],
    }
    write_json(output.with_suffix(".json"), report)


# ------------------------------------------------------------------------------------ files and folders


def _each(
    files: Sequence[Path],
    outputs: Sequence[Path],
    description: str,
    summary: Summary,
    done: Callable[[Path], bool],
    restore: Callable[[Path, Path], None],
    *,
    overwrite: bool,
) -> None:
    """Restore each file to its output; one that cannot be does not keep the others from it."""
    for path, output in track(list(zip(files, outputs, strict=True)), description):
        if not overwrite and done(output):
            summary.skipped.append(path)
            continue
        try:
            restore(path, output)
        except HimeError as error:
            told = str(error)
            named = told.startswith((str(path), str(output.with_suffix(""))))
            summary.failed.append(told if named else f"{path}: {told}")
        except MemoryError:
            summary.failed.append(f"{path}: needs more memory than there is; make it smaller")


def pictures(paths: Sequence[Path | str], suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Picture files of ``paths``: a folder stands for those in it, sorted by name; each file once.

    Raises:
        HimeError: a folder without any.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        files = images_in(path, suffixes) if path.is_dir() else [path]
        if not files:
            raise HimeError(f"{path}: no picture in it ({', '.join(suffixes)}); check the path")
        for file in files:
            found.setdefault(Path(os.path.realpath(file)), file)  # which a link in a circle does not stop
    return list(found.values())


def _output_paths(
    inputs: Sequence[Path | str],
    files: Sequence[Path],
    out: Path,
    written: Sequence[str],
    suffix: str | None,
) -> list[Path]:
    """Where the result of each file goes.

    Args:
        inputs: as they were given.
        files: the pictures they stand for.
        out: as it was given.
        written: endings that can be written.
        suffix: of the results in a folder; None for each file's own, or .png where that cannot be written.
    """
    ending = out.suffix.lower()
    if ending in (*SUFFIXES, *OTHER_PICTURES) and not out.is_dir():
        if len(inputs) > 1 or Path(inputs[0]).is_dir():
            raise HimeError(f"{out}: is one picture for {len(files)} inputs; give a folder as --out")
        if ending not in written:
            raise HimeError(f"{out}: cannot write {ending}; use one of {', '.join(written)}")
        return [out]
    if out.exists() and not out.is_dir():
        raise HimeError(f"{out}: is a file, not a folder; choose another --out")
    outputs = []
    for file in files:
        own = file.suffix if file.suffix.lower() in written else ".png"
        outputs.append(out / f"{file.stem}{own if suffix is None else suffix}")
    output, times = Counter(outputs).most_common(1)[0]
    if times > 1:
        same = [str(file) for file, path in zip(files, outputs, strict=True) if path == output]
        raise HimeError(f"{' and '.join(same)} would both become {output}; restore them in two calls")
    return outputs


def _refuse_overwriting(outputs: Sequence[Path], sources: Sequence[Path]) -> None:
    read = {os.path.realpath(source) for source in sources}
    for output in outputs:
        if os.path.realpath(output) in read:
            raise HimeError(f"{output}: would overwrite what is read from there; choose another --out")
