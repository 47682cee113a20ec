"""The events of a fan-out by branch: each branch's own in order, and the one summary of all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

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
    started: dict[str, FanOutStarted] = {}
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
            started[event.path] = event
            summaries.pop(event.path, None)
        elif isinstance(event, FanOutEnded):
            summaries[event.path] = event
        for path, branches in found.items():
            name = _branch_of(getattr(event, "path", ""), started[path])
            if name:
                branches.setdefault(name, []).append(recorded)
    told: dict[str, FanOutEvents] = {}
    for path, branches in found.items():
        kept = {name: tuple(items) for name, items in branches.items()}
        told[path] = FanOutEvents(path, kept, summaries.get(path), run, session, parent, enclosing(path))
    return told


def _branch_of(path: str, fan_out: FanOutStarted) -> str:
    """The branch of a fan-out that a path lies in; empty if it lies outside. In paths a body shows as `()`."""
    if fan_out.branches:
        return _branch_beside(path, fan_out)
    prefix = fan_out.path
    while prefix.endswith("()"):
        prefix = prefix.removesuffix("()")
    prefix = f"{prefix}/" if prefix else ""
    below = path.removeprefix(prefix) if path.startswith(prefix) and path != fan_out.path else ""
    return below.partition("/")[0].removesuffix("()").removesuffix("?")


def _branch_beside(path: str, fan_out: FanOutStarted) -> str:
    """The same where the branches lie beside it: by how their paths begin."""
    scope = enclosing(fan_out.path)
    prefix = f"{scope}/" if scope else ""
    first = path.removeprefix(prefix).partition("/")[0].removesuffix("()") if path.startswith(prefix) else ""
    if first in fan_out.branches:
        return first
    for mark in _MARKS.finditer(first):
        if first[: mark.end()] in fan_out.branches:
            end = mark.start() if mark[0] == "." else first.index("]", mark.start()) + 1
            return first[:end]
    return ""


_MARKS: Final = re.compile(r"[.\[]")
"""What the beginnings of the paths of a coroutine end with, and those of the items of a map."""
