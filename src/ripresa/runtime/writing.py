"""What a step writes to the store's own database: collected while it runs, applied with its completion.

Law: it becomes durable in the transaction of the completion, or not at all; an attempt that fails writes nothing, nor
one whose result interceptors do not take. It is tried beforehand, so that what cannot be applied is the failure of the
attempt. Usable from any thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, cast

from ..core.reported import RowsWritten
from ..core.values import NULL
from ..errors import InvalidValue, RipresaError
from ..ports import Statement, Tables, Written

if TYPE_CHECKING:
    from .attempts import Running
    from .driver import Driver

MOST: Final = 10_000
"""How many statements an attempt may collect."""

TEXT: Final = 200
"""How much of a statement stands in the journal."""

_PLAIN: Final = (int, float, str, bytes, bool, type(None))


class Writing:
    """What one attempt writes."""

    def __init__(self, driver: Driver, running: Running, tables: Tables) -> None:
        self._driver = driver
        self._running = running
        self._tables = tables
        self._lock = Lock()
        self._statements: list[Statement] = []
        self._tried = 0

    def transaction(self) -> Collecting:
        """See `StepContext.transaction`."""
        return Collecting(self)

    def add(self, statements: Sequence[Statement]) -> None:
        """Collect statements. Raises `InvalidValue` if there are too many."""
        with self._lock:
            if len(self._statements) + len(statements) > MOST:
                raise InvalidValue(f"a step writes with {MOST} statements at most", op="transaction")
            self._statements += statements

    def drop(self, since: int) -> None:
        """Forget what was collected since there were so many."""
        with self._lock:
            del self._statements[since:]
            self._tried = min(self._tried, since)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._statements)

    @property
    def untried(self) -> bool:
        """Whether it is not known whether they can be applied."""
        return self._tried < len(self._statements)

    async def try_out(self) -> None:
        """See whether they can be applied. Raises `RipresaError(transaction_failed)`."""
        statements = tuple(self._statements)
        await self._tables.try_statements(statements)
        self._tried = len(statements)

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        """The rows of a query, of what is durable."""
        return await self._tables.select_rows(statement)

    def fact(self, at: int, path: str, attempt: int) -> RowsWritten:
        """What was collected since the last time, as a fact; the driver keeps the statements until it is recorded."""
        with self._lock:
            statements, self._statements, self._tried = tuple(self._statements), [], 0
        place = path, attempt
        self._driver.written[place] = Written(self._running.run, statements)
        texts = tuple(dict.fromkeys(statement.sql[:TEXT] for statement in statements))
        asks = "after" in self._driver.state.points
        body = self._driver.keeper.keep(encode_statements(statements)) if asks else NULL
        return RowsWritten(at, path, attempt, texts, len(statements), body)


class Collecting:
    """A transaction that a step adds to: with `with`, what was added in a block that raises is forgotten."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._since = writing.count

    def __enter__(self) -> Collecting:
        self._since = self._writing.count
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._writing.drop(self._since)

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /) -> None:
        """See `Transaction`."""
        self._writing.add((_statement(sql, parameters),))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any] | Mapping[str, Any]], /) -> None:
        """See `Transaction`."""
        self._writing.add([_statement(sql, row) for row in rows])

    async def fetch(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /) -> list[tuple[Any, ...]]:
        """See `Transaction`."""
        return await self._writing.fetch(_statement(sql, parameters))


def tables_of(driver: Driver) -> Tables:
    """The database of the store. Raises `RipresaError(not_available)` if it has none for steps to write to."""
    store: object = driver.engine.store
    if not isinstance(store, Tables):
        raise RipresaError(
            f"the store {driver.engine.store.url!r} has no tables for steps to write to",
            code="not_available",
            op="transaction",
            hint="use an SQLite store",
        )
    return store


def _statement(sql: object, parameters: object) -> Statement:
    if not isinstance(sql, str) or not sql.strip():
        raise InvalidValue(f"{sql!r} is no statement", op="transaction")
    given: Any = parameters
    if isinstance(parameters, Mapping):
        given = dict(given)
    elif isinstance(parameters, Sequence) and not isinstance(parameters, str | bytes):
        given = tuple(given)
    else:
        raise InvalidValue("the parameters of a statement are a sequence, or a mapping by name", op="transaction")
    values: Any = given.values() if isinstance(parameters, Mapping) else given
    bad = [type(value).__name__ for value in values if not isinstance(value, _PLAIN)]
    if bad:
        raise InvalidValue(f"a {bad[0]} is no value of a database: None, numbers, texts, bytes", op="transaction")
    return Statement(sql, given)


def encode_statements(statements: Iterable[Statement]) -> bytes:
    """Statements as JSON text, until it is known whether they are to be performed."""
    return json.dumps([[each.sql, _plain(each.parameters)] for each in statements]).encode()


def decode_statements(text: bytes) -> tuple[Statement, ...]:
    """The statements that `encode_statements` wrote."""
    return tuple(Statement(sql, _given(parameters)) for sql, parameters in json.loads(text))


def _plain(value: Any) -> Any:
    """A parameter, or all of them, as JSON: bytes and numbers that are none have a form of their own."""
    if isinstance(value, Mapping):
        return {"by name": {name: _plain(each) for name, each in cast("Mapping[str, Any]", value).items()}}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, float) and not isfinite(value):
        return {"float": repr(value)}
    return value


def _given(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_given, value))  # pyright: ignore[reportUnknownArgumentType]
    if not isinstance(value, dict):
        return value
    [(kind, text)] = cast("dict[str, Any]", value).items()
    if kind == "by name":
        return {name: _given(each) for name, each in text.items()}
    return bytes.fromhex(text) if kind == "hex" else float(text)
