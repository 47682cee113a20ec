"""What is said about a flow holds in whatever order it is said."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any, TypedDict

import pytest

from ripresa import (
    App,
    Cancel,
    Context,
    Graph,
    InvalidConfig,
    Limits,
    Query,
    Rule,
    RunFailed,
    Update,
    chain,
    router,
    step,
    workflow,
)
from ripresa.authoring.chain import Chain
from ripresa.authoring.choice import case
from ripresa.authoring.flow import Runnable
from ripresa.authoring.hooks import Hook, placed_in
from ripresa.authoring.patterns import delay, map_each, parallel
from ripresa.authoring.registry import kind_of
from ripresa.authoring.standing import Standing
from ripresa.context import current
from ripresa.core.nodes.node import Node
from ripresa.stores.memory import MemoryStore


class Tide(TypedDict):
    height: int


rise = Update("rise", int, str)
level = Query("level", str)


@step
def measure(place: str) -> str:
    return place


@step
def write(text: str) -> str:
    return text


@step
def count(text: str) -> int:
    return len(text)


@step
def double(number: int) -> int:
    return number * 2


@step
async def tidy(place: str) -> None: ...


@step
def swell(by: int) -> str:
    return "x" * by


def let(asked: object) -> None: ...


def standing(run: Standing) -> str:
    return run.view.status


HOOK = Hook("before", let)

Say = Callable[[Any], Any]

SAID: dict[str, Say] = {
    "hooks": lambda flow: flow.with_hooks(HOOK),
    "rules": lambda flow: flow.with_rules(Rule.custom("long", bool)),
    "limits": lambda flow: flow.with_limits(Limits(steps=9)),
    "name": lambda flow: flow.named("tide"),
    "cleanup": lambda flow: flow.cleanup(tidy),
    "state": lambda flow: flow.with_state(Tide),
    "update": lambda flow: flow.with_update(rise, swell),
    "query": lambda flow: flow.with_query(level, standing),
}
EVERY_FLOW = tuple(SAID)
EVERY_FUNCTION = ("hooks", "rules", "limits", "name")


def graph() -> Any:
    g = Graph("graph", input=str)
    return g.returns(g.add(measure(g.input)).out)


@workflow
async def surveyed(ctx: Context, place: str) -> str:
    return await measure(place)


FLOWS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "chain": (lambda: chain(measure), EVERY_FLOW),
    "graph": (graph, EVERY_FLOW),
    "map": (lambda: map_each(measure), tuple(name for name in EVERY_FLOW if name != "cleanup")),
    "parallel": (lambda: parallel(measure, count), EVERY_FLOW),
    "case": (lambda: case(str, measure), EVERY_FLOW),
    "router": (lambda: router(until=int, at_most=3)(case(str, count)), EVERY_FLOW),
    "workflow": (lambda: surveyed, EVERY_FUNCTION),
}


def everything(flow: Runnable[..., Any]) -> Any:
    """All that was said about a flow, as it is found where a run of it begins."""
    definition = flow.definition
    hooks = [(placed.hook, placed.names) for placed in placed_in(definition.root)]
    return definition.name, definition.hash, hooks, flow.limits, answered(definition.root), kind_of(flow)


def answered(node: Node[Any]) -> list[str]:
    return [answer.query.name for answer in node.answers] + [name for each in node.children for name in answered(each)]


@pytest.mark.parametrize("kind", FLOWS)
def test_any_two_things_are_said_about_a_flow_in_either_order(kind: str) -> None:
    make, names = FLOWS[kind]
    for one, other in combinations(names, 2):
        there, back = SAID[other](SAID[one](make())), SAID[one](SAID[other](make()))
        assert everything(there) == everything(back), (one, other)
        assert everything(there) != everything(SAID[one](make())), f"{other} is dropped by {one}"
        assert everything(there) != everything(SAID[other](make())), f"{one} is dropped by {other}"


def test_everything_is_said_in_any_order() -> None:
    def said(names: tuple[str, ...]) -> Any:
        flow: Any = chain(measure)
        for name in names:
            flow = SAID[name](flow)
        return everything(flow)

    assert said(EVERY_FLOW) == said(EVERY_FLOW[::-1]) == said((*EVERY_FLOW[4:], *EVERY_FLOW[:4]))


@pytest.mark.parametrize("name", [name for name in EVERY_FLOW if name != "rules"])
def test_what_is_said_about_a_chain_holds_for_a_longer_one(name: str) -> None:
    before, after = SAID[name](chain(measure)).then(write), SAID[name](chain(measure).then(write))
    assert everything(before) == everything(after)


def test_rules_are_about_the_result_that_they_were_written_for_and_all_else_about_the_whole() -> None:
    first = chain(measure).with_hooks(HOOK).with_rules(Rule.custom("long", bool)).with_query(level, standing)
    flow: Any = first.with_state(Tide)
    longer: Chain[str, str] = flow.then(write)
    assert [child.kind for child in longer.definition.root.children[0].children] == ["checked", "call"]
    assert [placed.names for placed in placed_in(longer.definition.root)] == [None]
    assert answered(longer.definition.root) == ["level"]


def test_a_chain_of_pauses_keeps_what_is_said_about_it() -> None:
    before = chain(delay("1 day")).with_limits(Limits(steps=9)).with_hooks(HOOK).then(delay("1 day")).then(write)
    after = chain(delay("1 day")).then(delay("1 day")).then(write).with_limits(Limits(steps=9)).with_hooks(HOOK)
    assert everything(before) == everything(after)


def test_what_is_said_about_cases_holds_for_more_cases_and_for_a_router_of_them() -> None:
    said = case(str, count).with_hooks(HOOK).with_limits(Limits(steps=9))
    assert everything(said.case(int, double)) == everything(
        case(str, count).case(int, double).with_hooks(HOOK).with_limits(Limits(steps=9))
    )
    make = router(until=int, at_most=3)
    said = case(str, count).with_hooks(HOOK).with_limits(Limits(steps=9))
    assert everything(make(said)) == everything(make(case(str, count)).with_hooks(HOOK).with_limits(Limits(steps=9)))


def test_a_flow_has_one_state() -> None:
    with pytest.raises(InvalidConfig, match="the flow has a state already"):
        chain(measure).with_state(Tide).with_rules(Rule.custom("long", bool)).with_state(Tide)
    g = Graph("graph", input=str, state=Tide)
    flow = g.returns(g.add(measure(g.input)).out)
    with pytest.raises(InvalidConfig, match="the flow has a state already"):
        flow.with_state(Tide)


async def test_what_cleans_up_and_what_answers_share_the_state_whatever_was_said_first() -> None:
    seen: list[int] = []

    async def fail(place: str) -> str:
        current().state(Tide)["height"] = 3
        raise ValueError(place)

    async def look(place: str) -> None:
        seen.append(current().state(Tide)["height"])

    for flow in (chain(fail).with_state(Tide).cleanup(look), chain(fail).cleanup(look).with_state(Tide)):
        async with App(MemoryStore()) as app:
            with pytest.raises(RunFailed, match="Ostia"):
                await app.run(flow("Ostia"), state=Tide(height=2))
    assert len(seen) == 2
    assert seen[0] == seen[1]


async def test_a_hook_that_was_put_on_first_is_asked_about_a_flow_with_a_state() -> None:
    def stop(asked: object) -> Cancel:
        return Cancel("enough")

    flow = chain(measure).with_hooks(Hook("before", stop)).with_state(Tide).cleanup(tidy)
    async with App(MemoryStore()) as app:
        handle = await app.start(flow("Ostia"))
        assert (await handle.outcome()).status == "cancelled"
