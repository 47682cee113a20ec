"""What waits for a transaction: appends to journals, and every other change."""

from __future__ import annotations

import sqlite3
from asyncio import Future
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

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


class Append:
    """A batch of an owned run. `error` says afterwards why it was left out."""

    __slots__ = ("batch", "done", "error", "owned")

    def __init__(self, batch: Batch, owned: Owned) -> None:
        self.batch = batch
        self.owned = owned
        self.done: Future[None] | None = None
        self.error: RipresaError | None = None

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


class Change(Generic[T]):
    """Something else that is to be written. `perform` may run twice; what it raises concerns this change alone."""

    __slots__ = ("_perform", "_result", "done", "error")
    run = ""

    def __init__(self, perform: Callable[[sqlite3.Connection], T]) -> None:
        self._perform = perform
        self._result: list[T] = []
        self.done: Future[None] | None = None
        self.error: RipresaError | None = None

    @property
    def result(self) -> T:
        """What `perform` returned."""
        return self._result[-1]

    def make(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        self.error = None
        try:
            self._result.append(self._perform(connection))
        except RipresaError as error:
            self.error = error

    def settle(self) -> None:
        """The transaction ended."""


class Creation:
    """A run that is to be there. `owned` is what its owner keeps of it when it is."""

    __slots__ = ("_batch", "_head", "_insert", "done", "error", "owned")
    run = ""

    def __init__(
        self, insert: Callable[[sqlite3.Connection, Batch, RunHead], Owned], batch: Batch, head: RunHead
    ) -> None:
        self._insert = insert
        self._batch = batch
        self._head = head
        self.owned: Owned | None = None
        self.done: Future[None] | None = None
        self.error: RipresaError | None = None

    def make(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        self.error = None
        try:
            self.owned = self._insert(connection, self._batch, self._head)
        except RipresaError as error:
            self.error = error

    def settle(self) -> None:
        """The transaction ended."""


Job: TypeAlias = Append | Creation | Change[Any]
