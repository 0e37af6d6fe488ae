"""Pixel losses: L_rec of section 5.1.

Shapes: ``B`` batch, ``C`` channels, ``H W`` HR size.
"""

from __future__ import annotations

from torch import Tensor


def charbonnier(restored: Tensor, truth: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of √(d² + ε²) over every element of d = restored − truth; both B×C×H×W in [0, 1].

    Departure from the paper: as printed, √(‖d‖² + ε²) takes the norm of the whole image, whose gradient
    would shrink with the number of pixels; the mean over elements (Lai et al. 2017, the source of the loss)
    does not depend on the size. Never below ε.
    """
    difference = restored - truth
    return (difference * difference + epsilon * epsilon).sqrt().mean()
