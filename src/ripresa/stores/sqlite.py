"""The store in one SQLite file: the default, durable against the loss of process and power, with group commit.

Law: a batch is acknowledged when its transaction is committed (`full`: synced to the disk; `normal`: handed to the
operating system, which a crash of the process survives and a loss of power may not; the file stays sound in both).
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from ..errors import Fenced, InvalidConfig
from ..ports import (
    NEVER,
    ArtifactHead,
    Batch,
    CachedResult,
    Outgoing,
    Page,
    Request,
    Row,
    RunFilter,
    RunHead,
    SessionFilter,
    SessionHead,
    SessionPage,
    SessionWrite,
    Shelved,
    Statement,
    Tombstone,
)
from .database import SYNCHRONOUS, Database, join_tags, split_tags
from .failures import damage, store_error
from .group_commit import GroupCommit
from .jobs import Append, Change, Creation, Owned
from .owners import Owner, is_alive
from .pace import Pace
from .rules import (
    END_OF_TIME,
    about,
    closed,
    exists,
    first_head,
    misplaced,
    not_found,
    page,
    require_active,
    require_session,
    reserved,
    session_exists,
    session_page,
    upper_bound,
)

T = TypeVar("T")


class SQLiteStore:
    """The file at `path`, created when it is missing. Use it on the event loop that opened it.

    `durability` is `full` (an acknowledged batch survives the loss of power) or `normal` (it survives the end of the
    process). `pace` decides when commits leave the loop for a thread; `patience` is how many seconds to wait for
    another process that writes. Who is alive is kept in the directory `<path>-owners` beside the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        durability: str = "full",
        *,
        pace: Pace | None = None,
        patience: float = 5.0,
    ) -> None:
        if str(path) in ("", ":memory:"):
            hint = "for a store in memory use MemoryStore or the address 'memory:'"
            raise InvalidConfig(f"an SQLite store needs a file, not {str(path)!r}", where="path", hint=hint)
        if durability not in SYNCHRONOUS:
            raise InvalidConfig(f"durability is 'full' or 'normal', not {durability!r}", where="durability")
        self._path = Path(path).expanduser().absolute()
        self._pace = pace or Pace()
        self._database = Database(self._path, durability, patience)
        self._owners = Path(f"{self._path}-owners")
        self._owner = Owner(self._owners)
        self._owned: dict[str, Owned] = {}
        self._open = False
        self._version = 0  # of the data, when the last look was taken

    @property
    def url(self) -> str:
        """The address that opens this store again."""
        return f"sqlite:{self._path}"

    @property
    def commits(self) -> int:
        """How many transactions this store made: the measure of group commit."""
        return self._database.commits

    async def open(self) -> None:
        """Create, migrate, connect. Raises `StoreError` with the code that says why it cannot."""
        if self._open:
            return
        self._thread = ThreadPoolExecutor(1, "ripresa-sqlite")
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._database.open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._group = GroupCommit(self._database.write, self._pace, self._thread)
        self._owner = Owner(self._owners)
        self._open = True

    async def close(self) -> None:
        """Finish what was begun, give up all runs and close; a second call does nothing."""
        if not self._open:
            return
        self._open = False
        await self._group.drain()
        self._owner.drop()
        self._owned.clear()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown()

    # --- journal -----------------------------------------------------------------------------------------------------

    async def create(self, batch: Batch) -> None:
        """See `Journal.create`."""
        head = first_head(batch)
        self._ensure_open("create")
        self._hold()
        job = Creation(self._insert_run, batch, head)
        await self._group.commit(job)
        assert job.owned is not None
        self._owned[batch.run] = job.owned

    def _insert_run(self, connection: sqlite3.Connection, batch: Batch, head: RunHead) -> Owned:
        sql = self._database.sql
        if head.session:
            require_active(head.session, self._session(connection, head.session), "start")
        cursor = connection.execute(sql["create"], (*_columns(head), self._owner.name))
        if not cursor.rowcount:
            raise exists(batch.run)
        owned = Owned(cursor.lastrowid or 0, 1 + batch.events, 1, head.created_at, ())
        connection.execute(sql["append"], (owned.key, 1, batch.events, batch.row))
        self._database.add_blobs(batch)
        self._database.share(batch.shared)
        if head.tags:
            self._database.set_tags(head.id, owned, head.tags)
            owned.tags = head.tags
        return owned

    async def append(self, batch: Batch) -> None:
        """See `Journal.append`."""
        self._ensure_open("append")
        owned = self._owned.get(batch.run)
        if owned is None:
            raise misplaced(batch, None)
        try:
            if owned.next != batch.seq:
                raise misplaced(batch, owned.next)
            job = Append(batch, owned)
            done = self._group.begin(job)
            if done is not None:
                await done
            if job.error is not None:
                raise job.error
        except Fenced:
            self._owned.pop(batch.run, None)
            raise
        if batch.release:
            self._owned.pop(batch.run, None)

    async def read(self, run: str, after: int = 0, limit: int = 0) -> Sequence[Row]:
        """See `Journal.read`."""
        self._ensure_open("read")
        values = {"run": run, "after": after, "limit": limit or -1}
        return about([Row(*found) for found in self._database.select("read", values)], limit)

    def blob(self, digest: str) -> bytes:
        """See `Journal.blob`; its content is compared with its digest."""
        self._ensure_open("blob")
        found = self._database.select("blob", (digest,))
        if not found:
            raise damage(f"the value {digest} is not there", self._path)
        data: bytes = found[0][0]
        if sha256(data).hexdigest() != digest:
            raise damage(f"the value {digest} has another content than it was stored with", self._path)
        return data

    # --- lists -------------------------------------------------------------------------------------------------------

    async def find_run(self, run: str) -> RunHead | None:
        """See `Lists.find_run`."""
        self._ensure_open("find_run")
        found = self._database.select("find_run", (run,))
        return _head(found[0]) if found else None

    async def list_runs(self, where: RunFilter) -> Page:
        """See `Lists.list_runs`."""
        self._ensure_open("list_runs")
        values = self._window(where)
        if where.session:
            query = "list_by_session"
        elif where.tag:
            query = "list_by_tag"
        elif where.workflow:
            query = "list_by_workflow_status" if where.status else "list_by_workflow"
        else:
            query = "list_by_status" if where.status else "list"
        lists = [self._database.select(query, {**values, "status": each}) for each in set(where.status) or ("",)]
        return page([_head(row) for rows in lists for row in rows], where.limit)

    def _window(self, where: RunFilter) -> dict[str, Any]:
        """What limits a list: everything newer than `before` and older than `after` is left out."""
        last = None
        if where.after:
            found = self._database.select("find_run", (where.after,))
            if not found:
                raise not_found(where.after, "list_runs")
            last = _head(found[0])
        before = upper_bound(where, last)
        return {
            "before_at": before[0],
            "before_id": before[1],
            "after_at": where.created_after or -1,
            "workflow": where.workflow,
            "tag": where.tag,
            "session": where.session,
            "limit": where.limit + 1,
        }

    # --- inbox -------------------------------------------------------------------------------------------------------

    async def put(self, run: str, kind: str, body: bytes, dedup: str = "") -> bool:
        """See `Inbox.put`."""
        self._ensure_open("put")
        return await self._write(lambda connection: self._insert_request(connection, run, kind, body, dedup))

    def _insert_request(self, connection: sqlite3.Connection, run: str, kind: str, body: bytes, dedup: str) -> bool:
        sql = self._database.sql
        if dedup and not connection.execute(sql["see"], (dedup, run)).rowcount:
            if not connection.execute(sql["find_run"], (run,)).fetchone():
                raise not_found(run, "put")
            return False
        if not connection.execute(sql["put"], (kind, body, run)).rowcount:
            raise not_found(run, "put")
        connection.execute(sql["wake"], (run,))
        return True

    async def pending(self, runs: Sequence[str] | None = None) -> Sequence[Request]:
        """See `Inbox.pending`."""
        self._ensure_open("pending")
        if runs is None:
            return [Request(*row) for row in self._database.select("pending")]
        wanted = json.dumps(list(dict.fromkeys(runs)))
        found = [Request(*row) for row in self._database.select("pending_of", (wanted,))]
        return sorted(found, key=lambda request: request.number)

    def changed(self) -> bool:
        """See `Inbox.changed`."""
        self._ensure_open("changed")
        before, self._version = self._version, self._database.data_version()
        return self._version != before

    # --- owners ------------------------------------------------------------------------------------------------------

    async def claim(self, run: str, *, anew: bool = False) -> int | None:
        """See `Owners.claim`."""
        self._ensure_open("claim")
        self._hold()
        if run not in self._owned or anew:
            owned = await self._write(lambda connection: self._take_over(connection, run, anew=anew))
            if owned is None:
                return None
            self._owned[run] = owned
        return self._owned[run].epoch

    def _take_over(self, connection: sqlite3.Connection, run: str, *, anew: bool) -> Owned | None:
        sql = self._database.sql
        found = connection.execute(sql["ownership"], (run,)).fetchone()
        if found is None:
            raise not_found(run, "claim")
        key, epoch, owner, created_at, tags = found
        if owner not in (self._owner.name, None) and self._is_alive(owner):
            return None
        if owner != self._owner.name or anew:
            epoch += 1
            connection.execute(sql["claim"], (self._owner.name, epoch, key))
        following: int = connection.execute(sql["next_seq"], (key,)).fetchone()[0]
        return Owned(key, following, epoch, created_at, split_tags(tags))

    async def release(self, run: str) -> None:
        """See `Owners.release`."""
        self._ensure_open("release")
        self._owned.pop(run, None)
        values = (run, self._owner.name)
        await self._write(lambda connection: connection.execute(self._database.sql["release"], values))

    async def owner(self, run: str) -> str | None:
        """See `Owners.owner`."""
        self._ensure_open("owner")
        found = self._database.select("ownership", (run,))
        name: str | None = found[0][2] if found else None
        return name if name is not None and self._is_alive(name) else None

    # --- sessions ----------------------------------------------------------------------------------------------------

    async def create_session(self, head: SessionHead) -> None:
        """See `Sessions.create_session`."""
        self._ensure_open("create_session")
        values = head.id, head.owner, head.status, head.created_at, head.updated_at, head.limits
        if not (
            await self._write(lambda connection: connection.execute(self._database.sql["create_session"], values))
        ).rowcount:
            raise session_exists(head.id)

    def find_session(self, session: str) -> SessionHead | None:
        """See `Sessions.find_session`."""
        self._ensure_open("find_session")
        found = self._database.select("find_session", (session,))
        return SessionHead(*found[0]) if found else None

    async def list_sessions(self, where: SessionFilter) -> SessionPage:
        """See `Sessions.list_sessions`."""
        self._ensure_open("list_sessions")
        last = require_session(where.after, self.find_session(where.after), "list_sessions") if where.after else None
        before = (last.created_at, last.id) if last else (END_OF_TIME, "")
        values = {"before_at": before[0], "before_id": before[1], "owner": where.owner, "limit": where.limit + 1}
        lists = [
            self._database.select("list_sessions", {**values, "status": each}) for each in set(where.status) or ("",)
        ]
        return session_page([SessionHead(*row) for rows in lists for row in rows], where.limit)

    async def set_session(
        self, head: SessionHead, was: str, request: bytes | None = None, *, kind: str = "pause", idle: bool = False
    ) -> bool:
        """See `Sessions.set_session`."""
        self._ensure_open("set_session")
        sql = self._database.sql

        def make(connection: sqlite3.Connection) -> bool:
            if idle and connection.execute(sql["unfinished"], (head.id,)).fetchone():
                return False
            values = head.status, head.updated_at, head.limits, head.id, was
            if not connection.execute(sql["set_session"], values).rowcount:
                return False
            if request is not None:
                connection.execute(sql["ask_all"], (kind, request, head.id))
                connection.execute(sql["wake_all"], (head.id,))
            return True

        return await self._write(make)

    def session_values(self, session: str, name: str = "") -> Mapping[str, Shelved]:
        """See `Sessions.session_values`."""
        self._ensure_open("session_values")
        if name:
            found = self._database.select("shelved", (session, name))
            return {name: Shelved(*found[0])} if found else {}
        return {row[0]: Shelved(*row[1:]) for row in self._database.select("session_values", (session,))}

    async def reserve(
        self, session: str, run: str, place: str, asked: Mapping[str, float], now: int, *, more: bool = False
    ) -> tuple[str, float, float] | None:
        """See `Sessions.reserve`."""
        self._ensure_open("reserve")

        def make(connection: sqlite3.Connection) -> tuple[str, float, float] | None:
            head = require_session(session, self._session(connection, session), "reserve")
            found = reserved(head, self._database.held(session), (run, place), asked, now, more=more)
            if isinstance(found, tuple):
                return found
            connection.execute(self._database.sql["hold"], (session, run, place, json.dumps(found)))
            return None

        return await self._write(make)

    async def share(self, changes: Sequence[SessionWrite]) -> None:
        """See `Sessions.share`."""
        self._ensure_open("share")

        def make(connection: sqlite3.Connection) -> None:
            for session in sorted({change.session for change in changes}):
                require_session(session, self._session(connection, session), "share")
            self._database.share(changes)

        await self._write(make)

    # --- artifacts ---------------------------------------------------------------------------------------------------

    async def put_blobs(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        """See `Artifacts.put_blobs`."""
        self._ensure_open("put_blobs")
        await self._write(lambda connection: connection.executemany(self._database.sql["add_blob"], blobs))

    async def list_artifacts(self, scope: str = "", run: str = "", name: str = "") -> Sequence[ArtifactHead]:
        """See `Artifacts.list_artifacts`."""
        self._ensure_open("list_artifacts")
        query, values = ("artifacts_of_run", {"run": run}) if run else ("artifacts_of_scope", {"scope": scope})
        return [ArtifactHead(*row) for row in self._database.select(query, {**values, "name": name})]

    def _session(self, connection: sqlite3.Connection, session: str) -> SessionHead | None:
        found = connection.execute(self._database.sql["find_session"], (session,)).fetchone()
        return SessionHead(*found) if found else None

    # --- results -----------------------------------------------------------------------------------------------------

    def find_result(self, key: str, now: int) -> bytes | None:
        """See `Results.find_result`."""
        self._ensure_open("find_result")
        found = self._database.select("result", (key, now))
        return found[0][0] if found else None

    async def keep_result(self, result: CachedResult) -> None:
        """See `Results.keep_result`."""
        self._ensure_open("keep_result")
        await self._write(lambda connection: connection.execute(self._database.sql["keep_result"], result))

    async def forget_results(self, step: str = "", expired_by: int = 0) -> int:
        """See `Results.forget_results`."""
        self._ensure_open("forget_results")
        query = ("forget_expired" if expired_by else "forget") + ("_step" if step else "")
        query = "forget_results" if query == "forget" else query
        values = tuple(value for value in (step, expired_by) if value)
        cursor = await self._write(lambda connection: connection.execute(self._database.sql[query], values))
        return cursor.rowcount

    # --- outbox ------------------------------------------------------------------------------------------------------

    async def outgoing(self, now: int, limit: int, skip: int = 0) -> Sequence[Outgoing]:
        """See `Outbox.outgoing`."""
        self._ensure_open("outgoing")
        values = {"now": now, "limit": limit, "skip": skip}
        return [Outgoing(*row) for row in self._database.select("outgoing", values)]

    async def outgoing_of(self, run: str) -> Sequence[Outgoing]:
        """See `Outbox.outgoing_of`."""
        self._ensure_open("outgoing_of")
        return [Outgoing(*row) for row in self._database.select("outgoing_of", (run,))]

    async def undelivered(self, limit: int, after: int = 0, *, given_up: bool = False) -> Sequence[Outgoing]:
        """See `Outbox.undelivered`."""
        self._ensure_open("undelivered")
        query = "given_up" if given_up else "undelivered"
        return [Outgoing(*row) for row in self._database.select(query, (after, limit))]

    async def next_outgoing(self, now: int) -> int:
        """See `Outbox.next_outgoing`."""
        self._ensure_open("next_outgoing")
        found = self._database.select("next_outgoing", (now,))
        return found[0][0] if found else 0

    async def delivered(self, number: int) -> None:
        """See `Outbox.delivered`."""
        self._ensure_open("delivered")
        await self._write(lambda connection: connection.execute(self._database.sql["delivered"], (number,)))

    async def postpone(self, was: Outgoing, is_now: Outgoing) -> bool:
        """See `Outbox.postpone`."""
        self._ensure_open("postpone")
        values = is_now.tries, is_now.due, is_now.error, was.number, was.due
        cursor = await self._write(lambda connection: connection.execute(self._database.sql["postpone"], values))
        return cursor.rowcount > 0

    # --- tables of the user's

    async def try_statements(self, statements: Sequence[Statement]) -> None:
        """See `Tables.try_statements`."""
        self._ensure_open("try_statements")
        await self._write(lambda connection: self._database.try_statements(connection, statements))

    async def select_rows(self, statement: Statement) -> list[tuple[Any, ...]]:
        """See `Tables.select_rows`; on a thread."""
        self._ensure_open("select_rows")
        return await asyncio.to_thread(self._database.select_rows, statement)

    # --- graveyard ---------------------------------------------------------------------------------------------------

    async def prune(self, stone: Tombstone) -> bool:
        """See `Graveyard.prune`."""
        self._ensure_open("prune")
        return await self._write(lambda connection: self._prune(connection, stone))

    def _prune(self, connection: sqlite3.Connection, stone: Tombstone) -> bool:
        sql = self._database.sql
        found = connection.execute(sql["prunable"], (stone.id,)).fetchone()
        if found is None or (found[3] is not None and self._is_alive(found[3])):
            return False
        key, created_at, tags, _ = found
        for tag in split_tags(tags):
            connection.execute(sql["remove_tag"], (tag, created_at, stone.id))
        for query in ("prune_events", "prune_inbox", "prune_seen"):
            connection.execute(sql[query], (key,))
        connection.execute(sql["prune_artifacts"], (f"run:{stone.id}",))
        connection.execute(sql["prune_outbox"], (stone.id,))
        connection.execute(sql["prune_run"], (key,))
        connection.execute(sql["bury"], stone)
        return True

    async def list_tombstones(self, limit: int, after: int = 0) -> Sequence[Tombstone]:
        """See `Graveyard.list_tombstones`."""
        self._ensure_open("list_tombstones")
        return [Tombstone(*row) for row in self._database.select("tombstones", (limit, after))]

    async def sweep(self, now: int, grace: int) -> int:
        """See `Graveyard.sweep`. It reads all that is kept, on a thread, while runs go on."""
        self._ensure_open("sweep")
        unused = await asyncio.to_thread(self._database.unused_blobs)
        return await self._write(lambda connection: self._database.drop_blobs(connection, unused, now, grace))

    # --- sleepers ----------------------------------------------------------------------------------------------------

    async def sleep(self, run: str, until: int, seen: int = 0) -> None:
        """See `Sleepers.sleep`."""
        self._ensure_open("sleep")
        values = {"run": run, "until": until, "seen": seen, "owner": self._owner.name}
        await self._write(lambda connection: connection.execute(self._database.sql["sleep"], values))
        self._owned.pop(run, None)

    async def due(self, now: int, limit: int, skip: int = 0) -> Sequence[RunHead]:
        """See `Sleepers.due`."""
        self._ensure_open("due")
        values = {"now": now, "limit": limit, "skip": skip}
        return [_head(row) for row in self._database.select("due", values)]

    async def next_wake(self, now: int) -> int:
        """See `Sleepers.next_wake`."""
        self._ensure_open("next_wake")
        found = self._database.select("next_wake", {"now": now})
        moment: int = found[0][0] if found else NEVER
        return moment if moment < NEVER else 0

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _write(self, perform: Callable[[sqlite3.Connection], T]) -> T:
        change = Change(perform)
        await self._group.commit(change)
        return change.made

    def _ensure_open(self, op: str) -> None:
        if not self._open or self._owner.pid != os.getpid():
            raise closed(op, str(self._path))

    def _hold(self) -> None:
        try:
            self._owner.hold()
        except OSError as error:
            raise store_error(error, self._owners) from error

    def _is_alive(self, name: str) -> bool:
        try:
            return is_alive(self._owners, name)
        except OSError as error:
            raise store_error(error, self._owners) from error


def _columns(head: RunHead) -> tuple[Any, ...]:
    texts = head.id, head.workflow, head.version, head.status, head.target
    return *texts, head.created_at, head.updated_at, head.error, join_tags(head.tags), head.session


def _head(row: Sequence[Any]) -> RunHead:
    *texts, session, tags, wake_at = row
    values: list[Any] = [*texts, split_tags(tags), session, wake_at]
    return RunHead(*values)
