"""The table of documents: every key of every kind of step, of a step and of the whole is read and comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ripresa import InvalidWorkflow, export_document, load_document, step
from ripresa.authoring.document import shapes
from ripresa.core.definition import describe
from tests.authoring.material import at
from tests.authoring.test_document_schema import complaints


@step
async def add(total: int, value: int) -> int:
    return total + value


@step
async def add_at(total: int, value: int, index: int) -> int:
    return total + value * index


SHOUT = at("shout")
EXPRESSION = "${{ value == 'A' }}"
PEOPLE = {"question": "Why?", "quorum": 2, "assignees": ["ann", "bob"], "remind": "1 h", "escalate": "2 h",
          "escalate_to": ["eva"], "timeout": "1 day", "expiry": "reject"}  # fmt: skip
TWO = [SHOUT, {"id": "again", "type": "call", "config": {"step": SHOUT}}]
STREAM = "tests.authoring.test_document_streams"

WHOLE: dict[str, list[dict[str, Any]]] = {
    "call": [{"step": SHOUT, "arguments": {"text": "x"}}, {"step": at("write"), "spread": True}],
    "pass": [{}],
    "sequence": [{"steps": TWO}],
    "graph": [{"input": "string", "steps": TWO, "returns": "${{ input }}", "concurrency": 2, "keep_going": True}],
    "parallel": [{"branches": TWO, "concurrency": 1, "on_error": "fail_slow"}, {"branches": TWO, "join": "first"}],
    "map": [{"step": SHOUT, "concurrency": 2, "on_error": "best_effort"}],
    "branch": [{"when": EXPRESSION, "then": SHOUT, "otherwise": "pass"}],
    "case": [{"cases": [{"kind": "string", "step": SHOUT}]}],
    "choose": [{"select": "${{ ['shout'] }}", "branches": TWO, "concurrency": 1, "on_error": "fail_slow"}],
    "repeat": [{"step": SHOUT, "until": EXPRESSION, "at_most": 2}, {"step": SHOUT, "while": EXPRESSION, "at_most": 2}],
    "fold": [{"step": f"{__name__}:add_at", "start": 0, "with_index": True, "until": "${{ value > 3 }}"}],
    "range": [{"step": f"{__name__}:add", "from": 1, "to": 9, "by": 2, "until": "${{ value > 3 }}"}],
    "router": [
        {"until": "string", "at_most": 3, "branches": TWO, "legal": {"shout": ["again"]}},
        {"until": "integer", "at_most": 3, "cases": [{"kind": "string", "step": SHOUT}]},
    ],
    "fallback": [{"branches": TWO, "on": ["ValueError"]}],
    "saga": [{"step": SHOUT}],
    "cleanup": [{"step": SHOUT, "handlers": [at("unwrite")]}],
    "speculate": [{"step": {"type": "call", "effect": "pure", "config": {"step": SHOUT}}, "after": "3 s", "copies": 3}],
    "delay": [{"length": "3 s"}],
    "wait": [{"signal": "go", "value": "string", "timeout": "1 h"}],
    "approval": [{**PEOPLE, "form": "string"}],
    "approved": [{**PEOPLE, "then": SHOUT, "otherwise": "pass"}],
    "subworkflow": [{"workflow": at("greet")}],
    "stream": [
        {"source": f"{STREAM}:numbers", "stages": [{"batch": 2}], "into": f"{STREAM}:keep", "on_error": "skip",
         "dead_letters": f"{STREAM}:buried", "retry": 2, "buffer": 3, "overflow": "reject", "on_restart": "skip",
         "at_most": 9, "within": "9 s", "every": 2, "durable": True,
         "hooks": {"item": at("whisper_to")}},
        {"source": f"{STREAM}:numbers", "fold": f"{STREAM}:add", "start": 0},
    ],
    "update": [{"update": "go", "value": "string", "answer": "string", "step": SHOUT, "timeout": "3 s"}],
    "wrap": [{"step": SHOUT}],
    "set": [{"field": "names", "value": "x", "by": "append"}],
    "first": [{"of": ["one", "two"]}],
}  # fmt: skip
"""Configs of each kind that together have every key."""

STEP: dict[str, Any] = {
    "id": "it", "type": "call", "description": "what it does", "config": {"step": at("named")}, "with": "${{ input }}",
    "needs": ["before"], "when": "${{ input != 'x' }}", "unless": "${{ input == 'y' }}", "retry": 2, "timeout": "3 s",
    "effect": "read", "executor": "process", "concurrency": 2, "cache": "1 day", "pool": "desk",
    "hooks": [at("whisper")],
}  # fmt: skip

ROOT: dict[str, Any] = {
    "id": "flow", "name": "A flow", "version": "2", "description": "what it does", "types": {"loud": SHOUT},
    "input": "string", "steps": [{"id": "before", "type": "pass", "needs": []}], "returns": "${{ input }}",
    "state": {"names": {"type": "list[string]", "start": [], "by": "append"}}, "conflicts": "last_write",
    "concurrency": 2, "keep_going": True, "timeout": "1 h", "limits": {"steps": 9}, "hooks": [at("whisper")],
    "rules": [{"rule": "required_output"}], "servers": {"files": {"command": ["files"]}},
    "knowledge": {"book": {"path": "book.db", "size": 3, "embedder": "m"}},
    "updates": [{"update": "go", "value": "string", "answer": "string", "step": SHOUT}],
    "queries": [{"query": "seen", "answer": "integer", "function": at("steps_seen")}],
}  # fmt: skip


def test_the_table_has_every_key() -> None:
    assert {kind: {key for one in configs for key in one} for kind, configs in WHOLE.items()} == {
        kind: set(keys) for kind, keys in shapes.KINDS.items()
    }
    assert {*STEP, "undo", "rules", "state", "conflicts", "updates", "queries"} == set(shapes.STEP)
    assert {*ROOT, "type", "config"} == set(shapes.ROOT)


def came_back(data: dict[str, Any]) -> None:
    assert complaints(data) == []
    flow = load_document(data)
    found = export_document(flow)
    assert complaints(found) == []
    again = load_document(json.loads(json.dumps(found)))
    assert list(describe(again.node)) == list(describe(flow.node))
    assert again.definition.hash == flow.definition.hash
    assert export_document(again) == found


@pytest.mark.parametrize(
    ("kind", "config"),
    [(kind, config) for kind, configs in WHOLE.items() for config in configs],
    ids=lambda found: found if isinstance(found, str) else "",
)
def test_every_key_of_every_kind_comes_back(kind: str, config: dict[str, Any]) -> None:
    around: list[Any] = []
    if kind in shapes.IN_GRAPHS:
        around = [{"id": name, "type": "pass", "needs": []} for name in ("one", "two")]
    item = {"id": "it", "type": kind, "config": config}
    if config.get("spread"):
        around = [{"id": "both", "type": "parallel", "config": {"branches": TWO}}]
    came_back({"id": "flow", "state": ROOT["state"], "steps": [*around, item]})


def test_every_key_of_a_step_comes_back() -> None:
    came_back({"id": "flow", "steps": [{"id": "before", "type": "pass", "needs": []}, STEP]})
    undone = {"id": "it", "type": "call", "config": {"step": at("named")}, "undo": at("unwrite")}
    kept = {"id": "all", "type": "sequence", "config": {"steps": [undone]}, "rules": [{"rule": "required_output"}]}
    came_back({"id": "flow", "steps": [kept]})
    stated = {"id": "all", "description": "says", "type": "sequence", "config": {"steps": [SHOUT, "pass"]}}
    state = {"state": {"names": "list[string]"}, "conflicts": "last_write"}
    came_back({"id": "flow", "steps": [{**stated, **state}, {**stated, "id": "again"}]})


@pytest.mark.parametrize(
    ("item", "where", "message"),
    [
        ({"type": "call", "config": {"step": SHOUT}, "state": {"n": "integer"}}, "state", "state is for what is made"),
        ({"type": "sequence", "config": {"steps": [SHOUT]}, "state": {"n": "int"}}, "state.n.type", "'int' is no type"),
    ],
)
def test_a_state_that_a_step_cannot_have_is_told(item: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "flow", "steps": [item]})
    (problem,) = caught.value.problems
    assert problem.where == f"steps[0].{where}"
    assert problem.message.startswith(message)


def test_every_key_of_the_whole_comes_back() -> None:
    came_back(ROOT)
    came_back({"id": "flow", "type": "map", "config": {"step": SHOUT}})
