"""`compensation`: undoes what happened in a scope, last first, shielded from cancellation.

Law: one undo at a time, each a call of its own; one that fails is kept and stops nothing; what was undone once is
never undone again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

from typing_extensions import override

from ..commands import SetTimer
from ..events import CompensationEnded, CompensationStarted, Failure, Intercepted, StepUndone, UndoFailed
from ..frames import ENDED, Frame, ScopeFrame
from ..gates import Gate, gated
from ..ledger import Entry
from ..values import Value, text_of
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState

MARK = "!undo"
"""What stands behind the path of a scope in the path of its compensation."""


TELLS_SKIPPED: Final = 10
"""The rules of the core from which on it is told what only counts as undone."""


class CompensationFrame(ScopeFrame):
    """What is left to be undone (numbers in the ledger, the next one last), how much was, and what failed.

    `lasting` are the paths of what cannot be undone; `generation` is that of what is undone now; `whole`: the run is to
    end as soon as all of it is undone; `waits`: it has not begun, for calls that are being stopped may still do what is
    to be undone; `due`: when an undo that failed is tried once more (0: none is); `tries` is how often the present one
    has been begun; `skipped` are the paths of what only counts as undone, for a hook says so.
    """

    __slots__ = ("due", "failures", "generation", "lasting", "left", "skipped", "tries", "undone", "waits", "whole")
    FIELDS = (
        *ScopeFrame.FIELDS,
        ("generation", "plain"),
        ("left", "plain list"),
        ("undone", "plain"),
        ("failures", "failure list"),
        ("whole", "plain"),
        ("waits", "plain"),
        ("due", "plain"),
        ("tries", "plain"),
        ("lasting", "plain list"),
        ("skipped", "plain list"),
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
        self.due = 0
        self.tries = 0
        self.lasting: list[str] = []
        self.skipped: list[str] = []


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
            self.begin(run, frame, run.ledger.below(heads), run.ledger.lasting_below(heads))

    def begin(self, run: RunState, frame: CompensationFrame, numbers: list[int], lasting: list[str]) -> None:
        """Undo the entries of these numbers, the last one first."""
        frame.left, frame.lasting = numbers, lasting
        run.consequences.append(CompensationStarted(frame.path.removesuffix(MARK), len(numbers)))
        self._next(run, frame)

    def since(self, frame: CompensationFrame) -> int:
        """The number of calls that a durable function had made before the first of those that it undoes."""
        number: int = json.loads(text_of(frame.input))[0]
        return number

    @override
    def on_done(self, run: RunState, frame: CompensationFrame, key: int, value: Value) -> None:
        entry = run.ledger.entries[key]
        if not run.points or not gated(run, frame, Gate("compensated", value, key, entry.path)):
            self._undone(run, frame, entry)
            self._next(run, frame)

    def _undone(self, run: RunState, frame: CompensationFrame, entry: Entry) -> None:
        frame.undone += 1
        run.consequences.append(StepUndone(entry.path))
        run.ledger.undone(entry)

    @override
    def on_failed(self, run: RunState, frame: CompensationFrame, key: int, failure: Failure) -> None:
        entry = run.ledger.entries[key]
        gate = Gate("compensation_error", entry.output, key, entry.path, failure)
        if not run.points or not gated(run, frame, gate):
            run.drop(frame, key)
            self._failed(run, frame, entry, failure)
            self._next(run, frame)

    @override
    def intercepted(self, run: RunState, frame: CompensationFrame, gate: Gate, fact: Intercepted) -> None:
        entry = run.ledger.entries[gate.number]
        if fact.answer == "again":
            self._again(run, frame, fact.number)
            return
        if gate.point == "compensation" and fact.answer in ("continue", "replace"):
            if not self._undo(run, frame, entry, fact.value if fact.answer == "replace" else None):
                self._next(run, frame)
            return
        if gate.point == "compensation_error":
            run.drop(frame, entry.number)
        if fact.answer == "skip" and run.core >= TELLS_SKIPPED:
            frame.skipped.append(entry.path)
        if fact.answer == "skip" or (gate.point == "compensated" and fact.answer == "continue"):
            self._undone(run, frame, entry)
        else:
            reason = Failure("vetoed", fact.detail or "a hook forbids it", path=entry.path)
            self._failed(run, frame, entry, gate.failure or fact.failure or reason)
        self._next(run, frame)

    def _again(self, run: RunState, frame: CompensationFrame, at: int) -> None:
        """Try an undo that failed once more."""
        if at > run.at:
            frame.due = at
            run.commands.append(SetTimer(frame.path, at))
        else:
            self.timer(run, frame)

    @override
    def timer(self, run: RunState, frame: CompensationFrame) -> None:
        frame.due = 0
        frame.tries += 1
        frame.active += 1
        run.reopen(next(iter(frame.children.values())))

    @override
    def cancel(self, run: RunState, frame: CompensationFrame) -> None:
        """Nothing stops it; but what it waits for may never be told to it now, so it begins."""
        if frame.waits:
            self.go_on(run, frame, at_once=True)

    def _next(self, run: RunState, frame: CompensationFrame) -> None:
        while frame.left:
            entry = run.ledger.entries[frame.left.pop()]
            if run.points and gated(run, frame, Gate("compensation", entry.output, entry.number, entry.path)):
                return
            if self._undo(run, frame, entry):
                return
        self._end(run, frame)

    def _undo(self, run: RunState, frame: CompensationFrame, entry: Entry, instead: Value | None = None) -> bool:
        """Begin to undo one entry, as if its output had been another; False where it cannot be undone."""
        undo = run.definition.undo(entry)
        if entry.known or undo.takes_unknown or instead is not None:
            frame.generation = entry.generation
            frame.tries = 1
            output = entry.output if instead is None else instead
            value = (output, entry.input) if undo.takes_input else output
            name = f"{undo.name}#2" if entry.again else undo.name
            run.spawn_at(frame, undo.body, f"{entry.path}/{name}", entry.number, value)
            return True
        message = "nobody knows whether it did its work, and its undo does not take that"
        self._failed(run, frame, entry, Failure("outcome_unknown", message, path=entry.path, attempt=entry.attempt))
        return False

    def _failed(self, run: RunState, frame: CompensationFrame, entry: Entry, failure: Failure) -> None:
        frame.failures.append(failure)
        run.ledger.stick(entry.number)
        run.consequences.append(UndoFailed(entry.path, failure))

    def _end(self, run: RunState, frame: CompensationFrame) -> None:
        failures, lasting = tuple(frame.failures), tuple(frame.lasting)
        report = "partial" if frame.undone or not failures else "failed"
        if not failures and not lasting:
            report = "skipped" if frame.skipped and len(frame.skipped) == frame.undone else "complete"
        path = frame.path.removesuffix(MARK)
        run.consequences.append(CompensationEnded(path, report, frame.undone, failures, lasting, tuple(frame.skipped)))
        run.compensated(frame)


COMPENSATION = Compensation("undo")
"""The one node of all compensations."""
