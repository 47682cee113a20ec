"""Replay: from a journal to the state of its run, feeding the facts and comparing the consequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
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
    seq = 0
    for recorded in journal:
        _check_place(recorded, seq + 1 if seq else recorded.seq)
        seq = recorded.seq
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
