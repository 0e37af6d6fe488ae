"""One photo judged: the faces in it, and what each is worth as a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hime.faces.detection import detect
from hime.faces.found import FoundFace
from hime.faces.networks import opencv
from hime.pictures.arrays import LUMA, FloatArray, Image, resize
from hime.pictures.reading import read_image

MINIMUM_SIDE, MAXIMUM_SIDE = 64, 512
"""Of a reference's headshot, in pixels: smaller ones have nothing to add to the smallest faces restored
(16 pixels, four times), larger ones nothing to the largest (128, four times)."""
SMALLEST_FACE = 45
"""Height in pixels of the faces that are looked for in references: those of the smallest headshots."""

MAXIMUM_YAW = 0.77
"""Beyond it, about 50 degrees, half of the face is hidden: 1 % of the 2,004 photos, all of them near
profiles."""
MINIMUM_SHARPNESS = 0.03
"""Variance of the Laplacian of the inner face, at `LOOK_SIDE`, over the variance of its luminance. The ratio
parts sharp from blurred better than the variance of the Laplacian alone, since it does not depend on the
light. Below it fall none of CelebA's photos and 0.4 % of LFW's as they are, but 99 % of both when they are
blurred (Gaussian, 1.5 pixels at that side) or reduced to 32 pixels and back."""

DARKEST_LIGHTS = 70
"""Luminance of the brightest twentieth of the inner face (95th percentile, 0 to 255) below which
a photo is underexposed, by about three stops. It is 89 at the least in the 2,004 photos; the mean would be
one of skin, not of light."""

BLOWN_OUT = 0.25
"""Share of the inner face that is white (above 247) from which a photo is overexposed, by one and a half
stops. It is 0.17 at the most in the 2,004 photos."""

MOST_FACES = 16
"""Faces of a photo that are looked at, the largest first."""

LOOK_SIDE = 128
"""Side in pixels at which headshots are judged."""
INNER_FACE = (slice(40, 104), slice(36, 92))
"""Rows and columns of a headshot of that side from the brows to the chin: no hair, no background."""
SMALL_SIDE = LOOK_SIDE // 2
"""Side in pixels at which they are compared."""


@dataclass(frozen=True, eq=False)
class Look:
    """A face in a photo, and what was found when it was looked at.

    Attributes:
        path: the photo.
        side: of the headshot, in pixels of the photo.
        yaw: see `hime.faces.Face`.
        embedding: see `hime.faces.embed`.
        sharpness: see `MINIMUM_SHARPNESS`.
        lights: see `DARKEST_LIGHTS`.
        white: see `BLOWN_OUT`.
        x: of the face's middle (of its landmarks), in parts of the photo's width.
        y: of the face's middle, in parts of the photo's height.
        small: luminance from 0 to 255 of the headshot, float32 of `SMALL_SIDE` a side, by which copies are
            told.
        picture: the headshot, or what gives it.
        key: of the face in what is kept (`hime.faces.cache`); empty where nothing is.
    """

    path: Path
    side: float
    yaw: float
    embedding: FloatArray
    sharpness: float
    lights: float
    white: float
    x: float
    y: float
    small: FloatArray
    picture: Image | Callable[[], Image]
    key: str = ""

    @cached_property
    def crop(self) -> Image:
        """The headshot, uint8 S×S×3, S at most `MAXIMUM_SIDE`.

        Raises:
            HimeError: it was kept, and is no longer.
        """
        return self.picture() if callable(self.picture) else self.picture

    @property
    def quality(self) -> float:
        """See `quality_of`."""
        return quality_of(self.side, self.sharpness)

    @property
    def problem(self) -> str | None:
        """See `problem_of`."""
        return problem_of(self.side, self.yaw, self.sharpness, self.lights, self.white)


def look_at(path: Path) -> list[Look]:
    """The faces in a photo, the largest first, `MOST_FACES` at most.

    Raises:
        HimeError: the photo cannot be read, or the extra ``faces`` is not installed.
    """
    return [_look(path, face) for face in detect(read_image(path), smallest=SMALLEST_FACE)[:MOST_FACES]]


def light_of(grey: FloatArray) -> tuple[float, float, float]:
    """Sharpness, lights and share of white, as `Look` has them, of a headshot's luminance, float32 of
    `LOOK_SIDE` a side.
    """
    cv2 = opencv()
    inner = grey[INNER_FACE]
    edges = cv2.Laplacian(grey, cv2.CV_32F, borderType=cv2.BORDER_REFLECT)
    sharpness = float(edges[INNER_FACE].var() / max(1.0, float(inner.var())))
    return sharpness, float(np.percentile(inner, 95)), float((inner > 247).mean())


def quality_of(side: float, sharpness: float) -> float:
    """What a headshot is worth as a reference, from 0 to 1: sharpness and size, each as a share of what is
    plenty.
    """
    sharpness = min(1.0, sharpness / (10 * MINIMUM_SHARPNESS))
    size = min(1.0, side / (4 * MINIMUM_SIDE))
    return float(np.sqrt(sharpness * size))


def problem_of(side: float, yaw: float, sharpness: float, lights: float, white: float) -> str | None:
    """Why a headshot is no good as a reference, if so, in plain words; the arguments as `Look` has them."""
    if side < MINIMUM_SIDE:
        return f"the face is too small ({round(side)} pixels, at least {MINIMUM_SIDE} are needed)"
    if abs(yaw) > MAXIMUM_YAW:
        return "looks away"
    if lights < DARKEST_LIGHTS:
        return "underexposed"
    if white > BLOWN_OUT:
        return "overexposed"
    if sharpness < MINIMUM_SHARPNESS:
        return "blurred"
    return None


def _look(path: Path, face: FoundFace) -> Look:
    crop = face.headshot(MAXIMUM_SIDE)
    luminance = np.array(LUMA, np.float32)
    grey: FloatArray = resize(crop, LOOK_SIDE, LOOK_SIDE) @ luminance
    sharpness, lights, white = light_of(grey)
    small = opencv().resize(grey, (SMALL_SIDE, SMALL_SIDE), interpolation=opencv().INTER_AREA)
    height, width = face.picture.shape[:2]
    x, y = (face.landmarks.mean(axis=0) + 0.5) / (width, height)
    return Look(
        path=path,
        side=face.frame.side,
        yaw=face.yaw,
        embedding=face.embedding,
        sharpness=sharpness,
        lights=lights,
        white=white,
        x=float(x),
        y=float(y),
        small=np.asarray(small, np.float32),
        picture=crop,
    )
