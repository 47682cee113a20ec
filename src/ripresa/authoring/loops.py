"""Loops: one link again and again, with an accumulator; every one is bounded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, overload

from typing_extensions import TypeVar

from ..core.calling import told
from ..core.items import Items
from ..core.nodes.loop import Loop, Over
from ..errors import InvalidValue
from .encoding import encode
from .fit import fits, is_list, item_type, known, list_of, named
from .flow import Built, Flow, Link, as_links, build_link
from .options import bad_count, bad_int, bad_predicate, check_name
from .place import One, Place, Several
from .questions import predicate_at, watched
from .switches import require

A = TypeVar("A")
B = TypeVar("B")

Predicate = Callable[[Any], object]


@overload
def repeat(body: Link[A, A], /, *, until: Callable[[A], bool], at_most: int, name: str = ...) -> Flow[A, A]: ...
@overload
def repeat(body: Link[A, A], /, *, while_: Callable[[A], bool], at_most: int, name: str = ...) -> Flow[A, A]: ...
@told
def repeat(
    body: Link[Any, Any],
    /,
    *,
    until: Callable[[Any], bool] | None = None,
    while_: Callable[[Any], bool] | None = None,
    at_most: int,
    name: str = "repeat",
) -> Flow[Any, Any]:
    """Give a link its own result again, at most `at_most` times.

    `until` is asked after each time and ends the loop when it holds, `while_` before each time and ends it when it
    does not. The last result is the loop's; why it ended is recorded.
    """
    require("loops", "repeat")
    both_or_none = (until is None) == (while_ is None)
    (link,) = as_links(
        (body,),
        "repeat",
        "either until or while_ must be given" if both_or_none else None,
        _bad_end(until),
        bad_predicate(while_, "while_") if while_ is not None else None,
        bad_count(at_most, "at_most"),
        check_name(name, "name"),
    )
    return Flow(partial(_build_repeat, link, Turning(until, while_, at_most)), name=name)


def _bad_end(until: object) -> str | None:
    return None if until is None else bad_predicate(until, "until")


@dataclass(frozen=True, slots=True)
class Turning:
    """What ends a loop before its collection does."""

    until: Predicate | None = None
    while_: Predicate | None = None
    at_most: int = 0

    def options(self, place: Place, given: Any) -> dict[str, Any]:
        """The loop node's options that follow from it, and its code."""
        predicate = self.until or self.while_
        return {
            "before": self.while_ is not None,
            "after": self.until is not None,
            "at_most": self.at_most,
            "code": predicate and predicate_at(predicate, place, given),
        }


def _build_repeat(link: Built, turning: Turning, place: Place) -> Loop:
    body = build_link(link, place.inner(link.name, One(place.given.single(place))))
    _check_again(body.output_type, body.input_type, place)
    kind = body.input_type if known(body.input_type) else body.output_type
    loop = Loop(
        place.name,
        body,
        over=Over("condition"),
        input_type=body.input_type,
        output_type=kind,
        **turning.options(place, kind),
    )
    loop.watches = watched(turning.until, turning.while_)
    return loop


def _check_again(given: Any, wanted: Any, place: Place) -> None:
    """What an iteration returns is what the next is given."""
    if not fits(given, wanted):
        place.mismatch(f"its body returns {named(given)}, but takes {named(wanted)} when it runs again")


@overload
def fold(
    body: Callable[[B, A], Awaitable[B]], start: B, /, *, until: Callable[[B], bool] | None = ..., name: str = ...
) -> Flow[Items[A], B]: ...
@overload
def fold(
    body: Callable[[B, A, int], Awaitable[B]],
    start: B,
    /,
    *,
    with_index: Literal[True],
    until: Callable[[B], bool] | None = ...,
    name: str = ...,
) -> Flow[Items[A], B]: ...
@told
def fold(
    body: Callable[..., Awaitable[Any]],
    start: Any,
    /,
    *,
    with_index: bool = False,
    until: Callable[[Any], bool] | None = None,
    name: str = "fold",
) -> Flow[Any, Any]:
    """Go over a list with an accumulator: `body(accumulator, item)`, beginning with `start`; the last one is returned.

    `with_index` gives the body the index as a third argument. `until` is asked about each new accumulator and ends
    the loop when it holds.
    """
    require("loops", "fold")
    (link,) = as_links((body,), "fold", _bad_end(until), check_name(name, "name"))
    return Flow(partial(_build_fold, link, Start(start, with_index), Turning(until)), name=name)


@dataclass(frozen=True, slots=True)
class Start:
    """What a fold begins with."""

    value: Any
    indexed: bool

    def encode(self, kind: Any, place: Place) -> bytes:
        """As the first accumulator; notes if it is none."""
        try:
            return encode(self.value, kind, where=place.path)
        except InvalidValue as error:
            place.mismatch(f"start is {self.value!r}, no {named(kind)}: {error.message}")
            return b"null"


def _build_fold(link: Built, start: Start, turning: Turning, place: Place) -> Loop:
    given = place.given.single(place)
    if not is_list(given):
        place.mismatch(f"takes a list, is given {named(given)}")
        given = Any
    kinds = (Any, item_type(given), *((int,) if start.indexed else ()))
    body = build_link(link, place.inner(link.name, Several(kinds)))
    kind, item = _accumulator(body, place)
    over = Over("items", start=start.encode(kind, place), indexed=start.indexed)
    return Loop(
        place.name,
        body,
        over=over,
        input_type=list_of(item),
        output_type=kind,
        **turning.options(place, kind),
    )


def _accumulator(body: Any, place: Place) -> tuple[Any, Any]:
    """The types of the accumulator and of the item that a body takes."""
    wanted, item = (*getattr(body.input_type, "__args__", ()), Any, Any)[:2]
    _check_again(body.output_type, wanted, place)
    return (wanted if known(wanted) else body.output_type), item


@told
def for_range(
    body: Callable[[B, int], Awaitable[B]],
    start: int,
    end: int,
    step: int = 1,
    /,
    *,
    until: Callable[[B], bool] | None = None,
    name: str = "for_range",
) -> Flow[B, B]:
    """`body(accumulator, number)` for the numbers from `start` to before `end` by `step`.

    The input is the first accumulator; the last one is returned. `until` is asked about each new one and ends the loop
    when it holds.
    """
    require("loops", "for_range")
    (link,) = as_links(
        (body,),
        "for_range",
        bad_int(start, "start"),
        bad_int(end, "end"),
        bad_int(step, "step") or ("step is 0, must lead from start to end" if step == 0 else None),
        _bad_end(until),
        check_name(name, "name"),
    )
    over = Over("range", first=start, last=end, step=step)
    return Flow(partial(_build_range, link, over, Turning(until)), name=name)


def _build_range(link: Built, over: Over, turning: Turning, place: Place) -> Loop:
    given = place.given.single(place)
    body = build_link(link, place.inner(link.name, Several((given, int))))
    kind, _ = _accumulator(body, place)
    return Loop(place.name, body, over=over, input_type=kind, output_type=kind, **turning.options(place, kind))
