"""What a fork or a migrated run takes over: recorded results, each with what it was computed of and what it wrote.

Law: a result is taken over only by a step of the same name that is given the same input and finds the same in the
fields of the state that were looked at: the one at the same place, or, for `pure` and `read` steps, one anywhere. What
was given by hand is taken by the step at that place, whatever its input.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..authoring.migration import StreamPlace
from ..core.codec import failure_from, failure_plain
from ..core.commands import RunStep
from ..core.events import ChildEnded, Dispatched, Fact, Failure, StepFailed, StepReused, StepStarted, Write
from ..core.frames import OPEN, CallFrame, Frame, StreamFrame
from ..core.merge import read
from ..core.values import Value
from .attempts import bound_at

if TYPE_CHECKING:
    from .driver import Driver

ANYWHERE: Final = ("pure", "read")
"""Effects of steps whose result is as good at another place."""

CHANGING: Final = ("reversible", "irreversible")
"""Effects of steps that change the world in a way that doing them again does not leave as it was."""


SAYS_WHAT_IT_READ: Final = 3
"""The first rules of the core by which a completed step says which fields of the state it looked at."""


class Result(NamedTuple):
    """What a step returned, what it wrote to the state, which fields it looked at, and what stands for their values."""

    output: bytes
    writes: tuple[Write, ...] = ()
    reads: tuple[str, ...] = ()
    seen: str = ""


class Reuse:
    """Results by place, step and input; for what a run schedules in one `generation` only."""

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation
        self._given: dict[str, Result] = {}
        self._failed: dict[str, Failure] = {}
        self._streams: dict[str, StreamPlace] = {}
        self._sent: dict[str, tuple[str, ...]] = {}
        self._ended: dict[str, str] = {}
        self.own: set[str] = set()
        """The steps that the run did itself, and that would be undone with it."""
        self.lasting: set[str] = set()
        """The steps that did what cannot be undone."""
        self.anew: dict[str, int] = {}
        """Where something is sent that was not to be taken over, and the number of the event that says so."""
        self._known: dict[tuple[str, str, str], Result] = {}
        self._alike: dict[tuple[str, str], list[Result]] = {}

    def heir(self, generation: int) -> Reuse:
        """What goes on to be known when the run is taken back: what it was told of others, and what it sent anew."""
        found = Reuse(generation)
        found._ended, found.anew = dict(self._ended), dict(self.anew)
        return found

    def give(self, path: str, result: Result) -> None:
        """Let the step at this path return this, and write this."""
        self._given[path] = result

    def fail(self, path: str, failure: Failure) -> None:
        """Let the step at this path fail like this."""
        self._failed[path] = failure

    def go_on(self, path: str, place: StreamPlace) -> None:
        """Let the stream at this path go on from this place."""
        self._streams[path] = place

    def send(self, path: str, fact: Dispatched) -> None:
        """Let what is sent at this path be what was sent before."""
        self._sent[path] = (fact.kind, fact.target, fact.id, _text(fact.body), fact.close)

    def end(self, fact: ChildEnded) -> None:
        """Let a run that was started be known to have returned this."""
        self._ended[fact.run] = _text(fact.output)

    def sent(self, driver: Driver, path: str) -> Dispatched | None:
        """The fact that something was sent from a path before the run was migrated."""
        found = self._sent.get(path)
        if found is None or driver.state.generation != self.generation:
            return None
        kind, target, id, body, close = found
        return Dispatched(driver.state.at, path, kind, target, id, body.encode(), close, again=True)

    def ended(self, run: str) -> ChildEnded | None:
        """The fact that a run which was started has completed, if it was heard of before the run was migrated."""
        output = self._ended.get(run)
        return None if output is None else ChildEnded(0, run, "completed", output.encode())

    def keep(self, path: str, name: str, digest: str, result: Result) -> None:
        """Let the step at this path return this if it is given the same input and sees the same."""
        self._known[path, name, digest] = result

    def keep_anywhere(self, name: str, digest: str, result: Result) -> None:
        """Let any step of this name return this if it is given the same input and sees the same."""
        alike = self._alike.setdefault((name, digest), [])
        if all(each[2:] != result[2:] for each in alike):
            alike.append(result)

    def find(self, driver: Driver, command: RunStep) -> tuple[Fact, ...]:
        """The facts by which an attempt need not run, or goes on where its stream had come to."""
        frame = driver.state.frames.get(command.path)
        if not isinstance(frame, CallFrame) or frame.phase != OPEN or frame.generation != self.generation:
            return ()
        if command.path in self._streams:
            return self._streamed(driver, frame)
        found = self._found(driver, frame, command.attempt) if type(frame) is CallFrame else None
        if found is None:
            return ()
        begun = isinstance(found, StepReused) and found.given and command.path in self.lasting
        return (StepStarted(found.at, command.path, command.attempt), found) if begun else (found,)

    def _streamed(self, driver: Driver, frame: CallFrame) -> tuple[Fact, ...]:
        """What became of a stream: it has ended, goes on, or cannot."""
        from .stream_places import fact_of, misfit

        path, place = frame.path, self._streams[frame.path]
        if frame.attempt > 1:
            return ()
        given = self._result_at(driver, frame, 1)
        if given is not None:
            return (fact_of(driver, path, place), given) if isinstance(frame, StreamFrame) else (given,)
        why = misfit(driver, frame, place)
        if not why:
            return (fact_of(driver, path, place),)
        message = f"the stream at {path!r} cannot go on after {place.taken} items: {why}"
        return (StepFailed(driver.state.at, path, 1, Failure("migration_failed", message, path=path, attempt=1)),)

    def _result_at(self, driver: Driver, frame: CallFrame, attempt: int) -> StepReused | None:
        given = self._given.get(frame.path)
        if given is None:
            return None
        at, own = driver.state.at, frame.path in self.own
        return StepReused(
            at, frame.path, attempt, given.output, True, writes=given.writes, reads=given.reads, own=own
        )  # fmt: skip

    def _found(self, driver: Driver, frame: CallFrame, attempt: int) -> Fact | None:
        at, path = driver.state.at, frame.path
        failure = self._failed.get(path)
        if failure is not None and attempt == 1:
            return StepFailed(at, path, attempt, failure)
        given = self._result_at(driver, frame, attempt)
        if given is not None:
            return given
        name = bound_at(driver, frame).step.options.name
        digest = digest_of_input(driver.values.text, frame.input)
        if driver.state.core < SAYS_WHAT_IT_READ and shares_state(driver, frame):
            return None
        known = self._known.get((path, name, digest))
        for result in (*(() if known is None else (known,)), *self._alike.get((name, digest), ())):
            if digest_of_state(driver, frame, result.reads) == result.seen:
                return StepReused(at, path, attempt, result.output, writes=result.writes, reads=result.reads)
        return None

    def encode(self) -> bytes:
        """As JSON."""
        data: list[Any] = [
            [[path, *_plain(result)] for path, result in self._given.items()],
            [[*place, *_plain(result)] for place, result in self._known.items()],
            [[*place, *_plain(result)] for place, results in self._alike.items() for result in results],
        ]
        more = {
            "failed": {path: failure_plain(failure) for path, failure in self._failed.items()},
            "streams": {path: asdict(place) for path, place in self._streams.items()},
            "sent": self._sent,
            "ended": self._ended,
            "own": sorted(self.own),
            "lasting": sorted(self.lasting),
            "anew": self.anew,
        }
        if any(more.values()):
            data.append({name: held for name, held in more.items() if held})
        return json.dumps(data, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes, generation: int) -> Reuse:
        """What `encode` wrote."""
        found = cls(generation)
        given, known, alike, *rest = json.loads(text)
        more: dict[str, Any] = rest[0] if rest else {}
        for path, *rest in given:
            found._given[path] = _result(*rest)
        found._failed = {path: failure_from(failure) for path, failure in more.get("failed", {}).items()}
        found._streams = {path: StreamPlace(**place) for path, place in more.get("streams", {}).items()}
        found.own, found.lasting = set(more.get("own", ())), set(more.get("lasting", ()))
        found._sent, found._ended, found.anew = more.get("sent", {}), more.get("ended", {}), more.get("anew", {})
        for path, name, digest, *rest in known:
            found._known[path, name, digest] = _result(*rest)
        for name, digest, *rest in alike:
            found._alike.setdefault((name, digest), []).append(_result(*rest))
        return found


def _plain(result: Result) -> list[Any]:
    """A result as JSON: the output, and only where there is a state the rest."""
    output = result.output.decode()
    if not result.writes and not result.reads:
        return [output]
    writes = [
        [write.field, write.op, _text(write.value), write.by, _text(write.operand)] for write in result.writes
    ]  # fmt: skip
    return [output, writes, list(result.reads), result.seen]


def _text(value: Value) -> str:
    assert isinstance(value, bytes)  # what a step wrote is a text, or names one
    return value.decode()


def _result(output: str, writes: Iterable[Any] = (), reads: Iterable[str] = (), seen: str = "") -> Result:
    made = (
        Write(field, op, value.encode(), by, operand.encode()) for field, op, value, by, operand in writes
    )  # fmt: skip
    return Result(output.encode(), tuple(made), tuple(reads), seen)


def digest_of_input(text: Callable[[Value], bytes], value: Value) -> str:
    """What stands for an input: equal for equal ones."""
    return sha256(text(value)).hexdigest()[:32]


def shares_state(driver: Driver, frame: Frame) -> bool:
    """Whether what runs at a place shares a state."""
    shared = driver.state.shared
    return shared is not None and shared.scope(frame) is not None


def digest_of_state(driver: Driver, frame: Frame, reads: tuple[str, ...]) -> str:
    """What stands for the values of some fields as they are seen from a place; empty for no fields."""
    shared = driver.state.shared
    if not reads or shared is None:
        return ""
    fields, found = shared.visible(frame), sha256()
    for name in reads:
        held = fields.get(name)
        text = b"-" if held is None else b"=" + read(held, driver.values.text)
        found.update(b"%b %d:%b" % (name.encode(), len(text), text))
    return found.hexdigest()[:32]
