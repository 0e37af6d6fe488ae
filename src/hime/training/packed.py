"""Packed photos (`hime.data.pack`) as a training sees them: like a tensor of all pixels, of which some are
taken by their rows; what is taken is read from the files.

Shapes: ``M`` photos, ``S`` side in pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hime.data.pack import PackedPixels, read_pack
from hime.errors import HimeError
from hime.terminal import some_of

RESIDENT_SHARE = 0.5
"""Of a GPU's free memory: photos that fit in it are copied there before the first step."""
COPIED_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True)
class PackedImages:
    """M×3×S×S uint8 that lie in packs; ``images[rows]`` reads them, rows of any shape, onto ``device``."""

    pixels: PackedPixels
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> torch.Size:
        """M×3×S×S."""
        return torch.Size((len(self), 3, self.pixels.size, self.pixels.size))

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The photos of ``rows``: their shape ×3×S×S uint8."""
        chosen = torch.empty((rows.numel(), *self.shape[1:]), dtype=torch.uint8)
        self.pixels.read(rows.cpu().flatten().numpy(), chosen.numpy())
        return chosen.view(*rows.shape, *self.shape[1:]).to(self.device)

    def chosen(self, rows: Tensor) -> PackedImages:
        """Some of the photos, still in the packs."""
        return dataclasses.replace(self, pixels=self.pixels.chosen(rows.numpy()))

    def to(self, device: torch.device) -> PackedImages | Tensor:
        """The same photos, read onto ``device``; on a GPU with room for all of them, there already."""
        room = RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        if self.shape.numel() <= room:
            resident = torch.empty(self.shape, dtype=torch.uint8, device=device)
            for rows in torch.arange(len(self)).split(COPIED_AT_ONCE):
                resident[rows[0] : rows[-1] + 1] = self[rows].to(device)
            return resident
        return dataclasses.replace(self, device=device)


class Packed(NamedTuple):
    """Photos of packs: their pixels, "SOURCE/PERSON/FILE" of each and a name for who it shows, one in
    all packs of a folder; a line for each that was left out; and `own_names` of the sources.
    """

    images: PackedImages
    names: list[str]
    shown: list[str]
    skipped: list[str]
    roots: dict[str, str]


def read_packed(sources: Sequence[tuple[Path | str, Sequence[str] | None]], size: int) -> Packed:
    """The photos of the sources' people, in their order; arguments as `hime.training.photos.load_photos`'.

    Raises:
        HimeError: a pack is damaged, is of another size, or somebody is not in it.
    """
    packs = [read_pack(root) for root, _ in sources]
    labels = distinct([pack.name for pack in packs])
    rows, names, shown, start = list[int](), list[str](), list[str](), 0
    for pack, label, (_, people) in zip(packs, labels, sources, strict=True):
        if pack.size != size:
            raise HimeError(
                f"{pack.folder}: packed at {pack.size} pixels, not {size}; pack the photos with --pack {size}"
            )
        of_person: dict[str, list[int]] = {}
        for row, name in enumerate(pack.photos):
            of_person.setdefault(name.partition("/")[0], []).append(row)
        wanted = list(of_person) if people is None else list(people)
        missing = [name for name in wanted if name not in of_person]
        if missing:
            raise HimeError(
                f"{pack.folder}: no photos of {some_of(missing)}; "
                "take them off the list, or pack a folder that has them"
            )
        chosen = [row for name in wanted for row in of_person[name]]
        rows += [start + row for row in chosen]
        names += [f"{label}/{pack.photos[row]}" for row in chosen]
        shown += [f"{pack.name} {pack.listing}/{pack.photos[row].partition('/')[0]}" for row in chosen]
        start += len(pack.photos)
    images = PackedImages(PackedPixels(packs, np.array(rows, np.int64)))
    skipped = [
        line if Path(line).is_absolute() else f"{label}/{line}"  # packs of before tell the whole path
        for pack, label in zip(packs, labels, strict=True)
        for line in pack.skipped
    ]
    roots = own_names(labels, [(pack.name, pack.listing) for pack in packs])
    return Packed(images, names, shown, skipped, roots)


def distinct(names: Sequence[str]) -> list[str]:
    """The names of sources, numbered where two are the same."""
    return [f"{name}-{place}" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]


def own_names(labels: Sequence[str], sources: Sequence[tuple[str, str]]) -> dict[str, str]:
    """By the name that `distinct` gave, what a source is called: itself, or numbered where another one has
    the same name.

    Args:
        labels: of `distinct`.
        sources: name of each, and what tells it from others of that name: the same where it is given again.
    """
    told = set(sources)
    alone = {name for name, _ in told if sum(name == other for other, _ in told) == 1}
    return {label: name for label, (name, _) in zip(labels, sources, strict=True) if name in alone}
