"""What a durable function runs side by side is told of: `fork` before it begins, `join` when it has ended.

Law: neither is work. What is asked for between them is the function's own; these say that it belongs together, and
are where interceptors stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from pydantic_core import from_json
from typing_extensions import override

from ..events import CallSpec, FanOutEnded, FanOutStarted
from ..frames import ScopeFrame
from ..gates import Gate, gated
from ..values import NULL, text_of
from .node import Scope

if TYPE_CHECKING:
    from ..events import Intercepted
    from ..state import RunState

FORK: Final = "fork"
JOIN: Final = "join"

LEFT_OUT: Final = -1
"""The answer that nothing is to begin, for a hook has said what comes out; it follows."""


class Fork(Scope[ScopeFrame]):
    """Its input: how many branches, how many at a time, how their paths begin. It returns a narrower window, or 0."""

    kind: ClassVar[str] = FORK

    def __init__(self, name: str, how: str, count: int, window: int, branches: tuple[str, ...]) -> None:
        super().__init__(name)
        self.how = how
        self.count = count
        self.window = min(window, count)
        self.branches = branches

    @override
    def open(self, run: RunState, frame: ScopeFrame) -> None:
        run.consequences.append(FanOutStarted(frame.path, self.count, 0, self.how, self.branches))
        if not run.points or not gated(run, frame, Gate("fork", NULL, self.count)):
            run.done(frame, (b"0",))

    @override
    def intercepted(self, run: RunState, frame: ScopeFrame, gate: Gate, fact: Intercepted) -> None:
        if fact.answer == "skip":
            run.consequences.append(FanOutEnded(frame.path, 0, 0, 0))
            run.done(frame, (b"%d" % LEFT_OUT, fact.value))
        else:
            run.done(frame, (b"%d" % fact.number if fact.answer == "narrow" else b"0",))

    @override
    def wound(self, run: RunState, frame: ScopeFrame) -> None:
        run.consequences.append(FanOutEnded(frame.path, 0, 0, 0))
        run.close(frame)


class Joined(Scope[ScopeFrame]):
    """`counts`: how many completed, failed and were stopped, and whether there is a result, which is its input.

    It returns whether a hook has put another in its place, and that.
    """

    kind: ClassVar[str] = JOIN

    def __init__(self, name: str, counts: tuple[int, int, int, bool]) -> None:
        super().__init__(name)
        self.counts = counts

    @override
    def open(self, run: RunState, frame: ScopeFrame) -> None:
        completed, failed, cancelled, has_result = self.counts
        run.consequences.append(FanOutEnded(frame.path, completed, failed, cancelled))
        if not (has_result and run.points and gated(run, frame, Gate("join", frame.input))):
            run.done(frame, (b"false",))

    @override
    def intercepted(self, run: RunState, frame: ScopeFrame, gate: Gate, fact: Intercepted) -> None:
        run.done(frame, (b"true", fact.value) if fact.answer == "replace" else (b"false",))


def node_of(spec: CallSpec) -> Fork | Joined:
    """The node that this call asks for; its shape is how things stand side by side, and for a join the counts."""
    how, _, counts = spec.shape.partition(" ")
    name = spec.segment if how == "map" else how
    if spec.kind == JOIN:
        return Joined(name, from_json(counts))
    count, window, branches = from_json(text_of(spec.input))
    return Fork(name, how, count, window, tuple(branches))


def is_failed_join(spec: CallSpec) -> bool:
    """Whether this says that what ran side by side came to no result."""
    return spec.kind == JOIN and spec.shape.endswith("false]")
