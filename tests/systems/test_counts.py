"""Parameters and multiply-adds of the published systems, layer by layer those of their public code.

Counted without numbers (fake tensors): what a network costs does not depend on them.
"""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from hime.evaluation.cost import breakdown, parameters_without_normalisation
from hime.model.system import System
from hime.systems import SystemConfig, SystemName, build

VGG_TO_RELU3_1 = 555_328
VGG = 20_024_384
PARSENET = 21_303_254
SOFT_WEIGHTS = 6
"""SRNTT's, which the published count leaves out."""
FSRNET_HEADS = 1_419 + 8_772
"""For 11 parsing maps and 68 points, which the public code lacks."""

Setting = tuple[int, Literal[2, 4, 8]]


def fake(system: SystemName, lr: int, scale: Literal[2, 4, 8]) -> System:
    return build(SystemConfig(system=system, scale=scale, hr_size=scale * lr)).eval()


@pytest.mark.parametrize(
    ("system", "setting", "trained", "frozen", "normalisation"),
    [
        ("srntt", (32, 4), 5_746_246 + SOFT_WEIGHTS, VGG_TO_RELU3_1, 0),
        ("ttsr", (32, 4), 6_174_275 + VGG_TO_RELU3_1, 0, 0),  # VGG-19 is trained on
        ("sparnet", (32, 4), 10_518_867, 0, 10_518_867 - 10_490_131),
        ("psfrgan", (64, 4), 45_821_571 + PARSENET, 0, PARSENET - 21_286_614),
        ("pfsr", (16, 8), 8_969_097, 0, 8_969_097 - 8_963_593),
        ("fsrnet", (16, 8), 3_262_272 + FSRNET_HEADS, 0, 3_262_272 - 3_245_376),
        ("gwainet", (16, 8), 4_293_445, 0, 0),
    ],
)
def test_parameters(
    system: SystemName, setting: Setting, trained: int, frozen: int, normalisation: int
) -> None:
    with torch.device("meta"):
        network = fake(system, *setting)
    parameters = list(network.parameters())
    assert sum(each.numel() for each in parameters if each.requires_grad) == trained
    assert sum(each.numel() for each in parameters if not each.requires_grad) == frozen
    assert parameters_without_normalisation(network) == trained + frozen - normalisation


@pytest.mark.parametrize(
    ("system", "setting", "references", "gmacs"),
    [
        ("srntt", (32, 4), 1, 30.885 + 3 * 1.840),
        ("srntt", (64, 4), 1, 123.540 + 3 * 7.361),
        ("ttsr", (32, 4), 1, 21.029 + 3 * 1.840),
        ("ttsr", (64, 4), 1, 84.118 + 3 * 7.362),
        ("sparnet", (32, 4), 0, 7.130),
        ("sparnet", (64, 4), 0, 28.521),
        ("sparnet", (16, 8), 0, 7.130),
        ("psfrgan", (32, 4), 0, 45.907 + 14.656),
        ("pfsr", (16, 8), 0, 5.241),
        ("fsrnet", (16, 8), 0, 15.274),
        ("gwainet", (16, 8), 1, 3.266),
    ],
)
def test_multiply_adds_of_modules(
    system: SystemName, setting: Setting, references: int, gmacs: float
) -> None:
    lr, scale = setting
    with FakeTensorMode():
        network = fake(system, lr, scale)
        found = breakdown(network, (lr, lr), references)
    if system == "psfrgan":
        assert sum(parameter.numel() for parameter in network.parameters()) == 45_502_467 + PARSENET
    assert found.modules == pytest.approx(gmacs * 1e9, rel=0.005)


@pytest.mark.parametrize(
    ("system", "lr", "products"),
    [("srntt", 32, 1.87), ("srntt", 64, 34.04), ("ttsr", 32, 2.416), ("ttsr", 64, 38.655)],
)
def test_multiply_adds_of_the_search(system: SystemName, lr: int, products: float) -> None:
    with FakeTensorMode():
        found = breakdown(fake(system, lr, 4), (lr, lr), 1)
    assert found.functions == pytest.approx(products * 1e9, rel=0.01)  # and the bicubic enlargements


def test_dfdnet_part_by_part() -> None:
    """VGG-19 and the decoder at a quarter of 64→256; what attention costs depends on the boxes."""
    with FakeTensorMode():
        network = fake("dfdnet", 32, 4)
        attention = 0

        def counted(layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            nonlocal attention
            assert isinstance(layer.weight, torch.Tensor)
            attention += output.numel() * layer.weight[0].numel()

        for layer in network.get_submodule("transfer").modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(counted)
        found = breakdown(network, (32, 32), 0)
    parameters = list(network.parameters())
    assert sum(each.numel() for each in parameters if each.requires_grad) == 93_289_603
    assert sum(each.numel() for each in parameters if not each.requires_grad) == VGG
    assert found.modules - attention == pytest.approx((25.480 + 46.620) / 4 * 1e9, rel=0.005)
    assert 0.3e9 < attention < 0.5e9
