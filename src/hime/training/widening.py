"""A wide network that starts as what a narrow one has learned (Net2Net, Chen et al. 2016).

A large model need not learn again what the small one knows. The further channels start with fresh weights,
and nothing of them reaches the channels of the narrow network: at first both compute the same, and training
finds what the further channels are good for. Not from the paper, which does not say how it trains the large
model.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from hime.model import HIME, HIMEConfig

SCORE_KEYS = "aggregation.g1."
"""Scores are products over the channels, divided by √C: here further channels must count nothing."""
COLUMNS = "alignment.conv.weight"
"""Its inputs are ordered by channel, then kernel position; all others by part of a concatenation, then
channel."""


def is_narrower(narrow: HIMEConfig, wide: HIMEConfig) -> bool:
    """Whether `widen` can start a network ``wide`` from ``narrow``: fewer channels, the same otherwise.

    A flow-guided network may also start from a deformable one: it keeps its own flow, and the offsets that
    were learned are then counted from there. That part does not compute the same at first.
    """
    fields: dict[str, Any] = {"channels": wide.channels}
    if (narrow.alignment, wide.alignment) == ("deformable", "flow-guided"):
        fields["alignment"] = wide.alignment
    return narrow.channels < wide.channels and dataclasses.replace(narrow, **fields) == wide


@torch.no_grad()
def widen(narrow: HIME, wide: HIME) -> None:
    """Start ``wide``, which has fresh weights, from ``narrow``; `is_narrower` must hold.

    The channels of a deformable group stay in that group, so the narrow network's channel ``c`` of ``G``
    groups becomes the same place of the same group.
    """
    few, many, groups = narrow.config.channels, wide.config.channels, wide.config.deformable_groups
    known = torch.arange(few)
    known = known // (few // groups) * (many // groups) + known % (few // groups)

    def places(name: str, size: int, wide_size: int) -> Tensor:
        """Where the narrow network's rows (or columns) of a weight lie in the wide one's."""
        if size == wide_size:
            return torch.arange(size)
        parts = torch.arange(size // few)
        if name == COLUMNS:
            return (known[:, None] * len(parts) + parts).flatten()
        return (parts[:, None] * many + known).flatten()

    theirs = narrow.state_dict()
    for name, weight in wide.named_parameters():
        if name not in theirs:  # the flow
            continue
        source = theirs[name]
        if name.startswith(SCORE_KEYS):
            source = source * (many / few) ** 0.5
            weight.zero_()
        if weight.ndim == 0 or weight.shape == source.shape:
            weight.copy_(source)
            continue
        rows = places("", source.shape[0], weight.shape[0])
        if weight.ndim == 1:
            weight[rows] = source
            continue
        columns = places(name, source.shape[1], weight.shape[1])
        weight[rows] = 0
        weight[rows[:, None], columns] = source
