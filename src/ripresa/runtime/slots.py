"""How many attempts may run at a time: per run, per step and per app.

Slots are held by attempts only, never by containers, and taken in one fixed order (run, step, app, child process),
so that nested work cannot deadlock; the member of a pool comes last (see `pools`). The timeout of an attempt begins
when it has all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager


class Slots:
    """The caps of one app."""

    def __init__(self, app: int | None = None) -> None:
        self._app = asyncio.Semaphore(app) if app else None
        self._steps: dict[str, asyncio.Semaphore] = {}

    def needed(self, run: asyncio.Semaphore | None, concurrency: int | None) -> bool:
        """Whether an attempt has to take any slot."""
        return run is not None or self._app is not None or concurrency is not None

    @asynccontextmanager
    async def take(
        self, run: asyncio.Semaphore | None, step: str, concurrency: int | None, child: asyncio.Semaphore | None = None
    ) -> AsyncGenerator[None, None]:
        """Hold the slots of one attempt, and a child process if it needs one, waiting for them in order of arrival."""
        async with AsyncExitStack() as stack:
            for semaphore in (run, self._step(step, concurrency), self._app, child):
                if semaphore is not None:
                    await stack.enter_async_context(semaphore)
            yield

    def of_step(self, name: str, concurrency: int) -> asyncio.Semaphore:
        """The slots of one step, for work inside an attempt that holds all others."""
        semaphore = self._step(name, concurrency)
        assert semaphore is not None
        return semaphore

    def _step(self, name: str, concurrency: int | None) -> asyncio.Semaphore | None:
        if concurrency is None:
            return None
        key = f"{name}/{concurrency}"
        if key not in self._steps:
            self._steps[key] = asyncio.Semaphore(concurrency)
        return self._steps[key]
