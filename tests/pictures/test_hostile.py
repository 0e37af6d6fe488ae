"""Metadata that are made to cost time or memory, and reading and writing from many threads at once."""

from __future__ import annotations

import os
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags
from test_picture import XMP, camera_exif, chunk_of, save

from hime.errors import HimeError
from hime.pictures.arrays import Image, upscale
from hime.pictures.decoding import UNSOUND_EXIF
from hime.pictures.directories import MAX_ENTRIES, is_sound
from hime.pictures.parts import MOTION
from hime.pictures.places import Placement
from hime.pictures.reading import read_image, read_picture
from hime.pictures.writing import write_picture
from hime.pictures.xmp import ALTERED, DAMAGED, MAX_MARKS, MAX_XMP, TOO_LARGE, xmp_for

resource = pytest.importorskip("resource", reason="memory is limited on POSIX systems only")
PLACEMENT = Placement((48, 32), 6, 128, 192)


@pytest.fixture(scope="session")
def face(demo_people: Path) -> Image:
    """A rendered face, 48×32."""
    return read_image(demo_people / "ada" / "0.webp")[96:128, 104:152]


def many_entries(count: int, size: int, *, order: str = "<") -> bytes:
    """A block of EXIF whose entries all name the same bytes: Pillow copies them for each."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = [(1 + number, 7, size, 8) for number in range(count)]
    body = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return b"Exif\0\0" + mark + struct.pack(order + "IH", 8, count) + body + bytes(4) + bytes(size % 1000)


@pytest.fixture
def _little_memory() -> object:
    """What a process may take beside what it has: 1 GB of addresses."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if not pages:
        pytest.skip("there is no /proc here to tell how much is in use")
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (1 << 30), before[1]))
    yield None
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_directories_that_name_too_much_are_unsound() -> None:
    assert is_sound(camera_exif().tobytes())
    assert is_sound(camera_exif().tobytes()[6:])
    assert is_sound(many_entries(40, 4))
    for exif in (
        many_entries(65_535, 60_000),
        many_entries(MAX_ENTRIES + 1, 4),
        many_entries(40, 2**31),
        b"",
        b"words",
    ):
        assert not is_sound(exif)
    inside = PIL.Image.Exif()
    inside[ExifTags.IFD.Exif] = {ExifTags.Base.ColorSpace: 1}
    content = inside.tobytes()
    place = content.index(struct.pack(">HHI", 34_665, 4, 1)) + 8
    below = struct.pack(">H", 65_535) + struct.pack(">HHII", 37_500, 7, 60_000, 8) * 65_535
    hostile = content[:place] + struct.pack(">I", len(content) - 6) + content[place + 4 :] + below
    assert not is_sound(hostile)


@given(st.binary(max_size=200), st.integers(0, 60), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]))
def test_any_bytes_are_looked_through(body: bytes, count: int, mark: bytes) -> None:
    is_sound(mark + body)
    is_sound(mark + struct.pack("<IH", 8, count) + body)
    is_sound(mark + struct.pack(">IH", 8, count) + body)


@pytest.mark.usefixtures("_little_memory")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
def test_exif_of_65535_entries_is_left_out(tmp_path: Path, face: Image, form: str) -> None:
    hostile = many_entries(65_535, 60_000)
    if form == "JPEG":  # in as many segments as it takes
        body = hostile[6:]
        segments = [b"Exif\0\0" + body[at : at + 60_000] for at in range(0, len(body), 60_000)]
        extra = b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment for segment in segments)
        path = save(tmp_path / "a", face, form, extra=extra, quality=95)
        content = path.read_bytes()
        path.write_bytes(content[:2] + content[20:])  # without JFIF, for whose resolution Pillow asks EXIF
    elif form == "PNG":
        path = save(tmp_path / "a", face, form)
        content = path.read_bytes()
        path.write_bytes(content[:33] + chunk_of(b"eXIf", hostile[6:]) + content[33:])
    else:
        harmless = camera_exif()
        harmless[ExifTags.Base.Orientation] = 1  # AVIF and HEIC keep it outside of EXIF too
        harmless[ExifTags.Base.ImageDescription] = "x" * (len(hostile) + 100)
        path = save(tmp_path / "a", face, form, exif=harmless, quality=95)
        content = path.read_bytes()
        place = content.index(b"MM\0*")
        path.write_bytes(content[:place] + hostile[6:] + content[place + len(hostile) - 6 :])
    assert np.abs(read_image(path).astype(int) - face).mean() < 4
    picture = read_picture(path)
    assert picture.notes == (UNSOUND_EXIF,)
    assert picture.exif == b""
    assert np.abs(picture.image.astype(int) - face).mean() < 4


@pytest.mark.usefixtures("_little_memory")
def test_a_tiff_of_65535_entries_is_refused(tmp_path: Path, face: Image) -> None:
    path = save(tmp_path / "a.tif", face, "TIFF")
    content = path.read_bytes()
    body = struct.pack("<H", 65_535) + b"".join(
        struct.pack("<HHII", tag, 7, 60_000, 8) for tag in range(65_535)
    )
    path.write_bytes(b"II*\0" + struct.pack("<I", len(content)) + content[8:] + body + bytes(60_000))
    with pytest.raises(HimeError, match=r"truncated or damaged \(65535 entries\)"):
        read_picture(path)


DOCTYPE = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">%s]>' % "".join(  # noqa: UP031
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)
BOMB = (DOCTYPE + XMP.replace("孫", "&j;")).encode()
HOSTILE: dict[str, Callable[[], bytes]] = {
    "entities": lambda: BOMB,
    "entities in UTF-16LE": lambda: BOMB.decode().encode("utf-16-le"),
    "entities in UTF-16 with its mark": lambda: BOMB.decode().encode("utf-16"),
    "entities in UTF-32": lambda: BOMB.decode().encode("utf-32"),
    "another encoding declared": lambda: b'<?xml version="1.0" encoding="UTF-16"?>' + BOMB,
    "UTF-7 declared": lambda: b'<?xml version="1.0" encoding="UTF-7"?>' + BOMB.decode().encode("utf-7"),
    "one external entity": lambda: b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + XMP.encode(),
    "deep": lambda: b"<a>" * 10_000 + b"</a>" * 10_000,
}


@pytest.mark.usefixtures("_little_memory")
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_packets_are_begun_anew(tmp_path: Path, face: Image, kind: str) -> None:
    content, notes = xmp_for(HOSTILE[kind](), PLACEMENT, altered=True)
    assert notes == [DAMAGED]
    assert content.count(ALTERED.encode()) == 1
    assert b"ENTITY" not in content
    picture = read_picture(save(tmp_path / "a.webp", face, "WEBP", xmp=HOSTILE[kind]()))
    result = read_picture(write_picture(tmp_path / "b.webp", face, picture))
    assert result.xmp.count(ALTERED.encode()) == 1


def test_large_packets_are_not_parsed() -> None:
    inside = XMP.replace("</r:Description></r:RDF>", "{}</r:Description></r:RDF>")
    for body in ("x" * MAX_XMP, "<a/>" * MAX_MARKS):
        assert xmp_for(inside.format(body).encode(), PLACEMENT, altered=True)[1] == [TOO_LARGE]
    content, notes = xmp_for(inside.format("<dc:a/>" * (MAX_MARKS - 100)).encode(), PLACEMENT, altered=True)
    assert notes == [MOTION]
    assert content.count(b"<dc:a/>") == MAX_MARKS - 100
    assert xmp_for(b"", PLACEMENT, altered=False) == (b"", [])


# ------------------------------------------------------------------------------------------- threads


def in_threads(count: int, work: Callable[[int], None]) -> list[BaseException]:
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # to be seen by the test
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def test_many_threads_read_and_write(tmp_path: Path, face: Image, capfd: pytest.CaptureFixture[str]) -> None:
    sources = []
    for number in range(8):
        image = np.roll(face, number, axis=1)
        if number % 2:
            options = {"exif": camera_exif(), "lossless": True}  # which says that it lies upside down
            sources.append((save(tmp_path / str(number), image, "WEBP", **options), image[::-1, ::-1]))
        else:
            sources.append((save(tmp_path / str(number), image, "TIFF", compression="tiff_lzw"), image))
    damaged = save(tmp_path / "damaged.tif", face, "TIFF", compression="tiff_lzw")
    content = damaged.read_bytes()
    damaged.write_bytes(content[:30] + bytes(40) + content[70:])
    standard_error = os.fstat(2)
    filters = list(warnings.filters)

    def work(number: int) -> None:
        path, image = sources[number]
        for turn in range(6):
            assert np.array_equal(read_image(path), image)
            picture = read_picture(path)
            result = write_picture(tmp_path / "out" / f"{number} {turn}.tif", upscale(image, 2), picture)
            assert np.array_equal(read_image(result), upscale(image, 2))
            with pytest.raises(HimeError):
                read_image(damaged)

    assert in_threads(8, work) == []
    after = os.fstat(2)
    assert (after.st_dev, after.st_ino) == (standard_error.st_dev, standard_error.st_ino)
    assert list(warnings.filters) == filters
    print("still heard", file=sys.stderr)
    assert capfd.readouterr() == ("", "still heard\n")


def test_standard_error_is_never_redirected(
    tmp_path: Path, face: Image, capfd: pytest.CaptureFixture[str]
) -> None:
    """What other threads say while TIFFs are read is heard."""
    path = save(tmp_path / "a.tif", upscale(face, 8), "TIFF", compression="tiff_lzw")
    stop = threading.Event()
    said = 0

    def speak() -> None:
        nonlocal said
        while not stop.is_set():
            os.write(2, b".")
            said += 1

    speaker = threading.Thread(target=speak)
    speaker.start()
    for _ in range(20):
        read_image(path)
    stop.set()
    speaker.join()
    assert capfd.readouterr().err.count(".") == said


def test_warnings_of_others_are_heard_while_pictures_are_read(face: Image) -> None:
    from hime.pictures.decoding import unremarked

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with unremarked(), unremarked():
            warnings.warn("of the program", stacklevel=1)
            broken = PIL.Image.Exif()
            broken.load(b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
        warnings.warn("after it", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["of the program", "after it"]
