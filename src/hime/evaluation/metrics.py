"""PSNR and SSIM as the project reports them: 8-bit pictures, no border cut; on RGB, or on luminance."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from skimage.color import rgb2ycbcr
from skimage.metrics import structural_similarity

from hime.errors import HimeError
from hime.pictures.arrays import Image, check_image


def psnr(image: Image, truth: Image, *, luminance: bool = False) -> float:
    """Peak signal-to-noise ratio in dB, over all pixels and channels together; infinite where they are equal.

    Args:
        image: the picture, uint8 H×W×3.
        truth: what it should be.
        luminance: compare `luminance_of` the two instead; the peak stays 255, as in the papers that do so.

    Raises:
        HimeError: the two differ in shape, or are no uint8 H×W×3.
    """
    ours, theirs = _comparable(image, truth, luminance)
    mean_squared_error = float(np.mean(np.square(ours.astype(np.float64) - theirs)))
    return 10 * math.log10(255**2 / mean_squared_error) if mean_squared_error else math.inf


def ssim(image: Image, truth: Image, *, luminance: bool = False) -> float:
    """Structural similarity as first defined (Wang et al. 2004), the mean over pixels and channels.

    Gaussian window of σ = 1.5 cut at 11×11, population covariance, K1 = 0.01, K2 = 0.03; scikit-image.

    Args:
        image: the picture, uint8 H×W×3.
        truth: what it should be.
        luminance: compare `luminance_of` the two instead.

    Raises:
        HimeError: the two differ in shape, are no uint8 H×W×3, or smaller than the window.
    """
    ours, theirs = _comparable(image, truth, luminance)
    if min(image.shape[:2]) < 11:
        raise HimeError(f"SSIM needs sides of at least 11 pixels, not {image.shape[1]}×{image.shape[0]}")
    return float(
        structural_similarity(
            ours,
            theirs,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=None if luminance else 2,
        )
    )


def luminance_of(image: Image) -> npt.NDArray[np.uint8]:
    """Luminance by ITU-R BT.601, uint8 H×W from 16 to 235, as MATLAB's rgb2ycbcr gives it."""
    levels: npt.NDArray[np.uint8] = np.rint(rgb2ycbcr(image)[:, :, 0]).astype(np.uint8)
    return levels


def _comparable(
    image: Image, truth: Image, luminance: bool
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    check_image(image)
    check_image(truth, "the truth")
    if image.shape != truth.shape:
        raise HimeError(f"pictures of one size can be compared, not {image.shape} and {truth.shape}")
    return (luminance_of(image), luminance_of(truth)) if luminance else (image, truth)
