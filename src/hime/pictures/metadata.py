"""What a photograph carries beside its pixels: EXIF and XMP for the result.

- EXIF stays (camera, time, place, notes of the maker as they are), but for what is no longer true: the
  orientation is 1, the pixel dimensions are the new ones, the thumbnail is gone, Software names this program.
- XMP stays likewise, loses what speaks of data appended to the old file (motion photos, gain maps), and says
  with IPTC's digital source type that a part of the picture was made by a trained model.
"""

from __future__ import annotations

import math
from xml.dom import minidom

import PIL.Image
from PIL import ExifTags, ImageFile, PngImagePlugin

ALTERED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's digital source type of a photograph a part of which was made by a trained model."""

_EXIF_ROOM = 65_533
_XMP_ROOM = 65_502  # of one segment of a JPEG, less the segment's own heading

# What describes how the old file stored its pixels, or where in it something lay (TIFF 6.0, EXIF 2.32).
_STORAGE = frozenset(
    (*range(254, 260), 262, 266, 273, *range(277, 282), 284, 292, 293, 317, *range(320, 326), 330, 332)
) | frozenset((338, 339, 340, 341, 347, *range(512, 522), 529, 530, 532, 700, 33723, 34377, 34675, 37724))
_MAKER_NOTE = 0x927C

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_APPENDED = (  # namespaces that describe what was appended to, or spread over, the old file
    "http://ns.adobe.com/hdr-gain-map/1.0/",
    "http://ns.adobe.com/xmp/note/",
    "http://ns.apple.com/HDRGainMap/1.0/",
    "http://ns.google.com/photos/1.0/camera/",
    "http://ns.google.com/photos/1.0/container/",
)
_EMPTY_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta><?xpacket end="w"?>'
)


def exif_for(source: bytes, width: int, height: int, software: str) -> bytes:
    """EXIF for the result; what JPEG has no room for is left out, the maker's notes first."""
    for left_out in ((), (_MAKER_NOTE,)):
        exif = PIL.Image.Exif()
        try:
            exif.load(source)
            if ExifTags.Base.Orientation in exif:
                exif[ExifTags.Base.Orientation] = 1
            exif[ExifTags.Base.Software] = software
            if ExifTags.IFD.Exif in exif:
                details = exif.get_ifd(ExifTags.IFD.Exif)
                now = {ExifTags.Base.ExifImageWidth: width, ExifTags.Base.ExifImageHeight: height}
                details.update({int(tag): pixels for tag, pixels in now.items() if tag in details})
                for tag in left_out:
                    details.pop(tag, None)
            content = exif.tobytes()
        except Exception:  # damaged in a way that only shows when it is written again
            break
        if len(content) <= _EXIF_ROOM:
            return content
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Software] = software
    return exif.tobytes()


def xmp_for(source: bytes, width: int, height: int, altered: bool) -> bytes:
    """The XMP packet for the result; a damaged one, or one that JPEG has no room for, is begun anew."""
    for packet in (source, _EMPTY_PACKET.encode()):
        if not packet and not altered:
            return b""
        try:
            content = _edited_packet(packet, width, height, altered)
        except Exception:  # the parser's own errors, and what a strange tree leads to
            continue
        if len(content) <= _XMP_ROOM:
            return content
    return b""


def _edited_packet(packet: bytes, width: int, height: int, altered: bool) -> bytes:
    text = packet.decode("utf-8-sig").strip("\0 \t\r\n")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("XMP has no document types")
    document = minidom.parseString(text.encode())
    root = document.getElementsByTagNameNS(_RDF, "RDF")[0]
    now = {
        (_TIFF, "Orientation"): "1",
        (_TIFF, "ImageWidth"): str(width),
        (_TIFF, "ImageLength"): str(height),
        (_EXIF, "PixelXDimension"): str(width),
        (_EXIF, "PixelYDimension"): str(height),
    }
    gone = {(_XMP, "Thumbnails")}
    if altered:
        gone.add((_IPTC, "DigitalSourceType"))
    for description in root.getElementsByTagNameNS(_RDF, "Description"):
        _edit_description(document, description, now, gone)
    if altered:
        about = [
            node.getAttributeNS(_RDF, "about") for node in root.getElementsByTagNameNS(_RDF, "Description")
        ]
        mark = document.createElementNS(_RDF, f"{root.prefix}:Description")
        mark.setAttributeNS(_RDF, f"{root.prefix}:about", about[0] if about else "")
        mark.setAttribute("xmlns:Iptc4xmpExt", _IPTC)
        kind = document.createElementNS(_IPTC, "Iptc4xmpExt:DigitalSourceType")
        kind.appendChild(document.createTextNode(ALTERED))
        mark.appendChild(kind)
        root.appendChild(mark)
    return "".join(node.toxml() for node in document.childNodes).encode()


def _edit_description(
    document: minidom.Document,
    description: minidom.Element,
    now: dict[tuple[str, str], str],
    gone: set[tuple[str, str]],
) -> None:
    """Properties, which XMP writes as attributes or as elements: some changed, some taken out."""
    for attribute in list(description.attributes.values()):
        name = (attribute.namespaceURI, attribute.localName)
        if name in gone or attribute.namespaceURI in _APPENDED:
            description.removeAttributeNode(attribute)
        elif name in now:
            attribute.value = now[name]
    for child in [node for node in description.childNodes if isinstance(node, minidom.Element)]:
        name = (child.namespaceURI, child.localName)
        if name in gone or child.namespaceURI in _APPENDED:
            description.removeChild(child)
        elif name in now:
            while child.firstChild:
                child.removeChild(child.firstChild)
            child.appendChild(document.createTextNode(now[name]))


def read_exif(opened: ImageFile.ImageFile) -> bytes:
    try:
        exif = opened.getexif()
        for tag in _STORAGE.intersection(exif):
            del exif[tag]
        return exif.tobytes() if exif else b""
    except Exception:  # damaged EXIF: Pillow's decoder has no common base of errors
        return b""


def read_xmp(opened: ImageFile.ImageFile) -> bytes:
    packet = opened.info.get("xmp", b"")
    return packet.encode() if isinstance(packet, str) else bytes(packet)


def read_texts(opened: ImageFile.ImageFile) -> tuple[tuple[str, str], ...]:
    if not isinstance(opened, PngImagePlugin.PngImageFile):
        return ()
    elsewhere = ("XML:com.adobe.xmp", "Raw profile type", "Software")
    return tuple((key, text) for key, text in opened.text.items() if not key.startswith(elsewhere))


def read_resolution(opened: ImageFile.ImageFile) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in opened.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    sound = all(math.isfinite(value) and 1 <= value < 65_536 for value in (across, down))
    return (across, down) if sound else None


def png_texts(text: tuple[tuple[str, str], ...], xmp: bytes, software: str) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Software", software)
    for key, value in text:
        texts.add_text(key, value)  # keeps the language of an international one
    if xmp:
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return texts
