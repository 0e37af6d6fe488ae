"""PFSR (Kim et al. 2019, "Progressive Face Super-Resolution via Attention to Facial Landmark"): LR only, ×8.

Three steps of ×2. The original fades each step in after the one before; here all three are trained at once,
each step's picture with the target reduced to its size, since a training has one length and one schedule.
Its attention is the distance to landmarks: Gaussians around the 68 points of the target, where these are
known (`labels`). The loss on heatmaps of a landmark network needs weights that are not to be had: left out.

Shapes: ``B`` batch, ``H W`` LR size, ``S`` side of the target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from hime.systems.base import ComparedSystem, SystemConfig, SystemOutput, to_signed, to_unit
from hime.systems.blocks import Residual
from hime.systems.landmarks import heatmaps

ATTENTION = 50.0
"""λ of the attention term beside the pixel loss: 500 beside 10 in the third party's script."""


class EqualisedConv(nn.Conv2d):
    """A convolution of "same" size whose weights are kept N(0, 1) and scaled in use (Karras et al. 2018).

    What is scaled is its input, which comes to the same.
    """

    def __init__(self, inputs: int, outputs: int, side: int = 3) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2)
        self.factor = math.sqrt(2 / (inputs * side**2))
        start_equalised(self)

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(self.factor * maps)


class EqualisedUp(nn.ConvTranspose2d):
    """The same, transposed: M×C×H×W → M×outputs×2H×2W. Each output pixel sees 2×2 of the 4×4 weights."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, 2, 1)
        self.factor = math.sqrt(2 / (inputs * 2**2))
        start_equalised(self)

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(self.factor * maps, output_size)


def start_equalised(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Weights N(0, 1), biases 0."""
    nn.init.normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def residual(channels: int) -> Residual:
    """x + [convolution, batch norm, ReLU] twice."""
    halves = [(EqualisedConv(channels, channels), nn.BatchNorm2d(channels), nn.ReLU()) for _ in range(2)]
    return Residual(*(layer for half in halves for layer in half))


def step(channels: int, outputs: int) -> list[nn.Module]:
    """A residual block and a doubling."""
    return [residual(channels), EqualisedUp(channels, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]


class PFSR(ComparedSystem):
    """×2 three times; each step has a picture of its own."""

    scales = (8,)
    labels = frozenset({"points"})

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        widths = [config.channels(channels) for channels in (512, 256, 128, 64)]
        head = [EqualisedConv(3, widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        self.steps = nn.ModuleList(
            nn.Sequential(*(head if number == 0 else []), *step(widths[number], widths[number + 1]))
            for number in range(3)
        )
        self.to_picture = nn.ModuleList(EqualisedConv(width, 3, 1) for width in widths[1:])

    def compute(
        self, lr: Tensor, references: Tensor, present: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        maps, pictures = to_signed(lr), []
        for layers, to_picture in zip(self.steps, self.to_picture, strict=True):
            maps = layers(maps)
            pictures.append(to_unit(to_picture(maps)))
        return pictures[-1], {f"step{number}": picture for number, picture in enumerate(pictures[:-1], 1)}

    def auxiliary(
        self, output: SystemOutput, truth: Tensor, labels: Mapping[str, Tensor], perceptual: bool
    ) -> dict[str, Tensor]:
        """L1 of the first two steps' pictures, and of the last one's weighted by nearness to landmarks."""
        terms = {
            name: (picture.float() - F.interpolate(truth, picture.shape[-2:], mode="area")).abs().mean()
            for name, picture in output.extra.items()
        }
        if "points" in labels:
            near = heatmaps(labels["points"], truth.shape[-1], truth.shape[-1] / 64).amax(1, keepdim=True)
            terms["attention"] = ATTENTION * (near * (output.hr.float() - truth).abs()).mean()
        return terms
