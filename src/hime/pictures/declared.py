"""Colours that a file declares otherwise than by an ICC profile: found, and told as such a profile.

- PNG: cICP, sRGB, gAMA and cHRM, in this order (PNG 3, section 4.3; an ICC profile comes after cICP).
- JPEG and TIFF: Adobe RGB by EXIF's colour space or by its interoperability index R03 (DCF 2.0), white point
  and primaries by EXIF or TIFF 6.0.
- HEIC and AVIF: the code points of ITU-T H.273 (``nclx``).
- BMP: end points and exponents of version 4, the profile within version 5.

What says sRGB, or nearly, is none. The transfer curves of television (BT.709 and its like) are taken for
sRGB's, as browsers show them. Of pictures for HDR screens (PQ, HLG) what is brighter than white (203 cd/m²,
ITU-R BT.2408) is cut off.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, ImageFile

from hime.pictures.boxes import Boxes
from hime.pictures.decoding import is_grey
from hime.pictures.profiles import (
    ADOBE_GAMMA,
    ADOBE_RGB,
    D65,
    SRGB,
    Chromaticities,
    FloatArray,
    make_profile,
    to_linear_srgb,
)

HDR = "made for HDR screens: what is brighter than white is cut off"

_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_PRIMARIES: dict[int, Chromaticities] = {  # ITU-T H.273, table 2; those of sRGB are left out
    4: ((0.310, 0.316), (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: (D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: (D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), *_P3),
    12: (D65, *_P3),
    22: (D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}  # table 3; all others are taken for sRGB's
_PQ, _HLG = 16, 18
_WHITE = 203.0
"""cd/m² of diffuse white (ITU-R BT.2408)."""
_STEPS = np.linspace(0, 1, 4096)


@dataclass(frozen=True)
class Declared:
    """What colours mean.

    Attributes:
        source: the profile of the values that the file has; None for sRGB.
        kept: the profile that a result is written with; None for sRGB.
        note: what is lost, in plain words.
    """

    source: bytes | None = None
    kept: bytes | None = None
    note: str | None = None


def declared_colours(picture: ImageFile.ImageFile, file: BinaryIO, boxes: Boxes) -> Declared:
    """What a file says of its colours; damaged declarations say nothing."""
    icc = picture.info.get("icc_profile") or boxes.icc or None
    try:
        declared = _read(picture, file, boxes, icc is not None)
    except (
        struct.error,
        ValueError,
        TypeError,
        KeyError,
        ZeroDivisionError,
        OverflowError,
        SyntaxError,
        OSError,
    ):
        declared = None
    return declared or Declared(icc, icc)


def _read(picture: ImageFile.ImageFile, file: BinaryIO, boxes: Boxes, has_icc: bool) -> Declared | None:
    grey = is_grey(picture)
    if picture.format == "PNG":
        code_points = _png_code_points(file)
        if code_points is not None:
            return by_code_points(*code_points, grey=grey)
        return None if has_icc else _of_png(picture.info, grey)
    if has_icc or picture.mode == "CMYK":
        return None
    if picture.format in ("HEIF", "AVIF") and boxes.colours is not None:
        return by_code_points(*boxes.colours, grey=grey)
    if picture.format in ("JPEG", "TIFF"):
        return _of_exif(picture, grey)
    if picture.format == "BMP":
        return _of_bmp(file, grey)
    return None


def by_code_points(primaries: int, transfer: int, *, grey: bool = False) -> Declared:
    """Colours by their code points in ITU-T H.273."""
    chromaticities = _PRIMARIES.get(primaries, SRGB)
    kept = _EXPONENTS.get(transfer, to_linear_srgb(_STEPS))
    name = f"H.273 primaries {primaries}, transfer {transfer}"
    if transfer in (_PQ, _HLG):
        light = _pq(_STEPS) if transfer == _PQ else _hlg(_STEPS)
        source = make_profile(chromaticities, np.minimum(light / _WHITE, 1), name, grey=grey)
        sdr = make_profile(chromaticities, kept, f"H.273 primaries {primaries}, transfer 13", grey=grey)
        return Declared(source, None if chromaticities == SRGB else sdr, HDR)
    if chromaticities == SRGB and transfer not in _EXPONENTS:
        return Declared()
    return _as_profile(chromaticities, kept, name, grey)


def _as_profile(chromaticities: Chromaticities, curve: float | FloatArray, name: str, grey: bool) -> Declared:
    profile = make_profile(chromaticities, curve, name, grey=grey)
    return Declared(profile, profile)


def _pq(levels: FloatArray) -> FloatArray:
    """Levels → cd/m² (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
    root = levels ** (1 / m2)
    return np.asarray(10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1))


def _hlg(levels: FloatArray) -> FloatArray:
    """Levels → cd/m² of a screen of 1000 (ITU-R BT.2100, the system's exponent 1.2 on each channel)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(levels <= 0.5, levels**2 / 3, (np.exp((levels - c) / a) + b) / 12)
    return np.asarray(1000 * scene**1.2)


def _png_code_points(file: BinaryIO) -> tuple[int, int] | None:
    file.seek(8)
    for _ in range(1000):
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            return None
        (length,) = struct.unpack_from(">I", head)
        if head[4:] == b"cICP":
            body = file.read(4)
            return (body[0], body[1]) if len(body) == 4 and body[2] == 0 else None
        file.seek(length + 4, 1)
    return None


def _of_png(info: dict[str | tuple[int, int], Any], grey: bool) -> Declared | None:
    gamma = info.get("gamma")
    if "srgb" in info or not gamma or not 0.05 <= gamma <= 20:
        return None
    chromaticities = SRGB
    if "chromaticity" in info:
        x = info["chromaticity"]
        chromaticities = ((x[0], x[1]), (x[2], x[3]), (x[4], x[5]), (x[6], x[7]))
    if abs(gamma - 1 / 2.2) < 0.003 and _nearly(chromaticities, SRGB):
        return None  # so sRGB is spelled in these chunks (PNG 3, 11.3.2.5)
    return _as_profile(chromaticities, float(1 / gamma), f"PNG gAMA {gamma:g}", grey)


def _nearly(one: Chromaticities, other: Chromaticities) -> bool:
    return bool(np.abs(np.array(one) - np.array(other)).max() < 0.005)


def _of_exif(picture: ImageFile.ImageFile, grey: bool) -> Declared | None:
    exif = picture.getexif()
    # A folder that is asked for is one from then on, empty or not, and would be written.
    details = exif.get_ifd(ExifTags.IFD.Exif) if ExifTags.IFD.Exif in exif else {}
    interoperability = exif.get_ifd(ExifTags.IFD.Interop) if ExifTags.IFD.Interop in details else {}
    space = details.get(ExifTags.Base.ColorSpace)
    index = str(interoperability.get(1, "")).rstrip("\0 ")
    if space == 1:
        return None
    if space == 2 or (index == "R03" and space in (None, 65_535)):
        return _as_profile(ADOBE_RGB, ADOBE_GAMMA, "Compatible with Adobe RGB (1998)", grey)
    white, primaries = exif.get(ExifTags.Base.WhitePoint), exif.get(ExifTags.Base.PrimaryChromaticities)
    gamma = details.get(0xA500)  # EXIF 2.3: Gamma
    if white is None or primaries is None or (picture.format == "JPEG" and gamma is None):
        return None
    x = [float(value) for value in (*white, *primaries)]
    chromaticities = ((x[0], x[1]), (x[2], x[3]), (x[4], x[5]), (x[6], x[7]))
    exponent = float(gamma) if gamma is not None else 2.2  # TIFF 6.0, section 20, without a transfer function
    if not 0.05 <= exponent <= 20 or (abs(exponent - 2.2) < 0.02 and _nearly(chromaticities, SRGB)):
        return None
    return _as_profile(chromaticities, exponent, "By white point and primaries", grey)


def _of_bmp(file: BinaryIO, grey: bool) -> Declared | None:
    file.seek(0)
    head = file.read(14 + 124)
    (size,) = struct.unpack_from("<I", head, 14)
    if size < 108:
        return None
    (kind,) = struct.unpack_from("<I", head, 14 + 56)
    if kind == 0x4D424544 and size >= 124:  # "MBED": the profile is in the file
        place, length = struct.unpack_from("<II", head, 14 + 112)
        file.seek(14 + place)
        icc = file.read(min(length, 4 << 20))
        return Declared(icc, icc)
    if kind != 0:
        return None
    points = np.array(struct.unpack_from("<9i", head, 14 + 60)).reshape(3, 3) / 2**30
    exponents = [value / 65_536 for value in struct.unpack_from("<3I", head, 14 + 96)]
    if not all(0.05 <= value <= 20 for value in exponents) or (points.sum(axis=1) <= 0).any():
        return None
    xy = [(float(x / (x + y + z)), float(y / (x + y + z))) for x, y, z in (*points, points.sum(axis=0))]
    chromaticities = (xy[3], *xy[:3])
    exponent = float(np.mean(exponents))
    if abs(exponent - 2.2) < 0.02 and _nearly(chromaticities, SRGB):
        return None
    return _as_profile(chromaticities, exponent, "BMP end points", grey)
