"""Who waits for whom in one app: attempts for members of pools, for slots, and for the ends of other runs.

Law: a wait is stuck if all that it waits for is held by somebody who waits, while holding it, for something that is
stuck in turn; a run does not end while one of its attempts is stuck, nor one that waits for nothing but such runs.
Only a new wait can make one, so it is enough to look when one begins: at what is known here at once. While attempts
wait for runs, it is looked again and again what those wait for that are elsewhere, or had something to do until then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..context import in_step
from ..errors import RipresaError, StoreError
from ..reporting import Hold

LOOK: Final = 1.0
"""Seconds until it is looked again for the first time; twice as long each time after that, at most `LONGEST`."""

LONGEST: Final = 30.0

_log = logging.getLogger("ripresa")

_FREE: Final = nullcontext()


class Scarce(Protocol):
    """Something of which there is only so much: a pool, the slots of a step or of the app."""

    size: int
    aside: int
    """How many of it nobody can have at the moment."""
    holds: dict[Hold, None]

    @property
    def name(self) -> str:
        """What it is called."""
        ...


class Family(Protocol):
    """Knows which runs wait for nothing but the ends of others."""

    def awaited(self, run: str) -> tuple[str, ...]:
        """What a run waits for that is driven here, if it waits for nothing but the ends of these runs."""
        ...

    async def awaited_elsewhere(self, run: str) -> tuple[str, ...]:
        """The same of a run that is not driven here. Raises `StoreError`."""
        ...


@dataclass(slots=True, eq=False)
class Wait:
    """An attempt of a run waits for something scarce, or for the end of the runs `what`, and goes on holding these.

    `refused` is why a wait for a run that had begun is given up.
    """

    what: Scarce | tuple[str, ...]
    who: str
    run: str
    holds: tuple[Hold, ...]
    refused: RipresaError | None = None


class Waits:
    """All that is waited for in one app."""

    def __init__(self, family: Family | None = None) -> None:
        self._family = family
        self._waits: dict[Wait, None] = {}
        self._limits: dict[Wait, asyncio.Timeout] = {}
        self._looking: asyncio.Task[None] | None = None
        self._slots: dict[tuple[str, str], tuple[Hold, ...]] = {}

    def slots_of(self, run: str, path: str) -> tuple[Hold, ...]:
        """The slots that the attempt at this path holds."""
        return self._slots.get((run, path), ())

    @contextmanager
    def holding(self, run: str, path: str, slots: tuple[Hold, ...]) -> Generator[None, None, None]:
        """Know for a while that the attempt at this path holds these slots."""
        self._slots[run, path] = slots
        try:
            yield
        finally:
            del self._slots[run, path]

    @contextmanager
    def waiting(self, wait: Wait) -> Generator[None, None, None]:
        """Know of a wait while it lasts. Raises `RipresaError(workflow_deadlock)` if it would last for ever."""
        self._waits[wait] = None
        try:
            if self._limits or wait.holds:
                self._refuse_cycle(wait)
            yield
        finally:
            del self._waits[wait]

    def for_run(self, run: str) -> AbstractAsyncContextManager[None]:
        """Know that the attempt whose code calls this waits for the end of a run; other code is free to wait.

        Raises `RipresaError(workflow_deadlock)` if it would wait for ever, also when that is known later.
        """
        attempt, holds = in_step()
        driver: Any = getattr(attempt, "driver", None)
        if driver is None or driver.engine.waits is not self:
            return _FREE
        running: Any = attempt
        slots = self.slots_of(attempt.run, attempt.path)
        held = (*slots, *getattr(attempt, "held", ()), *holds)
        found: AbstractAsyncContextManager[None] = self._for_run(Wait((run,), running.who, attempt.run, held))
        return found

    @asynccontextmanager
    async def _for_run(self, wait: Wait) -> AsyncGenerator[None, None]:
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._limits[wait] = limit
                try:
                    with self.waiting(wait):
                        self._look_again()
                        yield
                finally:
                    del self._limits[wait]
                    self._look_again()
        except TimeoutError:
            if wait.refused is None or not limit.expired():
                raise
            raise wait.refused from None

    def _look_again(self) -> None:
        """Look for as long as attempts wait for runs."""
        if self._limits and self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._watch(), name="ripresa waits")
        elif not self._limits and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _watch(self) -> None:
        pause = LOOK
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST)
            try:
                await self.look()
            except StoreError:
                _log.warning("the store does not say what runs wait for", exc_info=True)

    async def look(self) -> None:
        """Give up the newest wait for a run that can never end, if there is any. Raises `StoreError`."""
        stuck = self._stuck(await self._elsewhere())
        for wait in reversed(self._limits):
            if wait in stuck and wait.refused is None:
                cycle = _cycle(wait, stuck)
                if wait in cycle:
                    wait.refused = _deadlock(cycle)
                    self._limits[wait].reschedule(asyncio.get_running_loop().time())
                    return

    def _refuse_cycle(self, wait: Wait) -> None:
        stuck = self._stuck({})
        if wait in stuck:
            raise _deadlock(_cycle(wait, stuck))

    def _stuck(self, elsewhere: Mapping[str, tuple[str, ...]]) -> dict[Wait, None]:
        """The waits that can never end: what is left when all those that can have been taken out, again and again."""
        waits = [*self._waits, *self._between(elsewhere)]
        while True:
            blocked = dict.fromkeys(hold for wait in waits for hold in wait.holds)
            runs = dict.fromkeys(wait.run for wait in waits)
            left = [wait for wait in waits if _is_stuck(wait.what, blocked, runs)]
            if len(left) == len(waits):
                return dict.fromkeys(left)
            waits = left

    def _between(self, elsewhere: Mapping[str, tuple[str, ...]]) -> list[Wait]:
        """What the runs that are waited for wait for in turn."""
        found: dict[str, tuple[str, ...]] = {}
        left = [run for wait in self._limits for run in _runs(wait)]
        while left and self._family is not None:
            run = left.pop()
            if run not in found:
                found[run] = self._family.awaited(run) or elsewhere.get(run, ())
                left.extend(found[run])
        return [Wait(runs, f"run {run!r}", run, ()) for run, runs in found.items() if runs]

    async def _elsewhere(self) -> dict[str, tuple[str, ...]]:
        """What those of them wait for that are not driven here. What has been found stays so while all wait."""
        found: dict[str, tuple[str, ...]] = {}
        left = [run for wait in self._limits for run in _runs(wait)]
        while left and self._family is not None:
            run = left.pop()
            if run not in found:
                found[run] = await self._family.awaited_elsewhere(run)
                left.extend(found[run] or self._family.awaited(run))
        return found


def _runs(wait: Wait) -> tuple[str, ...]:
    return wait.what if isinstance(wait.what, tuple) else ()


def _deadlock(cycle: list[Wait]) -> RipresaError:
    return RipresaError(
        f"this would wait for ever: {'; '.join(map(_told, cycle))}",
        code="workflow_deadlock",
        op="wait",
        hint="take pools in the same order everywhere, give one back before taking the other, and hold nothing "
        "that a run needs while waiting for its end",
    )


def _is_stuck(what: Scarce | tuple[str, ...], blocked: Mapping[Hold, None], runs: Mapping[str, None]) -> bool:
    if isinstance(what, tuple):
        return all(run in runs for run in what)
    return len(what.holds) + what.aside == what.size and all(hold in blocked for hold in what.holds)


def _cycle(wait: Wait, stuck: dict[Wait, None]) -> list[Wait]:
    """The cycle that a stuck wait is in, or leads to."""
    seen: dict[Wait, None] = {}
    while wait not in seen:
        seen[wait] = None
        wait = next(other for other in stuck if _stands_in_the_way(other, wait.what))
    chain = list(seen)
    return chain[chain.index(wait) :]


def _stands_in_the_way(other: Wait, what: Scarce | tuple[str, ...]) -> bool:
    return other.run in what if isinstance(what, tuple) else next(iter(what.holds)) in other.holds


def _told(wait: Wait) -> str:
    held = f"holds {', '.join(repr(hold.pool) for hold in wait.holds)} and " if wait.holds else ""
    what = f"run {', '.join(map(repr, wait.what))}" if isinstance(wait.what, tuple) else repr(wait.what.name)
    return f"{wait.who} {held}waits for {what}"
