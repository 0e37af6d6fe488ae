"""PSFR-GAN (Chen et al. 2021, "Progressive Semantic-Aware Style Transformation for Blind Face Restoration"):
LR only, with a parsing of the face that it predicts.

A generator that starts from a learned constant and is told at each scale, by spatially adaptive
normalisation, what the enlarged headshot and its parsing show. Built for the pictures' size, not for 512 as
HIME's Table 1 seems to have measured it. The parsing network learns beside it, from labels; no gradient goes
from the generator to it.

Shapes: ``M`` maps, ``C`` channels, ``H W`` rows and columns; ``S`` the picture's side.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hime.errors import HimeError
from hime.losses.pixel import charbonnier
from hime.systems.base import ONE_SIZE, ComparedSystem, SystemConfig, SystemOutput, to_signed, to_unit
from hime.systems.blocks import Doubled, Resize, conv, leaky, reflected, shortcut
from hime.systems.landmarks import UNKNOWN

PARTS = 19
"""CelebAMask-HQ's labels. MediaPipe's pseudo-labels have 11 of them."""
START = 16
"""Side of the learned constant."""


class ParseBlock(nn.Module):
    """shortcut(x) + [convolution, batch norm, LeakyReLU, convolution, batch norm](x)."""

    def __init__(self, inputs: int, outputs: int, resize: Resize = "same") -> None:
        super().__init__()
        stride = 2 if resize == "down" else 1
        before = [Doubled()] if resize == "up" else []
        self.shortcut = shortcut(inputs, outputs, resize)
        self.body = nn.Sequential(
            *before, reflected(inputs, outputs), nn.BatchNorm2d(outputs), leaky(),
            reflected(outputs, outputs, stride), nn.BatchNorm2d(outputs),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.shortcut(maps) + self.body(maps)
        return out


class ParseNet(nn.Module):
    """Enlarged headshot in [−1, 1] → a picture M×3×S×S in [−1, 1] and scores of labels M×19×S×S."""

    def __init__(self, config: SystemConfig) -> None:
        super().__init__()
        one, two, four = (config.channels(channels) for channels in (64, 128, 256))
        self.encoder = nn.Sequential(
            reflected(3, one, bias=True), ParseBlock(one, two, "down"), ParseBlock(two, four, "down"),
            ParseBlock(four, four, "down"), ParseBlock(four, four, "down"),
        )  # fmt: skip
        self.body = nn.Sequential(*(ParseBlock(four, four) for _ in range(config.blocks(10))))
        self.decoder = nn.Sequential(
            ParseBlock(four, four, "up"), ParseBlock(four, four, "up"),
            ParseBlock(four, two, "up"), ParseBlock(two, one, "up"),
        )  # fmt: skip
        self.picture, self.labels = reflected(one, 3, bias=True), reflected(one, PARTS, bias=True)

    def forward(self, enlarged: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(enlarged)
        maps = self.decoder(features + self.body(features))
        return self.picture(maps), self.labels(maps)


def normed(inputs: int, outputs: int) -> nn.Module:
    """A 3×3 convolution with spectral norm, as all of the generator's."""
    layer: nn.Module = spectral_norm(conv(inputs, outputs))
    return layer


class Styled(nn.Module):
    """Instance norm, then ·γ + β at each place, both from the guide M×22×S×S."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.shared = nn.Sequential(normed(3 + PARTS, hidden), leaky())
        self.gain, self.shift = normed(hidden, channels), normed(hidden, channels)

    def forward(self, maps: Tensor, guide: Tensor) -> Tensor:
        guide = F.interpolate(guide, maps.shape[-2:], mode="bicubic", align_corners=False)
        shared = self.shared(guide)
        out: Tensor = self.norm(maps) * self.gain(shared) + self.shift(shared)
        return out


class StyledBlock(nn.Module):
    """(A doubling,) a convolution, and x + two convolutions of styled maps."""

    def __init__(self, inputs: int, outputs: int, hidden: int, is_doubling: bool) -> None:
        super().__init__()
        self.entry = nn.Sequential(*([Doubled()] if is_doubling else []), normed(inputs, outputs))
        self.styles = nn.ModuleList(Styled(outputs, hidden) for _ in range(2))
        self.convolutions = nn.ModuleList(normed(outputs, outputs) for _ in range(2))

    def forward(self, maps: Tensor, guide: Tensor) -> Tensor:
        maps = branch = self.entry(maps)
        for style, convolution in zip(self.styles, self.convolutions, strict=True):
            branch = convolution(F.leaky_relu(style(branch, guide), 0.2))
        out: Tensor = maps + branch
        return out


class Generator(nn.Module):
    """The guide M×22×S×S → pictures M×3×S×S in [−1, 1], from a constant of side 16."""

    def __init__(self, config: SystemConfig) -> None:
        super().__init__()
        doublings = (config.hr_size // START).bit_length() - 1
        widths = [config.channels(1024 // 2**number) for number in range(doublings + 1)]
        hidden = config.channels(64)
        self.constant = nn.Parameter(torch.randn(1, widths[0], START, START))
        self.blocks = nn.ModuleList(
            StyledBlock(widths[max(0, number - 1)], width, hidden, number > 0)
            for number, width in enumerate(widths)
        )
        self.picture = normed(widths[-1], 3)

    def forward(self, guide: Tensor) -> Tensor:
        maps = self.constant.repeat(len(guide), 1, 1, 1)
        for block in self.blocks:
            maps = block(maps, guide)
        picture: Tensor = self.picture(maps)
        return picture


class PSFRGAN(ComparedSystem):
    """Parsing network and generator."""

    labels = frozenset({"parsing"})
    is_of_one_size = True
    kept_from_export = ONE_SIZE

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        doublings = config.hr_size // START
        if config.hr_size < 2 * START or START * 2 ** (doublings.bit_length() - 1) != config.hr_size:
            raise HimeError(f"psfrgan: hr_size={config.hr_size}: give 32, 64, 128, 256 or 512")
        self.parsing, self.generator = ParseNet(config), Generator(config)

    def compute(
        self, lr: Tensor, references: Tensor, present: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        enlarged = to_signed(self.enlarged(lr))
        picture, scores = self.parsing(enlarged)
        labels = F.one_hot(scores.detach().argmax(1), PARTS).movedim(-1, 1).to(enlarged.dtype)
        hr = to_unit(self.generator(torch.cat([enlarged, labels], dim=1)))
        return hr, {"picture": to_unit(picture), "parsing": scores}

    def auxiliary(
        self, output: SystemOutput, truth: Tensor, labels: Mapping[str, Tensor], perceptual: bool
    ) -> dict[str, Tensor]:
        """The parsing network's: its picture's loss, and the cross-entropy of its labels."""
        terms = {"parsed_picture": charbonnier(output.extra["picture"].float(), truth)}
        if "parsing" in labels:
            known = (labels["parsing"] != UNKNOWN).sum().clamp_min(1)
            terms["parsing"] = (
                F.cross_entropy(
                    output.extra["parsing"].float(),
                    labels["parsing"].long(),
                    ignore_index=UNKNOWN,
                    reduction="sum",  # the mean over no pixel, in a batch without labels, is no number
                )
                / known
            )
        return terms
