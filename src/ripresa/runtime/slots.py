"""How many attempts may run at a time: per run, per step and per app.

Slots are held by attempts only, never by containers, and taken in one fixed order (run, step and app, child process),
so that nested work cannot deadlock; the member of a pool comes last (see `pools`). Nobody holds a slot of a step while
waiting for one of the app, or the other way round: an attempt that runs may wait for slots of the steps that it calls.
The timeout of an attempt begins when it has all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, nullcontext
from typing import Protocol

from ..context import in_step
from ..reporting import Hold
from .caps import Cap, Line
from .waits import Wait, Waits


class Who(Protocol):
    """The attempt that takes slots."""

    @property
    def run(self) -> str:
        """The id of its run."""
        ...

    @property
    def path(self) -> str:
        """Where it stands."""
        ...

    @property
    def who(self) -> str:
        """The attempt in words."""
        ...


class Call(Protocol):
    """A journaled call: the slots that it holds beyond those of its attempt."""

    held: tuple[Hold, ...]


class Slots:
    """The caps of one app."""

    def __init__(self, app: int | None = None, waits: Waits | None = None) -> None:
        self._waits = Waits() if waits is None else waits
        self._line = Line()
        self._app = Cap("max_concurrency", app, self._line) if app else None
        self._steps: dict[str, Cap] = {}

    def needed(self, run: asyncio.Semaphore | None, concurrency: int | None) -> bool:
        """Whether an attempt has to take any slot."""
        return run is not None or self._app is not None or concurrency is not None

    @asynccontextmanager
    async def take(
        self,
        run: asyncio.Semaphore | None,
        step: str,
        concurrency: int | None,
        child: asyncio.Semaphore | None = None,
        who: Who | None = None,
    ) -> AsyncGenerator[None, None]:
        """Hold the slots of one attempt, and a child process if it needs one, waiting for them in order of arrival.

        Raises `RipresaError(workflow_deadlock)` if what it waits for could never come.
        """
        held: tuple[Hold, ...] = ()
        async with AsyncExitStack() as stack:
            if run is not None:
                await stack.enter_async_context(run)
            caps = tuple(cap for cap in (self._step(step, concurrency), self._app) if cap is not None)
            if caps:
                held = await self._enter(stack, caps, (), who)
            if child is not None:
                await stack.enter_async_context(child)
            if held and who is not None:
                stack.enter_context(self._waits.holding(who.run, who.path, held))
            yield

    def lend(self, step: str, concurrency: int | None, who: Who, call: Call) -> AbstractAsyncContextManager[None]:
        """Hold a slot of a step that an attempt calls, unless what the call is within holds one.

        Raises `RipresaError(workflow_deadlock)` if it could never come.
        """
        cap = self._step(step, concurrency)
        return nullcontext() if cap is None else self._lent(cap, who, call)

    @asynccontextmanager
    async def _lent(self, cap: Cap, who: Who, call: Call) -> AsyncGenerator[None, None]:
        before = call.held
        holds = (*self._waits.slots_of(who.run, who.path), *before, *in_step()[1])
        if any(hold in cap.holds for hold in holds):
            yield
            return
        async with AsyncExitStack() as stack:
            call.held = (*before, *await self._enter(stack, (cap,), holds, who))
            stack.callback(setattr, call, "held", before)
            yield

    async def _enter(
        self, stack: AsyncExitStack, caps: tuple[Cap, ...], held: tuple[Hold, ...], who: Who | None
    ) -> tuple[Hold, ...]:
        """Take a slot of each, all at once, and know who has them."""
        with ExitStack() as waiting:
            if who is not None and any(cap.locked() for cap in caps):
                for cap in caps:
                    waiting.enter_context(self._waits.waiting(Wait(cap, who.who, who.run, held)))
            await self._line.acquire(*caps)
        stack.callback(self._line.release, *caps)
        holds = tuple(Hold(cap.name, None, "" if who is None else who.who) for cap in caps)
        for cap, hold in zip(caps, holds, strict=True):
            cap.holds[hold] = None
            stack.callback(cap.holds.pop, hold)
        return holds

    def of_step(self, name: str, concurrency: int) -> Cap:
        """The slots of one step, for work inside an attempt that holds all others."""
        cap = self._step(name, concurrency)
        assert cap is not None
        return cap

    def _step(self, name: str, concurrency: int | None) -> Cap | None:
        if concurrency is None:
            return None
        key = f"{name}/{concurrency}"
        if key not in self._steps:
            self._steps[key] = Cap(f"concurrency of {name}", concurrency, self._line)
        return self._steps[key]
