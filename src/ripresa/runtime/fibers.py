"""The fibers of durable functions: coroutines that wait for one thing each, or for several side by side.

Law: what a fiber writes to the typed state is its own until it is joined; then it reaches the fiber that waited, in
the order of what stood side by side.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from dataclasses import dataclass
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from ..core.events import Write
from ..errors import RipresaError
from .deaf import ERRORS, Ending
from .sides import Sides, close_units, ended, stopped
from .views import Sheet, SheetMark

if TYPE_CHECKING:
    from .interpreter import Interpreter


class Sink(Protocol):
    """Whoever waits for an outcome."""

    def settle(self, index: int, value: Any, error: BaseException | None) -> None:
        """Number `index` of what it waits for has ended."""
        ...

    def give_up(self) -> None:
        """Stop waiting: let go of everything it waits for."""
        ...


Awaits = Sink | int | None
"""What something waits for: a fiber or several things, a call by number, or nothing."""


@dataclass(slots=True)
class Waiting:
    """A call under way: what was called, who waits for it, and how its result is read."""

    callee: Any
    sink: Sink
    index: int
    output_type: Any
    path: str


class Fiber:
    """A coroutine within a durable function; it waits for at most one thing at a time."""

    __slots__ = (
        "awaits",
        "coroutine",
        "ending",
        "errors",
        "function",
        "index",
        "label",
        "seen",
        "sheet",
        "sink",
        "turn",
    )

    def __init__(
        self,
        function: Interpreter,
        coroutine: Any,
        label: str,
        sink: Sink | None,
        index: int,
        sheet: Sheet | None,
    ) -> None:
        self.function = function
        self.sheet = sheet
        self.coroutine = coroutine
        self.label = label
        self.sink = sink
        self.index = index
        self.awaits: Awaits = None
        self.turn = 0
        self.ending: Ending | None = None
        """What is left to it, if it was told to stop."""
        self.seen = self.errors = 0
        """How many calls the function had made at its last error, and how many errors it has had since then."""
        function.fibers[self] = None

    def settle(self, index: int, value: Any, error: BaseException | None) -> None:
        """What the coroutine waited for has ended: it is stepped on when its turn comes."""
        delta = self.function.take_delta()
        if self.sheet is not None:
            self.sheet.absorb(delta)
        self.function.ready.append((self, self.turn, value, error))

    def step(self, value: Any, error: BaseException | None) -> None:
        """Run the coroutine to its next request or its end."""
        self.turn += 1
        self.awaits = None
        self.function.running = self
        try:
            if self.turn == 1 and inspect.getcoroutinestate(self.coroutine) != inspect.CORO_CREATED:
                raise _awaited_twice(self.coroutine.__name__)
            request = self.function.send(self.coroutine, value, error)
            if self.sheet is not None:
                self.sheet.check()
        except StopIteration as stop:
            self._end(stop.value, self._unsound())
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # the border: whatever user code raises is its outcome
            self._end(None, _seen_from_outside(raised))
        else:
            refusal = self.function.refusal(request)
            if refusal is None:
                self.awaits = self.function.begin(request, self)
            else:
                self.settle(0, None, refusal)

    def _unsound(self) -> RipresaError | None:
        """What is wrong with what the coroutine wrote to the state before it returned."""
        try:
            if self.sheet is not None:
                self.sheet.check()
        except RipresaError as error:
            return error
        return None

    def hears(self, error: BaseException) -> bool:
        """Whether it is to be told of an error: one that swallows error after error ends with the last of them."""
        if self.seen != self.function.asked:
            self.seen, self.errors = self.function.asked, 0
        self.errors += 1
        if self.errors <= ERRORS and (self.ending is None or not self.ending.is_over):
            return True
        self.turn += 1
        self.function.give_up(self)
        self._end(None, error)
        return False

    def give_up(self) -> None:
        """Throw the cancellation in: `finally` blocks run to their end, but nobody waits for the outcome any more."""
        self.sink = None
        self.cancel()

    def cancel(self) -> None:
        """Let go of what the coroutine waits for and throw the cancellation in."""
        self.ending = self.ending or Ending(self.function.at)
        self.function.let_go(self.awaits)
        if isinstance(self.awaits, Undoing):
            return
        self.turn += 1
        self.awaits = None
        self.settle(0, None, asyncio.CancelledError())

    def _end(self, value: Any, error: BaseException | None) -> None:
        del self.function.fibers[self]
        if self.sink is not None:
            if error is None and self.sheet is not None and self.sheet.outer is not None:
                self.function.delta = tuple(self.sheet.writes)
            self.sink.settle(self.index, value, error)


def _awaited_twice(name: str) -> RipresaError:
    return RipresaError(
        f"coroutine {name!r} runs side by side with others and is awaited elsewhere too",
        code="usage",
        op="gather",
        hint="a coroutine can be awaited once: call the function again, or hand its result on",
    )


def _seen_from_outside(error: BaseException) -> BaseException:
    """What a coroutine raised; Python's complaint that coroutines await each other is a deadlock."""
    if type(error) is not ValueError or error.args != _executing():
        return error
    names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__) if _is_coroutine(frame)]
    found = RipresaError(
        f"these would wait for each other for ever: {' -> '.join(names)}",
        code="workflow_deadlock",
        op="await",
        hint="let one of them return what the other needs, and await that one first",
    )
    found.__cause__ = error
    return found


def _is_coroutine(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & inspect.CO_COROUTINE)


@cache
def _executing() -> tuple[Any, ...]:
    """What Python says of a coroutine that awaits itself."""

    async def itself() -> None:
        await known

    known = itself()
    try:
        known.send(None)
    except ValueError as error:
        return error.args
    raise AssertionError("a coroutine cannot await itself")  # pragma: no cover - Python does not let it


class Undoing:
    """A fiber that goes on, with this value or error, when what was called below some prefixes is undone.

    Law: it is shielded; who gives the fiber up is heard when all of it is undone.
    """

    def __init__(self, fiber: Fiber, name: str, heads: list[str], asked: int, seen: int) -> None:
        self.fiber = fiber
        self.name = name
        self.heads = heads
        self.asked = asked
        self.seen = seen
        self.value: Any = None
        self.error: BaseException | None = None
        self.delta: tuple[Write, ...] = ()
        self.held: SheetMark | None = None
        """What the fiber's typed state goes back to."""
        self.joining: Joining | None = None
        """What ran side by side, if losers of that are undone."""

    def settle(self, index: int, value: Any, error: BaseException | None) -> None:
        """It is undone, as far as it could be."""
        self.fiber.awaits = None
        self.fiber.function.delta = self.delta
        found = error if error is not None else self.error
        if self.joining is not None:
            self.joining.finish(self.value, found)
            return
        self.fiber.settle(0, self.value, found)
        if self.held is not None and self.fiber.sheet is not None:
            self.fiber.sheet.back_to(self.held)

    def give_up(self) -> None:
        """The fiber is cancelled as soon as it goes on."""
        self.value, self.delta, self.error = None, (), asyncio.CancelledError()


class Main:
    """Takes the outcome of the function itself."""

    def __init__(self) -> None:
        self.ended = False
        self.value: Any = None
        self.error: BaseException | None = None

    def settle(self, index: int, value: Any, error: BaseException | None) -> None:
        """The function has ended."""
        self.ended, self.value, self.error = True, value, error

    def give_up(self) -> None:
        """Nobody gives the function itself up."""


class Joining:
    """Several things side by side for one fiber: all of them (`gather`, `map`) or the first to end (`race`)."""

    def __init__(
        self, fiber: Fiber, units: list[Any], labels: list[str], *, window: int, race: bool, sides: Sides | None = None
    ) -> None:
        self.sides = sides
        self.counts = [0, 0, 0]
        """How many have completed, failed and been stopped."""
        self.function = fiber.function
        self.fiber = fiber
        self.units = units
        self.labels = labels
        self.window = window
        self.race = race
        self.results: list[Any] = [None] * len(units)
        self.awaits: dict[int, Awaits] = {}
        self.next = 0
        self.left = len(units)
        self.ended = False
        self.asked, self.seen = self.function.enter_scope()
        self.undoing: Undoing | None = None
        self.deltas: dict[int, tuple[Write, ...]] = {}

    def begin(self) -> None:
        """Start as many as the window allows."""
        while not self.ended and self.next < len(self.units) and len(self.awaits) < self.window:
            index = self.next
            self.next += 1
            unit, self.units[index] = self.units[index], None
            self.awaits[index] = None
            segment = self.sides.segments[index] if self.sides is not None and self.sides.segments else ""
            awaits = self.function.start(unit, self, index, self.labels[index], segment)
            if index in self.awaits:  # else it could not be begun, and has ended
                self.awaits[index] = awaits
        if not self.units:
            self._end(self.results, None)

    def settle(self, index: int, value: Any, error: BaseException | None) -> None:
        """One of them has ended."""
        delta = self.function.take_delta()
        if delta and error is None:
            self.deltas = {index: delta} if self.race else {**self.deltas, index: delta}
        self.awaits.pop(index, None)
        self.counts[error is not None] += 1
        self.left -= 1
        self.results[index] = value
        if self.race or error is not None:
            self._end(value, error)
        elif self.left == 0:
            self._end(self.results, None)
        else:
            self.begin()

    def give_up(self) -> None:
        """Let go of all that are under way; those that have not begun never will."""
        begun = not self.ended
        self._stop()
        if begun and self.sides is not None:
            stopped(self, self.sides)

    def _stop(self) -> None:
        if not self.ended:
            self.function.leave_scope()
            self.counts[2] = len(self.awaits)
        self.ended = True
        waiting, self.awaits = self.awaits, {}
        for awaits in waiting.values():
            self.function.let_go(awaits)
        self.close()

    def close(self) -> None:
        """Throw away what has not begun."""
        close_units(self.units)

    def _losers(self) -> list[str]:
        """How the paths of those begin that are still under way."""
        prefix = len(self.function.prefix)
        return [
            f"{self.function.waiting[awaits].path[prefix:]}/" if isinstance(awaits, int) else self.labels[index]
            for index, awaits in self.awaits.items()
            if awaits is not None
        ]

    def _end(self, value: Any, error: BaseException | None) -> None:
        losers = self._losers() if self.race else []
        undoes = self.function.can_undo(losers, self.seen)
        if undoes:
            self.function.enter_scope()
        self._stop()
        if error is None and self.deltas and self.fiber.sheet is not None:
            try:
                self.function.delta = self.fiber.sheet.joined([self.deltas[index] for index in sorted(self.deltas)])
            except RipresaError as conflict:
                error = conflict
        if undoes:
            self.undoing = Undoing(self.fiber, "race", losers, self.asked, self.seen)
            self.undoing.value, self.undoing.error, self.undoing.delta = value, error, self.function.take_delta()
            self.undoing.joining = self
            self.fiber.awaits = self.function.undo(self.undoing)
        else:
            self.finish(value, error)

    def finish(self, value: Any, error: BaseException | None) -> None:
        """The fiber goes on, when it has been told how they ended."""
        if self.sides is None:
            self.fiber.settle(0, value, error)
        else:
            ended(self, self.sides, value, error)
