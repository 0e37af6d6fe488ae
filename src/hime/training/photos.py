"""The training photos in memory: whose each is, and how much the photos of a person are alike.

Shapes: ``M`` photos, ``K`` photos of the person who has most, ``S`` HR size.
"""

from __future__ import annotations

import dataclasses
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

from hime.data.people import people_in, photos_of, split_people
from hime.errors import HimeError
from hime.pictures.reading import read_target

THUMBNAIL = 16
"""Side of the grey reductions whose correlation is the similarity of two photos."""


@dataclasses.dataclass(frozen=True)
class Photos:
    """Photos of people, those of a person in one run of rows.

    ``images``: M×3×S×S uint8. ``person``: M, the number of each photo's person. ``first``, ``count``: M, the
    row where that person's photos begin and how many they are. ``similarity``: M×K float32, to each photo of
    the same person in order; −inf for the photo itself and beyond ``count``. ``targets``: the rows that may
    be a target; all may be references. All but ``images`` stay on the CPU. ``names``: M of
    "SOURCE/PERSON/FILE"; ``skipped``: a line for each file that could not be used. ``labels``: what else is
    known of them, see `hime.training.labels`; M rows each.
    """

    images: Tensor
    person: Tensor
    first: Tensor
    count: Tensor
    similarity: Tensor
    targets: Tensor
    names: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    labels: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def people(self) -> int:
        """How many people there are."""
        return int((self.first == torch.arange(len(self))).sum())

    def to(self, device: torch.device) -> Photos:
        """The same photos with the pixels on ``device``."""
        return dataclasses.replace(self, images=self.images.to(device))

    def fingerprint(self) -> str:
        """A short name for this very set of photos, wherever their folders lie."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()[:16]

    def split(self, fraction: float, seed: int) -> tuple[Photos, Photos | None]:
        """Set aside ``fraction`` of the people (at least one): the rest, and those or None for fraction 0.

        Raises:
            HimeError: there is only one person.
        """
        if fraction == 0:
            return self, None
        people = list(dict.fromkeys(name.rpartition("/")[0] for name in self.names))
        if len(people) < 2:
            raise HimeError("one person cannot be split: give more people or set held_out_fraction=0")
        count = min(max(1, round(fraction * len(people))), len(people) - 1)
        _, held_out = split_people(people, count / len(people), seed)
        aside = set(held_out)
        chosen = torch.tensor([name.rpartition("/")[0] in aside for name in self.names])
        return self._rows(~chosen), self._rows(chosen)

    def _rows(self, chosen: Tensor) -> Photos:
        rows = chosen.nonzero().flatten()
        names = tuple(self.names[int(row)] for row in rows)
        part = assemble(self.images[rows.to(self.images.device)], self.person[rows], names, self.skipped)
        labels = {name: known[rows] for name, known in self.labels.items()}
        targets = torch.isin(rows, self.targets).nonzero().flatten()
        return dataclasses.replace(part, targets=targets, labels=labels)

    def restrict(self, targets: Collection[str]) -> Photos:
        """The same photos with those of ``names`` that are in ``targets`` as the only targets.

        Raises:
            HimeError: there is none of them.
        """
        chosen = torch.tensor([name in targets for name in self.names])
        if not chosen.any():
            raise HimeError(
                f"none of the photos is among the {len(targets)} targets, such as "
                f"{min(targets, default='(none)')}; write them like {self.names[0]}, one a line"
            )
        return dataclasses.replace(self, targets=chosen.nonzero().flatten())


def load_photos(
    sources: Sequence[tuple[Path | str, Sequence[str] | None]], size: int = 128, *, progress: bool = True
) -> Photos:
    """Read the photos of people into memory.

    Args:
        sources: (root folder, its people or None for all of them); a name below two roots is two people.
        size: side of the HR targets. Larger square crops are reduced by area; smaller and not square ones,
            and files that cannot be decoded, are left out with a line in ``skipped``.
        progress: show a progress bar on a terminal.

    Raises:
        HimeError: a root or a person is missing, or nothing usable is left. People with one photo are left
            out too: they can be nobody's reference.
    """
    files: list[tuple[str, Path]] = []
    labels = _labels([Path(root) for root, _ in sources])
    for label, (root, people) in zip(labels, sources, strict=True):
        chosen = people_in(root) if people is None else photos_of(root, people)
        files += [(f"{label}/{name}", path) for name, paths in chosen.items() for path in paths]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        read = pool.map(lambda file: _read(file[1], size), files)
        results = list(tqdm(read, "photos", len(files), unit="photo", disable=None if progress else True))

    skipped = [result for result in results if isinstance(result, str)]
    usable = [
        (*file, image) for file, image in zip(files, results, strict=True) if not isinstance(image, str)
    ]
    photos = Counter(name for name, _, _ in usable)
    skipped += [f"{name}: only one usable photo" for name, count in photos.items() if count < 2]
    usable = [photo for photo in usable if photos[photo[0]] >= 2]
    if not usable:
        roots = ", ".join(str(root) for root, _ in sources)
        reason = f" ({skipped[0]})" if skipped else ""
        raise HimeError(f"{roots}: no person with two usable photos{reason}; give folders ROOT/PERSON/*.webp")

    images = torch.from_numpy(np.stack([image for _, _, image in usable])).permute(0, 3, 1, 2).contiguous()
    numbers = {name: number for number, name in enumerate(photos)}
    person = torch.tensor([numbers[name] for name, _, _ in usable])
    names = tuple(f"{name}/{path.name}" for name, path, _ in usable)
    return assemble(images, person, names, tuple(skipped))


def _labels(roots: Sequence[Path]) -> list[str]:
    """The last part of each root, numbered where two are the same."""
    names = [root.resolve().name for root in roots]
    return [f"{name}-{place}" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]


def _read(path: Path, size: int) -> np.ndarray | str:
    """The photo as S×S×3 uint8, or the line that says why not."""
    try:
        return read_target(path, size)
    except HimeError as error:
        return str(error)


def assemble(images: Tensor, person: Tensor, names: tuple[str, ...], skipped: tuple[str, ...] = ()) -> Photos:
    """``Photos`` of images M×3×S×S uint8 sorted by person: numbers people, makes the similarity table."""
    _, person, counts = torch.unique_consecutive(person, return_inverse=True, return_counts=True)
    starts = counts.cumsum(0) - counts
    similarity = torch.full((len(names), int(counts.max())), -torch.inf)
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        table = photo_similarity(images[start : start + count]).cpu()
        similarity[start : start + count, :count] = table.fill_diagonal_(-torch.inf)
    everyone = torch.arange(len(names))
    return Photos(images, person, starts[person], counts[person], similarity, everyone, names, skipped)


def photo_similarity(images: Tensor) -> Tensor:
    """Correlation of the grey 16×16 reductions, means removed: M×3×S×S uint8 → M×M float32 in [−1, 1]."""
    grey = images.float().mean(dim=1, keepdim=True)
    small = F.adaptive_avg_pool2d(grey, THUMBNAIL).flatten(1)
    small = small - small.mean(dim=1, keepdim=True)
    small = small / small.norm(dim=1, keepdim=True).clamp_min(1e-6)
    similarity: Tensor = small @ small.T
    return similarity
