"""Requests that interceptors are asked about before they happen, and limits: what becomes of each answer."""

from typing import Any

import pytest

from ripresa.core.advance import may_come, outstanding
from ripresa.core.commands import Intercept, Proceed, Withdraw
from ripresa.core.events import (
    CancelRequested,
    CheckpointNamed,
    Failure,
    Intercepted,
    LimitReached,
    Requested,
    RequestRefused,
    RunFailed,
    SignalReceived,
    UpdateAnswered,
)
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.undo import Undo
from ripresa.core.nodes.wait import Wait
from ripresa.errors import IllegalTransition

from .play import Play, call, calls, define, failure

POINTS = ("cancel *", "signal *", "checkpoint *", "rollback *", "limit *", "compensation *")


def started(*nodes: Any) -> Play:
    play = Play(define(*(nodes or calls("a b"))), hooks=POINTS)
    play.start()
    return play


def ask(play: Play, point: str, name: str = "x", **fields: Any) -> str:
    play.asked_first(Requested(play.now, point, name, **fields))
    return next(reversed(play.state.requests))


def of(play: Play, kind: type[Any]) -> list[Any]:
    return [event for event in play.events if isinstance(event, kind)]


def test_requests_at_one_point_are_asked_about_one_after_another() -> None:
    play = started()
    first, second = ask(play, "signal", "s"), ask(play, "signal", "s")
    other = ask(play, "checkpoint", "here")
    assert set(play.state.gates) == {first, other}
    effects = play.hook(first)
    let = SignalReceived(play.now, "s", b"null")
    assert effects == [Proceed(let), Intercept(second, "signal")]
    assert Proceed(let) in outstanding(play.state)
    play.let()
    play.hook(other, "replace", detail="there")
    play.let()
    assert [event.name for event in of(play, CheckpointNamed)] == ["there"]
    play.hook(second, "skip")
    assert (play.state.requests, play.state.granted, len(of(play, SignalReceived))) == ({}, (), 1)
    play.check_replay()


def test_what_was_let_through_is_told_apart_from_what_else_comes() -> None:
    play = started()
    play.hook(ask(play, "signal", "s", id="1"))
    play.signal("s", b"null", id="2")
    assert [let.id for let in play.state.granted] == ["1"]  # type: ignore[union-attr]
    play.let()
    assert play.state.granted == ()


def test_a_critical_failure_refuses_everything_but_a_cancellation() -> None:
    play = started()
    play.hook(ask(play, "checkpoint"), "fail", failure=failure("broken"))
    (refused,) = of(play, RequestRefused)
    assert refused.failure.message == "broken"
    play.hook(ask(play, "cancel"), "fail", failure=failure("broken"))
    play.let()
    assert play.status == "cancelling"
    assert not may_come(play.state, CancelRequested(play.now))


def test_an_update_that_is_refused_is_answered() -> None:
    play = started()
    play.hook(ask(play, "signal", "update:weigh", id="7"), "veto", detail="no")
    (answer,) = of(play, UpdateAnswered)
    assert (answer.name, answer.id, answer.value, answer.refused) == ("weigh", "7", b'"no"', True)


def test_an_answer_cancels_a_run_once() -> None:
    play = started()
    first, second = ask(play, "signal"), ask(play, "signal")
    play.hook(first, "cancel", detail="enough")
    assert play.status == "cancelling"
    play.hook(second, "cancel", detail="again")
    play.lose("a", "cancelled")
    assert play.status == "cancelled"


def test_what_waits_for_an_answer_when_the_run_ends_is_asked_about_again_when_it_goes_on() -> None:
    play = started()
    signal, cancel = ask(play, "signal", "s"), ask(play, "cancel")
    effects = play.fail("a")
    assert [effect for effect in effects if isinstance(effect, Withdraw)] == [Withdraw(signal), Withdraw(cancel)]
    effects = play.reopen()
    assert [effect for effect in effects if isinstance(effect, Intercept)] == [Intercept(signal, "signal")]
    assert list(play.state.requests) == [signal]
    play.set_hooks()
    play.fail("a")
    play.check_replay()
    assert list(play.state.requests) == [signal]


def test_a_request_that_the_run_cannot_take_is_refused_at_once() -> None:
    play = started()
    play.done("a")
    play.done("b")
    with pytest.raises(IllegalTransition):
        play.asked_first(Requested(play.now, "cancel"))
    assert play.asked_first(Requested(play.now, "signal", "s")) == []
    play.asked_first(Requested(play.now, "rollback", "1", number=1))
    key = next(iter(play.state.gates))
    assert outstanding(play.state) == []
    play.hook(key, "redirect", detail="2")
    assert play.state.requests == {}


def test_a_terminated_run_asks_about_nothing() -> None:
    play = started()
    ask(play, "signal")
    play.terminate()
    assert (play.state.requests, play.state.gates) == ({}, {})


# --- limits


def reached(play: Play, path: str = "", policy: str = "fail") -> list[Any]:
    return play.feed(LimitReached(play.now, path, 1 if path else 0, "steps", 5, 5, policy))


def test_the_time_of_a_run_is_asked_about_once_at_a_time() -> None:
    play = started()
    assert reached(play) == [Intercept("!limit", "limit")]
    assert reached(play) == []
    play.hook("!limit", "replace", value=b"{}")
    assert play.status == "running"


@pytest.mark.parametrize("answer", ["veto", "fail"])
def test_a_run_whose_limit_is_reached_fails_where_a_hook_says_so(answer: str) -> None:
    play = started()
    reached(play)
    play.hook("!limit", answer, detail="no more", failure=failure() if answer == "fail" else None)
    play.lose("a", "cancelled")
    ended = play.events[-1]
    assert isinstance(ended, RunFailed)
    cause = Failure("limit_exceeded", "the limit of steps is reached: 5 of 5 are used")
    assert ended.failure == (failure() if answer == "fail" else Failure("vetoed", "no more", cause=cause))


@pytest.mark.parametrize("answer", ["veto", "fail", "continue", "cancel"])
def test_a_run_that_is_being_stopped_is_not_stopped_again_by_a_limit(answer: str) -> None:
    play = started()
    reached(play)
    play.cancel()
    play.hook("!limit", answer, failure=failure() if answer == "fail" else None)
    play.lose("a", "cancelled")
    assert play.status == "cancelled"


def test_a_limit_that_is_reached_while_the_run_is_paused_leaves_it_so() -> None:
    play = started()
    play.pause()
    reached(play, policy="pause")
    play.hook("!limit", "continue")
    assert play.status == "paused"


def test_a_step_at_its_limit_is_tried_again_at_once_where_the_moment_has_come() -> None:
    play = started()
    reached(play, "a")
    play.now += 5
    assert play.hook("a", "again", number=play.now)[0].path == "a"  # type: ignore[union-attr]
    play.done("a")


def test_a_limit_forbids_nothing_that_cleans_up() -> None:
    play = Play(define(Call("a", undo=Undo(call("withdraw"))), call("b"), Wait("w", "s")), hooks=("compensation *",))
    play.start()
    play.done("a")
    play.fail("b")
    play.hook("!undo", "veto", detail="keep it")
    assert of(play, RunFailed)
    play.check_replay()


def test_a_compensation_goes_on_after_what_cannot_be_undone() -> None:
    undo = Undo(call("withdraw"))
    play = Play(define(Call("a", undo=undo), Call("b", undo=undo)), hooks=("compensation *",))
    play.start()
    play.done("a")
    play.lose("b")  # nobody knows what it did, and its undo does not take that
    play.hook("!undo", "continue")
    play.hook("!undo", "skip")
    assert play.status == "failed"
    assert isinstance(play.events[-1], RunFailed)


def test_an_answer_to_nothing_changes_nothing() -> None:
    play = started()
    assert play.feed(Intercepted(play.now, "!9", "cancel", "veto")) == []


def test_a_cancellation_that_cannot_come_any_more_is_not_kept_for_a_reopened_run() -> None:
    play = started(*calls("a"))
    late = ask(play, "cancel")
    other = ask(play, "signal", "s")
    play.hook(other, "cancel", detail="by a hook")
    play.hook(late)
    assert (play.status, play.state.granted) == ("cancelling", ())
    play.check_replay()


@pytest.mark.parametrize("then", ["reopen", "undo"])
def test_a_cancellation_that_was_let_and_never_came_does_not_stop_what_goes_on_after_the_end(then: str) -> None:
    play = started(call("a"))
    play.hook(ask(play, "cancel"))
    play.hook(ask(play, "signal", "s"))
    play.fail("a")
    assert play.status == "failed"
    play.reopen() if then == "reopen" else play.undo()
    assert [type(let) for let in play.state.granted] == [SignalReceived]
    play.check_replay()


def test_a_cancellation_that_was_let_does_not_come_to_a_run_that_has_ended_meanwhile() -> None:
    play = started(call("a"))
    play.hook(ask(play, "cancel"))
    (let,) = play.state.granted
    assert may_come(play.state, let)
    play.done("a")
    assert play.status == "completed"
    assert not may_come(play.state, let)
