"""Places that metadata name in a picture lie on the same pixels in the result, or are taken out and told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags
from test_picture import save

from hime.pictures.arrays import Image, upright, upscale
from hime.pictures.metadata import MAKER_NOTES, SUBJECT
from hime.pictures.places import Placement, moved_subject, turned_point
from hime.pictures.reading import read_picture
from hime.pictures.regions import EDITS, PANORAMA, REGIONS
from hime.pictures.writing import write_picture
from hime.pictures.xmp import ALTERED

WIDTH, HEIGHT = 60, 40
"""Of the stored picture."""
BOX = (33, 6, 45, 14)
"""Left, top, right, bottom of what is marked in it."""

MWG = """<mwg-rs:Regions rdf:parseType="Resource">
<mwg-rs:AppliedToDimensions stDim:w="{w}" stDim:h="{h}" stDim:unit="pixel"/>
<mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description mwg-rs:Name="Großmutter" mwg-rs:Type="Face"
 mwg-rs:Rotation="0.0">
<mwg-rs:Area stArea:x="{x}" stArea:y="{y}" stArea:w="{aw}" stArea:h="{ah}" stArea:unit="normalized"/>
</rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"""
MICROSOFT = """<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag><rdf:li
 MPReg:PersonDisplayName="Großmutter" MPReg:Rectangle="{left}, {top}, {aw}, {ah}"/></rdf:Bag></MPRI:Regions>
</MP:RegionInfo>"""
SPACES = " ".join(
    f'xmlns:{prefix}="{space}"'
    for prefix, space in {
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
        "stArea": "http://ns.adobe.com/xmp/sType/Area#",
        "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
        "MP": "http://ns.microsoft.com/photo/1.2/",
        "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
        "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
        "GPano": "http://ns.google.com/photos/1.0/panorama/",
        "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "acdsee-rs": "http://ns.acdsee.com/regions/",
        "acdsee-stArea": "http://ns.acdsee.com/sType/Area#",
        "darktable": "http://darktable.sf.net/",
    }.items()
)


def packet(properties: str, attributes: str = "") -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {SPACES}><rdf:Description rdf:about="" {attributes}>'
        f"{properties}</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def parts(box: tuple[float, ...] = BOX, width: int = WIDTH, height: int = HEIGHT) -> dict[str, float]:
    """A box in parts of the picture: centre and sides, and its left upper corner."""
    left, top, right, bottom = box
    return {
        "x": (left + right) / 2 / width,
        "y": (top + bottom) / 2 / height,
        "aw": (right - left) / width,
        "ah": (bottom - top) / height,
        "left": left / width,
        "top": top / height,
    }


def marked_image() -> Image:
    """Grey with a bright box, as it is stored."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    left, top, right, bottom = BOX
    image[top:bottom, left:right] = 240
    return image


def marked(path: Path, turn: int, xmp: bytes = b"", **details: Any) -> Path:
    """A file of it that is to be turned."""
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    if details:
        exif[ExifTags.IFD.Exif] = {
            getattr(ExifTags.Base, name, 0x9214): value for name, value in details.items()
        }
    PIL.Image.fromarray(marked_image()).save(path, "WEBP", lossless=True, exact=True, exif=exif, xmp=xmp)
    return path


def restored(folder: Path, source: Path, factor: int = 4) -> tuple[Image, str, dict[int, Any], list[str]]:
    """The result enlarged: its pixels, its XMP, EXIF's details, and what is told."""
    picture = read_picture(source)
    notes: list[str] = []
    image = upscale(picture.image, factor) if factor > 1 else picture.image
    result = write_picture(folder / "result.webp", image, picture, notes=notes)
    again = read_picture(result)
    with PIL.Image.open(result) as opened:
        details = dict(opened.getexif().get_ifd(ExifTags.IFD.Exif))
    return again.image, again.xmp.decode(), details, notes


def bright_box(image: Image) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(image[:, :, 1] > 165)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def values(xmp: str, *names: str) -> list[float]:
    """Of attributes or elements of these names, the first of each."""
    found = []
    for name in names:
        match = re.search(rf'{name}="([^"]*)"|<{name}>([^<]*)</', xmp)
        assert match, name
        found.append(float(match[1] or match[2]))
    return found


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("applied_to", ["stored", "upright"])
def test_regions_of_faces_lie_on_the_same_pixels(tmp_path: Path, turn: int, applied_to: str) -> None:
    sides, box = (WIDTH, HEIGHT), parts()
    if applied_to == "upright":  # as some programs write them
        turned = bright_box(upright(marked_image(), turn))
        sides = (HEIGHT, WIDTH) if turn >= 5 else (WIDTH, HEIGHT)
        box = parts(turned, *sides)
        if turn < 5 and turn != 1:
            pytest.skip("sizes do not tell a picture from the same upside down: EXIF's rule counts")
    xmp = packet(MWG.format(w=sides[0], h=sides[1], **box) + MICROSOFT.format(**box))
    image, result, _, notes = restored(tmp_path, marked(tmp_path / "a.webp", turn, xmp))
    left, top, right, bottom = bright_box(image)
    height, width = image.shape[:2]
    x, y, w, h = values(result, "stArea:x", "stArea:y", "stArea:w", "stArea:h")
    assert (x * width, y * height) == pytest.approx(((left + right) / 2, (top + bottom) / 2), abs=0.6)
    assert (w * width, h * height) == pytest.approx((right - left, bottom - top), abs=1.1)
    assert values(result, "stDim:w", "stDim:h") == [width, height]
    rectangle = re.search(r'MPReg:Rectangle="([^"]*)"', result)
    assert rectangle
    l, t, w, h = (float(value) for value in rectangle[1].split(","))  # noqa: E741
    assert (l * width, t * height) == pytest.approx((left, top), abs=0.6)
    assert (w * width, h * height) == pytest.approx((right - left, bottom - top), abs=1.1)
    assert "Großmutter" in result
    assert ("Rotation" in result) == (turn == 1 or applied_to == "upright")
    assert notes == []


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "AVIF", "HEIF"])
def test_regions_are_turned_in_every_format(tmp_path: Path, form: str) -> None:
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    xmp = packet(MWG.format(w=WIDTH, h=HEIGHT, **parts()))
    source = save(tmp_path / "a", marked_image(), form, exif=exif, xmp=xmp)
    picture = read_picture(source)
    result = read_picture(write_picture(tmp_path / f"b{picture.suffix}", picture.image, picture))
    assert result.image.shape == (WIDTH, HEIGHT, 3)
    left, top, right, bottom = bright_box(result.image)
    found = values(result.xmp.decode(), "stArea:x", "stArea:y")
    assert found[0] * HEIGHT == pytest.approx((left + right) / 2, abs=1)
    assert found[1] * WIDTH == pytest.approx((top + bottom) / 2, abs=1)


@pytest.mark.parametrize(
    "xmp",
    [
        MWG.format(w=640, h=640, **parts()),  # the picture was cropped by a program that did not know them
        MWG.format(w=0, h=40, **parts()),
        MWG.format(w=WIDTH, h=HEIGHT, **{**parts(), "x": "far"}),
        MICROSOFT.format(**{**parts(), "left": "0.1, 0.2"}),
    ],
)
def test_regions_that_do_not_fit_are_taken_out_and_told(tmp_path: Path, xmp: str) -> None:
    _, result, _, notes = restored(tmp_path, marked(tmp_path / "a.webp", 6, packet(xmp)))
    assert "Großmutter" not in result
    assert REGIONS in notes
    assert ALTERED in result


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_subject_of_exif_lies_on_the_same_pixels(tmp_path: Path, turn: int) -> None:
    left, top, right, bottom = BOX
    centre = ((left + right) // 2, (top + bottom) // 2)
    area = (*centre, right - left, bottom - top)
    xmp = packet(
        "<exif:SubjectArea><rdf:Seq>"
        + "".join(f"<rdf:li>{value}</rdf:li>" for value in area)
        + "</rdf:Seq></exif:SubjectArea>"
    )
    details = {
        "SubjectArea": area,
        "SubjectLocation": centre,
        "ExifImageWidth": WIDTH,
        "ExifImageHeight": HEIGHT,
    }
    image, result, found, notes = restored(tmp_path, marked(tmp_path / "a.webp", turn, xmp, **details))
    box = bright_box(image)
    expected = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1])
    assert found[0x9214] == pytest.approx(expected, abs=1.1)
    assert found[ExifTags.Base.SubjectLocation] == pytest.approx(expected[:2], abs=1.1)
    assert [float(value) for value in re.findall(r"<rdf:li>(\d+)</rdf:li>", result)] == pytest.approx(
        expected, abs=1.1
    )
    assert notes == []


def test_a_subject_counts_in_the_size_that_exif_names(tmp_path: Path) -> None:
    """As of a picture that was made smaller by a program that left EXIF as it was."""
    details = {"SubjectArea": (300, 200, 60), "ExifImageWidth": 600, "ExifImageHeight": 400}
    _, _, found, notes = restored(tmp_path, marked(tmp_path / "a.webp", 1, **details))
    assert found[0x9214] == (120, 80, 24)
    assert notes == []
    details = {"SubjectArea": (300, 200), "ExifImageWidth": 400, "ExifImageHeight": 400}
    _, _, found, notes = restored(tmp_path, marked(tmp_path / "a.webp", 1, **details))
    assert 0x9214 not in found
    assert notes == [SUBJECT]


def test_notes_of_the_maker_stay_where_nothing_moves(tmp_path: Path) -> None:
    for turn, factor, kept in ((1, 1, True), (1, 4, False), (6, 1, False)):
        source = marked(tmp_path / "a.webp", turn, MakerNote=b"Camera\0focus at 33, 6")
        _, _, details, notes = restored(tmp_path, source, factor)
        assert (ExifTags.Base.MakerNote in details) == kept
        assert notes == ([] if kept else [MAKER_NOTES])


def test_focal_plane_resolution_grows_with_the_picture(tmp_path: Path) -> None:
    details = {"FocalPlaneXResolution": 3000.0, "FocalPlaneYResolution": 2000.0}
    _, _, found, _ = restored(tmp_path, marked(tmp_path / "a.webp", 6, **details))
    assert float(found[ExifTags.Base.FocalPlaneXResolution]) == pytest.approx(8000)
    assert float(found[ExifTags.Base.FocalPlaneYResolution]) == pytest.approx(12_000)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_crop_settings(tmp_path: Path, turn: int) -> None:
    left, top, right, bottom = BOX
    names = ("crs:CropLeft", "crs:CropTop", "crs:CropRight", "crs:CropBottom")
    crop = dict(zip(names, (left / WIDTH, top / HEIGHT, right / WIDTH, bottom / HEIGHT), strict=True))
    attributes = " ".join(f'{name}="{value:.6f}"' for name, value in crop.items())
    attributes += ' crs:CropAngle="0" crs:CropWidth="12" crs:HasCrop="True" crs:Exposure2012="+0.30"'
    xmp = packet("<crs:RetouchAreas><rdf:Seq/></crs:RetouchAreas>", attributes)
    image, result, _, notes = restored(tmp_path, marked(tmp_path / "a.webp", turn, xmp))
    found = values(result, *names)
    height, width = image.shape[:2]
    box = bright_box(image)
    assert (found[0] * width, found[1] * height) == pytest.approx(box[:2], abs=0.6)
    assert (found[2] * width, found[3] * height) == pytest.approx(box[2:], abs=0.6)
    assert "CropWidth" not in result
    assert 'Exposure2012="+0.30"' in result
    assert ("RetouchAreas" in result) == (turn == 1)
    assert notes == ([] if turn == 1 else [EDITS])


def test_a_tilted_crop_is_not_turned(tmp_path: Path) -> None:
    attributes = 'crs:CropLeft="0.1" crs:CropTop="0" crs:CropRight="1" crs:CropBottom="1" crs:CropAngle="-3"'
    for turn, kept in ((1, True), (6, False)):
        _, result, _, notes = restored(tmp_path, marked(tmp_path / "a.webp", turn, packet("", attributes)))
        assert ("CropLeft" in result) == kept
        assert notes == ([] if kept else [EDITS])


def test_regions_of_iptc_and_panoramas_grow_and_are_not_turned(tmp_path: Path) -> None:
    iptc = (
        '<Iptc4xmpExt:ImageRegion><rdf:Bag><rdf:li rdf:parseType="Resource"><Iptc4xmpExt:RegionBoundary'
        ' Iptc4xmpExt:rbShape="rectangle" Iptc4xmpExt:rbUnit="{unit}" Iptc4xmpExt:rbX="{x}"'
        ' Iptc4xmpExt:rbH="3"/>'
        "</rdf:li></rdf:Bag></Iptc4xmpExt:ImageRegion>"
    )
    panorama = 'GPano:FullPanoWidthPixels="600" GPano:CroppedAreaTopPixels="7" GPano:PoseHeadingDegrees="350"'
    for turn, unit, x, expected in ((1, "pixel", "33", [132, 12]), (1, "relative", "0.5", [0.5, 3])):
        xmp = packet(iptc.format(unit=unit, x=x), panorama)
        _, result, _, notes = restored(tmp_path, marked(tmp_path / "a.webp", turn, xmp))
        assert values(result, "Iptc4xmpExt:rbX", "Iptc4xmpExt:rbH") == expected
        assert values(result, "GPano:FullPanoWidthPixels", "GPano:CroppedAreaTopPixels") == [2400, 28]
        assert notes == []
    _, result, _, notes = restored(tmp_path, marked(tmp_path / "a.webp", 8, xmp))
    assert "rbX" not in result
    assert "Pixels" not in result
    assert 'PoseHeadingDegrees="350"' in result
    assert notes == [REGIONS, PANORAMA]


def test_areas_of_others_and_edits_are_not_turned(tmp_path: Path) -> None:
    acdsee = '<acdsee-rs:Regions><acdsee-rs:DLYArea acdsee-stArea:x="0.3"/></acdsee-rs:Regions>'
    xmp = packet(acdsee, 'darktable:history_end="3" darktable:xmp_version="5"')
    for turn in (1, 6):
        _, result, _, notes = restored(tmp_path, marked(tmp_path / "a.webp", turn, xmp))
        assert ("DLYArea" in result) == ("history_end" in result) == (turn == 1)
        assert notes == ([] if turn == 1 else [REGIONS, EDITS])
        assert "darktable:xmp_version" in result


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 5))
def test_a_point_goes_where_its_pixel_goes(turn: int, column: int, row: int) -> None:
    image = np.zeros((6, 9), np.uint8)
    image[row, column] = 1
    turned = upright(image, turn)
    x, y = turned_point((column + 0.5) / 9, (row + 0.5) / 6, turn)
    assert turned[int(y * turned.shape[0]), int(x * turned.shape[1])] == 1


def test_a_subject_that_exif_has_no_room_for() -> None:
    placement = Placement((40_000, 30_000), 1, 80_000, 60_000)
    assert moved_subject((10_000, 10_000), (40_000, 30_000), placement) == (20_000, 20_000)
    assert moved_subject((39_000, 10_000), (40_000, 30_000), placement) is None
    assert moved_subject((1,), (40_000, 30_000), placement) is None
