"""Requests that interceptors are asked about before they happen: who waits for the answer, and what they are told.

Law: whoever asked hears that it is durable when the answer is, or that it was refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import takewhile
from typing import TypeAlias

from ..core.events import Event, Intercepted, RequestRefused, SignalRefused
from ..core.nodes.answer import UPDATES
from ..errors import InvalidValue, RipresaError

Done: TypeAlias = asyncio.Future[None]


class Letting:
    """Those who wait for what interceptors say about what they asked of one run."""

    def __init__(self) -> None:
        self._waiting: dict[str, Done] = {}
        self._refused: list[tuple[Done, BaseException]] = []

    def asked(self, number: int, done: Done, events: Sequence[Event], pending: bool) -> bool:
        """A request is event `number`; whether whoever made it has heard, or will hear, of the answer by itself."""
        if self._refuses(done, events):
            return True
        if pending:
            self._waiting[key_of(number)] = done
        return pending

    def answered(self, events: Sequence[Event]) -> list[Done]:
        """Who is to be told, when the answers among these events are durable, that what they asked for happens.

        One answer may lead to that about the next request; what follows from each stands behind it.
        """
        told: list[Done] = []
        for index, event in enumerate(events, 1):
            done = self._waiting.pop(event.path, None) if isinstance(event, Intercepted) else None
            if done is not None and not done.done():
                own = list(takewhile(lambda each: not isinstance(each, Intercepted), events[index:]))
                if not self._refuses(done, own):
                    told.append(done)
        return told

    def _refuses(self, done: Done, events: Sequence[Event]) -> bool:
        error = refusal(events)
        if error is not None:
            self._refused.append((done, error))
        return error is not None

    def told(self) -> None:
        """What was refused is durable."""
        refused, self._refused = self._refused, []
        for done, error in refused:
            if not done.done():
                done.set_exception(error)
                done.exception()

    def close(self, error: BaseException) -> None:
        """Nobody will answer any more here."""
        self._refused = [(done, error) for done in (*self._waiting.values(), *(done for done, _ in self._refused))]
        self._waiting.clear()
        self.told()


def key_of(number: int) -> str:
    """The gate at which the request that is this event waits."""
    return f"!{number}"


def refusal(events: Sequence[Event]) -> RipresaError | None:
    """The error for whoever asked, if a request was refused among these events."""
    for event in events:
        if isinstance(event, RequestRefused):
            message = f"{event.point} is refused: {event.failure.message}"
            refused = RipresaError(message, op=event.point)
            refused.code = event.failure.code
            return refused
    return None


def not_taken(fact: SignalRefused) -> InvalidValue:
    """The error for a signal whose value the run does not take."""
    return InvalidValue(fact.failure.message, op="send", where=fact.name.removeprefix(UPDATES))
