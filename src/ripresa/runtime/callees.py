"""What undoes a call that a step journaled: found by who was called, here or in the process that left off.

Law: what cannot be found for certain is not asked: the undo fails, and says what to do.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..authoring.encoding import Reader
from ..authoring.step import Binding, Bound, Options, Step
from ..authoring.undo import called_undo
from ..authoring.undoable import declared_at
from ..core.ledger import Entry
from ..core.values import Value
from ..errors import RipresaError

if TYPE_CHECKING:
    from .driver import Driver

MOST: Final = 10_000
"""Of so many calls it is known for certain who was called; of older ones by the name and place of the step."""


class Callees:
    """Who was called lately, by run and path."""

    def __init__(self) -> None:
        self._steps: OrderedDict[tuple[str, str], Step[..., Any]] = OrderedDict()

    def note(self, run: str, path: str, step: Step[..., Any]) -> None:
        """A step was called."""
        self._steps[run, path] = step
        if len(self._steps) > MOST:
            self._steps.popitem(last=False)

    def find(self, run: str, entry: Entry) -> Step[..., Any]:
        """The step that was called. Raises `RipresaError(no_undo)` if that is not certain."""
        known = self._steps.get((run, entry.path))
        if known is not None:
            return known
        name, _, module = entry.place.rpartition("@")
        found = declared_at(entry.place)
        if len(found) == 1:
            return found[0]
        written = f"{name.partition(' ')[0]} ({name.partition(' ')[2]} of {module})"
        raise RipresaError(
            f"{len(found)} steps with an undo are called {written}" if found else f"no step {written} has an undo here",
            code="no_undo",
            op="undo",
            where=entry.path,
            hint="declare the step with its undo at the top of a module that the workflow imports, "
            "under a name of its own; then: ripresa undo",
        )


@dataclass(frozen=True, slots=True)
class _Output:
    """What undoes something takes its output alone."""

    binding: Binding

    def arguments(self, value: Value, reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """See `Binding`."""
        output, _ = reader.items(value)
        return self.binding.arguments(output, reader)


def undo_at(driver: Driver, entry: Entry) -> Bound:
    """What undoes a call, and how it is given what the call returned and was given."""
    try:
        undo = called_undo(driver.engine.callees.find(driver.run, entry))
    except RipresaError as error:
        return _failing(entry, error)
    bound: Bound = undo.body.code
    return bound if undo.takes_input else Bound(bound.step, _Output(bound.binding))


def _failing(entry: Entry, error: RipresaError) -> Bound:
    async def fail(done: Any) -> None:
        raise error

    step = Step[[Any], None](fail, Options(entry.undo))
    return Bound(step, _Whole())


@dataclass(frozen=True, slots=True)
class _Whole:
    """Whatever it is given."""

    def arguments(self, value: Value, reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """See `Binding`."""
        return (None,), {}
