"""The relativistic average losses against equations 12 to 14 written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hime.losses.adversarial import discriminator_loss, generator_loss

SHAPES = [(4,), (3, 1), (2, 1, 4, 4), (2, 1, 5, 7)]


def logits(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    real, fake = 3 * torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return real.requires_grad_(), fake.requires_grad_()


def judgement(one: Tensor, other: Tensor) -> Tensor:
    """D_Ra, equation 13, with E over every place of every map."""
    return torch.sigmoid(one - sum(other.flatten()) / other.numel())


def written_out_generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Equation 12."""
    return -(1 - judgement(real, fake)).log().mean() - judgement(fake, real).log().mean()


def written_out_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Equation 14."""
    return -judgement(real, fake).log().mean() - (1 - judgement(fake, real)).log().mean()


@pytest.mark.parametrize("shape", SHAPES)
def test_generator_loss_is_equation_12(shape: tuple[int, ...]) -> None:
    real, fake = logits(*shape)
    loss, expected = generator_loss(real, fake), written_out_generator_loss(real, fake)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, (real, fake)), torch.autograd.grad(expected, (real, fake))
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_discriminator_loss_is_equation_14(shape: tuple[int, ...]) -> None:
    real, fake = logits(*shape)
    loss, expected = discriminator_loss(real, fake), written_out_discriminator_loss(real, fake)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, (real, fake)), torch.autograd.grad(expected, (real, fake))
    )


def test_gradients_are_right_numerically() -> None:
    real, fake = logits(2, 1, 3, 3)
    assert torch.autograd.gradcheck(generator_loss, (real, fake))
    assert torch.autograd.gradcheck(discriminator_loss, (real, fake))


def test_generator_wants_the_opposite() -> None:
    real, fake = logits(2, 1, 4, 4)
    torch.testing.assert_close(generator_loss(real, fake), discriminator_loss(fake, real))


def test_undecided_discriminator_costs_both_two_bits() -> None:
    same = torch.full((2, 1, 4, 4), 1.5)
    assert generator_loss(same, same).item() == pytest.approx(2 * math.log(2))
    assert discriminator_loss(same, same).item() == pytest.approx(2 * math.log(2))


def test_both_gradients_of_the_generator_remain_when_it_is_seen_through() -> None:
    """The sigmoid of 200 is 1 in any precision: the formulas as written would give log 0."""
    real, fake = torch.full((2, 1, 2, 2), 100.0), torch.full((2, 1, 2, 2), -100.0, requires_grad=True)
    loss = generator_loss(real, fake)
    loss.backward()
    assert loss.item() == pytest.approx(400.0)
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, torch.full_like(fake, -2.0 / fake.numel()))
    assert discriminator_loss(real, fake).item() == 0


def test_half_precision_logits_are_judged_in_single_precision() -> None:
    real, fake = (tensor.detach() for tensor in logits(2, 1, 8, 8, dtype=torch.float32))
    loss = generator_loss(real.bfloat16(), fake.bfloat16())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, generator_loss(real.bfloat16().float(), fake.bfloat16().float()))
