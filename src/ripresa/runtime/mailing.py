"""What a step sends out of its run: kept until it completes, and made facts then.

Law: what is sent becomes durable in the batch of the completion and is delivered after it; an attempt that fails or is
lost sends nothing. Usable from any thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from ..authoring.call import pending
from ..authoring.encoding import encode
from ..authoring.single import runnable_of
from ..core.events import Fact, MessageQueued
from ..core.frames import StreamFrame
from ..errors import InvalidValue
from ..messages import Signal
from .bodies import encode_signal
from .ids import checked_id
from .targets import target_of

if TYPE_CHECKING:
    from .attempts import Running
    from .driver import Driver


@dataclass(frozen=True, slots=True)
class QueuedStart:
    """A run that is to begin: the body of what is sent to start one."""

    run: str
    workflow: str
    version: str
    definition: str
    target: str
    input: bytes
    parent: str = ""
    """The run that starts it."""
    reports: bool = False
    """Whether that one is told how it ends."""
    session: str = ""
    deadline: int = 0
    """When it is out of time with the one that starts it, in microseconds since 1970; 0 for never."""

    def encode(self) -> bytes:
        """As JSON text."""
        return json.dumps({**asdict(self), "input": self.input.decode()}).encode()

    @classmethod
    def decode(cls, body: bytes) -> QueuedStart:
        """What `encode` wrote."""
        fields = json.loads(body)
        return cls(**{**fields, "input": fields["input"].encode()})


class _Letter(NamedTuple):
    kind: str
    target: str
    id: str
    body: bytes


class Mailing:
    """What one attempt sends."""

    def __init__(self, driver: Driver, running: Running) -> None:
        self._driver = driver
        self._running = running
        self._lock = Lock()
        self._letters: list[_Letter] = []
        self._count = 0

    def send(self, run: str, signal: Signal[Any], value: object, id: str) -> None:
        """See `StepContext.send`."""
        text = encode(value, signal.type, where=signal.name, code="invalid_input")
        id = checked_id(id or None, "send") or self._new_id(attempt=True)
        self._add(_Letter("signal", _target(run, "send"), id, encode_signal(signal.name, text, id, self._running.run)))

    def start(self, call: Any, id: str) -> str:
        """See `StepContext.start`."""
        asked = pending(call, "start")
        runnable = runnable_of(asked.callee)
        definition = runnable.definition
        run = checked_id(id or None, "start") or self._new_id(attempt=isinstance(self._running.frame, StreamFrame))
        self._driver.engine.outbox.remember(runnable)
        text = runnable.encode_input(asked.args, asked.kwargs)
        place = (run, definition.name, definition.version, definition.hash, target_of(runnable), text)
        start = QueuedStart(*place, self._running.run)
        self._add(_Letter("start", run, run, start.encode()))
        return run

    def queue(self, kind: str, value: object, target: str, id: str) -> None:
        """See `StepContext.queue`."""
        from .outbox import KINDS

        if not kind or not kind.isprintable() or len(kind) > 200 or kind in KINDS:
            raise InvalidValue(f"{kind!r} is no kind of a sender of one's own", op="queue")
        id = checked_id(id or None, "queue") or self._new_id(attempt=True)
        self._add(_Letter(kind, target, id, encode(value, where=kind, code="invalid_input")))

    @property
    def waiting(self) -> bool:
        """Whether anything was sent since the last time."""
        return bool(self._letters)

    def facts(self, at: int, path: str, attempt: int) -> Iterator[Fact]:
        """What was sent since the last time, as facts."""
        with self._lock:
            letters, self._letters = self._letters, []
        for letter in letters:
            body = self._driver.keeper.keep(letter.body)
            yield MessageQueued(at, path, attempt, letter.kind, letter.target, letter.id, body)

    def forget(self) -> None:
        """Send nothing of it."""
        with self._lock:
            self._letters = []

    def _add(self, letter: _Letter) -> None:
        with self._lock:
            self._letters.append(letter)

    def _new_id(self, *, attempt: bool) -> str:
        """An id that nothing else has: the run's own with a digest of the place, of the attempt too where it counts.

        A step completes once, a stream batch by batch, in several attempts.
        """
        with self._lock:
            self._count += 1
            number = self._count
        place = f"{self._running.key}#{self._running.number if attempt else ''}/{number}"
        return f"{self._running.run[:160]}.{sha256(place.encode()).hexdigest()[:16]}"


def _target(run: object, op: str) -> str:
    if not isinstance(run, str) or not run:
        raise InvalidValue(f"{run!r} is no id of a run", op=op)
    return run
