"""Whole clips: what is restored, what stays, what the result carries, and that an interrupted run goes on."""

from __future__ import annotations

import io
import itertools
import os
import re
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

import hime
from hime.errors import HimeError
from hime.faces.album import read_person
from hime.files import incomplete
from hime.processors import limit_threads
from hime.restoring.restorer import Restorer
from hime.restoring.video import joining, restore
from hime.restoring.video.beside import UNKNOWN, Light, carried
from hime.restoring.video.clock import Clock
from hime.restoring.video.planes import Turn
from hime.restoring.video.reading import Damage, _progressive, open_clip, read_frames
from hime.restoring.video.restore import (
    Progress,
    RestoredClip,
    rehearse_video,
    restore_video,
)
from hime.restoring.video.writing import ENCODERS, encoding_for, result_suffix
from restoring.video.scenes import (
    Actor,
    leaving,
    of_fields,
    read_clip,
    result_path,
    scene,
    still,
    walk,
    woven,
    write_clip,
)


@pytest.fixture
def lossless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results hold the very frames that were made."""
    monkeypatch.setitem(ENCODERS, "h264", ("libx264", {"preset": "ultrafast", "qp": "0"}))


def differences(before: Path, after: Path) -> np.ndarray:
    """N×H×W: by how many levels the frames differ."""
    first, second = read_clip(before)[0], read_clip(after)[0]
    assert len(first) == len(second)
    return np.stack([np.abs(a.astype(int) - b).max(axis=2) for a, b in zip(first, second, strict=True)])


@pytest.mark.usefixtures("lossless")
def test_far_faces_change_near_ones_and_the_rest_do_not(
    walking: Path, restorer: Restorer, tmp_path: Path
) -> None:
    steps: list[Progress] = []
    restored = restore_video(walking, [], restorer, tmp_path / "out.mp4", progress=steps.append)
    assert restored.path == tmp_path / "out.mp4"
    assert (restored.frames, restored.damage, restored.notes) == (40, None, ())
    (ada,) = restored.faces
    assert (ada.name, ada.status, ada.seen) == ("person 1", "restored", 40)
    assert 20 <= ada.frames <= 32
    assert ada.references
    assert all(reference.seconds is not None and reference.seconds < 0.7 for reference in ada.references)
    changed = differences(walking, restored.path)
    assert changed[:8].max() == 0, "near: not a bit"
    path = leaving(8, 18, 150, 32)
    for number in (20, 30, 39):
        x, y, side, _ = path(number)
        rows, columns = np.indices(changed.shape[1:])
        far_away = np.maximum(np.abs(columns - x), np.abs(rows - y)) > side
        assert changed[number][far_away].max() == 0
        assert changed[number][~far_away].mean() > 2
    assert [step.step for step in steps] == ["looking"] * 40 + ["restoring"] * 40
    assert (steps[-1].done, steps[-1].frames) == (40, 40)
    assert list(tmp_path.iterdir()) == [restored.path], "nothing is left beside it"


def test_threads_are_limited_for_clips_too(
    walking: Path, restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the decoder, in both passes, and of the encoder."""
    given: list[int] = []

    def reading(clip: Any, damage: Damage, threads: int = 0) -> Any:
        given.append(threads)
        return read_frames(clip, damage, threads)

    def encoding(*arguments: Any) -> Any:
        given.append(arguments[-1])
        return encoding_for(*arguments)

    monkeypatch.setattr("hime.processors.usable_threads", lambda: 6)
    for module in ("findings", "making"):
        monkeypatch.setattr(f"hime.restoring.video.{module}.read_frames", reading)
    monkeypatch.setattr(restore, "encoding_for", encoding)
    try:
        for limit, expected in ((None, [6, 6, 3]), (2, [2, 2, 1]), (1, [1, 1, 1])):
            limit_threads(limit)
            given.clear()
            restore_video(walking, [], restorer, tmp_path / "out.mp4", overwrite=True)
            assert given == expected
    finally:
        limit_threads()


@pytest.mark.usefixtures("lossless")
def test_no_jump_where_a_limit_is_crossed(restorer: Restorer, tmp_path: Path) -> None:
    path = leaving(2, 38, 110, 40)
    clip = write_clip(tmp_path / "in.mp4", scene([Actor("ada", path)], 42))
    restored = restore_video(clip, [], restorer, tmp_path / "out.mp4")
    changed = differences(clip, restored.path).sum(axis=(1, 2))
    strength = changed / np.array([path(number)[2] for number in range(42)]) ** 2
    assert strength[:4].max() == 0 < strength[-1]
    assert np.abs(np.diff(strength)).max() < 0.5 * strength.max(), "a jump would be all at once"


@pytest.mark.usefixtures("lossless")
def test_people_given_are_restored_and_strangers_are_left(
    restorer: Restorer, tmp_path: Path, demo_people: Path
) -> None:
    ada = read_person([demo_people / "ada" / f"{i}.webp" for i in (1, 2, 3)], "ada")
    actors = [Actor("ada", still(80, 120, 48)), Actor("ben", still(240, 120, 48))]
    clip = write_clip(tmp_path / "two.mp4", scene(actors, 12))
    restored = restore_video(clip, [ada], restorer, tmp_path / "out.mp4")
    assert [(face.name, face.status) for face in restored.faces] == [
        ("ada", "restored"),
        ("person 1", "left: not one of the people given"),
    ]
    assert {reference.source for reference in restored.faces[0].references} <= {"1.webp", "2.webp", "3.webp"}
    changed = differences(clip, restored.path)
    assert changed[:, :, 160:].max() == 0
    assert changed[:, 110:130, 70:90].mean() > 3
    both = restore_video(clip, [ada], restorer, tmp_path / "both.mp4", everyone=True)
    assert [face.status for face in both.faces] == ["restored", "restored"]
    changed = differences(clip, both.path)
    assert min(changed[:, 110:130, 70:90].mean(), changed[:, 110:130, 230:250].mean()) > 3
    with pytest.raises(HimeError, match=r"nothing to restore \(ada: not asked for"):
        restore_video(clip, [ada], restorer, tmp_path / "none.mp4", only_person="ben")
    with pytest.raises(HimeError, match=r"no sharp near frame .* give photos with --refs"):
        restore_video(clip, [], restorer, tmp_path / "none.mp4")
    assert not list(tmp_path.glob("*none*"))


def test_nothing_to_restore_says_why_and_leaves_nothing(restorer: Restorer, tmp_path: Path) -> None:
    near = write_clip(tmp_path / "near.mp4", scene([Actor("ada", still(160, 120, 150))], 10))
    with pytest.raises(HimeError, match="person 1: near enough everywhere"):
        restore_video(near, [], restorer, tmp_path / "out.mp4")
    nobody = write_clip(tmp_path / "nobody.mp4", scene([], 10))
    with pytest.raises(HimeError, match="no face found"):
        restore_video(nobody, [], restorer, tmp_path / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["near.mp4", "nobody.mp4"]


# ------------------------------------------------------------------------------------------- what it carries

CASES = {
    "mp4": ("a.mp4", "libx264", "yuv420p", ("a.mp4", "h264", "yuv420p")),
    "hevc": ("a.mkv", "libx265", "yuv420p10le", ("a.mkv", "hevc", "yuv420p10le")),
    "vp9": ("a.webm", "libvpx-vp9", "yuv420p", ("a.webm", "vp9", "yuv420p")),
    "av1": ("a.mp4", "libsvtav1", "yuv420p10le", ("a.mp4", "av1", "yuv420p10le")),
    "avi": ("a.avi", "mpeg4", "yuv420p", ("a.mp4", "h264", "yuv420p")),
    "prores": ("a.mov", "prores_ks", "yuv422p10le", ("a.mov", "h264", "yuv422p10le")),
    "gif": ("a.gif", "gif", "rgb8", ("a.mp4", "h264", "yuv420p")),
    "full range": ("a.mov", "libx264", "yuvj420p", ("a.mov", "h264", "yuvj420p")),
    "4:4:4": ("a.mkv", "libx264", "yuv444p", ("a.mkv", "h264", "yuv444p")),
}


@pytest.mark.parametrize("case", CASES)
def test_containers_and_codecs(case: str, restorer: Restorer, tmp_path: Path) -> None:
    name, codec, pix_fmt, expected = CASES[case]
    try:
        av.Codec(codec, "w")
    except ValueError:
        pytest.skip(f"av was built without {codec}")
    path = write_clip(tmp_path / name, walk(24), codec, pix_fmt)
    clip = open_clip(path)
    out = result_path(clip, tmp_path / "out")
    restored = restore_video(path, [], restorer, out)
    found = open_clip(restored.path)
    assert (restored.path.name, found.codec, found.format) == expected
    assert restored.damage is None
    (before, times), (after, new_times) = read_clip(path), read_clip(restored.path)
    assert len(before) == len(after) == 24
    assert new_times == pytest.approx([moment - times[0] + new_times[0] for moment in times], abs=0.002)
    apart = np.abs(before[0].astype(int) - after[0]).mean()
    assert apart < (20 if case == "gif" else 4)


KEPT = {
    "h264": ("in.mp4", "libx264", {".mp4": "h264", ".mov": "h264", ".mkv": "h264", ".webm": "vp9"}),
    "hevc": ("in.mp4", "libx265", {".mp4": "hevc", ".mov": "hevc", ".mkv": "hevc", ".webm": "vp9"}),
    "vp8": ("in.webm", "libvpx", {".mp4": "h264", ".mov": "h264", ".mkv": "vp8", ".webm": "vp8"}),
    "vp9": ("in.webm", "libvpx-vp9", {".m4v": "vp9", ".mov": "h264", ".mkv": "vp9", ".webm": "vp9"}),
    "av1": ("in.mp4", "libsvtav1", {".mp4": "av1", ".mov": "h264", ".mkv": "av1", ".webm": "av1"}),
}
"""Codec → what each kind of result, by its ending, is encoded as."""


@pytest.mark.parametrize("codec", KEPT)
def test_a_result_of_another_kind(codec: str, restorer: Restorer, tmp_path: Path) -> None:
    name, encoder, expected = KEPT[codec]
    try:
        av.Codec(encoder, "w")
    except ValueError:
        pytest.skip(f"av was built without {encoder}")
    path = write_clip(tmp_path / name, scene([Actor("ada", still(80, 60, 48))], 3, 160, 120), encoder)
    found = {}
    for suffix in expected:
        restored = restore_video(path, [], restorer, tmp_path / f"out{suffix}", everyone=True)
        assert restored.frames == len(read_clip(restored.path)[0]) == 3
        found[suffix] = open_clip(restored.path).codec
    assert found == expected


def test_the_ending_of_a_result_holds_its_codec(tmp_path: Path) -> None:
    """AV1 in an MP4 that is called .mov: what it is called holds no AV1."""
    path = write_clip(tmp_path / "in.mp4", scene([], 3, 160, 120), "libsvtav1")
    renamed = path.rename(tmp_path / "in.mov")
    assert result_suffix(open_clip(renamed)) == ".mp4"


@pytest.mark.parametrize("codec", ["libopus", "flac"])
def test_sound_that_a_mov_does_not_hold_is_left_out_and_told(
    codec: str, restorer: Restorer, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "in.mkv", scene([Actor("ada", still(80, 60, 48))], 12, 160, 120))
    with_sound = tmp_path / "sound.mkv"
    with av.open(str(path)) as source, av.open(str(with_sound), "w") as result:
        stream = result.add_stream_from_template(source.streams.video[0])
        tone: Any = result.add_stream(codec, rate=48000, layout="mono", format="s16")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                result.mux_one(packet)
        wave = (1000 * np.sin(np.arange(9600) / 20)).astype(np.int16)
        audio = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        audio.sample_rate, audio.pts = 48000, 0
        result.mux([*tone.encode(audio), *tone.encode(None)])
    line = f"sound ({codec.removeprefix('lib')}) cannot be copied and is left out"
    for suffix, notes in ((".mov", (line,)), (".mp4", ()), (".mkv", ())):
        restored = restore_video(with_sound, [], restorer, tmp_path / f"out{suffix}", everyone=True)
        assert (restored.damage, restored.notes) == (None, notes)
        with av.open(str(restored.path)) as file:
            assert len(file.streams.audio) == (not notes)


@pytest.mark.parametrize("name", ["call.avi", "call", "call.png"])
def test_a_result_of_no_known_kind_is_refused_before_the_work(
    name: str, walking: Path, restorer: Restorer, tmp_path: Path
) -> None:
    def begun(step: Progress) -> None:
        raise AssertionError(step)

    with pytest.raises(HimeError, match=rf"{name}: cannot write .*; use one of \.mp4, "):
        restore_video(walking, [], restorer, tmp_path / name, progress=begun)
    with pytest.raises(HimeError, match="cannot write"):
        rehearse_video(walking, [], restorer, tmp_path / name, progress=begun)
    assert not list(tmp_path.iterdir())


def test_arguments_that_are_something_else_are_refused_before_the_work(
    walking: Path, restorer: Restorer, tmp_path: Path
) -> None:
    def begun(step: Progress) -> None:
        raise InterruptedError

    wrong: list[tuple[str, Any, str]] = [
        ("only_person", 7, "only_person must be a name, not int"),
        ("references", 0, "references must be a whole number from 1 up, not 0"),
        ("enlargement", 2.0, "enlargement must be a whole number from 1 up, not 2.0"),
        ("people", "mum/", "people must be a list of what `hime.read_person` gives, not str"),
        ("restorer", "small-x4", "the restorer must be what `hime.load` gives, not str"),
    ]
    numbers: dict[str, Any] = {
        "references": np.int64(3),
        "enlargement": np.int64(2),
        "everyone": np.bool_(True),
    }
    arguments: dict[str, Any] = {"people": [], "restorer": restorer, "out": tmp_path / "out.mp4"}
    for call in (restore_video, rehearse_video):
        for argument, value, line in wrong:
            with pytest.raises(HimeError, match=f"^{re.escape(line)}$"):
                call(walking, **{**arguments, argument: value}, progress=begun)
    assert not list(tmp_path.iterdir())
    for call in (restore_video, rehearse_video):
        with pytest.raises(InterruptedError):  # the work begins
            call(walking, **arguments, **numbers, progress=begun)


HDR = ("G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)", "1000,400")
"""A display of P3's colours, 0.0001 to 1,000 cd/m², and MaxCLL and MaxFALL, as x264 and x265 take them."""


def in_hdr(path: Path, codec: str) -> Path:
    """A clip in HDR10; for AV1 its encoder takes the display by numbers."""
    name, display, greatest = {
        "libx264": ("x264-params", f"mastering-display={HDR[0]}", f"cll={HDR[1]}"),
        "libx265": ("x265-params", f"log-level=0:master-display={HDR[0]}", f"max-cll={HDR[1]}"),
        "libsvtav1": (
            "svtav1-params",
            "mastering-display=G(0.265,0.69)B(0.15,0.06)R(0.68,0.32)WP(0.3127,0.329)L(1000,0.0001)",
            f"content-light={HDR[1]}",
        ),
    }[codec]

    def colours(container: Any, stream: Any) -> None:
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 16, 9, 1

    frames = scene([Actor("ada", still(160, 120, 48))], 2)
    options = {name: f"{display}:{greatest}"}
    return write_clip(path, frames, codec, "yuv420p10le", prepare=colours, options=options)


def beside_first_frame(path: Path) -> dict[str, bytes]:
    with av.open(str(path)) as file:
        return {name: bytes(data) for name, data in carried(next(file.decode(video=0))).items()}


LIGHT = {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"}


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_the_light_of_hdr_is_kept(codec: str, restorer: Restorer, tmp_path: Path) -> None:
    path = in_hdr(tmp_path / "in.mp4", codec)
    before = beside_first_frame(path)
    assert before.keys() >= LIGHT
    restored = restore_video(path, [], restorer, tmp_path / "out.mp4", everyone=True)
    assert restored.notes == ()
    after = beside_first_frame(restored.path)
    assert all(after[name] == before[name] for name in LIGHT)
    assert open_clip(path).light == open_clip(restored.path).light != Light()


def test_light_that_is_none_is_not_told_to_the_encoder() -> None:
    """Numbers of a damaged file, which encoders refuse."""
    for places, least in ((-1, 0), (2, 0), (0, 2_000)):
        numbers = [number for value in (*[places] * 8, least, 1_000) for number in (value, 1)]
        display = struct.pack("=22i", *numbers, 1, 1)
        greatest = struct.pack("=2I", 2**32 - 1, 1)
        told = {"MASTERING_DISPLAY_METADATA": display, "CONTENT_LIGHT_LEVEL": greatest}
        assert Light.of(told) == Light()
    assert Light.of({"MASTERING_DISPLAY_METADATA": bytes(88), "CONTENT_LIGHT_LEVEL": b""}) == Light()
    assert Light().options("libx265") == {}
    assert Light(greatest=(1_000, 400)).options("libvpx-vp9") == {}


CAPTIONS = bytes.fromhex("0604 0e b50031 47413934 03 41ff fc8080 ff 80".replace(" ", ""))
"""An H.264 unit with closed captions (ATSC A/53), empty ones."""


def with_captions(path: Path, clip: Path, first: int) -> Path:
    """The clip with captions in its frames, from that one on."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as result:
        stream = result.add_stream_from_template(source.streams.video[0], opaque=True)
        for number, packet in enumerate(each for each in source.demux(video=0) if each.size):
            unit = len(CAPTIONS).to_bytes(4, "big") + CAPTIONS if number >= first else b""
            added = av.Packet(unit + bytes(packet))
            added.pts, added.dts, added.time_base = packet.pts, packet.dts, packet.time_base
            added.is_keyframe, added.stream = packet.is_keyframe, stream
            result.mux_one(added)
    return path


def test_captions_within_frames_are_told(walking: Path, restorer: Restorer, tmp_path: Path) -> None:
    path = with_captions(tmp_path / "in.mp4", walking, first=20)
    restored = restore_video(path, [], restorer, tmp_path / "out.mp4")
    assert restored.notes == ("closed captioning within its frames cannot be copied and is left out",)


def test_what_the_reader_does_not_know_is_told(restorer: Restorer, tmp_path: Path) -> None:
    """Motion JPEG as cameras write it, EXIF in every frame: PyAV knows no such kind of data."""
    exif = PIL.Image.Exif()
    exif[0x010F] = "A camera"
    path = tmp_path / "in.mov"
    with av.open(str(path), "w") as result:
        stream = result.add_stream("mjpeg", rate=25, width=320, height=240, pix_fmt="yuvj420p")
        stream.set_display_rotation(90)
        result.start_encoding()
        for number, image in enumerate(scene([Actor("ada", still(160, 120, 48))], 2)):
            file = io.BytesIO()
            PIL.Image.fromarray(np.ascontiguousarray(np.rot90(image, -1))).save(file, "JPEG", exif=exif)
            packet = av.Packet(file.getvalue())
            packet.pts = packet.dts = number
            packet.time_base, packet.is_keyframe, packet.stream = Fraction(1, 25), True, stream
            result.mux_one(packet)
    assert beside_first_frame(path).keys() == {UNKNOWN}
    restored = restore_video(path, [], restorer, tmp_path / "out.mov", everyone=True)
    assert restored.notes == ("data of an unknown kind beside its frames cannot be copied and is left out",)
    assert restored.faces[0].status == "restored"
    assert open_clip(restored.path).turn == open_clip(path).turn != Turn()


TRANSPARENT = "its transparency cannot be kept and is left out"
COLOURS = {
    "4:4:4 and alpha": ("a.mov", "prores_ks", "yuva444p10le", (1, "yuv444p10le", (TRANSPARENT,))),
    "packed 4:2:2": ("a.mov", "rawvideo", "uyvy422", (1, "yuv422p", ())),
    "packed 4:2:2, 10 bits": ("a.mkv", "rawvideo", "y210le", (1, "yuv422p10le", ())),
    "planes of two": ("a.mkv", "rawvideo", "nv12", (1, "yuv420p", ())),
    "alpha beside": ("a.mkv", "ffv1", "yuva420p", (1, "yuv420p", (TRANSPARENT,))),
    "red, green, blue": ("a.mov", "png", "rgb24", (6, "yuv420p", ())),
    "red, green, blue, alpha": ("a.mov", "png", "rgba", (6, "yuv420p", (TRANSPARENT,))),
    "nothing see-through in a GIF": ("a.gif", "gif", "rgb8", (6, "yuv420p", ())),
    "alpha beside VP9": ("a.webm", "libvpx-vp9", "yuva420p", (1, "yuv420p", (TRANSPARENT,))),
}


@pytest.mark.parametrize("case", COLOURS)
def test_colours_are_labelled_as_they_are(case: str, restorer: Restorer, tmp_path: Path) -> None:
    """Frames that were stored by BT.709 stay so; those in RGB have BT.601's matrix afterwards."""
    name, codec, pix_fmt, expected = COLOURS[case]
    frames = scene([Actor("ada", still(160, 120, 48))], 2)
    is_rgb = pix_fmt.startswith("rgb")
    path = write_clip(tmp_path / name, frames, codec, pix_fmt, high_definition=not is_rgb)
    restored = restore_video(
        path, [], restorer, result_path(open_clip(path), tmp_path / "out"), everyone=True
    )
    found = open_clip(restored.path)
    assert (found.colours[3], found.format, restored.notes) == expected
    with av.open(str(restored.path)) as result:
        assert "alpha_mode" not in result.streams.video[0].metadata
        image = next(result.decode(video=0)).to_ndarray(format="rgb24")
    apart = (image.astype(int) - frames[0]).mean(axis=(0, 1))
    assert np.abs(apart).max() < 3, "another matrix makes other colours"


@pytest.mark.parametrize(
    ("suffix", "size"), [(".mkv", (161, 121)), (".webm", (161, 121)), (".avi", (163, 122))]
)
def test_odd_sizes(suffix: str, size: tuple[int, int], restorer: Restorer, tmp_path: Path) -> None:
    """A codec of whole chroma samples gets the last row and column once more; another keeps the size."""
    codec = {".mkv": "ffv1", ".webm": "libvpx-vp9", ".avi": "mjpeg"}[suffix]
    frames = [
        image[: size[1], : size[0]] for image in scene([Actor("ada", leaving(3, 8, 90, 30, 80, 60))], 12)
    ]
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_clip(tmp_path / f"odd{suffix}", frames, codec, pix_fmt)
    out = result_path(open_clip(path), tmp_path / "out")
    restored = restore_video(path, [], restorer, out, everyone=True)
    found = open_clip(restored.path)
    width, height = size
    expected = size if suffix == ".webm" else (width + width % 2, height + height % 2)
    assert (found.width, found.height) == expected
    (before, _), (after, _) = read_clip(path), read_clip(restored.path)
    assert np.abs(before[0].astype(int) - after[0][:height, :width]).mean() < 6


@pytest.mark.parametrize("enlargement", [2, 4])
def test_enlarged(enlargement: int, walking: Path, restorer: Restorer, tmp_path: Path) -> None:
    restored = restore_video(walking, [], restorer, tmp_path / "out.mp4", enlargement=enlargement)
    clip = open_clip(restored.path)
    assert (clip.width, clip.height) == (320 * enlargement, 240 * enlargement)
    images, _ = read_clip(restored.path)
    x, y, _, _ = (round(value * enlargement) for value in leaving(8, 18, 150, 32)(39))
    reach = 8 * enlargement
    assert images[39][y - reach : y + reach, x - reach : x + reach].std() > 20
    with pytest.raises(HimeError, match="1, 2 or 4 times, not 3"):
        restore_video(walking, [], restorer, tmp_path / "three.mp4", enlargement=3)


def test_variable_rate_rotation_sound_chapters_and_metadata(restorer: Restorer, tmp_path: Path) -> None:
    times = np.cumsum([0, *([400, 700, 1001, 333] * 6)]).tolist()

    def prepare(container: Any, stream: Any) -> None:
        stream.set_display_rotation(90)
        stream.codec_context.color_primaries = stream.codec_context.color_trc = 1
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        container.metadata.update(title="Grandma’s birthday", comment="by the sea")
        container.set_chapters(
            [
                {
                    "id": 1,
                    "start": 0,
                    "end": 300,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "Cake"},
                },
                {"id": 2, "start": 300, "end": 900, "time_base": Fraction(1, 1000), "metadata": {}},
            ]
        )

    upright = scene([Actor("ada", leaving(6, 14, 130, 32, 120, 160))], 25, 240, 320)
    stored = [np.ascontiguousarray(np.rot90(image, -1)) for image in upright]
    path = write_clip(
        tmp_path / "in.mp4", stored, times=times, time_base=Fraction(1, 15360), prepare=prepare, sound=True
    )
    restored = restore_video(path, [], restorer, tmp_path / "out.mp4")
    assert restored.faces[0].status == "restored"
    before, after = open_clip(path), open_clip(restored.path)
    assert before.matrix is not None
    assert before.turn == after.turn != type(before.turn)()
    assert (before.matrix, before.colours) == (after.matrix, after.colours)
    assert before.colours == (1, 1, 1, 1)
    assert read_clip(path)[1] == read_clip(restored.path)[1]
    assert len(set(np.diff(read_clip(path)[1]).round(4))) > 2, "the times are uneven indeed"
    with av.open(str(path)) as source, av.open(str(restored.path)) as result:
        assert result.metadata["title"] == "Grandma’s birthday"
        assert result.metadata["comment"].startswith("by the sea Faces in this video were restored")
        assert "compositeWithTrainedAlgorithmicMedia" in result.metadata["comment"]
        chapters = [(each["start"], each["metadata"].get("title")) for each in result.chapters()]
        assert chapters[0][1] == "Cake"
        assert len(chapters) == 2
        sounds = [
            [(packet.pts, bytes(packet)) for packet in file.demux(audio=0) if packet.size]
            for file in (source, result)
        ]
        assert sounds[0] == sounds[1]
        assert len(sounds[0]) > 10


def test_subtitles_are_kept(restorer: Restorer, tmp_path: Path, walking: Path) -> None:
    """A Matroska file with a line of text, made by hand from the clip."""
    path = tmp_path / "in.mkv"
    text = tmp_path / "text.srt"
    text.write_text("1\n00:00:00,200 --> 00:00:00,900\nHappy birthday\n", encoding="utf-8")
    with av.open(str(walking)) as video, av.open(str(text)) as words, av.open(str(path), "w") as result:
        streams = {}
        for source in (video.streams.video[0], words.streams.subtitles[0]):
            streams[source.type] = result.add_stream_from_template(source, opaque=True)
        for source in (words, video):
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream.type]
                    result.mux_one(packet)
    restored = restore_video(path, [], restorer, result_path(open_clip(path), tmp_path / "out"))
    assert restored.notes == ()
    with av.open(str(restored.path)) as result:
        (line,) = [bytes(packet) for packet in result.demux(subtitles=0) if packet.size]
    assert line == b"Happy birthday"


def png(image: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


PHONE = {
    "com.apple.quicktime.location.ISO6709": "+48.1371+011.5754+519.000/",
    "com.apple.quicktime.creationdate": "2020-01-02T03:04:05+0100",
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 8",
    "com.android.version": "11",
    "location": "+48.1371+011.5754/",
    "creation_time": "2020-01-02T02:04:05.000000Z",
}
PLAIN = {"title": "Grandma’s birthday", "date": "2020-01-02", "artist": "Ada", "genre": "Home"}
COVER = png(np.zeros((16, 16, 3), np.uint8))
ALTERED = "by the sea Faces in this video were restored by a trained model (hime)."


def with_metadata(path: Path, metadata: dict[str, str], phone: bool = True, cover: bool = False) -> Path:
    """A clip of two frames that says this of itself, turned by a quarter."""
    upright = scene([Actor("ada", still(120, 160, 48))], 2, 240, 320)
    frames = [np.ascontiguousarray(np.rot90(image, -1)) for image in upright]
    flags = {"movflags": "use_metadata_tags"} if phone else {}

    def prepare(container: Any, stream: Any) -> None:
        stream.set_display_rotation(90)
        container.metadata.update(metadata, comment="by the sea")
        if cover:
            container.add_attachment("cover.png", "image/png", COVER)

    return write_clip(path, frames, prepare=prepare, container_options=flags)


def cover_of(path: Path) -> bytes | None:
    with av.open(str(path)) as container:
        for stream in container.streams.video[1:]:
            assert stream.disposition & stream.disposition.attached_pic
            return next(bytes(packet) for packet in container.demux(stream))
    return None


def metadata_of(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return {key.lower(): value for key, value in container.metadata.items()}


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_what_a_phone_says_of_its_clip_is_kept(suffix: str, restorer: Restorer, tmp_path: Path) -> None:
    path = with_metadata(tmp_path / f"in{suffix}", PHONE | PLAIN)
    before = metadata_of(path)
    assert {key.lower() for key in PHONE | PLAIN} <= before.keys()
    restored = restore_video(path, [], restorer, tmp_path / f"out{suffix}", everyone=True)
    after = metadata_of(restored.path)
    assert after.pop("comment").startswith(ALTERED)
    for key in PHONE | PLAIN:
        assert after[key.lower()] == before[key.lower()]
    assert restored.notes == ()
    assert open_clip(restored.path).matrix == open_clip(path).matrix != None  # noqa: E711


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_plain_metadata_stays_where_every_player_looks(
    suffix: str, restorer: Restorer, tmp_path: Path
) -> None:
    plain = PLAIN | {"creation_time": "2020-01-02T02:04:05.000000Z", "location": "+48.1371+011.5754/"}
    path = with_metadata(tmp_path / f"in{suffix}", plain, phone=False)
    restored = restore_video(path, [], restorer, tmp_path / f"out{suffix}", everyone=True)
    assert restored.notes == ()
    assert plain.items() <= metadata_of(restored.path).items()
    assert b"\xa9nam" in restored.path.read_bytes()


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_each_plain_key_is_one_that_the_format_holds(suffix: str, restorer: Restorer, tmp_path: Path) -> None:
    values = {"location": "+48.1371+011.5754/", "creation_time": "2020-01-02T02:04:05.000000Z"}
    plain = {key: values.get(key, "1") for key in joining.PLAIN[suffix[1:]].split()}
    path = with_metadata(tmp_path / f"in{suffix}", plain, phone=False)
    assert plain.keys() <= metadata_of(path).keys()
    restored = restore_video(path, [], restorer, tmp_path / f"out{suffix}", everyone=True)
    assert plain.keys() <= metadata_of(restored.path).keys()
    assert restored.notes == ()


def test_metadata_that_is_not_kept_is_told(restorer: Restorer, tmp_path: Path) -> None:
    """A cover has its place only where that of a phone's metadata is none."""
    path = with_metadata(tmp_path / "in.mkv", PHONE | PLAIN, cover=True)
    restored = restore_video(path, [], restorer, tmp_path / "out.mp4", everyone=True)
    (line,) = restored.notes
    assert line == (
        "metadata that .mp4 does not hold as it was is left out or changed: "
        "com.apple.quicktime.location.iso6709, com.apple.quicktime.creationdate, com.apple.quicktime.make, "
        "com.apple.quicktime.model, com.android.version"
    )
    assert cover_of(restored.path) == COVER
    after = metadata_of(restored.path)
    assert (after["title"], after["date"], after["artist"]) == ("Grandma’s birthday", "2020-01-02", "Ada")


def test_a_cover_is_kept_or_told(restorer: Restorer, tmp_path: Path) -> None:
    path = with_metadata(tmp_path / "in.mkv", PLAIN, cover=True)
    for suffix in (".mp4", ".mkv", ".mov"):
        restored = restore_video(path, [], restorer, tmp_path / f"out{suffix}", everyone=True)
        kept = (COVER, ()) if suffix != ".mov" else (None, ("the cover cannot be copied and is left out",))
        assert (cover_of(restored.path), restored.notes) == kept
        assert len(read_clip(restored.path)[0]) == 2
    again = restore_video(tmp_path / "out.mp4", [], restorer, tmp_path / "again.mkv", everyone=True)
    assert (cover_of(again.path), again.notes) == (COVER, ())


def test_attached_files_data_and_time_codes_are_kept_or_told(restorer: Restorer, tmp_path: Path) -> None:
    frames = scene([Actor("ada", still(160, 120, 48))], 2)

    def attach(container: Any, stream: Any) -> None:
        container.add_attachment("hand.ttf", "font/ttf", b"letters")

    def measure(container: Any, stream: Any) -> None:
        data = container.add_data_stream("bin_data")
        container.start_encoding()
        packet = av.Packet(b"48.1371")
        packet.stream, packet.pts, packet.dts, packet.time_base = data, 0, 0, Fraction(1, 25)
        container.mux(packet)

    def count(container: Any, stream: Any) -> None:
        stream.metadata["timecode"] = "01:00:00:00"

    def divide(container: Any, stream: Any) -> None:
        chapter = {
            "id": 1,
            "start": 0,
            "end": 40,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": "Cake"},
        }
        container.set_chapters([chapter])

    told = {}
    for name, prepare in (("a.mkv", attach), ("d.mp4", measure), ("t.mov", count), ("c.mp4", divide)):
        path = write_clip(tmp_path / name, frames, prepare=prepare)
        for suffix in (".mkv", ".mp4", ".mov"):
            out = tmp_path / f"{name}-out{suffix}"
            told[name, suffix] = restore_video(path, [], restorer, out, everyone=True).notes
    file = ("an attached file (hand.ttf) cannot be copied and is left out",)
    data = ("data (GoPro MET) cannot be copied and is left out",)
    time_code = ("the time code cannot be copied and is left out",)
    assert [told["a.mkv", suffix] for suffix in (".mkv", ".mp4", ".mov")] == [(), file, file]
    assert [told["d.mp4", suffix] for suffix in (".mkv", ".mp4", ".mov")] == [data, data, data]
    assert [told["t.mov", suffix] for suffix in (".mkv", ".mp4", ".mov")] == [time_code, (), ()]
    assert [told["c.mp4", suffix] for suffix in (".mkv", ".mp4", ".mov")] == [(), (), ()]
    with av.open(str(tmp_path / "a.mkv-out.mkv")) as result:
        (file_kept,) = result.streams.attachments
        assert (file_kept.metadata["filename"], file_kept.data) == ("hand.ttf", b"letters")


def test_one_frame(restorer: Restorer, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "one.mp4", scene([Actor("ada", still(160, 120, 48))], 1))
    restored = restore_video(path, [], restorer, tmp_path / "out.mp4", everyone=True)
    assert len(read_clip(restored.path)[0]) == 1
    assert differences(path, restored.path)[0, 110:130, 150:170].mean() > 3


# --------------------------------------------------------------------------------------------- interlaced

CAMCORDERS = {
    "AVCHD": ("a.mts", "libx264", "yuv420p", {"preset": "veryfast", "crf": "8"}),
    "DVD": ("a.vob", "mpeg2video", "yuv420p", {"qscale": "2", "g": "6"}),
    "4:2:2": ("a.mov", "libx264", "yuv422p10le", {"preset": "veryfast", "crf": "8"}),
    "lossless": ("a.mkv", "ffv1", "yuv420p", {}),
}


def crossing(number: int) -> tuple[float, float, float, float]:
    """Walks by, 3 pixels from moment to moment."""
    return 70 + 3 * number, 120, 48, 0


@pytest.mark.usefixtures("lossless")
@pytest.mark.parametrize("fields", ["tff", "bff"])
@pytest.mark.parametrize("case", CAMCORDERS)
def test_interlaced_frames_become_pictures_of_one_moment(
    case: str, fields: str, restorer: Restorer, tmp_path: Path
) -> None:
    name, codec, pix_fmt, options = CAMCORDERS[case]
    moments = scene([Actor("ada", crossing)], 24)
    path = write_clip(tmp_path / name, woven(moments, fields), codec, pix_fmt, options=options, fields=fields)
    restored = restore_video(
        path, [], restorer, result_path(open_clip(path), tmp_path / "out"), everyone=True
    )
    assert (restored.frames, restored.damage, restored.notes) == (12, None, (restore.INTERLACED,))
    assert restored.faces[0].frames == 12
    (before, times), (after, new_times) = read_clip(path), read_clip(restored.path)
    assert np.diff(new_times) == pytest.approx(np.diff(times), abs=0.002)
    with av.open(str(restored.path)) as result:
        assert not any(frame.interlaced_frame for frame in result.decode(video=0))
    frames = [frame.to_ndarray(format="rgb24") for frame in read_frames(open_clip(path), Damage(), 1)]
    assert len(frames) == len(before) == len(after) == 12
    for number, frame in enumerate(frames):
        pictures = [frame, before[number], *moments[2 * number : 2 * number + 2]]
        made, was, first, second = (image.mean(axis=2) for image in pictures)
        moved = np.abs(first - second) > 20
        assert moved.sum() > 200
        assert np.abs(made - first)[moved].mean() < 0.5 * np.abs(was - first)[moved].mean()


def test_frames_of_which_some_are_interlaced(tmp_path: Path) -> None:
    """Before the first they come at once, afterwards those that are not are left as they are."""
    frames = scene([Actor("ada", crossing)], 12)
    path = write_clip(tmp_path / "a.mkv", frames, "ffv1")
    clip = open_clip(path)
    plain = list(read_frames(clip, Damage(), 1))
    kinds = ["prog"] * 4 + ["tff"] * 3 + ["prog"] * 5
    flagged = [of_fields(frame, kind) for frame, kind in zip(plain, kinds, strict=True)]
    for frame, like in zip(flagged, plain, strict=True):
        frame.pts, frame.time_base = like.pts, like.time_base
    damage = Damage()
    found = list(_progressive(av, clip, iter(flagged), damage, 1))
    assert damage.interlaced
    assert not damage
    assert [frame.pts for frame in found] == [frame.pts for frame in plain]
    same = [np.array_equal(new.to_ndarray(), old.to_ndarray()) for new, old in zip(found, plain, strict=True)]
    assert same == [kind == "prog" for kind in kinds]
    damage = Damage()
    assert list(_progressive(av, clip, iter(plain), damage, 1)) == plain
    assert not damage.interlaced


@pytest.mark.parametrize("count", [1, 2])
def test_few_interlaced_frames(count: int, restorer: Restorer, tmp_path: Path) -> None:
    moments = scene([Actor("ada", crossing)], 2 * count)
    path = write_clip(tmp_path / "a.mkv", woven(moments, "tff"), "ffv1", fields="tff")
    restored = restore_video(path, [], restorer, tmp_path / "out.mkv", everyone=True)
    assert (restored.frames, len(read_clip(restored.path)[0])) == (count, count)


class Stopped(Exception):
    """Ends a run where a test wants it to end."""


def stopped_at(moment: int) -> Callable[[Progress], None]:
    """What is told of progress, and ends the run when it is told for that time, from 1."""
    told = itertools.count(1)

    def progress(_: Progress) -> None:
        if next(told) == moment:
            raise Stopped

    return progress


@pytest.mark.parametrize("moment", [8, 33, 48])
def test_an_interlaced_clip_goes_on_after_an_interruption(
    moment: int, restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first pass, between two stretches of the second, and within one."""
    for module in ("findings", "making"):
        monkeypatch.setattr(f"hime.restoring.video.{module}.CHUNK", 10)
    moments = scene([Actor("ada", lambda number: (70 + 2 * number, 120, 48, 0))], 50)
    path = write_clip(tmp_path / "in.mkv", woven(moments, "tff"), "ffv1", fields="tff")
    whole = restore_video(path, [], restorer, tmp_path / "whole.mkv", everyone=True)
    out = tmp_path / "out.mkv"
    with pytest.raises(Stopped):
        restore_video(path, [], restorer, out, everyone=True, progress=stopped_at(moment))
    again = restore_video(path, [], restorer, out, everyone=True)
    assert again.notes == whole.notes == (restore.INTERLACED,)
    assert differing(read_clip(whole.path)[0], read_clip(out)[0]) == {}


# ------------------------------------------------------------------------------------------------- damage


def test_a_clip_cut_short_is_restored_as_far_as_it_goes(restorer: Restorer, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "whole.mkv", walk(75), options={"preset": "ultrafast", "g": "10"})
    content = path.read_bytes()
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(content[: len(content) * 6 // 10])
    restored = restore_video(broken, [], restorer, tmp_path / "out.mkv")
    assert restored.path == tmp_path / "out.incomplete.mkv" == incomplete(tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()
    assert restored.damage is not None
    assert restored.damage.startswith("does not decode from ")
    assert 20 < restored.frames < 70
    assert len(read_clip(restored.path)[0]) == restored.frames
    with av.open(str(restored.path)) as result:
        comment = result.metadata.get("comment") or result.metadata["COMMENT"]
        assert "Incomplete: does not decode from" in comment


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_video_that_begins_after_its_sound_is_whole(
    suffix: str, restorer: Restorer, tmp_path: Path
) -> None:
    """In Matroska what is said of its duration is when it ends."""
    frames = scene([Actor("ada", still(160, 120, 48))], 12)
    times = [600 + 40 * number for number in range(12)]
    path = write_clip(tmp_path / f"in{suffix}", frames, times=times, time_base=Fraction(1, 1000), sound=True)
    out = result_path(open_clip(path), tmp_path / "out")
    restored = restore_video(path, [], restorer, out, everyone=True)
    assert (restored.damage, restored.path) == (None, out)
    with av.open(str(path)) as source, av.open(str(out)) as result:
        late = [
            file.streams.video[0].start_time * file.streams.video[0].time_base for file in (source, result)
        ]
        sound = [
            file.streams.audio[0].start_time * file.streams.audio[0].time_base for file in (source, result)
        ]
    assert float(late[1] - sound[1]) == pytest.approx(float(late[0] - sound[0]), abs=0.002)
    assert late[1] - sound[1] > 0.5
    cut_short = tmp_path / f"cut{suffix}"
    cut_short.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if suffix == ".mkv":  # whose duration stands at its beginning
        damage = Damage()
        assert len(list(read_frames(open_clip(cut_short), damage))) < 12
        assert damage


def test_a_recording_that_begins_between_key_frames_is_whole(restorer: Restorer, tmp_path: Path) -> None:
    """What comes before the first key frame no player shows."""
    frames = scene([Actor("ada", still(160, 120, 48))], 36)
    options = {"preset": "ultrafast", "g": "12", "sc_threshold": "0"}
    path = write_clip(tmp_path / "in.ts", frames, options=options)
    path.write_bytes(path.read_bytes()[188 * 40 :])
    restored = restore_video(path, [], restorer, tmp_path / "out.mp4", everyone=True)
    assert restored.damage is None
    assert restored.frames == 24


def test_recordings_joined_to_one_go_on(restorer: Restorer, tmp_path: Path) -> None:
    """Times that begin anew, of pictures and of sound, as files that were put together have them."""
    frames = scene([Actor("ada", still(160, 120, 48))], 30)
    part = write_clip(tmp_path / "part.ts", frames, sound=True)
    path = tmp_path / "in.ts"
    path.write_bytes(2 * part.read_bytes())
    restored = restore_video(path, [], restorer, tmp_path / "out.mp4", everyone=True)
    assert (restored.damage, restored.path) == (None, tmp_path / "out.mp4")
    assert restore.JOINED in restored.notes
    times = np.array(read_clip(restored.path)[1])
    assert np.diff(times) == pytest.approx(np.full(59, 0.04), abs=0.002)

    def sound(file: Path) -> list[float]:
        with av.open(str(file)) as opened:
            return [float(each.pts * each.time_base) for each in opened.demux(audio=0) if each.size]

    alone, joined = np.array(sound(part)), np.array(sound(restored.path))
    assert len(joined) == 2 * len(alone)
    assert joined[: len(alone)] == pytest.approx(alone, abs=0.002)
    assert joined[len(alone) + 5 :] == pytest.approx(alone[5:] + 1.2, abs=0.002)


def times(clock: Clock[int], given: Sequence[int | None], step: int) -> list[int]:
    """The times that a clock makes of these."""
    found = [each for number, time in enumerate(given) for each in clock.take(number, time, step)]
    found += clock.rest()
    assert [number for number, _ in found] == [*range(len(given))]
    return [time for _, time in found]


@pytest.mark.parametrize("wrong", [-5000, 0, 990, 5000, 2**33 - 90])
@pytest.mark.parametrize("place", [1, 3, 5])
def test_one_wrong_time_shifts_no_other(wrong: int, place: int) -> None:
    """And makes no joined recording."""
    right = [1100 + 4 * number for number in range(8)]
    given = [wrong if number == place else time for number, time in enumerate(right)]
    shifts: list[int] = []
    assert times(Clock(50, shifts), given, 4) == right
    assert shifts == []


@pytest.mark.parametrize("off", [-5000, -70, 70, 5000])
@pytest.mark.parametrize("count", [1, 2, 5, 7])
@pytest.mark.parametrize("place", [1, 3, 11])
@pytest.mark.parametrize("missing", [None, 1, 2])
def test_wrong_times_in_a_row_shift_no_other(off: int, count: int, place: int, missing: int | None) -> None:
    """As of all the sound that is stored under one time; one item may have no time at all."""
    right = [1100 + 4 * number for number in range(place + count + 6)]
    given: list[int | None] = [*right]
    given[place : place + count] = [time + off for time in right[place : place + count]]
    if missing is not None:
        given[place + missing] = None
    shifts: list[int] = []
    assert times(Clock(50, shifts), given, 4) == right
    assert shifts == []


@pytest.mark.parametrize("count", [9, 40])
def test_after_many_wrong_times_those_from_before_go_on(count: int) -> None:
    right = [1100 + 4 * number for number in range(count + 9)]
    given = [time - 900 if 3 <= number < 3 + count else time for number, time in enumerate(right)]
    shifts: list[int] = []
    assert times(Clock(50, shifts), given, 4) == right
    assert shifts == []


@pytest.mark.parametrize("most", [1, 8, 64])
@pytest.mark.parametrize(("step", "count"), [(4, 15), (4, 30), (100, 2), (100, 7), (100, 30)])
def test_short_recordings_that_begin_anew_are_not_wrong(most: int, step: int, count: int) -> None:
    """The second one passes, while it waits, where the first one ended."""
    once = [step * number for number in range(count)]
    shifts: list[int] = []
    clock: Clock[int] = Clock(50, shifts, most=most)
    assert times(clock, 3 * once, step) == [step * number for number in range(3 * count)]
    assert (clock.wrong, shifts) == ([], [step * count, 2 * step * count])


def test_a_wrong_first_time_shifts_no_other() -> None:
    shifts: list[int] = []
    assert times(Clock(50, shifts), [2**33 - 90, 4, 8, 12], 4) == [0, 4, 8, 12]
    assert shifts == []


def test_times_that_begin_anew_go_on() -> None:
    shifts: list[int] = []
    found = times(Clock(50, shifts), [100, 104, None, 112, 3, 7, 7, 15, 4], 4)
    assert found == [100, 104, 108, 112, 116, 120, 121, 128, 129]
    assert shifts == [113]
    assert times(Clock(50, shifts), [1000, 1004, 3], 4) == [1000, 1004, 1008]
    assert shifts == [113, 1005]


def test_where_nothing_is_times_stay() -> None:
    """Seconds between all frames, or once; subtitles wait for nothing."""
    for given in ([0, 100, 250, 300, 600], [0, 4, 8, 5000, 5004], [0, 4, 8, 5000]):
        assert times(Clock(50, []), given, 4) == given
    sparse: Clock[str] = Clock(50, [], is_dense=False)
    assert [*sparse.take("one", 500, 1)] == [("one", 500)]
    assert [*sparse.take("two", 5000, 1)] == [("two", 5000)]


@pytest.mark.parametrize("least", [0, 1])
def test_one_wrong_time_shifts_no_other_packet(least: int) -> None:
    """Of sound: what comes after it would be late by all that it was wrong."""
    clock: Clock[int] = Clock(50, [], least=least)
    found = times(clock, [1000, 1002, 1004, 0, 1008, 1010, 3, 5], 2)
    assert found == [1000, 1002, 1004, 1006, 1008, 1010, 1012, 1014]


def test_sound_begins_anew_with_its_pictures() -> None:
    for alike, expected in (([1020], 1023), ([1400], 1012), ([], 1012)):
        clock: Clock[int] = Clock(50, [], alike=alike, apart=200)
        assert times(clock, [1000, 1010, 3, 5], 2)[2:] == [expected, expected + 2]


def sent(file: Path, kind: str) -> list[float]:
    """The times of the packets of a file's pictures (``"video"``) or of its sound, in seconds."""
    with av.open(str(file)) as opened:
        packets = opened.demux(**{kind: 0})
        return sorted(float(each.pts * each.time_base) for each in packets if each.pts is not None)


CODES = {"video": b"\0\0\1\xe0", "audio": b"\0\0\1\xc0"}
"""What a packet of a stream begins with in an MPEG transport stream."""


def begins(content: bytes, kind: str) -> list[int]:
    """Where the packets of an MPEG transport stream's pictures or sound begin in it, each cut into parts of
    184 bytes at the most.
    """
    found = []
    for part in range(0, len(content), 188):
        place = part + 4 + (1 + content[part + 4] if content[part + 3] & 0x20 else 0)
        if content[part + 1] & 0x40 and content[place : place + 4] == CODES[kind]:
            found.append(place)
    return found


def with_time(path: Path, clip: Path, number: int, later: int, kind: str) -> Path:
    """The clip, an MPEG transport stream, with the time of one packet of its pictures (``"video"``) or of its
    sound changed by that many units of 1/90000 s, as they are stored: modulo 2³³.
    """
    content = bytearray(clip.read_bytes())
    place = begins(content, kind)[number]
    for at in (place + 9, place + 14)[: 1 + (content[place + 7] >> 6 == 3)]:
        stored = int.from_bytes(content[at : at + 5], "big")
        time = (stored >> 33 & 7) << 30 | (stored >> 17 & 0x7FFF) << 15 | stored >> 1 & 0x7FFF
        time = (time + later) % 2**33
        marked = stored & ~(7 << 33 | 0x7FFF << 17 | 0x7FFF << 1)
        stored = marked | (time >> 30) << 33 | (time >> 15 & 0x7FFF) << 17 | (time & 0x7FFF) << 1
        content[at : at + 5] = stored.to_bytes(5, "big")
    path.write_bytes(content)
    return path


def assert_in_step(restored: RestoredClip, clip: Path) -> None:
    """Nothing is told; the 50 pictures and the sound of the result go on evenly, and as far apart as in the
    clip whose times are right.
    """
    assert (restored.damage, restored.notes) == (None, ())
    pictures, sound = (np.array(sent(restored.path, each)) for each in ("video", "audio"))
    assert np.diff(pictures) == pytest.approx(np.full(49, 0.04), abs=0.002)
    assert np.diff(sound) == pytest.approx(np.full(len(sound) - 1, 1024 / 48000), abs=0.002)
    right = [sent(clip, each)[0] for each in ("video", "audio")]
    assert pictures[0] - sound[0] == pytest.approx(right[0] - right[1], abs=0.05)


@pytest.mark.parametrize(
    ("kind", "number", "seconds"),
    [("video", 10, 60), ("video", 10, 2), ("video", 10, -60), ("video", 0, 60), ("audio", 2, 60)],
)
def test_one_wrong_time_in_a_recording(
    kind: str, number: int, seconds: int, restorer: Restorer, tmp_path: Path
) -> None:
    frames = scene([Actor("ada", still(160, 120, 48))], 50)
    clip = write_clip(tmp_path / "right.ts", frames, sound=True)
    path = with_time(tmp_path / "in.ts", clip, number, 90_000 * seconds, kind)
    assert sent(path, kind) != sent(clip, kind)
    restored = restore_video(path, [], restorer, tmp_path / "out.mp4", everyone=True)
    assert_in_step(restored, clip)


@pytest.mark.parametrize("seconds", [-60, 60])
@pytest.mark.parametrize(("kind", "numbers"), [("video", (20, 21)), ("audio", (2,))])
def test_several_wrong_times_in_a_recording(
    kind: str, numbers: Sequence[int], seconds: int, restorer: Restorer, tmp_path: Path
) -> None:
    """Of two pictures, and of all the sound that is stored under one time."""
    frames, options = scene([Actor("ada", still(80, 60, 48))], 50, 160, 120), {"max_delay": "700000"}
    clip = write_clip(tmp_path / "right.ts", frames, sound=True, container_options=options)
    path = clip
    for number in numbers:
        path = with_time(tmp_path / "in.ts", path, number, 90_000 * seconds, kind)
    assert len({*sent(path, kind)} - {*sent(clip, kind)}) > 1
    restored = restore_video(path, [], restorer, tmp_path / "out.mp4", everyone=True)
    assert_in_step(restored, clip)


@pytest.mark.parametrize("seconds", [-60, 60])
@pytest.mark.parametrize("later", [0, 1, 2])
def test_a_wrong_time_hides_no_damage_beside_it(later: int, seconds: int, tmp_path: Path) -> None:
    """No recording was joined there."""
    noise = np.random.default_rng(0).integers(-25, 25, (50, 120, 160, 3))  # pictures of several parts
    images = np.clip(scene([Actor("ada", still(80, 60, 48))], 50, 160, 120) + noise, 0, 255)
    clip = write_clip(tmp_path / "right.ts", [*images.astype(np.uint8)], "libx265")
    places = begins(clip.read_bytes(), "video")
    number = next(each for each in range(11, 49) if places[each + 1] - places[each] > 5 * 188)
    lost = places[number] // 188 * 188 + 2 * 188
    content = with_time(tmp_path / "in.ts", clip, number + later, 90_000 * seconds, "video").read_bytes()
    (tmp_path / "in.ts").write_bytes(content[:lost] + content[lost + 188 :])
    damage = Damage()
    count = sum(1 for _ in read_frames(open_clip(tmp_path / "in.ts"), damage, 1))
    assert (count, damage.shifts, damage.reason) == (50, [], "a part of it is cut off")
    assert damage.first == pytest.approx(0.04 * number, abs=0.2)


@pytest.mark.parametrize(("codec", "options"), [("libx264", {"bf": "2"}), ("libx265", None)])
def test_a_recording_that_breaks_off_before_another_is_not_whole(
    codec: str, options: dict[str, str] | None, tmp_path: Path
) -> None:
    """Where the last of its frames lack some that are decoded after those that are shown after them."""
    part = write_clip(
        tmp_path / "part.ts", scene([Actor("ada", still(80, 60, 48))], 50, 160, 120), codec, options=options
    )
    content = part.read_bytes()
    for end, is_whole in ((len(content), True), ((len(content) // 188 * 3 // 4 + 7) * 188, False)):
        (tmp_path / "in.ts").write_bytes(content[:end] + content)
        damage = Damage()
        count = sum(1 for _ in read_frames(open_clip(tmp_path / "in.ts"), damage, 1))
        assert len(damage.shifts) == 1
        assert (count == 100) == is_whole == (damage.first is None)
        assert is_whole or damage.first == pytest.approx(0.04 * (count - 50), abs=0.4)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_cut_off_is_told_and_a_joined_recording_is_not(threads: int, tmp_path: Path) -> None:
    part = write_clip(tmp_path / "part.ts", scene([Actor("ada", still(80, 60, 48))], 30, 160, 120))
    content = part.read_bytes()
    half = len(content) // 376 * 188
    lost = content[:half] + content[half + 188 :]
    for name, joined, first in (
        ("whole", 3 * content, None),
        ("lost", lost, (0.2, 1.1)),
        ("joined, lost", 2 * content + lost, (2.5, 3.5)),
    ):
        path = tmp_path / f"{name}.ts"
        path.write_bytes(joined)
        damage = Damage()
        count = sum(1 for _ in read_frames(open_clip(path), damage, threads))
        if first is None:
            assert (count, damage.first) == (90, None)
        else:
            assert damage.first is not None
            assert first[0] < damage.first < first[1]


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_frames_of_another_size_or_shape_are_told(codec: str, restorer: Restorer, tmp_path: Path) -> None:
    """As in recordings of television that change from 4:3 to 16:9."""
    shapes = {"4:3": (160, 120, Fraction(16, 15)), "16:9": (160, 120, Fraction(64, 45)), "HD": (320, 180, 1)}
    for name, (width, height, aspect) in shapes.items():

        def prepare(_: Any, stream: Any, aspect: Any = aspect) -> None:
            stream.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio = aspect

        frames = scene([Actor("ada", still(80, 60, 48))], 25, width, height)
        write_clip(tmp_path / f"{name}.ts", frames, codec, prepare=prepare)
    for first, second in (("4:3", "4:3"), ("4:3", "16:9"), ("4:3", "HD")):
        path = tmp_path / "in.ts"
        path.write_bytes(b"".join((tmp_path / f"{name}.ts").read_bytes() for name in (first, second)))
        restored = restore_video(path, [], restorer, tmp_path / "out.mp4", everyone=True, overwrite=True)
        assert (restore.RESIZED in restored.notes) == (second != first)


def test_the_last_frame_is_shown_as_long_as_it_was(restorer: Restorer, tmp_path: Path) -> None:
    frames = scene([Actor("ada", still(160, 120, 48))], 3)
    path = write_clip(
        tmp_path / "in.gif", frames, "gif", "rgb8", times=[0, 100, 200], time_base=Fraction(1, 100)
    )
    restored = restore_video(path, [], restorer, tmp_path / "out.mp4", everyone=True)
    with av.open(str(path)) as source, av.open(str(restored.path)) as result:
        assert source.duration == 2_040_000
        assert result.duration == pytest.approx(source.duration, abs=2_000)


def test_damage_in_the_middle_is_told_and_the_rest_is_there(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "whole.mp4", walk(60), "mpeg4", options={"g": "5"})
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + len(content) // 3
    content[start : start + 400] = bytes(400)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    damage = Damage()
    count = sum(1 for _ in read_frames(open_clip(broken), damage, 1))
    assert count >= 40
    assert damage.first is None or 0 < damage.first < 2


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\0\0\0\x18ftypmp42" + bytes(200)])
def test_what_is_no_clip(content: bytes, restorer: Restorer, tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(content)
    with pytest.raises(HimeError, match=r"noise\.mp4: not a video that can be read"):
        restore_video(path, [], restorer, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == [path]


def test_a_playlist_opens_no_other_file(tmp_path: Path, walking: Path, restorer: Restorer) -> None:
    path = tmp_path / "list.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{walking}\n", encoding="utf-8")
    with pytest.raises(HimeError, match="not a video that can be read"):
        restore_video(path, [], restorer, tmp_path / "out.mp4")
    path.write_text(f"ffconcat version 1.0\nfile {walking}\n", encoding="utf-8")
    with pytest.raises(HimeError, match="not a video that can be read"):
        restore_video(path, [], restorer, tmp_path / "out.mp4")


# ----------------------------------------------------------------------------------------------- interrupted


def differing(first: Sequence[npt.NDArray[Any]], second: Sequence[npt.NDArray[Any]]) -> dict[int, int]:
    """The frames that are not the same, and in how many values."""
    pairs = enumerate(zip(first, second, strict=True))
    return {number: int((a != b).sum()) for number, (a, b) in pairs if not np.array_equal(a, b)}


@pytest.mark.parametrize("moment", [5, 23, 45, 58, 77])
def test_an_interrupted_run_goes_on_and_gives_the_same_frames(
    moment: int, walking: Path, restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off at any frame of either pass; stretches of 10 frames."""
    for module in ("findings", "making"):
        monkeypatch.setattr(f"hime.restoring.video.{module}.CHUNK", 10)
    whole = restore_video(walking, [], restorer, tmp_path / "whole.mp4").path
    out = tmp_path / "out.mp4"
    with pytest.raises(Stopped):
        restore_video(walking, [], restorer, out, progress=stopped_at(moment))
    assert not out.exists()
    restore_video(walking, [], restorer, out)
    first, second = read_clip(whole), read_clip(out)
    assert first[1] == second[1]
    assert differing(first[0], second[0]) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "whole.mp4"]


def test_with_other_threads_it_goes_on_too(
    walking: Path, restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder keeps those of the beginning: what it writes depends on them."""
    for module in ("findings", "making"):
        monkeypatch.setattr(f"hime.restoring.video.{module}.CHUNK", 10)
    monkeypatch.setattr("hime.processors.usable_threads", lambda: 3)
    whole, out = restore_video(walking, [], restorer, tmp_path / "whole.mp4").path, tmp_path / "out.mp4"
    with pytest.raises(Stopped):
        restore_video(walking, [], restorer, out, progress=stopped_at(65))
    steps: list[str] = []
    limit_threads(1)
    try:
        restore_video(walking, [], restorer, out, progress=lambda step: steps.append(step.step))
    finally:
        limit_threads()
    assert "looking" not in steps
    assert out.read_bytes() == whole.read_bytes()


PROGRAM = """
import sys, hime
from hime.restoring.video import findings, making
findings.CHUNK = making.CHUNK = 10
hime.restore_video(sys.argv[1], [], hime.load("small-x4", threads=1), sys.argv[2])
"""


def test_killed_at_any_moment_it_goes_on(walking: Path, tmp_path: Path) -> None:
    def start(out: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen([sys.executable, "-c", PROGRAM, str(walking), str(out)], env=environment)

    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    begun = time.monotonic()
    assert start(whole).wait() == 0
    took = time.monotonic() - begun
    killed = 0
    for share in (0.5, 0.7, 0.85):
        process = start(out)
        time.sleep(share * took)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
        if out.exists():
            break
    assert killed
    if not out.exists():
        assert start(out).wait() == 0
    first, second = read_clip(whole), read_clip(out)
    assert first[1] == second[1]
    assert differing(first[0], second[0]) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "whole.mp4"]


def test_work_for_another_task_is_not_gone_on_with(
    walking: Path, restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(step: Progress) -> None:
        if step.step == "restoring":
            raise Stopped

    out = tmp_path / "out.mp4"
    with pytest.raises(Stopped):
        restore_video(walking, [], restorer, out, progress=stop)
    passes: list[int] = []
    find = restore.find

    def counted(*arguments: Any) -> Damage:
        passes.append(arguments[1].count("found"))
        return find(*arguments)

    monkeypatch.setattr(restore, "find", counted)
    with pytest.raises(Stopped):
        restore_video(walking, [], restorer, out, progress=stop)
    with pytest.raises(Stopped):
        restore_video(walking, [], restorer, out, references=2, progress=stop)
    with pytest.raises(Stopped):
        restore_video(walking, [], restorer, out, references=2, overwrite=True, progress=stop)
    assert passes == [1, 0, 0]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("earlier", [False, True], ids=["new", "open to all before"])
def test_what_is_found_is_for_the_user_alone(
    earlier: bool, walking: Path, restorer: Restorer, tmp_path: Path
) -> None:
    """Headshots and embeddings of everybody, which an interrupted run leaves."""
    work = tmp_path / ".out.mp4.hime"
    if earlier:
        work.mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        with pytest.raises(Stopped):
            restore_video(walking, [], restorer, tmp_path / "out.mp4", progress=stopped_at(60))
    finally:
        os.umask(before)
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in work.iterdir()}
    assert modes == {"work.json": 0o600, "found-000000.npz": 0o600}


def test_of_two_runs_at_once_the_second_is_refused(walking: Path, restorer: Restorer, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    refused: list[str] = []

    def again(step: Progress) -> None:
        if step.done == 20:
            with pytest.raises(HimeError, match="another run is at work on it; wait") as refusal:
                restore_video(walking, [], restorer, out, overwrite=step.step == "restoring")
            refused.append(str(refusal.value))

    restored = restore_video(walking, [], restorer, out, progress=again)
    assert len(refused) == 2
    assert refused[0].startswith(f"{out}: ")
    assert len(read_clip(restored.path)[0]) == 40
    assert list(tmp_path.iterdir()) == [out]


def test_a_killed_run_keeps_no_other_from_the_work(walking: Path, restorer: Restorer, tmp_path: Path) -> None:
    (tmp_path / ".out.mp4.hime").mkdir()
    (tmp_path / ".out.mp4.hime" / ".lock").touch()
    restore_video(walking, [], restorer, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_nothing_is_joined_that_lacks_frames(
    walking: Path, restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stretches that somebody else has cleared away: what was there before stays."""
    for module in ("findings", "making"):
        monkeypatch.setattr(f"hime.restoring.video.{module}.CHUNK", 10)
    out = tmp_path / "out.mp4"
    out.write_bytes(b"an earlier result")

    def clear(step: Progress) -> None:
        if (step.step, step.done) == ("restoring", 35):
            (tmp_path / ".out.mp4.hime" / "made-000001.npz").unlink()

    with pytest.raises(HimeError, match=r"out\.mp4: only 10 of its 40 frames are there; .* --overwrite"):
        restore_video(walking, [], restorer, out, progress=clear)
    assert out.read_bytes() == b"an earlier result"
    restore_video(walking, [], restorer, out)
    assert len(read_clip(out)[0]) == 40


def test_it_is_a_public_function() -> None:
    assert hime.restore_video is restore_video
