"""How well `hime.restoring.detail` measures what was lost: photographs damaged by known amounts.

    python comparisons/detail.py FACES [--plot FILE.png]
    python comparisons/detail.py FACES --fit

FACES holds ``celeba/ID/*``, headshots of 256 pixels, ``celeba_train.txt``, the people to take, and
``native_px.tsv``, which tells how many pixels each headshot has in its photograph: those with at least 256
are taken.

Without ``--fit``: each damage by known amounts, and what is measured. With it, the constants of the measure
are fitted anew and printed. What is fitted to is how much of the truth is really left: the frequency up to
which the damaged picture is off by less than three quarters of the power that the truth has there; at that
frequency a blur has left an eighth of the amplitude, or noise is three quarters as strong as what is seen.
The pictures for it are those of `hime.evaluation.given.LEVELS`, of the training's degradation ``photos`` at
16 to 200 pixels, pictures that were blurred or reduced, then got noise and were compressed at full size, as
scans are, and the photographs themselves. Ridge regression, checked on photographs left out.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from hime.evaluation.given import LEVELS, Given
from hime.files import write_atomically
from hime.pictures.arrays import LUMA, Image, resize
from hime.pictures.reading import read_image
from hime.restoring import detail
from hime.training.photo_recipe import draw_photo_recipe, photo_lr

SIDE = 256
ERROR = 0.75
"""Of the truth's power: where the damaged picture is off by more, nothing is left."""
LIMITS = (3.3, 7.1)
"""Octaves: what is finer or coarser is not told apart."""
OF_REDUCED = 1.16
"""So many times the side that it was reduced to, a photo shows by that rule; that side is to be told."""
RIDGE = 1.0
FOLDS = 5

YTICKS = (8, 16, 32, 64, 128, 256)

FloatArray = npt.NDArray[np.float64]
Damage = Callable[[Image, float], Image]


# ---------------------------------------------------------------------------------------- known amounts


def reduced(image: Image, side: float) -> Image:
    """To so many pixels a side and back, bicubically."""
    return resize(resize(image, int(side), int(side)), SIDE, SIDE)


def blurred(image: Image, deviation: float) -> Image:
    """By a Gaussian of that standard deviation in pixels."""
    filtered = gaussian_filter(image.astype(np.float32), (deviation, deviation, 0), mode="nearest")
    return to_levels(filtered)


def noisy(image: Image, deviation: float) -> Image:
    """With white noise, the same in all channels, of that standard deviation in levels."""
    noise = np.random.default_rng(0).normal(0, deviation, (*image.shape[:2], 1))
    return to_levels(image + noise)


def compressed(image: Image, quality: float) -> Image:
    """By JPEG of that quality."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
    return np.array(PIL.Image.open(file))


def to_levels(values: npt.NDArray[np.floating]) -> Image:
    """Rounded and clipped to 8 bits."""
    levels: Image = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return levels


AMOUNTS: dict[str, tuple[Damage, tuple[float, ...]]] = {
    "reduced to, px": (reduced, (16, 24, 32, 48, 64, 96, 128, 192, 256)),
    "blurred by, px": (blurred, (0.5, 1, 2, 3, 4, 6, 8)),
    "noise, levels": (noisy, (2, 5, 10, 20, 40)),
    "JPEG, quality": (compressed, (90, 70, 50, 30, 20, 10)),
    "reduced to, noise of 10": (lambda image, side: noisy(reduced(image, side), 10), (16, 32, 64, 128)),
    "reduced to, JPEG of 30": (
        lambda image, side: compressed(reduced(image, side), 30),
        (16, 32, 64, 128),
    ),
}


def measured(photos: Sequence[Image], damage: Damage, amount: float) -> FloatArray:
    """Photos × side, noise, blocks."""
    found = [detail.measure(damage(photo, amount)) for photo in photos]
    return np.array([(each.side, each.noise, each.blocks) for each in found])


def show(photos: Sequence[Image], plot: Path | None) -> None:
    """Print the table, and draw it."""
    print("| damage | amount | side: median | 10 % to 90 % | true | noise | blocks |")
    print("|---" * 7 + "|")
    curves: dict[str, list[tuple[float, FloatArray]]] = {}
    for name, (damage, amounts) in AMOUNTS.items():
        for amount in amounts:
            values = measured(photos, damage, amount)
            low, middle, high = np.quantile(values[:, 0], (0.1, 0.5, 0.9))
            true = np.median([true_side(photo, damage(photo, amount)) for photo in photos])
            noise, blocks = np.median(values[:, 1:], axis=0)
            row = f"| {name} | {amount:g} | {middle:.0f} | {low:.0f} to {high:.0f} | {true:.0f} "
            print(row + f"| {noise:.1f} | {blocks:.2f} |", flush=True)
            curves.setdefault(name, []).append((amount, np.array([low, middle, high])))
    if plot is not None:
        write_atomically(plot, lambda path: path.write_bytes(drawn(curves)))


def drawn(curves: dict[str, list[tuple[float, FloatArray]]]) -> bytes:
    """A PNG with a panel for each damage."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(2, 3).flat, curves.items(), strict=True):
        amounts = [amount for amount, _ in points]
        low, middle, high = np.array([values for _, values in points]).T
        axes.fill_between(amounts, low, high, alpha=0.3)
        axes.plot(amounts, middle, marker="o")
        axes.set(xscale="log", yscale="log", xlabel=name, ylabel="measured side, px", ylim=(8, 300))
        axes.set_xticks(amounts, [f"{amount:g}" for amount in amounts], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_yticks(YTICKS, [f"{side}" for side in YTICKS])
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


# ----------------------------------------------------------------------------------------------- the fit


def true_side(truth: Image, damaged: Image) -> float:
    """Up to which side of a picture the damaged one shows the truth."""
    luminance = np.array(LUMA)
    waves, others = (dctn(image @ luminance, norm="ortho") for image in (truth, damaged))
    places = np.arange(SIDE)
    edges = detail.SMALLEST * 2 ** (np.arange(4 * 5 + 1) / 4)
    band = np.digitize(np.hypot(places[:, np.newaxis], places).ravel(), edges)

    def power(values: FloatArray) -> FloatArray:
        sums = np.bincount(band, (values**2).ravel(), len(edges) + 1)[1:-1]
        return np.asarray(sums, np.float64)

    error = power(waves - others) / (power(waves) + 1e-9)
    smooth = np.convolve(np.pad(error, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
    beyond = np.flatnonzero(smooth > ERROR)
    if not beyond.size:
        return detail.LARGEST
    last = beyond[0]
    middles = np.sqrt(edges[1:] * edges[:-1])
    if last == 0:
        return float(middles[0] / OF_REDUCED)
    share = (ERROR - smooth[last - 1]) / (smooth[last] - smooth[last - 1])
    found = middles[last - 1] * (middles[last] / middles[last - 1]) ** share
    return float(found / OF_REDUCED)


DAMAGES = ("sharp", *LEVELS, "photos", "more photos", "scans", "more scans")
"""What a photograph is fitted with: as it is; by recipes; by the degradation ``photos``; as if scanned."""


def damaged(photo: Image, number: int, name: str) -> Image:
    """The photo, the list's ``number``, by one of `DAMAGES`."""
    random = np.random.default_rng((number, DAMAGES.index(name)))
    if name == "sharp":
        return photo
    if name in LEVELS:
        return Given(name, seed=1)(photo, 1, number)
    if name.endswith("scans"):
        return scanned(photo, random)
    generator = torch.Generator().manual_seed(int(random.integers(2**31)))
    recipe = replace(draw_photo_recipe(generator, float(random.random())), tone=None)
    side = round(2 ** random.uniform(4, 7.6))
    lr = photo_lr(torch.from_numpy(photo).permute(2, 0, 1), side, recipe)
    return resize(lr.permute(1, 2, 0).contiguous().numpy(), SIDE, SIDE)


def scanned(photo: Image, random: np.random.Generator) -> Image:
    """The photo reduced, blurred, both or neither; with noise; compressed."""
    if random.random() < 0.5:
        photo = reduced(photo, 2 ** random.uniform(4, 8))
    if random.random() < 0.5:
        photo = blurred(photo, 2 ** random.uniform(-1, 3))
    if random.random() < 0.6:
        channels = 1 if random.random() < 0.5 else 3
        photo = to_levels(photo + random.normal(0, 2 ** random.uniform(0, 5.3), (SIDE, SIDE, channels)))
    return compressed(photo, float(random.integers(10, 96))) if random.random() < 0.6 else photo


def fit(photos: Sequence[Image]) -> None:
    """Print the constants of `hime.restoring.detail`, and how well they do on photos left out."""
    sharp = [detail.spectrum(photo) for photo in photos]
    detail.SHARP = tuple(np.mean([[*each.bands, *each.axes] for each in sharp], axis=0).round(3).tolist())
    values, targets = [], []
    for number, photo in enumerate(photos):
        for name in DAMAGES:
            picture = damaged(photo, number, name)
            values.append(detail.features(detail.spectrum(picture)))
            targets.append(np.log2(true_side(photo, picture)))
    inputs, wanted = np.array(values, np.float64), np.clip(targets, *LIMITS)
    fold = np.repeat(np.arange(len(photos)) % FOLDS, len(DAMAGES))
    errors = np.empty(len(wanted))
    for left_out in range(FOLDS):
        linear, square, bias = weights(inputs[fold != left_out], wanted[fold != left_out])
        part = inputs[fold == left_out]
        told = np.clip(part @ linear + part**2 @ square + bias, *LIMITS)
        errors[fold == left_out] = told - wanted[fold == left_out]
    linear, square, bias = weights(inputs, wanted)
    for name, numbers in (("SHARP", detail.SHARP), ("LINEAR", linear), ("SQUARE", square)):
        print(f"{name} = ({', '.join(f'{number:.3f}' for number in numbers)})")
    print(f"BIAS = {bias:.3f}\n")
    print(f"octaves off, on people left out (root of the mean square): {np.sqrt((errors**2).mean()):.2f}")
    for place, name in enumerate(DAMAGES):
        own = errors[place :: len(DAMAGES)]
        print(f"  {name}: {np.sqrt((own**2).mean()):.2f}, mean {own.mean():+.2f}")


def weights(inputs: FloatArray, wanted: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Ridge regression on the values and their squares, both standardised."""
    both = np.concatenate([inputs, inputs**2], axis=1)
    middle, spread = both.mean(axis=0), both.std(axis=0) + 1e-6
    scaled = (both - middle) / spread
    found = np.linalg.solve(
        scaled.T @ scaled + RIDGE * np.eye(both.shape[1]), scaled.T @ (wanted - wanted.mean())
    )
    found /= spread
    half = inputs.shape[1]
    return found[:half], found[half:], float(wanted.mean() - middle @ found)


def sharp_photos(root: Path, count: int, seed: int) -> list[Image]:
    """Headshots of the training people that have all their pixels, a different person first each time."""
    people = set((root / "celeba_train.txt").read_text(encoding="utf-8").split())
    with (root / "native_px.tsv").open(encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file, delimiter="\t") if int(row["native_px"]) >= SIDE]
    chosen = [name for name in names if name.startswith("celeba/") and name.split("/")[1] in people]
    order = np.random.default_rng(seed).permutation(len(chosen))[:count]
    return [read_image(root / chosen[place]) for place in order]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faces", type=Path)
    parser.add_argument("--fit", action="store_true", help="fit the constants anew, and print them")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    parser.add_argument("--photos", type=int, metavar="N", help="default: 60, with --fit 120")
    options = parser.parse_args(arguments)
    if options.fit:
        fit(sharp_photos(options.faces, options.photos or 120, seed=0))
    else:
        show(sharp_photos(options.faces, options.photos or 60, seed=1), options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
