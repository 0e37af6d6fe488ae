"""All compared systems alike, in small: what they give, that all of them learns, that they export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from hime import HimeError
from hime.losses.pixel import charbonnier
from hime.systems import SYSTEMS, SystemConfig, SystemName, SystemOutput, architecture_of, build
from hime.systems.base import ComparedSystem, first_present, with_grey
from hime.systems.dfdnet import PARTS as DFDNET_PARTS
from hime.systems.dfdnet import box, part_name
from hime.systems.fsrnet import PARTS, parsing_maps
from hime.systems.gwainet import warped
from hime.systems.landmarks import NOWHERE, UNKNOWN, heatmaps
from hime.systems.sparnet import FaceAttentionUnit
from hime.systems.vgg import VGGFeatures
from hime.training.labels import mirrored_where

SIZES: dict[SystemName, tuple[int, Literal[2, 4, 8]]] = {
    "srntt": (8, 4), "ttsr": (8, 4), "sparnet": (16, 4), "psfrgan": (8, 4),
    "dfdnet": (16, 4), "pfsr": (8, 8), "fsrnet": (8, 8), "gwainet": (8, 8),
}  # fmt: skip
"""LR side and scale of each test."""
REFERENCES = {"srntt": 2, "ttsr": 1, "gwainet": 1}

each_system = pytest.mark.parametrize("system", list(SYSTEMS))


def tiny(system: SystemName, seed: int = 0) -> ComparedSystem:
    """A narrow and shallow one. Systems that do not stand on VGG-19's features are narrower."""
    lr, scale = SIZES[system]
    torch.manual_seed(seed)
    config = SystemConfig(system=system, scale=scale, hr_size=lr * scale, width=1 / 16, depth=0.1, entries=3)
    network = build(config)
    assert isinstance(network, ComparedSystem)
    return network


def batch(system: SystemName, pairs: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Truth, LR and references: smooth pictures, the references shifted."""
    lr, scale = SIZES[system]
    torch.manual_seed(seed)
    waves = torch.linspace(0, 6, lr * scale)
    phases = 6 * torch.rand(pairs, 3, 1, 1)
    truth = 0.5 + 0.25 * ((waves[:, None] + phases).sin() + (waves + 2 * phases).cos())
    shifted = [truth.roll(4 * number + 2, -1) for number in range(REFERENCES.get(system, 0))]
    references = torch.stack(shifted, dim=1) if shifted else truth.new_zeros(pairs, 0, *truth.shape[1:])
    return truth, torch.nn.functional.avg_pool2d(truth, scale), references


def labels_of(truth: Tensor) -> dict[str, Tensor]:
    side = truth.shape[-1]
    return {
        "points": torch.rand(len(truth), 68, 2),
        "parsing": torch.randint(0, 19, (len(truth), side, side), dtype=torch.uint8),
    }


def stocked(network: ComparedSystem) -> ComparedSystem:
    """With a dictionary, where there is one, and a VGG-19 whose features do not vanish with depth."""
    for entries in network.buffers():
        if entries.dtype == torch.float16:
            entries.copy_(torch.randn(entries.shape))
    for part in network.modules():
        if isinstance(part, VGGFeatures):
            for layer in part.features:
                if isinstance(layer, torch.nn.Conv2d):
                    torch.nn.init.kaiming_normal_(layer.weight)
    return network


def loss_of(network: ComparedSystem, truth: Tensor, lr: Tensor, references: Tensor) -> Tensor:
    output = network(lr, references)
    terms = network.auxiliary(output, truth, labels_of(truth), perceptual=True)
    total: Tensor = charbonnier(output.hr, truth) + sum(terms.values())
    return total


@each_system
def test_shapes(system: SystemName) -> None:
    network = stocked(tiny(system)).eval()
    truth, lr, references = batch(system)
    with torch.no_grad():
        output = network(lr, references)
        features = network.encode(references.flatten(0, 1))
        again = network.restore(lr, features.reshape(2, -1, *features.shape[1:]) if len(features) else
                                features[None].expand(2, -1, -1, -1, -1))  # fmt: skip
    assert output.hr.shape == truth.shape
    assert output.scores.shape == (2, references.shape[1], 1, *lr.shape[-2:])
    assert not output.scores.any()
    torch.testing.assert_close(again.hr, output.hr)
    assert again.scores.shape == output.scores.shape
    with pytest.raises(HimeError, match="references"):
        network(lr, references[..., :-1])


@each_system
def test_every_parameter_that_is_trained_gets_a_gradient(system: SystemName) -> None:
    network = stocked(tiny(system))
    reached = {name: False for name, weight in network.named_parameters() if weight.requires_grad}
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for seed in range(2):
        loss_of(network, *batch(system, seed=seed)).backward()
        for name, weight in network.named_parameters():
            if weight.requires_grad:
                reached[name] |= weight.grad is not None and bool(weight.grad.abs().max() > 0)
            else:
                assert weight.grad is None
        optimiser.step()
        optimiser.zero_grad()
    # A part of one pixel equals its entry, which has the same mean; another part may lie over it.
    of_one_pixel = tuple(
        f"transfer.{part_name(name, level)}."
        for name, part in DFDNET_PARTS.items()
        for level in range(1, 5)
        if box(part, 64 >> level)[0].stop - box(part, 64 >> level)[0].start == 1
    )
    assert [name for name, yes in reached.items() if not yes and not name.startswith(of_one_pixel)] == []


@each_system
def test_a_short_training_falls(system: SystemName) -> None:
    network = stocked(tiny(system))
    truth, lr, references = batch(system)
    steps, rate = (8, 5e-3) if system == "dfdnet" else (25, 2e-3)
    trained = [each for each in network.parameters() if each.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=rate)
    losses = []
    for _ in range(steps):
        loss = charbonnier(network(lr, references).hr, truth)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < (0.9 if system == "dfdnet" else 0.8) * np.mean(losses[:3])


@pytest.mark.parametrize("system", list(REFERENCES))
def test_a_missing_reference_is_a_grey_photo(system: SystemName) -> None:
    network = tiny(system).eval()
    _, lr, references = batch(system)
    with torch.no_grad():
        nobody = network(lr, references[:, :0]).hr
        assert network(lr, references[:, :0]).scores.shape[1] == 0
        grey = network(lr, torch.full_like(references[:, :1], 0.5)).hr
        absent = network(lr, references, torch.zeros(references.shape[:2], dtype=torch.bool)).hr
        there = network(lr, references).hr
    torch.testing.assert_close(nobody, grey)
    torch.testing.assert_close(absent, grey)
    assert not torch.equal(there, grey)


def test_of_several_references_one_is_looked_at_or_all() -> None:
    references, present = (
        torch.rand(2, 3, 3, 4, 4),
        torch.tensor([[False, True, True], [False, False, False]]),
    )
    shown, there = with_grey(references, present)
    assert there.tolist() == [[False, True, True], [True, False, False]]
    chosen = first_present(shown, there)
    torch.testing.assert_close(chosen[0], references[0, 1])
    torch.testing.assert_close(chosen[1], torch.full((3, 4, 4), 0.5))
    assert build(SystemConfig(system="ttsr", scale=4, hr_size=32, width=0.1)).most_references == 1


def test_srntt_finds_what_lies_in_the_second_reference() -> None:
    """The headshot's own photo is found wherever it stands in the list."""
    network = tiny("srntt").eval()
    truth, lr, _ = batch("srntt")
    other = torch.rand_like(truth)
    with torch.no_grad():
        first = network(lr, torch.stack([truth, other], 1))
        second = network(lr, torch.stack([other, truth], 1))
    torch.testing.assert_close(first.hr, second.hr)
    assert float(first.extra["alike"].mean()) > 0.98


def test_ttsr_textures_are_the_photos_own_where_each_place_finds_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But at borders, where fewer patches cover a place and the sum is still divided by 9, as published."""
    network = tiny("ttsr").eval()
    monkeypatch.setattr("hime.systems.ttsr.search", lambda queries, *_: torch.arange(64).expand(2, -1))
    truth, lr, _ = batch("ttsr")
    with torch.no_grad():
        textures, attention = network.textures(lr, truth)  # type: ignore[operator]
        features = network.extractor(truth)  # type: ignore[operator]
    assert attention.shape == (2, 1, 8, 8)
    assert float(attention.abs().max()) <= 1 + 1e-5
    for texture, own in zip(textures, reversed(features), strict=True):
        edge = own.shape[-1] // 8
        inner = slice(edge, -edge)
        torch.testing.assert_close(texture[..., inner, inner], own[..., inner, inner])
        torch.testing.assert_close(texture[..., :edge, :edge], 4 / 9 * own[..., :edge, :edge])
        torch.testing.assert_close(texture[..., :edge, inner], 6 / 9 * own[..., :edge, inner])


def test_vgg_features_are_of_size_one_on_photos(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hime.losses.frozen import frozen_features

    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(shared / "weights"))
    photos = (255 * batch("ttsr")[0]).to(torch.uint8)
    vgg = VGGFeatures(("relu1_1", "relu2_2", "conv3_1"))
    vgg.load(photos)
    pictures = photos.float() / 255
    with torch.no_grad():
        found = vgg(pictures)
    for maps in found:
        assert float(maps.abs().mean()) == pytest.approx(1.0, rel=1e-4)
    public = frozen_features("vgg19")[:2]((pictures - vgg.mean) / vgg.deviation)
    torch.testing.assert_close(found[0], public / public.abs().mean())  # scaled, not changed


def test_attention_is_between_0_and_1_and_weighs_the_branch() -> None:
    torch.manual_seed(0)
    unit = FaceAttentionUnit(8, 8, 2, 8).eval()
    maps = torch.randn(1, 8, 16, 16)
    branch = unit.branch(maps)
    attention = unit.attention(branch)
    assert 0 < float(attention.min()) <= float(attention.max()) < 1
    torch.testing.assert_close(unit(maps), maps + attention * branch)


def test_warping_by_no_flow_is_the_identity_and_a_known_shift_is_recovered() -> None:
    picture = torch.rand(1, 3, 9, 9)
    torch.testing.assert_close(warped(picture, torch.zeros(1, 2, 9, 9)), picture)
    flow = torch.zeros(1, 2, 9, 9)
    flow[:, 0] = 2 * 2 / 8  # two pixels to the right, of eight between first and last
    moved = warped(picture, flow)
    torch.testing.assert_close(moved[..., :7], picture[..., 2:])
    torch.testing.assert_close(moved[..., 7:], picture[..., 8:].expand(-1, -1, -1, 2))


def test_heatmaps_have_their_peak_at_the_point() -> None:
    points = torch.tensor([[[2.5 / 16, 7.5 / 16], [0.5 / 16, 15.5 / 16]]])
    maps = heatmaps(points, 16, 1.0)
    assert maps.shape == (1, 2, 16, 16)
    assert float(maps[0, 0, 7, 2]) == pytest.approx(1.0)
    assert float(maps[0, 1, 15, 0]) == pytest.approx(1.0)
    assert float(maps.min()) >= 0
    assert float(maps[0, 0, 7, 3]) == pytest.approx(np.exp(-0.5), rel=1e-5)


def test_parsing_maps_are_the_labels_one_by_one() -> None:
    labels = torch.tensor([[[0, 1], [12, 13]]], dtype=torch.uint8)
    maps = parsing_maps(labels)
    assert maps.shape == (1, len(PARTS), 2, 2)
    assert maps[0, 0].tolist() == [[0, 1], [0, 0]]
    assert maps[0, -1].tolist() == [[0, 0], [1, 0]]
    assert float(maps.sum()) == 2  # the background and the rest of the person are nobody's


@pytest.mark.parametrize("system", ["psfrgan", "fsrnet", "pfsr"])
def test_photos_without_labels_teach_nothing_of_them(system: SystemName) -> None:
    """As labels come from `read_labels`: photos where no face was found are among the others."""
    network = stocked(tiny(system))
    truth, lr, references = batch(system)
    output = network(lr, references)
    known = labels_of(truth)
    half = {"points": known["points"].clone(), "parsing": known["parsing"].clone()}
    half["points"][1], half["parsing"][1] = NOWHERE, UNKNOWN
    half = mirrored_where(half, torch.tensor([False, True]))
    nothing = {"points": torch.full_like(half["points"], NOWHERE), "parsing": half["parsing"] * 0 + UNKNOWN}
    first = SystemOutput(
        output.hr[:1], output.scores[:1], {name: value[:1] for name, value in output.extra.items()}
    )
    only = network.auxiliary(first, truth[:1], {name: value[:1] for name, value in known.items()}, False)
    mixed, none = (network.auxiliary(output, truth, labels, False) for labels in (half, nothing))
    for term in only.keys() & {"parsing", "points"}:
        torch.testing.assert_close(mixed[term], only[term])
        assert none[term].item() == 0
    if system == "pfsr":
        torch.testing.assert_close(2 * mixed["attention"], only["attention"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system": "pfsr", "scale": 4}, "made for ×8"),
        ({"system": "ttsr", "scale": 8}, "made for ×4"),
        ({"system": "psfrgan", "hr_size": 96}, "hr_size=96"),
        ({"system": "sparnet", "width": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_built_is_told(change: dict[str, object], message: str) -> None:
    fields = {"system": "sparnet", "scale": 4, "hr_size": 64, "width": 1 / 16, **change}
    with pytest.raises(HimeError, match=message):
        build(architecture_of(fields))


def test_a_network_of_one_size_refuses_others() -> None:
    network = tiny("psfrgan")
    with pytest.raises(HimeError, match="built for pictures of 32×32"):
        network(torch.rand(1, 3, 16, 16), torch.rand(1, 0, 3, 64, 64))


@pytest.mark.parametrize("system", ["sparnet", "fsrnet"])
def test_odd_sizes_are_extended_and_cut(system: SystemName) -> None:
    network = tiny(system).eval()
    scale = SIZES[system][1]
    with torch.no_grad():
        output = network(torch.rand(1, 3, 11, 13), torch.rand(1, 0, 3, 11 * scale, 13 * scale))
    assert output.hr.shape == (1, 3, 11 * scale, 13 * scale)


EXPORTED = ["sparnet", "pfsr", "fsrnet", "gwainet"]


@pytest.mark.parametrize("system", sorted(set(SYSTEMS) - set(EXPORTED)))
def test_what_cannot_be_exported_is_refused_in_one_line(
    system: SystemName, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from hime.tools.export import export_model

    with pytest.raises(HimeError, match=f"x: not written, {system} cannot be exported, since") as refusal:
        export_model(tiny(system), tmp_path / "x")
    assert "\n" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("system", EXPORTED)
def test_export_gives_what_pytorch_gives(system: SystemName, tmp_path: Path) -> None:
    """Through the same exporter, which compares over sizes and numbers of references before it writes."""
    import hime
    from hime.tools.export import export_model

    network = tiny(system).eval()
    folder = export_model(network, tmp_path / f"tiny-{system}")
    restorer = hime.load(folder)
    _, lr, references = batch(system)
    pixels = (lr[0].clamp(0, 1) * 255).round().to(torch.uint8)
    photos = (references[0].clamp(0, 1) * 255).round().to(torch.uint8)
    restorer.set_references([photo.permute(1, 2, 0).numpy() for photo in photos])
    found = restorer.restore(pixels.permute(1, 2, 0).numpy()).image
    assert found.shape == (*(side * network.config.scale for side in lr.shape[-2:]), 3)


def test_a_compared_system_says_what_it_must_override() -> None:
    class Nothing(ComparedSystem):
        pass

    network = Nothing(SystemConfig(system="sparnet", scale=4, hr_size=32))
    make: Callable[[], SystemOutput] = lambda: network(torch.rand(1, 3, 8, 8), torch.rand(1, 0, 3, 32, 32))  # noqa: E731
    with pytest.raises(NotImplementedError):
        make()
