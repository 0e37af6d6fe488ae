"""The examples run, as a newcomer runs them, on the people that come with the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import PIL.Image
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


def test_a_stranger_in_the_picture_is_told_of(tmp_path: Path, demo_people: Path) -> None:
    with (
        PIL.Image.open(demo_people / "ada" / "0.webp") as ada,
        PIL.Image.open(demo_people / "ben" / "0.webp") as ben,
    ):
        two = PIL.Image.new("RGB", (300, 130), (70, 90, 60))
        two.paste(ada.resize((60, 60)), (40, 40))
        two.paste(ben.resize((60, 60)), (190, 40))
    two.save(tmp_path / "two.png")
    for number in (1, 2, 3):
        (tmp_path / "ada").mkdir(exist_ok=True)
        (tmp_path / "ada" / f"{number}.webp").symlink_to(demo_people / "ada" / f"{number}.webp")
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "restore_a_photo.py", "two.png", "ada", "out.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("likeness") == 1
    assert "somebody left: not one of the people given" in ran.stdout
