"""Photographs as files: what stays of all that a file carries, and what may not stay."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import ExifTags, PngImagePlugin, TiffImagePlugin
from PIL.JpegImagePlugin import get_sampling
from test_images import linear_grey_profile, png, srgb_profile, swapped_profile

from hime.errors import HimeError
from hime.pictures.arrays import Image, to_8_bits, upscale
from hime.pictures.formats import READ, WRITTEN
from hime.pictures.metadata import CAPTIONS, MAKER_NOTES
from hime.pictures.reading import Picture, read_image, read_picture
from hime.pictures.writing import write_picture
from hime.pictures.xmp import ALTERED

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "AVIF": ".avif", "HEIF": ".heic"}
DETAILS, PLACE = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
MAKER_NOTE, IPTC = 0x927C, 33723
XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="a camera"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<r:Description r:about="uuid:1" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 tiff:Orientation="3" GCamera:MotionPhoto="1" xmp:Rating="5"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture">
<dc:title><r:Alt><r:li xml:lang="x-default">Großmutter &amp; 孫</r:li></r:Alt></dc:title>
<exif:PixelXDimension>48</exif:PixelXDimension><exif:PixelYDimension>32</exif:PixelYDimension>
<xmp:Thumbnails><r:Alt/></xmp:Thumbnails>
</r:Description></r:RDF></x:xmpmeta><?xpacket end="w"?>"""


@pytest.fixture(scope="session")
def face(demo_people: Path) -> Image:
    """A rendered face, 48×32."""
    return read_image(demo_people / "ada" / "0.webp")[96:128, 104:152]


def camera_exif(**more: Any) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Make] = "Camera & Söhne".encode()  # of text Pillow would write ASCII
    exif[ExifTags.Base.Orientation] = 3
    exif[ExifTags.Base.Software] = "firmware 1.0"
    exif[ExifTags.Base.DateTime] = "2004:07:11 15:00:00"
    exif[DETAILS] = {
        ExifTags.Base.DateTimeOriginal: "2004:07:11 15:00:00",
        ExifTags.Base.ExposureTime: 0.02,
        ExifTags.Base.ExifImageWidth: 48,
        ExifTags.Base.ExifImageHeight: 32,
        MAKER_NOTE: b"Camera\0\1\2\3",
        **more,
    }
    exif[PLACE] = {1: "N", 2: (48.0, 5.0, 3.5), 3: "W", 4: (11.0, 6.0, 0.0)}
    return exif


def save(path: Path, image: np.ndarray | PIL.Image.Image, form: str, **options: Any) -> Path:
    picture = image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)
    if form == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
        options["exif"] = options["exif"].tobytes() if "exif" in options else None
        pillow_heif.from_pillow(picture).save(path, **options)
        return path
    if form == "PNG" and "xmp" in options:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
    if form == "TIFF" and "exif" in options:  # Pillow writes folders within EXIF only if it has read them
        content = options["exif"].tobytes()
        options["exif"] = PIL.Image.Exif()
        options["exif"].load(content)
        for tag, value in options["exif"].items():
            options["exif"][tag] = value.encode("latin-1") if isinstance(value, str) else value
    if form == "TIFF" and "xmp" in options:
        options.setdefault("exif", PIL.Image.Exif())[700] = options.pop("xmp")
    picture.save(path, form, **options)
    return path


def exif_of(path: Path) -> dict[int, Any]:
    with PIL.Image.open(path) if path.suffix != ".heic" else opened_heif(path) as picture:
        exif = picture.getexif()
        assert not exif.get_ifd(ExifTags.IFD.IFD1), "no thumbnail"
        return {**exif, DETAILS: dict(exif.get_ifd(DETAILS)), PLACE: dict(exif.get_ifd(PLACE))}


def opened_heif(path: Path) -> Any:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    return pillow_heif.HeifImageFile(path)


def info_of(path: Path) -> dict[str, Any]:
    with PIL.Image.open(path) if path.suffix != ".heic" else opened_heif(path) as picture:
        picture.load()
        return {**picture.info, "mode": picture.mode}


def written(
    folder: Path, picture: Picture, suffix: str | None = None, image: Any = None, **options: Any
) -> Path:
    """The picture, four times as large, as a file."""
    image = upscale(picture.image, 4) if image is None else image
    return write_picture(folder / f"großes Foto 写真{suffix or picture.suffix}", image, picture, **options)


# ---------------------------------------------------------------------------------------- all formats


@pytest.mark.parametrize("form", FORMATS)
def test_exif_and_xmp_stay_but_for_what_is_no_longer_true(tmp_path: Path, face: Image, form: str) -> None:
    source = save(tmp_path / f"für Ömi{FORMATS[form]}", face, form, exif=camera_exif(), xmp=XMP.encode())
    picture = read_picture(source)
    assert (picture.format, picture.suffix, picture.image.shape) == (form, FORMATS[form], (32, 48, 3))
    result = written(tmp_path, picture, software="hime test")

    exif = exif_of(result)
    if form != "AVIF":  # Pillow's writer of it spoils the letters of what it has to turn
        assert exif[ExifTags.Base.Make].encode("latin-1") == "Camera & Söhne".encode()
    assert exif[ExifTags.Base.Software] == "hime test"
    assert exif[ExifTags.Base.DateTime] == "2004:07:11 15:00:00"
    assert exif.get(ExifTags.Base.Orientation, 1) == 1
    details = exif[DETAILS]
    assert (details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight]) == (192, 128)
    assert float(details[ExifTags.Base.ExposureTime]) == pytest.approx(0.02)
    assert MAKER_NOTE not in details, "it may name places in the picture as it was"
    assert exif[PLACE] == {1: "N", 2: (48.0, 5.0, 3.5), 3: "W", 4: (11.0, 6.0, 0.0)}

    xmp = read_picture(result).xmp.decode()
    assert xmp.count("DigitalSourceType") == 2
    assert f">{ALTERED}</" in xmp
    assert "digitalCapture" not in xmp
    assert 'about="uuid:1"' in xmp.rpartition("<r:Description")[2], "all of a packet is about the same"
    assert "Großmutter &amp; 孫" in xmp
    assert 'tiff:Orientation="3"' not in xmp
    assert 'xmp:Rating="5"' in xmp
    assert ">192</exif:PixelXDimension>" in xmp
    assert ">128</exif:PixelYDimension>" in xmp
    assert "MotionPhoto=" not in xmp
    assert "Thumbnails" not in xmp
    assert xmp.startswith("<?xpacket begin")
    assert xmp.endswith('<?xpacket end="w"?>')


def types_of(exif: bytes) -> dict[int, int]:
    """Tag → type in EXIF's own directory, by the letter of TIFF 6.0."""
    content = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}[content[:2]]

    def directory(place: int) -> dict[int, tuple[int, int]]:
        (count,) = struct.unpack_from(f"{order}H", content, place)
        entries = (struct.unpack_from(f"{order}HHII", content, place + 2 + 12 * n) for n in range(count))
        return {tag: (kind, value) for tag, kind, _, value in entries}

    first = directory(struct.unpack_from(f"{order}I", content, 4)[0])
    return {tag: kind for tag, (kind, _) in directory(first[DETAILS][1]).items()}


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("form", FORMATS)
def test_letters_and_types_of_exif_stay(tmp_path: Path, face: Image, form: str, crop: bool) -> None:
    exif = PIL.Image.Exif()
    texts = {ExifTags.Base.ImageDescription: "Grüße aus Köln", ExifTags.Base.Copyright: "© Jürgen 孫"}
    for tag, text in texts.items():
        exif[tag] = text.encode()
    exif[DETAILS] = {
        ExifTags.Base.DateTimeOriginal: "2004:07:11 15:00:00",
        ExifTags.Base.UserComment: b"UNICODE\0G\0r\0\xfc\0",
        ExifTags.Base.ExifVersion: b"0232",
    }
    picture = read_picture(save(tmp_path / f"a{FORMATS[form]}", face, form, exif=exif))
    result = written(tmp_path, picture.for_crop() if crop else picture, FORMATS[form])
    content = result.read_bytes()
    assert texts[ExifTags.Base.Copyright].encode() in content
    assert (texts[ExifTags.Base.ImageDescription].encode() in content) == (not crop)
    if not crop:
        types = types_of(read_picture(result).exif)
        assert (types[ExifTags.Base.UserComment], types[ExifTags.Base.ExifVersion]) == (7, 7)  # UNDEFINED


@pytest.mark.parametrize("kind", ["bytes", "numbers"])
@pytest.mark.parametrize("deep", [False, True])
def test_captions_of_a_tiff_stay_in_a_tiff(tmp_path: Path, face: Image, kind: str, deep: bool) -> None:
    captions = b"\x1c\x02\x78\x00\x08Gr\xc3\xbc\xc3\x9fe"
    captions += bytes(-len(captions) % 4)
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[IPTC] = captions
    source = tmp_path / "a.tif"
    PIL.Image.fromarray(face).save(source, tiffinfo=directory)
    if kind == "numbers":  # as Adobe's programs have it: the same bytes, called whole numbers of four
        entry = struct.pack("<HHI", IPTC, 7, len(captions))
        content = source.read_bytes()
        assert content.count(entry) == 1
        source.write_bytes(content.replace(entry, struct.pack("<HHI", IPTC, 4, len(captions) // 4)))
    picture = read_picture(source)
    if deep:
        picture = replace(picture, deep=picture.image.astype(np.uint16) * 257)
    notes: list[str] = []
    image = picture.image if picture.deep is None else picture.deep
    with PIL.Image.open(written(tmp_path, picture, image=image, notes=notes)) as opened:
        assert isinstance(opened, TiffImagePlugin.TiffImageFile)
        assert bytes(opened.tag_v2[IPTC]) == captions
    assert notes == []
    content = written(tmp_path, picture, ".jpg", notes=notes).read_bytes()
    assert captions not in content
    assert CAPTIONS in notes


def test_captions_larger_than_a_segment_of_a_jpeg_cost_nothing_else(tmp_path: Path, face: Image) -> None:
    exif = camera_exif()
    exif[IPTC] = b"\x1c" * 70_000
    source = save(tmp_path / "a.tif", face, "TIFF", exif=exif)
    notes: list[str] = []
    picture = read_picture(source)
    kept = exif_of(written(tmp_path, picture, notes=notes))
    assert kept[ExifTags.Base.DateTime] == "2004:07:11 15:00:00"
    assert len(kept[IPTC]) == 70_000
    assert set(notes) <= {MAKER_NOTES}
    kept = exif_of(written(tmp_path, picture, ".jpg"))
    assert kept[ExifTags.Base.DateTime] == "2004:07:11 15:00:00"
    assert IPTC not in kept


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_captions_that_are_numbers_in_another_format_cost_nothing_else(
    tmp_path: Path, face: Image, form: str
) -> None:
    exif = camera_exif()
    exif[IPTC] = b"1234" * 3
    content = exif.tobytes()
    entry = struct.pack(">HHI", IPTC, 7, 12)
    assert content.count(entry) == 1
    content = content.replace(entry, struct.pack(">HHI", IPTC, 4, 3))
    source = tmp_path / f"a{FORMATS[form]}"
    PIL.Image.fromarray(face).save(source, form, exif=content)
    assert exif_of(written(tmp_path, read_picture(source)))[ExifTags.Base.DateTime] == "2004:07:11 15:00:00"


def test_a_progressive_jpeg_of_much_noise_keeps_its_exif(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(128, 60, (300, 400, 3)).clip(0, 255).astype(np.uint8)
    source = save(tmp_path / "a.jpg", noise, "JPEG", quality=100, subsampling=0, exif=camera_exif())
    picture = read_picture(source)
    picture.encoding["progressive"] = True  # Pillow itself cannot write one of so much
    notes: list[str] = []
    result = written(tmp_path, picture, image=picture.image, notes=notes)
    assert exif_of(result)[ExifTags.Base.DateTime] == "2004:07:11 15:00:00"
    with PIL.Image.open(result) as opened, PIL.Image.open(source) as before:
        assert opened.quantization == before.quantization
    assert set(notes) <= {MAKER_NOTES}


@pytest.mark.parametrize("grey", [False, True])
def test_a_colour_that_is_transparent_in_a_png_of_16_bits(tmp_path: Path, grey: bool) -> None:
    values = np.full((16, 16, 1 if grey else 3), 0x1234, np.uint16)
    values[:8] = 0x12FF  # of the same 8 bits
    key = struct.pack(">H", 0x1234) * (1 if grey else 3)
    (tmp_path / "a.png").write_bytes(deep_png(values, (b"tRNS", key)))
    picture = read_picture(tmp_path / "a.png")
    assert picture.alpha is not None
    assert picture.alpha.dtype == np.uint16
    assert (picture.alpha[:8] == 65_535).all()
    assert (picture.alpha[8:] == 0).all()


@pytest.mark.parametrize("form", FORMATS)
def test_a_bare_file_gets_the_marks_and_nothing_else(tmp_path: Path, face: Image, form: str) -> None:
    picture = read_picture(save(tmp_path / "bare", face, form))
    assert picture.alpha is picture.deep is picture.icc is None
    assert picture.exif == picture.xmp == b""
    result = written(tmp_path, picture)
    exif = exif_of(result)
    assert exif.pop(ExifTags.Base.Software).startswith("hime ")
    marked = read_picture(result)
    assert ALTERED in marked.xmp.decode()
    assert "icc_profile" not in info_of(result)
    assert marked.image.shape == (128, 192, 3)
    unmarked = read_picture(written(tmp_path, picture, altered=False))
    assert unmarked.xmp == b""


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("suffix", sorted(set(FORMATS.values())))
def test_every_format_becomes_every_other(tmp_path: Path, face: Image, form: str, suffix: str) -> None:
    source = save(tmp_path / "source", face, form, exif=camera_exif(), xmp=XMP.encode())
    picture = read_picture(source)
    pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    again = read_picture(written(tmp_path, picture, suffix, picture.image))
    assert again.suffix == suffix
    assert np.abs(again.image.astype(int) - picture.image).mean() < 4
    assert "Großmutter" in again.xmp.decode()
    assert b"2004:07:11" in again.exif


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_the_picture_is_upright_once(tmp_path: Path, face: Image, form: str, orientation: int) -> None:
    exif = camera_exif()
    exif[ExifTags.Base.Orientation] = orientation
    source = save(tmp_path / "turned", face, form, exif=exif)
    picture = read_picture(source)
    assert picture.image.shape == ((32, 48, 3) if orientation == 3 else (48, 32, 3))
    assert np.array_equal(picture.image, read_image(source))
    again = read_picture(written(tmp_path, picture, image=picture.image))
    assert again.image.shape == picture.image.shape
    assert np.abs(again.image.astype(int) - picture.image).mean() < 6


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_the_profile_stays_and_so_do_the_colours(tmp_path: Path, form: str) -> None:
    stored = np.full((16, 16, 3), (200, 60, 30), np.uint8)
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {"quality": 98}
    picture = read_picture(save(tmp_path / "source", stored, form, icc_profile=swapped_profile(), **options))
    assert np.abs(picture.image[8, 8].astype(int) - (30, 60, 200)).max() <= 6, "worked on in sRGB"
    result = written(tmp_path, picture)
    assert info_of(result)["icc_profile"] == swapped_profile()
    with PIL.Image.open(result) as kept:
        assert np.abs(np.asarray(kept.convert("RGB"))[8, 8].astype(int) - stored[0, 0]).max() <= 8
    assert np.abs(read_picture(result).image[8, 8].astype(int) - (30, 60, 200)).max() <= 8


@pytest.mark.parametrize("profile", [b"words", swapped_profile()[:300], linear_grey_profile()])
def test_a_profile_that_does_not_fit_is_left_out(tmp_path: Path, face: Image, profile: bytes) -> None:
    picture = read_picture(save(tmp_path / "source", face, "PNG", icc_profile=profile))
    assert picture.icc is None
    assert "icc_profile" not in info_of(written(tmp_path, picture))


@pytest.mark.parametrize("profile", [None, linear_grey_profile(), srgb_profile()])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_grey_stays_grey(tmp_path: Path, face: Image, form: str, profile: bytes | None) -> None:
    grey = PIL.Image.fromarray(face).convert("L")
    picture = read_picture(save(tmp_path / "grey", grey, form, icc_profile=profile, quality=95))
    assert picture.grey
    tinted = picture.image.copy()
    tinted[:, :, 0] = np.minimum(tinted[:, :, 0], 250) + 5  # as a face may be, once restored
    info = info_of(written(tmp_path, picture, image=tinted))
    assert info["mode"] == "L"
    assert info.get("icc_profile") == profile


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    picture = read_picture(save(tmp_path / "print", PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG"))
    info = info_of(written(tmp_path, picture))
    assert info["mode"] == "RGB"
    assert np.abs(picture.image[8, 8].astype(int) - (0, 255, 255)).max() <= 4


@pytest.mark.parametrize("form", FORMATS)
def test_alpha_is_enlarged_with_the_picture(tmp_path: Path, face: Image, form: str) -> None:
    alpha = np.zeros(face.shape[:2], np.uint8)
    alpha[:, 24:] = 255
    source = PIL.Image.fromarray(np.dstack([face, alpha]))
    if form == "JPEG":  # which has none: over white
        picture = Picture(face, alpha)
        over_white = read_picture(written(tmp_path, picture, ".jpg"))
        assert over_white.alpha is None
        assert over_white.image[:, :80].min() >= 250
        assert np.abs(over_white.image[:, 112:].astype(int) - upscale(face, 4)[:, 112:]).mean() < 5
        return
    picture = read_picture(save(tmp_path / "source", source, form))
    assert picture.alpha is not None
    again = read_picture(written(tmp_path, picture))
    assert again.alpha is not None
    assert again.alpha[:, :80].max() <= 5
    assert again.alpha[:, 112:].min() >= 250


@pytest.mark.parametrize("mode", ["P", "LA", "1", "PA"])
def test_other_kinds_of_pixels(tmp_path: Path, face: Image, mode: str) -> None:
    picture = PIL.Image.fromarray(face)
    picture = picture.convert("L").convert(mode) if mode != "PA" else picture.convert("P").convert("PA")
    form = "TIFF" if mode == "PA" else "PNG"
    again = read_picture(written(tmp_path, read_picture(save(tmp_path / "source", picture, form)), ".png"))
    assert again.grey == (mode in ("LA", "1"))
    assert (again.alpha is not None) == mode.endswith("A")


def test_hidden_colours_of_a_palette_are_alpha(tmp_path: Path, face: Image) -> None:
    palette = PIL.Image.fromarray(face).quantize(8)
    picture = read_picture(save(tmp_path / "source", palette, "GIF", transparency=palette.getpixel((0, 0))))
    assert (picture.format, picture.suffix) == ("GIF", ".png")
    assert picture.alpha is not None
    assert picture.alpha[0, 0] == 0
    assert picture.alpha.max() == 255


# ------------------------------------------------------------------------------------------- 16 bits


def chunk_of(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def deep_png(values: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """H×W×C uint16 as a PNG, put together by hand."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return png(header, *chunks, (b"IDAT", zlib.compress(rows)))


def test_8_bits_are_the_nearest() -> None:
    values = np.arange(65_536, dtype=np.uint16)
    assert np.array_equal(to_8_bits(values), np.rint(values / 257))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_of_a_png_stay(tmp_path: Path, channels: int) -> None:
    if channels > 1:
        pytest.importorskip("cv2", reason="the extra faces is not installed")
    values = np.random.default_rng(0).integers(0, 65_536, (12, 10, channels), dtype=np.uint16)
    path = tmp_path / "tief.png"
    exif = camera_exif()
    exif[ExifTags.Base.Orientation] = 6
    profile = b"p\0\0" + zlib.compress(srgb_profile())
    grey = channels < 3
    chunks = [(b"eXIf", exif.tobytes()[6:])] + ([] if grey else [(b"iCCP", profile)])
    path.write_bytes(deep_png(values, *chunks, (b"tEXt", b"Title\0a title")))
    picture = read_picture(path)
    turned = np.rot90(values, -1)
    colours, alpha = (turned[..., :-1], turned[..., -1]) if channels % 2 == 0 else (turned, None)
    assert picture.deep is not None
    assert np.array_equal(picture.deep, np.broadcast_to(colours, picture.deep.shape))
    assert np.array_equal(picture.image, to_8_bits(picture.deep))
    assert alpha is None or np.array_equal(picture.alpha, alpha)

    result = written(tmp_path, picture, image=picture.deep)
    assert result.read_bytes()[24] == 16
    again = read_picture(result)
    assert again.deep is not None
    assert np.array_equal(again.deep, picture.deep)
    assert alpha is None or np.array_equal(again.alpha, alpha)
    assert again.grey == (channels == 1)
    assert again.text == (("Title", "a title"),)
    assert ALTERED.encode() in again.xmp
    assert exif_of(result).get(ExifTags.Base.Orientation, 1) == 1
    assert info_of(result).get("icc_profile") == (None if grey else srgb_profile())

    large = np.repeat(np.repeat(picture.deep, 2, 0), 2, 1)
    assert read_picture(written(tmp_path, picture, image=large)).image.shape == (20, 24, 3)
    assert read_picture(written(tmp_path, picture, ".jpg", large)).image.shape == (20, 24, 3)
    if alpha is not None:
        level = read_picture(written(tmp_path, picture, ".webp", large)).alpha
        assert level is not None
        assert level.dtype == np.uint8


def test_16_bits_in_other_colours_than_srgb_stay_16(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    path = tmp_path / "wide.png"
    values = np.full((4, 4, 3), (51_400, 257, 0), np.uint16)
    path.write_bytes(deep_png(values, (b"iCCP", b"p\0\0" + zlib.compress(swapped_profile()))))
    picture = read_picture(path)
    assert picture.deep is not None
    assert np.abs(picture.deep[0, 0].astype(int) - (0, 257, 51_400)).max() <= 20
    assert np.abs(picture.image[0, 0].astype(int) - (0, 1, 200)).max() <= 1
    result = written(tmp_path, picture, image=picture.deep)
    assert result.read_bytes()[24] == 16
    assert info_of(result)["icc_profile"] == swapped_profile()
    again = read_picture(result).deep
    assert again is not None
    assert np.abs(again.astype(int) - picture.deep).max() <= 20


def test_grey_of_32_bits_is_refused(tmp_path: Path) -> None:
    for kind in (np.float32, np.int32):
        path = save(tmp_path / "measured", np.zeros((4, 4), kind), "TIFF")
        with pytest.raises(HimeError, match="8 or 16 bits a channel"):
            read_picture(path)


# ---------------------------------------------------------------------------------- format by format


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_keeps_its_tables_and_subsampling(tmp_path: Path, face: Image, subsampling: int) -> None:
    source = save(tmp_path / "a.jpg", face, "JPEG", quality=97, subsampling=subsampling, progressive=True)
    with PIL.Image.open(written(tmp_path, read_picture(source))) as result, PIL.Image.open(source) as before:
        assert result.quantization == before.quantization
        assert get_sampling(result) == subsampling
        assert result.info["progressive"]


@pytest.mark.parametrize(("quality", "kept"), [(89, False), (90, True), (100, True)])
def test_jpeg_is_never_coarser_than_quality_90(tmp_path: Path, face: Image, quality: int, kept: bool) -> None:
    source = save(tmp_path / "a.jpg", face, "JPEG", quality=quality)
    with PIL.Image.open(save(tmp_path / "b.jpg", face, "JPEG", quality=90)) as fair:
        floor = fair.quantization
    with PIL.Image.open(written(tmp_path, read_picture(source))) as result, PIL.Image.open(source) as before:
        assert result.quantization == (before.quantization if kept else floor)


def test_jpeg_keeps_comment_captions_and_resolution(tmp_path: Path, face: Image) -> None:
    captions = b"\x1c\x02\x78\0\x05party"  # IPTC-IIM 2:120, caption
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(captions)) + captions
    segment = b"Photoshop 3.0\0" + resource
    extra = b"\xff\xed" + struct.pack(">H", 2 + len(segment)) + segment
    source = save(tmp_path / "a.jpg", face, "JPEG", comment=b"hello", dpi=(300, 300), extra=extra)
    info = info_of(written(tmp_path, read_picture(source)))
    assert info["comment"] == b"hello"
    assert info["dpi"] == (300, 300)
    assert info["photoshop"][0x0404] == captions


def test_the_thumbnail_is_dropped(tmp_path: Path, face: Image) -> None:
    buffer = io.BytesIO()
    PIL.Image.fromarray(face).save(buffer, "JPEG")
    # One entry (orientation), then a second folder: where the thumbnail lies, and how long it is.
    first = struct.pack("<HHHIHHI", 1, 274, 3, 1, 1, 0, 26)
    second = struct.pack("<HHHIIHHIII", 2, 513, 4, 1, 56, 514, 4, 1, buffer.tell(), 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + first + second + buffer.getvalue()
    source = save(tmp_path / "a.jpg", face, "JPEG", exif=exif)
    with PIL.Image.open(source) as picture:
        assert picture.getexif().get_ifd(ExifTags.IFD.IFD1)[513] == 56
    result = written(tmp_path, read_picture(source))
    assert result.read_bytes().count(b"\xff\xd8\xff") == 1
    assert exif_of(result).get(ExifTags.Base.Orientation, 1) == 1


def test_webp_stays_lossless(tmp_path: Path, face: Image) -> None:
    large = upscale(face, 4)
    exif = camera_exif()
    exif[ExifTags.Base.Orientation] = 1
    source = save(tmp_path / "a.webp", face, "WEBP", lossless=True, exif=exif)
    assert np.array_equal(read_picture(written(tmp_path, read_picture(source))).image, large)
    source = save(tmp_path / "a.webp", face, "WEBP", quality=95, exif=exif)
    assert read_picture(source).encoding == {}


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_tiff_keeps_a_lossless_compression(tmp_path: Path, face: Image, compression: str) -> None:
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "a scan"
    source = save(tmp_path / "a.tif", face, "TIFF", compression=compression, exif=exif, dpi=(600, 600))
    result = written(tmp_path, read_picture(source))
    info = info_of(result)
    assert info["compression"] == ("tiff_adobe_deflate" if compression == "jpeg" else compression)
    assert info["dpi"] == (600, 600)
    assert exif_of(result)[ExifTags.Base.ImageDescription] == "a scan"


def test_png_keeps_texts(tmp_path: Path, face: Image) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "Zoë")
    texts.add_itxt("Title", "孫", "zh", "題")
    texts.add_text("Software", "GIMP")
    source = save(tmp_path / "a.png", face, "PNG", pnginfo=texts, dpi=(72, 72))
    with PIL.Image.open(written(tmp_path, read_picture(source), software="hime test")) as result:
        result.load()
        assert result.text["Author"] == "Zoë"
        assert result.text["Title"] == "孫"
        assert result.text["Title"].lang == "zh"
        assert result.text["Software"] == "hime test"
        assert result.info["dpi"] == pytest.approx((72, 72), abs=0.1)


def test_bmp_becomes_png(tmp_path: Path, face: Image) -> None:
    picture = read_picture(save(tmp_path / "old", face, "BMP"))
    assert (picture.format, picture.suffix) == ("BMP", ".png")
    assert np.array_equal(picture.image, face)


@pytest.mark.parametrize("form", ["GIF", "TIFF", "AVIF"])
def test_of_several_pictures_none_is_chosen(tmp_path: Path, form: str) -> None:
    frames = [PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    path = save(tmp_path / "many", frames[0], form, save_all=True, append_images=frames[1:])
    with pytest.raises(HimeError, match=r"(an animation|holds several pages); save the one you mean"):
        read_picture(path)


def test_raw_files_are_refused(tmp_path: Path, face: Image) -> None:
    tags = PIL.Image.Exif()
    tags[254] = 1
    with pytest.raises(HimeError, match="a raw file of a camera"):
        read_picture(save(tmp_path / "a.nef", face, "TIFF", exif=tags))


@pytest.mark.parametrize(("compression", "tag", "value"), [("raw", 277, 25_706), ("tiff_lzw", 257, 33)])
def test_a_damaged_tiff_is_told_by_one_line_alone(
    tmp_path: Path, face: Image, compression: str, tag: int, value: int, capfd: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "a.tif", face, "TIFF", compression=compression)
    content = bytearray(path.read_bytes())
    (folder,) = struct.unpack_from("<I", content, 4)
    for entry in range(folder + 2, len(content) - 12, 12):
        if struct.unpack_from("<H", content, entry) == (tag,):
            struct.pack_into("<H", content, entry + 8, value)
            break
    path.write_bytes(content)
    with pytest.raises(HimeError, match="truncated or damaged"):
        read_picture(path)
    assert capfd.readouterr() == ("", ""), "Pillow logs, libtiff prints"


def test_heic_without_its_decoder_says_what_to_install(
    tmp_path: Path, face: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(HimeError, match=r"pip install \"hime-sr\[heif\]\""):
        read_picture(path)
    with pytest.raises(HimeError, match=rf"^{tmp_path}.*HEIC cannot be written"):
        write_picture(path, face, Picture(face))


# ------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    "xmp", [b"words", b"<x/>", b"\xff\xfe<\0", b"<!DOCTYPE a>" + XMP.encode(), b"<a>" * 5000]
)
def test_a_damaged_packet_is_begun_anew(tmp_path: Path, face: Image, xmp: bytes) -> None:
    picture = read_picture(save(tmp_path / "a.webp", face, "WEBP", xmp=xmp))
    assert picture.xmp == xmp
    assert read_picture(written(tmp_path, picture)).xmp.count(ALTERED.encode()) == 1


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0", b"Exif\0\0words", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
def test_damaged_exif_is_replaced(tmp_path: Path, face: Image, exif: bytes) -> None:
    picture = read_picture(save(tmp_path / "a.jpg", face, "JPEG", exif=exif))
    assert exif_of(written(tmp_path, picture))[ExifTags.Base.Software].startswith("hime ")


@pytest.mark.parametrize(
    "tag", [ExifTags.Base.WhitePoint, ExifTags.IFD.Interop, ExifTags.Base.TransferFunction]
)
def test_exif_that_tiff_cannot_hold_is_left_out(
    tmp_path: Path, face: Image, tag: int, capfd: pytest.CaptureFixture[str]
) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, tag, 3, 1, 1, 0)  # a small whole number
    picture = Picture(face, format="TIFF", exif=exif, encoding={"compression": "tiff_lzw"})
    result = written(tmp_path, picture)
    assert exif_of(result)[ExifTags.Base.Software].startswith("hime ")
    assert np.array_equal(read_image(result), upscale(face, 4))
    assert capfd.readouterr() == ("", "")


def test_what_has_no_room_in_a_jpeg_is_left_out(tmp_path: Path, face: Image) -> None:
    exif = camera_exif()
    exif[DETAILS][MAKER_NOTE] = bytes(70_000)
    xmp = XMP.replace("孫", "孫" * 30_000).encode()
    picture = read_picture(save(tmp_path / "a.webp", face, "WEBP", exif=exif, xmp=xmp))
    result = written(tmp_path, picture, ".jpg")
    details = exif_of(result)[DETAILS]
    assert MAKER_NOTE not in details
    assert details[ExifTags.Base.DateTimeOriginal] == "2004:07:11 15:00:00"
    assert ALTERED.encode() in read_picture(result).xmp
    exif[ExifTags.Base.ImageDescription] = "long" * 20_000
    picture = read_picture(save(tmp_path / "a.webp", face, "WEBP", exif=exif))
    assert ExifTags.Base.DateTime not in exif_of(written(tmp_path, picture, ".jpg"))


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path, face: Image) -> None:
    picture = Picture(face)
    for name in ("a.gif", "a.bmp", "a"):
        with pytest.raises(HimeError, match=r"cannot write .*; use one of") as raised:
            write_picture(tmp_path / name, face, picture)
        assert str(tmp_path / name) in str(raised.value)
    with pytest.raises(HimeError, match="uint8 array of shape"):
        write_picture(tmp_path / "a.png", face.astype(np.float32), picture)  # type: ignore[arg-type]
    with pytest.raises(HimeError, match="has no pixels"):
        write_picture(tmp_path / "a.png", face[:0].astype(np.uint16), picture)
    with pytest.raises(HimeError, match="has room for 16383 a side"):
        write_picture(tmp_path / "wide.webp", np.zeros((1, 20_000, 3), np.uint8), picture)
    assert list(tmp_path.iterdir()) == []


def test_names_of_what_is_written_and_read() -> None:
    assert set(WRITTEN) < set(READ)
    for form in WRITTEN.values():
        assert WRITTEN[Picture(np.zeros((1, 1, 3), np.uint8), format=form).suffix] == form
