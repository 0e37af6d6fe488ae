"""What the tests of training share: tiny photos that are told by their value."""

from __future__ import annotations

import torch

from hime.training.photos import Photos, assemble

SIZE = 32


def uneven(*counts: int) -> Photos:
    """People of ``counts`` photos; the pixels of photo m all have the value m."""
    total = sum(counts)
    images = torch.arange(total, dtype=torch.uint8)[:, None, None, None].expand(total, 3, SIZE, SIZE)
    person = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    names = tuple(f"r/{who}/{row}" for row, who in enumerate(person.tolist()))
    return assemble(images.contiguous(), person, names)
