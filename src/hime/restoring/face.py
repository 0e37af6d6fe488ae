"""One face restored: a headshot and the person's photos in, the headshot restored out.

    chosen = choose_references(mum, face.yaw, 5, face.embedding)
    references = References([reference.for_restorer for reference in chosen])
    (restoration,) = together([face_steps(headshot, references, restorer)])
    restoration.image

`face_steps` knows headshots only, wherever they come from; `found_steps` takes a face of a photograph,
chooses the photos for it, and looks whether it has become less like the person. Both restore a headshot from
the pixels that its detail fills, and leave what is sharp for its size (`hime.restoring.any_size`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hime.errors import HimeError
from hime.faces.album import Person
from hime.faces.embedding import embedding_of, similarity
from hime.faces.face import Box
from hime.faces.found import FoundFace
from hime.faces.headshot import Frame
from hime.faces.matching import choose_references
from hime.pictures.arrays import FloatArray, Image, lanczos
from hime.restoring.any_size import (
    LARGEST_SIDE,
    AnySizeRestoration,
    Steps,
    any_size_steps,
    mixed,
)
from hime.restoring.detail import Detail
from hime.restoring.hue import keep_hue
from hime.restoring.restorer import References, Restorer

LR_SIDES = (16, 128)
"""Sides in pixels of the faces (with hair and neck) that are restored whatever they show: below, too little
of the person is left; above, only what is not sharp for its size."""
LARGEST_LEFT = 256
"""Pixels a side of what is kept of a face that was left."""
COLOUR_SMOOTHING = 1 / 8
"""Standard deviation, in sides of the headshot, of the blur: what is coarser than it is the photo's own."""
LIKENESS_MARGIN = 0.02
"""A loss of likeness (cosine) up to this is no reason for a warning."""
HARDLY_LIKE = 0.1
"""Likeness of the face as it is in the picture to the person it was said to be, below which a warning tells
that it may be somebody else: models for photographs make whoever it is more like the photos. Of CelebA's
faces reduced to 32 pixels 2 % of the person's own lie below it and 55 % of another's, damaged besides
(medium) 14 % and 72 % (``docs/people.md``)."""


@dataclass(frozen=True, eq=False)
class RestoredFace:
    """What became of one face.

    Attributes:
        box: as `hime.faces.Face` has it, in pixels of the input.
        frame: of its headshot, in pixels of the input.
        person: who it is, None for a stranger.
        status: ``"restored"``, or ``"left: "`` and why, in plain words.
        lr: the headshot as it is in the input, uint8 H×H×3, at most `hime.restoring.any_size.LARGEST_SIDE` a
            side.
        detail: what it shows; None if it was not looked at.
        passes: the sides in pixels that it was restored from, one after another; the first is less than its
            own where it shows less.
        references: names of the photos used.
        crops: the photos used, as headshots; None where a .person file holds no picture.
        shares: mean of each score map.
        scores: a score map a photo, float32 S×S in [0, 1] of the first pass, see
            `hime.restoring.restorer.Restoration`.
        restored: the headshot restored, uint8, as many times larger as the model enlarges or the picture is
            enlarged, up to `LARGEST_SIDE`; None if it was left.
        without: the same by the same model without references; only if it was asked for.
        similarity_before: cosine of embeddings of the plainly enlarged headshot to the person;
            None for a stranger, or a face that was left.
        similarity_after: of the restored headshot.
        fidelity: where the model's dial stood for this face, None without a dial.
        warning: what to look at before trusting the result, in plain words; several are joined by "; ".
    """

    box: Box
    frame: Frame
    person: str | None
    status: str
    lr: Image
    detail: Detail | None = None
    passes: tuple[int, ...] = ()
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


def face_steps(
    headshot: Image,
    references: References,
    restorer: Restorer,
    *,
    at_least: int = 0,
    even_sharp: bool = False,
    strength: float = 1.0,
) -> Steps[AnySizeRestoration]:
    """A headshot restored, its colours and shading kept; as it is if it is sharp for its size.

    Args:
        headshot: uint8 H×H×3, framed as `hime.faces.headshot` says; sides from 8 pixels.
        references: of the person; those set in the restorer play no part.
        restorer: the model, its dial where it stands; not changed.
        at_least: see `hime.restoring.any_size.restore_any_size`.
        even_sharp: restore also what is sharp for its size.
        strength: see `hime.restoring.any_size.mixed`.

    Raises:
        HimeError: as for `hime.restoring.any_size.restore_any_size`.
    """
    restoration = yield from any_size_steps(
        headshot, restorer, references=references, at_least=at_least, even_sharp=even_sharp
    )
    if not restoration.passes:
        return restoration
    plain = lanczos(headshot, *restoration.image.shape[:2])
    difference = restoration.image.astype(np.float32) - plain
    matched = restoration.image - _smooth(difference)
    levels: Image = np.rint(matched.clip(0, 255)).astype(np.uint8)
    return replace(restoration, image=mixed(plain, keep_hue(levels, restoration.lr), strength))


def _smooth(values: FloatArray) -> FloatArray:
    """S×S×3 blurred by `COLOUR_SMOOTHING`, the border repeated.

    Rows and columns each by one matrix, since a kernel as wide as the picture would take thirty times as
    long.
    """
    side = len(values)
    deviation = COLOUR_SMOOTHING * side
    reach = math.floor(4 * deviation + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / deviation) ** 2)
    rows = np.arange(side)[:, np.newaxis]
    places = rows * side + np.clip(rows + offsets, 0, side - 1)
    shares = np.broadcast_to(weights / weights.sum(), places.shape)
    blur = np.bincount(places.ravel(), shares.ravel(), side**2).reshape(side, side)
    smooth = np.moveaxis(blur @ np.moveaxis(values.astype(np.float64), -1, 0) @ blur.T, 0, -1)
    return smooth.astype(np.float32)


def found_steps(
    face: FoundFace,
    person: Person | None,
    restorer: Restorer,
    count: int,
    *,
    enlargement: int = 1,
    even_sharp: bool = False,
    strength: float = 1.0,
    explain: bool = False,
) -> Steps[RestoredFace]:
    """The steps to a face of a photograph restored, once more with the dial at 1 if it became less like the
    person and there is such an end; `hime.restoring.any_size.together` goes them, for all faces of the
    photograph side by side.

    Args:
        face: as it was found.
        person: who it is; None restores without references.
        restorer: the model, its dial where it stands; not changed.
        count: at most so many photos, the best for the face's pose.
        enlargement: of the photograph: what pixels it will have there, the face is restored to, as far as
            `LARGEST_SIDE` allows.
        even_sharp: restore also what is sharp for its size.
        strength: see `hime.restoring.any_size.mixed`.
        explain: fill in ``without``.
    """
    lr = face.headshot(LARGEST_SIDE)
    chosen = choose_references(person, face.yaw, count, face.embedding) if person else []
    references = References([reference.for_restorer for reference in chosen])

    def restored(references: References, restorer: Restorer) -> Steps[AnySizeRestoration]:
        at_least = max(enlargement, restorer.scale) * len(lr)
        return face_steps(
            lr, references, restorer, at_least=at_least, even_sharp=even_sharp, strength=strength
        )

    restoration = yield from restored(references, restorer)
    if not restoration.passes:
        reason = f"sharp for its size ({round(face.frame.side)} pixels with hair and neck)"
        return replace(leave(face, person, reason), detail=restoration.detail)
    landmarks = face.frame.to_crop(len(restoration.image), face.landmarks)
    known = person.embedding if person else None

    def likeness(image: Image) -> float | None:
        return None if known is None else similarity(embedding_of(image, landmarks), known)

    before, after = likeness(lanczos(lr, *restoration.image.shape[:2])), likeness(restoration.image)
    warnings = _doubts(person, before, with_photos=bool(chosen))
    if person and _is_less(after, before):
        warning = f"less like {person.name} than the input was: look at it with care"
        milder = None
        if restorer.fidelity is not None and restorer.fidelity < 1:
            try:
                milder = Restorer(restorer.backend, 1.0)
            except HimeError as error:  # the result there is stays, with the warning
                warning += f" ({error})"
        if milder is not None:
            restorer = milder
            restoration = yield from restored(references, restorer)
            after = likeness(restoration.image)
            warning = f"less like {person.name} than the input was, so the milder result was taken"
            if _is_less(after, before):
                warning += ", which is less like too: look at it with care"
        warnings.append(warning)
    without = None
    if explain and chosen:
        without = yield from restored(References([]), restorer)
    return RestoredFace(
        box=face.box,
        frame=face.frame,
        person=person.name if person else None,
        status="restored",
        lr=lr,
        detail=restoration.detail,
        passes=restoration.passes,
        references=tuple(reference.name for reference in chosen),
        crops=tuple(reference.crop for reference in chosen),
        shares=tuple(restoration.shares),
        scores=tuple(restoration.scores),
        restored=restoration.image,
        without=without.image if without else None,
        similarity_before=before,
        similarity_after=after,
        fidelity=restorer.fidelity,
        warning="; ".join(warnings) or None,
    )


def leave(face: FoundFace, person: Person | None, reason: str) -> RestoredFace:
    """A face of a photograph left as it is, and why, in plain words."""
    name = person.name if person else None
    lr = face.headshot(LARGEST_LEFT)
    return RestoredFace(face.box, face.frame, name, f"left: {reason}", lr)


def _doubts(person: Person | None, before: float | None, *, with_photos: bool) -> list[str]:
    """What is to be told of a face that is said to be that person's, from its likeness as it was."""
    if person is None:
        return []
    doubts = [] if with_photos else [f"no photo of {person.name} could be used: restored without"]
    if before is not None and before < HARDLY_LIKE:
        what = f"the result looks like {person.name} all the same" if with_photos else "say whose with --face"
        doubts.append(
            f"hardly like {person.name} as far as can be seen ({before:.2f}): if it is somebody else, {what}"
        )
    return doubts


def _is_less(after: float | None, before: float | None) -> bool:
    return after is not None and before is not None and after < before - LIKENESS_MARGIN
