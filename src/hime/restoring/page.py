"""What pages that explain a result are made of: HTML that holds all it shows and asks nothing of the network.

Texts are escaped by whoever knows that they come from outside.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html import escape

import PIL.Image

from hime.pictures.arrays import Image, area_reduce

QUALITY = 85
"""Of the WebP pictures in a page, from 0 to 100."""


def policy(template: str) -> str:
    """The Content-Security-Policy of a page with the template's style and script."""

    def allowed(tag: str) -> str:
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", template, flags=re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src data:; style-src {allowed('style')}; script-src {allowed('script')}; "
        "base-uri 'none'; form-action 'none'"
    )


def section(heading: str, parts: list[str]) -> str:
    return "\n".join(["<section>", f"<h2>{heading}</h2>", *parts, "</section>"]) if parts else ""


def row(parts: list[str]) -> str:
    return "\n".join(['<div class="row">', *parts, "</div>"])


def figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{caption}</figcaption></figure>"


def note(text: str) -> str:
    return f'<p class="note">{text}</p>'


def img(image: Image, alt: str, style: str = "") -> str:
    """A picture as part of the page; ``alt`` is any text."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "WEBP", quality=QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    kind = f'class="{style}" ' if style else ""
    return (
        f'<img {kind}width="{image.shape[1]}" height="{image.shape[0]}" alt="{escape(alt)}" '
        f'src="data:image/webp;base64,{data}">'
    )


def counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def reduced(image: Image, longest: int) -> Image:
    """The picture with no side above ``longest``, by area."""
    height, width = image.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return image
    return area_reduce(image, max(1, round(height * factor)), max(1, round(width * factor)))
