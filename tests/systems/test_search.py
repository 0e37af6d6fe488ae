"""Texture search against a slow plain version, with gradients, and what it must find."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hime.systems import search as module
from hime.systems.search import cover, patches, search, similarity, transfer


def slow_search(queries: Tensor, keys: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """By loops: of each query the number and the cosine of its key."""
    batch, _, count = queries.shape
    index, alike = torch.zeros(batch, count, dtype=torch.long), []
    for row in range(batch):
        for place in range(count):
            query, best = queries[row, :, place], None
            for reference in range(keys.shape[1]):
                for other in range(keys.shape[3]):
                    if not present[row, reference]:
                        continue
                    cosine = query @ keys[row, reference, :, other]
                    if best is None or cosine > best:
                        best, index[row, place] = cosine, reference * keys.shape[3] + other
            assert best is not None
            alike.append(best)
    return index, torch.stack(alike).view(batch, count)


def slow_transfer(maps: Tensor, index: Tensor, shape: tuple[int, int], factor: int, padding: int) -> Tensor:
    """By unfolding patches of side 3r, choosing and folding them: one reference."""
    side, stride, edge = 3 * factor, factor, padding * factor
    columns = F.unfold(maps, side, padding=edge, stride=stride)
    chosen = columns.gather(2, index[:, None].expand(-1, columns.shape[1], -1))
    size = tuple((length + 2 - 2 * padding) * factor for length in shape)
    return F.fold(chosen, size, side, padding=edge, stride=stride)


@pytest.mark.parametrize("references", [1, 3])
def test_search_is_the_slow_one_with_gradients(references: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRODUCTS", 40)  # many blocks
    torch.manual_seed(0)
    own = torch.randn(2, 4, 5, 4, requires_grad=True)
    others = torch.randn(2 * references, 4, 4, 5, requires_grad=True)
    present = torch.ones(2, references, dtype=torch.bool)
    present[0, 0] = references == 1
    queries, keys = patches(own, 1), patches(others, 0).unflatten(0, (2, references))
    index = search(queries, keys, present)
    wanted_index, wanted = slow_search(queries, keys, present)
    assert torch.equal(index, wanted_index)
    found = similarity(queries, keys, index)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(found)
    ours = torch.autograd.grad((weights * found).sum(), (own, others), retain_graph=True)
    theirs = torch.autograd.grad((weights * wanted).sum(), (own, others))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("padding", [0, 1])
def test_transfer_is_unfolding_and_folding_with_gradients(factor: int, padding: int) -> None:
    torch.manual_seed(factor)
    maps = torch.randn(2, 3, 6 * factor, 5 * factor, requires_grad=True)
    rows, columns = 4 + 2 * padding, 3 + 2 * padding
    index = torch.randint(rows * columns, (2, rows * columns))
    values = F.pad(F.pixel_unshuffle(maps, factor), (padding,) * 4)[:, None]
    laid = transfer(values, index, (rows, columns))
    inner = laid[:, :, padding : laid.shape[2] - padding, padding : laid.shape[3] - padding]
    found = F.pixel_shuffle(inner, factor)
    wanted = slow_transfer(maps, index, (rows, columns), factor, padding)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(found)
    ours, theirs = (torch.autograd.grad((weights * each).sum(), maps)[0] for each in (found, wanted))
    torch.testing.assert_close(ours, theirs)


def test_transfer_takes_from_the_reference_that_was_found() -> None:
    values = torch.stack([torch.zeros(4, 6, 6), torch.ones(4, 6, 6)])[None]
    index = torch.full((1, 16), 16 + 5)  # of the second one
    torch.testing.assert_close(transfer(values, index, (4, 4))[0, 0], cover((4, 4)))


@given(rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_cover_is_a_fold_of_ones(rows: int, columns: int) -> None:
    ones = torch.ones(1, 9, rows * columns)
    torch.testing.assert_close(cover((rows, columns)), F.fold(ones, (rows + 2, columns + 2), 3)[0, 0])


@settings(max_examples=20)
@given(down=st.integers(0, 6), right=st.integers(0, 6), seed=st.integers(0, 1000))
def test_a_pasted_patch_is_recovered(down: int, right: int, seed: int) -> None:
    """Somewhere in a reference lies the headshot's middle: there it is found, and its fine map with it."""
    random = torch.Generator().manual_seed(seed)
    own, own_fine = torch.randn(1, 8, 6, 6, generator=random), torch.randn(1, 2, 24, 24, generator=random)
    other = torch.randn(1, 8, 12, 12, generator=random)
    other_fine = torch.randn(1, 2, 48, 48, generator=random)
    other[:, :, down : down + 6, right : right + 6] = own
    other_fine[:, :, 4 * down : 4 * down + 24, 4 * right : 4 * right + 24] = own_fine
    queries, keys = patches(own, 0), patches(other, 0)[:, None]
    index = search(queries, keys, torch.ones(1, 1, dtype=torch.bool))
    places = [(down + y) * 10 + right + x for y in range(4) for x in range(4)]
    assert index[0].tolist() == places
    torch.testing.assert_close(similarity(queries, keys, index), torch.ones(1, 16))
    laid = transfer(F.pixel_unshuffle(other_fine, 4)[:, None], index, (4, 4)) / cover((4, 4))
    torch.testing.assert_close(F.pixel_shuffle(laid, 4), own_fine)


def test_an_absent_reference_is_never_found() -> None:
    own = torch.randn(1, 4, 5, 5)
    keys = patches(torch.cat([own, torch.randn(1, 4, 5, 5)]), 0)[None]
    index = search(patches(own, 0), keys, torch.tensor([[False, True]]))
    assert int(index.min()) >= 9
