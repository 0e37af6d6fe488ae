"""PSNR and SSIM as the project reports them: RGB, rounded to 8 bits, no border cut."""

from __future__ import annotations

import math

import numpy as np
from skimage.metrics import structural_similarity

from hime.errors import HimeError
from hime.images import Image, check_image


def psnr(image: Image, truth: Image) -> float:
    """Peak signal-to-noise ratio in dB, over all pixels and channels together; infinite where they are equal.

    Raises:
        HimeError: the two differ in shape, or are no uint8 H×W×3.
    """
    _check_pair(image, truth)
    mean_squared_error = float(np.mean(np.square(image.astype(np.float64) - truth)))
    return 10 * math.log10(255**2 / mean_squared_error) if mean_squared_error else math.inf


def ssim(image: Image, truth: Image) -> float:
    """Structural similarity as first defined (Wang et al. 2004), the mean over pixels and channels.

    Gaussian window of σ = 1.5 cut at 11×11, population covariance, K1 = 0.01, K2 = 0.03; scikit-image.

    Raises:
        HimeError: the two differ in shape, are no uint8 H×W×3, or smaller than the window.
    """
    _check_pair(image, truth)
    if min(image.shape[:2]) < 11:
        raise HimeError(f"SSIM needs sides of at least 11 pixels, not {image.shape[1]}×{image.shape[0]}")
    return float(
        structural_similarity(
            image,
            truth,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2,
        )
    )


def _check_pair(image: Image, truth: Image) -> None:
    check_image(image)
    check_image(truth, "the truth")
    if image.shape != truth.shape:
        raise HimeError(f"pictures of one size can be compared, not {image.shape} and {truth.shape}")
