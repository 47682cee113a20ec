"""The cap of a step holds for those who call it from inside their own, across the runs of an app."""

import asyncio
from typing import Any

import pytest

from ripresa import Pool, Retry, RunFailed, chain, current, map_each, step
from tests.runtime.stage import Tally, in_memory, turns

tally = Tally()


@pytest.fixture(autouse=True)
def fresh() -> None:
    global tally
    tally = Tally()


@step(concurrency=2)
async def scarce(number: int) -> int:
    await tally.visit()
    return number


@step
async def caller(number: int) -> int:
    return await current().call(scarce, number)


@step
async def many(number: int) -> int:
    return sum(await asyncio.gather(*(current().call(scarce, each) for each in range(number))))


async def test_calls_of_one_attempt_of_several_and_of_several_runs_share_the_cap() -> None:
    async with in_memory() as app:
        runs = [
            await app.start(call)
            for call in (chain(many)(4), chain(map_each(caller))([1, 2, 3]), chain(scarce)(9), chain(caller)(1))
        ]
        await tally.reach(2)
        await turns(10)
        assert tally.now == 2
        tally.open()
        assert [await run.result() for run in runs] == [6, [1, 2, 3], 9, 1]
        assert tally.most == 2
        assert tally.entered == 9


@step(concurrency=1)
async def again(number: int) -> int:
    return await current().call(again, number - 1) + 1 if number else 0


@step
async def through(number: int) -> int:
    return await current().call(again, number)


@pytest.mark.parametrize("flow", [chain(again), chain(through)])
async def test_a_step_that_calls_itself_takes_no_second_slot(flow: Any) -> None:
    async with in_memory(max_concurrency=1) as app:
        assert await app.run(flow(3)) == 3


async def test_attempts_and_calls_of_a_step_do_not_wait_for_each_other_under_the_cap_of_the_app() -> None:
    tally.open()

    @step(concurrency=1)
    async def one(number: int) -> int:
        await tally.visit()
        return number

    @step
    async def calls(number: int) -> int:
        return await current().call(one, number)

    async with in_memory(max_concurrency=1) as app:
        runs = [await app.start(chain(flow)(n)) for n, flow in enumerate((calls, one, calls, one, one, calls))]
        assert [await run.result() for run in runs] == [0, 1, 2, 3, 4, 5]
        assert tally.most == 1


async def test_what_waits_between_two_tries_holds_no_slot() -> None:
    failed: list[int] = []

    @step(concurrency=1, retry=Retry(attempts=2, wait=0.001))
    async def shaky(number: int) -> int:
        if not failed:
            failed.append(number)
            raise OSError("once")
        return number

    @step
    async def both(number: int) -> int:
        return sum(await asyncio.gather(*(current().call(shaky, each) for each in range(number))))

    async with in_memory() as app:
        assert await app.run(chain(both)(3)) == 3


async def test_a_call_that_could_never_have_its_slot_fails_and_names_the_cycle() -> None:
    pool, met = Pool("p", ["m"]), asyncio.Barrier(2)

    @step(concurrency=1, name="narrow")
    async def narrow(number: int) -> str:
        if number:
            await met.wait()
            async with pool.take():
                return "narrow"
        return "called"

    @step(pool=pool)
    async def holder(number: int) -> str:
        await met.wait()
        return await current().call(narrow, 0)

    async with in_memory() as app:
        one, other = await app.start(chain(narrow)(1)), await app.start(chain(holder)(1))
        outcomes = [await one.outcome(), await other.outcome()]
        assert sorted(outcome.status for outcome in outcomes) == ["completed", "failed"]
        (error,) = [outcome.error for outcome in outcomes if outcome.error is not None]
        assert isinstance(error, RunFailed)
        assert error.failure.code == "workflow_deadlock"
        assert "'concurrency of narrow'" in error.failure.message


async def test_a_wait_inside_a_call_knows_of_the_slot_that_the_call_holds() -> None:
    async with in_memory() as app:

        @step(concurrency=1)
        async def starts(number: int) -> int:
            return await app.run(chain(starts)(number - 1)) if number else 0

        @step
        async def calls(number: int) -> int:
            return await current().call(starts, number)

        with pytest.raises(RunFailed) as raised:
            await app.run(chain(calls)(1))
        assert raised.value.failure.code == "workflow_deadlock"
        pool = Pool("one", ["m"])

        @step(concurrency=1)
        async def takes(number: int) -> str:
            async with pool.take() as member:
                return member

        @step
        async def asks(number: int) -> str:
            return await current().call(takes, number)

        assert await app.run(chain(asks)(1)) == "m"
