"""Texture search: for each place of the headshot the place of a reference that looks most alike, and what the
reference shows there (SRNTT, TTSR).

Patches are 3×3 of the coarsest map. A finer map is folded (`F.pixel_unshuffle`) so that the r×r pixels of a
place lie in its channels: its patches of side 3r and stride r are then 3×3 patches too, and all is one case.
Nothing is ever unfolded but the queries and keys of the search, whose products are made in blocks.

Shapes: ``B`` batch, ``N`` references, ``C`` channels, ``H W`` the coarsest map, ``r`` how much finer another
one is; ``P`` patches of the headshot, ``Q`` of a reference.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PRODUCTS = 1 << 24
"""The most similarities that are held at once."""


def patches(maps: Tensor, padding: int) -> Tensor:
    """The 3×3 patches of maps M×C×H×W as unit vectors: M×9C×P, P = (H + 2·padding − 2)·(W + …)."""
    return F.normalize(F.unfold(maps, 3, padding=padding), dim=1, eps=1e-5)


@torch.no_grad()
def search(queries: Tensor, keys: Tensor, present: Tensor) -> Tensor:
    """The key most alike each query, by cosine.

    Args:
        queries: B×D×P, unit vectors.
        keys: B×N×D×Q, unit vectors.
        present: B×N bool; the others are not looked at. At least one a row.

    Returns:
        B×P, numbers into N·Q.
    """
    batch, references, _, per_reference = keys.shape
    absent = ~present.repeat_interleave(per_reference, dim=1)[:, None]  # B×1×NQ
    flat = keys.transpose(1, 2).flatten(2)  # B×D×NQ
    block = max(1, PRODUCTS // (batch * references * per_reference))
    found = [
        (part.transpose(1, 2) @ flat).masked_fill(absent, -torch.inf).argmax(dim=2)
        for part in queries.split(block, dim=2)
    ]
    return torch.cat(found, dim=1)


def similarity(queries: Tensor, keys: Tensor, index: Tensor) -> Tensor:
    """The cosines of queries with the keys that were found, B×P; with gradients to both."""
    flat = keys.transpose(1, 2).flatten(2)
    chosen = flat.gather(2, index[:, None].expand(-1, flat.shape[1], -1))
    return (queries * chosen).sum(dim=1)


def transfer(values: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
    """Lay the patches that were found over one another: at each place the sum of those that cover it.

    Args:
        values: B×N×C×H'×W', maps of the references, of which ``index`` counts the (H' − 2)·(W' − 2) patches.
        index: B×P, of `search`.
        shape: rows and columns of the P patches.

    Returns:
        B×C×(rows + 2)×(columns + 2).
    """
    batch, _, channels, height, width = values.shape
    rows, columns = shape
    across = width - 2
    per_reference = (height - 2) * across
    # Of each patch the place of its upper left pixel in N·H'·W'.
    inside = index % per_reference
    corner = (index // per_reference) * height * width + (inside // across) * width + inside % across
    flat = values.transpose(1, 2).flatten(2)  # B×C×NH'W'
    out = values.new_zeros(batch, channels, rows + 2, columns + 2)
    for down in range(3):
        for right in range(3):
            place = (corner + down * width + right)[:, None].expand(-1, channels, -1)
            covered = out[:, :, down : down + rows, right : right + columns]
            covered += flat.gather(2, place).unflatten(2, shape)
    return out


def cover(shape: tuple[int, int]) -> Tensor:
    """How many 3×3 patches cover each place: (rows + 2)×(columns + 2)."""
    counts = torch.zeros(shape[0] + 2, shape[1] + 2)
    for down in range(3):
        for right in range(3):
            counts[down : down + shape[0], right : right + shape[1]] += 1
    return counts
