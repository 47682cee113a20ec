"""Any stages, any failures, any moments of stopping: nothing is lost, and at most one batch is repeated at a time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ripresa import At, RunFailed, TimeWindow, current, stream
from ripresa.stores.memory import Memory
from tests.runtime.stage import in_memory, turns


async def source(count: int, position: int | None) -> AsyncIterator[At[int, int]]:
    for number in range(position or 0, count):
        if number % 3 == 0:
            await asyncio.sleep(0)
        yield At(number, number + 1)


async def slow(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


def parts(value: Any) -> list[Any]:
    return [value] * (len(repr(value)) % 3)


async def slow_parts(value: Any) -> AsyncIterator[Any]:
    for _ in range(len(repr(value)) % 3):
        await asyncio.sleep(0)
        yield value


def moment(value: Any) -> float:
    return value * 7 % 10 + value // 2 if isinstance(value, int) else len(repr(value))


def plain(window: TimeWindow[Any]) -> list[Any]:
    return [window.start.timestamp(), *window.items]


STAGES = st.one_of(
    st.just(("map", slow, 1)),
    st.just(("map", slow, 3)),
    st.just(("map", lambda value: value, 1)),
    st.just(("filter", lambda value: len(repr(value)) % 4 != 1)),
    st.just(("flat_map", parts)),
    st.just(("flat_map", slow_parts)),
    st.tuples(st.just("batch"), st.integers(1, 4)),
    st.tuples(st.just("window"), st.integers(1, 4), st.integers(1, 5)),
    st.tuples(st.just("time_window"), st.integers(2, 9), st.integers(1, 2), st.integers(0, 3)),
)


def made_of(stages: list[Any], buffer: int) -> Any:
    made: Any = stream(source, buffer=buffer)
    for kind, *options in stages:
        match kind:
            case "map":
                made = made.map(options[0], concurrency=options[1])
            case "window":
                made = made.window(options[0], every=options[1])
            case "time_window":
                made = made.time_window(options[0], at=moment, every=options[1], lateness=options[2]).map(plain)
            case _:
                made = getattr(made, kind)(options[0])
    return made


class Sink:
    """Fails after it has done its work, at the calls of these numbers: what it was given comes again."""

    def __init__(self, *fails: int) -> None:
        self.fails = fails
        self.calls = 0
        self.given: list[tuple[str, Any]] = []

    async def __call__(self, batch: Any) -> None:
        self.calls += 1
        self.given.append((current().idempotency_key, batch))
        if self.calls in self.fails:
            raise ValueError("after the work")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(STAGES, max_size=4),
    st.integers(1, 6),
    st.lists(st.integers(1, 9), max_size=3),
    st.integers(0, 60),
    st.sampled_from([1, 1, 2, 5]),
)
def test_a_stream_that_is_disturbed_gives_what_an_undisturbed_one_gives(
    stages: list[Any], buffer: int, fails: list[int], stop: int, every: int
) -> None:
    asyncio.run(disturbed(made_of(stages, buffer), fails, stop, every))


async def disturbed(made: Any, fails: list[int], stop: int, every: int) -> None:
    whole = [item async for item in made.items(20)]
    sink, memory = Sink(*fails), Memory()
    flow = made.into(sink, every=every)
    async with in_memory(memory) as app:
        await app.start(flow(20), id="r")
        await turns(stop)
    stopped = True
    for _ in range(len(fails) + 1):
        async with in_memory(memory) as app:
            handle = await app.resume("r", flow)
            try:
                await handle.result()
                break
            except RunFailed:
                continue
    else:
        raise AssertionError("the stream does not end")
    once: dict[str, Any] = {}
    for key, batch in sink.given:
        assert once.setdefault(key, batch) == batch
    assert list(once.values()) == whole
    assert len(sink.given) - len(whole) <= len(fails) + stopped * every


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["drop_oldest", "drop_newest"]),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.integers(1, 60),
)
def test_an_item_is_given_or_counted_as_dropped(overflow: Any, buffers: list[int], count: int) -> None:
    sink = Sink()

    async def run() -> Any:
        made: Any = stream(source, buffer=buffers[0], overflow=overflow)
        for buffer in buffers:
            made = made.map(slow, concurrency=2, buffer=buffer)
        return await made.into(sink)(count)

    result = asyncio.run(run())
    found = [batch for _, batch in sink.given]
    assert len(found) + result.dropped == count
    assert found == sorted(set(found))
