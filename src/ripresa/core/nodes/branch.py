"""`branch`: user code chooses which one of several nodes runs; the choice is an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import BranchTaken, Failure
from ..frames import ScopeFrame
from ..gates import Gate, gated
from ..values import Value, text_of
from .node import Node, Scope

if TYPE_CHECKING:
    from ..events import Intercepted
    from ..state import RunState


class Branch(Scope[ScopeFrame]):
    """One of `arms`, given the branch's own input. `condition` names the question for readers."""

    kind: ClassVar[str] = "branch"

    def __init__(self, name: str, arms: tuple[Node[Any], ...], *, condition: str, code: Any, **types: Any) -> None:
        super().__init__(name, code=code, **types)
        self.arms = arms
        self.condition = condition

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return self.arms

    @override
    def policy(self) -> dict[str, Any]:
        return {"condition": self.condition}

    @override
    def expected(self) -> int:
        return max(arm.expected() for arm in self.arms)

    @override
    def open(self, run: RunState, frame: ScopeFrame) -> None:
        run.ask(frame, "choose", frame.input)

    def answered(self, run: RunState, frame: ScopeFrame, question: str, answer: Value) -> None:
        """The answer is the index of the arm, -1 if none takes the value."""
        index = int(text_of(answer))
        if index < 0:
            frame.question = question
            run.abort(frame, Failure("no_case", f"no case of {self.condition} takes this value", path=frame.path))
        elif not run.points or not gated(run, frame, Gate("branch", frame.input, index, self.arms[index].name)):
            self._take(run, frame, index)

    @override
    def intercepted(self, run: RunState, frame: ScopeFrame, gate: Gate, fact: Intercepted) -> None:
        if fact.answer == "skip":
            run.done(frame, fact.value)
        elif fact.answer == "redirect":
            self._take(run, frame, next(index for index, arm in enumerate(self.arms) if arm.name == fact.detail))
        else:
            self._take(run, frame, gate.number)

    def _take(self, run: RunState, frame: ScopeFrame, index: int) -> None:
        arm = self.arms[index]
        run.consequences.append(BranchTaken(frame.path, self.condition, arm.name, arm.expected() - self.expected()))
        run.spawn(frame, arm, arm.name, index, frame.input)
