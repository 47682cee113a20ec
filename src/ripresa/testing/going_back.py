"""Rollbacks in a simulation: where one leads, what is recorded with it, and what has happened there and stays so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..core import gates
from ..core.advance import advance
from ..core.commands import Intercept
from ..core.events import (
    Event,
    Fact,
    Intercepted,
    Recorded,
    Requested,
    RequestRefused,
    RolledBack,
    RunReopened,
    RunTaken,
    StepCompleted,
    StreamAdvanced,
)
from ..core.nodes.child import begun_after
from ..core.places import find_place
from ..core.replay import lineage, next_generation
from ..core.requested import ROLLBACK
from ..core.state import RunState
from .interceptors import Interceptor

GO_BACK: Final = "rollback:"
"""What a request for it begins with; the place follows, a step or the number of an event."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a run goes back to, what is recorded before that, and whether interceptors let it."""

    to: int
    before: tuple[Event, ...]
    open: bool


def way_back(state: RunState, journal: Sequence[Recorded], place: str, taken: RunTaken, asked: Interceptor) -> Way:
    """Take the run over and ask the interceptors, which advances the state. Raises `RipresaError(no_such_place)`."""
    to = find_place(journal, place)
    before: list[Event] = []

    def carry(fact: Fact) -> None:
        before.extend((fact, *advance(state, fact)[0]))

    carry(taken)
    if gates.stands_at_root(state, ROLLBACK):
        key = f"!{state.seq + 1}"
        carry(Requested(taken.at, ROLLBACK, place, number=to))
        answer = asked(Intercept(key, ROLLBACK), state.gates[key])
        carry(answer)
        if answer.answer == "redirect":
            to = find_place(journal, answer.detail)
    return Way(to, tuple(before), not any(isinstance(event, RequestRefused) for event in before))


def turn(journal: Sequence[Recorded], way: Way, there: RunState, taken: RunTaken) -> RolledBack:
    """The fact by which the run goes on from `there`, where it stood at the place."""
    children = begun_after(lineage(journal), there.children)
    since, generation = len(journal) + len(way.before), next_generation(journal)
    return RolledBack(
        taken.at,
        way.to,
        since,
        generation,
        taken.epoch,
        "simulated",
        children=tuple(children),
        closes=tuple(children.values()),
    )


def finished_in(line: Iterable[Recorded]) -> tuple[set[str], set[tuple[str, int]]]:
    """The steps that have ended in a line, and the batches of streams that were acknowledged: none of it runs again.

    What came before the run was reopened does not count, since that may have begun it anew.
    """
    steps: set[str] = set()
    batches: set[tuple[str, int]] = set()
    for recorded in line:
        match recorded.event:
            case RunReopened():
                steps, batches = set(), set()
            case StepCompleted(path=path):
                steps.add(path)
            case Intercepted(path=path, answer="again"):
                steps.discard(path)
            case StreamAdvanced(path=path, batch=batch):
                batches.add((path, batch))
            case _:
                pass
    return steps, batches
