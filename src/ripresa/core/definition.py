"""Definitions: a tree of nodes with a name, and a hash over its structure that code and settings do not change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from types import UnionType
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from ..errors import DefinitionChanged
from .ledger import Entry
from .nodes.call import Call
from .nodes.node import Node
from .nodes.undo import Undo


class Definition:
    """A workflow as the engine runs it.

    The hash covers kinds, paths, names, types and the policies that shape decisions; it does not cover the bodies of
    functions nor how often and how long a step may be tried. `flows` are those that durable functions of one run have
    called, by path; the border adds them as it meets them.
    """

    def __init__(self, name: str, root: Node[Any], *, version: str = "1") -> None:
        self.name = name
        self.root = root
        self.version = version
        self.flows: dict[str, Node[Any]] = {}
        self.keeps_ended = False
        """Whether what durable functions have called stays known when it has ended."""
        self._kept: frozenset[str] = frozenset()

    @cached_property
    def description(self) -> bytes:
        """The structure as canonical JSON: a list of nodes, each with its path."""
        return canonical({"name": self.name, "version": self.version, "nodes": list(describe(self.root))})

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of the description, in hex."""
        return sha256(self.description).hexdigest()

    @cached_property
    def expected(self) -> int:
        """How many steps the definition lets expect before anything is known of its input."""
        return self.root.expected()

    @cached_property
    def watched(self) -> frozenset[str]:
        """The steps, by name or path, whose ends are kept because conditions look at them."""
        return watched_by(self.root)

    @cached_property
    def is_dynamic(self) -> bool:
        """Whether durable functions belong to it, which call what they like."""
        return any(part.kind == "dynamic" for _, part in _placed(self.root, ""))

    def for_run(self) -> Definition:
        """The same definition with room for the flows that one run's durable functions make, if it has any."""
        if not self.is_dynamic:
            return self
        twin = Definition.__new__(Definition)
        twin.__dict__.update(self.__dict__, watched=self.watched, flows={}, _kept=frozenset())
        return twin

    def flow(self, path: str, shape: str) -> Node[Any]:
        """The node of a flow that a durable function called at this path."""
        node = self.flows.get(path)
        if node is None or shape_of(node) != shape:
            raise DefinitionChanged(
                f"a flow that a durable function of {self.name!r} had called is another one now",
                op="replay",
                where=path,
                hint="restore the call, or start a new run",
            )
        return node

    def add_flow(self, path: str, node: Node[Any]) -> str:
        """Make the flow that a durable function calls at this path known; returns its hash."""
        self.flows[path] = node
        self.watched |= watched_by(node)
        return shape_of(node)

    def keep(self, path: str) -> None:
        """What the flow at this path did may have to be undone: it is needed until the run ends."""
        self._kept |= {path}

    def drop_flow(self, path: str) -> None:
        """The call of the flow at this path has ended."""
        if path not in self._kept and not self.keeps_ended:
            self.flows.pop(path, None)

    # --- what undoes what

    def place(self, owner: Node[Any], node: Node[Any]) -> str:
        """Where below an owner a node stands that can be undone."""
        return _undoable(owner)[1][id(node)]

    def undo(self, entry: Entry) -> Undo:
        """What undoes an entry of the ledger; of a call that a step journaled, it is found where it is asked."""
        if entry.undo:
            return Undo(Call(entry.undo), takes_input=True, takes_unknown=entry.takes_unknown)
        owner = self.flow(entry.base, entry.shape) if entry.shape else self.root
        found: Any = _undoable(owner)[0][entry.place].undo if entry.place else owner
        assert isinstance(found, Undo)
        return found


def _undoable(owner: Node[Any]) -> tuple[dict[str, Node[Any]], dict[int, str]]:
    """The nodes at and below an owner that can be undone, by their places, and their places."""
    cached: tuple[dict[str, Node[Any]], dict[int, str]] | None = getattr(owner, "_undoable", None)
    if cached is None:
        nodes = {path: node for path, node in _placed(owner, "") if getattr(node, "undo", None) is not None}
        cached = nodes, {id(node): path for path, node in nodes.items()}
        owner._undoable = cached  # type: ignore[attr-defined]
    return cached


def can_be_undone(node: Node[Any]) -> bool:
    """Whether something below a node can be undone, as far as one can know: a durable function may do anything."""
    return any(part.undo is not None or part.kind == "dynamic" for _, part in _placed(node, ""))


def _placed(node: Node[Any], path: str) -> Iterator[tuple[str, Node[Any]]]:
    here = f"{path}/{node.name}" if path else node.name
    yield here, node
    for child in node.children:
        yield from _placed(child, here)


def watched_by(node: Node[Any]) -> frozenset[str]:
    """The steps that a node and those below it look at."""
    found = frozenset(node.watches)
    for child in node.children:
        found |= watched_by(child)
    return found


def shape_of(node: Node[Any]) -> str:
    """The hash of a node with everything below it (first 16 hex digits)."""
    cached: str | None = getattr(node, "_shape", None)
    if cached is None:
        cached = sha256(canonical(list(describe(node)))).hexdigest()[:16]
        node._shape = cached  # type: ignore[attr-defined]
    return cached


def describe(node: Node[Any], path: str = "") -> Iterator[dict[str, Any]]:
    """The node and those below it as plain data, parents before children."""
    here = f"{path}/{node.name}" if path else node.name
    yield {
        "path": here,
        "kind": node.kind,
        "input": type_name(node.input_type),
        "output": type_name(node.output_type),
        **node.policy(),
    }
    for child in node.children:
        yield from describe(child, here)


def differences(old: bytes, new: bytes) -> list[str]:
    """Which nodes of two descriptions differ, and how, in the order of the older one."""
    before, after = json.loads(old), json.loads(new)
    found = [
        f"{key}: {before[key]!r} became {after[key]!r}" for key in ("name", "version") if before[key] != after[key]
    ]
    nodes = {node["path"]: node for node in after["nodes"]}
    for node in before["nodes"]:
        path: str = node["path"]
        now = nodes.pop(path, None)
        if now is not None and "wires" in node and "wires" in now:
            found.extend(_rewired(path, (node, _names(before, path)), (now, _names(after, path))))
        found.extend(_difference(node, now))
    found.extend(f"{path}: is new" for path in nodes)
    found.extend(_moved(*([node["path"] for node in description["nodes"]] for description in (before, after))))
    return found


def _moved(before: list[str], after: list[str]) -> Iterator[str]:
    """The first node whose children, of those that are still there, are in another order."""
    stayed, still = set(after), set(before)
    pairs = zip((path for path in before if path in stayed), (path for path in after if path in still), strict=False)
    for old, new in pairs:
        if old != new:
            yield f"{old.rpartition('/')[0]}: its nodes are in another order"
            return


def _difference(old: dict[str, Any], new: dict[str, Any] | None) -> Iterator[str]:
    path = old["path"]
    if new is None:
        yield f"{path}: is gone"
        return
    graph = "wires" in old and "wires" in new
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key) and not (graph and key in ("wires", "output")):
            yield f"{path}: {_WRITTEN.get(key, key)} was {old.get(key)!r}, is {new.get(key)!r}"


_WRITTEN: Final = {"window": "concurrency"}
"""What people write for what a description calls otherwise."""


def _names(description: dict[str, Any], path: str) -> list[str]:
    """The nodes of the graph at a path, in their order."""
    split = (node["path"].rpartition("/") for node in description["nodes"])
    return [name for above, _, name in split if above == path]


def _rewired(path: str, was: tuple[dict[str, Any], list[str]], now: tuple[dict[str, Any], list[str]]) -> Iterator[str]:
    """Which nodes of a graph are given, wait for or depend on something else than before."""
    before, after = (
        {
            **{f"{path}/{name}": _wiring(wire, names) for name, wire in zip(names, node["wires"], strict=True)},
            path: _wiring(node["output"], names),
        }
        for node, names in (was, now)
    )
    changed = [place for place, old in before.items() if after.get(place, old) != old]
    for place in changed:
        yield f"{place}: {'its result ' if place == path else ''}was {before[place]}, is {after[place]}"
    if not changed and was[1] == now[1] and was[0]["wires"] != now[0]["wires"]:
        yield f"{path}: its nodes depend on each other in another way"


def _named(indices: list[int], names: list[str]) -> list[str]:
    return [names[each] if each >= 0 else "the input" for each in indices]


def _wiring(wire: list[Any], names: list[str]) -> str:
    """How a node of a graph hangs together with the others, in words; see `Wire.plain`."""
    sources, after, tests, doubts = (_named(part, names) for part in wire[:4])
    conditional, evaluated, first = wire[4:]
    about = ", ".join([*tests, *(f"{name} if it ran" for name in doubts)])
    said = [f"given {', '.join(sources) or 'nothing'}"]
    if after:
        said.append(f"after {', '.join(after)}")
    if conditional:
        said.append(f"on a condition about {about}" if about else "on a condition")
    if evaluated:
        said.append("by an expression")
    if first:
        said.append("the first of them")
    return " ".join(said)


_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(data: object) -> bytes:
    """JSON with sorted keys and no spaces."""
    return _CANONICAL.encode(data).encode()


LATER: Final = "ripresa.later"
"""What marks, in its metadata, a field of a class of ours that came later, with a default: it changes no definition."""


_PLAIN: Final = (int, str, float, bool, bytes)
"""Types without arguments and fields."""


def type_name(kind: Any, seen: tuple[Any, ...] = ()) -> str:
    """An annotation as text: names, type arguments, and the fields of classes that have annotated ones."""
    if kind is Any or kind is None:
        return "Any" if kind is Any else "None"
    if isinstance(kind, str):
        return kind
    if kind in _PLAIN:
        return str(kind.__name__)
    origin: Any = get_origin(kind)
    args: tuple[Any, ...] = get_args(kind)
    if origin is Annotated:
        return type_name(args[0], seen)
    if origin is not None:
        inner = ",".join(f"{arg}" if isinstance(arg, list) else type_name(arg, seen) for arg in args)
        name = "Union" if origin is UnionType else getattr(origin, "__name__", str(origin))
        return f"{name}[{inner}]"
    name = str(getattr(kind, "__qualname__", kind))
    if kind in seen or not _has_fields(kind):
        return name
    members = ",".join(f"{field}:{type_name(hint, (*seen, kind))}" for field, hint in _fields(kind))
    return f"{name}({members})"


def _has_fields(kind: Any) -> bool:
    return isinstance(kind, type) and _says_fields(kind)  # pyright: ignore[reportUnknownArgumentType]


@lru_cache(maxsize=4096)
def _says_fields(kind: type[Any]) -> bool:
    marks = ("__dataclass_fields__", "model_fields", "__total__", "_fields")
    return any(hasattr(kind, mark) for mark in marks)


def _fields(kind: Any) -> Iterator[tuple[str, Any]]:
    try:
        hints = get_type_hints(kind)
    except (NameError, TypeError, AttributeError, SyntaxError):
        hints = dict(getattr(kind, "__annotations__", {}))
    if is_dataclass(kind):
        names = [field.name for field in fields(kind) if LATER not in field.metadata]
    else:
        names = list(getattr(kind, "model_fields", hints))
    for name in names:
        yield name, hints.get(name, Any)
