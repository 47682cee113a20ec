"""Feature flags inside durable functions: what one asks for is held to the settings of the app that drives its run.

Law: what was asked for and what was refused is recorded, and stands: in replay no flag is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from ..authoring.call import Pending
from ..authoring.flow import Runnable
from ..authoring.registry import kind_of
from ..authoring.step import Step
from ..authoring.switches import features_in, to_true
from ..errors import RipresaError
from ..requested import AskPeople, Gather, MapOver, Race, Saga, Sleep, WaitFor
from .sides import close_units

_FEATURES: Final[dict[type[Any], tuple[str, ...]]] = {
    Sleep: ("waits",),
    WaitFor: ("waits",),
    AskPeople: ("waits", "approvals"),
    Gather: ("parallel",),
    Race: ("parallel",),
    MapOver: ("maps",),
    Saga: ("sagas",),
}
"""The features that requests of durable functions belong to."""


def used_of(off: frozenset[str], request: object) -> str:
    """The features that a function asks for though they are switched off; empty if it may ask for all of it."""
    return ", ".join(sorted(off.intersection((*_FEATURES.get(type(request), ()), *_called(request)))))


def refused(request: object, used: str) -> RipresaError:
    """The error for a function that asks for these features."""
    if isinstance(request, Gather | Race):
        close_units(request.awaitables)
    return RipresaError(
        f"a durable function asks for {used}, which this app has switched off",
        code="invalid_state",
        op="features",
        hint=to_true(used.split(", ")),
    )


def _called(request: object) -> Iterator[str]:
    """The features of what it calls."""
    match request:
        case Pending():
            yield from _of(request.callee)
        case Gather() | Race():
            for each in request.awaitables:
                yield from _called(each)
        case MapOver():
            yield from _of(request.link)
        case _:
            pass


def _of(callee: Any) -> Iterator[str]:
    if isinstance(callee, Step):
        yield from ("hooks",) if callee.options.hooks else ()
    elif isinstance(callee, Runnable):
        flow = cast("Runnable[..., Any]", callee)
        yield from features_in(flow.node)
        yield from ("chains",) if kind_of(cast("Any", flow)) == "chain" else ()
