"""LPIPS (Zhang et al. 2018), version 0.1: how different two pictures look to a network. Needs PyTorch.

Computation and linear weights are torchmetrics'; the backbone's weights come by `hime.losses.frozen`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

# The module behind torchmetrics' public class: that one downloads the backbone's weights by itself, always.
from torchmetrics.functional.image.lpips import _LPIPS

from hime.losses.frozen import FrozenName, frozen_features
from hime.pictures.arrays import Image, to_planes

Network = Literal["alex", "squeeze"]

BACKBONES: dict[Network, FrozenName] = {"alex": "alexnet", "squeeze": "squeezenet1_1"}

MINIMUM_SIDE = 32
"""Smallest side in pixels: below it AlexNet's last layers have nothing left."""


class LPIPS:
    """The distance of pictures to a truth, 0 for the same picture; pictures that look unlike reach about 0.7.

    Args:
        network: the backbone; ``"alex"`` is what is meant by LPIPS without further words.
        device: where to run; a GPU if there is one by default.

    Raises:
        HimeError: the backbone's weights cannot be had; the message says what to do.
    """

    def __init__(self, network: Network = "alex", device: str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        features = frozen_features(BACKBONES[network]).state_dict()
        self.module = _LPIPS(net=network, pnet_rand=True).to(self.device)
        # The layers are grouped (slice2.3.weight, slices.1.3.weight) but keep their numbers (3.weight).
        groups = 1 if network == "alex" else 2
        weights = {name: features[name.split(".", groups)[-1]] for name in self.module.net.state_dict()}
        self.module.net.load_state_dict(weights)

    def __call__(self, images: Sequence[Image], truth: Image) -> list[float]:
        """The distance of each of ``images`` to ``truth``; all uint8 H×W×3 of one size, sides ≥ 32."""
        batch = torch.from_numpy(np.concatenate([to_planes(image) for image in images]))
        distances: list[float] = self.distances(batch, torch.from_numpy(to_planes(truth))).tolist()
        return distances

    def distances(self, images: Tensor, truths: Tensor) -> Tensor:
        """Distances, B: images B×3×H×W and their truths (or the one of all) in [0, 1]."""
        with torch.inference_mode():
            found: Tensor = self.module(truths.to(self.device), images.to(self.device), normalize=True)
            return found.flatten()
