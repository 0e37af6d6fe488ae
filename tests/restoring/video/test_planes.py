"""Parts of frames in RGB, and changes that touch nothing else."""

from __future__ import annotations

import av
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hime.faces.headshot import Frame, cut
from hime.restoring.video.planes import Planes, Turn, is_planar
from hime.restoring.video.reading import _planar_format
from restoring.video.scenes import background

FORMATS = ("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuvj420p", "yuv420p10le", "yuv444p12le")


def frame_of(pix_fmt: str, width: int = 64, height: int = 48) -> av.VideoFrame:
    image = background(width, height)
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_rgb_is_what_libav_makes_of_it(pix_fmt: str, size: tuple[int, int]) -> None:
    frame = frame_of(pix_fmt, *size)
    planes = Planes(frame)
    assert (planes.width, planes.height) == size
    found = planes.rgb(planes.around(0, 0, *size)).astype(int)
    expected = frame.to_ndarray(format="rgb24").astype(int)
    assert np.abs(found - expected).mean() < 2
    part = planes.around(9.5, 7.2, 20.1, 30)
    assert np.abs(planes.rgb(part).astype(int) - found[part[1] : part[3], part[0] : part[2]])[2:-2].max() <= 2


def test_standard_definition_is_not_high_definition() -> None:
    for matrix, name in ((1, "ITU709"), (6, "ITU601")):
        image = np.zeros((32, 32, 3), np.uint8)
        image[..., 1] = 200
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame = frame.reformat(format="yuv444p", dst_colorspace=name)
        frame.colorspace = matrix
        planes = Planes(frame)
        assert np.abs(planes.rgb((0, 0, 32, 32)).astype(int) - image).max() <= 3


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_a_change_is_added_and_nothing_else_changes(pix_fmt: str) -> None:
    frame, untouched = frame_of(pix_fmt), frame_of(pix_fmt)
    planes, before = Planes(frame), Planes(untouched)
    part = planes.around(17, 9, 40, 30)
    left, top, right, bottom = part
    change = np.zeros((bottom - top, right - left, 3), np.float32)
    change[:] = (20, -10, 30)
    planes.add((left, top), change)
    difference = planes.rgb((0, 0, 64, 48)).astype(int) - before.rgb((0, 0, 64, 48))
    inner = difference[top + 4 : bottom - 4, left + 4 : right - 4]
    assert np.abs(inner - (20, -10, 30)).max() <= 3
    across, down = planes.step
    for number, (new, old) in enumerate(zip(planes.planes, before.planes, strict=True)):
        changed = np.argwhere(new != old)
        steps = (down, across) if number else (1, 1)
        assert (changed >= (top // steps[0], left // steps[1])).all()
        assert (changed < (bottom / steps[0], right / steps[1])).all()
    planes.add((left, top), -change)
    for new, old in zip(planes.planes, before.planes, strict=True):
        assert np.abs(new.astype(int) - old).max() <= 1


def test_a_change_beyond_the_border_is_cut() -> None:
    planes = Planes(frame_of("yuv420p", 63, 47))
    part = planes.around(50, 40, 90, 80)
    assert part[2:] == (63, 47)
    planes.add(part[:2], np.full((part[3] - part[1], part[2] - part[0], 3), 9, np.float32))


def matrices() -> list[tuple[int, ...]]:
    one = 1 << 16
    turned = [(one, 0, 0, one), (0, one, -one, 0), (-one, 0, 0, -one), (0, -one, one, 0)]
    mirrored = [(-one, 0, 0, one), (one, 0, 0, -one), (0, one, one, 0), (0, -one, -one, 0)]
    return [(a, b, 0, c, d, 0, 0, 0, 1 << 30) for a, b, c, d in (*turned, *mirrored)]


@pytest.mark.parametrize("matrix", matrices())
def test_a_display_matrix_is_obeyed(matrix: tuple[int, ...]) -> None:
    """The corner that the matrix takes to the upper left is the upper left one."""
    stored = np.arange(6).reshape(2, 3)
    shown = Turn.of(matrix).upright(stored)
    a, b, _, c, d, *_ = (np.sign(value) for value in matrix)
    places = {(x, y): (a * x + c * y, b * x + d * y) for x in range(3) for y in range(2)}
    left = min(x for x, _ in places.values())
    top = min(y for _, y in places.values())
    for (x, y), (u, v) in places.items():
        assert shown[v - top, u - left] == stored[y, x]


@given(st.sampled_from(matrices()), st.integers(0, 20), st.integers(0, 20))
def test_parts_of_turned_frames_are_parts_of_the_turned_picture(
    matrix: tuple[int, ...], left: int, top: int
) -> None:
    frame = frame_of("yuv444p", 40, 32)
    turn = Turn.of(matrix)
    planes = Planes(frame, turn)
    whole = turn.upright(Planes(frame).rgb((0, 0, 40, 32)))
    part = planes.around(left, top, left + 9, top + 7)
    assert np.array_equal(planes.rgb(part), whole[part[1] : part[3], part[0] : part[2]])


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("side", [20.0, 55.0, 150.0])
def test_a_sample_is_the_cut_out(pix_fmt: str, side: float) -> None:
    planes = Planes(frame_of(pix_fmt, 240, 200))
    frame = Frame((101.3, 88.7), side, 0.3)
    exact = cut(planes.rgb((0, 0, 240, 200)), frame, 40).astype(int)
    assert np.abs(planes.sample(frame, 40) - exact).mean() < 2.5
    grey = np.asarray(PIL.Image.fromarray(exact.astype(np.uint8)).convert("L"), int)
    luma = planes.sample_luma(frame, 40).astype(int)
    assert np.corrcoef(luma.ravel(), grey.ravel())[0, 1] > 0.98


def test_only_planes_apart_are_taken() -> None:
    taken = {name: is_planar(av.VideoFormat(name, 16, 16)) for name in ("nv12", "rgb24", "gbrp", "gray")}
    assert not any(taken.values())
    assert all(is_planar(av.VideoFormat(name, 16, 16)) for name in FORMATS)


@pytest.mark.parametrize(
    ("pix_fmt", "expected"),
    [
        ("yuva444p16le", "yuv444p12le"),
        ("yuva422p", "yuv422p"),
        ("yuyv422", "yuv422p"),
        ("p010le", "yuv420p10le"),
        ("p210le", "yuv422p10le"),
        ("p416le", "yuv444p12le"),
        ("yuv420p10be", "yuv420p10le"),
        ("xv30le", "yuv444p10le"),
        ("gray", "yuv420p"),
        ("gray12le", "yuv420p12le"),
        ("ya8", "yuv420p"),
        ("bgra", "yuv420p"),
        ("gbrp10le", "yuv420p10le"),
        ("pal8", "yuv420p"),
    ],
)
def test_other_formats_keep_their_chroma_and_their_bits(pix_fmt: str, expected: str) -> None:
    assert _planar_format(av.VideoFormat(pix_fmt, 16, 16)) == expected
    assert is_planar(av.VideoFormat(expected, 16, 16))
