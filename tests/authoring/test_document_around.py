"""What stands around steps of a document: updates, queries, hooks, keys of caches, conditions with functions."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa import (
    App,
    Condition,
    Context,
    InvalidWorkflow,
    Library,
    Query,
    QueryWith,
    RipresaError,
    Standing,
    Update,
    after,
    branch,
    chain,
    export_document,
    load_document,
    step,
    workflow,
)
from tests.authoring import material
from tests.authoring.material import at, call, load, shout
from tests.runtime.test_exporting import loud, policies

HERE = __name__


def is_long(value: str) -> bool:
    return len(value) > 3


def steps_of(run: Standing) -> int:
    return len(run.view.steps)


def letters_of(run: Standing, name: str) -> int:
    return len(name)


def told(*steps: Any, **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidWorkflow) as caught:
        load(*steps, **more)
    return [(problem.where, problem.message) for problem in caught.value.problems]


UPDATE = {"update": "louder", "value": "string", "answer": "string", "step": at("shout")}
QUERIES = [
    {"query": "done", "answer": "integer", "function": f"{HERE}:steps_of"},
    {"query": "letters", "about": "string", "answer": "integer", "function": f"{HERE}:letters_of"},
]


async def test_a_document_answers_updates_and_queries() -> None:
    louder = Update("louder", str, str)
    wait = {"type": "update", "config": {**UPDATE, "update": "go"}}
    inside = {"type": "sequence", "config": {"steps": [wait]}, "updates": [UPDATE], "queries": QUERIES[:1]}
    flow = load(inside, call("shout"), queries=QUERIES[1:], updates=[{**UPDATE, "update": "other"}])
    async with App("memory:") as app:
        handle = await app.start(flow(""))
        assert await handle.update(louder, "hey") == "HEY"
        assert await handle.update(Update("other", str, str), "you") == "YOU"
        assert await handle.query(Query("done", int)) == 2
        assert await handle.query(QueryWith("letters", str, int), "four") == 4
        assert await handle.update(Update("go", str, str), "on") == "ON"
        assert await handle.result() == "ON"


@pytest.mark.parametrize(
    ("part", "where", "message"),
    [
        ({**call("shout"), "updates": [UPDATE]}, "steps[0].updates", "updates is for what is made of steps"),
        ({**call("shout"), "queries": QUERIES}, "steps[0].queries", "queries is for what is made of steps"),
        ({"type": "update", "config": {**UPDATE, "value": "strng"}}, "steps[0].config.value", "'strng' is no type"),
        ({"type": "update", "config": {"update": "x"}}, "steps[0].config", "lacks step"),
        ({"type": "update", "config": {**UPDATE, "update": "a/b"}}, "steps[0].config", "must not contain '/'"),
        ({**call("shout"), "hooks": {"only": [at("shout")]}}, "steps[0].hooks.only[0]", "which is no hook"),
        ({**call("shout"), "hooks": {"onl": []}}, "steps[0].hooks", "must be a list of targets, or {only:"),
        ({**call("shout"), "cache": {"key": "no:such"}}, "steps[0].cache.key", "names no workflow"),
        (
            {"type": "sequence", "config": {"steps": ["pass"]}, "hooks": {"only": [at("whisper")]}},
            "steps[0].hooks",
            "only is for steps, not for what is made of steps",
        ),
    ],
)
def test_what_is_wrong_around_a_step_is_told_at_its_place(part: Any, where: str, message: str) -> None:
    found = told(part)
    assert any(place == where and message in text for place, text in found), found


@pytest.mark.parametrize(
    ("more", "where", "message"),
    [
        ({"updates": [3]}, "updates[0]", "is 3, must be an object of update, value, answer, step"),
        ({"updates": [UPDATE, UPDATE]}, "updates[1]", "the flow answers the update 'louder' already"),
        ({"updates": [{**UPDATE, "valu": 1}]}, "updates[0].valu", "is no key here; did you mean value?"),
        ({"updates": [{"update": "x"}]}, "updates[0]", "lacks step"),
        ({"rules": [{"rule": "required_output"}] * 2}, "", "two rules have one name"),
        ({"queries": [3]}, "queries[0]", "is 3, must be an object of query, about, answer, function"),
        ({"queries": [{"query": "x"}]}, "queries[0]", "lacks answer"),
        ({"queries": [{**QUERIES[0], "function": "no:such"}]}, "queries[0].function", "names no workflow"),
        ({"queries": [{**QUERIES[0], "query": "a/b"}]}, "queries[0]", "must not contain '/'"),
    ],
)
def test_what_is_wrong_around_a_document_is_told_at_its_place(more: Any, where: str, message: str) -> None:
    found = told(call("shout"), **more)
    assert any(place == where and message in text for place, text in found), found


CONDITIONS: list[tuple[Any, str, str]] = [
    ({"op": "custom", "name": "x", "function": "no:such"}, ".function", "names no workflow"),
    ({"op": "custom", "name": "x", "function": 3}, "", "must be an object of op, name and function"),
    ({"op": "custom", "name": "x", "function": "no:such", "at": 3}, "", "must be an object of op, name and function"),
    ({"op": "custom", "name": "", "function": f"{HERE}:is_long"}, "", "a custom condition needs a name"),
    ({"op": "and", "of": [{"op": "always"}, {"op": "eqals"}]}, ".of[1].op", "is 'eqals'; did you mean equals?"),
    ({"op": "or", "of": [{"op": "ways", "of": 3}]}, ".of[0].op", "is 'ways'; did you mean always?"),
    ({"op": "zzz"}, ".op", "is 'zzz'; must be one of always"),
    ({"op": "not", "of": []}, "", "'not' takes a list of one condition"),
]


@pytest.mark.parametrize(("condition", "where", "message"), CONDITIONS)
def test_what_is_wrong_in_a_condition_is_told_at_its_place(condition: Any, where: str, message: str) -> None:
    found = told({"type": "branch", "config": {"when": condition, "then": "pass"}})
    assert any(place == f"steps[0].config.when{where}" and message in text for place, text in found), found


GRAPH: list[tuple[Any, str, str]] = [
    ({"all": []}, "steps[0].when.all", "is [], must be a list of conditions"),
    ({"any": [True, "${{ input"]}, "steps[0].when.any[1]", "}} is missing"),
    ({"not": {"op": "alway"}}, "steps[0].when.not.op", "is 'alway'; did you mean always?"),
]


@pytest.mark.parametrize(("condition", "where", "message"), GRAPH)
def test_what_is_wrong_in_a_condition_of_a_graph_is_told_at_its_place(condition: Any, where: str, message: str) -> None:
    found = told(call("shout", needs=[], when=condition))
    assert any(place == where and message in text for place, text in found), found


@pytest.mark.parametrize(
    ("value", "where", "message"),
    [
        ({"$pairs": [[1, 2], [3]]}, ".$pairs", "must be a list of lists of a key and its value"),
        ({"$pairs": [[[1], 2]]}, ".$pairs", "must be a list of lists of a key and its value"),
        ({"$ask": "no"}, ".$ask", "must be one ${{ expression }}"),
        ({"$ask": {"op": "lways"}}, ".$ask.op", "did you mean always?"),
    ],
)
def test_what_is_wrong_in_a_value_is_told_at_its_place(value: Any, where: str, message: str) -> None:
    found = told(call("anything", **{"with": value}))
    assert any(place == f"steps[0].with{where}" and message in text for place, text in found), found


def test_any_number_of_arguments_is_a_list() -> None:
    (problem,) = told(call("varied", arguments={"values": "x"}))
    assert problem == ("steps[0].config.arguments.values", "is 'x', must be a list: it is any number of arguments")


async def test_arguments_conditions_and_pairs_are_what_they_say() -> None:
    flow = load(
        call("varied", id="count", arguments={"values": ["${{ input }}", 2, 3]}),
        call("shout", id="skipped", when={"all": [False, {"op": "always"}]}, **{"with": "x"}),
        call("shout", id="loud", when={"any": [{"op": "failed", "step": "count"}, True]}, **{"with": "x"}),
        call("anything", id="last", **{"with": {"$pairs": [[1, "${{ steps.loud.output }}"], [None, 2]]}}),
        returns={
            "count": "${{ steps.count.output }}",
            "skipped": "${{ steps.skipped.output }}",
            "last": "${{ steps.last.output.value }}",
            "long": {"$ask": {"test": f"{HERE}:is_long", "of": "${{ input }}"}},
            "not": {"$ask": {"not": {"op": "failed", "step": "count"}}},
        },
    )
    assert await flow.invoke("word") == {
        "count": 3, "skipped": 3, "last": {"1": "X", "None": 2}, "long": True, "not": True,
    }  # fmt: skip


async def test_a_condition_takes_the_name_of_its_function() -> None:
    decided = {"op": "custom", "function": f"{HERE}:is_long"}
    flow = load({"type": "branch", "config": {"when": decided, "then": at("shout")}})
    assert await flow.invoke("word") == "WORD"
    assert await flow.invoke("one") == "one"


def test_what_is_registered_is_exported_by_its_name() -> None:
    @step
    async def local(value: str) -> str:
        return value

    def plain(value: str) -> str:
        return value

    def odd(value: str) -> bool:
        return True

    @after
    def hook(done: Any) -> None:
        return None

    @workflow
    async def long(ctx: Context, value: str) -> str:
        return value

    library = Library({"local": local, "plain": plain, "odd": odd, "hook": hook, "long": long})
    links: list[Any] = [plain, long]
    made: Any = chain(local).then(links[0]).then(links[1])
    made = made.then(branch(Condition.custom("is odd", odd), shout, shout)).with_hooks(hook)
    data = export_document(made, library=library)
    assert str(data).count("'local'") == 2  # its id, and what it is
    again = load_document(data, library=library)
    assert [*policies(again.node)] == [*policies(made.node)]
    assert again.definition.hash == made.definition.hash
    assert export_document(again, library=library) == data
    with pytest.raises(RipresaError, match="5 parts"):
        export_document(made)
    with pytest.raises(RipresaError, match="it stands at the top level of no module"):
        export_document(chain(local), library=Library())


def test_hooks_of_a_flow_stay_where_an_undo_stands_around_it() -> None:
    flow: Any = chain(shout).then(chain(shout, name="inner").with_hooks(loud), undo=material.unwrite)
    assert [hooks for _, _, hooks, *_ in policies(flow.node) if hooks] == [(loud,)]
