"""One step's loss as a pure function of network, batch and objective; the loop does everything around it."""

from __future__ import annotations

from torch import Tensor, nn

from hime.losses.objective import Objective
from hime.training.data import Batch


def generator_step(model: nn.Module, batch: Batch, objective: Objective) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of ``model`` on ``batch``: a scalar to differentiate, and its unweighted terms, detached."""
    hr, _ = model(batch.lr, batch.references, batch.present)
    return objective(hr, batch.hr)
