"""Throughput and lag of streams: facts of their runs, which outlast the process and are read by any other."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ripresa import App, Call, Context, Graph, Retry, StreamResult, chain, step, stream, workflow
from ripresa.cli.plain import event_plain, stream_plain
from ripresa.core.durations import MICROSECONDS
from ripresa.core.events import StreamAdvanced, StreamEnded
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.testing.clock import ManualClock
from tests.runtime.stage import in_memory, journal_of, on_clock, turns


def up_to(count: int) -> Iterator[int]:
    return iter(range(count))


class Slow:
    """A sink that takes half a second for each batch, and fails at the calls that it is told."""

    def __init__(self, clock: ManualClock, *fails: int) -> None:
        self.clock = clock
        self.fails = fails
        self.calls = 0

    async def __call__(self, batch: list[int]) -> None:
        self.calls += 1
        self.clock.advance(0.5)
        await turns(1)
        if self.calls in self.fails:
            raise ValueError(f"call {self.calls}")


async def nowhere(batch: list[int]) -> None:
    await turns(1)


def paces(events: list[Any]) -> list[tuple[int, float, float]]:
    return [
        (event.taken, event.elapsed / MICROSECONDS, event.throughput)
        for event in events
        if isinstance(event, StreamAdvanced | StreamEnded)
    ]


@step
async def counted(result: StreamResult) -> int:
    return result.taken


def flows(sink: Slow) -> dict[str, Call[Any]]:
    load = stream(up_to, name="load").batch(5).into(sink)
    g = Graph("g", input=int)
    loaded = g.add(load(g.input))
    graph = g.returns(g.add(counted(loaded.out)).out)

    @workflow
    async def function(ctx: Context, count: int) -> int:
        return await counted(await load(count))

    return {"chain": chain(load).then(counted)(10), "graph": graph(10), "function": function(10)}


@pytest.mark.parametrize("form", ["chain", "graph", "function"])
async def test_throughput_and_lag_are_facts_in_every_form(form: str) -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(flows(Slow(clock))[form])
        assert await handle.result() == 10
        events, view = await journal_of(handle), await handle.status()
    assert paces(events) == [(5, 0.5, 10.0), (10, 1.0, 10.0), (10, 1.0, 10.0), (10, 1.0, 10.0)]
    facts = [event for event in events if isinstance(event, StreamAdvanced)]
    assert [fact.lag for fact in facts] == [500_000, 1_000_000, 1_000_000]
    assert [fact.behind for fact in facts] == [5, 0, 0]
    shown = stream_plain(view.streams["load"])
    assert (shown["throughput"], shown["elapsed"], shown["most_lag"]) == (10.0, 1.0, 1.0)


async def test_another_process_sees_them_after_the_run_has_ended() -> None:
    memory = Memory()
    async with App(MemoryStore(memory)) as app:
        await (await app.start(stream(up_to).batch(2).into(nowhere)(5), id="r")).result()
    async with App(MemoryStore(memory)) as other:
        handle: Any = await other.handle("r")
        told = [event_plain(recorded) async for recorded in handle.events()]
        (seen,) = (await handle.status()).streams.values()
    ended = next(each for each in told if each["event"] == "StreamEnded")
    assert (ended["elapsed"], ended["throughput"]) == (seen.elapsed, seen.throughput)
    assert json.dumps(told)


async def test_what_attempts_before_did_is_counted_and_waits_between_them_are_not() -> None:
    async with on_clock() as (app, clock):
        sink = Slow(clock, 2)
        handle = await app.start(
            stream(up_to, name="load", on_restart="skip").batch(5).into(sink, retry=Retry(3, 60))(15)
        )
        while sink.calls < 2:
            await turns(1)
        await turns(5)
        clock.advance(60)
        await handle.result()
        found = paces(await journal_of(handle))
    assert [taken for taken, _, _ in found] == [5, 10, 15, 15, 15]
    assert [elapsed for _, elapsed, _ in found] == [0.5, 1.0, 1.5, 1.5, 1.5]


async def test_the_time_for_which_a_stream_is_paused_is_not_counted() -> None:
    async with on_clock() as (app, clock):
        sink = Slow(clock)
        handle = await app.start(stream(slowly, name="load").batch(5).into(sink)(10))
        while sink.calls < 1:
            await turns(1)
        await handle.pause()
        while (await handle.status()).status != "paused":
            await turns(1)
        await turns(20)
        clock.advance(1000)
        await handle.resume()
        await handle.result()
        found = paces(await journal_of(handle))
    assert found[-1] == (10, 1.0, 10.0)


async def slowly(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await turns(8)
        yield number


async def test_a_stream_that_had_nothing_lags_behind_nothing() -> None:
    async with in_memory() as app:
        handle = await app.start(stream(up_to).fold(lambda so_far, item: so_far + item, 0)(0))
        assert await handle.result() == 0
        ended = [event for event in await journal_of(handle) if isinstance(event, StreamEnded)]
    assert (ended[0].lag, ended[0].taken) == (0, 0)
