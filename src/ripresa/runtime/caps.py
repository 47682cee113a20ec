"""Caps: so many slots of one kind, and the one line of those who wait for slots.

Law: whoever needs slots of several caps gets them together or none, so that nobody holds one while waiting for
another. Whatever is free goes to the first in the line for whom all is there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeAlias

from ..reporting import Hold

_Waiter: TypeAlias = tuple[int, asyncio.Future[None]]
"""The number of its arrival, and what it waits with."""


class Cap:
    """So many slots of one kind, and who holds them."""

    def __init__(self, name: str, size: int, line: Line) -> None:
        self.name = name
        self.size = self.free = size
        self.aside = 0
        self.holds: dict[Hold, None] = {}
        self._line = line

    def locked(self) -> bool:
        """Whether no slot is free."""
        return not self.free

    async def acquire(self) -> None:
        """Take a slot, in order of arrival."""
        await self._line.acquire(self)

    def release(self) -> None:
        """Give a slot back."""
        self._line.release(self)

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()


class Line:
    """Who waits for slots, by the caps that they need, in order of arrival."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Cap, ...], deque[_Waiter]] = {}
        self._arrived = 0

    async def acquire(self, *caps: Cap) -> None:
        """Take a slot of each of these caps, all at once."""
        if caps not in self._waiting and _are_free(caps):
            _take(caps)
            return
        self._arrived += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (self._arrived, future)
        self._waiting.setdefault(caps, deque()).append(waiter)
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled():  # they came in the same moment
                self.release(*caps)
            else:
                self._leave(caps, waiter)
            raise

    def release(self, *caps: Cap) -> None:
        """Give a slot of each back; who waits for them gets them."""
        for cap in caps:
            cap.free += 1
        while (found := self._first()) is not None:
            waiter = self._waiting[found][0]
            self._leave(found, waiter)
            if not waiter[1].done():
                _take(found)
                waiter[1].set_result(None)

    def _first(self) -> tuple[Cap, ...] | None:
        """What he needs who came first of those who can have it."""
        ready = [(queue[0][0], caps) for caps, queue in self._waiting.items() if _are_free(caps)]
        return min(ready, key=lambda each: each[0])[1] if ready else None

    def _leave(self, caps: tuple[Cap, ...], waiter: _Waiter) -> None:
        queue = self._waiting.get(caps)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._waiting[caps]


def _are_free(caps: tuple[Cap, ...]) -> bool:
    return all(cap.free for cap in caps)


def _take(caps: tuple[Cap, ...]) -> None:
    for cap in caps:
        cap.free -= 1
