"""One SQLite file: its connections, its schema, and transactions that carry the batches of many runs.

Law: one connection writes; others read beside it and never wait for it. Whatever fails in a transaction, none of it is
kept. Nothing here knows the event loop: a transaction may run on any thread, one at a time.
"""

from __future__ import annotations

import json
import os
import pkgutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, cast

from ..core.sessions import apply
from ..errors import RipresaError, StoreError
from ..ports import ArtifactSave, Batch, Outgoing, RunHead, Shared, Spend, Statement, Written
from .failures import VALUE_ERRORS, damage, store_error, value_error
from .jobs import Append, Change, Creation, Job, Owned
from .rules import Held, begun_with, spent
from .statements import TransactionLost, broken_link, links_kept, tables_in
from .statements import apply as apply_statements
from .statements import select as select_rows
from .sweep import in_use

APPLICATION = 0x52697072
"""`PRAGMA application_id` of our files: "Ripr"."""
CHECK = """SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)
           FROM pragma_user_version, pragma_application_id"""
MIGRATIONS = (
    "001_start.sql",
    "002_sessions.sql",
    "003_asleep.sql",
    "004_artifacts.sql",
    "005_results.sql",
    "006_budgets.sql",
    "007_retention.sql",
    "008_outbox.sql",
)
SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}


def read_sql(name: str) -> str:
    """The text of a file in `sql/`, also from within a zip."""
    data = pkgutil.get_data(__name__, f"sql/{name}")
    assert data is not None
    return data.decode()


def named_queries(text: str) -> dict[str, str]:
    """The statements of a file by the name in the comment before each (`-- name: append`)."""
    found: dict[str, str] = {}
    for part in text.split("-- name: ")[1:]:
        name, _, body = part.partition("\n")
        lines = [line for line in body.splitlines() if not line.startswith("--")]
        found[name.strip()] = "\n".join(lines).strip().removesuffix(";")
    return found


def statements(text: str) -> list[str]:
    """The single statements of a script (`executescript` would commit before it begins)."""
    found: list[str] = []
    rest = ""
    for line in text.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found


class Unused(NamedTuple):
    """Large values that nothing names, those that are named `again`, and the last row of the journals looked at."""

    digests: set[str]
    again: set[str]
    last: int


class _Rows:
    """The texts of rows, remembering the number of the last one."""

    def __init__(self, found: Iterable[tuple[int, bytes]]) -> None:
        self._found = found
        self.last = 0

    def __iter__(self) -> Iterator[bytes]:
        for number, data in self._found:
            self.last = number
            yield data


class Database:
    """The file at `path`. `patience` is how long, in seconds, to wait for another process that writes."""

    def __init__(self, path: Path, durability: str, patience: float) -> None:
        self.path = path
        self.sql = named_queries(read_sql("queries.sql"))
        self.own = tables_in(map(read_sql, MIGRATIONS))
        self.commits = 0
        self._synchronous = SYNCHRONOUS[durability]
        self._patience = patience
        self._patient = True
        self._stuck = False

    # --- opening -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Create what is missing, migrate, connect. Raises `StoreError`."""
        try:
            self._check_place()
            self.writer = self._connect()
            try:
                self._check_file()
                self._use_wal()
                self._migrate()
                self._tune()
                self.reader = self._connect()
                self.watcher = self._connect()
            except BaseException:
                self.writer.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise store_error(error, self.path) from error

    def _check_place(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for place in (self.path.parent, self.path):
            if place.exists() and not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise damage(f"{place} cannot be written by this user", self.path, "store_readonly")
        if self.path.is_dir():
            raise damage("the path is a directory", self.path, "store_failed")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA foreign_keys = ON")  # of the users' tables: ours have none
        return connection

    def _tune(self) -> None:
        self.writer.execute(f"PRAGMA synchronous = {self._synchronous}")
        self.writer.execute("PRAGMA cache_size = -16000")
        self.writer.execute("PRAGMA journal_size_limit = 67108864")

    def _pragma(self, name: str) -> int:
        return int(self.writer.execute(f"PRAGMA {name}").fetchone()[0])

    def _check_file(self) -> None:
        """Nothing is changed in a file that is not ours or newer than we are."""
        # One statement, so that another process which creates the file right now is seen whole or not at all.
        version, application, filled = self.writer.execute(CHECK).fetchone()
        if application != APPLICATION and (application or filled):
            raise damage("this is the database of another program", self.path)
        if version > len(MIGRATIONS):
            raise StoreError(
                f"the database has schema {version}, this version of Ripresa knows up to {len(MIGRATIONS)}",
                code="store_newer",
                op="open",
                where=str(self.path),
                hint="upgrade ripresa, or use another file",
            )

    def _use_wal(self) -> None:
        # SQLite does not wait by itself when two processes switch a new file at the same time.
        give_up_at = time.monotonic() + self._patience
        while True:
            try:
                mode = self.writer.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
                time.sleep(0.005)
            else:
                break
        if mode != "wal":
            raise damage("this file system cannot hold a write-ahead log", self.path, "store_failed")

    def _migrate(self) -> None:
        if self._pragma("user_version") == len(MIGRATIONS):
            return
        self.writer.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been quicker.
            for name in MIGRATIONS[self._pragma("user_version") :]:
                for statement in statements(read_sql(name)):
                    self.writer.execute(statement)
            self.writer.execute(f"PRAGMA application_id = {APPLICATION}")
            self.writer.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            self.writer.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            raise

    def close(self) -> None:
        """Bring everything into the main file and close; what cannot be brought there stays in the WAL, not lost."""
        self.reader.close()
        self.watcher.close()
        try:
            self._wait(patient=False)
            self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            pass  # a full disk, a reader in another process: the next one to open it goes on from the WAL
        finally:
            self.writer.close()

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, jobs: Sequence[Job], patient: bool) -> float:
        """Make all jobs durable in one transaction; how many seconds that waited for the disk.

        A job that may not be made carries its `error` afterwards and leaves nothing behind; the others go through.
        Raises `StoreError` when nothing was kept. Unless `patient` it does not wait for another process that writes.
        """
        try:
            if self._stuck:
                self._begin_anew()
            self._wait(patient)
            first = jobs[0]
            if len(jobs) == 1 and isinstance(first, Append) and first.alone:
                return self._write_row(first)
            return self._write_all(jobs)
        except (TransactionLost, *VALUE_ERRORS) as error:
            self._roll_back()
            if len(jobs) > 1:
                # Nobody pays for the value of another: whose it is shows when each is written by itself.
                return sum(map(self._write_apart, jobs))
            jobs[0].error = error.error if isinstance(error, TransactionLost) else value_error(error, self.path)
            return 0.0
        except sqlite3.Error as error:
            self._roll_back()
            if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
                raise store_error(error, self.path) from error
            if len(jobs) > 1:
                return sum(map(self._write_apart, jobs))
            jobs[0].error = broken_link(f"{error}")
            return 0.0

    def _write_apart(self, job: Job) -> float:
        try:
            return self.write((job,), True)
        except StoreError as error:
            job.error = error
            return 0.0

    def _begin_anew(self) -> None:
        self.writer.close()
        self.writer = self._connect()
        self._patient, self._stuck = True, False
        self._tune()

    def _wait(self, patient: bool) -> None:
        if patient != self._patient:
            self.writer.execute(f"PRAGMA busy_timeout = {round(self._patience * 1000) if patient else 0}")
            self._patient = patient

    def _write_row(self, append: Append) -> float:
        started = time.perf_counter()
        if not self.writer.execute(self.sql["append"], append.row).rowcount:
            append.refuse()
        self.commits += 1
        return time.perf_counter() - started

    def _write_all(self, jobs: Sequence[Job]) -> float:
        appends: list[Append] = []
        risky: list[Append] = []
        changes: list[Creation | Change[Any]] = []
        for job in jobs:
            if isinstance(job, Append):
                (risky if job.risky else appends).append(job)
            else:
                changes.append(cast("Creation | Change[Any]", job))
        self._begin(changes)
        if not self._insert_at_once(appends):
            # Somebody is fenced. It is rare and worth a second beginning, for which everyone else pays nothing.
            self.writer.execute("ROLLBACK")
            self._begin(changes)
            self._insert_one_by_one(appends)
        self._insert_the_rest(appends)
        for each in risky:
            self._insert_apart(each)
        started = time.perf_counter()
        self.writer.execute("COMMIT")
        self.commits += 1
        return time.perf_counter() - started

    def _begin(self, changes: Sequence[Creation | Change[Any]]) -> None:
        self.writer.execute("BEGIN IMMEDIATE")
        for change in changes:
            change.make(self.writer)

    def _insert_at_once(self, appends: Sequence[Append]) -> bool:
        if not appends:
            return True
        return self.writer.executemany(self.sql["append"], (each.row for each in appends)).rowcount == len(appends)

    def _insert_one_by_one(self, appends: Sequence[Append]) -> None:
        for each in appends:
            if not self.writer.execute(self.sql["append"], each.row).rowcount:
                each.refuse()

    def _insert_the_rest(self, appends: Sequence[Append]) -> None:
        for each in appends:
            if each.alone or each.error:
                continue
            self.add_blobs(each.batch)
            for number in each.batch.taken:
                self.writer.execute(self.sql["take"], (number, each.owned.key))
            self.share(each.batch.shared)
            if each.batch.head is not None:
                self._set_head(each.batch.head, each.owned, each.batch.release)

    def _insert_apart(self, append: Append) -> None:
        """Insert a batch with statements of the user's, of which nothing stays if one of them fails."""
        append.error = None
        self.writer.execute("SAVEPOINT apart")
        try:
            self._insert_one_by_one((append,))
            self._insert_the_rest((append,))
        except RipresaError as error:
            append.error = error
            self.writer.execute("ROLLBACK TO apart")
        self.writer.execute("RELEASE apart")

    def try_statements(self, connection: sqlite3.Connection, statements: Sequence[Statement]) -> None:
        """Perform statements within a transaction and take them back. Raises `RipresaError(transaction_failed)`."""
        connection.execute("SAVEPOINT apart")
        try:
            with links_kept(connection):
                apply_statements(connection, self.own, statements)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK TO apart")
                connection.execute("RELEASE apart")

    def select_rows(self, statement: Statement) -> list[tuple[Any, ...]]:
        """The rows of a query of the user's, by a connection of its own. Raises `StoreError` and as `select`."""
        try:
            with closing(self._connect()) as connection:
                connection.execute("PRAGMA query_only = ON")
                return select_rows(connection, self.own, statement)
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error

    def add_blobs(self, batch: Batch) -> None:
        """Keep the large values of a batch, within a transaction."""
        if batch.blobs:
            self.writer.executemany(self.sql["add_blob"], batch.blobs)

    def share(self, changes: Sequence[Shared]) -> None:
        """Make changes of what runs share, within a transaction."""
        for change in changes:
            if isinstance(change, ArtifactSave):
                self._save(change)
                continue
            if isinstance(change, Spend):
                self._spend(change)
                continue
            if isinstance(change, Written):
                apply_statements(self.writer, self.own, change.statements)
                continue
            if isinstance(change, Outgoing):
                self.writer.execute(self.sql["send_out"], change[:7])
                continue
            place = change.session, change.name
            found = self.writer.execute(self.sql["shelved"], place).fetchone()
            value = apply(change.op, found and found[0], change.value)
            if value is None:
                self.writer.execute(self.sql["unshelve"], place)
            else:
                self.writer.execute(self.sql["shelve"], (*place, value, found[1] + 1 if found else 1, change.at))

    def held(self, session: str) -> Held:
        """What attempts under way have reserved of a session, within a transaction."""
        rows = self.writer.execute(self.sql["reservations"], (session,)).fetchall()
        return {(run, place): json.loads(amounts) for run, place, amounts in rows}

    def _spend(self, spend: Spend) -> None:
        held = self.held(spend.session)
        keys = [key for key in held if key[0] == spend.run and spend.place in ("*", key[1])]
        if spend.part:
            for key in keys:
                self.writer.execute(self.sql["hold"], (spend.session, *key, json.dumps(begun_with(held[key]))))
            return
        for key in keys:
            self.writer.execute(self.sql["unreserve"], (spend.session, *key))
        (used,) = self.writer.execute(self.sql["session_used"], (spend.session,)).fetchone()
        text = spent(used, spend, [held[key] for key in keys])
        self.writer.execute(self.sql["set_used"], (text, spend.session))

    def _save(self, saved: ArtifactSave) -> None:
        last = self.writer.execute(self.sql["last_version"], (saved.scope, saved.name)).fetchone()
        if last is None or last[1] != saved.digest:
            version = last[0] + 1 if last else 1
            self.writer.execute(self.sql["save_artifact"], (saved.scope, saved.name, version, *saved[2:]))

    def _set_head(self, head: RunHead, owned: Owned, release: bool) -> None:
        texts = head.version, head.status, head.target
        values = (*texts, head.updated_at, head.error, join_tags(head.tags), head.session, release, owned.key)
        self.writer.execute(self.sql["set_head"], values)
        if head.tags != owned.tags:
            self.set_tags(head.id, owned, head.tags)

    def set_tags(self, run: str, owned: Owned, tags: Sequence[str]) -> None:
        """List the run under these tags instead of those it had, within a transaction."""
        gone, new = set(owned.tags).difference(tags), set(tags).difference(owned.tags)
        for tag in sorted(gone):
            self.writer.execute(self.sql["remove_tag"], (tag, owned.created_at, run))
        for tag in sorted(new):
            self.writer.execute(self.sql["add_tag"], (tag, owned.created_at, run, owned.key))

    def _roll_back(self) -> None:
        try:
            if self.writer.in_transaction:
                self.writer.execute("ROLLBACK")
        except sqlite3.Error:
            # The failure that led here is the one to report. But nothing may be written to a transaction that stays
            # open: it would be acknowledged and not kept.
            self._stuck = True

    # --- reading -----------------------------------------------------------------------------------------------------

    def select(self, query: str, values: Any = ()) -> list[Any]:
        """All rows of a named query, read beside the writer. Raises `StoreError`."""
        try:
            return self.reader.execute(self.sql[query], values).fetchall()
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error

    def unused_blobs(self) -> Unused:
        """The large values that nothing names; by a connection of its own."""
        try:
            with closing(self._connect()) as connection:
                known = dict(connection.execute(self.sql["digests"]).fetchall())
                rows = _Rows(connection.execute(self.sql["every_event"], (0,)))
                used = in_use(
                    chain(rows, self._named(connection)), set(known), lambda digest: self._blob(connection, digest)
                )
                again = {digest for digest in used if known[digest]}
                return Unused(set(known) - used, again, rows.last)
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error

    def _named(self, connection: sqlite3.Connection) -> Iterator[bytes | str]:
        """All texts beside journals in which large values are named."""
        for query in ("every_request", "every_artifact", "every_session_value"):
            for (text,) in connection.execute(self.sql[query]):
                yield text

    def drop_blobs(self, connection: sqlite3.Connection, unused: Unused, now: int, grace: int) -> int:
        """Remove, within a transaction, what has been unused for some time and no later row names; mark the others."""
        later = _Rows(connection.execute(self.sql["every_event"], (unused.last,)))
        again = in_use(later, unused.digests, lambda digest: self._blob(connection, digest))
        gone = unused.digests - again
        connection.executemany(self.sql["unmark_blob"], [(digest,) for digest in again | unused.again])
        connection.executemany(self.sql["mark_blob"], [(now, digest) for digest in gone])
        before = connection.total_changes
        connection.executemany(self.sql["drop_blob"], [(digest, now - grace) for digest in gone])
        return connection.total_changes - before

    def _blob(self, connection: sqlite3.Connection, digest: str) -> bytes:
        found = connection.execute(self.sql["blob"], (digest,)).fetchone()
        return found[0] if found else b""

    def data_version(self) -> int:
        """A number that changes when anything was written through another connection, of this or any process."""
        try:
            return int(self.watcher.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error


def join_tags(tags: Sequence[str]) -> str:
    """Tags as one column."""
    return json.dumps(tags) if tags else "[]"


def split_tags(text: str) -> tuple[str, ...]:
    """What `join_tags` joined."""
    return tuple(json.loads(text)) if text != "[]" else ()
