"""SpyNet (Ranjan and Black 2017): optical flow from a spatial pyramid, for the large model.

The layout (six levels of five 7×7 convolutions, 1.44 M parameters, tensor names) is that of the public
BasicVSR weights (see `hime.losses.frozen.spynet_weights`).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hime.model.sampling import pixel_grid, sample

LEVELS = 6
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's channel statistics, which public weights expect."""


class FlowResidual(nn.Module):
    """One level: [first, warped second, flow] M×8×h×w → residual flow M×2×h×w."""

    def __init__(self) -> None:
        super().__init__()
        widths = [8, 32, 64, 32, 16, 2]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 7, padding=3), nn.ReLU()]
        self.basic_module = nn.Sequential(*layers[:-1])

    def forward(self, first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
        residual: Tensor = self.basic_module(torch.cat([first, second, flow], dim=1))
        return residual


class SpyNet(nn.Module):
    """Flow that reads ``second`` where ``first`` has a pixel: ``warp(second, flow)`` looks like ``first``."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList(FlowResidual() for _ in range(LEVELS))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """M×3×H×W pictures in [0, 1] of any size → M×2×H×W flow in pixels, x then y."""
        height, width = first.shape[-2:]
        # The pyramid halves five times: work on the next multiple of 32, as the public implementation does.
        rows, columns = (height + 31) // 32 * 32, (width + 31) // 32 * 32
        size = (rows, columns)
        pyramid = [
            (
                (F.interpolate(first, size, mode="bilinear", align_corners=False) - self.mean) / self.std,
                (F.interpolate(second, size, mode="bilinear", align_corners=False) - self.mean) / self.std,
            )
        ]
        for _ in range(LEVELS - 1):
            pyramid.insert(0, (F.avg_pool2d(pyramid[0][0], 2), F.avg_pool2d(pyramid[0][1], 2)))
        flow = torch.zeros_like(pyramid[0][0][:, :2])
        for level, (one, other) in zip(self.basic_module, pyramid, strict=True):
            if flow.shape[-1] != one.shape[-1]:
                flow = 2.0 * F.interpolate(flow, scale_factor=2.0, mode="bilinear", align_corners=True)
            grid = pixel_grid(one.shape[-2], one.shape[-1], flow) + flow.float()
            # Outside the picture the border repeats, as in the public implementation.
            grid = torch.stack(
                [grid[:, 0].clamp(0, one.shape[-1] - 1), grid[:, 1].clamp(0, one.shape[-2] - 1)], dim=1
            )
            flow = flow + level(one, sample(other, grid), flow)
        flow = F.interpolate(flow.float(), (height, width), mode="bilinear", align_corners=False)
        # Channel by channel: a tensor made of sizes would be a constant in the exported graph.
        return torch.cat([flow[:, :1] * (width / columns), flow[:, 1:] * (height / rows)], dim=1)
