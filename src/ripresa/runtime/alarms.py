"""The timers of one run: each has a name, the last one of a name counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..core.commands import SetTimer
from ..core.events import Fact, TimerFired
from ..ports import Alarm, Clock


class Alarms:
    """What wakes a run in this process; `tell` is handed the fact that is due then."""

    __slots__ = ("_clock", "_set", "_tell")

    def __init__(self, clock: Clock, tell: Callable[[Fact], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._set: dict[str, Alarm] = {}

    def __bool__(self) -> bool:
        return bool(self._set)

    def set(self, command: SetTimer) -> None:
        """Let a timer of the run fire when it is due."""
        self.clear(command.path)
        self._set[command.path] = self._clock.call_at(command.due, partial(self._fire, command))

    def wake_at(self, name: str, due: int, fact: Fact) -> None:
        """Tell a fact when it is due, instead of one of this name that was to come before."""
        self.clear(name)
        self._set[name] = self._clock.call_at(due, partial(self._wake, name, fact))

    def clear(self, name: str) -> None:
        """Forget the alarm of this name, if there is one."""
        alarm = self._set.pop(name, None)
        if alarm is not None:
            alarm.cancel()

    def close(self) -> None:
        """Forget all of them."""
        for name in list(self._set):
            self.clear(name)

    def _wake(self, name: str, fact: Fact) -> None:
        self._set.pop(name, None)
        self._tell(fact)

    def _fire(self, command: SetTimer) -> None:
        self._set.pop(command.path, None)
        self._tell(TimerFired(max(self._clock.now(), command.due), command.path))
