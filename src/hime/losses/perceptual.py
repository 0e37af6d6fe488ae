"""The perceptual loss, equation 11: L1 between VGG-19 features before the ReLU.

Shapes: ``B`` batch, ``H W`` image size.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from hime.errors import HimeError
from hime.losses.adversarial import at_least_single
from hime.losses.frozen import frozen_features
from hime.model.flow import IMAGENET_DEVIATION, IMAGENET_MEAN


class PerceptualLoss(nn.Module):
    """Mean over layers of mean |f(truth) − f(restored)| / mean |f(truth)|.

    The paper names neither the layer nor the weights. Dividing by the layer's mean activation over the batch
    makes the loss, and so its λ, independent of how a weight file scales its features, and lets layers of
    any depth count alike.

    Layers are named as in VGG-19 (Simonyan and Zisserman 2015): ``conv1_1`` … ``conv5_4``, block and
    convolution. The network stands beside the one that is trained: frozen, and no part of a training's
    state.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layers: tuple[str, ...] = ("conv5_4",), features: nn.Sequential | None = None) -> None:
        """``features``: convolutions, ReLUs and poolings in place of ``frozen_features("vgg19")``; copied.

        Raises:
            HimeError: no layers, or one that the network does not have; VGG-19's weights are not at hand.
        """
        super().__init__()
        features = frozen_features("vgg19") if features is None else copy.deepcopy(features)
        self.stages = split_at(features, layers).requires_grad_(False).to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1))

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        """B×3×H×W images in [0, 1] → scalar; the gradient goes to ``restored`` alone.

        Sides of at least 16 for the fifth block, which lies behind four halvings. Under autocast the
        features are of half precision, their differences and means are not.
        """
        with torch.no_grad():
            of_truth = self.features(truth)
        terms = [
            (theirs - ours).abs().mean() / theirs.abs().mean()
            for ours, theirs in zip(self.features(restored), of_truth, strict=True)
        ]
        return torch.stack(terms).mean()

    def features(self, images: Tensor) -> list[Tensor]:
        """Images B×3×H×W in [0, 1] → the features of every layer, in at least single precision."""
        maps = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        found = []
        for stage in self.stages:
            maps = stage(maps)
            found.append(at_least_single(maps))
        return found


def split_at(features: nn.Sequential, layers: tuple[str, ...]) -> nn.ModuleList:
    """Cut ``features`` behind each convolution that ``layers`` names; what follows the last is left out."""
    names = convolution_names(features)
    unknown = [layer for layer in layers if layer not in names.values()]
    if unknown or not layers:
        missing = f"unknown layer {unknown[0]!r}" if unknown else "no layer given"
        raise HimeError(f"perceptual loss: {missing}; choose among {', '.join(names.values())}")
    stages = nn.ModuleList()
    stage: list[nn.Module] = []
    for module in features:
        # torchvision's ReLU works in place, which at the head of a stage would change the features before it.
        stage.append(nn.ReLU() if isinstance(module, nn.ReLU) and not stage else module)
        if names.get(module) in layers:
            stages.append(nn.Sequential(*stage))
            stage = []
    return stages


def convolution_names(features: nn.Sequential) -> dict[nn.Module, str]:
    """Convolution → its name; every max-pooling starts a new block."""
    names: dict[nn.Module, str] = {}
    block, index = 1, 0
    for module in features:
        if isinstance(module, nn.MaxPool2d):
            block, index = block + 1, 0
        elif isinstance(module, nn.Conv2d):
            index += 1
            names[module] = f"conv{block}_{index}"
    return names
