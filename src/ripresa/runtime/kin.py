"""Which runs wait for nothing but the ends of runs that they have started, here and elsewhere.

Law: what is not certain is not said: a run that has anything else to do, or to hear, may go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.advance import outstanding
from ..core.commands import LookUp
from ..core.lifecycle import WAITING
from ..core.nodes.child import CHILD
from ..core.view import view_of
from ..errors import RunNotFound

if TYPE_CHECKING:
    from .engine import Engine


class Kin:
    """What the runs of a store wait for; see `waits.Family`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def awaited(self, run: str) -> tuple[str, ...]:
        """What a run waits for that is driven here, if it waits for nothing but the ends of these runs."""
        driver = self._engine.drivers.get(run)
        if driver is None or driver.state.status != "running" or driver.flight.under_way:
            return ()
        if any(paths and not name.startswith(CHILD) for name, paths in driver.state.waiters.items()):
            return ()
        found: list[str] = []
        for command in outstanding(driver.state):
            if not isinstance(command, LookUp):
                return ()
            found.append(command.run)
        return tuple(dict.fromkeys(found))

    async def awaited_elsewhere(self, run: str) -> tuple[str, ...]:
        """The same of a run that is not driven here. Raises `StoreError`."""
        if run in self._engine.drivers:
            return ()
        head = await self._engine.store.find_run(run)
        if head is None or head.status not in ("running", WAITING):
            return ()
        try:
            view = view_of(await self._engine.history(run))
        except RunNotFound:  # pruned at this very moment
            return ()
        busy = view.current or view.timers or view.waits or view.approvals or view.parked or view.deadline
        return () if busy or view.status != "running" else tuple(dict.fromkeys(view.awaited.values()))
