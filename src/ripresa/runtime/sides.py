"""How a durable function tells what it runs side by side: before it begins, and when it has ended.

Law: what it tells shapes no path and no outcome of what runs; a run by earlier rules of the core tells nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..authoring.call import Pending
from ..authoring.encoding import decode, encode
from ..authoring.fit import union
from ..authoring.step import Step
from ..core.events import CallSpec, Write
from ..core.nodes.graph import TELLS_SIDES
from ..core.nodes.sides import FORK, JOIN, LEFT_OUT
from ..core.state import RunState
from ..core.values import NULL, Value
from ..errors import RipresaError

if TYPE_CHECKING:
    from .fibers import Awaits, Fiber, Joining, Sink
    from .interpreter import Interpreter


@dataclass(frozen=True, slots=True)
class Sides:
    """What stands side by side: `how` (gather, race, map), as what in paths, how the paths of its branches begin.

    `segments` are those of its calls, by index; `kind` is the type of what comes out, as far as it is known.
    """

    how: str
    segment: str
    branches: tuple[str, ...]
    segments: tuple[str, ...]
    kind: Any


def sides_of(function: Interpreter, units: list[Any], labels: list[str], label: str, *, race: bool) -> Sides:
    """Name what a `gather` or `race` is made of."""
    how = "race" if race else "gather"
    segments = tuple(function.segment(u.callee.name, label) if isinstance(u, Pending) else "" for u in units)
    branches = tuple(segment or begin or "?" for segment, begin in zip(segments, labels, strict=True))
    kinds = tuple(_kind(unit) for unit in units)
    kind: Any = union(kinds) if race else tuple.__class_getitem__(kinds)
    return Sides(how, function.segment(how, label), branches, segments, kind)


def _kind(unit: Any) -> Any:
    if not isinstance(unit, Pending):
        return Any
    callee: Any = unit.callee
    return callee.parameters.returns if isinstance(callee, Step) else callee.output_type


def tells(state: RunState) -> bool:
    """Whether a run goes by rules that tell."""
    return state.core >= TELLS_SIDES


def close_units(units: Iterable[object]) -> None:
    """Throw away coroutines that never begin."""
    for unit in units:
        if inspect.iscoroutine(unit):
            unit.close()


class Forking:
    """Several things that are about to begin side by side; hooks may say how many at a time, or what comes out."""

    def __init__(self, joining: Joining, sides: Sides) -> None:
        self.joining = joining
        self.sides = sides
        self.key: int | None = None

    def begin(self) -> Awaits:
        """Tell of them; what is waited for."""
        joining, sides = self.joining, self.sides
        text = encode([len(joining.units), joining.window, sides.branches])
        self.key = joining.function.tell(CallSpec(0, FORK, sides.segment, text, sides.how), self)
        return self if self.key is not None else None

    def settle(self, index: int, value: Any, error: BaseException | None) -> None:
        """They may begin, or not."""
        joining, fiber = self.joining, self.joining.fiber
        number, *more = [LEFT_OUT] if value is None else value
        if error is None and number == LEFT_OUT:
            try:
                value = _plainly(more[0], self.sides.kind)
            except RipresaError as wrong:
                error = wrong
        if error is not None or number == LEFT_OUT:
            self._close()
            fiber.settle(0, None if error is not None else value, error)
            return
        joining.window = min(joining.window, number or joining.window)
        fiber.awaits = joining.function.begin_joining(joining)

    def give_up(self) -> None:
        """They never will."""
        self.joining.function.let_go(self.key)
        self._close()

    def _close(self) -> None:
        self.joining.function.leave_scope()
        self.close()

    def close(self) -> None:
        """Throw away what has not begun."""
        close_units(self.joining.units)


class Ended:
    """What ran side by side has ended: the fiber that waited goes on with this, or with what a hook has put there."""

    def __init__(self, fiber: Fiber, value: Any, error: BaseException | None, delta: tuple[Write, ...], kind: Any):
        self.fiber = fiber
        self.value = value
        self.error = error
        self.delta = delta
        self.kind = kind

    def settle(self, index: int, value: Any, error: BaseException | None) -> None:
        """It has been told, and interceptors have answered."""
        error = error or self.error
        found = self.value
        if error is None and value[0]:
            try:
                found = _plainly(value[1], self.kind)
            except RipresaError as wrong:
                error = wrong
        self.fiber.function.delta = () if error is not None else self.delta
        self.fiber.settle(0, None if error is not None else found, error)

    def give_up(self) -> None:
        """The fiber lets go of the call itself."""


class Nobody:
    """Hears that something was told which nobody waits for."""

    def settle(self, index: int, value: Any, error: BaseException | None) -> None:
        """Nothing follows."""

    def give_up(self) -> None:
        """Nobody gives it up."""


def ended(joining: Joining, sides: Sides, value: Any, error: BaseException | None) -> None:
    """Tell how what ran side by side has ended; then its fiber goes on."""
    function, fiber = joining.function, joining.fiber
    shown = _shown(function, value) if error is None and "join" in function.state_of_run.points else NULL
    sink = Ended(fiber, value, error, function.take_delta(), sides.kind)
    fiber.awaits = _tell_end(joining, sides, shown, sink, joined=error is None)


def stopped(joining: Joining, sides: Sides) -> None:
    """Tell that what ran side by side was stopped."""
    _tell_end(joining, sides, NULL, Nobody(), joined=False)


def _tell_end(joining: Joining, sides: Sides, result: Value, sink: Sink, *, joined: bool) -> int | None:
    counts = encode([*joining.counts, joined]).decode()
    return joining.function.tell(CallSpec(0, JOIN, sides.segment, result, f"{sides.how} {counts}"), sink)


def _shown(function: Interpreter, value: Any) -> Value:
    """A result as interceptors see it: what cannot be encoded is null to them."""
    if not isinstance(value, list | tuple):
        return function.keeper.keep(_encoded(value))
    items = cast("Iterable[object]", value)
    return tuple(function.keeper.keep(_encoded(item)) for item in items)


def _encoded(value: Any) -> bytes:
    try:
        return encode(value)
    except RipresaError:
        return NULL


def _plainly(value: Any, kind: Any) -> Any:
    """What a hook gave, as what comes out. Raises `InvalidValue`."""
    return decode(encode(value), kind, code="invalid_answer")
