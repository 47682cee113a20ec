"""Hundreds of runs of every pattern on one store, some cancelled, paused or sent signals: each ends as if alone."""

import asyncio
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ripresa import App, Handle, chain, current, map_each, step
from ripresa.core.events import StepCompleted
from ripresa.errors import IllegalTransition
from ripresa.stores.sqlite import SQLiteStore
from tests.concurrency.yard import LONG, Yard, check_journal, check_nothing_left, word
from tests.runtime.stage import Tally, turns

RUNS = 240


async def disturb(handle: Handle[Any], name: str, chance: Random) -> str:
    """Do one thing to a run, or nothing; how it then ends if that came in time."""
    await turns(chance.randrange(60))
    what = chance.choice(["", "", "", "pause", "pause", "cancel", "terminate"])
    with suppress(IllegalTransition):
        match what:
            case "pause":
                await handle.pause()
                await turns(chance.randrange(40))
                await handle.resume()
            case "cancel" | "terminate":
                await getattr(handle, what)("stress")
            case _:
                pass
    if name == "talk" and what not in ("cancel", "terminate"):
        for number in chance.sample(range(LONG), LONG):
            await handle.send(word, number, id=str(number))
            await turns(chance.randrange(10))
    return {"cancel": "cancelled", "terminate": "terminated"}.get(what, "completed")


@pytest.mark.parametrize("seed", [1, 2])
async def test_hundreds_of_runs_on_one_store_end_as_each_does_alone(seed: int, tmp_path: Path) -> None:
    yard, chance = Yard(seed), Random(seed)
    flows = yard.flows()
    wait = {"talk": list(range(1, LONG + 1))}
    async with App(SQLiteStore(tmp_path / "runs.db", "normal"), max_concurrency=40, linger=None) as app:
        tasks = asyncio.all_tasks()
        names = [chance.choice(list(flows)) for _ in range(RUNS)]
        handles = await asyncio.gather(*(app.start(flows[name][0](1)) for name in names))
        meant = await asyncio.gather(
            *(disturb(handle, name, chance) for handle, name in zip(handles, names, strict=True))
        )
        outcomes = await asyncio.gather(*(handle.outcome() for handle in handles))
        await check_nothing_left(app, tasks)
        assert not +yard.inside
        assert yard.most["add"] <= 2  # of its pool
        assert yard.most["flaky"] <= 2
        for handle, name, status, outcome in zip(handles, names, meant, outcomes, strict=True):
            assert outcome.status in (status, "completed"), name
            if outcome.status == "completed":
                value: Any = sorted(outcome.value or ()) if name == "talk" else outcome.value
                assert value == wait.get(name, flows[name][1]), name
            check_journal(await app.engine.history(handle.id), outcome.status)
        assert {outcome.status for outcome in outcomes} == {"completed", "cancelled", "terminated"}


async def test_a_thousand_runs_over_sqlite_complete_each_step_once(tmp_path: Path) -> None:
    calls: list[str] = []

    @step
    async def note(value: int) -> int:
        calls.append(current().idempotency_key)
        await asyncio.sleep(0)
        return value + 1

    flow = chain(note).then(note).then(note)
    async with App(SQLiteStore(tmp_path / "runs.db", "normal"), max_concurrency=50) as app:
        found = await asyncio.gather(*(app.run(flow(number), id=f"r{number}") for number in range(1000)))
        assert found == [number + 3 for number in range(1000)]
        assert len(calls) == len(set(calls)) == 3000
        for number in (0, 499, 999):
            events = [item.event for item in await app.engine.history(f"r{number}")]
            assert len([event for event in events if isinstance(event, StepCompleted)]) == 3


async def test_sync_steps_in_threads_beside_async_ones_are_each_done_once() -> None:
    tally, seen = Tally(open=True), list[int]()

    @step
    def in_a_thread(value: int) -> int:
        seen.append(value)
        return value

    @step
    async def in_the_loop(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(map_each(chain(in_a_thread).then(in_the_loop).then(in_a_thread.with_(name="again"))))
    async with App("memory:", threads=3, max_concurrency=7) as app:
        runs = [app.run(flow(list(range(20)))) for _ in range(10)]
        assert await asyncio.gather(*runs) == [list(range(20))] * 10
    assert sorted(seen) == sorted(list(range(20)) * 20)
    assert tally.most <= 7


async def test_the_same_id_started_by_many_at_once_is_one_run(tmp_path: Path) -> None:
    tally = Tally(open=True)

    @step
    async def visit(value: int) -> int:
        await tally.visit()
        return value + 1

    store = SQLiteStore(tmp_path / "runs.db", "normal")
    async with App(store) as app:
        assert await asyncio.gather(*(app.run(chain(visit)(1), id="one") for _ in range(100))) == [2] * 100
        assert tally.entered == 1
        assert len((await app.runs()).runs) == 1
