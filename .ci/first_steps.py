"""What a user does first with an installed hime, on any system: `python .ci/first_steps.py COMMAND …`.

COMMAND is what runs it: ``hime``, or ``docker run … hime``. The pictures lie in the folder ``--folder``,
which COMMAND sees as ``--seen-as``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

PEOPLE = Path(__file__).parents[1] / "src" / "hime" / "demo_people" / "rendered"
SMALL = (44, 44)


def make_pictures(folder: Path) -> None:
    """A small face in a picture, and photos of the same person."""
    picture = Image.new("RGB", (170, 130), (70, 90, 60))
    with Image.open(PEOPLE / "ada" / "0.webp") as face:
        picture.paste(face.convert("RGB").resize(SMALL), (60, 40))
    picture.save(folder / "party.png")
    (folder / "ada").mkdir()
    for number in (1, 2, 3):
        shutil.copy(PEOPLE / "ada" / f"{number}.webp", folder / "ada")


def run(command: list[str], *arguments: str) -> str:
    """Run it; what it printed."""
    print("$ hime", *arguments, flush=True)
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, encoding="utf-8", check=False
    )
    print(done.stdout, done.stderr, sep="", flush=True)
    if done.returncode != 0:
        raise SystemExit(f"hime {arguments[0]} ended with status {done.returncode}")
    return done.stdout


def check(folder: Path, command: list[str], seen: str) -> None:
    """Every step, with what must come out."""
    make_pictures(folder)
    assert run(command, "--version").startswith("hime ")
    assert "small-x4-real-p" in run(command, "info")
    run(command, "restore", f"{seen}/party.png", "--refs", f"{seen}/ada", "--out", f"{seen}/restored.png")
    with Image.open(folder / "restored.png") as restored, Image.open(folder / "party.png") as given:
        assert restored.size == (4 * given.width, 4 * given.height)
        plain = given.resize(restored.size, Image.Resampling.LANCZOS)
        box = (260, 180, 400, 320)  # within the face
        assert restored.convert("RGB").crop(box).tobytes() != plain.convert("RGB").crop(box).tobytes()
    run(command, "app", "--export", f"{seen}/site")
    assert (folder / "site" / "index.html").is_file()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="empty; default: a temporary one")
    parser.add_argument("--seen-as", help="default: as it is called here")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        check(folder, options.command, options.seen_as or str(folder))


if __name__ == "__main__":
    main()
