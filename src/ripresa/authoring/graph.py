"""Graphs: steps by dependency, wired by values, parallel by default. A node exists before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, cast, overload

from typing_extensions import TypeVar

from ..context import checking_later
from ..core.calling import told
from ..core.conditions import Condition as Data
from ..core.items import Items
from ..core.merge import SET
from ..core.nodes.graph import INPUT, Wire
from ..core.nodes.graph import Graph as GraphNode
from ..core.nodes.node import Node as CoreNode
from ..core.nodes.sequence import Sequence as SequenceNode
from ..core.nodes.stateful import Assign
from ..core.shared import ERROR
from ..errors import InvalidConfig, InvalidWorkflow, Problem, RipresaError
from .call import Call, Pending, pending
from .expression import Constant, Decided, Expression, Shared, Source, Tested, Written
from .fit import skippable, union
from .flow import Flow, Link, Runnable, build_link
from .function import Workflow
from .options import bad_count, bad_predicate, check_name, refuse
from .order import check_graph
from .patterns import map_each
from .place import One, Place
from .proxy import Proxy, StateProxy, lift
from .questions import predicate_at, watched
from .reducers import Conflict, Custom, Reducer, bad_conflict
from .state_type import StateField, state_type
from .step import Step
from .switches import require
from .wiring import Condition, Question, Result, Wired, argument, check_fields, foreign, shared_of, sources_of

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
R = TypeVar("R")
S = TypeVar("S", default=None)
R_co = TypeVar("R_co", covariant=True)


class Node(Generic[R_co]):
    """A node of a graph that is being written."""

    def __init__(self, graph: Graph[Any, Any], index: int, name: str, kind: Any) -> None:
        self.graph = graph
        self.index = index
        self.name = name
        self.kind = kind

    @property
    def out(self) -> R_co:
        """The result to come: pass it on, or one of its fields (`plan.out.title`), or compare it in `when=`."""
        return cast("R_co", Proxy(self.source))

    @property
    def source(self) -> Source:
        """The result as an expression."""
        return Source(self.graph, self.index, self.name, self.kind)

    def test(self, predicate: Callable[[R_co], bool], /) -> bool:
        """A condition of its own for `when=` or `unless=`; what it decided is recorded."""
        place = self.graph.place(self.name)
        wrong = bad_predicate(predicate, "predicate")
        if wrong:
            place.note(wrong, "invalid_config")
            return cast("bool", Proxy(Constant(True)))
        asked = predicate_at(predicate, place, self.kind)
        self.graph.watches += watched(predicate)
        return cast("bool", Proxy(Tested(self.source, predicate, asked.kind)))

    def __repr__(self) -> str:
        return f"<node {self.name} of {self.graph.name}>"


@dataclass(frozen=True, slots=True)
class Entry:
    """A node as it was written."""

    node: CoreNode[Any]
    wire: Wire
    question: Question | None = None


class Graph(Generic[A, S]):
    """Steps by dependency: each begins when its arguments are there.

    Nodes that do not wait for each other run side by side, at most `concurrency` at a time. With `keep_going` a
    failure stops only what depends on it; the graph fails when the rest has ended. With a `state` its nodes share a
    typed state: each sees what the nodes that it waited for have written; of nodes that replace one field without
    waiting for each other, `conflicts` says what then. `version` is what unfinished runs are recognised by.
    """

    @overload
    def __init__(
        self: Graph[B, None],
        name: str,
        *,
        input: type[B],
        concurrency: int | None = ...,
        keep_going: bool = ...,
        version: str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        *,
        input: type[A],
        state: type[S],
        conflicts: Conflict = ...,
        concurrency: int | None = ...,
        keep_going: bool = ...,
        version: str = ...,
    ) -> None: ...
    @told
    def __init__(
        self,
        name: str,
        *,
        input: type[Any],
        state: type[Any] | None = None,
        conflicts: Conflict = ERROR,
        concurrency: int | None = None,
        keep_going: bool = False,
        version: str = "1",
    ) -> None:
        require("graphs", "Graph")
        if state is not None:
            require("state", "Graph")
        refuse(
            "Graph",
            check_name(name, "name"),
            check_name(version, "version"),
            bad_count(concurrency, "concurrency", optional=True),
            bad_conflict(conflicts, "conflicts"),
        )
        self._state = None if state is None else state_type(state, conflicts)
        self.name = name
        self.version = version
        self.concurrency = concurrency or 0
        self.keep_going = keep_going
        self.entries: list[Entry] = []
        self.problems: list[Problem] = []
        self.closed = False
        self.watches: tuple[str, ...] = ()
        self._input = Source(self, INPUT, "input", input)

    @property
    def input(self) -> A:
        """The input to come."""
        return cast("A", Proxy(self._input))

    # --- the state

    @property
    def state(self) -> S:
        """The typed state: its fields are values to come; assigning one, or calling its reducer, is a node that writes.

        A node that is given a field waits for those that wrote it before, in the order of writing.
        """
        return cast("S", StateProxy(self))

    def shared(self, field: str) -> Shared:
        """A field of the state as an expression."""
        return Shared(self, field, self._field(field).kind)

    def assign(self, field: str, value: object) -> None:
        """A node that replaces a field of the state."""
        self._write(self._field(field), SET, self._field(field).kind, value)

    def contribute(self, field: str, reducer: Reducer, operand: object) -> None:
        """A node that writes to a field of the state by its reducer."""
        found = self._field(field)
        if found.reducer is not reducer or isinstance(reducer, Custom):
            has = found.reducer or "no reducer"
            advice = "declare it in the annotation of the field; a reducer of your own is called in a step"
            message = f"has {has}: it cannot be written by {reducer.name} in a graph ({advice})"
            self.place(f"state.{field}").note(message, "usage")
            return
        self._write(found, reducer.name, reducer.operand(found.kind), operand)

    def _field(self, name: str) -> StateField:
        """A field of the state; notes that there is none."""
        place = self.place(f"state.{name}")
        if self._state is None:
            place.note("the graph has no state: Graph(..., state=StateClass)", "no_state")
        elif name not in self._state.fields:
            place.note(f"{self._state.name} has no field {name!r}, it has {', '.join(self._state.fields)}", "no_state")
        else:
            return self._state.fields[name]
        return StateField(name, Any)

    def _write(self, field: StateField, op: str, kind: Any, value: object) -> None:
        self._check_open()
        place = self._new_place(None, f"state.{field.name}")
        expression = _lifted(value, place)
        self._check_own((expression,), place)
        given = argument(expression, kind, field.name, place)
        sources = sources_of((given.expression,))
        earlier = self._written((Shared(self, field.name, kind), *shared_of((expression,))))
        wire = Wire(sources=sources, after=earlier, evaluated=True)
        assign = Assign(place.name, field.name, op, input_type=kind)
        self._enter(Entry(assign, wire, Question(sources, Condition(), given.expression, kind)))

    def _written(self, fields: Iterable[Shared]) -> tuple[int, ...]:
        """The nodes so far that write these fields."""
        names = {field.name for field in fields}
        nodes = [(index, entry.node) for index, entry in enumerate(self.entries)]
        return tuple(index for index, node in nodes if isinstance(node, Assign) and node.field in names)

    # --- nodes

    def add(
        self,
        call: Call[R],
        /,
        *,
        name: str | None = None,
        when: bool | Data = True,
        unless: bool | Data = False,
        after: Sequence[Node[Any]] = (),
    ) -> Node[R]:
        """A node that runs once its arguments are there; it is skipped if one of them was, or by its condition.

        `when` and `unless` are conditions on values to come; `after` are nodes that it waits for without being given
        their results. Without a `name` it is called like the step, a second one `fetch#2`.
        """
        self._check_open()
        if when is not True or unless is not False:
            require("branches", "a condition of a graph")
        called = pending(call, "add")
        callee: Step[..., Any] | Runnable[..., Any] = called.callee
        place = self._new_place(name, callee.name)
        wired = Wired(
            tuple(_lifted(arg, place) for arg in called.args),
            {key: _lifted(arg, place) for key, arg in called.kwargs.items()},
        )
        condition = Condition(
            None if when is True else _condition(when, "when", place),
            None if unless is False else _condition(unless, "unless", place),
        )
        looked_at = watched(when, unless)
        self.watches += looked_at
        known = _only_nodes(after, "after", place)
        after = [*known, *(node for node in self._nodes() if node.name in looked_at)]
        self._check_own((*wired.expressions, *condition.expressions), place)
        node, made = self._built(callee, wired, place)
        sources = sources_of(wired.expressions)
        tests = _beside(condition.when, sources)
        doubts = _beside(condition.unless, (*sources, *tests))
        read = self._written(shared_of((*wired.expressions, *condition.expressions)))
        wire = Wire(
            sources=sources,
            after=tuple(dict.fromkeys((*self._indices(after, place), *read))),
            tests=tests,
            conditional=bool(condition.expressions),
            evaluated=made is not None,
            doubts=doubts,
        )
        question = None
        if wire.conditional or wire.evaluated:
            for expression in condition.expressions:
                check_fields(expression, place)
            question = Question((*sources, *tests, *doubts), condition, made, node.input_type)
        return self._enter(Entry(node, wire, question))

    def map(
        self,
        link: Link[B, C],
        items: Items[B],
        /,
        *,
        concurrency: int | None = None,
        name: str | None = None,
        when: bool | Data = True,
        unless: bool | Data = False,
        after: Sequence[Node[Any]] = (),
    ) -> Node[list[C]]:
        """A node that runs a link for every item of a list to come."""
        flow: Runnable[Any, Any]
        try:
            with checking_later():
                flow = map_each(link, concurrency=concurrency)
        except InvalidConfig as error:
            self.place(name or "map_each").note(error.message, error.code)
            flow = map_each(_anything)
        return self.add(flow(items), name=name, when=when, unless=unless, after=after)

    @overload
    def first(self, a: Node[B], b: Node[C], /, *, name: str | None = ...) -> Node[B | C]: ...
    @overload
    def first(self, a: Node[B], b: Node[C], c: Node[D], /, *, name: str | None = ...) -> Node[B | C | D]: ...
    @overload
    def first(self, *nodes: Node[B], name: str | None = ...) -> Node[B]: ...
    def first(self, *nodes: Node[Any], name: str | None = None) -> Node[Any]:
        """The join after a condition: the result of the first of these, in this order, that was not skipped."""
        self._check_open()
        place = self._new_place(name, "first")
        if not nodes:
            place.note("joins no nodes, must be given nodes of the graph", "invalid_config")
        nodes = tuple(_only_nodes(nodes, "nodes", place))
        kind = union(node.kind for node in nodes)
        joined = SequenceNode(place.name, (), output_type=kind)
        return self._enter(Entry(joined, Wire(sources=self._indices(nodes, place), first=True)))

    def returns(self, out: R, /) -> Flow[A, R]:
        """Close and check the graph; what comes back is a flow like any other.

        The result is null if what it is made of was skipped. Raises `InvalidWorkflow` with everything that is wrong.
        """
        self._check_open()
        place = self.place("")
        expression = _lifted(out, place)
        self._check_own((expression,), place)
        check_fields(expression, place)
        if not self.problems:
            self._check_order()
        if self.problems:
            raise InvalidWorkflow(self.problems, op=self.name)
        self.closed = True
        made: Flow[A, R] = Flow(
            partial(self._graph, tuple(self.entries), expression), name=self.name, version=self.version
        )
        return made if self._state is None else made.sharing(self._state)

    def place(self, name: str) -> Place:
        """Where a node of this name is built."""
        return Place(name, One(), f"{self.name}/{name}" if name else self.name, self.problems)

    def _graph(self, entries: tuple[Entry, ...], expression: Expression, place: Place) -> GraphNode:
        given = place.given.single(place)
        place.accepts(given, self._input.kind)
        sources = sources_of((expression,))
        whole = isinstance(expression, Source)
        node = GraphNode(
            place.name,
            tuple(entry.node for entry in entries),
            tuple(entry.wire for entry in entries),
            output=Wire(sources=sources, evaluated=not whole),
            questions=tuple(entry.question for entry in entries),
            window=self.concurrency,
            keep_going=self.keep_going,
            code=None if whole else Result(sources, expression),
            input_type=self._input.kind,
            output_type=skippable(expression.kind) if _may_be_skipped(entries, sources) else expression.kind,
        )
        node.watches = tuple(dict.fromkeys(self.watches))
        return node

    def _built(
        self, callee: Step[..., Any] | Runnable[..., Any], wired: Wired, place: Place
    ) -> tuple[CoreNode[Any], Expression | None]:
        """The node, and the expression of its input if that must be made before it begins."""
        if isinstance(callee, Step | Workflow):
            given = Place(place.name, wired, place.path, place.problems)
            return build_link(callee, given), None
        known = len(place.problems)
        given = Place(place.name, One(wired.single(place)), place.path, place.problems)
        node, only = build_link(callee, given), wired.only
        if isinstance(only, Constant) and len(place.problems) == known:
            argument(only, node.input_type, "input", place)
        return node, only or Constant(None)

    def _nodes(self) -> list[Node[Any]]:
        """The nodes so far."""
        return [Node(self, i, entry.node.name, entry.node.output_type) for i, entry in enumerate(self.entries)]

    def _enter(self, entry: Entry) -> Node[Any]:
        self.entries.append(entry)
        return Node(self, len(self.entries) - 1, entry.node.name, entry.node.output_type)

    def _new_place(self, name: str | None, default: str) -> Place:
        used = {entry.node.name for entry in self.entries}
        if name is None:
            count, name = 1, default
            while name in used:
                count += 1
                name = f"{default}#{count}"
            return self.place(name)
        wrong = check_name(name, "name")
        if wrong:
            place = self._new_place(None, default)
            place.note(wrong, "invalid_config")
            return place
        place = self.place(name)
        if name in used:
            place.note("there are two nodes of this name", "duplicate_name")
        return place

    def _indices(self, nodes: Sequence[Node[Any]], place: Place) -> tuple[int, ...]:
        for node in nodes:
            self._check_own((node.source,), place)
        return tuple(dict.fromkeys(node.index for node in nodes))

    def _check_own(self, expressions: tuple[Expression, ...], place: Place) -> None:
        for source in foreign(expressions, self):
            other = getattr(source.graph, "name", "")
            place.note(f"uses {source}, which belongs to another graph ({other!r})", "unknown_dependency")

    def _check_open(self) -> None:
        if self.closed:
            raise RipresaError(
                f"graph {self.name!r} was closed by returns()",
                code="closed",
                where=self.name,
                hint="add nodes before returns()",
            )

    def _check_order(self) -> None:
        """Held for certain: nodes can only use those before them."""
        names = [entry.node.name for entry in self.entries]
        needs = {
            name: [names[need] for need in entry.wire.needs() if need != INPUT]
            for name, entry in zip(names, self.entries, strict=True)
        }
        check_graph(needs, name=self.name)


def _may_be_skipped(entries: tuple[Entry, ...], sources: tuple[int, ...]) -> bool:
    """Whether one of the sources may be skipped; a join is if all that it joins may be."""
    found: dict[int, bool] = {INPUT: False}
    for index, entry in enumerate(entries):
        needs = [found[need] for need in (*entry.wire.sources, *entry.wire.tests)]
        found[index] = all(needs) if entry.wire.first else entry.wire.conditional or any(needs)
    return any(found[source] for source in sources)


def _only_nodes(given: Sequence[Any], option: str, place: Place) -> list[Node[Any]]:
    """The nodes among what was given; notes the others."""
    for each in given:
        if not isinstance(each, Node):
            place.note(f"{option} has {each!r}, must have nodes of the graph only", "invalid_config")
    return [each for each in given if isinstance(each, Node)]


async def _anything(item: Any) -> Any:
    """Stands in a graph that cannot be closed for a link that is none."""


def _lifted(value: Any, place: Place) -> Expression:
    if isinstance(value, Node):
        place.mismatch(f"is given the node {value.name}, not its value", "write .out")
        return Written(b"null", Any)
    if isinstance(value, Pending):
        place.mismatch(f"is given the call {value!r}, not its value", "add it to the graph and use .out")
        return Written(b"null", Any)
    return lift(value)


def _beside(condition: Expression | None, sources: tuple[int, ...]) -> tuple[int, ...]:
    """The sources of a condition that are not among these."""
    return tuple(source for source in sources_of(filter(None, (condition,))) if source not in sources)


def _condition(given: Any, option: str, place: Place) -> Expression | None:
    """What a condition asks; notes one that is none."""
    if not isinstance(given, Proxy | bool | Data):
        wanted = "a condition on a value to come (node.out > 3, node.test(fn)), a Condition or a bool"
        place.note(f"{option} is {given!r}, must be {wanted}", "invalid_config")
        return None
    return Decided(given) if isinstance(given, Data) else lift(given)
