"""Updates and queries of chains and graphs: answered by steps and functions beside them, here, elsewhere and asleep."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from ripresa import (
    Call,
    Context,
    Flow,
    Graph,
    InvalidConfig,
    InvalidValue,
    InvalidWorkflow,
    Query,
    QueryWith,
    RipresaError,
    Rule,
    RunFailed,
    Signal,
    Standing,
    Update,
    before,
    chain,
    current,
    delay,
    export_document,
    parallel,
    repeat,
    step,
    stream,
    wait_for,
    wait_for_update,
    workflow,
)
from ripresa.authoring.draw import draw
from ripresa.authoring.serving import Taken
from ripresa.config import Config
from ripresa.core.events import UpdateAnswered
from ripresa.core.nodes.updates import TAKEN, VALUE
from ripresa.reducers import append
from ripresa.runtime.values import Values
from ripresa.stores.memory import Memory
from tests.runtime.stage import in_memory, journal_of, on_clock, turns


@dataclass
class Sale:
    price: int = 10
    said: Annotated[list[str], append] = field(default_factory=list[str])


@dataclass
class Quote:
    price: int


raise_price = Update("raise_price", int, Quote)
go = Signal("go", int)
price_now = Query("price_now", int)
said = QueryWith("said", int, str)


@step
async def reprice(by: int) -> Quote:
    """The price rises."""
    sale = current().state(Sale)
    if by <= 0:
        raise ValueError("prices only rise")
    sale.price = sale.price + by
    append(current().to(Sale).said, f"{by} more")
    return Quote(sale.price)


@step
async def sell(count: int) -> int:
    return current().state(Sale).price * count


def _price(run: Standing) -> int:
    return run.state(Sale).price


def _said(run: Standing, number: int) -> str:
    return run.state(Sale).said[number]


def served(flow: Flow[int, int]) -> Flow[int, int]:
    return flow.with_update(raise_price, reprice).with_query(price_now, _price).with_query(said, _said)


def flows() -> dict[str, Call[int]]:
    plain = chain(wait_for(go)).then(sell).with_state(Sale)
    g = Graph("graph", input=int, state=Sale)
    graph = served(g.returns(g.add(sell(g.add(wait_for(go)(g.input)).out)).out))
    inner = served(plain)

    @workflow
    async def function(ctx: Context, count: int) -> int:
        return await inner(count)

    return {"chain": served(plain)(0), "graph": graph(0), "function": function(0)}


@pytest.mark.parametrize("form", ["chain", "graph", "function"])
async def test_updates_change_the_state_of_a_flow_that_goes_on(form: str) -> None:
    async with in_memory() as app:
        handle = await app.start(flows()[form])
        assert await handle.update(raise_price, 5) == Quote(15)
        with pytest.raises(RipresaError, match="prices only rise") as caught:
            await handle.update(raise_price, -5)
        assert caught.value.code == "update_refused"
        assert await handle.update(raise_price, 1, id="once") == Quote(16)
        assert await handle.update(raise_price, 1, id="once") == Quote(16)
        await handle.send(go, 2)
        assert await handle.result() == 32
        assert await handle.update(raise_price, 1, id="once") == Quote(16)
        answered = [event for event in await journal_of(handle) if isinstance(event, UpdateAnswered)]
    assert [event.refused for event in answered] == [False, True, False]


@pytest.mark.parametrize("form", ["chain", "graph", "function"])
async def test_queries_are_answered_while_a_flow_goes_on_and_after_it_has_ended(form: str) -> None:
    async with in_memory() as app:
        handle = await app.start(flows()[form])
        await handle.update(raise_price, 5)
        assert await handle.query(price_now) == 15
        assert await handle.query(said, 0) == "5 more"
        assert await handle.queries() == ["price_now", "said", "progress", "state"]
        with pytest.raises(RipresaError) as caught:
            await handle.query(said, 7)
        assert caught.value.code == "query_failed"
        with pytest.raises(InvalidValue):
            await handle.query(Query("said", str))
        await handle.send(go, 1)
        await handle.result()
        assert await handle.query(price_now) == 15


async def test_flows_that_a_function_calls_answer_after_what_it_exposes_in_the_order_of_the_calls() -> None:
    number = Query("number", int)
    one = chain(double).with_query(number, lambda run: 1).with_query(Query("one", int), lambda run: 10)
    two = chain(double).with_query(number, lambda run: 2).with_query(Query("two", int), lambda run: 20)

    @workflow
    async def function(ctx: Context, count: int) -> int:
        ctx.expose(Query("own", int), lambda: 3)
        return await two(await one(count)) + await ctx.wait_for(go)

    async with in_memory() as app:
        handle = await app.start(function(1))
        while not (await handle.status()).waits:
            await turns(1)
        assert await handle.queries() == ["own", "number", "one", "two", "progress"]
        assert [await handle.query(each) for each in (number, Query("two", int))] == [1, 20]
        await handle.send(go, 1)
        assert await handle.result() == 5
        assert await handle.query(Query("one", int)) == 10


@step
async def double(number: int) -> int:
    return 2 * number


async def test_what_answers_a_query_sees_steps_and_the_run_and_writes_nothing() -> None:
    @step
    async def half(value: int) -> int:
        return value // 2

    def writes(run: Standing) -> int:
        run.state(Sale).price = 3
        return 3

    def spoilt(run: Standing) -> Any:
        return "many"

    async def soon() -> int:
        return 3

    def later(run: Standing) -> Any:
        return soon()

    flow = (
        chain(half)
        .then(wait_for(go))
        .with_state(Sale)
        .with_query(Query("half", int), lambda run: run.result("half", int) or 0)
        .with_query(Query("none", int), lambda run: run.result("nowhere", int) or 0)
        .with_query(Query("status", str), lambda run: run.view.status)
        .with_query(Query("writes", int), writes)
        .with_query(Query("later", int), later)
        .with_query(Query("spoilt", int), spoilt)
        .with_query(Query("other", int), lambda run: run.state(Quote).price)
    )
    async with in_memory() as app:
        handle = await app.start(flow(9))
        while not (await handle.status()).waits:
            await turns(1)
        assert await handle.query(Query("half", int)) == 4
        assert await handle.query(Query("none", int)) == 0
        assert await handle.query(Query("status", str)) == "running"
        for name, why in (("writes", "cannot be written by a query"), ("later", "await"), ("other", "Quote")):
            with pytest.raises(RipresaError, match=why) as caught:
                await handle.query(Query(name, int))
            assert caught.value.code == "query_failed"
        with pytest.raises(InvalidValue):
            await handle.query(Query("spoilt", int))
        await handle.cancel()


async def test_queries_beside_a_flow_inside_of_another_are_answered_too_the_outermost_first() -> None:
    number = Query("number", int)
    inner = chain(wait_for(go)).with_query(number, lambda run: 1).with_query(Query("inner", int), lambda run: 2)
    outer = chain(inner).then(sell).with_query(number, lambda run: 3).with_state(Sale)
    async with in_memory() as app:
        handle = await app.start(outer(1))
        assert [await handle.query(number), await handle.query(Query("inner", int))] == [3, 2]
        await handle.cancel()


@step
async def doubted(quote: Quote) -> Quote:
    if quote.price > 20:
        raise ValueError("too much")
    return quote


def doubting() -> dict[str, Call[int]]:
    """An update that two steps answer, the second of which may fail after the first has written."""
    plain = chain(wait_for(go)).then(sell).with_state(Sale).with_update(raise_price, chain(reprice).then(doubted))
    g = Graph("graph", input=int, state=Sale)
    graph = g.returns(g.add(sell(g.add(wait_for(go)(g.input)).out)).out)

    @workflow
    async def function(ctx: Context, count: int) -> int:
        return await plain(count)

    served = graph.with_update(raise_price, chain(reprice).then(doubted))
    return {"chain": plain(0), "graph": served(0), "function": function(0)}


@pytest.mark.parametrize("form", ["chain", "graph", "function"])
async def test_what_answers_an_update_in_several_steps_and_fails_has_written_nothing(form: str) -> None:
    async with in_memory() as app:
        handle = await app.start(doubting()[form])
        assert await handle.update(raise_price, 5) == Quote(15)
        with pytest.raises(RipresaError, match="too much"):
            await handle.update(raise_price, 10)
        assert await handle.update(raise_price, 2) == Quote(17)
        await handle.send(go, 2)
        assert await handle.result() == 34


# --- an update as a step of its own


async def test_a_flow_waits_for_an_update_and_goes_on_with_its_answer() -> None:
    @step
    async def told(quote: Quote) -> str:
        return f"{quote.price}!"

    g = Graph("graph", input=int, state=Sale)
    asked = g.add(wait_for_update(raise_price, reprice)(g.input))
    graph = g.returns(g.add(told(asked.out)).out)
    for call in (chain(wait_for_update(raise_price, reprice)).then(told).with_state(Sale)(0), graph(0)):
        async with in_memory() as app:
            handle = await app.start(call)
            with pytest.raises(InvalidValue):
                await handle.update(Update("raise_price", str, Quote), "much")
            with pytest.raises(RipresaError, match="only rise"):
                await handle.update(raise_price, 0)
            assert await handle.update(raise_price, 7) == Quote(17)
            assert await handle.result() == "17!"


async def test_an_early_update_that_does_not_fit_is_refused_when_it_is_taken() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(wait_for(go)).then(wait_for_update(raise_price, reprice)).with_state(Sale)(0))
        async with asyncio.TaskGroup() as group:
            early = group.create_task(refusal(handle, Update("raise_price", str, Quote), "much"))
            fine = group.create_task(handle.update(raise_price, 2))
            await turns(10)
            await handle.send(go, 1)
        assert (early.result(), fine.result()) == ("update_refused", Quote(12))


async def refusal(handle: Any, update: Any, value: Any) -> str:
    try:
        await handle.update(update, value)
    except RipresaError as error:
        return error.code
    return ""


def limited_flows() -> dict[str, Call[Quote]]:
    taking = wait_for_update(raise_price, reprice, timeout="1 hour")
    g = Graph("graph", input=int, state=Sale)
    graph = g.returns(g.add(taking(g.input)).out)
    plain = chain(taking).with_state(Sale)

    @workflow
    async def function(ctx: Context, count: int) -> Quote:
        return await plain(count)

    return {"chain": plain(0), "graph": graph(0), "function": function(0)}


@pytest.mark.parametrize("form", ["chain", "graph", "function"])
async def test_an_update_that_does_not_come_in_time_fails_what_waits_for_it(form: str) -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(limited_flows()[form])
        with pytest.raises(RipresaError, match="only rise"):
            await handle.update(raise_price, 0)
        clock.advance(3600)
        with pytest.raises(RunFailed, match=r"no update .raise_price. came within 3600 s"):
            await handle.result()
        handle = await app.start(limited_flows()[form])
        assert await handle.update(raise_price, 5) == Quote(15) == await handle.result()


# --- elsewhere, asleep, left


async def test_a_run_that_sleeps_is_woken_by_an_update_and_answers_it_in_another_process() -> None:
    memory = Memory()
    flow = served(chain(wait_for(go)).then(sell).with_state(Sale))
    async with in_memory(memory, linger=0) as app:
        handle = await app.start(flow(0), id="r")
        while (await app.store.find_run("r")).status != "waiting":  # type: ignore[union-attr]
            await turns(5)
        assert await handle.update(raise_price, 5) == Quote(15)
    async with in_memory(memory) as other:
        handle = await other.resume("r", flow)
        assert await handle.query(price_now) == 15
        assert await handle.update(raise_price, 5) == Quote(20)
        await handle.send(go, 1)
        assert await handle.result() == 20


async def test_an_update_whose_step_was_killed_is_answered_after_the_run_was_taken_up() -> None:
    memory, held = Memory(), asyncio.Event()

    @step
    async def slowly(by: int) -> Quote:
        await held.wait()
        return Quote(by)

    flow = chain(wait_for(go)).with_update(raise_price, slowly)
    async with in_memory(memory, patience=0.01) as app:
        handle = await app.start(flow(0), id="r")
        early = asyncio.ensure_future(refusal(handle, raise_price, 3))
        while not (await handle.status()).steps:
            await turns(1)
    assert await early == "update_unanswered"
    held.set()
    async with in_memory(memory) as other:
        again: Any = await other.resume("r", flow)
        while not any(isinstance(item.event, UpdateAnswered) for item in await other.engine.history("r")):
            await turns(1)
        await again.send(go, 4)
        assert await again.result() == 4


async def test_hooks_stand_at_what_answers_an_update() -> None:
    seen: list[Any] = []

    @before("reprice")
    def look(asked: Any) -> None:
        seen.append(asked.path)

    async with in_memory(hooks=[look]) as app:
        handle = await app.start(flows()["chain"])
        await handle.update(raise_price, 5)
        await handle.cancel()
    assert seen == ["update:raise_price/reprice[0]"]


async def test_the_time_of_a_flow_goes_on_beside_its_updates() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(chain(delay("1 hour")).with_state(Sale).with_update(raise_price, reprice)(0))
        assert await handle.update(raise_price, 5) == Quote(15)
        clock.advance(3600)
        assert await handle.result() == 0


async def test_many_updates_are_taken_in_a_loop_until_the_state_says_so() -> None:
    taking = repeat(wait_for_update(raise_price, reprice), until=lambda _: current().state(Sale).price > 20, at_most=9)
    async with in_memory() as app:
        handle = await app.start(chain(taking).with_state(Sale)(0))  # type: ignore[arg-type]
        assert [(await handle.update(raise_price, 6)).price for _ in range(2)] == [16, 22]
        assert (await handle.result()) == Quote(22)


# --- what is wrong is said at once


def test_what_does_not_fit_is_refused_where_it_is_written() -> None:
    flow = chain(wait_for(go))
    with pytest.raises(InvalidConfig, match="must be an Update"):
        flow.with_update(go, reprice)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="must be an Update"):
        wait_for_update(go, reprice)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="name"):
        wait_for_update(raise_price, reprice, name="a/b")
    with pytest.raises(InvalidConfig, match="timeout is 0"):
        wait_for_update(raise_price, reprice, timeout=0)
    with pytest.raises(InvalidWorkflow, match="returns int, the answer is Quote"):
        flow.with_update(raise_price, sell)  # type: ignore[arg-type]
    with pytest.raises(InvalidWorkflow, match="takes str, is given int"):
        wait_for_update(raise_price, named)  # type: ignore[arg-type]
    checked = flow.with_state(Sale).with_rules(Rule("fine", "error", lambda result, run: None))
    with pytest.raises(InvalidConfig, match="answers the update 'raise_price' already"):
        checked.with_update(raise_price, reprice).with_update(raise_price, reprice)
    unchecked: Any = flow
    for query, answer, why in (
        (go, _price, "must be a Query"),
        (price_now, 3, "must be a plain function"),
        (price_now, named, "must be a plain function"),
        (price_now, _said, r"it is given the run \("),
        (said, _price, "the run and what it is asked about"),
    ):
        with pytest.raises(InvalidConfig, match=why):
            unchecked.with_query(query, answer)
    assert unchecked.with_query(price_now, dict).answers  # built-in code says nothing of its parameters


async def named(value: str) -> Quote:
    return Quote(len(value))


def test_the_answers_of_queries_are_no_part_of_the_definition_and_updates_are() -> None:
    flow = chain(wait_for(go))
    assert flow.with_query(price_now, lambda run: 1).definition.hash == flow.definition.hash
    assert flow.with_update(raise_price, named_number).definition.hash != flow.definition.hash


def up_to(count: int) -> Iterable[int]:
    return range(count)


@step
async def named_number(value: int) -> Quote:
    return Quote(value)


def test_updates_are_drawn_and_written_into_documents_and_stand_in_no_stream() -> None:
    flow = chain(wait_for(go)).with_update(raise_price, named_number)
    assert "update raise_price" in draw(flow)
    assert "update raise_price" in draw(chain(wait_for_update(raise_price, named_number)))
    assert "raise_price" in str(export_document(flow))
    with pytest.raises(InvalidConfig, match="waits for what does not come there"):
        stream(up_to, name="s").map(flow)
    off = Config.load({"features": {"waits": False}}, env={})
    with off.in_force(), pytest.raises(RipresaError, match=r"features\.waits"):
        flow.with_update(Update("other", int, Quote), named_number)
    with off.in_force(), pytest.raises(RipresaError, match=r"features\.waits"):
        wait_for_update(raise_price, named_number)


async def test_updates_come_side_by_side() -> None:
    both = parallel(wait_for_update(raise_price, named_number, name="a"), wait_for_update(raise_price, named_number))
    async with in_memory() as app:
        handle = await app.start(both(0))
        assert [await handle.update(raise_price, 1), await handle.update(raise_price, 2)] == [Quote(1), Quote(2)]
        assert await handle.result() == (Quote(1), Quote(2))


async def test_the_value_of_an_update_may_be_anything_of_its_type() -> None:
    rename = Update("rename", str, str)

    @step
    async def loud(name: str) -> str:
        return name.upper()

    async with in_memory() as app:
        handle = await app.start(chain(wait_for_update(rename, loud))(None))
        assert await handle.update(rename, "a") == "A"
        assert await handle.result() == "A"


def test_a_value_that_was_one_and_is_none_any_more_is_told() -> None:
    sent = b'{"id":"1","value":"\\"a\\""}'
    reader = Values(dict[str, bytes]().__getitem__)
    assert Taken(raise_price).answer(TAKEN, sent, reader) != ["1", ""]
    with pytest.raises(InvalidValue, match="raise_price"):
        Taken(raise_price).answer(VALUE, sent, reader)
