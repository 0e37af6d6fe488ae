"""The restorer: set the references once, restore many headshots. Needs ONNX Runtime, never PyTorch.

    import hime
    restorer = hime.load("small-x4")
    restorer.set_references([photo, other_photo])   # uint8 H×W×3, any size
    restored = restorer.restore(headshot)           # uint8 H×W×3, sides ≥ 8
    restored.image, restored.shares

A perception-oriented model has a dial: its card names a reconstruction model of the same scale, and with
``fidelity`` f the picture is (1 − f) · its own + f · the reconstruction model's. At 0 and at 1 only one of
the two runs, between them both.

    restorer = hime.load("small-x4-p", fidelity=0.5)
    restorer.fidelity = 0.8

Shapes: ``N`` references, ``F`` feature channels, ``H W`` LR size, ``s`` scale.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from hime.errors import HimeError
from hime.pictures.arrays import FloatArray, Image, check_image, from_planes, resize, to_planes
from hime.restoring.card import read_card
from hime.restoring.devices import PROCESSOR
from hime.restoring.exported import (
    DEFAULT_MODEL,
    Backend,
    OnnxBackend,
    available_models,
    find_model,
)
from hime.restoring.hue import keep_hue

MINIMUM_SIDE = 8
"""Smallest LR side in pixels: below it the model has nothing to align with."""
CACHED_FEATURES = 4
"""Sets of reference features, each of one model and LR size, that are kept; the least recently used goes
first."""
TOGETHER = 1 << 16
"""Pixels that go through a model in one call, of headshots and of their references: 16 headshots of 32×32
with three references. A single larger headshot goes all the same."""


@runtime_checkable
class Encoded(Protocol):
    """A reference of which only the features are there (`hime.restoring.person`)."""

    def features(self, backend: Backend, height: int, width: int) -> FloatArray:
        """What ``backend`` makes of the reference for LR headshots of that size: F×H×W.

        Raises:
            HimeError: the features are another model's.
        """
        ...


class References:
    """A person's photos; what models see in them is made once for each model and size.

    May be shared by threads.

    Args:
        images: uint8 H×W×3 of any size, the face framed as in the headshot; copied, unless they are
            read-only. A photo of another aspect than the headshot's is cut to it around its middle, then
            resized to s × its size. Or references of a .person file. None restores without.

    Raises:
        HimeError: an array is no such image.
    """

    def __init__(self, images: Sequence[Image | Encoded] = ()) -> None:
        self._images: list[Image | Encoded] = []
        for number, image in enumerate(images, start=1):
            if not isinstance(image, Encoded):
                check_image(image, f"reference {number}")
                image = image.copy() if image.flags.writeable else image
            self._images.append(image)
        self._features: OrderedDict[tuple[Backend, int, int], FloatArray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._images)

    def features(self, backend: Backend, height: int, width: int) -> FloatArray:
        """What ``backend`` makes of the photos for LR headshots of that size: N×F×H×W, made at the first
        call.
        """
        key = (backend, height, width)
        with self._lock:
            if key not in self._features:
                self._features[key] = self._encode(backend, height, width)
                if len(self._features) > CACHED_FEATURES:
                    self._features.popitem(last=False)
            self._features.move_to_end(key)
            return self._features[key]

    def _encode(self, backend: Backend, height: int, width: int) -> FloatArray:
        if not self._images:
            return np.zeros((0, int(backend.card["feature_channels"]), height, width), np.float32)
        scale = int(backend.card["scale"])
        images = [image for image in self._images if isinstance(image, np.ndarray)]
        planes = [
            to_planes(resize(centre_crop(image, height, width), scale * height, scale * width))
            for image in images
        ]
        encoded = iter(backend.encode(np.concatenate(planes)) if planes else ())
        return np.stack(
            [
                next(encoded) if isinstance(image, np.ndarray) else image.features(backend, height, width)
                for image in self._images
            ]
        )


@dataclass(frozen=True)
class Restoration:
    """What came out of one headshot.

    Attributes:
        image: uint8 sH×sW×3, sRGB.
        scores: for each reference, in the order they were set, its weight in every place: float32
            H×W in [0, 1]. Over all references they sum to at most 1; the rest went to none of them. Between
            the ends of a dial they are mixed as the pictures are.
        shares: the mean of each score map.
    """

    image: Image
    scores: list[FloatArray]
    shares: list[float]


def load(
    name_or_path: str | Path = DEFAULT_MODEL,
    threads: int | None = None,
    fidelity: float | None = None,
    device: str = PROCESSOR,
) -> Restorer:
    """Open a model by its name (`available_models`), its folder, or where it lies on the Hub.

    Args:
        name_or_path: ``"small-x4"``; or a folder that `hime export` wrote, or one of the files in it; or
            ``"hf:OWNER/NAME@REVISION"``, a repository of the Hugging Face Hub that holds such a folder
            (extra ``hub``; fetched once, see `hime.restoring.hub`).
        threads: processor threads for one picture; all cores this process may use by default.
        fidelity: see `Restorer.fidelity`; the model's own choice by default.
        device: ``"cpu"``; ``"openvino"``, which is faster and less exact where the processor has bfloat16
            (extra ``openvino``); or ``"cuda"``, ``"coreml"``, ``"directml"``, which need another build of
            ONNX Runtime (`hime.restoring.devices`).

    Raises:
        HimeError: no such model, it cannot be fetched, its files are missing, damaged or of another format,
            the device is not installed or makes something else of it, or as for setting `Restorer.fidelity`.
    """
    return Restorer(OnnxBackend(find_model(name_or_path), threads, device), fidelity)


def check_fidelity(fidelity: object) -> None:
    """Refuse what is no place on the dial."""
    _check_share("fidelity", fidelity)


def check_strength(strength: object) -> None:
    """Refuse what is no share of a restoration, see `hime.restoring.any_size.mixed`."""
    _check_share("strength", strength)


def _check_share(name: str, value: object) -> None:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) <= 1:  # also NaN
        raise HimeError(f"{name} must be from 0 to 1, not {_shown(value)}")


def check_count(name: str, value: object) -> None:
    """Refuse what is no whole number from 1 up."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise HimeError(f"{name} must be a whole number from 1 up, not {_shown(value)}")


def check_only_person(name: object) -> None:
    """Refuse what is no name of the person asked for; None asks for nobody."""
    if name is not None and not isinstance(name, str):
        raise HimeError(f"only_person must be a name, not {type(name).__name__}")


def check_restorer(restorer: object) -> None:
    """Refuse what is no `Restorer`.

    Raises:
        HimeError: it is something else; the message says what gives one.
    """
    if not isinstance(restorer, Restorer):
        raise HimeError(f"the restorer must be what `hime.load` gives, not {type(restorer).__name__}")


def _shown(value: object) -> str:
    return str(value) if isinstance(value, Real) else type(value).__name__


class Restorer:
    """Restores headshots of one person at a time; the person's photos are encoded once.

    Where a dial stands between its ends, both models restore and their pictures are mixed.

    Several threads may restore with one restorer at the same time. Each picture is made with the references
    and the dial as they are when `restore` is called; threads that work for different people give theirs to
    it (`References`).

    Args:
        backend: a model, see `Backend`; `load` makes one of an exported model.
        fidelity: where to put its dial, see `fidelity`; by default where its card says.

    Raises:
        HimeError: as for setting `fidelity`.
    """

    def __init__(self, backend: Backend, fidelity: float | None = None) -> None:
        self.backend = backend
        self._fidelity: float | None = None
        self._mixture: list[tuple[Backend, float]] = [(backend, 1.0)]
        self._references = References()
        fidelity = backend.card.get("fidelity") if fidelity is None else fidelity
        if fidelity is not None:
            self.fidelity = fidelity

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.backend.card["name"])

    @property
    def scale(self) -> int:
        """By how much the sides grow."""
        return int(self.backend.card["scale"])

    @property
    def card(self) -> dict[str, Any]:
        """The model's card, as `hime info --json` prints it."""
        return self.backend.card

    @property
    def fidelity(self) -> float | None:
        """Where the dial stands: 0 perception-oriented (looks real) … 1 reconstruction (least error); None if
        the model has no dial. May be set; the references stay.

        Raises:
            HimeError: set to what is not in [0, 1], without a dial, or above 0 where the reconstruction model
                is missing; the dial stays where it was.
        """
        return self._fidelity

    @fidelity.setter
    def fidelity(self, fidelity: float) -> None:
        if "fidelity" not in self.card:
            raise HimeError(_without_dial(self.name))
        check_fidelity(fidelity)
        fidelity = float(fidelity)
        reconstruction = self.backend.reconstruction if fidelity > 0 else None
        if reconstruction is None:
            self._mixture = [(self.backend, 1.0)]
        elif fidelity == 1:
            self._mixture = [(reconstruction, 1.0)]
        else:
            self._mixture = [(self.backend, 1 - fidelity), (reconstruction, fidelity)]
        self._fidelity = fidelity

    @property
    def backends(self) -> list[Backend]:
        """The models that the dial, where it stands, needs: one or two."""
        return [backend for backend, _ in self._mixture]

    def set_references(self, images: Sequence[Image | Encoded]) -> None:
        """Take these photos as the person's; an empty list restores without any.

        Args:
            images: see `References`.

        Raises:
            HimeError: an array is no image; the references set before stay.
        """
        self._references = References(images)

    def restore(self, lr: Image, references: References | None = None) -> Restoration:
        """Restore one headshot; one that has a single hue keeps it (`hime.restoring.hue`).

        Args:
            lr: uint8 H×W×3, sRGB, both sides at least 8.
            references: of the person; by default those set.

        Raises:
            HimeError: not such an image, more than the memory holds, or a model that gives no numbers.
        """
        (restoration,) = self.restore_together([lr], [references])
        return restoration

    def restore_together(
        self, headshots: Sequence[Image], references: Sequence[References | None]
    ) -> list[Restoration]:
        """Restore several headshots, of one person or of several, as `restore` would one after another.

        Those of one size that have equally many references go through the model in one call.

        Args:
            headshots: each as for `restore`.
            references: of each likewise.

        Raises:
            HimeError: as `restore`.
        """
        for lr in headshots:
            check_image(lr, "the headshot")
            height, width = lr.shape[:2]
            if min(height, width) < MINIMUM_SIDE:
                raise HimeError(
                    f"the headshot is {width}×{height} pixels; "
                    f"give one of at least {MINIMUM_SIDE}×{MINIMUM_SIDE}"
                )
        own = [self._references if each is None else each for each in references]
        alike: dict[tuple[int, ...], list[int]] = {}
        for place, (lr, photos) in enumerate(zip(headshots, own, strict=True)):
            alike.setdefault((*lr.shape[:2], len(photos)), []).append(place)
        found: dict[int, Restoration] = {}
        for (height, width, count), places in alike.items():
            most = max(1, TOGETHER // (height * width * (count + 1)))
            for start in range(0, len(places), most):
                some = places[start : start + most]
                restored = self._in_one_call([headshots[each] for each in some], [own[each] for each in some])
                found.update(zip(some, restored, strict=True))
        return [found[place] for place in range(len(headshots))]

    def _in_one_call(
        self, headshots: Sequence[Image], references: Sequence[References]
    ) -> Iterator[Restoration]:
        """Restore headshots of one size with equally many references each."""
        height, width = headshots[0].shape[:2]
        planes = np.concatenate([to_planes(lr) for lr in headshots])
        hr: FloatArray = np.zeros((), np.float32)
        scores: FloatArray = np.zeros((), np.float32)
        for backend, share in self._mixture:
            features = np.stack([each.features(backend, height, width) for each in references])
            pictures, weights = backend.restore(planes, features)
            hr, scores = hr + share * pictures, scores + share * weights
        if not (np.isfinite(hr).all() and np.isfinite(scores).all()):
            raise HimeError(f"{self.name}: gives values that are no numbers; train or export it again")
        for lr, picture, maps in zip(headshots, hr, scores, strict=True):
            image = keep_hue(from_planes(picture), lr)
            yield Restoration(image, list(maps), [float(score.mean()) for score in maps])

    def features(self, backend: Backend, height: int, width: int) -> FloatArray:
        """What ``backend``, one of the ends of the dial, makes of the references that are set, see
        `References.features`.
        """
        return self._references.features(backend, height, width)


def _without_dial(name: str) -> str:
    """What to say to who asks a fidelity of this model, with the one to take instead."""
    cards = [read_card(find_model(model)) for model in available_models()]
    dials = [card["name"] for card in cards if card.get("reconstruction") == name]
    remedy = f"use {dials[0]}" if dials else "export a perception-oriented one with --reconstruction"
    return f"{name} has no dial, so it takes no fidelity; {remedy}"


def centre_crop(image: Image, height: int, width: int) -> Image:
    """The largest part of ``image`` around its middle that has the aspect ``height``:``width``."""
    rows, columns = image.shape[:2]
    if columns * height > rows * width:
        kept = max(1, round(rows * width / height))
        left = (columns - kept) // 2
        return image[:, left : left + kept]
    kept = max(1, round(columns * height / width))
    top = (rows - kept) // 2
    return image[top : top + kept]
