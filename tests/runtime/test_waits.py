"""Waits that go round across runs are found: a step waits for the end of a run that needs what the step holds."""

import asyncio
from typing import Any

import pytest

from ripresa import App, Context, Pool, RipresaError, RunFailed, chain, map_each, step, workflow
from ripresa.context import current
from ripresa.stores.memory import Memory

from .stage import in_memory

LONGEST = 30
"""Seconds after which something waits for ever."""


async def failure_of(call: Any, app: App) -> Any:
    """Why a run failed, and what the error that it ends with says."""
    with pytest.raises(RunFailed) as caught:
        await asyncio.wait_for(app.run(call, id="outer"), LONGEST)
    return caught.value.failure


def causes(failure: Any) -> str:
    return f"{failure.code} {failure.message} {failure.cause and causes(failure.cause)}"


@pytest.mark.parametrize("kind", ["pool", "taken", "app", "step"])
async def test_a_step_that_waits_for_a_run_which_needs_what_it_holds_is_a_deadlock_that_names_them(kind: str) -> None:
    pool = Pool("desk", size=1)
    capped: dict[str, Any] = {"max_concurrency": 1} if kind == "app" else {}

    @step(pool=pool if kind in ("pool", "taken") else None, concurrency=1 if kind == "step" else None)
    async def inner(number: int) -> int:
        return number

    async def nested(number: int) -> int:
        return await app.run(chain(inner)(number), id="inner")

    @step(pool=pool if kind == "pool" else None)
    async def outer(number: int) -> int:
        if kind != "taken":
            return await nested(number)
        async with pool.take():
            return await nested(number)

    @step(name="inner", concurrency=1)
    async def again(number: int) -> int:
        return await nested(number)

    async with in_memory(pools=[pool], **capped) as app:
        failure = await failure_of(chain(again if kind == "step" else outer)(1), app)
        told = causes(failure)
        assert "workflow_deadlock" in told
        named = {"app": "'max_concurrency'", "step": "'concurrency of inner'"}.get(kind, "'desk'")
        holder = "inner" if kind == "step" else "outer"
        assert f"inner of run inner waits for {named}; {holder} of run outer holds {named} and waits for" in told
        assert await asyncio.wait_for(app.run(chain(inner)(2)), LONGEST) == 2


async def test_a_step_that_waits_for_the_end_of_its_own_run_is_told_so() -> None:
    @step
    async def selfish(number: int) -> int:
        result: int = await (await app.handle(current().run)).result()
        return result

    async with in_memory() as app:
        failure = await failure_of(chain(selfish)(1), app)
        assert failure.code == "workflow_deadlock"
        assert "selfish of run outer waits for run 'outer'" in failure.message


async def test_two_runs_whose_steps_wait_for_each_other_are_found_when_the_second_does() -> None:
    begun = asyncio.Event()

    @step
    async def waits_for(other: str) -> str:
        await begun.wait()
        outcome = await (await app.handle(other)).outcome()
        return type(outcome.error).__name__

    async with in_memory() as app:
        first = await app.start(chain(waits_for)("b"), id="a")
        second = await app.start(chain(waits_for)("a"), id="b")
        begun.set()
        assert {await first.result(), await second.result()} == {"RipresaError", "NoneType"}


async def test_waiting_for_a_run_is_no_deadlock_while_what_it_needs_can_still_come() -> None:
    desk = Pool("desk", size=2)
    released = asyncio.Event()

    @step(pool=desk)
    async def leaves(number: int) -> int:
        await released.wait()
        return number

    @step(pool=desk)
    async def inner(number: int) -> int:
        return number

    @step(pool=desk)
    async def outer(number: int) -> int:
        handle = await app.start(chain(inner)(number))
        asyncio.get_running_loop().call_later(0.01, released.set)
        return await handle.result()

    async with in_memory(pools=[desk]) as app:
        other = await app.start(chain(leaves)(1))
        assert await asyncio.wait_for(app.run(chain(outer)(2)), LONGEST) == 2
        assert await other.result() == 1


async def test_who_waits_for_runs_while_holding_nothing_waits_as_long_as_it_takes() -> None:
    @step
    async def inner(number: int) -> int:
        return number + 1

    @step
    async def outer(number: int) -> int:
        return await app.run(chain(map_each(inner)).then(total)([number, number]))

    @step
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    @workflow
    async def function(ctx: Context, number: int) -> int:
        return sum(await ctx.gather(outer(number), outer(number)))

    async with in_memory(max_concurrency=3) as app:
        assert await asyncio.wait_for(app.run(function(1)), LONGEST) == 8


async def test_a_run_of_another_app_is_waited_for_without_a_look() -> None:
    @step
    async def inner(number: int) -> int:
        return number

    @step
    async def outer(number: int) -> int:
        return await other.run(chain(inner)(number))

    async with in_memory(max_concurrency=1) as app, in_memory(Memory(), max_concurrency=1) as other:
        assert await asyncio.wait_for(app.run(chain(outer)(1)), LONGEST) == 1


async def test_who_is_refused_may_go_on_without() -> None:
    desk = Pool("desk", size=1)

    @step(pool=desk)
    async def inner(number: int) -> int:
        return number

    @step(pool=desk)
    async def outer(number: int) -> int:
        try:
            return await app.run(chain(inner)(number))
        except RipresaError:
            return -1

    async with in_memory(pools=[desk]) as app:
        assert await asyncio.wait_for(app.run(chain(outer)(1)), LONGEST) == -1
