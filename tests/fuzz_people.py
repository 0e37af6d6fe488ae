"""Hostile people, models, lists and other files of ours through the command line: a result or one line each.

    python tests/fuzz_people.py --files 2000 --seed 0

Every case begins with a sound .person file, exported model, evaluation list, note of what was done, or what
was kept of photos; then its fields are changed: other types, sizes, numbers that are none, paths that lead
elsewhere, control characters, or bytes anywhere. Where a checksum stands in a card it is made right again, as
an attacker would.
``--only N`` makes one again. Exit status 1 if any ended otherwise than it must.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HOSTILE: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 3, 2**31, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *(
        "",
        ".",
        "..",
        "../../etc",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "\0",
        "\x1b[2J\nhime: fine",
        "\u202e",
        "n" * 3000,
    ),
    *([], {}, [[]], [1, 2], ["a"], {"a": {}}, {"": None}, ["x"] * 2000),
)


def changed(value: Any, number: random.Random) -> Any:
    """The value with something in it changed, at any depth."""
    if isinstance(value, dict) and value and number.random() < 0.8:
        key = number.choice(sorted(value))
        other = dict(value)
        kind = number.random()
        if kind < 0.15:
            del other[key]
        elif kind < 0.25:
            other[str(number.choice(HOSTILE))] = value[key]
        else:
            other[key] = changed(value[key], number)
        return other
    if isinstance(value, list) and value and number.random() < 0.6:
        place = number.randrange(len(value))
        return [*value[:place], changed(value[place], number), *value[place + 1 :]]
    return number.choice(HOSTILE)


def damaged(content: bytes, number: random.Random) -> bytes:
    """Bytes changed, left out, put in or cut off, most of them near the beginning."""
    data = bytearray(content)
    for _ in range(number.randrange(1, 4)):
        place = number.randrange(min(len(data), number.choice([64, 4096, len(data)])) or 1)
        length = number.choice([1, 1, 1, 4, 50])
        what = number.choice(["other", "other", "out", "in", "end"])
        if what == "end":
            del data[place:]
        else:
            data[place : place + (0 if what == "in" else length)] = (
                b"" if what == "out" else number.randbytes(length)
            )
        data = data or bytearray(b"{")
    return bytes(data)


# -------------------------------------------------------------------------------------------- the cases


@dataclass(frozen=True)
class Sound:
    """Sound files to begin with."""

    person: Path
    model: Path
    list: Path
    people: Path
    headshots: Path
    photo: Path


Command = list[str | Path]
Ended = tuple[int | str, str, str, str | None]
CACHE = "cache"
"""Where in a case's folder what is learned of photos is kept."""


def of_person(sound: Sound, folder: Path, number: random.Random) -> Command:
    """A .person file, shown or restored with."""
    content = sound.person.read_bytes()
    path = folder / "ada.person"
    kind = number.random()
    length = int.from_bytes(content[:8], "little")
    header, tensors = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    if kind < 0.3:
        path.write_bytes(damaged(content, number))
    else:
        if kind < 0.5:
            metadata = header["__metadata__"]
            part = number.choice(["references", "models"])
            metadata[part] = json.dumps(changed(json.loads(metadata[part]), number))
        elif kind < 0.8:
            header = changed(header, number)
        else:
            name = number.choice(["embedding", "embeddings", "qualities", "yaws", *list(header)[1:]])
            begin, end = header[name]["data_offsets"]
            values = np.frombuffer(
                tensors[begin:end], np.float32 if header[name]["dtype"] == "F32" else np.float16
            )
            with np.errstate(over="ignore", invalid="ignore"):
                values = (
                    values * number.choice([0, -1, 2, 1e30, np.nan]) + number.choice([0, 1, np.inf])
                ).astype(values.dtype)
            tensors[begin:end] = values.tobytes()
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)
    if number.random() < 0.5:
        return ["person", "show", path]
    return ["restore", sound.photo, "--refs", path, "--out", folder / "out", "--model", sound.model]


def of_model(sound: Sound, folder: Path, number: random.Random) -> Command:
    """A model: its card, its graphs, its weights."""
    model = shutil.copytree(sound.model, folder / "model")
    card = json.loads((model / "card.json").read_text(encoding="utf-8"))
    what = number.choice(["card", "card", "card", "bytes", "graph"])
    if what == "graph":
        file = number.choice(["encode.onnx", "restore.onnx", "weights.bin"])
        content = damaged((model / file).read_bytes(), number)
        (model / file).write_bytes(content)
        card["sha256"][file] = hashlib.sha256(content).hexdigest()
    elif what == "card":
        for _ in range(number.randrange(1, 4)):
            card = changed(card, number)
    text = json.dumps(card).encode()
    (model / "card.json").write_bytes(damaged(text, number) if what == "bytes" else text)
    if number.random() < 0.5:
        return ["info", model, *number.choice([[], ["--json"]])]
    return ["restore", "--aligned", sound.headshots, "--out", folder / "out", "--model", model]


def of_list(sound: Sound, folder: Path, number: random.Random) -> Command:
    """An evaluation list."""
    lines = [json.loads(line) for line in sound.list.read_text(encoding="utf-8").splitlines()][:2]
    lines = [changed(line, number) if number.random() < 0.7 else line for line in lines]
    text = "".join(json.dumps(line) + number.choice(["\n", "\r\n", "\n\n"]) for line in lines).encode()
    path = folder / "list.jsonl"
    path.write_bytes(damaged(text, number) if number.random() < 0.3 else text)
    return ["evaluate", sound.model, "--data", sound.people, "--list", path, "--lr-size", "8"]


def of_note(sound: Sound, folder: Path, number: random.Random) -> Command:
    """The note of what made results."""
    from hime.restoring.records import FILE

    command: Command = ["restore", "--aligned", sound.headshots, "--out", folder, "--model", sound.model]
    quietly([*command])
    note = folder / FILE
    lines = [
        changed(json.loads(line), number) for line in note.read_text(encoding="utf-8").split("\n") if line
    ]
    text = "\n".join(map(json.dumps, lines)).encode()
    note.write_bytes(damaged(text, number) if number.random() < 0.3 else text)
    return command


def of_cache(sound: Sound, folder: Path, number: random.Random) -> Command:
    """What was learned of photos, kept in the user's cache."""
    from hime.data.people import DEMO_PEOPLE

    photos = [DEMO_PEOPLE / "ada" / f"{n}.webp" for n in (1, 2)]
    command: Command = ["restore", sound.photo, "--refs", *photos, "--model", sound.model, "--out"]
    quietly([*command, folder / "first"])
    files = sorted((folder / CACHE).rglob("*.*"))
    for file in number.sample(files, number.randrange(1, len(files) + 1)):
        kind, content = number.random(), file.read_bytes()
        file.unlink()
        if kind < 0.5:
            file.write_bytes(damaged(content, number))
        elif kind < 0.7:
            file.write_bytes(number.choice([b"", bytes(5_000_000), b"{}" * 500]))
        elif kind < 0.8:
            os.mkfifo(file)
        elif kind < 0.9:
            file.symlink_to(number.choice(["/dev/zero", "nowhere", file]))
        else:
            file.mkdir()
    return [*command, folder / "out"]


KINDS: dict[str, Callable[[Sound, Path, random.Random], Command]] = {
    "person": of_person,
    "model": of_model,
    "list": of_list,
    "note": of_note,
    "cache": of_cache,
}


def quietly(command: Command) -> Ended:
    """Status, both outputs and the traceback of a command."""
    from hime.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status: int | str = main([*map(str, command)])
        except SystemExit as stop:
            status = f"exit {stop.code}"
        except BaseException:
            return "exception", out.getvalue(), err.getvalue(), traceback.format_exc()
    return status, out.getvalue(), err.getvalue(), None


def complaint(status: int | str, out: str, err: str, trace: str | None) -> str | None:
    """What is wrong with how a command ended; None if nothing is."""
    if trace is not None or "Traceback" in err:
        return trace or "a traceback"
    if status not in (0, 1):
        return f"status {status}"
    lines = [line for line in err.splitlines() if line.startswith("hime: ")]
    if status == 1 and not lines:
        return "status 1 and no line"
    if len(lines) > 4:
        return f"{len(lines)} lines"
    told = (out + err).split("\n")
    if forged := [line for line in told if any(letter < " " or "\x7f" <= letter < "\xa0" for letter in line)]:
        return f"control characters: {forged[0]!r}"
    if "hime: fine" in lines:
        return "a forged line"
    if (longest := max((len(line) for line in lines), default=0)) > 6000:
        return f"a line of {longest} characters"
    return None


def prepared(folder: Path, model: Path) -> Sound:
    """The sound files, for a model."""
    import hime
    from hime.data.people import DEMO_PEOPLE
    from hime.faces.album import read_person
    from hime.pictures.arrays import downscale
    from hime.pictures.reading import read_target
    from hime.pictures.writing import write_image
    from hime.restoring.person import save_person

    ada = DEMO_PEOPLE / "ada"
    person = read_person([ada / "1.webp", ada / "2.webp"], "ada")
    headshot = write_image(folder / "in" / "ada.png", downscale(read_target(ada / "0.webp", 64), 4))
    photo = write_image(folder / "photo.png", read_target(ada / "0.webp", 128))
    saved = save_person(folder / "sound.person", person, hime.load(model, threads=1))
    return Sound(saved, model, DEMO_PEOPLE / "list.jsonl", DEMO_PEOPLE, headshot.parent, photo)


def done(kind: str, sound: Sound, number: random.Random) -> tuple[Command, Ended]:
    """A case made and its command run, with a cache of its own."""
    before = os.environ.get("HIME_CACHE", "")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HIME_CACHE"] = str(Path(folder) / CACHE)
        try:
            command = KINDS[kind](sound, Path(folder), number)
            return command, quietly(command)
        finally:
            os.environ["HIME_CACHE"] = before


def outcomes(
    indices: Iterable[int], seed: int, model: Path
) -> Iterator[tuple[str, int | str, str | None, str]]:
    """Every case: its name, status, what is wrong with it, what it said."""
    with tempfile.TemporaryDirectory() as temporary:
        sound = prepared(Path(temporary), model)
        for index in indices:
            number = random.Random(f"{seed} {index}")
            kind = list(KINDS)[index % len(KINDS)]
            command, ended = done(kind, sound, number)
            yield f"{index:05} {kind} {command[0]}", ended[0], complaint(*ended), ended[1] + ended[2]


def run(arguments: Sequence[str] | None = None) -> int:
    """The command line of this tool."""
    from hime.restoring.exported import DEFAULT_PHOTO_MODEL, find_model

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="this case alone")
    parser.add_argument("--model", default=DEFAULT_PHOTO_MODEL)
    options = parser.parse_args(arguments)
    indices = range(options.files) if options.only is None else [options.only]
    counts: collections.Counter[str] = collections.Counter()
    for name, status, problem, said in outcomes(indices, options.seed, find_model(options.model)):
        counts["ended badly" if problem else "taken" if status == 0 else "one line"] += 1
        if problem:
            print(f"{name}: {problem}", flush=True)
        if options.only is not None:
            print(said)
    print(", ".join(f"{count} {ended}" for ended, count in counts.most_common()))
    return int(counts["ended badly"] > 0)


if __name__ == "__main__":
    sys.exit(run())
