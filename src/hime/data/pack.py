"""Photos packed for training: a few large files in place of many small ones, read photo by photo.

    PACK/pack.json          what it is: the people folder's name, the photos by name, the shards
    PACK/pixels-00000.npy   photos as they are trained on, M×3×S×S uint8 (NumPy's own format), and so on

A training draws photos at random, the same photo thousands of times: what is read is what is used, without a
decoder in between. `comparisons/packed.py` measures that against tar, Parquet, Arrow and safetensors
(docs/scale.md). The files are read at the places asked for (`os.preadv`), not mapped: what the system keeps
of them is its cache, given back when memory is short, and never counts as the process's own.

Shapes: ``M`` photos, ``S`` side in pixels.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.data.people import people_in
from hime.errors import HimeError
from hime.files import open_file, reason_of, unreadable, write_atomically
from hime.pictures.reading import read_target
from hime.processors import usable_threads
from hime.terminal import note, track

Pixels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

INDEX, FORMAT = "pack.json", "hime-pack-1"
SHARD_BYTES = 256 << 20
"""Of a shard at the most; so much is held in memory while one is written."""
LARGEST_INDEX = 1 << 30


@dataclass(frozen=True)
class Pack:
    """A pack, opened; its pixels are read by `PackedPixels`.

    Attributes:
        folder: where it lies.
        name: of the people folder that it was made of.
        size: S.
        photos: "PERSON/FILE" of all photos, in order, those of a person in one run.
        skipped: a line for each file that could not be used, "PERSON/FILE: reason".
        shards: (file, photos in it), in order.
        listing: what `listing_of` gave for the people folder.
    """

    folder: Path
    name: str
    size: int
    photos: tuple[str, ...]
    skipped: tuple[str, ...]
    shards: tuple[tuple[str, int], ...]
    listing: str


def is_pack(folder: Path | str) -> bool:
    """Whether ``folder`` is a pack, not a people folder."""
    return (Path(folder) / INDEX).is_file()


def write_pack(root: Path | str, out: Path | str, size: int) -> Pack:
    """Pack all photos of a people folder.

    A pack of the same files, of the same sizes and dates, that is there already and whole is left as it is.
    One that is damaged, or was not finished and has no index, is begun anew.

    Args:
        root: the people folder.
        out: the pack's folder, made if missing.
        size: S; photos are reduced as `read_target` does it, those that it refuses are left out.

    Raises:
        HimeError: nobody in ``root``, no usable photo, ``out`` cannot be written to, or the index in it is
            not of a pack.
    """
    root, out = Path(root), Path(out)
    files = [path for photos in people_in(root).values() for path in photos]
    names = [f"{path.parent.name}/{path.name}" for path in files]
    listing = listing_of(names, files)
    if is_pack(out):
        pack = _whole(out)
        if pack and (pack.listing, pack.size, pack.name) == (listing, size, root.resolve().name):
            return pack
        _remove(out / INDEX)
    for leftover in _shards_in(out):
        _remove(leftover)
    shards, photos, skipped = list[tuple[str, int]](), list[str](), list[str]()
    for chosen, images, lines in _read_in_parts(files, names, size):
        skipped += lines
        if not chosen:
            continue
        shard = f"pixels-{len(shards):05}.npy"
        write_atomically(out / shard, lambda path, images=images: np.save(path, images))  # type: ignore[misc]
        shards.append((shard, len(chosen)))
        photos += chosen
    if not photos:
        raise HimeError(f"{root}: no photo of {size}×{size} pixels ({skipped[0]}); give another size")
    pack = Pack(out, root.resolve().name, size, tuple(photos), tuple(skipped), tuple(shards), listing)
    contents = {
        "format": FORMAT,
        "name": pack.name,
        "size": size,
        "listing": listing,
        "shards": [{"file": file, "photos": count} for file, count in shards],
        "skipped": skipped,
        "photos": photos,
    }
    text = json.dumps(contents, indent=0) + "\n"  # names keep what bytes they have, letters or not
    write_atomically(out / INDEX, lambda path: path.write_text(text, encoding="utf-8"))
    return pack


def _whole(folder: Path) -> Pack | None:
    """A pack that can be read, None for one that is damaged.

    Raises:
        HimeError: the index is not of a pack, as far as can be told.
    """
    try:
        pack = read_pack(folder)
        for shard, photos in pack.shards:
            _pixels_begin(folder / shard, photos, pack.size)
    except HimeError:
        with open_file(folder / INDEX) as file:
            begin = file.read(64)
        if not _shards_in(folder) and b'"hime-pack-' not in begin:
            raise HimeError(
                f"{folder / INDEX}: not the index of a pack, and left as it is; choose another folder"
            ) from None
        note(f"hime: {folder}: was damaged, and is packed anew")
        return None
    return pack


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise HimeError(f"{path}: cannot be replaced ({reason_of(error)}); choose another folder") from None


def _shards_in(folder: Path) -> list[Path]:
    return [path for path in folder.glob("pixels-*.npy") if re.fullmatch(r"pixels-\d{5,}\.npy", path.name)]


def listing_of(names: Sequence[str], files: Sequence[Path]) -> str:
    """A short name for the files of a people folder, "PERSON/FILE" in order, with their sizes and dates."""
    lines = []
    for name, path in zip(names, files, strict=True):
        with contextlib.suppress(OSError):  # what has vanished is told when it is read
            status = path.stat()
            name = f"{name} {status.st_size} {status.st_mtime_ns}"
        lines.append(name)
    return hashlib.sha256("\n".join(lines).encode("utf-8", errors="surrogatepass")).hexdigest()


def _read_in_parts(
    files: Sequence[Path], names: Sequence[str], size: int
) -> Iterator[tuple[list[str], Pixels, list[str]]]:
    """Of so many files as fill a shard: names and pixels of the usable ones, and lines about the others."""
    step = max(1, SHARD_BYTES // (3 * size * size))

    def read(path: Path, name: str) -> Pixels | str:
        try:
            return read_target(path, size).transpose(2, 0, 1)
        except HimeError as error:
            return str(error).replace(str(path), name)  # a pack tells nothing of where it was made

    with ThreadPoolExecutor(usable_threads()) as pool:
        for start in track(range(0, len(files), step), "packing"):
            images = np.empty((min(step, len(files) - start), 3, size, size), np.uint8)
            chosen, lines = list[str](), list[str]()
            part = slice(start, start + step)
            for name, result in zip(names[part], pool.map(read, files[part], names[part]), strict=True):
                if isinstance(result, str):
                    lines.append(result)
                else:
                    images[len(chosen)] = result
                    chosen.append(name)
            yield chosen, images[: len(chosen)], lines


def read_pack(folder: Path | str) -> Pack:
    """Open a pack; its pixels are not looked at.

    Raises:
        HimeError: it is none, or its index is damaged.
    """
    folder = Path(folder)
    path = folder / INDEX
    try:
        with open_file(path) as file:
            content = file.read(LARGEST_INDEX + 1)
        if len(content) > LARGEST_INDEX:
            raise ValueError(f"more than {LARGEST_INDEX >> 20} MiB")
        index: dict[str, Any] = json.loads(content)
        if index["format"] != FORMAT:
            raise ValueError(f"of format {index['format']}, not {FORMAT}")
        pack = Pack(
            folder,
            str(index["name"]),
            int(index["size"]),
            tuple(map(str, index["photos"])),
            tuple(map(str, index["skipped"])),
            tuple((str(shard["file"]), int(shard["photos"])) for shard in index["shards"]),
            str(index["listing"]),
        )
        if any(Path(shard).name != shard for shard, _ in pack.shards):
            raise ValueError("a shard lies elsewhere")
        if sum(count for _, count in pack.shards) != len(pack.photos) or pack.size < 1:
            raise ValueError("shards and photos do not belong together")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, HimeError):
            raise
        raise HimeError(f"{path}: not the index of a pack ({error}); pack the photos anew") from None
    return pack


class PackedPixels:
    """The pixels of photos of packs, read when they are asked for; nothing is held.

    To be had in several processes: one that is started by fork shares the open files, which are read at
    places of their own; one that gets it pickled opens them when it first reads.

    Args:
        packs: opened, all of one size.
        rows: which of their photos, counted through all packs in order.

    Raises:
        HimeError: a shard is missing, damaged, or not as long as it should be.
    """

    def __init__(self, packs: Sequence[Pack], rows: Rows) -> None:
        (self.size,) = {pack.size for pack in packs}
        self.files = [pack.folder / shard for pack in packs for shard, _ in pack.shards]
        counts = [count for pack in packs for _, count in pack.shards]
        self.begins = [_pixels_begin(*shard, self.size) for shard in zip(self.files, counts, strict=True)]
        ends = np.cumsum(counts, dtype=np.int64)
        self.shard = np.searchsorted(ends, rows, side="right").astype(np.int32)
        self.place = rows - (ends - counts)[self.shard]
        self._open: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.place)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def __del__(self) -> None:
        for descriptor in getattr(self, "_open", {}).values():
            os.close(descriptor)

    def chosen(self, rows: Rows) -> PackedPixels:
        """Some of the photos."""
        part = copy.copy(self)
        part.shard, part.place = self.shard[rows], self.place[rows]
        return part

    def read(self, rows: Rows, into: Pixels) -> None:
        """Read photos M into M×3×S×S uint8, contiguous.

        Raises:
            HimeError: a shard cannot be read.
        """
        length = 3 * self.size * self.size
        for image, shard, place in zip(into, self.shard[rows], self.place[rows], strict=True):
            buffer = memoryview(image).cast("B")
            begin = self.begins[shard] + int(place) * length
            try:
                done = os.preadv(self._descriptor(int(shard)), [buffer], begin)
            except OSError as error:
                raise unreadable(self.files[shard], error) from error
            if done != length:
                raise HimeError(f"{self.files[shard]}: is cut short; pack the photos anew")

    def _descriptor(self, shard: int) -> int:
        if shard not in self._open:
            self._open[shard] = os.open(self.files[shard], os.O_RDONLY)
            if hasattr(os, "posix_fadvise"):  # no reading ahead: the next photo lies elsewhere
                os.posix_fadvise(self._open[shard], 0, 0, os.POSIX_FADV_RANDOM)
        return self._open[shard]


def _pixels_begin(path: Path, photos: int, size: int) -> int:
    """Where in a shard the first photo begins."""
    with open_file(path) as file:
        try:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0}[version]
            shape, by_columns, kind = read(file)
        except Exception as error:  # NumPy's reader lets those of Python's tokenizer through
            raise HimeError(f"{path}: not pixels as NumPy stores them ({error}); pack anew") from None
        begin = file.tell()
        length = file.seek(0, os.SEEK_END)
    expected = (photos, 3, size, size)
    if shape != expected or by_columns or kind != np.uint8 or length != begin + int(np.prod(expected)):
        raise HimeError(f"{path}: not {photos} photos of {size}×{size} pixels; pack the photos anew")
    return begin
