"""Waits that go round through runs and the children that they wait for, here, asleep and in other processes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ripresa import App, Context, Pool, RunFailed, Signal, chain, step, workflow
from ripresa.errors import StoreError
from ripresa.runtime import waits as waits_module
from ripresa.runtime.kin import Kin
from ripresa.stores.memory import Memory, MemoryStore
from tests.runtime.stage import Wrapped, in_memory, turns

GO = Signal("go", int)
here: list[App] = []
gate: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def fresh() -> None:
    here.clear()
    gate.clear()
    gate.update(child=asyncio.Event(), parent=asyncio.Event())


@step
async def waits_for(run: str) -> str:
    await gate["child"].wait()
    outcome = await (await here[-1].handle(run)).outcome()
    assert outcome.error is not None
    raise outcome.error


@step
async def busy(number: int) -> int:
    await gate["parent"].wait()
    return number


@workflow
async def parent(ctx: Context, how: str) -> str:
    child = await ctx.start(chain(waits_for, name="kid")(ctx.run), id="child")
    if how == "late":
        await busy(1)
    if how == "timer":
        return str(await ctx.race(child.result(), _slept(ctx)))
    if how == "signal":
        return str(await ctx.race(child.result(), _told(ctx)))
    return await child.result()


async def _slept(ctx: Context) -> str:
    await ctx.sleep(60)
    return "slept"


async def _told(ctx: Context[Any]) -> str:
    told: int = await ctx.wait_for(GO)
    return str(told)


async def failing(handle: Any) -> str:
    with pytest.raises(RunFailed) as raised:
        await asyncio.wait_for(handle.result(), 30)
    failure: Any = raised.value.failure
    while failure.cause is not None:
        failure = failure.cause
    assert failure.code == "workflow_deadlock"
    return str(failure.message)


async def test_a_child_that_waits_for_who_waits_for_it_is_told_at_once() -> None:
    async with in_memory() as app:
        here.append(app)
        handle = await app.start(parent(""), id="a")
        await turns(30)
        gate["child"].set()
        told = await failing(handle)
        assert "waits_for of run child waits for run 'a'; run 'a' waits for run 'child'" in told


async def test_a_cycle_that_something_else_held_open_is_found_by_the_next_look() -> None:
    async with in_memory() as app:
        here.append(app)
        gate["child"].set()
        handle = await app.start(parent("late"), id="a")
        await turns(30)
        await app.engine.waits.look()
        await turns(30)
        assert (await handle.status()).status == "running"
        gate["parent"].set()
        await turns(30)
        await app.engine.waits.look()
        assert "run 'a' waits for run 'child'" in await failing(handle)


@pytest.mark.parametrize("how", ["timer", "signal"])
async def test_a_run_that_something_else_may_bring_on_is_not_stuck(how: str) -> None:
    async with in_memory(linger=None) as app:
        here.append(app)
        gate["child"].set()
        handle = await app.start(parent(how), id="a")
        await turns(30)
        await app.engine.waits.look()
        await turns(30)
        assert (await handle.status()).status == "running"
        assert (await (await app.handle("child")).status()).status == "running"


@step
async def takes(number: int) -> str:
    async with desk.take():
        return "taken"


desk = Pool("desk", size=1)


@workflow
async def between(ctx: Context, number: int) -> str:
    child = await ctx.start(chain(takes, name="taker")(number), id="grandchild")
    return await child.result()


@step(pool=desk)
async def holds(number: int) -> str:
    return await here[-1].run(between(number), id="child")


async def test_a_grandchild_that_needs_what_the_waiting_step_holds_closes_a_cycle() -> None:
    async with in_memory(pools=[desk]) as app:
        here.append(app)
        handle = await app.start(chain(holds)(1), id="a")
        await turns(60)
        await app.engine.waits.look()
        told = await failing(handle)
        assert "holds of run a holds 'desk' and waits for run 'child'" in told
        assert "takes of run grandchild waits for 'desk'" in told


@asynccontextmanager
async def apart() -> AsyncGenerator[tuple[Any, Any, App]]:
    """A parent that one app drives, its child that another drives, and that one."""
    memory, kid = Memory(), chain(waits_for, name="kid")
    async with in_memory(memory, linger=None) as other, in_memory(memory, workflows=[kid, parent]) as app:
        here.append(app)
        handle = await other.start(parent(""), id="a")
        await turns(30)
        await other.engine.drivers["child"].stop()
        yield handle, await app.resume("child", kid), app


async def test_a_run_that_is_driven_elsewhere_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits_module, "LOOK", 0.01)
    async with apart() as (handle, child, _):
        gate["child"].set()
        assert "run 'a' waits for run 'child'" in await failing(child)
        with pytest.raises(RunFailed):
            await handle.result()


async def test_who_waits_for_a_run_in_a_cycle_and_is_not_in_it_goes_on_waiting() -> None:
    async with in_memory() as app:
        here.append(app)
        gate["child"].set()
        await app.start(parent("late"), id="a")
        await turns(30)
        bystander = await app.start(chain(waits_for)("a"), id="bystander")
        await turns(30)
        gate["parent"].set()
        await turns(30)
        await app.engine.waits.look()
        assert "run 'a' waits for run 'child'" in await failing(await app.handle("child"))
        assert "run 'a' waits for run 'child'" in await failing(bystander)


async def test_so_it_does_if_the_cycle_goes_through_elsewhere() -> None:
    async with apart() as (_, child, app):
        gate["child"].set()
        bystander = await app.start(chain(waits_for)("a"), id="bystander")
        await turns(30)
        await app.engine.waits.look()
        assert "run 'a' waits for run 'child'" in await failing(child)
        assert "run 'a' waits for run 'child'" in await failing(bystander)


class Odd(Wrapped):
    """Forgets what has happened in its runs."""

    gone = False

    async def read(self, *place: Any) -> Any:
        return [] if self.gone else await self.inner.read(*place)


async def test_what_the_store_does_not_know_is_not_waited_for() -> None:
    store: Any = Odd(MemoryStore(Memory()))
    async with App(store) as app:
        here.append(app)
        await app.start(parent(""), id="a")
        await turns(30)
        kin = Kin(app.engine)
        assert await kin.awaited_elsewhere("a") == ()
        assert await kin.awaited_elsewhere("nowhere") == ()
        await app.engine.drivers["a"].stop()
        assert await kin.awaited_elsewhere("a") == ("child",)
        store.gone = True
        assert await kin.awaited_elsewhere("a") == ()
        store.gone = False


async def test_a_store_that_fails_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits_module, "LOOK", 0.01)
    asked: list[str] = []

    async def once(kin: Kin, run: str) -> tuple[str, ...]:
        asked.append(run)
        if len(asked) == 1:
            raise StoreError("the disk is busy")
        return await look_up(kin, run)

    look_up = Kin.awaited_elsewhere
    monkeypatch.setattr(Kin, "awaited_elsewhere", once)
    async with apart() as (_, child, _):
        gate["child"].set()
        assert "run 'a' waits for run 'child'" in await failing(child)
        assert asked[:2] == ["a", "a"]


async def test_time_that_is_up_in_what_waits_is_no_deadlock() -> None:
    @step
    async def impatient(number: int) -> int:
        async with app.engine.waits.for_run("nobody"):
            raise TimeoutError("mine")

    async with in_memory() as app:
        with pytest.raises(RunFailed, match="TimeoutError: mine"):
            await app.run(chain(impatient)(1))
