"""Exported models: folders of graphs and weights, found, checked, and run.

An exported model is a folder of ``encode.onnx`` (photos → features, once a person), ``restore.onnx``
(headshot and features → picture and score maps), ``weights.bin`` (the weights of both graphs one after
another, float16 or float32 as the card says) and ``card.json`` (what it is, with the checksums of the three).
`hime.tools.export` writes such folders.

Shapes: ``B`` headshots in one call, ``N`` references of each, ``F`` feature channels, ``H W`` LR size, ``s``
scale.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hime.errors import HimeError
from hime.files import open_file, reason_of
from hime.pictures.arrays import FloatArray
from hime.processors import usable_threads
from hime.restoring.card import FILES, GRAPHS, PAGE, WEIGHT_TYPES, WEIGHTS, read_card
from hime.restoring.devices import PROCESSOR, check_installed, check_same, engine
from hime.restoring.graphs import Graph, open_graph
from hime.restoring.hub import fetch_model, is_address

DEFAULT_MODEL = "small-x4"
"""For headshots that were reduced as the paper's are."""
DEFAULT_PHOTO_MODEL = "large-x4-real-p"
"""For faces as they are found in photographs: small in different ways, blurred, noisy and compressed."""
FAST_PHOTO_MODEL = "small-x4-real-p"
"""The same where there is less time for a face: a fifth of the work."""
DEFAULT_VIDEO_MODEL = "small-x4-video"
"""For faces in videos: small in good pictures, with references of the same session."""
LARGEST_FILE = 1 << 30
"""Bytes; the largest of the released models has 30 million."""
PRETRAINED = Path(__file__).parents[1] / "pretrained"


_SIGNATURES = {
    GRAPHS[0]: (("references",), ("features",)),
    GRAPHS[1]: (("lr", "features"), ("hr", "scores")),
}
"""Names of what each graph takes and gives."""


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
        """B×3×H×W in [0, 1] and B×N×F×H×W → B×3×sH×sW in [0, 1] and scores B×N×H×W."""
        ...


def available_models() -> list[str]:
    """Names of the models that come with the package, sorted."""
    return sorted(card.parent.name for card in PRETRAINED.glob("*/card.json"))


def find_model(name_or_path: str | Path) -> Path:
    """The folder of an exported model, by name, path, or address on the Hub (see `hime.restoring.hub`).

    Names and addresses are text; a ``Path``, and text such as ``./small-x4``, is where a folder lies. A
    ``Path`` where nothing lies may be a name too.

    Raises:
        HimeError: there is none, and the message lists the names there are; or it cannot be fetched.
    """
    if is_address(name_or_path):
        return fetch_model(str(name_or_path), tuple(available_models()))
    if name_or_path in available_models():
        return PRETRAINED / name_or_path
    path = Path(name_or_path)
    if path.is_file() and path.name in (*FILES, "card.json", PAGE):
        return path.parent
    if path.is_dir():
        return path
    if isinstance(name_or_path, Path) and str(path) in available_models() and not os.path.lexists(path):
        return PRETRAINED / path
    names = ", ".join(available_models()) or "none"
    problem = "not an exported model" if path.exists() else "no such model"
    raise HimeError(f"{name_or_path}: {problem}; give a folder that `hime export` wrote, or one of: {names}")


def read_checked(folder: Path, card: dict[str, Any], file: str) -> bytes:
    """A file of an exported model, if it is as its card says it must be.

    Raises:
        HimeError: it cannot be read, or differs from the checksum in the card.
    """
    path, remedy = folder / file, "get the model anew: export, install or fetch it again"
    try:
        with open_file(path) as opened:
            size = os.fstat(opened.fileno()).st_size  # memory for more is not asked for
            content = opened.read(min(size, LARGEST_FILE) + 1)
    except HimeError as error:
        raise HimeError(f"{error}, {remedy}") from error
    except OSError as error:
        raise HimeError(f"{path}: cannot be read ({reason_of(error)}); {remedy}") from error
    if len(content) > LARGEST_FILE:
        raise HimeError(f"{path}: more than {LARGEST_FILE >> 20} MiB is no file of a model; {remedy}")
    if hashlib.sha256(content).hexdigest() != card["sha256"].get(file):
        raise HimeError(f"{path}: differs from the checksum in card.json; {remedy}")
    return content


def read_weights(folder: Path, card: dict[str, Any]) -> FloatArray:
    """The weights of an exported model, float32 one after another in the order of the network's state.

    Raises:
        HimeError: as for `read_checked`.
    """
    content, kind = read_checked(folder, card, WEIGHTS), np.dtype(WEIGHT_TYPES[card["weights"]])
    if len(content) % kind.itemsize:
        raise HimeError(f"{folder / WEIGHTS}: holds no whole number of {card['weights']}; export it again")
    return np.frombuffer(content, kind).astype(np.float32)


class OnnxBackend:
    """An exported model, in ONNX Runtime or, on the device ``openvino``, in OpenVINO.

    Every file is compared with its checksum in the card before it is used, and what another device than the
    processor makes of the model with what the processor makes of it.

    Args:
        folder: what `hime export` wrote.
        threads: threads for one picture; default the cores that this process may use.
        device: what to run it on, see `hime.restoring.devices.DEVICES`.

    Raises:
        HimeError: a file is missing, damaged or of another format; or the device is not installed, cannot be
            started, or makes something else of the model.
    """

    def __init__(self, folder: str | Path, threads: int | None = None, device: str = PROCESSOR) -> None:
        if threads is not None and threads < 1:
            raise HimeError(f"threads must be at least 1, not {threads}")
        check_installed(device)
        self.folder = Path(folder)
        self.card = read_card(self.folder)
        self.threads = threads or usable_threads()
        self.device = device
        weights = read_weights(self.folder, self.card).astype("<f4").tobytes()
        # Between two operators the threads of `restore`, which a live video runs all the time, wait awake
        # (a fourth faster); those of `encode`, once a person, sleep: both awake would fight for the cores. So
        # would those of the dial's two ends, which therefore go to sleep when a picture is done.
        self._encode = self._open(GRAPHS[0], weights, spinning=False)
        self._restore = self._open(GRAPHS[1], weights, spinning=True)
        if device != PROCESSOR:
            processor = OnnxBackend(folder, threads)
            check_same(self.card, device, self._both, processor._both)

    @functools.cached_property
    def reconstruction(self) -> OnnxBackend | None:
        """The model at the other end of the dial, opened when first asked for; None without a dial.

        It is looked for in this one's folder, beside it, then among those that come with the package.

        Raises:
            HimeError: it is not there, cannot be opened, or does not fit.
        """
        if "reconstruction" not in self.card:
            return None
        own, name = self.card["name"], self.card["reconstruction"]
        own_folder = self.folder.resolve()
        places = [folder / name for folder in (own_folder, own_folder.parent, PRETRAINED)]
        folder = next((place for place in places if (place / "card.json").is_file()), None)
        if folder is None:
            raise HimeError(
                f"{own}: a fidelity above 0 needs its reconstruction model, {name}, which is not there; "
                f"put that into {places[1]}"
            )
        other = OnnxBackend(folder, self.threads, self.device)
        if "reconstruction" in other.card:
            raise HimeError(f"{own}: {folder} cannot be its reconstruction model, since it has a dial itself")
        if other.card["scale"] != self.card["scale"]:
            raise HimeError(
                f"{own}: {folder} cannot be its reconstruction model, since it enlarges "
                f"×{other.card['scale']}, not ×{self.card['scale']}"
            )
        return other

    def _open(self, file: str, weights: bytes, *, spinning: bool) -> Graph:
        content = read_checked(self.folder, self.card, file)
        try:
            graph = open_graph(content, weights, self.threads, self.device, spinning=spinning)
        except HimeError:
            raise
        except Exception as error:  # the engines' exceptions have no common base of their own
            name, package = engine(self.device)
            raise HimeError(
                f"{self.folder / file}: {name} cannot load it ({_first_line(error)}); update {package}"
            ) from error
        wanted = tuple([(name, "tensor(float)") for name in names] for names in _SIGNATURES[file])
        if (graph.inputs, graph.outputs) != wanted:
            raise HimeError(f"{self.folder / file}: takes or gives something else; export the model again")
        return graph

    def encode(self, references: FloatArray) -> FloatArray:
        """Reference features: N×3×sH×sW in [0, 1] → N×F×H×W."""
        (features,) = self._run(self._encode, {"references": references})
        count, _, height, width = references.shape
        scale, channels = int(self.card["scale"]), int(self.card["feature_channels"])
        self._check(features, (count, channels, height // scale, width // scale))
        return features

    def restore(self, lr: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """B×3×H×W in [0, 1] and B×N×F×H×W → B×3×sH×sW in [0, 1] and scores B×N×H×W."""
        hr, scores = self._run(self._restore, {"lr": lr, "features": features})
        count, _, height, width = lr.shape
        scale = int(self.card["scale"])
        self._check(hr, (count, 3, scale * height, scale * width))
        self._check(scores, (*features.shape[:2], height, width))
        return hr, scores

    def _both(self, lr: FloatArray, references: FloatArray) -> tuple[FloatArray, FloatArray]:
        """1×3×H×W and N×3×sH×sW in [0, 1] → picture and scores, by both graphs."""
        return self.restore(lr, self.encode(references)[np.newaxis])

    def _check(self, values: FloatArray, shape: tuple[int, ...]) -> None:
        """Refuse what no graph that `hime export` wrote gives."""
        if values.shape != shape:
            raise HimeError(
                f"{self.card['name']}: gives {'×'.join(map(str, values.shape))} values, "
                f"not {'×'.join(map(str, shape))}; export the model again"
            )

    def _run(self, graph: Graph, inputs: dict[str, FloatArray]) -> list[FloatArray]:
        try:
            return graph.run(inputs)
        except Exception as error:
            shapes = ", ".join(f"{name} {'×'.join(map(str, array.shape))}" for name, array in inputs.items())
            raise HimeError(
                f"{self.card['name']}: {engine(self.device)[0]} stopped at {shapes} ({_first_line(error)}); "
                "a smaller headshot or fewer references need less memory"
            ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
