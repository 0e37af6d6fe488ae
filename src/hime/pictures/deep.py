"""16 bits a channel: read from PNG, TIFF and PPM, and written to PNG and TIFF.

Pillow gives 8 bits of all but grey. OpenCV (of the extra ``faces``) gives the others; what it gives is taken
only where Pillow's 8 bits are the same.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from hime.errors import HimeError, how_to_install
from hime.pictures.arrays import DeepImage, to_8_bits, upright
from hime.pictures.decoding import Opened
from hime.pictures.tiff import inverted_by_us

TO_8_BITS = "has more than 8 bits a channel, and is restored with 8"


def bits_of(opened: Opened) -> int:
    """Bits of a channel that the file has."""
    form = opened.picture.format
    if form == "PNG":
        opened.file.seek(24)
        return max(8, opened.file.read(1)[0])
    if opened.page is not None:
        return max(opened.page.bits)
    if opened.picture.mode.startswith("I"):
        return 16
    if form == "PPM":
        return 16 if _is_deep_ppm(opened) else 8
    return opened.boxes.bits or 8


def _is_deep_ppm(opened: Opened) -> bool:
    opened.file.seek(0)
    words = [word for line in opened.file.read(400).split(b"\n") for word in line.split(b"#")[0].split()]
    return (
        len(words) > 3
        and words[0] in (b"P2", b"P3", b"P5", b"P6")
        and words[3].isdigit()
        and int(words[3]) > 255
    )


def in_8_bits(opened: Opened) -> PIL.Image.Image:
    """The decoded picture with 8 bits a channel."""
    picture = opened.picture
    if not picture.mode.startswith("I"):  # colours of 16 bits arrive as 8
        return picture
    return PIL.Image.fromarray(to_8_bits(_stretched(opened, np.asarray(picture).astype(np.uint16))))


def read_deep(opened: Opened) -> tuple[DeepImage | None, DeepImage | None]:
    """Colours (H×W×3) and alpha (H×W) with 16 bits a channel, as the file has them; None where they cannot be
    had.
    """
    picture = opened.picture
    if bits_of(opened) <= 8 or picture.mode == "CMYK":
        return None, None
    if picture.mode.startswith("I"):
        grey = np.asarray(picture).astype(np.uint16)
        deep = np.repeat(_stretched(opened, grey)[:, :, np.newaxis], 3, axis=2)
        return deep, _keyed_alpha(picture, deep)
    if picture.format not in ("PNG", "TIFF", "PPM") or (opened.page is not None and opened.page.number):
        return None, None
    try:
        import cv2
    except ImportError:
        return None, None
    # What OpenCV would write to standard error, of odd tags above all, reaches us as a picture that is none.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    values: Any = cv2.imdecode(np.frombuffer(opened.content(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3 or values.shape[2] not in (3, 4):
        return None, None
    pixels = np.asarray(picture.convert("RGB"))
    turns = (1,) if opened.page is None else (1, opened.page.orientation)
    for turn in turns:  # Pillow sets TIFF upright; OpenCV too, in the versions that were tried
        turned = values if turn == 1 else upright(values, turn)
        deep = turned[:, :, 2::-1]
        if deep.shape == pixels.shape and np.array_equal((deep >> 8).astype(np.uint8), pixels):
            has_alpha = turned.shape[2] == 4 and picture.mode.endswith("A")
            return deep, turned[:, :, 3] if has_alpha else _keyed_alpha(picture, deep)
    return None, None  # OpenCV has taken something into account that Pillow has not, or the reverse


def _keyed_alpha(picture: PIL.Image.Image, values: DeepImage) -> DeepImage | None:
    """Alpha where a PNG names one colour (tRNS) that is transparent; None where it does not."""
    key = picture.info.get("transparency") if picture.format == "PNG" else None
    if not isinstance(key, int | tuple):
        return None
    transparent = (values == np.array(key, np.uint16)).all(axis=2)
    return np.where(transparent, np.uint16(0), np.uint16(65_535))


def _stretched(opened: Opened, grey: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """Grey as Pillow gives it → black at 0 and white at 65,535."""
    if opened.page is None:
        return grey
    if max(opened.page.bits) < 16:  # Pillow gives 12 bits as they are
        top = (1 << max(opened.page.bits)) - 1
        grey = (np.minimum(grey, top).astype(np.uint32) * 65_535 // top).astype(np.uint16)
    return 65_535 - grey if inverted_by_us(opened.page) else grey


def grey_of(image: DeepImage) -> DeepImage:
    """Luma (ITU-R BT.601), as Pillow has it."""
    red, green, blue = (image[:, :, channel].astype(np.uint32) for channel in range(3))
    grey: DeepImage = ((19_595 * red + 38_470 * green + 7_471 * blue + 32_768) >> 16).astype(np.uint16)
    return grey


def encode_deep_png(channels: npt.NDArray[np.uint16], metadata: bytes) -> bytes:
    """A PNG of 16 bits a channel.

    Args:
        channels: H×W×3 or 4: RGB, and alpha.
        metadata: a PNG whose further chunks it shall have: OpenCV knows 16 bits, Pillow the metadata.

    Raises:
        HimeError: OpenCV is not installed.
        ValueError: OpenCV does not write it.
    """
    try:
        import cv2
    except ImportError:
        raise HimeError(f"16 bits a channel need OpenCV; {how_to_install('faces')}") from None
    order = [2, 1, 0, 3][: channels.shape[2]]
    done, pixels = cv2.imencode(".png", np.ascontiguousarray(channels[:, :, order]))
    if not done:
        raise ValueError("OpenCV gave no reason")
    content = pixels.reshape(-1).data  # hundreds of megabytes: not to be copied more than once
    return b"".join([content[:33], _ancillary_chunks(metadata), content[33:]])  # the header ends at byte 33


def _ancillary_chunks(png: bytes) -> bytes:
    chunks, place = b"", 8
    while place < len(png):
        size, kind = struct.unpack_from(">I4s", png, place)
        if kind not in (b"IHDR", b"IDAT", b"IEND"):
            chunks += png[place : place + 12 + size]
        place += 12 + size
    return chunks
