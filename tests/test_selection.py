"""Many runs at once: every run answers for itself, and the report says which did not."""

import asyncio

from ripresa import App, Refusal, Report, Selection, chain, step
from ripresa.stores.memory import Memory
from tests.runtime.stage import Tally, in_memory

tally = Tally()
broken = {2}


@step
async def visit(number: int) -> int:
    await tally.visit()
    return number


@step
async def check(number: int) -> int:
    if number in broken:
        raise ValueError(number)
    return number


VISIT, CHECK = chain(visit, name="visit"), chain(check, name="check")


async def started(app: App, count: int) -> list[str]:
    """Runs that wait in their step, oldest first."""
    global tally
    tally = Tally()
    handles = [await app.start(VISIT(n), tags=["odd"] if n % 2 else []) for n in range(count)]
    await tally.reach(count)
    return [handle.id for handle in handles]


async def test_what_is_selected_can_be_gone_through_and_counted() -> None:
    async with in_memory() as app:
        ids = await started(app, 4)
        odd = app.select(tag="odd")
        assert [head.id async for head in odd] == [ids[3], ids[1]]
        assert await odd.count() == 2
        assert await app.select(status="completed").count() == 0


async def test_a_selection_reads_nothing_before_it_is_asked_and_then_what_is_there() -> None:
    async with in_memory() as app:
        done = app.select(workflow="check", status="completed")
        assert type(done) is Selection
        assert await done.count() == 0
        await app.run(CHECK(1))
        assert await done.count() == 1
        assert (await done.cancel()).done == ()


async def test_more_than_a_page_is_asked_and_each_once() -> None:
    async with in_memory() as app:
        ids = await started(app, 450)
        report = await app.select(workflow="visit").cancel("enough", by="ops")
        assert sorted(report.done) == sorted(ids)
        assert report.refused == ()
        outcomes = await asyncio.gather(*[(await app.handle(id)).outcome() for id in ids])
        assert {outcome.status for outcome in outcomes} == {"cancelled"}


async def test_runs_are_paused_let_go_on_and_terminated() -> None:
    async with in_memory() as app:
        ids = await started(app, 3)
        assert sorted((await app.select().pause()).done) == sorted(ids)
        assert await app.select(status="paused").count() == 3
        assert sorted((await app.select(status="paused").resume()).done) == sorted(ids)
        assert await app.select(status="running").count() == 3
        assert sorted((await app.select(tag="odd").terminate("now")).done) == [ids[1]]
        tally.open()


async def test_a_run_that_refuses_keeps_no_other_from_it() -> None:
    async with in_memory() as app:
        ids = await started(app, 2)
        await (await app.handle(ids[0])).terminate()
        report = await app.select(status=["terminated", "running"]).cancel()
        assert report.done == (ids[1],)
        assert [(refusal.run, refusal.code) for refusal in report.refused] == [(ids[0], "illegal_transition")]
        assert Report() == Report((), ()) != report
        assert isinstance(report.refused[0], Refusal)


async def test_failed_runs_are_retried_together() -> None:
    async with in_memory(workflows=[CHECK]) as app:
        handles = [await app.start(CHECK(n)) for n in range(4)]
        for handle in handles:
            await handle.outcome()
        broken.clear()
        report = await app.select(workflow="check").retry()
        assert report.done == (handles[2].id,)
        assert await handles[2].result() == 2
    broken.add(2)


async def test_abandoned_runs_are_taken_up_and_those_that_are_driven_left_alone() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        left = await started(app, 2)
    async with in_memory(memory, workflows=[VISIT]) as app:
        driven = await app.start(VISIT(9))
        report = await app.select().resume()
        assert sorted(report.done) == sorted([*left, driven.id])
        tally.open()
        assert [await (await app.handle(id)).result() for id in left] == [0, 1]
