"""Files for ``fuzz_restore.py``: metadata, colours and parts of all kinds, true, false or hostile."""

from __future__ import annotations

import io
import random
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
from PIL import ExifTags

_SPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
}
_FILM = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(500)


def figure(number: random.Random) -> str:
    """A number as metadata has it, or none."""
    return number.choice(
        ["0", "0.5", "1", "-3", "1e400", "nan", "inf", "", "half", "0.25, 0.5", str(number.random())]
    )


_PARTS = (  # each ? is some figure
    """<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions stDim:w="{w}" stDim:h="{h}"/>
    <mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description mwg-rs:Rotation="?"><mwg-rs:Area stArea:x="?"
    stArea:y="?" stArea:w="?" stArea:h="?" stArea:unit="{unit}"/></rdf:Description></rdf:li></rdf:Bag>
    </mwg-rs:RegionList></mwg-rs:Regions>""",
    '<MP:RegionInfo><rdf:Bag><rdf:li MPReg:Rectangle="?, ?, ?, ?"/></rdf:Bag></MP:RegionInfo>',
    "<exif:SubjectArea><rdf:Seq><rdf:li>?</rdf:li><rdf:li>?</rdf:li></rdf:Seq></exif:SubjectArea>",
    "<exif:SubjectLocation>?</exif:SubjectLocation>",
    """<Iptc4xmpExt:ImageRegion><Iptc4xmpExt:RegionBoundary Iptc4xmpExt:rbUnit="{unit}"
    Iptc4xmpExt:rbX="?"/></Iptc4xmpExt:ImageRegion>""",
    "<crs:RetouchAreas/>",
)
_ATTRIBUTES = (
    'crs:CropTop="?" crs:CropLeft="?" crs:CropRight="?" crs:CropBottom="?" crs:CropAngle="?"',
    'GPano:FullPanoWidthPixels="?"',
    'hdrgm:Version="?" GCamera:MotionPhoto="?" GDepth:Near="?"',
)


def packet(size: tuple[int, int], number: random.Random) -> bytes:
    """XMP that names places, right or wrong, and what is appended."""
    width, height = size if number.random() < 0.6 else ("?", "?")
    attributes = " ".join(part for part in _ATTRIBUTES if number.random() < 0.5)
    attributes += "".join(f' xmlns:{prefix}="{space}"' for prefix, space in _SPACES.items())
    properties = "".join(part for part in _PARTS if number.random() < 0.5)
    properties = properties.format(w=width, h=height, unit=number.choice(["normalized", "pixel"]))
    description = f'<rdf:Description rdf:about="" {attributes}>{properties}</rdf:Description>'
    text = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_SPACES["rdf"]}">{description}'
    return re.sub(r"\?", lambda _: figure(number), f"{text}</rdf:RDF></x:xmpmeta>").encode()


def hostile_packet(number: random.Random) -> bytes:
    """XMP made to cost time or memory."""
    entities = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    bomb = f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{entities}]><x>&j;</x>'
    return number.choice(
        [
            bomb.encode(),
            bomb.encode("utf-16-le"),
            bomb.encode("utf-32"),
            b'<?xml version="1.0" encoding="UTF-16"?>' + bomb.encode(),
            b"<a>" * 20_000,
            b"<a " + b" ".join(b'a%d=""' % n for n in range(30_000)) + b"/>",
            b"<a>" + b"<b/>" * 200_000 + b"</a>",
            bytes(3_000_000),
        ]
    )


def details(size: tuple[int, int], number: random.Random) -> PIL.Image.Exif:
    """EXIF of a camera that names places and colours."""
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = number.randrange(10)
    exif[ExifTags.Base.Make] = "Camera"
    if number.random() < 0.3:
        exif[ExifTags.Base.WhitePoint] = (0.3127, number.choice([0.329, 0.0]))
        exif[ExifTags.Base.PrimaryChromaticities] = (0.64, 0.33, 0.21, 0.71, 0.15, number.choice([0.06, 7.0]))
    below: dict[int, Any] = {
        0x9214: tuple(number.randrange(1 << number.randrange(1, 17)) for _ in range(number.randrange(1, 6))),
        ExifTags.Base.ExifImageWidth: number.choice([0, size[0], 4000]),
        ExifTags.Base.ExifImageHeight: number.choice([0, size[1], 3000]),
        ExifTags.Base.FocalPlaneXResolution: number.choice([0.0, 3000.0]),
        ExifTags.Base.FocalPlaneYResolution: number.choice([0.0, 3000.0]),
        ExifTags.Base.ColorSpace: number.choice([0, 1, 2, 65_535]),
        ExifTags.Base.MakerNote: number.randbytes(number.choice([10, 70_000])),
    }
    if number.random() < 0.5:
        below[ExifTags.IFD.Interop] = {1: number.choice(["R03", "R98", "X"])}
    exif[ExifTags.IFD.Exif] = {tag: value for tag, value in below.items() if number.random() < 0.7}
    return exif


def hostile_exif(number: random.Random) -> bytes:
    """EXIF of very many entries that all name the same bytes."""
    count = number.choice([3, 4000, 65_535])
    entries = b"".join(struct.pack("<HHII", n, 7, number.choice([4, 60_000, 2**31]), 8) for n in range(count))
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, count) + entries + bytes(number.choice([4, 60_000]))


def saved(picture: PIL.Image.Image, form: str, **options: Any) -> bytes:
    """By Pillow; without the metadata that it does not write."""
    buffer = io.BytesIO()
    try:
        picture.save(buffer, form, **options)
    except Exception:
        buffer = io.BytesIO()
        picture.save(buffer, form)
    return buffer.getvalue()


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk in front of its pixels."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return png[:33] + chunk + png[33:]


def coloured_png(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """Colours declared by chunks, or nonsense in these chunks."""
    png = saved(picture.convert(number.choice(["L", "RGB", "RGBA", "P"])), "PNG")
    chrm = [
        31_270,
        32_900,
        64_000,
        33_000,
        number.choice([30_000, 0]),
        60_000,
        15_000,
        number.choice([6_000, 0]),
    ]
    for kind, body in (
        (b"gAMA", struct.pack(">I", number.choice([0, 1, 45_455, 100_000, 2**31]))),
        (b"cHRM", struct.pack(">8I", *chrm)),
        (b"cICP", bytes(number.choice([1, 9, 12, 255, 13, 16, 18, 8, 0]) for _ in range(4))),
        (b"cICP", bytes([number.choice([1, 9, 12]), number.choice([8, 13, 16, 18]), 0, 1])),
        (b"sRGB", bytes([number.randrange(9)])),
    ):
        if number.random() < 0.4:
            png = with_chunk(png, kind, body)
    return png


def coded(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """An AVIF of other colours than its own."""
    content = bytearray(saved(picture, "AVIF", speed=10))
    place = content.find(b"nclx") + 4
    if place > 3:
        content[place : place + 4] = struct.pack(
            ">HH", number.choice([1, 2, 9, 12, 300]), number.randrange(20)
        )
    return bytes(content)


def odd_tiff(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """Deep, inverted, with further pages, of numbers that are not read."""
    import tifffile

    values = np.asarray(picture)
    deep = values.astype(np.uint16) * 257
    grey, alpha = deep[:, :, 0], np.dstack([deep, deep[:, :, :1]])
    further: dict[str, Any] = {"subfiletype": number.choice([0, 1]), "extratags": []}
    if number.random() < 0.5:
        further["extratags"] = [(255, 4, 1, number.choice([1, 2]), True)]
    kinds: list[list[tuple[np.ndarray, dict[str, Any]]]] = [
        [(deep, {"photometric": "rgb"})],
        [(deep, {"photometric": "rgb", "compression": "zlib", "predictor": True})],
        [(deep, {"photometric": "rgb", "byteorder": ">"})],
        [(alpha, {"photometric": "rgb", "extrasamples": [number.choice([0, 1, 2])]})],
        [(grey, {"photometric": "miniswhite"})],
        [(np.moveaxis(deep, 2, 0).copy(), {"photometric": "rgb", "planarconfig": "separate"})],
        [(values.astype(number.choice([np.float16, np.float32, np.uint32])), {"photometric": "rgb"})],
        [(values, {"photometric": "rgb"}), (values[::2, ::2].copy(), {"photometric": "rgb", **further})],
        [(values[::2, ::2].copy(), {"photometric": "rgb", **further}), (values, {"photometric": "rgb"})],
    ]
    chosen = number.choice(kinds)
    order = chosen[0][1].pop("byteorder", "<")
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=number.random() < 0.1, byteorder=order) as writer:
        for array, options in chosen:
            writer.write(array, metadata=None, **options)
    return buffer.getvalue()


def camera_tiff(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """With EXIF of a camera, 8 or 16 bits."""
    from hime.pictures.tiff import encode_tiff

    exif = PIL.Image.Exif()
    exif.load(details(picture.size, number).tobytes())
    values = np.asarray(picture)
    if number.random() < 0.5:
        values = values.astype(np.uint16) * 257
    return encode_tiff(values, exif, compress=number.random() < 0.5, tags={700: packet(picture.size, number)})


def appended(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """A JPEG with something behind it."""
    jpeg = saved(picture, "JPEG", xmp=packet(picture.size, number), exif=details(picture.size, number))
    return jpeg + number.choice([jpeg, _FILM, jpeg + _FILM, bytes(300), number.randbytes(300) + b"SEFT"])


METADATA: dict[str, Callable[[PIL.Image.Image, random.Random], bytes]] = {
    "jpeg places": lambda p, n: saved(p, "JPEG", xmp=packet(p.size, n), exif=details(p.size, n)),
    "webp places": lambda p, n: saved(p, "WEBP", xmp=packet(p.size, n), exif=details(p.size, n)),
    "webp hostile": lambda p, n: saved(p, "WEBP", xmp=hostile_packet(n), exif=hostile_exif(n)),
    "png hostile": lambda p, n: with_chunk(saved(p, "PNG"), b"eXIf", hostile_exif(n)[6:]),
    "avif hostile": lambda p, n: saved(p, "AVIF", speed=10, xmp=hostile_packet(n)),
    "png colours": coloured_png,
    "avif colours": coded,
    "tiff deep or odd": odd_tiff,
    "tiff of a camera": camera_tiff,
    "jpeg appended": appended,
}
