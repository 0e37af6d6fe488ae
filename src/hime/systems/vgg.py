"""VGG-19 as a part of a system: the features at named layers, of size 1 on faces.

The published systems expect features of about that size; weight files differ in it by a factor of hundreds.
Networks of ReLUs are homogeneous, so that a factor at each layer can be folded into its weights without
changing anything else: `VGGFeatures.load` measures them on photos.

Shapes: ``M`` pictures, ``C`` channels, ``S`` their side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hime.losses.frozen import architecture, frozen_features
from hime.losses.perceptual import convolution_names
from hime.model.flow import IMAGENET_DEVIATION, IMAGENET_MEAN
from hime.model.system import StoredPhotos
from hime.systems.blocks import conv

CALIBRATION_PHOTOS = 24
"""How many photos tell how large the features are."""


class VGGFeatures(nn.Module):
    """Pictures M×3×S×S in [0, 1] → maps at ``layers``, in their order.

    Layers are named ``relu1_1`` (behind the ReLU) or ``conv5_4`` (before it). Fresh weights are random:
    `load` puts in those trained on ImageNet.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: tuple[str, ...]) -> None:
        super().__init__()
        self.layers = layers
        self.features = nn.Sequential()
        self.taps: dict[str, str] = {}
        self.convolutions: list[str] = []
        known = architecture("vgg19")
        names = convolution_names(known)
        number = ""
        for place, module in enumerate(known):
            if isinstance(module, nn.Conv2d):
                number = names[module].removeprefix("conv")
                self.features.append(conv(module.in_channels, module.out_channels))
                self.convolutions.append(str(place))
                self.taps[f"conv{number}"] = str(place)
            elif isinstance(module, nn.ReLU):
                self.features.append(nn.ReLU())
                self.taps[f"relu{number}"] = str(place)
            else:
                self.features.append(nn.MaxPool2d(2))
            if layers[-1] in self.taps:
                break
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps = (pictures - self.mean) / self.deviation
        wanted = {self.taps[layer]: layer for layer in self.layers}
        found = {}
        for place, module in self.features.named_children():
            maps = module(maps)
            if place in wanted:
                found[wanted[place]] = maps
        return [found[layer] for layer in self.layers]

    @torch.no_grad()
    def load(self, photos: StoredPhotos) -> None:
        """The public weights, scaled so that each of ``layers`` has mean absolute value 1 on ``photos``.

        Args:
            photos: M×3×S×S uint8; the first `CALIBRATION_PHOTOS` are used.

        Raises:
            HimeError: the weights are not at hand, see `hime.losses.frozen.frozen_features`.
        """
        public = frozen_features("vgg19").state_dict()
        own = self.features.state_dict()
        self.features.load_state_dict({name: public[name] for name in own})
        before = 1.0
        first = torch.arange(min(CALIBRATION_PHOTOS, len(photos)), device=photos.device)
        found = self(photos[first].to(self.mean) / 255)
        sizes = {layer: float(maps.abs().mean()) for layer, maps in zip(self.layers, found, strict=True)}
        factor_of = {self.taps[f"conv{layer[4:]}"]: 1 / size for layer, size in sizes.items()}
        for place in self.convolutions:
            convolution = self.features[int(place)]
            assert isinstance(convolution, nn.Conv2d)
            assert convolution.bias is not None
            factor = factor_of.get(place, before)
            convolution.weight.mul_(factor / before)
            convolution.bias.mul_(factor)
            before = factor
