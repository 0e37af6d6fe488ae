"""What the measuring of pasted faces says, on rendered and on real people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hime
import pasting
from hime.faces.detection import detect
from hime.faces.headshot import Frame
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image


@pytest.fixture(scope="module")
def couple(demo_people: Path) -> Image:
    """Ada, large, and beside her Eva, so near that their frames overlap."""
    y, x = np.mgrid[:760, :1100]
    image = np.stack([90 + x / 9, 120 + y / 8, 200 - x / 12], axis=-1).astype(np.uint8)
    image[160:560, 180:580] = resize(read_image(demo_people / "ada" / "2.webp"), 400, 400)
    image[240:560, 520:840] = resize(read_image(demo_people / "eva" / "1.webp"), 320, 320)
    return image


def check(measured: pasting.Pasting | None) -> None:
    assert measured is not None
    assert measured.identity_outside <= 1
    assert measured.identity_inside <= 2
    assert measured.others_nearer == 0
    assert measured.shift < 0.1
    assert measured.truth > measured.plain + 5
    assert 0.95 < measured.seam < 1.05


def test_rendered_people(couple: Image) -> None:
    measured = pasting.measure(couple, 48, hime.load("small-x4-p", threads=1).backend)
    check(measured)
    assert measured is not None
    assert measured.others > 5000
    assert measured.others_changed < measured.others / 20
    assert measured.seam_unmasked > 1.1


@pytest.mark.parametrize("name", ["7226_184568.jpg", "7407_196978.jpg", "7429_189620.jpg"])
def test_real_people(shared: Path, name: str) -> None:
    photo = read_image(shared / "photos" / "several_faces" / name)
    measured = pasting.measure(photo, 40, hime.load("small-x4-p", threads=1).backend)
    check(measured)
    assert measured is not None
    assert measured.others > 0


def test_a_shift_and_a_seam_are_seen(couple: Image) -> None:
    frame = Frame.of(detect(couple)[0].landmarks)
    inner = pasting.distances(frame, couple.shape) < 0.7
    moved = np.roll(couple, (1, 2), axis=(0, 1))
    assert pasting.shift(couple, couple, inner) < 0.01
    assert pasting.shift(moved, couple, inner) == pytest.approx(np.hypot(1, 2), abs=0.1)
    brighter = couple.copy()
    brighter[pasting.distances(frame, couple.shape) < 1] += 10
    assert pasting.seam(couple, couple, frame) == pytest.approx(1)
    assert pasting.seam(brighter, couple, frame) > 1.3


def test_the_table(couple: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hime.pictures.writing import write_image

    (tmp_path / "inner").mkdir()
    assert pasting.main([str(tmp_path)]) == 1
    write_image(tmp_path / "inner" / "couple.png", couple)
    write_image(tmp_path / "inner" / "wall.png", np.full((64, 64, 3), 90, np.uint8))
    capsys.readouterr()
    assert pasting.main([str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("faces: 1\nidentity, largest difference inside: 0\n")
    assert "seam: mean " in told
