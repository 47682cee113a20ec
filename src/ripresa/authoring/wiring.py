"""The wires of a graph: how arguments, conditions and the result are made of what other nodes return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..core.values import Value
from ..errors import InvalidValue
from .encoding import Reader, encode
from .expression import Constant, Environment, Expression, Field, Shared, Source, Written, lacks
from .fit import fits, known, named
from .parameters import Parameters, decodable
from .place import COUNT, Place
from .questions import holds
from .step import Binding


def sources_of(expressions: Iterable[Expression]) -> tuple[int, ...]:
    """The indices of the nodes that expressions are made of, each once, in order."""
    return tuple(dict.fromkeys(leaf.index for expression in expressions for leaf in expression.leaves()))


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a step and the type that a whole result is decoded by."""

    expression: Expression
    kind: Any


@dataclass(frozen=True, slots=True)
class Wires:
    """The input is a list of the sources' values, which the arguments are made of."""

    sources: tuple[int, ...]
    args: tuple[Argument, ...]
    kwargs: Mapping[str, Argument]

    def arguments(self, value: Value, reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """See `Binding`."""
        environment = Environment.of(self.sources, value, reader)
        args = tuple(argument.expression.value(environment, argument.kind) for argument in self.args)
        return args, {n: argument.expression.value(environment, argument.kind) for n, argument in self.kwargs.items()}


@dataclass(frozen=True, slots=True)
class Wired:
    """What a node of a graph is given: the arguments of the call that was added."""

    args: tuple[Expression, ...]
    kwargs: Mapping[str, Expression]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """All of them."""
        return (*self.args, *self.kwargs.values())

    def bind(self, parameters: Parameters, place: Place) -> tuple[Binding, Any]:
        """See `Given`."""
        try:
            parameters.signature.bind(*self.args, **self.kwargs)
        except TypeError as error:
            place.mismatch(str(error), COUNT)
            return Wires((), (), {}), Any
        args = tuple(
            argument(expression, parameters.kind_at(index), parameters.name_at(index), place)
            for index, expression in enumerate(self.args)
        )
        kwargs = {
            name: argument(expression, parameters.kind_of(name), name, place)
            for name, expression in self.kwargs.items()
        }
        return Wires(sources_of(self.expressions), args, kwargs), parameters.input_type

    def single(self, place: Place) -> Any:
        """See `Given`."""
        only = self.only
        if only is None:
            place.mismatch(f"takes one value, is given {len(self.expressions)}")
            return Any
        check_fields(only, place)
        return only.kind

    @property
    def only(self) -> Expression | None:
        """The argument if there is just one, given by position."""
        return self.args[0] if len(self.args) == 1 and not self.kwargs else None


def argument(expression: Expression, wanted: Any, name: str, place: Place) -> Argument:
    """What is given where a type is wanted; notes if it does not fit."""
    check_fields(expression, place)
    kind = decodable(wanted)
    if isinstance(expression, Constant):
        return Argument(_written(expression, kind, name, place), kind)
    if not fits(expression.kind, wanted):
        place.mismatch(f"takes {named(wanted)} as {name}, is given {named(expression.kind)} ({expression})")
    return Argument(expression, kind)


def _written(constant: Constant, wanted: Any, name: str, place: Place) -> Expression:
    try:
        return Written(encode(constant.constant, wanted, where=place.path, code="invalid_input"), wanted)
    except InvalidValue as error:
        place.mismatch(f"takes {named(wanted)} as {name}, is given {constant.constant!r}: {error.message}")
        return constant


def check_fields(expression: Expression, place: Place) -> None:
    """Note every field that its value certainly does not have."""
    for part in _walk(expression):
        if isinstance(part, Field) and known(part.of.kind) and lacks(part.of.kind, part.name):
            place.mismatch(f"{part.of} is {named(part.of.kind)}, which has no {part.name}")


def _walk(expression: Any) -> Iterable[Expression]:
    yield expression
    for below in (getattr(expression, name, None) for name in ("of", "left", "right")):
        if below is not None:
            yield from _walk(below)
    for part in getattr(expression, "parts", ()):
        yield from _walk(part)


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether a node runs: `when` holds and `unless` does not; None is not asked."""

    when: Expression | None = None
    unless: Expression | None = None

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """Those that are asked."""
        return tuple(expression for expression in (self.when, self.unless) if expression is not None)

    def holds(self, environment: Environment) -> bool:
        """Whether the node runs."""
        if self.when is not None and not holds(self.when.value(environment), str(self.when)):
            return False
        return self.unless is None or not holds(self.unless.value(environment), str(self.unless))

    def __str__(self) -> str:
        texts = [str(self.when)] if self.when is not None else []
        return " and ".join([*texts, f"not ({self.unless})"] if self.unless is not None else texts)


LONGEST: Final = 200
"""So many characters of a condition are recorded with what was decided by it."""


@dataclass(frozen=True, slots=True)
class Question:
    """The code of a gate: whether its node runs, and what it is given if that must be made first.

    `sources` are those of the node's wire, then its tests, then its doubts: what it is asked about, in this order. If
    a doubt was skipped, none of them is there, and `unless` is false.
    """

    sources: tuple[int, ...]
    condition: Condition
    made: Expression | None
    input_type: Any

    def answer(self, question: str, about: Value, reader: Reader) -> object:
        """To "when" whether it holds and its text, to "input" the node's input, to be encoded by `input_type`."""
        there = len(reader.items(about))
        environment = Environment.of(self.sources[:there], about, reader)
        if question == "when":
            condition = self.condition if there == len(self.sources) else Condition(self.condition.when)
            return [condition.holds(environment), str(self.condition)[:LONGEST]]
        assert self.made is not None
        return self.made.value(environment, self.input_type)


@dataclass(frozen=True, slots=True)
class Result:
    """The code of a graph whose result is made of what its nodes return."""

    sources: tuple[int, ...]
    expression: Expression

    def answer(self, question: str, about: Value, reader: Reader) -> object:
        """The result."""
        return self.expression.value(Environment.of(self.sources, about, reader))


def shared_of(expressions: Iterable[Expression]) -> list[Shared]:
    """The fields of the graph's state that expressions read."""
    return [part for expression in expressions for part in _walk(expression) if isinstance(part, Shared)]


def foreign(expressions: Iterable[Expression], graph: object) -> list[Source]:
    """The sources that belong to another graph."""
    return [leaf for expression in expressions for leaf in expression.leaves() if leaf.graph is not graph]
