"""Who is in a data set, which pictures show them, and where these are: a reader for each data set.

Index files and image folders are looked for in ROOT and up to two folders below, since the distributions
differ in how they are packed. Header lines of the index files are optional.

| data set | index | pictures | split |
|---|---|---|---|
| celebamask-hq | `CelebA-HQ-to-CelebA-mapping.txt`, `identity_CelebA.txt` | `CelebA-HQ-img/N.jpg` | seed |
| celeba | `identity_CelebA.txt`, `list_landmarks_celeba.txt` (or `…_align_…`), `list_eval_partition.txt` |
  `img_celeba/N.jpg` (or `img_align_celeba`) | its own |
| lfw | the folders | `lfw/NAME/NAME_N.jpg`, any of its versions | seed |
| ffhq-ref | `reference_mapping/*_references.csv` | `images1024x1024` or `images512x512`, N.png | its own |
| folder | the folders | `ROOT/PERSON/*` | seed |
"""

from __future__ import annotations

import ast
import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hime.data.people import people_in
from hime.errors import HimeError
from hime.files import reason_of
from hime.pictures.formats import SUFFIXES

PARTS = ("train", "val", "test")
"""Of a split; a split by seed has no ``val``."""

HEADER_LINES = 2
"""An index file begins with no more lines than these that are no rows."""

Landmarks = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Source:
    """A data set, read.

    Attributes:
        people: each person with the names of all pictures that the index knows, both in order.
        files: PERSON/NAME → the file, of the pictures that are there.
        renamed: ``expected is found``, of files that have the right number under another name.
        extra: pictures that the index does not know; they are not used.
        parts: each person's part of the data set's own split (`PARTS`), or None if it has none.
        landmarks: PERSON/NAME → eyes, nose and mouth, 5×2 in pixels; empty where there are none.
        is_cut: the pictures are headshots already.
    """

    people: dict[str, list[str]]
    files: dict[str, Path]
    renamed: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    parts: dict[str, str] | None = None
    landmarks: Mapping[str, Landmarks] = field(default_factory=dict)
    is_cut: bool = True

    @property
    def missing(self) -> list[str]:
        """PERSON/NAME of the pictures that the index knows and that are not there."""
        return [
            f"{person}/{name}"
            for person, names in self.people.items()
            for name in names
            if f"{person}/{name}" not in self.files
        ]


def read_source(name: str, root: Path | str, with_pictures: bool = True) -> Source:
    """Read the data set called ``name`` (`DATASETS`) below ``root``.

    Args:
        name: of the data set.
        root: the folder it was unpacked in.
        with_pictures: look for the pictures; else only the index is read, where the data set has one.

    Raises:
        HimeError: no such data set, an index file or the image folder is not there, or it is damaged.
    """
    root = Path(root)
    if name not in DATASETS:
        raise HimeError(f"{name}: no such data set; choose one of {', '.join(DATASETS)}")
    if not root.is_dir():
        raise HimeError(f"{root}: no such folder; give the one that {name} was unpacked in")
    return DATASETS[name](root, with_pictures)


# ------------------------------------------------------------------------------------------- data sets


def celebamask_hq(root: Path, with_pictures: bool = True) -> Source:
    """CelebAMask-HQ (Lee et al. 2020): 30,000 headshots of 6,217 of CelebA's people."""
    identities = _identities(root)
    mapping = _index_file(root, "CelebA-HQ-to-CelebA-mapping.txt")
    people: dict[str, list[str]] = {}
    seen: set[str] = set()
    for number, _, original in _rows(mapping, r"(\d+)\s+(\d+)\s+(\S+)"):
        if original not in identities:
            raise HimeError(
                f"{mapping}: {original} has no line in identity_CelebA.txt; get both from CelebA's site"
            )
        if number in seen:
            raise HimeError(f"{mapping}: picture {number} is there twice; get the file again")
        seen.add(number)
        people.setdefault(identities[original], []).append(f"{number}.jpg")
    people = _in_order(people)
    if not with_pictures:
        return Source(people, {})
    return _located(people, _image_folder(root, "CelebA-HQ-img"))


def celeba(root: Path, with_pictures: bool = True) -> Source:
    """CelebA (Liu et al. 2015): 202,599 photographs of 10,177 people, with its own partition of people.

    From the photographs as found (`img_celeba`) where they are there, else from those that CelebA has
    reduced to 178×218 pixels (`img_align_celeba`); each with the landmarks that belong to it.
    """
    people: dict[str, list[str]] = {}
    identities = _identities(root)
    for name, person in identities.items():
        people.setdefault(person, []).append(name)
    people = _in_order(people)
    partition = _index_file(root, "list_eval_partition.txt")
    part_of = {name: PARTS[int(part)] for name, part in _rows(partition, r"(\S+)\s+([012])")}
    parts = {person: _only_part(person, names, part_of, partition) for person, names in people.items()}
    if not with_pictures:
        return Source(people, {}, parts=parts, is_cut=False)
    original = _find(root, "img_celeba", Path.is_dir)
    folder = original or _image_folder(root, "img_align_celeba")
    points = _index_file(root, f"list_landmarks{'' if original else '_align'}_celeba.txt")
    landmarks = {}
    for name, *values in _rows(points, r"(\S+)" + r"\s+(-?\d+)" * 10):
        if name in identities:
            numbers = list(map(float, values))
            landmarks[f"{identities[name]}/{name}"] = list(zip(numbers[::2], numbers[1::2], strict=True))
    unknown = [name for name, person in identities.items() if f"{person}/{name}" not in landmarks]
    if unknown:
        raise HimeError(f"{points}: {len(unknown)} pictures have no line, {unknown[0]} first; get it again")
    return _located(people, folder, parts=parts, landmarks=landmarks, is_cut=False)


def lfw(root: Path, with_pictures: bool = True) -> Source:
    """Labeled Faces in the Wild (Huang et al. 2007): 13,233 photographs of 5,749 people.

    Somebody's pictures are numbered from 1 on, so that a gap shows what is missing.
    """
    folder = next(
        (
            found
            for name in ("lfw", "lfw-deepfunneled", "lfw_funneled")
            if (found := _find(root, name, _is_lfw))
        ),
        root,
    )
    source = plain_folder(folder)
    people: dict[str, list[str]] = {}
    files: dict[str, Path] = {}
    extra: list[str] = []
    for person, names in source.people.items():
        pattern = re.compile(re.escape(person) + r"_(\d{4})\.jpg")
        numbers = {int(match[1]): name for name in names if (match := pattern.fullmatch(name))}
        extra += [f"{person}/{name}" for name in names if name not in numbers.values()]
        if numbers:
            people[person] = [f"{person}_{number:04}.jpg" for number in range(1, max(numbers) + 1)]
            files |= {f"{person}/{name}": folder / person / name for name in numbers.values()}
    if not people:
        raise HimeError(f"{folder}: no NAME/NAME_0001.jpg in it; give the folder that LFW was unpacked in")
    return Source(people, files, extra=extra, is_cut=False)


def ffhq_ref(root: Path, with_pictures: bool = True) -> Source:
    """FFHQ-Ref (Hsiao et al. 2024): headshots of FFHQ (Karras et al. 2019) that show the same people.

    The index names for each picture others of the same person; who is linked so, over any number of steps,
    is one person, named after the first picture. The people of FFHQ-Ref's test part are held out.
    """
    mapping = _find(root, "reference_mapping", Path.is_dir)
    if mapping is None:
        raise HimeError(f"{root}: no folder reference_mapping in it; unpack FFHQ-Ref there")
    leader: dict[str, str] = {}  # picture → another of the same person, itself for the person's first

    def first_of(picture: str) -> str:
        while leader.setdefault(picture, picture) != picture:
            leader[picture] = leader[leader[picture]]
            picture = leader[picture]
        return picture

    part_of: dict[str, str] = {}
    for part in PARTS:
        path = mapping / f"{part}_references.csv"
        for target, references in _ffhq_rows(path):
            for picture in (target, *references):
                one, other = sorted((first_of(target), first_of(picture)))
                leader[other] = one
                # A person of two parts goes to the later one, so that nobody tested was trained on.
                part_of[picture] = max(part, part_of.get(picture, part), key=PARTS.index)
    people: dict[str, list[str]] = {}
    for picture in sorted(leader):
        people.setdefault(Path(first_of(picture)).stem, []).append(picture)
    parts = {
        person: max((part_of[name] for name in names), key=PARTS.index) for person, names in people.items()
    }
    if not with_pictures:
        return Source(people, {}, parts=parts)
    folder = _find(root, "images1024x1024", Path.is_dir) or _find(root, "images512x512", Path.is_dir)
    if folder is None:
        raise HimeError(f"{root}: no folder images1024x1024 or images512x512 in it; unpack FFHQ there")
    located = _located(people, folder, parts=parts)
    return Source(people, located.files, located.renamed, parts=parts)  # FFHQ has many more than FFHQ-Ref


def plain_folder(root: Path, with_pictures: bool = True) -> Source:
    """A people folder: ROOT/PERSON/*.{jpg,jpeg,png,webp}, headshots framed alike."""
    found = people_in(root)
    files = {f"{person}/{path.name}": path for person, paths in found.items() for path in paths}
    return Source({person: [path.name for path in paths] for person, paths in found.items()}, files)


DATASETS: dict[str, Callable[[Path, bool], Source]] = {
    "celebamask-hq": celebamask_hq,
    "celeba": celeba,
    "lfw": lfw,
    "ffhq-ref": ffhq_ref,
    "folder": plain_folder,
}


# --------------------------------------------------------------------------------------------- helpers


def _find(root: Path, name: str, is_right: Callable[[Path], bool]) -> Path | None:
    """What is called ``name`` in ``root`` or up to two folders below, the nearest first."""
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        for path in sorted(root.glob(pattern)):
            if is_right(path):
                return path
    return None


def _index_file(root: Path, name: str) -> Path:
    path = _find(root, name, Path.is_file)
    if path is None:
        raise HimeError(f"{root}: no {name} in it or up to two folders below; put it there")
    return path


def _image_folder(root: Path, name: str) -> Path:
    folder = _find(root, name, Path.is_dir)
    if folder is None:
        raise HimeError(f"{root}: no folder {name} in it or up to two folders below; unpack it there")
    return folder


def _is_lfw(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*/*_0001.jpg"))


def _rows(path: Path, pattern: str) -> Iterator[tuple[str, ...]]:
    """The rows of an index file as the pattern's groups; blank lines and header lines are left out."""
    row = re.compile(r"\s*" + pattern + r"\s*")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HimeError(f"{path}: cannot be read as text ({error}); get the file again") from None
    found = 0
    headers = 0
    for number, line in enumerate(lines, start=1):
        match = row.fullmatch(line)
        if match:
            found += 1
            yield match.groups()
        elif line.strip():
            headers += 1
            if found or headers > HEADER_LINES:
                raise HimeError(f"{path}:{number}: {line.strip()[:60]!r} is no row of it; get the file again")
    if not found:
        raise HimeError(f"{path}: no row in it; get the file again")


def _identities(root: Path) -> dict[str, str]:
    """CelebA's file name → its number of the person."""
    path = _index_file(root, "identity_CelebA.txt")
    identities: dict[str, str] = {}
    for name, person in _rows(path, r"(\d+\.\w+)\s+(\d+)"):
        if identities.setdefault(name, person) != person:
            raise HimeError(f"{path}: {name} is there twice, as two people; get the file again")
    return identities


def _in_order(people: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """People and their pictures, both by their numbers."""
    return {
        person: sorted(people[person], key=lambda name: int(Path(name).stem))
        for person in sorted(people, key=int)
    }


def _only_part(person: str, names: Sequence[str], part_of: Mapping[str, str], path: Path) -> str:
    """The part that all pictures of a person are in."""
    found = {part_of.get(name) for name in names}
    part = found.pop()
    if found or part is None:
        raise HimeError(f"{path}: the pictures of person {person} are not in one part; get the file again")
    return part


def _located(
    people: dict[str, list[str]],
    folder: Path,
    parts: dict[str, str] | None = None,
    landmarks: Mapping[str, Landmarks] | None = None,
    is_cut: bool = True,
) -> Source:
    """Find the pictures, which are numbered, in ``folder`` or the folders in it.

    A file of the right number counts, whatever zeros and suffix it has, if there is only one.
    """
    found = _pictures(folder)
    by_number: dict[int, list[str]] = {}
    for name in found:
        if Path(name).stem.isdecimal():
            by_number.setdefault(int(Path(name).stem), []).append(name)
    files, renamed = {}, []
    used = set()
    for person, names in people.items():
        for name in names:
            candidates = [name] if name in found else by_number.get(int(Path(name).stem), [])
            if len(candidates) == 1:
                files[f"{person}/{name}"] = found[candidates[0]]
                used.add(candidates[0])
                if candidates[0] != name:
                    renamed.append(f"{name} is {candidates[0]}")
    extra = sorted(name for name in found if name not in used)
    return Source(people, files, renamed, extra, parts, landmarks or {}, is_cut)


def _pictures(folder: Path) -> dict[str, Path]:
    """File name → file, of the pictures in ``folder`` and the folders in it."""
    found: dict[str, Path] = {}
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            if name.startswith(".") or Path(name).suffix.lower() not in SUFFIXES:
                continue
            path = Path(place, name)
            if name in found:
                raise HimeError(f"{path}: there is {found[name]} too; keep one of the two")
            found[name] = path
    return found


def _ffhq_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """A picture and others of the same person, from a table with the columns gt_image and ref_image."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                target, references = row["gt_image"], ast.literal_eval(row["ref_image"])
                if not all(re.fullmatch(r"\d+\.\w+", name) for name in (target, *references)):
                    raise ValueError(f"{target!r}: pictures are called by their numbers")
                yield target, list(references)
    except OSError as error:
        raise HimeError(f"{path}: cannot be read ({reason_of(error)}); unpack FFHQ-Ref again") from None
    except (KeyError, TypeError, ValueError, SyntaxError, csv.Error, RecursionError, MemoryError) as error:
        reason = str(error) or "nested too deeply"
        raise HimeError(f"{path}: no table of FFHQ-Ref ({reason}); unpack it again") from None
