"""How a fan-out joins: what `parallel` and `map` have in common, whatever their branches are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..events import Failure, FanOutEnded
from ..frames import CANCELLED, FAILED, OPEN, Frame, ScopeFrame
from ..values import NULL, Value
from .node import Scope

if TYPE_CHECKING:
    from ..state import RunState

WINDOW = 256
"""The most branches that are scheduled at a time where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Join:
    """When a fan-out has enough, and what a failing branch means.

    `need` is the number of results to wait for, 0 for all; `any` ends with the first branch that ends, in whichever
    way. `on_error`: `fail_fast` stops the others at the first failure, `fail_slow` lets them end and then fails,
    `best_effort` puts null in the place of what failed. With `need` or `any` failures count only when too few
    branches are left.
    """

    need: int = 0
    any: bool = False
    on_error: str = "fail_fast"

    def plain(self) -> dict[str, Any]:
        """As plain data, for the definition's hash."""
        return {"need": self.need, "any": self.any, "on_error": self.on_error}


class FanOutFrame(ScopeFrame):
    """Branches under way: how many there are, the next to begin, results by index, counts of the ended."""

    __slots__ = ("completed", "count", "failures", "next", "results")
    FIELDS = (
        *ScopeFrame.FIELDS,
        ("count", "plain"),
        ("next", "plain"),
        ("results", "optional values"),
        ("completed", "plain"),
        ("failures", "failures"),
    )

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.count = 0
        self.next = 0
        self.results: list[Value | None] = []
        self.completed = 0
        self.failures: list[Failure] = []


class FanOut(Scope[FanOutFrame]):
    """Branches side by side, at most `window` at a time, joined as `join` says."""

    frame_class: ClassVar[type[Frame]] = FanOutFrame
    single: bool = False
    """Whether the one result that was needed is returned bare instead of in a list."""

    def __init__(self, name: str, *, join: Join, window: int, **types: Any) -> None:
        super().__init__(name, **types)
        self.join = join
        self.window = window

    def policy(self) -> dict[str, Any]:
        return {"join": self.join.plain(), "window": self.window}

    def begin(self, run: RunState, frame: FanOutFrame, count: int) -> None:
        """Start with `count` branches."""
        frame.count = count
        frame.results = [None] * count
        self.fill(run, frame)

    def branch(self, run: RunState, frame: FanOutFrame, index: int) -> None:
        """Open the branch of this index."""
        raise AssertionError("a fan-out says how its branches open")

    def fill(self, run: RunState, frame: FanOutFrame) -> None:
        """Begin branches while the window has room; join if all have ended."""
        while frame.next < frame.count and frame.active < self.window and not self._enough(frame):
            index = frame.next
            frame.next += 1
            self.branch(run, frame, index)
        if frame.next == frame.count and frame.active == 0 and frame.phase == OPEN:
            self._join(run, frame)

    def on_done(self, run: RunState, frame: FanOutFrame, key: int, value: Value) -> None:
        frame.results[key] = value
        frame.completed += 1
        if self._enough(frame):
            self._end(run, frame)
        else:
            self.fill(run, frame)

    def on_failed(self, run: RunState, frame: FanOutFrame, key: int, failure: Failure) -> None:
        join = self.join
        if join.any or (not join.need and join.on_error == "fail_fast"):
            run.abort(frame, failure)
            return
        frame.failures.append(failure)
        if join.on_error == "best_effort" and not join.need:
            frame.results[key] = NULL
            run.drop(frame, key)
        elif join.need and frame.count - len(frame.failures) < join.need:
            self._too_few(run, frame)
            return
        self.fill(run, frame)

    def wound(self, run: RunState, frame: FanOutFrame) -> None:
        self._summary(run, frame)
        run.close(frame)

    def reopen(self, run: RunState, frame: FanOutFrame) -> None:
        frame.failures = []
        if frame.question:
            run.ask(frame, frame.question, frame.about)
            return
        run.reopen_children(frame)
        self.fill(run, frame)

    def _enough(self, frame: FanOutFrame) -> bool:
        return frame.completed > 0 if self.join.any else 0 < self.join.need <= frame.completed

    def _end(self, run: RunState, frame: FanOutFrame) -> None:
        found = [value for value in frame.results if value is not None]
        run.finish(frame, found[0] if self.join.any or self.single else tuple(found))

    def _too_few(self, run: RunState, frame: FanOutFrame) -> None:
        first, *others = frame.failures
        frame.failures = []
        message = f"{self.join.need} of {frame.count} branches had to succeed, {1 + len(others)} failed"
        run.abort(frame, Failure("join_impossible", message, path=frame.path, cause=first, others=tuple(others)))

    def _join(self, run: RunState, frame: FanOutFrame) -> None:
        if frame.failures and self.join.on_error == "fail_slow":
            first, *others = frame.failures
            frame.failures = []
            frame.others = others
            run.abort(frame, first)
        else:
            self._summary(run, frame)
            run.done(frame, tuple(NULL if value is None else value for value in frame.results))

    def _summary(self, run: RunState, frame: FanOutFrame) -> None:
        phases = [child.phase for child in frame.children.values()]
        kept = tuple(frame.failures) if self.join.on_error == "best_effort" else ()
        failed = phases.count(FAILED) + len(kept)
        run.consequences.append(FanOutEnded(frame.path, frame.completed, failed, phases.count(CANCELLED), kept))
