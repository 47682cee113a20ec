"""Signals: sent to runs that are driven here, elsewhere or nowhere; early, doubled, of the wrong type, too late."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from ripresa import (
    Context,
    Graph,
    IllegalTransition,
    InvalidConfig,
    InvalidValue,
    RipresaError,
    RunFailed,
    RunNotFound,
    Signal,
    chain,
    delay,
    step,
    wait_for,
    workflow,
)
from ripresa.core.events import SignalReceived, SignalRefused
from ripresa.ports import Request
from ripresa.runtime.bodies import encode_signal
from ripresa.stores.memory import Memory

from .stage import in_memory, journal_of, on_clock, turns


@dataclass
class Draft:
    text: str


edited = Signal("edited", Draft)
number = Signal("number", int)


@step
async def shout(draft: Draft) -> str:
    return draft.text.upper()


@step
async def begin(text: str) -> str:
    return text


@workflow
async def collect(ctx: Context, count: int) -> list[int]:
    return [await ctx.wait_for(number) for _ in range(count)]


@workflow
async def listen(ctx: Context, text: str) -> str:
    try:
        return (await ctx.wait_for(edited, timeout="1 hour")).text
    except TimeoutError as error:
        return f"too late: {type(error).__name__}"


@workflow
async def both(ctx: Context, text: str) -> str:
    first, second = await ctx.gather(ctx.wait_for(edited), ctx.wait_for(number))
    return f"{first.text} {second}"


@workflow
async def either(ctx: Context, text: str) -> str:
    first: Any = await ctx.race(ctx.wait_for(edited), ctx.wait_for(number))
    return repr(first)


revise = chain(begin).then(wait_for(edited)).then(shout)


async def test_a_chain_goes_on_with_the_signal() -> None:
    async with in_memory() as app:
        handle = await app.start(revise("a"))
        assert await handle.send(edited, Draft("tides"), by="ann")
        assert await handle.result() == "TIDES"
        signal = next(event for event in await journal_of(handle) if isinstance(event, SignalReceived))
        assert (signal.value, signal.by) == (b'{"text":"tides"}', "ann")


async def test_a_graph_wires_the_signal() -> None:
    g = Graph("g", input=str)
    begun = g.add(begin(g.input))
    got = g.add(wait_for(edited)(begun.out))
    shouted = g.add(shout(got.out))
    flow = g.returns(shouted.out)
    async with in_memory() as app:
        handle = await app.start(flow("a"))
        await handle.send(edited, Draft("graph"))
        assert await handle.result() == "GRAPH"


async def test_a_durable_function_gets_typed_signals_in_order() -> None:
    async with in_memory() as app:
        handle = await app.start(collect(3))
        for value in (1, 2, 3):
            await handle.send(number, value)
        assert await handle.result() == [1, 2, 3]


async def test_waits_stand_side_by_side() -> None:
    async with in_memory() as app:
        handle = await app.start(both("a"))
        await handle.send(number, 4)
        await handle.send(edited, Draft("x"))
        assert await handle.result() == "x 4"
        handle = await app.start(either("a"))
        await handle.send(number, 5)
        assert await handle.result() == "5"


async def test_a_wait_whose_time_is_up_raises_a_timeout_error() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(listen("a"))
        await turns(5)
        clock.advance(3600)
        assert await handle.result() == "too late: StepTimeout"


async def test_a_chain_whose_wait_has_no_time_left_fails_with_the_code_timeout() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(chain(begin).then(wait_for(edited, timeout=5))("a"))
        await turns(5)
        clock.advance(5)
        with pytest.raises(RunFailed) as raised:
            await handle.result()
        assert raised.value.failure.code == "timeout"


async def test_a_signal_of_the_same_id_counts_once() -> None:
    async with in_memory() as app:
        handle = await app.start(collect(2))
        assert await handle.send(number, 1, id="a")
        assert not await handle.send(number, 1, id="a")
        assert await handle.send(number, 2, id="b")
        assert await handle.result() == [1, 2]


async def test_a_value_of_another_type_is_refused_before_it_is_sent() -> None:
    async with in_memory() as app:
        handle = await app.start(collect(1))
        with pytest.raises(InvalidValue):
            await handle.send(number, "a")  # type: ignore[misc]
        await handle.send(number, 1)
        assert await handle.result() == [1]


async def test_who_sends_without_knowing_the_type_is_told_by_the_wait() -> None:
    async with in_memory() as app:
        handle = await app.start(collect(1))
        static = await app.start(revise("a"))
        await turns(10)
        with pytest.raises(InvalidValue):
            await app.engine.inbox.signal(handle.id, encode_signal("number", b'"a"'))
        with pytest.raises(InvalidValue):
            await app.engine.inbox.signal(static.id, encode_signal("edited", b"1"))
        assert not any(isinstance(event, SignalReceived) for event in (await handle.status()).steps)
        await handle.send(number, 1)
        await static.send(edited, Draft("a"))
        assert await handle.result() == [1]
        assert await static.result() == "A"


async def test_a_bad_signal_from_elsewhere_is_recorded_as_refused() -> None:
    memory = Memory()
    async with in_memory(memory) as app, in_memory(memory) as other:
        handle = await app.start(collect(1), id="r")
        await turns(5)
        assert await other.engine.inbox.signal("r", encode_signal("number", b'"a"', "x"), "x")
        there = await other.handle("r")
        await there.send(number, 7)
        assert await handle.result() == [7]
        (refused,) = [event for event in await journal_of(handle) if isinstance(event, SignalRefused)]
        assert (refused.name, refused.id, refused.failure.code) == ("number", "x", "invalid_input")


async def test_a_signal_for_a_run_that_nobody_drives_waits_for_whoever_takes_it_up() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await app.start(collect(1), id="r")
    async with in_memory(memory) as app:
        handle = await app.handle("r")
        assert await handle.send(number, 1)
        if "r" not in app.engine.drivers:
            await app.resume("r", collect)
        assert await handle.result() == [1]


async def test_signals_sent_to_a_run_before_it_failed_are_there_when_it_is_reopened() -> None:
    memory = Memory()
    tried: list[int] = []

    @step
    async def shaky(value: int) -> int:
        tried.append(value)
        if len(tried) == 1:
            raise ValueError("boom")
        return value

    flow = chain(shaky).then(wait_for(number))
    async with in_memory(memory) as app:
        handle = await app.start(flow(1), id="r")
        with pytest.raises(RunFailed):
            await handle.result()
        await app.store.put("r", "signal", encode_signal("number", b"3"))
        handle = await app.resume("r", flow)
        assert await handle.result() == 3


async def test_a_signal_to_a_run_that_has_ended_or_that_there_is_not_says_so() -> None:
    async with in_memory() as app:
        handle = await app.start(begin("a"))
        await handle.result()
        with pytest.raises(IllegalTransition):
            await handle.send(number, 1)
        with pytest.raises(RunNotFound):
            await app.engine.inbox.signal("nowhere", encode_signal("number", b"1"))


async def test_a_signal_that_comes_with_the_end_of_the_run_is_not_swallowed() -> None:
    async with in_memory() as app:
        handle = await app.start(collect(1))
        await turns(10)
        sent = await asyncio.gather(handle.send(number, 1), handle.send(number, 2), return_exceptions=True)
        assert sent[0] is True
        assert isinstance(sent[1], IllegalTransition)
        assert await handle.result() == [1]


async def test_a_large_value_is_stored_by_content() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(wait_for(edited)).then(shout)(None))
        await handle.send(edited, Draft("a" * 10_000))
        assert await handle.result() == "A" * 10_000


async def test_a_signal_after_a_delay_is_kept_meanwhile() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(chain(begin).then(delay(2)).then(wait_for(number))("a"))
        await handle.send(number, 9)
        await turns(5)
        clock.advance(2)
        assert await handle.result() == 9


def test_bad_options_are_refused_together() -> None:
    with pytest.raises(InvalidConfig, match=r"signal is 'edited'.*timeout is 0"):
        wait_for("edited", timeout=0)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="name is 'a/b'"):
        Signal("a/b", int)


def test_a_signal_as_a_request_is_what_it_was() -> None:
    from ripresa.runtime.requests import decode_request

    body = encode_signal("number", b'{"a":1}', "7", "ann")
    assert decode_request(Request(1, "r", "signal", body), 5) == SignalReceived(5, "number", b'{"a":1}', "7", "ann")


async def test_whoever_does_not_know_the_code_sends_a_signal_nevertheless() -> None:
    @workflow
    async def hidden(ctx: Context) -> int:
        return await ctx.wait_for(number) + await ctx.wait_for(number)

    memory = Memory()
    async with in_memory(memory) as app:
        await app.start(hidden(), id="r")
    async with in_memory(memory) as app:
        assert await (await app.handle("r")).send(number, 7, id="a")
        another = await app.handle("r", chain(begin, name="hidden"))
        with pytest.raises(RipresaError) as caught:
            await another.send(number, 8, id="b")
        assert caught.value.code == "definition_changed"
    async with in_memory(memory) as app:
        assert await (await app.resume("r", hidden)).result() == 15
