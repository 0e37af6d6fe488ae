"""A whole photograph: its faces found, known, restored and put back. Needs the extra ``faces``.

    restored = hime.restore_photo(hime.read_picture("party.jpg"), [hime.read_person("mum/")], hime.load())
    restored.image, restored.faces

Each face is restored from its own person's photos: a small one as it is, one that is blurred or damaged from
the pixels that its detail fills. A large one that is sharp for its size stays; everything else is enlarged by
Lanczos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hime.errors import HimeError, NothingToRestore
from hime.faces.album import Person, check_people
from hime.faces.detection import detect
from hime.faces.found import FoundFace
from hime.faces.headshot import Frame, add
from hime.faces.matching import match
from hime.pictures.arrays import lanczos
from hime.pictures.names import spelled
from hime.pictures.reading import Picture, check_picture
from hime.restoring.any_size import Steps, together
from hime.restoring.enlarging import enlarge
from hime.restoring.face import LR_SIDES, RestoredFace, found_steps, leave
from hime.restoring.restorer import Restorer, check_count, check_only_person, check_restorer, check_strength

Canvas = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

MAX_RESULT_PIXELS = 64_000_000
"""A picture is enlarged less where it would have more pixels."""
MOST_REFERENCES = 5
"""How many photos of a person are used at most."""


@dataclass(frozen=True, eq=False)
class RestoredPhoto:
    """What became of a photograph.

    Attributes:
        image: the whole picture, enlarged, with the restored faces: uint8 H×W×3, uint16 where the file has
            16 bits.
        plain: the whole picture enlarged by Lanczos alone; the same array as ``image`` unless explained.
        faces: all that were found, from left to right.
        enlargement: how many times the input's sides the sides are.
    """

    image: Canvas
    plain: Canvas
    faces: tuple[RestoredFace, ...]
    enlargement: int


def restore_photo(
    picture: Picture,
    people: Sequence[Person],
    restorer: Restorer,
    *,
    everyone: bool = False,
    only_person: str | None = None,
    only_face: int | None = None,
    enlargement: int | None = None,
    largest_side: int | None = None,
    references: int = MOST_REFERENCES,
    even_sharp: bool = False,
    strength: float = 1.0,
    explain: bool = False,
) -> RestoredPhoto:
    """Restore the known faces of a photograph.

    Args:
        picture: the photograph.
        people: those who may be in it, each of them also several times. Who has no embedding, since no photo
            shows them, is taken to be nobody in it unless they are asked for.
        restorer: the model.
        everyone: restore strangers too, without references.
        only_person: restore only the person of that name; if no photo shows them, the picture's only face is
            taken for theirs.
        only_face: restore only the face of that number, counted from 1 from left to right, whoever it is:
            with ``only_person`` it is taken for that person, and likewise if one person is given.
        enlargement: of the picture; default the model's scale. Halved until the result has no more than
            `MAX_RESULT_PIXELS` and no side above ``largest_side``.
        largest_side: of the result in pixels, where its format has a limit.
        references: at most so many photos for a face, the best for it.
        even_sharp: restore also faces that are sharp for their size.
        strength: from 0, nothing is changed, to 1; between them the face is mixed with what it was.
        explain: fill in ``plain`` and each face's ``without``.

    Raises:
        NothingToRestore: there is nothing to restore in it; the message says why, but not which file.
        HimeError: the same of a person or a face that was asked for; or the arguments are something else.
    """
    check_strength(strength)
    check_picture(picture)
    check_people(people)
    check_restorer(restorer)
    check_count("references", references)
    counts = {"only_face": only_face, "enlargement": enlargement, "largest_side": largest_side}
    for argument, value in counts.items():
        if value is not None:
            check_count(argument, value)
    check_only_person(only_person)
    named = None if only_person is None else find_person(people, only_person)
    nothing = HimeError if only_person is not None or only_face is not None else NothingToRestore
    found = sorted(detect(picture.image), key=lambda face: float(face.landmarks[:, 0].mean()))
    if not found:
        raise nothing("no face found; give a larger picture, or --aligned if it is the headshot alone")
    if only_face is not None and not 1 <= only_face <= len(found):
        there = "1 face" if len(found) == 1 else f"{len(found)} faces"
        raise HimeError(f"has {there}, counted from left to right; check --face")
    owners = _owners(found, people, named, only_face)
    factor = fitting_enlargement(picture.image.shape[:2], enlargement or restorer.scale, largest_side)

    works: list[Steps[RestoredFace]] = []
    for number, (face, owner) in enumerate(zip(found, owners, strict=True), start=1):
        reason = None
        if only_face is not None:
            reason = None if number == only_face else "not asked for"
        elif named is not None:
            reason = None if owner is named else "not asked for"
        elif owner is None and not everyone:
            reason = "not one of the people given"
        reason = reason or _unfit(face.frame)
        if reason is None:
            works.append(
                found_steps(
                    face, owner, restorer, references,
                    enlargement=factor, even_sharp=even_sharp, strength=strength, explain=explain,
                )
            )  # fmt: skip
        else:
            works.append(_left(face, owner, reason))
    faces = together(works)

    if all(face.restored is None for face in faces):
        raise nothing(_nothing(faces, people))

    deep = picture.deep
    plain: Canvas = enlarge(picture.image, factor) if deep is None else enlarge(deep, factor)
    image = plain.copy() if explain else plain
    _put_in(image, faces, factor)
    return RestoredPhoto(image, plain, tuple(faces), factor)


def _left(face: FoundFace, owner: Person | None, reason: str) -> Steps[RestoredFace]:
    """No steps: the face stays as it is."""
    yield from ()
    return leave(face, owner, reason)


def find_person(people: Sequence[Person], name: str) -> Person:
    """The person of that name, however its letters are stored.

    Raises:
        HimeError: there is none.
    """
    for person in people:
        if spelled(person.name) == spelled(name):
            return person
    if not people:
        raise HimeError(f"there are no photos of {name}; give them with --refs")
    known = ", ".join(person.name for person in people)
    raise HimeError(f"there are no photos of {name}, only of {known}; check --person")


def _owners(
    found: Sequence[FoundFace], people: Sequence[Person], named: Person | None, only_face: int | None
) -> list[Person | None]:
    """Whose the faces are, also by what was asked for."""
    owners = match([face.embedding for face in found], people)
    # Who is taken for whom without a look at the face: by --face, or by --person where no photo shows them.
    told = None if only_face is None else only_face - 1
    if told is None and len(found) == 1 and owners[0] is None:
        told = 0 if named is not None and named.embedding is None else None
    if told is not None:
        alone = people[0] if len(people) == 1 and owners[told] is None else None
        owners[told] = named or alone or owners[told]
    return owners


def _put_in(canvas: Canvas, faces: Sequence[RestoredFace], factor: int) -> None:
    """Put the restored faces into the enlarged picture."""
    frames = [face.frame.scaled(factor) for face in faces]
    strangers = [frame for face, frame in zip(faces, frames, strict=True) if face.restored is None]
    for index, face in enumerate(faces):
        if face.restored is None:
            continue
        others = [
            frame
            for other, frame in enumerate(frames)
            if other != index and faces[other].restored is not None
        ]
        difference = face.restored.astype(np.float32) - lanczos(face.lr, *face.restored.shape[:2])
        add(canvas, difference, frames[index], others, strangers)


def _unfit(frame: Frame) -> str | None:
    """Why a face of that size is left, in plain words."""
    smallest, _ = LR_SIDES
    side = round(frame.side)
    if side < smallest:
        return f"too small ({side} pixels with hair and neck, {smallest} at the least)"
    return None


def _nothing(faces: Sequence[RestoredFace], people: Sequence[Person]) -> str:
    """Why nothing is restored in a picture with these faces, and what to do."""
    reasons = {face.status.removeprefix("left: "): face for face in faces}
    wanted = [
        f"{face.person or 'the face'} is {reason}" for reason, face in reasons.items() if "pixels" in reason
    ]
    if wanted:
        remedy = (
            "; restore it all the same with --even-sharp" if any("sharp" in each for each in wanted) else ""
        )
        return f"nothing to restore: {'; '.join(wanted)}{remedy}"
    names = " or ".join(person.name for person in people) if 0 < len(people) < 5 else "known"
    those = "its face is not" if len(faces) == 1 else f"none of its {len(faces)} faces is"
    return f"{those} {names}; restore strangers with --face N or --everyone"


def fitting_enlargement(sides: tuple[int, ...], factor: int, largest_side: int | None = None) -> int:
    """The enlargement, halved until the result has at most `MAX_RESULT_PIXELS`, and no side too large.

    Args:
        sides: height and width of the picture.
        factor: the enlargement asked for.
        largest_side: of the result in pixels.
    """
    largest = largest_side or MAX_RESULT_PIXELS
    while factor > 1 and (
        sides[0] * sides[1] * factor**2 > MAX_RESULT_PIXELS or max(sides) * factor > largest
    ):
        factor //= 2
    return factor
