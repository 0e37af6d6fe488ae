"""The stretches of a result joined to one file, with all else that the clip holds.

Sound, subtitles, chapters and metadata are copied as they are.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.errors import HimeError
from hime.files import write_atomically
from hime.pictures.xmp import ALTERED
from hime.restoring.video.findings import Workplace
from hime.restoring.video.reading import WRITTEN, Clip, library, opened, video_stream
from hime.restoring.video.writing import Encoding, configure

NOTE = "Faces in this video were restored by a trained model (hime)."
"""What a result says of itself in its comment."""


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
        HimeError: it cannot be written, or frames of it are missing.
    """
    copied = Copied()
    there = sum(
        len(workplace.load("made", number, "pts")["pts"]) for number in range(workplace.count("made"))
    )
    if there != len(pts):
        raise HimeError(
            f"{target}: only {there} of its {len(pts)} frames are there; begin anew with --overwrite"
        )
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
            configure(stream.codec_context, clip, encoding)
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
    """Metadata of the video, but for what is no longer so."""
    old = ("encoder", "rotate", "alpha_mode")
    stream.metadata.update({key: value for key, value in main.metadata.items() if key.lower() not in old})


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
