"""Conditions that are data stand wherever a predicate does, and see how steps ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from ripresa import (
    Condition,
    Context,
    Flow,
    Graph,
    InvalidWorkflow,
    StoreError,
    best_effort,
    branch,
    chain,
    current,
    repeat,
    step,
    workflow,
)
from ripresa.authoring.questions import Seen
from ripresa.core.events import BranchTaken, NodeSkipped
from ripresa.core.values import Value
from ripresa.runtime.values import Values
from tests.runtime.stage import in_memory

from .samples import double, length, shout

C = Condition


@dataclass
class Mail:
    kind: str
    score: int = 0


@step
def drop(mail: Mail) -> str:
    return "dropped"


@step
def keep(mail: Mail) -> str:
    return f"kept {mail.kind}"


@step
def flaky(number: int) -> int:
    if number < 0:
        raise ValueError(number)
    return number


async def test_a_branch_is_decided_by_a_condition_and_records_its_text() -> None:
    sort = branch(C.equals("value.kind", "spam") | C.equals("value.score", 0), drop, keep)
    assert await sort(Mail("spam", 3)) == "dropped"
    assert await sort(Mail("ham")) == "dropped"
    assert await sort(Mail("ham", 3)) == "kept ham"
    taken = [item.event async for item in sort.stream(Mail("ham", 3)) if isinstance(item.event, BranchTaken)]
    assert taken == [BranchTaken("", "value.kind is 'spam' or value.score is 0", "keep")]


async def test_a_loop_ends_by_a_condition() -> None:
    assert await repeat(double, until=C.equals("value", 8), at_most=9)(1) == 8
    assert await repeat(double, while_=~C.equals("value", 8), at_most=9)(1) == 8


async def test_a_condition_sees_how_steps_ended() -> None:
    tried = best_effort(flaky, double)
    told: Flow[Any, str] = branch(
        C.failed("flaky") & C.succeeded("double"),
        lambda found: "one of them",  # type: ignore[arg-type, return-value]
        lambda found: "all",  # type: ignore[arg-type, return-value]
    )
    flow = chain(tried).then(told)
    assert [await flow(-1), await flow(1)] == ["one of them", "all"]
    enough: Flow[Any, str] = branch(
        C.equals("output.flaky", 0),
        lambda found: "nothing",  # type: ignore[arg-type, return-value]
        lambda found: "something",  # type: ignore[arg-type, return-value]
    )
    assert [await chain(flaky).then(double).then(enough)(number) for number in (0, 1)] == ["nothing", "something"]


async def test_a_condition_decides_about_nodes_of_a_graph() -> None:
    graph = Graph("g", input=str)
    size = graph.add(length(graph.input))
    loud = graph.add(shout(graph.input), when=C.equals("output.length", 0))
    calm = graph.add(shout(graph.input, "."), when=~C.equals("output.length", 0), unless=C.never())
    sized = graph.add(double(size.out), when=size.test(C.equals("value", 2)), name="sized")
    always = graph.add(double(size.out), name="always")
    flow = graph.returns([graph.first(loud, calm).out, graph.first(sized, always).out])
    assert await flow("") == ["!", 0]
    assert await flow("ab") == ["ab.", 4]
    assert flow.node.watches == ("length",)
    skipped = [item.event.path async for item in flow.stream("") if isinstance(item.event, NodeSkipped)]
    assert sorted(skipped) == ["shout#2", "sized"]


async def test_a_condition_in_a_flow_of_a_durable_function_sees_the_steps_of_that_flow() -> None:
    told: Flow[Any, str] = branch(
        C.equals("output.flaky", 0),
        lambda n: "none",  # type: ignore[arg-type, return-value]
        lambda n: "some",  # type: ignore[arg-type, return-value]
    )
    flow = chain(flaky).then(told)

    @workflow
    async def ask(ctx: Context, number: int) -> Any:
        return await flow(number)

    assert [await ask(0), await ask(1)] == ["none", "some"]


def test_what_is_no_condition_is_refused() -> None:
    graph = Graph("g", input=str)
    node = graph.add(length(graph.input), when="x")  # type: ignore[arg-type]
    with pytest.raises(InvalidWorkflow, match="when is 'x', must be a condition"):
        graph.returns(node.out)


def test_by_themselves_values_know_no_steps() -> None:
    assert Values(lambda digest: b"").outcome("a") is None


async def test_what_is_not_there_is_not_found() -> None:
    for condition in (C.exists("state.x"), C.exists("session.user"), C.succeeded("later"), C.exists("output.later")):
        assert await branch(condition, double, lambda number: -1)(3) == -1  # type: ignore[arg-type, return-value]


class Lost:
    """A reader of a state whose values the store has lost."""

    def read(self, value: Value, kind: Any) -> Any:
        raise AssertionError

    def items(self, value: Value) -> list[Value]:
        raise AssertionError

    def outcome(self, step: str) -> tuple[str, Value] | None:
        raise AssertionError

    def field(self, name: str) -> Any:
        raise StoreError(f"the value of {name} is gone", code="store_corrupt")


def test_a_value_that_is_lost_is_not_taken_for_one_that_is_not_there() -> None:
    with pytest.raises(StoreError, match="the value of x is gone"):
        C.exists("state.x").holds(Seen(None, Lost()))


async def test_a_condition_sees_the_session_of_the_run() -> None:
    @step
    async def enter(number: int) -> int:
        current().session.set("user", {"name": "ann", "visits": 0})
        return number

    known = branch(C.equals("session.user.visits", 0), double, lambda number: -1)  # type: ignore[arg-type, return-value]
    async with in_memory() as app:
        await app.sessions.create(id="s")
        assert await app.run(chain(known)(3), session="s") == -1
        assert await app.run(chain(enter).then(known)(3), session="s") == 6
