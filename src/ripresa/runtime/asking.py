"""Puts questions to user code: what a condition learns from `current()`, the session and the state included."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..authoring.encoding import encode
from ..context import StepContext, copy_variables, enter_step
from ..core.commands import Ask
from ..core.events import Answered, Fact, StateGiven, StateMerged, Write
from ..core.frames import ScopeFrame
from ..core.nodes.child import DISPATCH
from ..core.nodes.stateful import STATE
from ..core.shared import ALL, MERGE
from ..core.values import text_of
from ..errors import RipresaError
from ..reporting import Hold
from .family import dispatched
from .session_data import Reading
from .views import Sheet, Sighted, Targets, View, beginning, sheet_of

if TYPE_CHECKING:
    from .driver import Driver


class Asking:
    """What `current()` shows to a condition."""

    def __init__(self, driver: Driver, path: str) -> None:
        self.run = driver.run
        self.workflow = driver.state.definition.name
        self.path = path.rstrip("()")
        self.number = 1
        self.key = f"{driver.run}/{path}"
        self._driver = driver
        self._frame = driver.state.frames[path]

    async def reserve(self, tokens: int, cost: float) -> None:
        """Raises `RipresaError(usage)`."""
        raise RipresaError("a condition cannot reserve anything", code="usage", op="reserve", where=self.path)

    def reporting(self) -> Reading:
        """The session, to read; a condition has nothing to report."""
        return Reading(self._driver)

    def state(self, kind: Any) -> Any:
        """A view of the typed state, to read."""
        return View(self._sheet(kind))

    def to(self, kind: Any) -> Any:
        """Its fields; writing to them raises `RipresaError(usage)`."""
        return Targets(self._sheet(kind))

    def _sheet(self, kind: Any) -> Sheet:
        return sheet_of(self._driver.state, self._frame, self._driver.values, fixed="a condition").of(kind)

    def deadline(self) -> datetime | None:
        """A condition is not stopped."""
        return None

    def cancelled(self) -> bool:
        """A condition is not stopped."""
        return False

    def progress(self, completed: float, total: float | None, message: str) -> None:
        """Nobody is told."""
        return

    async def record(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> Any:
        """Raises `RipresaError(usage)`."""
        raise RipresaError("a condition cannot call anything", code="usage", op="call", where=self.path)

    def checkout(self, pool: Any, holds: tuple[Hold, ...]) -> AbstractAsyncContextManager[Hold]:
        """Raises `RipresaError(usage)`."""
        raise RipresaError("a condition cannot hold a pool", code="usage", op="checkout", where=self.path)


def answered(driver: Driver, ask: Ask) -> Fact:
    """The answer of user code to a question, as a fact. Raises what it raises."""
    at, code = driver.state.at, driver.state.frames[ask.path].node.code
    if ask.question == "count":
        return Answered(at, ask.path, b"%d" % len(driver.values.items(ask.value)))
    if ask.question == DISPATCH:
        return dispatched(driver, ask)
    if ask.question == STATE:
        return StateGiven(at, ask.path, beginning(code, None, driver.keeper), code.is_judged)
    if ask.question == MERGE:
        return StateMerged(at, ask.path, _merged(driver, ask))
    answer = _asked(driver, ask, code)
    if isinstance(answer, bool | int) and ask.question not in ("input", "returns"):
        text = b"%d" % answer if type(answer) is int else b"true" if answer else b"false"
    else:
        text = encode(answer, getattr(code, f"{ask.question}_type", Any), where=ask.path)
    return Answered(at, ask.path, driver.keeper.keep(text))


def _merged(driver: Driver, ask: Ask) -> tuple[Write, ...]:
    """What comes out of fields that several branches of a fork wrote by reducers of the user's own.

    Raises `InvalidValue(invalid_field)` if all that they wrote is not valid together, where that is asked.
    """
    run, fork = driver.state, driver.state.frames[ask.path]
    assert run.shared is not None
    assert isinstance(fork, ScopeFrame)
    key = int(text_of(ask.value))
    by_field = run.shared.unmerged(fork, None if key == ALL else fork.node.precedes(key))
    sheet = sheet_of(run, fork, driver.values)
    found = by_field.items()
    merged = tuple(sheet.merged(run.shared.written(fork, writers), name, driver.keeper) for name, writers in found)
    if key == ALL and run.shared.scope(fork) in run.shared.judged:
        sheet.require_joined(run.shared.joining(fork, merged))
    return merged


def _asked(driver: Driver, ask: Ask, code: Any) -> object:
    """What user code answers; it can look into the session and the state, and report nothing."""
    variables = copy_variables()
    enter_step(variables, StepContext(Asking(driver, ask.path)))
    reader = driver.values
    if driver.state.shared is None:
        return variables.run(code.answer, ask.question, ask.value, reader)
    sighted = Sighted(driver.state, driver.state.frames[ask.path], reader)
    return variables.run(code.answer, ask.question, ask.value, sighted)
