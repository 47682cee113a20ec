"""What hooks are handed, and what interceptors answer: frozen values, one kind for each family of points."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeAlias

from typing_extensions import TypeVar

from ..core.durations import Duration
from ..core.events import Event, Failure
from ..core.points import enclosing

E_co = TypeVar("E_co", bound=Event, default=Event, covariant=True)

UNSET: Any = object()
"""Stands for a value that was not given."""

# --- answers


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on as if nobody had been asked; None says the same."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Go on with another value: the input before something, the result after it, the result instead of an error.

    It is validated by the type that stands there. For a step of several parameters its input is a dict of them.
    """

    value: Any


@dataclass(frozen=True, slots=True)
class Skip:
    """Leave it out, as if it had returned `value`; an iteration without one leaves the accumulator as it is."""

    value: Any = UNSET


@dataclass(frozen=True, slots=True)
class Again:
    """Run the step once more, `after` a while; the attempt with the number `at_most` is the last one so granted.

    At a limit nothing has run: there a step is let wait `at_most` times, then the limit's policy counts.
    """

    after: Duration = 0
    at_most: int = 10


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go another way: the name of a branch or an alternative, `run` or `skip` for a node with a condition.

    In a loop `end` ends it with its accumulator.
    """

    to: str


@dataclass(frozen=True, slots=True)
class Narrow:
    """At most so many branches at a time; a fan-out is never made wider than it was written."""

    to: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the whole run, with its clean-up."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Veto:
    """Forbid it: the step, the choice or the scope fails with the code `vetoed`, and is not tried again."""

    reason: str = ""


Answer: TypeAlias = Continue | Replace | Skip | Again | Redirect | Narrow | Cancel | Veto

# --- what interceptors are asked about


@dataclass(frozen=True, slots=True)
class Point:
    """Where a run is: at which point, of which node, when. `path` is empty for the run itself."""

    point: str
    run: str
    workflow: str
    path: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RunStarting(Point):
    """`start`: a run is about to begin with this input (Replace, Skip, Cancel, Veto)."""

    input: Any


@dataclass(frozen=True, slots=True)
class RunCompleting(Point):
    """`complete`: a run is about to end with this result (Replace, Cancel, Veto)."""

    output: Any


@dataclass(frozen=True, slots=True)
class RunFailing(Point):
    """`fail`: a run is about to fail (Replace: it completes with that result; Cancel)."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class StageEntering(Point):
    """`stage`: a chain goes on to its link `stage` with this value (Replace, Cancel, Veto)."""

    stage: str
    index: int
    input: Any


@dataclass(frozen=True, slots=True)
class BeforeStep(Point):
    """`before`: a step is about to run with these arguments, by name (Replace, Skip, Cancel, Veto).

    Asked once for a step, not for each of its attempts, and again when a run is resumed that failed of the answer.
    """

    arguments: dict[str, Any]

    @property
    def input(self) -> Any:
        """The only argument, or all of them by name."""
        return next(iter(self.arguments.values())) if len(self.arguments) == 1 else self.arguments


@dataclass(frozen=True, slots=True)
class AfterStep(Point):
    """`after`: an attempt returned, which is recorded already (Replace, Again, Cancel, Veto)."""

    output: Any
    attempt: int


@dataclass(frozen=True, slots=True)
class StepErring(Point):
    """`error`: an attempt failed (Replace: as if it had returned that; Again, Cancel, Veto).

    `retrying`: its policy has another attempt for it anyway.
    """

    failure: Failure
    attempt: int
    retrying: bool


@dataclass(frozen=True, slots=True)
class FallbackChoosing(Point):
    """`fallback`: an alternative failed, `choice` is tried next (Redirect to another of `choices`, Cancel, Veto)."""

    choice: str
    choices: tuple[str, ...]
    failure: Failure


@dataclass(frozen=True, slots=True)
class BranchChoosing(Point):
    """`branch`: a decision fell on `choice` (Redirect to another of `choices`, Skip, Cancel, Veto)."""

    choice: str
    choices: tuple[str, ...]
    input: Any


@dataclass(frozen=True, slots=True)
class LoopTurning(Point):
    """`loop_start`, `iteration`, `iterated` (after one), `loop_end`: a loop has this value (Replace, Cancel, Veto).

    It is its accumulator. At `loop_start` it is the loop's input, and all of it can be skipped; at `iteration` that
    iteration can; at `iteration` and `iterated` Redirect("end") ends the loop.
    """

    value: Any
    index: int


@dataclass(frozen=True, slots=True)
class ForkStarting(Point):
    """`fork`: so many branches are about to begin, `window` at a time (Narrow, Skip, Cancel, Veto)."""

    count: int
    window: int
    input: Any


@dataclass(frozen=True, slots=True)
class JoinEnding(Point):
    """`join`: the branches have ended with this result (Replace, Cancel, Veto)."""

    output: Any


@dataclass(frozen=True, slots=True)
class CancelAsking(Point):
    """`cancel`: somebody asks the run to stop (Veto: it does not). It waits for this, at most the hook's timeout."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class SignalArriving(Point):
    """`signal`: a signal, or an update, has come, with this value as plain data.

    Replace (another value), Skip (it is as if it had not come), Veto (it is refused, with a reason), Cancel.
    """

    signal: str
    value: Any
    id: str
    by: str
    is_update: bool


@dataclass(frozen=True, slots=True)
class CheckpointNaming(Point):
    """`checkpoint`: somebody gives the present place a name (Replace: another name; Veto)."""

    checkpoint: str
    by: str


@dataclass(frozen=True, slots=True)
class RollbackStarting(Point):
    """`rollback`: the run is to be taken back to a place, after event `to` (Redirect: to another place; Veto)."""

    place: str
    to: int
    by: str


@dataclass(frozen=True, slots=True)
class LimitReaching(Point):
    """`limit`: a limit lets the attempt not begin; what happens is said by `policy` unless this hook says otherwise.

    Replace (with other `Limits`, which go on from here), Redirect (to `fail`, `pause` or `ask`), Skip (the step is left
    out), Again (try again after a while), Cancel, Veto (the step fails). `path` is empty where the time of the run is
    up: then it is Replace, Redirect, Cancel or Veto. The limits of a `session` cannot be replaced here.
    """

    limit: str
    used: float
    allowed: float
    policy: str
    session: str


@dataclass(frozen=True, slots=True)
class UndoStarting(Point):
    """`compensation`: the step at `path` is about to be undone.

    Replace (as if its output had been another), Skip (it counts as undone), Veto (it is not undone, which is a failure
    of the compensation). If it is not `known` whether it did its work, its output is None.
    """

    output: Any
    known: bool


@dataclass(frozen=True, slots=True)
class UndoEnding(Point):
    """`compensated`: the step at `path` is undone (Veto: it is not, and counts as one whose undo failed)."""


@dataclass(frozen=True, slots=True)
class UndoErring(Point):
    """`compensation_error`: the undo of the step at `path` failed (Again; Skip: it counts as undone)."""

    failure: Failure
    attempt: int


@dataclass(frozen=True, slots=True)
class Observed(Generic[E_co]):
    """What an observer is told: an event of the journal, durable, at the point where it stands."""

    point: str
    run: str
    workflow: str
    path: str
    at: datetime
    seq: int
    event: E_co
    session: str = ""
    """The session of the run, if it has one."""
    parent: str = ""
    """The run that started this one, if a run did."""

    @property
    def within(self) -> str:
        """The path of the scope that this happened in: of the fan-out around a branch, of the loop around its body."""
        return enclosing(self.path)
