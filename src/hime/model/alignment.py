"""Section 3.2: reference feature alignment, F^refA = T(F^ref, Φ) (equation 1).

Three forms, the rows of the paper's Table 2. Each takes the features of the references and of the LR
headshot, one row a reference (the LR repeated for each of its references), and returns the reference
features moved to where the LR headshot shows the same part of the face.

Shapes: ``M`` references of the whole batch in one row, ``C`` channels, ``H W`` LR size, ``G`` deformable
groups, ``K`` = 9 kernel positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hime.model.flow import SpyNet
from hime.model.sampling import deformable_sample, warp


class ConvAlignment(nn.Module):
    """No alignment: a common 3×3 convolution (Table 2, "Conv")."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, reference_features: Tensor, lr_features: Tensor) -> Tensor:
        aligned: Tensor = self.conv(reference_features)
        return aligned


class OffsetEstimation(nn.Module):
    """g of equation 3: [F^ref, F^L] → offsets M×(G·K·2)×H×W in pixels and mask M×(G·K)×H×W in [0, 1].

    The last convolution starts at zero: every sample is then at its kernel position with mask ½, the plain
    convolution.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.conv1 = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, groups * 9 * 3, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, reference_features: Tensor, lr_features: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([reference_features, lr_features], dim=1)
        parameters = self.conv2(F.leaky_relu(self.conv1(both), 0.1))
        height, width = parameters.shape[-2:]
        # Flat, then apart: run times that keep channels last would go through them one by one (OpenVINO: a
        # fifth of the whole restoration).
        parameters = parameters.reshape(-1, self.groups * 27, height * width)
        offsets, mask = parameters[:, : self.groups * 18], parameters[:, self.groups * 18 :]
        mask = mask.reshape(-1, self.groups * 9, height, width).sigmoid()
        return offsets.reshape(-1, self.groups * 18, height, width), mask


class DeformableAlignment(nn.Module):
    """Figure 3 (a), HIME small: offsets from reference and LR features, one deformable convolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.offsets = OffsetEstimation(channels, groups)
        self.conv = nn.Conv2d(channels * 9, channels, 1)  # a 3×3 convolution over sampled columns

    def forward(self, reference_features: Tensor, lr_features: Tensor) -> Tensor:
        offsets, mask = self.offsets(reference_features, lr_features)
        aligned: Tensor = self.conv(deformable_sample(reference_features, offsets, mask))
        return aligned


class FlowGuidedAlignment(nn.Module):
    """Figure 3 (b), HIME large: optical flow as the base of the offsets (equations 2 to 4).

    The flow o between I^L and the reference brought to LR size warps the reference features; the warped
    features and F^L give the residual Δp; the sampling reads the unwarped features at Φ = o + Δp.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.flow = SpyNet()
        self.offsets = OffsetEstimation(channels, groups)
        self.conv = nn.Conv2d(channels * 9, channels, 1)

    def forward(
        self, reference_features: Tensor, lr_features: Tensor, reference_lr: Tensor, lr: Tensor
    ) -> Tensor:
        """``reference_lr`` I^refL and ``lr`` I^L: M×3×H×W in [0, 1]."""
        flow = self.flow(lr, reference_lr)
        warped = warp(reference_features, flow)
        residual, mask = self.offsets(warped, lr_features)
        offsets = residual.float() + flow.repeat(1, self.offsets.groups * 9, 1, 1)
        aligned: Tensor = self.conv(deformable_sample(reference_features, offsets, mask))
        return aligned
