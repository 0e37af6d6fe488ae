"""DFDNet's dictionaries: what eyes, noses and mouths of the training people look like to VGG-19.

For each part and level, the features of all photos and of their mirror images are grouped by K-means; an
entry is the mean of a group. Groups are found on a fixed random projection, as good for distances and many
times smaller.

Shapes: ``M`` photos, ``C`` channels, ``S`` side, ``K`` entries, ``p`` a part's side at a level.
"""

from __future__ import annotations

import importlib.util

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module
from tqdm import tqdm

from hime.errors import HimeError, how_to_install
from hime.model.system import StoredPhotos
from hime.systems.base import SystemConfig
from hime.systems.dfdnet import PARTS, box, entry_side, part_name

PROJECTION = 256
"""Dimensions in which groups are found."""
MOST_PHOTOS = 2000
"""So many are looked at: they take some 5 GB at a side of 256."""
PHOTOS_AT_ONCE = 8


@torch.no_grad()
def build_entries(vgg: Module, photos: StoredPhotos, config: SystemConfig, seed: int) -> dict[str, Tensor]:
    """The dictionary, by the names of `DFDNet`'s buffers: each K×C×p×p.

    Args:
        vgg: pictures in [0, 1] → the four levels.
        photos: M×3×S×S uint8.
        config: of the network; ``entries`` is K.
        seed: of the projection, of K-means, and of the photos drawn.

    Raises:
        HimeError: scikit-learn is not installed, or there are fewer photos than half of ``entries``.
    """
    if 2 * len(photos) < config.entries:
        raise HimeError(
            f"dfdnet: {len(photos)} photos and their mirror images make no {config.entries} entries; give "
            f"more photos, or model.entries={2 * len(photos)} at most"
        )
    require()
    random = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(photos), generator=random)[:MOST_PHOTOS].sort().values
    crops: dict[str, list[Tensor]] = {}
    for rows in tqdm(chosen.split(PHOTOS_AT_ONCE), "dictionary", unit="batch", disable=None):
        pictures = photos[rows.to(photos.device)].float() / 255
        for mirrored in (False, True):
            levels = vgg(pictures.flip(-1) if mirrored else pictures)
            for level, features in enumerate(levels, start=1):
                for name, part in PARTS.items():
                    across, down = box(part, features.shape[-1])
                    side = entry_side(part, config.hr_size, level)
                    crop = F.interpolate(
                        features[:, :, across, down], (side, side), mode="bilinear", align_corners=False
                    )
                    crops.setdefault(part_name(name, level), []).append(crop.half().cpu())
    return {name: group_means(torch.cat(found), config.entries, random) for name, found in crops.items()}


def group_means(crops: Tensor, entries: int, random: torch.Generator) -> Tensor:
    """The means of ``entries`` groups of crops: M×C×p×p → K×C×p×p."""
    from sklearn.cluster import KMeans

    flat = crops.float().flatten(1)
    if flat.shape[1] > PROJECTION:
        projection = torch.randn(flat.shape[1], PROJECTION, generator=random) / PROJECTION**0.5
        points = flat @ projection
    else:
        points = flat
    seed = int(torch.randint(2**31 - 1, (), generator=random))
    groups = KMeans(entries, n_init=1, max_iter=50, random_state=seed).fit_predict(points.numpy())
    labels = torch.from_numpy(groups).long()
    sums = torch.zeros(entries, flat.shape[1]).index_add_(0, labels, flat)
    counts = torch.bincount(labels, minlength=entries).clamp_min(1)
    means: Tensor = (sums / counts[:, None]).unflatten(1, crops.shape[1:])
    return means


def require() -> None:
    """Refuse to begin without scikit-learn.

    Raises:
        HimeError: it is not installed.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise HimeError(f"dfdnet's dictionary needs scikit-learn; install it: {how_to_install('systems')}")
