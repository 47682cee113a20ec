"""What runs have sent that is not delivered: to look through it, and to send again what was given up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from .ports import NEVER, Outgoing, Store

if TYPE_CHECKING:
    from .runtime.engine import Engine

PAGE: Final = 500


class Undelivered:
    """The outbox of a store, over all runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list(self, run: str = "", *, given_up: bool = False) -> Sequence[Outgoing]:
        """What is not delivered, oldest first: all of it or that of one run, or only what was given up."""
        return [each async for each in undelivered(self._engine.store, run, given_up=given_up)]

    async def resend(self, run: str = "", *, number: int = 0) -> int:
        """Let what was given up be tried anew, at once and as often as at first; how many there were.

        All of it, that of one run, or the one of this number (`Outgoing.number`).
        """
        count = await resend(self._engine.store, self._engine.clock.now(), run, number)
        self._engine.outbox.look()
        return count


async def undelivered(store: Store, run: str, *, given_up: bool) -> AsyncIterator[Outgoing]:
    """What is not delivered, a page at a time."""
    if run:
        for each in await store.outgoing_of(run):
            if each.due == NEVER or not given_up:
                yield each
        return
    after = 0
    while page := await store.undelivered(PAGE, after, given_up=given_up):
        for each in page:
            yield each
        after = page[-1].number


async def resend(store: Store, now: int, run: str = "", number: int = 0) -> int:
    """Let what was given up be due again; how many there were. Whoever delivers finds it."""
    count = 0
    async for each in undelivered(store, run, given_up=True):
        if number in (0, each.number):
            count += await store.postpone(each, each._replace(tries=0, due=now))
    return count
