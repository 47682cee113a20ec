"""Append, then perform: stopped at every write, the run has done nothing that is not durable and ends as it should."""

import asyncio
import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ripresa import App, Context, Handle, Retry, chain, current, fold, map_each, parallel, repeat, step, workflow
from ripresa.core.codec import decode_events
from ripresa.core.events import CallRecorded, StepCompleted, StepScheduled
from ripresa.errors import Fenced, RipresaError, StoreError
from ripresa.ports import Batch
from ripresa.stores.memory import Memory, MemoryStore
from tests.runtime.stage import Counting, Failing, Slow, Tally, Wrapped, in_memory, journal_of, kinds, leftovers, turns

ran: list[str] = []
store: Any = None


@step(retry=Retry(2, 0))
async def add(value: int) -> int:
    await noted("add")
    return value + 1


@step
async def flaky(value: int) -> int:
    await noted("flaky")
    if current().attempt == 1:
        raise ValueError
    return value + 1


@step
async def ask(value: int) -> int:
    await noted("ask")
    context = current()
    found = await asyncio.gather(context.call(model, value), context.call(model, value + 1))
    return sum(found)


@step
async def join(total: int, value: int) -> int:
    await noted("join")
    return total + value


@step
async def spread(value: int) -> list[int]:
    await noted("spread")
    return [value, value + 1, value + 2]


async def model(value: int) -> int:
    ran.append(f"model {value}")
    return value * 10


async def noted(name: str) -> None:
    """Note that a step runs, and that its being scheduled is durable."""
    context = current()
    ran.append(f"{context.path} {context.attempt}")
    await asyncio.sleep(0)
    rows = await store.read(context.run)
    events = [item.event for row in rows for item in decode_events(row.data, context.run, row.seq)]
    assert StepScheduled(context.path, context.attempt) in events


@workflow
async def function(ctx: Context, value: int) -> int:
    async def slow() -> int:
        try:
            await ctx.sleep("1 d")
        finally:
            await add(100)
        return 0

    first = await ctx.race(slow(), add(value))
    await ctx.sleep(0)
    found = await ctx.gather(add(first), inner(first), ask(first))
    return sum(found)


@workflow
async def inner(ctx: Context, value: int) -> int:
    return sum(await ctx.map(add, [value, value + 1]))


FLOWS: dict[str, Any] = {
    "chain": chain(add).then(flaky.with_(retry=Retry(2, 0))).then(add).named("chained"),
    "map": chain(spread).then(map_each(add, concurrency=2)).then(fold(join, 0)).named("mapped"),
    "parallel": chain(parallel(add, chain(add).then(add), inner)).named("side"),
    "repeat": repeat(add, until=lambda value: value >= 4, at_most=9).named("repeated"),
    "call": chain(ask).then(add).named("asking"),
    "function": function,
}


def opened(memory: Memory, wrap: Callable[[Any], Any]) -> App:
    """An app over this memory; steps can look at its store."""
    global store
    store = wrap(MemoryStore(memory))
    return App(store, patience=0.05)


async def undisturbed(flow: Any) -> tuple[Any, list[str], int]:
    """The result, what ran, and how many writes there were."""
    ran.clear()
    counting: Any = None

    def wrap(inner: Any) -> Any:
        nonlocal counting
        counting = Counting(inner)
        return counting

    async with opened(Memory(), wrap) as app:
        result = await app.run(flow(1), id="run")
    return result, sorted(ran), len(counting.batches)


def broken(number: int, after: bool, slow: bool, inner: Any) -> Any:
    """A store that fails one write."""
    failing = Failing(inner, number, after=after)
    return Slow(failing) if slow else failing


async def finish(app: App, flow: Any) -> Any:
    """Take the run up until it has ended; its result."""
    for _ in range(60):
        try:
            head = await app.store.find_run("run")
            if head is None:
                return await app.run(flow(1), id="run")
            handle = await app.resume("run", flow)
            return await handle.result()
        except StoreError:
            continue
    raise AssertionError("the run does not end")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
@pytest.mark.parametrize("name", [name for name in FLOWS if name != "function"])
async def test_a_run_whose_writes_fail_at_any_place_ends_with_the_same_result(
    name: str, slow: bool, after: bool
) -> None:
    flow = FLOWS[name]
    expected, once, writes = await undisturbed(flow)
    assert writes > 2
    for number in range(1, writes + 1):
        ran.clear()
        memory = Memory()
        async with opened(memory, partial(broken, number, after, slow)) as app:
            with pytest.raises(RipresaError):
                await app.run(flow(1), id="run")
            async with asyncio.timeout(5):
                assert await finish(app, flow) == expected, number
            events = await journal_of(await app.handle("run"))
        assert {name.split()[0] for name in once} <= {name.split()[0] for name in ran}
        completed = [event.path for event in events if isinstance(event, StepCompleted)]
        assert len(completed) == len(set(completed))


async def test_a_durable_function_whose_writes_fail_at_any_place_ends_with_the_same_result() -> None:
    async def once(number: int, after: bool) -> tuple[Any, int]:
        memory = Memory()
        failing: Any = None

        def wrap(inner: Any) -> Any:
            nonlocal failing
            failing = Failing(inner, number, after=after)
            return failing

        async with opened(memory, wrap) as app:
            async with asyncio.timeout(5):
                try:
                    result = await app.run(function(1), id="run")
                except StoreError:
                    result = await finish(app, function)
            journal = await journal_of(await app.handle("run"))
        calls = [event.key for event in journal if isinstance(event, CallRecorded)]
        assert len(calls) == len(set(calls)) == 2
        return result, failing.writes

    expected, writes = await once(0, False)
    assert writes > 5
    for number in range(1, writes + 1):
        for after in (False, True):
            assert (await once(number, after))[0] == expected, (number, after)


async def test_two_failures_in_a_row_and_a_failing_take_over_lose_nothing() -> None:
    for numbers in ((2, 3), (3, 4, 5), (2, 4)):
        ran.clear()
        async with opened(Memory(), lambda inner, numbers=numbers: Failing(inner, *numbers)) as app:  # type: ignore[misc]
            with pytest.raises(StoreError):
                await app.run(FLOWS["chain"](1), id="run")
            assert await finish(app, FLOWS["chain"]) == 4


@pytest.mark.parametrize("name", ["chain", "function"])
async def test_a_start_whose_answer_was_lost_can_be_repeated(name: str) -> None:
    flow = FLOWS[name]
    expected, _, _ = await undisturbed(flow)
    async with opened(Memory(), lambda inner: Failing(inner, 1, after=True)) as app:
        with pytest.raises(StoreError):
            await app.run(flow(1), id="run")
        assert not await app.engine.is_driven("run")
        handle = await app.start(flow(1), id="run")
        with pytest.raises(RipresaError) as caught:
            await handle.result()
        assert caught.value.code == "not_available"
        async with asyncio.timeout(5):
            assert await app.run(flow(1), id="run") == expected


async def test_a_run_that_cannot_even_be_given_up_is_not_waited_for() -> None:
    class Unwilling(Failing):
        async def release(self, run: str) -> None:
            raise StoreError("the disk is full", code="store_full")

    async with opened(Memory(), lambda inner: Unwilling(inner, 2, 4)) as app:
        flow = FLOWS["chain"]
        handle = await app.start(flow(1), id="run")
        with pytest.raises(StoreError):
            await handle.result()
        async with asyncio.timeout(5):
            again = await app.handle("run")
            with pytest.raises(RipresaError, match="no result yet"):
                await again.result()
            assert [item.seq for item in await app.engine.history("run")] == [item.seq async for item in again.events()]
            taken = await app.resume("run", flow)
            with pytest.raises(StoreError):
                await taken.result()
            assert await (await app.resume("run", flow)).result() == 4


async def test_nobody_is_told_of_an_event_that_is_not_durable() -> None:
    async with opened(Memory(), lambda inner: Failing(inner, 3)) as app:
        told: list[Any] = []
        app.engine.feed.listen(told.append)
        handle = await app.start(FLOWS["chain"](1), id="run")
        seen = [item async for item in handle.events()]
        with pytest.raises(StoreError):
            await handle.result()
        durable = await app.engine.history("run")
    assert seen == durable
    assert told == durable


async def test_a_write_that_fails_beside_a_running_step_stops_that_step() -> None:
    tally, log = Tally(), list[str]()

    @step
    async def wait(value: int) -> int:
        try:
            await tally.visit()
        except asyncio.CancelledError:
            log.append("stopped")
            raise
        return value

    for call, count in ((chain(wait)(1), 1), (chain(map_each(wait))([1, 2]), 2)):
        log.clear()
        before = tally.entered
        async with opened(Memory(), lambda inner: Failing(inner, 2)) as app:
            handle: Handle[Any] = await app.start(call, id="run")
            await tally.reach(before + count)
            with pytest.raises(StoreError) as refused:
                await handle.pause()
            with pytest.raises(StoreError) as caught:
                await handle.result()
            assert refused.value.code == caught.value.code == "store_full"
            assert log == ["stopped"] * count
            assert (await handle.status()).status == "running"
    assert leftovers() == set()


async def test_a_journaled_call_that_cannot_be_kept_fails_and_is_made_again() -> None:
    for number in (2, 3):
        ran.clear()
        async with opened(Memory(), lambda inner, number=number: Failing(inner, number)) as app:  # type: ignore[misc]
            with pytest.raises(StoreError):
                await app.run(FLOWS["call"](1), id="run")
            assert await finish(app, FLOWS["call"]) == 31


async def test_an_irreversible_step_that_cannot_be_announced_does_not_run() -> None:
    paid: list[int] = []

    @step(effect="irreversible")
    async def pay(value: int) -> int:
        paid.append(value)
        return value

    flows: tuple[tuple[Any, Any], ...] = (chain(pay), 1), (chain(map_each(pay)), [1])
    for flow, given in flows:
        paid.clear()
        async with opened(Memory(), lambda inner: Failing(inner, 2)) as app:
            with pytest.raises(StoreError):
                await app.run(flow(given), id="run")
            assert paid == []
            handle = await app.resume("run", flow)
            assert await handle.result() == given
            assert paid == [1]


async def test_a_stale_owner_is_fenced_stops_its_steps_and_drops_its_state() -> None:
    memory, tally, log = Memory(), Tally(), list[str]()

    @step
    async def wait(value: int) -> int:
        log.append("runs")
        try:
            await tally.visit()
        except asyncio.CancelledError:
            log.append("stopped")
            raise
        return value + 1

    flow = chain(map_each(wait))
    async with in_memory(memory) as stale, in_memory(memory) as other:
        handle = await stale.start(flow([1, 2]), id="run")
        await tally.reach(2)
        memory.alive.discard(stale.store.name)  # type: ignore[attr-defined] # as if its lock had been lost
        taken = await other.resume("run", flow)
        await tally.reach(4)
        with pytest.raises(Fenced):
            await handle.pause()
        with pytest.raises(Fenced):
            await handle.result()
        assert stale.engine.drivers == {}
        assert log.count("stopped") == 2
        tally.open()
        assert await taken.result() == [2, 3]
        assert await handle.result() == [2, 3]
        events = await journal_of(taken)
    assert kinds(events).count("RunTaken") == 1
    assert kinds(events).count("StepCompleted") == 2


async def test_only_the_fenced_run_stops() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(wait)
    async with in_memory(memory) as app, in_memory(memory) as other:
        handles = [await app.start(flow(number), id=f"r{number}") for number in range(3)]
        await tally.reach(3)
        memory.alive.discard(app.store.name)  # type: ignore[attr-defined]
        taken = await other.resume("r1", flow)
        memory.alive.add(app.store.name)  # type: ignore[attr-defined]
        waiting = [asyncio.create_task(handle.result()) for handle in handles]
        await turns(1)
        tally.open()
        assert await waiting[0] == 0
        assert await waiting[2] == 2
        with pytest.raises(Fenced):
            await waiting[1]
        assert await taken.result() == 1


async def test_an_error_of_the_engine_itself_is_not_swallowed() -> None:
    class Broken(Wrapped):
        async def append(self, batch: Batch) -> None:
            raise KeyError("a bug")

    reported: list[Any] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, report: reported.append(report["exception"]))
    try:
        async with opened(Memory(), Broken) as app:
            handle = await app.start(chain(add)(1), id="run")
            with pytest.raises(KeyError):
                await handle.result()
        del app, handle
        await turns(2)
        gc.collect()
    finally:
        loop.set_exception_handler(before)
    assert [str(error) for error in reported] == ["'a bug'"]
