"""A workflow as a document, for the processes that are killed: expressions, conditions, needs, state, a map."""

from typing import Any

from ripresa import load_document

STEPS = "tests.crash.driver"

DATA: dict[str, Any] = {
    "id": "document",
    "input": "integer",
    "state": {"sum": {"type": "integer", "start": 0, "by": "add"}},
    "types": {
        "rent": f"{STEPS}:rent",
        "give_back": f"{STEPS}:give_back",
        "add": f"{STEPS}:add",
        "double": f"{STEPS}:double",
        "spread": f"{STEPS}:spread",
    },
    "steps": [
        {"id": "first", "type": "rent", "undo": "give_back"},
        {"id": "twice", "type": "double", "with": "${{ steps.first.output + 1 }}", "retry": 2},
        {"id": "all", "type": "spread", "with": "${{ steps.first.output }}"},
        {"id": "each", "type": "map", "needs": ["all"], "config": {"step": "add", "concurrency": 2}},
        {"id": "never", "type": "add", "needs": ["twice"], "when": "${{ steps.twice.output > 100 }}"},
        {"id": "sum", "type": "set", "config": {"field": "sum", "by": "add", "value": "${{ steps.twice.output }}"}},
        {"id": "rest", "type": "first", "config": {"of": ["never", "twice"]}},
    ],
    "returns": {"each": "${{ steps.each.output }}", "rest": "${{ steps.rest.output }}", "sum": "${{ state.sum }}"},
}


def document() -> Any:
    """The flow."""
    return load_document(DATA)
