"""A restored clip explained on one page: before and after, the references, likeness over time.

What is shown and measured is the result as it was written, after its encoding, beside the clip as it was
given. The page is ``clip_report.html`` beside this file, made as `hime.restoring.page` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from hime.faces.detection import detect
from hime.faces.embedding import embedding_of, similarity
from hime.files import write_atomically
from hime.pictures.arrays import FloatArray, Image, resize
from hime.restoring.face import LIKENESS_MARGIN
from hime.restoring.page import figure, filled, img, note, reduced, row, section
from hime.restoring.video.cast import ClipReference, RestoredRole, Role
from hime.restoring.video.faces import headshot
from hime.restoring.video.plan import Plan
from hime.restoring.video.planes import Planes
from hime.restoring.video.reading import Clip, Damage, open_clip, read_frames

TEMPLATE, SCRIPT = (Path(__file__).with_name(f"clip_report.{kind}") for kind in ("html", "js"))

LOOK_SECONDS = 0.5
"""Between two looks at the result, at the least."""
MOST_LOOKS = 120
MOST_MOMENTS = 24
"""Looks of which the whole frame is shown."""
MOMENT_SIDE = 720
"""Longest side in pixels of a frame that is shown."""
FACE_SIDE = 160
"""Of a headshot that is shown."""
WHOLLY = 0.5
"""A look counts where at least so much of what restoring changes was added."""


@dataclass(frozen=True, eq=False)
class Look:
    """A face at one moment, as it was given and as it was restored.

    Attributes:
        seconds: from the first frame.
        given: uint8 S×S×3, S = `FACE_SIDE`.
        restored: likewise.
        before: cosine of its embedding to the person's; None where that is not known, or no face is found.
        after: likewise, of the restored one.
    """

    seconds: float
    given: Image
    restored: Image
    before: float | None
    after: float | None

    @property
    def is_less(self) -> bool:
        """Whether it became less like the person."""
        return (
            self.before is not None and self.after is not None and self.after < self.before - LIKENESS_MARGIN
        )


@dataclass
class Explanation:
    """What was seen of a result.

    Attributes:
        moments: seconds, and the whole frame given and restored.
        looks: by the index of each role.
    """

    moments: list[tuple[float, Image, Image]] = field(default_factory=list)
    looks: dict[int, list[Look]] = field(default_factory=dict)


def explain(
    clip: Clip,
    result: Path,
    cast: Sequence[Role],
    plan: Plan,
    total: int,
    enlargement: int,
    progress: Callable[[int], None],
) -> Explanation:
    """Look at a result and the clip it was made of.

    Args:
        clip: the clip.
        result: the file that was made of it.
        cast: who is in it.
        plan: what was done.
        total: frames.
        enlargement: how many times the sides are the clip's.
        progress: told after each frame how many were looked through.

    Raises:
        HimeError: a file cannot be read any more.
    """
    rate = float(clip.rate)
    busy = [number for number in range(total) if plan.tasks(number)[0]]
    step = max(1, round(LOOK_SECONDS * rate), -(-len(busy) // MOST_LOOKS))
    looked = busy[::step]
    shown = set(looked[:: max(1, -(-len(looked) // MOST_MOMENTS))])
    found = Explanation()
    wanted = set(looked)
    first: int | None = None
    both = zip(read_frames(clip, Damage()), read_frames(open_clip(result), Damage()), strict=False)
    for number, (frame, made) in enumerate(both):
        first = frame.pts if first is None else first
        seconds = float((frame.pts - first) * clip.time_base)
        if number in wanted:
            before, after = Planes(frame, clip.turn), Planes(made, clip.turn)
            if number in shown:
                shown_as = _whole(after)
                given_as = resize(_whole(before), *shown_as.shape[:2])
                found.moments.append((seconds, given_as, shown_as))
            for task in plan.tasks(number)[0]:
                if task.share >= WHOLLY:
                    given = headshot(before, task.frame, FACE_SIDE)
                    restored = headshot(after, task.frame.scaled(enlargement), FACE_SIDE)
                    likeness = _likeness(given, restored, _embedding(cast[task.role]))
                    look = Look(seconds, given, restored, *likeness)
                    found.looks.setdefault(task.role, []).append(look)
        progress(number + 1)
        if number >= looked[-1]:
            break
    return found


def _whole(planes: Planes) -> Image:
    return reduced(planes.rgb((0, 0, planes.width, planes.height)), MOMENT_SIDE)


def _embedding(role: Role) -> FloatArray | None:
    person = None if role.person is None else role.person.embedding
    return role.embedding if person is None else person


def _likeness(given: Image, restored: Image, known: FloatArray | None) -> tuple[float | None, float | None]:
    """Of both to the person: by the landmarks that the restored one shows, which lie there in both."""
    faces = [] if known is None else detect(restored)
    if not faces or known is None:
        return None, None
    landmarks = faces[0].landmarks
    before, after = (similarity(embedding_of(image, landmarks), known) for image in (given, restored))
    return before, after


# ---------------------------------------------------------------------------------------------- the page


def write_clip_report(
    path: Path | str,
    title: str,
    found: Explanation,
    faces: Sequence[RestoredRole],
    damage: str | None,
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file.
        title: its heading, such as the clip's name; any text.
        found: what was seen.
        faces: what became of each role of the clip.
        damage: what does not decode, in one line.

    Raises:
        HimeError: cannot be written there.
    """
    content = clip_page(title, found, faces, damage).encode("utf-8", errors="replace")
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))


def clip_page(
    title: str,
    found: Explanation,
    faces: Sequence[RestoredRole],
    damage: str | None,
) -> str:
    """The page as text."""
    restored, left = [], []
    for index, face in enumerate(faces):
        if found.looks.get(index):
            restored.append(_role(index, face, found.looks[index]))
        else:
            left.append(
                f"<li><bdi>{escape(face.name)}</bdi>: {escape(face.status.removeprefix('left: '))}</li>"
            )
    warning = ""
    if damage is not None:
        warning = f'<p class="warning"><strong>Warning.</strong> The clip {escape(damage)}.</p>'
    sides: tuple[list[str], list[str]] = [], []
    for seconds, *pictures in found.moments:
        for images, picture, what in zip(sides, pictures, ("given", "restored"), strict=True):
            shown = img(picture, f"The clip at {_time(seconds)}, {what}")
            hidden = " hidden" if images else ""
            images.append(shown.replace("<img ", f'<img data-time="{_time(seconds)}"{hidden} ', 1))
    size = ""
    if found.moments:
        height, width = found.moments[0][2].shape[:2]
        size = (
            f"{len(found.moments)} moments in which faces were restored, shown at {width} × {height} pixels."
        )
    return filled(
        TEMPLATE,
        script=SCRIPT,
        title=escape(title),
        summary=f"{len(restored)} of {len(faces)} {'person' if len(faces) == 1 else 'people'} restored.",
        warnings=warning,
        before="\n".join(sides[0]),
        after="\n".join(sides[1]),
        last=str(max(0, len(found.moments) - 1)),
        size=size,
        restored=section("Restored", restored),
        left=section("Left as they are", [f"<ul>{''.join(left)}</ul>"] if left else []),
    )


def _role(index: int, face: RestoredRole, looks: Sequence[Look]) -> str:
    name = face.name
    known = [look for look in looks if look.before is not None]
    facts = [("Outcome", f"{escape(face.status)} in {face.frames} of the {face.seen} frames with this face")]
    parts = []
    if known:
        before, after = (
            float(np.median([getattr(look, name) for look in known])) for name in ("before", "after")
        )
        facts.append(("Likeness", f"{before:.2f} → {after:.2f} (medians of {len(known)} looks)"))
        less = [look for look in known if look.is_less]
        if less:
            times = ", ".join(_time(look.seconds) for look in less[:10]) + (", …" if len(less) > 10 else "")
            parts.append(
                f'<p class="warning"><strong>Less like than given</strong> in {len(less)} of {len(known)} '
                f"looks: at {times}. Look at these with care.</p>"
            )
        parts.append(_chart(index, known))
    order = sorted(known, key=lambda look: (look.after or 0) - (look.before or 0)) or list(looks)
    chosen = {id(look): look for look in (order[-1], order[len(order) // 2], order[0])}.values()
    pairs = [
        figure(
            row([img(look.given, f"{name}, given"), img(look.restored, f"{name}, restored")]),
            _time(look.seconds)
            + ("" if look.before is None else f": likeness {look.before:.2f} → {look.after:.2f}"),
        )
        for look in sorted(chosen, key=lambda look: look.seconds)
    ]
    return "\n".join(
        [
            f'<article id="role-{index}" aria-labelledby="name-{index}">',
            f'<h3 id="name-{index}"><bdi>{escape(name)}</bdi></h3>',
            "<dl>",
            *(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in facts),
            "</dl>",
            *parts,
            "<h4>As given and restored</h4>",
            row(pairs),
            note("Of all looks those with the most, a middle and the least gain of likeness.")
            if known
            else "",
            "<h4>References</h4>",
            _references(face.references),
            "</article>",
        ]
    )


def _references(references: Sequence[ClipReference]) -> str:
    if not references:
        return note("None: restored without.")
    figures = []
    for reference in references:
        if reference.seconds is None:
            where = f"photo <bdi>{escape(reference.source or '')}</bdi>"
        else:
            where = f"the clip at {_time(reference.seconds)}, {reference.side:.0f} pixels"
        crop = reference.crop
        picture = note("no picture is kept") if crop is None else img(reduced(crop, FACE_SIDE), "Reference")
        figures.append(figure(picture, where))
    return row(figures)


def _chart(index: int, looks: Sequence[Look]) -> str:
    """Likeness over time as a drawing."""
    width, height, low, high = 640, 150, -0.1, 1.0
    last = max(looks[-1].seconds, looks[0].seconds + 1e-3)
    start = looks[0].seconds

    def x(seconds: float) -> float:
        return 40 + (width - 50) * (seconds - start) / (last - start)

    def y(value: float) -> float:
        return 10 + (height - 30) * (high - min(high, max(low, value))) / (high - low)

    def path(kind: str) -> str:
        values = [getattr(look, {"given": "before", "restored": "after"}[kind]) for look in looks]
        places = [f"{x(look.seconds):.1f} {y(value):.1f}" for look, value in zip(looks, values, strict=True)]
        return f'<path class="{kind}" d="M{" L".join(places)}"/>'

    lines = [
        f'<line x1="40" x2="{width - 10}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        f'<text x="34" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in (0, 0.25, 0.5, 0.75, 1)
    ]
    marks = [
        f'<circle cx="{x(look.seconds):.1f}" cy="{y(look.after or 0):.1f}" r="4"/>'
        for look in looks
        if look.is_less
    ]
    ends = [
        f'<text x="{x(seconds):.1f}" y="{height - 4}" text-anchor="{anchor}">{_time(seconds)}</text>'
        for seconds, anchor in ((start, "start"), (last, "end"))
    ]
    return (
        f'<h4 id="chart-{index}">Likeness over time</h4>'
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-labelledby="chart-{index}">'
        + "".join([*lines, path("given"), path("restored"), *marks, *ends])
        + "</svg>"
        + note("Dashed: the clip as given, plainly enlarged. Line: restored. Dots: less like than given.")
    )


def _time(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
