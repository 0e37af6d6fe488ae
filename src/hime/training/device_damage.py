"""The damages of `hime.training.damage` for many pictures at once, on whatever device they lie.

A training on a GPU degrades there: the same recipes, step for step, pictures whose next step is of one kind
together. What a step draws itself, noise, comes from the device's generator: the distribution is the same,
the numbers are not. WebP and H.264, which are made by libraries on the processor only, and the drawing of
dirt are done there, in threads.

Pictures of different sides share a tensor: K×3×m×m float32 in [0, 1], of which picture k fills the upper left
``sides[k]``×``sides[k]``; what lies beyond is meaningless.

Shapes: ``K`` pictures, ``m`` the largest side among them, ``R`` a reach in pixels.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor

from hime.pictures.arrays import LUMA
from hime.processors import usable_threads
from hime.training.damage import (
    BLOCK,
    Compress,
    Defocus,
    Gaussian,
    Mode,
    Motion,
    Noise,
    Print,
    Resize,
    Sharpen,
    Step,
)
from hime.training.jpeg import compressed


class Pictures(NamedTuple):
    """``pixels`` K×3×m×m, of which each picture fills ``sides`` (K); ``side``: of the LR that they become."""

    pixels: Tensor
    sides: list[int]
    side: int


@dataclass(frozen=True)
class Reduce:
    """The last reduction, to the LR side: bicubic."""


def degraded(hr: Tensor, side: int, steps: Sequence[Sequence[Step | Reduce]], seeds: Sequence[int]) -> Tensor:
    """Degrade pictures, each by steps of its own.

    Args:
        hr: K×3×S×S uint8.
        side: of the LR.
        steps: of each picture, in order; `Reduce` is one of them.
        seeds: of what each picture's steps draw themselves.

    Returns:
        K×3×side×side float32 in [0, 1], steps of 1/255.
    """
    device = hr.device
    generator = torch.Generator(device).manual_seed(seeds[0])
    own = [torch.Generator().manual_seed(seed) for seed in seeds]
    sides = [hr.shape[-1]] * len(hr)
    largest = max([hr.shape[-1], *(_side_after(step, side) for each in steps for step in each)])
    canvas = torch.zeros(len(hr), 3, largest, largest, device=device)
    canvas[..., : hr.shape[-1], : hr.shape[-1]] = hr.float() / 255
    left = [deque(each) for each in steps]
    with ThreadPoolExecutor(usable_threads()) as pool:
        while waiting := Counter(_kind(queue[0]) for queue in left if queue):
            on_device = {kind: count for kind, count in waiting.items() if kind in BATCHED}
            kind = max(on_device or waiting, key=lambda kind: waiting[kind])
            rows = [row for row, queue in enumerate(left) if queue and _kind(queue[0]) == kind]
            todo: list[Any] = [left[row].popleft() for row in rows]
            places = torch.tensor(rows, device=device)
            m = max(sides[row] for row in rows)
            pictures = Pictures(canvas[places, :, :m, :m], [sides[row] for row in rows], side)
            if kind in BATCHED:
                done = BATCHED[kind](pictures, todo, generator)
            else:
                done = _one_by_one(pictures, todo, [own[row] for row in rows], pool)
            m = done.pixels.shape[-1]
            canvas[places, :, :m, :m] = done.pixels
            for row, new in zip(rows, done.sides, strict=True):
                sides[row] = new
    return canvas[..., :side, :side].mul(255).round() / 255


def _kind(step: Step | Reduce) -> type | str:
    """What is done together: steps of a class, but JPEG apart from WebP."""
    return step.form if isinstance(step, Compress) else type(step)


def _side_after(step: Step | Reduce, side: int) -> int:
    """Of a picture that a resizing step has gone through."""
    return max(8, round(step.factor * side)) if isinstance(step, Resize) else side


def _numbers(like: Tensor, values: Sequence[float]) -> Tensor:
    """K×1×1, to be multiplied with grids."""
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None, None]


# -- blur -------------------------------------------------------------------------------------------------


def _gaussian(pictures: Pictures, steps: Sequence[Gaussian], _: torch.Generator) -> Pictures:
    sigmas = [
        tuple(max(sigma * size / pictures.side, 1 / 3) for sigma in (step.along, step.across))
        for step, size in zip(steps, pictures.sides, strict=True)
    ]
    reaches = [math.ceil(3 * max(both)) for both in sigmas]
    x, y = _grids(pictures.pixels, max(reaches), [step.angle for step in steps])
    first, second = (_numbers(x, [both[axis] for both in sigmas]) for axis in (0, 1))
    kernels = torch.exp(-0.5 * ((x / first) ** 2 + (y / second) ** 2))
    return _filtered(pictures, kernels * _within(kernels, reaches))


def _defocus(pictures: Pictures, steps: Sequence[Defocus], _: torch.Generator) -> Pictures:
    radii = [step.radius * size / pictures.side for step, size in zip(steps, pictures.sides, strict=True)]
    reaches = [math.ceil(radius) for radius in radii]
    x, y = _grids(pictures.pixels, max(reaches), [0.0] * len(steps))
    kernels = (_numbers(x, radii) + 0.5 - (x**2 + y**2).sqrt()).clamp(0, 1)
    return _filtered(pictures, kernels * _within(kernels, reaches))


def _motion(pictures: Pictures, steps: Sequence[Motion], _: torch.Generator) -> Pictures:
    """Bows drawn point by point, as `Motion` does, those of all pictures at once."""
    like = pictures.pixels
    lengths = [step.length * size / pictures.side for step, size in zip(steps, pictures.sides, strict=True)]
    counts = [max(2, math.ceil(2 * length)) for length in lengths]
    length, angle, bend, count = (
        _numbers(like, values)[:, 0]
        for values in (lengths, [step.angle for step in steps], [step.bend for step in steps], counts)
    )
    places = torch.arange(max(counts), device=like.device)
    is_point = places < count
    heading = angle + bend * (places / (count - 1) - 0.5)
    x, y = (way(heading).cumsum(1) * length / count for way in (torch.cos, torch.sin))
    x, y = (way - (way * is_point).sum(1, keepdim=True) / count for way in (x, y))
    reach = math.ceil(max(lengths)) + 2
    kernels = torch.zeros(len(steps), 2 * reach + 1, 2 * reach + 1, device=like.device)
    rows = torch.arange(len(steps), device=like.device)[:, None].expand_as(x)
    left, top = x.floor(), y.floor()
    for right in (0, 1):
        for down in (0, 1):
            weight = (1 - (x - left - right).abs()) * (1 - (y - top - down).abs()) * is_point
            where = [(way + reach).long().clamp(0, 2 * reach) for way in (top + down, left + right)]
            kernels.index_put_((rows, *where), weight, accumulate=True)
    return _filtered(pictures, kernels)


def _sharpen(pictures: Pictures, steps: Sequence[Sharpen], generator: torch.Generator) -> Pictures:
    blurs = [Gaussian(step.radius, step.radius, 0.0) for step in steps]
    blurred = _gaussian(pictures, blurs, generator).pixels
    amount = _numbers(blurred, [step.amount for step in steps])[:, None]
    sharp = pictures.pixels + amount * (pictures.pixels - blurred)
    return pictures._replace(pixels=sharp.clamp(0, 1))


def _grids(like: Tensor, reach: int, angles: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Coordinates x and y of kernels, K×(2R+1)×(2R+1), each turned by its angle."""
    places = torch.arange(-reach, reach + 1, dtype=torch.float32, device=like.device)
    y, x = torch.meshgrid(places, places, indexing="ij")
    cosine, sine = (_numbers(like, [way(angle) for angle in angles]) for way in (math.cos, math.sin))
    return x * cosine + y * sine, y * cosine - x * sine


def _within(kernels: Tensor, reaches: Sequence[int]) -> Tensor:
    """1 where a kernel reaches as far as its own width, 0 beyond."""
    reach = kernels.shape[-1] // 2
    places = torch.arange(-reach, reach + 1, device=kernels.device).abs()
    return (torch.maximum(places, places[:, None]) <= _numbers(kernels, reaches)).float()


def _filtered(pictures: Pictures, kernels: Tensor) -> Pictures:
    """Each picture, its borders drawn out, correlated with its kernel, which is made to sum to 1."""
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    reach, m = kernels.shape[-1] // 2, pictures.pixels.shape[-1]
    planes = _drawn_out(pictures, m + 2 * reach, [(reach, reach)] * len(pictures.sides))
    size = [scipy.fft.next_fast_len(m + 2 * reach, real=True)] * 2
    spectrum = torch.fft.rfft2(planes, size) * torch.fft.rfft2(kernels.flip(1, 2), size)[:, None]
    filtered = torch.fft.irfft2(spectrum, size)[..., 2 * reach : m + 2 * reach, 2 * reach : m + 2 * reach]
    return pictures._replace(pixels=filtered)


def _drawn_out(pictures: Pictures, size: int, corners: Sequence[tuple[int, int]]) -> Tensor:
    """K×3×size×size in which each picture begins at its corner (row, column) and its borders go on."""
    pixels = pictures.pixels
    last = torch.tensor(pictures.sides, device=pixels.device)[:, None] - 1
    before = torch.tensor(corners, device=pixels.device)
    places = torch.arange(size, device=pixels.device)
    down, across = (torch.minimum((places - before[:, axis, None]).clamp_min(0), last) for axis in (0, 1))
    rows = pixels.gather(2, down[:, None, :, None].expand(-1, 3, -1, pixels.shape[-1]))
    return rows.gather(3, across[:, None, None, :].expand(-1, 3, size, -1))


# -- noise, print -----------------------------------------------------------------------------------------


class Grain(NamedTuple):
    """Numbers of a standard normal: ``fine`` K×2×3×m×m, of what is the same everywhere and of what grows
    with brightness; ``cells`` K×3×n×n, of blotches, or None.
    """

    fine: Tensor
    cells: Tensor | None


def _noise(pictures: Pictures, steps: Sequence[Noise], generator: torch.Generator) -> Pictures:
    count, _, m, _ = pictures.pixels.shape
    fine = torch.randn((count, 2, 3, m, m), generator=generator, device=pictures.pixels.device)
    grey = _numbers(fine, [step.grey for step in steps])[:, :, :, None, None] > 0
    fine = torch.where(grey, fine[:, :, :1], fine)
    cells = None
    if any(step.blotches for step in steps):
        n = max(_cells(step, pictures.side) for step in steps)
        cells = torch.randn((count, 3, n, n), generator=generator, device=fine.device)
    return with_noise(pictures, steps, Grain(fine, cells))


def _cells(step: Noise, side: int) -> int:
    return max(2, round(side / step.cell)) if step.blotches else 2


def with_noise(pictures: Pictures, steps: Sequence[Noise], grain: Grain) -> Pictures:
    """`Noise` with the numbers given."""
    pixels, sides, side = pictures
    gain, everywhere, shot, blotches = (
        _numbers(pixels, values)[:, None]
        for values in (
            [size / side for size in sides],
            [step.everywhere for step in steps],
            [step.shot for step in steps],
            [step.blotches for step in steps],
        )
    )
    brightness = pixels.clamp_min(0).sqrt()
    noisy = pixels + gain * (everywhere * grain.fine[:, 0] + shot * brightness * grain.fine[:, 1])
    if grain.cells is not None:
        cells = grain.cells
        cells = cells - (cells * torch.tensor(LUMA, device=cells.device)[:, None, None]).sum(1, keepdim=True)
        sizes = [_cells(step, side) for step in steps]
        weights = _weights(sizes, sides, cells.shape[-1], pixels)
        noisy += blotches * (weights @ cells @ weights.transpose(-1, -2))
    return pictures._replace(pixels=noisy.clamp(0, 1))


def _print(pictures: Pictures, steps: Sequence[Print], _: torch.Generator) -> Pictures:
    pixels = pictures.pixels
    pitch = [
        2 * math.pi * pictures.side / (size * step.pitch)
        for step, size in zip(steps, pictures.sides, strict=True)
    ]
    places = torch.arange(pixels.shape[-1], device=pixels.device) * _numbers(pixels, pitch)
    x, y = places[:, None], places.transpose(1, 2)[:, None]  # K×1×1×m, K×1×m×1
    is_one = [step.grey or step.kind == "relief" for step in steps]
    turns = [[step.angle + (0.0 if one else turn * math.pi / 6) for turn in range(3)]
             for step, one in zip(steps, is_one, strict=True)]  # fmt: skip
    angle = torch.tensor(turns, device=pixels.device)[:, :, None, None]
    cosine, sine = angle.cos(), angle.sin()
    wave = ((cosine * x - sine * y).cos() + (sine * x + cosine * y).cos()) / 2
    strength = _numbers(pixels, [step.strength for step in steps])[:, None]
    relief = (pixels * (1 + 0.3 * strength * wave)).clamp(0, 1)
    dots = torch.lerp(pixels, torch.sigmoid(8 * (pixels - 0.5 - 0.5 * wave)), strength)
    is_relief = _numbers(pixels, [step.kind == "relief" for step in steps])[:, None] > 0
    return pictures._replace(pixels=torch.where(is_relief, relief, dots))


# -- size -------------------------------------------------------------------------------------------------


def _resize(pictures: Pictures, steps: Sequence[Resize], _: torch.Generator) -> Pictures:
    sizes = [_side_after(step, pictures.side) for step in steps]
    return _resized(pictures, sizes, [step.mode for step in steps])


def _reduce(pictures: Pictures, steps: Sequence[Reduce], _: torch.Generator) -> Pictures:
    return _resized(pictures, [pictures.side] * len(steps), ["bicubic"] * len(steps))


def _resized(pictures: Pictures, sizes: list[int], modes: Sequence[Mode]) -> Pictures:
    """Each picture at a size of its own."""
    pixels, sides, _ = pictures
    weights = torch.zeros(len(sizes), max(sizes), pixels.shape[-1], device=pixels.device)
    for row, (before, after, mode) in enumerate(zip(sides, sizes, modes, strict=True)):
        weights[row, :after, :before] = resampling(before, after, mode, pixels.device)
    resized = (weights @ _cleared(pictures).transpose(0, 1) @ weights.transpose(1, 2)).transpose(0, 1)
    return pictures._replace(pixels=resized.clamp(0, 1), sides=sizes)


def _weights(before: Sequence[int], after: Sequence[int], width: int, like: Tensor) -> Tensor:
    """K×1×m×width matrices that resize pictures of ``before`` pixels to ``after``, smooth, zero beyond."""
    weights = torch.zeros(len(before), 1, like.shape[-1], width, device=like.device)
    for row, (first, last) in enumerate(zip(before, after, strict=True)):
        weights[row, 0, :last, :first] = resampling(first, last, "smooth", like.device)
    return weights


def _cleared(pictures: Pictures) -> Tensor:
    """The pixels, with zeros where there is no picture."""
    places = torch.arange(pictures.pixels.shape[-1], device=pictures.pixels.device)
    inside = places < torch.tensor(pictures.sides, device=places.device)[:, None]
    return pictures.pixels.where((inside[:, :, None] & inside[:, None, :])[:, None], 0)


@lru_cache(maxsize=4096)
def resampling(before: int, after: int, mode: Mode | str, device: torch.device) -> Tensor:
    """The matrix by which a row of ``before`` pixels becomes one of ``after``, after×before float32.

    It is what PyTorch makes of the rows of an identity; ``smooth``: bicubic without a filter against aliases.
    """
    rows = torch.eye(before)[None, None]
    if mode == "area":
        resized = F.interpolate(rows, (before, after), mode="area")
    elif mode == "smooth":
        resized = F.interpolate(rows, (before, after), mode="bicubic", align_corners=False)
    else:
        resized = F.interpolate(rows, (before, after), mode=mode, antialias=True, align_corners=False)
    return resized[0, 0].T.contiguous().to(device)


# -- compression, and what is done one by one -------------------------------------------------------------


def _jpeg(pictures: Pictures, steps: Sequence[Compress], _: torch.Generator) -> Pictures:
    pixels, sides = pictures[:2]
    corners = [step.corner for step in steps]
    m = pixels.shape[-1]
    size = max(max(corner) + side for corner, side in zip(corners, sides, strict=True))
    size += -size % BLOCK
    levels = _drawn_out(pictures._replace(pixels=pixels.mul(255).round()), size, corners)
    levels = compressed(levels, torch.tensor([step.quality for step in steps], device=pixels.device))
    before = torch.tensor(corners, device=pixels.device)
    places = torch.arange(m, device=pixels.device)
    down, across = ((places + before[:, axis, None]).clamp_max(size - 1) for axis in (0, 1))
    rows = levels.gather(2, down[:, None, :, None].expand(-1, 3, -1, size))
    cut = rows.gather(3, across[:, None, None, :].expand(-1, 3, m, -1))
    return pictures._replace(pixels=cut / 255)


def _one_by_one(
    pictures: Pictures,
    steps: Sequence[Step],
    generators: Sequence[torch.Generator],
    pool: ThreadPoolExecutor,
) -> Pictures:
    """Steps on the processor, in threads: the codecs let others run meanwhile."""
    found = pictures.pixels.cpu()

    def do(row: int) -> None:
        size = pictures.sides[row]
        image = found[row, :, :size, :size]
        found[row, :, :size, :size] = steps[row](image.clone(), pictures.side, generators[row])

    list(pool.map(do, range(len(steps))))
    return pictures._replace(pixels=found.to(pictures.pixels.device))


BATCHED: dict[type | str, Callable[[Pictures, Any, torch.Generator], Pictures]] = {
    Gaussian: _gaussian,
    Defocus: _defocus,
    Motion: _motion,
    Sharpen: _sharpen,
    Noise: _noise,
    Print: _print,
    Resize: _resize,
    Reduce: _reduce,
    "JPEG": _jpeg,
}
"""What is done for many pictures at once; dirt, H.264 and WebP are done one by one."""
