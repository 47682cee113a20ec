"""Limits of runs and sessions: what they count, that they hold side by side, what happens when they are reached."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    App,
    At,
    Context,
    Handle,
    IllegalTransition,
    Limits,
    RipresaError,
    RunFailed,
    Signal,
    branch,
    chain,
    current,
    fallback,
    map_each,
    parallel,
    repeat,
    step,
    stream,
    workflow,
)
from ripresa.core import events as e
from ripresa.ports import Batch, Store
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.clock import ManualClock
from tests.runtime.stage import Tally, Wrapped, all_of, journal_of, kinds, on_clock, turns


@pytest.fixture(params=["memory", "sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    store: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "runs.db", "normal")
    async with App(store, patience=0.05) as app:
        yield app


async def becomes(handle: Handle[Any], status: str) -> None:
    async with aclosing(handle.events()) as events:
        async for _ in events:
            if (await handle.status()).status == status:
                return


ran: list[int] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


@step
async def work(n: int) -> int:
    ran.append(n)
    await turns(2)
    current().usage(tokens=10, cost=0.5)
    return n


@step
def one_more(n: int) -> int:
    ran.append(n)
    return n + 1


# --- what is counted


@pytest.mark.parametrize(
    ("limits", "name", "count"),
    [
        (Limits(steps=5), "steps", 5),
        (Limits(operations=4), "operations", 4),
        (Limits(tokens=25, concurrency=1), "tokens", 3),
        (Limits(money=1, concurrency=1), "money", 2),
    ],
)
async def test_a_limit_holds_under_fan_out(app: App, limits: Limits, name: str, count: int) -> None:
    handle = await app.start(chain(map_each(work))(list(range(20))), limits=limits)
    with pytest.raises(RunFailed, match=f"the limit of {name} is reached") as caught:
        await handle.result()
    assert caught.value.failure.code == "limit_exceeded"
    assert len(ran) == count
    (reached,) = [event for event in await journal_of(handle) if isinstance(event, e.LimitReached)][:1]
    assert (reached.limit, reached.policy) == (name, "fail")
    view = await handle.status()
    assert (view.status, view.limit) == ("failed", name)


async def test_what_is_within_its_limits_completes(app: App) -> None:
    limits = Limits(steps=3, operations=3, tokens=30, money=1.5, iterations=0, storage=0, wall_time=60, state_size=0)
    assert await app.run(chain(map_each(work))([1, 2, 3]), limits=limits) == [1, 2, 3]


async def test_iterations_of_all_loops_are_counted(app: App) -> None:
    loop = repeat(one_more, until=lambda n: n >= 9, at_most=99)
    with pytest.raises(RunFailed, match="the limit of iterations"):
        await app.run(loop(0), limits=Limits(iterations=4))
    assert len(ran) == 4


async def test_a_retry_is_an_operation_and_no_step(app: App) -> None:
    @step(retry=5)
    def third(n: int) -> int:
        ran.append(n)
        if current().attempt < 3:
            raise ValueError
        return n

    assert await app.run(third(1), limits=Limits(steps=1, operations=3)) == 1
    with pytest.raises(RunFailed, match="the limit of operations"):
        await app.run(third(1), limits=Limits(operations=2))


async def test_a_fallback_does_not_hide_that_a_limit_is_reached(app: App) -> None:
    with pytest.raises(RunFailed, match="the limit of steps"):
        await app.run(chain(one_more).then(fallback(one_more, one_more))(1), limits=Limits(steps=1))
    assert ran == [1]


async def test_durable_functions_have_limits_too(app: App) -> None:
    @workflow
    async def many(ctx: Context, count: int) -> int:
        for n in range(count):
            await one_more(n)
        return count

    with pytest.raises(RunFailed, match="the limit of steps"):
        await app.run(many(9), limits=Limits(steps=3))
    assert ran == [0, 1, 2]


async def test_storage_is_asked_for_before_anything_is_kept(app: App) -> None:
    @step
    def save(size: int) -> None:
        current().save_artifact("a", b"x" * size)

    await app.run(save(10), limits=Limits(storage=10))
    with pytest.raises(RunFailed, match="the limit of storage is reached: 0 of 10 are used"):
        await app.run(save(11), id="r", limits=Limits(storage=10))
    assert await app.artifacts.list(run="r") == ()


async def test_tokens_are_reserved_before_and_settled_after(app: App) -> None:
    tally = Tally()

    @step
    async def careful(n: int) -> int:
        await current().reserve(tokens=40)
        await tally.visit()
        current().usage(tokens=30)
        return n

    handle = await app.start(chain(map_each(careful))([1, 2, 3]), limits=Limits(tokens=100, on_exceeded="pause"))
    await becomes(handle, "paused")
    tally.open()
    await becomes(handle, "paused")
    while (await handle.status()).completed < 2:  # noqa: ASYNC110 - the run says nothing of its own when it has paused
        await asyncio.sleep(0)
    assert (await handle.status()).tokens == 60
    await handle.resume()
    assert await handle.result() == [1, 2, 3]
    assert tally.entered == 3


async def test_outside_a_run_and_without_limits_reserving_is_free(app: App) -> None:
    @step
    async def careful(n: int) -> int:
        await current().reserve(tokens=10**9, cost=1e9)
        return n

    assert await careful(1) == await app.run(careful(1)) == 1


# --- what happens then


async def test_a_run_that_paused_goes_on_when_it_is_allowed_more(app: App) -> None:
    flow = chain(one_more).then(one_more).then(one_more)
    handle = await app.start(flow(0), limits=Limits(steps=1, on_exceeded="pause"))
    await becomes(handle, "paused")
    assert ran == [0]
    await handle.resume()
    await becomes(handle, "paused")
    assert (await handle.status()).limit == "steps"
    await handle.allow(Limits(steps=3))
    assert await handle.result() == 3
    assert "LimitsSet" in kinds(await journal_of(handle))
    assert (await handle.status()).limit == ""


async def test_a_run_that_asks_goes_on_only_when_it_is_answered(app: App) -> None:
    flow = chain(one_more).then(one_more)
    handle = await app.start(flow(0), limits=Limits(steps=1, on_exceeded="ask"))
    await becomes(handle, "paused")
    with pytest.raises(IllegalTransition, match="asks for more steps"):
        await handle.resume()
    await handle.allow(Limits(steps=2), by="ann")
    assert await handle.result() == 2


async def test_a_run_that_is_denied_fails(app: App) -> None:
    flow = chain(one_more).then(one_more)
    handle = await app.start(flow(0), limits=Limits(steps=1, on_exceeded="ask"))
    await becomes(handle, "paused")
    await handle.allow(None, by="ann")
    with pytest.raises(RunFailed, match="nothing more was allowed") as caught:
        await handle.result()
    assert caught.value.failure.code == "limit_exceeded"


async def test_time_is_a_limit() -> None:
    async with on_clock() as (app, clock):
        tally = Tally()

        @step
        async def slow(n: int) -> int:
            await tally.visit()
            return n

        failing = await app.start(slow(1), limits=Limits(wall_time=10))
        pausing = await app.start(chain(slow).then(slow)(1), limits=Limits(wall_time=10, on_exceeded="pause"))
        await tally.reach(2)
        clock.advance(10)
        with pytest.raises(RunFailed, match="the limit of wall_time"):
            await failing.result()
        await becomes(pausing, "paused")
        await pausing.allow(Limits(wall_time=30))
        tally.open()
        assert await pausing.result() == 1


# --- after a crash


async def test_what_was_used_is_counted_once_over_a_restart() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def wait(n: int) -> int:
        await tally.visit()
        return n

    flow = chain(one_more).then(wait).then(one_more).then(one_more)
    async with App(MemoryStore(memory), patience=0.01) as app:
        handle = await app.start(flow(0), id="r", limits=Limits(steps=3, concurrency=2))
        await tally.reach(1)
    tally.open()
    async with App(MemoryStore(memory)) as app:
        handle = await app.resume("r", flow)
        with pytest.raises(RunFailed, match="the limit of steps is reached: 3 of 3"):
            await handle.result()
        reached = [item.event for item in await all_of(handle) if isinstance(item.event, e.LimitReached)]
        assert [(event.path, event.used) for event in reached] == [("one_more#3", 3)]


# --- sessions


@pytest.mark.parametrize(
    ("limits", "name", "count"),
    [(Limits(steps=5), "steps", 5), (Limits(operations=5), "operations", 5), (Limits(tokens=50), "tokens", 5)],
)
async def test_a_limit_of_a_session_is_shared_by_its_runs(app: App, limits: Limits, name: str, count: int) -> None:
    await app.sessions.create("s", limits=limits)
    for n in range(count):
        await app.run(work(n), session="s")
    with pytest.raises(RunFailed, match=f"the limit of {name}"):
        await app.run(work(9), session="s")
    assert len(ran) == count
    used = await app.sessions.used("s")
    assert (used["steps"], used["operations"], used["tokens"], used["money"]) == (count, count, 10 * count, 0.5 * count)


async def test_a_limit_of_a_session_holds_for_runs_side_by_side(app: App) -> None:
    await app.sessions.create("s", limits=Limits(steps=7))
    runs = [app.run(chain(map_each(work))([1, 2, 3]), session="s") for _ in range(5)]
    results = await asyncio.gather(*runs, return_exceptions=True)
    assert len(ran) <= 7
    assert sum(isinstance(result, RunFailed) for result in results) >= 3
    assert (await app.sessions.used("s"))["steps"] <= 7


async def test_a_session_bounds_how_much_runs_at_a_time(app: App) -> None:
    tally = Tally(open=True)

    @step
    async def visit(n: int) -> int:
        await tally.visit()
        return n

    await app.sessions.create("s", limits=Limits(concurrency=2))
    await asyncio.gather(*(app.run(chain(map_each(visit))([1, 2]), session="s") for _ in range(2)))
    assert (tally.most, tally.entered) == (2, 4)


async def test_what_was_cancelled_while_the_session_had_no_room_for_it_was_not_used(app: App) -> None:
    tally = Tally()

    @step
    async def visit(n: int) -> int:
        await tally.visit()
        return n

    await app.sessions.create("s", limits=Limits(concurrency=1, operations=3))
    holding = await app.start(visit(1), session="s")
    await tally.reach(1)
    waiting = await app.start(chain(map_each(visit))([1, 2, 3]), session="s")
    await turns(5)
    await waiting.cancel()
    assert (await waiting.outcome()).status == "cancelled"
    tally.open()
    await holding.result()
    used = await app.sessions.used("s")
    assert (used["operations"], used["steps"]) == (1, 1)


async def test_tokens_reserved_in_a_session_are_not_given_twice(app: App) -> None:
    tally = Tally()

    @step
    async def careful(n: int) -> int:
        await current().reserve(tokens=60)
        await tally.visit()
        current().usage(tokens=20)
        return n

    await app.sessions.create("s", limits=Limits(tokens=100))
    first = await app.start(careful(1), session="s")
    await tally.reach(1)
    with pytest.raises(RunFailed, match="the limit of tokens"):
        await app.run(careful(2), session="s")
    tally.open()
    await first.result()
    assert await app.run(careful(3), session="s") == 3
    assert (await app.sessions.used("s"))["tokens"] == 40


async def test_a_session_is_allowed_more(app: App) -> None:
    await app.sessions.create("s", limits=Limits(steps=1, on_exceeded="pause"))
    await app.run(one_more(0), session="s")
    handle = await app.start(one_more(1), session="s")
    await becomes(handle, "paused")
    assert (await app.sessions.allow("s", Limits(steps=2))).limits == Limits(steps=2)
    await handle.resume()
    assert await handle.result() == 2


async def test_a_crash_counts_nothing_twice_in_a_session() -> None:
    memory, tally = Memory(), Tally()

    @step(retry=3)
    async def wait(n: int) -> int:
        current().usage(tokens=5)
        await tally.visit()
        return n

    flow = chain(wait)
    async with App(MemoryStore(memory), patience=0.01) as app:
        await app.sessions.create("s", limits=Limits(steps=9, operations=9))
        await app.start(flow(0), id="r", session="s")
        await tally.reach(1)
    tally.open()
    async with App(MemoryStore(memory)) as app:
        handle = await app.resume("r", flow)
        assert await handle.result() == 0
        used = await app.sessions.used("s")
        assert used["steps"] == 1
        assert used["operations"] == 2


async def test_what_a_session_holds_may_be_bounded(app: App) -> None:
    @step
    def fill(size: int) -> None:
        current().session.set("a", "x" * size)

    await app.sessions.create("s", limits=Limits(state_size=100))
    await app.run(fill(50), session="s")
    with pytest.raises(RunFailed, match="the limit of state_size"):
        await app.run(fill(200), session="s")
    with pytest.raises(RipresaError):
        await app.run(fill(99), session="s")


async def test_limits_hold_at_once_for_a_run_that_began_without_any(app: App) -> None:
    tally = Tally()

    @step
    async def wait(n: int) -> int:
        await tally.visit()
        return n

    flow = chain(wait).then(one_more).then(one_more)
    handle = await app.start(flow(0))
    await tally.reach(1)
    await handle.allow(Limits(steps=2))
    tally.open()
    outcome = await handle.outcome()
    assert (outcome.status, "2 of 2 are used" in str(outcome.error), ran) == ("failed", True, [0])


async def test_time_that_is_not_limited_any_more_does_not_run_out() -> None:
    tally = Tally()

    @step
    async def wait(n: int) -> int:
        await tally.visit()
        return n

    async with on_clock() as (app, clock):
        handle = await app.start(chain(wait)(3), limits=Limits(wall_time=5))
        await tally.reach(1)
        await handle.allow(Limits(steps=9))
        clock.advance(60)
        await turns(3)
        tally.open()
        assert await handle.result() == 3


async def test_the_limits_of_a_session_that_a_run_enters_hold_at_once(app: App) -> None:
    tally = Tally()

    @step
    async def wait(n: int) -> int:
        await tally.visit()
        return n

    flow = chain(wait).then(one_more).then(one_more)
    await app.sessions.create("s", limits=Limits(steps=1))
    handle = await app.start(flow(0), id="run")
    await tally.reach(1)
    await handle.pause()
    handle = await app.resume("run", flow, session="s")
    tally.open()
    outcome = await handle.outcome()
    assert (outcome.status, "of session 's' is reached" in str(outcome.error), ran) == ("failed", True, [])


async def test_limits_that_a_session_is_given_hold_for_runs_that_are_under_way(app: App) -> None:
    gate = asyncio.Event()

    @step
    async def held(number: int) -> int:
        await gate.wait()
        return number

    @step
    async def more(number: int) -> int:
        return number

    await app.sessions.create("s")
    handle = await app.start(chain(held).then(more)(1), session="s")
    while not (await handle.status()).steps:
        await turns(1)
    await app.sessions.allow("s", Limits(steps=1))
    gate.set()
    with pytest.raises(RunFailed, match="limit of steps of session 's' is reached"):
        await handle.result()


# --- streams


async def spend(batch: list[int]) -> None:
    current().usage(tokens=100, cost=1)
    ran.extend(batch)


def numbers(count: int, position: int | None) -> Iterator[At[int, int]]:
    return (At(number, number + 1) for number in range(position or 0, count))


pumping = stream(numbers, name="load").batch(1).into(spend)


@pytest.mark.parametrize(
    ("limits", "name", "done"),
    [
        (Limits(tokens=300), "tokens", 3),
        (Limits(money=2), "money", 2),
        (Limits(operations=4), "operations", 3),  # one of them is the attempt of the stream itself
    ],
)
@pytest.mark.parametrize("whose", ["run", "session"])
async def test_a_limit_ends_a_stream_in_the_middle(app: App, limits: Limits, name: str, done: int, whose: str) -> None:
    if whose == "session":
        await app.sessions.create("s", limits=limits)
        handle = await app.start(chain(pumping)(50), session="s")
    else:
        handle = await app.start(chain(pumping)(50), limits=limits)
    outcome = await handle.outcome()
    assert (outcome.status, ran) == ("failed", list(range(done)))
    (reached,) = [event for event in await journal_of(handle) if isinstance(event, e.LimitReached)]
    assert (reached.limit, reached.session) == (name, "s" if whose == "session" else "")
    if whose == "session":
        assert (await app.sessions.used("s"))["tokens"] == 100 * done


async def test_a_stream_that_uses_exactly_what_it_may_completes(app: App) -> None:
    assert (await app.run(chain(pumping)(3), limits=Limits(tokens=300, operations=4, money=3))).batches == 3


async def test_a_stream_that_paused_at_a_limit_goes_on_where_it_stood(app: App) -> None:
    handle = await app.start(chain(pumping)(6), limits=Limits(tokens=200, on_exceeded="pause"))
    await becomes(handle, "paused")
    assert ran == [0, 1]
    await handle.allow(Limits(tokens=1000))
    assert (await handle.result()).batches == 6
    assert ran == list(range(6))


async def test_streams_side_by_side_share_what_a_run_and_a_session_may_do(app: App) -> None:
    several = chain(parallel(*(pumping.named(f"s{number}") for number in range(4))))
    given: Any
    for given in ({"limits": Limits(operations=14)}, {"session": "s"}):
        ran.clear()
        if "session" in given:
            await app.sessions.create("s", limits=Limits(operations=14))
        outcome = await (await app.start(several(50), **given)).outcome()
        assert outcome.status == "failed"
        assert len(ran) < 14  # an attempt that ends at a limit is not counted, it is to be run again


async def test_calls_that_are_recorded_in_groups_are_counted_one_by_one(app: App) -> None:
    many = stream(numbers, name="load").map(lambda n: [n]).into(spend, every=4)
    for whose in ("run", "session"):
        ran.clear()
        limits = Limits(operations=7)
        if whose == "session":
            await app.sessions.create("s", limits=limits)
        given: Any = {"limits": limits} if whose == "run" else {"session": "s"}
        handle = await app.start(chain(many)(50), **given)
        assert (await handle.outcome()).status == "failed"
        assert ran == list(range(6))
    assert (await app.sessions.used("s"))["operations"] == 6  # its attempt was to be run again, and does not count


@pytest.mark.parametrize("whose", ["run", "session"])
async def test_what_a_sink_reserves_is_free_again_when_its_batch_is_recorded(app: App, whose: str) -> None:
    async def careful(batch: int) -> None:
        await current().reserve(tokens=100)
        current().usage(tokens=50)
        ran.append(batch)

    every = stream(numbers, name="load").into(careful, every=3)
    limits = Limits(tokens=500)
    if whose == "session":
        await app.sessions.create("s", limits=limits)
    given: Any = {"limits": limits} if whose == "run" else {"session": "s"}
    outcome = await (await app.start(chain(every)(50), **given)).outcome()
    assert outcome.status == "failed"
    assert 8 <= len(ran) <= 10


async def test_a_limit_is_reached_by_stages_whose_items_come_to_no_sink(app: App) -> None:
    async def costly(number: int) -> bool:
        current().usage(tokens=10)
        ran.append(number)
        return False

    for source in (numbers, slow_numbers):
        ran.clear()
        idle = stream(source, name="load", buffer=2).filter(costly).batch(1).into(spend)
        handle = await app.start(chain(idle)(500), limits=Limits(tokens=100))
        assert (await handle.outcome()).status == "failed"
        assert len(ran) < 30
        folding = stream(source, name="load", buffer=2).filter(costly).fold(lambda so_far, _: so_far, 0)
        assert (await (await app.start(chain(folding)(500), limits=Limits(tokens=100))).outcome()).status == "failed"


async def slow_numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await turns(3)
        yield number


async def test_folds_and_streams_that_record_nothing_are_held_to_limits_too(app: App) -> None:
    def count(so_far: int, number: int) -> int:
        return so_far + 1

    async def costly(number: int) -> int:
        current().usage(tokens=10)
        return number

    folding = stream(numbers, name="load").fold(count, 0, every=2)
    handle = await app.start(chain(folding)(50), limits=Limits(operations=3, on_exceeded="pause"))
    await becomes(handle, "paused")
    await handle.allow(Limits(operations=100))
    assert await handle.result() == 50
    using = stream(numbers, name="load").map(costly).fold(count, 0, every=1)
    assert (await (await app.start(chain(using)(500), limits=Limits(tokens=100))).outcome()).status == "failed"
    unrecorded = stream(numbers, name="load").batch(1).into(spend, durable=False)
    assert (await (await app.start(chain(unrecorded)(50), limits=Limits(tokens=300))).outcome()).status == "failed"
    assert ran == [0, 1, 2]


async def test_no_dead_letter_hides_that_a_limit_is_reached(app: App) -> None:
    async def careful(batch: int) -> None:
        await current().reserve(tokens=100)
        current().usage(tokens=100)
        ran.append(batch)

    skipping = stream(numbers, name="load").into(careful, on_error="skip")
    outcome = await (await app.start(chain(skipping)(50), limits=Limits(tokens=250))).outcome()
    assert (outcome.status, ran) == ("failed", [0, 1])


@pytest.mark.parametrize("whose", ["run", "session"])
async def test_room_for_artifacts_is_held_before_they_are_kept(app: App, whose: str) -> None:
    tally = Tally()

    @step
    async def save(number: int) -> None:
        current().save_artifact(f"a{number}", b"x" * 60)
        await tally.visit()

    tally.open()
    limits = Limits(storage=100)
    if whose == "session":
        await app.sessions.create("s", limits=limits)
    given: Any = {"limits": limits} if whose == "run" else {"session": "s"}
    handle = await app.start(chain(map_each(save))([1, 2, 3]), **given)
    assert (await handle.outcome()).status == "failed"
    saved = [event for event in await journal_of(handle) if isinstance(event, e.ArtifactSaved)]
    assert len(saved) == 1
    if whose == "session":
        assert (await app.sessions.used("s"))["storage"] == 60


async def test_a_stream_that_cleans_up_is_never_refused(app: App) -> None:
    flow = chain(work).then(one_more).cleanup(pumping.named("tidy"))
    outcome = await (await app.start(flow(5), limits=Limits(steps=1))).outcome()
    assert (outcome.status, ran) == ("failed", [5, *range(5)])


class Holding(Wrapped):
    """Keeps the batch of a limit that was reached waiting until it is told to go."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.waiting, self.go = asyncio.Event(), asyncio.Event()

    async def append(self, batch: Batch) -> None:
        if b"LimitReached" in batch.row:
            self.waiting.set()
            await self.go.wait()
        await self.inner.append(batch)


async def test_an_attempt_whose_turn_comes_while_the_limit_is_being_recorded_does_not_begin() -> None:
    free = asyncio.Event()

    @step
    async def costly(n: int) -> int:
        current().usage(tokens=20)
        return n

    @step(concurrency=1)
    async def capped(n: int) -> int:
        ran.append(n)
        await free.wait()
        return n

    store = Holding(MemoryStore())
    untyped: Any = store
    async with App(untyped, patience=5) as app:
        other = await app.start(chain(capped)(1))
        while not ran:
            await turns(1)
        handle = await app.start(parallel(chain(costly).then(one_more), capped)(2), limits=Limits(tokens=15))
        await store.waiting.wait()  # the limit is reached, and not durable yet
        free.set()
        assert await other.result() == 1
        await turns(20)
        store.go.set()
        with pytest.raises(RunFailed, match="the limit of tokens is reached"):
            await handle.result()
    assert ran == [1]


GO = Signal("go", int)


@dataclass
class Held:
    mark: int = 7


async def test_a_step_and_a_durable_function_see_how_much_is_left() -> None:
    clock = ManualClock()
    seen: list[dict[str, float]] = []

    @step
    async def spend(tokens: int) -> int:
        current().usage(tokens=tokens, cost=0.5)
        seen.append(current().left())
        return tokens

    @workflow
    async def spends(ctx: Context[Held], tokens: int) -> dict[str, float]:
        await spend(tokens)
        return await ctx.left()

    limits = Limits(tokens=10, money=2.0, steps=5, wall_time=60, state_size=9)
    async with App("memory:", clock=clock) as app:
        assert await app.run(spends(4), limits=limits) == {
            "tokens": 6, "money": 1.5, "steps": 3, "wall_time": 60, "state_size": 8, "unpriced": 0
        }  # fmt: skip
        assert seen == [{"tokens": 6, "money": 1.5, "steps": 4, "wall_time": 60, "state_size": 8, "unpriced": 0}]
        assert await app.run(spends(4)) == {}
        assert await app.run(spends(4), limits=Limits(concurrency=1)) == {}
    assert current().left() == {}


async def test_what_a_session_leaves_is_what_is_left() -> None:
    seen: list[dict[str, float]] = []

    @step
    async def spend(tokens: int) -> int:
        seen.append(current().left())
        current().usage(tokens=tokens)
        return tokens

    async with App("memory:") as app:
        await app.sessions.create("s", limits=Limits(tokens=10, operations=9))
        await app.run(chain(spend)(4), session="s")
        await app.run(chain(spend)(4), session="s", limits=Limits(tokens=5, storage=3))
        await app.run(chain(spend)(1), session="s", limits=Limits(tokens=50))
    assert [(left["tokens"], left.get("storage")) for left in seen] == [(10, None), (5, 3), (2, None)]


async def test_a_condition_may_look_at_what_is_left() -> None:
    async def spend(tokens: int) -> int:
        current().usage(tokens=tokens)
        return tokens

    def plenty(_: int) -> bool:
        return current().left().get("tokens", 99) > 5

    async def large(tokens: int) -> str:
        return "large"

    async def small(tokens: int) -> str:
        return "small"

    flow = chain(spend).then(branch(plenty, large, small))
    async with App("memory:") as app:
        assert [await app.run(flow(n), limits=Limits(tokens=10)) for n in (2, 7)] == ["large", "small"]
        assert await app.run(flow(7)) == "large"


async def test_in_replay_what_was_left_is_what_it_was() -> None:
    @step
    async def spend(tokens: int) -> int:
        current().usage(tokens=tokens)
        return tokens

    @workflow
    async def spends(ctx: Context, tokens: int) -> list[float]:
        before = (await ctx.left())["tokens"]
        await spend(tokens)
        await ctx.wait_for(GO)
        return [before, (await ctx.left())["tokens"]]

    memory = Memory()
    async with App(MemoryStore(memory), patience=0.01) as app:
        handle = await app.start(spends(4), id="r", limits=Limits(tokens=10))
        while not (await handle.status()).waits:
            await turns(1)
    async with App(MemoryStore(memory), workflows=[spends]) as app:
        again = await app.handle("r", spends)
        await again.send(GO, 1)
        assert await again.result() == [10, 6]
