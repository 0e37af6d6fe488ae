"""Counting: each rule against a count by hand, the sums, and the paper's budgets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hime.evaluation.cost import breakdown, costs, count, macs, parameters_without_normalisation
from hime.model import HIME, PAPER, large, small


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


def test_breakdown_by_hand() -> None:
    """One residual block and no other: each kind of multiply-add against its formula."""
    model = small(
        4, channels=8, deformable_groups=2, lr_blocks=0, reference_blocks=0, reconstruction_blocks=1, **PAPER
    )
    pixels, references = 8 * 8, 3
    found = breakdown(model, (8, 8), references)
    once = 9 * (3 * 8 + 8 * 8 + 2 * 8 * 8 + 8 * 48)  # to features, g2, residual block, sub-pixels
    offsets = 9 * (16 * 8 + 8 * 54)
    each = 16 * 3 + 9 * 16 * 8 + offsets + 72 * 8 + 9 * 8 * 8  # grey, features, g, its product, g1
    assert found.modules == pixels * (once + references * each)
    assert found.functions == 3 * 16 * pixels * 25  # the bicubic skip
    assert found.sampling == references * 4 * 9 * 8 * pixels
    assert found.resizing == 0
    mask, scores, weights = 9 * 8, 8 + 1 + 1, 1 + 8  # scores: the product, its division, who is present
    assert found.products >= references * pixels * (mask + scores + weights)


@pytest.mark.parametrize("build", [small, large])
def test_breakdown_adds_up_whatever_the_references(build: Callable[..., HIME]) -> None:
    sizes = {"lr_blocks": 1, "reference_blocks": 1, "reconstruction_blocks": 1}
    model = build(8, channels=8, deformable_groups=2, **sizes)
    told = costs(model, 4)
    assert [(row["lr"], row["references"]) for row in told["macs"]] == [([16, 16], n) for n in range(5)]
    for row in told["macs"]:
        found = breakdown(model, (16, 16), row["references"])
        kinds = ("modules", "functions", "sampling", "resizing", "products", "total")
        assert [row[kind] for kind in kinds] == [getattr(found, kind) for kind in kinds]
        assert found.total == count(model, (16, 16), row["references"]).macs_total
    assert (told["macs"][1]["resizing"] > 0) == (build is large)  # the flow's pyramid


def test_parameters_without_normalisation() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    normalised = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.GroupNorm(2, 4))
    assert sum(parameter.numel() for parameter in normalised.parameters()) == 112 + 8 + 148 + 8
    assert parameters_without_normalisation(normalised) == parameters_without_normalisation(plain) == 260


@pytest.mark.parametrize(("channels", "gmacs"), [(32, 0.985), (40, 1.470)])
def test_small_as_printed_counted_by_modules_alone(channels: int, gmacs: float) -> None:
    """Beside the paper's 1.86 G, at LR 32 with three references: no width has both its cost and its size."""
    model = small(4, channels=channels, deformable_groups=8, **PAPER)
    assert breakdown(model).modules == pytest.approx(gmacs * 1e9, rel=1e-3)


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


def test_info_tells_the_costs_of_an_exported_model_and_of_a_checkpoint(
    tiny_model: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hime.cli import main

    for model in (tiny_model, tiny_run):
        assert main(["info", str(model), "--json", "--costs", "1"]) == 0
        card = json.loads(capsys.readouterr().out)
        assert [(row["lr"][0], row["references"]) for row in card["costs"]["macs"]] == [
            (32, 0), (32, 1), (64, 0), (64, 1),
        ]  # fmt: skip
        assert card["costs"]["parameters"] == card["parameters"]
        assert main(["info", str(model), "--costs"]) == 0
        told = capsys.readouterr().out
        assert "without normalisation" in told
        assert len([line for line in told.splitlines() if "64×64" in line]) == 4
        assert main(["info", str(model), "--json"]) == 0
        assert "costs" not in json.loads(capsys.readouterr().out)
