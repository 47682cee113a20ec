"""What steps write to tables of their own in the store's database: applied within a transaction, bounded, guarded.

Law: only rows of the user's own tables are read and written; no statement begins or ends a transaction, changes the
schema or the connection, or runs longer than its time.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from ..errors import RipresaError
from ..ports import Statement
from .failures import VALUE_ERRORS

SECONDS: Final = 1.0
"""How long the statements of one attempt may take: everybody who writes waits for them."""

STEPS: Final = 1000
"""Instructions of SQLite's between two looks at the clock."""

ROWS: Final = 10_000
"""How many rows a query may return."""

_TABLE = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)
_LATE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND sql LIKE '%DEFERRED%'"
"""Whether a table has foreign keys that are looked at only when a transaction ends."""
_FREE: Final = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
_ROWS: Final = (sqlite3.SQLITE_READ, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
_OF_THE_DATABASE: Final = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
)
"""Kinds of errors that are nobody's statement's fault."""


class TransactionLost(Exception):
    """A statement failed in a way that ends the transaction: it was interrupted, or it says so (`OR ROLLBACK`)."""

    def __init__(self, error: RipresaError) -> None:
        super().__init__(str(error))
        self.error = error


def tables_in(scripts: Iterable[str]) -> frozenset[str]:
    """The tables that these scripts create."""
    return frozenset(name.lower() for script in scripts for name in _TABLE.findall(script))


def apply(connection: sqlite3.Connection, own: frozenset[str], statements: Sequence[Statement]) -> None:
    """Perform statements within a transaction. Raises `RipresaError(transaction_failed)` for the first that fails.

    What was done until then is the caller's to take back. Errors of the database are raised as they are. Raises
    `TransactionLost` if nothing is left of the whole transaction.
    """
    with _guarded(connection, own):
        for statement in statements:
            try:
                connection.execute(*statement)
            except (sqlite3.Error, *VALUE_ERRORS) as error:
                if _of_the_database(error):
                    raise
                failed = _failed(statement, error)
                failed.__cause__ = error
                raise failed if connection.in_transaction else TransactionLost(failed)  # noqa: B904 - it has its cause


def select(connection: sqlite3.Connection, own: frozenset[str], statement: Statement) -> list[tuple[Any, ...]]:
    """The rows of a query. Raises `RipresaError(transaction_failed)`."""
    with _guarded(connection, own):
        try:
            rows = connection.execute(*statement).fetchmany(ROWS + 1)
        except (sqlite3.Error, *VALUE_ERRORS) as error:
            if _of_the_database(error):
                raise
            raise _failed(statement, error) from error
    if len(rows) > ROWS:
        raise _refused(statement, f"a query returns more than {ROWS} rows")
    return rows


@contextmanager
def links_kept(connection: sqlite3.Connection) -> Generator[None]:
    """See that no foreign key is broken by the end, where some are looked at only then: the commit is everybody's.

    Raises `RipresaError(transaction_failed)`.
    """
    late = connection.execute(_LATE).fetchone() is not None
    before: set[Any] = _broken_links(connection) if late else set()
    yield
    if late and not _broken_links(connection) <= before:
        raise broken_link("FOREIGN KEY constraint failed")


def _broken_links(connection: sqlite3.Connection) -> set[Any]:
    return set(connection.execute("PRAGMA foreign_key_check").fetchall())


def broken_link(message: str) -> RipresaError:
    """The error for statements after which a row refers to none."""
    hint = "write the row that is referred to in the same transaction, or before"
    return RipresaError(
        f"the statements of a step cannot be performed: {message}",
        code="transaction_failed",
        op="transaction",
        hint=hint,
    )


@contextmanager
def _guarded(connection: sqlite3.Connection, own: frozenset[str]) -> Generator[None]:
    until = time.monotonic() + SECONDS
    connection.set_authorizer(partial(_allowed, own))
    connection.set_progress_handler(lambda: int(time.monotonic() > until), STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)
        connection.set_authorizer(None)


def _allowed(own: frozenset[str], action: int, first: str | None, *_: str | None) -> int:
    """Whether a statement may do this, for SQLite to ask when it is prepared."""
    name = (first or "").lower()
    if action in _FREE or (action in _ROWS and name not in own and not name.startswith("sqlite_")):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _of_the_database(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DATABASE


def _failed(statement: Statement, error: Exception) -> RipresaError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_AUTH:
        return _refused(statement, "a statement does more than read and write rows of tables of your own")
    if code == sqlite3.SQLITE_INTERRUPT:
        return _refused(statement, f"the statements of a step took longer than {SECONDS:g} s")
    return _refused(statement, f"a statement cannot be performed: {error}")


def _refused(statement: Statement, message: str) -> RipresaError:
    return RipresaError(message, code="transaction_failed", op="transaction", hint=f"it is: {statement.sql[:200]}")
