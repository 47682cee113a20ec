"""Workflows as documents: every kind of step, what they are given, what decides, what is said beside them."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa import App, Approval, RunFailed
from ripresa.authoring.document.library import Library
from ripresa.core.definition import describe
from ripresa.core.events import BranchTaken
from ripresa.core.limits import Limits
from ripresa.runtime.targets import load_target
from tests.authoring import material
from tests.authoring.material import at, call, load

ran = pytest.mark.parametrize


def kind(name: str, **config: Any) -> dict[str, Any]:
    return {"type": name, "config": config}


SHOUT, WRITE, FAILS = at("shout"), at("write"), at("fails")

KINDS: list[tuple[dict[str, Any], Any, Any]] = [
    (call("shout"), "a", "A"),
    (kind("pass"), "a", "a"),
    (kind("sequence", steps=[SHOUT, WRITE]), "a", "A: nothing"),
    (kind("parallel", branches=[SHOUT, WRITE]), "a", ["A", "a: nothing"]),
    (kind("parallel", branches=[SHOUT, WRITE], concurrency=1, on_error="fail_slow"), "a", ["A", "a: nothing"]),
    (kind("parallel", branches=[SHOUT, FAILS], on_error="best_effort"), "a", ["A", None]),
    (kind("parallel", branches=[SHOUT, FAILS], join="first_success"), "a", "A"),
    (kind("parallel", branches=[SHOUT], join="first"), "a", "A"),
    (kind("parallel", branches=[FAILS, SHOUT, WRITE], join=2), "a", ["A", "a: nothing"]),
    (kind("map", step=SHOUT, concurrency=2), ["a", "b"], ["A", "B"]),
    (kind("map", step=[SHOUT, WRITE]), ["a"], ["A: nothing"]),
    (kind("map", step=FAILS, on_error="best_effort"), ["a"], [None]),
    (kind("branch", when="${{ value == 'a' }}", then=SHOUT, otherwise=WRITE), "a", "A"),
    (kind("branch", when="${{ value == 'a' }}", then=SHOUT, otherwise=WRITE), "b", "b: nothing"),
    (kind("branch", when={"op": "equals", "at": "value", "to": "a"}, then=SHOUT), "b", "b"),
    (kind("branch", when={"function": at("is_long")}, then=SHOUT), "longer", "LONGER"),
    (kind("branch", when=True, then=SHOUT), "a", "A"),
    (kind("branch", when=False, then=SHOUT), "a", "a"),
    (kind("choose", select={"function": at("names")}, branches=[SHOUT, WRITE]), "one", ["ONE"]),
    (kind("choose", select="${{ ['shout', 'write'] }}", branches=[SHOUT, WRITE]), "a", ["A", "a: nothing"]),
    (kind("repeat", step=WRITE, until="${{ value.size() > 20 }}", at_most=9), "a", "a: nothing: nothing: nothing"),
    (kind("repeat", step=WRITE, **{"while": "${{ value.size() < 2 }}"}, at_most=9), "a", "a: nothing"),
    (kind("fold", step=WRITE, start="x"), ["a", "b"], "x: a: b"),
    (kind("fold", step=WRITE, start="x", until="${{ value.size() > 3 }}"), ["a", "b"], "x: a"),
    (kind("fold", step="tests.corpus.workflows:weigh", start=0, with_index=True), [5, 6, 7], 20),
    (kind("range", step="tests.corpus.cases:add", to=4), 1, 7),
    (kind("range", step="tests.corpus.cases:add", **{"from": 1}, to=10, by=3, until="${{ value > 5 }}"), 0, 12),
    (kind("router", until="integer", at_most=9, branches=[at("down"), at("back")]), 3, 0),
    (
        kind("router", until="string", at_most=4, cases=[
            {"kind": at("Page"), "step": at("plan_of")}, {"kind": at("Plan"), "step": at("title_of")}
        ]),
        {"url": "x"},
        "x",
    ),
    (kind("case", cases=[{"kind": "string", "step": SHOUT}, {"kind": "integer", "step": at("back")}]), "a", "A"),
    (kind("fallback", branches=[FAILS, SHOUT]), "a", "A"),
    (kind("fallback", branches=[FAILS, SHOUT], on=["ValueError"]), "a", "A"),
    (kind("saga", step=SHOUT), "a", "A"),
    (kind("cleanup", step=SHOUT, handlers=[at("remember")]), "a", "A"),
    (kind("cleanup", step=[SHOUT], handlers=[at("remember")]), "a", "A"),
    (kind("delay", length="1 ms"), "a", "a"),
    (kind("subworkflow", workflow=at("shouting")), "a", "A"),
    (kind("graph", steps=[call("shout", id="s"), call("write", needs=["s"])]), "a", "A: nothing"),
    (kind("speculate", step={**call("shout"), "effect": "pure"}, after="1 hour", copies=3), "a", "A"),
]  # fmt: skip


@ran(("part", "given", "expected"), KINDS, ids=lambda value: value.get("type") if isinstance(value, dict) else "")
async def test_every_kind_of_step_runs(part: dict[str, Any], given: Any, expected: Any) -> None:
    """In a list, by itself as the whole document, and inside another."""
    if part["config"].get("step") != at("fails"):
        assert await as_data(load(part).invoke(given)) == expected
    assert (
        await as_data(load({"type": "sequence", "id": "inner", "config": {"steps": [part]}}).invoke(given)) == expected
    )
    assert await as_data(load(type=part["type"], config=part["config"]).invoke(given)) == expected
    assert await as_data(load({**part, "id": "named"}, call_through()).invoke(given)) == {"value": expected}


def call_through() -> dict[str, Any]:
    return call("anything")


async def as_data(awaitable: Any) -> Any:
    found = await awaitable
    return list(found) if isinstance(found, tuple) else found


async def test_a_step_is_named_by_its_id_else_by_what_it_calls() -> None:
    flow = load(call("shout", id="first"), call("shout"), call("shout"), {"type": "delay", "config": {"length": 0}})
    assert [node.name for node in flow.node.children] == ["first", "shout", "shout#2", "delay"]


# --- values


async def test_arguments_are_values_texts_and_expressions() -> None:
    flow = load(
        call("plan", id="plan"),
        call("write", id="one", arguments={"title": "${{ steps.plan.output.title }}", "part": "of ${{ input }}"}),
        call("anything", arguments={
            "value": ["${{ steps.one.output }}", {"n": "${{ steps.plan.output.parts.size() + 1 }}"}, "$${{ as it is }}"]
        }),
    )  # fmt: skip
    assert await flow.invoke("tides") == {"value": ["Tides: of tides", {"n": 3}, "${{ as it is }}"]}


async def test_what_a_step_is_given_goes_to_its_first_argument() -> None:
    flow = load(call("shout"), call("write", arguments={"part": "b"}))
    assert await flow.invoke("a") == "A: b"


async def test_an_optional_first_argument_is_left_alone_where_expressions_say_what_is_looked_at() -> None:
    given = load(call("shout"), call("anything", arguments={"more": "b"}))
    assert await given.invoke("a") == {"value": "A", "more": "b"}
    made = load(call("shout", id="s"), call("anything", arguments={"more": "${{ steps.s.output }}"}))
    assert await made.invoke("a") == {"value": None, "more": "A"}


async def test_with_says_what_a_step_is_given() -> None:
    flow = load(call("plan", id="plan"), call("shout", **{"with": "${{ steps.plan.output.parts[0] }}"}))
    assert await flow.invoke("tides") == "TIDES 1"
    assert await load(call("shout", **{"with": "always this"})).invoke("a") == "ALWAYS THIS"


async def test_with_gives_a_flow_its_value() -> None:
    flow = load(
        call("plan", id="plan"),
        {"type": "map", "id": "parts", "config": {"step": at("shout")}, "with": "${{ steps.plan.output.parts }}"},
        call("join", arguments={"glue": "/"}),
    )
    assert await flow.invoke("tides") == "TIDES 1/TIDES 2"


async def test_what_an_expression_gives_is_made_what_the_step_takes() -> None:
    flow = load(call("title_of", **{"with": "${{ {'title': input, 'parts': [1, 2].map(n, string(n))} }}"}))
    assert await flow.invoke("made") == "made"
    typed = load(call("page_of", id="page"), call("plan_of", **{"with": "${{ {'url': steps.page.output.url} }}"}))
    assert (await typed.invoke("x")).title == "x"


async def test_a_step_without_arguments_waits_for_the_one_before_it() -> None:
    assert await load(call("shout", **{"with": "x"}), call("nothing_given")).invoke(None) == "made of nothing"


async def test_items_are_spread_over_arguments() -> None:
    spread = {"type": "call", "config": {"step": at("write"), "spread": True}}
    flow = load({"type": "parallel", "config": {"branches": [at("shout"), at("write")]}}, spread)
    assert await flow.invoke("a") == "A: a: nothing"


async def test_returns_says_what_comes_out() -> None:
    flow = load(call("plan", id="plan"), returns={"title": "${{ steps.plan.output.title }}", "of": "${{ input }}"})
    assert await flow.invoke("tides") == {"title": "Tides", "of": "tides"}


async def test_needs_make_a_graph() -> None:
    flow = load(
        call("join", id="end", needs=["a", "b"], **{"with": ["${{ steps.a.output }}", "${{ steps.b.output }}"]}),
        call("shout", id="a"),
        call("write", id="b"),
    )
    assert flow.node.kind == "graph"
    assert await flow.invoke("x") == "X+x: nothing"


async def test_a_step_that_needs_several_is_given_an_object_of_them() -> None:
    flow = load(call("shout", id="a"), call("write", id="b"), call("anything", id="c", needs=["a", "b"]))
    assert await flow.invoke("x") == {"value": {"a": "X", "b": "x: nothing"}}


async def test_the_ends_of_a_graph_are_its_result() -> None:
    flow = load(call("shout", id="a"), call("shout", id="b", needs=["a"]), call("write", id="c", needs=["a"]))
    assert await flow.invoke("x") == {"b": "X", "c": "X: nothing"}


async def test_durable_functions_take_arguments() -> None:
    assert await load(call("greet", arguments={"times": 2})).invoke("a") == "A; A"
    assert await load(call("shout"), call("greet")).invoke("a") == "A"


async def test_the_input_may_be_typed() -> None:
    flow = load(call("anything"), input=at("Page"))
    assert flow.input_type is material.Page
    assert (await flow.invoke(material.Page(url="x")))["value"] == {"url": "x", "words": 0}


# --- what decides


@ran("when", ["${{ value == 'A' }}", "${{ steps.s.output == 'A' }}", {"op": "equals", "at": "value", "to": "A"}])
async def test_a_step_with_a_condition_passes_on_what_it_is_given(when: Any) -> None:
    flow = load(call("shout", id="s"), call("write", id="w", when=when), call("anything"))
    assert await flow.invoke("a") == {"value": "A: nothing"}
    assert await flow.invoke("b") == {"value": "B"}


@ran("made", [False, True])
async def test_unless_is_the_opposite(made: bool) -> None:
    more: dict[str, Any] = {"with": "${{ input }}"} if made else {}
    flow = load(call("write", unless="${{ value == 'a' }}", when=True, **more), call("anything"))
    assert await flow.invoke("a") == {"value": "a"}
    assert await flow.invoke("b") == {"value": "b: nothing"}


async def test_a_condition_may_stand_where_a_single_step_does() -> None:
    flow = load({"type": "map", "config": {"step": call("shout", when="${{ value != 'b' }}")}})
    assert await flow.invoke(["a", "b"]) == ["A", "b"]


async def test_what_an_expression_decided_is_recorded_with_its_text() -> None:
    flow = load({"type": "branch", "id": "which", "config": {"when": "${{ value == 'a' }}", "then": at("shout")}})
    taken = [item.event async for item in flow.stream("a") if isinstance(item.event, BranchTaken)]
    assert taken[0].condition == "value == 'a'"


@ran(
    "when",
    [
        "${{ steps.a.output == 'X' }}",
        {"op": "succeeded", "step": "a"},
        {"op": "equals", "at": "value", "to": "X"},
        {"function": at("is_long")},
        {"test": at("is_long"), "of": "${{ steps.a.output + '12345' }}"},
        {"test": {"op": "equals", "at": "value", "to": "X"}, "of": "${{ steps.a.output }}"},
        {"not": "${{ steps.a.output == 'Y' }}"},
        True,
    ],
)
async def test_a_step_of_a_graph_is_left_out_with_those_that_need_it(when: Any) -> None:
    flow = load(
        call("shout", id="a"),
        call("write", id="b", needs=["a"], when=when),
        call("shout", id="c", needs=["a"], unless=when),
        {"type": "first", "id": "d", "config": {"of": ["b", "c"]}},
    )
    assert await flow.invoke("x" if when != {"function": at("is_long")} else "xxxxxx") in (
        "X: nothing",
        "XXXXXX: nothing",
    )


async def test_conditions_look_at_steps_anywhere_in_the_document() -> None:
    inner = {"type": "branch", "config": {"when": "${{ steps.s.output == 'A' }}", "then": at("write")}}
    assert await load(call("shout", id="s"), inner).invoke("a") == "A: nothing"
    assert await load(call("shout", id="s"), inner).invoke("b") == "B"


async def test_an_expression_sees_nothing_where_a_step_has_not_ended() -> None:
    when = "${{ has(steps.later.output) }}"
    flow = load({"type": "branch", "config": {"when": when, "then": at("write")}}, call("shout", id="later"))
    assert await flow.invoke("a") == "A"


async def test_an_expression_that_gives_no_yes_or_no_fails_the_run() -> None:
    flow = load({"type": "branch", "config": {"when": "${{ value }}", "then": at("write")}})
    with pytest.raises(RunFailed, match="must give true or false") as caught:
        await flow.invoke("a")
    assert caught.value.failure.code == "expression_failed"


async def test_an_expression_that_cannot_be_evaluated_fails_its_step() -> None:
    flow = load(call("anything", **{"with": "${{ input.x + 1 }}"}))
    with pytest.raises(RunFailed, match="cannot be evaluated"):
        await flow.invoke({"y": 1})
    with pytest.raises(RunFailed, match=r"there is no input\.x"):
        await load(call("anything", **{"with": "${{ input.x }}"})).invoke({"y": 1})


# --- state


async def test_state_is_written_and_read() -> None:
    flow = load(
        {"type": "set", "config": {"field": "best", "value": "${{ input }}"}},
        {"type": "set", "id": "kept", "config": {"field": "all", "by": "append", "value": 7}},
        call("best_of", id="best", needs=["kept"], when="${{ state.best > 2 }}"),
        call("anything", id="end", needs=["best"], **{"with": ["${{ state.all }}", "${{ state.best + 1 }}"]}),
        state=at("Scores"),
        returns="${{ steps.end.output.value }}",
    )
    assert await flow.invoke(3) == [[7], 4]


async def test_a_chain_has_a_state_too() -> None:
    flow = load(call("best_of"), state=at("Scores"), conflicts="last_write")
    assert await flow.invoke(3) == 0
    whole = load(type="map", config={"step": at("best_of")}, state=at("Scores"))
    assert await whole.invoke([3]) == [0]


async def test_a_list_inside_sees_the_state() -> None:
    inner = {"type": "map", "config": {"step": call("anything", **{"with": "${{ state.best }}"})}}
    assert await load(inner, state=at("Scores")).invoke([1]) == [{"value": 0}]


async def test_what_decides_looks_at_state_and_session() -> None:
    when = "${{ state.best == 0 && !has(session.name) }}"
    decided = {"type": "branch", "config": {"when": when, "then": at("shout")}}
    assert await load(decided, state=at("Scores")).invoke("a") == "A"
    missing = {"type": "branch", "config": {"when": "${{ has(state.nothing) }}", "then": at("shout")}}
    assert await load(missing).invoke("a") == "a"
    async with App("memory:") as app:
        await app.sessions.create("s")
        named = {"type": "branch", "config": {"when": "${{ session.name == 'x' }}", "then": at("shout")}}
        await app.run(load(call("named"), named)("a"), session="s")


async def test_a_value_that_is_too_large_for_expressions_fails_its_step() -> None:
    with pytest.raises(RunFailed, match="cannot be evaluated"):
        await load(call("anything", **{"with": "${{ input + 1 }}"})).invoke(2**80)


# --- what is said beside


async def test_attempts_are_described_beside_the_step() -> None:
    flow = load(
        call("attempts_of", retry=3, timeout="5 s", effect="read", concurrency=1, executor="auto", cache="1 day")
    )
    options = flow.node.children[0].code.step.options
    assert (options.retry.attempts, options.timeout, options.effect, options.concurrency) == (3, 5, "read", 1)
    assert options.cache.ttl == 86_400_000_000
    quick = load(call("attempts_of", retry={"attempts": 3, "wait": 0}))
    assert await quick.invoke(1) == 3
    kept = load(call("attempts_of", effect="pure", cache={"ttl": "1 h", "version": "2"}))
    assert kept.node.children[0].code.step.options.cache.version == "2"


async def test_a_pool_is_named_or_led_to() -> None:
    assert load(call("shout", pool=at("members"))).node.children[0].code.step.options.pool is material.members
    assert load(call("shout", pool="mine")).node.children[0].code.step.options.pool == "mine"


async def test_an_undo_is_run_when_the_rest_fails() -> None:
    material.undone.clear()
    broken = {"type": "call", "config": {"step": at("fails")}}
    saga = {"type": "saga", "config": {"step": [call("shout", undo=at("unwrite")), broken]}}
    with pytest.raises(ValueError, match="no "):
        await load(saga).invoke("a")
    assert material.undone == ["A"]
    whole = {"type": "sequence", "config": {"steps": [at("shout"), at("write")]}, "undo": call("unwrite")}
    with pytest.raises(ValueError, match="no "):
        await load({"type": "saga", "config": {"step": [whole, broken]}}).invoke("b")
    assert material.undone == ["A", "B: nothing"]


async def test_hooks_stand_at_steps_flows_and_the_whole() -> None:
    hook = [at("whisper")]
    assert await load(call("shout", hooks=hook)).invoke("A") == "A?"
    assert await load({"type": "map", "config": {"step": at("shout")}, "hooks": hook}).invoke(["A"]) == ["A?"]
    assert await load(call("shout"), hooks=hook).invoke("A") == "A?"
    graph = load(call("shout", id="a"), {**call("shouting"), "hooks": hook, "needs": ["a"]})
    assert await graph.invoke("a") == "A?"


@ran(
    "rule",
    [
        at("short"),
        {"rule": "required_output", "severity": "error"},
        {"rule": "required_output", "at": "title"},
        {"rule": "required_file", "path": "/nowhere/at/all"},
        {"rule": "quality_check", "name": "long", "check": at("length"), "at_least": 90, "severity": "error"},
        {"rule": "custom", "check": at("is_long"), "name": "enough"},
    ],
    ids=str,
)
async def test_rules_are_kept(rule: Any) -> None:
    given = "x" * 20 if rule == at("short") else ""
    with pytest.raises(RunFailed) as caught:
        await load(call("shout"), rules=[rule]).invoke(given)
    assert caught.value.failure.code == "rule_failed"


async def test_a_document_has_a_title_a_version_a_timeout_and_limits() -> None:
    flow = load(
        call("shout", description="loud"), name="My flow", version="3", timeout="1 min", limits={"steps": 5},
        description="says it aloud",
    )  # fmt: skip
    assert (flow.title, flow.version, flow.timeout, flow.limits) == ("My flow", "3", 60, Limits(steps=5))
    assert repr(flow) == "<document doc>"
    assert repr(flow.named("other")) == "<document other>"


async def test_limits_hold() -> None:
    async with App("memory:") as app:
        with pytest.raises(RunFailed, match="limit of steps is reached"):
            await app.run(load(call("shout"), call("shout"), limits={"steps": 1})("a"))


# --- names


async def test_types_are_registered_by_name() -> None:
    library = Library({"shout": material.shout})

    @library.type("add")
    def add(value: int, by: int) -> int:
        return value + by

    library.register("say", material.Sayer)
    library.register("flow", material.shouting)
    flow = load({"type": "say", "config": {"word": "hey", "times": 2}}, {"type": "shout"}, library=library)
    assert await flow.invoke("a") == "A HEYHEY"
    assert await load({"type": "add", "config": {"by": 2}}, library=library).invoke(3) == 5
    assert await load({"type": "flow", "id": "it"}, library=library).invoke("a") == "A"
    assert library.find("nothing") is None


async def test_types_may_be_named_by_the_document_itself() -> None:
    types = {"loud": at("shout"), "say": at("Sayer")}
    flow = load({"type": "loud"}, {"type": "say", "config": {"word": "x"}}, types=types)
    assert await flow.invoke("a") == "A x"
    assert await load({"type": at("shout")}).invoke("a") == "A"


async def test_custom_conditions_are_found_in_the_library() -> None:
    library = Library({"is_long": material.is_long})
    when = {"op": "custom", "name": "is_long"}
    flow = load({"type": "branch", "config": {"when": when, "then": at("shout")}}, library=library)
    assert await flow.invoke("longer") == "LONGER"
    graph = load(call("shout", id="a", needs=[], when=when), library=library)
    assert await graph.invoke("longer") == "LONGER"


async def test_a_wait_an_approval_and_a_choice_of_people() -> None:
    async with App("memory:") as app:
        wait = {"type": "wait", "config": {"signal": "go", "value": "string", "timeout": "1 h"}}
        people = {"question": "Really?", "assignees": ["ann"], "timeout": "1 day", "expiry": "reject"}
        asked = {"type": "approval", "id": "asked", "config": {**people, "form": at("Page")}}
        chosen = {"type": "approved", "config": {**people, "then": at("shout"), "otherwise": at("write")}}
        handle = await app.start(load(wait, chosen)("x"))
        await handle.send(material_signal(), "a")
        await handle.approve("approval", by="ann")
        assert await handle.result() == "A"
        handle = await app.start(load(asked)("x"))
        await handle.approve("asked", by="ann", form=material.Page(url="y"))
        found: Approval[Any] = await handle.result()
        assert (found.granted, found.form) == (True, material.Page(url="y"))


def material_signal() -> Any:
    from ripresa import Signal

    return Signal("go", str)


async def test_a_loop_that_mixes_steps_and_decides_by_classification() -> None:
    """R157: types of one's own in a loop with a branch."""
    library = Library()

    @library.type("draft")
    async def draft(text: str, suffix: str) -> str:
        return text + suffix

    @library.type("judge")
    async def judge(text: str) -> str:
        return "Good " if text.endswith("!!") else "bad"

    body = [
        {"type": "draft", "id": "draft", "config": {"suffix": "!"}},
        {"type": "judge", "id": "verdict"},
        {"type": "branch", "config": {
            "when": {"op": "label", "at": "value", "labels": ["good"]},
            "then": {"type": "pass"},
            "otherwise": {"type": "pass", "id": "again"},
        }},
    ]  # fmt: skip
    whole = {
        "type": "sequence",
        "config": {"steps": [*body, call("anything", **{"with": "${{ steps.draft.output }}"})]},
    }
    again = {"type": "sequence", "config": {"steps": [whole, call("anything", **{"with": "${{ value.value }}"})]}}
    last = {"type": "call", "config": {"step": at("text_of")}}
    flow = load(
        {"type": "repeat", "config": {
            "step": [again, last], "until": {"op": "label", "at": "output.verdict", "labels": ["good"]}, "at_most": 5
        }},
        library=library,
    )  # fmt: skip
    assert await flow.invoke("x") == "x!!"


def test_a_document_has_the_hash_of_the_flow_that_it_says() -> None:
    from ripresa import chain

    written = chain(material.shout, name="doc").then(material.write)
    loaded = load(call("shout"), call("write"))
    assert list(describe(loaded.node)) == list(describe(written.node))
    assert loaded.definition.hash == written.definition.hash


async def test_runs_of_plain_data_are_taken_up_by_what_they_recorded() -> None:
    async with App("memory:") as app:
        handle = await app.start(load(call("shout"))("a"))
        head = await app.store.find_run(handle.id)
        assert head is not None
        assert head.target.startswith('document:{"id":"doc"')
        assert load_target(head.target).name == "doc"
