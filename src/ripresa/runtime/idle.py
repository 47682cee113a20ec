"""What becomes of a run with nothing in flight: it waits, leaves memory after a while, or can never go on."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..core.advance import accepts, outstanding, stuck
from ..core.commands import LookUp, Reconcile, SetTimer
from ..core.durations import MICROSECONDS
from ..core.events import RunStuck
from ..errors import RunError, StoreError
from ..ports import NEVER, Alarm

if TYPE_CHECKING:
    from .driver import Driver


class Idle:
    """What one driver knows about its idleness. `allowed` if its run may leave memory, `enough` if it has lingered."""

    __slots__ = ("_busy_until", "allowed", "enough")

    def __init__(self, *, allowed: bool) -> None:
        self.allowed = allowed
        self.enough = False
        self._busy_until = 0

    def linger(self, driver: Driver) -> Alarm | None:
        """Wake the driver to leave memory when nothing has happened for a while; None if a timer is due before.

        The while is a length of the loop, not of the run's clock: a test's clock shows the timers of its runs alone.
        """
        settings, now = driver.engine.settings, driver.clock.now()
        if driver.state.status != "running" or now < self._busy_until or settings.linger is None:
            return None
        wanted = outstanding(driver.state)
        if not all(
            isinstance(command, SetTimer | Reconcile | LookUp) for command in wanted
        ):  # somebody outside is still to answer
            return None
        outbox = driver.engine.outbox
        if any(isinstance(command, LookUp) and outbox.expects(driver.run, command.run) for command in wanted):
            return None
        due = next_due(driver)
        if due and due - now < settings.near * MICROSECONDS:
            self._busy_until = due
            return None

        def enough() -> None:
            self.enough = True
            driver.rouse()

        return driver.engine.loop.call_later(settings.linger, enough)

    async def sleep(self, driver: Driver) -> bool:
        """Leave memory; False if the store could not keep that."""
        self.enough = False
        with suppress(StoreError):  # then the run stays awake, and tries again in a while
            await driver.engine.store.sleep(driver.run, next_due(driver) or NEVER, driver.seen)
            driver.asleep = driver.released = True
        return driver.asleep


def next_due(driver: Driver) -> int:
    """When the first timer of a run is due, 0 if there is none."""
    return min((command.due for command in outstanding(driver.state) if isinstance(command, SetTimer)), default=0)


def deadlock(driver: Driver) -> RunStuck | None:
    """That nothing can bring the run on, as a fact that fails it; None while something can.

    Raises `RunError(workflow_deadlock)` for one that winds up already and cannot even do that: it is left as it is.
    """
    where = stuck(driver.state)
    if where is None:
        return None
    fact = RunStuck(driver.clock.now(), where)
    if not accepts(driver.state, fact):
        raise RunError(
            f"run {driver.run!r} is {driver.state.status} and can never end: {where or 'its root'} waits for nothing",
            run=driver.run,
            code="workflow_deadlock",
            where=where,
            hint=f"terminate it: ripresa terminate {driver.run}",
        )
    return fact
