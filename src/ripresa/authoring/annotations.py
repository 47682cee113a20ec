"""Annotations that cannot be resolved: whether what they name may come to be, or is written nowhere."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_type_hints


@dataclass(frozen=True, slots=True)
class Unresolved:
    """An annotation that says nothing, as it cannot be resolved; `missing` is a name that its module never binds.

    Others may be bound later, or for type checkers alone (`if TYPE_CHECKING:`), or inside a function.
    """

    parameter: str
    text: str
    why: str
    missing: str = ""

    @property
    def subject(self) -> str:
        """What it is the annotation of."""
        return "the result" if self.parameter == "return" else self.parameter


def resolved_one_by_one(fn: Any) -> tuple[dict[str, Any], tuple[Unresolved, ...]]:
    """Those annotations that can be resolved, also by what the function closes over, and the others."""
    found: dict[str, Any] = {}
    others: list[Unresolved] = []
    for name, kind in getattr(fn, "__annotations__", {}).items():
        try:
            found |= get_type_hints(_holder(fn, name, kind), localns=_closure(fn), include_extras=True)
        except (NameError, TypeError, AttributeError) as error:
            others.append(Unresolved(name, str(kind), str(error), _missing(fn, error)))
    return found, tuple(others)


def _holder(fn: Any, name: str, kind: Any) -> Any:
    def holder() -> None:
        """Carries one annotation of `fn`."""

    holder.__annotations__ = {name: kind}
    holder.__wrapped__ = fn  # type: ignore[attr-defined] # names are looked up where fn was written
    return holder


def _closure(fn: Callable[..., Any]) -> dict[str, Any]:
    cells = zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False) if inspect.isfunction(fn) else ()
    return {name: value for name, cell in cells for value in _contents(cell)}


def _contents(cell: Any) -> Iterator[Any]:
    try:
        yield cell.cell_contents
    except ValueError:  # it is bound later
        return


def _missing(fn: Any, error: Exception) -> str:
    """The name that is looked for, if the module of a function binds it nowhere."""
    name = error.name if isinstance(error, NameError) else None
    module = sys.modules.get(getattr(fn, "__module__", None) or "")
    try:
        source = "" if module is None else inspect.getsource(module)
    except (OSError, TypeError):  # typed at a prompt, or made of another thing than a file
        return ""
    return name if name and source and name not in _bound(source) and "*" not in _bound(source) else ""


@lru_cache(maxsize=64)
def _bound(source: str) -> frozenset[str]:
    """The names that a module binds, wherever in it; `*` if it takes over all names of another."""
    try:
        parts = list(ast.walk(ast.parse(source)))
    except SyntaxError:  # it is not what the module was made of
        return frozenset("*")
    stored = (part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
    named = (getattr(part, "asname", None) or getattr(part, "name", None) for part in parts)
    return frozenset((*stored, *(name.partition(".")[0] for name in named if isinstance(name, str))))
