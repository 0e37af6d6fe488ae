"""Pseudo-labels of faces: what is painted where, and what training makes of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import face_labels
from face_labels import INNER_LIPS, LANDMARKS, LEFT_EYE, OUTER_LIPS, OVAL, RIGHT_EYE, paint
from hime.data.people import DEMO_PEOPLE
from hime.training.labels import read_labels

pytest.importorskip("cv2")


def ring(count: int, x: float, y: float, radius: float) -> np.ndarray:
    """Points around (x, y), from the left over the top to the right and back below."""
    angles = np.pi + 2 * np.pi * np.arange(count) / count
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


@pytest.fixture
def mesh() -> np.ndarray:
    """A face of rings; brows and nose lie at its middle."""
    points = np.full((478, 2), 0.5)
    points[list(OVAL)] = ring(len(OVAL), 0.5, 0.5, 0.4)
    points[list(LEFT_EYE)] = ring(len(LEFT_EYE), 0.35, 0.4, 0.06)
    points[list(RIGHT_EYE)] = ring(len(RIGHT_EYE), 0.65, 0.4, 0.06)
    points[list(OUTER_LIPS)] = ring(len(OUTER_LIPS), 0.5, 0.75, 0.12)
    points[list(INNER_LIPS)] = ring(len(INNER_LIPS), 0.5, 0.75, 0.05)
    return points


def test_parts_are_painted_over_one_another(mesh: np.ndarray) -> None:
    mask = np.zeros((256, 256), dtype=bool)
    mask[20:] = True
    labels = paint(mesh, mask)

    def at(x: float, y: float) -> int:
        return int(labels[int(y * 128), int(x * 128)])

    assert labels.shape == (128, 128)
    assert labels.dtype == np.uint8
    assert at(0.02, 0.02) == 0  # background
    assert at(0.05, 0.9) == 13  # the rest of the person
    assert at(0.2, 0.6) == 1  # skin
    assert (at(0.35, 0.4), at(0.65, 0.4)) == (4, 5)  # eyes
    assert at(0.5, 0.75) == 10  # inner mouth
    assert (at(0.5, 0.67), at(0.5, 0.84)) == (11, 12)  # lips


def test_there_are_68_landmarks() -> None:
    assert len(LANDMARKS) == len(set(LANDMARKS)) == 68
    assert max(LANDMARKS) < 478


def test_the_file_is_what_training_reads(
    mesh: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MediaPipe's place taken: every photo but one has this face."""

    class Known:
        def __enter__(self) -> Known:
            self.seen = 0
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __call__(self, photo: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
            self.seen += 1
            if self.seen == 1:
                return None
            mask = np.ones(photo.shape[:2], dtype=bool)
            return mesh[list(LANDMARKS)].astype(np.float16), paint(mesh, mask)

    monkeypatch.setattr(face_labels, "Labeller", Known)
    out = tmp_path / "labels.npz"
    assert face_labels.main([str(DEMO_PEOPLE), "--out", str(out)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["labels.npz"]
    files = sorted(path for path in DEMO_PEOPLE.glob("*/*") if path.suffix in face_labels.SUFFIXES)
    names = [f"{DEMO_PEOPLE.name}/{path.parent.name}/{path.name}" for path in files]
    labels = read_labels(out, names, 64)
    assert labels["parsing"].shape == (len(files), 64, 64)
    assert (labels["points"][0] < 0).all()  # the one without a face
    assert (labels["points"][1:] > 0).all()
    assert face_labels.main([str(tmp_path), "--out", str(out)]) == 1
