"""Photographs as files: reading and writing them with everything that they carry.

`hime.images` says what becomes of the pixels; this is about the rest. A `Picture` is what `read_picture`
found in a file, and `write_picture` writes another image (its enlargement, restored) as that photograph:

- EXIF stays (camera, time, place, notes of the maker as they are), but for what is no longer true: the
  orientation is 1, the pixel dimensions are the new ones, the thumbnail is gone, Software names this program.
- XMP stays likewise, loses what speaks of data appended to the old file (motion photos, gain maps), and says
  with IPTC's digital source type that a part of the picture was made by a trained model.
- The colour profile stays: work is done in sRGB, and the result converted back to the profile of the file. A
  CMYK picture becomes RGB in sRGB.
- Grey stays grey. Alpha is enlarged with the picture; where the format has none, it is composited over white.
- A PNG with 16 bits a channel stays one if its values are sRGB's or without profile; colour needs OpenCV,
  which comes with the extra ``faces``. Otherwise it is worked on, and written, with 8 bits.
- JPEG keeps its quantisation tables, if they are no coarser than quality 90, its subsampling, whether it is
  progressive, its comment and its IPTC captions; lossless WebP stays lossless; TIFF keeps its
  compression, except that one with EXIF of a camera is written uncompressed.
- PNG's texts and the resolution in dots per inch stay.
- Signed provenance (C2PA) cannot stay: the signature is of the old picture.

BMP and GIF hold neither marks nor, GIF, true colours: what is read from them is written as another format.
"""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ExifTags, ImageCms, ImageFile, PngImagePlugin
from PIL.JpegImagePlugin import get_sampling

from hime.errors import HimeError
from hime.files import write_atomically
from hime.images import (
    MAX_PIXELS,
    Image,
    check_image,
    convert_profile,
    is_grey,
    open_picture,
    orientation,
    silenced,
    to_8_bits,
    to_srgb,
    unremarked,
    upright,
)

DeepImage = npt.NDArray[np.uint16]
"""uint16 H×W×3, sRGB."""

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

_SUFFIXES = {"AVIF": ".avif", "HEIF": ".heic", "JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp"}

QUALITY = 90
"""Of lossy results, from 0 to 100, where the source's own quality is unknown or lower."""

_MEAN_STEP = 12
"""Mean of the luminance table of a JPEG at quality 90 (Independent JPEG Group: 11.5), rounded up."""

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


@dataclass(frozen=True)
class Picture:
    """A photograph and what its file carried beside it; ``Picture(image)`` carries nothing.

    Attributes:
        image: uint8 H×W×3, sRGB, upright. Under alpha the colours as the file has them.
        alpha: H×W, uint8 or, where ``deep`` is given, uint16; None without.
        deep: the same picture as uint16 H×W×3 where the file has 16 bits a channel; None otherwise.
        format: ``"PNG"``, ``"JPEG"``, ``"WEBP"``, ``"TIFF"``, ``"BMP"``, ``"GIF"``, ``"AVIF"``, ``"HEIF"``.
        grey: whether the file has one channel of light.
        icc: the colour profile to convert back to; None for sRGB.
        exif: as Pillow reads it, without what describes the storage of the old pixels; may be empty.
        xmp: the packet; may be empty.
        text: keywords and texts of a PNG.
        resolution: dots per inch across and down.
        encoding: options of Pillow that write its format with the same quality.
    """

    image: Image
    alpha: npt.NDArray[Any] | None = None
    deep: DeepImage | None = None
    format: str = "PNG"
    grey: bool = False
    icc: bytes | None = None
    exif: bytes = b""
    xmp: bytes = b""
    text: tuple[tuple[str, str], ...] = ()
    resolution: tuple[float, float] | None = None
    encoding: dict[str, Any] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """The file name ending for a result of the same format; PNG's for what cannot be written."""
        return _SUFFIXES.get(self.format, ".png")


# ------------------------------------------------------------------------------------------- reading


def read_picture(path: Path | str, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a photograph with what it carries. Damaged metadata are passed over.

    Args:
        path: the file; its name plays no part.
        max_pixels: largest width × height. Compared with the header, before anything is decoded.

    Raises:
        HimeError: as for `hime.images.open_picture`.
    """
    path = Path(path)
    with open_picture(path, max_pixels) as opened:
        turn = orientation(opened)
        colours, alpha, profile = to_srgb(opened)
        deep, deep_alpha = _read_deep(path, opened, profile)
        if deep_alpha is None and alpha is not None:
            deep_alpha = np.asarray(alpha)
        image = np.asarray(colours) if deep is None else to_8_bits(deep)
        return Picture(
            image=upright(image, turn),
            alpha=None if deep_alpha is None else upright(deep_alpha, turn),
            deep=None if deep is None else upright(deep, turn),
            format=str(opened.format),
            grey=is_grey(opened),
            icc=opened.info["icc_profile"] if profile and opened.mode != "CMYK" else None,
            exif=_read_exif(opened),
            xmp=_read_xmp(opened),
            text=_read_text(opened),
            resolution=_read_resolution(opened),
            encoding=_read_encoding(path, opened),
        )


def _read_deep(
    path: Path, opened: ImageFile.ImageFile, profile: ImageCms.ImageCmsProfile | None
) -> tuple[DeepImage | None, DeepImage | None]:
    """16-bit colours and alpha of a PNG that has them; Pillow gives 8 bits of all but grey."""
    if opened.format != "PNG" or (profile is not None and not _is_srgb(profile)):
        return None, None
    if opened.mode.startswith("I"):
        grey = np.asarray(opened).astype(np.uint16)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2), None
    content = np.fromfile(path, np.uint8)
    if content[24] != 16:  # bits a channel, in the header
        return None, None
    try:
        import cv2
    except ImportError:
        return None, None
    values: Any = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    width, height = opened.size
    if (
        values is None
        or values.dtype != np.uint16
        or values.shape not in ((height, width, 3), (height, width, 4))
    ):
        return None, None
    deep = values[:, :, 2::-1]
    if not np.array_equal((deep >> 8).astype(np.uint8), np.asarray(opened.convert("RGB"))):
        return None, None  # OpenCV has taken something into account that Pillow has not, or the reverse
    return deep, values[:, :, 3] if values.shape[2] == 4 else None


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether values under this profile mean what they mean in sRGB, to within 2/255."""
    levels = np.linspace(0, 255, 16).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    picture = PIL.Image.fromarray(probe)
    if profile.profile.xcolor_space.strip() == "GRAY":
        picture = picture.convert("L")
    seen = convert_profile(picture, profile, ImageCms.createProfile("sRGB"), "RGB")
    if seen is None:
        return False
    meant = np.asarray(picture.convert("RGB")).astype(int)
    return int(np.abs(np.asarray(seen).astype(int) - meant).max()) <= 2


def _read_exif(opened: ImageFile.ImageFile) -> bytes:
    try:
        exif = opened.getexif()
        for tag in _STORAGE.intersection(exif):
            del exif[tag]
        return exif.tobytes() if exif else b""
    except Exception:  # damaged EXIF: Pillow's decoder has no common base of errors
        return b""


def _read_xmp(opened: ImageFile.ImageFile) -> bytes:
    packet = opened.info.get("xmp", b"")
    return packet.encode() if isinstance(packet, str) else bytes(packet)


def _read_text(opened: ImageFile.ImageFile) -> tuple[tuple[str, str], ...]:
    if not isinstance(opened, PngImagePlugin.PngImageFile):
        return ()
    elsewhere = ("XML:com.adobe.xmp", "Raw profile type", "Software")
    return tuple((key, text) for key, text in opened.text.items() if not key.startswith(elsewhere))


def _read_resolution(opened: ImageFile.ImageFile) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in opened.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    sound = all(math.isfinite(value) and 1 <= value < 65_536 for value in (across, down))
    return (across, down) if sound else None


def _read_encoding(path: Path, opened: ImageFile.ImageFile) -> dict[str, Any]:
    if opened.format == "JPEG":
        return _read_jpeg_encoding(opened)
    if opened.format == "WEBP" and _is_lossless(path.read_bytes()):
        return {"lossless": True, "exact": True}
    if opened.format == "TIFF":
        compression = opened.info.get("compression")
        kept = compression in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate")
        return {"compression": compression if kept else "tiff_adobe_deflate"}
    return {}


def _read_jpeg_encoding(opened: Any) -> dict[str, Any]:
    encoding: dict[str, Any] = {
        "subsampling": get_sampling(opened),
        "progressive": "progressive" in opened.info,
    }
    tables = [opened.quantization[key] for key in sorted(opened.quantization)][:2]
    levels = np.array(tables)
    if levels.size and levels.min() >= 1 and levels.max() <= 255 and levels[0].mean() <= _MEAN_STEP:
        encoding["qtables"] = tables
    if comment := opened.info.get("comment"):
        encoding["comment"] = comment
    resources = opened.info.get("photoshop")
    captions = resources.get(0x0404) if isinstance(resources, dict) else None
    if (
        isinstance(captions, bytes) and len(captions) < 65_000
    ):  # IPTC's older form (IIM) in Photoshop's segment
        segment = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(captions)) + captions
        segment += b"\0" * (len(captions) % 2)
        encoding["extra"] = b"\xff\xed" + struct.pack(">H", 2 + len(segment)) + segment
    return encoding


def _is_lossless(webp: bytes) -> bool:
    place = 12
    while place + 8 <= len(webp):
        kind, size = struct.unpack_from("<4sI", webp, place)
        if kind in (b"VP8L", b"VP8 "):
            return bool(kind == b"VP8L")
        place += 8 + size + size % 2
    return False


# ------------------------------------------------------------------------------------------- writing


def write_picture(
    path: Path | str,
    image: Image | DeepImage,
    like: Picture,
    software: str | None = None,
    altered: bool = True,
) -> Path:
    """Write ``image`` as the photograph ``like``, whole or not at all; the suffix chooses the format.

    Args:
        path: ends in one of `WRITTEN`.
        image: uint8 or uint16 H×W×3, sRGB, upright, of any size. 16 bits reach PNG only.
        like: what the file shall carry.
        software: who wrote it; this program and its version by default.
        altered: whether the marks of an altered photograph are set.

    Raises:
        HimeError: another suffix, not a picture, or the file cannot be written.
    """
    path = Path(path)
    form = WRITTEN.get(path.suffix.lower())
    if form is None:
        raise HimeError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; use one of {', '.join(WRITTEN)}"
        )
    if software is None:
        from hime import __version__

        software = f"hime {__version__}"
    deep = image.dtype == np.uint16
    check_image(image.view(np.uint8)[:, :, :3] if deep else image, f"{path}: the picture")
    height, width = image.shape[:2]
    with unremarked(), silenced(form):
        exif = _exif(like.exif, width, height, software)
        xmp = _xmp(like.xmp, width, height, altered)
        try:
            content = _encode(image, like, form, exif, xmp, software)
        except HimeError as error:
            raise HimeError(f"{path}: {error}") from error
        except Exception:
            # Metadata may be refused as late as here, and by errors of any kind, libtiff's own included: for
            # the picture's sake once more without what the file carried.
            bare = Picture(like.image, like.alpha, like.deep, grey=like.grey, icc=like.icc)
            try:
                content = _encode(image, bare, form, _exif(b"", width, height, software), xmp, software)
            except (OSError, RuntimeError, ValueError) as error:  # more pixels a side than the format holds
                raise HimeError(f"{path}: cannot be written ({error}); choose another format") from error
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))


def _encode(
    image: npt.NDArray[Any], like: Picture, form: str, exif: bytes, xmp: bytes, software: str
) -> bytes:
    options: dict[str, Any] = {} if form in ("PNG", "TIFF") else {"quality": QUALITY}
    if form == like.format:
        options |= like.encoding
    if "qtables" in options:
        del options["quality"]
    if like.resolution and form in ("JPEG", "PNG", "TIFF"):
        options["dpi"] = like.resolution
    if form == "PNG":
        options["pnginfo"] = _png_texts(like.text, xmp, software)
        options["exif"] = exif
    elif form == "TIFF":
        tags = PIL.Image.Exif()
        tags.load(exif)
        if xmp:
            tags[700] = xmp
        compression = options.get("compression", "tiff_adobe_deflate")
        if ExifTags.IFD.Exif in tags or ExifTags.IFD.GPSInfo in tags:
            compression = "raw"  # Pillow hands no folders of EXIF to libtiff, which compresses
        options |= {"exif": tags, "compression": compression}
    else:
        options |= {"exif": exif, "xmp": xmp}

    alpha = _alpha(like, image)
    if image.dtype == np.uint16:
        if form == "PNG":
            return _encode_deep(image, alpha, like, options)
        image = to_8_bits(image)
    picture = PIL.Image.fromarray(image)
    if alpha is not None and alpha.dtype == np.uint16:
        alpha = to_8_bits(alpha)
    if alpha is not None and form == "JPEG":
        white = PIL.Image.new("RGB", picture.size, "white")
        picture, alpha = PIL.Image.composite(picture, white, PIL.Image.fromarray(alpha)), None
    picture, icc = _to_profile(picture, like.icc)
    if like.grey:
        picture = picture.convert("L")
    if icc:
        options["icc_profile"] = icc
    if alpha is not None:
        picture.putalpha(PIL.Image.fromarray(alpha))
    return _save(picture, form, options)


def _save(picture: PIL.Image.Image, form: str, options: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    if form == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            raise HimeError(
                'HEIC cannot be written; pip install "hime-sr[heif]", or choose another format'
            ) from None
        pillow_heif.from_pillow(picture).save(content, **options)
    else:
        picture.save(content, form, **options)
    return content.getvalue()


def _alpha(like: Picture, image: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Alpha of the size of ``image``, bicubic."""
    if like.alpha is None or like.alpha.shape == image.shape[:2]:
        return like.alpha
    size = (image.shape[1], image.shape[0])
    if like.alpha.dtype == np.uint8:
        return np.asarray(PIL.Image.fromarray(like.alpha).resize(size, PIL.Image.Resampling.BICUBIC))
    levels: Any = PIL.Image.fromarray(like.alpha.astype(np.float32)).resize(
        size, PIL.Image.Resampling.BICUBIC
    )
    rounded: DeepImage = np.rint(np.clip(np.asarray(levels), 0, 65_535)).astype(np.uint16)
    return rounded


def _to_profile(picture: PIL.Image.Image, icc: bytes | None) -> tuple[PIL.Image.Image, bytes | None]:
    """An sRGB picture → values under the profile, and the profile; sRGB again if it works one way only."""
    if icc is None:
        return picture, None
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    mode = "L" if profile.profile.xcolor_space.strip() == "GRAY" else "RGB"
    converted = convert_profile(picture, ImageCms.createProfile("sRGB"), profile, mode)
    return (picture, None) if converted is None else (converted, icc)


def _encode_deep(
    image: DeepImage, alpha: npt.NDArray[Any] | None, like: Picture, options: dict[str, Any]
) -> bytes:
    if like.icc and like.deep is not None:  # then its values are sRGB's
        options["icc_profile"] = like.icc
    if alpha is not None and alpha.dtype == np.uint8:
        alpha = alpha.astype(np.uint16) * 257
    if like.grey:
        red, green, blue = (image[:, :, channel].astype(np.uint32) for channel in range(3))
        grey = ((19_595 * red + 38_470 * green + 7_471 * blue + 32_768) >> 16).astype(np.uint16)  # BT.601
        if alpha is None:
            return _save(PIL.Image.fromarray(grey), "PNG", options)
        image = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    try:
        import cv2
    except ImportError:
        raise HimeError('16 bits a channel need OpenCV; pip install "hime-sr[faces]"') from None
    channels = image[:, :, ::-1] if alpha is None else np.dstack([image[:, :, ::-1], alpha])
    done, pixels = cv2.imencode(".png", np.ascontiguousarray(channels))
    if not done:
        raise ValueError("OpenCV gave no reason")
    # OpenCV knows 16 bits, Pillow the metadata: its chunks go behind the header, which ends at byte 33.
    metadata = _save(PIL.Image.new("L", (1, 1)), "PNG", options)
    content = pixels.reshape(-1).data  # hundreds of megabytes: not to be copied more than once
    return b"".join([content[:33], _ancillary_chunks(metadata), content[33:]])


def _ancillary_chunks(png: bytes) -> bytes:
    chunks, place = b"", 8
    while place < len(png):
        size, kind = struct.unpack_from(">I4s", png, place)
        if kind not in (b"IHDR", b"IDAT", b"IEND"):
            chunks += png[place : place + 12 + size]
        place += 12 + size
    return chunks


# ------------------------------------------------------------------------------------------ metadata


def _exif(source: bytes, width: int, height: int, software: str) -> bytes:
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


def _xmp(source: bytes, width: int, height: int, altered: bool) -> bytes:
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


def _png_texts(text: tuple[tuple[str, str], ...], xmp: bytes, software: str) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Software", software)
    for key, value in text:
        texts.add_text(key, value)  # keeps the language of an international one
    if xmp:
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return texts
