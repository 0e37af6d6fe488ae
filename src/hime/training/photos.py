"""The training photos, in memory or packed: whose each is, and how much the photos of a person are alike.

Shapes: ``M`` photos, ``K`` photos of the person who has most, ``S`` HR size.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from hime.data.pack import is_pack
from hime.data.people import people_in, photos_of, split_people
from hime.errors import HimeError
from hime.pictures.reading import read_target
from hime.training.packed import PackedImages, distinct, own_names, read_packed

THUMBNAIL = 16
"""Side of the grey reductions whose correlation is the similarity of two photos."""


@dataclasses.dataclass(frozen=True)
class Photos:
    """Photos of people, those of a person in one run of rows.

    ``images``: M×3×S×S uint8, or what reads them from packs. ``person``: M, the number of each photo's
    person; one who is in a folder that is given several times is a person each time. ``whose``: M, the number
    of who is shown, which is one for all of these. ``first``, ``count``: M, the row where that person's
    photos begin and how many they are. ``similarity``: M×K float32, to each photo of the same person in
    order; −inf for the photo itself and beyond ``count``. ``targets``: the rows that may be a target; all may
    be references. All but ``images`` stay on the CPU. ``names``: M of "SOURCE/PERSON/FILE"; ``skipped``: a
    line for each file that could not be used. ``roots``: what a SOURCE is called where lists are written: it
    is numbered here if its folder is given several times. ``labels``: what else is known of them, see
    `hime.training.labels`; M rows each.
    """

    images: Tensor | PackedImages
    person: Tensor
    whose: Tensor
    first: Tensor
    count: Tensor
    similarity: Tensor
    targets: Tensor
    names: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    roots: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def people(self) -> int:
        """How many people there are."""
        return int((self.first == torch.arange(len(self))).sum())

    @property
    def listed_names(self) -> tuple[str, ...]:
        """``names`` as lists of targets and files of labels have them: of a folder that is given several
        times one for all its repeats.
        """
        parts = (name.partition("/") for name in self.names)
        return tuple(f"{self.roots.get(root, root)}/{rest}" for root, _, rest in parts)

    def to(self, device: torch.device) -> Photos:
        """The same photos with the pixels on ``device``."""
        return dataclasses.replace(self, images=self.images.to(device))

    def fingerprint(self) -> str:
        """A short name for this very set of photos, wherever their folders lie."""
        return _short_hash(self.names)

    def targets_fingerprint(self) -> str:
        """Likewise for those that may be targets."""
        return _short_hash(sorted(self.names[row] for row in self.targets.tolist()))

    @functools.cached_property
    def strangers(self) -> tuple[Tensor, Tensor, Tensor]:
        """All rows M ordered by who is shown; where in that order the photos of each row's person begin; and
        how many they are, M each.
        """
        counts = self.whose.bincount()
        return (
            self.whose.argsort(stable=True),
            (counts.cumsum(0) - counts)[self.whose],
            counts[self.whose],
        )

    def split(self, fraction: float, seed: int) -> tuple[Photos, Photos | None]:
        """Set aside ``fraction`` of the people (at least one): the rest, and those or None for fraction 0.

        A person of a folder that is given several times is on one side with all repeats.

        Raises:
            HimeError: there is only one person.
        """
        if fraction == 0:
            return self, None
        people: dict[int, str] = {}  # by the first of the names that each has
        for whose, name in zip(self.whose.tolist(), self.names, strict=True):
            people.setdefault(whose, name.rpartition("/")[0])
        if len(people) < 2:
            raise HimeError("one person cannot be split: give more people or set held_out_fraction=0")
        count = min(max(1, round(fraction * len(people))), len(people) - 1)
        _, held_out = split_people(people.values(), count / len(people), seed)
        aside = set(held_out)
        chosen = torch.tensor([people[whose] in aside for whose in self.whose.tolist()])
        return self._rows(~chosen), self._rows(chosen)

    def _rows(self, chosen: Tensor) -> Photos:
        """The photos of some people, all of each."""
        rows = chosen.nonzero().flatten()
        images = self.images
        images = images.chosen(rows) if isinstance(images, PackedImages) else images[rows.to(images.device)]
        _, counts = torch.unique_consecutive(self.person[rows], return_counts=True)
        person, first, count = runs_of(counts)
        return dataclasses.replace(
            self,
            images=images,
            person=person,
            whose=self.whose[rows],
            first=first,
            count=count,
            similarity=self.similarity[rows, : int(counts.max())],
            targets=torch.isin(rows, self.targets).nonzero().flatten(),
            names=tuple(self.names[int(row)] for row in rows),
            labels={name: known[rows] for name, known in self.labels.items()},
        )

    def restrict(self, targets: Collection[str]) -> Photos:
        """The same photos with those whose name, listed or their own, is in ``targets`` as the only targets.

        Raises:
            HimeError: there is none of them.
        """
        wanted, listed = set(targets), self.listed_names
        chosen = torch.tensor([not wanted.isdisjoint(both) for both in zip(listed, self.names, strict=True)])
        if not chosen.any():
            raise HimeError(
                f"none of the photos is among the {len(targets)} targets, such as "
                f"{min(targets, default='(none)')}; write them like {listed[0]}, one a line"
            )
        return dataclasses.replace(self, targets=chosen.nonzero().flatten())


def load_photos(
    sources: Sequence[tuple[Path | str, Sequence[str] | None]], size: int = 128, *, progress: bool = True
) -> Photos:
    """Read the photos of people into memory; packed ones (`hime.data.pack`) stay where they are.

    Args:
        sources: (people folder or pack, its people or None for all of them); a name below two roots is two
            people. A root may be given several times, so that its photos are drawn more often. Packs give
            what their people folders would: the same photos, in the same order.
        size: side of the HR targets. Larger square crops are reduced by area; smaller and not square ones,
            and files that cannot be decoded, are left out with a line in ``skipped``.
        progress: show a progress bar on a terminal.

    Raises:
        HimeError: a root or a person is missing, or nothing usable is left, or some of the roots are packs
            and others are not. People with one photo are left out too: they can be nobody's reference.
    """
    roots = ", ".join(str(root) for root, _ in sources)
    packs = [is_pack(root) for root, _ in sources]
    if any(packs) and not all(packs):
        raise HimeError(f"{roots}: some are packs, others are not; pack all of them (`hime prepare --pack`)")
    images: Tensor | PackedImages
    read = read_packed(sources, size) if any(packs) else _read_all(sources, size, progress)
    images, names, shown, skipped, own = read
    counts = Counter(name.rpartition("/")[0] for name in names)
    alone = [f"{name}: only one usable photo" for name, count in counts.items() if count < 2]
    kept = torch.tensor([counts[name.rpartition("/")[0]] >= 2 for name in names], dtype=torch.bool)
    if not kept.any():
        reason = f" ({[*skipped, *alone][0]})" if skipped or alone else ""
        raise HimeError(f"{roots}: no person with two usable photos{reason}; give folders ROOT/PERSON/*.webp")
    rows = kept.nonzero().flatten()
    if alone:
        images = images.chosen(rows) if isinstance(images, PackedImages) else images[rows]
    names = [names[int(row)] for row in rows]
    numbers = {name: number for number, name in enumerate(counts)}
    person = torch.tensor([numbers[name.rpartition("/")[0]] for name in names])
    shown = [shown[int(row)] for row in rows]
    people = {one: number for number, one in enumerate(dict.fromkeys(shown))}
    whose = torch.tensor([people[one] for one in shown])
    photos = assemble(images, person, tuple(names), (*skipped, *alone), whose)
    return dataclasses.replace(photos, roots=own)


def _read_all(
    sources: Sequence[tuple[Path | str, Sequence[str] | None]], size: int, progress: bool
) -> tuple[Tensor, list[str], list[str], list[str], dict[str, str]]:
    """The usable photos of the sources' people, "SOURCE/PERSON/FILE" and the person's own folder of each,
    lines about the others, and `own_names` of the sources.
    """
    files: list[tuple[str, str, Path]] = []
    folders = [Path(root).resolve() for root, _ in sources]
    labels = distinct([folder.name for folder in folders])
    roots = own_names(labels, [(folder.name, str(folder)) for folder in folders])
    for label, (root, people) in zip(labels, sources, strict=True):
        chosen = people_in(root) if people is None else photos_of(root, people)
        for name, paths in chosen.items():
            folder = str(Path(root, name).resolve())  # the same wherever links to it lie
            files += [(f"{label}/{name}/{path.name}", folder, path) for path in paths]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        read = pool.map(lambda file: _read(file[-1], size), files)
        results = list(tqdm(read, "photos", len(files), unit="photo", disable=None if progress else True))
    skipped = [result for result in results if isinstance(result, str)]
    usable = [result for result in results if not isinstance(result, str)]
    kept = [file for file, result in zip(files, results, strict=True) if not isinstance(result, str)]
    names, shown = [name for name, _, _ in kept], [folder for _, folder, _ in kept]
    if not usable:
        return torch.empty(0, 3, size, size, dtype=torch.uint8), names, shown, skipped, roots
    images = torch.from_numpy(np.stack(usable)).permute(0, 3, 1, 2).contiguous()
    return images, names, shown, skipped, roots


def _read(path: Path, size: int) -> np.ndarray | str:
    """The photo as S×S×3 uint8, or the line that says why not."""
    try:
        return read_target(path, size)
    except HimeError as error:
        return str(error)


def _short_hash(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode(errors="surrogatepass")).hexdigest()[:16]


def runs_of(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``person``, ``first`` and ``count`` of `Photos` for people with so many photos each."""
    person = torch.arange(len(counts)).repeat_interleave(counts)
    starts = counts.cumsum(0) - counts
    return person, starts[person], counts[person]


def assemble(
    images: Tensor | PackedImages,
    person: Tensor,
    names: tuple[str, ...],
    skipped: tuple[str, ...] = (),
    whose: Tensor | None = None,
) -> Photos:
    """``Photos`` of images M×3×S×S uint8 sorted by person: numbers people, makes the similarity table.

    ``whose`` as in `Photos`; None: every person is another one.
    """
    _, counts = torch.unique_consecutive(person, return_counts=True)
    everyone = torch.arange(len(names))
    similarity = torch.full((len(names), int(counts.max())), -torch.inf)
    for rows in everyone.split(counts.tolist()):
        table = photo_similarity(images[rows.to(images.device)]).cpu()
        similarity[rows[0] : rows[-1] + 1, : len(rows)] = table.fill_diagonal_(-torch.inf)
    person, first, count = runs_of(counts)
    whose = person if whose is None else whose
    return Photos(images, person, whose, first, count, similarity, everyone, names, skipped)


def photo_similarity(images: Tensor) -> Tensor:
    """Correlation of the grey 16×16 reductions, means removed: M×3×S×S uint8 → M×M float32 in [−1, 1]."""
    grey = images.float().mean(dim=1, keepdim=True)
    small = F.adaptive_avg_pool2d(grey, THUMBNAIL).flatten(1)
    small = small - small.mean(dim=1, keepdim=True)
    small = small / small.norm(dim=1, keepdim=True).clamp_min(1e-6)
    similarity: Tensor = small @ small.T
    return similarity
