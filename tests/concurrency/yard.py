"""What the concurrency tests share: workflows whose steps take and give back, and a look at what a run left behind."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ripresa import (
    App,
    At,
    Context,
    Graph,
    Handle,
    Handoff,
    Pool,
    Recorded,
    Retry,
    Signal,
    chain,
    current,
    fallback,
    first_success,
    map_each,
    parallel,
    router,
    saga,
    step,
    stream,
    workflow,
)
from ripresa.core.codec import encode_state
from ripresa.core.events import (
    AttemptLost,
    CancelRequested,
    CleanupEnded,
    CleanupStarted,
    CompensationEnded,
    CompensationStarted,
    ContinueRequested,
    LimitReached,
    PauseRequested,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunTerminated,
    ScopeEnded,
    ScopeStarted,
    StepCompleted,
    StepFailed,
    StepReused,
    StepScheduled,
)
from ripresa.core.lifecycle import TRANSITIONS
from ripresa.core.replay import lineage
from ripresa.runtime.driver import Driver
from ripresa.runtime.restoring import replayed
from ripresa.testing.clock import ManualClock
from tests.runtime.stage import turns

word = Signal("word", int)
LONG = 6


@dataclass
class Yard:
    """Where the steps of one test are: how many are inside, what is held; the seed says how long each of them takes."""

    seed: int = 0
    inside: Counter[str] = field(default_factory=Counter[str])
    most: Counter[str] = field(default_factory=Counter[str])
    held: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.pool = Pool("yard", size=2)

    def begin(self, seed: int) -> None:
        """Begin anew, under another seed."""
        self.random.seed(seed)
        self.held.clear()

    async def visit(self, what: str) -> None:
        """Be inside for some turns of the loop."""
        self.inside[what] += 1
        self.most[what] = max(self.most[what], self.inside[what])
        try:
            await turns(self.random.randrange(4))
        finally:
            self.inside[what] -= 1

    def flows(self) -> dict[str, tuple[Any, Any]]:
        """Workflows of every kind over a whole number, by name, each with what it makes of 1."""
        return _flows(self)


def _flows(yard: Yard) -> dict[str, tuple[Any, Any]]:  # noqa: C901 - a catalogue
    @step(pool=yard.pool)
    async def add(value: int) -> int:
        await yard.visit("add")
        return value + 1

    @step(retry=Retry(3, 0), concurrency=2)
    async def flaky(value: int) -> int:
        await yard.visit("flaky")
        if current().attempt < 2:
            raise ConnectionError("not yet")
        return 2 * value

    @step
    async def spread(value: int) -> list[int]:
        await yard.visit("spread")
        return list(range(value, value + 4))

    @step
    async def join(values: tuple[int, ...]) -> int:
        return sum(values)

    @step
    async def total(values: list[int]) -> int:
        return sum(values)

    @step
    async def rent(value: int) -> int:
        yard.held[current().idempotency_key] += 1
        await yard.visit("rent")
        return value + 1

    @rent.undo
    async def give_back(rented: int | None, value: int) -> None:
        await yard.visit("undo")
        yard.held[current().idempotency_key.rpartition("/undo")[0]] -= 1

    @step
    async def refuse(value: int) -> int:
        await yard.visit("refuse")
        raise ValueError(value)

    @step
    async def pinger(value: int) -> Handoff[int] | int:
        await yard.visit("ping")
        return Handoff("ponger", value + 1) if value < 4 else value

    @step
    async def ponger(value: int) -> Handoff[int]:
        await yard.visit("pong")
        return Handoff("pinger", value + 1)

    async def items(count: int, position: int | None) -> AsyncIterator[At[int, int]]:
        for number in range(position or 0, 12 * count):
            await turns(yard.random.randrange(2))
            yield At(number, number + 1)

    async def store(batch: list[int]) -> None:
        await yard.visit("store")

    @step
    async def taken(result: Any) -> int:
        return int(result.taken)

    @workflow
    async def inner(ctx: Context, value: int) -> int:
        found = await ctx.map(add, [value, value + 1])
        return await flaky(sum(found))

    @workflow
    async def function(ctx: Context, value: int) -> int:
        async def loser() -> int:
            try:
                await ctx.sleep("30 d")
            finally:
                await add(1000)
            return 0

        async def helper(start: int) -> int:
            return await flaky(await add(start))

        first = await ctx.race(loser(), add(value))
        both = await ctx.gather(helper(first), inner(first), chain(add).then(flaky)(first))
        try:
            async with ctx.saga():
                await ctx.gather(rent(1), refuse(await rent(2)))
        except ValueError:
            return sum([*both, *await ctx.map(helper, [1, 2, 3], concurrency=2)])
        return 0

    @workflow
    async def storm(ctx: Context, value: int) -> int:
        """Everything in everything."""

        async def booked(start: int) -> int:
            async with ctx.saga():
                rented = await rent(start)
                await chain(spread).then(map_each(rent, concurrency=2)).then(total)(rented)
                return await stream_flow(1)

        found: Any = await ctx.gather(booked(value), inner(value), parallel_flow(value), ctx.map(booked, [1, 2]))
        return int(found[0] + found[1] + found[2] + sum(found[3]))

    @workflow
    async def talk(ctx: Context, count: int) -> list[int]:
        return [await add(await ctx.wait_for(word)) for _ in range(LONG * count)]

    graph = Graph("graph", input=int)
    one = graph.add(add(graph.input))
    two = graph.add(flaky(graph.input))
    each = graph.map(rent, graph.add(spread(two.out)).out, concurrency=2)
    third = graph.add(total(each.out))

    @step
    async def both(a: int, b: int) -> int:
        await yard.visit("both")
        return a + b

    stream_flow = chain(stream(items).map(add).batch(5).into(store), name="pumped").then(taken)
    parallel_flow: Any = chain(parallel(add, chain(flaky).then(rent), inner), name="sides").then(join)
    fan = chain(spread).then(map_each(chain(add).then(parallel(rent, first_success(refuse, add))).then(join)))
    return {
        "chain": (chain(rent).then(flaky).then(rent).then(add), 6),
        "fan-out": (fan.then(total), sum(2 * (n + 1) + 2 for n in range(1, 5))),
        "parallel": (parallel_flow, 2 + 3 + 10),
        "function": (function, 6 + 14 + 6 + 4 + 6 + 8),
        "saga": (chain(rent).then(fallback(saga(chain(rent).then(map_of(rent)).then(refuse)), add)).then(flaky), 6),
        "graph": (graph.returns(graph.add(both(one.out, third.out)).out), 2 + 3 + 4 + 5 + 6),
        "stream": (stream_flow, 12),
        "router": (chain(router(until=int, at_most=9)(pinger, ponger)).then(rent), 6),
        "storm": (storm, 12 + 10 + 15 + 24),
        "talk": (talk, None),
    }


def map_of(link: Any) -> Any:
    """A fan-out of a number into itself and back."""

    @step(name="pair")
    async def pair(value: int) -> list[int]:
        return [value, value]

    @step(name="first")
    async def first(values: list[int]) -> int:
        return values[0]

    return chain(pair).then(map_each(link)).then(first)


# --- what a run left behind


OF_THE_APP = ("ripresa inbox", "ripresa outbox", "ripresa waking")
OPENS: dict[Any, Any] = {
    ScopeStarted: ScopeEnded,
    CleanupStarted: CleanupEnded,
    CompensationStarted: CompensationEnded,
}
STATUSES: dict[type, str] = {
    RunStarted: "running",
    PauseRequested: "paused",
    ContinueRequested: "running",
    CancelRequested: "cancelling",
    RunCompleted: "completed",
    RunFailed: "failed",
    RunCancelled: "cancelled",
    RunTerminated: "terminated",
}


def check_journal(journal: list[Recorded], status: str) -> None:
    """A journal without gaps, whose statuses follow each other legally and in which whatever was opened was closed."""
    events: list[Any] = [item.event for item in journal]
    assert [item.seq for item in journal] == list(range(1, len(journal) + 1))
    passed = ["created", *(STATUSES[type(event)] for event in events if type(event) in STATUSES)]
    for before, after in itertools.pairwise(passed):
        assert before == after or after in TRANSITIONS[before], passed
    assert passed[-1] == status
    if status == "terminated":
        return
    scheduled = Counter((e.path, e.attempt) for e in events if isinstance(e, StepScheduled))
    ends = StepCompleted | StepFailed | AttemptLost | LimitReached | StepReused
    closed = Counter((e.path, e.attempt) for e in events if isinstance(e, ends))
    assert max(scheduled.values(), default=1) == 1
    assert scheduled == closed
    completed = Counter(event.path for event in events if isinstance(event, StepCompleted))
    assert max(completed.values(), default=1) == 1
    for opens, closes in OPENS.items():
        opened = Counter(event.path for event in events if isinstance(event, opens))
        assert opened == Counter(event.path for event in events if isinstance(event, closes)), opens


async def check_live(app: App, driver: Driver, journal: list[Recorded]) -> None:
    """The journal gives the state that the run had."""
    again = replayed(app.engine, driver.head, driver.runnable, lineage(journal))
    again.functions.close()
    assert encode_state(again.state) == encode_state(driver.state)


async def check_nothing_left(app: App, tasks: set[asyncio.Task[Any]]) -> None:
    """No task, no lent member, no slot, no owner, no timer and nobody who watches."""
    await turns(3)
    engine: Any = app.engine
    assert not engine.drivers
    await engine.late.settled()  # what threads did after they were given up goes into the journals of their runs
    left = {task for task in asyncio.all_tasks() - tasks if task.get_name() not in OF_THE_APP}
    assert not left
    for pool in app.pools():
        assert (pool.free, pool.held, pool.waiting) == (pool.size, 0, 0)
    assert not engine.slots._line._waiting
    for slot in filter(None, (engine.slots._app, *engine.slots._steps.values())):
        assert not slot.locked()
    assert not isinstance(engine.clock, ManualClock) or engine.clock.waiting() == []
    assert not engine.feed._watchers
    assert not engine.feed._followers


def driver_of(app: App, handle: Handle[Any]) -> Driver:
    """Who carries out a run that has just begun."""
    return app.engine.drivers[handle.id]
