"""The forms of files that `comparisons/packed.py` measures hold the same photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import packed
from hime.data.people import people_in


def test_every_form_gives_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "SECONDS", 0.05)
    pytest.importorskip("pyarrow")
    faces = packed.synthetic(tmp_path / "faces", 20)
    files = [path for photos in people_in(faces).values() for path in photos]
    assert len(files) == 20
    forms = packed.make_forms(files, tmp_path)
    rows = np.array([0, 19, 7, 7])
    expected = packed.reader("files", faces)(rows)
    assert np.asarray(expected).shape == (4, 3, packed.SIDE, packed.SIDE)
    for name, path in {**forms, "npy, mapped": forms["pack"]}.items():
        assert np.array_equal(packed.reader(name, path)(rows), expected), name
    found = packed.measure_form("pack", forms["pack"], 20)
    assert found["bytes_per_photo"] > 3 * packed.SIDE**2
