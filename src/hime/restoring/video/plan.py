"""What is done to which face in which frame: how much of it, and in which window of the frame.

A face is not cut out as a photograph's is, turned and brought to a size: it is restored in a square of the
frame's own pixels, and its references are turned and sized like it. Measured with small-x4 on faces of 32
pixels (clips 018 and 045), that is 3.4 dB better than resampling the face, at any angle, however little it is
moved by it: what a model was trained to invert is a reduction, and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.faces.headshot import Frame, ease
from hime.restoring.video.cast import Role
from hime.restoring.video.smoothing import SteadyTrack

FloatMatrix = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int16]

SIDE_STEP = 0.07
"""From one side of headshots for which the references are framed to the next, in logarithms. Measured with
small-x4: references framed an eighth larger than the face lose two thirds of what they give."""
TILT_STEP = math.radians(8)
"""Likewise of the angle: of a face that is tilted by 10 degrees, upright references lose as much."""
STAY = 0.75
"""How many steps a face must be away from what its references are framed for until they are framed anew."""
CHANGE_SECONDS = 0.2
"""Over how long the one is then faded into the other."""
ROOM = 1.06
"""A window is at least so many times the side of its headshot: smaller ones lose 0.3 dB, larger ones gain
nothing."""
HOLD = 0.8
"""Pixels by which a face must have left the middle of its window until that follows."""
SMALLEST = (12.0, 16.0)
"""Sides of headshots, in pixels, from which a face is restored a little, and wholly."""
PASSAGE = 1.25
"""A face this many times as large as the largest that is restored wholly is left as it is."""


def largest_side(card: dict[str, Any]) -> float:
    """Up to which side of its headshot, in pixels, a face is restored wholly by a model with that card.

    The largest that it was trained for, but at least twice its usual size: networks of convolutions do not
    mind that.
    """
    usual = int(card["lr_size"])
    sizes = card.get("training", {}).get("config", {}).get("lr_sizes") or [usual]
    return float(max(2 * usual, *sizes))


def share_of(side: FloatMatrix, largest: float) -> FloatMatrix:
    """How much a face of that side is restored, from 0 to 1: all of far ones, nothing of near ones."""
    low = (side - SMALLEST[0]) / (SMALLEST[1] - SMALLEST[0])
    high = (PASSAGE * largest - side) / ((PASSAGE - 1) * largest)
    return ease(np.minimum(low, high))


@dataclass(frozen=True)
class Pose:
    """How a face lies in its window, as far as its references are framed for it.

    Attributes:
        side: step of the headshot's side.
        tilt: step of the angle.
    """

    side: int
    tilt: int

    @property
    def pixels(self) -> float:
        """The headshot's side."""
        return SMALLEST[0] * math.exp(SIDE_STEP * self.side)

    @property
    def angle(self) -> float:
        """In radians, as `hime.faces.headshot.Frame` has it."""
        return TILT_STEP * self.tilt

    @property
    def window(self) -> int:
        """Side in pixels of the square that the model is given: even."""
        return 2 * math.ceil(max(16.0, ROOM * self.pixels) / 2)


@dataclass(frozen=True, eq=False)
class TrackPlan:
    """What is done to a track.

    Attributes:
        track: which.
        share: N: from 0 to 1, how much of what restoring changes is added.
        middle: N×2: x and y that the windows are centred on, in pixels.
        pose: N×2: steps of side and tilt.
        other: N×2: the same of the pose that it is mixed with, the same where none.
        mixture: N: share of the other, below 1.
    """

    track: SteadyTrack
    share: FloatMatrix
    middle: FloatMatrix
    pose: Steps
    other: Steps
    mixture: FloatMatrix

    def poses(self, number: int) -> list[tuple[Pose, float]]:
        """For which poses it is restored in that frame of the clip, with the share of each."""
        place = number - self.track.start
        own, other = (Pose(int(row[0]), int(row[1])) for row in (self.pose[place], self.other[place]))
        mixture = float(self.mixture[place])
        if own == other or mixture == 0:
            return [(own, 1.0)]
        return [(own, 1 - mixture), (other, mixture)]


def plan_track(track: SteadyTrack, largest: float, rate: float) -> TrackPlan:
    """What is done to a track that is restored.

    Args:
        track: which.
        largest: as `largest_side` gives it.
        rate: frames a second.
    """
    side = track.frames[:, 2]
    share = share_of(side, largest) * track.weight
    values = np.stack([np.log(side / SMALLEST[0]) / SIDE_STEP, track.frames[:, 3] / TILT_STEP], axis=1)
    pose = np.stack([_held(column, STAY) for column in values.T], axis=1)
    middle = np.stack([_held(column, HOLD) for column in track.frames[:, :2].T], axis=1)
    steps: Steps = np.rint(pose).astype(np.int16)
    other, mixture = steps.copy(), np.zeros(len(steps))
    reach = max(1, round(CHANGE_SECONDS * rate / 2))
    for change in (int(place) + 1 for place in np.flatnonzero(np.diff(steps, axis=0).any(axis=1))):
        before, after = steps[change - 1], steps[change]
        for place in range(max(0, change - reach), min(len(steps), change + reach)):
            # From 0 to 1 over the passage; what is mixed in is the pose of the other side of the change.
            gone = (place - change + reach + 0.5) / (2 * reach)
            gone = gone * gone * (3 - 2 * gone)
            if place < change and (steps[place] == before).all():
                other[place], mixture[place] = after, gone
            elif place >= change and (steps[place] == after).all():
                other[place], mixture[place] = before, 1 - gone
    return TrackPlan(track, share, middle, steps, other, mixture)


def _held(values: FloatMatrix, stay: float) -> FloatMatrix:
    """Whole numbers that follow the values only when those are further away than ``stay``."""
    held = np.empty(len(values))
    current = round(float(values[0]))
    for place, value in enumerate(values):
        if abs(value - current) > stay:
            current = round(float(value))
        held[place] = current
    return held


@dataclass(frozen=True)
class Task:
    """A face to be restored in a frame.

    Attributes:
        role: index of whose it is.
        track: index of the track that it is part of.
        frame: of its headshot, in pixels of the frame as it is shown.
        share: how much of the change is added.
        middle: what its windows are centred on.
        poses: see `TrackPlan.poses`.
    """

    role: int
    track: int
    frame: Frame
    share: float
    middle: tuple[int, int]
    poses: list[tuple[Pose, float]]


class Plan:
    """What is done in each frame of a clip.

    Args:
        cast: everybody in it.
        restored: indices of those who are restored.
        largest: as `largest_side` gives it.
        rate: frames a second.
    """

    def __init__(self, cast: list[Role], restored: list[int], largest: float, rate: float) -> None:
        self._plans = [
            (index, plan_track(track, largest, rate)) for index in restored for track in cast[index].tracks
        ]
        self._left = [
            track for index, role in enumerate(cast) if index not in restored for track in role.tracks
        ]

    @property
    def frames(self) -> int:
        """How many faces are restored in all frames together."""
        return int(sum((plan.share > 0).sum() for _, plan in self._plans))

    def frames_of(self, role: int) -> int:
        """How many of them are that role's."""
        return int(sum((plan.share > 0).sum() for index, plan in self._plans if index == role))

    def tasks(self, number: int) -> tuple[list[Task], list[Frame]]:
        """What is restored in a frame, and the frames of the faces that are left."""
        tasks, left = [], []
        for which, (index, plan) in enumerate(self._plans):
            if not plan.track.start <= number < plan.track.end:
                continue
            share = float(plan.share[number - plan.track.start])
            frame = plan.track.frame(number)
            if share > 0:
                x, y = plan.middle[number - plan.track.start]
                tasks.append(Task(index, which, frame, share, (int(x), int(y)), plan.poses(number)))
        for track in self._left:
            if track.start <= number < track.end:
                left.append(track.frame(number))
        return tasks, left
