"""What limits that were reached, and allowances, do to a run; by hand."""

import pytest

from ripresa.core.advance import stuck
from ripresa.core.bounds import TIME_IS_UP
from ripresa.core.commands import RunStep
from ripresa.core.events import (
    ContinueRequested,
    HookFailed,
    LimitReached,
    LimitsSet,
    PauseRequested,
    RunContinued,
    StepScheduled,
    StepStarted,
    TerminateRequested,
    UndoRequested,
)
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.undo import Undo
from ripresa.errors import IllegalTransition

from .play import Play, call, calls, define, failure


def playing(names: str = "a") -> Play:
    play = Play(define(*calls(names)))
    play.start(b"1")
    return play


def reached(play: Play, policy: str, path: str = "a") -> list[object]:
    return list(play.feed(LimitReached(play.now, path, 1, "steps", 1.0, 1.0, policy)))


@pytest.mark.parametrize("policy", ["fail", "pause", "ask"])
def test_a_limit_that_is_reached_while_the_run_winds_up_changes_nothing_more(policy: str) -> None:
    play = playing()
    play.cancel()
    reached(play, policy)
    assert play.state.status == "cancelled"
    play.check_replay()


def test_a_run_with_a_parked_step_is_not_stuck() -> None:
    play = Play(define(call("pay")))
    play.start(b"1")
    play.feed(StepStarted(play.now, "pay", 1))
    play.lose("pay", "parked")
    assert stuck(play.state) is None


def test_a_hook_that_fails_and_is_not_critical_changes_nothing() -> None:
    play = playing()
    play.feed(HookFailed(play.now, "", "before", "guard", failure()))
    assert play.state.status == "running"


def test_what_winds_up_comes_to_its_end_when_a_run_is_denied_more() -> None:
    play = Play(define(Cleanup("c", call("a"), calls("x")), call("b")))
    play.start(b"1")
    play.feed(LimitReached(play.now, "", 0, "steps", 1.0, 1.0, "ask"))
    (path,) = play.ledger.steps
    play.fail(path)
    assert not play.ledger.steps  # the handler is held: the run is paused
    play.feed(LimitsSet(play.now, ""))
    (handler,) = play.ledger.steps
    play.done(handler)
    assert play.state.status == "failed"
    play.check_replay()


# --- kinds of pause


def test_other_limits_do_not_end_a_pause_that_somebody_asked_for() -> None:
    play = playing()
    play.pause()
    play.feed(LimitsSet(play.now, '{"steps": 9}'))
    assert play.status == "paused"
    play.go_on()
    assert play.status == "running"
    play.check_replay()


@pytest.mark.parametrize("policy", ["pause", "ask"])
def test_a_run_that_a_limit_holds_can_be_paused_beyond_that(policy: str) -> None:
    play = playing()
    reached(play, policy)
    assert play.feed(PauseRequested(play.now, "", "eve")) == []
    play.feed(LimitsSet(play.now, '{"steps": 9}'))
    assert (play.status, play.state.limit) == ("paused", "")
    assert play.go_on() == [RunContinued(), StepScheduled("a", 1), RunStep("a", 1, b"1")]
    play.check_replay()


def test_a_limit_that_is_allowed_goes_on_by_that_and_one_that_is_denied_ends_any_pause() -> None:
    play = playing()
    reached(play, "pause")
    play.feed(LimitsSet(play.now, '{"steps": 9}'))
    assert play.status == "running"
    play.pause()
    with pytest.raises(IllegalTransition):
        play.pause()
    play.feed(LimitsSet(play.now, ""))
    play.lose("a", "cancelled")
    assert play.status == "failed"
    play.check_replay()


def test_runs_of_earlier_rules_go_on_with_other_limits_as_they_did() -> None:
    play = Play(define(*calls("a")))
    play.start(b"1", core=3)
    play.pause()
    play.feed(LimitsSet(play.now, '{"steps": 9}'))
    assert play.status == "running"
    play.check_replay()


def test_who_lets_only_its_own_pause_end_ends_no_other() -> None:
    play = playing()
    play.feed(PauseRequested(play.now, "", "session s"))
    assert play.feed(ContinueRequested(play.now, "x", only="session t")) == []
    assert play.feed(ContinueRequested(play.now, "x", only="session s"))
    reached(play, "pause")
    assert play.feed(ContinueRequested(play.now, "x", only="session s")) == []
    play.go_on()
    assert play.status == "running"
    play.check_replay()


# --- runs of which nothing is left but what undoes them


@pytest.mark.parametrize("answer", ["", "veto", "continue"])
def test_a_limit_stops_nothing_of_a_terminated_run_that_is_undone(answer: str) -> None:
    play = Play(define(Call("a", undo=Undo(call("x"))), call("b")), hooks=("limit *",) if answer else ())
    play.start(b"1")
    play.done("a")
    play.feed(TerminateRequested(play.now, "enough"))
    play.feed(UndoRequested(play.now))
    play.feed(LimitReached(play.now, "", 0, "steps", 1.0, 1.0, "fail"))
    if answer:
        play.hook(TIME_IS_UP, answer)
    play.done("a/undo:x", b"null")
    assert play.status == "undone"
    play.check_replay()
