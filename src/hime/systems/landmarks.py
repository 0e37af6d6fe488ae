"""Labels of faces: where they are not known, and landmarks as maps, what FSRNet and PFSR learn from.

Shapes: ``B`` batch, ``K`` landmarks, ``S`` side of the map.
"""

from __future__ import annotations

import torch
from torch import Tensor

POINTS = 68
"""Landmarks of a face: jaw, brows, nose, eyes, mouth (iBUG 300-W's order)."""
UNKNOWN = 255
"""The part of every pixel of a photo that has no labels."""
NOWHERE = -1.0
"""Coordinates of the landmarks of such a photo: outside, where a Gaussian leaves nothing."""


def is_somewhere(points: Tensor) -> Tensor:
    """Which landmarks B×K×2 are known, B×K bool; mirrored or not."""
    return (points >= 0).all(-1) & (points <= 1).all(-1)


def heatmaps(points: Tensor, side: int, deviation: float) -> Tensor:
    """A Gaussian a landmark, its peak 1.

    Args:
        points: B×K×2, x and y as shares of the side, 0 and 1 at the picture's outer edges.
        side: S.
        deviation: of the Gaussians in pixels of the map.

    Returns:
        B×K×S×S in [0, 1].
    """
    place = torch.arange(side, device=points.device, dtype=torch.float32) + 0.5
    distance = (points.float() * side)[..., None] - place  # B×K×2×S
    across, down = torch.exp(-0.5 * (distance / deviation).square()).unbind(2)
    return down[..., :, None] * across[..., None, :]
