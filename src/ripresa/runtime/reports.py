"""What a step reports beside its result: changes of the session, what it used, files, artifacts.

Law: everything becomes facts in the batch of the completion, before it. Of an attempt that does not complete only what
it used and touched is kept, since that has happened. Usable from any thread.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ..authoring.encoding import encode
from ..core.events import (
    ArtifactSaved,
    Dispatched,
    Fact,
    FilesTouched,
    HooksSet,
    Interacted,
    MessageQueued,
    RowsWritten,
    SessionEntered,
    SessionWritten,
    StepCompleted,
    UsageReported,
)
from ..core.values import Value
from ..errors import InvalidValue
from ..messages import Signal
from ..ports import ArtifactSave, Outgoing, RunHead, SessionWrite, Shared, Written
from ..reporting import Transaction
from .feed import TextWritten
from .mailing import Mailing
from .session_data import StepSession, session_of
from .writing import Writing, decode_statements, tables_of

if TYPE_CHECKING:
    from .attempts import Running
    from .driver import Driver
    from .values import Values

CHUNK = 1_048_576
"""Bytes of an artifact that are held in memory, and stored, at a time."""

UNPRICED: Final = "nobody knows the price of what was used: it is missing in the cost, which the limit of money holds"

_log = logging.getLogger("ripresa")

Source = bytes | os.PathLike[str]


class Report:
    """The report of one attempt."""

    __slots__ = (
        "_driver",
        "_files",
        "_mailing",
        "_running",
        "_session",
        "_sources",
        "_told",
        "_writing",
        "artifacts",
        "cost",
        "tokens",
        "unpriced",
    )

    def __init__(self, driver: Driver, running: Running) -> None:
        self._driver = driver
        self._running = running
        self._session: StepSession | None = None
        self._mailing: Mailing | None = None
        self._writing: Writing | None = None
        self._files: dict[str, None] = {}
        self._sources: list[tuple[str, str, Source]] = []
        self.artifacts: list[tuple[str, str, str, int, Value]] = []
        self._told: list[tuple[str, str, str, Value]] = []
        self.tokens = 0
        self.cost = 0.0
        self.unpriced = 0

    def hear(self, told: Sequence[str], *, failed: bool) -> None:
        """Take what an attempt in a child process has reported; see `executors.perform`."""
        for what, *more in map(json.loads, told):
            if what == "use":
                self.use(*more)
            elif what == "touch":
                self.touch(*more)
            elif not failed:
                name, op, text = more
                self.session().change(name, op, text.encode())

    def session(self) -> StepSession:
        """See `StepContext.session`."""
        if self._session is None:
            self._session = StepSession(self._driver, session_of(self._driver))
        return self._session

    def use(self, tokens: int, cost: float | None) -> None:
        """See `StepContext.usage`."""
        unpriced = int(cost is None)
        cost = 0.0 if cost is None else cost
        bad = [
            f"{name} is {value!r}, must be {what} from 0"
            for name, value, fits, what in (
                ("tokens", tokens, type(tokens) is int, "a whole number"),
                ("cost", cost, type(cost) in (int, float), "a number"),
            )
            if not fits or not 0 <= value < float("inf")
        ]
        if bad:
            raise InvalidValue("; ".join(bad), op="usage")
        if unpriced:
            self._unpriced(tokens)
        self.tokens += tokens
        self.cost += cost
        self.unpriced += unpriced
        if self._driver.budget is not None:
            self._driver.budget.use(self._running.place, tokens, cost, unpriced)

    def _unpriced(self, tokens: int) -> None:
        """Something was used at a price that nobody knows: no limit of money can count it, and that is recorded."""
        driver, running = self._driver, self._running
        if driver.budget is not None and driver.budget.limits_money():
            _log.warning(UNPRICED, extra={"run": driver.run, "path": running.path})
            self.tell(running.path, "limits", "unpriced", {"tokens": tokens, "said": UNPRICED})

    def touch(self, path: str | os.PathLike[str]) -> None:
        """See `StepContext.touched`."""
        self._files[os.fspath(path)] = None

    def write(self, text: str) -> None:
        """See `StepContext.write`."""
        running = self._running
        self._driver.tell(TextWritten(running.run, running.path, running.number, text))

    def tell(self, sender: str, receiver: str, kind: str, content: object) -> None:
        """See `StepContext.interaction`."""
        text = encode(content, where=f"{self._running.path}, {kind} of {sender} to {receiver}")
        self._told.append((sender, receiver, kind, self._driver.keeper.keep(text)))

    async def ensure(self, tokens: int, cost: float | None) -> None:
        """See `StepContext.ensure`."""
        if self._driver.budget is not None:
            await self._driver.budget.ensure(self._running, tokens, cost)

    def left(self) -> dict[str, float]:
        """See `StepContext.left`."""
        return {} if self._driver.budget is None else self._driver.budget.left()

    def models(self) -> Mapping[str, Any]:
        """See `StepContext.models`."""
        return self._driver.engine.gateway

    def save(self, name: str, source: bytes | str | os.PathLike[str], media_type: str) -> None:
        """See `StepContext.save_artifact`."""
        if not name or not name.isprintable() or len(name) > 200:
            raise InvalidValue(f"the name {name!r} is no printable text of 1 to 200 characters", op="save_artifact")
        if isinstance(source, os.PathLike):
            if not os.path.isfile(source):
                raise InvalidValue(f"{os.fspath(source)} is no file", op="save_artifact")
            self._sources.append((name, media_type or "application/octet-stream", source))
        elif isinstance(source, str):
            self._sources.append((name, media_type or "text/plain; charset=utf-8", source.encode()))
        else:
            self._sources.append((name, media_type or "application/octet-stream", bytes(source)))

    @property
    def mailing(self) -> Mailing:
        """What the attempt sends."""
        if self._mailing is None:
            self._mailing = Mailing(self._driver, self._running)
        return self._mailing

    def send(self, run: str, signal: Signal[Any], value: object, id: str) -> None:
        """See `StepContext.send`."""
        self.mailing.send(run, signal, value, id)

    def start(self, call: Any, id: str) -> str:
        """See `StepContext.start`."""
        return self.mailing.start(call, id)

    def queue(self, kind: str, value: object, target: str, id: str) -> None:
        """See `StepContext.queue`."""
        self.mailing.queue(kind, value, target, id)

    def transaction(self) -> Transaction:
        """See `StepContext.transaction`."""
        if self._writing is None:
            self._writing = Writing(self._driver, self._running, tables_of(self._driver))
        return self._writing.transaction()

    def forget(self) -> None:
        """Take back what becomes durable with a success only: what was used and touched has happened."""
        self._session, self._sources, self.artifacts = None, [], []
        if self._mailing is not None:
            self._mailing.forget()
        if self._writing is not None:
            self._writing.drop(0)

    @property
    def asks(self) -> bool:
        """Whether there is anything that becomes durable with a success only."""
        session, mailing = self._session, self._mailing
        return (
            bool(self._sources or self.artifacts)
            or (session is not None and session.changed)
            or (mailing is not None and mailing.waiting)
            or (self._writing is not None and self._writing.count > 0)
        )

    @property
    def unstored(self) -> bool:
        """Whether there are artifacts whose content is not in the store yet, or writes that were not tried."""
        return bool(self._sources) or (self._writing is not None and self._writing.untried)

    async def store(self) -> None:
        """Put the content of artifacts into the store, piece by piece; what names it comes with the completion.

        What is to be written to the store's database is tried. Raises `RipresaError(transaction_failed)`.
        """
        if self._writing is not None and self._writing.untried:
            await self._writing.try_out()
        sources, self._sources = self._sources, []
        for name, media_type, source in sources:
            whole, size, digests = sha256(), 0, list[str]()
            pieces = _pieces(source)
            while piece := await self._driver.engine.threads.run(partial(next, pieces, b"")):
                whole.update(piece)
                size += len(piece)
                digest = sha256(piece).hexdigest()
                digests.append(digest)
                await self._driver.engine.store.put_blobs(((digest, piece),))
            if self._driver.budget is not None:
                await self._driver.budget.store(self._running, size)
            content = self._driver.keeper.keep(json.dumps(digests).encode())
            self.artifacts.append((name, media_type, whole.hexdigest(), size, content))

    def facts(self, at: int, path: str, attempt: int, *, completed: bool) -> Iterator[Fact]:
        """What was reported since the last time, as facts."""
        if completed:
            if self._session is not None:
                yield from self._session.facts(at, path, attempt)
            if self._mailing is not None:
                yield from self._mailing.facts(at, path, attempt)
            if self._writing is not None and self._writing.count:
                yield self._writing.fact(at, path, attempt)
            artifacts, self.artifacts = self.artifacts, []
            for name, media_type, digest, size, content in artifacts:
                yield ArtifactSaved(at, path, attempt, name, media_type, digest, size, content)
        told, self._told = self._told, []
        for each in told:
            yield Interacted(at, path, attempt, *each)
        if self.tokens or self.cost or self.unpriced:
            yield UsageReported(at, path, attempt, self.tokens, self.cost, self.unpriced)
            self.tokens, self.cost, self.unpriced = 0, 0.0, 0
        if self._files:
            files, self._files = tuple(self._files), {}
            yield FilesTouched(at, path, attempt, files)


def _pieces(source: Source) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield from (source[start : start + CHUNK] for start in range(0, len(source), CHUNK))
        return
    with open(source, "rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def reported(report: Report, fact: Fact) -> Iterator[Fact]:
    """What is recorded before the fact that ends an attempt."""
    at, path, attempt = fact.at, getattr(fact, "path", ""), getattr(fact, "attempt", 0)
    return report.facts(at, path, attempt, completed=isinstance(fact, StepCompleted))


SHARING: Final = frozenset(
    (SessionWritten, SessionEntered, ArtifactSaved, MessageQueued, Dispatched, RowsWritten, HooksSet)
)
"""Facts that change what runs share, or how the run shares in it."""


def shared_by(
    fact: SessionWritten | ArtifactSaved | MessageQueued | Dispatched | RowsWritten, head: RunHead, values: Values
) -> Shared:
    """What the store changes with this fact."""
    if isinstance(fact, RowsWritten):
        return Written(head.id, decode_statements(values.text(fact.body)))
    if isinstance(fact, MessageQueued | Dispatched):
        return Outgoing(head.id, fact.path, fact.kind, fact.target, fact.id, values.text(fact.body), fact.at)
    if isinstance(fact, SessionWritten):
        return SessionWrite(fact.session, fact.name, fact.op, values.text(fact.value), fact.at)
    scope = f"session:{head.session}" if head.session else f"run:{head.id}"
    content = values.text(fact.content).decode()
    saved = fact.name, head.id, fact.path, fact.media_type, fact.digest, fact.size, fact.at, content
    return ArtifactSave(scope, *saved)
