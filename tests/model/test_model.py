"""The network: its parts, the ablation switches, and what references may do."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hime.errors import HimeError
from hime.losses.frozen import spynet_weights
from hime.model import HIME, PAPER, HIMEConfig
from hime.model.aggregation import (
    AverageAggregation,
    ContentConditionedAggregation,
    MaxAggregation,
)
from hime.model.alignment import DeformableAlignment
from hime.model.features import ReferenceFeatureExtractor
from hime.model.flow import SpyNet
from hime.model.reconstruction import Reconstruction, SubPixelUpsampling, bicubic
from hime.model.sampling import warp

TINY: dict[str, Any] = {
    "channels": 8,
    "deformable_groups": 2,
    "lr_blocks": 1,
    "reference_blocks": 1,
    "reconstruction_blocks": 2,
}


def tiny(**changes: Any) -> HIME:
    torch.manual_seed(0)
    model = HIME(HIMEConfig(**{**TINY, **changes}))
    with torch.no_grad():  # leave the zero initialisation, so that every part counts
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def pictures(batch: int, references: int, scale: int, height: int = 8, width: int = 8) -> Any:
    generator = torch.Generator().manual_seed(1)
    lr = torch.rand(batch, 3, height, width, generator=generator)
    return lr, torch.rand(batch, references, 3, height * scale, width * scale, generator=generator)


@pytest.mark.parametrize("alignment", ["conv", "deformable", "flow-guided"])
@pytest.mark.parametrize("aggregation", ["average", "max", "content-conditioned"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_every_switch_gives_a_picture_for_any_number_of_references(
    alignment: str, aggregation: str, scale: int
) -> None:
    model = tiny(alignment=alignment, aggregation=aggregation, scale=scale)
    for references in (0, 1, 4):
        lr, photos = pictures(2, references, scale, 8, 11)
        hr, scores = model(lr, photos)
        assert hr.shape == (2, 3, 8 * scale, 11 * scale)
        assert scores.shape == (2, references, 1, 8, 11)
        assert torch.isfinite(hr).all()
        assert (scores >= 0).all()
        assert (scores.sum(dim=1) <= 1 + 1e-5).all()


@pytest.mark.parametrize("alignment", ["conv", "deformable", "flow-guided"])
@pytest.mark.parametrize("aggregation", ["average", "max", "content-conditioned"])
def test_the_order_of_the_references_does_not_matter(alignment: str, aggregation: str) -> None:
    model = tiny(alignment=alignment, aggregation=aggregation)
    lr, photos = pictures(1, 3, 4)
    hr, scores = model(lr, photos)
    for order in itertools.permutations(range(3)):
        other_hr, other_scores = model(lr, photos[:, list(order)])
        torch.testing.assert_close(other_hr, hr, rtol=0, atol=1e-5)
        torch.testing.assert_close(other_scores, scores[:, list(order)], rtol=0, atol=1e-5)


@pytest.mark.parametrize("aggregation", ["average", "max", "content-conditioned"])
def test_an_absent_slot_counts_for_nothing(aggregation: str) -> None:
    model = tiny(aggregation=aggregation)
    lr, photos = pictures(2, 3, 4)
    present = torch.tensor([[True, False, True], [False, False, False]])
    hr, scores = model(lr, photos, present)
    assert (scores[~present] == 0).all()
    torch.testing.assert_close(hr[:1], model(lr[:1], photos[:1, [0, 2]]).hr, rtol=0, atol=1e-5)
    torch.testing.assert_close(hr[1:], model(lr[1:], photos[1:, :0]).hr, rtol=0, atol=1e-5)


def test_encoding_once_equals_encoding_each_time() -> None:
    model = tiny()
    lr, photos = pictures(2, 3, 4)
    features = model.encode(photos.flatten(0, 1))
    assert features.shape[1] == model.feature_channels
    hr, _ = model.restore(lr, features.unflatten(0, (2, 3)))
    torch.testing.assert_close(hr, model(lr, photos).hr, rtol=0, atol=1e-6)


@pytest.mark.parametrize("alignment", ["conv", "deformable", "flow-guided"])
def test_every_parameter_gets_a_gradient(alignment: str) -> None:
    model = tiny(alignment=alignment)
    lr, photos = pictures(2, 2, 4)
    output = model.train()(lr, photos)
    output.hr.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("alignment", ["conv", "deformable", "flow-guided"])
def test_the_paper_s_form_is_the_sum(alignment: str) -> None:
    model = tiny(alignment=alignment, **PAPER).train()
    assert not any("fusion" in name for name, _ in model.named_parameters())
    lr, photos = pictures(2, 2, 4)
    fused = model.lr_features(lr)  # without references F_f = F^L
    torch.testing.assert_close(model(lr, photos[:, :0]).hr, model.reconstruction(fused, lr))


def test_shared_features_see_what_a_reference_shows_beyond_its_lr_version() -> None:
    """A reference that is plain in every LR pixel has no detail: only its LR features are left."""
    model = tiny(scale=4)
    flat = torch.full((1, 3, 32, 32), 0.3)
    nothing = model.reference_features(torch.zeros(1, 3, 32, 32))
    expected = nothing + model.lr_features(torch.full((1, 3, 8, 8), 0.3))
    torch.testing.assert_close(model.encode(flat), expected, rtol=0, atol=1e-4)


def test_a_config_rebuilds_its_network() -> None:
    model = tiny(scale=8)
    again = HIME(HIMEConfig(**dataclasses.asdict(model.config)))
    again.load_state_dict(model.state_dict())
    lr, photos = pictures(1, 2, 8)
    assert torch.equal(model(lr, photos).hr, again(lr, photos).hr)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    model = tiny()
    lr, photos = pictures(1, 2, 4)
    with pytest.raises(HimeError, match="do not fit"):
        model(lr, photos[..., :-4])
    with pytest.raises(HimeError, match="multiple"):
        HIME(HIMEConfig(channels=10, deformable_groups=4))
    for change in ({"channels": -8}, {"deformable_groups": 0}, {"lr_blocks": -1}):
        with pytest.raises(HimeError, match="give at least"):
            tiny(**change)


def test_the_skip_is_bicubic_and_the_residual_starts_free_of_a_checkerboard() -> None:
    torch.manual_seed(0)
    reconstruction = Reconstruction(8, 4, 2)
    lr = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        residual = reconstruction(torch.rand(1, 8, 8, 8), lr) - F.interpolate(
            lr, scale_factor=4, mode="bicubic"
        )
    blocks = residual.unfold(2, 4, 4).unfold(3, 4, 4)
    assert residual.abs().max() > 1e-3
    torch.testing.assert_close(blocks, blocks[..., :1, :1].expand_as(blocks), rtol=0, atol=1e-5)  # ICNR
    assert SubPixelUpsampling(8, 4)(torch.rand(1, 8, 5, 6)).shape == (1, 3, 20, 24)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_bicubic_skip_is_pytorch_s(scale: int) -> None:
    lr = torch.rand(2, 3, 9, 12)
    expected = F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
    torch.testing.assert_close(bicubic(lr, scale), expected, rtol=0, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bicubic(lr, scale), bicubic(lr, scale).float())
        torch.testing.assert_close(bicubic(lr, scale), expected, rtol=0, atol=1e-6)


def test_space_to_depth_keeps_every_grey_pixel() -> None:
    extractor = ReferenceFeatureExtractor(8, 4, 1)
    photo = torch.rand(1, 3, 16, 16)
    grey = extractor.to_grey(photo)
    torch.testing.assert_close(grey, photo.mean(dim=1, keepdim=True))
    assert torch.equal(F.pixel_shuffle(extractor.space_to_depth(grey), 4), grey)


def test_deformable_alignment_starts_as_half_a_plain_convolution() -> None:
    torch.manual_seed(0)
    alignment = DeformableAlignment(8, 2)
    features, lr_features = torch.randn(2, 8, 6, 6), torch.randn(2, 8, 6, 6)
    weight = alignment.conv.weight.view(8, 8, 3, 3)
    plain = F.conv2d(features, 0.5 * weight, alignment.conv.bias, padding=1)  # the mask is σ(0) = ½
    torch.testing.assert_close(alignment(features, lr_features), plain, rtol=0, atol=1e-5)


def test_deformable_alignment_learns_a_known_shift() -> None:
    """Offsets alone, trained from zero on references moved by two pixels, find the way back."""
    torch.manual_seed(0)
    alignment = DeformableAlignment(4, 1)
    with torch.no_grad():  # sampling only: the centre tap of every channel, at full strength
        alignment.conv.weight.zero_().view(4, 4, 9)[:, :, 4] = 2 * torch.eye(4)
        alignment.conv.bias.zero_()  # type: ignore[union-attr]
    optimiser = torch.optim.Adam(alignment.offsets.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        scene = F.interpolate(torch.randn(8, 4, 5, 5), 16, mode="bicubic")
        reference = torch.roll(scene, 2, dims=-1)
        aligned = alignment(reference, scene)
        loss = (aligned - scene)[..., 3:-3].abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    offsets, _ = alignment.offsets(reference, scene)
    centre = offsets.view(8, 9, 2, 16, 16)[:, 4, :, :, 3:-3]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert centre[:, 0].mean().item() == pytest.approx(2.0, abs=0.6)
    assert abs(centre[:, 1].mean().item()) < 0.4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 4), st.integers(1, 3), st.booleans())
def test_equation_5_written_out(references: int, batch: int, null: bool) -> None:
    torch.manual_seed(references * 7 + batch)
    aggregation = ContentConditionedAggregation(4, null_reference=null)
    aligned, lr_features = torch.randn(batch, references, 4, 5, 6), torch.randn(batch, 4, 5, 6)
    present = torch.rand(batch, references) < 0.7
    aggregate, weights = aggregation(aligned, lr_features, present)
    for b in range(batch):
        total = aggregation.null_score.sigmoid() if aggregation.null_score is not None else torch.zeros(())
        total, top = total.expand(5, 6).clone(), torch.zeros(4, 5, 6)
        for i in range(references):
            if present[b, i]:
                key, query = aggregation.g1(aligned[b, i]), aggregation.g2(lr_features[b])
                score = torch.sigmoid((key * query).sum(dim=0) / 2.0)
                total, top = total + score, top + score * aligned[b, i]
        expected = top / total.clamp_min(1e-6)
        torch.testing.assert_close(aggregate[b], expected, rtol=0, atol=1e-5)
    assert (weights[~present] == 0).all()


def test_one_reference_can_be_turned_down_only_with_the_null_reference() -> None:
    torch.manual_seed(0)
    paper, ours = ContentConditionedAggregation(4, False), ContentConditionedAggregation(4, True)
    aligned, lr_features = torch.randn(1, 1, 4, 5, 5), torch.randn(1, 4, 5, 5)
    present = torch.ones(1, 1, dtype=torch.bool)
    torch.testing.assert_close(paper(aligned, lr_features, present)[1], torch.ones(1, 1, 1, 5, 5))
    assert (ours(aligned, lr_features, present)[1] < 0.9).any()


def test_average_and_max_are_what_they_say() -> None:
    aligned, lr_features = torch.randn(2, 3, 4, 5, 5), torch.randn(2, 4, 5, 5)
    present = torch.tensor([[True, True, True], [True, False, True]])
    mean, weights = AverageAggregation()(aligned, lr_features, present)
    torch.testing.assert_close(mean[0], aligned[0].mean(dim=0))
    torch.testing.assert_close(mean[1], aligned[1, [0, 2]].mean(dim=0))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 1, 5, 5))
    largest, shares = MaxAggregation()(aligned, lr_features, present)
    torch.testing.assert_close(largest[0], aligned[0].amax(dim=0))
    torch.testing.assert_close(largest[1], aligned[1, [0, 2]].amax(dim=0))
    torch.testing.assert_close(shares, weights)


@pytest.mark.parametrize("size", [(16, 16), (32, 32), (24, 40)])
def test_flow_has_the_size_of_its_pictures_and_1_44_m_parameters(size: tuple[int, int]) -> None:
    flow = SpyNet()
    assert sum(parameter.numel() for parameter in flow.parameters()) == pytest.approx(1.44e6, rel=0.01)
    assert flow(torch.rand(2, 3, *size), torch.rand(2, 3, *size)).shape == (2, 2, *size)


def test_the_public_flow_weights_recover_a_shift(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(shared / "weights"))
    flow = SpyNet().eval()
    flow.load_state_dict(spynet_weights(flow.state_dict()))
    generator = torch.Generator().manual_seed(0)
    scene = F.interpolate(torch.rand(1, 3, 12, 12, generator=generator), 80, mode="bicubic").clamp(0, 1)
    first, second = (
        scene[..., 8:72, 8:72],
        scene[..., 8:72, 5:69],
    )  # in the second all is 3 px further right
    with torch.no_grad():
        found = flow(first, second)
    assert found[0, 0, 8:-8, 8:-8].mean().item() == pytest.approx(3.0, abs=0.5)
    assert abs(found[0, 1, 8:-8, 8:-8].mean().item()) < 0.5
    closer = (warp(second, found) - first)[..., 8:-8, 8:-8].abs().mean()
    assert closer < 0.3 * (second - first)[..., 8:-8, 8:-8].abs().mean()
