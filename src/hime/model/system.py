"""What training, evaluation, cost and export ask of a network: HIME has it, and so have the compared systems.

Shapes: ``B`` batch, ``N`` references, ``M`` photos, ``F`` channels of a reference that is kept, ``H W`` LR
size, ``s`` scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from hime.errors import HimeError


class Restored(Protocol):
    """What a network gives back; `hime.model.HIMEOutput` is one."""

    @property
    def hr(self) -> Tensor:
        """B×3×sH×sW, about [0, 1] but not clamped."""
        ...

    @property
    def scores(self) -> Tensor:
        """B×N×1×H×W in [0, 1]: the weight of each reference; zeros where the network tells none."""
        ...


class StoredPhotos(Protocol):
    """Photos M×3×S×S uint8: a tensor, or what reads them from files when some are taken by their rows."""

    @property
    def shape(self) -> torch.Size:
        """M×3×S×S."""
        ...

    @property
    def device(self) -> torch.device:
        """Where those that are taken lie."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """Those of ``rows``."""
        ...


class System(nn.Module):
    """A network that restores headshots, with references or without: the seam of all of them."""

    most_references: ClassVar[int | None] = None
    """The most references that it looks at; None: any number."""
    labels: ClassVar[frozenset[str]] = frozenset()
    """What its own losses want to know of a target beside its pixels: ``points``, ``parsing``."""
    rates: ClassVar[Mapping[str, float]] = {}
    """Submodules that learn at a rate of their own, as a multiple of the network's."""
    is_of_one_size: ClassVar[bool] = False
    """Whether it takes pictures of ``config.hr_size`` only."""
    kept_from_export: ClassVar[str | None] = None
    """Why it cannot be exported: what follows "cannot be exported, since"; None: it can."""
    config: Any
    """What makes the network: a frozen dataclass with ``scale``."""

    @property
    def feature_channels(self) -> int:
        """F, the channels of a reference that is kept."""
        raise NotImplementedError

    def forward(self, lr: Tensor, references: Tensor, present: Tensor | None = None) -> Restored:
        """Restore a batch.

        Args:
            lr: LR headshots, B×3×H×W in [0, 1].
            references: B×N×3×sH×sW in [0, 1]; N may be 0.
            present: B×N bool, False where a slot holds no reference (its content is then ignored);
                None if all do.

        Raises:
            HimeError: the shapes do not belong together.
        """
        raise NotImplementedError

    def check_shapes(self, lr: Tensor, references: Tensor) -> None:
        """Refuse references whose shape does not belong to that of the LR headshots, see `forward`.

        Raises:
            HimeError: they do not fit.
        """
        expected = (lr.shape[0], 3, *(side * self.config.scale for side in lr.shape[-2:]))
        if references.ndim != 5 or (references.shape[0], *references.shape[2:]) != expected:
            raise HimeError(
                f"references {tuple(references.shape)} do not fit an LR of {tuple(lr.shape)}: "
                f"give B×N×3×{expected[2]}×{expected[3]}"
            )

    def encode(self, references: Tensor) -> Tensor:
        """References M×3×sH×sW → what is kept of them, M×F×H×W; done once a person."""
        raise NotImplementedError

    def restore(self, lr: Tensor, features: Tensor, present: Tensor | None = None) -> Restored:
        """Restore ``lr`` (B×3×H×W) with encoded references (B×N×F×H×W)."""
        raise NotImplementedError

    def auxiliary(
        self, output: Any, truth: Tensor, labels: Mapping[str, Tensor], perceptual: bool
    ) -> dict[str, Tensor]:
        """The terms of the loss, with their weights, that only this network has: scalars by name.

        Args:
            output: what the network gave.
            truth: B×3×sH×sW in [0, 1].
            labels: what is known of the truth; a term whose labels are missing is left out.
            perceptual: with the terms of a perception-oriented training too.
        """
        return {}

    def prepare(self, photos: StoredPhotos, seed: int) -> None:
        """Make what must be there before the first step: frozen weights, dictionaries.

        Args:
            photos: of the training people, M×3×S×S uint8.
            seed: of what is drawn.
        """
