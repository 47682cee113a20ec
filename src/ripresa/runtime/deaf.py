"""Durable functions that do not hear: what ends them although they swallow whatever is raised in them.

Law: how much is borne depends on what the function asks for alone, so that replay ends it at the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final

from ..requested import AskPeople, AwaitChild, Gather, Race, Sleep, WaitFor
from .sides import close_units

THROWS: Final = 100
"""How many awaits in nested `finally` blocks are passed over when a durable function is thrown away."""

WAITS: Final = 20
"""How often a fiber that was told to stop may wait for time, people, signals and other runs at its end."""

PATIENCE: Final = 5.0
"""How many seconds its waits may last then, in all, if the app does not say."""

ERRORS: Final = 1000
"""How many errors in a row a fiber may swallow without asking for anything that is journaled."""

WAITING: Final = (Sleep, WaitFor, AskPeople, AwaitChild)
"""Requests that only let time pass; steps and flows do the work of a clean-up, and are not counted."""


class ThrownAway(BaseException):
    """Raised in a durable function that is dropped while it waits (unlike `close`, through all that it awaits)."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Stands behind a sleep of a fiber that was told to stop: one that is over before this time was cut short."""

    until: int


class Ending:
    """What is left to a fiber that was told to stop, at this time, and to the fibers that it begins then."""

    __slots__ = ("since", "waits")

    def __init__(self, since: int) -> None:
        self.since = since
        self.waits = WAITS

    def cut(self, request: object, now: int, patience: int) -> object:
        """A request, to last no longer than is left of the patience: how long it lasts is read from the journal."""
        left = max(self.since + patience - now, 1)
        if isinstance(request, Sleep):
            return Sleep(min(request.microseconds, left))
        if isinstance(request, WaitFor):
            return replace(request, microseconds=min(request.microseconds or left, left))
        return request

    def refuses(self, request: object) -> bool:
        """Whether it has waited often enough."""
        if not isinstance(request, WAITING):
            return False
        self.waits -= 1
        return self.waits < 0

    @property
    def is_over(self) -> bool:
        """Whether it would wait nevertheless, again and again."""
        return self.waits < -THROWS


def throw_away(coroutine: Coroutine[Any, Any, Any], run: Callable[..., Any]) -> None:
    """End a coroutine that waits: what its `finally` blocks ask for is not heard.

    One that does not end is kept for good: to let Python finalise it would be to let it go on, outside of its run.
    """
    for _ in range(THROWS):
        try:
            asked = run(coroutine.throw, ThrownAway())
        except KeyboardInterrupt:
            raise
        except BaseException:  # the border: whatever it raises, nobody is there to hear it
            return
        if isinstance(asked, Gather | Race):
            close_units(asked.awaitables)
    _keep(coroutine)


def _keep(thing: object) -> None:
    """Never let go of it, not even when the interpreter ends."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
