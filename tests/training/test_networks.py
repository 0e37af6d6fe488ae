"""The networks in training: what they start from, that all of them is reached, how fast they move."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import ADVERSARIAL, SOURCES, TINY, weights_of

from hime import HimeError
from hime.losses.objective import Objective
from hime.training.batches import draw, gather
from hime.training.checkpoint import load_model, load_state
from hime.training.loop import train
from hime.training.networks import discriminator_learning_rate, ema_decay, learning_rate
from hime.training.photos import load_photos
from hime.training.presets import TrainingConfig, build_model, override
from hime.training.steps import generator_step


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["model=large", "loss.correlation=0.1"],
        ["scale=8", "model.aggregation=max", "model.alignment=conv"],
        ["model.aggregation=average", "model.null_reference=false"],
    ],
    ids=["small", "large", "max", "average"],
)
def test_every_parameter_gets_a_gradient(changes: list[str]) -> None:
    config = override(TINY, changes)
    torch.manual_seed(0)
    model = build_model(config)
    photos = load_photos(SOURCES, 32, progress=False)
    objective = Objective(config.loss)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    reached = dict.fromkeys(dict(model.named_parameters()), False)
    for step in range(4):  # branches that begin at zero let gradients through after the first step
        drawn = draw(photos, step, 0, 4, config.scale, config.sampling)
        loss, terms, restored = generator_step(model, gather(photos, drawn), objective)
        assert not any(told.requires_grad for told in (*terms.values(), restored))
        loss.backward()
        for name, parameter in model.named_parameters():
            reached[name] |= parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
        optimiser.step()
        optimiser.zero_grad()
    assert [name for name, yes in reached.items() if not yes] == []


def test_init_starts_from_other_weights(whole: Path, tmp_path: Path) -> None:
    config = override(TINY, [f"init={whole}", "steps=1", "learning_rate=1e-12", "final_learning_rate=0"])
    train(config, SOURCES, tmp_path)
    ours, theirs = (load_model(run)[0].state_dict() for run in (tmp_path, whole))
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, atol=1e-6, rtol=0)
    _, metadata = load_model(tmp_path)
    assert json.loads(metadata["training"])["config"]["init"] == "whole"  # not where on this machine it lay
    assert str(whole.parent) not in str(metadata)
    with pytest.raises(HimeError, match="weights of another network"):
        train(override(config, ["model.lr_blocks=2"]), SOURCES, tmp_path / "other")
    train(config, SOURCES, tmp_path / "other")  # what failed before its first save binds nobody


def test_init_from_a_narrower_network_computes_the_same_at_first(whole: Path, tmp_path: Path) -> None:
    changes = [f"init={whole}", "model.channels=12", "steps=1", "learning_rate=1e-12"]
    train(override(TINY, [*changes, "final_learning_rate=0", "precision=fp32"]), SOURCES, tmp_path)
    (wide, _), (narrow, _) = load_model(tmp_path), load_model(whole)
    assert (wide.config.channels, narrow.config.channels) == (12, 8)
    lr, references = torch.rand(1, 3, 8, 8), torch.rand(1, 2, 3, 32, 32)
    torch.testing.assert_close(wide(lr, references).hr, narrow(lr, references).hr, atol=1e-5, rtol=0)


def test_the_flow_starts_from_spynet_and_has_its_own_rate(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared / "weights"
    if not (folder / "spynet.safetensors").is_file():
        pytest.skip(f"{folder} holds no spynet.safetensors")
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(folder))
    public = load_file(folder / "spynet.safetensors")
    fixed = ["model=large", "flow_init=spynet", "held_out_fraction=0", "steps=1", "warmup_steps=0"]

    def moved(rate: float) -> float:
        """The largest change of a flow's weight in one step of Adam, which is about its rate."""
        run = tmp_path / str(rate)
        config = override(TINY, [*fixed, "learning_rate=1e-3", f"flow_rate={rate}"])
        train(config, SOURCES, run)
        tensors = load_state(run / "last.safetensors").tensors
        prefix = "model/weights.alignment.flow."
        return max(float((tensors[prefix + name] - weight).abs().max()) for name, weight in public.items())

    assert moved(0.1) == pytest.approx(1e-4, rel=0.05)
    assert moved(0.0) == 0.0


def test_learning_rate_rises_then_falls_as_a_cosine() -> None:
    config = TrainingConfig(steps=1000, warmup_steps=100, learning_rate=1e-3, final_learning_rate=1e-5)
    assert learning_rate(config, 0) == pytest.approx(1e-5)
    assert learning_rate(config, 99) == pytest.approx(1e-3)
    assert learning_rate(config, 100) == pytest.approx(1e-3)
    assert learning_rate(config, 550) == pytest.approx((1e-3 + 1e-5) / 2)
    assert learning_rate(config, 1000) == pytest.approx(1e-5)


def test_discriminator_may_rise_sooner_than_the_network() -> None:
    config = TrainingConfig(steps=1000, warmup_steps=100, learning_rate=1e-3, discriminator_rate=2.0)
    assert discriminator_learning_rate(config, 49) == pytest.approx(2 * learning_rate(config, 49))
    sooner = dataclasses.replace(config, discriminator_warmup_steps=10)
    assert discriminator_learning_rate(sooner, 4) == pytest.approx(1e-3)
    assert discriminator_learning_rate(sooner, 10) == pytest.approx(2e-3)
    assert learning_rate(sooner, 49) == learning_rate(config, 49)
    still = dataclasses.replace(config, warmup_steps=0, discriminator_warmup_steps=0)
    assert discriminator_learning_rate(still, 0) == pytest.approx(2e-3)


def test_discriminator_of_a_run_follows_its_own_warmup(tmp_path: Path) -> None:
    config = override(TINY, [*ADVERSARIAL, "held_out_fraction=0", "warmup_steps=1000", "learning_rate=1e-3"])

    def after_a_step(own: str) -> dict[str, torch.Tensor]:
        run = tmp_path / own
        train(override(config, [f"discriminator_warmup_steps={own}"]), SOURCES, run, stop_at=1)
        return {name: value for name, value in weights_of(run).items() if "/weights." in name}

    together, sooner = after_a_step("none"), after_a_step("1")
    moved = {name: float((sooner[name] - value).abs().max()) for name, value in together.items()}
    assert {name: far for name, far in moved.items() if name.startswith("model/") and far} == {}
    # The first step of Adam goes as far as its rate.
    assert max(far for name, far in moved.items() if name.startswith("discriminator/")) == pytest.approx(
        1e-3, rel=0.05
    )


def test_average_has_a_short_memory_at_first() -> None:
    config = TrainingConfig(ema_decay=0.999)
    assert ema_decay(config, 0) == pytest.approx(0.1)
    assert ema_decay(config, 10**6) == 0.999
