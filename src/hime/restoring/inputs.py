"""What is given to a batch: files and folders become inputs with a place each.

Pictures are told by content. A folder stands for all that lies in it and in its folders; what is passed over
there is named.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from hime.errors import HimeError
from hime.files import is_folder, open_file, unreadable
from hime.pictures.formats import ENDINGS, FILM, READ, WRITTEN, find_pictures, format_of
from hime.pictures.sidecars import sidecar_names


@dataclass(frozen=True)
class Input:
    """One file to restore.

    Attributes:
        path: the file.
        depth: how many of its path's last parts its result is called by: 1 for a file that was named itself,
            more for what lies deeper in a folder that was.
    """

    path: Path
    depth: int = 1

    def place(self, depth: int | None = None) -> PurePath:
        """The last parts of its path, ``depth`` of them; all there are if there are fewer."""
        parts = absolute(self.path).parts
        root = 1 if Path(parts[0]).anchor else 0
        return PurePath(*parts[max(root, len(parts) - (depth or self.depth)) :])


@dataclass(frozen=True)
class Listing:
    """What was found.

    Attributes:
        given: the files and folders that it was found in.
        inputs: pictures, and files that were named and are nothing that is known.
        clips: videos.
        passed_over: a line for each thing in a folder that is neither.
    """

    given: list[Path] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    clips: list[Input] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def find_inputs(
    paths: Sequence[Path | str], out: Path | None = None, *, videos: bool = True, results: bool | None = None
) -> Listing:
    """The pictures and videos that ``paths`` stand for, each file once: files as they are, folders with all
    in them less the results of earlier runs (`hime.restoring.records`). A result that is named itself, or
    lies in a folder with nothing else, is restored again, into another place.

    A file in a folder whose ending says that it is a picture or a video is an input too if it is none: then
    it fails when its turn comes. What lies in one of several folders keeps that folder's name before its own.

    Args:
        paths: files and folders.
        out: where the results go. What lies in that folder is no input; if it is one of ``paths``, or holds
            one of them, no result there is, also if it is named itself.
        videos: whether they are told from pictures; otherwise they are passed over in folders.
        results: True takes all results in folders too; False none, also of those that are named, and of those
            that only say themselves that they are some (`hime.pictures.marks`).

    Raises:
        HimeError: a folder that cannot be read, or with nothing in it to restore, or nothing else is named
            than results that are not taken.
    """
    from hime.restoring.records import Records, Results

    known: tuple[str, ...] = READ
    if videos:
        from hime.restoring.video.reading import ENDINGS as ENDINGS_OF_VIDEOS  # with all that restores them
        from hime.restoring.video.reading import is_clip

        known = (*READ, *ENDINGS_OF_VIDEOS)
    listing = Listing(given=[Path(path) for path in paths])
    records = None if out is None else Records(absolute(out))
    earlier = Results(marked=results is False)

    def is_result(path: Path) -> bool:
        return results is not True and earlier.has(path)

    def is_of_out(path: Path) -> bool:
        return records is not None and records.is_result(path)

    several = len({os.path.realpath(path) for path in listing.given if is_folder(path)}) > 1
    seen: set[Path] = set()
    for root in listing.given:
        if not is_folder(root):
            found, above = [root], len(absolute(root).parts) - 1
        else:
            found, passed_over = _files_in(
                root, out, is_result, is_of_out if results is None else None, known
            )
            listing.passed_over.extend(passed_over)
            above = len(absolute(root).parts) - several
        for path in found:
            real = Path(os.path.realpath(path))
            if real in seen:
                continue
            seen.add(real)
            if path is root and (is_of_out(path) or (results is False and earlier.has(path))):
                listing.passed_over.append(result_line(path))
                continue
            kind = listing.clips if videos and is_clip(path) else listing.inputs
            kind.append(Input(path, len(absolute(path).parts) - above))
    if listing.passed_over and not (listing.inputs or listing.clips):
        if results is False:
            raise only_results(listing.given[0])
        raise HimeError(f"{listing.given[0]}: is a result of an earlier run; choose another --out")
    return listing


def _files_in(
    folder: Path,
    out: Path | None,
    is_result: Callable[[Path], bool],
    is_of_out: Callable[[Path], bool] | None,
    known: Sequence[str],
) -> tuple[list[Path], list[str]]:
    """The pictures and videos of a folder less results, and lines about what was passed over.

    Args:
        folder: which.
        out: where the results go.
        is_result: whether a file is one to pass over.
        is_of_out: likewise where the folder holds nothing but results, and counts as if each was named; None
            where those are passed over too.
        known: endings of files that are not passed over, whatever their content is.

    Raises:
        HimeError: the folder cannot be read, or there is none of them in it.
    """
    from hime.restoring.records import line_about

    results = None if out is None else Path(os.path.realpath(out))
    is_apart = results is not None and not Path(os.path.realpath(folder)).is_relative_to(results)

    def is_there(path: Path) -> bool:
        return is_apart and results is not None and real_place(path).is_relative_to(results)

    found = find_pictures(folder)
    files = list(found.pictures)
    others: list[str] = []
    for path, reason in found.passed_over:
        if path.suffix.lower() in known or (known != READ and reason.endswith(FILM)):
            files.append(path)
        elif not (is_there(path) or is_result(path)):
            others.append(f"{path}: passed over: {reason}")
    elsewhere = [path for path in files if not is_there(path)]
    inputs = [path for path in elsewhere if not is_result(path)]
    if is_of_out is not None and elsewhere and not inputs:
        inputs = [path for path in elsewhere if not is_of_out(path)]
        if not inputs:
            raise HimeError(f"{folder}: holds nothing but results of earlier runs; choose another --out")
    if out is not None and (there := len(files) - len(elsewhere)):
        others.append(f"{absolute(out)}: passed over: {there} files in it, where the results go")
    if count := len(elsewhere) - len(inputs):
        how = "" if is_of_out is None else "; what is named itself is restored again"
        others.append(f"{line_about(folder, count)}{how}")
    if not inputs:
        named = f"; {others[0]}" if others else ""
        raise HimeError(f"{folder}: no picture in it{named}; check the path")
    return inputs, others


def find_references(paths: Sequence[Path | str]) -> Listing:
    """The headshots of a person that ``paths`` stand for, as `find_inputs` finds pictures. A result of an
    earlier run is none, also if it is named itself: what a model made up is no likeness.

    Raises:
        HimeError: as `find_inputs`, or nothing else is named than results, or a .person file.
    """
    from hime.restoring.person_file import SUFFIX

    for path in map(Path, paths):
        if path.suffix.lower() == SUFFIX and not is_folder(path):
            raise HimeError(f"{path}: is a .person file, for whole photographs; give headshots of the person")
    return find_inputs(paths, videos=False, results=False)


def result_line(path: Path) -> str:
    """What is told of a result that is named itself and passed over."""
    return f"{path}: passed over: is a result of an earlier run"


def only_results(path: Path) -> HimeError:
    """The error where nothing but results is named as somebody's photos, for the caller to raise."""
    return HimeError(f"{path}: is a result of an earlier run, and no likeness; give photos of the person")


# ---------------------------------------------------------------------------------------------- places


def places(inputs: Sequence[Input], endings: Sequence[str], known: Sequence[str]) -> list[PurePath]:
    """Where in the folder of the results each input's result goes: no two to one place.

    A result is called as its input, with its ending from ``endings``. Where that would be the same for
    several, those whose ending changes keep the old one before the new (``a.bmp.png``); what still is the
    same gets the names of the folders above it, and what even these do not part, a number. Names that differ
    in case only are the same, since they are on some disks.

    Args:
        inputs: which.
        endings: of the result of each.
        known: what an ending is; of ``photo.2019`` there is none.
    """
    depths = [each.depth for each in inputs]
    whole = [False] * len(inputs)

    def now() -> list[PurePath]:
        return [_renamed(*each, known) for each in zip(inputs, depths, endings, whole, strict=True)]

    for group in _same(now()):
        for index in group:
            whole[index] = True
    folders = [key(absolute(each.path).parent) for each in inputs]
    while deeper := [
        index
        for group in _same(now())
        if len({folders[index] for index in group}) > 1
        for index in group
        if inputs[index].place(depths[index]) != inputs[index].place(depths[index] + 1)
    ]:
        for index in deeper:
            depths[index] += 1
    found = now()
    taken = {key(place) for place in found}
    for group in _same(found):
        for index in group[1:]:
            found[index] = next(place for place in numbered(found[index]) if key(place) not in taken)
            taken.add(key(found[index]))
    return found


def numbered(place: PurePath) -> Iterator[PurePath]:
    """The same place with the numbers from 2 on."""
    number = 2
    while True:
        yield place.with_name(f"{place.stem}-{number}{place.suffix}")
        number += 1


def key(place: PurePath) -> str:
    """What two places have in common if some disk takes them for one."""
    return unicodedata.normalize("NFC", os.fspath(place)).casefold()


def absolute(path: Path) -> Path:
    """The path from the root on, without ``..``, links as they are called."""
    return Path(os.path.abspath(path))  # noqa: PTH100, resolve() follows links


def real_place(path: Path) -> Path:
    """The path with no link in its folders: two spellings of one place become the same, and a link keeps its
    own.
    """
    return Path(os.path.realpath(path.parent), path.name)


def own_ending(path: Path) -> str:
    """The ending of a result of the same format as the file, by its name, else by its content; PNG's for what
    cannot be written.
    """
    if path.suffix.lower() in WRITTEN:
        return path.suffix
    try:
        with open_file(path) as file:
            return ENDINGS.get(format_of(file.read(64)) or "", ".png")
    except (HimeError, OSError):  # told when its turn comes
        return ".png"


def _renamed(each: Input, depth: int, ending: str, whole: bool, known: Sequence[str]) -> PurePath:
    place = each.place(depth)
    suffix = place.suffix if place.suffix.lower() in known else ""
    if suffix == ending:
        return place
    return place.with_name(f"{place.name if whole else place.name.removesuffix(suffix)}{ending}")


def _same(found: Sequence[PurePath]) -> list[list[int]]:
    """The numbers of those that would be in one place, group by group."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, place in enumerate(found):
        groups[key(place)].append(index)
    return [group for group in groups.values() if len(group) > 1]


# --------------------------------------------------------------------------------------------- contents


def digest(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        HimeError: it cannot be read.
    """
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def sidecars(picture: Path) -> list[Path]:
    """The ``.xmp`` files that are read with a picture (`hime.pictures.sidecars`)."""
    names = sidecar_names(picture.name)
    return [path for name in names if os.path.lexists(path := picture.with_name(name))]


def digests(paths: Iterable[Path]) -> dict[Path, str]:
    """The digest of each file that can be read; who reads it in earnest says why another cannot."""
    found = {}
    for path in paths:
        try:
            found[path] = digest(path)
        except HimeError:
            continue
    return found


def together(values: Iterable[str]) -> str:
    """One digest of many, whatever their order."""
    text = "\n".join(sorted(values))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()  # names may hold any bytes
