"""Seconds and memory that `hime restore` takes for photographs of 12 and 48 megapixels with four faces.

    python comparisons/large_photos.py [--cores 1 2] [--repeats 3] [--model NAME] [--known]

The photographs are made: four rendered people, 70 to 128 pixels with hair and neck, before a background as
rough as a landscape; JPEG, quality 92. Each measurement is a process of its own from start to end, held to so
many cores, with five photos of each person as references: the least wall time and processor time of the
repeats, and the largest memory (VmHWM) of any. The photos of the people are new to it, or, with ``--known``,
were looked at in a run before. Linux only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image

from hime.data.people import DEMO_PEOPLE
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image
from hime.restoring.exported import DEFAULT_PHOTO_MODEL

SIZES = {12: (4000, 3000), 48: (8000, 6000)}
"""Width and height by megapixels."""
PEOPLE = {"ada": 70, "ben": 128, "carl": 90, "eva": 110}
"""Who is in it, and the side of the headshot."""

PROGRAM = """
import pathlib, sys
from hime.cli import main
status = main(sys.argv[1:])
print(pathlib.Path("/proc/self/status").read_text())
sys.exit(status)
"""
"""`hime` that says last what it held."""


def photograph(width: int, height: int) -> Image:
    """The people in a row before the background, uint8 H×W×3."""
    random = np.random.default_rng(0)
    total = np.zeros((height, width, 3), np.float32)
    sides = [width >> octave for octave in range(10)]
    for side in sides:  # as strong in each octave: the spectrum of photographs
        noise: npt.NDArray[np.uint8] = random.integers(0, 256, (side * height // width, side, 3), np.uint8)
        total += np.asarray(PIL.Image.fromarray(noise).resize((width, height), PIL.Image.Resampling.BICUBIC))
    image: Image = np.rint(total / len(sides)).astype(np.uint8)
    for number, (name, side) in enumerate(PEOPLE.items()):
        left, top = width * (number + 1) // 5, height // 2 + height // 40 * number
        headshot = read_image(DEMO_PEOPLE / name / "0.webp")
        image[top : top + side, left : left + side] = resize(headshot, side, side)
    return image


def restore(photo: Path, out: Path, model: str, cores: int, cache: str) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and MiB of one `hime restore`; ``cache`` is what HIME_CACHE says.

    Raises:
        SystemExit: it did not restore the four.
    """
    with tempfile.TemporaryDirectory() as temporary:
        references = []
        for name in PEOPLE:  # not the photo that the input was made from
            references.append(folder := Path(temporary) / name)
            folder.mkdir()
            for number in range(1, 6):
                (folder / f"{number}.webp").symlink_to(DEMO_PEOPLE / name / f"{number}.webp")
        command = [sys.executable, "-c", PROGRAM, "restore", str(photo), "--refs", *map(str, references)]
        # As where it is installed, its modules are compiled already, from the second run at the latest.
        installed = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--model", model, "--out", str(out), "--overwrite", "--threads", str(cores)],
            stdout=subprocess.PIPE,
            text=True,
            env={**installed, "HIME_CACHE": cache},
            preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores]),
        )
        assert process.stdout is not None
        told = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not all(f"{name} 1" in told for name in PEOPLE):
        raise SystemExit(f"not as it should be: {told}")
    held = int(told.split("VmHWM:")[1].split()[0])  # ru_maxrss would count what this process holds as well
    return seconds, usage.ru_utime + usage.ru_stime, held / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--megapixels", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    parser.add_argument("--model", default=DEFAULT_PHOTO_MODEL, help="default: %(default)s")
    parser.add_argument("--known", action="store_true", help="the people's photos were looked at before")
    options = parser.parse_args(arguments)
    print("| megapixels | cores | seconds | of processors | MiB | result |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for megapixels in options.megapixels:
            picture = PIL.Image.fromarray(photograph(*SIZES[megapixels]))
            photo = Path(temporary) / f"{megapixels}.jpg"
            picture.save(photo, quality=92)
            del picture
            out = Path(temporary) / "restored.jpg"
            for cores in options.cores:
                cache = str(Path(temporary) / "cache") if options.known else "off"
                if options.known:
                    restore(photo, out, options.model, cores, cache)
                runs = [restore(photo, out, options.model, cores, cache) for _ in range(options.repeats)]
                seconds, worked, memory = zip(*runs, strict=True)
                with PIL.Image.open(out) as result:
                    size = "×".join(map(str, result.size))
                told = f"{min(seconds):.1f} | {min(worked):.1f} | {max(memory):.0f} | {size}"
                print(f"| {megapixels} | {cores} | {told} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
