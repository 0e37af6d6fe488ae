"""Small clips made by PyAV: rendered people who move in a known way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from hime.data.people import DEMO_PEOPLE
from hime.faces.detection import detect
from hime.faces.headshot import Frame
from hime.pictures.arrays import Image, resize
from hime.restoring.video.reading import Clip
from hime.restoring.video.writing import result_suffix

Path4 = Callable[[int], tuple[float, float, float, float]]
"""Number of the frame → x, y, side and angle of the headshot's frame."""


def result_path(clip: Clip, folder: Path) -> Path:
    """Where the result of a clip goes in a folder."""
    return folder / f"{clip.path.stem}{result_suffix(clip)}"


@cache
def portrait(person: str, number: int = 0) -> tuple[Image, Frame]:
    """A rendered headshot, and where its frame lies in it."""
    with PIL.Image.open(DEMO_PEOPLE / person / f"{number}.webp") as picture:
        image = np.array(picture.convert("RGB"))
    return image, Frame.of(detect(image)[0].landmarks)


@dataclass(frozen=True)
class Actor:
    """Somebody in a scene."""

    person: str
    path: Path4
    picture: int = 0
    first: int = 0
    last: int = 10**9


def background(width: int, height: int, kind: int = 0) -> Image:
    """Something soft to stand in front of."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([90 + x / 6, 120 + y / 5, 190 - x / 7], axis=-1)
    image += 12 * np.sin(x / 9 + kind)[:, :, None] + 12 * np.cos(y / 11)[:, :, None]
    return (255 - image if kind else image).clip(0, 255).astype(np.uint8)


def scene(
    actors: Sequence[Actor], count: int, width: int = 320, height: int = 240, cut: int | None = None
) -> list[Image]:
    """Frames of people who go their ways; from ``cut`` on before another background."""
    frames = []
    for number in range(count):
        image = background(width, height, int(cut is not None and number >= cut)).copy()
        for actor in actors:
            if actor.first <= number <= actor.last:
                _draw(image, actor, Frame(*_frame(actor.path(number))))
        frames.append(image)
    return frames


def _frame(place: tuple[float, float, float, float]) -> tuple[tuple[float, float], float, float]:
    x, y, side, angle = place
    return (x, y), side, angle


def _draw(image: Image, actor: Actor, frame: Frame) -> None:
    import cv2

    face, own = portrait(actor.person, actor.picture)
    ratio = frame.side / own.side
    if ratio < 0.75:
        size = max(8, round(1.5 * ratio * face.shape[0]))
        own = own.scaled(size / face.shape[0])
        face = resize(face, size, size)
    there = frame.from_crop(64) @ np.linalg.inv(own.from_crop(64))
    cv2.warpAffine(
        face,
        there[:2],
        image.shape[1::-1],
        dst=image,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )


def still(x: float, y: float, side: float, angle: float = 0.0) -> Path4:
    """Does not move."""
    return lambda number: (x, y, side, angle)


def leaving(start: int, end: int, near: float, far: float, x: float = 160, y: float = 120) -> Path4:
    """Near up to a frame, far from another on."""

    def path(number: int) -> tuple[float, float, float, float]:
        share = min(1.0, max(0.0, (number - start) / (end - start)))
        side = math.exp((1 - share) * math.log(near) + share * math.log(far))
        return x + 12 * math.sin(number / 9), y + 5 * math.cos(number / 7), side, 0.06 * math.sin(number / 8)

    return path


def walk(count: int = 40) -> list[Image]:
    """Ada near, then far."""
    return scene([Actor("ada", leaving(8, 18, 150, 32))], count)


INTERLACED = 1 << 18 | 1 << 29
"""Flags of an encoder: AV_CODEC_FLAG_INTERLACED_DCT and _ME."""


def woven(moments: Sequence[Image], fields: str) -> list[Image]:
    """Interlaced frames, each of two moments: every other line is of the second."""
    frames = [image.copy() for image in moments[::2]]
    second = slice(1, None, 2) if fields == "tff" else slice(0, None, 2)
    for frame, other in zip(frames, moments[1::2], strict=True):
        frame[second] = other[second]
    return frames


def of_fields(frame: Any, fields: str) -> Any:
    """A frame that says that it is interlaced (``"prog"``: that it is not)."""
    import av

    graph = av.filter.Graph()
    buffer = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    graph.link_nodes(buffer, graph.add("setfield", fields), graph.add("buffersink")).configure()
    frame.pts = 0
    graph.vpush(frame)
    return graph.vpull()


def write_clip(
    path: Path,
    frames: Sequence[Image],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int | Fraction = 25,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    prepare: Callable[[Any, Any], None] | None = None,
    options: dict[str, str] | None = None,
    sound: bool = False,
    high_definition: bool = False,
    container_options: dict[str, str] | None = None,
    fields: str | None = None,
) -> Path:
    """A clip of these frames.

    Args:
        path: the file.
        frames: of one size.
        codec: libav's name of the encoder.
        pix_fmt: of the frames.
        rate: frames a second.
        times: of each frame, in units of ``time_base``.
        time_base: in seconds.
        prepare: is shown the container and the stream before anything is written.
        options: of the encoder.
        sound: a tone with it.
        container_options: of the format.
        fields: of interlaced frames (`woven`), which come first: ``"tff"`` or ``"bff"``.
        high_definition: the colours are stored as BT.709 has it, and the clip says so.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if time_base is not None:
            stream.codec_context.time_base = stream.time_base = time_base
        defaults = {
            "libx264": {"preset": "ultrafast", "crf": "12"},
            "libx265": {"x265-params": "log-level=0"},
        }
        stream.options = options or defaults.get(codec, {})
        tone = container.add_stream("aac", rate=48000) if sound else None
        if high_definition:
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        if fields is not None:
            stream.codec_context.flags |= INTERLACED
        if prepare is not None:
            prepare(container, stream)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if pix_fmt != "rgb24":
                frame = frame.reformat(format=pix_fmt, dst_colorspace="ITU709" if high_definition else None)
            frame = frame if fields is None else of_fields(frame, fields)
            frame.pts = number if times is None else times[number]
            frame.time_base = time_base or 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone is not None:
            seconds = len(frames) / float(rate)
            for place in range(int(seconds * 48000 / 1024)):
                wave = np.sin(np.arange(place * 1024, (place + 1) * 1024) / 20).astype(np.float32)
                audio = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
                audio.sample_rate, audio.pts, audio.time_base = 48000, place * 1024, Fraction(1, 48000)
                container.mux(tone.encode(audio))
            container.mux(tone.encode())
    return path


def read_clip(path: Path) -> tuple[list[npt.NDArray[Any]], list[float]]:
    """The frames as they are stored, in RGB, and the time of each in seconds."""
    import av

    images, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            images.append(frame.to_ndarray(format="rgb24"))
            times.append(frame.time)
    return images, times
