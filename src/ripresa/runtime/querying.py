"""Asks runs questions: what their durable functions expose, answered from the journal alone.

Law: a query changes nothing. The run is built up beside the one that goes on, from what is durable, and thrown away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from pydantic_core import to_json

from ..authoring.encoding import encode
from ..authoring.flow import Runnable
from ..authoring.questions import plain_answer
from ..authoring.standing import Answer, answers_in
from ..authoring.state_type import state_type
from ..core.events import Recorded
from ..core.merge import whole
from ..core.replay import lineage
from ..core.values import Value
from ..core.view import RunView, view_of
from ..errors import InvalidValue, RipresaError
from .exposing import about_of
from .restoring import replayed
from .values import Values
from .views import Sheet, View, no_state

if TYPE_CHECKING:
    from .driver import Driver
    from .engine import Engine

S = TypeVar("S")

Code = Callable[[], Awaitable[Runnable[..., Any]]]

ALWAYS: Final = ("progress", "state")
"""What every run answers (`state`, if it has one), of any kind, unless its functions expose something of that name."""


async def ask(engine: Engine, run: str, code: Code, name: str, about: bytes | None = None) -> bytes:
    """The answer to a query, as JSON text; so is what it is `about`, None for one that takes nothing.

    Raises `InvalidValue` for something that the query cannot be about,
    `RipresaError(unknown_query, query_failed, no_state)`, `RunNotFound`, and what needs the run's code to be known and
    to decide as it did.
    """
    line = await _line(engine, run)
    try:
        exposed = await _exposed(engine, run, code, line)
    except RipresaError:
        if name in ALWAYS and about is None:  # which needs no code
            return _always(engine, run, line, name)
        raise
    if name in exposed:
        return exposed[name](about)
    if name in ALWAYS and about is None:
        return _always(engine, run, line, name)
    if name in ALWAYS:
        raise InvalidValue(
            f"query {name!r} is asked about nothing",
            code="invalid_input",
            op="query",
            where=name,
            hint=f"ask it without an argument: ripresa query {run} {name}",
        )
    raise RipresaError(
        f"run {run!r} answers no query {name!r}",
        code="unknown_query",
        op="query",
        where=name,
        hint=f"it answers: {', '.join(_names(exposed, line))}",
    )


async def names(engine: Engine, run: str, code: Code) -> list[str]:
    """The queries that a run answers as it stands. Raises as `ask` does."""
    line = await _line(engine, run)
    return _names(await _exposed(engine, run, code, line), line)


def _names(exposed: Mapping[str, Any], line: list[Recorded]) -> list[str]:
    always = ALWAYS if view_of(line).state is not None else ("progress",)
    return [*exposed, *(name for name in always if name not in exposed)]


async def _line(engine: Engine, run: str) -> list[Recorded]:
    return lineage(await engine.history(run))


async def _exposed(
    engine: Engine, run: str, code: Code, line: list[Recorded]
) -> dict[str, Callable[[bytes | None], bytes]]:
    """What the functions of a run expose, those of the outermost first, then what is beside its flows.

    Flows that functions have called come after that of the run, in the order of the calls, also when they have ended.
    """
    head = await engine.store.find_run(run)
    assert head is not None, "it has a journal"

    def keeps(driver: Driver, fact: Recorded, recorded: list[Recorded]) -> None:
        driver.functions.keeps_ended = driver.state.definition.keeps_ended = True

    runnable = await code()
    driver = replayed(engine, head, runnable, line, told=keeps)
    try:
        exposed = driver.functions.exposed()
        called = list({id(node): node for node in driver.state.definition.flows.values()}.values())
    finally:
        driver.close()
    for node in (runnable.definition.root, *called):
        for answer in answers_in(node):
            exposed.setdefault(answer.query.name, partial(_replied, answer, engine, line))
    return exposed


def _replied(answer: Answer, engine: Engine, line: list[Recorded], about: bytes | None) -> bytes:
    """What the function beside a flow answers, as JSON text. Raises `RipresaError(query_failed)`, `InvalidValue`."""
    name, run = answer.query.name, line[0].run
    given = about_of(answer.query, about)
    try:
        found = answer.fn(Stood(view_of(line), Values(engine.store.blob)), *given)
        return encode(plain_answer(found, f"what answers query {name!r}"), answer.query.answer, where=name)
    except InvalidValue:
        raise
    except Exception as error:  # the border: whatever the function raises is what whoever asks is told
        raise RipresaError(
            f"what answers query {name!r} of run {run!r} raised {type(error).__name__}: {error}",
            code="query_failed",
            op="query",
            where=name,
        ) from error


class Stood:
    """See `authoring.standing.Standing`."""

    def __init__(self, view: RunView, values: Values) -> None:
        self.view = view
        self._values = values

    def state(self, kind: type[S], /) -> S:
        """See `Standing`."""
        found = next((each for each in self.view.states.values() if each.name == kind.__name__), None)
        if found is None:
            there = ", ".join(each.name for each in self.view.states.values()) or "none"
            raise no_state(f"query of run {self.view.id}", f"the run has no state {kind.__name__}; there is: {there}")
        sheet = Sheet(state_type(kind), found.fields, self._values, found.path or self.view.workflow, fixed="a query")
        return cast("S", View(sheet))

    def result(self, step: str, kind: type[S], /) -> S | None:
        """See `Standing`."""
        ended = [
            each for each in self.view.steps.values() if step in (each.path, each.name) and each.output is not None
        ]
        if not ended:
            return None
        last = max(ended, key=lambda each: each.ended_at)
        return cast("S", self._values.read(cast("Value", last.output), kind))


def _always(engine: Engine, run: str, line: list[Recorded], name: str) -> bytes:
    view = view_of(line)
    return to_json(_progress(view)) if name == "progress" else _state(engine, run, view)


def _progress(view: RunView) -> dict[str, Any]:
    return {"status": view.status, "completed": view.completed, "total": view.total, "percent": view.percent}


def _state(engine: Engine, run: str, view: RunView) -> bytes:
    if view.state is None:
        raise RipresaError(f"run {run!r} has no state", code="no_state", op="query")
    return whole(view.state.fields, Values(engine.store.blob).text)
