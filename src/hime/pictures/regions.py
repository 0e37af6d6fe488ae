"""Places that XMP names in a picture, moved with its pixels or taken out.

- Regions of the Metadata Working Group (faces, pets, focus) and the size that they are applied to; they count
  in the picture as it is stored, or upright where that size says so.
- People's rectangles by Microsoft, IPTC's image regions, EXIF's subject area and location, the measures of
  panoramas, crop settings and local corrections of Adobe Camera Raw, edits of darktable.

What cannot be moved, since it is damaged, of another picture, or its rule is not known, is taken out and
told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.dom import minidom

from hime.pictures.places import Placement, moved_subject, turned_point, turned_sides

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMLNS = "http://www.w3.org/2000/xmlns/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
EXIF = "http://ns.adobe.com/exif/1.0/"
MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
AREA = "http://ns.adobe.com/xmp/sType/Area#"
_SIZE = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
_APPLE_FACES = "http://ns.apple.com/faceinfo/1.0/"
MICROSOFT = "http://ns.microsoft.com/photo/1.2/"
MICROSOFT_REGION = "http://ns.microsoft.com/photo/1.2/t/Region#"
_CAMERA_RAW = "http://ns.adobe.com/camera-raw-settings/1.0/"
_PANORAMA = "http://ns.google.com/photos/1.0/panorama/"
_DARKTABLE = "http://darktable.sf.net/"

REGIONS = "regions that its metadata name (faces, focus) are left out: it is not certain where they are now"
EDITS = "crop settings and edits that another program keeps in its metadata are left out: it has been turned"
PANORAMA = "measures of a panorama are left out: it has been turned"

_CROP = ("CropLeft", "CropTop", "CropRight", "CropBottom")
_CROP_PIXELS = ("CropWidth", "CropHeight", "CropUnit", "CropUnits")
_LOCAL = ("Corrections", "RetouchInfo", "RetouchAreas", "RedEyeInfo")
_GEOMETRY = ("Perspective", "Upright")

Name = tuple[str | None, str]
Property = minidom.Attr | minidom.Element


# ------------------------------------------------------------------------------------------- XMP as a tree


def elements(node: minidom.Node) -> list[minidom.Element]:
    """The elements within a node."""
    return [child for child in node.childNodes if isinstance(child, minidom.Element)]


def fields(structure: minidom.Element) -> dict[Name, Property]:
    """The fields of a structure, or the properties of a description, which XMP writes as attributes, as
    elements, or either within one more description.
    """
    found: dict[Name, Property] = {}
    holders = [structure]
    holders += [child for child in elements(structure) if name_of(child) == (RDF, "Description")]
    for holder in holders:
        for attribute in holder.attributes.values():
            if attribute.namespaceURI not in (RDF, XMLNS):
                found[name_of(attribute)] = attribute
        for child in elements(holder):
            if child.namespaceURI != RDF:
                found[name_of(child)] = child
    return found


def name_of(node: Property) -> Name:
    """Namespace and local name."""
    return node.namespaceURI, str(node.localName)


def text_of(node: Property | None) -> str:
    """The value of a simple property."""
    if node is None:
        return ""
    if isinstance(node, minidom.Attr):
        return node.value
    return "".join(child.data for child in node.childNodes if isinstance(child, minidom.Text)).strip()


def set_text(node: Property, text: str) -> None:
    """Another value for a simple property."""
    if isinstance(node, minidom.Attr):
        node.value = text
        return
    assert node.ownerDocument is not None
    node.childNodes[:] = []
    node.appendChild(node.ownerDocument.createTextNode(text))


def remove(node: Property) -> None:
    """Take a property out."""
    if isinstance(node, minidom.Attr):
        if node.ownerElement is not None:
            node.ownerElement.removeAttributeNode(node)
    elif node.parentNode is not None:
        node.parentNode.removeChild(node)


def _below(node: minidom.Element) -> Iterator[minidom.Element]:
    for child in elements(node):
        yield child
        yield from _below(child)


def _number(node: Property | None) -> float:
    try:
        value = float(text_of(node))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _spelled(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


# ------------------------------------------------------------------------------------------- what is moved


def move_places(description: minidom.Element, placement: Placement) -> list[str]:
    """Move what a description of XMP names in the picture; what had to be taken out, a line each."""
    if not placement.moved:
        return []
    properties = fields(description)
    notes = []
    turn: int | None = placement.turn
    regions = properties.get((MWG, "Regions"))
    if isinstance(regions, minidom.Element):
        turn = _move_mwg(regions, placement)
        if turn is None:
            remove(regions)
            notes.append(REGIONS)
    for name, node in properties.items():
        if node is regions:
            continue
        if name == (MICROSOFT, "RegionInfo"):
            kept = isinstance(node, minidom.Element) and turn is not None and _move_microsoft(node, turn)
        elif name == (IPTC, "ImageRegion"):
            kept = isinstance(node, minidom.Element) and _move_iptc(node, placement)
        elif name in ((EXIF, "SubjectArea"), (EXIF, "SubjectLocation")):
            kept = isinstance(node, minidom.Element) and _move_subject(node, properties, placement)
        else:
            kept = placement.turn == 1 or isinstance(node, minidom.Attr) or not _names_areas(node)
        if not kept:
            remove(node)
            notes.append(REGIONS)
    return [*notes, *_move_camera_raw(properties, placement.turn), *_move_panorama(properties, placement)]


def _names_areas(node: minidom.Element) -> bool:
    """Whether there are areas in a property that is not known here, such as ACDSee's regions."""
    return any(str(child.namespaceURI).endswith("/Area#") for child in _below(node)) or any(
        str(attribute.namespaceURI).endswith("/Area#")
        for child in _below(node)
        for attribute in child.attributes.values()
    )


def _move_mwg(regions: minidom.Element, placement: Placement) -> int | None:
    """Move the regions; by which turn they were moved, None if they cannot be (guidelines 2.0, 5.9)."""
    structure = fields(regions)
    turn: int | None = placement.turn
    size = structure.get((MWG, "AppliedToDimensions"))
    frame: tuple[float, float] = placement.stored
    if isinstance(size, minidom.Element):
        sides = fields(size)
        frame = (_number(sides.get((_SIZE, "w"))), _number(sides.get((_SIZE, "h"))))
        turn = placement.turned_by(*frame)
        if turn is None:
            return None
        set_text(sides[_SIZE, "w"], str(placement.width))
        set_text(sides[_SIZE, "h"], str(placement.height))
    assert turn is not None
    for area in regions.getElementsByTagNameNS(MWG, "Area"):
        if not _move_area(area, frame, turn):
            return None
    if turn != 1:
        for node in [regions, *_below(regions)]:
            for name, field in fields(node).items():
                if name in ((MWG, "Rotation"), (_APPLE_FACES, "AngleInfoRoll")):
                    remove(field)
    return turn


def _move_area(area: minidom.Element, frame: tuple[float, float], turn: int) -> bool:
    values = fields(area)
    x, y = (_number(values.get((AREA, name))) for name in ("x", "y"))
    unit = values.get((AREA, "unit"))
    if text_of(unit) == "pixel" and unit is not None:
        x, y = x / frame[0], y / frame[1]
    if not (math.isfinite(x) and math.isfinite(y)):
        return False
    moved = dict(zip(("x", "y"), turned_point(x, y, turn), strict=True))
    if (AREA, "w") in values and (AREA, "h") in values:
        width, height = (_number(values[AREA, name]) for name in ("w", "h"))
        if text_of(unit) == "pixel":
            width, height = width / frame[0], height / frame[1]
        if not (math.isfinite(width) and math.isfinite(height)):
            return False
        moved |= zip(("w", "h"), turned_sides(width, height, turn), strict=True)
    elif text_of(unit) == "pixel" and (AREA, "d") in values:
        moved["d"] = _number(values[AREA, "d"]) / min(frame)
    for name, value in moved.items():
        set_text(values[AREA, name], _spelled(value))
    if unit is not None:
        set_text(unit, "normalized")
    return True


def _move_microsoft(people: minidom.Element, turn: int) -> bool:
    """Left, top, width and height in parts of the picture (Windows Imaging Component, people tagging)."""
    for node in [people, *_below(people)]:
        rectangle = fields(node).get((MICROSOFT_REGION, "Rectangle"))
        if rectangle is None:
            continue
        try:
            left, top, width, height = (float(value) for value in text_of(rectangle).split(","))
        except ValueError:
            return False
        corners = [turned_point(left, top, turn), turned_point(left + width, top + height, turn)]
        x, y = (min(pair) for pair in zip(*corners, strict=True))
        set_text(rectangle, ", ".join(map(_spelled, (x, y, *turned_sides(width, height, turn)))))
    return True


def _move_iptc(regions: minidom.Element, placement: Placement) -> bool:
    """IPTC's regions (Photo Metadata 2019.1): whether they count in the stored or in the upright picture is
    not said, so those of a turned one are not moved.
    """
    if placement.turn != 1:
        return False
    factors = {"X": placement.width / placement.stored[0], "Y": placement.height / placement.stored[1]}
    factors |= {"W": factors["X"], "H": factors["Y"], "Rx": factors["X"]}
    for boundary in regions.getElementsByTagNameNS(IPTC, "RegionBoundary"):
        if text_of(fields(boundary).get((IPTC, "rbUnit"))) != "pixel":
            continue  # parts of the picture are what they were
        inside = (fields(part).values() for part in [boundary, *_below(boundary)])
        for node in {id(field): field for many in inside for field in many}.values():  # each once
            factor = factors.get(str(node.localName).removeprefix("rb"))
            if node.namespaceURI == IPTC and factor is not None:
                value = _number(node) * factor
                if not math.isfinite(value):
                    return False
                set_text(node, _spelled(value))
    return True


def _move_subject(node: minidom.Element, properties: dict[Name, Property], placement: Placement) -> bool:
    items = node.getElementsByTagNameNS(RDF, "li")
    frame: tuple[float, float] = (
        _number(properties.get((EXIF, "PixelXDimension"))),
        _number(properties.get((EXIF, "PixelYDimension"))),
    )
    if not all(map(math.isfinite, frame)):
        frame = placement.stored
    moved = moved_subject(tuple(_number(item) for item in items), frame, placement)
    if moved is None:
        return False
    for item, value in zip(items, moved, strict=True):
        set_text(item, str(value))
    return True


def _move_camera_raw(properties: dict[Name, Property], turn: int) -> list[str]:
    """Settings that are kept in parts of the picture stay true when it is enlarged, and are turned or taken
    out when it is turned; pixels of an output that was planned are taken out always.
    """
    settings = {name: node for (space, name), node in properties.items() if space == _CAMERA_RAW}
    for name in _CROP_PIXELS:
        if name in settings:
            remove(settings[name])
    if turn == 1:
        return []
    gone = [node for name, node in settings.items() if name.endswith(_LOCAL) or name.startswith(_GEOMETRY)]
    gone += [
        node
        for (space, name), node in properties.items()
        if space == _DARKTABLE and name.startswith(("history", "masks"))
    ]
    crop = [settings.get(name) for name in _CROP]
    sides = [_number(node) for node in crop]
    angle = _number(settings.get("CropAngle"))
    if all(map(math.isfinite, sides)) and (math.isnan(angle) or angle == 0):
        corners = [turned_point(sides[0], sides[1], turn), turned_point(sides[2], sides[3], turn)]
        (left, right), (top, bottom) = (sorted(pair) for pair in zip(*corners, strict=True))
        for node, value in zip(crop, (left, top, right, bottom), strict=True):
            if node is not None:
                set_text(node, _spelled(value))
    else:
        gone += [node for name, node in settings.items() if name.startswith("Crop") or name == "HasCrop"]
    for node in gone:
        remove(node)
    return [EDITS] if gone else []


def _move_panorama(properties: dict[Name, Property], placement: Placement) -> list[str]:
    """Google's measures of a panorama in pixels."""
    measures = {
        name: node
        for (space, name), node in properties.items()
        if space == _PANORAMA and (name.endswith("Pixels") or "InteriorRect" in name)
    }
    if placement.turn != 1:
        for node in measures.values():
            remove(node)
        return [PANORAMA] if measures else []
    for name, node in measures.items():
        across = "Width" in name or name.endswith(("LeftPixels", "RectLeft"))
        side, before = (
            (placement.width, placement.stored[0]) if across else (placement.height, placement.stored[1])
        )
        value = _number(node) * side / before
        if math.isfinite(value):
            set_text(node, str(round(value)))
    return []
