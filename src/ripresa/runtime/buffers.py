"""Buffers between the stages of a stream: bounded, with one writer, one reader and a policy for what has no room.

Law: items and marks stay side by side. A mark says from where the source would go on after its item.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ..authoring.stream import Overflow
from ..errors import RipresaError
from ..ports import Clock

CHUNK = 256
"""The most items that a stage takes at a time."""

Items: TypeAlias = list[Any]
Marks: TypeAlias = Sequence[Any]


class Buffer:
    """Items on their way to the stage `name`. `pressed` is told when it is full, and again once it had room between."""

    def __init__(
        self, name: str, capacity: int, overflow: Overflow, clock: Clock, pressed: Callable[[str], None]
    ) -> None:
        self.name = name
        self.capacity = capacity
        self.overflow = overflow
        self.clock = clock
        self.items: Items = []
        self.marks: list[Any] = []
        self.closed = False
        self.dropped = 0
        self.through = 0
        self._pressed = pressed
        self._full = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    def add(self, item: Any, mark: Any) -> bool:
        """Put one item if there is room for it."""
        if len(self.items) >= self.capacity:
            return False
        self.items.append(item)
        self.marks.append(mark)
        if self._reader is not None:
            _wake(self._reader)
        return True

    async def put(self, items: Items, marks: Marks) -> None:
        """Put items; what has no room waits, is dropped, or is refused with `RipresaError(stream_overflow)`."""
        while items:
            room = self.capacity - len(self.items)
            if len(items) > room:
                self._press()
                if self.overflow != "block":
                    self._overflow(items, marks, room)
                    return
            self.items += items[:room]
            self.marks += marks[:room]
            items, marks = items[room:], marks[room:]
            _wake(self._reader)
            if items:
                await self._room()

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        _wake(self._reader)

    async def take(self, most: int = CHUNK, due: int = 0) -> tuple[Items, list[Any]] | None:
        """The next items, as soon as there is one; None after the last; nothing if there is none until `due`."""
        while not self.items:
            if self.closed:
                return None
            if due and self.clock.now() >= due:
                return [], []
            await self._something(due)
        if len(self.items) <= most:
            items, self.items = self.items, []
            marks, self.marks = self.marks, []
        else:
            items, marks = self.items[:most], self.marks[:most]
            del self.items[:most], self.marks[:most]
        self.through += len(items)
        self._full = False
        _wake(self._writer)
        return items, marks

    def _press(self) -> None:
        if not self._full:
            self._full = True
            self._pressed(self.name)

    def _overflow(self, items: Items, marks: Marks, room: int) -> None:
        if self.overflow == "reject":
            raise RipresaError(
                f"the buffer before {self.name!r} is full: it holds {self.capacity} items",
                code="stream_overflow",
                where=self.name,
                hint="give it more room (buffer=), or another policy (overflow=)",
            )
        self.dropped += len(items) - room
        if self.overflow == "drop_newest":
            self.items += items[:room]
            self.marks += marks[:room]
        else:
            self.items = [*self.items, *items][-self.capacity :]
            self.marks = [*self.marks, *marks][-self.capacity :]
        _wake(self._reader)

    async def _room(self) -> None:
        self._writer = asyncio.get_running_loop().create_future()
        try:
            await self._writer
        finally:
            self._writer = None

    async def _something(self, due: int) -> None:
        self._reader = reader = asyncio.get_running_loop().create_future()
        alarm = self.clock.call_at(due, lambda: _wake(reader)) if due else None
        try:
            await reader
        finally:
            self._reader = None
            if alarm is not None:
                alarm.cancel()


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
