"""Draws workflows as text: Mermaid or Graphviz, from the nodes that the engine runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

from ..core.durations import MICROSECONDS
from ..core.nodes.approval import Approval
from ..core.nodes.approved import Approved
from ..core.nodes.branch import Branch
from ..core.nodes.checked import Checked
from ..core.nodes.choose import Choose
from ..core.nodes.cleanup import Cleanup
from ..core.nodes.delay import Delay
from ..core.nodes.dynamic import Dynamic
from ..core.nodes.fallback import Fallback
from ..core.nodes.graph import INPUT, Graph
from ..core.nodes.join import Join
from ..core.nodes.loop import Loop
from ..core.nodes.map import Map
from ..core.nodes.node import Node
from ..core.nodes.parallel import Parallel
from ..core.nodes.router import Router
from ..core.nodes.saga import Saga
from ..core.nodes.sequence import Sequence
from ..core.nodes.stateful import Assign, Stateful
from ..core.nodes.subworkflow import Subworkflow
from ..core.nodes.undo import Undoable
from ..core.nodes.updates import Serving, TakeUpdate
from ..core.nodes.wait import Wait
from .flow import Runnable
from .options import bad_choice, refuse

Format: TypeAlias = Literal["mermaid", "dot"]
"""Mermaid shows in Markdown on code hosts; dot is what Graphviz reads."""


def draw(runnable: Runnable[..., Any], format: Format = "mermaid") -> str:
    """A flow or workflow as a diagram. A durable function is one box: its calls are known only in a run."""
    refuse("draw", bad_choice(format, "format", get_args(Format)))
    picture = Picture()
    picture.put(runnable.definition.root, None)
    return _mermaid(picture) if format == "mermaid" else _dot(picture)


@dataclass(frozen=True, slots=True)
class Shape:
    """A box: `form` is step, function, choice, fork, wait or join; `frame` the box around it."""

    key: str
    label: str
    form: str
    frame: str | None


@dataclass(frozen=True, slots=True)
class Frame:
    """A box around others."""

    key: str
    label: str
    around: str | None


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow; dashed if it is taken only when something fails."""

    source: str
    target: str
    label: str = ""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Ends:
    """Where arrows into and out of what was drawn go."""

    entries: tuple[str, ...]
    exits: tuple[str, ...]


@dataclass
class Picture:
    """Boxes, boxes around them, and arrows, in the order of drawing."""

    shapes: list[Shape] = field(default_factory=list[Shape])
    frames: list[Frame] = field(default_factory=list[Frame])
    edges: list[Edge] = field(default_factory=list[Edge])

    def put(self, node: Node[Any], frame: str | None) -> Ends:  # noqa: C901 - one arm per node
        """Draw a node with what is below it."""
        match node:
            case Sequence():
                return self._sequence(node, frame)
            case Parallel():
                return self._fork(node, f"{node.name}: {_joined(node.join)}", node.branches, frame)
            case Branch():
                return self._choice(node, frame)
            case Approved():
                return self._approved(node, frame)
            case Checked():
                return self._framed(f"{node.name}: {_rules(node)}", node.body, frame)
            case Choose():
                return self._fork(node, f"{node.condition}? {_joined(node.join)}", node.arms, frame)
            case Router():
                return self._router(node, frame)
            case Map():
                return self._framed(f"{node.name}: each item{_policy(node.join)}", node.body, frame)
            case Loop():
                return self._framed(f"{node.name}: {_turns(node)}", node.body, frame)
            case Fallback():
                return self._fallback(node, frame)
            case Cleanup():
                return self._cleanup(node, frame)
            case Serving():
                return self._serving(node, frame)
            case TakeUpdate():
                return self._framed(f"{node.name}: update {node.update}", node.body, frame)
            case Saga():
                return self._framed(node.name, node.body, frame)
            case Subworkflow():
                return self._framed(node.workflow, node.body, frame)
            case Graph():
                return self._graph(node, frame)
            case _:
                return self._single(node, frame)

    def _serving(self, node: Serving, frame: str | None) -> Ends:
        """The body; what answers updates stands beside it, and no arrow leads there."""
        for handler in node.handlers:
            self.put(handler, frame)
        return self.put(node.body, frame)

    def _single(self, node: Node[Any], frame: str | None) -> Ends:
        match node:
            case Stateful() | Undoable():
                return self.put(node.body, frame)
            case Delay():
                return self.shape(f"{node.name}: {node.length / MICROSECONDS:g} s", "wait", frame)
            case Approval():
                return self.shape(f"{node.name}: {node.terms.question}", "wait", frame)
            case Wait():
                return self.shape(f"{node.name}: signal {node.signal}", "wait", frame)
            case Dynamic():
                known = getattr(node.code, "drawn", None)  # a durable function that goes by a document
                return self.shape(node.name, "function", frame) if known is None else known(self, frame)
            case Assign():
                return self.shape(node.name.partition("#")[0], "wait", frame)
            case _:
                return self.shape(node.name, "step", frame)

    def shape(self, label: str, form: str, frame: str | None) -> Ends:
        """A box; see `Shape`."""
        key = f"n{len(self.shapes) + 1}"
        self.shapes.append(Shape(key, label, form, frame))
        return Ends((key,), (key,))

    def frame(self, label: str, around: str | None) -> str:
        """A box around others; its key."""
        key = f"f{len(self.frames) + 1}"
        self.frames.append(Frame(key, label, around))
        return key

    def join(self, sources: Iterable[str], targets: Iterable[str], label: str = "", dashed: bool = False) -> None:
        """Arrows from each of these to each of those."""
        targets = tuple(targets)
        self.edges.extend(Edge(source, target, label, dashed) for source in sources for target in targets)

    def _sequence(self, node: Sequence, frame: str | None) -> Ends:
        if not node.steps:  # passes on what it is given
            return self.shape(node.name, "join", frame)
        drawn = [self.put(step, frame) for step in node.steps]
        for before, after in pairwise(drawn):
            self.join(before.exits, after.entries)
        return Ends(drawn[0].entries, drawn[-1].exits)

    def _fork(self, node: Node[Any], label: str, arms: tuple[Node[Any], ...], frame: str | None) -> Ends:
        start = self.shape(label, "fork", frame)
        drawn = [self.put(arm, frame) for arm in arms]
        for arm in drawn:
            self.join(start.exits, arm.entries)
        return Ends(start.entries, tuple(key for arm in drawn for key in arm.exits))

    def _choice(self, node: Branch, frame: str | None) -> Ends:
        start = self.shape(f"{node.condition}?", "choice", frame)
        return self._arms(start, node.arms, _answers(node), frame)

    def _approved(self, node: Approved, frame: str | None) -> Ends:
        return self._arms(self.put(node.asked, frame), node.arms, ["granted", "rejected"], frame)

    def _arms(self, start: Ends, arms: tuple[Node[Any], ...], labels: list[str], frame: str | None) -> Ends:
        exits: list[str] = []
        for arm, label in zip(arms, labels, strict=True):
            drawn = self.put(arm, frame)
            self.join(start.exits, drawn.entries, label)
            exits.extend(drawn.exits)
        return Ends(start.entries, tuple(exits))

    def _router(self, node: Router, frame: str | None) -> Ends:
        """Every way from one link to another, or only those that are legal, if that is said."""
        inside = self.frame(f"{node.name}: at most {node.at_most} times", frame)
        drawn = {arm.name: self.put(arm, inside) for arm in node.arms}
        legal = node.code.ways.legal
        for source in drawn:
            for target in drawn if legal is None else legal.get(source, ()):
                if legal is not None or source != target:
                    self.join(drawn[source].exits, drawn[target].entries)
        starts = [next(iter(drawn.values()))] if node.handoff else drawn.values()
        return Ends(
            tuple(key for ends in starts for key in ends.entries),
            tuple(key for ends in drawn.values() for key in ends.exits),
        )

    def _framed(self, label: str, body: Node[Any], frame: str | None) -> Ends:
        return self.put(body, self.frame(label, frame))

    def _fallback(self, node: Fallback, frame: str | None) -> Ends:
        drawn = [self.put(choice, frame) for choice in node.choices]
        for before, after in pairwise(drawn):
            self.join(before.exits, after.entries, "fails", dashed=True)
        return Ends(drawn[0].entries, tuple(key for choice in drawn for key in choice.exits))

    def _cleanup(self, node: Cleanup, frame: str | None) -> Ends:
        inside = self.frame(node.name, frame)
        body = self.put(node.body, inside)
        last = body.exits
        for handler in reversed(node.handlers):
            drawn = self.put(handler, inside)
            self.join(last, drawn.entries, "fails or is cancelled" if last == body.exits else "", dashed=True)
            last = drawn.exits
        return body

    def _graph(self, node: Graph, frame: str | None) -> Ends:
        inside = self.frame(node.name, frame)
        drawn: list[Ends] = []
        for index, wire in enumerate(node.wires):
            ends = self._wired(node, index, inside)
            for need in dict.fromkeys(need for need in wire.needs() if need != INPUT):
                self.join(drawn[need].exits, ends.entries)
            drawn.append(ends)
        starts = [ends for ends, wire in zip(drawn, node.wires, strict=True) if set(wire.needs()) <= {INPUT}]
        results = [drawn[source] for source in node.output.sources if source != INPUT] or drawn
        return Ends(
            tuple(key for ends in starts for key in ends.entries), tuple(key for ends in results for key in ends.exits)
        )

    def _wired(self, node: Graph, index: int, frame: str) -> Ends:
        """A node of a graph, behind its condition if it has one."""
        child, wire, gate = node.nodes[index], node.wires[index], node.gates[index]
        if wire.first:
            return self.shape(child.name, "join", frame)
        if gate is None or not wire.conditional:
            return self.put(child, frame)
        asked = self.shape(f"{gate.code.condition}?", "choice", frame)
        drawn = self.put(child, frame)
        self.join(asked.exits, drawn.entries, "yes")
        return Ends(asked.entries, drawn.exits)


def _answers(node: Branch) -> list[str]:
    kinds = getattr(node.code, "kinds", None)
    return ["yes", "no"] if kinds is None else [kind.__name__ for kind in kinds]


def _rules(node: Checked) -> str:
    return ", ".join(name for name, _ in node.rules)


def _joined(join: Join) -> str:
    if join.any:
        return "first to end"
    if join.need:
        return f"first {join.need} to succeed"
    return f"all{_policy(join)}"


def _policy(join: Join) -> str:
    return "" if join.on_error == "fail_fast" else f", {join.on_error.replace('_', ' ')}"


def _turns(node: Loop) -> str:
    over = node.over
    if over.kind == "items":
        what = "each item in turn"
    elif over.kind == "range":
        what = f"{over.first} to {over.last} by {over.step}"
    else:
        what = f"at most {node.at_most} times"
    return what + (", while" if node.before else "") + (", until" if node.after else "")


# --- as text

_FORMS = {
    "step": ('["', '"]'),
    "function": ('[["', '"]]'),
    "choice": ('{"', '"}'),
    "fork": ('{{"', '"}}'),
    "wait": ('(["', '"])'),
    "join": ('(("', '"))'),
}
_SHAPES = {
    "step": "box",
    "function": "component",
    "choice": "diamond",
    "fork": "hexagon",
    "wait": "oval",
    "join": "circle",
}


def _mermaid(picture: Picture) -> str:
    lines = ["flowchart TD", *_inside(picture, None, 1, _mermaid_frame, _mermaid_shape)]
    for edge in picture.edges:
        arrow = "-.->" if edge.dashed else "-->"
        label = f'|"{_mermaid_text(edge.label)}"|' if edge.label else ""
        lines.append(f"    {edge.source} {arrow}{label} {edge.target}")
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    for char, code in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;"), ("\n", "<br/>")):
        text = text.replace(char, code)
    return text


def _mermaid_shape(shape: Shape) -> str:
    before, after = _FORMS[shape.form]
    return f"{shape.key}{before}{_mermaid_text(shape.label)}{after}"


def _mermaid_frame(frame: Frame) -> tuple[str, str]:
    return f'subgraph {frame.key}["{_mermaid_text(frame.label)}"]', "end"


def _dot(picture: Picture) -> str:
    lines = ["digraph {", *_inside(picture, None, 1, _dot_frame, _dot_shape)]
    for edge in picture.edges:
        marks = [f'label="{_dot_text(edge.label)}"'] if edge.label else []
        marks += ["style=dashed"] if edge.dashed else []
        lines.append(f"    {edge.source} -> {edge.target}{' [' + ', '.join(marks) + ']' if marks else ''}")
    return "\n".join([*lines, "}"]) + "\n"


def _dot_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _dot_shape(shape: Shape) -> str:
    return f'{shape.key} [label="{_dot_text(shape.label)}", shape={_SHAPES[shape.form]}]'


def _dot_frame(frame: Frame) -> tuple[str, str]:
    return f'subgraph cluster_{frame.key} {{ label="{_dot_text(frame.label)}"', "}"


def _inside(picture: Picture, around: str | None, depth: int, frame_text: Any, shape_text: Any) -> list[str]:
    """The lines of what stands directly inside a frame, and of the frames within."""
    indent = "    " * depth
    lines = [indent + shape_text(shape) for shape in picture.shapes if shape.frame == around]
    for frame in picture.frames:
        if frame.around == around:
            head, foot = frame_text(frame)
            lines += [indent + head, *_inside(picture, frame.key, depth + 1, frame_text, shape_text), indent + foot]
    return lines
