"""Packed photos measured (docs/scale.md): forms of files, and trainings from memory and from packs.

    python comparisons/packed.py formats --photos 20000 --work runs/packed
    python comparisons/packed.py training --photos 100000 --work runs/packed

Photos are 128-pixel windows of the rendered demo people, moved, mirrored and toned, ten a person. Each
measurement runs in a process of its own, whose memory is then that of nothing else: ``anonymous`` is its own
for good, ``file`` are pages of files mapped into it, which the system may take back. ``cold``: the files were
put out of the system's cache first. ``processor_second``: of this process, whatever others run meanwhile.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from torch import Tensor

from hime.data.pack import PackedPixels, read_pack, write_pack
from hime.data.people import DEMO_PEOPLE, people_in
from hime.files import write_json
from hime.pictures.reading import read_image
from hime.training.batches import Batch, draw, gather
from hime.training.loop import train
from hime.training.networks import Networks
from hime.training.photos import load_photos
from hime.training.presets import PRESETS, override

Reader = Callable[[npt.NDArray[np.int64]], object]

SIDE, PER_PERSON, DISTINCT, BATCH = 128, 10, 500, 32
SECONDS = 5.0
"""Of a measurement of random draws."""
ROW_GROUP = 100
"""Photos that Parquet reads at once."""


def synthetic(folder: Path, photos: int) -> Path:
    """A people folder of so many JPEG files, those of `DISTINCT` people over and over; one that is there is
    taken as it is.
    """
    if not folder.exists():
        for person in range(-(-photos // PER_PERSON)):
            place = folder / f"p{person:06}"
            place.mkdir(parents=True)
            if person < DISTINCT:
                _person(place, person)
                continue
            for path in sorted((folder / f"p{person % DISTINCT:06}").iterdir()):
                (place / path.name).hardlink_to(path)
    return folder


def _person(place: Path, person: int) -> None:
    """Ten photos made of one."""
    sources = [path for paths in people_in(DEMO_PEOPLE).values() for path in paths]
    random = np.random.default_rng(person)
    source = read_image(sources[person % len(sources)])
    for number in range(PER_PERSON):
        side = int(random.integers(SIDE, source.shape[0] + 1))
        top, left = random.integers(0, source.shape[0] - side + 1, 2)
        window = PIL.Image.fromarray(source[top : top + side, left : left + side]).resize((SIDE, SIDE))
        pixels = np.asarray(window, np.float32) * random.uniform(0.7, 1.2, 3) + random.normal(
            0, 4, (SIDE, SIDE, 1)
        )
        pixels = pixels[:, :: random.choice([-1, 1])]
        image = PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(place / f"{number}.jpg", quality=95, subsampling=0)


# -- forms of files ---------------------------------------------------------------------------------------


def make_forms(files: list[Path], work: Path) -> dict[str, Path]:
    """The photos in each form, below ``work``; what is there is left."""
    import pyarrow
    import pyarrow.parquet
    from safetensors.numpy import save_file

    forms = {
        "tar": work / "jpeg.tar",
        "tar-png": work / "png.tar",
        "parquet-png": work / "png.parquet",
        "arrow": work / "pixels.arrow",
        "safetensors": work / "pixels.safetensors",
        "pack": work / "pack",
    }

    def png(path: Path) -> bytes:
        file = io.BytesIO()
        PIL.Image.fromarray(read_image(path)).save(file, "PNG", compress_level=1)
        return file.getvalue()

    pngs = [] if forms["parquet-png"].exists() else [png(path) for path in files]
    for name, contents in (("tar", map(Path.read_bytes, files)), ("tar-png", pngs)):
        if not forms[name].exists():
            places = []
            with tarfile.open(forms[name], "w") as tar:
                for number, data in enumerate(contents):
                    entry = tarfile.TarInfo(f"{number:07}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
                    places.append((tar.offset - -(-len(data) // 512) * 512, len(data)))
            np.save(forms[name].with_suffix(".npy"), np.array(places, np.int64))
    if not forms["parquet-png"].exists():
        table = pyarrow.table({"image": pyarrow.array(pngs, pyarrow.binary())})
        pyarrow.parquet.write_table(table, forms["parquet-png"], row_group_size=ROW_GROUP, compression="none")
    if not forms["pack"].exists():
        write_pack(files[0].parents[1], forms["pack"], SIDE)
    if not forms["arrow"].exists():
        pixels = np.ascontiguousarray(np.stack([read_image(path) for path in files]).transpose(0, 3, 1, 2))
        save_file({"pixels": pixels}, forms["safetensors"])
        kind = pyarrow.binary(pixels[0].size)
        table = pyarrow.table({"image": pyarrow.array([image.tobytes() for image in pixels], kind)})
        with pyarrow.ipc.new_file(forms["arrow"], table.schema) as writer:
            writer.write_table(table, max_chunksize=1000)
    return forms


def reader(name: str, path: Path) -> Reader:
    """What reads photos by their numbers from one form: as M×3×S×S uint8."""

    def decoded(data: bytes) -> npt.NDArray[np.uint8]:
        return np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)

    if name == "files":
        files = [file for photos in people_in(path).values() for file in photos]
        return lambda rows: np.stack([decoded(files[row].read_bytes()) for row in rows])
    if name.startswith("tar"):
        places, descriptor = np.load(path.with_suffix(".npy")).tolist(), os.open(path, os.O_RDONLY)
        return lambda rows: np.stack(
            [decoded(os.pread(descriptor, places[row][1], places[row][0])) for row in rows]
        )
    if name == "parquet-png":
        import pyarrow.parquet

        file = pyarrow.parquet.ParquetFile(path, memory_map=True)
        return lambda rows: np.stack(
            [
                decoded(file.read_row_group(int(row) // ROW_GROUP)["image"][int(row) % ROW_GROUP].as_py())
                for row in rows
            ]
        )
    if name == "arrow":
        import pyarrow

        column = pyarrow.ipc.open_file(pyarrow.memory_map(str(path))).read_all()["image"]
        return lambda rows: np.stack(
            [np.frombuffer(column[int(row)].as_buffer(), np.uint8).reshape(3, SIDE, SIDE) for row in rows]
        )
    if name == "safetensors":
        from safetensors import safe_open

        pixels = safe_open(path, "numpy").get_slice("pixels")  # type: ignore[no-untyped-call]
        return lambda rows: np.concatenate([pixels[int(row) : int(row) + 1] for row in rows])
    pack = read_pack(path)
    if name == "npy, mapped":
        shards = [np.load(path / shard, mmap_mode="r") for shard, _ in pack.shards]
        ends = np.cumsum([len(shard) for shard in shards])

        def mapped(rows: npt.NDArray[np.int64]) -> object:
            chosen = np.searchsorted(ends, rows, side="right")
            return np.stack([shards[s][row - ends[s]] for s, row in zip(chosen, rows, strict=True)])

        return mapped
    images = PackedPixels([pack], np.arange(len(pack.photos)))

    def read(rows: npt.NDArray[np.int64]) -> object:
        into = np.empty((len(rows), 3, SIDE, SIDE), np.uint8)
        images.read(rows, into)
        return into

    return read


def forget(path: Path) -> None:
    """Put a file, or the files of a folder, out of the system's cache."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def memory() -> dict[str, float]:
    """Of this process, in MiB: the most that it held, and what it holds now by kind."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kinds = {"peak": "VmHWM", "anonymous": "RssAnon", "file": "RssFile"}
    return {kind: round(int(lines[name].split()[0]) / 1024, 1) for kind, name in kinds.items()}


def measure_form(name: str, path: Path, photos: int) -> dict[str, Any]:
    """Random draws a second, batches of 32, from the disk and from the system's cache."""
    before = memory()
    read, random, found = reader(name, path), np.random.default_rng(0), dict[str, Any]()
    for state in ("cold", "warm"):
        if state == "cold":
            forget(path)
        else:
            for rows in np.array_split(np.arange(photos), -(-photos // BATCH)):
                read(rows)
        start, used, drawn = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start < SECONDS:
            read(random.integers(0, photos, BATCH))
            drawn += BATCH
        found[f"draws_per_second_{state}"] = round(drawn / (time.perf_counter() - start))
        found[f"draws_per_processor_second_{state}"] = round(drawn / (time.process_time() - used))
    size = sum(
        file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
    )
    after = memory()
    taken = {f"{kind}_taken": round(after[kind] - before[kind], 1) for kind in ("anonymous", "file")}
    return found | taken | {"bytes_per_photo": round(size / photos)}


# -- trainings --------------------------------------------------------------------------------------------


SETTINGS = ["precision=fp32", "held_out_fraction=0", "log_every=5"]


def measure_data(data: Path, batches: int) -> dict[str, Any]:
    """The pairs of ``small-x4`` drawn and gathered, without a network."""
    config = PRESETS["small-x4"]
    start = time.process_time()
    photos = load_photos([(data, None)], config.hr_size, progress=False)
    opened, start = time.process_time() - start, time.process_time()
    for step in range(batches):
        gather(photos, draw(photos, step, 0, config.batch_size, config.scale, config.sampling))
    taken = time.process_time() - start
    return {
        "photos": len(photos),
        "processor_seconds_to_open": round(opened, 1),
        "pairs_per_processor_second": round(batches * config.batch_size / taken, 1),
        **memory(),
    }


def measure_training(data: Path, steps: int) -> dict[str, Any]:
    """A training of ``small-x4`` in batches of 8: pairs a second of its steps, and the memory it took."""
    config = override(PRESETS["small-x4"], [*SETTINGS, f"steps={steps}"])
    used = list[float]()
    original = Networks.update

    def timed(self: Networks, batch: Batch, step: int) -> dict[str, Tensor]:
        used.append(time.process_time())  # between two of these lie a step, and its photos
        return original(self, batch, step)

    Networks.update = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        summary = train(config, [(data, None)], Path(folder, "run"))
    each = (used[-1] - used[1]) / (len(used) - 2)  # the first one warms up
    return {
        "pairs_per_second": round(steps * config.batch_size / summary.seconds, 3),
        "pairs_per_processor_second": round(config.batch_size / each, 3),
        "losses": summary.losses,
        **memory(),
    }


def in_own_process(*arguments: object) -> dict[str, Any]:
    """What this script prints with these arguments."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Both measurements as JSON, into ``--work`` too."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["formats", "training", "one-form", "one-data", "one-training"])
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--few", type=int, default=10_000, help="photos of the training from memory")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3, help="of trainings, by turns")
    parser.add_argument("--work", type=Path, default=Path("runs/packed"))
    options = parser.parse_args()
    if options.what == "one-form":
        name, path = options.arguments
        print(json.dumps(measure_form(name, Path(path), options.photos)))
        return
    if options.what == "one-data":
        print(json.dumps(measure_data(Path(options.arguments[0]), batches=300)))
        return
    if options.what == "one-training":
        print(json.dumps(measure_training(Path(options.arguments[0]), options.steps)))
        return
    result: dict[str, Any]
    many = synthetic(options.work / f"faces-{options.photos}", options.photos)
    if options.what == "formats":
        files = [path for photos in people_in(many).values() for path in photos]
        forms = {"files": many, **make_forms(files, options.work)}
        forms["npy, mapped"] = forms["pack"]
        result = {
            name: in_own_process("one-form", name, path, "--photos", len(files))
            for name, path in forms.items()
        }
    else:
        few = synthetic(options.work / f"faces-{options.few}", options.few)
        write_pack(many, options.work / "pack-many", SIDE)
        sources = {"memory": few, "pack": options.work / "pack-many"}
        result = {name: {"data": in_own_process("one-data", path)} for name, path in sources.items()}
        for _ in range(options.rounds):  # by turns: another process may take of the processor meanwhile
            for name, path in sources.items():
                measured = in_own_process("one-training", path, "--steps", options.steps)
                result[name].setdefault("trainings", []).append(measured)
                print(name, measured, flush=True)
    write_json(options.work / f"{options.what}.json", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
