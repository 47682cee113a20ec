"""What the parts of a flow came to that are made of others: a branch, a loop, a map, found again by replay.

Law: it only looks on. The journal has the results of steps; those of what is made of them follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from ..core.events import Failure
from ..core.frames import Frame, ScopeFrame
from ..core.nodes.graph import GraphFrame
from ..core.replay import lineage
from ..core.state import RunState
from ..core.values import Value
from .restoring import replayed

if TYPE_CHECKING:
    from ..authoring.flow import Runnable
    from ..core.nodes.node import Node
    from ..ports import RunHead
    from .engine import Engine

BODY = "()"
"""How the path of a scope's body ends, which shows nowhere."""

GATE = "?"
"""How the path ends of what decides whether a node of a graph runs."""


@dataclass(slots=True)
class Outcome:
    """A part as it stands: running, completed, failed, cancelled or skipped; what it returned, why it failed."""

    status: str = "running"
    output: Value | None = None
    failure: Failure | None = None


class Observed(RunState):
    """A state that remembers how each frame ended, by path, in the order in which they began."""

    __slots__ = ("outcomes_by_path",)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.outcomes_by_path: dict[str, Outcome] = {}

    @override
    def spawn(self, parent: ScopeFrame, node: Node[Any], segment: str, key: int, input: Value) -> None:
        self._tell(parent.prefix + segment, Outcome())
        super().spawn(parent, node, segment, key, input)

    @override
    def reopen(self, frame: Frame) -> None:
        self._tell(frame.path, Outcome())
        super().reopen(frame)

    @override
    def done(self, frame: Frame, value: Value) -> None:
        self._tell_first(frame)
        self._tell(frame.path, Outcome("skipped" if frame.path.endswith(GATE) else "completed", value))
        super().done(frame, value)

    @override
    def fail(self, frame: Frame, failure: Failure) -> None:
        self._tell(frame.path, Outcome("failed", failure=failure))
        super().fail(frame, failure)

    @override
    def cancelled(self, frame: Frame) -> None:
        self._tell(frame.path, Outcome("cancelled"))
        super().cancelled(frame)

    @override
    def skipped(self, frame: Frame) -> None:
        self._tell(frame.path, Outcome("skipped"))
        super().skipped(frame)

    def _tell(self, path: str, outcome: Outcome) -> None:
        if path and not path.endswith(BODY):
            self.outcomes_by_path[path.removesuffix(GATE)] = outcome

    def _tell_first(self, frame: Frame) -> None:
        """What joins results in a graph has no frame of its own."""
        if isinstance(frame, GraphFrame):
            graph: Any = frame.node
            for node, wire, result in zip(graph.nodes, graph.wires, frame.results, strict=True):
                if wire.first:
                    self._tell(frame.prefix + node.name, Outcome("skipped" if result is None else "completed", result))


async def outcomes_of(engine: Engine, head: RunHead, flow: Runnable[..., Any]) -> Mapping[str, Outcome]:
    """How each part of a run stands, by path; `flow` is what it runs.

    Raises `DefinitionChanged`, `Nondeterminism` if that is no longer what was recorded.
    """
    state = Observed(flow.definition.for_run())
    replayed(engine, head, flow, lineage(await engine.history(head.id)), state=state).close()
    return state.outcomes_by_path
