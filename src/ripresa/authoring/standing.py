"""Queries beside flows: a run as what answers them sees it, and what is wrong with an answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ..core.nodes.node import Node
from ..core.view import RunView
from ..messages import Query, QueryWith

S = TypeVar("S")


class Standing(Protocol):
    """A run as it stands in its journal, to be read."""

    @property
    def view(self) -> RunView:
        """What readers see of it: status, steps, progress, waits."""
        ...

    def state(self, kind: type[S], /) -> S:
        """The typed state of this class, to read: that of the run, else of the first of its scopes that has one.

        Branches under way are not in it before their join. Raises `RipresaError(no_state)`.
        """
        ...

    def result(self, step: str, kind: type[S], /) -> S | None:
        """What a step, by name or path, returned last, as a value of this type; None if it has returned nothing yet."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A query and the function that answers it."""

    query: Query[Any] | QueryWith[Any, Any]
    fn: Callable[..., Any]


def bad_answer(query: object, answer: object) -> str | None:
    """What is wrong with a query or what is to answer it beside a flow."""
    if not isinstance(query, Query | QueryWith):
        return f"query is {query!r}, must be a Query or a QueryWith"
    name = str(query.name)
    if not callable(answer) or inspect.iscoroutinefunction(answer):
        return f"query {name!r} is answered by {answer!r}, must be a plain function"
    given = ("the run", "what it is asked about")[: 2 if isinstance(query, QueryWith) else 1]
    try:
        inspect.signature(answer).bind(*given)
    except ValueError:  # of built-in code that says nothing of its parameters
        return None
    except TypeError:
        return f"what answers query {name!r} does not fit: it is given {' and '.join(given)}"
    return None


def answers_in(node: Node[Any]) -> Iterator[Answer]:
    """The queries that are answered beside a node and those below it, the outermost first."""
    yield from node.answers
    for child in node.children:
        yield from answers_in(child)
