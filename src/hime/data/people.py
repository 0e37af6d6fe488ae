"""Folders of people, identity-disjoint splits and evaluation lists.

A people folder is ``ROOT/PERSON/*.{jpg,jpeg,png,webp}``. A split is a text file with a person a line. An
evaluation list is JSON Lines, ``{"input": "PERSON/FILE", "references": ["PERSON/FILE", …]}``, paths below
ROOT: references are other photos of the same person, each once. Every method is measured on the same list.

Choices depend on the seed and on names alone: candidates are ordered by the SHA-256 of seed and name and
taken from the front. That is the same on every machine and Python version, in whatever order a folder is
read, and adding a person changes nothing for the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from hime.errors import HimeError
from hime.files import open_file, unreadable, unreadable_folder, write_atomically
from hime.pictures.formats import images_in
from hime.terminal import complain, some_of

_SHIPPED = Path(__file__).parents[1] / "demo_people"
DEMO_PEOPLE = _SHIPPED / "rendered"
"""The people folder that comes with the package: rendered, not photographs of people."""
LISA = _SHIPPED / "lisa"
"""Photographs of one person, who released them: whole pictures."""
LONDON = _SHIPPED / "london"
"""A people folder of ten who let their photographs be shown: headshots of 256 pixels, and list.jsonl."""

LARGEST_LIST, LONGEST_PATH, MOST_REFERENCES = 1 << 28, 1024, 1000
"""Bytes of a list, characters of a path in it and references of an entry at the most: far more than any
data set has."""


@dataclass(frozen=True)
class ListEntry:
    """One line of an evaluation list: paths below the people folder, with forward slashes.

    Attributes:
        input: the photo that is degraded, restored and compared with itself.
        references: other photos of the same person.
    """

    input: str
    references: tuple[str, ...]

    @property
    def person(self) -> str:
        """Whose photo the input is."""
        return PurePosixPath(self.input).parts[0]


def people_in(root: Path | str) -> dict[str, list[Path]]:
    """Every person of a people folder with the photos, both sorted by name.

    Hidden folders and folders without a picture are no people. People whose names no split or list can hold
    (`can_be_listed`), and photos of such names, are left out, and that is told.

    Raises:
        HimeError: no such folder, or nobody in it.
    """
    root = Path(root)
    try:
        names = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    except OSError as error:
        raise unreadable_folder(root, error) from None
    people = {name: images_in(root / name) for name in names if not name.startswith(".")}
    people = {name: photos for name, photos in people.items() if photos}
    unfit = [name for name in people if not can_be_listed(name)]
    people = {name: photos for name, photos in people.items() if name not in unfit}
    for name, photos in people.items():
        unfit += [f"{name}/{path.name}" for path in photos if not _is_readable(path.name)]
        people[name] = [path for path in photos if _is_readable(path.name)]
    people = {name: photos for name, photos in people.items() if photos}
    told = f"{root}: {some_of(unfit)}: names that no list can hold {UNFIT}; rename them"
    if unfit and not people:
        raise HimeError(told)
    if unfit:
        complain(f"hime: left out: {told}")
    if not people:
        raise HimeError(f"{root}: nobody in it; people are kept as {root}/PERSON/PHOTO.jpg (or png, webp)")
    return people


UNFIT = "(not UTF-8, a backslash, a line break, or a space at an end)"


def can_be_listed(name: str) -> bool:
    """Whether a split, a person a line, can hold the name of a folder, and gives it back when it is read."""
    return (
        _is_readable(name)
        and name == name.strip()
        and not {"/", "\0", "\n", "\r"} & set(name)
        and not name.startswith((".", "\ufeff"))  # that one would be taken for a byte order mark
        and len(name) <= LONGEST_PATH
    )


def _is_readable(name: str) -> bool:
    """Whether an evaluation list can hold the name of a file: as UTF-8, and the same on every system."""
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no letters
        return False
    return "\\" not in name


def photos_of(root: Path | str, people: Iterable[str]) -> dict[str, list[Path]]:
    """The photos of these people, in the order given; as `people_in`, for a split.

    Raises:
        HimeError: no such folder, or some of the people are not in it.
    """
    known = people_in(root)
    wanted = list(people)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise HimeError(
            f"{root}: no photos of {some_of(missing)}; check the folder, or take them off the list"
        )
    return {name: known[name] for name in wanted}


def read_people(path: Path | str) -> list[str]:
    """The people of a split, a person a line, in the file's order; blank lines are skipped.

    Raises:
        HimeError: not a readable text file, nobody in it, somebody twice, or a line that is no folder name.
    """
    path = Path(path)
    names: dict[str, int] = {}
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        name = line.strip()
        if not name:
            continue
        if not can_be_listed(name):
            raise HimeError(
                f"{path}:{number}: {name[:100]!r} is not the name of a person's folder; a person a line"
            )
        if name in names:
            raise HimeError(f"{path}:{number}: {name} is already on line {names[name]}; keep one of the two")
        names[name] = number
    if not names:
        raise HimeError(f"{path}: nobody in it; write a person a line")
    return list(names)


def read_targets(path: Path | str) -> list[str]:
    """Photos that may be restored, "ROOT/PERSON/FILE" a line with the people folder's own name as ROOT.

    Raises:
        HimeError: not a readable text file, no photo in it, or a line of another form.
    """
    path = Path(path)
    targets = []
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        target = line.strip()
        if target and target.count("/") != 2:
            raise HimeError(f"{path}:{number}: {target!r} is not ROOT/PERSON/FILE")
        if target:
            targets.append(target)
    if not targets:
        raise HimeError(f"{path}: no photo in it; write ROOT/PERSON/FILE a line")
    return targets


def write_people(path: Path | str, people: Sequence[str]) -> Path:
    """Write a split, a person a line, whole or not at all.

    Raises:
        HimeError: it could not be read again, see `can_be_listed`, or it cannot be written.
    """
    unfit = [name for name in people if not can_be_listed(name)]
    if unfit:
        raise HimeError(f"{path}: cannot hold {some_of(unfit)} {UNFIT}; rename the folders")
    text = "".join(f"{name}\n" for name in people)
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def split_people(people: Iterable[str], fraction: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """Part people in two that share nobody: (kept, held out), both sorted by name.

    Args:
        people: the names.
        fraction: share that is held out, in [0, 1]; rounded to whole people, but at least one if it is
            above 0 and there are two or more.
        seed: of the choice.

    Raises:
        HimeError: ``fraction`` is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise HimeError(f"the share of people held out must lie in [0, 1], not {fraction}")
    shuffled = _shuffled(set(people), f"{seed}")
    count = round(fraction * len(shuffled))
    if fraction > 0 and len(shuffled) > 1:
        count = max(1, count)
    return sorted(shuffled[count:]), sorted(shuffled[:count])


def short_of_photos(photos: Mapping[str, Sequence[object]], references: int) -> list[str]:
    """Who has too few photos for one input and that many references."""
    return [name for name, taken in photos.items() if len(taken) < references + 1]


def make_list(
    root: Path | str,
    people: Iterable[str],
    references: int = 3,
    inputs_per_person: int = 5,
    seed: int = 0,
    targets: Iterable[str] | None = None,
) -> list[ListEntry]:
    """Choose inputs and their references.

    Args:
        root: people folder.
        people: who is to be in the list; the list keeps their order.
        references: references of each input: distinct, of the same person, never the input.
        inputs_per_person: at most so many inputs a person, fewer where there are fewer photos; they are in
            the order of their file names.
        seed: of the choice.
        targets: the photos that may be inputs, as `read_targets` gives them; people without are left out.
            None: all may.

    Raises:
        HimeError: somebody is not in the folder, or has fewer than ``references`` + 1 photos.
    """
    photos = photos_of(root, people)
    if short := short_of_photos(photos, references):
        raise HimeError(
            f"{root}: fewer than {references + 1} photos of {some_of(short)}; "
            "take them off the list or ask for fewer references"
        )
    names = {person: [path.name for path in paths] for person, paths in photos.items()}
    allowed = None
    if targets is not None:
        label = Path(root).resolve().name
        allowed = {name.removeprefix(f"{label}/") for name in targets if name.startswith(f"{label}/")}
    return choose_entries(names, references, inputs_per_person, seed, allowed)


def choose_entries(
    photos: Mapping[str, Sequence[str]],
    references: int = 3,
    inputs_per_person: int = 5,
    seed: int = 0,
    inputs: Collection[str] | None = None,
) -> list[ListEntry]:
    """As `make_list`, for people whose photos' names are known, each with more than ``references`` photos.

    ``inputs``: the photos that may be inputs, "PERSON/FILE"; None: all.

    Raises:
        HimeError: the numbers are out of range.
    """
    if references < 0 or inputs_per_person < 1:
        raise HimeError(
            f"a list needs 0 references or more and 1 input a person or more, "
            f"not {references} and {inputs_per_person}"
        )
    entries = []
    for person, names in photos.items():
        candidates = [name for name in names if inputs is None or f"{person}/{name}" in inputs]
        for chosen in sorted(_shuffled(candidates, f"{seed}/{person}")[:inputs_per_person]):
            others = _shuffled((name for name in names if name != chosen), f"{seed}/{person}/{chosen}")
            entries.append(
                ListEntry(f"{person}/{chosen}", tuple(f"{person}/{name}" for name in others[:references]))
            )
    return entries


def read_list(path: Path | str) -> list[ListEntry]:
    """Read an evaluation list; whether its photos exist shows when they are read.

    Raises:
        HimeError: not a readable text file, no entry in it, or a line that is no entry.
    """
    path = Path(path)
    entries = []
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entries.append(_parse_entry(json.loads(line)))
        except (ValueError, RecursionError) as error:  # HimeError and JSON's own error are ValueErrors
            raise HimeError(
                f"{path}:{number}: not an entry of an evaluation list ({error}); "
                "make lists with `hime make-list`"
            ) from None
    if not entries:
        raise HimeError(f"{path}: no entry in it; make lists with `hime make-list`")
    return entries


def write_list(path: Path | str, entries: Iterable[ListEntry]) -> Path:
    """Write an evaluation list, whole or not at all.

    Raises:
        HimeError: it could not be read again, or it cannot be written.
    """
    entries = list(entries)
    for entry in entries:
        try:
            _parse_entry({"input": entry.input, "references": list(entry.references)})
        except HimeError as error:
            raise HimeError(f"{path}: an entry that could not be read again: {error}") from None
    text = format_list(entries)
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def format_list(entries: Iterable[ListEntry]) -> str:
    """The text of an evaluation list."""
    return "".join(json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in entries)


def _parse_entry(value: object) -> ListEntry:
    if not isinstance(value, dict) or value.keys() != {"input", "references"}:
        raise HimeError('an entry is {"input": …, "references": […]}')
    given, references = value["input"], value["references"]
    if not isinstance(references, list) or len(references) > MOST_REFERENCES:
        raise HimeError(f"references must be a list of at most {MOST_REFERENCES}")
    for name in (given, *references):
        if not isinstance(name, str):
            raise HimeError(f"{str(name)[:100]} is not a path")
        parts = name.split("/")
        wrong = "\0" in name or not _is_readable(name) or any(part in ("", ".", "..") for part in parts)
        if len(parts) != 2 or len(name) > LONGEST_PATH or wrong:
            raise HimeError(f"{name[:100]!r} is not PERSON/FILE")
    entry = ListEntry(given, tuple(references))
    for number, name in enumerate(references):
        if name == given:
            raise HimeError(f"{name[:100]!r} is given as a reference of itself")
        if name in references[:number]:
            raise HimeError(f"{name[:100]!r} is given as a reference twice")
        if PurePosixPath(name).parts[0] != entry.person:
            raise HimeError(f"{name[:100]!r} is no photo of {entry.person[:100]}")
    return entry


def _read_text(path: Path) -> str:
    try:
        with open_file(path) as file:
            content = file.read(LARGEST_LIST + 1)
        if len(content) > LARGEST_LIST:
            raise HimeError(f"{path}: more than {LARGEST_LIST >> 20} MiB is no list; check the path")
        text = content.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError:
        raise HimeError(f"{path}: is not a text file in UTF-8; check the path") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _shuffled(names: Iterable[str], stream: str) -> list[str]:
    return sorted(
        names, key=lambda name: hashlib.sha256(f"{stream}/{name}".encode(errors="surrogatepass")).digest()
    )
