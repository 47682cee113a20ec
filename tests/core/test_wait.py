"""Waits: signals in order, early ones kept, each to one wait; time that is up; stopping, pausing and reopening."""

from collections import deque

import pytest

from ripresa.core.codec import decode_state, encode_state
from ripresa.core.commands import ClearTimer, RunStep, SetTimer
from ripresa.core.events import (
    CallSpec,
    Failure,
    NodeCancelled,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    RunPausing,
    SignalReceived,
    SignalRefused,
    SignalTaken,
    StepScheduled,
    WaitStarted,
)
from ripresa.core.names import check_name
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.wait import TIMED_OUT, Wait
from ripresa.core.state import Message
from ripresa.core.view import WaitView, view_of

from .play import SECOND, START, Play, call, define, failure

DUE = START + 3 * SECOND


def limited() -> Play:
    play = Play(define(Wait("w", "go", timeout=3 * SECOND)))
    assert play.start() == [WaitStarted("w", "go", DUE), SetTimer("w", DUE)]
    return play


def test_a_wait_returns_the_signal_that_comes() -> None:
    play = Play(define(Wait("w", "go"), call("s")))
    assert play.start() == [WaitStarted("w", "go")]
    assert play.signal("other") == []
    assert play.signal("go", b'"now"', "1") == [
        SignalTaken("w", "go", "1"),
        StepScheduled("s", 1),
        RunStep("s", 1, b'"now"'),
    ]
    play.check_replay()


def test_early_signals_are_kept_in_order_each_for_one_wait() -> None:
    play = Play(define(call("s"), Wait("a", "go"), Wait("b", "go"), Wait("c", "go")))
    play.start()
    play.signal("go", b"1")
    play.signal("go", b"2")
    assert play.state.messages == {"go": deque([Message(b"1"), Message(b"2")])}
    assert play.done("s") == [
        WaitStarted("a", "go"),
        SignalTaken("a", "go"),
        WaitStarted("b", "go"),
        SignalTaken("b", "go"),
        WaitStarted("c", "go"),
    ]
    assert play.signal("go", b"3") == [SignalTaken("c", "go"), RunCompleted(b"3")]
    play.check_replay()


def test_a_signal_goes_to_the_oldest_wait() -> None:
    play = Play(define(Parallel("p", (Wait("a", "go"), Wait("b", "go")), join=Join())), snapshots=True)
    play.start()
    assert play.signal("go", b"1") == [SignalTaken("a", "go")]
    play.signal("go", b"2")
    assert play.output == (b"1", b"2")


def test_thousands_of_early_signals_are_worked_through_without_recursion() -> None:
    play = Play(define(call("s"), Loop("l", Wait("w", "go"), over=Over("range", last=2000), at_most=2000)))
    play.start()
    play.state.messages["go"] = deque([Message(b"1")] * 2000)
    assert play.done("s")[-1] == RunCompleted(b"1")


def test_a_wait_whose_time_is_up_fails_as_a_timeout() -> None:
    play = limited()
    told = Failure("timeout", "no signal 'go' came within 3 s", TIMED_OUT, path="w")
    assert play.fire("w") == [RunFailed(told)]
    assert play.signal("go") == []
    assert play.reopen() == [WaitStarted("w", "go", DUE + 3 * SECOND), SetTimer("w", DUE + 3 * SECOND)]
    assert play.signal("go", b"5") == [SignalTaken("w", "go"), RunCompleted(b"5"), ClearTimer("w")]
    play.check_replay()


def test_a_wait_that_was_stopped_has_what_was_left_of_its_time_when_reopened() -> None:
    waits = Wait("w", "go", timeout=3 * SECOND), Wait("v", "go")
    play = Play(define(Parallel("p", (*waits, call("s")), join=Join())))
    play.start()
    play.now += SECOND
    assert NodeCancelled("w") in play.fail("s")
    assert play.state.waiters == {}
    assert play.reopen()[:3] == [WaitStarted("w", "go", DUE), WaitStarted("v", "go"), StepScheduled("s", 2)]
    play.check_replay()


def test_a_wait_is_cancelled_at_once() -> None:
    play = limited()
    assert play.cancel("stop") == [RunCancelling("stop"), NodeCancelled("w"), RunCancelled("stop"), ClearTimer("w")]
    play = Play(define(Wait("w", "go")))
    play.start()
    assert play.cancel("stop") == [RunCancelling("stop"), NodeCancelled("w"), RunCancelled("stop")]


def test_a_paused_run_takes_signals_and_starts_nothing() -> None:
    play = Play(define(Wait("w", "go"), call("s")))
    play.start()
    assert play.pause() == [RunPausing()]
    assert play.signal("go", b"4") == [SignalTaken("w", "go")]
    assert play.go_on()[-1] == RunStep("s", 1, b"4")
    play.check_replay()


def test_a_terminated_run_waits_for_nothing() -> None:
    play = limited()
    play.terminate()
    assert play.state.waiters == {}
    assert play.signal("go") == []


def test_a_durable_function_waits_for_signals() -> None:
    play = Play(define(Dynamic("f", workflow="f", version="1")), snapshots=True)
    play.start()
    assert play.asked("", CallSpec(1, "wait", "go", b"3000000", "go"))[0] == WaitStarted("go", "go", DUE)
    play.signal("go", b"1")
    play.returned("", b"2")
    assert play.output == b"2"
    play.check_replay()


def test_a_refused_signal_is_recorded_and_changes_nothing() -> None:
    play = limited()
    before = encode_state(play.state)
    assert play.feed(SignalRefused(START, "go", failure())) == []
    play.state.seq -= 1
    assert encode_state(play.state) == before


def test_what_waits_for_what_survives_a_snapshot() -> None:
    play = limited()
    play.signal("early", b"7", "x")
    again = decode_state(encode_state(play.state), play.definition)
    assert again.messages == {"early": deque([Message(b"7", "x")])}
    assert again.waiters == {"go": ["w"]}


def test_readers_see_what_a_run_waits_for() -> None:
    play = limited()
    view = view_of(play.journal)
    assert view.waits == {"w": WaitView("w", "go", START, DUE)}
    assert view.timers == {"w": DUE}
    assert view.waiting
    play.signal("go")
    view = view_of(play.journal)
    assert (view.waits, view.timers) == ({}, {})


def test_a_reader_of_a_wait_whose_time_is_up_sees_none() -> None:
    play = limited()
    play.fire("w")
    assert view_of(play.journal).waits == {}


def test_a_fact_before_the_run_began_is_nothing() -> None:
    assert Play(define(Wait("w", "go"))).feed(SignalReceived(START, "go", b"1")) == []


@pytest.mark.parametrize("name", ["", " ", "a/b", "a#b", 3])
def test_a_name_stands_in_paths(name: object) -> None:
    assert check_name(name, "name")
    assert check_name("fine", "name") is None


@pytest.mark.parametrize("snapshots", [False, True])
def test_the_time_of_a_wait_that_a_paused_run_comes_to_begins_when_the_run_goes_on(snapshots: bool) -> None:
    play = Play(define(call("s"), Wait("w", "go", timeout=3 * SECOND)), snapshots=snapshots)
    play.start()
    play.pause()
    assert play.done("s") == [WaitStarted("w", "go")]
    play.now += 60 * SECOND
    due = play.now + 3 * SECOND
    found = play.go_on()
    assert found[1:] == [WaitStarted("w", "go", due), SetTimer("w", due)]
    play.pause()
    assert SetTimer("w", due) not in play.go_on()
    assert play.signal("go", b"1") == [SignalTaken("w", "go"), RunCompleted(b"1"), ClearTimer("w")]
    play.check_replay()


def test_a_wait_that_a_paused_run_came_to_takes_what_comes_and_begins_its_time_where_the_run_is_taken_back() -> None:
    play = Play(define(call("s"), Wait("w", "go", timeout=3 * SECOND)))
    play.start()
    play.pause()
    play.done("s")
    place = play.state.seq
    assert play.signal("go", b"1") == [SignalTaken("w", "go"), RunCompleted(b"1")]
    play.now += 60 * SECOND
    assert WaitStarted("w", "go", play.now + 3 * SECOND) in play.roll_back(place)
    play.fire("w")
    assert play.status == "failed"
    play.check_replay()


def test_the_time_of_a_wait_that_a_paused_run_came_to_began_at_once_in_earlier_rules() -> None:
    play = Play(define(call("s"), Wait("w", "go", timeout=3 * SECOND)))
    play.start(core=9)
    play.pause()
    assert play.done("s") == [WaitStarted("w", "go", play.now + 3 * SECOND), SetTimer("w", play.now + 3 * SECOND)]
    assert WaitStarted("w", "go", 0) not in play.go_on()
    play.check_replay()
