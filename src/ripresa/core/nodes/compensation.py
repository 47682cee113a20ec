"""`compensation`: undoes what happened in a scope, last first, shielded from cancellation.

Law: one undo at a time, each a call of its own; one that fails is kept and stops nothing; what was undone once is
never undone again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import CompensationEnded, CompensationStarted, Failure, StepUndone, UndoFailed
from ..frames import Frame, ScopeFrame
from ..ledger import Entry
from ..values import Value, text_of
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState

MARK = "!undo"
"""What stands behind the path of a scope in the path of its compensation."""


class CompensationFrame(ScopeFrame):
    """What is left to be undone (numbers in the ledger, the next one last), how much was, and what failed.

    `generation` is that of what is undone now; `whole`: the run is to end as soon as all of it is undone.
    """

    __slots__ = ("failures", "generation", "left", "undone", "whole")
    FIELDS = (
        *ScopeFrame.FIELDS,
        ("generation", "plain"),
        ("left", "plain list"),
        ("undone", "plain"),
        ("failures", "failure list"),
        ("whole", "plain"),
    )

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.shielded = True
        self.generation = 0
        self.left: list[int] = []
        self.undone = 0
        self.failures: list[Failure] = []
        self.whole = False


class Compensation(Scope[CompensationFrame]):
    """Made by the engine for a scope that is to be undone. The key of a child is the number of its entry."""

    kind: ClassVar[str] = "compensation"
    frame_class: ClassVar[type[Frame]] = CompensationFrame

    @override
    def child_node(self, run: RunState, frame: CompensationFrame, key: int, path: str) -> Node[Any]:
        return run.definition.undo(run.ledger.entries[key]).body

    @override
    def open(self, run: RunState, frame: CompensationFrame) -> None:
        """What a durable function undoes: the calls whose paths begin as the input says."""
        assert frame.parent is not None
        label: str = json.loads(text_of(frame.input))
        self.begin(run, frame, run.ledger.below((frame.parent.prefix + label,)))

    def begin(self, run: RunState, frame: CompensationFrame, numbers: list[int]) -> None:
        """Undo the entries of these numbers, the last one first."""
        frame.left = numbers
        run.consequences.append(CompensationStarted(frame.path.removesuffix(MARK), len(numbers)))
        self._next(run, frame)

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
        """Nothing stops it."""

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
