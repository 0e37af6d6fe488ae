"""What the compared systems have in common: their configuration, what they take and what they give.

Shapes: ``B`` batch, ``N`` references, ``H W`` LR size, ``s`` scale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hime.errors import HimeError
from hime.model.reconstruction import bicubic
from hime.model.system import System

REDUCES = "it reduces pictures as it goes, in a way that ONNX does not have"
ONE_SIZE = "it is built for pictures of one size, and an exported model takes any"
"""Why some cannot be exported."""

GREY = 0.5
"""The photo that a system gets which cannot do without a reference, where there is none."""


class SystemOutput(NamedTuple):
    """What a compared system gives back.

    ``hr`` and ``scores`` as `hime.model.system.Restored` says; ``extra``: what its own losses need, by name.
    """

    hr: Tensor
    scores: Tensor
    extra: Mapping[str, Tensor]


SystemName = Literal["srntt", "ttsr", "sparnet", "psfrgan", "dfdnet", "pfsr", "fsrnet", "gwainet"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemConfig:
    """What makes a compared system.

    ``hr_size``: side of the pictures; `psfrgan` and `dfdnet` are built for it, the others take any.
    ``width`` multiplies numbers of channels and ``depth`` those of residual blocks: 1 is the published
    network. ``entries``: of `dfdnet`'s dictionary, for each part and level.
    """

    system: SystemName
    scale: Literal[2, 4, 8]
    hr_size: int
    width: float = 1.0
    depth: float = 1.0
    entries: int = 128

    def channels(self, published: int) -> int:
        """So many channels where the published network has ``published``."""
        return max(1, round(self.width * published))

    def blocks(self, published: int) -> int:
        """So many residual blocks where the published network has ``published``."""
        return max(1, round(self.depth * published))


class ComparedSystem(System):
    """A compared system: the base of all eight.

    ``compute`` is the system; the rest is the seam that HIME has too. A reference is kept as it is, its
    pixels folded into H×W (a row of ``feature_channels`` a pixel), since none of these systems can be asked
    to encode it without the LR headshot.
    """

    config: SystemConfig
    most_references: ClassVar[int | None] = 0
    scales: ClassVar[tuple[int, ...]] = (2, 4, 8)
    """The enlargements that the network can be built for."""
    multiple: ClassVar[int] = 1
    """The pictures' sides inside of the network are multiples of this; others are extended to it."""

    def __init__(self, config: SystemConfig) -> None:
        super().__init__()
        if config.scale not in self.scales:
            known = ", ".join(f"×{scale}" for scale in self.scales)
            raise HimeError(f"{config.system}: made for {known}, not ×{config.scale}")
        if not (config.width > 0 and config.depth > 0 and config.entries >= 1):
            raise HimeError(f"{config.system}: give a width and a depth above 0 and at least one entry")
        self.config = config

    @property
    def feature_channels(self) -> int:
        """Values a pixel of LR of a reference that is kept."""
        return 3 * self.config.scale**2

    def forward(self, lr: Tensor, references: Tensor, present: Tensor | None = None) -> SystemOutput:
        """Restore a batch, as `System` says.

        Raises:
            HimeError: the shapes do not belong together, or pictures are not of the size that the network is
                built for.
        """
        self.check_shapes(lr, references)
        size = tuple(references.shape[-2:])
        if self.is_of_one_size and size != (self.config.hr_size,) * 2:
            raise HimeError(
                f"{self.config.system} is built for pictures of {self.config.hr_size}×{self.config.hr_size}, "
                f"not {size[1]}×{size[0]}; train it with hr_size={size[0]}"
            )
        scores = lr.new_zeros(lr.shape[0], references.shape[1], 1, *lr.shape[-2:])
        if self.most_references != 0:
            references, present = with_grey(references, present)
        hr, extra = self.compute(lr, references, present)
        return SystemOutput(hr, scores, extra)

    def compute(
        self, lr: Tensor, references: Tensor, present: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The restored pictures and what the system's own losses need.

        For a system with references there is at least one in each row, grey if need be.
        """
        raise NotImplementedError

    def encode(self, references: Tensor) -> Tensor:
        """References M×3×sH×sW, folded: M×3s²×H×W."""
        if references.shape[0] == 0:  # PyTorch's space-to-depth refuses an empty batch
            sides = (side // self.config.scale for side in references.shape[-2:])
            return references.new_zeros(0, self.feature_channels, *sides)
        return F.pixel_unshuffle(references, self.config.scale)

    def restore(self, lr: Tensor, features: Tensor, present: Tensor | None = None) -> SystemOutput:
        """Restore ``lr`` (B×3×H×W) with folded references (B×N×3s²×H×W)."""
        if features.shape[1] == 0:
            sides = (side * self.config.scale for side in lr.shape[-2:])
            photos = features.new_zeros(features.shape[0], 0, 3, *sides)
        else:
            photos = F.pixel_shuffle(features.flatten(0, 1), self.config.scale)
            photos = photos.reshape(*features.shape[:2], *photos.shape[1:])
        output: SystemOutput = self(lr, photos, present)
        return output._replace(scores=torch.zeros_like(features[:, :, :1]))

    def enlarged(self, lr: Tensor) -> Tensor:
        """The bicubic enlargement, B×3×sH×sW in [0, 1], extended to sides that the network can take."""
        picture = bicubic(lr, self.config.scale)
        below, right = (-side % self.multiple for side in picture.shape[-2:])
        return F.pad(picture, (0, right, 0, below), mode="replicate")

    def cut(self, picture: Tensor, lr: Tensor) -> Tensor:
        """Take off again what `enlarged` added."""
        height, width = (side * self.config.scale for side in lr.shape[-2:])
        return picture[..., :height, :width]


def with_grey(references: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
    """References B×N×3×S×S and which of them are there, with a grey photo in each row that has none.

    Returns:
        B×max(N, 1)×3×S×S; B×max(N, 1) bool, at least one a row.
    """
    if references.shape[1] == 0:
        shape = (references.shape[0], 1, *references.shape[2:])
        return references.new_full(shape, GREY), references.new_ones(shape[:2], dtype=torch.bool)
    if present is None:
        return references, references.new_ones(references.shape[:2], dtype=torch.bool)
    references = torch.where(present[:, :, None, None, None], references, GREY)
    nobody = ~present.any(dim=1, keepdim=True)
    return references, torch.cat([present[:, :1] | nobody, present[:, 1:]], dim=1)


def first_present(references: Tensor, present: Tensor) -> Tensor:
    """The first reference of each row that is there: B×N×3×S×S, B×N bool → B×3×S×S."""
    there = present.int()
    chosen = (present & (there.cumsum(dim=1) == 1)).to(references.dtype)
    return (references * chosen[:, :, None, None, None]).sum(dim=1)


def to_signed(images: Tensor) -> Tensor:
    """[0, 1] → [−1, 1]."""
    return 2 * images - 1


def to_unit(images: Tensor) -> Tensor:
    """[−1, 1] → [0, 1]."""
    return (images + 1) / 2
