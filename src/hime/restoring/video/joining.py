"""The stretches of a result joined to one file, with all else that the clip holds.

Sound, subtitles, chapters and metadata are copied as they are; what could not be is told.
"""

from __future__ import annotations

import contextlib
import heapq
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.errors import HimeError
from hime.files import reason_of, write_atomically
from hime.pictures.xmp import ALTERED
from hime.restoring.video.beside import NAMES, carried
from hime.restoring.video.clock import Clock
from hime.restoring.video.findings import Workplace
from hime.restoring.video.reading import JUMP, WRITTEN, Clip, Damage, is_cover, library, opened, video_stream
from hime.restoring.video.writing import Encoding, configure
from hime.terminal import some_of

NOTE = "Faces in this video were restored by a trained model (hime)."
"""What a result says of itself in its comment."""
STORAGE = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
"""Metadata that is of the file as it was stored, and no longer so."""
PLAIN = {
    "mov": "title artist album genre date comment copyright make model location creation_time",
    "mp4": "title artist album album_artist composer genre date comment copyright keywords lyrics "
    "description synopsis show episode_id network grouping location creation_time track disc compilation "
    "media_type hd_video gapless_playback season_number episode_sort",
}
"""Metadata for which those formats have places that every player knows. Where there is more, all of it goes
where phones put it."""
KINDS = {
    "subtitle": "subtitles",
    "audio": "sound",
    "video": "a second video",
    "attachment": "an attached file",
}
"""What streams of a type that is copied are called."""
LOOSE = ("matroska", "webm")
"""Formats of which packets may have the same time: their unit is longer than some packets of sound."""
MOST_APART = 2
"""Seconds that sound and pictures of a recording end or begin apart at the most."""
WAITING = 64
"""Packets that wait at the most where times jump: one time that is stored may be that of many packets of
sound, 0.7 seconds of it and more."""
MOST_NAMED = 6
"""Keys of metadata that a line names at the most."""


def join(
    clip: Clip,
    encoding: Encoding,
    workplace: Workplace,
    pts: npt.NDArray[np.int64],
    target: Path,
    remark: str,
    damage: Damage,
) -> list[str]:
    """Write the result: all stretches, and what the clip holds beside its video.

    Args:
        clip: the clip.
        encoding: of the stretches.
        workplace: where they are.
        pts: of all frames, in their order.
        target: the file; written whole or not at all.
        remark: is added to the note that the video was altered.
        damage: what was told when the clip was read.

    Returns:
        A line for each thing of the clip that the result does not hold.

    Raises:
        HimeError: it cannot be written, or frames of it are missing.
    """
    left_out: list[str] = []
    there = sum(
        len(workplace.load("made", number, "pts")["pts"]) for number in range(workplace.count("made"))
    )
    if there != len(pts):
        raise HimeError(
            f"{target}: only {there} of its {len(pts)} frames are there; begin anew with --overwrite"
        )

    def write(path: Path) -> None:
        _join(clip, encoding, workplace, pts, path, target, remark, damage, left_out)
        _compare(clip, path, target, left_out, damage.beside)

    write_atomically(target, write)
    return left_out


def _join(
    clip: Clip,
    encoding: Encoding,
    workplace: Workplace,
    pts: npt.NDArray[np.int64],
    path: Path,
    target: Path,
    remark: str,
    damage: Damage,
    left_out: list[str],
) -> None:
    av = library()
    container_format = WRITTEN[target.suffix.lower()]
    try:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(opened(clip.path))
            options = _options(container_format, source)
            result = stack.enter_context(av.open(str(path), "w", format=container_format, options=options))
            main = video_stream(source)
            stream = result.add_stream(encoding.encoder, rate=clip.rate)
            configure(stream.codec_context, clip, encoding)
            stream.time_base = clip.time_base
            if clip.matrix is not None:
                stream.set_display_matrix(clip.matrix)
            _describe(stream, main)
            pairs = _copied_streams(av, clip, source, result, main, left_out)
            _describe_all(source, result, remark)
            result.start_encoding()
            packets = [_video_packets(av, clip, workplace, pts, damage, stream)]
            if pairs:
                shifts = [float(shift * clip.time_base) for shift in damage.shifts]
                packets.append(_other_packets(av, source, pairs, shifts))
            for _, packet in heapq.merge(*packets, key=lambda item: item[0]):
                result.mux_one(packet)
    except av.FFmpegError as error:
        raise HimeError(f"{target}: cannot be written ({reason_of(error)}); choose another --out") from error


def _options(container_format: str, source: Any) -> dict[str, str]:
    """Of the format that is written."""
    if container_format not in PLAIN:
        return {}
    further = _own(source.metadata).keys() - set(PLAIN[container_format].split())
    # A cover has a place among the plain ones only, and in .mov none.
    if container_format == "mp4" and any(is_cover(stream) for stream in source.streams.video):
        further = set()
    return {"movflags": "+faststart+use_metadata_tags" if further else "+faststart"}


def _own(metadata: Mapping[str, str]) -> dict[str, str]:
    """What a file says of what it holds, by keys as every format writes them."""
    named = {key.lower().replace(" ", "_"): value for key, value in metadata.items()}
    # What is there without its language too is said twice.
    once = {
        key: value
        for key, value in named.items()
        if re.sub("-[a-z]{3}$", "", key) not in named.keys() - {key}
    }
    return {key: value for key, value in once.items() if key not in STORAGE}


def _describe(stream: Any, main: Any) -> None:
    """Metadata of the video, but for what is no longer so."""
    old = ("encoder", "rotate", "alpha_mode")
    stream.metadata.update({key: value for key, value in main.metadata.items() if key.lower() not in old})


def _describe_all(source: Any, result: Any, remark: str) -> None:
    """Metadata and chapters, and that the video was altered."""
    for key, value in source.metadata.items():
        if key.lower() not in STORAGE | {"comment"}:
            result.metadata[key.lower() if key.isupper() else key] = value  # Matroska has no small letters
    before = _own(source.metadata).get("comment", "")
    said = " ".join(part for part in (before, NOTE, remark, ALTERED) if part)
    result.metadata["comment"] = said
    with contextlib.suppress(AttributeError, ValueError):
        chapters = source.chapters()
        if chapters:
            result.set_chapters(chapters)


def _copied_streams(
    av: ModuleType, clip: Clip, source: Any, result: Any, main: Any, left_out: list[str]
) -> dict[int, Any]:
    """The result's stream for each of the clip's that is copied, by its index."""
    pairs = {}
    for stream in source.streams:
        if stream.index == main.index or stream.type not in KINDS:
            continue
        if stream.type == "attachment":
            if result.format.name == "matroska":  # alone among those that are written
                name = stream.metadata.get("filename", "file")
                result.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
            continue
        if stream.type == "video" and is_cover(stream) and result.format.name != "mp4":
            if result.format.name == "matroska":
                result.add_attachment(*_cover(clip.path, stream))
            continue
        if not _takes(av, result.format.name, stream):
            left_out.append(_left_out(f"{KINDS[stream.type]} ({_codec_name(stream)})"))
            continue
        copy = result.add_stream_from_template(stream, opaque=True)
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition
        pairs[stream.index] = copy
    return pairs


def _takes(av: ModuleType, container_format: str, stream: Any) -> bool:
    """Whether a file of a format can be begun with a copy of a stream: some refuse it only then."""
    try:
        with av.open(io.BytesIO(), "w", format=container_format) as alone:
            alone.add_stream_from_template(stream, opaque=True)
            alone.start_encoding()
    except Exception:
        return False
    return True


def _cover(path: Path, stream: Any) -> tuple[str, str, bytes]:
    """A cover as Matroska has it: what it is called, of what kind it is, and the picture."""
    codec = _codec_name(stream)
    kind, ending = ("jpeg", "jpg") if codec == "mjpeg" else (codec, codec)
    name = stream.metadata.get("filename", f"cover.{ending}")
    with opened(path) as own:  # of another's packets only those of the streams that are copied are read
        packets = own.demux(own.streams[stream.index])
        content = next((bytes(packet) for packet in packets if packet.size), b"")
    return name, stream.metadata.get("mimetype", f"image/{kind}"), content


def _left_out(what: str) -> str:
    return f"{what} cannot be copied and is left out"


def _compare(clip: Clip, path: Path, target: Path, left_out: list[str], beside: Iterable[str]) -> None:
    """Read the result back, and tell what else of the clip it does not hold.

    Raises:
        HimeError: it cannot be read.
    """
    try:
        with opened(clip.path) as source, opened(path) as result:
            before, after = _besides(source), _besides(result)
            said, kept = _own(source.metadata), _own(result.metadata)
            chapters = bool(source.chapters() and result.chapters())
            there = carried(next(result.decode(video_stream(result))))
    except (library().FFmpegError, OSError) as error:
        raise HimeError(
            f"{target}: cannot be read again ({reason_of(error)}); choose another --out"
        ) from error
    missing = Counter(kind for kind, _ in before) - Counter(kind for kind, _ in after)
    if chapters:  # in .mov and .mp4 their titles are data too
        missing -= Counter({"bin_data": 1})
    lines = [_left_out(what) for kind, what in before if kind in missing]
    lines += [_left_out(NAMES[kind]) for kind in beside if kind not in there]
    left_out.extend(dict.fromkeys(lines))
    lost = [
        key for key, value in said.items() if key != "comment" and not _is_same(key, value, kept.get(key))
    ]
    if lost:
        left_out.append(
            f"metadata that {target.suffix} does not hold as it was is left out or changed: "
            f"{some_of(lost, MOST_NAMED)}"
        )


def _besides(container: Any) -> list[tuple[str, str]]:
    """What a file holds beside pictures, sound and subtitles: of which kind, and what it is called."""
    found = []
    for stream in container.streams:
        if "timecode" in _own(stream.metadata):  # players read it with the pictures
            found.append(("timecode", "the time code"))
        if stream.type == "video" and is_cover(stream):
            found.append(("cover", "the cover"))
        elif stream.type == "attachment":
            name = stream.metadata.get("filename", "no name")
            found.append((f"attachment {name}", f"an attached file ({name})"))
        elif stream.type not in KINDS and "timecode" not in stream.metadata:
            name = getattr(stream, "name", None) or "unknown"
            found.append((name, f"data ({stream.metadata.get('handler_name') or name})"))
    return found


def _is_same(key: str, before: str, after: str | None) -> bool:
    """Whether a value is the one that was there, as exactly as formats write it."""
    if after is not None and key == "creation_time":
        return before[:19] == after[:19]  # to the second
    if after is None or not key.startswith("location"):
        return before == after
    old, new = (
        [float(number) for number in re.findall(r"[+-]\d+(?:\.\d+)?", value)[:2]] for value in (before, after)
    )
    return len(old) == len(new) and bool(np.allclose(old, new, atol=1e-3))  # degrees


def _codec_name(stream: Any) -> str:
    context = stream.codec_context
    return str(context.codec.canonical_name) if context is not None else "unknown"


def _video_packets(
    av: ModuleType,
    clip: Clip,
    workplace: Workplace,
    pts: npt.NDArray[np.int64],
    damage: Damage,
    stream: Any,
) -> Iterator[tuple[float, Any]]:
    """The encoded frames in the order of decoding, with the time of each in seconds."""
    step = max(1, round(1 / (clip.rate * clip.time_base)))
    ordered = np.sort(pts)
    last = step if damage else damage.shown or step
    durations = dict(zip(ordered.tolist(), [*np.diff(ordered).tolist(), last], strict=True))
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


def _other_packets(
    av: ModuleType, source: Any, pairs: dict[int, Any], shifts: Sequence[float]
) -> Iterator[tuple[float, Any]]:
    """The packets of the other streams, as long as they can be read.

    Args:
        av: PyAV.
        source: the clip.
        pairs: the result's stream for each that is copied.
        shifts: `hime.restoring.video.reading.Damage.shifts` in seconds.
    """
    last = float("-inf")
    streams = {index: source.streams[index] for index in pairs}
    clocks = {index: _clock(stream, pairs[index], shifts) for index, stream in streams.items()}
    packets = source.demux([*streams.values()])

    def timed(packet: Any, time: int) -> tuple[float, Any]:
        nonlocal last
        own = packet.dts if packet.dts is not None else packet.pts
        if time != own:
            packet.pts = None if packet.pts is None else packet.pts + time - own
            packet.dts = None if packet.dts is None else time
        last = max(last, float(time * packet.time_base))
        packet.stream = pairs[packet.stream_index]
        return last, packet

    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError, OSError):
            break
        if packet.dts is None and packet.pts is None:
            if not is_cover(packet.stream) or not packet.size:
                continue
            packet.pts = packet.dts = 0
        own = packet.dts if packet.dts is not None else packet.pts
        for each in clocks[packet.stream_index].take(packet, own, max(1, packet.duration or 0)):
            yield timed(*each)
    for clock in clocks.values():
        for each in clock.rest():
            yield timed(*each)


def _clock(stream: Any, copy: Any, shifts: Sequence[float]) -> Clock[Any]:
    """Of a stream's packets.

    Args:
        stream: of the clip.
        copy: of the result.
        shifts: of the pictures, in seconds.
    """
    unit = stream.time_base
    is_dense = stream.type in ("audio", "video") and not is_cover(stream)
    may_stay = copy.type == "subtitle" or copy.container.format.name in LOOSE
    return Clock(
        round(JUMP / unit),
        [],
        most=WAITING if is_dense else 1,
        least=0 if may_stay else 1,
        is_dense=is_dense,
        alike=[round(shift / float(unit)) for shift in shifts],
        apart=round(MOST_APART / unit),
    )
