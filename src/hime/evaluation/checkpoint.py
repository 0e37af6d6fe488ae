"""Training checkpoints behind the same seam as exported models, so that both are evaluated alike."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hime.evaluation.cost import count, frozen_parts
from hime.model.system import System
from hime.pictures.arrays import FloatArray
from hime.restoring.card import CARD_FORMAT
from hime.training.checkpoint import load_model
from hime.training.presets import TrainingConfig, build_model, preset

TENSORS = "tensors"
"""Of a checkpoint the checksum in its card is not of a file, of which there may be several, but of these."""


def checkpoint_name(path: str | Path) -> str:
    """What to call the model at ``path``: its run folder's name, or the file's without its suffix."""
    path = Path(path).resolve()
    if path.is_dir():
        return path.name
    return path.parent.name if path.stem in ("best", "last") else path.stem


def untrained(name: str) -> dict[str, Any]:
    """What `describe` says of a preset's network that has not been trained.

    Raises:
        HimeError: no such preset.
    """
    config = preset(name)
    fields = {"hr_size": config.hr_size, "lr_sizes": config.lr_sizes}
    metadata = {"training": json.dumps({"config": fields}), "licence": "not trained"}
    return {**describe(build_model(config), metadata, name), "training": {}}


def describe(model: System, metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """The card of ``model``, all but the checksums of its files.

    Args:
        model: the network.
        metadata: of its checkpoint, see `hime.training.checkpoint`; may be empty for fresh weights.
        name: what the model is to be called.
    """
    training = json.loads(metadata.get("training", "{}"))
    config = training.get("config", {})
    scale = model.config.scale
    sizes = {key: config[key] for key in ("hr_size", "lr_sizes") if key in config}
    lr_size = TrainingConfig(scale=scale, **sizes).lr_size
    most = 3 if model.most_references is None else model.most_references
    cost = count(model, (lr_size, lr_size), most)
    frozen = frozen_parts(model)
    return {
        "format": CARD_FORMAT,
        "name": name,
        "scale": scale,
        "lr_size": lr_size,
        "feature_channels": model.feature_channels,
        "parameters": cost.parameters,
        **({"frozen": frozen} if frozen else {}),
        "macs": cost.as_card(),
        "architecture": dataclasses.asdict(model.config),
        "training": training,
        "metrics": json.loads(metadata.get("metrics", "{}")),
        "date": metadata.get("date", ""),
        "licence": metadata.get("licence", ""),
    }


def weights_digest(model: System) -> str:
    """A digest of all weights, by their names."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class TorchBackend:
    """A network in PyTorch, for `hime.restoring.restorer.Restorer`.

    Args:
        model: the network; it is put into evaluation mode and moved.
        card: what `describe` says of it.
        device: where to run; a GPU if there is one by default.
    """

    reconstruction: None = None
    """A checkpoint knows no model at the other end of a dial."""

    def __init__(self, model: System, card: dict[str, Any], device: str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.eval().to(self.device)
        self.card = card

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> TorchBackend:
        """Open a run folder or a ``.safetensors`` checkpoint.

        The card has a checksum of the weights, as an exported model's: what else it says of a training may be
        the same of the next one, and then what was made with the one would pass for made with the other.

        Raises:
            HimeError: no such checkpoint, or it is damaged.
        """
        model, metadata = load_model(path)
        card = describe(model, metadata, checkpoint_name(path))
        return cls(model, {**card, "sha256": {TENSORS: weights_digest(model)}}, device)

    def encode(self, references: FloatArray) -> FloatArray:
        """Reference features: N×3×sH×sW in [0, 1] → N×F×H×W."""
        with torch.inference_mode():
            return self._array(self.model.encode(self._tensor(references)))

    def restore(self, lr: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """B×3×H×W in [0, 1] and B×N×F×H×W → B×3×sH×sW in [0, 1] and scores B×N×H×W."""
        with torch.inference_mode():
            output = self.model.restore(self._tensor(lr), self._tensor(features), None)
            return self._array(output.hr.clamp(0, 1)), self._array(output.scores[:, :, 0])

    def _tensor(self, array: FloatArray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    @staticmethod
    def _array(tensor: torch.Tensor) -> FloatArray:
        array: FloatArray = tensor.float().cpu().numpy()
        return array
