"""`choose`: user code picks which of several branches run, side by side; the choice is an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import from_json
from typing_extensions import override

from ..events import BranchTaken, FanOutStarted
from ..frames import Frame
from ..gates import Gate, gated
from ..values import Value, text_of
from .join import FanOut, FanOutFrame, Join
from .node import Node

if TYPE_CHECKING:
    from ..events import Intercepted
    from ..state import RunState


class ChooseFrame(FanOutFrame):
    """Branches under way, and which of the arms they are; whether they have begun at all."""

    __slots__ = ("begun", "chosen")
    FIELDS = (*FanOutFrame.FIELDS, ("chosen", "plain list"), ("begun", "plain"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.chosen: list[int] = []
        self.begun = False


class Choose(FanOut):
    """The results of the chosen arms as an array, in the order of writing; those that were not chosen are absent."""

    kind: ClassVar[str] = "choose"
    frame_class: ClassVar[type[Frame]] = ChooseFrame

    def __init__(
        self,
        name: str,
        arms: tuple[Node[Any], ...],
        *,
        condition: str,
        join: Join,
        window: int = 0,
        **types: Any,
    ) -> None:
        super().__init__(name, join=join, window=window or len(arms), **types)
        self.arms = arms
        self.condition = condition

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return self.arms

    @override
    def policy(self) -> dict[str, Any]:
        return {**super().policy(), "condition": self.condition}

    @override
    def child_node(self, run: RunState, frame: FanOutFrame, key: int, path: str) -> Node[Any]:
        return self._arm(frame, key)

    @override
    def open(self, run: RunState, frame: FanOutFrame) -> None:
        run.ask(frame, "pick", frame.input)

    def answered(self, run: RunState, frame: ChooseFrame, question: str, answer: Value) -> None:
        """The answer is the list of the indices of the arms, in order."""
        frame.chosen = from_json(text_of(answer))
        names = ", ".join(self.arms[index].name for index in frame.chosen)
        if not run.points or not gated(run, frame, Gate("branch", frame.input, detail=names)):
            self._take(run, frame)

    @override
    def intercepted(self, run: RunState, frame: FanOutFrame, gate: Gate, fact: Intercepted) -> None:
        assert isinstance(frame, ChooseFrame)
        if gate.point != "branch":
            super().intercepted(run, frame, gate, fact)
        elif fact.answer == "skip":
            run.done(frame, fact.value)
        else:
            if fact.answer == "redirect":
                frame.chosen = [index for index, arm in enumerate(self.arms) if arm.name == fact.detail]
            self._take(run, frame)

    @override
    def wound(self, run: RunState, frame: FanOutFrame) -> None:
        if isinstance(frame, ChooseFrame) and not frame.begun:
            run.close(frame)
        else:
            super().wound(run, frame)

    @override
    def reopen(self, run: RunState, frame: FanOutFrame) -> None:
        if isinstance(frame, ChooseFrame) and not frame.begun:
            run.ask(frame, "pick", frame.input)
        else:
            super().reopen(run, frame)

    def _take(self, run: RunState, frame: ChooseFrame) -> None:
        frame.begun = True
        arms = [self.arms[index] for index in frame.chosen]
        expected = sum(arm.expected() for arm in arms) - self.expected()
        names = ", ".join(arm.name for arm in arms) or "none"
        run.consequences.append(BranchTaken(frame.path, self.condition, names, expected))
        run.consequences.append(FanOutStarted(frame.path, len(arms)))
        self.begin(run, frame, len(arms))

    @override
    def branch(self, run: RunState, frame: FanOutFrame, index: int) -> None:
        node = self._arm(frame, index)
        run.spawn(frame, node, node.name, index, frame.input)

    def _arm(self, frame: FanOutFrame, index: int) -> Node[Any]:
        assert isinstance(frame, ChooseFrame)
        return self.arms[frame.chosen[index]]
