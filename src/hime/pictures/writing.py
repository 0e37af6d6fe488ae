"""Pictures written to files: `write_image` the pixels alone, `write_picture` as the photograph they were.

What `write_picture` keeps beside the metadata (see `hime.pictures.metadata`):

- The colour profile stays: work is done in sRGB, and the result converted back to the profile of the file. A
  CMYK picture becomes RGB in sRGB.
- Grey stays grey. Alpha is enlarged with the picture; where the format has none, it is composited over white.
- A PNG with 16 bits a channel stays one; other files are written with 8 bits.
- JPEG keeps its quantisation tables, if they are no coarser than quality 90, its subsampling, whether it is
  progressive, its comment and its IPTC captions; lossless WebP stays lossless; TIFF keeps its
  compression, except that one with EXIF of a camera is written uncompressed.
- PNG's texts and the resolution in dots per inch stay.
- Signed provenance (C2PA) cannot stay: the signature is of the old picture.

BMP and GIF hold neither marks nor, GIF, true colours: what is read from them is written as another format.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ExifTags, ImageCms

from hime.errors import HimeError
from hime.files import write_atomically
from hime.pictures.arrays import DeepImage, Image, check_image, to_8_bits
from hime.pictures.colour import convert_profile
from hime.pictures.decoding import silenced, unremarked
from hime.pictures.formats import SUFFIXES, WRITTEN
from hime.pictures.metadata import (
    exif_for,
    png_texts,
    xmp_for,
)
from hime.pictures.reading import Picture


def write_image(path: Path | str, image: Image) -> Path:
    """Write a picture, whole or not at all; the suffix chooses the format.

    PNG and WebP keep every value (WebP lossless); JPEG is written at quality 95 without chroma subsampling.

    Raises:
        HimeError: another suffix, not a picture, or the file cannot be written.
    """
    path = Path(path)
    check_image(image, f"{path}: the picture")
    options: dict[str, dict[str, Any]] = {
        ".png": {"format": "PNG"},
        ".webp": {"format": "WEBP", "lossless": True, "exact": True},
        ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    }
    suffix = path.suffix.lower()
    chosen = options.get(".jpg" if suffix == ".jpeg" else suffix)
    if chosen is None:
        raise HimeError(
            f"{path}: cannot write {suffix or 'a file without suffix'}; use one of {', '.join(SUFFIXES)}"
        )
    content = io.BytesIO()
    try:
        PIL.Image.fromarray(image).save(content, **chosen)
    except ValueError as error:  # more pixels a side than the format has room for
        raise HimeError(f"{path}: cannot be written ({error}); choose another format") from error
    return write_atomically(path, lambda temporary: temporary.write_bytes(content.getbuffer()))


QUALITY = 90
"""Of lossy results, from 0 to 100, where the source's own quality is unknown or lower."""


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
        exif = exif_for(like.exif, width, height, software)
        xmp = xmp_for(like.xmp, width, height, altered)
        try:
            content = _encode(image, like, form, exif, xmp, software)
        except HimeError as error:
            raise HimeError(f"{path}: {error}") from error
        except Exception:
            # Metadata may be refused as late as here, and by errors of any kind, libtiff's own included: for
            # the picture's sake once more without what the file carried.
            bare = Picture(like.image, like.alpha, like.deep, grey=like.grey, icc=like.icc)
            try:
                content = _encode(image, bare, form, exif_for(b"", width, height, software), xmp, software)
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
        options["pnginfo"] = png_texts(like.text, xmp, software)
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
