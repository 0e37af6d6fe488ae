"""TIFF beyond the simple: pages that are not the picture, 16 bits a channel, white as 0, what is not read."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import ExifTags
from test_images import srgb_profile
from test_picture import camera_exif, exif_of, info_of

from hime.errors import HimeError
from hime.pictures.arrays import to_8_bits, upright
from hime.pictures.deep import TO_8_BITS
from hime.pictures.profiles import ADOBE_GAMMA, ADOBE_RGB, make_profile
from hime.pictures.reading import Picture, read_image, read_picture
from hime.pictures.tiff import encode_tiff
from hime.pictures.writing import IN_8_BITS, write_picture

tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")

NUMBERS = np.random.default_rng(0)
DEEP = NUMBERS.integers(0, 65_536, (20, 30, 4), dtype=np.uint16)
RGB = np.ascontiguousarray(DEEP[:, :, :3])
GREY = np.ascontiguousarray(DEEP[:, :, 0])


def tiff(values: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **({"metadata": None} | options))
    return buffer.getvalue()


def pages(*written: tuple[np.ndarray, dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for values, options in written:
            writer.write(values, metadata=None, **options)
    return buffer.getvalue()


def file_of(folder: Path, content: bytes) -> Path:
    path = folder / "scan.tif"
    path.write_bytes(content)
    return path


PICTURE = (to_8_bits(RGB), {"photometric": "rgb"})
BESIDE = {
    "reduced": (to_8_bits(RGB)[::4, ::4], {"photometric": "rgb", "subfiletype": 1}),
    "mask": (to_8_bits(GREY), {"photometric": "minisblack", "extratags": [(254, 4, 1, 4, True)]}),
    "infrared": (GREY, {"photometric": "minisblack", "extratags": [(285, 2, 0, "Infrared", True)]}),
    "old reduced": (to_8_bits(GREY), {"photometric": "minisblack", "extratags": [(255, 3, 1, 2, True)]}),
}


@pytest.mark.parametrize("kind", BESIDE)
@pytest.mark.parametrize("first", [False, True])
def test_pages_that_are_not_the_picture_are_no_pages(tmp_path: Path, kind: str, first: bool) -> None:
    both = [PICTURE, BESIDE[kind]]
    path = file_of(tmp_path, pages(*(both[::-1] if first else both)))
    assert np.array_equal(read_image(path), PICTURE[0])
    picture = read_picture(path)
    assert np.array_equal(picture.image, PICTURE[0])
    assert picture.exif.count(b"tifffile") == 1


def test_several_pages_and_raw_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HimeError, match="holds several pages; save the one"):
        read_image(file_of(tmp_path, pages(PICTURE, PICTURE, BESIDE["mask"])))
    raw = (
        GREY,
        {"photometric": "cfa", "extratags": [(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)]},
    )
    for content in (
        pages(BESIDE["reduced"]),
        pages(raw),
        pages(BESIDE["reduced"], raw),
        b"II*\0\x10\0\0\0CR\2\0",
    ):
        with pytest.raises(HimeError, match="a raw file of a camera; develop it"):
            read_image(file_of(tmp_path, content))


COMPRESSIONS: dict[str, dict[str, Any]] = {
    "raw": {},
    "deflate": {"compression": "zlib", "predictor": True},
    "packbits": {"compression": "packbits"},
    "other order": {"byteorder": ">"},
    "large": {"bigtiff": True},
    "tiles": {"tile": (16, 16)},
}


@pytest.mark.parametrize("kind", COMPRESSIONS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_stay(tmp_path: Path, kind: str, channels: int) -> None:
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    values = GREY if channels == 1 else DEEP[:, :, :channels]
    options = {"photometric": "minisblack" if channels == 1 else "rgb"}
    if channels == 4:
        options["extrasamples"] = ["unassalpha"]
    try:
        content = tiff(values, **options, **COMPRESSIONS[kind])
    except (NotImplementedError, ValueError, KeyError, RuntimeError) as error:
        pytest.skip(f"tifffile does not write it here: {error}")
    picture = read_picture(file_of(tmp_path, content))
    assert picture.deep is not None
    assert np.array_equal(
        picture.deep, np.broadcast_to(GREY[..., np.newaxis], RGB.shape) if channels == 1 else RGB
    )
    assert channels < 4 or np.array_equal(picture.alpha, DEEP[:, :, 3])
    assert picture.grey == (channels == 1)
    assert picture.notes == ()

    notes: list[str] = []
    result = write_picture(tmp_path / "result.tif", picture.deep, picture, notes=notes)
    assert notes == []
    with tifffile.TiffFile(result) as file:
        page = file.pages[0]
        assert page.dtype == np.uint16
        assert page.photometric == (1 if channels == 1 else 2)
        assert (page.compression == 1) == (kind not in ("deflate", "packbits"))
        assert np.array_equal(page.asarray(), values)
    again = read_picture(result)
    assert again.deep is not None
    assert np.array_equal(again.deep, picture.deep)


def test_odd_tags_are_nothing_to_talk_about(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = tiff(RGB, photometric="rgb", extratags=[(274, 3, 1, 9, True)])
    assert read_picture(file_of(tmp_path, content)).image.shape == RGB.shape
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_set_upright(tmp_path: Path, turn: int, channels: int) -> None:
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    values = GREY if channels == 1 else RGB
    options = {
        "photometric": "minisblack" if channels == 1 else "rgb",
        "extratags": [(274, 3, 1, turn, True)],
    }
    picture = read_picture(file_of(tmp_path, tiff(values, **options)))
    expected = upright(values, turn)
    assert picture.deep is not None
    assert np.array_equal(picture.deep if channels == 3 else picture.deep[:, :, 0], expected)
    assert np.array_equal(picture.image, to_8_bits(picture.deep))
    assert picture.turn == turn
    assert np.array_equal(
        read_picture(write_picture(tmp_path / "b.tif", picture.deep, picture)).deep, picture.deep
    )


def test_16_bits_in_lzw_stay(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="the extra faces is not installed")
    done, content = cv2.imencode(
        ".tif", np.ascontiguousarray(RGB[:, :, ::-1]), [cv2.IMWRITE_TIFF_COMPRESSION, 5]
    )
    assert done
    picture = read_picture(file_of(tmp_path, content.tobytes()))
    assert picture.encoding == {"compression": "tiff_lzw"}
    assert np.array_equal(picture.deep, RGB)
    result = write_picture(tmp_path / "result.tif", RGB, picture)
    assert info_of(result)["compression"] == "tiff_adobe_deflate"


def test_16_bits_keep_what_the_file_carries(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    adobe = make_profile(ADOBE_RGB, ADOBE_GAMMA, "adobe")
    loaded = PIL.Image.Exif()
    loaded.load(camera_exif().tobytes())
    content = encode_tiff(RGB, loaded, compress=True, tags={34675: adobe, 282: 300.0, 283: 300.0, 296: 2})
    picture = read_picture(file_of(tmp_path, content))
    assert picture.deep is not None
    assert picture.icc == adobe
    assert not np.array_equal(picture.deep, RGB[::-1, ::-1]), "converted"
    result = write_picture(tmp_path / "result.tif", picture.deep, picture)
    again = read_picture(result)
    assert again.deep is not None
    assert again.icc == adobe
    assert again.resolution == (300, 300)
    exif = exif_of(result)
    assert exif[ExifTags.Base.Make].startswith("Camera")
    assert exif[ExifTags.IFD.GPSInfo][1] == "N"
    assert exif[ExifTags.IFD.Exif][ExifTags.Base.DateTimeOriginal] == "2004:07:11 15:00:00"
    assert np.abs(again.deep.astype(int) - picture.deep).max() <= 20
    for suffix in (".jpg", ".webp"):
        notes: list[str] = []
        write_picture(tmp_path / f"result{suffix}", picture.deep, picture, notes=notes)
        assert IN_8_BITS.format(form=suffix[1:].upper().replace("JPG", "JPEG")) in notes


def test_camera_exif_no_longer_costs_the_compression(tmp_path: Path) -> None:
    image = to_8_bits(RGB)
    picture = Picture(
        image, format="TIFF", exif=camera_exif().tobytes(), encoding={"compression": "tiff_lzw"}
    )
    result = write_picture(tmp_path / "result.tif", image, picture)
    assert info_of(result)["compression"] == "tiff_adobe_deflate"
    assert np.array_equal(read_image(result), image)
    assert exif_of(result)[ExifTags.IFD.GPSInfo][1] == "N"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
def test_white_as_0(tmp_path: Path, bits: int, order: str) -> None:
    values = GREY if bits == 16 else to_8_bits(GREY)
    path = file_of(tmp_path, tiff(values, photometric="miniswhite", byteorder=order))
    expected = 65_535 - GREY if bits == 16 else 255 - values
    picture = read_picture(path)
    if bits == 16:
        assert picture.deep is not None
        assert np.array_equal(picture.deep[:, :, 1], expected)
        expected = to_8_bits(expected)
    assert np.array_equal(picture.image[:, :, 1], expected)
    assert np.array_equal(read_image(path), picture.image)
    result = write_picture(
        tmp_path / "result.tif", picture.image if picture.deep is None else picture.deep, picture
    )
    assert np.array_equal(read_image(result), picture.image)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_white_as_0_with_few_bits(tmp_path: Path, bits: int) -> None:
    """Put together by hand: one row of 8 levels."""
    levels = np.arange(8) % (1 << bits)
    packed = int("".join(f"{level:0{bits}b}" for level in levels), 2).to_bytes(bits, "big")
    entries = [
        (256, 8),
        (257, 1),
        (258, bits),
        (259, 1),
        (262, 0),
        (273, 200),
        (277, 1),
        (278, 1),
        (279, len(packed)),
    ]
    content = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    content += b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries) + bytes(4)
    path = file_of(tmp_path, content.ljust(200, b"\0") + packed)
    top = (1 << bits) - 1
    assert read_image(path)[0, :, 0].tolist() == [round(255 * (top - level) / top) for level in levels]


def test_12_bits_are_stretched(tmp_path: Path) -> None:
    packed = bytes.fromhex("000fff800123")  # 0, 4095, 2048, 291
    entries = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 200), (277, 1), (278, 1), (279, 6)]
    content = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    content += b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries) + bytes(4)
    path = file_of(tmp_path, content.ljust(200, b"\0") + packed)
    assert read_image(path)[0, :, 0].tolist() == [0, 255, 128, 18]
    picture = read_picture(path)
    assert picture.deep is not None
    assert picture.deep[0, :, 0].tolist() == [0, 65_535, 2048 * 65_535 // 4095, 291 * 65_535 // 4095]


def test_a_fourth_channel_that_is_no_alpha_is_none(tmp_path: Path) -> None:
    """Infrared, as VueScan stores it."""
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    picture = read_picture(file_of(tmp_path, tiff(DEEP, photometric="rgb", extrasamples=["unspecified"])))
    assert np.array_equal(picture.deep, RGB)
    assert picture.alpha is None


@pytest.mark.parametrize(
    ("values", "options", "told"),
    [
        (RGB.astype(np.float32), {"photometric": "rgb"}, "32 bits, floating point"),
        (RGB.astype(np.float16), {"photometric": "rgb"}, "16 bits, floating point"),
        (GREY.astype(np.float64), {"photometric": "minisblack"}, "64 bits, floating point"),
        (RGB.astype(np.uint32), {"photometric": "rgb"}, "channels of 32 bits"),
        (to_8_bits(RGB), {"photometric": "cielab"}, "kind Lab"),
        (
            np.ascontiguousarray(DEEP[:, :, :2]),
            {"photometric": "minisblack", "planarconfig": "contig"},
            "not read",
        ),
    ],
)
def test_what_is_not_read_is_not_called_damaged(
    tmp_path: Path, values: np.ndarray, options: dict[str, Any], told: str
) -> None:
    path = file_of(tmp_path, tiff(values, **options))
    with pytest.raises(HimeError, match=told) as raised:
        read_picture(path)
    assert "truncated" not in str(raised.value)
    assert "; save it" in str(raised.value)


def test_16_bits_in_planes_are_refused_where_pillow_gives_noise(tmp_path: Path) -> None:
    planes = np.ascontiguousarray(np.moveaxis(RGB, 2, 0))
    with pytest.raises(HimeError, match="16 bits with each channel in a plane of its own; save it"):
        read_image(file_of(tmp_path, tiff(planes, photometric="rgb", planarconfig="separate")))
    path = file_of(tmp_path, tiff(to_8_bits(planes), photometric="rgb", planarconfig="separate"))
    assert np.array_equal(read_image(path), to_8_bits(RGB))


def test_16_bits_that_cannot_be_had_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    premultiplied = np.minimum(DEEP, DEEP[:, :, 3:])
    picture = read_picture(
        file_of(tmp_path, tiff(premultiplied, photometric="rgb", extrasamples=["assocalpha"]))
    )
    assert picture.deep is None
    assert picture.notes == (TO_8_BITS,)
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    assert read_picture(file_of(tmp_path, tiff(RGB, photometric="rgb"))).notes == (TO_8_BITS,)
    assert read_picture(file_of(tmp_path, tiff(GREY, photometric="minisblack"))).notes == ()


@given(
    values=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
    ),
    compress=st.booleans(),
)
def test_what_is_written_is_what_others_read(values: np.ndarray, compress: bool) -> None:
    content = encode_tiff(values, PIL.Image.Exif(), compress=compress, tags={34675: srgb_profile()})
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        assert np.array_equal(np.asarray(file.pages[0].asarray()).reshape(values.shape), values)
        assert file.pages[0].iccprofile == srgb_profile()
    if values.dtype == np.uint8:
        with PIL.Image.open(io.BytesIO(content)) as opened:
            assert np.array_equal(np.asarray(opened).reshape(values.shape), values)


def test_many_strips(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 65_536, (700, 600, 3), dtype=np.uint16)
    for compress in (True, False):
        content = encode_tiff(values, PIL.Image.Exif(), compress=compress, tags={})
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            assert len(file.pages[0].dataoffsets) > 1
            assert np.array_equal(file.pages[0].asarray(), values)


def bigtiff_directory(entries: dict[int, tuple[int, int, bytes]], at: int) -> bytes:
    """Tag → type, count and value, by the letter of BigTIFF."""
    content, extra = struct.pack("<Q", len(entries)), b""
    for tag, (kind, count, value) in sorted(entries.items()):
        place = struct.pack("<Q", at + 16 + 20 * len(entries) + len(extra))
        extra += value if len(value) > 8 else b""
        content += struct.pack("<HHQ", tag, kind, count) + (value if len(value) <= 8 else place).ljust(
            8, b"\0"
        )
    return content + bytes(8) + extra


def test_a_bigtiff_with_directories_in_directories_keeps_its_exif(tmp_path: Path) -> None:
    whole = {
        name: struct.pack("<Q", place) for name, place in (("exif", 400), ("index", 600), ("pixels", 800))
    }
    parts = {
        0: b"II+\0\x08\0\0\0" + struct.pack("<Q", 16),
        16: bigtiff_directory(
            {
                256: (3, 1, b"\x10\0"), 257: (3, 1, b"\x10\0"), 258: (3, 3, b"\x08\0" * 3),
                259: (3, 1, b"\1\0"),
                262: (3, 1, b"\2\0"), 271: (2, 4, b"Cam\0"), 273: (16, 1, whole["pixels"]),
                277: (3, 1, b"\3\0"),
                278: (3, 1, b"\x10\0"), 279: (16, 1, struct.pack("<Q", 768)), 0x8769: (16, 1, whole["exif"]),
            },
            16,
        ),
        400: bigtiff_directory(
            {0x9003: (2, 20, b"2020:01:02 03:04:05\0"), 0xA005: (16, 1, whole["index"])}, 400
        ),
        600: bigtiff_directory({1: (2, 4, b"R98\0"), 2: (7, 4, b"0100")}, 600),
        800: bytes([255, 0, 0]) * 256,
    }  # fmt: skip
    content = bytearray(800 + 768)
    for place, part in parts.items():
        content[place : place + len(part)] = part
    picture = read_picture(file_of(tmp_path, bytes(content)))
    with PIL.Image.open(write_picture(tmp_path / "result.jpg", picture.image, picture)) as opened:
        exif = opened.getexif()
        assert exif[271] == "Cam"
        assert exif.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
        assert exif.get_ifd(0xA005)[1] == "R98"
