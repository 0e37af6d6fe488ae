"""Whether a picture says itself that this program made it, wherever it lies and whatever it is called."""

from __future__ import annotations

from pathlib import Path

from PIL import ExifTags

from hime.errors import HimeError
from hime.files import open_file
from hime.pictures.decoding import open_picture
from hime.pictures.formats import format_of
from hime.pictures.metadata import read_xmp
from hime.pictures.xmp import ALTERED

_MARK = ALTERED.encode()
_SOFTWARE = "hime "
"""How what this program writes as Software begins, the version behind it; likewise the page of `hime app`."""
_CREATOR = f'CreatorTool="{_SOFTWARE}'.encode()
"""Where the page says it, in the packet of XMP."""
_BLOCK = 1 << 20


def is_marked(path: Path) -> bool:
    """Whether a picture carries the marks of a result (`hime.pictures.writing.write_picture`): IPTC's digital
    source type of what a trained model made a part of, and this program as Software. What another program
    has written since carries that one's name.

    False if it cannot be read: who reads it in earnest says why.
    """
    try:
        if not _holds_mark(path):  # twenty times as fast as to take a large JPEG apart
            return False
        with open_picture(path, decode=False) as opened:
            packet = read_xmp(opened.picture)
            names = (
                opened.picture.getexif().get(ExifTags.Base.Software),
                opened.picture.info.get("Software"),
            )
    except (HimeError, OSError):
        return False
    return _MARK in packet and (_CREATOR in packet or any(str(name).startswith(_SOFTWARE) for name in names))


def _holds_mark(path: Path) -> bool:
    """Whether it is a picture and the source type stands anywhere in it."""
    end = b""
    with open_file(path) as file:
        if format_of(file.read(64)) is None:  # a film would be read to its end
            return False
        file.seek(0)
        while block := file.read(_BLOCK):
            if _MARK in (content := end + block):
                return True
            end = content[1 - len(_MARK) :]
    return False
