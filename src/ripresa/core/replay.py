"""Replay: from a journal to the state of its run, feeding the facts and comparing the consequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, get_args

from ..errors import IllegalTransition, Nondeterminism, StoreError
from .advance import advance
from .codec import encode_events
from .events import Consequence, Event, Fact, Recorded
from .state import RunState

FACTS: Final = get_args(Fact)
_HINT: Final = (
    "the workflow decides otherwise than when the run was recorded; restore its definition or start a new run"
)


def is_fact(event: Event) -> bool:
    """Whether an event came from outside (else it follows from those that did)."""
    return isinstance(event, FACTS)


def replay(state: RunState, journal: Iterable[Recorded]) -> RunState:
    """Bring a state up to the end of a journal.

    Raises `Nondeterminism` where the engine decides otherwise than was recorded, naming the event.
    """
    for fact, recorded in steps(journal):
        feed(state, fact, recorded)
    return state


def steps(journal: Iterable[Recorded]) -> Iterator[tuple[Recorded, list[Recorded]]]:
    """The journal as facts, each with the consequences recorded after it."""
    fact: Recorded | None = None
    consequences: list[Recorded] = []
    for recorded in journal:
        if not is_fact(recorded.event):
            consequences.append(recorded)
            continue
        if fact is not None:
            yield fact, consequences
        fact, consequences = recorded, []
    if fact is not None:
        yield fact, consequences


def feed(state: RunState, fact: Recorded, recorded: list[Recorded]) -> None:
    """Advance by one recorded fact and compare what follows with what was recorded."""
    if fact.seq != state.seq + 1:
        raise StoreError(
            f"the journal of run {state.run!r} has event {fact.seq} where event {state.seq + 1} belongs",
            code="store_corrupt",
            op="replay",
        )
    try:
        consequences, _ = advance(state, fact.event)  # type: ignore[arg-type]
    except IllegalTransition as error:
        raise _refused(state, fact) from error
    if state.seq < fact.seq:
        raise _refused(state, fact)
    expected = [item.event for item in recorded]
    if consequences != expected and encode_events(consequences) != encode_events(expected):
        raise _difference(state, fact, consequences, recorded)


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
    for index, now in enumerate(consequences):
        then = recorded[index].event if index < len(recorded) else None
        if then is None or encode_events([now]) != encode_events([then]):
            break
    else:
        index, now = len(consequences), None  # type: ignore[assignment]
        then = recorded[index].event
    where = getattr(then, "path", "") or getattr(now, "path", "")
    return Nondeterminism(
        f"after event {fact.seq} ({type(fact.event).__name__}) the journal of run {state.run!r} has "
        f"{then!r}, but the engine now decides {now!r}",
        op="replay",
        where=where,
        hint=_HINT,
    )
