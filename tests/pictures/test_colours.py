"""Colours that a file declares otherwise than by a profile are seen, and stay what they are."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, ImageCms
from test_images import png, srgb_profile
from test_picture import deep_png, info_of, save

from hime.pictures.arrays import Image, upscale
from hime.pictures.colour import add_beyond, is_srgb
from hime.pictures.declared import HDR, by_code_points
from hime.pictures.profiles import ADOBE_GAMMA, ADOBE_RGB, SRGB, make_profile, read_deep_profile
from hime.pictures.reading import read_image, read_picture
from hime.pictures.tiff import encode_tiff
from hime.pictures.writing import write_picture

ADOBE = (219, 0, 0)
"""Levels of Adobe RGB of (about) what sRGB calls (255, 0, 0)."""


def to_levels(light: Any) -> Any:
    """Light → levels of sRGB, 0 to 255, by the formula of IEC 61966-2-1."""
    light = np.asarray(light, float)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def flat(colour: Any, side: int = 16) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.full((side, side, *np.shape(colour)), colour, np.uint8))


def chunked(kind: bytes, body: bytes, image: PIL.Image.Image) -> bytes:
    """A PNG with one more chunk in front of its pixels."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    content = buffer.getvalue()
    return content[:33] + png(b"", (kind, body))[8 + 12 : -12] + content[33:]


def seen_again(folder: Path, source: Path) -> tuple[Image, Image]:
    """The picture as it is read, and once more from the result that is written of it unchanged."""
    picture = read_picture(source)
    result = write_picture(folder / f"result{picture.suffix}", picture.image, picture)
    return picture.image, read_image(result)


def gama(gamma: float) -> bytes:
    return struct.pack(">I", round(gamma * 100_000))


@pytest.mark.parametrize("gamma", [1.0, 0.55, 1 / 1.8])
@pytest.mark.parametrize("grey", [False, True])
def test_gamma_of_a_png(tmp_path: Path, gamma: float, grey: bool) -> None:
    ramp = np.arange(0, 256, 5, dtype=np.uint8)[np.newaxis].repeat(4, 0)
    image = PIL.Image.fromarray(ramp if grey else np.stack([ramp, ramp[:, ::-1], ramp], 2))
    path = tmp_path / "a.png"
    path.write_bytes(chunked(b"gAMA", gama(gamma), image))
    expected = to_levels((np.asarray(image.convert("RGB")) / 255) ** (1 / gamma))
    seen, again = seen_again(tmp_path, path)
    assert np.abs(seen - expected).max() <= 2
    assert np.abs(again.astype(int) - seen).max() <= 2
    assert np.array_equal(read_image(path), seen)


def test_the_picture_of_the_issue(tmp_path: Path) -> None:
    """Linear light without a word but gAMA: it was shown at a mean of 58.9, and became 21.0."""
    light = np.random.default_rng(0).uniform(0, 0.2, (20, 20, 3))
    path = tmp_path / "a.png"
    path.write_bytes(chunked(b"gAMA", gama(1), PIL.Image.fromarray(np.rint(light * 255).astype(np.uint8))))
    seen, again = seen_again(tmp_path, path)
    assert seen.mean() == pytest.approx(to_levels(np.rint(light * 255) / 255).mean(), abs=0.5)
    assert again.mean() == pytest.approx(seen.mean(), abs=0.5)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"sRGB", b"\0"),
        (b"gAMA", gama(0.45455)),
        (b"gAMA", gama(0)),
        (b"cHRM", bytes(32)),
        (b"cICP", b"\1\x0d\0\1"),
    ],
)
def test_what_says_srgb_or_nothing_is_left_alone(tmp_path: Path, kind: bytes, body: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(chunked(kind, body, flat((200, 100, 50))))
    picture = read_picture(path)
    assert picture.icc is None
    assert tuple(picture.image[0, 0]) == (200, 100, 50)


def test_primaries_of_a_png(tmp_path: Path) -> None:
    chrm = struct.pack(">8I", *(round(value * 100_000) for point in ADOBE_RGB for value in point))
    path = tmp_path / "a.png"
    content = chunked(b"cHRM", chrm, flat(ADOBE))
    path.write_bytes(
        content[:33] + chunked(b"gAMA", gama(1 / ADOBE_GAMMA), flat(ADOBE))[33:49] + content[33:]
    )
    seen, again = seen_again(tmp_path, path)
    assert np.abs(seen[0, 0].astype(int) - (255, 0, 0)).max() <= 2
    assert np.abs(again.astype(int) - seen).max() <= 2
    assert "icc_profile" in info_of(tmp_path / "result.png")


def exif_of_adobe(space: int | None, index: str | None) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    details: dict[int, Any] = {}
    if space is not None:
        details[ExifTags.Base.ColorSpace] = space
    if index is not None:
        details[ExifTags.IFD.Interop] = {1: index, 2: b"0100"}
    exif[ExifTags.IFD.Exif] = details
    return exif


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("space", "index", "adobe"),
    [
        (2, None, True),
        (65_535, "R03", True),
        (None, "R03", True),
        (1, "R98", False),
        (1, "R03", False),
        (65_535, None, False),
    ],
)
def test_adobe_rgb_by_exif(
    tmp_path: Path, form: str, space: int | None, index: str | None, adobe: bool
) -> None:
    exif = exif_of_adobe(space, index)
    source = tmp_path / "a"
    if form == "JPEG":
        save(source, flat(ADOBE), form, exif=exif, quality=100, subsampling=0)
    else:  # Pillow writes a wrong place for EXIF's interoperability
        loaded = PIL.Image.Exif()
        loaded.load(exif.tobytes())
        source.write_bytes(encode_tiff(np.asarray(flat(ADOBE)), loaded, compress=True, tags={}))
    seen, again = seen_again(tmp_path, source)
    expected = (255, 0, 0) if adobe else ADOBE
    assert np.abs(seen[8, 8].astype(int) - expected).max() <= 3
    assert np.abs(again[8, 8].astype(int) - seen[8, 8]).max() <= 3
    result = tmp_path / f"result{'.jpg' if form == 'JPEG' else '.tif'}"
    assert ("icc_profile" in info_of(result)) == adobe
    with PIL.Image.open(result) as opened:
        details = opened.getexif().get_ifd(ExifTags.IFD.Exif)
        interoperability = opened.getexif().get_ifd(ExifTags.IFD.Interop)
    assert details.get(ExifTags.Base.ColorSpace) == space
    assert interoperability.get(1) == (None if (space, index) == (1, "R03") else index), (
        "a contradiction goes"
    )


def test_primaries_of_exif_and_of_tiff(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    white, *primaries = ADOBE_RGB
    exif[ExifTags.Base.WhitePoint] = white
    exif[ExifTags.Base.PrimaryChromaticities] = tuple(value for point in primaries for value in point)
    seen, again = seen_again(tmp_path, save(tmp_path / "a.tif", flat(ADOBE), "TIFF", exif=exif))
    assert np.abs(seen[0, 0].astype(int) - (255, 0, 0)).max() <= 2
    assert np.abs(again.astype(int) - seen).max() <= 2
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ColorSpace: 65_535, 0xA500: 2.2}
    seen, _ = seen_again(tmp_path, save(tmp_path / "a.jpg", flat(ADOBE), "JPEG", exif=exif, quality=100))
    assert np.abs(seen[8, 8].astype(int) - (255, 0, 0)).max() <= 3


def test_what_becomes_srgb_says_no_other_colours(tmp_path: Path) -> None:
    exif = exif_of_adobe(65_535, "R03")
    exif[ExifTags.Base.WhitePoint] = (0.3, 0.3)
    source = save(tmp_path / "a.jpg", PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", exif=exif)
    picture = read_picture(source)
    result = write_picture(tmp_path / "result.jpg", picture.image, picture)
    with PIL.Image.open(result) as opened:
        details = opened.getexif().get_ifd(ExifTags.IFD.Exif)
        assert ExifTags.Base.WhitePoint not in opened.getexif()
    assert details[ExifTags.Base.ColorSpace] == 1
    assert ExifTags.IFD.Interop not in details


def avif(image: PIL.Image.Image, primaries: int, transfer: int) -> bytes:
    """An AVIF whose colours are renamed."""
    buffer = io.BytesIO()
    image.save(buffer, "AVIF", quality=100, subsampling="4:4:4", speed=10)
    content = buffer.getvalue()
    assert content.count(b"nclx") == 1
    place = content.index(b"nclx") + 4
    return content[:place] + struct.pack(">HH", primaries, transfer) + content[place + 4 :]


def heic(image: PIL.Image.Image, primaries: int, transfer: int) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(
        buffer, quality=100, chroma=444, color_primaries=primaries, transfer_characteristics=transfer
    )
    return buffer.getvalue()


def cicp(image: PIL.Image.Image, primaries: int, transfer: int) -> bytes:
    return chunked(b"cICP", bytes([primaries, transfer, 0, 1]), image)


CODED: dict[str, Callable[[PIL.Image.Image, int, int], bytes]] = {".avif": avif, ".heic": heic, ".png": cicp}


@pytest.mark.parametrize("suffix", CODED)
@pytest.mark.parametrize(
    ("primaries", "transfer", "stored", "expected"),
    [
        (12, 13, (234, 51, 35), (255, 0, 0)),  # Display P3, which calls sRGB's red so
        (1, 13, (200, 100, 50), (200, 100, 50)),
        (2, 2, (200, 100, 50), (200, 100, 50)),
        (1, 1, (200, 100, 50), (200, 100, 50)),
        (1, 8, (128, 128, 128), (188, 188, 188)),
    ],
)
def test_code_points(
    tmp_path: Path, suffix: str, primaries: int, transfer: int, stored: Any, expected: Any
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(CODED[suffix](flat(stored, 64), primaries, transfer))
    seen, again = seen_again(tmp_path, path)
    assert np.abs(seen[32, 32].astype(int) - expected).max() <= 4
    assert np.abs(again[32, 32].astype(int) - expected).max() <= 6


@pytest.mark.parametrize(
    ("transfer", "white"),
    [(16, 0.5807), (18, 0.75)],  # signals of diffuse white (ITU-R BT.2408: 58 % of PQ, 75 % of HLG)
)
def test_pictures_for_hdr_screens(tmp_path: Path, transfer: int, white: float) -> None:
    level = round(white * 255)
    path = tmp_path / "a.png"
    path.write_bytes(
        cicp(PIL.Image.fromarray(np.array([[[0] * 3, [level] * 3, [255] * 3]], np.uint8)), 9, transfer)
    )
    picture = read_picture(path)
    assert picture.image[0, 0].max() <= 1
    assert picture.image[0, 1].min() >= 250
    assert picture.image[0, 2].min() == 255
    assert picture.notes == (HDR,)
    result = write_picture(tmp_path / "result.png", picture.image, picture)
    assert np.abs(read_image(result).astype(int) - picture.image).max() <= 2
    assert not is_srgb(info_of(result)["icc_profile"])


def test_a_profile_comes_after_the_code_points_of_png_and_before_gamma(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    buffer = io.BytesIO()
    flat((128, 128, 128)).save(buffer, "PNG", icc_profile=srgb_profile())
    content = buffer.getvalue()
    gamma = chunked(b"gAMA", gama(1), flat(0))[33:49]
    path.write_bytes(content[:33] + gamma + content[33:])
    assert read_image(path)[0, 0, 0] == 128
    linear = chunked(b"cICP", b"\1\x08\0\1", flat(0))[33:49]
    path.write_bytes(content[:33] + linear + content[33:])
    assert read_image(path)[0, 0, 0] == pytest.approx(188, abs=1)


def bmp(colour: Any, kind: int, points: Any, gamma: float, profile: bytes = b"") -> bytes:
    header = struct.pack("<IiiHHIIiiII", 124, 2, 2, 1, 24, 0, 16, 2835, 2835, 0, 0) + bytes(16)
    header += struct.pack("<I", kind) + struct.pack("<9i", *(round(value * 2**30) for value in points))
    header += struct.pack("<3I", *[round(gamma * 65_536)] * 3)
    header += struct.pack("<4I", 4, 124 + 16, len(profile), 0)
    row = bytes(reversed(colour)) * 2 + b"\0\0"
    body = header + row * 2 + profile
    return struct.pack("<2sIHHI", b"BM", 14 + len(body), 0, 0, 14 + 124) + body


def test_colours_of_a_bmp(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    # The end points of Adobe RGB as CIE XYZ: the columns of its matrix under D65.
    points = (0.57667, 0.29734, 0.02703, 0.18556, 0.62736, 0.07069, 0.18823, 0.07529, 0.99134)
    adobe = make_profile(ADOBE_RGB, ADOBE_GAMMA, "adobe")
    for kind, profile, expected in (
        (0, b"", (255, 0, 0)),
        (0x4D424544, adobe, (255, 0, 0)),
        (0x73524742, b"", ADOBE),
    ):
        path.write_bytes(bmp(ADOBE, kind, points, ADOBE_GAMMA, profile))
        seen, again = seen_again(tmp_path, path)
        assert np.abs(seen[0, 0].astype(int) - expected).max() <= 2
        assert np.abs(again.astype(int) - seen).max() <= 2


# --------------------------------------------------------------------------------------- profiles


@pytest.mark.parametrize("chromaticities", [SRGB, ADOBE_RGB])
def test_profiles_that_are_made_are_those_of_little_cms(chromaticities: Any) -> None:
    curve = np.linspace(0, 1, 256) ** 1.8
    for tone in (2.2, curve):
        icc = make_profile(chromaticities, tone, "a name")
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        assert profile.profile.profile_description == "a name"
        values = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        theirs = ImageCms.profileToProfile(
            PIL.Image.fromarray(values), profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        deep = read_deep_profile(icc)
        assert deep is not None
        ours = deep.to_srgb(values.astype(np.uint16) * 257) / 257
        assert np.abs(np.asarray(theirs).astype(int) - ours).max() <= 2


DEEP_ADOBE = read_deep_profile(make_profile(ADOBE_RGB, ADOBE_GAMMA, "adobe"))


@given(st.lists(st.integers(0, 65_535), min_size=3, max_size=3))
def test_16_bits_go_through_a_profile_and_back(colour: list[int]) -> None:
    values = np.array([[colour]], np.uint16)
    deep = DEEP_ADOBE
    assert deep is not None
    assert np.abs(deep.to_srgb(deep.from_srgb(values)).astype(int) - values).max() <= 20


def test_16_bits_under_another_profile_stay(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    values = np.random.default_rng(0).integers(20_000, 40_000, (8, 8, 3), dtype=np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(deep_png(values, (b"gAMA", gama(1))))
    picture = read_picture(path)
    assert picture.deep is not None
    assert np.abs(picture.deep / 257 - to_levels(values / 65_535)).max() <= 0.1
    again = read_picture(write_picture(tmp_path / "result.png", picture.deep, picture))
    assert again.deep is not None
    assert np.abs(again.deep.astype(int) - picture.deep).max() <= 20


WIDE = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (230, 120, 20), (250, 200, 0), (128, 128, 128)]
"""Of Display P3: all but the last lie beyond sRGB."""


def display_p3() -> bytes:
    profile = by_code_points(12, 13).kept
    assert profile is not None
    return profile


def stripes(colours: Any = WIDE) -> Image:
    return np.repeat(np.repeat(np.array([colours], np.uint8), 16, 0), 16, 1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".heic", ".avif"])
def test_colours_beyond_srgb_stay(tmp_path: Path, suffix: str) -> None:
    """Of (255, 0, 0) in a telephone's photograph became (234, 51, 35), though nothing was restored there."""
    form = {".tif": "TIFF", ".jpg": "JPEG", ".heic": "HEIF"}.get(suffix, suffix[1:].upper())
    exact = {"quality": 100, "subsampling": 0} if form == "JPEG" else {"quality": 100}
    options = {"lossless": True} if form == "WEBP" else {} if form in ("PNG", "TIFF") else exact
    source = save(
        tmp_path / f"a{suffix}", stripes(), form, icc_profile=display_p3(), **{**options, **turned(form)}
    )
    picture = read_picture(source)
    result = write_picture(tmp_path / f"result{suffix}", upscale(picture.image, 2), picture)
    again = read_own(result)
    if form == "JPEG":  # EXIF turned it by a quarter
        assert again.shape == (192, 32, 3)
        again = again.swapaxes(0, 1)
    limit = 2 if form in ("PNG", "TIFF", "WEBP") else 6
    for number, colour in enumerate(WIDE):
        middle = again[16, 32 * number + 16].astype(int)
        assert np.abs(middle - colour).max() <= limit, (colour, middle)


def turned(form: str) -> dict[str, Any]:
    """EXIF that says that the picture lies on its side, for JPEG."""
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = 5  # rows are columns
    return {"exif": exif} if form == "JPEG" else {}


def read_own(path: Path) -> Image:
    """Levels as the file has them, whatever its profile."""
    if path.suffix == ".heic":
        import pillow_heif

        return np.asarray(pillow_heif.open_heif(path, convert_hdr_to_8bit=True).to_pillow().convert("RGB"))
    with PIL.Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def test_a_restored_place_keeps_what_is_new(tmp_path: Path) -> None:
    picture = read_picture(save(tmp_path / "a.png", stripes(), "PNG", icc_profile=display_p3()))
    image = picture.image.copy()
    image[:, 80:] = 200  # in place of grey
    again = read_own(write_picture(tmp_path / "result.png", image, picture)).astype(int)
    assert np.abs(again[:, :80] - stripes()[:, :80]).max() <= 2
    assert np.abs(again[:, 80:] - 200).max() <= 3
    assert picture.for_crop().beyond is None


def test_what_is_transparent_becomes_white_whatever_its_colour(tmp_path: Path) -> None:
    image = PIL.Image.fromarray(stripes())
    alpha = np.zeros((16, 96), np.uint8)
    alpha[:, :16], alpha[:, 32:48] = 255, 128
    image.putalpha(PIL.Image.fromarray(alpha))
    picture = read_picture(save(tmp_path / "a.png", image, "PNG", icc_profile=display_p3()))
    again = read_own(write_picture(tmp_path / "result.jpg", picture.image, picture)).astype(int)
    assert np.abs(again[8, 8] - (255, 0, 0)).max() <= 4
    assert np.abs(again[8, 40] - (127, 127, 255)).max() <= 6
    assert np.abs(again[8, [24, 56, 72, 88]] - 255).max() <= 4


@given(height=st.integers(1, 700), width=st.integers(1, 40), factor=st.sampled_from([1, 2, 3]))
def test_bands_are_the_picture(height: int, width: int, factor: int) -> None:
    random = np.random.default_rng(height)
    beyond = random.integers(-60, 60, (height, width, 3), dtype=np.int16)
    values = random.integers(0, 256, (factor * height, factor * width, 3), dtype=np.uint8)
    whole = [
        PIL.Image.fromarray(beyond[:, :, channel].astype(np.float32)).resize(
            (factor * width, factor * height), PIL.Image.Resampling.BICUBIC
        )
        for channel in range(3)
    ]
    expected = np.rint(values + np.stack([np.asarray(plane) for plane in whole], 2)).clip(0, 255)
    assert np.abs(add_beyond(values, beyond) - expected).max() <= 1  # where a half is rounded


def test_16_bits_beyond_srgb_stay(tmp_path: Path) -> None:
    levels = stripes().astype(np.uint16) * 257 - (stripes() > 0) * np.uint16(100)
    path = tmp_path / "a.tif"
    path.write_bytes(encode_tiff(levels, PIL.Image.Exif(), compress=True, tags={34675: display_p3()}))
    picture = read_picture(path)
    assert picture.deep is not None
    result = write_picture(tmp_path / "result.tif", picture.deep, picture)
    with read_deep_values(result) as again:
        assert np.abs(again.astype(int) - levels).max() <= 40
    coarse = read_own(write_picture(tmp_path / "result.jpg", picture.deep, picture)).astype(int)
    assert np.abs(coarse[8, 8::16] - WIDE).max() <= 6


@contextlib.contextmanager
def read_deep_values(path: Path) -> Iterator[Any]:
    import cv2

    yield cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:, :, ::-1]


@given(colours=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=5))
def test_any_colour_of_a_wide_profile_comes_back(
    tmp_path_factory: pytest.TempPathFactory, colours: list[tuple[int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("colours")
    image = stripes(colours)
    picture = read_picture(save(folder / "a.png", image, "PNG", icc_profile=display_p3()))
    again = read_own(write_picture(folder / "result.png", picture.image, picture))
    assert np.abs(again.astype(int) - image).max() <= 3


def test_nothing_is_kept_beside_where_srgb_holds_all(tmp_path: Path) -> None:
    within = stripes([(128, 128, 128), (180, 150, 140), (90, 100, 90)])
    assert read_picture(save(tmp_path / "a.png", within, "PNG", icc_profile=display_p3())).beyond is None
    assert read_picture(save(tmp_path / "b.png", stripes(), "PNG")).beyond is None
    assert (
        read_picture(save(tmp_path / "c.png", stripes(), "PNG", icc_profile=display_p3())).beyond is not None
    )


def test_damaged_profiles_are_none() -> None:
    icc = make_profile(ADOBE_RGB, ADOBE_GAMMA, "adobe")
    for size in (0, 100, 132, 150, 300):
        assert read_deep_profile(icc[:size]) is None
    assert read_deep_profile(icc.replace(b"rTRC", b"A2B0")) is None
    with pytest.raises(ValueError, match="no primaries"):
        make_profile(((0.3, 0), (1, 0), (0, 1), (0, 0)), 2.2, "nothing")
    for primaries in (0, 3, 255):
        assert by_code_points(primaries, 13).source is None
