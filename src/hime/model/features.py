"""Section 3.1: the feature extractors of the LR headshot and of the references.

Shapes: ``B`` batch, ``M`` references of the whole batch in one row, ``C`` channels, ``H W`` LR size,
``s`` scale.
"""

from __future__ import annotations

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """conv – ReLU – conv + identity, without normalisation (He et al. 2016, as used in super-resolution).

    The branch starts at a tenth of its usual size: a deep stack is then close to the identity, which lets
    small batches with a high learning rate start well (Wang et al. 2018, ESRGAN).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU()
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data.mul_(0.1)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        branch: Tensor = self.conv2(self.relu(self.conv1(features)))
        return features + branch


def residual_blocks(channels: int, count: int) -> nn.Sequential:
    """``count`` residual blocks in a row."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


class LRFeatureExtractor(nn.Module):
    """I^L → F^L: one convolution and k_l residual blocks. B×3×H×W in [0, 1] → B×C×H×W."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = residual_blocks(channels, blocks)

    def forward(self, lr: Tensor) -> Tensor:
        features: Tensor = self.blocks(self.conv(lr))
        return features


class ReferenceFeatureExtractor(nn.Module):
    """I^ref → F^ref: one grey channel, space-to-depth by s, one convolution and k_h residual blocks.

    M×3×sH×sW → M×C×H×W: references in [0, 1], or what they show beyond their LR versions, of either sign
    (``HIMEConfig.shared_features``). Colour is left out (the LR headshot has it); space-to-depth keeps every
    pixel and brings the work to LR size.
    """

    def __init__(self, channels: int, scale: int, blocks: int) -> None:
        super().__init__()
        self.to_grey = nn.Conv2d(3, 1, 1)
        nn.init.constant_(self.to_grey.weight, 1 / 3)
        nn.init.zeros_(self.to_grey.bias)  # type: ignore[arg-type]
        self.space_to_depth = nn.PixelUnshuffle(scale)
        self.conv = nn.Conv2d(scale * scale, channels, 3, padding=1)
        self.blocks = residual_blocks(channels, blocks)

    def forward(self, references: Tensor) -> Tensor:
        features: Tensor = self.blocks(self.conv(self.space_to_depth(self.to_grey(references))))
        return features
