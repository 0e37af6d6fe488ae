"""The identity loss: how far a face recogniser sees the restored person from the true one.

Not the paper's. Its perception-oriented networks are trained to be sharp; this asks them to make up the
sharpness of this person's face.

Shapes: ``B`` batch, ``S`` side of the headshots.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hime.faces.embedding import ALIGNED_SIDE
from hime.losses.frozen import face_embedder

LEFT, TOP, SIDE = 0.136, 0.127, 0.724
"""The square of a headshot that the recogniser looks at, as shares of S. Headshots are cut out by their
eyes and mouth, and so is what the recogniser was trained with: one square fits all. Measured, see
docs/experiments.md."""


class IdentityLoss(nn.Module):
    """1 − cosine between SFace's embeddings of the restored and the true headshot, mean over the batch.

    The network stands beside the one that is trained: frozen, and no part of a training's state.
    """

    def __init__(self) -> None:
        """Load SFace.

        Raises:
            HimeError: the extra ``faces`` is not installed.
        """
        super().__init__()
        self.embedder = face_embedder()

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        """Whole headshots B×3×S×S in [0, 1], S ≥ 32 → scalar in [0, 2]; the gradient goes to ``restored``."""
        with torch.no_grad():
            of_truth = self.embed(truth)
        return 1 - F.cosine_similarity(self.embed(restored), of_truth).mean()

    def embed(self, headshots: Tensor) -> Tensor:
        """B×3×S×S in [0, 1] → B×128 in single precision."""
        left, top, side = (round(share * headshots.shape[-1]) for share in (LEFT, TOP, SIDE))
        faces = headshots[..., top : top + side, left : left + side]
        size = (ALIGNED_SIDE, ALIGNED_SIDE)
        faces = F.interpolate(faces, size, mode="bilinear", antialias=True, align_corners=False)
        embeddings: Tensor = self.embedder(faces * 255).float()
        return embeddings
