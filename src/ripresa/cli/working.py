"""`worker`: a process that drives whatever is due or was left, until it is asked to stop."""

from __future__ import annotations

import asyncio
from contextlib import redirect_stdout
from sys import stderr

from ..core.events import Event, Recorded, RunCancelled, RunCompleted, RunFailed, RunTaken, RunTerminated
from .driving import Interrupt
from .exits import INTERRUPTED
from .places import Place
from .telling import warn

TOLD: dict[type[Event], str] = {
    RunTaken: "taken up",
    RunCompleted: "completed",
    RunFailed: "failed",
    RunCancelled: "cancelled",
    RunTerminated: "terminated",
}
"""The events that a worker tells of, in a word each."""


def work(place: Place, *, quiet: bool) -> int:
    """Work until Ctrl-C or SIGTERM; what steps print goes to standard error."""
    with redirect_stdout(stderr):
        return asyncio.run(_work(place, quiet))


async def _work(place: Place, quiet: bool) -> int:
    def tell(recorded: Recorded) -> None:
        word = TOLD.get(type(recorded.event))
        if word:
            warn(f"{word}: run {recorded.run}")

    interrupt = Interrupt()
    with interrupt.heard():
        async with place.worker(*(() if quiet else (tell,))) as app:
            warn(f"working in {place.shown}; Ctrl-C ends it")
            working = asyncio.create_task(app.work())
            asked = asyncio.create_task(interrupt.asked.wait())
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
            for task in (working, asked):
                task.cancel()
            await asyncio.wait({working, asked})
            if not working.cancelled():
                working.result()
    return INTERRUPTED
