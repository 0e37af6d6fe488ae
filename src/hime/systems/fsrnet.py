"""FSRNet (Chen et al. 2018, "End-to-End Learning Face Super-Resolution with Facial Priors"): LR only.

A coarse picture, its features, a prior (landmarks and parts of the face) predicted from it, and a decoder
over both. After the public PyTorch code, which has no heads for the prior: here 1×1 convolutions to 11
parsing maps and 68 heatmaps stand beside the decoder, which reads the prior's features. They learn where
labels are given; without any, the prior is trained by the picture alone.

Shapes: ``M`` maps, ``C`` channels, ``S`` the picture's side.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hime.losses.pixel import charbonnier
from hime.systems.base import ComparedSystem, SystemConfig, SystemOutput
from hime.systems.blocks import Doubled, Residual, normal_weights, reflected
from hime.systems.landmarks import POINTS, UNKNOWN, heatmaps, is_somewhere

PARTS = (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12)
"""CelebAMask-HQ's label of each parsing map: skin, nose, eyes, brows, ears, mouth, lips."""
HEATMAP_DEVIATION = 1.5
"""Of the heatmaps at half the picture's side, in pixels of 64."""


def normalised(inputs: int, outputs: int) -> list[nn.Module]:
    """Mirrored convolution, batch norm, ReLU."""
    return [reflected(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]


def residuals(channels: int, count: int) -> nn.Sequential:
    """``count`` blocks x + [convolution, batch norm, ReLU, convolution, batch norm]."""
    return nn.Sequential(
        *(
            Residual(*normalised(channels, channels), reflected(channels, channels), nn.BatchNorm2d(channels))
            for _ in range(count)
        )
    )


class Bottleneck(nn.Module):
    """x + [1×1, 3×3, 1×1], each after batch norm and ReLU; x by a 1×1 convolution where widths differ."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = max(1, outputs // 2)
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, half, 1),
            nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, outputs, 1),
        )  # fmt: skip
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.shortcut(maps) + self.body(maps)
        return out


class PriorHourglass(nn.Module):
    """Maps M×C×H×W of unchanged shape, seen at ``depth`` further scales; sides multiples of 2^depth."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.across = Bottleneck(channels, channels)
        self.down = nn.Sequential(nn.MaxPool2d(2), Bottleneck(channels, channels))
        self.inner = Bottleneck(channels, channels) if depth == 1 else PriorHourglass(channels, depth - 1)
        self.up = nn.Sequential(Bottleneck(channels, channels), Doubled())

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.across(maps) + self.up(self.inner(self.down(maps)))
        return out


class FSRNet(ComparedSystem):
    """Coarse network, encoder, prior estimation and decoder."""

    multiple = 16
    labels = frozenset({"points", "parsing"})

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        one, two = config.channels(64), config.channels(128)
        self.coarse = nn.Sequential(
            *normalised(3, one), residuals(one, config.blocks(3)), reflected(one, 3), nn.Tanh()
        )
        self.encoder = nn.Sequential(
            nn.Conv2d(3, one, 3, 2, 1, bias=False), nn.BatchNorm2d(one), nn.ReLU(),
            residuals(one, config.blocks(12)), reflected(one, one), nn.Tanh(),
        )  # fmt: skip
        self.prior = nn.Sequential(
            nn.Conv2d(3, one, 7, 2, 3, bias=False), nn.BatchNorm2d(one), nn.ReLU(),
            Bottleneck(one, two), residuals(two, config.blocks(2)),
            PriorHourglass(two, 3), PriorHourglass(two, 3),
        )  # fmt: skip
        self.parsing, self.points = nn.Conv2d(two, len(PARTS), 1), nn.Conv2d(two, POINTS, 1)
        self.decoder = nn.Sequential(
            *normalised(one + two, one),
            nn.ConvTranspose2d(one, one, 3, 2, 1, 1, bias=False), nn.BatchNorm2d(one), nn.ReLU(),
            residuals(one, config.blocks(3)), reflected(one, 3), nn.Tanh(),
        )  # fmt: skip
        normal_weights(self)

    def compute(
        self, lr: Tensor, references: Tensor, present: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        coarse = self.coarse(self.enlarged(lr))
        prior = self.prior(coarse)
        picture = self.decoder(torch.cat([self.encoder(coarse), prior], dim=1))
        maps = {"parsing": self.parsing(prior), "points": self.points(prior)}
        return self.cut(picture, lr), {"coarse": self.cut(coarse, lr), **maps}

    def auxiliary(
        self, output: SystemOutput, truth: Tensor, labels: Mapping[str, Tensor], perceptual: bool
    ) -> dict[str, Tensor]:
        """The coarse picture's loss, and the squared error of the prior's maps at half the side."""
        extra = output.extra
        terms = {"coarse": charbonnier(extra["coarse"].float(), truth)}
        side = truth.shape[-1] // 2
        if "parsing" in labels:
            known = F.interpolate(parsing_maps(labels["parsing"]), (side, side), mode="area")
            terms["parsing"] = of_known(
                extra["parsing"][..., :side, :side].float(), known, labels["parsing"] != UNKNOWN
            )
        if "points" in labels:
            known = heatmaps(labels["points"], side, HEATMAP_DEVIATION * side / 64)
            terms["points"] = of_known(
                extra["points"][..., :side, :side].float(), known, is_somewhere(labels["points"])
            )
        return terms


def of_known(maps: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """The mean squared error of B maps, over those of which anything is ``known`` (B×…, bool); 0 of none."""
    rows = known.flatten(1).any(1).float()
    each = (maps - truth).square().flatten(1).mean(1)
    return (each * rows).sum() / rows.sum().clamp_min(1)


def parsing_maps(labels: Tensor) -> Tensor:
    """CelebAMask-HQ's label of each pixel, B×S×S, as a map a label of `PARTS`: B×11×S×S of 0 and 1."""
    return torch.stack([labels == part for part in PARTS], dim=1).float()
