"""GWAInet (Dogan et al. 2019, "Exemplar Guided Face Image Super-Resolution without Facial Landmarks"): one
reference, ×8.

A network that finds how to warp the reference to the headshot, and one that restores with the warped
reference's features. Rebuilt from the layers of the original in TensorFlow 1.

Shapes: ``B`` batch, ``C`` channels, ``H W`` LR size, ``S`` = 8·H.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hime.model.sampling import pixel_grid
from hime.systems.base import ComparedSystem, SystemConfig, first_present, to_unit
from hime.systems.blocks import conv, glorot_weights, residual_blocks, shuffled_up

CHANNEL_MEANS = (0.5063, 0.4258, 0.3832)
"""Of CelebA's aligned pictures, R, G, B: taken off the inputs."""


def encoder(inputs: int, channels: int) -> nn.Sequential:
    """Pictures of side S → features of side S/8: three pairs of convolutions, the second with stride 2."""
    layers: list[nn.Module] = []
    for number in range(6):
        layers += [conv(inputs if number == 0 else channels, channels, stride=1 + number % 2), nn.ReLU()]
    return nn.Sequential(*layers)


def enlargement(channels: int) -> nn.Sequential:
    """×8 by three sub-pixel steps."""
    return nn.Sequential(*(shuffled_up(channels) for _ in range(3)))


class Warper(nn.Module):
    """Enlarged headshot and reference, B×6×S×S → a flow B×2×S×S: x, y as shares of half the side."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(encoder(6, channels), conv(channels, channels))
        self.body = nn.Sequential(residual_blocks(channels, blocks), conv(channels, channels))
        self.flow = nn.Sequential(enlargement(channels), conv(channels, 2))

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.encoder(pictures)
        flow: Tensor = self.flow(features + self.body(features))
        return flow


class Stage(nn.Module):
    """Residual blocks over both branches, which then become one."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.of_headshot = residual_blocks(channels, blocks)
        self.of_reference = residual_blocks(channels, blocks)
        self.merge = conv(2 * channels, channels)

    def forward(self, headshot: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        reference = self.of_reference(reference)
        return self.merge(torch.cat([self.of_headshot(headshot), reference], dim=1)), reference


class GWAInet(ComparedSystem):
    """Warper and generator."""

    most_references = 1
    scales = (8,)
    means: Tensor

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        channels, blocks = config.channels(64), config.blocks(4)
        self.register_buffer("means", torch.tensor(CHANNEL_MEANS).view(3, 1, 1), persistent=False)
        self.warper = Warper(channels, config.blocks(8))
        self.reference = nn.Sequential(encoder(3, channels), conv(channels, channels))
        self.headshot = conv(3, channels)
        self.stages = nn.ModuleList(Stage(channels, blocks) for _ in range(3))
        self.body = nn.Sequential(residual_blocks(channels, blocks), conv(channels, channels))
        self.picture = nn.Sequential(enlargement(channels), conv(channels, 3))
        glorot_weights(self)

    def compute(
        self, lr: Tensor, references: Tensor, present: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert present is not None
        reference = first_present(references, present) - self.means
        flow = self.warper(torch.cat([self.enlarged(lr) - self.means, reference], dim=1))
        of_reference = self.reference(warped(reference, flow))
        head = self.headshot(lr - self.means)
        features = head
        for stage in self.stages:
            features, of_reference = stage(features, of_reference)
        return to_unit(self.picture(head + self.body(features))), {}


def warped(pictures: Tensor, flow: Tensor) -> Tensor:
    """``pictures`` (B×C×S×S) read at each place plus ``flow`` (B×2×S×S), beyond the border its last pixels.

    Coordinates go from −1 at the centre of the first pixel to 1 at that of the last, as the original's.
    """
    height, width = flow.shape[-2], flow.shape[-1]
    x, y = pixel_grid(height, width, flow)
    with torch.autocast(flow.device.type, enabled=False):
        across = flow[:, 0].float() + 2 * x / (width - 1) - 1
        down = flow[:, 1].float() + 2 * y / (height - 1) - 1
        places = torch.stack([across, down], dim=-1)
        return F.grid_sample(pictures.float(), places, padding_mode="border", align_corners=True)
