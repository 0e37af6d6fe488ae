"""Discriminators C(·) of equations 12 to 14: is each place of an image a photo's, or restored?

Shapes: ``B`` batch, ``H W`` image size, multiples of 8 and at least 32.

Every convolution but the first and last of the U-Net is spectrally normalised (Miyato et al. 2018): its
weights are divided by their largest singular value, which one step of power iteration a training-mode forward
follows. The iteration's vectors are buffers, thus part of ``state_dict()``: a discriminator that is loaded
from one goes on exactly as the one that was saved.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hime.errors import HimeError

DOWNSCALING = 8
"""Both discriminators halve the image three times."""


def build_discriminator(name: Literal["patch", "unet"], channels: int = 32) -> nn.Module:
    """The discriminator called ``name``; ``channels``: its width at full (unet) or half (patch) size.

    Raises:
        HimeError: there is no such discriminator, or ``channels`` is less than 1.
    """
    if channels < 1:
        raise HimeError(f"discriminator channels {channels}: give at least 1")
    if name == "patch":
        return PatchDiscriminator(channels)
    if name == "unet":
        return UNetDiscriminator(channels)
    raise HimeError(f"discriminator {name!r}: choose patch or unet")


class PatchDiscriminator(nn.Module):
    """A logit for every 8×8 pixels, which sees 54×54: PatchGAN (Isola et al. 2017).

    Departures: spectral norm in place of batch norm, which would make the logits of a batch depend on one
    another, and a smaller patch (theirs is 70×70 of 256×256), since the faces are of 128 pixels.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            halving(3, channels),
            leaky_relu(),
            halving(channels, 2 * channels),
            leaky_relu(),
            halving(2 * channels, 4 * channels),
            leaky_relu(),
            same_size(4 * channels, 4 * channels),
            leaky_relu(),
            same_size(4 * channels, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """B×3×H×W in [0, 1] → logits B×1×H/8×W/8.

        Raises:
            HimeError: the sides of the images are no multiples of 8 or less than 32.
        """
        logits: Tensor = self.layers(centred(images))
        return logits


class UNetDiscriminator(nn.Module):
    """A logit for every pixel, judged on four scales: Real-ESRGAN's U-Net (Wang et al. 2021, section 3.3).

    Four levels of widths c, 2c, 4c, 8c on the way down, and back up by bilinear enlargement with the level's
    maps added. As theirs but for ``channels`` (64 there) and an input centred on 0.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        widths = [channels, 2 * channels, 4 * channels, 8 * channels]
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList(halving(fine, coarse, bias=False) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(
            same_size(coarse, fine, bias=False) for coarse, fine in pairwise(reversed(widths))
        )
        self.last = nn.Sequential(
            same_size(channels, channels, bias=False),
            leaky_relu(),
            same_size(channels, channels, bias=False),
            leaky_relu(),
            nn.Conv2d(channels, 1, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """B×3×H×W in [0, 1] → logits B×1×H×W.

        Raises:
            HimeError: the sides of the images are no multiples of 8 or less than 32.
        """
        maps = F.leaky_relu(self.first(centred(images)), 0.2)
        finer = []
        for halve in self.down:
            finer.append(maps)
            maps = F.leaky_relu(halve(maps), 0.2)
        for convolve in self.up:
            maps = F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)
            maps = F.leaky_relu(convolve(maps), 0.2) + finer.pop()
        logits: Tensor = self.last(maps)
        return logits


def centred(images: Tensor) -> Tensor:
    """Check the size of B×3×H×W images and bring [0, 1] to [−1, 1]."""
    height, width = images.shape[-2:]
    if min(height, width) < 32 or height % DOWNSCALING or width % DOWNSCALING:
        raise HimeError(f"discriminator: images of {height}×{width}; give multiples of 8, at least 32")
    return 2 * images - 1


def halving(inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    """A spectrally normalised 4×4 convolution to half the height and width."""
    return spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=bias))


def same_size(inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    """A spectrally normalised 3×3 convolution."""
    return spectral_norm(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))


def leaky_relu() -> nn.Module:
    """The activation of both discriminators, slope 0.2."""
    return nn.LeakyReLU(0.2, inplace=True)
