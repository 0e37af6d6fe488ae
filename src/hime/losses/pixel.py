"""Pixel losses: L_rec of section 5.1.

Shapes: ``B`` batch, ``C`` channels, ``H W`` HR size.
"""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-3


def charbonnier(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean of √(d² + ε²) over every element of d = restored − truth; both B×C×H×W in [0, 1]; ε: `EPSILON`.

    Departure from the paper: as printed, √(‖d‖² + ε²) takes the norm of the whole image, whose gradient
    would shrink with the number of pixels; the mean over elements (Lai et al. 2017, the source of the loss)
    does not depend on the size. Never below ε.
    """
    difference = restored - truth
    return (difference * difference + EPSILON * EPSILON).sqrt().mean()
