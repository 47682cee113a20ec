"""`dispatch` and `child`: what a durable function sends out of its run, and the wait for the end of a run it started.

Law: what is sent becomes durable with the fact that says so; the end of another run comes as a fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic_core import from_json, to_json
from typing_extensions import override

from ..bounds import holds
from ..commands import LookUp
from ..events import ChildAwaited, ChildEnded, Dispatched, Migrated, NodeCancelled, Recorded, RolledBack
from ..frames import Frame, ScopeFrame
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState

DISPATCH: Final = "dispatch"
"""The question that is answered with what is sent, as `Dispatched`."""

CHILD: Final = "child:"
"""What stands before the ids of runs among what a run waits for; no signal can have such a name."""

ABANDON: Final = "abandon"

CLOSE: Final = (ABANDON, "cancel", "terminate")
"""What becomes of a run when the one that started it ends first: nothing, it is cancelled, or terminated."""


class Dispatch(Scope[ScopeFrame]):
    """Send something; `shape` says what, as JSON: `kind`, and what the kind needs. Returns its target."""

    kind: ClassVar[str] = "dispatch"

    def __init__(self, name: str, shape: str) -> None:
        super().__init__(name)
        self.shape = shape

    @property
    def wanted(self) -> dict[str, Any]:
        """What is to be sent, without its input."""
        found: dict[str, Any] = from_json(self.shape)
        return found

    @override
    def open(self, run: RunState, frame: ScopeFrame) -> None:
        if not holds(run):  # else it is sent when the run goes on
            run.ask(frame, DISPATCH, frame.input)

    @override
    def release(self, run: RunState, frame: ScopeFrame) -> None:
        if not frame.question:
            self.open(run, frame)

    @override
    def rewind(self, run: RunState, frame: ScopeFrame) -> None:
        self.release(run, frame)

    @override
    def reopen(self, run: RunState, frame: ScopeFrame) -> None:
        self.open(run, frame)

    def dispatched(self, run: RunState, frame: ScopeFrame, fact: Dispatched) -> None:
        """It is on its way."""
        frame.question = ""
        note_children(run.children, fact)
        run.done(frame, to_json(fact.target))


def note_children(children: dict[str, str], event: object) -> None:
    """Keep which runs are not to outlive the one whose event this is, and what becomes of them."""
    match event:
        case Dispatched() if event.close not in ("", ABANDON):
            children[event.target] = event.close
        case ChildEnded():
            children.pop(event.run, None)
        case RolledBack() | Migrated():
            children.update(zip(event.children, event.closes, strict=True))
        case _:
            pass


def begun_after(line: Sequence[Recorded], known: Mapping[str, str]) -> dict[str, str]:
    """The children that a run has by the end of a line and did not have at a place, and what becomes of each.

    That it goes back there does not take back that they were started.
    """
    children: dict[str, str] = {}
    for recorded in line:
        note_children(children, recorded.event)
    return {child: close for child, close in children.items() if child not in known}


class ChildResult(Node[Frame]):
    """Wait until the run `child`, which this one started, has ended; what it returned, or why it did not."""

    kind: ClassVar[str] = "child"
    frame_class: ClassVar[type[Frame]] = Frame

    def __init__(self, name: str, child: str) -> None:
        super().__init__(name)
        self.child = child

    @override
    def open(self, run: RunState, frame: Frame) -> None:
        run.consequences.append(ChildAwaited(frame.path, self.child))
        run.commands.append(LookUp(frame.path, self.child))
        run.waits(CHILD + self.child, frame)

    def ended(self, run: RunState, frame: Frame, fact: ChildEnded) -> None:
        """The run has ended."""
        run.waits_no_more(CHILD + self.child, frame)
        if fact.failure is None:
            run.done(frame, fact.output)
        else:
            run.fail(frame, fact.failure)

    @override
    def cancel(self, run: RunState, frame: Frame) -> None:
        run.waits_no_more(CHILD + self.child, frame)
        run.consequences.append(NodeCancelled(frame.path))
        run.cancelled(frame)

    @override
    def reopen(self, run: RunState, frame: Frame) -> None:
        """It may have gone on, and ended otherwise, since."""
        self.open(run, frame)
