"""Feature flags where workflows are written: a factory of what is switched off there makes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ..context import switched_off
from ..core.nodes.node import Node
from ..errors import RipresaError

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "graphs": ("graph",),
    "workflows": ("dynamic",),
    "parallel": ("parallel",),
    "maps": ("map",),
    "branches": ("branch", "choose"),
    "loops": ("loop",),
    "fallbacks": ("fallback",),
    "routers": ("router",),
    "streams": ("stream",),
    "waits": ("wait", "delay", "update", "serving"),
    "state": ("stateful",),
    "sagas": ("saga",),
    "approvals": ("approval", "approved"),
}
"""The kinds of nodes that each feature is about; chains, sessions, hooks, speculation are looked at by themselves."""

_FEATURES: Final = {kind: feature for feature, kinds in KINDS.items() for kind in kinds}


def require(feature: str, op: str) -> None:
    """Raise `RipresaError(invalid_state)` if the settings in force have switched this feature off."""
    if feature in switched_off():
        raise RipresaError(
            f"{op} belongs to {feature}, which the settings in force have switched off",
            code="invalid_state",
            op=op,
            hint=f"set features.{feature} to true",
        )


def features_in(node: Node[Any]) -> Iterator[str]:
    """The features that a node and those below it use, some of them more than once."""
    if node.kind in _FEATURES:
        yield _FEATURES[node.kind]
    if node.feature:
        yield node.feature
    if node.hooks:
        yield "hooks"
    for wire in getattr(node, "wires", ()):
        if wire.conditional:  # a gate of a graph
            yield "branches"
    for child in node.children:
        yield from features_in(child)


def to_true(features: Iterable[str]) -> str:
    """What to do about features that are off."""
    return "set features." + " and features.".join(sorted(features)) + " to true"
