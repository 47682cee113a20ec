"""What happens at each limit under fan-out, by policy; the limits of workflows, and what a typed state may hold."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from ripresa import (
    App,
    Context,
    Graph,
    InvalidConfig,
    Limits,
    RunFailed,
    chain,
    current,
    for_range,
    map_each,
    parallel,
    repeat,
    step,
    workflow,
)
from ripresa.core.events import LimitReached
from ripresa.core.limits import decode_limits
from ripresa.core.usage import used_in
from ripresa.reducers import append
from tests.runtime.stage import in_memory, on_clock, turns


@dataclass
class Notes:
    lines: Annotated[list[str], append] = field(default_factory=list[str])
    title: str = ""


@step
async def work(number: int) -> int:
    current().usage(tokens=10, cost=0.5)
    current().save_artifact(f"a{number}", b"x" * 10)
    await turns(2)
    return number


@step
async def note(number: int) -> int:
    append(current().to(Notes).lines, "x" * 10)
    return number


@step
async def more(total: int, number: int) -> int:
    return total + number


fan_out = chain(map_each(work))
spinning = chain(map_each(chain(for_range(more, 0, 3)), name="all"))
noting = chain(map_each(note)).with_state(Notes)

RESOURCES: list[tuple[str, Any, Limits, Limits]] = [
    ("steps", fan_out, Limits(steps=3), Limits(steps=50)),
    ("operations", fan_out, Limits(operations=3), Limits(operations=50)),
    ("tokens", fan_out, Limits(tokens=25), Limits(tokens=5000)),
    ("money", fan_out, Limits(money=1.2), Limits(money=50)),
    ("storage", fan_out, Limits(storage=35), Limits(storage=5000)),
    ("iterations", spinning, Limits(iterations=4), Limits(iterations=500)),
    ("state_size", noting, Limits(state_size=40), Limits(state_size=5000)),
]


def with_policy(limits: Limits, policy: str) -> Limits:
    given = {name: getattr(limits, name) for name in Limits.__slots__ if name != "on_exceeded"}
    return Limits(**given, on_exceeded=policy)  # type: ignore[arg-type]


async def begun(app: App, flow: Any, limits: Limits) -> Any:
    return await app.start(flow([1, 2, 3, 4, 5, 6]), id="r", limits=limits, concurrency=3)


async def paused(handle: Any) -> None:
    while (await handle.status()).status != "paused":
        await turns(1)


@pytest.mark.parametrize(("name", "flow", "limits", "wider"), RESOURCES)
async def test_each_limit_fails_a_fan_out(name: str, flow: Any, limits: Limits, wider: Limits) -> None:
    async with in_memory() as app:
        handle = await begun(app, flow, limits)
        with pytest.raises(RunFailed) as caught:
            await handle.result()
        assert (caught.value.failure.code, f"limit of {name}" in caught.value.failure.message) == (
            "limit_exceeded",
            True,
        )


@pytest.mark.parametrize("policy", ["pause", "ask"])
@pytest.mark.parametrize(("name", "flow", "limits", "wider"), RESOURCES)
async def test_each_limit_lets_a_fan_out_wait_for_more(
    name: str, flow: Any, limits: Limits, wider: Limits, policy: str
) -> None:
    async with in_memory() as app:
        handle = await begun(app, flow, with_policy(limits, policy))
        await asyncio.wait_for(paused(handle), 10)
        assert (await handle.status()).limit == name
        await handle.allow(wider)
        assert len(await asyncio.wait_for(handle.result(), 10)) == 6


@pytest.mark.parametrize("policy", ["pause", "ask"])
async def test_the_time_of_a_fan_out_lets_it_wait_for_more(policy: str) -> None:
    gate = asyncio.Event()

    @step
    async def slow(number: int) -> int:
        await gate.wait()
        return number

    async with on_clock() as (app, clock):
        limits = with_policy(Limits(wall_time=5), policy)
        handle = await begun(app, chain(map_each(slow)), limits)
        await turns(3)
        clock.advance(5)
        await asyncio.wait_for(paused(handle), 10)
        gate.set()
        await handle.allow(Limits(wall_time=50))
        assert await asyncio.wait_for(handle.result(), 10) == [1, 2, 3, 4, 5, 6]


# --- what a typed state may hold


async def test_a_state_that_grows_in_branches_counts_before_they_are_joined() -> None:
    both = chain(parallel(note, note)).with_state(Notes)
    async with in_memory() as app:
        await app.run(both(1), limits=Limits(state_size=28))
        with pytest.raises(RunFailed, match="state_size"):
            await app.run(both(1), limits=Limits(state_size=27))


async def test_a_durable_function_that_writes_too_much_reaches_the_limit() -> None:
    @workflow
    async def writes(ctx: Context[Notes], count: int) -> int:
        for number in range(count):
            ctx.state.title = "x" * 10 * (number + 1)
            await work(number)
        return count

    async with in_memory() as app:
        assert await app.run(writes(3), limits=Limits(state_size=50)) == 3
        with pytest.raises(RunFailed, match="limit of state_size is reached: 54 of 50"):
            await app.run(writes(9), limits=Limits(state_size=50))
        handle = await app.start(writes(6), id="r", limits=Limits(state_size=50, on_exceeded="ask"))
        await asyncio.wait_for(paused(handle), 10)
        await handle.allow(Limits(state_size=500))
        assert await handle.result() == 6


# --- limits of a workflow


async def test_a_workflow_brings_its_limits_along() -> None:
    @workflow(limits=Limits(steps=2))
    async def does(ctx: Context, count: int) -> int:
        for number in range(count):
            await work(number)
        return count

    g = Graph("g", input=int)
    graph = g.returns(g.add(work(g.input)).out).with_limits(Limits(steps=0))
    async with in_memory() as app:
        assert await app.run(does(2)) == 2
        with pytest.raises(RunFailed, match="steps"):
            await app.run(does(3))
        assert await app.run(does(3), limits=Limits(steps=5)) == 3
        with pytest.raises(RunFailed, match="steps"):
            await app.run(graph(1))
        limited = chain(work).with_limits(Limits(steps=1))
        assert await app.run(limited(1)) == 1
        with pytest.raises(RunFailed, match="steps"):
            await app.run(limited.then(work)(1))
        with pytest.raises(RunFailed, match="iterations"):
            await app.run(repeat(work, until=lambda _: False, at_most=9).with_limits(Limits(iterations=3))(1))


def test_what_is_no_limits_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="limits is 5, must be Limits"):
        chain(work).with_limits(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="limits is 5, must be Limits"):

        @workflow(limits=5)  # type: ignore[call-overload]
        async def does(ctx: Context) -> None:
            return None


async def test_what_is_used_can_be_read_from_the_journal() -> None:
    async with in_memory() as app:
        handle = await begun(app, fan_out, Limits(steps=4, on_exceeded="ask"))  # steps that are denied used nothing
        await paused(handle)
        await handle.allow(Limits(steps=60, tokens=500))
        await handle.result()
        events = [item.event for item in await app.engine.history("r")]
    limits, used = used_in(events)
    assert (limits, used) == (
        decode_limits('{"steps":60,"tokens":500,"on_exceeded":"fail"}'),
        {"operations": 6, "steps": 6, "tokens": 60, "money": 3.0, "storage": 60},
    )
    assert any(isinstance(event, LimitReached) for event in events)
