"""Nested work over shared slots and pools cannot deadlock; a cycle that steps make themselves is found and named."""

import asyncio
from random import Random
from typing import Any

import pytest

from ripresa import Context, Pool, chain, fold, map_each, parallel, step, workflow
from ripresa.errors import RunFailed
from tests.concurrency.yard import check_nothing_left
from tests.runtime.stage import in_memory, turns


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("cap", [1, 3])
async def test_nested_parallel_over_one_pool_comes_to_an_end(size: int, cap: int) -> None:
    pool = Pool("shared", size=size)
    inside = most = 0

    @step(pool=pool, concurrency=2)
    async def use(value: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await turns(2)
        inside -= 1
        return value

    @step
    async def spread(value: int) -> list[int]:
        return [value] * 3

    @step
    async def total(values: tuple[Any, ...]) -> int:
        return sum(values)

    @step
    async def plus(so_far: int, value: int) -> int:
        return so_far + value

    @workflow
    async def inner(ctx: Context, value: int) -> int:
        found = await ctx.gather(use(value), use(value), level(value))
        return sum(found)

    level: Any = chain(use).then(spread).then(map_each(use, concurrency=2)).then(fold(plus, 0))
    nested: Any = chain(parallel(use, level, inner)).then(total)
    for _ in range(3):
        nested = chain(parallel(use, nested, chain(spread).then(map_each(nested)).then(fold(plus, 0)))).then(total)
    async with in_memory(max_concurrency=cap) as app:
        tasks = asyncio.all_tasks()
        results = await asyncio.gather(*(app.run(nested(1), concurrency=2) for _ in range(2)))
        await check_nothing_left(app, tasks)
    assert len(set(results)) == 1
    assert most <= min(size, cap)


@pytest.mark.parametrize("seed", range(25))
async def test_any_order_of_taking_pools_ends_or_is_named_a_deadlock(seed: int) -> None:
    """Where steps take pools in any order, some are refused; none waits for ever, and all members come back."""
    chance = Random(seed)
    pools = [Pool(f"p{number}", size=chance.randrange(1, 3)) for number in range(3)]
    orders = [chance.sample(pools, chance.randrange(1, 4)) for _ in range(12)]

    @step
    async def take(number: int) -> int:
        await nested(orders[number])
        return number

    async def nested(left: list[Pool[int]]) -> None:
        await turns(chance.randrange(3))
        if left:
            async with left[0].take():
                await nested(left[1:])

    async with in_memory() as app:
        tasks = asyncio.all_tasks()
        handles = [await app.start(chain(take)(number)) for number in range(len(orders))]
        outcomes = [await asyncio.wait_for(handle.outcome(), 20) for handle in handles]
        await check_nothing_left(app, tasks)
    refused = [outcome.error for outcome in outcomes if outcome.status != "completed"]
    assert len(refused) < len(orders)
    for error in refused:
        assert isinstance(error, RunFailed)
        assert error.failure.code == "workflow_deadlock"
        assert "holds" in str(error)
        assert "waits for" in str(error)


@pytest.mark.parametrize("seed", range(10))
async def test_one_order_of_taking_pools_never_is_a_deadlock(seed: int) -> None:
    chance = Random(seed)
    pools = [Pool(f"p{number}", size=chance.randrange(1, 3)) for number in range(4)]
    orders = [sorted(chance.sample(range(4), chance.randrange(1, 5))) for _ in range(20)]

    @step
    async def take(number: int) -> int:
        await nested(orders[number])
        return number

    async def nested(left: list[int]) -> None:
        await turns(chance.randrange(3))
        if left:
            async with pools[left[0]].take():
                await nested(left[1:])

    async with in_memory() as app:
        tasks = asyncio.all_tasks()
        assert await asyncio.wait_for(app.run(chain(map_each(take))(list(range(20)))), 20) == list(range(20))
        await check_nothing_left(app, tasks)


async def test_a_cycle_in_which_one_is_cancelled_lets_the_others_go_on() -> None:
    left, right = Pool("left", size=1), Pool("right", size=1)
    go = asyncio.Event()

    @step
    async def one(number: int) -> str:
        async with left.take():
            await go.wait()
            async with right.take():
                return "one"

    @step
    async def other(number: int) -> str:
        async with right.take():
            await asyncio.Event().wait()
        return "never"

    async with in_memory() as app:
        tasks = asyncio.all_tasks()
        waiting, holding = await app.start(chain(one)(1)), await app.start(chain(other)(1))
        go.set()
        await turns(5)
        await holding.cancel()
        assert await waiting.result() == "one"
        assert (await holding.outcome()).status == "cancelled"
        await check_nothing_left(app, tasks)
