"""Directories of tags, as TIFF and EXIF have them, looked through before anybody believes them.

Pillow copies every value that a directory names. 65,535 entries that all point to the same 64 KiB are 4 GB of
memory out of a file of 1 MB; so the entries are counted and their sizes added up first.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

MAX_ENTRIES = 4096
"""Of all directories of a file together. Cameras write some hundred."""
MAX_DIRECTORIES = 100
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes of one value of each type (TIFF 6.0, BigTIFF)."""
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_EXIF, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005  # tags whose value is the place of another directory


@dataclass(frozen=True)
class Entry:
    """Where a tag's value lies, and what it is."""

    kind: int
    count: int
    place: int


class Directories:
    """The directories of a TIFF file or an EXIF block: each as tag → `Entry`.

    Attributes:
        chain: the pages of a TIFF; in EXIF the picture's directory and the thumbnail's. At most
            `MAX_DIRECTORIES`.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Walk through the directories, those of EXIF within each included.

        Raises:
            ValueError: there is no such block, or it names more than it can hold.
        """
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        start = self._read(0, 16)
        self._order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
        if not self._order or len(start) < 8:
            raise ValueError("no TIFF header")
        self._big = struct.unpack_from(f"{self._order}H", start, 2) == (43,)
        (place,) = struct.unpack_from(
            f"{self._order}Q" if self._big else f"{self._order}I", start, 8 if self._big else 4
        )
        self._entries = self._bytes = 0
        self.chain: list[dict[int, Entry]] = []
        seen: set[int] = set()
        while place and place not in seen and len(self.chain) < MAX_DIRECTORIES:
            seen.add(place)
            directory, place = self._directory(place)
            self.chain.append(directory)
            self._look_below(directory, seen)
        if not self.chain:
            raise ValueError("no directory")

    def whole_numbers(self, entry: Entry | None) -> tuple[int, ...]:
        """The values of an entry of whole numbers, 64 at most; none if it is of another type or missing."""
        if entry is None or entry.kind not in _WHOLE:
            return ()
        count = min(entry.count, 64)
        content = self._read(entry.place, count * _SIZES[entry.kind])
        if len(content) < count * _SIZES[entry.kind]:
            return ()
        return struct.unpack(f"{self._order}{count}{_WHOLE[entry.kind]}", content)

    def text(self, entry: Entry | None) -> str:
        """The value of an entry of letters, 200 at most."""
        if entry is None or entry.kind not in (1, 2, 7):
            return ""
        return self._read(entry.place, min(entry.count, 200)).decode("latin-1").rstrip("\0")

    def content(self, tag: int) -> bytes:
        """The bytes of a tag's value, whatever they are called, where the chain has it first; may be none."""
        for directory in self.chain:
            if entry := directory.get(tag):
                return self._read(entry.place, entry.count * _SIZES.get(entry.kind, 1))
        return b""

    def _read(self, place: int, size: int) -> bytes:
        self._file.seek(min(place, self._size))
        return self._file.read(size)

    def _directory(self, place: int) -> tuple[dict[int, Entry], int]:
        """The directory at a place, and where the next one is."""
        head, step, short = ("Q", 20, 8) if self._big else ("H", 12, 4)
        width = struct.calcsize(f"{self._order}{head}")
        start = self._read(place, width)
        if len(start) < width:
            raise ValueError("a directory beyond the end")
        (count,) = struct.unpack(f"{self._order}{head}", start)
        self._entries += count
        if self._entries > MAX_ENTRIES:
            raise ValueError(f"{self._entries} entries")
        content = self._read(place + width, count * step + short)
        entries: dict[int, Entry] = {}
        for number in range(min(count, len(content) // step)):
            tag, kind = struct.unpack_from(f"{self._order}HH", content, number * step)
            values, offset = struct.unpack_from(
                f"{self._order}{'QQ' if self._big else 'II'}", content, number * step + 4
            )
            size = values * _SIZES.get(kind, 1)
            inside = place + width + number * step + step - short
            if size > short:
                self._bytes += size
            entries[tag] = Entry(kind, values, offset if size > short else inside)
        if self._bytes > 2 * self._size:
            raise ValueError(f"values of {self._bytes} bytes in {self._size}")
        after = content[count * step :]
        (following,) = (
            struct.unpack(f"{self._order}{'Q' if self._big else 'I'}", after) if len(after) == short else (0,)
        )
        return entries, following

    def _look_below(self, directory: dict[int, Entry], seen: set[int]) -> None:
        for tag in (_EXIF, _GPS, _INTEROPERABILITY):
            for place in self.whole_numbers(directory.get(tag))[:1]:
                if place and place not in seen:
                    seen.add(place)
                    below, _ = self._directory(place)
                    self._look_below(below, seen)


def is_sound(exif: bytes) -> bool:
    """Whether an EXIF block, with or without its six bytes of heading, may be handed to a parser."""
    try:
        Directories(io.BytesIO(exif.removeprefix(b"Exif\0\0")))
    except (ValueError, struct.error):
        return False
    return True
