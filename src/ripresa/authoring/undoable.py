"""Where a journal says which step was called, the step is found again: those with an undo, by their names and places.

Law: a step is only ever one that this process has declared; nothing is imported because a journal names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from .step import Step

_declared: dict[str, list[ref[Step[..., Any]]]] = {}


def declare(step: Step[..., Any]) -> None:
    """A step has an undo."""
    name, _, _ = home_of(step).rpartition("@")
    there = [each for each in _declared.get(name, ()) if each() is not None]
    _declared[name] = [*there, ref(step)]


def home_of(step: Step[..., Any]) -> str:
    """The name of a step, and where its function was written."""
    fn: Any = step.fn
    where = getattr(fn, "__qualname__", type(fn).__qualname__)
    return f"{step.name} {where}@{getattr(fn, '__module__', '')}"


def declared_at(home: str) -> list[Step[..., Any]]:
    """The steps that this may mean, but one of those that are undone by the same; those of its module, if there are."""
    name, _, module = home.rpartition("@")
    alive = [step for each in _declared.get(name, ()) if (step := each()) is not None]
    near = [step for step in alive if home_of(step).rpartition("@")[2] == module]
    return list({id(step.compensation): step for step in near or alive}.values())
