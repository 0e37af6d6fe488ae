"""Albums: somebody's photos, and which of them can be used as references.

    from hime.faces.album import read_person
    mum = read_person("mum/")
    for file, reason in mum.rejected: ...

Needs the extra ``faces``, never PyTorch. The limits, here, in `hime.faces.look` and in `hime.faces.matching`,
were found on photos of training people: 881 of 130 in CelebA, which are sharp and of all poses, and 1,123 of
200 in LFW, press photos of about 100 pixels a face.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hime.errors import HimeError
from hime.faces.embedding import FloatArray, similarity
from hime.faces.look import FACE, LOOK_SIDE, Look, look_at
from hime.pictures.arrays import Image
from hime.pictures.formats import READ, images_in

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

STRANGER = 0.3
"""Cosine to the mean of the person's other photos below which a photo shows somebody else. Lower than
`SAME_PERSON`, since whoever put it there thought it was the person. Measured on a face against the mean of
three: 3.4 % (CelebA, half of them wrong labels) and 0.5 % (LFW) of the person's photos are rejected, 1.8 %
and 1.4 % of other people's pass."""

NEAR_DUPLICATE = 0.985
"""Correlation of two faces, registered by an affine transform, from which one photo adds nothing to the
other. Above it are 98 % of photos and their copies (cropped, made smaller, brightened, compressed anew), but
4 of the 5,340 pairs of a person's photos, which are copies indeed."""
ALIKE = 0.7
"""Cosine of embeddings below which two photos are not compared for that; 99 % of such copies are above
0.75."""

MAIN_FACE = 2.0
"""A face this many times as large as every other in the photo is the one that was photographed."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A usable photo of a person, or what a .person file keeps of it.

    Attributes:
        name: the file's name, for messages.
        crop: the aligned headshot, uint8 S×S×3, 64 ≤ S ≤ 512; None from a .person file, which holds no
            picture.
        embedding: see `hime.faces.embedding.embed`.
        quality: from 0 to 1: how sharp and large the face is.
        yaw: see `hime.faces.Face`.
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
    photos: list[list[Look]] = []
    for file in files:
        try:
            looks = look_at(file)
        except HimeError as error:
            reasons[file] = str(error).removeprefix(f"{file}: ")
            continue
        if looks:
            photos.append(looks)
        else:
            reasons[file] = "no face found"

    theirs, not_theirs = _faces_of_the_person(photos)
    problems = {look.path: look.problem for look in theirs if look.problem is not None}
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


def _faces_of_the_person(photos: Sequence[Sequence[Look]]) -> tuple[list[Look], dict[Path, str]]:
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
    theirs: list[Look] = []
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


def _like(embedding: FloatArray, photos: Sequence[Sequence[Look]]) -> list[Look]:
    """The most similar face of each photo, as far as it is similar enough."""
    best = (max(looks, key=lambda look: similarity(look.embedding, embedding)) for looks in photos)
    return [look for look in best if similarity(look.embedding, embedding) >= SAME_PERSON]


def _mean(embeddings: Iterable[FloatArray]) -> FloatArray:
    """The mean of embeddings, of length 1."""
    total = np.sum(list(embeddings), axis=0)
    mean: FloatArray = total / np.linalg.norm(total)
    return mean


def _duplicates(looks: Sequence[Look]) -> dict[Path, str]:
    """The photos that show what a better one shows too, and which."""
    kept: list[Look] = []
    duplicates: dict[Path, str] = {}
    for look in sorted(looks, key=lambda look: look.quality, reverse=True):
        same = next((other for other in kept if _is_same_photo(look, other)), None)
        if same is None:
            kept.append(look)
        else:
            duplicates[look.path] = f"almost the same photo as {same.path.name}"
    return duplicates


def _is_same_photo(first: Look, second: Look) -> bool:
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
