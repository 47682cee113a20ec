"""What differs between two views of a run, in the order in which it happened first."""

from __future__ import annotations

from dataclasses import dataclass

from .merge import writes_of
from .shared import Fields
from .values import Value
from .view import RunView, StateView, StepView


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between two views of a run: a field of the run, or a step by its path. None: it was not there.

    A field of a state is `state.` and its name, behind the scope's path and a colon if it is not the run's own; what it
    holds is `merge.Held`.
    """

    what: str
    before: object
    after: object


def changes(before: RunView, after: RunView) -> list[Change]:
    """The differences of two views: status and counts of the run, its states, then status and output of each step."""
    found = [
        Change(name, getattr(before, name), getattr(after, name))
        for name in ("status", "completed", "expected", "output", "failure", "reason")
        if getattr(before, name) != getattr(after, name)
    ]
    for path in {**before.states, **after.states}:
        then, now = (_fields(view.states.get(path)) for view in (before, after))
        for name in {**then, **now}:
            held, holds = then.get(name), now.get(name)
            if held is None or holds is None or writes_of(held) != writes_of(holds):
                found.append(Change(f"{path}: state.{name}" if path else f"state.{name}", held, holds))
    for path in {**before.steps, **after.steps}:
        old, new = _shown(before.steps.get(path)), _shown(after.steps.get(path))
        if old != new:
            found.append(Change(path, old, new))
    return found


def _fields(state: StateView | None) -> Fields:
    return {} if state is None else state.fields


def _shown(step: StepView | None) -> tuple[str, int, Value | None] | None:
    return None if step is None else (step.status, step.attempt, step.output)
