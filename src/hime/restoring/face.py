"""One face restored: a headshot and the person's photos in, the headshot restored out.

    references = References([reference.for_restorer for reference in choose_references(mum, face.yaw, 5)])
    restore_face(headshot, references, restorer).image

`restore_face` knows headshots only, wherever they come from; `restore_found` takes a face of a photograph,
chooses the photos for its pose, and looks whether it has become less like the person.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image
from scipy.ndimage import gaussian_filter

from hime.faces.album import Person
from hime.faces.embedding import embedding_of, similarity
from hime.faces.face import Box
from hime.faces.found import FoundFace
from hime.faces.headshot import Frame
from hime.faces.matching import choose_references
from hime.pictures.arrays import Image
from hime.restoring.hue import keep_hue
from hime.restoring.restorer import References, Restoration, Restorer

FloatArray = npt.NDArray[np.float32]
AnyImage = TypeVar("AnyImage", npt.NDArray[np.uint8], npt.NDArray[np.uint16])

LR_SIDES = (16, 128)
"""Sides in pixels of the faces (with hair and neck) that are restored: below, too little of the person is
left; above, the photograph is sharp enough."""
COLOUR_SMOOTHING = 1 / 8
"""Standard deviation, in sides of the headshot, of the blur: what is coarser than it is the photo's own."""
LIKENESS_MARGIN = 0.02
"""A loss of likeness (cosine) up to this is no reason for a warning."""


@dataclass(frozen=True, eq=False)
class RestoredFace:
    """What became of one face.

    Attributes:
        box: as `hime.faces.Face` has it, in pixels of the input.
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

    box: Box
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


def restore_face(headshot: Image, references: References, restorer: Restorer) -> Restoration:
    """A headshot restored, with the colours and the shading that it has.

    Args:
        headshot: uint8 H×W×3, framed as `hime.faces.headshot` says; sides from 8 pixels.
        references: of the person; those set in the restorer play no part.
        restorer: the model, its dial where it stands; not changed.

    Raises:
        HimeError: as for `hime.restoring.restorer.Restorer.restore`.
    """
    restoration = restorer.restore(headshot, references)
    difference = restoration.image.astype(np.float32) - enlarge(headshot, restorer.scale)
    blur = COLOUR_SMOOTHING * restoration.image.shape[0]
    matched = restoration.image - gaussian_filter(difference, (blur, blur, 0), mode="nearest")
    levels: Image = np.rint(matched.clip(0, 255)).astype(np.uint8)
    return replace(restoration, image=keep_hue(levels, headshot))


def restore_found(
    face: FoundFace, person: Person | None, restorer: Restorer, count: int, *, explain: bool = False
) -> RestoredFace:
    """A face of a photograph restored, once more with the dial at 1 if it became less like the person.

    Args:
        face: as it was found.
        person: who it is; None restores without references.
        restorer: the model, its dial where it stands; not changed.
        count: at most so many photos, the best for the face's pose.
        explain: fill in ``without``.
    """
    lr = headshot_of(face)
    chosen = choose_references(person, face.yaw, count) if person else []
    references = References([reference.for_restorer for reference in chosen])
    restoration = restore_face(lr, references, restorer)

    landmarks = face.frame.to_crop(restoration.image.shape[0], face.landmarks)
    known = person.embedding if person else None

    def likeness(image: Image) -> float | None:
        return None if known is None else similarity(embedding_of(image, landmarks), known)

    before, after = likeness(enlarge(lr, restorer.scale)), likeness(restoration.image)
    warning = None
    if person and not chosen:
        warning = f"no photo of {person.name} could be used: restored without"
    if person and _is_less(after, before):
        warning = f"less like {person.name} than the input was: look at it with care"
        if restorer.fidelity is not None and restorer.fidelity < 1:
            restorer = Restorer(restorer.backend, 1.0)
            restoration = restore_face(lr, references, restorer)
            after = likeness(restoration.image)
            warning = f"less like {person.name} than the input was, so the milder result was taken"
            if _is_less(after, before):
                warning += ", which is less like too: look at it with care"
    return RestoredFace(
        box=face.box,
        frame=face.frame,
        person=person.name if person else None,
        status="restored",
        lr=lr,
        references=tuple(reference.name for reference in chosen),
        crops=tuple(reference.crop for reference in chosen),
        shares=tuple(restoration.shares),
        scores=tuple(restoration.scores),
        restored=restoration.image,
        without=restore_face(lr, References([]), restorer).image if explain and chosen else None,
        similarity_before=before,
        similarity_after=after,
        fidelity=restorer.fidelity,
        warning=warning,
    )


def leave(face: FoundFace, person: Person | None, reason: str) -> RestoredFace:
    """A face of a photograph left as it is, and why, in plain words."""
    name = person.name if person else None
    return RestoredFace(face.box, face.frame, name, f"left: {reason}", headshot_of(face))


def headshot_of(face: FoundFace) -> Image:
    """The headshot at the size that it has in the photograph, up to twice what is restored."""
    return face.headshot(2 * LR_SIDES[1])


def enlarge(image: AnyImage, factor: int) -> AnyImage:
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


def _is_less(after: float | None, before: float | None) -> bool:
    return after is not None and before is not None and after < before - LIKENESS_MARGIN
