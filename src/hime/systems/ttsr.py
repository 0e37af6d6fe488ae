"""TTSR (Yang et al. 2020, "Learning Texture Transformer Network for Image Super-Resolution").

One reference, ×4.

A learned texture extractor (VGG-19's first layers, trained on at a lower rate), hard attention by patches,
and features exchanged across three scales. Perception-oriented trainings have the transferal loss too.

Shapes: ``B`` batch, ``C`` channels, ``H W`` LR size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from hime.model.system import StoredPhotos
from hime.systems.base import (
    REDUCES,
    ComparedSystem,
    SystemConfig,
    SystemOutput,
    first_present,
    to_signed,
    to_unit,
)
from hime.systems.blocks import conv, residual_blocks, resized_bicubic, shuffled_up
from hime.systems.search import patches, search, similarity, transfer
from hime.systems.vgg import VGGFeatures

LAYERS = ("relu1_1", "relu2_1", "relu3_1")
TEXTURE_CHANNELS = (256, 128, 64)
"""The extractor's, the coarsest first."""
TRANSFERAL = 1e-2
"""λ of the transferal loss beside the pixel loss."""


class Exchange(nn.Module):
    """Features of several scales, each convolved with the others brought to its size (CSFI).

    Takes and gives B×C×rH×rW for r = 1, 2 (, 4), the coarsest first.
    """

    def __init__(self, channels: int, scales: int) -> None:
        super().__init__()
        self.ways = nn.ModuleDict()
        for source in range(scales):
            for goal in range(scales):
                if source < goal:  # bicubic, then 1×1
                    self.ways[f"{source}to{goal}"] = nn.Sequential(conv(channels, channels, 1), nn.ReLU())
                elif source > goal:  # a convolution with stride 2 for each halving
                    halvings = ((conv(channels, channels, 3, 2), nn.ReLU()) for _ in range(source - goal))
                    self.ways[f"{source}to{goal}"] = nn.Sequential(
                        *(each for pair in halvings for each in pair)
                    )
        self.merge = nn.ModuleList(
            nn.Sequential(conv(scales * channels, channels), nn.ReLU()) for _ in range(scales)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [
            merge(torch.cat([self.brought(maps, source, goal) for source in range(len(maps))], dim=1))
            for goal, merge in enumerate(self.merge)
        ]

    def brought(self, maps: list[Tensor], source: int, goal: int) -> Tensor:
        """The map of scale ``source`` at the size of scale ``goal``."""
        if source == goal:
            return maps[source]
        moved = resized_bicubic(maps[source], 2 ** (goal - source)) if source < goal else maps[source]
        brought: Tensor = self.ways[f"{source}to{goal}"](moved)
        return brought


class Refinement(nn.Module):
    """x + convolution(residual blocks(y)), y being x or what others made of it."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.body = nn.Sequential(residual_blocks(channels, blocks), conv(channels, channels))

    def forward(self, maps: Tensor, others: Tensor) -> Tensor:
        out: Tensor = maps + self.body(others)
        return out


class TTSR(ComparedSystem):
    """Texture transformer and the main network."""

    most_references = 1
    kept_from_export = REDUCES
    scales = (4,)
    rates = {"extractor": 0.1}  # noqa: RUF012 (a constant, as the base has it)

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        channels = config.channels(64)
        half = max(1, channels // 2)
        self.extractor = VGGFeatures(LAYERS)
        self.head = nn.Sequential(conv(3, channels), nn.ReLU())
        self.shallow = Refinement(channels, config.blocks(16))
        self.fusion = nn.ModuleList(conv(channels + texture, channels) for texture in TEXTURE_CHANNELS)
        self.up = nn.ModuleList(nn.Sequential(shuffled_up(channels), nn.ReLU()) for _ in range(2))
        self.exchange = nn.ModuleList(Exchange(channels, scales) for scales in (2, 3))
        self.refinement = nn.ModuleList(
            nn.ModuleList(Refinement(channels, config.blocks(blocks)) for _ in range(scales))
            for scales, blocks in ((1, 16), (2, 8), (3, 4))
        )
        self.to_finest = nn.ModuleList(
            nn.Sequential(conv(channels, channels, 1), nn.ReLU()) for _ in range(2)
        )
        self.tail = nn.Sequential(
            conv(3 * channels, channels), nn.ReLU(), conv(channels, half), conv(half, 3, 1)
        )

    def compute(
        self, lr: Tensor, references: Tensor, present: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert present is not None
        textures, attention = self.textures(lr, first_present(references, present))
        head = self.head(to_signed(lr))
        maps = [self.shallow(head, head)]
        for level, fuse in enumerate(self.fusion):
            if level:
                maps.append(self.up[level - 1](maps[-1]))
            soft = attention if level == 0 else resized_bicubic(attention, 2**level)
            maps[-1] = maps[-1] + fuse(torch.cat([maps[-1], textures[level]], dim=1)) * soft
            others = self.exchange[level - 1](maps) if level else maps
            refined = self.refinement[level]
            assert isinstance(refined, nn.ModuleList)
            maps = [refine(*pair) for refine, *pair in zip(refined, maps, others, strict=True)]
        finest = [layer(resized_bicubic(maps[n], 4 // 2**n)) for n, layer in enumerate(self.to_finest)]
        picture = self.tail(torch.cat([maps[2], *finest], dim=1)).clamp(-1, 1)
        extra = {"attention": attention} | {f"texture{n}": texture for n, texture in enumerate(textures)}
        return to_unit(picture), extra

    def textures(self, lr: Tensor, reference: Tensor) -> tuple[list[Tensor], Tensor]:
        """What the reference shows where it looks like the headshot, and how much it does.

        Returns:
            B×256×H×W, B×128×2H×2W, B×64×4H×4W; the soft attention B×1×H×W, a cosine. Patches hang over the
            border, where fewer of them cover a place; the sum is divided by 9 everywhere, as published.
        """
        size = lr.shape[-2:]
        blurred = self.enlarged(F.interpolate(reference, size, mode="bicubic", antialias=True))
        queries = patches(self.extractor(self.enlarged(lr))[-1], 1)
        keys = patches(self.extractor(blurred)[-1], 1)[:, None]
        index = search(queries, keys, torch.ones_like(keys[:, :, 0, 0], dtype=torch.bool))
        attention = similarity(queries, keys, index).unflatten(1, size)[:, None]
        textures = []
        for maps in reversed(self.extractor(reference)):
            factor = maps.shape[-2] // size[0]
            values = F.pad(F.pixel_unshuffle(maps, factor), (1, 1, 1, 1))[:, None]
            laid = transfer(values, index, (size[0], size[1]))[:, :, 1:-1, 1:-1]
            textures.append(F.pixel_shuffle(laid / 9, factor))
        return textures, attention

    def auxiliary(
        self, output: SystemOutput, truth: Tensor, labels: Mapping[str, Tensor], perceptual: bool
    ) -> dict[str, Tensor]:
        """The transferal loss: the result's features are to be the textures; the extractor stands still."""
        if not perceptual:
            return {}
        still = {name: weight.detach() for name, weight in self.extractor.named_parameters()}
        found = functional_call(self.extractor, still, (output.hr.float(),))
        wanted = [output.extra[f"texture{level}"] for level in (2, 1, 0)]
        terms = [F.mse_loss(ours, theirs) for ours, theirs in zip(found, wanted, strict=True)]
        return {"transferal": TRANSFERAL * torch.stack(terms).mean()}

    def prepare(self, photos: StoredPhotos, seed: int) -> None:
        """VGG-19's weights, which the extractor starts from."""
        self.extractor.load(photos)
