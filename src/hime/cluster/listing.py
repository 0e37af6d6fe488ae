"""What a job works on: files, folders, globs, Parquet manifests and URLs become sources with a place each.

What lies on this machine is found as the plain loop finds it (`hime.restoring.inputs`) and gets the place
that it would get there. What lies behind a URL is told by its ending, since looking into every file would
take a request each.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import takewhile
from pathlib import Path, PurePath
from typing import Any

from hime.cluster.storage import Store, is_url, open_filesystem, path_of, text_of, unreachable
from hime.errors import HimeError
from hime.pictures.formats import ENDINGS, READ, format_of
from hime.restoring.inputs import Input, absolute, find_inputs, own_ending, places, sidecars

MANIFEST = ".parquet"
"""Ending of a manifest."""
COLUMN = "path"
"""The column of a manifest that names the files: paths, those that are relative taken from the manifest's
folder, or URLs."""


@dataclass(frozen=True)
class Found:
    """A file to work on.

    Attributes:
        source: its path from the root on, or its URL.
        depth: how many of its last parts its result is called by, see `hime.restoring.inputs.Input`.
        stamp: what changes where its content does: size and date, or what the store says (ETag); empty
            where nobody was asked.
    """

    source: str
    depth: int = 1
    stamp: str = ""

    @property
    def named(self) -> Input:
        """What its result is called by; of a URL the path has the host or bucket as its first part."""
        if not is_url(self.source):
            return Input(Path(self.source), self.depth)
        return Input(Path("/", *path_of(self.source).split("/")), self.depth)


@dataclass(frozen=True)
class Sources:
    """What was found.

    Attributes:
        pictures: files to restore as photographs.
        clips: videos.
        passed_over: a line for each thing in a folder that is neither.
    """

    pictures: list[Found] = field(default_factory=list)
    clips: list[Found] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def find_sources(given: Sequence[Path | str], out: Path | str | None = None) -> Sources:
    """The pictures and videos that are meant, each file once.

    Args:
        given: files and folders, globs (``*``, ``?``, ``[…]``, ``**``), manifests (``.parquet``), each on
            this machine or behind a URL.
        out: where the results go; what lies in that folder is no source, unless it is named itself, or the
            folder or pattern that it is found by begins there.

    Raises:
        HimeError: a folder or manifest that cannot be read, or in which there is nothing; a URL that nobody
            knows.
    """
    found = Sources()
    results = None if out is None else Store.at(out).root
    seen: set[str] = set()
    here: list[Path] = []
    for each in given:
        text = str(each)
        if text.lower().endswith(MANIFEST):
            _add(found, _in_manifest(text), seen)
        elif is_url(text) and not text.startswith("file://"):
            _add(found, _behind(text, found, results), seen)
        elif _is_glob(text):
            pattern = text_of(text)
            matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207, absolute patterns
            matches = _less_results(text, pattern, matches, results, found)
            if not matches:
                raise HimeError(f"{text}: nothing matches; check the pattern")
            here.extend(Path(match) for match in matches)
        else:
            here.append(Path(text_of(text)) if is_url(text) else Path(text))
    if here:
        listing = find_inputs(here, None if results is None or is_url(results) else Path(results))
        found.passed_over.extend(listing.passed_over)
        for inputs, kind in ((listing.inputs, found.pictures), (listing.clips, found.clips)):
            for item in inputs:
                source = str(absolute(item.path))
                if source not in seen:
                    seen.add(source)
                    kind.append(Found(source, item.depth, stamp_of(Path(source))))
    return found


def stamp_of(path: Path) -> str:
    """Size and date of a file and of its sidecars; empty if it cannot be looked at."""
    try:
        statuses = [each.stat() for each in (path, *sidecars(path))]
    except (OSError, ValueError):
        return ""
    return " ".join(f"{status.st_size}-{status.st_mtime_ns}" for status in statuses)


def ending_of(found: Found) -> str:
    """The ending of a result of the same format as a source, see `hime.restoring.inputs.own_ending`."""
    if not is_url(found.source):
        return own_ending(Path(found.source))
    from hime.pictures.formats import WRITTEN

    suffix = found.named.path.suffix
    if suffix.lower() in WRITTEN:
        return suffix
    fs, path = open_filesystem(found.source)
    try:
        return ENDINGS.get(format_of(fs.cat_file(path, start=0, end=64)) or "", ".png")
    except Exception:  # told when its turn comes
        return ".png"


def clip_ending_of(found: Found) -> str:
    """The ending of a video's result; of one behind a URL, that of a video of its ending."""
    from hime.restoring.video.batch import clip_ending
    from hime.restoring.video.reading import WRITTEN as WRITTEN_VIDEOS

    if not is_url(found.source):
        return clip_ending(Path(found.source))
    suffix = found.named.path.suffix
    return suffix if suffix.lower() in WRITTEN_VIDEOS else ".mp4"


def place(sources: Sequence[Found], ending: Callable[[Found], str], known: Sequence[str]) -> list[str]:
    """Where each source's result goes in the folder of the results, see `hime.restoring.inputs.places`."""
    inputs = [each.named for each in sources]
    return [found.as_posix() for found in places(inputs, [ending(each) for each in sources], known)]


def _is_glob(text: str) -> bool:
    return glob.has_magic(text) and not os.path.lexists(text)


def _add(found: Sources, new: Sequence[Found], seen: set[str]) -> None:
    from hime.restoring.video.reading import ENDINGS as ENDINGS_OF_VIDEOS
    from hime.restoring.video.reading import is_clip

    for each in new:
        if each.source in seen:
            continue
        seen.add(each.source)
        if is_url(each.source):
            is_video = each.named.path.suffix.lower() in ENDINGS_OF_VIDEOS
        else:
            is_video = is_clip(Path(each.source))
        (found.clips if is_video else found.pictures).append(each)


def _less_results(
    given: str, pattern: str, names: Sequence[str], results: str | None, found: Sources
) -> list[str]:
    """What was found by a pattern, or below a folder, less what lies where the results go, if that is below
    the pattern's beginning: then it is what an earlier run made. A line says so.

    Args:
        given: the pattern or folder as it was given.
        pattern: the same as a path from the root on, or a URL.
        names: paths or URLs.
        results: likewise; None where no results are written.
        found: gets the line.
    """
    beginning = _beginning(pattern)
    if results is None:
        return [*names]
    here = not is_url(pattern) and not is_url(results)  # where one place has many spellings, by links

    def real(name: str) -> PurePath:
        return PurePath(os.path.realpath(name) if here else name)

    if real(str(beginning)) not in real(results).parents:
        return [*names]
    left = [name for name in names if not real(name).is_relative_to(real(results))]
    if len(left) < len(names):
        found.passed_over.append(f"{given}: passed over: what lies in {results}, where the results go")
    return left


def _beginning(pattern: str) -> PurePath:
    """What of a pattern all that matches begins with; a folder's is itself."""
    return PurePath(*takewhile(lambda part: not glob.has_magic(part), PurePath(pattern).parts))


def _less_hidden(pattern: str, names: Sequence[str]) -> list[str]:
    """What was found by a pattern, or below a folder, less hidden files and what lies in hidden folders, as
    on a disk: without a word, and not if the pattern asks for what is hidden.
    """
    known = len(_beginning(pattern).parts)

    def is_hidden(name: str) -> bool:
        return any(part.startswith(".") for part in PurePath(name).parts[known:])

    return [*names] if is_hidden(pattern) else [name for name in names if not is_hidden(name)]


def _behind(url: str, found: Sources, results: str | None) -> list[Found]:
    """The files that a URL stands for: one, all below it, or those that match."""
    from hime.restoring.video.reading import ENDINGS as ENDINGS_OF_VIDEOS

    fs, path = open_filesystem(url)
    try:
        if glob.has_magic(path_of(path)):
            infos, root = fs.glob(path, detail=True), None
        elif fs.isdir(path):
            infos, root = fs.find(path, detail=True), fs.unstrip_protocol(path.rstrip("/"))
        else:
            return [Found(fs.unstrip_protocol(path), 1, _stamp(fs.info(path)))]
    except Exception as error:
        raise unreachable(url, error) from error
    known = (*READ, *ENDINGS_OF_VIDEOS)
    files = {
        fs.unstrip_protocol(name): info for name, info in sorted(infos.items()) if info.get("type") == "file"
    }
    pattern = fs.unstrip_protocol(path)
    left = _less_hidden(pattern, _less_results(url, pattern, [*files], results, found))
    chosen = [name for name in left if root is None or name.lower().endswith(known)]
    passed_over = len(left) - len(chosen)
    if passed_over:
        found.passed_over.append(f"{url}: passed over: {passed_over} files whose endings are of no picture")
    if not chosen:
        raise HimeError(f"{url}: no picture in it; check the URL")
    above = 0 if root is None else root.count("/") + 1
    depths = [1 if root is None else name.count("/") + 1 - above for name in chosen]
    return [Found(name, depth, _stamp(files[name])) for name, depth in zip(chosen, depths, strict=True)]


def _stamp(info: dict[str, Any]) -> str:
    """What a file system says by which a changed file is told."""
    # Each one writes these in its own way: "LastModified", "last_modified", "Last-Modified".
    said = {re.sub("[-_]", "", name).lower(): value for name, value in info.items()}
    changed = next(filter(None, map(said.get, ("etag", "lastmodified", "mtime", "updated"))), "")
    return f"{info.get('size')}-{changed}"


def _in_manifest(given: str) -> list[Found]:
    """The files that a Parquet manifest names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = given if is_url(given) and not given.startswith("file://") else text_of(given)
    store = Store(whole.rpartition("/")[0])
    try:
        table = pq.read_table(BytesIO(store.read(whole.rpartition("/")[2])), columns=[COLUMN])
        paths = table.column(COLUMN).to_pylist()
    except FileNotFoundError:
        raise HimeError(f"{given}: no such file; check the path") from None
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise HimeError(
            f"{given}: no manifest with a column {COLUMN!r} ({reason}); write one as Parquet"
        ) from None
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise HimeError(f"{given}: names no files, or some rows no file; each {COLUMN!r} is a path or URL")
    return _deepened(
        [path if is_url(path) or os.path.isabs(path) else store.place(path) for path in paths]  # noqa: PTH117
    )


def _deepened(paths: Sequence[str]) -> list[Found]:
    """Files called by what lies below the folder that is common to all of them."""
    sources = [path if is_url(path) else os.path.normpath(path) for path in paths]
    parents = [Found(source).named.path.parent.parts for source in sources]
    first, last = min(parents), max(parents)
    common = next(
        (index for index, (one, other) in enumerate(zip(first, last, strict=False)) if one != other),
        min(len(first), len(last)),
    )
    return [
        Found(source, len(parts) + 1 - common, "" if is_url(source) else stamp_of(Path(source)))
        for source, parts in zip(sources, parents, strict=True)
    ]
