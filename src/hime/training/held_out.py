"""The evaluation during a training, on people whom it does not train on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from hime.model.system import System
from hime.training.batches import Batch, evaluation_pairs
from hime.training.photos import Photos
from hime.training.presets import TrainingConfig

if TYPE_CHECKING:
    from hime.losses.lpips import LPIPS

EVALUATION_BATCH = 16
SAMPLES = 4
"""Pairs on a sample sheet."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The held-out pairs after ``step`` steps, restored with the averaged weights, rounded to 8 bits.

    PSNR in dB on RGB with references, without, and of bicubic; LPIPS with references where the training has
    a perceptual loss, since PSNR is not what such a training improves.
    """

    step: int
    with_references: float
    without_references: float
    bicubic: float
    lpips: float | None = None

    def __str__(self) -> str:
        text = (
            f"step {self.step}: PSNR {self.with_references:.3f} with references, "
            f"{self.without_references:.3f} without, {self.bicubic:.3f} bicubic"
        )
        return text if self.lpips is None else f"{text}; LPIPS {self.lpips:.4f} with references"

    @property
    def score(self) -> float:
        """What the best weights have most of: PSNR, or likeness by LPIPS where that is measured."""
        return self.with_references if self.lpips is None else -self.lpips


class HeldOut:
    """Fixed pairs of held-out people, whole photos on ``photos``' device."""

    def __init__(self, photos: Photos, config: TrainingConfig) -> None:
        self.scale = config.scale
        self.pairs = evaluation_pairs(
            photos,
            config.evaluation_pairs,
            config.scale,
            config.references,
            config.seed,
            config.lr_size,
            config.degradation,
        )
        self.bicubic = psnr(upsample(self.pairs.lr, self.scale), self.pairs.hr)
        self.lpips: LPIPS | None = None
        if config.loss.perceptual:
            from hime.losses.lpips import LPIPS

            self.lpips = LPIPS(device=str(photos.images.device))

    def evaluate(self, model: System, step: int) -> tuple[Evaluation, Tensor]:
        """Measure ``model`` after ``step`` steps; a sample sheet, 3×height×width in [0, 1], comes with it."""
        pairs = self.pairs
        restored = restore_pairs(model, pairs)
        alone = restored
        if model.most_references != 0:
            nobody = pairs._replace(references=pairs.references[:, :0], present=pairs.present[:, :0])
            alone = restore_pairs(model, nobody)
        evaluation = Evaluation(
            step,
            round(psnr(restored, pairs.hr), 4),
            round(psnr(alone, pairs.hr), 4),
            round(self.bicubic, 4),
            None if self.lpips is None else round(mean_lpips(self.lpips, restored, pairs.hr), 4),
        )
        return evaluation, sample_sheet(pairs, restored, self.scale)


@torch.no_grad()
def restore_pairs(model: System, pairs: Batch) -> Tensor:
    """The restored pairs in full precision: B×3×S×S in [0, 1]."""
    split = (torch.split(tensor, EVALUATION_BATCH) for tensor in (pairs.lr, pairs.references, pairs.present))
    parts = [model(*inputs).hr for inputs in zip(*split, strict=True)]
    return torch.cat(parts).clamp(0, 1)


def upsample(lr: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement, B×3×H×W → B×3×sH×sW, in [0, 1]."""
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", antialias=True).clamp(0, 1)


def psnr(restored: Tensor, truth: Tensor) -> float:
    """Mean over images of the PSNR in dB: RGB, rounded to 8 bits, no border cut; B×3×S×S in [0, 1]."""
    difference = (restored * 255).round() - (truth * 255).round()
    mean_square = difference.square().flatten(1).mean(dim=1).clamp_min(1e-10)
    return float((10 * torch.log10(255**2 / mean_square)).mean())


def sample_sheet(pairs: Batch, restored: Tensor, scale: int) -> Tensor:
    """A row a pair: LR (nearest), bicubic, restored, truth, references; 3×height×width in [0, 1]."""
    lr = pairs.lr[:SAMPLES]
    columns = [F.interpolate(lr, scale_factor=scale, mode="nearest"), upsample(lr, scale)]
    columns += [restored[:SAMPLES], pairs.hr[:SAMPLES], *pairs.references[:SAMPLES].unbind(1)]
    return torch.cat([torch.cat(list(column), dim=1) for column in columns], dim=2).cpu()


def mean_lpips(network: LPIPS, restored: Tensor, truth: Tensor) -> float:
    """Mean LPIPS over images, rounded to 8 bits; B×3×S×S in [0, 1]."""
    rounded = ((image * 255).round() / 255 for image in (restored, truth))
    parts = zip(*(torch.split(image, EVALUATION_BATCH) for image in rounded), strict=True)
    return float(torch.cat([network.distances(*part) for part in parts]).mean())
