"""The relativistic average adversarial loss (Jolicoeur-Martineau 2018), equations 12 to 14.

``real`` and ``fake`` are C(I^HR) and C(I^SR), the logits of a discriminator for a minibatch of true and of
restored images, of one shape: maps of any size. Every place of a map is judged by itself; E in the equations
is the mean over all places of all maps of the minibatch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_adv, equation 12: −E[log(1 − D_Ra(HR, SR))] − E[log D_Ra(SR, HR)], a scalar.

    The gradient of its first term reaches the generator through the mean of ``fake``, so that both terms
    matter; ``real`` may come without a graph.
    """
    return discriminator_loss(fake, real)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_D, equation 14: −E[log D_Ra(HR, SR)] − E[log(1 − D_Ra(SR, HR))], a scalar.

    D_Ra(a, b) = σ(C(a) − E[C(b)]), equation 13. As −log σ(x) = softplus(−x) and −log(1 − σ(x)) = softplus(x),
    no probability is ever computed that could round to 0 or 1. At least single precision.
    """
    real, fake = at_least_single(real), at_least_single(fake)
    return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()


def at_least_single(values: Tensor) -> Tensor:
    """Values as float32, or as they are if wider: a mean over many halves would be coarse."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
