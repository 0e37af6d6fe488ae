"""Formats: told by content, how large each can be, which endings stand for which; pictures of a folder."""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hime.errors import HimeError
from hime.files import is_folder, open_file, reason_of, special, unreadable_folder
from hime.pictures.tiff import is_raw

WRITTEN = {
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".jpe": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
"""File name endings, in lower case, that `write_picture` takes, and the format that each stands for."""

READ = (*WRITTEN, ".bmp", ".dib", ".gif", ".jp2", ".j2k", ".jpx", ".mpo", ".pgm", ".ppm", ".tga")
"""Endings of photographs. A file of any other ending is one too, if its content says so."""

ENDINGS = {"AVIF": ".avif", "HEIF": ".heic", "JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp"}


SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
"""File name endings, in lower case, by which pictures are found in people folders, and written."""

_LARGEST = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 32_768, "HEIF": 32_768}
"""Pixels a side: what libjpeg writes (the format has room for 65,535), WebP has room for, and libavif and
libheif read; by trial with one picture a size."""

_READABLE = "a PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, HEIC, JPEG 2000, PPM or TGA picture"
_CONTAINERS = {  # brands of ISO base media files (ISO 14496-12): the format, or what it is instead
    b"avif": "AVIF",
    b"avis": "AVIF",
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "HEIF"),
}
_RAW = "a raw file of a camera; develop it and give the finished picture"
FILM = "a film; save the picture you mean as a file of its own"
_NOT_READ = {  # how a file begins → what it is instead
    b"FUJIFILMCCD-RAW": _RAW,
    b"IIU\0": _RAW,
    b"IIRO": _RAW,
    b"IIRS": _RAW,
    b"MMOR": _RAW,
    b"II\x1a\0\0\0HEAP": _RAW,
    b"\0MRM": _RAW,
    b"\xff\x0a": "a JPEG XL picture; convert it to PNG, TIFF or JPEG",
    b"\0\0\0\x0cJXL \r\n\x87\n": "a JPEG XL picture; convert it to PNG, TIFF or JPEG",
    b"8BPS": "a Photoshop document; save it as TIFF or PNG, in one layer",
    b"gimp xcf": "a GIMP document; export it as TIFF or PNG",
    b"%PDF": "a PDF document; save its pictures as files of their own",
    b"\x1aE\xdf\xa3": FILM,
}
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
"""Sizes that the second header of a BMP can have; many a text begins with its mark, BM."""
_TGA_FOOTER = b"TRUEVISION-XFILE.\0"
_TGA_ENDINGS = (".tga", ".icb", ".vda", ".vst")


def format_of(start: bytes) -> str | None:
    """The format of a picture file that begins so, as Pillow names it; None for none. 64 bytes are enough."""
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if start.startswith(b"BM") and int.from_bytes(start[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if start.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return "JPEG2000"
    if re.match(rb"P[1-6]\s+[#\d]", start):
        return "PPM"
    if start[4:8] == b"ftyp":
        brands = start[8 : int.from_bytes(start[:4], "big")]
        return next((form for brand, form in _CONTAINERS.items() if brand in brands), None)
    return None


def why_not_read(start: bytes) -> str:
    """What a file that begins so is, and the remedy, where `format_of` gives nothing."""
    if not start:
        return "is empty; replace it by an intact copy"
    for magic, what in _NOT_READ.items():
        if start.startswith(magic):
            return what
    if start[4:8] == b"ftyp":
        return _RAW if start[8:12] == b"crx " else FILM
    if start.startswith(b"RIFF") and start[8:12] == b"AVI ":
        return FILM
    return f"is not {_READABLE}, whatever its name; convert it to one of these"


def is_tga(path: Path, start: bytes, end: bytes) -> bool:
    """Whether a file is a Truevision TGA picture: by its last 18 bytes, or, of the first version, which says
    nothing there, by a header that makes sense under a name that says so.
    """
    if len(start) < 18:
        return False
    colour_map, kind = start[1], start[2]
    width, height, depth = struct.unpack_from("<HHB", start, 12)
    sound = (
        colour_map <= 1 and kind in (1, 2, 3, 9, 10, 11) and depth in (8, 15, 16, 24, 32) and width and height
    )
    return bool(sound) and (end.endswith(_TGA_FOOTER) or path.suffix.lower() in _TGA_ENDINGS)


def largest_side(path: Path | str) -> int | None:
    """The most pixels that a side of a picture in a file of that name can have; None if any number fits."""
    return _LARGEST.get(WRITTEN.get(Path(path).suffix.lower(), ""))


def check_sides(path: Path | str, width: int, height: int) -> None:
    """Find out, before the work is done, whether a picture of that size can be written there.

    Raises:
        HimeError: the format has no room for it.
    """
    room = largest_side(path)
    if room is not None and max(width, height) > room:
        form = WRITTEN[Path(path).suffix.lower()]
        raise HimeError(
            f"{path}: {width}×{height} pixels, and {form} has room for {room} a side; choose .png or .tif"
        )


# ------------------------------------------------------------------------------------------- folders


def images_in(folder: Path | str) -> list[Path]:
    """The picture files of a folder by their suffix, sorted by name; hidden files and subfolders left out.

    For data sets, whose folders hold hundreds of thousands; photographs are found by `find_pictures`.

    Raises:
        HimeError: there is no such folder, or it may not be read.
    """
    folder = Path(folder)
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise unreadable_folder(folder, error) from None
    candidates = (folder / name for name in names if not name.startswith("."))
    return [path for path in candidates if path.suffix.lower() in SUFFIXES and path.is_file()]


@dataclass(frozen=True)
class FoundPictures:
    """What lies in a folder and the folders in it.

    Attributes:
        pictures: files whose content is that of a picture, folder by folder, sorted by name.
        passed_over: all others, with what they are and what to do in plain words.
    """

    pictures: tuple[Path, ...]
    passed_over: tuple[tuple[Path, str], ...]


def find_pictures(folder: Path | str) -> FoundPictures:
    """The pictures of a folder and of all folders in it, told by content, not by name.

    A folder's own files come before those of its folders. Links are followed, a folder is visited once.
    Hidden files and folders are left out without a word, and so are the ``.xmp`` sidecars of pictures.

    Raises:
        HimeError: there is no such folder, or it may not be read. Of folders in it, that is told in
            ``passed_over``.
    """
    folder = Path(folder)
    pictures: list[Path] = []
    passed_over: list[tuple[Path, str]] = []
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen and status.st_ino:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            if current == folder:
                raise unreadable_folder(folder, error) from None
            passed_over.append((current, f"may not be read ({reason_of(error)}); check the permissions"))
            continue
        below: list[Path] = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in ("thumbs.db", "desktop.ini"):
                continue
            path = current / entry.name
            if is_folder(entry):
                below.append(path)
            elif (reason := why_no_picture(path)) is None:
                pictures.append(path)
            elif path.suffix.lower() != ".xmp":
                passed_over.append((path, reason))
        waiting.extend(reversed(below))
    return FoundPictures(tuple(pictures), tuple(passed_over))


def why_no_picture(path: Path) -> str | None:
    """Why a file is no picture, None if it is one."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        if path.is_symlink():
            return "is a link that leads nowhere; give the file itself"
        mode = stat.S_IFREG  # what is wrong is told where it is opened
    if kind := special(mode):
        return f"is {kind}, not a file; give a file"
    try:
        with open_file(path) as file:
            start = file.read(64)
            form = format_of(start)
            if form == "TIFF" and is_raw(file):
                return f"is {_RAW}"
            if form is not None or is_tga(path, start, tail(file)):
                return None
    except (HimeError, OSError) as error:
        return str(error).removeprefix(f"{path}: ")
    reason = why_not_read(start)
    return reason if reason.startswith("is ") else f"is {reason}"


def check_pictures(files: Sequence[Path]) -> None:
    """Refuse what was named as somebody's photos and is none: a mistyped folder would be a person.

    Raises:
        HimeError: a file is not there, or none of them is a picture.
    """
    reasons = {file: reason for file in files if (reason := why_no_picture(file)) is not None}
    missing = [file for file in reasons if not os.path.lexists(file)]
    for file in missing or (reasons if len(reasons) == len(files) else ()):
        raise HimeError(f"{file}: {reasons[file]}")


def tail(file: BinaryIO) -> bytes:
    """The last 18 bytes of a file."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(max(0, size - len(_TGA_FOOTER)))
    return file.read(len(_TGA_FOOTER))
