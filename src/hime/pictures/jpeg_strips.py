"""A large JPEG written by several threads: strips of whole blocks, each encoded by itself, joined by restart
markers.

Between two restart markers (ITU-T T.81, B.2.1) nothing depends on what is before, so that the strips of a
picture are, bit for bit, what lies between those of the whole one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy.typing as npt
import PIL.Image

from hime.processors import in_parallel

BLOCKS = 16
"""Rows of pixels that are coded together, at the most."""
LONGEST = 512
"""Rows of a strip; fewer in pictures of more than 8,000 pixels a row."""
MOST_UNITS = 65_535
"""Units (of 8×8 pixels at the least) between two restart markers."""
EACH = ("quality", "qtables", "subsampling")
"""Pillow's options that are for pixels; the others are for the file's head."""

_FRAME, _SCAN, _INTERVAL, _RESTART = 0xC0, 0xDA, 0xDD, 0xD0
_END = b"\xff\xd9"


def encode_in_strips(
    image: npt.NDArray[Any], finished: Callable[[npt.NDArray[Any]], PIL.Image.Image], options: dict[str, Any]
) -> bytes:
    """The file's content.

    Args:
        image: H×W×3.
        finished: makes of a strip of it, rows of whole width, the picture to be encoded, of the same size.
        options: for Pillow's writer; ``progressive`` is no such file.
    """
    height, width = image.shape[:2]
    rows = min(LONGEST, MOST_UNITS // -(-width // 8) * 8 // BLOCKS * BLOCKS)

    def strip(top: int) -> bytes:
        kept = options if top == 0 else {key: options[key] for key in EACH if key in options}
        content = io.BytesIO()
        finished(image[top : top + rows]).save(content, "JPEG", **kept)
        return content.getvalue()

    if height <= rows:
        return strip(0)
    first, *others = in_parallel(strip, range(0, height, rows))
    segments = dict(_segments(first))
    frame, scan = segments[_FRAME], segments[_SCAN]
    units = _units(first, frame, rows, width)
    parts = [
        first[: frame + 5],
        height.to_bytes(2, "big"),
        first[frame + 7 : scan],
        bytes([0xFF, _INTERVAL, 0, 4]) + units.to_bytes(2, "big"),
        first[scan:].removesuffix(_END),
    ]
    for number, content in enumerate(others):
        *_, (_, start) = _segments(content)
        start += 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        parts += [bytes([0xFF, _RESTART + number % 8]), content[start:].removesuffix(_END)]
    return b"".join([*parts, _END])


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """The markers and their places, up to that of the scan."""
    place = 2
    while True:
        marker = content[place + 1]
        yield marker, place
        if marker == _SCAN:
            return
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")


def _units(content: bytes, frame: int, rows: int, width: int) -> int:
    """Units in a strip; they are 8×8 pixels where there is but one component, else as the coarsest needs."""
    count = content[frame + 9]
    samplings = [content[frame + 11 + 3 * number] for number in range(count)]
    across, down = 8 * max(each // 16 for each in samplings), 8 * max(each % 16 for each in samplings)
    if count == 1:
        across = down = 8
    return -(-width // across) * (rows // down)
