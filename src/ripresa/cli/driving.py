"""Drives runs from the command line until they end, wait, or somebody presses Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from ..app import App
from ..client import Handle
from ..core.events import Recorded, RolledBack
from ..core.lifecycle import TERMINAL, WAITING
from ..core.view import RunView
from ..errors import RipresaError
from ..ports import NEVER
from ..runtime.values import Values
from .exits import INTERRUPTED
from .places import Place
from .plain import Read
from .screen import Screen

Begin = Callable[[App], Awaitable[list[Handle[Any]]]]
"""Starts runs, or takes them up, in an open app."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOT_BEGUN = "not begun"
"""The status of a run whose start is recorded and not delivered yet."""

HOLD = 0.5
"""Seconds that what is left over has to stop, when all is told."""

SHOW_CURSOR = b"\x1b[?25h"


@dataclass(frozen=True, slots=True)
class Left:
    """A run as this process leaves it.

    `interrupted` if it was asked to stop; `owner` is who drives the run now; `error` is what keeps it from going on.
    `read` reads its values until the app is closed. `asleep` if it has left memory because it only waits. `behind` are
    the runs that nobody goes on with now, each with its status (see `NOT_BEGUN`): those that it has started; with the
    last run also the others that this process was driving.
    """

    view: RunView
    read: Read
    interrupted: bool = False
    owner: str | None = None
    error: RipresaError | None = None
    asleep: bool = False
    behind: tuple[tuple[str, str], ...] = ()


Tell = Callable[[list[Left]], int]
"""Tells how the runs were left, while their values can be read; gives the exit code."""


def drive(place: Place, shown: Screen, begin: Begin, tell: Tell) -> int:
    """Open an app over the store, begin, show what happens until it is over, tell; gives the exit code."""
    return asyncio.run(_drive(place, shown, begin, tell))


async def _drive(place: Place, shown: Screen, begin: Begin, tell: Tell) -> int:
    interrupt = Interrupt()
    with interrupt.heard():
        async with place.app() as app:
            handles = await begin(app)
            with shown.shown():
                await _follow_all(app, handles, shown, interrupt)
            left = [await _left(app, handle, shown, interrupt) for handle in handles]
            code = tell(await _with_behind(app, left))
        if await is_held():
            end_with(code)  # pragma: no cover - the same
        return code


async def is_held() -> bool:
    """Whether a step that was given up still does not stop: the end of the event loop would wait for it for ever."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    return bool(left) and bool((await asyncio.wait(left, timeout=HOLD))[1])


def end_with(code: int) -> None:  # pragma: no cover - tested, but coverage is not written by a process that ends so
    """End the process with this exit code, whatever still runs in it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


@dataclass(slots=True)
class Interrupt:
    """The first Ctrl-C or SIGTERM asks to stop; the second ends the process at once, which loses nothing either."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    count: int = 0

    @contextmanager
    def heard(self) -> Generator[None]:
        """Listen to both signals while this lasts."""
        loop = asyncio.get_running_loop()

        def hear(number: int, frame: FrameType | None) -> None:
            # Not the loop's own handlers: a step that blocks the loop must not keep the second signal from working.
            self.count += 1
            if self.count > 1:
                end_at_once()  # pragma: no cover - the same
            loop.call_soon_threadsafe(self.asked.set)

        before = {number: signal.signal(number, hear) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def end_at_once() -> None:
    """End the process without waiting for anything: the journal is sound at every moment."""
    if sys.stderr.isatty():  # pragma: no cover - tested, but coverage is not written by a process that ends like this
        os.write(2, SHOW_CURSOR + b"\n")
    os._exit(INTERRUPTED)  # pragma: no cover - the same


async def _follow_all(app: App, handles: list[Handle[Any]], shown: Screen, interrupt: Interrupt) -> None:
    followers = {asyncio.create_task(_follow(app, handle, shown)): handle for handle in handles}
    ticking = asyncio.create_task(_tick(shown))
    asked = asyncio.create_task(interrupt.asked.wait())
    waiting: set[asyncio.Task[Any]] = set(followers)
    try:
        while waiting and not asked.done():
            _, waiting = await asyncio.wait({*waiting, asked}, return_when=asyncio.FIRST_COMPLETED)
            waiting.discard(asked)
        if asked.done():
            await _stop(app, waiting, followers, shown)
    finally:
        for task in (ticking, asked, *followers):
            task.cancel()
        await asyncio.wait({ticking, asked, *followers})
    for task in followers:
        if not task.cancelled():
            task.result()


async def _stop(
    app: App, waiting: set[asyncio.Task[Any]], followers: dict[asyncio.Task[None], Handle[Any]], shown: Screen
) -> None:
    """Interrupt the runs that are driven here, and see them come to rest."""
    here = {task for task in waiting if followers[task].id in app.engine.drivers}
    if here:
        shown.say("stopping; once more to stop at once")
        await app.engine.close()
        await asyncio.wait(here)


async def _tick(shown: Screen) -> None:
    while True:  # noqa: ASYNC110 - pictures are drawn by the clock
        await asyncio.sleep(shown.tick())


async def _follow(app: App, handle: Handle[Any], shown: Screen) -> None:
    async for item in handle.watch(asleep=False):
        shown.take(handle.id, item)
        if isinstance(item, Recorded) and isinstance(item.event, RolledBack):
            shown.watched(handle.id).view = await handle.at(item.seq)
        if _is_idle(app, shown.watched(handle.id).view):
            await app.engine.drivers[handle.id].stop()


def _is_idle(app: App, view: RunView) -> bool:
    """Whether the run is driven here and is paused with nothing in flight: nobody needs this process for that."""
    driver = app.engine.drivers.get(view.id)
    if driver is None or driver.state.status != "paused" or view.seq != driver.state.seq:
        return False
    return not any(step.status == "scheduled" for step in view.steps.values())


async def _left(app: App, handle: Handle[Any], shown: Screen, interrupt: Interrupt) -> Left:
    view, read = shown.watched(handle.id).view, Values(app.store.blob).text
    if view.status in TERMINAL or view.status == "paused":
        return Left(view, read)
    head = await app.store.find_run(handle.id)
    if head is not None and head.status == WAITING:
        return Left(view, read, asleep=True)
    owner = await app.store.owner(handle.id)
    if interrupt.asked.is_set():
        return Left(view, read, interrupted=True, owner=owner)
    try:
        await handle.result()
    except RipresaError as error:
        if error.code != "not_available":  # else nothing is known but that whoever drove it has gone
            return Left(view, read, error=error)
    return Left(view, read)


async def _with_behind(app: App, left: list[Left]) -> list[Left]:
    """The same, with the runs that are left behind."""
    found = [replace(each, behind=await _behind(app, each)) for each in left]
    known = {run for each in found for run in (each.view.id, *dict(each.behind))}
    more = {run: each.state.status for run, each in app.engine.drivers.items() if run not in known}
    others = tuple((run, status) for run, status in more.items() if status not in TERMINAL)
    return [*found[:-1], replace(found[-1], behind=(*found[-1].behind, *others))] if others else found


async def _behind(app: App, left: Left) -> tuple[tuple[str, str], ...]:
    """The runs that a run has started, does not wait for, and leaves unfinished when this process ends."""
    found = {run: await _unfinished(app, left.view.id, run) for run in left.view.children}
    awaited = left.view.awaited.values()
    return tuple((run, status) for run, status in found.items() if status and run not in awaited)


async def _unfinished(app: App, parent: str, run: str) -> str:
    """The status of a run that is not over, and of which no other process is the owner; else empty."""
    head = await app.store.find_run(run)
    if head is None:
        sent = await app.store.outgoing_of(parent)
        is_due = any(each.kind == "start" and each.target == run and each.due != NEVER for each in sent)
        return NOT_BEGUN if is_due else ""
    if head.status in (*TERMINAL, "paused"):
        return ""
    return head.status if run in app.engine.drivers or await app.store.owner(run) is None else ""
