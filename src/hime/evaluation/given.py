"""Evaluation in the field's form: the damaged picture is handed over at the truth's size. Needs PyTorch.

    methods = [AnySize(restorer), AnySize(restorer, working=32)]
    evaluate(methods, root, entries, lr_size=256, list_name="list", degradation=Given("severe"))

Others' lists for restoration with references (ReF-LDM's FFHQ-Ref, InstantRestore's) hold such pictures:
blurred, reduced, with noise, compressed, and enlarged again. From how many pixels to restore is up to the
method.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from hime.errors import HimeError
from hime.pictures.arrays import Image
from hime.restoring.any_size import AnySizeRestoration, restore_any_size
from hime.restoring.restorer import Restorer
from hime.training.batches import step_generator
from hime.training.damage import gaussian


@dataclass(frozen=True)
class Ranges:
    """What a recipe of the field draws evenly, for pictures of `RECIPE_SIDE` pixels.

    Attributes:
        blur: standard deviation of the Gaussian in pixels.
        reduction: how many times smaller the sides become.
        noise: standard deviation in levels of 255.
        quality: of JPEG.
    """

    blur: tuple[float, float]
    reduction: tuple[float, float]
    noise: tuple[float, float]
    quality: tuple[int, int]


LEVELS = {
    "mild": Ranges((0, 2), (1, 4), (0, 8), (80, 100)),
    "moderate": Ranges((0, 8), (1, 8), (0, 15), (60, 100)),
    "gfpgan": Ranges((0.1, 10), (0.8, 8), (0, 20), (60, 100)),
    "codeformer": Ranges((0.1, 10), (1, 12), (0, 15), (60, 100)),
    "instantrestore": Ranges((0.1, 12), (1, 12), (10, 20), (10, 19)),
    "severe": Ranges((8, 16), (8, 32), (0, 20), (30, 100)),
}
"""Published recipes by name, from mild to severe.

``moderate`` and ``severe`` are FFHQ-Ref-Moderate and FFHQ-Ref-Severe of ReF-LDM (Hsiao et al. 2024, section
4.3), ``gfpgan`` is GFPGAN's training (Wang et al. 2021; ``options/train_gfpgan_v1_simple.yml``),
``codeformer`` CodeFormer's last stage (Zhou et al. 2022; ``options/CodeFormer_stage3.yml``),
``instantrestore`` InstantRestore's (Zhang et al. 2025; ``restore_dataset.py`` of its code). ``mild`` begins
at nothing and ends where a fixed setting stands that ReF-LDM's ``ldm/data/ir.py`` names in passing (blur 2,
×4, noise 8, quality 80).
"""

RECIPE_SIDE = 512
"""Pixels of the pictures that the recipes are made for."""
KERNEL_SIDE = 41
"""Where the recipes cut the Gaussian off, in pixels of such a picture."""


@dataclass(frozen=True)
class Given:
    """A damaged picture that is handed over at the truth's size, as others' evaluation lists do.

    Blurred, reduced, with noise, compressed, enlarged again: x = up(JPEG(down(truth ∗ k) + n)), the model of
    GFPGAN that ReF-LDM, CodeFormer and InstantRestore took over. The Gaussian is round or, in every second
    picture, drawn out in one direction; both resizings are bilinear without antialiasing, noise is of all
    colours. Blur and reduction are those for `RECIPE_SIDE` pixels, brought to the truth's size.

    Args:
        level: a name of `LEVELS`.
        seed: the same seed, level and entry give the same picture.
    """

    level: str
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a level that does not exist."""
        if self.level not in LEVELS:
            raise HimeError(f"degradation {self.level!r}: with --given-size, choose {', '.join(LEVELS)}")

    def __str__(self) -> str:
        ranges = LEVELS[self.level]
        told = (
            f"{name} {low:g}–{high:g}"
            for name, (low, high) in (
                ("blur", ranges.blur),
                ("reduction", ranges.reduction),
                ("noise", ranges.noise),
                ("JPEG", ranges.quality),
            )
        )
        return f"{self.level} ({', '.join(told)}), given at the truth's size, seed {self.seed}"

    def __call__(self, truth: Image, scale: int, number: int) -> Image:
        """The damaged picture of entry ``number``: uint8 S×S×3 → S×S×3, whatever ``scale``."""
        ranges, size = LEVELS[self.level], len(truth)
        generator = step_generator(self.seed, number, "given")

        def between(ends: tuple[float, float]) -> float:
            return ends[0] + (ends[1] - ends[0]) * float(torch.rand((), generator=generator))

        is_round = between((0, 1)) < 0.5
        along = between(ranges.blur)
        across = along if is_round else between(ranges.blur)
        angle = between((-math.pi, math.pi))
        side = min(size, math.floor(RECIPE_SIDE / between(ranges.reduction)))
        deviation, quality = between(ranges.noise) / 255, round(between(ranges.quality))

        image = torch.from_numpy(truth).permute(2, 0, 1).float() / 255
        pixel = size / RECIPE_SIDE
        image = _blurred(image, along * pixel, across * pixel, angle, round(KERNEL_SIDE // 2 * pixel))
        image = _bilinear(image, side)
        image = image + deviation * torch.randn(image.shape, generator=generator)
        file = io.BytesIO()
        PIL.Image.fromarray(_levels(image)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        decoded = torch.from_numpy(np.array(PIL.Image.open(file))).permute(2, 0, 1).float() / 255
        return _levels(_bilinear(decoded, size))


def _blurred(image: Tensor, along: float, across: float, angle: float, reach: int) -> Tensor:
    """3×S×S filtered by a Gaussian of these standard deviations in pixels, cut off at ``reach``."""
    kernel = gaussian(along, across, angle, reach)
    planes = F.pad(image[:, None], (reach,) * 4, mode="reflect")
    return F.conv2d(planes, (kernel / kernel.sum())[None, None])[:, 0]


def _bilinear(image: Tensor, side: int) -> Tensor:
    """3×S×S → 3×side×side, not antialiased: OpenCV's INTER_LINEAR, which the recipes use."""
    resized: Tensor = F.interpolate(image[None], (side, side), mode="bilinear", align_corners=False)[0]
    return resized


def _levels(image: Tensor) -> Image:
    levels: Image = image.clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return levels


@dataclass
class AnySize:
    """A restorer as a `hime.evaluation.evaluate.Method` for pictures that have the truth's size.

    Args:
        restorer: the model.
        working: the side in pixels that every picture is restored from; None: what
            `hime.restoring.any_size.working_side` chooses for it.
    """

    restorer: Restorer
    working: int | None = None
    scale: int = 1

    @property
    def name(self) -> str:
        """The model's."""
        return self.restorer.name

    def set_references(self, images: Sequence[Image]) -> None:
        """Pass them on."""
        self.restorer.set_references(images)

    def restore(self, lr: Image) -> AnySizeRestoration:
        """The picture restored, of its own size."""
        return restore_any_size(lr, self.restorer, len(lr), working=self.working)
