"""Durable functions as generators: what a simulation plays in their place.

Law: a script is a pure function of its input and of the outcomes that it is told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeAlias

from ..core.events import Asked, CallSpec, Failure, Raised, Returned
from ..core.nodes.dynamic import DynamicFrame, Outcome
from ..core.nodes.node import Node
from ..core.retry import type_key
from ..core.state import RunState
from ..core.values import Pick, Value
from ..errors import StepError


@dataclass(frozen=True, slots=True)
class Wish:
    """A call that a scripted function yields: its kind (`step`, `flow`, `sleep` or `wait`), name and input."""

    kind: str
    name: str
    input: Any = None
    shape: str = ""


def call(name: str, input: Any = None) -> Wish:
    """A step to be called."""
    return Wish("step", name, input)


def flow(name: str, input: Any = None) -> Wish:
    """A flow to be called."""
    return Wish("flow", name, input)


def sleep(microseconds: int) -> Wish:
    """A durable wait."""
    return Wish("sleep", "sleep", microseconds)


def wait(signal: str, microseconds: int = 0) -> Wish:
    """The next signal of this name; 0 waits for ever."""
    return Wish("wait", signal, microseconds, signal)


@dataclass(frozen=True, slots=True)
class Race:
    """Several calls of which the first that ends counts; the others are given up."""

    wishes: tuple[Wish, ...]


Yielded: TypeAlias = Wish | tuple[Wish, ...] | Race
Script: TypeAlias = Callable[[Any], Generator[Yielded, Any, Any]]
"""A durable function as a generator: it yields a wish, a tuple of them (all of them) or a `Race`, and is sent results.

A failed call is thrown in as `StepError`, a cancellation as `Cancelled`.
"""


class Cancelled(Exception):
    """Thrown into a scripted function that is cancelled."""


def resume_script(
    script: Script,
    state: RunState,
    frame: DynamicFrame,
    first: int,
    flows: Mapping[str, Node[Any]] = MappingProxyType({}),
) -> Asked | Returned | Raised:
    """What a scripted function does when it is told the outcomes from number `first`: the answer to `Resume`.

    The flows that it asks for are taken from `flows` by name and made known to the run's definition.
    """
    function = _Playback(script, plain(frame.input))
    for outcome in frame.outcomes[:first]:
        function.feed(outcome)
    known, gone = frame.asked, len(function.dropped)
    for outcome in frame.outcomes[first:]:
        function.feed(outcome)
    function.close()
    if function.failure is not None:
        return Raised(state.at, frame.path, function.failure)
    if function.ended:
        return Returned(state.at, frame.path, text(function.value))
    calls: list[CallSpec] = []
    for spec in function.asked[known:]:
        if spec.kind == "flow":
            shape = state.definition.add_flow(frame.prefix + spec.segment, flows[spec.segment.partition("#")[0]])
            spec = replace(spec, shape=shape)
        calls.append(spec)
    return Asked(state.at, frame.path, tuple(calls), tuple(function.dropped[gone:]))


class _Playback:
    """A scripted function as far as some outcomes lead it."""

    def __init__(self, script: Script, input: Any) -> None:
        self.script = script(input)
        self.asked: list[CallSpec] = []
        self.dropped: list[int] = []
        self.waiting: list[int] = []
        self.results: dict[int, Any] = {}
        self.yielded: Yielded = ()
        self.names: dict[str, int] = {}
        self.ended = False
        self.value: Any = None
        self.failure: Failure | None = None
        self._step(lambda: next(self.script))

    def feed(self, outcome: Outcome) -> None:
        """Tell it how a call ended, if it still waits for it."""
        if outcome.key == 0:
            self._throw(Cancelled())
        elif outcome.key in self.waiting:
            self.waiting.remove(outcome.key)
            if outcome.failure is not None:
                self._throw(_Recorded(outcome.failure))
            else:
                self._took(outcome.key, plain(outcome.value))

    def close(self) -> None:
        """Throw the generator away."""
        with suppress(RuntimeError):  # it yields while it is closed
            self.script.close()

    def _took(self, key: int, value: Any) -> None:
        self.results[key] = value
        if isinstance(self.yielded, Wish | Race):
            self._drop()
            self._send(value)
        elif not self.waiting:
            self._send([self.results[key] for key in sorted(self.results)])

    def _drop(self) -> None:
        self.dropped += self.waiting
        self.waiting = []

    def _send(self, value: Any) -> None:
        self._step(lambda: self.script.send(value))

    def _throw(self, error: Exception) -> None:
        if not self.ended:
            self._drop()
            self._step(lambda: self.script.throw(error))

    def _step(self, go_on: Callable[[], Yielded]) -> None:
        self.results = {}
        try:
            self.yielded = go_on()
        except StopIteration as stop:
            self.ended, self.value = True, stop.value
        except _Recorded as error:
            self.ended, self.failure = True, error.failure
        except StepError as error:
            self.ended, self.failure = True, failure_of(error, "", 0)
        except Cancelled:
            self.ended, self.failure = True, Failure("cancelled", "the function was cancelled")
        else:
            self._ask()

    def _ask(self) -> None:
        yielded = self.yielded
        wishes = yielded.wishes if isinstance(yielded, Race) else (yielded,) if isinstance(yielded, Wish) else yielded
        for wish in wishes:
            count = self.names[wish.name] = self.names.get(wish.name, 0) + 1
            segment = wish.name if count == 1 else f"{wish.name}#{count}"
            self.asked.append(CallSpec(len(self.asked) + 1, wish.kind, segment, text(wish.input), wish.shape))
            self.waiting.append(len(self.asked))


class _Recorded(StepError):
    """The failure of a call, as a scripted function sees it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, retryable=failure.retryable)
        self.failure = failure


# --- values


def text(value: Any) -> bytes:
    """A value as JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def plain(value: Value) -> Any:
    """What a value says."""
    if isinstance(value, Pick):
        return plain(value.source)[value.index]
    return json.loads(value) if isinstance(value, bytes) else [plain(part) for part in value]


def failure_of(error: StepError, path: str, attempt: int) -> Failure:
    """What a step raised, as data."""
    types = tuple(type_key(kind) for kind in type(error).__mro__ if kind not in (object, BaseException))
    return Failure(error.code, error.message, types, error.retryable, path, attempt)
