"""The events that reach a run, and the tasks that listen for them side by side.

Law: an event is taken by one task. One that nobody wants yet is kept for tasks that listen later.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from ...function_context import Context
from ...messages import Signal

EVENT: Final = Signal("event", dict[str, Any])
"""How events come to a run: each is a signal that carries a CloudEvent."""

KEPT: Final = 1000
"""So many events are kept for tasks that listen later; of more, the oldest are forgotten."""

LOOK: Final = "look"
"""The only key of what tells another task of the same run that there is an event to look at."""

Numbered = tuple[int, Mapping[str, Any]]


class Inbox:
    """The events of a run that no task has taken, numbered as they came."""

    def __init__(self, ctx: Context[Any]) -> None:
        self.ctx = ctx
        self.kept: list[Numbered] = []
        self.seats: list[Seat] = []
        self._count = 0

    @contextmanager
    def seat(self) -> Generator[Seat, None, None]:
        """The place of one task that listens."""
        seat = Seat(self)
        self.seats = [*self.seats, seat]
        try:
            yield seat
        finally:
            self.seats = [each for each in self.seats if each is not seat]

    async def receive(self) -> None:
        """Wait for the next event, or for the word that there is one."""
        found = await self.ctx.wait_for(EVENT)
        if list(found) != [LOOK]:
            self._count += 1
            self.kept = [*self.kept, (self._count, found)][-KEPT:]

    async def tell(self) -> None:
        """Let another task that waits look at what was kept, if one has not yet."""
        last = self.kept[-1][0] if self.kept else 0
        if any(seat.looked < last for seat in self.seats):
            await self.ctx.send(self.ctx.run, EVENT, {LOOK: last})


class Seat:
    """Where one task listens: first to what was kept, then to what comes."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.looked = 0

    async def next(self) -> Mapping[str, Any]:
        """The next event that it has not looked at."""
        while True:
            for number, event in self._inbox.kept:
                if number > self.looked:
                    self.looked = number
                    return event
            await self._inbox.tell()
            await self._inbox.receive()

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event, so that no other task does."""
        self._inbox.kept = [each for each in self._inbox.kept if each[1] is not event]
