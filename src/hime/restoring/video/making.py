"""The second pass over a clip: its faces restored as planned, frame after frame, and encoded in stretches."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hime.errors import HimeError
from hime.faces.headshot import Frame
from hime.processors import threads
from hime.restoring.restorer import Restorer
from hime.restoring.video.faces import (
    FittedReferences,
    change_of,
    corner_of,
    mixed,
    put_back,
    read_window,
)
from hime.restoring.video.findings import CHUNK, Workplace
from hime.restoring.video.plan import Plan, Task
from hime.restoring.video.planes import Planes, colour_as, rows_of
from hime.restoring.video.reading import Clip, Damage, library, read_frames
from hime.restoring.video.steadying import REACH, Change, steadied, with_surroundings
from hime.restoring.video.writing import Encoding, Stretch

WAITING = 8
"""Frames that wait between two parts of the work at the most."""


def make(
    clip: Clip,
    encoding: Encoding,
    workplace: Workplace,
    plan: Plan,
    restorer: Restorer,
    references: dict[int, FittedReferences],
    enlargement: int,
    total: int,
    progress: Callable[[int], None],
) -> None:
    """Restore and encode stretch after stretch, from the first that is not there.

    Reading, restoring and encoding go on at once, each in a thread of its own.
    """
    done = min(workplace.count("made"), -(-total // CHUNK))
    if done * CHUNK >= total:
        return
    first = done * CHUNK
    with _Encoder(clip, encoding, workplace, done) as encoder:
        frames = _ahead(_numbered(clip, max(0, first - REACH), total))
        changed = (
            _changed(number, frame, clip, plan, restorer, references, enlargement) for number, frame in frames
        )
        for each, around in with_surroundings(changed, first):
            encoder.put(each.number, _restored(each, around, clip, enlargement), each.number == total - 1)
            progress(each.number + 1)


@dataclass(frozen=True, eq=False)
class _Changed:
    """A frame of the clip, and what restoring changes in its faces.

    Attributes:
        number: its place in the clip.
        frame: itself.
        tasks: what is to be restored in it.
        left: the frames of faces that are not.
        changes: of the tasks.
    """

    number: int
    frame: Any
    tasks: Sequence[Task]
    left: Sequence[Frame]
    changes: Sequence[Change]


def _changed(
    number: int,
    frame: Any,
    clip: Clip,
    plan: Plan,
    restorer: Restorer,
    references: dict[int, FittedReferences],
    enlargement: int,
) -> _Changed:
    """Restore the faces of a frame, all of them together; it stays as it is."""
    tasks, left = plan.tasks(number)
    if not tasks:
        return _Changed(number, frame, tasks, left, [])
    source = Planes(frame, clip.turn)
    windows = [
        (index, pose, share, corner_of(task.middle, pose.window))
        for index, task in enumerate(tasks)
        for pose, share in task.poses
    ]
    headshots = [read_window(source, corner, pose.window) for _, pose, _, corner in windows]
    restored = restorer.restore_together(
        headshots, [references[tasks[index].role].of(pose) for index, pose, _, _ in windows]
    )
    parts: list[list[Any]] = [[] for _ in tasks]
    for (index, pose, share, corner), lr, each in zip(windows, headshots, restored, strict=True):
        change = change_of(lr, each.image, pose, enlargement)
        parts[index].append(((enlargement * corner[0], enlargement * corner[1]), change, share))
    changes = [Change(task.track, source, *mixed(own)) for task, own in zip(tasks, parts, strict=True)]
    return _Changed(number, frame, tasks, left, changes)


def _restored(own: _Changed, around: Sequence[_Changed], clip: Clip, enlargement: int) -> Any:
    """The frame with its faces restored, as steady as those around it let them be."""
    result = _result(own.frame, enlargement)
    if not own.tasks:
        return result
    target = Planes(result, clip.turn)
    frames = [task.frame.scaled(enlargement) for task in own.tasks]
    strangers = [each.scaled(enlargement) for each in own.left]
    for index, (task, change) in enumerate(zip(own.tasks, own.changes, strict=True)):
        same = [
            each
            for frame in around
            if frame is not own
            for each in frame.changes
            if each.track == change.track
        ]
        values = steadied(change, same, enlargement)
        others = [other for place, other in enumerate(frames) if place != index]
        put_back(target, values, change.corner, frames[index], task.share, others, strangers)
    return result


def _result(frame: Any, enlargement: int) -> Any:
    """The frame that becomes the result: a copy, enlarged."""
    if enlargement > 1:
        result = frame.reformat(
            width=enlargement * frame.width, height=enlargement * frame.height, interpolation="LANCZOS"
        )
    else:
        result = library().VideoFrame(frame.width, frame.height, frame.format.name)
        for old, new in zip(frame.planes, result.planes, strict=True):
            rows, copy = rows_of(old), rows_of(new)
            width = min(rows.shape[1], copy.shape[1])
            copy[:, :width] = rows[:, :width]
    result.pts, result.time_base = frame.pts, frame.time_base
    colour_as(result, frame)
    return result


def _numbered(clip: Clip, first: int, total: int) -> Iterator[tuple[int, Any]]:
    """The frames from ``first`` on, each with its number."""
    number = -1
    for number, frame in enumerate(read_frames(clip, Damage(), max(1, threads() // 2))):
        if number >= total:
            break
        if number >= first:
            yield number, frame
    if number + 1 < total:
        raise HimeError(f"{clip.path}: changed while it was restored; begin anew with --overwrite")


def _ahead(items: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """The same items, made by a thread of their own, `WAITING` ahead at the most."""
    waiting: queue.Queue[Any] = queue.Queue(WAITING)
    stop = threading.Event()

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:  # is raised where the items are taken
            put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


class _Encoder:
    """Encodes frames in a thread of its own, and keeps the stretches."""

    def __init__(self, clip: Clip, encoding: Encoding, workplace: Workplace, done: int) -> None:
        self._clip, self._encoding, self._workplace, self._done = clip, encoding, workplace, done
        self._waiting: queue.Queue[Any] = queue.Queue(WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> _Encoder:
        self._thread.start()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        while self._thread.is_alive():
            try:
                self._waiting.put(None, timeout=0.2)
                break
            except queue.Full:
                continue
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def put(self, number: int, frame: Any, is_last: bool) -> None:
        """A frame of the result; ``is_last``: of all."""
        while True:
            if self._error is not None:
                raise self._error
            try:
                self._waiting.put((number, frame, is_last), timeout=0.2)
                return
            except queue.Full:
                time.sleep(0)

    def _work(self) -> None:
        try:
            stretch: Stretch | None = None
            while (item := self._waiting.get()) is not None:
                number, frame, is_last = item
                stretch = stretch or Stretch(self._clip, self._encoding)
                stretch.add(frame)
                if is_last or (number + 1) % CHUNK == 0:
                    self._workplace.save("made", number // CHUNK, stretch.arrays())
                    stretch = None
        except BaseException as error:
            self._error = error
