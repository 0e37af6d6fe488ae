"""The image contract: what files may hold, what sizes do, what crosses to the networks."""

from __future__ import annotations

import functools
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import ExifTags, ImageCms

from hime.errors import HimeError
from hime.pictures.arrays import (
    Image,
    area_reduce,
    check_image,
    downscale,
    from_planes,
    resize,
    to_planes,
    upscale,
)
from hime.pictures.formats import images_in
from hime.pictures.reading import read_image, read_target
from hime.pictures.sheet import contact_sheet
from hime.pictures.writing import write_image

FORMATS = ["PNG", "JPEG", "WEBP"]
PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)))


@pytest.fixture(scope="session")
def photo(demo_people: Path) -> Image:
    """A rendered face, 256×256."""
    return read_image(demo_people / "ada" / "0.webp")


def patches(*colours: Any, dtype: Any = np.uint8) -> np.ndarray:
    """16×16 patches of one colour side by side, so that JPEG's blocks keep them apart."""
    return np.concatenate([np.full((16, 16, *np.shape(colour)), colour, dtype) for colour in colours], axis=1)


def encoded(picture: PIL.Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def read_bytes(folder: Path, data: bytes, name: str = "picture") -> Image:
    path = folder / name
    path.write_bytes(data)
    return read_image(path)


def png(header: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG put together by hand, for what Pillow does not write."""
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


def assert_one_line(error: pytest.ExceptionInfo[HimeError], path: Path) -> None:
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert ";" in message, "what is wrong; what to do about it"


# --------------------------------------------------------------------------------- reading: formats


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.txt", "a"])
def test_format_is_told_by_content(tmp_path: Path, photo: Image, form: str, name: str) -> None:
    image = read_bytes(tmp_path, encoded(PIL.Image.fromarray(photo), form, quality=95), name)
    assert image.dtype == np.uint8
    assert image.shape == (256, 256, 3)
    assert image.flags.writeable
    assert np.abs(image.astype(int) - photo).mean() < 3


@pytest.mark.parametrize("form", ["ICO", "PCX", "SGI"])
def test_other_formats_are_refused_under_any_name(tmp_path: Path, photo: Image, form: str) -> None:
    path = tmp_path / "picture.png"
    PIL.Image.fromarray(photo).save(path, form)
    with pytest.raises(HimeError, match="is not a PNG, JPEG") as raised:
        read_image(path)
    assert_one_line(raised, path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"these are words", "is not a PNG, JPEG"),
        (b"\x89PNG\r\n\x1a\n", "truncated or damaged"),
        (b"\xff\xd8\xff\xe0 words", "truncated or damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 words", "truncated or damaged"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "is not a PNG, JPEG"),
    ],
)
def test_files_that_are_no_pictures_are_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(HimeError, match=complaint) as raised:
        read_image(path)
    assert_one_line(raised, path)


def test_paths_that_are_no_readable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HimeError, match="no such file") as raised:
        read_image(tmp_path / "nowhere.png")
    assert_one_line(raised, tmp_path / "nowhere.png")
    with pytest.raises(HimeError, match="is a folder") as raised:
        read_image(tmp_path)
    assert_one_line(raised, tmp_path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything"
)
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(b"")
    path.chmod(0)
    with pytest.raises(HimeError, match="may not be read") as raised:
        read_image(path)
    assert_one_line(raised, path)


def read_or_refuse(path: Path) -> Image | None:
    """The picture, or None where it is refused as it should be; any other exception is a fault."""
    refusal = None
    try:
        return read_image(path)
    except HimeError as error:
        refusal = str(error)
    assert refusal.startswith(f"{path}: ")
    assert "\n" not in refusal
    return None


ENCODINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "jpeg": ("JPEG", {}),
    "progressive jpeg": ("JPEG", {"progressive": True}),
    "webp": ("WEBP", {}),
    "lossless webp": ("WEBP", {"lossless": True}),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(data=st.data())
def test_a_truncated_file_is_refused_or_whole(
    tmp_path_factory: pytest.TempPathFactory, photo: Image, encoding: str, data: st.DataObject
) -> None:
    form, options = ENCODINGS[encoding]
    whole = encoded(PIL.Image.fromarray(photo[64:128, 64:128]), form, **options)
    path = tmp_path_factory.getbasetemp() / f"truncated {encoding}"
    path.write_bytes(whole)
    complete = read_image(path)
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole) - 1))])
    image = read_or_refuse(path)
    # PNG's last 22 bytes are checksums and the end mark: without them every pixel is still there.
    assert image is None or np.array_equal(image, complete)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_in_one_piece(
    tmp_path_factory: pytest.TempPathFactory, photo: Image, encoding: str, data: st.DataObject
) -> None:
    form, options = ENCODINGS[encoding]
    damaged = bytearray(encoded(PIL.Image.fromarray(photo[64:128, 64:128]), form, **options))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged {encoding}"
    path.write_bytes(damaged)
    image = read_or_refuse(path)
    if image is not None:
        check_image(image)


# ------------------------------------------------------------------------------- reading: the limit


@pytest.mark.parametrize("form", FORMATS)
def test_limit_on_pixels(tmp_path: Path, form: str) -> None:
    path = tmp_path / "picture"
    path.write_bytes(encoded(PIL.Image.new("RGB", (40, 30)), form))
    assert read_image(path, max_pixels=1200).shape == (30, 40, 3)
    with pytest.raises(
        HimeError, match=r"too large \(40×30 pixels, the limit is 0\.001199 megapixels\)"
    ) as raised:
        read_image(path, max_pixels=1199)
    assert_one_line(raised, path)


def test_limit_is_checked_before_decoding(tmp_path: Path) -> None:
    headers = {
        "png": png(struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0), (b"IDAT", b"")),
        "jpeg": encoded(PIL.Image.new("RGB", (16, 16)), "JPEG").replace(
            b"\x08\x00\x10\x00\x10", b"\x08\xff\xff\xff\xff", 1
        ),
        "webp": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2,
    }
    for name, header in headers.items():
        path = tmp_path / name
        path.write_bytes(header)
        with pytest.raises(HimeError, match=r"too large|truncated") as raised:
            read_image(path)
        assert_one_line(raised, path)
        assert name == "webp" or "64 megapixels" in str(raised.value)


def test_default_limit_takes_64_megapixels(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(struct.pack(">IIBBBBB", 8001, 8000, 8, 0, 0, 0, 0), (b"IDAT", b"")))
    with pytest.raises(HimeError, match="8001×8000"):
        read_image(path)
    path.write_bytes(png(struct.pack(">IIBBBBB", 8000, 8000, 8, 0, 0, 0, 0), (b"IDAT", b"")))
    with pytest.raises(HimeError, match="truncated"):
        read_image(path)


# --------------------------------------------------------------------- reading: orientation, frames


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, form: str, orientation: int) -> None:
    upright = np.concatenate([patches((250, 5, 5), (5, 250, 5)), patches((5, 5, 250), (250, 250, 250))])
    upright = np.concatenate([upright, patches((5, 5, 5), (128, 128, 128))])
    # How a camera held in each way stores the picture: EXIF says where its first row and column lie.
    stored: Callable[[Image], Image] = {
        1: lambda image: image,
        2: lambda image: image[:, ::-1],
        3: lambda image: image[::-1, ::-1],
        4: lambda image: image[::-1],
        5: lambda image: image.transpose(1, 0, 2),
        6: lambda image: image.transpose(1, 0, 2)[::-1],
        7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
        8: lambda image: image.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture = PIL.Image.fromarray(np.ascontiguousarray(stored(upright)))
    options = {} if form == "PNG" else {"quality": 95}
    image = read_bytes(tmp_path, encoded(picture, form, exif=exif, **options))
    assert image.shape == upright.shape
    centres = (slice(8, None, 16), slice(8, None, 16))
    assert np.abs(image[centres].astype(int) - upright[centres]).max() <= 12


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0", b"Exif\0\0words", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
def test_damaged_exif_is_passed_over(tmp_path: Path, exif: bytes) -> None:
    picture = PIL.Image.fromarray(patches((200, 100, 50)))
    image = read_bytes(tmp_path, encoded(picture, "JPEG", exif=exif, quality=95))
    assert np.abs(image.astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_animations_are_refused(tmp_path: Path, form: str) -> None:
    frames = [PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    path = tmp_path / "moving"
    path.write_bytes(encoded(frames[0], form, save_all=True, append_images=frames[1:]))
    with pytest.raises(HimeError, match="an animation") as raised:
        read_image(path)
    assert_one_line(raised, path)


def test_of_a_camera_file_with_two_pictures_the_first_is_read(tmp_path: Path) -> None:
    first, second = (PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    image = read_bytes(tmp_path, encoded(first, "MPO", save_all=True, append_images=[second]))
    assert np.abs(image.astype(int) - (255, 0, 0)).max() <= 3


# ------------------------------------------------------------------------------ reading: colours


def test_grey_palette_and_bilevel(tmp_path: Path) -> None:
    grey = PIL.Image.fromarray(patches(0, 100, 255))
    colour = PIL.Image.fromarray(patches((10, 200, 30), (250, 0, 90)))
    assert np.array_equal(
        read_bytes(tmp_path, encoded(grey, "PNG")), patches((0, 0, 0), (100, 100, 100), (255, 255, 255))
    )
    assert np.array_equal(
        read_bytes(tmp_path, encoded(grey.convert("1", dither=PIL.Image.Dither.NONE), "PNG")),
        patches((0, 0, 0), (0, 0, 0), (255, 255, 255)),
    )
    assert np.array_equal(read_bytes(tmp_path, encoded(colour.quantize(4), "PNG")), np.asarray(colour))
    assert np.abs(read_bytes(tmp_path, encoded(grey, "JPEG")).astype(int)[:, 24] - 100).max() <= 1


def test_alpha_is_composited_over_white(tmp_path: Path) -> None:
    expected = patches((200, 0, 0), (228, 127, 127), (255, 255, 255))
    rgba = PIL.Image.fromarray(patches((200, 0, 0, 255), (200, 0, 0, 128), (200, 0, 0, 0)), "RGBA")
    assert np.abs(read_bytes(tmp_path, encoded(rgba, "PNG")).astype(int) - expected).max() <= 1
    lossless = encoded(rgba, "WEBP", lossless=True, exact=True)
    assert np.abs(read_bytes(tmp_path, lossless).astype(int) - expected).max() <= 1
    grey = PIL.Image.fromarray(patches((100, 255), (100, 0)), "LA")
    assert np.array_equal(
        read_bytes(tmp_path, encoded(grey, "PNG")), patches((100, 100, 100), (255, 255, 255))
    )


def test_transparent_colours_are_white(tmp_path: Path) -> None:
    palette = PIL.Image.fromarray(patches((10, 200, 30), (250, 0, 90))).quantize(4)
    hidden = palette.getpixel((0, 0))
    assert np.array_equal(
        read_bytes(tmp_path, encoded(palette, "PNG", transparency=hidden)),
        patches((255, 255, 255), (250, 0, 90)),
    )
    grey = PIL.Image.fromarray(patches(30, 60))
    assert np.array_equal(
        read_bytes(tmp_path, encoded(grey, "PNG", transparency=30)), patches((255, 255, 255), (60, 60, 60))
    )


def test_16_bits_a_channel(tmp_path: Path) -> None:
    grey = PIL.Image.fromarray(patches(0, 257, 25700, 25700 + 129, 65535, dtype=np.uint16))
    image = read_bytes(tmp_path, encoded(grey, "PNG"))
    assert image[0, ::16].tolist() == [[0] * 3, [1] * 3, [100] * 3, [101] * 3, [255] * 3]
    rows = b"".join(b"\0" + struct.pack(">6H", 0, 25700, 65535, 257, 514, 771) for _ in range(2))
    colour = png(struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0), (b"IDAT", zlib.compress(rows)))
    assert read_bytes(tmp_path, colour).tolist() == [[[0, 100, 255], [1, 2, 3]]] * 2


def test_cmyk(tmp_path: Path) -> None:
    cmyk = PIL.Image.fromarray(patches((0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)), "CMYK")
    image = read_bytes(tmp_path, encoded(cmyk, "JPEG", quality=95))
    assert np.abs(image[8, 8::16].astype(int) - [(255, 255, 255), (0, 255, 255), (0, 0, 0)]).max() <= 4


@functools.cache  # it holds the time
def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """SRGB with the names of its red and blue primaries exchanged: what is stored red, it says, is blue."""
    return srgb_profile().replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")


def linear_grey_profile() -> bytes:
    """The smallest grey profile (ICC.1:2001): the white point, and a tone curve of gamma 1."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1, 0.8249)))
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    tags = (
        struct.pack(">I", 2) + struct.pack(">4sII", b"wtpt", 156, 20) + struct.pack(">4sII", b"kTRC", 176, 12)
    )
    body = tags + white + curve
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + body


@pytest.mark.parametrize("form", FORMATS)
def test_colour_profile_is_converted_to_srgb(tmp_path: Path, form: str) -> None:
    stored = PIL.Image.fromarray(patches((255, 0, 0), (0, 255, 0), (128, 128, 128)))
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {"quality": 95}
    image = read_bytes(tmp_path, encoded(stored, form, icc_profile=swapped_profile(), **options))
    assert np.abs(image[8, 8::16].astype(int) - [(0, 0, 255), (0, 255, 0), (128, 128, 128)]).max() <= 3
    image = read_bytes(tmp_path, encoded(stored, form, icc_profile=srgb_profile(), **options))
    assert np.abs(image[8, 8::16].astype(int) - np.asarray(stored)[8, 8::16]).max() <= 3


def test_colour_profile_of_grey_alpha_and_palette(tmp_path: Path) -> None:
    linear, swapped = linear_grey_profile(), swapped_profile()
    grey = PIL.Image.fromarray(patches(0, 55, 255))  # 55 / 255 of the light is level 128 of sRGB
    image = read_bytes(tmp_path, encoded(grey, "PNG", icc_profile=linear))
    assert np.abs(image[8, 8::16].astype(int) - [[0], [128], [255]]).max() <= 1
    with_alpha = PIL.Image.fromarray(patches((55, 255), (55, 0)), "LA")
    image = read_bytes(tmp_path, encoded(with_alpha, "PNG", icc_profile=linear))
    assert np.abs(image[8, 8::16].astype(int) - [[128], [255]]).max() <= 1
    rgba = PIL.Image.fromarray(patches((255, 0, 0, 255), (255, 0, 0, 0)), "RGBA")
    image = read_bytes(tmp_path, encoded(rgba, "PNG", icc_profile=swapped))
    assert np.abs(image[8, 8::16].astype(int) - [(0, 0, 255), (255, 255, 255)]).max() <= 1
    palette = PIL.Image.fromarray(patches((255, 0, 0), (0, 255, 0))).quantize(4)
    image = read_bytes(tmp_path, encoded(palette, "PNG", icc_profile=swapped))
    assert np.abs(image[8, 8::16].astype(int) - [(0, 0, 255), (0, 255, 0)]).max() <= 1


@pytest.mark.parametrize("profile", [b"words", linear_grey_profile(), swapped_profile()[:300]])
def test_profile_that_does_not_fit_is_passed_over(tmp_path: Path, profile: bytes) -> None:
    stored = patches((255, 0, 0), (10, 20, 30))
    image = read_bytes(tmp_path, encoded(PIL.Image.fromarray(stored), "PNG", icc_profile=profile))
    assert np.array_equal(image, stored)


# --------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.PNG"])
@given(image=PICTURES)
def test_png_and_webp_keep_every_value(
    tmp_path_factory: pytest.TempPathFactory, name: str, image: Image
) -> None:
    path = tmp_path_factory.getbasetemp() / "lossless" / name
    assert write_image(path, image) == path
    assert np.array_equal(read_image(path), image)


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg"])
def test_jpeg_is_close(tmp_path: Path, photo: Image, name: str) -> None:
    path = write_image(tmp_path / name, photo)
    assert path.read_bytes().startswith(b"\xff\xd8\xff")
    assert np.abs(read_image(path).astype(int) - photo).mean() < 1.5


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path, photo: Image) -> None:
    for name in ("a.gif", "a"):
        with pytest.raises(HimeError, match="cannot write") as raised:
            write_image(tmp_path / name, photo)
        assert_one_line(raised, tmp_path / name)
    with pytest.raises(HimeError, match="uint8 array of shape"):
        write_image(tmp_path / "a.png", photo.astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(HimeError, match="has room for 16383 a side") as raised:
        write_image(tmp_path / "wide.webp", np.zeros((1, 20_000, 3), np.uint8))
    assert_one_line(raised, tmp_path / "wide.webp")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(HimeError, match="cannot write there"):
        write_image(tmp_path / "folder.png", photo)


def test_images_in_lists_pictures_sorted(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.webp", "d.jpeg", "e.gif", ".f.png", "g"):
        (tmp_path / name).touch()
    (tmp_path / "h.png").mkdir()
    assert [path.name for path in images_in(tmp_path)] == ["a.JPG", "b.png", "c.webp", "d.jpeg"]
    for folder in (tmp_path / "nowhere", tmp_path / "b.png"):
        with pytest.raises(HimeError, match="not a folder that can be read") as raised:
            images_in(folder)
        assert_one_line(raised, folder)


# ----------------------------------------------------------------------------------------- sizes


def test_degradation_is_pinned() -> None:
    row, column = np.mgrid[:16, :16]
    image = np.stack([37 * row + 11 * column, 11 * row + 37 * column, 255 - row * column], 2) % 256
    assert downscale(image.astype(np.uint8), 4)[:, :, 0].tolist() == [
        [86, 130, 157, 160],
        [150, 126, 99, 111],
        [118, 146, 152, 129],
        [123, 103, 96, 120],
    ]


def resize_with_torch(image: Image, height: int, width: int, round_between: bool) -> np.ndarray:
    from torch import from_numpy
    from torch.nn.functional import interpolate

    planes = from_numpy(to_planes(image)) * 255
    if round_between:
        planes = (
            interpolate(planes, (image.shape[0], width), mode="bicubic", antialias=True).clamp(0, 255).round()
        )
    planes = interpolate(planes, (height, width), mode="bicubic", antialias=True).clamp(0, 255).round()
    return planes[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_degradation_equals_torch(demo_people: Path, scale: int) -> None:
    for path in sorted(demo_people.glob("*/*.webp")):
        hr = read_target(path, 128)
        lr = downscale(hr, scale)
        size = 128 // scale
        # Pillow rounds and clips to 8 bits between rows and columns; so done, all is within 1.
        assert np.abs(resize_with_torch(hr, size, size, round_between=True) - lr).max() <= 1
        # Without it, bright edges that overshoot differ by a little more, in few places.
        difference = np.abs(resize_with_torch(hr, size, size, round_between=False) - lr)
        assert difference.max() <= 4
        assert (difference > 1).mean() < 0.01


@given(image=PICTURES, height=st.integers(1, 40), width=st.integers(1, 40))
def test_resize_commutes_with_the_flip_and_keeps_its_own_size(image: Image, height: int, width: int) -> None:
    assert np.array_equal(resize(image, *image.shape[:2]), image)
    resized = resize(image, height, width)
    assert resized.shape == (height, width, 3)
    mirrored = resize(np.ascontiguousarray(image[:, ::-1]), height, width)
    assert np.abs(mirrored[:, ::-1].astype(int) - resized).max() <= 1


@given(st.integers(0, 255), st.integers(1, 40), st.integers(1, 40))
def test_resize_keeps_a_flat_picture_flat(level: int, height: int, width: int) -> None:
    flat = np.full((17, 23, 3), level, np.uint8)
    assert np.array_equal(resize(flat, height, width), np.full((height, width, 3), level, np.uint8))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_resize_centres_pixels_at_half_integers(scale: int) -> None:
    ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[np.newaxis, :, np.newaxis], (128, 128, 3)).copy()
    lr = downscale(ramp, scale)
    inner = slice(2, -2)  # away from the borders, where the kernel is cut
    expected = scale * np.arange(128 // scale) + (scale - 1) / 2
    assert np.abs(lr[0, inner, 0] - expected[inner]).max() <= 0.5
    back = upscale(lr, scale)
    inner = slice(4 * scale, -4 * scale)
    assert np.abs(back[0, inner, 0].astype(int) - ramp[0, inner, 0]).max() <= 1


def test_sizes_that_cannot_be_made_are_refused(photo: Image) -> None:
    with pytest.raises(HimeError, match="0×0 pixels"):
        downscale(photo[:3, :3], 4)
    with pytest.raises(HimeError, match="cannot reduce 256×256"):
        area_reduce(photo, 257, 100)
    with pytest.raises(HimeError, match="uint8 array"):
        resize(photo[:, :, 0], 4, 4)


@given(hnp.arrays(np.uint8, (12, 18, 3)))
def test_area_reduce_is_the_mean_of_the_area(image: Image) -> None:
    means = image.reshape(4, 3, 6, 3, 3).mean(axis=(1, 3))
    assert np.abs(area_reduce(image, 4, 6) - means).max() <= 1  # rounded after rows and again after columns


def test_read_target(tmp_path: Path, photo: Image) -> None:
    path = write_image(tmp_path / "square.png", photo)
    assert np.array_equal(read_target(path, 256), photo)
    assert np.array_equal(read_target(path, 128), area_reduce(photo, 128, 128))
    with pytest.raises(HimeError, match="smaller than the target") as raised:
        read_target(path, 512)
    assert_one_line(raised, path)
    path = write_image(tmp_path / "oblong.png", photo[:200])
    with pytest.raises(HimeError, match="256×200 pixels is not square") as raised:
        read_target(path, 128)
    assert_one_line(raised, path)


# ---------------------------------------------------------------------------------------- planes


@given(PICTURES)
@example(np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3))
def test_planes_give_back_the_picture(image: Image) -> None:
    planes = to_planes(image)
    assert planes.shape == (1, 3, *image.shape[:2])
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    assert planes.min() >= 0
    assert planes.max() <= 1
    assert np.array_equal(planes[0, 1], image[:, :, 1] / np.float32(255))
    assert np.array_equal(from_planes(planes), image)
    assert np.array_equal(from_planes(planes[0]), image)


def test_from_planes_clips_rounds_and_refuses() -> None:
    values = np.array([-0.5, 0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 1, 1.5], np.float32)
    planes = np.broadcast_to(values, (1, 3, 1, 7))
    assert from_planes(planes)[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255, 255]
    with pytest.raises(ValueError, match="not finite"):
        from_planes(np.full((1, 3, 2, 2), np.nan, np.float32))
    for shape in ((2, 3, 4, 4), (1, 1, 4, 4), (4, 4)):
        with pytest.raises(ValueError, match="planes must be"):
            from_planes(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    "image",
    [
        None,
        [[1, 2, 3]],
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_check_image_names_what_is_wrong(image: object) -> None:
    with pytest.raises(HimeError, match=r"^reference 2 (must be a uint8 array|has no pixels)"):
        check_image(image, "reference 2")


# ---------------------------------------------------------------------------------- contact sheet


def test_contact_sheet_places_pictures_and_captions(photo: Image) -> None:
    small, tall = photo[100:132, 100:132], photo[60:140, 60:92]
    wordy = "restored with three references"
    sheet = contact_sheet([[("LR", small), (wordy, small)], [("truth\nada", tall)]], margin=6)

    def corners(picture: Image) -> list[tuple[int, int]]:
        windows = np.lib.stride_tricks.sliding_window_view(sheet, picture.shape)[:, :, 0]
        return [tuple(map(int, place)) for place in np.argwhere((windows == picture).all(axis=(2, 3, 4)))]

    (first, second), (third,) = corners(small), corners(tall)
    assert first == (6, 6)
    assert second[0] == 6
    assert third[1] == 6
    assert second[1] >= 6 + 32 + 6
    assert third[0] > 6 + 32
    # Captions stand below their pictures, and the longest one fits.
    assert sheet[6 + 32 : third[0], : second[1]].min() < 100
    assert sheet[6 + 32 : third[0], second[1] :].min() < 100
    assert sheet[third[0] + 80 :].min() < 100
    assert sheet[:, -3:].min() == 255
    assert sheet[-3:].min() == 255


def test_contact_sheet_without_pictures_is_refused(photo: Image) -> None:
    for rows in ([], [[]]):
        with pytest.raises(HimeError, match="at least one picture"):
            contact_sheet(rows)
    with pytest.raises(HimeError, match="the picture 'LR' must be"):
        contact_sheet([[("LR", photo[:, :, 0])]])


def test_contact_sheet_spells_what_the_font_has_not(photo: Image) -> None:
    foreign, plain = (
        contact_sheet([[("Zoë 16×16 → 王", photo)]]),
        contact_sheet([[("Zoe 16x16 -> ?", photo)]]),
    )
    assert np.array_equal(foreign, plain)
