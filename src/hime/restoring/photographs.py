"""Whole photographs from files and folders: who is known in them restored, results and pages written."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hime.errors import HimeError
from hime.pictures.formats import READ, WRITTEN, check_sides, largest_side
from hime.pictures.reading import read_picture
from hime.pictures.sidecars import read_sidecars, sidecars_beside
from hime.pictures.writing import files_written, write_picture
from hime.restoring.batch import NO_OTHER_PHOTO, Found, Summary, run_batch
from hime.restoring.inputs import Input, Listing, find_inputs, own_ending, together
from hime.restoring.outputs import Output, Outputs
from hime.restoring.people import Cast, made_with, read_cast
from hime.restoring.rehearsal import rehearsing
from hime.restoring.restorer import Restorer, check_strength
from hime.restoring.sources import find_people

if TYPE_CHECKING:
    from hime.faces.cache import LookCache
    from hime.restoring.photo import RestoredPhoto


@dataclass(frozen=True)
class Choice:
    """Whom and how to restore, see `restore_photos`."""

    everyone: bool = False
    only_person: str | None = None
    only_face: int | None = None
    enlargement: int | None = None
    crop: bool = False
    report: bool = False
    keep_date: bool = True
    even_sharp: bool = False
    strength: float = 1.0

    @property
    def made(self) -> dict[str, str]:
        """What of it results are made with, for `hime.restoring.batch.run_batch`, naming nobody."""
        return {"options": together([str(replace(self, report=False))]), "report": str(self.report)}

    def beside(self, source: Path, result: Path) -> list[Path]:
        """What is written beside a result: its page, and sidecars like those of its source."""
        carried = () if self.crop else sidecars_beside(result, read_sidecars(source)[0])
        return [*([_page(result)] if self.report else []), *carried]


def restore_photos(
    restorer: Restorer,
    inputs: Listing | Sequence[Path | str],
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
    cache: LookCache | None = None,
    even_sharp: bool = False,
    strength: float = 1.0,
    named: bool | None = None,
    dry_run: bool = False,
) -> Summary:
    """Restore the known people in whole photographs, see `hime.restoring.photo.restore_photo`.

    A result keeps its input's name and format (PNG where that cannot be written), its place in the folder
    that was given, and what the file carries. A photo that is an input and a reference too is not used as a
    reference for itself, whatever its copy is called. References are read once: what becomes of their files
    later does not matter.

    Args:
        restorer: the model; its references are replaced.
        inputs: photographs: files, and folders of them and of folders; or what was found in them.
        references: the people, see `hime.restoring.sources.find_people`.
        out: for one input file, the picture to write; otherwise a folder.
        everyone: restore strangers too, without references.
        only_person: restore only that person.
        only_face: restore only the face of that number, from left to right, in one input.
        enlargement: how many times the sides become; default the model's scale.
        crop: write each restored face alone, as NAME-faceN.png, instead of the whole picture.
        report: write beside each result NAME.html, which explains it.
        overwrite: restore again what is there already, and replace what is there and no result.
        keep_date: give a result the date of its input's file.
        cache: where what is learned of each reference is kept (`hime.faces.cache`); default nowhere.
        even_sharp: see `hime.restoring.photo.restore_photo`.
        strength: likewise.
        named: see `hime.restoring.sources.find_people`.
        dry_run: find out what would be done (`hime.restoring.rehearsal`), and write nothing.

    Raises:
        HimeError: nothing can be done: no picture in a folder, two people of one name, a result that would
            overwrite what is read, a place that cannot be written to, or the extra ``faces`` is missing.
    """
    from hime.faces.networks import require
    from hime.restoring.photo import find_person

    check_strength(strength)
    out = Path(out)
    faces = (everyone, only_person, only_face)
    choice = Choice(*faces, enlargement, crop, report, keep_date, even_sharp, strength)
    listing = inputs if isinstance(inputs, Listing) else find_inputs(inputs, out, videos=False)
    check_enlargement(choice, restorer.scale)
    count = len(listing.inputs)
    if only_face is not None and count > 1:
        raise HimeError(f"a face's number is for one picture, not {count}; give one input with --face")
    sources = find_people(references, named)
    read = [*(each.path for each in listing.inputs), *sources.files]
    outputs = Outputs(
        listing.given, listing.inputs, out, tuple(WRITTEN), (*WRITTEN, *READ), _png if crop else own_ending,
        read, overwrite=overwrite, faces=crop, beside=choice.beside,
    )  # fmt: skip
    require()
    summary = Summary(passed_over=[*listing.passed_over, *sources.passed_over], notes=[*sources.notes])
    cast = read_cast(sources, restorer, summary, cache)
    wanted = None if only_person is None else find_person(cast.people, only_person)
    for person in cast.people:
        if not person.references:
            asked = only_face is not None or person is wanted
            line = "so this person is restored without"
            if not asked and person.embedding is None:
                line = "so no face is known as this person's; --person or --face N restores one without"
            summary.notes.append(f"{person.name}: no photo can be used, {line}")
    job = PhotoJob(rehearsing(restorer) if dry_run else restorer, cast, choice, summary, dry_run)
    made = {**made_with(restorer, cast), **choice.made}
    run_batch(listing.inputs, outputs, made, summary, job.restore, restorer.name, dry_run=dry_run)
    return summary


def check_enlargement(choice: Choice, scale: int) -> None:
    """Refuse an enlargement that would change nothing: a face alone has at least what one pass of the model
    gives.

    Raises:
        HimeError: it would not.
    """
    if choice.crop and choice.enlargement is not None and choice.enlargement <= scale:
        raise HimeError(
            f"--enlarge {choice.enlargement} has no effect beside --crop: the model enlarges a face ×{scale} "
            "in any case; leave out one of them"
        )


def _page(result: Path) -> Path:
    """Where the page is that explains a result."""
    return result.with_name(f"{result.name}.html")


def _png(_: Path) -> str:
    """The ending of a face alone."""
    return ".png"


@dataclass(frozen=True)
class PhotoJob:
    """What is the same for all photographs of a batch.

    Attributes:
        restorer: the model.
        cast: who may be in the inputs.
        choice: whom and how to restore.
        summary: filled in.
        dry_run: write nothing; the restorer is a rehearsal.
    """

    restorer: Restorer
    cast: Cast
    choice: Choice
    summary: Summary
    dry_run: bool = False

    def restore(self, each: Input, content: str, output: Output) -> None:
        """One input, see `hime.restoring.batch.run_batch`."""
        from hime.restoring.photo import restore_photo

        choice = self.choice
        page = _page(output.path)
        if choice.report:
            output.claim(page)
        if not choice.crop:
            output.claim(output.path)
        picture = read_picture(each.path)
        if not choice.crop:
            height, width = picture.image.shape[:2]
            check_sides(output.path, width, height)
            for sidecar in files_written(output.path, picture)[1:]:
                output.claim(sidecar)
        photo = restore_photo(
            picture,
            self.cast.without(content),
            self.restorer,
            everyone=choice.everyone,
            only_person=choice.only_person,
            only_face=choice.only_face,
            enlargement=choice.enlargement,
            largest_side=None if choice.crop else largest_side(output.path),
            even_sharp=choice.even_sharp,
            strength=choice.strength,
            explain=choice.report,
        )
        left_out: list[str] = []
        own: dict[int, Path] | None = None
        if choice.crop:
            alone = picture.for_crop()
            own = _own_files(photo, output)
            for target in own.values():
                output.claim(target)
            for number, target in own.items():
                face = photo.faces[number - 1].restored
                if face is not None and not self.dry_run:
                    write_picture(target, face, alone, keep_date=choice.keep_date)
        elif not self.dry_run:
            write_picture(output.path, photo.image, picture, keep_date=choice.keep_date, notes=left_out)
        if choice.report and not self.dry_run:
            from hime.restoring.report import write_report

            write_report(page, photo, each.path.name)
        self.summary.written.extend([output.path] if own is None else own.values())
        self._tell(each.path, output.path, own, photo)
        self.summary.faces.update(face.person for face in photo.faces if face.restored is not None)
        remarks = self._remarks(photo, self.cast.only_by(content), output.path.suffix)
        self.summary.notes.extend(f"{each.path}: {line}" for line in (*remarks, *left_out))

    def _tell(self, source: Path, target: Path, own: dict[int, Path] | None, photo: RestoredPhoto) -> None:
        """The faces of a photo, for the summary.

        Args:
            source: the photo.
            target: the whole picture.
            own: instead, the file of each restored face alone.
            photo: what became of it.
        """
        for number, face in enumerate(photo.faces, start=1):
            found = Found(
                source,
                target if own is None else own.get(number),
                face.person,
                face.status,
                number,
                face.box,
                round(face.frame.side),
                references=face.references,
            )
            if not self.dry_run:  # what the model makes of it
                found = replace(
                    found,
                    similarity_before=face.similarity_before,
                    similarity_after=face.similarity_after,
                    warning=face.warning,
                )
            self.summary.found.append(found)

    def _remarks(self, photo: RestoredPhoto, alone: Container[str | None], form: str) -> list[str]:
        """What a user should know of a photo that was restored.

        Args:
            photo: what became of it.
            alone: those of whom there is no other photo.
            form: the ending that it is written with.
        """
        asked, lines = self.choice.enlargement or self.restorer.scale, []
        for number, face in enumerate(photo.faces, start=1):
            who = f"{face.person or 'a stranger'} (face {number})"
            if face.restored is not None and face.person in alone:
                lines.append(f"{who}: {NO_OTHER_PHOTO}")
            if face.warning and not self.dry_run:
                lines.append(f"{who}: {face.warning}")
            elif face.restored is None and face.person is not None and "pixels" in face.status:
                lines.append(f"{who}: {face.status}")
        if photo.enlargement < asked and not self.choice.crop:
            lines.append(
                f"enlarged ×{photo.enlargement} only, since ×{asked} would be more than 64 megapixels or "
                f"than {form} has room for; its faces are restored all the same"
            )
        return lines


def _own_files(photo: RestoredPhoto, output: Output) -> dict[int, Path]:
    """Where each restored face is written alone, by its number.

    Raises:
        HimeError: there are several, and one file for them.
    """
    restored = [number for number, face in enumerate(photo.faces, start=1) if face.restored is not None]
    path = output.path
    if not output.is_file:
        return {number: path.with_name(f"{path.stem}-face{number}.png") for number in restored}
    if len(restored) > 1:
        raise HimeError(f"{path}: is one picture for {len(restored)} faces; give a folder as --out")
    return dict.fromkeys(restored, path)
