"""Runs workflows in memory, without an app: the same engine over a store that is thrown away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any

from ..authoring.flow import Runnable
from ..context import switched_off
from ..core.events import Recorded
from ..core.limits import NONE, limits_of
from ..errors import RipresaError, RunFailed, StepFailed
from ..stores.memory import MemoryStore
from .clock import SystemClock
from .driver import Driver
from .engine import Engine, Settings, Start
from .family import begin_here
from .provided import require_executors
from .results import cancel_error, result_of, run_error


async def run(runnable: Runnable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], id: str = "") -> Any:
    """Run to the end; gives the result, or raises what the failing step raised (its run is gone with it)."""
    engine = await _engine()
    try:
        require_executors(engine, runnable)
        driver = await engine.start(_start(runnable, args, kwargs, id))
        await driver.ended.wait()
        driver.ended.result()
        return _result(driver, runnable)
    finally:
        await _closed(engine)


async def stream(
    runnable: Runnable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncIterator[Recorded]:
    """The events of a run while it happens, `RunCompleted` with the result last. Raises like `run`."""
    engine = await _engine()
    try:
        require_executors(engine, runnable)
        start = _start(runnable, args, kwargs, "stream")
        watcher = engine.feed.watch(start.id)
        driver = await engine.start(start)
        seen, over = 0, False
        while not over:
            over = watcher.ended
            for recorded in await engine.history(start.id, seen):
                seen = recorded.seq
                yield recorded
            async for item in watcher.live(seen):
                if isinstance(item, Recorded):
                    seen = item.seq
                    yield item
        _result(driver, runnable)
    finally:
        await _closed(engine)


def items(plan: Any, argument: Any) -> AsyncGenerator[Any]:
    """The items of a stream that has no sink."""
    from .streams import items as items_of

    return items_of(plan, argument)


async def _engine() -> Engine:
    store = MemoryStore()
    await store.open()
    engine = Engine(store, SystemClock(), Settings(off=switched_off()))
    engine.outbox.begin = partial(begin_here, engine)
    return engine


async def _closed(engine: Engine) -> None:
    """Close, also while the caller is being cancelled again and again (as by the scopes of anyio)."""
    if not engine.drivers:
        await engine.close()
        return
    closing = engine.loop.create_task(engine.close())
    cancelled: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.wait([closing])
        except asyncio.CancelledError as error:
            cancelled = error
    closing.result()
    if cancelled is not None:
        raise cancelled


def _start(runnable: Runnable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], id: str = "") -> Start:
    timeout, limits = getattr(runnable, "timeout", None), limits_of(None, runnable, NONE, None)
    if limits.bounds and limits.on_exceeded != "fail":
        raise RipresaError(
            f"limits of {runnable.name!r} say {limits.on_exceeded!r}, but nobody reaches a run in memory",
            code="not_available",
            op="invoke",
            where=runnable.name,
            hint='run it in an App, or with Limits(on_exceeded="fail")',
        )
    return Start(runnable, runnable.encode_input(args, kwargs), id=id, timeout=timeout, limits=limits)


def _result(driver: Driver, runnable: Runnable[..., Any]) -> Any:
    state = driver.state
    if state.status == "failed" and driver.failure is not None:
        raise _cause(run_error(state.run, driver.failure))
    if state.status in ("cancelled", "terminated"):
        raise cancel_error(state.run, state.status, state.reason)
    return result_of(state.run, state.status, driver.output, driver.values, runnable.output_type)


def _cause(error: RunFailed) -> BaseException:
    """The step's own exception: without a store there is no run to speak of."""
    cause = error.__cause__
    return error if cause is None or isinstance(cause, StepFailed) else cause
