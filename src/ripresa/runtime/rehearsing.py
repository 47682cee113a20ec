"""Dry runs: a workflow in memory, in which only steps that change nothing run, and what the others would be given.

Law: no step beyond the effect `read` runs, and no store is written to. A stubbed step returns a value made from its
annotation; where none can be made the rehearsal stops, and says so.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from ..authoring.asked import BeforeStep, Cancel, Continue, Skip
from ..authoring.fit import members
from ..authoring.flow import Runnable
from ..authoring.hooks import Hook, Hooks
from ..core.limits import NONE, Limits
from ..ports import SessionHead, SessionWrite
from ..stores.memory import MemoryStore
from .attempts import bound_at
from .clock import SystemClock
from .engine import Engine, Settings, Start

HARMLESS: Final = ("pure", "read")
"""Effects of the steps that run in a rehearsal."""

_EMPTY: Final = (bool, int, float, str, bytes)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that would run: where, its effect, and its arguments. `ran`: it did run, for it is harmless.

    Arguments that came from stubbed steps are placeholders.
    """

    path: str
    effect: str
    arguments: Mapping[str, Any]
    ran: bool


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a run would do, in this order, as far as can be said without doing it.

    `status` is `completed`, `failed` (of `error`), `stopped` (at the last step, whose result cannot be made up) or
    `waiting` (for a timer or for somebody).
    """

    status: str
    steps: tuple[PlannedStep, ...]
    stopped_at: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """What a rehearsal begins with beside its input; the session with its values is a copy, which may change."""

    session: SessionHead | None = None
    values: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    state: object = None
    limits: Limits = NONE
    off: frozenset[str] = frozenset()
    """The features that it may not use."""


BARE: Final = Given()


class _Rehearsing:
    """Answers for the steps of one rehearsal, and notes them."""

    def __init__(self) -> None:
        self.steps: list[PlannedStep] = []
        self.stopped_at = ""
        self.engine: Engine
        self.started = asyncio.Event()

    async def before(self, asked: BeforeStep) -> Continue | Skip | Cancel:
        """Let a step run that changes nothing; make up what another would return."""
        await self.started.wait()
        driver = self.engine.drivers[asked.run]
        frame: Any = driver.state.frames[asked.path]
        step = bound_at(driver, frame).step
        harmless = step.options.effect in HARMLESS
        self.steps.append(PlannedStep(asked.path, step.options.effect, asked.arguments, harmless))
        if harmless:
            return Continue()
        try:
            return Skip(placeholder(step.parameters.returns))
        except TypeError as error:
            self.stopped_at = asked.path
            return Cancel(str(error))


async def rehearse(
    runnable: Runnable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], given: Given = BARE
) -> Rehearsal:
    """Run to the end, or as far as it goes."""
    rehearsing = _Rehearsing()
    hook = Hook("before", rehearsing.before, critical=True, breaker=None, name="rehearsal")
    store = MemoryStore()
    await store.open()
    engine = rehearsing.engine = Engine(
        store, SystemClock(), Settings(linger=0.0, near=0.0, off=given.off), Hooks([hook])
    )
    try:
        if given.session is not None:
            await _copied(store, given.session, given.values)
        session = "" if given.session is None else given.session.id
        text = runnable.encode_input(args, kwargs)
        driver = await engine.start(Start(runnable, text, session=session, state=given.state, limits=given.limits))
        rehearsing.started.set()
        await driver.ended.wait()
        driver.ended.result()
        status, failure = driver.state.status, driver.failure
    finally:
        await engine.close()
    error = f"{failure.path}: {failure.message}" if failure is not None and status == "failed" else ""
    if rehearsing.stopped_at:
        status = "stopped"
    elif status == "running":
        status = "waiting"
    return Rehearsal(status, tuple(rehearsing.steps), rehearsing.stopped_at, error)


async def _copied(store: MemoryStore, session: SessionHead, values: Mapping[str, bytes]) -> None:
    await store.create_session(session)
    await store.share([SessionWrite(session.id, name, "set", value, 0) for name, value in values.items()])


def placeholder(kind: Any) -> Any:
    """The emptiest value of a type. Raises `TypeError` where none can be made."""
    kinds = members(kind)
    if kind is Any or any(one in (None, NoneType) for one in kinds):
        return None
    chosen = kinds[0]
    origin = get_origin(chosen) or chosen
    if origin is Literal:
        return get_args(chosen)[0]
    if origin is tuple:
        inner = get_args(chosen)
        return () if Ellipsis in inner else tuple(placeholder(one) for one in inner)
    if origin in _EMPTY:
        return origin()
    return _made(origin)


def _made(origin: Any) -> Any:
    if isinstance(origin, type) and issubclass(origin, Enum):
        return next(iter(origin))
    empties: tuple[tuple[Any, Any], ...] = ((Mapping, dict), (Sequence, list), (Set, set))
    for abstract, empty in empties:
        if isinstance(origin, type) and issubclass(origin, abstract):
            return empty()  # pyright: ignore[reportUnknownVariableType]
    if isinstance(origin, type) and dataclasses.is_dataclass(origin):
        hints = get_type_hints(origin)
        return origin(
            **{field.name: placeholder(hints[field.name]) for field in dataclasses.fields(origin) if _must(field)}
        )
    raise TypeError(f"no value of type {origin!r} can be made up")


def _must(field: dataclasses.Field[Any]) -> bool:
    return field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
