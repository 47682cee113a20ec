"""Values to come, as expressions: what a graph's wires say about results that exist only in a run.

Law: an expression is pure. It is evaluated at the border, each time from values that are decoded anew.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, is_dataclass
from inspect import isclass
from typing import Any, Final, Protocol, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from ..core.conditions import Condition
from ..core.values import Value
from .encoding import Reader, decode, encode
from .fit import class_of, hints_of, item_type, known, members, named, specific, union
from .questions import Seen, holds
from .step import step_name

_BITS: Final[Any] = operator

OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "&": _BITS.and_,
    "|": _BITS.or_,
}


@dataclass(frozen=True, slots=True)
class Environment:
    """The values of the sources that an expression is evaluated from."""

    values: Mapping[int, Value]
    reader: Reader

    @classmethod
    def of(cls, sources: tuple[int, ...], about: Value, reader: Reader) -> Environment:
        """From a list of values in the order of the sources."""
        return cls(dict(zip(sources, reader.items(about), strict=True)), reader)

    def read(self, source: int, kind: Any) -> Any:
        """The value of a source, decoded anew."""
        return self.reader.read(self.values[source], kind)


class Expression(Protocol):
    """Says what a value to come is made of."""

    @property
    def kind(self) -> Any:
        """The type of the value, `Any` where it is not known."""
        ...

    def leaves(self) -> Iterator[Source]:
        """The results that it is made of."""
        ...

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """The value; a whole result is decoded by `kind` if one is given, else by its own type."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """The whole result of a node, or the graph's input. `graph` is the identity of the graph that it belongs to."""

    graph: object
    index: int
    name: str
    kind: Any

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        yield self

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return environment.read(self.index, self.kind if kind is None or not specific(kind) else kind)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Shared:
    """A field of a graph's state, as the node that uses it sees it."""

    graph: object
    name: str
    kind: Any

    def leaves(self) -> Iterator[Source]:
        """It is made of no result."""
        return iter(())

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        reader: Any = environment.reader  # one that sees the state, where there is one
        return reader.field(self.name)

    def __str__(self) -> str:
        return f"state.{self.name}"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a value to come."""

    of: Expression
    name: str

    @property
    def kind(self) -> Any:
        """See `Expression`."""
        return union(_member(kind, self.name) for kind in members(self.of.kind))

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        return self.of.leaves()

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return getattr(self.of.value(environment), self.name)

    def __str__(self) -> str:
        return f"{self.of}.{self.name}"


def _member(kind: Any, name: str) -> Any:
    """The type of a member of a class; `Any` where it is not known."""
    origin = get_origin(kind) or kind
    if not isclass(origin):
        return Any
    hints = hints_of(origin)
    if name in hints:
        return hints[name] if specific(hints[name]) else Any
    found = getattr(origin, name, None)
    function = found.fget if isinstance(found, property) else getattr(found, "func", None)  # cached_property
    try:
        return get_type_hints(function).get("return", Any)
    except (NameError, TypeError):
        return Any


def lacks(kind: Any, name: str) -> bool:
    """Whether values of a type certainly have no field of this name."""
    return known(kind) and any(_lacks(member, name) for member in members(kind))


def _lacks(kind: Any, name: str) -> bool:
    origin = get_origin(kind) or kind
    if not known(kind) or not isclass(origin):
        return False
    if is_typeddict(origin):
        return not hasattr(dict, name)
    closed = is_dataclass(origin) or hasattr(origin, "model_fields") or origin.__module__ == "builtins"
    return closed and not hasattr(origin, name) and name not in hints_of(origin)


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a value to come."""

    of: Expression
    key: Any

    @property
    def kind(self) -> Any:
        """See `Expression`."""
        return union(_item(kind, self.key) for kind in members(self.of.kind))

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        return self.of.leaves()

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return self.of.value(environment)[self.key]

    def __str__(self) -> str:
        return f"{self.of}[{self.key!r}]"


def _item(kind: Any, key: Any) -> Any:
    origin, args = get_origin(kind) or kind, get_args(kind)
    if is_typeddict(origin):
        return hints_of(origin).get(key, Any)
    if origin is tuple and isinstance(key, int) and -len(args) <= key < len(args) and Ellipsis not in args:
        return args[key]
    if isclass(origin) and issubclass(origin, Mapping):
        return args[1] if len(args) == 2 else Any
    if isinstance(key, slice):
        return kind
    return item_type(kind)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two values set against each other by an operator."""

    sign: str
    left: Expression
    right: Expression
    kind: Any = bool

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        yield from self.left.leaves()
        yield from self.right.leaves()

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return OPERATORS[self.sign](self.left.value(environment), self.right.value(environment))

    def __str__(self) -> str:
        return f"{_operand(self.left)} {self.sign} {_operand(self.right)}"


def _operand(expression: Expression) -> str:
    return f"({expression})" if isinstance(expression, Compared) else str(expression)


@dataclass(frozen=True, slots=True)
class Tested:
    """What a predicate says about a value to come."""

    of: Expression
    predicate: Callable[[Any], object]
    wanted: Any
    kind: Any = bool

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        return self.of.leaves()

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        value = self.of.value(environment, self.wanted)
        if isinstance(self.predicate, Condition):
            return self.predicate.holds(Seen(encode(value), environment.reader))
        return holds(self.predicate(value), str(self))

    def __str__(self) -> str:
        return f"{step_name(self.predicate)}({self.of})"


@dataclass(frozen=True, slots=True)
class Decided:
    """What a condition that is data says; it looks at steps, state and session, not at values to come."""

    condition: Condition
    kind: Any = bool

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        return iter(())

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return self.condition.holds(Seen(None, environment.reader))

    def __str__(self) -> str:
        return str(self.condition)


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is there already; every consumer gets a copy."""

    constant: Any

    @property
    def kind(self) -> Any:
        """See `Expression`."""
        return class_of(self.constant)

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        return iter(())

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return deepcopy(self.constant)

    def __str__(self) -> str:
        return repr(self.constant)


@dataclass(frozen=True, slots=True)
class Written:
    """A value that is there already, as JSON text; every consumer gets one of its own."""

    text: bytes
    kind: Any

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        return iter(())

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return decode(self.text, self.kind)

    def __str__(self) -> str:
        return self.text.decode()


@dataclass(frozen=True, slots=True)
class Made:
    """A list, tuple, dict or dataclass with values to come inside."""

    make: Callable[[list[Any]], Any]
    parts: tuple[Expression, ...]
    kind: Any

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        for part in self.parts:
            yield from part.leaves()

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return self.make([part.value(environment) for part in self.parts])

    def __str__(self) -> str:
        return f"{named(self.kind)}({', '.join(map(str, self.parts))})"
