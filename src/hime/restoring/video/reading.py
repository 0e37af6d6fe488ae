"""Clips read frame by frame, whatever holds them. Needs the extra ``video`` (PyAV).

    clip = open_clip("call.mp4")
    damage = Damage()
    for frame in read_frames(clip, damage): ...

Every frame comes in the clip's one size and format, with a time later than the frame's before it, and shows
one moment: interlaced ones are made so. What does not decode is left out and told in the `Damage`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from hime.errors import HimeError, how_to_install
from hime.files import open_file, reason_of
from hime.pictures.formats import format_of
from hime.restoring.video.beside import NAMES, UNKNOWN, Light, carried
from hime.restoring.video.clock import Clock
from hime.restoring.video.planes import Turn, colour_as, is_planar

USUAL_RATE = Fraction(25)
"""Frames a second of a clip that does not say."""
MOST_PIXELS = 8192 * 4352
"""Of a frame; larger ones would need more memory than a clip may take."""
FORMATS = (
    "asf", "av1", "avi", "dv", "flv", "gif", "h264", "hevc", "ivf", "m4v", "matroska", "mov", "mpeg", 
    "mpegts", "mpegvideo", "mxf", "nut", "obu", "ogg", "rm", "yuv4mpegpipe",
)  # fmt: skip
"""libav's names of the formats that are read."""
WRITTEN = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Endings of clips that are written, and libav's name of the format of each."""
ENDINGS = (
    *WRITTEN, ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts",
    ".vob", ".wmv",
)  # fmt: skip
"""Endings by which clips are found in folders. Those that are not written become .mp4, or .mkv where that
cannot hold their sound."""
JUMP = Fraction(1, 2)
"""Seconds that times go back at the least where a recording ends and another one, joined to it, begins."""
CUT_AHEAD = 2
"""Packets that another recording begins at the most after one that is said to be cut off where it is joined:
that is its last or, since frames are told apart by what begins the next one, its last but one."""
CUT_KNOWN = 40
"""Packets after which the frames tell at the latest whether another recording began there: so many may the
decoder and the clock keep back."""
CUT_FRAMES = 16
"""Frames before a join of which none may be missing where the recording is called whole: those that are shown
before a packet that is cut off may have been decoded after it."""
CUT_GAP = 1.75
"""How many times as much as usual lies between two frames from which on one is missing: where one is that is
twice as much, in films on DVD up to 1.5 times where none is."""
SHORTFALL = 0.5
"""Seconds that the frames may end before the clip does, where that is said of all its streams together."""


@dataclass(frozen=True)
class Clip:
    """What a file says of its video.

    Attributes:
        path: the file.
        container: libav's names of the format, as ``"mov,mp4,m4a,3gp,3g2,mj2"``.
        codec: libav's name of the codec, as ``"h264"``.
        width: of the frames as they are stored, in pixels.
        height: likewise.
        format: in which `read_frames` gives the frames; ``"yuv420p"`` for instance.
        time_base: seconds of a unit of time.
        rate: frames a second, on average.
        frames: how many there should be; 0 where nothing tells.
        duration: of the video in seconds, from the first frame that decodes; 0 where nothing tells.
        own_duration: whether that is said of the video itself, and not of the whole file, whose sound may
            be longer.
        matrix: 3×3 in row order, how the frames are turned to be shown; None: as they are.
        colours: libav's numbers for range, primaries, transfer and matrix.
        aspect: width over height of a pixel; None where nothing tells.
        notes: a line for each thing that the frames do not have any more as `read_frames` gives them.
        light: of HDR.
    """

    path: Path
    container: str
    codec: str
    width: int
    height: int
    format: str
    time_base: Fraction
    rate: Fraction
    frames: int
    duration: float
    own_duration: bool
    matrix: tuple[int, ...] | None
    colours: tuple[int, int, int, int]
    aspect: Fraction | None
    notes: tuple[str, ...] = ()
    light: Light = field(default_factory=Light)

    @property
    def turn(self) -> Turn:
        """From the frames as they are stored to how they are shown."""
        return Turn.of(self.matrix)


@dataclass
class Damage:
    """What of a clip does not decode or is not shown as it was, and what is told when it was read to its end.

    Attributes:
        first: when, in seconds from the first frame, something is first missing or damaged; None: nothing.
        reason: what libav says of it.
        until: when frames come again after that for the last time; None: they never do.
        interlaced: whether frames showed two moments each, of which the second is left out.
        resized: whether frames had another size than the first, or pixels of another shape, and were made
            like it.
        beside: what frames carry beside their pixels, keys of `hime.restoring.video.beside.NAMES`.
        shown: for how long the last frame is, in the clip's unit of time; 0 where nothing tells.
        shifts: of each recording within it, of which the times begin anew: how much later they are made, in
            the clip's unit of time.
    """

    first: float | None = None
    reason: str = ""
    until: float | None = None
    interlaced: bool = False
    resized: bool = False
    beside: list[str] = field(default_factory=list)
    shown: int = 0
    shifts: list[int] = field(default_factory=list)

    def at(self, seconds: float, reason: str) -> None:
        """Something is missing there."""
        if self.first is None:
            self.first, self.reason = max(0.0, seconds), reason
        self.until = None

    def goes_on(self, seconds: float) -> None:
        """A sound frame."""
        if self.first is not None and self.until is None:
            self.until = max(self.first, seconds)  # it may have been decoded before what is missing

    def __bool__(self) -> bool:
        return self.first is not None


def library() -> ModuleType:
    """PyAV.

    Raises:
        HimeError: the extra ``video`` is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise HimeError(f"av is not installed: {how_to_install('video')}") from error
    return av


def opened(path: Path) -> Any:
    """The file, opened by PyAV: no address, no playlist of other files, whatever its name or its content.

    Raises:
        av.FFmpegError, OSError, ValueError: it cannot be.
    """
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    return library().open(f"file:{path}", metadata_errors="replace", options=options)


def is_clip(path: Path | str) -> bool:
    """Whether a file holds moving pictures: by its content, where that says nothing by its name."""
    path = Path(path)
    try:
        with open_file(path) as file:
            picture = format_of(file.read(64))
    except (HimeError, OSError):
        return path.suffix.lower() in ENDINGS
    if picture is not None:
        return picture == "GIF" and _is_animated(path)
    if path.suffix.lower() in ENDINGS:
        return True
    try:
        av = library()
    except HimeError:
        return False
    try:
        with opened(path) as container:
            return any(not is_cover(stream) for stream in container.streams.video)
    except (av.FFmpegError, OSError, ValueError):
        return False


def _is_animated(path: Path) -> bool:
    import PIL.Image

    try:
        with PIL.Image.open(path) as picture:
            return bool(getattr(picture, "n_frames", 1) > 1)
    except Exception:  # whatever is wrong with it, the picture's reader says so
        return False


def is_cover(stream: Any) -> bool:
    """Whether a video stream is a still picture that goes with the file."""
    return bool(stream.disposition & stream.disposition.attached_pic)


def video_stream(container: Any) -> Any:
    """The stream that is restored: the first that is no cover.

    Raises:
        LookupError: there is none.
    """
    for stream in container.streams.video:
        if not is_cover(stream):
            return stream
    raise LookupError("no video in it")


def open_clip(path: Path | str) -> Clip:
    """Look at a clip and its first frame.

    Raises:
        HimeError: the extra ``video`` is not installed, it is no plain file, or it holds no video that can be
            decoded.
    """
    av = library()
    path = Path(path)
    open_file(path).close()  # nobody waits for a pipe
    try:
        with opened(path) as container:
            stream = video_stream(container)
            stream.thread_type = "SLICE"  # one frame is wanted soon
            first = _first_frame(av, container, stream)
            return _described(path, container, stream, first)
    except (av.FFmpegError, OSError, LookupError, ValueError) as error:
        raise unreadable_clip(path, error) from error


def unreadable_clip(path: Path, error: Exception) -> HimeError:
    """The one line about a file of which no video can be read."""
    return HimeError(f"{path}: not a video that can be read ({reason_of(error)}); give another file")


def _first_frame(av: ModuleType, container: Any, stream: Any) -> Any:
    reason: Exception = LookupError("no frame decodes")
    for packet in container.demux(stream):
        try:
            for frame in packet.decode():
                return frame
        except av.FFmpegError as error:
            reason = error
    raise reason


def _described(path: Path, container: Any, stream: Any, frame: Any) -> Clip:
    if frame.width * frame.height > MOST_PIXELS:
        raise ValueError(f"frames of {frame.width}×{frame.height} pixels are too large")
    rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
    rate = rate if 0 < rate <= 1000 else USUAL_RATE
    time_base = stream.time_base or 1 / USUAL_RATE
    duration, own = _duration(container, stream, frame)
    kept = is_planar(frame.format)
    colours = (
        int(frame.color_range),
        int(frame.color_primaries),
        int(frame.color_trc),
        int(frame.colorspace),
    )
    return Clip(
        path=path,
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        width=frame.width,
        height=frame.height,
        format=frame.format.name if kept else _planar_format(frame.format),
        time_base=time_base,
        rate=rate,
        frames=stream.frames or round(duration * rate),
        duration=duration,
        own_duration=own,
        matrix=display_matrix(frame),
        colours=(1, colours[1], colours[2], BT601_MATRIX) if _is_rgb(frame.format) else colours,
        aspect=stream.sample_aspect_ratio or None,
        notes=("its transparency cannot be kept and is left out",) if _is_transparent(stream, frame) else (),
        light=Light.of(carried(frame)),
    )


def display_matrix(frame: Any) -> tuple[int, ...] | None:
    """How an `av.VideoFrame` is turned to be shown, 3×3 in row order; None: as it is stored."""
    beside = carried(frame)
    stored = bytes(beside.get("DISPLAYMATRIX", b""))
    if len(stored) == 36:
        return struct.unpack("=9i", stored)
    if UNKNOWN not in beside or not frame.rotation:
        return None
    turn = -math.radians(frame.rotation)
    cosine, sine = round(math.cos(turn) * 2**16), round(math.sin(turn) * 2**16)
    return cosine, sine, 0, -sine, cosine, 0, 0, 0, 2**30


def _is_transparent(stream: Any, frame: Any) -> bool:
    """Whether a clip, whose first frame this is, holds more than opaque pictures."""
    if stream.metadata.get("alpha_mode") == "1":  # WebM: apart from the pictures
        return True
    if frame.format.has_palette or stream.codec_context.codec.canonical_name == "gif":
        # The format always has room for it, whether it is used or not.
        return bool(frame.to_ndarray(format="rgba")[..., 3].min() < 255)
    return any(component.is_alpha for component in frame.format.components)


def _duration(container: Any, stream: Any, frame: Any) -> tuple[float, bool]:
    """Of the video in seconds, from its first frame that decodes, and whether that is said of it alone."""
    end, own = _end(container, stream)
    first = 0.0 if frame.pts is None else float(frame.pts * stream.time_base)
    return max(0.0, end - first), own


def _end(container: Any, stream: Any) -> tuple[float, bool]:
    """When the video ends, in seconds of its times; 0 where nothing tells."""
    if stream.duration:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base), True
    said = stream.metadata.get("DURATION", "")  # in Matroska, as 00:01:02.345000000
    parts = said.split(":")
    with contextlib.suppress(ValueError):
        if len(parts) == 3 and (seconds := sum(float(part) * 60**n for n, part in enumerate(parts[::-1]))):
            return seconds, True
    if container.duration:
        # In Matroska durations are counted from zero, as the one above, in others from the first time.
        start = 0 if "matroska" in container.format.name else container.start_time or 0
        return (start + container.duration) / 1e6, len(container.streams) == 1
    return 0.0, False


BT601_MATRIX = 6
"""libav's number."""


def _is_rgb(video_format: Any) -> bool:
    """Whether frames of that format have no matrix of their own: they get that of BT.601."""
    return bool(video_format.is_rgb or video_format.has_palette or video_format.name.startswith("xyz"))


def _planar_format(video_format: Any) -> str:
    """What frames of another format become: of Y'CbCr with as much chroma and as many bits, up to 12."""
    deepest = max(part.bits for part in video_format.components)
    if _is_rgb(video_format):  # players show little else than 4:2:0
        return "yuv420p10le" if deepest > 8 else "yuv420p"
    depth = "" if deepest <= 8 else "10le" if deepest <= 10 else "12le"
    luma, *chroma = [part for part in video_format.components if not part.is_alpha]
    if not chroma:
        return f"yuv420p{depth}"
    if chroma[0].height < luma.height and chroma[0].width < luma.width:
        return f"yuv420p{depth}"
    return f"yuv422p{depth}" if chroma[0].width < luma.width else f"yuv444p{depth}"


def read_frames(clip: Clip, damage: Damage, threads: int = 0) -> Iterator[Any]:
    """The frames of a clip, each an `av.VideoFrame` that may not be changed.

    Args:
        clip: as `open_clip` gave it.
        damage: is told what does not decode.
        threads: of the decoder; 0: as many as it likes.

    Raises:
        HimeError: the file is not there any more, or another.
    """
    av = library()
    try:
        with opened(clip.path) as container:
            stream = video_stream(container)
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = threads
            frames = _decoded(av, clip, container, stream, damage)
            yield from _progressive(av, clip, frames, damage, threads)
    except (av.FFmpegError, OSError, LookupError) as error:
        raise unreadable_clip(clip.path, error) from error


def _decoded(av: ModuleType, clip: Clip, container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
    """The frames, in their order and with their times."""
    start: int | None = None
    last: int | None = None
    shape: tuple[Any, ...] | None = None
    step = max(1, round(1 / (clip.rate * clip.time_base)))
    clock: Clock[Any] = Clock(round(JUMP / clip.time_base), damage.shifts)
    cut = _Cut(damage, clock.jump)
    packets = container.demux(stream)

    def now() -> float:
        if start is None or last is None:
            return 0.0
        return float((last + step * (1 + clock.waiting) - start) * clip.time_base)

    def shown(frame: Any, pts: int) -> Any:
        nonlocal start, last, shape
        cut.follow(pts)
        start, last = pts if start is None else start, pts
        damage.shown = int(frame.duration or 0)
        seconds = float((pts - start) * clip.time_base)
        damage.beside += [kind for kind in carried(frame) if kind in NAMES and kind not in damage.beside]
        aspect = stream.codec_context.sample_aspect_ratio
        shape = shape or (clip.width, clip.height, aspect)
        damage.resized |= (frame.width, frame.height, aspect) != shape
        if frame.is_corrupt:
            damage.at(seconds, "a part of it is damaged")
        else:
            damage.goes_on(seconds)
        frame = _uniform(frame, clip)
        frame.pts, frame.time_base = pts, clip.time_base
        return frame

    def rest() -> Iterator[Any]:
        return (shown(*each) for each in clock.rest())

    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (av.FFmpegError, OSError) as error:
            yield from rest()
            damage.at(now(), reason_of(error))
            break
        cut.look(packet, now())
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError) as error:
            if not isinstance(error, EOFError):
                damage.at(now(), reason_of(error))
            continue
        for frame in frames:
            for each in clock.take(frame, frame.pts, step):
                yield shown(*each)
    yield from rest()
    cut.rest()
    if last is not None and start is not None and clip.duration:
        end = float((last + damage.shown - start) * clip.time_base)
        allowed = max(float(2 / clip.rate), 0.0 if clip.own_duration else SHORTFALL)
        # What was estimated from times may have been so from one that is wrong.
        wrong = (float((time - start) * clip.time_base) for time in clock.wrong)
        is_said = all(abs(clip.duration - each) > SHORTFALL for each in wrong)
        if is_said and max(end, now()) < clip.duration - allowed:
            damage.at(now(), f"{clip.duration:.1f} seconds were said to be there")


class _Cut:
    """Tells of packets of which a part is cut off. Where a recording ends and another one was joined to it
    libav says so of a whole one: the counters of its transport stream begin anew.

    Args:
        damage: is told.
        jump: how much times go back at the least where another recording begins.
    """

    def __init__(self, damage: Damage, jump: int) -> None:
        self.damage, self.jump = damage, jump
        self._last: int | None = None
        self._cut: float | None = None
        self._since = 0
        self._joined: deque[tuple[float, int]] = deque()
        """Cuts beside what may be joined: where each is, and the packet up to which the frames tell."""
        self._count = 0
        self._shown: deque[int] = deque(maxlen=CUT_FRAMES)
        self._recordings = len(damage.shifts)

    def look(self, packet: Any, now: float) -> None:
        """Look at the next packet; ``now``: where the clip is, in seconds."""
        self._count += 1
        time = packet.dts if packet.dts is not None else packet.pts
        begins_anew = time is not None and self._last is not None and time < self._last - self.jump
        self._last = self._last if time is None else time
        if begins_anew and self._cut is not None:  # or the one time is wrong
            self._joined.append((self._cut, self._count + CUT_KNOWN))
            self._cut = None
        while self._joined and self._joined[0][1] < self._count:
            self._tell(self._joined.popleft()[0])
        if self._cut is not None:
            self._since += 1
            if self._since == CUT_AHEAD or packet.is_corrupt or not packet.size:
                self._tell(self._cut)
                self._cut = None
        if packet.is_corrupt:
            self._cut, self._since = now, 0

    def follow(self, time: int) -> None:
        """Look at the next frame's time, as the clock has it."""
        if len(self.damage.shifts) > self._recordings and self._joined:
            cut, _ = self._joined.popleft()
            steps = sorted(later - each for each, later in itertools.pairwise(self._shown))
            if steps and steps[-1] > CUT_GAP * steps[len(steps) // 2]:
                self._tell(cut)
        self._recordings = len(self.damage.shifts)
        self._shown.append(time)

    def rest(self) -> None:
        """No frame follows."""
        while self._joined:
            self._tell(self._joined.popleft()[0])

    def _tell(self, cut: float) -> None:
        self.damage.at(cut, "a part of it is cut off")


def _progressive(
    av: ModuleType, clip: Clip, frames: Iterator[Any], damage: Damage, threads: int
) -> Iterator[Any]:
    """As many frames with the same times, of which none shows two moments.

    From the first interlaced frame on all go through FFmpeg's filter, which lets the others pass. Of those it
    keeps the lines of the first moment, and finds the lines between from them and from the frames around.
    """
    graph = None
    waiting: deque[Any] = deque()
    for frame in frames:
        if graph is None and frame.interlaced_frame:
            graph = _deinterlacer(av, clip, threads)
            damage.interlaced = True
        if graph is None:
            yield frame
            continue
        waiting.append(frame)
        graph.vpush(frame)
        yield from _filtered(clip, graph, waiting)
    if graph is not None:
        graph.vpush(None)
        yield from _filtered(clip, graph, waiting)


def _deinterlacer(av: ModuleType, clip: Clip, threads: int) -> Any:
    graph = av.filter.Graph()
    graph.threads = threads
    buffer = graph.add_buffer(
        width=clip.width, height=clip.height, format=clip.format, time_base=clip.time_base
    )
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    graph.link_nodes(buffer, bwdif, graph.add("buffersink")).configure()
    return graph


def _filtered(clip: Clip, graph: Any, waiting: deque[Any]) -> Iterator[Any]:
    """The frames that are ready, one for each of those that wait."""
    while waiting:
        try:
            frame = _uniform(graph.vpull(), clip)
        except (BlockingIOError, EOFError):  # it wants to see the next first; there is no next
            return
        like = waiting.popleft()
        frame.pts, frame.time_base = like.pts, clip.time_base
        colour_as(frame, like)
        yield frame


def _uniform(frame: Any, clip: Clip) -> Any:
    """A frame in the size and the format of the clip's first."""
    if (frame.width, frame.height, frame.format.name) == (clip.width, clip.height, clip.format):
        return frame
    uniform = frame.reformat(
        width=clip.width,
        height=clip.height,
        format=clip.format,
        **({"dst_colorspace": "ITU601", "dst_color_range": "MPEG"} if _is_rgb(frame.format) else {}),
    )
    return uniform
