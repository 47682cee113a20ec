"""Plays a run fact by fact, without a loop or a clock, and holds what must be true after every one of them."""

import json
from dataclasses import replace
from typing import Any, TypeAlias

from ripresa.core.advance import accepts, advance, outstanding
from ripresa.core.codec import decode_state, encode_events, encode_state, encode_value
from ripresa.core.commands import (
    Ask,
    CancelStep,
    ClearTimer,
    Command,
    HoldStream,
    Intercept,
    LookUp,
    Proceed,
    Reconcile,
    Resume,
    RunStep,
    SetTimer,
    Share,
    Withdraw,
)
from ripresa.core.definition import Definition
from ripresa.core.events import (
    Answered,
    AnswerFailed,
    Asked,
    AttemptLost,
    CallSpec,
    CancelRequested,
    ChildEnded,
    Consequence,
    ContinueRequested,
    Dispatched,
    Event,
    Fact,
    Failure,
    HooksSet,
    Intercepted,
    LimitReached,
    PauseRequested,
    Raised,
    Reconciled,
    Recorded,
    Requested,
    Returned,
    RolledBack,
    RunCompleted,
    RunForked,
    RunReopened,
    RunStarted,
    RunTaken,
    SignalReceived,
    StateGiven,
    StateMerged,
    StepCompleted,
    StepFailed,
    StepReused,
    TerminateRequested,
    TimerFired,
    UndoRequested,
    Write,
)
from ripresa.core.frames import CallFrame, ScopeFrame
from ripresa.core.lifecycle import TERMINAL
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.replay import lineage, next_generation, place_after, replay
from ripresa.core.state import RunState
from ripresa.core.values import Pick, Value

SECOND = 1_000_000
START = 1_700_000_000 * SECOND

Effect: TypeAlias = Consequence | Command


def failure(message: str = "boom", **fields: Any) -> Failure:
    return Failure("step_failed", message, **fields)


def call(name: str) -> Call:
    return Call(name)


def calls(names: str) -> tuple[Call, ...]:
    return tuple(map(Call, names.split()))


def define(*nodes: Node[Any]) -> Definition:
    """A definition whose root is this scope, or the sequence of these nodes."""
    only = nodes[0] if len(nodes) == 1 else None
    root = only if only is not None and issubclass(only.frame_class, ScopeFrame) else Sequence("flow", nodes)
    return Definition("flow", root)


def decoded(value: Value) -> Any:
    """What a value says."""
    if isinstance(value, Pick):
        return decoded(value.source)[value.index]
    return json.loads(value) if isinstance(value, bytes) else [decoded(part) for part in value]


class Ledger:
    """What was commanded and has not been reported or cleared: what `outstanding` must say."""

    def __init__(self) -> None:
        self.steps: dict[str, RunStep] = {}
        self.timers: dict[str, SetTimer] = {}
        self.asks: dict[str, Ask | Resume] = {}
        self.gates: dict[str, Intercept] = {}
        self.parked: dict[str, Reconcile] = {}
        self.lookups: dict[str, LookUp] = {}
        self.let: list[Proceed] = []

    def note(self, fact: Fact, commands: list[Command]) -> None:
        match fact:
            case StepCompleted() | StepFailed() | AttemptLost() | StepReused():
                del self.steps[fact.path]
            case LimitReached():
                self.steps.pop(fact.path, None)
            case Reconciled():
                del self.parked[fact.path]
            case TimerFired():
                del self.timers[fact.path]
            case Answered() | AnswerFailed() | Asked() | StateGiven() | StateMerged() | Dispatched():
                del self.asks[fact.path]
            case Intercepted():
                self.gates.pop(fact.path, None)
            case Returned() | Raised():
                self.asks.pop(fact.path, None)
            case RolledBack() | RunForked():
                self.steps, self.timers, self.asks, self.gates, self.lookups = {}, {}, {}, {}, {}
            case _:
                pass
        self.let = [let for let in self.let if repr(replace(let.fact, at=0)) != repr(replace(fact, at=0))]
        for command in commands:
            self._command(command)

    def _command(self, command: Command) -> None:
        match command:
            case RunStep():
                assert command.path not in self.steps
                self.steps[command.path] = command
            case CancelStep():
                assert self.steps[command.path].attempt == command.attempt
            case SetTimer():
                self.timers[command.path] = command
            case ClearTimer():
                del self.timers[command.path]
            case Ask() | Resume():
                self.asks[command.path] = command
            case Intercept():
                assert command.path not in self.gates
                self.gates[command.path] = command
            case Withdraw():
                self.gates.pop(command.path, None)
            case Reconcile():
                self.parked[command.path] = command
            case LookUp():
                self.lookups[command.path] = command
            case Proceed():
                self.let.append(command)
            case HoldStream() | Share():
                pass

    def check(self, state: RunState) -> list[str]:
        """That what is known here is what the state wants, which is given back as texts."""
        wanted = outstanding(state)
        if state.status == "terminated":
            assert wanted == []
            self.__init__()  # type: ignore[misc]
            return []
        asks = {command.path: command for command in wanted if isinstance(command, Ask | Resume)}
        self.asks = {path: ask for path, ask in self.asks.items() if path in asks}  # nobody takes an ask back
        parked = {command.path for command in wanted if isinstance(command, Reconcile)}
        self.parked = {path: command for path, command in self.parked.items() if path in parked}
        lookups = {command.path for command in wanted if isinstance(command, LookUp)}
        self.lookups = {path: command for path, command in self.lookups.items() if path in lookups}
        self.let = [let for let in self.let if let in wanted]
        expected: list[Command] = [*self.steps.values(), *self.timers.values(), *self.asks.values(), *self.let]
        expected += [*self.gates.values(), *self.parked.values(), *self.lookups.values()]
        texts = sorted(map(plain, wanted))
        assert texts == sorted(map(plain, expected))
        if state.status in TERMINAL:
            assert wanted == []
        return texts


def plain(command: Command) -> str:
    """A command as text; a tuple of values and its JSON text are the same value."""
    match command:
        case RunStep():
            return repr(("run", command.path, command.attempt, encode_value(command.input)))
        case Reconcile():
            return repr(("reconcile", command.path, command.attempt, encode_value(command.input)))
        case Ask():
            return repr(("ask", command.path, command.question, encode_value(command.value)))
        case _:
            return repr(command)


class Play:
    """One run. Every method feeds a fact and returns what follows from it: consequences, then commands.

    With `snapshots` the state is encoded and decoded after every fact, and the run goes on with what comes back.
    """

    def __init__(self, definition: Definition, *, snapshots: bool = False, hooks: tuple[str, ...] = ()) -> None:
        self.hooks = hooks
        self.definition = definition
        self.state = RunState(definition)
        self.journal: list[Recorded] = []
        self.ledger = Ledger()
        self.now = START
        self.snapshots = snapshots
        self._text = b""

    @property
    def status(self) -> str:
        return self.state.status

    @property
    def events(self) -> list[Event]:
        return [recorded.event for recorded in self.journal]

    @property
    def output(self) -> Value:
        ended = self.events[-1]
        assert isinstance(ended, RunCompleted)
        return ended.output

    # --- facts

    def feed(self, fact: Fact) -> list[Effect]:
        before, seq = self._text or encode_state(self.state), self.state.seq
        taken = accepts(self.state, fact)
        consequences, commands = advance(self.state, fact)
        if not taken:
            assert (consequences, commands, self.state.seq) == ([], [], seq)
            assert encode_state(self.state) == before
            return []
        for number, event in enumerate((fact, *consequences), seq + 1):
            self.journal.append(Recorded(self.state.run, number, self.state.at, event))
        assert self.state.seq == len(self.journal)
        self.ledger.note(fact, commands)
        self._check_state(self.ledger.check(self.state))
        return [*consequences, *commands]

    def start(self, input: Value = b'"in"', *, deadline: int = 0, **recorded: Any) -> list[Effect]:
        due = deadline and self.now + deadline
        definition = self.definition
        fact = RunStarted(
            self.now, "r", definition.name, "1", definition.hash, input, 7, "", due, hooks=self.hooks, **recorded
        )
        return self.feed(fact)

    def given(self, path: str, *writes: Write) -> list[Effect]:
        return self.feed(StateGiven(self.now, path, writes))

    def merged(self, path: str, *writes: Write) -> list[Effect]:
        """Reducers of the user's say what comes out."""
        return self.feed(StateMerged(self.now, path, writes))

    def done(
        self, path: str, output: Value = b"1", *, attempt: int = 0, writes: tuple[Write, ...] = ()
    ) -> list[Effect]:
        return self.feed(StepCompleted(self.now, path, attempt or self.attempt(path), output, writes))

    def fail(self, path: str, message: str = "boom", *, retry_in: int | None = None, types: str = "") -> list[Effect]:
        attempt = self.attempt(path)
        raised = failure(message, types=tuple(types.split()), path=path, attempt=attempt)
        return self.feed(StepFailed(self.now, path, attempt, raised, 0 if retry_in is None else self.now + retry_in))

    def lose(self, path: str, reason: str = "crashed", *, retry_in: int | None = None) -> list[Effect]:
        retry_at = 0 if retry_in is None else self.now + retry_in
        return self.feed(AttemptLost(self.now, path, self.attempt(path), reason, retry_at))

    def fire(self, path: str) -> list[Effect]:
        """The timer of this path, at its moment."""
        timer = self.ledger.timers.get(path)
        if timer is not None:
            self.now = max(self.now, timer.due)
        return self.feed(TimerFired(self.now, path))

    def answer(self, path: str, answer: Value) -> list[Effect]:
        return self.feed(Answered(self.now, path, answer))

    def answer_fails(self, path: str, message: str = "bad question") -> list[Effect]:
        return self.feed(AnswerFailed(self.now, path, failure(message, path=path)))

    def asked(
        self, path: str, *specs: CallSpec, dropped: tuple[int, ...] = (), writes: tuple[Write, ...] = ()
    ) -> list[Effect]:
        return self.feed(Asked(self.now, path, specs, dropped, writes))

    def returned(self, path: str, output: Value = b"1", *, writes: tuple[Write, ...] = ()) -> list[Effect]:
        return self.feed(Returned(self.now, path, output, writes))

    def raised(self, path: str, error: Failure) -> list[Effect]:
        return self.feed(Raised(self.now, path, error))

    def signal(self, name: str, value: Value = b"1", id: str = "") -> list[Effect]:
        return self.feed(SignalReceived(self.now, name, value, id))

    def dispatched(self, path: str, kind: str, target: str, close: str = "") -> list[Effect]:
        return self.feed(Dispatched(self.now, path, kind, target, target, b"{}", close))

    def child_ended(self, run: str, status: str = "completed", output: Value = b"1") -> list[Effect]:
        error = None if status == "completed" else failure(f"it {status}")
        return self.feed(ChildEnded(self.now, run, status, output, error))

    def cancel(self, reason: str = "enough") -> list[Effect]:
        return self.feed(CancelRequested(self.now, reason))

    def terminate(self) -> list[Effect]:
        return self.feed(TerminateRequested(self.now, "kill"))

    def pause(self) -> list[Effect]:
        return self.feed(PauseRequested(self.now))

    def go_on(self) -> list[Effect]:
        return self.feed(ContinueRequested(self.now))

    def reopen(self) -> list[Effect]:
        return self.feed(RunReopened(self.now, kept=True))

    def roll_back(self, to: int, **fields: Any) -> list[Effect]:
        """Go on from where the run stood after event `to` and what followed from the same fact."""
        to = place_after(self.journal, to)
        since, generation = len(self.journal), next_generation(self.journal)
        epoch = self.state.epoch
        self.state = replay(RunState(self.definition), self.journal[:to])
        fact = RolledBack(self.now, to, since, generation, epoch, **fields)
        consequences, commands = advance(self.state, fact)
        for number, event in enumerate((fact, *consequences), since + 1):
            self.journal.append(Recorded(self.state.run, number, self.state.at, event))
        assert self.state.seq == len(self.journal)
        self.ledger.note(fact, commands)
        self._check_state(self.ledger.check(self.state))
        return [*consequences, *commands]

    def taken(self, epoch: int) -> list[Effect]:
        return self.feed(RunTaken(self.now, epoch, "other"))

    def hook(self, path: str, answer: str = "continue", **fields: Any) -> list[Effect]:
        """Interceptors answer at the gate of this path."""
        gate = self.state.gates.get(path)
        return self.feed(Intercepted(self.now, path, gate.point if gate else "before", answer, "h", **fields))

    def asked_first(self, request: Requested) -> list[Effect]:
        """Somebody asks for something that interceptors are asked about before it happens."""
        return self.feed(request)

    def let(self) -> list[Effect]:
        """What interceptors have let through happens."""
        effects: list[Effect] = []
        while self.ledger.let:
            effects += self.feed(self.ledger.let[0].fact)
        return effects

    def set_hooks(self, *hooks: str) -> list[Effect]:
        return self.feed(HooksSet(self.now, hooks))

    def undo(self, after: int = 0) -> list[Effect]:
        return self.feed(UndoRequested(self.now, after))

    def reconcile(self, path: str, verdict: str, output: Value = b"1") -> list[Effect]:
        error = failure("it did not", path=path) if verdict == "failed" else None
        return self.feed(Reconciled(self.now, path, self.attempt(path), verdict, output, error))

    def attempt(self, path: str) -> int:
        """The number of the attempt that the run has under way at this path; 1 where there is none."""
        frame = self.state.frames.get(path)
        return frame.attempt if isinstance(frame, CallFrame) else 1

    # --- what must be true

    def _check_state(self, wanted: list[str]) -> None:
        """That this state is read as it was written, and wants the same then."""
        self._text = text = encode_state(self.state)
        again = decode_state(text, self.definition)
        assert encode_state(again) == text
        assert sorted(map(plain, outstanding(again))) == wanted
        if self.snapshots:
            self.state = again

    def check_replay(self) -> None:
        """The journal gives the same state, and each row of it is read as it was written."""
        assert lineage(self.journal)[-1] is self.journal[-1]
        again = replay(RunState(self.definition), self.journal)
        assert encode_state(again) == encode_state(self.state)
        assert encode_events(event.event for event in self.journal)
