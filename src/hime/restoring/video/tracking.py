"""Faces followed over the frames of a clip: the first of the two passes.

Whether a frame follows from the one before is asked of its luma; faces are looked for in the whole frame now
and then and after every cut, and around each known face every few frames. Between two looks a face is carried
by the optical flow in its frame. What is noted is raw: `hime.restoring.video.smoothing` makes steady frames
of it, looking in both directions.

A tracker's state can be stored and taken up again: the frame before, and `Tracker.state`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.faces.face import Face
from hime.faces.headshot import Frame
from hime.faces.networks import opencv
from hime.faces.yunet import seen
from hime.pictures.arrays import Image
from hime.restoring.video.planes import Planes

Matrix = npt.NDArray[np.float64]

LOOK_SECONDS = 0.17
"""From one look at a known face to the next."""
SEARCH_SECONDS = 1.0
"""From one search of the whole frame to the next, where a face is known; half of it where none is."""
MOST_MISSES = 5
"""Looks in a row that find no face where one was: then it is gone."""
SEARCH_SIDES = (256, 640)
"""Longest sides to which frames are brought to look for larger faces."""
SEARCH_PIXELS = 1_000_000
"""Pixels to which frames are brought to look for the smallest faces."""
SEARCH_FACTOR = 1.5
"""Frames are enlarged no more than this for it."""
LOOK_SIDE, LOOK_MARGIN = 160, 1.6
"""A known face is looked for in a square of so many pixels, which is so many times the sides of its
headshot."""
LOOK_REACH = 0.35
"""How far from where it is awaited a face may be found, in sides of its headshot."""
SMALLEST_SIDE = 12.0
"""Of headshots that are followed, in pixels."""

FLOW_SIDE, FLOW_MARGIN = 96, 1.5
"""The same for the optical flow."""
FLOW_POINTS = 8
"""Points along each side of the grid that is carried by it, over the face."""
FLOW_FACE = 0.62
"""How much of the headshot's side the grid takes: no background."""
FLOW_RETURN = 0.7
"""Pixels by which a point may miss its beginning on the way back."""
FLOW_SURE = 16
"""Points that must have been carried."""

CUT_SIDES = (32, 18)
CUT_LIKENESS, CUT_DIFFERENCE = 0.75, 10.0
"""A frame is the first after a cut if, at `CUT_SIDES`, its luma correlates less with the one before, and
differs by more levels on average."""


@dataclass
class Track:
    """A face that is being followed.

    Attributes:
        number: its name.
        frame: where its headshot is.
        looked: number of the frame in which it was last looked for.
        missed: looks in a row that did not find it.
        embedded: number of the frame in which it was last asked who it is; −1: never.
    """

    number: int
    frame: Frame
    looked: int
    missed: int = 0
    embedded: int = -1


@dataclass(frozen=True)
class Sighting:
    """A face in a frame.

    Attributes:
        track: the `Track`.
        motion: since the frame before: x and y of the centre in pixels, logarithm of the side, angle in
            radians; None where the track begins.
        face: where it was found, if it was looked for and found.
    """

    track: Track
    motion: tuple[float, float, float, float] | None
    face: Face | None


class Tracker:
    """Follows the faces of a clip, frame by frame.

    Args:
        rate: frames a second.
        state: what `state` gave, to go on from there.
        before: the frame before the next one; with ``state``.
    """

    def __init__(
        self, rate: float, state: Mapping[str, Any] | None = None, before: Planes | None = None
    ) -> None:
        self._look_every = max(1, round(LOOK_SECONDS * rate))
        self._search_every = max(1, round(SEARCH_SECONDS * rate))
        self._tracks: list[Track] = []
        self._next, self._searched = 0, -self._search_every
        self._before: Planes | None = before
        if state is not None:
            self._next, self._searched = state["next"], state["searched"]
            for row in state["tracks"]:
                x, y, side, angle = row["frame"]
                self._tracks.append(Track(frame=Frame((x, y), side, angle), **row["rest"]))

    def state(self) -> dict[str, Any]:
        """All that the tracker knows beside the last frame, for JSON (whose numbers are exact)."""
        tracks = [
            {
                "frame": [*track.frame.centre, track.frame.side, track.frame.angle],
                "rest": {
                    "number": track.number,
                    "looked": track.looked,
                    "missed": track.missed,
                    "embedded": track.embedded,
                },
            }
            for track in self._tracks
        ]
        return {"next": self._next, "searched": self._searched, "tracks": tracks}

    def follow(self, number: int, planes: Planes) -> tuple[bool, list[Sighting]]:
        """The faces in the next frame.

        Args:
            number: of the frame.
            planes: the frame; it is kept until the next one.

        Returns:
            Whether it is the first after a cut (or of all), and the faces.
        """
        before, self._before = self._before, planes
        is_cut = before is None or _is_cut(before, planes)
        if is_cut:
            self._tracks = []
        motions: dict[int, tuple[float, float, float, float] | None] = {}
        found: dict[int, Face] = {}
        for track in self._tracks:
            assert before is not None
            motion = flow(before, planes, track.frame)
            motions[track.number] = motion or (0.0, 0.0, 0.0, 0.0)
            if motion is not None:
                track.frame = moved(track.frame, motion)
            if motion is None or number - track.looked >= self._look_every:
                track.looked = number
                face = look(planes, track.frame)
                if face is None:
                    track.missed += 1
                else:
                    track.missed, track.frame, found[track.number] = 0, Frame.of(face.landmarks), face
        self._forget(planes)
        interval = self._search_every if self._tracks else max(1, self._search_every // 2)
        if is_cut or number - self._searched >= interval:
            self._searched = number
            for face in self._new(search(planes)):
                track = Track(self._next, Frame.of(face.landmarks), number)
                self._next += 1
                self._tracks.append(track)
                motions[track.number], found[track.number] = None, face
        return is_cut, [
            Sighting(track, motions[track.number], found.get(track.number)) for track in self._tracks
        ]

    def _forget(self, planes: Planes) -> None:
        """Let go of what is no face any more: not found, too small, outside, or another track's face."""
        kept: list[Track] = []
        for track in self._tracks:
            x, y = track.frame.centre
            inside = 0 <= x < planes.width and 0 <= y < planes.height
            large = SMALLEST_SIDE <= track.frame.side <= 2 * max(planes.width, planes.height)
            if (
                track.missed < MOST_MISSES
                and inside
                and large
                and not any(_same(track.frame, other.frame) for other in kept)
            ):
                kept.append(track)
        self._tracks = kept

    def _new(self, faces: Sequence[Face]) -> list[Face]:
        """Those that are nobody's who is followed."""
        return [
            face
            for face in faces
            if not any(_same(Frame.of(face.landmarks), track.frame) for track in self._tracks)
        ]


def _same(first: Frame, second: Frame) -> bool:
    """Whether two frames hold one face."""
    apart = math.dist(first.centre, second.centre)
    return apart < 0.4 * min(first.side, second.side) or apart < 0.2 * max(first.side, second.side)


def _is_cut(before: Planes, planes: Planes) -> bool:
    first, second = (
        opencv().resize(np.ascontiguousarray(frame.luma()), CUT_SIDES, interpolation=3).astype(np.float64)
        for frame in (before, planes)
    )
    if np.abs(first - second).mean() <= CUT_DIFFERENCE:
        return False
    first, second = first - first.mean(), second - second.mean()
    norm = math.sqrt(float((first**2).sum() * (second**2).sum()))
    return norm == 0 or float((first * second).sum()) / norm < CUT_LIKENESS


# --------------------------------------------------------------------------------------------- detection


def search(planes: Planes) -> list[Face]:
    """The faces of a whole frame, the surest first."""
    longest = max(planes.width, planes.height)
    finest = min(SEARCH_FACTOR, math.sqrt(SEARCH_PIXELS / (planes.width * planes.height)))
    factors = {min(side / longest, finest) for side in SEARCH_SIDES} | {finest}
    faces: list[Face] = []
    for factor in sorted(factors):
        width, height = (max(16, round(side * factor)) for side in (planes.width, planes.height))
        ratio = np.array([planes.width / width, planes.height / height], np.float32)
        for face in _detected(planes.whole(width, height)):
            landmarks = (face.landmarks + 0.5) * ratio - 0.5
            if np.ptp(landmarks, axis=0).max() < 1:
                continue
            left, top, box_width, box_height = (float(v) for v in np.array(face.box) * np.tile(ratio, 2))
            faces.append(Face((left, top, box_width, box_height), landmarks, face.score))
    distinct: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        frame = Frame.of(face.landmarks)
        if frame.side >= SMALLEST_SIDE and not any(
            _same(frame, Frame.of(other.landmarks)) for other in distinct
        ):
            distinct.append(face)
    # Once more upright and large, as every later look is.
    return [look(planes, Frame.of(face.landmarks)) or face for face in distinct]


def look(planes: Planes, frame: Frame) -> Face | None:
    """The face that is awaited in that frame, or None."""
    wide = replace(frame, side=LOOK_MARGIN * frame.side)
    middle, reach = (LOOK_SIDE - 1) / 2, LOOK_SIDE / LOOK_MARGIN * LOOK_REACH
    near = [
        face
        for face in _detected(planes.sample(wide, LOOK_SIDE))
        if np.abs(face.landmarks.mean(axis=0) - middle).max() < reach
        and 0.5 < Frame.of(face.landmarks).side * LOOK_MARGIN / LOOK_SIDE < 2
    ]
    if not near:
        return None
    best = max(near, key=lambda face: face.score)
    to_picture = wide.from_crop(LOOK_SIDE)
    landmarks = (best.landmarks @ to_picture[:2, :2].T + to_picture[:2, 2]).astype(np.float32)
    left, top, width, height = best.box
    x, y = to_picture[:2] @ (left + width / 2, top + height / 2, 1)
    width, height = (extent * wide.side / LOOK_SIDE for extent in (width, height))
    if np.ptp(landmarks, axis=0).max() < 1:
        return None
    return Face((x - width / 2, y - height / 2, width, height), landmarks, best.score)


def _detected(image: Image) -> list[Face]:
    """The faces in a picture at its own size, those with five different landmarks."""
    faces = []
    for row in seen(image):
        landmarks = row[4:14].reshape(5, 2).copy()
        if np.isfinite(row).all() and np.ptp(landmarks, axis=0).max() >= 1:
            faces.append(
                Face((float(row[0]), float(row[1]), float(row[2]), float(row[3])), landmarks, float(row[14]))
            )
    return faces


# -------------------------------------------------------------------------------------------------- flow


def moved(frame: Frame, motion: Sequence[float]) -> Frame:
    """The frame after a motion, as `Sighting` has it."""
    x, y = frame.centre
    return Frame((x + motion[0], y + motion[1]), frame.side * math.exp(motion[2]), frame.angle + motion[3])


def flow(before: Planes, after: Planes, frame: Frame) -> tuple[float, float, float, float] | None:
    """How the face in ``frame`` moved from one frame of the clip to the next, or None if that cannot be seen.

    A grid of points on the face is carried there and back by Lucas and Kanade's method; the similarity
    transform that most of them agree on is the face's.
    """
    cv2 = opencv()
    wide = replace(frame, side=FLOW_MARGIN * frame.side)
    first, second = (planes.sample_luma(wide, FLOW_SIDE) for planes in (before, after))
    reach = FLOW_SIDE / FLOW_MARGIN * FLOW_FACE / 2
    middle = (FLOW_SIDE - 1) / 2
    line = np.linspace(middle - reach, middle + reach, FLOW_POINTS, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 1, 2)
    settings = {"winSize": (15, 15), "maxLevel": 3}
    there, arrived, _ = cv2.calcOpticalFlowPyrLK(first, second, grid, None, **settings)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(second, first, there, None, **settings)
    missed = np.linalg.norm(back - grid, axis=-1)[:, 0]
    kept = (arrived[:, 0] == 1) & (returned[:, 0] == 1) & (missed < FLOW_RETURN)
    if kept.sum() < FLOW_SURE:
        return None
    start = grid[kept, 0].astype(np.float64) - middle
    end = there[kept, 0].astype(np.float64) - middle
    fitted = _similarity(start, end)
    if fitted is None:
        return None
    factor, shift = fitted
    if not 0.8 < abs(factor) < 1.25:
        return None
    # The transform takes the frame's centre, the origin here, to `shift`.
    x, y = wide.turn() @ (shift.real, shift.imag) * (wide.side / FLOW_SIDE)
    return float(x), float(y), math.log(abs(factor)), math.atan2(factor.imag, factor.real)


def _similarity(start: Matrix, end: Matrix) -> tuple[complex, complex] | None:
    """The similarity transform, z → factor · z + shift in complex numbers, that most points agree on."""
    z, w = (points[:, 0] + 1j * points[:, 1] for points in (start, end))
    weights = np.ones(len(z))
    factor, shift = 1 + 0j, 0j
    for _ in range(5):  # least squares, then those that are far off count less (Cauchy)
        total = weights.sum()
        z_mean, w_mean = (weights * z).sum() / total, (weights * w).sum() / total
        spread = (weights * np.abs(z - z_mean) ** 2).sum()
        if spread < 1e-6:
            return None
        factor = complex((weights * (w - w_mean) * np.conj(z - z_mean)).sum() / spread)
        shift = complex(w_mean - factor * z_mean)
        residual = np.abs(w - factor * z - shift)
        scale = max(0.05, float(np.median(residual)))
        weights = 1 / (1 + (residual / (2 * scale)) ** 2)
    if float(np.median(residual)) > 1.5:
        return None
    return factor, shift
