"""How an LR headshot comes from its HR photo: the paper's bicubic reduction, or a realistic one.

The realistic degradation puts blur, resizing, sensor noise and JPEG compression one after the other in
random order and strength, as BSRGAN (Zhang et al. 2021) and Real-ESRGAN (Wang et al. 2021) do; the ranges
are ours, for headshots that were small in their picture rather than ruined. A `Recipe` holds all that was
drawn, so that the same recipe always gives the same picture. Released figures rest on these pictures: what
a seed gives stays as it is. All that happens to photos is another degradation, ``photos``, and what
happens to frames of a clip a third, ``frames``, both in `hime.training.photo_recipe`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from hime.training.damage import MODES, Compress, Gaussian, Mode, Noise, Resize, Step, gaussian, to_size
from hime.training.device_damage import Reduce, degraded
from hime.training.photo_recipe import PhotoRecipe, draw_frame_recipe, draw_photo_recipe, photo_lr

DegradationName = Literal["bicubic", "realistic", "photos", "frames"]

STRENGTHS = {"mild": 1 / 3, "medium": 2 / 3, "strong": 1.0}
"""Named upper ends of what `draw_recipe` draws."""

MAXIMUM_BLUR = 0.9
"""Standard deviation in LR pixels; the reduction itself is about 0.5."""
MAXIMUM_NOISE = 0.08
"""Standard deviation, of 1."""
WORST_QUALITY, BEST_QUALITY = 30, 95
"""Of JPEG, as libjpeg counts."""


def bicubic_lr(hr: Tensor, scale: int) -> Tensor:
    """Shrink 8-bit HR images by ``scale``: B×3×sH×sW uint8 → B×3×H×W float32 in [0, 1], steps of 1/255.

    Antialiased bicubic (a = −0.5), columns first, rounded to 8 bits after each of the two passes as Pillow
    does: the same as ``hime.pictures.arrays.downscale`` but for rare ties, which differ by one step of 1/255.
    """
    height, width = hr.shape[-2] // scale, hr.shape[-1] // scale
    narrow = _shrink(hr.float(), (hr.shape[-2], width))
    return _shrink(narrow, (height, width)).div_(255)


def _shrink(image: Tensor, size: tuple[int, int]) -> Tensor:
    shrunk = F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)
    return shrunk.add_(0.5).floor_().clamp_(0, 255)  # Pillow rounds halves up, round_() to even


@dataclass(frozen=True)
class Recipe:
    """All that was drawn for one realistic degradation.

    Attributes:
        order: of the steps before the last reduction.
        blur: standard deviations of the Gaussian along its axes in LR pixels, and its angle in radians.
        resize: side of the intermediate size as a multiple of the LR side, and how it is reached.
        noise: standard deviations, of 1, of noise that is the same everywhere and of noise that grows with
            the root of brightness; and whether it is grey.
        jpeg: qualities of the compression among the steps and after the last reduction; 0 for none.
        seed: of the noise.
    """

    order: tuple[str, ...]
    blur: tuple[float, float, float]
    resize: tuple[float, Mode]
    noise: tuple[float, float, bool]
    jpeg: tuple[int, int]
    seed: int


def draw_recipe(generator: torch.Generator, strength: float = 1.0) -> Recipe:
    """Draw a recipe; ``strength`` in [0, 1] scales the worst that can happen to each property."""

    def upto(limit: float) -> float:
        return limit * strength * float(torch.rand((), generator=generator))

    def choose(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    def quality() -> int:
        compressed = choose(4) > 0
        drawn = round(BEST_QUALITY - upto(BEST_QUALITY - WORST_QUALITY))
        return drawn if compressed else 0

    steps = ("blur", "resize", "noise", "jpeg")
    order = tuple(steps[place] for place in torch.randperm(len(steps), generator=generator).tolist())
    larger = choose(2) > 0
    factor = 1 + upto(1.0) if larger else 1 / (1 + upto(0.5))
    return Recipe(
        order=order,
        blur=(upto(MAXIMUM_BLUR), upto(MAXIMUM_BLUR), math.pi * float(torch.rand((), generator=generator))),
        resize=(factor, MODES[choose(3)]),
        noise=(upto(MAXIMUM_NOISE), upto(MAXIMUM_NOISE), choose(2) > 0),
        jpeg=(quality(), quality()),
        seed=choose(2**31),
    )


def realistic_lr(hr: Tensor, side: int, recipe: Recipe) -> Tensor:
    """One square 8-bit HR photo 3×S×S uint8 → its LR version 3×side×side uint8, by ``recipe``."""
    steps = {"blur": _blur, "resize": _resize, "noise": _noise, "jpeg": _jpeg}
    image = hr.float() / 255
    for name in recipe.order:
        image = steps[name](image, side, recipe)
    image = to_size(image, side, "bicubic")
    return _compress(image, recipe.jpeg[1]).mul(255).round().to(torch.uint8)


def draw_recipes(
    degradation: DegradationName, strengths: Sequence[float], generator: torch.Generator
) -> list[Recipe] | list[PhotoRecipe] | None:
    """A recipe of that degradation for each strength; None for bicubic, which needs none."""
    if degradation == "realistic":
        return [draw_recipe(generator, strength) for strength in strengths]
    if degradation == "photos":
        return [draw_photo_recipe(generator, strength) for strength in strengths]
    if degradation == "frames":
        return [draw_frame_recipe(generator, strength) for strength in strengths]
    return None


def lr_on_device(hr: Tensor, side: int, recipes: Sequence[Recipe | PhotoRecipe]) -> Tensor:
    """LR headshots by the recipes, made where ``hr`` lies: K×3×S×S uint8 → K×3×side×side float32 in [0, 1].

    Steps are those of `lr_by`, within rounding; noise is drawn by the device.
    """
    return degraded(hr, side, [steps_of(recipe) for recipe in recipes], [recipe.seed for recipe in recipes])


def steps_of(recipe: Recipe | PhotoRecipe) -> tuple[Step | Reduce, ...]:
    """All that a recipe does, in order."""
    if isinstance(recipe, PhotoRecipe):
        return (*recipe.steps, Reduce(), *recipe.last_steps)
    first, last = ([Compress("JPEG", quality, (0, 0))] * (quality > 0) for quality in recipe.jpeg)
    steps: dict[str, list[Step]] = {
        "blur": [Gaussian(*recipe.blur)],
        "resize": [Resize(*recipe.resize)],
        "noise": [Noise(*recipe.noise)],
        "jpeg": [*first],
    }
    return (*(step for name in recipe.order for step in steps[name]), Reduce(), *last)


def lr_by(recipe: Recipe | PhotoRecipe, hr: Tensor, side: int) -> Tensor:
    """`realistic_lr` or `photo_lr`, whichever the recipe is for."""
    if isinstance(recipe, PhotoRecipe):
        return photo_lr(hr, side, recipe)
    return realistic_lr(hr, side, recipe)


def _blur(image: Tensor, side: int, recipe: Recipe) -> Tensor:
    along, across, angle = recipe.blur
    per_lr_pixel = image.shape[-1] / side
    kernel = gaussian(along * per_lr_pixel, across * per_lr_pixel, angle)
    planes = F.pad(image[:, None], (kernel.shape[-1] // 2,) * 4, mode="replicate")
    return F.conv2d(planes, (kernel / kernel.sum())[None, None])[:, 0]


def _resize(image: Tensor, side: int, recipe: Recipe) -> Tensor:
    return Resize(*recipe.resize)(image, side, torch.Generator())


def _noise(image: Tensor, side: int, recipe: Recipe) -> Tensor:
    return Noise(*recipe.noise)(image, side, torch.Generator().manual_seed(recipe.seed))


def _jpeg(image: Tensor, side: int, recipe: Recipe) -> Tensor:
    return _compress(image, recipe.jpeg[0])


def _compress(image: Tensor, quality: int) -> Tensor:
    """The image after JPEG of that quality with halved colour, in [0, 1]; as it is for quality 0."""
    if quality == 0:
        return image
    pixels = image.mul(255).round().to("cpu", torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    decoded = torch.from_numpy(np.array(PIL.Image.open(file)))
    return decoded.permute(2, 0, 1).to(image.device, torch.float32) / 255
