"""A data set as it is distributed → a people folder with its split and its evaluation list.

    OUT/PERSON/FILE                     links to the pictures, or copies in one size
    OUT/train.txt, val.txt, test.txt    the split, a person a line (val only if the data set has one)
    OUT/test.jsonl                      the evaluation list: inputs of people in test, and their references
    OUT/prepared.json                   what was done, with all that was found amiss

Every picture is read once, so that none stops a training later. The same command again goes on where it was
stopped: each file appears whole or not at all, and the lists last. It makes anew what was made of a picture
that is another by now, and with another root what was made of the one before.

The split and the list depend on the seed and on the data set's own names, not on the pictures' size or
format. What is published for CelebAMask-HQ is the split of seed 0, in ``celebamask_hq/``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hime.data.people import (
    ListEntry,
    choose_entries,
    format_list,
    read_people,
    split_people,
    write_list,
    write_people,
)
from hime.data.placing import Placing, place
from hime.data.sources import PARTS, Source, read_source
from hime.errors import HimeError
from hime.files import reason_of, write_json
from hime.terminal import note, some_of

HELD_OUT = 287 / 2887
"""Share of people in ``test`` where the split is ours: section 5.1 holds out 287 of 2,887."""

PUBLISHED = Path(__file__).parent / "celebamask_hq"
PUBLISHED_LIST = "fea89e7fc7baa6adc3f0db14dddd38ec1e7382e7527e6860470fb88ad5a27d6c"
"""SHA-256 of the evaluation list of CelebAMask-HQ: seed 0, three references, five inputs a person."""

RECORD = "prepared.json"
EXAMPLES = 5


@dataclass
class Prepared:
    """What `prepare` found and did.

    Attributes:
        dataset: its name.
        out: the people folder.
        people: how many the data set has.
        pictures: of the people who have enough of them, by the index.
        minimum: how many pictures are enough.
        split: each part with its people who were prepared.
        entries: of the evaluation list, by the data set's own names.
        missing: PERSON/NAME of pictures that are not there.
        unusable: ``PERSON/NAME: reason`` of pictures that no training could use.
        faceless: PERSON/NAME of photographs in which no face was found; left out.
        small: PERSON/NAME of headshots with fewer pixels than the copies are to have; left out.
        renamed: ``expected is found``.
        extra: pictures that the index does not know.
        is_published: whether split and list are those of `PUBLISHED`; None for other data sets.
        is_done: the lists are written; else something was missing or unusable and has to be accepted.
    """

    dataset: str
    out: Path
    people: int
    pictures: int
    minimum: int
    split: dict[str, list[str]]
    entries: list[ListEntry] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    faceless: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    is_published: bool | None = None
    is_done: bool = False

    def __str__(self) -> str:
        kept = sum(map(len, self.split.values()))
        lines = [
            f"{self.dataset}: {self.people} people, {kept} with at least {self.minimum} pictures, "
            f"{self.pictures} pictures"
        ]
        for name, found in self.problems.items():
            if found:
                lines.append(f"  {name}: {len(found)} ({some_of(found, EXAMPLES)})")
        if self.is_done:
            parts = ", ".join(f"{part} {len(people)} people" for part, people in self.split.items())
            lines.append(f"  {parts}; {len(self.entries)} inputs to evaluate")
        if self.is_done and self.is_published is not None:
            lines.append(f"  {'' if self.is_published else 'not '}the published split and list")
        return "\n".join(lines)

    @property
    def problems(self) -> dict[str, list[str]]:
        """All that was found amiss, by its kind."""
        kinds = ("missing", "unusable", "faceless", "small", "renamed", "extra")
        return {kind: getattr(self, kind) for kind in kinds}

    def as_json(self) -> dict[str, Any]:
        """The contents of ``prepared.json``, but for the settings."""
        return {
            "people": self.people,
            "pictures": self.pictures,
            "split": {part: len(people) for part, people in self.split.items()},
            "inputs": len(self.entries),
            "published": self.is_published,
            **self.problems,
        }


def prepare(
    dataset: str,
    root: Path | str,
    out: Path | str,
    *,
    size: int | None = None,
    hard_links: bool = False,
    references: int = 3,
    inputs_per_person: int = 5,
    seed: int = 0,
    partial: bool = False,
    lists_only: bool = False,
    placing: Placing | None = None,
) -> Prepared:
    """Prepare the data set called ``dataset`` (`hime.data.sources.DATASETS`).

    Args:
        dataset: its name.
        root: the folder it was unpacked in.
        out: the people folder to write.
        size: copies of so many pixels a side, as PNG: headshots reduced by area as `images.read_target` does
            it, whole photographs (CelebA, LFW) cut to headshots by `headshot.cut`. None for links to the
            pictures as they are, which is for data sets of headshots only.
        hard_links: rather than symbolic ones.
        references: of each input of the list; people without so many pictures and one more are left out.
        inputs_per_person: of the list, at most.
        seed: of the split and the list.
        partial: go on though pictures are missing or unusable.
        lists_only: read the index and write the lists; no picture is looked for.
        placing: puts pictures into place; default `hime.data.placing.in_threads`.

    Returns:
        What was found; with ``is_done`` False, nothing but good pictures is in ``out``.

    Raises:
        HimeError: the data set cannot be read, nobody has enough pictures, or ``out`` is not free.
    """
    out = Path(out)
    source = read_source(dataset, root, with_pictures=not lists_only)
    _check_size(source, size, dataset, lists_only)
    kept = {person: names for person, names in source.people.items() if len(names) > references}
    if not kept:
        raise HimeError(f"{root}: nobody has {references + 1} pictures; ask for fewer --references")
    split = _split(kept, source, seed)
    prepared = Prepared(
        dataset=dataset,
        out=out,
        people=len(source.people),
        pictures=sum(map(len, kept.values())),
        minimum=references + 1,
        split=split,
        missing=[] if lists_only else source.missing,
        renamed=source.renamed,
        extra=source.extra,
    )
    if prepared.missing and not partial:
        return prepared
    settings = {"dataset": dataset, "size": size, "hard_links": hard_links, "lists_only": lists_only}
    claim = _claim(out, settings, _text(Path(root).resolve()))
    file_names = {person: {name: name for name in names} for person, names in kept.items()}
    if not lists_only:
        placed = place(source, kept, out, size, hard_links, placing, claim.roots, claim.placed, claim.note)
        file_names = placed.file_names
        prepared.unusable, prepared.faceless, prepared.small = placed.unusable, placed.faceless, placed.small
        if prepared.unusable and not partial:
            return prepared
    enough = _with_enough(file_names, references, root)
    for part, people in split.items():
        split[part] = [person for person in people if person in enough]
    held_out = {person: enough[person] for person in split["test"]}
    prepared.entries = choose_entries(held_out, references, inputs_per_person, seed)
    if dataset == "celebamask-hq":
        prepared.is_published = is_published(split, prepared.entries)
    _write_lists(out, split, [_renamed(entry, file_names) for entry in prepared.entries])
    prepared.is_done = True
    lists = {"seed": seed, "references": references, "inputs_per_person": inputs_per_person}
    claim.write({**settings, **lists, **prepared.as_json()})
    return prepared


@dataclass
class _Claim:
    """The record of a people folder that is ours.

    Attributes:
        out: the folder.
        record: its contents, but for what follows.
        roots: that it has been prepared from, the latest last.
        placed: PERSON/FILE of what was put into place.
    """

    out: Path
    record: Mapping[str, object]
    roots: list[str]
    placed: frozenset[str] = frozenset()

    def note(self, placed: Collection[str]) -> None:
        """That this is put into place."""
        if self.placed != frozenset(placed):
            self.placed = frozenset(placed)
            self.write(self.record)

    def write(self, record: Mapping[str, object]) -> None:
        """Write the record, with other contents."""
        self.record = record
        ours = {"roots": self.roots, "placed": sorted(self.placed)}
        others = {key: value for key, value in record.items() if key not in ours}
        write_json(self.out / RECORD, {**others, **ours})


def _with_enough(
    file_names: Mapping[str, Mapping[str, str]], references: int, root: Path | str
) -> dict[str, list[str]]:
    """The usable pictures of those who have enough of them."""
    enough = {person: list(names) for person, names in file_names.items() if len(names) > references}
    if not enough:
        raise HimeError(
            f"{root}: nobody has {references + 1} usable pictures of that size; give another --size"
        )
    return enough


def is_published(split: Mapping[str, Sequence[str]], entries: Sequence[ListEntry]) -> bool:
    """Whether these are the split and the evaluation list of CelebAMask-HQ that are published here."""
    digest = hashlib.sha256(format_list(entries).encode()).hexdigest()
    same = all(list(people) == read_people(PUBLISHED / f"{part}.txt") for part, people in split.items())
    return same and digest == PUBLISHED_LIST


def _check_size(source: Source, size: int | None, dataset: str, lists_only: bool) -> None:
    """Refuse a size of copies that there cannot be."""
    if size is None and not source.is_cut and not lists_only:
        raise HimeError(f"{dataset}: headshots are cut out of its photographs; give --size, say 128")
    if size is not None and size < 1:
        raise HimeError(f"copies of {size} pixels: give a size of at least 1")


def _split(kept: Mapping[str, Sequence[str]], source: Source, seed: int) -> dict[str, list[str]]:
    """Each part with its people, sorted by name."""
    if source.parts is None:
        return dict(zip(("train", "test"), split_people(kept, HELD_OUT, seed), strict=True))
    return {part: sorted(person for person in kept if source.parts[person] == part) for part in PARTS}


def _claim(out: Path, settings: Mapping[str, object], root: str) -> _Claim:
    """Make ``out`` ours, or see that it is: prepared before with the same settings."""
    try:
        is_free = not out.exists() or not any(out.iterdir())
    except OSError as error:
        raise HimeError(
            f"{out}: not a folder to write to ({reason_of(error)}); choose another --out"
        ) from None
    if is_free:
        claim = _Claim(out, settings, [root])
        claim.write(settings)
        return claim
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
        before = {key: record[key] for key in settings}
        roots = list(map(str, record.get("roots", [])))
        placed = frozenset(map(str, record.get("placed", [])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise HimeError(f"{out}: is there already and was not prepared here; choose another --out") from None
    if before != settings:
        told = ", ".join(f"{key} {value}" for key, value in before.items())
        raise HimeError(f"{out}: was prepared with {told}; choose another --out")
    others = [each for each in roots if each != root]
    if settings["hard_links"]:
        # A folder that was only moved still has what the links are of.
        others = [each for each in others if os.path.lexists(each) and os.path.realpath(each) != root]
    if others and settings["hard_links"]:  # nothing tells which files are links to the other root
        raise HimeError(f"{out}: holds hard links to {others[-1]}; choose another --out")
    if "roots" not in record and settings["size"] is not None:  # what copies were made of was not told then
        note(f"{out}: was prepared by an earlier version; its copies are made anew, this once")
    claim = _Claim(out, record, [*others, root], placed)
    claim.write(record)
    return claim


def _text(path: Path) -> str:
    """A path as it can be written to the record, whatever bytes its name has."""
    return str(path).encode("utf-8", errors="replace").decode()


def _write_lists(out: Path, split: Mapping[str, Sequence[str]], entries: Sequence[ListEntry]) -> None:
    for part, people in split.items():
        write_people(out / f"{part}.txt", people)
    write_list(out / "test.jsonl", entries)


def _renamed(entry: ListEntry, file_names: Mapping[str, Mapping[str, str]]) -> ListEntry:
    """The entry with the names of the files as they were placed."""

    def placed(path: str) -> str:
        person, name = path.split("/")
        return f"{person}/{file_names[person][name]}"

    return ListEntry(placed(entry.input), tuple(map(placed, entry.references)))
