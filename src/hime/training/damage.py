"""Damages that photographs suffer, each as a step from an image to an image.

Every step is called with a square image 3×S×S float32 in [0, 1] on the CPU, the side of the LR that it is to
become, and the generator of what the step draws itself; it returns an image alike. Lengths are in LR pixels,
so that they mean the same at every size. `hime.training.photo_recipe` draws what happens to a picture.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal

import numpy as np
import PIL.Image
import PIL.ImageDraw
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor

from hime.pictures.arrays import LUMA
from hime.processors import repeatable_x264

Mode = Literal["area", "bilinear", "bicubic"]
MODES: tuple[Mode, ...] = ("area", "bilinear", "bicubic")

BLOCK = 16
"""Side in pixels of the blocks in which video codecs, and JPEG and WebP with halved colour, work."""


@dataclass(frozen=True)
class Gaussian:
    """Blur by a Gaussian: standard deviations along its axes in LR pixels, angle in radians."""

    along: float
    across: float
    angle: float

    def __call__(self, image: Tensor, side: int, _: torch.Generator) -> Tensor:
        """The image blurred."""
        pixel = image.shape[-1] / side
        return _filtered(image, gaussian(self.along * pixel, self.across * pixel, self.angle))


@dataclass(frozen=True)
class Defocus:
    """A lens out of focus: every point becomes a disc of ``radius`` LR pixels."""

    radius: float

    def __call__(self, image: Tensor, side: int, _: torch.Generator) -> Tensor:
        """The image blurred."""
        radius = self.radius * image.shape[-1] / side
        x, y = _turned_grid(math.ceil(radius), 0.0)
        return _filtered(image, (radius + 0.5 - (x**2 + y**2).sqrt()).clamp(0, 1))


@dataclass(frozen=True)
class Motion:
    """A camera or a head that moved: every point becomes a bow of ``length`` LR pixels.

    ``angle`` of its middle, and by how much it turns from one end to the other, in radians.
    """

    length: float
    angle: float
    bend: float

    def __call__(self, image: Tensor, side: int, _: torch.Generator) -> Tensor:
        """The image blurred."""
        length = self.length * image.shape[-1] / side
        count = max(2, math.ceil(2 * length))
        heading = self.angle + self.bend * torch.linspace(-0.5, 0.5, count)
        x, y = (way(heading).cumsum(0) * length / count for way in (torch.cos, torch.sin))
        x, y = x - x.mean(), y - y.mean()
        reach = math.ceil(float(torch.maximum(x.abs(), y.abs()).max())) + 1
        kernel = torch.zeros(2 * reach + 1, 2 * reach + 1)
        left, top = x.floor(), y.floor()
        for right in (0, 1):
            for down in (0, 1):  # bilinear, so that the bow has no steps
                weight = (1 - (x - left - right).abs()) * (1 - (y - top - down).abs())
                place = ((top + down + reach).long(), (left + right + reach).long())
                kernel.index_put_(place, weight, accumulate=True)
        return _filtered(image, kernel)


@dataclass(frozen=True)
class Sharpen:
    """What phones and scanners do: the difference to a blurred copy, ``radius`` LR pixels, is added."""

    amount: float
    radius: float

    def __call__(self, image: Tensor, side: int, generator: torch.Generator) -> Tensor:
        """The image sharpened."""
        blurred = Gaussian(self.radius, self.radius, 0.0)(image, side, generator)
        return (image + self.amount * (image - blurred)).clamp(0, 1)


@dataclass(frozen=True)
class Noise:
    """Of the sensor, standard deviations of 1 in an LR pixel.

    ``everywhere`` the same, ``shot`` times the root of brightness, ``blotches`` of colour, ``cell`` LR pixels
    wide, as what is left by a phone's noise reduction; ``grey``: the first two are the same in all channels.
    """

    everywhere: float
    shot: float
    grey: bool
    blotches: float = 0.0
    cell: float = 1.0

    def __call__(self, image: Tensor, side: int, generator: torch.Generator) -> Tensor:
        """The image with noise."""
        size = image.shape[-1]
        noise = torch.randn((2, 1 if self.grey else 3, size, size), generator=generator)
        # What is drawn at more pixels than the LR has is averaged when they are reduced: made up for here.
        gain = size / side
        # Black is a trace below 0 after a filter by Fourier transform, and a NaN would spread to all pixels.
        root = image.clamp_min(0).sqrt()
        noisy = image + gain * (self.everywhere * noise[0] + self.shot * root * noise[1])
        if self.blotches:
            cells = torch.randn((1, 3, *(max(2, round(side / self.cell)),) * 2), generator=generator)
            cells = cells - (cells * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
            noisy += (
                self.blotches * F.interpolate(cells, (size, size), mode="bicubic", align_corners=False)[0]
            )
        return noisy.clamp(0, 1)


@dataclass(frozen=True)
class Print:
    """The raster of print or the relief of paper, ``pitch`` LR pixels from dot to dot, seen by ``strength``.

    ``dots``: the tones become dots of ink of different size, each colour's raster turned by another angle, as
    in newspapers, books and cards. ``relief``: the grain of silk paper, lit from the side.
    """

    kind: Literal["dots", "relief"]
    pitch: float
    angle: float
    strength: float
    grey: bool

    def __call__(self, image: Tensor, side: int, _: torch.Generator) -> Tensor:
        """The image as printed."""
        size = image.shape[-1]
        places = torch.arange(size) * (2 * math.pi * side / (size * self.pitch))
        y, x = torch.meshgrid(places, places, indexing="ij")
        turns = (0.0,) if self.grey or self.kind == "relief" else (0.0, math.pi / 6, math.pi / 3)
        waves = []
        for turn in turns:
            cosine, sine = math.cos(self.angle + turn), math.sin(self.angle + turn)
            waves.append(((cosine * x - sine * y).cos() + (sine * x + cosine * y).cos()) / 2)
        wave = torch.stack(waves)
        if self.kind == "relief":
            return (image * (1 + 0.3 * self.strength * wave)).clamp(0, 1)
        dots = torch.sigmoid(8 * (image - 0.5 - 0.5 * wave))  # 8: ink bleeds, the edge of a dot is soft
        return torch.lerp(image, dots, self.strength)


@dataclass(frozen=True)
class Dirt:
    """How many ``specks`` of dust, ``scratches`` and creases, ``hairs`` lie on a print or its scan."""

    specks: int
    scratches: int
    hairs: int

    def __call__(self, image: Tensor, side: int, generator: torch.Generator) -> Tensor:
        """The image with them: scratches are light, dust and hairs light or dark."""
        size = image.shape[-1]
        pixel = size / side
        for count, draw_one in ((self.specks, _speck), (self.scratches, _scratch), (self.hairs, _hair)):
            if not count:
                continue
            for tone in (0.05, 0.95):
                mask = PIL.Image.new("L", (size, size))
                canvas = PIL.ImageDraw.Draw(mask)
                for _ in range(count):
                    numbers = torch.rand(8, generator=generator).tolist()
                    light = draw_one is _scratch or numbers[7] < 0.5
                    if light == (tone > 0.5):
                        draw_one(canvas, size, pixel, numbers)
                cover = torch.from_numpy(np.array(mask)).float() / 255
                image = image + cover * (tone - image)
        return image


@dataclass(frozen=True)
class Resize:
    """To ``factor`` times the LR side."""

    factor: float
    mode: Mode

    def __call__(self, image: Tensor, side: int, _: torch.Generator) -> Tensor:
        """The image at another size."""
        return to_size(image, max(8, round(self.factor * side)), self.mode)


@dataclass(frozen=True)
class Compress:
    """A file of lossy compression with halved colour; ``corner``: where in its blocks the image begins.

    Headshots lie anywhere in a picture, and blocks run through them anyhow.
    """

    form: Literal["JPEG", "WEBP"]
    quality: int
    corner: tuple[int, int]

    def __call__(self, image: Tensor, _: int, __: torch.Generator) -> Tensor:
        """The image decoded again."""
        file = io.BytesIO()
        options = {"subsampling": "4:2:0"} if self.form == "JPEG" else {"method": 0}
        _padded(image, self.corner).save(file, self.form, quality=self.quality, **options)
        return _cut(np.array(PIL.Image.open(file).convert("RGB")), self.corner, image.shape[-1])


@dataclass(frozen=True)
class H264:
    """A frame of a video: the second of two, predicted from the first, as most frames are.

    The first shows the image moved by ``moved`` pixels. ``crf`` is x264's, 0 … 51, more is worse. Where PyAV
    (extra ``video``) is not installed, a JPEG of about the same error takes its place.
    """

    crf: int
    corner: tuple[int, int]
    moved: tuple[int, int]

    def __call__(self, image: Tensor, side: int, generator: torch.Generator) -> Tensor:
        """The image decoded again."""
        if not _has_x264():
            quality = max(10, min(95, 135 - 3 * self.crf))
            return Compress("JPEG", quality, self.corner)(image, side, generator)
        last = np.array(_padded(image, self.corner))
        first = np.roll(last, self.moved, axis=(0, 1))
        return _cut(_second_frame(first, last, self.crf), self.corner, image.shape[-1])


Step = Gaussian | Defocus | Motion | Sharpen | Noise | Print | Dirt | Resize | Compress | H264


def gaussian(along: float, across: float, angle: float, reach: int | None = None) -> Tensor:
    """A Gaussian of these standard deviations in pixels along its axes, k×k, cut off at ``reach`` pixels, by
    default three deviations; its weights do not sum to 1.
    """
    # Below a third of a pixel a Gaussian on the grid is the identity; its width must not be 0.
    first, second = max(along, 1 / 3), max(across, 1 / 3)
    x, y = _turned_grid(math.ceil(3 * max(first, second)) if reach is None else reach, angle)
    return torch.exp(-0.5 * ((x / first) ** 2 + (y / second) ** 2))


def _turned_grid(reach: int, angle: float) -> tuple[Tensor, Tensor]:
    places = torch.arange(-reach, reach + 1, dtype=torch.float32)
    y, x = torch.meshgrid(places, places, indexing="ij")
    cosine, sine = math.cos(angle), math.sin(angle)
    return x * cosine + y * sine, y * cosine - x * sine


def _filtered(image: Tensor, kernel: Tensor) -> Tensor:
    """The image, its borders drawn out, correlated with a kernel of odd side that is made to sum to 1."""
    kernel, reach = kernel / kernel.sum(), kernel.shape[-1] // 2
    planes = F.pad(image[:, None], (reach,) * 4, mode="replicate")
    if reach <= 4:
        return F.conv2d(planes, kernel[None, None])[:, 0]
    size = [scipy.fft.next_fast_len(planes.shape[-1], real=True)] * 2
    spectrum = torch.fft.rfft2(planes[:, 0], size) * torch.fft.rfft2(kernel.flip(0, 1), size)
    inside = slice(2 * reach, planes.shape[-1])  # where nothing has come round from the other border
    filtered: Tensor = torch.fft.irfft2(spectrum, size)[:, inside, inside]
    return filtered


def to_size(image: Tensor, side: int, mode: Mode) -> Tensor:
    """The image at another size; where it shrinks it is filtered first."""
    antialias = {} if mode == "area" else {"antialias": True, "align_corners": False}
    resized: Tensor = F.interpolate(image[None], (side, side), mode=mode, **antialias)[0]
    return resized.clamp(0, 1)


def _speck(canvas: PIL.ImageDraw.ImageDraw, size: int, pixel: float, numbers: Sequence[float]) -> None:
    x, y, first, second = numbers[0] * size, numbers[1] * size, *(pixel * (0.15 + n) for n in numbers[2:4])
    canvas.ellipse(
        (x - first / 2, y - second / 2, x + first / 2, y + second / 2), round(120 + 135 * numbers[4])
    )


def _scratch(canvas: PIL.ImageDraw.ImageDraw, size: int, pixel: float, numbers: Sequence[float]) -> None:
    """From border to border more or less, bent a little in the middle."""
    x, y, angle = numbers[0] * size, numbers[1] * size, math.pi * numbers[2]
    reach, bend = size * (0.2 + numbers[3]), size * 0.1 * (numbers[4] - 0.5)
    along = (reach * math.cos(angle), reach * math.sin(angle))
    middle = (x - bend * math.sin(angle), y + bend * math.cos(angle))
    line = [(x - along[0], y - along[1]), middle, (x + along[0], y + along[1])]
    canvas.line(
        line, round(80 + 175 * numbers[5]), max(1, round(pixel * (0.1 + 0.9 * numbers[6] ** 2))), "curve"
    )


def _hair(canvas: PIL.ImageDraw.ImageDraw, size: int, pixel: float, numbers: Sequence[float]) -> None:
    x, y, radius = numbers[0] * size, numbers[1] * size, size * (0.05 + 0.2 * numbers[2])
    start, length = 360 * numbers[3], 60 + 150 * numbers[4]
    box = (x - radius, y - radius * (0.5 + numbers[5]), x + radius, y + radius * (0.5 + numbers[5]))
    canvas.arc(box, start, start + length, round(120 + 135 * numbers[6]), max(1, round(0.25 * pixel)))


def _padded(image: Tensor, corner: tuple[int, int]) -> PIL.Image.Image:
    """8-bit pixels in which the image begins at ``corner``, its borders drawn out to whole blocks."""
    size = image.shape[-1]
    pixels = image.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    beyond = [(before, -(before + size) % BLOCK) for before in corner]
    return PIL.Image.fromarray(np.pad(pixels, (*beyond, (0, 0)), mode="edge"))


def _cut(pixels: np.ndarray, corner: tuple[int, int], size: int) -> Tensor:
    """The other way."""
    top, left = corner
    image = np.ascontiguousarray(pixels[top : top + size, left : left + size])
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


@cache
def _has_x264() -> bool:
    if importlib.util.find_spec("av") is None:
        return False
    import av

    return "libx264" in av.codecs_available


def _second_frame(first: np.ndarray, last: np.ndarray, crf: int) -> np.ndarray:
    """The second of two frames H×W×3 uint8 after H.264; sides are multiples of 16."""
    import av

    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.height, encoder.width = last.shape[:2]
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", Fraction(25), Fraction(1, 25)
    # One thread, so that the same frames give the same bits.
    options = {"preset": "ultrafast", "tune": "zerolatency", "crf": str(crf), "threads": "1"}
    encoder.options = options | repeatable_x264()
    packets = []
    for number, pixels in enumerate((first, last)):
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    decoded: np.ndarray = frames[-1].to_ndarray(format="rgb24")
    return decoded
