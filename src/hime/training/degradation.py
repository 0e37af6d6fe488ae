"""The bicubic degradation on tensors: HR batch → LR batch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bicubic_lr(hr: Tensor, scale: int) -> Tensor:
    """Shrink 8-bit HR images by ``scale``: B×3×sH×sW uint8 → B×3×H×W float32 in [0, 1], steps of 1/255.

    Antialiased bicubic (a = −0.5), columns first, rounded to 8 bits after each of the two passes as Pillow
    does: the same as ``hime.images.downscale`` but for rare ties, which differ by one step of 1/255.
    """
    height, width = hr.shape[-2] // scale, hr.shape[-1] // scale
    narrow = _shrink(hr.float(), (hr.shape[-2], width))
    return _shrink(narrow, (height, width)).div_(255)


def _shrink(image: Tensor, size: tuple[int, int]) -> Tensor:
    shrunk = F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)
    return shrunk.add_(0.5).floor_().clamp_(0, 255)  # Pillow rounds halves up, round_() to even
