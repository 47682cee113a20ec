"""What a durable function runs side by side is told of, asked about and summed up, as in chains and graphs."""

import asyncio
from typing import Any

import pytest

from ripresa import Context, Hook, Narrow, Replace, RunCancelled, RunFailed, Skip, Veto, step, workflow
from ripresa.core.events import FanOutEnded
from ripresa.runtime import interpreter, sides
from ripresa.stores.memory import Memory

from .stage import in_memory, journal_of, kinds


@step
async def one(number: int) -> int:
    return number


@step
async def forever(number: int) -> int:
    await asyncio.Event().wait()
    return number


async def twice(number: int) -> int:
    return await one(number) + await one(number)


@workflow
async def gathers(ctx: Context, number: int) -> tuple[int, ...]:
    return await ctx.gather(one(number), one(2), twice(3))


@workflow
async def races(ctx: Context, number: int) -> int:
    return await ctx.race(one(number), forever(2))


@workflow
async def maps(ctx: Context, number: int) -> list[int]:
    return await ctx.map(twice, [number, 2], concurrency=1)


async def told(call: Any, *hooks: Hook) -> tuple[Any, dict[str, Any]]:
    """What a run returns or why it failed, and its fan-outs: their branches and the counts of their summaries."""
    async with in_memory(hooks=hooks) as app:
        handle = await app.start(call)
        outcome = await handle.outcome()
        failure = (await handle.status()).failure
        found = {
            path: (list(each.branches), each.summary and (each.summary.completed, each.summary.failed))
            for path, each in (await handle.fan_outs()).items()
        }
        return outcome.value if failure is None else failure.code, found


async def test_each_way_has_its_branches_in_order_and_one_summary() -> None:
    assert await told(gathers(1)) == ((1, 2, 6), {"gather": (["one", "one#2", "twice"], (3, 0))})
    assert await told(races(1)) == (1, {"race": (["one", "forever"], (1, 0))})
    assert await told(maps(1)) == ([2, 4], {"twice": (["twice[0]", "twice[1]"], (2, 0))})


async def test_hooks_are_asked_before_they_begin_and_when_they_have_ended() -> None:
    seen: list[Any] = []

    def fork(asked: Any) -> Any:
        seen.append((asked.name, asked.count, asked.window))
        return Narrow(1)

    def join(asked: Any) -> Any:
        seen.append(asked.output)
        return Replace((7, 8, 9)) if asked.name == "gather" else None

    both = (Hook("fork", fork), Hook("join", join))
    assert (await told(gathers(1), *both))[0] == (7, 8, 9)
    assert (await told(maps(1), *both))[0] == [2, 4]
    assert (await told(races(1), Hook("join", lambda asked: Replace(asked.output + 1))))[0] == 2
    assert seen == [("gather", 3, 3), [1, 2, 6], ("twice", 2, 1), [2, 4]]


async def test_they_are_left_out_or_forbidden() -> None:
    left_out = Hook("fork", lambda asked: Skip((7, 8, 9)))
    assert await told(gathers(1), left_out) == ((7, 8, 9), {"gather": ([], (0, 0))})
    assert (await told(gathers(1), Hook("fork", lambda asked: Skip("no"))))[0] == "invalid_answer"
    assert (await told(gathers(1), Hook("join", lambda asked: Replace("no"))))[0] == "invalid_answer"
    for point in ("fork", "join"):
        assert (await told(gathers(1), Hook(point, lambda asked: Veto("no"))))[0] == "vetoed"


@pytest.mark.parametrize("point", ["fork", "join"])
async def test_what_was_forbidden_is_asked_about_again_when_the_run_is_resumed(point: str) -> None:
    memory = Memory()
    async with in_memory(memory, hooks=[Hook(point, lambda asked: Veto("no"))]) as app:
        with pytest.raises(RunFailed):
            await app.run(gathers(1), id="r")
    async with in_memory(memory, hooks=[Hook(point, lambda asked: None)]) as app:
        assert await (await app.resume("r", gathers)).result() == (1, 2, 6)


async def test_a_resumed_run_goes_on_from_the_branch_that_failed_whatever_the_function_made_of_it() -> None:
    broken = True

    @step
    async def breaks(number: int) -> int:
        if broken:
            raise ValueError("no")
        return number

    @workflow
    async def hides(ctx: Context, number: int) -> int:
        try:
            return sum(await ctx.gather(one(number), breaks(2)))
        except ValueError:
            raise LookupError("something else") from None

    memory = Memory()
    async with in_memory(memory) as app:
        with pytest.raises(RunFailed, match="something else"):
            await app.run(hides(1), id="r")
    broken = False
    async with in_memory(memory) as app:
        handle = await app.resume("r", hides)
        assert await handle.result() == 3
        summaries = [each for each in await journal_of(handle) if isinstance(each, FanOutEnded)]
        assert summaries == [FanOutEnded("gather", 1, 1, 0), FanOutEnded("gather", 2, 0, 0)]


async def test_what_is_stopped_is_summed_up_too() -> None:
    begun = asyncio.Event()

    @step
    async def holds(number: int) -> int:
        begun.set()
        await asyncio.Event().wait()
        return number

    @workflow
    async def held(ctx: Context, number: int) -> int:
        return sum(await ctx.gather(one(number), holds(2)))

    async with in_memory() as app:
        handle = await app.start(held(1))
        await begun.wait()
        await handle.cancel()
        with pytest.raises(RunCancelled):
            await handle.result()
        summaries = [each for each in await journal_of(handle) if isinstance(each, FanOutEnded)]
        assert summaries == [FanOutEnded("gather", 1, 0, 1)]


@pytest.mark.parametrize("point", ["fork", "join"])
async def test_a_run_is_cancelled_while_hooks_are_asked(point: str) -> None:
    asked = asyncio.Event()

    async def thinks(about: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with in_memory(hooks=[Hook(point, thinks, timeout=100)]) as app:
        handle = await app.start(gathers(1))
        await asked.wait()
        await handle.cancel()
        with pytest.raises(RunCancelled):
            await handle.result()
        assert kinds(await journal_of(handle)).count("FanOutEnded") == 1


async def test_what_cannot_be_written_as_json_is_null_to_hooks_and_stays_what_it_is() -> None:
    seen: list[Any] = []
    thing = object()

    async def makes() -> object:
        return thing

    @workflow
    async def odd(ctx: Context, number: int) -> bool:
        return (await ctx.gather(one(number), makes()))[1] is thing

    assert (await told(odd(1), Hook("join", lambda asked: seen.append(asked.output))))[0] is True
    assert seen == [[1, None]]


async def test_nothing_side_by_side_and_what_is_no_call_tell_nothing_that_misleads() -> None:
    @workflow
    async def empty(ctx: Context, number: int) -> tuple[int, ...]:
        return await ctx.gather(*[one(each) for each in range(number)])

    @workflow
    async def foreign(ctx: Context, number: int) -> int:
        wrong: Any = number
        return sum(await ctx.gather(wrong))

    assert await told(empty(0)) == ((), {})
    assert (await told(foreign(1)))[0] == "foreign_await"


async def test_a_function_that_has_made_too_many_calls_is_told_so_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (0, 5):
        monkeypatch.setattr(interpreter, "MOST_CALLS", most)
        assert (await told(gathers(1)))[0] == "function_too_long"


async def test_a_run_by_earlier_rules_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "TELLS_SIDES", 100)
    assert await told(gathers(1)) == ((1, 2, 6), {})
    assert await told(maps(1)) == ([2, 4], {})


@step(retry=1)
async def refused(number: int) -> int:
    raise ValueError(number)


@workflow
async def gives_up(ctx: Context, number: int) -> int:
    async def inner() -> int:
        return sum(await ctx.gather(forever(1), forever(2)))

    async def failing() -> int:
        try:
            return sum(await ctx.gather(one(number), refused(2)))
        except ValueError:
            return await forever(3)

    return await ctx.race(inner(), failing(), one(number))


async def test_by_earlier_rules_what_is_given_up_is_not_told_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "TELLS_SIDES", 100)
    assert await told(gives_up(1)) == (1, {})


@workflow
async def nothing_beside_what_fails(ctx: Context, number: int) -> str:
    async def nothing() -> None:
        await ctx.gather()

    async def fails() -> None:
        raise ValueError(number)

    try:
        await ctx.gather(nothing(), fails())
    except ValueError:
        return "failed"
    return ""


async def test_by_earlier_rules_what_has_ended_already_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "TELLS_SIDES", 100)
    assert await told(nothing_beside_what_fails(1)) == ("failed", {})
