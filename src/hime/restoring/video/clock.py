"""Times that go on, of frames and of packets, where those of the file begin anew or some are wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Clock(Generic[Item]):
    """Gives each item of a stream, in its order, a time later than that of the one before.

    An item whose time jumps waits for the next ones. If one of these goes on from before the jump, the times
    between were wrong and are spread there. Otherwise a recording that was joined begins where times go back,
    and is made as much later as it must be; where they go ahead, nothing was there for so long. If times go
    on from before such a beginning only later, they do, and there was none.

    Args:
        jump: by how much a time must go back, or ahead, for that.
        shifts: how much later each recording that begins anew is made is added to it.
        most: how many items wait at the most, but for the last; of frames few, since they take memory.
        least: how much later than the one before each time is at the least.
        is_dense: whether also what jumps ahead waits, and the first of all; not where there may be long
            between two, as of subtitles.
        alike: how much later the recordings of the stream that it is shown with are made: then a recording is
            made as much later as one of these, so that they stay together,
        apart: if that differs from what it would be alone by no more than this.
    """

    def __init__(
        self,
        jump: int,
        shifts: list[int],
        *,
        most: int = 8,
        least: int = 1,
        is_dense: bool = True,
        alike: Sequence[int] = (),
        apart: int = 0,
    ) -> None:
        self.jump, self.shifts, self.most, self.least, self.is_dense = jump, shifts, most, least, is_dense
        self.alike, self.apart = alike, apart
        self.wrong: list[int] = []
        """Times that were wrong."""
        self._last: int | None = None
        self._shift = 0
        self._before: int | None = None
        """`_shift` before the last recording began; None: none did that may turn out to be none."""
        self._waiting: deque[tuple[Item, int | None, int]] = deque()

    def take(self, item: Item, time: int | None, step: int) -> Iterator[tuple[Item, int]]:
        """Take the next item; gives those whose times are known now, each with its own.

        Args:
            item: the next.
            time: that it has; None: none, then it comes a step after the one before.
            step: from the one before to it, where nothing else tells.
        """
        self._waiting.append((item, time, step))
        yield from self._known(is_end=False)

    def rest(self) -> Iterator[tuple[Item, int]]:
        """The items that wait, where no other follows them."""
        yield from self._known(is_end=True)

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def _known(self, *, is_end: bool) -> Iterator[tuple[Item, int]]:
        """The items whose times are known."""
        while self._waiting:
            is_all = is_end or len(self._waiting) > self.most
            time = self._begin(is_all) if self._last is None else self._next(self._last, is_all)
            if time is None:
                return
            self._last = time if self._last is None else max(time, self._last + self.least)
            yield self._waiting.popleft()[0], self._last

    def _begin(self, is_all: bool) -> int | None:
        """The time of the first of all; None: not known yet. ``is_all``: no more are waited for."""
        _, time, _ = self._waiting[0]
        if time is None or not self.is_dense:
            return time or 0
        following = [(number, each) for number, (_, each, _) in enumerate(self._waiting) if each is not None]
        if len(following) == 1:
            return time if is_all else None
        number, second = following[1]
        if second >= time - self.jump or self._going_on(time) is not None:
            return time
        if not is_all:
            return None
        self.wrong.append(time)
        return second - number * self._waiting[number][2]

    def _next(self, last: int, is_all: bool) -> int | None:
        """The time of the first that waits, after ``last``; None: not known yet."""
        _, time, step = self._waiting[0]
        if time is None:
            return last + step
        ahead = time + self._shift - last
        if not (ahead < -self.jump or (self.is_dense and ahead > self.jump)):
            return time + self._shift
        if self._before is not None and ahead > 0 and 0 < time + self._before - last <= self.jump + 2 * step:
            self._shift, self._before = self._before, None
            self.shifts.pop()
        elif (found := self._going_on(last)) is not None:
            self.wrong.append(time + self._shift)
            number, later = found
            return last + later // (number + 1)
        elif not is_all:
            return None
        elif ahead < 0:
            self._before, self._shift = self._shift, self._begun(time, last + step - time)
            self.shifts.append(self._shift)
        return time + self._shift

    def _going_on(self, last: int) -> tuple[int, int] | None:
        """Which of those that wait goes on from ``last``, after the first and maybe others do not, and how
        much later it is; None: none does.
        """
        first = before = self._waiting[0][1] or 0
        goes_back = first + self._shift <= last
        most = self.jump
        for number, (_, time, step) in enumerate(self._waiting):
            most += step
            if time is None:
                continue
            leaps = not 0 <= time - before <= self.jump + step if goes_back else time < first
            later = time + self._shift - last
            if leaps and 0 < later <= most:
                return number, later
            before = time
        return None

    def _begun(self, time: int, own: int) -> int:
        """How much later a recording is made that begins anew; ``own``: if it were alone."""
        last = 0 if self._last is None else self._last
        near = min(self.alike, key=lambda shift: abs(time + shift - last), default=own)
        return near if abs(near - own) <= self.apart else own
