"""`call`: one unit of user work, attempted until it succeeds or its policy says that was the last time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ...errors import CODES
from ..bounds import intercepted as limit_answered
from ..commands import CancelStep, ClearTimer, Reconcile, SetTimer
from ..events import CallRecorded, Failure, Intercepted, NodeCancelled, Reconciled, RetryScheduled, StepParked
from ..frames import BACKOFF, CANCELLING, HELD, OPEN, PARKED, CallFrame, Frame
from ..gates import Gate, drop_effects, gated, let_effects
from ..ledger import KEEPS_WHAT_LASTS
from ..values import NULL
from .node import Node
from .undo import Undo, undo_policy

if TYPE_CHECKING:
    from ..state import RunState

LOST = {
    "crashed": ("attempt_lost", "the process that ran this attempt ended without a report"),
    "timeout": ("timeout", "the attempt took longer than its timeout"),
    "process_died": ("process_died", "the child process of this attempt ended without a report"),
    "cancelled": ("cancelled", "the attempt was cancelled"),
    "interrupted": ("attempt_lost", "the attempt was interrupted"),
    "unknown": ("outcome_unknown", "the attempt ended without a report and must not be repeated"),
    "parked": ("outcome_unknown", "the attempt ended without a report: somebody has to say what it did"),
}
"""Why an attempt ended without a report: the code and message of the failure that this is."""


def lost_failure(reason: str, path: str, attempt: int) -> Failure:
    """The failure that a lost attempt is. A timeout counts as the `TimeoutError` that it would be elsewhere."""
    code, message = LOST[reason]
    types = ("TimeoutError", "OSError", "Exception") if reason == "timeout" else ()
    return Failure(code, message, types, CODES[code].retryable, path, attempt)


class Call(Node[CallFrame]):
    """A step. How often and how long it may be tried is decided where it runs; the decision comes with the fact."""

    kind: ClassVar[str] = "call"
    frame_class: ClassVar[type[Frame]] = CallFrame

    def __init__(self, name: str, *, undo: Undo | None = None, **rest: Any) -> None:
        super().__init__(name, **rest)
        self.undo = undo

    @override
    def policy(self) -> dict[str, Any]:
        return undo_policy(self.undo)

    @override
    def expected(self) -> int:
        return 1

    @override
    def open(self, run: RunState, frame: CallFrame) -> None:
        frame.generation = run.generation
        if not run.points or not gated(run, frame, Gate("before", frame.input)):
            run.schedule(frame)

    def raised(self, run: RunState, frame: Any, failure: Failure, retry_at: int) -> None:
        """The attempt raised: an irreversible one did nothing."""
        if frame.started and self.undo is None:
            self._did_nothing(run, frame)
        self.failed(run, frame, failure, retry_at)

    def _did_nothing(self, run: RunState, frame: CallFrame) -> None:
        frame.started = 0
        run.ledger.did_nothing(frame.path, "")

    def failed(self, run: RunState, frame: Any, failure: Failure, retry_at: int) -> None:
        """The attempt failed; the next one is due at `retry_at`, or there is none (0)."""
        if frame.phase == CANCELLING:
            self.doubt(run, frame)
            run.cancelled(frame)
        elif not run.points or not gated(run, frame, Gate("error", frame.input, retry_at, failure=failure)):
            self._settle(run, frame, failure, retry_at)

    def _settle(self, run: RunState, frame: CallFrame, failure: Failure, retry_at: int) -> None:
        if retry_at:
            self._again(run, frame, retry_at)
        else:
            self.doubt(run, frame)
            run.fail(frame, failure)

    @override
    def intercepted(self, run: RunState, frame: CallFrame, gate: Gate, fact: Intercepted) -> None:
        replaced = fact.answer in ("replace", "skip")
        if gate.point == "limit":
            limit_answered(run, frame, gate, fact)
        elif fact.answer == "again":
            drop_effects(run, frame)
            self._again(run, frame, max(fact.number, run.at))
        elif gate.point == "before" and fact.answer != "skip":
            if replaced:
                frame.input, frame.replaced = fact.value, True
            run.schedule(frame)
        elif gate.failure is not None and not replaced:
            self._settle(run, frame, gate.failure, gate.number)
        else:
            let_effects(run, frame)
            run.done(frame, fact.value if replaced else gate.value)

    def lost(self, run: RunState, frame: Any, reason: str, retry_at: int, *, began: bool = True) -> None:
        """The attempt ended without a report. A `parked` one is not repeated: it waits for who knows what it did."""
        if reason == "parked" and not frame.intents and self.undo is None:
            frame.started = frame.attempt
        if reason == "parked" and frame.phase == OPEN:
            self._park(run, frame)
            return
        if began and self.undo is not None:
            frame.started = frame.attempt
        failure = lost_failure(reason, frame.path, frame.attempt)
        if reason == "interrupted" and frame.phase != CANCELLING:
            frame.base += 1  # the engine stopped it: that does not count against the step, and concerns no hook
            self._settle(run, frame, failure, retry_at)
        else:
            self.failed(run, frame, failure, retry_at)

    def record(self, frame: Any, fact: CallRecorded) -> None:
        """Keep what a call inside the step returned and wrote, for its next attempt."""
        key = fact.key
        frame.recorded = {**(frame.recorded or {}), key: fact.output}
        if fact.writes:
            frame.written = {**(frame.written or {}), key: fact.writes}
        self.report(frame, key)

    def _park(self, run: RunState, frame: CallFrame) -> None:
        frame.phase = PARKED
        run.consequences.append(StepParked(frame.path, frame.attempt))
        run.commands.append(Reconcile(frame.path, frame.attempt, frame.input))

    def intend(self, run: RunState, frame: Any, key: str) -> None:
        """A call inside the step is about to do what cannot be taken back."""
        frame.intents = (*frame.intents, key)
        run.lasts(frame, key)

    def report(self, frame: Any, key: str) -> None:
        """It is known how a call inside the step ended."""
        frame.intents = tuple(intent for intent in frame.intents if intent != key)

    def started(self, run: RunState, frame: Any) -> None:
        """The attempt of an irreversible step is about to run."""
        frame.started = frame.attempt
        run.lasts(frame)

    def in_doubt(self, frame: CallFrame) -> bool:
        """Whether an attempt of an irreversible step began of which nobody knows what it did."""
        return frame.started == frame.attempt and self.undo is None

    @override
    def cancel(self, run: RunState, frame: CallFrame) -> None:
        if frame.phase == CANCELLING:
            run.commands.append(CancelStep(frame.path, frame.attempt))
            return
        if frame.phase == BACKOFF:
            run.commands.append(ClearTimer(frame.path))
        self.doubt(run, frame)
        run.consequences.append(NodeCancelled(frame.path))
        run.cancelled(frame)

    @override
    def reopen(self, run: RunState, frame: CallFrame) -> None:
        if run.core >= KEEPS_WHAT_LASTS and self.in_doubt(frame):
            self._park(run, frame)
            return
        frame.attempt += 1
        frame.base = frame.attempt
        frame.delays = 0
        run.schedule(frame)

    @override
    def rewind(self, run: RunState, frame: CallFrame) -> None:
        if frame.phase == PARKED and run.core >= KEEPS_WHAT_LASTS:
            return  # it is asked about what it did with the key that it had
        frame.generation = run.generation
        frame.base = frame.attempt
        frame.started = 0
        if frame.phase in (OPEN, HELD):
            run.schedule(frame)

    @override
    def timer(self, run: RunState, frame: CallFrame) -> None:
        run.schedule(frame)

    def reconciled(self, run: RunState, frame: Any, fact: Reconciled) -> None:
        """Somebody knows what the attempt did."""
        if fact.verdict == "completed":
            run.done(frame, fact.output)
            return
        for key in ("", *frame.intents):
            run.ledger.did_nothing(frame.path, key)
        if fact.verdict == "retry":
            frame.base += 1
            frame.intents = ()
            self._again(run, frame, run.at)
        else:
            assert fact.failure is not None
            frame.started = 0
            run.fail(frame, fact.failure)

    def doubt(self, run: RunState, frame: CallFrame) -> None:
        """The call ends; keep it if nobody knows whether it did what could be undone."""
        if self.undo is not None and frame.started and not run.ledger.find(frame.path, frame.generation):
            run.record(frame, NULL, known=False)

    def _again(self, run: RunState, frame: CallFrame, retry_at: int) -> None:
        frame.attempt += 1
        if retry_at <= run.at:
            run.schedule(frame)
            return
        frame.phase = BACKOFF
        frame.due = retry_at
        run.consequences.append(RetryScheduled(frame.path, frame.attempt, retry_at))
        run.commands.append(SetTimer(frame.path, retry_at))
