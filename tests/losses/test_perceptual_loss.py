"""The perceptual loss against a slow plain version, in values and gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hime import HimeError
from hime.losses.frozen import architecture, frozen_features
from hime.losses.perceptual import PerceptualLoss, convolution_names

VGG19_LAYERS = [
    f"conv{block}_{index}" for block, depth in enumerate([2, 2, 4, 4, 4], 1) for index in range(1, depth + 1)
]


def tiny_vgg(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Two blocks as torchvision builds VGG's, ReLUs in place."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.ReLU(inplace=True),
        ).to(dtype)


def images(size: int = 8, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    restored, truth = torch.rand(2, 2, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return restored.requires_grad_(), truth


def slow_features(network: nn.Sequential, image: Tensor) -> dict[str, Tensor]:
    """Every convolution's output, layer by layer, nothing in place; a pooling starts the next block."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    maps = torch.stack([(image[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    found = {}
    block, index = 1, 0
    for module in network:
        if isinstance(module, nn.Conv2d):
            maps = F.conv2d(maps, module.weight, module.bias, padding=1)
            index += 1
            found[f"conv{block}_{index}"] = maps
        elif isinstance(module, nn.ReLU):
            maps = torch.where(maps > 0, maps, torch.zeros_like(maps))
        else:
            maps = F.max_pool2d(maps, 2)
            block, index = block + 1, 0
    return found


def slow_loss(network: nn.Sequential, layers: tuple[str, ...], restored: Tensor, truth: Tensor) -> Tensor:
    """Equation 11 for each layer over the mean size of the truth's feature."""
    ours, theirs = slow_features(network, restored), slow_features(network, truth)
    total = restored.new_zeros(())
    for layer in layers:
        distance = (theirs[layer] - ours[layer]).abs().mean()
        total = total + distance / theirs[layer].abs().mean()
    return total / len(layers)


@pytest.mark.parametrize(
    "layers",
    [("conv1_1",), ("conv1_2",), ("conv2_1",), ("conv1_1", "conv1_2", "conv2_1"), ("conv2_1", "conv1_1")],
)
def test_loss_is_the_slow_version(layers: tuple[str, ...]) -> None:
    network = tiny_vgg(torch.float64)
    restored, truth = images(dtype=torch.float64)
    expected = slow_loss(network, layers, restored, truth)
    (expected_gradient,) = torch.autograd.grad(expected, restored)
    loss = PerceptualLoss(layers, network).double()(restored, truth)
    (gradient,) = torch.autograd.grad(loss, restored)
    # the means and deviations of the channels were rounded to single precision
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-9)


def test_loss_with_the_public_weights_is_the_slow_version(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (shared / "weights" / "vgg19_features.safetensors").is_file():
        pytest.skip(f"{shared} holds no weights/vgg19_features.safetensors")
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(shared / "weights"))
    layers = ("conv3_4", "conv5_4")
    restored, truth = images(size=32)
    expected = slow_loss(frozen_features("vgg19"), layers, restored, truth)
    (expected_gradient,) = torch.autograd.grad(expected, restored)
    loss = PerceptualLoss(layers)(restored, truth)
    (gradient,) = torch.autograd.grad(loss, restored)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    assert (gradient - expected_gradient).abs().mean() < 1e-3 * expected_gradient.abs().mean()


def test_gradient_is_right_numerically() -> None:
    loss = PerceptualLoss(("conv1_2", "conv2_1"), tiny_vgg()).double()
    restored, truth = images(size=4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda image: loss(image, truth), restored)


def test_truth_gets_no_gradient() -> None:
    restored, truth = images()
    PerceptualLoss(("conv2_1",), tiny_vgg())(restored, truth.requires_grad_()).backward()
    assert restored.grad is not None
    assert restored.grad.abs().max() > 0
    assert truth.grad is None


def test_equal_pictures_have_no_distance() -> None:
    _, truth = images()
    assert PerceptualLoss(("conv1_1", "conv2_1"), tiny_vgg())(truth, truth).item() == 0


@pytest.mark.parametrize("scale", [1e-3, 300.0])
def test_scale_of_the_weights_does_not_matter(scale: float) -> None:
    """A layer's weights and bias times c multiply its feature by c."""
    restored, truth = images()
    expected = PerceptualLoss(("conv2_1",), tiny_vgg())(restored, truth)
    network = tiny_vgg()
    last = network[5]
    with torch.no_grad():
        for parameter in last.parameters():
            parameter *= scale
    torch.testing.assert_close(PerceptualLoss(("conv2_1",), network)(restored, truth), expected)


def test_half_precision_features_have_a_single_precision_loss() -> None:
    restored, truth = images(size=16)
    module = PerceptualLoss(("conv1_2", "conv2_1"), tiny_vgg())
    with torch.autocast("cpu", torch.bfloat16):
        loss = module(restored, truth)
    loss.backward()
    assert loss.dtype == torch.float32
    assert restored.grad is not None
    assert restored.grad.isfinite().all()
    torch.testing.assert_close(loss, module(restored, truth), rtol=0.02, atol=0)


def test_network_is_copied_and_frozen() -> None:
    network = tiny_vgg()
    module = PerceptualLoss(("conv1_2",), network)
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert len(list(module.modules())) < len(list(network.modules())) + 3  # nothing behind conv1_2 is kept
    assert sum(isinstance(part, nn.Conv2d) for part in module.modules()) == 2


def test_convolutions_have_vggs_names() -> None:
    assert list(convolution_names(architecture("vgg19")).values()) == VGG19_LAYERS


@pytest.mark.parametrize(("layers", "what"), [(("conv1_1", "relu5_4"), "'relu5_4'"), ((), "no layer")])
def test_unknown_layers_are_refused_with_the_known_ones(layers: tuple[str, ...], what: str) -> None:
    with pytest.raises(HimeError, match=f"{what}.*choose among conv1_1, conv1_2, conv2_1"):
        PerceptualLoss(layers, tiny_vgg())
