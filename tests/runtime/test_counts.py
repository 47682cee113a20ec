"""What the engine costs, counted and not timed: transactions, statements, bytes, events."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, Context, Hook, before, chain, map_each, observe, step, workflow
from ripresa.core.values import LARGE
from ripresa.stores.memory import MemoryStore
from ripresa.stores.sqlite import SQLiteStore
from tests.runtime.stage import Counting, all_of, in_memory


@step
async def add(value: int) -> int:
    return value + 1


def serial(length: int) -> Any:
    flow = chain(add)
    for _ in range(length - 1):
        flow = flow.then(add)
    return flow


@workflow
async def function(ctx: Context, length: int) -> int:
    value = 0
    for _ in range(length):
        value = await add(value)
    return value


@pytest.mark.parametrize("kind", ["chain", "function"])
async def test_a_serial_run_makes_one_transaction_and_one_insert_for_each_step(kind: str, tmp_path: Path) -> None:
    steps = 50
    store = SQLiteStore(tmp_path / "runs.db", "normal")
    async with App(store) as app:
        statements: list[str] = []
        await app.run(chain(add)(1))  # what is done once in a store
        call = serial(steps)(0) if kind == "chain" else function(steps)
        before = store.commits
        store._database.writer.set_trace_callback(statements.append)
        assert await app.run(call) == steps
        store._database.writer.set_trace_callback(None)
        commits = store.commits - before
    inserts = [text for text in statements if "INSERT" in text.upper() and "EVENT" in text.upper()]
    assert commits == steps + 1
    assert len(inserts) <= steps + 1
    assert len(statements) <= steps + 12


async def test_a_thousand_runs_share_their_transactions(tmp_path: Path) -> None:
    runs, steps = 1000, 10
    store = SQLiteStore(tmp_path / "runs.db", "normal")
    flow = serial(steps)
    async with App(store) as app:
        before = store.commits
        results = await asyncio.gather(*(app.run(flow(0)) for _ in range(runs)))
        commits = store.commits - before
    assert results == [steps] * runs
    assert commits <= 0.05 * runs * steps


async def written(call: Any) -> list[int]:
    """The bytes of each write of a run, large values included."""
    counting = Counting(MemoryStore())
    async with App(counting) as app:
        await app.run(call)
    return [len(batch.row) + sum(len(data) for _, data in batch.blobs) for batch in counting.batches]


@pytest.mark.parametrize("kind", ["chain", "function"])
async def test_the_bytes_of_a_step_do_not_grow_with_the_number_of_steps(kind: str) -> None:
    few, many = [await written(serial(n)(0) if kind == "chain" else function(n)) for n in (10, 400)]
    assert max(many[1:]) <= max(few[1:]) + 20
    assert len(many) == 401


@pytest.mark.parametrize("size", [1_000, 100_000, 1_000_000])
async def test_the_bytes_of_a_step_do_not_grow_with_what_the_run_holds(size: int) -> None:
    @step
    async def measure(text: str) -> int:
        return len(text)

    @workflow
    async def holding(ctx: Context, text: str) -> int:
        found = await measure(text)
        for _ in range(20):
            found = await add(found)
        return found

    counted = await written(holding("x" * size))
    assert max(counted[1:]) < 300
    copies = 2 if size < LARGE else 1  # as input of the run and of the step; a large one is stored by content
    assert sum(counted) < copies * size + 21 * 300 + 2_000


async def test_a_large_value_is_stored_once_by_its_content() -> None:
    size = 1_000_000

    @step
    async def make(seed: int) -> str:
        return "x" * size

    @step
    async def same(text: str) -> str:
        return text

    @workflow
    async def passing(ctx: Context, seed: int) -> str:
        text = await make(seed)
        found = await ctx.gather(*(same(text) for _ in range(5)))
        return await inner(found[0])

    @workflow
    async def inner(ctx: Context, text: str) -> str:
        return await same(text)

    for flow in (chain(make).then(same).then(same), passing):
        store = MemoryStore()
        async with App(store) as app:
            for seed in (1, 2):
                assert await app.run(flow(seed), id=f"r{seed}") == "x" * size
            assert sum(len(data) > size for data in store.memory.blobs.values()) == 1
            rows = [row for run in ("r1", "r2") for row in await store.read(run)]
            assert sum(len(row.data) for row in rows) < 10_000


async def test_a_map_writes_its_list_once() -> None:
    @step
    async def size(text: str) -> int:
        return len(text)

    items = ["x" * 1_000] * 200
    counted = await written(chain(map_each(size, concurrency=10))(items))
    assert sum(counted) < 1.5 * 200 * 1_000


async def test_no_step_visits_the_events_of_the_others() -> None:
    """Every event is handed to a reader once, and the state keeps what is under way only."""
    async with in_memory() as app:
        for length in (10, 300):
            handle = await app.start(serial(length)(0))
            driver = app.engine.drivers[handle.id]
            most = 0
            async for _ in handle.events():
                most = max(most, len(driver.state.frames))
            assert await handle.result() == length
            assert most <= 2
            assert len(await all_of(handle)) == 2 * length + 2


class Asked(AssertionError):
    """Something was done for hooks."""


@pytest.mark.parametrize("kind", ["chain", "function", "map"])
async def test_where_no_hook_stands_nothing_is_done_for_hooks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ripresa.core import gates, points
    from ripresa.runtime import hooks, questions

    def never(*_: Any) -> Any:
        raise Asked

    for module, name in ((gates, "_stands"), (gates, "_ask"), (points, "matches"), (hooks, "_by_point")):
        monkeypatch.setattr(module, name, never)
    monkeypatch.setattr(hooks.RunHooks, "__init__", never)
    monkeypatch.setattr(questions.Question, "__init__", never)
    calls: Any = {
        "chain": lambda: serial(5)(0),
        "function": lambda: function(5),
        "map": lambda: map_each(add)([1, 2]),
    }
    async with in_memory() as app:
        handle = await app.start(calls[kind]())
        await handle.result()
        assert not [item for item in await all_of(handle) if "Hook" in repr(item.event) or "Point" in repr(item.event)]


@pytest.mark.parametrize(("waits", "more"), [(False, 0), (True, 1)])
async def test_a_hook_that_must_be_awaited_costs_a_transaction_and_another_one_none(waits: bool, more: int) -> None:
    async def later(asked: Any) -> None: ...

    def at_once(asked: Any) -> None: ...

    async def writes(*hooks: Hook) -> int:
        counting = Counting(MemoryStore())
        async with App(counting, hooks=hooks) as app:
            await app.run(serial(20)(0))
        return len(counting.batches)

    bare = await writes()
    assert await writes(before("another")(later), observe("event")(at_once)) == bare
    assert await writes(before(later if waits else at_once)) == bare + more * 20


async def test_events_of_a_run_are_handed_on_only_where_an_observer_stands() -> None:
    for hooks, followed in (((), 0), ((before(lambda _: None),), 0), ((observe("after")(lambda _: None),), 1)):
        async with in_memory(hooks=hooks) as app:
            handle = await app.start(chain(add)(1))
            assert len(app.engine.feed._followers) == followed
            await handle.result()
