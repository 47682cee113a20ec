"""Expressions of documents as wires of a graph: paths are wires as in Python, anything else is CEL over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import isclass
from typing import Any, Final, get_origin

from typing_extensions import is_typeddict

from ...core.conditions import Condition
from ...errors import RipresaError
from ..encoding import decode, encode
from ..expression import Environment, Field, Item, Source
from ..expression import Expression as Wire
from ..fit import known, members, specific
from ..proxy import Proxy
from ..questions import Seen, holds
from .cel import Expression, Use, only_expression, parts_of, rendered

TUPLE: Final = "$tuple"
"""The only key of an object that stands for a tuple of what is listed under it."""

MAKE: Final = "$make"
"""The only key of an object that stands for one of a dataclass: its `type`, and `of` which fields it is made."""

ASK: Final = "$ask"
"""The only key of an object that stands for what a condition says: true or false."""

PAIRS: Final = "$pairs"
"""The only key of an object that stands for one whose keys are no texts: lists of key and value."""

MARKS: Final = (TUPLE, MAKE, ASK, PAIRS)

ALL: Final = "all"
ANY: Final = "any"
"""The keys of a condition of a step in a graph that is made of others."""

Resolve = Callable[[Use], Wire]
"""What something that an expression looks at is in the graph, without its keys. Raises `RipresaError`."""


@dataclass(frozen=True, slots=True)
class Loose:
    """What is below a key of a value of which nothing is known: plain data, so a member of an object or list."""

    of: Wire
    key: str | int
    kind: Any = Any

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        return self.of.leaves()

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`. Raises `RipresaError(expression_failed)` if there is no such member."""
        whole = self.of.value(environment)
        try:
            return as_kind(whole[self.key], kind)
        except (KeyError, IndexError, TypeError) as error:
            raise RipresaError(f"there is no {self}", code="expression_failed", op="expression") from error

    def __str__(self) -> str:
        return f"{self.of}[{self.key}]" if isinstance(self.key, int) else f"{self.of}.{self.key}"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an expression gives for the values that it looks at, as plain data."""

    expression: Expression
    parts: tuple[Wire, ...]
    kind: Any

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        for part in self.parts:
            yield from part.leaves()

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        given: dict[str, Any] = {"steps": {}, "state": {}}
        for use, part in zip(self.expression.uses, self.parts, strict=True):
            found = _plain(part, environment)
            if use.root == "steps":
                given["steps"][use.name] = {"output": found}
            elif use.root == "state":
                given["state"][use.name] = found
            else:
                given[use.root] = found
        return as_kind(self.expression.value(given), kind)

    def __str__(self) -> str:
        return self.expression.text


@dataclass(frozen=True, slots=True)
class Written:
    """A text with expressions in it."""

    parts: tuple[str | Wire, ...]
    kind: Any = str

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        for part in self.parts:
            if not isinstance(part, str):
                yield from part.leaves()

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return "".join(part if isinstance(part, str) else rendered(_plain(part, environment)) for part in self.parts)

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else f"${{{{ {part} }}}}" for part in self.parts)


@dataclass(frozen=True, slots=True)
class Denied:
    """The opposite of a condition."""

    of: Wire
    kind: Any = bool

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        return self.of.leaves()

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return not holds(self.of.value(environment), str(self.of))

    def __str__(self) -> str:
        return f"not ({self.of})"


@dataclass(frozen=True, slots=True)
class About:
    """What a condition that is data says about a value to come."""

    of: Wire
    condition: Condition
    kind: Any = bool

    def leaves(self) -> Iterator[Source]:
        """See `Expression`."""
        return self.of.leaves()

    def value(self, environment: Environment, kind: Any = None) -> Any:
        """See `Expression`."""
        return self.condition.holds(Seen(encode(_plain(self.of, environment)), environment.reader))

    def __str__(self) -> str:
        return f"{self.condition} ({self.of})"


def _plain(wire: Wire, environment: Environment) -> Any:
    """A value to come as plain data."""
    if isinstance(wire, Source):
        return environment.read(wire.index, Any)
    return decode(encode(wire.value(environment)))


def is_marked(data: Mapping[str, Any]) -> bool:
    """Whether an object has one key which means something; data that look so have one more `$` before it."""
    only = str(next(iter(data))) if len(data) == 1 else ""
    return only.startswith("$") and f"${only.lstrip('$')}" in MARKS


def as_kind(value: Any, kind: Any) -> Any:
    """A plain value as a step wants it."""
    return value if kind is None or not specific(kind) else decode(encode(value), kind)


def wired(expression: Expression, resolve: Resolve) -> Wire:
    """An expression as a wire."""
    path = expression.path
    if path is not None:
        return _below(resolve(path), path)
    return Evaluated(expression, tuple(map(resolve, expression.uses)), expression.kind)


def _below(wire: Wire, path: Use) -> Wire:
    for key in path.keys:
        if isinstance(key, str) and key.startswith("_"):
            raise RipresaError(f"{key!r} is nothing for documents", code="invalid_expression", op="expression")
        if isinstance(key, str) and _has_fields(wire.kind):
            wire = Field(wire, key)
        else:
            wire = Item(wire, key) if known(wire.kind) else Loose(wire, key)
    return wire


def _has_fields(kind: Any) -> bool:
    """Whether what is below a name is an attribute: so it is of classes other than mappings."""
    if not known(kind):
        return False
    origins = [get_origin(member) or member for member in members(kind)]
    return all(
        isclass(one) and not is_typeddict(one) and not issubclass(one, Mapping | list | tuple) for one in origins
    )


def wired_text(text: str, resolve: Resolve) -> Any:
    """A text, or a proxy where it has expressions; one without any is unescaped."""
    only = only_expression(text)
    if only is not None:
        return Proxy(wired(only, resolve))
    parts = [part if isinstance(part, str) else wired(part, resolve) for part in parts_of(text)]
    whole = "".join(part for part in parts if isinstance(part, str))
    return whole if all(isinstance(part, str) for part in parts) else Proxy(Written(tuple(parts)))
