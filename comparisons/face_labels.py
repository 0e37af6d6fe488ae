"""Landmarks and parts of the face of training photos, for the compared systems that learn from them.

    python comparisons/face_labels.py ROOT [ROOT …] --out labels.npz
    hime train fsrnet-x8 --data ROOT --set labels=labels.npz

Pseudo-labels: the face mesh and the person mask of MediaPipe, since the masks of CelebAMask-HQ and the
networks that FSRNet, PFSR and PSFR-GAN took theirs from are not part of this. Needs mediapipe 0.10.14 (later
packages bring no weights), which wants an environment of its own: ``pip install mediapipe==0.10.14``; hime
need not be installed there.

The file holds ``names`` ("ROOT/PERSON/FILE", ROOT's last part), ``points`` (68×2 float16 each, in the order
of iBUG 300-W, shares of the side) and ``parsing`` (SIZE×SIZE uint8 each, CelebAMask-HQ's labels; ears, hair,
neck and cloth are one, 13). Photos without a face are left out and told.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SIZE = 128
"""Side of the label maps."""
LEAST = 256
"""Smaller photos are enlarged to this side before the mesh is looked for."""

LANDMARKS = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""The mesh point nearest to each of the 68 landmarks: jaw, brows, nose, eyes, mouth."""

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
NOSE = (193, 417, 129, 358, 98, 327, 2, 64, 294, 48, 278, 168)
LEFT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
RIGHT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
LEFT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
RIGHT_EYE = (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382)
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
"""Outlines on the mesh. Those of the lips go from the left corner over the upper lip to the right one, and
back below."""
CORNER = 10
"""Where in the lips' outlines the right corner is."""

UPPER_LIP = (*OUTER_LIPS[: CORNER + 1], *reversed(INNER_LIPS[: CORNER + 1]))
LOWER_LIP = (*OUTER_LIPS[CORNER:], OUTER_LIPS[0], INNER_LIPS[0], *reversed(INNER_LIPS[CORNER:]))
PAINTED = (
    (1, OVAL, False), (2, NOSE, True), (6, LEFT_BROW, True), (7, RIGHT_BROW, True), (4, LEFT_EYE, False),
    (5, RIGHT_EYE, False), (10, INNER_LIPS, False), (11, UPPER_LIP, False), (12, LOWER_LIP, False),
)  # fmt: skip
"""CelebAMask-HQ's label, outline, and whether its convex hull is meant: one painted over the other, over the
person, 13: hair, ears, neck and cloth."""
REST_OF_THE_PERSON = 13

Array = npt.NDArray[Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; 1 if nothing could be labelled."""
    parser = argparse.ArgumentParser(description="Landmarks and parts of faces, by MediaPipe.")
    parser.add_argument("roots", nargs="+", type=Path, metavar="ROOT", help="people folder")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.npz")
    options = parser.parse_args(arguments)
    names, points, parsing = [], [], []
    with Labeller() as labeller:
        for root in options.roots:
            for path in sorted(path for path in root.glob("*/*") if path.suffix.lower() in SUFFIXES):
                name = "/".join((root.resolve().name, *path.relative_to(root).parts))
                try:
                    found = labeller(np.asarray(Image.open(path).convert("RGB")))
                except OSError as error:
                    print(f"left out: {name}, cannot be read ({error})", file=sys.stderr)
                    continue
                if found is None:
                    print(f"left out: {name}, no face found", file=sys.stderr)
                    continue
                names.append(name)
                points.append(found[0])
                parsing.append(found[1])
    if not names:
        print("no face found in any photo; give folders ROOT/PERSON/*.webp", file=sys.stderr)
        return 1
    partial = options.out.with_name(f".{options.out.name}.npz")
    np.savez_compressed(partial, names=np.array(names), points=np.stack(points), parsing=np.stack(parsing))
    partial.replace(options.out)
    print(f"{options.out}: {len(names)} photos")
    return 0


class Labeller:
    """MediaPipe's face mesh and person mask."""

    def __enter__(self) -> Labeller:
        from mediapipe import solutions

        self.mesh = solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True)
        self.person = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
        return self

    def __exit__(self, *_: object) -> None:
        self.mesh.close()
        self.person.close()

    def __call__(self, photo: Array) -> tuple[Array, Array] | None:
        """A square photo H×H×3 uint8 → 68×2 float16 and `SIZE`×`SIZE` uint8, or None without a face."""
        side = max(LEAST, len(photo))
        if side > len(photo):
            photo = cv2.resize(photo, (side, side), interpolation=cv2.INTER_CUBIC)
        faces = self.mesh.process(photo).multi_face_landmarks
        if not faces:
            return None
        mesh = np.array([(point.x, point.y) for point in faces[0].landmark])
        mask = self.person.process(photo).segmentation_mask > 0.5
        return mesh[list(LANDMARKS)].astype(np.float16), paint(mesh, mask)


def paint(mesh: Array, mask: Array) -> Array:
    """The label map of a mesh (points as shares of the side) and a person mask."""
    small = cv2.resize(mask.astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
    labels: Array = small * np.uint8(REST_OF_THE_PERSON)
    for label, outline, is_hull in PAINTED:
        corners = np.round(mesh[list(outline)] * SIZE - 0.5).astype(np.int32)
        cv2.fillPoly(labels, [cv2.convexHull(corners) if is_hull else corners], label)
    return labels


if __name__ == "__main__":
    sys.exit(main())
