"""What stands around a step of a document: its state, updates, rules, queries, hooks and undo, each where it belongs.

Law: a step says these in one order, from the inside to the outside. What stands in another order stands in a `wrap`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...core.nodes.updates import Serving, TakeUpdate
from ...messages import QueryWith
from ..standing import Answer
from .write_values import length_of

if TYPE_CHECKING:
    from .write import Data, Writer

LAYERS: Final = {
    "state": 1,
    "conflicts": 1,
    "updates": 1,
    "rules": 2,
    "queries": 3,
    "hooks": 3,
    "undo": 4,
    "description": 5,
}
"""What stands around a step, the inmost first; the description is of the outmost."""


def layered(said: Data, **more: Any) -> Data:
    """What is said of a step with more that stands around it."""
    new = [LAYERS.get(key, 0) for key in more]
    there = [LAYERS.get(key, 0) for key in said]
    again = any(key in said for key in more)
    if said and more and (again or max(there) > min(new)):
        said = {"id": said["id"], "type": "wrap", "config": {"step": said}}
    return {**said, **more}


def take_update(writer: Writer, node: TakeUpdate) -> Data:
    """A wait for an update."""
    timeout = {"timeout": length_of(node.wait.timeout)} if node.wait.timeout else {}
    return {"type": "update", "config": {**_update(writer, node), **timeout}}


def serving(writer: Writer, node: Serving) -> Data:
    """Something with updates that it answers as long as it goes on."""
    updates = [_update(writer, handler) for handler in node.handlers]
    said = writer.item(node.body)
    if "updates" in said and set(said) <= {"id", "type", "config", "updates"}:
        return {**said, "updates": [*said["updates"], *updates]}
    return layered(said, updates=updates)


def _update(writer: Writer, node: TakeUpdate) -> Data:
    update = node.code.update
    kinds = {"value": update.type, "answer": update.answer}
    types = {key: writer.tried(partial(writer.type, kind)) for key, kind in kinds.items()}
    return {"update": node.update, **types, "step": writer.item(node.body)}


def query_data(writer: Writer, answer: Answer) -> Data:
    """A query with the function that answers it."""
    query = answer.query
    about = {"about": writer.type(query.type)} if isinstance(query, QueryWith) else {}
    return {"query": query.name, **about, "answer": writer.type(query.answer), "function": writer.thing(answer.fn)}
