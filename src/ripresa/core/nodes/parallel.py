"""`parallel`: different branches side by side, all given the same input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import FanOutStarted
from .join import FanOut, FanOutFrame, Join
from .node import Node

if TYPE_CHECKING:
    from ..state import RunState


class Parallel(FanOut):
    """The branches' results as an array, by index; or what `join` says (`single`: the one needed, bare)."""

    kind: ClassVar[str] = "parallel"

    def __init__(
        self,
        name: str,
        branches: tuple[Node[Any], ...],
        *,
        join: Join,
        window: int = 0,
        single: bool = False,
        **types: Any,
    ) -> None:
        super().__init__(name, join=join, window=window or len(branches), **types)
        self.branches = branches
        self.single = single

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return self.branches

    @override
    def policy(self) -> dict[str, Any]:
        return {**super().policy(), "single": self.single}

    @override
    def open(self, run: RunState, frame: FanOutFrame) -> None:
        run.consequences.append(FanOutStarted(frame.path, len(self.branches)))
        self.begin(run, frame, len(self.branches))

    @override
    def branch(self, run: RunState, frame: FanOutFrame, index: int) -> None:
        node = self.branches[index]
        run.spawn(frame, node, node.name, index, frame.input)
