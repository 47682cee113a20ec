"""Facts on their way into a run."""

from __future__ import annotations

import asyncio

from ..core.events import Fact


class Mail:
    """A fact on its way into a run: who waits for it to be durable, and which inbox row it came from."""

    __slots__ = ("done", "fact", "number")

    def __init__(self, fact: Fact, done: asyncio.Future[None] | None = None, number: int = 0) -> None:
        self.fact = fact
        self.done = done
        self.number = number
