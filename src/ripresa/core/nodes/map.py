"""`map`: one body for every item of a list; the list stays whole, and only a window of it is scheduled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import FanOutStarted
from ..values import Pick, Value, text_of
from .join import WINDOW, FanOut, FanOutFrame, Join
from .node import Node

if TYPE_CHECKING:
    from ..state import RunState


class Map(FanOut):
    """The body's results as an array, in the order of the items."""

    kind: ClassVar[str] = "map"

    def __init__(self, name: str, body: Node[Any], *, join: Join, window: int = 0, **types: Any) -> None:
        super().__init__(name, join=join, window=window or WINDOW, **types)
        self.body = body

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body,)

    @override
    def expected(self) -> int:
        return 0

    @override
    def child_node(self, run: RunState, frame: FanOutFrame, key: int, path: str) -> Node[Any]:
        return self.body

    @override
    def open(self, run: RunState, frame: FanOutFrame) -> None:
        run.ask(frame, "count", frame.input)

    def answered(self, run: RunState, frame: FanOutFrame, question: str, answer: Value) -> None:
        """The answer is how many items there are."""
        count = int(text_of(answer))
        run.consequences.append(FanOutStarted(frame.path, count, count * self.body.expected()))
        self.begin(run, frame, count)

    @override
    def branch(self, run: RunState, frame: FanOutFrame, index: int) -> None:
        run.spawn(frame, self.body, f"{self.body.name}[{index}]", index, Pick(frame.input, index))
