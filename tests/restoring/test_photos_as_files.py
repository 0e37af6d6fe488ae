"""`hime restore` and what photographs are beside their pixels: date, metadata, sidecars, formats."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ExifTags

from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image, read_picture
from integration.command_line import run

pytest.importorskip("cv2", reason="the extra faces is not installed")
Capture = pytest.CaptureFixture[str]
LONG_AGO = 1_089_550_800
"""A day in 2004, in seconds since 1970."""


@pytest.fixture
def ada(demo_people: Path) -> Image:
    """A face of 80 pixels before a plain wall, 120×110."""
    image = np.full((120, 110, 3), (180, 170, 150), np.uint8)
    image[20:100, 15:95] = resize(read_image(demo_people / "ada" / "0.webp"), 80, 80)
    return image


@pytest.fixture
def photo(tmp_path: Path, ada: Image) -> Path:
    """That as a JPEG of long ago, of a camera, with a place, and a sidecar."""
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: "2004:07:11 15:00:00", 0x927C: b"focus"}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (48.0, 5.0, 3.5)}
    path = tmp_path / "photos" / "party.jpg"
    path.parent.mkdir()
    PIL.Image.fromarray(ada).save(path, exif=exif, quality=95)
    (path.parent / "party.jpg.xmp").write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<r:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"/></r:RDF></x:xmpmeta>'
    )
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def test_date_and_sidecar_go_along_and_what_does_not_is_told(
    photo: Path, demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    command = ["restore", photo, "--refs", demo_people / "ada" / "1.webp", "--model", tiny_model, "--out"]
    assert run(*command, tmp_path / "out") == 0
    told = capsys.readouterr().err
    assert f"hime: {photo}: the camera maker's notes are left out" in told
    result = tmp_path / "out" / "party.jpg"
    assert result.stat().st_mtime == LONG_AGO
    assert 'Rating="5"' in (tmp_path / "out" / "party.jpg.xmp").read_text()
    assert read_picture(result).exif.count(b"2004:07:11 15:00:00") == 1
    assert run(*command, tmp_path / "fresh", "--no-keep-date") == 0
    assert (tmp_path / "fresh" / "party.jpg").stat().st_mtime > LONG_AGO + 1e6


def test_a_face_alone_says_neither_where_nor_with_what(
    photo: Path, demo_people: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["restore", photo, "--refs", demo_people / "ada" / "1.webp", "--model", tiny_model]
    assert run(*command, "--out", out, "--crop") == 0
    assert [path.name for path in out.glob("[!.]*")] == ["party-face1.png"]
    with PIL.Image.open(out / "party-face1.png") as face:
        exif = face.getexif()
        assert set(exif) == {ExifTags.Base.Software, ExifTags.IFD.Exif}
        assert exif.get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.DateTimeOriginal: "2004:07:11 15:00:00"}
    assert (out / "party-face1.png").stat().st_mtime == LONG_AGO


def test_the_enlargement_fits_the_format(
    ada: Image, demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    for width, expected in ((5000, 10_000), (16_400, None)):
        source = tmp_path / f"wide{width}.png"
        wide = np.full((120, width, 3), 150, np.uint8)
        wide[:, 200:310] = ada
        PIL.Image.fromarray(wide).save(source)
        out = tmp_path / f"out{width}.webp"
        command = ["restore", source, "--refs", demo_people / "ada" / "1.webp", "--model", tiny_model]
        status = run(*command, "--out", out)
        told = capsys.readouterr().err
        if expected is None:
            assert status == 1
            assert "16400×120 pixels, and WEBP has room for 16383 a side; choose .png or .tif" in told
            assert not out.exists()
        else:
            assert status == 0
            assert "enlarged ×2 only" in told
            assert "than .webp has room for" in told
            assert read_image(out).shape == (240, expected, 3)


@pytest.mark.parametrize("kind", ["pipe", "loop"])
def test_pipes_and_links_in_a_circle_are_one_line(
    demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture, kind: str
) -> None:
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    photo = demo_people / "ada" / "1.webp"
    out = tmp_path / "out"
    assert run("restore", path, "--refs", photo, "--out", out, "--model", tiny_model) == 1
    lines = capsys.readouterr().err.splitlines()
    assert f"hime: {path}: is a {'pipe' if kind == 'pipe' else 'link'}" in lines[0]
    assert run(
        "restore", photo, "--refs", path, photo, "--out", out, "--model", tiny_model, "--everyone"
    ) in (0, 1)
    assert "Traceback" not in capsys.readouterr().err
