"""JPEG: its segments, found without decoding (where its metadata lie, where it ends); large ones written in
strips by all threads.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import PIL.Image

from hime.processors import in_parallel

_NO_LENGTH = (0x01, *range(0xD0, 0xD9))
"""Markers that stand alone (ITU-T T.81, table B.1)."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")
_MOST_SEGMENTS = 100_000


@dataclass(frozen=True)
class JpegScan:
    """Where things are in a JPEG: offsets of a segment's marker and of the byte after it.

    Attributes:
        exif: segments of EXIF.
        provenance: whether there are segments of signed provenance (C2PA).
        end: of the picture; what lies behind it was appended.
    """

    exif: tuple[tuple[int, int], ...]
    provenance: bool
    end: int

    def joined(self, content: bytes, segments: Sequence[tuple[int, int]]) -> bytes:
        """The bodies of segments of EXIF, one after the other, less their headings."""
        return b"".join(content[start + 10 : end] for start, end in segments)

    def without(self, content: bytes, segments: Sequence[tuple[int, int]]) -> bytes:
        """The file without these segments."""
        kept, place = [], 0
        for start, end in segments:
            kept.append(content[place:start])
            place = end
        return b"".join([*kept, content[place:]])


def scan_jpeg(content: bytes) -> JpegScan:
    """Find the segments up to the end of the first picture; a damaged file ends where they do."""
    exif: list[tuple[int, int]] = []
    provenance = False
    place = 2
    for _ in range(_MOST_SEGMENTS):
        place = content.find(b"\xff", place)
        if place < 0 or place + 1 >= len(content):
            break
        marker = content[place + 1]
        if marker == 0xD9:
            return JpegScan(tuple(exif), provenance, place + 2)
        if marker in (0x00, 0xFF) or marker in _NO_LENGTH:
            place += 1 if marker == 0xFF else 2
            continue
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        body = content[place + 4 : place + 44]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            exif.append((place, min(end, len(content))))
        provenance |= marker == 0xEB and b"jumb" in body
        if marker == 0xDA:
            end = _after_scan(content, end)
        place = end
    return JpegScan(tuple(exif), provenance, len(content))


def _after_scan(content: bytes, place: int) -> int:
    """Where the entropy-coded data end that begin there: at a marker that is no restart and no stuffing."""
    found = _MARKER.search(content, place)
    return found.start() if found else len(content)


STRIP = 1 << 21
"""Pixels to a strip of a large JPEG, more or less. Two of them or fewer are written in one piece."""
_MCU = 16
"""Rows that a JPEG's pixels are coded in together: 8 or 16, by its subsampling."""
_ALONE = ("quality", "qtables", "subsampling")
"""Of Pillow's options those that the coded pixels depend on."""


def encode_jpeg(
    rows: Callable[[slice], PIL.Image.Image], sides: tuple[int, int], options: dict[str, Any]
) -> bytes:
    """A JPEG by Pillow; a large one in strips side by side, so that the picture is never whole in memory once
    more. It is decoded to the same as one in one piece.

    The strips are joined by restart markers (ITU-T T.81, F.1.1.5.2), behind which every decoder begins anew.

    Args:
        rows: gives these of the picture.
        sides: its height and width.
        options: of Pillow's writer. A progressive one, whose strips lie in many layers, is written whole.

    Raises:
        Exception: of any kind, where Pillow cannot write it.
    """
    height, width = sides
    count = max(1, STRIP // (width * _MCU)) * _MCU
    if options.get("progressive") or height <= 2 * count:
        return _saved(rows(slice(0, height)), options)
    coded = {key: options[key] for key in _ALONE if key in options}

    def strip(start: int) -> bytes:
        picture = rows(slice(start, min(start + count, height)))
        return _saved(picture, options if start == 0 else coded)

    return _joined(list(in_parallel(strip, range(0, height, count))), count, sides)


def _saved(picture: PIL.Image.Image, options: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", **options)
    return content.getvalue()


def _joined(strips: Sequence[bytes], count: int, sides: tuple[int, int]) -> bytes:
    """Strips, each a JPEG of its own with ``count`` rows, as one of those sides, with the heading of the
    first.
    """
    height, width = sides
    head = bytearray(strips[0])
    frame, scan, _ = _heads(head)
    head[frame + 5 : frame + 7] = height.to_bytes(2, "big")
    samplings = head[frame + 11 : frame + 10 + 3 * head[frame + 9] : 3]
    if len(samplings) == 1:  # of a single component blocks are coded one by one, whatever its sampling
        samplings = bytearray([0x11])
    across, down = 8 * max(each >> 4 for each in samplings), 8 * max(each & 15 for each in samplings)
    interval = -(-width // across) * (count // down)
    parts: list[bytes | bytearray] = [
        head[:scan],
        b"\xff\xdd\x00\x04",
        interval.to_bytes(2, "big"),
        head[scan:-2],
    ]
    for number, strip in enumerate(strips[1:]):
        _, _, data = _heads(strip)
        parts += [bytes([0xFF, 0xD0 + number % 8]), strip[data:-2]]
    return b"".join([*parts, b"\xff\xd9"])


def _heads(content: bytes | bytearray) -> tuple[int, int, int]:
    """Where the segments of the frame and of the first scan begin, and where the coded pixels do."""
    place, frame = 2, 0
    while content[place + 1] != 0xDA:
        if content[place + 1] in (0xC0, 0xC1):
            frame = place
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return frame, place, place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
