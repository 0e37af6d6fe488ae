"""Sidecars: the ``.xmp`` files beside photographs, in which programs keep what they write into no picture.

Beside ``a.jpg`` it is called ``a.xmp`` (Adobe) or ``a.jpg.xmp`` (darktable, digiKam).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from hime.errors import HimeError
from hime.files import open_file
from hime.pictures.xmp import MAX_XMP

UNREADABLE = "its sidecar {name} is left out: {reason}"


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar holds.

    Attributes:
        whole_name: whether it is called after the picture with its ending.
        xmp: its content.
        path: where it was read.
    """

    whole_name: bool
    xmp: bytes
    path: Path

    def beside(self, picture: Path) -> Path:
        """Where it is, or belongs, beside a picture."""
        return _beside(picture, self.whole_name)


def sidecar_names(picture: str) -> list[str]:
    """What the sidecars of a picture of that name may be called."""
    stems = dict.fromkeys([PurePath(picture).stem, picture])
    return [f"{stem}{ending}" for stem in stems for ending in (".xmp", ".XMP")]


def _beside(picture: Path, whole_name: bool) -> Path:
    return picture.with_name(f"{picture.name}.xmp") if whole_name else picture.with_suffix(".xmp")


def _existing(path: Path) -> Iterator[Path]:
    """That file, also if its ending is in capitals."""
    for candidate in (path, path.with_name(path.name[:-4] + ".XMP")):
        if os.path.lexists(candidate):
            yield candidate
            return


def read_sidecars(picture: Path) -> tuple[tuple[Sidecar, ...], list[str]]:
    """The sidecars of a picture; and a line for each that cannot be read."""
    found: list[Sidecar] = []
    notes: list[str] = []
    for whole_name in (False, True) if picture.suffix else (False,):
        for path in _existing(_beside(picture, whole_name)):
            try:
                with open_file(path) as file:
                    content = file.read(MAX_XMP + 1)
            except (HimeError, OSError) as error:
                notes.append(UNREADABLE.format(name=path.name, reason=str(error).removeprefix(f"{path}: ")))
                continue
            found.append(Sidecar(whole_name, content, path))
    return tuple(found), notes


def sidecars_beside(picture: Path, sidecars: Sequence[Sidecar]) -> dict[Path, Sidecar]:
    """The files that a result with these sidecars gets beside it.

    One that was read there already, as ``a.xmp`` for ``a.png`` is where the result is ``a.jpg`` in the same
    folder, belongs to the source and is left as it is.
    """
    targets = {sidecar.beside(picture): sidecar for sidecar in sidecars}
    read = {os.path.realpath(sidecar.path) for sidecar in sidecars}
    return {path: sidecar for path, sidecar in targets.items() if os.path.realpath(path) not in read}
