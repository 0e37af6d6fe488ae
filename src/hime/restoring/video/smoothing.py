"""Steady frames of headshots from what the tracker noted, looking in both directions.

The optical flow tells exactly how a face moves from frame to frame, but drifts; looks tell where it is, but
tremble. So what is smoothed is only how the looks differ from the flow summed up: the result follows every
movement without lag and does not tremble.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from hime.faces.headshot import Frame, ease
from hime.restoring.video.findings import Findings
from hime.restoring.video.tracking import LOOK_SECONDS

FloatMatrix = npt.NDArray[np.float64]

SMOOTHING_SECONDS = 0.5
"""Standard deviation of the Gaussian that the looks are weighted by."""
TAIL_SECONDS = 0.25
"""How long a face is followed beyond the last look that found it."""
FADE_SECONDS = 0.3
"""From nothing to all where a track begins or ends other than at a cut."""
LEAST_FOUND = 0.4
"""Share of the looks at a track that must have found a face, or it never was one."""


@dataclass(frozen=True, eq=False)
class SteadyTrack:
    """A face over the frames in which it is followed.

    Attributes:
        number: the track's.
        start: number of its first frame.
        frames: N×4: x, y, side and angle of the headshot's frame, in pixels of the frame as it is shown.
        weight: N: from 0 to 1, how much of what is done to it counts: less where the track begins and ends.
    """

    number: int
    start: int
    frames: FloatMatrix
    weight: FloatMatrix

    @property
    def end(self) -> int:
        """Number of the frame after its last."""
        return self.start + len(self.frames)

    def frame(self, number: int) -> Frame:
        """Of its headshot in that frame of the clip."""
        x, y, side, angle = (float(value) for value in self.frames[number - self.start])
        return Frame((x, y), side, angle)


def steady_tracks(findings: Findings, rate: float) -> list[SteadyTrack]:
    """The tracks that are faces, smoothed, by their numbers.

    Args:
        findings: of the first pass.
        rate: frames a second.
    """
    seen = findings.seen
    order = np.lexsort((seen[:, 0], seen[:, 1]))
    rows = seen[order]
    borders = np.flatnonzero(np.diff(rows[:, 1])) + 1
    last = len(findings.pts)
    tracks = []
    for part in np.split(rows, borders) if len(rows) else ():
        track = _steady(part, rate, set(findings.cuts.tolist()), last)
        if track is not None:
            tracks.append(track)
    return tracks


def _steady(rows: FloatMatrix, rate: float, cuts: set[int], count: int) -> SteadyTrack | None:
    """One track; None if it never was a face.

    Args:
        rows: of `Findings.seen`, of one track, frame after frame.
        rate: frames a second.
        cuts: as `Findings` has them.
        count: of the clip's frames.
    """
    found = np.flatnonzero(np.isfinite(rows[:, 6]))
    kept = min(len(rows), int(found[-1]) + 1 + round(TAIL_SECONDS * rate))
    rows = rows[:kept]
    start = int(rows[0, 0])
    # A look at a face once found is due every few frames; one that a search alone found was none.
    looks = 1 + (kept - 1) / max(1.0, rate * LOOK_SECONDS)
    if len(rows) > 0.3 * rate and len(found) < LEAST_FOUND * looks:
        return None
    motion = np.where(np.isfinite(rows[:, 2:6]), rows[:, 2:6], 0)
    summed = np.cumsum(motion, axis=0)
    places = rows[found, 6:10].copy()
    places[:, 2] = np.log(places[:, 2])
    places[:, 3] = np.unwrap(places[:, 3])
    apart = places - summed[found]
    if len(apart) >= 5:  # a single look that is far off counts as its neighbours do
        around = np.pad(apart, ((2, 2), (0, 0)), mode="edge")
        middle = np.median(sliding_window_view(around, 5, axis=0), axis=-1)
        spread = np.median(np.abs(apart - middle), axis=0) + 1e-9
        apart = np.where(np.abs(apart - middle) > 4 * spread, middle, apart)
    steady = summed + _smoothed(found, apart, kept, SMOOTHING_SECONDS * rate)
    steady[:, 2] = np.exp(steady[:, 2])
    weight = _fades(start, kept, rate, cuts, count)
    return SteadyTrack(int(rows[0, 1]), start, steady, weight)


def _smoothed(
    places: npt.NDArray[np.int64], values: FloatMatrix, count: int, deviation: float
) -> FloatMatrix:
    """Values known at some places → at each of ``count``, by a local line under Gaussian weights.

    A line, not a mean: at the ends, and where looks are missing, a mean would lag behind.
    """
    result = np.empty((count, values.shape[1]))
    reach = max(2.0, 3 * deviation)
    for place in range(count):
        first, last = np.searchsorted(places, (place - reach, place + reach))
        if last - first < 2:  # no look near: the nearest two on either side
            middle = int(np.searchsorted(places, place))
            first, last = max(0, middle - 1), min(len(places), middle + 1)
        x = (places[first:last] - place).astype(np.float64)
        y = values[first:last]
        weights = np.exp(-0.5 * (x / max(deviation, np.abs(x).min())) ** 2)
        total, moment, square = weights.sum(), (weights * x).sum(), (weights * x * x).sum()
        # A little is added so that few looks close together give their mean and no steep line.
        square += total * (0.5 * deviation) ** 2
        determinant = total * square - moment**2
        mean, slope = weights @ y, (weights * x) @ y
        result[place] = (square * mean - moment * slope) / determinant
    return result


def _fades(start: int, count: int, rate: float, cuts: set[int], frames: int) -> FloatMatrix:
    """1, less at a beginning or an end that is no cut's."""
    weight = np.ones(count)
    length = max(1, round(FADE_SECONDS * rate))
    ramp = np.arange(1, count + 1) / (length + 1)
    if start not in cuts and start > 0:
        weight = np.minimum(weight, ramp)
    if start + count not in cuts and start + count < frames:
        weight = np.minimum(weight, ramp[::-1])
    return ease(weight)
