"""How restored faces lie in their photographs: what else changes, whether they are shifted, and the seam.

    python comparisons/pasting.py FOLDER [--model NAME] [--side 48]

Every picture in the folder and below it is made so small that the headshot of its largest face has SIDE
pixels, and enlarged again. Of this face are told:

- **identity**: the largest difference to the plain enlargement, in levels of 255, inside and outside of the
  frame, if the model only enlarges;
- **others**: how many pixels of the picture's other faces are not exactly those of the plain enlargement, if
  the model restores: of those that are nearer to the other face, and of the others' boxes in all;
- **truth**: if the model gives the truth, how far the inner face lies from the truth's, in pixels of the
  result, and its PSNR; beside it that of the plain enlargement;
- **seam**: how much steeper the picture is across the frame's border than the plain enlargement is, in
  proportion to the same on both sides of it: 1 without a seam. Beside it, for a headshot that is pasted
  without mask and colours.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image

from hime.errors import HimeError
from hime.evaluation.metrics import psnr
from hime.faces.detection import detect
from hime.faces.headshot import MASK_EXPONENT, MASK_FULL, Frame, cut
from hime.pictures.arrays import LUMA, FloatArray, Image, from_planes, resize, to_planes
from hime.pictures.formats import images_in
from hime.pictures.reading import Picture, read_image
from hime.restoring.exported import DEFAULT_PHOTO_MODEL, Backend
from hime.restoring.face import RestoredFace
from hime.restoring.photo import restore_photo
from hime.restoring.restorer import Restorer, load

SCALE = 4
BORDER = 1.5
"""Pixels on each side of the frame's border that a seam would lie in."""
BESIDE = (4.0, 10.0)
"""From how many to how many pixels on each side of it the surroundings go."""


class Fixed:
    """A model that gives a picture made before, or Lanczos' enlargement of whatever it gets."""

    card: dict[str, Any] = {"name": "fixed", "scale": SCALE, "feature_channels": 1}  # noqa: RUF012
    reconstruction = None

    def __init__(self, image: Image | None = None) -> None:
        self.image = image

    def encode(self, references: FloatArray) -> FloatArray:
        """Nothing."""
        count, _, height, width = references.shape
        return np.zeros((count, 1, height // SCALE, width // SCALE), np.float32)

    def restore(self, lr: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The picture, without looking."""
        images = [enlarge(from_planes(each)) if self.image is None else self.image for each in lr]
        batch, count, _, height, width = features.shape
        scores = np.zeros((batch, count, height, width), np.float32)
        return np.concatenate([to_planes(image) for image in images]), scores


@dataclass(frozen=True)
class Pasting:
    """What is told of one face, see above."""

    identity_inside: int
    identity_outside: int
    others: int
    others_nearer: int
    others_changed: int
    shift: float
    truth: float
    plain: float
    seam: float
    seam_unmasked: float


def enlarge(image: Image) -> Image:
    """By Lanczos, as the rest of a photograph is."""
    size = (image.shape[1] * SCALE, image.shape[0] * SCALE)
    return np.array(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.LANCZOS))


def measure(original: Image, side: int, model: Backend) -> Pasting | None:
    """What is told of the largest face in a photograph; None if it has none of ``side`` pixels.

    Raises:
        HimeError: as for `hime.restoring.photo.restore_photo`.
    """
    largest = detect(original, smallest=side / 2)[:1]
    if not largest:
        return None
    factor = side / largest[0].frame.side
    height, width = (round(extent * factor) for extent in original.shape[:2])
    if factor * SCALE > 1 or min(height, width) < 16:
        return None
    truth = resize(original, height * SCALE, width * SCALE)
    small = resize(truth, height, width)

    faces = restore_photo(Picture(small), [], Restorer(Fixed()), everyone=True).faces
    number = max(range(len(faces)), key=lambda index: faces[index].frame.side) + 1

    def restored(backend: Backend) -> tuple[Image, Image, RestoredFace]:
        result = restore_photo(Picture(small), [], Restorer(backend), only_face=number, explain=True)
        assert result.image.dtype == np.uint8
        return result.image.astype(np.uint8), result.plain.astype(np.uint8), result.faces[number - 1]

    same, plain, face = restored(Fixed())
    frame = face.frame.scaled(SCALE)
    distance = distances(frame, plain.shape)
    change = np.abs(same.astype(int) - plain).max(axis=-1)
    known, _, _ = restored(Fixed(cut(truth, frame, SCALE * face.lr.shape[0])))
    better, _, improved = restored(model)
    assert improved.restored is not None
    weighed = distances(frame, plain.shape, MASK_EXPONENT)
    nearer, boxes = np.zeros(distance.shape, bool), np.zeros(distance.shape, bool)
    for other in faces[: number - 1] + faces[number:]:
        left, top, across, down = (SCALE * value for value in other.box)
        box = np.zeros(distance.shape, bool)
        box[
            round(max(0, top)) : round(max(0, top + down)), round(max(0, left)) : round(max(0, left + across))
        ] = 1
        boxes |= box
        nearer |= box & (distances(other.frame.scaled(SCALE), plain.shape, MASK_EXPONENT) < weighed)
    changed = (better != plain).any(axis=-1)
    inner = distance < MASK_FULL
    return Pasting(
        identity_inside=int(change[distance < 1].max()),
        identity_outside=int(change[distance >= 1].max(initial=0)),
        others=int(boxes.sum()),
        others_nearer=int((changed & nearer).sum()),
        others_changed=int((changed & boxes).sum()),
        shift=shift(known, truth, inner),
        truth=psnr(known[inner][np.newaxis], truth[inner][np.newaxis]),
        plain=psnr(plain[inner][np.newaxis], truth[inner][np.newaxis]),
        seam=seam(better, plain, frame),
        seam_unmasked=seam(unmasked(plain, improved.restored, frame), plain, frame),
    )


def distances(frame: Frame, shape: Sequence[int], exponent: float = np.inf) -> FloatArray:
    """Of each pixel from the frame's centre, in halves of its side, in the norm with that exponent."""
    rows, columns = np.indices(shape[:2], dtype=np.float64)
    offsets = np.stack([columns - frame.centre[0], rows - frame.centre[1]], axis=-1) @ frame.turn()
    distance: FloatArray = np.linalg.norm(offsets, exponent, axis=-1).astype(np.float32) * 2 / frame.side
    return distance


def seam(image: Image, plain: Image, frame: Frame) -> float:
    """How much steeper across the frame's border, against both sides of it; 1 without a seam."""
    away = np.abs(distances(frame, plain.shape) - 1) * frame.side / 2
    across, down = np.gradient(distances(frame, plain.shape))[::-1]
    length = np.hypot(across, down) + 1e-9

    def steepness(picture: Image, part: npt.NDArray[np.bool_]) -> float:
        luminance = picture @ np.array(LUMA)
        by_row, by_column = np.gradient(luminance)
        slope = np.abs(by_column * across + by_row * down) / length
        return float(slope[part].mean())

    border, beside = away < BORDER, (away > BESIDE[0]) & (away < BESIDE[1])
    at_border = steepness(image, border) / max(0.1, steepness(plain, border))
    return at_border / (steepness(image, beside) / max(0.1, steepness(plain, beside)))


def unmasked(plain: Image, restored: Image, frame: Frame) -> Image:
    """The headshot put into its frame as it is."""
    height, width = plain.shape[:2]
    to_picture = frame.from_crop(restored.shape[0])[:2]
    turned = cv2.warpAffine(restored, to_picture, (width, height), borderMode=cv2.BORDER_REPLICATE)
    result: Image = np.where(distances(frame, plain.shape)[:, :, np.newaxis] < 1, turned, plain)
    return result


def shift(image: Image, truth: Image, part: npt.NDArray[np.bool_]) -> float:
    """How far the part lies from where it lies in the truth, in pixels."""
    there, here = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (truth, image))
    start = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-4)
    _, transform = cv2.findTransformECC(
        there, here, start, cv2.MOTION_TRANSLATION, criteria, part.astype(np.uint8), 3
    )
    return float(np.hypot(*transform[:, 2]))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--model", default=DEFAULT_PHOTO_MODEL, help="a model of scale 4; default: %(default)s"
    )
    parser.add_argument("--side", type=int, default=48, help="of the headshot; default: %(default)s")
    options = parser.parse_args(arguments)
    model = load(options.model).backend
    folders = [options.folder, *(path for path in sorted(options.folder.rglob("*")) if path.is_dir())]
    measured: list[Pasting] = []
    for path in (path for folder in folders for path in images_in(folder)):
        try:
            pasting = measure(read_image(path), options.side, model)
        except HimeError as error:
            print(f"{path.relative_to(options.folder)}: {error}", file=sys.stderr)
            continue
        if pasting is not None:
            measured.append(pasting)
            print(f"{path.relative_to(options.folder)}: {pasting}", file=sys.stderr, flush=True)
    if not measured:
        print("hime: no face of that size; check the folder, or take a smaller --side", file=sys.stderr)
        return 1
    others = [pasting for pasting in measured if pasting.others]
    lines: dict[str, object] = {
        "faces": len(measured),
        "identity, largest difference inside": max(pasting.identity_inside for pasting in measured),
        "identity, outside": max(pasting.identity_outside for pasting in measured),
        "pictures with other faces": len(others),
        "others' pixels": sum(pasting.others for pasting in others),
        "changed, of those nearer to the other": sum(pasting.others_nearer for pasting in others),
        "changed in all": sum(pasting.others_changed for pasting in others),
    }
    for name, key in (
        ("truth, shift in pixels", "shift"),
        ("truth, PSNR", "truth"),
        ("plain, PSNR", "plain"),
        ("seam", "seam"),
        ("seam without mask", "seam_unmasked"),
    ):
        values = [getattr(pasting, key) for pasting in measured]
        lines[name] = (
            f"mean {statistics.fmean(values):.3f}, median {statistics.median(values):.3f}, "
            f"from {min(values):.3f} to {max(values):.3f}"
        )
    for label, value in lines.items():
        print(f"{label}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
