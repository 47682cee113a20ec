"""Wakes runs that are asleep when they are due: by one alarm for all of them, in whichever process has their code.

Law: nothing is held per run that is asleep. The store knows when each is due; a look at it costs the same for one run
as for a hundred thousand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..authoring.flow import Runnable
from ..core.codec import decode_events
from ..core.durations import MICROSECONDS
from ..core.events import RunStarted
from ..errors import RipresaError, StoreError
from ..ports import Alarm, RunHead
from .driver import Driver
from .mail import Mail

if TYPE_CHECKING:
    from .engine import Engine

PAGE: Final = 500
"""How many due runs are looked at in one go; so many are taken up side by side."""

RETRY: Final = 60 * MICROSECONDS
"""How long a run is left alone that could not be taken up here."""

QUICKER: Final = ("owned_elsewhere", "illegal_transition")
"""Codes of errors that say that somebody else took the run up just before."""

_log = logging.getLogger("ripresa")

Find = Callable[[RunHead], Runnable[..., Any] | None]
"""Finds the code of a run; None if it is not here."""


def nowhere(head: RunHead) -> None:
    """Finds no code."""


class Waker:
    """One engine's way to wake runs. `find` knows code beside that of runs which fell asleep here."""

    def __init__(self, engine: Engine, find: Find = nowhere) -> None:
        self.find = find
        self._engine = engine
        self._known: dict[str, Runnable[..., Any]] = {}
        self._names: set[str] = set()
        self._left_alone: dict[str, int] = {}
        self._alarm: Alarm | None = None
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._delivering: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether runs are being taken up, or may be in a moment."""
        return self._task is not None or bool(self._delivering)

    def fell_asleep(self, driver: Driver) -> None:
        """A run sleeps from now on; its code is here when it wakes."""
        definition = driver.state.definition
        self._known[definition.hash] = driver.runnable
        self._names.add(definition.name)
        self.look()

    def look(self) -> None:
        """Something may be due, now or earlier than was known."""
        self._again = True
        if self._task is None:
            self._task = self._engine.loop.create_task(self._work(), name="ripresa waking")

    def deliver_later(self, driver: Driver, mail: list[Mail]) -> None:
        """Take a run up again that was just being put to sleep when this came."""
        task = self._engine.loop.create_task(self._deliver(driver, mail))
        self._delivering.add(task)
        task.add_done_callback(self._delivered)

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._delivering.discard(task)
        self._engine.outbox.settled()

    async def close(self) -> None:
        """Wake nobody any more."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await asyncio.gather(*self._delivering)

    async def _work(self) -> None:
        try:
            while self._again:
                self._again = False
                now = self._engine.clock.now()
                await self._wake_due(now)
                await self._set_alarm(now)
        except StoreError:
            _log.warning("the store does not say who is due", exc_info=True)
        finally:
            self._task = None
            self._engine.outbox.settled()

    async def _set_alarm(self, now: int) -> None:
        due = await self._engine.store.next_wake(now)
        retry = min(self._left_alone.values(), default=0)
        moments = [moment for moment in (due, retry) if moment]
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if moments:
            self._alarm = self._engine.clock.call_at(min(moments), self.look)

    async def _wake_due(self, now: int) -> None:
        self._left_alone = {run: until for run, until in self._left_alone.items() if until > now}
        skip = 0
        while True:
            heads = await self._engine.store.due(now, PAGE, skip)
            woken = await asyncio.gather(*(self._wake(head, now) for head in heads))
            skip += woken.count(False)
            if len(heads) < PAGE:
                return

    async def take_up(self, head: RunHead) -> bool:
        """Take a run up that its process left; False if it is left where it is."""
        return head.status != "paused" and await self._wake(head, self._engine.clock.now())

    async def _wake(self, head: RunHead, now: int) -> bool:
        """Take a run up; False if it is left where it is."""
        if head.id in self._engine.drivers or head.id in self._left_alone:
            return False
        try:
            code = await self._code(head)
            if code is not None:
                await self._engine.take(head, code)
                return True
        except RipresaError as error:
            if error.code in QUICKER:
                return False
            _log.warning("a run that is due cannot be taken up", exc_info=True, extra={"run": head.id})
        self._left_alone[head.id] = now + RETRY
        return False

    async def _code(self, head: RunHead) -> Runnable[..., Any] | None:
        if head.workflow not in self._names:
            return self.find(head)
        rows = await self._engine.store.read(head.id, 0, 1)
        started = next(decode_events(rows[0].data, head.id)).event
        assert isinstance(started, RunStarted)
        return self._known.get(started.definition) or self.find(head)

    async def _deliver(self, driver: Driver, mail: list[Mail]) -> None:
        error: BaseException
        try:
            taken = await self._engine.take(driver.head, driver.runnable)
        except RipresaError as failed:
            error = failed
        else:
            for item in mail:
                if not item.number:  # else it waits in the inbox, which whoever takes a run up has read
                    taken.deliver(item)
            return
        for item in mail:
            if item.done is not None and not item.done.done():
                item.done.set_exception(error)
