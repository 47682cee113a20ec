"""What user code is asked while a workflow runs: predicates, choices by type. The codes of the nodes that ask."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..context import current
from ..core.conditions import MISSING, Deciding
from ..core.values import Value
from ..errors import InvalidValue, RipresaError
from .call import Pending
from .encoding import Reader, decode, encode
from .parameters import Parameters
from .place import One, Place
from .step import step_name


def holds(answer: object, asked: str) -> bool:
    """The truth of what a predicate returned: `False`, 0, "" and empty lists are no match, as everywhere in Python.

    Raises `RipresaError(usage)` if it returned something to await, which would always be true.
    """
    return bool(plain_answer(answer, asked))


def plain_answer(answer: object, asked: str) -> object:
    """What user code answered. Raises `RipresaError(usage)` if it is something to await."""
    if isinstance(answer, Pending) or inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise RipresaError(
            f"{asked} returned something to await", code="usage", op="ask", hint="a predicate is a plain function"
        )
    return answer


@dataclass(frozen=True, slots=True)
class Seen:
    """What a condition sees from where it is asked; `about` is None where it is asked about no value."""

    about: Value | None
    reader: Reader

    def value(self) -> Any:
        """See `Facts`."""
        return MISSING if self.about is None else self.reader.read(self.about, Any)

    def state(self, name: str) -> Any:
        """See `Facts`."""
        reader: Any = self.reader
        try:
            return decode(encode(reader.field(name)))
        except AttributeError:  # the state has no such field
            return MISSING
        except RipresaError as error:
            if error.code != "no_state":
                raise
            return MISSING

    def session(self, name: str) -> Any:
        """See `Facts`."""
        try:
            session = current().session
        except RipresaError:  # the run belongs to none
            return MISSING
        return session.get(name) if name in session.names() else MISSING

    def step(self, name: str) -> tuple[str, Any]:
        """See `Facts`."""
        found = self.reader.outcome(name)
        if found is None:
            return "", MISSING
        status, output = found
        return status, self.reader.read(output, Any) if status == "completed" else MISSING


def watched(*predicates: object) -> tuple[str, ...]:
    """The steps that conditions among these look at, each once."""
    steps = (step for predicate in predicates if isinstance(predicate, Deciding) for step in predicate.steps)
    return tuple(dict.fromkeys(steps))


@dataclass(frozen=True, slots=True)
class Predicate:
    """Asks a function about a value; `kind` is the type that it is decoded by. The answer is `bool`."""

    fn: Callable[[Any], object]
    kind: Any

    def answer(self, question: str, about: Value, reader: Reader) -> object:
        """Whether it holds."""
        if isinstance(self.fn, Deciding):
            return self.fn.holds(Seen(about, reader))
        return holds(self.fn(reader.read(about, self.kind)), step_name(self.fn))


@dataclass(frozen=True, slots=True)
class Choice:
    """The code of a branch with two arms: 0 if the predicate holds, else 1."""

    predicate: Predicate

    def answer(self, question: str, about: Value, reader: Reader) -> object:
        """The index of the arm."""
        return 0 if self.predicate.answer(question, about, reader) else 1


@dataclass(frozen=True, slots=True)
class ByType:
    """The code of a branch by type: the index of the first class that the value is of, else -1."""

    kinds: tuple[type, ...]
    kind: Any

    def answer(self, question: str, about: Value, reader: Reader) -> object:
        """The index of the arm."""
        try:
            value = reader.read(about, self.kind)
        except InvalidValue:
            return -1
        return next((index for index, kind in enumerate(self.kinds) if isinstance(value, kind)), -1)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The code of a choice of several: which of `names` the selector named, by index."""

    predicate: Predicate
    names: tuple[str, ...]

    def answer(self, question: str, about: Value, reader: Reader) -> object:
        """The indices, in order."""
        asked = self.predicate
        found = plain_answer(asked.fn(reader.read(about, asked.kind)), step_name(asked.fn))
        named = {found} if isinstance(found, str) else set(_listed(found, step_name(asked.fn)))
        strangers = sorted(map(repr, named.difference(self.names)))
        if strangers:
            raise RipresaError(
                f"there is no {', '.join(strangers)} to choose",
                code="no_case",
                op="choose",
                hint=f"there are {', '.join(self.names)}",
            )
        return [index for index, name in enumerate(self.names) if name in named]


def _listed(found: object, asked: str) -> list[Any]:
    if isinstance(found, list | tuple | set | frozenset):
        return list(found)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise RipresaError(
        f"{asked} returned {found!r}", code="usage", op="choose", hint="return a name or a list of names"
    )


def predicate_at(fn: Callable[[Any], object], place: Place, given: Any) -> Predicate:
    """A predicate that is asked at a place about values of a type; notes what does not fit."""
    wanted = One(given).bind(Parameters(fn), place.inner(step_name(fn), One(given)))[1]
    return Predicate(fn, wanted)
