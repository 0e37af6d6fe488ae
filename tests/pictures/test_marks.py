"""Results say themselves that they are some, in every format; what was edited since does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
from PIL import ExifTags

from hime.pictures.formats import WRITTEN
from hime.pictures.marks import is_marked
from hime.pictures.reading import Picture, read_picture
from hime.pictures.writing import write_picture
from hime.pictures.xmp import ALTERED

IMAGE = np.full((40, 30, 3), 120, np.uint8)
FROM_THE_PAGE = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'xmlns:xmp="http://ns.adobe.com/xap/1.0/" Iptc4xmpExt:DigitalSourceType="{ALTERED}" '
    'xmp:CreatorTool="hime in the browser"/></rdf:RDF></x:xmpmeta>'
).encode()


@pytest.mark.parametrize("form", sorted({*WRITTEN} - {".heic", ".heif"}))
def test_a_result_is_marked(tmp_path: Path, form: str) -> None:
    for like in (Picture(IMAGE), Picture(IMAGE).for_crop()):
        assert is_marked(write_picture(tmp_path / f"a{form}", IMAGE, like))
    assert not is_marked(write_picture(tmp_path / f"b{form}", IMAGE, Picture(IMAGE), altered=False))
    assert not is_marked(write_picture(tmp_path / f"c{form}", IMAGE, Picture(IMAGE), "another program"))


def test_a_result_of_16_bits_and_one_of_heic_are_marked(tmp_path: Path) -> None:
    deep = IMAGE.astype(np.uint16) * 257
    for form in (".png", ".tif"):
        assert is_marked(write_picture(tmp_path / f"a{form}", deep, Picture(IMAGE)))
    pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    assert is_marked(write_picture(tmp_path / "a.heic", IMAGE, Picture(IMAGE)))


def test_what_the_page_saves_is_marked(tmp_path: Path) -> None:
    text = PIL.PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", FROM_THE_PAGE.decode())
    PIL.Image.fromarray(IMAGE).save(tmp_path / "a.png", pnginfo=text)
    PIL.Image.fromarray(IMAGE).save(tmp_path / "a.jpg", xmp=FROM_THE_PAGE)
    assert is_marked(tmp_path / "a.png")
    assert is_marked(tmp_path / "a.jpg")


def test_what_another_program_has_written_since_is_not(tmp_path: Path) -> None:
    result = write_picture(tmp_path / "a.jpg", IMAGE, Picture(IMAGE))
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Software] = "GIMP 2.10"
    edited = tmp_path / "b.jpg"
    PIL.Image.fromarray(IMAGE).save(edited, exif=exif, xmp=read_picture(result).xmp)
    assert not is_marked(edited)


def test_the_mark_is_found_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = write_picture(tmp_path / "a.webp", IMAGE, Picture(IMAGE))  # whose metadata are at its end
    for size in range(100, 140):
        monkeypatch.setattr("hime.pictures.marks._BLOCK", size)
        assert is_marked(result)


def test_what_is_no_picture_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    assert not is_marked(path)
    path.write_bytes(ALTERED.encode())
    assert not is_marked(path)


def test_what_is_no_picture_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x20ftypisom" + bytes(1 << 22) + ALTERED.encode())
    monkeypatch.setattr("hime.pictures.marks._BLOCK", None)  # of a block nothing could be read
    monkeypatch.setattr("hime.pictures.marks.open_picture", None)
    assert not is_marked(film)
