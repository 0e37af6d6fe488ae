"""A headshot of any size and any sharpness, restored.

    restorer.set_references(photos)
    restored = restore_any_size(headshot, restorer, side=256)
    restored.image, restored.passes

A model knows faces of certain sizes in certain condition: its LR headshots are small, not blurred. So a
blurred headshot is reduced to the pixels that its detail fills (`hime.restoring.detail`), which makes a small
sharp one of it, and restored from there. Where more pixels are wanted than come out, the result is reduced by
half and restored again, as often as needed; of each further pass only what is finer than the pass before is
taken, so that the likeness stays as the first pass made it. What is sharp for its size stays as it is.

`OVERSAMPLING` and where a headshot counts as sharp were chosen on training people of CelebA, the damages of
`hime.evaluation.given.LEVELS`; results are in ``docs/photos.md``.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hime.errors import HimeError
from hime.pictures.arrays import Image, check_image, lanczos, resize
from hime.restoring.detail import Detail, measure
from hime.restoring.restorer import MINIMUM_SIDE, References, Restoration, Restorer, check_strength

Result = TypeVar("Result")

WORKING_SIDES = (24, 32, 48, 64, 96, 128)
"""Sides in pixels that headshots are reduced to: few, so that references are encoded for few. From 16 pixels,
worse comes out whatever the headshot shows."""
OVERSAMPLING = 1.5
"""So many times the side that its detail fills, a headshot is restored best at: the models take away some
blur by themselves."""
SHARP_SIDE, SHARP_NOISE, SHARP_BLOCKS = 100.0, 12.0, 0.4
"""A headshot with at least that detail and at most that noise and those blocks (`Detail`) is sharp: nine of
ten photographs with 256 pixels and more are."""
WORTH_REDUCING = 1.2
"""A headshot that is larger than that by less is restored as it is."""
WORTH_A_PASS = 1.25
"""Where the wanted side is larger than the result by less, the result is enlarged by Lanczos."""
LARGEST_SIDE = 512
"""Of what passes restore; what is wanted beyond is enlarged by Lanczos."""


@dataclass(frozen=True)
class AnySizeRestoration(Restoration):
    """What came out of one headshot; ``scores`` and ``shares`` are the first pass's, empty if it was left.

    Attributes:
        lr: what the first pass restored, uint8 H×H×3; the headshot itself if it was left.
        detail: what was measured of the headshot.
        passes: LR side of each pass; none: the headshot is sharp for its size and was left as it is.
    """

    lr: Image
    detail: Detail
    passes: tuple[int, ...]


def is_sharp(detail: Detail) -> bool:
    """Whether a headshot with that detail is sharp enough for 256 pixels and more."""
    clean = detail.noise <= SHARP_NOISE and detail.blocks <= SHARP_BLOCKS
    return clean and detail.side >= SHARP_SIDE


def working_side(detail: Detail, side: int, *, even_sharp: bool = False) -> int | None:
    """The side to reduce a headshot to; its own if that is to be restored; None if it is sharp and to stay.

    Args:
        detail: what it shows.
        side: its own.
        even_sharp: never None: what would stay is restored from the largest side.
    """
    wanted = OVERSAMPLING * detail.side
    largest = WORKING_SIDES[-1]
    if side > largest and not even_sharp and is_sharp(detail):
        return None
    sides = [smaller for smaller in WORKING_SIDES if smaller * WORTH_REDUCING <= side]
    if side <= largest or not sides:
        sides.append(side)
    return min(sides, key=lambda each: abs(math.log(each / wanted)))


def restore_any_size(
    headshot: Image,
    restorer: Restorer,
    side: int | None = None,
    *,
    references: References | None = None,
    at_least: int = 0,
    working: int | None = None,
    even_sharp: bool = False,
    strength: float = 1.0,
) -> AnySizeRestoration:
    """Restore a headshot with photos of the person.

    Args:
        headshot: uint8 H×H×3, from 8 pixels a side up.
        restorer: the model; not changed.
        side: of the result; default: what one pass gives, or more, up to `LARGEST_SIDE`, where the headshot
            itself has more or ``at_least`` asks for more.
        references: of the person; by default those set in the restorer.
        at_least: see ``side``.
        working: the side that it is restored from, no larger than its own; default: see `working_side`.
        even_sharp: restore also what is sharp for its size.
        strength: see `mixed`.

    Raises:
        HimeError: the headshot is no such image, or as `Restorer.restore`; a side or the strength is out of
            its range.
    """
    (restoration,) = together(
        [
            any_size_steps(
                headshot, restorer, side, references=references, at_least=at_least, working=working,
                even_sharp=even_sharp, strength=strength,
            )
        ]
    )  # fmt: skip
    return restoration


@dataclass(frozen=True, eq=False)
class Pass:
    """A headshot that is to be restored by a model, as a step of some work.

    Attributes:
        restorer: the model.
        lr: the headshot.
        references: of the person; None: those set in the restorer.
    """

    restorer: Restorer
    lr: Image
    references: References | None


Steps = Generator[Pass, Restoration, Result]
"""Work that asks for one pass after another, is sent what came out of each, and ends in its result."""


def together(works: Sequence[Steps[Result]]) -> list[Result]:
    """Do several pieces of work side by side: what they ask for at the same time is restored together, see
    `Restorer.restore_together`.

    Returns:
        The result of each.

    Raises:
        HimeError: whatever one of them raises; none is finished then.
    """
    results: dict[int, Result] = {}
    asked: dict[int, Pass] = {}

    def go_on(place: int, restoration: Restoration | None) -> None:
        try:
            # A generator is begun with None.
            asked[place] = works[place].send(restoration)  # type: ignore[arg-type]
        except StopIteration as end:
            results[place] = end.value

    for place in range(len(works)):
        go_on(place, None)
    while asked:
        by_model: dict[tuple[int, float | None], list[int]] = {}
        for place, each in asked.items():
            by_model.setdefault((id(each.restorer.backend), each.restorer.fidelity), []).append(place)
        now = dict(asked)
        asked.clear()
        for places in by_model.values():
            restored = now[places[0]].restorer.restore_together(
                [now[place].lr for place in places], [now[place].references for place in places]
            )
            for place, restoration in zip(places, restored, strict=True):
                go_on(place, restoration)
    return [results[place] for place in range(len(works))]


def any_size_steps(
    headshot: Image,
    restorer: Restorer,
    side: int | None = None,
    *,
    references: References | None = None,
    at_least: int = 0,
    working: int | None = None,
    even_sharp: bool = False,
    strength: float = 1.0,
) -> Steps[AnySizeRestoration]:
    """The steps of `restore_any_size`."""
    check_image(headshot, "the headshot")
    own = _side_of(headshot)
    check_strength(strength)
    if side is not None and side < 1:
        raise HimeError(f"a result of {side} pixels a side cannot be made; ask for more")
    if working is not None and not MINIMUM_SIDE <= working <= own:
        raise HimeError(
            f"the working size must be from {MINIMUM_SIDE} to the headshot's {own} pixels, not {working}"
        )
    detail = measure(headshot)
    chosen = working or working_side(detail, own, even_sharp=even_sharp)
    if chosen is None:
        image = _to(headshot, side or min(own, LARGEST_SIDE))
        return AnySizeRestoration(image, [], [], headshot, detail, ())
    side = side or max(restorer.scale * chosen, min(LARGEST_SIDE, max(own, at_least)))
    lr = headshot if chosen == own else resize(headshot, chosen, chosen)
    first = yield Pass(restorer, lr, references)
    picture, further = yield from _raise(first.image, min(side, LARGEST_SIDE), restorer, references)
    image = mixed(_to(headshot, side), _to(picture, side), strength)
    return AnySizeRestoration(image, first.scores, first.shares, lr, detail, (chosen, *further))


def mixed(plain: Image, restored: Image, strength: float) -> Image:
    """From 0, what is there already, to 1, the restored picture; between them both are mixed: uint8 H×W×3."""
    if strength == 1:
        return restored
    mixture = (1 - strength) * plain.astype(np.float32) + strength * restored
    levels: Image = np.rint(mixture).astype(np.uint8)
    return levels


def _raise(
    picture: Image, side: int, restorer: Restorer, references: References | None
) -> Steps[tuple[Image, list[int]]]:
    """The restored picture with the detail of further passes, up to about that side; their LR sides."""
    passes = []
    while side > WORTH_A_PASS * len(picture):
        lr_side = math.ceil(min(side, 2 * len(picture)) / restorer.scale)
        lr = resize(picture, lr_side, lr_side)
        larger = yield Pass(restorer, lr, references)
        picture = _finer(picture, larger.image)
        passes.append(lr_side)
    return picture, passes


def _finer(picture: Image, larger: Image) -> Image:
    """The picture with what a larger version of it has besides: all that the picture cannot hold."""
    side = len(larger)
    coarse = _to(_to(larger, len(picture)), side)
    together = _to(picture, side).astype(np.int16) + larger - coarse
    levels: Image = together.clip(0, 255).astype(np.uint8)
    return levels


def _to(image: Image, side: int) -> Image:
    """The same array if it has that side."""
    return image if len(image) == side else lanczos(image, side, side)


def _side_of(headshot: Image) -> int:
    height, width = headshot.shape[:2]
    if height != width:
        raise HimeError(f"the headshot is {width}×{height} pixels; give a square one")
    return int(height)
