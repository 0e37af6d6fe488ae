"""The discriminators: sizes, spectral norm, and a state that goes on exactly."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hime import HimeError
from hime.losses.adversarial import discriminator_loss
from hime.model.discriminator import PatchDiscriminator, UNetDiscriminator, build_discriminator

Name = Literal["patch", "unet"]
both = pytest.mark.parametrize("name", ["patch", "unet"])


def discriminator(name: Name, channels: int = 8, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_discriminator(name, channels)


def images(batch: int = 2, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(32, 32), (32, 40), (72, 32), (64, 64)])
def test_logits_are_one_a_patch_or_one_a_pixel(size: tuple[int, int]) -> None:
    height, width = size
    pictures = images(2, height, width)
    assert discriminator("patch")(pictures).shape == (2, 1, height // 8, width // 8)
    assert discriminator("unet")(pictures).shape == (2, 1, height, width)


@both
@pytest.mark.parametrize("size", [(24, 32), (32, 36), (33, 32)])
def test_sizes_that_cannot_be_halved_thrice_are_refused(name: Name, size: tuple[int, int]) -> None:
    with pytest.raises(HimeError, match="multiples of 8"):
        discriminator(name)(images(1, *size))


def test_names_and_width() -> None:
    assert isinstance(build_discriminator("patch", 4), PatchDiscriminator)
    assert isinstance(build_discriminator("unet", 4), UNetDiscriminator)
    with pytest.raises(HimeError, match="choose patch or unet"):
        build_discriminator("vgg", 4)  # type: ignore[arg-type]
    with pytest.raises(HimeError, match="at least 1"):
        build_discriminator("unet", 0)


def test_unet_is_real_esrgans() -> None:
    """4,376,897 parameters at their width of 64: Wang et al.'s published discriminator."""
    count = sum(parameter.numel() for parameter in UNetDiscriminator(64).parameters())
    assert count == 4_376_897


def test_patch_sees_54_pixels() -> None:
    pictures = images(1, 96, 96).requires_grad_()
    discriminator("patch")(pictures)[0, 0, 6, 6].backward()
    assert pictures.grad is not None
    rows = pictures.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 54


@both
def test_images_of_a_batch_are_judged_apart(name: Name) -> None:
    network = discriminator(name).eval()
    pictures = images(3)
    with torch.no_grad():
        torch.testing.assert_close(network(pictures)[1:2], network(pictures[1:2]))


@both
def test_spectral_norm_of_the_weights_is_about_one(name: Name) -> None:
    network = discriminator(name)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 5  # away from where the iteration started
        for _ in range(30):
            network(images(1))
    network.eval()
    normalised = [module for module in network.modules() if parametrize.is_parametrized(module)]
    assert len(normalised) == {"patch": 5, "unet": 8}[name]
    for module in normalised:
        weight = module.weight
        assert isinstance(weight, Tensor)
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


@both
def test_every_parameter_receives_a_gradient(name: Name) -> None:
    """Of real and fake in two forwards, as in a training step, half precision included."""
    network = discriminator(name)
    with torch.autocast("cpu", torch.bfloat16):
        real, fake = network(images(seed=0)), network(images(seed=1))
    discriminator_loss(real, fake).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        # one bias moves every logit alike, which a relativistic loss does not see
        if parameter.numel() > 1:
            assert parameter.grad.abs().max() > 0, key


@both
def test_loaded_state_goes_on_bit_for_bit(name: Name, tmp_path: Path) -> None:
    """The iteration's vectors are in the state: one that is built and loaded trains as the one saved."""

    def step(network: nn.Module, seed: int) -> Tensor:
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        loss = discriminator_loss(network(images(seed=seed)), network(images(seed=seed + 1)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    first = discriminator(name, seed=0)
    step(first, seed=0)
    path = tmp_path / "state.safetensors"
    save_file(first.state_dict(), path)
    assert any(key.endswith("_u") for key in load_file(path))
    second = discriminator(name, seed=1)
    second.load_state_dict(load_file(path))

    def same_outputs() -> bool:
        with torch.no_grad():
            return torch.equal(copy.deepcopy(first).eval()(images()), copy.deepcopy(second).eval()(images()))

    assert same_outputs()
    with torch.no_grad():
        assert torch.equal(first(images()), second(images()))  # in training mode: the vectors move on
    assert same_outputs()
    for seed in range(2, 5):
        assert torch.equal(step(first, seed), step(second, seed))
    assert same_outputs()
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), second.buffers(), strict=True))
