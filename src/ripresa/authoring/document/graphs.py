"""Lists of steps as graphs: where steps need each other, or are given what is made of several results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Final, cast

from ...core.conditions import PLACES, Condition
from ...errors import InvalidWorkflow, RipresaError
from ..call import Pending
from ..expression import Compared, Constant, Decided, Expression, Shared, Tested
from ..flow import Flow
from ..function import Workflow
from ..graph import Graph, Node
from ..order import check_graph
from ..parameters import Parameters
from ..proxy import Proxy, lift, object_of
from ..questions import predicate_at, watched
from ..state_type import StateField, StateType
from ..step import Step
from .cel import Use, has_expressions, only_expression
from .config import unknown_keys
from .flow import passing
from .near import meant, nearest
from .shapes import IN_GRAPHS, KINDS
from .source import BadExpression, Path, is_list, is_object
from .wires import ALL, ANY, MAKE, PAIRS, TUPLE, About, Denied, is_marked, wired, wired_text

if TYPE_CHECKING:
    from .load import Config, Loader


_TAKES: Final = re.compile(r"takes .+ as (\w+), is given ")
"""How a complaint about an argument begins."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One step of a list; `plain` is what stands there if that is no object."""

    data: Mapping[str, Any]
    path: Path
    plain: Any = None


def items_of(data: Any, path: Path) -> list[Placed]:
    """The steps of a list."""
    return [
        Placed(item, (*path, index)) if is_object(item) else Placed({}, (*path, index), item)
        for index, item in enumerate(data)
    ]


@dataclass(slots=True)
class Shape:
    """What the graph of a list is like."""

    name: str
    version: str = "1"
    given: Any = Any
    concurrency: int | None = None
    keep_going: bool = False
    state: StateType[Any] | None = None
    conflicts: Any = "error"

    def graph(self) -> Graph[Any, Any]:
        """The graph, empty."""
        options: dict[str, Any] = {} if self.state is None else {"state": self.state.kind, "conflicts": self.conflicts}
        return Graph(
            self.name,
            input=self.given,
            version=self.version,
            concurrency=self.concurrency,
            keep_going=self.keep_going,
            **options,
        )


def in_order(loader: Loader, config: Config, shape: Shape, items: list[Placed]) -> Flow[Any, Any]:
    """Steps one after another. One that is left out passes on what it is given."""
    wiring = Wiring(loader, shape.graph())
    previous: Node[Any] | None = None
    for item in items:
        conditional = "when" in item.data or "unless" in item.data
        if conditional and previous is None:
            given = Pending(passing("given"), (wiring.graph.input,), {}, _never)
            previous = wiring.graph.add(cast("Any", given))
            wiring.value = lift(previous.out)
        node = wiring.add(item, [] if previous is None else [previous])
        if node is not None:
            if conditional:
                assert previous is not None
                node = wiring.graph.first(node, previous)
            wiring.keep(item, node)
            wiring.value, previous = lift(node.out), node
    return wiring.returned(config, wiring.value)


def by_needs(loader: Loader, config: Config, shape: Shape, items: list[Placed] | None = None) -> Flow[Any, Any]:
    """Steps that wait for those that they need. One that needs one left out is left out too."""
    found = items_of(config.get("steps", []), config.at("steps")) if items is None else items
    loader.check_ids(found)
    wiring = Wiring(loader, shape.graph())
    needed: set[str] = set()
    for item in in_dependence(loader, wiring.named(found)):
        needs = [name for name in _names(item.data.get("needs")) if name in wiring.nodes]
        needed.update(needs, _names(_of(item)), (use.name for use in _uses(item) if use.root == "steps"))
        after = [wiring.nodes[name] for name in needs]
        wiring.value = wiring.given(needs)
        node = wiring.special(item) if item.data.get("type") in IN_GRAPHS else wiring.add(item, after)
        if node is not None:
            wiring.keep(item, node)
    ends = {name: node for name, node in wiring.nodes.items() if name not in needed}
    only = next(iter(ends.values())).out if len(ends) == 1 else {name: node.out for name, node in ends.items()}
    return wiring.returned(config, lift(only))


def in_dependence(loader: Loader, named: dict[str, Placed]) -> list[Placed]:
    """The steps in an order in which each stands after those that it needs; notes what is needed and not there."""
    needs: dict[str, list[str]] = {}
    for key, item in named.items():
        wanted = [*_names(item.data.get("needs")), *_names(_of(item))]
        for need in dict.fromkeys(wanted):
            if need not in named:
                near = nearest(need, named)
                hint = f"; did you mean {near}?" if near else ""
                message = f"needs {need!r}, which is not among the steps here{hint}"
                loader.notes.add((*item.path, "needs"), message, code="unknown_dependency")
        uses = [use.name for use in _uses(item) if use.root == "steps"]
        needs[key] = [need for need in dict.fromkeys((*wanted, *uses)) if need in named]
    try:
        return [named[key] for key in check_graph(needs)]
    except InvalidWorkflow as error:
        for problem in error.problems:
            loader.notes.add((*named[problem.where].path, "needs"), f"{problem.where} {problem.message}", problem.code)
    return list(named.values())


def _of(item: Placed) -> Any:
    config: Any = item.data.get("config")
    return config.get("of") if item.data.get("type") == "first" and is_object(config) else None


def _uses(item: Placed) -> list[Use]:
    from .load import uses_in

    config: Any = item.data.get("config")
    kind = item.data.get("type")
    if kind == "call":
        config = config.get("arguments") if is_object(config) else None
    elif kind in KINDS and kind != "set":
        config = None  # what stands in there has steps of its own
    return [*uses_in([item.data.get(key) for key in ("with", "when", "unless")]), *uses_in(config)]


def _names(data: Any) -> list[str]:
    return [name for name in data if isinstance(name, str)] if is_list(data) else []


class Wiring:
    """A graph that is being written from a document. `value` is what the step that is looked at is given."""

    def __init__(self, loader: Loader, graph: Graph[Any, Any]) -> None:
        self.loader = loader
        self.graph = graph
        self.nodes: dict[str, Node[Any]] = {}
        self.value: Expression = lift(graph.input)
        self._links: dict[Path, Any] = {}

    def named(self, items: list[Placed]) -> dict[str, Placed]:
        """The steps by the names that their nodes will have."""
        found: dict[str, Placed] = {}
        for item in items:
            name = item.data.get("id")
            if not isinstance(name, str):
                usual, count = self._usual_name(item), 1
                name = usual
                while name in found:
                    count += 1
                    name = f"{usual}#{count}"
            found.setdefault(name, item)
        return found

    def _usual_name(self, item: Placed) -> str:
        if item.data.get("type") not in IN_GRAPHS:
            return str(self._link(item).name)
        config: Any = item.data.get("config")
        field = config.get("field") if is_object(config) else ""
        return "first" if item.data.get("type") == "first" else f"state.{field}"

    def _link(self, item: Placed) -> Any:
        if item.path not in self._links:
            data = item.plain if item.plain is not None else item.data
            self._links[item.path] = self.loader.link(data, item.path, listed=True, in_graph=True)
        return self._links[item.path]

    def keep(self, item: Placed, node: Node[Any]) -> None:
        """Let others look at a node by the id of its step."""
        self.nodes[str(item.data.get("id") or node.name)] = node

    def given(self, needs: list[str]) -> Expression:
        """What a step is given by those that it needs: the input, one result, or an object of several."""
        if not needs:
            return lift(self.graph.input)
        found = {name: self.nodes[name].out for name in needs}
        return lift(found[needs[0]] if len(needs) == 1 else found)

    # --- nodes

    def add(self, item: Placed, after: list[Node[Any]]) -> Node[Any] | None:
        """The node of a step."""
        loader = self.loader
        link = self._link(item)
        before = len(loader.notes.problems)
        args, kwargs = self._arguments(item, link)
        when, unless = (self._condition(item, key) for key in ("when", "unless"))
        if len(loader.notes.problems) > before:
            link, args, kwargs = loader.hole(link.name), (), {}
        name = item.data.get("id")
        call: Any = Pending(link, args, kwargs, _never)
        added = loader.tried(
            item.path,
            lambda: self.graph.add(
                call,
                name=name if isinstance(name, str) and "#" not in name else None,
                when=True if when is None else when,
                unless=False if unless is None else unless,
                after=after,
            ),
        )
        self._hand_over(item.path)
        return added

    def special(self, item: Placed) -> Node[Any] | None:
        """What stands in graphs only: a write to the state, the first of several that was not skipped."""
        loader = self.loader
        kind = str(item.data["type"])
        given: Any = item.data.get("config")
        config = loader.config(given if is_object(given) else {}, KINDS[kind], (*item.path, "config"))
        for key in item.data:
            if key not in ("id", "type", "config", "description"):
                loader.notes.add((*item.path, key), f"{key} is nothing for {kind}", key=True)
        if kind == "first":
            return self._first(item, config)
        field = config.at("field") if "field" in config else item.path
        made = loader.tried(field, lambda: self._known(config)) and loader.tried(item.path, lambda: self._set(config))
        self._hand_over(item.path)
        return self._described(item, self._last()) if made else None

    def _described(self, item: Placed, node: Node[Any]) -> Node[Any]:
        """A node with what is said of it to people."""
        self.graph.entries[node.index].node.remark = item.data.get("description") or ""
        return node

    def _first(self, item: Placed, config: Config) -> Node[Any] | None:
        nodes = [self.nodes[name] for name in config.get("of", []) if name in self.nodes]
        if len(nodes) != len(config.get("of", [])) or not nodes:
            return None
        name = item.data.get("id")
        name = name if isinstance(name, str) and "#" not in name else None
        return self.loader.tried(item.path, lambda: self._described(item, self.graph.first(*nodes, name=name)))

    def _known(self, config: Config) -> StateField | None:
        """The field that is written, None if none is named. Raises `RipresaError` for one that is none."""
        return self._state_field(config.get("field")) if "field" in config else None

    def _set(self, config: Config) -> bool:
        field, by = config.get("field"), config.get("by")
        value = self._data(config.get("value"), config.at("value"))
        if by is None:
            self.graph.assign(field, value)
            return True
        reducer = self._state_field(field).reducer
        if reducer is None or reducer.name != by:
            self.loader.notes.add(config.at("by"), f"is {by!r}, which is not the reducer of {field!r}")
            return False
        self.graph.contribute(field, reducer, value)
        return True

    def _last(self) -> Node[Any]:
        index = len(self.graph.entries) - 1
        node = self.graph.entries[index].node
        return Node(self.graph, index, node.name, node.output_type)

    def returned(self, config: Config, usual: Expression) -> Flow[Any, Any]:
        """Close the graph."""
        out: Any = Proxy(usual)
        if "returns" in config:
            out = self._data(config.get("returns"), config.at("returns"))
        if self.loader.notes.problems:  # all that could be said of the rest would follow from them
            return passing(self.graph.name)
        return self.graph.returns(out)

    def _hand_over(self, path: Path) -> None:
        """Note in the document what the graph says is wrong with a node."""
        for problem in self.graph.problems:
            at = self._argument_at(path, problem.message)
            if at is None:
                self.loader.notes.add(path, f"{problem.where}: {problem.message}", problem.code)
            else:
                self.loader.notes.add(at, problem.message, problem.code)
        self.graph.problems.clear()

    def _argument_at(self, path: Path, message: str) -> Path | None:
        """Where the argument stands that a complaint is about; None if it is about something else."""
        about = _TAKES.match(message)
        for around in ((*path, "config"), (*path, "config", "arguments")):
            if about is not None and is_object(found := self.loader.document.at(around)) and about[1] in found:
                return (*around, about[1])
        return None

    # --- what they are given

    def _arguments(self, item: Placed, link: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        written = self.loader.arguments_of(item)
        at = (*item.path, "config") if item.data.get("type") != "call" else (*item.path, "config", "arguments")
        named = {str(key): self._data(value, (*at, key)) for key, value in written.items()}
        explicit = "with" in item.data
        value = self._data(item.data["with"], (*item.path, "with")) if explicit else Proxy(self.value)
        parameters: Parameters | None = link.parameters if isinstance(link, Step | Workflow) else None
        if parameters is None:
            if named:
                self.loader.notes.add(at, f"{link.name} takes one value, no arguments by name")
            return (value,), {}
        for name, message in unknown_keys(parameters, named, self.loader.keys_of(item.data.get("type"))):
            self.loader.notes.add((*at, name), message, "type_mismatch", key=True)
        for name, one in parameters.signature.parameters.items():
            if one.kind is Parameter.VAR_POSITIONAL and not is_list(named.get(name, [])):
                message = f"is {written[name]!r}, must be a list: it is any number of arguments"
                self.loader.notes.add((*at, name), message)
                named[name] = []
        first = first_of(parameters)
        free = first is not None and first not in named
        wanted = first in parameters.required or not has_expressions(dict(written))
        if not free and explicit:
            self.loader.notes.add((*item.path, "with"), f"{link.name} has no first argument left to give it to")
        args = (value,) if free and (explicit or wanted) else ()
        return (*args, *_by_place(parameters, named)), named

    def _data(self, data: Any, path: Path) -> Any:
        """Data of the document with wires where expressions stand; null, and a note, in the place of what is wrong."""
        if is_object(data):
            return self._object(data, path)
        if is_list(data):
            return [self._data(value, (*path, index)) for index, value in enumerate(data)]
        return (
            self.loader.tried(path, lambda: wired_text(data, self._resolver(data))) if isinstance(data, str) else data
        )

    def _object(self, data: Mapping[str, Any], path: Path) -> Any:
        """An object; something else where its only key says so."""
        if not is_marked(data):
            return {key: self._data(value, (*path, key)) for key, value in data.items()}
        ((key, of),) = data.items()
        at = (*path, key)
        match key:
            case "$tuple" if is_list(of):
                return tuple(self._data(of, at))
            case "$make" if is_object(of) and set(of) == {"type", "of"} and is_object(of["of"]):
                return self._made(of["type"], of["of"], at)
            case "$pairs" if is_list(of) and all(is_list(pair) and _is_pair(pair) for pair in of):
                return {pair[0]: self._data(pair[1], (*at, index, 1)) for index, pair in enumerate(of)}
            case "$ask":
                wire = self.loader.tried(at, lambda: self._asked(of, at))
                return None if wire is None else Proxy(self._wire(wire))
            case _ if key in WANTED:
                self.loader.notes.add(at, f"is {of!r}, must be {WANTED[key]}")
                return None
            case _:
                return {key[1:]: self._data(of, at)}

    def _made(self, target: Any, fields: Mapping[str, Any], path: Path) -> Any:
        """An object of a dataclass with values to come inside."""
        kind = self.loader.type(target, (*path, "type"))
        parts = {key: self._data(value, (*path, "of", key)) for key, value in fields.items()}
        if kind is None:
            return None
        return self.loader.tried((*path, "of"), lambda: object_of(kind, parts))

    def _resolver(self, text: str) -> Any:
        def resolve(use: Use) -> Expression:
            return self._resolved(use, text)

        return resolve

    def _resolved(self, use: Use, text: str) -> Expression:
        match use.root:
            case "value":
                return self.value
            case "input":
                return lift(self.graph.input)
            case "steps":
                return self._step(use, text)
            case "state":
                return self._field(use)
            case _:
                raise RipresaError(
                    "session can be looked at in conditions only", code="invalid_expression", op="document"
                )

    def _step(self, use: Use, text: str) -> Expression:
        node = self.nodes.get(use.name)
        if node is None:
            message = f"there is no step {use.name!r} before this one in its list; {meant(use.name, self.nodes)}"
            raise Unknown(message, _within(text, use))
        return node.source

    def _field(self, use: Use) -> Expression:
        return Shared(self.graph, use.name, self._state_field(use.name, "invalid_expression").kind)

    def _state_field(self, name: str, code: str = "invalid_workflow") -> StateField:
        state: StateType[Any] | None = self.loader.state
        if state is None:
            raise RipresaError("the document has no state", code="no_state", op="document")
        if name not in state.fields:
            hint = meant(name, state.fields, "it has")
            raise RipresaError(f"{state.name} has no field {name!r}; {hint}", code=code, op="document")
        return state.fields[name]

    # --- whether they run

    def _condition(self, item: Placed, key: str) -> Any:
        """What `when` or `unless` says, as `Graph.add` takes it; None if it is not there."""
        if key not in item.data:
            return None
        data, path = item.data[key], (*item.path, key)
        if isinstance(data, bool):
            return Condition.always() if data else Condition.never()
        wire = self.loader.tried(path, lambda: self._asked(data, path))
        if isinstance(wire, Condition):
            return wire
        return None if wire is None else Proxy(wire)

    def _asked(self, data: Any, path: Path) -> Any:
        loader = self.loader
        if isinstance(data, bool):
            return data
        if isinstance(data, str):
            expression = only_expression(data)
            if expression is None:
                raise BadExpression(f"is {data!r}, must be one ${{{{ expression }}}}")
            return wired(expression, self._resolver(data))
        if is_object(data) and "test" in data:
            return self._tested(data, path)
        if is_object(data) and set(data) == {"not"}:
            denied = self._asked(data["not"], (*path, "not"))
            return None if denied is None else Denied(self._wire(denied))
        if is_object(data) and (set(data) == {ALL} or set(data) == {ANY}):
            return self._joined(data, path)
        if is_object(data) and "function" in data and "op" not in data:
            predicate = loader.predicates.condition(data, path)
            return self._test(predicate, self.value)
        condition = loader.predicates.parsed(data, path)
        if condition is None or not looks_at_value(condition):
            return condition
        self.graph.watches += condition.steps
        return About(self.value, condition)

    def _joined(self, data: Mapping[str, Any], path: Path) -> Any:
        """Several conditions, all or any of which must hold; None, and a note, if one of them is none."""
        ((key, of),) = data.items()
        if not is_list(of) or not of:
            self.loader.notes.add((*path, key), f"is {of!r}, must be a list of conditions")
            return None
        found = [self.loader.tried((*path, key, index), partial(self._asked, part, (*path, key, index)))
                 for index, part in enumerate(of)]  # fmt: skip
        if None in found:
            return None
        sign = "&" if key == ALL else "|"
        return reduce(lambda left, right: Compared(sign, left, right), map(self._wire, found))

    def _wire(self, asked: Any) -> Any:
        """What a condition says, inside of something else."""
        if isinstance(asked, bool):
            return Constant(asked)
        if not isinstance(asked, Condition):
            return asked
        self.graph.watches += asked.steps
        return Decided(asked)

    def _tested(self, data: Mapping[str, Any], path: Path) -> Any:
        """A predicate about something else than the value: `{test: ..., of: ${{ ... }}}`."""
        asked = data["test"]
        predicate: Any
        if isinstance(asked, str):
            predicate = self.loader.function(asked, (*path, "test"))
        else:
            predicate = self.loader.predicates.condition(asked, (*path, "test"))
        of = lift(self._data(data.get("of"), (*path, "of")))
        return None if predicate is None else self._test(predicate, of)

    def _test(self, predicate: Any, of: Expression) -> Tested:
        wanted = predicate_at(predicate, self.graph.place("when"), of.kind).kind
        self.graph.watches += watched(predicate)
        return Tested(of, predicate, wanted)


class Unknown(BadExpression):
    """An expression that looks at a step that is not there."""

    default_code = "unknown_step"


def _within(text: str, use: Use) -> tuple[int, int]:
    from .cel import Expression as Compiled
    from .cel import parts_of, position_in

    found = next(part for part in parts_of(text) if isinstance(part, Compiled) and use in part.uses)
    return position_in(text, found.start + use.start)


def looks_at_value(condition: Condition) -> bool:
    """Whether a condition that is data looks at the value that is decided about."""
    at = str(dict(condition.arguments).get("at", ""))
    own = condition.op == "custom" or at.split(".")[0] == PLACES[0]
    return own or any(map(looks_at_value, condition.parts))


def first_of(parameters: Parameters) -> str | None:
    """The name of the parameter that the value is given to."""
    found = parameters.signature.parameters.items()
    return next((name for name, one in found if one.kind is not Parameter.VAR_KEYWORD), None)


def _by_place(parameters: Parameters, named: dict[str, Any]) -> list[Any]:
    """Take from named arguments those that have no name for the function itself, with those that stand before them."""
    found = parameters.signature.parameters
    rest = next((name for name, one in found.items() if one.kind is Parameter.VAR_POSITIONAL and name in named), None)
    kinds = (Parameter.POSITIONAL_ONLY, *(() if rest is None else (Parameter.POSITIONAL_OR_KEYWORD,)))
    args = [named.pop(name) for name, one in found.items() if one.kind in kinds and name in named]
    return args if rest is None else [*args, *named.pop(rest)]


def _is_pair(pair: list[Any]) -> bool:
    return len(pair) == 2 and not is_list(pair[0]) and not is_object(pair[0])


WANTED: Final = {
    TUPLE: "a list",
    MAKE: "an object of type (a dataclass) and of (its fields)",
    PAIRS: "a list of lists of a key and its value",
}
"""What must stand under the keys that say what an object is instead."""


async def _never() -> Any:
    """A call that stands in a graph is not awaited."""


__all__ = ["Constant", "Decided", "Placed", "Shape", "Wiring", "by_needs", "in_order", "items_of", "looks_at_value"]
