"""What waits for a transaction: appends to journals, and every other change."""

from __future__ import annotations

import sqlite3
from asyncio import AbstractEventLoop, CancelledError
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from ..context import Variables
from ..errors import RipresaError
from ..ports import Batch, RunHead, Written
from .rules import fenced

T = TypeVar("T")


class Owned:
    """What the owner of a run keeps in memory: its integer key, the next sequence number, how it is listed."""

    __slots__ = ("created_at", "epoch", "key", "next", "tags")

    def __init__(self, key: int, following: int, epoch: int, created_at: int, tags: tuple[str, ...]) -> None:
        self.key = key
        self.next = following
        self.epoch = epoch
        self.created_at = created_at
        self.tags = tags


class Job:
    """Something that is to be written with others, and what the one task that writes it waits for.

    It is a future of asyncio as far as a task needs one (`asyncio.isfuture`). A future of its own would be woken by a
    handle of the loop for each run in each turn; a job goes on with its task at once when its transaction has ended,
    with what has ended in the same one. `error` says afterwards why it was left out.
    """

    __slots__ = ("_asyncio_future_blocking", "_context", "_loop", "_over", "_wake", "error")
    _context: Variables
    _loop: AbstractEventLoop

    def __init__(self) -> None:
        self._asyncio_future_blocking = False
        self._over = ""
        self._wake: Callable[[Job], object] | None = None
        self.error: RipresaError | None = None

    @property
    def run(self) -> str:
        """The run that it is appended to, if it is."""
        return ""

    def settle(self) -> None:
        """The transaction ended; what is kept in memory follows it."""

    def within(self, loop: AbstractEventLoop) -> Job:
        """To be awaited in this loop."""
        self._loop = loop
        return self

    def __await__(self) -> Generator[Job, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def add_done_callback(self, wake: Callable[[Job], object], *, context: Variables) -> None:
        """For the task that awaits it."""
        self._wake, self._context = wake, context

    def cancel(self, msg: object = None) -> bool:
        """Let the task that awaits it go; the job is written all the same."""
        if self._over:
            return False
        self._over = "cancelled"
        assert self._wake is not None, "a task awaits it"
        self._loop.call_soon(self._wake, self, context=self._context)
        return True

    def result(self) -> None:
        """For the task that awaits it. Raises `CancelledError` if it was cancelled meanwhile."""
        if self._over == "cancelled":
            raise CancelledError

    def end(self) -> None:
        """Go on with the task that awaits it, now. To be called by the loop, outside any task."""
        if not self._over:
            self._over = "written"
            if self._wake is not None:
                self._context.run(self._wake, self)


class Append(Job):
    """A batch of an owned run."""

    __slots__ = ("batch", "owned")

    def __init__(self, batch: Batch, owned: Owned) -> None:
        super().__init__()
        self.batch = batch
        self.owned = owned

    @property
    def run(self) -> str:
        """The run that it belongs to."""
        return self.batch.run

    @property
    def alone(self) -> bool:
        """Whether it is one row and nothing else."""
        batch = self.batch
        return not batch.blobs and batch.head is None and not batch.taken and not batch.shared

    @property
    def risky(self) -> bool:
        """Whether it performs statements of the user's, which may fail."""
        shared = self.batch.shared
        return bool(shared) and any(isinstance(change, Written) for change in shared)

    @property
    def row(self) -> tuple[int, int, int, bytes]:
        """What the table of events keeps of it."""
        return self.owned.key, self.batch.seq, self.batch.events, self.batch.row

    def refuse(self) -> None:
        """There is a row of this number already."""
        self.error = fenced(self.batch, "another owner wrote this event")

    def settle(self) -> None:
        """The transaction ended; what is kept in memory follows it."""
        if self.error is None:
            self.owned.next = self.batch.seq + self.batch.events
            if self.batch.head is not None:
                self.owned.tags = self.batch.head.tags


class Change(Job, Generic[T]):
    """Something else that is to be written. `perform` may run twice; what it raises concerns this change alone."""

    __slots__ = ("_perform", "_result")

    def __init__(self, perform: Callable[[sqlite3.Connection], T]) -> None:
        super().__init__()
        self._perform = perform
        self._result: list[T] = []

    @property
    def made(self) -> T:
        """What `perform` returned."""
        return self._result[-1]

    def make(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        self.error = None
        try:
            self._result.append(self._perform(connection))
        except RipresaError as error:
            self.error = error


class Creation(Job):
    """A run that is to be there. `owned` is what its owner keeps of it when it is."""

    __slots__ = ("_batch", "_head", "_insert", "owned")

    def __init__(
        self, insert: Callable[[sqlite3.Connection, Batch, RunHead], Owned], batch: Batch, head: RunHead
    ) -> None:
        super().__init__()
        self._insert = insert
        self._batch = batch
        self._head = head
        self.owned: Owned | None = None

    def make(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        self.error = None
        try:
            self.owned = self._insert(connection, self._batch, self._head)
        except RipresaError as error:
            self.error = error
