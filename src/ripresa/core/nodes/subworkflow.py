"""`subworkflow`: a workflow inside another, in the same journal, with a time limit of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..commands import ClearTimer, SetTimer
from ..events import Failure, ScopeEnded, ScopeStarted, TimerSet
from ..frames import CANCELLING, OPEN, Frame, ScopeFrame
from ..values import Value
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState


class SubworkflowFrame(ScopeFrame):
    """A workflow under way: when its time is up (0: never)."""

    __slots__ = ("due",)
    FIELDS = (*ScopeFrame.FIELDS, ("due", "plain"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.due = 0


class Subworkflow(Scope[SubworkflowFrame]):
    """The body's result is the scope's. `timeout` is in microseconds, 0 for none; `shares_state` lets it see ours."""

    kind: ClassVar[str] = "subworkflow"
    frame_class: ClassVar[type[Frame]] = SubworkflowFrame

    def __init__(
        self, name: str, body: Node[Any], *, workflow: str, timeout: int = 0, shares_state: bool = False, **types: Any
    ) -> None:
        super().__init__(name, **types)
        self.hides_state = not shares_state
        self.body = body
        self.workflow = workflow
        self.timeout = timeout

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body,)

    @override
    def policy(self) -> dict[str, Any]:
        shared = {} if self.hides_state else {"shares_state": True}
        return {"workflow": self.workflow, "timeout": self.timeout, **shared}

    @override
    def open(self, run: RunState, frame: SubworkflowFrame) -> None:
        run.consequences.append(ScopeStarted(frame.path, self.workflow))
        self._limit(run, frame)
        run.spawn_body(frame, self.body, frame.input)

    @override
    def on_done(self, run: RunState, frame: SubworkflowFrame, key: int, value: Value) -> None:
        self._ended(run, frame, "completed")
        run.done(frame, value)

    @override
    def wound(self, run: RunState, frame: SubworkflowFrame) -> None:
        self._ended(run, frame, "cancelled" if frame.phase == CANCELLING else "failed")
        run.close(frame)

    @override
    def timer(self, run: RunState, frame: SubworkflowFrame) -> None:
        failure = Failure("deadline_exceeded", f"workflow {self.workflow!r} had no time left", path=frame.path)
        frame.due = 0
        if frame.phase == OPEN:
            run.abort(frame, failure)

    @override
    def reopen(self, run: RunState, frame: SubworkflowFrame) -> None:
        self._limit(run, frame)
        run.reopen_children(frame)

    @override
    def rewind(self, run: RunState, frame: SubworkflowFrame) -> None:
        if frame.due:
            self._limit(run, frame)

    def _limit(self, run: RunState, frame: SubworkflowFrame) -> None:
        if self.timeout:
            frame.due = run.at + self.timeout
            run.consequences.append(TimerSet(frame.path, frame.due))
            run.commands.append(SetTimer(frame.path, frame.due))

    def _ended(self, run: RunState, frame: SubworkflowFrame, status: str) -> None:
        if frame.due:
            frame.due = 0
            run.commands.append(ClearTimer(frame.path))
        run.consequences.append(ScopeEnded(frame.path, status))
