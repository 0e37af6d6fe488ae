"""Which file name endings stand for which format, and the pictures of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hime.errors import HimeError

WRITTEN = {
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
"""File name endings, in lower case, that `write_picture` takes, and the format that each stands for."""

READ = (*WRITTEN, ".bmp", ".gif")
"""Endings by which photographs are found in folders."""

ENDINGS = {"AVIF": ".avif", "HEIF": ".heic", "JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp"}


SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
"""File name endings, in lower case, by which pictures are found in folders and written."""


def images_in(folder: Path | str, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """The picture files of a folder by their suffix, sorted by name; hidden files and subfolders left out.

    Raises:
        HimeError: there is no such folder, or it may not be read.
    """
    folder = Path(folder)
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise HimeError(
            f"{folder}: not a folder that can be read ({error.strerror}); check the path"
        ) from None
    candidates = (folder / name for name in names if not name.startswith("."))
    return [path for path in candidates if path.suffix.lower() in suffixes and path.is_file()]
