"""What limits that were reached, and allowances, do to a run; by hand."""

import pytest

from ripresa.core.advance import stuck
from ripresa.core.events import HookFailed, LimitReached, LimitsSet, StepStarted
from ripresa.core.nodes.cleanup import Cleanup

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
