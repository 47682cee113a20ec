"""Small workflows of every kind beside the control-flow patterns: values, failures, nesting, limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ripresa import (
    Context,
    Graph,
    Retry,
    Signal,
    Update,
    best_effort,
    branch,
    case,
    chain,
    current,
    delay,
    fallback,
    first_success,
    fold,
    for_range,
    map_each,
    parallel,
    repeat,
    step,
    wait_for,
    workflow,
)

from .cases import Case, add, add_one, asks, broken, double, is_even, never, numbers, sends, square, total

word = Signal("word", str)
raise_price = Update("raise_price", int, int)


@dataclass
class Small:
    value: int


@dataclass
class Large:
    text: str


@step
async def sort_out(value: int) -> Small | Large:
    return Small(value) if value < 10 else Large("x" * value)


@step
async def small(it: Small) -> int:
    return it.value


@step
async def large(it: Large) -> int:
    return len(it.text)


@step(retry=Retry(3, 0))
async def third_time(value: int) -> int:
    if current().attempt < 3:
        raise ConnectionError(f"attempt {current().attempt}")
    return value


@step(timeout=0.01, retry=Retry(2, 0))
async def hangs(value: int) -> int:
    found: int = await never.fn(value)
    return found


async def model(prompt: str) -> str:
    return prompt[::-1]


@step
async def agent(prompt: str) -> str:
    context = current()
    return await context.call(model, await context.call(model, prompt) + "!")


@step
async def blow_up(value: int) -> str:
    return "x" * value


@step
async def measure(text: str) -> int:
    return len(text)


@step
async def weigh(total: int, value: int, index: int) -> int:
    return total + value * index


@step
async def nothing(value: int) -> None:
    return None


@step
async def is_nothing(value: None) -> bool:
    return value is None


diamond = Graph("diamond", input=int)
top = diamond.add(add_one(diamond.input))
left = diamond.add(double(top.out), name="left")
right = diamond.add(square(top.out), name="right")
diamond_flow = diamond.returns(diamond.add(add(left.out, right.out)).out)

skipping = Graph("skipping", input=int)
maybe = skipping.add(double(skipping.input), when=skipping.input > 100)
after = skipping.add(add_one(maybe.out), name="after")
otherwise = skipping.add(square(skipping.input), unless=skipping.input > 100)
skipping_flow = skipping.returns(skipping.first(after, otherwise).out)

mapping = Graph("mapping", input=int)
listed = mapping.add(numbers(mapping.input))
squares = mapping.map(square, listed.out, concurrency=2)
mapping_flow = mapping.returns(mapping.add(total(squares.out)).out)


@workflow
async def inner(ctx: Context, value: int) -> int:
    return await add_one(await double(value))


@workflow
async def outer(ctx: Context, value: int) -> int:
    return await inner(value) + await chain(add_one).then(square)(value) + await diamond_flow(value)


@workflow
async def catching(ctx: Context, value: int) -> str:
    try:
        await broken(value)
    except ValueError as error:
        return f"caught {error}"
    return "nothing to catch"


@workflow
async def tidying(ctx: Context, value: int) -> int:
    try:
        return await broken(value)
    finally:
        await double(value)


@workflow
async def chance(ctx: Context, value: int) -> bool:
    """The same numbers before and after any interruption."""
    first, number = ctx.random.random(), ctx.uuid()
    await add_one(value)
    return 0 <= first < 1 and number.version == 4 and ctx.now() >= ctx.now()


@workflow
async def nested_fan_out(ctx: Context, count: int) -> list[list[int]]:
    async def row(number: int) -> list[int]:
        return await ctx.map(add_one, list(range(number)))

    return await ctx.map(row, list(range(count)), concurrency=2)


@workflow
async def sleeping(ctx: Context, value: int) -> int:
    await ctx.gather(ctx.sleep(0.001), ctx.sleep(0.002), add_one(value))
    return await double(value)


@workflow
async def conversation(ctx: Context, rounds: int) -> list[str]:
    return [await ctx.wait_for(word) for _ in range(rounds)]


@workflow
async def haggle(ctx: Context, price: int) -> int:
    """Two offers are taken; one that is too low is refused beside another call."""
    taken = 0
    while taken < 2:
        offer = await ctx.next_update(raise_price)
        if offer.value < 0:
            await ctx.gather(offer.refuse("too low"), double(price))
            continue
        price, taken = await add(price, offer.value), taken + 1
        await offer.answer(price)
    return price


@step
async def sum_of(values: tuple[int | None, int | None]) -> int:
    return sum(value or 0 for value in values)


deep: Any = add_one
for _ in range(20):
    deep = chain(deep).then(add_one)

WORKFLOWS = [
    Case("one step alone", chain(add_one, name="alone"), (1,), 2),
    Case("empty map", chain(numbers).then(map_each(square)), (0,), []),
    Case("map of maps", map_each(chain(numbers).then(map_each(add_one))), ([1, 2],), [[1], [1, 2]]),
    Case("map with a failure", chain(numbers).then(map_each(broken)), (2,), status="failed"),
    Case("map that puts up with failures", map_each(fallback(broken, square)), ([1, 2],), [1, 4]),
    Case("best effort", chain(best_effort(broken, double)).then(sum_of), (3,), 6),
    Case("fallback", fallback(broken, square), (3,), 9),
    Case("fallback of fallbacks", fallback(fallback(broken, broken), chain(add_one).then(square)), (3,), 16),
    Case("first success", first_success(broken, double), (3,), 6),
    Case("retries", chain(third_time).then(add_one), (3,), 4),
    Case("a step that hangs", chain(hangs), (3,), status="failed"),
    Case("a step that hangs and its replacement", fallback(hangs, square), (3,), 9),
    Case("journaled calls", chain(agent), ("abc",), "!abc"),
    Case("fold", fold(add, 0), ([1, 2, 3],), 6),
    Case("fold with index", fold(weigh, 0, with_index=True), ([5, 6, 7],), 20),
    Case("fold of nothing", fold(add, 7), ([],), 7),
    Case("range", for_range(add, 1, 10, 3), (100,), 112),
    Case("while that does not begin", repeat(double, while_=lambda value: value < 0, at_most=5), (3,), 3),
    Case("loop that gives up", repeat(double, until=lambda value: value < 0, at_most=3), (3,), 24),
    Case("loop in a loop", repeat(for_range(add, 0, 3), until=lambda v: v > 10, at_most=9), (0,), 12),
    Case("by type", chain(sort_out).then(case(Small, small).case(Large, large)), (3,), 3),
    Case("by type, the other", chain(sort_out).then(case(Small, small).case(Large, large)), (5000,), 5000),
    Case("branches in branches", branch(is_even, branch(is_even, double, broken), broken), (4,), 8),
    Case("a large value", chain(blow_up).then(measure), (100_000,), 100_000),
    Case("nothing as a value", chain(nothing).then(is_nothing), (1,), True),
    Case("a delay", chain(add_one).then(delay(0.001)).then(double), (3,), 8),
    Case("deep nesting", deep, (0,), 21),
    Case("diamond", diamond_flow, (3,), 24),
    Case("a graph that skips", skipping_flow, (3,), 9),
    Case("a graph that does not skip", skipping_flow.named("not_skipping"), (101,), 203),
    Case("a graph with a map", mapping_flow, (4,), 14),
    Case("parallel in parallel", parallel(parallel(add_one, double), square), (3,), ((4, 6), 9)),
    Case("parallel with a failure", parallel(broken, never), (3,), status="failed"),
    Case("child workflows", outer, (3,), 7 + 16 + 24),
    Case("a caught failure", catching, (3,), "caught no 3"),
    Case("a failure with clean-up", tidying, (3,), status="failed"),
    Case("time and chance", chance, (3,), True),
    Case("fan-out in a function", nested_fan_out, (3,), [[], [1], [1, 2]]),
    Case("sleeps side by side", sleeping, (3,), 6),
    Case("a conversation", conversation, (2,), ["a", "b"], act=sends((word, "a"), (word, "b"))),
    Case("a haggle", haggle, (10,), 16, act=asks((raise_price, 5), (raise_price, -1), (raise_price, 1))),
    Case("a signal in a chain", chain(add_one).then(wait_for(word)), (3,), "go", act=sends((word, "go"))),
]
