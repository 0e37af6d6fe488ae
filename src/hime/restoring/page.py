"""What pages that explain a result are made of: HTML that holds all it shows and asks nothing of the network.

Texts are escaped by whoever knows that they come from outside.
"""

from __future__ import annotations

import base64
import hashlib
import io
from html import escape
from pathlib import Path
from string import Template

import PIL.Image

import hime
from hime.pictures.arrays import Image, area_reduce

QUALITY = 85
"""Of the WebP pictures in a page, from 0 to 100."""


def filled(
    body: Path, *, title: str, summary: str, warnings: str, script: Path | None = None, **gaps: str
) -> str:
    """A whole page: head and style of all pages, a body of its own with its gaps filled.

    Its Content-Security-Policy lets in pictures that are in the page itself and the page's own style and
    script, known by their hashes, and nothing else.

    Args:
        body: a template of what comes below the heading.
        title: heading, escaped.
        summary: the line below it, escaped.
        warnings: paragraphs.
        script: what the page does besides letting pictures be compared (``page.js``).
        gaps: of the body.
    """
    style = _text("page.css")
    code = _text("page.js") + (script.read_text(encoding="utf-8") if script else "")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(code)}; "
        "base-uri 'none'; form-action 'none'"
    )
    filled_body = Template(body.read_text(encoding="utf-8")).substitute(
        version=escape(hime.__version__), **gaps
    )
    return Template(_text("page.html")).substitute(
        policy=policy,
        style=style,
        title=title,
        summary=summary,
        warnings=warnings,
        body=filled_body,
        script=code,
    )


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


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
