"""The restorer: set the references once, restore many headshots. Needs ONNX Runtime, never PyTorch.

    import hime
    restorer = hime.load("small-x4")
    restorer.set_references([photo, other_photo])   # uint8 H×W×3, any size
    restored = restorer.restore(headshot)           # uint8 H×W×3, sides ≥ 8
    restored.image, restored.shares

An exported model is a folder of ``encode.onnx`` (photos → features, once a person), ``restore.onnx``
(headshot and features → picture and score maps), ``weights.bin`` (the weights of both graphs, float32 one
after another) and ``card.json`` (what it is, with the checksums of the three). `hime.export` writes such
folders.

A perception-oriented model has a dial: its card names a reconstruction model of the same scale, and with
``fidelity`` f the picture is (1 − f) · its own + f · the reconstruction model's. At 0 and at 1 only one of
the two runs, between them both.

    restorer = hime.load("small-x4-p", fidelity=0.5)
    restorer.fidelity = 0.8

Shapes: ``N`` references, ``F`` feature channels, ``H W`` LR size, ``s`` scale.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import onnxruntime

from hime.errors import HimeError
from hime.pictures.arrays import Image, check_image, from_planes, resize, to_planes

FloatArray = npt.NDArray[np.float32]

CARD_FORMAT = 2
DEFAULT_MODEL = "small-x4"
"""For headshots that were reduced as the paper's are."""
DEFAULT_PHOTO_MODEL = "small-x4-real-p"
"""For faces as they are found in photographs: small in different ways, noisy and compressed."""
GRAPHS = ("encode.onnx", "restore.onnx")
WEIGHTS = "weights.bin"
FILES = (*GRAPHS, WEIGHTS)
"""What an exported model is made of, beside its card."""
MINIMUM_SIDE = 8
"""Smallest LR side in pixels: below it the model has nothing to align with."""
PRETRAINED = Path(__file__).parent / "pretrained"
CACHED_FEATURES = 4
"""Sets of reference features, each of one model and LR size, that are kept; the least recently used goes
first."""


class Backend(Protocol):
    """What `Restorer` needs of a model, whatever runs it."""

    @property
    def card(self) -> dict[str, Any]:
        """The model's card: at least ``name``, ``scale`` and ``feature_channels``; with a dial, ``fidelity``:
        where it stands if nothing is said.
        """
        ...

    @property
    def reconstruction(self) -> Backend | None:
        """The model at the other end of the dial, opened when first asked for; None without a dial.

        Raises:
            HimeError: it cannot be opened.
        """
        ...

    def encode(self, references: FloatArray) -> FloatArray:
        """Reference features: N×3×sH×sW in [0, 1] → N×F×H×W."""
        ...

    def restore(self, lr: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """1×3×H×W in [0, 1] and N×F×H×W → 1×3×sH×sW in [0, 1] and scores N×1×H×W."""
        ...


@runtime_checkable
class Encoded(Protocol):
    """A reference of which only the features are there (`hime.person`)."""

    def features(self, backend: Backend, height: int, width: int) -> FloatArray:
        """What ``backend`` makes of the reference for LR headshots of that size: F×H×W.

        Raises:
            HimeError: the features are another model's.
        """
        ...


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


def available_models() -> list[str]:
    """Names of the models that come with the package, sorted."""
    return sorted(card.parent.name for card in PRETRAINED.glob("*/card.json"))


def load(
    name_or_path: str | Path = DEFAULT_MODEL, threads: int | None = None, fidelity: float | None = None
) -> Restorer:
    """Open a model by its name (`available_models`) or by the path of an exported folder.

    Args:
        name_or_path: ``"small-x4"``, or a folder that `hime export` wrote, or one of the files in it.
        threads: processor threads for one picture; all cores this process may use by default.
        fidelity: see `Restorer.fidelity`; the model's own choice by default.

    Raises:
        HimeError: no such model, its files are missing, damaged or of another format, or as for setting
            `Restorer.fidelity`.
    """
    return Restorer(OnnxBackend(find_model(name_or_path), threads), fidelity)


def find_model(name_or_path: str | Path) -> Path:
    """The folder of an exported model, by name or path.

    Raises:
        HimeError: there is none; the message lists the names there are.
    """
    if str(name_or_path) in available_models():
        return PRETRAINED / name_or_path
    path = Path(name_or_path)
    if path.is_file() and path.name in (*FILES, "card.json"):
        return path.parent
    if path.is_dir():
        return path
    names = ", ".join(available_models()) or "none"
    problem = "not an exported model" if path.exists() else "no such model"
    raise HimeError(f"{path}: {problem}; give a folder that `hime export` wrote, or one of: {names}")


def check_fidelity(fidelity: float) -> None:
    """Refuse what is no place on the dial."""
    if not 0 <= fidelity <= 1:  # also NaN
        raise HimeError(f"fidelity must be from 0 to 1, not {fidelity}")


def read_card(folder: Path) -> dict[str, Any]:
    """The card of an exported model.

    Raises:
        HimeError: missing, not JSON, of another format or without a field that is needed.
    """
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HimeError(
            f"{folder}: holds no card.json, so it is no exported model; write one with `hime export`"
        ) from None
    except (OSError, ValueError) as error:
        raise HimeError(f"{path}: cannot be read ({error}); export the model again") from error
    if not isinstance(card, dict) or card.get("format") != CARD_FORMAT:
        found = card.get("format") if isinstance(card, dict) else None
        raise HimeError(
            f"{path}: card format {found!r}, this version reads {CARD_FORMAT}; "
            "export the model again or update hime-sr"
        )
    needed = {
        "name": str,
        "scale": int,
        "lr_size": int,
        "feature_channels": int,
        "parameters": int,
        "macs": dict,
        "sha256": dict,
    }
    wrong = [field for field, kind in needed.items() if not isinstance(card.get(field), kind)]
    if "macs" not in wrong:
        counts = ("lr", "references", "total", "encode_per_reference", "restore")
        wrong += [f"macs.{field}" for field in counts if field not in card["macs"]]
    if "reconstruction" in card or "fidelity" in card:
        named, placed = isinstance(card.get("reconstruction"), str), isinstance(card.get("fidelity"), float)
        wrong += [] if named else ["the name of its reconstruction model"]
        wrong += [] if placed else ["fidelity"]
    if wrong:
        raise HimeError(f"{path}: lacks {', '.join(wrong)}; export the model again")
    return card


def read_checked(folder: Path, card: dict[str, Any], file: str) -> bytes:
    """A file of an exported model, if it is as its card says it must be.

    Raises:
        HimeError: it cannot be read, or differs from the checksum in the card.
    """
    path, remedy = folder / file, "export the model again or reinstall hime-sr"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HimeError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    if hashlib.sha256(content).hexdigest() != card["sha256"].get(file):
        raise HimeError(f"{path}: differs from the checksum in card.json; {remedy}")
    return content


def usable_threads() -> int:
    """Processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class OnnxBackend:
    """An exported model in ONNX Runtime, on the processor.

    Every file is compared with its checksum in the card before it is used.

    Args:
        folder: what `hime export` wrote.
        threads: threads for one picture; default the cores that this process may use.

    Raises:
        HimeError: a file is missing, damaged or of another format.
    """

    def __init__(self, folder: str | Path, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise HimeError(f"threads must be at least 1, not {threads}")
        self.folder = Path(folder)
        self.card = read_card(self.folder)
        self.threads = threads or usable_threads()
        weights = read_checked(self.folder, self.card, WEIGHTS)
        # Between two operators the threads of `restore`, which a live video runs all the time, wait awake
        # (a fourth faster); those of `encode`, once a person, sleep: both awake would fight for the cores. So
        # would those of the dial's two ends, which therefore go to sleep when a picture is done.
        self._encode = self._open(GRAPHS[0], weights, spinning=False)
        self._restore = self._open(GRAPHS[1], weights, spinning=True)

    @functools.cached_property
    def reconstruction(self) -> OnnxBackend | None:
        """The model at the other end of the dial, opened when first asked for; None without a dial.

        It is looked for beside this one, then among those that come with the package.

        Raises:
            HimeError: it is not there, cannot be opened, or does not fit.
        """
        if "reconstruction" not in self.card:
            return None
        own, name = self.card["name"], self.card["reconstruction"]
        places = [folder / name for folder in (self.folder.resolve().parent, PRETRAINED)]
        folder = next((place for place in places if (place / "card.json").is_file()), None)
        if folder is None:
            raise HimeError(
                f"{own}: a fidelity above 0 needs its reconstruction model, {name}, which is not there; "
                f"put that into {places[0]}"
            )
        other = OnnxBackend(folder, self.threads)
        if "reconstruction" in other.card:
            raise HimeError(f"{own}: {folder} cannot be its reconstruction model, since it has a dial itself")
        if other.card["scale"] != self.card["scale"]:
            raise HimeError(
                f"{own}: {folder} cannot be its reconstruction model, since it enlarges "
                f"×{other.card['scale']}, not ×{self.card['scale']}"
            )
        return other

    def _open(self, file: str, weights: bytes, *, spinning: bool) -> onnxruntime.InferenceSession:
        graph = read_checked(self.folder, self.card, file)
        options = onnxruntime.SessionOptions()
        options.add_external_initializers_from_files_in_memory([WEIGHTS], [weights], [len(weights)])
        options.intra_op_num_threads = self.threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 4  # what goes wrong comes as an exception, and is told once
        try:
            return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            reason = str(error).splitlines()[0]
            raise HimeError(
                f"{self.folder / file}: ONNX Runtime cannot load it ({reason}); update onnxruntime"
            ) from error

    def encode(self, references: FloatArray) -> FloatArray:
        """Reference features: N×3×sH×sW in [0, 1] → N×F×H×W."""
        (features,) = self._run(self._encode, {"references": references})
        return features

    def restore(self, lr: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """1×3×H×W in [0, 1] and N×F×H×W → 1×3×sH×sW in [0, 1] and scores N×1×H×W."""
        hr, scores = self._run(self._restore, {"lr": lr, "features": features})
        return hr, scores

    def _run(self, session: onnxruntime.InferenceSession, inputs: dict[str, FloatArray]) -> list[FloatArray]:
        try:
            outputs: list[FloatArray] = session.run(None, inputs)
        except Exception as error:
            shapes = ", ".join(f"{name} {'×'.join(map(str, array.shape))}" for name, array in inputs.items())
            reason = str(error).splitlines()[0]
            raise HimeError(
                f"{self.card['name']}: ONNX Runtime stopped at {shapes} ({reason}); "
                "a smaller headshot or fewer references need less memory"
            ) from error
        return outputs


class Restorer:
    """Restores headshots of one person at a time; the person's photos are encoded once.

    Where a dial stands between its ends, both models restore and their pictures are mixed.

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
        self._references: list[Image | Encoded] = []
        self._features: OrderedDict[tuple[Backend, int, int], FloatArray] = OrderedDict()
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
        fidelity = float(fidelity)
        check_fidelity(fidelity)
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
            images: uint8 H×W×3 of any size, the face framed as in the headshot. A photo of another
                aspect than the headshot's is cut to it around its middle, then resized to s × its size.
                Or references of a .person file.

        Raises:
            HimeError: an array is no such image; the references set before stay.
        """
        references: list[Image | Encoded] = []
        for number, image in enumerate(images, start=1):
            if isinstance(image, Encoded):
                references.append(image)
            else:
                check_image(image, f"reference {number}")
                references.append(image.copy())
        self._references = references
        self._features.clear()

    def restore(self, lr: Image) -> Restoration:
        """Restore one headshot.

        Args:
            lr: uint8 H×W×3, sRGB, both sides at least 8.

        Raises:
            HimeError: not such an image, or more than the memory holds.
        """
        check_image(lr, "the headshot")
        height, width = lr.shape[:2]
        if min(height, width) < MINIMUM_SIDE:
            raise HimeError(
                f"the headshot is {width}×{height} pixels; give one of at least {MINIMUM_SIDE}×{MINIMUM_SIDE}"
            )
        planes = to_planes(lr)
        hr: FloatArray = np.zeros((), np.float32)
        scores: FloatArray = np.zeros((), np.float32)
        for backend, share in self._mixture:
            picture, weights = backend.restore(planes, self.features(backend, height, width))
            hr, scores = hr + share * picture, scores + share * weights
        maps = [score[0] for score in scores]
        return Restoration(from_planes(hr), maps, [float(score.mean()) for score in maps])

    def features(self, backend: Backend, height: int, width: int) -> FloatArray:
        """What ``backend``, one of the ends of the dial, makes of the references for LR headshots of that
        size: N×F×H×W, encoded at the first call.
        """
        key = (backend, height, width)
        if key not in self._features:
            self._features[key] = self._encode(backend, height, width)
            if len(self._features) > CACHED_FEATURES:
                self._features.popitem(last=False)
        self._features.move_to_end(key)
        return self._features[key]

    def _encode(self, backend: Backend, height: int, width: int) -> FloatArray:
        if not self._references:
            return np.zeros((0, int(backend.card["feature_channels"]), height, width), np.float32)
        sides = (self.scale * height, self.scale * width)
        images = [image for image in self._references if isinstance(image, np.ndarray)]
        planes = [to_planes(resize(centre_crop(image, height, width), *sides)) for image in images]
        encoded = iter(backend.encode(np.concatenate(planes)) if planes else ())
        return np.stack(
            [
                next(encoded)
                if isinstance(reference, np.ndarray)
                else reference.features(backend, height, width)
                for reference in self._references
            ]
        )


def _without_dial(name: str) -> str:
    """What to say to who asks a fidelity of this model, with the one to take instead."""
    cards = [read_card(PRETRAINED / model) for model in available_models()]
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
