"""What is done to which face in which frame: how much of it, and at which size it is restored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.faces.headshot import Frame
from hime.restoring.video.cast import Role
from hime.restoring.video.smoothing import SteadyTrack

FloatMatrix = npt.NDArray[np.float64]

SIZES = (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160)
"""Sides of the headshots that the model is given, in pixels. A face's own side is brought to the nearest:
sizes that follow every pixel would let the picture tremble, and each needs the references encoded anew."""
STAY = 0.04
"""How far beyond the middle between two sizes (in logarithms) a side must come until the other is taken."""
CHANGE_SECONDS = 0.4
"""Over how long one size is faded into the other."""
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
    share: FloatMatrix = np.clip(np.minimum(low, high), 0, 1)
    return share * share * (3 - 2 * share)


@dataclass(frozen=True, eq=False)
class TrackPlan:
    """What is done to a track.

    Attributes:
        track: which.
        share: N: from 0 to 1, how much of what restoring changes is added.
        size: N: index in `SIZES`.
        other: N: index of the size that it is mixed with, the same where none.
        mixture: N: share of the other, below 1.
    """

    track: SteadyTrack
    share: FloatMatrix
    size: npt.NDArray[np.int16]
    other: npt.NDArray[np.int16]
    mixture: FloatMatrix

    def sizes(self, number: int) -> list[tuple[int, float]]:
        """Sides of the headshots to restore in that frame of the clip, with the share of each."""
        place = number - self.track.start
        own, other, mixture = self.size[place], self.other[place], float(self.mixture[place])
        if own == other or mixture == 0:
            return [(SIZES[own], 1.0)]
        return [(SIZES[own], 1 - mixture), (SIZES[other], mixture)]


def plan_track(track: SteadyTrack, largest: float, rate: float) -> TrackPlan:
    """What is done to a track that is restored.

    Args:
        track: which.
        largest: as `largest_side` gives it.
        rate: frames a second.
    """
    side = track.frames[:, 2]
    share = share_of(side, largest) * track.weight
    logs = np.log(np.array(SIZES, np.float64))
    middles = (logs[:-1] + logs[1:]) / 2
    values = np.log(np.clip(side, SIZES[0], SIZES[-1]))
    wanted = np.searchsorted(middles, values).astype(np.int16)
    size = wanted.copy()
    current = int(wanted[0])
    for place, value in enumerate(values):
        if (
            value > (middles[current] if current < len(middles) else np.inf) + STAY
            or value < (middles[current - 1] if current > 0 else -np.inf) - STAY
        ):
            current = int(wanted[place])
        size[place] = current
    other, mixture = size.copy(), np.zeros(len(size))
    reach = max(1, round(CHANGE_SECONDS * rate / 2))
    changes = [int(place) + 1 for place in np.flatnonzero(np.diff(size))]
    for change in changes:
        before, after = size[change - 1], size[change]
        for place in range(max(0, change - reach), min(len(size), change + reach)):
            # From 0 to 1 over the passage; what is mixed in is the size of the other side of the change.
            gone = (place - change + reach + 0.5) / (2 * reach)
            gone = gone * gone * (3 - 2 * gone)
            if place < change and size[place] == before:
                other[place], mixture[place] = after, gone
            elif place >= change and size[place] == after:
                other[place], mixture[place] = before, 1 - gone
    return TrackPlan(track, share, size, other, mixture)


@dataclass(frozen=True)
class Task:
    """A face to be restored in a frame.

    Attributes:
        role: index of whose it is.
        frame: of its headshot, in pixels of the frame as it is shown.
        share: how much of the change is added.
        sizes: see `TrackPlan.sizes`.
    """

    role: int
    frame: Frame
    share: float
    sizes: list[tuple[int, float]]


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
        for index, plan in self._plans:
            if not plan.track.start <= number < plan.track.end:
                continue
            share = float(plan.share[number - plan.track.start])
            frame = plan.track.frame(number)
            if share > 0:
                tasks.append(Task(index, frame, share, plan.sizes(number)))
        for track in self._left:
            if track.start <= number < track.end:
                left.append(track.frame(number))
        return tasks, left
