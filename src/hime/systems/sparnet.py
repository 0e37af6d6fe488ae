"""SPARNet (Chen et al. 2020, "Learning Spatial Attention for Face Super-Resolution"): LR only.

The native network of the paper, two-dimensional attention, not the SPARNetHD that HIME's Table 1 seems to
have measured. It takes the bicubic enlargement, so that ×4 and ×8 differ in nothing.

Shapes: ``M`` maps, ``C`` channels, ``H W`` rows and columns; ``S`` the picture's side.
"""

from __future__ import annotations

from torch import Tensor, nn

from hime.systems.base import ComparedSystem, SystemConfig, to_signed, to_unit
from hime.systems.blocks import Doubled, Resize, leaky, normal_weights, reflected, shortcut

HOURGLASS = 64
"""Channels of all maps in an hourglass."""
MIDDLE_BLOCKS = 10


def unit(inputs: int, outputs: int, resize: Resize = "same") -> nn.Sequential:
    """Convolution, batch norm, LeakyReLU; enlarged before, or reduced by the stride."""
    before = [Doubled()] if resize == "up" else []
    stride = 2 if resize == "down" else 1
    return nn.Sequential(*before, reflected(inputs, outputs, stride), nn.BatchNorm2d(outputs), leaky())


class Hourglass(nn.Module):
    """Maps M×C×H×W → M×64×H×W, seen at ``depth`` further scales; sides multiples of 2^depth."""

    def __init__(self, inputs: int, channels: int, depth: int) -> None:
        super().__init__()
        self.across = unit(inputs, channels)
        self.down = unit(inputs, channels, "down")
        self.inner = unit(channels, channels) if depth == 1 else Hourglass(channels, channels, depth - 1)
        self.up = unit(channels, channels, "up")

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.across(maps) + self.up(self.inner(self.down(maps)))
        return out


class FaceAttentionUnit(nn.Module):
    """A residual block whose branch is weighted place by place: x + A · branch(x).

    Args:
        inputs: channels in.
        outputs: channels out.
        depth: of the hourglass that makes A.
        hourglass: its channels.
        resize: of the block.
    """

    def __init__(
        self, inputs: int, outputs: int, depth: int, hourglass: int, resize: Resize = "same"
    ) -> None:
        super().__init__()
        stride = 2 if resize == "down" else 1
        self.shortcut = shortcut(inputs, outputs, resize)
        self.branch = nn.Sequential(
            nn.BatchNorm2d(inputs),
            leaky(),
            unit(inputs, outputs, "up" if resize == "up" else "same"),
            reflected(outputs, outputs, stride),
            nn.BatchNorm2d(outputs),
        )
        self.attention = nn.Sequential(
            Hourglass(outputs, hourglass, depth), reflected(hourglass, 1, bias=True), nn.Sigmoid()
        )

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.branch(maps)
        out: Tensor = self.shortcut(maps) + self.attention(branch) * branch
        return out


class SPARNet(ComparedSystem):
    """Down to an eighth, ten units there, and up again."""

    multiple = 64

    def __init__(self, config: SystemConfig) -> None:
        super().__init__(config)
        one, two, four = (config.channels(channels) for channels in (32, 64, 128))
        inner = config.channels(HOURGLASS)
        self.network = nn.Sequential(
            reflected(3, one, bias=True),
            FaceAttentionUnit(one, two, 4, inner, "down"),
            FaceAttentionUnit(two, four, 3, inner, "down"),
            FaceAttentionUnit(four, four, 2, inner, "down"),
            *(FaceAttentionUnit(four, four, 2, inner) for _ in range(config.blocks(MIDDLE_BLOCKS))),
            FaceAttentionUnit(four, four, 3, inner, "up"),
            FaceAttentionUnit(four, two, 4, inner, "up"),
            FaceAttentionUnit(two, one, 5, inner, "up"),
            reflected(one, 3, bias=True),
        )
        normal_weights(self)

    def compute(
        self, lr: Tensor, references: Tensor, present: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return self.cut(to_unit(self.network(to_signed(self.enlarged(lr)))), lr), {}
