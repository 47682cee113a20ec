"""`stateful`: a scope whose steps share a typed state; and `assign`, by which a graph writes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import Write
from ..frames import Frame, ScopeFrame
from ..shared import Shape, Shared
from ..values import NULL
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState

STATE = "state"
"""The question what a state begins with."""


class Stateful(Scope[ScopeFrame]):
    """The body's result is the scope's. What the state begins with comes with the run's start, or is asked."""

    kind: ClassVar[str] = "stateful"

    def __init__(self, name: str, body: Node[Any], *, shape: Shape, code: Any = None) -> None:
        super().__init__(name, code=code, input_type=body.input_type, output_type=body.output_type)
        self.body = body
        self.shape = shape

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body,)

    @override
    def policy(self) -> dict[str, Any]:
        return {"state": self.shape.plain()}

    @override
    def open(self, run: RunState, frame: ScopeFrame) -> None:
        if frame.parent is None and run.shared is not None and run.shared.given:
            given, run.shared.given = run.shared.given, ()
            self.given(run, frame, given, judged=frame.path in run.shared.judged)
        else:
            run.ask(frame, STATE, NULL)

    def given(self, run: RunState, frame: ScopeFrame, writes: tuple[Write, ...], *, judged: bool = False) -> None:
        """The state begins with these values, and the body begins."""
        frame.question = ""
        if run.shared is None:
            run.shared = Shared()
        run.shared.open(run, frame.path, self.shape, writes, judged=judged)
        if frame.parent is None:
            run.shared.remember(frame)
        run.spawn_body(frame, self.body, frame.input)

    @override
    def begin_anew(self, run: RunState, frame: ScopeFrame) -> None:
        """What the body did is undone, so the state that it began with is there."""
        run.spawn_body(frame, self.body, frame.input)


class Assign(Node[Frame]):
    """Write its input to a field of the state, and return it."""

    kind: ClassVar[str] = "assign"
    frame_class: ClassVar[type[Frame]] = Frame

    def __init__(self, name: str, field: str, op: str, *, input_type: Any) -> None:
        super().__init__(name, input_type=input_type, output_type=input_type)
        self.field = field
        self.op = op

    @override
    def policy(self) -> dict[str, Any]:
        return {"field": self.field, "op": self.op}

    @override
    def expected(self) -> int:
        return 0

    @override
    def open(self, run: RunState, frame: Frame) -> None:
        assert run.shared is not None
        run.shared.write(run, frame, (Write(self.field, self.op, frame.input),))
        run.done(frame, frame.input)
