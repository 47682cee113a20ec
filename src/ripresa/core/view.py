"""What readers see of a run, rebuilt from its events alone: no definition, no user code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from . import events as e
from .events import Failure, Recorded
from .gates import UNDOING
from .lifecycle import TERMINAL
from .nodes.call import lost_failure
from .parts import ValidationResult
from .replay import lineage
from .seen import ApprovalView as ApprovalView
from .seen import HookAnswer as HookAnswer
from .seen import HookWait as HookWait
from .seen import ScopeView as ScopeView
from .seen import StateView as StateView
from .seen import StepView as StepView
from .seen import StreamView as StreamView
from .seen import WaitView as WaitView
from .shared import after
from .usage import told_before
from .values import NULL, Value

UNDER_WAY: Final = ("scheduled", "retrying")
"""Statuses of a step that has not ended."""

COUNTED: Final = ("completed", "skipped")
"""Statuses of a step that counts as done."""

CLEANUP: Final = "!"
"""What stands behind the path of a scope's clean-up, which is no node of its own, in `RunView.scopes`."""

UNKNOWN: Final = "nobody knows whether it did what cannot be undone"
"""Why a step that was stopped is not undone."""

LATE: Final = "it did its work after all, when it had been given up"
"""Why a step is not undone that returned after it was undone, or after the end of the run."""

UNDOES: Final = "/undo:"
"""What stands in the paths of steps that undo others."""

NOWHERE: Final = "!"
"""No place of a run: of events that stand at none."""

UNDO: Final = "!undo"
"""The same for its compensation."""


@dataclass(slots=True)
class RunView:
    """A run as it stands after event `seq`."""

    id: str = ""
    workflow: str = ""
    version: str = ""
    target: str = ""
    definition: str = ""
    status: str = "created"
    input: Value = NULL
    output: Value | None = None
    failure: Failure | None = None
    reason: str = ""
    failures: tuple[Failure, ...] = ()
    tags: tuple[str, ...] = ()
    session: str = ""
    created_at: int = 0
    updated_at: int = 0
    deadline: int = 0
    allowed: int = 0
    """How long the run may take, in microseconds, 0 for ever; a reopened run has as long again."""
    epoch: int = 1
    seq: int = 0
    expected: int = 0
    completed: int = 0
    steps: dict[str, StepView] = field(default_factory=dict[str, StepView])
    scopes: dict[str, ScopeView] = field(default_factory=dict[str, ScopeView])
    timers: dict[str, int] = field(default_factory=dict[str, int])
    validations: dict[str, tuple[ValidationResult, ...]] = field(
        default_factory=dict[str, "tuple[ValidationResult, ...]"]
    )
    """What the rules about results said, by the path of the node."""
    waits: dict[str, WaitView] = field(default_factory=dict[str, WaitView])
    tokens: int = 0
    cost: float = 0.0
    """What steps said they used, also in attempts that failed; see `unpriced`."""
    files: dict[str, str] = field(default_factory=dict[str, str])
    """The files that steps said they changed, each with the step that did last."""
    interactions: list[e.Interacted] = field(default_factory=list[e.Interacted])
    """Who sent what to whom, as steps told it."""
    artifacts: int = 0
    sent: int = 0
    by: str = ""
    """Who started it."""
    statements: int = 0
    """How many statements steps performed in the store's database."""
    parent: str = ""
    """The run that started this one."""
    children: dict[str, str] = field(default_factory=dict[str, str])
    """The runs that it started, each `started`, or the status in which it was heard to have ended."""
    awaited: dict[str, str] = field(default_factory=dict[str, str])
    """The runs whose end it waits for, by path."""
    approvals: dict[str, ApprovalView] = field(default_factory=dict[str, ApprovalView])
    """What people are asked now, by path; `decided` is what they were asked."""
    decided: dict[str, ApprovalView] = field(default_factory=dict[str, ApprovalView])
    limit: str = ""
    """The limit that the run has reached, until it goes on."""
    origin: str = ""
    """The run that this one is a fork of, left after its event `forked_at`."""
    forked_at: int = 0
    streams: dict[str, StreamView] = field(default_factory=dict[str, StreamView])
    undone: list[str] = field(default_factory=list[str])
    """What was undone, by path, in this order."""
    not_undone: dict[str, Failure] = field(default_factory=dict[str, Failure])
    """What should have been undone and was not, by path, and why."""

    states: dict[str, StateView] = field(default_factory=dict[str, StateView])
    reached: e.LimitReached | None = None
    """What was used of the limit that was reached last, what was allowed, and of which session it is, if of one."""
    answers: list[HookAnswer] = field(default_factory=list[HookAnswer])
    """What hooks answered, other than that it goes on, in this order."""
    asked: dict[str, HookWait] = field(default_factory=dict[str, HookWait])
    """The hooks that it waits for, by path."""
    undo_skipped: dict[str, str] = field(default_factory=dict[str, str])
    """What counts as undone because a hook says so, by path, and which hook; nothing has undone it."""
    unpriced: int = 0
    """How many uses of models, of those that steps told, have a price that nobody knows: it is missing in `cost`."""
    left: bool = field(default=False, compare=False)
    """Whether nobody drives it though it has not ended, for the process that did has gone: resume it.

    No event says so. It is known to `handle.status()`.
    """
    _told: tuple[e.Write, ...] = ()
    _skips: str | None = None
    """The hook that has just said of something that it counts as undone."""
    _undos: int = 0
    """How many steps undo others: they are not among those that are counted."""
    _begun: set[str] = field(default_factory=set[str], repr=False, compare=False)
    """The irreversible steps that began and have not reported."""
    _counted: set[str] = field(default_factory=set[str], repr=False, compare=False)
    """What was not foreseen when the run began, and is expected by now."""
    _outlook: dict[str, int] = field(default_factory=dict[str, int], init=False, repr=False, compare=False)
    """How many steps loops and routers under way may still come to: as many again as they have come to."""
    _may_come: int = field(default=0, init=False, repr=False, compare=False)
    _most: float = field(default=0.0, init=False, repr=False, compare=False)
    """The greatest share of the known work that was done since something was last taken back."""

    @property
    def state(self) -> StateView | None:
        """The state of the run itself, or of the first of its scopes that has one."""
        return next(iter(self.states.values()), None)

    @property
    def duration(self) -> int:
        """From the beginning to the last event, in microseconds."""
        return max(0, self.updated_at - self.created_at)

    @property
    def parked(self) -> list[str]:
        """The paths of the steps that wait until somebody says what they did."""
        return [step.path for step in self.steps.values() if step.status == "parked"]

    @property
    def total(self) -> int:
        """How many steps there will have been, as far as is known now; what was left out of a completed run was not."""
        known = len(self.steps) - self._undos
        return known if self.status == "completed" else max(self.expected, known)

    @property
    def percent(self) -> float:
        """How much of the known work is done, from 0 to 100.

        It falls only when something is taken back that was done (the run is reopened or rolled back), not when more
        work becomes known. Of a loop or router, which may go on for long, as much again is expected as it has done,
        until it has ended; where all that is known is done, at least one more, until the run has ended.
        """
        return 100.0 if self.status == "completed" else round(self._most, 1)

    def _share(self) -> float:
        """The share of what is known now; may be less than before, when more has become known."""
        if not self.completed:
            return 0.0
        one_more = self.completed >= self.total and not self.ended
        return 100.0 * self.completed / (self.total + max(self._may_come, one_more))

    def _look_ahead(self, path: str, expected: int) -> None:
        """A loop or router comes to so many steps more, and may again; to none if it has ended."""
        before = self._outlook.pop(path, 0)
        after = before + expected if expected else 0
        self._may_come += after - before
        if after:
            self._outlook[path] = after

    @property
    def current(self) -> list[StepView]:
        """The steps that are under way, in the order in which they were first scheduled."""
        return [step for step in self.steps.values() if step.status in UNDER_WAY]

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more (a failed run can be resumed)."""
        return self.status in TERMINAL

    @property
    def waiting(self) -> bool:
        """Whether nothing is under way but timers and waits."""
        busy = any(step.status == "scheduled" for step in self.steps.values())
        waits = self.timers or self.waits or self.approvals or self.current or self.parked or self.awaited
        return self.status == "running" and not busy and bool(waits)

    def apply(self, recorded: Recorded) -> None:
        """Take one more event in; they come in order.

        After `RolledBack` the steps are to be seen anew with `view_of`: here they stand as they were before it.
        """
        self.seq = recorded.seq
        self.updated_at = at = recorded.at
        self.asked.pop(getattr(recorded.event, "path", NOWHERE), None)
        done = self.completed
        self._apply(recorded, at)
        share = self._share()
        self._most = share if self.completed < done else max(self._most, share)

    def _apply(self, recorded: Recorded, at: int) -> None:
        match recorded.event:
            case e.StepScheduled(path, attempt):
                self._scheduled(path, attempt, at)
            case e.StepCompleted(_, path, _, output) | e.StepReused(_, path, _, output):
                self._told = getattr(recorded.event, "writes", ())
                self._begun.discard(path)
                self._ended(path, "completed", at)
                self.steps[path].output = output
                self.completed += UNDOES not in path
            case e.StepFailed(_, path, _, failure, retry_at):
                self._begun.discard(path)
                self._failed(path, "failed", failure, retry_at, at)
            case e.AttemptLost(_, path, attempt, reason, retry_at):
                status = "cancelled" if reason == "cancelled" else "failed"
                self._failed(path, status, lost_failure(reason, path, attempt), retry_at, at)
            case e.RetryScheduled(path, attempt, due):
                step = self.steps[path]
                step.status, step.attempt, step.due, step.ended_at = "retrying", attempt, due, 0
            case e.Asked(_, path, calls, _, writes):
                self._told = writes
                self._asked(path, calls)
            case e.TimerSet(path, due):
                self.timers[path] = due
            case e.TimerFired(_, path):
                self.timers.pop(path, None)
                self.waits.pop(path, None)
            case e.NodeCancelled(path):
                self.timers.pop(path, None)
                self.waits.pop(path, None)
                self.approvals.pop(path, None)
                self.awaited.pop(path, None)
                if path in self.steps and self.steps[path].status in (*UNDER_WAY, "parked", "held"):
                    self._ended(path, "cancelled", at)
            case e.Intercepted():
                self._intercepted(recorded.event, at)
            case _:
                self._scope(recorded.event)

    def _intercepted(self, event: e.Intercepted, at: int) -> None:
        """What hooks made of a step; what they made of anything else shows in the events that follow."""
        how = (event.point, event.answer)
        if event.answer != "continue":
            self.answers.append(HookAnswer(event.path, *how, event.hook, event.detail, at))
            self._skips = event.hook if event.point in UNDOING and event.answer == "skip" else None
        if event.point in UNDOING and event.answer == "again" and event.number > at:
            self.timers[event.path] = event.number
        if event.point == "limit" and event.answer in ("replace", "again", "skip"):
            self.limit = ""
        if event.point not in ("before", "after", "error", "limit") or event.answer in ("continue", "redirect"):
            return
        if how in (("before", "replace"), ("after", "cancel"), ("limit", "replace"), ("limit", "again")):
            return  # its attempt follows, or its result stands
        if event.path not in self.steps and event.point == "limit":
            return  # the time of the run
        step = self.steps.setdefault(event.path, StepView(event.path, scheduled_at=at))
        self.completed -= step.status in COUNTED and UNDOES not in event.path
        if event.answer == "again":
            step.status = "retrying"
        elif event.answer in ("skip", "replace"):
            self._ended(event.path, "skipped" if event.answer == "skip" else "completed", at)
            step.output = event.value
            self.completed += UNDOES not in event.path
        else:
            self._ended(event.path, "cancelled" if event.answer == "cancel" else "failed", at)
            step.failure = event.failure or Failure("vetoed", event.detail, path=event.path)

    def _scope(self, event: e.Event) -> None:
        match event:
            case e.FanOutStarted(path, count, expected, how):
                chosen, kind = self.scopes.get(path), how or "fan-out"
                self.scopes[path] = ScopeView(path, kind, count=count, detail=chosen.detail if chosen else "")
                self.expected += expected
            case e.FanOutEnded(path, completed, failed):  # stopped by a hook, it may not have begun
                scope = self.scopes.setdefault(path, ScopeView(path, "fan-out"))
                scope.status, scope.completed, scope.failed = "ended", completed, failed
            case e.IterationStarted(path, index, expected):
                scope = self.scopes.setdefault(path, ScopeView(path, "loop"))
                scope.status, scope.count = "running", index + 1
                self._look_ahead(path, max(expected, 1))
                self.expected += expected
            case e.LoopEnded(path, iterations, reason):
                self.scopes[path] = ScopeView(path, "loop", "ended", iterations, detail=reason)
                self._look_ahead(path, 0)
            case e.FallbackTaken(path, choice, failure, expected):
                self._expect(f"{path}: {choice}", expected)
                self.scopes[path] = ScopeView(path, "fallback", detail=f"{choice}, because {failure.message}")
            case e.ScopeStarted(path, workflow):
                self.scopes[path] = ScopeView(path, "workflow", detail=workflow)
            case e.ScopeEnded(path, status):
                self.scopes[path].status = status
                self.timers.pop(path, None)
            case e.NodeSkipped(path, expected):
                self.scopes[path] = ScopeView(path, "skipped", "ended")
                self.expected += expected
            case e.CleanupStarted(path, count, expected):
                self._expect(path + CLEANUP, expected)
                self.scopes[path + CLEANUP] = ScopeView(path, "cleanup", count=count)
            case e.CleanupEnded(path, failures):
                scope = self.scopes[path + CLEANUP]
                scope.status, scope.completed, scope.failed = "ended", scope.count - len(failures), len(failures)
            case _:
                self._undoing(event)

    def _undoing(self, event: e.Event) -> None:
        match event:
            case e.StepStarted(_, path):
                self._begun.add(path)
            case e.StepParked(path):
                self._begun.add(path)
                self.steps[path].status = "parked"
                self.not_undone.pop(path, None)
            case e.Reconciled():
                self._reconciled(event)
            case e.CompensationStarted(path, count):
                self.scopes[path + UNDO] = ScopeView(path, "undo", count=count)
            case e.StepUndone(path):
                self._undone(path)
            case e.UndoFailed(path, failure):
                self.not_undone[path] = failure
            case e.LateOutcome(_, path, attempt) if path in self.undone or self.status in TERMINAL:
                self.not_undone[path] = Failure("late_outcome", LATE, path=path, attempt=attempt)
            case e.CompensationEnded(path, report, undone, failures, irreversible):
                for each in irreversible:
                    self.not_undone.setdefault(each, Failure("irreversible", "nothing can undo it", path=each))
                scope = self.scopes[path + UNDO]
                scope.status, scope.completed, scope.failed, scope.detail = "ended", undone, len(failures), report
            case e.RunUndoing(reason):
                self.status, self.reason = "undoing", reason
            case e.RunUndone():
                self._over("undone")
            case _:
                self._wait(event)

    def _wait(self, event: e.Event) -> None:
        match event:
            case e.WaitStarted(path, signal, due):
                self.waits[path] = WaitView(path, signal, self.updated_at, due)
                if due:
                    self.timers[path] = due
            case e.SignalTaken(path):
                self.timers.pop(path, None)
                self.waits.pop(path, None)
            case _:
                self._approval(event)

    def _approval(self, event: e.Event) -> None:
        match event:
            case e.ApprovalRequested():
                self.approvals[event.path] = ApprovalView(
                    event.path,
                    event.question,
                    event.about,
                    event.digest,
                    event.assignees,
                    event.quorum,
                    event.form,
                    self.updated_at,
                    event.expires,
                )
                self._moved(event.path, event.due)
            case e.VoteCounted(path, by, granted):
                self.approvals[path].votes.append((by, granted))
            case e.DelegationTaken(path, by, to):
                asked = self.approvals[path]
                asked.assignees = (*(name for name in asked.assignees if name != by), to)
            case e.ApprovalReminded(path, due):
                self._moved(path, due)
            case e.ApprovalEscalated(path, to, due):
                asked = self.approvals[path]
                asked.assignees = (*asked.assignees, *(name for name in to if name not in asked.assignees))
                self._moved(path, due)
            case e.ApprovalDecided(path, granted, how, by):
                self.decided[path] = asked = self.approvals.pop(path)
                asked.granted, asked.how, asked.by, asked.decided_at = granted, how, by, self.updated_at
                self.timers.pop(path, None)
            case _:
                self._choice(event)

    def _moved(self, path: str, due: int) -> None:
        """The timer of an approval is due at another moment."""
        self.timers.pop(path, None)
        if due:
            self.timers[path] = due

    def _choice(self, event: e.Event) -> None:
        match event:
            case e.BranchTaken(path, condition, choice, expected):
                self.scopes[path] = ScopeView(path, "branch", "ended", detail=f"{condition}: {choice}")
                self.expected += expected
            case e.TransitionTaken(path, number, source, target, reason, expected):
                move = f"{source or 'start'} → {target or 'end'}: {reason}"
                status, count = ("running", number + 1) if target else ("ended", number)
                self.scopes[path] = ScopeView(path, "router", status, count, detail=move)
                self._look_ahead(path, max(expected, 1) if target else 0)
                self.expected += expected
            case e.RulesChecked(path, results):
                self.validations[path] = results
            case _:
                self._lifecycle(event)

    def _undone(self, path: str) -> None:
        """A step is undone, or all steps of a flow as a whole, or counts as that."""
        self.undone.append(path)
        self.not_undone.pop(path, None)
        if self._skips is not None:
            self.undo_skipped[path], self._skips = self._skips, None
        one = self.steps.get(path)
        below = f"{path.removesuffix('()')}/"
        for step in (one,) if one is not None else [it for it in self.steps.values() if it.path.startswith(below)]:
            if step.status == "completed" and UNDOES not in step.path:
                step.status = "undone"
                self.completed -= 1

    def _reconciled(self, event: e.Reconciled) -> None:
        self._begun.discard(event.path)
        if event.verdict == "completed":
            self._ended(event.path, "completed", event.at)
            self.steps[event.path].output = event.output
            self.completed += UNDOES not in event.path
        elif event.verdict == "failed":
            self._ended(event.path, "failed", event.at)
            self.steps[event.path].failure = event.failure
        else:
            self.steps[event.path].due = event.at

    def _lifecycle(self, event: e.Event) -> None:
        match event:
            case e.RunStarted():
                self._start(event)
            case e.RunTaken(_, epoch):
                self.epoch = epoch
                self.asked.clear()
            case e.RunReopened(at):
                self.status, self.failure, self.reason, self.limit = "running", None, "", ""
                self.deadline = at + self.allowed if self.allowed else 0
            case e.RunPausing():
                self.status = "paused"
            case e.RunContinued():
                self.status, self.limit = "running", ""
            case e.RunCancelling(reason):
                self.status, self.reason = "cancelling", reason
            case e.RunCompleted(output):
                self._over("completed")
                self.output = output
            case e.RunFailed(failure):
                self._over("failed")
                self.failure = failure
            case e.RunCancelled(reason, failures):
                self._over("cancelled")
                self.reason, self.failures = reason, failures
            case e.RunTerminated(reason):
                self._over("terminated")
                self.reason = reason
            case _:
                self._travelled(event)

    def _travelled(self, event: e.Event) -> None:
        match event:
            case e.RolledBack(at, _, _, _, epoch):
                self.epoch = epoch
                self._begun_again(at)
                self.children = {**dict.fromkeys(event.children, "started"), **self.children}
            case e.Migrated(_, _, _, _, epoch, created_at):
                self._anew(created_at)
                self.epoch, self.allowed = epoch, event.allowed
                for name, count in told_before(event).items():
                    setattr(self, name, count)
            case e.RunForked(at, origin, to):
                self.origin, self.forked_at, self.created_at = origin, to, at
                self._begun_again(at)
            case _:
                self._stream(event)

    def _stream(self, event: e.Event) -> None:
        match event:
            case e.StreamAdvanced(_, path):
                self.streams.setdefault(path, StreamView(path)).advance(event, self.updated_at)
            case e.StreamEnded(path):
                self.streams.setdefault(path, StreamView(path)).end(event, self.updated_at)
            case _:
                self._state(event)

    def _state(self, event: e.Event) -> None:
        """States are written by facts; their consequences say which scope's state that is, and when."""
        match event:
            case e.Returned() | e.Raised() | e.Restarted() | e.StateGiven() | e.StateEdited():
                self._told = event.writes
            case e.StateOpened(path, name, version):
                self.states[path] = StateView(path, name, version, after({}, self._told))
            case e.StateChanged(path, writes):
                state = self.states[path]
                state.fields = after(state.fields, writes or self._told)
            case e.StateRestored(path, writes, gone):
                anew = {*gone, *(write.field for write in writes)}
                kept = {name: held for name, held in self.states[path].fields.items() if name not in anew}
                self.states[path].fields = after(kept, writes)
            case _:
                self._reported(event)

    def _reported(self, event: e.Event) -> None:
        match event:
            case e.UsageReported():
                views: list[RunView | StepView] = [self, *filter(None, (self.steps.get(event.path),))]
                for view in views:
                    view.tokens += event.tokens
                    view.cost += event.cost
                    view.unpriced += event.unpriced
            case e.FilesTouched(_, path, _, files):
                self.files.update(dict.fromkeys(files, path))
            case e.Interacted():
                self.interactions.append(event)
            case e.ArtifactSaved():
                self.artifacts += 1
            case e.RowsWritten(_, _, _, _, count):
                self.statements += count
            case e.HookAwaited(_, path, point, hook, since):
                self.asked[path] = HookWait(path, point, hook, since)
            case e.SessionEntered(_, session):
                self.session = session
            case e.LimitsSet():
                self.limit = ""
            case e.LimitReached(_, path, _, limit):
                self.limit, self.reached = limit, event
                if path in self.steps:
                    self.steps[path].status = "held"
            case _:
                self._sent(event)

    def _sent(self, event: e.Event) -> None:
        match event:
            case e.Dispatched(again=True):
                pass
            case e.MessageQueued() | e.Dispatched():
                self.sent += 1
                if event.kind == "start":
                    self.children[event.target] = "started"
            case e.EffectsDropped(_, _, messages, artifacts, statements, children):
                self.sent, self.artifacts = self.sent - messages, self.artifacts - artifacts
                self.statements -= statements
                self.children = {child: how for child, how in self.children.items() if child not in children}
            case e.ChildAwaited(path, run):
                self.awaited[path] = run
            case e.ChildEnded(_, run, status):
                self.children[run] = status
                self.awaited = {path: other for path, other in self.awaited.items() if other != run}
            case _:
                pass

    def _start(self, event: e.RunStarted) -> None:
        self.id, self.workflow, self.version = event.run, event.workflow, event.version
        self.target, self.definition, self.input = event.target, event.definition, event.input
        self.deadline, self.expected, self.tags = event.deadline, event.expected, event.tags
        self.status, self.created_at, self.session = "running", self.created_at or event.at, event.session
        self._told, self.parent, self.by = event.state, event.parent, event.by
        self.allowed = self.allowed or (event.deadline - event.at if event.deadline else 0)

    def _anew(self, created_at: int) -> None:
        """The run begins again, with another definition."""
        fresh = RunView(seq=self.seq, updated_at=self.updated_at, origin=self.origin, forked_at=self.forked_at)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))
        self.created_at = created_at

    def _begun_again(self, at: int) -> None:
        self.status, self.failure, self.reason, self.output, self.failures = "running", None, "", None, ()
        self.deadline = at + self.allowed if self.allowed else 0

    def _over(self, status: str) -> None:
        """The run has ended: nothing is under way any more, whether or not the journal says how each thing ended."""
        self.status = status
        self.timers.clear()
        self.waits.clear()
        self.awaited.clear()
        self.approvals.clear()
        self.asked.clear()
        for step in self.steps.values():
            step.due = 0
            if step.status in (*UNDER_WAY, "parked", "held"):
                self._ended(step.path, "cancelled", self.updated_at)
        for scope in self.scopes.values():
            if scope.status == "running":
                scope.status = "ended"
        for stream in self.streams.values():
            if stream.status == "running":
                stream.status = status

    def _asked(self, path: str, calls: tuple[e.CallSpec, ...]) -> None:
        """A durable function's steps are known when it asks for them; in paths a body shows as `()`."""
        while path.endswith("()"):
            path = path.removesuffix("()")
        prefix = f"{path}/" if path else ""
        self.expected += sum(call.kind == "step" and prefix + call.segment not in self.steps for call in calls)
        for call in calls:
            self._expect(prefix + call.segment, call.expected)

    def _expect(self, what: str, steps: int) -> None:
        """These steps are expected too; once, though the run may come to them again after it was reopened."""
        if steps and what not in self._counted:
            self._counted.add(what)
            self.expected += steps

    def _scheduled(self, path: str, attempt: int, at: int) -> None:
        step = self.steps.get(path)
        if step is not None and step.due:  # the next attempt, which was decided with the failure of the one before
            step.status, step.attempt, step.due, step.ended_at = "scheduled", attempt, 0, 0
            return
        if step is None:
            self._undos += UNDOES in path
        elif step.status in COUNTED and UNDOES not in path:
            self.completed -= 1  # taken back when the run was reopened
        used = StepView(path) if step is None else step
        self.steps[path] = StepView(
            path, attempt=attempt, scheduled_at=at, tokens=used.tokens, cost=used.cost, unpriced=used.unpriced
        )

    def _failed(self, path: str, status: str, failure: Failure, retry_at: int, at: int) -> None:
        """An attempt failed. There is another only if the next event says so: not if the step was being stopped."""
        self._ended(path, status, at)
        step = self.steps[path]
        step.failure, step.due = failure, retry_at
        if retry_at and self.status == "paused":
            step.status, step.ended_at = "retrying", 0  # held until the run goes on

    def _ended(self, path: str, status: str, at: int) -> None:
        step = self.steps[path]
        if status == "cancelled" and path in self._begun:
            status = "unknown"
            self.not_undone[path] = Failure("outcome_unknown", UNKNOWN, path=path, attempt=step.attempt)
        step.status, step.ended_at, step.due = status, at, 0


def view_of(journal: list[Recorded]) -> RunView:
    """The view of a whole journal."""
    view = RunView()
    for recorded in lineage(journal):
        view.apply(recorded)
    return view
