"""The events of a fan-out by branch: each branch's own in order, and the one summary of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .events import FanOutEnded, FanOutStarted, Recorded, RunStarted, SessionEntered
from .points import enclosing


@dataclass(frozen=True, slots=True)
class FanOutEvents:
    """What happened in a fan-out: by branch, in the order of the journal; `summary` once all branches have ended."""

    path: str
    branches: dict[str, tuple[Recorded, ...]]
    """By the last part of the branch's path: `fetch[0]`, `left`."""
    summary: FanOutEnded | None
    run: str = ""
    session: str = ""
    """The session of the run, if it has one."""
    parent: str = ""
    """The run that started this one, if a run did."""
    within: str = ""
    """The path of the scope that the fan-out is in."""


def fan_outs(journal: Iterable[Recorded]) -> dict[str, FanOutEvents]:
    """The fan-outs of a run by path, in the order in which they began; one inside another is in both."""
    found: dict[str, dict[str, list[Recorded]]] = {}
    summaries: dict[str, FanOutEnded] = {}
    run, session, parent = "", "", ""
    for recorded in journal:
        event = recorded.event
        if isinstance(event, RunStarted):
            run, session, parent = event.run, event.session, event.parent
        elif isinstance(event, SessionEntered):
            session = event.session
        elif isinstance(event, FanOutStarted):
            found.setdefault(event.path, {})
            summaries.pop(event.path, None)
        elif isinstance(event, FanOutEnded):
            summaries[event.path] = event
        for path, branches in found.items():
            name = _branch_of(getattr(event, "path", ""), path)
            if name:
                branches.setdefault(name, []).append(recorded)
    told: dict[str, FanOutEvents] = {}
    for path, branches in found.items():
        kept = {name: tuple(items) for name, items in branches.items()}
        told[path] = FanOutEvents(path, kept, summaries.get(path), run, session, parent, enclosing(path))
    return told


def _branch_of(path: str, fan_out: str) -> str:
    """The branch of a fan-out that a path lies in; empty if it lies outside. In paths a body shows as `()`."""
    prefix = fan_out
    while prefix.endswith("()"):
        prefix = prefix.removesuffix("()")
    prefix = f"{prefix}/" if prefix else ""
    below = path.removeprefix(prefix) if path.startswith(prefix) and path != fan_out else ""
    return below.partition("/")[0].removesuffix("()")
