"""Counting: each rule against a count by hand, the sums, and the paper's budgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
import torch.nn.functional as F

from hime.evaluation.cost import count, macs
from hime.model import HIME, large, small


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda: F.conv2d(torch.rand(2, 4, 5, 6), torch.rand(7, 4, 3, 3), padding=1), 2 * 7 * 30 * 4 * 9),
        (
            lambda: F.conv2d(torch.rand(1, 4, 5, 6), torch.rand(8, 2, 3, 3), padding=1, groups=2),
            8 * 30 * 2 * 9,
        ),
        (lambda: torch.rand(3, 4) @ torch.rand(4, 5), 60),
        (lambda: torch.einsum("bij,bjk->bik", torch.rand(2, 3, 4), torch.rand(2, 4, 5)), 120),
        (lambda: F.grid_sample(torch.rand(2, 3, 4, 4), torch.rand(2, 5, 6, 2), align_corners=False), 720),
        (lambda: F.interpolate(torch.rand(1, 3, 4, 4), scale_factor=2.0, mode="bicubic"), 16 * 3 * 64),
        (lambda: F.interpolate(torch.rand(1, 3, 4, 4), scale_factor=2.0, mode="bilinear"), 4 * 3 * 64),
        (lambda: torch.rand(5, 5).relu() + 1, 0),
    ],
    ids=["convolution", "grouped", "product", "einsum", "sampling", "bicubic", "bilinear", "pointwise"],
)
def test_each_rule(work: Callable[[], object], expected: int) -> None:
    assert macs(work) == expected


def test_sums(tiny_network: HIME) -> None:
    none, three = count(tiny_network, (8, 8), 0), count(tiny_network, (8, 8), 3)
    assert three.parameters == sum(parameter.numel() for parameter in tiny_network.parameters())
    assert three.macs_total == 3 * three.macs_encode_per_reference + three.macs_restore
    assert none.macs_total == none.macs_restore < three.macs_restore
    assert count(tiny_network, (16, 16), 3).macs_total == 4 * three.macs_total
    assert three.as_card() == {
        "lr": [8, 8],
        "references": 3,
        "total": three.macs_total,
        "encode_per_reference": three.macs_encode_per_reference,
        "restore": three.macs_restore,
    }


def test_sampling_counts() -> None:
    """A deformable alignment costs what its convolutions cost, and 4 multiply-adds a sampled value."""
    plain, deformable = (
        count(small(4, channels=8, deformable_groups=2, alignment=alignment), (8, 8), 1).macs_restore
        for alignment in ("conv", "deformable")
    )
    pixels = 8 * 8
    offsets = pixels * 9 * (16 * 8 + 8 * 2 * 27)
    assert deformable - plain == offsets + 4 * 8 * 9 * pixels


@pytest.mark.parametrize(
    ("build", "scale", "side", "parameters", "gmacs"),
    [
        (small, 4, 32, 0.87e6, 1.86),
        (small, 8, 16, 0.90e6, 0.49),
        (large, 4, 32, 9.23e6, 6.06),
        (large, 8, 16, 9.26e6, 4.49),
    ],
)
def test_published_sizes_keep_the_papers_budgets(
    build: Callable[..., HIME], scale: Literal[4, 8], side: int, parameters: float, gmacs: float
) -> None:
    cost = count(build(scale), (side, side), references=3)
    assert cost.parameters <= parameters
    assert cost.macs_total <= gmacs * 1e9
