"""A whole photograph: its faces found, known, restored and put back. Needs the extra ``faces``.

    from hime.faces.album import read_person
    from hime.restoring.photo import restore_photo
    from hime.pictures.reading import read_picture

    restored = restore_photo(read_picture("party.jpg"), [read_person("mum/")], hime.load())
    restored.image, restored.faces

Each face is restored at its own size from its own person's photos; everything else is enlarged by Lanczos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image
from scipy.ndimage import gaussian_filter

from hime.errors import HimeError, NothingToRestore
from hime.faces.album import Person, Reference, choose_references, match, yaw_of
from hime.faces.detection import Face, detect
from hime.faces.embedding import embed, similarity
from hime.faces.headshot import Frame, add, cut
from hime.pictures.arrays import Image
from hime.pictures.reading import Picture
from hime.restoring.restorer import Restorer

FloatArray = npt.NDArray[np.float32]
Canvas = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
AnyImage = TypeVar("AnyImage", npt.NDArray[np.uint8], npt.NDArray[np.uint16])

LR_SIDES = (16, 128)
"""Sides in pixels of the faces (with hair and neck) that are restored: below, too little of the person is
left; above, the photograph is sharp enough."""
MAX_RESULT_PIXELS = 64_000_000
"""A picture is enlarged less where it would have more pixels."""
REFERENCES = 5
"""How many photos of a person are used at most."""
COLOUR_SMOOTHING = 1 / 8
"""Standard deviation, in sides of the headshot, of the blur: what is coarser than it is the photo's own."""
LIKENESS_MARGIN = 0.02
"""A loss of likeness (cosine) up to this is no reason for a warning."""


@dataclass(frozen=True, eq=False)
class RestoredFace:
    """What became of one face.

    Attributes:
        box: as `hime.faces.detection.Face` has it, in pixels of the input.
        frame: of its headshot, in pixels of the input.
        person: who it is, None for a stranger.
        status: ``"restored"``, or ``"left: "`` and why, in plain words.
        references: names of the photos used.
        crops: the photos used, as headshots; None where a .person file holds no picture.
        shares: mean of each score map.
        scores: a score map a photo, float32 H×W in [0, 1], see `hime.restoring.restorer.Restoration`.
        lr: the headshot as it is in the input, uint8 H×W×3.
        restored: the headshot restored, uint8 sH×sW×3; None if it was left.
        without: the same by the same model without references; only if it was asked for.
        similarity_before: cosine of embeddings of the plainly enlarged headshot to the person;
            None for a stranger, or a face that was left.
        similarity_after: of the restored headshot.
        fidelity: where the model's dial stood for this face, None without a dial.
        warning: what to look at before trusting the result, in plain words.
    """

    box: tuple[float, float, float, float]
    frame: Frame
    person: str | None
    status: str
    lr: Image
    references: tuple[str, ...] = ()
    crops: tuple[Image | None, ...] = ()
    shares: tuple[float, ...] = ()
    scores: tuple[FloatArray, ...] = ()
    restored: Image | None = None
    without: Image | None = None
    similarity_before: float | None = None
    similarity_after: float | None = None
    fidelity: float | None = None
    warning: str | None = None


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
    references: int = REFERENCES,
    explain: bool = False,
) -> RestoredPhoto:
    """Restore the known faces of a photograph.

    Args:
        picture: the photograph.
        people: those who may be in it.
        restorer: the model; its references are replaced.
        everyone: restore strangers too, without references.
        only_person: restore only the person of that name.
        only_face: restore only the face of that number, counted from 1 from left to right, whoever it is:
            with ``only_person`` it is taken for that person, and likewise if one person is given.
        enlargement: of the picture; default the model's scale. Halved until the result has no more than
            `MAX_RESULT_PIXELS` and no side above ``largest_side``.
        largest_side: of the result in pixels, where its format has a limit.
        references: at most so many photos for a face, the best for its pose.
        explain: fill in ``plain`` and each face's ``without``.

    Raises:
        NothingToRestore: there is nothing to restore in it; the message says why, but not which file.
        HimeError: the same of a person or a face that was asked for.
    """
    named = None if only_person is None else find_person(people, only_person)
    nothing = HimeError if only_person is not None or only_face is not None else NothingToRestore
    detected = (face for face in detect(picture.image) if np.ptp(face.landmarks, axis=0).max() >= 1)
    found = sorted(detected, key=lambda face: float(face.landmarks[:, 0].mean()))
    if not found:
        raise nothing("no face found; give a larger picture, or --aligned if it is the headshot alone")
    if only_face is not None and not 1 <= only_face <= len(found):
        raise HimeError(f"has {_count(len(found), 'face')}, counted from left to right; check --face")

    owners = match([embed(picture.image, face.landmarks) for face in found], people)
    # Who is taken for whom without a look at the face: by --face, or where no photo shows the person at all.
    told = None if only_face is None else only_face - 1
    if told is None and len(found) == len(people) == 1 and people[0].embedding is None:
        told = 0
    if told is not None:
        alone = people[0] if len(people) == 1 and owners[told] is None else None
        if (whom := named or alone) is not None:
            owners = [None if owner is whom else owner for owner in owners]
            owners[told] = whom

    faces = []
    for number, (face, owner) in enumerate(zip(found, owners, strict=True), start=1):
        frame = Frame.of(face.landmarks)
        reason = None
        if only_face is not None:
            reason = None if number == only_face else "not asked for"
        elif named is not None:
            reason = None if owner is named else "not asked for"
        elif owner is None and not everyone:
            reason = "not one of the people given"
        reason = reason or _unfit(frame)
        side = min(max(1, round(frame.side)), 2 * LR_SIDES[1])
        faces.append(
            RestoredFace(
                face.box,
                frame,
                owner.name if owner else None,
                f"left: {reason}" if reason else "restored",
                cut(picture.image, frame, side),
            )
        )
    chosen = [index for index, face in enumerate(faces) if face.status == "restored"]
    if not chosen:
        raise nothing(_nothing(faces, people))

    factor = _fitting(picture.image.shape[:2], enlargement or restorer.scale, largest_side)
    for index in chosen:
        faces[index] = _restore_face(faces[index], found[index], owners[index], restorer, references, explain)
    deep = picture.deep
    plain: Canvas = _enlarge(picture.image, factor) if deep is None else _enlarge(deep, factor)
    image = plain.copy() if explain else plain
    frames = [face.frame.scaled(factor) for face in faces]
    strangers = [frame for index, frame in enumerate(frames) if index not in chosen]
    for index in chosen:
        others = [frames[other] for other in chosen if other != index]
        restored = faces[index].restored
        assert restored is not None
        difference = restored.astype(np.float32) - _enlarge(faces[index].lr, restorer.scale)
        add(image, difference, frames[index], others, strangers)
    return RestoredPhoto(image, plain, tuple(faces), factor)


def find_person(people: Sequence[Person], name: str) -> Person:
    """The person of that name.

    Raises:
        HimeError: there is none.
    """
    for person in people:
        if person.name == name:
            return person
    known = ", ".join(person.name for person in people) or "nobody"
    raise HimeError(f"there are no photos of {name}, only of {known}; check --person")


def _restore_face(
    face: RestoredFace, found: Face, person: Person | None, restorer: Restorer, count: int, explain: bool
) -> RestoredFace:
    """The face with its headshot restored, once more with the dial at 1 if it became less like the person."""
    chosen = choose_references(person, yaw_of(found.landmarks), count) if person else []
    result = _attempt(face, found, person, restorer, chosen)
    if person and not chosen:
        result = replace(result, warning=f"no photo of {person.name} could be used: restored without")
    if _less_like(result):
        assert person is not None
        warning = f"less like {person.name} than the input was: look at it with care"
        if restorer.fidelity is not None and restorer.fidelity < 1:
            restorer = Restorer(restorer.backend, 1.0)
            result = _attempt(face, found, person, restorer, chosen)
            warning = f"less like {person.name} than the input was, so the milder result was taken"
            if _less_like(result):
                warning += ", which is less like too: look at it with care"
        result = replace(result, warning=warning)
    if explain and chosen:
        bare = Restorer(restorer.backend, restorer.fidelity)
        result = replace(result, without=_matched(bare.restore(face.lr).image, face.lr, restorer.scale))
    return result


def _attempt(
    face: RestoredFace, found: Face, person: Person | None, restorer: Restorer, chosen: Sequence[Reference]
) -> RestoredFace:
    """The face as the restorer, as it stands, restores it."""
    restorer.set_references([reference.for_restorer for reference in chosen])
    restoration = restorer.restore(face.lr)
    restored = _matched(restoration.image, face.lr, restorer.scale)
    before = after = None
    if person is not None and person.embedding is not None:
        to_crop = np.linalg.inv(face.frame.from_crop(restored.shape[0]))
        landmarks = found.landmarks @ to_crop[:2, :2].T + to_crop[:2, 2]
        plain = _enlarge(face.lr, restorer.scale)
        before, after = (similarity(embed(image, landmarks), person.embedding) for image in (plain, restored))
    return replace(
        face,
        references=tuple(reference.name for reference in chosen),
        crops=tuple(reference.crop for reference in chosen),
        shares=tuple(restoration.shares),
        scores=tuple(restoration.scores),
        restored=restored,
        similarity_before=before,
        similarity_after=after,
        fidelity=restorer.fidelity,
    )


def _less_like(face: RestoredFace) -> bool:
    if face.similarity_before is None or face.similarity_after is None:
        return False
    return face.similarity_after < face.similarity_before - LIKENESS_MARGIN


def _unfit(frame: Frame) -> str | None:
    """Why a face of that size is left, in plain words."""
    smallest, largest = LR_SIDES
    side = round(frame.side)
    if side < smallest:
        return f"too small ({side} pixels with hair and neck, {smallest} at the least)"
    if side > largest:
        return f"large enough already ({side} pixels with hair and neck; up to {largest} are restored)"
    return None


def _nothing(faces: Sequence[RestoredFace], people: Sequence[Person]) -> str:
    """Why nothing is restored in a picture with these faces, and what to do."""
    reasons = {face.status.removeprefix("left: "): face for face in faces}
    wanted = [
        f"{face.person or 'the face'} is {reason}" for reason, face in reasons.items() if "pixels" in reason
    ]
    if wanted:
        return f"nothing to restore: {'; '.join(wanted)}"
    names = " or ".join(person.name for person in people) if 0 < len(people) < 5 else "known"
    those = "its face is not" if len(faces) == 1 else f"none of its {len(faces)} faces is"
    return f"{those} {names}; restore strangers with --face N or --everyone"


# ------------------------------------------------------------------------------------------- pictures


def _matched(restored: Image, lr: Image, scale: int) -> Image:
    """The restored headshot with the colours and the shading of the input."""
    difference = restored.astype(np.float32) - _enlarge(lr, scale)
    blur = COLOUR_SMOOTHING * restored.shape[0]
    matched = restored - gaussian_filter(difference, (blur, blur, 0), mode="nearest")
    levels: Image = np.rint(matched.clip(0, 255)).astype(np.uint8)
    return levels


def _enlarge(image: AnyImage, factor: int) -> AnyImage:
    """By Lanczos; always a new array."""
    if factor == 1:
        return image.copy()
    height, width = image.shape[:2]
    size = (width * factor, height * factor)
    if image.dtype == np.uint8:
        return np.array(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.LANCZOS))
    large = np.empty((height * factor, width * factor, 3), image.dtype)
    for channel in range(3):  # Pillow has no colours of 16 bits
        values = PIL.Image.fromarray(image[:, :, channel].astype(np.float32))
        enlarged = np.asarray(values.resize(size, PIL.Image.Resampling.LANCZOS))
        large[:, :, channel] = np.rint(enlarged.clip(0, 65535))
    return large


def _fitting(sides: tuple[int, ...], factor: int, largest_side: int | None) -> int:
    """The enlargement, halved until the result has at most `MAX_RESULT_PIXELS`, and no side too large."""
    largest = largest_side or MAX_RESULT_PIXELS
    while factor > 1 and (
        sides[0] * sides[1] * factor**2 > MAX_RESULT_PIXELS or max(sides) * factor > largest
    ):
        factor //= 2
    return factor


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
