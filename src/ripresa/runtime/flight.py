"""The attempts of one run that are under way in this process: begun, interrupted, landed or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ..core.commands import CancelStep
from ..core.events import Fact
from ..errors import RipresaError
from .attempts import Running, attempt
from .endings import late, lost, never_began, stopped

if TYPE_CHECKING:
    from .driver import Driver

Place: TypeAlias = tuple[str, int]
"""An attempt: path and number."""


class Flight:
    """What is under way, by place; an attempt without a task of its own runs in the task of its run.

    It does not hold the driver that it belongs to, so that a run that has ended leaves memory at once and nothing to
    the garbage collector.
    """

    __slots__ = ("under_way",)

    def __init__(self) -> None:
        self.under_way: dict[Place, tuple[Running, asyncio.Task[None] | None]] = {}

    @property
    def is_inline(self) -> bool:
        """Whether an attempt runs in the task of the run."""
        return any(running.inline for running, _ in self.under_way.values())

    def begin(self, running: Running, how: Callable[[Running], Awaitable[Fact | None]] = attempt) -> None:
        """Do something about an attempt in a task of its own."""
        task = running.driver.engine.loop.create_task(self._beside(running, how))
        self.under_way[running.path, running.number] = (running, task)

    async def _beside(self, running: Running, how: Callable[[Running], Awaitable[Fact | None]]) -> None:
        driver = running.driver
        try:
            fact = await how(running)
        except RipresaError:  # its journal was closed to it, which the run's own task has been told too
            return
        finally:
            self.landed(running)
        if fact is None:
            driver.rouse()
        elif not running.given_up:
            for report in running.reported(fact):
                driver.hand_in(report)
            driver.hand_in(fact)
        else:
            late(running, fact)

    def landed(self, running: Running) -> None:
        """An attempt has ended."""
        if running.patience is not None:
            running.patience.cancel()
        if not running.given_up:
            place = (running.path, running.number)
            self.under_way.pop(place, None)
            if running.bound.step.options.timeout is not None:
                running.driver.began.pop(place, None)

    def interrupt_all(self, *, cancelling: bool = False) -> None:
        """Ask every attempt to stop; `cancelling` says that the run does not want them any more."""
        for running, task in list(self.under_way.values()):
            running.cancelling = running.cancelling or cancelling
            self._interrupt(running, task)

    def cancel(self, driver: Driver, command: CancelStep) -> None:
        """Ask one attempt to stop, or say that it never began."""
        found = self.under_way.get((command.path, command.attempt))
        if found is None:
            driver.hand_in(never_began(driver, command))
            return
        running, task = found
        running.cancelling = True
        self._interrupt(running, task)

    def _interrupt(self, running: Running, task: asyncio.Task[None] | None) -> None:
        """Ask an attempt to stop; one that does not within the engine's patience is given up."""
        if running.patience is None:
            running.patience = running.driver.engine.loop.call_later(*self.overdue(running))
        target = task or running.driver.task
        if running.started and target is not None:
            target.cancel()

    def overdue(self, running: Running) -> tuple[float, Callable[[], None]]:
        """How long something in an attempt may take to stop when it is asked to, and what happens then."""
        return running.driver.engine.patience, partial(self.leave, running)

    def leave(self, running: Running) -> None:
        """Go on without an attempt that does not stop, though it was asked to or its time is up.

        The run leaves its task to it if it holds that one.
        """
        found = self.under_way.pop((running.path, running.number), None)
        if found is None:  # it has been left, or given up with its run
            return
        asked = running.cancelling or running.driver.stopping
        fact = stopped(running) if asked else lost(running, "timeout")
        running.given_up = True
        if not asked and (target := found[1] or running.driver.task) is not None:  # all that it does beside that too
            target.cancel()
        running.driver.go_on_without(running, fact)

    async def abandon(self, patience: float) -> None:
        """Stop whatever is still under way without recording anything (after termination, or a lost journal).

        What does not stop within `patience` seconds is left to itself.
        """
        beside = [(running, task) for running, task in self.under_way.values() if task is not None]
        for running, task in beside:
            running.cancelling = True
            task.cancel()
        if beside:
            await asyncio.wait([task for _, task in beside], timeout=patience)
        self.under_way.clear()
