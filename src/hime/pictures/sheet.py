"""Contact sheets: pictures in rows with a caption below each."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont

from hime.errors import HimeError
from hime.pictures.arrays import Image, check_image

Panel = tuple[str, Image]
"""A caption (may hold line breaks) and the picture above it."""

_SPELLED = str.maketrans({"×": "x", "→": "->", "–": "-", "—": "-"})


def contact_sheet(
    rows: Sequence[Sequence[Panel]], headings: Sequence[str] = (), margin: int = 6, text_size: int = 12
) -> Image:
    """Pictures in rows with a caption below each, dark on white, in Pillow's built-in font.

    Columns are as wide as their widest picture or caption, rows as high as their highest. Pictures are
    drawn pixel by pixel, never resized. Rows may differ in length. The font has little more than ASCII:
    accents are dropped, × is drawn as x, and what cannot be spelled so as a question mark.

    Args:
        rows: captions and pictures, row by row.
        headings: of the first columns, above the first row.
        margin: pixels around each panel.
        text_size: of the captions, in pixels.

    Raises:
        HimeError: no panel at all, or one that is no picture.
    """
    panels = [panel for row in rows for panel in row]
    if not panels:
        raise HimeError("a contact sheet needs at least one picture")
    for caption, image in panels:
        check_image(image, f"the picture {caption!r}")
    rows = [[(_drawable(caption), image) for caption, image in row] for row in rows]
    font = ImageFont.load_default(text_size)
    ruler = ImageDraw.Draw(PIL.Image.new("RGB", (1, 1)))

    def extent(caption: str) -> tuple[int, int]:
        _, _, right, bottom = ruler.multiline_textbbox((0, 0), caption, font=font)
        return int(np.ceil(right)), int(np.ceil(bottom))

    columns = max(len(row) for row in rows)
    headings = [_drawable(heading) for heading in headings[:columns]]
    widths = [
        max(max(row[column][1].shape[1], extent(row[column][0])[0]) for row in rows if column < len(row))
        for column in range(columns)
    ]
    widths = [
        max(pair) for pair in zip_longest(widths, (extent(heading)[0] for heading in headings), fillvalue=0)
    ]
    picture_heights = [max((image.shape[0] for _, image in row), default=0) for row in rows]
    caption_heights = [max((extent(caption)[1] for caption, _ in row), default=0) for row in rows]
    gaps = 3 * margin  # above the picture, between it and its caption, below
    width = sum(widths) + margin * (columns + 1)
    top = max(extent(heading)[1] for heading in headings) + margin if headings else 0
    height = top + sum(picture_heights) + sum(caption_heights) + gaps * len(rows)
    sheet = PIL.Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    left = margin
    for heading, column_width in zip(headings, widths, strict=False):
        draw.text((left, margin), heading, fill="black", font=font)
        left += column_width + margin
    for row, picture_height, caption_height in zip(rows, picture_heights, caption_heights, strict=True):
        left = margin
        for (caption, image), column_width in zip(row, widths, strict=False):
            sheet.paste(PIL.Image.fromarray(image), (left, top + margin))
            draw.multiline_text((left, top + 2 * margin + picture_height), caption, fill="black", font=font)
            left += column_width + margin
        top += picture_height + caption_height + gaps
    return np.array(sheet)


def _drawable(caption: str) -> str:
    spelled = caption.translate(_SPELLED)
    plain = (letter for letter in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() or letter in "·°±" else "?" for letter in plain)
