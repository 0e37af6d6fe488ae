"""What a photograph carries beside its pixels, read, and written for the result: EXIF, texts, resolution.

EXIF stays (camera, time, position), but for what is no longer true: the orientation is gone, the pixel
dimensions are the new ones, the subject's area is moved with its pixels, the thumbnail is gone, Software
names this program. The maker's notes, which may name focus points and faces in ways of their own, stay only
where no pixel lies elsewhere than it did. (XMP has a module of its own, `hime.pictures.xmp`.)
"""

from __future__ import annotations

import math
from typing import Any, BinaryIO

import PIL.Image
from PIL import ExifTags, ImageFile, PngImagePlugin

from hime.pictures.directories import Directories
from hime.pictures.places import Placement, moved_subject

MAKER_NOTES = "the camera maker's notes are left out: they may name places in the picture as it was"
CAPTIONS = "its IPTC captions are left out, which this format keeps elsewhere"
NO_ROOM = "its EXIF is larger than the file has room for and left out"
DAMAGED = "its EXIF is damaged and left out"
SUBJECT = "the subject's place in its EXIF is left out: it is not certain where it is now"

_EXIF_ROOM = 65_533  # of one segment of a JPEG, less the segment's own heading

# What describes how the old file stored its pixels, or where in it something lay (TIFF 6.0, EXIF 2.32).
_STORAGE = frozenset(
    (*range(254, 260), 262, 266, 273, *range(277, 282), 284, 292, 293, 317, *range(320, 326), 330, 332)
) | frozenset((338, 339, 340, 341, 347, *range(512, 522), 529, 530, 532, 700, 34377, 34675, 37724))
_IPTC = 33723  # captions in IPTC's older form (IIM), in a TIFF only
_MAKER_NOTE = 0x927C
_SUBJECT_AREA = 0x9214
_GAMMA = 0xA500
_COLOURS = (ExifTags.Base.TransferFunction, ExifTags.Base.WhitePoint, ExifTags.Base.PrimaryChromaticities)
_DATES_AND_RIGHTS = {  # all of EXIF that a crop of one face keeps
    None: (ExifTags.Base.DateTime, ExifTags.Base.Copyright),
    ExifTags.IFD.Exif: (
        ExifTags.Base.DateTimeOriginal,
        ExifTags.Base.DateTimeDigitized,
        ExifTags.Base.OffsetTime,
        ExifTags.Base.OffsetTimeOriginal,
        ExifTags.Base.OffsetTimeDigitized,
        ExifTags.Base.SubsecTime,
        ExifTags.Base.SubsecTimeOriginal,
        ExifTags.Base.SubsecTimeDigitized,
    ),
}
_TEXTS_OF_A_CROP = ("copyright", "creation time")


# ------------------------------------------------------------------------------------------- written


def exif_for(
    source: bytes, placement: Placement, software: str, *, in_srgb: bool = False, in_tiff: bool = False
) -> tuple[bytes, list[str]]:
    """EXIF for the result; and what was left out, a line each.

    Args:
        source: as `read_exif` gives it.
        placement: of the picture.
        software: who writes it.
        in_srgb: whether the result has sRGB's colours, whatever the source had.
        in_tiff: whether the result is a TIFF, which has IPTC's captions among its tags.
    """
    notes: list[str] = []
    if source:
        for without_notes in (placement.moved, True):
            told: list[str] = []
            try:
                exif = PIL.Image.Exif()
                exif.load(source)
                if _IPTC in exif and not in_tiff:
                    del exif[_IPTC]
                    told.append(CAPTIONS)
                content = _edited(exif, placement, software, in_srgb, without_notes, told)
            except Exception:  # damaged in a way that only shows when it is written again
                notes.append(DAMAGED)
                break
            if in_tiff or len(content) <= _EXIF_ROOM:
                return content, told
        else:
            notes.append(NO_ROOM)
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Software] = software
    return exif.tobytes(), notes


def _edited(
    exif: PIL.Image.Exif,
    placement: Placement,
    software: str,
    in_srgb: bool,
    without_notes: bool,
    notes: list[str],
) -> bytes:
    if ExifTags.Base.Orientation in exif:  # upright is what it is without; AVIF's writer spoils letters with
        del exif[ExifTags.Base.Orientation]
    exif[ExifTags.Base.Software] = software
    details = exif.get_ifd(ExifTags.IFD.Exif) if ExifTags.IFD.Exif in exif else {}
    if without_notes and details.pop(_MAKER_NOTE, None) is not None:
        notes.append(MAKER_NOTES)
    _move_subject(details, placement, notes)
    now = {ExifTags.Base.ExifImageWidth: placement.width, ExifTags.Base.ExifImageHeight: placement.height}
    details.update({int(tag): pixels for tag, pixels in now.items() if tag in details})
    _scale_focal_plane(details, placement)
    if in_srgb:
        _say_srgb(exif, details)
    return _content(exif)


class _Bytes(str):
    """Text of EXIF as Pillow reads it, each byte a letter, which is written as these bytes again.

    Pillow writes ASCII, which EXIF prescribes and nobody keeps to, and a question mark for all else.
    """

    def encode(self, *_: str) -> bytes:
        """The bytes."""
        return str.encode(self, "latin-1", "replace")


_UNDEFINED = {
    ExifTags.IFD.Exif: frozenset(
        (0x8828, 0x9000, 0x9101, 0x9286, 0x927C, 0xA000, 0xA20C, 0xA300, 0xA301, 0xA302, 0xA40B)
    ),
    ExifTags.IFD.GPSInfo: frozenset((0x1B, 0x1C)),
    ExifTags.IFD.Interop: frozenset((2,)),
}
"""Tags whose type is UNDEFINED by directory (EXIF 2.32, section 4.6). Pillow takes for BYTE what it does not
know."""


def _content(exif: PIL.Image.Exif) -> bytes:
    keep_letters(exif)
    return exif.tobytes()


def keep_letters(exif: PIL.Image.Exif) -> None:
    """Have Pillow write letters and types as it has read them."""
    for tag, value in exif.items():
        if isinstance(value, str):
            exif[tag] = _Bytes(value)
    for folder, undefined in _UNDEFINED.items():
        found = _folder(exif, folder)
        for tag, value in found.items():
            if isinstance(value, str):
                found[tag] = _Bytes(value)
            elif isinstance(value, bytes) and tag in undefined:
                found[tag] = (bytearray(value),)  # no type that Pillow guesses at, so it stays UNDEFINED


def _folder(exif: PIL.Image.Exif, folder: int) -> dict[int, Any]:
    """A directory of EXIF as Pillow will write it, interoperability's below EXIF's; empty without."""
    above: Any = exif if folder != ExifTags.IFD.Interop else _folder(exif, ExifTags.IFD.Exif)
    found = above.get(folder)
    if found is None or isinstance(found, dict):
        return found or {}
    return exif.get_ifd(folder)


def _move_subject(details: dict[int, Any], placement: Placement, notes: list[str]) -> None:
    if not placement.moved:
        return
    frame: Any = (details.get(ExifTags.Base.ExifImageWidth), details.get(ExifTags.Base.ExifImageHeight))
    if not all(isinstance(side, int) and side > 0 for side in frame):
        frame = placement.stored
    for tag in (_SUBJECT_AREA, ExifTags.Base.SubjectLocation):
        values = details.pop(tag, None)
        if values is None:
            continue
        try:
            moved = moved_subject(tuple(float(value) for value in values), frame, placement)
        except (TypeError, ValueError):
            moved = None
        if moved is None:
            notes.append(SUBJECT)
        else:
            details[tag] = moved


def _scale_focal_plane(details: dict[int, Any], placement: Placement) -> None:
    """Pixels to the unit of the sensor: more of them now, and turned."""
    tags = (ExifTags.Base.FocalPlaneXResolution, ExifTags.Base.FocalPlaneYResolution)
    if not all(tag in details for tag in tags):
        return
    across, down = (details.pop(tag) for tag in (tags[::-1] if placement.swaps else tags))
    width, height = placement.upright
    try:
        scaled = (float(across) * placement.width / width, float(down) * placement.height / height)
    except (TypeError, ValueError, ZeroDivisionError):
        return
    if all(math.isfinite(value) and 0 < value < 2**31 for value in scaled):
        details.update(zip(tags, scaled, strict=True))


def _say_srgb(exif: PIL.Image.Exif, details: dict[int, Any]) -> None:
    """Colours other than sRGB's are not to be declared any more."""
    index = exif.get_ifd(ExifTags.IFD.Interop) if ExifTags.IFD.Interop in details else {}
    if details.get(ExifTags.Base.ColorSpace) == 2 or str(index.get(1, "")).startswith("R03"):
        details[ExifTags.Base.ColorSpace] = 1
        details.pop(ExifTags.IFD.Interop, None)
    details.pop(_GAMMA, None)
    for tag in _COLOURS:
        exif.pop(tag, None)


def png_texts(text: tuple[tuple[str, str], ...], xmp: bytes, software: str) -> PngImagePlugin.PngInfo:
    """The texts of a PNG: its own, XMP, and who wrote it."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Software", software)
    for key, value in text:
        texts.add_text(key, value)  # keeps the language of an international one
    if xmp:
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return texts


def exif_for_crop(source: bytes) -> bytes:
    """EXIF less all but dates and copyright; empty if it is damaged or has none of these."""
    kept = PIL.Image.Exif()
    exif = PIL.Image.Exif()
    try:
        exif.load(source)
        for folder, tags in _DATES_AND_RIGHTS.items():
            found = exif if folder is None else exif.get_ifd(folder)
            values = {int(tag): found[tag] for tag in tags if tag in found}
            if folder is None:
                for tag, value in values.items():
                    kept[tag] = value
            elif values:
                kept[folder] = values
        return _content(kept) if kept else b""
    except Exception:
        return b""


def texts_for_crop(text: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The texts that say when, and whose it is."""
    return tuple((key, value) for key, value in text if key.lower() in _TEXTS_OF_A_CROP)


# ------------------------------------------------------------------------------------------- read


def read_exif(opened: ImageFile.ImageFile, file: BinaryIO) -> bytes:
    """EXIF without what describes the storage of the old pixels; empty if there is none or it is damaged.

    Args:
        opened: the picture.
        file: the file that it lies in.
    """
    try:
        exif = opened.getexif()
        for tag in _STORAGE.intersection(exif):
            del exif[tag]
        if not isinstance(exif.get(_IPTC, b""), bytes):  # which Adobe's programs call numbers
            exif[_IPTC] = Directories(file).content(_IPTC) if opened.format == "TIFF" else b""
        if not exif.get(_IPTC, b"-"):
            del exif[_IPTC]
        if exif.bigtiff:  # whose directories nobody else reads
            exif = _copied(exif)
        return _content(exif) if exif else b""
    except Exception:  # damaged EXIF: Pillow's decoder has no common base of errors
        return b""


def _copied(exif: PIL.Image.Exif) -> PIL.Image.Exif:
    copy = PIL.Image.Exif()
    for tag, value in exif.items():
        copy[tag] = dict(exif.get_ifd(tag)) if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) else value
    details = copy.get(ExifTags.IFD.Exif, {})
    if ExifTags.IFD.Interop in details:  # else where it was in the old file
        details[ExifTags.IFD.Interop] = dict(exif.get_ifd(ExifTags.IFD.Interop))
    return copy


def read_xmp(opened: ImageFile.ImageFile) -> bytes:
    """The packet as it is; may be empty."""
    packet = opened.info.get("xmp", b"")
    return packet.encode() if isinstance(packet, str) else bytes(packet)


def read_texts(opened: ImageFile.ImageFile) -> tuple[tuple[str, str], ...]:
    """Keywords and texts of a PNG, but for those that others read."""
    if not isinstance(opened, PngImagePlugin.PngImageFile):
        return ()
    elsewhere = ("XML:com.adobe.xmp", "Raw profile type", "Software")
    return tuple((key, text) for key, text in opened.text.items() if not key.startswith(elsewhere))


def read_resolution(opened: ImageFile.ImageFile) -> tuple[float, float] | None:
    """Dots per inch across and down, where they make sense."""
    try:
        across, down = (float(value) for value in opened.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    sound = all(math.isfinite(value) and 1 <= value < 65_536 for value in (across, down))
    return (across, down) if sound else None
