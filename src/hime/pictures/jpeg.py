"""The segments of a JPEG, found without decoding: where its metadata lie, where it ends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
