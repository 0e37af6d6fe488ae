"""Where the results of a batch go, so that none replaces what it must not.

Never replaced: what the batch reads. Replaced only with ``overwrite``: a file that is not as this program
wrote it (`hime.restoring.records`). Two inputs never share a result, also not of two runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import Protocol

from hime.errors import HimeError
from hime.files import check_writable, identity, is_folder, taking_turns
from hime.pictures.formats import READ
from hime.restoring.inputs import Input, digests, key, numbered, places, real_place, sidecars
from hime.restoring.records import FACE, FACES, Record, Records
from hime.terminal import note

_CANDIDATES = 1000
"""Names that are tried for a result before one gives up."""


class Owner(Protocol):
    """What an output belongs to: the `Outputs` of a batch, or a job that has planned its places itself."""

    @property
    def is_file(self) -> bool:
        """Whether one file was named as the result."""
        ...

    def check(self, path: Path) -> None:
        """Find out whether a file may be written there.

        Raises:
            HimeError: it must not be replaced, or cannot be written.
        """
        ...


@dataclass
class Output:
    """The result of one input.

    Attributes:
        path: where its picture goes.
        place: the same below the folder of the results.
        earlier: what made what is there, if this program did, of the same input.
        is_elsewhere: whether that is not as the input is called, since there is another picture's result.
    """

    path: Path
    place: PurePath
    earlier: Record | None
    is_elsewhere: bool
    _owner: Owner
    _claimed: dict[Path, tuple[int, int] | None] = field(default_factory=dict)
    _there: dict[Path, tuple[int, int] | None] = field(default_factory=dict)

    @property
    def is_file(self) -> bool:
        """Whether this one file was named as the result."""
        return self._owner.is_file

    def claim(self, path: Path) -> Path:
        """Say that a file of the result is going to be written: before the work, if its name is known then.

        Raises:
            HimeError: it must not be replaced, or cannot be written.
        """
        self._owner.check(path)
        self._claimed[path] = self._there[path] = identity(path)
        return path

    def check_still(self, path: Path, filled: Path) -> None:
        """Find out whether a file may still be moved to its place, which was claimed long before.

        Args:
            path: the place.
            filled: the file.

        Raises:
            HimeError: somebody has put another file there meanwhile.
        """
        if identity(path) not in (None, self._there[path]):
            raise HimeError(f"{path}: was written by somebody else meanwhile; run the command again")
        self._there[path] = identity(filled)

    def is_claimed(self, path: Path) -> bool:
        """Whether a file is one of the result's."""
        return path in self._claimed

    def written(self) -> list[Path]:
        """The files claimed that were written: those that were there are others now."""
        return [path for path, before in self._claimed.items() if identity(path) not in (None, before)]


class Outputs:
    """Where the results of a batch go.

    Args:
        given: the inputs as they were given.
        inputs: what they stand for.
        out: as it was given: one file, or a folder.
        written: endings that can be written.
        known: endings of what is read: of a result's name they are not kept.
        ending: of a result in a folder, for its input.
        read: every file that the batch reads.
        overwrite: replace also files of others.
        faces: results are NAME-faceN.png, not NAME.
        beside: what of the source at a path is written beside its result at another, and may be called as
            what is beside another picture's result.

    Raises:
        HimeError: ``out`` is one file, by any ending of pictures or videos, for several inputs or of a kind
            that is not written; it cannot be written, or would replace what is read.
    """

    def __init__(
        self,
        given: Sequence[Path | str],
        inputs: Sequence[Input],
        out: Path,
        written: Sequence[str],
        known: Sequence[str],
        ending: Callable[[Path], str],
        read: Iterable[Path],
        *,
        overwrite: bool,
        faces: bool = False,
        beside: Callable[[Path, Path], Iterable[Path]] | None = None,
    ) -> None:
        from hime.restoring.video.reading import ENDINGS  # with all that restores videos

        self.overwrite = overwrite
        self._faces = faces
        self._beside = beside
        files = [file for path in read for file in (path, *sidecars(path))]
        self._read = {identity(file) for file in files} - {None}
        self.is_file = is_file(out, (*known, *READ, *ENDINGS))
        if self.is_file:
            if len(given) > 1 or len(inputs) > 1 or is_folder(Path(given[0])):
                raise HimeError(f"{out}: is one file for {len(inputs)} inputs; give a folder as --out")
            if out.suffix.lower() not in written:
                raise HimeError(f"{out}: cannot write {out.suffix}; use one of {', '.join(written)}")
            self.folder = out.parent
            found: list[PurePath] = [PurePath(out.name)]
            check_writable(out)
        else:
            if os.path.lexists(out) and not is_folder(out):
                raise HimeError(f"{out}: is a file, not a folder; choose another --out")
            self.folder = out
            found = places(inputs, [ending(each.path) for each in inputs], known)
            check_writable(out / ".hime-trial")
        self.records = Records(self.folder)
        self._planned: Mapping[Path, PurePath] = {
            each.path: place for each, place in zip(inputs, found, strict=True)
        }
        self._taken = {key(place) for place in found}
        for place in found:
            self._refuse_what_is_read(self.folder / place)

    def output(self, each: Input, content: str) -> Output:
        """Where the result of an input goes whose content has that digest.

        That is the planned place, unless another input's result is there from an earlier run: then one of the
        same name in a folder called as the input's, or with a number.

        Raises:
            HimeError: something is there that must not be replaced, or it cannot be written.
        """
        for place in self._candidates(each):
            recorded = self._recorded(place)
            if (there := self._anothers(place, each, content)) is not None:
                if not self.is_file:
                    continue
                if not self.overwrite:
                    raise _there(there, "made of another picture")
            self._taken.add(key(place))
            moved = place != self._planned[each.path]
            return Output(self.folder / place, recorded, self.records.of(recorded), moved, self)
        raise HimeError(f"{each.path}: too many results of that name; choose another --out")

    def turn(self, each: Input) -> contextlib.AbstractContextManager[None]:
        """Wait until no other run is at work on an input's place; within it none is.

        Raises:
            HimeError: the folder cannot be written to.
        """
        place = hashlib.sha256(os.fsencode(key(self._planned[each.path]))).hexdigest()
        told = partial(note, f"hime: {each.path}: another run is at work there; waiting for it")
        return taking_turns(self.folder / f".hime-{place[:16]}.lock", told)

    def is_free(self, each: Input) -> bool:
        """Whether nothing is yet where the result of an input is to go."""
        return not os.path.lexists(self.folder / self._planned[each.path])

    def reads(self, path: Path) -> bool:
        """Whether the batch reads that file, so that it must stay as it is."""
        return identity(path) in self._read

    def check(self, path: Path) -> None:
        """Find out whether a file may be written there.

        Raises:
            HimeError: it would replace what is read or, without ``overwrite``, what is not a result as it was
                written; or it cannot be written.
        """
        if self.reads(path):
            raise _read_from(path)
        if os.path.lexists(path) and not self.overwrite and not self.records.wrote(path):
            raise _there(path, "not as this program wrote it")
        check_writable(path)

    def _anothers(self, place: PurePath, each: Input, content: str) -> Path | None:
        """What is another input's in that place, or beside it; None for nothing."""
        owners = self.records.owners(self._recorded(place))
        if any(self._is_anothers(record, each, content) for record in owners):
            return self.folder / place
        for beside in () if self._beside is None else self._beside(each.path, self.folder / place):
            owner = self.records.owner(beside) if os.path.lexists(beside) else None
            if owner is None or not self._is_anothers(owner, each, content):
                continue
            if not (beside.suffix == ".xmp" and _have_one_sidecar(owner, each.path)):
                return beside
        return None

    def _is_anothers(self, record: Record, each: Input, content: str) -> bool:
        """Whether a result is that of another input."""
        return record.input != content and not (self.overwrite and record.path == path_digest(each.path))

    def _candidates(self, each: Input) -> Iterator[PurePath]:
        planned = self._planned[each.path]
        yield planned
        if not self.is_file:
            above = each.place(len(planned.parts) + 1).with_name(planned.name)
            others = islice(chain([above], numbered(planned)), _CANDIDATES)
            yield from (place for place in others if key(place) not in self._taken)

    def _recorded(self, place: PurePath) -> PurePath:
        """What a result is called in the records: faces alone are no picture of that name."""
        return place.with_name(f"{place.stem}{FACES}") if self._faces and not self.is_file else place

    def _refuse_what_is_read(self, path: Path) -> None:
        """Before the work begins: also a face's file, whatever its number will be."""
        if self._faces and not self.is_file:
            try:
                beside = [each for each in path.parent.iterdir() if FACE.search(each.name)]
            except OSError:
                return
            paths = [each for each in beside if FACE.sub("", each.name) == path.stem]
        else:
            paths = [path]
        for each in paths:
            if self.reads(each):
                raise _read_from(each)


def is_file(out: Path, known: Sequence[str]) -> bool:
    """Whether an ``--out`` means one file, by its ending, rather than a folder."""
    return out.suffix.lower() in known and not is_folder(out)


def path_digest(path: Path) -> str:
    """A digest that tells a path again without telling it, by whatever links it is reached."""
    return hashlib.sha256(os.fsencode(real_place(path))).hexdigest()


def _have_one_sidecar(record: Record, path: Path) -> bool:
    """Whether a result is that of a picture which is called as the one at ``path`` but for its ending, in the
    same folder: ``a.xmp`` is the sidecar of ``a.jpg`` and of ``a.png``.
    """
    called = [path.with_suffix(each) for ending in READ for each in (ending, ending.upper())]
    alike = [each for each in called if os.path.lexists(each)]
    return record.path in map(path_digest, alike) or record.input in digests(alike).values()


def _read_from(path: Path) -> HimeError:
    return HimeError(f"{path}: would overwrite what is read from there; choose another --out")


def _there(path: Path, why: str) -> HimeError:
    return HimeError(f"{path}: is there already, {why}; --overwrite replaces it, another --out keeps it")
