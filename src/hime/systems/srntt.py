"""SRNTT (Zhang et al. 2019, "Image Super-Resolution by Neural Texture Transfer").

Any number of references, ×4.

The PyTorch version that HIME's Table 1 measured, without normalisation, with the soft weights of its
training script. The content network, which there starts from a pretrained SRGAN, is trained along: its plain
picture has a loss of its own. Perception-oriented trainings have the texture loss too.

Shapes: ``B`` batch, ``N`` references, ``C`` channels, ``H W`` LR size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hime.losses.pixel import charbonnier
from hime.model.system import StoredPhotos
from hime.systems.base import REDUCES, ComparedSystem, SystemConfig, SystemOutput
from hime.systems.blocks import conv, leaky, normal_weights, residual_blocks, shuffled_up
from hime.systems.search import cover, patches, search, similarity, transfer
from hime.systems.vgg import VGGFeatures

LAYERS = ("relu1_1", "relu2_1", "relu3_1")
"""Of VGG-19, in order of depth: ×4, ×2 and ×1 of the LR size."""
TEXTURE_CHANNELS = (256, 128, 64)
"""Their channels, the coarsest first."""
SLOPE = 0.1
TEXTURE = 1e-4
"""λ of the texture loss beside the pixel loss."""
TEXTURE_NORMS = (1024.0, 512.0, 256.0)
"""What the texture loss divides by beside H·W, for the finest to the coarsest map."""


class SRNTT(ComparedSystem):
    """Content network, texture swap and transfer."""

    most_references = None
    kept_from_export = REDUCES
    scales = (4,)

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        channels, blocks = config.channels(64), config.blocks(16)
        half = max(1, channels // 2)
        self.head = nn.Sequential(conv(3, channels), leaky(SLOPE))
        self.body = residual_blocks(channels, blocks)
        self.plain = nn.Sequential(
            shuffled_up(channels), leaky(SLOPE), shuffled_up(channels), leaky(SLOPE),
            conv(channels, channels), leaky(SLOPE), conv(channels, 3),
        )  # fmt: skip
        self.join = nn.ModuleList(
            nn.Sequential(conv(channels + texture, channels), leaky(SLOPE), residual_blocks(channels, blocks))
            for texture in TEXTURE_CHANNELS
        )
        self.tails = nn.ModuleList(
            [
                nn.Sequential(shuffled_up(channels), leaky(SLOPE)),
                nn.Sequential(shuffled_up(channels), leaky(SLOPE)),
                nn.Sequential(conv(channels, half), leaky(SLOPE), conv(half, 3)),
            ]
        )
        normal_weights(self)
        self.slope, self.offset = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
        self.vgg = VGGFeatures(LAYERS).requires_grad_(False)

    def compute(
        self, lr: Tensor, references: Tensor, present: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert present is not None
        features = self.head(lr)
        features = features + self.body(features)
        enlarged = F.interpolate(lr, scale_factor=4.0, mode="bilinear", align_corners=False)
        swapped, alike = self.swap(lr, references, present)
        maps = features
        for level, (join, tail) in enumerate(zip(self.join, self.tails, strict=True)):
            factor = 2**level
            finer = alike if level == 0 else F.interpolate(
                alike, scale_factor=float(factor), mode="bicubic", align_corners=True
            )  # fmt: skip
            weight = torch.sigmoid(self.slope[level] * finer + self.offset[level])
            maps = tail(maps + join(torch.cat([maps, swapped[level] * weight], dim=1)))
        extra = {"plain": self.plain(features) + enlarged, "alike": alike}
        return maps + enlarged, extra | {f"swapped{level}": each for level, each in enumerate(swapped)}

    @torch.no_grad()
    def swap(self, lr: Tensor, references: Tensor, present: Tensor) -> tuple[list[Tensor], Tensor]:
        """The references' textures where the headshot looks like them.

        Returns:
            B×256×H×W, B×128×2H×2W, B×64×4H×4W; and the cosine of each place's patch, B×1×H×W.
        """
        height, width = lr.shape[-2:]
        photos = references.flatten(0, 1)
        blurred = self.enlarged(F.interpolate(photos, (height, width), mode="bicubic", antialias=True))
        queries = patches(self.vgg(self.enlarged(lr))[-1], 0)
        keys = patches(self.vgg(blurred)[-1], 0).unflatten(0, references.shape[:2])
        index = search(queries, keys, present)
        inner = (height - 2, width - 2)
        alike = similarity(queries, keys, index).unflatten(1, inner)[:, None]
        alike = F.pad(alike, (1, 1, 1, 1), mode="replicate")
        swapped = []
        for maps in reversed(self.vgg(photos)):
            factor = maps.shape[-2] // height
            values = F.pixel_unshuffle(maps, factor).unflatten(0, references.shape[:2])
            laid = transfer(values, index, inner) / cover(inner).to(lr)
            swapped.append(F.pixel_shuffle(laid, factor))
        return swapped, alike

    def auxiliary(
        self, output: SystemOutput, truth: Tensor, labels: Mapping[str, Tensor], perceptual: bool
    ) -> dict[str, Tensor]:
        """The plain picture's loss; and the texture loss: Gram matrices of the result and of the swap."""
        extra = output.extra
        terms = {"plain": charbonnier(extra["plain"].float(), truth)}
        if perceptual:
            swapped = [extra[f"swapped{level}"] for level in (2, 1, 0)]
            terms["texture"] = TEXTURE * self.texture(output.hr.float(), swapped, extra["alike"])
        return terms

    def texture(self, picture: Tensor, swapped: list[Tensor], alike: Tensor) -> Tensor:
        """Mean over layers of ‖Gram(φ(picture)·m) − Gram(M·m)‖² / (4·(H·W·k)²), m = σ(0.65 − 20w)."""
        pixels = alike.shape[-2] * alike.shape[-1]
        terms = []
        for ours, theirs, norm in zip(self.vgg(picture), swapped, TEXTURE_NORMS, strict=True):
            size = ours.shape[-2:]
            mask = torch.sigmoid(0.65 - 20 * F.interpolate(alike, size, mode="bicubic", align_corners=True))
            distance = (gram(ours * mask) - gram(theirs * mask)).square().sum(dim=(1, 2)).mean()
            terms.append(distance / (4 * (pixels * norm) ** 2))
        return torch.stack(terms).mean()

    def prepare(self, photos: StoredPhotos, seed: int) -> None:
        """VGG-19's weights."""
        self.vgg.load(photos)


def gram(maps: Tensor) -> Tensor:
    """Products of channels, B×C×H×W → B×C×C."""
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2)
