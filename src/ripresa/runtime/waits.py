"""Who waits for whom in one app: attempts for members of pools, for slots, and for the ends of other runs.

Law: a wait is stuck if all that it waits for is held by somebody who waits, while holding it, for something that is
stuck in turn; a run does not end while one of its attempts is stuck. Only a new wait can make one, so it is enough to
look when one begins.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..context import Hold, in_step
from ..errors import RipresaError

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


@dataclass(slots=True, eq=False)
class Wait:
    """An attempt of a run waits for something scarce, or for the end of the run `what`, and goes on holding these."""

    what: Scarce | str
    who: str
    run: str
    holds: tuple[Hold, ...]


class Waits:
    """All that is waited for in one app."""

    def __init__(self) -> None:
        self._waits: dict[Wait, None] = {}
        self._for_runs = 0
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
        for_run = isinstance(wait.what, str)
        self._waits[wait] = None
        self._for_runs += for_run
        try:
            if self._for_runs or wait.holds:
                self._refuse_cycle(wait)
            yield
        finally:
            del self._waits[wait]
            self._for_runs -= for_run

    def for_run(self, run: str) -> AbstractContextManager[None]:
        """Know that the attempt whose code calls this waits for the end of a run; other code is free to wait.

        Raises `RipresaError(workflow_deadlock)` if it would wait for ever.
        """
        attempt, holds = in_step()
        driver: Any = getattr(attempt, "driver", None)
        if driver is None or driver.engine.waits is not self:
            return _FREE
        running: Any = attempt
        slots = self.slots_of(attempt.run, attempt.path)
        held = (*slots, *getattr(attempt, "held", ()), *holds)
        found: AbstractContextManager[None] = self.waiting(Wait(run, running.who, attempt.run, held))
        return found

    def _refuse_cycle(self, wait: Wait) -> None:
        stuck = self._stuck()
        if wait in stuck:
            raise RipresaError(
                f"this would wait for ever: {'; '.join(_cycle(wait, stuck))}",
                code="workflow_deadlock",
                op="wait",
                hint="take pools in the same order everywhere, give one back before taking the other, and hold nothing "
                "that a run needs while waiting for its end",
            )

    def _stuck(self) -> dict[Wait, None]:
        """The waits that can never end: what is left when all those that can have been taken out, again and again."""
        waits = list(self._waits)
        while True:
            blocked = dict.fromkeys(hold for wait in waits for hold in wait.holds)
            runs = dict.fromkeys(wait.run for wait in waits)
            left = [wait for wait in waits if _is_stuck(wait.what, blocked, runs)]
            if len(left) == len(waits):
                return dict.fromkeys(left)
            waits = left


def _is_stuck(what: Scarce | str, blocked: Mapping[Hold, None], runs: Mapping[str, None]) -> bool:
    if isinstance(what, str):
        return what in runs
    return len(what.holds) + what.aside == what.size and all(hold in blocked for hold in what.holds)


def _cycle(wait: Wait, stuck: dict[Wait, None]) -> list[str]:
    """The cycle that a stuck wait is in, or leads to, in words."""
    seen: dict[Wait, None] = {}
    while wait not in seen:
        seen[wait] = None
        wait = next(other for other in stuck if _stands_in_the_way(other, wait.what))
    chain = list(seen)
    return [_told(item) for item in chain[chain.index(wait) :]]


def _stands_in_the_way(other: Wait, what: Scarce | str) -> bool:
    return other.run == what if isinstance(what, str) else next(iter(what.holds)) in other.holds


def _told(wait: Wait) -> str:
    held = f"holds {', '.join(repr(hold.pool) for hold in wait.holds)} and " if wait.holds else ""
    what = f"run {wait.what!r}" if isinstance(wait.what, str) else repr(wait.what.name)
    return f"{wait.who} {held}waits for {what}"
