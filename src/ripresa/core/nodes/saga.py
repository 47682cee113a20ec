"""`saga`: a scope of compensation. If the body fails or is cancelled, what it did is undone, last first.

A typed state goes back to what it was when the scope began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..frames import Frame, ScopeFrame
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState


class SagaFrame(ScopeFrame):
    """The last number of the ledger when it began, and whether something in it has been undone."""

    __slots__ = ("since", "undone")
    FIELDS = (*ScopeFrame.FIELDS, ("since", "plain"), ("undone", "plain"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.since = 0
        self.undone = False


class Saga(Scope[SagaFrame]):
    """The body's result is the scope's. What a completed body did may still be undone with the scope around it."""

    kind: ClassVar[str] = "saga"
    frame_class: ClassVar[type[Frame]] = SagaFrame

    def __init__(self, name: str, body: Node[Any], **types: Any) -> None:
        super().__init__(name, **types)
        self.body = body

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body,)

    @override
    def open(self, run: RunState, frame: SagaFrame) -> None:
        frame.since = run.ledger.last
        if run.shared is not None:
            run.shared.remember(frame)
        run.spawn_body(frame, self.body, frame.input)

    @override
    def wound(self, run: RunState, frame: SagaFrame) -> None:
        if not run.compensate(frame, (frame.prefix,), frame.since):
            run.close(frame)

    def compensated(self, run: RunState, frame: SagaFrame, undone: int) -> None:
        """What it did is undone: a reopened run begins it anew."""
        frame.undone = undone > 0
        if frame.undone and run.shared is not None:
            run.shared.back_to_beginning(run, frame.path)
        run.close(frame)

    @override
    def reopen(self, run: RunState, frame: SagaFrame) -> None:
        if frame.undone:
            frame.undone = False
            run.begin_anew(frame)
        else:
            run.reopen_children(frame)
