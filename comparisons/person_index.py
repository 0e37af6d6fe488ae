"""What it takes to look for a face among many people: matching, and opening their .person files.

    python comparisons/person_index.py [--people 10 1000 100000] [--files 10000]

Matching: so many random people, who are as alike as strangers are to the face network (cosines of 0.1 ± 0.1).
Pictures of five faces, four of them people's (cosine of about 0.65), one a stranger's. Told are the time a
face, and of a plain loop over people in double precision; how often both have the same nearest person;
how many people are found, and faces taken for somebody whose they are not. Files: a header as real ones
have, features that are left empty; what a process takes that opens them all and matches a picture.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hime.faces.album import SAME_PERSON, Person
from hime.faces.matching import Crowd, match
from hime.pictures.arrays import FloatArray

FACES = 5
PICTURES = 20
COMMON = 0.33
"""Part that all embeddings share: its square is the cosine of strangers."""
LIKENESS = 0.6
"""Share of its person that a face has; with what all have in common, a cosine of 0.65."""


def units(random: np.random.Generator, count: int) -> FloatArray:
    """Embeddings of strangers: float32 N×128."""
    vectors = random.normal(size=(count, 128)) * ((1 - COMMON**2) / 128) ** 0.5
    vectors[:, 0] += COMMON
    unit: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def pictures(random: np.random.Generator, people: FloatArray) -> list[tuple[list[FloatArray], list[int]]]:
    """The faces of each picture, and whose the first of them are."""
    found = []
    for _ in range(PICTURES):
        who = random.choice(len(people), FACES - 1, replace=False)
        noise = units(random, FACES)
        faces = [LIKENESS * people[each] + (1 - LIKENESS**2) ** 0.5 * noise[n] for n, each in enumerate(who)]
        found.append(([face / np.linalg.norm(face) for face in [*faces, noise[-1]]], who.tolist()))
    return found


def plainly(face: FloatArray, people: Sequence[FloatArray]) -> int:
    """The nearest, by a loop over people in double precision."""
    face64 = face.astype(np.float64)
    return max(range(len(people)), key=lambda index: float(face64 @ people[index]))


def matching(count: int) -> str:
    """A row of the table."""
    random = np.random.default_rng(count)
    embeddings = units(random, count)
    people = [Person(str(number), (), (), embedding) for number, embedding in enumerate(embeddings)]
    start = time.process_time()
    crowd = Crowd(people)
    _, means = crowd.known
    made = time.process_time() - start
    looked = pictures(random, embeddings)
    start = time.process_time()
    found = [match(faces, crowd) for faces, _ in looked]
    each = (time.process_time() - start) / (PICTURES * FACES)
    start = time.process_time()
    doubles = list(embeddings.astype(np.float64))
    some = looked[: max(1, min(PICTURES, 2_000_000 // (count * FACES)))]
    nearest = [plainly(face, doubles) for faces, who in some for face in faces[: len(who)]]
    plain = (time.process_time() - start) / len(nearest)
    ours = [int((means @ face).argmax()) for faces, who in some for face in faces[: len(who)]]
    same = sum(one == other for one, other in zip(nearest, ours, strict=True)) / len(nearest)
    right = wrong = 0
    for persons, (_, who) in zip(found, looked, strict=True):
        for number, person in enumerate(persons):
            is_right = number < len(who) and person is not None and person.name == str(who[number])
            right += is_right
            wrong += person is not None and not is_right
    known = PICTURES * (FACES - 1)
    cells = [f"{count:,}", f"{1000 * each:.2f}", f"{1000 * plain:.1f}", f"{1000 * made:.0f}"]
    return " | ".join([*cells, f"{100 * same:.0f} %", f"{100 * right / known:.0f} %", str(wrong)])


# ------------------------------------------------------------------------------------------------ files

OPEN = """
import sys, time
from pathlib import Path
import numpy as np
from hime.faces.matching import Crowd, match
from hime.restoring.person import load_person
from hime.restoring.sources import find_people
def held():  # at the most, KiB; getrusage would count what the process held that started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = held()
start = time.process_time()
crowd = Crowd([load_person(each.files[0]) for each in find_people([Path(sys.argv[1])]).people])
opened = time.process_time() - start
match([np.array(crowd[len(crowd) // 2].embedding)] , crowd)
after = held()
descriptors = len(list(Path("/proc/self/fd").iterdir()))
print(f"{opened:.1f} | {(after - before) / 1024:.0f} | {descriptors}")
"""


def write_people(folder: Path, count: int) -> None:
    """.person files of that many people with twelve references each, their features left empty."""
    from hime.restoring.person import SIDES
    from hime.restoring.person_file import FORMAT, key

    random = np.random.default_rng(0)
    channels, references = 64, 12
    for number in range(count):
        embedding = units(random, 1)[0]
        small = [
            ("embedding", embedding), ("embeddings", np.tile(embedding, (references, 1))),
            ("qualities", np.full(references, 0.5, np.float32)), ("yaws", np.zeros(references, np.float32)),
        ]  # fmt: skip
        header: dict[str, object] = {
            "__metadata__": {
                "format": FORMAT,
                "name": f"person {number}",
                "references": json.dumps([f"photo{each}.jpg" for each in range(references)]),
                "models": json.dumps({"0" * 64: "large-x4-real-p", "1" * 64: "large-x4"}),
            }
        }
        end = 0
        for name, values in small:
            place = [end, end := end + values.nbytes]
            header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": place}
        for digest in ("0" * 64, "1" * 64):
            for side in SIDES:
                place = [end, end := end + 2 * references * channels * side * side]
                shape = [references, channels, side, side]
                header[key(digest, side)] = {"dtype": "F16", "shape": shape, "data_offsets": place}
        text = json.dumps(header).encode()
        with (folder / f"{number}.person").open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, values in small:
                file.write(values.tobytes())
            file.truncate(8 + len(text) + end)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, nargs="*", default=[10, 1000, 100_000], metavar="N")
    parser.add_argument("--files", type=int, nargs="*", default=[10_000], metavar="N")
    options = parser.parse_args(arguments)
    if options.people:
        print(f"A face goes to who is nearest, from a cosine of {SAME_PERSON}, if nobody else is as near.\n")
        print("| people | ms a face | ms, plain loop | ms, index made | as the loop | found | wrong |")
        print("|---" * 7 + "|")
    for count in options.people:
        print(f"| {matching(count)} |", flush=True)
    if options.files:
        print("\n| .person files | seconds | MiB | files open |\n|---|---|---|---|")
    for count in options.files:
        with tempfile.TemporaryDirectory() as temporary:
            write_people(Path(temporary), count)
            command = [sys.executable, "-c", OPEN, temporary]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            print(f"| {count:,} | {told.strip()} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
