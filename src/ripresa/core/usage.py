"""What a run has used so far, as its journal tells: the counts that limits are about."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from .events import (
    ArtifactSaved,
    CallRecorded,
    Event,
    Intercepted,
    IterationStarted,
    LimitReached,
    LimitsSet,
    Migrated,
    RunStarted,
    StepReused,
    StepScheduled,
    StreamAdvanced,
    UsageReported,
)
from .limits import NONE, Limits, decode_limits
from .values import text_of

TOLD: Final = ("artifacts", "sent", "statements", "children", "files")
"""What a run did beyond itself, as its view shows it."""


class Before(NamedTuple):
    """What a run had used before it was migrated: counts by the names of limits, steps begun, what else it had told."""

    counts: dict[str, float]
    begun: list[str]
    told: dict[str, Any]


def before(event: Migrated) -> Before:
    """What such an event says."""
    return Before(*json.loads(event.used)) if event.used else Before({}, [], {})


def told_before(event: Migrated) -> dict[str, Any]:
    """The same as the fields of a view: see `TOLD`."""
    counts, _, told = before(event)
    used = {"tokens": int(counts.get("tokens", 0)), "cost": counts.get("money", 0.0)}
    return {**used, "unpriced": int(counts.get("unpriced", 0)), **told}


class Usage:
    """Counts by the names of limits; `first` is the first attempt of each step that has begun."""

    def __init__(self) -> None:
        self.counts: dict[str, float] = {}
        self.first: dict[str, int] = {}

    def read(self, event: Event) -> None:
        """Take in one more event of a journal."""
        if isinstance(event, StepScheduled):
            self.begin(event.path, event.attempt, 1)
        elif isinstance(event, StepReused) or (isinstance(event, LimitReached) and event.path):  # it did not run
            self.begin(event.path, event.attempt, -1)
        elif isinstance(event, Migrated):
            had = before(event)
            self.counts.update(had.counts)
            self.first.update(dict.fromkeys(had.begun, 0))
        self.note(event)

    def begin(self, path: str, attempt: int, sign: int) -> None:
        """An attempt begins (or, with -1, does not after all)."""
        self.add("operations", sign)
        if sign > 0 and path not in self.first:
            self.first[path] = attempt
            self.add("steps", 1)
        elif sign < 0 and self.first.get(path) == attempt:
            del self.first[path]
            self.add("steps", -1)

    def note(self, event: Event) -> None:
        """Count what an event says was used, beside attempts."""
        for name, amount in spent(event):
            self.add(name, amount)

    def add(self, name: str, amount: float) -> None:
        """Count so much more."""
        self.counts[name] = self.counts.get(name, 0) + amount


def spent(event: Event) -> tuple[tuple[str, float], ...]:
    """What an event says was used."""
    if isinstance(event, UsageReported):
        used = ("tokens", float(event.tokens)), ("money", event.cost)
        return (*used, ("unpriced", float(event.unpriced))) if event.unpriced else used
    if isinstance(event, ArtifactSaved):
        return (("storage", event.size),)
    if isinstance(event, CallRecorded):
        return (("operations", 1),)
    if isinstance(event, IterationStarted):
        return (("iterations", 1),)
    if isinstance(event, StreamAdvanced) and not event.ended:
        return (("operations", event.group),)
    return ()


def other_limits(event: Event) -> str:
    """The limits that an event gives the run instead of its own, as JSON; empty if it does not."""
    if isinstance(event, LimitsSet):
        return event.limits
    if isinstance(event, Intercepted) and event.point == "limit" and event.answer == "replace":
        return text_of(event.value).decode()
    return ""


def used_in(line: Iterable[Event]) -> tuple[Limits, dict[str, float]]:
    """The limits that a run has by the end of a line of its journal, and what is used of them."""
    limits, usage = NONE, Usage()
    for event in line:
        usage.read(event)
        text = event.limits if isinstance(event, RunStarted) else other_limits(event)
        if text:
            limits = decode_limits(text)
    return limits, usage.counts
