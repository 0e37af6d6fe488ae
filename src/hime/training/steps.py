"""One step's losses as pure functions of networks and batch; the loop does everything around them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hime.losses.adversarial import discriminator_loss
from hime.losses.objective import Objective
from hime.model.system import System
from hime.training.batches import Batch


def generator_step(
    model: nn.Module, batch: Batch, objective: Objective
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """The loss of ``model`` on ``batch``: a scalar to differentiate, its terms, and I^SR.

    The objective's terms come unweighted, those of the system's own with their weights. Terms and picture
    are detached. ``model`` is a `System`, which several processes may wrap.
    """
    output = model(batch.lr, batch.references, batch.present)
    total, terms = objective(output.hr, batch.hr)
    system = model.module if isinstance(model, DistributedDataParallel) else model
    assert isinstance(system, System)
    own = system.auxiliary(output, batch.hr, batch.labels, objective.weights.perceptual > 0)
    total = sum(own.values(), total)
    # Detached here: in a compiled objective a term that is the whole total would take its gradient with it.
    return total, {name: term.detach() for name, term in (terms | own).items()}, output.hr.detach()


def discriminator_step(discriminator: nn.Module, batch: Batch, restored: Tensor) -> Tensor:
    """L_D, equation 14: a scalar to differentiate. ``restored`` is what the generator made of ``batch``.

    The expectations are over this process's part of the batch. True and restored pictures go through in one
    forward, which is one step of the spectral norm's power iteration.
    """
    logits = discriminator(torch.cat([batch.hr, restored.to(batch.hr.dtype)]))
    real, fake = logits.chunk(2)
    return discriminator_loss(real, fake)
