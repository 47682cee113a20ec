"""What is exported as a document reads back as the same definition, or is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given as hypothesised
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import BaseModel

from ripresa import (
    Cache,
    Condition,
    Context,
    Flow,
    Graph,
    InvalidWorkflow,
    Query,
    QueryWith,
    Retry,
    RipresaError,
    Rule,
    Runnable,
    Signal,
    Standing,
    Update,
    after,
    approval,
    approved,
    best_effort,
    branch,
    case,
    chain,
    choose,
    delay,
    export_document,
    fallback,
    first_of,
    first_success,
    fold,
    for_range,
    load_document,
    map_each,
    n_of,
    parallel,
    reducers,
    repeat,
    router,
    saga,
    speculate,
    step,
    stream,
    wait_for,
    wait_for_update,
    workflow,
)
from ripresa.authoring.document.flow import as_flow
from ripresa.authoring.document.text import document_of, text_of
from ripresa.authoring.undo import undone_by
from ripresa.core.definition import describe
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.stateful import Assign
from tests.authoring import material
from tests.authoring.material import Page, Plan, Scores, plan, shout, write
from tests.authoring.test_document import KINDS
from tests.corpus.cases import Case, add, add_one, broken, double, is_even, never, numbers, square, total
from tests.corpus.control_flow import PATTERNS, chosen, count_down, step_back
from tests.corpus.workflows import WORKFLOWS, Large, Small, inner, large, small, sort_out, weigh

CASES = [*PATTERNS.values(), *WORKFLOWS]


def round_trip(flow: Runnable[..., Any]) -> dict[str, Any]:
    """The document of a flow, once it is certain that it reads back as the same, also from its text."""
    data = export_document(flow)
    for read in (json.loads(json.dumps(data)), document_of(text_of(data)).data):
        again = load_document(read)
        assert list(describe(again.node)) == list(describe(flow.node))
        assert again.definition.hash == flow.definition.hash
        assert [*policies(again.node)] == [*policies(flow.node)]
        assert export_document(again) == data
    return data


def policies(node: Node[Any]) -> Iterator[Any]:
    """What no definition says of a node and those below it: options, hooks, who answers queries, words for people."""
    options = node.code.step.options if type(node) is Call else None
    yield node.name, options, node.hooks, node.answers, node.remark
    for child in node.children:
        yield from policies(child)


REFUSED = {
    "structured loop": "'<lambda>' can stand in no document: a lambda has no name: give it a public name there",
    "while that does not begin": "'<lambda>'",
    "loop that gives up": "'<lambda>'",
    "loop in a loop": "'<lambda>'",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_every_flow_of_the_corpus_comes_back_or_is_refused(case: Case) -> None:
    if case.name in REFUSED or case.flow.node.kind == "dynamic":
        why = REFUSED.get(case.name, "it is a durable function: documents call it by its target")
        with pytest.raises(RipresaError) as caught:
            export_document(case.flow)
        assert caught.value.code == "not_exportable"
        assert why in caught.value.message
    else:
        round_trip(case.flow)


@pytest.mark.parametrize(("part", "given", "expected"), KINDS, ids=str)
async def test_every_kind_of_step_comes_back_and_runs_alike(part: Any, given: Any, expected: Any) -> None:
    flow = material.load(part, material.call("anything"))
    again = load_document(round_trip(flow))
    assert await again.invoke(given) == await flow.invoke(given)


# --- every pattern, nested at random

STEPS = (add_one, double, square, broken)


def links(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(below, min_size=1, max_size=3)
    return st.one_of(
        several.map(lambda parts: chained(parts)),
        several.map(lambda parts: parallel(*parts, concurrency=2).into(total_of(len(parts)))),
        several.map(lambda parts: first_success(*parts)),
        several.map(lambda parts: chain(choose(chosen_of, *parts)).then(total)),
        several.map(lambda parts: fallback(*parts, on=ValueError)),
        below.map(lambda part: chain(numbers).then(map_each(part, concurrency=3)).then(total)),
        below.map(lambda part: repeat(part, until=is_even, at_most=3, name="again")),
        below.map(lambda part: branch(is_even, part, add_one)),
        below.map(lambda part: branch(Condition.equals("value", 3) | ~Condition.always(), part, part)),
        below.map(saga),
        below.map(lambda part: chain(part).then(delay("1 s")).then(add_one).cleanup(add_one)),
        below.map(lambda part: chain(part).then(double, undo=unsquare)),
        below.map(graph_of),
    )


def chained(parts: list[Any]) -> Any:
    found = chain(parts[0])
    for part in parts[1:]:
        found = found.then(part)
    return found


@step
async def total_one(a: int) -> int:
    return a


@step
async def total_three(a: int, b: int, c: int) -> int:
    return a + b + c


def total_of(count: int) -> Any:
    return {1: total_one, 2: add, 3: total_three}[count]


def chosen_of(value: int) -> list[str]:
    return []


async def unsquare(value: int) -> None:
    return None


def graph_of(part: Any) -> Any:
    graph = Graph("graph", input=int)
    first = graph.add(part(graph.input), name="first")
    second = graph.add(add(first.out, graph.input), when=first.out > 3, after=[first])
    third = graph.map(square, graph.add(numbers(second.out)).out)
    return graph.returns(graph.first(graph.add(total(third.out)), first).out)


@settings(max_examples=60, deadline=None)
@hypothesised(st.recursive(st.sampled_from(STEPS), links, max_leaves=6).filter(lambda link: isinstance(link, Runnable)))
def test_whatever_is_made_of_named_parts_comes_back(flow: Any) -> None:
    round_trip(flow)


# --- what the corpus does not have

go = Signal("go", Page)


def counted(value: int) -> list[int]:
    return list(range(value))


sent = stream(counted).into(material.remember)
rule = material.short


@step(effect="read", cache=Cache("1 day", version="2"), retry=Retry(4, 2, on=ValueError), timeout=3)
async def looked_up(value: int) -> int:
    return value


PARTS: list[Any] = [
    chain(add_one.with_(retry=3, timeout="1 min", concurrency=2)).then(
        double.with_(pool=material.members, effect="pure")
    ),
    chain(add_one.with_(pool="mine", executor="process", hooks=[material.whisper], name="another")),
    chain(looked_up).then(looked_up.with_(cache=Cache("2 h"), retry=Retry(2, 1, backoff="fixed", jitter=0))),
    chain(looked_up.with_(cache=True)),
    chain(add_one, version="7", name="versioned").with_hooks(material.whisper),
    chain(map_each(shout).with_hooks(material.whisper)),
    chain(shout).with_rules(rule),
    chain(plan).with_state(Scores),
    chain(plan).with_state(Scores, conflicts="last_write"),
    chain(wait_for(go, timeout="1 s")).then(material.plan_of),
    chain(wait_for(Signal("any", Any), name="named")),
    chain(approval("Really?", form=Page, quorum=2, assignees=["ann", "role:boss"], remind="1 h", timeout="1 day")),
    approved("Really?", add_one, double, escalate="1 h", escalate_to=["bob"], expiry="reject", timeout="2 h"),
    fallback(broken, square, on=(ValueError, KeyError)),
    n_of(2, add_one, add_one, double),
    first_of(add_one, never),
    best_effort(add_one, broken, concurrency=1),
    parallel(add_one, double, on_error="fail_slow"),
    map_each(add_one, on_error="best_effort"),
    choose(chosen, add_one, double, square, concurrency=1, on_error="fail_slow"),
    fold(weigh, 3, with_index=True),
    fold(add, 0, until=is_even),
    for_range(add, 1, 10, 3),
    router(until=int, at_most=20, legal={"count_down": ["step_back"], "step_back": ["count_down"]})(
        count_down, step_back
    ),
    router(until=str, at_most=3)(case(Page, material.plan_of).case(Plan, material.title_of)),
    chain(sort_out).then(case(Small, small).case(Large, large)),
    chain(inner),
    chain(inner.named("other")),
    chain(sent),
    chain(saga(chain(add_one).then(double, undo=unsquare))),
    chain(add_one).then(chain(double).then(square), undo=unsquare),
    chain(add_one).cleanup(double, square),
    speculate(looked_up, after="10 s", copies=3),
    chain(delay(0.000003)).then(delay("1 week")).then(delay(1.1)),
    chain(unsquare),
    chain(branch(Condition.label("a", "b") & Condition.exists("value.x"), shout, write)),
]


@pytest.mark.parametrize("flow", PARTS, ids=str)
def test_every_option_comes_back(flow: Any) -> None:
    round_trip(flow)


made_elsewhere = step(name="made")(lambda value: value)


async def rebound(value: int) -> int:
    return value


rebound_step = step(rebound)
rebound = add_one


def test_a_step_is_found_under_the_name_of_a_variable() -> None:
    assert round_trip(chain(made_elsewhere))["steps"][0]["config"]["step"].endswith(":made_elsewhere")
    assert round_trip(chain(rebound_step))["steps"][0]["config"]["step"].endswith(":rebound_step")


def test_a_document_may_be_one_step() -> None:
    data = {"id": "one", "type": "call", "config": {"step": "tests.corpus.cases:add_one"}}
    assert round_trip(load_document(data)) == data
    assert round_trip(load_document({"id": "one", "type": "pass"})) == {"id": "one", "type": "pass", "config": {}}


def test_conditions_of_nodes_come_back() -> None:
    steps = [
        material.call("shout", id="a"),
        material.call("shout", id="b", needs=["a"], when={"op": "equals", "at": "value", "to": "x"}),
        material.call("shout", id="c", needs=["a"], unless={"not": "${{ steps.a.output == 'x' }}"}),
        material.call("shout", id="d", needs=["a"], when=False, **{"with": {"a": ["$${{ x }}", "${{ input }}"]}}),
    ]
    steps[-1]["config"]["step"] = material.at("anything")
    data = round_trip(material.load(*steps))
    found = {item["id"]: item for item in data["config"]["steps"]}
    assert found["b"]["when"] == {"test": {"op": "equals", "at": "value", "to": "x"}, "of": "${{ steps.a.output }}"}
    assert found["c"]["unless"] == {"not": "${{ steps.a.output == 'x' }}"}
    assert found["d"]["when"] is False
    assert found["d"]["config"]["arguments"]["value"]["a"][0] == "$${{ x }}"
    graph = Graph("fixed", input=int)
    node = graph.add(material.anything({"a": ["${{ x }}", {"b": 1}]}), when=False)
    round_trip(graph.returns(node.out))


def test_lengths_come_back_to_the_microsecond() -> None:
    from ripresa.authoring.document.write_values import length_of
    from ripresa.core.durations import microseconds

    assert [microseconds(length_of(value)) for value in (123, 246, 253, 1_000_000)] == [123, 246, 253, 1_000_000]


def wired() -> Any:
    graph = Graph("wired", input=Page, state=Scores, concurrency=3, keep_going=True, version="2")
    planned = graph.add(plan(graph.input.url), name="planned")
    graph.state.best = graph.input.words
    reducers.append(graph.state.all, 3)
    graph.state.best = 9
    written = graph.add(
        write(planned.out.title, part=planned.out.parts[0]),
        when=(graph.input.words > 3) & (planned.out.title != "$${{ x }}"),
        unless=planned.test(is_short),
    )
    again = graph.add(write("${{ fixed }}"), after=[planned], unless=Condition.failed("planned"))
    tested = graph.add(shout(written.out), when=written.test(Condition.equals("value", "x")), name="odd name")
    made = graph.add(material.anything({"a": [tested.out, graph.state.best], "b": None}, more=written.out))
    called = graph.add(material.greet(tested.out, times=2))
    inside = graph.add(chain(shout).then(write)(called.out), when=Condition.always(), unless=graph.state.best > 3)
    nothing = graph.add(material.nothing_given())
    optional = graph.add(material.anything())
    return graph.returns(
        {"made": made.out, "inside": [inside.out, nothing.out, again.out], "o": optional.out["value"], "n": 7}
    )


def is_short(found: Plan) -> bool:
    return len(found.title) < 3


def test_every_wire_of_a_graph_comes_back() -> None:
    data = round_trip(wired())
    steps = {item["id"]: item for item in data["config"]["steps"] if "id" in item}
    assert steps["write"]["when"] == """${{ (input.words > 3) && (steps.planned.output.title != "$${{ x }}") }}"""
    assert steps["write#2"]["config"]["arguments"] == {"title": "$${{ fixed }}"}
    assert steps["anything"]["config"]["arguments"]["value"]["a"][0] == '${{ steps["odd name"].output }}'


def test_a_graph_returns_what_it_is_given() -> None:
    graph = Graph("same", input=list[Page])
    assert round_trip(graph.returns(graph.input))["config"]["returns"] == "${{ input }}"
    assert round_trip(Graph("fixed", input=int).returns(3))["config"]["returns"] == 3


async def test_expressions_come_back_with_what_they_look_at_written_out() -> None:
    flow = material.load(
        material.call("shout", id="s", when="${{ value != input + 'x' }}"),
        material.call(
            "anything", **{"with": "${{ {'a': value, 'b': steps.s.output.size() + steps.s.output.size()} }}"}
        ),
        material.call("anything", arguments={"value": "it is ${{ value.value.a }} and $${{ this }}"}),
        name="Title",
        description="what it does",
        timeout="1 min",
        limits={"steps": 9},
        input="string",
        version="4",
    )
    data = round_trip(flow)
    assert {key: data[key] for key in ("name", "timeout", "limits", "input", "version")} == {
        "name": "Title", "timeout": 60, "limits": {"steps": 9, "on_exceeded": "fail"}, "input": "string", "version": "4"
    }  # fmt: skip
    assert await load_document(data).invoke("a") == await flow.invoke("a")


# --- what no document can say


class Looping(BaseModel):
    loop: bool = True


def refused() -> list[tuple[Any, str]]:
    @step
    async def local(value: int) -> int:
        return value

    @step(cache=Cache(key=str), effect="pure")
    async def keyed(value: int) -> int:
        return value

    return [
        (chain(assigning()), "a assign can stand"),
        (assigning(), "a assign can stand"),
        (made_of(lambda out: {(1, 2): out}), "its keys are no texts or numbers"),
        (chain(_hidden), "'_hidden' can stand in no document: names that begin with _ are nothing for documents"),
        (chain(step(looked_up.fn)), "it lacks the timeout of its declaration: give it a name of its own"),
        (chain(local), "'refused.<locals>.local' can stand in no document: it stands at the top level of no module"),
        (chain(lambda value: value), "a lambda has no name"),
        (branch(lambda value: True, add_one, double), "a lambda has no name"),
        (branch(~Condition.custom("odd", lambda value: True), add_one, double), "a lambda has no name"),
        (chain(add_one).with_hooks(local_hook()), "it stands at the top level of no module"),
        (chain(keyed.with_(name="x")), "stands at the top level of no module"),
        (chain(add_one.with_(effect="pure", cache=Cache(key=lambda value: ""))), "a lambda has no name"),
        (compared(str, lambda given: given[-1] == "3"), "its key is neither a text nor a number: take it in a step"),
        (compared(list[int], lambda given: given[:1] == [3]), "its key is neither a text nor a number"),
        (compared(int, lambda given: given & 3), "& of values that are not true or false"),
        (compared(Small, lambda given: given < Small(3)), "< with Small(value=3): ask a function"),
        (compared(int, lambda given: given == 2**64), "18446744073709551616 is nothing for expressions"),
        (compared(Any, lambda given: given._odd), "names that begin with _ are nothing for documents"),
        (add_one(3).callee, "it is a single step, no flow"),  # type: ignore[attr-defined]
        (workflow(material.greet.fn), "it is a durable function"),
        (load_document({"id": "x", **material.call("shout")}).with_hooks(local_hook()), "no module"),
        (chain(step(rebound_step.fn)), "it stands at the top level of no module"),
        (chain(workflow(local_function())), "it stands at the top level of no module"),
        (Graph("object", input=int).returns(object()), "cannot be written as JSON"),
        (compared(int, lambda given: Condition.custom("odd", is_even)), "it asks about a value, and there is none"),
        (asked_in_the_middle(), "in the middle of an expression"),
    ]


def given(call: Any) -> Any:
    graph: Any = Graph("given", input=int)
    return graph.returns(graph.add(call).out)


def asked_inside() -> Any:
    graph: Any = Graph("tested", input=int)
    first = graph.add(add_one(graph.input), name="first")
    both = first.test(is_even) & (first.out > 3)
    second = graph.add(double(first.out), when=both, unless=(first.out == 7) | both)
    return graph.returns({"told": [second.out, both], "even": first.test(Condition.custom("odd", is_even))})


def asked_in_the_middle() -> Any:
    graph: Any = Graph("tested", input=int)
    first = graph.add(add_one(graph.input), name="first")
    return graph.returns(first.test(is_even) == (first.out > 3))


def one_with_options() -> Any:
    from ripresa.authoring.flow import build_link

    return Flow(lambda place: build_link(add_one.with_(retry=3), place), name="add_one")


@step
async def _hidden(value: int) -> int:
    return value


@workflow
async def pair(ctx: Context, one: int, two: int) -> int:
    return one + two


def local_pair() -> Any:
    return pair


def local_function() -> Any:
    async def local(ctx: Context, value: int) -> int:
        return value

    return local


def compared(kind: Any, condition: Any) -> Any:
    graph: Any = Graph("compared", input=kind)
    return graph.returns(graph.add(material.anything(graph.input), when=condition(graph.input)).out)


@step(hooks=[material.whisper])
async def hooked(value: int) -> int:
    return value


async def shout_all(value: int) -> None:
    return None


def local_hook() -> Any:
    from ripresa import before

    @before
    def hook(asked: Any) -> None:
        return None

    return hook


def assigning() -> Any:
    return Flow[Any, Any](lambda place: Assign("kept", "field", "set", input_type=Any), name="kept")


def made_of(make: Callable[[Any], Any]) -> Any:
    graph: Any = Graph("made", input=int)
    return graph.returns(make(graph.add(add_one(graph.input)).out))


def keyed(value: int) -> str:
    return str(value)


@after
def loud(done: Any) -> None:
    return None


price, seen, part = Update("price", int, int), Query("seen", int), QueryWith("part", str, int)


def steps_of(run: Standing) -> int:
    return len(run.view.steps)


def part_of(run: Standing, name: str) -> int:
    return len(name)


def around() -> list[Any]:
    """What stands around a flow, in every order."""
    plain = chain(add_one, name="inner")
    ways: list[Callable[[Any], Any]] = [
        lambda flow: flow.with_state(Scores),
        lambda flow: flow.with_rules(Rule.custom("fine", is_even)),
        lambda flow: flow.with_hooks(loud),
        lambda flow: flow.with_update(price, double).with_query(seen, steps_of),
        lambda flow: chain(flow, name="inner"),
        lambda flow: chain(add_one).then(flow, undo=unsquare),
    ]
    found: list[Any] = [second(first(plain)) for first in ways for second in ways if first is not second]
    found += [
        plain.with_update(price, double).with_update(Update("other", int, int), square).with_query(part, part_of),
        chain(wait_for_update(price, chain(double).then(add_one))).then(wait_for_update(price, double, name="again")),
        wait_for_update(price, double, timeout="1 min"),
    ]
    return [*found, *(chain(each, name="outer") for each in found)]


@dataclass
class Numbers:
    one: int
    two: int = 2


@dataclass
class Nothing:
    pass


@pytest.mark.parametrize(
    "flow",
    [
        made_of(lambda out: (out, 1)),
        made_of(lambda out: {"all": [(out,), {"deep": out}]}),
        made_of(lambda out: Numbers(out)),
        made_of(lambda out: {"$tuple": out}),
        made_of(lambda out: {"$$make": out}),
        made_of(lambda out: {"$make": out, "other": 1}),
        given(material.anything({"$tuple": [1]})),
        chain(add_one).then(chain(double, name="inner").with_state(Scores)),
        chain(chain(add_one, name="inner").with_rules(rule).with_state(Scores, conflicts="last_write")),
        chain(as_flow(undone_by(chain(double), step(unsquare))).with_state(Scores)),
        chain(map_each(double, name="each").with_state(Scores)),
        chain(inner.with_rules(rule)),
        parallel(add_one, double).into(local_pair()),
        made_of(lambda out: {1: out, 2.5: [out], None: 3, False: {}}),
        made_of(lambda out: {"$pairs": out}),
        made_of(lambda out: {"$ask": out}),
        branch(Condition.custom("odd", is_even), add_one, double),
        branch(~(Condition.custom("odd", is_even) & Condition.always()) | Condition.label("a"), add_one, double),
        compared(list[int], lambda given: given[-1] == 3),
        compared(dict[str, int], lambda given: given["a b"] == 3),
        compared(list[list[int]], lambda given: given[-2][0] != 3),
        compared(Any, lambda given: given[-1] == {"a": [1, None, {"b": "\u00e9"}]}),
        compared(Small, lambda given: given == Small(3)),
        compared(Looping, lambda given: given.loop),
        given(material.varied(1, 2)),
        given(material.varied()),
        given(material.anything(more=3)),
        asked_inside(),
        one_with_options(),
        chain(add_one.with_(effect="pure", cache=Cache("1 s", key=keyed, version="3"))),
        chain(looked_up.with_(cache=False)),
        chain(hooked.with_(hooks=[])),
        chain(hooked.with_(hooks=[loud, material.whisper])),
        chain(hooked.with_(hooks=[material.whisper, loud])),
        *around(),
    ],
    ids=str,
)
def test_it_comes_back(flow: Any) -> None:
    round_trip(flow)


async def test_tuples_and_objects_of_values_to_come_are_what_they_were() -> None:
    assert await load_document(export_document(made_of(lambda out: (out, 1)))).invoke(1) == (2, 1)
    assert await load_document(export_document(made_of(lambda out: Numbers(out)))).invoke(1) == Numbers(2)
    assert await load_document(export_document(made_of(lambda out: {"$tuple": out}))).invoke(1) == {"$tuple": 2}


@pytest.mark.parametrize(
    ("returns", "where", "message"),
    [
        ({"$tuple": 3}, "returns.$tuple", "is 3, must be a list"),
        ({"$make": {"of": {}}}, "returns.$make", "is {'of': {}}, must be an object of type (a dataclass) and of"),
        (
            {"$make": {"type": f"{__name__}:Numbers", "of": {"two": 3, "tree": 1}}},
            "returns.$make.of",
            "Numbers has no tree, but",
        ),
        ({"$make": {"type": f"{__name__}:Numbers", "of": {"two": 3}}}, "returns.$make.of", "Numbers lacks one"),
        ({"$make": {"type": "string", "of": {"two": 3}}}, "returns.$make.of", "is no dataclass with fields"),
        ({"$make": {"type": "strng", "of": {}}}, "returns.$make.type", "'strng' is no type"),
    ],
)
def test_what_can_be_made_of_nothing_is_told(returns: Any, where: str, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "flow", "steps": ["pass"], "returns": returns})
    (problem,) = caught.value.problems
    assert problem.where == where
    assert message in problem.message


def test_a_description_comes_back() -> None:
    says: dict[str, Any] = {"description": "for people"}
    inner: list[dict[str, Any]] = [
        {"id": "shout", "type": "call", "config": {"step": material.at("shout")}, **says},
        {"id": "one", "type": "pass", "needs": ["shout"], **says},
        {"id": "joined", "type": "first", "config": {"of": ["one"]}, **says},
        {"type": "set", "config": {"field": "best", "value": 3}, **says},
    ]
    state = f"{material.HERE}:Scores"
    spread = {"id": "pair", "type": "call", "config": {"step": f"{__name__}:pair", "spread": True}, **says}
    both = {
        "id": "both",
        "type": "parallel",
        "config": {"branches": ["pass", "pass"]},
        "undo": f"{__name__}:undone",
        **says,
    }
    graph = {"id": "graph", "type": "graph", "config": {"steps": inner}, "state": state, **says}
    data = load_document({"id": "flow", "steps": [both, spread, graph]})
    found = export_document(data)
    assert str(found).count("for people") == 7
    assert export_document(load_document(found)) == found


@step
async def undone(value: Any) -> None:
    return None


def test_all_that_no_document_can_say_is_told_together() -> None:
    def local(value: Any) -> Any:
        return value

    def other(value: Any) -> Any:
        return value

    sides: Any = branch(lambda value: True, material.anything, other)
    some: Any = chain(local).then(parallel(shout, step(local))).then(sides)
    graph: Any = Graph("graph", input=str)
    first = graph.add(step(local)(graph.input), name="first")
    graph.add(shout(first.out), name="second", when=first.test(lambda value: True))
    whole = chain(some.with_hooks(local_hook())).then(graph.returns(first.out)).with_rules(Rule.custom("mine", local))
    with pytest.raises(RipresaError) as caught:
        export_document(whole)
    assert caught.value.code == "not_exportable"
    told = caught.value.message.splitlines()
    assert told[0] == "4 parts of 'chain' can stand in no document:"
    names = [line.partition("'")[2].partition("'")[0].rpartition(".")[2] for line in told[1:]]
    assert sorted(names) == ["<lambda>", "hook", "local", "other"]


@pytest.mark.parametrize(("flow", "why"), refused(), ids=lambda value: value if isinstance(value, str) else "")
def test_what_no_document_can_say_is_refused_by_name(flow: Any, why: str) -> None:
    with pytest.raises(RipresaError) as caught:
        export_document(flow)
    assert caught.value.code == "not_exportable"
    assert why in caught.value.message
