"""ISO base media files (HEIF, AVIF) and JPEG 2000: what their boxes say beside the pixels.

Read are the properties of the primary item (ISO 23008-12, section 9): colours, bits a channel; and what other
items there are. Damaged boxes say nothing.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_MOST_BOXES = 10_000
_LARGEST_META = 16 << 20
"""Bytes of a box of metadata that are looked at."""


@dataclass(frozen=True)
class Boxes:
    """What is said of the primary picture, and what lies beside it.

    Attributes:
        colours: code points of primaries and transfer (ITU-T H.273) of the primary item; None without.
        icc: a colour profile; only of JPEG 2000, where Pillow gives none.
        bits: of a channel; 0 where it is not said.
        kinds: of all items and of the boxes of the file's first level.
        auxiliary: kinds of auxiliary pictures (urn:…).
        exif: where the blocks of EXIF lie in the file: offset and length of each.
    """

    colours: tuple[int, int] | None = None
    icc: bytes = b""
    bits: int = 0
    kinds: frozenset[bytes] = frozenset()
    auxiliary: frozenset[bytes] = frozenset()
    exif: tuple[tuple[int, int], ...] = ()


def read_boxes(file: BinaryIO) -> Boxes:
    """What the boxes of a file say; nothing where they are damaged."""
    try:
        top = {kind: (start, end) for kind, start, end in _first_level(file)}
        if b"jp2h" in top:
            return _of_jpeg_2000(_part(file, *top[b"jp2h"]))
        if b"meta" not in top:
            return Boxes(kinds=frozenset(top))
        return _of_items(_part(file, *top[b"meta"]), frozenset(top))
    except (struct.error, ValueError, IndexError, KeyError):
        return Boxes()


def _part(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(min(end - start, _LARGEST_META))


def _first_level(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    size = file.seek(0, io.SEEK_END)
    place = 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            return
        length, kind = struct.unpack_from(">I4s", head)
        start = place + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", head, 8)
            start += 8
        end = size if length == 0 else place + length
        if end < start:
            return
        yield kind, start, min(end, size)
        place = end


def _inside(content: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The boxes within a box: kind and content."""
    for kind, first, end in _first_level(io.BytesIO(content[start:])):
        yield kind, content[start + first : start + end]


def _of_jpeg_2000(header: bytes) -> Boxes:
    bits, icc = 0, b""
    for kind, body in _inside(header):
        if kind == b"ihdr" and body[10] != 255:
            bits = (body[10] & 127) + 1
        elif kind == b"colr" and body[0] == 2 and not icc:
            icc = body[3:]
    return Boxes(icc=icc, bits=bits)


def _of_items(meta: bytes, top: frozenset[bytes]) -> Boxes:
    parts = dict(_inside(meta, 4))
    properties = [(b"", b"")]  # they are counted from 1
    associations: dict[int, list[int]] = {}
    for kind, body in _inside(parts.get(b"iprp", b"")):
        if kind == b"ipco":
            properties.extend(_inside(body))
        elif kind == b"ipma":
            associations |= _associations(body)
    pitm = parts.get(b"pitm", b"")
    primary = int.from_bytes(pitm[4:6] if pitm[:1] == b"\0" else pitm[4:8], "big")
    colours, bits = None, 0
    for number in associations.get(primary, []):
        kind, body = properties[number] if number < len(properties) else (b"", b"")
        if kind == b"colr" and body[:4] == b"nclx":
            colours = struct.unpack_from(">HH", body, 4)
        elif kind == b"pixi" and len(body) > 5:
            bits = max(body[5 : 5 + body[4]])
    items = _items(parts.get(b"iinf", b""))
    auxiliary = frozenset(body[4:].split(b"\0")[0] for kind, body in properties if kind == b"auxC")
    places = _places(parts.get(b"iloc", b""))
    exif = tuple(places[number] for number, kind in items.items() if kind == b"Exif" and number in places)
    return Boxes(colours, b"", bits, top | frozenset(items.values()), auxiliary, exif)


def _associations(body: bytes) -> dict[int, list[int]]:
    """Item → its properties (ItemPropertyAssociationBox)."""
    version, wide = body[0], body[3] & 1
    (count,) = struct.unpack_from(">I", body, 4)
    place, found = 8, {}
    for _ in range(min(count, _MOST_BOXES)):
        (item,) = struct.unpack_from(">I" if version else ">H", body, place)
        place += 4 if version else 2
        many = body[place]
        place += 1
        numbers = struct.unpack_from(f">{many}{'H' if wide else 'B'}", body, place)
        place += many * (2 if wide else 1)
        found[item] = [number & (0x7FFF if wide else 0x7F) for number in numbers]
    return found


def _items(body: bytes) -> dict[int, bytes]:
    """Item → its kind (ItemInfoBox)."""
    if not body:
        return {}
    found = {}
    for kind, entry in _inside(body, 4 + (2 if body[0] == 0 else 4)):
        if kind == b"infe" and entry[0] >= 2:
            wide = entry[0] > 2
            item = int.from_bytes(entry[4 : 8 if wide else 6], "big")
            at = 10 if wide else 8
            found[item] = entry[at : at + 4]
    return found


def _places(body: bytes) -> dict[int, tuple[int, int]]:
    """Item → where it lies in the file, if in one piece (ItemLocationBox)."""
    if not body:
        return {}
    version = body[0]
    offset_size, length_size = body[4] >> 4, body[4] & 15
    base_size, index_size = body[5] >> 4, body[5] & 15 if version else 0
    place = 6
    found: dict[int, tuple[int, int]] = {}

    def number(size: int) -> int:
        nonlocal place
        value = int.from_bytes(body[place : place + size], "big")
        place += size
        return value

    for _ in range(min(number(4 if version > 1 else 2), _MOST_BOXES)):
        item = number(4 if version > 1 else 2)
        method = number(2) & 15 if version else 0
        number(2)  # in which file: this one
        base = number(base_size)
        extents = number(2)
        for extent in range(extents):
            if place >= len(body):
                return found
            number(index_size)
            offset, length = number(offset_size), number(length_size)
            if method == 0 and extent == 0 and extents == 1:
                found[item] = (base + offset, length)
    return found
