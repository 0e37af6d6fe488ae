"""The networks in training: with what weights they start, and one step of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from hime.losses.frozen import spynet_weights
from hime.losses.objective import Objective
from hime.model import HIME
from hime.model.alignment import FlowGuidedAlignment
from hime.model.discriminator import build_discriminator
from hime.model.flow import SpyNet
from hime.model.system import StoredPhotos, System
from hime.training.batches import Batch
from hime.training.checkpoint import Trained, load_model, load_weights
from hime.training.compiling import compile_step, is_compiled
from hime.training.presets import TrainingConfig, build_model
from hime.training.steps import discriminator_step, generator_step
from hime.training.widening import is_narrower, widen


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The rate of step ``step`` (from 0): linear warm-up, then a cosine to the final rate."""
    return _rate(config, step, config.warmup_steps)


def discriminator_learning_rate(config: TrainingConfig, step: int) -> float:
    """The discriminator's, likewise: with a warm-up of its own if the configuration has one."""
    own = config.discriminator_warmup_steps
    return config.discriminator_rate * _rate(config, step, config.warmup_steps if own is None else own)


def _rate(config: TrainingConfig, step: int, warmup_steps: int) -> float:
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(config.steps - warmup_steps, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine


def ema_decay(config: TrainingConfig, step: int) -> float:
    """The decay of the averaged weights after step ``step`` (from 0): short memory at first."""
    return min(config.ema_decay, (1 + step) / (10 + step))


class Networks:
    """What is trained, what moves it, and its average.

    Attributes:
        trained: ``model`` and, with an adversarial loss, ``discriminator``, each with its optimiser.
        average: the model with averaged weights, in evaluation mode.

    Args:
        config: precision and layout are settled.
        accelerator: where they are, and who else trains them.
        start: the photos (M×3×S×S uint8) of a training that begins, whose model gets the weights that the
            configuration names and what else it begins with; None: they come from a state, and are to be
            put in before `spread`.

    Raises:
        HimeError: those weights cannot be read, or are another network's.
    """

    def __init__(
        self, config: TrainingConfig, accelerator: Accelerator, *, start: StoredPhotos | None
    ) -> None:
        self.config, self.accelerator = config, accelerator
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = build_model(config)
            self.average = build_model(config).eval()
            discriminator = None
            if config.loss.adversarial:
                discriminator = build_discriminator(config.discriminator, config.discriminator_channels)
        if start is not None:
            start_weights(model, config, start)
        flow = flow_of(model)
        if flow is not None and config.flow_rate == 0:
            flow.requires_grad_(False)
        device = accelerator.device
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        model.to(device, memory_format=layout)  # type: ignore[call-overload]
        self.average.to(device, memory_format=layout).requires_grad_(False)  # type: ignore[call-overload]
        self.average.load_state_dict(model.state_dict())
        self.objective = Objective(config.loss, discriminator).to(device)
        self.is_compiled = is_compiled(config, device)
        if self.is_compiled:
            compile_step(model, self.objective)
        self.trained = {"model": with_optimiser(model, config)}
        if discriminator is not None:
            discriminator.to(memory_format=layout)
            self.trained["discriminator"] = with_optimiser(discriminator, config)
        self.networks: dict[str, nn.Module] = {}
        self.averages = list(self.average.parameters())
        self.statistics = list(zip(self.average.buffers(), model.buffers(), strict=True))
        self.parameters = {
            label: list(trained.network.parameters()) for label, trained in self.trained.items()
        }

    def spread(self) -> None:
        """Make the networks of all processes one."""
        self.networks = {
            label: self.accelerator.prepare_model(trained.network) for label, trained in self.trained.items()
        }

    def update(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Step ``step`` (from 0) of every network and of the average.

        Returns:
            On the device: ``loss``, its terms and ``gradient_norm``; the discriminator's likewise.
        """
        rate = learning_rate(self.config, step)
        if self.is_compiled:
            torch.compiler.cudagraph_mark_step_begin()
        with self.accelerator.autocast():
            loss, terms, restored = generator_step(self.networks["model"], batch, self.objective)
        norm = self._descend("model", loss, rate)
        move_average = get_ema_multi_avg_fn(ema_decay(self.config, step))
        move_average(self.averages, self.parameters["model"], step)
        for average, newest in self.statistics:  # of normalisations, which are averages already
            average.copy_(newest)
        told = {"loss": loss.detach(), **terms, "gradient_norm": norm}
        if self.is_compiled:  # the next step writes where these lie
            told = {name: value.clone() for name, value in told.items()}
        if "discriminator" in self.networks:
            with self.accelerator.autocast():
                loss = discriminator_step(self.networks["discriminator"], batch, restored)
            norm = self._descend("discriminator", loss, discriminator_learning_rate(self.config, step))
            told |= {"discriminator": loss.detach(), "discriminator_gradient_norm": norm}
        return told

    def _descend(self, label: str, loss: Tensor, rate: float) -> Tensor:
        """A step of one network's Adam down the gradient of ``loss``; the gradient's norm before clipping."""
        optimiser = self.trained[label].optimiser
        for group in optimiser.param_groups:
            group["lr"] = rate * group["multiple"]
        self.accelerator.backward(loss)
        norm: Tensor = self.accelerator.clip_grad_norm_(self.parameters[label], self.config.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return norm.detach()


def start_weights(model: System, config: TrainingConfig, photos: StoredPhotos) -> None:
    """Give a fresh model the weights that the training starts from: ``init``'s, and the flow's; without
    ``init``, what a system makes of the training photos (M×3×S×S uint8).

    Raises:
        HimeError: they cannot be read, or are another network's.
    """
    start = None if config.init is None else load_model(config.init)[0]
    flow = flow_of(model)
    if flow is not None and config.flow_init == "spynet" and flow_of(start) is None:
        flow.load_state_dict(spynet_weights(flow.state_dict()))
    if start is None:
        model.prepare(photos, config.seed)
    elif isinstance(start, HIME) and isinstance(model, HIME) and is_narrower(start.config, model.config):
        widen(start, model)
    else:
        load_weights(model, start.state_dict(), Path(str(config.init)))


def with_optimiser(network: nn.Module, config: TrainingConfig) -> Trained:
    """``network`` and Adam for it; parts with a rate of their own are groups, with its multiple.

    These are the optical flow, and those of a system's ``rates``.
    """
    flow = flow_of(network)
    parts: list[tuple[nn.Module, float]] = [] if flow is None else [(flow, config.flow_rate)]
    if isinstance(network, System):
        parts += [(network.get_submodule(name), multiple) for name, multiple in network.rates.items()]
    known = {parameter for part, _ in parts for parameter in part.parameters()}
    others = [parameter for parameter in network.parameters() if parameter not in known]
    groups: list[dict[str, Any]] = [{"params": others, "multiple": 1.0}]
    groups += [{"params": list(part.parameters()), "multiple": multiple} for part, multiple in parts]
    optimiser = torch.optim.Adam(
        groups, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay, fused=True
    )
    return Trained(network, optimiser)


def flow_of(network: nn.Module | None) -> SpyNet | None:
    """The optical flow of a flow-guided network."""
    alignment = getattr(network, "alignment", None)
    return alignment.flow if isinstance(alignment, FlowGuidedAlignment) else None
