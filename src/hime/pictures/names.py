"""Who is in a picture, as its metadata name the faces: what digiKam, Lightroom, Picasa and others write.

    for face in read_named_faces("party.jpg"): face.name, face.x, face.y

Regions of the Metadata Working Group (type Face) and people's rectangles by Microsoft, in the picture's own
XMP and in its sidecars. They are set upright by the rules by which they are moved for a result
(`hime.pictures.regions`): what is damaged, or is of another picture, names nobody.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.dom import minidom

from hime.errors import HimeError
from hime.pictures.decoding import metadata_orientation, open_picture
from hime.pictures.metadata import read_xmp
from hime.pictures.places import Placement
from hime.pictures.regions import AREA, MICROSOFT, MICROSOFT_REGION, MWG, RDF, fields, move_places, text_of
from hime.pictures.sidecars import read_sidecars
from hime.pictures.xmp import descriptions_of, parsed

LONGEST_NAME = 100
"""Letters of a name; what follows is left out."""
REACH = 0.75
"""How far from the middle of a region, in its sides, the middle of its face may be: programs draw regions
tightly and loosely, with hair and without."""


@dataclass(frozen=True)
class NamedFace:
    """Where somebody's face is in a picture.

    Attributes:
        name: whose.
        x: of the region's middle, in parts of the upright picture's width.
        y: of the region's middle, in parts of its height.
        width: of the region, in parts of the picture's.
        height: of the region, in parts of the picture's.
    """

    name: str
    x: float
    y: float
    width: float
    height: float

    def distance(self, x: float, y: float) -> float:
        """Of a point from the region's middle, in its sides; up to `REACH` a face is that of the region."""
        return max(abs(x - self.x) / self.width, abs(y - self.y) / self.height)


def read_named_faces(path: Path) -> list[NamedFace]:
    """The faces that a picture names, each name once.

    None if it cannot be read: who reads it in earnest says why.
    """
    try:
        with open_picture(path, decode=False) as opened:
            if opened.picture.format == "PNG":  # where metadata may come after the pixels
                opened.picture.load()
            turn = metadata_orientation(opened)
            width, height = opened.picture.size
            is_upright = opened.picture.format in ("HEIF", "TIFF")  # whose decoders turn them
            stored = (height, width) if is_upright and turn >= 5 else (width, height)
            packet = read_xmp(opened.picture)
    except HimeError:
        return []
    sidecars, _ = read_sidecars(path)
    found: dict[str, NamedFace] = {}
    for source in (packet, *(sidecar.xmp for sidecar in sidecars)):
        for face in named_faces(source, stored, turn):
            found.setdefault(face.name, face)
    return list(found.values())


def named_faces(packet: bytes, stored: tuple[int, int], turn: int) -> list[NamedFace]:
    """The faces that a packet of XMP names; none if it is damaged or too large.

    Args:
        packet: may be empty.
        stored: width and height of the picture that the packet belongs to.
        turn: EXIF's orientation by which that is set upright.
    """
    if not packet:
        return []
    width, height = stored[::-1] if turn >= 5 else stored
    # Of twice the size: then everything is moved, also that of a picture which lies upright already, and is
    # in parts of the picture afterwards.
    placement = Placement(stored, turn, 2 * width, 2 * height)
    try:
        _, root = parsed(packet)
        faces = []
        for description in descriptions_of(root):
            move_places(description, placement)
            faces += [*_mwg(description), *_microsoft(description)]
    except Exception:  # the parser's own errors, and what a strange tree leads to
        return []
    return [face for face in faces if face.name and _is_sound(face)]


def _mwg(description: minidom.Element) -> Iterator[NamedFace]:
    regions = fields(description).get((MWG, "Regions"))
    if not isinstance(regions, minidom.Element):
        return
    for item in regions.getElementsByTagNameNS(RDF, "li"):
        region = fields(item)
        area = region.get((MWG, "Area"))
        if not isinstance(area, minidom.Element) or text_of(region.get((MWG, "Type"))) not in ("Face", ""):
            continue
        values = fields(area)
        x, y, width, height = (_number(text_of(values.get((AREA, name)))) for name in ("x", "y", "w", "h"))
        yield NamedFace(_plain(text_of(region.get((MWG, "Name")))), x, y, width, height)


def _microsoft(description: minidom.Element) -> Iterator[NamedFace]:
    people = fields(description).get((MICROSOFT, "RegionInfo"))
    if not isinstance(people, minidom.Element):
        return
    for item in people.getElementsByTagNameNS(RDF, "li"):
        region = fields(item)
        sides = [_number(part) for part in text_of(region.get((MICROSOFT_REGION, "Rectangle"))).split(",")]
        if len(sides) == 4:
            left, top, width, height = sides
            name = _plain(text_of(region.get((MICROSOFT_REGION, "PersonDisplayName"))))
            yield NamedFace(name, left + width / 2, top + height / 2, width, height)


def spelled(name: str) -> str:
    """One spelling of a name: a letter with its marks is one character, as keyboards give it, and not two, as
    some systems store it in names of files.
    """
    return unicodedata.normalize("NFC", name)


def _plain(name: str) -> str:
    """One spelling of a name, whoever wrote it."""
    return " ".join(spelled(name).split())[:LONGEST_NAME]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_sound(face: NamedFace) -> bool:
    """Whether the region has an extent and its middle is in the picture."""
    return 0 <= face.x <= 1 and 0 <= face.y <= 1 and 0 < face.width <= 1 and 0 < face.height <= 1
