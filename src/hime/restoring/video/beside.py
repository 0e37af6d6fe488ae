"""What frames carry beside their pixels: the light of HDR, which encoders tell too, and the rest."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

UNKNOWN = "UNKNOWN"
"""What is of a kind that PyAV does not know."""
NAMES = {
    "MASTERING_DISPLAY_METADATA": "the display that its HDR was made on",
    "CONTENT_LIGHT_LEVEL": "the greatest light of its HDR",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DOVI_METADATA": "Dolby Vision",
    "AMBIENT_VIEWING_ENVIRONMENT": "the light that its HDR is to be seen in",
    "ICC_PROFILE": "the colour profile of its frames",
    "SPHERICAL": "how its frames lie all around",
    "STEREO3D": "which of its pictures is for which eye",
    "AFD": "which part of its frames is the picture",
    "A53_CC": "closed captioning within its frames",
    "S12M_TIMECODE": "the time code of its frames",
    UNKNOWN: "data of an unknown kind beside its frames",
}
"""What whoever sees the clip may miss, by libav's names, and what it is called. All else that goes with
frames is of how they were stored, as the time code that every MPEG-2 has."""
BRIGHTEST = 10_000
"""cd/m² that HDR can have at the most."""


def carried(frame: Any) -> Mapping[str, Any]:
    """All that goes with a frame (`av.VideoFrame`), each as a buffer, by libav's names.

    Where something of it is of a kind that PyAV does not know it gives nothing: then `UNKNOWN` alone.
    """
    try:
        return {data.type.name: data for data in frame.side_data}
    except ValueError:
        return {UNKNOWN: b""}


@dataclass(frozen=True)
class Light:
    """What a clip in HDR says of its light.

    Attributes:
        display: that it was made on: x and y (CIE 1931) of red, green, blue and white, then the least and the
            greatest luminance in cd/m²; None where it does not say all that.
        greatest: of a pixel and of the mean of a frame (MaxCLL, MaxFALL), in cd/m²; None where it does not
            say.
    """

    display: tuple[Fraction, ...] | None = None
    greatest: tuple[int, int] | None = None

    @classmethod
    def of(cls, beside: Mapping[str, Any]) -> Light:
        """From what goes with the first frame, see `carried`. What cannot be so is left out."""
        display, greatest = None, None
        stored = bytes(beside.get("MASTERING_DISPLAY_METADATA", b""))
        if len(stored) == 88:  # AVMasteringDisplayMetadata: ten fractions, then which of them there are
            *numbers, has_colours, has_luminance = struct.unpack("=22i", stored)
            parts = list(zip(numbers[::2], numbers[1::2], strict=True))
            if has_colours and has_luminance and all(below > 0 for _, below in parts):
                display = tuple(Fraction(above, below) for above, below in parts)
                *places, least, most = display
                if not (all(0 <= place <= 1 for place in places) and 0 <= least < most <= BRIGHTEST):
                    display = None
        stored = bytes(beside.get("CONTENT_LIGHT_LEVEL", b""))
        if len(stored) == 8:
            pixel, mean = struct.unpack("=2I", stored)
            greatest = (pixel, mean) if max(pixel, mean) <= BRIGHTEST else None
        return cls(display, greatest)

    def options(self, encoder: str) -> dict[str, str]:
        """Those by which the encoder tells it, as libav takes them; none where it cannot."""
        if encoder not in _OPTIONS:
            return {}
        name, display, greatest = _OPTIONS[encoder]
        told = [] if self.display is None else [f"{display}={_written(self.display, encoder)}"]
        told += [] if self.greatest is None else [f"{greatest}={self.greatest[0]},{self.greatest[1]}"]
        return {name: ":".join(told)} if told else {}


_OPTIONS = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}
"""Encoder → libav's name of its own options, and what those for the display and the greatest light are."""


def _written(display: tuple[Fraction, ...], encoder: str) -> str:
    """A display as the encoder takes it: by numbers, or by steps of 0.00002 and 0.0001 cd/m²."""
    if encoder == "libsvtav1":
        numbers = [f"{float(value):.5f}" for value in display]
    else:
        numbers = [str(round(value * 50_000)) for value in display[:8]]
        numbers += [str(round(value * 10_000)) for value in display[8:]]
    red, green, blue, white = (f"({x},{y})" for x, y in zip(numbers[:8:2], numbers[1:8:2], strict=True))
    return f"G{green}B{blue}R{red}WP{white}L({numbers[9]},{numbers[8]})"
