"""Streams under way: order, bounds, backpressure, going on in the middle, and that nothing is left behind."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from ripresa import (
    AfterStep,
    Again,
    App,
    At,
    BeforeStep,
    Breaker,
    Context,
    DeadLetter,
    Graph,
    Limits,
    Observed,
    Replace,
    Retry,
    RipresaError,
    Skip,
    StepErring,
    StreamControl,
    StreamHooks,
    StreamResult,
    Veto,
    after,
    before,
    chain,
    current,
    observe,
    on_error,
    parallel,
    step,
    stream,
    workflow,
)
from ripresa.core.events import Failure, PauseRequested, StreamAdvanced, StreamEnded
from ripresa.errors import RunCancelled, RunFailed, StoreError
from ripresa.runtime.feed import StreamProgressed
from ripresa.stores.memory import Memory, MemoryStore
from tests.runtime.stage import Failing, Tally, in_memory, journal_of, kinds, leftovers, on_clock, turns


class Log:
    """A sink that keeps what it was given, with the key of each batch; it fails as often as it is told to."""

    def __init__(self, *fails: int) -> None:
        self.batches: list[Any] = []
        self.keys: list[str] = []
        self.fails = set(fails)
        self.calls = 0

    async def __call__(self, batch: Any) -> None:
        self.calls += 1
        if self.calls in self.fails:
            raise ValueError(f"call {self.calls}")
        self.batches.append(batch)
        self.keys.append(current().idempotency_key)

    @property
    def items(self) -> list[Any]:
        return [item for batch in self.batches for item in batch]


def up_to(count: int) -> Iterator[int]:
    return iter(range(count))


async def slowly(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


async def from_position(count: int, position: int | None) -> AsyncIterator[At[int, int]]:
    for number in range(position or 0, count):
        yield At(number, number + 1)


def from_position_at_once(count: int, position: int | None) -> Iterable[At[int, int]]:
    return [At(number, number + 1) for number in range(position or 0, count)]


def double(value: int) -> int:
    return 2 * value


async def later(value: int) -> int:
    await turns(value % 3)
    return value


def even(value: int) -> bool:
    return value % 2 == 0


async def odd(value: int) -> bool:
    return value % 2 == 1


def repeated(value: int) -> list[int]:
    return [value] * (value % 4)


async def repeated_slowly(value: int) -> AsyncIterator[int]:
    for _ in range(value % 4):
        await asyncio.sleep(0)
        yield value


@step
async def repeated_later(value: int) -> list[int]:
    return [value] * (value % 4)


def broken(value: int) -> int:
    if value % 10 == 3:
        raise ValueError(f"no {value}")
    return value


async def broken_later(value: int) -> int:
    return broken(value)


def facts(events: list[Any]) -> list[StreamAdvanced]:
    return [event for event in events if isinstance(event, StreamAdvanced)]


# --- what goes through


@pytest.mark.parametrize("source", [up_to, slowly, from_position, from_position_at_once])
async def test_items_go_from_source_to_sink_in_order(source: Any) -> None:
    log = Log()
    result = await stream(source).map(double).filter(lambda value: value % 3 == 0).batch(7).into(log)(1000)
    assert log.items == [value for value in range(0, 2000, 2) if value % 3 == 0]
    assert result == StreamResult(48, 1000, 0, 0, "exhausted", 1000)
    assert {len(batch) for batch in log.batches[:-1]} == {7}


async def test_each_kind_of_function_may_be_a_stage() -> None:
    @step
    def in_thread(value: int) -> int:
        return value + 1

    class Adding:
        async def __call__(self, value: int) -> int:
            return value + 1

    log = Log()
    flow = stream(up_to).map(in_thread, concurrency=3).map(Adding()).filter(odd).map(later, concurrency=4).batch(5)
    await flow.into(log)(20)
    assert log.items == [value + 2 for value in range(20) if value % 2]


async def test_a_sync_step_may_give_something_to_await() -> None:
    @step
    def in_thread(value: int) -> Any:
        return later(value)

    assert [item async for item in stream(up_to).map(in_thread).items(3)] == [0, 1, 2]


@pytest.mark.parametrize("fn", [repeated, repeated_slowly, repeated_later])
async def test_an_item_may_become_any_number_of_items(fn: Any) -> None:
    found = [item async for item in stream(up_to).flat_map(fn).items(30)]
    assert found == [value for value in range(30) for _ in range(value % 4)]


async def test_an_item_that_becomes_a_million_is_taken_piece_by_piece() -> None:
    taken = 0

    def many(_: int) -> Iterator[int]:
        nonlocal taken
        for number in range(1_000_000):
            taken = number
            yield number

    async for item in stream(up_to).flat_map(many, buffer=10).items(1):
        if item == 100:
            break
    assert taken < 3000


@pytest.mark.parametrize(("every", "found"), [
    (None, [[0, 1, 2], [3, 4, 5], [6, 7, 8]]),
    (2, [[0, 1, 2], [2, 3, 4], [4, 5, 6], [6, 7, 8]]),
    (5, [[0, 1, 2], [5, 6, 7]]),
])  # fmt: skip
async def test_windows_lie_side_by_side_overlap_or_leave_gaps(every: int | None, found: list[list[int]]) -> None:
    assert [window async for window in stream(up_to).window(3, every=every).items(10)] == found


async def test_a_batch_that_has_been_open_too_long_is_passed_on() -> None:
    more = asyncio.Event()

    async def source(_: int) -> AsyncIterator[int]:
        for number in range(5):
            if number == 3:
                await more.wait()
            yield number

    log = Log()
    async with on_clock() as (app, clock):
        handle = await app.start(stream(source).batch(10, within="5 s").into(log)(0))
        assert await clock.jump() == 5_000_000
        await turns(20)
        assert log.batches == [[0, 1, 2]]
        more.set()
        await handle.result()
        assert log.batches == [[0, 1, 2], [3, 4]]


async def test_a_batch_that_became_due_while_items_came_is_passed_on_with_them() -> None:
    async def source(_: int) -> AsyncIterator[int]:
        yield 1
        await turns(10)
        clock._now += 6_000_000
        yield 2

    log = Log()
    async with on_clock() as (app, clock):
        await (await app.start(stream(source).batch(10, within=5).into(log)(0))).result()
    assert log.batches == [[1, 2]]


async def test_items_can_be_read_before_the_source_ends() -> None:
    more = asyncio.Event()
    closed = False

    async def source(count: int) -> AsyncIterator[int]:
        nonlocal closed
        try:
            for number in range(count):
                yield number
            await more.wait()
        finally:
            closed = True

    items = stream(source).map(double).items(3)
    assert [await anext(items) for _ in range(3)] == [0, 2, 4]
    await items.aclose()
    assert closed
    assert leftovers() == set()


async def test_readers_of_items_get_what_a_stage_raised() -> None:
    with pytest.raises(ValueError, match="no 3"):
        [item async for item in stream(up_to).map(broken).items(9)]
    with pytest.raises(ValueError, match="no 3"):
        [item async for item in stream(up_to).map(broken_later, concurrency=2).items(9)]


async def test_a_stream_may_stop_after_a_number_of_items_or_a_length_of_time() -> None:
    for source in (up_to, slowly, from_position):
        log = Log()
        result = await stream(source, at_most=25).batch(10).into(log)(1000)
        assert (result.reason, result.taken, len(log.items)) == ("at_most", 25, 25)

    async def endless(_: int) -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    log = Log()
    async with on_clock() as (app, clock):
        handle = await app.start(stream(endless, within="1 minute").batch(10).into(log)(0))
        await clock.jump()
        result = await handle.result()
        assert (result.reason, log.batches) == ("within", [[1]])


async def test_a_fold_puts_all_items_into_one_result() -> None:
    def total(so_far: int, value: int) -> int:
        return so_far + value

    async with in_memory() as app:
        handle = await app.start(stream(up_to).fold(total, 0, every=300)(1000))
        assert await handle.result() == sum(range(1000))
        found = facts(await journal_of(handle))
        assert [(fact.taken, fact.output) for fact in found[:3]] == [
            (300, b"44850"), (600, b"179700"), (900, b"404550"),
        ]  # fmt: skip


# --- backpressure


class Alive:
    """An item that counts how many of its kind there are."""

    now = most = 0

    def __init__(self) -> None:
        Alive.now += 1
        Alive.most = max(Alive.most, Alive.now)

    def __del__(self) -> None:
        Alive.now -= 1


async def test_memory_is_bounded_by_the_buffers_whatever_the_source_gives() -> None:
    def source(count: int) -> Iterator[Any]:
        return (Alive() for _ in range(count))

    async def sink(_: Any) -> None:
        await asyncio.sleep(0)

    gc.collect()
    Alive.now = Alive.most = 0
    result = await stream(source, buffer=50).map(lambda item: item).filter(bool).into(sink, durable=False)(20_000)
    assert result.taken == result.batches == 20_000
    assert Alive.most <= 3 * 50 + 3 * 50


async def test_a_buffer_of_batches_holds_as_many_items_as_any_other() -> None:
    gate, given = asyncio.Event(), 0

    def source(count: int) -> Iterator[int]:
        nonlocal given
        for number in range(count):
            given += 1
            yield number

    async def sink(_: Any) -> None:
        await gate.wait()

    flow = stream(source, buffer=100).batch(20).map(list).window(2).into(sink)
    async with in_memory() as app:
        handle = await app.start(flow(100_000))
        await turns(200)
        assert given < 1500
        gate.set()
        await handle.cancel()


async def test_a_full_buffer_loses_the_oldest_or_the_newest_or_fails_the_stream() -> None:
    async def burst(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    kept: dict[str, list[int]] = {}
    for overflow in ("drop_oldest", "drop_newest"):
        log = Log()
        result = await stream(burst, buffer=3, overflow=overflow).into(OneByOne(log))(100)  # type: ignore[call-overload, misc, unused-ignore]
        assert result.dropped == 97
        kept[overflow] = log.batches
    assert kept == {"drop_oldest": [97, 98, 99], "drop_newest": [0, 1, 2]}
    with pytest.raises(RunFailed, match="is full: it holds 3 items") as caught:
        await stream(burst, buffer=3, overflow="reject").into(OneByOne(Log()))(100)
    assert caught.value.failure.code == "stream_overflow"


class OneByOne:
    def __init__(self, log: Log) -> None:
        self.log = log

    async def __call__(self, item: Any) -> None:
        await self.log(item)


async def test_a_full_buffer_behind_a_flat_map_fails_the_stream_and_is_no_dead_letter() -> None:
    flow = stream(up_to).flat_map(lambda _: range(1000), on_error="skip").map(later, buffer=5, overflow="reject")
    with pytest.raises(RunFailed) as caught:
        await flow.into(OneByOne(Log()))(1)
    assert caught.value.failure.code == "stream_overflow"


# --- failing items


@pytest.mark.parametrize(("fn", "concurrency"), [(broken, 1), (broken_later, 1), (broken_later, 4)])
async def test_items_that_fail_may_become_dead_letters(fn: Any, concurrency: int) -> None:
    letters: list[DeadLetter] = []

    async def keep(letter: DeadLetter) -> None:
        letters.append(letter)

    log = Log()
    flow = stream(up_to).map(fn, on_error="skip", concurrency=concurrency).batch(20).into(log, dead_letters=keep)
    async with in_memory() as app:
        handle = await app.start(flow(100))
        result = await handle.result()
        events = await journal_of(handle)
    assert (result.dead, len(log.items)) == (10, 90)
    assert [(letter.item, letter.stage) for letter in letters] == [(n, fn.__name__) for n in range(3, 100, 10)]
    assert letters[0].failure.message == "no 3"
    assert [failure.message for fact in facts(events) for failure in fact.failures][:2] == ["no 3", "no 13"]
    assert [event.dead for event in events if isinstance(event, StreamEnded)] == [10]


async def test_a_flat_map_and_a_sink_may_skip_too() -> None:
    def half(value: int) -> Iterator[int]:
        yield value
        if value == 1:
            raise ValueError("half of it")
        yield value

    log = Log(2)
    result = await stream(up_to).flat_map(half, on_error="skip").into(log, on_error="skip")(3)
    assert (log.batches, result.dead, result.batches) == ([0, 2, 2], 2, 4) or log.batches == [0, 1, 2, 2]


async def test_a_step_is_tried_again_for_each_item_by_its_own_policy() -> None:
    tries: dict[int, int] = {}

    @step(retry=Retry(3, 0), timeout=5, concurrency=2)
    async def weak(value: int) -> int:
        tries[value] = tries.get(value, 0) + 1
        if tries[value] < 3:
            raise ValueError("not yet")
        return value

    log = Log()
    await stream(up_to).map(weak, concurrency=4).batch(10).into(log)(10)
    assert (log.items, set(tries.values())) == (list(range(10)), {3})


async def test_a_plain_function_that_gives_something_to_await_is_an_error() -> None:
    with pytest.raises(RipresaError, match="gives something to await"):
        await stream(up_to).map(lambda value: later(value)).into(OneByOne(Log()))(1)


async def test_functions_of_a_stream_cannot_journal_calls() -> None:
    async def calling(value: int) -> int:
        assert current().run
        assert current().attempt == 1
        return await current().call(repeated_later, value)  # type: ignore[call-overload, no-any-return]

    with pytest.raises(RipresaError, match="cannot journal calls"):
        await stream(up_to).map(calling).into(OneByOne(Log()))(1)


async def test_a_source_with_positions_must_give_them() -> None:
    def wrong(count: int, position: int | None) -> Iterator[Any]:
        return iter(range(count))

    with pytest.raises(RipresaError, match="gives 0"):
        await stream(wrong).into(OneByOne(Log()))(1)


async def test_each_item_has_a_key_of_its_own_in_steps_and_async_functions() -> None:
    keys: dict[str, list[str]] = {"one": [], "several": [], "parts": []}

    async def one(value: int) -> int:
        keys["one"].append(current().idempotency_key)
        return value

    @step
    async def several(value: int) -> int:
        keys["several"].append(current().idempotency_key)
        return value

    async def parts(value: int) -> AsyncIterator[int]:
        keys["parts"].append(current().idempotency_key)
        yield value
        yield value

    log = Log()
    async with in_memory() as app:
        flow = stream(up_to).map(one).flat_map(parts).map(several, concurrency=3).batch(4).into(log)
        await (await app.start(flow(4), id="r")).result()
    assert keys["one"] == [f"r/stream/one#{n}" for n in (1, 2, 3, 4)]
    assert keys["parts"] == [f"r/stream/parts#{n}" for n in (1, 2, 3, 4)]
    assert len(set(keys["several"])) == 8
    assert log.keys == ["r/stream#0-2.1:2", "r/stream#2.1:2-4.1:2"]


async def test_what_has_many_items_in_hand_or_none_has_no_key() -> None:
    def plain(value: int) -> str:
        return current().idempotency_key

    def source(count: int) -> Iterator[str]:
        yield current().idempotency_key

    for flow in (stream(up_to).map(plain).into(OneByOne(Log())), stream(source).into(OneByOne(Log()))):
        with pytest.raises(RunFailed, match="has no idempotency key") as caught:
            await flow(3)
        assert caught.value.failure.code == "not_available"


async def test_what_the_sink_changes_in_the_session_is_recorded_with_its_batch() -> None:
    failed = False

    @step(retry=Retry(2, 0))
    async def count(batch: list[int]) -> None:
        nonlocal failed
        current().session.add("items", len(batch))
        assert cast("int", current().session.get("items", int)) <= 7
        if len(batch) == 3 and batch[0] == 3 and not failed:
            failed = True
            raise ValueError("once")

    async def look(value: int) -> int:
        assert current().session.get("factor", int) == 2
        return value

    async with in_memory() as app:
        await app.sessions.create("s")
        await app.sessions.set("s", "factor", 2)
        flow = stream(from_position).map(look).batch(3).into(count)
        handle = await app.start(flow(7), session="s")
        await handle.result()
        assert await app.sessions.value("s", "items", int) == 7
        assert failed
        found = [name for name in kinds(await journal_of(handle)) if name in ("SessionWritten", "StreamAdvanced")]
        assert found[:4] == ["SessionWritten", "StreamAdvanced"] * 2


async def test_a_stream_pauses_and_goes_on_with_its_session() -> None:
    gate, log = Gate(), Log()
    async with in_memory() as app:
        await app.sessions.create("s")
        flow = stream(gate, on_restart="live", at_most=3).batch(1).into(log)
        handle = await app.start(flow(0), session="s")
        gate.give(1)
        await turns(20)
        await app.sessions.suspend("s")
        await turns(20)
        gate.give(2, 3)
        await turns(20)
        assert len(log.items) <= 2  # one item may have been on its way
        await app.sessions.resume("s")
        assert (await handle.result()).taken == 3
    assert log.items == [1, 2, 3]


@pytest.mark.parametrize("durable", [True, False])
async def test_only_the_sink_of_a_durable_stream_can_change_the_session(durable: bool) -> None:
    async def change(value: int) -> int:
        current().session.set("a", value)
        return value

    quiet = OneByOne(Log())
    flow = stream(up_to).map(change).into(quiet) if durable else stream(up_to).into(change, durable=False)
    async with in_memory() as app:
        await app.sessions.create("s")
        handle = await app.start(flow(3), session="s")
        with pytest.raises(RunFailed, match="only the sink of a stream"):
            await handle.result()


async def test_a_stage_writes_nothing_to_the_database() -> None:
    async def enter(value: int) -> int:
        current().transaction()
        return value

    async with in_memory() as app:
        handle = await app.start(stream(up_to).map(enter).into(OneByOne(Log()))(3))
        with pytest.raises(RunFailed, match="only the sink of a stream that is durable can write to the database"):
            await handle.result()


@dataclass
class Shared:
    factor: int = 3


async def test_the_functions_of_a_stream_read_the_typed_state_and_cannot_change_it() -> None:
    async def times(value: int) -> int:
        return value * current().state(Shared).factor

    async def change(value: int) -> int:
        assert current().to(Shared).factor is not None
        current().state(Shared).factor = value
        return value

    log = Log()
    await chain(stream(up_to).map(times).batch(9).into(log)).with_state(Shared)(4)
    assert log.items == [0, 3, 6, 9]
    with pytest.raises(RunFailed, match="a function of a stream"):
        await chain(stream(up_to).map(change).into(OneByOne(Log()))).with_state(Shared)(4)


async def test_a_stage_reports_what_it_used_and_cannot_save_artifacts() -> None:
    async def used(value: int) -> int:
        current().usage(tokens=value)
        current().touched(f"file {value}")
        return value

    async def save(value: int) -> int:
        current().save_artifact("a", "text")
        return value

    async with in_memory() as app:
        handle = await app.start(stream(up_to).map(used).into(OneByOne(Log()))(4))
        await handle.result()
        assert (await handle.status()).tokens == 6
        handle = await app.start(stream(up_to).map(save).into(OneByOne(Log()))(4))
        with pytest.raises(RunFailed, match="can save artifacts"):
            await handle.result()


async def test_what_a_sink_that_failed_for_good_asked_of_the_session_is_void() -> None:
    async def count(value: int) -> None:
        current().session.add("items", 1)
        if value == 1:
            raise ValueError("no")

    async with in_memory() as app:
        await app.sessions.create("s")
        await (await app.start(stream(up_to).into(count, on_error="skip")(3), session="s")).result()
        assert await app.sessions.value("s", "items", int) == 2


# --- what is recorded


async def test_one_event_is_recorded_for_each_batch_after_it_was_acknowledged() -> None:
    log = Log()
    async with in_memory() as app:
        handle = await app.start(stream(from_position).batch(10).into(log)(30), id="r")
        assert kinds(await journal_of(handle)) == [
            "RunStarted", "StepScheduled", *["StreamAdvanced"] * 4, "StreamEnded", "StepCompleted", "RunCompleted",
        ]  # fmt: skip
        assert [(fact.batch, fact.position, fact.ended) for fact in facts(await journal_of(handle))] == [
            (1, b"10", ""), (2, b"20", ""), (3, b"30", ""), (3, b"30", "exhausted"),
        ]  # fmt: skip
    assert log.keys == ["r/stream#0-10", "r/stream#10-20", "r/stream#20-30"]


async def test_a_stream_that_is_not_durable_records_its_beginning_and_its_end() -> None:
    async with in_memory() as app:
        handle = await app.start(stream(up_to).batch(10).into(Log(), durable=False)(30))
        assert (await handle.result()).batches == 3
        assert kinds(await journal_of(handle)) == [
            "RunStarted", "StepScheduled", "StreamAdvanced", "StreamEnded", "StepCompleted", "RunCompleted",
        ]  # fmt: skip


RESUMABLE = {
    "positions": stream(from_position),
    "positions at once": stream(from_position_at_once),
    "skips": stream(up_to, on_restart="skip"),
    "skips slowly": stream(slowly, on_restart="skip"),
}
SHAPES: dict[str, Any] = {
    "batch": lambda s: s.map(double).batch(7),
    "one by one": lambda s: s.map(double).flat_map(lambda value: [value]).batch(1),
    "flat map": lambda s: s.flat_map(repeated).batch(5),
    "flat map, slowly": lambda s: s.filter(even).flat_map(repeated_slowly).batch(5),
    "windows": lambda s: s.window(4, every=3),
    "windows with gaps": lambda s: s.window(2, every=5),
    "batches of windows of parts": lambda s: s.flat_map(repeated).window(3, every=1).flat_map(lambda w: w).batch(4),
    "twice flat": lambda s: s.batch(3).flat_map(lambda b: b).flat_map(repeated).batch(4),
}


@pytest.mark.parametrize("source", RESUMABLE)
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_stream_that_failed_goes_on_with_the_batch_that_failed(source: str, shape: str) -> None:
    whole = Log()
    await SHAPES[shape](RESUMABLE[source]).into(whole)(60)
    log = Log(2, 4, 5)
    async with in_memory() as app:
        handle = await app.start(SHAPES[shape](RESUMABLE[source]).into(log)(60), id="r")
        for _ in range(3):
            with pytest.raises(RunFailed):
                await handle.result()
            await handle.resume()
        await handle.result()
    assert log.batches == whole.batches
    assert len(set(log.keys)) == len(log.keys)


async def test_a_stream_may_be_tried_again_by_a_policy_that_counts_failures_without_progress() -> None:
    log = Log(1, 3, 5, 7)
    async with in_memory() as app:
        handle = await app.start(stream(from_position).batch(10).into(log, retry=Retry(2, 0))(40))
        await handle.result()
        assert log.items == list(range(40))
        log = Log(1, 2)
        handle = await app.start(stream(from_position).batch(10).into(log, retry=Retry(2, 0))(40))
        with pytest.raises(RunFailed, match="call 2"):
            await handle.result()


async def test_a_fold_that_failed_counts_each_item_once() -> None:
    fails = {150, 151}

    def total(so_far: list[int], value: int) -> list[int]:
        if value in fails:
            fails.discard(value)
            raise ValueError("not yet")
        so_far[0] += value
        return so_far

    async with in_memory() as app:
        handle = await app.start(stream(from_position).fold(total, [0], every=20, retry=Retry(5, 0))(200))
        assert await handle.result() == [sum(range(200))]


async def test_a_source_that_cannot_go_on_is_an_error_unless_it_is_live() -> None:
    async with in_memory() as app:
        handle = await app.start(stream(up_to).batch(10).into(Log(2))(40))
        with pytest.raises(RunFailed):
            await handle.result()
        await handle.resume()
        with pytest.raises(RunFailed, match="cannot go on after item 10"):
            await handle.result()

        log = Log(2)
        live = await app.start(stream(up_to, on_restart="live").batch(10).into(log, retry=Retry(2, 0))(40), id="l")
        result = await live.result()
        assert (result.taken, len(log.items)) == (50, 50)
        assert log.keys[:2] == ["l/stream!1#0-10", "l/stream!2#10-20"]


class Counted:
    """An async iterator without anything to close."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return self.left


async def test_sources_and_parts_may_be_iterators_of_any_kind() -> None:
    def parts(value: int) -> Counted:
        return Counted(value)

    def source(count: int) -> Counted:
        return Counted(count)

    assert [item async for item in stream(source).flat_map(parts).items(4)] == [2, 1, 0, 1, 0, 0]


async def test_an_item_that_fails_at_the_end_of_a_chunk_is_skipped_too() -> None:
    log = Log()
    await stream(up_to).map(broken, on_error="skip").batch(3).into(log)(4)
    assert log.items == [0, 1, 2]


@pytest.mark.parametrize("source", [from_position, from_position_at_once])
async def test_a_stream_that_had_taken_all_it_may_takes_no_more_when_it_goes_on(source: Any) -> None:
    log = Log(2)
    result = await stream(source, at_most=20).map(double).batch(10).map(list, buffer=1).into(log, retry=Retry(2, 0))(50)
    assert (result.reason, result.taken, result.batches) == ("at_most", 20, 2)
    memory, flow = Memory(), stream(source, at_most=20).batch(10).into(Log())
    async with App(Failing(MemoryStore(memory), 4)) as app:
        handle = await app.start(flow(50), id="r")
        with pytest.raises(StoreError):
            await handle.result()
    async with in_memory(memory) as app:
        found = await (await app.resume("r", flow)).result()
    assert (found.reason, found.taken) == ("at_most", 20)


async def test_a_stream_that_ended_and_lost_its_result_is_not_pumped_again() -> None:
    memory, log = Memory(), Log()
    flow = stream(from_position).batch(10).into(log)
    async with App(Failing(MemoryStore(memory), 5)) as app:
        handle = await app.start(flow(20), id="r")
        with pytest.raises(StoreError):
            await handle.result()
    async with in_memory(memory) as app:
        handle = await app.resume("r", flow)
        assert (await handle.result()).batches == 2
        assert kinds(await journal_of(handle)).count("StreamEnded") == 1
    assert log.calls == 2


async def test_a_batch_whose_record_was_lost_is_given_to_the_sink_again_under_the_same_key() -> None:
    memory = Memory()
    log = Log()
    flow = stream(from_position).batch(10).into(log)
    async with App(Failing(MemoryStore(memory), 4)) as app:
        handle = await app.start(flow(40), id="r")
        with pytest.raises(StoreError):
            await handle.result()
    async with in_memory(memory) as app:
        handle = await app.resume("r", flow)
        await handle.result()
    assert [batch[0] for batch in log.batches] == [0, 10, 20, 20, 30]
    assert log.keys[2] == log.keys[3]


# --- recorded in groups


def groups(events: list[Any]) -> list[tuple[int, int]]:
    """Number of the last batch and size of each group that was recorded before the end."""
    return [(fact.batch, fact.group) for fact in facts(events) if not fact.ended]


async def so_far(app: App) -> list[Any]:
    return [item.event for item in await app.engine.history("r")]


async def test_several_batches_may_be_recorded_as_one() -> None:
    log = Log()
    async with on_clock() as (app, _):
        handle = await app.start(stream(from_position).into(log, every=4)(10), id="r")
        assert (await handle.result()).batches == 10
        events = await journal_of(handle)
        assert groups(events) == [(4, 4), (8, 4)]
        assert [(fact.batch, fact.position) for fact in facts(events) if fact.ended] == [(10, b"10")]
    assert log.batches == list(range(10))
    assert log.keys == [f"r/stream#{number}-{number + 1}" for number in range(10)]


async def test_what_waits_to_be_recorded_is_recorded_after_a_while() -> None:
    gate, log = Gate(), Log()
    async with on_clock() as (app, clock):
        handle = await app.start(stream(gate, on_restart="live").into(log, every=100)(0), id="r")
        gate.give(1, 2)
        await turns(20)
        assert (log.batches, groups(await so_far(app))) == ([1, 2], [])
        clock.advance(0.02)
        await turns(10)
        assert groups(await so_far(app)) == [(2, 2)]
        gate.give(3)
        await turns(20)
        clock.advance(0.02)
        await turns(10)
        assert groups(await so_far(app)) == [(2, 2), (3, 1)]
        await handle.cancel()


async def test_a_slow_sink_is_recorded_in_time_although_more_is_waiting() -> None:
    async with on_clock() as (app, clock):

        async def slow(value: int) -> None:
            clock.advance(0.004)

        handle = await app.start(stream(from_position).into(slow, every=100)(8), id="r")
        await handle.result()
        assert groups(await journal_of(handle)) == [(4, 4), (8, 4)]


async def test_what_the_sink_asks_for_ends_a_group() -> None:
    async def count(value: int) -> None:
        assert current().session.names() is not None
        if value in (2, 5):
            current().session.add("items", 1)
        if value == 7:
            current().save_artifact("seven", "7")

    async with in_memory() as app:
        await app.sessions.create("s")
        handle = await app.start(stream(from_position).into(count, every=100)(10), session="s")
        await handle.result()
        assert groups(await journal_of(handle)) == [(3, 3), (6, 3), (8, 2)]
        assert await app.sessions.value("s", "items", int) == 2


async def test_what_a_sink_sends_ends_a_group() -> None:
    async def tell(value: int) -> None:
        if value == 1:
            current().queue("note", value)

    async with in_memory() as app:
        handle = await app.start(stream(from_position).into(tell, every=100)(4))
        await handle.result()
        assert groups(await journal_of(handle)) == [(2, 2)]


async def test_what_was_acknowledged_before_a_failure_is_recorded() -> None:
    log = Log(6, 10)
    async with in_memory() as app:
        handle = await app.start(stream(from_position).into(log, every=4, retry=Retry(3, 0))(10))
        await handle.result()
    assert log.batches == list(range(10))


async def test_what_was_acknowledged_before_a_stage_failed_is_recorded() -> None:
    log, fails = Log(), {7}

    async def checked(value: int) -> int:
        await turns(3)
        if value in fails:
            fails.discard(value)
            raise ValueError("once")
        return value

    async with in_memory() as app:
        flow = stream(from_position).map(checked).into(log, every=4, retry=Retry(3, 0))
        handle = await app.start(flow(10))
        await handle.result()
    assert log.batches == list(range(10))


async def test_at_most_a_group_is_repeated() -> None:
    memory, log = Memory(), Log()
    flow = stream(from_position).into(log, every=4)
    async with App(Failing(MemoryStore(memory), 4)) as app:
        handle = await app.start(flow(11), id="r")
        with pytest.raises(StoreError):
            await handle.result()
    async with in_memory(memory) as app:
        await (await app.resume("r", flow)).result()
    repeated = len(log.batches) - 11
    assert 0 < repeated <= 4
    assert dict(zip(log.keys, log.batches, strict=True)) == {f"r/stream#{n}-{n + 1}": n for n in range(11)}


# --- pause, cancel, fail


class Gate:
    """A source that a test lets give one item after the other; it notes that it was closed."""

    def __init__(self) -> None:
        self.ready: asyncio.Queue[int] = asyncio.Queue()
        self.closed = False
        self.taken = 0

    async def __call__(self, _: int) -> AsyncIterator[int]:
        try:
            while True:
                yield await self.ready.get()
                self.taken += 1
        finally:
            self.closed = True

    def give(self, *items: int) -> None:
        for item in items:
            self.ready.put_nowait(item)


async def test_a_paused_stream_takes_nothing_until_it_goes_on() -> None:
    gate, log = Gate(), Log()
    async with in_memory() as app:
        handle = await app.start(stream(gate, at_most=5).batch(1).into(log)(0))
        gate.give(1, 2)
        await turns(30)
        await handle.pause()
        gate.give(3, 4, 5)
        await turns(30)
        assert len(log.items) <= 3
        paused = len(log.items)
        await turns(30)
        assert (len(log.items), (await handle.status()).status) == (paused, "paused")
        await handle.resume()
        await handle.result()
    assert log.items == [1, 2, 3, 4, 5]
    assert gate.closed


@pytest.mark.parametrize("source", [slowly, up_to, from_position])
async def test_a_stream_can_be_paused_and_let_go_on_at_any_moment(source: Any) -> None:
    log = Log()
    async with in_memory() as app:
        handle = await app.start(stream(source, buffer=2).map(later, concurrency=2).batch(3).into(log)(300))
        while len(log.items) < 200:
            await turns(7)
            await handle.pause()
            await turns(3)
            await handle.resume()
        await handle.result()
    assert log.items == list(range(300))


async def test_a_stream_that_was_left_while_paused_goes_on_in_the_middle() -> None:
    memory, log = Memory(), Log()
    flow = stream(from_position, buffer=2).map(later).batch(5).into(log)
    async with in_memory(memory) as app:
        handle = await app.start(flow(100), id="r")
        await turns(40)
        await handle.pause()
    assert 0 < len(log.items) < 100
    async with in_memory(memory) as app:
        handle = await app.resume("r", flow)
        await turns(40)
        before = len(log.items)
        await handle.resume()
        await handle.result()
    assert before < 100
    assert sorted({*log.items}) == list(range(100))
    assert len(log.items) <= 105


@pytest.mark.parametrize("kind", ["map", "sink", "source", "side by side", "flat map"])
async def test_cancelling_a_stream_stops_every_part_of_it_and_closes_its_source(kind: str) -> None:
    tally, gate = Tally(), Gate()
    gate.give(1, 2, 3)
    left: list[str] = []

    async def visit(value: int) -> int:
        try:
            await tally.visit()
        finally:
            left.append("stage")
        return value

    async def visited(value: int) -> AsyncIterator[int]:
        try:
            await tally.visit()
            yield value
        finally:
            left.append("stage")

    items = stream(gate)
    flows = {
        "map": items.map(visit).into(OneByOne(Log())),
        "side by side": items.map(visit, concurrency=3).into(OneByOne(Log())),
        "flat map": items.flat_map(visited).into(OneByOne(Log())),
        "sink": items.into(visit),
        "source": items.into(OneByOne(Log())),
    }
    async with in_memory() as app:
        handle = await app.start(flows[kind](0))
        if kind != "source":
            await tally.reach(3 if kind == "side by side" else 1)
        await turns(20)
        await handle.cancel("enough")
        with pytest.raises(RunCancelled):
            await handle.result()
        ended = [event for event in await journal_of(handle) if isinstance(event, StreamEnded)]
        assert [event.reason for event in ended] == ["cancelled"]
        assert gate.closed
        assert len(left) == {"source": 0, "side by side": 3}.get(kind, 1)
        assert [task for task in asyncio.all_tasks() if "Line" in repr(task) or "Pump" in repr(task)] == []


async def test_a_storm_of_cancellations_leaves_nothing_behind() -> None:
    async with in_memory() as app:
        for number in range(30):
            flow = stream(slowly, buffer=3).map(later, concurrency=3).flat_map(repeated_slowly).batch(4)
            handle = await app.start(flow.into(Log())(1000))
            await turns(number * 5)
            await handle.cancel()
            with pytest.raises(RunCancelled):
                await handle.result()
        assert [task for task in asyncio.all_tasks() if "Line" in repr(task) or "Pump" in repr(task)] == []


async def test_what_one_part_raises_stops_all_others_at_once() -> None:
    gate = Gate()
    gate.give(1, 2, 3)
    tally = Tally()

    async def third(value: int) -> int:
        if value == 3:
            raise ValueError("the third")
        await tally.visit()
        return value

    with pytest.raises(ValueError, match="the third"):
        await stream(gate).map(third, concurrency=3).into(OneByOne(Log()))(0)
    assert gate.closed


async def test_an_error_of_the_source_is_the_streams() -> None:
    def source(_: int) -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await stream(source).into(OneByOne(Log()))(0)


@pytest.mark.parametrize("part", ["source", "map", "side by side", "sink"])
async def test_a_function_that_cancels_itself_fails_the_stream(part: str) -> None:
    async def cancelled(value: int) -> int:
        if value == 2:
            raise asyncio.CancelledError
        return value

    async def source(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield await cancelled(number)

    flows = {
        "source": stream(source).into(OneByOne(Log())),
        "map": stream(up_to).map(cancelled).into(OneByOne(Log())),
        "side by side": stream(up_to).map(cancelled, concurrency=2).into(OneByOne(Log())),
        "sink": stream(up_to).into(cancelled),
    }
    with pytest.raises(RunFailed, match="cancelled itself") as caught:
        await flows[part](9)
    assert caught.value.failure.code == "cancelled"


async def test_a_step_that_fails_too_often_for_an_item_fails_the_stream() -> None:
    with pytest.raises(ValueError, match="no 3"):
        await stream(up_to).map(step(retry=Retry(2, 0))(broken)).into(OneByOne(Log()))(9)


# --- hooks


async def test_hooks_are_told_what_happens_and_can_stop_the_stream() -> None:
    told: list[Any] = []

    def item(control: StreamControl, value: int) -> None:
        told.append(value)
        if value == 4:
            control.stop("enough")

    hooks = StreamHooks(
        start=lambda control: told.append(("start", control.path)),
        item=item,
        end=lambda control: told.append(("end", control.counts)),
    )
    for source in (up_to, slowly):
        told.clear()
        log = Log()
        result = await stream(source).batch(2).into(log, hooks=hooks)(100)
        assert told == [("start", "stream"), 0, 1, 2, 3, 4, ("end", (5, 3, 0, 0))]
        assert (result.reason, log.items[:4]) == ("enough", [0, 1, 2, 3])


async def test_a_hook_may_pause_the_stream_and_somebody_else_lets_it_go_on() -> None:
    found: list[StreamControl] = []

    def pause(control: StreamControl, value: int) -> None:
        if value == 3:
            control.pause()
            found.append(control)

    log = Log()
    async with in_memory() as app:
        for source in (up_to, slowly):
            handle = await app.start(stream(source).batch(1).into(log, hooks=StreamHooks(item=pause))(10))
            await turns(100)
            assert len(log.items) == 4
            assert (await handle.status()).status == "paused"
            found[-1].go_on() if source is slowly else await handle.resume()
            await handle.result()
            assert len(log.items) == 10
            log.batches.clear()


async def test_a_stream_that_its_hook_paused_is_paused_after_a_crash_too() -> None:
    def pause(control: StreamControl, value: int) -> None:
        if value == 3 and len(log.items) == 0:
            control.pause()

    log, memory = Log(), Memory()
    pausing = stream(from_position, name="load").batch(1).into(log, hooks=StreamHooks(item=pause))
    async with in_memory(memory) as app:
        handle = await app.start(pausing(6), id="r")
        while (await handle.status()).status != "paused" or len(log.items) < 4:
            await turns(1)
    async with in_memory(memory) as app:
        handle = await app.resume("r", pausing)
        await turns(20)
        assert len(log.items) == 4
        assert (await handle.status()).status == "paused"
        await handle.resume()
        assert (await handle.result()).batches == 6


async def test_a_hook_lets_a_stream_that_fails_wait_until_it_is_resumed() -> None:
    def pause(control: StreamControl, failure: Failure) -> None:
        control.pause()

    log = Log(3)
    async with in_memory() as app:
        failing = stream(from_position, name="load").batch(1).into(log, hooks=StreamHooks(error=pause))
        handle = await app.start(chain(failing)(5))
        while (await handle.status()).status != "paused":
            await turns(1)
        await turns(20)
        await handle.resume()
        assert (await handle.result()).batches == 5
        assert log.items == [0, 1, 2, 3, 4]
        (asked,) = [event for event in await journal_of(handle) if isinstance(event, PauseRequested)]
        assert (asked.reason, asked.by) == ("a hook of the stream paused it: call 3", "stream load")


async def test_a_hook_ends_a_stream_that_fails() -> None:
    told: list[str] = []

    def stop(control: StreamControl, failure: Failure) -> None:
        told.append(failure.message)
        control.stop("gave up")

    for limited in (False, True):
        told.clear()
        log = Log(3)
        failing = stream(from_position, name="load").batch(1).into(log, hooks=StreamHooks(error=stop))
        async with in_memory() as app:
            if limited:  # what nobody may use is not a hook's to excuse
                outcome = await (await app.start(chain(failing)(5), limits=Limits(operations=2))).outcome()
                assert outcome.status == "failed"
            else:
                result = await app.run(chain(failing)(5))
                assert (result.reason, result.batches, result.position) == ("gave up", 2, 2)
                assert told == ["call 3"]
    folding = stream(up_to).map(broken).fold(lambda so_far, item: so_far + item, 0, hooks=StreamHooks(error=stop))
    assert isinstance(await folding(10), int)


async def test_hooks_are_told_of_items_that_become_dead_letters_and_may_stop_there() -> None:
    told: list[str] = []

    def stop(control: StreamControl, failure: Failure) -> None:
        told.append(failure.message)
        control.stop("bad item")

    hooks = StreamHooks(error=stop)
    result = await stream(slowly).map(broken, on_error="skip").into(OneByOne(Log()), hooks=hooks)(100)
    assert (told, result.reason, result.dead) == (["no 3"], "bad item", 1)


async def test_a_stream_can_be_stopped_before_it_begins_and_twice() -> None:
    def stop(control: StreamControl) -> None:
        control.stop("not today")
        control.stop("never")

    result = await stream(up_to).into(OneByOne(Log()), hooks=StreamHooks(start=stop))(10)
    assert (result.reason, result.taken) == ("not today", 0)


async def test_hooks_are_told_of_full_buffers_once_until_there_is_room() -> None:
    told: list[str] = []
    hooks = StreamHooks(backpressure=lambda _, stage: told.append(stage))
    await stream(slowly, buffer=2).into(later, hooks=hooks)(20)
    assert 1 <= len(told) <= 20
    assert set(told) == {"later"}


async def test_hooks_are_told_of_an_error_and_what_they_raise_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def bad(_: StreamControl) -> None:
        raise RuntimeError("a bad hook")

    hooks = StreamHooks(start=bad, error=lambda _, failure: told.append(failure.message))
    with pytest.raises(ValueError, match="no 3"):
        await stream(up_to).map(broken).into(OneByOne(Log()), hooks=hooks)(10)
    assert told == ["no 3"]
    assert "a hook of a stream raised" in caplog.text


async def test_hooks_of_steps_stand_at_a_stream_as_a_whole() -> None:
    told: list[Any] = []

    @before("load")
    def more(asked: BeforeStep) -> Replace:
        return Replace(asked.input + 1)

    @after("load")
    def once_more(asked: AfterStep) -> Again | None:
        told.append(asked.output.taken)
        return Again() if told.count(4) == 1 else None

    @observe("stream")
    def see(seen: Observed) -> None:
        told.append(type(seen.event).__name__)

    log = Log()
    async with in_memory(hooks=[more, once_more, see]) as app:
        handle = await app.start(stream(up_to, name="load").batch(4).into(log)(3))
        assert (await handle.result()).taken == 4
    assert (told.count(4), told.count("StreamEnded")) == (2, 2)
    assert log.batches == [[0, 1, 2, 3]] * 2


async def summed(given: dict[str, int], position: int | None) -> AsyncIterator[At[int, int]]:
    for number in range(position or 0, sum(given.values())):
        yield At(number, number + 1)


@pytest.mark.parametrize("awaits", [False, True])
@pytest.mark.parametrize("answer", [Veto("no"), Skip(StreamResult(0, 0, 0, 0, "left out")), Replace({"a": 1, "b": 2})])
async def test_hooks_stand_at_a_stream_whose_source_takes_a_position(answer: Any, awaits: bool) -> None:
    asked_about: list[Any] = []

    def plain(asked: BeforeStep) -> Any:
        asked_about.append((asked.arguments, asked.input))
        return answer

    async def slow(asked: BeforeStep) -> Any:
        return plain(asked)

    log = Log()
    async with in_memory(hooks=[before("load")(slow if awaits else plain)]) as app:
        source = stream(summed, name="load").batch(9).into(log)
        outcome = await (await app.start(chain(source)({"a": 5}))).outcome()
    assert asked_about == [({"given": {"a": 5}}, {"a": 5})]
    assert (outcome.status, log.items) == {
        Veto: ("failed", []),
        Skip: ("completed", []),
        Replace: ("completed", [0, 1, 2]),
    }[type(answer)]


async def test_a_hook_that_cannot_be_asked_is_not_counted_as_broken() -> None:
    @before("load", breaker=Breaker(failures=1), critical=True)
    def guard(asked: BeforeStep) -> None:
        """Never called at the first step, whose input is not what it takes."""

    @step
    async def number(value: Any) -> Any:
        return value

    @step(name="load")
    async def load(value: int) -> int:
        return value

    async with in_memory(hooks=[guard]) as app:
        outcome = await (await app.start(chain(number).then(load)("no number"))).outcome()
        assert outcome.error is not None
        assert "could not be asked" in str(outcome.error)
        assert await app.run(chain(number).then(load)(4)) == 4


async def test_a_rehearsal_goes_past_a_stream_whose_source_takes_a_position() -> None:
    async with in_memory() as app:
        found = await app.rehearse(chain(stream(from_position, name="load").batch(2).into(Log()))(5))
    assert (found.status, [(one.path, dict(one.arguments)) for one in found.steps]) == (
        "completed",
        [("load", {"count": 5})],
    )


async def test_a_hook_may_answer_for_a_stream_that_failed() -> None:
    @on_error("load")
    def instead(asked: StepErring) -> Replace:
        return Replace(StreamResult(0, 0, 0, 0, "left out"))

    async with in_memory(hooks=[instead]) as app:
        handle = await app.start(stream(up_to, name="load").map(broken).batch(2).into(Log())(9))
        assert (await handle.result()).reason == "left out"


# --- what watchers see


async def test_watchers_are_told_rates_and_lag_at_most_once_a_second() -> None:
    log = Log()
    async with on_clock() as (app, clock):

        async def tick(batch: list[int]) -> None:
            await log(batch)
            clock.advance(0.4)
            await turns(3)

        handle = await app.start(stream(slowly, buffer=20).batch(10).into(tick)(100))
        found = [item async for item in handle.watch() if isinstance(item, StreamProgressed)]
    assert len(found) == 3
    assert [notice.batches for notice in found] == [3, 6, 9]
    assert [name for name, _ in found[0].rates] == ["batch", "tick"]
    assert found[0].rates[1][1] == pytest.approx(3 / 1.2)
    assert found[-1].lag > 0


async def test_nobody_is_told_when_nobody_watches() -> None:
    async with on_clock() as (app, clock):

        async def tick(_: Any) -> None:
            clock.advance(2)

        await (await app.start(stream(up_to).into(tick)(3))).result()


# --- everywhere


async def test_a_stream_stands_in_chains_graphs_and_durable_functions() -> None:
    log = Log()
    flow = stream(up_to, name="load").batch(4).into(log)

    @step
    async def count(result: StreamResult) -> int:
        return result.taken

    @workflow
    async def function(ctx: Context, value: int) -> int:
        first = await flow(value)
        both = await ctx.gather(flow(2), count(first))
        return both[0].taken + both[1]

    graph = Graph("graph", input=int)
    loaded = graph.add(flow(graph.input))
    whole = graph.returns(graph.add(count(loaded.out)).out)
    async with in_memory() as app:
        assert await (await app.start(chain(flow).then(count)(9))).result() == 9
        assert await (await app.start(whole(9))).result() == 9
        assert await (await app.start(function(9))).result() == 11
        both = await (await app.start(parallel(flow, flow)(3))).result()
        assert [result.taken for result in both] == [3, 3]


async def test_a_stream_in_a_durable_function_goes_on_in_the_middle() -> None:
    log = Log(3)
    flow = stream(from_position).batch(10).into(log)

    @workflow
    async def function(ctx: Context, value: int) -> int:
        return (await flow(value)).taken

    async with in_memory() as app:
        handle = await app.start(function(50))
        with pytest.raises(RunFailed):
            await handle.result()
        await handle.resume()
        assert await handle.result() == 50
    assert log.items == list(range(50))
