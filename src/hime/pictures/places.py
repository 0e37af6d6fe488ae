"""Places in a picture, as metadata name them, moved with its pixels: turned upright and enlarged."""

from __future__ import annotations

import math
from dataclasses import dataclass

_SAME_SHAPE = 0.01
"""How much two ratios of width and height may differ and still be of the same picture, relative."""


@dataclass(frozen=True)
class Placement:
    """How the pixels that a file stores became the pixels of a result.

    Attributes:
        stored: width and height of what the file stores, as its metadata mean it.
        turn: EXIF's orientation, by which that was set upright, 1 to 8.
        width: of the result.
        height: of the result.
    """

    stored: tuple[int, int]
    turn: int
    width: int
    height: int

    @property
    def swaps(self) -> bool:
        """Whether rows became columns."""
        return self.turn >= 5

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height before the enlargement."""
        return self.stored[::-1] if self.swaps else self.stored

    @property
    def moved(self) -> bool:
        """Whether any pixel lies elsewhere than it did."""
        return self.turn != 1 or self.stored != (self.width, self.height)

    def turned_by(self, width: float, height: float) -> int | None:
        """By what orientation places have been turned that somebody named in a picture of that size: as it is
        stored (the rule of EXIF and of the Metadata Working Group) or, 1, upright already. None if their
        picture is another.
        """
        if not all(math.isfinite(side) and side > 0 for side in (width, height)):
            return None
        ratio = width / height
        for size, turn in ((self.stored, self.turn), (self.upright, 1)):
            if abs(ratio * size[1] / size[0] - 1) <= _SAME_SHAPE:
                return turn
        return None


def turned_point(x: float, y: float, turn: int) -> tuple[float, float]:
    """A point of a stored picture → of the upright one; both in parts of width and height."""
    return {
        1: (x, y),
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (1 - y, x),
        7: (1 - y, 1 - x),
        8: (y, 1 - x),
    }[turn]


def turned_sides(width: float, height: float, turn: int) -> tuple[float, float]:
    """Sides of an upright rectangle, after the turn."""
    return (height, width) if turn >= 5 else (width, height)


def moved_subject(
    values: tuple[float, ...], frame: tuple[float, float], placement: Placement
) -> tuple[int, ...] | None:
    """EXIF's subject area (or location) → in pixels of the result.

    Args:
        values: x and y of the centre, and the diameter of a circle or width and height of a rectangle.
        frame: width and height of the picture in whose pixels they are.
        placement: of the picture.

    Returns:
        as many values; None if they are none, of another picture, or too large for EXIF.
    """
    turn = placement.turned_by(*frame)
    if turn is None or len(values) not in (2, 3, 4) or not all(math.isfinite(value) for value in values):
        return None
    x, y = turned_point(values[0] / frame[0], values[1] / frame[1], turn)
    width, height = turned_sides(*frame, turn)
    across, down = placement.width / width, placement.height / height
    moved = [x * placement.width, y * placement.height]
    if len(values) == 3:
        moved.append(values[2] * math.sqrt(across * down))
    elif len(values) == 4:
        sides = turned_sides(values[2], values[3], turn)
        moved += [sides[0] * across, sides[1] * down]
    rounded = tuple(round(value) for value in moved)
    return rounded if all(0 <= value <= 65_535 for value in rounded) else None
