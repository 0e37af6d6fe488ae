"""The weighted objective, equation 10: a total to differentiate and its terms by name."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from hime.errors import HimeError
from hime.losses.correlation import correlation_loss
from hime.losses.pixel import charbonnier


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossWeights:
    """The λ of equation 10, and k and d of the correlation loss. A weight of 0 costs nothing."""

    pixel: float = 1.0
    correlation: float = 0.0
    correlation_window: int = 5
    correlation_dilation: int = 1


class Objective:
    """Σ λ L over the losses with a weight.

    Raises:
        HimeError: no weight is positive, or one is negative.
    """

    def __init__(self, weights: LossWeights) -> None:
        if min(weights.pixel, weights.correlation) < 0 or max(weights.pixel, weights.correlation) == 0:
            raise HimeError("loss weights: none may be negative, and one must be positive (loss.pixel=1)")
        self.weights = weights

    def __call__(self, restored: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Images B×3×H×W in [0, 1] → the total, and each term without its weight, detached."""
        restored = restored.float()  # losses are sums of small differences: single precision always
        terms: dict[str, Tensor] = {}
        if self.weights.pixel:
            terms["pixel"] = charbonnier(restored, truth)
        if self.weights.correlation:
            terms["correlation"] = correlation_loss(
                restored, truth, self.weights.correlation_window, self.weights.correlation_dilation
            )
        total = sum((getattr(self.weights, name) * term for name, term in terms.items()), truth.new_zeros(()))
        return total, {name: term.detach() for name, term in terms.items()}
