"""`advance(state, fact)`: the one gate through which every fact changes a run.

Law: pure. The same state and fact give the same consequences and commands, live and in replay. A fact that nothing
waits for (late, doubled, out of order) changes nothing; a request that the run's status forbids is
`IllegalTransition` and changes nothing. Time never goes back: the state's clock is the greatest it has seen.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, assert_never

from ..errors import IllegalTransition
from . import bounds, gates, journaled, requested
from .commands import CancelStep, Command, LookUp, Proceed, Reconcile, RunStep, SetTimer
from .events import (
    Answered,
    AnswerFailed,
    ApprovalDelegated,
    Asked,
    AttemptLost,
    CallBegan,
    CallFailed,
    CallRecorded,
    CallReturned,
    CallStarted,
    CancelRequested,
    CheckpointNamed,
    ChildEnded,
    Consequence,
    ContinueRequested,
    Dispatched,
    Fact,
    Failure,
    HookAwaited,
    HookFailed,
    HooksSet,
    Intercepted,
    LateOutcome,
    LimitReached,
    LimitsSet,
    Migrated,
    PauseRequested,
    Raised,
    Reconciled,
    Reported,
    Requested,
    Restarted,
    Returned,
    RolledBack,
    RunForked,
    RunReopened,
    RunStarted,
    RunStuck,
    RunTaken,
    RunTerminated,
    RunUndoing,
    SessionEntered,
    SignalReceived,
    SignalRefused,
    StateEdited,
    StateGiven,
    StateMerged,
    StepCompleted,
    StepFailed,
    StepReused,
    StepStarted,
    StreamAdvanced,
    TerminateRequested,
    TimerFired,
    UndoRequested,
    VoteCast,
    VoteRefused,
)
from .frames import (
    ASKING,
    BACKOFF,
    CANCELLING,
    ENDED,
    HELD,
    OPEN,
    PARKED,
    CallFrame,
    ScopeFrame,
    StreamFrame,
)
from .gates import Gate
from .lifecycle import TERMINAL, asks_for_more, check_transition, not_a_place
from .nodes.approval import Approval, ApprovalFrame, people_are_asked
from .nodes.call import Call
from .nodes.child import CHILD, DISPATCH, ChildResult, Dispatch, note_children
from .nodes.delay import DelayFrame
from .nodes.dynamic import Dynamic, DynamicFrame
from .nodes.stateful import STATE, Stateful
from .nodes.stream import Stream
from .questions import awaits_answer as awaits_answer
from .questions import due_of, is_asked, question_of
from .shared import MERGE, Shared, were
from .state import Message, RunState

Step: TypeAlias = tuple[list[Consequence], list[Command]]


def advance(state: RunState, fact: Fact) -> Step:
    """Apply one fact; return what follows from it and what is to be done, in order.

    The state is changed in place, and its `seq` grows by one for the fact and one for each consequence. A fact that
    the run does not wait for leaves `seq` as it is and must not be kept. Raises `IllegalTransition` for a request
    that the run's status forbids; then nothing has changed.
    """
    if type(fact) in _REQUESTS:
        _check(state, fact)
    if not accepts(state, fact):
        return [], []
    if fact.at > state.at:
        state.at = fact.at
    if state.definition.watched:
        _remember(state, fact)
    _apply(state, fact)
    if state.served:
        state.serve()
    consequences, commands = state.consequences, state.commands
    state.consequences, state.commands = [], []
    state.seq += 1 + len(consequences)
    return consequences, commands


def accepts(state: RunState, fact: Fact) -> bool:  # noqa: C901 - one arm per fact
    """Whether the run waits for this fact. One that it does not wait for changes nothing and need not be kept."""
    if state.status in TERMINAL and not isinstance(fact, _AFTER_THE_END):
        return isinstance(fact, Requested | Intercepted) and fact.point == "rollback"
    if state.status == "created":
        return isinstance(fact, RunStarted | Migrated)
    if isinstance(fact, _OF_ATTEMPTS):
        frame = state.frames.get(fact.path)
        return isinstance(frame, CallFrame) and _under_way(frame, fact.attempt)
    match fact:
        case Intercepted() | HookAwaited():
            return gates.is_awaited(state, fact.path, fact.point)
        case Answered() | AnswerFailed() | StateGiven() | StateMerged() | Dispatched():
            return _waits_for_answer(state, fact)
        case StateEdited():
            return state.shared is not None and fact.path in state.shared.scopes
        case Asked():
            frame = state.frames.get(fact.path)
            return isinstance(frame, DynamicFrame) and is_asked(frame)
        case Returned() | Raised() | Restarted():
            frame = state.frames.get(fact.path)
            winds = not isinstance(fact, Restarted)
            return isinstance(frame, DynamicFrame) and (frame.phase == OPEN or (frame.shielded and winds))
        case LimitReached():
            frame = state.frames.get(fact.path)
            return not fact.path or (isinstance(frame, CallFrame) and _under_way(frame, fact.attempt))
        case TimerFired():
            return 0 < _awaited(state, fact.path) <= fact.at
        case StreamAdvanced():
            return _waits_for_batch(state, fact)
        case CancelRequested() | ContinueRequested():
            return state.status != "cancelling" if isinstance(fact, CancelRequested) else bounds.ends_pause(state, fact)
        case Reconciled() | LateOutcome():
            return _is_news(state, fact)
        case RunTaken():
            return fact.epoch > state.epoch
        case RolledBack():
            return fact.to == state.seq <= fact.since
        case ChildEnded():
            return CHILD + fact.run in state.waiters
        case Requested() if fact.point != "rollback":
            return accepts(state, requested.as_fact(fact))
        case RunStuck():
            return state.root is not None and state.root.phase == OPEN
        case _:
            return True


def _waits_for_answer(state: RunState, fact: Answered | AnswerFailed | StateGiven | StateMerged | Dispatched) -> bool:
    frame = state.frames.get(fact.path)
    if not isinstance(frame, ScopeFrame) or isinstance(frame, DynamicFrame) or not is_asked(frame):
        return False
    return isinstance(fact, AnswerFailed | _ANSWERED_BY.get(frame.question, Answered))


_ANSWERED_BY: Final[dict[str, type[Fact]]] = {STATE: StateGiven, MERGE: StateMerged, DISPATCH: Dispatched}
"""Questions that are not answered by one value."""


def outstanding(state: RunState) -> list[Command]:
    """Everything that a run wants done at this moment, as after a replay: attempts, timers, unanswered questions."""
    commands: list[Command] = []
    if state.status in TERMINAL:
        return commands
    if state.deadline:
        commands.append(SetTimer("", state.deadline))
    for frame in state.frames.values():
        if frame.phase in ENDED:
            continue
        if isinstance(frame, CallFrame) and frame.phase == PARKED:
            commands.append(Reconcile(frame.path, frame.attempt, frame.input))
        elif isinstance(frame, CallFrame) and frame.phase not in (BACKOFF, HELD, ASKING):
            commands.append(RunStep(frame.path, frame.attempt, frame.input))
        elif isinstance(frame, ScopeFrame) and is_asked(frame):
            commands.append(question_of(frame))
        elif isinstance(frame.node, ChildResult):
            commands.append(LookUp(frame.path, frame.node.child))
        due = due_of(frame)
        if due:
            commands.append(SetTimer(frame.path, due))
    if state.gates:
        commands.extend(gates.open_gates(state))
    commands.extend(Proceed(fact) for fact in state.granted if may_come(state, fact))
    return commands


def may_come(state: RunState, fact: Fact) -> bool:
    """Whether something that was asked of the run can still happen."""
    try:
        _check(state, fact)
    except IllegalTransition:
        return False
    return accepts(state, fact)


def _remember(state: RunState, fact: Fact) -> None:
    """Keep how a step ended for the conditions that look at it."""
    match fact:
        case StepCompleted() | StepReused():
            state.remember(fact.path, "completed", fact.output)
        case StepFailed() | AttemptLost() if fact.retry_at == 0:
            stopped = state.frames[fact.path].phase == CANCELLING
            state.remember(fact.path, "cancelled" if stopped else "failed")
        case _:
            pass


def stuck(state: RunState) -> str | None:
    """The path of a node that waits for nothing that could come, if there is nothing else; None if the run can go on.

    What is in flight, a timer, a question, a wait for something outside or a pause lets it go on.
    """
    if state.status == "paused" or state.status in TERMINAL or state.deadline or outstanding(state):
        return None
    found: str | None = None
    for frame in state.frames.values():
        if frame.phase in ENDED:
            continue
        if not isinstance(frame, ScopeFrame) or is_asked(frame) or due_of(frame):
            return None
        found = frame.path
    return found


def _waits_for_batch(state: RunState, fact: StreamAdvanced) -> bool:
    frame = state.frames.get(fact.path)
    if not isinstance(frame, StreamFrame) or frame.attempt != fact.attempt or frame.phase not in (OPEN, CANCELLING):
        return False
    return _stream(state, fact.path).waits_for(frame, fact)


def _awaited(state: RunState, path: str) -> int:
    """When the timer of this path is due, 0 if none is awaited."""
    if path == "":
        return state.deadline
    frame = state.frames.get(path)
    if frame is None or frame.phase in ENDED or (isinstance(frame, DelayFrame) and bounds.holds(state)):
        return 0
    return due_of(frame)


RunFact: TypeAlias = (
    VoteCast
    | ApprovalDelegated
    | SignalReceived
    | SignalRefused
    | CheckpointNamed
    | RunStuck
    | RunTaken
    | RunReopened
    | CancelRequested
    | TerminateRequested
    | PauseRequested
    | ContinueRequested
    | RolledBack
    | RunForked
    | Reported
    | Migrated
    | SessionEntered
    | HookAwaited
    | HookFailed
    | HooksSet
    | LimitReached
    | LimitsSet
    | LateOutcome
    | Reconciled
    | Requested
    | UndoRequested
    | ChildEnded
)
"""Facts about no place in particular."""

_REQUESTS: Final[frozenset[type[Any]]] = frozenset(
    {
        RunStarted,
        RunReopened,
        CancelRequested,
        TerminateRequested,
        PauseRequested,
        ContinueRequested,
        RolledBack,
        RunForked,
        Migrated,
        Requested,
        UndoRequested,
    }
)
"""Facts that the run's status may forbid."""

_AFTER_THE_END: Final = (RunReopened, RunTaken, UndoRequested, HookFailed, LateOutcome)
"""Facts that a run which has ended takes."""

_OF_ATTEMPTS: Final = (
    StepCompleted,
    StepFailed,
    AttemptLost,
    CallRecorded,
    CallStarted,
    CallBegan,
    CallReturned,
    CallFailed,
    StepStarted,
    StepReused,
    Reported,
)
"""Facts of an attempt that is under way."""


def _check(state: RunState, fact: Fact) -> None:
    status, run = state.status, state.run
    match fact:
        case RunStarted():
            check_transition(status, "running", only_from="created", run=fact.run, op="start")
        case Requested() if fact.point != "rollback":
            _check(state, requested.as_fact(fact))
        case Migrated():
            check_transition(status, "running", only_from="created", run=run, op="migrate")
        case RunReopened():
            check_transition(status, "running", only_from="failed", run=run, op="resume")
        case CancelRequested() if status != "cancelling":
            check_transition(status, "cancelling", run=run, op="cancel")
        case TerminateRequested():
            check_transition(status, "terminated", run=run, op="terminate")
        case UndoRequested():
            check_transition(status, "undoing", run=run, op="undo")
        case PauseRequested() if not bounds.pauses_at_limit(state):
            check_transition(status, "paused", run=run, op="pause")
        case ContinueRequested():
            check_transition(status, "running", only_from="paused", run=run, op="continue")
            if state.limit:
                raise asks_for_more(run, state.limit)
        case RolledBack() | RunForked() if status == "cancelling" or status in TERMINAL:
            raise not_a_place(run, fact.to, status)
        case _:
            pass


def _apply(state: RunState, fact: Fact) -> None:  # noqa: C901 - one arm per fact
    match fact:
        case StepCompleted() | StepReused():
            _completed(state, fact)
        case RunStarted():
            _start(state, fact)
        case Intercepted():
            _hooks(state, fact)
        case Asked():
            _dynamic(state, fact.path).asked(state, state.frames[fact.path], fact)
        case Answered():
            scope = _scope(state, fact.path)
            question, scope.question = scope.question, ""
            scope.node.answered(state, scope, question, fact.answer)
        case StepFailed():
            _call(state, fact.path).raised(state, state.frames[fact.path], fact.failure, fact.retry_at)
        case AttemptLost():
            _call(state, fact.path).lost(state, state.frames[fact.path], fact.reason, fact.retry_at, began=fact.began)
        case TimerFired():
            _timer(state, fact.path)
        case Returned():
            _dynamic(state, fact.path).returned(state, state.frames[fact.path], fact)
        case Raised():
            _dynamic(state, fact.path).raised(state, state.frames[fact.path], fact)
        case Restarted():
            _dynamic(state, fact.path).restarted(state, state.frames[fact.path], fact)
        case AnswerFailed():
            state.abort(_scope(state, fact.path), fact.failure)
        case CallRecorded() | CallStarted() | CallFailed() | CallBegan() | CallReturned():
            _journaled(state, fact)
        case StepStarted():
            _call(state, fact.path).started(state, state.frames[fact.path])
        case StreamAdvanced():
            _stream(state, fact.path).advanced(state, state.frames[fact.path], fact)
        case StateGiven():
            frame = _scope(state, fact.path)
            frame.node.given(state, frame, fact.writes, judged=fact.judged)
        case StateEdited():
            assert state.shared is not None
            state.shared.write(state, state.frames[fact.path], fact.writes, told=True)
        case StateMerged():
            frame = _scope(state, fact.path)
            frame.question = ""
            frame.node.merged(state, frame, fact.writes)
        case Dispatched():
            frame = _scope(state, fact.path)
            assert isinstance(frame.node, Dispatch)
            frame.node.dispatched(state, frame, fact)
        case _:
            _apply_to_run(state, fact)


def _apply_to_run(state: RunState, fact: RunFact) -> None:  # noqa: C901 - one arm per fact
    """A fact that is about the run as a whole."""
    if state.granted:
        requested.carried_out(state, fact)
    match fact:
        case VoteCast() | ApprovalDelegated():
            _vote(state, fact)
        case SignalReceived():
            state.receive(fact.name, Message(fact.value, fact.id, fact.by))
        case LimitReached():
            bounds.limit_reached(state, fact)
        case LimitsSet():
            bounds.limits_set(state, fact)
        case Reported():
            if state.points:
                gates.withhold(state, fact)
        case CheckpointNamed() | SignalRefused() | SessionEntered():
            pass
        case RunStuck():
            _stuck(state, fact.where)
        case Reconciled() | LateOutcome() | UndoRequested():
            _set_right(state, fact)
        case ChildEnded():
            _child_ended(state, fact)
        case RunTaken():
            state.epoch = fact.epoch
        case RunReopened():
            _reopen(state, kept=fact.kept)
        case CancelRequested():
            state.cancel_run(fact.reason)
        case TerminateRequested():
            _terminate(state, fact.reason)
        case PauseRequested():
            bounds.pause(state, fact.by)
        case ContinueRequested():
            bounds.go_on(state)
        case RolledBack() | RunForked():
            _rewind(state, fact)
        case HookAwaited() | HookFailed() | HooksSet() | Requested():
            _hooks(state, fact)
        case Migrated():
            state.seq, state.generation, state.epoch = fact.since, fact.generation, fact.epoch
            state.dues, state.allowed = dict(zip(fact.waits, fact.dues, strict=True)), fact.allowed
            note_children(state.children, fact)
        case _:
            assert_never(fact)


def _completed(state: RunState, fact: StepCompleted | StepReused) -> None:
    frame: Any = state.frames[fact.path]
    if frame.node.undo is not None and (isinstance(fact, StepCompleted) or fact.own):
        state.record(frame, fact.output)
    asks = state.points and frame.phase == OPEN and gates.gated(state, frame, Gate("after", fact.output))
    if state.shared is not None:
        state.shared.completed(state, frame, fact.writes, waits=bool(asks))
    if not asks:
        if frame.withheld:  # hooks were taken away at this very moment
            gates.let_effects(state, frame)
        state.done(frame, fact.output)


def _child_ended(state: RunState, fact: ChildEnded) -> None:
    note_children(state.children, fact)
    while CHILD + fact.run in state.waiters:
        frame = state.frames[state.waiters[CHILD + fact.run][0]]
        assert isinstance(frame.node, ChildResult)
        frame.node.ended(state, frame, fact)


def _hooks(state: RunState, fact: Intercepted | HookAwaited | HookFailed | HooksSet | Requested) -> None:
    match fact:
        case Intercepted() if fact.path not in state.requests and fact.path != bounds.TIME_IS_UP:
            gates.intercepted(state, fact)
        case Intercepted() if fact.path in state.requests:
            requested.intercepted(state, fact)
        case Intercepted():
            bounds.time_is_up(state, fact)
        case Requested():
            requested.requested(state, fact)
        case HooksSet():
            gates.set_points(state, fact.hooks)
        case _:
            _broken(state, fact)


def _journaled(state: RunState, fact: CallRecorded | CallStarted | CallFailed | CallBegan | CallReturned) -> None:
    node, frame = _call(state, fact.path), state.frames[fact.path]
    assert isinstance(frame, CallFrame)
    match fact:
        case CallRecorded():
            node.record(frame, fact)
        case CallStarted():
            node.intend(state, frame, fact.key)
        case CallBegan():
            journaled.began(state, frame, fact)
        case CallReturned():
            journaled.returned(state, frame, fact)
        case _:
            node.report(frame, fact.key)
            state.ledger.did_nothing(fact.path, fact.key)
            journaled.failed(state, frame, fact)


def _start(state: RunState, fact: RunStarted) -> None:
    state.run = fact.run
    state.seed = fact.seed
    state.core, state.parent = fact.core, fact.parent
    state.parent = fact.parent if fact.reports else ""
    state.status = "running"
    if fact.hooks:
        gates.set_points(state, fact.hooks)
    if fact.deadline:
        state.allowed = state.allowed or fact.deadline - fact.at  # before it was migrated it had been more
        state.deadline = fact.deadline
        state.commands.append(SetTimer("", state.deadline))
    root = state.definition.root
    frame = root.frame_class("", root, None, 0, fact.input)
    assert isinstance(frame, ScopeFrame), "the root of a definition is a scope"
    state.root = frame
    state.frames[""] = frame
    if fact.state and isinstance(root, Stateful):
        state.shared = Shared(fact.state, judged=fact.judged)
    if not state.points or not gates.gated(state, frame, Gate("start", fact.input)):
        root.open(state, frame)


def _reopen(state: RunState, *, kept: bool) -> None:
    assert state.root is not None
    state.status = "running"
    state.kept = kept
    state.generation += 1
    state.cleanup_failures = ()
    if state.allowed:
        _set_deadline(state)
    state.settled = False
    if state.requests or state.granted:
        requested.ask_again(state)
    if state.undone:
        state.undone = False
        state.begin_anew(state.root)
    else:
        state.reopen(state.root)


def _rewind(state: RunState, fact: RolledBack | RunForked) -> None:
    """Begin anew what was under way here: nobody has it in flight any more."""
    if isinstance(fact, RolledBack):
        state.seq, state.generation, state.epoch = fact.since, fact.generation, fact.epoch
        note_children(state.children, fact)
        were(state, fact.states)
    else:
        state.parent, state.children = "", {}  # they are those of the run that it is a fork of
    state.status = "running"
    state.deadline = state.allowed and state.at + state.allowed
    for frame in list(state.frames.values()):
        if frame.phase not in ENDED:
            frame.node.rewind(state, frame)
    state.commands = outstanding(state)
    for frame in state.frames.values():
        if isinstance(frame, CallFrame) and frame.phase == CANCELLING:
            state.commands.append(CancelStep(frame.path, frame.attempt))


def _set_deadline(state: RunState) -> None:
    state.deadline = state.at + state.allowed
    state.commands.append(SetTimer("", state.deadline))


def _terminate(state: RunState, reason: str) -> None:
    state.status = "terminated"
    state.reason = reason
    state.deadline = 0
    state.frames.clear()
    state.waiters.clear()
    state.gates.clear()
    state.requests.clear()
    state.root = None
    state.shared = None
    state.consequences.append(RunTerminated(reason))


def _broken(state: RunState, fact: HookAwaited | HookFailed) -> None:
    """A critical observer failed: so does the run, unless it winds up already."""
    if isinstance(fact, HookFailed) and fact.critical and state.root is not None and state.root.phase == OPEN:
        message = f"critical hook {fact.hook!r} failed: {fact.failure.message}"
        state.abort(state.root, Failure("hook_failed", message, path=fact.path, cause=fact.failure))


def _stuck(state: RunState, where: str) -> None:
    message = f"the run can never advance: {where or 'its root'} waits for nothing that could come"
    state.abort(_scope(state, ""), Failure("workflow_deadlock", message, path=where))


def _vote(state: RunState, fact: VoteCast | ApprovalDelegated) -> None:
    frame = state.frames.get(fact.path)
    if not isinstance(frame, ApprovalFrame) or frame.phase != OPEN or not people_are_asked(state, frame):
        state.consequences.append(VoteRefused(fact.path, fact.by, "nothing is asked there", fact.id))
        return
    node = frame.node
    assert isinstance(node, Approval)
    if isinstance(fact, VoteCast):
        node.vote(state, frame, fact)
    else:
        node.delegate(state, frame, fact)


def _is_news(state: RunState, fact: Reconciled | LateOutcome) -> bool:
    """Whether this says more than is known: of a parked step, or of one in doubt which has not ended otherwise."""
    frame = state.frames.get(fact.path)
    if isinstance(fact, Reconciled):
        return isinstance(frame, CallFrame) and frame.attempt == fact.attempt and frame.phase == PARKED
    entry = state.ledger.find(fact.path, fact.generation)
    if entry is not None or (fact.path, fact.generation) in state.ledger.doubted:
        return entry is None or not entry.known
    if not isinstance(frame, CallFrame) or frame.phase in ENDED or frame.node.undo is None:
        return False
    return frame.generation == fact.generation and fact.attempt < frame.attempt


def _set_right(state: RunState, fact: Reconciled | LateOutcome | UndoRequested) -> None:
    """What is learnt after the event, and what is taken back."""
    match fact:
        case Reconciled():
            _call(state, fact.path).reconciled(state, state.frames[fact.path], fact)
        case LateOutcome():
            _late(state, fact)
        case UndoRequested():
            state.status = "undoing"
            state.reason = fact.reason
            state.consequences.append(RunUndoing(fact.reason))
            were(state, fact.states)
            if state.requests or state.granted:
                requested.ask_again(state)
            state.undo(fact.after)
        case _:
            assert_never(fact)


def _late(state: RunState, fact: LateOutcome) -> None:
    entry = state.ledger.find(fact.path, fact.generation)
    if (fact.path, fact.generation) in state.ledger.doubted:
        state.ledger.happened_after_all(fact.path, fact.generation, state.seq + 1, fact.output)
    elif entry is None:
        state.record(state.frames[fact.path], fact.output)
    else:
        state.ledger.learn(entry.number, fact.output)


def _timer(state: RunState, path: str) -> None:
    if path:
        frame = state.frames[path]
        frame.node.timer(state, frame)
        return
    assert state.root is not None
    state.deadline = 0
    if state.root.phase == OPEN:
        state.abort(state.root, Failure("deadline_exceeded", "the run had no time left"))


def _under_way(frame: CallFrame, attempt: int) -> bool:
    return frame.attempt == attempt and frame.phase in (OPEN, CANCELLING)


def _scope(state: RunState, path: str) -> Any:
    return state.frames[path]


def _call(state: RunState, path: str) -> Call:
    node = state.frames[path].node
    assert isinstance(node, Call)
    return node


def _dynamic(state: RunState, path: str) -> Dynamic:
    node = state.frames[path].node
    assert isinstance(node, Dynamic)
    return node


def _stream(state: RunState, path: str) -> Stream:
    node = state.frames[path].node
    assert isinstance(node, Stream)
    return node
