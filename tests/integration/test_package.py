"""The package stays small enough to be fetched without a thought."""

from __future__ import annotations

import zipfile
from pathlib import Path

import hime
from hime.tools.serve import BUILT

LARGEST = 25_000_000
"""Bytes of the wheel with the released models, without the app's pages (18 MB more where they were built)."""


def test_the_wheel_stays_small(tmp_path: Path) -> None:
    package = Path(hime.__file__).parent
    with zipfile.ZipFile(tmp_path / "wheel.zip", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and BUILT not in path.parents:
                wheel.write(path, path.relative_to(package))
    assert 0 < (tmp_path / "wheel.zip").stat().st_size <= LARGEST
