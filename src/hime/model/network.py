"""HIME, Figure 2 of the paper: the wiring of its four parts, and the two published sizes.

Shapes: ``B`` batch, ``N`` references, ``C`` channels, ``F`` channels of a cached reference feature,
``H W`` LR size, ``s`` scale.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hime.errors import HimeError
from hime.model.aggregation import AverageAggregation, ContentConditionedAggregation, MaxAggregation
from hime.model.alignment import ConvAlignment, DeformableAlignment, FlowGuidedAlignment
from hime.model.features import LRFeatureExtractor, ReferenceFeatureExtractor
from hime.model.reconstruction import Reconstruction, bicubic
from hime.model.system import System

DETAIL_GAIN = 4.0
"""Brings what a reference shows beyond its LR version to about the size of the picture itself."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HIMEConfig:
    """Everything that makes a network: its sizes and the paper's ablation switches.

    ``lr_blocks``, ``reference_blocks``, ``reconstruction_blocks`` are k_l, k_h, k_r of section 5.1;
    ``alignment`` the rows of Table 2, ``aggregation`` those of Table 3.

    Ours, each with the paper's form as its other value: ``null_reference`` (equation 5 with a floor),
    ``shared_features`` (section 3.1: a reference is what it shows beyond its LR version, and the LR
    extractor's features of that version), ``fusion`` (section 3.3: a convolution over [F_a, F^L] instead of
    F_a is added to F^L). ``PAPER`` sets all to the paper's.
    """

    scale: Literal[2, 4, 8] = 4
    channels: int = 32
    deformable_groups: int = 4
    lr_blocks: int = 5
    reference_blocks: int = 3
    reconstruction_blocks: int = 20
    alignment: Literal["conv", "deformable", "flow-guided"] = "deformable"
    aggregation: Literal["average", "max", "content-conditioned"] = "content-conditioned"
    null_reference: bool = True
    shared_features: bool = True
    fusion: Literal["sum", "convolution"] = "convolution"


class HIMEOutput(NamedTuple):
    """What the network gives back.

    ``hr``: I^SR, B×3×sH×sW, about [0, 1] but not clamped. ``scores``: the weight of each reference in the
    aggregate, B×N×1×H×W in [0, 1]; what is missing to 1 went to the null reference.
    """

    hr: Tensor
    scores: Tensor


class HIME(System):
    """LR headshot and references in, HR headshot out."""

    config: HIMEConfig

    def __init__(self, config: HIMEConfig) -> None:
        super().__init__()
        if min(config.channels, config.deformable_groups) < 1:
            raise HimeError("channels and deformable_groups: give at least 1")
        if min(config.lr_blocks, config.reference_blocks, config.reconstruction_blocks) < 0:
            raise HimeError("lr_blocks, reference_blocks and reconstruction_blocks: give at least 0")
        if config.channels % config.deformable_groups:
            raise HimeError(
                f"channels={config.channels} is no multiple of deformable_groups={config.deformable_groups}"
            )
        self.config = config
        channels = config.channels
        self.lr_features = LRFeatureExtractor(channels, config.lr_blocks)
        self.reference_features = ReferenceFeatureExtractor(channels, config.scale, config.reference_blocks)
        self.alignment = build_alignment(config)
        self.aggregation = build_aggregation(config)
        self.fusion = Fusion(channels) if config.fusion == "convolution" else None
        self.reconstruction = Reconstruction(channels, config.scale, config.reconstruction_blocks)

    def forward(self, lr: Tensor, references: Tensor, present: Tensor | None = None) -> HIMEOutput:
        """Restore a batch.

        Args:
            lr: I^L, B×3×H×W in [0, 1].
            references: I^ref, B×N×3×sH×sW in [0, 1]; N may be 0.
            present: B×N bool, False where a slot holds no reference (its content is then ignored);
                None if all do.

        Raises:
            HimeError: the shapes do not belong together.
        """
        self.check_shapes(lr, references)
        features = self.encode(references.flatten(0, 1)).unflatten(0, references.shape[:2])
        return self.restore(lr, features, present)

    def encode(self, references: Tensor) -> Tensor:
        """References M×3×sH×sW → what is kept of them, M×F×H×W; done once a person."""
        if references.shape[0] == 0:  # PyTorch's space-to-depth refuses an empty batch
            height, width = (side // self.config.scale for side in references.shape[-2:])
            return references.new_zeros(0, self.feature_channels, height, width)
        reference_lr = F.avg_pool2d(references, self.config.scale)  # I^refL
        if self.config.shared_features:
            beyond = references - bicubic(reference_lr, self.config.scale)
            features: Tensor = self.reference_features(DETAIL_GAIN * beyond) + self.lr_features(reference_lr)
        else:
            features = self.reference_features(references)
        if self.config.alignment == "flow-guided":  # the flow needs I^refL
            features = torch.cat([features, reference_lr.to(features.dtype)], dim=1)
        return features

    def restore(self, lr: Tensor, features: Tensor, present: Tensor | None = None) -> HIMEOutput:
        """Restore ``lr`` (B×3×H×W) with encoded references (B×N×F×H×W)."""
        if present is None:
            present = torch.ones(features.shape[:2], dtype=torch.bool, device=lr.device)
        lr_features = self.lr_features(lr)
        aligned = self.align(features, lr_features, lr)
        aggregate, scores = self.aggregation(aligned, lr_features, present)
        if self.fusion is not None:
            aggregate = self.fusion(aggregate, lr_features)
        return HIMEOutput(self.reconstruction(lr_features + aggregate, lr), scores)

    def align(self, features: Tensor, lr_features: Tensor, lr: Tensor) -> Tensor:
        """Bring every reference to its LR headshot: B×N×F×H×W → B×N×C×H×W."""
        pairs = features.shape[:2]
        rows = features.flatten(0, 1)
        repeated = lr_features[:, None].expand(*pairs, *lr_features.shape[1:]).flatten(0, 1)
        if isinstance(self.alignment, FlowGuidedAlignment):
            rows, reference_lr = rows.split([self.config.channels, 3], dim=1)
            lr_rows = lr[:, None].expand(*pairs, *lr.shape[1:]).flatten(0, 1)
            aligned: Tensor = self.alignment(rows, repeated, reference_lr.float(), lr_rows)
        else:
            aligned = self.alignment(rows, repeated)
        return aligned.reshape(*pairs, *aligned.shape[1:])

    @property
    def feature_channels(self) -> int:
        """F, the channels of a cached reference."""
        return self.config.channels + (3 if self.config.alignment == "flow-guided" else 0)


class Fusion(nn.Module):
    """F_a as a convolution over [F_a, F^L], B×C×H×W each: it may weigh a detail by where it stands."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.conv.weight)
        with torch.no_grad():
            self.conv.weight.mul_(0.3)  # small beside F^L at first

    def forward(self, aggregate: Tensor, lr_features: Tensor) -> Tensor:
        fused: Tensor = self.conv(torch.cat([aggregate.to(lr_features.dtype), lr_features], dim=1))
        return fused


def build_alignment(config: HIMEConfig) -> nn.Module:
    """The alignment that ``config`` names."""
    if config.alignment == "conv":
        return ConvAlignment(config.channels)
    if config.alignment == "deformable":
        return DeformableAlignment(config.channels, config.deformable_groups)
    return FlowGuidedAlignment(config.channels, config.deformable_groups)


def build_aggregation(config: HIMEConfig) -> nn.Module:
    """The aggregation that ``config`` names."""
    if config.aggregation == "average":
        return AverageAggregation()
    if config.aggregation == "max":
        return MaxAggregation()
    return ContentConditionedAggregation(config.channels, config.null_reference)


PAPER = {"null_reference": False, "shared_features": False, "fusion": "sum"}
"""Changes that give the network as the paper describes it: ``small(8, **PAPER)``."""


def small(scale: Literal[2, 4, 8] = 4, **changes: object) -> HIME:
    """HIME small: deformable alignment without flow. ``changes`` are fields of ``HIMEConfig``."""
    return HIME(dataclasses.replace(HIMEConfig(scale=scale), **changes))  # type: ignore[arg-type]


def large(scale: Literal[2, 4, 8] = 4, **changes: object) -> HIME:
    """HIME large: flow-guided alignment, and the width that the paper's cost leaves beside SpyNet."""
    config = HIMEConfig(scale=scale, channels=104 if scale == 8 else 64, alignment="flow-guided")
    return HIME(dataclasses.replace(config, **changes))  # type: ignore[arg-type]
