"""Damaged and odd picture files through the real command line: each must end in a result or one clear line.

    python tests/fuzz_restore.py --files 2000 --seed 0

Every file is made from a rendered person by a number of its own, so ``--only N`` makes one again (and
``--keep FOLDER`` leaves it to look at). Most are inputs of ``hime restore``, the others references. They run
in worker processes with a limit on memory; one that takes too long, or takes its worker down, is told, and
the rest goes on in a new worker. Exit status 1 if any file ended otherwise than it must.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import os
import random
import resource
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fuzz_people
from fuzz_files import HOSTILE, Case, make_case, peak_memory, person
from fuzz_worker import Worker, in_workers

MEMORY = 2 << 30
"""Bytes of address space a worker may use."""
SECONDS = 20.0
"""What a file may take, on a machine that has nothing else to do."""
BATCH = 50
"""Files a worker does before it is replaced, so that what one leaves behind is no other's fault."""


# ------------------------------------------------------------------------------------------ workers


def work(model: str) -> None:
    """Do what standard input asks for, a case a line; an answer a line, on what was standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary), model)
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            task = json.loads(line)
            case = make_case(task["seed"], task["index"])
            number = random.Random(f"{task['seed']} {task['index']}")
            answer = bench.hostile(case, number) if case.kind.startswith(HOSTILE) else bench.restore(case)
            print(json.dumps(answer), file=answers, flush=True)


class Bench:
    """Where a worker does its cases: a folder, both standard streams in a file of it."""

    def __init__(self, folder: Path, model: str) -> None:
        from hime.data.people import DEMO_PEOPLE
        from hime.pictures.writing import write_image

        os.environ["HIME_CACHE"] = str(folder / "cache")
        self.folder, self.model = folder, model
        self.sound = write_image(folder / "sound.png", np.array(person(random.Random(0))))
        self.photo = DEMO_PEOPLE / "ada" / "1.webp"  # which no case is made from
        self.log = (folder / "log").open("w+b")  # also for what libraries written in C say
        sys.stdout.flush()
        os.dup2(self.log.fileno(), 1)
        os.dup2(self.log.fileno(), 2)

    @functools.cached_property
    def sound_files(self) -> fuzz_people.Sound:
        """What hostile people, models and notes are made of."""
        from hime.restoring.exported import find_model

        return fuzz_people.prepared(self.folder / "sound", find_model(self.model))

    def hostile(self, case: Case, number: random.Random) -> dict[str, Any]:
        """A case of ``fuzz_people.py``."""
        kind = case.kind.removeprefix(HOSTILE).partition(",")[0].strip()
        _, ended = fuzz_people.done(kind, self.sound_files, number)
        return self._answer(ended[0], ended[1] + ended[2], fuzz_people.complaint(*ended))

    def restore(self, case: Case) -> dict[str, Any]:
        """The case's file restored, or a sound one with it as a reference."""
        from hime.cli import main

        file, out = self.folder / case.name, self.folder / "out"
        place(case, file)
        inputs, references = ([self.sound], [file, self.photo]) if case.reference else ([file], [self.photo])
        arguments = ["restore", *inputs, "--refs", *references, "--out", out, "--model", self.model]
        self.log.seek(0)
        self.log.truncate()
        problem = None
        try:
            status: int | str = main([*map(str, arguments), "--overwrite", "--threads", "1"])
        except SystemExit as stop:
            status = f"exit {stop.code}"
        except BaseException:
            status, problem = "exception", traceback.format_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        self.log.seek(0)
        said = self.log.read().decode(errors="replace")
        visible = sorted(out.iterdir()) if out.is_dir() else []
        results = [path for path in visible if path.suffix != ".xmp" and not path.name.startswith(".")]
        answer = self._answer(status, said, problem or complaint(status, said, case, results))
        clear(file)
        shutil.rmtree(out, ignore_errors=True)
        return answer

    def _answer(self, status: int | str, said: str, problem: str | None) -> dict[str, Any]:
        return {
            "status": status,
            "said": said.replace(str(self.folder), ""),
            "problem": problem,
            "peak": peak_memory(),
        }


def place(case: Case, file: Path) -> None:
    """Put the file there, or what is there instead."""
    if case.special == "pipe":
        os.mkfifo(file)
    elif case.special == "loop":
        file.symlink_to(file)
    elif case.special == "device":
        file.symlink_to("/dev/zero")
    elif case.special == "link to nothing":
        file.symlink_to(file.with_name("nothing"))
    elif case.special == "folder":
        file.mkdir()
    elif case.special == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(bound := file.with_name("s")))  # addresses have room for 107 bytes
            bound.rename(file)
    else:
        file.write_bytes(case.content)
    if case.sidecar is not None:
        file.with_suffix(".xmp").write_bytes(case.sidecar)


def clear(file: Path) -> None:
    """Take away what `place` put there."""
    shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()
    file.with_suffix(".xmp").unlink(missing_ok=True)


def complaint(status: int | str, said: str, case: Case, results: Sequence[Path]) -> str | None:
    """What is wrong with how the command ended; None if nothing is."""
    from hime.errors import HimeError
    from hime.pictures.reading import read_picture
    from hime.restoring.hue import tone_of
    from hime.restoring.video.reading import is_clip, open_clip
    from hime.terminal import shown

    lines = [line for line in said.splitlines() if line.startswith("hime: ")]
    # x265 says itself that it got no memory, past Python; that there was none is told on a line as well.
    plain = ("0 restored", "1 restored", "/", "x265 [error]: malloc")
    strange = [
        line
        for line in said.splitlines()
        if line not in lines and not line.startswith(plain) and "%|" not in line  # the progress of slow ones
    ]
    told = [line for line in lines if shown(f"/{case.name}: ") in line]
    if "Traceback" in said:
        return "a traceback"
    if strange:
        return f"says {strange[0]!r}"
    if status == 0:
        if not results and "; nothing to restore in 1" in said and (case.reference or len(told) == 1):
            return None  # of a damaged reference the face may be somebody else's
        if len(results) != 1:
            return f"status 0 and {len(results)} results"
        try:
            if is_clip(results[0]):  # of an animated picture
                open_clip(results[0])
                return None
            picture = read_picture(results[0])
        except HimeError as error:
            return f"a result that cannot be read: {error}"
        keeps_all = results[0].suffix in (".png", ".tif")
        if case.kind == "tinted, nothing" and not case.reference and keeps_all:
            return None if tone_of(picture.image) else "more hues than one"
        return None
    if status != 1:
        return f"status {status}"
    if results and not case.reference:
        return "a result in spite of status 1"
    if case.reference:  # the sound picture may be refused too, where there is no other photo or a stranger's
        return None if lines else "no line"
    if len(told) != 1:
        return f"{len(told)} lines about the file"
    if ";" not in told[0]:
        return f"no remedy: {told[0]!r}"
    return None


def outcomes(
    indices: Iterable[int], seed: int, model: str, seconds: float = SECONDS
) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Every case with how it ended."""
    start = functools.partial(Worker, __file__, model, {"MALLOC_ARENA_MAX": "2"})
    return in_workers(make_case, indices, seed, start, seconds, BATCH)


def run(arguments: Sequence[str] | None = None) -> int:
    """The command line of this tool."""
    from hime.restoring.exported import DEFAULT_PHOTO_MODEL
    from hime.terminal import track

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin with this file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="this file alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for the files that ended badly")
    parser.add_argument("--model", default=DEFAULT_PHOTO_MODEL)
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="a file; more on a busy machine; default: %(default)g"
    )
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(options.model)
        return 0
    indices: Sequence[int] = range(options.first, options.first + options.files)
    if options.only is not None:
        indices = [options.only]
    counts: collections.Counter[str] = collections.Counter()
    slowest, largest, bad = (0.0, ""), 0.0, 0
    numbers = track(indices, "files")
    for case, outcome in outcomes(numbers, options.seed, options.model, options.seconds):
        slowest = max(slowest, (outcome["seconds"], f"{case.index} {case.kind}"))
        largest = max(largest, outcome.get("peak", 0.0))
        ended = "ended badly" if outcome["problem"] else "restored" if outcome["status"] == 0 else "one line"
        counts[ended] += 1
        if outcome["problem"]:
            bad += 1
            print(
                f"{case.name!a} ({case.kind}{', reference' * case.reference}): {outcome['problem']}",
                flush=True,
            )
        if options.keep and (outcome["problem"] or options.only is not None):
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / case.name).write_bytes(case.content)
        if options.only is not None:
            print(outcome["said"])
    print(", ".join(f"{count} {ended}" for ended, count in counts.most_common()), end="; ")
    print(f"slowest {slowest[0]:.1f} s ({slowest[1]}), largest process {largest:.0f} MiB")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(run())
