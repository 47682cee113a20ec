"""The life of a run from outside: what may be asked of it when, and that it says how it stands."""

import asyncio
from typing import Any

import pytest

from ripresa import chain, current, delay, step
from ripresa.core.events import CheckpointNamed
from ripresa.errors import IllegalTransition, RunCancelled, RunError, RunFailed
from ripresa.stores.memory import Memory
from tests.runtime.stage import Failing, Slow, Tally, in_memory, journal_of, kinds, on_clock, turns


def waiting(tally: Tally) -> Any:
    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value + 1

    return wait


async def test_a_paused_run_starts_nothing_new_and_goes_on_when_it_is_let() -> None:
    tally = Tally()
    wait = waiting(tally)
    async with in_memory() as app:
        handle = await app.start(chain(wait).then(wait)(1))
        await tally.reach(1)
        await handle.pause("lunch", by="me")
        assert (await handle.status()).status == "paused"
        tally.open()
        await turns(20)
        assert tally.entered == 1
        assert [each.name for each in (await handle.status()).current] == []
        await handle.resume(by="me")
        assert await handle.result() == 3
        found = kinds(await journal_of(handle))
    assert found.index("RunPausing") < found.index("RunContinued") < found.index("RunCompleted")


async def test_a_timer_that_fires_during_a_pause_is_kept_for_later() -> None:
    tally = Tally(open=True)
    async with on_clock() as (app, clock):
        flow: Any = chain(delay(10)).then(waiting(tally))
        handle = await app.start(flow(1))
        while not clock.waiting():
            await turns(1)
        await handle.pause()
        clock.advance(10)
        await turns(20)
        assert tally.entered == 0
        await handle.resume()
        assert await handle.result() == 2


async def test_a_paused_run_can_be_cancelled() -> None:
    tally = Tally()
    async with in_memory() as app:
        handle = await app.start(chain(waiting(tally)).then(waiting(tally))(1))
        await tally.reach(1)
        await handle.pause()
        tally.open()
        await turns(10)
        await handle.cancel("no more")
        with pytest.raises(RunCancelled, match="no more"):
            await handle.result()
    assert tally.entered == 1


@pytest.mark.parametrize("slow", [False, True])
async def test_what_a_status_forbids_is_an_error_and_changes_nothing(slow: bool) -> None:
    tally = Tally()
    async with in_memory() as app:
        if slow:
            app.engine.store = Slow(app.engine.store)
        handle = await app.start(chain(waiting(tally))(1))
        await tally.reach(1)
        await handle.pause()
        with pytest.raises(IllegalTransition):
            await handle.pause()
        await handle.cancel()
        for refused in (handle.pause, handle.cancel, handle.terminate, handle.resume):
            await handle.outcome()
            with pytest.raises((IllegalTransition, RunError)):
                await refused()
        assert (await handle.status()).status == "cancelled"
        assert kinds(await journal_of(handle)).count("PauseRequested") == 1


async def test_nothing_can_be_asked_of_a_failed_run_but_to_go_on() -> None:
    @step
    async def fail(value: int) -> int:
        raise ValueError(f"attempt {current().attempt}")

    async with in_memory() as app:
        handle = await app.start(chain(fail)(1))
        with pytest.raises(RunFailed):
            await handle.result()
        for refused in (handle.pause, handle.cancel, handle.terminate):
            with pytest.raises(IllegalTransition, match="failed"):
                await refused()
        await handle.resume()
        with pytest.raises(RunFailed, match="attempt 2"):
            await handle.result()


async def test_a_request_that_arrives_as_the_run_ends_is_refused() -> None:
    tally = Tally()
    async with in_memory() as app:
        app.engine.store = Slow(app.engine.store)
        handle = await app.start(chain(waiting(tally))(1))
        await tally.reach(1)
        tally.open()
        refused = 0
        for _ in range(30):
            await turns(1)
            try:
                await handle.pause()
                await handle.resume()
            except IllegalTransition:
                refused += 1
        assert refused
        assert await handle.result() == 2


async def test_closing_the_app_refuses_what_waits_and_leaves_the_run_to_be_resumed() -> None:
    tally = Tally()
    app = in_memory()
    await app.open()
    store = app.store
    handle = await app.start(chain(waiting(tally))(1))
    await tally.reach(1)
    driver = app.engine.drivers[handle.id]
    waiter = asyncio.create_task(handle.result())
    await turns(1)
    await app.close()
    outcome = (await asyncio.gather(waiter, return_exceptions=True))[0]
    assert isinstance(outcome, Exception)
    assert driver.ended.done()
    assert store.memory.runs[handle.id].head.status == "running"  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="not driven here"):
        await driver.durable(CheckpointNamed(0, "late"))


async def test_an_interrupted_attempt_does_not_count_against_its_step() -> None:
    attempts: list[int] = []
    tally, memory = Tally(), Memory()

    @step
    async def wait(value: int) -> int:
        attempts.append(current().attempt)
        await tally.visit()
        return value

    flow = chain(wait)
    async with in_memory(memory) as app:
        await app.start(flow(1), id="run")
        await tally.reach(1)
    for number in range(2, 9):
        async with in_memory(memory) as app:
            await app.resume("run", flow)
            await tally.reach(number)
    async with in_memory(memory) as app:
        handle = await app.resume("run", flow)
        tally.open()
        assert await handle.result() == 1
    assert attempts == list(range(1, 10))


async def test_an_irreversible_step_under_way_when_the_app_closes_is_not_repeated() -> None:
    tally, memory = Tally(), Memory()

    @step(effect="irreversible", retry=5)
    async def pay(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(pay)
    async with in_memory(memory) as app:
        await app.start(flow(1), id="run")
        await tally.reach(1)
    async with in_memory(memory) as app:
        handle = await app.resume("run", flow)
        assert (await handle.status()).parked == ["pay"]
        await handle.reconcile("pay", completed=2, by="eva")
        assert await handle.result() == 2
    assert tally.entered == 1


async def test_an_irreversible_step_that_had_not_begun_is_simply_run() -> None:
    memory, ran = Memory(), list[int]()

    @step(effect="irreversible")
    async def pay(value: int) -> int:
        ran.append(current().attempt)
        return value

    flow = chain(pay)
    async with in_memory(memory) as app:
        app.engine.store = Failing(app.engine.store, 2)
        handle = await app.start(flow(1), id="run")
        await handle.outcome()
    async with in_memory(memory) as app:
        handle = await app.resume("run", flow)
        assert await handle.result() == 1
    assert ran == [1]


async def test_an_app_without_runs_closes_and_one_that_is_closed_says_so() -> None:
    app = in_memory()
    async with app:
        await app.open()  # a second time does nothing
    await app.close()
    with pytest.raises(Exception, match="not open"):
        await app.start(chain(waiting(Tally()))(1))
