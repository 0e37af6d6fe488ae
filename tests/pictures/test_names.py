"""Faces that metadata name: found where they are, however the picture is turned, whoever wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags
from test_places import BOX, HEIGHT, MICROSOFT, MWG, WIDTH, bright_box, marked_image, packet, parts

from hime.pictures.names import NamedFace, named_faces, read_named_faces
from hime.pictures.reading import read_image

STORED = (WIDTH, HEIGHT)


def tagged(path: Path, turn: int, xmp: bytes) -> Path:
    """A file of the picture with a bright box, in the format of its ending."""
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    options = {"quality": 100} if path.suffix in (".jpg", ".avif") else {}
    if path.suffix == ".webp":
        options = {"lossless": True}
    if path.suffix == ".tiff":
        exif[700] = xmp
    if path.suffix == ".png":
        text = PIL.PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
        options = {"pnginfo": text}
    PIL.Image.fromarray(marked_image()).save(path, exif=exif, xmp=xmp, **options)
    return path


def assert_on_the_box(face: NamedFace, image: np.ndarray) -> None:
    left, top, right, bottom = bright_box(image)
    height, width = image.shape[:2]
    assert (face.x, face.y) == pytest.approx(
        ((left + right) / 2 / width, (top + bottom) / 2 / height), abs=0.02
    )
    sides = ((right - left) / width, (bottom - top) / height)
    assert (face.width, face.height) == pytest.approx(sides, abs=0.03)
    assert face.name == "Großmutter"


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["jpg", "png", "webp", "tiff"])
def test_a_named_face_is_where_it_is_upright(tmp_path: Path, turn: int, form: str) -> None:
    for number, xmp in enumerate((MWG.format(w=WIDTH, h=HEIGHT, **parts()), MICROSOFT.format(**parts()))):
        path = tagged(tmp_path / f"{number}.{form}", turn, packet(xmp))
        (face,) = read_named_faces(path)
        assert_on_the_box(face, read_image(path))


def test_metadata_after_the_pixels(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a.png", 1, packet(MICROSOFT.format(**parts())))
    content = path.read_bytes()
    start = content.index(b"iTXt") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    last = content.index(b"IEND") - 4
    path.write_bytes(content[:start] + content[end:last] + content[start:end] + content[last:])
    (face,) = read_named_faces(path)
    assert_on_the_box(face, marked_image())


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    for turn in (1, 6, 8):
        exif = PIL.Image.Exif()
        exif[ExifTags.Base.Orientation] = turn
        path = tmp_path / f"{turn}.heic"
        xmp = packet(MWG.format(w=WIDTH, h=HEIGHT, **parts()))
        heif.from_pillow(PIL.Image.fromarray(marked_image())).save(
            path, exif=exif.tobytes(), xmp=xmp, quality=100
        )
        (face,) = read_named_faces(path)
        assert_on_the_box(face, read_image(path))


def test_a_sidecar_names_faces_too_and_adds_to_the_picture(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a.jpg", 1, packet(MICROSOFT.format(**parts())))
    other = MWG.replace("Großmutter", "Opa").format(w=WIDTH, h=HEIGHT, **parts())
    (tmp_path / "a.jpg.xmp").write_bytes(packet(other + MICROSOFT.format(**parts())))
    assert [face.name for face in read_named_faces(path)] == ["Großmutter", "Opa"]


def test_pixels_are_parts_of_the_picture() -> None:
    left, top, right, bottom = BOX
    region = MWG.replace("normalized", "pixel").format(
        w=WIDTH, h=HEIGHT, x=(left + right) / 2, y=(top + bottom) / 2, aw=right - left, ah=bottom - top
    )
    (face,) = named_faces(packet(region), STORED, 1)
    assert_on_the_box(face, marked_image())


def test_names_are_spelled_one_way() -> None:
    region = MWG.replace("Großmutter", "  Zoe\u0308 &#10; M. ").format(w=WIDTH, h=HEIGHT, **parts())
    (face,) = named_faces(packet(region), STORED, 1)
    assert face.name == "Zoë M."


@pytest.mark.parametrize(
    "region",
    [
        MWG.replace('"Face"', '"Pet"').format(w=WIDTH, h=HEIGHT, **parts()),
        MWG.replace("Großmutter", "").format(w=WIDTH, h=HEIGHT, **parts()),
        MWG.format(w=WIDTH, h=WIDTH, **parts()),  # of a picture that was cropped since
        MWG.format(w=WIDTH, h=HEIGHT, **parts() | {"aw": 0}),
        MWG.format(w=WIDTH, h=HEIGHT, **parts() | {"x": 7}),
        MWG.format(w=WIDTH, h=HEIGHT, **parts() | {"x": "nan"}),
        MICROSOFT.format(**parts()).replace(", ", "; "),
        "<mwg-rs:Regions/>",
    ],
)
def test_what_names_nobody(region: str) -> None:
    assert named_faces(packet(region), STORED, 1) == []


def test_entities_and_endless_packets_are_not_read() -> None:
    region = MWG.format(w=WIDTH, h=HEIGHT, **parts())
    entity = b'<!DOCTYPE x [<!ENTITY a "Opa">]>' + packet(region.replace("Großmutter", "&a;"))
    assert named_faces(entity, STORED, 1) == []
    assert named_faces(packet(region + "<rdf:li/>" * 60_000), STORED, 1) == []
    assert named_faces(b" " * 2_000_000 + packet(region), STORED, 1) == []


@given(st.data())
def test_damaged_packets_name_nobody_or_somebody_in_the_picture(data: st.DataObject) -> None:
    whole = packet(MWG.format(w=WIDTH, h=HEIGHT, **parts()) + MICROSOFT.format(**parts()))
    place = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(0, 40))
    xmp = whole[:place] + data.draw(st.binary(max_size=20)) + whole[place + length :]
    for face in named_faces(xmp, STORED, data.draw(st.integers(1, 8))):
        assert 0 <= face.x <= 1
        assert 0 <= face.y <= 1
        assert 0 < face.width <= 1
        assert 0 < face.height <= 1


def test_a_file_that_is_no_picture_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(packet(MWG.format(w=WIDTH, h=HEIGHT, **parts())))
    assert read_named_faces(tmp_path / "a.jpg") == []
    assert read_named_faces(tmp_path / "missing.jpg") == []
