"""The bicubic degradation on tensors: HR batch → LR batch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bicubic_lr(hr: Tensor, scale: int) -> Tensor:
    """Shrink 8-bit HR images by ``scale``: B×3×sH×sW uint8 → B×3×H×W float32 in [0, 1], steps of 1/255.

    Antialiased bicubic (a = −0.5), rounded to 8 bits: the same filter as ``hime.images.downscale``
    (Pillow), which also rounds between its two passes; the two differ by one step of 1/255 at most.
    """
    height, width = hr.shape[-2] // scale, hr.shape[-1] // scale
    lr = F.interpolate(hr.float(), (height, width), mode="bicubic", antialias=True, align_corners=False)
    return lr.round_().clamp_(0, 255).div_(255)
