"""What belongs to a photograph beside its pixels: date, sidecars, what is appended; and what a crop keeps."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import ExifTags, PngImagePlugin
from test_images import srgb_profile, swapped_profile
from test_picture import XMP, camera_exif, chunk_of, exif_of, info_of, save
from test_places import MWG, packet, parts, values

from hime.pictures.arrays import Image, upscale
from hime.pictures.deep import TO_8_BITS
from hime.pictures.parts import APPENDED, DEPTH, FURTHER, GAIN_MAP, MOTION, PROVENANCE
from hime.pictures.reading import Picture, read_image, read_picture
from hime.pictures.writing import files_written, write_picture
from hime.pictures.xmp import ALTERED, DAMAGED, TOO_LARGE

A_DAY = 86_400 * 10**9
"""Nanoseconds."""
RIGHTS = """<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Zoë</rdf:li></rdf:Alt></dc:rights>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Großmutter</rdf:li></rdf:Alt></dc:title>
<dc:subject><rdf:Bag><rdf:li>Großmutter</rdf:li></rdf:Bag></dc:subject>"""


@pytest.fixture(scope="session")
def face(demo_people: Path) -> Image:
    """A rendered face, 48×32."""
    return read_image(demo_people / "ada" / "0.webp")[96:128, 104:152]


# ------------------------------------------------------------------------------------------- a crop


def secretive(path: Path, face: Image, form: str) -> Path:
    """A file that says where it was taken, who is in it, and with which camera."""
    exif = camera_exif()
    exif[ExifTags.Base.Copyright] = "Zoe"
    exif[ExifTags.Base.Artist] = "owner"
    exif[ExifTags.Base.ImageDescription] = "Grossmutter"
    exif[ExifTags.IFD.Exif][ExifTags.Base.BodySerialNumber] = "serial 4711"
    exif[ExifTags.IFD.Exif][ExifTags.Base.OffsetTimeOriginal] = "+02:00"
    attributes = 'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    attributes += ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:DateCreated="2004-07-11"'
    attributes += ' xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" aux:SerialNumber="serial 4711"'
    attributes += ' xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" xmpRights:Marked="True"'
    xmp = packet(MWG.format(w=48, h=32, **parts(width=48, height=32)) + RIGHTS, attributes)
    options: dict[str, Any] = {"comment": b"Grossmutter"} if form == "JPEG" else {}
    return save(path, face, form, exif=exif, xmp=xmp, icc_profile=swapped_profile(), **options)


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "TIFF", "PNG", "AVIF"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_crop_keeps_date_colour_and_copyright_only(
    tmp_path: Path, face: Image, form: str, suffix: str
) -> None:
    picture = read_picture(secretive(tmp_path / "source", face, form))
    notes: list[str] = []
    result = write_picture(
        tmp_path / f"crop{suffix}", picture.image[4:20, 4:20], picture.for_crop(), notes=notes
    )
    exif = exif_of(result)
    details = exif.pop(ExifTags.IFD.Exif)
    assert not exif.pop(ExifTags.IFD.GPSInfo)
    assert details == {
        ExifTags.Base.DateTimeOriginal: "2004:07:11 15:00:00",
        ExifTags.Base.OffsetTimeOriginal: "+02:00",
    }
    assert set(exif) == {ExifTags.Base.DateTime, ExifTags.Base.Copyright, ExifTags.Base.Software}
    xmp = read_picture(result).xmp.decode()
    assert "© Zoë" in xmp
    assert 'DateCreated="2004-07-11"' in xmp
    assert 'Marked="True"' in xmp
    assert ALTERED in xmp
    assert info_of(result)["icc_profile"] == swapped_profile()
    content = result.read_bytes()
    for secret in (b"serial", b"Grossmutter", "Großmutter".encode(), b"mwg-rs:Regions", b"Camera", b"owner"):
        assert secret not in content, secret
    assert notes == []


def test_a_crop_keeps_of_a_png_the_texts_that_say_whose_it_is(tmp_path: Path, face: Image) -> None:
    texts = PngImagePlugin.PngInfo()
    for key in ("Copyright", "Creation Time", "Author", "Description", "Comment"):
        texts.add_text(key, f"my {key}")
    picture = read_picture(save(tmp_path / "a.png", face, "PNG", pnginfo=texts)).for_crop()
    assert picture.text == (("Copyright", "my Copyright"), ("Creation Time", "my Creation Time"))


def test_a_crop_of_damaged_metadata_has_none(face: Image) -> None:
    for xmp in (b"words", b"<x/>", packet(""), packet("").decode().encode("utf-16-le")):
        crop = Picture(face, exif=b"Exif\0\0words", xmp=xmp).for_crop()
        assert crop.exif == crop.xmp == b""


# ------------------------------------------------------------------------------------ date and sidecars


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_the_date_of_the_file_stays(tmp_path: Path, face: Image, suffix: str) -> None:
    source = save(tmp_path / "a.jpg", face, "JPEG")
    before = source.stat().st_mtime_ns - 3000 * A_DAY
    os.utime(source, ns=(before, before))
    picture = read_picture(source)
    kept = write_picture(tmp_path / f"kept{suffix}", face, picture)
    assert kept.stat().st_mtime_ns == before
    fresh = write_picture(tmp_path / f"fresh{suffix}", face, picture, keep_date=False)
    assert fresh.stat().st_mtime_ns > before + A_DAY
    assert write_picture(tmp_path / f"bare{suffix}", face, Picture(face)).stat().st_mtime_ns > before + A_DAY


@pytest.mark.parametrize("name", ["party.xmp", "party.jpg.xmp", "party.jpg.XMP"])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_sidecars_are_written_along(tmp_path: Path, face: Image, name: str, suffix: str) -> None:
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    source = save(tmp_path / "party.jpg", face, "JPEG", exif=exif)
    (tmp_path / name).write_bytes(packet(MWG.format(w=48, h=32, **parts(width=48, height=32))))
    picture = read_picture(source)
    out = tmp_path / "out"
    notes: list[str] = []
    result = write_picture(out / f"party{suffix}", upscale(picture.image, 4), picture, notes=notes)
    sidecar = out / ("party.xmp" if name == "party.xmp" else f"party{suffix}.xmp")
    assert files_written(result, picture) == [result, sidecar]
    assert sorted(out.iterdir()) == sorted([result, sidecar])
    told = sidecar.read_text()
    assert "Großmutter" in told
    assert values(told, "stDim:w", "stDim:h") == [128, 192]
    assert values(told, "stArea:x")[0] == pytest.approx(1 - parts(width=48, height=32)["y"], abs=1e-5)
    assert ALTERED in told
    assert notes == []
    assert picture.for_crop().sidecars == ()


def test_the_sidecar_of_the_source_is_left_as_it_is(tmp_path: Path, face: Image) -> None:
    source = save(tmp_path / "party.png", face, "PNG")
    (tmp_path / "party.xmp").write_bytes(packet("", 'exif:PixelXDimension="48"'))
    picture = read_picture(source)
    result = write_picture(tmp_path / "party.jpg", upscale(face, 2), picture)
    assert files_written(result, picture) == [result]
    assert (tmp_path / "party.xmp").read_bytes() == packet("", 'exif:PixelXDimension="48"')


def test_sidecars_that_cannot_be_used_are_told(tmp_path: Path, face: Image) -> None:
    source = save(tmp_path / "party.jpg", face, "JPEG")
    (tmp_path / "party.xmp").write_bytes(b"words")
    os.mkfifo(tmp_path / "party.jpg.xmp")
    notes: list[str] = []
    result = write_picture(tmp_path / "out" / "party.jpg", face, read_picture(source), notes=notes)
    assert list(result.parent.iterdir()) == [result]
    assert len(notes) == 2
    assert "its sidecar party.jpg.xmp is left out: is a pipe" in notes[0]
    assert "its sidecar party.xmp is damaged" in notes[1]


# ------------------------------------------------------------------------------------ what is appended


def jpeg(face: Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(face).save(buffer, "JPEG", **options)
    return buffer.getvalue()


FILM = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(range(256))
CAMERA = 'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1"'
HDRGM = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
DEPTH_MAP = 'xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/" GDepth:Near="1.5"'


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("plain", []),
        ("padded", []),
        ("film", [MOTION]),
        ("film by name alone", [MOTION]),
        ("gain map", [GAIN_MAP]),
        ("gain map and film", [GAIN_MAP, MOTION]),
        ("two pictures", [FURTHER]),
        ("preview", []),
        ("trailer", [APPENDED]),
        ("depth", [DEPTH]),
        ("signed", [PROVENANCE]),
    ],
)
def test_what_is_appended_to_a_jpeg_is_left_out_with_a_line(
    tmp_path: Path, face: Image, kind: str, expected: list[str]
) -> None:
    buffer = io.BytesIO()
    PIL.Image.fromarray(face).save(
        buffer, "MPO", save_all=True, append_images=[PIL.Image.fromarray(face[::-1].copy())]
    )
    two = buffer.getvalue()
    content = {
        "plain": jpeg(face),
        "padded": jpeg(face) + bytes(4000),
        "film": jpeg(face, xmp=packet("", CAMERA)) + FILM,
        "film by name alone": jpeg(face) + FILM,
        "gain map": jpeg(face, xmp=packet("", HDRGM)) + jpeg(face),
        "gain map and film": jpeg(face, xmp=packet("", HDRGM)) + jpeg(face) + FILM,
        "two pictures": two,
        "preview": _as_preview(two),
        "trailer": jpeg(face) + bytes(range(200)) + b"SEFT",
        "depth": jpeg(face, xmp=packet("", DEPTH_MAP)),
        "signed": jpeg(face, extra=b"\xff\xeb\0\x20JP\0\1\0\0\0\1\0\0\0\x14jumb" + bytes(14)),
    }[kind]
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    picture = read_picture(path)
    notes: list[str] = []
    result = write_picture(tmp_path / "result.jpg", upscale(picture.image, 2), picture, notes=notes)
    assert notes == expected
    again = result.read_bytes()
    assert again.count(b"\xff\xd8\xff") == 1
    for word in (b"hdrgm", b"MotionPhoto", b"ftyp", b"GDepth:", b"SEFT", b"jumb"):
        assert word not in again.replace(b'xmlns:hdrgm="', b"")


def _as_preview(two: bytes) -> bytes:
    """The second picture of the file is called a large thumbnail (CIPA DC-007, table 4)."""
    block = two.index(b"MPF\0") + 4
    order = "<" if two[block : block + 2] == b"II" else ">"
    (place,) = struct.unpack_from(order + "I", two, block + 4)
    (count,) = struct.unpack_from(order + "H", two, block + place)
    data = bytearray(two)
    for entry in range(block + place + 2, block + place + 2 + 12 * count, 12):
        tag, _, _, at = struct.unpack_from(order + "HHII", two, entry)
        if tag == 0xB002:
            struct.pack_into(order + "I", data, block + at + 16, 0x01_0001)
    return bytes(data)


def test_signed_files_are_told(tmp_path: Path, face: Image) -> None:
    path = save(tmp_path / "a.png", face, "PNG")
    content = path.read_bytes()
    path.write_bytes(content[:33] + chunk_of(b"caBX", b"\0\0\0\x14jumb") + content[33:])
    assert read_picture(path).notes == (PROVENANCE,)
    path = save(tmp_path / "a.webp", face, "WEBP", lossless=True, exif=camera_exif())
    content = path.read_bytes() + b"C2PA\x04\0\0\0jumb"
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    assert read_picture(path).notes == (PROVENANCE,)
    exif = PIL.Image.Exif()
    exif[52_545] = b"jumb"
    assert read_picture(save(tmp_path / "a.tif", face, "TIFF", exif=exif)).notes == (PROVENANCE,)


def test_items_of_a_heic_are_told(tmp_path: Path, face: Image) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    path = tmp_path / "a.heic"
    file = pillow_heif.from_pillow(PIL.Image.fromarray(face))
    file.add_from_pillow(PIL.Image.fromarray(face[::-1].copy()))
    file.save(path)
    assert read_picture(path).notes == (FURTHER,)
    pillow_heif.from_pillow(PIL.Image.fromarray(face)).save(path)
    assert read_picture(path).notes == ()
    path.write_bytes(path.read_bytes() + b"\0\0\0\x10mpvd" + FILM[:8])
    assert read_picture(path).notes == (MOTION,)
    deep = np.full((32, 48, 3), 30_000, np.uint16)
    pillow_heif.from_bytes("RGB;16", (48, 32), deep.tobytes()).save(path)
    assert read_picture(path).notes == (TO_8_BITS,)


# ------------------------------------------------------------------------------------------- no room


def test_what_has_no_room_is_told(tmp_path: Path, face: Image) -> None:
    xmp = XMP.replace("孫", "孫" * 30_000).encode()
    picture = read_picture(save(tmp_path / "a.webp", face, "WEBP", xmp=xmp))
    for suffix, kept in ((".jpg", False), (".png", True), (".webp", True)):
        notes: list[str] = []
        result = write_picture(tmp_path / f"result{suffix}", face, picture, notes=notes)
        assert ("孫孫" in read_picture(result).xmp.decode()) == kept
        assert (TOO_LARGE in notes) != kept
    notes = []
    write_picture(tmp_path / "result.png", face, Picture(face, xmp=b"words"), notes=notes)
    assert notes == [DAMAGED]


def test_a_profile_that_works_one_way_only_is_told(tmp_path: Path, face: Image) -> None:
    notes: list[str] = []
    one_way = srgb_profile().replace(b"prtr", b"scnr").replace(b"mntr", b"link")
    result = write_picture(tmp_path / "a.png", face, Picture(face, icc=one_way[:200]), notes=notes)
    assert "icc_profile" not in info_of(result)
    assert len(notes) == 1
    assert "sRGB" in notes[0]


def test_alpha_that_a_jpeg_has_no_room_for_is_told(tmp_path: Path, face: Image) -> None:
    notes: list[str] = []
    write_picture(tmp_path / "a.jpg", face, Picture(face, np.full(face.shape[:2], 9, np.uint8)), notes=notes)
    assert len(notes) == 1
    assert "transparent" in notes[0]
