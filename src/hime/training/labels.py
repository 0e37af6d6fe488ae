"""What is known of training photos beside their pixels: landmarks and the parts of the face.

Some compared systems learn from them. They are read from a file that `comparisons/face_labels.py` writes,
once for a data set; without one, the terms that need them are left out.

Shapes: ``M`` photos, ``B`` batch, ``S`` HR size.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hime.errors import HimeError
from hime.files import reason_of
from hime.systems.landmarks import NOWHERE, POINTS, UNKNOWN, is_somewhere
from hime.systems.psfrgan import PARTS

POINTS_MIRRORED = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
)  # fmt: skip
"""Which of the 68 landmarks (iBUG 300-W's order) each is in the mirror image."""
PARTS_MIRRORED = {4: 5, 6: 7, 8: 9}
"""CelebAMask-HQ's labels that change places in it: eyes, brows, ears."""

KEYS = ("names", "points", "parsing")
_MAPS = 1024
"""Of parsing, looked through at a time: a check takes a few times as much memory as what it looks at."""
DAMAGED = (
    OSError, KeyError, ValueError, TypeError, AttributeError, EOFError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a file that is damaged, or another NumPy file, raises."""


def read_labels(
    path: Path | str, names: Sequence[str], size: int, own: Sequence[str] | None = None
) -> dict[str, Tensor]:
    """The labels of photos.

    Args:
        path: .npz with ``names`` ("ROOT/PERSON/FILE"), ``points`` (68×2 each, x and y as shares of the side)
            and ``parsing`` (a square of CelebAMask-HQ's labels each).
        names: of the photos, M, as lists have them (``Photos.listed_names``).
        size: S.
        own: M; by these a photo is looked for that the file does not know by the name in ``names``, as files
            of before do not know those of a folder that is given several times. None: ``names``.

    Returns:
        ``points`` M×68×2 float32 and ``parsing`` M×S×S uint8.

    Raises:
        HimeError: the file cannot be read, is no such file, or knows none of the photos.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            known_names, known_points, known_parsing = _checked(*(file[key] for key in KEYS))
    except DAMAGED as error:
        raise HimeError(
            f"{path}: cannot be read as labels ({reason_of(error)}); write it with comparisons/face_labels.py"
        ) from error
    rows = {name: row for row, name in enumerate(known_names)}
    known = [rows.get(name, rows.get(other)) for name, other in zip(names, own or names, strict=True)]
    found = [(place, row) for place, row in enumerate(known) if row is not None]
    if not found:
        raise HimeError(
            f"{path}: has labels of none of the photos, which are called such as {names[0]}; "
            "write it for this data set with comparisons/face_labels.py"
        )
    ours, theirs = (torch.tensor(column) for column in zip(*found, strict=True))
    points = torch.full((len(names), *known_points.shape[1:]), NOWHERE)
    points[ours] = known_points[theirs]
    parsing = torch.full((len(names), size, size), UNKNOWN, dtype=torch.uint8)
    chosen = known_parsing[theirs][:, None]
    if chosen.shape[-1] != size:
        chosen = F.interpolate(chosen, (size, size), mode="nearest")
    parsing[ours] = chosen[:, 0]
    return {"points": points, "parsing": parsing}


def _checked(names: np.ndarray, points: np.ndarray, parsing: np.ndarray) -> tuple[list[str], Tensor, Tensor]:
    """What a file of labels holds, as ``points`` M×68×2 float32 and ``parsing`` M×S×S uint8, S its own.

    Raises:
        ValueError: it is anything else.
    """
    count, side = names.size, tuple(filter(None, parsing.shape[-1:]))
    expected = (
        (names, "U", (count,), "names: a row of text"),
        (points, "f", (count, POINTS, 2), f"points: {POINTS}×2 fractions for each of {count} names"),
        (
            parsing,
            "iu",
            (count, *side, *side),
            f"parsing: a square of whole numbers for each of {count} names",
        ),
    )
    for array, kinds, shape, wanted in expected:
        if array.dtype.kind not in kinds or array.shape != shape:
            raise ValueError(f"{wanted}; it has {'×'.join(map(str, array.shape))} {array.dtype}")
    if not np.isfinite(points).all():
        raise ValueError("points that are no numbers")
    if not all(map(_are_parts, np.split(parsing, range(_MAPS, count, _MAPS)))):
        raise ValueError(f"parsing with labels that are none, 0 … {PARTS - 1}")
    return (
        names.tolist(),
        torch.from_numpy(points).float(),
        torch.from_numpy(parsing.astype(np.uint8, copy=False)),
    )


def _are_parts(parsing: np.ndarray) -> bool:
    """Whether maps hold nothing but CelebAMask-HQ's labels and `UNKNOWN`."""
    unfit = (parsing >= PARTS) & (parsing != UNKNOWN)
    if parsing.dtype.kind == "i":
        unfit |= parsing < 0
    return not unfit.any()


def known_in(labels: Mapping[str, Tensor]) -> int:
    """Of how many photos ``labels`` of `read_labels` tell anything."""
    points, parsing = is_somewhere(labels["points"]).any(1), (labels["parsing"] != UNKNOWN).flatten(1).any(1)
    return int((points | parsing).sum())


def labels_fingerprint(labels: Mapping[str, Tensor]) -> str:
    """A short name for these very labels of these photos, whatever file they came from."""
    digest = hashlib.sha256()
    for name in sorted(labels):
        digest.update(f"{name} {tuple(labels[name].shape)}".encode())
        digest.update(labels[name].contiguous().numpy().data)
    return digest.hexdigest()[:16]


def mirrored_where(labels: Mapping[str, Tensor], mirror: Tensor) -> dict[str, Tensor]:
    """Labels of B photos, mirrored where ``mirror`` (B bool) says so."""
    found = dict(labels)
    if "points" in found:
        points = found["points"]
        turned = points[:, list(POINTS_MIRRORED)] * points.new_tensor([-1.0, 1.0]) + points.new_tensor(
            [1.0, 0]
        )
        found["points"] = torch.where(mirror[:, None, None], turned, points)
    if "parsing" in found:
        parsing = found["parsing"]
        swapped = parsing.clone()
        for left, right in PARTS_MIRRORED.items():
            swapped[parsing == left] = right
            swapped[parsing == right] = left
        found["parsing"] = torch.where(mirror[:, None, None], swapped.flip(-1), parsing)
    return found
