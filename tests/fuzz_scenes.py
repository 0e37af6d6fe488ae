"""Files for ``fuzz_restore.py``: faces as they lie in real pictures, tints, and pictures of odd shapes."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import PIL.Image

PAPER = ("silver", "white", "black", "tan")

TINTS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "grey": ((0, 0, 0), (255, 255, 255)),
    "sepia": ((40, 20, 5), (255, 240, 205)),
    "cyanotype": ((5, 20, 60), (225, 240, 250)),
    "faded": ((70, 60, 75), (235, 225, 190)),
}
"""The colours of black and of white."""


def any_angle(number: random.Random) -> float:
    """Degrees: a scan lies at a quarter of a turn or, less often, anywhere."""
    return number.choice([90, 180, 270, number.uniform(0, 360)])


def turned(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """The person at any angle."""
    paper, bicubic = number.choice(PAPER), PIL.Image.Resampling.BICUBIC
    whole = picture.rotate(any_angle(number), bicubic, expand=True, fillcolor=paper)
    return _saved(whole, number.choice(["PNG", "JPEG", "WEBP"]))


def page(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """A page with the same photo several times, each at its own angle and size, one perhaps over another."""
    photos = number.randrange(2, 6)
    step = max(picture.size)
    whole = PIL.Image.new("RGB", (step * photos, step * 2), number.choice(PAPER))
    for place in range(photos):
        side = number.randrange(step // 2, step)
        angle = number.choice([0, any_angle(number)])
        photo = picture.resize((side, side)).convert("RGBA").rotate(angle, expand=True)
        whole.paste(photo, (place * step, number.randrange(step)), photo)
    return _saved(whole, number.choice(["PNG", "JPEG", "TIFF"]))


def toned(picture: PIL.Image.Image, tint: str) -> npt.NDArray[np.float64]:
    """A picture in one hue: H×W×3 from 0 to 1."""
    luminance = np.asarray(picture.convert("L"))[:, :, np.newaxis] / 255
    dark, light = (np.array(colour) / 255 for colour in TINTS[tint])
    values: npt.NDArray[np.float64] = dark + (light - dark) * luminance
    return values


def tinted(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """Of one hue, in a format that keeps it: 8 or 16 bits, with or without alpha."""
    values = toned(picture, number.choice(list(TINTS)))
    if number.random() < 0.3:
        return deep_tiff(np.rint(values * 65_535).astype(np.uint16))
    whole = PIL.Image.fromarray(np.rint(values * 255).astype(np.uint8))
    if number.random() < 0.3:
        whole.putalpha(number.randrange(256))
    return _saved(whole, number.choice(["PNG", "TIFF"]))


def deep_tiff(values: npt.NDArray[np.uint16]) -> bytes:
    """16 bits a channel."""
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="rgb", metadata=None)
    return buffer.getvalue()


def tinted_lossy(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """Of one hue, as nearly as JPEG keeps it."""
    values = np.rint(toned(picture, number.choice(list(TINTS))) * 255).astype(np.uint8)
    return _saved(PIL.Image.fromarray(values), "JPEG")


def line(_: PIL.Image.Image, number: random.Random) -> bytes:
    """Very long and hardly wide."""
    size, form = number.choice(
        [
            ((1_000_000, 1), "PNG"),
            ((1, 300_000), "PNG"),
            ((400_000, 20), "PNG"),
            ((65_500, 3), "JPEG"),
            ((20, 60_000), "GIF"),
            ((16_383, 9), "WEBP"),
        ]
    )
    return _saved(PIL.Image.new("L", size, number.randrange(256)), form)


def _saved(picture: PIL.Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()


SCENES: dict[str, Callable[[PIL.Image.Image, random.Random], bytes]] = {
    "turned": turned,
    "page": page,
    "tinted": tinted,
    "tinted lossy": tinted_lossy,
    "line": line,
}
