"""What `hime restore --engine ray` costs and bears, on real workers of this machine. Linux only.

    python comparisons/cluster.py crashes [--photos 2000] [--kills 10]
    python comparisons/cluster.py throughput [--photos 300]
    python comparisons/cluster.py memory [--rows 20000]

`crashes`: workers and the driver are killed (SIGKILL) at random moments, the same command is given again, and
the results are compared with the plain loop's, byte for byte. `throughput`: seconds a picture of the plain
loop on one thread, and of one and two workers of one thread each, from the first picture's beginning to the
last one's end. `memory`: what the largest worker and the driver hold while small pictures go through, most of
them without a face. The photographs are made: 48 pixels a side, a rendered person's headshot of 40 in it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from hime.data.people import DEMO_PEOPLE
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image
from hime.restoring.exported import FAST_PHOTO_MODEL

PEOPLE = ("ada", "ben")
"""Who is in the photographs, in turn."""
EVERY = 20
"""Of the pictures of `memory`, one in so many has a face."""


def photograph(number: int) -> Image:
    """One person before a plain wall, uint8 48×48×3; no two are the same."""
    image: Image = np.full((48, 48, 3), (180, 170, 150), np.uint8)
    headshot = read_image(DEMO_PEOPLE / PEOPLE[number % len(PEOPLE)] / "0.webp")
    image[4:44, 4:44] = resize(headshot, 40, 40)
    image[:2, :2], image[2:4, :2] = number % 251, number // 251
    return image


def make_people(folder: Path) -> Path:
    """Two photos of each person."""
    for name in PEOPLE:
        (folder / name).mkdir(parents=True)
        for number in (1, 2):
            shutil.copy(DEMO_PEOPLE / name / f"{number}.webp", folder / name)
    return folder


def hime(*arguments: object) -> list[str]:
    """The words of a command."""
    return [sys.executable, "-m", "hime", *map(str, arguments)]


def processes_below(root: int) -> Iterator[tuple[int, str]]:
    """The processes that descend from one, with their titles."""
    parents, titles = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                stat = (folder / "stat").read_text()
                titles[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
                parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    for process in parents:
        above = process
        while above in parents and above != root:
            above = parents[above]
        if above == root:
            yield process, titles[process]


def workers_of(driver: int) -> list[int]:
    """The processes that restore."""
    return [process for process, title in processes_below(driver) if title.startswith("ray::MapWorker")]


def held(process: int) -> float:
    """Memory of a process that it does not share, in MiB; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    own = (line.split() for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))
    return sum(int(words[1]) for words in own) / 1024


def rows(out: Path) -> list[dict[str, Any]]:
    """Every row in a job's files."""
    files = sorted((out / ".hime-job").glob("done-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def crashes(folder: Path, photos: int, kills: int, seed: int, model: str) -> dict[str, Any]:
    """Kill workers and drivers while photographs are restored, and compare with the plain loop."""
    names = [f"{number % 2}/{number:05}.png" for number in range(photos)]
    for number, name in enumerate(names):
        write_image(folder / "photos" / name, photograph(number))
    common = ["--refs", make_people(folder / "people"), "--model", model, "--quiet", "--out"]
    began = time.perf_counter()
    loops = [  # one for each half
        subprocess.Popen(
            hime("restore", folder / "photos" / half, "--threads", 1, *common, folder / "plain" / half)
        )
        for half in "01"
    ]
    if any(loop.wait() for loop in loops):
        raise SystemExit("the plain loop failed")
    plain_seconds = time.perf_counter() - began
    out = folder / "out"
    command = hime("restore", folder / "photos", "--engine", "ray", "--concurrency", 2, *common, out)
    draw = random.Random(seed)
    moments = sorted(draw.randrange(photos) for _ in range(kills))
    victims = ["driver" if number % 2 else "worker" for number in range(kills)]
    draw.shuffle(victims)
    began, runs = time.perf_counter(), 1
    driver = subprocess.Popen(command)
    for moment, victim in zip(moments, victims, strict=True):
        while _results(out) < moment or not workers_of(driver.pid):
            if driver.poll() is not None:
                raise SystemExit(f"the job ended too soon, with status {driver.returncode}")
            time.sleep(0.05)
        time.sleep(draw.random())
        if victim == "driver":
            driver.kill()
            driver.wait()
            driver, runs = subprocess.Popen(command), runs + 1
        else:
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(draw.choice(workers_of(driver.pid)), 9)
        print(f"{victim} killed after {_results(out)} results", file=sys.stderr)
    status = driver.wait()
    done = Counter(row["source"] for row in rows(out) if row["status"] == "restored")
    same = [_content(folder / "plain" / name) == _content(out / name) is not None for name in names]
    return {
        "photos": photos,
        "kills": dict(Counter(victims)),
        "drivers": runs,
        "status": status,
        "recorded once": sum(times == 1 for times in done.values()),
        "identical": sum(same),
        "begun again": sum(row["attempts"] > 1 for row in rows(out)),
        "seconds": round(time.perf_counter() - began, 1),
        "seconds of two plain loops with a half each": round(plain_seconds, 1),
    }


def throughput(folder: Path, photos: int, model: str) -> dict[str, Any]:
    """Seconds a picture of the plain loop, and of one and two workers."""
    for number in range(photos):
        write_image(folder / "photos" / f"{number:05}.png", photograph(number))
    people = make_people(folder / "people")
    words = [sys.executable, "-c", PLAIN, model, folder, photos]
    plain = float(subprocess.run([*map(str, words)], check=True, capture_output=True, text=True).stdout)
    found: dict[str, Any] = {"photos": photos, "plain loop, seconds a picture": round(plain, 4)}
    for count in (1, 2):
        out = folder / f"out{count}"
        words = ["restore", folder / "photos", "--refs", people, "--model", model, "--out", out]
        began = time.perf_counter()
        subprocess.run(hime(*words, "--engine", "ray", "--concurrency", count, "--quiet"), check=True)
        whole = time.perf_counter() - began
        done = rows(out)
        span = max(row["at"] for row in done) - min(row["at"] - row["seconds"] for row in done)
        each = span * count / photos
        found[f"workers: {count}"] = {
            "seconds a picture and worker": round(each, 4),
            "overhead a picture, ms": round(1000 * (each - plain), 1),
            "of the plain loop's speed, times workers": round(plain / each, 3),
            "whole command, seconds": round(whole, 1),
            "before the first picture and after the last, seconds": round(whole - span, 1),
        }
    return found


PLAIN = """
import sys, time
from pathlib import Path
from hime.processors import limit_threads
from hime.restoring.photographs import restore_photos
from hime.restoring.restorer import load
from hime.terminal import quiet
limit_threads(1)
restorer, folder, count = load(sys.argv[1], 1), Path(sys.argv[2]), int(sys.argv[3])
photos, seconds = sorted((folder / "photos").iterdir()), []
with quiet():
    for number, chosen in enumerate((photos[:1], photos[:1], photos)):
        began = time.perf_counter()
        restore_photos(restorer, chosen, [folder / "people"], folder / f"plain{number}")
        seconds.append(time.perf_counter() - began)
print((seconds[2] - seconds[1]) / (count - 1))
"""
"""Seconds a picture of the plain loop on one thread, without what is the same for all."""


def memory(folder: Path, count: int, model: str) -> dict[str, Any]:
    """What workers and driver hold while rows go through."""
    draw = np.random.default_rng(0)
    for number in range(10 * EVERY):
        noise: Image = draw.integers(0, 256, (32, 32, 3), np.uint8)
        write_image(folder / f"{number}.png", photograph(number) if number % EVERY == 0 else noise)
    (folder / "photos").mkdir()
    for number in range(count):  # as many files, of few contents
        os.link(folder / f"{number % (10 * EVERY)}.png", folder / "photos" / f"{number:06}.png")
    out = folder / "out"
    people = make_people(folder / "people")
    words = ["restore", folder / "photos", "--refs", people, "--model", model, "--out", out]
    driver = subprocess.Popen(hime(*words, "--engine", "ray", "--concurrency", 2, "--quiet"))
    seen: list[tuple[int, float, float]] = []
    began = time.perf_counter()
    while driver.poll() is None:
        time.sleep(2)
        largest = max((held(process) for process in workers_of(driver.pid)), default=0.0)
        seen.append((_results(out) * EVERY, largest, held(driver.pid)))
    seconds = time.perf_counter() - began
    tenths: Callable[[int], tuple[int, float, float]] = lambda tenth: next(  # noqa: E731
        (each for each in seen if each[0] >= count * tenth / 10 and each[1] > 0), seen[-1]
    )
    return {
        "rows": count,
        "status": driver.returncode,
        "recorded": len(rows(out)),
        "seconds": round(seconds, 1),
        "MiB of the largest worker and of the driver, by rows done": [
            {"rows": done, "worker": round(worker), "driver": round(own)}
            for done, worker, own in map(tenths, range(1, 10))
        ],
    }


def _results(out: Path) -> int:
    """How many there are, also in the folders of a folder."""
    return sum(1 for folder in (out, *out.glob("[!.]*/")) for _ in folder.glob("[!.]*.png"))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("crashes", "throughput", "memory"))
    parser.add_argument("--photos", type=int, metavar="N")
    parser.add_argument("--kills", type=int, default=10, metavar="N")
    parser.add_argument("--rows", type=int, default=20_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=FAST_PHOTO_MODEL)
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HIME_CACHE"] = str(Path(folder, "cache"))
        if options.what == "crashes":
            found = crashes(Path(folder), options.photos or 2000, options.kills, options.seed, options.model)
        elif options.what == "throughput":
            found = throughput(Path(folder), options.photos or 300, options.model)
        else:
            found = memory(Path(folder), options.rows, options.model)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
