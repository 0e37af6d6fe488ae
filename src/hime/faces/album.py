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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hime.errors import HimeError
from hime.faces.duplicates import find_duplicates
from hime.faces.look import Look, look_at
from hime.faces.networks import require
from hime.pictures.arrays import FloatArray, Image
from hime.pictures.formats import READ, check_pictures, find_pictures
from hime.pictures.names import REACH, NamedFace
from hime.processors import in_parallel

if TYPE_CHECKING:
    from hime.faces.cache import LookCache

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

ANOTHER = "another person than in the other photos"
"""Why a photo of somebody else is rejected."""
SEVERAL = 1 / 3
"""Share of somebody's photos from which, if so many show somebody else, they are rather several people's."""

BLOCK = 1024
"""Faces that are compared with all others at once."""

MAIN_FACE = 2.0
"""A face this many times as large as every other in the photo is the one that was photographed."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A usable photo of a person, or what a .person file keeps of it.

    Attributes:
        name: the file's name, for messages.
        picture: the aligned headshot, see `crop`, or what gives it.
        embedding: see `hime.faces.embedding.embed`.
        quality: from 0 to 1: how sharp and large the face is.
        yaw: see `hime.faces.Face`.
        path: the photo; None from a .person file.
        content: SHA-256 of the photo's file where a .person file says it; of a photo, the file does.
    """

    name: str
    picture: Image | Callable[[], Image] | None
    embedding: FloatArray
    quality: float
    yaw: float
    path: Path | None = None
    content: str | None = None

    @cached_property
    def crop(self) -> Image | None:
        """The aligned headshot, uint8 S×S×3, 64 ≤ S ≤ 512; None from a .person file, which holds no picture.

        Raises:
            HimeError: it was kept in a cache, and is no longer.
        """
        return self.picture() if callable(self.picture) else self.picture

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

    @property
    def seems_several(self) -> bool:
        """Whether the photos seem to be those of several people."""
        others = sum(reason == ANOTHER for _, reason in self.rejected)
        return others > 0 and others >= SEVERAL * (len(self.references) + len(self.rejected))


def read_person(
    paths: Path | str | Sequence[Path | str],
    name: str | None = None,
    *,
    cache: LookCache | None = None,
    progress: Callable[[int, int], object] | None = None,
    places: Mapping[Path, NamedFace] | None = None,
) -> Person:
    """Look at every photo of a person: which can be used, and what is wrong with the others.

    The work grows with the number of photos. With a cache, photos that were looked at before are not looked
    at again, and headshots lie there instead of in memory.

    Args:
        paths: a folder, with all photos in it and in its folders, told by content; or a photo; or several of
            these.
        name: whose; default the first folder's name, or the first photo's without its ending.
        cache: where what is learned of each photo is kept (`hime.faces.cache.user_cache`); default nowhere.
        progress: called after each photo with how many are done, and of how many.
        places: where in a photo the person's face is, as far as that is known; its other faces are nobody's.

    Raises:
        HimeError: no photo at all, none in one of the folders, one that is named is not there, or the extra
            ``faces`` is not installed. A photo that cannot be read is among the rejected ones.
    """
    files, default = _photos(paths)
    require()
    reasons: dict[Path, str] = {}
    photos: list[Sequence[Look]] = []

    def look(file: Path) -> Sequence[Look] | HimeError:
        try:
            return look_at(file) if cache is None else cache.look_at(file)
        except HimeError as error:
            return error

    for done, (file, looks) in enumerate(zip(files, in_parallel(look, files), strict=True), start=1):
        if isinstance(looks, HimeError):
            reasons[file] = str(looks).removeprefix(f"{file}: ")
        else:
            place = (places or {}).get(file)
            looks = looks if place is None else _in_place(looks, place)
            if looks:
                photos.append(looks)
            else:
                reasons[file] = "no face found" if place is None else "no face found where it names one"
        if progress is not None:
            progress(done, len(files))

    theirs, not_theirs = _faces_of_the_person(photos)
    problems = {look.path: look.problem for look in theirs if look.problem is not None}
    usable = [look for look in theirs if look.path not in problems]
    duplicates = find_duplicates(usable, None if cache is None else cache.verdicts)
    if cache is not None:
        cache.keep_verdicts()
    kept = [look for look in usable if look.path not in duplicates]
    reasons |= not_theirs | problems | duplicates
    return Person(
        name=name or default,
        references=tuple(
            Reference(look.path.name, look.picture, look.embedding, look.quality, look.yaw, look.path)
            for look in kept
        ),
        rejected=tuple((file.name, reasons[file]) for file in files if file in reasons),
        embedding=_mean(look.embedding for look in kept or theirs) if theirs else None,
    )


def check_people(people: Any) -> None:
    """Refuse what is no list of people.

    Raises:
        HimeError: it is something else; the message says what gives it.
    """
    is_list = isinstance(people, Sequence) and not isinstance(people, str)
    wrong = next((each for each in people if not isinstance(each, Person)), None) if is_list else people
    if wrong is not None:
        what = f"{'a list with ' if is_list else ''}{type(wrong).__name__}"
        raise HimeError(f"people must be a list of what `hime.read_person` gives, not {what}")


def _photos(paths: Path | str | Sequence[Path | str]) -> tuple[list[Path], str]:
    """The files, each once, and what to call the person."""
    given = [Path(path) for path in ([paths] if isinstance(paths, Path | str) else paths)]
    if not given:
        raise HimeError("no photo of the person; give a folder or picture files")
    folders = {path for path in given if path.is_dir()}
    check_pictures([path for path in given if path not in folders])
    files = [file for path in given for file in (_photos_in(path) if path in folders else [path])]
    once = {os.path.realpath(file): file for file in reversed(files)}
    name = given[0].resolve().name if given[0] in folders else given[0].stem
    return list(once.values())[::-1], name


def _photos_in(folder: Path) -> list[Path]:
    """The pictures in a folder and its folders, and what is called like one."""
    found = find_pictures(folder)
    broken = [path for path, _ in found.passed_over if path.suffix.lower() in READ]
    if not found.pictures:
        raise HimeError(f"{folder}: no picture in it; check the path")
    return sorted([*found.pictures, *broken], key=lambda path: (path.parent, path.name))


def _in_place(looks: Sequence[Look], place: NamedFace) -> list[Look]:
    """The face that is meant, if it was found."""
    nearest = sorted(looks, key=lambda look: place.distance(look.x, look.y))[:1]
    return [look for look in nearest if place.distance(look.x, look.y) <= REACH]


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
    faces = _Faces(photos)
    embeddings = np.stack([look.embedding for look in candidates])
    counts, sums = faces.agreeing(embeddings)
    # By the number of photos, then by how alike they are; the last digits of the sums are chance.
    order = np.lexsort((-sums.round(5), -counts))
    best = int(order[0])
    if not portraits:
        is_other = embeddings @ embeddings[best] < SAME_PERSON
        is_other[best] = False
        if counts[best] < 2 or (counts[is_other] == counts[best]).any():
            reason = "several faces, and no photo of the person alone that would tell whose is meant"
            return [], {looks[0].path: reason for looks in photos}

    found = faces.most_like(embeddings[best])
    total = np.sum([look.embedding for look in found.values()], axis=0, dtype=np.float64)
    are_portraits = set(map(id, portraits))
    theirs: list[Look] = []
    reasons: dict[Path, str] = {}
    for number, looks in enumerate(photos):
        is_portrait = id(looks) in are_portraits
        others = total - found[number].embedding if number in found and len(found) > 1 else total
        likeness = np.stack([look.embedding for look in looks]) @ (others / np.linalg.norm(others))
        nearest = int(likeness.argmax())
        if likeness[nearest] >= (STRANGER if is_portrait else SAME_PERSON):
            theirs.append(looks[nearest])
        elif is_portrait:
            reasons[looks[0].path] = ANOTHER
        else:
            reasons[looks[0].path] = "several faces, none of them surely the person's"
    return theirs, reasons


class _Faces:
    """All faces of some photos, to be compared with others at once.

    Args:
        photos: of each its faces, at least one.
    """

    def __init__(self, photos: Sequence[Sequence[Look]]) -> None:
        self._photos = photos
        self._embeddings = np.stack([look.embedding for looks in photos for look in looks])
        self._starts = np.cumsum([0, *(len(looks) for looks in photos[:-1])])

    def agreeing(self, embeddings: FloatArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """In how many photos somebody is like each of these, and the sum of the cosines of the most alike.

        Args:
            embeddings: M×128.
        """
        counts, sums = [], []
        for start in range(0, len(embeddings), BLOCK):  # M×N cosines at once may be more than memory holds
            cosines = embeddings[start : start + BLOCK] @ self._embeddings.T
            best = np.maximum.reduceat(cosines, self._starts, axis=1)
            is_like = best >= SAME_PERSON
            counts.append(is_like.sum(axis=1))
            sums.append(np.where(is_like, best, 0).sum(axis=1, dtype=np.float64))
        return np.concatenate(counts), np.concatenate(sums)

    def most_like(self, embedding: FloatArray) -> dict[int, Look]:
        """The most similar face of each photo, by its number, as far as it is similar enough."""
        found = {}
        cosines = np.split(self._embeddings @ embedding, self._starts[1:])
        for number, (looks, own) in enumerate(zip(self._photos, cosines, strict=True)):
            if own.max() >= SAME_PERSON:
                found[number] = looks[int(own.argmax())]
        return found


def _mean(embeddings: Iterable[FloatArray]) -> FloatArray:
    """The mean of embeddings, of length 1."""
    total = np.sum(list(embeddings), axis=0)
    mean: FloatArray = total / np.linalg.norm(total)
    return mean
