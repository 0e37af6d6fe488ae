"""Headshots framed alike from files and folders: no faces are looked for, one person's photos serve all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import hime
from hime.errors import HimeError, NothingToRestore
from hime.files import write_json
from hime.pictures.arrays import Image, lanczos, resize
from hime.pictures.formats import READ, SUFFIXES, WRITTEN
from hime.pictures.reading import Picture, read_image, read_picture
from hime.pictures.writing import FAITHFUL, write_picture
from hime.restoring.batch import NO_OTHER_PHOTO, Found, Summary, log, model_digest, run_batch, told
from hime.restoring.inputs import Input, digest, find_inputs, find_references, together
from hime.restoring.outputs import Output, Outputs
from hime.restoring.rehearsal import rehearsing
from hime.restoring.restorer import Restoration, Restorer, check_strength

MAX_LR_SIDE = 512
"""Longest side of a headshot in pixels. Memory and time grow with its area."""
AS_IT_IS = 128
"""Sides in pixels up to which a headshot is restored as it is. A larger one that is square is left if it is
sharp for its size, and else restored from the pixels that its detail fills (`hime.restoring.any_size`)."""
TOGETHER = 16
"""How many headshots that follow each other go through the model in one call, where they are of one size:
of 32×32 with three references as many as `hime.restoring.restorer.TOGETHER` takes."""


def restore_headshots(
    restorer: Restorer,
    inputs: Sequence[Path | str],
    references: Sequence[Path | str],
    out: Path | str,
    *,
    report: bool = False,
    overwrite: bool = False,
    max_lr_side: int = MAX_LR_SIDE,
    even_sharp: bool = False,
    strength: float = 1.0,
    keep_date: bool = True,
    dry_run: bool = False,
) -> Summary:
    """Restore every headshot with the same person's references, all framed alike; no faces are looked for.

    An input that is among the references too is not used as a reference for itself, whatever its copy is
    called. References are read once. A result is marked as altered and carries what a face alone does
    (`hime.pictures.reading.Picture.for_crop`), its colours in sRGB; PNG and WebP keep every value.

    Args:
        restorer: the model; its references are replaced.
        inputs: small headshots: picture files, and folders of them and of folders.
        references: photos of the person: picture files, and folders; none restores without.
        out: for one input file, the picture to write; otherwise a folder, for NAME.png of each input.
        report: write beside each result a JSON file of the same name: ``input``, ``output``, ``model``,
            ``fidelity`` (null without a dial), ``scale``, ``lr`` and ``hr`` (height, width),
            ``strength``, ``passes`` (the LR side of each), ``references`` (``file`` and ``share`` of each).
        overwrite: restore again what is there already, and replace what is there and no result.
        max_lr_side: longest side of an input in pixels.
        even_sharp: restore also what is larger than `AS_IT_IS` and sharp for its size.
        strength: see `hime.restoring.any_size.mixed`.
        keep_date: give a result the date of its input's file.
        dry_run: find out what would be done (`hime.restoring.rehearsal`), and write nothing.

    Raises:
        HimeError: nothing can be done: a folder holds no picture, no reference can be read, a result would
            overwrite an input or a reference, or a place cannot be written to.
    """
    check_strength(strength)
    out = Path(out)
    listing = find_inputs(inputs, out, videos=False)
    photos = find_references(references)
    read = [each.path for each in (*listing.inputs, *photos.inputs)]
    outputs = Outputs(
        listing.given, listing.inputs, out, SUFFIXES, (*WRITTEN, *READ), lambda _: ".png", read,
        overwrite=overwrite, beside=(lambda _, result: [_report(result)]) if report else None,
    )  # fmt: skip

    summary = Summary(passed_over=[*listing.passed_over, *photos.passed_over])
    choice = HeadshotChoice(report, max_lr_side, even_sharp, strength, keep_date)
    used = read_references(photos.inputs, restorer, choice, summary)
    made = headshots_made_with(restorer, used, choice)
    restorer = rehearsing(restorer) if dry_run else restorer
    coming = [] if outputs.is_file else [each for each in listing.inputs if outputs.is_free(each)]
    job = HeadshotJob(restorer, used, summary, choice, dry_run, coming)
    run_batch(listing.inputs, outputs, made, summary, job.restore, restorer.name, dry_run=dry_run)
    return summary


def _report(result: Path) -> Path:
    """Where the report on a result is."""
    return result.with_suffix(".json")


def _carried(source: Path, result: Path) -> Picture:
    """What the result of a headshot carries, and how it is encoded."""
    form = WRITTEN[result.suffix.lower()]
    alone = read_picture(source).for_crop()
    return replace(alone, format=form, grey=False, icc=None, encoding=FAITHFUL.get(form, {}))


@dataclass(frozen=True)
class HeadshotChoice:
    """How to restore, see `restore_headshots`."""

    report: bool = False
    max_lr_side: int = MAX_LR_SIDE
    even_sharp: bool = False
    strength: float = 1.0
    keep_date: bool = True


def headshots_made_with(
    restorer: Restorer, used: Sequence[HeadshotReference], choice: HeadshotChoice
) -> dict[str, str]:
    """What results are made with, for `hime.restoring.batch.run_batch`."""
    return {
        "version": hime.__version__,
        "model": model_digest(restorer),
        "fidelity": str(restorer.fidelity),
        "people": together(reference.content for reference in used),
        "options": f"aligned, even_sharp={choice.even_sharp}, strength={choice.strength}, "
        f"keep_date={choice.keep_date}",
        "report": str(choice.report),
    }


@dataclass(frozen=True, eq=False)
class HeadshotReference:
    """A photo, as it was when it was read."""

    path: Path
    content: str
    image: Image


def read_references(
    photos: Sequence[Input], restorer: Restorer, choice: HeadshotChoice, summary: Summary
) -> list[HeadshotReference]:
    """The photos that can be read, made smaller where their shorter sides are longer than the largest result:
    models see nothing beyond it.

    Raises:
        HimeError: there are some, and none can.
    """
    side = restorer.scale * choice.max_lr_side
    used: list[HeadshotReference] = []
    for photo in photos:
        try:
            used.append(HeadshotReference(photo.path, digest(photo.path), _reduced(photo.path, side)))
        except Exception as error:  # as of an input: whatever goes wrong with one is its own line
            log.debug("%s", photo.path, exc_info=True)
            summary.failed.append(told(photo.path, error))
    if photos and not used:
        raise HimeError(f"none of the {len(photos)} references can be used; the first: {summary.failed[0]}")
    return used


def _reduced(path: Path, side: int) -> Image:
    image = read_image(path)
    shorter = min(image.shape[:2])
    if shorter > side:
        height, width = (round(length * side / shorter) for length in image.shape[:2])
        image = resize(image, height, width)
    image.flags.writeable = False  # so that nobody needs a copy of it
    return image


@dataclass
class HeadshotJob:
    """What is the same for all headshots of a batch.

    Attributes:
        restorer: the model; its references are replaced.
        references: photos of the person.
        summary: filled in.
        choice: how to restore.
        dry_run: write nothing; the restorer is a rehearsal.
        coming: inputs that will be asked for, in this order: those of one size are restored together.
    """

    restorer: Restorer
    references: Sequence[HeadshotReference]
    summary: Summary
    choice: HeadshotChoice
    dry_run: bool = False
    coming: Sequence[Input] = ()
    _set: list[HeadshotReference] | None = field(default=None, init=False)
    _ready: dict[Path, tuple[Image, Restoration]] = field(default_factory=dict, init=False)
    _ahead: dict[Path, Image | None] = field(default_factory=dict, init=False)
    _places: dict[Path, int] = field(init=False)

    def __post_init__(self) -> None:
        self._places = {each.path: place for place, each in enumerate(self.coming)}

    def restore(self, each: Input, content: str, output: Output) -> None:
        """One headshot, see `hime.restoring.batch.run_batch`."""
        report = _report(output.path)
        output.claim(output.path)
        if self.choice.report:
            output.claim(report)
        lr = read_image(each.path)
        if max(lr.shape[:2]) > self.choice.max_lr_side:
            raise HimeError(
                f"{each.path}: {lr.shape[1]}×{lr.shape[0]} pixels is no small headshot (at most "
                f"{self.choice.max_lr_side} a side); leave out --aligned, make it smaller, or raise "
                "--max-lr-side"
            )
        used = [reference for reference in self.references if reference.content != content]
        if used != self._set:
            self.restorer.set_references([reference.image for reference in used])
            self._set = used
        restored = self._restored(each, lr)
        if not self.dry_run:
            like = _carried(each.path, output.path)
            write_picture(output.path, restored.image, like, keep_date=self.choice.keep_date)
            if self.choice.report:
                write_json(report, self._explained(each.path, output.path, lr, restored, used))
        self.summary.written.append(output.path)
        if self.references and not used:
            self.summary.notes.append(f"{each.path}: {NO_OTHER_PHOTO}")
        photos = tuple(str(reference.path) for reference in used)
        self.summary.found.append(
            Found(each.path, output.path, None, "restored", side=max(lr.shape[:2]), references=photos)
        )

    def _restored(self, each: Input, headshot: Image) -> Restoration:
        """The headshot restored from its own pixels, or from those that its detail fills.

        Raises:
            NothingToRestore: it is sharp for its size.
        """
        from hime.restoring.any_size import mixed, restore_any_size

        height, width = headshot.shape[:2]
        if height != width and max(height, width) > AS_IT_IS:
            self.summary.notes.append(
                f"{each.path}: not square ({width}×{height} pixels), so restored from all its pixels as they "
                "are; cut it square to have it restored from those that its detail fills"
            )
        if height != width or height <= AS_IT_IS:
            restored = self._restored_with_others(each, headshot)
            scale = self.restorer.scale
            plain = lanczos(headshot, scale * height, scale * width)
            return replace(restored, image=mixed(plain, restored.image, self.choice.strength))
        found = restore_any_size(
            headshot,
            self.restorer,
            at_least=self.restorer.scale * height,
            even_sharp=self.choice.even_sharp,
            strength=self.choice.strength,
        )
        if not found.passes:
            raise NothingToRestore(
                f"is sharp for its size ({height} pixels); restore it all the same with --even-sharp"
            )
        return found

    def _restored_with_others(self, each: Input, headshot: Image) -> Restoration:
        """The headshot restored from its own pixels, in one call with those of its size that come next."""
        self._ahead.pop(each.path, None)
        ready = self._ready.pop(each.path, None)
        if ready is not None and np.array_equal(ready[0], headshot):
            return ready[1]
        together = {each.path: headshot, **dict(self._next(each, headshot))}
        if len(together) == 1:
            return self.restorer.restore(headshot)
        try:
            found = self.restorer.restore_together(list(together.values()), [None] * len(together))
        except Exception:  # perhaps another one's, which is told in its turn, or too many for the memory
            log.debug("%s and %d more in one call", each.path, len(together) - 1, exc_info=True)
            return self.restorer.restore(headshot)
        place = self._places[each.path]
        self._ready = {path: kept for path, kept in self._ready.items() if self._places[path] > place}
        self._ahead = {path: kept for path, kept in self._ahead.items() if self._places[path] > place}
        for (path, lr), restoration in zip(together.items(), found, strict=True):
            self._ready[path] = lr, restoration
        return self._ready.pop(each.path)[1]

    def _next(self, each: Input, headshot: Image) -> Iterator[tuple[Path, Image]]:
        """What comes after an input, of its size and with the same references."""
        if self._set != list(self.references) or max(headshot.shape[:2]) > AS_IT_IS:
            return
        place = self._places.get(each.path)
        if place is None:
            return
        known = {reference.content for reference in self.references}
        for other in islice(self.coming, place + 1, place + TOGETHER):
            if other.path in self._ready:
                continue
            try:
                lr = self._read_ahead(other.path)
                is_alike = lr is not None and lr.shape == headshot.shape and digest(other.path) not in known
            except Exception:
                continue  # told of in its turn
            if lr is not None and is_alike:
                yield other.path, lr

    def _read_ahead(self, path: Path) -> Image | None:
        """A headshot that is yet to come, read once however many look at it; None if it is no small one."""
        if path not in self._ahead:
            self._ahead[path] = None
            lr = read_image(path)
            self._ahead[path] = lr if max(lr.shape[:2]) <= AS_IT_IS else None
        return self._ahead[path]

    def _explained(
        self, source: Path, output: Path, lr: Image, restored: Restoration, used: Sequence[HeadshotReference]
    ) -> dict[str, Any]:
        return {
            "input": str(source),
            "output": str(output),
            "model": self.restorer.name,
            "fidelity": self.restorer.fidelity,
            "strength": self.choice.strength,
            "scale": self.restorer.scale,
            "lr": list(lr.shape[:2]),
            "hr": list(restored.image.shape[:2]),
            "passes": list(getattr(restored, "passes", lr.shape[:1])),
            "references": [
                {"file": str(reference.path), "share": round(share, 4)}
                for reference, share in zip(used, restored.shares, strict=True)
            ],
        }
