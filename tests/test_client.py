"""Handles: results, outcomes, checkpoints, whatever the run did and wherever it is driven."""

import asyncio
from typing import Any

import pytest

from ripresa import App, Outcome, RunCancelled, RunFailed, RunNotFound, chain, step
from ripresa.errors import IllegalTransition
from tests.runtime.stage import Tally, in_memory


@step
async def add(value: int) -> int:
    return value + 1


@step
async def fail(value: int) -> int:
    raise ValueError("no")


async def test_an_outcome_says_how_it_was_and_never_raises() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        assert await (await app.start(chain(add)(1))).outcome() == Outcome("completed", 2)
        failed = await (await app.start(chain(fail)(1))).outcome()
        assert (failed.status, failed.value) == ("failed", None)
        assert isinstance(failed.error, RunFailed)
        handle = await app.start(chain(wait)(1))
        await tally.reach(1)
        await handle.cancel("why not")
        cancelled = await handle.outcome()
        assert cancelled.status == "cancelled"
        assert isinstance(cancelled.error, RunCancelled)
        assert cancelled.error.reason == "why not"


async def test_of_a_run_that_was_removed_nobody_is_asked_anything() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(add)(1), id="run")
        await handle.result()
        assert await handle.approvals() == []
        await app.select().prune()
        with pytest.raises(RunNotFound):
            await handle.approvals()


async def test_a_failed_run_names_step_attempt_and_cause() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(add).then(fail)(1), id="run")
        with pytest.raises(RunFailed) as caught:
            await handle.result()
    error = caught.value
    assert "run 'run' failed in step 'fail', attempt 1: ValueError: no" in str(error)
    assert error.hint == "mend the cause, then: ripresa resume run"
    assert (error.failure.path, error.failure.attempt, error.failure.code) == ("fail", 1, "step_failed")
    assert isinstance(error.__cause__, ValueError)
    assert "raise ValueError" in error.failure.traceback
    assert "/ripresa/runtime/" not in error.failure.traceback


async def test_results_are_decoded_by_their_type_anew_for_each_who_asks() -> None:
    from dataclasses import dataclass

    @dataclass
    class Page:
        words: list[str]

    @step
    async def make(word: str) -> Page:
        return Page([word])

    flow = chain(make)
    async with in_memory() as app:
        handle = await app.start(flow("a"), id="run")
        first, second = await handle.result(), await handle.result()
        assert first == second == Page(["a"])
        assert first is not second
        assert await (await app.handle("run")).result() == {"words": ["a"]}
        assert await (await app.handle("run", flow)).result() == Page(["a"])


async def test_checkpoints_can_be_named_listed_looked_at_and_compared() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        handle = await app.start(chain(add).then(wait)(1))
        await tally.reach(1)
        await handle.checkpoint("before the end", by="me")
        tally.open()
        await handle.result()
        found = await handle.checkpoints()
        assert [(item.name, item.named) for item in found] == [
            ("add", False),
            ("before the end", True),
            ("wait", False),
        ]
        assert (await handle.at(found[0].seq)).completed == 1
        assert (await handle.at(found[2].seq)).completed == 2
        assert await handle.diff(found[0].seq, found[2].seq)
        assert found[0].at.tzinfo is not None
        with pytest.raises(IllegalTransition):
            await handle.checkpoint("too late")


async def test_waiting_for_a_run_that_ended_long_ago_is_no_wait() -> None:
    async with in_memory() as app:
        await app.run(chain(add)(1), id="run")
        handle = await app.handle("run", chain(add))
        async with asyncio.timeout(1):
            assert await handle.result() == 2
            assert [item async for item in handle.events()]


async def test_any_number_may_wait_for_the_same_run() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> list[int]:
        await tally.visit()
        return [value]

    async with in_memory() as app:
        handle = await app.start(chain(wait)(1))
        waiting: list[Any] = [asyncio.create_task(handle.result()) for _ in range(20)]
        await tally.reach(1)
        waiting[0].cancel()
        tally.open()
        found = await asyncio.gather(*waiting[1:])
    assert found == [[1]] * 19
    assert len({id(item) for item in found}) == 19


async def test_an_app_is_only_one_of_many_that_a_process_may_have() -> None:
    async with App("memory:") as one, App("memory:") as other:
        assert await one.run(chain(add)(1), id="run") == 2
        assert await other.run(chain(add)(5), id="run") == 6


async def test_the_events_of_branches_come_by_branch_with_one_summary() -> None:
    from ripresa import map_each

    async with App("memory:") as app:
        plus_one: Any = lambda number: number + 1  # noqa: E731 - the branches are named after it
        handle = await app.start(chain(map_each(plus_one))([1, 2]))
        await handle.result()
        found = (await handle.fan_outs())["map_each"]
        assert list(found.branches) == ["lambda[0]", "lambda[1]"]
        assert found.summary is not None
        assert (found.summary.completed, found.summary.failed) == (2, 0)
