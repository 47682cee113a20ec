"""What a step holds, and how running code learns that it is inside a run.

The only module that uses context variables. What a durable function holds: `ripresa.function_context`.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from inspect import isawaitable
from math import inf
from os import PathLike
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar, overload

from .errors import InvalidConfig, RipresaError
from .foreign import adopted
from .reporting import NOWHERE, Attempt, Hold, Reporting, Sends, SessionData

if TYPE_CHECKING:
    from .authoring.protocols import Invocable, PydanticAgent

Variables: TypeAlias = contextvars.Context
"""The context variables that some code runs with."""

P = ParamSpec("P")
A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")


class StepContext(Sends):
    """What a running step may know and ask for; see `current`."""

    __slots__ = ("_attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    @property
    def run(self) -> str:
        """The id of the run; empty outside one."""
        return self._attempt.run

    @property
    def workflow(self) -> str:
        """The name of the workflow; empty outside a run."""
        return self._attempt.workflow

    @property
    def path(self) -> str:
        """Where the step stands in the workflow."""
        return self._attempt.path

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._attempt.number

    @property
    def idempotency_key(self) -> str:
        """A text that is the same for all attempts of this step in this run and differs from every other."""
        return self._attempt.key

    @property
    def deadline(self) -> datetime | None:
        """The moment at which this attempt is stopped: its timeout, or what its scopes have left, if any."""
        return self._attempt.deadline()

    @property
    def cancelled(self) -> bool:
        """Whether this attempt was asked to stop. For sync steps, which cannot be interrupted: look, and return."""
        return self._attempt.cancelled()

    @property
    def session(self) -> SessionData:
        """The values of the session that the run belongs to. Raises `RipresaError(not_available)` if it has none."""
        return self._attempt.reporting().session()

    def usage(self, *, tokens: int = 0, cost: float | None = 0.0) -> None:
        """Say what was used; it adds up, over the run and its session, also if the attempt fails.

        It is recorded with the end of the attempt, or with the journaled call that was made next. Outside a run it is
        forgotten. A `cost` of None says that nobody knows the price: such a use counts as `unpriced`, of which there
        may be none where money is limited, unless `Limits(unpriced=...)` says so.
        """
        self._attempt.reporting().use(tokens, cost)

    async def reserve(self, *, tokens: int = 0, cost: float = 0.0) -> None:
        """Hold so much of what the limits of the run and its session leave, before it is used.

        It is free again when the attempt ends; what was used is what `usage` said. Where there is not so much left the
        run does what its limits say; then this raises `RipresaError(limit_exceeded)`, to end the attempt.
        """
        await self._attempt.reserve(tokens, cost)

    def touched(self, path: str | PathLike[str], /) -> None:
        """Say that a file was changed; recorded with the end of the attempt."""
        self._attempt.reporting().touch(path)

    def save_artifact(self, name: str, content: bytes | str | PathLike[str], /, *, media_type: str = "") -> None:
        """Save a version of a result file: bytes, text, or the file at a path (a `Path`), which is read in pieces.

        It is there when the step has completed, with it or not at all, as the next version of that name in the session
        (in the run, if that has none); what equals the version before makes no new one. A file must stay as it is until
        the step has returned. Outside a run nothing is kept.
        """
        self._attempt.reporting().save(name, content, media_type)

    def _reporting(self) -> Reporting:
        return self._attempt.reporting()

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What the running code holds of pools, the one taken last at the end."""
        return ()

    @property
    def resource(self) -> Any:
        """The member of a pool that the running code took last; None if it holds none. Typed: `pool.mine()`."""
        return self.holds[-1].member if self.holds else None

    def checkout(self, pool: Any) -> AbstractAsyncContextManager[Hold]:
        """Hold a member of a pool for this attempt; see `Pool.take`."""
        return self._attempt.checkout(pool, self.holds)

    def progress(self, completed: float, total: float | None = None, message: str = "") -> None:
        """Tell watchers how far the step is: not kept, and free when nobody watches.

        Raises `InvalidConfig` for what is no number from 0.
        """
        _require_amounts(completed, 0.0 if total is None else total)
        self._attempt.progress(completed, total, message)

    def state(self, kind: type[T], /) -> T:
        """The typed state as this step sees it: a view whose fields are decoded when they are read.

        Assigning a field replaces it; what was written is recorded with the step's result, and others see it then.
        Raises `RipresaError(no_state)` where nothing has a state of this class.
        """
        view: T = self._attempt.state(kind)
        return view

    def to(self, kind: type[T], /) -> T:
        """The fields of the typed state to write to by their reducers: `append(current().to(Report).scores, 0.7)`."""
        targets: T = self._attempt.to(kind)
        return targets

    @overload
    def call(self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def call(self, fn: PydanticAgent[str, R], prompt: str, /) -> Coroutine[Any, Any, R]: ...
    @overload
    def call(self, fn: Invocable[A, R], input: A, /) -> Coroutine[Any, Any, R]: ...
    def call(self, fn: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """A journaled call: its success is durable before this returns, and the next attempt is handed it.

        Calls are told apart by function, arguments and how many equal ones came before; a failure is not kept. `fn` may
        be an agent or a graph of another framework.
        """
        return _journaled(self._attempt, fn, args, kwargs, "")

    def call_with_key(
        self, key: str, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]:
        """The same, told apart by `key` instead of by its arguments."""
        return _journaled(self._attempt, fn, args, kwargs, key)


def _require_amounts(completed: object, total: object) -> None:
    bad = [
        f"{name} is {value!r}, must be a finite number from 0"
        for name, value in (("completed", completed), ("total", total))
        if not isinstance(value, int | float) or not 0 <= value < inf
    ]
    if bad:
        raise InvalidConfig("; ".join(bad), op="progress")


class Holding(StepContext):
    """The context of a step that holds members of pools."""

    __slots__ = ("_holds",)

    def __init__(self, attempt: Attempt, holds: tuple[Hold, ...]) -> None:
        super().__init__(attempt)
        self._holds = holds

    @property
    def holds(self) -> tuple[Hold, ...]:
        """See `StepContext`."""
        return self._holds


async def _journaled(attempt: Attempt, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> Any:
    return await attempt.record(fn if callable(fn) else adopted(fn), args, kwargs, key)


class _Outside:
    """The attempt of a step that is run by hand, outside a run."""

    run = workflow = path = ""
    number = 1
    key = "outside-a-run"

    def deadline(self) -> datetime | None:
        return None

    def cancelled(self) -> bool:
        return False

    def progress(self, completed: float, total: float | None, message: str) -> None:
        return None

    def state(self, kind: Any) -> Any:
        raise _no_state()

    def to(self, kind: Any) -> Any:
        raise _no_state()

    async def record(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> Any:
        result = fn(*args, **kwargs)
        return await result if isawaitable(result) else result

    def reporting(self) -> Reporting:
        return NOWHERE

    async def reserve(self, tokens: int, cost: float) -> None:
        return None

    @asynccontextmanager
    async def checkout(self, pool: Any, holds: tuple[Hold, ...]) -> AsyncGenerator[Hold, None]:
        yield Hold(pool.name, pool.members[0], "outside a run")


def _no_state() -> RipresaError:
    return RipresaError(
        "there is no state outside a run",
        code="no_state",
        op="state",
        hint="run the step in a flow: chain(step).with_state(S)",
    )


OUTSIDE = StepContext(_Outside())

IN_FUNCTION = StepContext(_Outside())
"""Stands for the step where a durable function is stepped, which is none."""

_step: ContextVar[StepContext] = ContextVar("ripresa_step", default=OUTSIDE)
_switched_off: ContextVar[frozenset[str]] = ContextVar("ripresa_switched_off", default=frozenset())
_function: ContextVar[bool] = ContextVar("ripresa_function", default=False)
_checked_later: ContextVar[bool] = ContextVar("ripresa_checked_later", default=False)
_notes: ContextVar[object | None] = ContextVar("ripresa_notes", default=None)


def copy_variables() -> Variables:
    """The context variables of the running code, to run something else with."""
    return contextvars.copy_context()


def current() -> StepContext:
    """The context of the running step. Outside a run: attempt 1, no deadline, and calls that just run.

    Raises `RipresaError(usage)` in the body of a durable function, which is no step: it has its `Context`.
    """
    context = _step.get()
    if context is IN_FUNCTION:
        raise RipresaError(
            "current() belongs to steps, and this is the body of a durable function",
            code="usage",
            op="current",
            hint="await the @step itself, which is journaled, or ask the function's Context: ctx.run, ctx.state, ...",
        )
    return context


def in_step() -> tuple[Attempt, tuple[Hold, ...]]:
    """The attempt whose code runs, which is that of no run outside one, and what it holds of pools."""
    context = _step.get()
    return context._attempt, context.holds  # pyright: ignore[reportPrivateUsage]


def enter_step(variables: Variables, context: StepContext) -> None:
    """Make `current()` answer with this context in these context variables."""
    variables.run(_step.set, context)


def returns(text: bytes) -> None:
    """Tell the journaled call that runs what the step that it wraps has returned, as JSON text."""
    tell = getattr(_step.get()._attempt, "returns", None)  # pyright: ignore[reportPrivateUsage]
    if tell is not None:
        tell(text)


def holding(hold: Hold) -> AbstractContextManager[None]:
    """Let `current()` know that the running code, and what it begins, holds a member of a pool."""
    before = _step.get()
    return _instead(Holding(before._attempt, (*before.holds, hold)))  # pyright: ignore[reportPrivateUsage]


def within(attempt: Any) -> AbstractContextManager[None]:
    """Let `current()` answer with this attempt for a while, holding what it holds."""
    return _instead(Holding(attempt, _step.get().holds))


@contextmanager
def _instead(context: StepContext) -> Generator[None, None, None]:
    before = _step.get()
    _step.set(context)
    try:
        yield
    finally:
        _step.set(before)


def take_notes(notes: object) -> None:
    """Let all that this task calls and starts find this by `notes`, past a library that does not hand it on."""
    _notes.set(notes)


def notes() -> object | None:
    """Where whoever called this takes notes, if anybody does."""
    return _notes.get()


def enter_function(variables: Variables) -> None:
    """Make calls awaited in these context variables requests of a durable function."""
    variables.run(_function.set, True)
    variables.run(_step.set, IN_FUNCTION)
    variables.run(_switched_off.set, frozenset[str]())  # what it asks for is looked at, not what it makes


def switched_off() -> frozenset[str]:
    """The features that may not be used where this is asked; see `Config.in_force`."""
    return _switched_off.get()


@contextmanager
def switching_off(features: frozenset[str]) -> Generator[None, None, None]:
    """Let factories of these features, and of those that are off already, make nothing for a while."""
    if not features:
        yield
        return
    token = _switched_off.set(_switched_off.get() | features)
    try:
        yield
    finally:
        _switched_off.reset(token)


def checked_later() -> bool:
    """Whether what is wrong with a flow is said when it is used, and not already when it is written."""
    return _checked_later.get()


@contextmanager
def checking_later() -> Generator[None, None, None]:
    """Let flows that cannot be built be written, for all that is wrong with them to be said together."""
    token = _checked_later.set(True)
    try:
        yield
    finally:
        _checked_later.reset(token)


def in_function() -> bool:
    """Whether the running code is a durable function."""
    return _function.get()
