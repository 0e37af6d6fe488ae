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
        skip = F.interpolate(lr, scale_factor=float(self.scale), mode="bicubic", align_corners=False)
        hr: Tensor = skip + self.upsampling(self.blocks(fused))
        return hr
