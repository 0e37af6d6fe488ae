"""Photos of a person that show what another one shows too: copies, cropped, made smaller, compressed anew."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from pathlib import Path

import numpy as np

from hime.faces.look import SMALL_SIDE, Look

NEAR_DUPLICATE = 0.985
"""Correlation of two faces, registered by an affine transform, from which one photo adds nothing to the
other. Above it are 98 % of photos and their copies (cropped, made smaller, brightened, compressed anew), but
4 of the 5,340 pairs of a person's photos, which are copies indeed."""
ALIKE = 0.7
"""Cosine of embeddings below which two photos are not compared for that; 99 % of such copies are above
0.75."""
COMPARED = 5
"""A photo is compared with so many better ones at most, those whose embeddings are most like its own; so the
comparisons, nearly all of the work, grow with the photos, not with their square. Of 270 copies of photos of
six people (LFW, 30 photos each) 267 are most like their original, and the others not alike at all (`ALIKE`);
the rest of the five is for bursts."""
FACE = (slice(16, 56), slice(14, 50))
"""Rows and columns of `Look.small` that are compared: forehead, brows to chin, cheeks; no hair, no
background."""

Verdicts = MutableMapping[tuple[str, str], bool]
"""By the keys of two looks, the worse one's first, whether they show the same."""


def find_duplicates(looks: Sequence[Look], verdicts: Verdicts | None = None) -> dict[Path, str]:
    """The photos that show what a better one shows too, and which.

    Args:
        looks: the faces of one person, one a photo.
        verdicts: what is known of those that have a key; what is found out is added.
    """
    if not looks:
        return {}
    ordered = sorted(looks, key=lambda look: look.quality, reverse=True)
    kept: list[Look] = []
    embeddings = np.empty((len(ordered), len(ordered[0].embedding)), np.float32)  # of those kept
    duplicates: dict[Path, str] = {}
    for look in ordered:
        cosines = embeddings[: len(kept)] @ look.embedding
        nearest = np.argsort(-cosines, kind="stable")[:COMPARED]
        alike = [kept[place] for place in sorted(nearest) if cosines[place] >= ALIKE]
        same = next((other for other in alike if _is_same(look, other, verdicts)), None)
        if same is None:
            embeddings[len(kept)] = look.embedding
            kept.append(look)
        else:
            duplicates[look.path] = f"almost the same photo as {same.path.name}"
    return duplicates


def _is_same(look: Look, other: Look, verdicts: Verdicts | None) -> bool:
    """`is_same_photo`, asked once of each two."""
    if verdicts is None or not (look.key and other.key):
        return is_same_photo(look, other)
    pair = (look.key, other.key)
    if pair not in verdicts:
        verdicts[pair] = is_same_photo(look, other)
    return verdicts[pair]


def is_same_photo(look: Look, other: Look) -> bool:
    """Whether two faces that are alike are one photo's, by what they look like."""
    import cv2  # there, since faces were found

    face = np.zeros((SMALL_SIDE, SMALL_SIDE), np.uint8)
    face[FACE] = 1
    start = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-3)
    try:
        correlation, transform = cv2.findTransformECC(
            look.small, other.small, start, cv2.MOTION_AFFINE, criteria, face, 5
        )
    except cv2.error:  # it does not converge: nothing alike
        return False
    # Landmarks are found again to within a tenth; a transform further off has lost the face.
    is_near = np.abs(transform[:, :2] - np.eye(2)).max() < 0.2
    is_near &= np.abs(transform[:, 2]).max() < SMALL_SIDE / 4
    return bool(is_near and correlation >= NEAR_DUPLICATE)
