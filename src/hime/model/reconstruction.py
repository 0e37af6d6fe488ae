"""Section 3.4: from the fused feature to the HR headshot.

Shapes: ``B`` batch, ``C`` channels, ``H W`` LR size, ``s`` scale.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hime.model.features import residual_blocks


class SubPixelUpsampling(nn.Module):
    """Convolution and PixelShuffle in one step, B×C×H×W → B×3×sH×sW, with ICNR initialisation.

    ICNR (Aitken et al. 2017) gives the s² sub-pixels of a channel the same weights at first, so that the
    output starts free of a checkerboard.
    """

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        one = torch.empty(3, channels, 3, 3)
        nn.init.kaiming_normal_(one)
        one *= 0.1  # the residual starts small beside the bicubic skip
        self.conv.weight.data.copy_(one.repeat_interleave(scale * scale, dim=0))
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        hr: Tensor = self.shuffle(self.conv(features))
        return hr


class Reconstruction(nn.Module):
    """I^SR = I^L↑s + R(F_f): k_r residual blocks, sub-pixel upsampling and a bicubic skip."""

    def __init__(self, channels: int, scale: int, blocks: int) -> None:
        super().__init__()
        self.scale = scale
        self.blocks = residual_blocks(channels, blocks)
        self.upsampling = SubPixelUpsampling(channels, scale)

    def forward(self, fused: Tensor, lr: Tensor) -> Tensor:
        """``fused`` F_f B×C×H×W, ``lr`` B×3×H×W in [0, 1] → B×3×sH×sW, not clamped."""
        hr: Tensor = bicubic(lr, self.scale) + self.upsampling(self.blocks(fused))
        return hr


def bicubic(maps: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement as ``F.interpolate(mode="bicubic")`` gives it, M×C×H×W → M×C×sH×sW.

    Written as one 5×5 convolution to the s² sub-pixels, which ONNX Runtime does many times as fast as its
    Resize (a sixth of the whole restoration otherwise).
    """
    channels, height, width = maps.shape[1:]
    planes = F.pad(maps.reshape(-1, 1, height, width), (2, 2, 2, 2), mode="replicate")
    with torch.autocast(maps.device.type, enabled=False):  # half precision would show in the picture
        sub_pixels = F.conv2d(planes, bicubic_kernel(scale).to(maps))
    return F.pixel_shuffle(sub_pixels, scale).reshape(-1, channels, scale * height, scale * width)


def bicubic_kernel(scale: int) -> Tensor:
    """Weights of the 5×5 pixels around a pixel in each of its s² sub-pixels: s²×1×5×5 (Keys 1981)."""
    a = -0.75  # as PyTorch has it

    def weight(distance: float) -> float:
        x = abs(distance)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    places = [(phase + 0.5) / scale - 0.5 for phase in range(scale)]
    taps = torch.tensor([[weight(place - tap) for tap in range(-2, 3)] for place in places])
    return (taps[:, None, :, None] * taps[None, :, None, :]).reshape(scale * scale, 1, 5, 5)
