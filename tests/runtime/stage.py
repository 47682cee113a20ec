"""What tests of the runtime share: counters of what runs at a time, stores that fail or count, and short cuts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ripresa import App, Handle, Recorded
from ripresa.core.events import Event
from ripresa.errors import StoreError
from ripresa.ports import Batch, Store
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.testing.clock import START, ManualClock


class Tally:
    """Counts who is inside at a time; those inside wait until the test lets them go."""

    def __init__(self, *, open: bool = False) -> None:
        self.now = 0
        self.most = 0
        self.entered = 0
        self._gate = asyncio.Event()
        self._changed = asyncio.Event()
        if open:
            self._gate.set()

    async def visit(self) -> None:
        """Be inside until the gate opens, and for some turns of the loop after that."""
        self.now += 1
        self.entered += 1
        self.most = max(self.most, self.now)
        self._changed.set()
        try:
            await self._gate.wait()
            await turns(3)
        finally:
            self.now -= 1

    async def reach(self, count: int) -> None:
        """Wait until so many have entered."""
        while self.entered < count:
            self._changed.clear()
            await self._changed.wait()

    def open(self) -> None:
        """Let everyone go."""
        self._gate.set()


async def turns(count: int) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


class Wrapped:
    """A store that hands everything on; tests change one thing."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Failing(Wrapped):
    """Fails the writes of these numbers, counted from 1 (creation is one), before or after they are durable."""

    def __init__(self, inner: Store, *numbers: int, after: bool = False) -> None:
        super().__init__(inner)
        self.numbers = numbers
        self.after = after
        self.writes = 0

    async def create(self, batch: Batch) -> None:
        await self._write(self.inner.create, batch)

    async def append(self, batch: Batch) -> None:
        await self._write(self.inner.append, batch)

    async def _write(self, write: Callable[[Batch], Any], batch: Batch) -> None:
        self.writes += 1
        fails = self.writes in self.numbers
        if fails and not self.after:
            raise StoreError("the disk is full", code="store_full")
        await write(batch)
        if fails:
            raise StoreError("the answer was lost", code="store_failed")


class Slow(Wrapped):
    """Lets the loop turn before and after each write, as a writer thread does."""

    async def create(self, batch: Batch) -> None:
        await turns(2)
        await self.inner.create(batch)
        await turns(2)

    async def append(self, batch: Batch) -> None:
        await turns(2)
        await self.inner.append(batch)
        await turns(2)


class Counting(Wrapped):
    """Keeps what is written."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.batches: list[Batch] = []

    async def create(self, batch: Batch) -> None:
        self.batches.append(batch)
        await self.inner.create(batch)

    async def append(self, batch: Batch) -> None:
        self.batches.append(batch)
        await self.inner.append(batch)


def in_memory(memory: Memory | None = None, **options: Any) -> App:
    """An app whose steps have hardly any time to stop."""
    return App(MemoryStore(memory), **{"patience": 0.05, **options})


@asynccontextmanager
async def on_clock(
    memory: Memory | None = None, at: int = START, **options: Any
) -> AsyncIterator[tuple[App, ManualClock]]:
    """An app in memory whose time the test moves."""
    clock = ManualClock(at)
    async with in_memory(memory, clock=clock, **options) as app:
        yield app, clock


async def journal_of(handle: Handle[Any]) -> list[Event]:
    """The events of a run that has ended or is left alone."""
    return [item.event for item in await all_of(handle)]


async def all_of(handle: Handle[Any]) -> list[Recorded]:
    """The same with their places."""
    return [item async for item in handle.events()]


def kinds(events: list[Event]) -> list[str]:
    """The names of events."""
    return [type(event).__name__ for event in events]


def leftovers() -> set[asyncio.Task[Any]]:
    """Tasks that are not the test's own."""
    mine = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not mine and "ripresa" in repr(task)}
