"""Export: a checkpoint becomes the two ONNX graphs, the weights and the card that `hime.restoring` reads,
and the page of it that people read.

The graphs hold no weights, only where each lies in ``weights.bin``, so that those which both use are there
once.

Nothing is put in place before ONNX Runtime has given what PyTorch gives, over several sizes and numbers of
references. The folder appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import secrets
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hime.errors import HimeError, how_to_install
from hime.files import reason_of

try:
    import onnx
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError as error:
    raise HimeError(f"{error.name} is not installed: {how_to_install('train')}") from error

from hime.evaluation.checkpoint import describe
from hime.model.system import System
from hime.restoring.card import FILES, GRAPHS, PAGE, WEIGHT_TYPES, WEIGHTS
from hime.restoring.exported import OnnxBackend
from hime.restoring.restorer import check_fidelity
from hime.tools.model_page import model_page
from hime.training.checkpoint import load_model

OPSET = 18
STORED = "float16"
"""How weights are stored. Half of the bytes to fetch; what it changes in a result is below a level of 255."""
TOLERANCE = 1e-4
"""Largest difference between ONNX Runtime and PyTorch, pictures and weights in [0, 1]."""
CHECKED_SIZES = ((8, 8), (16, 16), (13, 21), (24, 40))
CHECKED_REFERENCES = (0, 1, 3, 5)
CHECKED_TOGETHER = 2
"""Headshots, restored in one call."""


class EncodeGraph(nn.Module):
    """references N×3×sH×sW → features N×F×H×W."""

    def __init__(self, model: System) -> None:
        super().__init__()
        self.model = model

    def forward(self, references: Tensor) -> Tensor:
        return self.model.encode(references)


class RestoreGraph(nn.Module):
    """lr B×3×H×W, features B×N×F×H×W → hr B×3×sH×sW in [0, 1], scores B×N×H×W.

    ONNX's Reshape takes a length of 0 for "as in the input", so the network never sees N = 0: one absent
    slot of zeros stands in. Written as a slice that is empty for N ≥ 1, it costs those nothing.
    """

    def __init__(self, model: System) -> None:
        super().__init__()
        self.model = model

    def forward(self, lr: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        references = features.shape[1]
        absent = torch.zeros_like(lr[:, None, :1]).expand(-1, -1, features.shape[2], -1, -1)
        slots = torch.cat([features, absent[:, references:]], dim=1)
        present = torch.arange(slots.shape[1], device=lr.device) < references
        output = self.model.restore(lr, slots, present.expand(slots.shape[0], -1))
        return output.hr.clamp(0.0, 1.0), output.scores[:, :references, 0]


def export(
    checkpoint: str | Path,
    folder: str | Path,
    name: str | None = None,
    reconstruction: str | None = None,
    fidelity: float | None = None,
) -> Path:
    """Export a run folder or a ``.safetensors`` checkpoint to ``folder``.

    Args:
        checkpoint: see `hime.training.checkpoint.load_model`.
        folder: written whole; an exported model that is there is replaced, anything else is refused.
        name: the model's name in the card; the folder's by default.
        reconstruction: gives a perception-oriented model its dial: the name of an exported reconstruction
            model of the same scale, which is beside ``folder`` or comes with the package.
        fidelity: where the dial stands if the user says nothing, in [0, 1]; 0 by default.

    Raises:
        HimeError: the checkpoint cannot be read or is of a network that cannot be exported, the folder is not
            free or cannot be written, the reconstruction model is not there or does not fit, or ONNX Runtime
            differs from PyTorch by more than `TOLERANCE`; nothing is written then.
    """
    model, metadata = load_model(checkpoint)
    return export_model(model, folder, metadata, name, reconstruction, fidelity)


def export_model(
    model: System,
    folder: str | Path,
    metadata: Mapping[str, str] | None = None,
    name: str | None = None,
    reconstruction: str | None = None,
    fidelity: float | None = None,
) -> Path:
    """Export ``model`` to ``folder``; as `export`, for a network at hand."""
    folder = Path(folder)
    try:
        _export(model, folder, metadata or {}, name, reconstruction, fidelity)
    except OSError as error:  # a full disk as well; PyTorch's own too
        raise HimeError(f"{folder}: cannot write there ({reason_of(error)}); choose another --out") from error
    return folder


def _export(
    model: System,
    folder: Path,
    metadata: Mapping[str, str],
    name: str | None,
    reconstruction: str | None,
    fidelity: float | None,
) -> None:
    """As `export_model`.

    Raises:
        OSError: the folder cannot be written; nothing of it is there then.
    """
    if model.kept_from_export is not None:
        raise HimeError(
            f"{folder}: not written, {model.config.system} cannot be exported, since "
            f"{model.kept_from_export}; `hime evaluate` and `hime restore` take its checkpoint as it is"
        )
    _check_free(folder)
    dial = _dial(folder, reconstruction, fidelity)
    model = copy.deepcopy(model).cpu().half().float().eval()  # the caller's stays where and as it is
    with _new_folder(folder.resolve()) as temporary:
        contents = _graphs(model, temporary)
        contents |= {WEIGHTS: b"".join(map(_values, model.state_dict().values()))}
        checksums = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
        card = describe(model, metadata, name or folder.resolve().name) | dial
        card |= {"weights": STORED, "sha256": checksums}
        for file, content in contents.items():
            (temporary / file).write_bytes(content)
        text = json.dumps(card, indent=2, ensure_ascii=False)
        (temporary / "card.json").write_text(text + "\n", encoding="utf-8", newline="\n")
        (temporary / PAGE).write_text(model_page(card), encoding="utf-8", newline="\n")
        exported = OnnxBackend(temporary)
        _ = exported.reconstruction  # raises where the dial's other end is missing or does not fit
        difference = largest_difference(model, exported)
        if not difference <= TOLERANCE:  # also refuses NaN
            raise HimeError(
                f"{folder}: not written, ONNX Runtime differs from PyTorch by {difference:.1e} "
                f"(at most {TOLERANCE:.0e}); the weights may hold NaN, else update torch and onnxruntime"
            )


def largest_difference(model: System, backend: OnnxBackend) -> float:
    """Largest absolute difference of pictures and scores between the graphs and the network.

    Over `CHECKED_SIZES` and `CHECKED_REFERENCES`, each graph fed as in use: what its encoder gives goes
    into its restorer. NaN if either gives one.
    """
    random = np.random.default_rng(0)
    scale = model.config.scale
    worst = 0.0
    for height, width in CHECKED_SIZES:
        for references in CHECKED_REFERENCES:
            lr = random.random((CHECKED_TOGETHER, 3, height, width), dtype=np.float32)
            of_each = (references, 3, scale * height, scale * width)
            photos = random.random((CHECKED_TOGETHER, *of_each), dtype=np.float32)
            with torch.inference_mode():
                expected = model(torch.from_numpy(lr), torch.from_numpy(photos))
            features = np.zeros((CHECKED_TOGETHER, 0, model.feature_channels, height, width), np.float32)
            if references:
                features = np.stack([backend.encode(each) for each in photos])
            hr, scores = backend.restore(lr, features)
            pairs = ((hr, expected.hr.clamp(0, 1).numpy()), (scores, expected.scores[:, :, 0].numpy()))
            for found, wanted in pairs:
                if found.shape != wanted.shape:
                    return float("inf")
                difference = float(np.abs(found - wanted).max(initial=0.0))
                worst = max(worst, difference) if difference == difference else float("nan")
                if worst != worst:
                    return worst
    return worst


def _dial(folder: Path, reconstruction: str | None, fidelity: float | None) -> dict[str, Any]:
    """What the card of the model in ``folder`` says of its dial."""
    if reconstruction is None:
        if fidelity is not None:
            raise HimeError("a fidelity needs the model at its other end; give --reconstruction")
        return {}
    if reconstruction == folder.resolve().name or Path(reconstruction).name != reconstruction:
        raise HimeError(
            f"{reconstruction}: cannot be the reconstruction model of {folder}; give the name of another one "
            "that is beside it or comes with the package"
        )
    fidelity = 0.0 if fidelity is None else float(fidelity)
    check_fidelity(fidelity)
    return {"reconstruction": reconstruction, "fidelity": fidelity}


def _values(weight: Tensor) -> bytes:
    """The values of a weight as `WEIGHTS` holds them: `STORED`, row by row."""
    return weight.numpy().astype(WEIGHT_TYPES[STORED]).tobytes()


def _graphs(model: System, folder: Path) -> dict[str, bytes]:
    """The two graphs of the network; PyTorch writes each into ``folder``, where nothing of them stays."""
    scale = model.config.scale
    height, width = 12, 16  # any: the axes are dynamic
    encode = _graph(
        EncodeGraph(model),
        folder,
        (torch.rand(2, 3, scale * height, scale * width),),
        inputs=["references"],
        outputs=["features"],
        axes={
            "references": {0: "N", 2: "sH", 3: "sW"},
            "features": {0: "N", 2: "H", 3: "W"},
        },
    )
    restore = _graph(
        RestoreGraph(model),
        folder,
        (torch.rand(2, 3, height, width), torch.rand(2, 2, model.feature_channels, height, width)),
        inputs=["lr", "features"],
        outputs=["hr", "scores"],
        axes={
            "lr": {0: "B", 2: "H", 3: "W"},
            "features": {0: "B", 1: "N", 3: "H", 4: "W"},
            "hr": {0: "B", 2: "sH", 3: "sW"},
            "scores": {0: "B", 1: "N", 2: "H", 3: "W"},
        },
    )
    return dict(zip(GRAPHS, (encode, restore), strict=True))


def _graph(
    graph: EncodeGraph | RestoreGraph,
    folder: Path,
    example: tuple[Tensor, ...],
    *,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> bytes:
    """One graph as ONNX, each weight a place in `WEIGHTS`."""
    path = folder / "graph.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        # Sizes that tracing would freeze are found by the comparison over sizes, which is stricter.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(),
            example,
            path,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,  # else normalisations become weights without names
            export_params=False,  # the weights become inputs, by the names of the state
            dynamo=False,  # tracing keeps -1 in reshapes, so that N, H and W stay free; needs no onnxscript
        )
    structure = onnx.load(path)
    path.unlink()
    used = {value.name: value for value in structure.graph.input}
    offset = 0
    for name, weight in graph.state_dict().items():
        length = 4 * weight.numel()
        if name in used:
            structure.graph.input.remove(used[name])
            tensor = structure.graph.initializer.add(
                name=name,
                data_type=onnx.TensorProto.FLOAT,
                dims=weight.shape,
                data_location=onnx.TensorProto.EXTERNAL,
            )
            for key, value in (("location", WEIGHTS), ("offset", offset), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))
        offset += length
    content: bytes = structure.SerializeToString()
    return content


def _check_free(folder: Path) -> None:
    """Refuse to put a model where anything else but a model is."""
    if not folder.exists():
        return
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if found and "card.json" not in found:
        raise HimeError(f"{folder}: is there already and no exported model; choose another --out")
    foreign = sorted(found - {*FILES, "card.json", PAGE})
    if foreign:
        raise HimeError(f"{folder}: holds {foreign[0]} too, which would be lost; choose another --out")


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder`` that takes its place if the block ends without an exception."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f".hime-{secrets.token_hex(8)}"
    temporary.mkdir()
    replaced = temporary.with_name(temporary.name + ".old")
    try:
        yield temporary
        if folder.exists():
            folder.rename(replaced)
        try:
            temporary.rename(folder)
        except OSError:
            if replaced.exists():
                replaced.rename(folder)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
