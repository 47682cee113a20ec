"""How a fan-out joins: what `parallel` and `map` have in common, whatever their branches are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import Failure, FanOutEnded
from ..frames import CANCELLED, DONE, FAILED, JOINING, OPEN, Frame, ScopeFrame
from ..gates import Gate, gated
from ..shared import ALL, MERGE
from ..values import NULL, Value
from .node import Scope

if TYPE_CHECKING:
    from ..events import Intercepted, Write
    from ..state import RunState
    from .graph import GraphFrame

WINDOW = 256
"""The most branches that are scheduled at a time where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Join:
    """When a fan-out has enough, and what a failing branch means.

    `need` is the number of results to wait for, 0 for all; `any` ends with the first branch that ends, in whichever
    way. `on_error`: `fail_fast` stops the others at the first failure, `fail_slow` lets them end and then fails,
    `best_effort` puts null in the place of what failed. With `need` failures count only when too few branches are
    left. Fewer branches than results to wait for is a failure from the beginning.
    """

    need: int = 0
    any: bool = False
    on_error: str = "fail_fast"

    def plain(self) -> dict[str, Any]:
        """As plain data, for the definition's hash."""
        return {"need": self.need, "any": self.any, "on_error": self.on_error}

    @property
    def least(self) -> int:
        """How many branches must end before the others need not."""
        return 1 if self.any else self.need

    @property
    def tolerant(self) -> bool:
        """Whether a branch that failed for good counts as one that returned null."""
        return self.on_error == "best_effort" and not self.need


class FanOutFrame(ScopeFrame):
    """Branches under way: how many there are, the next to begin, results by index, counts of the ended.

    `again` are the branches of a reopened run that are to go on, the last one first; `narrow` is the window that a
    hook asked for (0: none did); `since` is the last number of the ledger when it began; `told`: how its branches ended
    has been said, and none of them has gone on since.
    """

    __slots__ = ("again", "completed", "count", "failures", "narrow", "next", "results", "since", "told")
    FIELDS = (
        *ScopeFrame.FIELDS,
        ("count", "plain"),
        ("next", "plain"),
        ("results", "optional values"),
        ("completed", "plain"),
        ("failures", "failure list"),
        ("again", "plain list"),
        ("narrow", "plain"),
        ("since", "plain"),
        ("told", "plain"),
    )

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.count = 0
        self.next = 0
        self.results: list[Value | None] = []
        self.completed = 0
        self.failures: list[Failure] = []
        self.again: list[int] = []
        self.narrow = 0
        self.since = 0
        self.told = False


def fork_answered(run: RunState, frame: FanOutFrame | GraphFrame, gate: Gate, fact: Intercepted) -> None:
    """What runs side by side begins, is left out or ends as interceptors say."""
    node: Any = frame.node
    if gate.point == "join":
        run.done(frame, fact.value if fact.answer == "replace" else gate.value)
    elif fact.answer == "skip":
        node.summary(run, frame)
        run.done(frame, fact.value)
    else:
        frame.narrow = fact.number if fact.answer == "narrow" else 0
        node.fill(run, frame)


class FanOut(Scope[FanOutFrame]):
    """Branches side by side, at most `window` at a time, joined as `join` says."""

    frame_class: ClassVar[type[Frame]] = FanOutFrame
    forks: ClassVar[bool] = True
    single: bool = False
    """Whether the one result that was needed is returned bare instead of in a list."""

    def __init__(self, name: str, *, join: Join, window: int, **types: Any) -> None:
        super().__init__(name, **types)
        self.join = join
        self.window = window

    @override
    def policy(self) -> dict[str, Any]:
        return {"join": self.join.plain(), "window": self.window}

    def begin(self, run: RunState, frame: FanOutFrame, count: int) -> None:
        """Start with `count` branches."""
        frame.count = count
        frame.since = run.ledger.last
        frame.results = [None] * count
        if not run.points or not gated(run, frame, Gate("fork", frame.input, count)):
            self.fill(run, frame)

    @override
    def intercepted(self, run: RunState, frame: FanOutFrame, gate: Gate, fact: Intercepted) -> None:
        fork_answered(run, frame, gate, fact)

    def branch(self, run: RunState, frame: FanOutFrame, index: int) -> None:
        """Open the branch of this index."""

    def fill(self, run: RunState, frame: FanOutFrame) -> None:
        """Begin branches while the window has room; join if all have ended."""
        if frame.count - len(frame.failures) < self.join.least:
            self._too_few(run, frame)
        window = min(frame.narrow, self.window) if frame.narrow else self.window
        while frame.phase == OPEN and frame.active < window and (frame.again or frame.next < frame.count):
            if frame.again:
                frame.active += 1
                run.reopen(frame.children[frame.again.pop()])
            else:
                frame.next += 1
                self.branch(run, frame, frame.next - 1)
        if frame.phase == OPEN and frame.active == 0 and frame.path not in run.gates:  # a branch may end as it begins
            self._join(run, frame)

    @override
    def on_done(self, run: RunState, frame: FanOutFrame, key: int, value: Value) -> None:
        frame.results[key] = value
        frame.completed += 1
        if 0 < self.join.least <= frame.completed:
            self._end(run, frame)
        else:
            self.fill(run, frame)

    @override
    def on_failed(self, run: RunState, frame: FanOutFrame, key: int, failure: Failure) -> None:
        join = self.join
        if join.any or (not join.need and join.on_error == "fail_fast"):
            run.abort(frame, failure)
            return
        frame.failures.append(failure)
        if join.tolerant:
            frame.results[key] = NULL
            run.drop(frame, key)
        self.fill(run, frame)

    @override
    def wound(self, run: RunState, frame: FanOutFrame) -> None:
        if frame.phase == JOINING and run.shared is not None:
            if run.shared.asks_to_join(frame):
                frame.phase = OPEN
                run.ask(frame, MERGE, b"%d" % ALL)
                return
            run.shared.join(run, frame)
        if not frame.question or frame.question == MERGE:
            self.summary(run, frame)
        if frame.phase != JOINING or not run.ledger.entries or not self._undo_losers(run, frame):
            self._joined(run, frame)

    def compensated(self, run: RunState, frame: FanOutFrame, undone: int) -> None:
        """What the branches did that were not needed is undone."""
        self._joined(run, frame)

    def _joined(self, run: RunState, frame: FanOutFrame) -> None:
        if not (run.points and frame.phase == JOINING and gated(run, frame, Gate("join", frame.result))):
            run.close(frame)

    def _undo_losers(self, run: RunState, frame: FanOutFrame) -> bool:
        """What branches did whose results nobody takes is undone before the join ends."""
        return run.compensate(frame, tuple(f"{child.path}/" for child in frame.children.values()), frame.since)

    @override
    def reopen(self, run: RunState, frame: FanOutFrame) -> None:
        if frame.question:
            run.ask(frame, frame.question, frame.about)
            return
        frame.told = False
        if not self.join.tolerant:
            frame.failures = []
        ended = [(child.phase == DONE, -key) for key, child in frame.children.items()]
        frame.again = [-key for _, key in sorted(ended)]
        self.fill(run, frame)

    def merged(self, run: RunState, frame: FanOutFrame, writes: tuple[Write, ...]) -> None:
        """Reducers of the user's have said what comes out of what the branches wrote."""
        assert run.shared is not None
        run.shared.join(run, frame, writes)
        if 0 < self.join.least <= frame.completed:
            frame.phase = JOINING
            run.wind(frame)
        else:
            self._joins(run, frame)

    def _end(self, run: RunState, frame: FanOutFrame) -> None:
        conflict = None if run.shared is None else run.shared.conflict(frame)
        if conflict is not None:
            run.abort(frame, conflict)
            return
        found = [value for value in frame.results if value is not None]
        run.finish(frame, found[0] if self.join.any or self.single else tuple(found))

    def _too_few(self, run: RunState, frame: FanOutFrame) -> None:
        failures, frame.failures = frame.failures, []
        message = f"{self.join.least} of {frame.count} branches had to succeed, {len(failures)} failed"
        cause = failures[0] if failures else None
        run.abort(frame, Failure("join_impossible", message, path=frame.path, cause=cause, others=tuple(failures[1:])))

    def _join(self, run: RunState, frame: FanOutFrame) -> None:
        if frame.failures and self.join.on_error == "fail_slow":
            first, *others = frame.failures
            frame.failures = []
            frame.others = tuple(others)
            run.abort(frame, first)
            return
        conflict = None if run.shared is None else run.shared.conflict(frame)
        if conflict is not None:
            run.abort(frame, conflict)
        elif run.shared is not None and run.shared.asks_to_join(frame):
            run.ask(frame, MERGE, b"%d" % ALL)
        else:
            if run.shared is not None:
                run.shared.join(run, frame)
            self._joins(run, frame)

    def _joins(self, run: RunState, frame: FanOutFrame) -> None:
        """All branches have ended, and what they wrote is put together."""
        self.summary(run, frame)
        value = tuple(NULL if value is None else value for value in frame.results)
        if not run.points or not gated(run, frame, Gate("join", value)):
            run.done(frame, value)

    def summary(self, run: RunState, frame: FanOutFrame) -> None:
        """Tell how the branches ended, once."""
        if frame.told and run.core > 1:
            return
        frame.told = True
        phases = [child.phase for child in frame.children.values()]
        kept = tuple(frame.failures) if self.join.tolerant else ()
        completed = frame.completed + phases.count(DONE)
        failed = phases.count(FAILED) + len(kept)
        run.consequences.append(FanOutEnded(frame.path, completed, failed, phases.count(CANCELLED), kept))
