"""The measuring of large photographs, on a small one: its figures mean nothing here."""

from __future__ import annotations

import re
import sys

import pytest

import large_photos
from hime.faces.detection import detect


def test_four_faces() -> None:
    assert len(detect(large_photos.photograph(1200, 900))) == 4


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="holds processes to cores as Linux does")
def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(large_photos, "SIZES", {12: (800, 600)})
    assert large_photos.main(["--megapixels", "12", "--cores", "1", "--repeats", "1"]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"\| 12 \| 1 \| [\d.]+ \| [\d.]+ \| \d{3,4} \| 3200×2400 \|", row)
