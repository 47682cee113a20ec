"""What a durable function holds: its ways to wait, to run things side by side, and to know time and chance.

A durable function is stepped by hand: what it awaits is yielded to whoever steps it, as a request (`requested.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar, overload
from uuid import UUID

from typing_extensions import TypeVar as TypeVarWithDefault

from .context import in_function
from .core.durations import Duration, microseconds
from .core.items import Items
from .errors import RipresaError
from .foreign import adopted
from .messages import Approval, Query, QueryWith, Signal, Update
from .reporting import FunctionSession
from .requested import AskPeople, Gather, Leave, MapOver, OnClose, Race, Saga, Scope, SendOut, Sleep, WaitFor
from .terms import Asking, Expiry
from .users_code import users_line

if TYPE_CHECKING:
    from .authoring.protocols import Invocable, PydanticAgent
    from .children import Child
    from .updates import UpdateRequest

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
R = TypeVar("R")
S = TypeVarWithDefault("S", default=None)


class Awaited:
    """Awaits a request: yields it to whoever steps the durable function."""

    __slots__ = ("request",)

    def __init__(self, request: object) -> None:
        self.request = request

    def __await__(self) -> Generator[Any, Any, Any]:
        if not in_function():
            raise RipresaError(
                f"{type(self.request).__name__.lower()} works only inside a durable function",
                code="foreign_await",
                where=users_line(),
                hint="a Context belongs to the run of the @workflow function that was given it",
            )
        return (yield self.request)


class _Saga(AbstractAsyncContextManager[None]):
    """See `Context.saga`."""

    _scope: Scope

    async def __aenter__(self) -> None:
        self._scope = await Awaited(Saga())

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        await Awaited(Leave(self._scope, error is not None and not isinstance(error, Restart)))


class Clockwork(Protocol):
    """What a durable function's context reads: the run's own time and randomness."""

    run: str
    workflow: str
    session: FunctionSession

    def left(self) -> Awaitable[dict[str, float]]:
        """How much is left of each limit: a journaled step."""
        ...

    def now(self) -> datetime:
        """The time of the event that the function goes on from."""
        ...

    def random(self) -> Random:
        """Numbers that are the same in replay."""
        ...

    def patched(self, name: str) -> bool:
        """Whether the function goes by a change of its code."""
        ...

    def expose(self, query: Query[Any] | QueryWith[Any, Any], answer: Callable[..., Any]) -> None:
        """Let a query be answered."""
        ...

    def state(self) -> Any:
        """The view of the typed state."""

    def to(self) -> Any:
        """The fields of the typed state, to be written to by reducers."""


class Restart(BaseException):
    """Raised by `ctx.restart` through the durable function; its `finally` blocks run."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__("the durable function begins anew")
        self.given = args
        self.named = kwargs


class Context(Generic[S]):
    """What a durable function is given: its ways to wait, to run things side by side, and to know time and chance.

    Everything here gives the same answers in replay.
    """

    def __init__(self, clockwork: Clockwork) -> None:
        self._clockwork = clockwork

    @property
    def run(self) -> str:
        """The id of the run."""
        return self._clockwork.run

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        return self._clockwork.workflow

    def now(self) -> datetime:
        """The time of the event that the function goes on from; it stands still between two awaits."""
        return self._clockwork.now()

    @property
    def random(self) -> Random:
        """A generator of random numbers, seeded by the run: the same numbers in replay, others in every run."""
        return self._clockwork.random()

    @property
    def state(self) -> S:
        """The typed state as the function sees it: `ctx: Context[Report]`, then `ctx.state.post = "..."`.

        Assigning a field replaces it. What calls and fibers side by side write is seen when they are joined.
        """
        view: S = self._clockwork.state()
        return view

    @property
    def to(self) -> S:
        """The fields of the typed state to write to by their reducers: `append(ctx.to.scores, 0.7)`."""
        targets: S = self._clockwork.to()
        return targets

    @property
    def session(self) -> FunctionSession:
        """The session of the run: each look at it, and each change, is a journaled step."""
        return self._clockwork.session

    async def left(self) -> dict[str, float]:
        """How much is left of each limit; see `StepContext.left`. A journaled step, which counts as one."""
        return await self._clockwork.left()

    def uuid(self) -> UUID:
        """A random UUID (version 4) of the run's own randomness."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def patched(self, name: str) -> bool:
        """Whether this run goes by the change of this name: `if ctx.patched("v2"): ... else: <as it was before>`.

        True for runs that come here for the first time, which is recorded; False for those that had passed here
        before the change was made. It stays so for the whole run. When no such run is left, remove the question.
        """
        return self._clockwork.patched(name)

    @overload
    def expose(self, query: Query[R], answer: Callable[[], R], /) -> None: ...
    @overload
    def expose(self, query: QueryWith[A, R], answer: Callable[[A], R], /) -> None: ...
    def expose(self, query: Any, answer: Callable[..., Any], /) -> None:
        """Let whoever asks `handle.query(query)` be told what this function returns then; it must change nothing.

        That of a `QueryWith` is given what is asked about: `handle.query(query, value)`. Asked also when the run sleeps
        or has ended: the durable function is stepped along its journal, as far as it had come, and thrown away.
        Exposing the same query again replaces the answer.
        """
        self._clockwork.expose(query, answer)

    def restart(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Begin this function anew with these arguments, in the same run, and forget what it did so far.

        For functions that go on for ever: a function can make so many calls, and remembers what it needs of each. What
        is done anew has new idempotency keys; calls that nobody awaited are cancelled. Nothing after this is run but
        `finally` blocks.
        """
        raise Restart(args, kwargs)

    def saga(self) -> AbstractAsyncContextManager[None]:
        """A scope of compensation: `async with ctx.saga(): ...`.

        If the block raises or is cancelled, what its calls did is undone, last first, before the exception goes on;
        what was called outside it is not touched. A block that ends well changes nothing: what it did is undone with
        the scope around it, in the end with the run.
        """
        return _Saga()

    async def start(self, call: Coroutine[Any, Any, R], /, *, id: str = "", on_close: OnClose = "abandon") -> Child[R]:
        """Start a run of its own, once, whatever happens to this one; recorded on return, begun after that.

        Its `id` is made of this run's if none is given. `on_close` is what becomes of it when this run ends, in
        whatever way: nothing, it is cancelled, or terminated. Raises `InvalidValue` for a bad input.
        """
        from .children import start

        return await start(call, id, on_close)

    async def send(self, run: str, signal: Signal[A], value: A, /, *, id: str = "") -> None:
        """Send another run a signal; recorded on return, delivered after that, counted once.

        Raises `InvalidValue` for a value of another type.
        """
        await Awaited(SendOut("signal", run, signal.name, signal.type, value, id))

    async def sleep(self, duration: Duration, /) -> None:
        """Wait at least this long, across restarts."""
        await Awaited(Sleep(microseconds(duration, "sleep")))

    async def wait_for(self, signal: Signal[R], /, *, timeout: Duration | None = None) -> R:
        """The next signal of this name: one that came early, or the first to come. In order, each to one wait.

        Raises `TimeoutError` (a `StepTimeout`) when none came in time.
        """
        length = 0 if timeout is None else microseconds(timeout, "timeout")
        found: R = await Awaited(WaitFor(signal.name, signal.type, length))
        return found

    async def next_update(self, update: Update[A, R], /, *, timeout: Duration | None = None) -> UpdateRequest[A, R]:
        """The next update of this name: one that came early, or the first to come. Each is to be answered.

        Raises `TimeoutError` (a `StepTimeout`) when none came in time.
        """
        from .updates import next_update

        return await next_update(self, update, 0 if timeout is None else microseconds(timeout, "timeout"))

    @overload
    async def approval(
        self,
        question: str,
        about: object = ...,
        /,
        *,
        name: str = ...,
        quorum: int = ...,
        assignees: Sequence[str] = ...,
        remind: Duration | None = ...,
        escalate: Duration | None = ...,
        escalate_to: Sequence[str] = ...,
        timeout: Duration | None = ...,
        expiry: Expiry = ...,
    ) -> Approval[None]: ...
    @overload
    async def approval(
        self,
        question: str,
        about: object = ...,
        /,
        *,
        form: type[R],
        name: str = ...,
        quorum: int = ...,
        assignees: Sequence[str] = ...,
        remind: Duration | None = ...,
        escalate: Duration | None = ...,
        escalate_to: Sequence[str] = ...,
        timeout: Duration | None = ...,
        expiry: Expiry = ...,
    ) -> Approval[R]: ...
    async def approval(self, question: str, about: object = None, /, *, form: Any = None, **options: Any) -> Any:
        """Ask people about a value, which they are shown; what they decided. The options: see `ripresa.approval`.

        Raises `TimeoutError` (a `StepTimeout`) when nobody answered in time, unless `expiry` says otherwise.
        """
        asking = Asking(**options)
        terms = asking.checked(question, form, "approval")
        output: Any = Approval[form] if form is not None else Approval[None]
        return await Awaited(AskPeople(terms.text, output, form, about, asking.name))

    async def map(
        self,
        link: Callable[[A], Awaitable[B]] | PydanticAgent[A, B] | Invocable[A, B],
        items: Items[A],
        /,
        *,
        concurrency: int | None = None,
    ) -> list[B]:
        """`link` for every item, at most `concurrency` at a time; results in the order of the items.

        The first failure stops the others and is raised.
        """
        known: Any = link if callable(link) else adopted(link)
        if not callable(known):
            raise _misused("map", f"a map calls its first argument for every item, and {known!r} cannot be called")
        if not isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _misused("map", f"a map takes a list of items, and {items!r} is none")
        results: list[B] = await Awaited(MapOver(known, list(items), concurrency))
        return results

    @overload
    async def gather(self, a: Awaitable[A], /) -> tuple[A]: ...
    @overload
    async def gather(self, a: Awaitable[A], b: Awaitable[B], /) -> tuple[A, B]: ...
    @overload
    async def gather(self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /) -> tuple[A, B, C]: ...
    @overload
    async def gather(
        self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], /
    ) -> tuple[A, B, C, D]: ...
    @overload
    async def gather(
        self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], e: Awaitable[E], /
    ) -> tuple[A, B, C, D, E]: ...
    @overload
    async def gather(
        self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], e: Awaitable[E], f: Awaitable[F], /
    ) -> tuple[A, B, C, D, E, F]: ...
    @overload
    async def gather(self, *awaitables: Awaitable[A]) -> tuple[A, ...]: ...
    async def gather(self, *awaitables: Awaitable[Any]) -> Any:
        """Run all side by side; their results in order. The first failure stops the others and is raised."""
        return tuple(await Awaited(Gather(awaitables)))

    @overload
    async def race(self, a: Awaitable[A], b: Awaitable[B], /) -> A | B: ...
    @overload
    async def race(self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /) -> A | B | C: ...
    @overload
    async def race(self, a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], /) -> A | B | C | D: ...
    @overload
    async def race(self, *awaitables: Awaitable[A]) -> A: ...
    async def race(self, *awaitables: Awaitable[Any]) -> Any:
        """Run all side by side; the outcome of the first to end, success or failure. The others are cancelled."""
        if not awaitables:
            raise _misused("race", "a race of nothing has no winner")
        return await Awaited(Race(awaitables))


def _misused(op: str, why: str) -> RipresaError:
    return RipresaError(why, code="usage", op=op, where=users_line())
