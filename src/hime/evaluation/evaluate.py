"""One method over one evaluation list, with the bicubic baseline beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from hime.errors import HimeError
from hime.evaluation.metrics import psnr, ssim
from hime.images import Image, downscale, read_target, upscale
from hime.people import ListEntry
from hime.progress import track

References = int | Literal["blank", "wrong"]
"""How many references of the list a method gets; or as many as the list has, but mid-grey (``"blank"``), or
photos of another person (``"wrong"``)."""

BASELINE = "bicubic"
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
        """By how much the sides grow."""
        ...

    def set_references(self, images: Sequence[Image]) -> None:
        """Take these photos, uint8 of the target's size, as the person's; there may be none."""
        ...

    def restore(self, lr: Image) -> Restored:
        """Restore one headshot, uint8 H×W×3."""
        ...


def evaluate(
    method: Method,
    data_root: Path | str,
    entries: Sequence[ListEntry],
    *,
    lr_size: int,
    list_name: str,
    references: References = 3,
) -> dict[str, Any]:
    """Restore every input of a list and compare it with its photo.

    The target is the square photo at ``lr_size`` × scale (reduced by area if it is larger), the LR input its
    `downscale`. References are brought to the target's size in the same way.

    Args:
        method: a restorer.
        data_root: people folder below which the list's paths lie.
        entries: the list.
        lr_size: side of the LR inputs in pixels.
        list_name: what the result calls the list.
        references: see `References`; of a number, the first so many of each entry.

    Returns:
        What `hime evaluate --out` writes, ready for JSON: ``model``, ``list``, ``scale``, ``lr_size``,
        ``references``, ``images`` (how many were measured), ``methods`` (``bicubic`` and the method's name,
        each ``{"psnr", "ssim"}``, means over images), ``per_image`` (``input``, ``references``, ``shares``
        and the figures of each method) and ``failed`` (``input`` and ``error`` of entries whose files could
        not be used; the others are measured all the same). PSNR is null where an image equals its target,
        and so is a mean over such an image or over none.

    Raises:
        HimeError: the list is empty or does not have the references asked for.
    """
    if not entries:
        raise HimeError(f"{list_name}: no entry in it; make lists with `hime make-list`")
    if method.name == BASELINE:
        raise HimeError(f"a method cannot be named {BASELINE}; give the model another name")
    chosen = [_references_of(number, entries, references, list_name) for number in range(len(entries))]
    root, size = Path(data_root), lr_size * method.scale
    per_image: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for entry, names in track(list(zip(entries, chosen, strict=True)), method.name):
        try:
            truth = read_target(root / entry.input, size)
            photos = [read_target(root / name, size) for name in names]
            if references == "blank":
                photos = [np.full_like(truth, MID_GREY) for _ in entry.references]
            lr = downscale(truth, method.scale)
            method.set_references(photos)
            try:
                restored = method.restore(lr)
            except HimeError as error:
                raise HimeError(f"{root / entry.input}: {error}") from error
            measured = {
                BASELINE: _measure(upscale(lr, method.scale), truth),
                method.name: _measure(restored.image, truth),
            }
        except HimeError as error:
            failed.append({"input": entry.input, "error": str(error)})
            continue
        shares = [round(float(share), 4) for share in restored.shares]
        per_image.append({"input": entry.input, "references": names, "shares": shares, **measured})
    methods = {
        name: {metric: _mean([image[name][metric] for image in per_image]) for metric in ("psnr", "ssim")}
        for name in (BASELINE, method.name)
    }
    for image in per_image:
        for name in methods:
            image[name] = {metric: _number(value) for metric, value in image[name].items()}
    return {
        "model": method.name,
        "list": list_name,
        "scale": method.scale,
        "lr_size": lr_size,
        "references": references,
        "images": len(per_image),
        "methods": methods,
        "per_image": per_image,
        "failed": failed,
    }


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


def format_table(result: dict[str, Any]) -> str:
    """The result of `evaluate` as lines of text: a heading, a line a method, and the entries that failed."""
    lr_size, target = result["lr_size"], result["lr_size"] * result["scale"]
    references = result["references"]
    width = max(len(name) for name in result["methods"])
    lines = [
        f"{result['list']}: {result['images']} images, {lr_size}→{target}, "
        f"{references} reference{'' if references == 1 else 's'}",
        f"{'':{width}}  {'PSNR':>7}  {'SSIM':>6}",
    ]
    for name, figures in result["methods"].items():
        psnr_text, ssim_text = (
            "–" if value is None else f"{value:.{digits}f}"
            for value, digits in ((figures["psnr"], 3), (figures["ssim"], 4))
        )
        lines.append(f"{name:{width}}  {psnr_text:>7}  {ssim_text:>6}")
    if result["failed"]:
        lines.append(f"{len(result['failed'])} failed:")
        lines += [f"  {failure['error']}" for failure in result["failed"]]
    return "\n".join(lines)


def _references_of(
    number: int, entries: Sequence[ListEntry], references: References, list_name: str
) -> list[str]:
    """Photos that entry ``number`` is restored with; for ``"blank"`` none are read."""
    entry = entries[number]
    if references == "blank":
        return []
    if references == "wrong":
        following = [*entries[number + 1 :], *entries[:number]]
        count = len(entry.references)
        for other in following:
            if other.person != entry.person and len(other.references) >= count:
                return list(other.references[:count])
        raise HimeError(
            f"{list_name}: nobody but {entry.person} has {count} references to take for wrong ones; "
            "use a list of two people or more"
        )
    if not 0 <= references <= len(entry.references):
        raise HimeError(
            f"{list_name}: {entry.input} has {len(entry.references)} references, not {references}; "
            "make a list with more, or ask for fewer"
        )
    return list(entry.references[:references])


def _measure(image: Image, truth: Image) -> dict[str, float]:
    return {"psnr": psnr(image, truth), "ssim": ssim(image, truth)}


def _mean(values: Sequence[float]) -> float | None:
    return _number(sum(values) / len(values)) if values else None


def _number(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None  # JSON has no infinity
