"""`graph`: nodes by dependency, parallel by default; each begins when what it needs is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic_core import from_json, to_json
from typing_extensions import override

from ..events import BranchTaken, Failure, FanOutEnded, FanOutStarted, NodeSkipped
from ..frames import CANCELLED, DONE, FAILED, OPEN, Frame, ScopeFrame
from ..gates import Gate as HookGate
from ..gates import gated
from ..shared import ALL, MERGE
from ..values import NULL, Value, text_of
from .join import fork_answered
from .node import Node, Scope
from .stateful import Assign

if TYPE_CHECKING:
    from ..events import Intercepted, Write
    from ..shared import Shared
    from ..state import RunState

RUN, SKIP = "run", "skip"
"""What can be decided about a node with a condition."""

LEAVES_OUT: Final = 5
"""The rules of the core from which on a hook that says so leaves a node with a condition out."""

TELLS_SIDES: Final = 7
"""The rules of the core from which on what runs side by side is told of, and which gates let their nodes run."""

INPUT = -1
"""The source that stands for the graph's own input."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How one node of a graph hangs together with the others.

    `sources` are the indices of the nodes whose results it is given (`INPUT` for the graph's input), in the order in
    which the border expects them; `after` those it only waits for. `conditional`: user code decides whether it runs,
    about the results of `tests`, which must be there, and of `doubts`, which count only if none of them was skipped
    (a condition on a skipped node is false, also one that would stop the node). `evaluated`: user code makes its input
    from the sources. `first`: it is no work of its own but the first of its sources that was not skipped.
    """

    sources: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    tests: tuple[int, ...] = ()
    conditional: bool = False
    evaluated: bool = False
    first: bool = False
    doubts: tuple[int, ...] = ()

    def needs(self) -> tuple[int, ...]:
        """Everything that must have ended before the node is looked at."""
        return (*self.sources, *self.after, *self.tests, *self.doubts)

    def plain(self) -> list[Any]:
        """As plain data, for the definition's hash."""
        indices = (self.sources, self.after, self.tests, self.doubts)
        return [*map(list, indices), self.conditional, self.evaluated, self.first]


class GraphFrame(ScopeFrame):
    """Results by node, those that were skipped, and how many things each of the others still waits for.

    `narrow` is the window that a hook asked for (0: none did).
    """

    __slots__ = ("narrow", "ready", "results", "skipped", "waiting")
    FIELDS = (
        *ScopeFrame.FIELDS,
        ("results", "optional values"),
        ("skipped", "plain list"),
        ("waiting", "plain list"),
        ("ready", "plain list"),
        ("narrow", "plain"),
    )

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.results: list[Value | None] = []
        self.skipped: list[bool] = []
        self.waiting: list[int] = []
        self.ready: list[int] = []
        self.narrow = 0


class Gate(Scope[ScopeFrame]):
    """What stands before a node while user code decides whether it runs and with what."""

    kind: ClassVar[str] = "gate"

    def __init__(self, name: str, wire: Wire, body: Node[Any], code: Any) -> None:
        super().__init__(name, code=code, output_type=body.output_type)
        self.wire = wire
        self.body = body

    @override
    def open(self, run: RunState, frame: ScopeFrame) -> None:
        run.ask(frame, "when" if self.wire.conditional else "input", frame.input)

    def answered(self, run: RunState, frame: ScopeFrame, question: str, answer: Value) -> None:
        """Whether the node runs (`when`: yes or no, and by which condition), and with what (`input`)."""
        if question == "input":
            run.replace(frame, self.body, answer)
            return
        holds, condition = _answer(answer)
        choice = RUN if holds else SKIP
        frame.about = condition
        if not run.points or not gated(run, frame, HookGate("branch", frame.input, detail=choice)):
            self._decided(run, frame, choice)

    @override
    def intercepted(self, run: RunState, frame: ScopeFrame, gate: HookGate, fact: Intercepted) -> None:
        left_out = fact.answer == "skip" and run.core >= LEAVES_OUT
        if left_out and fact.number:
            run.consequences.append(self._skipped(run, frame))
            run.done(frame, fact.value)
        elif left_out:
            self._decided(run, frame, SKIP)
        else:
            self._decided(run, frame, fact.detail if fact.answer == "redirect" else gate.detail)

    def _skipped(self, run: RunState, frame: ScopeFrame) -> NodeSkipped:
        return NodeSkipped(frame.path.removesuffix("?"), -self.body.expected(), self._condition(run, frame))

    def _condition(self, run: RunState, frame: ScopeFrame) -> str:
        condition: str = from_json(text_of(frame.about)) if run.core >= TELLS_SIDES else ""
        return condition

    def _decided(self, run: RunState, frame: ScopeFrame, choice: str) -> None:
        if choice == SKIP:
            run.consequences.append(self._skipped(run, frame))
            run.skipped(frame)
            return
        if run.core >= TELLS_SIDES:
            taken = BranchTaken(frame.path.removesuffix("?"), self._condition(run, frame), RUN)
            run.consequences.append(taken)
        if self.wire.evaluated:
            run.ask(frame, "input", frame.input)
        else:
            graph: Any = frame.parent
            run.replace(frame, self.body, graph.node.values(graph, self.wire.sources))


def _answer(answer: Value) -> tuple[bool, bytes]:
    """What was said of a condition, and its text as JSON, if it was told."""
    said: Any = from_json(text_of(answer))
    holds, condition = (said[0], said[1]) if isinstance(said, list) else (said, "")  # pyright: ignore[reportUnknownVariableType]
    return holds is True, to_json(condition)


class Graph(Scope[GraphFrame]):
    """Nodes in the order in which they were written, which is topological. `output` are the sources of the result.

    `questions` are the codes of the nodes' gates. `window` bounds how many nodes are active at a time; `keep_going`
    lets nodes that do not depend on a failed one go on before the graph fails.
    """

    kind: ClassVar[str] = "graph"
    frame_class: ClassVar[type[Frame]] = GraphFrame
    forks: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        nodes: tuple[Node[Any], ...],
        wires: tuple[Wire, ...],
        *,
        output: Wire,
        questions: tuple[Any, ...] = (),
        window: int = 0,
        keep_going: bool = False,
        **types: Any,
    ) -> None:
        super().__init__(name, **types)
        self.nodes = nodes
        self.wires = wires
        self.output = output
        self.window = window
        self.keep_going = keep_going
        self.gates = tuple(
            Gate(f"{node.name}?", wire, node, question) if wire.conditional or wire.evaluated else None
            for node, wire, question in zip(nodes, wires, questions or (None,) * len(nodes), strict=True)
        )
        self.dependents: tuple[tuple[int, ...], ...] = tuple(
            tuple(j for j, wire in enumerate(wires) for need in wire.needs() if need == i) for i in range(len(nodes))
        )

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return self.nodes

    @override
    def policy(self) -> dict[str, Any]:
        wires = [wire.plain() for wire in self.wires]
        return {"wires": wires, "output": self.output.plain(), "window": self.window, "keep_going": self.keep_going}

    @override
    def child_node(self, run: RunState, frame: GraphFrame, key: int, path: str) -> Node[Any]:
        gate = self.gates[key]
        return gate if gate is not None and path.endswith("?") else self.nodes[key]

    @override
    def open(self, run: RunState, frame: GraphFrame) -> None:
        count = len(self.nodes)
        frame.results = [None] * count
        frame.skipped = [False] * count
        frame.waiting = [sum(need != INPUT for need in wire.needs()) for wire in self.wires]
        frame.ready = [index for index in range(count) if frame.waiting[index] == 0]
        if self._tells(run):
            width = len(self.work)
            run.consequences.append(FanOutStarted(frame.path, width, how="graph"))
            if run.points and gated(run, frame, HookGate("fork", frame.input, width)):
                return
        self.fill(run, frame)

    @override
    def intercepted(self, run: RunState, frame: GraphFrame, gate: HookGate, fact: Intercepted) -> None:
        fork_answered(run, frame, gate, fact)

    @cached_property
    def work(self) -> tuple[int, ...]:
        """The nodes that are work of their own, in the order of writing."""
        found = zip(self.nodes, self.wires, strict=True)
        return tuple(i for i, (node, wire) in enumerate(found) if not wire.first and not isinstance(node, Assign))

    @cached_property
    def forks_out(self) -> bool:
        """Whether some of its nodes run side by side: they do not wait for each other."""
        return self.window != 1 and any(a not in self.ancestors[b] for a, b in pairwise(self.work))

    def _tells(self, run: RunState) -> bool:
        return run.core >= TELLS_SIDES and self.forks_out

    def summary(self, run: RunState, frame: GraphFrame) -> None:
        """Tell how the nodes ended."""
        phases = [child.phase for child in frame.children.values()]
        completed = sum(frame.results[index] is not None for index in self.work) + phases.count(DONE)
        run.consequences.append(FanOutEnded(frame.path, completed, phases.count(FAILED), phases.count(CANCELLED)))

    @override
    def wound(self, run: RunState, frame: GraphFrame) -> None:
        if self._tells(run):
            self.summary(run, frame)
        run.close(frame)

    @cached_property
    def ancestors(self) -> tuple[tuple[int, ...], ...]:
        """For each node all that it waits for, also through others, in order."""
        found: list[tuple[int, ...]] = []
        for wire in self.wires:
            needs = {need for need in wire.needs() if need != INPUT}
            found.append(tuple(sorted(needs.union(*(found[need] for need in needs)))))
        return tuple(found)

    @override
    def precedes(self, key: int) -> tuple[int, ...]:
        return self.ancestors[key]

    @override
    def on_done(self, run: RunState, frame: GraphFrame, key: int, value: Value) -> None:
        frame.results[key] = value
        self._settle(frame, key)
        conflict = None if run.shared is None else self._conflict(run.shared, frame, (key,))
        if conflict is not None:
            run.abort(frame, conflict)
        else:
            self.fill(run, frame)

    def on_skipped(self, run: RunState, frame: GraphFrame, key: int) -> None:
        """The gate of a node stays shut."""
        frame.skipped[key] = True
        self._settle(frame, key)
        self.fill(run, frame)

    @override
    def on_failed(self, run: RunState, frame: GraphFrame, key: int, failure: Any) -> None:
        if not self.keep_going:
            run.abort(frame, failure)
            return
        frame.others = (*frame.others, failure)
        self.fill(run, frame)

    def answered(self, run: RunState, frame: GraphFrame, question: str, answer: Value) -> None:
        """The answer is the graph's result."""
        self._joined(run, frame, answer)

    @override
    def reopen(self, run: RunState, frame: GraphFrame) -> None:
        frame.others = ()
        if frame.question == MERGE:
            frame.question = ""
        elif frame.question:
            run.ask(frame, frame.question, frame.about)
            return
        frame.ready.extend(frame.children)
        self.fill(run, frame)

    def merged(self, run: RunState, frame: GraphFrame, writes: tuple[Write, ...]) -> None:
        """Reducers of the user's have said what a node sees that waited for several, or what the graph leaves."""
        assert run.shared is not None
        key = int(text_of(frame.about))
        if key == ALL:
            run.shared.join(run, frame, writes)
            self._return(run, frame)
        else:
            run.shared.keep(frame, key, writes)
            self.fill(run, frame)

    def values(self, frame: GraphFrame, sources: tuple[int, ...]) -> tuple[Value, ...]:
        """The results of these nodes (null for one that was skipped), in this order."""
        found = (frame.input if source == INPUT else frame.results[source] for source in sources)
        return tuple(NULL if value is None else value for value in found)

    def _conflict(self, shared: Shared, frame: GraphFrame, keys: Iterable[int] | None = None) -> Failure | None:
        """Two nodes that did not wait for each other wrote what may not be written by both. `keys`: one of them."""
        writers = shared.writers(frame)
        for key in writers if keys is None else keys:
            for other in writers if key in writers else ():
                if other != key and other not in self.ancestors[key] and key not in self.ancestors[other]:
                    conflict = shared.conflict(frame, sorted((other, key)))
                    if conflict is not None:
                        return conflict
        return None

    def _settle(self, frame: GraphFrame, key: int) -> None:
        for dependent in self.dependents[key]:
            frame.waiting[dependent] -= 1
            if frame.waiting[dependent] == 0:
                frame.ready.append(dependent)

    def fill(self, run: RunState, frame: GraphFrame) -> None:
        """Begin what is ready, in the order of writing; end when nothing is left."""
        while self._has_room(frame):
            frame.ready.sort(reverse=True)
            self._begin(run, frame, frame.ready.pop())
        if frame.active == 0 and not frame.ready and frame.phase == OPEN and not frame.question:
            self._end(run, frame)

    def _has_room(self, frame: GraphFrame) -> bool:
        window = min(frame.narrow, self.window or frame.narrow) if frame.narrow else self.window
        full = window and frame.active >= window
        return bool(frame.ready) and frame.phase == OPEN and not full and frame.question != MERGE

    def _must_merge(self, run: RunState, frame: GraphFrame, index: int) -> bool:
        """Ask what a node sees of fields that several which it waited for wrote by a reducer of the user's."""
        shared = run.shared
        if shared is None or shared.is_kept(frame, index) or not shared.unmerged(frame, self.precedes(index)):
            return False
        frame.ready.append(index)
        run.ask(frame, MERGE, b"%d" % index)
        return True

    def _begin(self, run: RunState, frame: GraphFrame, index: int) -> None:
        node, wire, gate = self.nodes[index], self.wires[index], self.gates[index]
        if index in frame.children:
            frame.active += 1
            run.reopen(frame.children[index])
        elif wire.first:
            self._first(run, frame, index)
        elif self._lacks(frame, (*wire.sources, *wire.tests)):
            self._skip(run, frame, index)
        elif self._must_merge(run, frame, index):
            return
        elif gate is not None:
            doubts = () if self._lacks(frame, wire.doubts) else wire.doubts
            run.spawn(frame, gate, gate.name, index, self.values(frame, (*wire.sources, *wire.tests, *doubts)))
        else:
            run.spawn(frame, node, node.name, index, self.values(frame, wire.sources))

    def _lacks(self, frame: GraphFrame, sources: tuple[int, ...]) -> bool:
        return any(source != INPUT and frame.skipped[source] for source in sources)

    def _first(self, run: RunState, frame: GraphFrame, index: int) -> None:
        ran = tuple(source for source in self.wires[index].sources if not self._lacks(frame, (source,)))
        if ran:
            frame.results[index] = self.values(frame, ran)[0]
            self._settle(frame, index)
        else:
            self._skip(run, frame, index)

    def _skip(self, run: RunState, frame: GraphFrame, index: int) -> None:
        node = self.nodes[index]
        run.consequences.append(NodeSkipped(frame.prefix + node.name, -node.expected()))
        frame.skipped[index] = True
        self._settle(frame, index)

    def _end(self, run: RunState, frame: GraphFrame) -> None:
        if frame.others:
            first, *others = frame.others
            frame.others = tuple(others)
            run.abort(frame, first)
            return
        conflict = None if run.shared is None else self._conflict(run.shared, frame)
        if conflict is not None:
            run.abort(frame, conflict)
            return
        if run.shared is not None:
            if run.shared.asks_to_join(frame):
                run.ask(frame, MERGE, b"%d" % ALL)
                return
            run.shared.join(run, frame)
        self._return(run, frame)

    def _return(self, run: RunState, frame: GraphFrame) -> None:
        sources = self.output.sources
        if self._lacks(frame, sources):
            self._joined(run, frame, NULL)
        elif self.output.evaluated:
            run.ask(frame, "returns", self.values(frame, sources))
        else:
            self._joined(run, frame, next(iter(self.values(frame, sources)), NULL))

    def _joined(self, run: RunState, frame: GraphFrame, value: Value) -> None:
        if self._tells(run):
            self.summary(run, frame)
            if run.points and gated(run, frame, HookGate("join", value)):
                return
        run.done(frame, value)
