"""Warp and deformable sampling against known shifts, the identity and torchvision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import deform_conv2d

from hime.model.sampling import deformable_sample, sample, warp


def maps(count: int = 2, channels: int = 4, height: int = 7, width: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, height, width, generator=generator, dtype=torch.float32)


def to_torchvision(offsets: torch.Tensor) -> torch.Tensor:
    """torchvision orders (y, x), ours (x, y)."""
    return offsets.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)


def test_zero_flow_is_the_identity() -> None:
    picture = maps()
    torch.testing.assert_close(warp(picture, torch.zeros(2, 2, 7, 9)), picture, rtol=0, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(dx=st.integers(-3, 3), dy=st.integers(-3, 3))
def test_a_whole_flow_moves_pixels(dx: int, dy: int) -> None:
    picture = maps()
    flow = torch.tensor([dx, dy], dtype=torch.float32).view(1, 2, 1, 1).expand(2, 2, 7, 9)
    moved = warp(picture, flow)
    expected = torch.zeros_like(picture)
    for y in range(7):
        for x in range(9):
            if 0 <= y + dy < 7 and 0 <= x + dx < 9:
                expected[..., y, x] = picture[..., y + dy, x + dx]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-4)


def test_half_a_pixel_is_the_mean_of_two() -> None:
    picture = maps()
    flow = torch.zeros(2, 2, 7, 9)
    flow[:, 0] = 0.5
    expected = (picture[..., :-1] + picture[..., 1:]) / 2
    torch.testing.assert_close(warp(picture, flow)[..., :-1], expected, rtol=0, atol=1e-5)


def test_samples_keep_the_type_of_the_map_and_the_precision_of_the_place() -> None:
    ramp = torch.arange(200.0).expand(1, 1, 200, 200)
    place = torch.full((1, 2, 1, 1), 150.25)
    assert sample(ramp, place).item() == pytest.approx(150.25, abs=1e-3)
    assert sample(ramp.bfloat16(), place).dtype == torch.bfloat16


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("size", [(7, 9), (8, 8), (3, 5)])
def test_deformable_sampling_equals_torchvision(groups: int, size: tuple[int, int]) -> None:
    height, width = size
    generator = torch.Generator().manual_seed(1)
    picture = maps(2, 4, height, width).requires_grad_()
    offsets = (2 * torch.randn(2, groups * 18, height, width, generator=generator)).requires_grad_()
    mask = torch.rand(2, groups * 9, height, width, generator=generator).requires_grad_()
    weight = torch.randn(5, 4, 3, 3, generator=generator).requires_grad_()
    inputs = [picture, offsets, mask, weight]

    ours = F.conv2d(deformable_sample(picture, offsets, mask), weight.flatten(1)[:, :, None, None])
    theirs = deform_conv2d(picture, to_torchvision(offsets), weight, padding=1, mask=mask)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    pull = torch.randn(ours.shape, generator=generator)
    for mine, reference in zip(
        torch.autograd.grad(ours, inputs, pull), torch.autograd.grad(theirs, inputs, pull), strict=True
    ):
        torch.testing.assert_close(mine, reference, rtol=1e-3, atol=1e-3)


def test_zero_offset_is_the_plain_convolution() -> None:
    picture = maps()
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(2))
    columns = deformable_sample(picture, torch.zeros(2, 36, 7, 9), torch.ones(2, 18, 7, 9))
    ours = F.conv2d(columns, weight.flatten(1)[:, :, None, None])
    torch.testing.assert_close(ours, F.conv2d(picture, weight, padding=1), rtol=1e-4, atol=1e-4)


def test_an_offset_moves_only_its_group_and_its_tap() -> None:
    picture = maps()
    offsets = torch.zeros(2, 2, 9, 2, 7, 9)
    offsets[:, 1, 4, 0] = 1.0  # second group, centre tap, one pixel to the right
    columns = deformable_sample(picture, offsets.flatten(1, 3), torch.ones(2, 18, 7, 9))
    plain = deformable_sample(picture, torch.zeros(2, 36, 7, 9), torch.ones(2, 18, 7, 9))
    changed = (columns - plain).abs().amax(dim=(0, 2, 3)).view(4, 9) > 1e-3
    expected = torch.zeros(4, 9, dtype=torch.bool)
    expected[2:, 4] = True
    assert torch.equal(changed, expected)
    centre = columns.view(2, 4, 9, 7, 9)[:, 2:, 4]
    torch.testing.assert_close(centre[..., :-1], picture[:, 2:, :, 1:], rtol=0, atol=1e-5)
