"""The losses against slow readable loops, in values and gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from hime import HimeError
from hime.losses.correlation import correlation_loss
from hime.losses.objective import LossWeights, Objective
from hime.losses.pixel import charbonnier


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    restored, truth = torch.rand(2, *shape, generator=generator, dtype=dtype)
    return restored.requires_grad_(), truth


def slow_correlation_map(image: Tensor, window: int, dilation: int) -> Tensor:
    """Equation 8 word by word: C×H×W → k²×H×W."""
    channels, height, width = image.shape
    centred = torch.stack([image[c] - image[c].mean() for c in range(channels)])
    reach = (window - 1) // 2
    maps = []
    for i, j in itertools.product(range(-reach, reach + 1), repeat=2):
        rows = []
        for y, x in itertools.product(range(height), range(width)):
            other_x, other_y = x - i * dilation, y - j * dilation
            inside = 0 <= other_x < width and 0 <= other_y < height
            neighbour = centred[:, other_y, other_x] if inside else torch.zeros(channels, dtype=image.dtype)
            rows.append((centred[:, y, x] * neighbour).sum() / window**2)
        maps.append(torch.stack(rows).reshape(height, width))
    return torch.stack(maps)


def slow_correlation_loss(restored: Tensor, truth: Tensor, window: int, dilation: int) -> Tensor:
    """Equation 9: absolute differences, summed over the maps, mean over pixels and images."""
    pairs = zip(restored, truth, strict=True)
    return (
        torch.stack(
            [
                (slow_correlation_map(b, window, dilation) - slow_correlation_map(a, window, dilation)).abs()
                for a, b in pairs
            ]
        )
        .sum(dim=1)
        .mean()
    )


@pytest.mark.parametrize(
    ("shape", "window", "dilation"),
    [
        ((1, 3, 5, 7), 1, 1),
        ((2, 3, 6, 5), 3, 1),
        ((1, 3, 7, 6), 5, 1),
        ((1, 2, 8, 7), 3, 2),
        ((1, 1, 9, 8), 5, 2),
        ((1, 3, 3, 4), 7, 2),  # most of the window lies outside the image
    ],
)
def test_correlation_loss_is_the_double_loop(shape: tuple[int, ...], window: int, dilation: int) -> None:
    restored, truth = images(*shape)
    expected = slow_correlation_loss(restored, truth, window, dilation)
    (expected_gradient,) = torch.autograd.grad(expected, restored)
    loss = correlation_loss(restored, truth, window, dilation)
    (gradient,) = torch.autograd.grad(loss, restored)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_correlation_loss_gradient_is_right_numerically() -> None:
    restored, truth = images(1, 2, 4, 5, seed=3)
    assert torch.autograd.gradcheck(lambda image: correlation_loss(image, truth, 3, 1), restored)


def test_correlation_loss_ignores_a_change_of_brightness() -> None:
    _, truth = images(2, 3, 8, 8)
    loss = correlation_loss(truth + 0.25, truth, 3)
    torch.testing.assert_close(loss, torch.zeros((), dtype=torch.float64), atol=1e-12, rtol=0)


def test_correlation_loss_keeps_no_shifted_images() -> None:
    """What the graph saves: (k²+1)/2 maps of one channel and views, not k² images of three."""
    restored, truth = images(2, 3, 32, 32, dtype=torch.float32)
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    window = 7
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        correlation_loss(restored, truth, window)
    image = restored.numel() * restored.element_size()
    assert sum(saved.values()) <= image * ((window**2 + 1) / 2 / 3 + 2)


@pytest.mark.parametrize(("window", "dilation"), [(0, 1), (4, 1), (3, 0)])
def test_correlation_loss_refuses_windows_without_a_centre(window: int, dilation: int) -> None:
    restored, truth = images(1, 3, 8, 8)
    with pytest.raises(HimeError, match="odd window"):
        correlation_loss(restored, truth, window, dilation)


def test_charbonnier_is_the_mean_over_elements() -> None:
    restored, truth = images(2, 3, 4, 4)
    elements = [
        ((a - b) ** 2 + 1e-6) ** 0.5
        for a, b in zip(restored.flatten().tolist(), truth.flatten().tolist(), strict=True)
    ]
    assert charbonnier(restored, truth).item() == pytest.approx(sum(elements) / len(elements))
    assert charbonnier(truth, truth).item() == pytest.approx(1e-3)
    assert torch.autograd.gradcheck(lambda image: charbonnier(image, truth), restored)


def test_objective_weighs_and_names_its_terms() -> None:
    restored, truth = images(2, 3, 8, 8, dtype=torch.float32)
    weights = LossWeights(pixel=1.0, correlation=0.1, correlation_window=3)
    total, terms = Objective(weights)(restored, truth)
    assert set(terms) == {"pixel", "correlation"}
    torch.testing.assert_close(terms["pixel"], charbonnier(restored, truth))
    torch.testing.assert_close(terms["correlation"], correlation_loss(restored, truth, 3))
    torch.testing.assert_close(total, terms["pixel"] + 0.1 * terms["correlation"])
    total.backward()
    assert restored.grad is not None


def test_objective_leaves_out_what_weighs_nothing() -> None:
    restored, truth = images(1, 3, 8, 8, dtype=torch.float32)
    total, terms = Objective(LossWeights())(restored.to(torch.bfloat16), truth)
    assert set(terms) == {"pixel"}
    assert total.dtype == torch.float32


@pytest.mark.parametrize("weights", [LossWeights(pixel=0), LossWeights(correlation=-1)])
def test_objective_refuses_weights_that_say_nothing(weights: LossWeights) -> None:
    with pytest.raises(HimeError, match="loss weights"):
        Objective(weights)
