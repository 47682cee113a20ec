"""Replay: the facts of a journal lead to the same state, or the event that does not fit is named."""

from collections.abc import Callable

import pytest

from ripresa.core.codec import encode_state
from ripresa.core.definition import Definition
from ripresa.core.events import (
    Event,
    Recorded,
    RunCompleted,
    RunStarted,
    StepCompleted,
    StepScheduled,
    TerminateRequested,
)
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.map import Map
from ripresa.core.replay import is_fact, replay, steps
from ripresa.core.state import RunState
from ripresa.errors import Nondeterminism, StoreError

from .play import START, Play, call, calls, define


def finished() -> Play:
    play = Play(define(*calls("a b")))
    play.start()
    play.done("a", b"1")
    play.done("b", b"2")
    return play


def numbered(events: list[Event]) -> list[Recorded]:
    return [Recorded("r", seq, START, event) for seq, event in enumerate(events, 1)]


def replayed(events: list[Event], definition: Definition | None = None) -> RunState:
    return replay(RunState(definition or define(*calls("a b"))), numbered(events))


def test_a_journal_leads_to_the_state_that_wrote_it() -> None:
    play = finished()
    assert encode_state(replay(RunState(play.definition), play.journal)) == encode_state(play.state)


def test_a_journal_may_be_replayed_in_parts() -> None:
    play = finished()
    for cut in (2, 4):
        state = replay(RunState(play.definition), play.journal[:cut])
        assert encode_state(replay(state, play.journal[cut:])) == encode_state(play.state)


def test_nothing_leads_to_nothing() -> None:
    assert replay(RunState(define(call("a"))), []).seq == 0
    assert list(steps([])) == []


def test_facts_come_with_what_followed_from_them() -> None:
    play = finished()
    assert [(fact.event, [item.event for item in then]) for fact, then in steps(play.journal)][1:] == [
        (StepCompleted(START, "a", 1, b"1"), [StepScheduled("b", 1)]),
        (StepCompleted(START, "b", 1, b"2"), [RunCompleted(b"2")]),
    ]
    assert [is_fact(event) for event in play.events] == [True, False, True, False, True, False]


def test_values_are_compared_as_they_read() -> None:
    play = Play(define(Map("m", call("s"), join=Join())))
    play.start(b"[1]")
    play.answer("", b"1")
    play.done("s[0]", b"2")
    assert play.events[-1] == RunCompleted((b"2",))
    replayed([*play.events[:-1], RunCompleted(b"[2]")], play.definition)


Change = Callable[[list[Event]], list[Event]]


@pytest.mark.parametrize(
    ("change", "message", "where"),
    [
        (
            lambda events: [*events[:3], StepScheduled("c", 1), *events[4:]],
            r"after event 3 \(StepCompleted\) the journal of run 'r' has StepScheduled\(path='c', attempt=1\), "
            r"but the engine now decides StepScheduled\(path='b', attempt=1\)",
            "c",
        ),
        (
            lambda events: [*events[:3], *events[3:4], StepScheduled("c", 1)],
            r"after event 3 .* has StepScheduled\(path='c', attempt=1\), but the engine now decides None",
            "c",
        ),
        (
            lambda events: events[:5],
            r"after event 5 .* has None, but the engine now decides RunCompleted\(output=b'2'\)",
            "",
        ),
        (
            lambda events: [*events, StepCompleted(START, "b", 1, b"2")],
            r"has event 7, StepCompleted\(.*path='b'.*, which the engine does not wait for",
            "b",
        ),
        (
            lambda events: [*events, TerminateRequested(START)],
            r"has event 7, TerminateRequested\(.*, which the engine does not wait for",
            "",
        ),
        (
            lambda events: [*events[:2], RunStarted(START, "r", "w", "1", "", b"1", 7)],
            r"has event 3, RunStarted\(.*, which the engine does not wait for",
            "",
        ),
    ],
)
def test_a_difference_is_named(change: Change, message: str, where: str) -> None:
    with pytest.raises(Nondeterminism, match=message) as caught:
        replayed(change(finished().events))
    assert (caught.value.code, caught.value.where, caught.value.op) == ("nondeterminism", where, "replay")


def test_another_definition_is_found_out() -> None:
    with pytest.raises(Nondeterminism, match=r"but the engine now decides StepScheduled\(path='x', attempt=1\)"):
        replayed(finished().events, define(*calls("x b")))


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_gap_in_a_journal_is_found_out(cut: int) -> None:
    play = finished()
    with pytest.raises(StoreError, match="where event") as caught:
        replay(RunState(play.definition), play.journal[:cut] + play.journal[cut + 2 :])
    assert caught.value.code == "store_corrupt"
