"""A token stops whatever was started with it, from any thread, once and for good."""

import asyncio
import threading

import pytest

from ripresa import RunCancelled, chain, step
from ripresa.runtime.cancellation import CancelToken
from tests.runtime.stage import Tally, in_memory, leftovers


async def test_a_token_cancels_the_runs_that_were_started_with_it() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        token = CancelToken()
        child = token.child()
        handles = [
            await app.start(chain(wait)(1), cancel=token),
            await app.start(chain(wait)(2), cancel=child),
            await app.start(chain(wait)(3)),
        ]
        await tally.reach(3)
        await asyncio.to_thread(token.cancel, "enough")
        token.cancel("again")
        for handle in handles[:2]:
            with pytest.raises(RunCancelled, match="enough"):
                await handle.result()
        assert child.cancelled
        assert child.reason == "enough"
        late = await app.start(chain(wait)(4), cancel=token)
        assert (await late.outcome()).status == "cancelled"
        tally.open()
        assert await handles[2].result() == 3


async def test_a_run_that_has_ended_is_forgotten_by_its_token() -> None:
    @step
    async def one(value: int) -> int:
        return value

    async with in_memory() as app:
        token = CancelToken()
        handle = await app.start(chain(one)(1), cancel=token)
        driver = app.engine.drivers[handle.id]
        assert await handle.result() == 1
        await asyncio.sleep(0)
        assert token._callbacks == []
        from ripresa.core.events import CancelRequested

        driver.deliver_if_driven(CancelRequested(0))
        token.cancel()
        assert await handle.result() == 1


async def test_a_child_can_be_cancelled_alone() -> None:
    parent = CancelToken()
    one, two = parent.child(), parent.child()
    one.cancel("one")
    assert (one.cancelled, two.cancelled, parent.cancelled) == (True, False, False)
    parent.cancel("all")
    assert (one.reason, two.reason) == ("one", "all")
    assert parent.child().cancelled


async def test_any_async_function_can_be_guarded() -> None:
    token = CancelToken()
    log: list[str] = []

    @token.guard
    async def work(name: str) -> str:
        if name == "quick":
            return name
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append(name)
            raise
        return name

    assert await work("quick") == "quick"
    task = asyncio.create_task(work("slow"))
    await asyncio.sleep(0.001)
    threading.Thread(target=token.cancel, args=("stop",)).start()
    with pytest.raises(RunCancelled, match="stop") as caught:
        await task
    assert caught.value.reason == "stop"
    assert log == ["slow"]
    with pytest.raises(RunCancelled):
        await work("never")
    assert token._callbacks == []


async def test_cancelling_the_task_stops_the_guarded_too_and_is_not_swallowed() -> None:
    token, log = CancelToken(), list[str]()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("stopped")

    task = asyncio.create_task(token.run(work()))
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["stopped"]
    assert token._callbacks == []

    async def both() -> None:
        me = asyncio.current_task()
        assert me is not None
        await asyncio.sleep(0)

    assert await token.run(both()) is None  # type: ignore[func-returns-value]
    assert leftovers() == set()


async def test_undoing_a_callback_twice_hurts_nobody() -> None:
    token, called = CancelToken(), list[int]()
    forget = token.on_cancel(lambda: called.append(1))
    forget()
    forget()
    token.cancel()
    token.on_cancel(lambda: called.append(2))()
    assert called == [2]
