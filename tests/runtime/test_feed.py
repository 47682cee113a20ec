"""The feed: listeners and watchers hear of what is durable, in order, and are in nobody's way."""

import asyncio
import logging
import threading
from typing import Any

import pytest

from ripresa import App, Context, Handle, Recorded, Retry, chain, current, map_each, step, workflow
from ripresa.core.events import CheckpointNamed, RunCompleted, RunStarted, StepCompleted, StepScheduled
from ripresa.ports import Batch, Store
from ripresa.runtime.feed import Feed, Notice, StepBegan, StepProgressed, Watcher
from ripresa.stores.memory import Memory, MemoryStore
from tests.runtime.stage import Failing, Tally, Wrapped, all_of, in_memory, turns


@step
async def add(value: int) -> int:
    return value + 1


@step
async def numbers(count: int) -> list[int]:
    return list(range(count))


MANY = chain(numbers).then(map_each(add))


def item(seq: int, run: str = "r") -> Recorded:
    return Recorded(run, seq, seq, CheckpointNamed(seq, str(seq)))


class Durable(Wrapped):
    """Knows up to which event each run is durable; its writes take some turns of the loop."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.upto: dict[str, int] = {}

    async def create(self, batch: Batch) -> None:
        await turns(2)
        await self.inner.create(batch)
        self._written(batch)

    async def append(self, batch: Batch) -> None:
        await turns(2)
        await self.inner.append(batch)
        self._written(batch)

    def _written(self, batch: Batch) -> None:
        self.upto[batch.run] = batch.seq + batch.events - 1


# --- listeners


async def test_listeners_hear_every_event_of_every_run_in_order_and_only_when_it_is_durable() -> None:
    durable = Durable(MemoryStore())
    heard: dict[str, list[Recorded]] = {}

    def listen(recorded: Recorded) -> None:
        assert recorded.seq <= durable.upto[recorded.run]
        heard.setdefault(recorded.run, []).append(recorded)

    @workflow
    async def both(ctx: Context, count: int) -> int:
        return await add(len(await MANY(count)))

    async with App(durable, listeners=[listen]) as app:
        handles: list[Handle[Any]] = [await app.start(MANY(20)), await app.start(both(5)), await app.start(add(1))]
        seen = await asyncio.gather(*(all_of(handle) for handle in handles))
        assert heard == {handle.id: events for handle, events in zip(handles, seen, strict=True)}
        assert heard == {handle.id: await app.engine.history(handle.id) for handle in handles}


async def test_watchers_see_nothing_that_is_not_durable() -> None:
    durable = Durable(MemoryStore())
    async with App(durable) as app:
        handle = await app.start(MANY(20))
        async for recorded in handle.events():
            assert recorded.seq <= durable.upto[handle.id]


async def test_what_could_not_be_written_is_told_to_nobody() -> None:
    heard: list[Recorded] = []
    memory = Memory()
    async with App(Failing(MemoryStore(memory), 2), listeners=[heard.append]) as app:
        handle = await app.start(chain(add).then(add)(1))
        outcome = await handle.outcome()
    assert outcome.status == "running"
    assert [type(recorded.event) for recorded in heard] == [RunStarted, StepScheduled]


async def test_a_listener_that_raises_is_logged_and_hears_the_rest_nevertheless(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken: list[int] = []
    good: list[int] = []

    def fail(recorded: Recorded) -> None:
        broken.append(recorded.seq)
        if recorded.seq == 2:
            raise ValueError("deaf")

    async with App("memory:", listeners=[fail, lambda recorded: good.append(recorded.seq)]) as app:
        assert await app.run(chain(add).then(add)(1), id="run") == 3
    assert broken == good == list(range(1, len(good) + 1))
    [record] = [record for record in caplog.records if record.name == "ripresa"]
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "a listener raised")
    assert (record.__dict__["run"], record.__dict__["seq"]) == ("run", 2)
    assert "fail" in record.__dict__["listener"]
    assert record.exc_info is not None
    assert repr(record.exc_info[1]) == "ValueError('deaf')"


async def test_a_listener_that_leaves_hears_nothing_from_then_on() -> None:
    heard: list[str] = []
    feed = Feed()

    def once(recorded: Recorded) -> None:
        heard.append(f"once {recorded.seq}")
        stop()
        stop_other()

    stop = feed.listen(once)
    stop_other = feed.listen(lambda recorded: heard.append(f"other {recorded.seq}"))
    feed.listen(lambda recorded: heard.append(f"last {recorded.seq}"))
    feed.publish("r", 1, [CheckpointNamed(1, "a"), CheckpointNamed(2, "b")])
    assert heard == ["once 1", "last 1", "last 2"]
    stop()


async def test_a_listener_that_listens_twice_is_told_twice_and_leaves_once() -> None:
    heard: list[int] = []

    def listen(recorded: Recorded) -> None:
        heard.append(recorded.seq)

    feed = Feed()
    first, second = feed.listen(listen), feed.listen(listen)
    feed.publish("r", 1, [CheckpointNamed(1, "a")])
    first()
    first()
    feed.publish("r", 2, [CheckpointNamed(2, "b")])
    second()
    feed.publish("r", 3, [CheckpointNamed(3, "c")])
    assert heard == [1, 1, 2]


async def test_consequences_are_told_with_the_time_of_their_fact() -> None:
    feed, heard = Feed(), list[Recorded]()
    feed.listen(heard.append)
    completed, scheduled = StepCompleted(7, "a", 1, b"1"), StepScheduled("b", 1)
    feed.publish("r", 4, [completed, scheduled, CheckpointNamed(9, "x"), RunCompleted(b"1")])
    assert heard == [
        Recorded("r", 4, 7, completed),
        Recorded("r", 5, 7, scheduled),
        Recorded("r", 6, 9, CheckpointNamed(9, "x")),
        Recorded("r", 7, 9, RunCompleted(b"1")),
    ]


# --- watchers


async def test_each_watcher_hears_of_its_run_alone() -> None:
    feed = Feed()
    one, two, other = feed.watch("r"), feed.watch("r"), feed.watch("s")
    feed.publish("r", 1, [CheckpointNamed(1, "1")])
    feed.notify(StepBegan("s", "a", 1, 5))
    assert (one.take(), two.take(), other.take()) == ([item(1)], [item(1)], [StepBegan("s", "a", 1, 5)])
    feed.leave("r", one)
    feed.publish("r", 2, [CheckpointNamed(2, "2")])
    assert (one.take(), two.take(), feed.watched("r")) == ([], [item(2)], True)
    feed.leave("r", two)
    assert (feed.watched("r"), feed.watched("s")) == (False, True)


async def test_the_end_is_told_to_the_watchers_of_a_run_until_it_begins_again() -> None:
    feed = Feed()
    one, other = feed.watch("r"), feed.watch("s")
    feed.end("r")
    assert [one.ended, other.ended] == [True, False]
    await one.wait()
    feed.begin("r")
    assert [one.ended, other.ended] == [False, False]


async def test_a_watcher_that_falls_behind_forgets_what_it_has_and_begins_anew() -> None:
    watcher = Watcher()
    size = watcher.SIZE
    behind: list[bool] = []
    for items in (map(item, range(1, size + 1)), [item(size + 1)], [item(size + 2)]):
        watcher.put(items)
        behind.append(watcher.behind)
    assert behind == [False, True, True]
    assert [watcher.take(), watcher.behind] == [[], False]
    watcher.put([item(size + 3)])
    assert watcher.take() == [item(size + 3)]


async def test_a_reader_that_falls_behind_misses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watcher, "SIZE", 8)
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        handle = await app.start(chain(wait).then(MANY)(100))
        watching = handle.watch()
        seen: list[Recorded | Notice] = [await anext(watching)]
        await tally.reach(1)
        tally.open()
        await handle.result()
        seen += [each async for each in watching]
        journal = await app.engine.history(handle.id)
    assert [each for each in seen if isinstance(each, Recorded)] == journal
    assert len(journal) > 100


def watched(handle: Handle[Any], seen: list[Any]) -> asyncio.Task[None]:
    async def watch() -> None:
        seen.extend([each async for each in handle.watch()])

    return asyncio.create_task(watch())


async def test_starts_and_progress_of_every_attempt_are_told_between_the_events() -> None:
    tally = Tally()

    @step(retry=Retry(2, 0))
    async def work(value: int) -> int:
        await tally.visit()
        context = current()
        context.progress(1, 2, "half")
        if context.attempt == 1:
            raise ValueError
        context.progress(2)
        return value

    async with in_memory() as app:
        handle = await app.start(chain(work)(1))
        seen: list[Any] = []
        watching = watched(handle, seen)
        await tally.reach(1)
        await turns(5)
        tally.open()
        await handle.result()
        await watching
    run = handle.id
    notices = [each for each in seen if not isinstance(each, Recorded)]
    [began] = [each for each in notices if isinstance(each, StepBegan)]
    assert notices == [
        StepProgressed(run, "work", 1, 1, 2, "half"),
        StepBegan(run, "work", 2, began.at),
        StepProgressed(run, "work", 2, 1, 2, "half"),
        StepProgressed(run, "work", 2, 2, None, ""),
    ]
    names = [type(getattr(each, "event", each)).__name__ for each in seen]
    assert names == [
        "RunStarted",
        "StepScheduled",
        "StepProgressed",
        "StepFailed",
        "StepScheduled",
        "StepBegan",
        "StepProgressed",
        "StepProgressed",
        "StepCompleted",
        "RunCompleted",
    ]


async def test_a_sync_step_tells_its_progress_from_its_thread() -> None:
    go, loop = threading.Event(), asyncio.get_running_loop()

    @step
    def work(value: int) -> int:
        go.wait(10)
        for done in range(3):
            current().progress(done, 3)
        return value

    loop.set_debug(True)  # which refuses what other threads may not do
    try:
        async with in_memory() as app:
            handle = await app.start(chain(work)(1))
            seen: list[Any] = []
            watching = watched(handle, seen)
            await turns(5)
            go.set()
            assert await handle.result() == 1
            await watching
    finally:
        loop.set_debug(False)
    names = [type(getattr(each, "event", each)).__name__ for each in seen]
    assert names == ["RunStarted", "StepScheduled", *["StepProgressed"] * 3, "StepCompleted", "RunCompleted"]


async def test_progress_is_free_when_nobody_watches_and_outside_a_run() -> None:
    @step
    async def work(value: int) -> int:
        current().progress(value)
        return value

    assert await work(1) == 1
    async with in_memory() as app:
        assert await app.run(chain(work)(2)) == 2
