"""Whose face is whose in a picture, and which of their photos to restore it with.

from hime.faces import detect
from hime.faces.matching import choose_references, match
faces = detect(photo)
for face, person in zip(faces, match([face.embedding for face in faces], people)):
    if person is not None:
        chosen = choose_references(person, face.yaw, 5, face.embedding)
        restorer.set_references([reference.for_restorer for reference in chosen])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import overload

import numpy as np

from hime.faces.album import BLOCK, SAME_PERSON, Person, Reference
from hime.faces.embedding import similarity
from hime.pictures.arrays import FloatArray

DOUBT = 0.1
"""A face whose cosines to two people of a picture lie nearer together is taken for neither. Among 20 people,
0.8 % of CelebA's faces of 32 pixels were taken for another than they are without this, none with it; 3.6 %
more are missed. Of larger faces, and of LFW's, none was taken for another either way."""

AGAIN, AGAIN_DROP = 0.45, 0.25
"""Cosine from which a further face in the picture is taken for a person who has a surer one in it already,
and how much less than that one's it may be: in most pictures everybody is once, and the sister beside mum is
no second mum."""
SAME_LOOK = 0.6
"""Cosine of two faces of one picture from which they are one person's in any case who is known in the surer:
what was taken at the same time (a photo strip, a mirror) is more alike than photos of different years. Less
than one in a thousand pairs of strangers reaches 0.45."""
DOUBT_AGAIN = 0.05
"""`DOUBT` to somebody who has a surer face in the picture already."""

LIKE = 2.0
"""What `choose_references` weighs against a difference of 1 in yaw: the cosine of a photo's embedding to the
face's. Of 0, 0.5, 1, 2, 4 and 8, for this and for `TYPICAL` alike, 2 restored best: 59 training people of
CelebA, one headshot each, 32→128, medium damage, three photos of seven, `large-x4-real-p`: SFace +0.034
(0.020 … 0.050), dlib −0.024 (−0.039 … −0.011), PSNR +0.057 dB over 0 (`comparisons/choosing.py`)."""
TYPICAL = 2.0
"""The cosine to the person's mean."""
QUALITY = 0.1
REPEATED = 0.3
"""The cosine to the photo most alike of those that were chosen already."""

MOST_COMPARED = 2000
"""People of whom all are compared with all, which takes the square of their number."""


def choose_references(
    person: Person,
    yaw: float,
    count: int,
    embedding: FloatArray | None = None,
    *,
    like: float = LIKE,
    typical: float = TYPICAL,
) -> list[Reference]:
    """The best references of the person for a face that looks there: at most ``count``, the best first.

    What counts is how near a photo's pose is, how much its face is like this one (years, glasses, light and
    expression move the embedding of a face) and like the person on all photos (a photo that is not shows
    the person badly, or somebody else), then quality; what is like a photo that was chosen already comes
    later. Looking as far to the other side is as different as it is.

    Args:
        person: whose.
        yaw: of the face to be restored, see `hime.faces.Face`.
        count: at most.
        embedding: of the face, see `hime.faces.embed`; None: not known, so that it does not count.
        like: weight of the likeness to the face.
        typical: weight of that to the person's mean.
    """
    chosen: list[Reference] = []
    rest = list(person.references)

    def fitting(reference: Reference) -> float:
        """How well a photo serves, whatever the others are."""
        to_face = similarity(reference.embedding, embedding) if embedding is not None else 0.0
        mean = person.embedding
        to_person = similarity(reference.embedding, mean) if mean is not None else 0.0
        return like * to_face + typical * to_person + QUALITY * reference.quality - abs(reference.yaw - yaw)

    known = {id(each): fitting(each) for each in rest}

    def cost(reference: Reference) -> float:
        repeated = max((similarity(reference.embedding, other.embedding) for other in chosen), default=0.0)
        return REPEATED * max(0.0, repeated) - known[id(reference)]

    while rest and len(chosen) < count:
        best = min(range(len(rest)), key=lambda index: cost(rest[index]))
        chosen.append(rest.pop(best))
    return chosen


def match(
    embeddings: Sequence[FloatArray], people: Sequence[Person], threshold: float = SAME_PERSON
) -> list[Person | None]:
    """Whose the faces of one picture are: for each its person, or None for a stranger.

    The surest faces come first. Each goes to the person that it is most like. Who has a surer face in the
    picture already gets another one only if it is much like them too (`AGAIN`), or like that face
    (`SAME_LOOK`); else it is somebody else's. A face that two people could be, within `DOUBT`, is nobody's:
    restoring it with the wrong one's photos does more harm than leaving it; ``--face`` and ``--person`` say
    who it is.

    Args:
        embeddings: of the faces, see `hime.faces.embed`.
        people: who may be in the picture; a `Crowd` where the same are looked for in many pictures.
        threshold: least cosine.
    """
    matched: list[Person | None] = [None] * len(embeddings)
    known = people if isinstance(people, Crowd) else Crowd(people)
    places, means = known.known
    if not len(places) or not embeddings:
        return matched
    faces = np.stack(embeddings)
    cosines = faces @ means.T
    alike = faces @ faces.T
    margins = np.full(len(places), DOUBT)
    seen: dict[int, list[int]] = {}  # the faces of each person, by their numbers
    for face in np.argsort(-cosines.max(axis=1), kind="stable"):
        own = cosines[face].copy()
        for person, theirs in seen.items():
            surer = [other for other in theirs if cosines[other, person] > own[person]]
            if not surer or alike[face, surer].max() >= SAME_LOOK:
                continue
            if own[person] < max(AGAIN, cosines[surer, person].max() - AGAIN_DROP):
                own[person] = -np.inf  # it is somebody else's
        best = int(np.argmax(own))
        is_rival = own > own[best] - margins
        is_rival[best] = False
        if own[best] >= threshold and not is_rival.any():
            matched[face] = known[places[best]]
            seen.setdefault(best, []).append(face)
            margins[best] = DOUBT_AGAIN
    return matched


def alike(people: Crowd) -> Iterator[tuple[Person, Person]]:
    """Pairs of people who seem to be one (`SAME_LOOK`): each keeps the other's faces from being matched
    (`DOUBT`). Of 128 people of CelebA, three photos each, no pair of 8,128 seems so; of three other photos of
    each 96 % do.

    A product of all with all: 0.02 s of a processor for 2,000 people. Of more (`MOST_COMPARED`) no pair is
    looked for: 30,000 would take 12 s at each start.
    """
    places, means = people.known
    if len(places) > MOST_COMPARED:
        return
    for start in range(0, len(places), BLOCK):  # all at once may be more than memory holds
        cosines = means[start : start + BLOCK] @ means[start:].T
        for one, other in np.argwhere(np.triu(cosines >= SAME_LOOK, k=1)):
            yield people[places[start + one]], people[places[start + other]]


class Crowd(Sequence[Person]):
    """People who may be in pictures, their embeddings in one matrix, so that ten thousand cost little more
    than ten: 100,000 take 4 ms a face (``docs/people.md``).

    Args:
        people: as `match` takes them.
    """

    def __init__(self, people: Sequence[Person]) -> None:
        self._people = list(people)

    @overload
    def __getitem__(self, index: int) -> Person: ...

    @overload
    def __getitem__(self, index: slice) -> list[Person]: ...

    def __getitem__(self, index: int | slice) -> Person | list[Person]:
        return self._people[index]

    def __len__(self) -> int:
        return len(self._people)

    @cached_property
    def known(self) -> tuple[list[int], FloatArray]:
        """The places of those who have an embedding, and their embeddings: float32 M×128."""
        found = [
            (place, each.embedding) for place, each in enumerate(self._people) if each.embedding is not None
        ]
        if not found:
            return [], np.zeros((0, 128), np.float32)
        places, embeddings = zip(*found, strict=True)
        return list(places), np.stack(embeddings)

    def with_others(self, others: Mapping[int, Person]) -> Crowd:
        """The same people, some of them with other references; each keeps the embedding."""
        crowd = Crowd(self._people)
        crowd.known = self.known
        for place, person in others.items():
            crowd._people[place] = person
        return crowd
