"""Choices: one of several links runs, picked by a predicate or by the type of the value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isclass
from typing import Any, cast, get_args, overload

from typing_extensions import TypeVar, is_typeddict

from ..core.calling import told
from ..core.items import Items
from ..core.nodes.branch import Branch
from ..core.nodes.choose import Choose
from ..core.nodes.join import Join
from ..core.nodes.node import Node
from .fit import fits, known, list_of, members, named, union
from .flow import Built, Flow, Link, as_links, build_link, build_links
from .options import bad_choice, bad_count, bad_predicate, check_name
from .patterns import OnError, common_input
from .place import One, Place, distinct
from .questions import ByType, Choice, Chosen, predicate_at, watched
from .step import step_name
from .switches import require

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
A_contra = TypeVar("A_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


@told
def branch(
    when: Callable[[A], bool], then: Link[A, B], otherwise: Link[A, C], /, *, name: str = "branch"
) -> Flow[A, B | C]:
    """Run `then` if the predicate holds for the value, else `otherwise`; both are given the value.

    What the predicate decided is recorded; it is not asked again.
    """
    require("branches", "branch")
    links = as_links((then, otherwise), "branch", bad_predicate(when, "when"), check_name(name, "name"))
    return Flow(partial(_build_branch, when, links), name=name)


def _build_branch(when: Callable[[Any], object], links: tuple[Built, ...], place: Place) -> Branch:
    given = place.given.single(place)
    arms = build_links(links, place, One(given))
    input_type = common_input(tuple(arm.input_type for arm in arms), place)
    node = Branch(
        place.name,
        arms,
        condition=step_name(when),
        code=Choice(predicate_at(when, place, given if known(given) else input_type)),
        input_type=input_type,
        output_type=union(arm.output_type for arm in arms),
    )
    node.watches = watched(when)
    return node


class Cases(Flow[A_contra, R_co]):
    """Choice by type. The input is the union of the cases, so that a case that is missing does not type-check."""

    def __init__(self, cases: tuple[tuple[type, Built], ...], *, name: str) -> None:
        self.cases = cases
        super().__init__(partial(_build_cases, cases), name=name)

    def case(self, kind: type[B], link: Callable[[B], Awaitable[C]], /) -> Cases[A_contra | B, R_co | C]:
        """One more case; of several that take a value the first does."""
        cases = (*self.cases, _case(kind, link))
        return cast("Cases[A_contra | B, R_co | C]", self._twin(cases=cases, _build=partial(_build_cases, cases)))


@told
def case(kind: type[A], link: Link[A, B], /, *, name: str = "case") -> Cases[A, B]:
    """Run a link for values of a class: `case(Ready, send).case(Rework, improve)`."""
    require("branches", "case")
    return Cases((_case(kind, link),), name=name)


def _case(kind: Any, link: Any) -> tuple[type, Built]:
    told_apart = isclass(kind) and not is_typeddict(kind) and not getattr(kind, "_is_protocol", False)
    wrong = None if told_apart else f"kind is {kind!r}, must be a class that values can be told apart by"
    (checked,) = as_links((link,), "case", wrong)
    return kind, checked


def _build_cases(cases: tuple[tuple[type, Built], ...], place: Place) -> Branch:
    kinds = tuple(kind for kind, _ in cases)
    whole = union(kinds)
    given = place.given.single(place)
    for member in _uncovered(given, whole):
        place.mismatch(f"is given {named(given)}, but no case takes {named(member)}")
    names = distinct(link.name for _, link in cases)
    arms: list[Node[Any]] = [
        build_link(link, place.inner(name, One(kind))) for (kind, link), name in zip(cases, names, strict=True)
    ]
    return Branch(
        place.name,
        tuple(arms),
        condition=" | ".join(map(named, kinds)),
        code=ByType(kinds, given if known(given) else whole),
        input_type=given if known(given) else whole,
        output_type=union(arm.output_type for arm in arms),
    )


def _uncovered(given: Any, whole: Any) -> list[Any]:
    return [member for member in members(given) if not fits(member, whole)]


# --- several at once

Selector = Callable[[A], str | Items[str]]
"""Picks links by name: one, several (in any order), or none (an empty list)."""


@overload
def choose(
    select: Selector[A],
    a: Link[A, B],
    b: Link[A, C],
    /,
    *,
    concurrency: int | None = ...,
    on_error: OnError = ...,
    name: str = ...,
) -> Flow[A, list[B | C]]: ...
@overload
def choose(
    select: Selector[A],
    a: Link[A, B],
    b: Link[A, C],
    c: Link[A, D],
    /,
    *,
    concurrency: int | None = ...,
    on_error: OnError = ...,
    name: str = ...,
) -> Flow[A, list[B | C | D]]: ...
@overload
def choose(
    select: Selector[A],
    a: Link[A, B],
    b: Link[A, C],
    c: Link[A, D],
    d: Link[A, E],
    /,
    *,
    concurrency: int | None = ...,
    on_error: OnError = ...,
    name: str = ...,
) -> Flow[A, list[B | C | D | E]]: ...
@overload
def choose(
    select: Selector[A],
    /,
    *links: Link[A, B],
    concurrency: int | None = ...,
    on_error: OnError = ...,
    name: str = ...,
) -> Flow[A, list[B]]: ...
@told
def choose(
    select: Selector[Any],
    /,
    *links: Link[Any, Any],
    concurrency: int | None = None,
    on_error: OnError = "fail_fast",
    name: str = "choose",
) -> Flow[Any, Any]:
    """Run those links side by side that `select` names for the value, one or several; all are given the value.

    Their results are a list in the order of writing; those that were not chosen are absent. What was chosen is
    recorded; it is not asked again. `on_error` and `concurrency` as for `parallel`.
    """
    require("branches", "choose")
    checked = as_links(
        links,
        "choose",
        bad_predicate(select, "select"),
        bad_count(concurrency, "concurrency", optional=True),
        bad_choice(on_error, "on_error", get_args(OnError)),
        check_name(name, "name"),
    )
    return Flow(partial(_build_choose, select, checked, (Join(on_error=on_error), concurrency or 0)), name=name)


def _build_choose(select: Selector[Any], links: tuple[Built, ...], side: tuple[Join, int], place: Place) -> Choose:
    given = place.given.single(place)
    arms = build_links(links, place, One(given))
    input_type = common_input(tuple(arm.input_type for arm in arms), place)
    asked = predicate_at(select, place, given if known(given) else input_type)
    return Choose(
        place.name,
        arms,
        condition=step_name(select),
        join=side[0],
        window=side[1],
        code=Chosen(asked, tuple(arm.name for arm in arms)),
        input_type=input_type,
        output_type=list_of(union(arm.output_type for arm in arms)),
    )
