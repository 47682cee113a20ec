"""Where a node is being built: its name and path, what it will be given, and what was found wrong so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..errors import InvalidWorkflow, Problem
from .fit import fits, known, named, specific, tuple_of
from .parameters import Parameters, decodable
from .step import Binding, Named, Spread, Whole


class Given(Protocol):
    """What a node will be given, and how that becomes the arguments of a function."""

    def bind(self, parameters: Parameters, place: Place) -> tuple[Binding, Any]:
        """How a function takes it, and the type of the node's input. Notes what does not fit."""
        ...

    def single(self, place: Place) -> Any:
        """The type of the one value that it is. Notes that it is none."""
        ...


@dataclass(frozen=True, slots=True)
class One:
    """One value of this type (`Any`: not known)."""

    kind: Any = Any

    def bind(self, parameters: Parameters, place: Place) -> tuple[Binding, Any]:
        """The first argument of the function."""
        wanted = place.takes(parameters, (self.kind,))[0]
        return Whole(wanted), wanted

    def single(self, place: Place) -> Any:
        """See `Given`."""
        return self.kind


@dataclass(frozen=True, slots=True)
class Direct:
    """What the arguments of a call become; see `Parameters.encode`."""

    def bind(self, parameters: Parameters, place: Place) -> tuple[Binding, Any]:
        """As they were given."""
        return Named(parameters), parameters.input_type

    def single(self, place: Place) -> Any:
        """A value that is not looked at."""
        return Any


@dataclass(frozen=True, slots=True)
class Several:
    """A list of values of these types: the first arguments of a function."""

    kinds: tuple[Any, ...]

    def bind(self, parameters: Parameters, place: Place) -> tuple[Binding, Any]:
        """Spread over the function's parameters."""
        wanted = place.takes(parameters, self.kinds)
        return Spread(wanted), tuple_of(wanted)

    def single(self, place: Place) -> Any:
        """A flow takes one value, so this is a mismatch."""
        place.mismatch(f"takes one value, is given {len(self.kinds)}")
        return Any


COUNT = "give it as many arguments as it takes, by position or name, or give parameters a default"
"""What to do where the number or names of arguments do not fit."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a definition that is being built. `problems` is shared by all places of one statement."""

    name: str
    given: Given
    path: str
    problems: list[Problem]

    def inner(self, name: str, given: Given) -> Place:
        """A place below this one."""
        return Place(name, given, f"{self.path}/{name}", self.problems)

    def single(self) -> Place:
        """The same place for what takes one value."""
        return self if isinstance(self.given, One) else replace(self, given=One(self.given.single(self)))

    def note(self, message: str, code: str, advice: str = "") -> None:
        """Something is wrong here; `advice` says what to do where the message or the code does not."""
        problem = Problem(self.path, message, code, advice=advice)
        if problem not in self.problems:
            self.problems.append(problem)

    def mismatch(self, message: str, advice: str = "") -> None:
        """The annotations do not fit."""
        self.note(message, "type_mismatch", advice)

    def finds(self, parameters: Parameters) -> None:
        """Note the annotations that name what is written nowhere."""
        for each in parameters.unresolved:
            if each.missing:
                message = f"the annotation of {each.subject} is {each.text}, but there is no {each.missing}"
                self.note(message, "unresolved_annotation")

    def accepts(self, given: Any, wanted: Any, which: str = "") -> None:
        """Note if a value of one type cannot stand where another is wanted."""
        if not fits(given, wanted):
            self.mismatch(f"takes {named(wanted)}{which}, is given {named(given)}")

    def answers(self, given: Any, wanted: Any) -> None:
        """Note if what is made here is not of the type of the answer that it is to be."""
        if not fits(given, wanted):
            self.mismatch(f"returns {named(given)}, the answer is {named(wanted)}")

    def takes(self, parameters: Parameters, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
        """The types by which a function's first arguments are decoded: its annotations, else what is given."""
        complaint = parameters.refuses(len(kinds))
        if complaint:
            self.mismatch(complaint, COUNT)
            return kinds
        wanted = tuple(parameters.kind_at(index) for index in range(len(kinds)))
        for index, (given, want) in enumerate(zip(kinds, wanted, strict=True)):
            self.accepts(given, want, "" if len(kinds) == 1 else f" as {parameters.name_at(index)}")
        return tuple(
            decodable(want if specific(want) or not known(given) else given)
            for given, want in zip(kinds, wanted, strict=True)
        )


def root(name: str, given: Given = One()) -> Place:
    """The place of something that stands by itself."""
    return Place(name, given, name, [])


def settle(place: Place, op: str = "") -> None:
    """Raise everything that was found wrong, together."""
    if place.problems:
        raise InvalidWorkflow(place.problems, op=op)


def distinct(names: Iterable[str]) -> list[str]:
    """The names in order, each unique: a second `fetch` becomes `fetch#2`."""
    count: dict[str, int] = {}
    found: list[str] = []
    for name in names:
        count[name] = count.get(name, 0) + 1
        found.append(name if count[name] == 1 else f"{name}#{count[name]}")
    return found
