"""A token stops whatever was started with it, from any thread, once and for good."""

import asyncio
import inspect
import threading
import time
from typing import Any

import pytest

from ripresa import App, Context, Retry, RunCancelled, chain, delay, map_each, step, workflow
from ripresa.core.events import AttemptLost, NodeCancelled
from ripresa.runtime.cancellation import CancelToken
from tests.runtime.stage import Tally, in_memory, journal_of, leftovers, on_clock, turns


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


def test_a_token_is_cancelled_once_and_for_good() -> None:
    token = CancelToken()
    assert (token.cancelled, token.reason) == (False, "")
    token.cancel("first")
    token.cancel("second")
    assert (token.cancelled, token.reason) == (True, "first")


def test_everyone_is_called_back_in_order_whatever_one_of_them_raises() -> None:
    token, called = CancelToken(), list[str]()

    def broken() -> None:
        called.append("broken")
        raise ValueError("broken")

    token.on_cancel(lambda: called.append("first"))
    token.on_cancel(broken)
    token.on_cancel(lambda: called.append("last"))
    with pytest.raises(ValueError, match="broken"):
        token.cancel()
    token.cancel()
    assert called == ["first", "broken", "last"]


async def test_only_one_of_many_threads_cancels() -> None:
    for _ in range(20):
        token, called, ready = CancelToken(), list[str](), threading.Barrier(8)
        token.on_cancel(lambda called=called, token=token: called.append(token.reason))  # type: ignore[misc]

        def cancel(name: str, token: CancelToken = token, ready: threading.Barrier = ready) -> None:
            ready.wait()
            token.cancel(name)

        threads = [threading.Thread(target=cancel, args=(str(number),)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert called == [token.reason]


async def test_what_guard_gives_is_the_same_function() -> None:
    token = CancelToken()

    async def fetch(url: str, *, tries: int = 3) -> list[str]:
        """Fetch it."""
        return [url] * tries

    guarded = token.guard(fetch)
    assert inspect.signature(guarded) == inspect.signature(fetch)
    assert inspect.iscoroutinefunction(guarded)
    assert (guarded.__name__, guarded.__doc__) == ("fetch", "Fetch it.")
    assert await guarded("a", tries=2) == ["a", "a"]
    async with in_memory() as app:
        assert await app.run(chain(step(guarded))("b")) == ["b"] * 3


async def test_what_the_guarded_raises_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("mine")

    async def give_up() -> None:
        raise asyncio.CancelledError

    token = CancelToken()
    with pytest.raises(ValueError, match="mine"):
        await token.run(fail())
    task = asyncio.create_task(token.run(give_up()))
    await asyncio.wait([task])
    assert task.cancelled()
    assert token._callbacks == []


async def test_what_ignores_the_token_and_returns_has_returned() -> None:
    token, began = CancelToken(), asyncio.Event()

    async def finish() -> int:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 1
        return 2

    task = asyncio.create_task(token.run(finish()))
    await began.wait()
    token.cancel()
    assert await task == 1


@pytest.mark.parametrize("first", ["token", "task"])
async def test_the_cancellation_of_the_caller_counts_whichever_came_first(first: str) -> None:
    token, began = CancelToken(), asyncio.Event()

    async def work() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(token.run(work()))
    await began.wait()
    for cancel in (token.cancel, task.cancel) if first == "token" else (task.cancel, token.cancel):
        cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert token._callbacks == []


async def test_a_token_reaches_every_kind_of_work_of_a_run() -> None:
    tally = Tally()

    @step
    async def wait(name: str) -> str:
        await tally.visit()
        return name

    @workflow
    async def child(ctx: Context, name: str) -> str:
        return await wait(name)

    @workflow
    async def parent(ctx: Context, name: str) -> Any:
        return await ctx.gather(wait(name), child(name), ctx.map(wait, [name, name]))

    async with in_memory() as app:
        token = CancelToken()
        running = asyncio.create_task(app.run(parent("x"), id="all", cancel=token))
        await tally.reach(4)
        token.cancel("enough")
        with pytest.raises(RunCancelled, match="enough") as caught:
            await running
        assert (caught.value.run, caught.value.reason) == ("all", "enough")
        events = await journal_of(await app.handle("all"))
    assert [event.reason for event in events if isinstance(event, AttemptLost)] == ["cancelled"] * 4
    assert tally.now == 0
    assert leftovers() == set()


async def test_a_token_ends_waiting_for_another_try_and_for_time() -> None:
    @step(retry=Retry(2, "1 h"))
    async def fail(value: int) -> int:
        raise ValueError

    @workflow
    async def nap(ctx: Context, value: int) -> None:
        await ctx.sleep("3 days")

    async with on_clock() as (app, clock):
        calls: list[Any] = [chain(fail)(1), chain(delay("3 days"))(1), nap(1)]
        for call in calls:
            token = CancelToken()
            handle = await app.start(call, cancel=token)
            while not clock.waiting():
                await turns(1)
            token.cancel()
            assert (await handle.outcome()).status == "cancelled"
            assert clock.waiting() == []
            assert any(isinstance(event, NodeCancelled) for event in await journal_of(handle))


async def test_a_token_kills_the_child_process_of_a_step() -> None:
    sleep = step(executor="process")(time.sleep)
    began = time.monotonic()
    async with in_memory(processes=1) as app:
        token = CancelToken()
        handle = await app.start(sleep(60), cancel=token)
        while not app.engine.drivers[handle.id].flight.under_way:
            await turns(1)
        token.cancel()
        assert (await handle.outcome()).status == "cancelled"
    assert time.monotonic() - began < 30


async def test_a_run_that_was_cancelled_by_hand_has_its_first_reason() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        token = CancelToken()
        handle = await app.start(chain(wait)(1), cancel=token)
        await tally.reach(1)
        await handle.cancel("by hand")
        token.cancel("by token")
        with pytest.raises(RunCancelled, match="by hand"):
            await handle.result()


async def test_a_token_of_a_run_that_failed_and_of_an_app_that_closed_changes_nothing() -> None:
    tally = Tally()

    @step
    async def fail(value: int) -> int:
        raise ValueError

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        token = CancelToken()
        failed = await app.start(chain(fail)(1), cancel=token)
        assert (await failed.outcome()).status == "failed"
        token.cancel()
        assert (await failed.status()).status == "failed"
        memory = app.store.memory  # type: ignore[attr-defined]
        late = CancelToken()
        left = await app.start(chain(map_each(wait))([1, 2]), cancel=late)
        await tally.reach(2)
    late.cancel()
    async with in_memory(memory) as again:
        assert isinstance(again, App)
        assert (await (await again.handle(left.id)).status()).status == "running"


async def test_a_token_reaches_a_run_that_had_been_started_before() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(wait)
    async with in_memory() as app:
        first = await app.start(flow(1), id="run")
        await tally.reach(1)
        token = CancelToken()
        again = await app.start(flow(1), id="run", cancel=token)
        token.cancel("enough")
        for handle in (first, again):
            with pytest.raises(RunCancelled, match="enough"):
                await handle.result()
        ended = CancelToken()
        assert (await (await app.start(flow(1), id="run", cancel=ended)).outcome()).status == "cancelled"
        ended.cancel()
