"""The examples run, as a newcomer runs them, on the people that come with the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
MADE = {
    "restore_a_photo": ("ada.png", "restored"),
    "references_once": ("ben-2.png", "from the references"),
    "keep_a_person": ("eva.png", "eva restored"),
    "compare_models": (None, "small-x4-p"),
    "train_a_model": ("tiny-x4/card.json", "parameters in"),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_an_example_does_what_it_says(name: str, tmp_path: Path) -> None:
    arguments = ["4"] if name == "train_a_model" else []
    without_weights = {key: value for key, value in os.environ.items() if key != "HIME_WEIGHTS_DIR"}
    ran = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *arguments],
        cwd=tmp_path,
        env=without_weights | {"TORCH_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    file, told = MADE[name]
    assert told in ran.stdout
    assert file is None or (tmp_path / "demo" / "examples" / file).stat().st_size > 0
    assert 8 <= len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 27
