"""How far a mean over images may be trusted: bootstrap intervals over people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
CONFIDENCE = 0.95


class PeopleBootstrap:
    """Percentile bootstrap that draws people, with all their images, rather than images.

    Images of one person are alike, so that many images of few people tell less than their number says.
    The draws are the same for every mean, so that a difference of two methods is measured image by image.

    Args:
        people: whose each image is.
        seed: of the draws.
    """

    def __init__(self, people: Sequence[str], seed: int = 0) -> None:
        names, self._owner = np.unique(np.array(people, dtype=object), return_inverse=True)
        draws = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
        self._times = np.stack([np.bincount(draw, minlength=len(names)) for draw in draws])

    def interval(self, values: npt.NDArray[np.float64]) -> tuple[float, float] | None:
        """The 95 % interval of the mean over images.

        Args:
            values: one an image; NaN where it was not measured.

        Returns:
            Both ends; None if a value is infinite or fewer than two people have any.
        """
        measured = ~np.isnan(values)
        if np.isinf(values).any() or len(np.unique(self._owner[measured])) < 2:
            return None
        people = self._times.shape[1]
        sums = self._times @ np.bincount(self._owner, np.where(measured, values, 0), people)
        counts = self._times @ np.bincount(self._owner, measured, people)
        means = sums[counts > 0] / counts[counts > 0]
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return float(low), float(high)
