"""The parts of what readers see of a run: steps, scopes, waits, streams, states, what people are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .durations import per_second
from .events import Failure, StreamAdvanced, StreamEnded
from .merge import Held
from .values import Value


@dataclass(slots=True)
class StepView:
    """A step as it stands. Moments are in microseconds.

    `status`: scheduled, retrying, held (by a limit), parked (nobody knows what it did), completed, undone, failed,
    cancelled, unknown (an irreversible one that was stopped: nobody knows what it did), skipped (by a hook).

    `due` is when the next attempt is, 0 if there is none; `failure` the last attempt that failed, also once a later
    one succeeded.
    """

    path: str
    status: str = "scheduled"
    attempt: int = 1
    scheduled_at: int = 0
    ended_at: int = 0
    due: int = 0
    failure: Failure | None = None
    output: Value | None = None
    tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    """What it said it used, in all attempts; the cost lacks that of `unpriced` uses, whose price nobody knows."""

    @property
    def name(self) -> str:
        """The last part of the path, without index and counter."""
        return self.path.rpartition("/")[2].partition("[")[0].partition("#")[0]


@dataclass(slots=True)
class ScopeView:
    """A node with children as it stands: what it is doing, in words and numbers."""

    path: str
    kind: str
    status: str = "running"
    count: int = 0
    completed: int = 0
    failed: int = 0
    detail: str = ""


@dataclass(slots=True)
class WaitView:
    """What the run waits for: the signal's name, since when, until when (0: for ever)."""

    path: str
    signal: str
    since: int = 0
    due: int = 0


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What hooks answered at a point, other than that it goes on: `answer` as in `Intercepted`, `hook` who it was.

    `detail` is the reason they gave, or where they sent it; `at` is in microseconds.
    """

    path: str
    point: str
    answer: str
    hook: str = ""
    detail: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class HookWait:
    """A hook that has not answered for a while: what the run waits for at `point`, and since when."""

    path: str
    point: str
    hook: str
    since: int = 0


@dataclass(slots=True)
class StreamView:
    """A stream as it stands: batches its sink acknowledged, items of its source up to there, items lost on the way.

    `status` is `running` or why it ended; `moved_at` when that was last heard of. `elapsed` is how long it was pumped,
    `lag` how long before the last acknowledged item had come from the source, `most_lag` the greatest (microseconds);
    `behind` is how many items the source had given since, `rate` the items a second since the batch before.
    """

    path: str
    status: str = "running"
    batches: int = 0
    taken: int = 0
    dropped: int = 0
    dead: int = 0
    moved_at: int = 0
    elapsed: int = 0
    lag: int = 0
    most_lag: int = 0
    behind: int = 0
    rate: float = 0.0

    @property
    def throughput(self) -> float:
        """Items a second on average, of the time that it was pumped."""
        return per_second(self.taken, self.elapsed)

    def advance(self, fact: StreamAdvanced, at: int) -> None:
        """Its sink acknowledged more."""
        if fact.elapsed > self.elapsed:
            self.rate = per_second(fact.taken - self.taken, fact.elapsed - self.elapsed)
        self.status, self.batches, self.taken, self.moved_at = "running", fact.batch, fact.taken, at
        self.dropped, self.dead, self.elapsed, self.behind = fact.dropped, fact.dead, fact.elapsed, fact.behind
        self.lag, self.most_lag = fact.lag, max(self.most_lag, fact.lag)

    def end(self, fact: StreamEnded, at: int) -> None:
        """It ended; items that were under way never arrive."""
        self.status, self.batches, self.taken, self.moved_at = fact.reason, fact.batches, fact.taken, at
        self.dropped, self.dead, self.elapsed, self.most_lag = fact.dropped, fact.dead, fact.elapsed, fact.lag


@dataclass(slots=True)
class StateView:
    """The typed state of a scope as it stands: its class, version, and what each field that is set holds.

    `merge.read` gives the JSON text of what is held. Branches under way are not in it: they reach it at their join.
    """

    path: str
    name: str
    version: int
    fields: Mapping[str, Held] = field(default_factory=dict[str, Held])


@dataclass(slots=True)
class ApprovalView:
    """What people are asked, and who has answered (name, whether granted). Moments in microseconds, 0 for none."""

    path: str
    question: str
    about: Value
    digest: str
    assignees: tuple[str, ...]
    quorum: int
    form: str
    since: int
    expires: int
    votes: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])
    granted: bool = False
    how: str = ""
    """What decided it, `quorum` or `expired`; empty while it is open."""
    by: tuple[str, ...] = ()
    decided_at: int = 0
