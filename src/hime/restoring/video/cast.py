"""Who is in a clip: tracks of one person brought together, and the references that each person gets.

References are the clip's own sharp, near frames (same day, same light, same hair: worth most) and photos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hime.faces.album import SAME_PERSON, STRANGER, Person, Reference
from hime.faces.embedding import similarity
from hime.faces.matching import DOUBT
from hime.pictures.arrays import FloatArray, Image
from hime.restoring.video.findings import CROP_MARGIN, Candidate, Findings
from hime.restoring.video.smoothing import SteadyTrack

SAME_CLIP = 0.5
"""Cosine of the mean embeddings of two tracks from which they are one person, where no photos say who is in
the clip. Higher than `hime.faces.album.SAME_PERSON`: in one clip light and age are the same, and two people
taken for one would get each other's face."""
NEAR = 64.0
"""Sides in pixels from which an embedding counts in full; smaller ones count less."""
REFERENCES = 5
"""How many references a person gets at most."""
OWN_CLIP = 0.3
"""By how much in quality a frame of the clip goes before a photo."""
SAME_POSE, POSE_WIDTH = 0.6, 0.2
"""By how much in quality a reference goes behind others if one of the same pose was chosen already, and over
what difference of yaw that falls to a third."""


@dataclass(frozen=True)
class ClipReference:
    """A reference of somebody in a clip.

    Attributes:
        source: a photo's name, or None for a frame of the clip.
        seconds: when in the clip, None for a photo.
        yaw: see `hime.faces.face.yaw_of`.
        quality: from 0 to 1.
        side: of the headshot in the clip or the photo, in pixels.
        photo: the photo, None for a frame.
        candidate: the frame, None for a photo.
    """

    source: str | None
    seconds: float | None
    yaw: float
    quality: float
    side: float
    photo: Reference | None = None
    candidate: Candidate | None = None

    @property
    def crop(self) -> Image | None:
        """The headshot with what is around it; None where a .person file holds no picture."""
        if self.candidate is not None:
            return self.candidate.crop
        assert self.photo is not None
        return self.photo.crop

    @property
    def margin(self) -> float:
        """How many times the headshot's side the crop's is."""
        return 1.0 if self.candidate is None else CROP_MARGIN


@dataclass(frozen=True, eq=False)
class Role:
    """Somebody in a clip.

    Attributes:
        name: the person's, or ``"person 1"`` and so on in the order of their appearance.
        person: whose photos were given; None for somebody whom only the clip knows.
        tracks: the person's.
        embedding: mean over the clip, of length 1; None where nobody looked.
        references: at most `REFERENCES`, the best first.
    """

    name: str
    person: Person | None
    tracks: tuple[SteadyTrack, ...]
    embedding: FloatArray | None
    references: tuple[ClipReference, ...] = ()


@dataclass(frozen=True, eq=False)
class RestoredRole:
    """What became of somebody in a clip.

    Attributes:
        name: see `Role`.
        status: ``"restored"``, or ``"left: "`` and why, in plain words.
        frames: in how many frames the face was restored.
        seen: in how many frames it is.
        references: that were used.
    """

    name: str
    status: str
    frames: int
    seen: int
    references: tuple[ClipReference, ...]


def roles(tracks: Sequence[SteadyTrack], findings: Findings, people: Sequence[Person]) -> list[Role]:
    """Everybody in the clip: first the people given, who may have no track, then the others.

    Args:
        tracks: as `hime.restoring.video.smoothing.steady_tracks` gives them.
        findings: of the first pass.
        people: who may be in the clip.
    """
    means = {track.number: _mean_of(track.number, findings) for track in tracks}
    of_person: list[list[SteadyTrack]] = [[] for _ in people]
    known = [person.embedding for person in people]
    _assign(tracks, means, known, of_person, SAME_PERSON)
    # Who is surely known near helps to know the same person far away.
    near = [
        _unit(
            [mean for track in own if _largest(track) >= NEAR and (mean := means[track.number]) is not None]
        )
        for own in of_person
    ]
    _assign(tracks, means, near, of_person, SAME_CLIP)
    taken = {track.number for own in of_person for track in own}
    rest = [track for track in tracks if track.number not in taken]
    rest.sort(key=lambda track: -_largest(track))
    cast = [
        Role(person.name, person, _in_order(own), mean if mean is not None else person.embedding)
        for person, own, mean in zip(people, of_person, near, strict=True)
    ]
    groups: list[list[SteadyTrack]] = []
    group_means: list[list[FloatArray]] = []
    for track in rest:
        mean = means[track.number]
        best, likeness = None, SAME_CLIP
        for number, group in enumerate(groups):
            total = _unit(group_means[number])
            if mean is None or total is None or any(_together(track, other) for other in group):
                continue
            if similarity(mean, total) >= likeness:
                best, likeness = number, similarity(mean, total)
        if best is None:
            groups.append([track])
            group_means.append([] if mean is None else [mean])
        else:
            groups[best].append(track)
            group_means[best] += [] if mean is None else [mean]
    order = sorted(range(len(groups)), key=lambda number: min(track.start for track in groups[number]))
    cast += [
        Role(f"person {place}", None, _in_order(groups[number]), _unit(group_means[number]))
        for place, number in enumerate(order, start=1)
    ]
    return cast


def _in_order(tracks: Sequence[SteadyTrack]) -> tuple[SteadyTrack, ...]:
    return tuple(sorted(tracks, key=lambda track: track.number))


def _together(first: SteadyTrack, second: SteadyTrack) -> bool:
    """Whether two tracks are in one frame: then they are two people."""
    return first.start < second.end and second.start < first.end


def _largest(track: SteadyTrack) -> float:
    return float(np.max(track.frames[:, 2]))


def _assign(
    tracks: Sequence[SteadyTrack],
    means: dict[int, FloatArray | None],
    known: Sequence[FloatArray | None],
    of_person: list[list[SteadyTrack]],
    least: float,
) -> None:
    """Give tracks to the people that they are like, the most like first.

    Nobody is in a frame twice, and a track that could be two people's is nobody's.

    Args:
        tracks: all.
        means: who each is.
        known: who the people are.
        of_person: the tracks of each; those that have one already keep it.
        least: cosine.
    """
    taken = {track.number for own in of_person for track in own}
    pairs = []
    for track in tracks:
        mean = means[track.number]
        if mean is None or track.number in taken:
            continue
        likeness = [-1.0 if other is None else similarity(mean, other) for other in known]
        for number, value in enumerate(likeness):
            rival = max((other for place, other in enumerate(likeness) if place != number), default=-1.0)
            if value >= least and rival <= value - DOUBT:
                pairs.append((value, track, number))
    for _, track, number in sorted(pairs, key=lambda pair: (-pair[0], pair[1].number)):
        if not any(_together(track, other) for other in of_person[number]):
            of_person[number].append(track)


def _mean_of(number: int, findings: Findings) -> FloatArray | None:
    rows = findings.who[:, 1] == number
    if not rows.any():
        return None
    weights = np.minimum(findings.who[rows, 2], NEAR) / NEAR
    total = weights.astype(np.float32) @ findings.who_embeddings[rows]
    norm = float(np.linalg.norm(total))
    return None if norm == 0 else np.asarray(total / norm, np.float32)


def _unit(embeddings: Sequence[FloatArray]) -> FloatArray | None:
    if not embeddings:
        return None
    total = np.sum(embeddings, axis=0)
    norm = float(np.linalg.norm(total))
    return None if norm == 0 else np.asarray(total / norm, np.float32)


def with_references(
    role: Role, findings: Findings, load: Callable[[int], Candidate], count: int = REFERENCES
) -> Role:
    """The role with the best of its own frames and its photos, of poses as different as there are.

    Args:
        role: whose.
        findings: of the first pass.
        load: the headshot of that number in `Findings.candidates`.
        count: at most so many.
    """
    own = {track.number for track in role.tracks}
    pool: list[tuple[float, float, int | Reference]] = []  # quality, yaw, which
    for index, row in enumerate(findings.candidates):
        embedding = findings.candidate_embeddings[index]
        like = role.embedding is None or similarity(embedding, role.embedding) >= STRANGER
        if int(row[0]) in own and like:
            pool.append((float(row[1]) + OWN_CLIP, float(row[3]), index))
    if role.person is not None:
        pool += [(photo.quality, photo.yaw, photo) for photo in role.person.references]
    chosen: list[ClipReference] = []
    while pool and len(chosen) < count:
        worth = [
            quality
            - SAME_POSE
            * max((float(np.exp(-abs(yaw - other.yaw) / POSE_WIDTH)) for other in chosen), default=0.0)
            for quality, yaw, _ in pool
        ]
        quality, yaw, which = pool.pop(int(np.argmax(worth)))
        if isinstance(which, int):
            candidate = load(which)
            chosen.append(
                ClipReference(
                    None, candidate.seconds, yaw, quality - OWN_CLIP, candidate.side, None, candidate
                )
            )
        else:
            side = float(which.crop.shape[0]) if which.crop is not None else 0.0
            chosen.append(ClipReference(which.name, None, yaw, quality, side, which))
    return replace(role, references=tuple(chosen))
