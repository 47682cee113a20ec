"""Routers: one of several links is active at a time, and what it returns picks the next, by type or by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import isclass
from typing import Any, Generic, NamedTuple, TypeAlias, get_args, get_origin, overload

from typing_extensions import TypeVar, is_typeddict

from ..core.calling import told
from ..core.nodes.node import Node
from ..core.nodes.router import END
from ..core.nodes.router import Router as RouterNode
from ..core.values import Value
from ..errors import InvalidValue, RipresaError
from .choice import Cases
from .encoding import Reader
from .fit import bare, fits, known, members, named, union
from .flow import Built, Flow, Link, as_links, build_link
from .options import bad_count, check_name, refuse
from .place import One, Place, distinct
from .switches import require

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")

Legal: TypeAlias = Mapping[str, Iterable[str]]
"""Which of a router's links may be followed by which, by name. One that is not named may be followed by none."""


Table: TypeAlias = dict[str, tuple[str, ...]]


class Handoff(NamedTuple, Generic[T]):
    """What a link of a router returns to name the next: `Handoff("billing", ticket)`. The reason is recorded."""

    to: str
    value: T
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for a router whatever its links are."""

    until: Any
    at_most: int
    legal: Table | None
    name: str


class Router(Generic[R]):
    """What `router(...)` gives: called with its links it is a flow."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    @overload
    def __call__(self, cases: Cases[A, A | R], /) -> Flow[A, R]: ...
    @overload
    def __call__(self, first: Link[A, Handoff[A] | R], /, *others: Link[A, Handoff[A] | R]) -> Flow[A, R]: ...
    def __call__(self, first: Any, /, *others: Any) -> Flow[Any, Any]:
        """With cases, the type of a result picks the next; with links, the first begins and each names the next."""
        if _is_cases(first) and not others:
            return _by_type(self.rules, first)
        return _by_name(self.rules, as_links((first, *others), "router"))


def _is_cases(thing: object) -> bool:
    return isinstance(thing, Cases)


@told
def router(*, until: type[R], at_most: int, legal: Legal | None = None, name: str = "router") -> Router[R]:
    """One link active at a time, the next chosen by what it returns, until that is an `until`; with cycles.

    `router(until=Ready, at_most=5)(case(Draft, review).case(Rework, improve))`: the result goes to the case of its
    type. `router(until=Answer, at_most=5)(triage, billing, support)`: the first begins, and each returns the result
    or a `Handoff` that names the next. At most `at_most` of them run, one after another, else the router fails with
    `too_many_transitions`. `legal` says which may follow which, by name; anything else fails with `illegal_handoff`.
    """
    require("routers", "router")
    kind: Any = until
    told_apart = isclass(kind) and not is_typeddict(kind) and not getattr(kind, "_is_protocol", False)
    refuse(
        "router",
        None if told_apart else f"until is {until!r}, must be a class that values can be told apart by",
        bad_count(at_most, "at_most"),
        _bad_legal(legal),
        check_name(name, "name"),
    )
    table: Table | None = None if legal is None else {source: tuple(targets) for source, targets in legal.items()}
    return Router[R](Rules(until, at_most, table, name))


def _bad_legal(legal: Any) -> str | None:
    targets: list[object] = [*legal.values()] if hasattr(legal, "values") else [""]
    if legal is None or not any(isinstance(names, str) for names in targets):
        return None
    return f"legal is {legal!r}, must be a dict of names, each with a list of names"


def _check_names(rules: Rules, names: list[str]) -> None:
    """Refuse edges to or from what is no link of the router."""
    edges: Table = {} if rules.legal is None else rules.legal
    mentioned = dict.fromkeys((*edges, *(target for targets in edges.values() for target in targets)))
    strangers = [name for name in mentioned if name not in names]
    wrong = f"legal names {', '.join(map(repr, strangers))}, its links are {', '.join(names)}" if strangers else None
    refuse("router", wrong, where=rules.name)


# --- by type


def _by_type(rules: Rules, cases: Cases[Any, Any]) -> Flow[Any, Any]:
    kinds = tuple(kind for kind, _ in cases.cases)
    names = distinct(link.name for _, link in cases.cases)
    refuse("router", f"until is {named(rules.until)}, which is a case too" if rules.until in kinds else None)
    _check_names(rules, names)
    links = tuple(link for _, link in cases.cases)
    return Flow[Any, Any](partial(_build_by_type, rules, kinds, links), name=rules.name).like(cases)


def _build_by_type(rules: Rules, kinds: tuple[type, ...], links: tuple[Built, ...], place: Place) -> RouterNode:
    whole = union(kinds)
    given = place.given.single(place)
    for member in _uncovered(given, whole):
        place.mismatch(f"is given {named(given)}, but no case takes {named(member)}")
    names = distinct(link.name for link in links)
    arms = tuple(
        build_link(link, place.inner(name, One(kind))) for kind, link, name in zip(kinds, links, names, strict=True)
    )
    result = union((*kinds, rules.until))
    for arm in arms:
        for member in _uncovered(arm.output_type, result):
            place.inner(arm.name, One()).mismatch(f"hands on {named(member)}, which no case takes")
    return RouterNode(
        place.name,
        arms,
        condition=" | ".join(map(named, kinds)),
        at_most=rules.at_most,
        code=ByType(_ways(arms, rules, result), kinds, rules.until, result),
        input_type=given if known(given) else whole,
        output_type=rules.until,
    )


def _ways(arms: tuple[Node[Any], ...], rules: Rules, result: Any) -> Ways:
    kinds = tuple(arm.output_type if known(arm.output_type) else result for arm in arms)
    return Ways(tuple(arm.name for arm in arms), kinds, rules.legal)


def _uncovered(given: Any, whole: Any) -> list[Any]:
    return [member for member in members(given) if not fits(member, whole)]


@dataclass(frozen=True, slots=True)
class Ways:
    """A router's links: their names, the types by which their results are read, and which may follow which."""

    names: tuple[str, ...]
    kinds: tuple[Any, ...]
    legal: Table | None

    def read(self, about: Value, reader: Reader) -> tuple[int, object]:
        """The index of the link that ended, and what it returned. Raises `InvalidValue`."""
        last, value = reader.items(about)
        source: int = reader.read(last, int)
        return source, reader.read(value, self.kinds[source])

    def follow(self, source: int, target: int) -> int:
        """The index of the link that follows. Raises `RipresaError(illegal_handoff)`."""
        origin, to = self.names[source], self.names[target]
        if self.legal is not None and to not in self.legal.get(origin, ()):
            allowed = ", ".join(self.legal.get(origin, ())) or "nothing"
            raise RipresaError(
                f"{origin!r} must not be followed by {to!r}",
                code="illegal_handoff",
                op="router",
                hint=f"legal: {allowed}",
            )
        return target


@dataclass(frozen=True, slots=True)
class ByType:
    """The code of a router whose next link is that of the value's type."""

    ways: Ways
    kinds: tuple[type, ...]
    until: type
    kind: Any

    def answer(self, question: str, about: Value, reader: Reader) -> object:
        """The index of the next link, or that this is the result; and the type that decided."""
        try:
            source, found = (
                (None, reader.read(about, self.kind)) if question == "enter" else self.ways.read(about, reader)
            )
        except InvalidValue as error:
            raise self._no_case() from error
        if source is not None and isinstance(found, self.until):
            return [END, self.until.__name__]
        target, reason = self._case(found)
        return [target if source is None else self.ways.follow(source, target), reason]

    def _case(self, value: object) -> tuple[int, str]:
        for index, kind in enumerate(self.kinds):
            if isinstance(value, kind):
                return index, kind.__name__
        raise self._no_case()

    def _no_case(self) -> RipresaError:
        taken = ", ".join(kind.__name__ for kind in self.kinds)
        return RipresaError(
            "no case takes this value", code="no_case", op="router", hint=f"there are cases for {taken}"
        )


# --- by name


def _by_name(rules: Rules, links: tuple[Built, ...]) -> Flow[Any, Any]:
    _check_names(rules, distinct(link.name for link in links))
    return Flow(partial(_build_by_name, rules, links), name=rules.name)


def _build_by_name(rules: Rules, links: tuple[Built, ...], place: Place) -> RouterNode:
    given = place.given.single(place)
    first, *others = distinct(link.name for link in links)
    start = build_link(links[0], place.inner(first, One(given)))
    rest = [build_link(link, place.inner(name, One())) for link, name in zip(links[1:], others, strict=True)]
    arms = (start, *rest)
    for arm in arms:
        _check_result(arm, arms, rules.until, place.inner(arm.name, One()))
    return RouterNode(
        place.name,
        arms,
        condition="handoff",
        at_most=rules.at_most,
        handoff=True,
        code=ByName(_ways(arms, rules, Handoff[Any] | rules.until), rules.until),
        input_type=start.input_type,
        output_type=rules.until,
    )


def _check_result(arm: Node[Any], arms: tuple[Node[Any], ...], until: Any, place: Place) -> None:
    """A link returns the result, or a handoff of something that one of the links takes."""
    for member in members(arm.output_type):
        if _is_handoff(member):
            handed = next(iter(get_args(bare(member))), Any)
            if not any(fits(handed, other.input_type) for other in arms):
                place.mismatch(f"hands on {named(handed)}, which none of the router's links takes")
        elif not fits(member, until):
            place.mismatch(f"returns {named(member)}, which is neither a Handoff nor {named(until)}")


def _is_handoff(kind: Any) -> bool:
    return (get_origin(bare(kind)) or bare(kind)) is Handoff


@dataclass(frozen=True, slots=True)
class ByName:
    """The code of a router whose links name the next."""

    ways: Ways
    until: Any

    def answer(self, question: str, about: Value, reader: Reader) -> object:
        """The index of the next link, or that this is the result; and why."""
        try:
            source, found = self.ways.read(about, reader)
        except InvalidValue as error:
            wanted = named(self.until)
            raise RipresaError(f"this is neither a Handoff nor {wanted}", code="no_case", op="router") from error
        if not isinstance(found, Handoff):
            return [END, named(self.until)]
        handoff: Handoff[Any] = found  # pyright: ignore[reportUnknownVariableType]
        names = self.ways.names
        if handoff.to not in names:
            there = f"there are {', '.join(names)}"
            raise RipresaError(f"there is no {handoff.to!r} to hand on to", code="no_case", op="router", hint=there)
        return [self.ways.follow(source, names.index(handoff.to)), handoff.reason or "handoff"]
