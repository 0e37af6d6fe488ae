"""DFDNet (Li et al. 2020, "Blind Face Restoration via Deep Multi-scale Component Dictionaries"): LR and a
dictionary of eyes, nose and mouth.

What VGG-19 sees in the enlarged headshot gets, where a part of the face lies, what the dictionary's most
alike entry shows; a decoder makes the picture of it. The parts' boxes are the mean ones of headshots framed
alike, since all pictures here are (the original takes them from a landmark network). The dictionary is built
from the training people's photos, see `hime.systems.dictionary`.

Shapes: ``B`` batch, ``C`` channels, ``S`` the picture's side, ``K`` entries, ``p`` a part's side at a level.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hime.model.system import StoredPhotos
from hime.systems.base import ONE_SIZE, ComparedSystem, SystemConfig, to_unit
from hime.systems.blocks import Residual, conv, leaky
from hime.systems.vgg import VGGFeatures

LEVELS = ("relu2_2", "relu3_4", "relu4_4", "conv5_4")
"""VGG-19's layers of the levels 1 to 4, of side S/2, S/4, S/8 and S/16."""
LEVEL_CHANNELS = (128, 256, 512, 512)


class Part(NamedTuple):
    """A part of the face: where it lies and how large its entries are, as shares of the picture's side."""

    x: float
    y: float
    side: float
    entry: float


PARTS = {
    "left_eye": Part(0.367, 0.431, 0.162, 80 / 512),
    "right_eye": Part(0.628, 0.430, 0.165, 80 / 512),
    "nose": Part(0.495, 0.623, 0.103, 50 / 512),
    "mouth": Part(0.497, 0.726, 0.208, 110 / 512),
}
"""Centres and sides: means over headshots of CelebA. Sides of entries: the original's, of pictures of 512."""


def box(part: Part, side: int) -> tuple[slice, slice]:
    """Rows and columns of ``part`` in a map of ``side``; at least one pixel."""

    def span(centre: float) -> slice:
        first = min(max(round((centre - part.side / 2) * side), 0), side - 1)
        return slice(first, max(first + 1, min(round((centre + part.side / 2) * side), side)))

    return span(part.y), span(part.x)


def entry_side(part: Part, size: int, level: int) -> int:
    """Side of the entries of ``part`` at level 1 … 4 for pictures of ``size``."""
    return max(1, int(part.entry * size) >> level)


def part_name(part: str, level: int) -> str:
    """The name of a part at a level among modules and buffers."""
    return f"{part}_{level}"


class PartTransfer(nn.Module):
    """A part of a map is led towards the dictionary's most alike entry."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            spectral_norm(conv(channels, hidden)), leaky(), spectral_norm(conv(hidden, channels))
        )

    def forward(self, crop: Tensor, entries: Tensor) -> Tensor:
        """Crops B×C×h×w and entries K×C×p×p → B×C×h×w."""
        found, _ = nearest_entry(crop, entries)
        entry = F.interpolate(found, crop.shape[-2:], mode="nearest")
        out: Tensor = crop + self.attention(entry - crop) * entry
        return out


def nearest_entry(crop: Tensor, entries: Tensor) -> tuple[Tensor, Tensor]:
    """The entry most alike each crop, brought to its contrast.

    Args:
        crop: B×C×h×w.
        entries: K×C×p×p.

    Returns:
        The entries with the crops' mean and deviation of each channel, B×C×p×p; their numbers, B.
    """
    side = entries.shape[-1]
    resized = F.interpolate(crop, (side, side), mode="bilinear", align_corners=False)
    mean, deviation = statistics(resized)
    entries = entries.to(resized.dtype)
    centre, spread = statistics(entries)
    plain = (entries - centre) / spread
    # ⟨R, plain·σ(R) + μ(R)⟩: its second part is the same for all entries.
    weighted = (resized * deviation).flatten(1)
    chosen = (weighted @ plain.flatten(1).T).argmax(dim=1)
    return plain[chosen] * deviation + mean, chosen


def statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, M×C×1×1; a single pixel varies by nothing."""
    pixels = maps.shape[-2] * maps.shape[-1]
    variance = maps.var((-2, -1), keepdim=True, correction=1 if pixels > 1 else 0)
    return maps.mean((-2, -1), keepdim=True), (variance + 1e-5).sqrt()


class Dilated(nn.Module):
    """x + four views of it with dilations 4, 3, 2 and 1."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.views = nn.ModuleList(
            nn.Sequential(
                spectral_norm(conv(channels, outputs)), leaky(),
                spectral_norm(nn.Conv2d(outputs, outputs, 3, padding=dilation, dilation=dilation)),
            )
            for dilation in (4, 3, 2, 1)
        )  # fmt: skip
        self.fusion = spectral_norm(conv(4 * outputs, channels))

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = maps + self.fusion(torch.cat([view(maps) for view in self.views], dim=1))
        return out


class StyledUp(nn.Module):
    """A doubling in which maps are scaled and shifted by what the level's features say."""

    blur: Tensor

    def __init__(self, inputs: int, outputs: int, style: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("blur", (row[:, None] * row)[None, None], persistent=False)

        def two() -> list[nn.Module]:
            return [spectral_norm(conv(style, outputs)), leaky(), spectral_norm(conv(outputs, outputs))]

        # The published network has two LeakyReLUs of slope 0.2 in a row.
        self.before = nn.Sequential(spectral_norm(conv(inputs, outputs)), leaky(0.04))
        self.scale, self.shift = nn.Sequential(*two()), nn.Sequential(*two(), nn.Sigmoid())
        self.after = nn.Sequential(spectral_norm(conv(outputs, outputs)), leaky())

    def forward(self, maps: Tensor, features: Tensor) -> Tensor:
        channels = maps.shape[1]
        blurred = F.conv2d(maps, self.blur.expand(channels, -1, -1, -1), padding=1, groups=channels)
        styled = self.before(blurred) * self.scale(features) + self.shift(features)
        doubled = F.interpolate(styled, scale_factor=2.0, mode="bilinear", align_corners=False)
        out: Tensor = self.after(doubled)
        return out


class DFDNet(ComparedSystem):
    """VGG-19, dictionary transfer and decoder."""

    multiple = 16
    is_of_one_size = True
    kept_from_export = ONE_SIZE

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        wide, half, quarter, last = (config.channels(channels) for channels in (512, 256, 128, 64))
        self.vgg = VGGFeatures(LEVELS).requires_grad_(False)
        for name, part in PARTS.items():
            for level, channels in enumerate(LEVEL_CHANNELS, start=1):
                side = entry_side(part, config.hr_size, level)
                entries = torch.zeros(config.entries, channels, side, side, dtype=torch.float16)
                self.register_buffer(part_name(name, level), entries)
        self.transfer = nn.ModuleDict(
            {
                part_name(name, level): PartTransfer(channels, config.channels(channels))
                for name in PARTS
                for level, channels in enumerate(LEVEL_CHANNELS, start=1)
            }
        )
        self.dilated = Dilated(LEVEL_CHANNELS[3], wide)
        # Fed with the untouched level 4, then each level's features after the transfer, the deepest first.
        widths = ((LEVEL_CHANNELS[3], wide), (wide, half), (half, quarter), (quarter, last))
        self.up = nn.ModuleList(
            StyledUp(inputs, outputs, style)
            for (inputs, outputs), style in zip(widths, reversed(LEVEL_CHANNELS), strict=True)
        )
        self.picture = nn.Sequential(
            spectral_norm(conv(last, last)), leaky(),
            *(Residual(conv(last, last), leaky(), conv(last, last)) for _ in range(2)),
            conv(last, 3), nn.Tanh(),
        )  # fmt: skip

    def compute(
        self, lr: Tensor, references: Tensor, present: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        levels = self.vgg(self.enlarged(lr))
        maps = self.dilated(levels[-1])
        for level, up in zip((4, 3, 2, 1), self.up, strict=True):
            maps = up(maps, self.transferred(levels[level - 1], level))
        return to_unit(self.picture(maps)), {}

    def transferred(self, features: Tensor, level: int) -> Tensor:
        """Level 1 … 4 with the parts led towards the dictionary, left eye, right eye, nose, mouth."""
        out = features.clone()
        for name, part in PARTS.items():
            rows, columns = box(part, features.shape[-1])
            crop = features[:, :, rows, columns]
            entries = getattr(self, part_name(name, level))
            out[:, :, rows, columns] = self.transfer[part_name(name, level)](crop, entries).to(out.dtype)
        return out

    def prepare(self, photos: StoredPhotos, seed: int) -> None:
        """VGG-19's weights, and the dictionary from the training people's photos and their mirror images."""
        from hime.systems.dictionary import build_entries

        self.vgg.load(photos)
        for name, entries in build_entries(self.vgg, photos, self.config, seed).items():
            getattr(self, name).copy_(entries)
