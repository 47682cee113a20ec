"""Durable functions: calls asked for, outcomes told, cancellation thrown in, and what a reopened run takes back."""

from typing import Any

import pytest

from ripresa.core.commands import CancelStep, ClearTimer, Resume, RunStep, SetTimer
from ripresa.core.events import (
    CallSpec,
    Failure,
    FanOutEnded,
    LoopEnded,
    NodeCancelled,
    Restarted,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    StepScheduled,
    TimerSet,
)
from ripresa.core.frames import CallFrame
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.dynamic import HORIZON, Dynamic, DynamicFrame, Outcome
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.values import NULL
from ripresa.errors import DefinitionChanged

from .play import SECOND, START, Effect, Play, call, calls, define, failure

OWN = failure("its own", path="f")


def function(*beside: Node[Any]) -> Play:
    """A durable function at the path `f`, with other nodes in parallel."""
    root = Parallel("p", (Dynamic("f", workflow="w", version="1"), *beside), join=Join())
    play = Play(define(root))
    play.start(b"0")
    return play


def alone() -> Play:
    play = Play(define(Dynamic("f", workflow="w", version="1")))
    assert play.start(b"0") == [Resume("", 0)]
    return play


def spec(key: int, name: str, input: bytes = b"5") -> CallSpec:
    return CallSpec(key, "step", name, input)


def ask(play: Play, path: str, names: str, *, first: int = 1, dropped: tuple[int, ...] = ()) -> list[Effect]:
    """Ask for steps of these names, numbered from `first`."""
    return play.asked(path, *(spec(key, name) for key, name in enumerate(names.split(), first)), dropped=dropped)


def frame_of(play: Play, path: str) -> DynamicFrame:
    frame = play.state.frames[path]
    assert isinstance(frame, DynamicFrame)
    return frame


def scheduled(effects: list[Effect]) -> list[tuple[str, int]]:
    return [(effect.path, effect.attempt) for effect in effects if isinstance(effect, StepScheduled)]


def broken(path: str, attempt: int = 1) -> Failure:
    return failure(path=path, attempt=attempt)


def test_a_function_is_told_every_outcome_in_the_order_in_which_they_come() -> None:
    play = alone()
    assert ask(play, "", "a b") == [
        StepScheduled("a", 1),
        StepScheduled("b", 1),
        RunStep("a", 1, b"5"),
        RunStep("b", 1, b"5"),
    ]
    play.now += SECOND
    assert play.done("b", b"2") == [Resume("", 0)]
    assert play.asked("") == []
    assert play.fail("a") == [Resume("", 1)]
    assert frame_of(play, "").outcomes == [
        Outcome(2, START + SECOND, 2, b"2"),
        Outcome(1, START + SECOND, 2, NULL, broken("a")),
    ]
    assert ask(play, "", "c", first=3)[0] == StepScheduled("c", 1)
    play.done("c")
    assert play.returned("", b"9") == [RunCompleted(b"9")]
    play.check_replay()


def test_a_function_that_returns_at_once_completes() -> None:
    assert alone().returned("", b"1") == [RunCompleted(b"1")]


def test_a_function_that_raises_fails() -> None:
    assert alone().raised("", OWN) == [RunFailed(OWN)]


def test_a_sleep_is_a_durable_timer() -> None:
    play = alone()
    due = START + 3 * SECOND
    assert play.asked("", CallSpec(1, "sleep", "sleep", b"3000000")) == [TimerSet("sleep", due), SetTimer("sleep", due)]
    assert play.fire("sleep") == [Resume("", 0)]


def test_a_flow_runs_below_the_function() -> None:
    play = alone()
    shape = play.definition.add_flow("inner", Sequence("any", calls("x y")))
    assert play.asked("", CallSpec(1, "flow", "inner", b"5", shape)) == [
        StepScheduled("inner/x", 1),
        RunStep("inner/x", 1, b"5"),
    ]
    play.done("inner/x")
    assert play.done("inner/y", b"7") == [Resume("", 0)]
    play.check_replay()


def test_a_flow_that_is_another_one_now_is_an_error() -> None:
    play = alone()
    play.definition.add_flow("inner", Sequence("any", calls("x y")))
    with pytest.raises(DefinitionChanged, match="is another one now"):
        play.asked("", CallSpec(1, "flow", "inner", b"5", "0123456789abcdef"))


def test_flows_that_return_at_once_are_told_together() -> None:
    play = alone()
    nothing = Loop("none", call("x"), over=Over("range"))
    specs = [CallSpec(key, "flow", f"n{key}", b"5", play.definition.add_flow(f"n{key}", nothing)) for key in (1, 2)]
    assert play.asked("", *specs) == [LoopEnded("n1", 0, "empty"), LoopEnded("n2", 0, "empty"), Resume("", 0)]
    assert len(frame_of(play, "").outcomes) == 2
    assert play.asked("") == []
    assert frame_of(play, "").delivered == 2


# --- calls that are given up


def test_a_call_that_is_given_up_is_stopped_and_its_end_is_not_told() -> None:
    play = alone()
    ask(play, "", "a b")
    play.done("a")
    assert ask(play, "", "c", first=3, dropped=(2,)) == [
        StepScheduled("c", 1),
        RunStep("c", 1, b"5"),
        CancelStep("b", 1),
    ]
    assert play.lose("b", "cancelled") == []
    assert play.done("c") == [Resume("", 1)]
    play.returned("")
    play.check_replay()


@pytest.mark.parametrize("outcome", ["done", "fail", "lose"])
def test_a_call_that_is_given_up_may_end_in_any_way(outcome: str) -> None:
    play = alone()
    play.definition.add_flow("b", Sequence("any", calls("x")))
    ask(play, "", "a b")
    play.done("a")
    play.asked("", dropped=(2,))
    assert getattr(play, outcome)("b") == []
    assert play.returned("", b"1") == [RunCompleted(b"1")]


def test_a_flow_that_is_given_up_while_it_fails_is_not_told_of() -> None:
    play = alone()
    pair = Parallel("pair", calls("x y"), join=Join())
    play.asked("", spec(1, "a"), CallSpec(2, "flow", "b", b"5", play.definition.add_flow("b", pair)))
    play.done("a")
    assert play.fail("b/x") == [CancelStep("b/y", 1)]
    assert play.asked("", dropped=(2,)) == []
    assert play.lose("b/y", "cancelled") == [FanOutEnded("b", 0, 1, 1)]
    assert play.returned("", b"1") == [RunCompleted(b"1")]


def test_a_backoff_that_is_given_up_ends_at_once() -> None:
    play = alone()
    ask(play, "", "a b")
    play.fail("b", retry_in=SECOND)
    play.done("a")
    assert play.asked("", dropped=(2,)) == [NodeCancelled("b"), ClearTimer("b")]


def test_giving_up_what_has_ended_or_never_was_changes_nothing() -> None:
    play = alone()
    ask(play, "", "a b")
    play.fail("a")
    assert play.asked("", dropped=(1, 7)) == []
    assert frame_of(play, "").dropped == {}


def test_calls_that_nobody_awaits_are_stopped_when_the_function_ends() -> None:
    play = alone()
    ask(play, "", "a b")
    play.done("a")
    assert play.returned("", b"1") == [CancelStep("b", 1)]
    assert play.done("b") == [RunCompleted(b"1")]


# --- answers that nobody waits for


def test_answers_that_nobody_waits_for_change_nothing() -> None:
    play = alone()
    ask(play, "", "a")
    assert ask(play, "", "b", first=2) == []
    assert play.answer("", b"1") == []
    assert play.answer_fails("") == []
    assert play.asked("nowhere") == []
    assert play.returned("a") == []
    play.done("a")
    play.returned("")
    assert play.returned("") == []
    assert play.raised("", OWN) == []


def test_a_slice_may_ask_and_end_the_function() -> None:
    play = alone()
    assert ask(play, "", "a")[0] == StepScheduled("a", 1)
    assert play.raised("", OWN) == [CancelStep("a", 1)]
    assert play.lose("a", "cancelled") == [RunFailed(OWN)]


# --- cancellation


def test_the_cancellation_is_thrown_in_once_when_all_calls_have_ended() -> None:
    play = alone()
    ask(play, "", "a b")
    play.fail("b", retry_in=SECOND)
    assert play.cancel("stop") == [RunCancelling("stop"), NodeCancelled("b"), CancelStep("a", 1), ClearTimer("b")]
    assert play.lose("a", "cancelled") == [Resume("", 0)]
    assert frame_of(play, "").outcomes == [Outcome(0, play.now, 2, NULL)]
    assert play.raised("", OWN) == [RunCancelled("stop")]
    play.check_replay()


def test_the_cancellation_is_thrown_in_once_when_everything_stops_at_once() -> None:
    play = alone()
    play.asked("", CallSpec(1, "sleep", "sleep", b"1"))
    assert play.cancel("stop") == [RunCancelling("stop"), NodeCancelled("sleep"), ClearTimer("sleep"), Resume("", 0)]
    assert len(frame_of(play, "").outcomes) == 1


def test_a_cancelled_function_may_call_steps_while_it_unwinds_and_nothing_stops_them() -> None:
    play = alone()
    ask(play, "", "a")
    play.cancel("stop")
    play.lose("a", "cancelled")
    assert ask(play, "", "tidy", first=2, dropped=(1,)) == [StepScheduled("tidy", 1), RunStep("tidy", 1, b"5")]
    assert play.cancel("again") == []
    assert play.fail("tidy", retry_in=0)[0] == StepScheduled("tidy", 2)
    assert play.done("tidy", b"1") == [Resume("", 1)]
    assert play.returned("") == [RunCancelled("stop")]
    play.check_replay()


def test_what_a_cancelled_function_leaves_behind_is_stopped() -> None:
    play = alone()
    play.cancel("stop")
    ask(play, "", "a")
    assert play.raised("", OWN) == [CancelStep("a", 1)]
    assert play.done("a") == [RunCancelled("stop")]


def test_a_function_that_is_out_of_time_is_cancelled_and_fails() -> None:
    play = Play(define(Dynamic("f", workflow="w", version="1")))
    play.start(deadline=SECOND)
    assert play.fire("") == [Resume("", 0)]
    assert play.returned("") == [RunFailed(Failure("deadline_exceeded", "the run had no time left"))]


def test_a_function_that_has_returned_is_not_cancelled_any_more() -> None:
    play = alone()
    ask(play, "", "a")
    play.returned("", b"1")
    assert play.cancel("stop") == [RunCancelling("stop")]
    assert play.lose("a", "cancelled") == [RunCompleted(b"1")]


# --- reopened


def test_a_reopened_function_has_not_been_told_what_it_died_of() -> None:
    play = alone()
    ask(play, "", "a")
    play.done("a", b"1")
    ask(play, "", "b", first=2)
    play.fail("b")
    assert play.raised("", broken("b")) == [RunFailed(broken("b"))]
    assert play.reopen() == [StepScheduled("b", 2), RunStep("b", 2, b"5")]
    assert [outcome.key for outcome in frame_of(play, "").outcomes] == [1]
    assert play.done("b", b"2") == [Resume("", 1)]
    assert play.returned("", b"3") == [RunCompleted(b"3")]
    play.check_replay()


def test_what_it_did_after_the_failure_it_died_of_is_taken_back() -> None:
    play = alone()
    ask(play, "", "a")
    play.fail("a")
    ask(play, "", "amends", first=2)
    play.done("amends")
    play.raised("", failure("wrapped", cause=broken("a")))
    assert scheduled(play.reopen()) == [("a", 2)]
    assert frame_of(play, "").asked == 1
    assert frame_of(play, "").outcomes == []
    play.done("a")
    assert ask(play, "", "amends", first=2)[0] == StepScheduled("amends", 1)


def test_calls_given_up_because_of_it_are_taken_up_again() -> None:
    play = alone()
    ask(play, "", "a b c d")
    play.done("d", b"4")
    play.asked("", dropped=())
    play.fail("a")
    play.asked("", dropped=(2, 3))
    play.lose("b", "cancelled")
    assert play.done("c", b"3") == []
    play.raised("", broken("a"))
    assert scheduled(play.reopen()) == [("a", 2), ("b", 2)]
    assert [outcome.key for outcome in frame_of(play, "").outcomes] == [4, 3]
    assert frame_of(play, "").question == "resume"
    play.check_replay()


def test_calls_given_up_before_it_stay_given_up() -> None:
    play = alone()
    ask(play, "", "a b c")
    play.done("a")
    play.asked("", dropped=(2,))
    play.fail("c")
    play.raised("", broken("c"))
    play.lose("b", "cancelled")
    assert scheduled(play.reopen()) == [("c", 2)]


def test_a_failure_that_it_lived_on_after_stays_told() -> None:
    play = alone()
    ask(play, "", "a")
    play.fail("a")
    ask(play, "", "b", first=2)
    play.fail("b")
    play.raised("", broken("b"))
    assert scheduled(play.reopen()) == [("b", 2)]
    assert [outcome.key for outcome in frame_of(play, "").outcomes] == [1]


def test_failures_that_came_together_are_all_tried_again() -> None:
    play = alone()
    ask(play, "", "a b c")
    play.fail("a")
    play.fail("b")
    play.done("c", b"3")
    play.raised("", OWN)
    assert scheduled(play.reopen()) == [("a", 2), ("b", 2)]
    assert [outcome.key for outcome in frame_of(play, "").outcomes] == [3]
    assert frame_of(play, "").question == "resume"


def test_a_function_that_died_of_its_own_is_told_its_last_outcomes_again() -> None:
    play = alone()
    ask(play, "", "a")
    play.done("a")
    ask(play, "", "b", first=2)
    play.done("b")
    play.raised("", OWN)
    assert play.reopen() == [Resume("", 1)]
    assert play.returned("", b"1") == [RunCompleted(b"1")]


def test_a_function_that_never_asked_for_anything_begins_anew() -> None:
    play = alone()
    play.raised("", OWN)
    assert play.reopen() == [Resume("", 0)]


def test_calls_that_were_stopped_when_it_died_of_its_own_go_on() -> None:
    play = alone()
    ask(play, "", "a b")
    play.done("a")
    play.raised("", OWN)
    play.lose("b", "cancelled")
    assert play.reopen() == [StepScheduled("b", 2), RunStep("b", 2, b"5"), Resume("", 0)]


def test_a_reopened_run_takes_back_the_cancellation_and_what_followed() -> None:
    play = function(call("z"))
    ask(play, "f", "a b")
    play.done("f/b", b"2")
    play.asked("f")
    play.fail("z")
    play.lose("f/a", "cancelled")
    ask(play, "f", "tidy", first=3)
    play.done("f/tidy")
    play.raised("f", OWN)
    assert play.status == "failed"
    assert scheduled(play.reopen()) == [("f/a", 2), ("z", 2)]
    assert [outcome.key for outcome in frame_of(play, "f").outcomes] == [2]
    play.done("f/a")
    play.done("z")
    play.returned("f", b"1")
    assert play.events[-1] == RunCompleted((b"1", b"1"))
    play.check_replay()


def test_a_function_that_was_cancelled_before_it_began_begins_when_reopened() -> None:
    play = function(call("z"))
    play.fail("z")
    play.raised("f", OWN)
    assert play.reopen() == [StepScheduled("z", 2), Resume("f", 0), RunStep("z", 2, b"0")]


def test_a_call_that_returned_while_the_function_was_stopped_is_told_when_reopened() -> None:
    play = function(Delay("d", SECOND), call("z"))
    ask(play, "f", "a")
    play.fail("z")
    play.done("f/a", b"1")
    play.raised("f", OWN)
    assert play.reopen() == [
        TimerSet("d", START + SECOND),
        StepScheduled("z", 2),
        Resume("f", 0),
        SetTimer("d", START + SECOND),
        RunStep("z", 2, b"0"),
    ]
    assert frame_of(play, "f").outcomes == [Outcome(1, play.now, 1, b"1")]


def test_what_lies_behind_the_horizon_is_let_go() -> None:
    play = alone()
    ask(play, "", "a b c")
    play.fail("a")
    ask(play, "", "s4", first=4, dropped=(2, 3))
    play.lose("b", "cancelled")
    for key in range(5, HORIZON + 6):
        play.done(f"s{key - 1}")
        ask(play, "", f"s{key}", first=key)
    play.done(f"s{HORIZON + 5}")
    assert sorted(play.state.frames) == ["", "c"]
    ask(play, "", "last", first=HORIZON + 6)
    assert frame_of(play, "").dropped == {3: 1}
    play.lose("c", "cancelled")
    play.done("last")
    ask(play, "", "more", first=HORIZON + 7)
    assert sorted(play.state.frames) == ["", "more"]
    play.raised("", broken("a"))
    play.lose("more", "cancelled")
    assert play.status == "failed"
    assert scheduled(play.reopen()) == [("more", 2)]
    play.check_replay()


# --- changes of its code, and beginning anew


def patch(name: str, shape: str = "") -> CallSpec:
    return CallSpec(0, "patch", name, shape=shape)


def test_a_change_that_the_function_goes_by_is_kept_and_is_no_call() -> None:
    play = alone()
    play.asked("", patch("p"), spec(1, "a"))
    assert (frame_of(play, "").patches, frame_of(play, "").asked, list(play.state.frames)) == (["p"], 1, ["", "a"])
    play.done("a")
    play.asked("", patch("q"), patch("r"))
    assert frame_of(play, "").patches == ["p", "q", "r"]
    play.check_replay()


def test_a_function_that_ended_with_a_change_is_asked_how_it_ended() -> None:
    play = alone()
    assert play.asked("", patch("p", "again")) == [Resume("", 0)]
    play.returned("", b"7")
    assert (play.status, play.output) == ("completed", b"7")
    play.check_replay()


def test_a_function_that_begins_anew_forgets_everything_but_its_input() -> None:
    play = alone()
    ask(play, "", "a b")
    play.done("a")
    play.asked("", patch("p"))
    play.now += SECOND
    assert play.feed(Restarted(play.now, "", b"9")) == [CancelStep("b", 1)]
    assert play.lose("b", "cancelled") == [Resume("", 0)]
    frame = frame_of(play, "")
    assert (frame.input, frame.asked, frame.outcomes, frame.calls, frame.patches) == (b"9", 0, [], {}, [])
    assert (frame.restarts, frame.began, play.state.generation) == (1, START + SECOND, 1)
    ask(play, "", "a")
    again = play.state.frames["a"]
    assert isinstance(again, CallFrame)
    assert (again.generation, again.attempt) == (1, 1)
    play.done("a")
    assert play.feed(Restarted(play.now, "", b"10")) == [Resume("", 0)]
    play.returned("", b"3")
    assert (play.status, play.output) == ("completed", b"3")
    play.check_replay()


@pytest.mark.parametrize("shielded", [False, True])
def test_a_function_does_not_begin_anew_where_all_is_being_stopped(shielded: bool) -> None:
    inner = Dynamic("f", workflow="w", version="1")
    if shielded:
        body = Cleanup("c", call("x"), (inner,))
        play = Play(define(body))
        play.start(b"0")
        play.cancel()
        play.lose("x", "cancelled")
        path = "cleanup:f"
    else:
        play, path = function(call("x")), "f"
    ask(play, path, "a b")
    play.done(f"{path}/a")
    play.feed(Restarted(play.now, path, b"9"))
    if not shielded:
        play.cancel()
        play.lose("x", "cancelled")
    play.lose(f"{path}/b", "cancelled")
    if shielded:
        assert frame_of(play, path).restarts == 1
        play.returned(path)
    assert play.status == "cancelled"
    play.check_replay()


def test_a_function_does_not_begin_anew_in_a_scope_that_fails() -> None:
    play = function(call("x"))
    ask(play, "f", "a b")
    play.done("f/a")
    play.feed(Restarted(play.now, "f", b"9"))
    play.fail("x")
    play.lose("f/b", "cancelled")
    assert play.status == "failed"


def test_a_function_that_is_being_stopped_cannot_begin_anew() -> None:
    play = alone()
    ask(play, "", "a")
    play.cancel()
    play.lose("a", "cancelled")
    assert play.feed(Restarted(play.now, "", b"9")) == []
    play.returned("")
    assert play.status == "cancelled"


def test_a_function_that_began_anew_can_fail_be_reopened_and_rolled_back() -> None:
    play = alone()
    ask(play, "", "a")
    play.done("a")
    place = len(play.journal)
    play.feed(Restarted(play.now, "", b"9"))
    ask(play, "", "a")
    play.fail("a")
    play.raised("", broken("a"))
    assert play.status == "failed"
    play.reopen()
    assert play.state.generation == 2
    play.roll_back(place)
    assert play.state.generation == 3
    assert frame_of(play, "").restarts == 0
    play.returned("")
    play.check_replay()
