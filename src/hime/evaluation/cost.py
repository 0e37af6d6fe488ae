"""Parameters and multiply-adds of a network, with everything counted.

Counted: convolutions, matrix products, and the interpolations that other counts leave out: deformable
sampling and warping (4 multiply-adds an output value), bilinear (4) and bicubic (16) resizing. Not counted,
as usual: activations, sums and products value by value, pooling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from hime.model import HIME


@dataclass(frozen=True)
class Cost:
    """What one network costs for one headshot.

    Attributes:
        parameters: all of them.
        lr: height and width of the LR headshot.
        references: how many of them ``macs_total`` is for.
        macs_total: multiply-adds with nothing cached: ``references`` × encode + restore.
        macs_encode_per_reference: multiply-adds to encode one reference.
        macs_restore: multiply-adds for a headshot when the references are encoded.
    """

    parameters: int
    lr: tuple[int, int]
    references: int
    macs_total: int
    macs_encode_per_reference: int
    macs_restore: int

    def as_card(self) -> dict[str, Any]:
        """The field ``macs`` of a model's card."""
        return {
            "lr": list(self.lr),
            "references": self.references,
            "total": self.macs_total,
            "encode_per_reference": self.macs_encode_per_reference,
            "restore": self.macs_restore,
        }


def count(model: HIME, lr: tuple[int, int] = (32, 32), references: int = 3) -> Cost:
    """Count ``model`` for an LR headshot of ``lr`` (height, width) and that many references."""
    place = next(model.parameters())
    scale = model.config.scale
    headshot = torch.zeros(1, 3, *lr, device=place.device, dtype=place.dtype)
    photo = torch.zeros(1, 3, scale * lr[0], scale * lr[1], device=place.device, dtype=place.dtype)
    features = photo.new_zeros(1, references, model.feature_channels, *lr)
    encode = macs(lambda: model.encode(photo))
    restore = macs(lambda: model.restore(headshot, features, None))
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        lr=lr,
        references=references,
        macs_total=references * encode + restore,
        macs_encode_per_reference=encode,
        macs_restore=restore,
    )


def macs(work: Callable[[], object]) -> int:
    """Multiply-adds of everything that ``work`` runs in PyTorch, forward only."""
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=_INTERPOLATIONS) as counter:
        work()
    return int(counter.get_total_flops()) // 2  # PyTorch counts a multiply-add as two


def _interpolation(multiply_adds: int) -> Callable[..., int]:
    """A rule of the counter: so many multiply-adds for each value of the output."""

    def flops(*_shapes: object, out_shape: tuple[int, ...], **_options: object) -> int:
        return 2 * multiply_adds * torch.Size(out_shape).numel()

    return flops


_INTERPOLATIONS = {
    torch.ops.aten.grid_sampler_2d: _interpolation(4),
    torch.ops.aten.upsample_bilinear2d: _interpolation(4),
    torch.ops.aten.upsample_bicubic2d: _interpolation(16),
    torch.ops.aten._upsample_bilinear2d_aa: _interpolation(4),
    torch.ops.aten._upsample_bicubic2d_aa: _interpolation(16),
}
