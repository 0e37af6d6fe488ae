"""What JPEG does to pictures, for a batch at once on whatever device: all of the codec that loses something.

Colour transform, halving of the colour, DCT, quantisation and the way back, as libjpeg does them with the
tables that Pillow writes; the coding in between loses nothing and is left out. So many pictures of different
qualities take a few operations, where an encoder, nvJPEG too, takes them one by one. The transform is in
fp32 where libjpeg's is in whole numbers: now and then a coefficient is rounded the other way.

Shapes: ``K`` pictures, ``H W`` rows and columns.
"""

from __future__ import annotations

import io
import math
from functools import cache

import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from hime.pictures.arrays import LUMA

BLOCK = 8
TO_YCBCR = (LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
"""Of JFIF (ITU-T T.871)."""


def compressed(images: Tensor, qualities: Tensor) -> Tensor:
    """Pictures after JPEG with halved colour (4:2:0).

    Args:
        images: K×3×H×W float32, whole numbers 0 … 255; sides are multiples of 16.
        qualities: K, 1 … 100 as libjpeg counts, on the device of ``images``.

    Returns:
        K×3×H×W float32, whole numbers 0 … 255.
    """
    device = images.device
    planes = torch.einsum("ij,kjhw->kihw", torch.tensor(TO_YCBCR, device=device), images)
    planes[:, 1:] += 128
    planes = planes.round()
    tables = quantisers().to(device)[qualities]  # K×2×8×8
    luma = _quantised(planes[:, :1], tables[:, 0])
    colour = _enlarged(_quantised(_halved(planes[:, 1:]), tables[:, 1])) - 128
    planes = torch.cat([luma, colour], dim=1)
    rgb = torch.einsum("ij,kjhw->kihw", torch.tensor(TO_RGB, device=device), planes)
    return rgb.round().clamp(0, 255)


@cache
def quantisers() -> Tensor:
    """Quantisation tables by quality, 101×2×8×8 (luma, colour), as Pillow writes them; row 0 is unused."""
    tables = [torch.ones(2, BLOCK, BLOCK)]
    for quality in range(1, 101):
        file = io.BytesIO()
        PIL.Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
        found = PIL.Image.open(file).quantization  # type: ignore[attr-defined]
        tables.append(torch.tensor([found[0], found[1]], dtype=torch.float32).view(2, BLOCK, BLOCK))
    return torch.stack(tables)


@cache
def cosines() -> Tensor:
    """The orthonormal DCT of 8 numbers, 8×8: frequencies by places."""
    places = torch.arange(BLOCK, dtype=torch.float64)
    matrix = torch.cos(math.pi * (2 * places + 1) * places[:, None] / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """Planes K×C×H×W through DCT and quantisation by K×8×8, and back to whole numbers 0 … 255."""
    matrix = cosines().to(planes.device)
    blocks = planes.unflatten(-1, (-1, BLOCK)).unflatten(-3, (-1, BLOCK)).transpose(-3, -2) - 128
    steps = table[:, None, None, None]
    scaled = matrix @ blocks @ matrix.T / steps
    coefficients = scaled.sign() * (scaled.abs() + 0.5).floor() * steps  # halves, which are many, away from 0
    decoded = (matrix.T @ coefficients @ matrix + 128).round().clamp(0, 255)
    whole: Tensor = decoded.transpose(-3, -2).flatten(-4, -3).flatten(-2, -1)
    return whole


def _halved(planes: Tensor) -> Tensor:
    """Means of 2×2 pixels; halves are rounded down and up by turns, as in libjpeg."""
    total = 4 * F.avg_pool2d(planes, 2)
    bias = 1 + torch.arange(total.shape[-1], device=planes.device) % 2
    return ((total + bias) / 4).floor()


def _enlarged(planes: Tensor) -> Tensor:
    """To twice the side, three parts of the nearer pixel and one of the next: libjpeg's fancy upsampling."""
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    middle = 3 * padded[:, :, 1:-1]
    rows = torch.stack([middle + padded[:, :, :-2], middle + padded[:, :, 2:]], dim=3).flatten(2, 3)
    middle = 3 * rows[..., 1:-1]
    left, right = middle + rows[..., :-2] + 8, middle + rows[..., 2:] + 7
    return (torch.stack([left, right], dim=-1).flatten(-2) / 16).floor()
