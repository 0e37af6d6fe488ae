"""Albums: which photos of a person can be used as references, and whose face is whose.

    from hime.faces.album import choose_references, match, read_person, yaw_of
    mum = read_person("mum/")
    for file, reason in mum.rejected: ...
    person, = match([embed(photo, face.landmarks)], [mum])
    chosen = choose_references(mum, yaw_of(face.landmarks), count=5)
    restorer.set_references([reference.for_restorer for reference in chosen])

Needs the extra ``faces``, never PyTorch. The limits were found on photos of training people: 881 of 130 in
CelebA, which are sharp and of all poses, and 1,123 of 200 in LFW, press photos of about 100 pixels a face.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import laplace
from scipy.optimize import linear_sum_assignment

from hime.errors import HimeError
from hime.faces.detection import Face, detect
from hime.faces.embedding import embed, similarity
from hime.faces.headshot import Frame, cut
from hime.pictures.arrays import Image, resize
from hime.pictures.formats import READ, images_in
from hime.pictures.reading import read_image

FloatArray = npt.NDArray[np.float32]

SAME_PERSON = 0.38
"""Cosine of embeddings from which a face in a picture is taken for the person's. Measured on a face against
the mean of up to three photos (in brackets with 0.363, which OpenCV publishes for LFW's pairs):

| face | CelebA: missed | taken for another | LFW: missed | taken for another |
|---|---|---|---|---|
| against one photo | 11.7 (10.6) % | 0.07 (0.13) % | 2.0 (1.8) % | 0.05 (0.10) % |
| as it is | 5.6 (5.6) % | 0.18 (0.31) % | 0.3 (0.3) % | 0.09 (0.15) % |
| of 32 pixels | 18.4 (15.4) % | 0.13 (0.23) % | 4.4 (2.3) % | 0.05 (0.10) % |

Of CelebA's misses about 1.7 % are wrong labels. Who is missed can be named on the command line; who is taken
for another is restored with the wrong person's photos.
"""

DOUBT = 0.1
"""A face whose cosines to two people of a picture lie nearer together is taken for neither. Among 20 people,
0.8 % of CelebA's faces of 32 pixels were taken for another than they are without this, none with it; 3.6 %
more are missed. Of larger faces, and of LFW's, none was taken for another either way."""

STRANGER = 0.3
"""Cosine to the mean of the person's other photos below which a photo shows somebody else. Lower than
`SAME_PERSON`, since whoever put it there thought it was the person. Measured on a face against the mean of
three: 3.4 % (CelebA, half of them wrong labels) and 0.5 % (LFW) of the person's photos are rejected, 1.8 %
and 1.4 % of other people's pass."""

MINIMUM_SIDE, MAXIMUM_SIDE = 64, 512
"""Of a reference's headshot, in pixels: smaller ones have nothing to add to the smallest faces restored
(16 pixels, four times), larger ones nothing to the largest (128, four times)."""
SMALLEST_FACE = 45
"""Height in pixels of the faces that are looked for in references: those of the smallest headshots."""

MAXIMUM_YAW = 0.77
"""Beyond it, about 50 degrees, half of the face is hidden: 1 % of the 2,004 photos, all of them near
profiles."""
NOSE_LENGTH = 0.45
"""How far the tip of the nose stands out from the plane of eyes and mouth, in distances of the eyes."""

MINIMUM_SHARPNESS = 0.03
"""Variance of the Laplacian of the inner face, at `LOOK_SIDE`, over the variance of its luminance. The ratio
parts sharp from blurred better than the variance of the Laplacian alone, since it does not depend on the
light. Below it fall none of CelebA's photos and 0.4 % of LFW's as they are, but 99 % of both when they are
blurred (Gaussian, 1.5 pixels at that side) or reduced to 32 pixels and back."""

DARKEST_LIGHTS = 70
"""Luminance of the brightest twentieth of the inner face (0 to 255) below which a photo is underexposed, by
about three stops. It is 89 at the least in the 2,004 photos; the mean would be one of skin, not of light."""

BLOWN_OUT = 0.25
"""Share of the inner face that is white (above 247) from which a photo is overexposed, by one and a half
stops. It is 0.17 at the most in the 2,004 photos."""

NEAR_DUPLICATE = 0.985
"""Correlation of two faces, registered by an affine transform, from which one photo adds nothing to the
other. Above it are 98 % of photos and their copies (cropped, made smaller, brightened, compressed anew), but
4 of the 5,340 pairs of a person's photos, which are copies indeed."""
ALIKE = 0.7
"""Cosine of embeddings below which two photos are not compared for that; 99 % of such copies are above
0.75."""

MAIN_FACE = 2.0
"""A face this many times as large as every other in the photo is the one that was photographed."""
MOST_FACES = 16
"""Faces of a photo that are looked at, the largest first."""

LOOK_SIDE = 128
"""Side in pixels at which headshots are judged."""
INNER_FACE = (slice(40, 104), slice(36, 92))
"""Rows and columns of a headshot of that side from the brows to the chin: no hair, no background."""
FACE = (slice(32, 112), slice(28, 100))
"""The same with forehead, chin and cheeks."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A usable photo of a person, or what a .person file keeps of it.

    Attributes:
        name: the file's name, for messages.
        crop: the aligned headshot, uint8 S×S×3, 64 ≤ S ≤ 512; None from a .person file, which holds no
            picture.
        embedding: see `hime.faces.embedding.embed`.
        quality: from 0 to 1: how sharp and large the face is.
        yaw: as `yaw_of` gives it.
        path: the photo; None from a .person file.
    """

    name: str
    crop: Image | None
    embedding: FloatArray
    quality: float
    yaw: float
    path: Path | None = None

    @property
    def for_restorer(self) -> Any:
        """What `hime.restoring.restorer.Restorer.set_references` takes: the headshot."""
        assert self.crop is not None
        return self.crop


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody whose photos were looked at.

    Attributes:
        name: the folder's or the file's.
        references: the usable photos, in the order of their names.
        rejected: file name and reason, in plain words, of each photo that is not used.
        embedding: mean of the person's faces, of length 1. Where no photo is good enough as a reference, of
            those that are not (blurred, looking away, …), so that the person is known all the same. None
            where no photo shows a face that is surely the person's.
    """

    name: str
    references: tuple[Reference, ...]
    rejected: tuple[tuple[str, str], ...]
    embedding: FloatArray | None


# ------------------------------------------------------------------------------------------- one photo


def yaw_of(landmarks: npt.ArrayLike) -> float:
    """How far a face looks to the side, from −1 to 1, 0 frontal, negative towards the picture's left.

    The sine of the angle by which a nose of usual length (`NOSE_LENGTH`) has come away from the middle of
    eyes and mouth. Both its way and the distance of the eyes are taken along the eyes, so that a nod or a
    tilt of the head changes little.

    Args:
        landmarks: 5×2, as `hime.faces.detection.Face` holds them.

    Raises:
        HimeError: not five different points.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    angle = Frame.of(points).angle
    along = points @ [np.cos(angle), np.sin(angle)]
    way = along[2] - (along[:2].mean() + along[3:].mean()) / 2
    return float(np.sin(np.arctan2(way, NOSE_LENGTH * (along[1] - along[0]))))


@dataclass(frozen=True, eq=False)
class _Look:
    """A face in a photo, and what was found when it was looked at."""

    path: Path
    side: float  # of its frame, in pixels of the photo
    crop: Image
    grey: FloatArray  # LOOK_SIDE×LOOK_SIDE, luminance from 0 to 255
    embedding: FloatArray
    yaw: float
    sharpness: float

    @property
    def quality(self) -> float:
        """From 0 to 1: sharpness and size, each as a share of what is plenty."""
        sharpness = min(1.0, self.sharpness / (10 * MINIMUM_SHARPNESS))
        size = min(1.0, self.side / (4 * MINIMUM_SIDE))
        return float(np.sqrt(sharpness * size))

    def problem(self) -> str | None:
        """Why the photo is no good as a reference, if so."""
        inner = self.grey[INNER_FACE]
        if self.side < MINIMUM_SIDE:
            return f"the face is too small ({round(self.side)} pixels, at least {MINIMUM_SIDE} are needed)"
        if abs(self.yaw) > MAXIMUM_YAW:
            return "looks away"
        if np.percentile(inner, 95) < DARKEST_LIGHTS:
            return "underexposed"
        if (inner > 247).mean() > BLOWN_OUT:
            return "overexposed"
        if self.sharpness < MINIMUM_SHARPNESS:
            return "blurred"
        return None


def _look(path: Path, image: Image, face: Face) -> _Look:
    frame = Frame.of(face.landmarks)
    crop = cut(image, frame, int(np.clip(round(frame.side), MINIMUM_SIDE, MAXIMUM_SIDE)))
    luminance = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
    grey: FloatArray = resize(crop, LOOK_SIDE, LOOK_SIDE) @ luminance
    sharpness = laplace(grey)[INNER_FACE].var() / max(1.0, float(grey[INNER_FACE].var()))
    embedding = embed(image, face.landmarks)
    return _Look(path, frame.side, crop, grey, embedding, yaw_of(face.landmarks), float(sharpness))


# ------------------------------------------------------------------------------------------ one person


def read_person(paths: Path | str | Sequence[Path | str], name: str | None = None) -> Person:
    """Look at every photo of a person: which can be used, and what is wrong with the others.

    Args:
        paths: a folder, or photos.
        name: whose; default the folder's name, or the first photo's without its ending.

    Raises:
        HimeError: no photo at all, or the extra ``faces`` is not installed. A photo that cannot be read is
            among the rejected ones.
    """
    files, default = _photos(paths)
    reasons: dict[Path, str] = {}
    photos: list[list[_Look]] = []
    for file in files:
        try:
            image = read_image(file)
        except HimeError as error:
            reasons[file] = str(error).removeprefix(f"{file}: ")
            continue
        faces = detect(image, smallest=SMALLEST_FACE)[:MOST_FACES]
        if faces:
            photos.append([_look(file, image, face) for face in faces])
        else:
            reasons[file] = "no face found"

    theirs, not_theirs = _faces_of_the_person(photos)
    problems = {look.path: problem for look in theirs if (problem := look.problem()) is not None}
    usable = [look for look in theirs if look.path not in problems]
    duplicates = _duplicates(usable)
    kept = [look for look in usable if look.path not in duplicates]
    reasons |= not_theirs | problems | duplicates
    return Person(
        name=name or default,
        references=tuple(
            Reference(look.path.name, look.crop, look.embedding, look.quality, look.yaw, look.path)
            for look in kept
        ),
        rejected=tuple((file.name, reasons[file]) for file in files if file in reasons),
        embedding=_mean(look.embedding for look in kept or theirs) if theirs else None,
    )


def _photos(paths: Path | str | Sequence[Path | str]) -> tuple[list[Path], str]:
    """The files, each once, and what to call the person."""
    if isinstance(paths, Path | str):
        folder = Path(paths)
        if not folder.is_dir():
            return [folder], folder.stem
        files = images_in(folder, READ)
        if not files:
            raise HimeError(f"{folder}: no picture in it ({', '.join(READ)}); check the path")
        return files, folder.resolve().name
    files = list(
        {os.path.realpath(path): path for path in reversed([Path(path) for path in paths])}.values()
    )[::-1]
    if not files:
        raise HimeError("no photo of the person; give a folder or picture files")
    return files, files[0].stem


def _faces_of_the_person(photos: Sequence[Sequence[_Look]]) -> tuple[list[_Look], dict[Path, str]]:
    """The person's face in each photo, and why there is none in the others.

    The person is who is in most photos; of these, photos with one face come first. A photo's face is the one
    that is most like the mean of the person's faces in the other photos.

    Args:
        photos: of each its faces, the largest first.
    """
    portraits = [looks for looks in photos if len(looks) == 1 or looks[0].side >= MAIN_FACE * looks[1].side]
    candidates = [looks[0] for looks in portraits] or [look for looks in photos for look in looks]
    if not candidates:
        return [], {}
    agreeing = [_like(candidate.embedding, photos) for candidate in candidates]
    order = sorted(
        range(len(candidates)),
        key=lambda index: (
            len(agreeing[index]),
            sum(similarity(candidates[index].embedding, look.embedding) for look in agreeing[index]),
        ),
        reverse=True,
    )
    best = order[0]
    if not portraits:
        others = [
            index
            for index in order[1:]
            if similarity(candidates[index].embedding, candidates[best].embedding) < SAME_PERSON
        ]
        if len(agreeing[best]) < 2 or any(len(agreeing[i]) == len(agreeing[best]) for i in others):
            reason = "several faces, and no photo of the person alone that would tell whose is meant"
            return [], {looks[0].path: reason for looks in photos}

    found = agreeing[best]
    theirs: list[_Look] = []
    reasons: dict[Path, str] = {}
    for looks in photos:
        path = looks[0].path
        mean = _mean(look.embedding for look in found if look.path != path or len(found) == 1)
        look = max(looks, key=lambda look: similarity(look.embedding, mean))
        if similarity(look.embedding, mean) >= (STRANGER if looks in portraits else SAME_PERSON):
            theirs.append(look)
        elif looks in portraits:
            reasons[path] = "another person than in the other photos"
        else:
            reasons[path] = "several faces, none of them surely the person's"
    return theirs, reasons


def _like(embedding: FloatArray, photos: Sequence[Sequence[_Look]]) -> list[_Look]:
    """The most similar face of each photo, as far as it is similar enough."""
    best = (max(looks, key=lambda look: similarity(look.embedding, embedding)) for looks in photos)
    return [look for look in best if similarity(look.embedding, embedding) >= SAME_PERSON]


def _mean(embeddings: Iterable[FloatArray]) -> FloatArray:
    """The mean of embeddings, of length 1."""
    total = np.sum(list(embeddings), axis=0)
    mean: FloatArray = total / np.linalg.norm(total)
    return mean


def _duplicates(looks: Sequence[_Look]) -> dict[Path, str]:
    """The photos that show what a better one shows too, and which."""
    kept: list[_Look] = []
    duplicates: dict[Path, str] = {}
    for look in sorted(looks, key=lambda look: look.quality, reverse=True):
        same = next((other for other in kept if _is_same_photo(look, other)), None)
        if same is None:
            kept.append(look)
        else:
            duplicates[look.path] = f"almost the same photo as {same.path.name}"
    return duplicates


def _is_same_photo(first: _Look, second: _Look) -> bool:
    if similarity(first.embedding, second.embedding) < ALIKE:
        return False
    import cv2  # there, since faces were found

    side = LOOK_SIDE // 2
    one, other = (
        cv2.resize(look.grey, (side, side), interpolation=cv2.INTER_AREA) for look in (first, second)
    )
    face = np.zeros((LOOK_SIDE, LOOK_SIDE), np.uint8)
    face[FACE] = 1
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-3)
    try:
        correlation, transform = cv2.findTransformECC(
            one, other, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, criteria, face[::2, ::2].copy(), 5
        )
    except cv2.error:  # it does not converge: nothing alike
        return False
    # Landmarks are found again to within a tenth; a transform further off has lost the face.
    is_near = np.abs(transform[:, :2] - np.eye(2)).max() < 0.2 and np.abs(transform[:, 2]).max() < side / 4
    return bool(is_near and correlation >= NEAR_DUPLICATE)


# ------------------------------------------------------------------------------------------- one picture


def choose_references(person: Person, yaw: float, count: int) -> list[Reference]:
    """The best references of the person for a face that looks there: at most ``count``, the best first.

    The nearest pose comes first; quality decides between poses that are about as near, and what is like a
    photo that was chosen already comes later. Looking as far to the other side is as different as it is.
    Measured with small-x4 on 264 headshots of 66 training people, three references of up to 13: nearest pose
    gains 0.015 dB over photos chosen by chance and over the best quality, 0.008 dB over the nearest pose with
    both sides taken for one, a quarter of all that references give; quality and unlikeness cost nothing.

    Args:
        person: whose.
        yaw: of the face to be restored, see `yaw_of`.
        count: at most.
    """
    chosen: list[Reference] = []
    rest = list(person.references)

    def cost(reference: Reference) -> float:
        likeness = max((similarity(reference.embedding, other.embedding) for other in chosen), default=0.0)
        return abs(reference.yaw - yaw) - 0.1 * reference.quality + 0.3 * max(0.0, likeness)

    while rest and len(chosen) < count:
        best = min(range(len(rest)), key=lambda index: cost(rest[index]))
        chosen.append(rest.pop(best))
    return chosen


def match(
    embeddings: Sequence[FloatArray], people: Sequence[Person], threshold: float = SAME_PERSON
) -> list[Person | None]:
    """Whose the faces of one picture are: for each its person, or None for a stranger.

    Nobody is in a picture twice: of all assignments, the one whose cosines exceed the threshold by the most
    in sum. (By the excess, not the cosines themselves: a face that is surely mum's is not given to the aunt
    so that mum can have a doubtful one.) A face that two of them could be, within `DOUBT`, is nobody's:
    restoring it with the wrong one's photos does more harm than leaving it; ``--face`` and ``--person`` say
    who it is.

    Args:
        embeddings: of the faces, see `hime.faces.embedding.embed`.
        people: who may be in the picture.
        threshold: least cosine.
    """
    known = [(person, person.embedding) for person in people if person.embedding is not None]
    matched: list[Person | None] = [None] * len(embeddings)
    if not known or not embeddings:
        return matched
    cosines = np.stack(embeddings) @ np.stack([embedding for _, embedding in known]).T
    faces, whose = linear_sum_assignment(np.maximum(cosines - threshold, 0), maximize=True)
    best = np.zeros(len(known))  # of each person, the cosine of the face that is theirs
    best[whose] = cosines[faces, whose]
    for face, number in zip(faces, whose, strict=True):
        rivals = cosines[face] > np.maximum(cosines[face, number] - DOUBT, best)
        rivals[number] = False
        if cosines[face, number] >= threshold and not rivals.any():
            matched[face], _ = known[number]
    return matched
