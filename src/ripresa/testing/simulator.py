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

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final, TypeAlias, TypeVar, cast

from ..authoring.flow import Runnable
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
    Share,
)
from ..core.definition import Definition
from ..core.events import (
    Answered,
    AnswerFailed,
    AttemptLost,
    CancelRequested,
    ContinueRequested,
    Event,
    Fact,
    Failure,
    Intercepted,
    PauseRequested,
    Recorded,
    RunCompleted,
    RunReopened,
    RunStarted,
    RunTaken,
    SignalReceived,
    StepCompleted,
    StepFailed,
    StreamAdvanced,
    TerminateRequested,
    TimerFired,
    UndoRequested,
    VoteCast,
)
from ..core.frames import CANCELLING, ENDED, CallFrame, StreamFrame
from ..core.lifecycle import REWINDABLE, TERMINAL, not_a_place
from ..core.nodes.answer import UPDATES
from ..core.nodes.dynamic import Dynamic, DynamicFrame
from ..core.nodes.node import Node
from ..core.replay import lineage, replay
from ..core.requested import as_request, asks_first
from ..core.retry import ONCE, Retry, retry_after, spread_of
from ..core.state import RunState
from ..core.values import Value
from ..errors import IllegalTransition, RipresaError, StepError
from ..ports import Batch, Request, RunHead, Store
from ..runtime.happened import TakenBack
from ..stores.memory import Memory, MemoryStore
from .going_back import GO_BACK, Way, finished_in, turn, way_back
from .interceptors import Interceptor, nobody_minds
from .real_code import RealCode
from .scripts import (
    Cancelled as Cancelled,
)
from .scripts import Race as Race
from .scripts import Script, failure_of, plain, text
from .scripts import call as call
from .scripts import flow as flow
from .scripts import resume_script as resume_script
from .scripts import sleep as sleep
from .scripts import wait as wait

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
    """What a simulated step is given: where it stands, the number of the attempt (from 1), its decoded input.

    A stream is asked for each `batch` (from 1): it returns the position after it, or None where it ends.
    """

    path: str
    number: int
    input: Any
    batch: int = 0


Step: TypeAlias = Callable[[Attempt], Any]
"""Returns the step's result, or raises `StepError` to fail."""

Answer: TypeAlias = Callable[[str, Any], Any]
"""Given a node's question ("choose", "while", "count", ...) and what it is about, decoded."""


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
    workflow, `flows` by the name under which functions call them; a "count" needs no answer. With `code` (see `of`)
    functions and conditions are those of a real workflow. `requests` are what others ask of the run ("cancel",
    "terminate", "pause", "continue", "resume", "undo", "signal:NAME", whose value is that name, "update:NAME:JSON",
    "approve:PATH:WHO", "reject:PATH:WHO", "rollback:PLACE", a step or the number of an event, whatever is done again
    then), in order, each with the number of reports and timers after which it is asked; sooner where nothing else is
    left to happen.
    `hooks` are the points at which the `interceptor` stands, as a run records them ("before *"); its answers take their
    time. It is asked about requests too, before they happen ("signal *").
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
    code: Runnable[..., Any] | None = None

    @classmethod
    def of(cls, flow: Runnable[..., Any], steps: Mapping[str, Step], **options: Any) -> Simulation:
        """A workflow with its own durable functions, as coroutines, and its own conditions; only steps are given."""
        return cls(flow.definition, steps, code=flow, **options)

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
    fact: StepCompleted | StepFailed | AttemptLost | StreamAdvanced | TimerFired | Intercepted
    stale: bool = False

    @property
    def place(self) -> tuple[str, int]:
        """The attempt that it is about; of a timer and of a hook's answer none."""
        return ("", 0) if isinstance(self.fact, TimerFired | Intercepted) else (self.fact.path, self.fact.attempt)

    def reports(self, command: CancelStep) -> bool:
        """Whether this is the first report of the attempt that is to be stopped."""
        return not self.stale and self.place == (command.path, command.attempt)


_REQUESTS: Final[dict[str, Callable[[int], Fact]]] = {
    "cancel": lambda at: CancelRequested(at, "simulated"),
    "terminate": lambda at: TerminateRequested(at, "simulated"),
    "pause": PauseRequested,
    "continue": ContinueRequested,
    "resume": RunReopened,
    "undo": UndoRequested,
}


def _asked_for(kind: str, at: int) -> Fact:
    what, _, rest = kind.partition(":")
    if what in ("approve", "reject"):
        path, _, by = rest.rpartition(":")
        return VoteCast(at, path, by, what == "approve", id=kind)
    if what == "update":
        name, _, value = rest.partition(":")
        return SignalReceived(at, UPDATES + name, text({"id": kind, "value": value, "by": ""}), kind)
    return SignalReceived(at, rest, text(rest)) if rest else _REQUESTS[what](at)


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
        self.code: RealCode | None = None
        self.state = self._forget_all()
        self.agenda: list[_Due] = []
        self.requests = list(simulation.requests)
        self.refused: set[int] = set()
        self.delivered = 0
        self.crashes = 0
        self.executed: list[tuple[str, int]] = []
        self.begun: set[tuple[str, int, int]] = set()
        self.finished: set[tuple[str, int]] = set()
        self.acknowledged: set[tuple[str, int, int]] = set()
        self.status = ""

    def play(self) -> Result:
        """The whole run."""
        self._survive(self._begin)
        while self._turn():
            self.delivered += 1
        events = tuple(self._read())
        state, code = self.state, self.code
        if encode_state(self._replayed(events)) != encode_state(state):
            raise self._wrong("the journal gives another state than the run had")
        for each in (code, self.code):
            if each is not None:
                each.close()
        if self.state.status not in (*TERMINAL, "paused"):
            raise self._wrong(f"the run is {self.state.status} and waits for nothing")
        output = next((plain(text) for text in _outputs(events)), None)
        return Result(self.seed, self.state.status, output, events, tuple(self.executed), self.crashes)

    def _turn(self) -> bool:
        """Let the next thing happen; False if nothing is left."""
        if self.requests and (self.delivered >= self.requests[0][0] or not self.agenda):
            _now(self.store.put(RUN, self.requests.pop(0)[1], b"{}"))
        pending = [request for request in _now(self.store.pending([RUN])) if request.number not in self.refused]
        if pending:
            self._survive(lambda: self._request(pending[0]))
            self._check()
            return True
        if not self.agenda:
            return bool(self.requests)
        due = self._pick()
        self.now = max(self.now, due.at)
        self._survive(lambda: self._deliver(due))
        self._check()
        return True

    def _check(self) -> None:
        """What holds between any two things that happen: whatever the run waits for is under way, once."""
        attempts = [due.place for due in self.agenda if not due.stale]
        timers = {due.fact.path for due in self.agenda if isinstance(due.fact, TimerFired)}
        for command in outstanding(self.state):
            if isinstance(command, RunStep) and attempts.count((command.path, command.attempt)) != 1:
                raise self._wrong(f"attempt {command.attempt} of {command.path!r} is not under way, or twice")
            if isinstance(command, SetTimer) and command.path not in timers:
                raise self._wrong(f"nobody minds the timer of {command.path!r}")

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
        self.state = self._forget_all()
        if _now(self.store.find_run(RUN)) is None:
            self._begin()
            return
        epoch = _now(self.store.claim(RUN))
        assert epoch is not None
        self._replayed(tuple(self._read()))
        unfinished = outstanding(self.state)
        self._commit(RunTaken(self._at(), epoch, f"process {epoch}"))
        self._perform([command for command in unfinished if isinstance(command, SetTimer | Intercept)])
        for command in unfinished:
            if isinstance(command, RunStep):
                self._commit(self._judged(AttemptLost(self._at(), command.path, command.attempt, "crashed")))

    def _forget_all(self) -> RunState:
        """What a process begins with."""
        flow = self.simulation.code
        if flow is None:
            return RunState(self.simulation.definition)
        if self.code is not None:
            self.code.close()
        self.code = RealCode(flow, RunHead(RUN, flow.definition.name, "", "running", "", START, START))
        return self.code.state

    def _replayed(self, journal: Sequence[Recorded]) -> RunState:
        """The state that a journal leads to, which is the world's from now on."""
        if self.simulation.code is None:
            self.state = replay(RunState(self.simulation.definition), journal)
        else:
            self.code = None
            self.state = self._forget_all()
            cast("RealCode", self.code).replay(journal)
        return self.state

    def _read(self) -> Iterable[Recorded]:
        for row in _now(self.store.read(RUN)):
            yield from decode_events(row.data, RUN, row.seq)

    # --- facts

    def _at(self) -> int:
        return max(self.now, self.state.at)

    def _begin(self) -> None:
        definition, deadline = self.simulation.definition, self.simulation.deadline
        due = self.now + deadline if deadline else 0
        input = text(self.simulation.input)
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
        if request.kind.startswith(GO_BACK):
            self._go_back(request)
            return
        before = self.state.seq
        fact = _asked_for(request.kind, self._at())
        with suppress(IllegalTransition):
            self._commit(as_request(fact) if asks_first(self.state, fact) else fact, taken=(request.number,))
        if self.state.seq == before:  # refused, or nobody waits for it any more
            self.refused.add(request.number)

    def _go_back(self, request: Request) -> None:
        """Whoever rolls a run back owns it anew, and has stopped what it had in flight."""
        journal = tuple(self._read())
        place = request.kind.removeprefix(GO_BACK)
        try:
            if self.state.status not in REWINDABLE:
                raise not_a_place(RUN, len(journal), self.state.status)
            epoch = _now(self.store.claim(RUN, anew=True))
            assert epoch is not None
            taken = RunTaken(self._at(), epoch, f"process {epoch}")
            way = way_back(self.state, journal, place, taken, self.simulation.interceptor)
            if way.open:
                self._turn_back(journal, way, taken, request)
            else:
                self._make_durable(len(journal) + 1, way.before, (), (request.number,))
        except RipresaError:
            self._replayed(journal)
            self.refused.add(request.number)

    def _turn_back(self, journal: Sequence[Recorded], way: Way, taken: RunTaken, request: Request) -> None:
        there = self._replayed(journal[: way.to])
        if TakenBack(journal).of(there):
            raise RipresaError("something there has been undone since", code="effects_undecided", op="rollback")
        events, effects = self._advanced(turn(journal, way, there, taken))
        self.agenda = []
        steps, batches = finished_in(lineage(journal[: way.to]))
        self.finished |= {(path, there.generation) for path in steps}
        self.acknowledged |= {(path, batch, there.generation) for path, batch in batches}
        stopped = [each for each in effects if isinstance(each, RunStep) and self._is_stopped(each)]
        begun = [each for each in effects if each not in stopped and not isinstance(each, CancelStep)]
        self._make_durable(len(journal) + 1, (*way.before, *events), begun, (request.number,))
        for each in stopped:
            self._commit(AttemptLost(self._at(), each.path, each.attempt, "cancelled"))

    def _is_stopped(self, command: RunStep) -> bool:
        return self.state.frames[command.path].phase == CANCELLING

    def _deliver(self, due: _Due) -> None:
        self._boundary()
        if not due.stale and self._happens(self.faults.duplicate):
            self.agenda.append(_Due(due.at + self.random.randrange(2_000_000), due.fact, stale=True))
        fact = due.fact
        if isinstance(fact, TimerFired):
            self._commit(TimerFired(max(self._at(), fact.at), fact.path))
        elif isinstance(fact, StreamAdvanced):
            self._advance_stream(replace(fact, at=self._at()), stale=due.stale)
        elif isinstance(fact, StepCompleted | Intercepted):
            self._commit(replace(fact, at=self._at()))
        else:
            self._commit(self._judged(fact))

    def _advance_stream(self, fact: StreamAdvanced, *, stale: bool) -> None:
        """A batch is acknowledged; on to the next one, or to the end."""
        before = self.state.seq
        self._commit(fact)
        frame = self.state.frames.get(fact.path)
        if stale or self.state.seq == before or not isinstance(frame, StreamFrame) or frame.phase in ENDED:
            return
        self.acknowledged.add((fact.path, fact.batch, self.state.generation))
        at = self.now + self.random.randrange(1, 1_000_000) + self._lag()
        if frame.phase == CANCELLING:
            self.agenda.append(_Due(at, AttemptLost(at, fact.path, fact.attempt, "cancelled")))
        elif fact.ended:
            self.agenda.append(_Due(at, StepCompleted(at, fact.path, fact.attempt, text(fact.batch))))
        else:
            self.agenda.append(_Due(at, self._outcome(at, fact.path, fact.attempt, frame.input)))

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
        events, effects = self._advanced(fact)
        if events:
            self._make_durable(seq + 1, events, effects, taken)

    def _advanced(self, fact: Fact) -> tuple[list[Event], list[Command]]:
        """What follows from a fact and from the answers that it leads to."""
        events: list[Event] = []
        effects: list[Command] = []
        asks: list[Ask | Resume | Proceed] = []
        while True:
            before = self.state.seq
            consequences, commands = advance(self.state, fact)
            if self.state.seq > before:
                events += (fact, *consequences)
            asks += [command for command in commands if isinstance(command, Ask | Resume | Proceed)]
            effects += [command for command in commands if not isinstance(command, Ask | Resume | Proceed | Share)]
            wanted = [ask for ask in asks if ask in outstanding(self.state)]
            if not wanted:
                break
            asks = wanted[1:]
            first = wanted[0]
            fact = first.fact if isinstance(first, Proceed) else self._answered(first)
        return events, effects

    def _make_durable(
        self, seq: int, events: Sequence[Event], effects: Iterable[Command], taken: tuple[int, ...]
    ) -> None:
        self._boundary()
        self._append(seq, events, taken)
        self._boundary()
        self._perform(effects)

    def _append(self, seq: int, events: Sequence[Event], taken: tuple[int, ...]) -> None:
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
            elif isinstance(event, Intercepted) and event.answer == "again":
                self.finished.discard((event.path, self.state.generation))

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

    def _outcome(
        self, at: int, path: str, number: int, input: Value
    ) -> StepCompleted | StepFailed | AttemptLost | StreamAdvanced:
        frame = self.state.frames[path]
        if isinstance(frame, StreamFrame) and frame.ended:  # all that is missing is the report
            return StepCompleted(at, path, number, text(frame.batches))
        step = self._step_of(frame.node.name)
        if self._happens(self.faults.lose):
            return AttemptLost(at, path, number, "crashed")
        batch = self._next_batch(frame) if isinstance(frame, StreamFrame) else 0
        try:
            output = step(Attempt(path, number, plain(input), batch))
        except StepError as error:
            return StepFailed(at, path, number, failure_of(error, path, number))
        if not isinstance(frame, StreamFrame):
            return StepCompleted(at, path, number, text(output))
        if output is None:
            return StreamAdvanced(at, path, number, frame.batches, frame.position, taken=frame.taken, ended="exhausted")
        return StreamAdvanced(at, path, number, batch, text(output), taken=batch)

    def _step_of(self, name: str) -> Step:
        """A step by its name; one that a function called in a coroutine or a saga of its own is named after both."""
        steps = self.simulation.steps
        found = steps.get(name.partition("#")[0])
        return found or steps[name.rpartition(".")[2].partition("#")[0]]

    def _next_batch(self, frame: StreamFrame) -> int:
        batch = frame.batches + 1
        if (frame.path, batch, self.state.generation) in self.acknowledged:
            raise self._wrong(f"batch {batch} of {frame.path!r} is repeated, which was acknowledged")
        return batch

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
        if self.code is not None:
            return self.code.answer(command)
        if isinstance(command, Resume):
            assert isinstance(frame, DynamicFrame)
            node = frame.node
            assert isinstance(node, Dynamic)
            script = self.simulation.functions[node.workflow]
            return resume_script(script, self.state, frame, command.first, self.simulation.flows)
        about = plain(command.value)
        answer = self.simulation.answers.get(frame.node.name)
        if answer is None and command.question == "count":
            return Answered(self._at(), command.path, b"%d" % len(about))
        assert answer is not None, f"nothing answers {command.question!r} of {frame.node.name!r}"
        try:
            return Answered(self._at(), command.path, text(answer(command.question, about)))
        except StepError as error:
            return AnswerFailed(self._at(), command.path, failure_of(error, command.path, 0))


# --- values


def _outputs(events: Iterable[Recorded]) -> Iterable[Value]:
    for recorded in events:
        if isinstance(recorded.event, RunCompleted):
            yield recorded.event.output


def _now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never really waits, as those of the store in memory."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("the store of a simulation does not wait")
