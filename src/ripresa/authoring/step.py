"""Steps: functions whose result is recorded exactly once."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    cast,
    get_args,
    overload,
)

from typing_extensions import TypeVar

from ..core.calling import told
from ..core.complaints import Complaints
from ..core.durations import Duration, seconds
from ..core.names import check_name
from ..core.retry import ONCE, Retry
from ..core.values import Value
from ..errors import InvalidConfig
from .cache import Cache, cache_of
from .call import Call, Pending
from .encoding import Reader
from .parameters import Parameters
from .pool import Pool
from .undoable import declare

if TYPE_CHECKING:
    from .hooks import Hook
    from .unknown import Unknown

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Effect: TypeAlias = Literal["pure", "read", "idempotent", "reversible", "irreversible"]
"""What a step does to the world: nothing, look at it, the same however often, what can be undone, what cannot.

An `irreversible` one whose outcome is unknown is never repeated by itself.
"""

CACHED: Final = ("pure", "read")
"""Effects of steps whose results may be kept for other runs."""

Executor: TypeAlias = Literal["auto", "process"] | str
"""`auto`: async functions in the loop, others in a thread. `process`: in a child process that can be killed. Any
other name: in the executor that the app has under it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a step is run. `timeout` is in seconds; `concurrency` bounds its attempts at a time in one app.

    `pool` is the pool, or its name, of which each attempt holds a member.
    """

    name: str
    retry: Retry = ONCE
    timeout: float | None = None
    effect: Effect = "idempotent"
    executor: Executor = "auto"
    concurrency: int | None = None
    hooks: tuple[Hook, ...] = ()
    pool: Pool[Any] | str | None = None
    cache: Cache | None = None


class Step(Generic[P, R_co]):
    """A function that the engine runs at least once and records exactly once.

    Calling it gives a call, for `def` and `async def` alike. `fn` is the plain function, `recipe` how a document makes
    it, where one does.
    """

    def __init__(self, fn: Callable[P, Any], options: Options) -> None:
        self.fn = fn
        self.options = options
        self.name = options.name
        self.compensation: Any = None
        self.reconciler: Any = None
        self.recipe: Any = None
        self.remark = ""
        """Words for people, where a document gave some."""
        self.__doc__ = fn.__doc__
        self.__wrapped__ = fn

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call[R_co]:
        """A call: nothing has happened yet. Awaited outside a run it just runs the function."""
        return cast("Call[R_co]", Pending(self, args, kwargs, partial(run_plainly, self.fn, args, kwargs)))

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    @property
    def stand_in(self) -> Any:
        """The workflow that stands in its place wherever it is a node of a run; None for the step itself."""
        return None

    @cached_property
    def parameters(self) -> Parameters:
        """What the function takes and returns."""
        return Parameters(self.fn)

    @cached_property
    def is_async(self) -> bool:
        """Whether calling the function gives a coroutine."""
        return inspect.iscoroutinefunction(self.fn) or inspect.iscoroutinefunction(getattr(self.fn, "__call__", None))  # noqa: B004

    @cached_property
    def in_loop(self) -> bool:
        """Whether the function runs in the event loop itself."""
        return self.is_async and self.options.executor == "auto"

    def with_(  # noqa: PLR0913 - every option of a step, by keyword
        self,
        *,
        name: str | None = None,
        retry: Retry | int | None = None,
        timeout: Duration | None = None,
        effect: Effect | None = None,
        executor: Executor | None = None,
        concurrency: int | None = None,
        hooks: Iterable[Hook] | None = None,
        pool: Pool[Any] | str | None = None,
        cache: Cache | Duration | bool | None = None,
    ) -> Step[P, R_co]:
        """The same step with other options; those that are not given stay."""
        bad = Complaints()
        if self.compensation is not None and effect not in (None, "reversible"):
            bad.append(f"effect is {effect!r}, must be 'reversible': {self.name} has an undo")
        given: dict[str, Any] = {
            "name": name,
            "retry": None if retry is None else bad.read(_retry, retry),
            "timeout": None if timeout is None else bad.read(seconds, timeout, "timeout"),
            "effect": effect,
            "executor": executor,
            "concurrency": concurrency,
            "hooks": None if hooks is None else bad.read(_hooks, hooks),
            "pool": pool,
        }
        if cache is not None:
            given["cache"] = bad.read(cache_of, cache)
        changed = {name: value for name, value in given.items() if value is not None or name == "cache"}
        twin = self._twin(_checked(replace(self.options, **changed), bad))
        if twin.compensation is not None:
            declare(twin)
        return twin

    @overload
    def undo(self, fn: Callable[[R_co], Awaitable[None] | None], /) -> Step[[R_co], None]: ...
    @overload
    def undo(  # type: ignore[overload-cannot-match] # mypy takes the P of a generic class for no parameters
        self, fn: Callable[Concatenate[R_co, P], Awaitable[None] | None], /
    ) -> Step[Concatenate[R_co, P], None]: ...
    def undo(self, fn: Any, /) -> Any:
        """Declare what undoes this step: a function, a step with options of its own, a flow or a workflow.

        It is given the step's result; a function also the step's arguments, if it takes more parameters. One that
        takes them, and None in the place of the result, is also asked where nobody knows whether the step did its
        work. The step is `reversible` from then on. Raises `InvalidConfig`.
        """
        compensation = self._undoing(fn)
        self.compensation = compensation
        self.options = replace(self.options, effect="reversible")
        declare(self)
        return compensation

    def reconcile(self, fn: Callable[P, Awaitable[R_co | Unknown] | R_co | Unknown], /) -> Callable[P, Any]:
        """Declare how it is found out what an attempt of this irreversible step did that ended without a report.

        The function takes the step's arguments, and `current().idempotency_key` is the step's. It returns the step's
        result if the step did its work; what it raises is how the step failed; `Unknown()` leaves it to a person. It
        is asked again whenever the run is taken up. Raises `InvalidConfig`.
        """
        if self.options.effect != "irreversible":
            raise InvalidConfig(
                f"{self.name} is {self.options.effect}: it is simply repeated", op="reconcile", where=self.name
            )
        if self.reconciler is not None:
            raise InvalidConfig(f"{self.name} has a reconciliation already", op="reconcile", where=self.name)
        self.reconciler = fn
        return fn

    def undone_by(self, fn: Any) -> Step[P, R_co]:
        """The same step with another undo; see `undo`."""
        twin = self._twin(replace(self.options, effect="reversible"))
        twin.compensation = self._undoing(fn, again=True)
        declare(twin)
        return twin

    def _undoing(self, fn: Any, *, again: bool = False) -> Any:
        from .flow import as_links

        effect = self.options.effect
        complaints = (
            f"{self.name} is {effect}: there is nothing that could be undone" if effect in _NO_UNDO else None,
            f"{self.name} has an undo already" if self.compensation is not None and not again else None,
        )
        return as_links((fn,), "undo", *complaints)[0]

    def _twin(self, options: Options) -> Step[P, R_co]:
        twin = Step[P, R_co](self.fn, options)
        twin.compensation, twin.reconciler, twin.recipe = self.compensation, self.reconciler, self.recipe
        twin.remark = self.remark
        return twin


class Share(Step[P, R_co]):
    """A share of the work of the step that journals it, which is known by that step's effect alone."""


_NO_UNDO = ("pure", "read", "irreversible")


async def run_plainly(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function and await what it gives if that can be awaited."""
    result = fn(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


class StepDecorator(Protocol):
    """What `step(...)` with options gives."""

    @overload
    def __call__(self, fn: Callable[P, Call[R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Step[P, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Make a function a step."""
        ...


@overload
def step(fn: Callable[P, Call[R]], /) -> Step[P, R]: ...
@overload
def step(fn: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    retry: Retry | int | None = None,
    timeout: Duration | None = None,
    effect: Effect = "idempotent",
    executor: Executor = "auto",
    concurrency: int | None = None,
    hooks: Iterable[Hook] = (),
    pool: Pool[Any] | str | None = None,
    cache: Cache | Duration | bool = False,
) -> StepDecorator: ...
@told
def step(  # noqa: PLR0913 - every option of a step, by keyword
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry: Retry | int | None = None,
    timeout: Duration | None = None,
    effect: Effect = "idempotent",
    executor: Executor = "auto",
    concurrency: int | None = None,
    hooks: Iterable[Hook] = (),
    pool: Pool[Any] | str | None = None,
    cache: Cache | Duration | bool = False,
) -> Any:
    """Make a function a step.

    `name` stands in paths and in the definition's hash (default: the function's). `retry` is a `Retry` or a number of
    attempts; without it a failure is final. `timeout` bounds one attempt: an async step is interrupted, a process is
    killed, a thread can only be abandoned. `effect` says what the step does to the world, `executor="process"` runs
    it in a child process, `concurrency` bounds how many of its attempts an app runs at a time, `hooks` stand at this
    step wherever it is used, `pool` (or its name, if the app has it) lends each attempt a member. `cache`
    (a `Cache`, or how long: "1 day") keeps results of a `pure` or `read` step for all runs. All options but `name` can
    be changed under unfinished runs.

    Raises `InvalidConfig` that names every bad option.
    """

    def wrap(function: Callable[..., Any]) -> Step[..., Any]:
        if not callable(function):
            raise InvalidConfig(f"{function!r} is no function", op="step", hint="write @step above a def")
        if inspect.isasyncgenfunction(function):
            raise InvalidConfig(
                f"{step_name(function)} is an async generator: a step returns one value, it does not yield",
                op="step",
                where=step_name(function),
                hint="return a list of what it yields; items one by one are the source of a stream: stream(function)",
            )
        bad = Complaints()
        options = Options(
            name=step_name(function) if name is None else name,
            retry=ONCE if retry is None else bad.read(_retry, retry),
            timeout=None if timeout is None else bad.read(seconds, timeout, "timeout"),
            effect=effect,
            executor=executor,
            concurrency=concurrency,
            hooks=bad.read(_hooks, hooks),
            pool=pool,
            cache=bad.read(cache_of, cache),
        )
        return Step(function, _checked(options, bad))

    return wrap if fn is None else wrap(fn)


def step_name(fn: Callable[..., Any]) -> str:
    """The name under which a function is a step if it is given no other."""
    while isinstance(fn, partial):
        fn = fn.func
    name = str(getattr(fn, "__name__", type(fn).__name__))
    return "lambda" if name == "<lambda>" else name


def _retry(value: Any) -> Retry:
    if isinstance(value, Retry):
        return value
    if not _is_count(value):
        why = f"retry is {value!r}, must be a Retry or a number of attempts from 1 (the first counts)"
        raise InvalidConfig(why, op="step")
    return Retry(attempts=value)


def _checked(options: Options, bad: Complaints) -> Options:
    problems = [check_name(options.name, "name")]
    if options.effect not in get_args(Effect):
        problems.append(f"effect is {options.effect!r}, must be one of {', '.join(get_args(Effect))}")
    problems.append(check_name(options.executor, "executor"))
    if options.timeout == 0:
        problems.append("timeout is 0, must be a length of time above 0")
    if options.concurrency is not None and (not _is_count(options.concurrency)):
        problems.append(f"concurrency is {options.concurrency!r}, must be a whole number from 1")
    if options.hooks:
        problems.extend(_no_hook(hook) for hook in options.hooks)
    problems.append(_bad_pool(options.pool))
    if options.cache is not None and options.effect not in CACHED:
        problems.append(f"cache is for steps of effect {' or '.join(CACHED)}, this one's is {options.effect!r}")
    bad.extend(filter(None, problems))
    bad.refuse("step", str(options.name))
    return options


def _hooks(given: Iterable[Hook]) -> tuple[Hook, ...]:
    if not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidConfig(f"hooks is {given!r}, must be a list of hooks", op="step")
    return tuple(given)


def _no_hook(hook: object) -> str | None:
    from .hooks import Hook

    return None if isinstance(hook, Hook) else f"hooks has {hook!r}, must have hooks only"


def _bad_pool(pool: object) -> str | None:
    if pool is None or (isinstance(pool, Pool | str) and pool != ""):
        return None
    return f"pool is {pool!r}, must be a Pool or the name of one"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


class Binding(Protocol):
    """How the input of a call node becomes the arguments of its step."""

    def arguments(self, value: Value, reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments, decoded anew."""
        ...


@dataclass(frozen=True, slots=True)
class Bound:
    """The code of a call node: a step and how it is given its input."""

    step: Step[..., Any]
    binding: Binding


@dataclass(frozen=True, slots=True)
class Whole:
    """The input is the first argument; `kind` is the type it is decoded by."""

    kind: Any

    def arguments(self, value: Value, reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """See `Binding`."""
        return (reader.read(value, self.kind),), {}


@dataclass(frozen=True, slots=True)
class Spread:
    """The input is a list whose items are the first arguments, of these types."""

    kinds: tuple[Any, ...]

    def arguments(self, value: Value, reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """See `Binding`."""
        parts = reader.items(value)
        return tuple(reader.read(part, kind) for part, kind in zip(parts, self.kinds, strict=True)), {}


@dataclass(frozen=True, slots=True)
class Named:
    """The input is what `Parameters.encode` made of the arguments of a direct call."""

    parameters: Parameters

    def arguments(self, value: Value, reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """See `Binding`."""
        return self.parameters.decode(value, reader)
