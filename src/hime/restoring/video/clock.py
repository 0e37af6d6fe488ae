"""Times that go on, of frames and of packets, where those of the file begin anew or one of them is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Clock(Generic[Item]):
    """Gives each item of a stream, in its order, a time later than that of the one before.

    An item whose time jumps waits for the next one. If that goes on from before the jump, the one time was
    wrong and becomes one between its neighbours. Otherwise a recording that was joined begins where times go
    back, and is made as much later as it must be; where they go ahead, nothing was there for so long.

    Args:
        jump: by how much a time must go back, or ahead, for that.
        shifts: how much later each recording that begins anew is made is added to it.
        least: how much later than the one before each time is at the least.
        is_dense: whether also what jumps ahead waits, and the first two of all; not where there may be long
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
        least: int = 1,
        is_dense: bool = True,
        alike: Sequence[int] = (),
        apart: int = 0,
    ) -> None:
        self.jump, self.shifts, self.least, self.is_dense = jump, shifts, least, is_dense
        self.alike, self.apart = alike, apart
        self.wrong: list[int] = []
        """Times that were wrong."""
        self._first: list[tuple[Item, int | None, int]] | None = []
        self._last: int | None = None
        self._shift = 0
        self._waiting: tuple[Item, int, int] | None = None

    def take(self, item: Item, time: int | None, step: int) -> Iterator[tuple[Item, int]]:
        """Take the next item; gives those whose times are known now, each with its own.

        Args:
            item: the next.
            time: that it has; None: none, then it comes a step after the one before.
            step: from the one before to it, where nothing else tells.
        """
        if self._first is None:
            yield from self._next(item, time, step)
            return
        self._first.append((item, time, step))
        if len(self._first) == 3 or not self.is_dense:  # two tell whether the first one's time is wrong
            yield from self._begin()

    def rest(self) -> Iterator[tuple[Item, int]]:
        """The items that wait, where no other follows them, or none is waited for."""
        yield from self._begin()
        yield from self._settled(None)

    def _begin(self) -> Iterator[tuple[Item, int]]:
        first, self._first = self._first or [], None
        match first:
            case [(item, int(time), step), (_, int(second), _), (_, int(third), _)]:
                if second < time - self.jump and not 0 < third - time <= self._room(step):
                    self.wrong.append(time)
                    first[0] = item, second - step, step
        for each in first:
            yield from self._next(*each)

    def _next(self, item: Item, time: int | None, step: int) -> Iterator[tuple[Item, int]]:
        yield from self._settled(time)
        if time is None:
            yield item, self._set(0 if self._last is None else self._last + step)
        elif self._jumps(time):
            self._waiting = item, time, step
        else:
            yield item, self._set(time + self._shift)

    def _jumps(self, time: int) -> bool:
        ahead = 0 if self._last is None else time + self._shift - self._last
        return ahead < -self.jump or (self.is_dense and ahead > self.jump)

    def _room(self, step: int) -> int:
        """Between two items at the most where one whose time is wrong is between them."""
        return self.jump + 2 * step

    def _settled(self, following: int | None) -> Iterator[tuple[Item, int]]:
        """The item that waits, now that the time of the one after it is known."""
        if self._waiting is None or self._last is None:
            return
        item, time, step = self._waiting
        self._waiting = None
        goes_back = time + self._shift < self._last
        if following is not None and (goes_back or following < time):
            between = following + self._shift - self._last
            if 0 < between <= self._room(step):
                self.wrong.append(time + self._shift)
                yield item, self._set(self._last + between // 2)
                return
        if goes_back:
            self._shift = self._begun(time, self._last + step - time)
            self.shifts.append(self._shift)
        yield item, self._set(time + self._shift)

    def _begun(self, time: int, own: int) -> int:
        """How much later a recording is made that begins anew; ``own``: if it were alone."""
        last = 0 if self._last is None else self._last
        near = min(self.alike, key=lambda shift: abs(time + shift - last), default=own)
        return near if abs(near - own) <= self.apart else own

    def _set(self, time: int) -> int:
        self._last = time if self._last is None else max(time, self._last + self.least)
        return self._last
