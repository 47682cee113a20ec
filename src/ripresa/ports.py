"""What the engine needs from the world, in the domain's verbs; one adapter class may be several ports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

from .records import record


@record
class RunHead:
    """The line of a run in lists: what can be filtered and sorted without its journal.

    Moments are microseconds since 1970. `id`, `workflow` and `created_at` are those of the first batch for ever; all
    else is as the last batch with a head said. Who owns the run is not part of it (see `Owners`). `wake_at` is when a
    run that is asleep is due, 0 for one that is not (see `Sleepers`).
    """

    id: str
    workflow: str
    version: str
    status: str
    target: str
    created_at: int
    updated_at: int
    error: str = ""
    tags: tuple[str, ...] = ()
    session: str = ""
    wake_at: int = 0


class SessionWrite(NamedTuple):
    """A change of a value that a session holds; `op`: see `core.sessions.apply`; `at` in microseconds since 1970."""

    session: str
    name: str
    op: str
    value: bytes
    at: int


class ArtifactSave(NamedTuple):
    """A version of a result file of the session, or of the run, that `scope` is; `content` as in `Artifact`."""

    scope: str
    name: str
    run: str
    path: str
    media_type: str
    digest: str
    size: int
    created_at: int
    content: str


@dataclass(frozen=True, slots=True)
class ArtifactHead:
    """A version (from 1) of a result file; `content` is a JSON list of the digests of its pieces, in order.

    `digest` is the SHA-256 of the whole in hex, `size` in bytes, `created_at` in microseconds since 1970.
    """

    scope: str
    name: str
    version: int
    run: str
    path: str
    media_type: str
    digest: str
    size: int
    created_at: int
    content: str


class Spend(NamedTuple):
    """What a run used of its session: `used` is added up by name.

    A `place` releases what it has reserved, `*` whatever the run has; with `keep` reserved steps and operations are
    used then, or those of `unheld` if nothing was reserved (the process died before it could). A place that goes on
    (`part`) keeps what it once began with and releases what it has reserved beyond that, of which nothing is used.
    """

    session: str
    run: str
    place: str
    used: tuple[tuple[str, float], ...] = ()
    keep: bool = True
    unheld: tuple[tuple[str, float], ...] = ()
    part: bool = False


class Outgoing(NamedTuple):
    """Something that a step sends out of its run, of a `kind`; `id` is the same however often it is delivered.

    `target` and `body` are what the kind makes of them; `at` is when the step completed, in microseconds since 1970. A
    store gives it a `number`, which rises; `tries`, `due` (the next one; `NEVER`: given up) and `error` (of the last)
    are those of its delivery.
    """

    run: str
    path: str
    kind: str
    target: str
    id: str
    body: bytes
    at: int
    number: int = 0
    tries: int = 0
    due: int = 0
    error: str = ""

    @property
    def lane(self) -> str:
        """What is delivered in order: all that a run sends, without its webhooks; those to each place by themselves.

        A place that does not answer for hours holds up nothing but its own.
        """
        return self.run if self.kind != WEBHOOK else f"{self.run}\0{self.target}"


WEBHOOK: Final = "webhook"
"""The kind of what goes to the web; see `steps.webhooks`."""


class Statement(NamedTuple):
    """One SQL statement with its parameters, in order or by name: None, numbers, texts and bytes."""

    sql: str
    parameters: tuple[Any, ...] | Mapping[str, Any] = ()


class Written(NamedTuple):
    """What a step writes to tables of its own in the store's database (see `Tables`), in order.

    A statement that cannot be performed refuses its batch alone, with `RipresaError(transaction_failed)`.
    """

    run: str
    statements: tuple[Statement, ...]


Shared: TypeAlias = SessionWrite | ArtifactSave | Spend | Outgoing | Written
"""What runs share: it changes beside the journal of a run, and with it."""


class Batch(NamedTuple):
    """Events of one run that become durable together, with everything that must go with them.

    `seq` is the sequence number of the first event (from 1), `events` how many there are, `row` their encoded text.
    `blobs` are large values by digest (stored once; one that is there already is left alone). `head` is the run's new
    line in lists, or None if this batch does not change it; with `release`, which needs a head, the run is given up in
    the same transaction (see `Owners.release`). `taken` are inbox rows that became facts in this batch. `shared` is
    what changes in the same transaction beside the run, in order.
    """

    run: str
    seq: int
    events: int
    row: bytes
    blobs: tuple[tuple[str, bytes], ...] = ()
    head: RunHead | None = None
    taken: tuple[int, ...] = ()
    release: bool = False
    shared: tuple[Shared, ...] = ()


class Row(NamedTuple):
    """Encoded events as stored: `seq` is the number of the first of `events`."""

    seq: int
    events: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A message for a run's owner: `number` rises within the store, `kind` and `body` are the sender's (JSON text)."""

    number: int
    run: str
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list, newest first (`created_at`, then `id`). Empty fields do not restrict.

    `created_after` and `created_before` are themselves left out; `after` is the id of the last run seen.
    """

    status: tuple[str, ...] = ()
    workflow: str = ""
    tag: str = ""
    created_after: int = 0
    created_before: int = 0
    after: str = ""
    limit: int = 50
    session: str = ""


@dataclass(frozen=True, slots=True)
class SessionHead:
    """A session as it stands. Moments are microseconds since 1970; `limits` is JSON text, empty for none.

    `used` is an object of amounts by the names of limits, as JSON too.
    """

    id: str
    owner: str
    status: str
    created_at: int
    updated_at: int
    limits: str = ""
    used: str = "{}"


class Shelved(NamedTuple):
    """A value that a session holds: JSON text, how often it was written, when it was last."""

    value: bytes
    version: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions to list, newest first (`created_at`, then `id`). Empty fields do not restrict."""

    status: tuple[str, ...] = ()
    owner: str = ""
    after: str = ""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Some sessions, and whether there are more."""

    sessions: tuple[SessionHead, ...] = field(default=())
    more: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, and whether there are more."""

    runs: tuple[RunHead, ...] = field(default=())
    more: bool = False


@runtime_checkable
class Journal(Protocol):
    """The events of runs, in order, with their large values."""

    async def create(self, batch: Batch) -> None:
        """Append the first batch of a new run (`seq` 1, with a head) and own it with epoch 1; durable on return.

        Raises `RunExists` if there is a run of this id, `SessionError` unless the session that its head names is
        active. Creations that wait at the same time share a transaction with each other and with appends.
        """
        ...

    async def append(self, batch: Batch) -> None:
        """Append a batch; on return it is durable.

        Appends of all runs that wait at the same time share one transaction. Raises `Fenced` for this run alone when
        its sequence is not the next one or this store does not own it; after that it has to be claimed (and read)
        again. Raises `StoreError` when nothing of the transaction was kept; the same batch may then be tried again.
        One append of a run at a time. Cancelling the caller does not take a batch back that waits already.
        """
        ...

    async def read(self, run: str, after: int = 0, limit: int = 0) -> Sequence[Row]:
        """Rows with events after sequence number `after`, in order; none for an unknown run.

        All of them, or, with a `limit`, the first rows until they hold that many events. A row that begins before
        `after` and ends behind it is among them, whole.
        """
        ...

    def blob(self, digest: str) -> bytes:
        """The large value with this digest. Raises `StoreError(store_corrupt)` if it is not there."""
        ...


@runtime_checkable
class Lists(Protocol):
    """Finding runs."""

    async def find_run(self, run: str) -> RunHead | None:
        """The line of one run."""
        ...

    async def list_runs(self, where: RunFilter) -> Page:
        """A page of runs, newest first. Raises `RunNotFound` when `where.after` is no run."""
        ...


@runtime_checkable
class Inbox(Protocol):
    """Requests to runs from whoever does not own them."""

    async def put(self, run: str, kind: str, body: bytes, dedup: str = "") -> bool:
        """Leave a request, durable on return; False if this run was left one with the same `dedup` before.

        That holds also when the first one was taken long ago; an empty `dedup` is never the same. A run that is asleep
        is due from now on. Raises `RunNotFound`.
        """
        ...

    async def pending(self, runs: Sequence[str] | None = None) -> Sequence[Request]:
        """Requests that no batch has taken yet, oldest first; of these runs, or of all."""
        ...

    def changed(self) -> bool:
        """Whether anything may have been written since the last call, here or in another process.

        Cheap: polled several times a second. True without need costs the caller one look at `pending`.
        """
        ...


@runtime_checkable
class Owners(Protocol):
    """Who may advance a run. Ownership ends with its process: there is no lease to wait out."""

    async def claim(self, run: str, *, anew: bool = False) -> int | None:
        """Own the run from now on: the epoch (1, 2, …) of this ownership; None while another living owner has it.

        Claiming a run that one already owns returns the same epoch, `anew` the next one: it is never without an owner
        then, as it would be between releasing and claiming it. Raises `RunNotFound`.
        """
        ...

    async def release(self, run: str) -> None:
        """Give the run up (a run that is not owned here is left alone)."""
        ...

    async def owner(self, run: str) -> str | None:
        """The name of the run's living owner, or None."""
        ...


NEVER = 2**63 - 1
"""The moment at which a run is due that waits for requests alone."""


@runtime_checkable
class Sessions(Protocol):
    """What several runs share."""

    async def create_session(self, head: SessionHead) -> None:
        """Keep a new session. Raises `SessionError(session_exists)` if there is one of this id."""
        ...

    def find_session(self, session: str) -> SessionHead | None:
        """The session of this id."""
        ...

    async def list_sessions(self, where: SessionFilter) -> SessionPage:
        """A page of sessions, newest first. Raises `SessionError` when `where.after` is no session."""
        ...

    async def set_session(
        self, head: SessionHead, was: str, request: bytes | None = None, *, kind: str = "pause", idle: bool = False
    ) -> bool:
        """Replace status, limits and `updated_at` if the session's status is `was`; whether it was done.

        With a `request`, the body of one of this `kind`, it is left in the same transaction to all runs of the session
        that are running, paused or asleep. With `idle` nothing is done while a run of the session has not ended.
        """
        ...

    def session_values(self, session: str, name: str = "") -> Mapping[str, Shelved]:
        """The values that a session holds, by name in alphabetical order; only that of one name if it is given."""
        ...

    async def reserve(
        self, session: str, run: str, place: str, asked: Mapping[str, float], now: int, *, more: bool = False
    ) -> tuple[str, float, float] | None:
        """Hold amounts for a place of a run, added to what it holds, if the session's limits leave so much.

        Else the limit that does not: its name, what is used or held by others, what is allowed; `concurrency` if there
        are as many places as may be. `steps` and `operations` of a place are held once, however often they are asked,
        unless it asks for `more` of them.
        """
        ...

    async def share(self, changes: Sequence[SessionWrite]) -> None:
        """Make changes outside of any run, all or none. Raises `SessionError` for an unknown session."""
        ...


@runtime_checkable
class Sleepers(Protocol):
    """Runs that nobody holds in memory because they only wait."""

    async def sleep(self, run: str, until: int, seen: int = 0) -> None:
        """Give a run up until a moment: it is asleep, and listed as `waiting` if it was running.

        It is due at once if there is a request for it with a number above `seen`. The next batch with a head, or a
        creation, wakes it. A run that is not owned here is left alone.
        """
        ...

    async def due(self, now: int, limit: int, skip: int = 0) -> Sequence[RunHead]:
        """Runs that are asleep and due, in order of their moments, without the first `skip`."""
        ...

    async def next_wake(self, now: int) -> int:
        """The moment after `now` at which the next one is due, 0 if there is none."""
        ...


class CachedResult(NamedTuple):
    """What a step returned once: found by `key`, forgotten by the name of the step; `expires_at` 0 for never."""

    key: str
    step: str
    value: bytes
    expires_at: int = 0


@runtime_checkable
class Artifacts(Protocol):
    """Result files with their versions. A save whose digest is that of the version before makes no new one."""

    async def put_blobs(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        """Keep large values by their digest, before anything names them."""
        ...

    async def list_artifacts(self, scope: str = "", run: str = "", name: str = "") -> Sequence[ArtifactHead]:
        """All versions in a scope, or saved by a run, by name and version; only those of one name if it is given."""
        ...


@runtime_checkable
class Results(Protocol):
    """Results of steps that are kept for other runs."""

    def find_result(self, key: str, now: int) -> bytes | None:
        """The value kept under a key, unless it has expired."""
        ...

    async def keep_result(self, result: CachedResult) -> None:
        """Keep a value in the place of an earlier one of its key."""
        ...

    async def forget_results(self, step: str = "", expired_by: int = 0) -> int:
        """Forget what is kept: of this step or of all, only what had expired at a moment if one is given; how many."""
        ...


@runtime_checkable
class Outbox(Protocol):
    """What runs send, from the batch that it was `shared` in until it is delivered."""

    async def outgoing(self, now: int, limit: int, skip: int = 0) -> Sequence[Outgoing]:
        """What is due, of each run the oldest that was not given up and no other, without the first `skip`."""
        ...

    async def outgoing_of(self, run: str) -> Sequence[Outgoing]:
        """All of one run, oldest first, with what was given up."""
        ...

    async def undelivered(self, limit: int, after: int = 0, *, given_up: bool = False) -> Sequence[Outgoing]:
        """That of all runs behind number `after`, oldest first; only what was given up if that is asked."""
        ...

    async def next_outgoing(self, now: int) -> int:
        """The moment after `now` at which the next one is due, 0 if there is none."""
        ...

    async def delivered(self, number: int) -> None:
        """Forget one."""
        ...

    async def postpone(self, was: Outgoing, is_now: Outgoing) -> bool:
        """Replace tries, due and error, unless it is not due when it `was` any more: then False, as when it is gone."""
        ...


@runtime_checkable
class Tables(Protocol):
    """A store whose database has room for tables of the user's own. Not every store is one."""

    async def try_statements(self, statements: Sequence[Statement]) -> None:
        """See whether statements could be performed now; nothing is kept.

        Raises `RipresaError(transaction_failed)` that says why not.
        """
        ...

    async def select_rows(self, statement: Statement) -> list[tuple[Any, ...]]:
        """The rows of a query, of what is durable. Raises `RipresaError(transaction_failed)`."""
        ...


class Tombstone(NamedTuple):
    """What stays of a run that was pruned. `digest` is the SHA-256 of its rows; moments are microseconds since 1970."""

    id: str
    workflow: str
    version: str
    status: str
    created_at: int
    updated_at: int
    error: str
    digest: str
    pruned_at: int
    by: str = ""
    reason: str = ""


@runtime_checkable
class Graveyard(Protocol):
    """Runs that have ended and are not to be kept."""

    async def prune(self, stone: Tombstone) -> bool:
        """Remove a run with all that is its own, and keep the tombstone; False unless it has ended and is not owned.

        Artifacts of its session stay, and what it sends that is not delivered. Large values stay until `sweep`.
        """
        ...

    async def list_tombstones(self, limit: int, after: int = 0) -> Sequence[Tombstone]:
        """What stayed of the runs that were pruned last, newest first, without the first `after`."""
        ...

    async def sweep(self, now: int, grace: int) -> int:
        """Remove large values that an earlier sweep, `grace` microseconds ago or more, found unused already; how many.

        What is put again meanwhile, or named again, is in use. A grace of 0 is for stores that nobody else writes to.
        """
        ...


@runtime_checkable
class Store(Journal, Lists, Inbox, Owners, Sessions, Artifacts, Sleepers, Results, Outbox, Graveyard, Protocol):
    """Everything about runs in one adapter, opened and closed once."""

    @property
    def url(self) -> str:
        """The address that opens this store again."""
        ...

    async def open(self) -> None:
        """Open and migrate. Raises `StoreError` with the code that says why it cannot."""
        ...

    async def close(self) -> None:
        """Finish what was begun, release all runs and close; a second call does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt of a step, for an executor: the function, its arguments, and what `current()` says of it.

    `context` has run, workflow, path, attempt, key (the idempotency key) and deadline (microseconds since 1970, or
    None). `here` calls the function in this process.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    context: Mapping[str, Any]
    here: Callable[[], Awaitable[Any]] = field(compare=False, repr=False)


class Executor(Protocol):
    """Runs steps somewhere else; steps name it: `@step(executor="NAME")`."""

    async def perform(self, work: Work) -> Any:
        """What the function returned. Raises what it raised; is cancelled with the attempt."""
        ...


class Alarm(Protocol):
    """Something that will happen at a moment."""

    def cancel(self) -> None:
        """Let it not happen."""
        ...


@runtime_checkable
class Clock(Protocol):
    """The time and a way to wait for it."""

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        ...

    def call_at(self, due: int, callback: Callable[[], None]) -> Alarm:
        """Call back on the event loop at `due` (microseconds since 1970) or soon after; never before."""
        ...
