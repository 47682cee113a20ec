"""What a step holds to report beside its result, and to read and change what its session holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, TypeVar, overload

from .errors import RipresaError
from .messages import Signal

A = TypeVar("A")


class SessionData(Protocol):
    """The values of the session that a run belongs to: read as they are now, with this step's own changes.

    A step's changes become durable with its completion, once, in the same transaction; those of an attempt that fails
    are forgotten. `add`, `append` and `merge` are applied to what is there then, so that none of several runs' changes
    is lost. Values are plain data, dataclasses or models, of up to 64 KB. In a condition the session can only be read.
    """

    @property
    def id(self) -> str:
        """The id of the session."""
        ...

    @overload
    def get(self, name: str, /) -> Any: ...
    @overload
    def get(self, name: str, kind: type[A], /) -> A | None: ...
    @overload
    def get(self, name: str, kind: type[A], default: A, /) -> A: ...
    def get(self, name: str, kind: Any = Any, default: Any = None, /) -> Any:
        """The value of this name, decoded as `kind`, or the default if there is none."""
        ...

    def names(self) -> list[str]:
        """The names of all values, in alphabetical order."""
        ...

    def set(self, name: str, value: object, /) -> None:
        """Let the value of this name be another."""
        ...

    def delete(self, name: str, /) -> None:
        """Forget the value of this name."""
        ...

    def add(self, name: str, amount: float, /) -> None:
        """Add to a number, which begins at 0."""
        ...

    def append(self, name: str, item: object, /) -> None:
        """Append to a list, which begins empty."""
        ...

    def merge(self, name: str, /, **fields: object) -> None:
        """Set fields of an object, which begins without any."""
        ...


class FunctionSession(Protocol):
    """The same for a durable function: each look at it, and each change, is a step of its own, journaled, made once."""

    async def id(self) -> str:
        """The id of the session. Raises `RipresaError(not_available)`, as all of this does, if the run has none."""
        ...

    @overload
    async def get(self, name: str, /) -> Any: ...
    @overload
    async def get(self, name: str, kind: type[A], /) -> A | None: ...
    @overload
    async def get(self, name: str, kind: type[A], default: A, /) -> A: ...
    async def get(self, name: str, kind: Any = Any, default: Any = None, /) -> Any:
        """The value of this name as it is now, decoded as `kind`, or the default if there is none."""
        ...

    async def names(self) -> list[str]:
        """The names of all values, in alphabetical order."""
        ...

    async def set(self, name: str, value: object, /) -> None:
        """Let the value of this name be another."""
        ...

    async def delete(self, name: str, /) -> None:
        """Forget the value of this name."""
        ...

    async def add(self, name: str, amount: float, /) -> None:
        """Add to a number, which begins at 0."""
        ...

    async def append(self, name: str, item: object, /) -> None:
        """Append to a list, which begins empty."""
        ...

    async def merge(self, name: str, /, **fields: object) -> None:
        """Set fields of an object, which begins without any."""
        ...


class Transaction(Protocol):
    """What a step writes to tables of its own in the store's database, in the transaction of its completion.

    Statements are collected, and performed in order when the step completes; they cannot be asked for their rows.
    Reads see what is durable, not what is collected here. With `with`, what was added in a block that raises is
    forgotten. Values are None, numbers, texts and bytes.
    """

    def __enter__(self) -> Transaction: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /) -> None:
        """Add a statement. Raises `InvalidValue`."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any] | Mapping[str, Any]], /) -> None:
        """Add a statement for each row of parameters. Raises `InvalidValue`."""
        ...

    async def fetch(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises `RipresaError(transaction_failed)`."""
        ...


class Reporting(Protocol):
    """Takes what a step reports beside its result; see the methods of `StepContext`."""

    def session(self) -> SessionData:
        """The session of the run. Raises `RipresaError(not_available)` if it has none."""
        ...

    def use(self, tokens: int, cost: float | None) -> None:
        """The step used so much; the cost is None where nobody knows the price."""
        ...

    def touch(self, path: str | PathLike[str]) -> None:
        """The step changed a file."""
        ...

    def write(self, text: str) -> None:
        """The step has a piece of text that is being written."""
        ...

    def tell(self, sender: str, receiver: str, kind: str, content: object) -> None:
        """Somebody sent somebody something."""
        ...

    def models(self) -> Mapping[str, Any]:
        """The models of the app, by name."""
        ...

    async def ensure(self, tokens: int, cost: float | None) -> None:
        """The step is about to use so much."""
        ...

    def left(self) -> dict[str, float]:
        """What the step may still use."""
        ...

    def save(self, name: str, source: bytes | str | PathLike[str], media_type: str) -> None:
        """The step made a result file."""
        ...

    def send(self, run: str, signal: Signal[Any], value: object, id: str) -> None:
        """The step sends another run a signal."""
        ...

    def start(self, call: Any, id: str) -> str:
        """The step starts a run; its id."""
        ...

    def queue(self, kind: str, value: object, target: str, id: str) -> None:
        """The step sends something of another kind."""
        ...

    def transaction(self) -> Transaction:
        """The step writes to the store's database."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """A member of a pool that an attempt holds: of which pool, and who it is that holds it."""

    pool: str
    member: Any
    holder: str


class Attempt(Protocol):
    """What the engine knows about the attempt that runs; `current()` shows it to the step."""

    @property
    def run(self) -> str:
        """The id of the run."""
        ...

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        ...

    @property
    def path(self) -> str:
        """Where the step stands."""
        ...

    @property
    def number(self) -> int:
        """The number of the attempt, from 1."""
        ...

    @property
    def key(self) -> str:
        """The idempotency key."""
        ...

    def deadline(self) -> datetime | None:
        """When the attempt will be stopped."""
        ...

    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        ...

    def progress(self, completed: float, total: float | None, message: str) -> None:
        """Tell watchers how far it is."""
        ...

    def record(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> Awaitable[Any]:
        """Perform a journaled call."""
        ...

    def reporting(self) -> Reporting:
        """What the attempt reports beside its result."""
        ...

    def reserve(self, tokens: int, cost: float) -> Awaitable[None]:
        """Hold tokens and money until the attempt ends."""
        ...

    def checkout(self, pool: Any, holds: tuple[Hold, ...]) -> AbstractAsyncContextManager[Hold]:
        """Hold a member of a pool while holding these."""
        ...

    def state(self, kind: Any) -> Any:
        """The view of the typed state."""
        ...

    def to(self, kind: Any) -> Any:
        """The fields of the typed state, to be written to by reducers."""
        ...


class Sends:
    """What a step may send out of its run, and tell those who watch it."""

    __slots__ = ()

    def _reporting(self) -> Reporting:
        """Where it is handed in."""
        return NOWHERE

    def write(self, text: str, /) -> None:
        """Tell watchers a piece of text as it is being written, by a model for example: not kept."""
        self._reporting().write(text)

    def interaction(self, sender: str, receiver: str, kind: str, content: object) -> None:
        """Record who sent what to whom: agents, models, tools and people, by name.

        It becomes durable with the end of the attempt, whether or not it succeeds, or with the journaled call that was
        made next. Outside a run it is forgotten.
        """
        self._reporting().tell(sender, receiver, kind, content)

    @property
    def models(self) -> Mapping[str, Any]:
        """The models of the app, by name; none outside a run."""
        return self._reporting().models()

    async def ensure(self, *, tokens: int = 0, cost: float | None = 0.0) -> None:
        """Hold at least so much of what the limits leave, for what is used next; what is held already counts.

        For steps that use something again and again: one call's worth is held, however many there are. A `cost` of None
        says that nobody knows the price: where money is limited, that is for `Limits(unpriced=...)` to allow. Otherwise
        the same as `reserve`.
        """
        await self._reporting().ensure(tokens, cost)

    def left(self) -> dict[str, float]:
        """How much is left of each limit of the run, or of its session where that leaves less, by name of the limit.

        What has no limit is not there; `wall_time` is in seconds. What others use meanwhile is not held: see `reserve`.
        """
        return self._reporting().left()

    def send(self, run: str, signal: Signal[A], value: A, /, *, id: str = "") -> None:
        """Send another run a signal, if and only if this step completes: it becomes durable in that transaction.

        It is delivered after that, at least once and counted once (by `id`, or one that is made for it), in the order
        in which this run sends. Raises `InvalidValue` for a value of another type. Outside a run nothing is sent.
        """
        self._reporting().send(run, signal, value, id)

    def start(self, call: Coroutine[Any, Any, Any], /, *, id: str = "") -> str:
        """Start a run of its own, if and only if this step completes; its id, by default made of this step's key.

        Whether that run succeeds is its own affair. Raises `InvalidValue` for a bad input. Outside a run nothing is
        started.
        """
        return self._reporting().start(call, id)

    def queue(self, kind: str, value: object, /, *, target: str = "", id: str = "") -> None:
        """Send something by a sender of one's own, `App(senders={kind: ...})`, if and only if this step completes.

        It is called until it returns: at least once, with the same `id` each time.
        """
        self._reporting().queue(kind, value, target, id)

    def transaction(self) -> Transaction:
        """Write to tables of one's own in the store's database, in the very transaction that records this step.

        `with current().transaction() as t: t.execute("INSERT ...", (1,))`: written if and only if the step completes,
        once. Statements that cannot be performed fail the attempt with `transaction_failed`. Raises
        `RipresaError(not_available)` where the store is no SQLite file, and outside a run.
        """
        return self._reporting().transaction()


def no_session(message: str) -> RipresaError:
    """The error of code that asks for a session where there is none."""
    return RipresaError(message, code="not_available", op="session", hint='start the run with session="..."')


class Nowhere:
    """Forgets what a step reports that is run by hand."""

    def session(self) -> SessionData:
        """See `Reporting`."""
        raise no_session("outside a run there is no session")

    def use(self, tokens: int, cost: float | None) -> None:
        """See `Reporting`."""
        return

    def touch(self, path: str | PathLike[str]) -> None:
        """See `Reporting`."""
        return

    def write(self, text: str) -> None:
        """See `Reporting`."""
        return

    def tell(self, sender: str, receiver: str, kind: str, content: object) -> None:
        """See `Reporting`."""
        return

    def models(self) -> Mapping[str, Any]:
        """See `Reporting`."""
        return MappingProxyType({})

    async def ensure(self, tokens: int, cost: float | None) -> None:
        """See `Reporting`."""
        return

    def left(self) -> dict[str, float]:
        """See `Reporting`."""
        return {}

    def save(self, name: str, source: bytes | str | PathLike[str], media_type: str) -> None:
        """See `Reporting`."""
        return

    def send(self, run: str, signal: Signal[Any], value: object, id: str) -> None:
        """See `Reporting`."""
        return

    def start(self, call: Any, id: str) -> str:
        """See `Reporting`."""
        return id or "outside-a-run"

    def queue(self, kind: str, value: object, target: str, id: str) -> None:
        """See `Reporting`."""
        return

    def transaction(self) -> Transaction:
        """See `Reporting`."""
        raise RipresaError("outside a run there is no database to write to", code="not_available", op="transaction")


NOWHERE = Nowhere()
