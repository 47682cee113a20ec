"""Patterns that are one node each: side by side, per item, one instead of another, later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Generic, Literal, TypeAlias, cast, get_args, overload

from typing_extensions import TypeVar, TypeVarTuple

from ..core.calling import told
from ..core.durations import Duration, microseconds
from ..core.items import Items
from ..core.nodes.delay import Delay
from ..core.nodes.fallback import Fallback
from ..core.nodes.join import Join
from ..core.nodes.map import Map
from ..core.nodes.node import Node
from ..core.nodes.parallel import Parallel as ParallelNode
from ..core.retry import type_key
from .call import Call
from .chain import Chain
from .fit import is_list, item_type, known, list_of, named, narrowest, tuple_of, union
from .flow import Built, Flow, Link, as_links, build_link, build_links
from .options import bad_choice, bad_count, check_name
from .place import One, Place, Several
from .switches import require

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")
A_contra = TypeVar("A_contra", contravariant=True)

OnError: TypeAlias = Literal["fail_fast", "fail_slow"]
"""What a failing branch means: the others are stopped at once, or let end before the whole fails."""

Failing: TypeAlias = type[Exception] | tuple[type[Exception], ...]
"""Which failures count: exceptions of these types."""


def common_input(kinds: tuple[Any, ...], place: Place) -> Any:
    """The type that all of several takers take. Notes if there is none."""
    kind = narrowest(kinds)
    if kind is None:
        given = place.given.single(place)
        if not known(given):  # else each taker has said what does not fit
            place.mismatch(f"all are given the same value, but take {', '.join(map(named, dict.fromkeys(kinds)))}")
        return given
    return kind


# --- per item


@overload
def map_each(
    link: Link[A, B], /, *, concurrency: int | None = ..., on_error: OnError = ..., name: str = ...
) -> Flow[Items[A], list[B]]: ...
@overload
def map_each(
    link: Link[A, B], /, *, concurrency: int | None = ..., on_error: Literal["best_effort"], name: str = ...
) -> Flow[Items[A], list[B | None]]: ...
@told
def map_each(
    link: Link[Any, Any],
    /,
    *,
    concurrency: int | None = None,
    on_error: OnError | Literal["best_effort"] = "fail_fast",
    name: str = "map_each",
) -> Flow[Any, Any]:
    """Run a link for every item of a list, side by side; results in the order of the items.

    At most `concurrency` at a time (256 without a word). `on_error`: `fail_fast` stops the others at the first
    failure, `fail_slow` lets them end first, `best_effort` puts None in the place of what failed.
    """
    require("maps", "map_each")
    (body,) = as_links(
        (link,),
        "map_each",
        bad_count(concurrency, "concurrency", optional=True),
        bad_choice(on_error, "on_error", (*get_args(OnError), "best_effort")),
        check_name(name, "name"),
    )
    return Flow(partial(_build_map, body, on_error, concurrency or 0), name=name)


def _build_map(link: Built, on_error: str, window: int, place: Place) -> Map:
    given = place.given.single(place)
    if not is_list(given):
        place.mismatch(f"takes a list, is given {named(given)}")
        given = Any
    body = build_link(link, place.inner(link.name, One(item_type(given))))
    result: Any = union((body.output_type, None)) if on_error == "best_effort" else body.output_type
    return Map(
        place.name,
        body,
        join=Join(on_error=on_error),
        window=window,
        input_type=list_of(body.input_type),
        output_type=list_of(result),
    )


# --- side by side


class Parallel(Flow[A_contra, tuple[*Ts]], Generic[A_contra, *Ts]):
    """Branches side by side; their results as a tuple, or spread over the parameters of what comes next."""

    def into(self, link: Callable[[*Ts], Awaitable[R]], /) -> Chain[A_contra, R]:
        """Spread the results over the parameters of the next step."""
        (last,) = as_links((link,), "into")
        return Chain((self, Spreading(last)), name="chain")


@dataclass(frozen=True, slots=True)
class Spreading:
    """A link that is given the items of a tuple as its first arguments."""

    link: Built

    @property
    def name(self) -> str:
        """The name of the link."""
        return self.link.name

    def build(self, place: Place) -> Node[Any]:
        """See `flow.Part`."""
        kinds = get_args(place.given.single(place))
        return build_link(self.link, replace(place, given=Several(kinds)))


@dataclass(frozen=True, slots=True)
class Side:
    """How branches that stand side by side are joined, and what comes out."""

    join: Join
    window: int
    single: bool = False
    result: Literal["tuple", "list", "one"] = "tuple"

    def output_type(self, kinds: tuple[Any, ...]) -> Any:
        """The type of the result of branches that return these types."""
        if self.result == "one":
            return union(kinds)
        if self.result == "list":
            return list_of(union(kinds))
        if self.join.on_error == "best_effort":
            kinds = tuple(union((kind, None)) for kind in kinds)
        return tuple_of(kinds)


def _build_side(links: tuple[Built, ...], side: Side, place: Place) -> ParallelNode:
    branches = build_links(links, place, One(place.given.single(place)))
    return ParallelNode(
        place.name,
        branches,
        join=side.join,
        window=side.window,
        single=side.single,
        input_type=common_input(tuple(branch.input_type for branch in branches), place),
        output_type=side.output_type(tuple(branch.output_type for branch in branches)),
    )


@overload
def parallel(
    a: Link[A, B], b: Link[A, C], /, *, concurrency: int | None = ..., on_error: OnError = ..., name: str = ...
) -> Parallel[A, B, C]: ...
@overload
def parallel(
    a: Link[A, B],
    b: Link[A, C],
    c: Link[A, D],
    /,
    *,
    concurrency: int | None = ...,
    on_error: OnError = ...,
    name: str = ...,
) -> Parallel[A, B, C, D]: ...
@overload
def parallel(
    a: Link[A, B],
    b: Link[A, C],
    c: Link[A, D],
    d: Link[A, E],
    /,
    *,
    concurrency: int | None = ...,
    on_error: OnError = ...,
    name: str = ...,
) -> Parallel[A, B, C, D, E]: ...
@overload
def parallel(
    a: Link[A, B],
    b: Link[A, C],
    c: Link[A, D],
    d: Link[A, E],
    e: Link[A, F],
    /,
    *,
    concurrency: int | None = ...,
    on_error: OnError = ...,
    name: str = ...,
) -> Parallel[A, B, C, D, E, F]: ...
@overload
def parallel(
    a: Link[A, B],
    b: Link[A, C],
    c: Link[A, D],
    d: Link[A, E],
    e: Link[A, F],
    f: Link[A, G],
    /,
    *,
    concurrency: int | None = ...,
    on_error: OnError = ...,
    name: str = ...,
) -> Parallel[A, B, C, D, E, F, G]: ...
@overload
def parallel(
    *links: Link[A, B], concurrency: int | None = ..., on_error: OnError = ..., name: str = ...
) -> Parallel[A, *tuple[B, ...]]: ...
@told
def parallel(
    *links: Link[Any, Any],
    concurrency: int | None = None,
    on_error: OnError = "fail_fast",
    name: str = "parallel",
) -> Any:
    """Run links side by side, all given the same value; their results as a tuple, in the order of writing.

    `concurrency` bounds how many run at a time. `on_error`: `fail_fast` stops the others at the first failure,
    `fail_slow` lets them end first.
    """
    require("parallel", "parallel")
    checked = as_links(
        links,
        "parallel",
        bad_count(concurrency, "concurrency", optional=True),
        bad_choice(on_error, "on_error", get_args(OnError)),
        check_name(name, "name"),
    )
    side = Side(Join(on_error=on_error), concurrency or 0)
    return Parallel[Any, Any](partial(_build_side, checked, side), name=name)


@overload
def best_effort(
    a: Link[A, B], b: Link[A, C], /, *, concurrency: int | None = ..., name: str = ...
) -> Parallel[A, B | None, C | None]: ...
@overload
def best_effort(
    a: Link[A, B], b: Link[A, C], c: Link[A, D], /, *, concurrency: int | None = ..., name: str = ...
) -> Parallel[A, B | None, C | None, D | None]: ...
@overload
def best_effort(
    a: Link[A, B], b: Link[A, C], c: Link[A, D], d: Link[A, E], /, *, concurrency: int | None = ..., name: str = ...
) -> Parallel[A, B | None, C | None, D | None, E | None]: ...
@overload
def best_effort(
    a: Link[A, B],
    b: Link[A, C],
    c: Link[A, D],
    d: Link[A, E],
    e: Link[A, F],
    /,
    *,
    concurrency: int | None = ...,
    name: str = ...,
) -> Parallel[A, B | None, C | None, D | None, E | None, F | None]: ...
@overload
def best_effort(
    a: Link[A, B],
    b: Link[A, C],
    c: Link[A, D],
    d: Link[A, E],
    e: Link[A, F],
    f: Link[A, G],
    /,
    *,
    concurrency: int | None = ...,
    name: str = ...,
) -> Parallel[A, B | None, C | None, D | None, E | None, F | None, G | None]: ...
@overload
def best_effort(
    *links: Link[A, B], concurrency: int | None = ..., name: str = ...
) -> Parallel[A, *tuple[B | None, ...]]: ...
@told
def best_effort(*links: Link[Any, Any], concurrency: int | None = None, name: str = "best_effort") -> Any:
    """Like `parallel`, but a failing branch stops nothing: None stands in its place."""
    require("parallel", "best_effort")
    checked = as_links(
        links, "best_effort", bad_count(concurrency, "concurrency", optional=True), check_name(name, "name")
    )
    side = Side(Join(on_error="best_effort"), concurrency or 0)
    return Parallel[Any, Any](partial(_build_side, checked, side), name=name)


@overload
def first_of(a: Link[A, B], b: Link[A, C], /, *, name: str = ...) -> Flow[A, B | C]: ...
@overload
def first_of(a: Link[A, B], b: Link[A, C], c: Link[A, D], /, *, name: str = ...) -> Flow[A, B | C | D]: ...
@overload
def first_of(
    a: Link[A, B], b: Link[A, C], c: Link[A, D], d: Link[A, E], /, *, name: str = ...
) -> Flow[A, B | C | D | E]: ...
@overload
def first_of(*links: Link[A, B], name: str = ...) -> Flow[A, B]: ...
@told
def first_of(*links: Link[Any, Any], name: str = "first_of") -> Flow[Any, Any]:
    """A race: the outcome of the first link to end, success or failure; the others are cancelled."""
    require("parallel", "first_of")
    side = Side(Join(any=True), 0, single=True, result="one")
    return Flow(partial(_build_side, as_links(links, "first_of", check_name(name, "name")), side), name=name)


@overload
def first_success(a: Link[A, B], b: Link[A, C], /, *, name: str = ...) -> Flow[A, B | C]: ...
@overload
def first_success(a: Link[A, B], b: Link[A, C], c: Link[A, D], /, *, name: str = ...) -> Flow[A, B | C | D]: ...
@overload
def first_success(
    a: Link[A, B], b: Link[A, C], c: Link[A, D], d: Link[A, E], /, *, name: str = ...
) -> Flow[A, B | C | D | E]: ...
@overload
def first_success(*links: Link[A, B], name: str = ...) -> Flow[A, B]: ...
@told
def first_success(*links: Link[Any, Any], name: str = "first_success") -> Flow[Any, Any]:
    """The result of the first link to succeed; the others are cancelled. Fails when all have failed."""
    require("parallel", "first_success")
    side = Side(Join(need=1), 0, single=True, result="one")
    return Flow(partial(_build_side, as_links(links, "first_success", check_name(name, "name")), side), name=name)


@overload
def n_of(k: int, a: Link[A, B], b: Link[A, C], /, *, name: str = ...) -> Flow[A, list[B | C]]: ...
@overload
def n_of(k: int, a: Link[A, B], b: Link[A, C], c: Link[A, D], /, *, name: str = ...) -> Flow[A, list[B | C | D]]: ...
@overload
def n_of(
    k: int, a: Link[A, B], b: Link[A, C], c: Link[A, D], d: Link[A, E], /, *, name: str = ...
) -> Flow[A, list[B | C | D | E]]: ...
@overload
def n_of(k: int, /, *links: Link[A, B], name: str = ...) -> Flow[A, list[B]]: ...
@told
def n_of(k: int, /, *links: Link[Any, Any], name: str = "n_of") -> Flow[Any, Any]:
    """The results of the first `k` links to succeed, in the order of writing; the others are cancelled."""
    require("parallel", "n_of")
    checked = as_links(links, "n_of", bad_count(k, "k", most=len(links) or None), check_name(name, "name"))
    side = Side(Join(need=k), 0, result="list")
    return Flow(partial(_build_side, checked, side), name=name)


# --- one instead of another


@overload
def fallback(a: Link[A, B], b: Link[A, C], /, *, on: Failing = ..., name: str = ...) -> Flow[A, B | C]: ...
@overload
def fallback(
    a: Link[A, B], b: Link[A, C], c: Link[A, D], /, *, on: Failing = ..., name: str = ...
) -> Flow[A, B | C | D]: ...
@overload
def fallback(
    a: Link[A, B], b: Link[A, C], c: Link[A, D], d: Link[A, E], /, *, on: Failing = ..., name: str = ...
) -> Flow[A, B | C | D | E]: ...
@overload
def fallback(*links: Link[A, B], on: Failing = ..., name: str = ...) -> Flow[A, B]: ...
@told
def fallback(*links: Link[Any, Any], on: Failing = Exception, name: str = "fallback") -> Flow[Any, Any]:
    """Try the first link; if it fails with an exception of type `on`, the next, given the same value; and so on."""
    require("fallbacks", "fallback")
    kinds = on if isinstance(on, tuple) else (on,)
    fine = len(kinds) > 0 and all(map(_is_failure, kinds))
    wrong = None if fine else f"on is {on!r}, must be exception types"
    checked = as_links(links, "fallback", wrong, check_name(name, "name"))
    counted = () if Exception in kinds else tuple(map(type_key, kinds))
    return Flow(partial(_build_fallback, checked, counted), name=name)


def fallback_on(links: tuple[Link[Any, Any], ...], on: tuple[str, ...], name: str) -> Flow[Any, Any]:
    """The same for exceptions that are named, as failures record them; any without a name."""
    require("fallbacks", "fallback")
    return Flow(partial(_build_fallback, as_links(links, "fallback", check_name(name, "name")), on), name=name)


def _is_failure(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)


def _build_fallback(links: tuple[Built, ...], on: tuple[str, ...], place: Place) -> Fallback:
    choices = build_links(links, place, One(place.given.single(place)))
    return Fallback(
        place.name,
        choices,
        on=on,
        input_type=common_input(tuple(choice.input_type for choice in choices), place),
        output_type=union(choice.output_type for choice in choices),
    )


# --- later


class Pause(Flow[Any, Any]):
    """A durable wait; what it is given it returns."""

    pauses: ClassVar[bool] = True

    def __call__(self, value: R, /) -> Call[R]:
        """See `Runnable`."""
        return cast("Call[R]", super().__call__(value))


@told
def delay(length: Duration, /, *, name: str = "delay") -> Pause:
    """Wait at least this long ("3 days", seconds, a `timedelta`), across restarts, and pass on what was given."""
    require("waits", "delay")
    return Pause(partial(_build_delay, microseconds(length, "length")), name=name)


def _build_delay(length: int, place: Place) -> Delay:
    node = Delay(place.name, length)
    node.input_type = node.output_type = place.given.single(place)
    return node
