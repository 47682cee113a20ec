"""`sequence`: nodes one after another, each given what the one before returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from typing_extensions import override

from ..frames import ScopeFrame
from ..gates import Gate, gated, reached
from ..points import SEEN
from ..values import Value
from .node import Node, Scope

if TYPE_CHECKING:
    from ..events import Intercepted
    from ..state import RunState

SEEN_STAGE: Final = f"{SEEN}stage"


class Sequence(Scope[ScopeFrame]):
    """The nodes in order; the last one's result is the sequence's."""

    kind: ClassVar[str] = "sequence"

    def __init__(self, name: str, steps: tuple[Node[Any], ...], **types: Any) -> None:
        super().__init__(name, **types)
        self.steps = steps

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return self.steps

    @override
    def open(self, run: RunState, frame: ScopeFrame) -> None:
        self._begin(run, frame, 0, frame.input)

    @override
    def on_done(self, run: RunState, frame: ScopeFrame, key: int, value: Value) -> None:
        self._begin(run, frame, key + 1, value)

    def _begin(self, run: RunState, frame: ScopeFrame, key: int, value: Value) -> None:
        if key == len(self.steps):
            run.done(frame, value)
        elif not run.points or not self._stage(run, frame, key, value):
            node = self.steps[key]
            run.spawn(frame, node, node.name, key, value)

    @override
    def intercepted(self, run: RunState, frame: ScopeFrame, gate: Gate, fact: Intercepted) -> None:
        value = fact.value if fact.answer == "replace" else gate.value
        run.spawn(frame, self.steps[gate.number], self.steps[gate.number].name, gate.number, value)

    def _stage(self, run: RunState, frame: ScopeFrame, key: int, value: Value) -> bool:
        if "stage" not in run.points and SEEN_STAGE not in run.points:
            return False
        name = self.steps[key].name
        reached(run, frame, "stage", name, key)
        return gated(run, frame, Gate("stage", value, key, name))
