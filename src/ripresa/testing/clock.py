"""A clock that the test owns: time stands still until the test moves it, and nothing has to sleep.

    clock = ManualClock()
    async with App("memory:", clock=clock) as app:
        handle = await app.start(flow(1))
        await clock.jump()              # waits until something is to be waited for, and goes there
        clock.advance("10 s")           # or moves by a length, and what is due on the way happens

Law: time moves only by `advance` and `jump`, never back. What is due happens in order of its moment, then of asking,
and sees the time at which it was due.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from heapq import heappop, heappush

from ..core.durations import Duration, microseconds
from ..ports import Alarm

START = 1_700_000_000_000_000
"""Where time stands at first, in microseconds since 1970: November 2023."""


class _Alarm:
    """A callback at a moment."""

    __slots__ = ("callback", "due")

    def __init__(self, due: int, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Let it not happen."""
        self.callback = None


class ManualClock:
    """`ports.Clock` for tests. Times are microseconds since 1970."""

    def __init__(self, at: int = START) -> None:
        self._now = at
        self._alarms: list[tuple[int, int, _Alarm]] = []
        self._numbers = itertools.count()
        self._set = asyncio.Event()

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        return self._now

    def call_at(self, due: int, callback: Callable[[], None]) -> Alarm:
        """Call back when the test has moved time to `due`; on the next turn of the loop if that is past."""
        alarm = _Alarm(due, callback)
        if due <= self._now:
            asyncio.get_running_loop().call_soon(_ring, alarm)
        else:
            heappush(self._alarms, (due, next(self._numbers), alarm))
            self._set.set()
        return alarm

    def waiting(self) -> list[int]:
        """The moments at which something is to happen, in order."""
        return [due for due, _, alarm in sorted(self._alarms) if alarm.callback is not None]

    def advance(self, length: Duration) -> None:
        """Move time by a length ("3 days", seconds); what becomes due on the way happens, before this returns."""
        self._move(self._now + microseconds(length, "length"))

    def _move(self, end: int) -> None:
        while self._alarms and self._alarms[0][0] <= end:
            due, _, alarm = heappop(self._alarms)
            if alarm.callback is not None:
                self._now = max(self._now, due)
                _ring(alarm)
        self._now = end

    async def jump(self) -> int:
        """Wait until something is to happen at a later moment, and move there; how far that was, in microseconds."""
        while not (waiting := self.waiting()):
            self._set.clear()
            await self._set.wait()
        length = waiting[0] - self._now
        self._move(waiting[0])
        return length


def _ring(alarm: _Alarm) -> None:
    callback, alarm.callback = alarm.callback, None
    if callback is not None:
        callback()
