"""XMP: the packet of a photograph, edited for the result.

It stays, but for what is no longer true: orientation and dimensions are the result's, places named in the
picture are moved (see `hime.pictures.regions`), what speaks of data appended to the old file is taken out,
and IPTC's digital source type says that a part of the picture was made by a trained model.

A packet is parsed without document types and entities, in UTF-8 only, and not beyond `MAX_XMP` and
`MAX_MARKS`, which take 2 s at the most.
"""

from __future__ import annotations

from xml.dom import minidom

from defusedxml.minidom import parseString

from hime.pictures.parts import DEPTH, GAIN_MAP, MOTION, SOUND
from hime.pictures.places import Placement
from hime.pictures.regions import (
    EXIF,
    IPTC,
    RDF,
    Name,
    Property,
    elements,
    move_places,
    name_of,
    set_text,
)

ALTERED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's digital source type of a photograph a part of which was made by a trained model."""

MAX_XMP = 1_000_000
"""Bytes of a packet that are parsed; more is left out. One segment of a JPEG holds 65,502."""
MAX_MARKS = 50_000
"""Brackets and equals signs in a packet that is parsed: a bound on its elements and attributes."""
DAMAGED = "its XMP is damaged and begun anew"
TOO_LARGE = "its XMP is larger than the file has room for and begun anew"

_TIFF = "http://ns.adobe.com/tiff/1.0/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_RIGHTS = "http://ns.adobe.com/xap/1.0/rights/"
_DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_APPENDED: dict[str, str | None] = {  # namespaces of what was appended to, or spread over, the old file
    "http://ns.adobe.com/hdr-gain-map/1.0/": GAIN_MAP,
    "http://ns.apple.com/HDRGainMap/1.0/": GAIN_MAP,
    "http://ns.adobe.com/xmp/note/": None,
    "http://ns.google.com/photos/1.0/container/": None,
    "http://ns.google.com/photos/1.0/audio/": SOUND,
    "http://ns.google.com/photos/1.0/depthmap/": DEPTH,
    "http://ns.google.com/photos/1.0/focus/": DEPTH,
    "http://ns.google.com/photos/1.0/image/": DEPTH,
    _CAMERA: None,
}
_DYNAMIC_DEPTH = "http://ns.google.com/photos/dd/"
_OF_A_CROP = {
    (_DUBLIN_CORE, "rights"),
    (_PHOTOSHOP, "DateCreated"),
    (_XMP, "CreateDate"),
    (EXIF, "DateTimeOriginal"),
    (EXIF, "DateTimeDigitized"),
}
_EMPTY_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta><?xpacket end="w"?>'
)


def xmp_for(
    source: bytes, placement: Placement, *, altered: bool, room: int = MAX_XMP
) -> tuple[bytes, list[str]]:
    """The packet for the result, at most ``room`` bytes of it; and what was left out, a line each.

    A damaged packet, or one that is too large, is begun anew.
    """
    notes: list[str] = []
    for packet in (source, _EMPTY_PACKET.encode()):
        if not packet or (packet is not source and not altered):
            continue
        told: list[str] = []
        try:
            content = _edited(packet, placement, altered, told)
        except Exception:  # the parser's own errors, and what a strange tree leads to
            notes.append(TOO_LARGE if _is_too_large(packet) else DAMAGED)
            continue
        if len(content) <= room:
            return content, list(dict.fromkeys([*notes, *told]))
        notes.append(TOO_LARGE)
    return b"", notes


def xmp_for_crop(source: bytes) -> bytes:
    """The packet less all but date and copyright; empty if it is damaged or has none of these."""
    try:
        _, root = parsed(source)
        kept = False
        for description in descriptions_of(root):
            for attribute in list(description.attributes.values()):
                stays = _of_crop(attribute) or attribute.prefix == "xmlns" or attribute.name == "xmlns"
                kept |= _of_crop(attribute)
                if not stays:
                    description.removeAttributeNode(attribute)
            stay = [child for child in elements(description) if _of_crop(child)]
            description.childNodes[:] = stay
            description.setAttributeNS(RDF, f"{root.prefix}:about", "")
            kept |= bool(stay)
        root.childNodes[:] = descriptions_of(root)
        meta = root.toxml()
    except Exception:
        return b""
    packet = _EMPTY_PACKET.replace(f'<rdf:RDF xmlns:rdf="{RDF}"/>', meta)
    return packet.encode() if kept and "<x:xmpmeta" in packet else b""


def _is_too_large(packet: bytes) -> bool:
    return len(packet) > MAX_XMP or packet.count(b"<") + packet.count(b"=") > MAX_MARKS


def _of_crop(node: Property) -> bool:
    return name_of(node) in _OF_A_CROP or node.namespaceURI == _RIGHTS


def parsed(packet: bytes) -> tuple[minidom.Document, minidom.Element]:
    """The tree of a packet and its root of RDF.

    Raises:
        Exception: of any kind, if it is none.
    """
    if _is_too_large(packet):
        raise ValueError("too large")
    text = packet.decode("utf-8-sig").strip("\0 \t\r\n")
    if "\0" in text:
        raise ValueError("not in UTF-8")
    document = parseString(text, forbid_dtd=True)
    assert isinstance(document, minidom.Document)
    return document, document.getElementsByTagNameNS(RDF, "RDF")[0]


def descriptions_of(root: minidom.Element) -> list[minidom.Element]:
    return [child for child in elements(root) if name_of(child) == (RDF, "Description")]


def _edited(packet: bytes, placement: Placement, altered: bool, notes: list[str]) -> bytes:
    document, root = parsed(packet)
    now: dict[Name, str] = {
        (_TIFF, "Orientation"): "1",
        (_TIFF, "ImageWidth"): str(placement.width),
        (_TIFF, "ImageLength"): str(placement.height),
        (EXIF, "PixelXDimension"): str(placement.width),
        (EXIF, "PixelYDimension"): str(placement.height),
    }
    gone: set[Name] = {(_XMP, "Thumbnails")}
    if altered:
        gone.add((IPTC, "DigitalSourceType"))
    descriptions = descriptions_of(root)
    for description in descriptions:
        notes.extend(move_places(description, placement))
        notes.extend(_edit_description(description, now, gone))
    if altered:
        mark = document.createElementNS(RDF, f"{root.prefix}:Description")
        about = descriptions[0].getAttributeNS(RDF, "about") if descriptions else ""
        mark.setAttributeNS(RDF, f"{root.prefix}:about", about)
        mark.setAttribute("xmlns:Iptc4xmpExt", IPTC)
        kind = document.createElementNS(IPTC, "Iptc4xmpExt:DigitalSourceType")
        kind.appendChild(document.createTextNode(ALTERED))
        mark.appendChild(kind)
        root.appendChild(mark)
    return "".join(node.toxml() for node in document.childNodes).encode()


def _edit_description(description: minidom.Element, now: dict[Name, str], gone: set[Name]) -> list[str]:
    """Properties, which XMP writes as attributes or as elements: some changed, some taken out."""
    notes: list[str] = []
    for attribute in list(description.attributes.values()):
        if _goes(attribute, gone, notes):
            description.removeAttributeNode(attribute)
        elif name_of(attribute) in now:
            attribute.value = now[name_of(attribute)]
    kept = []
    for child in description.childNodes:
        if isinstance(child, minidom.Element) and _goes(child, gone, notes):
            continue
        if isinstance(child, minidom.Element) and name_of(child) in now:
            set_text(child, now[name_of(child)])
        kept.append(child)
    description.childNodes[:] = kept  # all at once: thousands may go
    return notes


def _goes(node: Property, gone: set[Name], notes: list[str]) -> bool:
    space, name = name_of(node)
    if space is None or not ((space, name) in gone or space in _APPENDED or space.startswith(_DYNAMIC_DEPTH)):
        return False
    note = DEPTH if space.startswith(_DYNAMIC_DEPTH) else _APPENDED.get(space)
    if space == _CAMERA and name in ("MotionPhoto", "MicroVideo"):
        note = MOTION
    if note and note not in notes:
        notes.append(note)
    return True
