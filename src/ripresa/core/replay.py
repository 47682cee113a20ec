"""Replay: from a journal to the state of its run, feeding the facts and comparing the consequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Final, get_args

from ..errors import IllegalTransition, Nondeterminism, StoreError
from .advance import advance
from .codec import encode_events
from .events import (
    Consequence,
    Event,
    Fact,
    Migrated,
    Recorded,
    Restarted,
    RolledBack,
    RunForked,
    RunReopened,
    RunStarted,
)
from .state import RunState

FACTS: Final = frozenset(get_args(Fact))
_TURNS: Final = frozenset((RolledBack, Migrated))
"""Where the line of a journal goes on from somewhere else."""
_HINT: Final = (
    "the workflow decides otherwise than when the run was recorded; restore its definition or start a new run"
)


def is_fact(event: Event) -> bool:
    """Whether an event came from outside (else it follows from those that did)."""
    return type(event) in FACTS


def replay(state: RunState, journal: Iterable[Recorded]) -> RunState:
    """Bring a state up to the end of a journal.

    Raises `Nondeterminism` where the engine decides otherwise than was recorded, naming the event.
    """
    for fact, recorded in steps(lineage(list(journal))):
        feed(state, fact, recorded)
    return state


def lineage(journal: Sequence[Recorded]) -> list[Recorded]:
    """The events that led to the end of a journal: without those that were rolled back, or of another definition.

    Raises `StoreError(store_corrupt)` for a gap, and where a rollback leads to before the beginning.
    """
    if not journal:
        return []
    first = journal[0].seq
    rolled_back = False
    for seq, recorded in enumerate(journal, first):
        if recorded.seq != seq:
            _check_place(recorded, seq)
        rolled_back = rolled_back or type(recorded.event) in _TURNS
    return _line(journal, first) if rolled_back else list(journal)


def _line(journal: Sequence[Recorded], first: int) -> list[Recorded]:
    found: list[Recorded] = []
    seq = journal[-1].seq
    while seq >= first:
        recorded = journal[seq - first]
        found.append(recorded)
        event = recorded.event
        if type(event) is Migrated:
            break
        if type(event) is RolledBack:
            if event.to < first - 1 or event.to >= seq:
                _check_place(recorded, event.to)
            seq = event.to
        else:
            seq -= 1
    found.reverse()
    return found


def next_generation(journal: Iterable[Recorded]) -> int:
    """The generation that a rollback at the end of this whole journal begins."""
    generation = 0
    for recorded in journal:
        event = recorded.event
        if isinstance(event, RunReopened | Restarted):
            generation += 1
        elif isinstance(event, RolledBack | RunForked | Migrated):
            generation = event.generation
    return generation + 1


def started_of(line: Sequence[Recorded]) -> RunStarted:
    """The fact that a line begins with, after a migration the one that follows it."""
    event = line[1].event if isinstance(line[0].event, Migrated) else line[0].event
    assert isinstance(event, RunStarted)
    return event


def began_at(line: Sequence[Recorded]) -> int:
    """When the run of a line began, in whatever version."""
    first = line[0].event
    return first.created_at if isinstance(first, Migrated) else line[0].at


def place_after(journal: Sequence[Recorded], seq: int) -> int:
    """The number of the last event that followed from the same fact as event `seq`, in a whole journal."""
    while seq < len(journal) and not is_fact(journal[seq].event):
        seq += 1
    return seq


def steps(line: Iterable[Recorded]) -> Iterator[tuple[Recorded, list[Recorded]]]:
    """The facts of a line (see `lineage`), each with the consequences recorded after it."""
    fact: Recorded | None = None
    consequences: list[Recorded] = []
    for recorded in line:
        if type(recorded.event) not in FACTS:
            consequences.append(recorded)
            continue
        if fact is not None:
            yield fact, consequences
        fact, consequences = recorded, []
    if fact is not None:
        yield fact, consequences


def feed(state: RunState, fact: Recorded, recorded: list[Recorded]) -> None:
    """Advance by one recorded fact and compare what follows with what was recorded."""
    if type(fact.event) not in _TURNS:
        _check_place(fact, state.seq + 1)
    try:
        consequences, _ = advance(state, fact.event)  # type: ignore[arg-type]
    except IllegalTransition as error:
        raise _refused(state, fact) from error
    if state.seq < fact.seq:
        raise _refused(state, fact)
    expected = [item.event for item in recorded]
    if consequences != expected and encode_events(consequences) != encode_events(expected):
        raise _difference(state, fact, consequences, recorded)


def _check_place(recorded: Recorded, seq: int) -> None:
    if recorded.seq != seq:
        message = f"the journal of run {recorded.run!r} has event {recorded.seq} where event {seq} belongs"
        raise StoreError(message, code="store_corrupt", op="replay")


def _refused(state: RunState, fact: Recorded) -> Nondeterminism:
    return Nondeterminism(
        f"the journal of run {state.run!r} has event {fact.seq}, {fact.event!r}, which the engine does not wait for",
        op="replay",
        where=getattr(fact.event, "path", ""),
        hint=_HINT,
    )


def _difference(
    state: RunState, fact: Recorded, consequences: list[Consequence], recorded: list[Recorded]
) -> Nondeterminism:
    then, now = next(
        (then and then.event, now)
        for then, now in zip_longest(recorded, consequences)
        if then is None or now is None or encode_events([now]) != encode_events([then.event])
    )
    where = getattr(then, "path", "") or getattr(now, "path", "")
    return Nondeterminism(
        f"after event {fact.seq} ({type(fact.event).__name__}) the journal of run {state.run!r} has "
        f"{then!r}, but the engine now decides {now!r}",
        op="replay",
        where=where,
        hint=_HINT,
    )
