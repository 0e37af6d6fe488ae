"""DFDNet's dictionary: what is put in is found again, and it is made of the parts of faces."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hime import HimeError
from hime.systems import SystemConfig
from hime.systems.dfdnet import PARTS, DFDNet, box, entry_side, nearest_entry
from hime.systems.dictionary import build_entries, group_means

CONFIG = SystemConfig(system="dfdnet", scale=4, hr_size=64, width=1 / 16, entries=2)


class Levels(nn.Module):
    """In place of VGG-19: the picture's mean colour, reduced, as two channels of four levels."""

    def forward(self, pictures: Tensor) -> list[Tensor]:
        grey = pictures.mean(1, keepdim=True)
        return [torch.cat([nn.functional.avg_pool2d(grey, 2**level)] * 2, dim=1) for level in range(1, 5)]


def test_an_entry_with_another_contrast_is_found_and_brought_to_the_crops() -> None:
    torch.manual_seed(0)
    entries = torch.randn(5, 4, 6, 6)
    crop = 3 * entries[[3, 1]] + 7
    found, chosen = nearest_entry(crop, entries)
    assert chosen.tolist() == [3, 1]
    torch.testing.assert_close(found, crop, atol=1e-3, rtol=0)


def test_the_entry_is_the_one_of_the_largest_product() -> None:
    """As published: ⟨R, D'⟩ of each entry after its contrast is the crop's, one by one."""
    torch.manual_seed(1)
    crop, entries = torch.randn(1, 4, 5, 5), torch.randn(7, 4, 5, 5)
    products = []
    for entry in entries:
        plain = (entry - entry.mean((1, 2), keepdim=True)) / entry.std((1, 2), keepdim=True)
        led = plain * crop[0].std((1, 2), keepdim=True) + crop[0].mean((1, 2), keepdim=True)
        products.append(float((crop[0] * led).sum()))
    assert nearest_entry(crop, entries)[1].item() == max(range(7), key=lambda number: products[number])


def test_nothing_changes_outside_of_the_parts() -> None:
    torch.manual_seed(0)
    network = DFDNet(CONFIG)
    features = torch.randn(1, 128, 32, 32)
    out = network.transferred(features, 1)
    inside = torch.zeros(32, 32, dtype=torch.bool)
    for part in PARTS.values():
        rows, columns = box(part, 32)
        inside[rows, columns] = True
    assert torch.equal(out[..., ~inside], features[..., ~inside])
    assert 0.05 < float(inside.float().mean()) < 0.2


def test_two_kinds_of_faces_make_two_entries() -> None:
    pytest.importorskip("sklearn")
    torch.manual_seed(0)
    dark, light = (torch.full((6, 3, 64, 64), level, dtype=torch.uint8) for level in (40, 200))
    entries = build_entries(Levels(), torch.cat([dark, light]), CONFIG, seed=0)
    assert set(entries) == {f"{part}_{level}" for part in PARTS for level in range(1, 5)}
    for name, found in entries.items():
        part, _, level = name.rpartition("_")
        side = entry_side(PARTS[part], 64, int(level))
        assert found.shape == (2, 2, side, side)
        assert sorted(float(each.mean()) for each in found) == pytest.approx([40 / 255, 200 / 255], abs=1e-3)


def test_a_group_is_the_mean_of_its_crops_and_seeded() -> None:
    pytest.importorskip("sklearn")
    torch.manual_seed(0)
    centres = 10 * torch.randn(3, 40, 4, 4)  # more values than dimensions are kept
    crops = (centres[:, None] + 0.01 * torch.randn(3, 8, 40, 4, 4)).flatten(0, 1)
    first, again = (group_means(crops, 3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    for centre in centres:
        assert min(float((centre - mean).abs().max()) for mean in first) < 0.1


def test_too_few_photos_and_a_missing_package_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HimeError, match=r"model\.entries=2"):
        build_entries(Levels(), torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
                      SystemConfig(system="dfdnet", scale=4, hr_size=64, entries=9), seed=0)  # fmt: skip
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(HimeError, match=r"hime-sr\[systems\]"):
        build_entries(Levels(), torch.zeros(4, 3, 64, 64, dtype=torch.uint8), CONFIG, seed=0)
