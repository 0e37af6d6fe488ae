"""Presets and the changes made to them from the command line."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny import uneven

from hime import HimeError
from hime.training.batches import draw
from hime.training.loop import accelerated, draws_of
from hime.training.photos import Photos
from hime.training.presets import (
    PRESETS,
    TrainingConfig,
    build_model,
    override,
    preset,
)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_the_network_it_is_named_after(name: str) -> None:
    config = preset(name)
    perception = config.loss.adversarial > 0
    made_for = {"photos": "-real", "frames": "-video"}.get(
        config.degradation, "-64" * (config.hr_size == 256)
    )
    assert name == f"{config.model}-x{config.scale}{made_for}{'-p' if perception else ''}"
    if config.model not in ("small", "large"):
        changes = {"width": 1 / 32, "depth": 0.1, "entries": 1}
        config = dataclasses.replace(config, model_changes=changes)  # else minutes for all of them
    model = build_model(config)
    assert model.config == config.architecture
    assert model.config.scale == config.scale


def test_systems_draw_the_pairs_that_ours_do(photos: Photos) -> None:
    """Trained alike: at each step the same targets, mirrored alike."""
    ours, others = PRESETS["small-x8"], [PRESETS["gwainet-x8"], PRESETS["pfsr-x8"]]
    for step in range(3):
        wanted = draw(photos, step, 0, ours.batch_size, 8, ours.sampling)
        for config in others:
            found = draw(photos, step, 0, config.batch_size, 8, config.pair_sampling)
            assert torch.equal(found.target, wanted.target)


def test_changes_reach_a_systems_own_fields() -> None:
    config = override(PRESETS["sparnet-x4"], ["model.width=0.5", "hr_size=64"])
    assert config.architecture.width == 0.5  # type: ignore[union-attr]
    assert config.architecture.hr_size == 64  # type: ignore[union-attr]
    with pytest.raises(HimeError, match="width"):
        override(PRESETS["sparnet-x4"], ["model.channels=8"])


def test_without_references_the_flip_is_still_the_users() -> None:
    for flip in ("even", "uneven", "none"):
        changes = ["references=0", f"sampling.flip={flip}", "precision=fp32"]
        config = override(PRESETS["small-x4-real"], changes)
        with accelerated(config) as accelerator:
            loader = draws_of(accelerator, config, uneven(2, 3), uneven(2, 3), 0, 6)
            mirrored = torch.cat([drawn.choice.mirror_target for drawn in loader])
        assert mirrored.any() == (flip != "none")
        assert not mirrored.all()


def test_labels_are_of_whole_faces() -> None:
    for name in ("psfrgan-x4", "fsrnet-x8", "pfsr-x8"):
        with pytest.raises(
            HimeError, match=r"labels=faces\.npz are of whole faces: set window=none"
        ) as refusal:
            override(PRESETS[name], ["labels=faces.npz", "window=64"])
        assert "\n" not in str(refusal.value)
        assert override(PRESETS[name], ["labels=faces.npz"]).labels == "faces.npz"
    # Given to all systems of a table, also to those that learn from none.
    assert override(PRESETS["sparnet-x4-64"], ["labels=faces.npz"]).window is not None


def test_unknown_preset() -> None:
    with pytest.raises(HimeError, match="choose one of small-x2"):
        preset("medium-x3")


@pytest.mark.parametrize(
    ("change", "read", "value"),
    [
        ("steps=1000", lambda c: c.steps, 1000),
        ("seed=18446744073709551615", lambda c: c.seed, 2**64 - 1),
        ("learning_rate=1e-4", lambda c: c.learning_rate, 1e-4),
        ("precision=fp32", lambda c: c.precision, "fp32"),
        ("scale=8", lambda c: c.scale, 8),
        ("precision=auto", lambda c: c.precision, "auto"),
        ("channels_last=false", lambda c: c.channels_last, False),
        ("channels_last=True", lambda c: c.channels_last, True),
        ("channels_last=auto", lambda c: c.channels_last, "auto"),
        ("betas=0.9,0.999", lambda c: c.betas, (0.9, 0.999)),
        ("init=runs/a=b", lambda c: c.init, "runs/a=b"),
        ("init=none", lambda c: c.init, None),
        ("loss.correlation=0.1", lambda c: c.loss.correlation, 0.1),
        ("window=64", lambda c: c.window, 64),
        ("flow_init=spynet", lambda c: c.flow_init, "spynet"),
        ("flow_rate=0", lambda c: c.flow_rate, 0.0),
        ("sampling.count_weights=1,2,3,4", lambda c: c.sampling.count_weights, (1, 2, 3, 4)),
        ("sampling.temperature=none", lambda c: c.sampling.temperature, None),
        ("sampling.temperature=0.1,0.2", lambda c: c.sampling.temperature, (0.1, 0.2)),
        ("sampling.anneal_steps=50", lambda c: c.sampling.anneal_steps, 50),
        ("model.channels=24", lambda c: c.architecture.channels, 24),
        ("model.alignment=conv", lambda c: c.architecture.alignment, "conv"),
        ("model.null_reference=False", lambda c: c.architecture.null_reference, False),
    ],
)
def test_override(change: str, read, value: object) -> None:  # type: ignore[no-untyped-def]
    found = read(override(TrainingConfig(), [change]))
    assert found == value
    assert type(found) is type(value)


def test_changes_that_are_right_only_together() -> None:
    changes = ["references=1", "sampling.count_weights=1,2"]
    for order in (changes, changes[::-1]):
        config = override(TrainingConfig(), order)
        assert (config.references, config.sampling.count_weights) == (1, (1, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("steps", "KEY=VALUE"),
        ("step=3", "no such key; there are .*steps"),
        ("model.width=3", "no such key; there are .*channels"),
        ("model.scale=8", "no such key"),
        ("sampling=3", "no such key"),
        ("steps=1e3", "whole number"),
        ("steps=0", "at least 1"),
        ("learning_rate=fast", "a number"),
        ("precision=fp16", "one of bf16, fp32, auto"),
        ("channels_last=1", "true or false or auto"),
        ("betas=0.9", "give 2 numbers"),
        ("references=2", "give 3 numbers"),
        ("hr_size=30", "no multiple of scale"),
        ("window=30", "multiple of scale=4 up to hr_size=128"),
        ("window=132", "up to hr_size=128"),
        ("flow_rate=-1", "at least 0"),
        ("discriminator_warmup_steps=-1", "at least 0, or none"),
        ("held_out_fraction=1", "0 … 1"),
        ("references=-1", "at least 0"),
        ("learning_rate=-1", "more than 0"),
        ("learning_rate=nan", "more than 0"),
        ("clip_norm=0", "more than 0"),
        ("betas=0.9,1", "not including, 1"),
        ("ema_decay=2", "not including, 1"),
        ("sampling.blank=1.5", "from 0 to 1"),
        ("seed=99999999999999999999", "to 18446744073709551615"),
        ("seed=-9223372036854775809", "from -9223372036854775808"),
        ("batch_size=99999999999999999999", "at most 2147483647"),
        ("sampling.temperature=0,0.4", "above 0"),
        ("sampling.temperature=0.4,nan", "above 0"),
        ("sampling.count_weights=nan,1,1,1", "give 4 numbers, the probabilities of 0 … 3"),
        ("sampling.count_weights=1,1,1,nan", "give 4 numbers, the probabilities of 0 … 3"),
        ("sampling.count_weights=1,1,1,inf", "give 4 numbers, the probabilities of 0 … 3"),
        ("sampling.count_weights=1e39,1,1,1", "give 4 numbers, the probabilities of 0 … 3"),
        ("sampling.count_weights=1e-46,0,0,0", "give 4 numbers, the probabilities of 0 … 3"),
    ],
)
def test_override_explains_what_it_refuses(change: str, message: str) -> None:
    with pytest.raises(HimeError, match=message) as refusal:
        override(TrainingConfig(), [change])
    assert "\n" not in str(refusal.value)
