"""`approved`: one of two nodes runs; people decide which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import BranchTaken
from ..frames import ScopeFrame
from ..values import Value, text_of
from .approval import Approval
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState


class Approved(Scope[ScopeFrame]):
    """Ask about the input, then give it to the first arm if it was granted, else to the second."""

    kind: ClassVar[str] = "approved"

    def __init__(self, name: str, asked: Approval, arms: tuple[Node[Any], ...], **types: Any) -> None:
        super().__init__(name, **types)
        self.asked = asked
        self.arms = arms

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.asked, *self.arms)

    @override
    def expected(self) -> int:
        return max(arm.expected() for arm in self.arms)

    @override
    def open(self, run: RunState, frame: ScopeFrame) -> None:
        run.spawn(frame, self.asked, self.asked.name, 0, frame.input)

    @override
    def on_done(self, run: RunState, frame: ScopeFrame, key: int, value: Value) -> None:
        if key:
            run.done(frame, value)
            return
        index = 0 if text_of(value).startswith(b'{"granted":true') else 1
        arm = self.arms[index]
        expected = arm.expected() - self.expected()
        run.consequences.append(BranchTaken(frame.path, self.asked.terms.question, arm.name, expected))
        run.spawn(frame, arm, arm.name, index + 1, frame.input)
