"""Typed state that a document declares itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ripresa import App, InvalidWorkflow, export_document, load_document
from ripresa.testing.clock import ManualClock
from tests.authoring.test_document_schema import complaints

STATE: dict[str, Any] = {
    "count": {"type": "integer", "start": 0, "by": "add"},
    "names": {"type": "list[string]", "start": [], "by": "append"},
    "last": {"type": "string", "conflicts": "last_write"},
    "note": "string | null",
}


def put(field: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"id": f"put_{field}", "type": "set", "config": {"field": field, "value": value, **more}}


STEPS = [
    put("count", "${{ input }}", by="add"),
    put("names", "ann", by="append"),
    put("last", "z"),
    {"id": "end", "type": "pass", "needs": ["put_last"], "when": "${{ state.count > 2 }}"},
]


def doc(state: Any, **more: Any) -> dict[str, Any]:
    return {"id": "flow", "state": state, "steps": STEPS, "returns": "${{ state.count + 1 }}", **more}


async def test_a_state_that_a_document_declares_is_written_and_read() -> None:
    async with App("memory:", clock=ManualClock()) as app:
        handle = await app.start(load_document(doc(STATE))(3))
        assert await handle.result() == 4
        assert await handle.state() == {"count": 3, "names": ["ann"], "last": "z"}
        other = await app.start(load_document(doc(STATE))(1), state={"count": 5, "note": None})
        assert await other.result() == 7


@pytest.mark.parametrize(
    ("state", "more"),
    [
        (STATE, {}),
        ({**STATE, "note": {"type": "string", "conflicts": "error"}}, {"conflicts": "last_write"}),
        ({**STATE, "note": {"type": "tests.authoring.material:Plan | null", "start": None}}, {}),
    ],
)
def test_it_comes_back_as_it_was_declared(state: Any, more: Any) -> None:
    flow = load_document(doc(state, **more))
    data = export_document(flow)
    assert complaints(data) == []
    assert (data["state"], data.get("conflicts")) == (state, more.get("conflicts"))
    again = load_document(json.loads(json.dumps(data)))
    assert again.definition.hash == flow.definition.hash
    assert export_document(again) == data


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"count": {"type": "integer", "start": "x"}}, "state.count.start: Input should be a valid integer"),
        ({"count": {"type": "integer", "by": "ad"}}, "state.count.by: is 'ad', must be one of append, extend, add"),
        ({"count": {"type": "string", "by": "add"}}, "state: count has the reducer add, which takes float, not str"),
        ({"count": {"start": 1}}, "state.count: lacks type: the type of its values"),
        ({"count": {"type": "intger"}}, "state.count.type: 'intger' is no type"),
        ({"count": {"type": "integer", "begin": 1}}, "state.count.begin: is no key here"),
        ({"count": 3}, "state.count: is 3, must be a type, or an object with type"),
        ({"_count": "integer"}, "state._count: '_count' is no name of a field"),
        ({"a b": "integer"}, "state.a b: 'a b' is no name of a field"),
        ({}, "state: is {}, must be the target of a class, or an object of fields"),
    ],
)
def test_what_is_wrong_with_a_state_is_told(state: Any, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document(doc(state))
    told = [f"{problem.where}: {problem.message}" for problem in caught.value.problems]
    assert any(each.startswith(message) for each in told), told


@pytest.mark.parametrize("more", [{}, {"by": "add"}])
def test_a_misspelt_field_is_told_with_all_other_mistakes(more: Any) -> None:
    steps = [put("cuont", 1, **more), {"id": "end", "type": "pass", "when": "${{ state.cuont > 2 }}"}]
    data = {"id": "flow", "state": STATE, "steps": steps, "returns": "${{ state.nte }}", "zzz": 1}
    with pytest.raises(InvalidWorkflow) as caught:
        load_document(data)
    told = [f"{each.where}: {each.message} [{each.code}]" for each in caught.value.problems]
    for expected in (
        "steps[0].config.field: State has no field 'cuont'; did you mean count? [invalid_workflow]",
        "returns: State has no field 'nte'; did you mean note? [invalid_expression]",
    ):
        assert expected in told
    assert any(each.startswith("zzz: ") for each in told)
    assert any(each.startswith("steps[1].when: ") and "cuont" in each for each in told)


def test_of_a_state_that_is_wrong_itself_its_users_are_not_told_that_there_is_none() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document(doc({**STATE, "count": {"type": "intger"}}))
    assert [each.where for each in caught.value.problems] == ["state.count.type"]
