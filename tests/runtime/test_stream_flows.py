"""Flows as stages and sinks of streams: run in memory for each item, with the keys of the item."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from ripresa import (
    At,
    Context,
    DeadLetter,
    RunFailed,
    branch,
    chain,
    current,
    map_each,
    parallel,
    step,
    stream,
    workflow,
)
from ripresa.stores.memory import Memory
from tests.runtime.stage import in_memory, leftovers, turns

KEYS: list[str] = []


@pytest.fixture(autouse=True)
def no_keys() -> None:
    KEYS.clear()


def numbers(count: int, position: int | None) -> Iterator[At[int, int]]:
    return (At(number, number + 1) for number in range(position or 0, count))


@step
async def double(value: int) -> int:
    KEYS.append(current().idempotency_key)
    return 2 * value


@step
def spread(value: int) -> list[int]:
    return [value, value]


@step
async def pair(both: tuple[int, int]) -> int:
    return sum(both)


@workflow
async def function(ctx: Context, value: int) -> list[int]:
    return [await double(value), *await ctx.map(double, [value])]


@step
async def yes(value: int) -> bool:
    return True


@step
async def no(value: int) -> bool:
    return False


twice = chain(double, name="twice").then(double)


async def of(made: Any, count: int = 5) -> list[Any]:
    return [item async for item in made.items(count)]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_chain_is_a_stage(concurrency: int) -> None:
    assert await of(stream(numbers).map(twice, concurrency=concurrency)) == [0, 4, 8, 12, 16]


async def test_flows_of_every_kind_are_stages() -> None:
    wide = chain(parallel(double, twice)).then(pair)
    assert await of(stream(numbers).map(wide)) == [0, 6, 12, 18, 24]
    assert await of(stream(numbers).flat_map(chain(spread).then(map_each(double)))) == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]
    assert await of(stream(numbers).flat_map(function), 2) == [0, 0, 2, 2]
    large = chain(branch(lambda value: value > 2, yes, no))
    assert await of(stream(numbers).filter(large)) == [3, 4]


async def test_a_flow_may_be_the_sink_and_the_steps_have_the_keys_of_the_batch() -> None:
    async with in_memory() as app:
        handle = await app.start(stream(numbers).map(twice).into(chain(double, name="out"))(2), id="r")
        assert (await handle.result()).batches == 2
    assert sorted(KEYS) == sorted(
        [
            "r/stream/twice#1/double",
            "r/stream/twice#1/double#2",
            "r/stream/twice#2/double",
            "r/stream/twice#2/double#2",
            "r/stream#0-1/double",
            "r/stream#1-2/double",
        ]
    )


async def test_an_item_that_comes_again_has_the_same_keys() -> None:
    memory, fails = Memory(), [True]

    @step
    async def shaky(value: int) -> int:
        KEYS.append(current().idempotency_key)
        if value == 4 and fails:
            fails.clear()
            raise ValueError("once")
        return value

    flow = stream(numbers).map(chain(double).then(shaky)).into(chain(double))
    async with in_memory(memory) as app:
        handle = await app.start(flow(4), id="r")
        with pytest.raises(RunFailed, match="once"):
            await handle.result()
        before = [key for key in KEYS if "/chain#3/" in key]
        KEYS.clear()
        await handle.resume()
        assert (await handle.result()).batches == 4
    assert before == [key for key in KEYS if "/chain#3/" in key]


async def test_what_fails_in_a_flow_makes_its_item_a_dead_letter() -> None:
    letters: list[DeadLetter] = []

    @step
    async def picky(value: int) -> int:
        if value == 4:
            raise ValueError("no four")
        return value

    async def keep(letter: DeadLetter) -> None:
        letters.append(letter)

    made = stream(numbers).map(chain(double).then(picky), on_error="skip").into(double, dead_letters=keep)
    assert (await made(4)).dead == 1
    assert [(letter.stage, letter.item, letter.failure.types[0]) for letter in letters] == [("chain", 2, "ValueError")]


async def test_a_cancelled_stream_leaves_nothing_of_its_flows_behind() -> None:
    entered = asyncio.Event()

    @step
    async def endless(value: int) -> int:
        entered.set()
        await asyncio.Event().wait()
        return value

    async with in_memory() as app:
        handle = await app.start(stream(numbers).map(chain(endless), concurrency=3).into(double)(9))
        await entered.wait()
        await handle.cancel()
        await handle.outcome()
    await turns(20)
    assert leftovers() == set()
