"""What a file holds beside the one picture, and a result cannot: found, to be told.

A gain map brightens the old pixels, the film of a moving photograph shows them, a signature is of them.
"""

from __future__ import annotations

import io
import struct

from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from hime.pictures.decoding import Opened

GAIN_MAP = "its gain map (for HDR screens) is left out"
MOTION = "its film (of a moving photograph) is left out"
SOUND = "its sound is left out"
DEPTH = "its depth map is left out"
FURTHER = "a further picture in the file is left out"
APPENDED = "what is appended to the picture is left out"
PROVENANCE = "its signed provenance (C2PA) is left out: it is of the old picture"

_GAIN_MAPS = (b"hdrgm:", b"HDRGainMap", b"hdr-gain-map", b"urn:iso:std:iso:ts:21496")
_THUMBNAILS = (0x01_0001, 0x01_0002)
"""Kinds of pictures in a multi-picture file (CIPA DC-007, table 4) that are previews of the first."""
_TIFF_TAG = 52_545
_LEAST = 64
"""Bytes behind a picture that are worth a word: some programs leave padding."""


def parts_left_out(opened: Opened) -> list[str]:
    """What the file holds beside the picture, a line each."""
    if opened.scan is not None:
        return _of_jpeg(opened)
    form = opened.picture.format
    if form in ("HEIF", "AVIF"):
        return _of_items(opened)
    return [PROVENANCE] if _is_signed(opened) else []


def _is_signed(opened: Opened) -> bool:
    """Whether a PNG, WebP or TIFF holds C2PA (specification 2.1, A.3)."""
    picture = opened.picture
    if isinstance(picture, PngImageFile):
        return any(chunk[0] == b"caBX" for chunk in picture.private_chunks)
    if isinstance(picture, TiffImageFile):
        return _TIFF_TAG in picture.tag_v2
    if picture.format != "WEBP":
        return False
    content = opened.content()
    place = 12
    while place + 8 <= len(content):
        kind, size = struct.unpack_from("<4sI", content, place)
        if kind == b"C2PA":
            return True
        place += 8 + size + size % 2
    return False


def _of_jpeg(opened: Opened) -> list[str]:
    assert opened.scan is not None
    content = opened.content()
    behind = content[opened.scan.end :]
    found = []
    if opened.scan.provenance:
        found.append(PROVENANCE)
    if len(behind.strip(b"\0\xff \r\n")) < _LEAST:
        return found
    told = len(found)
    head = content[: min(opened.scan.end, 1 << 20)]
    if any(sign in part for sign in _GAIN_MAPS for part in (head, behind)):
        found.append(GAIN_MAP)
    if b"ftyp" in behind or b"MotionPhoto_Data" in behind:
        found.append(MOTION)
    if len(found) == told and behind.startswith(b"\xff\xd8\xff"):
        kinds = _further_pictures(opened)
        if not kinds or any(kind not in _THUMBNAILS for kind in kinds):
            found.append(FURTHER)
    elif len(found) == told:
        found.append(APPENDED)
    return found


def _further_pictures(opened: Opened) -> list[int]:
    """Kinds of the pictures of a multi-picture file beside the first (CIPA DC-007, 5.2.3.3)."""
    block = opened.picture.info.get("mp")
    if not isinstance(block, bytes):
        return []
    try:
        order = {b"II": "<", b"MM": ">"}[block[:2]]
        (place,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, place)
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, _, length, at = struct.unpack_from(order + "HHII", block, entry)
            if tag == 0xB002:  # MP entry: 16 bytes a picture
                kinds = [struct.unpack_from(order + "I", block, at + 16 * n)[0] for n in range(length // 16)]
                return [kind & 0xFF_FFFF for kind in kinds[1:]]
    except (KeyError, struct.error):
        pass
    return []


def _of_items(opened: Opened) -> list[str]:
    boxes = opened.boxes
    found = []
    if b"tmap" in boxes.kinds or any(b"gainmap" in kind.lower() for kind in boxes.auxiliary):
        found.append(GAIN_MAP)
    if any(b"depth" in kind.lower() or b"disparity" in kind.lower() for kind in boxes.auxiliary):
        found.append(DEPTH)
    if boxes.kinds & {b"mpvd", b"moov"}:
        found.append(MOTION)
    if getattr(opened.picture, "n_frames", 1) > 1:
        found.append(FURTHER)
    if b"jumb" in boxes.kinds or _has_c2pa(opened):
        found.append(PROVENANCE)
    return found


def _has_c2pa(opened: Opened) -> bool:
    """C2PA lies in a box ``uuid`` of the first level (C2PA 2.1, A.5.1)."""
    if b"uuid" not in opened.boxes.kinds:
        return False
    opened.file.seek(0, io.SEEK_SET)
    return b"c2pa" in opened.content()
