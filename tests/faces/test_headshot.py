"""Headshots cut out of photographs and put back: known turns, borders, and nothing changed by nothing."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from hime.errors import HimeError
from hime.faces.headshot import Frame, add, cut, mask
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image

LANCZOS = PIL.Image.Resampling.LANCZOS


def enlarge(image: Image, factor: int) -> Image:
    height, width = image.shape[:2]
    return np.array(PIL.Image.fromarray(image).resize((width * factor, height * factor), LANCZOS))


def smooth(height: int, width: int, waves: float = 3.0) -> Image:
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = [np.sin(waves * 6.3 * (x * a + y * b)) for a, b in ((1, 0.4), (-0.3, 1), (0.7, -0.7))]
    return np.rint(127.5 + 110 * np.stack(planes, axis=-1)).astype(np.uint8)


def landmarks(centre: tuple[float, float], eyes: float, mouth: float, angle: float) -> np.ndarray:
    """Five points of an upright face around the middle of its eyes, turned."""
    upright = np.array([[-eyes / 2, 0], [eyes / 2, 0], [0, mouth / 2], [-eyes / 3, mouth], [eyes / 3, mouth]])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return upright @ turn.T + centre


@pytest.mark.parametrize("angle", [0.0, 0.3, -1.2, 3.0])
def test_the_frame_is_that_of_the_training_data(angle: float) -> None:
    frame = Frame.of(landmarks((100, 80), eyes=40, mouth=40, angle=angle))
    assert frame.side == pytest.approx(160)
    assert frame.angle == pytest.approx(angle)
    assert frame.centre == pytest.approx((100 - 4 * math.sin(angle), 80 + 4 * math.cos(angle)))
    long_face = Frame.of(landmarks((100, 80), eyes=20, mouth=50, angle=angle))
    assert long_face.side == pytest.approx(180)


def test_corners_and_the_way_from_the_crop() -> None:
    frame = Frame((50.0, 40.0), 20.0, math.pi / 2)  # a quarter clockwise: what was right is below
    assert np.allclose(frame.corners(), [[60, 30], [60, 50], [40, 50], [40, 30]])
    matrix = frame.from_crop(10)
    assert np.allclose(matrix @ (4.5, 4.5, 1), (50, 40, 1))
    assert np.allclose(matrix @ (9.5, 4.5, 1), (50, 50, 1))
    upright = Frame((50.0, 40.0), 20.0, 0.0)
    assert np.allclose(upright.scaled(4).corners() + 0.5, 4 * (upright.corners() + 0.5))


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.eye(3)])
def test_no_frame_of_no_face(points: np.ndarray) -> None:
    with pytest.raises(HimeError, match="five different points"):
        Frame.of(points)


def test_a_frame_on_whole_pixels_cuts_exactly() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    crop = cut(image, Frame((25.5, 30.5), 20.0, 0.0), 20)
    assert np.abs(crop.astype(int) - image[21:41, 16:36]).max() <= 1
    turned = cut(image, Frame((25.5, 30.5), 20.0, math.pi / 2), 20)
    assert np.abs(turned.astype(int) - np.rot90(image[21:41, 16:36])).max() <= 1


@pytest.mark.parametrize(("side", "size"), [(64.0, 64), (64.0, 16), (200.0, 33), (41.3, 41), (30.0, 70)])
@pytest.mark.parametrize("angle", [0.0, 0.2, -0.8])
def test_a_cut_shows_what_lies_there(side: float, size: int, angle: float) -> None:
    """Of a picture whose values are the coordinates, each pixel of a headshot says where it was taken."""
    x, y = np.meshgrid(np.arange(256), np.arange(250))
    image = np.stack([x, y[::-1], y], axis=-1).astype(np.uint8)
    frame = Frame((126.0, 121.0), side, angle)
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    expected = np.einsum("ij,jhw->hwi", frame.from_crop(size), np.stack([columns, rows, np.ones_like(rows)]))
    crop = cut(image, frame, size)[:, :, [0, 2]]
    inside = slice(2, -2)  # the antialiasing kernel is cut off at the headshot's border
    assert np.abs(crop[inside, inside] - expected[inside, inside, :2]).max() < 1.5


def test_shrinking_is_antialiased() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, ::2] = 255
    for side, size in ((300, 20), (300, 100), (90, 50)):
        assert np.ptp(cut(image, Frame((200.0, 200.0), side, 0.1), size)) < 40


def test_beyond_the_picture_its_border_is_repeated() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, :5] = (200, 100, 50)
    crop = cut(image, Frame((0.0, 20.0), 20.0, 0.0), 20)
    assert np.abs(crop[:, :11] - np.array([200, 100, 50])).max() <= 2
    assert cut(image, Frame((-500.0, 900.0), 20.0, 0.3), 16).shape == (16, 16, 3)
    assert cut(image[:1, :1], Frame((0.0, 0.0), 50.0, 0.3), 16).shape == (16, 16, 3)
    with pytest.raises(HimeError, match="0×0"):
        cut(image, Frame((0.0, 20.0), 20.0, 0.0), 0)


def test_a_large_picture_costs_as_little_as_a_small_one() -> None:
    image = np.zeros((6000, 8000, 3), np.uint8)
    start = time.perf_counter()
    cut(image, Frame((4000.0, 3000.0), 100.0, 0.1), 100)
    assert time.perf_counter() - start < 1


# ------------------------------------------------------------------------------------------ and back

FRAMES = [
    Frame((60.0, 50.0), 41.3, 0.0),
    Frame((60.0, 50.0), 64.0, 0.35),
    Frame((3.0, 96.0), 33.4, -0.6),  # at the picture's border
    Frame((118.0, 2.0), 90.0, 1.5),
    Frame((61.2, 49.7), 16.4, 3.0),
]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("scale", [4, 8])
def test_nothing_restored_changes_nothing(frame: Frame, scale: int) -> None:
    """A model that only enlarges, by the same method or another, gives the plain enlargement back."""
    image = smooth(100, 120, waves=0.5)
    plain = enlarge(image, scale)
    lr = cut(image, frame, round(frame.side))
    upscaled = enlarge(lr, scale)
    canvas = plain.copy()
    add(canvas, np.zeros(upscaled.shape, np.float32), frame.scaled(scale))
    assert np.array_equal(canvas, plain)
    size = scale * lr.shape[0]
    bicubic = resize(lr, size, size)
    add(canvas, bicubic.astype(np.float32) - upscaled, frame.scaled(scale))
    assert np.abs(canvas.astype(int) - plain).max() <= 2


@pytest.mark.parametrize("frame", FRAMES)
def test_outside_of_the_frame_nothing_changes(frame: Frame) -> None:
    plain = smooth(400, 480)
    canvas = plain.copy()
    scaled = frame.scaled(4)
    add(canvas, np.full((128, 128, 3), 50, np.float32), scaled)
    y, x = np.nonzero((canvas != plain).any(axis=-1))
    turn = np.array([[math.cos(-frame.angle), -math.sin(-frame.angle)], [0, 0]])
    turn[1] = -turn[0, 1], turn[0, 0]
    places = (np.stack([x, y], axis=-1) - scaled.centre) @ turn.T / (scaled.side / 2)
    assert len(places) > 0
    assert np.abs(places).max() < 1


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_restored_comes_to_where_it_belongs(frame: Frame, dtype: type) -> None:
    """The truth, cut out of the large picture, put over the enlarged small one, is the truth there."""
    truth = smooth(800, 960, waves=25)
    small = np.array(PIL.Image.fromarray(truth).reduce(8))
    levels = 1 if dtype is np.uint8 else 257
    canvas = enlarge(small, 8).astype(dtype) * levels
    lr = cut(small, frame, round(frame.side))
    size = 8 * lr.shape[0]
    scaled = frame.scaled(8)
    before = np.abs(canvas / levels - truth)
    add(canvas, cut(truth, scaled, size).astype(np.float32) - enlarge(lr, 8), scaled)
    after = np.abs(canvas / levels - truth)
    face = mask(scaled, (0, 0), (800, 960)) == 1
    edge = 20  # where the small picture itself knows nothing of what lies beyond
    face[:edge] = face[-edge:] = face[:, :edge] = face[:, -edge:] = False
    assert face.any()
    assert after[face].mean() < 0.35 * before[face].mean()
    assert after[face].mean() < 3


def test_a_restored_face_larger_than_its_place_is_reduced() -> None:
    canvas = np.full((100, 100, 3), 100, np.uint8)
    fine = np.indices((128, 128)).sum(axis=0) % 2 * 80.0
    add(
        canvas,
        np.repeat(fine[:, :, np.newaxis], 3, axis=2).astype(np.float32),
        Frame((50.0, 50.0), 32.0, 0.2),
    )
    assert np.abs(canvas[42:59, 42:59] - 140.0).max() <= 1


def test_levels_do_not_run_over() -> None:
    canvas = np.full((40, 40, 3), 250, np.uint8)
    add(canvas, np.full((20, 20, 3), 90, np.float32), Frame((20.0, 20.0), 20.0, 0.0))
    assert (canvas[20, 20] == 255).all()
    add(canvas, np.full((20, 20, 3), -400, np.float32), Frame((20.0, 20.0), 20.0, 0.0))
    assert (canvas[20, 20] == 0).all()


def test_the_mask_fades_smoothly() -> None:
    faded = mask(Frame((63.5, 63.5), 128.0, 0.0), (0, 0), (140, 140))
    assert faded[20:108, 63].min() == 1
    assert faded[40:88, 40:88].min() == 1
    assert faded[:, 128:].max() == faded[128:].max() == 0
    assert max(np.abs(np.diff(faded, axis=axis)).max() for axis in (0, 1)) < 0.12


def test_neighbours_share_and_strangers_lose_nothing() -> None:
    left, right = Frame((60.0, 60.0), 80.0, 0.2), Frame((110.0, 64.0), 70.0, -0.1)
    shape = (130, 180)
    first, second = mask(left, (0, 0), shape, others=[right]), mask(right, (0, 0), shape, others=[left])
    both = np.minimum(mask(left, (0, 0), shape), mask(right, (0, 0), shape)) == 1
    assert both.any()
    assert np.allclose((first + second)[both], 1, atol=1e-5)
    apart = mask(left, (0, 0), shape, strangers=[right])
    assert (apart[40:90, 95:130] == 0).all()
    assert apart[60, 60] == 1
    assert np.array_equal(
        mask(left, (0, 0), shape, strangers=[Frame((170.0, 64.0), 30.0, 0.0)])[:, :100],
        mask(left, (0, 0), shape)[:, :100],
    )
    assert np.array_equal(mask(left, (20, 30), (50, 60)), mask(left, (0, 0), shape)[30:80, 20:80])


def test_a_real_photo_in_and_out(shared: Path) -> None:
    photo = read_image(shared / "photos" / "lisa" / "lisa1.jpg")
    small = resize(photo, 200, 150)
    plain = enlarge(small, 4)
    for angle in (0.0, 0.15, -0.4):
        frame = Frame((75.3, 90.8), 63.7, angle)
        lr = cut(small, frame, 64)
        canvas = plain.copy()
        add(canvas, resize(lr, 256, 256).astype(np.float32) - resize(lr, 256, 256), frame.scaled(4))
        assert np.array_equal(canvas, plain)
        add(canvas, enlarge(lr, 4).astype(np.float32) - cut(plain, frame.scaled(4), 256), frame.scaled(4))
        assert np.abs(canvas.astype(int) - plain).mean() < 1
