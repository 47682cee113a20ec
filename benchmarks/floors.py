"""What the same work costs with nothing but asyncio and SQLite: the floor that the engine is compared with."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

ROW = b'[1763716285123456,["StepCompleted","step#100",1,0],["StepScheduled","step#101",1]]\n18'


class Floor:
    """One table, one connection: a row for each step, committed at once or many together."""

    def __init__(self, path: Path | None, synchronous: str = "FULL") -> None:
        self.connection: sqlite3.Connection | None = None
        if path is not None:
            self.connection = sqlite3.connect(path, isolation_level=None)
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute(f"PRAGMA synchronous = {synchronous}")
            self.connection.execute("CREATE TABLE IF NOT EXISTS events (run INTEGER, seq INTEGER, data BLOB)")
        self.seq = 0

    def commit(self, rows: int = 1) -> None:
        """Write rows in one transaction."""
        if self.connection is None:
            return
        self.connection.execute("BEGIN")
        self.connection.executemany("INSERT INTO events VALUES (1, ?, ?)", [(self.seq + n, ROW) for n in range(rows)])
        self.connection.execute("COMMIT")
        self.seq += rows

    async def chain(self, step: Callable[[int], Awaitable[int]], steps: int) -> int:
        """Await a step again and again, each durable before the next."""
        value = 0
        for _ in range(steps):
            value = await step(value)
            self.commit()
        return value

    async def runs(self, step: Callable[[int], Awaitable[int]], runs: int, steps: int) -> None:
        """Many chains side by side: one transaction for all of them per step."""

        async def one() -> int:
            value = 0
            for _ in range(steps):
                value = await step(value)
                await asyncio.sleep(0)
            return value

        async def commits() -> None:
            for _ in range(steps):
                self.commit(runs)
                await asyncio.sleep(0)

        await asyncio.gather(commits(), *(one() for _ in range(runs)))

    async def fan_out(self, step: Callable[[int], Awaitable[int]], items: int, window: int = 256) -> None:
        """A task per item, a transaction per window."""
        for first in range(0, items, window):
            await asyncio.gather(*(asyncio.ensure_future(step(n)) for n in range(first, min(items, first + window))))
            self.commit(window)

    def close(self) -> None:
        """Close the database."""
        if self.connection is not None:
            self.connection.close()
