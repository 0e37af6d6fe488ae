"""Colour profiles (ICC) made from what other declarations say, and 16 bits a channel taken through them.

Little CMS, by Pillow, converts 8 bits a channel only. Profiles of a matrix and curves, as nearly all of RGB
and of grey are, are simple enough to be followed here with 16.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.pictures.arrays import DeepImage

FloatArray = npt.NDArray[np.float64]
Chromaticities = tuple[tuple[float, float], ...]
"""CIE x, y of white, red, green and blue."""

D65 = (0.3127, 0.3290)
SRGB: Chromaticities = (D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB: Chromaticities = (D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_GAMMA = 563 / 256
"""Adobe RGB (1998) Color Image Encoding, section 4.3.1.2."""

_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_FINE = 1 << 20
"""Steps of light between black and white by which it is looked up."""


def to_linear_srgb(levels: FloatArray) -> FloatArray:
    """Levels of sRGB in [0, 1] → light in [0, 1] (IEC 61966-2-1)."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def matrix_of(chromaticities: Chromaticities) -> FloatArray:
    """Light of three primaries → CIE XYZ under D50, adapted by Bradford's transform; columns R, G, B.

    Raises:
        ValueError: no colours can be made of these primaries.
    """
    xyz = np.array([(x / y, 1.0, (1 - x - y) / y) if y else (np.nan,) * 3 for x, y in chromaticities])
    if not np.isfinite(xyz).all() or abs(np.linalg.det(xyz[1:])) < 1e-6:
        raise ValueError("no primaries of colours")
    white, primaries = xyz[0], xyz[1:].T
    scaled = primaries * np.linalg.solve(primaries, white)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted: FloatArray = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ scaled
    return adapted


_TO_SRGB = np.linalg.inv(matrix_of(SRGB))


# ------------------------------------------------------------------------------------------- making


def make_profile(
    chromaticities: Chromaticities, curve: float | FloatArray, name: str, *, grey: bool = False
) -> bytes:
    """A display profile (ICC.1:2001).

    Args:
        chromaticities: of white and the primaries; white's alone counts for grey.
        curve: the exponent from levels to light, or the light in [0, 1] of equally spaced levels.
        name: its description, ASCII.
        grey: of one channel.

    Raises:
        ValueError: as for `matrix_of`.
    """
    tone = _curve_tag(curve)
    text = name.encode("ascii", "replace") + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(8 + 2 + 1 + 67)
    tags = {b"desc": description, b"cprt": b"text\0\0\0\0No copyright\0", b"wtpt": _xyz_tag(_D50)}
    if grey:
        tags[b"kTRC"] = tone
    else:
        columns = matrix_of(chromaticities).T
        tags |= {
            kind + b"XYZ": _xyz_tag(column) for kind, column in zip((b"r", b"g", b"b"), columns, strict=True)
        }
        tags |= {kind + b"TRC": tone for kind in (b"r", b"g", b"b")}
    place = 128 + 4 + 12 * len(tags)
    table, body, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    for kind, content in tags.items():
        if content not in places:
            places[content] = place + len(body)
            body += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", kind, places[content], len(content))
    space = b"GRAY" if grey else b"RGB "
    header = struct.pack(">I4sI4s4s4s", place + len(body), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz_tag(_D50)[8:]
    return header.ljust(128, b"\0") + table + body


def _xyz_tag(values: Sequence[float] | FloatArray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65_536) for value in values))


def _curve_tag(curve: float | FloatArray) -> bytes:
    if isinstance(curve, float):
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(min(max(curve, 1 / 256), 255) * 256)) + bytes(2)
    levels = np.rint(np.clip(curve, 0, 1) * 65_535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(levels)) + levels.tobytes()


# ------------------------------------------------------------------------------------- 16 bits a channel


@dataclass(frozen=True, eq=False)
class DeepProfile:
    """A profile of a matrix and curves.

    Attributes:
        curves: light in [0, 1] of each of the 65,536 levels, a channel a row; one row for grey.
        matrix: light → CIE XYZ under D50; None for grey.
    """

    curves: FloatArray
    matrix: FloatArray | None

    def to_srgb(self, values: DeepImage) -> DeepImage:
        """Levels under this profile → levels of sRGB; what sRGB has no room for is cut off."""
        through = None if self.matrix is None else _TO_SRGB @ self.matrix
        return _through(values, self._rows, through, np.stack([_srgb_curve()[1]] * 3))

    def from_srgb(self, values: DeepImage) -> DeepImage:
        """Levels of sRGB → levels under this profile."""
        inverse = None if self.matrix is None else np.linalg.inv(_TO_SRGB @ self.matrix)
        through = None if inverse is None else np.asarray(inverse, np.float64)
        return _through(values, np.stack([_srgb_curve()[0]] * 3), through, self._inverses)

    @functools.cached_property
    def _rows(self) -> FloatArray:
        return np.repeat(self.curves, 3, axis=0) if len(self.curves) == 1 else self.curves

    @functools.cached_property
    def _inverses(self) -> npt.NDArray[np.uint16]:
        return np.stack([_inverse(row) for row in self._rows])


@functools.cache
def _srgb_curve() -> tuple[FloatArray, npt.NDArray[np.uint16]]:
    """Light of the levels of sRGB, and the levels of light."""
    forth = to_linear_srgb(np.linspace(0, 1, 65_536))
    return forth, _inverse(forth)


def _inverse(curve: FloatArray) -> npt.NDArray[np.uint16]:
    """Light, in `_FINE` steps → the level that gives it."""
    rising = np.maximum.accumulate(curve)
    levels = np.interp(np.linspace(0, 1, _FINE), rising, np.arange(65_536))
    return np.rint(levels).astype(np.uint16)


def _through(
    values: DeepImage, forth: FloatArray, matrix: FloatArray | None, back: npt.NDArray[np.uint16]
) -> DeepImage:
    """Levels by one set of curves → light → through the matrix → levels by another; some rows at a time."""
    result = np.empty_like(values)
    tables = forth.astype(np.float32)
    rows = max(1, 1_000_000 // max(1, values.shape[1]))
    for top in range(0, len(values), rows):
        part = values[top : top + rows]
        light = np.stack([tables[channel][part[:, :, channel]] for channel in range(3)], axis=-1)
        if matrix is not None:
            light = light @ matrix.T.astype(np.float32)
        steps = np.rint(np.clip(light, 0, 1) * np.float32(_FINE - 1)).astype(np.int32)
        for channel in range(3):
            result[top : top + rows, :, channel] = back[channel][steps[:, :, channel]]
    return result


def read_deep_profile(icc: bytes) -> DeepProfile | None:
    """The matrix and the curves of a profile; None if it works by tables, or is damaged."""
    try:
        (count,) = struct.unpack_from(">I", icc, 128)
        tags = {}
        for number in range(min(count, 100)):
            kind, place, size = struct.unpack_from(">4sII", icc, 132 + 12 * number)
            tags[kind] = icc[place : place + size]
        if any(kind.startswith((b"A2B", b"D2B")) for kind in tags) or icc[20:24] != b"XYZ ":
            return None
        if icc[16:20] == b"GRAY":
            return DeepProfile(_read_curve(tags[b"kTRC"])[np.newaxis], None)
        if icc[16:20] != b"RGB ":
            return None
        curves = np.stack([_read_curve(tags[kind + b"TRC"]) for kind in (b"r", b"g", b"b")])
        columns = [struct.unpack_from(">3i", tags[kind + b"XYZ"], 8) for kind in (b"r", b"g", b"b")]
        matrix = np.array(columns, np.float64).T / 65_536
        return DeepProfile(curves, matrix) if abs(np.linalg.det(matrix)) > 1e-4 else None
    except (struct.error, KeyError, ValueError):
        return None


def _read_curve(tag: bytes) -> FloatArray:
    """Light of the 65,536 levels (ICC.1:2022, 10.6 and 10.18)."""
    levels = np.linspace(0, 1, 65_536)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return levels
        if count == 1:
            (exponent,) = struct.unpack_from(">H", tag, 12)
            return np.asarray(levels ** (exponent / 256))
        table = np.frombuffer(tag, ">u2", count, 12) / 65_535
        return np.interp(levels, np.linspace(0, 1, count), table)
    if tag[:4] != b"para":
        raise ValueError("no curve")
    (kind,) = struct.unpack_from(">H", tag, 8)
    many = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}[kind]
    given: list[Any] = [value / 65_536 for value in struct.unpack_from(f">{many}i", tag, 12)]
    g, a, b, c, d, e, f = {
        0: [*given, 1, 0, 0, 0, 0, 0][:7],
        1: [*given, 0, 0, 0, 0][:7],
        2: [*given, 0, 0, 0][:7],
        3: [*given, 0, 0][:7],
        4: given,
    }[kind]
    if kind in (1, 2):  # below −b/a it is constant
        d = -b / a if a else 0
        low = np.full_like(levels, c if kind == 2 else 0)
        e = c if kind == 2 else 0
    else:
        low = c * levels + f
    high = np.maximum(a * levels + b, 0) ** g + e
    return np.clip(np.where(levels >= d, high, low), 0, 1)
