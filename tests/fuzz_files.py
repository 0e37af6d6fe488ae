"""The files of ``fuzz_restore.py``: pictures of a rendered person, odd or damaged in ways of their own."""

from __future__ import annotations

import dataclasses
import io
import random
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageCms

from fuzz_metadata import METADATA, hostile_packet, packet
from fuzz_scenes import SCENES

HOSTILE = "hostile"
"""First word of kinds that ``fuzz_people.py`` makes, of a sound .person file, model or note."""

SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".avif", ".heic", ".jfif", ".tga", ".txt", "")

NAMES = (
    "\x1b[2Jgone",
    "two\nlines",
    "\u202egnp",
    "\udcff\udcfe",  # bytes that are no letters
    "e\u0301",
    "n" * 240,
    " ;-rf $(x) 'y' \"z\"",
    "%s{0}",
)
"""What file names may hold."""

SPECIAL = ("pipe", "socket", "loop", "folder", "device", "link to nothing")

LARGE = ((1200, 800), (1200, 800), (1600, 1000), (3000, 2000))
"""Pixels of large pictures; the largest takes some seconds to search."""


def person(number: random.Random) -> PIL.Image.Image:
    """A rendered headshot, small, somewhere in a plain picture."""
    from hime.data.people import DEMO_PEOPLE

    file = DEMO_PEOPLE / "ada" / f"{number.choice([0, 2, 3, 4])}.webp"
    side = number.randrange(48, 120)
    with PIL.Image.open(file) as picture:
        headshot = picture.convert("RGB").resize((side, side), PIL.Image.Resampling.BICUBIC)
    whole = PIL.Image.new("RGB", (side + number.randrange(80), side + number.randrange(60)), "silver")
    whole.paste(headshot, ((whole.width - side) // 2, (whole.height - side) // 2))
    return whole


def saved(picture: PIL.Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    if form == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            form = "PNG"
        else:
            pillow_heif.from_pillow(picture).save(buffer, **options)
            return buffer.getvalue()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that are damaged on purpose
            picture.save(buffer, form, **options)
    except Exception:  # Pillow does not write such metadata
        return saved(picture, form)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def deep_png(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """16 bits a channel, with or without alpha, perhaps interlaced in name only."""
    values = np.asarray(picture.convert(number.choice(["L", "LA", "RGB", "RGBA"]))).astype(">u2") * 257
    values = values[:, :, np.newaxis] if values.ndim == 2 else values
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 16, kind, 0, 0, number.random() < 0.1)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animated(picture: PIL.Image.Image, form: str) -> bytes:
    return saved(picture, form, save_all=True, append_images=[picture.rotate(90), picture.rotate(180)])


def metadata(number: random.Random) -> dict[str, Any]:
    """EXIF and a colour profile, good or broken."""
    options: dict[str, Any] = {}
    if number.random() < 0.4:
        exif = PIL.Image.Exif()
        exif[0x0112] = number.choice([1, 3, 6, 8, 0, 9, 60_000])
        exif[0x010F] = "Camera"
        exif[0x8825] = {1: "N", 2: (48.0, 5.0, 3.5)}
        options["exif"] = exif.tobytes()
        if number.random() < 0.6:
            options["exif"] = options["exif"][:6] + damaged(options["exif"][6:], number)
    if number.random() < 0.4:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        options["icc_profile"] = damaged(profile, number) if number.random() < 0.6 else profile
    if number.random() < 0.2:
        options["xmp"] = number.choice([b"words", b"<x:xmpmeta/>", b"\xff\xfe\0", b"<a>" * 3000, bytes(5000)])
    return options


def dots(number: random.Random) -> PIL.Image.Image:
    """Hardly any pixels."""
    return PIL.Image.new(number.choice(["1", "L", "RGB"]), number.choice([(1, 1), (1, 90), (90, 1), (2, 3)]))


MADE: dict[str, Callable[[PIL.Image.Image, random.Random], bytes]] = {
    "png": lambda p, n: saved(p, "PNG", **{k: v for k, v in metadata(n).items() if k != "xmp"}),
    "png alpha": lambda p, n: saved(p.convert("RGBA"), "PNG"),
    "png grey": lambda p, n: saved(p.convert(n.choice(["1", "L", "LA"])), "PNG"),
    "png palette": lambda p, n: saved(p.quantize(n.choice([2, 16, 256])), "PNG", transparency=n.randrange(2)),
    "png 16 bits": deep_png,
    "png 16 bits grey": lambda p, n: saved(
        PIL.Image.fromarray(np.asarray(p.convert("L")) * np.uint16(257)), "PNG"
    ),
    "png animated": lambda p, n: animated(p, "PNG"),
    "jpeg": lambda p, n: saved(p, "JPEG", quality=n.randrange(5, 100), **metadata(n)),
    "jpeg progressive": lambda p, n: saved(p, "JPEG", progressive=True, subsampling=n.randrange(3)),
    "jpeg grey": lambda p, n: saved(p.convert("L"), "JPEG", **metadata(n)),
    "jpeg cmyk": lambda p, n: saved(p.convert("CMYK"), "JPEG", **metadata(n)),
    "jpeg two": lambda p, n: saved(p, "MPO", save_all=True, append_images=[p.rotate(90)]),
    "webp": lambda p, n: saved(p, "WEBP", quality=n.randrange(5, 100), **metadata(n)),
    "webp lossless": lambda p, n: saved(p.convert("RGBA"), "WEBP", lossless=True),
    "webp animated": lambda p, n: animated(p, "WEBP"),
    "tiff": lambda p, n: saved(p, "TIFF", compression=n.choice(["raw", "tiff_lzw", "jpeg", "packbits"])),
    "tiff metadata": lambda p, n: saved(p, "TIFF", **metadata(n)),
    "tiff odd": lambda p, n: saved(p.convert(n.choice(["CMYK", "YCbCr", "LAB", "F", "I", "1", "P"])), "TIFF"),
    "tiff pages": lambda p, n: animated(p, "TIFF"),
    "gif": lambda p, n: saved(p.quantize(64), "GIF", transparency=n.randrange(64)),
    "gif animated": lambda p, n: animated(p.quantize(64), "GIF"),
    "bmp": lambda p, n: saved(p.convert(n.choice(["1", "L", "P", "RGB", "RGBA"])), "BMP"),
    "avif": lambda p, n: saved(p, "AVIF", speed=10, **metadata(n)),
    "avif animated": lambda p, n: saved(p, "AVIF", speed=10, save_all=True, append_images=[p.rotate(90)]),
    "heic": lambda p, n: saved(p, "HEIF"),
    "dots": lambda p, n: saved(dots(n), n.choice(["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])),
    "jp2": lambda p, n: saved(p.convert(n.choice(["L", "LA", "RGB", "RGBA"])), "JPEG2000"),
    "jp2 16 bits": lambda p, n: saved(
        PIL.Image.fromarray(np.asarray(p.convert("L")) * np.uint16(257)), "JPEG2000"
    ),
    "ppm": lambda p, n: saved(p.convert(n.choice(["1", "L", "RGB"])), "PPM"),
    "ppm 16 bits": lambda p, n: (
        b"P6 %d %d 65535\n" % p.size + (np.asarray(p).astype(">u2") * n.choice([1, 257])).tobytes()
    ),
    "tga": lambda p, n: saved(
        p.convert(n.choice(["L", "LA", "P", "RGB", "RGBA"])), "TGA", compression=n.choice([None, "tga_rle"])
    ),
    "large": lambda p, n: saved(p.resize(n.choice(LARGE)).convert("P"), n.choice(["PNG", "GIF"])),
    **METADATA,
    **SCENES,
    "no file": lambda p, n: b"",
    **{f"{HOSTILE} {kind}": lambda p, n: b"" for kind in ("person", "model", "note")},
    "words": lambda p, n: n.choice([b"", b"\0", b"words", b"%PDF-1.7", bytes(3000), n.randbytes(999)]),
}


def peak_memory() -> float:
    """The most that this process has held, MiB.

    ``ru_maxrss`` begins with what the process held that started this one: its memory counts until the program
    is replaced. Linux tells the program's own beside it.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / (1 << 20)
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def damaged(content: bytes, number: random.Random) -> bytes:
    """Some bytes changed, a stretch of them lost or doubled, or all from some place on."""
    if not content:
        return content
    data = bytearray(content)
    place = number.randrange(len(data))
    if number.random() < 0.4:  # headers are short, and most bytes of a file are not in them
        place = min(place, number.randrange(200))
    length = number.choice([1, 2, 4, 16, 256])
    kind = number.randrange(6)
    if kind == 0:
        del data[place:]
    elif kind == 1:
        for _ in range(number.choice([1, 4, 40])):
            data[number.randrange(len(data))] ^= 1 << number.randrange(8)
    elif kind == 2:
        data[place : place + length] = number.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * length
    elif kind == 3:
        del data[place : place + length]
    elif kind == 4:
        data[place:place] = data[place : place + length]
    else:
        data[place : place + length] = number.randbytes(length)
    return bytes(data)


def inflated(content: bytes, number: random.Random) -> bytes:
    """A header that promises very many pixels, or none."""
    width, height = number.choice(
        [
            (60_000, 60_000),
            (8000, 8001),
            (8000, 8000),
            (65_535, 3),
            (0, 0),
            (0, 9),
            (2**31 - 1, 1),
            (12_000, 5000),
        ]
    )
    data = bytearray(content)
    short = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    if content.startswith(b"\x89PNG"):
        header = struct.pack(">II", width, height) + content[24:29]
        data[8:33] = chunk(b"IHDR", header)
    elif content.startswith(b"\xff\xd8"):
        for kind in (b"\xff\xc0", b"\xff\xc2"):
            place = content.find(kind)
            if place >= 0:
                data[place + 5 : place + 9] = short
    elif content.startswith(b"GIF"):
        data[6:10] = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
        place = content.find(b"\x2c", 13)
        if place >= 0 and number.random() < 0.5:
            data[place + 5 : place + 9] = data[6:10]
    elif content.startswith(b"BM"):
        data[18:26] = struct.pack("<ii", width, number.choice([height, -height]))
    elif content.startswith((b"II*\0", b"MM\0*")):
        order = "<" if content.startswith(b"II") else ">"
        (place,) = struct.unpack_from(order + "I", content, 4)
        for entry in range(place + 2, len(content) - 12, 12):
            tag, kind = struct.unpack_from(order + "HH", content, entry)
            if tag in (256, 257, 278):
                value = height if tag == 257 else width
                struct.pack_into(order + "HHII", data, entry, tag, 4, 1, value)
            if tag > 300:
                break
    elif content[4:8] == b"ftyp":
        place = content.find(b"ispe")
        if place >= 0:
            data[place + 8 : place + 16] = struct.pack(">II", width, height)
    elif content.startswith(b"RIFF"):
        place = content.find(b"VP8X")
        if place >= 0:
            low = struct.pack("<I", max(width, 1) - 1)[:3] + struct.pack("<I", max(height, 1) - 1)[:3]
            data[place + 12 : place + 18] = low
    return bytes(data)


@dataclasses.dataclass(frozen=True)
class Case:
    """One file: what it is, its name and its bytes, and whether it is given as a reference.

    ``special`` names what is there instead of a file: a pipe, a socket, a link that leads back to itself.
    ``sidecar`` is the content of an ``.xmp`` file beside it.
    """

    index: int
    kind: str
    name: str
    content: bytes
    reference: bool
    special: str | None = None
    sidecar: bytes | None = None


def make_case(seed: int, index: int) -> Case:
    """File number ``index``, the same every time."""
    number = random.Random(f"{seed} {index}")
    kind = list(MADE)[index % len(MADE)]
    content = MADE[kind](person(number), number)
    done = number.choice(["nothing", "inflated", "damaged", "damaged", "damaged", "damaged twice"])
    if kind in ("large", "line", "no file") or kind.startswith(HOSTILE):
        done = "nothing"
    if done == "inflated":
        content = inflated(content, number)
    for _ in range({"damaged": 1, "damaged twice": 2}.get(done, 0)):
        content = damaged(content, number)
    form = kind.split(" ", maxsplit=1)[0]
    right = {"jpeg": ".jpg", "tiff": ".tif"}.get(form, f".{form}")
    suffix = right if right in SUFFIXES and number.random() < 0.7 else number.choice(SUFFIXES)
    reference = number.random() < 0.15
    special = number.choice(SPECIAL) if kind == "no file" else None
    strange = number.choice(NAMES) if number.random() < 0.08 else ""
    sidecar = number.choice([packet((64, 64), number), hostile_packet(number), b""])
    return Case(
        index=index,
        kind=f"{kind}, {special or done}",
        name=f"{index:05}{strange}{suffix}",
        content=content,
        reference=reference,
        special=special,
        sidecar=sidecar if number.random() < 0.08 and special is None else None,
    )
