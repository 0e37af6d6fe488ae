"""Section 3.3: content-conditioned feature aggregation, any number of references to one feature.

Three forms, the rows of the paper's Table 3, with one signature: aligned reference features, F^L and which
slots hold a reference go in; the aggregate and each reference's weight come out. The order of the
references does not matter.

Shapes: ``B`` batch, ``N`` references, ``C`` channels, ``H W`` LR size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def weighted_mean(aligned: Tensor, scores: Tensor, floor: Tensor | float) -> tuple[Tensor, Tensor]:
    """Equation 5 with a floor: Σ μ_i F_i / (μ_0 + Σ μ_i).

    Args:
        aligned: F^refA, B×N×C×H×W.
        scores: μ, B×N×1×H×W, not negative.
        floor: μ_0, the score of the null reference, whose feature is zero.

    Returns:
        The aggregate B×C×H×W, zero where there is nothing to average, and the weights B×N×1×H×W.
    """
    total = scores.sum(dim=1, keepdim=True) + floor
    weights = scores / total.clamp_min(1e-6)
    return (weights * aligned).sum(dim=1), weights


def mean(aligned: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Equation 5 with the same score for each reference that is present, and without a floor."""
    scores = present[:, :, None, None, None].to(aligned.dtype).expand_as(aligned[:, :, :1])
    return weighted_mean(aligned, scores, 0.0)


class AverageAggregation(nn.Module):
    """The mean of the references (Table 3, "Average")."""

    def forward(self, aligned: Tensor, lr_features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        return mean(aligned, present)


class MaxAggregation(nn.Module):
    """The maximum over the references, channel by channel (Table 3, "Max-pool").

    A maximum has no weights: each reference that is present is given the same.
    """

    def forward(self, aligned: Tensor, lr_features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        average, weights = mean(aligned, present)
        if aligned.shape[1] == 0:
            return average, weights
        absent = ~present[:, :, None, None, None]
        largest = aligned.masked_fill(absent, -torch.inf).amax(dim=1)
        return torch.where(present.any(dim=1)[:, None, None, None], largest, average), weights


class ContentConditionedAggregation(nn.Module):
    """CoFA, equations 5 to 7: each reference weighted by its similarity to the LR content, pixel by pixel.

    μ_i = σ(g_1(F_i^refA)ᵀ g_2(F^L)). With one reference its μ cancels in equation 5, so that a wrong or
    blank one could not be turned down. Departure from the paper: a null reference with a learned score μ_0
    and a feature of zero stands in the sum (``null_reference=False`` gives the paper's form).
    """

    def __init__(self, channels: int, null_reference: bool = True) -> None:
        super().__init__()
        self.g1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.g2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.null_score = nn.Parameter(torch.zeros(())) if null_reference else None

    def forward(self, aligned: Tensor, lr_features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        key = self.g1(aligned.flatten(0, 1)).unflatten(0, aligned.shape[:2])
        query = self.g2(lr_features)[:, None]
        # Departure: the product is divided by √C, so that the sigmoid starts in its sloped part.
        scores = ((key * query).sum(dim=2, keepdim=True) / key.shape[2] ** 0.5).sigmoid()
        scores = scores * present[:, :, None, None, None].to(scores.dtype)
        floor = 0.0 if self.null_score is None else self.null_score.sigmoid()
        return weighted_mean(aligned, scores, floor)
