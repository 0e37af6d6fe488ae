"""The correlation loss, section 4, equations 8 and 9.

Shapes: ``B`` batch, ``C`` channels, ``H W`` image size, ``k`` window, ``d`` dilation.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from hime.errors import HimeError
from hime.losses.adversarial import at_least_single


def correlation_loss(restored: Tensor, truth: Tensor, window: int = 5, dilation: int = 1) -> Tensor:
    """Mean over pixels of ‖M_cor(truth) − M_cor(restored)‖₁; both B×C×H×W in [0, 1].

    M_cor, of size k²×H×W, is the inner product over channels of each pixel with each of its neighbours,
    divided by k² (equation 8), after the mean of each channel of each image was removed. Offsets run over
    −(k−1)/2 … (k−1)/2 (the paper prints k+1, which would give (k+2)² maps), times d; outside the image the
    centred values are zero.

    Equation 9's L1 distance is taken as a sum over the k² maps: with the 1/k² of equation 8 it is their mean,
    so that the size of the gradient hardly depends on k, and one λ_cor serves every window.

    Only half of the maps is computed: cor(−i, −j) at (x, y) is cor(i, j) at (x+i, y+j), and where either
    pixel lies outside both are zero, so the two opposite maps hold the same numbers and their L1 sums are
    equal. No shifted copy of the image is kept: the graph holds one map of H×W an offset, (k²+1)/2 in all,
    that is k²/6 RGB images.

    Raises:
        HimeError: the window is not odd and positive, or the dilation not positive.
    """
    if window < 1 or window % 2 == 0 or dilation < 1:
        raise HimeError(f"correlation window {window}, dilation {dilation}: give an odd window, dilation ≥ 1")
    restored, truth = centred(restored), centred(truth)
    total = restored.new_zeros(())
    for down, right in half_window(window):
        difference = correlation_map(truth, down * dilation, right * dilation) - correlation_map(
            restored, down * dilation, right * dilation
        )
        weight = 1.0 if (down, right) == (0, 0) else 2.0  # the opposite offset has the same sum
        total = total + weight * difference.abs().sum()
    batch, _, height, width = truth.shape
    return total / (window**2 * batch * height * width)  # 1/k² of equation 8


def centred(image: Tensor) -> Tensor:
    """The image less the mean of each of its channels, in at least single precision."""
    image = at_least_single(image)
    return image - image.mean(dim=(-2, -1), keepdim=True)


def half_window(window: int) -> Iterator[tuple[int, int]]:
    """The offset (0, 0) and one of every two opposite ones: (k²+1)/2 of the k² offsets."""
    reach = window // 2
    for down in range(reach + 1):
        for right in range(-reach if down else 0, reach + 1):
            yield down, right


def correlation_map(image: Tensor, down: int, right: int) -> Tensor:
    """⟨I(y, x), I(y − down, x − right)⟩ where both lie inside: from views of ``image``, B×H'×W'."""
    rows, rows_of_neighbour = overlap(image.shape[-2], down)
    columns, columns_of_neighbour = overlap(image.shape[-1], right)
    return (image[..., rows, columns] * image[..., rows_of_neighbour, columns_of_neighbour]).sum(dim=1)


def overlap(size: int, shift: int) -> tuple[slice, slice]:
    """The positions p below ``size`` for which p − shift is one too, and those p − shift; may be empty."""
    here = slice(max(shift, 0), max(size + min(shift, 0), 0))
    there = slice(max(-shift, 0), max(size - max(shift, 0), 0))
    return here, there
