"""The store in the memory of one process: a product of its own for tests, notebooks and runs that may be lost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..errors import Fenced, RipresaError, RunExists, RunNotFound, StoreError
from ..ports import Batch, Page, Request, Row, RunFilter, RunHead


@dataclass(slots=True)
class _Run:
    head: RunHead
    owner: str
    epoch: int = 1
    next: int = 1
    rows: list[Row] = field(default_factory=list[Row])
    seen: set[str] = field(default_factory=set[str])

    def add(self, batch: Batch) -> None:
        self.rows.append(Row(batch.seq, batch.count, batch.row))
        self.next = batch.seq + batch.count


class Memory:
    """What stores in memory keep. Stores that share one see the same runs, each as an owner of its own."""

    def __init__(self) -> None:
        self.runs: dict[str, _Run] = {}
        self.blobs: dict[str, bytes] = {}
        self.inbox: dict[int, Request] = {}
        self.alive: set[str] = set()
        self.writes = 0
        self.owner_numbers = itertools.count(1)
        self.request_numbers = itertools.count(1)


class MemoryStore:
    """A store in memory. What it keeps is lost with `memory`, not with the store: another one may go on with it."""

    url = "memory:"

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self._name = ""
        self._owned: set[str] = set()
        self._writes = 0

    async def open(self) -> None:
        """Begin to live as an owner."""
        if not self._name:
            self._name = f"memory-{next(self.memory.owner_numbers)}"
            self.memory.alive.add(self._name)
            self._writes = self.memory.writes

    async def close(self) -> None:
        """Give up all runs; a second call does nothing."""
        self.memory.alive.discard(self._name)
        self._owned.clear()
        self._name = ""

    # --- journal -----------------------------------------------------------------------------------------------------

    async def create(self, batch: Batch) -> None:
        """See `Journal.create`."""
        if batch.head is None or batch.seq != 1:
            raise RipresaError("the first batch of a run begins with event 1 and has a head", code="usage")
        self._ensure_open("create")
        if batch.run in self.memory.runs:
            raise RunExists(f"there is a run {batch.run!r} already", run=batch.run, op="create")
        run = self.memory.runs[batch.run] = _Run(batch.head, self._name)
        self._owned.add(batch.run)
        self._keep(run, batch)

    async def append(self, batch: Batch) -> None:
        """See `Journal.append`."""
        self._ensure_open("append")
        run = self.memory.runs.get(batch.run)
        if run is None or batch.run not in self._owned or run.next != batch.seq:
            self._owned.discard(batch.run)
            raise Fenced(
                f"event {batch.seq} of run {batch.run!r} cannot be appended: it is not the next one, or not ours",
                run=batch.run,
                op="append",
                hint="drop what is in memory, claim the run and read it again",
            )
        self._keep(run, batch)

    def _keep(self, run: _Run, batch: Batch) -> None:
        run.add(batch)
        self.memory.writes += 1
        for digest, data in batch.blobs:
            self.memory.blobs.setdefault(digest, data)
        for number in batch.taken:
            self.memory.inbox.pop(number, None)
        if batch.head is not None:
            run.head = replace(batch.head, workflow=run.head.workflow, created_at=run.head.created_at)

    async def read(self, run: str, after: int = 0, limit: int = 0) -> Sequence[Row]:
        """See `Journal.read`."""
        self._ensure_open("read")
        found = self.memory.runs.get(run)
        rows = [row for row in found.rows if row.seq + row.count > after + 1] if found else []
        return about(rows, limit) if limit else rows

    def blob(self, digest: str) -> bytes:
        """See `Journal.blob`."""
        self._ensure_open("blob")
        try:
            return self.memory.blobs[digest]
        except KeyError:
            raise StoreError(f"the value {digest} is not there", code="store_corrupt", op="blob") from None
