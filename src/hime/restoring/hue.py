"""Pictures of one hue (grey, sepia, cyanotype, faded): colour is a function of luminance there, and stays it.

A network that was trained on coloured faces makes eyes bluish and lips brown also where the photograph has no
colours. Whether a headshot has only one hue shows in its pixels; what was restored is then put back onto the
curve that they lie on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hime.pictures.arrays import LUMA, Image

LUMINANCE = np.array(LUMA)
DEGREE = 3
"""Of the polynomials that give a tone: prints and scans are toned by curves as smooth as these."""
SCATTER = 2.5
"""Levels of 255 by which the colours of a toned picture leave their curve at the most (root mean square over
pixels and channels). Of 450 coloured photos of 150 training people none lies below, at 16, 32 or 64 pixels
(the least are 2.6, 3.0 and 3.2); of toned ones all do, and half of those that JPEG of quality 60 to 90 went
over at this very size. Those that it misses keep the network's colours."""


@dataclass(frozen=True)
class Tone:
    """How red, green and blue differ from luminance at each luminance, all in [0, 1].

    Attributes:
        curves: 3×(`DEGREE` + 1), a polynomial a channel, for `numpy.polyval`.
        darkest: where the curves begin; below they go on straight.
        lightest: where they end.
    """

    curves: npt.NDArray[np.float64]
    darkest: float
    lightest: float

    def colours(self, luminance: npt.NDArray[np.float64]) -> Image:
        """Luminance H×W in [0, 1] → its colours, uint8 H×W×3."""
        place = luminance.clip(self.darkest, self.lightest)
        beyond = luminance - place
        differences = [
            np.polyval(curve, place) + beyond * np.polyval(np.polyder(curve), place) for curve in self.curves
        ]
        toned = luminance[..., np.newaxis] + np.stack(differences, axis=-1)
        levels: Image = np.rint(255 * toned.clip(0, 1)).astype(np.uint8)
        return levels


def keep_hue(restored: Image, lr: Image) -> Image:
    """``restored`` in the one hue of ``lr``; as it is if ``lr`` has more hues than one.

    Grey stays exactly grey. Other tones are followed to within the rounding of their curve.

    Args:
        restored: uint8 sH×sW×3.
        lr: uint8 H×W×3, what it was restored from.
    """
    if (lr == lr[:, :, :1]).all():
        grey = np.rint(restored @ LUMINANCE).astype(np.uint8)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    tone = tone_of(lr)
    return restored if tone is None else tone.colours(restored @ LUMINANCE / 255)


def tone_of(image: Image) -> Tone | None:
    """The tone of a picture, uint8 H×W×3; None where its colours are no function of luminance."""
    colours = image.reshape(-1, 3) / 255
    luminance = colours @ LUMINANCE
    differences = colours - luminance[:, np.newaxis]
    powers = np.vander(luminance, DEGREE + 1)
    curves, *_ = np.linalg.lstsq(powers, differences, rcond=None)
    scatter = 255 * np.sqrt(np.square(differences - powers @ curves).mean())
    return Tone(curves.T, float(luminance.min()), float(luminance.max())) if scatter <= SCATTER else None
