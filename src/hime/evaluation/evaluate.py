"""One or more methods over one evaluation list, with the bicubic baseline beside them.

The result is what `hime evaluate --out` writes after ``provenance``, ready for JSON; METRIC is each of the
measures':

- ``model`` and ``models``: the first method's name, and all of them.
- ``list``, ``scale``, ``lr_size``, ``references``, ``luminance`` (of PSNR and SSIM),
  ``degradation`` (``bicubic``, or what was given).
- ``images`` and ``people``: how many were measured.
- ``methods``: ``{METHOD: {METRIC: mean over images}}``, METHOD being ``bicubic`` and each name.
- ``intervals``: ``{METHOD: {METRIC: [low, high]}}``, 95 % by `PeopleBootstrap`.
- ``differences``: ``[{"method", "minus", "mean": {METRIC: …}, "interval": {METRIC: [low, high]}}]``
  of each method to bicubic, and of each further method to the first.
- ``truth``: ``{"identity_references": …}`` of the photos themselves, where that is measured.
- ``no_face``: in how many photos no face was found, where identity is measured.
- ``per_image``: ``input``, ``references``, ``shares`` (of the first method) and ``{METRIC: value}``
  for each METHOD.
- ``failed``: ``input`` and ``error`` of entries whose files could not be used; the others are
  measured all the same.

PSNR is null where an image equals its target, and so are a mean over such an image and its interval;
null too are identity where no face is found (left out of the means), a mean over no image, and
intervals of fewer than two people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from hime.data.people import ListEntry
from hime.errors import HimeError
from hime.evaluation.averages import of_the_photos, rounded, summarise
from hime.evaluation.measures import Figures, Measure, Sample, available_measures
from hime.evaluation.sheet import Sheet
from hime.pictures.arrays import Image, downscale, upscale
from hime.pictures.reading import read_target
from hime.restoring.any_size import AnySizeRestoration
from hime.terminal import track

References = int | Literal["blank", "wrong"]
"""How many references of the list a method gets; or as many as the list has, but mid-grey (``"blank"``), or
photos of another person (``"wrong"``)."""

BASELINE = "bicubic"
GIVEN = "given"
"""In the place of the baseline where inputs have the truth's size: the input itself."""
TRUTH = "truth"
TAKEN = (BASELINE, GIVEN, TRUTH, "input", "references", "shares", "passes")
"""What else stands beside the methods' figures in ``per_image``, so that no method can be named so."""
MID_GREY = 128


class Restored(Protocol):
    """What a method gives back: `hime.Restoration` is one."""

    @property
    def image(self) -> Image:
        """The picture, uint8 sH×sW×3."""
        ...

    @property
    def shares(self) -> Sequence[float]:
        """The share of each reference in it."""
        ...


class Method(Protocol):
    """What can be evaluated: `hime.Restorer` is one, whatever runs its model."""

    @property
    def name(self) -> str:
        """The key of its figures in the result."""
        ...

    @property
    def scale(self) -> int:
        """By how much the sides grow; 1: inputs have the truth's size."""
        ...

    def set_references(self, images: Sequence[Image]) -> None:
        """Take these photos, uint8 of the target's size, as the person's; there may be none."""
        ...

    def restore(self, lr: Image) -> Restored:
        """Restore one headshot, uint8 H×W×3."""
        ...


class Degradation(Protocol):
    """How LR inputs come about: `hime.evaluation.degradation.Realistic` is one. ``str()`` is its name."""

    def __call__(self, truth: Image, scale: int, number: int) -> Image:
        """The LR input, uint8 H×W×3, of the list's entry ``number`` with this truth, uint8 sH×sW×3."""
        ...


@dataclass
class Variant:
    """A method under another name, that gets the first ``references`` of the references at most, from the one
    of the number ``first`` on, counted from 0.
    """

    method: Method
    name: str
    references: int | None = None
    first: int = 0

    @property
    def scale(self) -> int:
        """The method's."""
        return self.method.scale

    def set_references(self, images: Sequence[Image]) -> None:
        """Take those; none where there are fewer."""
        self.method.set_references(images[self.first :][: self.references])

    def restore(self, lr: Image) -> Restored:
        """As the method does."""
        return self.method.restore(lr)


def evaluate(
    methods: Sequence[Method],
    data_root: Path | str,
    entries: Sequence[ListEntry],
    *,
    lr_size: int,
    list_name: str,
    references: References = 3,
    degradation: Degradation | None = None,
    measures: Sequence[Measure] | None = None,
    sheet: Sheet | None = None,
) -> dict[str, Any]:
    """Restore every input of a list by every method and compare with its photo.

    The target is the square photo at ``lr_size`` × scale (reduced by area if it is larger), the LR input its
    `downscale`. References are brought to the target's size in the same way.

    Args:
        methods: restorers of one scale, with different names.
        data_root: people folder below which the list's paths lie.
        entries: the list.
        lr_size: side of the LR inputs in pixels.
        list_name: what the result calls the list.
        references: see `References`; of a number, the first so many of each entry.
        degradation: how the LR inputs come about; None: bicubic, as in the paper.
        measures: what is measured; by default everything that can be.
        sheet: gets a row for each input that it shows.

    Returns:
        The result as above.

    Raises:
        HimeError: the list is empty or does not have the references asked for; methods have one name, or
            different scales.
    """
    root = Path(data_root)
    evaluation = Evaluation(methods, root, entries, lr_size, list_name, references, degradation, measures)
    return evaluation.run(sheet)


@dataclass(frozen=True)
class Measured:
    """What was measured on one entry of a list.

    Attributes:
        image: ``input``, ``references``, ``shares`` and ``{METRIC: value}`` for each method.
        truth: the figures of the photo itself.
    """

    image: dict[str, Any]
    truth: Figures


class Evaluation:
    """Methods over a list, entry by entry; the parameters are those of `evaluate`.

    Raises:
        HimeError: as `evaluate`.
    """

    def __init__(
        self,
        methods: Sequence[Method],
        root: Path,
        entries: Sequence[ListEntry],
        lr_size: int,
        list_name: str,
        references: References = 3,
        degradation: Degradation | None = None,
        measures: Sequence[Measure] | None = None,
    ) -> None:
        if not entries:
            raise HimeError(f"{list_name}: no entry in it; make lists with `hime make-list`")
        self.names = check_methods(methods)
        self.entries = entries
        self._methods, self._root, self._list_name = methods, root, list_name
        self._lr_size, self._references, self._degradation = lr_size, references, degradation
        self._scale = methods[0].scale
        self._baseline = baseline_of(self._scale)
        self._measures = available_measures()[0] if measures is None else measures
        self._chosen = choose_references(entries, references, list_name)

    @property
    def metrics(self) -> list[str]:
        """What is measured."""
        return [metric for measure in self._measures for metric in measure.metrics]

    def reads(self, number: int) -> list[Path]:
        """The files that an entry's figures are made of: its photo and references, and whose it gets else."""
        entry = self.entries[number]
        names = dict.fromkeys((entry.input, *entry.references, *self._chosen[number]))
        return [self._root / name for name in names]

    def run(self, sheet: Sheet | None = None) -> dict[str, Any]:
        """Measure every entry, one by one; what `evaluate` returns."""
        measured: list[Measured] = []
        failed: list[dict[str, str]] = []
        for number, entry in enumerate(track(self.entries, "evaluate")):
            try:
                measured.append(self.measure(number, sheet))
            except HimeError as error:
                failed.append({"input": entry.input, "error": self.told(number, error)})
        return self.result(measured, failed)

    def told(self, number: int, error: HimeError) -> str:
        """What is wrong with an entry; of its files PERSON/FILE, since results are shown to others."""
        text = str(error)
        for path in self.reads(number):
            text = text.replace(str(path), f"{path.parent.name}/{path.name}")
        return text

    def measure(self, number: int, sheet: Sheet | None = None) -> Measured:
        """Restore an input by every method and measure.

        Args:
            number: of the entry.
            sheet: gets a row, if it shows the entry.

        Raises:
            HimeError: a file of it cannot be used.
        """
        entry, scale, root = self.entries[number], self._scale, self._root
        paths = [root / name for name in (entry.input, *self._chosen[number])]
        truth, *photos = (read_target(path, self._lr_size * scale) for path in paths)
        if self._references == "blank":
            photos = [np.full_like(truth, MID_GREY) for _ in entry.references]
        damage = self._degradation
        lr = downscale(truth, scale) if damage is None else damage(truth, scale, number)
        restored = _restore(self._methods, lr, photos, root / entry.input)
        pictures = {self._baseline: upscale(lr, scale)}
        pictures |= {name: each.image for name, each in zip(self.names, restored, strict=True)}
        sample = Sample(truth, tuple(root / name for name in entry.references), root / entry.input)
        figures = _measure(self._measures, {**pictures, TRUTH: truth}, sample)
        of_truth = figures.pop(TRUTH)
        if sheet is not None and sheet.shows(number):
            shown = {name: image for name, image in pictures.items() if scale > 1 or name != self._baseline}
            sheet.add(entry.input, lr, shown, figures, truth, photos)  # the baseline at ×1 is the input
        image = {"input": entry.input, **_uses(self._chosen[number], self.names, restored), **figures}
        return Measured(image, of_truth)

    def result(self, measured: Sequence[Measured], failed: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """What `evaluate` returns.

        Args:
            measured: of the entries that were, in the list's order.
            failed: ``input`` and ``error`` of the others.
        """
        per_image = [each.image for each in measured]
        metrics = self.metrics
        return {
            "model": self.names[0],
            "models": self.names,
            "list": self._list_name,
            "scale": self._scale,
            "lr_size": self._lr_size,
            "references": self._references,
            "degradation": BASELINE if self._degradation is None else str(self._degradation),
            "luminance": any(getattr(measure, "luminance", False) for measure in self._measures),
            **summarise(self.names, self._baseline, metrics, per_image),
            **(of_the_photos([each.truth for each in measured]) if "identity" in metrics else {}),
            "per_image": [rounded(image, (self._baseline, *self.names)) for image in per_image],
            "failed": list(failed),
        }


def baseline_of(scale: int) -> str:
    """What methods of that scale are compared with: the input enlarged, or as it is."""
    return GIVEN if scale == 1 else BASELINE


def check_methods(methods: Sequence[Method]) -> list[str]:
    """The names of methods that can be compared.

    Raises:
        HimeError: there is none, two have one name, one has a name that is taken, or scales differ.
    """
    if not methods:
        raise HimeError("nothing to evaluate; give a model")
    names = [method.name for method in methods]
    check_names(names)
    if len({method.scale for method in methods}) > 1:
        told = ", ".join(f"{method.name} ×{method.scale}" for method in methods)
        raise HimeError(f"models of one scale can be compared, not {told}")
    return names


def check_names(names: Sequence[str]) -> None:
    """Refuse methods that results could not tell apart.

    Raises:
        HimeError: two have one name, or one has a name that is taken.
    """
    for name in names:
        if name in TAKEN:
            raise HimeError(f"a method cannot be named {name}; give the model another name")
        if names.count(name) > 1:
            raise HimeError(f"two models are named {name}; give one of them another folder or name")


def parse_references(text: str) -> References:
    """Read the argument of ``--references``.

    Raises:
        HimeError: neither a number from 0 up nor ``blank`` nor ``wrong``.
    """
    if text == "blank":
        return "blank"
    if text == "wrong":
        return "wrong"
    if text.isdecimal():
        return int(text)
    raise HimeError(f"references are a number from 0 up, blank or wrong, not {text!r}")


def choose_references(
    entries: Sequence[ListEntry], references: References, list_name: str
) -> list[list[str]]:
    """The photos that each entry of a list is restored with.

    Raises:
        HimeError: an entry does not have the references asked for.
    """
    return [_references_of(number, entries, references, list_name) for number in range(len(entries))]


def _references_of(
    number: int, entries: Sequence[ListEntry], references: References, list_name: str
) -> list[str]:
    """Photos that entry ``number`` is restored with; for ``"blank"`` none are read."""
    entry = entries[number]
    if references == "blank":
        return []
    if references == "wrong":
        return wrong_references(number, entries, list_name)
    if not 0 <= references <= len(entry.references):
        raise HimeError(
            f"{list_name}: {entry.input} has {len(entry.references)} references, not {references}; "
            "make a list with more, or ask for fewer"
        )
    return list(entry.references[:references])


def wrong_references(number: int, entries: Sequence[ListEntry], list_name: str) -> list[str]:
    """As many references as entry ``number`` has, of the next entry of another person who has that many.

    Raises:
        HimeError: nobody else has.
    """
    entry = entries[number]
    count = len(entry.references)
    for other in (*entries[number + 1 :], *entries[:number]):
        if other.person != entry.person and len(other.references) >= count:
            return list(other.references[:count])
    raise HimeError(
        f"{list_name}: nobody but {entry.person} has {count} references to take for wrong ones; "
        "use a list of two people or more"
    )


def _restore(methods: Sequence[Method], lr: Image, photos: Sequence[Image], path: Path) -> list[Restored]:
    """What each method makes of an input."""
    restored = []
    for method in methods:
        method.set_references(photos)
        try:
            restored.append(method.restore(lr))
        except HimeError as error:
            raise HimeError(f"{path}: {error}") from error
    return restored


def _uses(references: Sequence[str], names: Sequence[str], restored: Sequence[Restored]) -> dict[str, Any]:
    """The references, their shares in the first method's picture, the passes of those that make several."""
    passes = {
        name: list(each.passes)
        for name, each in zip(names, restored, strict=True)
        if isinstance(each, AnySizeRestoration)
    }
    shares = [round(float(share), 4) for share in restored[0].shares]
    used: dict[str, Any] = {"references": list(references), "shares": shares}
    return {**used, "passes": passes} if passes else used


def _measure(measures: Sequence[Measure], pictures: dict[str, Image], sample: Sample) -> dict[str, Figures]:
    """The figures of each picture by all measures."""
    figures: dict[str, Figures] = {name: {} for name in pictures}
    for measure in measures:
        for name, found in zip(pictures, measure(list(pictures.values()), sample), strict=True):
            figures[name] |= found
    return figures
