"""`compensation`: undoes what happened in a scope, last first, shielded from cancellation.

Law: one undo at a time, each a call of its own; one that fails is kept and stops nothing; what was undone once is
never undone again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import CompensationEnded, CompensationStarted, Failure, StepUndone, UndoFailed
from ..frames import ENDED, Frame, ScopeFrame
from ..ledger import Entry
from ..values import Value, text_of
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState

MARK = "!undo"
"""What stands behind the path of a scope in the path of its compensation."""


class CompensationFrame(ScopeFrame):
    """What is left to be undone (numbers in the ledger, the next one last), how much was, and what failed.

    `generation` is that of what is undone now; `whole`: the run is to end as soon as all of it is undone; `waits`: it
    has not begun, for calls that are being stopped may still do what is to be undone.
    """

    __slots__ = ("failures", "generation", "left", "undone", "waits", "whole")
    FIELDS = (
        *ScopeFrame.FIELDS,
        ("generation", "plain"),
        ("left", "plain list"),
        ("undone", "plain"),
        ("failures", "failure list"),
        ("whole", "plain"),
        ("waits", "plain"),
    )

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.shielded = True
        self.generation = 0
        self.left: list[int] = []
        self.undone = 0
        self.failures: list[Failure] = []
        self.whole = False
        self.waits = False


class Compensation(Scope[CompensationFrame]):
    """Made by the engine for a scope that is to be undone. The key of a child is the number of its entry."""

    kind: ClassVar[str] = "compensation"
    frame_class: ClassVar[type[Frame]] = CompensationFrame

    @override
    def child_node(self, run: RunState, frame: CompensationFrame, key: int, path: str) -> Node[Any]:
        return run.definition.undo(run.ledger.entries[key]).body

    @override
    def open(self, run: RunState, frame: CompensationFrame) -> None:
        """What a durable function undoes; see `CallSpec`."""
        frame.waits = True
        self.go_on(run, frame)

    def go_on(self, run: RunState, frame: CompensationFrame, *, at_once: bool = False) -> None:
        """Begin, as soon as none of the calls that are to be undone is still being stopped."""
        assert frame.parent is not None
        below: list[str] = json.loads(text_of(frame.input))[1:]
        heads = tuple(frame.parent.prefix + head for head in below)
        others = [child for child in frame.parent.children.values() if child is not frame and child.phase not in ENDED]
        if at_once or not any(f"{child.path}/".startswith(heads) for child in others):
            frame.waits = False
            self.begin(run, frame, run.ledger.below(heads))

    def begin(self, run: RunState, frame: CompensationFrame, numbers: list[int]) -> None:
        """Undo the entries of these numbers, the last one first."""
        frame.left = numbers
        run.consequences.append(CompensationStarted(frame.path.removesuffix(MARK), len(numbers)))
        self._next(run, frame)

    def since(self, frame: CompensationFrame) -> int:
        """The number of calls that a durable function had made before the first of those that it undoes."""
        number: int = json.loads(text_of(frame.input))[0]
        return number

    @override
    def on_done(self, run: RunState, frame: CompensationFrame, key: int, value: Value) -> None:
        frame.undone += 1
        run.consequences.append(StepUndone(run.ledger.entries[key].path))
        run.ledger.drop((key,))
        self._next(run, frame)

    @override
    def on_failed(self, run: RunState, frame: CompensationFrame, key: int, failure: Failure) -> None:
        run.drop(frame, key)
        self._failed(run, frame, run.ledger.entries[key], failure)
        self._next(run, frame)

    @override
    def cancel(self, run: RunState, frame: CompensationFrame) -> None:
        """Nothing stops it; but what it waits for may never be told to it now, so it begins."""
        if frame.waits:
            self.go_on(run, frame, at_once=True)

    def _next(self, run: RunState, frame: CompensationFrame) -> None:
        while frame.left:
            entry = run.ledger.entries[frame.left.pop()]
            undo = run.definition.undo(entry)
            if entry.known or undo.takes_unknown:
                frame.generation = entry.generation
                value = (entry.output, entry.input) if undo.takes_input else entry.output
                run.spawn_at(frame, undo.body, f"{entry.path}/{undo.name}", entry.number, value)
                return
            message = "nobody knows whether it did its work, and its undo does not take that"
            self._failed(run, frame, entry, Failure("outcome_unknown", message, path=entry.path, attempt=entry.attempt))
        self._end(run, frame)

    def _failed(self, run: RunState, frame: CompensationFrame, entry: Entry, failure: Failure) -> None:
        frame.failures.append(failure)
        run.ledger.stick(entry.number)
        run.consequences.append(UndoFailed(entry.path, failure))

    def _end(self, run: RunState, frame: CompensationFrame) -> None:
        report = "complete" if not frame.failures else "partial" if frame.undone else "failed"
        path = frame.path.removesuffix(MARK)
        run.consequences.append(CompensationEnded(path, report, frame.undone, tuple(frame.failures)))
        run.compensated(frame)


COMPENSATION = Compensation("undo")
"""The one node of all compensations."""
