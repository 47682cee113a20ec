"""Runs a workflow in virtual time, in a seeded order and under injected faults: thousands of schedules in seconds.

The simulator is a driver of its own over the same core and a store. Steps, answers and durable functions are plain
functions here; nothing waits, and no thread or event loop is involved. The process "crashes" before an append, after
one, and while steps are under way; what is left is the journal, and the run is taken over from it. Whatever happens,
a run has to end as the undisturbed one does, and no finished step may run again::

    simulation = Simulation(definition, steps={"fetch": lambda attempt: attempt.input + 1}, input=41)
    simulation.check(range(1000))

Law: everything follows from the seed. A `Discrepancy` names it, and `simulation.run(seed, faults)` repeats the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

from ..core.advance import advance, outstanding
from ..core.codec import decode_events, encode_events, encode_state
from ..core.commands import (
    Ask,
    CancelStep,
    ClearTimer,
    Command,
    Intercept,
    Proceed,
    Resume,
    RunStep,
    SetTimer,
)
from ..core.definition import Definition
from ..core.events import (
    Answered,
    AnswerFailed,
    Asked,
    AttemptLost,
    CallSpec,
    CancelRequested,
    ContinueRequested,
    Event,
    Fact,
    Failure,
    Intercepted,
    PauseRequested,
    Raised,
    Recorded,
    Returned,
    RunCompleted,
    RunReopened,
    RunStarted,
    RunTaken,
    SignalReceived,
    StepCompleted,
    StepFailed,
    TerminateRequested,
    TimerFired,
)
from ..core.frames import CallFrame
from ..core.lifecycle import TERMINAL
from ..core.nodes.dynamic import Dynamic, DynamicFrame, Outcome
from ..core.nodes.node import Node
from ..core.replay import replay
from ..core.retry import ONCE, Retry, retry_after, spread_of, type_key
from ..core.state import RunState
from ..core.values import Pick, Value
from ..errors import IllegalTransition, StepError
from ..ports import Batch, Request, RunHead, Store
from ..stores.memory import Memory, MemoryStore
from .interceptors import Interceptor, nobody_minds

START: Final = 1_700_000_000_000_000
"""The moment at which every simulated run begins, in microseconds since 1970."""

NEAR: Final = 10_000_000
"""What is due within so many microseconds may change places."""

RUN: Final = "simulated"

T = TypeVar("T")


# --- what is simulated


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault is, from 0 to 1, wherever it can happen.

    `crash`: the process dies (at most `crashes` times in a run). `delay`: a report or timer comes much later.
    `duplicate`: a report comes twice, the second time perhaps to the next owner. `reorder`: what is due
    within some seconds changes places. `lose`: an attempt never reports.
    """

    crash: float = 0.0
    delay: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    lose: float = 0.0
    crashes: int = 4


STORM: Final = Faults(crash=0.1, delay=0.2, duplicate=0.2, reorder=0.5, lose=0.05)
"""All faults, as often as a run can bear and still show something."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a simulated step is given: where it stands, the number of the attempt (from 1), its decoded input."""

    path: str
    number: int
    input: Any


Step: TypeAlias = Callable[[Attempt], Any]
"""Returns the step's result, or raises `StepError` to fail."""

Answer: TypeAlias = Callable[[str, Any], Any]
"""Given a node's question ("choose", "while", "count", ...) and what it is about, decoded."""


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


class Discrepancy(AssertionError):
    """A simulated run did not end as the undisturbed one."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a simulated run ended: its journal, and every attempt that ran, in order."""

    seed: int
    status: str
    output: Any
    events: tuple[Recorded, ...]
    executed: tuple[tuple[str, int], ...]
    crashes: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """A workflow with functions in the place of its code, ready to be run under any seed.

    `steps` and `answers` are found by the name of their node (what follows a # does not count), `functions` by their
    workflow, `flows` by the name under which functions call them; a "count" needs no answer. `requests` are
    what others ask of the run ("cancel", "terminate", "pause", "continue", "resume", or "signal:" and its name, whose
    value is that name), in order, each with the number of reports and timers after which it is asked; sooner where
    nothing else is left to happen. `hooks` are the points
    at which the `interceptor` stands, as a run records them ("before *"); its answers take their time.
    """

    definition: Definition
    steps: Mapping[str, Step]
    answers: Mapping[str, Answer] = field(default_factory=dict[str, Answer])
    functions: Mapping[str, Script] = field(default_factory=dict[str, Script])
    flows: Mapping[str, Node[Any]] = field(default_factory=dict[str, Node[Any]])
    input: Any = None
    retry: Retry = ONCE
    deadline: int = 0
    requests: tuple[tuple[int, str], ...] = ()
    hooks: tuple[str, ...] = ()
    interceptor: Interceptor = nobody_minds

    def run(self, seed: int = 0, faults: Faults = Faults()) -> Result:
        """One run. Raises `Discrepancy` if it gets stuck, or if a finished step runs again."""
        return _World(self, seed, faults).play()

    def check(self, seeds: Iterable[int], faults: Faults = STORM) -> list[Result]:
        """A run for each seed, each compared with the undisturbed one. Raises `Discrepancy` at the first other end."""
        expected = self.run()
        results: list[Result] = []
        for seed in seeds:
            found = self.run(seed, faults)
            if (found.status, found.output) != (expected.status, expected.output):
                raise Discrepancy(
                    f"with seed {seed} the run is {found.status} with {found.output!r}; undisturbed it is "
                    f"{expected.status} with {expected.output!r}; repeat it: simulation.run({seed}, {faults!r})"
                )
            results.append(found)
        return results


# --- the world of one run


class _Crash(Exception):
    """The process dies."""


@dataclass(slots=True)
class _Due:
    """Something that will be reported: the outcome of an attempt or a timer; `stale` survives a crash."""

    at: int
    fact: StepCompleted | StepFailed | AttemptLost | TimerFired | Intercepted
    stale: bool = False

    def reports(self, command: CancelStep) -> bool:
        """Whether this is the first report of the attempt that is to be stopped."""
        fact = self.fact
        if self.stale or isinstance(fact, TimerFired | Intercepted):
            return False
        return (fact.path, fact.attempt) == (command.path, command.attempt)


_REQUESTS: Final[dict[str, Callable[[int], Fact]]] = {
    "cancel": lambda at: CancelRequested(at, "simulated"),
    "terminate": lambda at: TerminateRequested(at, "simulated"),
    "pause": PauseRequested,
    "continue": ContinueRequested,
    "resume": RunReopened,
}


def _asked_for(kind: str, at: int) -> Fact:
    what, _, signal = kind.partition(":")
    return SignalReceived(at, signal, _text(signal)) if signal else _REQUESTS[what](at)


class _World:
    """Virtual time, the store, and the one process that owns the run, until it crashes."""

    def __init__(self, simulation: Simulation, seed: int, faults: Faults) -> None:
        self.simulation = simulation
        self.seed = seed
        self.faults = faults
        self.random = Random(seed)
        self.now = START
        self.memory = Memory()
        self.store = self._process()
        self.state = RunState(simulation.definition)
        self.agenda: list[_Due] = []
        self.requests = list(simulation.requests)
        self.refused: set[int] = set()
        self.delivered = 0
        self.crashes = 0
        self.executed: list[tuple[str, int]] = []
        self.begun: set[tuple[str, int, int]] = set()
        self.finished: set[tuple[str, int]] = set()
        self.status = ""

    def play(self) -> Result:
        """The whole run."""
        self._survive(self._begin)
        while self._turn():
            self.delivered += 1
        events = tuple(self._read())
        if encode_state(replay(RunState(self.simulation.definition), events)) != encode_state(self.state):
            raise self._wrong("the journal gives another state than the run had")
        if self.state.status not in (*TERMINAL, "paused"):
            raise self._wrong(f"the run is {self.state.status} and waits for nothing")
        output = next((_plain(text) for text in _outputs(events)), None)
        return Result(self.seed, self.state.status, output, events, tuple(self.executed), self.crashes)

    def _turn(self) -> bool:
        """Let the next thing happen; False if nothing is left."""
        if self.requests and (self.delivered >= self.requests[0][0] or not self.agenda):
            _now(self.store.put(RUN, self.requests.pop(0)[1], b"{}"))
        pending = [request for request in _now(self.store.pending([RUN])) if request.number not in self.refused]
        if pending:
            self._survive(lambda: self._request(pending[0]))
            return True
        if not self.agenda:
            return bool(self.requests)
        due = self._pick()
        self.now = max(self.now, due.at)
        self._survive(lambda: self._deliver(due))
        return True

    def _pick(self) -> _Due:
        self.agenda.sort(key=lambda due: due.at)
        near = sum(due.at <= self.agenda[0].at + NEAR for due in self.agenda)
        return self.agenda.pop(self.random.randrange(near) if self._happens(self.faults.reorder) else 0)

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self.random.random() < chance

    def _wrong(self, what: str) -> Discrepancy:
        return Discrepancy(f"with seed {self.seed} {what}; repeat it: simulation.run({self.seed}, {self.faults!r})")

    # --- crashes

    def _survive(self, action: Callable[[], None]) -> None:
        """Do it; after a crash, go on from the journal instead."""
        while True:
            try:
                action()
            except _Crash:
                action = self._recover
            else:
                return

    def _boundary(self) -> None:
        """A place where the process may die."""
        if self.crashes < self.faults.crashes and self._happens(self.faults.crash):
            self.crashes += 1
            raise _Crash

    def _process(self) -> Store:
        store = MemoryStore(self.memory)
        _now(store.open())
        return store

    def _recover(self) -> None:
        """Another process takes the run over: all that it has is the journal."""
        self.agenda = [due for due in self.agenda if due.stale]
        _now(self.store.close())
        self.store = self._process()
        self.state = RunState(self.simulation.definition)
        if _now(self.store.find_run(RUN)) is None:
            self._begin()
            return
        epoch = _now(self.store.claim(RUN))
        assert epoch is not None
        replay(self.state, self._read())
        unfinished = outstanding(self.state)
        self._commit(RunTaken(self._at(), epoch, f"process {epoch}"))
        self._perform([command for command in unfinished if isinstance(command, SetTimer | Intercept)])
        for command in unfinished:
            if isinstance(command, RunStep):
                self._commit(self._judged(AttemptLost(self._at(), command.path, command.attempt, "crashed")))

    def _read(self) -> Iterable[Recorded]:
        for row in _now(self.store.read(RUN)):
            yield from decode_events(row.data, RUN, row.seq)

    # --- facts

    def _at(self) -> int:
        return max(self.now, self.state.at)

    def _begin(self) -> None:
        definition, deadline = self.simulation.definition, self.simulation.deadline
        due = self.now + deadline if deadline else 0
        input = _text(self.simulation.input)
        self._commit(
            RunStarted(
                self.now,
                RUN,
                definition.name,
                definition.version,
                definition.hash,
                input,
                1,
                deadline=due,
                hooks=self.simulation.hooks,
            )
        )

    def _request(self, request: Request) -> None:
        try:
            self._commit(_asked_for(request.kind, self._at()), taken=(request.number,))
        except IllegalTransition:
            self.refused.add(request.number)

    def _deliver(self, due: _Due) -> None:
        self._boundary()
        if not due.stale and self._happens(self.faults.duplicate):
            self.agenda.append(_Due(due.at + self.random.randrange(2_000_000), due.fact, stale=True))
        fact = due.fact
        if isinstance(fact, TimerFired):
            self._commit(TimerFired(max(self._at(), fact.at), fact.path))
        elif isinstance(fact, StepCompleted | Intercepted):
            self._commit(replace(fact, at=self._at()))
        else:
            self._commit(self._judged(fact))

    def _judged(self, fact: StepFailed | AttemptLost) -> Fact:
        """The report of a failed attempt with the moment of the next one."""
        frame = self.state.frames.get(fact.path)
        tries = frame.attempt - frame.base + 1 if isinstance(frame, CallFrame) else 1
        failure = fact.failure if isinstance(fact, StepFailed) else Failure("attempt_lost", "", retryable=True)
        delay = retry_after(self.simulation.retry, tries, failure, spread_of(1, fact.path, fact.attempt))
        return replace(fact, at=self._at(), retry_at=0 if delay is None else self._at() + round(delay * 1_000_000))

    # --- append, then perform

    def _commit(self, fact: Fact, taken: tuple[int, ...] = ()) -> None:
        """Advance by a fact and by the answers that it leads to; append all of it; perform what is wanted."""
        seq = self.state.seq
        events: list[Event] = []
        effects: list[Command] = []
        asks: list[Ask | Resume] = []
        while True:
            before = self.state.seq
            consequences, commands = advance(self.state, fact)
            if self.state.seq > before:
                events += (fact, *consequences)
            asks += [command for command in commands if isinstance(command, Ask | Resume)]
            effects += [command for command in commands if not isinstance(command, Ask | Resume | Proceed)]
            wanted = [ask for ask in asks if ask in outstanding(self.state)]
            if not wanted:
                break
            asks = wanted[1:]
            fact = self._answered(wanted[0])
        if events:
            self._boundary()
            self._append(seq + 1, events, taken)
            self._boundary()
            self._perform(effects)

    def _append(self, seq: int, events: list[Event], taken: tuple[int, ...]) -> None:
        definition, status = self.simulation.definition, self.state.status
        head = RunHead(RUN, definition.name, definition.version, status, "", START, self.now)
        batch = Batch(
            RUN,
            seq,
            len(events),
            encode_events(events),
            head=head if seq == 1 or status != self.status else None,
            taken=taken,
        )
        _now(self.store.create(batch) if seq == 1 else self.store.append(batch))
        self.status = status
        for event in events:
            if isinstance(event, StepCompleted):
                self.finished.add((event.path, self.state.generation))

    def _perform(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case RunStep():
                    self._run(command)
                case CancelStep():
                    self._stop(command)
                case SetTimer():
                    self._forget_timer(command.path)
                    self.agenda.append(_Due(command.due + self._lag(), TimerFired(command.due, command.path)))
                case ClearTimer():
                    self._forget_timer(command.path)
                case Intercept(path) if path in self.state.gates:
                    answer = self.simulation.interceptor(command, self.state.gates[path])
                    self.agenda.append(_Due(self.now + self.random.randrange(1_000_000) + self._lag(), answer))
                case _:
                    pass  # an answer that nobody waits for changes nothing

    def _lag(self) -> int:
        return self.random.randrange(5_000_000) if self._happens(self.faults.delay) else 0

    def _run(self, command: RunStep) -> None:
        path, number = command.path, command.attempt
        place = path, number, self.state.generation
        if (path, self.state.generation) in self.finished:
            raise self._wrong(f"the finished step {path!r} runs again")
        if place in self.begun:
            raise self._wrong(f"attempt {number} of {path!r} runs twice")
        self.begun.add(place)
        self.executed.append((path, number))
        at = self.now + self.random.randrange(1, 1_000_000) + self._lag()
        self.agenda.append(_Due(at, self._outcome(at, path, number, command.input)))

    def _outcome(self, at: int, path: str, number: int, input: Value) -> StepCompleted | StepFailed | AttemptLost:
        step = self.simulation.steps[self.state.frames[path].node.name.partition("#")[0]]
        if self._happens(self.faults.lose):
            return AttemptLost(at, path, number, "crashed")
        try:
            output = step(Attempt(path, number, _plain(input)))
        except StepError as error:
            return StepFailed(at, path, number, _failure(error, path, number))
        return StepCompleted(at, path, number, _text(output))

    def _stop(self, command: CancelStep) -> None:
        """Half of the attempts that are stopped had ended already."""
        for due in self.agenda:
            if due.reports(command) and self.random.random() < 0.5:
                due.fact = AttemptLost(due.at, command.path, command.attempt, "cancelled")

    def _forget_timer(self, path: str) -> None:
        self.agenda = [
            due for due in self.agenda if due.stale or not isinstance(due.fact, TimerFired) or due.fact.path != path
        ]

    # --- questions

    def _answered(self, command: Ask | Resume) -> Fact:
        frame = self.state.frames[command.path]
        if isinstance(command, Resume):
            assert isinstance(frame, DynamicFrame)
            node = frame.node
            assert isinstance(node, Dynamic)
            script = self.simulation.functions[node.workflow]
            return resume_script(script, self.state, frame, command.first, self.simulation.flows)
        about = _plain(command.value)
        answer = self.simulation.answers.get(frame.node.name)
        if answer is None and command.question == "count":
            return Answered(self._at(), command.path, b"%d" % len(about))
        assert answer is not None, f"nothing answers {command.question!r} of {frame.node.name!r}"
        try:
            return Answered(self._at(), command.path, _text(answer(command.question, about)))
        except StepError as error:
            return AnswerFailed(self._at(), command.path, _failure(error, command.path, 0))


# --- scripted functions


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
    function = _Playback(script, _plain(frame.input))
    for outcome in frame.outcomes[:first]:
        function.feed(outcome)
    known, gone = frame.asked, len(function.dropped)
    for outcome in frame.outcomes[first:]:
        function.feed(outcome)
    function.close()
    if function.failure is not None:
        return Raised(state.at, frame.path, function.failure)
    if function.ended:
        return Returned(state.at, frame.path, _text(function.value))
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
                self._took(outcome.key, _plain(outcome.value))

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
            self.ended, self.failure = True, _failure(error, "", 0)
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
            self.asked.append(CallSpec(len(self.asked) + 1, wish.kind, segment, _text(wish.input), wish.shape))
            self.waiting.append(len(self.asked))


class _Recorded(StepError):
    """The failure of a call, as a scripted function sees it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, retryable=failure.retryable)
        self.failure = failure


# --- values


def _text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(value: Value) -> Any:
    if isinstance(value, Pick):
        return _plain(value.source)[value.index]
    return json.loads(value) if isinstance(value, bytes) else [_plain(part) for part in value]


def _outputs(events: Iterable[Recorded]) -> Iterable[Value]:
    for recorded in events:
        if isinstance(recorded.event, RunCompleted):
            yield recorded.event.output


def _failure(error: StepError, path: str, attempt: int) -> Failure:
    types = tuple(type_key(kind) for kind in type(error).__mro__ if kind not in (object, BaseException))
    return Failure(error.code, error.message, types, error.retryable, path, attempt)


def _now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never really waits, as those of the store in memory."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("the store of a simulation does not wait")
