"""Damaged and odd clips through the real command line: each must end in a result or one clear line.

    python tests/fuzz_video.py --files 300 --seed 0

Every clip is made from rendered people by a number of its own, so ``--only N`` makes one again (and ``--keep
FOLDER`` leaves it to look at). They run in worker processes; one that takes too long, or takes its worker
down, is told, and the rest goes on in a new worker. Exit status 1 if any clip ended otherwise than it must.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import os
import random
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_files import damaged, peak_memory
from fuzz_worker import Worker, in_workers
from restoring.video.scenes import Actor, leaving, scene, still, write_clip

os.environ.setdefault("SVT_LOG", "1")  # of the encoder that makes clips here

PEAK = 2 << 10
"""MiB that a worker may hold."""
SECONDS = 60.0
"""What a clip may take, on a machine that has nothing else to do."""
BATCH = 40
"""Clips a worker does before it is replaced."""

CODECS = {
    "h264": (".mp4", "libx264", "yuv420p"),
    "h264 with sound": (".mp4", "libx264", "yuv420p"),
    "h264 in mkv": (".mkv", "libx264", "yuv420p"),
    "h264 in mov": (".mov", "libx264", "yuv444p"),
    "h264 in ts": (".ts", "libx264", "yuv420p"),
    "hevc 10 bits": (".mkv", "libx265", "yuv420p10le"),
    "vp9": (".webm", "libvpx-vp9", "yuv420p"),
    "vp8": (".webm", "libvpx", "yuv420p"),
    "av1": (".mp4", "libsvtav1", "yuv420p"),
    "mpeg4 in avi": (".avi", "mpeg4", "yuv420p"),
    "mjpeg in avi": (".avi", "mjpeg", "yuvj420p"),
    "prores": (".mov", "prores_ks", "yuv422p10le"),
    "gif": (".gif", "gif", "rgb8"),
    "lossless": (".mkv", "ffv1", "yuv420p"),
    "flash": (".flv", "flv", "yuv420p"),
    "mpeg": (".mpg", "mpeg2video", "yuv420p"),
}
FAR = leaving(2, 6, 90, 28, 80, 60)
SCENES: dict[str, tuple[list[Actor], int, tuple[int, int]]] = {
    "leaving": ([Actor("ada", FAR)], 14, (160, 120)),
    "two people": ([Actor("ada", FAR), Actor("dan", still(126, 40, 44))], 12, (176, 120)),
    "no face": ([], 8, (160, 120)),
    "one frame": ([Actor("ada", still(80, 60, 44))], 1, (160, 120)),
    "a cut": (
        [Actor("ada", still(80, 60, 90), last=5), Actor("ada", still(60, 60, 40), first=6)],
        12,
        (160, 120),
    ),
    "odd size": ([Actor("ada", FAR)], 10, (161, 121)),
    "near": ([Actor("ada", still(80, 60, 100))], 8, (160, 120)),
    "turned": ([Actor("ada", leaving(2, 6, 90, 28, 60, 80))], 12, (120, 160)),
    "uneven times": ([Actor("ada", FAR)], 14, (160, 120)),
}


@dataclass(frozen=True)
class Case:
    """One clip: what it is, its name and its bytes, and how many frames there were before it was damaged."""

    index: int
    kind: str
    name: str
    content: bytes
    frames: int


@functools.cache
def sound_clip(codec: str, what: str) -> bytes:
    """The clip before it is damaged."""
    suffix, encoder, pix_fmt = CODECS[codec]
    actors, count, (width, height) = SCENES[what]
    frames = scene(actors, count, width, height, cut=6 if what == "a cut" else None)
    options: dict[str, Any] = {"sound": codec.endswith("sound")}
    container = suffix[1:]
    if what == "odd size" and (
        encoder in ("libx264", "prores_ks", "libx265", "flv") or container in ("mpg", "avi")
    ):
        frames = [np.ascontiguousarray(frame[:120, :160]) for frame in frames]
    if what == "turned" and container in ("mp4", "mov"):
        frames = [np.ascontiguousarray(np.rot90(frame, -1)) for frame in frames]
        options["prepare"] = lambda _, stream: stream.set_display_rotation(90)
    if what == "uneven times" and container in ("mp4", "mov", "mkv", "webm"):
        options["times"] = np.cumsum([40, 90, 33, 20, 61, 40, 40, 17, 80, 40, 40, 25, 40, 99]).tolist()
        options["time_base"] = Fraction(1, 1000)
    with tempfile.TemporaryDirectory() as folder:
        return write_clip(Path(folder) / f"clip{suffix}", frames, encoder, pix_fmt, **options).read_bytes()


def make_case(seed: int, index: int) -> Case:
    """Clip number ``index``, the same every time."""
    number = random.Random(f"{seed} {index}")
    codec = list(CODECS)[index % len(CODECS)]
    what = number.choice(list(SCENES))
    content = sound_clip(codec, what)
    done = number.choice(["nothing", "cut off", "damaged", "damaged", "damaged", "damaged twice"])
    if done == "cut off":
        content = content[: number.randrange(len(content))]
    for _ in range({"damaged": 1, "damaged twice": 4}.get(done, 0)):
        content = damaged(content, number)
    suffix = (
        CODECS[codec][0] if number.random() < 0.85 else number.choice([".mp4", ".mkv", ".avi", "", ".txt"])
    )
    return Case(index, f"{codec}, {what}, {done}", f"{index:05}{suffix}", content, SCENES[what][1])


# ------------------------------------------------------------------------------------------ workers


def work(model: str) -> None:
    """Do what standard input asks for, a case a line; an answer a line, on what was standard output."""
    answers = os.fdopen(os.dup(1), "w")
    from hime.cli import main
    from hime.restoring.records import FILE

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        log = (folder / "log").open("w+b")  # for both streams, also for what libraries written in C say
        sys.stdout.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            task = json.loads(line)
            case = make_case(task["seed"], task["index"])
            file, out = folder / case.name, folder / "out"
            file.write_bytes(case.content)
            words = ["restore", file, "--everyone", "--out", out, "--model", model, "--threads", "1"]
            log.seek(0)
            log.truncate()
            problem = None
            try:
                status: int | str = main([str(word) for word in words])
            except SystemExit as stop:
                status = f"exit {stop.code}"
            except BaseException:
                status, problem = "exception", traceback.format_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            log.seek(0)
            said = log.read().decode(errors="replace")
            there = sorted(out.iterdir()) if out.is_dir() else []
            results = [path for path in there if path.name != FILE]
            peak = peak_memory()
            answer = {
                "status": status,
                "said": said.replace(temporary, ""),
                "problem": problem or complaint(status, said, case, results, peak),
                "peak": peak,
                "frames": sum(count(path) for path in results),
            }
            file.unlink()
            subprocess.run(["rm", "-rf", str(out)], check=True)
            print(json.dumps(answer), file=answers, flush=True)


def count(path: Path) -> int:
    """The frames of a result; −1 if it cannot be read."""
    from hime.errors import HimeError
    from hime.pictures.reading import read_picture
    from hime.restoring.video.reading import Damage, is_clip, open_clip, read_frames

    try:
        if path.is_dir():
            return 0
        if not is_clip(path):
            return min(1, read_picture(path).image.size)
        damage = Damage()
        number = sum(1 for _ in read_frames(open_clip(path), damage, 1))
        return -1 if damage else number
    except HimeError:
        return -1


def complaint(status: int | str, said: str, case: Case, results: Sequence[Path], peak: float) -> str | None:
    """What is wrong with how the command ended; None if nothing is."""
    lines = [line for line in said.splitlines() if line.startswith("hime: ")]
    strange = [
        line
        for line in said.splitlines()
        if line not in lines and not line.startswith(("0 restored", "1 restored", "/")) and "%|" not in line
    ]
    failed = [line for line in lines if f"/{case.name}: " in line and ": restored without" not in line]
    partial = [path for path in results if ".incomplete." in path.name]
    if "Traceback" in said:
        return "a traceback"
    if strange:
        return f"says {strange[0]!r}"
    if peak > PEAK:
        return f"{peak:.0f} MiB"
    if any(path.name.startswith(".") for path in results):
        return f"left behind: {[path.name for path in results]}"
    if any(count(path) < 1 for path in results):
        return "a result that cannot be read"
    if status == 0:
        if not results and "; nothing to restore in 1" in said:
            return None
        return (
            None if len(results) == 1 and not partial else f"status 0 and {[path.name for path in results]}"
        )
    if status != 1:
        return f"status {status}"
    if len(results) != len(partial):
        return "a result that looks whole in spite of status 1"
    if not failed:
        return "no line about the file"
    if not partial and not any(";" in line or "nothing to restore" in line for line in failed):
        return f"no remedy: {failed[0]!r}"
    return None


def outcomes(
    indices: Iterable[int], seed: int, model: str, seconds: float = SECONDS
) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Every case with how it ended."""
    start = functools.partial(Worker, __file__, model, {"PYTHONPATH": os.pathsep.join(sys.path)})
    return in_workers(make_case, indices, seed, start, seconds, BATCH)


def run(arguments: Sequence[str] | None = None) -> int:
    """The command line of this tool."""
    from hime.terminal import track

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=300, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="this clip alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for the clips that ended badly")
    parser.add_argument("--model", default="small-x4")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="a clip; more on a busy machine; default: %(default)g"
    )
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(options.model)
        return 0
    indices = range(options.files) if options.only is None else [options.only]
    counts: collections.Counter[str] = collections.Counter()
    slowest, largest, bad = 0.0, 0.0, 0
    for case, outcome in outcomes(track(indices, "clips"), options.seed, options.model, options.seconds):
        slowest, largest = max(slowest, outcome["seconds"]), max(largest, outcome["peak"])
        ended = {0: "restored", 1: "restored in part" if outcome["frames"] else "one line"}
        counts["ended badly" if outcome["problem"] else ended[outcome["status"]]] += 1
        if outcome["status"] == 0 and outcome["frames"] < case.frames and "gif" not in case.kind:
            counts["of them fewer frames than there were"] += 1
            print(f"{case.name} ({case.kind}): {outcome['frames']} of {case.frames} frames", flush=True)
        if outcome["problem"]:
            bad += 1
            print(f"{case.name} ({case.kind}): {outcome['problem']}", flush=True)
        if options.keep and (outcome["problem"] or options.only is not None):
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / case.name).write_bytes(case.content)
        if options.only is not None:
            print(outcome["said"])
    print(", ".join(f"{number} {ended}" for ended, number in counts.most_common()), end="; ")
    print(f"slowest {slowest:.1f} s, largest process {largest:.0f} MiB")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(run())
