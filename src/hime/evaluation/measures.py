"""What is measured of a restored picture. Which measures there are depends on what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from hime import faces
from hime.errors import HimeError, how_to_install
from hime.evaluation.metrics import psnr, ssim
from hime.pictures.arrays import FloatArray, Image
from hime.pictures.reading import read_target

Figures = dict[str, float | None]
"""Metric → value; None where it cannot be measured."""


@dataclass(frozen=True)
class Sample:
    """What pictures are compared with.

    Attributes:
        truth: the photo, uint8 sH×sW×3.
        references: files of the person's other photos: all of the list, however many the methods get.
        file: the photo's, where it has one.
    """

    truth: Image
    references: tuple[Path, ...]
    file: Path | None = None


class Measure(Protocol):
    """One or more metrics."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Their names."""
        ...

    def __call__(self, images: Sequence[Image], sample: Sample) -> list[Figures]:
        """The figures of each of ``images``, uint8 of the truth's size."""
        ...


class Distortion:
    """``psnr`` and ``ssim``: how far the values are from the truth's.

    Args:
        luminance: compare luminance only, see `hime.evaluation.metrics`.
    """

    metrics = ("psnr", "ssim")

    def __init__(self, luminance: bool = False) -> None:
        self.luminance = luminance

    def __call__(self, images: Sequence[Image], sample: Sample) -> list[Figures]:
        """The figures of each image."""
        return [
            {
                "psnr": psnr(image, sample.truth, luminance=self.luminance),
                "ssim": ssim(image, sample.truth, luminance=self.luminance),
            }
            for image in images
        ]


class Perception:
    """``lpips`` (AlexNet) and ``lpips_squeeze`` (SqueezeNet): how different it looks; none below 32 pixels.

    Raises:
        ModuleNotFoundError: PyTorch or torchmetrics is missing.
        HimeError: the weights of a backbone are.
    """

    metrics = ("lpips", "lpips_squeeze")

    def __init__(self) -> None:
        from hime.losses.lpips import LPIPS, MINIMUM_SIDE

        self._minimum_side = MINIMUM_SIDE
        self._networks = {"lpips": LPIPS("alex"), "lpips_squeeze": LPIPS("squeeze")}

    def __call__(self, images: Sequence[Image], sample: Sample) -> list[Figures]:
        """The figures of each image."""
        if min(sample.truth.shape[:2]) < self._minimum_side:
            return [dict.fromkeys(self.metrics) for _ in images]
        distances = [network(images, sample.truth) for network in self._networks.values()]
        return [dict(zip(self._networks, pair, strict=True)) for pair in zip(*distances, strict=True)]


class Identity:
    """``identity`` and ``identity_references``: how alike the face is to the truth's and to the references'.

    Cosines of SFace embeddings; to the references, the mean over them. The landmarks are found in the truth
    and serve for all pictures of it, so that all are aligned alike and a blurry one is no failure. Where no
    face is found in the truth, both are None; references without one are left out.

    Raises:
        HimeError: the extra ``faces`` is not installed.
    """

    metrics = ("identity", "identity_references")

    def __init__(self) -> None:
        faces.require()
        self._known: dict[tuple[Path, int], FloatArray | None] = {}

    def __call__(self, images: Sequence[Image], sample: Sample) -> list[Figures]:
        """The figures of each image."""
        found = faces.detect(sample.truth)
        if not found:
            return [dict.fromkeys(self.metrics) for _ in images]
        landmarks = found[0].landmarks
        own = faces.embed(sample.truth, landmarks)
        size = len(sample.truth)
        others = [other for path in sample.references if (other := self._of_file(path, size)) is not None]
        figures: list[Figures] = []
        for image in images:
            vector = faces.embed(image, landmarks)
            to_others = [faces.similarity(vector, other) for other in others]
            figures.append(
                {
                    "identity": faces.similarity(vector, own),
                    "identity_references": float(np.mean(to_others)) if to_others else None,
                }
            )
        return figures

    def _of_file(self, path: Path, size: int) -> FloatArray | None:
        """The embedding of the largest face in a photo; each photo is embedded once."""
        key = (path, size)
        if key not in self._known:
            image = read_target(path, size)
            found = faces.detect(image)
            self._known[key] = faces.embed(image, found[0].landmarks) if found else None
        return self._known[key]


def available_measures(luminance: bool = False) -> tuple[list[Measure], list[str]]:
    """Every measure that can be taken here, and a line for each that cannot: what is missing, the remedy.

    Args:
        luminance: PSNR and SSIM on luminance only.
    """
    measures: list[Measure] = [Distortion(luminance)]
    missing = []
    try:
        measures.append(Perception())
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        missing.append(f"LPIPS is not measured: {package} is not installed: {how_to_install('train')}")
    except HimeError as error:
        missing.append(f"LPIPS is not measured: {error}")
    try:
        measures.append(Identity())
    except HimeError as error:
        missing.append(f"identity is not measured: {error}")
    return measures, missing
