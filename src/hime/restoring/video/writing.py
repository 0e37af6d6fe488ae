"""Frames of a result encoded in stretches, as which codec, in which format.

Each stretch is encoded by an encoder of its own, begins with a key frame and refers to no other, so that a
stretch that is there need not be made again and one that is made again is the same. They are joined by
`hime.restoring.video.joining`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from hime.errors import HimeError, how_to_install
from hime.processors import repeatable_x264
from hime.restoring.video.findings import Arrays
from hime.restoring.video.planes import colour_as, samples_of
from hime.restoring.video.reading import WRITTEN, Clip, library, opened

ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "18"}),
    "hevc": ("libx265", {"preset": "veryfast", "crf": "20", "x265-params": "log-level=error"}),
    "vp9": (
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "5", "row-mt": "1", "crf": "24", "b": "0"},
    ),
    "vp8": ("libvpx", {"deadline": "realtime", "cpu-used": "4", "crf": "8", "b": "8M"}),
    "av1": ("libsvtav1", {"preset": "8", "crf": "24"}),
}
"""Codec → its encoder and settings: quick, and so good that what is lost does not show."""
USUAL = "h264"
"""What clips of every other codec become."""
IN_MP4 = {"aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus"}
"""Codecs of sound that are put into .mp4."""
WEB = ("vp8", "vp9", "av1")
"""Codecs that .webm holds."""
HELD = {"mp4": ("h264", "hevc", "vp9", "av1"), "mov": ("h264", "hevc"), "webm": WEB, "matroska": (*ENCODERS,)}
"""Format that is written → codecs of `ENCODERS` that it holds."""


@dataclass(frozen=True)
class Encoding:
    """How frames are encoded.

    Attributes:
        codec: libav's name of the codec.
        format: of the frames.
        width: of the frames, in pixels.
        height: likewise.
        threads: of the encoder. What comes out depends on it.
    """

    codec: str
    format: str
    width: int
    height: int
    threads: int

    @property
    def encoder(self) -> str:
        """libav's name of the encoder."""
        return ENCODERS[self.codec][0]


def result_suffix(clip: Clip) -> str:
    """The ending of a clip's result: its own, or where such files are not written, another's."""
    own = clip.path.suffix.lower()
    if own in WRITTEN and _holds(WRITTEN[own], clip):
        return own
    if "webm" in clip.container and clip.codec in WEB:
        return ".mkv" if own == ".mkv" else ".webm"
    av = library()
    try:
        with opened(clip.path) as container:
            sound = {stream.codec_context.codec.canonical_name for stream in container.streams.audio}
            others = bool(container.streams.subtitles)
    except (av.FFmpegError, OSError, AttributeError):
        return ".mkv"
    return ".mp4" if sound <= IN_MP4 and not others else ".mkv"


def _holds(container: str, clip: Clip) -> bool:
    """Whether files of that format can be written from what the clip holds, in its codec where that stays."""
    if container == "webm" or clip.codec in ENCODERS:
        if clip.codec not in HELD[container]:
            return False
        if container == "webm":
            return True
    formats = clip.container.split(",")
    return container in formats or (container == "mp4" and "mov" in formats)


def encoding_for(clip: Clip, suffix: str, enlargement: int, threads: int) -> Encoding:
    """How the result of a clip is encoded: as the clip was, where that can be, otherwise as H.264, in .webm
    as VP9.

    Args:
        clip: the clip.
        suffix: ending of the result.
        enlargement: how many times the clip's sides its sides are.
        threads: of the encoder.

    Raises:
        HimeError: PyAV was built without any encoder that will do.
    """
    av = library()
    held = HELD[WRITTEN[suffix]]
    for codec in filter(held.__contains__, (clip.codec, USUAL, "vp9", "vp8")):
        try:
            formats = [each.name for each in av.Codec(ENCODERS[codec][0], "w").video_formats or ()]
        except ValueError:  # not in this build
            continue
        pixel_format = _nearest_format(clip.format, formats)
        width, height = clip.width * enlargement, clip.height * enlargement
        if codec in ("h264", "hevc"):  # whole chroma samples only
            width, height = _even(av, pixel_format, width, height)
        return Encoding(codec, pixel_format, width, height, threads)
    raise HimeError(f"av cannot encode H.264 or VP9; install it anew: {how_to_install('video')}")


def _nearest_format(own: str, formats: Sequence[str]) -> str:
    """The format itself, or the nearest that the encoder takes: of the bits first, then of the chroma."""
    if own in formats:
        return own
    deep = any(own.endswith(f"{bits}le") for bits in (9, 10, 12, 14, 16))
    kind = next((kind for kind in ("444", "422") if kind in own), "420")
    candidates = [f"yuv{kind}p10le", "yuv420p10le"] if deep else []
    candidates += [f"yuv{kind}p", "yuv420p"]
    return next((name for name in candidates if name in formats), "yuv420p")


def _even(av: ModuleType, pixel_format: str, width: int, height: int) -> tuple[int, int]:
    chroma = av.VideoFormat(pixel_format, 64, 64).components[1]
    across, down = 64 // chroma.width, 64 // chroma.height
    return -(-width // across) * across, -(-height // down) * down


# -------------------------------------------------------------------------------------------- stretches


def open_encoder(clip: Clip, encoding: Encoding) -> Any:
    """A new encoder: an `av.VideoCodecContext`."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the encoder of AV1 prints past libav's own log
    context = library().CodecContext.create(encoding.encoder, "w")
    configure(context, clip, encoding)
    return context


def configure(context: Any, clip: Clip, encoding: Encoding) -> None:
    """Set up an encoder, or the stream of a result that says how it was encoded."""
    context.width, context.height, context.pix_fmt = encoding.width, encoding.height, encoding.format
    context.time_base, context.framerate = clip.time_base, clip.rate
    context.color_range, context.color_primaries, context.color_trc, context.colorspace = _colours(
        clip, encoding
    )
    if clip.aspect:
        context.sample_aspect_ratio = clip.aspect
    context.thread_count = encoding.threads
    context.options = dict(ENCODERS[encoding.codec][1])
    if encoding.encoder == "libx264":
        context.options |= repeatable_x264()  # the same clip gives the same bits, also after an interruption
    for name, told in clip.light.options(encoding.encoder).items():
        context.options |= {name: ":".join(filter(None, (context.options.get(name), told)))}
    context.flags |= 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER: the containers want the header apart
    if encoding.codec == "hevc":
        context.codec_tag = "hvc1"  # what players of Apple ask for


def _colours(clip: Clip, encoding: Encoding) -> tuple[int, int, int, int]:
    if encoding.format.startswith("yuvj"):
        return (2, *clip.colours[1:])
    return clip.colours


class Stretch:
    """Frames that are being encoded to one file of the workplace.

    Args:
        clip: whose.
        encoding: how.
    """

    def __init__(self, clip: Clip, encoding: Encoding) -> None:
        self.clip, self.encoding = clip, encoding
        self._context = open_encoder(clip, encoding)
        self._data: list[bytes] = []
        self._pts: list[int] = []
        self._keys: list[bool] = []

    def add(self, frame: Any) -> None:
        """Encode a frame of the result; it may be changed."""
        encoding = self.encoding
        if frame.format.name != encoding.format:
            frame = _with_time(frame.reformat(format=encoding.format), frame)
        if (frame.width, frame.height) != (encoding.width, encoding.height):
            frame = _with_time(_padded(frame, encoding), frame)
        frame.pict_type = 0  # the encoder decides
        self._keep(self._context.encode(frame))

    def arrays(self) -> Arrays:
        """For the file, when all are added."""
        self._keep(self._context.encode(None))
        return {
            "data": np.frombuffer(b"".join(self._data), np.uint8),
            "sizes": np.array([len(data) for data in self._data], np.int64),
            "pts": np.array(self._pts, np.int64),
            "keys": np.array(self._keys, np.bool_),
        }

    def _keep(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self._data.append(bytes(packet))
            self._pts.append(packet.pts)
            self._keys.append(packet.is_keyframe)


def _with_time(frame: Any, like: Any) -> Any:
    frame.pts, frame.time_base = like.pts, like.time_base
    return frame


def _padded(frame: Any, encoding: Encoding) -> Any:
    """A frame with its last row and column repeated up to the size that is encoded."""
    padded = library().VideoFrame(encoding.width, encoding.height, encoding.format)
    for old, new in zip(frame.planes, padded.planes, strict=True):
        source, target = (samples_of(plane, frame.format.components[0].bits) for plane in (old, new))
        missing = [(0, there - here) for here, there in zip(source.shape, target.shape, strict=True)]
        target[...] = np.pad(source, missing, mode="edge")
    colour_as(padded, frame)
    return padded
