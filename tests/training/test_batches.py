"""What is drawn for a step, and the pairs made of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from tiny import SIZE, uneven
from torch.utils.data import DataLoader

from hime import HimeError
from hime.training import photo_recipe
from hime.training.batches import (
    BLANK_LEVELS,
    Batch,
    Draw,
    Draws,
    draw,
    draw_references,
    evaluation_pairs,
    gather,
    step_generator,
)
from hime.training.degradation import bicubic_lr
from hime.training.photos import Photos
from hime.training.presets import ReferenceSampling

PLAIN = ReferenceSampling(count_weights=(0, 0, 0, 1), temperature=None, blank=0, wrong=0, flip="none")


def make_batch(photos: Photos, *arguments: Any, **more: Any) -> Batch:
    return gather(photos, draw(photos, *arguments, **more))


def rows_of(values: torch.Tensor) -> torch.Tensor:
    """Which photo of ``uneven`` each image is."""
    return (values[..., 0, 0, 0] * 255).round().long()


def test_references_are_other_photos_of_the_same_person() -> None:
    photos = uneven(2, 3, 5, 9)
    for step in range(40):
        batch = make_batch(photos, step, 0, 16, 4, PLAIN)
        target, references = rows_of(batch.hr), rows_of(batch.references)
        for row, drawn, present in zip(target, references, batch.present, strict=True):
            chosen = drawn[present].tolist()
            assert len(set(chosen)) == len(chosen) == min(3, int(photos.count[row]) - 1)
            assert int(row) not in chosen
            assert all(photos.person[one] == photos.person[row] for one in chosen)
        assert not batch.references[~batch.present].any()


def test_wrong_references_are_anybody_else() -> None:
    photos = uneven(2, 3, 5)
    sampling = ReferenceSampling(count_weights=(0, 1), temperature=None, blank=0, wrong=1, flip="none")
    seen: dict[int, set[int]] = {}
    for step in range(60):
        batch = make_batch(photos, step, 0, 16, 4, sampling)
        for row, reference in zip(rows_of(batch.hr), rows_of(batch.references)[:, 0], strict=True):
            seen.setdefault(int(row), set()).add(int(reference))
    for row in range(len(photos)):
        assert seen[row] == {other for other in range(10) if photos.person[other] != photos.person[row]}


@pytest.mark.parametrize("changes", [{"wrong": 1.0}, {"wrong_person": 1.0}])
def test_a_repeat_of_the_person_is_nobody_else(changes: dict[str, float]) -> None:
    photos = uneven(2, 3, 2, 3, 2)
    people = torch.tensor([0, 1, 0, 1, 2])  # the first two given twice
    photos = dataclasses.replace(photos, whose=people[photos.person])
    sampling = dataclasses.replace(PLAIN, **changes)
    target = torch.arange(len(photos)).repeat(100)
    drawn = draw_references(photos, target, sampling, 0.0, step_generator(0, 0))
    theirs, present = drawn.references, drawn.present
    for row in range(len(photos)):
        seen = set(theirs[target == row][present[target == row]].tolist())
        expected = {other for other in range(len(photos)) if photos.whose[other] != photos.whose[row]}
        assert seen == expected


def test_a_wrong_person_is_one_person_for_the_whole_pair() -> None:
    photos = uneven(2, 3, 5, 9)
    sampling = dataclasses.replace(PLAIN, wrong_person=0.5)
    target = torch.arange(len(photos)).repeat(100)
    drawn = draw_references(photos, target, sampling, 0.0, step_generator(0, 0))
    whose = photos.person[drawn.references]
    assert (whose == whose[:, :1])[drawn.present].all()
    is_other = whose[:, 0] != photos.person[target]
    assert is_other.float().mean().item() == pytest.approx(0.5, abs=0.03)
    enough = is_other & drawn.present.all(1) & (photos.count[drawn.references[:, 0]] >= 3)
    assert all(len(set(row.tolist())) == 3 for row in drawn.references[enough])
    assert set(drawn.references[is_other].flatten().tolist()) == set(range(len(photos)))


def test_blank_references_are_present_and_plain(photos: Photos) -> None:
    sampling = ReferenceSampling(count_weights=(0, 1), blank=1)
    batch = make_batch(photos, 0, 0, 32, 4, sampling)
    assert batch.present.all()
    flat = batch.references.flatten(2)
    assert (flat == flat[..., :1]).all()
    assert set((flat[..., 0] * 255).round().int().flatten().tolist()) == set(BLANK_LEVELS)


def test_probabilities_are_those_asked_for(photos: Photos) -> None:
    sampling = ReferenceSampling(blank=0.1, wrong=0.2)
    target = torch.arange(4) % len(photos)
    drawn = [draw_references(photos, target, sampling, 0.5, step_generator(0, step)) for step in range(2000)]
    assert all(one.present.shape[1] == max(1, int(one.present[0].sum())) for one in drawn)
    counts = torch.tensor([int(one.present[0].sum()) for one in drawn]).bincount(minlength=4) / len(drawn)
    expected = torch.tensor(sampling.count_weights) / sum(sampling.count_weights)
    torch.testing.assert_close(counts, expected, atol=0.04, rtol=0)

    sampling = dataclasses.replace(sampling, count_weights=(0, 0, 0, 1))
    target = torch.arange(4000) % len(photos)
    choice = draw_references(photos, target, sampling, 0.5, step_generator(0, 0))
    blank = (choice.blank >= 0)[choice.present].float().mean().item()
    strangers = photos.person[choice.references] != photos.person[target][:, None]
    assert blank == pytest.approx(0.1, abs=0.02)
    assert strangers[choice.present].float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert choice.mirror_target.float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_a_low_temperature_draws_the_most_similar_photo_first(photos: Photos) -> None:
    sampling = ReferenceSampling(count_weights=(0, 1), temperature=(1e-4, 1e4), blank=0, wrong=0)
    target = torch.arange(len(photos)).repeat(40)
    nearest = photos.first[target] + photos.similarity[target].argmax(dim=1)
    first = draw_references(photos, target, sampling, 0.0, step_generator(0, 0)).references[:, 0]
    assert (first == nearest).float().mean() > 0.95
    last = draw_references(photos, target, sampling, 1.0, step_generator(0, 0)).references[:, 0]
    others = (photos.count[0] - 1).item()
    assert (last == nearest).float().mean().item() == pytest.approx(1 / others, abs=0.05)


@pytest.mark.parametrize("flip", ["even", "uneven", "none"])
def test_flips(photos: Photos, flip: str) -> None:
    sampling = ReferenceSampling(count_weights=(0, 1), flip=flip, blank=0, wrong=0)  # type: ignore[arg-type]
    target = torch.arange(len(photos))
    choice = draw_references(photos, target, sampling, 0.0, step_generator(0, 5))
    batch = gather(photos, Draw(target, choice, 4))
    if flip == "none":
        assert not choice.mirror_target.any()
    else:
        assert 0 < choice.mirror_target.sum() < len(photos)
        same = choice.mirror_target == choice.mirror_references
        assert same.all() if flip == "even" else not same.any()
    for row in range(len(photos)):
        truth = photos.images[row].float() / 255
        assert torch.equal(batch.hr[row], truth.flip(-1) if choice.mirror_target[row] else truth)
        reference = photos.images[choice.references[row, 0]].float() / 255
        expected = reference.flip(-1) if choice.mirror_references[row] else reference
        assert torch.equal(batch.references[row, 0], expected)


def test_a_batch_depends_on_seed_and_step_only(photos: Photos) -> None:
    sampling = ReferenceSampling()
    torch.manual_seed(1)
    one = make_batch(photos, 3, 7, 8, 4, sampling, total_steps=10)
    torch.manual_seed(2)
    again = make_batch(photos, 3, 7, 8, 4, sampling, total_steps=10)
    assert all(torch.equal(a, b) for a, b in zip(one[:4], again[:4], strict=True))
    for step, seed in ((4, 7), (3, 8)):
        assert not torch.equal(one.hr, make_batch(photos, step, seed, 8, 4, sampling, total_steps=10).hr)


def test_processes_share_the_batch_of_one(photos: Photos) -> None:
    whole = make_batch(photos, 3, 7, 8, 4, ReferenceSampling())
    parts = [make_batch(photos, 3, 7, 8, 4, ReferenceSampling(), part=(rank, 2)) for rank in range(2)]
    for tensor, first, second in zip(whole[:4], *(part[:4] for part in parts), strict=True):
        assert torch.equal(tensor[0::2], first)
        assert torch.equal(tensor[1::2], second)


def test_windows_are_cut_at_one_place_of_lr_target_and_references(photos: Photos) -> None:
    sampling = ReferenceSampling(count_weights=(0, 0, 1))
    whole = make_batch(photos, 3, 7, 8, 4, sampling)
    batch = make_batch(photos, 3, 7, 8, 4, sampling, window=16)
    assert batch.lr.shape == (8, 3, 4, 4)
    assert batch.references.shape == (8, 2, 3, 16, 16)
    places = set()
    for row in range(8):
        found = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(whole.lr[row, :, y : y + 4, x : x + 4], batch.lr[row])
            and torch.equal(whole.hr[row, :, 4 * y : 4 * y + 16, 4 * x : 4 * x + 16], batch.hr[row])
            and torch.equal(
                whole.references[row, ..., 4 * y : 4 * y + 16, 4 * x : 4 * x + 16], batch.references[row]
            )
        ]
        assert len(found) == 1
        places |= set(found)
    assert len(places) > 2
    full = make_batch(photos, 3, 7, 8, 4, sampling, window=SIZE)
    assert all(torch.equal(one, other) for one, other in zip(whole[:4], full[:4], strict=True))


def test_processes_share_the_windows_of_one(photos: Photos) -> None:
    whole = make_batch(photos, 3, 7, 8, 4, ReferenceSampling(), window=16)
    parts = [
        make_batch(photos, 3, 7, 8, 4, ReferenceSampling(), part=(rank, 2), window=16) for rank in range(2)
    ]
    for tensor, first, second in zip(whole[:4], *(part[:4] for part in parts), strict=True):
        assert torch.equal(tensor[0::2], first)
        assert torch.equal(tensor[1::2], second)


def test_no_references_at_all(photos: Photos) -> None:
    batch = make_batch(photos, 0, 0, 4, 8, ReferenceSampling(count_weights=(1.0,)))
    assert batch.references.shape == (4, 0, 3, SIZE, SIZE)
    assert batch.lr.shape == (4, 3, SIZE // 8, SIZE // 8)


def test_evaluation_pairs_are_fixed_and_plain(photos: Photos) -> None:
    pairs = evaluation_pairs(photos, 10, 4, 3, seed=0)
    again = evaluation_pairs(photos, 10, 4, 3, seed=0)
    assert len(pairs.hr.unique(dim=0)) == 10
    assert pairs.present.all()
    assert all(torch.equal(a, b) for a, b in zip(pairs[:4], again[:4], strict=True))
    assert len(evaluation_pairs(photos, 1000, 4, 3).hr) == len(photos)


def test_target_and_lr_have_the_drawn_tone_references_their_own(
    photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_recipe, "TONED", 1.0)
    monkeypatch.setattr(photo_recipe, "TONES", {"grey": 1.0})
    monkeypatch.setattr(photo_recipe, "NIGHT", 0.0)

    def colour(images: torch.Tensor) -> torch.Tensor:
        return (images.amax(-3) - images.amin(-3)).mean((-2, -1))

    drawn = draw(photos, 0, 0, 16, 4, PLAIN, degradation="photos")
    batch = gather(photos, drawn)
    assert (batch.hr.amax(1) - batch.hr.amin(1)).max() <= 1 / 255
    assert (colour(batch.lr).sort().values[:4] < 2 / 255).all()  # noise may be coloured
    assert colour(batch.references).mean() > 0.05
    plain = gather(photos, drawn._replace(tones=None))
    assert colour(plain.hr).mean() > 0.05
    pairs = evaluation_pairs(photos, 4, 4, 1, degradation="photos")
    assert (pairs.hr.amax(1) - pairs.hr.amin(1)).max() <= 1 / 255


def test_most_frames_are_simply_reduced_and_the_others_are_near_that(photos: Photos) -> None:
    drawn = draw(photos, 0, 0, 64, 4, PLAIN, degradation="frames")
    assert drawn.degraded is not None
    plain = bicubic_lr(photos.images[drawn.target], 4)
    difference = (drawn.degraded / 255 - plain).abs().mean((1, 2, 3))
    untouched = (difference < 1 / 255).sum()
    assert 0.5 * 64 < untouched < 0.8 * 64
    assert 0.01 < difference.max() < 0.2
    assert drawn.tones is None


@pytest.mark.parametrize("degradation", ["realistic", "photos", "frames"])
def test_workers_draw_what_one_process_draws(photos: Photos, degradation: str) -> None:
    draws = Draws(photos, 7, 4, 4, ReferenceSampling(), lr_sizes=(8,), degradation=degradation)
    loaded = list(DataLoader(draws, batch_size=None, sampler=range(2, 5), num_workers=2))
    assert len(loaded) == 3
    for step, drawn in enumerate(loaded, start=2):
        expected = draws[step]
        assert drawn.lr_size == expected.lr_size == 8
        assert drawn.degraded is not None
        assert expected.degraded is not None
        assert drawn.degraded.shape == (4, 3, 8, 8)
        assert torch.equal(drawn.degraded, expected.degraded)
        assert torch.equal(drawn.target, expected.target)
        assert all(torch.equal(a, b) for a, b in zip(drawn.choice, expected.choice, strict=True))


def test_only_targets_are_restored_all_are_references(photos: Photos) -> None:
    targets = {name for row, name in enumerate(photos.names) if row % 3 == 0}
    restricted = photos.restrict(targets)
    assert {photos.names[int(row)] for row in restricted.targets} == targets
    drawn = [draw(restricted, step, 0, 16, 4, PLAIN) for step in range(40)]
    assert {photos.names[int(row)] for one in drawn for row in one.target} == targets
    seen = {photos.names[int(row)] for one in drawn for row in one.choice.references[one.choice.present]}
    assert seen - targets
    training, held_out = restricted.split(0.3, 0)
    assert held_out is not None
    for part in (training, held_out):
        assert {part.names[int(row)] for row in part.targets} == targets & set(part.names)
    pairs = evaluation_pairs(held_out, 100, 4, 1)
    torch.testing.assert_close(pairs.hr, held_out.images[held_out.targets.sort().values] / 255)
    with pytest.raises(HimeError, match="write them like"):
        photos.restrict({"elsewhere/a/b.webp"})
