"""Videos measured: what a clip's own near frames give, how steady the result is, how fast it is made.

    python comparisons/video.py references CLIP… --model small-x4 --out DIR
    python comparisons/video.py steadiness CLIP… --model small-x4 --out DIR
    python comparisons/video.py speed CLIP --model small-x4 --minutes 1 60 --out DIR

``references``: the face of every clip as headshots of 128 pixels, reduced to 32 and restored with three
references of the same clip, at least a second away, with none, and by bicubic enlargement. With ``--peers``
by Real-ESRGAN and BasicVSR too: the latter gets the frames around it, as they moved, and twice the headshot's
side, since its flow needs that many pixels.

``steadiness``: stretches of the clips, made so small that the headshot has 32 pixels, restored by the whole
pipeline at ×4 and put beside the truth. Told is the warping error (each frame against the one before it,
carried there by the optical flow of the truth, in levels over the face) and the tremble of the landmarks in
it (second difference, in thousandths of the headshot's side); both for the truth too, and for photographs
restored one by one.

``speed``: the clip, repeated as often as it takes, through `hime.restore_video`; seconds and memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hime.cli.models import open_restorer
from hime.errors import HimeError
from hime.evaluation.intervals import PeopleBootstrap
from hime.evaluation.measures import Figures, Sample
from hime.faces.album import Person, Reference
from hime.faces.headshot import Frame, mask
from hime.faces.networks import opencv
from hime.files import write_json
from hime.pictures.arrays import Image, area_reduce, downscale, from_planes, to_planes, upscale
from hime.pictures.reading import Picture
from hime.restoring.photo import restore_photo
from hime.restoring.restorer import Restorer
from hime.restoring.video.cast import ClipReference, Role, with_references
from hime.restoring.video.faces import headshot
from hime.restoring.video.findings import (
    CROP_MARGIN,
    Findings,
    Workplace,
    find,
    load_candidate,
    read_findings,
)
from hime.restoring.video.planes import Planes
from hime.restoring.video.reading import Clip, Damage, library, open_clip, read_frames
from hime.restoring.video.restore import restore_video
from hime.restoring.video.smoothing import SteadyTrack, steady_tracks
from hime.restoring.video.tracking import look
from hime.restoring.video.writing import ENCODERS
from peers import BASICVSR, FRAMES, all_measures, basicvsr_of_clips, from_torch, real_esrgan

HR, LR = 128, 32
AWAY = 1.0
"""Seconds between a frame and its references, at the least."""
STRETCH = 50
"""Frames of a clip in which steadiness is measured."""
OCCLUDED = 1.0
"""Pixels by which the flow there and back may miss its beginning where the warping error counts."""


@dataclasses.dataclass(frozen=True)
class Followed:
    """A clip whose faces were followed, with the track that lasts longest."""

    clip: Clip
    findings: Findings
    workplace: Workplace
    track: SteadyTrack

    def references(self, seconds: float | None, count: int) -> tuple[ClipReference, ...]:
        """The best of the clip's own headshots, at least `AWAY` from that time."""
        rows = self.findings.candidates
        times = (self.findings.pts[rows[:, 2].astype(int)] - self.findings.pts[0]) * float(
            self.clip.time_base
        )
        kept = np.ones(len(rows), bool) if seconds is None else np.abs(times - seconds) >= AWAY
        some = dataclasses.replace(
            self.findings,
            candidates=rows[kept],
            candidate_embeddings=self.findings.candidate_embeddings[kept],
        )
        role = Role("", None, (self.track,), None)
        loaded = with_references(
            role, some, lambda index: load_candidate(self.workplace, some, index, self.clip), count
        )
        return loaded.references

    def frames(self) -> Iterator[tuple[int, float, Planes]]:
        """The frames of the track: number, seconds, planes."""
        for number, frame in enumerate(read_frames(self.clip, Damage(), 1)):
            if self.track.start <= number < self.track.end:
                seconds = float((self.findings.pts[number] - self.findings.pts[0]) * self.clip.time_base)
                yield number, seconds, Planes(frame, self.clip.turn)

    def stretches(self, radius: int) -> Iterator[tuple[int, float, list[Planes]]]:
        """The same with the planes of ``radius`` frames before and after each, those at the ends repeated."""
        around: deque[tuple[int, float, Planes]] = deque(maxlen=2 * radius + 1)

        def padded() -> Iterator[tuple[int, float, Planes]]:
            last = None
            for each in self.frames():
                yield from repeat(each, 0 if last else radius)
                yield (last := each)
            if last:
                yield from repeat(last, radius)

        for each in padded():
            around.append(each)
            if len(around) == around.maxlen:
                number, seconds, _ = around[radius]
                yield number, seconds, [planes for _, _, planes in around]


def central(reference: ClipReference) -> Image:
    """The headshot alone."""
    assert reference.candidate is not None
    crop = reference.candidate.crop
    edge = round(crop.shape[0] * (1 - 1 / CROP_MARGIN) / 2)
    return np.ascontiguousarray(crop[edge : crop.shape[0] - edge, edge : crop.shape[0] - edge])


def follow(path: Path, folder: Path) -> Followed:
    """Follow the faces of a clip.

    Raises:
        HimeError: it cannot be read, or nobody is in it.
    """
    clip, workplace = open_clip(path), Workplace(folder / path.name)
    workplace.begin({})
    find(clip, workplace, lambda _: None, 1)
    findings = read_findings(workplace)
    tracks = steady_tracks(findings, float(clip.rate))
    if not tracks:
        raise HimeError(f"{path}: no face in it; leave it out")
    return Followed(clip, findings, workplace, max(tracks, key=lambda track: len(track.frames)))


# ------------------------------------------------------------------------------------------- references


Enlarge = Callable[[Sequence[Planes], Frame, Image], Image]
"""The frames around one, where its face is, and its LR headshot → the HR headshot."""


def peers() -> dict[str, Enlarge]:
    """Others' networks, none of which takes references.

    Raises:
        ModuleNotFoundError: one is not installed.
    """
    photographs = real_esrgan()
    methods: dict[str, Enlarge] = {
        "Real-ESRGAN": lambda around, frame, lr: from_planes(photographs(to_planes(lr))),
    }
    for name, weights in BASICVSR.items():
        network = from_torch(basicvsr_of_clips(weights))

        def enlarge(
            around: Sequence[Planes], frame: Frame, lr: Image, network: Callable[..., Any] = network
        ) -> Image:
            # One frame for all, so that what moves moves.
            wide = dataclasses.replace(frame, side=2 * frame.side)
            clip = [to_planes(downscale(headshot(each, wide, 2 * HR), HR // LR)) for each in around]
            middle = from_planes(network(np.stack(clip, axis=1)))
            return np.ascontiguousarray(middle[HR // 2 : HR // 2 + HR, HR // 2 : HR // 2 + HR])

        methods[name] = enlarge
    return methods


def measure_references(
    paths: Sequence[Path], models: Sequence[str], count: int, every: float, others: dict[str, Enlarge]
) -> dict[str, Any]:
    """What references of the same clip give, in frames ``every`` so many seconds."""
    restorers = [open_restorer(model, 1) for model in models]
    measures = all_measures("video")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            followed = follow(path, Path(folder))
            step = max(1, round(every * float(followed.clip.rate)))
            for number, seconds, around in followed.stretches(FRAMES // 2 if others else 0):
                frame = followed.track.frame(number)
                if (number - followed.track.start) % step or frame.side < 0.9 * HR:
                    continue
                references = followed.references(seconds, count)
                if not references:
                    continue
                truth = headshot(around[len(around) // 2], frame, HR)
                lr = downscale(truth, HR // LR)
                pictures = {"bicubic": upscale(lr, HR // LR)}
                pictures |= {name: enlarge(around, frame, lr) for name, enlarge in others.items()}
                for restorer in restorers:
                    for name, chosen in (("none", ()), (str(count), references)):
                        restorer.set_references([central(each) for each in chosen])
                        pictures[f"{restorer.name}, {name}"] = restorer.restore(lr).image
                sample = Sample(truth, ())
                figures: dict[str, Figures] = {name: {} for name in pictures}
                for measure in measures:
                    for name, found in zip(pictures, measure(list(pictures.values()), sample), strict=True):
                        figures[name].update(found)
                rows.append({"clip": path.name, "frame": number, **figures})
            print(f"{path.name}: {sum(row['clip'] == path.name for row in rows)} frames", file=sys.stderr)
    if not rows:
        raise HimeError(
            f"no frame with a face of {HR} pixels and references {AWAY:g} s away; give other clips"
        )
    names = [name for name in rows[0] if name not in ("clip", "frame")]
    bootstrap = PeopleBootstrap([row["clip"] for row in rows])
    metrics = [metric for metric in ("psnr", "lpips", "identity", "dlib") if metric in rows[0][names[0]]]
    table: dict[str, Any] = {}
    for name in names:
        table[name] = {}
        for metric in metrics:
            values = np.array([row[name][metric] for row in rows], np.float64)
            table[name][metric] = round(float(np.nanmean(values)), 4)
            if name.endswith(f", {count}"):
                without = name.removesuffix(f", {count}") + ", none"
                gains = values - np.array([row[without][metric] for row in rows], np.float64)
                table[name][f"{metric}_gain"] = round(float(np.nanmean(gains)), 4)
                table[name][f"{metric}_gain_interval"] = bootstrap.interval(gains)
    by_clip = {
        clip: {
            name: round(float(np.mean([row[name]["psnr"] for row in rows if row["clip"] == clip])), 3)
            for name in names
        }
        for clip in sorted({row["clip"] for row in rows})
    }
    return {"frames": len(rows), "clips": len(by_clip), "table": table, "psnr_by_clip": by_clip}


# ------------------------------------------------------------------------------------------- steadiness


def measure_steadiness(paths: Sequence[Path], models: Sequence[str]) -> dict[str, Any]:
    """How steady restored faces are, beside the truth's."""
    rows: list[dict[str, Any]] = []
    for model in models:
        restorer = open_restorer(model, 1)
        for path in paths:
            with tempfile.TemporaryDirectory() as folder:
                for name, figures in _steadiness(path, restorer, Path(folder)).items():
                    rows.append({"clip": path.name, "model": restorer.name, "method": name, **figures})
            print(f"{path.name}: done", file=sys.stderr)
    table: dict[str, Any] = {}
    for row in rows:
        table.setdefault(f"{row['method']}", []).append(row)
    means = {
        name: {
            metric: round(float(np.mean([row[metric] for row in each])), 4)
            for metric in ("warping", "tremble", "psnr")
            if all(np.isfinite(row[metric]) for row in each)
        }
        for name, each in table.items()
    }
    return {"table": means, "rows": rows}


def _steadiness(path: Path, restorer: Restorer, folder: Path) -> dict[str, dict[str, float]]:
    followed = follow(path, folder)
    references = followed.references(None, 5)
    truth, frames = _truth(followed)
    small = [downscale(image, HR // LR) for image in truth]
    clip = _lossless(folder / "small.mkv", small)
    person = Person(
        "somebody",
        tuple(
            Reference(f"{each.seconds:.1f} s", central(each), each.candidate.embedding, 1.0, each.yaw)
            for each in references
            if each.candidate is not None
        ),
        (),
        np.mean([each.candidate.embedding for each in references if each.candidate is not None], axis=0)
        if references
        else None,
    )
    kept = ENCODERS["h264"]
    ENCODERS["h264"] = ("libx264", {"preset": "ultrafast", "qp": "0"})
    try:
        result = restore_video(
            clip, [person], restorer, folder / "out.mkv", everyone=True, enlargement=HR // LR
        )
    finally:
        ENCODERS["h264"] = kept
    restored = list(_images(result.path))
    alone = []
    for image in small:
        try:
            photo = restore_photo(Picture(image), [person], restorer, everyone=True, references=5)
            alone.append(photo.image.astype(np.uint8))
        except HimeError:  # not found in this frame
            alone.append(np.array(upscale(image, HR // LR)))
    methods = {
        "truth": truth,
        "bicubic": [upscale(image, HR // LR) for image in small],
        f"{restorer.name}, video": restored,
        f"{restorer.name}, photographs one by one": alone,
    }
    flows = _flows(truth)
    return {name: _figures(images, truth, frames, flows) for name, images in methods.items()}


def _truth(followed: Followed) -> tuple[list[Image], list[Frame]]:
    """A stretch of the clip, its headshots brought to 128 pixels, sides multiples of 8; and their frames."""
    images, frames = [], []
    middle = followed.track.start + max(0, len(followed.track.frames) - STRETCH) // 2
    side = float(np.median(followed.track.frames[:, 2]))
    factor = min(1.0, HR / side)
    for number, _, planes in followed.frames():
        if not middle <= number < middle + STRETCH:
            continue
        whole = planes.rgb((0, 0, planes.width, planes.height))
        height, width = (round(extent * factor) for extent in whole.shape[:2])
        reduced = area_reduce(whole, height, width) if factor < 1 else whole
        images.append(reduced[: height // 8 * 8, : width // 8 * 8])
        frames.append(followed.track.frame(number).scaled(factor))
    return images, frames


def _lossless(path: Path, images: Sequence[Image]) -> Path:
    av = library()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *images[0].shape[:2], "yuv444p"
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv444p")))
        container.mux(stream.encode())
    return path


def _images(path: Path) -> Iterator[Image]:
    clip = open_clip(path)
    for frame in read_frames(clip, Damage(), 1):
        planes = Planes(frame, clip.turn)
        yield planes.rgb((0, 0, planes.width, planes.height))


Flow = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]


def _flows(truth: Sequence[Image]) -> list[Flow]:
    """From each frame to the one before it, and where that can be trusted."""
    cv2 = opencv()
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in truth]
    flows = []
    for before, after in pairwise(grey):
        back, there = method.calc(after, before, None), method.calc(before, after, None)
        missed = back + _warped(there, back)
        flows.append((back, np.linalg.norm(missed, axis=-1) < OCCLUDED))
    return flows


def _warped(values: npt.NDArray[Any], flow: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    cv2 = opencv()
    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    warped: npt.NDArray[Any] = cv2.remap(
        values, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return warped


def _figures(
    images: Sequence[Image], truth: Sequence[Image], frames: Sequence[Frame], flows: Sequence[Flow]
) -> dict[str, float]:
    errors, squares, places = [], [], []
    for number, (image, frame) in enumerate(zip(images, frames, strict=True)):
        face = mask(frame, (0, 0), (image.shape[0], image.shape[1])) > 0.5
        difference = image.astype(np.float32) - truth[number]
        squares.append(float((difference[face] ** 2).mean()))
        if number:
            flow, sure = flows[number - 1]
            apart = np.abs(image - _warped(images[number - 1].astype(np.float32), flow)).mean(axis=-1)
            errors.append(float(apart[face & sure].mean()))
        planes = Planes(library().VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv444p"))
        found = look(planes, frame)
        places.append(np.full((5, 2), np.nan) if found is None else found.landmarks / frame.side)
    second = np.diff(np.array(places), 2, axis=0)
    return {
        "warping": float(np.mean(errors)),
        "tremble": 1000 * float(np.sqrt(np.nanmean(second**2))),
        "psnr": 10 * math.log10(255**2 / max(1e-9, float(np.mean(squares)))),
    }


# ------------------------------------------------------------------------------------------------ speed


def measure_speed(path: Path, models: Sequence[str], minutes: Sequence[float]) -> dict[str, Any]:
    """Seconds and memory of whole runs, each in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for length in minutes:
            clip = _repeated(path, Path(folder) / f"{length:g}{path.suffix}", length)
            for model in models:
                words = [sys.executable, __file__, "one", str(clip), "--model", model, "--out", folder]
                ran = subprocess.run(words, capture_output=True, text=True, check=False)
                if ran.returncode:
                    raise HimeError(f"{path}: {ran.stderr.strip().splitlines()[-1]}")
                rows.append({"minutes": length, **json.loads(ran.stdout)})
                print(rows[-1], file=sys.stderr)
    return {"cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0], "rows": rows}


def _repeated(path: Path, target: Path, minutes: float) -> Path:
    """The video of a clip, its packets copied again and again."""
    av = library()
    with av.open(str(target), "w") as result:
        stream, offset, done = None, 0, False
        while not done:
            with av.open(str(path)) as source:
                main = source.streams.video[0]
                stream = stream or result.add_stream_from_template(main, opaque=True)
                last = 0
                for packet in source.demux(main):
                    if packet.dts is None or packet.pts is None:
                        continue
                    last = max(last, packet.pts + (packet.duration or 1))
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                    done = float(packet.pts * packet.time_base) > 60 * minutes
                    result.mux_one(packet)
                offset += last
    return target


def measure_one(path: Path, model: str, folder: Path) -> dict[str, Any]:
    """One run, in this process."""
    restorer = open_restorer(model)
    times = {"looking": 0.0, "restoring": 0.0}
    start, begun = time.monotonic(), time.process_time()

    def progress(step: Any) -> None:
        times[step.step] = time.monotonic() - start

    result = restore_video(path, [], restorer, folder / f"result{path.suffix}", progress=progress)
    seconds = time.monotonic() - start
    result.path.unlink()
    status = Path("/proc/self/status").read_text()
    return {
        "model": restorer.name,
        "frames": result.frames,
        "restored": sum(face.frames for face in result.faces),
        "seconds": round(seconds, 1),
        "of them looking": round(times["looking"], 1),
        "processor seconds": round(time.process_time() - begun, 1),
        "frames per second": round(result.frames / seconds, 1),
        "peak MiB": int(status.split("VmHWM:")[1].split()[0]) // 1024,
    }


# --------------------------------------------------------------------------------------------- command line


def as_table(table: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in table.items():
        cells = [
            "–"
            if (value := row.get(column)) is None
            else " … ".join(f"{end:.3f}" for end in value)
            if isinstance(value, tuple | list)
            else f"{value:.3f}"
            if isinstance(value, float)
            else str(value)
            for column in columns
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this tool."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("references", "steadiness", "speed", "one"))
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--model", action="append", metavar="NAME", help="any number; default: small-x4")
    parser.add_argument("--references", type=int, default=3, metavar="N")
    parser.add_argument("--every", type=float, default=0.5, metavar="SECONDS", help="between frames measured")
    parser.add_argument("--peers", action="store_true", help="others' networks too, for references")
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.0, 60.0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(arguments)
    models = options.model or ["small-x4"]
    try:
        if options.what == "one":
            print(json.dumps(measure_one(options.clips[0], models[0], options.out)))
            return 0
        if options.what == "references":
            others = peers() if options.peers else {}
            result = measure_references(options.clips, models, options.references, options.every, others)
        elif options.what == "steadiness":
            result = measure_steadiness(options.clips, models)
        else:
            result = measure_speed(options.clips[0], models, options.minutes)
    except HimeError as error:
        print(error, file=sys.stderr)
        return 1
    write_json(options.out / f"{options.what}.json", result)
    table = result.get("table") or {
        f"{row['minutes']:g} min, {row['model']}": {
            key: value for key, value in row.items() if key not in ("minutes", "model")
        }
        for row in result["rows"]
    }
    print(as_table(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
