"""Training batches: which photos are drawn, and the pairs made of their pixels.

Every random decision of step t comes from a generator seeded with (seed, t): a resumed training needs the
step number only. Decisions are made on the CPU for the whole batch (`draw`), pixels are gathered on the
photos' device (`gather`); a process of several takes its part of the same decisions, so that the batch of a
step does not depend on the number of processes. Beside a GPU, pixels are degraded there too.

Shapes: ``B`` batch, ``N`` references, ``S`` HR size, ``s`` scale; ``M`` photos.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from hime.training.degradation import DegradationName, Recipe, bicubic_lr, draw_recipes, lr_by, lr_on_device
from hime.training.labels import mirrored_where
from hime.training.photo_recipe import PhotoRecipe, toned, tones
from hime.training.photos import Photos
from hime.training.presets import ReferenceSampling

BLANK_LEVELS = (128, 0, 255)
"""Grey, black and white, the blank photos that a reference may become."""


class Batch(NamedTuple):
    """Training pairs on the photos' device.

    ``lr`` B×3×S/s×S/s and ``hr`` B×3×S×S, ``references`` B×N×3×S×S: float32 in [0, 1]; ``present`` B×N
    bool: False where the slot holds no reference (it is black then). ``labels``: what else is known of the
    targets, see `hime.training.labels`; of whole photos only.
    """

    lr: Tensor
    hr: Tensor
    references: Tensor
    present: Tensor
    labels: Mapping[str, Tensor] = MappingProxyType({})


def step_generator(seed: int, step: int, purpose: str = "batch") -> torch.Generator:
    """The CPU generator of one purpose at one step of one training."""
    digest = hashlib.blake2b(f"{seed}/{step}/{purpose}".encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


class Choice(NamedTuple):
    """What was drawn for B targets: all on the CPU.

    ``references`` B×N: rows of ``Photos``; ``present`` B×N bool; ``blank`` B×N: a grey level that replaces
    the photo, or −1; ``mirror_target``, ``mirror_references``: B bool; ``misalignment`` B×N×4: angle in
    radians, change of scale, shift to the right and down as shares of half the side.
    """

    references: Tensor
    present: Tensor
    blank: Tensor
    mirror_target: Tensor
    mirror_references: Tensor
    misalignment: Tensor


class Draw(NamedTuple):
    """All that was decided about the pairs of a step, on the CPU; `gather` adds the pixels of the photos.

    ``target`` B: rows of ``Photos``; ``choice``: of their references; ``scale``: s; ``lr_size``: the LR's
    side, None for S/s; ``window``: side in HR pixels that pairs are cut to, None for whole photos;
    ``corners`` B×2: of the `windows`, in LR pixels; ``degraded`` B×3×h×w uint8: the LR headshots where they
    are not simply the targets reduced; ``tones`` B×3×4: of targets and LR, see `toned`; ``pixels``: the
    photos themselves, where they were read with the draw; ``recipes`` B: of LR headshots that are still to be
    made, on the photos' device.
    """

    target: Tensor
    choice: Choice
    scale: int
    lr_size: int | None = None
    window: int | None = None
    corners: Tensor | None = None
    degraded: Tensor | None = None
    tones: Tensor | None = None
    pixels: Drawn | None = None
    recipes: tuple[Recipe | PhotoRecipe, ...] | None = None


class Drawn(NamedTuple):
    """Photos as they are stored: ``target`` B×3×S×S and ``references`` B×N×3×S×S uint8."""

    target: Tensor
    references: Tensor


def draw(
    photos: Photos,
    step: int,
    seed: int,
    batch_size: int,
    scale: int,
    sampling: ReferenceSampling,
    *,
    total_steps: int = 1,
    part: tuple[int, int] = (0, 1),
    lr_sizes: tuple[int, ...] | None = None,
    window: int | None = None,
    degradation: DegradationName = "bicubic",
    with_pixels: bool = False,
    on_device: bool = False,
) -> Draw:
    """Draw the training pairs of a step.

    Targets are drawn uniformly over ``photos.targets``; the number of references, the photos and their
    replacements as ``ReferenceSampling`` says. People with too few photos have fewer references.

    Args:
        photos: the training photos, with the pixels on the CPU for any degradation but bicubic.
        step: number of the step, from 0.
        seed: the training's seed.
        batch_size: pairs in all processes together.
        scale: s.
        sampling: how references are drawn; N is the number drawn for this step, at least 1 slot.
        total_steps: length of the training, for the temperature where ``anneal_steps`` is None.
        part: (process, processes); this one gets every ``processes``-th pair.
        lr_sizes: LR sides, one of which is drawn; None: S/s.
        window: side in HR pixels that pairs are cut to, see `windows`; S in `Batch` is then this.
        degradation: see `hime.training.degradation`; of all but bicubic, a strength is drawn for each pair.
        with_pixels: take the photos here, where they are to be read from files while a GPU computes.
        on_device: leave it to `gather` to degrade, on the photos' device.
    """
    generator = step_generator(seed, step)
    target = photos.targets[torch.randint(len(photos.targets), (batch_size,), generator=generator)]
    progress = min(step / max(sampling.anneal_steps or total_steps, 1), 1.0)
    choice = draw_references(photos, target, sampling, progress, generator)
    lr_size = None
    if lr_sizes is not None:
        lr_size = lr_sizes[int(torch.randint(len(lr_sizes), (), generator=generator))]
    recipes: Sequence[Recipe | PhotoRecipe] | None = None
    if degradation != "bicubic":
        strengths = torch.rand(batch_size, generator=generator).tolist()
        recipes = draw_recipes(degradation, strengths, generator)
    corners = None
    if window is not None:
        places = (photos.images.shape[-1] - window) // scale + 1
        corners = torch.randint(places, (batch_size, 2), generator=generator)
    mine = slice(part[0], None, part[1])
    drawn = Draw(
        target[mine],
        Choice(*(decision[mine] for decision in choice)),
        scale,
        lr_size,
        window,
        None if corners is None else corners[mine],
    )
    if with_pixels:
        drawn = drawn._replace(
            pixels=Drawn(photos.images[drawn.target], photos.images[drawn.choice.references])
        )
    if recipes is None:
        return drawn
    if on_device:
        return drawn._replace(tones=tones(recipes[mine]), recipes=tuple(recipes[mine]))
    return degrade(photos, drawn, recipes[mine])


class Draws(Dataset[Draw]):
    """The `Draw` of every step of a training, by its number: ``arguments`` are `draw`'s behind ``step``."""

    def __init__(self, photos: Photos, *arguments: Any, **more: Any) -> None:
        self.photos, self.arguments, self.more = photos, arguments, more

    def __getitem__(self, step: int) -> Draw:
        return draw(self.photos, step, *self.arguments, **self.more)


def draw_references(
    photos: Photos, target: Tensor, sampling: ReferenceSampling, progress: float, generator: torch.Generator
) -> Choice:
    """Draw references and flips for targets B, rows of ``photos``; ``progress`` 0 … 1: temperature.

    The number of references is drawn once for all of them, so that no work is done for empty slots; where it
    is none, one empty slot keeps every weight of the network in the gradient.
    """
    weights = torch.tensor(sampling.count_weights, dtype=torch.float32)
    wanted = int(torch.multinomial(weights, 1, generator=generator))
    batch, slots = len(target), min(max(wanted, 1), len(sampling.count_weights) - 1)
    first, count = photos.first[target][:, None], photos.count[target][:, None]

    def uniform() -> Tensor:
        return torch.rand(batch, slots, generator=generator)

    # The largest of logits + Gumbel noise are a draw by softmax(logits) without replacement.
    available = photos.similarity[target]
    noise = -torch.rand(available.shape, generator=generator).clamp_min(1e-20).log().neg().log()
    if sampling.temperature is None:
        logits = torch.where(available.isinf(), available, 0.0)
    else:
        start, end = sampling.temperature
        logits = available / (start ** (1 - progress) * end**progress)
    if available.shape[1] < slots:  # nobody has as many photos as there are slots
        padding = logits.new_full((batch, slots - available.shape[1]), -torch.inf)
        logits, noise = torch.cat([logits, padding], 1), torch.cat([noise, torch.zeros_like(padding)], 1)
    references = first + (logits + noise).topk(slots, dim=1).indices

    present = torch.arange(slots) < (count - 1).clamp_max(wanted)

    # Another person's photo: any of the others, stepping over this person's, in the order of who is shown.
    ordered, *run = photos.strangers
    start_of_own, own = (column[target][:, None] for column in run)
    others = len(photos) - own
    stranger = (uniform() * others).long().clamp_max(others - 1)
    stranger = ordered[torch.where(stranger >= start_of_own, stranger + own, stranger)]
    wrong = (uniform() < sampling.wrong) & (others > 0)
    references = torch.where(wrong, stranger, references)
    if sampling.wrong_person:  # drawn only if asked for: what a seed gave before stays as it was
        someone = (torch.rand(batch, generator=generator) < sampling.wrong_person)[:, None] & (others > 0)
        begin = photos.first[stranger[:, :1]]
        theirs = (stranger[:, :1] - begin + torch.arange(slots)) % photos.count[begin]
        references = torch.where(someone, begin + theirs, references)

    level = torch.tensor(BLANK_LEVELS)[torch.randint(len(BLANK_LEVELS), (batch, slots), generator=generator)]
    blank = torch.where(uniform() < sampling.blank, level, -1)
    blank = torch.where(present, blank, 0)
    references = torch.where(present, references, target[:, None])  # any row that exists: it is blanked

    coin = torch.rand(batch, generator=generator) < 0.5
    if sampling.flip == "none":
        coin = torch.zeros_like(coin)
    misalignment = torch.zeros(batch, slots, 4)
    if sampling.misalignment:
        misalignment = sampling.misalignment * (2 * torch.rand(batch, slots, 4, generator=generator) - 1)
    mirror_references = ~coin if sampling.flip == "uneven" else coin
    return Choice(references, present, blank, coin, mirror_references, misalignment)


def gather(photos: Photos, drawn: Draw) -> Batch:
    """The pixels of the pairs, on the photos' device."""
    device = photos.images.device
    choice = drawn.choice
    references, present, blank, _, mirror_references, misalignment = (
        decision.to(device, non_blocking=True) for decision in choice
    )
    hr = targets(photos, drawn)
    pixels = (
        photos.images[references]
        if drawn.pixels is None
        else drawn.pixels.references.to(device, non_blocking=True)
    )
    pixels = torch.where(mirror_references[:, None, None, None, None], pixels.flip(-1), pixels)
    blank = blank[:, :, None, None, None]
    pixels = torch.where(blank >= 0, blank.clamp_min(0).to(torch.uint8), pixels)
    if choice.misalignment.any():
        pixels = misaligned(pixels.flatten(0, 1), misalignment.flatten(0, 1)).unflatten(0, references.shape)
    if pixels.shape[-1] != hr.shape[-1]:
        pixels = reduced(pixels.flatten(0, 1), hr.shape[-1]).unflatten(0, references.shape)
    if drawn.recipes is not None:
        lr = lr_on_device(hr, hr.shape[-1] // drawn.scale, drawn.recipes)
    elif drawn.degraded is None:
        lr = bicubic_lr(hr, drawn.scale)
    else:
        lr = drawn.degraded.to(device, non_blocking=True).float().div_(255)
    batch = Batch(lr, hr.float().div_(255), pixels.float().div_(255), present)
    if drawn.window is None or drawn.corners is None:
        of_targets = {name: known[drawn.target] for name, known in photos.labels.items()}
        labels = mirrored_where(of_targets, choice.mirror_target)
        return batch._replace(labels={name: known.to(device) for name, known in labels.items()})
    return windows(batch, drawn.corners, drawn.window)


def targets(photos: Photos, drawn: Draw) -> Tensor:
    """The HR targets B×3×sH×sW uint8, on the photos' device."""
    device = photos.images.device
    mirrored = drawn.choice.mirror_target.to(device, non_blocking=True)
    hr = (
        photos.images[drawn.target.to(device, non_blocking=True)]
        if drawn.pixels is None
        else drawn.pixels.target.to(device, non_blocking=True)
    )
    hr = torch.where(mirrored[:, None, None, None], hr.flip(-1), hr)
    if drawn.lr_size is not None and drawn.lr_size * drawn.scale != hr.shape[-1]:
        hr = reduced(hr, drawn.lr_size * drawn.scale)
    return hr if drawn.tones is None else toned(hr, drawn.tones)


def degrade(photos: Photos, drawn: Draw, recipes: Sequence[Recipe | PhotoRecipe]) -> Draw:
    """``drawn`` with the tones of the recipes and the LR headshots that they give.

    Made one by one on the CPU, where JPEG is, and so the same whatever the training runs on.
    """
    drawn = drawn._replace(tones=tones(recipes))
    hr = targets(photos, drawn).cpu()
    side = hr.shape[-1] // drawn.scale
    lr = [lr_by(recipe, photo, side) for photo, recipe in zip(hr, recipes, strict=True)]
    return drawn._replace(degraded=torch.stack(lr))


def windows(batch: Batch, corners: Tensor, side: int) -> Batch:
    """``batch`` cut to one window a pair, which LR, target and references share.

    Args:
        batch: whole photos.
        corners: B×2, row and column of each window's upper left corner in LR pixels.
        side: of the windows in HR pixels, a multiple of the scale.
    """
    scale = batch.hr.shape[-1] // batch.lr.shape[-1]

    def cut(images: Tensor, factor: int) -> Tensor:
        length = side * factor // scale
        pairs = zip(images, (corners * factor).tolist(), strict=True)
        return torch.stack([each[..., y : y + length, x : x + length] for each, (y, x) in pairs])

    return Batch(cut(batch.lr, 1), cut(batch.hr, scale), cut(batch.references, scale), batch.present)


def misaligned(images: Tensor, moves: Tensor) -> Tensor:
    """M×3×S×S uint8 turned, scaled and shifted by M×4 (see ``Choice``); beyond the border it goes on."""
    angle, growth, right, down = moves.unbind(1)
    cosine, sine = angle.cos() * (1 + growth), angle.sin() * (1 + growth)
    rows = torch.stack([torch.stack([cosine, -sine, right], 1), torch.stack([sine, cosine, down], 1)], 1)
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return moved.round_().to(torch.uint8)


def reduced(images: Tensor, side: int) -> Tensor:
    """M×3×S×S uint8 → M×3×side×side uint8, antialiased."""
    small = F.interpolate(images.float(), (side, side), mode="bicubic", antialias=True)
    return small.round_().clamp_(0, 255).to(torch.uint8)


def evaluation_pairs(
    photos: Photos,
    pairs: int,
    scale: int,
    references: int,
    seed: int = 0,
    lr_size: int | None = None,
    degradation: DegradationName = "bicubic",
) -> Batch:
    """Fixed pairs for the periodic evaluation: at most ``pairs`` different targets.

    Each has ``references`` photos of its person, drawn uniformly (fewer where there are fewer).
    """
    generator = step_generator(seed, 0, "evaluation")
    target = photos.targets[torch.randperm(len(photos.targets), generator=generator)[:pairs].sort().values]
    sampling = ReferenceSampling(
        count_weights=(0.0,) * references + (1.0,), temperature=None, blank=0.0, wrong=0.0, flip="none"
    )
    choice = draw_references(photos, target, sampling, 1.0, generator)
    recipes = draw_recipes(degradation, [1.0] * len(target), generator)
    drawn = Draw(target, choice, scale, lr_size)
    if recipes is not None:
        drawn = degrade(photos, drawn, recipes)
    return gather(photos, drawn)
