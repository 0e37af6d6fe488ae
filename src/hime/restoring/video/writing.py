"""Results written: stretches of encoded frames kept beside, at last joined to one file with all the rest.

Each stretch is encoded by an encoder of its own, begins with a key frame and refers to no other, so that a
stretch that is there need not be made again and one that is made again is the same. Sound, subtitles,
chapters and metadata are copied as they are.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.errors import HimeError
from hime.files import write_atomically
from hime.pictures.xmp import ALTERED
from hime.processors import repeatable_x264
from hime.restoring.video.findings import Arrays, Workplace
from hime.restoring.video.reading import WRITTEN, Clip, library, opened, video_stream

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
NOTE = "Faces in this video were restored by a trained model (hime)."
"""What a result says of itself in its comment."""


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
    """Whether files of that format can be written from what the clip holds."""
    if container == "webm":
        return clip.codec in WEB
    formats = clip.container.split(",")
    return container in formats or (container == "mp4" and "mov" in formats)


def encoding_for(clip: Clip, suffix: str, enlargement: int, threads: int) -> Encoding:
    """How the result of a clip is encoded: as the clip was, where that can be, otherwise as H.264.

    Args:
        clip: the clip.
        suffix: ending of the result.
        enlargement: how many times the clip's sides its sides are.
        threads: of the encoder.

    Raises:
        HimeError: PyAV was built without any encoder that will do.
    """
    av = library()
    wanted = [clip.codec] if clip.codec in ENCODERS else []
    wanted += ["vp9", "vp8"] if suffix == ".webm" else [USUAL, "vp9"]
    for codec in wanted:
        try:
            formats = [each.name for each in av.Codec(ENCODERS[codec][0], "w").video_formats or ()]
        except ValueError:  # not in this build
            continue
        pixel_format = _nearest_format(clip.format, formats)
        width, height = clip.width * enlargement, clip.height * enlargement
        if codec in ("h264", "hevc"):  # whole chroma samples only
            width, height = _even(av, pixel_format, width, height)
        return Encoding(codec, pixel_format, width, height, threads)
    raise HimeError('av cannot encode H.264 or VP9; install it anew: pip install "hime-sr[video]"')


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
    _configure(context, clip, encoding)
    return context


def _configure(context: Any, clip: Clip, encoding: Encoding) -> None:
    context.width, context.height, context.pix_fmt = encoding.width, encoding.height, encoding.format
    context.time_base, context.framerate = _time_base(clip), clip.rate
    context.color_range, context.color_primaries, context.color_trc, context.colorspace = _colours(
        clip, encoding
    )
    if clip.aspect:
        context.sample_aspect_ratio = clip.aspect
    context.thread_count = encoding.threads
    context.options = dict(ENCODERS[encoding.codec][1])
    if encoding.encoder == "libx264":
        context.options |= repeatable_x264()  # the same clip gives the same bits, also after an interruption
    context.flags |= 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER: the containers want the header apart
    if encoding.codec == "hevc":
        context.codec_tag = "hvc1"  # what players of Apple ask for


def _time_base(clip: Clip) -> Fraction:
    """Of the encoder: the clip's own, as far as encoders take it."""
    return clip.time_base


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
        unit = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
        source, target = (_rows(plane, unit) for plane in (old, new))
        missing = [(0, there - here) for here, there in zip(source.shape, target.shape, strict=True)]
        target[...] = np.pad(source, missing, mode="edge")
    for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
        setattr(padded, name, getattr(frame, name))
    return padded


def _rows(plane: Any, unit: Any) -> npt.NDArray[Any]:
    rows = np.frombuffer(plane, np.uint8)[: plane.line_size * plane.height]
    samples: npt.NDArray[Any] = rows.reshape(plane.height, plane.line_size).view(unit)
    return samples[:, : plane.width]


# ------------------------------------------------------------------------------------------------- file


@dataclass
class Copied:
    """What became of a clip's other streams.

    Attributes:
        left_out: a line for each that the result's format cannot hold.
    """

    left_out: list[str] = field(default_factory=list)


def join(
    clip: Clip,
    encoding: Encoding,
    workplace: Workplace,
    pts: npt.NDArray[np.int64],
    target: Path,
    remark: str = "",
) -> Copied:
    """Write the result: all stretches, and what the clip holds beside its video.

    Args:
        clip: the clip.
        encoding: of the stretches.
        workplace: where they are.
        pts: of all frames, in their order.
        target: the file; written whole or not at all.
        remark: is added to the note that the video was altered.

    Raises:
        HimeError: it cannot be written.
    """
    copied = Copied()
    write_atomically(target, lambda path: _join(clip, encoding, workplace, pts, path, target, remark, copied))
    return copied


def _join(
    clip: Clip,
    encoding: Encoding,
    workplace: Workplace,
    pts: npt.NDArray[np.int64],
    path: Path,
    target: Path,
    remark: str,
    copied: Copied,
) -> None:
    av = library()
    container_format = WRITTEN[target.suffix.lower()]
    options = {"movflags": "+faststart"} if container_format in ("mp4", "mov") else {}
    try:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(opened(clip.path))
            result = stack.enter_context(av.open(str(path), "w", format=container_format, options=options))
            main = video_stream(source)
            stream = result.add_stream(encoding.encoder, rate=clip.rate)
            _configure(stream.codec_context, clip, encoding)
            stream.time_base = clip.time_base
            if clip.matrix is not None:
                stream.set_display_matrix(clip.matrix)
            _describe(stream, main)
            pairs = _copied_streams(source, result, main, copied)
            _describe_all(source, result, remark)
            result.start_encoding()
            packets = [_video_packets(av, clip, workplace, pts, stream)]
            if pairs:
                packets.append(_other_packets(av, source, pairs))
            for _, packet in heapq.merge(*packets, key=lambda item: item[0]):
                result.mux_one(packet)
    except av.FFmpegError as error:
        reason = error.strerror or error
        raise HimeError(f"{target}: cannot be written ({reason}); choose another --out") from error


def _describe(stream: Any, main: Any) -> None:
    stream.metadata.update(
        {key: value for key, value in main.metadata.items() if key.lower() not in ("encoder", "rotate")}
    )


def _describe_all(source: Any, result: Any, remark: str) -> None:
    """Metadata and chapters, and that the video was altered."""
    storage = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
    for key, value in source.metadata.items():
        if key.lower() not in storage:
            result.metadata[key] = value
    before = source.metadata.get("comment", "")
    said = " ".join(part for part in (before, NOTE, remark, ALTERED) if part)
    result.metadata["comment"] = said
    with contextlib.suppress(AttributeError, ValueError):
        chapters = source.chapters()
        if chapters:
            result.set_chapters(chapters)


def _copied_streams(source: Any, result: Any, main: Any, copied: Copied) -> dict[int, Any]:
    """The result's stream for each of the clip's that is copied, by its index."""
    pairs = {}
    for stream in source.streams:
        if stream.index == main.index:
            continue
        if stream.type == "attachment":
            with contextlib.suppress(Exception):
                result.add_attachment(
                    stream.metadata.get("filename", "file"), stream.mimetype or "", stream.data
                )
            continue
        try:
            if stream.type not in ("audio", "subtitle", "video"):
                raise ValueError(stream.type)
            copy = result.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(stream.metadata)
            copy.disposition = stream.disposition
            pairs[stream.index] = copy
        except Exception:
            kind = {"subtitle": "subtitles", "audio": "sound", "video": "a second video"}.get(stream.type)
            if kind is not None:
                copied.left_out.append(f"{kind} ({_codec_name(stream)}) cannot be copied and is left out")
    return pairs


def _codec_name(stream: Any) -> str:
    context = stream.codec_context
    return str(context.codec.canonical_name) if context is not None else "unknown"


def _video_packets(
    av: ModuleType, clip: Clip, workplace: Workplace, pts: npt.NDArray[np.int64], stream: Any
) -> Iterator[tuple[float, Any]]:
    """The encoded frames in the order of decoding, with the time of each in seconds."""
    step = max(1, round(1 / (clip.rate * clip.time_base)))
    ordered = np.sort(pts)
    durations = dict(zip(ordered.tolist(), [*np.diff(ordered).tolist(), step], strict=True))
    count = workplace.count("made")
    # A frame is decoded so many frames ahead of its time at the most.
    delay, place = 0, 0
    for number in range(count):
        decoded = workplace.load("made", number, "pts")["pts"]
        shown = np.searchsorted(ordered, decoded)
        delay = max(delay, int((np.arange(place, place + len(decoded)) - shown).max(initial=0)))
        place += len(decoded)
    place = 0
    for number in range(count):
        arrays = workplace.load("made", number)
        ends = np.cumsum(arrays["sizes"])
        data = arrays["data"].tobytes()
        for index, end in enumerate(ends.tolist()):
            packet = av.Packet(data[end - int(arrays["sizes"][index]) : end])
            packet.pts = int(arrays["pts"][index])
            if place < delay:
                packet.dts = int(ordered[0]) - (delay - place) * step
            else:
                packet.dts = int(ordered[place - delay])
            packet.duration = durations.get(packet.pts, step)
            packet.time_base = clip.time_base
            packet.is_keyframe = bool(arrays["keys"][index])
            packet.stream = stream
            place += 1
            yield float(packet.dts * clip.time_base), packet


def _other_packets(av: ModuleType, source: Any, pairs: dict[int, Any]) -> Iterator[tuple[float, Any]]:
    """The packets of the other streams, as long as they can be read."""
    last = float("-inf")
    packets = source.demux([source.streams[index] for index in pairs])
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError, OSError):
            return
        if packet.dts is None and packet.pts is None:
            continue
        time = packet.dts if packet.dts is not None else packet.pts
        last = max(last, float(time * packet.time_base))
        packet.stream = pairs[packet.stream_index]
        yield last, packet
