"""One step's losses as pure functions of networks and batch; the loop does everything around them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hime.losses.adversarial import discriminator_loss
from hime.losses.objective import Objective
from hime.training.batches import Batch


def generator_step(
    model: nn.Module, batch: Batch, objective: Objective
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """The loss of ``model`` on ``batch``: a scalar to differentiate, its unweighted terms, and I^SR.

    Terms and picture are detached.
    """
    hr, _ = model(batch.lr, batch.references, batch.present)
    total, terms = objective(hr, batch.hr)
    return total, terms, hr.detach()


def discriminator_step(discriminator: nn.Module, batch: Batch, restored: Tensor) -> Tensor:
    """L_D, equation 14: a scalar to differentiate. ``restored`` is what the generator made of ``batch``.

    The expectations are over this process's part of the batch. True and restored pictures go through in one
    forward, which is one step of the spectral norm's power iteration.
    """
    logits = discriminator(torch.cat([batch.hr, restored.to(batch.hr.dtype)]))
    real, fake = logits.chunk(2)
    return discriminator_loss(real, fake)
