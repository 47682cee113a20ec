"""Keeps what is heard of a run after its end: what observers of it raised, what a thread did that was given up.

Law: a run that goes on here is told; one that nobody drives is owned for a moment, and its status stays.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from ..core.advance import accepts
from ..core.events import HookFailed, LateOutcome, RunTaken
from ..core.lifecycle import TERMINAL
from ..core.replay import lineage
from ..errors import RipresaError

if TYPE_CHECKING:
    from ..core.events import Event
    from .driver import Driver
    from .engine import Engine

Late: TypeAlias = HookFailed | LateOutcome
"""What is heard of a run after its end."""

_log = logging.getLogger("ripresa")


class LateFailures:
    """Failures of observers, and late outcomes, on their way into the journals of runs that have ended."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[str, list[Late]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def put(self, driver: Driver, fact: Late) -> None:
        """Keep it as soon as the run is let go; what is heard when the app has closed cannot be kept any more."""
        if self._closed:
            _log.warning("what was heard after the app had closed is not in the journal", extra={"run": driver.run})
            return
        facts = self._waiting.get(driver.run)
        if facts is not None:
            facts.append(fact)
            return
        self._waiting[driver.run] = [fact]
        task = self._engine.loop.create_task(self._keep(driver), name=f"ripresa late failures {driver.run}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait until everything is kept, as long as the engine is patient; nothing more is taken in."""
        self._closed = True
        await self.settled()

    async def settled(self) -> None:
        """Wait until everything that was heard is kept, as long as the engine is patient."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=self._engine.patience)

    async def _keep(self, driver: Driver) -> None:
        await driver.ended.wait()
        try:
            async with self._engine.gate(driver.run):
                await self._record(driver, self._waiting.pop(driver.run))
        except RipresaError as error:
            _log.warning("what was heard after the end is not in the journal: %s", error, extra={"run": driver.run})

    async def _record(self, driver: Driver, facts: list[Late]) -> None:
        engine = self._engine
        going_on = engine.drivers.get(driver.run)
        if going_on is None:
            async with engine.owning(driver.run) as epoch:
                await self._append(driver, epoch, facts)
        else:
            for fact in facts:
                # it failed at an end that is none any more
                going_on.deliver_if_driven(replace(fact, critical=False) if isinstance(fact, HookFailed) else fact)

    async def _append(self, driver: Driver, epoch: int, facts: list[Late]) -> None:
        from .restoring import replayed

        engine, run = self._engine, driver.run
        journal = await engine.history(run)
        head = await engine.store.find_run(run)
        assert head is not None
        over = head.status in TERMINAL
        again = replayed(engine, head, driver.runnable, lineage(journal))
        facts = [fact for fact in facts if isinstance(fact, HookFailed) or accepts(again.state, fact)]
        if not facts:
            again.close()
            return
        try:
            events: list[Event] = []
            again.carry(RunTaken(max(engine.clock.now(), journal[-1].at), epoch, engine.name), events)
            for fact in facts:
                if isinstance(fact, HookFailed):
                    again.carry(replace(fact, critical=fact.critical and over), events)
                else:
                    output = again.keeper.keep(fact.output) if isinstance(fact.output, bytes) else fact.output
                    again.carry(replace(fact, output=output), events)
            if driver.hooks is not None:
                engine.feed.follow(run, driver.hooks.told)
            await again.keep(events, len(journal) + 1)
        finally:
            engine.feed.follow(run, None)
            again.close()
