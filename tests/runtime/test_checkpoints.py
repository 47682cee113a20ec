"""Checkpoints are places in the journal: they are listed, named, looked at and compared, and cost nothing to keep."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, Context, RunView, chain, map_each, step, workflow
from ripresa.client import Checkpoint
from ripresa.core.changes import Change
from ripresa.core.events import CheckpointNamed, StepFailed
from ripresa.core.view import view_of
from ripresa.errors import IllegalTransition, RipresaError, RunNotFound
from ripresa.stores.memory import Memory
from ripresa.testing.clock import START
from tests.runtime.stage import Tally, all_of, in_memory, on_clock

BEGAN = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=START)


@step
async def add(value: int) -> int:
    return value + 1


@step
async def numbers(count: int) -> list[int]:
    return list(range(count))


def waiting(tally: Tally) -> Any:
    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    return wait


async def test_there_is_a_checkpoint_after_each_step_and_where_somebody_named_one() -> None:
    tally = Tally()
    async with on_clock() as (app, clock):
        handle = await app.start(chain(add).then(waiting(tally)).then(add)(1))
        await tally.reach(1)
        assert await handle.checkpoints() == [Checkpoint(3, BEGAN, "add")]
        clock.advance(60)
        await handle.checkpoint("half", by="me")
        clock.advance(60)
        tally.open()
        assert await handle.result() == 3
        minute = timedelta(minutes=1)
        assert await handle.checkpoints() == [
            Checkpoint(3, BEGAN, "add"),
            Checkpoint(5, BEGAN + minute, "half", named=True),
            Checkpoint(6, BEGAN + 2 * minute, "wait"),
            Checkpoint(8, BEGAN + 2 * minute, "add#2"),
        ]
        events = await all_of(handle)
        assert events[4].event == CheckpointNamed(START + 60_000_000, "half", "me")


async def test_a_checkpoint_is_named_in_a_paused_run_and_by_one_name_as_often_as_one_likes() -> None:
    tally = Tally()
    async with in_memory() as app:
        handle = await app.start(chain(waiting(tally))(1))
        await tally.reach(1)
        await handle.pause()
        for _ in range(2):
            await handle.checkpoint("here")
        named = [(found.seq, found.name) for found in await handle.checkpoints()]
        assert named == [(5, "here"), (6, "here")]
        assert (await handle.status()).status == "paused"


async def test_a_run_can_be_looked_at_after_every_event_of_its_journal() -> None:
    @workflow
    async def both(ctx: Context, count: int) -> int:
        found = await chain(numbers).then(map_each(add))(count)
        return await add(len(found))

    async with in_memory() as app:
        handle = await app.start(both(3))
        assert await handle.result() == 4
        journal = await all_of(handle)
        views = [await handle.at(seq) for seq in range(len(journal) + 1)]
        assert views == [view_of(journal[:seq]) for seq in range(len(journal) + 1)]
        assert views[0] == RunView()
        assert views[-1] == await handle.status() == await handle.at(10_000)
        for checkpoint in await handle.checkpoints():
            assert views[checkpoint.seq].steps[checkpoint.name].status == "completed"
            assert checkpoint.name not in [each.path for each in views[checkpoint.seq].current]


async def test_two_places_are_compared_in_either_direction() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(add).then(add)(1))
        await handle.result()
        first, second = await handle.checkpoints()
        assert await handle.diff(first.seq, second.seq) == [
            Change("completed", 1, 2),
            Change("add#2", None, ("completed", 1, b"3")),
        ]
        assert await handle.diff(second.seq, first.seq) == [
            Change("completed", 2, 1),
            Change("add#2", ("completed", 1, b"3"), None),
        ]
        assert await handle.diff(first.seq, first.seq) == []
        assert [change.what for change in await handle.diff(0, second.seq)] == [
            "status",
            "completed",
            "expected",
            "add",
            "add#2",
        ]


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "terminated"])
async def test_a_run_that_has_ended_gets_no_new_checkpoint(how: str) -> None:
    tally = Tally()

    @step
    async def act(value: int) -> int:
        if how == "failed":
            raise ValueError
        if how != "completed":
            await tally.visit()
        return value

    async with in_memory() as app:
        handle = await app.start(chain(act)(1))
        if how in ("cancelled", "terminated"):
            await tally.reach(1)
            await (handle.cancel() if how == "cancelled" else handle.terminate())
        assert (await handle.outcome()).status == how
        before = await all_of(handle)
        with pytest.raises(IllegalTransition) as caught:
            await handle.checkpoint("too late")
        assert caught.value.run == handle.id
        assert await all_of(handle) == before


async def test_checkpoints_outlive_the_process_in_the_database(tmp_path: Path) -> None:
    url, tally = f"sqlite:{tmp_path / 'runs.db'}", Tally()
    flow = chain(add).then(waiting(tally))
    async with App(url, durability="normal", patience=0.05) as app:
        handle = await app.start(flow(1), id="run")
        await tally.reach(1)
        await handle.checkpoint("before the end", by="me")
        before = await handle.checkpoints()
        view = await handle.at(before[-1].seq)
        assert [(found.name, found.named) for found in before] == [("add", False), ("before the end", True)]
    tally.open()
    async with App(url, durability="normal", workflows=[flow]) as app:
        left = await app.handle("run", flow)
        assert await left.checkpoints() == before
        assert await left.at(before[-1].seq) == view
        resumed = await app.resume("run")
        assert await resumed.result() == 2
        after = await resumed.checkpoints()
        assert after[:2] == before
        assert [found.name for found in after] == ["add", "before the end", "wait"]
        assert Change("wait", ("scheduled", 1, None), ("completed", 2, b"2")) in await resumed.diff(
            before[-1].seq, after[-1].seq
        )


async def test_a_run_of_another_process_is_given_a_checkpoint_by_its_owner(tmp_path: Path) -> None:
    url, tally = f"sqlite:{tmp_path / 'runs.db'}", Tally()
    options: dict[str, Any] = {"durability": "normal", "patience": 0.05}
    async with App(url, **options) as owner, App(url, **options) as other:
        handle = await owner.start(chain(waiting(tally))(1), id="run")
        await tally.reach(1)
        async with asyncio.timeout(10):
            await (await other.handle("run")).checkpoint("seen from afar", by="other")
            async for item in handle.events():
                if isinstance(item.event, CheckpointNamed):
                    break
        assert (item.event.name, item.event.by) == ("seen from afar", "other")  # type: ignore[union-attr]
        tally.open()
        assert await handle.result() == 1


async def test_a_failed_attempt_is_no_checkpoint() -> None:
    memory, fail = Memory(), True

    @step
    async def flaky(value: int) -> int:
        if fail:
            raise ValueError
        return value

    async with in_memory(memory) as app:
        handle = await app.start(chain(add).then(flaky)(1))
        assert (await handle.outcome()).status == "failed"
        assert [found.name for found in await handle.checkpoints()] == ["add"]
        fail = False
        await handle.resume()
        assert await handle.result() == 2
        assert [found.name for found in await handle.checkpoints()] == ["add", "flaky"]
        failed = next(item.seq for item in await all_of(handle) if isinstance(item.event, StepFailed))
        assert (await handle.at(failed)).steps["flaky"].status == "failed"


async def test_a_run_that_is_not_there_has_no_places() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(add)(1))
        await handle.result()
        handle.id = "nobody"
        for ask in (handle.checkpoints(), handle.at(1), handle.diff(1, 2), handle.checkpoint("here")):
            with pytest.raises(RunNotFound):
                await ask


async def test_places_are_compared_by_name_too() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(add).then(add)(1))
        await handle.result()
        assert await handle.diff("add", "add#2") == await handle.diff(3, 5)
        wrong: Any = 1.5
        for nowhere in ("nowhere", wrong):
            with pytest.raises(RipresaError) as caught:
                await handle.diff("add", nowhere)
            assert caught.value.code == "no_such_place"


async def test_a_checkpoint_stands_for_its_place() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(add).then(add)(1))
        await handle.result()
        first, second = await handle.checkpoints()
        assert await handle.diff(first, second) == await handle.diff(first.seq, second.seq) != []
        assert await handle.at(first) == await handle.at(first.seq)
        twin = await handle.fork(first, set={"add": 7})
        assert await twin.result() == 8
        await handle.rollback(first)
        assert await handle.result() == 3
        assert (await handle.undo(second)).undone == ()
