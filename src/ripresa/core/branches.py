"""The events of a fan-out by branch: each branch's own in order, and the one summary of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .events import FanOutEnded, FanOutStarted, Recorded


@dataclass(frozen=True, slots=True)
class FanOutEvents:
    """What happened in a fan-out: by branch, in the order of the journal; `summary` once all branches have ended."""

    path: str
    branches: dict[str, tuple[Recorded, ...]]
    """By the last part of the branch's path: `fetch[0]`, `left`."""
    summary: FanOutEnded | None


def fan_outs(journal: Iterable[Recorded]) -> dict[str, FanOutEvents]:
    """The fan-outs of a run by path, in the order in which they began; one inside another is in both."""
    found: dict[str, dict[str, list[Recorded]]] = {}
    summaries: dict[str, FanOutEnded] = {}
    for recorded in journal:
        event = recorded.event
        if isinstance(event, FanOutStarted):
            found.setdefault(event.path, {})
            summaries.pop(event.path, None)
        elif isinstance(event, FanOutEnded):
            summaries[event.path] = event
        for path, branches in found.items():
            name = _branch_of(getattr(event, "path", ""), path)
            if name:
                branches.setdefault(name, []).append(recorded)
    return {
        path: FanOutEvents(path, {name: tuple(items) for name, items in branches.items()}, summaries.get(path))
        for path, branches in found.items()
    }


def _branch_of(path: str, fan_out: str) -> str:
    """The branch of a fan-out that a path lies in; empty if it lies outside. In paths a body shows as `()`."""
    prefix = fan_out
    while prefix.endswith("()"):
        prefix = prefix.removesuffix("()")
    prefix = f"{prefix}/" if prefix else ""
    below = path.removeprefix(prefix) if path.startswith(prefix) and path != fan_out else ""
    return below.partition("/")[0].removesuffix("()")
