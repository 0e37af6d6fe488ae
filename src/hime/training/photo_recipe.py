"""What photographs go through before a face in them is to be restored: the degradation ``photos``.

Where ``realistic`` (`hime.training.degradation`) stays with faces that were small in a good picture, this
has the rest: lenses out of focus and moved, night noise with blotches of colour, prints and their scans,
phones that sharpen, screenshots, messengers that compress twice, video frames; and pictures that are grey,
sepia, faded, tinted or dim. Each step is in `hime.training.damage`. Blur, resizing, noise and compression one
after the other are those of BSRGAN (Zhang et al. 2021) and Real-ESRGAN (Wang et al. 2021), scratches and
fading follow "Bringing Old Photos Back to Life" (Wan et al. 2020); the shares and ranges are ours, chosen by
eye on contact sheets.

The hue is the picture's own and no damage: `toned` gives it to the target, and the LR is made of that, so
that a network learns to keep it. References stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hime.pictures.arrays import LUMA
from hime.training.damage import (
    BLOCK,
    H264,
    MODES,
    Compress,
    Defocus,
    Dirt,
    Gaussian,
    Motion,
    Noise,
    Print,
    Resize,
    Sharpen,
    Step,
    to_size,
)


@dataclass(frozen=True)
class PhotoRecipe:
    """All that was drawn for one picture.

    Attributes:
        tone: 3×4, what becomes of the colours (see `toned`); None: nothing.
        steps: before the last reduction to the LR side.
        last_steps: after it.
        seed: of the steps that draw themselves: noise, dirt.
    """

    tone: tuple[tuple[float, ...], ...] | None
    steps: tuple[Step, ...]
    last_steps: tuple[Step, ...]
    seed: int


def photo_lr(hr: Tensor, side: int, recipe: PhotoRecipe) -> Tensor:
    """One square 8-bit HR photo 3×S×S uint8, `toned` already, → its LR version 3×side×side uint8."""
    generator = torch.Generator().manual_seed(recipe.seed)
    image = hr.to("cpu", torch.float32) / 255
    for step in recipe.steps:
        image = step(image, side, generator)
    if image.shape[-1] != side:
        image = to_size(image, side, "bicubic")
    for step in recipe.last_steps:
        image = step(image, side, generator)
    return image.mul(255).round().to(torch.uint8)


def tones(recipes: Sequence[object]) -> Tensor | None:
    """The tones of a batch, B×3×4 float32, for `toned`; None where no recipe has one."""
    each = [recipe.tone if isinstance(recipe, PhotoRecipe) else None for recipe in recipes]
    if not any(each):
        return None
    return torch.stack([torch.eye(3, 4) if tone is None else torch.tensor(tone) for tone in each])


def toned(images: Tensor, matrices: Tensor) -> Tensor:
    """B×3×H×W uint8 with each colour (r, g, b, 1) of [0, 1] multiplied by its picture's 3×4 matrix."""
    matrices = matrices.to(images.device, non_blocking=True)
    coloured = torch.einsum("bij,bjhw->bihw", matrices[:, :, :3], images.float())
    coloured += 255 * matrices[:, :, 3, None, None]
    return coloured.round_().clamp_(0, 255).to(torch.uint8)


class _Dice:
    """Numbers from a generator; ``strength`` in [0, 1] scales what is drawn `upto`."""

    def __init__(self, generator: torch.Generator, strength: float) -> None:
        self.generator, self.strength = generator, strength

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def upto(self, limit: float, start: float = 0.0) -> float:
        return start + (limit - start) * self.strength * self.between(0, 1)

    def chance(self, share: float) -> bool:
        return self.between(0, 1) < share

    def whole(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.generator))

    def one(self, shares: dict[str, float]) -> str:
        weights = torch.tensor(list(shares.values()))
        return list(shares)[int(torch.multinomial(weights, 1, generator=self.generator))]

    def corner(self) -> tuple[int, int]:
        return self.whole(BLOCK), self.whole(BLOCK)


TONED = 0.2
"""Share of pictures that have another tone than the photo."""
TONES = {"grey": 0.4, "sepia": 0.15, "faded": 0.2, "tinted": 0.15, "dim": 0.1}
"""Shares among those."""
LENS = {"gaussian": 0.7, "defocus": 0.12, "motion": 0.12, "none": 0.06}
NIGHT = 0.1
PRINTED = 0.05
DIRTY = 0.08
SHARPENED = 0.1
WAYS = {"camera": 0.6, "messenger": 0.16, "screenshot": 0.08, "video": 0.16}
"""How the picture came to its owner."""


def draw_photo_recipe(generator: torch.Generator, strength: float = 1.0) -> PhotoRecipe:
    """Draw a recipe; ``strength`` in [0, 1] scales the worst that can happen to each property."""
    dice = _Dice(generator, strength)
    tone = _draw_tone(dice, dice.one(TONES)) if dice.chance(TONED) else None
    grey = tone is not None and len(set(tone)) == 1
    capture: list[Step] = [*_draw_lens(dice), _draw_noise(dice, grey)]
    if dice.chance(0.3):  # noise that a camera has smoothed, or a scan of grain
        capture.reverse()
    paper: list[Step] = []
    if dice.chance(PRINTED):
        kind: Literal["dots", "relief"] = "dots" if dice.chance(0.6) else "relief"
        pitch, angle = dice.between(0.7, 1.8), dice.between(0, math.pi)
        paper.append(Print(kind, pitch, angle, dice.upto(1.0, start=0.2), grey))
        paper.append(Gaussian(blur := dice.between(0.15, 0.45), blur, 0.0))
    if dice.chance(DIRTY):
        specks, scratches, hairs = (round(dice.upto(most, start=1)) for most in (12, 5, 2))
        paper.append(Dirt(specks, scratches * dice.whole(2), hairs * dice.whole(2)))
    steps, last_steps = _draw_way(dice)
    return PhotoRecipe(tone, (*capture, *paper, *steps), last_steps, dice.whole(2**31))


FRAME_DAMAGED = 0.35
"""Share of the frames of a good camera that moved or were compressed so that it shows."""


def draw_frame_recipe(generator: torch.Generator, strength: float = 1.0) -> PhotoRecipe:
    """What a face in a clip goes through, degradation ``frames``: mostly nothing, else motion and H.264.

    The codec works on the frame as it is stored, where the face is small: after the reduction, not before.
    """
    dice = _Dice(generator, strength)
    damaged = dice.chance(FRAME_DAMAGED)
    length, angle, bend = dice.upto(1.5, start=0.3), dice.between(0, 2 * math.pi), dice.between(-1.0, 1.0)
    moved, blurred = (dice.whole(5) - 2, dice.whole(5) - 2), dice.chance(0.5)
    codec = H264(round(dice.upto(32, start=18)), dice.corner(), moved)
    seed = dice.whole(2**31)
    if not damaged:
        return PhotoRecipe(None, (), (), seed)
    return PhotoRecipe(None, (Motion(length, angle, bend),) if blurred else (), (codec,), seed)


def _draw_tone(dice: _Dice, kind: str) -> tuple[tuple[float, ...], ...]:
    """The matrix of a kind of tone: less colour, other gains of the channels, less contrast, lifted black."""
    saturation, gains, contrast, lift = 1.0, (1.0, 1.0, 1.0), 1.0, (0.0, 0.0, 0.0)
    worn = dice.chance(0.5)
    if kind in ("grey", "sepia"):
        saturation = 0.0
        if worn:
            contrast, lift = dice.between(0.6, 1.0), (dice.between(0, 0.2),) * 3
    if kind == "sepia":
        warmth = dice.between(0.1, 0.5)
        gains = (1.0, 1 - warmth * dice.between(0.3, 0.6), 1 - warmth)
    elif kind == "faded":  # dyes fade one by one: black turns to the colour of those that are left
        saturation, contrast = dice.between(0.3, 0.9), dice.between(0.5, 0.9)
        bottom = dice.between(0.0, 0.2)
        lift = (bottom + dice.between(0, 0.15), bottom + dice.between(0, 0.1), bottom + dice.between(0, 0.1))
    elif kind == "tinted":
        saturation = dice.between(0.5, 1.1)
        warm, green = dice.between(-0.35, 0.45), dice.between(-0.12, 0.12)
        gains = (1 + min(warm, 0), 1 + green - abs(warm) * 0.35, 1 - max(warm, 0))
    elif kind == "dim":
        saturation, contrast = dice.between(0.6, 1.0), dice.between(0.3, 0.7)
    rows = []
    for channel in range(3):
        row = [(1 - saturation) * luma for luma in LUMA]
        row[channel] += saturation
        gain = contrast * gains[channel]
        rows.append((*(round(gain * weight, 5) for weight in row), round(lift[channel], 5)))
    return tuple(rows)


def _draw_lens(dice: _Dice) -> list[Step]:
    angle = dice.between(0, math.pi)
    kind = dice.one(LENS)
    if kind == "gaussian":
        return [Gaussian(dice.upto(1.1), dice.upto(1.1), angle)]
    if kind == "defocus":
        return [Defocus(dice.upto(2.0, start=0.4))]
    if kind == "motion":
        return [Motion(dice.upto(4.5, start=0.8), 2 * angle, dice.between(-1.0, 1.0))]
    return []


def _draw_noise(dice: _Dice, grey_picture: bool) -> Noise:
    grey = dice.chance(0.9 if grey_picture else 0.5)
    if not dice.chance(NIGHT):
        return Noise(dice.upto(0.08), dice.upto(0.08), grey)
    blotches = 0.0 if grey_picture else dice.upto(0.08)
    return Noise(dice.upto(0.04), dice.upto(0.12, start=0.03), grey, blotches, dice.between(2, 5))


def _draw_way(dice: _Dice) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Resizing, sharpening and compression: the steps before the last reduction, and after it."""

    def resize(smallest: float, largest: float) -> Resize:
        low, high = (limit**dice.strength for limit in (smallest, largest))
        return Resize(math.exp(dice.between(math.log(low), math.log(high))), MODES[dice.whole(3)])

    def compress(worst: int, webp: float = 0.1) -> Compress:
        quality = round(dice.upto(worst, start=95))
        return Compress("WEBP" if dice.chance(webp) else "JPEG", quality, dice.corner())

    way = dice.one(WAYS)
    steps: list[Step] = []
    if way == "camera":
        steps += [compress(30)] * dice.chance(0.5)
        steps.append(resize(1 / 2, 2.0))
        steps += [compress(30)] * dice.chance(0.5)
    elif way == "messenger":
        steps += [resize(1 / 1.5, 1.5), compress(30), resize(1 / 2, 1.2), compress(25, webp=0.4)]
    elif way == "screenshot":
        steps += [resize(1 / 2, 1.2), compress(35), Resize(dice.between(1.0, 2.5), "bilinear")]
    else:
        moved = (dice.whole(5) - 2, dice.whole(5) - 2)
        steps += [resize(1 / 2, 2.0), H264(round(dice.upto(38, start=20)), dice.corner(), moved)]
    if dice.chance(SHARPENED):
        place = dice.whole(len(steps) + 1)
        steps.insert(place, Sharpen(dice.upto(1.5), dice.between(0.4, 1.0)))
    last: tuple[Step, ...] = (compress(30),) if way == "camera" and dice.chance(0.6) else ()
    return tuple(steps), last
