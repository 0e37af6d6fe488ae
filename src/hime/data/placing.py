"""The pictures of a data set put into a people folder: linked, or cut and reduced to copies of one size.

A copy tells what it was made of, in a text of the PNG, so that it is made anew where that is another by now.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.PngImagePlugin import PngInfo

from hime.data.sources import Landmarks, Source
from hime.errors import HimeError
from hime.faces.headshot import Frame, cut
from hime.files import open_file, reason_of, unreadable, write_atomically
from hime.pictures.arrays import Image, area_reduce
from hime.pictures.reading import read_image
from hime.processors import usable_threads
from hime.terminal import track

MADE_OF = "hime-source"
"""The key of the text in a copy."""
_DIGEST = 24
_HEAD = 256
"""Bytes at the beginning of a PNG in which its first text lies, after a header of 33."""

_detecting = threading.Lock()  # the detector holds the size of its picture


@dataclass(frozen=True)
class Outcome:
    """What came of one picture: in place, or why not."""

    unusable: str | None = None
    is_faceless: bool = False
    is_small: bool = False


@dataclass(frozen=True)
class Placement:
    """One picture to be put into place.

    Attributes:
        person: whose.
        name: the picture's, by the data set.
        source: its file.
        target: where to.
        size: pixels a side of the copy; None for a link.
        hard_links: rather than symbolic ones.
        is_cut: whether the picture is a headshot, not a photograph to cut one out of.
        landmarks: of the face in the photograph, where the data set has them.
        root: the data set's folder.
    """

    person: str
    name: str
    source: Path
    target: Path
    size: int | None
    hard_links: bool
    is_cut: bool
    landmarks: Landmarks | None
    root: str

    def run(self) -> Outcome:
        """Do it.

        Raises:
            HimeError: ``target`` cannot be written, or faces are to be found and the extra is not installed.
        """
        if self.is_done:
            return Outcome()
        if self.size is None:
            return _link(self.source, self.target, self.hard_links)
        return _copy(self, self.size)

    @property
    def is_done(self) -> bool:
        """Whether ``target`` is there, and made of ``source`` as that is now."""
        try:
            if not self.target.is_file():
                return False
            if self.size is not None:
                return _text_of(self.target) == self.made_of
            source = self.source.resolve()
            if self.hard_links:
                return self.target.samefile(source)
            return self.target.is_symlink() and self.target.readlink() == source
        except OSError:  # the source has gone meanwhile
            return False

    @property
    def made_of(self) -> str:
        """The text of a copy: what changes where it has to be another, and a short name for the root.

        Raises:
            OSError: there is no source.
        """
        status = self.source.stat()
        told = (str(self.source.resolve()), status.st_size, status.st_mtime_ns, self.landmarks)
        return f"{_digest(repr(told))} {_digest(self.root)}"


Placing = Callable[[Sequence[Placement]], Iterable[Outcome]]
"""Does all placements; gives what came of each, in their order."""


@dataclass
class Placed:
    """The pictures that are in place, and what was amiss with the others.

    Attributes:
        file_names: each person's pictures by the data set's own names: the names of their files.
        unusable: ``PERSON/NAME: reason``.
        faceless: PERSON/NAME of photographs in which no face was found.
        small: PERSON/NAME of headshots with fewer pixels than the copies are to have.
    """

    file_names: dict[str, dict[str, str]] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)
    faceless: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)


def place(
    source: Source,
    kept: Mapping[str, Sequence[str]],
    out: Path,
    size: int | None,
    hard_links: bool,
    placing: Placing | None,
    roots: Sequence[str],
    before: Collection[str],
    note: Callable[[Collection[str]], None],
) -> Placed:
    """Put the pictures of ``kept``, the names of each person, into ``out``; arguments as `prepare` has them.

    What was put there before and is of no picture of ``source`` any more is taken away: copies made of what
    lies in ``roots``, the folders of the data set before and, last, now, symbolic links to it, and links in
    ``before``, which are PERSON/FILE of what was noted. Copies and hard links of pictures that the data set
    has, and that are only missing now, stay. ``note`` gets what may be there before anything is put into
    place, as a run may be stopped, and at the end what is there.

    Raises:
        HimeError: ``out`` cannot be written to, or faces are to be found and the extra is not installed.
    """
    if size is not None and not source.is_cut and not source.landmarks:
        from hime.faces.networks import require

        require()
    placed = Placed(file_names={person: {} for person in kept})
    known = list(_placements(source, out, size, hard_links, roots[-1]))
    placements = [each for each in known if each.person in kept]
    note({*before, *(_key(each.target) for each in placements if not os.path.lexists(each.target))})
    for each, outcome in zip(placements, (placing or in_threads)(placements), strict=True):
        key = f"{each.person}/{each.name}"
        if outcome.unusable is not None:
            placed.unusable.append(f"{key}: {outcome.unusable}")
        elif outcome.is_faceless:
            placed.faceless.append(key)
        elif outcome.is_small:
            placed.small.append(key)
        else:
            placed.file_names[each.person][each.name] = each.target.name
    awaited = set[Path]()
    if size is not None or hard_links:  # a symbolic link leads nowhere then
        awaited = {
            out / name if size is None else (out / name).with_suffix(".png") for name in source.missing
        }
    links = {out / key for key in before if hard_links or (out / key).is_symlink()}
    note(_take_away_others(out, known, awaited, size, roots, links))
    return placed


def _take_away_others(
    out: Path,
    known: Sequence[Placement],
    awaited: set[Path],
    size: int | None,
    roots: Sequence[str],
    links: set[Path],
) -> list[str]:
    """Take away what was put into place before and is of none of the pictures, as they are now.

    But for what is ``awaited``, and of this root. ``links`` were noted.

    Returns:
        PERSON/FILE of what was put into place and stays.
    """
    current, left = {each.target: each for each in known}, list[str]()
    for path in list(out.glob("[!.]*/[!.]*")):
        if path in current and current[path].is_done:
            left.append(_key(path))
            continue
        is_noted = path in links
        if not _is_ours(path, size, roots, is_noted):
            continue
        if path in awaited and _is_ours(path, size, roots[-1:], is_noted):
            left.append(_key(path))
            continue
        try:
            path.unlink()
        except OSError as error:
            raise HimeError(
                f"{path}: is of another picture and cannot be taken away ({reason_of(error)}); do it yourself"
            ) from None
    return left


def _key(target: Path) -> str:
    return f"{target.parent.name}/{target.name}"


def _is_ours(path: Path, size: int | None, roots: Sequence[str], is_noted: bool) -> bool:
    """Whether a file of the people folder is a copy or link that was put there, nobody's own.

    A copy tells it. A link may lead out of the root, and a hard one leads nowhere: what was noted counts.
    """
    if size is not None:
        told = _text_of(path) if path.suffix == ".png" and path.is_file() else ""
        return told.partition(" ")[2] in map(_digest, roots)
    return is_noted or (path.is_symlink() and any(path.readlink().is_relative_to(root) for root in roots))


def _text_of(copy: Path) -> str:
    """What a copy was made of, see `Placement.made_of`; empty if it does not say."""
    try:
        with open_file(copy) as file:
            found = file.read(_HEAD).partition(MADE_OF.encode() + b"\0")[2]
    except (HimeError, OSError):
        return ""
    return found[: 2 * _DIGEST + 1].decode("ascii", errors="replace")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()[:_DIGEST]


def _placements(
    source: Source, out: Path, size: int | None, hard_links: bool, root: str
) -> Iterator[Placement]:
    for person, names in source.people.items():
        stems, whole = Counter(Path(name).stem for name in names), set(names)
        for name in names:
            key = f"{person}/{name}"
            if key not in source.files:
                continue
            file, stem = source.files[key], Path(name).stem
            copied = stem if stems[stem] == 1 and stem not in whole else name  # there may be 0.jpg.png too
            file_name = stem + file.suffix if size is None else f"{copied}.png"
            target, points = out / person / file_name, source.landmarks.get(key)
            yield Placement(person, name, file, target, size, hard_links, source.is_cut, points, root)


def in_threads(placements: Sequence[Placement]) -> Iterator[Outcome]:
    """Do placements with a thread a core."""
    with _workers() as executor:
        futures = [executor.submit(each.run) for each in placements]
        for future in track(futures, "pictures"):
            yield future.result()


@contextlib.contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """A thread a core; what has not begun when the block is left is given up."""
    executor = ThreadPoolExecutor(usable_threads())
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _link(source: Path, target: Path, hard: bool) -> Outcome:
    """Link a headshot, if it is one."""
    source = source.resolve()
    try:
        _check_square(read_image(source))
    except HimeError as error:
        return Outcome(unusable=str(error))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".link.", dir=target.parent) as folder:
            link = Path(folder, target.name)
            if hard:
                link.hardlink_to(source)
            else:
                link.symlink_to(source)
            link.replace(target)
    except OSError as error:
        raise HimeError(
            f"{target}: cannot be linked ({reason_of(error)}); give --size for copies, or "
            f"{'leave out --hard-links' if hard else '--hard-links'}"
        ) from None
    return Outcome()


def _copy(placement: Placement, size: int) -> Outcome:
    """Write the headshot in ``size``×``size`` pixels."""
    landmarks = placement.landmarks
    try:
        made_of = placement.made_of  # of the file before it is read
        image = read_image(placement.source)
        if placement.is_cut:
            _check_square(image)
            if image.shape[0] < size:
                return Outcome(is_small=True)
            headshot = area_reduce(image, size, size)
        else:
            if landmarks is None:
                landmarks = _central_face(image)
                if landmarks is None:
                    return Outcome(is_faceless=True)
            frame = Frame.of(landmarks)
            if frame.side < size:
                return Outcome(is_small=True)
            headshot = cut(image, frame, size)
    except HimeError as error:
        return Outcome(unusable=str(error))
    except OSError as error:
        return Outcome(unusable=str(unreadable(placement.source, error)))
    text, content = PngInfo(), io.BytesIO()
    text.add_text(MADE_OF, made_of)
    PIL.Image.fromarray(headshot).save(content, "PNG", pnginfo=text)
    write_atomically(placement.target, lambda path: path.write_bytes(content.getbuffer()))
    return Outcome()


def _check_square(image: Image) -> None:
    height, width = image.shape[:2]
    if height != width:
        raise HimeError(f"{width}×{height} pixels, not square, so no headshot")


def _central_face(image: Image) -> Landmarks | None:
    """Landmarks of the face nearest to the middle: the person whom the photograph is of, in LFW."""
    from hime.faces.detection import detect

    with _detecting:
        faces = detect(image)
    if not faces:
        return None
    middle = np.array([image.shape[1] - 1, image.shape[0] - 1]) / 2
    nearest = min(faces, key=lambda face: float(np.abs(face.landmarks.mean(axis=0) - middle).max()))
    return [(float(x), float(y)) for x, y in nearest.landmarks]
