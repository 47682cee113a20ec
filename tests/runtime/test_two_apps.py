"""Two apps over one SQLite file: the one that drives a run, and the one that looks at it and asks something of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, RunCancelled, chain, step
from ripresa.errors import IllegalTransition, RunError, RunExists, RunNotFound
from ripresa.stores.memory import Memory
from tests.runtime.stage import Tally, all_of, in_memory, kinds


@asynccontextmanager
async def two(path: Path) -> AsyncIterator[tuple[App, App]]:
    url = f"sqlite:{path / 'runs.db'}"
    async with App(url, durability="normal", patience=0.05) as one, App(url, durability="normal", patience=0.05) as two:
        yield one, two


def waiting(tally: Tally) -> Any:
    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value + 1

    return chain(wait).then(wait)


async def test_another_app_reads_a_run_in_progress_to_its_end(tmp_path: Path) -> None:
    tally = Tally()
    flow = waiting(tally)
    async with two(tmp_path) as (owner, other):
        handle = await owner.start(flow(1), id="run")
        await tally.reach(1)
        seen = await other.handle("run", flow)
        assert (await seen.status()).status == "running"
        assert [each.path for each in (await seen.status()).current] == ["wait"]
        reader = asyncio.create_task(all_of(seen))
        result = asyncio.create_task(seen.result())
        tally.open()
        assert await handle.result() == 3
        assert await result == 3
        assert await reader == await all_of(handle)


@pytest.mark.parametrize("kind", ["cancel", "terminate", "pause"])
async def test_what_another_app_asks_is_taken_up_within_a_second(kind: str, tmp_path: Path) -> None:
    tally = Tally()
    async with two(tmp_path) as (owner, other):
        handle = await owner.start(waiting(tally)(1), id="run")
        await tally.reach(1)
        asking = await other.handle("run")
        await getattr(asking, kind)("because", by="other")
        expected = {"cancel": "cancelled", "terminate": "terminated", "pause": "paused"}[kind]
        async with asyncio.timeout(2):  # a busy machine is given twice the time
            while (await asking.status()).status != expected:  # noqa: ASYNC110 - all that another process can do
                await asyncio.sleep(0.02)
        if kind == "pause":
            tally.open()
            await asking.resume()
            assert await handle.result() == 3
        else:
            with pytest.raises(RunCancelled, match="because"):
                await handle.result()
            with pytest.raises(IllegalTransition):
                await asking.cancel()
        assert await other.store.pending() == []


async def test_a_pause_that_its_owner_has_not_taken_up_yet_is_undone(tmp_path: Path) -> None:
    tally = Tally()
    async with two(tmp_path) as (owner, other):
        handle = await owner.start(waiting(tally)(1), id="run")
        await tally.reach(1)
        asking = await other.handle("run")
        await asking.pause()
        await asking.resume()
        assert (await asking.status()).status == "running"
        tally.open()
        assert await handle.result() == 3
        assert {"PauseRequested", "ContinueRequested"} <= set(kinds([item.event for item in await all_of(handle)]))
        assert await other.store.pending() == []


async def test_a_request_to_a_run_that_was_just_taken_up_is_found(tmp_path: Path) -> None:
    tally = Tally()
    flow = waiting(tally)
    async with two(tmp_path) as (owner, other):
        await owner.start(flow(0), id="other run")
        await tally.reach(1)
        await owner.start(flow(1), id="run")
        await other.store.put("run", "cancel", b'{"reason": "early"}')
        assert owner.store.changed()  # as if the poller had looked just before the run was there
        handle = await owner.handle("run")
        async with asyncio.timeout(2):
            assert (await handle.outcome()).status == "cancelled"


async def test_a_run_that_another_living_app_drives_is_not_taken(tmp_path: Path) -> None:
    tally = Tally()
    flow = waiting(tally)
    async with two(tmp_path) as (owner, other):
        await owner.start(flow(1), id="run")
        await tally.reach(1)
        for take in (other.resume("run", flow), (await other.handle("run", flow)).resume()):
            with pytest.raises(RunError) as caught:
                await take
            assert caught.value.code == "owned_elsewhere"
        assert await other.resume_all() == []
        tally.open()
        assert await other.run(flow(1), id="run") == 3
    assert tally.entered == 2


async def test_the_same_id_with_the_same_input_is_the_same_run_in_both(tmp_path: Path) -> None:
    tally = Tally(open=True)
    flow = waiting(tally)
    async with two(tmp_path) as (one, other):
        assert await one.run(flow(1), id="run") == 3
        assert await other.run(flow(1), id="run") == 3
        assert tally.entered == 2
        with pytest.raises(RunExists, match="another input"):
            await other.start(flow(2), id="run")
        with pytest.raises(RunExists, match="another workflow"):
            await other.start(flow.named("other")(1), id="run")
        assert (await one.runs()).runs == (await other.runs()).runs


async def test_both_may_start_the_same_run_at_once(tmp_path: Path) -> None:
    tally = Tally(open=True)
    flow = waiting(tally)
    async with two(tmp_path) as (one, other):
        found = await asyncio.gather(*(app.run(flow(1), id="run") for app in (one, other, one)))
    assert found == [3, 3, 3]
    assert tally.entered == 2


@pytest.mark.parametrize("kind", ["cancel", "pause", "terminate"])
async def test_the_caller_takes_up_a_run_that_nobody_drives_to_do_what_it_asks(kind: str, tmp_path: Path) -> None:
    tally = Tally()
    flow = waiting(tally)
    url = f"sqlite:{tmp_path / 'runs.db'}"
    async with App(url, patience=0.05) as app:
        await app.start(flow(1), id="run")
        await tally.reach(1)
    async with App(url, workflows=[flow], patience=0.05) as app:
        handle = await app.handle("run")
        await getattr(handle, kind)("please")
        if kind == "pause":
            assert (await handle.status()).status == "paused"
            tally.open()
            await handle.resume()
            assert await handle.result() == 3
        else:
            with pytest.raises(RunCancelled, match="please"):
                await handle.result()
        assert await app.store.pending() == []


async def test_a_paused_run_that_nobody_drives_is_let_go_on(tmp_path: Path) -> None:
    tally = Tally()
    flow = waiting(tally)
    url = f"sqlite:{tmp_path / 'runs.db'}"
    async with App(url, patience=0.05) as app:
        handle = await app.start(flow(1), id="run")
        await tally.reach(1)
        await handle.pause()
    async with App(url, workflows=[flow], patience=0.05) as app:
        handle = await app.handle("run")
        tally.open()
        await handle.resume()
        assert await handle.result() == 3


async def test_a_request_that_only_a_newer_version_knows_stops_nobody() -> None:
    memory, tally = Memory(), Tally()
    flow = waiting(tally)
    async with in_memory(memory) as owner, in_memory(memory) as other:
        handle = await owner.start(flow(1), id="run")
        await tally.reach(1)
        await other.store.put("run", "beam up", b"{}")
        await asyncio.sleep(0.25)
        await (await other.handle("run")).cancel()
        assert (await handle.outcome()).status == "cancelled"
    async with in_memory(memory) as app:
        before = tally.entered
        await app.start(flow(1), id="second")
        await tally.reach(before + 1)
        await app.store.put("second", "beam up", b"{}")
    async with in_memory(memory) as app:
        handle = await app.resume("second", flow)
        tally.open()
        assert await handle.result() == 3


async def test_what_was_asked_of_a_run_before_it_failed_is_void_when_it_is_resumed() -> None:
    memory, tally = Memory(), Tally()
    fails = True

    @step
    async def flaky(value: int) -> int:
        await tally.visit()
        if fails:
            raise ValueError
        return value

    flow = chain(flaky)
    async with in_memory(memory) as app:
        handle = await app.start(flow(1), id="run")
        await tally.reach(1)
        tally.open()
        await app.store.put("run", "cancel", b"{}")  # too late to be looked at
        assert (await handle.outcome()).status == "failed"
        fails = False
        await handle.resume()
        assert await handle.result() == 1
        assert "CancelRequested" not in kinds([item.event for item in await all_of(handle)])
        assert await app.store.pending() == []


async def test_a_run_that_is_taken_between_the_look_and_the_claim_is_left_to_its_taker() -> None:
    memory, tally = Memory(), Tally()
    flow = waiting(tally)
    async with in_memory(memory) as app:
        await app.start(flow(1), id="run")
        await tally.reach(1)
    async with in_memory(memory) as quick, in_memory(memory, workflows=[flow]) as slow:

        async def take() -> None:
            await quick.resume("run", flow)
            await slow.resume("run")

        await slow.engine.inbox.request("run", "pause", take=take)
        handle = await quick.handle("run")
        assert (await handle.status()).status == "paused"
        with pytest.raises(RunNotFound):
            await slow.engine.inbox.request("nobody", "cancel", take=take)


async def test_an_error_that_keeps_the_caller_from_taking_a_run_up_is_told() -> None:
    memory, tally = Memory(), Tally()
    async with in_memory(memory) as app:
        await app.start(waiting(tally)(1), id="run")
        await tally.reach(1)
    async with in_memory(memory) as app:

        async def take() -> None:
            raise RunError("no", run="run", code="interrupted")

        with pytest.raises(RunError, match="no"):
            await app.engine.inbox.request("run", "cancel", take=take)
        await app.store.put("run", "pause", b"{}")
        await app.engine.inbox.request("run", "cancel")


async def test_a_reader_elsewhere_waits_for_an_owner_that_is_slow(tmp_path: Path) -> None:
    tally = Tally()
    flow = waiting(tally)
    async with two(tmp_path) as (owner, other):
        await owner.start(flow(1), id="run")
        await tally.reach(1)
        handle = await other.handle("run", flow)
        result = asyncio.create_task(handle.result())
        await asyncio.sleep(0.25)
        assert not result.done()
        tally.open()
        assert await result == 3
