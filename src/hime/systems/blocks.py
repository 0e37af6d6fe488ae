"""Layers that several of the compared systems are made of.

Shapes: ``M`` maps, ``C`` channels, ``H W`` rows and columns.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Resize = Literal["up", "down", "same"]

DEVIATION = 0.02
"""Of weights at the start."""


def conv(inputs: int, outputs: int, side: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution of "same" size (before the stride), beyond the border zeros, with a bias."""
    return nn.Conv2d(inputs, outputs, side, stride, side // 2)


def reflected(inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A 3×3 convolution that sees the picture mirrored beyond its border."""
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias, padding_mode="reflect")


def shortcut(inputs: int, outputs: int, resize: Resize) -> nn.Module:
    """What a residual block passes by: the maps themselves, or brought to its channels and size."""
    if inputs == outputs and resize == "same":
        return nn.Identity()
    before = [Doubled()] if resize == "up" else []
    return nn.Sequential(*before, reflected(inputs, outputs, 2 if resize == "down" else 1, bias=True))


def leaky(slope: float = 0.2) -> nn.LeakyReLU:
    """LeakyReLU."""
    return nn.LeakyReLU(slope)


class Doubled(nn.Module):
    """Nearest-neighbour enlargement, M×C×H×W → M×C×2H×2W."""

    def forward(self, maps: Tensor) -> Tensor:
        return F.interpolate(maps, scale_factor=2.0, mode="nearest")


class Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = maps + self.body(maps)
        return out


def residual_blocks(channels: int, count: int) -> nn.Sequential:
    """``count`` blocks x + [convolution, ReLU, convolution], without normalisation (SRNTT, TTSR, GWAInet)."""
    return nn.Sequential(
        *(Residual(conv(channels, channels), nn.ReLU(), conv(channels, channels)) for _ in range(count))
    )


def shuffled_up(channels: int) -> nn.Sequential:
    """A convolution to four sub-pixels and their shuffle: M×C×H×W → M×C×2H×2W."""
    return nn.Sequential(conv(channels, 4 * channels), nn.PixelShuffle(2))


def normal_weights(network: nn.Module) -> None:
    """Weights N(0, `DEVIATION`) and γ N(1, `DEVIATION`), biases 0, as several originals start."""
    for module in network.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and isinstance(weight, Tensor):
            nn.init.normal_(weight, 0.0, DEVIATION)
        elif isinstance(module, nn.BatchNorm2d) and isinstance(weight, Tensor):
            nn.init.normal_(weight, 1.0, DEVIATION)
        else:
            continue
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)


def glorot_weights(network: nn.Module) -> None:
    """Weights by Glorot's uniform distribution, biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def resized_bicubic(maps: Tensor, factor: int) -> Tensor:
    """Bicubic enlargement by ``factor``, M×C×H×W → M×C×fH×fW."""
    return F.interpolate(maps, scale_factor=float(factor), mode="bicubic", align_corners=False)
