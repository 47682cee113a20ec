"""Facts by which a run leaves the straight line: back, anew, as a fork of another, or with another definition."""

from __future__ import annotations

from ..records import record
from .parts import Write
from .state_events import StateRestored
from .values import NULL, Value


@record
class Restarted:
    """A durable function begins anew with another input, and forgets what it did so far."""

    at: int
    path: str
    input: Value
    writes: tuple[Write, ...] = ()


@record
class RolledBack:
    """The run goes on from where it stood after event `to`; what came after that is history, and repeated.

    `since` is the number of the event before this one; `generation` makes the idempotency keys of what is repeated
    differ from those of before, `epoch` is that of the owner who took it back. `children` are runs that it started
    after that place and that are not to outlive it, `closes` what becomes of each (see `nodes.child.CLOSE`). What it
    goes on with otherwise than it was: `states` are given other values, `reuse` has other results of steps (see
    `RunForked`).
    """

    at: int
    to: int
    since: int
    generation: int
    epoch: int
    reason: str = ""
    by: str = ""
    children: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()
    reuse: Value = NULL
    states: tuple[StateRestored, ...] = ()


@record
class Migrated:
    """The run goes on with another definition: the `RunStarted` that follows begins it anew.

    What came before is history, of version `origin`. `since` is the number of the event before this one. The results
    of steps that the new definition takes over stand in `reuse` (see `runtime.reuse`); `waits` are the paths of timers
    that keep their moment, `dues` those moments.
    """

    at: int
    origin: str
    since: int
    generation: int
    epoch: int
    created_at: int
    reuse: Value = NULL
    waits: tuple[str, ...] = ()
    dues: tuple[int, ...] = ()
    by: str = ""
    used: str = ""
    """What it had used before, and what it had told, as JSON (see `usage.before`)."""
    allowed: int = 0
    """How long it may take in all, in microseconds; its `RunStarted` says by when."""
    children: tuple[str, ...] = ()
    """Runs that it started and that are not to outlive it."""
    closes: tuple[str, ...] = ()
    """What becomes of each (see `nodes.child.CLOSE`)."""


@record
class RunForked:
    """The events up to here were another run's, up to its event `to`; from here on the run goes its own way.

    `reuse` says which results of the other run are taken over when a step is reached with the input it had there
    (see `runtime.reuse`); it counts for what is of this `generation`.
    """

    at: int
    origin: str
    to: int
    generation: int
    reuse: Value = NULL
    by: str = ""


@record
class StepReused:
    """A step was not run: its result is that of another run, `given` by hand, or `cached`."""

    at: int
    path: str
    attempt: int
    output: Value
    given: bool = False
    cached: bool = False
    writes: tuple[Write, ...] = ()
    """What it wrote to the state there."""
    reads: tuple[str, ...] = ()
    """The fields of the state that it looked at there, which hold here what they held there."""
    own: bool = False
    """Whether the run did it itself, before it was migrated: it is undone with the rest."""
