"""What the first pass finds, kept in files beside the result, so that an interrupted run goes on.

The work folder holds ``work.json`` (what the work is for), ``found-000000.npz`` and so on (the findings, so
many frames each) and, of the second pass, ``made-000000.npz`` and so on (`hime.restoring.video.writing`).
One run at a time works there.
Every file is written whole or not at all, and each but the last is never touched again. Findings are
biometric data, headshots and embeddings of everybody in the clip: nobody but the user can read them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.errors import HimeError
from hime.faces.embedding import embed
from hime.faces.face import Face
from hime.faces.headshot import Frame, cut
from hime.faces.look import (
    LOOK_SIDE,
    MAXIMUM_YAW,
    MINIMUM_SIDE,
    light_of,
    problem_of,
    quality_of,
)
from hime.files import LOCK, held, reason_of, unreadable, write_atomically, write_json
from hime.pictures.arrays import FloatArray, Image
from hime.restoring.video.planes import Planes
from hime.restoring.video.reading import Clip, Damage, read_frames
from hime.restoring.video.tracking import Sighting, Tracker

Arrays = dict[str, npt.NDArray[Any]]

CHUNK = 250
"""Frames of one file of findings, and of one stretch of the result."""
EMBED_SECONDS = 2.0
"""From one look at who a face is to the next."""
LARGEST_CROP = 256
"""Side in pixels to which the headshots kept as references are reduced."""
CROP_MARGIN = 1.4
"""How many times the side of the headshot is kept of them, to be turned and framed anew."""
POSES, MOMENTS = 7, 2
"""Poses, from side to side, and parts of a chunk, of each of which the best headshot of a face is kept."""
BETTER = 1.1
"""How many times as good another headshot must be to take its place."""
FOLDER_MODE, FILE_MODE = 0o700, 0o600
"""Permissions of the work folder and of what lies in it: the user's alone."""


@dataclass(frozen=True)
class Candidate:
    """A headshot of the clip that may serve as a reference.

    Attributes:
        frame: number of its frame.
        seconds: from the first frame.
        track: number of its track.
        quality: from 0 to 1, as `hime.faces.album.Reference` has it.
        yaw: see `hime.faces.face.yaw_of`.
        side: of the headshot in the clip, in pixels.
        embedding: see `hime.faces.embedding.embed`.
        crop: uint8 S×S×3, the headshot with what is around it, `CROP_MARGIN` times its side.
    """

    frame: int
    seconds: float
    track: int
    quality: float
    yaw: float
    side: float
    embedding: FloatArray
    crop: Image


class Workplace:
    """The folder of a clip's unfinished work, which is the user's alone (folder 0700, files 0600).

    Args:
        folder: where; made at the first `begin`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, task: dict[str, Any], threads: int = 1) -> int:
        """Go on with what is there if it is for the same task, otherwise begin anew.

        Args:
            task: all that the work depends on.
            threads: of the encoder, where it is begun anew.

        Returns:
            The encoder's threads with which the work was begun: what it writes depends on them.

        Raises:
            HimeError: the folder cannot be written to.
        """
        note = self.folder / "work.json"
        self._keep_private()  # also what an earlier version left there
        try:
            begun = json.loads(note.read_text(encoding="utf-8"))
            earlier = int(begun.pop("threads"))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            begun = None
        if begun == task:
            return earlier
        self.clear()
        self._keep_private()
        write_json(note, {**task, "threads": threads}, FILE_MODE)
        return threads

    def _keep_private(self) -> None:
        """Make the folder, where it is not there, and let nobody else look into it."""
        with contextlib.suppress(OSError):  # a disk without modes; what cannot be written is told later
            self.folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            self.folder.chmod(FOLDER_MODE)

    def held(self, result: Path) -> contextlib.AbstractContextManager[None]:
        """Hold the folder as long as the block runs: of two runs at once the one would take the other's work.

        Args:
            result: what is made there.

        Raises:
            HimeError: another run holds it, or it cannot be written to.
        """
        busy = f"{result}: another run is at work on it; wait until that has ended, or choose another --out"
        return held(self.folder, busy, FOLDER_MODE)

    def clear(self) -> None:
        """Remove the folder and all that is in it; while it is `held`, the folder stays until that ends."""
        try:
            for path in self.folder.iterdir() if self.folder.exists() else ():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()
        except OSError as error:
            raise HimeError(
                f"{self.folder}: cannot be removed ({reason_of(error)}); remove it by hand"
            ) from error
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def path(self, kind: str, number: int) -> Path:
        """Of a file."""
        return self.folder / f"{kind}-{number:06d}.npz"

    def count(self, kind: str) -> int:
        """How many files of that kind there are in a row from the first."""
        number = 0
        while self.path(kind, number).exists():
            number += 1
        return number

    def load(self, kind: str, number: int, *names: str) -> Arrays:
        """The arrays of a file, or those of them that are named.

        Raises:
            HimeError: it cannot be read.
        """
        path = self.path(kind, number)
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in names or stored.files}
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise HimeError(f"{path}: damaged; begin anew with --overwrite") from error

    def save(self, kind: str, number: int, arrays: Arrays) -> None:
        """Write a file whole.

        Raises:
            HimeError: it cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_atomically(
            self.path(kind, number), lambda path: path.write_bytes(buffer.getbuffer()), FILE_MODE
        )


def fingerprint(path: Path) -> str:
    """What tells one clip from another: its size, its beginning and its end.

    Raises:
        HimeError: it cannot be read.
    """
    part = 1 << 20
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read(part))
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - part))
            digest.update(file.read(part))
    except OSError as error:
        raise unreadable(path, error) from error
    return f"{size}-{digest.hexdigest()}"


def find(clip: Clip, workplace: Workplace, progress: Callable[[int], None], threads: int) -> Damage:
    """The first pass: follow the faces of a clip, and keep what is found in ``found-….npz``.

    Args:
        clip: the clip.
        workplace: where; what is there already is not done again.
        progress: told after each frame how many are done.
        threads: of the decoder.

    Returns:
        What does not decode.

    Raises:
        HimeError: as `read_frames`, or a file cannot be written.
    """
    done = workplace.count("found")
    damage = Damage()
    if done and "end" in _flags(workplace, done - 1):
        stored = json.loads(str(workplace.load("found", done - 1, "damage")["damage"]))
        return Damage(**stored)
    state = None if not done else json.loads(str(workplace.load("found", done - 1, "state")["state"]))
    rate = float(clip.rate)
    chunk = _Chunk(clip, done * CHUNK)
    tracker: Tracker | None = None
    before: Planes | None = None
    number = 0
    for frame in read_frames(clip, damage, threads):
        planes = Planes(frame, clip.turn)
        if number >= done * CHUNK:
            if tracker is None:
                tracker = Tracker(rate, state, before)
            if number == chunk.start + CHUNK:
                workplace.save("found", chunk.start // CHUNK, chunk.arrays(tracker.state()))
                chunk = _Chunk(clip, number)
            chunk.add(number, frame.pts, planes, *tracker.follow(number, planes))
        before = planes
        number += 1
        progress(number)
    if number < done * CHUNK or not number:
        raise HimeError(f"{clip.path}: no frame decodes any more; begin anew with --overwrite")
    arrays = chunk.arrays(tracker.state() if tracker else state or {})
    arrays["end"] = np.array(True)
    arrays["damage"] = np.array(json.dumps(dataclasses.asdict(damage)))
    workplace.save("found", chunk.start // CHUNK, arrays)
    return damage


def _flags(workplace: Workplace, number: int) -> list[str]:
    with np.load(workplace.path("found", number), allow_pickle=False) as stored:
        return list(stored.files)


class _Chunk:
    """The findings of some frames in a row."""

    def __init__(self, clip: Clip, start: int) -> None:
        self.clip, self.start = clip, start
        self.embed_every = max(1, round(EMBED_SECONDS * float(clip.rate)))
        self.pts: list[int] = []
        self.cuts: list[int] = []
        self.seen: list[tuple[float, ...]] = []
        self.who: list[tuple[int, int, float, FloatArray]] = []
        self.best: dict[tuple[int, int, int], tuple[float, Any]] = {}

    def add(self, number: int, pts: int, planes: Planes, is_cut: bool, sightings: Iterable[Sighting]) -> None:
        """A frame."""
        self.pts.append(pts)
        if is_cut:
            self.cuts.append(number)
        for sighting in sightings:
            track, face = sighting.track, sighting.face
            motion = sighting.motion or (np.nan,) * 4
            found = (np.nan,) * 6
            if face is not None:
                frame, yaw = face.frame, face.yaw
                found = (*frame.centre, frame.side, frame.angle, yaw, face.score)
                self._consider(number, planes, track.number, face, frame, yaw)
                if track.embedded < 0 or number - track.embedded >= self.embed_every:
                    track.embedded = number
                    self.who.append((number, track.number, frame.side, known(planes, face)))
            self.seen.append((number, track.number, *motion, *found))

    def _consider(
        self, number: int, planes: Planes, track: int, face: Face, frame: Frame, yaw: float
    ) -> None:
        """Keep the headshot if it can serve as a reference and is the best of its pose."""
        if frame.side < MINIMUM_SIDE or abs(yaw) > MAXIMUM_YAW:  # most of them, before anything is sampled
            return
        sharpness, lights, white = light_of(planes.sample_luma(frame, LOOK_SIDE).astype(np.float32))
        if problem_of(frame.side, yaw, sharpness, lights, white) is not None:
            return
        quality = quality_of(frame.side, sharpness)
        pose = min(POSES - 1, int((yaw / MAXIMUM_YAW + 1) / 2 * POSES))
        key = track, pose, (number - self.start) * MOMENTS // CHUNK
        if quality <= BETTER * self.best.get(key, (0.0, None))[0]:
            return
        wide = Frame(frame.centre, CROP_MARGIN * frame.side, frame.angle)
        corners = wide.corners()
        part = planes.around(*(corners.min(axis=0) - 5), *(corners.max(axis=0) + 5))
        moved = Frame((wide.centre[0] - part[0], wide.centre[1] - part[1]), wide.side, wide.angle)
        crop = cut(planes.rgb(part), moved, round(CROP_MARGIN * min(LARGEST_CROP, frame.side)))
        landmarks = wide.to_crop(crop.shape[0], face.landmarks)
        self.best[key] = quality, (number, yaw, frame.side, crop, landmarks)

    def arrays(self, state: dict[str, Any]) -> Arrays:
        """For the file."""
        kept = sorted(self.best.items(), key=lambda item: (item[1][1][0], item[0]))
        details = [(track, quality, *found) for (track, _, _), (quality, found) in kept]
        crops = {f"crop{number}": detail[5] for number, detail in enumerate(details)}
        return {
            "pts": np.array(self.pts, np.int64),
            "cuts": np.array(self.cuts, np.int64),
            "seen": np.array(self.seen, np.float64).reshape(-1, 12),
            "who": np.array([row[:3] for row in self.who], np.float64).reshape(-1, 3),
            "who_embeddings": np.array([row[3] for row in self.who], np.float32).reshape(-1, 128),
            # track, quality, frame, yaw, side
            "candidates": np.array([detail[:5] for detail in details], np.float64).reshape(-1, 5),
            "candidate_embeddings": np.array(
                [embed(detail[5], detail[6]) for detail in details], np.float32
            ).reshape(-1, 128),
            "state": np.array(json.dumps(state)),
            **crops,
        }


def known(planes: Planes, face: Face) -> FloatArray:
    """Who a face is, see `hime.faces.embedding.embed`."""
    frame = Frame.of(face.landmarks)
    size = int(np.clip(round(frame.side), 32, LARGEST_CROP))
    return embed(planes.sample(frame, size), frame.to_crop(size, face.landmarks))


# ------------------------------------------------------------------------------------------- read again


@dataclass(frozen=True)
class Findings:
    """All that the first pass found, but the headshots.

    Attributes:
        pts: of each frame, in the clip's unit of time.
        cuts: numbers of the frames that are the first after a cut.
        seen: a row a face and frame: frame, track, motion (4), found (x, y, side, angle), yaw, score; NaN
            where it was not looked for or not found.
        who: a row a look at who it is: frame, track, side.
        who_embeddings: N×128.
        candidates: a row a headshot: track, quality, frame, yaw, side, and in which chunk as which it lies.
        candidate_embeddings: N×128.
    """

    pts: npt.NDArray[np.int64]
    cuts: npt.NDArray[np.int64]
    seen: npt.NDArray[np.float64]
    who: npt.NDArray[np.float64]
    who_embeddings: FloatArray
    candidates: npt.NDArray[np.float64]
    candidate_embeddings: FloatArray


def read_findings(workplace: Workplace) -> Findings:
    """The findings of all chunks.

    Raises:
        HimeError: a file is damaged.
    """
    names = ("pts", "cuts", "seen", "who", "who_embeddings", "candidates", "candidate_embeddings")
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
    for number, arrays in _chunks(workplace, names):
        rows = arrays["candidates"]
        places = np.stack([np.full(len(rows), number), np.arange(len(rows))], axis=1)
        arrays["candidates"] = np.concatenate([rows, places], axis=1)
        arrays["seen"] = arrays["seen"].astype(np.float64)
        for name in names:
            parts[name].append(arrays[name])
    return Findings(**{name: np.concatenate(values) for name, values in parts.items()})


def _chunks(workplace: Workplace, names: Iterable[str]) -> Iterator[tuple[int, Arrays]]:
    for number in range(workplace.count("found")):
        yield number, workplace.load("found", number, *names)


def load_candidate(workplace: Workplace, findings: Findings, index: int, clip: Clip) -> Candidate:
    """A headshot of the clip with what is known of it.

    Raises:
        HimeError: the file is damaged.
    """
    track, quality, frame, yaw, side, chunk, place = findings.candidates[index]
    name = f"crop{int(place)}"
    return Candidate(
        frame=int(frame),
        seconds=float((findings.pts[int(frame)] - findings.pts[0]) * clip.time_base),
        track=int(track),
        quality=float(quality),
        yaw=float(yaw),
        side=float(side),
        embedding=findings.candidate_embeddings[index],
        crop=workplace.load("found", int(chunk), name)[name],
    )
