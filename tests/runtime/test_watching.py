"""Events, status and progress: gapless and in order for every reader, and never in the way of the run."""

import asyncio
from typing import Any, NoReturn

import pytest

from ripresa import Context, Handle, RunFailed, chain, current, map_each, parallel, step, workflow
from ripresa.core.events import RunCompleted
from ripresa.errors import RipresaError
from ripresa.runtime.feed import Feed, StepBegan, StepProgressed, Watcher
from tests.runtime.stage import Tally, all_of, in_memory, kinds, turns


@step
async def add(value: int) -> int:
    return value + 1


@step
async def numbers(count: int) -> list[int]:
    return list(range(count))


MANY = chain(numbers).then(map_each(add))


async def test_ten_thousand_events_reach_a_slow_reader_gapless_and_in_order() -> None:
    async with in_memory() as app:
        handle = await app.start(MANY(5000))
        seen: list[int] = []
        async for item in handle.events():
            seen.append(item.seq)
            if len(seen) % 50 == 0:
                await asyncio.sleep(0)
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) > 10_000
        assert (await handle.status()).seq == len(seen)


async def test_a_reader_that_never_reads_neither_blocks_the_run_nor_holds_its_events() -> None:
    async with in_memory() as app:
        handle = await app.start(MANY(5000))
        stuck = handle.events()
        first = await anext(stuck)
        result = await handle.result()
        assert len(result) == 5000
        [watcher] = app.engine.feed._watchers[handle.id]
        assert len(watcher._buffer) <= 2 * Watcher.SIZE
        rest = [item.seq async for item in stuck]
        assert [first.seq, *rest] == list(range(1, len(rest) + 2))
        assert not app.engine.feed.watched(handle.id)


async def test_events_are_the_same_live_and_from_the_journal_for_any_number_of_readers() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        handle = await app.start(chain(wait).then(parallel(add, wait))(1))
        await tally.reach(1)
        readers = [asyncio.create_task(all_of(handle)) for _ in range(5)]
        await turns(3)
        tally.open()
        found = [await reader for reader in readers]
        journal = await app.engine.history(handle.id)
        assert found == [journal] * 5
        assert await all_of(handle) == journal
        assert [item async for item in handle.events(after=3)] == journal[3:]
        assert [item async for item in handle.events(after=10_000)] == []


async def test_a_reader_that_leaves_is_forgotten_at_once() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        handle = await app.start(chain(wait)(1))
        events = handle.events()
        await anext(events)
        assert app.engine.feed.watched(handle.id)
        await events.aclose()
        assert not app.engine.feed.watched(handle.id)
        tally.open()
        await handle.result()


async def test_a_reader_follows_a_run_that_fails_and_is_resumed_while_it_dawdles() -> None:
    fail = True

    @step
    async def flaky(value: int) -> int:
        if fail:
            raise ValueError
        return value

    async with in_memory() as app:
        handle = await app.start(chain(flaky)(1))
        events = handle.events()
        seen = [await anext(events)]
        with pytest.raises(RunFailed):
            await handle.result()
        fail = False
        await handle.resume()
        async with asyncio.timeout(5):
            seen += [item async for item in events]
        assert isinstance(seen[-1].event, RunCompleted)
        assert [item.seq for item in seen] == list(range(1, len(seen) + 1))


async def test_a_run_is_not_done_before_the_flows_that_its_function_calls() -> None:
    tally = Tally()

    @step
    async def wait(number: int) -> int:
        await tally.visit()
        return number

    @workflow
    async def function(ctx: Context, number: int) -> int:
        return await chain(add).then(wait).then(add)(number)

    async with in_memory() as app:
        handle = await app.start(function(1))
        await tally.reach(1)
        status = await handle.status()
        assert (status.completed, status.total, status.percent) == (1, 3, 33.3)
        tally.open()
        await handle.result()


async def test_percentage_and_current_steps_are_known_while_it_runs() -> None:
    tallies = [Tally(), Tally()]

    @step
    async def wait(number: int) -> int:
        await tallies[number].visit()
        return number + 1

    @step
    async def again(value: Any) -> list[int]:
        return [0, 0, 0]

    async with in_memory() as app:
        handle = await app.start(chain(wait).then(wait).then(again).then(map_each(add))(0))
        await tallies[0].reach(1)
        status = await handle.status()
        assert (status.percent, [each.path for each in status.current], status.total) == (0.0, ["wait"], 3)
        tallies[0].open()
        await tallies[1].reach(1)
        status = await handle.status()
        assert status.percent == 33.3
        assert [each.path for each in status.current] == ["wait#2"]
        assert not status.ended
        tallies[1].open()
        await handle.result()
        status = await handle.status()
        assert (status.percent, status.current, status.total, status.ended) == (100.0, [], 6, True)


async def test_progress_follows_a_run_to_its_end_and_never_falls() -> None:
    async with in_memory() as app:
        handle = await app.start(MANY(3))
        seen = [(view.seq, view.percent, [each.path for each in view.current]) async for view in handle.progress()]
    assert [seq for seq, _, _ in seen] == list(range(1, len(seen) + 1))
    percents = [percent for _, percent, _ in seen]
    assert (percents == sorted(percents), percents[0], percents[-1]) == (True, 0.0, 100.0)
    assert ["numbers"] in [paths for _, _, paths in seen]
    assert seen[-1][2] == []


async def test_notices_come_between_events_to_watchers_only() -> None:
    @step
    async def work(value: int) -> int:
        current().progress(value, 10)
        return value

    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        handle = await app.start(chain(wait).then(work)(1))
        items: list[Any] = []

        async def watch() -> None:
            items.extend([item async for item in handle.watch()])

        watching = asyncio.create_task(watch())
        await turns(5)
        tally.open()
        await watching
    names = [type(getattr(item, "event", item)).__name__ for item in items]
    assert names.index("StepBegan") < names.index("StepProgressed") < names.index("RunCompleted")
    assert items[names.index("StepProgressed")] == StepProgressed(handle.id, "work", 1, 1, 10, "")


class Unreachable:
    """The links of a handle that needs none."""

    async def take(self, *, again: bool = False) -> NoReturn:
        raise AssertionError

    async def code(self) -> NoReturn:
        raise AssertionError

    def other(self, run: str) -> NoReturn:
        raise AssertionError(run)


async def test_asking_for_events_of_a_run_that_is_not_there_is_an_error() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(add)(1))
        await handle.result()
        for ask in (app.handle("nobody"), app.resume("nobody")):
            with pytest.raises(RipresaError) as caught:
                await ask
            assert caught.value.code == "run_not_found"
        ghost = Handle[Any](app.engine, "ghost", Any, Unreachable())
        asked: tuple[Any, ...] = ghost.status(), ghost.cancel(), ghost.resume(), anext(ghost.events(after=5))
        for each in (*asked, ghost.result()):
            with pytest.raises(RipresaError) as caught:
                await each
            assert caught.value.code == "run_not_found"


async def test_a_listener_hears_of_everything_and_may_raise_and_leave(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Any] = []

    def listen(item: Any) -> None:
        heard.append(item)
        raise ValueError("deaf")

    async with in_memory() as app:
        stop = app.engine.feed.listen(listen)
        handle = await app.start(chain(add)(1))
        await handle.result()
        assert heard
        assert "a listener raised" in caplog.text
        stop()
        stop()
        count = len(heard)
        await app.run(chain(add)(1))
        assert len(heard) == count


def test_a_feed_forgets_watchers_once() -> None:
    feed = Feed()

    async def check() -> None:
        watcher = feed.watch("r")
        feed.leave("r", watcher)
        feed.leave("r", watcher)
        assert not feed.watched("r")
        feed.notify(StepBegan("r", "a", 1, 0))
        feed.end("r")
        feed.begin("r")

    asyncio.run(check())


async def test_a_watcher_that_missed_something_says_so_by_ending_its_stream() -> None:
    async with in_memory() as app:
        handle = await app.start(MANY(10))
        await handle.result()
        journal = await app.engine.history(handle.id)
    for missing in (journal[:1], []):
        watcher = Watcher()
        watcher.put([*missing, *journal[2:]])
        assert [item.seq async for item in watcher.live(0)] == [item.seq for item in missing]  # type: ignore[union-attr]
    old = Watcher()
    old.put(journal[:3])
    old.end()
    assert [item async for item in old.live(2)] == []
    full = Watcher()
    full.SIZE = 2
    full.put(journal)
    full.put(journal)
    assert [item async for item in full.live(0)] == []
    assert not full.behind
    assert kinds([item.event for item in journal])[-1] == "RunCompleted"
