"""Routers as people write them: by type, by handoff, with legal edges; what is wrong with one is said at once."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from ripresa import (
    Context,
    Graph,
    Handoff,
    InvalidConfig,
    InvalidWorkflow,
    RunFailed,
    case,
    chain,
    router,
    step,
    workflow,
)
from ripresa.authoring.draw import draw
from ripresa.core.events import TransitionTaken

from .samples import Ready, Rework, double, length, ready


@dataclass
class Ticket:
    text: str
    seen: int = 0


@step
async def improve(work: Rework) -> Rework | Ready:
    return Ready(work.why) if len(work.why) > 3 else Rework(work.why + "!")


@step
def triage(ticket: Ticket) -> Handoff[Ticket]:
    return Handoff("billing", Ticket(ticket.text, ticket.seen + 1), "about money")


@step
def billing(ticket: Ticket) -> Handoff[Ticket] | Ready:
    if ticket.text == "lost":
        return Handoff("triage", ticket)
    return Ready(f"{ticket.text} {ticket.seen}") if ticket.text != "odd" else Handoff("nobody", ticket)


desk = router(until=Ready, at_most=4)(triage, billing)


async def code_of(call: Any) -> str:
    with pytest.raises(RunFailed) as caught:
        await call
    return str(caught.value.failure.code)


async def test_the_type_of_a_result_picks_the_next_until_it_is_the_end() -> None:
    flow = router(until=Ready, at_most=5)(case(Rework, improve))
    assert await flow(Rework("a")) == Ready("a!!!")
    assert flow.input_type == Rework
    assert flow.output_type == Ready


async def test_a_handoff_names_the_next_and_its_reason_is_recorded() -> None:
    moves = [item.event for item in [i async for i in desk.stream(Ticket("tides"))] if "Transition" in repr(item.event)]
    assert moves == [
        TransitionTaken("", 0, "", "triage", "start", 1),
        TransitionTaken("", 1, "triage", "billing", "about money", 1),
        TransitionTaken("", 2, "billing", "", "Ready"),
    ]
    assert await desk(Ticket("tides")) == Ready("tides 1")


async def test_a_router_works_in_chains_graphs_and_durable_functions() -> None:
    graph = Graph("g", input=Ticket)
    answer = graph.add(desk(graph.input))

    @workflow
    async def ask(ctx: Context, text: str) -> str:
        return (await desk(Ticket(text))).text

    assert await chain(desk).then(ready)(Ticket("a")) == "ready a 1"
    assert await graph.returns(answer.out.text)(Ticket("a")) == "a 1"
    assert await ask("a") == "a 1"


async def test_a_router_that_does_not_end_fails() -> None:
    assert await code_of(desk(Ticket("lost"))) == "too_many_transitions"
    assert await code_of(router(until=Ready, at_most=2)(case(Rework, improve))(Rework("a"))) == "too_many_transitions"


async def test_a_handoff_to_nobody_fails() -> None:
    assert await code_of(desk(Ticket("odd"))) == "no_case"


async def test_an_edge_that_is_not_legal_fails() -> None:
    one_way = router(until=Ready, at_most=9, legal={"triage": ["billing"]})(triage, billing)
    assert await one_way(Ticket("a")) == Ready("a 1")
    assert await code_of(one_way(Ticket("lost"))) == "illegal_handoff"
    by_type = router(until=Ready, at_most=9, legal={})(case(Rework, improve))
    assert await code_of(by_type(Rework("a"))) == "illegal_handoff"
    assert await by_type(Rework("long")) == Ready("long")


async def test_what_no_case_takes_fails() -> None:
    @step
    def anything(work: Rework) -> Any:
        return 3 if work.why else Rework("") if cast("str | None", work.why) is None else {"neither": 1}

    flow = router(until=Ready, at_most=5)(case(Rework, anything))
    assert await code_of(flow(Rework("a"))) == "no_case"

    @step
    def free(text: str) -> Any:
        return 3

    assert await code_of(router(until=Ready, at_most=2)(free)("a")) == "no_case"


async def test_what_is_given_and_taken_by_no_case_fails() -> None:
    @step
    def number(value: int) -> Any:
        return value

    flow = chain(number).then(router(until=Ready, at_most=5)(case(Rework, improve)))
    assert await code_of(flow(3)) == "no_case"

    @step
    def unknown(value: str) -> Any:
        return {"text": value}

    assert await code_of(chain(unknown).then(router(until=Ready, at_most=5)(case(Rework, improve)))("a")) == "no_case"


def test_what_nobody_takes_is_said_when_the_router_is_written() -> None:
    @step
    def lost(work: Rework) -> Rework | int:
        return 3

    @step
    def elsewhere(ticket: Ticket) -> Handoff[int]:
        return Handoff("billing", 3)

    with pytest.raises(InvalidWorkflow, match="router/lost: hands on int, which no case takes"):
        router(until=Ready, at_most=5)(case(Rework, lost))  # type: ignore[misc]
    with pytest.raises(InvalidWorkflow, match="is given int, but no case takes int"):
        chain(length).then(router(until=Ready, at_most=5)(case(Rework, improve)))  # type: ignore[arg-type]
    with pytest.raises(InvalidWorkflow, match="elsewhere: hands on int, which none of the router's links takes"):
        router(until=Ready, at_most=5)(elsewhere, billing)  # type: ignore[misc]
    with pytest.raises(InvalidWorkflow, match="double: returns int, which is neither a Handoff nor Ready"):
        router(until=Ready, at_most=5)(double)  # type: ignore[arg-type]


def test_bad_options_are_named_together() -> None:
    with pytest.raises(InvalidConfig, match=r"until is 'Ready', must be a class.*at_most is 0.*legal is \{'a': 'b'\}"):
        router(until="Ready", at_most=0, legal={"a": "b"})  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match=r"legal names 'sales', 'nobody', its links are triage, billing"):
        router(until=Ready, at_most=3, legal={"triage": ["billing", "nobody"], "sales": []})(triage, billing)
    with pytest.raises(InvalidConfig, match="until is Rework, which is a case too"):
        router(until=Rework, at_most=3)(case(Rework, improve))  # type: ignore[misc]


def test_a_router_is_drawn_with_its_legal_edges() -> None:
    drawn = draw(router(until=Ready, at_most=3, legal={"triage": ["billing"]})(triage, billing))
    assert 'subgraph f1["router: at most 3 times"]' in drawn
    assert drawn.count("-->") == 1
    assert draw(desk).count("-->") == 2
    assert draw(router(until=Ready, at_most=3)(case(Rework, improve))).count("-->") == 0
