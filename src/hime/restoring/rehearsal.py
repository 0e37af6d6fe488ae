"""What would be done, without doing it: a model that makes a face larger and nothing else.

    restore_photo(picture, people, rehearsing(hime.load()))

Everything that decides (who is in a picture, which faces are restored, with which photos, where results go)
goes the same way as in earnest, and takes the time that looking takes; what the model would make of a face is
not known then, so neither is whether it would become less like the person.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from hime.pictures.arrays import FloatArray, from_planes, lanczos, to_planes
from hime.restoring.exported import Backend
from hime.restoring.restorer import Restorer


class Rehearsal:
    """Stands in for a model, under its card.

    Args:
        backend: the model; it is not run.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def card(self) -> dict[str, Any]:
        """The model's."""
        return self._backend.card

    @cached_property
    def reconstruction(self) -> Backend | None:
        """A rehearsal of the other end of the dial."""
        other = self._backend.reconstruction
        return None if other is None else Rehearsal(other)

    def encode(self, references: FloatArray) -> FloatArray:
        """Nothing, in the shape of reference features: N×3×sH×sW → N×F×H×W."""
        count, _, height, width = references.shape
        scale = int(self.card["scale"])
        return np.zeros(
            (count, int(self.card["feature_channels"]), height // scale, width // scale), np.float32
        )

    def restore(self, lr: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The pictures enlarged by Lanczos, every reference with the same share."""
        _, count, _, height, width = features.shape
        scores = np.full((len(lr), count, height, width), 1 / (count + 1), np.float32)
        scale = int(self.card["scale"])
        larger = [
            to_planes(lanczos(from_planes(each[np.newaxis]), scale * height, scale * width)) for each in lr
        ]
        return np.concatenate(larger), scores


def rehearsing(restorer: Restorer) -> Restorer:
    """A restorer that decides as the one given would, and runs no model."""
    return Restorer(Rehearsal(restorer.backend), restorer.fidelity)
