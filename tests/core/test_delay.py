"""Delays: durable timers that return what they were given."""

import pytest

from ripresa.core.commands import ClearTimer, SetTimer
from ripresa.core.events import (
    NodeCancelled,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunReopened,
    TimerFired,
    TimerSet,
)
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.parallel import Parallel

from .play import SECOND, START, Play, call, define


def waiting() -> Play:
    play = Play(define(Delay("d", 3 * SECOND)))
    assert play.start(b"5") == [TimerSet("d", START + 3 * SECOND), SetTimer("d", START + 3 * SECOND)]
    return play


def test_a_delay_returns_what_it_was_given_when_its_time_has_come() -> None:
    play = waiting()
    assert play.fire("d") == [RunCompleted(b"5")]


@pytest.mark.parametrize(("path", "after"), [("d", 2 * SECOND), ("nowhere", 9 * SECOND), ("", 9 * SECOND)])
def test_a_timer_of_another_time_or_place_changes_nothing(path: str, after: int) -> None:
    play = waiting()
    assert play.feed(TimerFired(START + after, path)) == []


def test_a_delay_is_cancelled_at_once() -> None:
    play = waiting()
    assert play.cancel("stop") == [RunCancelling("stop"), NodeCancelled("d"), RunCancelled("stop"), ClearTimer("d")]


def test_a_delay_that_was_stopped_is_due_when_it_was_when_reopened() -> None:
    play = Play(define(Parallel("p", (Delay("d", 3 * SECOND), call("s")), join=Join())))
    play.start()
    play.now += SECOND
    play.fail("s")
    assert play.reopen()[0] == TimerSet("d", START + 3 * SECOND)
    play.check_replay()


def test_in_journals_of_the_first_version_a_reopened_delay_began_anew() -> None:
    play = Play(define(Parallel("p", (Delay("d", 3 * SECOND), call("s")), join=Join())))
    play.start()
    play.now += SECOND
    play.fail("s")
    assert play.feed(RunReopened(play.now))[0] == TimerSet("d", START + 4 * SECOND)
    play.check_replay()
