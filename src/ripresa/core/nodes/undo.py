"""What undoes a step or flow, and the node of a flow that has an undo of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..frames import Frame, ScopeFrame
from ..values import Value
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState


class Undo(Node[Frame]):
    """Declares that `body` undoes what a node did. It never runs itself: a compensation opens the body.

    The body is given the output, or with `takes_input` the output and the input. `takes_unknown`: it can also be
    asked where nobody knows whether there was anything to undo; then the output is null.
    """

    kind: ClassVar[str] = "undo"
    frame_class: ClassVar[type[Frame]] = Frame

    def __init__(self, body: Node[Any], *, takes_input: bool = False, takes_unknown: bool = False) -> None:
        super().__init__(f"undo:{body.name}", input_type=body.input_type, output_type=body.output_type)
        self.body = body
        self.takes_input = takes_input
        self.takes_unknown = takes_unknown

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body,)

    @override
    def policy(self) -> dict[str, Any]:
        return {"takes_input": self.takes_input, "takes_unknown": self.takes_unknown}


class UndoableFrame(ScopeFrame):
    """The last number of the ledger when it began."""

    __slots__ = ("since",)
    FIELDS = (*ScopeFrame.FIELDS, ("since", "plain"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.since = 0


class Undoable(Scope[UndoableFrame]):
    """A flow that is undone as a whole: once it has completed, its own undo takes the place of those of its steps."""

    kind: ClassVar[str] = "undoable"
    frame_class: ClassVar[type[Frame]] = UndoableFrame

    def __init__(self, name: str, body: Node[Any], undo: Undo, **types: Any) -> None:
        super().__init__(name, **types)
        self.body = body
        self.undo = undo

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body,)

    @override
    def policy(self) -> dict[str, Any]:
        return undo_policy(self.undo)

    @override
    def open(self, run: RunState, frame: UndoableFrame) -> None:
        frame.since = run.ledger.last
        run.spawn_body(frame, self.body, frame.input)

    @override
    def on_done(self, run: RunState, frame: UndoableFrame, key: int, value: Value) -> None:
        run.ledger.drop(run.ledger.below((frame.prefix,), frame.since))
        run.ledger.covered((frame.prefix,), frame.since)
        run.record(frame, value)
        run.done(frame, value)


def undo_policy(undo: Undo | None) -> dict[str, Any]:
    """The undo of a node as part of its description; nothing for a node without one."""
    if undo is None:
        return {}
    from ..definition import describe

    return {"undo": list(describe(undo))}
