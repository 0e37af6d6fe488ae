"""One step's loss as a pure function of network, batch and objective; the loop does everything around it."""

from __future__ import annotations

from torch import Tensor, nn

from hime.losses.objective import Objective
from hime.losses.pixel import charbonnier
from hime.training.data import Batch

AUXILIARY_WEIGHT = 0.3
"""Of the loss on the picture straight from the fused feature, beside the objective's own terms."""


def generator_step(model: nn.Module, batch: Batch, objective: Objective) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of ``model`` on ``batch``: a scalar to differentiate, and its unweighted terms, detached."""
    output = model(batch.lr, batch.references, batch.present)
    total, terms = objective(output.hr, batch.hr)
    if output.auxiliary is not None:
        auxiliary = charbonnier(output.auxiliary, batch.hr)
        total, terms = total + AUXILIARY_WEIGHT * auxiliary, {**terms, "auxiliary": auxiliary.detach()}
    return total, terms
