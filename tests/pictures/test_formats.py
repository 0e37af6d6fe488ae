"""Formats are told by content; the pictures of a folder are found, and what is passed over is named."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms
from test_images import srgb_profile, swapped_profile
from test_picture import info_of, save, written

from hime.errors import HimeError
from hime.pictures.arrays import Image
from hime.pictures.formats import check_sides, find_pictures, format_of, largest_side, why_not_read
from hime.pictures.reading import read_image, read_picture
from hime.pictures.writing import write_image, write_picture


@pytest.fixture(scope="session")
def face(demo_people: Path) -> Image:
    """A rendered face, 48×32."""
    return read_image(demo_people / "ada" / "0.webp")[96:128, 104:152]


def encoded(image: Image | PIL.Image.Image, form: str, **options: Any) -> bytes:
    picture = image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


FORMS = {
    "PNG": 0,
    "JPEG": 6,
    "WEBP": 6,
    "TIFF": 0,
    "BMP": 0,
    "GIF": 40,
    "JPEG2000": 0,
    "PPM": 0,
    "TGA": 0,
    "MPO": 6,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.mpo", "a.jp2", "a.tga", "a.txt", "a"])
def test_the_name_plays_no_part(tmp_path: Path, face: Image, form: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(face, form))
    if (
        form == "TGA" and name != "a.tga"
    ):  # its first version has no mark of its own; Pillow writes the second
        assert encoded(face, form).endswith(b"TRUEVISION-XFILE.\0")
    assert np.abs(read_image(path).astype(int) - face).mean() <= FORMS[form]
    assert find_pictures(tmp_path).pictures == (path,)
    picture = read_picture(path)
    assert picture.suffix == {"JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp", "TIFF": ".tif"}.get(
        form, ".png"
    )
    assert (
        np.abs(read_image(written(tmp_path, picture, image=picture.image)).astype(int) - picture.image).mean()
        < 4
    )


def test_tga_without_a_mark_is_told_by_its_name(tmp_path: Path, face: Image) -> None:
    content = encoded(face, "TGA")[:-26]
    for name, taken in (("a.TGA", True), ("a.dat", False)):
        path = tmp_path / name
        path.write_bytes(content)
        if taken:
            assert np.array_equal(read_image(path), face)
        else:
            with pytest.raises(HimeError, match="is not a PNG"):
                read_image(path)
    assert find_pictures(tmp_path).pictures == (tmp_path / "a.TGA",)


@pytest.mark.parametrize("form", ["PPM", "JPEG2000", "TGA"])
def test_grey_and_deep_pictures_of_further_formats(tmp_path: Path, face: Image, form: str) -> None:
    grey = PIL.Image.fromarray(face).convert("L")
    picture = read_picture(save(tmp_path / "grey", grey, form))
    assert picture.grey
    assert np.array_equal(picture.image[:, :, 0], np.asarray(grey))
    if form == "TGA":
        return
    deep = np.asarray(grey).astype(np.uint16) * 257 - 3
    picture = read_picture(save(tmp_path / "deep", PIL.Image.fromarray(deep), form))
    assert picture.deep is not None
    assert np.array_equal(picture.deep[:, :, 2], deep)
    result = written(tmp_path, picture, ".png", picture.deep)
    assert np.array_equal(read_picture(result).deep, picture.deep)


def test_colours_of_a_16_bit_ppm(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    values = np.random.default_rng(0).integers(0, 65_536, (5, 7, 3), dtype=np.uint16)
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n# a comment\n7 5\n65535\n" + values.astype(">u2").tobytes())
    picture = read_picture(path)
    if picture.deep is None:
        assert picture.notes, "a line instead"
    else:
        assert np.array_equal(picture.deep, values)


def test_a_profile_in_a_jpeg_2000(tmp_path: Path) -> None:
    content = encoded(PIL.Image.new("RGB", (16, 16), (200, 60, 30)), "JPEG2000")
    place = content.index(b"colr") - 4
    size = int.from_bytes(content[place : place + 4], "big")
    box = b"colr\2\0\0" + swapped_profile()
    box = (len(box) + 4).to_bytes(4, "big") + box
    header = content.index(b"jp2h") - 4
    longer = int.from_bytes(content[header : header + 4], "big") - size + len(box)
    content = (
        content[:header]
        + longer.to_bytes(4, "big")
        + content[header + 4 : place]
        + box
        + content[place + size :]
    )
    path = tmp_path / "a.jp2"
    path.write_bytes(content)
    picture = read_picture(path)
    assert np.abs(picture.image[0, 0].astype(int) - (30, 60, 200)).max() <= 1
    assert info_of(written(tmp_path, picture))["icc_profile"] == swapped_profile()
    assert ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))


NO_PICTURES = {
    b"": "is empty",
    b"BMW is a make of cars": "is not a PNG",
    b"P1 is the first of the pages": "is not a PNG",
    b"FUJIFILMCCD-RAW 0201": "raw file of a camera",
    b"\0\0\0\x18ftypcrx \0\0\0\1crx isom": "raw file of a camera",
    b"\0\0\0\x18ftypisom\0\0\0\1isommp42": "a film",
    b"RIFF\x10\0\0\0AVI LIST": "a film",
    b"\xff\x0a words": "JPEG XL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"8BPS\0\1": "Photoshop",
    b"%PDF-1.7": "PDF",
}


@pytest.mark.parametrize(("start", "told"), NO_PICTURES.items())
def test_what_is_no_picture_is_told_what_it_is(tmp_path: Path, start: bytes, told: str) -> None:
    assert format_of(start) is None
    assert told in why_not_read(start)
    path = tmp_path / "a.jpg"
    path.write_bytes(start)
    with pytest.raises(HimeError, match=told) as raised:
        read_image(path)
    assert ";" in str(raised.value)
    found = find_pictures(tmp_path)
    assert found.pictures == ()
    assert found.passed_over[0][0] == path
    assert told in found.passed_over[0][1]


# ------------------------------------------------------------------------------------------- folders


@pytest.fixture
def _stay() -> Iterator[None]:
    here = Path.cwd()
    yield
    os.chdir(here)


@pytest.mark.usefixtures("_stay")
def test_a_folder_with_everything(tmp_path: Path, face: Image) -> None:
    folder = tmp_path / "family"
    jpeg, raw = encoded(face, "JPEG"), encoded(face, "TIFF", tiffinfo={254: 1})
    files = {
        "b.jfif": jpeg,
        "a": jpeg,
        "1998/c.JPG": jpeg,
        "1998/summer/d.webp": encoded(face, "WEBP"),
        "1999/c.JPG": jpeg,
        "notes.txt": b"words",
        "b.xmp": b"<x/>",
        ".hidden.jpg": jpeg,
        ".git/e.jpg": jpeg,
        "Thumbs.db": b"words",
        "raw.nef": raw,
        "film.mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    (folder / "1998" / "circle").symlink_to(folder)
    (folder / "link.jpg").symlink_to(folder / "a")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(folder)  # the names of sockets are short
        listening.bind("socket")
        found = find_pictures(folder)
    names = [str(path.relative_to(folder)) for path in found.pictures]
    assert names == ["a", "b.jfif", "link.jpg", "1998/c.JPG", "1998/summer/d.webp", "1999/c.JPG"]
    told = {str(path.relative_to(folder)): reason for path, reason in found.passed_over}
    assert set(told) == {"film.mov", "gone.jpg", "loop.jpg", "notes.txt", "pipe.jpg", "raw.nef", "socket"}
    assert "raw file" in told["raw.nef"]
    assert "is a pipe" in told["pipe.jpg"]
    assert "is a socket" in told["socket"]
    assert "leads nowhere" in told["gone.jpg"]
    assert "is not a PNG" in told["notes.txt"]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", Path(__file__)):
        with pytest.raises(HimeError, match="not a folder that can be read"):
            find_pictures(folder)
    assert find_pictures(tmp_path).pictures == ()


@pytest.mark.parametrize(
    ("name", "told"), [("pipe", "is a pipe"), ("/dev/null", "is a device"), ("/dev/zero", "is a device")]
)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, name: str, told: str) -> None:
    path = tmp_path / name
    if name == "pipe":
        os.mkfifo(path)
    with pytest.raises(HimeError, match=told):
        read_picture(path)
    with pytest.raises(HimeError, match=told):
        read_image(path)


def test_standard_input_is_a_pipe_and_not_damaged(tmp_path: Path, face: Image) -> None:
    read, write = os.pipe()
    os.write(write, encoded(face, "PNG"))
    os.close(write)
    with pytest.raises(HimeError, match="is a pipe, not a file; give a file"):
        read_image(f"/dev/fd/{read}")
    os.close(read)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(face, "PNG"))
    with path.open("rb") as file:
        assert np.array_equal(read_image(f"/dev/fd/{file.fileno()}"), face)


# ------------------------------------------------------------------------------------- how large they can be


@pytest.mark.parametrize("suffix", [".jpg", ".jfif", ".webp", ".png", ".tif"])
def test_the_largest_side_can_be_written_and_no_larger(tmp_path: Path, suffix: str) -> None:
    room = largest_side(f"a{suffix}")
    path = tmp_path / f"a{suffix}"
    picture = read_picture(write_image(tmp_path / "source.png", np.zeros((1, 2, 3), np.uint8)))
    large = np.zeros((1, room or 70_000, 3), np.uint8)
    check_sides(path, large.shape[1], 1)
    assert read_image(written(tmp_path, picture, suffix, large)).shape == large.shape
    if room is None:
        return
    with pytest.raises(HimeError, match=f"has room for {room} a side; choose .png or .tif"):
        check_sides(path, 1, room + 1)
    with pytest.raises(HimeError, match="has room for"):
        written(tmp_path, picture, suffix, np.zeros((1, room + 1, 3), np.uint8))


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_formats_with_a_limit_in_reading(tmp_path: Path, suffix: str) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    room = largest_side(f"a{suffix}")
    assert room == 32_768
    picture = read_picture(write_image(tmp_path / "source.png", np.zeros((1, 2, 3), np.uint8)))
    result = written(tmp_path, picture, suffix, np.zeros((64, room, 3), np.uint8))
    assert read_image(result).shape == (64, room, 3)


def test_too_little_memory_for_an_avif_is_an_error_and_not_the_end_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = read_picture(write_image(tmp_path / "source.png", np.zeros((8, 8, 3), np.uint8)))
    monkeypatch.setattr("hime.pictures.writing.AVIF_MEMORY", 1 << 50)
    with pytest.raises(MemoryError):
        write_picture(tmp_path / "out" / "a.avif", np.zeros((8, 8, 3), np.uint8), picture)
    assert not list(tmp_path.glob("out/*"))


def test_a_heic_has_no_slice_that_is_too_large_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    av = pytest.importorskip("av", reason="its slices are counted with PyAV")
    monkeypatch.setattr("hime.pictures.writing.SLICE", 1 << 14)
    noise = np.random.default_rng(0).integers(0, 256, (512, 160, 3), dtype=np.uint8)
    picture = read_picture(write_image(tmp_path / "source.png", noise))
    result = written(tmp_path, picture, ".heic", noise)
    with av.open(str(result)) as file:
        data = bytes(next(packet for packet in file.demux(video=0) if packet.size))
    slices = []
    while data:
        length = int.from_bytes(data[:4])
        if data[4] >> 1 & 63 < 32:  # not a set of parameters or the like
            slices.append(length)
        data = data[4 + length :]
    assert len(slices) == 6
    assert max(slices) < 4 << 14
    assert np.abs(read_image(result).astype(int) - noise).mean() < 60, "the noise of colour is lost, not all"
