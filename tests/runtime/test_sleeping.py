"""Runs that only wait leave memory, and are woken: by time, by messages, here or elsewhere, whatever dies meanwhile."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import ReferenceType, ref

import pytest

from ripresa import App, CancelToken, Context, Handle, Retry, Signal, chain, delay, parallel, step, wait_for, workflow
from ripresa.core.events import RunTaken, SignalReceived, TimerFired
from ripresa.errors import DefinitionChanged, StoreError
from ripresa.ports import RunHead, Store
from ripresa.runtime import code, waking
from ripresa.runtime.bodies import encode_signal
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.clock import START, ManualClock

from .stage import Wrapped, in_memory, journal_of, turns

DAY = 24 * 3600
number = Signal("number", int)


@step
async def same(n: int) -> int:
    return n


@workflow
async def nap(ctx: Context, n: int) -> int:
    before = ctx.random.random()
    await ctx.sleep("1 day")
    return await same(n) + int(before)


@workflow
async def add_up(ctx: Context, count: int) -> int:
    return sum([await ctx.wait_for(number) for _ in range(count)])


later = chain(same, name="later").then(delay("1 day")).then(same)
listen = chain(same, name="listen").then(wait_for(number, timeout="1 day")).then(same)
FLOWS = (nap, add_up, later, listen)


@asynccontextmanager
async def asleep_soon(
    memory: Memory | None = None, clock: ManualClock | None = None, **options: Any
) -> AsyncIterator[tuple[App, ManualClock]]:
    """An app whose waiting runs leave memory at once."""
    clock = clock or ManualClock()
    async with App(MemoryStore(memory), clock=clock, linger=0, patience=0.05, **options) as app:
        yield app, clock


async def settled(app: App, run: str = "r", status: str = "waiting") -> RunHead:
    """Wait until the run is listed like this, and nobody drives it."""
    while True:
        head = await app.store.find_run(run)
        if head is not None and head.status == status and run not in app.engine.drivers:
            return head
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("flow", [nap, later])
async def test_a_run_that_waits_for_time_sleeps_and_wakes_when_it_is_due(flow: Any) -> None:
    async with asleep_soon() as (app, clock):
        handle = await app.start(flow(3), id="r")
        assert (await settled(app)).wake_at == START + DAY * 1_000_000
        assert await app.store.owner("r") is None
        assert not app.engine.drivers
        clock.advance(DAY)
        assert await handle.result() == 3
        journal = await journal_of(handle)
        assert [event.epoch for event in journal if isinstance(event, RunTaken)] == [2]
        assert [event.at for event in journal if isinstance(event, TimerFired)] == [START + DAY * 1_000_000]


async def test_a_signal_wakes_a_run_again_and_again() -> None:
    async with asleep_soon() as (app, _):
        handle = await app.start(add_up(3), id="r")
        for value in (1, 2, 3):
            await settled(app)
            await handle.send(number, value)
        assert await handle.result() == 6


async def test_a_signal_of_another_process_wakes_a_run_where_its_code_is() -> None:
    memory = Memory()
    async with asleep_soon(memory) as (app, clock), asleep_soon(memory, clock) as (other, _):
        handle = await app.start(listen(1), id="r")
        await settled(app)
        await (await other.handle("r")).send(number, 8)
        assert await handle.result() == 8


async def test_a_registered_workflow_is_woken_by_an_app_that_never_ran_it() -> None:
    memory, clock = Memory(), ManualClock()
    async with asleep_soon(memory, clock) as (app, _):
        await app.start(nap(4), id="r")
        await settled(app)
    async with asleep_soon(memory, clock, workflows=FLOWS) as (app, _):
        await asyncio.sleep(0.3)  # until it has looked
        clock.advance(DAY)
        handle = await app.handle("r", nap)
        assert await handle.result() == 4


async def test_an_app_without_the_code_leaves_the_run_to_others() -> None:
    memory, clock = Memory(), ManualClock()
    async with asleep_soon(memory, clock) as (app, _):
        await app.start(nap(4), id="r", target="nowhere:nap")
        await settled(app)
    async with asleep_soon(memory, clock, workflows=[later]) as (app, _):
        clock.advance(2 * DAY)
        await asyncio.sleep(0.3)
        assert (await settled(app)).status == "waiting"
        worker = asyncio.create_task(app.work())
        await asyncio.sleep(0.3)
        assert (await settled(app)).status == "waiting"
        worker.cancel()
        app.workflows.register(nap)
        clock.advance(60)
        assert await (await app.handle("r", nap)).result() == 4


async def test_a_worker_finds_code_by_its_target_and_takes_up_what_was_left() -> None:
    memory, clock = Memory(), ManualClock()
    async with asleep_soon(memory, clock) as (app, _):
        await app.start(nap(4), id="r")
        await app.start(parallel(same, listen)(4), id="s", target="")
        await settled(app)
    clock.advance(DAY)
    async with asleep_soon(memory, clock) as (app, _):
        worker = asyncio.create_task(app.work())
        assert await (await app.handle("r", nap)).result() == 4
        worker.cancel()


async def test_a_run_that_sleeps_is_no_object_in_memory(tmp_path: Any) -> None:
    clock = ManualClock()
    async with App(SQLiteStore(tmp_path / "a.db"), clock=clock, linger=0) as app:
        held: list[ReferenceType[Any]] = []
        for index in range(20):
            await app.start(nap(index), id=f"r{index}")
            held.append(ref(app.engine.drivers[f"r{index}"]))
        for index in range(20):
            await settled(app, f"r{index}")
        gc.collect()
        assert [each() for each in held] == [None] * 20
        clock.advance(DAY)
        for index in range(20):
            await settled(app, f"r{index}", "completed")


async def test_a_look_at_those_who_sleep_takes_as_many_statements_for_one_as_for_many() -> None:
    class Counted(Wrapped):
        looks = 0

        async def due(self, *args: Any) -> Any:
            self.looks += 1
            return await self.inner.due(*args)

        async def next_wake(self, *args: Any) -> Any:
            self.looks += 1
            return await self.inner.next_wake(*args)

    looks: list[int] = []
    for count in (1, 50):
        store = Counted(MemoryStore())
        async with App(store, clock=ManualClock(), linger=0) as app:
            for index in range(count):
                await app.start(nap(index), id=f"r{index}")
            for index in range(count):
                await settled(app, f"r{index}")
            store.looks = 0
            app.engine.waker.look()
            await turns(20)
            looks.append(store.looks)
    assert looks == [2, 2]


async def test_handles_and_watchers_outlast_the_sleep() -> None:
    async with asleep_soon() as (app, clock):
        handle = await app.start(later(5), id="r")
        events = asyncio.create_task(journal_of(handle))
        result = asyncio.create_task(handle.result())
        await settled(app)
        short = [item async for item in handle.watch(asleep=False)]
        assert short
        clock.advance(DAY)
        assert await result == 5
        assert type((await events)[-1]).__name__ == "RunCompleted"


async def test_a_run_stays_while_something_is_in_flight_or_a_timer_is_near() -> None:
    gate = asyncio.Event()

    @step
    async def held(n: int) -> int:
        await gate.wait()
        return n

    async with asleep_soon() as (app, clock):
        busy = await app.start(parallel(held, delay("1 day"))(1))
        near = await app.start(chain(same).then(delay(4)).then(same)(2))
        await asyncio.sleep(0.05)
        assert {busy.id, near.id} == app.engine.drivers.keys()
        clock.advance(4)
        assert await near.result() == 2
        gate.set()
        await settled(app, busy.id)


async def test_a_long_wait_for_the_next_attempt_leaves_memory_too() -> None:
    tries: list[int] = []

    @step(retry=Retry(attempts=2, wait="1 h", jitter=0))
    async def flaky(n: int) -> int:
        tries.append(n)
        if len(tries) == 1:
            raise ValueError("not yet")
        return n

    async with asleep_soon() as (app, clock):
        handle = await app.start(flaky(1), id="r")
        await settled(app)
        clock.advance(3600)
        assert await handle.result() == 1


async def test_what_is_asked_of_a_sleeping_run_is_heard() -> None:
    async with asleep_soon() as (app, _):
        handle = await app.start(nap(1), id="r")
        await settled(app)
        await handle.pause()
        await settled_status(handle, "paused")
        await handle.resume()
        await settled(app)
        await handle.cancel("enough")
        assert (await handle.outcome()).status == "cancelled"


async def settled_status(handle: Handle[Any], status: str) -> None:
    while (await handle.status()).status != status:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.001)


async def test_a_run_with_a_token_stays() -> None:
    async with asleep_soon() as (app, _):
        token = CancelToken()
        bound = await app.start(nap(1), cancel=token)
        await asyncio.sleep(0.05)
        assert {bound.id} == app.engine.drivers.keys()
        token.cancel("enough")
        assert (await bound.outcome()).status == "cancelled"


async def test_an_app_that_closes_puts_waiting_runs_to_sleep() -> None:
    memory, clock = Memory(), ManualClock()
    async with App(MemoryStore(memory), clock=clock) as app:
        await app.start(nap(1), id="r")
        await turns(10)
    assert memory.runs["r"].head.status == "waiting"
    async with asleep_soon(memory, clock) as (app, _):
        assert await app.resume_all() == []
        clock.advance(DAY)
        (handle,) = await app.resume_all()
        assert await handle.result() == 1


async def test_a_store_that_cannot_put_a_run_to_sleep_keeps_it_awake() -> None:
    class Tired(Wrapped):
        tried = 0

        async def sleep(self, *args: Any) -> None:
            self.tried += 1
            if self.tried < 3:
                raise StoreError("the disk is full")
            await self.inner.sleep(*args)

    store = Tired(MemoryStore())
    async with App(store, clock=ManualClock(), linger=0) as app:
        await app.start(nap(1), id="r")
        await settled(app)
        assert store.tried == 3


class SlowToSleep(Wrapped):
    """A store that lets a run fall asleep when it is told to `go`."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.went = asyncio.Event()
        self.go = asyncio.Event()

    async def sleep(self, *args: Any) -> None:
        self.went.set()
        await self.go.wait()
        await self.inner.sleep(*args)


async def test_what_comes_while_a_run_falls_asleep_wakes_it() -> None:
    store = SlowToSleep(MemoryStore())
    async with App(store, clock=ManualClock(), linger=0) as app:
        handle = await app.start(add_up(1), id="r")
        await store.went.wait()
        sent = asyncio.create_task(handle.send(number, 7))
        await turns(3)
        store.go.set()
        assert await sent
        assert await handle.result() == 7


async def test_who_cannot_be_woken_to_hear_something_says_so() -> None:
    class Lost(Wrapped):
        went = asyncio.Event()
        go = asyncio.Event()

        async def sleep(self, *args: Any) -> None:
            self.went.set()
            await self.go.wait()
            await self.inner.sleep(*args)

        async def claim(self, run: str) -> int | None:
            raise StoreError("the disk is gone")

    store = Lost(MemoryStore())
    async with App(store, clock=ManualClock(), linger=0) as app:
        handle = await app.start(add_up(1), id="r")
        await store.went.wait()
        sent = asyncio.create_task(handle.send(number, 7))
        await turns(3)
        app.engine.drivers["r"].deliver_if_driven(SignalReceived(START, "other", b"1"))
        store.go.set()
        with pytest.raises(StoreError):
            await sent


async def test_a_run_that_cannot_be_taken_up_is_left_alone_for_a_while() -> None:
    memory, clock = Memory(), ManualClock()
    async with asleep_soon(memory, clock) as (app, _):
        await app.start(nap(1), id="r")
        await settled(app)

    @workflow(name="nap", version="2")
    async def other(ctx: Context, n: int) -> int:
        return n

    async with asleep_soon(memory, clock, workflows=[other]) as (app, _):
        clock.advance(DAY)
        await asyncio.sleep(0.3)
        assert (await settled(app)).status == "waiting"
        app.engine.waker.find = lambda head: nap
        clock.advance(60)
        assert await (await app.handle("r", nap)).result() == 1


async def test_a_store_that_fails_to_say_who_is_due_is_asked_again() -> None:
    class Silent(Wrapped):
        asked = 0

        async def due(self, *args: Any) -> Any:
            self.asked += 1
            if self.asked == 1:
                raise StoreError("no answer")
            return await self.inner.due(*args)

    async with App(Silent(MemoryStore()), clock=ManualClock(), linger=0) as app:
        handle = await app.start(add_up(1), id="r")
        await settled(app)
        app.engine.waker.look()
        await turns(5)
        assert await handle.send(number, 1)
        assert await handle.result() == 1


async def test_a_request_that_nobody_knows_does_not_keep_a_run_awake() -> None:
    async with asleep_soon() as (app, _):
        handle = await app.start(add_up(1), id="r")
        await settled(app)
        await app.store.put("r", "of a newer version", b"{}")
        await asyncio.sleep(0.3)
        head = await settled(app)
        assert head.wake_at > START
        await app.engine.inbox.signal("r", encode_signal("number", b"5"))
        assert await handle.result() == 5


async def test_without_a_linger_nothing_leaves_memory() -> None:
    async with App(MemoryStore(), clock=ManualClock(), linger=None) as app:
        handle = await app.start(nap(1))
        await asyncio.sleep(0.05)
        assert handle.id in app.engine.drivers


async def test_due_runs_are_looked_at_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "PAGE", 2)
    memory, clock = Memory(), ManualClock()
    async with asleep_soon(memory, clock) as (app, _):
        for index in range(3):
            await app.start(nap(index), id=f"a{index}")
            await app.start(later(index), id=f"b{index}")
        for index in range(3):
            await settled(app, f"a{index}")
            await settled(app, f"b{index}")
    clock.advance(DAY)
    async with asleep_soon(memory, clock, workflows=[later]) as (app, _):
        for index in range(3):
            await settled(app, f"b{index}", "completed")
            await settled(app, f"a{index}")


async def test_of_two_apps_one_wakes_a_run() -> None:
    memory, clock = Memory(), ManualClock()
    async with asleep_soon(memory, clock) as (app, _):
        await app.start(nap(6), id="r")
        await settled(app)
    async with (
        asleep_soon(memory, clock, workflows=FLOWS) as (app, _),
        asleep_soon(memory, clock, workflows=FLOWS) as (other, _),
    ):
        await asyncio.sleep(0.3)
        clock.advance(DAY)
        assert await (await app.handle("r", nap)).result() == 6
        assert await (await other.handle("r", nap)).result() == 6
        journal = await journal_of(await app.handle("r"))
        assert len([event for event in journal if isinstance(event, RunTaken)]) == 1


async def test_an_app_that_closes_while_it_wakes_runs_leaves_them_to_others() -> None:
    class Slow(Wrapped):
        went = asyncio.Event()

        async def claim(self, run: str) -> int | None:
            self.went.set()
            await asyncio.sleep(10)
            raise AssertionError

    memory, clock = Memory(), ManualClock()
    async with asleep_soon(memory, clock) as (app, _):
        await app.start(nap(6), id="r")
        await settled(app)
    clock.advance(DAY)
    store = Slow(MemoryStore(memory))
    async with App(store, clock=clock, linger=0, workflows=FLOWS):
        await store.went.wait()
    async with asleep_soon(memory, clock, workflows=FLOWS) as (app, _):
        assert await (await app.handle("r", nap)).result() == 6


async def test_an_app_that_closes_hands_on_what_came_just_before() -> None:
    store = SlowToSleep(MemoryStore())
    async with App(store, clock=ManualClock(), linger=0) as app:
        handle = await app.start(add_up(2), id="r")
        await store.went.wait()
        sent = asyncio.create_task(handle.send(number, 7))
        await turns(3)
        driver = app.engine.drivers["r"]
        driver.deliver_if_driven(SignalReceived(START, "other", b"1"))
        store.go.set()
        await turns(1)
        while driver.run in app.engine.drivers and app.engine.drivers["r"] is driver:
            await turns(1)
    assert await sent


async def test_what_came_through_the_inbox_as_a_run_fell_asleep_is_taken_once() -> None:
    store = SlowToSleep(MemoryStore())
    async with App(store, clock=ManualClock(), linger=0) as app:
        handle = await app.start(add_up(3), id="r")
        await store.went.wait()
        driver = app.engine.drivers["r"]
        sent = asyncio.create_task(handle.send(number, 7, id="seven"))
        while not driver.seen:
            await turns(1)
        store.go.set()
        assert await sent
        while app.engine.drivers.get("r") in (None, driver):
            await turns(1)
        await turns(9)
        await handle.send(number, 1, id="one")
        await handle.send(number, 2, id="two")
        assert await handle.result() == 10
        received = [event.id for event in await journal_of(handle) if isinstance(event, SignalReceived)]
    assert received == ["seven", "one", "two"]


async def test_a_worker_asks_for_a_target_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def find(target: str) -> None:
        asked.append(target)

    monkeypatch.setattr(code, "find_target", find)
    memory, clock = Memory(), ManualClock()
    async with asleep_soon(memory, clock) as (app, _):
        for run in "rst":
            await app.start(nap(6), id=run, target="gone:nap" if run != "t" else "")
            await settled(app, run)
    clock.advance(DAY)
    async with asleep_soon(memory, clock) as (app, _):
        worker = asyncio.create_task(app.work())
        while not asked:
            await turns(1)
        await turns(20)
        worker.cancel()
    assert asked == ["gone:nap"]


async def test_a_worker_leaves_runs_alone_that_are_driven() -> None:
    gate = asyncio.Event()

    @step
    async def held(n: int) -> int:
        await gate.wait()
        return n

    async with asleep_soon() as (app, _):
        handle = await app.start(held(1))
        worker = asyncio.create_task(app.work())
        await turns(5)
        gate.set()
        assert await handle.result() == 1
        assert not any(isinstance(event, RunTaken) for event in await journal_of(handle))
        worker.cancel()


async def test_a_signal_to_a_run_whose_code_changed_says_so_to_who_tries_to_take_it_up() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await app.start(parallel(same, wait_for(number))(1), id="r")
    async with in_memory(memory) as app:
        with pytest.raises(DefinitionChanged):
            await (await app.handle("r", later)).send(number, 1)
        assert len(await app.store.pending()) == 1
