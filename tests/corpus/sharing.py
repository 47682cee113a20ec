"""Workflows of the corpus that share a typed state, and streams: what survives a stop is more than results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from ripresa import (
    At,
    Context,
    Graph,
    StreamResult,
    TimeWindow,
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
from ripresa.reducers import add, append, last_write, reducer
from tests.corpus.cases import Case, add_one, double, numbers


@reducer
def larger(so_far: int, operand: int) -> int:
    return max(so_far, operand)


@dataclass
class Tally:
    total: Annotated[int, add] = 0
    seen: Annotated[list[int], append] = field(default_factory=list[int])
    most: Annotated[int, larger] = 0
    last: Annotated[int, last_write] = 0


@step
async def count(value: int) -> int:
    to = current().to(Tally)
    add(to.total, value)
    append(to.seen, value)
    larger(to.most, value)
    return value


@step
async def mark(value: int) -> int:
    current().state(Tally).last = value
    return value


@step
async def report(given: object) -> tuple[int, list[int], int, int]:
    state = current().state(Tally)
    return state.total, state.seen, state.most, state.last


@step
async def count_and_fail(value: int) -> int:
    add(current().to(Tally).total, 100)
    raise ValueError(f"no {value}")


graph = Graph("shared", input=int, state=Tally)
one = graph.add(count(graph.input))
two = graph.add(count(graph.add(add_one(graph.input)).out))
add(graph.state.total, one.out)
graph.state.last = two.out
shared_flow = graph.returns((graph.state.total, graph.state.last))


@workflow
async def counting(ctx: Context[Tally], value: int) -> tuple[int, int, list[int]]:
    await ctx.gather(count(value), count(value + 1), mark(9))
    add(ctx.to.total, 10)
    await ctx.map(count, [1, 2])
    return ctx.state.total, ctx.state.last, ctx.state.seen


@workflow
async def catching_state(ctx: Context[Tally], value: int) -> int:
    try:
        await chain(count).then(count_and_fail)(value)
    except ValueError:
        await count(value)
    return ctx.state.total


def hours(days: int, position: int | None) -> Iterator[At[int, int]]:
    """Hours, not quite in order."""
    order = [day * 24 + (hour ^ 1) for day in range(days) for hour in range(0, 24, 3)]
    return (At(order[index], index + 1) for index in range(position or 0, len(order)))


async def keep(window: TimeWindow[int]) -> None:
    """A sink."""


async def keep_one(value: int) -> None:
    """A sink."""


@step
async def outcome_of(result: StreamResult) -> tuple[int, int, int]:
    return result.taken, result.batches, result.dead


def a_day(hour: int) -> float:
    return 3600.0 * hour


days = stream(hours, name="days").time_window("1 day", at=a_day, lateness="3 h")

SHARING = [
    Case("a state in a chain", chain(count).then(mark).then(report).with_state(Tally), (3,), (3, [3], 3, 3)),
    Case(
        "a state in a map",
        chain(numbers).then(map_each(chain(count).then(mark))).then(report).with_state(Tally),
        (3,),
        (3, [0, 1, 2], 2, 2),
    ),
    Case(
        "a state side by side",
        chain(parallel(count, chain(double).then(count))).then(report).with_state(Tally),
        (3,),
        (9, [3, 6], 6, 0),
    ),
    Case(
        "a loop that looks at the state",
        chain(repeat(chain(count).then(add_one), until=lambda _: current().state(Tally).total > 9, at_most=9))
        .then(report)
        .with_state(Tally),
        (3,),
        (12, [3, 4, 5], 5, 0),
    ),
    Case(
        "a branch that looks at the state",
        chain(count)
        .then(branch(lambda _: current().state(Tally).total > 2, mark, double))
        .then(report)
        .with_state(Tally),
        (3,),
        (3, [3], 3, 3),
    ),
    Case(
        "a fallback leaves no state",
        chain(fallback(chain(count).then(count_and_fail), count)).then(report).with_state(Tally),
        (3,),
        (3, [3], 3, 0),
    ),
    Case("a state in a graph", shared_flow, (3,), (10, 4)),
    Case("a state in a function", counting, (3,), (20, 9, [3, 4, 1, 2])),
    Case("a function that catches what wrote", catching_state, (3,), 3),
    Case("a stream by the time of its items", chain(days.into(keep)).then(outcome_of), (3,), (24, 3, 0)),
    Case(
        "a stream recorded in groups", chain(stream(hours).into(keep_one, every=5)).then(outcome_of), (2,), (16, 16, 0)
    ),
    Case(
        "a stream through a flow",
        chain(stream(hours).map(chain(double).then(add_one)).into(keep_one)).then(outcome_of),
        (1,),
        (8, 8, 0),
    ),
]
