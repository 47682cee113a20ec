"""Validators of a whole model of state: asked about what a run begins with, what is written and what is read."""

import asyncio
from typing import Annotated, Any, Self

import pytest
from pydantic import BaseModel, Field, model_validator
from pydantic.dataclasses import dataclass as validated

from ripresa import (
    Context,
    Graph,
    RipresaError,
    RunFailed,
    Signal,
    Update,
    chain,
    current,
    fallback,
    n_of,
    parallel,
    step,
    wait_for,
    workflow,
)
from ripresa.errors import InvalidValue
from ripresa.reducers import add, append
from ripresa.stores.memory import Memory
from tests.runtime.stage import in_memory, kinds, turns


class Range(BaseModel):
    low: int = Field(0, alias="from")
    high: Annotated[int, add] = 10

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"{self.low} is above {self.high}")
        return self


@validated
class Pair:
    low: int
    high: int = 10

    @model_validator(mode="before")
    @classmethod
    def of_two(cls, values: Any) -> Any:
        assert {*getattr(values, "kwargs", values)} == {"low", "high"}, "two are needed"
        return values

    @model_validator(mode="after")
    def apart(self) -> Self:
        if self.low == self.high:
            raise ValueError("they are the same")
        return self


@step
async def widen(number: int) -> int:
    state = current().state(Range)
    state.low = number
    add(current().to(Range).high, number)
    return state.high


@step
async def raise_low(number: int) -> int:
    current().state(Range).low = number
    return number


@step
async def lower_high(number: int) -> int:
    add(current().to(Range).high, -number)
    return number


@step
async def look(number: Any) -> int:
    return current().state(Range).high


@step
async def set_low(number: int) -> int:
    current().state(Pair).low = number
    return number


def wrong(failed: Any) -> str:
    failure = failed.value.failure
    assert failure.code == "invalid_field"
    return f"{failure.path}: {failure.message}"


async def failing(call: Any, **given: Any) -> str:
    async with in_memory() as app:
        with pytest.raises(RunFailed) as failed:
            await app.run(call, **given)
        return wrong(failed)


async def test_fields_that_belong_together_are_judged_when_the_step_completes() -> None:
    async with in_memory() as app:
        assert await app.run(chain(widen).with_state(Range)(20)) == 30
    told = await failing(chain(raise_low).with_state(Range)(11))
    assert (
        told == "raise_low: Range as a whole is not valid after low was written: in_order: Value error, 11 is above 10"
    )


async def test_a_run_begins_with_a_state_that_is_valid() -> None:
    flow = chain(look).with_state(Range)
    async with in_memory() as app:
        with pytest.raises(InvalidValue, match="in_order: Value error, 5 is above 1") as raised:
            await app.start(flow(1), state={"low": 5, "high": 1})
        assert (raised.value.code, raised.value.where) == ("invalid_field", "start: Range")
        assert await app.run(flow(1), state={"low": 5, "high": 6}) == 6


BOTH = "Range as a whole is not valid after low (by {0}raise_low), high (by {0}lower_high) were written: in_order: "


def side_by_side() -> dict[str, Any]:
    """A step that raises the low end beside one that lowers the high one, in all forms."""
    g = Graph("g", input=int, state=Range)
    g.add(raise_low(g.input))
    g.add(lower_high(g.input))
    graph = g.returns(g.add(unseen(g.input)).out)
    return {
        "chain": chain(parallel(raise_low, lower_high, name="p")).with_state(Range),
        "several": chain(n_of(2, raise_low, lower_high, name="p")).with_state(Range),
        "graph": graph,
        "function": gathered,
    }


@step
async def unseen(number: int) -> int:
    return number


@pytest.mark.parametrize("form", ["chain", "several", "graph", "function"])
async def test_what_branches_made_together_is_judged_where_they_are_joined_also_if_nobody_reads_it(form: str) -> None:
    call = side_by_side()[form]
    async with in_memory() as app:
        await app.run(call(5))
    prefix = {"chain": "p/", "several": "p/"}.get(form, "")
    assert BOTH.format(prefix) in await failing(call(6))


async def test_a_join_that_is_not_valid_fails_its_fan_out_which_another_way_may_follow() -> None:
    flow = chain(fallback(parallel(raise_low, lower_high, name="p"), unseen)).then(look).with_state(Range)
    async with in_memory() as app:
        assert await app.run(flow(6)) == 10


async def test_a_graph_is_judged_where_a_node_reads_what_others_wrote() -> None:
    g = Graph("g", input=int, state=Range)
    low = g.add(raise_low(g.input))
    high = g.add(lower_high(g.input))
    seen = g.add(look((low.out, high.out)))
    assert (await failing(g.returns(seen.out)(6))).startswith("look: Range as a whole is not valid: in_order:")


class Few(BaseModel):
    names: Annotated[list[str], Field(max_length=2), append] = []
    total: Annotated[int, Field(le=10), add] = 0
    free: int = 0


@step
async def name(count: int) -> int:
    for index in range(count):
        append(current().to(Few).names, str(index))
    return count


@step
async def count(number: int) -> int:
    add(current().to(Few).total, number)
    return number


async def test_what_reducers_made_is_judged_where_it_is_written_and_where_branches_are_joined() -> None:
    assert "Few.names: " in (told := await failing(chain(name).with_state(Few)(3)))
    assert told.endswith("after names was written")
    twice = chain(parallel(count, count, name="p")).with_state(Few)
    async with in_memory() as app:
        await app.run(twice(5))
    told = await failing(twice(6))
    assert "less than or equal to 10" in told
    assert told.endswith("after total (by p/count, p/count#2) was written")


async def test_a_run_keeps_to_what_it_began_with_where_joins_are_judged() -> None:
    """Rules that come or go under a run change nothing about the joins that are recorded, nor about those to come."""
    memory = Memory()
    flow = chain(parallel(raise_low, lower_high, name="p")).then(wait_for(Signal("go", int))).with_state(Range)
    async with in_memory(memory) as app:
        handle = await app.start(flow(5), id="r")
        while not (await handle.status()).waits:
            await turns(1)
        facts = kinds([item.event for item in await app.engine.history("r")])
    assert facts.count("StateMerged") == 1
    async with in_memory(memory) as app:
        again = await app.resume("r", flow)
        await again.send(Signal("go", int), 1)
        assert await again.result() == 1


async def test_an_update_is_refused_whose_writes_are_not_valid_with_what_the_flow_wrote_meanwhile() -> None:
    held, lower, go, end = asyncio.Event(), Update("lower", int, int), Signal("go", int), Signal("end", int)

    @step
    async def hold(number: int) -> int:
        await held.wait()
        return number

    body = chain(wait_for(go)).then(raise_low).then(wait_for(end)).with_state(Range)
    flow = body.with_update(lower, chain(lower_high).then(hold))
    async with in_memory() as app:
        handle = await app.start(flow(0))
        asked = asyncio.ensure_future(handle.update(lower, 6))
        while (await handle.status()).completed < 1:
            await turns(1)
        await handle.send(go, 6)
        while not any(wait.signal == "end" for wait in (await handle.status()).waits.values()):
            await turns(1)
        held.set()
        with pytest.raises(RipresaError, match="6 is above 4") as refused:
            await asked
        assert refused.value.code == "update_refused"
        assert await handle.update(lower, 4) == 4
        await handle.send(end, 1)
        assert await handle.result() == 1
        assert (await handle.state(Range)).high == 6


@workflow
async def steadily(ctx: Context[Range], number: int) -> int:
    ctx.state.low = number
    await look(number)
    return number


@workflow
async def at_last(ctx: Context[Range], number: int) -> int:
    await look(number)
    ctx.state.low = number
    return number


@workflow
async def gathered(ctx: Context[Range], number: int) -> int:
    await ctx.gather(raise_low(number), lower_high(number))
    return number


@pytest.mark.parametrize(("function", "fits", "fails"), [(steadily, 10, 11), (at_last, 10, 11), (gathered, 5, 6)])
async def test_durable_functions_are_judged_at_each_await_and_at_their_end(
    function: Any, fits: int, fails: int
) -> None:
    async with in_memory() as app:
        assert await app.run(function(fits)) == fits
    assert "Range as a whole is not valid" in await failing(function(fails))


async def test_a_state_that_is_not_whole_yet_is_not_judged() -> None:
    flow = chain(set_low).with_state(Pair)
    async with in_memory() as app:
        assert await app.run(flow(3)) == 3
    assert "apart: Value error, they are the same" in await failing(flow(10))
