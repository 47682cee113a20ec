"""The events of a run: facts come from outside, consequences come from the core.

Law: a fact carries its time (`at`, microseconds since 1970 UTC, never going back within a run); a consequence has the
time of the fact it follows. Every field is plain data that survives JSON. Events are only ever added to, never
changed: a new field comes last and has a default.
"""

from __future__ import annotations

from typing import TypeAlias

from ..records import record
from .asking import (
    ApprovalDecided as ApprovalDecided,
)
from .asking import (
    ApprovalDelegated as ApprovalDelegated,
)
from .asking import (
    ApprovalEscalated as ApprovalEscalated,
)
from .asking import (
    ApprovalReminded as ApprovalReminded,
)
from .asking import (
    ApprovalRequested as ApprovalRequested,
)
from .asking import (
    DelegationTaken as DelegationTaken,
)
from .asking import (
    SignalReceived as SignalReceived,
)
from .asking import (
    SignalTaken as SignalTaken,
)
from .asking import (
    UpdateAnswered as UpdateAnswered,
)
from .asking import (
    VoteCast as VoteCast,
)
from .asking import (
    VoteCounted as VoteCounted,
)
from .asking import (
    VoteRefused as VoteRefused,
)
from .asking import (
    WaitStarted as WaitStarted,
)
from .dispatched import ChildAwaited as ChildAwaited
from .dispatched import ChildEnded as ChildEnded
from .dispatched import Dispatched as Dispatched
from .durations import per_second
from .interception import HookAwaited as HookAwaited
from .interception import HookFailed as HookFailed
from .interception import HooksSet as HooksSet
from .interception import Intercepted as Intercepted
from .interception import PointReached as PointReached
from .interception import Requested as Requested
from .interception import RequestRefused as RequestRefused
from .parts import CallSpec as CallSpec
from .parts import Failure as Failure
from .parts import ValidationResult as ValidationResult
from .parts import Write as Write
from .reported import ArtifactSaved as ArtifactSaved
from .reported import EffectsDropped as EffectsDropped
from .reported import EffectsLet as EffectsLet
from .reported import FilesTouched as FilesTouched
from .reported import Interacted as Interacted
from .reported import LimitReached as LimitReached
from .reported import LimitsSet as LimitsSet
from .reported import MessageQueued as MessageQueued
from .reported import Reported as Reported
from .reported import RowsWritten as RowsWritten
from .reported import SessionEntered as SessionEntered
from .reported import SessionWritten as SessionWritten
from .reported import UsageReported as UsageReported
from .state_events import ANY as ANY
from .state_events import StateChanged as StateChanged
from .state_events import StateEdited as StateEdited
from .state_events import StateGiven as StateGiven
from .state_events import StateMerged as StateMerged
from .state_events import StateOpened as StateOpened
from .state_events import StateRestored as StateRestored
from .travelled import Migrated as Migrated
from .travelled import Restarted as Restarted
from .travelled import RolledBack as RolledBack
from .travelled import RunForked as RunForked
from .travelled import StepReused as StepReused
from .values import NULL, Value

# --- facts ---------------------------------------------------------------------------------------------------------


@record
class RunStarted:
    """A run began. Everything that shapes later decisions and is not the definition's is recorded here."""

    at: int
    run: str
    workflow: str
    version: str
    definition: str
    """The hash of the definition; its description is stored by content under the same digest."""
    input: Value
    seed: int
    target: str = ""
    deadline: int = 0
    """Microseconds since 1970, or 0."""
    expected: int = 0
    """How many steps the definition lets expect; later events correct it."""
    core: int = 10
    """The rules of the core that the run goes by, for ever: 1 told how a fan-out ended again when its merge was asked
    again; 2 did not say which fields of a state a step had read, nor how many steps of alternatives and clean-up are
    expected, and restored a state in the order in which its fields had been written; with 3 other limits ended every
    pause, and what an attempt does beyond the run was not withheld while interceptors were asked about its result;
    with 4 a node of a graph that a hook left out ran as its condition said; with 5 a reopened run did again what an
    irreversible step may have done, and it was not said what nothing can undo; 6 did not tell what graphs and durable
    functions run side by side, nor which gates of a graph let their nodes run; with 7 the delays of a paused run ended,
    and it began others; with 8 what an attempt had written counted when its step was done again, failed, and a
    hook gave its result, answers to approvals were bound to what they were about alone, and a paused run asked
    people; with 9 they were bound by 16 digits of a digest, the time of a wait that a paused run came to began at
    once, what answered an update wrote to the state step by step, and it was not told what only
    counted as undone."""
    tags: tuple[str, ...] = ()
    session: str = ""
    limits: str = ""
    """What the run may use, as JSON (see `core.limits`); empty for no limits."""
    hooks: tuple[str, ...] = ()
    """The points that hooks stand at; see `points`."""
    state: tuple[Write, ...] = ()
    """What the run's own typed state begins with."""
    parent: str = ""
    """The run that started this one."""
    reports: bool = False
    """Whether that one is told how this one ends."""
    by: str = ""
    """Who started it; a claim that is recorded."""
    judged: bool = False
    """Whether its own typed state is judged where branches are joined; see `StateGiven`."""


@record
class RunTaken:
    """An owner took the run over; the fence against the one before."""

    at: int
    epoch: int
    owner: str


@record
class RunReopened:
    """A failed run goes on from its first unfinished steps; with `kept`, timers stay due when they were."""

    at: int
    kept: bool = False


@record
class StepStarted:
    """An irreversible step is about to run (other steps start without an event)."""

    at: int
    path: str
    attempt: int


@record
class StepCompleted:
    """An attempt returned; `writes` are what it wrote to the state, `reads` the fields that it looked at (or `ANY`)."""

    at: int
    path: str
    attempt: int
    output: Value
    writes: tuple[Write, ...] = ()
    reads: tuple[str, ...] = ()


@record
class StepFailed:
    """An attempt raised. `retry_at` is the moment of the next one, 0 if this was the last."""

    at: int
    path: str
    attempt: int
    failure: Failure
    retry_at: int = 0


@record
class AttemptLost:
    """An attempt ended without a report: its outcome is unknown. `reason`: see `nodes.call.LOST`.

    `began` is false for a step that could be undone and is known not to have begun: its outcome is not unknown.
    """

    at: int
    path: str
    attempt: int
    reason: str
    retry_at: int = 0
    began: bool = True


@record
class LateOutcome:
    """An attempt that had been given up returned after all. It changes no result; what it did can be undone."""

    at: int
    path: str
    attempt: int
    output: Value
    generation: int = 0


@record
class Reconciled:
    """Somebody says what an irreversible step really did: `completed`, `failed`, or `retry` (nothing: try again)."""

    at: int
    path: str
    attempt: int
    verdict: str
    output: Value = NULL
    failure: Failure | None = None
    by: str = ""


@record
class TimerFired:
    """A timer of this path is due."""

    at: int
    path: str


@record
class Answered:
    """User code answered a question of this path."""

    at: int
    path: str
    answer: Value


@record
class AnswerFailed:
    """User code raised when it was asked."""

    at: int
    path: str
    failure: Failure


@record
class Asked:
    """A slice of a durable function ended by asking for calls, and by giving up those in `dropped`.

    `writes` are what its branch of the state has gained by the slice, its own writes and those of joined calls.
    """

    at: int
    path: str
    calls: tuple[CallSpec, ...] = ()
    dropped: tuple[int, ...] = ()
    writes: tuple[Write, ...] = ()


@record
class Returned:
    """A durable function returned."""

    at: int
    path: str
    output: Value
    writes: tuple[Write, ...] = ()


@record
class Raised:
    """A durable function raised."""

    at: int
    path: str
    failure: Failure
    writes: tuple[Write, ...] = ()


@record
class CallRecorded:
    """A call that a step made through `current().call` succeeded: the next attempt is handed its result."""

    at: int
    path: str
    attempt: int
    key: str
    output: Value
    writes: tuple[Write, ...] = ()
    """What it wrote to the typed state: whoever is handed its result has written that too."""


@record
class CallStarted:
    """A step is about to make an irreversible call through `current().call` (others begin without an event)."""

    at: int
    path: str
    attempt: int
    key: str


@record
class CallFailed:
    """A try of a call that a step made through `current().call` raised; `retry_at` as in `StepFailed`."""

    at: int
    path: str
    attempt: int
    key: str
    failure: Failure
    retry_at: int = 0
    unknown: bool = False
    """Whether nobody knows if it did its work, of one that can be undone."""


@record
class CallBegan:
    """A step is about to make a call through `current().call` that can be undone, with this input.

    `undo` is the name of what undoes it, `callee` says who is called; `takes_unknown`: it may be asked, too, where
    nobody knows whether the call did its work.
    """

    at: int
    path: str
    attempt: int
    key: str
    undo: str
    callee: str
    input: Value = NULL
    takes_unknown: bool = False


@record
class CallReturned:
    """A call that can be undone did its work: this is what its undo is given."""

    at: int
    path: str
    attempt: int
    key: str
    output: Value = NULL


@record
class StreamAdvanced:
    """A stream's sink acknowledged batch number `batch` (from 1), or the stream came to its end (`ended` says why).

    `group` is how many batches it acknowledged since the fact before, this one among them.
    `position` is where its source goes on, `held` what its stages held open there (by number of the stage), `output`
    the result so far of one that folds. `taken` counts the items of the source up to `position`; `dropped` and `dead`
    count those that never reached the sink, `failures` are some of the latter since the batch before.
    `elapsed` is how long it had been pumped by then, in all attempts and without pauses, `lag` how long before the last
    acknowledged item had come from the source (microseconds); `behind` is how many items the source had given since.
    """

    at: int
    path: str
    attempt: int
    batch: int
    position: Value = NULL
    held: Value = NULL
    taken: int = 0
    dropped: int = 0
    dead: int = 0
    failures: tuple[Failure, ...] = ()
    output: Value = NULL
    ended: str = ""
    group: int = 1
    elapsed: int = 0
    lag: int = 0
    behind: int = 0

    @property
    def throughput(self) -> float:
        """Items a second on average, of the time that it was pumped."""
        return per_second(self.taken, self.elapsed)


@record
class CancelRequested:
    """Somebody asks the run to stop and clean up."""

    at: int
    reason: str = ""
    by: str = ""


@record
class TerminateRequested:
    """Somebody kills the run."""

    at: int
    reason: str = ""
    by: str = ""


@record
class PauseRequested:
    """Somebody asks the run to start nothing new."""

    at: int
    reason: str = ""
    by: str = ""


@record
class ContinueRequested:
    """Somebody lets a paused run go on; if `only` is given, one that was paused by nobody else."""

    at: int
    by: str = ""
    only: str = ""


@record
class CheckpointNamed:
    """Somebody gives this place in the journal a name."""

    at: int
    name: str
    by: str = ""


@record
class SignalRefused:
    """A message in whose value is not of the type that the run waits for; it changes nothing."""

    at: int
    name: str
    failure: Failure
    id: str = ""
    by: str = ""


@record
class RunStuck:
    """Nothing is left that could bring the run on: `where` is the path of the node that should have."""

    at: int
    where: str


@record
class UndoRequested:
    """Somebody takes back what a run that has ended did after event number `after`; `states` are what they were."""

    at: int
    after: int = 0
    reason: str = ""
    by: str = ""
    states: tuple[StateRestored, ...] = ()


Fact: TypeAlias = (
    StepCompleted
    | StepFailed
    | AttemptLost
    | Answered
    | Asked
    | Returned
    | TimerFired
    | AnswerFailed
    | Raised
    | CallRecorded
    | StepStarted
    | StreamAdvanced
    | RunStarted
    | RunTaken
    | RunReopened
    | CancelRequested
    | TerminateRequested
    | PauseRequested
    | ContinueRequested
    | CheckpointNamed
    | RunStuck
    | SignalReceived
    | SignalRefused
    | VoteCast
    | ApprovalDelegated
    | CallStarted
    | CallBegan
    | CallReturned
    | CallFailed
    | Restarted
    | RolledBack
    | Migrated
    | RunForked
    | StepReused
    | SessionWritten
    | SessionEntered
    | Intercepted
    | HookAwaited
    | HookFailed
    | HooksSet
    | Requested
    | StateGiven
    | StateMerged
    | StateEdited
    | ArtifactSaved
    | MessageQueued
    | RowsWritten
    | UsageReported
    | FilesTouched
    | Interacted
    | LimitReached
    | LimitsSet
    | LateOutcome
    | Reconciled
    | UndoRequested
    | Dispatched
    | ChildEnded
)


# --- consequences --------------------------------------------------------------------------------------------------


@record
class StepScheduled:
    """The attempt is to run now."""

    path: str
    attempt: int


@record
class RetryScheduled:
    """The attempt is to run at `due`."""

    path: str
    attempt: int
    due: int


@record
class TimerSet:
    """A durable wait, or a scope's deadline, ends at `due`."""

    path: str
    due: int


@record
class ScopeStarted:
    """A sub-workflow began."""

    path: str
    workflow: str


@record
class ScopeEnded:
    """A sub-workflow ended: `completed`, `failed` or `cancelled`."""

    path: str
    status: str


@record
class BranchTaken:
    """A choice was made: by which condition, which way; `expected` corrects the number of expected steps."""

    path: str
    condition: str
    choice: str
    expected: int = 0


@record
class TransitionTaken:
    """A router goes from one of its nodes to the next, and why.

    `source` is empty when it begins, `target` when it ends; `number` is how many of its nodes have run. The reason of
    an end that nobody wanted is the code of its failure.
    """

    path: str
    number: int
    source: str
    target: str
    reason: str
    expected: int = 0


@record
class RulesChecked:
    """The rules about a node's result were looked at: what each of them says, in their order."""

    path: str
    results: tuple[ValidationResult, ...]


@record
class FanOutStarted:
    """A map or parallel node begins `count` branches; so does what `how` names: graph, gather, race or map.

    `branches` are how the paths of the branches of a durable function begin, in order, for they do not lie below this
    one: `fetch`, and `helper.` for what the coroutine `helper` calls. Those of its map are told apart by their index.
    """

    path: str
    count: int
    expected: int = 0
    how: str = ""
    branches: tuple[str, ...] = ()


@record
class FanOutEnded:
    """What had branches joined, or was stopped: one summary of all of them."""

    path: str
    completed: int
    failed: int
    cancelled: int
    failures: tuple[Failure, ...] = ()


@record
class IterationStarted:
    """A loop begins an iteration, counted from 0."""

    path: str
    index: int
    expected: int = 0


@record
class LoopEnded:
    """A loop ended: `exhausted`, `until`, `while`, `max_iterations` or `empty`."""

    path: str
    iterations: int
    reason: str


@record
class FallbackTaken:
    """An alternative, of which so many steps are `expected`, is tried because the one before failed."""

    path: str
    choice: str
    failure: Failure
    expected: int = 0


@record
class StreamEnded:
    """A stream ended: `exhausted`, `failed`, `cancelled`, or whatever word it was stopped with; its counts.

    `elapsed` and `lag` as in `StreamAdvanced`: the whole of the former, the greatest of the latter that was recorded.
    """

    path: str
    reason: str
    batches: int
    taken: int
    dropped: int = 0
    dead: int = 0
    elapsed: int = 0
    lag: int = 0

    @property
    def throughput(self) -> float:
        """Items a second on average, of the time that it was pumped."""
        return per_second(self.taken, self.elapsed)


@record
class NodeSkipped:
    """A node of a graph does not run: its `condition` is false or something it needs was skipped."""

    path: str
    expected: int = 0
    condition: str = ""


@record
class NodeCancelled:
    """Something that waited (a backoff, a timer, a question) was cancelled."""

    path: str


@record
class CleanupStarted:
    """A scope that failed or was cancelled begins its clean-up handlers, of which so many steps are expected."""

    path: str
    count: int
    expected: int = 0


@record
class CleanupEnded:
    """All clean-up handlers of a scope ended; those that failed are kept."""

    path: str
    failures: tuple[Failure, ...] = ()


@record
class StepParked:
    """Nobody knows what an irreversible step did. It waits until somebody says so, and is not repeated."""

    path: str
    attempt: int


@record
class CompensationStarted:
    """What a scope did is undone now: `count` calls, last first."""

    path: str
    count: int


@record
class StepUndone:
    """What a call did is undone."""

    path: str


@record
class UndoFailed:
    """What a call did is not undone, and why."""

    path: str
    failure: Failure


@record
class CompensationEnded:
    """The compensation of a scope ended: `complete`, `partial`, `failed` or `skipped`; so many calls were undone.

    `irreversible` are the paths of the steps that did, or may have done, what nothing can undo; `skipped` are those of
    the steps that count as undone because a hook says so, which is all that was to be undone if that is the report.
    """

    path: str
    report: str
    undone: int
    failures: tuple[Failure, ...] = ()
    irreversible: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


@record
class RunUndoing:
    """What an ended run did is being taken back."""

    reason: str = ""


@record
class RunUndone:
    """What could be taken back is."""


@record
class RunPausing:
    """The run starts nothing new."""


@record
class RunContinued:
    """The run goes on after a pause."""


@record
class RunCancelling:
    """The run is stopping what it has in flight."""

    reason: str = ""


@record
class RunCompleted:
    """The run ended with a result."""

    output: Value


@record
class RunFailed:
    """The run ended with a failure."""

    failure: Failure


@record
class RunCancelled:
    """The run ended because it was asked to; failures of clean-up handlers are kept."""

    reason: str = ""
    failures: tuple[Failure, ...] = ()


@record
class RunTerminated:
    """The run was killed."""

    reason: str = ""


Consequence: TypeAlias = (
    StepScheduled
    | RetryScheduled
    | TimerSet
    | WaitStarted
    | SignalTaken
    | UpdateAnswered
    | ApprovalRequested
    | VoteCounted
    | VoteRefused
    | DelegationTaken
    | ApprovalReminded
    | ApprovalEscalated
    | ApprovalDecided
    | ScopeStarted
    | ScopeEnded
    | BranchTaken
    | TransitionTaken
    | RulesChecked
    | FanOutStarted
    | FanOutEnded
    | IterationStarted
    | LoopEnded
    | FallbackTaken
    | StreamEnded
    | NodeSkipped
    | NodeCancelled
    | CleanupStarted
    | CleanupEnded
    | PointReached
    | EffectsLet
    | EffectsDropped
    | RequestRefused
    | StateOpened
    | StateChanged
    | StateRestored
    | RunPausing
    | RunContinued
    | RunCancelling
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunTerminated
    | StepParked
    | CompensationStarted
    | StepUndone
    | UndoFailed
    | CompensationEnded
    | RunUndoing
    | RunUndone
    | ChildAwaited
)

Event: TypeAlias = Fact | Consequence


@record
class Recorded:
    """An event with its place: run, sequence number (gapless from 1) and time in microseconds since 1970."""

    run: str
    seq: int
    at: int
    event: Event
