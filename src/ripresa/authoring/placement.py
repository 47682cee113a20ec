"""Where steps of a definition want to run that is not of Ripresa's own: executors that the app must have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ..core.nodes.node import Node
from ..core.nodes.undo import Undo
from ..errors import Problem
from .step import Bound

OWN: Final = ("auto", "process")
"""Executors that are always there."""


def executors_of(node: Node[Any]) -> tuple[tuple[str, str], ...]:
    """The executors that steps at and below a node name, with the paths of those steps; what undoes them included."""
    known: tuple[tuple[str, str], ...] | None = getattr(node, "_executors", None)
    if known is None:
        known = tuple(_named(node, node.name))
        node._executors = known  # type: ignore[attr-defined]
    return known


def _named(node: Node[Any], path: str) -> Iterator[tuple[str, str]]:
    for where, part in placed(node, path):
        code = getattr(part, "code", None)
        if isinstance(code, Bound) and code.step.options.executor not in OWN:
            yield where, code.step.options.executor


def placed(node: Node[Any], path: str) -> Iterator[tuple[str, Node[Any]]]:
    """A node and those below it with their paths, parents first; what undoes them included."""
    yield path, node
    undo = getattr(node, "undo", None)
    for child in (*node.children, *((undo.body,) if isinstance(undo, Undo) else ())):
        yield from placed(child, f"{path}/{child.name}")


def unknown_executors(node: Node[Any], there: tuple[str, ...]) -> list[Problem]:
    """What is wrong with a definition for an app that has these executors beside Ripresa's own."""
    wanted = executors_of(node)
    names = ", ".join((*OWN, *there)) if wanted else ""
    return [
        Problem(path, f"there is no executor named {name!r}; there are {names}", "unknown_executor")
        for path, name in wanted
        if name not in there
    ]
