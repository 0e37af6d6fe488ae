"""Realistic LR inputs for evaluation, the same for every method. Needs PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hime.errors import HimeError
from hime.pictures.arrays import Image
from hime.training.batches import step_generator
from hime.training.degradation import STRENGTHS, draw_recipe, realistic_lr


@dataclass(frozen=True)
class Realistic:
    """The training's realistic degradation, drawn anew for each entry from the seed and the entry's number.

    Args:
        strength: ``"mild"``, ``"medium"`` or ``"strong"``, see `hime.training.degradation.STRENGTHS`.
        seed: the same seed, strength and entry give the same LR.
    """

    strength: str
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a strength that does not exist."""
        if self.strength not in STRENGTHS:
            raise HimeError(f"degradation {self.strength!r}: choose {', '.join(STRENGTHS)} or bicubic")

    def __str__(self) -> str:
        return f"realistic degradation, {self.strength}, seed {self.seed}"

    def __call__(self, truth: Image, scale: int, number: int) -> Image:
        """The LR input of entry ``number``: uint8 S×S×3 → S/s×S/s×3."""
        generator = step_generator(self.seed, number, "degradation")
        recipe = draw_recipe(generator, STRENGTHS[self.strength])
        planes = torch.from_numpy(truth).permute(2, 0, 1)
        lr: Image = realistic_lr(planes, len(truth) // scale, recipe).permute(1, 2, 0).contiguous().numpy()
        return lr
