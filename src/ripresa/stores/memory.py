"""The store in the memory of one process: a product of its own for tests, notebooks and runs that may be lost."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.lifecycle import LIVE, TERMINAL, WAITING
from ..core.sessions import apply
from ..errors import StoreError
from ..ports import (
    NEVER,
    ArtifactHead,
    ArtifactSave,
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
    Shared,
    Shelved,
    Spend,
    Tombstone,
    Written,
)
from .rules import (
    Held,
    about,
    begun_with,
    closed,
    exists,
    first_head,
    misplaced,
    not_found,
    page,
    place,
    require_active,
    require_session,
    reserved,
    session_exists,
    session_page,
    spent,
    upper_bound,
)
from .sweep import in_use


@dataclass(slots=True)
class _Run:
    head: RunHead
    owner: str
    epoch: int = 1
    next: int = 1
    starts: list[int] = field(default_factory=list[int])
    """The number of the first event of each row."""
    rows: list[bytes] = field(default_factory=list[bytes])
    seen: set[str] = field(default_factory=set[str])

    def add(self, batch: Batch) -> None:
        """Keep the events of a batch."""
        self.starts.append(batch.seq)
        self.rows.append(batch.row)
        self.next = batch.seq + batch.events

    def after(self, seq: int) -> list[Row]:
        """The rows with events after this one."""
        first = max(0, bisect_right(self.starts, seq + 1) - 1)
        ends = [*self.starts[first + 1 :], self.next]
        found = zip(self.starts[first:], ends, self.rows[first:], strict=True)
        return [Row(start, end - start, data) for start, end, data in found if end > seq + 1]


class Memory:
    """What stores in memory keep. Stores that share one see the same runs, each as an owner of its own."""

    def __init__(self) -> None:
        self.runs: dict[str, _Run] = {}
        self.blobs: dict[str, bytes] = {}
        self.inbox: dict[int, Request] = {}
        self.artifacts: list[ArtifactHead] = []
        self.sessions: dict[str, SessionHead] = {}
        self.held: dict[str, Held] = {}
        self.shelves: dict[str, dict[str, Shelved]] = {}
        self.results: dict[str, CachedResult] = {}
        self.outbox: dict[int, Outgoing] = {}
        self.tombstones: list[Tombstone] = []
        self.unused: dict[str, int] = {}
        self.alive: set[str] = set()
        self.asleep: set[str] = set()
        self.writes = 0
        self.owner_numbers = itertools.count(1)
        self.request_numbers = itertools.count(1)
        self.outgoing_numbers = itertools.count(1)


class MemoryStore:
    """A store in memory. What it keeps is lost with `memory`, not with the store: another one may go on with it."""

    url = "memory:"

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self.name = ""
        self._owned: set[str] = set()
        self._writes = 0

    async def open(self) -> None:
        """Begin to live as an owner."""
        if not self.name:
            self.name = f"memory-{next(self.memory.owner_numbers)}"
            self.memory.alive.add(self.name)
            self._writes = self.memory.writes

    async def close(self) -> None:
        """Give up all runs; a second call does nothing."""
        self.memory.alive.discard(self.name)
        self._owned.clear()
        self.name = ""

    # --- journal -----------------------------------------------------------------------------------------------------

    async def create(self, batch: Batch) -> None:
        """See `Journal.create`."""
        head = first_head(batch)
        self._ensure_open("create")
        if head.session:
            require_active(head.session, self.memory.sessions.get(head.session), "start")
        if batch.run in self.memory.runs:
            raise exists(batch.run)
        run = self.memory.runs[batch.run] = _Run(head, self.name)
        self._owned.add(batch.run)
        self._keep(run, batch)

    async def append(self, batch: Batch) -> None:
        """See `Journal.append`."""
        self._ensure_open("append")
        if batch.run not in self._owned:
            raise misplaced(batch, None)
        run = self.memory.runs[batch.run]
        if run.next != batch.seq:
            self._owned.discard(batch.run)
            raise misplaced(batch, run.next)
        self._keep(run, batch)
        if batch.release:
            await self.release(batch.run)

    def _keep(self, run: _Run, batch: Batch) -> None:
        run.add(batch)
        self.memory.writes += 1
        if batch.blobs or batch.taken or batch.shared or batch.head is not None:
            self._keep_beside(run, batch)

    def _keep_beside(self, run: _Run, batch: Batch) -> None:
        """What goes with the events."""
        for digest, data in batch.blobs:
            self.memory.blobs.setdefault(digest, data)
            self.memory.unused.pop(digest, None)
        for number in batch.taken:
            if number in self.memory.inbox and self.memory.inbox[number].run == batch.run:
                del self.memory.inbox[number]
        self._share(batch.shared)
        if batch.head is not None:
            run.head = replace(batch.head, workflow=run.head.workflow, created_at=run.head.created_at, wake_at=0)
            self.memory.asleep.discard(batch.run)

    async def read(self, run: str, after: int = 0, limit: int = 0) -> Sequence[Row]:
        """See `Journal.read`."""
        self._ensure_open("read")
        return about(self.memory.runs[run].after(after) if run in self.memory.runs else [], limit)

    def blob(self, digest: str) -> bytes:
        """See `Journal.blob`."""
        self._ensure_open("blob")
        try:
            return self.memory.blobs[digest]
        except KeyError:
            raise StoreError(f"the value {digest} is not there", code="store_corrupt", op="blob") from None

    # --- lists -------------------------------------------------------------------------------------------------------

    async def find_run(self, run: str) -> RunHead | None:
        """See `Lists.find_run`."""
        self._ensure_open("find_run")
        found = self.memory.runs.get(run)
        return found.head if found else None

    async def list_runs(self, where: RunFilter) -> Page:
        """See `Lists.list_runs`."""
        self._ensure_open("list_runs")
        bound = upper_bound(where, self._run(where.after, "list_runs").head if where.after else None)
        heads = [run.head for run in self.memory.runs.values() if _fits(run.head, where) and place(run.head) < bound]
        return page(heads, where.limit)

    # --- inbox -------------------------------------------------------------------------------------------------------

    async def put(self, run: str, kind: str, body: bytes, dedup: str = "") -> bool:
        """See `Inbox.put`."""
        self._ensure_open("put")
        found = self._run(run, "put")
        if dedup in found.seen:
            return False
        if dedup:
            found.seen.add(dedup)
        number = next(self.memory.request_numbers)
        self.memory.inbox[number] = Request(number, run, kind, body)
        if run in self.memory.asleep:
            found.head = replace(found.head, wake_at=1)
        self.memory.writes += 1
        return True

    async def pending(self, runs: Sequence[str] | None = None) -> Sequence[Request]:
        """See `Inbox.pending`."""
        self._ensure_open("pending")
        wanted = self.memory.runs.keys() if runs is None else set(runs)
        return [request for request in self.memory.inbox.values() if request.run in wanted]

    def changed(self) -> bool:
        """See `Inbox.changed`."""
        self._ensure_open("changed")
        before, self._writes = self._writes, self.memory.writes
        return self._writes != before

    # --- owners ------------------------------------------------------------------------------------------------------

    async def claim(self, run: str, *, anew: bool = False) -> int | None:
        """See `Owners.claim`."""
        self._ensure_open("claim")
        found = self._run(run, "claim")
        if found.owner != self.name and found.owner in self.memory.alive:
            return None
        if found.owner != self.name or anew:
            found.owner = self.name
            found.epoch += 1
        self._owned.add(run)
        return found.epoch

    async def release(self, run: str) -> None:
        """See `Owners.release`."""
        self._ensure_open("release")
        self._owned.discard(run)
        if run in self.memory.runs and self.memory.runs[run].owner == self.name:
            self.memory.runs[run].owner = ""

    async def owner(self, run: str) -> str | None:
        """See `Owners.owner`."""
        self._ensure_open("owner")
        found = self.memory.runs.get(run)
        return found.owner if found and found.owner in self.memory.alive else None

    # --- sessions ----------------------------------------------------------------------------------------------------

    async def create_session(self, head: SessionHead) -> None:
        """See `Sessions.create_session`."""
        self._ensure_open("create_session")
        if head.id in self.memory.sessions:
            raise session_exists(head.id)
        self.memory.sessions[head.id] = head

    def find_session(self, session: str) -> SessionHead | None:
        """See `Sessions.find_session`."""
        self._ensure_open("find_session")
        return self.memory.sessions.get(session)

    async def list_sessions(self, where: SessionFilter) -> SessionPage:
        """See `Sessions.list_sessions`."""
        self._ensure_open("list_sessions")
        last = require_session(where.after, self.find_session(where.after), "list_sessions") if where.after else None
        found = [
            head
            for head in self.memory.sessions.values()
            if (not where.status or head.status in where.status)
            and (not where.owner or head.owner == where.owner)
            and (last is None or (head.created_at, head.id) < (last.created_at, last.id))
        ]
        return session_page(found, where.limit)

    async def set_session(
        self, head: SessionHead, was: str, request: bytes | None = None, *, kind: str = "pause", idle: bool = False
    ) -> bool:
        """See `Sessions.set_session`."""
        self._ensure_open("set_session")
        found = self.memory.sessions.get(head.id)
        runs = [run.head for run in self.memory.runs.values() if run.head.session == head.id]
        if found is None or found.status != was or (idle and any(run.status in LIVE for run in runs)):
            return False
        self.memory.sessions[head.id] = replace(head, owner=found.owner, created_at=found.created_at, used=found.used)
        for run in runs:
            if request is not None and run.status in ("running", "paused", WAITING):
                await self.put(run.id, kind, request)
        return True

    def session_values(self, session: str, name: str = "") -> Mapping[str, Shelved]:
        """See `Sessions.session_values`."""
        self._ensure_open("session_values")
        shelf = self.memory.shelves.get(session, {})
        return {each: shelf[each] for each in sorted(shelf) if not name or each == name}

    async def reserve(
        self, session: str, run: str, place: str, asked: Mapping[str, float], now: int, *, more: bool = False
    ) -> tuple[str, float, float] | None:
        """See `Sessions.reserve`."""
        self._ensure_open("reserve")
        head = require_session(session, self.memory.sessions.get(session), "reserve")
        held = self.memory.held.setdefault(session, {})
        found = reserved(head, held, (run, place), asked, now, more=more)
        if isinstance(found, tuple):
            return found
        held[run, place] = found
        return None

    def _spend(self, spend: Spend) -> None:
        held = self.memory.held.setdefault(spend.session, {})
        keys = [key for key in held if key[0] == spend.run and spend.place in ("*", key[1])]
        if spend.part:
            held.update({key: begun_with(held[key]) for key in keys})
            return
        released = [held.pop(key) for key in keys]
        head = self.memory.sessions[spend.session]
        self.memory.sessions[spend.session] = replace(head, used=spent(head.used, spend, released))

    async def share(self, changes: Sequence[SessionWrite]) -> None:
        """See `Sessions.share`."""
        self._ensure_open("share")
        for session in sorted({change.session for change in changes}):
            require_session(session, self.memory.sessions.get(session), "share")
        self._share(changes)

    # --- artifacts ---------------------------------------------------------------------------------------------------

    async def put_blobs(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        """See `Artifacts.put_blobs`."""
        self._ensure_open("put_blobs")
        for digest, data in blobs:
            self.memory.blobs.setdefault(digest, data)
            self.memory.unused.pop(digest, None)

    async def list_artifacts(self, scope: str = "", run: str = "", name: str = "") -> Sequence[ArtifactHead]:
        """See `Artifacts.list_artifacts`."""
        self._ensure_open("list_artifacts")
        found = [
            head
            for head in self.memory.artifacts
            if (head.run == run if run else head.scope == scope) and name in ("", head.name)
        ]
        return sorted(found, key=lambda head: (head.name, head.version))

    def _save(self, saved: ArtifactSave) -> None:
        versions = [head for head in self.memory.artifacts if (head.scope, head.name) == (saved.scope, saved.name)]
        if not versions or versions[-1].digest != saved.digest:
            self.memory.artifacts.append(ArtifactHead(saved.scope, saved.name, len(versions) + 1, *saved[2:]))

    def _share(self, changes: Sequence[Shared]) -> None:
        for change in changes:
            if isinstance(change, ArtifactSave):
                self._save(change)
                continue
            if isinstance(change, Spend):
                self._spend(change)
                continue
            if isinstance(change, Outgoing):
                number = next(self.memory.outgoing_numbers)
                self.memory.outbox[number] = change._replace(number=number)
                continue
            assert not isinstance(change, Written), "a store in memory has no tables to write to"
            shelf = self.memory.shelves.setdefault(change.session, {})
            found = shelf.pop(change.name, None)
            value = apply(change.op, found and found.value, change.value)
            if value is not None:
                shelf[change.name] = Shelved(value, found.version + 1 if found else 1, change.at)

    # --- results -----------------------------------------------------------------------------------------------------

    def find_result(self, key: str, now: int) -> bytes | None:
        """See `Results.find_result`."""
        self._ensure_open("find_result")
        found = self.memory.results.get(key)
        return None if found is None or 0 < found.expires_at <= now else found.value

    async def keep_result(self, result: CachedResult) -> None:
        """See `Results.keep_result`."""
        self._ensure_open("keep_result")
        self.memory.results[result.key] = result

    async def forget_results(self, step: str = "", expired_by: int = 0) -> int:
        """See `Results.forget_results`."""
        self._ensure_open("forget_results")
        gone = [
            result.key
            for result in self.memory.results.values()
            if step in ("", result.step) and (not expired_by or 0 < result.expires_at <= expired_by)
        ]
        for key in gone:
            del self.memory.results[key]
        return len(gone)

    # --- outbox ------------------------------------------------------------------------------------------------------

    async def outgoing(self, now: int, limit: int, skip: int = 0) -> Sequence[Outgoing]:
        """See `Outbox.outgoing`."""
        self._ensure_open("outgoing")
        found = [each for each in self._oldest() if each.due <= now]
        return sorted(found, key=lambda each: each.due)[skip : skip + limit]

    async def outgoing_of(self, run: str) -> Sequence[Outgoing]:
        """See `Outbox.outgoing_of`."""
        self._ensure_open("outgoing_of")
        return [each for each in self.memory.outbox.values() if each.run == run]

    async def undelivered(self, limit: int, after: int = 0, *, given_up: bool = False) -> Sequence[Outgoing]:
        """See `Outbox.undelivered`."""
        self._ensure_open("undelivered")
        found = (each for each in self.memory.outbox.values() if each.due == NEVER or not given_up)
        return [each for each in found if each.number > after][:limit]

    async def next_outgoing(self, now: int) -> int:
        """See `Outbox.next_outgoing`."""
        self._ensure_open("next_outgoing")
        return min((each.due for each in self._oldest() if each.due > now), default=0)

    async def delivered(self, number: int) -> None:
        """See `Outbox.delivered`."""
        self._ensure_open("delivered")
        self.memory.outbox.pop(number, None)
        self.memory.writes += 1

    async def postpone(self, was: Outgoing, is_now: Outgoing) -> bool:
        """See `Outbox.postpone`."""
        self._ensure_open("postpone")
        found = self.memory.outbox.get(was.number)
        if found is None or found.due != was.due:
            return False
        self.memory.outbox[was.number] = found._replace(tries=is_now.tries, due=is_now.due, error=is_now.error)
        self.memory.writes += 1
        return True

    def _oldest(self) -> Sequence[Outgoing]:
        """Of each lane the first that was not given up."""
        found: dict[str, Outgoing] = {}
        for each in self.memory.outbox.values():
            if each.due < NEVER:
                found.setdefault(each.lane, each)
        return list(found.values())

    # --- graveyard ---------------------------------------------------------------------------------------------------

    async def prune(self, stone: Tombstone) -> bool:
        """See `Graveyard.prune`."""
        self._ensure_open("prune")
        run = self.memory.runs.get(stone.id)
        if run is None or run.head.status not in TERMINAL or run.owner in self.memory.alive:
            return False
        del self.memory.runs[stone.id]
        for each in [each for each in self.memory.outbox.values() if (each.run, each.due) == (stone.id, NEVER)]:
            del self.memory.outbox[each.number]
        for number in [number for number, request in self.memory.inbox.items() if request.run == stone.id]:
            del self.memory.inbox[number]
        self.memory.artifacts = [head for head in self.memory.artifacts if head.scope != f"run:{stone.id}"]
        self.memory.tombstones.insert(0, stone)
        return True

    async def list_tombstones(self, limit: int, after: int = 0) -> Sequence[Tombstone]:
        """See `Graveyard.list_tombstones`."""
        self._ensure_open("list_tombstones")
        return self.memory.tombstones[after : after + limit]

    async def sweep(self, now: int, grace: int) -> int:
        """See `Graveyard.sweep`."""
        self._ensure_open("sweep")
        memory = self.memory
        texts: list[bytes | str] = [row for run in memory.runs.values() for row in run.rows]
        texts += [request.body for request in memory.inbox.values()]
        texts += [head.content for head in memory.artifacts]
        texts += [shelved.value for shelf in memory.shelves.values() for shelved in shelf.values()]
        used = in_use(texts, set(memory.blobs), memory.blobs.__getitem__)
        memory.unused = {digest: memory.unused.get(digest, now) for digest in memory.blobs if digest not in used}
        gone = [digest for digest, since in memory.unused.items() if since <= now - grace]
        for digest in gone:
            del memory.blobs[digest], memory.unused[digest]
        return len(gone)

    # --- sleepers ----------------------------------------------------------------------------------------------------

    async def sleep(self, run: str, until: int, seen: int = 0) -> None:
        """See `Sleepers.sleep`."""
        self._ensure_open("sleep")
        self._owned.discard(run)
        found = self.memory.runs.get(run)
        if found is None or found.owner != self.name:
            return
        found.owner = ""
        asked = any(request.run == run and number > seen for number, request in self.memory.inbox.items())
        status = WAITING if found.head.status == "running" else found.head.status
        found.head = replace(found.head, status=status, wake_at=1 if asked else max(until, 1))
        self.memory.asleep.add(run)
        self.memory.writes += 1

    async def due(self, now: int, limit: int, skip: int = 0) -> Sequence[RunHead]:
        """See `Sleepers.due`."""
        self._ensure_open("due")
        heads = [head for head in self._asleep() if head.wake_at <= now]
        return sorted(heads, key=lambda head: head.wake_at)[skip : skip + limit]

    async def next_wake(self, now: int) -> int:
        """See `Sleepers.next_wake`."""
        self._ensure_open("next_wake")
        return min((head.wake_at for head in self._asleep() if now < head.wake_at < NEVER), default=0)

    def _asleep(self) -> Iterator[RunHead]:
        return (self.memory.runs[run].head for run in self.memory.asleep)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _run(self, run: str, op: str) -> _Run:
        try:
            return self.memory.runs[run]
        except KeyError:
            raise not_found(run, op) from None

    def _ensure_open(self, op: str) -> None:
        if not self.name:
            raise closed(op, self.url)


def _fits(head: RunHead, where: RunFilter) -> bool:
    return (
        (not where.status or head.status in where.status)
        and (not where.workflow or head.workflow == where.workflow)
        and (not where.tag or where.tag in head.tags)
        and (not where.session or where.session == head.session)
        and (not where.created_after or head.created_at > where.created_after)
    )
