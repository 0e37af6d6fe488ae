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
import dataclasses
import io
import json
import os
import queue
import random
import resource
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageCms

MEMORY = 2 << 30
"""Bytes of address space a worker may use."""
SECONDS = 20.0
"""What a file may take, on a machine that has nothing else to do."""
BATCH = 50
"""Files a worker does before it is replaced, so that what one leaves behind is no other's fault."""
SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".avif", ".heic", ".txt", "")


# ------------------------------------------------------------------------------------------- files


def person(number: random.Random) -> PIL.Image.Image:
    """A rendered headshot, small, somewhere in a plain picture."""
    from hime.data.people import DEMO_PEOPLE

    file = DEMO_PEOPLE / "ada" / f"{number.choice([0, 2, 3, 4])}.webp"
    side = number.randrange(48, 120)
    with PIL.Image.open(file) as picture:
        headshot = picture.convert("RGB").resize((side, side), PIL.Image.Resampling.BICUBIC)
    whole = PIL.Image.new("RGB", (side + number.randrange(80), side + number.randrange(60)), "silver")
    whole.paste(headshot, ((whole.width - side) // 2, (whole.height - side) // 2))
    return whole


def saved(picture: PIL.Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    if form == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            form = "PNG"
        else:
            pillow_heif.from_pillow(picture).save(buffer, **options)
            return buffer.getvalue()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that are damaged on purpose
            picture.save(buffer, form, **options)
    except Exception:  # Pillow does not write such metadata
        return saved(picture, form)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def deep_png(picture: PIL.Image.Image, number: random.Random) -> bytes:
    """16 bits a channel, with or without alpha, perhaps interlaced in name only."""
    values = np.asarray(picture.convert(number.choice(["L", "LA", "RGB", "RGBA"]))).astype(">u2") * 257
    values = values[:, :, np.newaxis] if values.ndim == 2 else values
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 16, kind, 0, 0, number.random() < 0.1)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animated(picture: PIL.Image.Image, form: str) -> bytes:
    return saved(picture, form, save_all=True, append_images=[picture.rotate(90), picture.rotate(180)])


def metadata(number: random.Random) -> dict[str, Any]:
    """EXIF and a colour profile, good or broken."""
    options: dict[str, Any] = {}
    if number.random() < 0.4:
        exif = PIL.Image.Exif()
        exif[0x0112] = number.choice([1, 3, 6, 8, 0, 9, 60_000])
        exif[0x010F] = "Camera"
        exif[0x8825] = {1: "N", 2: (48.0, 5.0, 3.5)}
        options["exif"] = exif.tobytes()
        if number.random() < 0.6:
            options["exif"] = options["exif"][:6] + damaged(options["exif"][6:], number)
    if number.random() < 0.4:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        options["icc_profile"] = damaged(profile, number) if number.random() < 0.6 else profile
    if number.random() < 0.2:
        options["xmp"] = number.choice([b"words", b"<x:xmpmeta/>", b"\xff\xfe\0", b"<a>" * 3000, bytes(5000)])
    return options


def dots(number: random.Random) -> PIL.Image.Image:
    """Hardly any pixels."""
    return PIL.Image.new(number.choice(["1", "L", "RGB"]), number.choice([(1, 1), (1, 90), (90, 1), (2, 3)]))


MADE: dict[str, Callable[[PIL.Image.Image, random.Random], bytes]] = {
    "png": lambda p, n: saved(p, "PNG", **{k: v for k, v in metadata(n).items() if k != "xmp"}),
    "png alpha": lambda p, n: saved(p.convert("RGBA"), "PNG"),
    "png grey": lambda p, n: saved(p.convert(n.choice(["1", "L", "LA"])), "PNG"),
    "png palette": lambda p, n: saved(p.quantize(n.choice([2, 16, 256])), "PNG", transparency=n.randrange(2)),
    "png 16 bits": deep_png,
    "png 16 bits grey": lambda p, n: saved(
        PIL.Image.fromarray(np.asarray(p.convert("L")) * np.uint16(257)), "PNG"
    ),
    "png animated": lambda p, n: animated(p, "PNG"),
    "jpeg": lambda p, n: saved(p, "JPEG", quality=n.randrange(5, 100), **metadata(n)),
    "jpeg progressive": lambda p, n: saved(p, "JPEG", progressive=True, subsampling=n.randrange(3)),
    "jpeg grey": lambda p, n: saved(p.convert("L"), "JPEG", **metadata(n)),
    "jpeg cmyk": lambda p, n: saved(p.convert("CMYK"), "JPEG", **metadata(n)),
    "jpeg two": lambda p, n: saved(p, "MPO", save_all=True, append_images=[p.rotate(90)]),
    "webp": lambda p, n: saved(p, "WEBP", quality=n.randrange(5, 100), **metadata(n)),
    "webp lossless": lambda p, n: saved(p.convert("RGBA"), "WEBP", lossless=True),
    "webp animated": lambda p, n: animated(p, "WEBP"),
    "tiff": lambda p, n: saved(p, "TIFF", compression=n.choice(["raw", "tiff_lzw", "jpeg", "packbits"])),
    "tiff metadata": lambda p, n: saved(p, "TIFF", **metadata(n)),
    "tiff odd": lambda p, n: saved(p.convert(n.choice(["CMYK", "YCbCr", "LAB", "F", "I", "1", "P"])), "TIFF"),
    "tiff pages": lambda p, n: animated(p, "TIFF"),
    "gif": lambda p, n: saved(p.quantize(64), "GIF", transparency=n.randrange(64)),
    "gif animated": lambda p, n: animated(p.quantize(64), "GIF"),
    "bmp": lambda p, n: saved(p.convert(n.choice(["1", "L", "P", "RGB", "RGBA"])), "BMP"),
    "avif": lambda p, n: saved(p, "AVIF", speed=10, **metadata(n)),
    "avif animated": lambda p, n: saved(p, "AVIF", speed=10, save_all=True, append_images=[p.rotate(90)]),
    "heic": lambda p, n: saved(p, "HEIF"),
    "dots": lambda p, n: saved(dots(n), n.choice(["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])),
    "large": lambda p, n: saved(p.resize((3000, 2000)).convert("P"), n.choice(["PNG", "GIF"])),
    "words": lambda p, n: n.choice([b"", b"\0", b"words", b"%PDF-1.7", bytes(3000), n.randbytes(999)]),
}


def damaged(content: bytes, number: random.Random) -> bytes:
    """Some bytes changed, a stretch of them lost or doubled, or all from some place on."""
    if not content:
        return content
    data = bytearray(content)
    place = number.randrange(len(data))
    if number.random() < 0.4:  # headers are short, and most bytes of a file are not in them
        place = min(place, number.randrange(200))
    length = number.choice([1, 2, 4, 16, 256])
    kind = number.randrange(6)
    if kind == 0:
        del data[place:]
    elif kind == 1:
        for _ in range(number.choice([1, 4, 40])):
            data[number.randrange(len(data))] ^= 1 << number.randrange(8)
    elif kind == 2:
        data[place : place + length] = number.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * length
    elif kind == 3:
        del data[place : place + length]
    elif kind == 4:
        data[place:place] = data[place : place + length]
    else:
        data[place : place + length] = number.randbytes(length)
    return bytes(data)


def inflated(content: bytes, number: random.Random) -> bytes:
    """A header that promises very many pixels, or none."""
    width, height = number.choice(
        [
            (60_000, 60_000),
            (8000, 8001),
            (8000, 8000),
            (65_535, 3),
            (0, 0),
            (0, 9),
            (2**31 - 1, 1),
            (12_000, 5000),
        ]
    )
    data = bytearray(content)
    short = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    if content.startswith(b"\x89PNG"):
        header = struct.pack(">II", width, height) + content[24:29]
        data[8:33] = chunk(b"IHDR", header)
    elif content.startswith(b"\xff\xd8"):
        for kind in (b"\xff\xc0", b"\xff\xc2"):
            place = content.find(kind)
            if place >= 0:
                data[place + 5 : place + 9] = short
    elif content.startswith(b"GIF"):
        data[6:10] = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
        place = content.find(b"\x2c", 13)
        if place >= 0 and number.random() < 0.5:
            data[place + 5 : place + 9] = data[6:10]
    elif content.startswith(b"BM"):
        data[18:26] = struct.pack("<ii", width, number.choice([height, -height]))
    elif content.startswith((b"II*\0", b"MM\0*")):
        order = "<" if content.startswith(b"II") else ">"
        (place,) = struct.unpack_from(order + "I", content, 4)
        for entry in range(place + 2, len(content) - 12, 12):
            tag, kind = struct.unpack_from(order + "HH", content, entry)
            if tag in (256, 257, 278):
                value = height if tag == 257 else width
                struct.pack_into(order + "HHII", data, entry, tag, 4, 1, value)
            if tag > 300:
                break
    elif content[4:8] == b"ftyp":
        place = content.find(b"ispe")
        if place >= 0:
            data[place + 8 : place + 16] = struct.pack(">II", width, height)
    elif content.startswith(b"RIFF"):
        place = content.find(b"VP8X")
        if place >= 0:
            low = struct.pack("<I", max(width, 1) - 1)[:3] + struct.pack("<I", max(height, 1) - 1)[:3]
            data[place + 12 : place + 18] = low
    return bytes(data)


@dataclasses.dataclass(frozen=True)
class Case:
    """One file: what it is, its name and its bytes, and whether it is given as a reference."""

    index: int
    kind: str
    name: str
    content: bytes
    reference: bool


def make_case(seed: int, index: int) -> Case:
    """File number ``index``, the same every time."""
    number = random.Random(f"{seed} {index}")
    kind = list(MADE)[index % len(MADE)]
    content = MADE[kind](person(number), number)
    done = number.choice(["nothing", "inflated", "damaged", "damaged", "damaged", "damaged twice"])
    if kind == "large":
        done = "nothing"
    if done == "inflated":
        content = inflated(content, number)
    for _ in range({"damaged": 1, "damaged twice": 2}.get(done, 0)):
        content = damaged(content, number)
    form = kind.split(" ", maxsplit=1)[0]
    right = {"jpeg": ".jpg", "tiff": ".tif"}.get(form, f".{form}")
    suffix = right if right in SUFFIXES and number.random() < 0.7 else number.choice(SUFFIXES)
    return Case(index, f"{kind}, {done}", f"{index:05}{suffix}", content, number.random() < 0.15)


# ------------------------------------------------------------------------------------------ workers


def work(model: str) -> None:
    """Do what standard input asks for, a case a line; an answer a line, on what was standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "w")
    from hime.cli import main
    from hime.data.people import DEMO_PEOPLE
    from hime.pictures.writing import write_image

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sound = write_image(folder / "sound.png", np.array(person(random.Random(0))))
        photo = DEMO_PEOPLE / "ada" / "1.webp"  # which no case is made from
        log = (folder / "log").open("w+b")  # for both streams, also for what libraries written in C say
        sys.stdout.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            task = json.loads(line)
            case = make_case(task["seed"], task["index"])
            file = folder / case.name
            file.write_bytes(case.content)
            inputs, references = ([sound], [file, photo]) if case.reference else ([file], [photo])
            out = folder / "out"
            arguments = ["restore", *inputs, "--refs", *references, "--out", out, "--model", model]
            log.seek(0)
            log.truncate()
            problem = None
            try:
                status: int | str = main([*map(str, arguments), "--overwrite", "--threads", "1"])
            except SystemExit as stop:
                status = f"exit {stop.code}"
            except BaseException:
                status, problem = "exception", traceback.format_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            log.seek(0)
            said = log.read().decode(errors="replace")
            results = sorted(out.iterdir()) if out.is_dir() else []
            answer = {
                "status": status,
                "said": said.replace(temporary, ""),
                "problem": problem or complaint(status, said, file, results, case.reference),
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
            for path in (file, *results):
                path.unlink()
            print(json.dumps(answer), file=answers, flush=True)


def complaint(
    status: int | str, said: str, file: Path, results: Sequence[Path], reference: bool
) -> str | None:
    """What is wrong with how the command ended; None if nothing is."""
    from hime.errors import HimeError
    from hime.pictures.reading import read_picture

    lines = [line for line in said.splitlines() if line.startswith("hime: ")]
    plain = ("0 restored", "1 restored", "/")
    strange = [
        line
        for line in said.splitlines()
        if line not in lines and not line.startswith(plain) and "%|" not in line  # the progress of slow ones
    ]
    told = [line for line in lines if f"/{file.name}: " in line]
    if "Traceback" in said:
        return "a traceback"
    if strange:
        return f"says {strange[0]!r}"
    if status == 0:
        if len(results) != 1:
            return f"status 0 and {len(results)} results"
        try:
            read_picture(results[0])
        except HimeError as error:
            return f"a result that cannot be read: {error}"
        return None
    if status != 1:
        return f"status {status}"
    if results and not reference:
        return "a result in spite of status 1"
    if reference:  # the sound picture may be refused too, where there is no other photo or a stranger's
        return None if lines else "no line"
    if len(told) != 1:
        return f"{len(told)} lines about the file"
    if ";" not in told[0]:
        return f"no remedy: {told[0]!r}"
    return None


class Worker:
    """A process that does cases, and what it answers."""

    def __init__(self, model: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", "--model", model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
        )
        self.answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        if self.answers.get(timeout=120) is None:
            raise SystemExit("the worker does not start")

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(None)

    def do(self, seed: int, index: int, seconds: float) -> dict[str, Any]:
        """Outcome of a case; a worker that did not give one is gone."""
        assert self.process.stdin is not None
        start = time.monotonic()
        self.process.stdin.write(json.dumps({"seed": seed, "index": index}) + "\n")
        self.process.stdin.flush()
        try:
            line = self.answers.get(timeout=seconds)
        except queue.Empty:
            self.close()
            return {"problem": f"more than {seconds:g} s", "said": "", "status": None, "seconds": seconds}
        if line is None:
            code = self.process.wait()
            return {"problem": f"the process ended with {code}", "said": "", "status": None, "seconds": 0.0}
        return {**json.loads(line), "seconds": time.monotonic() - start}

    @property
    def alive(self) -> bool:
        """Whether it can do another."""
        return self.process.poll() is None

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def outcomes(
    indices: Iterable[int], seed: int, model: str, seconds: float = SECONDS
) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Every case with how it ended."""
    worker: Worker | None = None
    try:
        for done, index in enumerate(indices):
            if worker is not None and (done % BATCH == 0 or not worker.alive):
                worker.close()
                worker = None
            worker = worker or Worker(model)
            yield make_case(seed, index), worker.do(seed, index, seconds)
    finally:
        if worker is not None:
            worker.close()


def run(arguments: Sequence[str] | None = None) -> int:
    """The command line of this tool."""
    from hime.progress import track
    from hime.restoring.exported import DEFAULT_PHOTO_MODEL

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000, metavar="N")
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
    indices = range(options.files) if options.only is None else [options.only]
    counts: collections.Counter[str] = collections.Counter()
    slowest, largest, bad = 0.0, 0.0, 0
    numbers = track(indices, "files")
    for case, outcome in outcomes(numbers, options.seed, options.model, options.seconds):
        slowest, largest = max(slowest, outcome["seconds"]), max(largest, outcome.get("peak", 0.0))
        ended = "ended badly" if outcome["problem"] else "restored" if outcome["status"] == 0 else "one line"
        counts[ended] += 1
        if outcome["problem"]:
            bad += 1
            print(
                f"{case.name} ({case.kind}{', reference' * case.reference}): {outcome['problem']}", flush=True
            )
        if options.keep and (outcome["problem"] or options.only is not None):
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / case.name).write_bytes(case.content)
        if options.only is not None:
            print(outcome["said"])
    print(", ".join(f"{count} {ended}" for ended, count in counts.most_common()), end="; ")
    print(f"slowest {slowest:.1f} s, largest process {largest:.0f} MiB")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(run())
