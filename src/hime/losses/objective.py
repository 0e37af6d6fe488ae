"""The weighted objective L_P, equation 10: a total to differentiate and its terms by name."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hime.errors import HimeError
from hime.losses.adversarial import generator_loss
from hime.losses.correlation import correlation_loss
from hime.losses.identity import IdentityLoss
from hime.losses.perceptual import PerceptualLoss
from hime.losses.pixel import charbonnier


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossWeights:
    """The λ of equation 10, k and d of the correlation loss, and the layers of the perceptual one.

    ``pixel``, ``correlation``, ``perceptual`` and ``adversarial`` are λ_rec, λ_cor, λ_per and λ_adv;
    ``identity``, a loss that the paper has not, comes with a λ of its own. A weight of 0 costs nothing.
    """

    pixel: float = 1.0
    correlation: float = 0.0
    perceptual: float = 0.0
    adversarial: float = 0.0
    identity: float = 0.0
    correlation_window: int = 5
    correlation_dilation: int = 1
    perceptual_layers: tuple[str, ...] = ("conv5_4",)


class Objective(nn.Module):
    """Σ λ L over the losses with a weight.

    Args:
        weights: the λ.
        discriminator: C of equations 12 to 14, for an adversarial weight. The objective passes gradients
            through it, never to it.

    Raises:
        HimeError: no weight is positive, or one is negative; an adversarial weight without a discriminator;
            or what ``PerceptualLoss`` raises.
    """

    def __init__(self, weights: LossWeights, discriminator: nn.Module | None = None) -> None:
        super().__init__()
        of_terms = (
            weights.pixel,
            weights.correlation,
            weights.perceptual,
            weights.adversarial,
            weights.identity,
        )
        if min(of_terms) < 0 or max(of_terms) == 0:
            raise HimeError("loss weights: none may be negative, and one must be positive (loss.pixel=1)")
        if weights.adversarial and discriminator is None:
            raise HimeError("loss.adversarial: give a discriminator")
        self.weights = weights
        self.discriminator = discriminator if weights.adversarial else None
        self.perceptual = PerceptualLoss(weights.perceptual_layers) if weights.perceptual else None
        self.identity = IdentityLoss() if weights.identity else None

    def forward(self, restored: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Images B×3×H×W in [0, 1] → the total, and each term without its weight."""
        restored = restored.float()  # losses are sums of small differences: single precision always
        weights = self.weights
        terms: dict[str, Tensor] = {}
        if weights.pixel:
            terms["pixel"] = charbonnier(restored, truth)
        if weights.correlation:
            terms["correlation"] = correlation_loss(
                restored, truth, weights.correlation_window, weights.correlation_dilation
            )
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(restored, truth)
        if self.identity is not None:
            terms["identity"] = self.identity(restored, truth)
        if self.discriminator is not None:
            with without_gradients(self.discriminator):
                with torch.no_grad():
                    real = self.discriminator(truth)
                terms["adversarial"] = generator_loss(real, self.discriminator(restored))
        total = sum((getattr(weights, name) * term for name, term in terms.items()), truth.new_zeros(()))
        return total, terms


@contextlib.contextmanager
def without_gradients(network: nn.Module) -> Iterator[None]:
    """What runs in here passes gradients through ``network``, but none to its parameters."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
