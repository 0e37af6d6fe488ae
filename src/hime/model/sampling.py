"""Warping and deformable sampling: the one place where sampling coordinates are defined.

Coordinates are pixels of the map that is sampled, (0, 0) at the centre of its top left pixel, x to the
right and y down. A flow or offset of (dx, dy) at an output pixel p means: read the map at p + (dx, dy).
Values between pixels are bilinear, values outside the map are zero.

Shapes: ``M`` maps (pictures × references), ``C`` channels, ``H W`` rows and columns, ``G`` deformable
groups, ``K`` = k·k kernel positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Coordinates of every pixel, 2×height×width: x first, then y."""
    y = torch.arange(height, device=like.device, dtype=torch.float32)
    x = torch.arange(width, device=like.device, dtype=torch.float32)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])


def sample(maps: Tensor, coordinates: Tensor) -> Tensor:
    """Bilinear values of ``maps`` at ``coordinates``.

    Args:
        maps: M×C×H×W.
        coordinates: M×2×H'×W', x then y, in pixels of ``maps``; kept in fp32, since half precision
            cannot place a sample within a pixel.

    Returns:
        M×C×H'×W', in the type of ``maps``; zero outside the map.
    """
    height, width = maps.shape[-2:]
    # align_corners=False: −1 and 1 are the outer edges of the border pixels: p lies at (2p + 1)/size − 1.
    x = (2.0 * coordinates[:, :1] + 1.0) / width - 1.0
    y = (2.0 * coordinates[:, 1:] + 1.0) / height - 1.0
    grid = torch.cat([x, y], dim=1).permute(0, 2, 3, 1)  # joining them there would be slow where it is run
    with torch.autocast(maps.device.type, enabled=False):
        sampled = F.grid_sample(
            maps.float(), grid.float(), mode="bilinear", padding_mode="zeros", align_corners=False
        )
    return sampled.to(maps.dtype)


def warp(maps: Tensor, flow: Tensor) -> Tensor:
    """Equation 2: ``maps`` (M×C×H×W) read at p + ``flow`` (M×2×H×W, pixels)."""
    return sample(maps, pixel_grid(maps.shape[-2], maps.shape[-1], flow) + flow.float())


def deformable_sample(maps: Tensor, offsets: Tensor, mask: Tensor) -> Tensor:
    """The columns of a 3×3 modulated deformable convolution (Zhu et al. 2019) with stride 1 and "same" size.

    Each group of C/G channels is read at its own K positions: p + kernel position + offset, times the mask.
    All positions go through one ``grid_sample``; the convolution is then one product with a (C', C·K)
    matrix. That equals ``torchvision.ops.deform_conv2d``, trains faster on a processor, allows autocast
    and exports to ONNX.

    Args:
        maps: M×C×H×W, C divisible by G; K = 9.
        offsets: M×(G·K·2)×H×W in pixels, ordered group, kernel position (row by row), then (x, y).
        mask: M×(G·K)×H×W, usually in [0, 1].

    Returns:
        M×(C·K)×H×W, ordered channel then kernel position, as ``weight.flatten(1)`` of a convolution.
    """
    channels, height, width = maps.shape[1:]
    positions = 9
    groups = mask.shape[1] // positions
    per_group = channels // groups
    taps = torch.arange(-1, 2, device=maps.device, dtype=torch.float32)
    kernel = torch.stack([taps.repeat(3), taps.repeat_interleave(3)], dim=1)  # K×(x, y)
    # Kernel positions are laid out as extra rows, so that one call samples all of them: (M·G)×2×(K·H)×W.
    coordinates = offsets.float().reshape(-1, positions, 2, height, width)
    coordinates = coordinates + kernel[None, :, :, None, None] + pixel_grid(height, width, offsets)
    coordinates = coordinates.transpose(1, 2).reshape(-1, 2, positions * height, width)
    columns = sample(maps.reshape(-1, per_group, height, width), coordinates)
    columns = columns.reshape(-1, per_group, positions, height, width)
    columns = columns * mask.reshape(-1, 1, positions, height, width).to(columns.dtype)
    return columns.reshape(-1, channels * positions, height, width)
