"""Speculation: a slow link is begun again before the first copy has ended; the first success wins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

from typing_extensions import TypeVar

from ..core.calling import told
from ..core.durations import Duration, microseconds
from ..core.nodes.call import Call as CallNode
from ..core.nodes.node import Node
from .chain import Chain
from .check import walk
from .flow import Built, Flow, as_links, build_link
from .options import bad_count, check_name
from .patterns import delay, first_success
from .place import Place
from .step import Bound
from .switches import require

A = TypeVar("A")
B = TypeVar("B")

HARMLESS: Final = ("pure", "read")
"""The effects of steps that may run in several copies."""

FORESEEABLE: Final = frozenset(
    {"call", "sequence", "parallel", "map", "branch", "choose", "loop", "fallback", "router", "graph", "delay"}
)
"""The nodes whose steps are known before they run, and which take nothing from anybody (as a wait takes a signal)."""


@told
def speculate(
    link: Callable[[A], Awaitable[B]], /, *, after: Duration, copies: int = 2, name: str = "speculate"
) -> Flow[A, B]:
    """Run a link; where it takes longer than `after`, begin it again, up to `copies` at a time.

    The first success is the result, and the others are cancelled; it fails when all copies have failed. Only what
    changes nothing may run twice: steps with `effect="pure"` or `effect="read"`. Anything else, and whatever decides
    in the run what it calls (a durable function), is refused with `not_speculable` when this is written.
    """
    require("speculation", "speculate")
    (checked,) = as_links(
        (link,),
        "speculate",
        bad_count(copies, "copies") or ("copies is 1, must be at least 2" if copies == 1 else None),
        check_name(name, "name"),
    )
    later = microseconds(after, "after") / 1_000_000
    branches = (checked, *(_delayed(checked, later * number, number + 1) for number in range(1, copies)))
    return Flow(partial(_build, checked, first_success(*branches, name=name)), name=name)  # type: ignore[arg-type]


def _delayed(link: Built, wait: float, number: int) -> Chain[Any, Any]:
    return Chain((delay(wait), link), name=f"copy{number}")


def _build(link: Built, race: Flow[Any, Any], place: Place) -> Node[Any]:
    for where, why in _harms(build_link(link, place.inner(link.name, place.given))):
        place.inner(where, place.given).note(why, "not_speculable")
    node = race.build(place)
    node.feature = "speculation"
    return node


def _harms(node: Node[Any]) -> Iterator[tuple[str, str]]:
    """The nodes that must not run in several copies, and why."""
    for found in walk(node):
        if isinstance(found, CallNode) and isinstance(found.code, Bound):
            effect = found.code.step.options.effect
            if effect not in HARMLESS:
                yield found.name, f"has the effect {effect!r}; only pure and read steps may run in several copies"
        elif found.kind not in FORESEEABLE:
            yield found.name, f"is a {found.kind}: what it does cannot be known before it runs"
