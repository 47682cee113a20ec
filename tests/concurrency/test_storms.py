"""Runs are cancelled, terminated, paused and sent signals at any moment: they end legally and leave nothing behind."""

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ripresa import App, Handle, chain, current, map_each, step
from ripresa.core.events import SignalReceived, SignalTaken, StepScheduled
from ripresa.errors import IllegalTransition
from ripresa.stores.memory import MemoryStore
from ripresa.testing.clock import START, ManualClock
from tests.concurrency.yard import LONG, Yard, check_journal, check_live, check_nothing_left, driver_of, word
from tests.runtime.stage import Slow, turns

NAMES = ["chain", "fan-out", "parallel", "function", "saga", "graph", "stream", "router", "storm"]
NEAR = 30
"""So many moments are tried one by one, later ones some turns apart."""

LATER = START + 60_000_000
"""When what was interrupted is due again."""


@asynccontextmanager
async def quiet(*, slow: bool = False, **options: Any) -> AsyncGenerator[App]:
    """An app whose time stands still, so that nothing but the steps brings a run on."""
    store: Any = Slow(MemoryStore()) if slow else MemoryStore()
    async with App(store, clock=ManualClock(), patience=5, linger=None, **options) as app:
        yield app


async def check_left(app: App, yard: Yard, handle: Handle[Any], driver: Any, tasks: set[Any]) -> None:
    """Whatever the run has come to, it is whole and nothing is left of it."""
    outcome = await handle.outcome()
    await check_nothing_left(app, tasks)
    assert not +yard.inside
    assert await app.store.owner(handle.id) is None
    journal = await app.engine.history(handle.id)
    check_journal(journal, outcome.status)
    await check_live(app, driver, journal)
    if outcome.status in ("cancelled", "failed"):
        assert not any(yard.held.values()), "something was not given back"


@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_run_cancelled_at_any_moment_leaves_nothing_behind(name: str, slow: bool) -> None:
    yard = Yard()
    flow, expected = yard.flows()[name]
    async with quiet(slow=slow, max_concurrency=3) as app:
        tasks, moment, statuses = asyncio.all_tasks(), 0, set[str]()
        while "completed" not in statuses:
            yard.begin(moment)
            handle = await app.start(flow(1))
            driver = driver_of(app, handle)
            await turns(moment)
            with suppress(IllegalTransition):  # it has ended
                await handle.cancel("storm")
            await check_left(app, yard, handle, driver, tasks)
            outcome = await handle.outcome()
            statuses.add(outcome.status)
            assert outcome.status == "cancelled" or outcome.value == expected, moment
            moment += 1 if moment < NEAR else 7
        assert statuses == {"cancelled", "completed"}


@pytest.mark.parametrize("name", NAMES)
async def test_a_run_terminated_at_any_moment_leaves_nothing_behind(name: str) -> None:
    yard = Yard()
    flow, _ = yard.flows()[name]
    async with quiet() as app:
        tasks, moment, status = asyncio.all_tasks(), 0, ""
        while status != "completed":
            yard.begin(moment)
            handle = await app.start(flow(1))
            driver = driver_of(app, handle)
            await turns(moment)
            with suppress(IllegalTransition):
                await handle.terminate("storm")
            await check_left(app, yard, handle, driver, tasks)
            status = (await handle.outcome()).status
            assert status in ("terminated", "completed")
            moment += 1 if moment < 10 else 11


@pytest.mark.parametrize("name", NAMES)
async def test_a_run_paused_again_and_again_ends_as_if_nobody_had(name: str) -> None:
    yard = Yard()
    flow, expected = yard.flows()[name]
    async with quiet() as app:
        tasks = asyncio.all_tasks()
        for seed in range(12):
            yard.begin(seed)
            chance = Random(seed)
            handle = await app.start(flow(1))
            driver = driver_of(app, handle)
            for _ in range(200):
                await turns(chance.randrange(5))
                with suppress(IllegalTransition):
                    await handle.pause()
                    await check_paused(handle, driver, chance.randrange(8))
                    await handle.resume()
            await check_left(app, yard, handle, driver, tasks)
            assert (await handle.outcome()).value == expected, seed


async def check_paused(handle: Handle[Any], driver: Any, length: int) -> None:
    """While a run is paused, no attempt is scheduled that was not before."""
    if driver.state.status != "paused":
        return
    seen = (await handle.status()).seq
    await turns(length)
    later = await driver.engine.history(handle.id, seen)
    assert driver.state.status != "paused" or not [one for one in later if isinstance(one.event, StepScheduled)]


async def test_many_runs_cancelled_at_random_moments_leave_nothing_behind() -> None:
    yard = Yard()
    flows = yard.flows()
    async with quiet(slow=True, max_concurrency=8) as app:
        tasks = asyncio.all_tasks()
        for seed in range(3):
            yard.begin(seed)
            chance = Random(seed)
            handles = [await app.start(flows[chance.choice(NAMES)][0](1)) for _ in range(40)]
            for handle in chance.sample(handles, 30):
                await turns(chance.randrange(6))
                with suppress(IllegalTransition):
                    await getattr(handle, chance.choice(["cancel", "cancel", "cancel", "terminate"]))("storm")
            outcomes = [await handle.outcome() for handle in handles]
            await check_nothing_left(app, tasks)
            assert not +yard.inside
            for handle, outcome in zip(handles, outcomes, strict=True):
                check_journal(await app.engine.history(handle.id), outcome.status)
            assert {"cancelled", "completed"} <= {outcome.status for outcome in outcomes}


async def test_an_app_closed_at_any_moment_leaves_runs_that_end_as_if_nothing_had_happened() -> None:
    yard = Yard()
    flows = yard.flows()
    for name in NAMES:
        flow, expected = flows[name]
        for moment in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55):
            yard.begin(moment)
            store = MemoryStore()
            tasks = asyncio.all_tasks()
            async with App(store, clock=ManualClock(), linger=None) as app:
                await app.start(flow(1), id="r")
                await turns(moment)
            await turns(3)
            assert asyncio.all_tasks() <= tasks
            assert not +yard.inside
            async with App(MemoryStore(store.memory), clock=ManualClock(LATER), linger=None) as app:
                handle = await app.handle("r", flow)
                if not (await handle.status()).ended:
                    await handle.resume()
                assert (await handle.outcome()).value == expected, (name, moment)


@pytest.mark.parametrize("seed", range(8))
async def test_signals_that_race_with_cancel_count_once_or_not_at_all(seed: int) -> None:
    yard, chance = Yard(seed), Random(seed)
    flow, _ = yard.flows()["talk"]
    async with quiet(slow=bool(seed % 2)) as app:
        tasks = asyncio.all_tasks()
        for _ in range(10):
            handle = await app.start(flow(1))
            driver = driver_of(app, handle)
            told = await asyncio.gather(*(told_of(handle, number % (LONG + 2), chance) for number in range(2 * LONG)))
            await turns(chance.randrange(30))
            with suppress(IllegalTransition):
                await handle.cancel()
            await check_left(app, yard, handle, driver, tasks)
            events = [item.event for item in await app.engine.history(handle.id)]
            received = [event.id for event in events if isinstance(event, SignalReceived)]
            assert len(set(received)) == len(received)
            assert len([event for event in events if isinstance(event, SignalTaken)]) <= min(LONG, len(received))
            assert told.count(True) >= len(received) or (await handle.outcome()).status == "cancelled"


async def told_of(handle: Handle[Any], number: int, chance: Random) -> bool:
    """Whether this signal was new to the run; several send each."""
    await turns(chance.randrange(20))
    try:
        return await handle.send(word, number, id=str(number))
    except IllegalTransition:  # it has ended
        return False


def live_children() -> set[int]:
    """The processes that this one has started and that have not ended."""
    with subprocess.Popen(["ps", "-o", "pid=", "--ppid", str(os.getpid())], stdout=subprocess.PIPE, text=True) as ps:
        return {int(pid) for pid in ps.communicate()[0].split()} - {ps.pid}


async def test_cancelled_steps_in_child_processes_leave_no_process_and_no_place_taken(tmp_path: Path) -> None:
    nap = step(executor="process")(note_and_sleep)
    flow = chain(map_each(nap))
    before = live_children()
    async with quiet(processes=2, max_concurrency=3) as app:
        tasks = asyncio.all_tasks()
        for moment in (0, 3, 20, -1):
            place = tmp_path / str(moment)
            handle = await app.start(flow([str(place)] * 4))
            driver = driver_of(app, handle)
            await turns(moment)
            while moment < 0 and not place.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)
            await handle.cancel()
            assert (await handle.outcome()).status == "cancelled"
            await check_nothing_left(app, tasks)
            assert not app.engine.processes.slot.locked()
            check_journal(await app.engine.history(handle.id), "cancelled")
            assert driver.state.status == "cancelled"
    assert live_children() <= before


def note_and_sleep(path: str) -> None:
    """Say that it has begun, and go on until somebody ends the process."""
    Path(path).touch()
    threading.Event().wait()


async def test_cancelled_steps_in_threads_are_told_and_hold_up_nobody() -> None:
    ended: list[int] = []
    begun = threading.Semaphore(0)

    @step
    def watchful(value: int) -> int:
        context = current()
        begun.release()
        while not context.cancelled:
            time.sleep(0.001)
        ended.append(value)
        return value

    async with quiet(threads=4) as app:
        tasks = asyncio.all_tasks()
        for _ in range(5):
            handle = await app.start(chain(map_each(watchful))(list(range(4))))
            for _ in range(4):
                await asyncio.to_thread(begun.acquire)
            await handle.cancel()
            assert (await handle.outcome()).status == "cancelled"
            await check_nothing_left(app, tasks)
        while len(ended) < 20:  # noqa: ASYNC110 - nobody waits for them, so nobody tells
            await asyncio.sleep(0.001)
    assert sorted(ended) == sorted([0, 1, 2, 3] * 5)
