"""Compared systems through the one loop: trained, resumed, read again, evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SIZE, SOURCES, assert_same_state

from hime import HimeError
from hime.evaluation.checkpoint import TorchBackend, describe
from hime.restoring.restorer import Restorer
from hime.training.checkpoint import load_model, load_state
from hime.training.loop import train
from hime.training.photos import load_photos
from hime.training.presets import PRESETS, TrainingConfig, build_model, override

CHANGES = [
    "hr_size=32", "batch_size=2", "steps=4", "warmup_steps=1", "precision=fp32", "channels_last=false",
    "log_every=2", "evaluate_every=4", "evaluation_pairs=2", "model.width=0.0625", "model.depth=0.1",
    "model.entries=4",
]  # fmt: skip


def tiny(name: str, *changes: str) -> TrainingConfig:
    return override(PRESETS[name], [*CHANGES, *changes])


@pytest.fixture(autouse=True)
def _random_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems begin with VGG-19's weights; here with random ones, which need no file."""
    monkeypatch.setattr("hime.systems.vgg.VGGFeatures.load", lambda *_: None)


@pytest.mark.parametrize(
    "name", ["srntt-x4", "ttsr-x4", "sparnet-x4", "psfrgan-x4", "pfsr-x8", "fsrnet-x8", "gwainet-x8"]
)
def test_a_system_trains_and_comes_back(name: str, tmp_path: Path) -> None:
    run = tmp_path / name
    summary = train(tiny(name), SOURCES, run, preset=name)
    assert summary.evaluations[-1].with_references > 0
    model, metadata = load_model(run)
    restorer = Restorer(TorchBackend(model, describe(model, metadata, name)))
    random = np.random.default_rng(0)
    photo = random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    restorer.set_references([photo] * 3)
    restored = restorer.restore(photo[:8, :8])
    assert restored.image.shape == (8 * restorer.scale, 8 * restorer.scale, 3)
    assert list(restored.shares) == [0.0, 0.0, 0.0]
    state = load_state(run / "last.safetensors").tensors
    means = [key for key in state if key.startswith("ema.") and key.endswith("running_mean")]
    for key in means:  # statistics of the average are the network's, which began at 0
        newest = state[key.replace("ema.", "model/weights.", 1)]
        assert torch.equal(state[key], newest)
    assert all(state[key].abs().max() > 0 for key in means)


@pytest.mark.parametrize("name", ["srntt-x4", "ttsr-x4", "psfrgan-x4", "gwainet-x8"])
def test_a_system_trains_in_half_precision(name: str, tmp_path: Path) -> None:
    """Those that search, warp and normalise: kinds of numbers meet there."""
    changes = ["steps=1", "precision=bf16", "channels_last=true", "held_out_fraction=0"]
    ((_, loss),) = train(tiny(name, *changes), SOURCES, tmp_path).losses
    assert 0 < loss < 5


def test_a_resumed_training_is_an_uninterrupted_one(tmp_path: Path) -> None:
    config = tiny("sparnet-x4")
    train(config, SOURCES, tmp_path / "whole")
    train(config, SOURCES, tmp_path / "halves", stop_at=2)
    train(config, SOURCES, tmp_path / "halves")
    assert_same_state(tmp_path / "whole", tmp_path / "halves")


def test_dfdnets_dictionary_is_made_of_the_training_photos(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    train(tiny("dfdnet-x4", "steps=1", "held_out_fraction=0"), SOURCES, tmp_path)
    model, _ = load_model(tmp_path)
    entries = model.get_buffer("left_eye_1")
    assert entries.shape[0] == 4
    assert float(entries.float().abs().max()) > 0
    assert len({float(entry.float().sum()) for entry in entries}) == 4


def test_ttsrs_extractor_learns_at_a_tenth_of_the_rate(tmp_path: Path) -> None:
    config = tiny("ttsr-x4", "steps=1", "warmup_steps=0", "learning_rate=1e-3", "held_out_fraction=0")
    train(config, SOURCES, tmp_path)
    state = load_state(tmp_path / "last.safetensors").tensors
    torch.manual_seed(config.seed)
    fresh = build_model(config).state_dict()
    moved = {
        name: float((state[f"model/weights.{name}"] - weight).abs().max()) for name, weight in fresh.items()
    }
    extractor = max(change for name, change in moved.items() if name.startswith("extractor."))
    others = max(change for name, change in moved.items() if not name.startswith("extractor."))
    assert extractor == pytest.approx(1e-4, rel=0.05)
    assert others == pytest.approx(1e-3, rel=0.05)


@pytest.mark.parametrize("name", ["fsrnet-x8", "psfrgan-x4", "pfsr-x8"])
def test_labels_are_learned_from_where_they_are_given(name: str, tmp_path: Path) -> None:
    names = load_photos(SOURCES, SIZE, progress=False).names
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "labels.npz",
        names=np.array(names),
        points=random.random((len(names), 68, 2)).astype(np.float16),
        parsing=random.integers(0, 14, (len(names), SIZE, SIZE), dtype=np.uint8),
    )
    losses = []
    for number, changes in enumerate(((), (f"labels={tmp_path / 'labels.npz'}",))):
        config = tiny(name, "steps=1", "held_out_fraction=0", "log_every=1", *changes)
        losses.append(train(config, SOURCES, tmp_path / str(number)).losses[0][1])
    assert losses[1] > losses[0] + 1e-4
    with pytest.raises(HimeError, match=r"none\.npz"):
        train(tiny(name, f"labels={tmp_path / 'none.npz'}"), SOURCES, tmp_path / "none")


def test_a_perception_oriented_one_starts_from_the_other(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the system's own terms: SRNTT's texture loss."""
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(shared / "weights"))
    train(tiny("srntt-x4", "steps=1"), SOURCES, tmp_path / "rec")
    changes = ["loss.perceptual_layers=conv1_1", "discriminator_channels=4", f"init={tmp_path / 'rec'}"]
    config = tiny("srntt-x4-p", "steps=1", *changes, "held_out_fraction=0")
    assert train(config, SOURCES, tmp_path / "p").losses[0][1] > 0
