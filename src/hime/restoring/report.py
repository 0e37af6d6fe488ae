"""A restored photograph explained: one HTML page that holds all it shows and asks nothing of the network.

    from hime.restoring.report import write_report
    write_report("party.html", restore_photo(picture, people, restorer, explain=True), "party.jpg")

The page is ``report.html`` beside this file with its gaps `filled`. Whatever comes from outside (names of
people and files, reasons, warnings) is escaped.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hime.files import write_atomically
from hime.pictures.arrays import FloatArray, Image, lanczos, resize
from hime.restoring.detail import LARGEST, Detail
from hime.restoring.face import LIKENESS_MARGIN, RestoredFace
from hime.restoring.page import counted, figure, filled, img, note, reduced, row, section
from hime.restoring.photo import RestoredPhoto

TEMPLATE = Path(__file__).with_name("report.html")

PICTURE_SIDE = 1600
"""Longest side in pixels at which the whole picture is shown; faces are shown at their own size."""
REFERENCE_SIDE = 160
LEFT_SIDE = 128
"""Side at which a reference is shown, and a face that was left as it is: squares, both."""
SEEN_BLOCKS = 0.2
"""`hime.restoring.detail.Detail.blocks` above which somebody may see them."""

VIRIDIS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float32)
"""Colours of a map from 0 to 1 in equal steps: five of matplotlib's viridis (public domain, CC0)."""
SMALLEST_RANGE = 8
"""Levels (of 255) that the brightest colour of a map of changes stands for at least: what nobody sees shall
not look like a change."""


def write_report(path: Path | str, photo: RestoredPhoto, title: str) -> Path:
    """Write the page of one restored picture, whole or not at all.

    Args:
        path: the HTML file.
        photo: restored with ``explain``; else the plain enlargement, and what the references changed, cannot
            be shown.
        title: heading of the page, such as the input's file name; any text.

    Raises:
        HimeError: cannot be written there.
    """
    # A name may hold bytes that are no letters.
    content = page(photo, title).encode("utf-8", errors="replace")
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))


def page(photo: RestoredPhoto, title: str) -> str:
    """The page as text."""
    height, width = photo.image.shape[:2]
    size = f"{width // photo.enlargement} × {height // photo.enlargement} pixels, restored {width} × {height}"
    before, after = (reduced(_eight_bits(image), PICTURE_SIDE) for image in (photo.plain, photo.image))
    if after.shape[:2] != (height, width):
        size += f" (shown here at {after.shape[1]} × {after.shape[0]})"
    numbered = list(enumerate(photo.faces, start=1))
    restored = [_restored_face(number, face) for number, face in numbered if face.restored is not None]
    left = [_left_face(number, face) for number, face in numbered if face.restored is None]
    return filled(
        TEMPLATE,
        title=escape(title),
        summary=f"{len(restored)} of {counted(len(numbered), 'face')} restored.",
        warnings="\n".join(_warning(face, _link(number, face)) for number, face in numbered if face.warning),
        size=f"{size}.",
        before=img(before, "The whole picture, plainly enlarged", "before"),
        after=img(after, "The whole picture, restored", "after"),
        marks="\n".join(_mark(number, face, photo) for number, face in numbered),
        restored=section("Restored faces", restored),
        left=section("Faces left as they are", [row(left)] if left else []),
    )


# ---------------------------------------------------------------------------------------------- faces


def _restored_face(number: int, face: RestoredFace) -> str:
    assert face.restored is not None
    restored = face.restored
    name = _person(face)
    figures = [
        (
            f"{face.lr.shape[1]} × {face.lr.shape[0]} pixels, plainly enlarged",
            lanczos(face.lr, *restored.shape[:2]),
        ),
        ("Restored", restored),
    ]
    explanation = ""
    if face.without is not None and face.references:
        changes = _difference(restored, face.without)
        top = max(float(np.quantile(changes, 0.999)), SMALLEST_RANGE)
        figures += [
            ("Restored without the photos", face.without),
            ("What the photos changed", _coloured(changes / top)),
        ]
        explanation = note(
            f"What the photos changed: the difference between restored with and without them. {_scale()} "
            f"from none (dark) to {top:.0f} of 255 levels (bright); {float(changes.mean()):.1f} on average."
        )
    facts = [("Person", name), ("Outcome", escape(face.status))]
    if face.detail is not None:
        facts.append(("Detail", _detail(face.detail)))
    if face.passes:
        facts.append(("Restored from", _passes(face)))
    if face.similarity_before is not None and face.similarity_after is not None:
        facts.append(("Likeness", _likeness(face.similarity_before, face.similarity_after, name)))
    if face.fidelity is not None:
        facts.append(("Fidelity", f"{face.fidelity:g} (0: the most detail, 1: the most cautious)"))
    return "\n".join(
        [
            f'<article id="face-{number}" aria-labelledby="name-{number}" class="adjusted">',
            f'<h3 id="name-{number}">Face {number}: {name}</h3>',
            _warning(face) if face.warning else "",
            "<dl>",
            *(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in facts),
            "</dl>",
            row([figure(img(image, f"Face {number}: {what}"), what) for what, image in figures]),
            explanation,
            _references(number, face),
            "</article>",
        ]
    )


def _references(number: int, face: RestoredFace) -> str:
    """The photos used, each with its share and its score map laid over it."""
    if not face.references:
        return note("No photo was used for this face.")
    top = max(max(float(scores.max()) for scores in face.scores), 1e-6)
    figures = []
    for name, crop, share, scores in zip(face.references, face.crops, face.shares, face.scores, strict=True):
        # A person's file keeps no pictures: then the map lies over the face that it belongs to.
        under = crop if crop is not None else face.restored
        assert under is not None
        under = reduced(under, REFERENCE_SIDE)
        height, width = under.shape[:2]
        shown = f"<bdi>{escape(name)}</bdi>"
        alt = f"Photo {name}" if crop is not None else f"Face {number}, restored"
        pictures = img(under, alt) + img(
            resize(_coloured(scores / top), height, width), f"Map of where photo {name} was used"
        )
        figures.append(figure(f'<div class="over">{pictures}</div>', f"{shown}: {share:.0%}"))
    rest = max(0.0, 1 - sum(face.shares))
    return "\n".join(
        [
            f"<h4>Photos used for face {number}</h4>",
            f'<p class="control"><label for="maps-{number}">Strength of the maps</label> <input type="range" '
            f'id="maps-{number}" min="0" max="100" value="50" data-property="--opacity"></p>',
            row(figures),
            note(
                f"The share of each photo; {rest:.0%} came from none. The maps show where in the restored "
                f"face a photo counted. {_scale()} from nothing (dark) to {top:.0%} (bright)."
            ),
        ]
    )


def _left_face(number: int, face: RestoredFace) -> str:
    image = resize(face.lr, LEFT_SIDE, LEFT_SIDE)
    reason = escape(face.status.removeprefix("left: "))
    if face.detail is not None:
        reason += f": {_detail(face.detail)}"
    heading = f'<h3 id="name-{number}">Face {number}: {_person(face)}</h3>'
    return (
        f'<figure id="face-{number}" aria-labelledby="name-{number}">{img(image, f"Face {number}")}'
        f"<figcaption>{heading}{reason}</figcaption></figure>"
    )


def _detail(detail: Detail) -> str:
    """What was measured of the headshot."""
    side = f"{detail.side:.0f}" if detail.side < LARGEST else f"{LARGEST:.0f} or more"
    text = (
        f"as much as a sharp picture of {side} pixels a side shows; noise of {detail.noise:.0f} of 255 levels"
    )
    return f"{text}, {'blocks' if detail.blocks > SEEN_BLOCKS else 'no blocks'} of JPEG"


def _passes(face: RestoredFace) -> str:
    """From how many pixels a side, in each pass."""
    first, *further = face.passes
    text = f"{first} pixels a side"
    if first < len(face.lr):
        text += f", to which its {len(face.lr)} were reduced"
    if further:
        text += f"; what is finer, once more from {' and '.join(map(str, further))} pixels of the result"
    return text


def _person(face: RestoredFace) -> str:
    """Who it is, escaped; a name may run from right to left, whatever stands around it."""
    return "stranger" if face.person is None else f"<bdi>{escape(face.person)}</bdi>"


def _likeness(before: float, after: float, name: str) -> str:
    if abs(after - before) <= LIKENESS_MARGIN:
        verdict = f"about as like {name} as before"
    else:
        verdict = f"{'more' if after > before else 'less'} like {name} than before"
    return f"{before:.2f} → {after:.2f}: {verdict}"


def _warning(face: RestoredFace, before: str = "") -> str:
    assert face.warning is not None
    return f'<p class="warning"><strong>Warning.</strong> {before}{escape(face.warning)}</p>'


def _link(number: int, face: RestoredFace) -> str:
    return f'<a href="#face-{number}">Face {number}, {_person(face)}</a>: '


def _mark(number: int, face: RestoredFace, photo: RestoredPhoto) -> str:
    """The face's box and number, in per cent of the picture."""
    height, width = (side / photo.enlargement for side in photo.image.shape[:2])
    left, top, box_width, box_height = (
        f"{100 * value / extent:.2f}%" for value, extent in zip(face.box, (width, height) * 2, strict=True)
    )
    return (
        f'<rect x="{left}" y="{top}" width="{box_width}" height="{box_height}"/>'
        f'<text x="{left}" y="{top}" dx="3" dy="16">{number}</text>'
    )


# --------------------------------------------------------------------------------------------- pictures


def _scale() -> str:
    """The colours of a map, from 0 to 1."""
    bar = _coloured(np.linspace(0, 1, 64, dtype=np.float32)[np.newaxis])
    return img(bar, "Scale:", "scale")


def _eight_bits(image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Image:
    """uint8 or uint16 → uint8, without a copy of the 16 bits."""
    if image.dtype == np.uint8:
        return image.view(np.uint8)
    levels: Image = np.right_shift(image, 8, out=np.empty(image.shape, np.uint8), casting="unsafe")
    return levels


def _difference(first: Image, second: Image) -> FloatArray:
    """H×W: mean over the colours of how far two pictures are apart, in levels."""
    apart = np.abs(first.astype(np.float32) - second.astype(np.float32))
    mean: FloatArray = apart.mean(axis=2)
    return mean


def _coloured(values: FloatArray) -> Image:
    """H×W, what lies outside [0, 1] taken as its end → the colours that stand for it."""
    steps = np.linspace(0, 1, len(VIRIDIS))
    colours = [np.interp(values, steps, VIRIDIS[:, channel]) for channel in range(3)]
    return np.rint(np.stack(colours, axis=-1)).astype(np.uint8)
